/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * forked: one TRANSFER_INIT and several who take it, once or again: users and devices of one server, responders of one
 * policy, branches of one Initiator, and those who replay or reflect it. No two of them ever encrypt with one key and
 * one IV.
 */
#include "parties.h"

#include <mikeyticket/replay.h>

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

/* ---- one replay cache for a server ---- */

enum { SLOTS = 64 };

static struct mkt_replay *cache_new(void **memory)
{
    const size_t n = mkt_replay_size(SLOTS);
    struct mkt_replay *cache = malloc(sizeof *cache + n);
    *memory = cache;
    expect_err("cache", mkt_replay_new(cache, cache + 1, n), MKT_OK);
    return cache;
}

static void shares(struct party *party, struct mkt_replay *cache)
{
    party->player.host.replay = NULL;
    party->player.host.cache = cache;
}

/* How often a message is sent again: 2,000 times, or as the environment says. */
static size_t replays(void)
{
    const char *n = getenv("REPLAYS");
    return n != NULL ? strtoul(n, NULL, 10) : 2000;
}

/* Makes an Error message about a message that was refused, as a server does. */
static void complain(struct party *party, struct mkt_span about, enum mkt_err why)
{
    uint8_t octets[1024];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("Error", mkt_csb_make_error(party->csb, about, why, NULL, 0, &out), MKT_OK);
}

/* A call that the KMS resolves, or that shares a TPK; Bob and Carol are responders of the policy. */
static struct parties *set_up(const char *flags)
{
    struct parties *p = parties_new(MKT_SUITE_256, flags);
    p->policy.responder[p->policy.n_responders++] = p->carol.settings.self;
    return p;
}

/* The ticket is protected by a key that these have. */
static void share_tpk(struct parties *p)
{
    p->alice.player.tpk = p->bob.player.tpk = p->carol.player.tpk = p->tpk;
    p->alice.settings.kms = p->bob.settings.kms = p->carol.settings.kms = NULL;
}

static struct mkt_span updated(struct party *by, const struct mkt_update *update)
{
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("update", mkt_csb_make_update(by->csb, update, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

/* ---- D27: nobody fills a cache without a key ---- */

/* A day-old REQUEST_INIT, sent to a KMS again and again: refused, answered by an Error, and nothing is remembered. */
START_TEST(replays_of_one_old_request)
{
    struct parties *p = set_up("DEFGHIJLMNO");
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    shares(&p->kms, cache);
    begin(&p->alice, MKT_INITIATOR);
    const struct mkt_span init = request_init(&p->alice, &p->request);
    begin(&p->kms, MKT_KMS);
    p->kms.player.now = ntp(NOW + 86400);
    for (size_t i = 0, n = replays(); i < n; i++) {
        expect_err("old", mkt_csb_take(p->kms.csb, init), MKT_E_STALE);
        complain(&p->kms, init, _i == 0 ? MKT_E_STALE : MKT_E_DENIED);
    }
    ck_assert_uint_eq(mkt_replay_count(cache, p->kms.player.now), 0);
    p->alice.player.now = p->kms.player.now; /* an honest request */
    be_granted(p);
    ck_assert_uint_eq(mkt_replay_count(cache, p->kms.player.now), 1);
    parties_free(p);
    free(memory);
}
END_TEST

static bool not_acceptable(void *user, const struct mkt_sp *sp)
{
    (void)user, (void)sp;
    return false;
}

/* An update that Bob refuses, sent to him again and again. */
START_TEST(replays_of_one_refused_update)
{
    struct parties *p = set_up(_i == 0 ? "DFGHJLMNO" : "DHJLNO");
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    share_tpk(p);
    shares(&p->bob, cache);
    make_own(p);
    answered_by(&p->bob, offered(p));
    if (_i == 0)
        take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    const struct mkt_span update = updated(&p->alice, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    const size_t before = mkt_replay_count(cache, p->bob.player.now);
    p->bob.player.host.acceptable = not_acceptable;
    for (size_t i = 0, n = replays(); i < n; i++) {
        expect_err("update", mkt_csb_take(p->bob.csb, update), MKT_E_SP_PARAMETERS);
        complain(&p->bob, update, i % 2 == 0 ? MKT_E_SP_PARAMETERS : MKT_E_DENIED);
    }
    ck_assert_uint_eq(mkt_replay_count(cache, p->bob.player.now), before + 1);
    parties_free(p);
    free(memory);
}
END_TEST

/* A TRANSFER_INIT with a damaged ticket makes Bob ask his KMS again and again; the KMS remembers nothing of it. */
START_TEST(deliveries_of_one_damaged_ticket)
{
    struct parties *p = set_up("DEFGHIJLMNO");
    void *of_kms, *of_bob;
    struct mkt_replay *cache = cache_new(&of_kms), *cache_of_bob = cache_new(&of_bob);
    uint8_t damaged[4096], data[1024];
    struct mkt_buf out = {damaged, sizeof damaged, 0};
    shares(&p->kms, cache);
    shares(&p->bob, cache_of_bob);
    be_granted(p);
    const size_t before = mkt_replay_count(cache, p->kms.player.now);
    struct mkt_message m = decoded(offered(p));
    struct mkt_span *ticket = &find(&m, MKT_TICKET, 0)->ticket.ticket_data;
    memcpy(data, ticket->p, ticket->n);
    data[ticket->n - 1] ^= 1;
    ticket->p = data;
    expect_err("put", mkt_message_encode(&m, &out), MKT_OK);
    for (size_t i = 0, n = replays(); i < n; i++) {
        answered_by(&p->bob, (struct mkt_span){damaged, out.n});
        const struct mkt_span ask = resolve_init(&p->bob);
        expect_err("damaged", mkt_csb_take(p->kms.csb, ask), MKT_E_TICKET_MAC);
        complain(&p->kms, ask, MKT_E_TICKET_MAC);
        complain(&p->bob, text(""), MKT_E_TICKET_MAC);
    }
    ck_assert_uint_eq(mkt_replay_count(cache, p->kms.player.now), before);
    ck_assert_uint_eq(mkt_replay_count(cache_of_bob, p->bob.player.now), 0);
    parties_free(p);
    free(of_kms);
    free(of_bob);
}
END_TEST

/* ---- D27: what SIP forks is new to each user and each device, and a replay is not ---- */

/* Bob and Carol are users of one server with one cache; with or without a KMS. */
START_TEST(two_users_of_one_server)
{
    struct parties *p = set_up(_i == 0 ? "DEFGHIJLMNO" : "DFGHJLMNO");
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    if (_i == 1)
        share_tpk(p);
    shares(&p->bob, cache);
    shares(&p->carol, cache);
    p->carol.settings.self = mkt_id_uri("sip:cob@example.com"); /* as long as Bob's */
    p->policy.responder[1] = p->carol.settings.self;
    p->kms.player.friend[2].id = p->carol.settings.self;
    if (_i == 0)
        be_granted(p);
    else
        make_own(p);
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    answered_by(&p->carol, init);
    if (_i == 0) {
        resolved_by(&p->kms, &p->carol);
        resolved_by(&p->kms, &p->bob);
    }
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_TRANSFER_RESP) && mkt_csb_must_make(p->carol.csb, MKT_TRANSFER_RESP));
    for (size_t i = 0; i < 2; i++) { /* a replay to either is none of these */
        struct party *party = i == 0 ? &p->bob : &p->carol;
        begin(party, MKT_RESPONDER);
        expect_err("replay", mkt_csb_take_offer(party->csb, init, mikey), MKT_E_REPLAY);
    }
    parties_free(p);
    free(memory);
}
END_TEST

/* Two devices of Bob's: the application tells them apart by a scope, which is copied. */
START_TEST(two_devices_of_one_user)
{
    static const char *const scopes[] = {"", "phone", "phone", "radio"};
    struct parties *p = set_up("DFGHJLMNO");
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    share_tpk(p);
    shares(&p->bob, cache);
    make_own(p);
    const struct mkt_span init = offered(p);
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        char scope[8];
        strcpy(scope, scopes[i]);
        p->bob.settings.replay_scope = text(scope);
        begin(&p->bob, MKT_RESPONDER);
        memset(scope, 'x', sizeof scope);
        expect_err(scopes[i], mkt_csb_take_offer(p->bob.csb, init, mikey), i == 2 ? MKT_E_REPLAY : MKT_OK);
    }
    p->bob.settings.replay_scope = (struct mkt_span){init.p, p->bob.settings.bundle_size};
    mkt_csb_free(p->bob.csb);
    expect_err("too long a scope", mkt_csb_new(&p->bob.csb, MKT_RESPONDER, &p->bob.player.host, &p->bob.settings),
               MKT_E_ARGUMENT);
    parties_free(p);
    free(memory);
}
END_TEST

/* Identity and scope can't trade octets. */
START_TEST(identity_and_scope_are_apart)
{
    struct parties *p = set_up("DFGHJLMNO");
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    share_tpk(p);
    shares(&p->bob, cache);
    p->policy.responder[p->policy.n_responders++] = mkt_id_uri("sip:bob@example.co");
    make_own(p);
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    p->bob.settings.self = mkt_id_uri("sip:bob@example.co");
    p->bob.settings.replay_scope = text("m");
    answered_by(&p->bob, init);
    parties_free(p);
    free(memory);
}
END_TEST

/* Replays of a TRANSFER_INIT that Bob took cost his KMS nothing. */
START_TEST(a_replay_is_not_worth_a_question)
{
    struct parties *p = set_up("DEFGHIJLMNO");
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    shares(&p->bob, cache);
    be_granted(p);
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    resolved_by(&p->kms, &p->bob);
    const size_t before = mkt_replay_count(cache, p->bob.player.now);
    for (size_t i = 0, n = replays(); i < n; i++) {
        begin(&p->bob, MKT_RESPONDER);
        expect_err("replay", mkt_csb_take_offer(p->bob.csb, init, mikey), MKT_E_REPLAY);
        ck_assert(!mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK));
    }
    ck_assert_uint_eq(mkt_replay_count(cache, p->bob.player.now), before);
    parties_free(p);
    free(memory);
}
END_TEST

