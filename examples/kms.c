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
#define _DEFAULT_SOURCE /* getopt_long, getaddrinfo */

#include "cache.h"
#include "tickets.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static struct web *start(struct kms *kms, const struct options *options)
{
    const struct web_settings settings = {options->address, tickets_serve, kms};
    struct web *web = web_start(&settings);
    if (web == NULL)
        fprintf(stderr, "kms: can't listen on %s: name an address of this host and a port that is free\n",
                options->listen);
    else
        printf("kms: listening on http://%.*s:%u as %s\n", (int)(strrchr(options->listen, ':') - options->listen),
               options->listen, web_port(web), kms->id);
    return web;
}

int main(int argc, char **argv)
{
    struct kms kms = {.id = "http://kms.example.com"};
    struct options options = {.remember = 100000};
    struct cache cache = {.fd = -1};
    struct web *web = NULL;
    sigset_t ends;
    int signal_number;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!options_get(&kms, &options, argc, argv))
        return 2;
    /* The threads that are started get this mask: the signals that end the program come to sigwait(). */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN); /* who closes a connection, or reads the log no more, does not end the KMS */

    kms.host = tickets_host(&kms, &cache.replay);
    if (users_read(&kms.users, options.users) &&
        cache_open(&cache, options.cache, options.remember, options.begin_anew))
        web = start(&kms, &options);
    if (web != NULL) {
        sigwait(&ends, &signal_number);
        web_stop(web);
    }
    cache_close(&cache);
    users_free(&kms.users);
    freeaddrinfo(options.address);
    return web == NULL;
}
