/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of steps with a row for each role and each outcome. */
#ifndef FLAT_H
#define FLAT_H

#include "flow.h"

struct step {
    const struct mkt_step *row;
    enum mkt_role role;
    enum mkt_state state;
    enum mkt_direction direction;
    enum mkt_data_type message;
    enum mkt_outcome outcome;
    enum mkt_state next;
};

enum { MANY_STEPS = 128 };

/* Returns how many there are: MANY_STEPS if that was not room for all. */
static inline size_t flatten(struct step steps[MANY_STEPS])
{
    size_t n = 0;
    for (const struct mkt_step *row = mkt_steps; row < mkt_steps + mkt_n_steps; row++)
        for (unsigned role = MKT_INITIATOR; role <= MKT_KMS; role++)
            for (unsigned o = MKT_DONE; o <= MKT_RESOLVE && n < MANY_STEPS; o++)
                if ((row->roles & 1u << role) != 0 && row->next[o] != MKT_STATES)
                    steps[n++] = (struct step){row,          (enum mkt_role)role, row->state,  row->direction,
                                               row->message, (enum mkt_outcome)o, row->next[o]};
    return n;
}

#endif
