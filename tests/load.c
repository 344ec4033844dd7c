/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes many calls through a KMS: Initiator and Responder are in this process, the KMS is reached over HTTP.
 *
 *     load --kms URL --users FILE [--kms-id URI] [--initiator URI] [--responder URI] [--calls N] [--clients N]
 *          [--patience SECONDS] [--replay] [--halt N] [--keep PREFIX]
 *
 * FILE is that of the KMS. Calls take turns in suite and in key forking. What the KMS does not answer is asked anew,
 * with a new message, until the patience ends. With --replay each message is sent a second time, which the KMS must
 * refuse with an Error message. With --halt no client begins a call after the first N before standard input ends. With
 * --keep the last messages are left in PREFIX.ticketrequest and PREFIX.ticketresolve. Exit status 1 if any call did not
 * end with the same key at both ends.
 */
#define _DEFAULT_SOURCE /* getopt_long, usleep, explicit_bzero */

#include "../examples/http.h"
#include "../examples/users.h"

#include <mikeyticket.h>

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 64, MAX_OCTETS = 8192, TIMEOUT_MS = 5000, PAUSE_US = 20000 };

/* What all clients share; once they run, only the counters change. */
struct load {
    const char *kms, *initiator, *responder;
    struct mkt_credential credential[2]; /* of Initiator and Responder */
    unsigned long calls, clients, patience, halt;
    const char *keep;
    bool replay;
    atomic_ulong begun, completed, retried, replayed;
};

/* One client: a connection, and one call after the other. */
struct client {
    struct load *load;
    struct http http;
    pthread_t thread;
    unsigned long call;
    uint8_t message[MAX_OCTETS], answer[MAX_OCTETS];
};

static bool complain(const struct client *client, const char *what, const char *why)
{
    fprintf(stderr, "load: call %lu: %s: %s\n", client->call, what, why);
    return false;
}

static bool good(const struct client *client, const char *what, enum mkt_err err)
{
    return err == MKT_OK || complain(client, what, mkt_err_name(err));
}

/* Sends a message again, which the KMS must refuse. */
static bool replay(struct client *client, const char *type, struct mkt_span message)
{
    uint8_t octets[MAX_OCTETS];
    struct mkt_buf answer = {octets, sizeof octets, 0};
    if (!http_post(&client->http, client->load->kms, type, message, TIMEOUT_MS, &answer))
        return complain(client, type, client->http.error);
    if (client->http.status != 403 || !client->http.mikey || answer.n < 2 || octets[1] != MKT_ERROR)
        return complain(client, type, "a replay was not refused with an Error message");
    atomic_fetch_add(&client->load->replayed, 1);
    return true;
}

static bool keep(const struct client *client, const char *type, struct mkt_span message)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%s", client->load->keep, type);
    FILE *out = fopen(name, "wb");
    bool kept = out != NULL && fwrite(message.p, 1, message.n, out) == message.n;
    if (out != NULL)
        kept = fclose(out) == 0 && kept;
    return kept || complain(client, name, "can't be written");
}

/* One exchange with the KMS: makes the message, sends it, takes the answer; all over again where none comes. */
static bool ask(struct client *client, struct mkt_csb *csb, const struct mkt_request *request)
{
    struct load *load = client->load;
    const char *type = request != NULL ? "ticketrequest" : "ticketresolve";
    time_t end = time(NULL) + (time_t)load->patience;

    for (;;) {
        struct mkt_buf message = {client->message, sizeof client->message, 0};
        struct mkt_buf answer = {client->answer, sizeof client->answer, 0};
        if (!good(client, type,
                  request != NULL ? mkt_csb_make_request_init(csb, request, &message)
                                  : mkt_csb_make_resolve_init(csb, &message)))
            return false;
        const struct mkt_span sent = {message.p, message.n};
        bool done = http_post(&client->http, load->kms, type, sent, TIMEOUT_MS, &answer);
        if (done && client->http.status < 500) {
            if (client->http.status != 200 || !client->http.mikey)
                return complain(client, type, "the KMS refused it");
            return good(client, type, mkt_csb_take(csb, (struct mkt_span){answer.p, answer.n})) &&
                   (!load->replay || replay(client, type, sent)) && (load->keep == NULL || keep(client, type, sent));
        }
        if (time(NULL) >= end)
            return complain(client, type, done ? "the KMS has failed" : client->http.error);
        atomic_fetch_add(&load->retried, 1);
        mkt_csb_abandon(csb);
        usleep(PAUSE_US);
    }
}

