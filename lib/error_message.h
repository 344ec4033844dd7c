/* SPDX-License-Identifier: BSD-3-Clause */
/* error_message: Error messages (RFC 6043 5.4). They change nothing in a bundle. */
#ifndef MKT_ERROR_MESSAGE_H
#define MKT_ERROR_MESSAGE_H

#include "exchange.h"

/* Makes one about `txn->in`, whose HDR decodes; `txn->message` is it, or NULL if the rest of it does not decode or has
 * not the shape that its type demands. It has a MAC if that message was authentic. */
MKT_MUST enum mkt_err mkt_make_error(struct mkt_txn *txn, const struct mkt_hdr *about, enum mkt_err why,
                                     const struct mkt_sp sp[], size_t n_sp);

/* Takes one, and tells the host of it. */
MKT_MUST enum mkt_err mkt_take_error(struct mkt_txn *txn);

#endif
