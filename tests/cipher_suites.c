/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of cipher suites: every tool's name of a suite finds that suite alone, and suites of other kinds are not known.
 *
 *     test-cipher_suites         tries the names in $CIPHER_SUITES, tests/cipher_suites.txt
 *     test-cipher_suites FILE    tries those in a FILE of that form, and nothing else
 */
#include "vector.h"

#include <mikeyticket/cipher_suites.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *path;

/* Suites of the registry that are known, from one number to another. */
static const struct {
    int first, last;
} known[] = {
    {0x002c, 0x002e}, /* RFC 4785 */
    {0x008a, 0x0095}, /* RFC 4279 */
    {0x00a8, 0x00b9}, /* RFC 5487 */
    {0x1301, 0x1305}, /* RFC 8446 */
    {0xc033, 0xc03b}, /* RFC 5489 */
    {0xc064, 0xc071}, /* RFC 6209 */
    {0xc08e, 0xc093}, /* RFC 6367 */
    {0xc094, 0xc09b}, /* RFC 6367 */
    {0xc0a4, 0xc0ab}, /* RFC 6655 */
    {0xccab, 0xccae}, /* RFC 7905 */
    {0xd001, 0xd003}, /* RFC 8442 */
    {0xd005, 0xd005}, /* RFC 8442 */
};

static bool is_known(int number)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (number >= known[i].first && number <= known[i].last)
            return true;
    return false;
}

/* A name as it is, in lower case, and in mixed case: all find the suite of that number, or none if it is not known. */
static void try_name(int number, const char *name)
{
    char other[128];
    const int want = is_known(number) ? number : 0;
    ck_assert_uint_lt(strlen(name), sizeof other);
    for (size_t how = 0; how < 4; how++) {
        strcpy(other, name);
        for (char *c = other; *c != '\0'; c++)
            if (how > 0 && (how == 1 || (c - other) % 2 == (how == 2)) && *c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        const int got = mkt_cipher_suite_number(mkt_span_text(other));
        ck_assert_msg(got == want, "%s: %04x, not %04x", other, (unsigned)got, (unsigned)want);
    }
}

START_TEST(names_of_all_tools)
{
    FILE *file = fopen(path, "r");
    char line[256], name[128];
    unsigned number;
    size_t n = 0;
    ck_assert_msg(file != NULL, "%s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        ck_assert_msg(sscanf(line, "%4x %127s", &number, name) == 2, "%s", line);
        try_name((int)number, name);
        n += is_known((int)number);
    }
    fclose(file);
    printf("%zu names\n", n);
    ck_assert_uint_gt(n, 0);
}
END_TEST

/* Every known suite has its IANA name in the file, and that is the name that its number has. */
START_TEST(names_of_the_registry)
{
    FILE *file = fopen(path, "r");
    char line[256], name[128], tool[16];
    unsigned number;
    size_t n = 0;
    ck_assert_msg(file != NULL, "%s", path);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%4x %127s %15s", &number, name, tool) == 3 && strcmp(tool, "IANA") == 0 &&
            is_known((int)number)) {
            ck_assert_ptr_nonnull(mkt_cipher_suite_name((int)number));
            ck_assert_str_eq(mkt_cipher_suite_name((int)number), name);
            n++;
        }
    fclose(file);
    for (int i = -1; i <= 0x10000; i++) {
        ck_assert_msg(is_known(i) == (mkt_cipher_suite_name(i) != NULL), "%04x", (unsigned)i);
        n -= is_known(i);
    }
    ck_assert_uint_eq(n, 0);
}
END_TEST

/* The suites that are refused, though they are known. */
START_TEST(suites_that_are_allowed)
{
    static const int refused[] = {
        0x002c, 0x002d, 0x002e, 0x00b0, 0x00b1, 0x00b4, 0x00b5, 0x00b8, 0x00b9, 0xc039, 0xc03a, 0xc03b, /* NULL */
        0x008a, 0x008e, 0x0092, 0xc033, 0x008b, 0x008f, 0x0093, 0xc034,                                 /* RC4, 3DES */
        0x0094, 0x0095, 0x00ac, 0x00ad, 0x00b6, 0x00b7, 0xc068, 0xc069, 0xc06e, 0xc06f,                 /* RSA_PSK */
        0xc092, 0xc093, 0xc098, 0xc099, 0xccae,                                                         /* RSA_PSK */
        0x1302,                                                                                         /* SHA-384 */
    };
    for (int number = -1; number <= 0x10000; number++) {
        bool want = is_known(number);
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
            want &= number != refused[i];
        ck_assert_msg(mkt_cipher_suite_allowed(number) == want, "%04x", (unsigned)number);
    }
}
END_TEST

START_TEST(no_names)
{
    static const char *const names[] = {
        "",
        "-",
        "TLS",
        "PSK",
        ">",
        "AES128-GCM-SHA256", /* OpenSSL: with RSA */
        "AES_128_GCM_SHA256",
        "CHACHA20-POLY1305-SHA256",
        "DHE_WITH_AES_128_CCM_8",
        "TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA257",
        "TLS-ECDHE-PSK-WITH-AES-128-GCM",
        "TLS1-3-DHE-PSK-WITH-AES-128-GCM-SHA256",
        "TLS1-2-DHE-PSK-WITH-AES-128-GCM-SHA256",
        "TLS1.3-AES-128-GCM-SHA256",
        "PSK-AES128-CBC-SHA1256",
        "PSK-AES128-CBC-SHA>",
        "PSK-AES128-CBC-SHA ",
        "PSK+AES128-GCM-SHA256",
        "TLS-TLS-PSK-WITH-AES-128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_PSK_WITH_AES_128_GCM_SHA256_TLS_PSK_WITH_AES_128_GCM_SHA256_X",
        "modern",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(mkt_cipher_suite_number(mkt_span_text(names[i])) == 0, "%s", names[i]);
    ck_assert_int_eq(mkt_cipher_suite_number((struct mkt_span){NULL, 0}), 0);
}
END_TEST

/* Octets of any length, each in memory of its own: a NUL ends no name, and what is too long is no name. */
START_TEST(names_of_any_length)
{
    static const char name[] = "TLS_AES_128_GCM_SHA256\0-and-more", ended[] = "TLS_AES_128_GCM_SHA256>";
    static uint8_t longest[200];
    ck_assert_int_eq(mkt_cipher_suite_number(mkt_span_text(name)), 0x1301);
    for (size_t n = 0; n < sizeof name; n++) {
        const int want = n == strlen(name) ? 0x1301 : 0;
        ck_assert_int_eq(mkt_cipher_suite_number(exact((struct mkt_span){(const uint8_t *)name, n})), want);
    }
    ck_assert_int_eq(mkt_cipher_suite_number((struct mkt_span){(const uint8_t *)ended, sizeof ended}), 0);
    memset(longest, 'A', sizeof longest);
    for (size_t n = 0; n < sizeof longest; n++)
        ck_assert_int_eq(mkt_cipher_suite_number(exact((struct mkt_span){longest, n})), 0);
    free_all();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("cipher_suites");
    TCase *tcase = tcase_create("names");
    path = argc > 1 ? argv[1] : getenv("CIPHER_SUITES");
    path = path != NULL ? path : "tests/cipher_suites.txt";
    tcase_add_test(tcase, names_of_all_tools);
    if (argc == 1) {
        tcase_add_test(tcase, names_of_the_registry);
        tcase_add_test(tcase, suites_that_are_allowed);
        tcase_add_test(tcase, no_names);
        tcase_add_test(tcase, names_of_any_length);
    }
    suite_add_tcase(suite, tcase);
    return run(suite);
}
