/* SPDX-License-Identifier: BSD-3-Clause */
/* csb: the crypto session bundle, as the application holds it. */
#include "play.h"

START_TEST(tek_length)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.tek_length = c->settings_r.tek_length = (size_t)_i;
    make_resp(c);
    finish(c);
    expect_same_tek(c, 1, (size_t)_i);
    call_free(c);

    c = call_new(MKT_SUITE_128,
                 "FGHJLNO"); /* "128-bit algorithms SHALL NOT be used" with longer ones: there is one length */
    c->settings_i.tek_length = c->settings_r.tek_length = (size_t)_i;
    make_resp(c);
    finish(c);
    expect_same_tek(c, 1, 16);
    call_free(c);
}
END_TEST

static enum mkt_err own_identity(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity)
{
    (void)user;
    ck_assert_uint_ne(session->csb_id, 0);
    ck_assert_uint_eq(session->cs.cs_id, 1);
    expect_octets("peer", session->peer.data, text("sip:alice@example.com"));
    ck_assert(session->randr.n == 32 && session->randkms.n == 0);
    if (identity->cap < 4)
        return MKT_E_BUFFER;
    memcpy(identity->p, "mine", 4);
    identity->n = 4;
    return MKT_OK;
}

START_TEST(psk_identity_of_the_hosts_own)
{
    uint8_t out[64];
    struct mkt_buf identity = {out, sizeof out, 0};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->bob.host.psk_identity = own_identity;
    make_resp(c);
    expect_err("identity", mkt_csb_psk_identity(c->r, 1, &identity), MKT_OK);
    expect_octets("identity", (struct mkt_span){out, identity.n}, text("mine"));
    /* the host, which expects the first session, is asked about sessions that there are */
    expect_err("no such session", mkt_csb_psk_identity(c->r, 2, &identity), MKT_E_NO_SESSION);
    c->alice.host.psk_identity = own_identity;
    expect_err("not ready", mkt_csb_psk_identity(c->i, 1, &identity), MKT_E_STATE);
    ck_assert_uint_eq(identity.n, 4);
    call_free(c);
}
END_TEST

