/* SPDX-License-Identifier: BSD-3-Clause */
/* transfer: the Ticket Transfer exchange (RFC 6043 4.2.2). */
#ifndef MKT_TRANSFER_H
#define MKT_TRANSFER_H

#include "exchange.h"

/* Each is one step (struct mkt_act); a message that is taken has kept its rules already. */
MKT_MUST enum mkt_err mkt_make_transfer_init(struct mkt_act *act);
MKT_MUST enum mkt_err mkt_take_transfer_init(struct mkt_act *act);
MKT_MUST enum mkt_err mkt_make_transfer_resp(struct mkt_act *act);
MKT_MUST enum mkt_err mkt_take_transfer_resp(struct mkt_act *act);

#endif
