/* SPDX-License-Identifier: BSD-3-Clause */
/* message: header, CS ID map and the chain of payloads; the messages of RFC 4567; what hostile octets can't do. */
#define _DEFAULT_SOURCE /* alarm, sigaction */

#include "vector.h"

#include "message.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mkt_message decoded(const char *name, struct mkt_span in)
{
    struct mkt_message message;
    expect_err(name, mkt_message_decode(&message, in), MKT_OK);
    return message;
}

static enum mkt_err decode(struct mkt_span in)
{
    struct mkt_message message;
    return mkt_message_decode(&message, in);
}

/* What was read is written again unchanged, and measures the same. */
static void expect_written_again(const char *name, const struct mkt_message *message, struct mkt_span in)
{
    uint8_t *p = malloc(in.n);
    struct mkt_buf buf = {p, in.n, 0}, small = {p, in.n - 1, 0}, measured = {NULL, 0, 0};
    expect_err(name, mkt_message_encode(message, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    expect_err(name, mkt_message_encode(message, &buf), MKT_OK);
    expect_octets(name, (struct mkt_span){p, buf.n}, in);
    expect_err(name, mkt_message_encode(message, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, in.n);
    free(p);
}

static struct mkt_span joined(struct mkt_span a, struct mkt_span b)
{
    static uint8_t both[200000];
    ck_assert_uint_le(a.n + b.n, sizeof both);
    memcpy(both, a.p, a.n);
    if (b.n > 0)
        memcpy(both + a.n, b.p, b.n);
    return exact((struct mkt_span){both, a.n + b.n});
}

/* ---- RFC 4567 section 5.1 ---- */

START_TEST(the_messages_of_rfc_4567_are_read_and_written_again)
{
    struct vectors all = vectors_read("rfc4567.txt");
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        const char *name = text_of(s, "name");
        struct mkt_span in = octets_of(s, "octets");
        struct mkt_message m = decoded(name, in);
        ck_assert_uint_eq(m.hdr.data_type, number_of(s, "data_type"));
        expect_written_again(name, &m, in);
        for (size_t n = 0; n < in.n; n++)
            ck_assert_msg(decode(exact((struct mkt_span){in.p, n})) != MKT_OK, "%s: %zu octets are taken", name, n);
        expect_err(name, decode(joined(in, from_hex("00"))), MKT_E_TRAILING);
    }
    ck_assert_uint_eq(all.n, 2);
    vectors_free(&all);
}
END_TEST

START_TEST(the_messages_of_rfc_4567_say_what_the_pictures_of_rfc_3830_say)
{
    struct vectors all = vectors_read("rfc4567.txt");
    struct mkt_span offer_octets = octets_of(&all.section[0], "octets"),
                    answer_octets = octets_of(&all.section[1], "octets");
    struct mkt_message offer = decoded("offer", offer_octets), answer = decoded("answer", answer_octets);
    static const unsigned in_offer[] = {MKT_T, MKT_RAND, MKT_ID, MKT_SP, MKT_KEMAC},
                          in_answer[] = {MKT_T, MKT_ID, MKT_V};
    struct mkt_span rest = offer.hdr.map;
    struct mkt_cs cs;
    ck_assert(offer.hdr.version == 1 && offer.hdr.v == 1 && offer.hdr.prf == 0 && offer.hdr.csb_id == 0xcd177e50);
    ck_assert(offer.hdr.n_cs == 1 && offer.hdr.map_type == MKT_MAP_SRTP_ID);
    expect_err("CS", mkt_cs_next(&cs, MKT_MAP_SRTP_ID, 1, &rest), MKT_OK);
    expect_octets("policy", cs.policies, from_hex("00"));
    expect_octets("SSRC and ROC", cs.session_data, from_hex("0000000000000000"));
    ck_assert_uint_eq(offer.n, 5);
    ck_assert_uint_eq(answer.n, 3);
    for (size_t i = 0; i < 5; i++)
        ck_assert_uint_eq(offer.payload[i].type, in_offer[i]);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(answer.payload[i].type, in_answer[i]);
    ck_assert(offer.payload[0].t.ts_type == MKT_TS_NTP_UTC && offer.payload[0].t.value == 0xc8e350ea00000000);
    expect_octets("RAND", offer.payload[1].rand.rand, from_hex("4a28da979ee21a7651a0d7f19136d98c"));
    ck_assert_uint_eq(offer.payload[2].id.type, MKT_ID_NAI);
    expect_octets("ID", offer.payload[2].id.data, mkt_span_text("donald@duck.com"));
    ck_assert(offer.payload[3].sp.prot_type == MKT_PROT_SRTP && offer.payload[3].sp.params.n == 0);
    ck_assert_uint_eq(offer.payload[4].kemac.encr_alg, MKT_ENCR_AES_CM_128);
    ck_assert_uint_eq(offer.payload[4].kemac.encr_data.n, 36);
    expect_octets("MAC", offer.payload[4].kemac.mac, (struct mkt_span){offer_octets.p + offer_octets.n - 20, 20});
    expect_octets("ID", answer.payload[1].id.data, mkt_span_text("mickey@mouse.com"));
    ck_assert_uint_eq(answer.hdr.csb_id, offer.hdr.csb_id);
    expect_octets("MAC", answer.payload[2].v.mac, (struct mkt_span){answer_octets.p + answer_octets.n - 20, 20});
    vectors_free(&all);
}
END_TEST

/* Whatever a single octet becomes: the message is refused, or means just these octets. */
START_TEST(what_is_read_of_a_changed_message_is_written_again_unchanged)
{
    struct vectors all = vectors_read("rfc4567.txt");
    size_t read = 0, refused = 0;
    for (size_t i = 0; i < all.n; i++) {
        struct mkt_span in = octets_of(&all.section[i], "octets");
        uint8_t *changed = malloc(in.n), *again = malloc(in.n);
        memcpy(changed, in.p, in.n);
        for (size_t at = 0; at < in.n; at++)
            for (unsigned v = 0; v < 256; v++) {
                struct mkt_message m;
                struct mkt_span octets = {changed, in.n};
                changed[at] = (uint8_t)v;
                if (mkt_message_decode(&m, octets) != MKT_OK) {
                    refused++;
                    ck_assert_uint_le(mkt_message_error_offset(octets), in.n);
                    continue;
                }
                struct mkt_buf buf = {again, in.n, 0};
                expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
                expect_octets("again", (struct mkt_span){again, buf.n}, octets);
                read++;
                changed[at] = in.p[at];
            }
        free(changed);
        free(again);
    }
    ck_assert(read > 0 && refused > 0);
    vectors_free(&all);
}
END_TEST

/* ---- RFC 3830 6.1, RFC 6043 6.1: the header ---- */

START_TEST(data_types_are_named_as_the_rfcs_do)
{
    static const char *const names[32] = {
        /* RFC 3830 table 6.1.a */
        [0] = "Pre-shared",
        [1] = "PSK ver msg",
        [2] = "Public key",
        [3] = "PK ver msg",
        [4] = "D-H init",
        [5] = "D-H resp",
        [6] = "Error",
        /* RFC 6043 table 6.1 */
        [11] = "REQUEST_INIT_PSK",
        [12] = "REQUEST_INIT_PK",
        [13] = "REQUEST_RESP",
        [14] = "TRANSFER_INIT",
        [15] = "TRANSFER_RESP",
        [16] = "RESOLVE_INIT_PSK",
        [17] = "RESOLVE_INIT_PK",
        [18] = "RESOLVE_RESP",
    };
    size_t named = 0;
    for (unsigned type = 0; type < 300; type++) {
        const char *name = type < 32 ? names[type] : NULL;
        ck_assert_str_eq(mkt_data_type_name(type), name == NULL ? "unknown" : name);
        named += name != NULL;
    }
    ck_assert_uint_eq(named, 15);
}
END_TEST

static const struct {
    const char *name;
    struct mkt_hdr hdr; /* without map */
    const char *map, *octets;
    enum mkt_err err;
} headers[] = {
    /* version, data type, next payload, V and PRF func, CSB ID, #CS, CS ID map type, CS ID map info */
    {"Empty map",
     {1, 14, 0, 0, 0x01020304, 0, MKT_MAP_EMPTY, {NULL, 0}},
     "-",
     "010e0000"
     "01020304"
     "0001",
     MKT_OK},
    {"V and PRF func",
     {1, 15, 1, 1, 0xfffffffe, 0, MKT_MAP_GENERIC_ID, {NULL, 0}},
     "-",
     "010f0081"
     "fffffffe"
     "0002",
     MKT_OK},
    {"all of PRF func",
     {1, 255, 0, 0x7f, 0, 0, MKT_MAP_SRTP_ID, {NULL, 0}},
     "-",
     "01ff007f"
     "00000000"
     "0000",
     MKT_OK},
    /* RFC 4563 section 5: with an Empty map, #CS tells sessions whose map is conveyed elsewhere */
    {"Empty map, #CS 7",
     {1, 0, 0, 0, 1, 7, MKT_MAP_EMPTY, {NULL, 0}},
     "-",
     "01000000"
     "00000001"
     "0701",
     MKT_OK},
    {"two SRTP streams",
     {1, 0, 0, 0, 1, 2, MKT_MAP_SRTP_ID, {NULL, 0}},
     "00a1a2a3a4b1b2b3b401c1c2c3c4d1d2d3d4",
     "01000000"
     "00000001"
     "0200"
     "00a1a2a3a4b1b2b3b4"
     "01c1c2c3c4d1d2d3d4",
     MKT_OK},
    {"a GENERIC-ID session",
     {1, 14, 0, 1, 1, 1, MKT_MAP_GENERIC_ID, {NULL, 0}},
     "01f1000000"
     "0273"
     "31",
     "010e0001"
     "00000001"
     "0102"
     "01f100000002"
     "7331",
     MKT_OK},
    {"version 0",
     {0, 14, 0, 0, 1, 0, MKT_MAP_EMPTY, {NULL, 0}},
     "-",
     "000e0000"
     "00000001"
     "0001",
     MKT_E_VERSION},
    {"version 2",
     {2, 14, 0, 0, 1, 0, MKT_MAP_EMPTY, {NULL, 0}},
     "-",
     "020e0000"
     "00000001"
     "0001",
     MKT_E_VERSION},
    {"map type 3",
     {1, 14, 0, 0, 1, 0, 3, {NULL, 0}},
     "-",
     "010e0000"
     "00000001"
     "0003",
     MKT_E_BAD_VALUE},
    {"map type 255",
     {1, 14, 0, 0, 1, 1, 255, {NULL, 0}},
     "-",
     "010e0000"
     "00000001"
     "01ff",
     MKT_E_BAD_VALUE},
};

START_TEST(a_header_is_read_and_written)
{
    struct mkt_span in = from_hex(headers[_i].octets);
    struct mkt_message got, want = {.hdr = headers[_i].hdr};
    uint8_t out[64];
    struct mkt_buf buf = {out, sizeof out, 0};
    const char *name = headers[_i].name;
    want.hdr.map = from_hex(headers[_i].map);
    expect_err(name, mkt_message_decode(&got, in), headers[_i].err);
    expect_err(name, mkt_message_encode(&want, &buf), headers[_i].err);
    ck_assert_msg(headers[_i].err == MKT_OK || buf.n == 0, "%s: something was written", name);
    if (headers[_i].err != MKT_OK)
        return;
    expect_octets(name, (struct mkt_span){out, buf.n}, in);
    expect_written_again(name, &got, in);
    ck_assert_uint_eq(got.n, 0);
    ck_assert(got.hdr.version == want.hdr.version && got.hdr.data_type == want.hdr.data_type);
    ck_assert(got.hdr.v == want.hdr.v && got.hdr.prf == want.hdr.prf && got.hdr.csb_id == want.hdr.csb_id);
    ck_assert(got.hdr.n_cs == want.hdr.n_cs && got.hdr.map_type == want.hdr.map_type);
    expect_octets(name, got.hdr.map, want.hdr.map);
    for (size_t n = 0; n < in.n; n++)
        expect_err(name, decode(exact((struct mkt_span){in.p, n})), MKT_E_TRUNCATED);
    if (in.p[2] == MKT_LAST)
        expect_err(name, decode(joined(in, from_hex("00"))), MKT_E_TRAILING);
}
END_TEST

START_TEST(no_octets_are_no_message)
{
    expect_err("NULL", decode((struct mkt_span){NULL, 0}), MKT_E_TRUNCATED);
    expect_err("no octets", decode(from_hex("-")), MKT_E_TRUNCATED);
    ck_assert_uint_eq(mkt_message_error_offset((struct mkt_span){NULL, 0}), 0);
}
END_TEST

START_TEST(a_header_without_encoding_is_refused)
{
    static const struct {
        struct mkt_hdr hdr;
        const char *map;
        enum mkt_err err;
    } rows[] = {
        {{1, 14, 2, 0, 1, 0, MKT_MAP_EMPTY, {NULL, 0}}, "-", MKT_E_LENGTH},                    /* V has 1 bit */
        {{1, 14, 0, 0x80, 1, 0, MKT_MAP_EMPTY, {NULL, 0}}, "-", MKT_E_LENGTH},                 /* PRF func has 7 */
        {{1, 14, 0, 0, 1, 0, MKT_MAP_EMPTY, {NULL, 0}}, "00", MKT_E_LENGTH},                   /* a map that is Empty */
        {{1, 14, 0, 0, 1, 0, MKT_MAP_GENERIC_ID, {NULL, 0}}, "01f100000000", MKT_E_LENGTH},    /* more than #CS */
        {{1, 14, 0, 0, 1, 2, MKT_MAP_GENERIC_ID, {NULL, 0}}, "01f100000000", MKT_E_TRUNCATED}, /* fewer than #CS */
        {{1, 14, 0, 0, 1, 1, MKT_MAP_GENERIC_ID, {NULL, 0}}, "01f1000000", MKT_E_TRUNCATED},   /* half a session */
        {{1, 14, 0, 0, 1, 1, MKT_MAP_SRTP_ID, {NULL, 0}}, "0000000000000000", MKT_E_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_message m = {.hdr = rows[i].hdr};
        uint8_t out[64];
        struct mkt_buf buf = {out, sizeof out, 0};
        m.hdr.map = from_hex(rows[i].map);
        enum mkt_err err = mkt_message_encode(&m, &buf);
        ck_assert_msg(err == rows[i].err && buf.n == 0, "row %zu: %s", i, mkt_err_name(err));
    }
}
END_TEST

START_TEST(there_may_be_255_crypto_sessions_and_no_fewer_than_said)
{
    static const struct {
        uint8_t map_type;
        size_t octets; /* of a session with nothing optional */
    } kinds[] = {{MKT_MAP_SRTP_ID, 9}, {MKT_MAP_GENERIC_ID, 6}};
    for (size_t k = 0; k < 2; k++) {
        static uint8_t map[255 * 9];
        struct mkt_buf buf = {map, sizeof map, 0};
        uint8_t head[] = {1, 14, 0, 0, 0, 0, 0, 1, 255, kinds[k].map_type};
        for (unsigned i = 1; i <= 255; i++) {
            const struct mkt_cs cs = {.cs_id = (uint8_t)i,
                                      .policies = {(const uint8_t *)"p", k == 0 ? 1 : 0},
                                      .session_data = {(const uint8_t *)"12345678", k == 0 ? 8 : 0}};
            expect_err("CS", mkt_cs_encode(&cs, kinds[k].map_type, &buf), MKT_OK);
        }
        ck_assert_uint_eq(buf.n, 255 * kinds[k].octets);
        struct mkt_span in = joined((struct mkt_span){head, sizeof head}, (struct mkt_span){map, buf.n});
        struct mkt_message m = decoded("255", in);
        struct mkt_span rest = m.hdr.map;
        ck_assert_uint_eq(m.hdr.n_cs, 255);
        for (unsigned i = 1; i <= 255; i++) {
            struct mkt_cs cs;
            expect_err("CS", mkt_cs_next(&cs, kinds[k].map_type, (uint8_t)i, &rest), MKT_OK);
            ck_assert_uint_eq(cs.cs_id, i);
        }
        ck_assert_uint_eq(rest.n, 0);
        expect_written_again("255", &m, in);
        expect_err("254", decode(exact((struct mkt_span){in.p, in.n - kinds[k].octets})), MKT_E_TRUNCATED);
    }
}
END_TEST

/* ---- the chain of payloads ---- */

/* A message of `n` ERR payloads. */
static struct mkt_span message_of_errors(size_t n)
{
    static uint8_t octets[10 + 4 * 20000];
    const uint8_t head[] = {1, 6, n > 0 ? MKT_ERR : 0, 0, 0, 0, 0, 1, 0, MKT_MAP_EMPTY};
    ck_assert_uint_le(n, 20000);
    memcpy(octets, head, sizeof head);
    for (size_t i = 0; i < n; i++)
        memcpy(octets + 10 + 4 * i, (const uint8_t[]){i + 1 < n ? MKT_ERR : 0, 12, 0, 0}, 4);
    return exact((struct mkt_span){octets, 10 + 4 * n});
}

START_TEST(a_message_has_up_to_mkt_max_payloads)
{
    for (size_t n = 0; n <= MKT_MAX_PAYLOADS; n++) {
        struct mkt_span in = message_of_errors(n);
        struct mkt_message m = decoded("some", in);
        ck_assert_uint_eq(m.n, n);
        expect_written_again("some", &m, in);
    }
    expect_err("one more", decode(message_of_errors(MKT_MAX_PAYLOADS + 1)), MKT_E_TOO_MANY);
    struct mkt_message m = decoded("most", message_of_errors(MKT_MAX_PAYLOADS));
    struct mkt_buf measured = {NULL, 0, 0};
    m.n = MKT_MAX_PAYLOADS + 1;
    expect_err("put", mkt_message_encode(&m, &measured), MKT_E_ARGUMENT);
    ck_assert_uint_eq(measured.n, 0);
}
END_TEST

START_TEST(a_payload_that_is_added_is_the_last_and_empty)
{
    struct mkt_message m;
    memset(&m, 0xee, sizeof m);
    m.n = 0;
    struct mkt_payload *t = mkt_message_add(&m, MKT_T), *v = mkt_message_add(&m, MKT_V);
    ck_assert(m.n == 2 && t == &m.payload[0] && v == &m.payload[1]);
    ck_assert(t->type == MKT_T && t->t.value == 0 && v->type == MKT_V && v->v.mac.n == 0 && v->v.mac_alg == 0);
}
END_TEST

/*
 * GStreamer 1.22 loops for ever on a payload type that it does not know. SIGALRM ends this program if we do: this
 * program alone, as Check's own handler, in one process with the tests, kills the whole process group.
 */
START_TEST(a_hostile_chain_ends_at_once)
{
    static const uint8_t unknown[] = {18, 19, 22, 23, 24, 25, 26, 112, 255};
    struct sigaction before, plain = {.sa_handler = SIG_DFL};
    ck_assert_int_eq(sigaction(SIGALRM, &plain, &before), 0);
    alarm(20);
    for (size_t n = MKT_MAX_PAYLOADS + 1; n <= 20000; n = n * 3 / 2)
        expect_err("a long chain", decode(message_of_errors(n)), MKT_E_TOO_MANY);
    for (size_t i = 0; i < sizeof unknown; i++) {
        char first[64], second[64];
        snprintf(first, sizeof first, "0106%02x0000000001000100000000", unknown[i]);
        snprintf(second, sizeof second, "01060c00000000010001%02x0c000000000000", unknown[i]);
        expect_err("first", decode(from_hex(first)), MKT_E_PAYLOAD);
        expect_err("second", decode(from_hex(second)), MKT_E_PAYLOAD);
    }
    alarm(0);
    ck_assert_int_eq(sigaction(SIGALRM, &before, NULL), 0);
}
END_TEST

/* SIGN has no Next payload: what comes after it is no payload. */
START_TEST(nothing_follows_a_signature)
{
    struct mkt_message m = decoded("SIGN", from_hex("01020400000000010001"
                                                    "0001aa"));
    ck_assert(m.n == 1 && m.payload[0].type == MKT_SIGN);
    expect_err("ERR after it",
               decode(from_hex("01020400000000010001"
                               "0001aa"
                               "000c0000")),
               MKT_E_TRAILING);
    m.payload[1] = m.payload[0];
    m.n = 2;
    struct mkt_buf measured = {NULL, 0, 0};
    expect_err("put", mkt_message_encode(&m, &measured), MKT_E_ORDER);
    m.payload[0] = (struct mkt_payload){.type = MKT_THDR};
    m.n = 1;
    expect_err("THDR has no number", mkt_message_encode(&m, &measured), MKT_E_PAYLOAD);
    ck_assert_uint_eq(measured.n, 0);
}
END_TEST

/* Every length of every payload says more than there is: as much as it can. */
START_TEST(a_length_that_is_a_lie_is_short)
{
    static const struct {
        unsigned type;
        const char *octets;
    } rows[] = {
        {MKT_KEMAC, "0001ffff"
                    "0000"},
        {MKT_PKE, "003fff"
                  "0000"},
        {MKT_DH, NULL}, /* SPI, below */
        {MKT_SIGN, "0fff"
                   "0000"},
        {MKT_ID, "0001ffff"
                 "00"},
        {MKT_CERT, "0001ffff"
                   "00"},
        {MKT_SP, "000000ffff"
                 "0001ff"},
        {MKT_SP, "0000000003"
                 "01ff00"},
        {MKT_RAND, "00ff"
                   "00"},
        {MKT_IDR, "000101ffff"
                  "00"},
        {MKT_RANDR, "0001ff"
                    "00"},
        {MKT_TP, "00"
                 "00010101000000"
                 "ffff"
                 "00"},
        {MKT_TICKET, "00"
                     "00010101000000"
                     "ffff"
                     "000000000000"},
        {MKT_TICKET, "00"
                     "00010101000000"
                     "0000"
                     "ffff"
                     "00000000"},
        {MKT_TICKET, "00"
                     "00010101000000"
                     "0000"
                     "0000"
                     "ffff"
                     "0000"},
        {MKT_KEY_DATA, "0010ffff"
                       "00000000"},
        {MKT_KEY_DATA, "00100000"
                       "ffff"
                       "0000"},
        {MKT_KEY_DATA, "00010000"
                       "ff"
                       "0000"},
        {MKT_KEY_DATA, "00020000"
                       "ff"
                       "0000"},
        {MKT_KEY_DATA, "00020000"
                       "00"
                       "ff"
                       "00"},
        {MKT_GENERAL_EXT, "0001ffff"
                          "00"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t head[] = {1, 0, (uint8_t)rows[i].type, 0, 0, 0, 0, 1, 0, MKT_MAP_EMPTY}, dh[2 + 96 + 3] = {0, 1};
        dh[2 + 96] = MKT_KV_SPI;
        dh[2 + 96 + 1] = 0xff;
        struct mkt_span payload = rows[i].octets == NULL ? (struct mkt_span){dh, sizeof dh} : from_hex(rows[i].octets);
        enum mkt_err err = decode(joined((struct mkt_span){head, sizeof head}, payload));
        ck_assert_msg(err == MKT_E_TRUNCATED, "row %zu, %s: %s", i, mkt_payload_name(rows[i].type), mkt_err_name(err));
    }
    /* in the map: Session Data Length, SPI Length, #P, #CS */
    expect_err("Session Data",
               decode(from_hex("010e0000000000010102"
                               "01f100"
                               "ffff"
                               "0000")),
               MKT_E_TRUNCATED);
    expect_err("SPI",
               decode(from_hex("010e0000000000010102"
                               "01f100"
                               "0000"
                               "ff"
                               "00")),
               MKT_E_TRUNCATED);
    expect_err("#P",
               decode(from_hex("010e0000000000010102"
                               "01f17f"
                               "0000"
                               "0000")),
               MKT_E_TRUNCATED);
    expect_err("#CS",
               decode(from_hex("010e000000000001ff02"
                               "01f100"
                               "0000"
                               "00")),
               MKT_E_TRUNCATED);
}
END_TEST

/* The field at fault begins there. */
START_TEST(the_error_offset_is_that_of_the_field_that_could_not_be_understood)
{
    static const struct {
        const char *octets;
        size_t offset;
    } rows[] = {
        {"02060c00000000010001"
         "000c0000",
         0},                          /* version */
        {"0106", 2},                  /* Next payload is not there */
        {"010600000000", 4},          /* CSB ID is cut short */
        {"01060000000000010003", 9},  /* CS ID map type 3 */
        {"01060c00000000010001", 10}, /* ERR is not there */
        {"01060500000000010001"
         "00040000000000000000",
         11}, /* TS type 4 */
        {"010e0000000000010102"
         "01f10000",
         13}, /* Session Data Length of the first crypto session */
        {"010e0000000000010202"
         "01f100000000"
         "02f1",
         18}, /* #P of the second */
        {"01060a00000000010001"
         "0000000003"
         "000201",
         17}, /* the value of a policy parameter */
        {"01060600000000010001"
         "0001ffff"
         "00",
         14}, /* the data of an ID that is longer than the message */
        {"01060c00000000010001"
         "000c0000"
         "0000",
         14}, /* octets after the last payload */
        {"01060c00000000010001"
         "120c0000"
         "000000",
         14}, /* a payload of unknown type 18 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_span in = from_hex(rows[i].octets);
        ck_assert(decode(in) != MKT_OK);
        ck_assert_msg(mkt_message_error_offset(in) == rows[i].offset, "row %zu: %zu, not %zu", i,
                      mkt_message_error_offset(in), rows[i].offset);
    }
}
END_TEST

START_TEST(find_gives_the_first_of_a_type_and_role)
{
    /* RANDRi, IDRi, IDRr, IDRr, T */
    struct mkt_message m = decoded("find", from_hex("010e0f00000000010001"
                                                    "0e010161"
                                                    "0e01010001"
                                                    "62"
                                                    "0e02010001"
                                                    "63"
                                                    "0502010001"
                                                    "64"
                                                    "000200000001"));
    ck_assert_ptr_eq(mkt_message_find(&m, MKT_RANDR, MKT_RANDR_I), &m.payload[0]);
    ck_assert_ptr_eq(mkt_message_find(&m, MKT_IDR, MKT_IDR_I), &m.payload[1]);
    ck_assert_ptr_eq(mkt_message_find(&m, MKT_IDR, MKT_IDR_R), &m.payload[2]);
    ck_assert_ptr_eq(mkt_message_find(&m, MKT_T, 0), &m.payload[4]);
    ck_assert_ptr_null(mkt_message_find(&m, MKT_T, 1));
    ck_assert_ptr_null(mkt_message_find(&m, MKT_RANDR, MKT_RANDR_R));
    ck_assert_ptr_null(mkt_message_find(&m, MKT_V, 0));
}
END_TEST

/* ---- how often and where ---- */

static enum mkt_err check(const char *letters)
{
    static const struct mkt_rule rules[] = {
        {MKT_T, 0, 1, 1}, {MKT_IDR, MKT_IDR_I, 0, 2}, {MKT_SP, 0, 0, MKT_ANY}, {MKT_V, 0, 1, 1}};
    struct mkt_message m = {.n = 0};
    for (const char *l = letters; *l != '\0'; l++) {
        static const char known[] = "TirPVS";
        static const unsigned types[] = {MKT_T, MKT_IDR, MKT_IDR, MKT_SP, MKT_V, MKT_SIGN};
        const char *at = strchr(known, *l);
        struct mkt_payload *p = mkt_message_add(&m, at == NULL ? MKT_CERT : types[at - known]);
        if (p->type == MKT_IDR)
            p->id.role = *l == 'i' ? MKT_IDR_I : MKT_IDR_R;
    }
    return mkt_message_check(&m, rules, sizeof rules / sizeof *rules, NULL);
}

START_TEST(rules_say_how_often_a_payload_may_stand_and_v_is_last)
{
    static const struct {
        const char *letters; /* T, IDRi and IDRr, SP as P, V, SIGN as S, CERT as C */
        enum mkt_err err;
    } rows[] = {
        {"TV", MKT_OK},          {"TiiPPPPPPPPV", MKT_OK}, {"PiTiV", MKT_OK},
        {"V", MKT_E_MISSING},    {"T", MKT_E_MISSING},     {"", MKT_E_MISSING},
        {"iiPC", MKT_E_MISSING}, {"TTV", MKT_E_TOO_MANY},  {"TiiiV", MKT_E_TOO_MANY},
        {"VT", MKT_E_ORDER},     {"TVV", MKT_E_ORDER},     {"TVP", MKT_E_ORDER},
        {"TVC", MKT_E_ORDER},    {"TSV", MKT_E_ORDER},     {"TCCCV", MKT_OK},
        {"TrrrrV", MKT_OK}, /* unexpected payloads are ignored */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_err(rows[i].letters, check(rows[i].letters), rows[i].err);
}
END_TEST

START_TEST(a_chain_is_collected_by_its_rules)
{
    static const struct mkt_rule rules[] = {
        {MKT_T, 0, 1, 1}, {MKT_IDR, MKT_IDR_PSK, 0, 1}, {MKT_SP, 0, 0, MKT_ANY}, {MKT_V, 0, 1, 1}};
    static const struct {
        const char *octets; /* begins with a T */
        enum mkt_err err;
    } rows[] = {
        {"090200000001"
         "0000",
         MKT_OK},
        {"0a0200000001"
         "0a01000000"
         "0902000000"
         "0000",
         MKT_OK},
        {"0b0200000001"
         "0900"
         "0000",
         MKT_OK}, /* RAND is not expected */
        {"050200000001"
         "090200000001"
         "0000",
         MKT_E_TOO_MANY},
        {"000200000001", MKT_E_MISSING},
        {"090200000001"
         "0900"
         "0000",
         MKT_E_ORDER},
        {"120200000001"
         "0000",
         MKT_E_PAYLOAD},
        {"090200000001"
         "00",
         MKT_E_TRUNCATED},
    };
    struct mkt_payload found[4];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_err(rows[i].octets, mkt_chain_collect(MKT_T, from_hex(rows[i].octets), rules, 4, found), rows[i].err);
    expect_err("found", mkt_chain_collect(MKT_T, from_hex(rows[1].octets), rules, 4, found), MKT_OK);
    ck_assert(found[0].t.value == 1 && found[1].type == MKT_LAST && found[3].type == MKT_V);
    ck_assert_msg(found[2].sp.policy_no == 1, "the first of a kind is found");
}
END_TEST

/* ---- RFC 6043 5.5: what a MAC covers ---- */

START_TEST(the_mac_covers_all_but_itself_and_initiator_data)
{
    static const char ticket[] = "09"
                                 "00010101000000"
                                 "0001"
                                 "00"
                                 "0002"
                                 "7474",
                      data[] = "0003"
                               "696969",
                      mac[] = "a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4";
    static const struct {
        const char *head;
        bool leaves_out;
    } rows[] = {{"010e11000000000100"
                 "01",
                 true},
                {"010f11000000000100"
                 "01",
                 false}};
    for (size_t i = 0; i < 2; i++) {
        char whole[256], covered[256];
        struct mkt_span part[2];
        snprintf(whole, sizeof whole, "%s%s%s0001%s", rows[i].head, ticket, data, mac);
        snprintf(covered, sizeof covered, "%s%s%s0001", rows[i].head, ticket, rows[i].leaves_out ? "" : data);
        struct mkt_span in = from_hex(whole);
        struct mkt_message m = decoded("covered", in);
        mkt_message_covered(&m, in, part);
        expect_octets("covered", joined(part[0].n > 0 ? part[0] : from_hex("-"), part[1]), from_hex(covered));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message");
    TCase *tcase = tcase_create("message");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_test(tcase, the_messages_of_rfc_4567_are_read_and_written_again);
    tcase_add_test(tcase, the_messages_of_rfc_4567_say_what_the_pictures_of_rfc_3830_say);
    tcase_add_test(tcase, what_is_read_of_a_changed_message_is_written_again_unchanged);
    tcase_add_test(tcase, data_types_are_named_as_the_rfcs_do);
    tcase_add_loop_test(tcase, a_header_is_read_and_written, 0, sizeof headers / sizeof *headers);
    tcase_add_test(tcase, no_octets_are_no_message);
    tcase_add_test(tcase, a_header_without_encoding_is_refused);
    tcase_add_test(tcase, there_may_be_255_crypto_sessions_and_no_fewer_than_said);
    tcase_add_test(tcase, a_message_has_up_to_mkt_max_payloads);
    tcase_add_test(tcase, a_payload_that_is_added_is_the_last_and_empty);
    tcase_add_test(tcase, a_hostile_chain_ends_at_once);
    tcase_add_test(tcase, nothing_follows_a_signature);
    tcase_add_test(tcase, a_length_that_is_a_lie_is_short);
    tcase_add_test(tcase, the_error_offset_is_that_of_the_field_that_could_not_be_understood);
    tcase_add_test(tcase, find_gives_the_first_of_a_type_and_role);
    tcase_add_test(tcase, rules_say_how_often_a_payload_may_stand_and_v_is_last);
    tcase_add_test(tcase, a_chain_is_collected_by_its_rules);
    tcase_add_test(tcase, the_mac_covers_all_but_itself_and_initiator_data);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
