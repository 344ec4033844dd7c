/* SPDX-License-Identifier: BSD-3-Clause */
/* policy: the ticket policy (RFC 6043 6.10). */
#include "player.h"

#include "policy.h"

#include <stdlib.h>
#include <string.h>

enum { SUITES = 2 };
static const enum mkt_suite suites[SUITES] = {MKT_SUITE_256, MKT_SUITE_128};

static const mkt_ntp y2020 = (uint64_t)3786825600 << 32; /* 1 January 2020 */

/* `n` octets that count up. */
static struct mkt_span counting(uint8_t first, size_t n)
{
    static uint8_t octets[65536];
    for (size_t i = 0; i < n; i++)
        octets[i] = (uint8_t)(first + i);
    return exact((struct mkt_span){octets, n});
}

/* ---- the policy on the wire ---- */

static struct mkt_policy policy_of(struct mkt_span tp_data)
{
    struct mkt_policy p;
    expect_err("TP Data", mkt_policy_decode(&p, &(struct mkt_ticket_payload){.tp_data = tp_data}), MKT_OK);
    return p;
}

static enum mkt_err read_policy(const char *hex)
{
    struct mkt_policy p;
    return mkt_policy_decode(&p, &(struct mkt_ticket_payload){.tp_data = from_hex(hex)});
}

/* TP Data = First Payload, [IDRkms], [IDRi], [TRs], [TRe], [TRr], {IDRapp}, (IDRr) */
START_TEST(a_policy_is_written_in_the_order_of_the_rfc)
{
    struct mkt_policy p = mkt_policy_default(MKT_SUITE_256);
    uint8_t out[256];
    struct mkt_buf buf = {out, sizeof out, 0};
    p.kms = mkt_id_uri("k");
    p.initiator = (struct mkt_id){.type = MKT_ID_NAI, .data = text("i")};
    p.has_start = p.has_end = p.has_rekeying = true;
    p.start = ntp(1);
    p.end = ntp(2) | 0x80000000; /* times are whole seconds: NTP-UTC-32 */
    p.rekeying = ntp(3600);
    p.application[p.n_applications++] = text("msrp");
    p.responder[p.n_responders++] = mkt_id_uri("r");
    p.responder[p.n_responders++] = mkt_id_bytes("g");
    expect_err("put", mkt_policy_encode(&p, &buf), MKT_OK);
    expect_octets("TP Data", (struct mkt_span){out, buf.n},
                  from_hex("0e"
                           "0e03010001"
                           "6b" /* IDRkms */
                           "0d01000001"
                           "69" /* IDRi */
                           "0d0203"
                           "00000001" /* TRs */
                           "0d0303"
                           "00000002" /* TRe */
                           "0e0403"
                           "00000e10" /* TRr */
                           "0e05020004"
                           "6d737270" /* IDRapp */
                           "0e02010001"
                           "72" /* IDRr */
                           "0002020001"
                           "67")); /* IDRr */
    struct mkt_policy bare = mkt_policy_default(MKT_SUITE_256);
    buf.n = 0;
    expect_err("put", mkt_policy_encode(&bare, &buf), MKT_OK);
    expect_octets("nothing in it", (struct mkt_span){out, buf.n}, from_hex("00"));
}
END_TEST

