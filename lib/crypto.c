/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* getentropy */

#include "crypto.h"

#include "io.h"

#include <mbedtls/aes.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>

#include <unistd.h>

/* mbedTLS 2.28 has the same functions under these names, and void ones under those of 3.x. */
#if MBEDTLS_VERSION_MAJOR < 3
#define mbedtls_sha1_starts mbedtls_sha1_starts_ret
#define mbedtls_sha1_update mbedtls_sha1_update_ret
#define mbedtls_sha1_finish mbedtls_sha1_finish_ret
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

enum { BLOCK = 64 }; /* octets in a block of SHA-1 and of SHA-256 */

/* mbedTLS begins with zeros, too. */
static void start(struct mkt_hash_state *state, enum mkt_hash hash)
{
    memset(state, 0, sizeof *state);
    state->hash = hash;
    state->failed = (hash == MKT_HASH_SHA_1 ? mbedtls_sha1_starts(&state->of.sha1)
                                            : mbedtls_sha256_starts(&state->of.sha256, 0)) != 0;
}

static void add(struct mkt_hash_state *state, struct mkt_span part)
{
    if (part.n > 0 && !state->failed)
        state->failed = (state->hash == MKT_HASH_SHA_1 ? mbedtls_sha1_update(&state->of.sha1, part.p, part.n)
                                                       : mbedtls_sha256_update(&state->of.sha256, part.p, part.n)) != 0;
}

/* Goes on from a state, which stays as it is, to the end of all parts. */
static enum mkt_err finish(const struct mkt_hash_state *from, const struct mkt_span parts[], size_t n, uint8_t *out)
{
    struct mkt_hash_state state = *from;
    for (size_t i = 0; i < n; i++)
        add(&state, parts[i]);
    if (!state.failed)
        state.failed = (state.hash == MKT_HASH_SHA_1 ? mbedtls_sha1_finish(&state.of.sha1, out)
                                                     : mbedtls_sha256_finish(&state.of.sha256, out)) != 0;
    const enum mkt_err err = state.failed ? MKT_E_CRYPTO : MKT_OK;
    mkt_wipe(&state, sizeof state);
    return err;
}

enum mkt_err mkt_hash_of(enum mkt_hash hash, const struct mkt_span parts[], size_t n, uint8_t *out)
{
    struct mkt_hash_state state;
    start(&state, hash);
    return finish(&state, parts, n, out);
}

/* Begins with the key padded with `pad`. */
static void start_padded(struct mkt_hash_state *state, enum mkt_hash hash, const uint8_t key[BLOCK], uint8_t pad)
{
    uint8_t block[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        block[i] = key[i] ^ pad;
    start(state, hash);
    add(state, (struct mkt_span){block, BLOCK});
    mkt_wipe(block, sizeof block);
}

enum mkt_err mkt_hmac_key(struct mkt_hmac *hmac, enum mkt_hash hash, struct mkt_span key)
{
    enum { IPAD = 0x36, OPAD = 0x5c };
    uint8_t block[BLOCK] = {0};
    enum mkt_err err = MKT_OK;
    /* RFC 2104: a key longer than a block is hashed first */
    if (key.n > BLOCK)
        err = mkt_hash_of(hash, &key, 1, block);
    else if (key.n > 0)
        memcpy(block, key.p, key.n);
    start_padded(&hmac->inner, hash, block, IPAD);
    start_padded(&hmac->outer, hash, block, OPAD);
    mkt_wipe(block, sizeof block);
    return err == MKT_OK && (hmac->inner.failed || hmac->outer.failed) ? MKT_E_CRYPTO : err;
}

enum mkt_err mkt_hmac(const struct mkt_hmac *hmac, const struct mkt_span parts[], size_t n, uint8_t *mac)
{
    uint8_t inner[MKT_MAX_HASH];
    const struct mkt_span hashed = {inner, mkt_hash_length(hmac->inner.hash)};
    enum mkt_err err = finish(&hmac->inner, parts, n, inner);
    err = err == MKT_OK ? finish(&hmac->outer, &hashed, 1, mac) : err;
    mkt_wipe(inner, sizeof inner);
    return err;
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

enum mkt_err mkt_random(uint8_t *out, size_t n)
{
    enum { AT_ONCE = 256 }; /* what getentropy() gives at most */
    for (size_t at = 0; at < n; at += AT_ONCE)
        if (getentropy(out + at, n - at < AT_ONCE ? n - at : AT_ONCE) != 0)
            return MKT_E_RANDOM;
    return MKT_OK;
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
