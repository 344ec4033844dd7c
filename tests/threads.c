/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many bundles in many threads, for ThreadSanitizer: each thread makes whole calls with bundles of its own, Ticket
 * Request, Ticket Transfer, Ticket Resolve and an update, while hosts, settings, policies, a ticket that is only read,
 * certificates, and a replay cache are shared between all of them. Of threads that take one message at once one gets it.
 *
 * Threads use nothing of Check and of the other fixtures: these keep lists, and a lock of theirs around each assertion
 * would put threads in an order that the library does not give them.
 */
#define _DEFAULT_SOURCE /* pthread_barrier_t */

#include "vector.h"

#include <mikeyticket/csb.h>
#include <mikeyticket/replay.h>
#ifdef WITH_X509
#include <mikeyticket/x509.h>
#endif

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, CALLS = 40, ROOM = 4096 };

enum party { ALICE, BOB, KMS, PARTIES };

static const enum mkt_role role[PARTIES] = {MKT_INITIATOR, MKT_RESPONDER, MKT_KMS};
static const char *const name[PARTIES] = {"sip:alice@home1.example", "sip:bob@home2.example",
                                          "http://kms.home1.example"};
static const char psk[PARTIES][33] = {"alice and her KMS share this key", "bob and his KMS share this key..",
                                      "the key that protects the tickets"};

/* A message of a call; the policy of the ticket asks for all of them. */
static const struct {
    const char *name;
    enum party from, to;
} legs[] = {
    {"REQUEST_INIT", ALICE, KMS},  {"REQUEST_RESP", KMS, ALICE},
    {"TRANSFER_INIT", ALICE, BOB}, {"RESOLVE_INIT", BOB, KMS},
    {"RESOLVE_RESP", KMS, BOB},    {"TRANSFER_RESP", BOB, ALICE},
    {"update", ALICE, BOB},        {"TRANSFER_RESP to an update", BOB, ALICE},
};
enum { ASK, GRANT, OFFER, RESOLVE, RESOLVED, ANSWER, UPDATE, UPDATED, LEGS };

/* What threads share. Nothing of it changes while they run but the cache. */
struct mkt_x509;
struct world {
    struct mkt_host host;
    struct mkt_replay cache;
    struct mkt_settings settings[PARTIES];
    struct mkt_credential credential[PARTIES];
    struct mkt_public_keys keys[PARTIES];
    struct mkt_x509 *x509[PARTIES]; /* if parties have certificates in place of keys with their KMS */
    unsigned calls;
    struct mkt_policy policy;
    struct mkt_ticket_recipe recipe;
    struct mkt_ticket *ticket; /* of that policy: a KMS may hand it out again */
    struct mkt_key_wish wish;
    pthread_barrier_t start;
    struct raced {
        uint8_t octets[ROOM]; /* a REQUEST_INIT, which every thread takes */
        size_t n;
    } raced[CALLS];
};

struct worker {
    pthread_t thread;
    struct world *world;
    unsigned number;
    enum mkt_err raced[CALLS]; /* what the messages got that all take */
    const char *wrong;         /* NULL, or what was wrong first, and how */
    enum mkt_err err;
};

static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user;
    (void)id;
    (void)policy;
    memcpy(key->p, psk[KMS], 32);
    key->n = 32;
    return MKT_OK;
}

static enum mkt_err find_psk(void *user, const struct mkt_id *key_name, const struct mkt_id *id, struct mkt_psk *found)
{
    const struct world *world = user;
    (void)id;
    for (unsigned who = ALICE; who <= BOB; who++) {
        if (key_name == NULL || !mkt_id_equal(key_name, &world->credential[who].name))
            continue;
        memcpy(found->key.p, psk[who], 32);
        found->key.n = 32;
        found->owner = world->settings[who].self;
        return MKT_OK;
    }
    return MKT_E_NO_KEY;
}

