/* SPDX-License-Identifier: BSD-3-Clause */
/* crypto by mbedTLS. */
#include "crypto.h"

#include <mbedtls/aes.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>

#include <string.h>

/* mbedTLS 2.28 has the same functions under these names, and void ones under those of 3.x. */
#if MBEDTLS_VERSION_MAJOR < 3
#define mbedtls_sha1_starts mbedtls_sha1_starts_ret
#define mbedtls_sha1_update mbedtls_sha1_update_ret
#define mbedtls_sha1_finish mbedtls_sha1_finish_ret
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

/* mbedTLS begins with zeros, too. */
void mkt_hash_begin(struct mkt_hash_state *state, enum mkt_hash hash)
{
    memset(state, 0, sizeof *state);
    state->hash = hash;
    state->failed = (hash == MKT_HASH_SHA_1 ? mbedtls_sha1_starts(&state->of.sha1)
                                            : mbedtls_sha256_starts(&state->of.sha256, 0)) != 0;
}

bool mkt_hash_add(struct mkt_hash_state *state, struct mkt_span part)
{
    return (state->hash == MKT_HASH_SHA_1 ? mbedtls_sha1_update(&state->of.sha1, part.p, part.n)
                                          : mbedtls_sha256_update(&state->of.sha256, part.p, part.n)) == 0;
}

bool mkt_hash_end(struct mkt_hash_state *state, uint8_t *out)
{
    return (state->hash == MKT_HASH_SHA_1 ? mbedtls_sha1_finish(&state->of.sha1, out)
                                          : mbedtls_sha256_finish(&state->of.sha256, out)) == 0;
}

enum mkt_err mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out)
{
    mbedtls_aes_context aes;
    uint8_t counter[16], stream[16];
    size_t used = 0;
    memcpy(counter, iv, sizeof counter);
    mbedtls_aes_init(&aes);
    int err = mbedtls_aes_setkey_enc(&aes, key.p, (unsigned)(8 * key.n));
    if (err == 0 && in.n > 0)
        err = mbedtls_aes_crypt_ctr(&aes, in.n, &used, counter, stream, in.p, out);
    mbedtls_aes_free(&aes);
    mkt_wipe(counter, sizeof counter);
    mkt_wipe(stream, sizeof stream);
    return err == 0 ? MKT_OK : MKT_E_CRYPTO;
}

/* mbedTLS makes its AES tables without a lock when the first key is set: so one is set before there are threads. */
__attribute__((constructor)) static void make_aes_tables(void)
{
    const uint8_t key[16] = {0};
    mbedtls_aes_context aes;
    mbedtls_aes_init(&aes);
    (void)mbedtls_aes_setkey_enc(&aes, key, 8 * sizeof key);
    mbedtls_aes_free(&aes);
}

void mkt_wipe(void *p, size_t n)
{
    if (n > 0)
        mbedtls_platform_zeroize(p, n);
}

bool mkt_same(const uint8_t *a, const uint8_t *b, size_t n)
{
    return mbedtls_ct_memcmp(a, b, n) == 0;
}
