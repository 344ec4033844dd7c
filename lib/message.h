/* SPDX-License-Identifier: BSD-3-Clause */
/* message: the common header and its payloads, what must be there, and where the MAC sits. */
#ifndef MKT_MESSAGE_H
#define MKT_MESSAGE_H

#include "payload.h"

#include <mikeyticket/message.h>

/* How often a payload of a type and role may stand in a message or a chain. What no rule names is unexpected:
 * "Unexpected payloads [...] SHOULD be ignored". Any order will do, but V and SIGN are last (design decision D13). */
struct mkt_rule {
    uint16_t type;
    uint8_t role, min, max;
};

enum { MKT_ANY = 255, MKT_MAX_RULES = 16 };

/* MKT_OK, MKT_E_MISSING, MKT_E_TOO_MANY or MKT_E_ORDER. */
MKT_MUST enum mkt_err mkt_message_check(const struct mkt_message *message, const struct mkt_rule rules[], size_t n,
                                        struct mkt_detail *detail);

/* The same of a chain that begins with type `first`; `found` gets for each rule the first payload that it names, of
 * type MKT_LAST if there is none. Also an error of mkt_payload_decode(). */
MKT_MUST enum mkt_err mkt_chain_collect(unsigned first, struct mkt_span octets, const struct mkt_rule rules[], size_t n,
                                        struct mkt_payload found[]);

/* True for REQUEST_INIT_PK and RESOLVE_INIT_PK; the variant with a pre-shared key of these, or else the same type. */
static inline bool mkt_is_pk(unsigned data_type)
{
    return data_type == MKT_REQUEST_INIT_PK || data_type == MKT_RESOLVE_INIT_PK;
}

static inline unsigned mkt_psk_variant(unsigned data_type)
{
    return mkt_is_pk(data_type) ? data_type - 1 : data_type; /* table 6.1 has them side by side */
}

/* True for TRANSFER_INIT and TRANSFER_RESP, those of an update included. */
static inline bool mkt_is_transfer(unsigned data_type)
{
    return data_type == MKT_TRANSFER_INIT || data_type == MKT_TRANSFER_RESP;
}

/* The MAC or signature of a message whose last payload is V or SIGN. */
static inline struct mkt_span mkt_message_proof(const struct mkt_message *message)
{
    const struct mkt_payload *last = &message->payload[message->n - 1];
    return last->type == MKT_SIGN ? last->sign.signature : last->v.mac;
}

/* The two parts of a message that its MAC or signature covers (RFC 6043 5.5): all except "the MAC/Signature field
 * itself" and, in a TRANSFER_INIT, Initiator Data and its length. `octets` are those that `message` views. */
void mkt_message_covered(const struct mkt_message *message, struct mkt_span octets, struct mkt_span part[2]);

/* Writes a message; `placed`, which may be its own payloads or NULL, then views what was written. */
void mkt_io_put_message(struct io *io, const struct mkt_message *message, struct mkt_payload placed[]);

/* One more payload of a type, zeroed, to be filled in; the caller has counted that MKT_MAX_PAYLOADS are enough. */
static inline struct mkt_payload *mkt_message_add(struct mkt_message *message, unsigned type)
{
    struct mkt_payload *payload = &message->payload[message->n++];
    *payload = (struct mkt_payload){.type = (uint16_t)type};
    return payload;
}

#endif
