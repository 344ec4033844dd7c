/* SPDX-License-Identifier: BSD-3-Clause */
/* update: CSB updating, the Ticket Transfer exchange again (RFC 6043 5.2), started by either end. */
#ifndef MKT_UPDATE_H
#define MKT_UPDATE_H

#include "exchange.h"

extern const struct mkt_acts mkt_acts_update_init, mkt_acts_update_resp;

/* True if the own identity comes first in an update, as in one that this party makes (5.2): both ends protect with the
 * same keys, so its own could be sent back to it. */
bool mkt_update_has_own_order(const struct mkt_txn *txn);

/* Whether the identities in an update are those agreed on: MKT_E_INITIATOR, MKT_E_RESPONDER. */
MKT_MUST enum mkt_err mkt_check_update_identities(const struct mkt_txn *txn);

#endif
