/* SPDX-License-Identifier: BSD-3-Clause */
/* session: the crypto sessions of a call, their security policies and their keys (RFC 6043 6.1.1). */
#include "call.h"

#include "session.h"
#include "ticket.h"

#include <stdlib.h>
#include <string.h>

/* SPs offered: the first of a session's policies is chosen; a session without any gets one. */
START_TEST(policies_offered_and_chosen)
{
    static const uint8_t seven_nine[] = {7, 9};
    const struct mkt_sp sp[] = {
        {7, MKT_PROT_TLS, {NULL, 0}}, {9, MKT_PROT_TLS, {NULL, 0}}, {0, MKT_PROT_TLS, {NULL, 0}}};
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
    ck_assert_uint_eq(mkt_csb_session_count(c->i), 2);
    expect_err("first", mkt_csb_session_at(c->i, 0, &chosen), MKT_OK);
    ck_assert_uint_eq(chosen.cs_id, 3);
    expect_octets("policy", chosen.policies, (struct mkt_span){seven_nine, 1});
    expect_err("second", mkt_csb_session_at(c->i, 1, &chosen), MKT_OK);
    ck_assert_uint_eq(chosen.cs_id, 255);
    ck_assert_uint_eq(chosen.policies.n, 1);
    ck_assert_uint_eq(payload_of(resp_of(c), MKT_SP, 0).sp.policy_no, chosen.policies.p[0]);
    ck_assert(chosen.policies.p[0] != 0 && chosen.policies.p[0] != 7 && chosen.policies.p[0] != 9);
    expect_err("third", mkt_csb_session_at(c->i, 2, &chosen), MKT_E_NO_SESSION);
    expect_same_tek(c, 3, 32);
    expect_same_tek(c, 255, 32);
    ck_assert(!mkt_span_equal(tek_of(c->i, 3), tek_of(c->i, 255)));
    call_free(c);
}
END_TEST

START_TEST(offers_that_no_bundle_can_have)
{
    static const uint8_t seven[] = {7}, spi[] = {1, 2, 3, 4};
    const struct mkt_sp sp[] = {
        {7, MKT_PROT_TLS, {NULL, 0}}, {7, MKT_PROT_TLS, {NULL, 0}}, {7, MKT_PROT_SRTP, {NULL, 0}}};
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
        {"an SP of another Prot type", &policy, 1, sp + 2, 1, MKT_E_PROT},
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
    expect_err("none", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_SP_PARAMETERS);
    c->bob.host.acceptable = NULL;
    expect_err("one", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("get", mkt_message_decode(&m, resp_of(c)), MKT_OK);
    expect_err("map", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 0, &m.hdr.map), MKT_OK);
    ck_assert_uint_eq(cs.policies.p[0], 8);
    finish(c);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_resp(c);
    expect_err("get", mkt_message_decode(&m, exact(resp_of(c))), MKT_OK);
    find(&m, MKT_SP, 0)->sp.params = (struct mkt_span){params, sizeof params};
    reseal(c, &m, &c->resp_buf, true);
    expect_err("an answer with parameters", mkt_csb_take(c->i, resp_of(c)), MKT_E_SP_PARAMETERS);
    c->alice.host.acceptable = all_acceptable;
    expect_err("which the host knows", mkt_csb_take(c->i, resp_of(c)), MKT_OK);
    call_free(c);
}
END_TEST

/*
 * A TEK "can generally not be shared between more than one Crypto Session": each session has its own, or there is none.
 */
START_TEST(teks_of_several_sessions)
{
    const struct mkt_key_wish teks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}};
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
    ck_assert(mkt_keys_session(c->ticket->keys, 0, &tek));
    shared[0].spi = shared[1].spi = tek.kv.spi;
    c->offer.cs = shared;
    c->offer.n_cs = 2;
    expect_err("shared", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_SPI);
    call_free(c);
}
END_TEST

/* ---- SRTP: 6.1.1 ---- */

static const uint8_t srtp_octets[] = "SSRCroc.sq, and more";

static struct mkt_cs srtp_session(uint8_t cs_id, bool s, size_t n)
{
    return (struct mkt_cs){.cs_id = cs_id, .prot_type = MKT_PROT_SRTP, .s = s, .session_data = {srtp_octets, n}};
}

/* Offers are of these sessions. */
static struct call *srtp_call(const char *flags, const struct mkt_cs cs[], size_t n)
{
    struct call *c = call_new(MKT_SUITE_256, flags);
    c->settings_i.prot_type = c->settings_r.prot_type = MKT_PROT_SRTP;
    c->settings_i.max_sessions = c->settings_r.max_sessions = 3;
    c->offer.cs = cs;
    c->offer.n_cs = n;
    return c;
}

static void expect_session(const struct call *c, size_t index, uint8_t cs_id, bool s, struct mkt_span data)
{
    const struct mkt_csb *ends[] = {c->i, c->r};
    for (size_t end = 0; end < 2; end++) {
        struct mkt_cs cs;
        struct mkt_sp sp;
        expect_err("session", mkt_csb_session_at(ends[end], index, &cs), MKT_OK);
        ck_assert(cs.cs_id == cs_id && cs.s == s && cs.policies.n == 1 && cs.spi.n > 0);
        expect_octets("Session Data", cs.session_data, data);
        expect_err("SP", mkt_csb_sp(ends[end], cs_id, &sp), MKT_OK);
        ck_assert(sp.policy_no == cs.policies.p[0] && sp.prot_type == cs.prot_type);
    }
    expect_octets("TEK", tek_of(c->i, cs_id), tek_of(c->r, cs_id));
}

/* One crypto session in place of those that a message has. */
static void set_session(struct mkt_message *m, const struct mkt_cs *cs)
{
    uint8_t octets[256];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("map", mkt_cs_encode(cs, MKT_MAP_GENERIC_ID, &buf), MKT_OK);
    m->hdr.map = exact((struct mkt_span){octets, buf.n});
    m->hdr.n_cs = 1;
}

static struct mkt_cs session_in(const struct mkt_message *m)
{
    struct mkt_span map = m->hdr.map;
    struct mkt_cs cs = {0};
    expect_err("map", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 0, &map), MKT_OK);
    return cs;
}

/*
 * SSRC alone, or with the S flag SSRC, ROC and SEQ; "Session Data MAY be omitted in the initial message (length = 0)",
 * where there is a response. Whoever makes an offer and whoever takes one sees to that.
 */
START_TEST(session_data_of_an_srtp_offer)
{
    static const uint8_t number[] = {7};
    const struct mkt_sp sp = {7, MKT_PROT_SRTP, {NULL, 0}};
    const bool f = _i == 0;
    for (size_t n = 0; n <= 12; n++) {
        for (unsigned flag = 0; flag < 2; flag++) {
            struct mkt_cs cs = srtp_session(1, flag, n), good = srtp_session(1, 0, 4);
            const bool fine = n == (flag ? 10 : 4) || (n == 0 && f);
            struct call *c = srtp_call(f ? "FGHJLNO" : "HJLNO", &cs, 1);
            struct mkt_message m;
            cs.policies = good.policies = (struct mkt_span){number, 1};
            c->offer.sp = &sp;
            c->offer.n_sp = 1;
            make_ticket(c);
            expect_err("made", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), fine ? MKT_OK : MKT_E_CS);
            if (!fine) {
                c->offer.cs = &good;
                expect_err("good", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
            }
            expect_err("get", mkt_message_decode(&m, exact(init_of(c))), MKT_OK);
            struct mkt_cs forged = session_in(&m);
            forged.s = (uint16_t)flag;
            forged.session_data = cs.session_data;
            set_session(&m, &forged);
            reseal(c, &m, &c->init_buf, false);
            expect_err("taken", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), fine ? MKT_OK : MKT_E_CS);
            call_free(c);
        }
    }
}
END_TEST

/* "[...] but it MUST be provided in the response message." */
START_TEST(session_data_of_an_srtp_answer)
{
    for (size_t n = 0; n <= 12; n++) {
        for (unsigned flag = 0; flag < 2; flag++) {
            const struct mkt_cs open = srtp_session(7, 0, 0), good = srtp_session(7, 1, 10);
            const struct mkt_cs cs = srtp_session(7, flag, n);
            const bool fine = n == (flag ? 10 : 4);
            struct call *c = srtp_call("FGHJLNO", &open, 1);
            struct mkt_message m;
            make_init(c);
            expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
            c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &cs, .n_cs = 1};
            expect_err("made", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), fine ? MKT_OK : MKT_E_CS);
            if (!fine) {
                c->answer.cs = &good;
                expect_err("good", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
            }
            const struct mkt_span right = exact(resp_of(c));
            expect_err("get", mkt_message_decode(&m, right), MKT_OK);
            struct mkt_cs forged = session_in(&m);
            forged.s = (uint16_t)flag;
            forged.session_data = cs.session_data;
            set_session(&m, &forged);
            reseal(c, &m, &c->resp_buf, true);
            expect_err("taken", mkt_csb_take(c->i, exact(resp_of(c))), fine ? MKT_OK : MKT_E_CS);
            if (!fine)
                expect_err("the right one", mkt_csb_take(c->i, right), MKT_OK);
            expect_session(c, 0, 7, fine ? flag : 1, fine ? cs.session_data : good.session_data);
            call_free(c);
        }
    }
}
END_TEST

