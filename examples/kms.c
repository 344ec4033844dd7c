/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Key Management Service: makes tickets for Initiators and resolves them for Responders, over HTTP.
 *
 *     kms --listen IP:PORT --users FILE [--id URI] [--remember N] [--cache FILE [--begin-anew]] [--show-keys]
 *
 * POST /?requesttype=ticketrequest takes a REQUEST_INIT, POST /?requesttype=ticketresolve a RESOLVE_INIT, as octets of
 * type application/mikey. The answer is 200 with the MIKEY answer, or 403 with a MIKEY Error message where the protocol
 * refuses; what is no such message gets 400. What stands in the file of users is told in users.h.
 *
 * A message is served once. N messages are remembered, 100,000 by default, each as long as its timestamp is good, which
 * is 5 minutes; beyond, the answer is 503. With --cache a KMS that is started anew knows those of before from a file. A
 * file that is damaged is refused; with --begin-anew a new one takes its place.
 */
#define _DEFAULT_SOURCE /* getopt_long, getaddrinfo, strcasecmp */

#include "cache.h"
#include "text.h"
#include "users.h"

#include <mikeyticket.h>

#include <microhttpd.h>

#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    MAX_BODY = 65536,      /* octets of a request */
    MAX_DROPPED = 1 << 20, /* octets of a request that is too long, which are read so that the answer is */
    THREADS = 4,
    IDLE_SECONDS = 10
};

/* All of it is only read once the first request is served: the threads share it without a lock. */
struct kms {
    const char *id;
    bool show_keys;
    struct users users;
    struct mkt_host host;
};

/* What is asked for, by the name that HTTP has for it and by the messages that do it. */
struct exchange {
    const char *name;
    uint8_t psk, pk; /* data types; the library refuses the second, and says so in an Error message */
};

static const struct exchange exchanges[] = {
    {"ticketrequest", MKT_REQUEST_INIT_PSK, MKT_REQUEST_INIT_PK},
    {"ticketresolve", MKT_RESOLVE_INIT_PSK, MKT_RESOLVE_INIT_PK},
};

/* One request, and room for the answer. */
struct request {
    size_t n; /* octets that came; beyond MAX_BODY they are counted only */
    uint8_t body[MAX_BODY];
    uint8_t answer[2 * MAX_BODY];
};

/* ---- what the library asks ---- */

static enum mkt_err find_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct kms *kms = user;
    const struct entry *entry = NULL;
    if (name != NULL)
        entry = users_psk(&kms->users, name);
    else if (id != NULL)
        entry = users_user(&kms->users, id);
    if (entry == NULL)
        return MKT_E_KEY;
    psk->owner = mkt_id_uri(entry->identity);
    return users_key(entry, &psk->key);
}

/* Tickets of our own name the first TPK, those of users who share one with us that one. The key tells that they are of
   somebody who has it; where it is one Initiator's, another is refused. */
static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct kms *kms = user;
    const struct entry *entry = id != NULL ? users_tpk(&kms->users, id) : kms->users.first_tpk;
    if (entry == NULL)
        return MKT_E_KEY;
    if (entry->identity != NULL && !users_is(entry, &policy->initiator))
        return MKT_E_INITIATOR;
    return users_key(entry, key);
}

static bool is_member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    const struct kms *kms = user;
    const struct entry *entry = users_user(&kms->users, id);
    for (size_t i = 0; entry != NULL && i < entry->n_groups; i++) {
        const struct mkt_id one = mkt_id_uri(entry->group[i]);
        if (mkt_id_equal(&one, group))
            return true;
    }
    return false;
}

/* ---- MIKEY ---- */

/* The keys of a ticket stand in what mkt_ticket_put() writes: 1, a length and the TICKET payload, a length and keys. */
static void show_keys(const struct mkt_ticket *ticket)
{
    static const char *const names[] = {"tgk", "tgk", "tek", "tek", "gtgk", "gtgk", "mpk"};
    struct mkt_buf stored = {NULL, 0, 0};
    struct mkt_payload p;
    uint16_t type = MKT_KEY_DATA;

    if (mkt_ticket_put(ticket, &stored) != MKT_OK)
        return;
    stored = (struct mkt_buf){malloc(stored.n), stored.n, 0};
    if (stored.p == NULL || mkt_ticket_put(ticket, &stored) != MKT_OK) {
        free(stored.p);
        return;
    }
    const uint8_t *at = stored.p + 1;
    at += 4 + ((size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3]) + 4;
    struct mkt_span rest = {at, stored.n - (size_t)(at - stored.p)};
    while (type != MKT_LAST && mkt_payload_get(&p, &type, &rest) == MKT_OK) {
        char hex[257] = "too long to be shown";
        text_put_hex(hex, sizeof hex, p.key_data.key);
        fprintf(stderr, "%s: %s\n", p.key_data.type < sizeof names / sizeof *names ? names[p.key_data.type] : "key",
                hex);
        explicit_bzero(hex, sizeof hex);
    }
    explicit_bzero(stored.p, stored.cap);
    free(stored.p);
}

