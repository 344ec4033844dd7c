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

/** A key for a ticket or a KEMAC: random, or given. */
struct mkt_key_wish {
    uint8_t type;         /**< MKT_KEY_TGK to MKT_KEY_GTGK_SALT */
    size_t length;        /**< of a random key, in octets; 0: that of the suite */
    size_t salt_length;   /**< of a random salt, in octets; 0: 14 */
    struct mkt_span key;  /**< the key itself; empty: random */
    struct mkt_span salt; /**< the salt itself, where the type has one; empty: random */
};

#ifdef __cplusplus
}
#endif
#endif
