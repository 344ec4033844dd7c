/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * payload: each payload of RFC 3830 section 6 and RFC 6043 section 6 and A.3 as octets written by hand from the
 * pictures of the RFCs. Octets are hex, two digits each; xx*n stands for n of them; blanks are for the eye.
 */
#include "vector.h"

#include <mikeyticket/payload.h>

#include <stdlib.h>
#include <string.h>

static struct mkt_span octets(const char *notation)
{
    static char hex[2 * 70000 + 1];
    size_t n = 0;
    for (const char *at = notation; *at != '\0';) {
        char *end;
        if (*at == ' ') {
            at++;
            continue;
        }
        unsigned long times = at[2] == '*' ? strtoul(at + 3, &end, 10) : 1;
        for (unsigned long i = 0; i < times; i++, n += 2)
            memcpy(hex + n, at, 2);
        at = at[2] == '*' ? end : at + 2;
    }
    hex[n] = '\0';
    return from_hex(hex);
}

#define TEXT(text)                                                                                                     \
    {                                                                                                                  \
        (const uint8_t *)(text), sizeof(text) - 1                                                                      \
    }
#define X8(s) s s s s s s s s
#define D32 X8("dddd")
#define M20 "mmmmmmmmmmmmmmmmmmmm"
#define M32 X8("mmmm")

/* ---- the fields of each type, to compare them ---- */

enum as { U8, U16, U64, SPAN };

static const struct member {
    unsigned type;
    const char *name;
    enum as as;
    size_t at;
} members[] = {
#define MEMBER(type, as, member)                                                                                       \
    {                                                                                                                  \
        type, #member, as, offsetof(struct mkt_payload, member)                                                        \
    }
    MEMBER(MKT_KEMAC, U8, kemac.encr_alg),
    MEMBER(MKT_KEMAC, SPAN, kemac.encr_data),
    MEMBER(MKT_KEMAC, U8, kemac.mac_alg),
    MEMBER(MKT_KEMAC, SPAN, kemac.mac),
    MEMBER(MKT_PKE, U16, pke.c),
    MEMBER(MKT_PKE, SPAN, pke.data),
    MEMBER(MKT_DH, U8, dh.group),
    MEMBER(MKT_DH, SPAN, dh.value),
    MEMBER(MKT_DH, U16, dh.reserved),
    MEMBER(MKT_DH, U16, dh.kv.type),
    MEMBER(MKT_DH, SPAN, dh.kv.spi), /* or dh.kv.from */
    MEMBER(MKT_DH, SPAN, dh.kv.to),
    MEMBER(MKT_SIGN, U16, sign.s_type),
    MEMBER(MKT_SIGN, SPAN, sign.signature),
    MEMBER(MKT_T, U8, t.ts_type),
    MEMBER(MKT_T, U64, t.value),
    MEMBER(MKT_TR, U8, t.role),
    MEMBER(MKT_TR, U8, t.ts_type),
    MEMBER(MKT_TR, U64, t.value),
    MEMBER(MKT_ID, U8, id.type),
    MEMBER(MKT_ID, SPAN, id.data),
    MEMBER(MKT_IDR, U8, id.role),
    MEMBER(MKT_IDR, U8, id.type),
    MEMBER(MKT_IDR, SPAN, id.data),
    MEMBER(MKT_CERT, U8, cert.type),
    MEMBER(MKT_CERT, SPAN, cert.data),
    MEMBER(MKT_CHASH, U8, chash.func),
    MEMBER(MKT_CHASH, SPAN, chash.hash),
    MEMBER(MKT_V, U8, v.mac_alg),
    MEMBER(MKT_V, SPAN, v.mac),
    MEMBER(MKT_SP, U8, sp.policy_no),
    MEMBER(MKT_SP, U8, sp.prot_type),
    MEMBER(MKT_SP, SPAN, sp.params),
    MEMBER(MKT_RAND, SPAN, rand.rand),
    MEMBER(MKT_RANDR, U8, rand.role),
    MEMBER(MKT_RANDR, SPAN, rand.rand),
    MEMBER(MKT_ERR, U8, error.number),
    MEMBER(MKT_ERR, U16, error.reserved),
    MEMBER(MKT_TP, U16, ticket.type),
    MEMBER(MKT_TP, U8, ticket.subtype),
    MEMBER(MKT_TP, U8, ticket.version),
    MEMBER(MKT_TP, U16, ticket.prf),
    MEMBER(MKT_TP, U16, ticket.flags),
    MEMBER(MKT_TP, U16, ticket.reserved),
    MEMBER(MKT_TP, SPAN, ticket.tp_data),
    MEMBER(MKT_TICKET, U16, ticket.type),
    MEMBER(MKT_TICKET, U8, ticket.subtype),
    MEMBER(MKT_TICKET, U8, ticket.version),
    MEMBER(MKT_TICKET, U16, ticket.prf),
    MEMBER(MKT_TICKET, U16, ticket.flags),
    MEMBER(MKT_TICKET, U16, ticket.reserved),
    MEMBER(MKT_TICKET, SPAN, ticket.tp_data),
    MEMBER(MKT_TICKET, SPAN, ticket.ticket_data),
    MEMBER(MKT_TICKET, SPAN, ticket.initiator_data),
    MEMBER(MKT_THDR, SPAN, thdr.data),
    MEMBER(MKT_KEY_DATA, U16, key_data.type),
    MEMBER(MKT_KEY_DATA, SPAN, key_data.key),
    MEMBER(MKT_KEY_DATA, SPAN, key_data.salt),
    MEMBER(MKT_KEY_DATA, U16, key_data.kv.type),
    MEMBER(MKT_KEY_DATA, SPAN, key_data.kv.spi), /* or key_data.kv.from */
    MEMBER(MKT_KEY_DATA, SPAN, key_data.kv.to),
    MEMBER(MKT_GENERAL_EXT, U8, general_ext.type),
    MEMBER(MKT_GENERAL_EXT, SPAN, general_ext.data),
#undef MEMBER
};

static uint64_t number_at(const struct member *m, const struct mkt_payload *p)
{
    const uint8_t *at = (const uint8_t *)p + m->at;
    uint16_t u16 = 0;
    uint64_t u64 = 0;
    memcpy(&u16, at, sizeof u16);
    if (m->as == U64)
        memcpy(&u64, at, sizeof u64);
    return m->as == U8 ? *at : m->as == U16 ? u16 : u64;
}

/* The same fields; spans that were read are views of `in`. */
static void expect_fields(const char *name, const struct mkt_payload *got, const struct mkt_payload *want,
                          struct mkt_span in)
{
    size_t compared = 0;
    ck_assert_msg(got->type == want->type, "%s: type %u", name, got->type);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const struct member *m = &members[i];
        struct mkt_span a, b;
        if (m->type != got->type)
            continue;
        compared++;
        if (m->as != SPAN) {
            ck_assert_msg(number_at(m, got) == number_at(m, want), "%s: %s differs", name, m->name);
            continue;
        }
        memcpy(&a, (const uint8_t *)got + m->at, sizeof a);
        memcpy(&b, (const uint8_t *)want + m->at, sizeof b);
        expect_octets(m->name, a, b);
        ck_assert_msg(a.n == 0 || (a.p >= in.p && a.p + a.n <= in.p + in.n), "%s: %s is no view", name, m->name);
    }
    ck_assert_msg(compared > 0, "%s: no field to compare", name);
}