/* Whom a ticket is for. */
static void tell_responders(char text[512], const struct mkt_policy *policy)
{
    char first[256] = "nobody";
    if (policy->n_responders > 0)
        text_put_id(first, &policy->responder[0]);
    if (policy->n_responders > 1)
        snprintf(text, 512, "ticket for %s and %zu more", first, policy->n_responders - 1);
    else
        snprintf(text, 512, "ticket for %s", first);
}

/* Grants a ticket as it is asked for, to the user that asks. */
static enum mkt_err grant(const struct kms *kms, struct mkt_csb *csb, struct mkt_buf *out, char text[512])
{
    const struct entry *tpk = kms->users.first_tpk;
    const struct mkt_ticket_recipe recipe = {.tpk_id = mkt_id_bytes(tpk->id), .tpk = {tpk->key, tpk->key_n}};
    const struct mkt_id peer = mkt_csb_peer(csb);
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct mkt_policy policy;
    struct mkt_ticket *ticket = NULL;
    size_t n_keys;

    enum mkt_err err = mkt_csb_request(csb, &policy, keys, &n_keys);
    if (err == MKT_OK && !mkt_id_equal(&policy.initiator, &peer))
        err = MKT_E_INITIATOR;
    if (err == MKT_OK)
        err = mkt_csb_grant(csb, &recipe, &ticket);
    if (err == MKT_OK) {
        tell_responders(text, &policy);
        err = mkt_csb_make_request_resp(csb, ticket, out);
    }
    if (err == MKT_OK && kms->show_keys)
        show_keys(ticket);
    mkt_ticket_free(ticket);
    return err;
}

/* Whose ticket was resolved. The library has verified it. */
static void tell_initiator(char text[512], const struct mkt_message *message)
{
    const struct mkt_payload *ticket = mkt_message_find(message, MKT_TICKET, 0);
    struct mkt_policy policy;
    char id[256] = "somebody";
    if (ticket != NULL && mkt_policy_get(&policy, &ticket->ticket) == MKT_OK)
        text_put_id(id, &policy.initiator);
    snprintf(text, 512, "ticket of %s resolved", id);
}

/* Who sent a message, as the message says. */
static void tell_sender(char who[256], const struct mkt_message *message)
{
    static const uint8_t roles[] = {MKT_IDR_I, MKT_IDR_R, MKT_IDR_PSK};
    snprintf(who, 256, "somebody");
    for (size_t i = 0; i < sizeof roles; i++) {
        const struct mkt_payload *id = mkt_message_find(message, MKT_IDR, roles[i]);
        if (id != NULL) {
            text_put_id(who, &id->id);
            return;
        }
    }
}

/* An Error message has a MAC where the message that it is about was authentic, and no replay. */
static bool has_mac(struct mkt_span error)
{
    struct mkt_message message;
    return mkt_message_get(&message, error) == MKT_OK && mkt_message_find(&message, MKT_V, 0) != NULL;
}

/* What to answer: an HTTP status and a message, or a line of text where that is empty. */
struct outcome {
    unsigned status;
    struct mkt_buf message;
    const char *text;
};

/* Answers with an Error message; with a line of text where none can be made, or where it is this KMS that fails. */
static void refuse(struct outcome *outcome, struct mkt_csb *csb, struct mkt_span about, enum mkt_err err)
{
    outcome->status = MHD_HTTP_FORBIDDEN;
    outcome->message.n = 0;
    if (csb != NULL && mkt_err_class(err) != MKT_CLASS_HOST) {
        enum mkt_err failed = mkt_csb_make_error(csb, about, err, NULL, 0, &outcome->message);
        if (failed == MKT_OK)
            return;
        outcome->status = MHD_HTTP_BAD_REQUEST;
        if (mkt_err_class(failed) == MKT_CLASS_HOST)
            err = failed;
    }
    outcome->text = mkt_err_text(err);
    if (err == MKT_E_CACHE_FULL)
        outcome->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    else if (csb == NULL || mkt_err_class(err) == MKT_CLASS_HOST)
        outcome->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
}

