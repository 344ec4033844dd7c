/* SPDX-License-Identifier: BSD-3-Clause */
/* payload: the wire format of every payload, once. */
#ifndef MKT_PAYLOAD_H
#define MKT_PAYLOAD_H

#include "io.h"

#include <mikeyticket/payload.h>

/* The CS ID map of a HDR: GET finds its length and leaves it in `map`, PUT checks that it has `n` sessions. */
void mkt_io_map(struct io *io, uint8_t map_type, uint8_t n, struct mkt_span *map);

/* Reads the payload of type `*type`; `*type` is then that of the next, and after the last nothing may be left. */
void mkt_io_get_payload(struct io *io, uint16_t *type, struct mkt_payload *payload);

/* One payload of a chain; returns the type of the next, which PUT writes. After PUT its spans view what was written. */
uint8_t mkt_io_payload(struct io *io, struct mkt_payload *payload, uint8_t next);

/* Writes a chain; `placed`, which may be the same or NULL, then views what was written. */
void mkt_io_put_payloads(struct io *io, const struct mkt_payload payload[], size_t n, struct mkt_payload placed[]);

/* What stands in the Next Payload field before a chain: the type of its first payload. */
uint8_t mkt_io_first(struct io *io, const struct mkt_payload payload[], size_t n);

/* Whether keys of a type come with a salt (RFC 3830 table 6.13.a, RFC 6043 table 6.7): "only included if the salt is
 * specified in the Type-field" */
static inline bool mkt_key_has_salt(uint16_t key_type)
{
    return key_type == MKT_KEY_TGK_SALT || key_type == MKT_KEY_TEK_SALT || key_type == MKT_KEY_GTGK_SALT;
}

/* The octets of a MAC (RFC 3830 table 6.2.b, RFC 6043 table 6.6); 0 for NULL and for what is unknown. */
static inline size_t mkt_mac_length(uint8_t mac_alg)
{
    return mac_alg == MKT_MAC_HMAC_SHA_1_160 ? 20 : mac_alg == MKT_MAC_HMAC_SHA_256_256 ? 32 : 0;
}

#endif
