/* SPDX-License-Identifier: BSD-3-Clause */
/* derive: what every PRF and every label must do. What it gives, octet for octet, is in vectors/rfc6043.txt. */
#include "vector.h"

#include "derive.h"

#include <mikeyticket/payload.h>

#include <string.h>

static const enum mkt_suite suites[] = {MKT_SUITE_256, MKT_SUITE_128};

enum { N_SUITES = 2 };

static const uint8_t rand_i[] = "RANDRi of 16 oct", rand_r[] = "RANDRr of 16 oct";
static const struct mkt_span randi = {rand_i, 16}, randr = {rand_r, 16}, none = {NULL, 0};

static const enum mkt_traffic_key traffic_keys[] = {MKT_TRAFFIC_TEK, MKT_TRAFFIC_AUTH, MKT_TRAFFIC_ENCR,
                                                    MKT_TRAFFIC_SALT};
static const enum mkt_derivation traffic_constants[] = {MKT_DERIVE_TEK, MKT_DERIVE_TRAFFIC_AUTH,
                                                        MKT_DERIVE_TRAFFIC_ENCR, MKT_DERIVE_TRAFFIC_SALT};

/* A key of `n` octets, all of them different. */
static struct mkt_span some_key(size_t n)
{
    uint8_t octets[256];
    for (size_t i = 0; i < n; i++)
        octets[i] = (uint8_t)(0x40 + i);
    return exact((struct mkt_span){octets, n});
}

/* The derivation of a TEK for keys of any length: mkt_derive_traffic() takes those of a session only. */
static void traffic(enum mkt_suite suite, struct mkt_span tgk, uint8_t out[32])
{
    const struct mkt_label label = {.purpose = MKT_PURPOSE_TRAFFIC, .cs_id = 1, .randi = randi, .randr = randr};
    expect_err("traffic", mkt_derive(suite, MKT_DERIVE_TEK, tgk, &label, out, 32), MKT_OK);
}

/* ---- the key ---- */