START_TEST(an_srtp_answer_that_says_nothing)
{
    const struct mkt_cs open = srtp_session(1, 0, 0), closed = srtp_session(1, 0, 4);
    struct call *c = srtp_call("FGHJLNO", &open, 1);
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("no Session Data", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_CS);
    ck_assert_uint_eq(c->resp_buf.n, 0);
    call_free(c);

    c = srtp_call("FGHJLNO", &closed, 1); /* where all was said already */
    make_resp(c);
    finish(c);
    expect_session(c, 0, 1, 0, closed.session_data);
    call_free(c);
}
END_TEST

/* 4.2.2.3: "If needed, the Responder MAY update Session Data and SPI provided by the Initiator." */
START_TEST(what_was_offered_is_updated)
{
    const struct mkt_key_wish tgks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}};
    const struct mkt_cs offered = srtp_session(1, 0, 4);
    struct mkt_cs answered = srtp_session(1, 1, 10);
    struct mkt_key_data second = {0};
    struct call *c = srtp_call("FGHJLNO", &offered, 1);
    c->recipe.keys = tgks;
    c->recipe.n_keys = 2;
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("key", mkt_csb_key(c->r, 1, &second), MKT_OK);
    const struct mkt_span spi = exact(second.kv.spi);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &answered, .n_cs = 1};
    answered.spi = text("none");
    expect_err("an SPI of no key", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_SPI);
    answered.spi = spi;
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
    finish(c);
    expect_session(c, 0, 1, 1, answered.session_data);
    struct mkt_cs cs;
    expect_err("session", mkt_csb_session_at(c->i, 0, &cs), MKT_OK);
    expect_octets("SPI", cs.spi, spi);
    call_free(c);
}
END_TEST

/* "[...] unless the Security protocol allows for this, e.g., SRTP": its sessions may share a TEK. */
START_TEST(a_tek_of_two_srtp_sessions)
{
    const struct mkt_key_wish tek = {.size = sizeof tek, .type = MKT_KEY_TEK};
    struct mkt_cs cs[] = {srtp_session(1, 0, 4), srtp_session(2, 1, 10)};
    struct mkt_key_data key = {0};
    struct call *c = srtp_call("FGHJLNO", cs, 2);
    c->recipe.keys = &tek;
    make_ticket(c);
    ck_assert(mkt_keys_session(c->ticket->keys, 0, &key));
    cs[0].spi = cs[1].spi = key.kv.spi;
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_session(c, 0, 1, 0, cs[0].session_data);
    expect_session(c, 1, 2, 1, cs[1].session_data);
    expect_octets("shared", tek_of(c->i, 1), tek_of(c->i, 2));
    call_free(c);
}
END_TEST

/* The Session Data of other protocols is theirs. */
START_TEST(session_data_of_tls)
{
    for (size_t n = 0; n <= 12; n++) {
        const struct mkt_cs cs = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .s = n % 2, .session_data = {srtp_octets, n}};
        struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
        c->offer.cs = &cs;
        c->offer.n_cs = 1;
        make_resp(c);
        finish(c);
        expect_session(c, 0, 1, n % 2, cs.session_data);
        call_free(c);
    }
}
END_TEST

/* An update says what changes; the rest stays. */
START_TEST(session_data_in_an_update)
{
    const struct mkt_cs offered = srtp_session(1, 0, 4);
    struct mkt_cs cs = {.cs_id = 1, .prot_type = MKT_PROT_SRTP};
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_update update = {
        .size = sizeof update, .cs = &cs, .n_cs = 1, .keys = &one_tgk, .n_keys = 1, .no_answer = true};
    struct call *c = srtp_call("FGHJLMNO", &offered, 1);
    make_resp(c);
    finish(c);
    expect_err("update", mkt_csb_make_update(c->i, &update, &out), MKT_OK);
    expect_err("update", mkt_csb_take(c->r, exact((struct mkt_span){octets, out.n})), MKT_OK);
    expect_session(c, 0, 1, 0, offered.session_data);
    cs = srtp_session(1, 1, 10);
    update.n_keys = out.n = 0;
    expect_err("update", mkt_csb_make_update(c->r, &update, &out), MKT_OK);
    expect_err("update", mkt_csb_take(c->i, exact((struct mkt_span){octets, out.n})), MKT_OK);
    expect_session(c, 0, 1, 1, cs.session_data);
    cs = srtp_session(1, 1, 4);
    out.n = 0;
    expect_err("S, and no ROC", mkt_csb_make_update(c->r, &update, &out), MKT_E_CS);
    cs = srtp_session(2, 0, 0); /* a new session, and nobody to say what is open */
    expect_err("open", mkt_csb_make_update(c->r, &update, &out), MKT_E_SP);
    call_free(c);
}
END_TEST

/* ---- what the Responder adds ---- */

/* 4.2.2.3: "If the Responder adds crypto sessions, the #CS SHALL be updated." */
START_TEST(sessions_that_the_responder_adds)
{
    struct mkt_cs added[] = {srtp_session(9, 0, 4), srtp_session(200, 1, 10), srtp_session(201, 0, 4)};
    const struct mkt_cs offered = srtp_session(1, 0, 4);
    struct mkt_message m;
    struct call *c = srtp_call("FGHJLMNO", &offered, 1);
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = added, .n_cs = 3};
    expect_err("4 sessions", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_CS);
    added[1].prot_type = MKT_PROT_TLS;
    c->answer.n_cs = 2;
    expect_err("another Prot type", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_PROT);
    added[1] = added[0];
    expect_err("one twice", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_CS);
    added[1] = srtp_session(200, 1, 9);
    expect_err("wrong Session Data", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_CS);
    added[1] = srtp_session(200, 1, 10);
    expect_err("3 sessions", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
    expect_err("get", mkt_message_decode(&m, resp_of(c)), MKT_OK);
    ck_assert_uint_eq(m.hdr.n_cs, 3);
    finish(c);
    ck_assert(mkt_csb_session_count(c->i) == 3 && mkt_csb_session_count(c->r) == 3);
    expect_session(c, 0, 1, 0, offered.session_data);
    expect_session(c, 1, 9, 0, added[0].session_data);
    expect_session(c, 2, 200, 1, added[1].session_data);
    ck_assert(!mkt_span_equal(tek_of(c->i, 1), tek_of(c->i, 9)));
    call_free(c);
}
END_TEST

/* An Initiator with room for fewer sessions refuses. */
START_TEST(more_sessions_than_the_initiator_has_room_for)
{
    const struct mkt_cs offered = srtp_session(1, 0, 4), added = srtp_session(9, 0, 4);
    struct call *c = srtp_call("FGHJLMNO", &offered, 1);
    c->settings_i.max_sessions = 1;
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &added, .n_cs = 1};
    make_resp(c);
    expect_err("two", mkt_csb_take(c->i, exact(resp_of(c))), MKT_E_CS);
    ck_assert(!mkt_csb_ready(c->i));
    call_free(c);

    c = srtp_call("FGHJLMNO", &offered, 1);
    c->settings_r.max_sessions = 1;
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &added, .n_cs = 1};
    expect_err("two", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_CS);
    call_free(c);
}
END_TEST

/* Keys that the Responder supplies are for the sessions in their order, those that it adds too. */
START_TEST(keys_for_the_sessions_that_are_added)
{
    const struct mkt_key_wish teks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}};
    const struct mkt_cs offered = {.cs_id = 1, .prot_type = MKT_PROT_TLS},
                        added = {.cs_id = 2, .prot_type = MKT_PROT_TLS};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    struct mkt_cs cs[2];
    c->settings_i.max_sessions = c->settings_r.max_sessions = 2;
    c->offer.cs = &offered;
    c->offer.n_cs = 1;
    c->answer =
        (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &added, .n_cs = 1, .keys = teks, .n_keys = 2};
    make_resp(c);
    finish(c);
    for (size_t i = 0; i < 2; i++) {
        struct mkt_key_data key = {0};
        expect_err("session", mkt_csb_session_at(c->i, i, &cs[i]), MKT_OK);
        for (size_t k = 0; mkt_csb_key(c->i, k, &key) == MKT_OK && !mkt_span_equal(key.kv.spi, cs[i].spi); k++)
            ;
        ck_assert_uint_eq(key.type, MKT_KEY_TEK);
        expect_session(c, i, (uint8_t)(i + 1), 0, text(""));
    }
    ck_assert(!mkt_span_equal(cs[0].spi, cs[1].spi));
    call_free(c);
}
END_TEST

