/* SPDX-License-Identifier: BSD-3-Clause */
/* ticket: the MIKEY base ticket (RFC 6043 Appendix A), sealed, opened and held. */
#ifndef MKT_TICKET_H
#define MKT_TICKET_H

#include "key.h"
#include "message.h"
#include "policy.h"
#include "protect.h"

#include <mikeyticket/ticket.h>

/* The Ticket Data of a base ticket, as it stands in a TICKET payload; unverified before it is unsealed. */
struct mkt_base_ticket {
    enum mkt_suite suite;
    struct mkt_t t;
    struct mkt_span rand;
    struct mkt_span encr_data; /* of the KEMAC */
    struct mkt_id idrpsk;      /* no data where it is left out */
    struct mkt_span covered, mac;
    struct mkt_span keys; /* not encrypted: MPK || {TEK|TGK|GTGK} */
};

/* Reads it; its algorithms must be those of the suite that the policy's PRF belongs to. */
MKT_MUST enum mkt_err mkt_base_ticket_decode(struct mkt_base_ticket *base, const struct mkt_payload *ticket,
                                             const struct mkt_policy *policy);

/* MKT_E_TICKET_TYPE unless the flag (N: Initiator, O: Responder) or the host's `open` lets a ticket be used (D24). */
MKT_MUST static inline enum mkt_err mkt_ticket_use_check(const struct mkt_host *host, const struct mkt_policy *policy,
                                                         uint16_t flag)
{
    return (policy->flags & flag) != 0 || host->open != NULL ? MKT_OK : MKT_E_TICKET_TYPE;
}

/* Verifies and opens a ticket, with the TPK that the host has for it, or by the host itself if it is of a type of its
 * own: MKT_E_TICKET_TYPE without `open`. `keys` is the chain MPKi || [MPKr] || {TEK|TGK|GTGK}, in the arena. Random is
 * the SPI of MPKr, if `mpkr` says that it is wanted. */
MKT_MUST enum mkt_err mkt_ticket_resolve(const struct mkt_host *host, const struct mkt_payload *ticket,
                                         const struct mkt_policy *policy, bool mpkr, struct mkt_buf *arena,
                                         struct mkt_span *keys, struct mkt_detail *detail);

/* The octets of a TICKET payload that name it: from Ticket Type to Ticket Data. */
struct mkt_span mkt_ticket_octets(const struct mkt_payload *ticket);

/* Their SHA-256, of MKT_MAX_HASH octets. */
MKT_MUST static inline enum mkt_err mkt_ticket_hash(const struct mkt_payload *ticket, uint8_t *hash)
{
    const struct mkt_span octets = mkt_ticket_octets(ticket);
    return mkt_hash_of(MKT_HASH_SHA_256, &octets, 1, hash);
}

/* Makes one from a TICKET payload with Next Payload 0, and the keys of its holder; both are copied. If it counts as
 * used, its policy must not have J: MKT_E_STORED. */
MKT_MUST enum mkt_err mkt_ticket_hold(struct mkt_ticket **ticket, const struct mkt_host *host, struct mkt_span payload,
                                      struct mkt_span keys, bool used);

/* mkt_ticket_make() for a user. */
MKT_MUST enum mkt_err mkt_ticket_make_for(void *user, struct mkt_ticket **ticket, const struct mkt_host *host,
                                          const struct mkt_ticket_recipe *recipe);

/* Decodes a TICKET payload with Next Payload 0 and without Initiator Data; its policy, too, unless that is NULL. */
MKT_MUST enum mkt_err mkt_ticket_payload_of(struct mkt_span octets, struct mkt_payload *payload,
                                            struct mkt_policy *policy);

/* The MPKs of the holder of a ticket. 4.2.1.5: "If key forking [...] is used [...] a second MPK, MPKr, SHALL be
 * included": beside MPKi. */
static inline size_t mkt_ticket_mpks(const struct mkt_policy *policy)
{
    return (policy->flags & MKT_FLAG_I) != 0 ? 2 : 1;
}

/* Whether a chain is MPKi || [MPKr] || {TEK|TGK|GTGK}: an error of mkt_keys_check(). */
MKT_MUST enum mkt_err mkt_ticket_keys_check(const struct mkt_policy *policy, struct mkt_span keys);

/* A ticket as its holder has it, of one allocation. */
struct mkt_ticket {
    void (*release)(void *user, void *p); /* of the host that it was made with, and its user */
    void *user;
    size_t size;             /* octets of the allocation */
    bool reusable, used;     /* its policy has J; a TRANSFER_INIT was made with it */
    struct mkt_span payload; /* TICKET: Next Payload 0, no Initiator Data */
    struct mkt_span keys;    /* MPKi || [MPKr] || {TEK|TGK|GTGK} */
    uint8_t octets[];
};

#endif