START_TEST(a_full_policy_is_read_as_it_was_written)
{
    struct mkt_policy want = {.type = 1, .subtype = 1, .version = 1, .prf = 1, .flags = 0xabc}, got;
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0}, measured = {NULL, 0, 0};
    want.kms = mkt_id_uri("kms:1");
    want.initiator = mkt_id_uri("sip:i");
    want.has_start = want.has_end = want.has_rekeying = true;
    want.start = ntp(0xfffffff0);
    want.end = ntp(16); /* after the rollover */
    want.rekeying = ntp(60);
    for (; want.n_applications < MKT_MAX_APPLICATIONS; want.n_applications++)
        want.application[want.n_applications] = counting((uint8_t)want.n_applications, 5);
    for (; want.n_responders < MKT_MAX_RESPONDERS; want.n_responders++)
        want.responder[want.n_responders] = (struct mkt_id){.role = MKT_IDR_R,
                                                            .type = (uint8_t)(want.n_responders % 3),
                                                            .data = counting((uint8_t)want.n_responders, 7)};
    expect_err("put", mkt_policy_encode(&want, &buf), MKT_OK);
    expect_err("measure", mkt_policy_encode(&want, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, buf.n);
    const struct mkt_ticket_payload payload = {
        .type = 1, .subtype = 1, .version = 1, .prf = 1, .flags = 0xabc, .tp_data = {out, buf.n}};
    expect_err("get", mkt_policy_decode(&got, &payload), MKT_OK);
    ck_assert(got.type == 1 && got.subtype == 1 && got.version == 1 && got.prf == 1 && got.flags == 0xabc);
    ck_assert(mkt_id_equal(&got.kms, &want.kms) && mkt_id_equal(&got.initiator, &want.initiator));
    ck_assert(got.has_start && got.has_end && got.has_rekeying && !got.has_kemac);
    ck_assert(got.start == want.start && got.end == want.end && got.rekeying == want.rekeying);
    ck_assert(got.n_applications == MKT_MAX_APPLICATIONS && got.n_responders == MKT_MAX_RESPONDERS);
    for (size_t i = 0; i < MKT_MAX_APPLICATIONS; i++)
        expect_octets("IDRapp", got.application[i], want.application[i]);
    for (size_t i = 0; i < MKT_MAX_RESPONDERS; i++)
        ck_assert(mkt_id_equal(&got.responder[i], &want.responder[i]));
    for (size_t n = 1; n < buf.n; n++) {
        const struct mkt_ticket_payload cut = {.tp_data = exact((struct mkt_span){out, n})};
        ck_assert_msg(mkt_policy_decode(&got, &cut) != MKT_OK, "%zu octets are taken", n);
    }
    buf = (struct mkt_buf){out, measured.n - 1, 0};
    expect_err("no space", mkt_policy_encode(&want, &buf), MKT_E_BUFFER);
    want.n_responders = MKT_MAX_RESPONDERS + 1;
    expect_err("responders", mkt_policy_encode(&want, &measured), MKT_E_ARGUMENT);
    want.n_responders = MKT_MAX_RESPONDERS;
    want.n_applications = MKT_MAX_APPLICATIONS + 1;
    expect_err("applications", mkt_policy_encode(&want, &measured), MKT_E_ARGUMENT);
    want.n_applications = SIZE_MAX;
    expect_err("applications", mkt_policy_encode(&want, &measured), MKT_E_ARGUMENT);
    want.n_applications = 0;
    want.n_responders = SIZE_MAX;
    expect_err("responders", mkt_policy_encode(&want, &measured), MKT_E_ARGUMENT);
}
END_TEST

#define MAC_32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