/* ---- policies ---- */

/* The answer may say which, of those offered or of its own; 6.1.1: "the suggested policies MAY be changed". */
START_TEST(policies_that_the_answer_says)
{
    static const uint8_t params[] = {0x63, 1, 0}, numbers[] = {7, 9, 20};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {NULL, 0}}, {9, MKT_PROT_TLS, {params, sizeof params}}},
                        own[] = {{20, MKT_PROT_TLS, {params, sizeof params}}, {20, MKT_PROT_TLS, {NULL, 0}}};
    const struct mkt_cs offered = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, 2}};
    for (size_t which = 0; which < 3; which++) {
        const struct mkt_cs said = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers + which, 1}};
        struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
        struct mkt_sp got[2];
        struct mkt_message m;
        c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
        c->offer.cs = &offered;
        c->offer.n_cs = 1;
        c->offer.sp = sp;
        c->offer.n_sp = 2;
        make_init(c);
        expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
        c->answer =
            (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &said, .n_cs = 1, .sp = own, .n_sp = 2};
        expect_err("two of one number", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_SP);
        c->answer.n_sp = 0;
        if (which == 2)
            expect_err("a policy without SP", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_SP);
        c->answer.n_sp = which == 2;
        expect_err("answer", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
        expect_err("get", mkt_message_decode(&m, resp_of(c)), MKT_OK); /* "SHOULD NOT resend" those of the Initiator */
        ck_assert((mkt_message_find(&m, MKT_SP, 0) != NULL) == (which == 2));
        c->alice.host.acceptable = NULL;
        expect_err("parameters", mkt_csb_take(c->i, exact(resp_of(c))), which == 0 ? MKT_OK : MKT_E_SP_PARAMETERS);
        c->alice.host.acceptable = all_acceptable;
        if (which != 0)
            finish(c);
        expect_err("SP", mkt_csb_sp(c->i, 1, &got[0]), MKT_OK);
        expect_err("SP", mkt_csb_sp(c->r, 1, &got[1]), MKT_OK);
        for (size_t end = 0; end < 2; end++) {
            ck_assert(got[end].policy_no == numbers[which] && got[end].prot_type == MKT_PROT_TLS);
            expect_octets("parameters", got[end].params, which == 0 ? text("") : (struct mkt_span){params, 3});
        }
        call_free(c);
    }
}
END_TEST

/* A Responder does not answer with what it would not accept itself. */
START_TEST(a_policy_that_the_responder_does_not_accept)
{
    static const uint8_t params[] = {0x63, 1, 0}, numbers[] = {7, 9};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {NULL, 0}}, {9, MKT_PROT_TLS, {params, sizeof params}}};
    const struct mkt_cs said = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers + 1, 1}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &said, .n_cs = 1};
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_SP_PARAMETERS);
    call_free(c);
}
END_TEST

START_TEST(policies_before_they_are_agreed_on)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_sp sp;
    make_init(c);
    expect_err("Initiator", mkt_csb_sp(c->i, 1, &sp), MKT_E_STATE);
    expect_err("Responder", mkt_csb_sp(c->r, 1, &sp), MKT_E_STATE);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("Responder", mkt_csb_sp(c->r, 1, &sp), MKT_E_STATE);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("Responder", mkt_csb_sp(c->r, 1, &sp), MKT_OK);
    ck_assert(sp.policy_no == 0 && sp.prot_type == MKT_PROT_TLS && sp.params.n == 0); /* D10 */
    finish(c);
    expect_err("Initiator", mkt_csb_sp(c->i, 1, &sp), MKT_OK);
    for (unsigned cs_id = 0; cs_id < 256; cs_id++)
        expect_err("which", mkt_csb_sp(c->i, (uint8_t)cs_id, &sp),
                   cs_id == 1 || cs_id == MKT_FIRST_CS ? MKT_OK : MKT_E_NO_SESSION);
    call_free(c);
}
END_TEST

/* All that a map may have, and one more. */
START_TEST(as_many_sessions_as_there_are_ids)
{
    struct mkt_cs cs[257]; /* the last two have the same CS ID, and another Prot type: first of all they are too many */
    struct mkt_sp sp[16];
    uint8_t octets[16384];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    for (size_t i = 0; i < 257; i++)
        cs[i] = (struct mkt_cs){.cs_id = (uint8_t)i, .prot_type = MKT_PROT_TLS};
    cs[255].prot_type = cs[256].prot_type = MKT_PROT_SRTP;
    cs[256].cs_id = 255;
    for (size_t i = 0; i < 16; i++)
        sp[i] = (struct mkt_sp){(uint8_t)i, MKT_PROT_TLS, {NULL, 0}};
    c->settings_i.max_sessions = c->settings_r.max_sessions = 255;
    c->settings_i.bundle_size = c->settings_r.bundle_size = 40000;
    c->offer.cs = cs;
    make_ticket(c);
    for (c->offer.n_cs = 256; c->offer.n_cs <= 257; c->offer.n_cs++)
        expect_err("256, 257", mkt_csb_make_transfer_init(c->i, &c->offer, &out), MKT_E_CS);
    c->offer.n_cs = 255;
    expect_err("255", mkt_csb_make_transfer_init(c->i, &c->offer, &(struct mkt_buf){NULL, 0, 0}), MKT_OK);
    c->offer.n_cs = 254;
    c->offer.sp = sp;
    c->offer.n_sp = 16;
    expect_err("16 SPs", mkt_csb_make_transfer_init(c->i, &c->offer, &out), MKT_E_TOO_MANY);
    c->offer.n_sp = 15;
    expect_err("254", mkt_csb_make_transfer_init(c->i, &c->offer, &out), MKT_OK);
    expect_err("254", mkt_csb_take_offer(c->r, exact((struct mkt_span){octets, out.n}), mikey), MKT_OK);
    out.n = 0;
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = cs};
    for (c->answer.n_cs = 256; c->answer.n_cs <= 257; c->answer.n_cs++)
        expect_err("256, 257", mkt_csb_make_transfer_resp(c->r, &c->answer, &out), MKT_E_CS);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = cs, .n_cs = 255, .sp = sp, .n_sp = 16};
    expect_err("16 SPs", mkt_csb_make_transfer_resp(c->r, &c->answer, &out), MKT_E_TOO_MANY);
    c->answer.n_sp = 15;
    expect_err("255", mkt_csb_make_transfer_resp(c->r, &c->answer, &out), MKT_OK);
    expect_err("255", mkt_csb_take(c->i, exact((struct mkt_span){octets, out.n})), MKT_OK);
    ck_assert(mkt_csb_session_count(c->i) == 255 && mkt_csb_session_count(c->r) == 255);
    expect_same_tek(c, 0, 32);
    expect_same_tek(c, 254, 32);
    struct mkt_update update = {.size = sizeof update, .keys = &one_tgk, .n_keys = 1, .cs = cs};
    for (update.n_cs = 256; update.n_cs <= 257; update.n_cs++)
        expect_err("256, 257", mkt_csb_make_update(c->i, &update, &out), MKT_E_CS);
    call_free(c);
}
END_TEST

/* ---- updates of several sessions: 5.2 ---- */

/* A call of two TLS sessions, CS IDs 1 and 2, and what they have in common with others. */
static struct call *two_sessions(const struct mkt_cs cs[])
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.max_sessions = c->settings_r.max_sessions = 4;
    c->offer.cs = cs;
    c->offer.n_cs = 2;
    return c;
}

/* One end makes an update, the other takes it, and answers unless the update wants no answer. */
static struct mkt_span update(struct mkt_csb *by, struct mkt_csb *to, const struct mkt_update *what)
{
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0}, resp = {octets, sizeof octets, 0};
    expect_err("update", mkt_csb_make_update(by, what, &out), MKT_OK);
    const struct mkt_span init = exact((struct mkt_span){octets, out.n});
    expect_err("update", mkt_csb_take(to, init), MKT_OK);
    if (what->no_answer)
        return init;
    expect_err("answer", mkt_csb_make_transfer_resp(to, NULL, &resp), MKT_OK);
    expect_err("answer", mkt_csb_take(by, exact((struct mkt_span){octets, resp.n})), MKT_OK);
    return init;
}