/* The Initiator has a ticket and makes the TRANSFER_INIT; the Responder has it resolved and answers. */
static bool transfer(struct client *client, struct mkt_csb *initiator, struct mkt_csb *responder)
{
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf init = {client->message, sizeof client->message, 0};
    if (!good(client, "ticket", mkt_csb_take_ticket(initiator, &ticket)))
        return false;
    const struct mkt_offer offer = {
        .size = sizeof offer, .ticket = ticket, .responder = mkt_id_uri(client->load->responder)};
    enum mkt_err err = mkt_csb_make_transfer_init(initiator, &offer, &init);
    mkt_ticket_free(ticket);
    if (!good(client, "TRANSFER_INIT", err) ||
        !good(client, "TRANSFER_INIT taken",
              mkt_csb_take_offer(responder, (struct mkt_span){init.p, init.n}, mkt_span_text("mikey"))))
        return false;
    if (!mkt_csb_must_make(responder, MKT_RESOLVE_INIT_PSK))
        return complain(client, "TRANSFER_INIT", "the Responder has no need of the KMS");
    if (!ask(client, responder, NULL))
        return false;
    struct mkt_buf resp = {client->message, sizeof client->message, 0};
    return good(client, "TRANSFER_RESP", mkt_csb_make_transfer_resp(responder, NULL, &resp)) &&
           good(client, "TRANSFER_RESP taken",
                mkt_csb_take(initiator, (struct mkt_span){resp.p, resp.n}));
}

static bool same_key(const struct client *client, const struct mkt_csb *a, const struct mkt_csb *b)
{
    uint8_t octets[2][64];
    struct mkt_buf tek[2] = {{octets[0], sizeof octets[0], 0}, {octets[1], sizeof octets[1], 0}};
    bool same =
        good(client, "TEK", mkt_csb_tek(a, 1, &tek[0])) && good(client, "TEK", mkt_csb_tek(b, 1, &tek[1])) &&
        (tek[0].n == tek[1].n && memcmp(octets[0], octets[1], tek[0].n) == 0 ? true
                                                                             : complain(client, "TEK", "differ"));
    explicit_bzero(octets, sizeof octets);
    return same;
}

/* A whole call. */
static bool call(struct client *client)
{
    const struct mkt_host host = {.size = sizeof host};
    const struct load *load = client->load;
    struct mkt_settings settings[2];
    struct mkt_policy policy = mkt_policy_default(client->call % 2 == 0 ? MKT_SUITE_256 : MKT_SUITE_128);
    const struct mkt_request request = {.size = sizeof request, .policy = &policy};
    struct mkt_csb *initiator = NULL, *responder = NULL;
    int64_t now = (int64_t)time(NULL);

    mkt_settings_init(&settings[0], mkt_id_uri(load->initiator));
    mkt_settings_init(&settings[1], mkt_id_uri(load->responder));
    if (client->call / 2 % 2 == 0)
        policy.flags |= MKT_FLAG_E | MKT_FLAG_I;
    policy.flags |= MKT_FLAG_D;
    policy.responder[policy.n_responders++] = settings[1].self;
    policy.has_start = policy.has_end = true;
    policy.start = mkt_ntp_from_unix(now - 60);
    policy.end = mkt_ntp_from_unix(now + 3600);
    settings[0].kms = &load->credential[0];
    settings[1].kms = &load->credential[1];
    bool done = good(client, "Initiator", mkt_csb_new(&initiator, MKT_INITIATOR, &host, &settings[0])) &&
                good(client, "Responder", mkt_csb_new(&responder, MKT_RESPONDER, &host, &settings[1])) &&
                ask(client, initiator, &request) && transfer(client, initiator, responder) &&
                same_key(client, initiator, responder);
    mkt_csb_free(initiator);
    mkt_csb_free(responder);
    return done;
}

static void wait_for_end_of_input(void)
{
    char c;
    while (read(STDIN_FILENO, &c, 1) > 0)
        continue;
}

static void *run(void *user)
{
    struct client *client = user;
    struct load *load = client->load;
    while ((client->call = atomic_fetch_add(&load->begun, 1)) < load->calls) {
        if (load->halt > 0 && client->call >= load->halt)
            wait_for_end_of_input();
        if (!call(client))
            continue;
        unsigned long completed = atomic_fetch_add(&load->completed, 1) + 1;
        if (completed % 100 == 0)
            printf("load: %lu calls\n", completed);
    }
    return NULL;
}

static bool usage(const char *text)
{
    fprintf(stderr, "usage: %s\n", text);
    return false;
}

