/* SPDX-License-Identifier: BSD-3-Clause */
/* flow: THE PROTOCOL. What each message carries, and who may make or take it when: two tables. */
#ifndef MKT_FLOW_H
#define MKT_FLOW_H

#include "transfer.h"

/* What has happened to a bundle. */
enum mkt_state { MKT_FRESH, MKT_MADE_TRANSFER, MKT_TOOK_TRANSFER, MKT_KEYED };

enum mkt_direction { MKT_MAKE, MKT_TAKE };

/* One row: in a state a role makes or takes a message by an act, and is then in the next state. */
struct mkt_step {
    enum mkt_role role;
    enum mkt_state state;
    enum mkt_direction direction;
    enum mkt_data_type message;
    enum mkt_err (*act)(struct mkt_act *act);
    uint16_t f; /* MKT_FLAG_F or 0: the row that holds where the F flag of the ticket policy is so */
    enum mkt_state next;
};

/* The steps, for those who print them. */
const struct mkt_step *mkt_steps(size_t *n);

/* The first row for that, or NULL. */
const struct mkt_step *mkt_step_find(enum mkt_role role, enum mkt_state state, enum mkt_direction direction,
                                     unsigned message);

/* The state after a step, now that the flags of the ticket policy are known. */
enum mkt_state mkt_step_next(const struct mkt_step *step, uint16_t flags);

/* Whether a role takes any message in a state. */
bool mkt_takes(enum mkt_role role, enum mkt_state state);

/* Whether a message has the shape that its type demands: MKT_E_MAP, MKT_E_MISSING, MKT_E_MANY, MKT_E_ORDER. */
MKT_MUST enum mkt_err mkt_rules_check(const struct mkt_message *message);

#endif
