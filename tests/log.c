/* SPDX-License-Identifier: BSD-3-Clause */
/* What the log is told of a refusal: the error, the message, the CSB ID, and what is at fault. */
#include "parties.h"

#include "protect.h"

#include <stdlib.h>
#include <string.h>

static void expect_event(const struct player *p, enum mkt_err err, int message, bool taken, const char *detail)
{
    expect_err(detail, p->event.err, err);
    ck_assert_str_eq(p->detail, detail);
    ck_assert_int_eq(p->event.message, message);
    ck_assert_int_eq(p->event.taken, taken);
}

/* ---- flags: the one that is missing ---- */

static const struct {
    const char *flags, *detail;
} contradictions[] = {
    {"FGHNO", "D or L"},
    {"GHLNO", "F, as G is set"},
    {"FLNO", "G or H"},
    {"FHILNO", "E, as I is set"},
    {"FHKLNO", "D, as K is set"},
    {"HLMNO", "F, as M is set"},
    {"EHILNO", "F, as I is set and a TGK is in the ticket"},
};

START_TEST(flags_of_a_ticket_to_be_made)
{
    struct call *c = call_new(MKT_SUITE_256, contradictions[_i].flags);
    expect_err("ticket", mkt_ticket_make(&c->ticket, &c->alice.host, &c->recipe), MKT_E_FLAGS);
    expect_event(&c->alice, MKT_E_FLAGS, -1, false, contradictions[_i].detail);
    ck_assert_uint_eq(c->alice.event.csb_id, 0);
    call_free(c);
}
END_TEST

/* The offer with one payload changed, whose MAC nobody has looked at by then. */
static void take_changed(struct call *c, struct mkt_message *m)
{
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("put", mkt_message_encode(m, &out), MKT_OK);
    ck_assert_int_ne(mkt_csb_take_offer(c->r, exact((struct mkt_span){octets, out.n}), mikey), MKT_OK);
}

START_TEST(flags_of_a_ticket_that_came)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
    expect_err("flags", mkt_flags_parse(&find(&m, MKT_TICKET, 0)->ticket.flags, contradictions[_i].flags), MKT_OK);
    take_changed(c, &m);
    expect_event(&c->bob, MKT_E_FLAGS, MKT_TRANSFER_INIT, true, contradictions[_i].detail);
    ck_assert_uint_eq(c->bob.event.csb_id, mkt_csb_id(c->i));
    ck_assert_uint_ne(c->bob.event.csb_id, 0);
    call_free(c);
}
END_TEST

START_TEST(flags_that_a_party_asks_for)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DFGHJLNO");
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    begin(&p->alice, MKT_INITIATOR);
    expect_err("flags", mkt_flags_parse(&p->policy.flags, "DFHMNOI"), MKT_OK);
    expect_err("ask", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_FLAGS);
    expect_event(&p->alice.player, MKT_E_FLAGS, MKT_REQUEST_INIT_PSK, false, "E, as I is set");
    parties_free(p);
}
END_TEST

/* ---- payloads ---- */

