/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transfer: TRANSFER_INIT and TRANSFER_RESP, made and taken by two parties that share a ticket protection key (mode 4).
 */
#include "call.h"

#include "ticket.h"

#include <stdlib.h>
#include <string.h>

/* A caller must normalise URIs (RFC 3261 19.1.4): the example of mkt_id_uri(). */
START_TEST(identities_are_compared_octet_by_octet)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.responder[0] = c->offer.responder = mkt_id_uri("sip:bob@EXAMPLE.com");
    make_init(c);
    expect_err("another spelling", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_E_RESPONDER);
    call_free(c);
}
END_TEST

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

/*
 * Every policy without KMS that 6.10 allows: D to O but E and I, with N and O; supplied keys where L and M allow them.
 */
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
    bool allowed = ((f & MKT_FLAG_D) != 0 || (f & MKT_FLAG_L) != 0) &&
                   ((f & MKT_FLAG_G) == 0 || (f & MKT_FLAG_F) != 0) &&
                   ((f & MKT_FLAG_G) != 0 || (f & MKT_FLAG_H) != 0) &&
                   ((f & MKT_FLAG_K) == 0 || (f & MKT_FLAG_D) != 0) && ((f & MKT_FLAG_M) == 0 || (f & MKT_FLAG_F) != 0);
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
    expect_err(flags, mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    ck_assert(mkt_csb_must_make(c->r, MKT_TRANSFER_RESP) == ((f & MKT_FLAG_F) != 0));
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

/* 6.10: "TRr indicates how often rekeying MUST be done." A time of 0 s is the shortest; 0 would mean that there is
 * none. */
START_TEST(the_time_between_rekeyings)
{
    static const struct {
        bool has;
        mkt_ntp rekeying;
        uint32_t seconds;
    } rows[] = {{false, 0, 0},
                {false, (mkt_ntp)60 << 32, 0},
                {true, 0, 1},
                {true, (mkt_ntp)1 << 32, 1},
                {true, (mkt_ntp)2 << 32, 2},
                {true, (mkt_ntp)UINT32_MAX << 32, UINT32_MAX}};
    struct call *c = call_new(MKT_SUITE_256, _i % 2 == 0 ? "FGHJLNO" : "HJLNO");
    c->policy.has_rekeying = rows[_i / 2].has;
    c->policy.rekeying = rows[_i / 2].rekeying;
    make_init(c);
    ck_assert_uint_eq(mkt_csb_rekey_interval(c->r), 0);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    if (_i % 2 == 0) {
        ck_assert_uint_eq(mkt_csb_rekey_interval(c->i), 0);
        ck_assert_uint_eq(mkt_csb_rekey_interval(c->r), 0);
        expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
        finish(c);
    }
    ck_assert_uint_eq(mkt_csb_rekey_interval(c->i), rows[_i / 2].seconds);
    ck_assert_uint_eq(mkt_csb_rekey_interval(c->r), rows[_i / 2].seconds);
    call_free(c);
}
END_TEST

START_TEST(supplied_keys_that_the_policy_forbids)
{
    struct call *c = call_new(MKT_SUITE_256, "DFGHNO");
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = &one_tgk, .n_keys = 1};
    make_ticket(c);
    c->offer.keys = &one_tgk;
    c->offer.n_keys = 1;
    expect_err("L", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_KEMAC);
    c->offer.n_keys = 0;
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
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
    const struct mkt_key_wish wish = {
        .size = sizeof wish, .type = MKT_KEY_TEK_SALT, .key = {given, sizeof given}, .salt_length = 12};
    uint8_t salt[64];
    struct mkt_buf salt_buf = {salt, sizeof salt, 0};
    struct call *c = call_new(MKT_SUITE_256, "DFGHMNO");
    c->recipe.n_keys = 0;
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("no key", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_E_SPI);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = &wish, .n_keys = 1};
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
    expect_err("message", mkt_message_decode(&m, init_of(c)), MKT_OK);
    ck_assert_ptr_null(mkt_message_find(&m, MKT_IDR, MKT_IDR_I));
    ck_assert_ptr_null(mkt_message_find(&m, MKT_IDR, MKT_IDR_R));
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    expect_octets("peer", mkt_csb_peer(c->i).data, text("sip:bob@example.com"));
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.leave_out_identities = true;
    make_init(c);
    expect_err("nobody said who calls", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_INITIATOR);
    call_free(c);
}
END_TEST

static bool in_group(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    ck_assert_uint_gt(group->data.n, 0); /* one of the policy */
    return mkt_span_equal(id->data, text("sip:bob@example.com")) &&
           mkt_span_equal(group->data, text("sip:help@example.com"));
}

