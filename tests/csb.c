/* SPDX-License-Identifier: BSD-3-Clause */
/* A call: an Initiator and a Responder that share a ticket protection key (mode 4). */
#include "player.h"

#include "protect.h"
#include "ticket.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t tpk_octets[32] = "a ticket protection key of 256 b";
static const struct mkt_span tpk = {tpk_octets, sizeof tpk_octets}, tpk128 = {tpk_octets, 16}, mikey = {(const uint8_t *)"mikey", 5};
static const struct mkt_key_wish one_tgk = {.type = MKT_KEY_TGK};

static const unsigned long NOW = 3960616022;

/* Both ends, and what went between them. */
struct call {
    struct player alice, bob;
    struct mkt_policy policy;
    struct mkt_settings settings_i, settings_r;
    struct mkt_ticket_recipe recipe;
    struct mkt_offer offer;
    struct mkt_answer answer;
    struct mkt_ticket *ticket;
    struct mkt_csb *i, *r;
    uint8_t init[8192], resp[8192];
    struct mkt_buf init_buf, resp_buf;
};

static struct call *call_new(enum mkt_suite suite, const char *flags)
{
    struct call *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    struct mkt_span key = suite == MKT_SUITE_256 ? tpk : tpk128;
    player_init(&c->alice, ntp(NOW), key);
    player_init(&c->bob, ntp(NOW), key);
    c->bob.next_random = 5; /* not the octets that Alice draws */
    c->policy = mkt_policy_default(suite);
    expect_err("flags", mkt_flags_get(&c->policy.flags, flags), MKT_OK);
    c->policy.initiator = mkt_id_uri("sip:alice@example.com");
    c->policy.responder[c->policy.n_responders++] = mkt_id_uri("sip:bob@example.com");
    c->settings_i = mkt_settings_default(mkt_id_uri("sip:alice@example.com"));
    c->settings_r = mkt_settings_default(mkt_id_uri("sip:bob@example.com"));
    c->recipe = (struct mkt_ticket_recipe){.policy = &c->policy, .tpk = key, .keys = &one_tgk, .n_keys = 1};
    c->offer.responder = mkt_id_uri("sip:bob@example.com");
    c->init_buf = (struct mkt_buf){c->init, sizeof c->init, 0};
    c->resp_buf = (struct mkt_buf){c->resp, sizeof c->resp, 0};
    return c;
}

static void call_free(struct call *c)
{
    mkt_csb_free(c->i);
    mkt_csb_free(c->r);
    mkt_ticket_free(c->ticket);
    ck_assert_uint_eq(c->alice.live, 0);
    ck_assert_uint_eq(c->bob.live, 0);
    free(c);
    free_all();
}

static struct mkt_span init_of(const struct call *c)
{
    return (struct mkt_span){c->init, c->init_buf.n};
}

static struct mkt_span resp_of(const struct call *c)
{
    return (struct mkt_span){c->resp, c->resp_buf.n};
}