START_TEST(a_payload_that_is_missing_or_too_many_or_behind_v)
{
    static const struct {
        unsigned type;
        uint8_t role;
        const char *name;
    } rows[] = {{MKT_T, 0, "T"}, {MKT_RANDR, MKT_RANDR_I, "RANDR"}, {MKT_TICKET, 0, "TICKET"}, {MKT_V, 0, "V"}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message right, m;
    make_init(c);
    expect_err("get", mkt_message_decode(&right, init_of(c)), MKT_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        m = right;
        const size_t at = (size_t)(find(&m, rows[i].type, rows[i].role) - m.payload);
        memmove(&m.payload[at], &m.payload[at + 1], (m.n - at - 1) * sizeof *m.payload);
        m.n--;
        take_changed(c, &m);
        expect_event(&c->bob, MKT_E_MISSING, MKT_TRANSFER_INIT, true, rows[i].name);
        m = right;
        m.payload[m.n++] = m.payload[at];
        take_changed(c, &m);
        expect_event(&c->bob, MKT_E_ORDER, MKT_TRANSFER_INIT, true, rows[i].name);
        if (rows[i].type == MKT_V)
            continue;
        m.payload[m.n - 1] = m.payload[m.n - 2]; /* V last again, behind two of the others */
        m.payload[m.n - 2] = m.payload[at];
        take_changed(c, &m);
        expect_event(&c->bob, MKT_E_TOO_MANY, MKT_TRANSFER_INIT, true, rows[i].name);
    }
    call_free(c);
}
END_TEST

/* Where the octets end, there is the payload at fault. */
START_TEST(a_payload_that_is_cut)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
    for (size_t i = 0; i < m.n; i++) {
        const struct mkt_span octets = m.payload[i].octets, whole = init_of(c);
        const size_t n = (size_t)(octets.p - whole.p) + octets.n - 1;
        ck_assert_int_eq(mkt_csb_take_offer(c->r, exact((struct mkt_span){whole.p, n}), mikey), MKT_E_TRUNCATED);
        expect_event(&c->bob, MKT_E_TRUNCATED, MKT_TRANSFER_INIT, true, mkt_payload_name(m.payload[i].type));
        ck_assert_uint_eq(c->bob.event.csb_id, mkt_csb_id(c->i));
    }
    for (size_t n = 0; n < 10; n++) {
        expect_err("HDR", mkt_csb_take_offer(c->r, exact((struct mkt_span){c->init, n}), mikey), MKT_E_TRUNCATED);
        expect_event(&c->bob, MKT_E_TRUNCATED, n < 2 ? -1 : MKT_TRANSFER_INIT, true, "HDR");
        ck_assert_uint_eq(c->bob.event.csb_id, n < 8 ? 0 : mkt_csb_id(c->i));
    }
    call_free(c);
}
END_TEST

START_TEST(a_payload_that_says_what_is_not_defined)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t octets[4096];
    make_init(c);
    const struct mkt_span whole = init_of(c);
    const size_t t = (size_t)(payload_of(whole, MKT_T, 0).octets.p - whole.p);
    struct mkt_span changed = {octets, whole.n};
    memcpy(octets, whole.p, whole.n);
    octets[t + 1] = 9; /* TS type */
    expect_err("TS type", mkt_csb_take_offer(c->r, changed, mikey), MKT_E_BAD_VALUE);
    expect_event(&c->bob, MKT_E_BAD_VALUE, MKT_TRANSFER_INIT, true, "T");
    octets[t + 1] = whole.p[t + 1];
    octets[t] = 200; /* Next Payload */
    expect_err("type", mkt_csb_take_offer(c->r, changed, mikey), MKT_E_PAYLOAD);
    expect_event(&c->bob, MKT_E_PAYLOAD, MKT_TRANSFER_INIT, true, "type 200");
    octets[t] = whole.p[t];
    octets[0] = 2;
    expect_err("version", mkt_csb_take_offer(c->r, changed, mikey), MKT_E_VERSION);
    expect_event(&c->bob, MKT_E_VERSION, -1, true, "HDR");
    octets[0] = 1;
    /* the first payload of TP Data */
    const struct mkt_span tp = payload_of(whole, MKT_TICKET, 0).ticket.tp_data;
    octets[tp.p - whole.p] = 200;
    expect_err("TP Data", mkt_csb_take_offer(c->r, changed, mikey), MKT_E_PAYLOAD);
    expect_event(&c->bob, MKT_E_PAYLOAD, MKT_TRANSFER_INIT, true, "TICKET");
    call_free(c);
}
END_TEST

START_TEST(more_payloads_than_a_message_has)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t octets[4096];
    struct mkt_message m;
    struct mkt_buf out = {octets, sizeof octets, 0};
    make_init(c);
    expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
    struct mkt_payload *sp = &m.payload[m.n];
    for (; m.n < MKT_MAX_PAYLOADS; m.n++)
        m.payload[m.n] = (struct mkt_payload){.type = MKT_SP, .sp = {.policy_no = 1}};
    expect_err("put", mkt_message_encode(&m, &out), MKT_OK);
    const size_t n = 5; /* octets of such an SP */
    expect_err("get", mkt_message_decode(&m, (struct mkt_span){octets, out.n}), MKT_OK);
    ck_assert_uint_eq(sp->octets.n, n);
    memcpy(octets + out.n, octets + out.n - n, n);
    octets[out.n - n] = MKT_SP;
    char want[32];
    snprintf(want, sizeof want, "payloads over %d", MKT_MAX_PAYLOADS);
    expect_err("one more", mkt_csb_take_offer(c->r, (struct mkt_span){octets, out.n + n}, mikey), MKT_E_TOO_MANY);
    expect_event(&c->bob, MKT_E_TOO_MANY, MKT_TRANSFER_INIT, true, want);
    call_free(c);
}
END_TEST

