/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the longest descriptions cost that an attacker can send in one INVITE of 64 KiB, with all their sections asked
 * for, in order and from the last to the first. A program, not a test: it fails only if a call does, never on a time.
 *
 *     hostile [ROUNDS]
 */
#define _DEFAULT_SOURCE /* clock_gettime */

#include <mikeyticket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT = 65536, MAX_ROUNDS = 101 };

#define HEAD "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"

static char offer_text[TEXT + 1], answer_text[TEXT + 1], other_text[TEXT + 1];

static void must(enum mkt_err err)
{
    if (err == MKT_OK)
        return;
    fprintf(stderr, "hostile: %s: %s\n", mkt_err_name(err), mkt_err_text(err));
    exit(1);
}

/* A description that begins with `head` and repeats two pieces of text as often as there is room, with a number between
 * them if `after` is not empty. Returns how often. */
static size_t fill(char text[TEXT + 1], const char *head, const char *before, const char *after)
{
    size_t used = (size_t)snprintf(text, TEXT + 1, "%s", head), n = 0;
    for (;; n++) {
        char number[16] = "";
        if (after[0] != '\0')
            snprintf(number, sizeof number, "%04u", (unsigned)n);
        const size_t more = strlen(before) + strlen(number) + strlen(after);
        if (used + more > TEXT)
            return n;
        snprintf(text + used, TEXT + 1 - used, "%s%s%s", before, number, after);
        used += more;
    }
}

/* ---- what is asked ---- */

/* The last question first if `turned`. */
static size_t nth(size_t i, size_t n, bool turned)
{
    return turned ? n - 1 - i : i;
}

static void ask_media(bool turned)
{
    struct mkt_sdp sdp;
    struct mkt_sdp_media media;
    must(mkt_sdp_parse(&sdp, mkt_span_text(offer_text)));
    for (size_t i = 0; i < sdp.sections; i++)
        must(mkt_sdp_media_parse(&sdp, nth(i, sdp.sections, turned), &media));
}

static void ask_attributes(bool turned)
{
    struct mkt_sdp sdp;
    struct mkt_span value = {NULL, 0};
    (void)turned;
    must(mkt_sdp_parse(&sdp, mkt_span_text(offer_text)));
    do
        must(mkt_sdp_attribute(&sdp, 0, "x", &value));
    while (value.p != NULL);
}

static void ask_connections(bool turned)
{
    static struct mkt_sdp_kept kept[TEXT / 32];
    struct mkt_sdp offer, answer, other;
    struct mkt_sdp_exchange first, now;
    struct mkt_connection connection;
    struct mkt_sdp_kept next;
    must(mkt_sdp_parse(&offer, mkt_span_text(offer_text)));
    must(mkt_sdp_parse(&answer, mkt_span_text(answer_text)));
    must(mkt_sdp_parse(&other, mkt_span_text(other_text)));
    mkt_sdp_exchange_init(&first, &other, &answer);
    mkt_sdp_exchange_init(&now, &offer, &answer);
    memset(kept, 0, sizeof kept);
    for (size_t i = 0; i < offer.sections; i++)
        must(mkt_connection_decide(&first, &kept[i], nth(i, offer.sections, turned), &connection, &kept[i]));
    for (size_t i = 0; i < offer.sections; i++)
        must(mkt_connection_decide(&now, &kept[i], nth(i, offer.sections, turned), &connection, &next));
}

/* ---- the clock ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *what, size_t n, void (*ask)(bool turned), double goal, size_t rounds)
{
    static double ms[MAX_ROUNDS];
    for (unsigned turned = 0; turned <= 1; turned++) {
        for (size_t i = 0; i < rounds; i++) {
            struct timespec from, to;
            clock_gettime(CLOCK_MONOTONIC, &from);
            ask(turned == 1);
            clock_gettime(CLOCK_MONOTONIC, &to);
            ms[i] = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
        }
        qsort(ms, rounds, sizeof *ms, compare);
        const double median = ms[rounds / 2];
        printf("%5zu %-34s %-12s %8.2f ms, goal %.0f ms: %s\n", n, what, turned == 1 ? "backwards" : "in order", median,
               goal, median <= goal ? "met" : "MISSED");
    }
}

int main(int argc, char **argv)
{
    const size_t wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 11;
    const size_t rounds = wanted < 1 ? 1 : wanted > MAX_ROUNDS ? MAX_ROUNDS : wanted;
    size_t n = fill(offer_text, HEAD, "m=a 9 b c\n", "");
    measure("m= lines", n, ask_media, 1, rounds);
    n = fill(offer_text, HEAD "m=a 9 b c\n", "a=x\n", "");
    measure("a=x lines", n, ask_attributes, 1, rounds);
    n = fill(offer_text, HEAD, "m=message 2855 TCP/TLS/MSRP *\na=path:msrps://h:1/", ";tcp\n");
    fill(answer_text, HEAD, "m=message 2855 TCP/TLS/MSRP *\na=path:msrps://i:3/", ";tcp\n");
    fill(other_text, HEAD, "m=message 2855 TCP/TLS/MSRP *\na=path:msrps://j:1/", ";tcp\n");
    measure("MSRP sections with their answer", n, ask_connections, 3, rounds);
    return 0;
}