/* The host's own cache: without replay_peek the KMS is asked, and the message refused in the end. */
static enum mkt_err peek(void *user, struct mkt_span tag, mkt_ntp until)
{
    const struct player *p = user;
    ck_assert_uint_eq(tag.n, 32);
    ck_assert(until == ntp(NOW + 300));
    for (size_t i = 0; i < p->n_seen; i++)
        if (mkt_span_equal(p->seen[i], tag))
            return MKT_E_REPLAY;
    return MKT_OK;
}

START_TEST(a_cache_of_the_host)
{
    struct parties *p = set_up("DEFGHIJLMNO");
    be_granted(p);
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    resolved_by(&p->kms, &p->bob);
    answered_by(&p->bob, init);
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    expect_err("replay", mkt_csb_take(p->bob.csb, resolve_resp(&p->kms)), MKT_E_REPLAY);
    p->bob.player.host.replay_peek = peek;
    begin(&p->bob, MKT_RESPONDER);
    expect_err("replay", mkt_csb_take_offer(p->bob.csb, init, mikey), MKT_E_REPLAY);
    p->bob.player.n_seen = 0;
    answered_by(&p->bob, init);
    parties_free(p);
}
END_TEST

/* ---- D21: a party does not take its own messages ---- */

/* Whatever the order of its identities: an update that comes back is in the cache of its maker, if it has one. */
START_TEST(ones_own_updates_are_remembered)
{
    struct parties *p = set_up("DFGHJLMNO");
    share_tpk(p);
    make_own(p);
    called(p, false);
    for (size_t i = 0; i < 2; i++) {
        struct party *party = i == 0 ? &p->alice : &p->bob, *other = i == 0 ? &p->bob : &p->alice;
        const size_t seen = party->player.n_seen;
        const struct mkt_span update =
            updated(party, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
        ck_assert_uint_eq(party->player.n_seen, seen + 1);
        take(other, "update", update);
    }
    parties_free(p);
}
END_TEST

/*
 * Two devices of Bob's have one call, and each a cache of its own: the update of one is no update of Alice's to the
 * other. With G each has keys of its own; without it the order of the identities tells.
 */
START_TEST(the_update_of_another_device)
{
    static const char *const flags[] = {"DFGHJLMNO", "DFHJLMNO", "DHJLNO"};
    struct parties *p = set_up(flags[_i]);
    struct party *devices[] = {&p->bob, &p->carol};
    share_tpk(p);
    make_own(p);
    p->carol.settings.self = p->bob.settings.self; /* the other device */
    const struct mkt_span init = offered(p);
    for (size_t i = 0; i < 2; i++) {
        answered_by(devices[i], init);
        const struct mkt_span resp = _i < 2 ? transfer_resp(devices[i], NULL) : (struct mkt_span){NULL, 0};
        if (i == 0 && _i < 2)
            take(&p->alice, "TRANSFER_RESP", resp);
    }
    for (size_t i = 0; i < 2; i++) {
        const struct mkt_span update =
            updated(devices[0], &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = i == 0});
        refused(devices[1], "of the other device", update, _i == 0 ? MKT_E_MAC : MKT_E_UPDATE);
        take(&p->alice, "update", update);
    }
    parties_free(p);
}
END_TEST

