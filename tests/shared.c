/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bundles in memory that processes share: each step of a call is taken by a process of its own, which ends then. What a
 * process gives to a step stands where no other process has anything, and is gone with it.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include "call.h"
#include "stack.h"

#include <mikeyticket/replay.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- memory ---- */

/* Blocks at multiples of 8 that are no multiples of 16; none is used again. */
enum { ALIGNMENT = 8, BLOCKS = 64, BLOCK = 16384 };

/* What the processes share. */
static struct shared {
    uint64_t time, random;
    unsigned n, live;
    struct mkt_csb *alice, *bob;
    struct mkt_buf offer, answer;
    uint8_t octets[2][4096];
    uint64_t cache[4096];
    _Alignas(16) uint8_t block[BLOCKS][BLOCK];
} * shared;

static void *alloc(void *user, size_t n)
{
    (void)user;
    if (shared->n == BLOCKS || n > BLOCK - ALIGNMENT)
        return NULL;
    shared->live++;
    return shared->block[shared->n++] + ALIGNMENT;
}

static void release(void *user, void *p)
{
    (void)user, (void)p;
    shared->live--;
}

/* ---- the host of all processes ---- */

static struct mkt_replay replay;
static bool dies; /* this process, when it is asked for random octets */

static enum mkt_err now(void *user, mkt_ntp *time)
{
    (void)user;
    *time = ntp(NOW) + ++shared->time;
    return MKT_OK;
}

static enum mkt_err draw(void *user, uint8_t *out, size_t n)
{
    (void)user;
    if (dies)
        raise(SIGKILL);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(++shared->random * 0x9d);
    return MKT_OK;
}

static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user, (void)id, (void)policy;
    memcpy(key->p, tpk.p, tpk.n);
    key->n = tpk.n;
    return MKT_OK;
}

static const struct mkt_host host = {.size = sizeof(struct mkt_host),
                                     .now = now,
                                     .random = draw,
                                     .alloc = alloc,
                                     .release = release,
                                     .tpk = find_tpk,
                                     .cache = &replay};

/* ---- processes ---- */

/* A page of this process alone. */
static struct mkt_buf own;

static struct mkt_span in_own(const char *words)
{
    const size_t n = strlen(words);
    struct mkt_span s = {own.p + own.n, n};
    memcpy(own.p + own.n, words, n);
    own.n += n;
    return s;
}

static struct mkt_id id_in_own(const char *uri)
{
    return (struct mkt_id){.type = MKT_ID_URI, .data = in_own(uri)};
}

static void must(enum mkt_err err)
{
    if (err == MKT_OK)
        return;
    fprintf(stderr, "%s\n", mkt_err_name(err));
    _exit(1);
}

/* The sanitizers let this look at padding, which has no value. */
#ifdef __clang__
#define ANY_WORD __attribute__((no_sanitize("memory")))
#else
#define ANY_WORD
#endif

/* Whether a word begins an identity: its role, its type, then padding, in which the rest of an address may stand. */
ANY_WORD static bool begins_id(uintptr_t word)
{
    struct mkt_id id;
    memcpy(&id, &word, sizeof word);
    return id.role <= MKT_IDR_PSK && id.type <= MKT_ID_BYTES;
}

/* Whether any word of the shared memory is an address in the page, or on the stack, of this process. */
ANY_WORD static bool points_here(void)
{
    const uintptr_t page = (uintptr_t)own.p, stack = (uintptr_t)__builtin_frame_address(0);
    const uintptr_t *word = (const uintptr_t *)(const void *)shared->block;
    (void)VALGRIND_MAKE_MEM_DEFINED(shared->block, sizeof shared->block);
    for (size_t i = 0; i < sizeof shared->block / sizeof *word; i++)
        if ((word[i] - page < own.cap || word[i] - (stack - (1 << 16)) < 1 << 17) && !begins_id(word[i]))
            return true;
    return false;
}