/* Serves a message, and writes a line about it. */
static void serve(const struct kms *kms, const struct exchange *exchange, struct request *request,
                  struct outcome *outcome)
{
    const struct mkt_span in = {request->body, request->n}, none = {NULL, 0};
    struct mkt_settings settings = mkt_settings_default(mkt_id_uri(kms->id));
    struct mkt_message message;
    struct mkt_csb *csb = NULL;
    char who[256] = "somebody", text[512];

    *outcome = (struct outcome){MHD_HTTP_OK, {request->answer, sizeof request->answer, 0}, NULL};
    enum mkt_err err = mkt_message_get(&message, in);
    if (err == MKT_OK) {
        tell_sender(who, &message);
        if (message.hdr.data_type != exchange->psk && message.hdr.data_type != exchange->pk) {
            outcome->status = MHD_HTTP_BAD_REQUEST;
            outcome->text = "not the message that this requesttype is for";
            printf("kms: %s from %s (not verified): refused, a message of type %s\n", exchange->name, who,
                   mkt_data_type_name(message.hdr.data_type));
            return;
        }
    }
    settings.application = none; /* any */
    settings.size = MKT_CSB_SIZE + 2 * in.n;
    err = mkt_csb_new(&csb, MKT_KMS, &kms->host, &settings);
    err = err != MKT_OK ? err : mkt_csb_take(csb, in, none);
    bool taken = err == MKT_OK, known = taken;
    if (taken && mkt_csb_owes(csb, MKT_REQUEST_RESP)) {
        err = grant(kms, csb, &outcome->message, text);
    } else if (taken) {
        tell_initiator(text, &message);
        err = mkt_csb_make_resolve_resp(csb, &outcome->message);
    }
    if (err != MKT_OK) {
        refuse(outcome, csb, taken ? none : in, err);
        known = known || has_mac((struct mkt_span){outcome->message.p, outcome->message.n});
        printf("kms: %s from %s%s: refused, %s: %s\n", exchange->name, who, known ? "" : " (not verified)",
               mkt_err_name(err), mkt_err_text(err));
    } else {
        printf("kms: %s from %s: %s\n", exchange->name, who, text);
    }
    mkt_csb_free(csb);
}

/* ---- HTTP ---- */

/* Queues an answer; `more` is a header with its value. */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, struct mkt_span body,
                              const char *type, const char *more)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (result == MHD_YES && more != NULL)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, more);
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    char line[256];
    snprintf(line, sizeof line, "%s\n", text);
    return answer(connection, status, mkt_span_text(line), "text/plain", status == 405 ? MHD_HTTP_METHOD_POST : NULL);
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
static enum MHD_Result respond(const struct kms *kms, struct MHD_Connection *connection, const char *path,
                               const char *method, struct request *request)
{
    const struct exchange *exchange = exchanges, *end = exchanges + sizeof exchanges / sizeof *exchanges;
    struct outcome outcome;

    if (strcmp(path, "/") != 0)
        return answer_text(connection, MHD_HTTP_NOT_FOUND, "there is nothing here: POST to /");
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only POST is allowed");
    if (request->n > MAX_BODY)
        return answer_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, "a message has at most 65536 octets");
    if (!is_mikey(connection))
        return answer_text(connection, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "send the type application/mikey");
    const char *type = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "requesttype");
    while (exchange < end && (type == NULL || strcmp(type, exchange->name) != 0))
        exchange++;
    if (exchange == end)
        return answer_text(connection, MHD_HTTP_BAD_REQUEST, "say ?requesttype=ticketrequest or ticketresolve");
    serve(kms, exchange, request, &outcome);
    if (outcome.message.n == 0)
        return answer_text(connection, outcome.status, outcome.text);
    return answer(connection, outcome.status, (struct mkt_span){outcome.message.p, outcome.message.n},
                  "application/mikey", NULL);
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
            return answer_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, "a message has at most 65536 octets");
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

/* ---- the program ---- */

static bool usage(const char *text)
{
    fprintf(stderr, "usage: %s\n", text);
    return false;
}

