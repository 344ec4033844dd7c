/* SPDX-License-Identifier: BSD-3-Clause */
/* update: CSB updating, the Ticket Transfer exchange again (RFC 6043 5.2), started by either end. */
#ifndef MKT_UPDATE_H
#define MKT_UPDATE_H

#include "exchange.h"

/* Each is one step (struct mkt_act); a message that is taken has kept its rules already. */
MKT_MUST enum mkt_err mkt_make_update_init(struct mkt_act *act);
MKT_MUST enum mkt_err mkt_take_update_init(struct mkt_act *act);
MKT_MUST enum mkt_err mkt_make_update_resp(struct mkt_act *act);
MKT_MUST enum mkt_err mkt_take_update_resp(struct mkt_act *act);

#endif
