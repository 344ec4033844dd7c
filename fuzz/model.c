/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Five parties make random calls of the API: Alice, Bob and Carol, Mallory, who is a user of the KMS like them, and the
 * KMS. The network is Mallory's: every message goes into a pool, and from there in any order to anybody, again, back to
 * its maker, cut, changed, or spliced from two. Clocks jump. Bundles are stored and read back. Mallory makes messages
 * with every key that she has, by the API and by hand. The oracle knows who made what, and says what must hold.
 *
 * An input is a program: an octet that says how the world is, then operations, an octet each, with their arguments, an
 * octet each. Ends, letters and tickets are counted from the newest, so that 0 is what there was last. Clocks and
 * random octets are the same each time.
 *
 *   FUZZ_COUNT=1   says in the end how many messages of each type were taken
 *   FUZZ_TRACE=1   says who makes and takes what
 */
#include "model.h"

#include "mallory.h"
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- keys and sessions to ask for ---- */

enum { N_WISHES = 8 };
static const struct mkt_key_wish wishes[N_WISHES][2] = {
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}},
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT}},
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK}},
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}},
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
     {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}},
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK_SALT, .salt_length = 4, .kv = {.type = MKT_KV_INTERVAL}},
     {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .any_spi = true}},
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK_SALT, .kv = {.type = MKT_KV_SPI}}},
    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK, .length = 16},
     {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK, .length = 16}},
};

/*
 * No keys, or one or two; the number is left in `n`. A program gives no two keys of a bundle one SPI: after an update
 * that nobody answers the other end may still have the key before.
 */
static const struct mkt_key_wish *wishes_of(unsigned which, size_t *n)
{
    static const size_t numbers[N_WISHES] = {1, 1, 1, 1, 2, 2, 1, 2};
    static struct mkt_key_wish chosen[2];
    static uint8_t spi[3];
    *n = which % (N_WISHES + 1) == 0 ? 0 : numbers[which % (N_WISHES + 1) - 1];
    if (*n == 0)
        return NULL;
    memcpy(chosen, wishes[which % (N_WISHES + 1) - 1], sizeof chosen);
    spi[1] = (uint8_t)(world.n_letters >> 8);
    spi[2] = (uint8_t)world.n_letters;
    if (chosen[0].kv.type == MKT_KV_SPI)
        chosen[0].kv.spi = (struct mkt_span){spi, sizeof spi};
    return chosen;
}

/* An empty list leaves the keys to the KMS, or asks for none. */
static void ask_for(struct mkt_request *request, unsigned which)
{
    request->keys = wishes_of(which, &request->n_keys);
    request->no_keys = request->n_keys == 0 && which > 0;
}

