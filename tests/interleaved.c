/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interleaved: callers ask the replay cache at once, about one message or several, by one clock or by clocks that
 * differ. Their steps are played in every order that has not more than so many interruptions. The code of the cache is
 * compiled here, with a place before each step where another caller may go on.
 */
#define _DEFAULT_SOURCE /* the stacks of ucontext.h */

#include "vector.h"

#include <mikeyticket/replay.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <ucontext.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(begin, end) ((void)(begin), (void)(end), 0U)
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#define RUNNING_ON_VALGRIND 0
#endif

/* With gcc 13 and later ASan keeps variables elsewhere by default, and loses them where the stack is changed. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=0";
}

static void before_step(const volatile void *what, bool writes);

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#define atomic_load(p) (before_step((p), false), atomic_load_explicit((p), memory_order_seq_cst))
#define atomic_store(p, new) (before_step((p), true), atomic_store_explicit((p), (new), memory_order_seq_cst))
#define atomic_exchange(p, new) (before_step((p), true), atomic_exchange_explicit((p), (new), memory_order_seq_cst))
#define atomic_compare_exchange_strong(p, old, new)                                                                    \
    (before_step((p), true),                                                                                           \
     atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_seq_cst, memory_order_seq_cst))
#define atomic_compare_exchange_weak atomic_compare_exchange_strong
#include "../lib/replay.c"

enum { ASKERS = 3, MESSAGES = 3, STACK = 1 << 16, MOST_STEPS = 1000 };

/* An odd number: one of the two buckets has more free slots than the other, and all messages go there first. */
enum { FREE = 5 };

/* Message n expires at the end of hour n. */
static mkt_ntp hour(unsigned n)
{
    return (mkt_ntp)(3960616022 + 3600 * (uint64_t)n) << 32;
}

static mkt_ntp until_of(unsigned message)
{
    return hour(message + 1) - 1;
}

/* A message, and the hour of the caller's clock. */
struct question {
    unsigned message, hour;
};

struct asker {
    struct question question;
    ucontext_t context;
    uint8_t *stack;
    unsigned stack_id; /* valgrind's */
    enum mkt_err answer;
    bool done;
};

static struct {
    struct mkt_replay cache;
    const struct slot *free[FREE]; /* those that can be taken: nobody writes to others */
    ucontext_t rest;
    struct asker asker[ASKERS];
    unsigned askers, running, interruptions, most;
    bool at_loads;      /* others go on before what only reads, too */
    bool clocks_differ; /* slots are taken again, so that steps on `forgotten` count */
    /* which way was taken where there was a choice, and how many there are; the next run takes another one */
    unsigned way[MOST_STEPS], ways[MOST_STEPS], n;
    size_t depth, runs;
} play;

/* Of the `n` ways that there are here. */
static unsigned choose(unsigned n)
{
    if (play.depth == play.n) {
        if (play.n == MOST_STEPS)
            ck_abort_msg("more than %d steps", MOST_STEPS);
        play.way[play.n] = 0;
        play.ways[play.n++] = n;
    }
    return play.way[play.depth++];
}

/* The `i`th of the others that have not done yet. */
static unsigned other(unsigned i)
{
    unsigned k = 0;
    while (k == play.running || play.asker[k].done || i-- > 0)
        k++;
    return k;
}

static unsigned others(void)
{
    unsigned n = 0;
    for (unsigned k = 0; k < play.askers; k++)
        n += k != play.running && !play.asker[k].done;
    return n;
}

static void go_on_with(unsigned k)
{
    ucontext_t *here = &play.asker[play.running].context;
    play.running = k;
    ck_assert_int_eq(swapcontext(here, &play.asker[k].context), 0);
}

static bool is_of_interest(const volatile void *what)
{
    if (what == &play.cache.table->forgotten)
        return play.clocks_differ;
    for (size_t i = 0; i < FREE; i++)
        if ((const volatile uint8_t *)what >= (const uint8_t *)play.free[i] &&
            (const volatile uint8_t *)what < (const uint8_t *)(play.free[i] + 1))
            return true;
    return false;
}