START_TEST(a_member_of_a_group_answers)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.responder[0] = mkt_id_uri("sip:help@example.com");
    c->offer.responder = mkt_id_uri("sip:help@example.com");
    make_init(c);
    expect_err("not in the group", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_RESPONDER);
    c->bob.host.member = in_group;
    expect_err("in the group", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("the Initiator knows no groups", mkt_csb_take(c->i, resp_of(c)), MKT_E_RESPONDER);
    c->alice.host.member = in_group;
    finish(c);
    expect_octets("peer", mkt_csb_peer(c->i).data, text("sip:bob@example.com"));
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.responder[0] = mkt_id_uri("sip:sales@example.com");
    c->offer.responder = mkt_id_uri("sip:sales@example.com");
    make_init(c);
    c->bob.host.member = in_group;
    expect_err("in another group", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_RESPONDER);
    call_free(c);
}
END_TEST

/* "any single-bit flip of a TRANSFER_INIT or TRANSFER_RESP is refused": all of it is covered by a MAC. */
START_TEST(every_bit_of_an_offer_counts)
{
    struct call *c = call_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "FGHJLNO");
    c->offer.keys = &one_tgk;
    c->offer.n_keys = 1;
    make_init(c);
    for (size_t bit = 0; bit < 8 * c->init_buf.n; bit++) {
        c->init[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(mkt_csb_take_offer(c->r, init_of(c), mikey) != MKT_OK, "bit %zu of octet %zu", bit % 8, bit / 8);
        c->init[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < c->init_buf.n; n++)
        ck_assert_int_eq(mkt_err_class(mkt_csb_take_offer(c->r, (struct mkt_span){c->init, n}, mikey)),
                         MKT_CLASS_MALFORMED);
    ck_assert_uint_eq(c->bob.n_seen, 0);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    call_free(c);
}
END_TEST

START_TEST(every_bit_of_an_answer_counts)
{
    struct call *c = call_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "FGHJLMNO");
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = &one_tgk, .n_keys = 1};
    make_resp(c);
    for (size_t bit = 0; bit < 8 * c->resp_buf.n; bit++) {
        c->resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(mkt_csb_take(c->i, resp_of(c)) != MKT_OK, "bit %zu of octet %zu", bit % 8, bit / 8);
        c->resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < c->resp_buf.n; n++)
        ck_assert_int_eq(mkt_err_class(mkt_csb_take(c->i, (struct mkt_span){c->resp, n})), MKT_CLASS_MALFORMED);
    finish(c);
    expect_same_tek(c, 1, _i == 0 ? 32 : 16);
    call_free(c);
}
END_TEST

START_TEST(a_peer_that_the_host_does_not_want)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->bob.fail = MKT_E_DENIED;
    make_init(c);
    expect_err("Initiator", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_DENIED);
    ck_assert_uint_eq(c->bob.n_seen, 0);
    c->bob.fail = MKT_OK;
    expect_err("Initiator", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    c->alice.fail = MKT_E_DENIED;
    expect_err("Responder", mkt_csb_take(c->i, resp_of(c)), MKT_E_DENIED);
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
    expect_err("one taken out", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_PROTOCOLS);
    expect_err("other order", mkt_csb_take_offer(c->r, init_of(c), text("keyp1;mikey")), MKT_E_PROTOCOLS);
    expect_err("none", mkt_csb_take(c->r, init_of(c)), MKT_E_PROTOCOLS);
    expect_err("the same", mkt_csb_take_offer(c->r, init_of(c), text("mikey;keyp1")), MKT_OK);
    call_free(c);

    c = call_new(MKT_SUITE_256, "FGHJLNO"); /* as it is given, however short */
    c->offer.protocols = text("k");
    make_init(c);
    expect_octets("list", payload_of(init_of(c), MKT_GENERAL_EXT, MKT_EXT_SDP_IDS).general_ext.data, text("k"));
    call_free(c);
}
END_TEST

/* Policies that want an answer, and that want none. */
static const char *const with_f_or_without[] = {"FGHJLNO", "DHJLNO"};

START_TEST(applications)
{
    struct call *c = call_new(MKT_SUITE_256, with_f_or_without[_i / 2]);
    c->policy.application[0] = text("msrp");
    c->policy.application[1] = text("bfcp");
    c->policy.n_applications = 2;
    c->settings_r.application = text(_i % 2 == 0 ? "bfcp" : "rtp");
    make_init(c);
    expect_err("application", mkt_csb_take_offer(c->r, init_of(c), mikey), _i % 2 == 0 ? MKT_OK : MKT_E_APPLICATION);
    call_free(c);
}
END_TEST

