/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session: the crypto sessions of a message, their security policies and the keys that their SPIs name (RFC 6043
 * 6.1.1).
 */
#ifndef MKT_SESSION_H
#define MKT_SESSION_H

#include "exchange.h"

/* Adds the SPs of an offer to a TRANSFER_INIT, and sets the CS ID map; the keys of the bundle are known by then. */
MKT_MUST enum mkt_err mkt_sessions_offer(struct mkt_act *act, struct mkt_message *message);

/* Whether a TRANSFER_INIT has crypto sessions that this bundle can have: MKT_E_CS, MKT_E_PROT, MKT_E_SP, MKT_E_SPI. */
MKT_MUST enum mkt_err mkt_sessions_check_offered(const struct mkt_act *act, const struct mkt_message *message);

/* Sets the CS ID map of a TRANSFER_RESP to what was offered, each session with one policy and an SPI; adds an SP. */
MKT_MUST enum mkt_err mkt_sessions_answer(struct mkt_act *act, struct mkt_message *message);

/* Whether the TRANSFER_RESP that is taken has the crypto sessions of the TRANSFER_INIT: errors as above. */
MKT_MUST enum mkt_err mkt_sessions_check_answered(const struct mkt_act *act, const struct mkt_message *init);

/* Whether each SPI of a map names a session key of the bundle: MKT_E_SPI. `needed` where none may be left out. */
MKT_MUST enum mkt_err mkt_sessions_check_keys(const struct mkt_bundle *b, struct mkt_span map, bool needed);

#endif
