/* SPDX-License-Identifier: BSD-3-Clause */
/* crypto: HMAC, AES-CM and what little else there is, by the published vectors. */
#include "vector.h"

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

/* `n` octets of one value. */
static struct mkt_span octets(unsigned value, size_t n)
{
    uint8_t all[256];
    memset(all, (int)value, sizeof all);
    return exact((struct mkt_span){all, n});
}

/* ---- HMAC: RFC 2202 section 3 for SHA-1, RFC 4231 section 4 for SHA-256 ---- */

static const struct hmac_row {
    const char *name;
    enum mkt_hash hash;
    const char *key; /* hex, or NULL: key_n octets of key_octet */
    unsigned key_octet;
    size_t key_n;
    const char *data; /* text, or NULL: data_n octets of data_octet */
    unsigned data_octet;
    size_t data_n;
    const char *mac;
} hmac_rows[] = {
#define HEX(hex) hex, 0, 0
#define OCTETS(octet, n) NULL, octet, n
#define WORDS(words) words, 0, 0
#define COUNTING "0102030405060708090a0b0c0d0e0f10111213141516171819"
#define JEFE "4a656665"
#define LARGER "Test Using Larger Than Block-Size Key - Hash Key First"
    {"RFC 2202 case 1", MKT_HASH_SHA_1, OCTETS(0x0b, 20), WORDS("Hi There"),
     "b617318655057264e28bc0b6fb378c8ef146be00"},
    {"RFC 2202 case 2", MKT_HASH_SHA_1, HEX(JEFE), WORDS("what do ya want for nothing?"),
     "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    {"RFC 2202 case 3", MKT_HASH_SHA_1, OCTETS(0xaa, 20), OCTETS(0xdd, 50), "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
    {"RFC 2202 case 4", MKT_HASH_SHA_1, HEX(COUNTING), OCTETS(0xcd, 50), "4c9007f4026250c6bc8414f9bf50c86c2d7235da"},
    {"RFC 2202 case 5", MKT_HASH_SHA_1, OCTETS(0x0c, 20), WORDS("Test With Truncation"),
     "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"},
    {"RFC 2202 case 6", MKT_HASH_SHA_1, OCTETS(0xaa, 80), WORDS(LARGER), "aa4ae5e15272d00e95705637ce8a3b55ed402112"},
    {"RFC 2202 case 7", MKT_HASH_SHA_1, OCTETS(0xaa, 80),
     WORDS("Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data"),
     "e8e99d0f45237d786d6bbaa7965c7808bbff1a91"},
    {"RFC 4231 case 1", MKT_HASH_SHA_256, OCTETS(0x0b, 20), WORDS("Hi There"),
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"RFC 4231 case 2", MKT_HASH_SHA_256, HEX(JEFE), WORDS("what do ya want for nothing?"),
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"RFC 4231 case 3", MKT_HASH_SHA_256, OCTETS(0xaa, 20), OCTETS(0xdd, 50),
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"RFC 4231 case 4", MKT_HASH_SHA_256, HEX(COUNTING), OCTETS(0xcd, 50),
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"RFC 4231 case 6", MKT_HASH_SHA_256, OCTETS(0xaa, 131), WORDS(LARGER),
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {"RFC 4231 case 7", MKT_HASH_SHA_256, OCTETS(0xaa, 131),
     WORDS("This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
           "hashed before being used by the HMAC algorithm."),
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    /* about the length of a block, 64 octets, and nothing at all: by Python's hmac */
    {"a block less one", MKT_HASH_SHA_1, OCTETS(0x5a, 63), WORDS("abc"), "8c264b64555370cd5de21b9ad391d5062d0373ec"},
    {"a block", MKT_HASH_SHA_1, OCTETS(0x5a, 64), WORDS("abc"), "1fdbe408129c93a32fc2b66e8df504a989fe0879"},
    {"a block and one", MKT_HASH_SHA_1, OCTETS(0x5a, 65), WORDS("abc"), "a2e1b4f378c42a2ba6c70b2db33b291596f53648"},
    {"nothing", MKT_HASH_SHA_1, OCTETS(0, 0), OCTETS(0, 0), "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d"},
    {"a block less one", MKT_HASH_SHA_256, OCTETS(0x5a, 63), WORDS("abc"),
     "f252177ff7919f7d8eac2e9e389b67d3f9cf919075b1a45e72819a689b2907f3"},
    {"a block", MKT_HASH_SHA_256, OCTETS(0x5a, 64), WORDS("abc"),
     "e88b2a6b8773b3d1b92adb63b49cfb24d959afcb06a9166985967499f6755df8"},
    {"a block and one", MKT_HASH_SHA_256, OCTETS(0x5a, 65), WORDS("abc"),
     "62761f7ca1413e134d54bc71b41b4d4af91c5b4d2c9cb408025d349a60b6697f"},
    {"nothing", MKT_HASH_SHA_256, OCTETS(0, 0), OCTETS(0, 0),
     "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
};

static struct mkt_span key_of(const struct hmac_row *r)
{
    return r->key != NULL ? from_hex(r->key) : octets(r->key_octet, r->key_n);
}

static struct mkt_span data_of(const struct hmac_row *r)
{
    return r->data != NULL ? exact(mkt_span_text(r->data)) : octets(r->data_octet, r->data_n);
}

START_TEST(hmac_agrees_with_the_rfcs)
{
    const struct hmac_row *r = &hmac_rows[_i];
    struct mkt_span data = data_of(r), want = from_hex(r->mac);
    uint8_t *mac = malloc(want.n);
    struct mkt_hmac hmac;
    ck_assert_uint_eq(mkt_hash_length(r->hash), want.n);
    expect_err(r->name, mkt_hmac_key(&hmac, r->hash, key_of(r)), MKT_OK);
    for (int again = 0; again < 2; again++) {
        memset(mac, 0, want.n);
        expect_err(r->name, mkt_hmac(&hmac, &data, 1, mac), MKT_OK);
        expect_octets(r->name, (struct mkt_span){mac, want.n}, want);
    }
    mkt_wipe(&hmac, sizeof hmac);
    free(mac);
}
END_TEST

START_TEST(parts_split_anywhere_give_the_same_mac)
{
    const struct hmac_row *r = &hmac_rows[_i];
    struct mkt_span data = data_of(r), want = from_hex(r->mac);
    uint8_t mac[MKT_MAX_HASH];
    struct mkt_hmac hmac;
    expect_err(r->name, mkt_hmac_key(&hmac, r->hash, key_of(r)), MKT_OK);
    for (size_t a = 0; a <= data.n; a++)
        for (size_t b = a; b <= data.n; b++) {
            const struct mkt_span parts[] = {{data.p, a}, {NULL, 0}, {data.p + a, b - a}, {data.p + b, data.n - b}};
            expect_err(r->name, mkt_hmac(&hmac, parts, 4, mac), MKT_OK);
            expect_octets(r->name, (struct mkt_span){mac, want.n}, want);
        }
    mkt_wipe(&hmac, sizeof hmac);
}
END_TEST

/* The PRF computes A_i from A_(i-1) in place. */
START_TEST(parts_and_mac_may_overlap)
{
    for (int h = 0; h < 2; h++) {
        enum mkt_hash hash = h == 0 ? MKT_HASH_SHA_1 : MKT_HASH_SHA_256;
        const size_t n = mkt_hash_length(hash);
        uint8_t in_place[MKT_MAX_HASH], apart[MKT_MAX_HASH], data[MKT_MAX_HASH];
        const struct mkt_span part = {data, n}, itself = {in_place, n};
        struct mkt_hmac hmac;
        memset(data, 'd', sizeof data);
        memcpy(in_place, data, sizeof data);
        expect_err("key", mkt_hmac_key(&hmac, hash, mkt_span_text("key")), MKT_OK);
        expect_err("apart", mkt_hmac(&hmac, &part, 1, apart), MKT_OK);
        expect_err("in place", mkt_hmac(&hmac, &itself, 1, in_place), MKT_OK);
        expect_octets("in place", itself, (struct mkt_span){apart, n});
        mkt_wipe(&hmac, sizeof hmac);
    }
}
END_TEST

START_TEST(nothing_is_left_of_an_hmac_key_that_is_wiped)
{
    struct mkt_hmac hmac;
    const uint8_t *p = (const uint8_t *)&hmac;
    size_t left = 0;
    expect_err("key", mkt_hmac_key(&hmac, MKT_HASH_SHA_256, mkt_span_text("secret")), MKT_OK);
    mkt_wipe(&hmac, sizeof hmac);
    for (size_t i = 0; i < sizeof hmac; i++)
        left += p[i] != 0;
    ck_assert_uint_eq(left, 0);
}
END_TEST

/* ---- AES-CM: the counter mode vectors of RFC 3686 section 6 and of NIST SP 800-38A F.5 ---- */

static const struct {
    const char *name, *key, *iv, *plain, *cipher;
} cm_rows[] = {
#define COUNT_TO_35 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
#define FOUR_BLOCKS                                                                                                    \
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"                                                 \
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    {"RFC 3686 vector 1", "ae6852f8121067cc4bf7a5765577f39e", "00000030000000000000000000000001",
     "53696e676c6520626c6f636b206d7367", "e4095d4fb7a7b3792d6175a3261311b8"},
    {"RFC 3686 vector 3", "7691be035e5020a8ac6e618529f9a0dc", "00e0017b27777f3f4a1786f000000001", COUNT_TO_35,
     "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f"},
    {"RFC 3686 vector 7", "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104",
     "00000060db5672c97aa8f0b200000001", "53696e676c6520626c6f636b206d7367", "145ad01dbf824ec7560863dc71e3e0c0"},
    {"RFC 3686 vector 9", "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d",
     "001cc5b751a51d70a1c1114800000001", COUNT_TO_35,
     "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8"},
    {"SP 800-38A F.5.1", "2b7e151628aed2a6abf7158809cf4f3c", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", FOUR_BLOCKS,
     "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
     "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"},
    {"SP 800-38A F.5.5", "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", FOUR_BLOCKS,
     "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
     "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"},
};

START_TEST(aes_cm_agrees_with_the_vectors_both_ways_at_any_length)
{
    const char *name = cm_rows[_i].name;
    struct mkt_span key = from_hex(cm_rows[_i].key), iv = from_hex(cm_rows[_i].iv);
    struct mkt_span plain = from_hex(cm_rows[_i].plain), cipher = from_hex(cm_rows[_i].cipher);
    for (size_t n = 0; n <= plain.n; n++) {
        uint8_t *out = malloc(n > 0 ? n : 1);
        struct mkt_span written = {out, n}, in = exact((struct mkt_span){plain.p, n});
        expect_err(name, mkt_aes_cm(key, iv.p, in, out), MKT_OK);
        expect_octets(name, written, (struct mkt_span){cipher.p, n});
        expect_err(name, mkt_aes_cm(key, iv.p, written, out), MKT_OK); /* in place, and back */
        expect_octets(name, written, in);
        free(out);
    }
    expect_octets("the IV stays as it was", iv, from_hex(cm_rows[_i].iv));
}
END_TEST

/* The counter is 128 bits: after IV 2^128 - 1 comes 0. */
START_TEST(the_counter_wraps_around)
{
    struct mkt_span key = from_hex("2b7e151628aed2a6abf7158809cf4f3c");
    struct mkt_span last = from_hex("ffffffffffffffffffffffffffffffff"), zero = octets(0, 32);
    uint8_t two[32], one[16];
    expect_err("two blocks", mkt_aes_cm(key, last.p, zero, two), MKT_OK);
    expect_err("one block", mkt_aes_cm(key, zero.p, (struct mkt_span){zero.p, 16}, one), MKT_OK);
    expect_octets("after the last", (struct mkt_span){two + 16, 16}, (struct mkt_span){one, 16});
}
END_TEST

START_TEST(a_key_that_is_no_aes_key_is_refused)
{
    static const size_t lengths[] = {0, 1, 15, 17, 31, 33, 64};
    const uint8_t iv[16] = {0};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t out[16];
        expect_err("key", mkt_aes_cm(octets(1, lengths[i]), iv, octets(2, 16), out), MKT_E_CRYPTO);
    }
}
END_TEST

/* ---- the rest ---- */

START_TEST(same_means_every_bit)
{
    uint8_t a[32], b[32];
    memset(a, 0x5a, sizeof a);
    for (size_t n = 0; n <= sizeof a; n++) {
        memcpy(b, a, sizeof a);
        ck_assert(mkt_same(a, b, n));
        for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
            b[bit / 8] ^= (uint8_t)(1u << bit % 8);
            ck_assert(mkt_same(a, b, n) == (bit / 8 >= n));
            b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}
END_TEST

START_TEST(wipe_leaves_zeros_and_touches_nothing_else)
{
    for (size_t n = 0; n <= 32; n++) {
        uint8_t octets_before[34];
        memset(octets_before, 0xee, sizeof octets_before);
        mkt_wipe(octets_before + 1, n);
        ck_assert_uint_eq(octets_before[0], 0xee);
        for (size_t i = 0; i < n; i++)
            ck_assert_uint_eq(octets_before[1 + i], 0);
        ck_assert_uint_eq(octets_before[1 + n], 0xee);
    }
    mkt_wipe(NULL, 0);
}
END_TEST

/* Each of `n` octets becomes other than 0 in some of a few draws, and two draws are never the same. */
START_TEST(random_gives_as_many_octets_as_asked_for)
{
    static const size_t lengths[] = {0, 1, 16, 32, 255, 256, 257, 511, 512, 513, 1000};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        const size_t n = lengths[l];
        uint8_t *out = malloc(n + 1), *before = malloc(n + 1), *any = calloc(1, n + 1);
        memset(before, 0, n + 1);
        out[n] = 0xee;
        for (int draw = 0; draw < 24; draw++) {
            memset(out, 0, n);
            expect_err("random", mkt_random(out, n), MKT_OK);
            ck_assert_msg(n < 16 || memcmp(out, before, n) != 0, "two draws of %zu are the same", n);
            for (size_t i = 16; i + 16 <= n; i += 16)
                ck_assert_msg(memcmp(out, out + i, 16) != 0, "octets %zu of %zu are the first ones", i, n);
            for (size_t i = 0; i < n; i++)
                any[i] |= out[i];
            memcpy(before, out, n);
        }
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(any[i] != 0, "octet %zu of %zu is always 0", i, n);
        ck_assert_uint_eq(out[n], 0xee);
        free(out);
        free(before);
        free(any);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crypto");
    TCase *tcase = tcase_create("crypto");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_loop_test(tcase, hmac_agrees_with_the_rfcs, 0, sizeof hmac_rows / sizeof *hmac_rows);
    tcase_add_loop_test(tcase, parts_split_anywhere_give_the_same_mac, 0, sizeof hmac_rows / sizeof *hmac_rows);
    tcase_add_test(tcase, parts_and_mac_may_overlap);
    tcase_add_test(tcase, nothing_is_left_of_an_hmac_key_that_is_wiped);
    tcase_add_loop_test(tcase, aes_cm_agrees_with_the_vectors_both_ways_at_any_length, 0,
                        sizeof cm_rows / sizeof *cm_rows);
    tcase_add_test(tcase, the_counter_wraps_around);
    tcase_add_test(tcase, a_key_that_is_no_aes_key_is_refused);
    tcase_add_test(tcase, same_means_every_bit);
    tcase_add_test(tcase, wipe_leaves_zeros_and_touches_nothing_else);
    tcase_add_test(tcase, random_gives_as_many_octets_as_asked_for);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