static void as_process(void (*step)(void))
{
    int status = 0;
    fflush(NULL);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        own.cap = (size_t)sysconf(_SC_PAGESIZE);
        own.p = mmap(NULL, own.cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (own.p == MAP_FAILED)
            _exit(2);
        step();
        _exit(points_here() ? 3 : 0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

/* ---- a call ---- */

static struct mkt_settings settings_of(const char *self, const char *peer)
{
    struct mkt_settings s;
    mkt_settings_init(&s, id_in_own(self));
    s.peer = id_in_own(peer);
    s.application = in_own("msrp");
    s.replay_scope = in_own(self);
    return s;
}

static void alice_offers(void)
{
    struct mkt_policy policy = mkt_policy_default(MKT_SUITE_256);
    struct mkt_ticket *ticket;
    policy.initiator = id_in_own("sip:alice@example.com");
    policy.responder[policy.n_responders++] = id_in_own("sip:bob@example.com");
    policy.flags |= MKT_FLAG_M;
    const struct mkt_ticket_recipe recipe = {
        .size = sizeof recipe, .policy = &policy, .tpk = tpk, .keys = &one_tgk, .n_keys = 1};
    must(mkt_ticket_make(&ticket, &host, &recipe));
    const struct mkt_settings s = settings_of("sip:alice@example.com", "sip:bob@example.com");
    must(mkt_csb_new(&shared->alice, MKT_INITIATOR, &host, &s));
    const struct mkt_offer offer = {
        .size = sizeof offer, .ticket = ticket, .responder = id_in_own("sip:bob@example.com")};
    must(mkt_csb_make_transfer_init(shared->alice, &offer, &shared->offer));
    mkt_ticket_free(ticket);
}

/* The octets of a message in the page of this process. */
static struct mkt_span came(const struct mkt_buf *message)
{
    memcpy(own.p + own.n, message->p, message->n);
    own.n += message->n;
    return (struct mkt_span){own.p + own.n - message->n, message->n};
}

static void bob_takes(void)
{
    const struct mkt_settings s = settings_of("sip:bob@example.com", "sip:alice@example.com");
    must(mkt_csb_new(&shared->bob, MKT_RESPONDER, &host, &s));
    must(mkt_csb_take_offer(shared->bob, came(&shared->offer), in_own("mikey")));
}

static void bob_answers(void)
{
    must(mkt_csb_make_transfer_resp(shared->bob, NULL, &shared->answer));
}

static void alice_takes(void)
{
    must(mkt_csb_take(shared->alice, came(&shared->answer)));
}

static void bob_updates(void)
{
    const struct mkt_update update = {.size = sizeof update, .keys = &one_tgk, .n_keys = 1};
    shared->offer.n = 0;
    must(mkt_csb_make_update(shared->bob, &update, &shared->offer));
}

static void alice_answers(void)
{
    shared->answer.n = 0;
    must(mkt_csb_take(shared->alice, came(&shared->offer)));
    must(mkt_csb_make_transfer_resp(shared->alice, NULL, &shared->answer));
}

static void bob_settles(void)
{
    must(mkt_csb_take(shared->bob, came(&shared->answer)));
}

static void expect_one_key(void)
{
    uint8_t octets[2][64];
    struct mkt_buf tek[2] = {{octets[0], 64, 0}, {octets[1], 64, 0}};
    expect_err("TEK", mkt_csb_tek(shared->alice, 1, &tek[0]), MKT_OK);
    expect_err("TEK", mkt_csb_tek(shared->bob, 1, &tek[1]), MKT_OK);
    expect_octets("TEK", mkt_buf_span(&tek[0]), mkt_buf_span(&tek[1]));
}

static void new_memory(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    shared->offer = (struct mkt_buf){shared->octets[0], sizeof shared->octets[0], 0};
    shared->answer = (struct mkt_buf){shared->octets[1], sizeof shared->octets[1], 0};
    expect_err("cache", mkt_replay_new(&replay, shared->cache, sizeof shared->cache), MKT_OK);
}

static void (*const steps[])(void) = {alice_offers, bob_takes,     bob_answers, alice_takes,
                                      bob_updates,  alice_answers, bob_settles};

START_TEST(each_step_in_a_process_of_its_own)
{
    new_memory();
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        as_process(steps[i]);
        if (i == 3)
            expect_one_key();
    }
    expect_one_key();
    mkt_csb_free(shared->alice);
    mkt_csb_free(shared->bob);
    ck_assert_uint_eq(shared->live, 0);
    munmap(shared, sizeof *shared);
}
END_TEST

/* The search finds what it is there to find. */
static void leave_an_address(void)
{
    const void *const here = own.p + 0x105; /* no role and type of an identity */
    memcpy(shared->block[0], &here, sizeof here);
    _exit(points_here() ? 0 : 4);
}

START_TEST(an_address_is_found)
{
    new_memory();
    as_process(leave_an_address);
    munmap(shared, sizeof *shared);
}
END_TEST

/* ---- a process that is killed ---- */

START_TEST(a_process_is_killed_in_a_callback)
{
    const struct rlimit no_core = {0, 0};
    struct mkt_csb *copy = NULL;
    static uint8_t octets[8192];
    struct mkt_buf stored = {octets, sizeof octets, 0};
    int status = 0;
    new_memory();
    for (size_t i = 0; i < 4; i++)
        as_process(steps[i]);
    expect_err("put", mkt_csb_save(shared->bob, &stored), MKT_OK);
    fflush(NULL);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        dies = true;
        bob_updates();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", (unsigned)status);
    /* it is busy for good; its last stored copy goes on */
    const struct mkt_update update = {.size = sizeof update, .keys = &one_tgk, .n_keys = 1};
    expect_err("busy", mkt_csb_make_update(shared->bob, &update, &shared->answer), MKT_E_STATE);
    expect_err("busy", mkt_csb_take(shared->bob, mkt_buf_span(&shared->offer)), MKT_E_STATE);
    struct mkt_settings s;
    mkt_settings_init(&s, mkt_id_uri(""));
    s.replay_scope = text("sip:bob@example.com");
    expect_err("get", mkt_csb_load(&copy, &host, &s, mkt_buf_span(&stored)), MKT_OK);
    shared->bob = copy;
    for (size_t i = 4; i < sizeof steps / sizeof *steps; i++)
        as_process(steps[i]);
    expect_one_key();
    munmap(shared, sizeof *shared);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared");
    TCase *tcase = tcase_create("shared");
    tcase_add_test(tcase, each_step_in_a_process_of_its_own);
    tcase_add_test(tcase, an_address_is_found);
    tcase_add_test(tcase, a_process_is_killed_in_a_callback);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
