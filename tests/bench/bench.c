/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each message costs, and what it must cost: prints a table, and the goals that are met or missed. A program, not
 * a test: it fails only where a call does, never on a time.
 *
 *     bench [ROUNDS]
 *
 * Times are medians over rounds in which the library, the floor and the HMACs (paper.h) take turns, so that all meet
 * the same noise; a ratio is the median of the ratios of each round. "(paper)" is what must be done, by paper.h.
 */
#define _DEFAULT_SOURCE /* clock_gettime, getentropy */

#include "live.h"
#include "paper.h"
#ifdef BENCH_GSTREAMER
#include "peer.h"
#endif

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ROUNDS = 1001, TURNS = 16, CHEAP = 64 };

static size_t rounds = 31;

/* ---- time ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[], size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return values[n / 2];
}

/* What it costs to look at the clock twice. */
static double clock_cost(void)
{
    static double cost = -1;
    double values[MAX_ROUNDS];
    for (size_t i = 0; i < MAX_ROUNDS && cost < 0; i++) {
        const double from = now();
        values[i] = now() - from;
    }
    if (cost < 0)
        cost = median(values, MAX_ROUNDS);
    return cost;
}

/* ---- one line of the table ---- */

/* Something to be done, and what it must do; `cheap` where it is so short that one look at the clock is as long. */
struct line {
    const char *name;
    play *step;
    const struct paper *paper; /* NULL: there is no cryptography in it */
    bool cheap;
};

/* What else was measured in the same rounds, and how many times as long the step takes; 0: there is no cryptography. */
struct beside {
    double ns, ratio;
};

struct result {
    double ns;
    struct beside floor, hmacs;
    struct count did, must;
};

/* A median over a turn of one of them. */
static double turn(struct stage *s, play *step, size_t times)
{
    double values[TURNS];
    for (size_t i = 0; i < TURNS; i++) {
        stage_restore(s);
        const double from = now();
        for (size_t j = 0; j < times; j++)
            step(s);
        values[i] = (now() - from - clock_cost()) / (double)times;
    }
    return median(values, TURNS);
}

static const struct paper *on_paper;

static void do_floor(struct stage *s)
{
    (void)s;
    paper_floor(on_paper);
}

static void do_hmacs(struct stage *s)
{
    (void)s;
    paper_hmacs(on_paper);
}

static struct beside beside(const double ns[], double others[])
{
    double ratio[MAX_ROUNDS];
    for (size_t i = 0; i < rounds; i++)
        ratio[i] = ns[i] / others[i];
    return (struct beside){median(others, rounds), median(ratio, rounds)};
}

/* Measures a step, and leaves the stage as it was. */
static struct result measure(struct stage *s, const struct line *line)
{
    struct result r = {.ns = 0};
    double ns[MAX_ROUNDS], floor[MAX_ROUNDS], hmacs[MAX_ROUNDS];
    const size_t times = line->cheap ? CHEAP : 1;
    stage_keep(s);
    line->step(s);
    stage_watch(s);
    stage_restore(s);
    const struct count before = count;
    line->step(s);
    r.did = (struct count){count.sha - before.sha, count.aes - before.aes, count.keys - before.keys,
                           count.allocations - before.allocations};
    on_paper = line->paper;
    for (size_t i = 0; i < rounds; i++) {
        ns[i] = turn(s, line->step, times);
        if (line->paper != NULL) {
            floor[i] = turn(s, do_floor, times);
            hmacs[i] = turn(s, do_hmacs, times);
        }
    }
    stage_restore(s);
    if (line->paper != NULL) {
        r.floor = beside(ns, floor);
        r.hmacs = beside(ns, hmacs);
        r.must = paper_count(line->paper);
    }
    r.ns = median(ns, rounds);
    return r;
}

static const char *title_of(enum mkt_suite suite, bool forked)
{
    static const char *const titles[2][2] = {{"suite 256", "suite 256, forked"}, {"suite 128", "suite 128, forked"}};
    return titles[suite == MKT_SUITE_128][forked];
}

static void print_head(const char *title)
{
    printf("\n%-31s %6s %8s %8s %6s %8s %6s %6s %12s %12s %9s\n", title, "octets", "ns", "floor", "ratio", "HMACs",
           "ratio", "allocs", "SHA (paper)", "AES (paper)", "AES keys");
}

