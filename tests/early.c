/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables that mbedTLS makes at their first use, without a lock, are made before main() and so before there are threads.
 * The linker puts the functions that make them here in place (-Wl,--wrap).
 */
#include "play.h"

#include <mbedtls/aes.h>
#ifdef WITH_TLS
#include <mikeyticket/tls.h>
#endif

static bool in_main;
static unsigned keys;

int __real_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits);
int __wrap_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits);

int __wrap_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits)
{
    keys += !in_main;
    return __real_mbedtls_aes_setkey_enc(aes, key, bits);
}

/* nettle has its tables from the start. */
START_TEST(aes_tables)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    make_ticket(c);
#ifndef MKT_CRYPTO_NETTLE
    ck_assert_uint_gt(keys, 0);
#endif
    call_free(c);
}
END_TEST

#ifdef WITH_TLS
static unsigned suites, curves;

const int *__real_mbedtls_ssl_list_ciphersuites(void);
const int *__wrap_mbedtls_ssl_list_ciphersuites(void);
const mbedtls_ecp_group_id *__real_mbedtls_ecp_grp_id_list(void);
const mbedtls_ecp_group_id *__wrap_mbedtls_ecp_grp_id_list(void);

const int *__wrap_mbedtls_ssl_list_ciphersuites(void)
{
    suites += !in_main;
    return __real_mbedtls_ssl_list_ciphersuites();
}

const mbedtls_ecp_group_id *__wrap_mbedtls_ecp_grp_id_list(void)
{
    curves += !in_main;
    return __real_mbedtls_ecp_grp_id_list();
}

START_TEST(lists_of_suites_and_curves)
{
    const struct mkt_tls_settings settings = {.size = sizeof settings, .end = MKT_END_CLIENT};
    struct mkt_tls tls;
    expect_err("choose", mkt_tls_choose(&tls, &settings), MKT_OK);
    ck_assert_uint_gt(suites, 0);
    ck_assert_uint_gt(curves, 0);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("early");
    TCase *tcase = tcase_create("early");
    in_main = true;
    tcase_add_test(tcase, aes_tables);
#ifdef WITH_TLS
    tcase_add_test(tcase, lists_of_suites_and_curves);
#endif
    suite_add_tcase(suite, tcase);
    return run(suite);
}