START_TEST(steps_out_of_order)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t out[64];
    struct mkt_buf buf = {out, sizeof out, 0};
    make_ticket(c);
    expect_err("nothing to answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_STATE);
    expect_err("a Responder offers", mkt_csb_make_transfer_init(c->r, &c->offer, &c->init_buf), MKT_E_STATE);
    expect_err("an Initiator answers", mkt_csb_make_transfer_resp(c->i, NULL, &c->resp_buf), MKT_E_STATE);
    expect_err("no offer was made", mkt_csb_take(c->i, mikey), MKT_E_STATE);
    expect_err("no key yet", mkt_csb_tek(c->i, 1, &buf), MKT_E_STATE);
    expect_err("no key yet", mkt_csb_psk_identity(c->i, 1, &buf), MKT_E_STATE);
    ck_assert_uint_eq(mkt_csb_session_count(c->i), 0);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("a second offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_STATE);
    expect_err("own offer as answer", mkt_csb_take_offer(c->i, init_of(c), mikey), MKT_E_DATA_TYPE);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("offer again", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_STATE);
    expect_err("no key yet", mkt_csb_tek(c->r, 1, &buf), MKT_E_STATE);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("a second answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_STATE);
    finish(c);
    ck_assert(!mkt_csb_repeated(c->i));
    expect_err("answer again", mkt_csb_take(c->i, resp_of(c)), MKT_OK);
    ck_assert(mkt_csb_repeated(c->i));
    expect_err("no such session", mkt_csb_tek(c->i, 2, &buf), MKT_E_NO_SESSION);
    ck_assert_int_eq(mkt_csb_role(c->i), MKT_INITIATOR);
    call_free(c);
}
END_TEST

START_TEST(measuring_and_small_buffers_change_nothing)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf measured = {NULL, 0, 0}, small = {c->init, 0, 0};
    make_ticket(c);
    expect_err("measure", mkt_csb_make_transfer_init(c->i, &c->offer, &measured), MKT_OK);
    small.cap = measured.n - 1;
    expect_err("small", mkt_csb_make_transfer_init(c->i, &c->offer, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    ck_assert_uint_eq(mkt_csb_id(c->i), 0);
    c->init_buf.cap = measured.n;
    expect_err("just enough", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    ck_assert_uint_eq(c->init_buf.n, measured.n);

    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    measured.n = 0;
    expect_err("measure", mkt_csb_make_transfer_resp(c->r, NULL, &measured), MKT_OK);
    small = (struct mkt_buf){c->resp, measured.n - 1, 0};
    expect_err("small", mkt_csb_make_transfer_resp(c->r, NULL, &small), MKT_E_BUFFER);
    ck_assert(mkt_csb_must_make(c->r, MKT_TRANSFER_RESP) && !mkt_csb_ready(c->r));
    c->resp_buf.cap = measured.n;
    expect_err("just enough", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

START_TEST(nobody_answered_is_nobody_known)
{
    struct call *c = call_new(MKT_SUITE_256, "HJLNO");
    make_init(c);
    ck_assert(mkt_csb_ready(c->i));
    ck_assert_uint_eq(mkt_csb_peer(c->i).data.n, 0);
    call_free(c);
}
END_TEST

static bool anybody(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user, (void)id, (void)group;
    return true;
}

/* Who was asked is kept once, however long the name: a bundle that had room has it when it is read back, too. */
START_TEST(a_long_name_of_a_group)
{
    static char name[2400];
    struct call *c = call_new(MKT_SUITE_128, _i == 0 ? "HJLNO" : "FGHJLMNO");
    struct mkt_csb *copy = NULL;
    memset(name, 'x', sizeof name - 1);
    c->offer.responder = mkt_id_uri(_i == 0 ? name : name + 1200);
    c->bob.host.member = anybody;
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("get", mkt_csb_load(&copy, &c->bob.host, &c->settings_r, stored(c->r)), MKT_OK);
    expect_octets("the same", stored(copy), stored(c->r));
    mkt_csb_free(copy);
    if (_i == 0) {
        expect_err("update",
                   mkt_csb_make_update(c->r, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true},
                                       &c->resp_buf),
                   MKT_OK);
        expect_octets("IDRr", payload_of(resp_of(c), MKT_IDR, MKT_IDR_R).id.data,
                      c->settings_r.self.data); /* not that of the group */
    }
    call_free(c);
}
END_TEST

START_TEST(keys_of_a_bundle)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_key_data key = {.type = 9};
    make_ticket(c);
    expect_err("none yet", mkt_csb_key(c->i, 0, &key), MKT_E_NO_SESSION);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("no more", mkt_csb_key(c->i, 1, &key), MKT_E_NO_SESSION);
    ck_assert_uint_eq(key.type, 9); /* and no MPK by mistake */
    expect_err("TGK", mkt_csb_key(c->i, 0, &key), MKT_OK);
    ck_assert_uint_eq(key.type, MKT_KEY_TGK);
    call_free(c);
}
END_TEST

/*
 * 5.3: a ticket without J that is stored before its use is stored as used. So it begins one call, whatever is read back
 * how often.
 */
START_TEST(a_stored_ticket_used_twice)
{
    for (int j = 0; j < 2; j++) {
        const enum mkt_err again = j ? MKT_OK : MKT_E_REUSE;
        struct call *c = call_new(MKT_SUITE_256, j ? "FGHJLNO" : "FGHLNO");
        uint8_t octets[2048];
        struct mkt_buf stored = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
        make_ticket(c);
        expect_err("not used yet", mkt_ticket_save(c->ticket, &stored), MKT_OK);
        for (int copy = 0; copy < 2; copy++) {
            struct mkt_ticket *ticket = NULL;
            struct mkt_csb *csb = NULL;
            uint8_t message[2048];
            struct mkt_buf out = {message, sizeof message, 0};
            expect_err("get", mkt_ticket_load(&ticket, &c->alice.host, (struct mkt_span){octets, stored.n}), MKT_OK);
            const struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = c->offer.responder};
            expect_err("new", mkt_csb_new(&csb, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_OK);
            expect_err("measure", mkt_csb_make_transfer_init(csb, &offer, &measured), again);
            expect_err("copy", mkt_csb_make_transfer_init(csb, &offer, &out), again);
            expect_err("kept again", mkt_ticket_save(ticket, &measured), again);
            mkt_csb_free(csb);
            mkt_ticket_free(ticket);
        }
        expect_err("itself", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
        expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
        call_free(c);
    }
}
END_TEST

/* 5.3: "If the Ticket Policy forbids reuse (J flag), the ticket MUST NOT be reused." */
START_TEST(a_ticket_used_twice)
{
    for (int j = 0; j < 2; j++) {
        struct call *c = call_new(MKT_SUITE_256, j ? "FGHJLNO" : "FGHLNO");
        struct mkt_csb *second = NULL;
        uint8_t octets[2048];
        struct mkt_buf measured = {NULL, 0, 0}, stored = {octets, sizeof octets, 0}, out = {c->resp, sizeof c->resp, 0};
        make_ticket(c);
        expect_err("measured", mkt_csb_make_transfer_init(c->i, &c->offer, &measured), MKT_OK);
        expect_err("not used yet", mkt_ticket_save(c->ticket, &stored), MKT_OK);
        expect_err("first", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
        expect_err("new", mkt_csb_new(&second, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_OK);
        expect_err("second", mkt_csb_make_transfer_init(second, &c->offer, &out), j ? MKT_OK : MKT_E_REUSE);
        stored.n = 0;
        expect_err("kept", mkt_ticket_save(c->ticket, &stored), j ? MKT_OK : MKT_E_REUSE);
        mkt_csb_free(second);
        call_free(c);
    }
}
END_TEST

START_TEST(measuring_promises_no_more_than_there_is_room_for)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf measured = {NULL, 0, 0};
    while (c->policy.n_responders < MKT_MAX_RESPONDERS)
        c->policy.responder[c->policy.n_responders++] = mkt_id_uri("sip:somebody.with.a.long.name@example.com");
    c->settings_i.bundle_size = 1500;
    make_ticket(c);
    expect_err("made", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_BUNDLE_FULL);
    expect_err("measured", mkt_csb_make_transfer_init(c->i, &c->offer, &measured), MKT_E_BUNDLE_FULL);
    call_free(c);
}
END_TEST

static size_t mallocs;

static void *counting_malloc(void *user, size_t n)
{
    (void)user;
    mallocs++;
    return malloc(n);
}

static void plain_free(void *user, void *p)
{
    (void)user;
    free(p);
}

START_TEST(one_allocation_of_at_most_4_kib)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    mallocs = 0;
    expect_err("ticket", mkt_ticket_make(&c->ticket, &c->alice.host, &c->recipe), MKT_OK);
    c->offer.ticket = c->ticket;
    c->alice.allocations = c->alice.largest = 0;
    expect_err("new", mkt_csb_new(&c->i, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_OK);
    expect_err("new", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    ck_assert_uint_eq(c->alice.allocations, 1);
    ck_assert_uint_eq(c->bob.allocations, 1);
    ck_assert_uint_le(c->alice.largest, 4096);
    ck_assert_uint_le(c->bob.largest, 4096);
    call_free(c);
}
END_TEST

START_TEST(the_default_host)
{
    const struct mkt_host host = {.size = sizeof host, .alloc = counting_malloc, .release = plain_free};
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri("sip:alice@example.com"));
    struct mkt_ticket *ticket = NULL;
    struct mkt_csb *csb = NULL;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    expect_err("system clock and random", mkt_ticket_make(&ticket, &host, &c->recipe), MKT_OK);
    expect_err("new", mkt_csb_new(&csb, MKT_INITIATOR, &host, &settings), MKT_OK);
    c->offer.ticket = ticket;
    expect_err("offer", mkt_csb_make_transfer_init(csb, &c->offer, &c->init_buf), MKT_OK);
    mkt_csb_free(csb);
    expect_err("new", mkt_csb_new(&csb, MKT_RESPONDER, &host, &settings), MKT_OK);
    expect_err("not for alice", mkt_csb_take_offer(csb, init_of(c), mikey), MKT_E_RESPONDER);
    mkt_csb_free(csb);
    settings.self = mkt_id_uri("sip:bob@example.com");
    expect_err("new", mkt_csb_new(&csb, MKT_RESPONDER, &host, &settings), MKT_OK);
    expect_err("no TPK", mkt_csb_take_offer(csb, init_of(c), mikey), MKT_E_NO_KEY);
    mkt_csb_free(csb);
    mkt_ticket_free(ticket);
    call_free(c);
}
END_TEST

START_TEST(a_host_that_fails)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *csb = NULL;
    make_ticket(c);
    c->alice.no_memory = true;
    expect_err("memory", mkt_csb_new(&csb, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_E_MEMORY);
    ck_assert_ptr_null(csb);
    c->alice.no_random = true;
    expect_err("random", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_RANDOM);
    c->alice.no_random = false;
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    c->bob.tpk.n = 0;
    expect_err("no TPK", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_NO_KEY);
    c->bob.tpk = (struct mkt_span){tpk.p, 31};
    expect_err("another TPK", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_TICKET_MAC);
    c->bob.tpk = tpk;
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    c->bob.no_random = true;
    expect_err("random", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_RANDOM);
    c->bob.no_random = false;
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

START_TEST(a_bundle_states_its_limits)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *csb = NULL;
    c->recipe.policy = &c->policy;
    while (c->policy.n_responders < MKT_MAX_RESPONDERS)
        c->policy.responder[c->policy.n_responders++] = mkt_id_uri("sip:somebody.with.a.long.name@example.com");
    c->settings_r.bundle_size = 1500;
    make_init(c);
    expect_err("too large a message", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_BUNDLE_FULL);
    ck_assert(!mkt_csb_must_make(c->r, MKT_TRANSFER_RESP));
    struct mkt_settings wrong = c->settings_r;
    wrong.bundle_size = 16;
    expect_err("no room at all", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    wrong = c->settings_r;
    wrong.tek_length = 15;
    expect_err("short TEK", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    wrong.tek_length = 65;
    expect_err("long TEK", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    wrong = c->settings_r;
    wrong.self.data.n = 0;
    expect_err("nobody", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    expect_err("no role", mkt_csb_new(&csb, (enum mkt_role)3, &c->bob.host, &c->settings_r), MKT_E_ARGUMENT);
    ck_assert_ptr_null(csb);
    call_free(c);
}
END_TEST

/* ---- with a KMS: who owes what, what is given up, tickets ---- */

static const struct {
    enum mkt_suite suite;
    const char *flags;
    bool two_kms, signs;
} plays[] = {{MKT_SUITE_256, "DEFGHIJLMNO", true, false},
             {MKT_SUITE_128, "DFGHJLMNO", false, false},
             {MKT_SUITE_256, "DHJLNO", false, false},
             {MKT_SUITE_256, "DEFGHIJLMNO", true, true}};
enum { PLAYS = sizeof plays / sizeof *plays };

static struct play *new_play(int which)
{
    struct play *p = play_new(plays[which].suite, plays[which].flags, plays[which].two_kms);
    return plays[which].signs ? play_sign(p) : p;
}

enum { NOTHING = 256 };

/* Each party owes just that message, of all that there are. */
static void expect_owed(struct play *p, const unsigned owed[PARTIES])
{
    for (unsigned who = ALICE; who < PARTIES; who++) {
        const struct mkt_csb *csb = play_bundle(p, (enum party)who);
        for (unsigned type = 0; type < 256; type++)
            if (mkt_csb_must_make(csb, (enum mkt_data_type)type) != (type == owed[who]))
                ck_abort_msg("party %u and %s", who, mkt_data_type_name(type));
    }
}

START_TEST(what_each_party_owes)
{
    struct play *p = new_play(_i);
    const bool f = (p->policy.flags & MKT_FLAG_F) != 0;
    unsigned owed[PARTIES] = {NOTHING, NOTHING, NOTHING, NOTHING};
    expect_owed(p, owed);
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg))
            continue;
        play_make(p, leg);
        if (leg != RESOLVE && leg != PASS_ON) /* which may be made again, as long as there is no answer */
            owed[play_from(p, leg)] = NOTHING;
        expect_owed(p, owed);
        play_take(p, leg);
        const unsigned then[LEGS] = {
            [ASK] = MKT_REQUEST_RESP,
            [GRANT] = NOTHING,
            [OFFER] = MKT_RESOLVE_INIT_PSK,
            [RESOLVE] = p->two_kms ? MKT_RESOLVE_INIT_PSK : MKT_RESOLVE_RESP,
            [PASS_ON] = MKT_RESOLVE_RESP,
            [PASS_BACK] = MKT_RESOLVE_RESP,
            [RESOLVED] = f ? MKT_TRANSFER_RESP : NOTHING,
            [ANSWER] = NOTHING,
            [ALICE_UPDATES] = MKT_TRANSFER_RESP,
            [BOB_ANSWERS] = NOTHING,
            [BOB_UPDATES] = MKT_TRANSFER_RESP,
            [ALICE_ANSWERS] = NOTHING,
        };
        owed[play_to(p, leg)] = then[leg];
        expect_owed(p, owed);
    }
    play_free(p);
}
END_TEST

/* The rest of a call. */
static void play_from_on(struct play *p, enum leg first)
{
    for (unsigned l = first; l < LEGS; l++) {
        if (!play_has(p, (enum leg)l))
            continue;
        play_make(p, (enum leg)l);
        play_take(p, (enum leg)l);
    }
    expect_octets("TEK", tek_of(p->csb[ALICE], 1), tek_of(p->csb[BOB], 1));
}

/* A bundle in which nothing has happened. */
static struct mkt_span stored_new(struct play *p, enum party who)
{
    struct mkt_csb *csb = NULL;
    expect_err("new", mkt_csb_new(&csb, play_role[who], &p->player[who].host, &p->settings[who]), MKT_OK);
    const struct mkt_span octets = stored(csb);
    mkt_csb_free(csb);
    return octets;
}

/* A request without answer; what a KMS took and has not answered: all of it is forgotten, and may be done anew. */
START_TEST(questions_that_are_given_up)
{
    static const enum leg asked[] = {ASK, RESOLVE, PASS_ON};
    for (size_t i = 0; i < 3; i++) {
        const enum leg leg = asked[i], answer = leg == ASK ? GRANT : leg == RESOLVE ? RESOLVED : PASS_BACK;
        struct play *p = new_play(_i);
        if (play_has(p, leg)) {
            const enum party from = play_from(p, leg), to = play_to(p, leg);
            uint8_t octets[4096];
            struct mkt_buf out = {octets, sizeof octets, 0};
            play_until(p, leg);
            play_make(p, leg);
            play_take(p, leg);
            mkt_csb_abandon(p->csb[to]); /* the KMS forgets who asked, and the key that they share */
            expect_octets("as new", stored(p->csb[to]), stored_new(p, to));
            expect_err("nothing to answer", play_put(p, answer, p->csb[to], &out), MKT_E_STATE);
            ck_assert_uint_eq(mkt_csb_peer(p->csb[to]).data.n, 0);
            ck_assert_int_eq(mkt_err_class(mkt_csb_take(p->csb[to], p->message[leg])), MKT_CLASS_FRESHNESS);

            p->player[to].n_seen = 0;
            play_take(p, leg);
            if (leg == RESOLVE && p->two_kms) {
                play_make(p, PASS_ON);
                play_take(p, PASS_ON);
                play_make(p, PASS_BACK);
                play_take(p, PASS_BACK);
            }
            const struct mkt_span late = play_make(p, answer);
            mkt_csb_abandon(p->csb[from]);
            expect_err("too late", mkt_csb_take(p->csb[from], late), from == HOME ? MKT_E_DATA_TYPE : MKT_E_STATE);
            if (from == BOB) {
                ck_assert(mkt_csb_must_make(p->csb[BOB], MKT_RESOLVE_INIT_PSK)); /* "the TRANSFER_INIT waits on" */
                play_from_on(p, RESOLVE);
            } else {
                expect_octets("as new", stored(p->csb[from]), stored_new(p, from));
            }
            if (from == ALICE)
                play_from_on(p, ASK);
        }
        play_free(p);
    }
}
END_TEST

/* "called again, that is forgotten too": the offer may be taken once more. */
START_TEST(an_offer_that_waits_is_given_up)
{
    struct play *p = new_play(_i);
    play_until(p, RESOLVE);
    play_make(p, RESOLVE);
    mkt_csb_abandon(p->csb[BOB]);
    ck_assert(mkt_csb_must_make(p->csb[BOB], MKT_RESOLVE_INIT_PSK));
    mkt_csb_abandon(p->csb[BOB]);
    ck_assert(!mkt_csb_must_make(p->csb[BOB], MKT_RESOLVE_INIT_PSK));
    ck_assert_uint_eq(mkt_csb_id(p->csb[BOB]), 0);
    expect_octets("as new", stored(p->csb[BOB]), stored_new(p, BOB));
    play_take(p, OFFER);
    mkt_csb_abandon(p->csb[BOB]);
    expect_octets("as new", stored(p->csb[BOB]), stored_new(p, BOB));
    play_take(p, OFFER);
    play_from_on(p, RESOLVE);
    play_free(p);
}
END_TEST

/* Where nothing is under way, or a call that has its keys at one end, nothing is given up. */
START_TEST(what_is_not_given_up)
{
    struct play *p = new_play(_i);
    bool waits[PARTIES] = {false};
    for (unsigned step = 0; step < 2 * LEGS; step++) {
        const enum leg leg = (enum leg)(step / 2);
        const bool made = step % 2 == 0;
        if (!play_has(p, leg))
            continue;
        if (made)
            play_make(p, leg);
        else
            play_take(p, leg);
        if (made && (leg == ASK || leg == ALICE_UPDATES || leg == BOB_UPDATES))
            waits[play_from(p, leg)] = true;
        if (!made && (leg == GRANT || leg == BOB_ANSWERS || leg == ALICE_ANSWERS))
            waits[play_to(p, leg)] = false;
        for (unsigned who = ALICE; who < PARTIES; who++) {
            struct mkt_csb *csb = play_bundle(p, (enum party)who);
            if (waits[who] || mkt_csb_must_make(csb, MKT_REQUEST_RESP) ||
                mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK) || mkt_csb_must_make(csb, MKT_RESOLVE_RESP) ||
                (mkt_csb_ready(csb) && mkt_csb_must_make(csb, MKT_TRANSFER_RESP)))
                continue;
            const struct mkt_span before = stored(csb);
            mkt_csb_abandon(csb);
            expect_octets("as it was", stored(csb), before);
        }
    }
    expect_octets("TEK", tek_of(p->csb[ALICE], 1), tek_of(p->csb[BOB], 1));
    play_free(p);
}
END_TEST

/* The ticket is there from the REQUEST_RESP to the next message that the Initiator makes. */
START_TEST(when_there_is_a_ticket)
{
    struct play *p = new_play(_i);
    struct mkt_ticket *ticket = NULL, *second = NULL;
    struct mkt_policy policy;
    for (unsigned step = 0; step < 2 * LEGS; step++) {
        const enum leg leg = (enum leg)(step / 2);
        if (!play_has(p, leg))
            continue;
        if (step % 2 == 0)
            play_make(p, leg);
        else
            play_take(p, leg);
        for (unsigned who = ALICE; who < PARTIES; who++) {
            const bool there = who == ALICE && step == 2 * GRANT + 1;
            expect_err("ticket", mkt_csb_take_ticket(play_bundle(p, (enum party)who), &ticket),
                       there ? MKT_OK : MKT_E_STATE);
            ck_assert((ticket != NULL) == there);
            mkt_ticket_free(ticket);
        }
    }
    play_free(p);

    p = new_play(_i);
    play_until(p, OFFER);
    expect_err("one", mkt_csb_take_ticket(p->csb[ALICE], &ticket), MKT_OK);
    expect_err("and another", mkt_csb_take_ticket(p->csb[ALICE], &second), MKT_OK);
    expect_err("policy", mkt_ticket_policy(second, &policy), MKT_OK);
    ck_assert_uint_eq(policy.flags, p->policy.flags);
    mkt_ticket_free(ticket);
    mkt_ticket_free(second);
    p->player[ALICE].no_memory = true;
    expect_err("memory", mkt_csb_take_ticket(p->csb[ALICE], &ticket), MKT_E_MEMORY);
    ck_assert_ptr_null(ticket);
    p->player[ALICE].no_memory = false;
    play_make(p, ASK); /* for another one: the first is gone */
    expect_err("asked again", mkt_csb_take_ticket(p->csb[ALICE], &ticket), MKT_E_STATE);
    mkt_csb_abandon(p->csb[ALICE]);
    expect_err("given up", mkt_csb_take_ticket(p->csb[ALICE], &ticket), MKT_E_STATE);
    play_free(p);

    /* what is stored of an Initiator does not make it the ticket of somebody else */
    enum { ROLE = 1 };
    p = new_play(_i);
    play_until(p, OFFER);
    const struct mkt_span whole = stored(p->csb[ALICE]);
    uint8_t octets[8192];
    memcpy(octets, whole.p, whole.n);
    for (unsigned role = MKT_INITIATOR; role <= MKT_KMS; role++) {
        struct mkt_csb *copy = NULL;
        octets[ROLE] = (uint8_t)role;
        const enum mkt_err err =
            mkt_csb_load(&copy, &p->player[ALICE].host, &p->settings[ALICE], (struct mkt_span){octets, whole.n});
        expect_err("load", err, MKT_OK);
        expect_err("ticket", mkt_csb_take_ticket(copy, &ticket), role == MKT_INITIATOR ? MKT_OK : MKT_E_STATE);
        mkt_ticket_free(ticket);
        mkt_csb_free(copy);
    }
    play_free(p);
}
END_TEST

/* "copied": the scope has its octets in the allocation of the bundle, which may be just as large. */
START_TEST(a_bundle_has_a_scope_of_its_own)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_settings none = c->settings_r, with = c->settings_r;
    uint8_t scope[10] = "one device";
    struct mkt_csb *csb = NULL;
    for (none.bundle_size = 1; mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &none) != MKT_OK; none.bundle_size++)
        ck_assert_uint_lt(none.bundle_size, MKT_CSB_SIZE);
    mkt_csb_free(csb);
    with.replay_scope = (struct mkt_span){scope, sizeof scope};
    with.bundle_size = none.bundle_size + sizeof scope - 1;
    expect_err("one octet too few", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &with), MKT_E_ARGUMENT);
    with.bundle_size++;
    expect_err("just enough", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &with), MKT_OK);
    mkt_csb_free(csb);
    with.replay_scope.n = SIZE_MAX;
    expect_err("no such scope", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &with), MKT_E_ARGUMENT);

    make_init(c);
    const char *const scopes[] = {"one device", "one device", "another...", "x", ""};
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        with = c->settings_r;
        with.replay_scope = (struct mkt_span){scope, strlen(scopes[i])};
        memcpy(scope, scopes[i], strlen(scopes[i]));
        expect_err("new", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &with), MKT_OK);
        memset(scope, 0xee, sizeof scope); /* not needed afterwards */
        expect_err("offer", mkt_csb_take_offer(csb, init_of(c), mikey), i == 1 ? MKT_E_REPLAY : MKT_OK);
        mkt_csb_free(csb);
    }
    call_free(c);
}
END_TEST