/* ---- examples: one payload each, the last of its chain ---- */

static const struct example {
    const char *name;
    struct mkt_payload p;
    const char *octets;
} examples[] = {
    /* RFC 3830 6.2: Next payload, Encr alg, Encr data len, Encr data, Mac alg, MAC */
    {"KEMAC, NULL and NULL", {.type = MKT_KEMAC, .kemac = {0, TEXT(""), 0, TEXT("")}}, "00 00 0000 00"},
    {"KEMAC of suite 128",
     {.type = MKT_KEMAC, .kemac = {1, TEXT("abcd"), 1, TEXT(M20)}},
     "00 01 0004 61626364 01 6d*20"},
    {"KEMAC, AES-KW-128", {.type = MKT_KEMAC, .kemac = {2, TEXT("ab"), 0, TEXT("")}}, "00 02 0002 6162 00"},
    {"KEMAC of suite 256", {.type = MKT_KEMAC, .kemac = {3, TEXT("a"), 2, TEXT(M32)}}, "00 03 0001 61 02 6d*32"},

    /* 6.3: Next payload, C in 2 bits, Data len in 14 bits, Data */
    {"PKE, no cache", {.type = MKT_PKE, .pke = {0, TEXT("abc")}}, "00 0003 616263"},
    {"PKE, cache", {.type = MKT_PKE, .pke = {1, TEXT("a")}}, "00 4001 61"},
    {"PKE, cache for CSB", {.type = MKT_PKE, .pke = {2, TEXT("")}}, "00 8000"},

    /* 6.4: Next payload, DH-Group, DH-value, Reserv and KV in 4 bits each, KV data as in 6.14 */
    {"DH, OAKLEY 5", {.type = MKT_DH, .dh = {0, TEXT(D32 D32 D32 D32 D32 D32), 0, {.type = 0}}}, "00 00 64*192 00"},
    {"DH, OAKLEY 1 and SPI",
     {.type = MKT_DH, .dh = {1, TEXT(D32 D32 D32), 0, {.type = 1, .spi = TEXT("spi")}}},
     "00 01 64*96 01 03 737069"},
    {"DH, OAKLEY 2 and interval",
     {.type = MKT_DH, .dh = {2, TEXT(D32 D32 D32 D32), 0xa, {.type = 2, .from = TEXT("fr"), .to = TEXT("til")}}},
     "00 02 64*128 a2 02 6672 03 74696c"},

    /* 6.5: S type in 4 bits, Signature len in 12 bits, Signature; no Next payload */
    {"SIGN, PKCS #1", {.type = MKT_SIGN, .sign = {0, TEXT("sig")}}, "0003 736967"},
    {"SIGN, PSS", {.type = MKT_SIGN, .sign = {1, TEXT("")}}, "1000"},

    /* 6.6, RFC 6043 6.3: Next payload, TS type, TS value */
    {"T, NTP-UTC", {.type = MKT_T, .t = {0, 0, 0x0102030405060708}}, "00 00 0102030405060708"},
    {"T, NTP", {.type = MKT_T, .t = {0, 1, 0xfffefdfcfbfaf9f8}}, "00 01 fffefdfcfbfaf9f8"},
    {"T, COUNTER", {.type = MKT_T, .t = {0, 2, 0x01020304}}, "00 02 01020304"},
    {"T, NTP-UTC-32", {.type = MKT_T, .t = {0, 3, 0xf0e0d0c0}}, "00 03 f0e0d0c0"},

    /* RFC 6043 6.4: Next payload, TS role, TS type, TS value */
    {"TRi", {.type = MKT_TR, .t = {1, 0, 0x0102030405060708}}, "00 01 00 0102030405060708"},
    {"TRs", {.type = MKT_TR, .t = {2, 3, 0x01020304}}, "00 02 03 01020304"},
    {"TRe", {.type = MKT_TR, .t = {3, 3, 0xfffffffe}}, "00 03 03 fffffffe"},
    {"TRr", {.type = MKT_TR, .t = {4, 2, 3600}}, "00 04 02 00000e10"},

    /* 6.7, RFC 6043 6.5: Next payload, ID Type, ID len, ID Data */
    {"ID, NAI", {.type = MKT_ID, .id = {0, 0, TEXT("a@b")}}, "00 00 0003 614062"},
    {"ID, URI", {.type = MKT_ID, .id = {0, 1, TEXT("sip:a")}}, "00 01 0005 7369703a61"},
    {"ID, byte string", {.type = MKT_ID, .id = {0, 2, TEXT("")}}, "00 02 0000"},

    /* RFC 6043 6.6: Next payload, ID Role, ID Type, ID len, ID Data */
    {"IDRi", {.type = MKT_IDR, .id = {1, 0, TEXT("i")}}, "00 01 00 0001 69"},
    {"IDRr", {.type = MKT_IDR, .id = {2, 1, TEXT("r")}}, "00 02 01 0001 72"},
    {"IDRkms", {.type = MKT_IDR, .id = {3, 1, TEXT("kms")}}, "00 03 01 0003 6b6d73"},
    {"IDRpsk", {.type = MKT_IDR, .id = {4, 2, TEXT("psk")}}, "00 04 02 0003 70736b"},
    {"IDRapp", {.type = MKT_IDR, .id = {5, 2, TEXT("")}}, "00 05 02 0000"},

    /* 6.7: Next payload, Cert Type, Cert len, Certificate Data */
    {"CERT, X.509v3", {.type = MKT_CERT, .cert = {0, TEXT("der")}}, "00 00 0003 646572"},
    {"CERT, URL", {.type = MKT_CERT, .cert = {1, TEXT("u:")}}, "00 01 0002 753a"},
    {"CERT, sign", {.type = MKT_CERT, .cert = {2, TEXT("s")}}, "00 02 0001 73"},
    {"CERT, encr", {.type = MKT_CERT, .cert = {3, TEXT("")}}, "00 03 0000"},

    /* 6.8, RFC 6043 6.7: Next payload, Hash func, Hash */
    {"CHASH, SHA-1", {.type = MKT_CHASH, .chash = {0, TEXT(M20)}}, "00 00 6d*20"},
    {"CHASH, MD5", {.type = MKT_CHASH, .chash = {1, TEXT("mmmmmmmmmmmmmmmm")}}, "00 01 6d*16"},
    {"CHASH, SHA-256", {.type = MKT_CHASH, .chash = {2, TEXT(M32)}}, "00 02 6d*32"},

    /* 6.9: Next payload, Auth alg, Ver data */
    {"V, NULL", {.type = MKT_V, .v = {0, TEXT("")}}, "00 00"},
    {"V, HMAC-SHA-1-160", {.type = MKT_V, .v = {1, TEXT(M20)}}, "00 01 6d*20"},
    {"V, HMAC-SHA-256-256", {.type = MKT_V, .v = {2, TEXT(M32)}}, "00 02 6d*32"},

    /* 6.10: Next payload, Policy no, Prot type, Policy param length, Policy param: Type, Length, Value */
    {"SP without parameters", {.type = MKT_SP, .sp = {7, 241, TEXT("")}}, "00 07 f1 0000"},
    {"SP with parameters",
     {.type = MKT_SP,
      .sp = {0, 0,
             TEXT("\x00\x01\x01"
                  "\x0b\x00"
                  "\x01\x02\x00\x10")}},
     "00 00 00 0009  00 01 01  0b 00  01 02 0010"},

    /* 6.11: Next payload, RAND len, RAND */
    {"RAND", {.type = MKT_RAND, .rand = {0, TEXT("dddddddddddddddd")}}, "00 10 64*16"},
    {"RAND, empty", {.type = MKT_RAND, .rand = {0, TEXT("")}}, "00 00"},

    /* RFC 6043 6.8: Next payload, RAND Role, RAND length, RAND */
    {"RANDRi", {.type = MKT_RANDR, .rand = {1, TEXT("i")}}, "00 01 01 69"},
    {"RANDRr", {.type = MKT_RANDR, .rand = {2, TEXT("rr")}}, "00 02 02 7272"},
    {"RANDRkms",
     {.type = MKT_RANDR, .rand = {3, TEXT(D32 D32 D32 D32 D32 D32 D32 X8("ddd") "ddddddd")}},
     "00 03 ff 64*255"},

    /* 6.12: Next payload, Error no, Reserved */
    {"ERR", {.type = MKT_ERR, .error = {14, 0}}, "00 0e 0000"},
    {"ERR, reserved", {.type = MKT_ERR, .error = {12, 0xabcd}}, "00 0c abcd"},

    /* RFC 6043 6.10: Next payload, Ticket Type, Subtype, Version, PRF Func in 7 bits, D to O, Res in 5 bits, TP Data */
    {"TP",
     {.type = MKT_TP, .ticket = {1, 1, 1, 1, MKT_FLAG_D | MKT_FLAG_O, 0, TEXT("abc"), {NULL, 0}, {NULL, 0}}},
     "00 0001 01 01 03 0020 0003 616263"},
    {"TP, all bits",
     {.type = MKT_TP, .ticket = {0xfffe, 2, 3, 0x7f, 0xfff, 0x1f, TEXT(""), {NULL, 0}, {NULL, 0}}},
     "00 fffe 02 03 ff ffff 0000"},
    /* then Ticket Data length, Ticket Data, Initiator Data length, Initiator Data */
    {"TICKET",
     {.type = MKT_TICKET,
      .ticket = {1, 1, 1, 0, MKT_FLAG_D | MKT_FLAG_F | MKT_FLAG_G | MKT_FLAG_H | MKT_FLAG_J | MKT_FLAG_N | MKT_FLAG_O,
                 0x15, TEXT("t"), TEXT("ticket"), TEXT("in")}},
     "00 0001 01 01 01 7475 0001 74 0006 7469636b6574 0002 696e"},
    {"TICKET, empty",
     {.type = MKT_TICKET, .ticket = {2, 0, 0, 0, 0, 0, TEXT(""), TEXT(""), TEXT("")}},
     "00 0002 00 00 00 0000 0000 0000 0000"},

    /* RFC 6043 A.3: Next Payload, THDR Data length, THDR Data */
    {"THDR", {.type = MKT_THDR, .thdr = {TEXT("any")}}, "00 0003 616e79"},
    {"THDR, empty", {.type = MKT_THDR, .thdr = {TEXT("")}}, "00 0000"},

    /* 6.13, RFC 6043 6.2.1: Next payload, Type and KV in 4 bits each, Key data, with +SALT the salt, KV data (6.14) */
    {"TGK", {.type = MKT_KEY_DATA, .key_data = {0, TEXT("key"), {NULL, 0}, {.type = 0}}}, "00 00 0003 6b6579"},
    {"TGK+SALT, SPI",
     {.type = MKT_KEY_DATA, .key_data = {1, TEXT("key"), TEXT("salt"), {.type = 1, .spi = TEXT("spi")}}},
     "00 11 0003 6b6579 0004 73616c74 03 737069"},
    {"TEK, interval",
     {.type = MKT_KEY_DATA, .key_data = {2, TEXT("k"), {NULL, 0}, {.type = 2, .from = TEXT("a"), .to = TEXT("zz")}}},
     "00 22 0001 6b 01 61 02 7a7a"},
    {"TEK+SALT", {.type = MKT_KEY_DATA, .key_data = {3, TEXT("k"), TEXT(""), {.type = 0}}}, "00 30 0001 6b 0000"},
    {"GTGK, empty SPI",
     {.type = MKT_KEY_DATA, .key_data = {4, TEXT("k"), {NULL, 0}, {.type = 1, .spi = TEXT("")}}},
     "00 41 0001 6b 00"},
    {"GTGK+SALT, empty interval",
     {.type = MKT_KEY_DATA, .key_data = {5, TEXT(""), TEXT("s"), {.type = 2, .from = TEXT(""), .to = TEXT("")}}},
     "00 52 0000 0001 73 00 00"},
    {"MPK, SPI",
     {.type = MKT_KEY_DATA, .key_data = {6, TEXT("mpk"), {NULL, 0}, {.type = 1, .spi = TEXT("s")}}},
     "00 61 0003 6d706b 01 73"},

    /* 6.15: Next payload, Type, Length, Data */
    {"Vendor ID", {.type = MKT_GENERAL_EXT, .general_ext = {0, TEXT("me")}}, "00 00 0002 6d65"},
    {"SDP IDs", {.type = MKT_GENERAL_EXT, .general_ext = {1, TEXT("mikey")}}, "00 01 0005 6d696b6579"},
};

