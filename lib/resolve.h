/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve: the Ticket Resolve exchange (RFC 6043 4.2.3) with a pre-shared key. */
#ifndef MKT_RESOLVE_H
#define MKT_RESOLVE_H

#include "exchange.h"

/* With the RESOLVE_RESP a Responder goes on to take the TRANSFER_INIT that it keeps; a KMS passes it on. */
extern const struct mkt_acts mkt_acts_resolve_init, mkt_acts_resolve_resp;

/* Finds `txn->kms` of a KMS: the one that resolves a ticket (section 10), NULL if it is this one; MKT_E_KMS. */
MKT_MUST enum mkt_err mkt_find_kms(struct mkt_txn *txn, struct mkt_span resolve_init);

#endif
