/* SPDX-License-Identifier: BSD-3-Clause */
/* session: the crypto sessions of a message, their security policies, and the keys that they name (RFC 6043 6.1.1). */
#ifndef MKT_SESSION_H
#define MKT_SESSION_H

#include "exchange.h"

/* SPs that a caller may give: a message has at most 9 other payloads, those of before included. */
enum { MKT_MAX_SPS = MKT_MAX_PAYLOADS - 9 };

/* Adds the SPs of an offer or update, sets the CS ID map, and checks them; `settled` as below. The keys are there. */
MKT_MUST enum mkt_err mkt_sessions_offer(struct mkt_txn *txn, struct mkt_message *message, bool settled);

/* Checks if a bundle can have the crypto sessions of a message: MKT_E_CS, MKT_E_PROT, MKT_E_SP, MKT_E_SPI. `init` is
 * the one that it answers, whose sessions it must have, or NULL; `settled`: no response will settle what is open. */
MKT_MUST enum mkt_err mkt_sessions_check(const struct mkt_txn *txn, const struct mkt_message *message,
                                         const struct mkt_message *init, bool settled);

/* Sets the CS ID map of a TRANSFER_RESP to what was offered, each session with one policy and an SPI; adds SPs. */
MKT_MUST enum mkt_err mkt_sessions_answer(struct mkt_txn *txn, struct mkt_message *message);

/* The crypto session of a map with a CS ID. */
bool mkt_cs_find(struct mkt_span map, uint8_t cs_id, struct mkt_cs *cs);

/* Whether one of the sessions of a map has an SPI. */
bool mkt_spi_in(struct mkt_span map, struct mkt_span spi);

/* Whether each SPI of a map names a session key of the bundle: MKT_E_SPI. `needed` where none may be left out. */
MKT_MUST enum mkt_err mkt_sessions_check_keys(const struct mkt_bundle *b, struct mkt_span map, bool needed);

/* The sessions of a message become those of the bundle, and replace those with the same CS ID. So do the SPs that they
 * name, of that message, of the one that it answers (or NULL), or agreed on before. */
MKT_MUST enum mkt_err mkt_sessions_settle(struct mkt_txn *txn, const struct mkt_message *message,
                                          const struct mkt_message *init);

/* Whether each session of the bundle has what mkt_sessions_settle() gives it: one policy with its SP, and a key. */
bool mkt_sessions_whole(const struct mkt_bundle *b);

/* Takes the next SP off mkt_bundle.sps. */
MKT_MUST enum mkt_err mkt_sps_next(struct mkt_sp *sp, struct mkt_span *rest);

#endif