/* Alice calls a group that she is a member of. */
static struct parties *alice_calls_her_group(void)
{
    struct parties *p = set_up("DFGHJLMNO");
    share_tpk(p);
    p->policy.responder[p->policy.n_responders++] = p->alice.settings.self;
    make_own(p);
    return p;
}

START_TEST(ones_own_call_comes_back)
{
    struct parties *p = alice_calls_her_group();
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    if (_i == 0)
        shares(&p->alice, cache);
    const struct mkt_span init = offered(p);
    begin(&p->mallory, MKT_RESPONDER); /* only for its place: Alice's second bundle */
    mkt_csb_free(p->mallory.csb);
    expect_err("new", mkt_csb_new(&p->mallory.csb, MKT_RESPONDER, &p->alice.player.host, &p->alice.settings), MKT_OK);
    expect_err("her own", mkt_csb_take_offer(p->mallory.csb, init, mikey), MKT_E_REPLAY);
    ck_assert_uint_eq(mkt_csb_peer(p->mallory.csb).data.n, 0);
    mkt_csb_free(p->mallory.csb);
    p->mallory.csb = NULL;
    answered_by(&p->bob, init); /* and Bob takes it */
    parties_free(p);
    free(memory);
}
END_TEST

/* Without a cache nothing tells; a setting takes the risk. */
START_TEST(ones_own_name_without_a_cache)
{
    struct parties *p = alice_calls_her_group();
    p->alice.player.host.replay = NULL;
    const struct mkt_span init = offered(p);
    begin(&p->alice, MKT_RESPONDER);
    refused(&p->alice, "her own", init, MKT_E_OWN_IDENTITY);
    p->alice.settings.allow_own_identity = true;
    answered_by(&p->alice, init);
    parties_free(p);
}
END_TEST

/* A COUNTER is not in the cache. */
START_TEST(ones_own_name_by_a_counter)
{
    struct parties *p = alice_calls_her_group();
    all_count(p);
    const struct mkt_span init = offered(p);
    begin(&p->alice, MKT_RESPONDER);
    refused(&p->alice, "her own", init, MKT_E_OWN_IDENTITY);
    parties_free(p);
}
END_TEST

/* Two devices of Alice's talk, each with its scope; to the first one its own TRANSFER_INIT is a replay. */
START_TEST(two_devices_of_one_user_talk)
{
    struct parties *p = alice_calls_her_group();
    void *memory;
    struct mkt_replay *cache = cache_new(&memory);
    shares(&p->alice, cache);
    shares(&p->carol, cache);
    p->carol.settings.self = p->alice.settings.self; /* the other device */
    p->carol.settings.replay_scope = text("tablet");
    p->alice.settings.replay_scope = text("phone");
    const struct mkt_span init = offered(p);
    answered_by(&p->carol, init);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->carol, NULL));
    same_tek(&p->alice, &p->carol, 32);
    begin(&p->alice, MKT_RESPONDER);
    expect_err("her own", mkt_csb_take_offer(p->alice.csb, init, mikey), MKT_E_REPLAY);
    parties_free(p);
    free(memory);
}
END_TEST

/* An answer that the party made itself, in whatever way it could do so, is not the peer's. */
START_TEST(ones_own_answer_comes_back)
{
    struct parties *p = alice_calls_her_group();
    p->alice.player.host.replay_peek = peek;
    const struct mkt_span init = offered(p);
    const struct mkt_span waits = stored(&p->alice);
    p->alice.player.n_seen = 0; /* her own TRANSFER_INIT was forgotten */
    answered_by(&p->alice, init);
    const struct mkt_span resp = transfer_resp(&p->alice, NULL);
    mkt_csb_free(p->alice.csb);
    expect_err("get", mkt_csb_load(&p->alice.csb, &p->alice.player.host, &p->alice.settings, waits), MKT_OK);
    refused(&p->alice, "her own answer", resp, MKT_E_REPLAY);
    answered_by(&p->bob, init);
    take(&p->alice, "Bob's", transfer_resp(&p->bob, NULL));
    parties_free(p);
}
END_TEST

/* A policy without IDRi names nobody: a Responder needs its host's word, an Initiator and a KMS need none. */
START_TEST(a_policy_without_initiator)
{
    struct parties *p = set_up(_i == 0 ? "DEFGHIJLMNO" : "DFGHJLMNO");
    if (_i == 1)
        share_tpk(p);
    p->policy.initiator = (struct mkt_id){0};
    p->recipe.policy = &p->policy;
    p->recipe.keys = &one_tgk;
    p->recipe.n_keys = 1;
    expect_err("ticket", mkt_ticket_make(&p->ticket, _i == 0 ? &p->kms.player.host : &p->alice.player.host, &p->recipe),
               MKT_OK);
    p->offer.ticket = p->ticket;
    const struct mkt_span init = offered(p);
    p->bob.player.host.authorise = NULL;
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "nobody says who Alice is", init, MKT_E_INITIATOR);
    p->carol.player.fail = MKT_E_DENIED;
    begin(&p->carol, MKT_RESPONDER);
    if (_i == 1)
        refused(&p->carol, "Carol's host says no", init, MKT_E_DENIED);
    p->carol.player.fail = MKT_OK;
    answered_by(&p->carol, init);
    if (_i == 0)
        resolved_by(&p->kms, &p->carol);
    expect_octets("asked about", p->carol.asked_id.data, p->alice.settings.self.data);
    ck_assert(!p->carol.asked_proven); /* Alice says so herself */
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->carol, NULL));
    same_tek(&p->alice, &p->carol, 32);
    parties_free(p);
}
END_TEST