static struct mkt_span spi_of(const struct mkt_csb *csb, size_t index)
{
    struct mkt_cs cs;
    expect_err("session", mkt_csb_session_at(csb, index, &cs), MKT_OK);
    return exact(cs.spi);
}

static unsigned type_of(const struct mkt_csb *csb, struct mkt_span spi)
{
    struct mkt_key_data key = {0};
    for (size_t i = 0; mkt_csb_key(csb, i, &key) == MKT_OK; i++)
        if (mkt_span_equal(key.kv.spi, spi))
            return key.type;
    ck_abort_msg("no key has this SPI");
    return 0;
}

/* A new TGK is for all sessions of the update: those that there were, named or not, and those that are new. */
START_TEST(one_new_tgk_for_two_sessions)
{
    static const uint8_t no[] = {0};
    const struct mkt_cs old[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS}, {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
    const struct mkt_cs new[] = {{.cs_id = 3, .prot_type = MKT_PROT_TLS, .policies = {no, 1}},
                                 {.cs_id = 4, .prot_type = MKT_PROT_TLS, .policies = {no, 1}}};
    const struct mkt_update updates[] = {
        {.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1},
        {.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1, .cs = old, .n_cs = 2},
        {.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1, .cs = new, .n_cs = 2}};
    const size_t first = _i / 2 == 2 ? 2 : 0;
    struct mkt_update u = updates[_i / 2];
    struct call *c = two_sessions(old);
    u.no_answer = _i % 2;
    make_resp(c);
    finish(c);
    const struct mkt_span before = spi_of(c->i, 0);
    update(c->i, c->r, &u);
    ck_assert_uint_eq(mkt_csb_session_count(c->i), first + 2);
    const struct mkt_span spi = spi_of(c->i, first);
    ck_assert(!mkt_span_equal(spi, before));
    for (size_t i = 0; i < first + 2; i++) {
        expect_octets("SPI", spi_of(c->i, i), i < first ? before : spi);
        expect_session(c, i, (uint8_t)(i + 1), 0, text(""));
    }
    call_free(c);
}
END_TEST

/* A TEK is for one session: of two that the update names, or has, the second keeps its key. */
START_TEST(one_new_tek_for_two_sessions)
{
    const struct mkt_key_wish tek = {.size = sizeof tek, .type = _i == 0 ? MKT_KEY_TEK : MKT_KEY_TEK_SALT};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS}, {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
    for (size_t named = 0; named <= 2; named += 2) {
        struct call *c = two_sessions(cs);
        make_resp(c);
        finish(c);
        const struct mkt_span before = spi_of(c->i, 1);
        update(c->r, c->i,
               &(struct mkt_update){
                   .size = sizeof(struct mkt_update), .keys = &tek, .n_keys = 1, .cs = cs, .n_cs = named});
        ck_assert_uint_eq(type_of(c->i, spi_of(c->i, 0)), tek.type);
        expect_octets("SPI", spi_of(c->i, 1), before);
        expect_session(c, 0, 1, 0, text(""));
        expect_session(c, 1, 2, 0, text(""));
        call_free(c);
    }
}
END_TEST

/* Each session that an update names has its SP in it, whichever of the two ends agreed on it first. */
START_TEST(an_update_has_the_policies_of_all_its_sessions)
{
    static const uint8_t numbers[] = {7, 9}, params[] = {0x63, 1, 0, 0x64, 1, 1};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {params, 3}}, {9, MKT_PROT_TLS, {params + 3, 3}}};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}},
                                {.cs_id = 2, .prot_type = MKT_PROT_TLS, .policies = {numbers + 1, 1}}};
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1, .cs = cs, .n_cs = _i & 1 ? 2 : 0};
    struct call *c = two_sessions(cs);
    struct mkt_message m;
    struct mkt_sp got;
    size_t n = 0;
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    make_resp(c);
    finish(c);
    const struct mkt_span init = _i & 2 ? update(c->r, c->i, &u) : update(c->i, c->r, &u);
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    for (size_t i = 0; i < m.n; i++) {
        if (m.payload[i].type != MKT_SP)
            continue;
        ck_assert_uint_lt(n, 2);
        ck_assert_uint_eq(m.payload[i].sp.policy_no, numbers[n]);
        expect_octets("parameters", m.payload[i].sp.params, sp[n++].params);
    }
    ck_assert_uint_eq(n, 2);
    for (size_t i = 0; i < 2; i++) {
        expect_session(c, i, cs[i].cs_id, 0, text(""));
        expect_err("SP", mkt_csb_sp(c->i, cs[i].cs_id, &got), MKT_OK);
        expect_octets("parameters", got.params, sp[i].params);
    }
    call_free(c);
}
END_TEST

/* The SPI of the n-th session key that an end has. */
static struct mkt_span key_spi(const struct mkt_csb *csb, size_t n)
{
    struct mkt_key_data key;
    expect_err("key", mkt_csb_key(csb, n, &key), MKT_OK);
    return exact(key.kv.spi);
}

static const struct mkt_key_wish two_tgks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}};

/*
 * SPIs that an update does not say: a session that there was keeps its own, and the n-th new one gets that of the n-th
 * key, the new ones first.
 */
START_TEST(spis_that_an_update_leaves_open)
{
    const struct mkt_cs new[] = {{.cs_id = 2, .prot_type = MKT_PROT_TLS}, {.cs_id = 3, .prot_type = MKT_PROT_TLS}};
    struct mkt_cs first = {.cs_id = 1, .prot_type = MKT_PROT_TLS};
    struct call *c = two_sessions(&first);
    c->offer.n_cs = 1;
    c->recipe.keys = two_tgks;
    c->recipe.n_keys = 2;
    make_ticket(c);
    struct mkt_key_data key = {0};
    ck_assert(mkt_keys_session(c->ticket->keys, 1, &key));
    first.spi = exact(key.kv.spi);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    const struct mkt_cs again = {.cs_id = 1, .prot_type = MKT_PROT_TLS};
    update(c->i, c->r, &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &again, .n_cs = 1});
    expect_octets("as before", spi_of(c->i, 0), first.spi);
    update(c->i, c->r, &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = new, .n_cs = 2});
    expect_octets("as before", spi_of(c->i, 0), first.spi);
    expect_octets("first key", spi_of(c->i, 1), key_spi(c->i, 0));
    expect_octets("second key", spi_of(c->i, 2), key_spi(c->i, 1));
    for (size_t i = 0; i < 3; i++)
        expect_session(c, i, (uint8_t)(i + 1), 0, text(""));
    update(
        c->i, c->r,
        &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = new, .n_cs = 2, .keys = two_tgks, .n_keys = 2});
    expect_octets("as before", spi_of(c->i, 0), first.spi);
    ck_assert(!mkt_span_equal(spi_of(c->i, 1), spi_of(c->i, 2)));
    for (size_t i = 0; i < 3; i++)
        expect_session(c, i, (uint8_t)(i + 1), 0, text(""));
    update(c->i, c->r, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = two_tgks, .n_keys = 2});
    ck_assert(!mkt_span_equal(spi_of(c->i, 0), spi_of(c->i, 1)));
    expect_octets("the last one is shared", spi_of(c->i, 2), spi_of(c->i, 1));
    call_free(c);
}
END_TEST

/* Session Data and the S flag of a new session are what the update says, those of one that there was stay. */
START_TEST(session_data_that_an_update_leaves_open)
{
    const struct mkt_cs first = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .s = 1, .session_data = text("data")};
    const struct mkt_cs some[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS},
                                  {.cs_id = 2, .prot_type = MKT_PROT_TLS, .s = 1}};
    struct call *c = two_sessions(&first);
    c->offer.n_cs = 1;
    make_resp(c);
    finish(c);
    expect_session(c, 0, 1, 1, first.session_data);
    update(c->i, c->r, &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = some, .n_cs = 2});
    expect_session(c, 0, 1, 1, first.session_data);
    expect_session(c, 1, 2, 1, text(""));
    call_free(c);
}
END_TEST

