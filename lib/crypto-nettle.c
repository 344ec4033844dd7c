/* SPDX-License-Identifier: BSD-3-Clause */
/* crypto by nettle, whose functions can't fail. */
#define _DEFAULT_SOURCE /* explicit_bzero */

#include "crypto.h"

#include <nettle/aes.h>
#include <nettle/memops.h>

#include <string.h>

/* nettle does not wipe its stack: without instructions for SHA it has a block of what was hashed there. */
__attribute__((noinline)) static void wipe_stack(void)
{
    uint8_t below[1024];
    mkt_wipe(below, sizeof below);
}

void mkt_hash_begin(struct mkt_hash_state *state, enum mkt_hash hash)
{
    memset(state, 0, sizeof *state);
    state->hash = hash;
    if (hash == MKT_HASH_SHA_1)
        sha1_init(&state->of.sha1);
    else
        sha256_init(&state->of.sha256);
}

bool mkt_hash_add(struct mkt_hash_state *state, struct mkt_span part)
{
    if (state->hash == MKT_HASH_SHA_1)
        sha1_update(&state->of.sha1, part.n, part.p);
    else
        sha256_update(&state->of.sha256, part.n, part.p);
    return true;
}

bool mkt_hash_end(struct mkt_hash_state *state, uint8_t *out)
{
    if (state->hash == MKT_HASH_SHA_1)
        sha1_digest(&state->of.sha1, SHA1_DIGEST_SIZE, out);
    else
        sha256_digest(&state->of.sha256, SHA256_DIGEST_SIZE, out);
    wipe_stack();
    return true;
}

/* By the block, as ctr_crypt() leaves the key stream on its stack. */
enum mkt_err mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out)
{
    union {
        struct aes128_ctx aes128;
        struct aes256_ctx aes256;
    } aes;
    uint8_t counter[AES_BLOCK_SIZE], stream[AES_BLOCK_SIZE];
    const bool is_128 = key.n == AES128_KEY_SIZE;
    if (!is_128 && key.n != AES256_KEY_SIZE)
        return MKT_E_CRYPTO;
    if (is_128)
        aes128_set_encrypt_key(&aes.aes128, key.p);
    else
        aes256_set_encrypt_key(&aes.aes256, key.p);
    memcpy(counter, iv, sizeof counter);
    for (size_t at = 0; at < in.n; at++) {
        const size_t i = at % AES_BLOCK_SIZE;
        if (i == 0 && is_128)
            aes128_encrypt(&aes.aes128, AES_BLOCK_SIZE, stream, counter);
        else if (i == 0)
            aes256_encrypt(&aes.aes256, AES_BLOCK_SIZE, stream, counter);
        for (size_t digit = AES_BLOCK_SIZE; i == 0 && digit > 0 && ++counter[digit - 1] == 0;)
            digit--;
        out[at] = in.p[at] ^ stream[i];
    }
    mkt_wipe(&aes, sizeof aes);
    mkt_wipe(counter, sizeof counter);
    mkt_wipe(stream, sizeof stream);
    wipe_stack();
    return MKT_OK;
}

void mkt_wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n);
}

bool mkt_same(const uint8_t *a, const uint8_t *b, size_t n)
{
    return memeql_sec(a, b, n) != 0;
}