/* A name of one octet is a name. */
START_TEST(an_initiator_with_a_short_name)
{
    struct parties *p = set_up("DFGHJLMNO");
    share_tpk(p);
    p->alice.settings.self = p->policy.initiator = mkt_id_uri("a");
    make_own(p);
    answered_by(&p->carol, offered(p));
    ck_assert_uint_eq(p->carol.asked_id.data.n, 1);
    ck_assert(p->carol.asked_proven);
    parties_free(p);
}
END_TEST

/* The holder of such a ticket may take anybody's name: the counters of that name stay as they are. */
START_TEST(a_policy_without_initiator_by_a_counter)
{
    struct parties *p = set_up("DFGHJLMNO");
    all_count(p);
    share_tpk(p);
    p->policy.initiator = (struct mkt_id){0};
    p->recipe.policy = &p->policy;
    p->recipe.keys = &one_tgk;
    p->recipe.n_keys = 1;
    expect_err("ticket", mkt_ticket_make(&p->ticket, &p->alice.player.host, &p->recipe), MKT_OK);
    p->offer.ticket = p->ticket;
    const struct mkt_span init = offered(p);
    begin(&p->carol, MKT_RESPONDER);
    refused(&p->carol, "COUNTER", init, MKT_E_INITIATOR);
    ck_assert_uint_eq(p->carol.n_counted, 0);
    parties_free(p);
}
END_TEST

/* ---- without F the Initiator knows only whom it asked ---- */

static struct mkt_id told_asked; /* mkt_peer.asked of the last question */

static enum mkt_err ask_about(void *user, const struct mkt_peer *peer)
{
    struct party *p = user;
    p->n_asked++;
    p->asked_role = peer->role;
    p->asked_id = peer->id;
    p->asked_id.data = exact(peer->id.data);
    p->asked_proven = peer->proven;
    told_asked = peer->called;
    told_asked.data = exact(peer->called.data);
    ck_assert_uint_eq(peer->policy->n_responders, 2);
    return p->player.fail;
}

static struct mkt_span answer_update(struct party *by, struct mkt_span update)
{
    take(by, "update", update);
    return transfer_resp(by, NULL);
}

/*
 * Alice calls Bob without F, and Carol, who is a responder of the policy, too, takes the call: she does not speak in
 * Bob's name, and Alice's host is asked about her. She speaks first, or she answers an update of Alice's; her
 * identity is sent even if she leaves identities out. Alice's bundle goes through octets after each step, or stays.
 */
START_TEST(another_responder_than_the_one_asked)
{
    const bool first = (_i & 1) != 0, moves = (_i & 2) != 0, leaves_out = (_i & 4) != 0;
    struct parties *p = set_up("DHJLNO");
    share_tpk(p);
    p->alice.moves = p->carol.moves = moves;
    p->alice.player.host.authorise = p->carol.player.host.authorise = ask_about;
    p->carol.settings.leave_out_identities = leaves_out;
    make_own(p);
    const struct mkt_span init = offered(p);
    answered_by(&p->carol, init);
    ck_assert(p->carol.n_asked == 1 && p->alice.n_asked == 0);
    expect_octets("Carol's host knows that Bob was asked", told_asked.data, p->bob.settings.self.data);
    expect_octets("peer of Carol", mkt_csb_peer(p->carol.csb).data, p->alice.settings.self.data);
    ck_assert_uint_eq(mkt_csb_peer(p->alice.csb).data.n, 0);

    const struct mkt_span message =
        first ? updated(&p->carol, &(struct mkt_update){.size = sizeof(struct mkt_update)})
              : answer_update(&p->carol, updated(&p->alice, &(struct mkt_update){.size = sizeof(struct mkt_update)}));
    expect_octets("IDRr", payload_of(message, MKT_IDR, MKT_IDR_R).id.data, p->carol.settings.self.data);
    p->alice.player.fail = MKT_E_DENIED;
    refused(&p->alice, "Alice's host does not want Carol", message, MKT_E_DENIED);
    ck_assert_uint_eq(mkt_csb_peer(p->alice.csb).data.n, 0);
    p->alice.player.fail = MKT_OK;
    take(&p->alice, "from Carol", message);
    ck_assert_int_eq(p->alice.asked_role, MKT_RESPONDER);
    expect_octets("asked about Carol", p->alice.asked_id.data, p->carol.settings.self.data);
    expect_octets("Bob was asked", told_asked.data, p->bob.settings.self.data);
    if (first)
        take(&p->carol, "answer", transfer_resp(&p->alice, NULL));
    expect_octets("peer", mkt_csb_peer(p->alice.csb).data, p->carol.settings.self.data);

    /* from now on Alice knows her, and asks nobody */
    const size_t asked = p->alice.n_asked;
    take(&p->carol, "update of Alice's",
         updated(&p->alice, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true}));
    take(&p->alice, "update of Carol's",
         updated(&p->carol, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true}));
    ck_assert_uint_eq(p->alice.n_asked, asked);
    same_tek(&p->alice, &p->carol, 32);

    /* and Bob, who took the call as well, comes too late */
    answered_by(&p->bob, init);
    p->alice.player.now += ntp(1);
    p->bob.player.now += ntp(1);
    refused(&p->alice, "from Bob", updated(&p->bob, &(struct mkt_update){.size = sizeof(struct mkt_update)}),
            MKT_E_RESPONDER);
    parties_free(p);
}
END_TEST

static bool anybody(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user, (void)id, (void)group;
    return true;
}

