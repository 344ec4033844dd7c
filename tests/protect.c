/* SPDX-License-Identifier: BSD-3-Clause */
/* protect: MACs and KEMAC encryption with derived keys; that the keys are right is shown by the vectors. */
#include "player.h"

#include "protect.h"

#include <string.h>

static const uint8_t mpk[32] = "an MPK or a TPK of two suites...", randi[32] = "a RANDRi", randr[32] = "an RANDRr";

static struct mkt_protection of(enum mkt_suite suite, enum mkt_purpose phase)
{
    const size_t n = mkt_suite_algorithms(suite)->key;
    const struct mkt_label label = {phase, 0x12345678, 0, {randi, n}, {randr, n}, {NULL, 0}, {NULL, 0}, {randi, n}};
    return (struct mkt_protection){suite, {mpk, n}, label};
}

static const enum mkt_suite suites[] = {MKT_SUITE_256, MKT_SUITE_128};

START_TEST(a_mac_verifies_over_the_same_parts_and_no_others)
{
    const struct mkt_protection p = of(suites[_i], MKT_PURPOSE_RESPONSE);
    const size_t n = mkt_suite_algorithms(suites[_i])->auth_key; /* as long as the MAC */
    struct mkt_span parts[] = {text("TRANSFER_RESP"), text("TRANSFER_INIT")},
                    joined = text("TRANSFER_RESPTRANSFER_INIT");
    uint8_t mac[MKT_MAX_HASH];
    expect_err("MAC", mkt_protect_seal(&p, NULL, parts, 2, mac), MKT_OK);
    expect_err("same", mkt_protect_open(&p, NULL, parts, 2, (struct mkt_span){mac, n}), MKT_OK);
    expect_err("one part", mkt_protect_open(&p, NULL, &joined, 1, (struct mkt_span){mac, n}), MKT_OK);
    expect_err("a part left out", mkt_protect_open(&p, NULL, parts, 1, (struct mkt_span){mac, n}), MKT_E_MAC);
    expect_err("a shorter MAC", mkt_protect_open(&p, NULL, parts, 2, (struct mkt_span){mac, n - 1}), MKT_E_MAC);
    expect_err("no MAC", mkt_protect_open(&p, NULL, parts, 2, (struct mkt_span){NULL, 0}), MKT_E_MAC);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        mac[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect_err("one bit", mkt_protect_open(&p, NULL, parts, 2, (struct mkt_span){mac, n}), MKT_E_MAC);
        mac[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(each_phase_and_label_has_a_mac_of_its_own)
{
    const struct mkt_span part = text("the same octets");
    const struct mkt_protection initial = of(MKT_SUITE_256, MKT_PURPOSE_INITIAL);
    struct mkt_protection p[] = {of(MKT_SUITE_256, MKT_PURPOSE_RESPONSE),
                                 of(MKT_SUITE_256, MKT_PURPOSE_TICKET),
                                 of(MKT_SUITE_256, MKT_PURPOSE_VR),
                                 initial,
                                 initial,
                                 initial,
                                 initial};
    enum { N = sizeof p / sizeof *p };
    uint8_t macs[N][MKT_MAX_HASH];
    p[4].label.csb_id++;
    p[5].label.randr.n = 0;
    p[6].key.n--;
    for (size_t i = 0; i < N; i++) {
        expect_err("MAC", mkt_protect_seal(&p[i], NULL, &part, 1, macs[i]), MKT_OK);
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(memcmp(macs[i], macs[j], MKT_MAX_HASH) != 0, "%zu and %zu", i, j);
    }
}
END_TEST

START_TEST(a_kemac_is_decrypted_as_it_was_encrypted)
{
    const struct mkt_protection p = of(suites[_i], MKT_PURPOSE_INITIAL),
                                response = of(suites[_i], MKT_PURPOSE_RESPONSE);
    const struct mkt_span plain = text("Key data payloads, of no particular length");
    uint8_t encrypted[64], other[64];
    crypt_kemac(&p, 1, 2, plain, encrypted);
    ck_assert(memcmp(encrypted, plain.p, plain.n) != 0);
    crypt_kemac(&p, 1, 2, (struct mkt_span){encrypted, plain.n}, other);
    expect_octets("plain", (struct mkt_span){other, plain.n}, plain);
    crypt_kemac(&p, 1, 2, (struct mkt_span){other, plain.n}, other);
    expect_octets("encrypted", (struct mkt_span){other, plain.n}, (struct mkt_span){encrypted, plain.n});
    /* IV = (S XOR (0x0000 || CSB ID || T)) || 0x0000 */
    crypt_kemac(&p, 2, 2, plain, other);
    ck_assert(memcmp(encrypted, other, plain.n) != 0);
    crypt_kemac(&p, 1, 3, plain, other);
    ck_assert(memcmp(encrypted, other, plain.n) != 0);
    crypt_kemac(&response, 1, 2, plain, other);
    ck_assert(memcmp(encrypted, other, plain.n) != 0);
    crypt_kemac(&p, 1, 2, (struct mkt_span){NULL, 0}, other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protect");
    TCase *tcase = tcase_create("protect");
    tcase_add_loop_test(tcase, a_mac_verifies_over_the_same_parts_and_no_others, 0, 2);
    tcase_add_test(tcase, each_phase_and_label_has_a_mac_of_its_own);
    tcase_add_loop_test(tcase, a_kemac_is_decrypted_as_it_was_encrypted, 0, 2);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
