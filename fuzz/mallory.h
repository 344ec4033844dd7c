/* SPDX-License-Identifier: BSD-3-Clause */
/* What Mallory can do beyond the API: she opens what her keys open, and seals messages by hand with them. */
#ifndef FUZZ_MALLORY_H
#define FUZZ_MALLORY_H

#include "world.h"

/* Mallory has the key that she shares with the KMS, and a TPK. */
void mallory_begin(void);

/* She learns the keys of a ticket as mkt_ticket_save() and mkt_csb_save_resolved() write it. */
void mallory_learns(struct mkt_span stored);

/* She makes the ticket of what the KMS resolved for her, as if it had been granted to her; NULL if it can't be. */
struct mkt_ticket *mallory_steals(const struct end *end, struct mkt_span resolved);

/*
 * She changes a letter, with what another one has, and seals it with the `key`-th key that she has. `how` says what she
 * changes, `phase` which keys she derives, and if Initiator Data is made anew.
 */
void mallory_forges(const struct letter *letter, const struct letter *other, unsigned key, unsigned how,
                    unsigned phase);

#endif