/* Dave believes that he belongs to the responders of the policy; Alice's host does not know of it. */
START_TEST(a_responder_that_the_policy_does_not_name)
{
    struct parties *p = set_up("DHJLNO");
    share_tpk(p);
    p->carol.settings.self = mkt_id_uri("sip:dave@example.com");
    p->carol.player.host.member = anybody;
    make_own(p);
    answered_by(&p->carol, offered(p));
    const struct mkt_span update = updated(&p->carol, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    refused(&p->alice, "from Dave", update, MKT_E_RESPONDER);
    p->alice.player.host.member = anybody;
    take(&p->alice, "a member", update);
    expect_octets("peer", mkt_csb_peer(p->alice.csb).data, p->carol.settings.self.data);
    parties_free(p);
}
END_TEST

/* An answer without IDRr is of the one that was asked, whom Alice's host is asked about as well. */
START_TEST(the_responder_that_was_asked)
{
    struct parties *p = set_up("DHJLNO");
    share_tpk(p);
    p->alice.player.host.authorise = ask_about;
    p->bob.settings.leave_out_identities = true;
    make_own(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span answer =
        answer_update(&p->bob, updated(&p->alice, &(struct mkt_update){.size = sizeof(struct mkt_update)}));
    struct mkt_message m = decoded(answer);
    ck_assert_ptr_null(mkt_message_find(&m, MKT_IDR, MKT_IDR_R));
    ck_assert_uint_eq(mkt_csb_peer(p->alice.csb).data.n, 0);
    take(&p->alice, "answer", answer);
    expect_octets("asked about Bob", p->alice.asked_id.data, p->bob.settings.self.data);
    ck_assert(p->alice.asked_proven);
    expect_octets("peer", mkt_csb_peer(p->alice.csb).data, p->bob.settings.self.data);
    parties_free(p);
}
END_TEST

/* Alice calls a group, and Bob answers: whoever refuses an update of the other, its Error message has a MAC. */
START_TEST(about_an_update_in_a_call_to_a_group)
{
    struct parties *p = parties_new(MKT_SUITE_256, _i < 2 ? "DFGHJLMNO" : "DHJLNO");
    const bool by_bob = (_i & 1) != 0;
    struct party *by = by_bob ? &p->bob : &p->alice, *to = by_bob ? &p->alice : &p->bob;
    uint8_t octets[2][2048];
    struct mkt_buf update = {octets[0], 2048, 0}, error = {octets[1], 2048, 0};
    p->alice.player.tpk = p->bob.player.tpk = p->tpk;
    p->policy.responder[p->policy.n_responders++] = mkt_id_uri("sip:help@example.com");
    p->offer.responder = p->policy.responder[1];
    make_own(p);
    answered_by(&p->bob, offered(p));
    if (_i < 2)
        take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    expect_err("update", mkt_csb_make_update(by->csb, &(struct mkt_update){.size = sizeof(struct mkt_update)}, &update),
               MKT_OK);
    const struct mkt_span about = {octets[0], update.n};
    expect_err("Error", mkt_csb_make_error(to->csb, about, MKT_E_DENIED, NULL, 0, &error), MKT_OK);
    ck_assert_uint_eq(payload_of((struct mkt_span){octets[1], error.n}, MKT_V, 0).type, MKT_V);
    expect_err("told", taken(mkt_csb_take(by->csb, (struct mkt_span){octets[1], error.n})), MKT_OK);
    ck_assert(by->player.reports == 1 && by->player.authenticated);
    parties_free(p);
}
END_TEST

/* ---- D16: the PSK identity of a branch ---- */

static struct mkt_span identity_of(const struct mkt_csb *csb)
{
    uint8_t octets[128];
    struct mkt_buf identity = {octets, sizeof octets, 0};
    expect_err("identity", mkt_csb_psk_identity(csb, 1, &identity), MKT_OK);
    return exact((struct mkt_span){octets, identity.n});
}

/* Both ends have one identity. A RAND is in it that only the answer of that Responder has, if there is an answer. */
START_TEST(the_identity_of_a_branch)
{
    static const char *const flags[] = {"DEFGHIJNO", "DFGHJNO", "DEFHIJNO", "DEHIJNO", "DFHJNO", "DHJNO"};
    static const uint8_t roles[] = {MKT_RANDR_R, MKT_RANDR_R, MKT_RANDR_KMS};
    const struct mkt_key_wish gtgk = {.size = sizeof gtgk, .type = MKT_KEY_GTGK};
    struct parties *p = set_up(flags[_i]);
    const bool answered = strchr(flags[_i], 'F') != NULL;
    char want[128];
    p->request.keys = &gtgk;
    p->request.n_keys = 1;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    resolved_by(&p->kms, &p->bob);
    const struct mkt_span answer = answered ? transfer_resp(&p->bob, NULL) : text("");
    if (answered)
        take(&p->alice, "TRANSFER_RESP", answer);
    int n = snprintf(want, sizeof want, "mikey-ticket:%08x:01:", mkt_csb_id(p->alice.csb));
    const struct mkt_key_data key = session_key(&p->alice, 0);
    for (size_t i = 0; i < key.kv.spi.n; i++)
        n += snprintf(want + n, sizeof want - (size_t)n, "%02x", key.kv.spi.p[i]);
    for (size_t i = 0; (size_t)_i < sizeof roles && i < 8; i++)
        n += snprintf(want + n, sizeof want - (size_t)n, "%s%02x", i == 0 ? ":" : "",
                      payload_of(answer, MKT_RANDR, roles[_i]).rand.rand.p[i]);
    expect_octets("Alice", identity_of(p->alice.csb), text(want));
    expect_octets("Bob", identity_of(p->bob.csb), text(want));
    parties_free(p);
}
END_TEST

/* ---- branches of one call ---- */

/* An answer that the bundle has taken already: nothing is new. */
static void again(struct party *party, const char *what, struct mkt_span answer)
{
    const struct mkt_span before = stored(party);
    const size_t n_seen = party->player.n_seen, n_asked = party->n_asked;
    expect_err(what, mkt_csb_take(party->csb, answer), MKT_OK);
    ck_assert_msg(mkt_csb_repeated(party->csb), "%s: nothing was new", what);
    ck_assert(party->player.n_seen == n_seen && party->n_asked == n_asked);
    expect_octets(what, stored(party), before);
}

/* Bob and Carol answer one call in either order, each with a branch of Alice's, which may have moved meanwhile. */
START_TEST(a_branch_for_each_answer)
{
    static const char *const flags[] = {"DEFGHIJLMNO", "DFGHJLMNO", "DFHJLMNO"};
    const bool moves = (_i & 1) != 0, late = (_i & 2) != 0;
    const unsigned first = (_i & 4) != 0, way = (unsigned)_i / 8;
    struct parties *p = set_up(flags[way]);
    struct party *alice = &p->alice, *responder[] = {&p->bob, &p->carol};
    struct mkt_csb *branch[2];
    struct mkt_span answer[2], tek[2];
    alice->moves = moves;
    if (way > 0)
        share_tpk(p);
    if (way == 0)
        be_granted(p);
    else
        make_own(p);
    const struct mkt_span init = offered(p), waits = stored(alice);
    struct mkt_csb *const offer = alice->csb;
    for (size_t i = 0; i < 2; i++) {
        answered_by(responder[i], init);
        if (way == 0)
            resolved_by(&p->kms, responder[i]);
        answer[i] = transfer_resp(responder[i], NULL);
    }
    for (size_t i = 0; i < 2; i++) {
        const size_t who = i == 0 ? first : 1 - first;
        expect_err("branch", mkt_csb_branch(offer, &alice->csb), MKT_OK);
        expect_octets("it is a copy", stored(alice), waits);
        if (late) { /* a branch can be copied, and does not need what it is a copy of */
            struct mkt_csb *twin;
            expect_err("twin", mkt_csb_branch(alice->csb, &twin), MKT_OK);
            mkt_csb_free(alice->csb);
            alice->csb = twin;
        }
        take(alice, "183", answer[who]);
        again(alice, "200", answer[who]);
        refused(alice, "the answer to another branch", answer[1 - who], MKT_E_DATA_TYPE);
        same_tek(alice, responder[who], 32);
        expect_octets("peer", mkt_csb_peer(alice->csb).data, responder[who]->settings.self.data);
        expect_octets("identity", identity_of(alice->csb), identity_of(responder[who]->csb));
        tek[who] = party_tek(alice);
        branch[who] = alice->csb;
        alice->csb = offer;
        expect_octets("the bundle of the offer waits on", stored(alice), waits);
    }
    /* without G and I both have one key, and so one identity (D16) */
    ck_assert(mkt_span_equal(tek[0], tek[1]) == (way == 2));
    ck_assert(mkt_span_equal(identity_of(branch[0]), identity_of(branch[1])) == (way == 2));
    mkt_csb_free(offer);
    for (size_t i = 0; i < 2; i++) {
        alice->csb = branch[i];
        alice->player.now += ntp(1);
        p->bob.player.now = p->carol.player.now = alice->player.now;
        take(responder[i], "update",
             updated(alice, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true}));
        same_tek(alice, responder[i], 32);
        mkt_csb_free(branch[i]);
    }
    alice->csb = NULL;
    parties_free(p);
}
END_TEST

/* Only what waits for a TRANSFER_RESP can be copied, and a refusal changes nothing. */
START_TEST(no_branch)
{
    struct parties *p = set_up("DFGHJLMNO");
    struct mkt_csb *branch = p->alice.csb;
    share_tpk(p);
    make_own(p);
    begin(&p->alice, MKT_INITIATOR);
    expect_err("no offer", mkt_csb_branch(p->alice.csb, &branch), MKT_E_STATE);
    ck_assert_ptr_null(branch);
    ck_assert_int_eq(p->alice.player.logged, MKT_E_STATE);
    called(p, false);
    expect_err("answered", mkt_csb_branch(p->alice.csb, &branch), MKT_E_STATE);
    expect_err("of a Responder", mkt_csb_branch(p->bob.csb, &branch), MKT_E_STATE);
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    expect_err("of a Responder that owes", mkt_csb_branch(p->bob.csb, &branch), MKT_E_STATE);
    p->policy.flags &= (uint16_t) ~(MKT_FLAG_F | MKT_FLAG_G | MKT_FLAG_M);
    mkt_ticket_free(p->ticket);
    make_own(p);
    offered(p);
    expect_err("without F", mkt_csb_branch(p->alice.csb, &branch), MKT_E_STATE);
    ck_assert_ptr_null(branch);
    parties_free(p);
}
END_TEST

/* A bundle that has just the room that it needs can be copied: what it views twice is there once. */
START_TEST(a_branch_has_the_room_of_its_bundle)
{
    struct parties *p = set_up("DEFGHIJLMNO");
    struct mkt_csb *branch;
    uint8_t octets[2048];
    be_granted(p);
    for (p->alice.settings.bundle_size = 600;; p->alice.settings.bundle_size++) {
        struct mkt_buf out = {octets, sizeof octets, 0};
        mkt_csb_free(p->alice.csb);
        p->alice.csb = NULL;
        if (mkt_csb_new(&p->alice.csb, MKT_INITIATOR, &p->alice.player.host, &p->alice.settings) == MKT_OK &&
            mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &out) == MKT_OK)
            break;
    }
    const size_t live = p->alice.player.live;
    expect_err("branch", mkt_csb_branch(p->alice.csb, &branch), MKT_OK);
    ck_assert_uint_eq(p->alice.player.live, live + 1);
    expect_octets("copy", stored(&(struct party){.csb = branch}), stored(&p->alice));
    mkt_csb_free(branch);
    parties_free(p);
}
END_TEST