START_TEST(a_message_of_another_type)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    static const struct {
        uint8_t type;
        const char *name;
    } rows[] = {{MKT_REQUEST_RESP, "REQUEST_RESP"}, {MKT_TRANSFER_RESP, "TRANSFER_RESP"}, {99, "unknown"}};
    uint8_t octets[4096];
    make_init(c);
    memcpy(octets, c->init, c->init_buf.n);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        octets[1] = rows[i].type;
        expect_err(rows[i].name, mkt_csb_take_offer(c->r, (struct mkt_span){octets, c->init_buf.n}, mikey),
                   MKT_E_DATA_TYPE);
        expect_event(&c->bob, MKT_E_DATA_TYPE, rows[i].type, true, rows[i].name);
    }
    call_free(c);
}
END_TEST

/* ---- identities and keys ---- */

/* Any octets may come as an identity: what is not printable is "?", and there is an end. */
START_TEST(an_error_message_that_came)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t octets[2][256];
    struct mkt_buf by_bob = {octets[0], sizeof octets[0], 0}, by_anybody = {octets[1], sizeof octets[1], 0};
    make_init(c);
    expect_err("of anybody", mkt_csb_make_error(c->r, init_of(c), MKT_E_DENIED, NULL, 0, &by_anybody), MKT_OK);
    expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("of Bob", mkt_csb_make_error(c->r, text(""), MKT_E_SP, NULL, 0, &by_bob), MKT_OK);
    expect_err("of anybody", mkt_csb_take(c->i, mkt_buf_span(&by_anybody)), mkt_error_of_number(12));
    expect_event(&c->alice, mkt_error_of_number(12), MKT_ERROR, true, "an Error message that is not authenticated, Error no 12");
    const uint8_t number = mkt_err_number(MKT_E_SP);
    char detail[64];
    snprintf(detail, sizeof detail, "an authenticated Error message, Error no %u", number);
    expect_err("of Bob", mkt_csb_take(c->i, mkt_buf_span(&by_bob)), mkt_error_of_number(number));
    expect_event(&c->alice, mkt_error_of_number(number), MKT_ERROR, true, detail);
    call_free(c);
}
END_TEST

START_TEST(an_identity_is_printed_with_care)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    uint8_t eve[300];
    char want[128] = "IDRi ";
    for (size_t i = 0; i < sizeof eve; i++)
        eve[i] = (uint8_t)(i + 10); /* both ends of what is printable are among those that fit */
    make_init(c);
    expect_err("get", mkt_message_decode(&m, init_of(c)), MKT_OK);
    find(&m, MKT_IDR, MKT_IDR_I)->id.data = (struct mkt_span){eve, sizeof eve};
    take_changed(c, &m);
    for (size_t i = 5; i < sizeof want - 1; i++)
        want[i] = i + 5 >= ' ' && i + 5 <= '~' ? (char)(i + 5) : '?';
    expect_event(&c->bob, MKT_E_INITIATOR, MKT_TRANSFER_INIT, true, want);
    ck_assert_uint_eq(strlen(c->bob.detail), 127);
    find(&m, MKT_IDR, MKT_IDR_I)->id.data = text("sip:eve@example.com\r\nMKT_OK all is well");
    take_changed(c, &m);
    expect_event(&c->bob, MKT_E_INITIATOR, MKT_TRANSFER_INIT, true, "IDRi sip:eve@example.com??MKT_OK all is well");
    call_free(c);
}
END_TEST