START_TEST(what_may_stand_once_in_a_policy_stands_once)
{
    static const struct {
        const char *hex;
        enum mkt_err err;
    } rows[] = {
        {"-", MKT_OK},
        {"00", MKT_OK},
        {"0e"
         "0e03010001"
         "6b"
         "0003010001"
         "6b",
         MKT_E_TOO_MANY}, /* IDRkms */
        {"0e"
         "0e03010001"
         "6b"
         "0e03010001"
         "6b"
         "0002010001"
         "72",
         MKT_E_TOO_MANY}, /* IDRkms, whatever comes behind it */
        {"0e"
         "0e01010001"
         "69"
         "0001010001"
         "69",
         MKT_E_TOO_MANY}, /* IDRi */
        {"0e"
         "0e01010000"
         "0001010001"
         "69",
         MKT_E_TOO_MANY}, /* IDRi, the first without data */
        {"0d"
         "0d0203"
         "00000001"
         "000203"
         "00000001",
         MKT_E_TOO_MANY}, /* TRs */
        {"0d"
         "0d0303"
         "00000001"
         "000303"
         "00000001",
         MKT_E_TOO_MANY}, /* TRe */
        {"0d"
         "0d0403"
         "00000001"
         "000403"
         "00000001",
         MKT_E_TOO_MANY}, /* TRr */
        {"0e"
         "0e02010001"
         "72"
         "0002010001"
         "72",
         MKT_OK}, /* IDRr */
        {"0e"
         "0e05020001"
         "72"
         "0005020001"
         "72",
         MKT_OK}, /* IDRapp */
        {"0d"
         "000302"
         "00000001",
         MKT_E_POLICY}, /* TRe as COUNTER, which is no moment */
        {"0d"
         "000402"
         "00000001",
         MKT_E_POLICY}, /* TRr: "TS Type SHALL be NTP-UTC-32" */
        {"0d"
         "000400"
         "0000000100000000",
         MKT_E_POLICY},
        {"0e"
         "0e01010001"
         "69",
         MKT_E_TRUNCATED},
        {"0e"
         "0001010001"
         "69"
         "00",
         MKT_E_TRAILING},
        {"12"
         "00",
         MKT_E_PAYLOAD},
        {"01"
         "0100000000"
         "0000000000",
         MKT_E_TOO_MANY}, /* KEMAC */
        {"01"
         "0003000000",
         MKT_E_POLICY}, /* a KEMAC that is encrypted */
        {"01"
         "0000000002" MAC_32,
         MKT_E_POLICY}, /* a KEMAC with a MAC */
        {"01"
         "0000000400",
         MKT_E_TRUNCATED}, /* half a KEMAC */
        {"09"
         "0e00"
         "0002010001"
         "69",
         MKT_OK}, /* V, which is not expected */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_err(rows[i].hex, read_policy(rows[i].hex), rows[i].err);
    char many[1024];
    for (unsigned n = MKT_MAX_APPLICATIONS; n <= MKT_MAX_RESPONDERS + 1; n++)
        for (unsigned role = MKT_IDR_R; role <= MKT_IDR_APP; role += MKT_IDR_APP - MKT_IDR_R) {
            unsigned most = role == MKT_IDR_R ? MKT_MAX_RESPONDERS : MKT_MAX_APPLICATIONS;
            char *at = many + sprintf(many, "0e");
            for (unsigned i = 1; i <= n; i++)
                at += sprintf(at, "%s%02x02000161", i == n ? "00" : "0e", role);
            expect_err("many", read_policy(many), n <= most ? MKT_OK : MKT_E_POLICY);
        }
}
END_TEST

/* "Unexpected payloads in the TP Data SHOULD be ignored." */
START_TEST(unexpected_payloads_of_a_policy_are_ignored)
{
    struct mkt_policy p = policy_of(from_hex("0b"
                                             "0d0161"
                                             "0e0103"
                                             "00000001"
                                             "0e04020001"
                                             "78"
                                             "0001010001"
                                             "69"));
    ck_assert(!p.has_start && !p.has_end && !p.has_rekeying && p.kms.data.n == 0 && p.n_responders == 0);
    expect_octets("IDRi", p.initiator.data, text("i"));
    ck_assert(policy_of(from_hex("01"
                                 "0000000000"))
                  .has_kemac);
    ck_assert(!p.has_kemac);
    /* General Extensions whose types are the roles of IDRr and IDRapp */
    p = policy_of(from_hex("15"
                           "1502000161"
                           "0005000161"));
    ck_assert(p.n_responders == 0 && p.n_applications == 0);
}
END_TEST

START_TEST(a_time_of_64_bits_is_read_as_one)
{
    struct mkt_policy p = policy_of(from_hex("0d"
                                             "0d0200"
                                             "0102030405060708"
                                             "000303"
                                             "f0e0d0c0"));
    ck_assert(p.start == 0x0102030405060708 && p.end == 0xf0e0d0c000000000);
}
END_TEST

/* Where a name would be left out on the wire, the policy would say something else: no IDRapp authorises all. */
START_TEST(a_name_without_octets_is_not_silently_left_out)
{
    struct mkt_policy p = granted(MKT_SUITE_256);
    uint8_t out[256];
    struct mkt_buf buf = {out, sizeof out, 0};
    p.application[p.n_applications++] = text("");
    expect_err("IDRapp", mkt_policy_encode(&p, &buf), MKT_E_ARGUMENT);
    p = granted(MKT_SUITE_256);
    p.responder[p.n_responders++] = mkt_id_uri("");
    expect_err("IDRr", mkt_policy_encode(&p, &buf), MKT_E_ARGUMENT);
    ck_assert_uint_eq(buf.n, 0);
}
END_TEST

/* ---- flags ---- */

START_TEST(flags_are_letters)
{
    static const char letters[] = "DEFGHIJKLMNO";
    static const enum mkt_flag flags[] = {MKT_FLAG_D, MKT_FLAG_E, MKT_FLAG_F, MKT_FLAG_G, MKT_FLAG_H, MKT_FLAG_I,
                                          MKT_FLAG_J, MKT_FLAG_K, MKT_FLAG_L, MKT_FLAG_M, MKT_FLAG_N, MKT_FLAG_O};
    uint16_t got = 0xffff;
    expect_err("none", mkt_flags_parse(&got, ""), MKT_OK);
    ck_assert_uint_eq(got, 0);
    expect_err("all", mkt_flags_parse(&got, letters), MKT_OK);
    ck_assert_uint_eq(got, 0xfff);
    expect_err("any order", mkt_flags_parse(&got, "OFDF"), MKT_OK);
    ck_assert_uint_eq(got, MKT_FLAG_D | MKT_FLAG_F | MKT_FLAG_O);
    for (unsigned c = 1; c < 256; c++) {
        const char one[] = {(char)c, '\0'};
        const char *at = c < 128 ? strchr(letters, (int)c) : NULL;
        expect_err(one, mkt_flags_parse(&got, one), at != NULL ? MKT_OK : MKT_E_ARGUMENT);
        if (at != NULL)
            ck_assert_uint_eq(got, flags[at - letters]);
    }
    expect_err("one wrong", mkt_flags_parse(&got, "DEFP"), MKT_E_ARGUMENT);
}
END_TEST

/* "NOT D implies L, G implies F, NOT G implies H, NOT H implies G, I implies E, K implies D, and M implies F." */
START_TEST(flags_that_contradict_each_other_are_refused)
{
    size_t sound = 0;
    for (unsigned flags = 0; flags < 4096; flags++) {
        struct mkt_policy p = granted(MKT_SUITE_256);
        p.flags = (uint16_t)flags;
        bool d = flags & MKT_FLAG_D, e = flags & MKT_FLAG_E, f = flags & MKT_FLAG_F, g = flags & MKT_FLAG_G,
             h = flags & MKT_FLAG_H, i = flags & MKT_FLAG_I, k = flags & MKT_FLAG_K, l = flags & MKT_FLAG_L,
             m = flags & MKT_FLAG_M;
        bool agree = true;
        if (!d && !l)
            agree = false;
        if (g && !f)
            agree = false;
        if (!g && !h)
            agree = false;
        if (!h && !g)
            agree = false;
        if (i && !e)
            agree = false;
        if (k && !d)
            agree = false;
        if (m && !f)
            agree = false;
        ck_assert_msg(mkt_policy_check(&p, y2020) == (agree ? MKT_OK : MKT_E_FLAGS), "flags %03x", flags);
        sound += agree;
    }
    ck_assert(sound > 0 && sound < 4096);
}
END_TEST

START_TEST(the_default_policy_is_sound_once_it_has_names)
{
    for (size_t s = 0; s < SUITES; s++) {
        struct mkt_policy p = mkt_policy_default(suites[s]);
        uint16_t flags = 0;
        expect_err("flags", mkt_flags_parse(&flags, "FGHJLNO"), MKT_OK);
        ck_assert(p.type == 1 && p.subtype == 1 && p.version == 1 && p.flags == flags);
        ck_assert_uint_eq(p.prf, suites[s] == MKT_SUITE_256 ? 1 : 0);
        p = granted(suites[s]);
        expect_err("sound", mkt_policy_check(&p, y2020), MKT_OK);
    }
}
END_TEST

/* 12.4: "it is RECOMMENDED to use key forking": the flags for a ticket that a KMS makes. */
START_TEST(the_forked_policy_is_the_default_one_with_other_flags)
{
    for (size_t s = 0; s < SUITES; s++) {
        struct mkt_policy p = mkt_policy_forked(suites[s]), plain = mkt_policy_default(suites[s]);
        uint16_t flags = 0;
        expect_err("flags", mkt_flags_parse(&flags, "DEFGHIJNO"), MKT_OK);
        ck_assert_uint_eq(p.flags, flags);
        ck_assert(!mkt_policy_same(&p, &plain));
        plain.flags = flags;
        ck_assert(mkt_policy_same(&p, &plain));
        p.initiator = mkt_id_uri("sip:alice@example.com");
        p.responder[p.n_responders++] = mkt_id_uri("sip:bob@example.com");
        expect_err("sound", mkt_policy_check(&p, y2020), MKT_OK);
    }
}
END_TEST

/* ---- what a policy must be like ---- */

static void clear_n_and_o(struct mkt_policy *p)
{
    p->flags &= (uint16_t)~(MKT_FLAG_N | MKT_FLAG_O);
}

START_TEST(a_policy_that_can_not_be_granted_is_refused)
{
#define CHECKED(err, change)                                                                                           \
    do {                                                                                                               \
        struct mkt_policy p = granted(MKT_SUITE_256);                                                                  \
        p.has_start = p.has_end = true;                                                                                \
        p.start = y2020 - ntp(100);                                                                                    \
        p.end = y2020 + ntp(100);                                                                                      \
        expect_err("sound", mkt_policy_check(&p, y2020), MKT_OK);                                                      \
        change;                                                                                                        \
        expect_err(#change, mkt_policy_check(&p, y2020), err);                                                         \
    } while (0)

    CHECKED(MKT_E_TICKET_TYPE, clear_n_and_o(&p); p.type = 2); /* 3GPP base ticket */
    CHECKED(MKT_E_TICKET_TYPE, clear_n_and_o(&p); p.type = 0);
    CHECKED(MKT_E_TICKET_TYPE, clear_n_and_o(&p); p.type = 0x0101);
    CHECKED(MKT_E_TICKET_TYPE, clear_n_and_o(&p); p.subtype = 2);
    CHECKED(MKT_E_TICKET_TYPE, clear_n_and_o(&p); p.version = 2);
    CHECKED(MKT_OK, clear_n_and_o(&p));
    CHECKED(MKT_OK, clear_n_and_o(&p); p.flags |= MKT_FLAG_N; p.type = 2); /* D24 */
    CHECKED(MKT_OK, clear_n_and_o(&p); p.flags |= MKT_FLAG_O; p.version = 2);
    CHECKED(MKT_E_PRF, p.prf = 2);
    CHECKED(MKT_E_PRF, p.prf = 127);
    CHECKED(MKT_E_FLAGS, p.flags = 0);
    CHECKED(MKT_E_POLICY, p.has_kemac = true);
    CHECKED(MKT_E_POLICY, p.n_responders = 0);
    CHECKED(MKT_E_VALIDITY, p.start = p.end);
    CHECKED(MKT_E_VALIDITY, p.end = p.start - ntp(1));
    CHECKED(MKT_E_EXPIRED, p.end = y2020 - 1);
    CHECKED(MKT_E_NOT_YET, p.start = y2020 + 1);
    CHECKED(MKT_OK, p.prf = 0);              /* suite 128 */
    CHECKED(MKT_OK, p.initiator.data.n = 0); /* it names nobody (D21) */
    CHECKED(MKT_OK, p.kms = mkt_id_uri("kms"));
#undef CHECKED
}
END_TEST

/* ---- validity and time: RFC 6043 6.3, RFC 4330 section 3 ---- */

/* Moments as seconds since 1970, UTC, as date(1) has them. */
static const int64_t t1968 = -61505152 /* 20 January 1968, 03:14:08 */, t1970 = 0, t1999 = 915148800,
                     t2020 = 1577836800, t2035 = 2066688000 /* 28 June */,
                     t2036 = 2085978496 /* 7 February, 06:28:16 */, t2036_december = 2111702400, t2100 = 4102444800,
                     t2104 = 4233462143 /* 26 February, 09:42:23 */;

START_TEST(seconds_since_1970_become_seconds_since_1900_and_begin_again_in_2036)
{
    ck_assert(mkt_ntp_from_unix(t1970) == (uint64_t)2208988800 << 32);
    ck_assert(mkt_ntp_from_unix(t1968) == (uint64_t)0x80000000 << 32);
    ck_assert(mkt_ntp_from_unix(t2020) == y2020);
    ck_assert(mkt_ntp_from_unix(t2036 - 1) == (uint64_t)0xffffffff << 32);
    ck_assert(mkt_ntp_from_unix(t2036) == 0);
    ck_assert(mkt_ntp_from_unix(t2104) == (uint64_t)0x7fffffff << 32);
}
END_TEST

START_TEST(moments_from_1968_to_2104_are_in_their_order)
{
    const int64_t moments[] = {t1968, t1970,     t1999,          t2020, t2035, t2036 - 1,
                               t2036, t2036 + 1, t2036_december, t2100, t2104};
    for (size_t a = 0; a < sizeof moments / sizeof *moments; a++)
        for (size_t b = 0; b < sizeof moments / sizeof *moments; b++)
            ck_assert_msg(mkt_ntp_before(mkt_ntp_from_unix(moments[a]), mkt_ntp_from_unix(moments[b])) == (a < b),
                          "moments %zu and %zu", a, b);
    ck_assert(mkt_ntp_before(y2020, y2020 + 1) && !mkt_ntp_before(y2020 + 1, y2020));
}
END_TEST

START_TEST(a_ticket_is_valid_from_its_start_to_its_end)
{
    enum { NONE = -1 }; /* 31 December 1969 is no moment of these rows */
    const struct {
        int64_t now, start, end;
        enum mkt_err err;
    } rows[] = {
        {t1999, NONE, NONE, MKT_OK},
        {t2100, NONE, NONE, MKT_OK},
        {t1999, t1999, NONE, MKT_OK},
        {t1999 - 1, t1999, NONE, MKT_E_NOT_YET},
        {t2100, t1999, NONE, MKT_OK},
        {t1999, NONE, t1999, MKT_OK},
        {t1999 + 1, NONE, t1999, MKT_E_EXPIRED},
        {t1999, NONE, t2100, MKT_OK},
        {t2020, t1999, t2035, MKT_OK},
        {t2036 - 1, t2035, t2036_december, MKT_OK}, /* about the rollover */
        {t2036, t2035, t2036_december, MKT_OK},
        {t2036, t2036 - 1, t2036 + 1, MKT_OK},
        {t2036 + 1, t2035, t2036, MKT_E_EXPIRED},
        {t2036 - 1, t2036, t2100, MKT_E_NOT_YET},
        {t2035, t2036, t2100, MKT_E_NOT_YET},
        {t2100, t2035, t2036_december, MKT_E_EXPIRED},
        {t2100, t2100, t2104, MKT_OK},
        {t2104, t2020, t2100, MKT_E_EXPIRED},
        {t2020, t2036, t2035, MKT_E_VALIDITY},
        {t2020, t2100, t1999, MKT_E_VALIDITY},
        {t2020, t2035, t2035, MKT_E_VALIDITY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_policy p = granted(MKT_SUITE_128);
        p.has_start = rows[i].start != NONE;
        p.has_end = rows[i].end != NONE;
        p.start = mkt_ntp_from_unix(rows[i].start);
        p.end = mkt_ntp_from_unix(rows[i].end);
        enum mkt_err err = mkt_policy_check(&p, mkt_ntp_from_unix(rows[i].now));
        ck_assert_msg(err == rows[i].err, "row %zu: %s, not %s", i, mkt_err_name(err), mkt_err_name(rows[i].err));
    }
}
END_TEST

/* ---- what is a change: K flag, 6.10 ---- */

/* A policy with all that it can have. */
static struct mkt_policy full(void)
{
    struct mkt_policy p = granted(MKT_SUITE_256);
    p.kms = mkt_id_uri("sip:kms@example.com");
    p.has_start = p.has_end = p.has_rekeying = true;
    p.start = ntp(100);
    p.end = ntp(200);
    p.rekeying = ntp(60);
    p.application[p.n_applications++] = text("msrp");
    p.application[p.n_applications++] = text("bfcp");
    p.responder[p.n_responders++] = mkt_id_uri("sip:carol@example.com");
    return p;
}

static bool same(const struct mkt_policy *a, const struct mkt_policy *b)
{
    ck_assert(mkt_policy_same(a, b) == mkt_policy_same(b, a));
    return mkt_policy_same(a, b);
}

/* Each field counts, in both directions. */
START_TEST(policies_that_differ_in_one_field_are_not_the_same)
{
    const struct mkt_policy a = full();
    struct mkt_policy b = a;
    ck_assert(same(&a, &b));
#define OTHER(change)                                                                                                  \
    do {                                                                                                               \
        b = a;                                                                                                         \
        change;                                                                                                        \
        ck_assert_msg(!same(&a, &b), #change);                                                                         \
    } while (0)
    OTHER(b.type = 2);
    OTHER(b.subtype = 2);
    OTHER(b.version = 2);
    OTHER(b.prf = MKT_PRF_MIKEY_1);
    OTHER(b.kms = mkt_id_uri("sip:kms@example.org"));
    OTHER(b.kms = (struct mkt_id){0});
    OTHER(b.initiator = mkt_id_uri("sip:mallory@example.com"));
    OTHER(b.initiator.type = MKT_ID_NAI);
    OTHER(b.has_start = false);
    OTHER(b.has_end = false);
    OTHER(b.has_rekeying = false);
    OTHER(b.start = ntp(101));
    OTHER(b.end = ntp(201));
    OTHER(b.rekeying = ntp(61));
    OTHER(b.n_applications = 1);
    OTHER(b.application[1] = text("sip"));
    OTHER(b.application[b.n_applications++] = text("sip"));
    OTHER(b.n_responders = 1);
    OTHER(b.responder[1] = mkt_id_uri("sip:mallory@example.com"));
    OTHER(b.responder[b.n_responders++] = mkt_id_uri("sip:mallory@example.com"));
#undef OTHER
    for (uint16_t flag = MKT_FLAG_O; flag <= MKT_FLAG_D; flag = (uint16_t)(flag << 1)) {
        b = a;
        b.flags ^= flag;
        ck_assert(same(&a, &b) == (flag == MKT_FLAG_D || flag == MKT_FLAG_K));
    }
}
END_TEST

/* Order, repetitions, fractions of a second and what is behind the last entry or a time left out do not count. */
START_TEST(policies_that_say_the_same_are_the_same)
{
    const struct mkt_policy a = full();
    struct mkt_policy b = a, c;
    b.application[0] = a.application[1];
    b.application[1] = a.application[0];
    b.responder[0] = a.responder[1];
    b.responder[1] = a.responder[0];
    ck_assert(same(&a, &b));
    b.application[b.n_applications++] = a.application[0];
    b.responder[b.n_responders++] = a.responder[0];
    ck_assert(same(&a, &b));
    b = a;
    b.start++;
    b.end++;
    b.rekeying++;
    ck_assert(same(&a, &b));
    b = c = a;
    b.has_start = b.has_end = b.has_rekeying = c.has_start = c.has_end = c.has_rekeying = false;
    c.start = ntp(101);
    c.end = ntp(201);
    c.rekeying = ntp(61);
    ck_assert(same(&b, &c));
    b = a;
    b.application[b.n_applications] = a.application[0];
    b.responder[b.n_responders] = a.responder[0];
    ck_assert(same(&a, &b));
    c = a;
    c.n_applications = 1;
    ck_assert(!same(&a, &c));
    c = a;
    c.n_responders = 1;
    ck_assert(!same(&a, &c));
}
END_TEST

/* Each name is looked at, wherever it stands. */
START_TEST(a_name_without_octets_is_found_at_any_place)
{
    uint8_t out[512];
    struct mkt_buf buf = {out, sizeof out, 0};
    for (size_t i = 0; i < 4; i++) {
        struct mkt_policy p = full();
        for (; p.n_applications < 4; p.n_applications++)
            p.application[p.n_applications] = text("sip");
        for (; p.n_responders < 4; p.n_responders++)
            p.responder[p.n_responders] = mkt_id_uri("sip:dave@example.com");
        struct mkt_policy q = p;
        expect_err("names", mkt_policy_encode(&p, &(struct mkt_buf){out, sizeof out, 0}), MKT_OK);
        p.application[i] = text("");
        q.responder[i].data = text("");
        expect_err("application", mkt_policy_encode(&p, &buf), MKT_E_ARGUMENT);
        expect_err("responder", mkt_policy_encode(&q, &buf), MKT_E_ARGUMENT);
        ck_assert_uint_eq(buf.n, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_test(tcase, a_policy_is_written_in_the_order_of_the_rfc);
    tcase_add_test(tcase, a_full_policy_is_read_as_it_was_written);
    tcase_add_test(tcase, what_may_stand_once_in_a_policy_stands_once);
    tcase_add_test(tcase, unexpected_payloads_of_a_policy_are_ignored);
    tcase_add_test(tcase, a_time_of_64_bits_is_read_as_one);
    tcase_add_test(tcase, a_name_without_octets_is_not_silently_left_out);
    tcase_add_test(tcase, flags_are_letters);
    tcase_add_test(tcase, flags_that_contradict_each_other_are_refused);
    tcase_add_test(tcase, the_default_policy_is_sound_once_it_has_names);
    tcase_add_test(tcase, the_forked_policy_is_the_default_one_with_other_flags);
    tcase_add_test(tcase, a_policy_that_can_not_be_granted_is_refused);
    tcase_add_test(tcase, seconds_since_1970_become_seconds_since_1900_and_begin_again_in_2036);
    tcase_add_test(tcase, moments_from_1968_to_2104_are_in_their_order);
    tcase_add_test(tcase, a_ticket_is_valid_from_its_start_to_its_end);
    tcase_add_test(tcase, policies_that_differ_in_one_field_are_not_the_same);
    tcase_add_test(tcase, policies_that_say_the_same_are_the_same);
    tcase_add_test(tcase, a_name_without_octets_is_found_at_any_place);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
