/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the longest descriptions cost that an attacker can send in one INVITE of 64 KiB, with all their sections asked
 * for: in order, from the last to the first, and in an order that jumps. A program, not a test: it fails only if a call
 * does, never on a time. And base64: 2 ns a character are 0.128 ms.
 *
 *     hostile [ROUNDS]
 */
#define _DEFAULT_SOURCE /* clock_gettime */

#include <mikeyticket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT = 65536, MAX_ROUNDS = 101, LINES = 6544, MSRPS = 861 };

#define HEAD "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"

static char offer_text[TEXT + 1], answer_text[TEXT + 1], other_text[TEXT + 1];

static void must(enum mkt_err err)
{
    if (err == MKT_OK)
        return;
    fprintf(stderr, "hostile: %s: %s\n", mkt_err_name(err), mkt_err_text(err));
    exit(1);
}

/* A description of as many lines as there is room for, up to `most`; returns how many. Each has its number before `tail`,
 * unless that is NULL. */
static size_t fill(char text[TEXT + 1], const char *line, const char *tail, size_t most)
{
    size_t used = (size_t)snprintf(text, TEXT + 1, "%s", HEAD), n = 0;
    for (; n < most; n++) {
        char *to = text + used;
        const size_t left = TEXT + 1 - used;
        const int more =
            tail == NULL ? snprintf(to, left, "%s", line) : snprintf(to, left, "%s%04u%s", line, (unsigned)n, tail);
        if (used + (size_t)more > TEXT)
            break;
        used += (size_t)more;
    }
    text[used] = '\0';
    return n;
}

/* ---- what is asked ---- */

enum order { IN_ORDER, BACKWARDS, JUMPING, ORDERS };

/* The number that is asked for as the i-th of n. */
static size_t nth(size_t i, size_t n, enum order order)
{
    enum { PRIME = 7919 }; /* more than any n here: each number once */
    return order == IN_ORDER ? i : order == BACKWARDS ? n - 1 - i : i * PRIME % n;
}

static void ask_media(enum order order)
{
    struct mkt_sdp sdp;
    struct mkt_sdp_media media;
    must(mkt_sdp_parse(&sdp, mkt_span_text(offer_text)));
    for (size_t i = 0; i < sdp.sections; i++)
        must(mkt_sdp_media_parse(&sdp, nth(i, sdp.sections, order), &media));
}

static void ask_attributes(enum order order)
{
    struct mkt_sdp sdp;
    struct mkt_span value = {NULL, 0};
    (void)order;
    must(mkt_sdp_parse(&sdp, mkt_span_text(offer_text)));
    do
        must(mkt_sdp_attribute(&sdp, 0, "x", &value));
    while (value.p != NULL);
}

static struct mkt_sdp_kept kept[MSRPS]; /* of the exchange before */

/* Reads an offer and its answer, and decides on each stream. */
static void decide(const char *offered, const char *answered, enum order order, struct mkt_sdp_kept next[MSRPS])
{
    struct mkt_sdp offer, answer;
    struct mkt_sdp_exchange exchange;
    struct mkt_connection connection;
    must(mkt_sdp_parse(&offer, mkt_span_text(offered)));
    must(mkt_sdp_parse(&answer, mkt_span_text(answered)));
    mkt_sdp_exchange_init(&exchange, &offer, &answer);
    for (size_t i = 0; i < offer.sections; i++) {
        const size_t media = nth(i, offer.sections, order);
        must(mkt_connection_decide(&exchange, &kept[media], media, &connection, &next[media]));
    }
}

static void ask_connections(enum order order)
{
    static struct mkt_sdp_kept next[MSRPS];
    decide(offer_text, answer_text, order, next);
}

enum { CHARACTERS = 64000 };

static uint8_t message[CHARACTERS / 4 * 3];
static uint8_t line[CHARACTERS + 64];

static void encode(enum order order)
{
    struct mkt_buf out = {line, sizeof line, 0};
    (void)order;
    must(mkt_sdp_key_mgmt_encode((struct mkt_span){message, sizeof message}, &out));
}

static void decode(enum order order)
{
    static struct mkt_sdp sdp;
    struct mkt_buf out = {message, sizeof message, 0};
    (void)order;
    if (sdp.text.n == 0)
        must(mkt_sdp_parse(&sdp, mkt_span_text((const char *)line)));
    must(mkt_sdp_key_mgmt_decode(&sdp, MKT_SDP_SESSION, &out));
}

/* ---- the clock ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *what, size_t n, void (*ask)(enum order order), double goal, unsigned orders,
                    size_t rounds)
{
    static const char *const names[] = {"in order", "backwards", "jumping"};
    static double ms[MAX_ROUNDS];
    for (unsigned order = 0; order < orders; order++) {
        for (size_t i = 0; i < rounds; i++) {
            struct timespec from, to;
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
            ask((enum order)order);
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
            ms[i] = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
        }
        qsort(ms, rounds, sizeof *ms, compare);
        const double median = ms[rounds / 2];
        printf("%5zu %-38s %-10s %7.3f ms, goal %g ms: %s\n", n, what, names[order], median, goal,
               median <= goal ? "met" : "MISSED");
    }
}

int main(int argc, char **argv)
{
    const size_t wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 11;
    const size_t rounds = wanted < 1 ? 1 : wanted > MAX_ROUNDS ? MAX_ROUNDS : wanted;
    size_t n = fill(offer_text, "m=a 9 b c\n", NULL, LINES);
    measure("m= lines", n, ask_media, 1, ORDERS, rounds);
    n = fill(offer_text, "a=x\n", NULL, (TEXT - sizeof HEAD - 9) / 4);
    memmove(offer_text + sizeof HEAD + 9, offer_text + sizeof HEAD - 1, 4 * n + 1);
    memcpy(offer_text + sizeof HEAD - 1, "m=a 9 b c\n", 10);
    measure("a=x lines", n, ask_attributes, 1, 1, rounds);
    n = fill(offer_text, "m=message 2855 TCP/TLS/MSRP *\na=path:msrps://a.example.com:2855/", ";tcp\n", MSRPS);
    fill(answer_text, "m=message 2855 TCP/TLS/MSRP *\na=path:msrps://b.example.com:2855/", ";tcp\n", MSRPS);
    fill(other_text, "m=message 2855 TCP/TLS/MSRP *\na=path:msrps://c.example.com:2855/", ";tcp\n", MSRPS);
    decide(other_text, answer_text, IN_ORDER, kept);
    measure("MSRP sections with their answer", n, ask_connections, 3, ORDERS, rounds);
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)(i * 37 >> 3);
    measure("characters of base64 that are written", CHARACTERS, encode, 0.128, 1, rounds);
    measure("characters of base64 that are read", CHARACTERS, decode, 0.128, 1, rounds);
    return 0;
}