START_TEST(identities_that_do_not_fit)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *other = NULL;
    struct mkt_settings s = c->settings_r;
    make_ticket(c);
    s.self = mkt_id_uri("sip:eve@example.com");
    expect_err("new", mkt_csb_new(&other, MKT_INITIATOR, &c->alice.host, &s), MKT_OK);
    expect_err("offer", mkt_csb_make_transfer_init(other, &c->offer, &c->init_buf), MKT_E_INITIATOR);
    expect_event(&c->alice, MKT_E_INITIATOR, MKT_TRANSFER_INIT, false, "IDRi of the ticket sip:alice@example.com");
    mkt_csb_free(other);
    s = c->settings_i;
    s.leave_out_identities = true;
    expect_err("new", mkt_csb_new(&other, MKT_INITIATOR, &c->alice.host, &s), MKT_OK);
    expect_err("offer", mkt_csb_make_transfer_init(other, &c->offer, &c->init_buf), MKT_OK);
    expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_INITIATOR);
    expect_event(&c->bob, MKT_E_INITIATOR, MKT_TRANSFER_INIT, true, "IDRi");
    mkt_csb_free(other);
    c->init_buf.n = 0;
    s = c->settings_r;
    s.self = mkt_id_uri("sip:eve@example.com");
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("new", mkt_csb_new(&other, MKT_RESPONDER, &c->bob.host, &s), MKT_OK);
    expect_err("take", mkt_csb_take_offer(other, init_of(c), mikey), MKT_E_RESPONDER);
    expect_event(&c->bob, MKT_E_RESPONDER, MKT_TRANSFER_INIT, true, "mkt_settings.self sip:eve@example.com");
    mkt_csb_free(other);
    s = c->settings_r;
    s.application = text("bfcp");
    c->policy.application[c->policy.n_applications++] = text("msrp");
    mkt_csb_free(c->i);
    mkt_csb_free(c->r);
    mkt_ticket_free(c->ticket);
    c->init_buf.n = 0;
    make_init(c);
    expect_err("new", mkt_csb_new(&other, MKT_RESPONDER, &c->bob.host, &s), MKT_OK);
    expect_err("take", mkt_csb_take_offer(other, init_of(c), mikey), MKT_E_APPLICATION);
    expect_event(&c->bob, MKT_E_APPLICATION, MKT_TRANSFER_INIT, true, "application bfcp");
    mkt_csb_free(other);
    call_free(c);
}
END_TEST

START_TEST(a_call_to_oneself)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->policy.responder[0] = c->offer.responder = c->settings_r.self = c->settings_i.self;
    c->bob.host.replay = NULL;
    make_init(c);
    expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_OWN_IDENTITY);
    expect_event(&c->bob, MKT_E_OWN_IDENTITY, MKT_TRANSFER_INIT, true, "IDRi sip:alice@example.com");
    call_free(c);
}
END_TEST

START_TEST(an_answer_of_another_one)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_message m;
    make_resp(c);
    expect_err("get", mkt_message_decode(&m, resp_of(c)), MKT_OK);
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = text("sip:eve@example.com");
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    reseal(c, &m, &out, true);
    expect_err("take", mkt_csb_take(c->i, (struct mkt_span){octets, out.n}), MKT_E_RESPONDER);
    expect_event(&c->alice, MKT_E_RESPONDER, MKT_TRANSFER_RESP, true, "IDRr sip:eve@example.com");
    octets[out.n - 1] ^= 1;
    expect_err("take", mkt_csb_take(c->i, (struct mkt_span){octets, out.n}), MKT_E_MAC);
    expect_event(&c->alice, MKT_E_MAC, MKT_TRANSFER_RESP, true, ""); /* the error says all */
    ck_assert_uint_eq(c->alice.event.csb_id, mkt_csb_id(c->i));
    call_free(c);
}
END_TEST

START_TEST(keys_that_are_not_there)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    for (unsigned named = 0; named < 2; named++) {
        c->recipe.tpk_id = mkt_id_bytes(named == 1 ? "tpk-7" : "");
        mkt_csb_free(c->i);
        mkt_csb_free(c->r);
        mkt_ticket_free(c->ticket);
        c->init_buf.n = 0;
        make_init(c);
        c->bob.tpk = text("");
        expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_NO_KEY);
        expect_event(&c->bob, MKT_E_NO_KEY, MKT_TRANSFER_INIT, true,
                     named == 1 ? "IDRpsk of the ticket tpk-7" : "TPK without IDRpsk");
    }
    call_free(c);
}
END_TEST

START_TEST(a_stranger_asks_a_kms)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DFGHJLNO");
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    for (unsigned named = 0; named < 2; named++) {
        p->kms.player.n_friends = 0;
        p->alice.key.name = mkt_id_bytes(named == 1 ? "who" : "");
        begin(&p->alice, MKT_INITIATOR);
        begin(&p->kms, MKT_KMS);
        out.n = 0;
        expect_err("ask", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_OK);
        expect_err("take", mkt_csb_take(p->kms.csb, (struct mkt_span){octets, out.n}), MKT_E_NO_KEY);
        expect_event(&p->kms.player, MKT_E_NO_KEY, MKT_REQUEST_INIT_PSK, true,
                     named == 1 ? "IDRpsk who" : "IDR sip:alice@example.com");
    }
    parties_free(p);
}
END_TEST