static void print_line(const char *name, size_t octets, const struct result *r)
{
    char size[24] = "", others[40], allocations[24] = "?", sha[48], aes[48], keys[48];
    if (octets > 0)
        snprintf(size, sizeof size, "%zu", octets);
    snprintf(others, sizeof others, "%8s %6s %8s %6s", "-", "-", "-", "-");
    if (r->floor.ns > 0)
        snprintf(others, sizeof others, "%8.0f %6.2f %8.0f %6.2f", r->floor.ns, r->floor.ratio, r->hmacs.ns,
                 r->hmacs.ratio);
    if (counts_allocations)
        snprintf(allocations, sizeof allocations, "%llu", (unsigned long long)r->did.allocations);
    snprintf(sha, sizeof sha, "%llu (%llu)", (unsigned long long)r->did.sha, (unsigned long long)r->must.sha);
    snprintf(aes, sizeof aes, "%llu (%llu)", (unsigned long long)r->did.aes, (unsigned long long)r->must.aes);
    snprintf(keys, sizeof keys, "%llu (%llu)", (unsigned long long)r->did.keys, (unsigned long long)r->must.keys);
    printf("%-31s %6s %8.0f %s %6s %12s %12s %9s\n", name, size, r->ns, others, allocations, sha, aes, keys);
    fflush(stdout);
}

/* ---- goals ---- */

static struct goals {
    struct worst {
        double ratio;
        char name[96];
    } floor, hmacs; /* of the TRANSFER messages */
    unsigned long long too_many;
    unsigned blocks_wrong;
    double peer, peer_policy; /* how many times as long GStreamer takes */
    unsigned long long decode_allocations;
} goals;

static void judge_ratio(struct worst *worst, double ratio, const struct stage *s, const char *name)
{
    if (ratio <= worst->ratio)
        return;
    worst->ratio = ratio;
    snprintf(worst->name, sizeof worst->name, "%s, %s", name, title_of(s->suite, s->forked));
}

static void judge_step(const struct stage *s, const char *name, const struct result *r)
{
    if (r->did.sha != r->must.sha || r->did.aes != r->must.aes || r->did.keys != r->must.keys)
        goals.blocks_wrong++;
    if (r->did.sha > r->must.sha)
        goals.too_many += r->did.sha - r->must.sha;
    if (strstr(name, "TRANSFER") == NULL)
        return;
    judge_ratio(&goals.floor, r->floor.ratio, s, name);
    judge_ratio(&goals.hmacs, r->hmacs.ratio, s, name);
}