static bool number(unsigned long *n, const char *text, unsigned long most)
{
    char *end;
    *n = strtoul(text, &end, 10);
    return (text[0] >= '0' && text[0] <= '9' && *end == '\0' && *n >= 1 && *n <= most) ||
           usage("a number is 1 or more, of clients 64 at most");
}

static bool options_get(struct load *load, const char **users, int argc, char **argv)
{
    static const struct option names[] = {
        {"kms", required_argument, NULL, 'k'},
        {"users", required_argument, NULL, 'u'},
        {"kms-id", required_argument, NULL, 'd'},
        {"initiator", required_argument, NULL, 'i'},
        {"responder", required_argument, NULL, 'r'},
        {"calls", required_argument, NULL, 'n'},
        {"clients", required_argument, NULL, 'c'},
        {"patience", required_argument, NULL, 'p'},
        {"replay", no_argument, NULL, 'a'},
        {"halt", required_argument, NULL, 'h'},
        {"keep", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    bool fine = true;
    int c;

    opterr = 0;
    while (fine && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'k':
            load->kms = optarg;
            break;
        case 'u':
            *users = optarg;
            break;
        case 'd':
            load->credential[0].kms = load->credential[1].kms = mkt_id_uri(optarg);
            break;
        case 'i':
            load->initiator = optarg;
            break;
        case 'r':
            load->responder = optarg;
            break;
        case 'n':
            fine = number(&load->calls, optarg, 1000000000);
            break;
        case 'c':
            fine = number(&load->clients, optarg, MAX_CLIENTS);
            break;
        case 'p':
            fine = number(&load->patience, optarg, 3600);
            break;
        case 'h':
            fine = number(&load->halt, optarg, 1000000000);
            break;
        case 'o':
            load->keep = optarg;
            break;
        case 'a':
            load->replay = true;
            break;
        default:
            fine = usage("load --kms URL --users FILE [--kms-id URI] [--initiator URI] [--responder URI] [--calls N] "
                         "[--clients N] [--patience SECONDS] [--replay] [--halt N] [--keep PREFIX]");
            break;
        }
    }
    return fine && ((optind == argc && load->kms != NULL && *users != NULL) || usage("--kms and --users are needed"));
}

static bool credential(struct mkt_credential *credential, const struct users *users, const char *identity)
{
    const struct mkt_id id = mkt_id_uri(identity);
    const struct entry *entry = users_user(users, &id);
    if (entry == NULL) {
        fprintf(stderr, "load: %s is no user: add a line to the file\n", identity);
        return false;
    }
    credential->name = mkt_id_bytes(entry->id);
    credential->psk = (struct mkt_span){entry->key, entry->key_n};
    return true;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Lets the clients run to the end. */
static bool make_calls(struct load *load)
{
    struct client *clients = calloc(load->clients, sizeof *clients);
    unsigned long started = 0, opened = 0;
    if (clients == NULL)
        return usage("so many clients have no memory");
    while (opened < load->clients) {
        clients[opened].load = load;
        if (!http_open(&clients[opened++].http))
            break;
    }
    while (started < opened && pthread_create(&clients[started].thread, NULL, run, &clients[started]) == 0)
        started++;
    for (unsigned long i = 0; i < started; i++)
        pthread_join(clients[i].thread, NULL);
    for (unsigned long i = 0; i < opened; i++)
        http_close(&clients[i].http);
    free(clients);
    return started == load->clients && atomic_load(&load->completed) == load->calls;
}

int main(int argc, char **argv)
{
    struct load load = {.initiator = "sip:alice@example.com",
                        .responder = "sip:bob@example.com",
                        .calls = 1000,
                        .clients = 4,
                        .patience = 10};
    struct users users = {.first = NULL};
    const char *file = NULL;

    setvbuf(stdout, NULL, _IOLBF, 0);
    load.credential[0].kms = load.credential[1].kms = mkt_id_uri("http://kms.example.com");
    if (!options_get(&load, &file, argc, argv))
        return 2;
    double begin = seconds();
    bool done = users_read(&users, file) && credential(&load.credential[0], &users, load.initiator) &&
                credential(&load.credential[1], &users, load.responder) && make_calls(&load);
    printf("load: %lu of %lu calls completed with %lu clients in %.1f s; requests: %lu retried, %lu replays refused\n",
           atomic_load(&load.completed), load.calls, load.clients, seconds() - begin, atomic_load(&load.retried),
           atomic_load(&load.replayed));
    users_free(&users);
    return done ? 0 : 1;
}