/* Settings whose octets are those of a message that will be gone. */
static struct mkt_settings settings_in(uint8_t buffer[128], const char *self, const char *peer)
{
    struct mkt_settings s;
    mkt_settings_init(&s, mkt_id_uri(self));
    struct mkt_buf buf = {buffer, 128, 0};
    s.peer = mkt_id_uri(peer);
    struct mkt_span *const span[] = {&s.self.data, &s.peer.data, &s.application};
    for (size_t i = 0; i < sizeof span / sizeof *span; i++) {
        memcpy(buf.p + buf.n, span[i]->p, span[i]->n);
        span[i]->p = buf.p + buf.n;
        buf.n += span[i]->n;
    }
    s.leave_out_identities = true;
    return s;
}

/* From and To of an INVITE are overwritten as soon as the bundles are there; so is the bundle that a branch is of. */
START_TEST(settings_need_not_outlive_mkt_csb_new)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t invite[2][128];
    struct mkt_csb *branch = NULL;
    make_ticket(c);
    mkt_csb_free(c->i);
    mkt_csb_free(c->r);
    c->policy.application[c->policy.n_applications++] = text("msrp");
    c->settings_i = settings_in(invite[0], "sip:alice@example.com", "sip:bob@example.com");
    c->settings_r = settings_in(invite[1], "sip:bob@example.com", "sip:alice@example.com");
    expect_err("Initiator", mkt_csb_new(&c->i, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_OK);
    expect_err("Responder", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
    memset(invite, 'x', sizeof invite);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("branch", mkt_csb_branch(c->i, &branch), MKT_OK);
    mkt_csb_free(c->i);
    c->i = branch;
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    ck_assert(mkt_span_equal(mkt_csb_peer(c->r).data, text("sip:alice@example.com")));
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

/* A bundle is read as what it was stored: nobody has to keep who it is for. */
START_TEST(who_a_bundle_is_for_is_stored)
{
    static const char *const alice = "sip:alice@example.com", *const bob = "sip:bob@example.com";
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    const struct {
        const char *what, *self, *peer;
        enum mkt_err err;
        const char *detail;
    } rows[] = {
        {"no identities", "", "", MKT_OK, ""},
        {"the same", bob, alice, MKT_OK, ""},
        {"another self", alice, "", MKT_E_ARGUMENT, "mkt_settings.self"},
        {"another peer", "", bob, MKT_E_ARGUMENT, "mkt_settings.peer"},
        {"less of self", "sip:bob@example.co", alice, MKT_E_ARGUMENT, "mkt_settings.self"},
    };
    make_init(c);
    for (unsigned with_peer = 0; with_peer < 2; with_peer++) {
        mkt_csb_free(c->r);
        c->settings_r.peer = mkt_id_uri(with_peer == 1 ? alice : "");
        expect_err("new", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
        const struct mkt_span octets = stored(c->r);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct mkt_settings s;
            mkt_settings_init(&s, mkt_id_uri(rows[i].self));
            struct mkt_csb *copy = NULL;
            s.peer = mkt_id_uri(rows[i].peer);
            const bool gives_peer = with_peer == 0 && i == 3; /* none was stored */
            const enum mkt_err err = gives_peer ? MKT_OK : rows[i].err;
            expect_err(rows[i].what, mkt_csb_load(&copy, &c->bob.host, &s, octets), err);
            if (err != MKT_OK) {
                ck_assert_ptr_null(copy);
                ck_assert_str_eq(c->bob.detail, rows[i].detail);
                continue;
            }
            if (with_peer == 1)
                expect_octets(rows[i].what, stored(copy), octets);
            if (gives_peer) {
                struct mkt_csb *again;
                s.peer = mkt_id_uri(alice);
                expect_err("not who was given", mkt_csb_load(&again, &c->bob.host, &s, stored(copy)), MKT_E_ARGUMENT);
            }
            c->bob.n_seen = 0;
            expect_err(rows[i].what, mkt_csb_take_offer(copy, init_of(c), mikey), MKT_OK);
            mkt_csb_free(copy);
        }
        struct mkt_csb *nobody = NULL;
        uint8_t broken[512];
        memcpy(broken, octets.p, 4);
        memset(broken + 4, 0, 4); /* the length of self */
        const size_t self = strlen(bob);
        ck_assert_uint_le(octets.n, sizeof broken + self);
        memcpy(broken + 8, octets.p + 8 + self, octets.n - 8 - self);
        expect_err("for nobody",
                   mkt_csb_load(&nobody, &c->bob.host, &c->settings_r, (struct mkt_span){broken, octets.n - self}),
                   MKT_E_STORED);
    }
    call_free(c);
}
END_TEST

/* ---- out parameters ---- */

/* A pointer that was something else before is NULL after each error of a function that makes an object. */
START_TEST(what_is_not_made_is_null)
{
    struct play *p = new_play(1);
    struct mkt_csb *const other = (struct mkt_csb *)p;
    struct mkt_ticket *const another = (struct mkt_ticket *)p;
    const struct mkt_host *host = &p->player[KMS].host;
    const struct mkt_policy of_other_suite = mkt_policy_default(MKT_SUITE_256);
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk}, no_tpk = {.size = sizeof no_tpk},
                                   other_suite = {.size = sizeof other_suite, .policy = &of_other_suite, .tpk = tpk};
    struct mkt_settings small = p->settings[KMS], nobody = small;
    struct mkt_csb *csb = other, *kms = play_bundle(p, KMS);
    struct mkt_ticket *ticket = another;
    nobody.self.data.n = 0;
    for (small.bundle_size = 1; mkt_csb_new(&csb, MKT_KMS, host, &small) != MKT_OK; small.bundle_size++, csb = other)
        ck_assert_ptr_null(csb);
    mkt_csb_free(csb);
    expect_err("grant", mkt_csb_grant(kms, &recipe, &ticket), MKT_E_STATE);
    ck_assert_ptr_null(ticket);
    ticket = another;
    expect_err("ticket", mkt_csb_take_ticket(kms, &ticket), MKT_E_STATE);
    ck_assert_ptr_null(ticket);
    play_until(p, GRANT);
    const struct mkt_span octets = stored(kms);
    const struct {
        const struct mkt_ticket_recipe *recipe;
        bool no_memory;
        enum mkt_err err;
    } grants[] = {{&no_tpk, false, MKT_E_KEY_LENGTH}, {&other_suite, false, MKT_E_PRF}, {&recipe, true, MKT_E_MEMORY}};
    for (size_t i = 0; i < sizeof grants / sizeof *grants; i++) {
        ticket = another;
        p->player[KMS].no_memory = grants[i].no_memory;
        expect_err("grant", mkt_csb_grant(kms, grants[i].recipe, &ticket), grants[i].err);
        ck_assert_ptr_null(ticket);
    }
    const struct {
        const struct mkt_settings *settings;
        bool no_memory;
        enum mkt_err err, get_err;
    } bundles[] = {{&nobody, false, MKT_E_ARGUMENT, MKT_OK}, /* it is stored who that was */
                   {&p->settings[KMS], true, MKT_E_MEMORY, MKT_E_MEMORY},
                   {&small, false, MKT_OK, MKT_E_BUNDLE_FULL}};
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++) {
        csb = other;
        p->player[KMS].no_memory = bundles[i].no_memory;
        expect_err("new", mkt_csb_new(&csb, MKT_KMS, host, bundles[i].settings), bundles[i].err);
        ck_assert((csb == NULL) == (bundles[i].err != MKT_OK));
        mkt_csb_free(csb);
        csb = other;
        expect_err("get", mkt_csb_load(&csb, host, bundles[i].settings, octets), bundles[i].get_err);
        ck_assert((csb == NULL) == (bundles[i].get_err != MKT_OK));
        mkt_csb_free(csb);
    }
    csb = other;
    expect_err("get", mkt_csb_load(&csb, host, &p->settings[KMS], text("")), MKT_E_STORED);
    ck_assert_ptr_null(csb);
    ticket = another;
    play_make(p, GRANT);
    play_take(p, GRANT);
    p->player[ALICE].no_memory = true;
    expect_err("ticket", mkt_csb_take_ticket(p->csb[ALICE], &ticket), MKT_E_MEMORY);
    ck_assert_ptr_null(ticket);
    play_free(p);
}
END_TEST

