/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must hold in the world of fuzz/world.h, whatever the network and Mallory do:
 *
 * - Only messages that a party made are accepted, and nobody accepts a message of its own.
 * - No initial message is taken twice by the same party, and updates only in the order in which they were made.
 * - The peer, as mkt_csb_peer() names it, is who made the message.
 * - Both ends have the same TEKs, salts and PSK identities.
 * - No key and IV encrypt two plaintexts.
 * - Authenticated Error messages are real: somebody made them, about a message of the one that gets them.
 * - The KMS takes Mallory for nobody else, and resolves a ticket for those alone whom its policy names.
 * - A Responder that was neither called nor is named in the ticket policy is taken only with key forking, and if the
 *   host says yes; so is an Initiator if the policy names none. A host that says no is obeyed.
 * - A ticket without N is used only by an Initiator whose host opens tickets, one without O only by such a Responder.
 * - A replay cache holds no more than what was accepted and made.
 *
 * That what is refused leaves everything as it was, fuzz/world.c checks of each call.
 */
#ifndef FUZZ_ORACLE_H
#define FUZZ_ORACLE_H

#include "world.h"

/* What must hold, or the fuzzer has found something. */
void require(bool holds);

uint64_t hash_of(uint64_t before, struct mkt_span octets);

/* The octets that name a ticket: of the TICKET payload of a message, hashed; 0 if there is none. */
uint64_t ticket_of(struct mkt_span message);

/* Who made a letter. */
enum name maker_of(const struct letter *letter);

/* The letter with these octets that somebody made, or NONE. */
int made_letter(const struct world *world, struct mkt_span octets);

/* The same, or for a TRANSFER_INIT a letter that differs in the Initiator Data alone: its MAC does not cover that. */
int verified_letter(const struct world *world, struct mkt_span octets);

/* Forgets all that was encrypted; a new world. */
void oracle_begin(void);

/*
 * What is encrypted from here on counts only if oracle_sent() follows: a failed call hands no ciphertext out. No key
 * and IV may encrypt two plaintexts.
 */
void oracle_call(void);
void oracle_sent(void);

/* Mallory encrypts by hand, which does not count. */
void oracle_pause(bool paused);

/* An end has made a letter; has taken octets, and was suspended then or not. */
void oracle_made(struct world *world, int letter);
void oracle_took(struct world *world, struct end *end, struct mkt_span octets);

/* Whatever happened before: who the peer is, and what a bundle offers to its holder. */
void oracle_look(const struct world *world, const struct end *end);

#endif
