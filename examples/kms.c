/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Key Management Service: makes tickets for Initiators and resolves them for Responders, over HTTP.
 *
 *     kms --listen IP:PORT --users FILE [--cert FILE --key FILE --ca FILE] [--id URI] [--validity SECONDS] [--rate N]
 *         [--connections N] [--skew SECONDS] [--remember N] [--cache FILE [--begin-anew]] [--show-keys]
 *         [--replay redis://IP:PORT --replay-password FILE | --replay unix:/PATH [--replay-password FILE]]
 *
 * With its certificate, its private key and the CAs that it trusts, it serves users who have certificates, too: these
 * need no line in the file of users.
 *
 * POST /?requesttype=ticketrequest takes a REQUEST_INIT, POST /?requesttype=ticketresolve a RESOLVE_INIT, as octets of
 * type application/mikey. The answer is
 *
 * - 200 with the MIKEY answer;
 * - 403 with a MIKEY Error message if the protocol refuses the message;
 * - 429 if its user has sent too many: more than --rate in a minute, 60 by default;
 * - 503 if --remember messages, 100,000 by default, are in the replay cache, or if --replay names a Redis that does not
 *   answer, is full, or has begun too short a time ago;
 * - 400 if it is no such message.
 *
 * A connection has 10 s for each request. An address has --connections at a time, 64 by default; more are closed.
 *
 * users.h describes the file of users, cache.h the file of the replay cache. Tickets are valid for --validity seconds
 * at most, a day by default.
 */
#define _DEFAULT_SOURCE /* getopt_long, getaddrinfo */

#include "cache.h"
#include "certificates.h"
#include "tickets.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool usage(const char *text)
{
    fprintf(stderr, "usage: %s\n", text);
    return false;
}

struct options {
    const char *users, *cache, *listen;
    const char *replay, *replay_password;
    struct certificate_files files;
    bool begin_anew;           /* if the file of the cache is damaged */
    unsigned long remember;    /* messages */
    unsigned long rate;        /* messages of a user in a minute */
    unsigned long connections; /* of an address */
    unsigned long validity;    /* seconds */
    unsigned long skew;        /* seconds */
    struct addrinfo *address;  /* that --listen means */
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

/* Reads a number of at most nine digits. */
static bool number_get(unsigned long *n, const char *text, const char *wrong)
{
    const size_t digits = strspn(text, "0123456789");
    *n = digits < 10 && text[digits] == '\0' ? strtoul(text, NULL, 10) : 0;
    return *n > 0 || usage(wrong);
}

static bool options_get(struct kms *kms, struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'l'},
        {"users", required_argument, NULL, 'u'},
        {"cert", required_argument, NULL, 'e'},
        {"key", required_argument, NULL, 'k'},
        {"ca", required_argument, NULL, 'a'},
        {"id", required_argument, NULL, 'i'},
        {"cache", required_argument, NULL, 'c'},
        {"begin-anew", no_argument, NULL, 'b'},
        {"show-keys", no_argument, NULL, 'w'},
        {"remember", required_argument, NULL, 'r'},
        {"rate", required_argument, NULL, 'm'},
        {"validity", required_argument, NULL, 'v'},
        {"connections", required_argument, NULL, 'n'},
        {"replay", required_argument, NULL, 'y'},
        {"skew", required_argument, NULL, 's'},
        {"replay-password", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    static const char text[] = "kms --listen IP:PORT --users FILE [--cert FILE --key FILE --ca FILE] [--id URI] "
                               "[--validity SECONDS] [--rate N] [--connections N] [--skew SECONDS] [--remember N] "
                               "[--cache FILE [--begin-anew]] [--replay URL [--replay-password FILE]] [--show-keys]";
    bool fine = true;
    int c;

    opterr = 0;
    while (fine && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'l':
            options->listen = optarg;
            break;
        case 'u':
            options->users = optarg;
            break;
        case 'e':
            options->files.cert = optarg;
            break;
        case 'k':
            options->files.key = optarg;
            break;
        case 'a':
            options->files.ca = optarg;
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
        case 'm':
            fine = number_get(&options->rate, optarg, "--rate takes a number of messages in a minute, such as 60");
            break;
        case 'r':
            fine = number_get(&options->remember, optarg, "--remember takes a number of messages, such as 100000");
            break;
        case 'n':
            fine = number_get(&options->connections, optarg, "--connections takes a number, such as 64");
            break;
        case 'v':
            fine = number_get(&options->validity, optarg, "--validity takes a number of seconds, such as 86400");
            break;
        case 's':
            fine = number_get(&options->skew, optarg, "--skew takes a number of seconds, such as 300");
            break;
        case 'y':
            options->replay = optarg;
            break;
        case 'p':
            options->replay_password = optarg;
            break;
        case 'w':
            kms->show_keys = true;
            break;
        default:
            fine = usage(text);
            break;
        }
    }
    if (!fine)
        return false;
    if (optind != argc)
        return usage("options begin with --, and there is nothing else to say");
    if (options->listen == NULL || options->users == NULL)
        return usage(text);
    const struct certificate_files *files = &options->files;
    if ((files->cert != NULL) != (files->key != NULL) || (files->cert != NULL) != (files->ca != NULL))
        return usage("--cert, --key and --ca go together");
    if (options->replay != NULL && options->cache != NULL)
        return usage("--cache and --replay are two places for one thing: give one");
    if (options->replay == NULL && options->replay_password != NULL)
        return usage("--replay-password goes with --replay");
    return (kms->id[0] != '\0' || usage("an identity can't be empty")) && address_get(options);
}

/* Reads the users and certificates, and makes all that there is to remember; false after a line about what is wrong. */
static bool prepare(struct kms *kms, struct cache *cache, struct certificates *certificates,
                    const struct options *options)
{
    const struct mkt_id id = mkt_id_uri(kms->id);
    const bool certified = options->files.cert != NULL;
    if (!users_read(&kms->users, options->users) ||
        (certified && !certificates_open(certificates, &options->files, &id, NULL)) ||
        (options->replay == NULL &&
         !cache_open(cache, options->cache, options->remember, (uint32_t)options->skew, options->begin_anew)))
        return false;
    if (options->replay != NULL) {
        kms->redis = redis_open(options->replay, options->replay_password, (uint32_t)options->skew);
        if (kms->redis == NULL)
            return false;
    }
    if (!rate_open(&kms->rate, options->rate, kms->users.n_users + (certified ? N_STRANGERS : 0))) {
        fprintf(stderr, "kms: no memory: stop other programs\n");
        return false;
    }
    kms->validity = (uint32_t)options->validity;
    kms->skew = (uint32_t)options->skew;
    kms->cache = &cache->replay;
    kms->keys = certified ? &certificates->keys : NULL;
    return true;
}

/* Starts to serve; NULL after a line about what is wrong. */
static struct web *start(struct kms *kms, const struct options *options)
{
    const struct web_settings settings = {options->address, tickets_serve, kms, options->connections};
    /* a message is remembered for twice the skew at most */
    const unsigned long users =
        (unsigned long)(options->remember / rate_most(options->rate, 2 * (unsigned)options->skew));
    struct web *web = web_start(&settings);
    if (web == NULL) {
        fprintf(stderr, "kms: can't listen on %s: name an address of this host and a port that is free\n",
                options->listen);
        return NULL;
    }
    if (kms->redis != NULL)
        printf("kms: remembers messages in Redis, at %s\n", options->replay);
    else
        printf("kms: remembers %lu messages, those of %lu users at the full rate of %lu a minute\n", options->remember,
               users, options->rate);
    printf("kms: listening on http://%.*s:%u as %s\n", (int)(strrchr(options->listen, ':') - options->listen),
           options->listen, web_port(web), kms->id);
    return web;
}

int main(int argc, char **argv)
{
    struct kms kms = {.id = "http://kms.example.com"};
    struct options options = {.remember = 100000, .rate = 60, .connections = 64, .validity = 86400, .skew = 300};
    struct cache cache = {.fd = -1};
    struct certificates certificates = {.x509 = NULL};
    struct web *web = NULL;
    const struct timespec second = {1, 0};
    sigset_t ends;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!options_get(&kms, &options, argc, argv))
        return 2;
    /* The threads that are started get this mask: the signals that end the program come to sigtimedwait(). */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN); /* who closes a connection, or reads the log no more, does not end the KMS */

    if (prepare(&kms, &cache, &certificates, &options))
        web = start(&kms, &options);
    if (web != NULL) {
        while (sigtimedwait(&ends, NULL, &second) < 0)
            web_cut(web);
        web_stop(web);
    }
    rate_close(&kms.rate);
    redis_close(kms.redis);
    cache_close(&cache);
    certificates_close(&certificates);
    users_free(&kms.users);
    freeaddrinfo(options.address);
    return web == NULL;
}