/* A session of an update may name several policies, each of which has its SP in it; there may be too many of them. */
START_TEST(as_many_policies_as_an_update_has_room_for)
{
    enum { OFFERED = 15, ALL = 25, MOST = 17 };
    uint8_t numbers[ALL], octets[8192];
    struct mkt_cs cs[ALL], several = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, MOST}};
    struct mkt_sp sp[ALL];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_message m;
    size_t n = 0;
    for (size_t i = 0; i < ALL; i++) {
        numbers[i] = (uint8_t)(100 + i);
        sp[i] = (struct mkt_sp){numbers[i], MKT_PROT_TLS, {NULL, 0}};
        cs[i] = (struct mkt_cs){.cs_id = (uint8_t)i, .prot_type = MKT_PROT_TLS, .policies = {numbers + i, 1}};
    }
    struct call *c = two_sessions(cs);
    c->settings_i.max_sessions = c->settings_r.max_sessions = ALL;
    c->settings_i.bundle_size = c->settings_r.bundle_size = 16384;
    c->offer.n_cs = OFFERED;
    c->offer.sp = sp;
    c->offer.n_sp = OFFERED;
    c->answer = (struct mkt_answer){
        .size = sizeof(struct mkt_answer), .cs = cs, .n_cs = ALL, .sp = sp + OFFERED, .n_sp = ALL - OFFERED};
    make_resp(c);
    finish(c);
    struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    expect_err("all", mkt_csb_make_update(c->i, &u, &out), MKT_E_TOO_MANY);
    u.cs = &several;
    u.n_cs = 1;
    several.policies.n = MOST + 1;
    expect_err("18", mkt_csb_make_update(c->i, &u, &out), MKT_E_TOO_MANY);
    several.policies.n = MOST;
    expect_err("get", mkt_message_decode(&m, update(c->i, c->r, &u)), MKT_OK);
    for (size_t i = 0; i < m.n; i++)
        if (m.payload[i].type == MKT_SP)
            ck_assert_uint_eq(m.payload[i].sp.policy_no, numbers[n++]);
    ck_assert_uint_eq(n, MOST);
    for (size_t i = 0; i < ALL; i++) {
        struct mkt_sp got;
        expect_err("SP", mkt_csb_sp(c->i, (uint8_t)i, &got), MKT_OK);
        ck_assert_uint_eq(got.policy_no, i == 1 ? numbers[0] : numbers[i]);
        expect_octets("TEK", tek_of(c->i, (uint8_t)i), tek_of(c->r, (uint8_t)i));
    }
    u.cs = cs;
    u.n_keys = 0;
    for (u.n_cs = 256; u.n_cs <= 257; u.n_cs++) {
        struct mkt_cs many[257];
        for (size_t i = 0; i < 257; i++)
            many[i] = cs[0];
        u.cs = many;
        expect_err("more than there are CS IDs", mkt_csb_make_update(c->i, &u, &out), MKT_E_CS);
    }
    call_free(c);
}
END_TEST

/* An update has no SP of a session that it does not name, whatever its number. */
START_TEST(an_update_has_the_policies_of_its_sessions_alone)
{
    static const uint8_t numbers[] = {7, 0};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {NULL, 0}}, {0, MKT_PROT_TLS, {NULL, 0}}};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}},
                                {.cs_id = 2, .prot_type = MKT_PROT_TLS, .policies = {numbers + 1, 1}}};
    struct call *c = two_sessions(cs);
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    make_resp(c);
    finish(c);
    for (size_t k = 0; k < 2; k++) {
        const struct mkt_cs open = {.cs_id = cs[k].cs_id, .prot_type = MKT_PROT_TLS};
        const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1, .cs = &open, .n_cs = 1};
        struct mkt_message m;
        size_t n = 0;
        expect_err("get", mkt_message_decode(&m, update(c->i, c->r, &u)), MKT_OK);
        for (size_t i = 0; i < m.n; i++) {
            if (m.payload[i].type != MKT_SP)
                continue;
            ck_assert_uint_eq(m.payload[i].sp.policy_no, numbers[k]);
            n++;
        }
        ck_assert_uint_eq(n, 1);
    }
    call_free(c);
}
END_TEST

/* As many SPs as fit beside all else that a message may have; one more is refused. */
START_TEST(as_many_policies_as_a_message_has_room_for)
{
    enum { MOST = MKT_MAX_PAYLOADS - 9, ALL = 4 * (MOST + 1) };
    uint8_t octets[8192];
    struct mkt_sp sp[ALL];
    struct mkt_buf out = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    for (size_t i = 0; i < ALL; i++)
        sp[i] = (struct mkt_sp){(uint8_t)i, MKT_PROT_TLS, {NULL, 0}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.bundle_size = c->settings_r.bundle_size = 16384;
    c->settings_i.prot_type = c->settings_r.prot_type = MKT_PROT_TLS;
    c->offer.sp = sp;
    c->offer.n_sp = MOST + 1;
    make_ticket(c);
    expect_err("an offer", mkt_csb_make_transfer_init(c->i, &c->offer, &measured), MKT_E_TOO_MANY);
    c->offer.n_sp = MOST;
    expect_err("an offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("an offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    struct mkt_answer answer = {.size = sizeof answer, .sp = sp + MOST, .n_sp = MOST + 1};
    expect_err("an answer", mkt_csb_make_transfer_resp(c->r, &answer, &measured), MKT_E_TOO_MANY);
    answer.n_sp = MOST;
    expect_err("an answer", mkt_csb_make_transfer_resp(c->r, &answer, &c->resp_buf), MKT_OK);
    finish(c);
    struct mkt_update u = {.size = sizeof u, .sp = sp + 2 * MOST, .n_sp = MOST + 1};
    expect_err("an update", mkt_csb_make_update(c->i, &u, &measured), MKT_E_TOO_MANY);
    u.n_sp = MOST;
    expect_err("an update", mkt_csb_make_update(c->i, &u, &out), MKT_OK);
    expect_err("an update", mkt_csb_take(c->r, exact((struct mkt_span){octets, out.n})), MKT_OK);
    answer.sp = sp + 3 * MOST;
    answer.n_sp = MOST + 1;
    expect_err("its answer", mkt_csb_make_transfer_resp(c->r, &answer, &measured), MKT_E_TOO_MANY);
    answer.n_sp = MOST;
    out.n = 0;
    expect_err("its answer", mkt_csb_make_transfer_resp(c->r, &answer, &out), MKT_OK);
    expect_err("its answer", mkt_csb_take(c->i, exact((struct mkt_span){octets, out.n})), MKT_OK);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

/* An SP of an update is not another one for a session that the update does not name: neither by its parameters, nor by
 * its Prot type. */
START_TEST(an_sp_that_would_change_another_session)
{
    static const uint8_t numbers[] = {7, 9}, params[] = {0x63, 1, 0};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {NULL, 0}}, {9, MKT_PROT_TLS, {NULL, 0}}};
    const struct mkt_sp same = sp[0], other_params = {7, MKT_PROT_TLS, {params, 3}},
                        other_prot = {7, MKT_PROT_SRTP, {NULL, 0}};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}},
                                {.cs_id = 2, .prot_type = MKT_PROT_TLS, .policies = {numbers + 1, 1}}};
    struct mkt_update u = {.size = sizeof u, .cs = cs + 1, .n_cs = 1, .sp = &other_params, .n_sp = 1};
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct call *c = two_sessions(cs);
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    make_resp(c);
    finish(c);
    expect_err("parameters", mkt_csb_make_update(c->i, &u, &out), MKT_E_SP);
    u.sp = &other_prot;
    expect_err("Prot type", mkt_csb_make_update(c->i, &u, &out), MKT_E_SP);
    u.sp = &same;
    update(c->i, c->r, &u);
    u = (struct mkt_update){.size = sizeof(struct mkt_update), .cs = cs, .n_cs = 2, .sp = &other_params, .n_sp = 1};
    update(c->i, c->r, &u);
    struct mkt_sp got;
    expect_err("SP", mkt_csb_sp(c->r, 1, &got), MKT_OK);
    expect_octets("parameters", got.params, other_params.params);
    call_free(c);
}
END_TEST

/* ---- rooms that are too small ---- */

/* A session for which there is no room is not passed over, though others that follow it would have some. */
START_TEST(a_session_that_has_no_room)
{
    static const uint8_t data[5000] = {1};
    const struct mkt_cs large[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS, .session_data = {data, sizeof data}},
                                   {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
    const struct mkt_cs small[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS}, large[1]};
    uint8_t octets[8192];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct call *c = two_sessions(large);
    make_ticket(c);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &out), MKT_E_BUNDLE_FULL);
    call_free(c);

    c = two_sessions(small);
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = large, .n_cs = 2};
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, &c->answer, &out), MKT_E_BUNDLE_FULL);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    const struct mkt_update u = {.size = sizeof u, .cs = large, .n_cs = 2};
    expect_err("update", mkt_csb_make_update(c->i, &u, &out), MKT_E_BUNDLE_FULL);
    expect_err("update", mkt_csb_make_update(c->r, &u, &out), MKT_E_BUNDLE_FULL);
    ck_assert_uint_eq(out.n, 0);
    call_free(c);
}
END_TEST