static void goal(const char *what, bool met, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void goal(const char *what, bool met, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%-6s  %s: ", met ? "met" : "MISSED", what);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---- a call, step by step ---- */

static const struct call_step {
    const char *name;
    play *step;
    paper_of *paper;
    enum message message;
    bool with_tpk; /* only where the Responder has the key of the ticket: not part of the call with the KMS */
} call_steps[] = {
    {"make REQUEST_INIT", make_request_init, paper_request_init, REQUEST_INIT, false},
    {"take REQUEST_INIT", take_request_init, paper_request_init, REQUEST_INIT, false},
    {"make the ticket", make_ticket, paper_ticket, MESSAGES, false},
    {"make REQUEST_RESP", make_request_resp, paper_request_resp, REQUEST_RESP, false},
    {"take REQUEST_RESP", take_request_resp, paper_request_resp, REQUEST_RESP, false},
    {NULL, keep_ticket, paper_nothing, MESSAGES, false},
    {"make TRANSFER_INIT", make_transfer_init, paper_make_transfer_init, TRANSFER_INIT, false},
    {"take TRANSFER_INIT with the TPK", take_transfer_init_with_tpk, paper_take_transfer_init, TRANSFER_INIT, true},
    {"take TRANSFER_INIT for the KMS", take_transfer_init, paper_nothing, TRANSFER_INIT, false},
    {"make RESOLVE_INIT", make_resolve_init, paper_make_resolve_init, RESOLVE_INIT, false},
    {"take RESOLVE_INIT", take_resolve_init, paper_take_resolve_init, RESOLVE_INIT, false},
    {"make RESOLVE_RESP", make_resolve_resp, paper_make_resolve_resp, RESOLVE_RESP, false},
    {"take RESOLVE_RESP", take_resolve_resp, paper_take_resolve_resp, RESOLVE_RESP, false},
    {"make TRANSFER_RESP", make_transfer_resp, paper_make_transfer_resp, TRANSFER_RESP, false},
    {"take TRANSFER_RESP", take_transfer_resp, paper_take_transfer_resp, TRANSFER_RESP, false},
    {"TEK", derive_tek, paper_tek, MESSAGES, false},
    {NULL, derive_tek_too, paper_tek, MESSAGES, false},
};
enum { STEPS = sizeof call_steps / sizeof *call_steps };

/* All of them, with the KMS; or from the TRANSFER_INIT on, without. */
static void whole_call(struct stage *s)
{
    stage_enter(s);
    for (size_t i = 0; i < STEPS; i++)
        if (!call_steps[i].with_tpk)
            call_steps[i].step(s);
    stage_leave(s);
}

static void short_call(struct stage *s)
{
    stage_enter(s);
    make_transfer_init(s);
    take_transfer_init_with_tpk(s);
    make_transfer_resp(s);
    take_transfer_resp(s);
    derive_tek(s);
    derive_tek_too(s);
    stage_leave(s);
}

static void paper_whole_call(struct paper *p, const struct stage *s)
{
    for (size_t i = 0; i < STEPS; i++)
        if (!call_steps[i].with_tpk)
            call_steps[i].paper(p, s);
}

static void paper_short_call(struct paper *p, const struct stage *s)
{
    paper_make_transfer_init(p, s);
    paper_take_transfer_init(p, s);
    paper_make_transfer_resp(p, s);
    paper_take_transfer_resp(p, s);
    paper_tek(p, s);
    paper_tek(p, s);
}

static void measure_call(struct stage *s, const char *name, play *call, paper_of *paper_of_call)
{
    struct paper paper = {.suite = s->suite};
    paper_of_call(&paper, s);
    const struct line line = {name, call, &paper, false};
    const struct result r = measure(s, &line);
    print_line(name, 0, &r);
}

static bool applies(const struct stage *s, const struct call_step *step)
{
    return !(s->forked && step->with_tpk);
}

static void measure_codec(struct stage *s)
{
    static const struct line lines[] = {
        {"decode TRANSFER_INIT", decode_transfer_init, NULL, true},
        {"encode TRANSFER_INIT", encode_transfer_init, NULL, true},
        {"find in SDP and decode base64", find_in_sdp, NULL, true},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct result r = measure(s, &lines[i]);
        print_line(lines[i].name, s->length[TRANSFER_INIT], &r);
    }
}

/* Plays the call once to know the lengths; then each step many times, and once to go on. */
static void measure_steps(enum mkt_suite suite, bool forked)
{
    static struct stage s;
    stage_open(&s, suite, forked);
    for (size_t i = 0; i < STEPS; i++)
        if (applies(&s, &call_steps[i]))
            call_steps[i].step(&s);
    const struct stage known = s;
    stage_close(&s);
    stage_open(&s, suite, forked);
    memcpy(s.length, known.length, sizeof s.length);
    s.ticket_covered = known.ticket_covered;
    print_head(title_of(suite, forked));
    for (size_t i = 0; i < STEPS; i++) {
        const struct call_step *step = &call_steps[i];
        struct paper paper = {.suite = suite};
        if (!applies(&s, step))
            continue;
        step->paper(&paper, &s);
        const struct line line = {step->name, step->step, paper.n > 0 ? &paper : NULL, false};
        if (step->name != NULL) {
            const struct result r = measure(&s, &line);
            print_line(step->name, step->message < MESSAGES ? s.length[step->message] : 0, &r);
            judge_step(&s, step->name, &r);
        }
        step->step(&s);
    }
    stage_leave(&s);
    measure_codec(&s);
    measure_call(&s, "call, all six messages", whole_call, paper_whole_call);
    s.responder = &s.carl;
    if (!forked)
        measure_call(&s, "call, Responder has the TPK", short_call, paper_short_call);
    stage_close(&s);
}

/* ---- the peer ---- */

#ifdef BENCH_GSTREAMER
static void do_peer_parse(struct stage *s)
{
    (void)s;
    peer_parse(PEER_PLAIN);
}

static void do_peer_parse_policy(struct stage *s)
{
    (void)s;
    peer_parse(PEER_POLICY);
}

static void do_peer_serialise(struct stage *s)
{
    (void)s;
    peer_serialise(PEER_PLAIN);
}

static void do_peer_serialise_policy(struct stage *s)
{
    (void)s;
    peer_serialise(PEER_POLICY);
}
#endif

/*
 * The codec of a TRANSFER_INIT of suite 256, and GStreamer's of messages of RFC 3830 with as many octets and payloads:
 * one of which GStreamer must look into but one payload, and one with an SRTP policy, as its own messages have.
 */
static void measure_peer(void)
{
    static struct stage s;
    struct mkt_message m;
    stage_open(&s, MKT_SUITE_256, true);
    for (size_t i = 0; i < STEPS && s.length[TRANSFER_INIT] == 0; i++)
        call_steps[i].step(&s);
    const size_t octets = s.length[TRANSFER_INIT];
    must(mkt_message_decode(&m, (struct mkt_span){s.octets[TRANSFER_INIT], octets}));
    stage_leave(&s);
    const struct line decode = {"decode", decode_transfer_init, NULL, true};
    const struct result r = measure(&s, &decode);
    goals.decode_allocations = r.did.allocations;
#ifdef BENCH_GSTREAMER
    enum { CODECS = 6, PARSES = 1, PARSES_POLICY = 2 };
    static const struct line lines[CODECS] = {
        {"decode", decode_transfer_init, NULL, true},
        {"GStreamer parses", do_peer_parse, NULL, true},
        {"GStreamer parses, with a policy", do_peer_parse_policy, NULL, true},
        {"encode", encode_transfer_init, NULL, true},
        {"GStreamer serialises", do_peer_serialise, NULL, true},
        {"GStreamer serialises, with a policy", do_peer_serialise_policy, NULL, true},
    };
    static double ns[CODECS][MAX_ROUNDS], ratio[MAX_ROUNDS];
    unsigned long long allocations[CODECS];
    if (!peer_open(octets, m.n))
        return;
    for (size_t k = 0; k < CODECS; k++) {
        lines[k].step(&s);
        const struct count before = count;
        lines[k].step(&s);
        allocations[k] = count.allocations - before.allocations;
    }
    for (size_t i = 0; i < rounds; i++) {
        for (size_t k = 0; k < CODECS; k++)
            ns[k][i] = turn(&s, lines[k].step, CHEAP);
        ratio[i] = ns[PARSES][i] / ns[0][i];
    }
    goals.peer = median(ratio, rounds);
    for (size_t i = 0; i < rounds; i++)
        ratio[i] = ns[PARSES_POLICY][i] / ns[0][i];
    goals.peer_policy = median(ratio, rounds);
    printf("\nThe codec beside GStreamer %s, %zu octets, %zu payloads\n", peer_version(), octets, m.n);
    printf("%-37s %8s %10s %7s\n", "", "ns", "ns/octet", "allocs");
    for (size_t k = 0; k < CODECS; k++) {
        const double time = median(ns[k], rounds);
        printf("%-37s %8.0f %10.3f %7llu\n", lines[k].name, time, time / (double)octets, allocations[k]);
    }
    peer_close();
#endif
    stage_close(&s);
}

/* ---- the host ---- */

/* What the library asks the system for where the host has no callback of its own. */
static void measure_host(void)
{
    uint8_t octets[32];
    double ns[2][MAX_ROUNDS];
    struct timespec t;
    for (size_t i = 0; i < rounds; i++) {
        double from = now();
        for (size_t j = 0; j < CHEAP; j++)
            must(getentropy(octets, sizeof octets) == 0 ? MKT_OK : MKT_E_RANDOM);
        ns[0][i] = (now() - from) / (double)CHEAP;
        from = now();
        for (size_t j = 0; j < CHEAP; j++)
            clock_gettime(CLOCK_REALTIME, &t);
        ns[1][i] = (now() - from) / (double)CHEAP;
    }
    printf("\nNot in these times: 32 random octets of the kernel, %.0f ns; its clock, %.0f ns\n", median(ns[0], rounds),
           median(ns[1], rounds));
}

/* ---- many bundles ---- */

static size_t resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL && fscanf(f, "%lu %lu", &size, &pages) != 2)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void with_ticket(struct stage *s, enum mkt_suite suite, bool forked)
{
    stage_open(s, suite, forked);
    for (size_t i = 0; i < STEPS && s->ticket == NULL; i++)
        call_steps[i].step(s);
}

/* The least sizes of all suites: of an Initiator that is settled, of the Responders. */
static size_t initiator_size, responder_size;

static void print_size(const char *name, size_t octets)
{
    printf("  %-58s %5zu\n", name, octets);
}

static void settled(struct stage *s, const struct party *party, const char *name, size_t *most)
{
    const size_t size = least_size(s, party, use_tek);
    print_size(name, size);
    *most = size > *most ? size : *most;
}

static void measure_sizes(enum mkt_suite suite, bool forked)
{
    static struct stage s;
    stage_open(&s, suite, forked);
    printf("%s\n", title_of(suite, forked));
    for (size_t i = 0; i < STEPS; i++) {
        if (applies(&s, &call_steps[i]))
            call_steps[i].step(&s);
        if (call_steps[i].step == make_transfer_resp)
            print_size("Initiator that waits, and takes the answer", least_size(&s, &s.alice, use_answer));
    }
    settled(&s, &s.alice, "settled: Initiator", &initiator_size);
    print_size("settled: Initiator that makes an update", least_size(&s, &s.alice, use_update));
    settled(&s, &s.bob, "settled: Responder that asked the KMS", &responder_size);
    if (!forked) {
        s.responder = &s.carl;
        make_transfer_resp(&s);
        settled(&s, &s.carl, "settled: Responder that has the TPK", &responder_size);
    }
    stage_close(&s);
}

static void measure_memory(void)
{
    enum { BUNDLES = 10000, MOST = 1024, MALLOC = 16 };
    static struct stage s;
    printf("\nThe least mkt_settings.bundle_size\n");
    measure_sizes(MKT_SUITE_256, false);
    measure_sizes(MKT_SUITE_256, true);
    measure_sizes(MKT_SUITE_128, false);
    measure_sizes(MKT_SUITE_128, true);

    with_ticket(&s, MKT_SUITE_256, false);
    const size_t heap = heap_used(), held = resident();
    struct live *live = live_open(&s, BUNDLES);
    const size_t ring = BUNDLES * live_overhead();
    const double waiting = (double)(heap_used() - heap - ring) / 1e6;
    const double waiting_resident = ((double)(resident() - held) - (double)ring) / 1e6;
    live_settle(live, initiator_size);
    const double settled_heap = (double)(heap_used() - heap - ring) / (double)BUNDLES;
    live_close(live);
    stage_close(&s);
    printf("\n10,000 Initiators in bundles of the default size\n");
    printf("  waiting for their answers: %.1f MB of heap, %.1f MB resident\n", waiting, waiting_resident);
    printf("  settled, in %zu octets each: %.0f octets of heap each\n\n", initiator_size, settled_heap);
    goal("10,000 bundles that wait, at most 45 MB", waiting_resident <= 45 && waiting <= 45, "%.1f MB",
         waiting_resident);
    goal("a settled Initiator, at most 1024 octets", initiator_size + MALLOC <= MOST, "size %zu, heap %.0f",
         initiator_size, settled_heap);
    goal("a settled Responder, at most 1024 octets", responder_size + MALLOC <= MOST, "size %zu", responder_size);
}

static void measure_live(void)
{
    enum { FEW = 10, MANY = 100000, CALLS = 64 };
    static struct stage s;
    static double few_ns[MAX_ROUNDS * 4], many_ns[MAX_ROUNDS * 4];
    with_ticket(&s, MKT_SUITE_256, false);
    struct live *few = live_open(&s, FEW), *many = live_open(&s, MANY);
    const size_t n = 4 * rounds;
    for (size_t i = 0; i < n; i++) {
        double few_turn[CALLS], many_turn[CALLS];
        for (size_t j = 0; j < CALLS; j++) {
            const double from = now();
            live_call(few);
            few_turn[j] = now() - from;
        }
        for (size_t j = 0; j < CALLS; j++) {
            const double from = now();
            live_call(many);
            many_turn[j] = now() - from;
        }
        few_ns[i] = median(few_turn, CALLS);
        many_ns[i] = median(many_turn, CALLS);
    }
    const double a = median(few_ns, n), b = median(many_ns, n);
    printf("\n");
    goal("a call takes as long beside 100,000 live bundles as beside 10", b <= 1.05 * a,
         "%.0f ns and %.0f ns, ratio %.3f", b, a, b / a);
    live_close(few);
    live_close(many);
    stage_close(&s);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = strtoul(argv[1], NULL, 10);
    if (rounds == 0 || rounds > MAX_ROUNDS)
        return 2;
    printf("mbedTLS %s; medians of %zu rounds of %d\n", MBEDTLS_VERSION_STRING, rounds, (int)TURNS);
    measure_steps(MKT_SUITE_256, false);
    measure_steps(MKT_SUITE_256, true);
    measure_steps(MKT_SUITE_128, false);
    measure_steps(MKT_SUITE_128, true);
    measure_host();
    measure_peer();
    printf("\n");
    goal("make and take of a TRANSFER message, at most 1.10 of the floor", goals.floor.ratio <= 1.10,
         "at worst %.2f, %s; of the HMACs %.2f, %s", goals.floor.ratio, goals.floor.name, goals.hmacs.ratio,
         goals.hmacs.name);
    goal("no block that the RFC does not force", goals.blocks_wrong == 0,
         "%llu SHA blocks too many in %u of the steps above", goals.too_many, goals.blocks_wrong);
    goal("decode without allocation", goals.decode_allocations == 0, "%llu", goals.decode_allocations);
    if (goals.peer > 0)
        goal("decode five times as fast as GStreamer, by the octet", goals.peer >= 5,
             "%.1f times; %.1f times where its message has a policy", goals.peer, goals.peer_policy);
    else
        printf("        GStreamer was not there when this was built\n");
    measure_memory();
    measure_live();
    return 0;
}