static const struct mkt_cs two_sessions[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS},
                                             {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
static const uint8_t policy_0 = 0;
static const struct mkt_cs third_session = {.cs_id = 3, .prot_type = MKT_PROT_TLS, .policies = {&policy_0, 1}};
static const struct mkt_sp sp_0 = {.policy_no = 0, .prot_type = MKT_PROT_TLS};

/* ---- tickets ---- */

/* Whoever has a ticket may keep it, and has it again afterwards. */
static void add_ticket(struct mkt_ticket *ticket, enum name owner)
{
    static uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    if (world.n_tickets == TICKETS) {
        mkt_ticket_free(ticket);
        return;
    }
    world.ticket[world.n_tickets].ticket = ticket;
    world.ticket[world.n_tickets++].owner = owner;
    if (owner != MALLORY || mkt_ticket_save(ticket, &out) != MKT_OK)
        return;
    mallory_learns((struct mkt_span){octets, out.n});
}

/* NAMES: the policy names no Initiator. */
static struct mkt_policy policy_of(enum name initiator, unsigned flags, unsigned more)
{
    static const uint16_t some[] = {MKT_FLAG_F, MKT_FLAG_G, MKT_FLAG_I, MKT_FLAG_J,
                                    MKT_FLAG_L, MKT_FLAG_M, MKT_FLAG_E}; /* TICKET_F to TICKET_E */
    static const enum name names[] = {BOB, CAROL, TEAM, MALLORY};
    struct mkt_policy policy = mkt_policy_default((more & WITH_SUITE_128) != 0 ? MKT_SUITE_128 : MKT_SUITE_256);
    policy.flags = MKT_FLAG_H;
    policy.flags |= (more & WITHOUT_N) != 0 ? 0 : MKT_FLAG_N;
    policy.flags |= (more & WITHOUT_O) != 0 ? 0 : MKT_FLAG_O;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        policy.flags = (uint16_t)(policy.flags | ((flags & 1u << i) != 0 ? some[i] : 0));
    if ((policy.flags & (MKT_FLAG_G | MKT_FLAG_M)) != 0)
        policy.flags |= MKT_FLAG_F;
    if ((policy.flags & MKT_FLAG_I) != 0)
        policy.flags |= MKT_FLAG_E;
    if (initiator != NAMES)
        policy.initiator = id_of(initiator);
    policy.kms = id_of(KMS);
    policy.type = (more & OF_TYPE_2) != 0 ? 2 : MKT_TICKET_BASE;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((more & 1u << i) != 0)
            policy.responder[policy.n_responders++] = id_of(names[i]);
    if (policy.n_responders == 0)
        policy.responder[policy.n_responders++] = id_of(BOB);
    if ((flags & TICKET_ENDS) != 0) {
        policy.has_end = policy.has_rekeying = true;
        policy.end = world.device[0].clock + ((mkt_ntp)3600 << 32);
        policy.rekeying = (mkt_ntp)600 << 32;
    }
    return policy;
}

static struct mkt_ticket *make_own_ticket(struct end *e, const struct mkt_policy *asked, unsigned keys,
                                          bool counter_too)
{
    struct mkt_policy policy = *asked;
    struct mkt_ticket *ticket = NULL;
    const bool mallory = e->device->user == MALLORY;
    struct mkt_ticket_recipe recipe = {
        .size = sizeof recipe,
        .policy = &policy,
        .tpk = {mallory ? tpk_of_mallory : tpk_of_alice, 32},
        .tpk_id = mkt_id_bytes(mallory ? "m" : "a"),
        .counter = counter_too,
    };
    policy.flags |= MKT_FLAG_L;
    recipe.keys = wishes_of(keys, &recipe.n_keys);
    oracle_call();
    const enum mkt_err err = mkt_ticket_make(&ticket, &e->host, &recipe);
    require((ticket != NULL) == (err == MKT_OK));
    if (err == MKT_OK)
        oracle_sent();
    return ticket;
}

/* The KMS grants what it was asked for, or with `less` a ticket that can be used once; `unnamed` names no Initiator. */
static struct letter *grant(struct end *kms, bool less, bool unnamed, bool counter_too, unsigned how)
{
    struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = {tpk_of_kms, 32}, .counter = counter_too};
    struct wish wish = {.type = MKT_REQUEST_RESP};
    struct mkt_key_wish key = {.size = sizeof key};
    struct mkt_policy policy;
    size_t n_keys = 0;
    if (mkt_csb_requested(kms->csb, &policy) != MKT_OK)
        return NULL;
    while (mkt_csb_requested_key(kms->csb, n_keys, &key) == MKT_OK)
        n_keys++;
    require(n_keys < MKT_MAX_KEYS);
    if (less)
        policy.flags &= (uint16_t)~MKT_FLAG_J;
    if (unnamed)
        policy.initiator = (struct mkt_id){.type = MKT_ID_URI};
    recipe.policy = less || unnamed ? &policy : NULL;
    oracle_call();
    const enum mkt_err err = mkt_csb_grant(kms->csb, &recipe, &wish.ticket);
    require((wish.ticket != NULL) == (err == MKT_OK));
    if (err != MKT_OK)
        return NULL;
    oracle_sent();
    struct letter *l = make(kms, &wish, how);
    mkt_ticket_free(wish.ticket);
    return l;
}

static void take_ticket(struct end *e)
{
    struct mkt_ticket *ticket;
    if (mkt_csb_take_ticket(e->csb, &ticket) == MKT_OK)
        add_ticket(ticket, e->device->user);
    else
        require(ticket == NULL);
}

/* A device remembers a ticket that the KMS resolved; Mallory learns its keys. */
static void keep(const struct end *e)
{
    struct device *d = e->device;
    struct mkt_buf out = {d->kept[0].octets, 0, 0};
    if (d->n_kept == KEPT)
        d->n_kept = 0;
    out = (struct mkt_buf){d->kept[d->n_kept].octets, sizeof d->kept->octets, 0};
    if (mkt_csb_save_resolved(e->csb, &out) != MKT_OK)
        return;
    struct mkt_span rest = {out.p + 1, out.n - 1};
    d->kept[d->n_kept].n = out.n;
    d->kept[d->n_kept++].ticket = take_vector(&rest);
    if (d->user == MALLORY)
        mallory_learns((struct mkt_span){out.p, out.n});
}