/* ---- limits ---- */

START_TEST(as_many_keys_as_a_kemac_has)
{
    struct mkt_key_wish wishes[33];
    uint8_t octets[8192];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_key_data key;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    for (size_t i = 0; i < 33; i++)
        wishes[i] = one_tgk;
    c->settings_i.bundle_size = c->settings_r.bundle_size = 30000;
    c->offer.keys = wishes;
    c->offer.n_keys = 33;
    make_ticket(c);
    expect_err("33", mkt_csb_make_transfer_init(c->i, &c->offer, &out), MKT_E_ARGUMENT);
    c->offer.n_keys = 32;
    expect_err("32", mkt_csb_make_transfer_init(c->i, &c->offer, &out), MKT_OK);
    expect_err("32", mkt_csb_take_offer(c->r, exact((struct mkt_span){octets, out.n}), mikey), MKT_OK);
    out.n = 0;
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = wishes, .n_keys = 33};
    expect_err("33", mkt_csb_make_transfer_resp(c->r, &c->answer, &out), MKT_E_ARGUMENT);
    c->answer.n_keys = 32;
    expect_err("32", mkt_csb_make_transfer_resp(c->r, &c->answer, &out), MKT_OK);
    expect_err("32", mkt_csb_take(c->i, exact((struct mkt_span){octets, out.n})), MKT_OK);
    expect_same_tek(c, 1, 32);
    expect_err("the 65th", mkt_csb_key(c->i, 64, &key), MKT_OK);
    expect_err("the 66th", mkt_csb_key(c->i, 65, &key), MKT_E_NO_SESSION);
    expect_err("the 65th", mkt_csb_key(c->r, 64, &key), MKT_OK);
    expect_err("the 66th", mkt_csb_key(c->r, 65, &key), MKT_E_NO_SESSION);
    call_free(c);
}
END_TEST

