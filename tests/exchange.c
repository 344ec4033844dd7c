/* SPDX-License-Identifier: BSD-3-Clause */
/* exchange: what the messages of a call have in common: timestamps, replay, KEMAC. */
#include "call.h"
#include "ticket.h"

#include <stdlib.h>
#include <string.h>

START_TEST(a_replayed_offer)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *second = NULL;
    make_resp(c);
    expect_err("new", mkt_csb_new(&second, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
    expect_err("replay", mkt_csb_take_offer(second, init_of(c), mikey), MKT_E_REPLAY);
    mkt_csb_free(second);
    call_free(c);
}
END_TEST

START_TEST(clocks_that_differ)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_init(c);
    c->bob.now = ntp(NOW + 301);
    expect_err("old", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_STALE);
    c->bob.now = ntp(NOW - 301);
    expect_err("future", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_FUTURE);
    c->bob.now = ntp(NOW - 300);
    expect_err("within the skew", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
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

START_TEST(a_kemac_without_keys)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, exact(init_of(c))), MKT_OK);
    m.payload[m.n] = m.payload[m.n - 1];
    m.payload[m.n - 1] = (struct mkt_payload){.type = MKT_KEMAC, .kemac = {.encr_alg = MKT_ENCR_AES_CM_256}};
    m.n++;
    reseal(c, &m, &c->init_buf, false);
    expect_err("empty", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_MISSING);
    call_free(c);
}
END_TEST

START_TEST(wishes_of_the_wrong_kind)
{
    static const uint8_t octet = 1;
    const struct mkt_key_wish wishes[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK, .length = 65},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 15},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_MPK},
                                          {.size = sizeof(struct mkt_key_wish), .type = 9}};
    const enum mkt_err errs[] = {MKT_E_KEY_LENGTH, MKT_E_KEY_LENGTH, MKT_E_MPK, MKT_E_ARGUMENT};
    const struct mkt_key_wish empty_spans = {
        .size = sizeof empty_spans, .type = MKT_KEY_TGK_SALT, .key = {&octet, 0}, .salt = {&octet, 0}};
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

/* D30: a key that a party supplies has the SPI that it is given, if no other session key of the bundle has it. */
START_TEST(spis_of_keys_that_are_supplied)
{
    struct mkt_key_wish tgk = {
        .size = sizeof tgk, .type = MKT_KEY_TGK, .kv = {.type = MKT_KV_SPI, .spi = text("an SPI")}};
    struct mkt_key_data key = {0};
    bool found = false;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    make_ticket(c);
    c->offer.keys = c->answer.keys = &tgk;
    c->offer.n_keys = c->answer.n_keys = 1;
    ck_assert(mkt_keys_session(c->ticket->keys, 0, &key));
    const struct mkt_span of_ticket = exact(key.kv.spi), given = tgk.kv.spi;
    tgk.kv.spi = of_ticket;
    expect_err("the ticket's", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_SPI);
    tgk.kv.spi = given;
    expect_err("another", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("the Initiator's", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_E_SPI);
    tgk.kv = (struct mkt_kv){.type = MKT_KV_INTERVAL, .from = text("1"), .to = text("2")};
    expect_err("drawn", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
    finish(c);
    for (size_t i = 0; mkt_csb_key(c->i, i, &key) == MKT_OK; i++) {
        ck_assert(key.kv.type == MKT_KV_SPI);
        found = found || mkt_span_equal(key.kv.spi, given);
    }
    ck_assert(found);
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

int main(void)
{
    Suite *suite = suite_create("exchange");
    TCase *tcase = tcase_create("call");
    tcase_add_test(tcase, a_replayed_offer);
    tcase_add_test(tcase, clocks_that_differ);
    tcase_add_test(tcase, the_year_2036);
    tcase_add_test(tcase, a_kemac_without_keys);
    tcase_add_test(tcase, wishes_of_the_wrong_kind);
    tcase_add_test(tcase, spis_of_keys_that_are_supplied);
    tcase_add_test(tcase, counters_that_nobody_keeps);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