/* ---- operations ---- */

/* An end of its own, for whatever will be. */
static void op_open(const uint8_t a[])
{
    const unsigned device = a[0], how = a[1], size = a[2];
    open_end(device_of(device), (enum mkt_role)(device / DEVICES % 3), how, size);
}

/* A new end of Alice's or Mallory's asks for a ticket and is granted one, or makes it; `who` says which and how. */
static void obtain(unsigned who, unsigned flags, unsigned more, unsigned keys)
{
    const unsigned how = (who & 4 ? LEAVE_OUT | NAMED : 0) | (who & 8 ? COUNTER : 0) | (who & 16 ? LIE | NAMED : 0);
    struct end *e = open_end(device_of((who & 3) == 3 ? MALLORY_0 : who & 1), MKT_INITIATOR, how, who >> 5);
    if (e == NULL)
        return;
    const struct mkt_policy policy = policy_of((keys & WITHOUT_INITIATOR) != 0 ? NAMES : e->self, flags, more);
    struct wish wish = {.type = MKT_REQUEST_INIT_PSK,
                        .request = {.size = sizeof(struct mkt_request), .policy = &policy}};
    if ((who & 32) != 0) {
        struct mkt_ticket *ticket = make_own_ticket(e, &policy, keys % WITHOUT_INITIATOR, (who & 8) != 0);
        if (ticket != NULL)
            add_ticket(ticket, e->device->user);
        return;
    }
    ask_for(&wish.request, keys % WITHOUT_INITIATOR);
    const struct letter *l = make(e, &wish, 0);
    if (l == NULL || (who & 64) != 0 || deliver(kms_end(), octets_of(l), 0) != MKT_OK)
        return;
    l = grant(kms_end(), (who & 128) != 0, (keys & WITHOUT_INITIATOR) != 0, (who & 8) != 0, 0);
    if (l != NULL && deliver(e, octets_of(l), 0) == MKT_OK)
        take_ticket(e);
}

static void op_ticket(const uint8_t a[])
{
    const unsigned who = a[0], flags = a[1], more = a[2], keys = a[3];
    obtain(who, flags, more, keys);
}

/* One step of the same: a request of an end's, or whatever the KMS owes for one. */
static void op_request(const uint8_t a[])
{
    struct end *e = pick_end(a[0]);
    const unsigned flags = a[1], more = a[2], how = a[3];
    const struct mkt_policy policy = policy_of(a[0] >= 128 ? ALICE : e->self, flags, more); /* in her name */
    struct wish wish = {.type = MKT_REQUEST_INIT_PSK,
                        .request = {.size = sizeof(struct mkt_request), .policy = &policy}};
    if (e->role == MKT_KMS) {
        grant(e, (flags & 1) != 0, (flags & 4) != 0, (flags & 2) != 0, how);
        return;
    }
    ask_for(&wish.request, how / UNIT);
    make(e, &wish, how);
    take_ticket(e);
}

static struct letter *offer(struct end *e, struct mkt_ticket *ticket, unsigned to, unsigned what, unsigned how)
{
    static const enum name called[] = {BOB, TEAM, CAROL, MALLORY, ALICE};
    struct wish wish = {.type = MKT_TRANSFER_INIT,
                        .offer = {.size = sizeof(struct mkt_offer),
                                  .ticket = ticket,
                                  .responder = id_of(called[to % (sizeof called / sizeof *called)])}};
    wish.offer.keys = wishes_of(what, &wish.offer.n_keys);
    if (to >= 128) {
        wish.offer.cs = two_sessions;
        wish.offer.n_cs = 2;
    }
    return make(e, &wish, how);
}

/* A new end, or the newest of the ticket's owner, calls somebody with it. */
static void op_offer(const uint8_t a[])
{
    const unsigned back = a[0], to = a[1], what = a[2], how = a[3], size = a[4];
    if (world.n_tickets == 0)
        return;
    const size_t t = world.n_tickets - 1 - back % world.n_tickets;
    const enum name owner = world.ticket[t].owner;
    struct device *device = owner == MALLORY ? device_of(MALLORY_0) : device_of(ALICE_0 + (how >> 7));
    struct end *e = open_end(device, MKT_INITIATOR, how & (LEAVE_OUT | COUNTER | SMALL | LIE), size);
    if (e != NULL)
        offer(e, world.ticket[t].ticket, to, what, back >= 64 ? size : 0);
}

