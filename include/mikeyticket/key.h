/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file key.h
 * Keys that a ticket or a KEMAC is to have (RFC 3830 6.13, RFC 6043 6.2.1).
 */
#ifndef MIKEYTICKET_KEY_H
#define MIKEYTICKET_KEY_H

#include <mikeyticket/payload.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How many keys a KEMAC may have. */
enum { MKT_MAX_KEYS = 32 };

/**
 * A key for a ticket or a KEMAC, or a key that an Initiator asks its KMS for. Zero is right for all but size and
 * type. All elements of an array have the same size.
 *
 * Each key has an SPI (RFC 6043 6.2.1, D30): the library draws one if `kv` does not give it. No two session keys of a
 * bundle have the same. Give no SPI a second time in a call, even if its first key is gone here: after an update
 * without an answer the other end may still have that key.
 */
struct mkt_key_wish {
    size_t size;          /**< needed: sizeof(struct mkt_key_wish), as mkt_key_wish_init() sets it */
    uint8_t type;         /**< MKT_KEY_TGK to MKT_KEY_GTGK_SALT */
    bool any_spi;         /**< sent in a request: no SPI, which leaves it to the KMS; false */
    size_t length;        /**< of a random key, in octets; 0: that of the suite */
    size_t salt_length;   /**< of a random salt, in octets; 0: 14 */
    struct mkt_span key;  /**< the key itself; empty: random. Not sent in a request */
    struct mkt_span salt; /**< the salt itself, if the type has one; empty: random. Not sent in a request */
    struct mkt_kv kv;     /**< MKT_KV_SPI: the SPI, 1 to 255 octets; MKT_KV_NULL: a random SPI of 4 octets, or with
                               `any_spi` none; MKT_KV_INTERVAL: sent in a request, elsewhere as MKT_KV_NULL */
};

/** Clears a key wish, and sets its size and its type: MKT_KEY_TGK to MKT_KEY_GTGK_SALT. */
static inline void mkt_key_wish_init(struct mkt_key_wish *wish, uint8_t type)
{
    memset(wish, 0, sizeof *wish);
    wish->size = sizeof *wish;
    wish->type = type;
}

#ifdef __cplusplus
}
#endif
#endif