/* Up to the steps of a call; the test goes on from there. */
static void make_ticket(struct call *c)
{
    expect_err("ticket", mkt_ticket_make(&c->ticket, &c->alice.host, &c->recipe), MKT_OK);
    c->offer.ticket = c->ticket;
    expect_err("Initiator", mkt_csb_new(&c->i, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_OK);
    expect_err("Responder", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
}

static void make_init(struct call *c)
{
    make_ticket(c);
    expect_err("TRANSFER_INIT", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
}

static void make_resp(struct call *c)
{
    make_init(c);
    expect_err("offer", mkt_csb_take(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("TRANSFER_RESP", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
}

static struct mkt_span tek_of(const struct mkt_csb *csb, uint8_t cs_id)
{
    uint8_t octets[MKT_CSB_SIZE];
    struct mkt_buf tek = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    expect_err("TEK", mkt_csb_tek(csb, cs_id, &tek), MKT_OK);
    expect_err("TEK", mkt_csb_tek(csb, cs_id, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, tek.n);
    struct mkt_buf small = {octets, tek.n - 1, 0};
    expect_err("TEK", mkt_csb_tek(csb, cs_id, &small), MKT_E_SPACE);
    struct mkt_span copy = exact((struct mkt_span){octets, tek.n});
    return copy;
}

static void expect_same_tek(const struct call *c, uint8_t cs_id, size_t length)
{
    ck_assert(mkt_csb_ready(c->i) && mkt_csb_ready(c->r));
    expect_octets("TEK of both ends", tek_of(c->i, cs_id), tek_of(c->r, cs_id));
    ck_assert_uint_eq(tek_of(c->i, cs_id).n, length);
    ck_assert_uint_eq(mkt_csb_id(c->i), mkt_csb_id(c->r));
}

static void finish(struct call *c)
{
    expect_err("answer", mkt_csb_take(c->i, exact(resp_of(c)), mikey), MKT_OK);
}

/* ---- calls that succeed ---- */

START_TEST(both_ends_have_the_same_tek)
{
    struct call *c = call_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "FGHJLNO");
    make_resp(c);
    finish(c);
    expect_same_tek(c, 1, _i == 0 ? 32 : 16);
    expect_octets("peer", mkt_csb_peer(c->i).data, text("sip:bob@example.com"));
    expect_octets("peer", mkt_csb_peer(c->r).data, text("sip:alice@example.com"));
    call_free(c);
}
END_TEST

/* Every policy without KMS that 6.10 allows: D to O but E and I, with N and O; supplied keys where L and M allow them. */
START_TEST(every_policy_that_needs_no_kms)
{
    static const char *const letters = "DFGHJKLM";
    char flags[16] = "NO";
    size_t n = 2;
    for (int bit = 0; bit < 8; bit++)
        if (_i & 1 << bit)
            flags[n++] = letters[bit];
    struct call *c = call_new(MKT_SUITE_256, flags);
    uint16_t f = c->policy.flags;
    bool allowed = ((f & MKT_FLAG_D) != 0 || (f & MKT_FLAG_L) != 0) && ((f & MKT_FLAG_G) == 0 || (f & MKT_FLAG_F) != 0) &&
                   ((f & MKT_FLAG_G) != 0 || (f & MKT_FLAG_H) != 0) && ((f & MKT_FLAG_K) == 0 || (f & MKT_FLAG_D) != 0) &&
                   ((f & MKT_FLAG_M) == 0 || (f & MKT_FLAG_F) != 0);
    if (!allowed) {
        expect_err(flags, mkt_ticket_make(&c->ticket, &c->alice.host, &c->recipe), MKT_E_FLAGS);
        call_free(c);
        return;
    }
    c->offer.keys = &one_tgk;
    c->offer.n_keys = (f & MKT_FLAG_L) != 0;
    c->answer.keys = &one_tgk;
    c->answer.n_keys = (f & MKT_FLAG_M) != 0;
    make_init(c);
    expect_err(flags, mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    ck_assert(mkt_csb_owes_response(c->r) == ((f & MKT_FLAG_F) != 0));
    ck_assert(mkt_csb_ready(c->i) == ((f & MKT_FLAG_F) == 0) && mkt_csb_ready(c->r) == ((f & MKT_FLAG_F) == 0));
    ck_assert_uint_eq(payload_of(init_of(c), MKT_RANDR, MKT_RANDR_I).rand.rand.n, 32);
    if ((f & MKT_FLAG_F) != 0) {
        expect_err(flags, mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
        finish(c);
    } else {
        expect_err(flags, mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_STATE);
    }
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

START_TEST(supplied_keys_that_the_policy_forbids)
{
    struct call *c = call_new(MKT_SUITE_256, "DFGHNO");
    c->answer = (struct mkt_answer){&one_tgk, 1};
    make_ticket(c);
    c->offer.keys = &one_tgk;
    c->offer.n_keys = 1;
    expect_err("L", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_KEMAC);
    c->offer.n_keys = 0;
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    expect_err("M", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_KEMAC);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

/* A ticket without session keys: who may supply one does, and a TEK that is given is handed over as it is. */
START_TEST(a_tek_that_the_responder_supplies)
{
    static const uint8_t given[48] = "pre-encrypted content has a key of its own";
    const struct mkt_key_wish wish = {.type = MKT_KEY_TEK_SALT, .key = {given, sizeof given}, .salt_length = 12};
    uint8_t salt[64];
    struct mkt_buf salt_buf = {salt, sizeof salt, 0};
    struct call *c = call_new(MKT_SUITE_256, "DFGHMNO");
    c->recipe.n_keys = 0;
    make_init(c);
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    expect_err("no key", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_SPI);
    c->answer = (struct mkt_answer){&wish, 1};
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
    finish(c);
    expect_octets("TEK", tek_of(c->i, 1), (struct mkt_span){given, sizeof given});
    expect_same_tek(c, 1, sizeof given);
    expect_err("salt", mkt_csb_salt(c->i, 1, &salt_buf), MKT_OK);
    ck_assert_uint_eq(salt_buf.n, 12);
    call_free(c);
}
END_TEST

START_TEST(identities_left_out_are_those_that_the_application_gave)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.leave_out_identities = true;
    c->settings_r.leave_out_identities = true;
    c->settings_r.peer = mkt_id_uri("sip:alice@example.com");
    make_init(c);
    struct mkt_message m;
    expect_err("message", mkt_message_get(&m, init_of(c)), MKT_OK);
    ck_assert_ptr_null(mkt_message_find(&m, MKT_IDR, MKT_IDR_I));
    ck_assert_ptr_null(mkt_message_find(&m, MKT_IDR, MKT_IDR_R));
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    expect_octets("peer", mkt_csb_peer(c->i).data, text("sip:bob@example.com"));
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.leave_out_identities = true;
    make_init(c);
    expect_err("nobody said who calls", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_INITIATOR);
    call_free(c);
}
END_TEST

static bool in_group(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    return mkt_span_equal(id->data, text("sip:bob@example.com")) && mkt_span_equal(group->data, text("sip:help@example.com"));
}

START_TEST(a_member_of_a_group_answers)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.responder[0] = mkt_id_uri("sip:help@example.com");
    c->offer.responder = mkt_id_uri("sip:help@example.com");
    make_init(c);
    expect_err("not in the group", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_RESPONDER);
    c->bob.host.member = in_group;
    expect_err("in the group", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("the Initiator knows no groups", mkt_csb_take(c->i, resp_of(c), mikey), MKT_E_RESPONDER);
    c->alice.host.member = in_group;
    finish(c);
    expect_octets("peer", mkt_csb_peer(c->i).data, text("sip:bob@example.com"));
    call_free(c);
}
END_TEST

/* SPs offered: the first of a session's policies is chosen; a session without any gets one. */
START_TEST(policies_offered_and_chosen)
{
    static const uint8_t seven_nine[] = {7, 9};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {NULL, 0}}, {9, MKT_PROT_TLS, {NULL, 0}}, {0, MKT_PROT_TLS, {NULL, 0}}};
    const struct mkt_cs cs[] = {{.cs_id = 3, .prot_type = MKT_PROT_TLS, .policies = {seven_nine, 2}},
                                {.cs_id = 255, .prot_type = MKT_PROT_TLS}};
    struct mkt_cs chosen;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.max_sessions = c->settings_r.max_sessions = 2;
    c->offer.cs = cs;
    c->offer.n_cs = 2;
    c->offer.sp = sp;
    c->offer.n_sp = 3;
    make_resp(c);
    finish(c);
    ck_assert_uint_eq(mkt_csb_sessions(c->i), 2);
    expect_err("first", mkt_csb_session(c->i, 0, &chosen), MKT_OK);
    ck_assert_uint_eq(chosen.cs_id, 3);
    expect_octets("policy", chosen.policies, (struct mkt_span){seven_nine, 1});
    expect_err("second", mkt_csb_session(c->i, 1, &chosen), MKT_OK);
    ck_assert_uint_eq(chosen.cs_id, 255);
    ck_assert_uint_eq(chosen.policies.n, 1);
    ck_assert_uint_eq(payload_of(resp_of(c), MKT_SP, 0).sp.policy_no, chosen.policies.p[0]);
    ck_assert(chosen.policies.p[0] != 0 && chosen.policies.p[0] != 7 && chosen.policies.p[0] != 9);
    expect_err("third", mkt_csb_session(c->i, 2, &chosen), MKT_E_NO_SESSION);
    expect_same_tek(c, 3, 32);
    expect_same_tek(c, 255, 32);
    ck_assert(!mkt_span_equal(tek_of(c->i, 3), tek_of(c->i, 255)));
    call_free(c);
}
END_TEST

START_TEST(offers_that_no_bundle_can_have)
{
    static const uint8_t seven[] = {7}, spi[] = {1, 2, 3, 4};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {NULL, 0}}, {7, MKT_PROT_TLS, {NULL, 0}}, {7, MKT_PROT_SRTP, {NULL, 0}}};
    const struct mkt_cs two[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS}, {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
    const struct mkt_cs srtp = {.cs_id = 1}, unknown_spi = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .spi = {spi, 4}};
    const struct mkt_cs policy = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {seven, 1}};
    const struct {
        const char *name;
        const struct mkt_cs *cs;
        size_t n_cs;
        const struct mkt_sp *sp;
        size_t n_sp;
        enum mkt_err err;
    } offers[] = {
        {"more sessions than the setting", two, 2, NULL, 0, MKT_E_CS},
        {"another Prot type", &srtp, 1, NULL, 0, MKT_E_PROT},
        {"an SPI of no key", &unknown_spi, 1, NULL, 0, MKT_E_SPI},
        {"a policy without SP", &policy, 1, NULL, 0, MKT_E_SP},
        {"two SPs of one number", &policy, 1, sp, 2, MKT_E_SP},
        {"an SP of another Prot type", &policy, 1, sp + 2, 1, MKT_E_SP},
    };
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_ticket(c);
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        struct mkt_offer offer = c->offer;
        offer.cs = offers[i].cs;
        offer.n_cs = offers[i].n_cs;
        offer.sp = offers[i].sp;
        offer.n_sp = offers[i].n_sp;
        expect_err(offers[i].name, mkt_csb_make_transfer_init(c->i, &offer, &c->init_buf), offers[i].err);
        ck_assert_uint_eq(c->init_buf.n, 0);
    }
    expect_err("the right one", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    call_free(c);
}
END_TEST

/* ---- TEK length and identity ---- */

START_TEST(tek_length)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.tek_length = c->settings_r.tek_length = (size_t)_i;
    make_resp(c);
    finish(c);
    expect_same_tek(c, 1, (size_t)_i);
    call_free(c);

    c = call_new(MKT_SUITE_128, "FGHJLNO"); /* "128-bit algorithms SHALL NOT be used" with longer ones: there is one length */
    c->settings_i.tek_length = c->settings_r.tek_length = (size_t)_i;
    make_resp(c);
    finish(c);
    expect_same_tek(c, 1, 16);
    call_free(c);
}
END_TEST

static enum mkt_err own_identity(void *user, uint32_t csb_id, const struct mkt_cs *cs, struct mkt_buf *identity)
{
    (void)user;
    ck_assert_uint_ne(csb_id, 0);
    ck_assert_uint_eq(cs->cs_id, 1);
    if (identity->cap < 4)
        return MKT_E_SPACE;
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
    call_free(c);
}
END_TEST

/* ---- order of a call ---- */

START_TEST(steps_out_of_order)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t out[64];
    struct mkt_buf buf = {out, sizeof out, 0};
    make_ticket(c);
    expect_err("nothing to answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_STATE);
    expect_err("a Responder offers", mkt_csb_make_transfer_init(c->r, &c->offer, &c->init_buf), MKT_E_STATE);
    expect_err("an Initiator answers", mkt_csb_make_transfer_resp(c->i, NULL, &c->resp_buf), MKT_E_STATE);
    expect_err("no offer was made", mkt_csb_take(c->i, mikey, mikey), MKT_E_STATE);
    expect_err("no key yet", mkt_csb_tek(c->i, 1, &buf), MKT_E_STATE);
    expect_err("no key yet", mkt_csb_psk_identity(c->i, 1, &buf), MKT_E_STATE);
    ck_assert_uint_eq(mkt_csb_sessions(c->i), 0);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("a second offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_STATE);
    expect_err("own offer as answer", mkt_csb_take(c->i, init_of(c), mikey), MKT_E_DATA_TYPE);
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    expect_err("offer again", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_STATE);
    expect_err("no key yet", mkt_csb_tek(c->r, 1, &buf), MKT_E_STATE);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("a second answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_STATE);
    finish(c);
    expect_err("answer again", mkt_csb_take(c->i, resp_of(c), mikey), MKT_E_STATE);
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
    expect_err("small", mkt_csb_make_transfer_init(c->i, &c->offer, &small), MKT_E_SPACE);
    ck_assert_uint_eq(small.n, 0);
    ck_assert_uint_eq(mkt_csb_id(c->i), 0);
    c->init_buf.cap = measured.n;
    expect_err("just enough", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    ck_assert_uint_eq(c->init_buf.n, measured.n);

    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    measured.n = 0;
    expect_err("measure", mkt_csb_make_transfer_resp(c->r, NULL, &measured), MKT_OK);
    small = (struct mkt_buf){c->resp, measured.n - 1, 0};
    expect_err("small", mkt_csb_make_transfer_resp(c->r, NULL, &small), MKT_E_SPACE);
    ck_assert(mkt_csb_owes_response(c->r) && !mkt_csb_ready(c->r));
    c->resp_buf.cap = measured.n;
    expect_err("just enough", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

/* ---- what is refused ---- */

/* "any single-bit flip of a TRANSFER_INIT or TRANSFER_RESP is refused": all of it is covered by a MAC. */
START_TEST(every_bit_of_an_offer_counts)
{
    struct call *c = call_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "FGHJLNO");
    c->offer.keys = &one_tgk;
    c->offer.n_keys = 1;
    make_init(c);
    for (size_t bit = 0; bit < 8 * c->init_buf.n; bit++) {
        c->init[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(mkt_csb_take(c->r, init_of(c), mikey) != MKT_OK, "bit %zu of octet %zu", bit % 8, bit / 8);
        c->init[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < c->init_buf.n; n++)
        ck_assert_int_eq(mkt_err_class(mkt_csb_take(c->r, (struct mkt_span){c->init, n}, mikey)), MKT_CLASS_MALFORMED);
    ck_assert_uint_eq(c->bob.n_seen, 0);
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    call_free(c);
}
END_TEST

START_TEST(every_bit_of_an_answer_counts)
{
    struct call *c = call_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "FGHJLMNO");
    c->answer = (struct mkt_answer){&one_tgk, 1};
    make_resp(c);
    for (size_t bit = 0; bit < 8 * c->resp_buf.n; bit++) {
        c->resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(mkt_csb_take(c->i, resp_of(c), mikey) != MKT_OK, "bit %zu of octet %zu", bit % 8, bit / 8);
        c->resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < c->resp_buf.n; n++)
        ck_assert_int_eq(mkt_err_class(mkt_csb_take(c->i, (struct mkt_span){c->resp, n}, mikey)), MKT_CLASS_MALFORMED);
    finish(c);
    expect_same_tek(c, 1, _i == 0 ? 32 : 16);
    call_free(c);
}
END_TEST

START_TEST(a_replayed_offer)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *second = NULL;
    make_resp(c);
    expect_err("new", mkt_csb_new(&second, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
    expect_err("replay", mkt_csb_take(second, init_of(c), mikey), MKT_E_REPLAY);
    mkt_csb_free(second);
    call_free(c);
}
END_TEST

START_TEST(a_peer_that_the_host_does_not_want)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->bob.fail = MKT_E_DENIED;
    make_init(c);
    expect_err("Initiator", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_DENIED);
    ck_assert_uint_eq(c->bob.n_seen, 0);
    c->bob.fail = MKT_OK;
    expect_err("Initiator", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    c->alice.fail = MKT_E_DENIED;
    expect_err("Responder", mkt_csb_take(c->i, resp_of(c), mikey), MKT_E_DENIED);
    ck_assert(!mkt_csb_ready(c->i));
    c->alice.fail = MKT_OK;
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

START_TEST(the_list_of_protocols)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->offer.protocols = text("mikey;keyp1");
    make_init(c);
    expect_err("one taken out", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_PROTOCOLS);
    expect_err("other order", mkt_csb_take(c->r, init_of(c), text("keyp1;mikey")), MKT_E_PROTOCOLS);
    expect_err("none", mkt_csb_take(c->r, init_of(c), text("")), MKT_E_PROTOCOLS);
    expect_err("the same", mkt_csb_take(c->r, init_of(c), text("mikey;keyp1")), MKT_OK);
    call_free(c);
}
END_TEST

START_TEST(applications)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.application[0] = text("msrp");
    c->policy.application[1] = text("bfcp");
    c->policy.n_applications = 2;
    c->settings_r.application = text(_i == 0 ? "bfcp" : "rtp");
    make_init(c);
    expect_err("application", mkt_csb_take(c->r, init_of(c), mikey), _i == 0 ? MKT_OK : MKT_E_APPLICATION);
    call_free(c);
}
END_TEST

START_TEST(tickets_that_an_initiator_cannot_use)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.has_start = c->policy.has_end = true;
    c->policy.start = ntp(NOW + 10);
    c->policy.end = ntp(NOW + 20);
    make_ticket(c);
    expect_err("not yet", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_NOT_YET);
    c->alice.now = ntp(NOW + 21);
    expect_err("no longer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_EXPIRED);
    c->alice.now = ntp(NOW + 15);
    expect_err("now", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLO");
    make_ticket(c);
    expect_err("N", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_TICKET_TYPE);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.self = mkt_id_uri("sip:mallory@example.com");
    make_ticket(c);
    expect_err("of another", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_INITIATOR);
    call_free(c);
}
END_TEST

START_TEST(clocks_that_differ)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_init(c);
    c->bob.now = ntp(NOW + 301);
    expect_err("old", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_STALE);
    c->bob.now = ntp(NOW - 301);
    expect_err("future", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_FUTURE);
    c->bob.now = ntp(NOW - 300);
    expect_err("within the skew", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    call_free(c);
}
END_TEST

/* 7 February 2036, 06:28:16: the seconds start again from 0, and nobody is thrown off. */
START_TEST(the_year_2036)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.has_start = c->policy.has_end = true;
    c->policy.start = ntp(0xffffff00);
    c->policy.end = ntp(100);
    c->alice.now = ntp(0xfffffff0);
    c->bob.now = ntp(10);
    make_resp(c);
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

/* ---- found by readers, and kept as tests ---- */

/* A message of one who knows the MPK but not the rules: put anew, with the MAC that belongs to it. */
static void reseal(struct call *c, struct mkt_message *m, struct mkt_buf *out, bool response)
{
    static uint8_t octets[8192];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_key_data mpki = {0};
    const struct mkt_payload *randi = mkt_message_find(m, MKT_RANDR, MKT_RANDR_I), *randr = mkt_message_find(m, MKT_RANDR, MKT_RANDR_R);
    struct mkt_protection by_mpki = {.suite = MKT_SUITE_256, .phase = response ? MKT_PHASE_RESPONSE : MKT_PHASE_INITIAL};
    struct mkt_message made;
    ck_assert(mkt_keys_mpk(mkt_ticket_keys(c->ticket), 0, &mpki));
    by_mpki.key = mpki.key;
    by_mpki.label.csb_id = m->hdr.csb_id;
    by_mpki.label.randi = response ? payload_of(init_of(c), MKT_RANDR, MKT_RANDR_I).rand.rand : randi->rand.rand;
    if (response && randr != NULL)
        by_mpki.label.randr = randr->rand.rand;
    expect_err("put", mkt_message_put(m, &buf), MKT_OK);
    memcpy(out->p, octets, buf.n);
    out->n = buf.n;
    struct mkt_span whole = {out->p, out->n}, parts[4] = {{NULL, 0}};
    expect_err("get", mkt_message_get(&made, whole), MKT_OK);
    mkt_message_covered(&made, whole, parts);
    parts[2] = response ? init_of(c) : text("sip:alice@example.com");
    parts[3] = response ? text("") : text("sip:bob@example.com");
    expect_err("MAC", mkt_protect_mac(&by_mpki, parts, 4, out->p + out->n - 32), MKT_OK);
}

static struct mkt_payload *find(struct mkt_message *m, unsigned type, uint8_t role)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->payload[i].type == type && mkt_payload_role(&m->payload[i]) == role)
            return &m->payload[i];
    ck_abort_msg("no %s", mkt_payload_name(type));
    return NULL;
}

/* 12.1 holds for keys that come in a KEMAC too: RANDs grow with them. */
START_TEST(rands_as_long_as_the_longest_key)
{
    const struct mkt_key_wish long_tgk = {.type = MKT_KEY_TGK, .length = 64}, too_long = {.type = MKT_KEY_TGK, .length = 300};
    struct call *c = call_new(MKT_SUITE_256, "FHJLMNO");
    c->offer.keys = &long_tgk;
    c->offer.n_keys = 1;
    make_init(c);
    ck_assert_uint_eq(payload_of(init_of(c), MKT_RANDR, MKT_RANDR_I).rand.rand.n, 64);
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    c->answer = (struct mkt_answer){&too_long, 1};
    expect_err("no RAND is so long", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_RAND);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FHJLNO");
    c->recipe.keys = &too_long;
    make_ticket(c);
    expect_err("no RAND is so long", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_RAND);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FHJLNO"); /* a peer that does not grow it */
    c->offer.keys = &long_tgk;
    c->offer.n_keys = 1;
    make_init(c);
    struct mkt_message m;
    expect_err("get", mkt_message_get(&m, exact(init_of(c))), MKT_OK);
    m.hdr.map = exact(m.hdr.map);
    struct mkt_payload *kemac = find(&m, MKT_KEMAC, 0);
    memmove(kemac, kemac + 1, (size_t)(m.payload + m.n - kemac - 1) * sizeof *kemac);
    m.n--;
    struct mkt_payload *randi = find(&m, MKT_RANDR, MKT_RANDR_I);
    randi->rand.rand.n = 16;
    struct mkt_cs cs;
    struct mkt_span map = m.hdr.map;
    expect_err("map", mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map), MKT_OK);
    struct mkt_key_data tgk = {0};
    ck_assert(mkt_keys_session(mkt_ticket_keys(c->ticket), 0, &tgk));
    cs.spi = tgk.kv.spi;
    uint8_t octets[64];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("map", mkt_cs_put(&cs, MKT_MAP_GENERIC_ID, &buf), MKT_OK);
    m.hdr.map = (struct mkt_span){octets, buf.n};
    reseal(c, &m, &c->init_buf, false);
    expect_err("16 octets for a key of 32", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_RAND);
    call_free(c);
}
END_TEST

/* G without H: an RANDRr of no octets would derive every TEK of the ticket from nothing. */
START_TEST(an_empty_randr)
{
    struct call *c = call_new(MKT_SUITE_256, "FGJLNO");
    struct mkt_message m;
    make_resp(c);
    expect_err("get", mkt_message_get(&m, exact(resp_of(c))), MKT_OK);
    find(&m, MKT_RANDR, MKT_RANDR_R)->rand.rand.n = 0;
    reseal(c, &m, &c->resp_buf, true);
    expect_err("empty", mkt_csb_take(c->i, resp_of(c), mikey), MKT_E_RAND);
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

START_TEST(a_kemac_without_keys)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    make_init(c);
    expect_err("get", mkt_message_get(&m, exact(init_of(c))), MKT_OK);
    m.payload[m.n] = m.payload[m.n - 1];
    m.payload[m.n - 1] = (struct mkt_payload){.type = MKT_KEMAC, .kemac = {.encr_alg = MKT_ENCR_AES_CM_256}};
    m.n++;
    reseal(c, &m, &c->init_buf, false);
    expect_err("empty", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_MISSING);
    call_free(c);
}
END_TEST

static bool none_acceptable(void *user, const struct mkt_sp *sp)
{
    (void)user;
    (void)sp;
    return false;
}

static bool all_acceptable(void *user, const struct mkt_sp *sp)
{
    (void)user;
    return sp->prot_type == MKT_PROT_TLS;
}

/* 4.2.2.2, 4.2.2.4: security policies that are not acceptable are refused, the first that is is chosen. */
START_TEST(policies_that_are_not_acceptable)
{
    static const uint8_t params[] = {0x63, 1, 0};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {params, sizeof params}}, {8, MKT_PROT_TLS, {NULL, 0}}};
    struct mkt_cs cs;
    struct mkt_message m;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    make_init(c);
    c->bob.host.acceptable = none_acceptable;
    expect_err("none", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_SP);
    c->bob.host.acceptable = NULL;
    expect_err("one", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("get", mkt_message_get(&m, resp_of(c)), MKT_OK);
    expect_err("map", mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &m.hdr.map), MKT_OK);
    ck_assert_uint_eq(cs.policies.p[0], 8);
    finish(c);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_resp(c);
    expect_err("get", mkt_message_get(&m, exact(resp_of(c))), MKT_OK);
    find(&m, MKT_SP, 0)->sp.params = (struct mkt_span){params, sizeof params};
    reseal(c, &m, &c->resp_buf, true);
    expect_err("an answer with parameters", mkt_csb_take(c->i, resp_of(c), mikey), MKT_E_SP);
    c->alice.host.acceptable = all_acceptable;
    expect_err("which the host knows", mkt_csb_take(c->i, resp_of(c), mikey), MKT_OK);
    call_free(c);
}
END_TEST

static bool never_asked(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    (void)group;
    ck_abort_msg("asked about %.*s", (int)id->data.n, (const char *)id->data.p);
    return false;
}

START_TEST(the_host_is_not_asked_about_an_unverified_answer)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    make_resp(c);
    expect_err("get", mkt_message_get(&m, exact(resp_of(c))), MKT_OK);
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = text("sip:mallory@example.com");
    c->resp_buf.n = 0;
    expect_err("put", mkt_message_put(&m, &c->resp_buf), MKT_OK);
    c->alice.host.member = never_asked;
    expect_err("wrong MAC", mkt_csb_take(c->i, resp_of(c), mikey), MKT_E_MAC);
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
        expect_err("not used yet", mkt_ticket_put(c->ticket, &stored), MKT_OK);
        expect_err("first", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
        expect_err("new", mkt_csb_new(&second, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_OK);
        expect_err("second", mkt_csb_make_transfer_init(second, &c->offer, &out), j ? MKT_OK : MKT_E_REUSE);
        stored.n = 0;
        expect_err("kept", mkt_ticket_put(c->ticket, &stored), j ? MKT_OK : MKT_E_REUSE);
        mkt_csb_free(second);
        call_free(c);
    }
}
END_TEST

static enum mkt_err a_key_too_long(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user;
    (void)id;
    (void)policy;
    key->n = MKT_MAX_TPK + 1;
    return MKT_OK;
}

START_TEST(a_host_that_gives_more_than_there_is_room_for)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_init(c);
    c->bob.host.tpk = a_key_too_long;
    expect_err("TPK", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_KEY_LENGTH);
    call_free(c);
}
END_TEST

/* A TEK "can generally not be shared between more than one Crypto Session": each session has its own, or there is none. */
START_TEST(teks_of_several_sessions)
{
    const struct mkt_key_wish teks[] = {{.type = MKT_KEY_TEK}, {.type = MKT_KEY_TEK}};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS}, {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.max_sessions = c->settings_r.max_sessions = 2;
    c->offer.cs = cs;
    c->offer.n_cs = 2;
    c->offer.keys = teks;
    c->offer.n_keys = 2;
    make_resp(c);
    finish(c);
    expect_same_tek(c, 1, 32);
    expect_same_tek(c, 2, 32);
    ck_assert(!mkt_span_equal(tek_of(c->i, 1), tek_of(c->i, 2)));
    call_free(c);

    struct mkt_cs shared[2] = {cs[0], cs[1]};
    struct mkt_key_data tek = {0};
    c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.max_sessions = 2;
    c->recipe.keys = teks;
    make_ticket(c);
    ck_assert(mkt_keys_session(mkt_ticket_keys(c->ticket), 0, &tek));
    shared[0].spi = shared[1].spi = tek.kv.spi;
    c->offer.cs = shared;
    c->offer.n_cs = 2;
    expect_err("shared", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_SPI);
    call_free(c);
}
END_TEST

START_TEST(wishes_of_the_wrong_kind)
{
    static const uint8_t octet = 1;
    const struct mkt_key_wish wishes[] = {
        {.type = MKT_KEY_TEK, .length = 65}, {.type = MKT_KEY_TGK, .length = 15}, {.type = MKT_KEY_MPK}, {.type = 9}};
    const enum mkt_err errs[] = {MKT_E_KEY_LENGTH, MKT_E_KEY_LENGTH, MKT_E_MPK, MKT_E_ARGUMENT};
    const struct mkt_key_wish empty_spans = {.type = MKT_KEY_TGK_SALT, .key = {&octet, 0}, .salt = {&octet, 0}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->offer.n_keys = 1;
    make_ticket(c);
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        c->offer.keys = &wishes[i];
        expect_err("wish", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), errs[i]);
    }
    c->offer.keys = &empty_spans; /* random, as empty spans say, wherever they point to */
    expect_err("empty spans", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    call_free(c);
}
END_TEST

/* Nobody fills the room of a bundle before it is known who he is. */
START_TEST(a_forged_identity_of_any_length)
{
    static char long_id[6000];
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    memset(long_id, 'x', sizeof long_id - 1);
    make_init(c);
    expect_err("get", mkt_message_get(&m, exact(init_of(c))), MKT_OK);
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = text(long_id);
    c->init_buf.n = 0;
    expect_err("put", mkt_message_put(&m, &c->init_buf), MKT_OK);
    expect_err("forged", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_MAC);
    call_free(c);
}
END_TEST

START_TEST(measuring_promises_no_more_than_there_is_room_for)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf measured = {NULL, 0, 0};
    while (c->policy.n_responders < MKT_MAX_RESPONDERS)
        c->policy.responder[c->policy.n_responders++] = mkt_id_uri("sip:somebody.with.a.long.name@example.com");
    c->settings_i.size = 1500;
    make_ticket(c);
    expect_err("made", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_ROOM);
    expect_err("measured", mkt_csb_make_transfer_init(c->i, &c->offer, &measured), MKT_E_ROOM);
    call_free(c);
}
END_TEST

START_TEST(an_initiator_of_another_application)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.application[c->policy.n_applications++] = text("bfcp");
    make_ticket(c);
    expect_err("msrp", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_APPLICATION);
    c->policy.application[0] = text("");
    expect_err("an empty one would allow all", mkt_ticket_make(&(struct mkt_ticket *){NULL}, &c->alice.host, &c->recipe),
               MKT_E_ARGUMENT);
    call_free(c);
}
END_TEST

/* ---- the host ---- */

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
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
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
    const struct mkt_host host = {.alloc = counting_malloc, .release = plain_free};
    struct mkt_settings settings = mkt_settings_default(mkt_id_uri("sip:alice@example.com"));
    struct mkt_ticket *ticket = NULL;
    struct mkt_csb *csb = NULL;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    expect_err("system clock and random", mkt_ticket_make(&ticket, &host, &c->recipe), MKT_OK);
    expect_err("new", mkt_csb_new(&csb, MKT_INITIATOR, &host, &settings), MKT_OK);
    c->offer.ticket = ticket;
    expect_err("offer", mkt_csb_make_transfer_init(csb, &c->offer, &c->init_buf), MKT_OK);
    mkt_csb_free(csb);
    expect_err("new", mkt_csb_new(&csb, MKT_RESPONDER, &host, &settings), MKT_OK);
    expect_err("not for alice", mkt_csb_take(csb, init_of(c), mikey), MKT_E_RESPONDER);
    mkt_csb_free(csb);
    settings.self = mkt_id_uri("sip:bob@example.com");
    expect_err("new", mkt_csb_new(&csb, MKT_RESPONDER, &host, &settings), MKT_OK);
    expect_err("no TPK", mkt_csb_take(csb, init_of(c), mikey), MKT_E_KEY);
    mkt_csb_free(csb);
    mkt_ticket_free(ticket);
    call_free(c);
}
END_TEST