/* ---- time ---- */

START_TEST(seconds)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_init(c);
    c->bob.now = ntp(NOW + 517);
    expect_err("old", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_STALE);
    expect_event(&c->bob, MKT_E_STALE, MKT_TRANSFER_INIT, true, "T, seconds off: 517");
    c->bob.now = ntp(NOW - 1000000);
    expect_err("ahead", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_E_FUTURE);
    expect_event(&c->bob, MKT_E_FUTURE, MKT_TRANSFER_INIT, true, "T, seconds off: 1000000");
    c->bob.now = ntp(NOW + 1);
    expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    call_free(c);
}
END_TEST

/* ---- settings and arguments ---- */

START_TEST(settings)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    const struct mkt_settings good = c->settings_r;
    static const char *const detail[] = {
        "mkt_settings.self",        "mkt_settings.max_sessions", "mkt_settings.bundle_size", "mkt_settings.tek_length",
        "mkt_settings.bundle_size", "mkt_settings.bundle_size",  "mkt_settings.size"};
    enum { ROWS = sizeof detail / sizeof *detail };
    struct mkt_settings s[ROWS];
    struct mkt_csb *csb;
    for (size_t i = 0; i < ROWS; i++)
        s[i] = good;
    s[0].self.data.n = 0;
    s[1].max_sessions = 0;
    s[2].bundle_size = 1;
    s[3].tek_length = 15;
    s[4].replay_scope = (struct mkt_span){c->init, SIZE_MAX};
    s[5].application = (struct mkt_span){c->init, s[5].bundle_size};
    s[6].size--;
    for (size_t i = 0; i < ROWS; i++) {
        expect_err(detail[i], mkt_csb_new(&csb, MKT_RESPONDER, &c->bob.host, &s[i]), MKT_E_ARGUMENT);
        expect_event(&c->bob, MKT_E_ARGUMENT, -1, false, detail[i]);
    }
    expect_err("role", mkt_csb_new(&csb, (enum mkt_role)3, &c->bob.host, &good), MKT_E_ARGUMENT);
    expect_event(&c->bob, MKT_E_ARGUMENT, -1, false, "role");
    c->bob.host.replay = NULL;
    expect_err("KMS", mkt_csb_new(&csb, MKT_KMS, &c->bob.host, &good), MKT_E_ARGUMENT);
    expect_event(&c->bob, MKT_E_ARGUMENT, -1, false, "mkt_host.replay");
    call_free(c);
}
END_TEST