/* A ticket has an MPK beside the keys that are asked for, with key forking two in the hands of its holder. */
START_TEST(as_many_keys_as_a_ticket_has)
{
    struct mkt_key_wish wishes[33];
    uint8_t octets[8192];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct play *p = new_play(1);
    struct mkt_request request = {.size = sizeof request, .policy = &p->policy, .keys = wishes};
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk};
    struct mkt_ticket *ticket = NULL;
    for (size_t i = 0; i < 33; i++)
        wishes[i] = one_tgk;
    for (unsigned who = ALICE; who < PARTIES; who++)
        p->settings[who].bundle_size = 30000;
    struct mkt_csb *alice = play_bundle(p, ALICE), *kms = play_bundle(p, KMS);
    for (request.n_keys = 32; request.n_keys <= 33; request.n_keys++)
        expect_err("too many", mkt_csb_make_request_init(alice, &request, &out), MKT_E_TOO_MANY);
    request.n_keys = 31;
    expect_err("31", mkt_csb_make_request_init(alice, &request, &out), MKT_OK);
    expect_err("31", mkt_csb_take(kms, exact((struct mkt_span){octets, out.n})), MKT_OK);
    out.n = 0;
    expect_err("31", mkt_csb_grant(kms, &recipe, &ticket), MKT_OK);
    expect_err("31", mkt_csb_make_request_resp(kms, ticket, &out), MKT_OK);
    expect_err("31", mkt_csb_take(alice, exact((struct mkt_span){octets, out.n})), MKT_OK);
    mkt_ticket_free(ticket);
    play_free(p);
}
END_TEST