static void before_step(const volatile void *what, bool writes)
{
    if (play.askers == 0 || play.interruptions == play.most || !(writes || play.at_loads) || !is_of_interest(what))
        return;
    const unsigned way = choose(1 + others());
    if (way == 0)
        return;
    play.interruptions++;
    go_on_with(other(way - 1));
}

static enum mkt_err ask_about(uint8_t message, mkt_ntp now, mkt_ntp until)
{
    uint8_t tag[32];
    memset(tag, message + 1, sizeof tag);
    return mkt_replay_check(&play.cache, (struct mkt_span){tag, sizeof tag}, now, until);
}

static enum mkt_err answer_to(const struct question *question)
{
    return ask_about((uint8_t)question->message, hour(question->hour), until_of(question->message));
}

static void ask(void)
{
    struct asker *asker = &play.asker[play.running];
    asker->answer = answer_to(&asker->question);
    asker->done = true;
    const unsigned left = others();
    if (left > 0)
        go_on_with(other(choose(left)));
    setcontext(&play.rest);
}

/* A cache that is full but for a few places, with messages that do not expire here. */
static void fill(void *memory, size_t n)
{
    const mkt_ntp now = hour(0), never = hour(1000);
    expect_err("new", mkt_replay_new(&play.cache, memory, n), MKT_OK);
    for (unsigned i = 0; i < LEAST_BUCKETS * SLOTS - FREE; i++)
        expect_err("fill", ask_about((uint8_t)(MESSAGES + i), now, never), MKT_OK);
    size_t found = 0;
    for (size_t i = 0; i < (size_t)LEAST_BUCKETS * SLOTS; i++) {
        const struct slot *slot = &play.cache.table->slot[i];
        if (!alive(slot, now))
            play.free[found++] = slot;
    }
    ck_assert_uint_eq(found, FREE);
}

static void get_ready(struct asker *asker)
{
    asker->done = false;
    ck_assert_int_eq(getcontext(&asker->context), 0);
    asker->context.uc_stack.ss_sp = asker->stack;
    asker->context.uc_stack.ss_size = STACK;
    makecontext(&asker->context, ask, 0);
}

static void run_once(unsigned askers)
{
    play.askers = askers;
    play.interruptions = 0;
    play.depth = 0;
    play.running = 0;
    for (unsigned k = 0; k < askers; k++)
        get_ready(&play.asker[k]);
    ck_assert_int_eq(swapcontext(&play.rest, &play.asker[0].context), 0);
    play.askers = 0;
}

/* The next way at the last place that has one; false where all have been gone. */
static bool another_way(void)
{
    while (play.n > 0 && play.way[play.n - 1] + 1 == play.ways[play.n - 1])
        play.n--;
    if (play.n > 0)
        play.way[play.n - 1]++;
    return play.n > 0;
}

/* The first caller begins. */
static const struct row {
    const char *what;
    unsigned askers, interruptions;
    bool at_loads;
    struct question question[ASKERS];
} rows[] = {
    {"2 callers, one message", 2, 4, true, {{0, 0}, {0, 0}}},
    {"3 callers, one message", 3, 5, false, {{0, 0}, {0, 0}, {0, 0}}},
    {"3 callers, one message", 3, 2, true, {{0, 0}, {0, 0}, {0, 0}}},
    {"2 callers, two messages", 2, 3, true, {{0, 0}, {1, 0}}},
    {"2 callers, one message; the second clock is ahead", 2, 3, true, {{1, 0}, {1, 1}}},
    /* A caller may be stopped until another one, whose clock is ahead, has taken its slot. */
    {"2 callers, two messages; the second caller takes slots of the first", 2, 3, true, {{0, 0}, {1, 1}}},
    {"2 callers, two messages; the first caller takes slots of the second", 2, 3, true, {{1, 1}, {0, 0}}},
    {"3 callers, one message and another; the third caller takes slots of the others",
     3,
     4,
     false,
     {{0, 0}, {0, 0}, {1, 1}}},
    {"3 callers, one message and another; the third caller takes slots of the others",
     3,
     2,
     true,
     {{0, 0}, {0, 0}, {1, 1}}},
    {"3 callers, one message and another; two callers take slots of the first", 3, 4, false, {{0, 0}, {1, 1}, {1, 1}}},
    {"3 callers, three messages; each takes slots of the callers before", 3, 4, false, {{0, 0}, {1, 1}, {2, 2}}},
    {"3 callers, three messages; each takes slots of the callers after", 3, 4, false, {{2, 2}, {1, 1}, {0, 0}}},
};

