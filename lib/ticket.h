/* SPDX-License-Identifier: BSD-3-Clause */
/* ticket: the ticket policy, the MIKEY base ticket, and what keys must be like. */
#ifndef MKT_TICKET_H
#define MKT_TICKET_H

#include "host.h"
#include "message.h"
#include "protect.h"

#include <mikeyticket/ticket.h>

/* The policy alone, whatever the time: mkt_policy_check() without validity. */
MKT_MUST enum mkt_err mkt_policy_sound(const struct mkt_policy *policy);

/* The validity alone: MKT_E_EXPIRED or MKT_E_NOT_YET. */
MKT_MUST enum mkt_err mkt_policy_valid(const struct mkt_policy *policy, mkt_ntp now);

/* ---- keys: chains of Key data payloads, as a KEMAC holds them ---- */

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
 * Whether a chain has a session key with an SPI; an n-th MPK, from 0, of which the first is MPKi and the second MPKr (design
 * decision D7); an n-th session key, from 0: then it is in `key`.
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

/*
 * Appends a key to the chain that begins at octet `chain` of the room: random where the wish does not give it, with an SPI
 * that no key of this chain and of `others` has. `last` where no key will follow. Until then the chain is not whole.
 */
MKT_MUST enum mkt_err mkt_key_make(const struct mkt_host *host, enum mkt_suite suite, const struct mkt_key_wish *wish,
                                   bool last, const struct mkt_span others[2], struct mkt_buf *room,
                                   size_t chain);

/* ---- tickets ---- */

/* The Ticket Data of a base ticket, as it stands in a TICKET payload; unverified before it is unsealed. */
struct mkt_base_ticket {
    enum mkt_suite suite;
    struct mkt_t t;
    struct mkt_span rand;
    struct mkt_span encr_data; /* of the KEMAC */
    struct mkt_id idrpsk;      /* no data where it is left out */
    struct mkt_span covered, mac;
};

/* Reads it; its algorithms must be those of the suite that the policy's PRF belongs to. */
MKT_MUST enum mkt_err mkt_base_ticket_get(struct mkt_base_ticket *base, const struct mkt_payload *ticket,
                                          const struct mkt_policy *policy);

/* Verifies its MAC, decrypts its keys into `room` and checks them: `keys` is the chain MPK || {TEK|TGK|GTGK}. */
MKT_MUST enum mkt_err mkt_base_ticket_unseal(const struct mkt_base_ticket *base, const struct mkt_policy *policy,
                                             struct mkt_span tpk, struct mkt_buf *room, struct mkt_span *keys);

/* MPKi or MPKr of an MPK (A.2.2) by the PRF of the policy (design decision D6): as many octets as the MPK has. */
MKT_MUST enum mkt_err mkt_ticket_mpk(enum mkt_suite suite, enum mkt_derivation which, struct mkt_span mpk,
                                     struct mkt_span rand, uint8_t *out);

/* What a ticket of this holder's is made of: the TICKET payload, and its keys MPKi || [MPKr] || {TEK|TGK|GTGK}. */
MKT_MUST enum mkt_err mkt_ticket_payload_get(const struct mkt_ticket *ticket, struct mkt_payload *payload);
struct mkt_span mkt_ticket_keys(const struct mkt_ticket *ticket);

/* Whether a TRANSFER_INIT was made with it; from now on one was. */
bool mkt_ticket_used(const struct mkt_ticket *ticket);
void mkt_ticket_use(struct mkt_ticket *ticket);

#endif
