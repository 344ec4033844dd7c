/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* strncasecmp */

#include "web.h"

#include <microhttpd.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_BODY = 65536,      /* octets of a request */
    MAX_DROPPED = 1 << 20, /* octets of a request that is too long, which are read so that the answer is */
    THREADS = 4,
    IDLE_SECONDS = 10
};

struct web {
    struct web_settings settings;
    struct MHD_Daemon *daemon;
};

/* One request, and room for the answer. */
struct request {
    size_t n; /* octets that came; beyond MAX_BODY they are counted only */
    uint8_t body[MAX_BODY];
    uint8_t answer[2 * MAX_BODY];
};

/* A header that an answer has beside its type. */
struct header {
    const char *name, *value;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, struct mkt_span body,
                              const char *type, const struct header *more)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (result == MHD_YES && more != NULL)
        result = MHD_add_response_header(response, more->name, more->value);
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *text,
                                   const struct header *more)
{
    char line[256];
    snprintf(line, sizeof line, "%s\n", text);
    return answer(connection, status, mkt_span_text(line), "text/plain", more);
}

static enum MHD_Result answer_outcome(struct MHD_Connection *connection, const struct outcome *outcome)
{
    char seconds[16];
    const struct header retry_after = {MHD_HTTP_HEADER_RETRY_AFTER, seconds};
    snprintf(seconds, sizeof seconds, "%u", outcome->retry_after);
    if (outcome->message.n == 0)
        return answer_text(connection, outcome->status, outcome->text, outcome->retry_after > 0 ? &retry_after : NULL);
    return answer(connection, outcome->status, (struct mkt_span){outcome->message.p, outcome->message.n},
                  "application/mikey", NULL);
}

/* Whether the body is a MIKEY message, as its type says; without a type, the body will tell. */
static bool is_mikey(struct MHD_Connection *connection)
{
    static const char mikey[] = "application/mikey";
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (type == NULL)
        return true;
    size_t n = strcspn(type, "; \t"); /* no parameters are known, and none do harm */
    return n == sizeof mikey - 1 && strncasecmp(type, mikey, n) == 0;
}

/* The whole request is there. */
static enum MHD_Result respond(const struct web *web, struct MHD_Connection *connection, const char *path,
                               const char *method, struct request *request)
{
    static const struct header allow = {MHD_HTTP_HEADER_ALLOW, MHD_HTTP_METHOD_POST};
    struct outcome outcome = {MHD_HTTP_OK, {request->answer, sizeof request->answer, 0}, NULL, 0};

    if (strcmp(path, "/") != 0)
        return answer_text(connection, MHD_HTTP_NOT_FOUND, "there is nothing here: POST to /", NULL);
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only POST is allowed", &allow);
    if (request->n > MAX_BODY)
        return answer_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, "a message has at most 65536 octets", NULL);
    if (!is_mikey(connection))
        return answer_text(connection, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "send the type application/mikey", NULL);
    const char *type = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "requesttype");
    web->settings.serve(web->settings.user, type != NULL ? type : "", (struct mkt_span){request->body, request->n},
                        &outcome);
    return answer_outcome(connection, &outcome);
}

/* libmicrohttpd calls this once with the header of a request, for each part of the body, and once after it. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *part, size_t *n, void **state)
{
    struct request *request = *state;
    (void)version;
    if (request == NULL) {
        const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
        if (length != NULL && strtoull(length, NULL, 10) > MAX_DROPPED)
            return answer_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, "a message has at most 65536 octets", NULL);
        *state = request = malloc(sizeof *request);
        if (request == NULL)
            return MHD_NO;
        request->n = 0;
        return MHD_YES;
    }
    if (*n == 0)
        return respond(user, connection, path, method, request);
    if (*n > MAX_DROPPED - request->n)
        return MHD_NO; /* a body without end */
    if (request->n + *n <= MAX_BODY)
        memcpy(request->body + request->n, part, *n);
    request->n += *n;
    *n = 0;
    return MHD_YES;
}

static void on_end(void *user, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    (void)user;
    (void)connection;
    (void)code;
    free(*state);
    *state = NULL;
}

struct web *web_start(const struct web_settings *settings)
{
    const bool ipv6 = settings->address->ai_family == AF_INET6;
    const unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | (ipv6 ? (unsigned)MHD_USE_IPv6 : 0);
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL)
        return NULL;
    web->settings = *settings;
    web->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, web, MHD_OPTION_SOCK_ADDR, settings->address->ai_addr,
                         MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    if (web->daemon != NULL)
        return web;
    free(web);
    return NULL;
}

unsigned web_port(const struct web *web)
{
    return MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

void web_stop(struct web *web)
{
    MHD_stop_daemon(web->daemon);
    free(web);
}
