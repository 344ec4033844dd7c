/* SPDX-License-Identifier: BSD-3-Clause */
/* What is made of a hash, and random octets: the same for each provider. */
#define _DEFAULT_SOURCE /* getentropy */

#include "crypto.h"

#include <string.h>
#include <unistd.h>

enum { BLOCK = 64 }; /* octets in a block of SHA-1 and of SHA-256 */

static void add(struct mkt_hash_state *state, struct mkt_span part)
{
    if (part.n > 0 && !state->failed)
        state->failed = !mkt_hash_add(state, part);
}

/* Goes on from a state, which stays as it is, to the end of all parts. */
static enum mkt_err finish(const struct mkt_hash_state *from, const struct mkt_span parts[], size_t n, uint8_t *out)
{
    struct mkt_hash_state state = *from;
    for (size_t i = 0; i < n; i++)
        add(&state, parts[i]);
    const enum mkt_err err = !state.failed && mkt_hash_end(&state, out) ? MKT_OK : MKT_E_CRYPTO;
    mkt_wipe(&state, sizeof state);
    return err;
}

enum mkt_err mkt_hash_of(enum mkt_hash hash, const struct mkt_span parts[], size_t n, uint8_t *out)
{
    struct mkt_hash_state state;
    mkt_hash_begin(&state, hash);
    return finish(&state, parts, n, out);
}

/* Begins with the key padded with `pad`. */
static void start_padded(struct mkt_hash_state *state, enum mkt_hash hash, const uint8_t key[BLOCK], uint8_t pad)
{
    uint8_t block[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        block[i] = key[i] ^ pad;
    mkt_hash_begin(state, hash);
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

enum mkt_err mkt_random(uint8_t *out, size_t n)
{
    enum { AT_ONCE = 256 }; /* what getentropy() gives at most */
    for (size_t at = 0; at < n; at += AT_ONCE)
        if (getentropy(out + at, n - at < AT_ONCE ? n - at : AT_ONCE) != 0)
            return MKT_E_RANDOM;
    return MKT_OK;
}
