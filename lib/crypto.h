/* SPDX-License-Identifier: BSD-3-Clause */
/* crypto: hashes, HMAC, AES and random octets, by the one provider that was built in: mbedTLS or nettle. No other module
 * names either of them. It knows octets, and no wire format. */
#ifndef MKT_CRYPTO_H
#define MKT_CRYPTO_H

#include <mikeyticket/error.h>

#ifdef MKT_CRYPTO_NETTLE
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#else
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#endif

enum mkt_hash { MKT_HASH_SHA_1, MKT_HASH_SHA_256 };

enum { MKT_MAX_HASH = 32 };

/* Octets of a hash. */
static inline size_t mkt_hash_length(enum mkt_hash hash)
{
    return hash == MKT_HASH_SHA_1 ? 20 : 32;
}

/* The hash of all parts, one after the other; `out` gets mkt_hash_length() octets. */
MKT_MUST enum mkt_err mkt_hash_of(enum mkt_hash hash, const struct mkt_span parts[], size_t n, uint8_t *out);

/* The state of a hash: plain octets, which can be copied and wiped. The first failure sticks. */
struct mkt_hash_state {
    enum mkt_hash hash;
    bool failed;
    union {
#ifdef MKT_CRYPTO_NETTLE
        struct sha1_ctx sha1;
        struct sha256_ctx sha256;
#else
        mbedtls_sha1_context sha1;
        mbedtls_sha256_context sha256;
#endif
    } of;
};

/* The steps of a hash, for mkt_hash_of() and HMACs; false: the provider failed. `part` is not empty. */
void mkt_hash_begin(struct mkt_hash_state *state, enum mkt_hash hash);
MKT_MUST bool mkt_hash_add(struct mkt_hash_state *state, struct mkt_span part);
MKT_MUST bool mkt_hash_end(struct mkt_hash_state *state, uint8_t *out);

/* An HMAC key (RFC 2104): the hash states after its inner and outer pad, made once and used for any number of MACs.
 * It is a secret: mkt_wipe() it, whatever mkt_hmac_key() answered. */
struct mkt_hmac {
    struct mkt_hash_state inner, outer;
};

MKT_MUST enum mkt_err mkt_hmac_key(struct mkt_hmac *hmac, enum mkt_hash hash, struct mkt_span key);

/* The MAC over all parts, one after the other; `mac` gets mkt_hash_length() octets. Parts and mac may overlap. */
MKT_MUST enum mkt_err mkt_hmac(const struct mkt_hmac *hmac, const struct mkt_span parts[], size_t n, uint8_t *mac);

/* AES in counter mode (RFC 3711 4.1.1), both ways; `key` has 16 or 32 octets, `out` room for `in.n`. */
MKT_MUST enum mkt_err mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out);

/* Octets of the kernel's random source. */
MKT_MUST enum mkt_err mkt_random(uint8_t *out, size_t n);

/* Sets octets to 0 so that no compiler takes it away. */
void mkt_wipe(void *p, size_t n);

/* Whether `n` octets are the same, in a time that depends on `n` alone. */
MKT_MUST bool mkt_same(const uint8_t *a, const uint8_t *b, size_t n);

#endif
