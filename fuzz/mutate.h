/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mutator for libFuzzer that knows messages, and seals what it has made: as one who has all keys could, be that a
 * malicious Initiator, Responder or KMS. A target that links it has these. The first octet of its inputs says which
 * scene they are for, the others are a message, or the chain of a TICKET payload.
 */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include <mikeyticket.h>

/* Whether the input is a message, or else a TICKET payload. */
extern const bool mutate_message;

/* A right input for the same scene, of which pieces are taken. */
struct mkt_span mutate_example(uint8_t first);

/* Has an input taken by whoever verifies and decrypts it; those keys are what it is sealed with. */
void mutate_offer(uint8_t first, struct mkt_span input);

#endif