/* An end makes what it owes. */
static struct letter *answer(struct end *e, unsigned what, unsigned how)
{
    struct wish wish = {.type = MKT_TRANSFER_RESP, .answer = {.size = sizeof(struct mkt_answer)}};
    if (mkt_csb_must_make(e->csb, MKT_REQUEST_RESP))
        return grant(e, what % 4 == 1, what % 4 == 3, what % 4 == 2, how);
    if (mkt_csb_must_make(e->csb, MKT_RESOLVE_INIT_PSK))
        wish.type = MKT_RESOLVE_INIT_PSK;
    else if (mkt_csb_must_make(e->csb, MKT_RESOLVE_RESP))
        wish.type = MKT_RESOLVE_RESP;
    wish.answer.keys = wishes_of(what, &wish.answer.n_keys);
    return make(e, &wish, how);
}

/* What is owed goes on until the keys are there, as in a network that delivers; `what` are keys for the answer. */
static void go_on(struct end *e, unsigned what, unsigned how)
{
    const struct letter *l;
    if (mkt_csb_must_make(e->csb, MKT_RESOLVE_INIT_PSK)) {
        l = answer(e, 0, how);
        if (l == NULL || deliver(kms_end(), octets_of(l), 0) != MKT_OK)
            return;
        l = answer(kms_end(), 0, 0);
        if (l == NULL || deliver(e, octets_of(l), 0) != MKT_OK)
            return;
        if (e->device->user == MALLORY)
            keep(e);
    }
    if (!mkt_csb_must_make(e->csb, MKT_TRANSFER_RESP) || (how & 128) != 0)
        return;
    l = answer(e, what, how);
    if (l != NULL && world.letter[l->about].maker == BY_END)
        deliver(world.letter[l->about].end, octets_of(l), 0);
}

static void op_go_on(const uint8_t a[])
{
    struct end *e = pick_end(a[0]);
    const unsigned what = a[1], how = a[2];
    go_on(e, what, how);
}

/* A TRANSFER_INIT comes to a new end of somebody's, who answers. */
static void op_ring(const uint8_t a[])
{
    const unsigned back = a[0], who = a[1], what = a[2], how = a[3], size = a[4];
    const struct letter *l = pick_letter_of(MKT_TRANSFER_INIT, back % 4);
    struct end *e = l == NULL ? NULL : open_end(device_of(who), MKT_RESPONDER, how, size);
    if (e != NULL && e->role == MKT_RESPONDER && deliver(e, octets_of(l), back / 4) == MKT_OK && who < 128)
        go_on(e, what, how & 128);
}

/* A whole call by a new ticket, which SIP forks to two devices. */
static void op_call(const uint8_t a[])
{
    enum { BY_ALICE, BY_HER_OTHER_DEVICE, BY_MALLORY = 3, OWN = 32 };
    static const unsigned callers[] = {BY_ALICE, BY_ALICE | OWN, BY_HER_OTHER_DEVICE, BY_MALLORY};
    static const unsigned called[][2] = {{BOB_0, BOB_1}, {BOB_1, CAROL_0},   {CAROL_0, BOB_0}, {BOB_1, BOB_1},
                                         {BOB_0, BOB_0}, {MALLORY_0, BOB_1}, {ALICE_1, BOB_1}, {CAROL_0, MALLORY_0}};
    const unsigned flags = a[0], more = a[1], shape = a[2], keys = a[3];
    const size_t n_ends = world.n_ends, n_tickets = world.n_tickets;
    obtain(callers[shape % 4], flags, more, keys);
    if (world.n_ends == n_ends || world.n_tickets == n_tickets)
        return;
    struct end *e = open_end(world.end[world.n_ends - 1].device, MKT_INITIATOR, 0, 0);
    const struct letter *l =
        e == NULL ? NULL : offer(e, world.ticket[n_tickets].ticket, (more & FOR_TEAM) != 0, keys / 16, 0);
    for (size_t i = 0; i < 2 && l != NULL; i++) {
        e = open_end(device_of(called[shape / 4 % 8][i]), MKT_RESPONDER, 0, 0);
        if (e != NULL && deliver(e, octets_of(l), 0) == MKT_OK && (shape & 1u << (5 + i)) == 0)
            go_on(e, keys / 16, (shape & 128) != 0 ? 128 : 0);
    }
}