START_TEST(arguments)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    struct mkt_request request = {.size = sizeof request};
    struct mkt_offer offer;
    struct mkt_buf *out = &c->init_buf;
    struct mkt_key_wish keys[33];
    for (size_t i = 0; i < 33; i++)
        keys[i] = (struct mkt_key_wish){.size = sizeof *keys, .type = 99};
    make_ticket(c);
    expect_err("no policy", mkt_csb_make_request_init(c->i, &request, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_REQUEST_INIT_PSK, false, "policy");
    request.policy = &c->policy;
    request.no_keys = true;
    request.n_keys = 1;
    request.keys = keys;
    expect_err("no keys", mkt_csb_make_request_init(c->i, &request, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_REQUEST_INIT_PSK, false, "no_keys");
    request.no_keys = false;
    request.size--;
    expect_err("size", mkt_csb_make_request_init(c->i, &request, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_REQUEST_INIT_PSK, false, "size");
    request.size++;
    expect_err("no KMS", mkt_csb_make_request_init(c->i, &request, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_REQUEST_INIT_PSK, false, "mkt_settings.kms");
    offer = c->offer;
    offer.ticket = NULL;
    expect_err("no ticket", mkt_csb_make_transfer_init(c->i, &offer, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_TRANSFER_INIT, false, "ticket");
    offer = c->offer;
    offer.responder.data.n = 0;
    expect_err("nobody", mkt_csb_make_transfer_init(c->i, &offer, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_TRANSFER_INIT, false, "responder");
    offer = c->offer;
    offer.randi = (struct mkt_span){c->resp, 256};
    expect_err("RANDRi", mkt_csb_make_transfer_init(c->i, &offer, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_TRANSFER_INIT, false, "randi");
    offer = c->offer;
    offer.keys = keys;
    offer.n_keys = 1;
    expect_err("key", mkt_csb_make_transfer_init(c->i, &offer, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_TRANSFER_INIT, false, "keys");
    offer.n_keys = 33;
    expect_err("33 keys", mkt_csb_make_transfer_init(c->i, &offer, out), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_TRANSFER_INIT, false, "n_keys");
    offer = c->offer;
    offer.n_sp = 16;
    expect_err("16 SPs", mkt_csb_make_transfer_init(c->i, &offer, out), MKT_E_TOO_MANY);
    expect_event(&c->alice, MKT_E_TOO_MANY, MKT_TRANSFER_INIT, false, "SP");
    struct mkt_buf broken = {c->init, 10, 11}, small = {c->init, 10, 0};
    expect_err("n over cap", mkt_csb_make_transfer_init(c->i, &c->offer, &broken), MKT_E_ARGUMENT);
    expect_event(&c->alice, MKT_E_ARGUMENT, MKT_TRANSFER_INIT, false, "out");
    expect_err("small", mkt_csb_make_transfer_init(c->i, &c->offer, &small), MKT_E_BUFFER);
    expect_event(&c->alice, MKT_E_BUFFER, MKT_TRANSFER_INIT, false, "out");
    expect_err("no error", mkt_csb_make_error(c->r, init_of(c), MKT_OK, NULL, 0, out), MKT_E_ARGUMENT);
    expect_event(&c->bob, MKT_E_ARGUMENT, MKT_ERROR, false, "err");
    const struct mkt_key_wish long_key = {.size = sizeof long_key, .length = 65536};
    const struct {
        const char *detail;
        struct mkt_ticket_recipe recipe;
    } recipes[] = {
        {"policy", {.tpk = tpk}},
        {"tpk", {.policy = &c->policy, .tpk = {c->resp, 65}}},
        {"tpk_id", {.policy = &c->policy, .tpk = tpk, .tpk_id = {.data = {c->resp, 65536}}}},
        {"n_keys", {.policy = &c->policy, .tpk = tpk, .keys = keys, .n_keys = 32}},
        {"keys", {.policy = &c->policy, .tpk = tpk, .keys = &long_key, .n_keys = 1}},
    };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        struct mkt_ticket *ticket;
        struct mkt_ticket_recipe recipe = recipes[i].recipe;
        recipe.size = sizeof recipe;
        expect_err(recipes[i].detail, mkt_ticket_make(&ticket, &c->alice.host, &recipe), MKT_E_ARGUMENT);
        expect_event(&c->alice, MKT_E_ARGUMENT, -1, false, recipes[i].detail);
    }
    call_free(c);
}
END_TEST

/* What is refused and is no message. */
START_TEST(no_message)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf none = {NULL, 0, 0};
    make_resp(c);
    finish(c);
    expect_err("TEK", mkt_csb_tek(c->i, 9, &none), MKT_E_NO_SESSION);
    expect_event(&c->alice, MKT_E_NO_SESSION, -1, false, "");
    ck_assert_uint_eq(c->alice.event.csb_id, mkt_csb_id(c->i));
    call_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_loop_test(tcase, flags_of_a_ticket_to_be_made, 0, sizeof contradictions / sizeof *contradictions);
    tcase_add_loop_test(tcase, flags_of_a_ticket_that_came, 0, sizeof contradictions / sizeof *contradictions - 1);
    tcase_add_test(tcase, flags_that_a_party_asks_for);
    tcase_add_test(tcase, a_payload_that_is_missing_or_too_many_or_behind_v);
    tcase_add_test(tcase, a_payload_that_is_cut);
    tcase_add_test(tcase, a_payload_that_says_what_is_not_defined);
    tcase_add_test(tcase, more_payloads_than_a_message_has);
    tcase_add_test(tcase, a_message_of_another_type);
    tcase_add_test(tcase, an_error_message_that_came);
    tcase_add_test(tcase, an_identity_is_printed_with_care);
    tcase_add_test(tcase, identities_that_do_not_fit);
    tcase_add_test(tcase, a_call_to_oneself);
    tcase_add_test(tcase, an_answer_of_another_one);
    tcase_add_test(tcase, keys_that_are_not_there);
    tcase_add_test(tcase, a_stranger_asks_a_kms);
    tcase_add_test(tcase, seconds);
    tcase_add_test(tcase, settings);
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, no_message);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
