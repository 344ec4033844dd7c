/* SPDX-License-Identifier: BSD-3-Clause */
/* csb: the crypto session bundle, as the application holds it. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

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
    expect_err("answer again", mkt_csb_take(c->i, resp_of(c), mikey), MKT_E_DATA_TYPE);
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
    ck_assert(mkt_csb_owes(c->r, MKT_TRANSFER_RESP) && !mkt_csb_ready(c->r));
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
    c->bob.tpk = (struct mkt_span){tpk.p, 31};
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
    ck_assert(!mkt_csb_owes(c->r, MKT_TRANSFER_RESP));
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
    expect_err("no role", mkt_csb_new(&csb, (enum mkt_role)3, &c->bob.host, &c->settings_r), MKT_E_ARGUMENT);
    ck_assert_ptr_null(csb);
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
    tcase_add_test(tcase, keys_of_a_bundle);
    tcase_add_test(tcase, a_ticket_used_twice);
    tcase_add_test(tcase, measuring_promises_no_more_than_there_is_room_for);
    tcase_add_test(tcase, one_allocation_of_at_most_4_kib);
    tcase_add_test(tcase, the_default_host);
    tcase_add_test(tcase, a_host_that_fails);
    tcase_add_test(tcase, a_bundle_states_its_limits);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
