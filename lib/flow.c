/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

/* ---- what each message carries: in the order of RFC 6043 4.2, V last ---- */

static const struct mkt_rule transfer_init[] = {
    {MKT_T, 0, 1, 1},
    {MKT_RANDR, MKT_RANDR_I, 1, 1},
    {MKT_IDR, MKT_IDR_I, 0, 1},
    {MKT_IDR, MKT_IDR_R, 0, 1},
    {MKT_SP, 0, 0, MKT_ANY},
    {MKT_TICKET, 0, 1, 1},
    {MKT_KEMAC, 0, 0, 1},
    {MKT_GENERAL_EXT, MKT_EXT_SDP_IDS, 0, 1},
    {MKT_V, 0, 1, 1},
};

static const struct mkt_rule transfer_resp[] = {
    {MKT_T, 0, 1, 1},
    {MKT_RANDR, MKT_RANDR_R, 0, 1},
    {MKT_IDR, MKT_IDR_R, 0, 1},
    {MKT_RANDR, MKT_RANDR_KMS, 0, 1},
    {MKT_SP, 0, 0, MKT_ANY},
    {MKT_KEMAC, 0, 0, 1},
    {MKT_V, 0, 1, 1},
};

static const struct {
    enum mkt_data_type type;
    const struct mkt_rule *rule;
    size_t n;
} messages[] = {
    {MKT_TRANSFER_INIT, transfer_init, sizeof transfer_init / sizeof *transfer_init},
    {MKT_TRANSFER_RESP, transfer_resp, sizeof transfer_resp / sizeof *transfer_resp},
};

enum mkt_err mkt_rules_check(const struct mkt_message *message)
{
    /* 6.1: "The map type SRTP-ID SHALL NOT be used." */
    if (message->hdr.map_type == MKT_MAP_SRTP_ID)
        return MKT_E_MAP;
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        if (messages[i].type == (enum mkt_data_type)message->hdr.data_type)
            return mkt_message_check(message, messages[i].rule, messages[i].n);
    return MKT_E_DATA_TYPE;
}

/* ---- who makes or takes what, when ---- */

static const struct mkt_step steps[] = {
    /* Ticket Transfer, RFC 6043 4.2.2; without F there is no TRANSFER_RESP */
    {MKT_INITIATOR, MKT_FRESH, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_transfer_init, MKT_FLAG_F, MKT_MADE_TRANSFER},
    {MKT_INITIATOR, MKT_FRESH, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_transfer_init, 0, MKT_KEYED},
    {MKT_RESPONDER, MKT_FRESH, MKT_TAKE, MKT_TRANSFER_INIT, mkt_take_transfer_init, MKT_FLAG_F, MKT_TOOK_TRANSFER},
    {MKT_RESPONDER, MKT_FRESH, MKT_TAKE, MKT_TRANSFER_INIT, mkt_take_transfer_init, 0, MKT_KEYED},
    {MKT_RESPONDER, MKT_TOOK_TRANSFER, MKT_MAKE, MKT_TRANSFER_RESP, mkt_make_transfer_resp, MKT_FLAG_F, MKT_KEYED},
    {MKT_INITIATOR, MKT_MADE_TRANSFER, MKT_TAKE, MKT_TRANSFER_RESP, mkt_take_transfer_resp, MKT_FLAG_F, MKT_KEYED},
};

static const size_t n_steps = sizeof steps / sizeof *steps;

const struct mkt_step *mkt_steps(size_t *n)
{
    *n = n_steps;
    return steps;
}

const struct mkt_step *mkt_step_find(enum mkt_role role, enum mkt_state state, enum mkt_direction direction,
                                     unsigned message)
{
    for (size_t i = 0; i < n_steps; i++)
        if (steps[i].role == role && steps[i].state == state && steps[i].direction == direction &&
            (unsigned)steps[i].message == message)
            return &steps[i];
    return NULL;
}

enum mkt_state mkt_step_next(const struct mkt_step *step, uint16_t flags)
{
    for (const struct mkt_step *s = step; s < steps + n_steps; s++)
        if (s->role == step->role && s->state == step->state && s->act == step->act && s->f == (flags & MKT_FLAG_F))
            return s->next;
    return step->state;
}

bool mkt_takes(enum mkt_role role, enum mkt_state state)
{
    for (size_t i = 0; i < n_steps; i++)
        if (steps[i].role == role && steps[i].state == state && steps[i].direction == MKT_TAKE)
            return true;
    return false;
}
