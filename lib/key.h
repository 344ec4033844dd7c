/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * key: chains of Key data payloads, as a KEMAC holds them, and what keys must be like (RFC 3830 6.13, RFC 6043 6.2.1).
 */
#ifndef MKT_KEY_H
#define MKT_KEY_H

#include "derive.h"
#include "host.h"
#include "payload.h"

#include <mikeyticket/key.h>

/* A walk over the keys of a chain; payloads of other types are passed over. */
struct mkt_keys {
    uint16_t type; /* of the next payload */
    struct mkt_span rest;
    enum mkt_err err; /* why it ended before its time */
};

struct mkt_keys mkt_keys_of(struct mkt_span chain);
bool mkt_keys_next(struct mkt_keys *keys, struct mkt_key_data *key);

/* How the keys of a chain must be (RFC 6043 6.2.1, 12.1; design decisions D2, D8, D19, D24). */
struct mkt_key_rules {
    enum mkt_suite suite;
    size_t n_mpk;              /* just so many MPKs */
    uint16_t flags;            /* of the ticket policy, where F must agree with I and the TGKs; 0 where it need not */
    struct mkt_span others[2]; /* chains of the same bundle, whose SPIs the keys must not have */
};

/* MKT_E_MANY, MKT_E_MPK, MKT_E_SPI, MKT_E_KEY_LENGTH, MKT_E_FLAGS, or what is malformed. */
MKT_MUST enum mkt_err mkt_keys_check(struct mkt_span chain, const struct mkt_key_rules *rules);

/*
 * Whether a chain has a session key with an SPI; an n-th MPK, from 0, of which the first is MPKi and the second MPKr
 * (design decision D7); an n-th session key, from 0: then it is in `key`.
 */
bool mkt_keys_find(struct mkt_span chain, struct mkt_span spi, struct mkt_key_data *key);
bool mkt_keys_mpk(struct mkt_span chain, size_t n, struct mkt_key_data *key);
bool mkt_keys_session(struct mkt_span chain, size_t n, struct mkt_key_data *key);

/* Whether a key is a TEK itself: not derived from, and not shared by crypto sessions. */
bool mkt_key_is_tek(const struct mkt_key_data *key);

/* The octets of the longest MPK, TGK or GTGK: what RANDs must be as long as (12.1). */
size_t mkt_keys_longest(struct mkt_span chain);
size_t mkt_wishes_longest(enum mkt_suite suite, const struct mkt_key_wish wishes[], size_t n);

/* Octets of an SPI that this library gives. */
enum { MKT_SPI = 4 };

/* Appends a key to a chain, and views it where it now stands; what has no octets yet is zeros there. */
MKT_MUST enum mkt_err mkt_key_put(struct mkt_buf *room, const struct mkt_key_data *key, bool last,
                                  struct mkt_key_data *placed);

/* An SPI that no key of the chains has. */
MKT_MUST enum mkt_err mkt_spi_draw(const struct mkt_host *host, const struct mkt_span chains[], size_t n,
                                   uint8_t spi[MKT_SPI]);

/* Octets of key and salt that a wish takes, at most. */
size_t mkt_wish_length(enum mkt_suite suite, const struct mkt_key_wish *wish);

/*
 * Appends a key to the chain that begins at octet `chain` of the room: random where the wish does not give it, with an
 * SPI that no key of this chain and of `others` has. `last` where no key will follow. Until then the chain is not
 * whole.
 */
MKT_MUST enum mkt_err mkt_key_make(const struct mkt_host *host, enum mkt_suite suite, const struct mkt_key_wish *wish,
                                   bool last, const struct mkt_span others[2], struct mkt_buf *room,
                                   size_t chain);

#endif