/* ---- D28: SIP repeats an answer ---- */

/* The answer in a 183 is in the 200 again, minutes later; another one is not. The bundle may have moved meanwhile. */
START_TEST(the_same_answer_again)
{
    static const char *const flags[] = {"DEFGHIJLMNO", "DFGHJLMNO", "DFHJLMNO"};
    struct parties *p = set_up(flags[_i / 2]);
    uint8_t octets[2048];
    p->alice.moves = _i % 2 != 0;
    if (_i / 2 == 0)
        be_granted(p);
    else {
        share_tpk(p);
        make_own(p);
    }
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    answered_by(&p->carol, init);
    if (_i / 2 == 0) {
        resolved_by(&p->kms, &p->bob);
        resolved_by(&p->kms, &p->carol);
    }
    const struct mkt_span answer = transfer_resp(&p->bob, NULL), other = transfer_resp(&p->carol, NULL);
    const struct mkt_span changed = {octets, answer.n};
    take(&p->alice, "183", answer);
    ck_assert(!mkt_csb_repeated(p->alice.csb));
    again(&p->alice, "183 again", answer);
    p->alice.player.now += ntp(600);
    again(&p->alice, "200", answer);
    again(&p->alice, "200 again", answer);
    for (size_t bit = 0; bit < 8 * answer.n; bit += 5) {
        memcpy(octets, answer.p, answer.n);
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert(mkt_csb_take(p->alice.csb, changed) != MKT_OK);
    }
    refused(&p->alice, "the answer of another one", other, MKT_E_DATA_TYPE);
    again(&p->alice, "after one that was refused", answer);
    refused(&p->bob, "one's own answer", answer, MKT_E_DATA_TYPE);
    parties_free(p);
}
END_TEST