static enum mkt_err accept_all(void *user, struct mkt_span tag, mkt_ntp until)
{
    (void)user;
    (void)tag;
    (void)until;
    return MKT_OK;
}

static struct mkt_span protocols(void)
{
    return mkt_span_text("mikey");
}

/* A world with a cache or, as even the atomics of that put threads in some order, without. */
static struct world *world_new(bool with_cache)
{
    struct world *world = calloc(1, sizeof *world);
    const size_t size = mkt_replay_size(THREADS * CALLS * LEGS);
    ck_assert_ptr_nonnull(world);
    world->host = (struct mkt_host){.size = sizeof(struct mkt_host), .user = world, .tpk = find_tpk, .psk = find_psk};
    if (with_cache) {
        expect_err("cache", mkt_replay_new(&world->cache, malloc(size), size), MKT_OK);
        world->host.cache = &world->cache;
    } else
        world->host.replay = accept_all;
    for (unsigned who = 0; who < PARTIES; who++) {
        mkt_settings_init(&world->settings[who], mkt_id_uri(name[who]));
        world->credential[who] =
            (struct mkt_credential){mkt_id_uri(name[KMS]), mkt_id_bytes(name[who]), {(const uint8_t *)psk[who], 32}};
        if (who != KMS)
            world->settings[who].kms = &world->credential[who];
    }
    world->calls = CALLS;
    world->policy = mkt_policy_default(MKT_SUITE_256);
    expect_err("flags", mkt_flags_parse(&world->policy.flags, "DEFGHIJLMNO"), MKT_OK);
    world->policy.kms = world->settings[KMS].self;
    world->policy.initiator = world->settings[ALICE].self;
    world->policy.responder[world->policy.n_responders++] = world->settings[BOB].self;
    world->wish = (struct mkt_key_wish){
        .size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .any_spi = true}; /* that of the one ticket will do */
    world->recipe = (struct mkt_ticket_recipe){.size = sizeof(struct mkt_ticket_recipe),
                                               .policy = &world->policy,
                                               .tpk = {(const uint8_t *)psk[KMS], 32},
                                               .keys = &world->wish,
                                               .n_keys = 1};
    expect_err("ticket", mkt_ticket_make(&world->ticket, &world->host, &world->recipe), MKT_OK);
    ck_assert_int_eq(pthread_barrier_init(&world->start, NULL, THREADS), 0);
    return world;
}

#ifdef WITH_X509
enum { WORLDS = 4 };

/* A field of the section [cert] or [key] of that name. */
static struct mkt_span find_in(const struct vectors *all, const char *kind, const char *of, const char *field)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->section[i].name, kind) == 0 && strcmp(text_of(&all->section[i], "name"), of) == 0)
            return octets_of(&all->section[i], field);
    ck_abort_msg("no [%s] %s", kind, of);
    return (struct mkt_span){NULL, 0};
}

/* Private-key operations take long, so there are fewer calls. */
static void certify(struct world *world)
{
    static const char *const of[PARTIES] = {"alice", "bob", "kms"};
    struct vectors all = vectors_read("rfc6043pk.txt");
    struct mkt_x509_settings settings;
    mkt_x509_settings_init(&settings);
    settings.send_chash = true;
    world->calls = CALLS / 4;
    for (unsigned who = 0; who < PARTIES; who++) {
        const struct mkt_span key = find_in(&all, "key", of[who], "private");
        expect_err("x509", mkt_x509_new(&world->x509[who], &settings), MKT_OK);
        expect_err("root", mkt_x509_add_anchors(world->x509[who], find_in(&all, "cert", "root", "der")), MKT_OK);
        expect_err("kms", mkt_x509_add_kms(world->x509[who], find_in(&all, "cert", "kms", "der")), MKT_OK);
        expect_err("own", mkt_x509_add_own(world->x509[who], find_in(&all, "cert", of[who], "der"), key), MKT_OK);
        mkt_public_keys_init(&world->keys[who]);
        expect_err("keys", mkt_x509_public_keys(world->x509[who], &world->keys[who]), MKT_OK);
        world->settings[who].public_keys = &world->keys[who];
        world->settings[who].bundle_size = MKT_CSB_SIZE_PK;
        world->credential[who] = (struct mkt_credential){.kms = world->credential[who].kms};
    }
    vectors_free(&all);
    free_all();
}