START_TEST(tickets_that_an_initiator_cannot_use)
{
    struct call *c = call_new(MKT_SUITE_256, with_f_or_without[_i]);
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

    c = call_new(MKT_SUITE_256, _i == 0 ? "FGHJLO" : "DHJLO");
    make_ticket(c);
    expect_err("N", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_TICKET_TYPE);
    call_free(c);

    c = call_new(MKT_SUITE_256, with_f_or_without[_i]);
    c->settings_i.self = mkt_id_uri("sip:mallory@example.com");
    make_ticket(c);
    expect_err("of another", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_INITIATOR);
    call_free(c);
}
END_TEST

/* ---- RFC 3830 6.1: "An Initiator MUST check for collisions when choosing the ID" ---- */

static struct {
    uint32_t taken[4]; /* that alice has with bob */
    size_t n_taken, asked;
    bool all;
} csb_ids;

static bool has_csb_id(void *user, const struct mkt_id *initiator, const struct mkt_id *responder, uint32_t csb_id)
{
    bool taken = csb_ids.all;
    ck_assert_ptr_nonnull(user);
    expect_octets("Initiator", initiator->data, text("sip:alice@example.com"));
    expect_octets("Responder", responder->data, text("sip:bob@example.com"));
    for (size_t i = 0; i < csb_ids.n_taken; i++)
        taken |= csb_ids.taken[i] == csb_id;
    csb_ids.asked++;
    return taken;
}

START_TEST(a_csb_id_that_the_initiator_has_already)
{
    static const uint8_t drawn[][4] = {{0, 0, 0, 1}, {0xde, 0xad, 0xbe, 0xef}, {0, 0, 0, 1}, {0x12, 0x34, 0x56, 0x78}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    make_ticket(c);
    csb_ids.n_taken = 2;
    csb_ids.taken[0] = 0xdeadbeef;
    csb_ids.taken[1] = 1;
    csb_ids.asked = 0;
    csb_ids.all = false;
    c->alice.host.has_csb_id = has_csb_id;
    c->alice.next_random = 0;
    for (size_t i = 0; i < 4; i++)
        player_random(&c->alice, (struct mkt_span){drawn[i], 4});
    expect_err("TRANSFER_INIT", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
    ck_assert_uint_eq(m.hdr.csb_id, 0x12345678);
    ck_assert_uint_eq(mkt_csb_id(c->i), 0x12345678);
    ck_assert_uint_eq(csb_ids.asked, 4);
    c->bob.host.has_csb_id = has_csb_id; /* the Responder uses that of the Initiator */
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    ck_assert_uint_eq(csb_ids.asked, 4);
    call_free(c);
}
END_TEST

/* The ticket has no J: it may be used once, and a TRANSFER_INIT that was not made has not used it. */
START_TEST(no_csb_id_is_free)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHLNO");
    struct mkt_buf measured = {NULL, 0, 0};
    make_ticket(c);
    csb_ids.n_taken = csb_ids.asked = 0;
    csb_ids.all = true;
    c->alice.host.has_csb_id = has_csb_id;
    expect_err("none", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_RANDOM);
    ck_assert_uint_eq(c->init_buf.n, 0);
    ck_assert_uint_eq(csb_ids.asked, 8); /* a source that gives the same octets again and again is none */
    expect_err("measure", mkt_csb_make_transfer_init(c->i, &c->offer, &measured), MKT_E_RANDOM);
    csb_ids.all = false;
    expect_err("measure", mkt_csb_make_transfer_init(c->i, &c->offer, &measured), MKT_OK);
    expect_err("one", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    call_free(c);
}
END_TEST

/* 12.1 holds for keys that come in a KEMAC too: RANDs grow with them. */
START_TEST(rands_as_long_as_the_longest_key)
{
    const struct mkt_key_wish long_tgk = {.size = sizeof long_tgk, .type = MKT_KEY_TGK, .length = 64},
                              too_long = {.size = sizeof too_long, .type = MKT_KEY_TGK, .length = 300};
    struct call *c = call_new(MKT_SUITE_256, "FHJLMNO");
    c->offer.keys = &long_tgk;
    c->offer.n_keys = 1;
    make_init(c);
    ck_assert_uint_eq(payload_of(init_of(c), MKT_RANDR, MKT_RANDR_I).rand.rand.n, 64);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    c->answer = (struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = &too_long, .n_keys = 1};
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
    expect_err("get", mkt_message_decode(&m, exact(init_of(c))), MKT_OK);
    m.hdr.map = exact(m.hdr.map);
    m.n--;
    for (struct mkt_payload *p = find(&m, MKT_KEMAC, 0); p < m.payload + m.n; p++)
        *p = p[1];
    struct mkt_payload *randi = find(&m, MKT_RANDR, MKT_RANDR_I);
    randi->rand.rand.n = 16;
    struct mkt_cs cs;
    struct mkt_span map = m.hdr.map;
    expect_err("map", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 0, &map), MKT_OK);
    struct mkt_key_data tgk = {0};
    ck_assert(mkt_keys_session(c->ticket->keys, 0, &tgk));
    cs.spi = tgk.kv.spi;
    uint8_t octets[64];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("map", mkt_cs_encode(&cs, MKT_MAP_GENERIC_ID, &buf), MKT_OK);
    m.hdr.map = (struct mkt_span){octets, buf.n};
    reseal(c, &m, &c->init_buf, false);
    expect_err("16 octets for a key of 32", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_RAND);
    call_free(c);
}
END_TEST

/* G without H: an RANDRr of no octets would derive every TEK of the ticket from nothing. */
START_TEST(an_empty_randr)
{
    struct call *c = call_new(MKT_SUITE_256, "FGJLNO");
    struct mkt_message m;
    make_resp(c);
    expect_err("get", mkt_message_decode(&m, exact(resp_of(c))), MKT_OK);
    find(&m, MKT_RANDR, MKT_RANDR_R)->rand.rand.n = 0;
    reseal(c, &m, &c->resp_buf, true);
    expect_err("empty", mkt_csb_take(c->i, resp_of(c)), MKT_E_RAND);
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
    expect_err("get", mkt_message_decode(&m, exact(resp_of(c))), MKT_OK);
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = text("sip:mallory@example.com");
    c->resp_buf.n = 0;
    expect_err("put", mkt_message_encode(&m, &c->resp_buf), MKT_OK);
    c->alice.host.member = never_asked;
    expect_err("wrong MAC", mkt_csb_take(c->i, resp_of(c)), MKT_E_MAC);
    call_free(c);
}
END_TEST

static enum mkt_err a_key_too_long(void *user, const struct mkt_id *id, const struct mkt_policy *policy,
                                   struct mkt_buf *key)
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
    expect_err("TPK", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_KEY_LENGTH);
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
    expect_err("get", mkt_message_decode(&m, exact(init_of(c))), MKT_OK);
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = text(long_id);
    c->init_buf.n = 0;
    expect_err("put", mkt_message_encode(&m, &c->init_buf), MKT_OK);
    expect_err("forged", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_MAC);
    call_free(c);
}
END_TEST

