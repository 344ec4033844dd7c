/* SPDX-License-Identifier: BSD-3-Clause */
/* initiator_data: proves, with key forking, that the sender of the TRANSFER_INIT has requested the ticket (RFC 6043
 * 6.10): "Initiator Data = First Payload, Vi, Vr". */
#ifndef MKT_INITIATOR_DATA_H
#define MKT_INITIATOR_DATA_H

#include "message.h"
#include "protect.h"

/* Vi and Vr, their MACs still zeros, appended to `arena`: to stand in the TICKET payload of a message to be sealed. */
MKT_MUST enum mkt_err mkt_initiator_data_encode(enum mkt_suite suite, struct mkt_buf *arena, struct mkt_span *data);

/* Fills them in where they stand in `out`, in a TRANSFER_INIT that `message` views and whose V has its MAC. */
MKT_MUST enum mkt_err mkt_initiator_data_seal(enum mkt_suite suite, struct mkt_span mpkr,
                                              const struct mkt_message *message, struct mkt_buf *out);

/* The shape: MKT_E_MISSING, MKT_E_TOO_MANY, MKT_E_ORDER, or an error of mkt_payload_decode(). */
MKT_MUST enum mkt_err mkt_initiator_data_decode(struct mkt_span data, struct mkt_v *vi, struct mkt_v *vr);

/* Checks what needs no key: it is there if keys are forked and only then (6.10), MKT_E_INITIATOR_DATA; its shape; and
 * that Vi is `v`, the V of the TRANSFER_INIT (4.2.3.6), unless that is NULL: MKT_E_INITIATOR_MAC. */
MKT_MUST enum mkt_err mkt_initiator_data_check(struct mkt_span data, bool forked, const struct mkt_v *v);

/* Whether Vr was made with this MPKr: MKT_E_INITIATOR_MAC, MKT_E_MAC_ALG. */
MKT_MUST enum mkt_err mkt_initiator_data_verify(enum mkt_suite suite, struct mkt_span mpkr, struct mkt_span data);

#endif