static void op_deliver(const uint8_t a[])
{
    const struct letter *l = pick_letter(a[0]);
    struct end *e = pick_end(a[1]);
    const unsigned how = a[2];
    if (l != NULL)
        deliver(e, octets_of(l), how);
}

/* An end makes what it owes, and that is all. */
static void op_answer(const uint8_t a[])
{
    struct end *e = pick_end(a[0]);
    const unsigned what = a[1], how = a[2];
    answer(e, what, how);
}

static void op_update(const uint8_t a[])
{
    struct end *e = pick_end(a[0]);
    const unsigned what = a[1], how = a[2], sessions = a[3];
    struct wish wish = {.type = MKT_TRANSFER_INIT,
                        .update = true,
                        .of_update = {.size = sizeof(struct mkt_update), .no_answer = (how & 128) != 0}};
    wish.of_update.keys = wishes_of(what, &wish.of_update.n_keys);
    if (sessions % 4 == 1) {
        wish.of_update.cs = two_sessions;
        wish.of_update.n_cs = 1;
    } else if (sessions % 4 == 2) {
        wish.of_update.cs = &third_session;
        wish.of_update.n_cs = 1;
        wish.of_update.sp = &sp_0;
        wish.of_update.n_sp = 1;
    }
    const struct letter *l = make(e, &wish, how & 127);
    struct end *to = l == NULL || sessions >= 128 ? NULL : partner_of(e, sessions / 8 % 4);
    if (to != NULL && deliver(to, octets_of(l), 0) == MKT_OK && sessions < 64)
        go_on(to, what / 16, 0);
}

static void op_error(const uint8_t a[])
{
    static const enum mkt_err whys[] = {MKT_E_SP,      MKT_E_MAC,       MKT_E_STALE,     MKT_E_REPLAY,
                                        MKT_E_UPDATE,  MKT_E_STATE,     MKT_E_DATA_TYPE, MKT_E_SPI,
                                        MKT_E_EXPIRED, MKT_E_RESPONDER, MKT_E_DENIED,    MKT_E_FUTURE};
    struct end *e = pick_end(a[0]);
    const unsigned why = a[1], how = a[2];
    const struct letter *l = pick_letter(a[3]);
    struct wish wish = {.type = MKT_ERROR, .why = whys[why % (sizeof whys / sizeof *whys)]};
    if (l != NULL && why < 192)
        wish.about = octets_of(l);
    const struct letter *error = make(e, &wish, how & 127);
    if (error == NULL || how < 128)
        return;
    if (error->about != NONE && world.letter[error->about].maker == BY_END)
        deliver(world.letter[error->about].end, octets_of(error), 0);
}

static void op_abandon(const uint8_t a[])
{
    struct end *e = pick_end(a[0]);
    mkt_csb_abandon(e->csb);
    oracle_look(&world, e);
}

/* The bundle goes on from its octets, if these have room; or as a branch, if it has the same room and waits. */
static void op_restore(const uint8_t a[])
{
    static struct image image;
    struct end *e = pick_end(a[0]);
    const unsigned size = a[1];
    struct mkt_settings settings = e->settings;
    struct mkt_csb *csb;
    take_image(&image, e->csb);
    settings.bundle_size = size == 0 ? settings.bundle_size : 1024 + 16 * size;
    uint8_t *exact = malloc(image.n);
    require(exact != NULL);
    memcpy(exact, image.octets, image.n);
    enum mkt_err err = size == 0 ? mkt_csb_branch(e->csb, &csb) : MKT_E_STATE;
    require(err == MKT_OK || err == MKT_E_STATE);
    if (err == MKT_E_STATE)
        err = mkt_csb_load(&csb, &e->host, &settings, (struct mkt_span){exact, image.n});
    free(exact);
    require((csb != NULL) == (err == MKT_OK) && (err == MKT_OK || err == MKT_E_BUNDLE_FULL || err == MKT_E_ARGUMENT));
    if (csb == NULL)
        return;
    expect_unchanged(&image, csb);
    mkt_csb_free(e->csb);
    e->csb = csb;
    e->settings = settings;
    oracle_look(&world, e);
}