/* ---- without TRANSFER_RESP ---- */

/* D10: then each session has one policy, for which the offer has an SP: of its own, or the one of TLS. */
START_TEST(policies_of_an_offer_that_nobody_answers)
{
    static const uint8_t numbers[] = {7, 9};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {NULL, 0}}, {9, MKT_PROT_TLS, {NULL, 0}}};
    const struct mkt_cs cs[] = {{.cs_id = 5, .prot_type = MKT_PROT_TLS, .policies = {numbers + 1, 1}},
                                {.cs_id = 6, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}}};
    const struct {
        size_t n_cs, n_sp;
        uint8_t policies[2];
    } rows[] = {{0, 0, {0}}, {0, 1, {7}}, {2, 2, {9, 7}}, {1, 2, {9}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct call *c = call_new(MKT_SUITE_256, "HJLNO");
        struct mkt_message m;
        size_t n = 0;
        c->settings_i.max_sessions = c->settings_r.max_sessions = 2;
        c->offer.cs = cs;
        c->offer.n_cs = rows[i].n_cs;
        c->offer.sp = sp;
        c->offer.n_sp = rows[i].n_sp;
        make_init(c);
        expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
        for (size_t k = 0; k < m.n; k++)
            n += m.payload[k].type == MKT_SP;
        ck_assert_uint_eq(n, rows[i].n_sp > 0 ? rows[i].n_sp : 1);
        expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
        ck_assert_uint_eq(mkt_csb_session_count(c->i), rows[i].n_cs > 0 ? rows[i].n_cs : 1);
        for (size_t k = 0; k < mkt_csb_session_count(c->i); k++) {
            struct mkt_cs got;
            expect_session(c, k, rows[i].n_cs > 0 ? cs[k].cs_id : 1, 0, text(""));
            expect_err("session", mkt_csb_session_at(c->r, k, &got), MKT_OK);
            ck_assert_uint_eq(got.policies.p[0], rows[i].policies[k]);
        }
        call_free(c);
    }
    struct call *c = call_new(MKT_SUITE_256, "HJLNO");
    c->offer.sp = sp;
    c->offer.n_sp = 2; /* both for the one session */
    make_ticket(c);
    expect_err("two policies", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_SP);
    c->offer.cs = cs;
    c->offer.n_cs = 1;
    c->offer.n_sp = 1;
    expect_err("an SP of another number", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_SP);
    const struct mkt_cs no_sp = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {(const uint8_t[]){0}, 1}};
    c->offer.cs = &no_sp;
    c->offer.n_sp = 0;
    expect_err("a policy without SP", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_SP);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FHJLNO"); /* with an answer, which has the SP */
    struct mkt_message m;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
    ck_assert_ptr_null(mkt_message_find(&m, MKT_SP, 0));
    call_free(c);
}
END_TEST

/* What is wrong with sessions is found before the MAC: these messages have the MAC of another one. */
START_TEST(sessions_are_looked_at_before_the_mac)
{
    static const uint8_t number[] = {7, 9}, like_srtp[9] = {1, MKT_PROT_TLS, 0, 0, 0, 3, 'S', 'P', 'I'};
    const struct mkt_sp sp = {7, MKT_PROT_TLS, {NULL, 0}};
    const struct mkt_cs right = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {number, 1}, .spi = text("S")};
    struct mkt_cs wrong = right;
    for (int f = 0; f <= 1; f++) {
        struct call *c = call_new(MKT_SUITE_256, f ? "FGHJLNO" : "HJLNO");
        struct mkt_message m;
        uint8_t octets[2048];
        c->offer.sp = &sp;
        c->offer.n_sp = 1;
        make_init(c);
        expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
#define REFUSED(err, change)                                                                                           \
    do {                                                                                                               \
        struct mkt_message m2 = m;                                                                                     \
        struct mkt_buf out = {octets, sizeof octets, 0};                                                               \
        wrong = right;                                                                                                 \
        set_session(&m2, &wrong);                                                                                      \
        change;                                                                                                        \
        expect_err("put", mkt_message_encode(&m2, &out), MKT_OK);                                                      \
        expect_err(#change, mkt_csb_take_offer(c->r, (struct mkt_span){octets, out.n}, mikey), err);                   \
    } while (0)
        REFUSED(MKT_E_MAC, (void)0);
        REFUSED(MKT_E_BAD_MAP, m2.hdr.map_type = MKT_MAP_SRTP_ID; m2.hdr.map = ((struct mkt_span){like_srtp, 9}));
        REFUSED(MKT_E_CS, m2.hdr.n_cs = 0; m2.hdr.map = text(""));
        REFUSED(MKT_E_PROT, wrong.prot_type = MKT_PROT_SRTP; set_session(&m2, &wrong));
        REFUSED(MKT_E_SP, wrong.policies.p = number + 1; set_session(&m2, &wrong));
        REFUSED(f ? MKT_E_MAC : MKT_E_SP, wrong.policies.n = 0; set_session(&m2, &wrong));
        REFUSED(f ? MKT_E_MAC : MKT_E_SPI, wrong.spi.n = 0; set_session(&m2, &wrong));
#undef REFUSED
        call_free(c);
    }
}
END_TEST

/* ---- keys ---- */

/* A TEK is for one session. Another session of the offer waits for a key of the Responder's. */
START_TEST(a_session_for_which_there_is_no_key)
{
    const struct mkt_key_wish tek = {.size = sizeof tek, .type = MKT_KEY_TEK};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS}, {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
    struct mkt_message m;
    struct mkt_cs first, second;
    struct call *c = two_sessions(cs);
    c->recipe.keys = &tek;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
    expect_err("first", mkt_cs_next(&first, MKT_MAP_GENERIC_ID, 0, &m.hdr.map), MKT_OK);
    expect_err("second", mkt_cs_next(&second, MKT_MAP_GENERIC_ID, 0, &m.hdr.map), MKT_OK);
    ck_assert(first.spi.n > 0 && second.spi.n == 0);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("no key", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_SPI);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = &one_tgk, .n_keys = 1};
    expect_err("a key", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
    finish(c);
    expect_session(c, 0, 1, 0, text(""));
    expect_session(c, 1, 2, 0, text(""));
    call_free(c);
}
END_TEST

/* A map whose sessions all must have keys, or may be without SPI. */
START_TEST(keys_that_a_map_needs)
{
    const struct mkt_bundle none = {.suite = MKT_SUITE_256};
    const struct mkt_cs open = {.cs_id = 1, .prot_type = MKT_PROT_TLS},
                        other = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .spi = text("SPI")};
    struct mkt_message m = {.n = 0};
    set_session(&m, &open);
    expect_err("may be open", mkt_sessions_check_keys(&none, m.hdr.map, false), MKT_OK);
    expect_err("needed", mkt_sessions_check_keys(&none, m.hdr.map, true), MKT_E_SPI);
    expect_err("half a session", mkt_sessions_check_keys(&none, (struct mkt_span){m.hdr.map.p, 3}, true),
               MKT_E_TRUNCATED);
    set_session(&m, &other);
    expect_err("unknown", mkt_sessions_check_keys(&none, m.hdr.map, false), MKT_E_SPI);
    struct mkt_span half = {(const uint8_t *)"\012\007", 2};
    struct mkt_sp sp;
    expect_err("half an SP", mkt_sps_next(&sp, &half), MKT_E_TRUNCATED);
    free_all();
}
END_TEST

/* ---- answers about several sessions ---- */