enum { N = sizeof examples / sizeof *examples };

START_TEST(decodes_to_its_fields)
{
    const struct example *e = &examples[_i];
    struct mkt_span in = octets(e->octets), rest = in;
    struct mkt_payload got;
    uint16_t type = e->p.type;
    expect_err(e->name, mkt_payload_decode(&got, &type, &rest), MKT_OK);
    ck_assert_msg(type == MKT_LAST && rest.n == 0, "%s: nothing follows", e->name);
    expect_fields(e->name, &got, &e->p, in);
    ck_assert_msg(got.octets.p == in.p && got.octets.n == in.n, "%s: octets is not all of it", e->name);
}
END_TEST

START_TEST(encodes_to_the_same_octets)
{
    const struct example *e = &examples[_i];
    struct mkt_span want = octets(e->octets);
    uint8_t *p = malloc(want.n);
    struct mkt_buf buf = {p, want.n, 0}, small = {p, want.n - 1, 0}, measured = {NULL, 0, 0};
    expect_err(e->name, mkt_payloads_encode(&e->p, 1, &buf), MKT_OK);
    expect_octets(e->name, (struct mkt_span){p, buf.n}, want);
    expect_err(e->name, mkt_payloads_encode(&e->p, 1, &measured), MKT_OK);
    ck_assert_msg(measured.n == want.n, "%s measures %zu, not %zu", e->name, measured.n, want.n);
    expect_err(e->name, mkt_payloads_encode(&e->p, 1, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    free(p);
}
END_TEST

/* "after an error, there are none" */
static void nothing_left(const char *name, struct mkt_span rest)
{
    if (rest.p != NULL || rest.n != 0)
        ck_abort_msg("%s: %zu octets are left after an error", name, rest.n);
}

START_TEST(every_truncation_is_short)
{
    const struct example *e = &examples[_i];
    struct mkt_span in = octets(e->octets);
    for (size_t n = 0; n < in.n; n++) {
        struct mkt_span rest = exact((struct mkt_span){in.p, n});
        struct mkt_payload got;
        uint16_t type = e->p.type;
        expect_err(e->name, mkt_payload_decode(&got, &type, &rest), MKT_E_TRUNCATED);
        nothing_left(e->name, rest);
    }
}
END_TEST

START_TEST(one_octet_more_is_trailing)
{
    const struct example *e = &examples[_i];
    struct mkt_span in = octets(e->octets);
    uint8_t *p = calloc(1, in.n + 1);
    struct mkt_span rest = {p, in.n + 1};
    struct mkt_payload got;
    uint16_t type = e->p.type;
    memcpy(p, in.p, in.n);
    expect_err(e->name, mkt_payload_decode(&got, &type, &rest), MKT_E_TRAILING);
    nothing_left(e->name, rest);
    free(p);
}
END_TEST

/* All but SIGN say in their first octet what follows. */
START_TEST(next_payload_says_what_follows)
{
    static const struct mkt_payload err = {.type = MKT_ERR, .error = {12, 0}};
    const struct example *e = &examples[_i];
    struct mkt_span in = octets(e->octets), err_octets = octets("00 0c 0000"), rest;
    struct mkt_payload got;
    const struct mkt_payload two[] = {e->p, err};
    uint8_t out[512];
    struct mkt_buf buf = {out, sizeof out, 0};
    uint16_t type = e->p.type;
    if (type == MKT_SIGN) {
        expect_err(e->name, mkt_payloads_encode(two, 2, &buf), MKT_E_ORDER);
        ck_assert_uint_eq(buf.n, 0);
        return;
    }
    expect_err(e->name, mkt_payloads_encode(two, 2, &buf), MKT_OK);
    rest = exact((struct mkt_span){out, buf.n});
    ck_assert_msg(rest.p[0] == 12, "%s: Next payload is not ERR", e->name);
    expect_octets(e->name, (struct mkt_span){rest.p + 1, in.n - 1}, (struct mkt_span){in.p + 1, in.n - 1});
    expect_octets(e->name, (struct mkt_span){rest.p + in.n, rest.n - in.n}, err_octets);

    expect_err(e->name, mkt_payload_decode(&got, &type, &rest), MKT_OK);
    ck_assert_msg(type == MKT_ERR && got.octets.n == in.n, "%s: ERR does not follow", e->name);
    expect_octets("rest", rest, err_octets);
    expect_err("ERR", mkt_payload_decode(&got, &type, &rest), MKT_OK);
    ck_assert(type == MKT_LAST && rest.n == 0);
}
END_TEST

START_TEST(every_type_has_an_example)
{
    for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
        bool found = false;
        for (size_t i = 0; i < N; i++)
            found |= examples[i].p.type == members[m].type;
        ck_assert_msg(found, "%s", members[m].name);
    }
}
END_TEST

/* RFC 6043 6.10: D E F G H I J K L M N O, D the last bit of the octet of PRF Func */
START_TEST(each_flag_has_its_bit)
{
    static const struct {
        enum mkt_flag flag;
        const char *octets;
    } rows[] = {
        {MKT_FLAG_D, "01 0000"}, {MKT_FLAG_E, "00 8000"}, {MKT_FLAG_F, "00 4000"}, {MKT_FLAG_G, "00 2000"},
        {MKT_FLAG_H, "00 1000"}, {MKT_FLAG_I, "00 0800"}, {MKT_FLAG_J, "00 0400"}, {MKT_FLAG_K, "00 0200"},
        {MKT_FLAG_L, "00 0100"}, {MKT_FLAG_M, "00 0080"}, {MKT_FLAG_N, "00 0040"}, {MKT_FLAG_O, "00 0020"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct mkt_payload tp = {.type = MKT_TP, .ticket = {.flags = (uint16_t)rows[i].flag}};
        uint8_t out[10];
        struct mkt_buf buf = {out, sizeof out, 0};
        expect_err("TP", mkt_payloads_encode(&tp, 1, &buf), MKT_OK);
        expect_octets("flags", (struct mkt_span){out + 5, 3}, octets(rows[i].octets));
    }
}
END_TEST

/* ---- what can't be decoded ---- */

START_TEST(what_is_not_defined_is_refused_on_reading)
{
    static const struct {
        unsigned type;
        const char *octets;
        enum mkt_err err;
    } rows[] = {
        {18, "00 00*16", MKT_E_PAYLOAD},
        {19, "00 00*16", MKT_E_PAYLOAD},
        {22, "00 00*16", MKT_E_PAYLOAD}, /* IBAKE, which is not ours */
        {255, "00 00*16", MKT_E_PAYLOAD},
        {257, "00 00*16", MKT_E_PAYLOAD},
        {MKT_KEMAC, "00 01 0000 03 00*64", MKT_E_MAC_ALG},
        {MKT_KEMAC, "00 01 0000 ff 00*64", MKT_E_MAC_ALG},
        {MKT_V, "00 03 00*64", MKT_E_MAC_ALG},
        {MKT_CHASH, "00 03 00*64", MKT_E_HASH},
        {MKT_CHASH, "00 ff 00*64", MKT_E_HASH},
        {MKT_DH, "00 03 00*200", MKT_E_DH_GROUP},
        {MKT_DH, "00 ff 00*200", MKT_E_DH_GROUP},
        {MKT_DH, "00 01 00*96 03 00*9", MKT_E_BAD_VALUE},
        {MKT_T, "00 04 00*8", MKT_E_BAD_VALUE},
        {MKT_TR, "00 01 ff 00*8", MKT_E_BAD_VALUE},
        {MKT_KEY_DATA, "00 70 0001 6b", MKT_E_BAD_VALUE},
        {MKT_KEY_DATA, "00 f0 0001 6b", MKT_E_BAD_VALUE},
        {MKT_KEY_DATA, "00 03 0001 6b 00 00", MKT_E_BAD_VALUE},
        {MKT_KEY_DATA, "00 0f 0001 6b 00 00", MKT_E_BAD_VALUE},
        {MKT_SP, "00 00 00 0001 00", MKT_E_TRUNCATED},          /* a parameter without length */
        {MKT_SP, "00 00 00 0003 00 02 01", MKT_E_TRUNCATED},    /* a value longer than the list */
        {MKT_SP, "00 00 00 0004 00 01 01 00", MKT_E_TRUNCATED}, /* half a parameter after a whole one */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_span rest = octets(rows[i].octets);
        uint16_t type = (uint16_t)rows[i].type;
        struct mkt_payload got;
        enum mkt_err err = mkt_payload_decode(&got, &type, &rest);
        ck_assert_msg(err == rows[i].err, "row %zu: %s, not %s", i, mkt_err_name(err), mkt_err_name(rows[i].err));
    }
}
END_TEST

/* What a sender may say and a codec need not understand, as its layout is known. */
START_TEST(values_that_do_not_change_the_layout_are_read_and_written)
{
    static const struct {
        unsigned type;
        const char *octets;
    } rows[] = {
        {MKT_KEMAC, "00 ff 0001 61 00"}, {MKT_PKE, "00 c001 61"},         {MKT_SIGN, "f001 61"},
        {MKT_ID, "00 ff 0001 61"},       {MKT_IDR, "00 ff ff 0001 61"},   {MKT_CERT, "00 ff 0000"},
        {MKT_RANDR, "00 ff 00"},         {MKT_TR, "00 ff 02 00000001"},   {MKT_GENERAL_EXT, "00 ff 0001 61"},
        {MKT_ERR, "00 ff 0000"},         {MKT_SP, "00 ff ff 0002 ff 00"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_span in = octets(rows[i].octets), rest = in;
        uint16_t type = (uint16_t)rows[i].type;
        struct mkt_payload got;
        uint8_t out[32];
        struct mkt_buf buf = {out, sizeof out, 0};
        expect_err("get", mkt_payload_decode(&got, &type, &rest), MKT_OK);
        expect_err("put", mkt_payloads_encode(&got, 1, &buf), MKT_OK);
        expect_octets(mkt_payload_name(rows[i].type), (struct mkt_span){out, buf.n}, in);
    }
}
END_TEST

/* ---- what can't be encoded ---- */

static const uint8_t many[65536];

#define MANY(n)                                                                                                        \
    {                                                                                                                  \
        many, n                                                                                                        \
    }

START_TEST(what_has_no_place_on_the_wire_is_refused_on_writing)
{
    static const struct {
        struct mkt_payload p;
        enum mkt_err err;
    } rows[] = {
        {{.type = MKT_KEMAC, .kemac = {1, MANY(65535), 0, MANY(0)}}, MKT_OK},
        {{.type = MKT_KEMAC, .kemac = {1, MANY(65536), 0, MANY(0)}}, MKT_E_LENGTH},
        {{.type = MKT_KEMAC, .kemac = {1, MANY(0), 0, MANY(1)}}, MKT_E_LENGTH},
        {{.type = MKT_KEMAC, .kemac = {1, MANY(0), 1, MANY(19)}}, MKT_E_LENGTH},
        {{.type = MKT_KEMAC, .kemac = {1, MANY(0), 2, MANY(20)}}, MKT_E_LENGTH},
        {{.type = MKT_KEMAC, .kemac = {1, MANY(0), 3, MANY(0)}}, MKT_E_MAC_ALG},
        {{.type = MKT_PKE, .pke = {3, MANY(16383)}}, MKT_OK},
        {{.type = MKT_PKE, .pke = {0, MANY(16384)}}, MKT_E_LENGTH},
        {{.type = MKT_PKE, .pke = {0, MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_PKE, .pke = {4, MANY(0)}}, MKT_E_LENGTH},
        {{.type = MKT_DH, .dh = {0, MANY(191), 0, {.type = 0}}}, MKT_E_LENGTH},
        {{.type = MKT_DH, .dh = {1, MANY(97), 0, {.type = 0}}}, MKT_E_LENGTH},
        {{.type = MKT_DH, .dh = {3, MANY(0), 0, {.type = 0}}}, MKT_E_DH_GROUP},
        {{.type = MKT_DH, .dh = {2, MANY(128), 0x10, {.type = 0}}}, MKT_E_LENGTH},
        {{.type = MKT_DH, .dh = {2, MANY(128), 0, {.type = 3}}}, MKT_E_BAD_VALUE},
        {{.type = MKT_DH, .dh = {2, MANY(128), 0, {.type = 16}}}, MKT_E_LENGTH},
        {{.type = MKT_DH, .dh = {2, MANY(128), 0, {.type = 1, .spi = MANY(255)}}}, MKT_OK},
        {{.type = MKT_DH, .dh = {2, MANY(128), 0, {.type = 1, .spi = MANY(256)}}}, MKT_E_LENGTH},
        {{.type = MKT_SIGN, .sign = {15, MANY(4095)}}, MKT_OK},
        {{.type = MKT_SIGN, .sign = {0, MANY(4096)}}, MKT_E_LENGTH},
        {{.type = MKT_SIGN, .sign = {0, MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_SIGN, .sign = {16, MANY(0)}}, MKT_E_LENGTH},
        {{.type = MKT_T, .t = {0, 2, 0xffffffff}}, MKT_OK},
        {{.type = MKT_T, .t = {0, 2, 0x100000000}}, MKT_E_LENGTH},
        {{.type = MKT_TR, .t = {1, 3, 0x100000000}}, MKT_E_LENGTH},
        {{.type = MKT_T, .t = {0, 4, 0}}, MKT_E_BAD_VALUE},
        {{.type = MKT_ID, .id = {0, 1, MANY(65535)}}, MKT_OK},
        {{.type = MKT_ID, .id = {0, 1, MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_IDR, .id = {1, 1, MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_CERT, .cert = {0, MANY(65535)}}, MKT_OK},
        {{.type = MKT_CERT, .cert = {0, MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_CHASH, .chash = {0, MANY(21)}}, MKT_E_LENGTH},
        {{.type = MKT_CHASH, .chash = {2, MANY(20)}}, MKT_E_LENGTH},
        {{.type = MKT_CHASH, .chash = {3, MANY(0)}}, MKT_E_HASH},
        {{.type = MKT_V, .v = {0, MANY(1)}}, MKT_E_LENGTH},
        {{.type = MKT_V, .v = {1, MANY(32)}}, MKT_E_LENGTH},
        {{.type = MKT_V, .v = {2, MANY(31)}}, MKT_E_LENGTH},
        {{.type = MKT_V, .v = {3, MANY(0)}}, MKT_E_MAC_ALG},
        {{.type = MKT_SP, .sp = {0, 0, MANY(65534)}}, MKT_OK}, /* parameters of type 0 without value */
        {{.type = MKT_SP, .sp = {0, 0, MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_RAND, .rand = {0, MANY(255)}}, MKT_OK},
        {{.type = MKT_RAND, .rand = {0, MANY(256)}}, MKT_E_LENGTH},
        {{.type = MKT_RANDR, .rand = {1, MANY(256)}}, MKT_E_LENGTH},
        {{.type = MKT_TP, .ticket = {.prf = 0x80}}, MKT_E_LENGTH},
        {{.type = MKT_TP, .ticket = {.flags = 0x1000}}, MKT_E_LENGTH},
        {{.type = MKT_TP, .ticket = {.reserved = 0x20}}, MKT_E_LENGTH},
        {{.type = MKT_TP, .ticket = {.tp_data = MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_TICKET, .ticket = {.tp_data = MANY(65535)}}, MKT_OK},
        {{.type = MKT_TICKET, .ticket = {.ticket_data = MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_TICKET, .ticket = {.initiator_data = MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_THDR, .thdr = {MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_KEY_DATA, .key_data = {0, MANY(65535), MANY(0), {.type = 0}}}, MKT_OK},
        {{.type = MKT_KEY_DATA, .key_data = {0, MANY(65536), MANY(0), {.type = 0}}}, MKT_E_LENGTH},
        {{.type = MKT_KEY_DATA, .key_data = {1, MANY(0), MANY(65536), {.type = 0}}}, MKT_E_LENGTH},
        {{.type = MKT_KEY_DATA, .key_data = {0, MANY(0), MANY(1), {.type = 0}}}, MKT_E_BAD_VALUE}, /* TGK has no salt */
        {{.type = MKT_KEY_DATA, .key_data = {6, MANY(0), MANY(1), {.type = 0}}}, MKT_E_BAD_VALUE},
        {{.type = MKT_KEY_DATA, .key_data = {7, MANY(0), MANY(0), {.type = 0}}}, MKT_E_BAD_VALUE},
        {{.type = MKT_KEY_DATA, .key_data = {16, MANY(0), MANY(0), {.type = 0}}}, MKT_E_LENGTH},
        {{.type = MKT_KEY_DATA, .key_data = {0, MANY(0), MANY(0), {.type = 3}}}, MKT_E_BAD_VALUE},
        {{.type = MKT_KEY_DATA, .key_data = {0, MANY(0), MANY(0), {.type = 1, .spi = MANY(256)}}}, MKT_E_LENGTH},
        {{.type = MKT_KEY_DATA, .key_data = {0, MANY(0), MANY(0), {.type = 2, .from = MANY(256)}}}, MKT_E_LENGTH},
        {{.type = MKT_KEY_DATA, .key_data = {0, MANY(0), MANY(0), {.type = 2, .to = MANY(256)}}}, MKT_E_LENGTH},
        {{.type = MKT_GENERAL_EXT, .general_ext = {0, MANY(65536)}}, MKT_E_LENGTH},
        {{.type = MKT_LAST}, MKT_E_PAYLOAD},
        {{.type = 18}, MKT_E_PAYLOAD},
        {{.type = 257}, MKT_E_PAYLOAD},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int measure = 0; measure < 2; measure++) {
            static uint8_t out[70000];
            struct mkt_buf buf = {measure != 0 ? NULL : out, sizeof out, 0};
            enum mkt_err err = mkt_payloads_encode(&rows[i].p, 1, &buf);
            ck_assert_msg(err == rows[i].err, "row %zu, %s: %s, not %s", i, mkt_payload_name(rows[i].p.type),
                          mkt_err_name(err), mkt_err_name(rows[i].err));
            ck_assert_msg((buf.n == 0) == (err != MKT_OK), "row %zu: %zu octets", i, buf.n);
        }
}
END_TEST

/* What mkt_payloads_encode() writes, mkt_payload_decode() reads: so a list of parameters must be whole. */
START_TEST(an_sp_whose_parameters_are_broken_is_refused_on_writing)
{
    const struct mkt_payload sp = {.type = MKT_SP, .sp = {0, 0, octets("00 02 01")}};
    uint8_t out[32];
    struct mkt_buf buf = {out, sizeof out, 0};
    ck_assert(mkt_payloads_encode(&sp, 1, &buf) != MKT_OK);
    ck_assert_uint_eq(buf.n, 0);
}
END_TEST

START_TEST(a_thdr_is_first_or_nowhere)
{
    const struct mkt_payload chain[] = {{.type = MKT_THDR}, {.type = MKT_ERR}, {.type = MKT_THDR}};
    uint8_t out[32];
    struct mkt_buf buf = {out, sizeof out, 0};
    expect_err("first", mkt_payloads_encode(chain, 2, &buf), MKT_OK);
    expect_octets("first", (struct mkt_span){out, buf.n}, octets("0c 0000 00 00 0000"));
    expect_err("second", mkt_payloads_encode(chain + 1, 2, &buf), MKT_E_PAYLOAD);
    expect_err("in TP Data", mkt_chain_encode(chain, 1, &buf), MKT_E_PAYLOAD); /* it has no number to be announced by */
    ck_assert_uint_eq(buf.n, 7);
}
END_TEST

/* ---- chains: TP Data, Ticket Data, Initiator Data, a decrypted KEMAC ---- */

static const struct chain {
    const char *name;
    unsigned first; /* MKT_LAST: the octets begin with it */
    const char *octets;
    struct {
        unsigned type;
        uint8_t role;
    } payload[8];
    size_t n;
} chains[] = {
    {"TP Data = First Payload, IDRkms, IDRi, TRs, TRe, TRr, IDRapp, IDRr",
     MKT_LAST,
     "0e"
     "0e 03 01 0003 6b6d73"
     "0d 01 01 0001 69"
     "0d 02 03 00000001"
     "0d 03 03 00000002"
     "0e 04 03 00000003"
     "0e 05 02 0004 6d737270"
     "00 02 01 0001 72",
     {{MKT_IDR, 3}, {MKT_IDR, 1}, {MKT_TR, 2}, {MKT_TR, 3}, {MKT_TR, 4}, {MKT_IDR, 5}, {MKT_IDR, 2}},
     7},
    {"TP Data without payloads", MKT_LAST, "00", {{0, 0}}, 0},
    {"Initiator Data = First Payload, Vi, Vr", MKT_LAST, "09  09 02 76*32  00 02 77*32", {{MKT_V, 0}, {MKT_V, 0}}, 2},
    {"Ticket Data = THDR, T, RAND, KEMAC, IDRpsk, V",
     MKT_THDR,
     "05 0000"
     "0b 00 0102030405060708"
     "01 04 72616e64"
     "0e 03 0003 656e63 00"
     "09 04 02 0003 74706b"
     "00 02 6d*32",
     {{MKT_THDR, 0}, {MKT_T, 0}, {MKT_RAND, 0}, {MKT_KEMAC, 0}, {MKT_IDR, 4}, {MKT_V, 0}},
     6},
    {"KEMAC = MPK, TGK+SALT",
     MKT_KEY_DATA,
     "14 61 0001 6d 01 73  00 11 0001 74 0001 73 01 74",
     {{MKT_KEY_DATA, 0}, {MKT_KEY_DATA, 0}},
     2},
};

START_TEST(a_chain_is_read_to_its_end_and_written_again)
{
    const struct chain *c = &chains[_i];
    struct mkt_span in = octets(c->octets), rest = in;
    struct mkt_payload got[8];
    uint16_t type = (uint16_t)c->first;
    uint8_t out[256];
    struct mkt_buf buf = {out, sizeof out, 0}, measured = {NULL, 0, 0};
    if (c->first == MKT_LAST)
        expect_err(c->name, mkt_chain_decode(&type, &rest), MKT_OK);
    for (size_t i = 0; i < c->n; i++) {
        ck_assert_msg(type == c->payload[i].type, "%s: payload %zu is a %s", c->name, i, mkt_payload_name(type));
        expect_err(c->name, mkt_payload_decode(&got[i], &type, &rest), MKT_OK);
        ck_assert_uint_eq(mkt_payload_role(&got[i]), c->payload[i].role);
    }
    ck_assert_msg(type == MKT_LAST && rest.n == 0, "%s: not at the end", c->name);
    enum mkt_err (*put)(const struct mkt_payload[], size_t, struct mkt_buf *) =
        c->first == MKT_LAST ? mkt_chain_encode : mkt_payloads_encode;
    expect_err(c->name, put(got, c->n, &buf), MKT_OK);
    expect_octets(c->name, (struct mkt_span){out, buf.n}, in);
    expect_err(c->name, put(got, c->n, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, in.n);
    buf = (struct mkt_buf){out, in.n - 1, 0};
    expect_err(c->name, put(got, c->n, &buf), MKT_E_BUFFER);
}
END_TEST

START_TEST(the_first_octet_of_tp_data_is_the_type_of_the_first_payload)
{
    static const struct {
        const char *octets;
        enum mkt_err err;
        unsigned type;
        size_t left;
    } rows[] = {
        {"-", MKT_OK, MKT_LAST, 0},     {"00", MKT_OK, MKT_LAST, 0}, {"00 00", MKT_E_TRAILING, MKT_LAST, 0},
        {"09 00 00", MKT_OK, MKT_V, 2}, {"ff", MKT_OK, 255, 0}, /* which mkt_payload_decode() refuses */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_span rest = strcmp(rows[i].octets, "-") == 0 ? from_hex("-") : octets(rows[i].octets);
        uint16_t type = 77;
        expect_err(rows[i].octets, mkt_chain_decode(&type, &rest), rows[i].err);
        if (rows[i].err == MKT_OK)
            ck_assert(type == rows[i].type && rest.n == rows[i].left);
        else
            nothing_left(rows[i].octets, rest);
    }
}
END_TEST

START_TEST(a_chain_that_breaks_off_is_refused)
{
    struct mkt_span rest = octets("09 00 0e"); /* a V after which IDR is announced, and nothing */
    struct mkt_payload got;
    uint16_t type = MKT_V;
    expect_err("first", mkt_payload_decode(&got, &type, &rest), MKT_OK);
    expect_err("second", mkt_payload_decode(&got, &type, &rest), MKT_E_TRUNCATED);
    rest = octets("09 00"); /* an announced payload of no octets at all */
    type = MKT_V;
    expect_err("first", mkt_payload_decode(&got, &type, &rest), MKT_OK);
    ck_assert(type == MKT_V && rest.n == 0);
    expect_err("second", mkt_payload_decode(&got, &type, &rest), MKT_E_TRUNCATED);
}
END_TEST

/* ---- crypto sessions ---- */

static const struct {
    const char *name;
    uint8_t map_type, number;
    struct mkt_cs cs;
    const char *octets;
} sessions[] = {
    /* RFC 6043 6.1.1: CS ID, Prot type, S in 1 bit, #P in 7 bits, Ps, Session Data Length, Session Data, SPI Length,
       SPI */
    {"GENERIC-ID, all there",
     MKT_MAP_GENERIC_ID,
     1,
     {9, 241, 1, TEXT("\x03\x04"), TEXT("data"), TEXT("spi")},
     "09 f1 82 0304 0004 64617461 03 737069"},
    {"GENERIC-ID, nothing optional",
     MKT_MAP_GENERIC_ID,
     1,
     {255, 0, 0, TEXT(""), TEXT(""), TEXT("")},
     "ff 00 00 0000 00"},
    /* RFC 3830 6.1.1: Policy_no, SSRC, ROC; "The stream using SSRC_i will also have Crypto Session ID equal to no i" */
    {"SRTP-ID, the first",
     MKT_MAP_SRTP_ID,
     1,
     {1, 0, 0, TEXT("\x07"), TEXT("ssrcroc!"), TEXT("")},
     "07 73737263 726f6321"},
    {"SRTP-ID, the third", MKT_MAP_SRTP_ID, 3, {3, 0, 0, TEXT("\x00"), TEXT("dddddddd"), TEXT("")}, "00 64*4 64*4"},
};

START_TEST(a_crypto_session_is_read_and_written)
{
    const struct mkt_cs *want = &sessions[_i].cs;
    const char *name = sessions[_i].name;
    struct mkt_span in = octets(sessions[_i].octets), rest = in;
    struct mkt_cs got;
    uint8_t out[64];
    struct mkt_buf buf = {out, in.n, 0}, small = {out, in.n - 1, 0}, measured = {NULL, 0, 0};
    expect_err(name, mkt_cs_next(&got, sessions[_i].map_type, sessions[_i].number, &rest), MKT_OK);
    ck_assert_uint_eq(rest.n, 0);
    ck_assert_msg(got.cs_id == want->cs_id && got.prot_type == want->prot_type && got.s == want->s, "%s", name);
    expect_octets("policies", got.policies, want->policies);
    expect_octets("session data", got.session_data, want->session_data);
    expect_octets("SPI", got.spi, want->spi);

    expect_err(name, mkt_cs_encode(want, sessions[_i].map_type, &small), MKT_E_BUFFER);
    expect_err(name, mkt_cs_encode(want, sessions[_i].map_type, &buf), MKT_OK);
    expect_octets(name, (struct mkt_span){out, buf.n}, in);
    expect_err(name, mkt_cs_encode(want, sessions[_i].map_type, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, in.n);

    for (size_t n = 0; n < in.n; n++) {
        rest = exact((struct mkt_span){in.p, n});
        expect_err(name, mkt_cs_next(&got, sessions[_i].map_type, 1, &rest), MKT_E_TRUNCATED);
        nothing_left(name, rest);
    }
}
END_TEST

START_TEST(crypto_sessions_are_taken_off_a_map_one_by_one)
{
    struct mkt_span rest = octets("05 f1 00 0000 01 61  06 f1 01 02 0000 01 62");
    struct mkt_cs cs;
    expect_err("first", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 1, &rest), MKT_OK);
    ck_assert_uint_eq(cs.cs_id, 5);
    ck_assert_uint_eq(rest.n, 8);
    expect_err("second", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 2, &rest), MKT_OK);
    ck_assert_uint_eq(cs.cs_id, 6);
    expect_octets("SPI", cs.spi, mkt_span_text("b"));
    ck_assert_uint_eq(rest.n, 0);
    expect_err("third", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 3, &rest), MKT_E_TRUNCATED);
}
END_TEST

START_TEST(a_crypto_session_without_encoding_is_refused)
{
    static const struct {
        uint8_t map_type;
        struct mkt_cs cs;
        enum mkt_err err;
    } rows[] = {
        {MKT_MAP_GENERIC_ID, {.s = 1, .policies = MANY(127), .session_data = MANY(65535), .spi = MANY(255)}, MKT_OK},
        {MKT_MAP_GENERIC_ID, {.s = 2}, MKT_E_LENGTH},
        {MKT_MAP_GENERIC_ID, {.policies = MANY(128)}, MKT_E_LENGTH},
        {MKT_MAP_GENERIC_ID, {.policies = MANY(65536)}, MKT_E_LENGTH},
        {MKT_MAP_GENERIC_ID, {.session_data = MANY(65536)}, MKT_E_LENGTH},
        {MKT_MAP_GENERIC_ID, {.spi = MANY(256)}, MKT_E_LENGTH},
        {MKT_MAP_SRTP_ID, {.policies = MANY(1), .session_data = MANY(8)}, MKT_OK},
        {MKT_MAP_SRTP_ID, {.policies = MANY(2), .session_data = MANY(8)}, MKT_E_LENGTH},
        {MKT_MAP_SRTP_ID, {.policies = MANY(1), .session_data = MANY(7)}, MKT_E_LENGTH},
        {MKT_MAP_EMPTY, {.cs_id = 1}, MKT_E_BAD_VALUE},
        {3, {.cs_id = 1}, MKT_E_BAD_VALUE},
        {255, {.cs_id = 1}, MKT_E_BAD_VALUE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static uint8_t out[70000];
        struct mkt_buf buf = {out, sizeof out, 0};
        enum mkt_err err = mkt_cs_encode(&rows[i].cs, rows[i].map_type, &buf);
        ck_assert_msg(err == rows[i].err, "row %zu: %s", i, mkt_err_name(err));
        ck_assert_msg((buf.n == 0) == (err != MKT_OK), "row %zu: %zu octets", i, buf.n);
    }
    for (unsigned map_type = 0; map_type < 256; map_type++) {
        struct mkt_span rest = octets("00*64");
        struct mkt_cs cs;
        bool known = map_type == MKT_MAP_SRTP_ID || map_type == MKT_MAP_GENERIC_ID;
        expect_err("get", mkt_cs_next(&cs, (uint8_t)map_type, 1, &rest), known ? MKT_OK : MKT_E_BAD_VALUE);
    }
}
END_TEST

/* ---- policy parameters ---- */

START_TEST(policy_parameters_are_read_and_written)
{
    struct mkt_span in = octets("00 01 01  0b 00  ff ff 64*255"), rest = in;
    struct mkt_sp_param param[3];
    uint8_t out[300];
    struct mkt_buf buf = {out, in.n, 0}, measured = {NULL, 0, 0};
    for (size_t i = 0; i < 3; i++) {
        expect_err("get", mkt_sp_param_next(&param[i], &rest), MKT_OK);
        expect_err("put", mkt_sp_param_encode(&param[i], &buf), MKT_OK);
        expect_err("measure", mkt_sp_param_encode(&param[i], &measured), MKT_OK);
    }
    ck_assert(param[0].type == 0 && param[0].value.n == 1 && param[0].value.p[0] == 1);
    ck_assert(param[1].type == 11 && param[1].value.n == 0 && param[2].type == 255 && param[2].value.n == 255);
    expect_octets("put", (struct mkt_span){out, buf.n}, in);
    ck_assert(rest.n == 0 && measured.n == in.n);
    expect_err("none left", mkt_sp_param_next(&param[0], &rest), MKT_E_TRUNCATED);
    expect_err("no space", mkt_sp_param_encode(&param[2], &buf), MKT_E_BUFFER);
    for (size_t n = 0; n < 3; n++) {
        rest = exact((struct mkt_span){in.p, n});
        expect_err("truncated", mkt_sp_param_next(&param[0], &rest), MKT_E_TRUNCATED);
        nothing_left("truncated", rest);
    }
    buf = (struct mkt_buf){out, sizeof out, 0};
    expect_err("too long", mkt_sp_param_encode(&(struct mkt_sp_param){1, MANY(256)}, &buf), MKT_E_LENGTH);
    ck_assert_uint_eq(buf.n, 0);
}
END_TEST

/* ---- names and roles: RFC 3830 table 6.1.b, RFC 6043 table 6.2 ---- */

START_TEST(payloads_are_named_as_the_rfcs_do)
{
    static const char *const names[256] = {
        "Last payload", "KEMAC", "PKE", "DH", "SIGN", "T",     "ID", "CERT",   "CHASH",           "V",
        "SP",           "RAND",  "ERR", "TR", "IDR",  "RANDR", "TP", "TICKET", [20] = "Key data", [21] = "General Ext.",
    };
    for (unsigned type = 0; type < 256; type++)
        ck_assert_str_eq(mkt_payload_name(type), names[type] == NULL ? "unknown" : names[type]);
    ck_assert_str_eq(mkt_payload_name(MKT_THDR), "THDR");
    ck_assert_str_eq(mkt_payload_name(257), "unknown");
}
END_TEST

START_TEST(a_role_tells_payloads_of_one_type_apart)
{
    const struct mkt_payload rows[] = {
        {.type = MKT_TR, .t = {.role = 3}},       {.type = MKT_IDR, .id = {.role = 3}},
        {.type = MKT_RANDR, .rand = {.role = 3}}, {.type = MKT_GENERAL_EXT, .general_ext = {.type = 3}},
        {.type = MKT_T, .t = {.role = 3}},        {.type = MKT_ID, .id = {.role = 3}},
        {.type = MKT_RAND, .rand = {.role = 3}},  {.type = MKT_SP, .sp = {.policy_no = 3}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_uint_eq(mkt_payload_role(&rows[i]), i < 4 ? 3 : 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("payload");
    TCase *tcase = tcase_create("payload");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_loop_test(tcase, decodes_to_its_fields, 0, N);
    tcase_add_loop_test(tcase, encodes_to_the_same_octets, 0, N);
    tcase_add_loop_test(tcase, every_truncation_is_short, 0, N);
    tcase_add_loop_test(tcase, one_octet_more_is_trailing, 0, N);
    tcase_add_loop_test(tcase, next_payload_says_what_follows, 0, N);
    tcase_add_test(tcase, every_type_has_an_example);
    tcase_add_test(tcase, each_flag_has_its_bit);
    tcase_add_test(tcase, what_is_not_defined_is_refused_on_reading);
    tcase_add_test(tcase, values_that_do_not_change_the_layout_are_read_and_written);
    tcase_add_test(tcase, what_has_no_place_on_the_wire_is_refused_on_writing);
    tcase_add_test(tcase, an_sp_whose_parameters_are_broken_is_refused_on_writing);
    tcase_add_test(tcase, a_thdr_is_first_or_nowhere);
    tcase_add_loop_test(tcase, a_chain_is_read_to_its_end_and_written_again, 0, sizeof chains / sizeof *chains);
    tcase_add_test(tcase, the_first_octet_of_tp_data_is_the_type_of_the_first_payload);
    tcase_add_test(tcase, a_chain_that_breaks_off_is_refused);
    tcase_add_loop_test(tcase, a_crypto_session_is_read_and_written, 0, sizeof sessions / sizeof *sessions);
    tcase_add_test(tcase, crypto_sessions_are_taken_off_a_map_one_by_one);
    tcase_add_test(tcase, a_crypto_session_without_encoding_is_refused);
    tcase_add_test(tcase, policy_parameters_are_read_and_written);
    tcase_add_test(tcase, payloads_are_named_as_the_rfcs_do);
    tcase_add_test(tcase, a_role_tells_payloads_of_one_type_apart);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