/* Until an update was made or taken: one that is only measured, or refused, is none. */
START_TEST(the_same_answer_after_an_update)
{
    const bool made = (_i & 1) != 0, answered = (_i & 2) != 0;
    const struct mkt_update wish = {.size = sizeof wish, .no_answer = !answered};
    struct parties *p = set_up("DFGHJLMNO");
    struct party *by = made ? &p->alice : &p->bob, *to = made ? &p->bob : &p->alice;
    struct mkt_buf measured = {NULL, 0, 0};
    share_tpk(p);
    make_own(p);
    const struct mkt_span answer = called(p, false);
    expect_err("measured", mkt_csb_make_update(p->alice.csb, &wish, &measured), MKT_OK);
    again(&p->alice, "measured", answer);
    p->alice.player.fail = MKT_E_DENIED;
    p->alice.player.now += ntp(1);
    p->bob.player.now += ntp(1);
    const struct mkt_span update = updated(by, &wish);
    if (!made) {
        p->alice.player.now += ntp(1000);
        refused(&p->alice, "too late", update, MKT_E_STALE);
        again(&p->alice, "an update was refused", answer);
        p->alice.player.now -= ntp(1000);
    }
    take(to, "update", update);
    ck_assert(!mkt_csb_repeated(to->csb));
    refused(&p->alice, "that of before the update", answer,
            !answered ? MKT_E_DATA_TYPE
            : made    ? MKT_E_MAC
                      : MKT_E_STATE);
    if (answered) {
        const struct mkt_span second = transfer_resp(to, NULL);
        take(by, "answer", second);
        again(by, "answer again", second);
        refused(to, "one's own", second, MKT_E_DATA_TYPE);
        refused(&p->alice, "that of before the update", answer, MKT_E_DATA_TYPE);
    }
    parties_free(p);
}
END_TEST

/* An update that is given up was made all the same: the ends may differ in it. */
START_TEST(the_same_answer_after_an_update_that_was_given_up)
{
    struct parties *p = set_up("DFGHJLMNO");
    share_tpk(p);
    make_own(p);
    const struct mkt_span answer = called(p, false);
    p->alice.player.now += ntp(1);
    updated(&p->alice, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    mkt_csb_abandon(p->alice.csb);
    refused(&p->alice, "given up", answer, MKT_E_DATA_TYPE);
    parties_free(p);
}
END_TEST

/* ---- D29: no key and IV twice ---- */

enum { ENCRYPTIONS = 64 };

/* What was encrypted since clear(): key and IV, and the keys that went in. */
static struct {
    uint8_t key[32], iv[16], in[256];
    size_t n;
} encrypted[ENCRYPTIONS];
static size_t n_encrypted;
static bool encrypts; /* whether a message is made */
static char history[512];

enum mkt_err __real_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out);
enum mkt_err __wrap_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out);

enum mkt_err __wrap_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out)
{
    for (size_t i = 0; encrypts && i < n_encrypted; i++)
        ck_assert_msg(memcmp(encrypted[i].key, key.p, key.n) != 0 || memcmp(encrypted[i].iv, iv, 16) != 0 ||
                          (encrypted[i].n == in.n && memcmp(encrypted[i].in, in.p, in.n) == 0),
                      "one key and one IV for two:%s", history);
    if (encrypts) {
        ck_assert(n_encrypted < ENCRYPTIONS && key.n <= 32 && in.n <= sizeof encrypted->in);
        memcpy(encrypted[n_encrypted].key, key.p, key.n);
        memcpy(encrypted[n_encrypted].iv, iv, 16);
        memcpy(encrypted[n_encrypted].in, in.p, in.n);
        encrypted[n_encrypted++].n = in.n;
    }
    return __real_mkt_aes_cm(key, iv, in, out);
}

/* Octets that two parties do not draw alike. */
static uint64_t seeds[ALL_PARTIES];

static enum mkt_err draw(void *user, uint8_t *out, size_t n)
{
    uint64_t *state = &seeds[((struct player *)user)->count[3]];
    for (size_t i = 0; i < n; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*state >> 56);
    }
    return MKT_OK;
}

enum { BOB, CAROL, ALICE_WITH_BOB, ALICE_WITH_CAROL, ENDS };
enum { STANDS, TICKS, ALICE_AHEAD, RESPONDERS_AHEAD, GOES_BACK, COUNTS, CLOCKS };

/* A call of Alice's that both Bob and Carol take; she has a branch, a bundle of its own, for each of them. */
struct fork {
    struct parties *p;
    struct mkt_csb *end[ENDS];
    unsigned clock, step;
};

static void set_clocks(struct fork *f)
{
    const uint64_t ms = (uint64_t)1 << 22, tick = f->clock == TICKS ? f->step * ms / 2 / ms * ms : 0;
    for (size_t i = 0; i < ALL_PARTIES; i++) {
        mkt_ntp *now = &f->p->all[i].player.now;
        const bool alice = &f->p->all[i] == &f->p->alice;
        *now = ntp(NOW) + tick;
        if (f->clock == (alice ? ALICE_AHEAD : RESPONDERS_AHEAD))
            *now += ntp(200);
        if (f->clock == GOES_BACK)
            *now -= f->step * ms;
    }
    f->step++;
}

static void note(const char *what, unsigned end)
{
    static const char *const names[ENDS] = {"Bob", "Carol", "Alice-Bob", "Alice-Carol"};
    const size_t n = strlen(history);
    snprintf(history + n, sizeof history - n, " %s %s", names[end], what);
}

static const struct mkt_key_wish a_key = {.size = sizeof a_key, .type = MKT_KEY_TGK};

/* An answer with a key; lost, or taken by Alice's branch. */
static void answer(struct fork *f, unsigned end, bool arrives)
{
    static const struct mkt_answer with_key = {.size = sizeof with_key, .keys = &a_key, .n_keys = 1};
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    set_clocks(f);
    note(arrives ? "answers" : "answers in vain", end);
    encrypts = true;
    const enum mkt_err err = mkt_csb_make_transfer_resp(f->end[end], &with_key, &out);
    encrypts = false;
    if (err == MKT_E_COUNTER) /* D29: without G no keys by COUNTER */
        expect_err("no keys", mkt_csb_make_transfer_resp(f->end[end], NULL, &out), MKT_OK);
    else
        expect_err(history, err, MKT_OK);
    if (arrives)
        expect_err(history, mkt_csb_take(f->end[ALICE_WITH_BOB + end], (struct mkt_span){octets, out.n}), MKT_OK);
}