/* What an answer leaves out of a session stays as it was offered; its sessions may stand in any order. */
START_TEST(an_answer_about_several_sessions)
{
    static const uint8_t numbers[] = {7, 9};
    const struct mkt_sp sp[] = {{7, MKT_PROT_SRTP, {NULL, 0}}, {9, MKT_PROT_SRTP, {NULL, 0}}};
    struct mkt_cs offered[] = {srtp_session(1, 0, 4), srtp_session(2, 1, 10), srtp_session(3, 0, 4)};
    struct mkt_cs said[] = {srtp_session(3, 1, 10), srtp_session(2, 0, 0), srtp_session(1, 0, 0)};
    const uint8_t want[] = {7, 9, 7};
    struct call *c = srtp_call("FGHJLMNO", offered, 3);
    for (size_t i = 0; i < 3; i++)
        offered[i].policies = (struct mkt_span){numbers, 2};
    said[1].policies = (struct mkt_span){numbers + 1, 1};
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    c->answer =
        (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = said, .n_cs = 3, .keys = &one_tgk, .n_keys = 1};
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    said[2].spi = key_spi(c->r, 0);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
    finish(c);
    expect_session(c, 0, 1, 0, offered[0].session_data);
    expect_session(c, 1, 2, 1, offered[1].session_data);
    expect_session(c, 2, 3, 1, said[0].session_data);
    for (size_t i = 0; i < 3; i++) {
        struct mkt_cs got;
        expect_err("session", mkt_csb_session_at(c->i, i, &got), MKT_OK);
        ck_assert_uint_eq(got.policies.p[0], want[i]);
        expect_octets("SPI", got.spi, key_spi(c->i, i == 1 ? 1 : 0)); /* one new key, for the first that is open */
    }
    call_free(c);
}
END_TEST

/* A message with the n-th payload first. D13: payloads are taken in any order. */
static void put_first(struct mkt_message *m, size_t n)
{
    const struct mkt_payload first = m->payload[n];
    for (; n > 0; n--)
        m->payload[n] = m->payload[n - 1];
    m->payload[0] = first;
}

static size_t place_of(struct mkt_message *m, unsigned type)
{
    return (size_t)(find(m, type, 0) - m->payload);
}

START_TEST(an_sp_before_all_other_payloads)
{
    static const uint8_t params[] = {0x63, 1, 0};
    const struct mkt_sp offered = {7, MKT_PROT_TLS, {NULL, 0}}, own = {9, MKT_PROT_TLS, {params, 3}};
    const struct mkt_cs said = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {&own.policy_no, 1}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m, twice;
    struct mkt_sp got;
    uint8_t octets[4096];
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    c->offer.sp = &offered;
    c->offer.n_sp = 1;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, exact(init_of(c))), MKT_OK);
    put_first(&m, place_of(&m, MKT_SP));
    twice = m;
    twice.payload[twice.n] = twice.payload[twice.n - 1];
    twice.payload[twice.n - 1] = twice.payload[0];
    twice.n++;
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("put", mkt_message_encode(&twice, &out), MKT_OK);
    expect_err("twice", mkt_csb_take_offer(c->r, (struct mkt_span){octets, out.n}, mikey), MKT_E_SP);
    reseal(c, &m, &c->init_buf, false);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("SP", mkt_csb_sp(c->r, 1, &got), MKT_OK);
    ck_assert_uint_eq(got.policy_no, offered.policy_no);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    c->offer.sp = &offered;
    c->offer.n_sp = 1;
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &said, .n_cs = 1, .sp = &own, .n_sp = 1};
    make_resp(c);
    expect_err("get", mkt_message_decode(&m, exact(resp_of(c))), MKT_OK);
    put_first(&m, place_of(&m, MKT_SP));
    reseal(c, &m, &c->resp_buf, true);
    finish(c);
    expect_err("SP", mkt_csb_sp(c->i, 1, &got), MKT_OK);
    expect_octets("parameters", got.params, own.params);
    call_free(c);
}
END_TEST

/* An answer may give a number of the offer to a policy of its own, which is the one that counts. */
START_TEST(a_policy_that_the_answer_replaces)
{
    static const uint8_t params[] = {0x63, 1, 0};
    const struct mkt_sp offered = {7, MKT_PROT_TLS, {NULL, 0}}, own = {7, MKT_PROT_TLS, {params, 3}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_sp got;
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    c->offer.sp = &offered;
    c->offer.n_sp = 1;
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .sp = &own, .n_sp = 1};
    make_resp(c);
    c->alice.host.acceptable = NULL;
    expect_err("parameters", mkt_csb_take(c->i, exact(resp_of(c))), MKT_E_SP_PARAMETERS);
    c->alice.host.acceptable = all_acceptable;
    finish(c);
    for (size_t end = 0; end < 2; end++) {
        expect_err("SP", mkt_csb_sp(end == 0 ? c->i : c->r, 1, &got), MKT_OK);
        expect_octets("parameters", got.params, own.params);
    }
    call_free(c);
}
END_TEST

/* What a stored bundle must have: for each session one policy, its SP, and a key; as many sessions as it says. */
START_TEST(a_bundle_that_is_whole)
{
    static const uint8_t sps[] = {MKT_SP, 7, MKT_PROT_TLS, 0, 0}, numbers[] = {7, 9};
    static const uint8_t key[32] = {1};
    const struct mkt_payload tgk = {
        .type = MKT_KEY_DATA,
        .key_data = {.type = MKT_KEY_TGK, .key = {key, 32}, .kv = {.type = MKT_KV_SPI, .spi = text("SPI")}}};
    const struct mkt_cs right = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}, .spi = text("SPI")};
    uint8_t octets[128];
    struct mkt_buf chain = {octets, sizeof octets, 0};
    struct mkt_message m = {.n = 0};
    struct mkt_cs cs;
    expect_err("keys", mkt_payloads_encode(&tgk, 1, &chain), MKT_OK);
#define WHOLE(whole, change)                                                                                           \
    do {                                                                                                               \
        struct mkt_bundle b = {.n_cs = 1, .sps = {sps, sizeof sps}, .keys[MKT_FROM_TICKET] = {octets, chain.n}};       \
        cs = right;                                                                                                    \
        change;                                                                                                        \
        set_session(&m, &cs);                                                                                          \
        b.map = m.hdr.map;                                                                                             \
        ck_assert_msg(mkt_sessions_whole(&b) == whole, #change);                                                       \
    } while (0)
    WHOLE(true, (void)0);
    WHOLE(false, b.n_cs = 2);
    WHOLE(false, b.sps.n = 0);
    WHOLE(false, b.keys[MKT_FROM_TICKET].n = 0);
    WHOLE(false, cs.policies.n = 0);
    WHOLE(false, cs.policies.n = 2);
    WHOLE(false, cs.policies.p = numbers + 1);
    WHOLE(false, cs.spi = text("SPj"));
    WHOLE(false, cs.spi = text(""));
#undef WHOLE
    free_all();
}
END_TEST

/* Each of several sessions has the next key, old or new, whether the update is answered or not. */
START_TEST(keys_of_the_sessions_of_an_update_in_their_order)
{
    static const uint8_t no[] = {0};
    const struct mkt_key_wish tgks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}};
    struct mkt_cs cs[4];
    for (size_t i = 0; i < 4; i++)
        cs[i] = (struct mkt_cs){.cs_id = (uint8_t)(i + 1), .prot_type = MKT_PROT_TLS, .policies = {no, 1}};
    struct mkt_update u = {.size = sizeof u, .cs = cs + 1, .n_cs = 3, .no_answer = _i};
    const struct mkt_cs first = {.cs_id = 1, .prot_type = MKT_PROT_TLS};
    struct call *c = two_sessions(&first);
    c->offer.n_cs = 1;
    c->recipe.keys = tgks;
    c->recipe.n_keys = 3;
    make_resp(c);
    finish(c);
    update(c->i, c->r, &u);
    for (size_t i = 0; i < 3; i++)
        expect_octets("old keys", spi_of(c->i, 1 + i), key_spi(c->i, i));
    u.keys = tgks;
    u.n_keys = 3;
    for (int again = 0; again < 2; again++) {
        const struct mkt_span before = spi_of(c->i, 1);
        update(c->r, c->i, &u);
        for (size_t i = 0; i < 4; i++) {
            expect_session(c, i, (uint8_t)(i + 1), 0, text(""));
            for (size_t k = 0; k < i; k++)
                ck_assert(!mkt_span_equal(spi_of(c->i, i), spi_of(c->i, k)));
        }
        ck_assert(!mkt_span_equal(spi_of(c->i, 1), before));
    }
    call_free(c);
}
END_TEST

/* The SP of a policy is kept once, however many sessions have it. */
START_TEST(a_policy_of_two_sessions_is_kept_once)
{
    static const uint8_t number[] = {7}, params[] = {0x63, 5, 'o', 'n', 'c', 'e', '!'};
    const struct mkt_sp sp = {7, MKT_PROT_TLS, {params, sizeof params}};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {number, 1}},
                                {.cs_id = 2, .prot_type = MKT_PROT_TLS, .policies = {number, 1}}};
    struct call *c = two_sessions(cs);
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    size_t n = 0;
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    c->offer.sp = &sp;
    c->offer.n_sp = 1;
    make_resp(c);
    finish(c);
    expect_err("put", mkt_csb_save(c->i, &out), MKT_OK);
    for (size_t i = 0; i + sizeof params <= out.n; i++)
        n += memcmp(octets + i, params, sizeof params) == 0;
    ck_assert_uint_eq(n, 1);
    call_free(c);
}
END_TEST

