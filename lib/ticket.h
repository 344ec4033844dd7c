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