/* An update with a key, of either end of a branch; lost, or taken. */
static void update(struct fork *f, unsigned end, bool arrives)
{
    static const struct mkt_update with_key = {.size = sizeof with_key, .keys = &a_key, .n_keys = 1, .no_answer = true};
    static const unsigned other[ENDS] = {ALICE_WITH_BOB, ALICE_WITH_CAROL, BOB, CAROL};
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    if (!mkt_csb_ready(f->end[end]))
        return;
    set_clocks(f);
    note(arrives ? "updates" : "updates in vain", end);
    encrypts = true;
    const enum mkt_err err = mkt_csb_make_update(f->end[end], &with_key, &out);
    encrypts = false;
    if (err == MKT_E_COUNTER || err == MKT_E_KEMAC) /* D29; without M a Responder has no keys to supply */
        return;
    expect_err(history, err, MKT_OK);
    if (!arrives || !mkt_csb_ready(f->end[other[end]]))
        return;
    const enum mkt_err taken = mkt_csb_take(f->end[other[end]], (struct mkt_span){octets, out.n});
    /* it may be earlier than one that its taker has by now */
    ck_assert_msg(taken == MKT_OK || taken == MKT_E_STALE || taken == MKT_E_REPLAY, "%s: %s", history,
                  mkt_err_name(taken));
}

static struct fork fork_of(const char *flags, unsigned clock)
{
    struct fork f = {.p = set_up(flags), .clock = clock};
    struct parties *p = f.p;
    n_encrypted = 0;
    history[0] = '\0';
    share_tpk(p);
    if (clock == COUNTS)
        all_count(p);
    for (size_t i = 0; i < ALL_PARTIES; i++) {
        p->all[i].player.count[3] = (uint32_t)i;
        p->all[i].player.counted[3] = text("nobody");
        p->all[i].player.host.random = draw;
        p->all[i].player.host.authorise = NULL;
        if (clock != COUNTS)
            p->all[i].player.host.replay = NULL; /* there is room for 16 */
        seeds[i] = i + 1;
    }
    set_clocks(&f);
    make_own(p);
    const struct mkt_span init = offered(p), waits = stored(&p->alice);
    answered_by(&p->bob, init);
    answered_by(&p->carol, init);
    f.end[BOB] = p->bob.csb;
    f.end[CAROL] = p->carol.csb;
    f.end[ALICE_WITH_BOB] = p->alice.csb;
    if (mkt_csb_ready(p->alice.csb)) /* without F */
        expect_err("copy", mkt_csb_load(&f.end[ALICE_WITH_CAROL], &p->alice.player.host, &p->alice.settings, waits),
                   MKT_OK);
    else
        expect_err("branch", mkt_csb_branch(p->alice.csb, &f.end[ALICE_WITH_CAROL]), MKT_OK);
    return f;
}

static void end_fork(struct fork *f)
{
    mkt_csb_free(f->end[ALICE_WITH_CAROL]);
    parties_free(f->p);
}

/*
 * Every order of two updates, each lost or taken, after the answers in either order, each lost or taken; of three with
 * TAMPER=1 in the environment.
 */
START_TEST(no_key_and_iv_twice)
{
    static const char *const flags[] = {"DFGHJLMNO", "DFHJLMNO", "DHJLNO"};
    enum { WAYS = 2 * ENDS };
    const unsigned updates = getenv("TAMPER") != NULL ? 3 : 2;
    const unsigned clock = (unsigned)_i % CLOCKS;
    const char *const flag = flags[_i / CLOCKS];
    const bool answered = strchr(flag, 'F') != NULL;
    for (unsigned way = 0; way < WAYS * WAYS * (updates == 3 ? WAYS : 1); way++) {
        for (unsigned answers = 0; answers < (answered ? 8 : 1); answers++) {
            struct fork f = fork_of(flag, clock);
            for (unsigned i = 0; answered && i < 2; i++) {
                const unsigned who = (answers & 4) != 0 ? CAROL - i : i;
                answer(&f, who, (answers >> who & 1) != 0);
            }
            for (unsigned i = 0, w = way; i < updates; i++, w /= WAYS)
                update(&f, w % WAYS / 2, w % 2 != 0);
            end_fork(&f);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forked");
    TCase *tcase = tcase_create("nobody fills a cache");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, replays_of_one_old_request, 0, 2);
    tcase_add_loop_test(tcase, replays_of_one_refused_update, 0, 2);
    tcase_add_test(tcase, deliveries_of_one_damaged_ticket);
    tcase_add_test(tcase, a_replay_is_not_worth_a_question);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("new to each");
    tcase_add_loop_test(tcase, two_users_of_one_server, 0, 2);
    tcase_add_test(tcase, two_devices_of_one_user);
    tcase_add_test(tcase, identity_and_scope_are_apart);
    tcase_add_test(tcase, a_cache_of_the_host);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("ones own");
    tcase_add_loop_test(tcase, ones_own_call_comes_back, 0, 2);
    tcase_add_test(tcase, ones_own_updates_are_remembered);
    tcase_add_loop_test(tcase, the_update_of_another_device, 0, 3);
    tcase_add_test(tcase, ones_own_name_without_a_cache);
    tcase_add_test(tcase, ones_own_name_by_a_counter);
    tcase_add_test(tcase, two_devices_of_one_user_talk);
    tcase_add_test(tcase, ones_own_answer_comes_back);
    tcase_add_loop_test(tcase, a_policy_without_initiator, 0, 2);
    tcase_add_test(tcase, a_policy_without_initiator_by_a_counter);
    tcase_add_test(tcase, an_initiator_with_a_short_name);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("who answers");
    tcase_add_loop_test(tcase, another_responder_than_the_one_asked, 0, 8);
    tcase_add_test(tcase, a_responder_that_the_policy_does_not_name);
    tcase_add_test(tcase, the_responder_that_was_asked);
    tcase_add_loop_test(tcase, about_an_update_in_a_call_to_a_group, 0, 4);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("identities");
    tcase_add_loop_test(tcase, the_identity_of_a_branch, 0, 6);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("branches");
    tcase_add_loop_test(tcase, a_branch_for_each_answer, 0, 24);
    tcase_add_test(tcase, no_branch);
    tcase_add_test(tcase, a_branch_has_the_room_of_its_bundle);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("the same answer");
    tcase_add_loop_test(tcase, the_same_answer_again, 0, 6);
    tcase_add_loop_test(tcase, the_same_answer_after_an_update, 0, 4);
    tcase_add_test(tcase, the_same_answer_after_an_update_that_was_given_up);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("keys and IVs");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, no_key_and_iv_twice, 0, 3 * CLOCKS);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
