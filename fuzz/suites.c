/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a list of cipher suites: what is refused lies in the list, what is chosen is allowed and is there once,
 * and its names as a list, those of mbedTLS and those of IANA, choose the same.
 */
#include <mikeyticket/tls.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static enum mkt_err configure(struct mkt_tls *tls, struct mkt_span list)
{
    const struct mkt_tls_settings settings = {.size = sizeof settings, .end = MKT_END_SERVER, .suites = list};
    return mkt_tls_choose(tls, &settings);
}

static void choose_again(const struct mkt_tls *tls, const char *name_of(int number))
{
    char list[MKT_TLS_MAX_SUITES * 64] = "";
    struct mkt_tls again;
    size_t n = 0;
    for (; tls->suite[n] != 0; n++) {
        for (size_t i = 0; i < n; i++)
            require(tls->suite[i] != tls->suite[n]);
        require(mkt_cipher_suite_allowed(tls->suite[n]));
        strcat(list, name_of(tls->suite[n]));
        strcat(list, ":");
    }
    require(n > 0 && configure(&again, mkt_span_text(list)) == MKT_OK);
    require(memcmp(again.suite, tls->suite, (n + 1) * sizeof *tls->suite) == 0 && again.left_out[0] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mkt_tls tls;
    if (size == 0)
        return 0;
    const struct mkt_span list = {data, size};
    const enum mkt_err err = configure(&tls, list);
    if (err == MKT_OK) {
        choose_again(&tls, mbedtls_ssl_get_ciphersuite_name);
        choose_again(&tls, mkt_cipher_suite_name);
        return 0;
    }
    require(err == MKT_E_PROFILE);
    require(tls.refused.n == 0 || (tls.refused.p >= data && tls.refused.p + tls.refused.n <= data + size));
    require(tls.refused.n > 0 || tls.suite[0] == 0);
    return 0;
}