START_TEST(settings_and_offers_out_of_range)
{
    static const uint8_t rand[256] = {1};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *csb = NULL;
    struct mkt_settings none = c->settings_i;
    none.max_sessions = 0;
    expect_err("no sessions", mkt_csb_new(&csb, MKT_INITIATOR, &c->alice.host, &none), MKT_E_ARGUMENT);
    ck_assert_ptr_null(csb);
    make_ticket(c);
    c->offer.randi = (struct mkt_span){rand, 256};
    expect_err("a long RANDRi", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_ARGUMENT);
    c->offer.randi.n = 255;
    c->offer.responder.data.n = 0;
    expect_err("nobody", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_ARGUMENT);
    c->offer.responder = c->settings_r.self;
    c->offer.ticket = NULL;
    expect_err("no ticket", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_ARGUMENT);
    c->offer.ticket = c->ticket;
    expect_err("a RANDRi of its own", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    ck_assert_uint_eq(payload_of(init_of(c), MKT_RANDR, MKT_RANDR_I).rand.rand.n, 255);
    call_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csb");
    TCase *tcase = tcase_create("call");
    tcase_add_loop_test(tcase, tek_length, 16, 65);
    tcase_add_test(tcase, psk_identity_of_the_hosts_own);
    tcase_add_test(tcase, steps_out_of_order);
    tcase_add_test(tcase, measuring_and_small_buffers_change_nothing);
    tcase_add_test(tcase, nobody_answered_is_nobody_known);
    tcase_add_loop_test(tcase, a_long_name_of_a_group, 0, 2);
    tcase_add_test(tcase, keys_of_a_bundle);
    tcase_add_test(tcase, a_stored_ticket_used_twice);
    tcase_add_test(tcase, a_ticket_used_twice);
    tcase_add_test(tcase, measuring_promises_no_more_than_there_is_room_for);
    tcase_add_test(tcase, one_allocation_of_at_most_4_kib);
    tcase_add_test(tcase, the_default_host);
    tcase_add_test(tcase, a_host_that_fails);
    tcase_add_test(tcase, a_bundle_states_its_limits);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("kms");
    tcase_add_loop_test(tcase, what_each_party_owes, 0, PLAYS);
    tcase_add_loop_test(tcase, questions_that_are_given_up, 0, PLAYS);
    tcase_add_loop_test(tcase, an_offer_that_waits_is_given_up, 0, PLAYS);
    tcase_add_loop_test(tcase, what_is_not_given_up, 0, PLAYS);
    tcase_add_loop_test(tcase, when_there_is_a_ticket, 0, PLAYS);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("out");
    tcase_add_test(tcase, a_bundle_has_a_scope_of_its_own);
    tcase_add_test(tcase, settings_need_not_outlive_mkt_csb_new);
    tcase_add_test(tcase, who_a_bundle_is_for_is_stored);
    tcase_add_test(tcase, what_is_not_made_is_null);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("limits");
    tcase_add_test(tcase, as_many_keys_as_a_kemac_has);
    tcase_add_test(tcase, as_many_keys_as_a_ticket_has);
    tcase_add_test(tcase, settings_and_offers_out_of_range);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
