/* SPDX-License-Identifier: BSD-3-Clause */
/* flow: THE PROTOCOL. What each message carries, who may make or take it when, what each state means: three tables. */
#ifndef MKT_FLOW_H
#define MKT_FLOW_H

#include "exchange.h"

/* What has happened to a bundle. */
enum mkt_state {
    MKT_FRESH,
    MKT_MADE_REQUEST,
    MKT_TOOK_REQUEST,
    MKT_MADE_TRANSFER,
    MKT_SUSPENDED, /* a KMS must resolve the ticket */
    MKT_MADE_RESOLVE,
    MKT_TOOK_RESOLVE,
    MKT_TOOK_TRANSFER,
    MKT_KEYED,
    MKT_MADE_UPDATE,
    MKT_TOOK_UPDATE,
    MKT_STATES
};

enum mkt_direction { MKT_MAKE, MKT_TAKE };

/* One row: in a state a role makes or takes a message by a transaction, and is then in the next state. */
struct mkt_step {
    unsigned roles; /* 1 << role, for each role that does this */
    enum mkt_state state;
    enum mkt_direction direction;
    enum mkt_data_type message;
    enum mkt_state next[MKT_RESOLVE + 1]; /* by the outcome of the transaction; MKT_STATES: it never has that one */
};

extern const struct mkt_step mkt_steps[];
extern const size_t mkt_n_steps;

/* The first row for that, or NULL; MKT_STATES is any state. */
enum { MKT_ANY_MESSAGE = 256 };
const struct mkt_step *mkt_step_find(enum mkt_role role, enum mkt_state state, enum mkt_direction direction,
                                     unsigned message);

/* The keys of crypto sessions that are known in a state. */
enum mkt_known_keys { MKT_NO_KEYS, MKT_SOME_KEYS, MKT_ALL_KEYS };

/* One row: what it means that a role is in a state. */
struct mkt_state_row {
    unsigned roles; /* 1 << role, for each */
    enum mkt_state state;
    enum mkt_data_type kept; /* the type of mkt_bundle.init, or its variant with public keys; MKT_PSK: no message is
                                kept, no exchange is under way */
    enum mkt_known_keys keys;
    bool owes_answer;         /* a peer waits for a message of this party */
    enum mkt_state abandoned; /* the state to which the role goes back if it gives the exchange up */
};

/* The row for that, or NULL if the role is never in the state. */
const struct mkt_state_row *mkt_state_find(enum mkt_role role, enum mkt_state state);

/* Checks if a message has the shape that its type demands, in the first exchange or in an update: MKT_E_DATA_TYPE,
 * MKT_E_BAD_MAP, MKT_E_MISSING, MKT_E_TOO_MANY, MKT_E_ORDER. */
MKT_MUST enum mkt_err mkt_rules_check(const struct mkt_message *message, bool update, struct mkt_detail *detail);

/* What is done with a message, in the first exchange or in an update; NULL for Error messages and unknown types. */
const struct mkt_acts *mkt_acts_of(unsigned type, bool update);

#endif
