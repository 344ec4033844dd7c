/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* strncasecmp, clock_gettime */

#include "web.h"

#include <microhttpd.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

enum {
    MAX_BODY = 65536,      /* octets of a request */
    MAX_DROPPED = 1 << 20, /* octets of a request that is too long, which are read so that the answer is */
    THREADS = 4,
    REQUEST_SECONDS = 10
};

/* A connection. */
struct client {
    struct client *next, **link;
    MHD_socket fd;           /* MHD_INVALID_SOCKET until it begins */
    uint8_t address[8];      /* an IPv4 address, or the first half of an IPv6 one: anybody has all of a network */
    _Atomic int64_t waiting; /* since when, for the rest of a request or of its answer */
};

struct web {
    struct web_settings settings;
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock; /* of the clients */
    struct client *first;
};

/* One request, and room for the answer. */
struct request {
    size_t n; /* octets that came; beyond MAX_BODY they are counted only */
    uint8_t body[MAX_BODY];
    uint8_t answer[2 * MAX_BODY];
};

/* ---- connections ---- */

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void address_of(uint8_t address[8], const struct sockaddr *from)
{
    memset(address, 0, 8);
    if (from->sa_family == AF_INET6)
        memcpy(address, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 8);
    else
        memcpy(address, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
}

static void unlink_client(struct client *client)
{
    *client->link = client->next;
    if (client->next != NULL)
        client->next->link = client->link;
    free(client);
}

/* No address may have more connections than the settings say. One that may begin is counted at once, as other threads
   ask at the same time. */
static enum MHD_Result may_connect(void *user, const struct sockaddr *from, socklen_t n)
{
    struct web *web = user;
    unsigned long connections = 0;
    struct client *client = malloc(sizeof *client);
    (void)n;
    if (client == NULL)
        return MHD_NO;
    client->fd = MHD_INVALID_SOCKET;
    address_of(client->address, from);
    atomic_init(&client->waiting, milliseconds());
    pthread_mutex_lock(&web->lock);
    for (const struct client *other = web->first; other != NULL; other = other->next)
        connections += memcmp(other->address, client->address, sizeof client->address) == 0;
    client->next = web->first;
    client->link = &web->first;
    if (client->next != NULL)
        client->next->link = &client->next;
    web->first = client;
    if (connections >= web->settings.connections)
        unlink_client(client);
    pthread_mutex_unlock(&web->lock);
    return connections < web->settings.connections ? MHD_YES : MHD_NO;
}

/* The connection is one of those that may begin. */
static struct client *begin(struct web *web, struct MHD_Connection *connection)
{
    uint8_t address[8];
    address_of(address, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    pthread_mutex_lock(&web->lock);
    struct client *client = web->first;
    while (client != NULL &&
           (client->fd != MHD_INVALID_SOCKET || memcmp(client->address, address, sizeof address) != 0))
        client = client->next;
    if (client != NULL)
        client->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    pthread_mutex_unlock(&web->lock);
    return client;
}

static void end(struct web *web, struct client *client)
{
    pthread_mutex_lock(&web->lock);
    if (client != NULL)
        unlink_client(client);
    pthread_mutex_unlock(&web->lock);
}

/* libmicrohttpd calls this when a connection begins, and before it closes the socket. */
static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = begin(user, connection);
    else
        end(user, *context);
}

/* A request or an answer is complete: the next one has its own time. */
static void begin_to_wait(struct MHD_Connection *connection)
{
    struct client *client = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    if (client != NULL)
        atomic_store(&client->waiting, milliseconds());
}

void web_cut(struct web *web)
{
    const int64_t now = milliseconds();
    pthread_mutex_lock(&web->lock);
    for (struct client *client = web->first, *next; client != NULL; client = next) {
        next = client->next;
        if (now - atomic_load(&client->waiting) < 1000 * REQUEST_SECONDS)
            continue;
        if (client->fd == MHD_INVALID_SOCKET)
            unlink_client(client); /* it never began: there was no memory */
        else
            shutdown(client->fd, SHUT_RDWR); /* libmicrohttpd finds it closed */
    }
    pthread_mutex_unlock(&web->lock);
}

/* ---- requests ---- */

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
    return answer(connection, outcome->status, mkt_buf_span(&outcome->message), "application/mikey", NULL);
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
    if (*n == 0) {
        begin_to_wait(connection);
        return respond(user, connection, path, method, request);
    }
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
    (void)code;
    begin_to_wait(connection);
    free(*state);
    *state = NULL;
}

/* ---- the server ---- */

struct web *web_start(const struct web_settings *settings)
{
    const bool ipv6 = settings->address->ai_family == AF_INET6;
    const unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | (ipv6 ? (unsigned)MHD_USE_IPv6 : 0);
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL)
        return NULL;
    web->settings = *settings;
    pthread_mutex_init(&web->lock, NULL);
    web->daemon = MHD_start_daemon(
        flags, 0, may_connect, web, on_request, web, MHD_OPTION_SOCK_ADDR, settings->address->ai_addr,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)REQUEST_SECONDS,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, web, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    if (web->daemon != NULL)
        return web;
    pthread_mutex_destroy(&web->lock);
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
    while (web->first != NULL)
        unlink_client(web->first);
    pthread_mutex_destroy(&web->lock);
    free(web);
}