static void uncertify(struct world *world)
{
    for (unsigned who = 0; who < PARTIES; who++)
        mkt_x509_free(world->x509[who]);
}
#else
enum { WORLDS = 2 };

static void certify(struct world *world)
{
    (void)world;
}

static void uncertify(struct world *world)
{
    (void)world;
}
#endif

static void world_free(struct world *world)
{
    uncertify(world);
    mkt_ticket_free(world->ticket);
    pthread_barrier_destroy(&world->start);
    free(world->cache.table);
    free(world);
}

/* The first that is wrong is kept. */
static bool is_fine(struct worker *worker, const char *what, enum mkt_err err)
{
    if (err != MKT_OK && worker->wrong == NULL) {
        worker->wrong = what;
        worker->err = err;
    }
    return err == MKT_OK;
}

static enum mkt_err grant(const struct world *world, struct mkt_csb *csb, struct mkt_buf *out)
{
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = world->recipe.tpk};
    struct mkt_ticket *ticket;
    enum mkt_err err = mkt_csb_grant(csb, &recipe, &ticket);
    if (err == MKT_OK)
        err = mkt_csb_make_request_resp(csb, ticket, out);
    mkt_ticket_free(ticket);
    return err;
}

static enum mkt_err offer(const struct world *world, struct mkt_csb *csb, struct mkt_buf *out)
{
    struct mkt_offer offer = {.size = sizeof offer, .responder = world->settings[BOB].self};
    enum mkt_err err = mkt_csb_take_ticket(csb, &offer.ticket);
    if (err == MKT_OK)
        err = mkt_csb_make_transfer_init(csb, &offer, out);
    mkt_ticket_free(offer.ticket);
    return err;
}

static enum mkt_err make(const struct world *world, unsigned leg, bool ticket_anew, struct mkt_csb *csb,
                         struct mkt_buf *out)
{
    const struct mkt_request request = {
        .size = sizeof request, .policy = &world->policy, .keys = &world->wish, .n_keys = 1};
    const struct mkt_update update = {.size = sizeof update, .keys = &world->wish, .n_keys = 1};
    switch (leg) {
    case ASK:
        return mkt_csb_make_request_init(csb, &request, out);
    case GRANT:
        return ticket_anew ? grant(world, csb, out) : mkt_csb_make_request_resp(csb, world->ticket, out);
    case OFFER:
        return offer(world, csb, out);
    case RESOLVE:
        return mkt_csb_make_resolve_init(csb, out);
    case RESOLVED:
        return mkt_csb_make_resolve_resp(csb, out);
    case UPDATE:
        return mkt_csb_make_update(csb, &update, out);
    default:
        return mkt_csb_make_transfer_resp(csb, NULL, out);
    }
}

static bool same_tek(struct worker *worker, const struct mkt_csb *a, const struct mkt_csb *b)
{
    uint8_t octets[2][64];
    struct mkt_buf tek[2] = {{octets[0], sizeof octets[0], 0}, {octets[1], sizeof octets[1], 0}};
    return is_fine(worker, "TEK", mkt_csb_tek(a, 1, &tek[0])) && is_fine(worker, "TEK", mkt_csb_tek(b, 1, &tek[1])) &&
           is_fine(worker, "the TEKs differ",
                   tek[0].n == tek[1].n && memcmp(octets[0], octets[1], tek[0].n) == 0 ? MKT_OK : MKT_E_NO_KEY);
}