/* 4.2.2.3: the answer has the sessions of the offer, each of them; it may have others. */
START_TEST(sessions_that_an_answer_leaves_out)
{
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS}, {.cs_id = 2, .prot_type = MKT_PROT_TLS}};
    struct call *c = two_sessions(cs);
    struct mkt_message m;
    make_resp(c);
    const struct mkt_span right = exact(resp_of(c));
    for (size_t left_out = 0; left_out < 2; left_out++) {
        struct mkt_cs both[2];
        expect_err("get", mkt_message_decode(&m, right), MKT_OK);
        struct mkt_span map = m.hdr.map;
        for (size_t i = 0; i < 2; i++)
            expect_err("session", mkt_cs_next(&both[i], MKT_MAP_GENERIC_ID, 0, &map), MKT_OK);
        set_session(&m, &both[1 - left_out]);
        reseal(c, &m, &c->resp_buf, true);
        expect_err("one of two", mkt_csb_take(c->i, exact(resp_of(c))), MKT_E_CS);
        both[left_out].cs_id = 3;
        set_session(&m, &both[left_out]);
        reseal(c, &m, &c->resp_buf, true);
        expect_err("another one", mkt_csb_take(c->i, exact(resp_of(c))), MKT_E_CS);
    }
    expect_err("the right one", mkt_csb_take(c->i, right), MKT_OK);
    call_free(c);
}
END_TEST

/* The answer has an SP of its own for a session that has no policy, wherever in the offer it stands. */
START_TEST(a_policy_that_the_answer_adds)
{
    static const uint8_t number[] = {7};
    const struct mkt_sp sp = {7, MKT_PROT_TLS, {NULL, 0}};
    const struct mkt_cs without = {.prot_type = MKT_PROT_TLS},
                        with = {.prot_type = MKT_PROT_TLS, .policies = {number, 1}};
    for (size_t first = 0; first < 2; first++) {
        struct mkt_cs cs[] = {first == 0 ? without : with, first == 0 ? with : without};
        cs[0].cs_id = 1;
        cs[1].cs_id = 2;
        struct call *c = two_sessions(cs);
        c->offer.sp = &sp;
        c->offer.n_sp = 1;
        make_resp(c);
        finish(c);
        for (size_t i = 0; i < 2; i++) {
            struct mkt_cs got;
            expect_session(c, i, (uint8_t)(i + 1), 0, text(""));
            expect_err("session", mkt_csb_session_at(c->i, i, &got), MKT_OK);
            ck_assert((got.policies.p[0] == 7) == (i != first));
        }
        call_free(c);
    }
}
END_TEST

/* Bundles of all sizes either have room or say that they have none, and then are as before. */
START_TEST(bundles_of_all_sizes)
{
    static const uint8_t numbers[] = {7, 9}, params[200] = {1, 198};
    const struct mkt_sp sp[] = {{7, MKT_PROT_TLS, {params, 200}}, {9, MKT_PROT_TLS, {params, 200}}};
    const struct mkt_cs cs[] = {
        {.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}, .session_data = {params, 100}},
        {.cs_id = 2, .prot_type = MKT_PROT_TLS, .policies = {numbers + 1, 1}, .session_data = {params, 50}}};
    static const struct mkt_update u = {.size = sizeof u, .keys = two_tgks, .n_keys = 2};
    struct call *c = two_sessions(cs);
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    make_ticket(c);
    struct mkt_csb *i = NULL, *r = NULL;
    size_t rooms = 0, done = 0;
    for (size_t size = 1000; done < 20; size += 8) {
        uint8_t octets[4096];
        struct mkt_buf out = {octets, sizeof octets, 0};
        enum mkt_err err = MKT_OK;
        ck_assert_uint_lt(size, 8192);
        mkt_csb_free(i);
        mkt_csb_free(r);
        i = r = NULL;
        c->settings_i.bundle_size = c->settings_r.bundle_size = size;
        if (mkt_csb_new(&i, MKT_INITIATOR, &c->alice.host, &c->settings_i) != MKT_OK)
            continue;
        expect_err("new", mkt_csb_new(&r, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
        for (int step = 0; step < 8 && err == MKT_OK; step++) {
            const struct mkt_span message = exact((struct mkt_span){octets, out.n});
            struct mkt_csb *by[] = {i, r, r, i, r, i, i, r};
            if (step % 2 == 1)
                err = mkt_csb_take_offer(by[step], message, mikey);
            out.n = step % 2 == 1 ? out.n : 0;
            if (step == 0)
                err = mkt_csb_make_transfer_init(i, &c->offer, &out);
            if (step == 2 || step == 6)
                err = mkt_csb_make_transfer_resp(by[step], NULL, &out);
            if (step == 4)
                err = mkt_csb_make_update(r, &u, &out);
        }
        if (err != MKT_OK)
            expect_err("no room", err, MKT_E_BUNDLE_FULL);
        rooms += err == MKT_E_BUNDLE_FULL;
        done += err == MKT_OK;
        for (uint8_t k = 1; k <= 2 && err == MKT_OK; k++)
            expect_octets("TEK", tek_of(i, k), tek_of(r, k));
    }
    ck_assert_uint_gt(rooms, 50);
    mkt_csb_free(i);
    mkt_csb_free(r);
    call_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *tcase = tcase_create("call");
    tcase_add_test(tcase, policies_offered_and_chosen);
    tcase_add_test(tcase, offers_that_no_bundle_can_have);
    tcase_add_test(tcase, policies_that_are_not_acceptable);
    tcase_add_test(tcase, teks_of_several_sessions);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("srtp");
    tcase_add_loop_test(tcase, session_data_of_an_srtp_offer, 0, 2);
    tcase_add_test(tcase, session_data_of_an_srtp_answer);
    tcase_add_test(tcase, an_srtp_answer_that_says_nothing);
    tcase_add_test(tcase, what_was_offered_is_updated);
    tcase_add_test(tcase, a_tek_of_two_srtp_sessions);
    tcase_add_test(tcase, session_data_of_tls);
    tcase_add_test(tcase, session_data_in_an_update);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("answer");
    tcase_add_test(tcase, sessions_that_the_responder_adds);
    tcase_add_test(tcase, more_sessions_than_the_initiator_has_room_for);
    tcase_add_test(tcase, keys_for_the_sessions_that_are_added);
    tcase_add_test(tcase, policies_that_the_answer_says);
    tcase_add_test(tcase, a_policy_that_the_responder_does_not_accept);
    tcase_add_test(tcase, policies_before_they_are_agreed_on);
    tcase_add_test(tcase, as_many_sessions_as_there_are_ids);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("update");
    tcase_add_loop_test(tcase, one_new_tgk_for_two_sessions, 0, 6);
    tcase_add_loop_test(tcase, one_new_tek_for_two_sessions, 0, 2);
    tcase_add_loop_test(tcase, an_update_has_the_policies_of_all_its_sessions, 0, 4);
    tcase_add_test(tcase, spis_that_an_update_leaves_open);
    tcase_add_test(tcase, session_data_that_an_update_leaves_open);
    tcase_add_test(tcase, an_update_has_the_policies_of_its_sessions_alone);
    tcase_add_test(tcase, as_many_policies_as_an_update_has_room_for);
    tcase_add_test(tcase, as_many_policies_as_a_message_has_room_for);
    tcase_add_test(tcase, an_sp_that_would_change_another_session);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("limits");
    tcase_add_test(tcase, a_session_that_has_no_room);
    tcase_add_test(tcase, policies_of_an_offer_that_nobody_answers);
    tcase_add_test(tcase, sessions_are_looked_at_before_the_mac);
    tcase_add_test(tcase, a_session_for_which_there_is_no_key);
    tcase_add_test(tcase, keys_that_a_map_needs);
    tcase_add_test(tcase, an_answer_about_several_sessions);
    tcase_add_test(tcase, an_sp_before_all_other_payloads);
    tcase_add_test(tcase, a_policy_that_the_answer_replaces);
    tcase_add_test(tcase, a_bundle_that_is_whole);
    tcase_add_loop_test(tcase, keys_of_the_sessions_of_an_update_in_their_order, 0, 2);
    tcase_add_test(tcase, a_policy_of_two_sessions_is_kept_once);
    tcase_add_test(tcase, sessions_that_an_answer_leaves_out);
    tcase_add_test(tcase, a_policy_that_the_answer_adds);
    tcase_add_test(tcase, bundles_of_all_sizes);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
