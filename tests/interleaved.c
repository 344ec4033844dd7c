/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interleaved: the steps of those who ask the replay cache about one message in one moment, in every order that has not
 * more than so many interruptions. Its own code is compiled here, with a place before its steps where others may go on.
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
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#define atomic_load(p) (before_step((p), false), atomic_load_explicit((p), memory_order_seq_cst))
#define atomic_compare_exchange_strong(p, old, new)                                                                    \
    (before_step((p), true),                                                                                           \
     atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_seq_cst, memory_order_seq_cst))
#define atomic_compare_exchange_weak atomic_compare_exchange_strong
#include "../lib/replay.c"

enum { ASKERS = 3, STACK = 1 << 16, MOST_STEPS = 1000, FREE = 4 };

static const mkt_ntp now = (mkt_ntp)3960616022 << 32, later = (mkt_ntp)3960616622 << 32;

struct asker {
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
    bool at_loads; /* others go on before what only reads, too */
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

static enum mkt_err ask_about(uint8_t message)
{
    uint8_t tag[32];
    memset(tag, message, sizeof tag);
    return mkt_replay_check(&play.cache, (struct mkt_span){tag, sizeof tag}, now, later);
}

static void ask(void)
{
    struct asker *asker = &play.asker[play.running];
    asker->answer = ask_about(1);
    asker->done = true;
    const unsigned left = others();
    if (left > 0)
        go_on_with(other(choose(left)));
    setcontext(&play.rest);
}

/* A cache that is full but for a few places. */
static void fill(void *memory, size_t n)
{
    expect_err("new", mkt_replay_new(&play.cache, memory, n), MKT_OK);
    for (unsigned i = 0; i < LEAST_BUCKETS * SLOTS - FREE; i++)
        expect_err("fill", ask_about((uint8_t)(2 + i)), MKT_OK);
    size_t found = 0;
    for (size_t i = 0; i < (size_t)LEAST_BUCKETS * SLOTS; i++) {
        const struct slot *slot = &play.cache.table->bucket[i / SLOTS].slot[i % SLOTS];
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

static const struct {
    unsigned askers, interruptions;
    bool at_loads;
} rows[] = {{2, 4, true}, {3, 5, false}, {3, 2, true}};

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
    const size_t n = mkt_replay_size(0);
    void *memory = malloc(n), *filled = malloc(n);
    ck_assert(memory != NULL && filled != NULL);
    fill(memory, n);
    memcpy(filled, memory, n);
    stacks_new();
    play.most = rows[_i].interruptions - (RUNNING_ON_VALGRIND ? 1 : 0);
    play.at_loads = rows[_i].at_loads;
    play.n = 0;
    play.runs = 0;
    do {
        unsigned got = 0;
        memcpy(memory, filled, n);
        run_once(rows[_i].askers);
        for (unsigned k = 0; k < rows[_i].askers; k++) {
            got += play.asker[k].answer == MKT_OK;
            if (!play.asker[k].done || (play.asker[k].answer != MKT_OK && play.asker[k].answer != MKT_E_REPLAY))
                ck_abort_msg("asker %u: %s", k, mkt_err_name(play.asker[k].answer));
        }
        if (got != 1 || ask_about(1) != MKT_E_REPLAY)
            ck_abort_msg("order %zu: %u of %u get the message", play.runs, got, rows[_i].askers);
        play.runs++;
    } while (another_way());
    printf("%u who ask, interrupted %u times at most%s: %zu orders\n", rows[_i].askers, play.most,
           rows[_i].at_loads ? "" : ", before they write", play.runs);
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