/* All messages of a call, up to the first that something is wrong with. */
static bool talk(struct worker *worker, struct mkt_csb *csb[PARTIES], bool ticket_anew)
{
    const struct world *world = worker->world;
    for (unsigned leg = 0; leg < LEGS; leg++) {
        uint8_t octets[ROOM];
        struct mkt_buf out = {octets, sizeof octets, 0};
        if (!is_fine(worker, legs[leg].name, make(world, leg, ticket_anew, csb[legs[leg].from], &out)) ||
            !is_fine(worker, legs[leg].name,
                     mkt_csb_take_offer(csb[legs[leg].to], (struct mkt_span){octets, out.n}, protocols())))
            return false;
        if ((leg == ANSWER || leg == UPDATED) && !same_tek(worker, csb[ALICE], csb[BOB]))
            return false;
    }
    return true;
}

/* A message that others take as well, with a bundle of our own. */
static void race(struct worker *worker, unsigned i)
{
    struct mkt_csb *csb;
    const struct mkt_span octets = {worker->world->raced[i].octets, worker->world->raced[i].n};
    if (!is_fine(worker, "new", mkt_csb_new(&csb, MKT_KMS, &worker->world->host, &worker->world->settings[KMS])))
        return;
    worker->raced[i] = mkt_csb_take(csb, octets);
    mkt_csb_free(csb);
}

static void *work(void *user)
{
    struct worker *worker = user;
    struct world *world = worker->world;
    pthread_barrier_wait(&world->start);
    for (unsigned i = 0; i < world->calls && worker->wrong == NULL; i++) {
        struct mkt_csb *csb[PARTIES] = {NULL};
        bool fine = true;
        race(worker, i);
        for (unsigned who = 0; who < PARTIES && fine; who++)
            fine = is_fine(worker, "new", mkt_csb_new(&csb[who], role[who], &world->host, &world->settings[who]));
        if (fine)
            talk(worker, csb, (i + worker->number) % 2 == 0);
        for (unsigned who = 0; who < PARTIES; who++)
            mkt_csb_free(csb[who]);
    }
    return NULL;
}

/* Messages for all threads to take, of as many bundles of Alice's. */
static void make_raced(struct world *world)
{
    for (size_t i = 0; i < world->calls; i++) {
        struct raced *raced = &world->raced[i];
        struct mkt_buf out = {raced->octets, sizeof raced->octets, 0};
        struct mkt_csb *csb;
        expect_err("new", mkt_csb_new(&csb, MKT_INITIATOR, &world->host, &world->settings[ALICE]), MKT_OK);
        expect_err("REQUEST_INIT", make(world, ASK, false, csb, &out), MKT_OK);
        raced->n = out.n;
        mkt_csb_free(csb);
    }
}

/* Bit 0: with a cache; bit 1: by public key. */
START_TEST(whole_calls)
{
    const bool with_cache = (_i & 1) != 0;
    struct world *world = world_new(with_cache);
    struct worker worker[THREADS];
    if ((_i & 2) != 0)
        certify(world);
    make_raced(world);
    for (unsigned i = 0; i < THREADS; i++) {
        worker[i] = (struct worker){.world = world, .number = i};
        ck_assert_int_eq(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(worker[i].thread, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_msg(worker[i].wrong == NULL, "thread %u: %s: %s", i, worker[i].wrong, mkt_err_name(worker[i].err));
    for (unsigned i = 0; i < world->calls; i++) {
        unsigned taken = 0;
        for (unsigned k = 0; k < THREADS; k++) {
            taken += worker[k].raced[i] == MKT_OK;
            if (worker[k].raced[i] != MKT_OK)
                expect_err("a message that another thread has", worker[k].raced[i], MKT_E_REPLAY);
        }
        ck_assert_uint_eq(taken, with_cache ? 1 : THREADS);
    }
    world_free(world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tcase = tcase_create("threads");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, whole_calls, 0, WORLDS);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
