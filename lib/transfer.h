/* SPDX-License-Identifier: BSD-3-Clause */
/* transfer: the Ticket Transfer exchange (RFC 6043 4.2.2). */
#ifndef MKT_TRANSFER_H
#define MKT_TRANSFER_H

#include "exchange.h"

extern const struct mkt_acts mkt_acts_transfer_init, mkt_acts_transfer_resp;

/* The rest of taking the TRANSFER_INIT that the bundle keeps, once a KMS has given the keys of its ticket. */
extern const struct mkt_acts mkt_acts_resolved;

/* Finds the key of a TRANSFER_RESP: RANDRr, and with key forking the keys of its sender. Says nothing of its name. */
MKT_MUST enum mkt_err mkt_find_resp_key(struct mkt_txn *txn);

/* What a Responder remembers of a ticket that a KMS resolved (mkt_csb_save_resolved()). */
void mkt_io_resolved(struct io *io, struct mkt_bundle *bundle, struct mkt_span *ticket, struct mkt_id *self);

#endif
