/* SPDX-License-Identifier: BSD-3-Clause */
/* key: chains of Key data payloads, as a KEMAC has them, and what keys must be (RFC 3830 6.13, RFC 6043 6.2.1). */
#ifndef MKT_KEY_H
#define MKT_KEY_H

#include "derive.h"
#include "host.h"
#include "payload.h"
#include "sized.h"

#include <mikeyticket/key.h>

/* A walk over the keys of a chain; payloads of other types are passed over. */
struct mkt_keys {
    uint16_t type; /* of the next payload */
    struct mkt_span rest;
    enum mkt_err err; /* why it ended before its time */
};

static inline struct mkt_keys mkt_keys_of(struct mkt_span chain)
{
    return (struct mkt_keys){chain.n > 0 ? MKT_KEY_DATA : MKT_LAST, chain, MKT_OK};
}

bool mkt_keys_next(struct mkt_keys *keys, struct mkt_key_data *key);

/* The same of session keys alone: MPKs are passed over. */
bool mkt_keys_next_session(struct mkt_keys *keys, struct mkt_key_data *key);

/* io_done() for octets that hold secrets: after an error nothing of them stays in the caller's buffer. */
MKT_MUST enum mkt_err mkt_done_secret(const struct io *io, struct mkt_buf *out);

/* The chains of keys that one bundle has, at most. */
enum { MKT_CHAINS = 4 };

/* How the keys of a chain must be (RFC 6043 6.2.1, 12.1; design decisions D2, D8, D19, D24). */
struct mkt_key_rules {
    enum mkt_suite suite;
    size_t n_mpk;   /* just so many MPKs */
    uint16_t flags; /* of the ticket policy, where F must agree with I and the TGKs; 0 where it need not */
    struct mkt_span others[MKT_CHAINS]; /* of the same bundle, whose SPIs the keys must not have */
};

/* MKT_E_TOO_MANY, MKT_E_MPK, MKT_E_SPI, MKT_E_KEY_LENGTH, MKT_E_FLAGS, or what is malformed. */
MKT_MUST enum mkt_err mkt_keys_check(struct mkt_span chain, const struct mkt_key_rules *rules);

/* True if a chain has a session key with an SPI; an n-th MPK, from 0: the first is MPKi, the second MPKr (D7); an n-th
 * session key, from 0. Then it is in `key`. */
bool mkt_keys_find(struct mkt_span chain, struct mkt_span spi, struct mkt_key_data *key);
bool mkt_keys_mpk(struct mkt_span chain, size_t n, struct mkt_key_data *key);
bool mkt_keys_session(struct mkt_span chain, size_t n, struct mkt_key_data *key);

/* Whether a key is a TGK, which is forked; a GTGK is none. */
static inline bool mkt_key_is_tgk(const struct mkt_key_data *key)
{
    return key->type == MKT_KEY_TGK || key->type == MKT_KEY_TGK_SALT;
}

/* Whether keys of a type are TEKs themselves: not derived from, and not shared by crypto sessions. */
static inline bool mkt_key_is_tek(unsigned type)
{
    return type == MKT_KEY_TEK || type == MKT_KEY_TEK_SALT;
}

/* The octets of the longest MPK, TGK or GTGK: RANDRi and RANDRr must be as long (12.1). With `forked`, those of the
 * longest MPKr or TGK: so must RANDRkms be. */
size_t mkt_keys_longest(struct mkt_span chain, bool forked);
size_t mkt_wishes_longest(enum mkt_suite suite, const struct mkt_key_wish wishes[], size_t n);

/* Octets of an SPI that this library gives. */
enum { MKT_SPI = 4 };

/* A chain at the end of an arena, to which nothing else is appended meanwhile. Begins as {arena, arena->n, NULL}. */
struct mkt_chain {
    struct mkt_buf *arena;
    size_t from;   /* the octet of the arena that it begins with */
    uint8_t *next; /* Next Payload of its last key, or NULL */
};

/* Appends a key, which then views what stands there: zeros in the place of octets that it does not have yet. */
MKT_MUST enum mkt_err mkt_key_append(struct mkt_chain *chain, struct mkt_key_data *key);

/* Keys to be made, in this order. */
struct mkt_wishes {
    const struct mkt_key_wish *wish;
    size_t n;
    enum mkt_suite suite;
    bool desired; /* in a desired KEMAC: keys and salts are zero, and Key Validity may be other than an SPI */
};

/* An SPI that no key of the chains has, and that no wish gives. */
MKT_MUST enum mkt_err mkt_spi_draw(const struct mkt_host *host, const struct mkt_span chains[], size_t n,
                                   const struct mkt_wishes *wishes, uint8_t spi[MKT_SPI]);

/* Sets the lengths of a wish to those of the key and of the salt that it is for. */
void mkt_wish_complete(enum mkt_suite suite, struct mkt_key_wish *wish);

/* Reads and completes the n-th wish of the caller's, which all have one size: false as mkt_sized_copy(). */
bool mkt_wish_at(enum mkt_suite suite, const struct mkt_key_wish *wishes, size_t n, struct mkt_key_wish *wish);

/* Appends keys: random if a wish does not give them, with SPIs that no key of this chain and of `others` (or NULL) has.
 * MKT_E_SPI: two wishes give one SPI, or one is empty. MKT_E_ARGUMENT: a wish of unknown type or size. */
MKT_MUST enum mkt_err mkt_keys_make(const struct mkt_host *host, const struct mkt_wishes *wishes,
                                    const struct mkt_span others[MKT_CHAINS], struct mkt_chain *chain);

/* Key forking (RFC 6043 5.1.1): appends the chain with MPKr and the TGKs, which only Initiator and KMS know, forked by
 * the modifier; "The TEKs and GTGKs (Group TGKs), however, SHALL NOT be forked." */
MKT_MUST enum mkt_err mkt_keys_fork(enum mkt_suite suite, struct mkt_span chain, const struct mkt_id *idrr,
                                    struct mkt_span randkms, struct mkt_buf *arena, struct mkt_span *forked);

#endif