static void op_clock(const uint8_t a[])
{
    static const mkt_ntp second = (mkt_ntp)1 << 32;
    const unsigned which = a[0], how = a[1];
    const mkt_ntp jumps[] = {
        1, second / 1000, second, 60 * second, 299 * second, 301 * second, 601 * second, 3601 * second};
    const mkt_ntp ticks[] = {0, 1, second / 1000, second};
    const mkt_ntp jump = jumps[how % 8];
    world.clocks_differ = true;
    for (size_t i = 0; i < DEVICES; i++) {
        if (which % (DEVICES + 1) != i && which % (DEVICES + 1) != DEVICES)
            continue;
        if (how < 64)
            world.device[i].clock += jump;
        else if (how < 128)
            world.device[i].clock -= jump;
        else if (how < 192)
            world.device[i].tick = ticks[how % 4];
        else
            world.device[i].clock = world.device[(i + how) % DEVICES].clock;
    }
}

/* ---- what the network does ---- */

static uint8_t made_up[ROOM];

static void op_change(const uint8_t a[])
{
    const struct letter *l = pick_letter(a[0]);
    const unsigned high = a[1], low = a[2], bits = a[3];
    if (l == NULL || l->n == 0 || l->n > sizeof made_up)
        return;
    memcpy(made_up, l->octets, l->n);
    made_up[(high * 256 + low) % l->n] ^= (uint8_t)(bits == 0 ? 1 : bits);
    add_letter((struct mkt_span){made_up, l->n}, BY_NETWORK);
}

static void op_cut(const uint8_t a[])
{
    const struct letter *l = pick_letter(a[0]);
    const unsigned n = a[1];
    if (l != NULL && l->n > 0)
        add_letter((struct mkt_span){l->octets, l->n - 1 - n % l->n}, BY_NETWORK);
}

/* The head of one letter and the tail of another. */
static void op_splice(const uint8_t a[])
{
    const struct letter *head = pick_letter(a[0]);
    const struct letter *tail = pick_letter(a[1]);
    const unsigned high = a[2], low = a[3];
    if (head == NULL || tail == NULL)
        return;
    const size_t at = (high * 256 + low) % (head->n + 1);
    const size_t from = at < tail->n ? at : tail->n;
    if (at + tail->n - from > sizeof made_up)
        return;
    memcpy(made_up, head->octets, at);
    memcpy(made_up + at, tail->octets + from, tail->n - from);
    add_letter((struct mkt_span){made_up, at + tail->n - from}, BY_NETWORK);
}

/* A payload of one letter in the place of one of another, or behind it, or taken away. */
static void op_exchange(const uint8_t a[])
{
    const struct letter *to = pick_letter(a[0]);
    const struct letter *from = pick_letter(a[1]);
    const unsigned which = a[2], how = a[3];
    struct mkt_message m, other;
    struct mkt_buf out = {made_up, sizeof made_up, 0};
    if (to == NULL || from == NULL || mkt_message_decode(&m, octets_of(to)) != MKT_OK ||
        mkt_message_decode(&other, octets_of(from)) != MKT_OK || m.n == 0 || other.n == 0)
        return;
    const size_t at = which % m.n;
    if (how % 4 == 0) {
        memmove(m.payload + at, m.payload + at + 1, (m.n - at - 1) * sizeof *m.payload);
        m.n--;
    } else if (how % 4 == 1 && m.n < MKT_MAX_PAYLOADS) {
        memmove(m.payload + at + 1, m.payload + at, (m.n - at) * sizeof *m.payload);
        m.n++;
        m.payload[at] = other.payload[how / 4 % other.n];
    } else if (how % 4 == 2) {
        m.payload[at] = other.payload[how / 4 % other.n];
    } else {
        m.hdr = other.hdr;
    }
    if (mkt_message_encode(&m, &out) == MKT_OK)
        add_letter((struct mkt_span){made_up, out.n}, BY_NETWORK);
}

/* ---- what Mallory does ---- */

static void op_keep(const uint8_t a[])
{
    keep(pick_end(a[0]));
}

/* Mallory calls somebody with a ticket of somebody else's, in their name. */
static void op_steal(const uint8_t a[])
{
    const struct device *d = device_of(MALLORY_0);
    const unsigned which = a[0], to = a[1], what = a[2];
    struct end *e = d->n_kept == 0 ? NULL : open_end(device_of(MALLORY_0), MKT_INITIATOR, LIE, 0);
    if (e == NULL)
        return;
    const size_t i = which % d->n_kept;
    struct mkt_ticket *ticket = mallory_steals(e, (struct mkt_span){d->kept[i].octets, d->kept[i].n});
    if (ticket != NULL)
        offer(e, ticket, to, what, 0);
    mkt_ticket_free(ticket);
}