START_TEST(counters_that_nobody_keeps)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.counter = true;
    make_ticket(c);
    expect_err("no counter", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_COUNTER);
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
    expect_err("no TPK", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_KEY);
    c->bob.tpk = (struct mkt_span){tpk_octets, 31};
    expect_err("another TPK", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_TICKET_MAC);
    c->bob.tpk = tpk;
    expect_err("offer", mkt_csb_take(c->r, init_of(c), mikey), MKT_OK);
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
    c->settings_r.size = 1500;
    make_init(c);
    expect_err("too large a message", mkt_csb_take(c->r, init_of(c), mikey), MKT_E_ROOM);
    ck_assert(!mkt_csb_owes_response(c->r));
    struct mkt_settings wrong = c->settings_r;
    wrong.size = 16;
    expect_err("no room at all", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    wrong = c->settings_r;
    wrong.tek_length = 15;
    expect_err("short TEK", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    wrong.tek_length = 65;
    expect_err("long TEK", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    wrong = c->settings_r;
    wrong.self.data.n = 0;
    expect_err("nobody", mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &wrong), MKT_E_ARGUMENT);
    expect_err("KMS", mkt_csb_new(&csb, MKT_KMS, &c->bob.host, &c->settings_r), MKT_E_ARGUMENT);
    ck_assert_ptr_null(csb);
    call_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csb");
    TCase *tcase = tcase_create("call");
    tcase_add_loop_test(tcase, both_ends_have_the_same_tek, 0, 2);
    tcase_add_loop_test(tcase, every_policy_that_needs_no_kms, 0, 256);
    tcase_add_test(tcase, supplied_keys_that_the_policy_forbids);
    tcase_add_test(tcase, a_tek_that_the_responder_supplies);
    tcase_add_test(tcase, identities_left_out_are_those_that_the_application_gave);
    tcase_add_test(tcase, a_member_of_a_group_answers);
    tcase_add_test(tcase, policies_offered_and_chosen);
    tcase_add_test(tcase, offers_that_no_bundle_can_have);
    tcase_add_loop_test(tcase, tek_length, 16, 65);
    tcase_add_test(tcase, psk_identity_of_the_hosts_own);
    tcase_add_test(tcase, steps_out_of_order);
    tcase_add_test(tcase, measuring_and_small_buffers_change_nothing);
    tcase_add_loop_test(tcase, every_bit_of_an_offer_counts, 0, 2);
    tcase_add_loop_test(tcase, every_bit_of_an_answer_counts, 0, 2);
    tcase_add_test(tcase, a_replayed_offer);
    tcase_add_test(tcase, a_peer_that_the_host_does_not_want);
    tcase_add_test(tcase, the_list_of_protocols);
    tcase_add_loop_test(tcase, applications, 0, 2);
    tcase_add_test(tcase, tickets_that_an_initiator_cannot_use);
    tcase_add_test(tcase, clocks_that_differ);
    tcase_add_test(tcase, the_year_2036);
    tcase_add_test(tcase, rands_as_long_as_the_longest_key);
    tcase_add_test(tcase, an_empty_randr);
    tcase_add_test(tcase, nobody_answered_is_nobody_known);
    tcase_add_test(tcase, a_kemac_without_keys);
    tcase_add_test(tcase, policies_that_are_not_acceptable);
    tcase_add_test(tcase, the_host_is_not_asked_about_an_unverified_answer);
    tcase_add_test(tcase, keys_of_a_bundle);
    tcase_add_test(tcase, a_ticket_used_twice);
    tcase_add_test(tcase, a_host_that_gives_more_than_there_is_room_for);
    tcase_add_test(tcase, teks_of_several_sessions);
    tcase_add_test(tcase, wishes_of_the_wrong_kind);
    tcase_add_test(tcase, a_forged_identity_of_any_length);
    tcase_add_test(tcase, measuring_promises_no_more_than_there_is_room_for);
    tcase_add_test(tcase, an_initiator_of_another_application);
    tcase_add_test(tcase, one_allocation_of_at_most_4_kib);
    tcase_add_test(tcase, the_default_host);
    tcase_add_test(tcase, counters_that_nobody_keeps);
    tcase_add_test(tcase, a_host_that_fails);
    tcase_add_test(tcase, a_bundle_states_its_limits);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
