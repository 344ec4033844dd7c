/* SPDX-License-Identifier: BSD-3-Clause */
/* The programs of fuzz/model.c, for what makes them. */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* Operations: the octet of one is taken modulo their number. Those in the end are there again, as they are wanted
 * more. */
enum {
    OP_CALL,
    OP_TICKET,
    OP_OFFER,
    OP_RING,
    OP_GO_ON,
    OP_DELIVER,
    OP_ANSWER,
    OP_UPDATE,
    OP_ERROR,
    OP_ABANDON,
    OP_RESTORE,
    OP_CLOCK,
    OP_CHANGE,
    OP_CUT,
    OP_SPLICE,
    OP_EXCHANGE,
    OP_KEEP,
    OP_STEAL,
    OP_FORGE,
    OP_OPEN,
    OP_REQUEST,
    OP_LOOK,
    OP_UPDATE_TOO,
    OP_RING_TOO,
    OP_DELIVER_TOO,
    OPERATIONS
};

/* The octets of an operation, with its arguments. */
enum { MODEL_ARGUMENTS = 5 };
size_t model_length(uint8_t operation);

/* Arguments that are bits: flags of a ticket policy, who may use the ticket, and what else there is to say of it. */
enum {
    TICKET_F = 1,
    TICKET_G = 2,
    TICKET_I = 4,
    TICKET_J = 8,
    TICKET_L = 16,
    TICKET_M = 32,
    TICKET_E = 64,
    TICKET_ENDS = 128
};
enum {
    FOR_BOB = 1,
    FOR_CAROL = 2,
    FOR_TEAM = 4,
    FOR_MALLORY = 8,
    WITHOUT_N = 16,
    WITHOUT_O = 32,
    OF_TYPE_2 = 64,
    WITH_SUITE_128 = 128
};
enum { WITHOUT_INITIATOR = 128 /* beside the keys that are asked for */ };

#endif