static void op_forge(const uint8_t a[])
{
    const struct letter *letter = pick_letter(a[0]), *other = pick_letter(a[1]);
    if (letter != NULL)
        mallory_forges(letter, other, a[2], a[3], a[4]);
}

/* ---- what a bundle offers to its holder ---- */

/* One of the functions that append something of a session: measures, with too little room, and with enough. */
static void look_at(const struct mkt_csb *csb, uint8_t cs_id,
                    enum mkt_err (*put)(const struct mkt_csb *, uint8_t, struct mkt_buf *))
{
    uint8_t octets[512];
    struct mkt_buf measured = {NULL, 0, 7}, out = {octets, sizeof octets, 7};
    const enum mkt_err err = put(csb, cs_id, &measured);
    require(put(csb, cs_id, &out) == err && out.n == measured.n);
    require(err == MKT_OK || out.n == 7);
    if (out.n == 7)
        return;
    out = (struct mkt_buf){octets, measured.n - 1, 7};
    require(put(csb, cs_id, &out) == MKT_E_BUFFER && out.n == 7);
}

static void op_look(const uint8_t a[])
{
    const struct end *e = pick_end(a[0]);
    struct mkt_buf measured = {NULL, 0, 7}, out = {made_up, sizeof made_up, 7};
    struct mkt_cs cs;
    struct mkt_sp sp;
    for (size_t i = 0; mkt_csb_session_at(e->csb, i, &cs) == MKT_OK; i++)
        require(mkt_csb_sp(e->csb, cs.cs_id, &sp) == MKT_OK);
    for (uint8_t id = 0; id <= SESSIONS; id++) {
        look_at(e->csb, id, mkt_csb_tek);
        look_at(e->csb, id, mkt_csb_salt);
        look_at(e->csb, id, mkt_csb_psk_identity);
    }
    const enum mkt_err err = mkt_csb_save_resolved(e->csb, &measured);
    require(mkt_csb_save_resolved(e->csb, &out) == err && out.n == measured.n && (err == MKT_OK || out.n == 7));
}

/* ---- a program ---- */

static const struct {
    void (*run)(const uint8_t arguments[]);
    size_t n_arguments;
} operations[OPERATIONS] = {
    [OP_CALL] = {op_call, 4},           [OP_TICKET] = {op_ticket, 4},     [OP_OFFER] = {op_offer, 5},
    [OP_RING] = {op_ring, 5},           [OP_GO_ON] = {op_go_on, 3},       [OP_DELIVER] = {op_deliver, 3},
    [OP_ANSWER] = {op_answer, 3},       [OP_UPDATE] = {op_update, 4},     [OP_ERROR] = {op_error, 4},
    [OP_ABANDON] = {op_abandon, 1},     [OP_RESTORE] = {op_restore, 2},   [OP_CLOCK] = {op_clock, 2},
    [OP_CHANGE] = {op_change, 4},       [OP_CUT] = {op_cut, 2},           [OP_SPLICE] = {op_splice, 4},
    [OP_EXCHANGE] = {op_exchange, 4},   [OP_KEEP] = {op_keep, 1},         [OP_STEAL] = {op_steal, 3},
    [OP_FORGE] = {op_forge, 5},         [OP_OPEN] = {op_open, 3},         [OP_REQUEST] = {op_request, 4},
    [OP_LOOK] = {op_look, 1},           [OP_UPDATE_TOO] = {op_update, 4}, [OP_RING_TOO] = {op_ring, 5},
    [OP_DELIVER_TOO] = {op_deliver, 3},
};
size_t model_length(uint8_t operation)
{
    return 1 + operations[operation % OPERATIONS].n_arguments;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_begin(size > 0 ? data[0] : 0);
    for (size_t at = 1; at < size; at += model_length(data[at])) {
        uint8_t arguments[MODEL_ARGUMENTS] = {0};
        const size_t n = model_length(data[at]) - 1;
        memcpy(arguments, data + at + 1, n < size - at - 1 ? n : size - at - 1);
        operations[data[at] % OPERATIONS].run(arguments);
    }
    world_end();
    return 0;
}