/* minisip keys the last block of its PRF with length mod 32 octets: it leaves out the last 32 of a key of 32 or 64. */
START_TEST(every_bit_of_a_key_counts)
{
    static const size_t lengths[] = {16, 20, 31, 32, 33, 48, 63, 64, 65, 96, 128};
    for (size_t s = 0; s < N_SUITES; s++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            uint8_t key[128], out[32], changed[32];
            memcpy(key, some_key(lengths[l]).p, lengths[l]);
            traffic(suites[s], (struct mkt_span){key, lengths[l]}, out);
            for (size_t bit = 0; bit < 8 * lengths[l]; bit++) {
                key[bit / 8] ^= (uint8_t)(1u << bit % 8);
                traffic(suites[s], (struct mkt_span){key, lengths[l]}, changed);
                ck_assert_msg(memcmp(out, changed, 32) != 0, "bit %zu of %zu octets does not count", bit, lengths[l]);
                key[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
}
END_TEST

START_TEST(keys_that_differ_in_the_last_block_alone_give_different_keys)
{
    for (size_t s = 0; s < N_SUITES; s++) {
        uint8_t a[64], b[64], from_a[32], from_b[32], from_first[32];
        memset(a, 0xaa, sizeof a);
        memset(b, 0xaa, sizeof b);
        memset(b + 32, 0xbb, 32);
        traffic(suites[s], (struct mkt_span){a, 64}, from_a);
        traffic(suites[s], (struct mkt_span){b, 64}, from_b);
        traffic(suites[s], (struct mkt_span){b, 32}, from_first);
        ck_assert(memcmp(from_a, from_b, 32) != 0 && memcmp(from_b, from_first, 32) != 0);
    }
}
END_TEST

/* ---- RFC 3830 4.1.2: the outkey is the first octets of P(s_1) XOR P(s_2) XOR ... ---- */

START_TEST(a_longer_outkey_begins_with_the_shorter_one)
{
    for (size_t s = 0; s < N_SUITES; s++)
        for (size_t k = 0; k < 4; k++) {
            const bool short_tek = suites[s] == MKT_SUITE_128 && traffic_keys[k] == MKT_TRAFFIC_TEK;
            const struct mkt_label label = {.purpose = MKT_PURPOSE_TRAFFIC, .cs_id = 9, .randi = randi, .randr = randr};
            uint8_t longest[64];
            struct mkt_span tgk = some_key(suites[s] == MKT_SUITE_128 ? 16 : 32);
            expect_err("64", mkt_derive(suites[s], traffic_constants[k], tgk, &label, longest, 64), MKT_OK);
            for (size_t n = 1; n <= (short_tek ? 16 : 64); n++) {
                uint8_t out[65];
                memset(out, 0xee, sizeof out);
                expect_err("n", mkt_derive_traffic(suites[s], traffic_keys[k], tgk, 9, randi, randr, out, n), MKT_OK);
                expect_octets("outkey", (struct mkt_span){out, n}, (struct mkt_span){longest, n});
                ck_assert_uint_eq(out[n], 0xee);
            }
        }
}
END_TEST

/* All in one. */
static enum mkt_err prf(enum mkt_suite suite, struct mkt_span inkey, const struct mkt_span label[], size_t parts,
                        uint8_t *out, size_t n)
{
    struct mkt_prf by_inkey;
    enum mkt_err err = mkt_prf_key(&by_inkey, suite, inkey);
    if (err == MKT_OK)
        err = mkt_prf(&by_inkey, label, parts, out, n);
    mkt_wipe(&by_inkey, sizeof by_inkey);
    return err;
}

/* P goes on for ever: no block of the hash comes twice. */
START_TEST(a_long_outkey_does_not_repeat_itself)
{
    for (size_t s = 0; s < N_SUITES; s++) {
        enum { LONG = 320 };
        uint8_t out[LONG];
        const struct mkt_span label = mkt_span_text("label");
        const size_t block = mkt_hash_length(mkt_suite_algorithms(suites[s])->hash);
        expect_err("prf", prf(suites[s], some_key(16), &label, 1, out, LONG), MKT_OK);
        for (size_t a = 0; a + block <= LONG; a += block)
            for (size_t b = a + block; b + block <= LONG; b += block)
                ck_assert_msg(memcmp(out + a, out + b, block) != 0, "octets %zu and %zu are the same", a, b);
    }
}
END_TEST

START_TEST(a_label_is_the_same_however_it_is_split)
{
    struct mkt_span whole = mkt_span_text("constant, CS ID, CSB ID and RANDs"), parts[8];
    for (size_t s = 0; s < N_SUITES; s++) {
        uint8_t out[70], split[70];
        expect_err("whole", prf(suites[s], some_key(33), &whole, 1, out, sizeof out), MKT_OK);
        for (size_t at = 0; at <= whole.n; at++) {
            for (size_t i = 0; i < 8; i++)
                parts[i] = none;
            parts[2] = (struct mkt_span){whole.p, at};
            parts[7] = (struct mkt_span){whole.p + at, whole.n - at};
            expect_err("split", prf(suites[s], some_key(33), parts, 8, split, sizeof split), MKT_OK);
            expect_octets("split", (struct mkt_span){split, sizeof split}, (struct mkt_span){out, sizeof out});
        }
    }
}
END_TEST

START_TEST(no_key_or_too_many_parts_are_refused_and_give_zeros)
{
    const struct mkt_span parts[9] = {{NULL, 0}};
    uint8_t out[40], zeros[40] = {0};
    memset(out, 0xee, sizeof out);
    const struct mkt_label label = {.purpose = MKT_PURPOSE_VR};
    expect_err("no key", mkt_derive(MKT_SUITE_256, MKT_DERIVE_AUTH_KEY, none, &label, out, sizeof out), MKT_E_ARGUMENT);
    expect_octets("zeros", (struct mkt_span){out, sizeof out}, (struct mkt_span){zeros, sizeof zeros});
    memset(out, 0xee, sizeof out);
    expect_err("parts", prf(MKT_SUITE_256, some_key(16), parts, 9, out, sizeof out), MKT_E_ARGUMENT);
    expect_octets("zeros", (struct mkt_span){out, sizeof out}, (struct mkt_span){zeros, sizeof zeros});
}
END_TEST

/* ---- labels ---- */

enum uses { CSB_ID = 1, CS_ID = 2, RANDI = 4, RANDR = 8, ID = 16, RANDKMS = 32, RAND = 64 };

/* RFC 6043: all derivations; the label of each has these values in it, and no others. */
static const struct {
    enum mkt_derivation what;
    enum mkt_purpose phase;
    unsigned used;
} derivations[] = {
    /* 5.1.1: constant || 0xFF || 0xFFFFFFFF || 0x00 || length ID || ID || length RANDRkms || RANDRkms */
    {MKT_DERIVE_FORKED_MPKR, MKT_PURPOSE_FORK, ID | RANDKMS},
    {MKT_DERIVE_FORKED_TGK, MKT_PURPOSE_FORK, ID | RANDKMS},
    /* 5.1.2: constant || 0xFF || CSB ID || 0x01 or 0x02 || length RANDRi || [RANDRi] || length RANDRr || [RANDRr] */
    {MKT_DERIVE_AUTH_KEY, MKT_PURPOSE_INITIAL, CSB_ID | RANDI | RANDR},
    {MKT_DERIVE_ENCR_KEY, MKT_PURPOSE_INITIAL, CSB_ID | RANDI | RANDR},
    {MKT_DERIVE_SALT_KEY, MKT_PURPOSE_INITIAL, CSB_ID | RANDI | RANDR},
    {MKT_DERIVE_AUTH_KEY, MKT_PURPOSE_RESPONSE, CSB_ID | RANDI | RANDR},
    {MKT_DERIVE_ENCR_KEY, MKT_PURPOSE_RESPONSE, CSB_ID | RANDI | RANDR},
    {MKT_DERIVE_SALT_KEY, MKT_PURPOSE_RESPONSE, CSB_ID | RANDI | RANDR},
    /* 5.1.3: constant || CS ID || 0xFFFFFFFF || 0x03 || length RANDRi || [RANDRi] || length RANDRr || [RANDRr] */
    {MKT_DERIVE_TEK, MKT_PURPOSE_TRAFFIC, CS_ID | RANDI | RANDR},
    {MKT_DERIVE_TRAFFIC_AUTH, MKT_PURPOSE_TRAFFIC, CS_ID | RANDI | RANDR},
    {MKT_DERIVE_TRAFFIC_ENCR, MKT_PURPOSE_TRAFFIC, CS_ID | RANDI | RANDR},
    {MKT_DERIVE_TRAFFIC_SALT, MKT_PURPOSE_TRAFFIC, CS_ID | RANDI | RANDR},
    /* 6.10: constant || 0xFF || 0xFFFFFFFF || 0x04 */
    {MKT_DERIVE_AUTH_KEY, MKT_PURPOSE_VR, 0},
    /* A.2.1 and A.2.2: constant || 0xFF || 0xFFFFFFFF || 0x05 or 0x06 || length RAND || RAND */
    {MKT_DERIVE_AUTH_KEY, MKT_PURPOSE_TICKET, RAND},
    {MKT_DERIVE_ENCR_KEY, MKT_PURPOSE_TICKET, RAND},
    {MKT_DERIVE_SALT_KEY, MKT_PURPOSE_TICKET, RAND},
    {MKT_DERIVE_MPKI, MKT_PURPOSE_MPK, RAND},
    {MKT_DERIVE_MPKR, MKT_PURPOSE_MPK, RAND},
};
enum { N_DERIVATIONS = sizeof derivations / sizeof *derivations };

static struct mkt_label some_label(enum mkt_purpose phase)
{
    return (struct mkt_label){
        .purpose = phase,
        .csb_id = 0x01020304,
        .cs_id = 5,
        .randi = mkt_span_text("randi"),
        .randr = mkt_span_text("randr"),
        .id = mkt_span_text("id"),
        .randkms = mkt_span_text("randkms"),
        .rand = mkt_span_text("rand"),
    };
}

START_TEST(no_two_derivations_give_the_same_key)
{
    for (size_t s = 0; s < N_SUITES; s++) {
        uint8_t out[N_DERIVATIONS][16];
        for (unsigned a = 0; a < N_DERIVATIONS; a++) {
            const struct mkt_label label = some_label(derivations[a].phase);
            expect_err("derive", mkt_derive(suites[s], derivations[a].what, some_key(32), &label, out[a], 16), MKT_OK);
            for (unsigned b = 0; b < a; b++)
                ck_assert_msg(memcmp(out[a], out[b], 16) != 0, "derivations %u and %u are one", a, b);
        }
    }
}
END_TEST

START_TEST(a_label_has_what_its_section_names_and_nothing_else)
{
    for (size_t s = 0; s < N_SUITES; s++)
        for (unsigned d = 0; d < N_DERIVATIONS; d++)
            for (unsigned use = CSB_ID; use <= RAND; use *= 2) {
                struct mkt_label label = some_label(derivations[d].phase);
                const enum mkt_derivation what = derivations[d].what;
                uint8_t out[16], changed[16];
                expect_err("derive", mkt_derive(suites[s], what, some_key(16), &label, out, 16), MKT_OK);
                struct mkt_span *const span = use == RANDI     ? &label.randi
                                              : use == RANDR   ? &label.randr
                                              : use == ID      ? &label.id
                                              : use == RANDKMS ? &label.randkms
                                                               : &label.rand;
                if (use == CSB_ID)
                    label.csb_id++;
                else if (use == CS_ID)
                    label.cs_id++;
                else
                    *span = mkt_span_text("another");
                expect_err("derive", mkt_derive(suites[s], what, some_key(16), &label, changed, 16), MKT_OK);
                ck_assert_msg((memcmp(out, changed, 16) != 0) == ((derivations[d].used & use) != 0),
                              "derivation %u, value %u", d, use);
            }
}
END_TEST

/* Lengths keep values apart: what one RAND loses and the other gains makes another label. */
START_TEST(an_octet_can_not_move_from_one_value_to_the_next)
{
    static const enum mkt_purpose two_values[] = {MKT_PURPOSE_FORK, MKT_PURPOSE_INITIAL, MKT_PURPOSE_RESPONSE,
                                                  MKT_PURPOSE_TRAFFIC};
    static const uint8_t octets[] = "0123456789";
    for (size_t i = 0; i < sizeof two_values / sizeof *two_values; i++) {
        uint8_t out[11][16];
        for (size_t at = 0; at <= 10; at++) {
            const struct mkt_span a = {octets, at}, b = {octets + at, 10 - at};
            const struct mkt_label label = {.purpose = two_values[i], .randi = a, .randr = b, .id = a, .randkms = b};
            expect_err("derive", mkt_derive(MKT_SUITE_256, MKT_DERIVE_TEK, some_key(16), &label, out[at], 16), MKT_OK);
            for (size_t before = 0; before < at; before++)
                ck_assert_msg(memcmp(out[before], out[at], 16) != 0, "phase %u", two_values[i]);
        }
    }
}
END_TEST

START_TEST(a_value_too_long_for_its_length_is_refused_and_gives_zeros)
{
    static const uint8_t long_value[65536] = {1};
    static const struct {
        enum mkt_purpose phase;
        size_t id, randkms, randi, randr, rand;
        enum mkt_err err;
    } rows[] = {
        {MKT_PURPOSE_FORK, 65535, 255, 0, 0, 0, MKT_OK},      {MKT_PURPOSE_FORK, 65536, 1, 0, 0, 0, MKT_E_LENGTH},
        {MKT_PURPOSE_FORK, 1, 256, 0, 0, 0, MKT_E_LENGTH},    {MKT_PURPOSE_TRAFFIC, 0, 0, 255, 255, 0, MKT_OK},
        {MKT_PURPOSE_TRAFFIC, 0, 0, 256, 0, 0, MKT_E_LENGTH}, {MKT_PURPOSE_TRAFFIC, 0, 0, 0, 256, 0, MKT_E_LENGTH},
        {MKT_PURPOSE_TICKET, 0, 0, 0, 0, 255, MKT_OK},        {MKT_PURPOSE_TICKET, 0, 0, 0, 0, 256, MKT_E_LENGTH},
        {MKT_PURPOSE_VR, 65536, 256, 256, 256, 256, MKT_OK}, /* has none of them */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct mkt_label label = {
            .purpose = rows[i].phase,
            .id = {long_value, rows[i].id},
            .randkms = {long_value, rows[i].randkms},
            .randi = {long_value, rows[i].randi},
            .randr = {long_value, rows[i].randr},
            .rand = {long_value, rows[i].rand},
        };
        uint8_t out[16], zeros[16] = {0};
        memset(out, 0xee, sizeof out);
        enum mkt_err err = mkt_derive(MKT_SUITE_256, MKT_DERIVE_AUTH_KEY, some_key(16), &label, out, sizeof out);
        ck_assert_msg(err == rows[i].err, "row %zu: %s", i, mkt_err_name(err));
        ck_assert_msg((memcmp(out, zeros, sizeof out) == 0) == (err != MKT_OK), "row %zu", i);
    }
}
END_TEST

/* ---- mkt_derive_traffic() ---- */

START_TEST(every_argument_of_traffic_makes_another_key)
{
    static const struct {
        enum mkt_suite suite;
        enum mkt_traffic_key which;
        uint8_t cs_id;
        bool randi, randr;
    } rows[] = {
        {MKT_SUITE_256, MKT_TRAFFIC_TEK, 1, true, true},   {MKT_SUITE_128, MKT_TRAFFIC_TEK, 1, true, true},
        {MKT_SUITE_256, MKT_TRAFFIC_AUTH, 1, true, true},  {MKT_SUITE_256, MKT_TRAFFIC_ENCR, 1, true, true},
        {MKT_SUITE_256, MKT_TRAFFIC_SALT, 1, true, true},  {MKT_SUITE_256, MKT_TRAFFIC_TEK, 0, true, true},
        {MKT_SUITE_256, MKT_TRAFFIC_TEK, 255, true, true}, {MKT_SUITE_256, MKT_TRAFFIC_TEK, 1, false, true},
        {MKT_SUITE_256, MKT_TRAFFIC_TEK, 1, true, false},
    };
    enum { N = sizeof rows / sizeof *rows };
    uint8_t out[N][16];
    for (size_t i = 0; i < N; i++) {
        expect_err("traffic",
                   mkt_derive_traffic(rows[i].suite, rows[i].which, some_key(16), rows[i].cs_id,
                                      rows[i].randi ? randi : none, rows[i].randr ? randr : none, out[i], 16),
                   MKT_OK);
        for (size_t before = 0; before < i; before++)
            ck_assert_msg(memcmp(out[before], out[i], 16) != 0, "rows %zu and %zu", before, i);
    }
}
END_TEST

START_TEST(arguments_out_of_range_are_refused_and_give_zeros)
{
    static const uint8_t octets[256] = {1};
    static const struct {
        const char *name;
        int suite, which;
        size_t tgk, randi, randr, n;
        enum mkt_err err;
    } rows[] = {
        {"least", MKT_SUITE_256, MKT_TRAFFIC_TEK, 16, 1, 0, 1, MKT_OK},
        {"most", MKT_SUITE_256, MKT_TRAFFIC_SALT, 256, 255, 255, 64, MKT_OK},
        {"no RAND at all", MKT_SUITE_256, MKT_TRAFFIC_TEK, 32, 0, 0, 32, MKT_E_ARGUMENT},
        {"TGK too short", MKT_SUITE_256, MKT_TRAFFIC_TEK, 15, 16, 16, 32, MKT_E_ARGUMENT},
        {"no TGK", MKT_SUITE_128, MKT_TRAFFIC_TEK, 0, 16, 16, 16, MKT_E_ARGUMENT},
        {"nothing wanted", MKT_SUITE_256, MKT_TRAFFIC_TEK, 32, 16, 16, 0, MKT_E_ARGUMENT},
        {"too much wanted", MKT_SUITE_256, MKT_TRAFFIC_TEK, 32, 16, 16, 65, MKT_E_ARGUMENT},
        {"no such suite", 2, MKT_TRAFFIC_TEK, 32, 16, 16, 32, MKT_E_ARGUMENT},
        {"no such key", MKT_SUITE_256, 4, 32, 16, 16, 32, MKT_E_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t out[66], zeros[66] = {0};
        memset(out, 0xee, sizeof out);
        enum mkt_err err = mkt_derive_traffic(
            (enum mkt_suite)rows[i].suite, (enum mkt_traffic_key)rows[i].which, (struct mkt_span){octets, rows[i].tgk},
            1, (struct mkt_span){octets, rows[i].randi}, (struct mkt_span){octets, rows[i].randr}, out, rows[i].n);
        if (err != MKT_OK)
            expect_octets(rows[i].name, (struct mkt_span){out, rows[i].n}, (struct mkt_span){zeros, rows[i].n});
        ck_assert_uint_eq(out[rows[i].n], 0xee);
        expect_err(rows[i].name, err, rows[i].err);
    }
}
END_TEST

/* 12.1: "If session keys (TEK/TGK/GTGK) longer than 128 bits are used, 128-bit algorithms SHALL NOT be used." */
START_TEST(with_suite_128_no_session_key_has_more_than_16_octets)
{
    static const struct {
        const char *name;
        enum mkt_suite suite;
        enum mkt_traffic_key which;
        size_t tgk, n;
        bool taken;
    } rows[] = {
        {"TEK", MKT_SUITE_128, MKT_TRAFFIC_TEK, 16, 16, true},
        {"long TEK", MKT_SUITE_128, MKT_TRAFFIC_TEK, 16, 17, false},
        {"longest TEK", MKT_SUITE_128, MKT_TRAFFIC_TEK, 16, 64, false},
        {"long TGK", MKT_SUITE_128, MKT_TRAFFIC_TEK, 17, 16, false},
        {"TGK of the other suite", MKT_SUITE_128, MKT_TRAFFIC_TEK, 32, 16, false},
        {"long TGK, salt", MKT_SUITE_128, MKT_TRAFFIC_SALT, 17, 14, false},
        {"long TGK, authentication key", MKT_SUITE_128, MKT_TRAFFIC_AUTH, 32, 20, false},
        {"long TGK, encryption key", MKT_SUITE_128, MKT_TRAFFIC_ENCR, 32, 16, false},
        /* HMAC-SHA-1 of SRTP has a key of 20 octets, which is no TEK */
        {"authentication key", MKT_SUITE_128, MKT_TRAFFIC_AUTH, 16, 20, true},
        {"salt", MKT_SUITE_128, MKT_TRAFFIC_SALT, 16, 14, true},
        {"TEK of suite 256", MKT_SUITE_256, MKT_TRAFFIC_TEK, 17, 17, true},
        {"long TEK of suite 256", MKT_SUITE_256, MKT_TRAFFIC_TEK, 32, 64, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t out[65], zeros[64] = {0};
        memset(out, 0xee, sizeof out);
        expect_err(
            rows[i].name,
            mkt_derive_traffic(rows[i].suite, rows[i].which, some_key(rows[i].tgk), 1, randi, randr, out, rows[i].n),
            rows[i].taken ? MKT_OK : MKT_E_ARGUMENT);
        if (!rows[i].taken)
            expect_octets(rows[i].name, (struct mkt_span){out, rows[i].n}, (struct mkt_span){zeros, rows[i].n});
        ck_assert_uint_eq(out[rows[i].n], 0xee);
    }
}
END_TEST

/* derive.h: "up to 255 octets", and of errors MKT_E_ARGUMENT and MKT_E_CRYPTO alone. */
START_TEST(a_rand_too_long_is_a_wrong_argument)
{
    static const uint8_t octets[256] = {1};
    for (int i = 0; i < 2; i++) {
        const struct mkt_span too_long = {octets, 256};
        uint8_t out[32], zeros[32] = {0};
        memset(out, 0xee, sizeof out);
        enum mkt_err err = mkt_derive_traffic(MKT_SUITE_256, MKT_TRAFFIC_TEK, some_key(32), 1,
                                              i == 0 ? too_long : randi, i == 0 ? randr : too_long, out, sizeof out);
        expect_octets("out", (struct mkt_span){out, sizeof out}, (struct mkt_span){zeros, sizeof zeros});
        expect_err(i == 0 ? "RANDRi" : "RANDRr", err, MKT_E_ARGUMENT);
    }
}
END_TEST

/* ---- suites: RFC 6043 12.1, design decisions D1 and D2 ---- */

START_TEST(a_suite_is_three_algorithms_that_go_together)
{
    const struct mkt_algorithms *a256 = mkt_suite_algorithms(MKT_SUITE_256),
                                *a128 = mkt_suite_algorithms(MKT_SUITE_128);
    /* PRF-HMAC-SHA-256, AES-CM-256, HMAC-SHA-256-256 "SHALL be used with a 256-bit authentication key" (6.2) */
    ck_assert(a256->prf == 1 && a256->encr_alg == 3 && a256->mac_alg == 2 && a256->hash == MKT_HASH_SHA_256);
    ck_assert(a256->key == 32 && a256->auth_key == 32);
    /* MIKEY-1, AES-CM-128, HMAC-SHA-1-160, whose authentication key has 160 bits (RFC 3830 4.2.4) */
    ck_assert(a128->prf == 0 && a128->encr_alg == 1 && a128->mac_alg == 1 && a128->hash == MKT_HASH_SHA_1);
    ck_assert(a128->key == 16 && a128->auth_key == 20);
}
END_TEST

START_TEST(the_prf_tells_the_suite)
{
    for (unsigned prf = 0; prf < 300; prf++) {
        enum mkt_suite suite;
        expect_err("PRF func", mkt_suite_of_prf(prf, &suite), prf <= 1 ? MKT_OK : MKT_E_PRF);
        if (prf <= 1)
            ck_assert_int_eq(suite, prf == 1 ? MKT_SUITE_256 : MKT_SUITE_128);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("derive");
    TCase *tcase = tcase_create("derive");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_test(tcase, every_bit_of_a_key_counts);
    tcase_add_test(tcase, keys_that_differ_in_the_last_block_alone_give_different_keys);
    tcase_add_test(tcase, a_longer_outkey_begins_with_the_shorter_one);
    tcase_add_test(tcase, a_long_outkey_does_not_repeat_itself);
    tcase_add_test(tcase, a_label_is_the_same_however_it_is_split);
    tcase_add_test(tcase, no_key_or_too_many_parts_are_refused_and_give_zeros);
    tcase_add_test(tcase, no_two_derivations_give_the_same_key);
    tcase_add_test(tcase, a_label_has_what_its_section_names_and_nothing_else);
    tcase_add_test(tcase, an_octet_can_not_move_from_one_value_to_the_next);
    tcase_add_test(tcase, a_value_too_long_for_its_length_is_refused_and_gives_zeros);
    tcase_add_test(tcase, every_argument_of_traffic_makes_another_key);
    tcase_add_test(tcase, arguments_out_of_range_are_refused_and_give_zeros);
    tcase_add_test(tcase, with_suite_128_no_session_key_has_more_than_16_octets);
    tcase_add_test(tcase, a_rand_too_long_is_a_wrong_argument);
    tcase_add_test(tcase, a_suite_is_three_algorithms_that_go_together);
    tcase_add_test(tcase, the_prf_tells_the_suite);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