struct options {
    const char *users, *cache, *listen;
    bool begin_anew;          /* if the file of the cache is damaged */
    size_t remember;          /* messages */
    struct addrinfo *address; /* that --listen means */
};

/* Reads IP:PORT, or [IPv6]:PORT. */
static bool address_get(struct options *options)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(options->listen, ':'), *ip = options->listen;
    char host[64];
    size_t n = colon == NULL ? 0 : (size_t)(colon - ip);

    if (n > 2 && ip[0] == '[' && ip[n - 1] == ']') {
        ip++;
        n -= 2;
    } else if (n > 0 && memchr(ip, ':', n) != NULL) {
        n = 0;
    }
    if (n > 0 && n < sizeof host && colon[1] != '\0') {
        memcpy(host, ip, n);
        host[n] = '\0';
        if (getaddrinfo(host, colon + 1, &hints, &options->address) == 0)
            return true;
        options->address = NULL;
    }
    return usage("--listen takes IP:PORT, such as 127.0.0.1:8080 or [::1]:8080; port 0: any that is free");
}

static bool remember_get(struct options *options, const char *text)
{
    size_t n = strspn(text, "0123456789");
    options->remember = n < 10 && text[n] == '\0' ? strtoul(text, NULL, 10) : 0;
    return options->remember > 0 || usage("--remember takes a number of messages, such as 100000");
}

static bool options_get(struct kms *kms, struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'l'},   {"users", required_argument, NULL, 'u'},
        {"id", required_argument, NULL, 'i'},       {"cache", required_argument, NULL, 'c'},
        {"begin-anew", no_argument, NULL, 'b'},     {"show-keys", no_argument, NULL, 'w'},
        {"remember", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0},
    };
    static const char text[] =
        "kms --listen IP:PORT --users FILE [--id URI] [--remember N] [--cache FILE [--begin-anew]] [--show-keys]";
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'l':
            options->listen = optarg;
            break;
        case 'u':
            options->users = optarg;
            break;
        case 'i':
            kms->id = optarg;
            break;
        case 'c':
            options->cache = optarg;
            break;
        case 'b':
            options->begin_anew = true;
            break;
        case 'r':
            if (!remember_get(options, optarg))
                return false;
            break;
        case 'w':
            kms->show_keys = true;
            break;
        default:
            return usage(text);
        }
    }
    if (optind != argc)
        return usage("options begin with --, and there is nothing else to say");
    if (options->listen == NULL || options->users == NULL)
        return usage(text);
    return (kms->id[0] != '\0' || usage("an identity can't be empty")) && address_get(options);
}

/* Starts to serve; NULL after a line about what is wrong. */
static struct MHD_Daemon *start(const struct kms *kms, const struct options *options)
{
    bool ipv6 = options->address->ai_family == AF_INET6;
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | (ipv6 ? (unsigned)MHD_USE_IPv6 : 0);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, (void *)(uintptr_t)kms, MHD_OPTION_SOCK_ADDR, options->address->ai_addr,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    if (daemon == NULL)
        fprintf(stderr, "kms: can't listen on %s: name an address of this host and a port that is free\n",
                options->listen);
    else
        printf("kms: listening on http://%.*s:%u as %s\n", (int)(strrchr(options->listen, ':') - options->listen),
               options->listen, MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port, kms->id);
    return daemon;
}

int main(int argc, char **argv)
{
    struct kms kms = {.id = "http://kms.example.com"};
    struct options options = {.remember = 100000};
    struct cache cache = {.fd = -1};
    struct MHD_Daemon *daemon = NULL;
    sigset_t ends;
    int signal_number;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!options_get(&kms, &options, argc, argv))
        return 2;
    kms.host = (struct mkt_host){.user = &kms, .psk = find_psk, .tpk = find_tpk, .member = is_member};

    /* The threads that are started get this mask: the signals that end the program come to sigwait(). */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN); /* who closes a connection, or reads the log no more, does not end the KMS */

    kms.host.cache = &cache.replay;
    if (users_read(&kms.users, options.users) &&
        cache_open(&cache, options.cache, options.remember, options.begin_anew))
        daemon = start(&kms, &options);
    if (daemon != NULL) {
        sigwait(&ends, &signal_number);
        MHD_stop_daemon(daemon);
    }
    cache_close(&cache);
    users_free(&kms.users);
    freeaddrinfo(options.address);
    return daemon == NULL;
}
