/* SPDX-License-Identifier: BSD-3-Clause */
/* session: the crypto sessions of a call, their security policies and their keys (RFC 6043 6.1.1). */
#include "call.h"

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

/*
 * A TEK "can generally not be shared between more than one Crypto Session": each session has its own, or there is none.
 */
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

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *tcase = tcase_create("call");
    tcase_add_test(tcase, policies_offered_and_chosen);
    tcase_add_test(tcase, offers_that_no_bundle_can_have);
    tcase_add_test(tcase, policies_that_are_not_acceptable);
    tcase_add_test(tcase, teks_of_several_sessions);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