/* Whether a caller whose clock is ahead may have made the cache forget a message. */
static bool may_be_stale(const struct row *row, unsigned message)
{
    for (unsigned k = 0; k < row->askers; k++)
        if (mkt_ntp_before(until_of(message), hour(row->question[k].hour)))
            return true;
    return false;
}

/* Each message is accepted once; not at all only if a clock ahead has made it stale. It is not accepted later. */
static void expect_right(const struct row *row)
{
    unsigned got[MESSAGES] = {0};
    for (unsigned k = 0; k < row->askers; k++) {
        const struct asker *asker = &play.asker[k];
        const bool stale = asker->answer == MKT_E_STALE && may_be_stale(row, row->question[k].message);
        if (!asker->done || (asker->answer != MKT_OK && asker->answer != MKT_E_REPLAY && !stale))
            ck_abort_msg("%s, order %zu: caller %u: %s", row->what, play.runs, k, mkt_err_name(asker->answer));
        got[row->question[k].message] += asker->answer == MKT_OK;
    }
    for (unsigned k = 0; k < row->askers; k++) {
        const unsigned message = row->question[k].message;
        const bool stale = may_be_stale(row, message);
        const enum mkt_err again = answer_to(&row->question[k]);
        if (got[message] > 1 || (got[message] == 0 && !stale) ||
            (again != MKT_E_REPLAY && !(again == MKT_E_STALE && stale)))
            ck_abort_msg("%s, order %zu: message %u: %u get it; later: %s", row->what, play.runs, message, got[message],
                         mkt_err_name(again));
    }
}

static void stacks_new(void)
{
    for (unsigned k = 0; k < ASKERS; k++) {
        uint8_t *stack = malloc(STACK);
        ck_assert_ptr_nonnull(stack);
        play.asker[k].stack = stack;
        play.asker[k].stack_id = VALGRIND_STACK_REGISTER(stack, stack + STACK - 1);
    }
}

static void stacks_free(void)
{
    for (unsigned k = 0; k < ASKERS; k++) {
        VALGRIND_STACK_DEREGISTER(play.asker[k].stack_id);
        free(play.asker[k].stack);
    }
}

START_TEST(one_gets_a_message)
{
    const struct row *row = &rows[_i];
    const size_t n = mkt_replay_size(0);
    void *memory = malloc(n), *filled = malloc(n);
    ck_assert(memory != NULL && filled != NULL);
    fill(memory, n);
    memcpy(filled, memory, n);
    stacks_new();
    play.most = row->interruptions - (RUNNING_ON_VALGRIND ? 1 : 0);
    play.at_loads = row->at_loads;
    play.clocks_differ = may_be_stale(row, 0);
    play.n = 0;
    play.runs = 0;
    for (unsigned k = 0; k < row->askers; k++)
        play.asker[k].question = row->question[k];
    do {
        memcpy(memory, filled, n);
        run_once(row->askers);
        expect_right(row);
        play.runs++;
    } while (another_way());
    printf("%s, interrupted %u times at most%s: %zu orders\n", row->what, play.most,
           row->at_loads ? "" : ", before they write", play.runs);
    stacks_free();
    free(memory);
    free(filled);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interleaved");
    TCase *tcase = tcase_create("replay");
    tcase_add_loop_test(tcase, one_gets_a_message, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