START_TEST(an_initiator_of_another_application)
{
    struct call *c = call_new(MKT_SUITE_256, with_f_or_without[_i]);
    c->policy.application[c->policy.n_applications++] = text("bfcp");
    make_ticket(c);
    expect_err("msrp", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_E_APPLICATION);
    c->policy.application[0] = text("");
    expect_err("an empty one would allow all",
               mkt_ticket_make(&(struct mkt_ticket *){NULL}, &c->alice.host, &c->recipe), MKT_E_ARGUMENT);
    call_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transfer");
    TCase *tcase = tcase_create("call");
    tcase_add_loop_test(tcase, both_ends_have_the_same_tek, 0, 2);
    tcase_add_loop_test(tcase, every_policy_that_needs_no_kms, 0, 256);
    tcase_add_loop_test(tcase, the_time_between_rekeyings, 0, 12);
    tcase_add_test(tcase, identities_are_compared_octet_by_octet);
    tcase_add_test(tcase, supplied_keys_that_the_policy_forbids);
    tcase_add_test(tcase, a_tek_that_the_responder_supplies);
    tcase_add_test(tcase, identities_left_out_are_those_that_the_application_gave);
    tcase_add_test(tcase, a_member_of_a_group_answers);
    tcase_add_loop_test(tcase, every_bit_of_an_offer_counts, 0, 2);
    tcase_add_loop_test(tcase, every_bit_of_an_answer_counts, 0, 2);
    tcase_add_test(tcase, a_peer_that_the_host_does_not_want);
    tcase_add_test(tcase, the_list_of_protocols);
    tcase_add_loop_test(tcase, applications, 0, 4);
    tcase_add_loop_test(tcase, tickets_that_an_initiator_cannot_use, 0, 2);
    tcase_add_test(tcase, a_csb_id_that_the_initiator_has_already);
    tcase_add_test(tcase, no_csb_id_is_free);
    tcase_add_test(tcase, rands_as_long_as_the_longest_key);
    tcase_add_test(tcase, an_empty_randr);
    tcase_add_test(tcase, the_host_is_not_asked_about_an_unverified_answer);
    tcase_add_test(tcase, a_host_that_gives_more_than_there_is_room_for);
    tcase_add_test(tcase, a_forged_identity_of_any_length);
    tcase_add_loop_test(tcase, an_initiator_of_another_application, 0, 2);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
