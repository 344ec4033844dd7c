/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

#include "request.h"
#include "resolve.h"
#include "transfer.h"
#include "update.h"

/* ---- what each message carries, in the order of RFC 6043 4.2, V or SIGN last; the parts of taking it ---- */

static const struct mkt_rule request_init[] = {
    {MKT_T, 0, 1, 1},
    {MKT_RANDR, MKT_RANDR_I, 1, 1},
    {MKT_IDR, MKT_IDR_I, 0, 1},
    {MKT_IDR, MKT_IDR_KMS, 0, 1},
    {MKT_TP, 0, 1, 1},
    {MKT_IDR, MKT_IDR_PSK, 0, 1},
    {MKT_V, 0, 1, 1},
};

static const struct mkt_rule request_init_pk[] = {
    {MKT_T, 0, 1, 1},
    {MKT_RANDR, MKT_RANDR_I, 1, 1},
    {MKT_IDR, MKT_IDR_I, 0, 1},
    {MKT_CERT, 0, 0, MKT_MAX_CERTIFICATES},
    {MKT_IDR, MKT_IDR_KMS, 0, 1},
    {MKT_TP, 0, 1, 1},
    {MKT_CHASH, 0, 0, 1},
    {MKT_PKE, 0, 1, 1},
    {MKT_SIGN, 0, 1, 1},
};

static const struct mkt_rule request_resp[] = {
    {MKT_T, 0, 1, 1},
    {MKT_IDR, MKT_IDR_KMS, 0, 1},
    {MKT_TICKET, 0, 1, 1},
    {MKT_KEMAC, 0, 1, 1},
    {MKT_V, 0, 1, 1},
};

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

static const struct mkt_rule resolve_init[] = {
    {MKT_T, 0, 1, 1},
    {MKT_RANDR, MKT_RANDR_R, 1, 1},
    {MKT_IDR, MKT_IDR_R, 0, 1},
    {MKT_IDR, MKT_IDR_KMS, 0, 1},
    {MKT_TICKET, 0, 1, 1},
    {MKT_IDR, MKT_IDR_PSK, 0, 1},
    {MKT_V, 0, 1, 1},
};

static const struct mkt_rule resolve_init_pk[] = {
    {MKT_T, 0, 1, 1},
    {MKT_RANDR, MKT_RANDR_R, 1, 1},
    {MKT_IDR, MKT_IDR_R, 0, 1},
    {MKT_CERT, 0, 0, MKT_MAX_CERTIFICATES},
    {MKT_IDR, MKT_IDR_KMS, 0, 1},
    {MKT_TICKET, 0, 1, 1},
    {MKT_CHASH, 0, 0, 1},
    {MKT_PKE, 0, 1, 1},
    {MKT_SIGN, 0, 1, 1},
};

static const struct mkt_rule resolve_resp[] = {
    {MKT_T, 0, 1, 1},
    {MKT_IDR, MKT_IDR_KMS, 0, 1},
    {MKT_KEMAC, 0, 1, 1},
    {MKT_IDR, MKT_IDR_R, 0, 1},
    {MKT_RANDR, MKT_RANDR_KMS, 0, 1},
    {MKT_V, 0, 1, 1},
};

/* 5.2: TRANSFER_INIT and TRANSFER_RESP of an update, by either end */
static const struct mkt_rule of_update[] = {
    {MKT_T, 0, 1, 1},
    {MKT_IDR, MKT_IDR_I, 0, 1},
    {MKT_IDR, MKT_IDR_R, 0, 1},
    {MKT_SP, 0, 0, MKT_ANY},
    {MKT_KEMAC, 0, 0, 1},
    {MKT_V, 0, 1, 1},
};

/* 5.4 */
static const struct mkt_rule error[] = {
    {MKT_T, 0, 1, 1},
    {MKT_ERR, 0, 1, MKT_ANY},
    {MKT_SP, 0, 0, MKT_ANY},
    {MKT_CERT, 0, 0, MKT_MAX_CERTIFICATES},
    {MKT_V, 0, 0, 1},
};

#define RULES(rules) rules, sizeof(rules) / sizeof *(rules)
static const struct form {
    enum mkt_data_type type;
    bool update;
    const struct mkt_rule *rule;
    size_t n;
    const struct mkt_taking *taking;
} forms[] = {
    {MKT_REQUEST_INIT_PSK, false, RULES(request_init), &mkt_taking_request_init},
    {MKT_REQUEST_INIT_PK, false, RULES(request_init_pk), &mkt_taking_request_init},
    {MKT_REQUEST_RESP, false, RULES(request_resp), &mkt_taking_request_resp},
    {MKT_TRANSFER_INIT, false, RULES(transfer_init), &mkt_taking_transfer_init},
    {MKT_TRANSFER_INIT, true, RULES(of_update), &mkt_taking_update_init},
    {MKT_TRANSFER_RESP, false, RULES(transfer_resp), &mkt_taking_transfer_resp},
    {MKT_TRANSFER_RESP, true, RULES(of_update), &mkt_taking_update_resp},
    {MKT_RESOLVE_INIT_PSK, false, RULES(resolve_init), &mkt_taking_resolve_init},
    {MKT_RESOLVE_INIT_PK, false, RULES(resolve_init_pk), &mkt_taking_resolve_init},
    {MKT_RESOLVE_RESP, false, RULES(resolve_resp), &mkt_taking_resolve_resp},
    {MKT_ERROR, false, RULES(error), NULL},
    {MKT_ERROR, true, RULES(error), NULL},
};
#undef RULES

static enum mkt_err check_map(const struct mkt_hdr *hdr)
{
    const unsigned type = hdr->data_type;
    /* 6.1: "The map type SRTP-ID SHALL NOT be used." */
    if (hdr->map_type == MKT_MAP_SRTP_ID)
        return MKT_E_BAD_MAP;
    if (type == MKT_TRANSFER_INIT || type == MKT_TRANSFER_RESP || type == MKT_ERROR)
        return MKT_OK;
    /* 4.2.1.1: "the #CS MUST be set to '0' and the CS ID map type SHALL be the "Empty map"" */
    return hdr->map_type == MKT_MAP_EMPTY && hdr->n_cs == 0 ? MKT_OK : MKT_E_BAD_MAP;
}

static const struct form *form_of(unsigned type, bool update)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if ((unsigned)forms[i].type == type && forms[i].update == update)
            return &forms[i];
    return NULL;
}

enum mkt_err mkt_rules_check(const struct mkt_message *message, bool update, struct mkt_detail *detail)
{
    const struct form *form = form_of(message->hdr.data_type, update);
    const enum mkt_err err = check_map(&message->hdr);
    if (err != MKT_OK || form == NULL)
        return err == MKT_OK ? MKT_E_DATA_TYPE : err;
    return mkt_message_check(message, form->rule, form->n, detail);
}

const struct mkt_taking *mkt_taking_of(unsigned type, bool update)
{
    const struct form *form = form_of(type, update);
    return form != NULL ? form->taking : NULL;
}

/* ---- who makes or takes what, when: a row with a pre-shared key is of the variant with public keys, too ---- */

static const struct mkt_step steps[] = {
    /* Ticket Request, RFC 6043 4.2.1 */
    {MKT_INITIATOR, MKT_FRESH, MKT_MAKE, MKT_REQUEST_INIT_PSK, mkt_make_request_init, MKT_ANSWER, MKT_MADE_REQUEST},
    {MKT_KMS, MKT_FRESH, MKT_TAKE, MKT_REQUEST_INIT_PSK, NULL, MKT_ANSWER, MKT_TOOK_REQUEST},
    {MKT_KMS, MKT_TOOK_REQUEST, MKT_MAKE, MKT_REQUEST_RESP, mkt_make_request_resp, MKT_DONE, MKT_FRESH},
    {MKT_INITIATOR, MKT_MADE_REQUEST, MKT_TAKE, MKT_REQUEST_RESP, NULL, MKT_DONE, MKT_FRESH},

    /* Ticket Transfer, 4.2.2; without F there is no TRANSFER_RESP */
    {MKT_INITIATOR, MKT_FRESH, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_transfer_init, MKT_ANSWER, MKT_MADE_TRANSFER},
    {MKT_INITIATOR, MKT_FRESH, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_transfer_init, MKT_DONE, MKT_KEYED},
    {MKT_RESPONDER, MKT_FRESH, MKT_TAKE, MKT_TRANSFER_INIT, NULL, MKT_ANSWER, MKT_TOOK_TRANSFER},
    {MKT_RESPONDER, MKT_FRESH, MKT_TAKE, MKT_TRANSFER_INIT, NULL, MKT_DONE, MKT_KEYED},
    {MKT_RESPONDER, MKT_FRESH, MKT_TAKE, MKT_TRANSFER_INIT, NULL, MKT_RESOLVE, MKT_SUSPENDED},

    /* Ticket Resolve, 4.2.3; a KMS may ask another one, section 10 */
    {MKT_RESPONDER, MKT_SUSPENDED, MKT_MAKE, MKT_RESOLVE_INIT_PSK, mkt_make_resolve_init, MKT_ANSWER, MKT_MADE_RESOLVE},
    {MKT_RESPONDER, MKT_MADE_RESOLVE, MKT_MAKE, MKT_RESOLVE_INIT_PSK, mkt_make_resolve_init, MKT_ANSWER,
     MKT_MADE_RESOLVE},
    {MKT_KMS, MKT_FRESH, MKT_TAKE, MKT_RESOLVE_INIT_PSK, NULL, MKT_ANSWER, MKT_TOOK_RESOLVE},
    {MKT_KMS, MKT_FRESH, MKT_TAKE, MKT_RESOLVE_INIT_PSK, NULL, MKT_RESOLVE, MKT_SUSPENDED},
    {MKT_KMS, MKT_SUSPENDED, MKT_MAKE, MKT_RESOLVE_INIT_PSK, mkt_make_resolve_init, MKT_ANSWER, MKT_MADE_RESOLVE},
    {MKT_KMS, MKT_MADE_RESOLVE, MKT_MAKE, MKT_RESOLVE_INIT_PSK, mkt_make_resolve_init, MKT_ANSWER, MKT_MADE_RESOLVE},
    {MKT_KMS, MKT_MADE_RESOLVE, MKT_TAKE, MKT_RESOLVE_RESP, NULL, MKT_ANSWER, MKT_TOOK_RESOLVE},
    {MKT_KMS, MKT_TOOK_RESOLVE, MKT_MAKE, MKT_RESOLVE_RESP, mkt_make_resolve_resp, MKT_DONE, MKT_FRESH},
    {MKT_RESPONDER, MKT_MADE_RESOLVE, MKT_TAKE, MKT_RESOLVE_RESP, NULL, MKT_ANSWER, MKT_TOOK_TRANSFER},
    {MKT_RESPONDER, MKT_MADE_RESOLVE, MKT_TAKE, MKT_RESOLVE_RESP, NULL, MKT_DONE, MKT_KEYED},

    /* Ticket Transfer goes on */
    {MKT_RESPONDER, MKT_TOOK_TRANSFER, MKT_MAKE, MKT_TRANSFER_RESP, mkt_make_transfer_resp, MKT_DONE, MKT_KEYED},
    {MKT_INITIATOR, MKT_MADE_TRANSFER, MKT_TAKE, MKT_TRANSFER_RESP, NULL, MKT_DONE, MKT_KEYED},

    /* CSB updating, 5.2, by either end; the V flag says whether there is a TRANSFER_RESP */
    {MKT_INITIATOR, MKT_KEYED, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_update_init, MKT_ANSWER, MKT_MADE_UPDATE},
    {MKT_INITIATOR, MKT_KEYED, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_update_init, MKT_DONE, MKT_KEYED},
    {MKT_RESPONDER, MKT_KEYED, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_update_init, MKT_ANSWER, MKT_MADE_UPDATE},
    {MKT_RESPONDER, MKT_KEYED, MKT_MAKE, MKT_TRANSFER_INIT, mkt_make_update_init, MKT_DONE, MKT_KEYED},
    {MKT_INITIATOR, MKT_KEYED, MKT_TAKE, MKT_TRANSFER_INIT, NULL, MKT_ANSWER, MKT_TOOK_UPDATE},
    {MKT_INITIATOR, MKT_KEYED, MKT_TAKE, MKT_TRANSFER_INIT, NULL, MKT_DONE, MKT_KEYED},
    {MKT_RESPONDER, MKT_KEYED, MKT_TAKE, MKT_TRANSFER_INIT, NULL, MKT_ANSWER, MKT_TOOK_UPDATE},
    {MKT_RESPONDER, MKT_KEYED, MKT_TAKE, MKT_TRANSFER_INIT, NULL, MKT_DONE, MKT_KEYED},
    {MKT_INITIATOR, MKT_TOOK_UPDATE, MKT_MAKE, MKT_TRANSFER_RESP, mkt_make_update_resp, MKT_DONE, MKT_KEYED},
    {MKT_RESPONDER, MKT_TOOK_UPDATE, MKT_MAKE, MKT_TRANSFER_RESP, mkt_make_update_resp, MKT_DONE, MKT_KEYED},
    {MKT_INITIATOR, MKT_MADE_UPDATE, MKT_TAKE, MKT_TRANSFER_RESP, NULL, MKT_DONE, MKT_KEYED},
    {MKT_RESPONDER, MKT_MADE_UPDATE, MKT_TAKE, MKT_TRANSFER_RESP, NULL, MKT_DONE, MKT_KEYED},
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
            (unsigned)steps[i].message == mkt_psk_variant(message))
            return &steps[i];
    return NULL;
}

enum mkt_state mkt_step_next(const struct mkt_step *step, enum mkt_outcome outcome)
{
    for (const struct mkt_step *s = step; s < steps + n_steps; s++)
        if (s->role == step->role && s->state == step->state && s->direction == step->direction &&
            s->message == step->message && s->outcome == outcome)
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

bool mkt_ever_takes(enum mkt_role role, unsigned message)
{
    bool takes = message == MKT_ERROR;
    for (size_t i = 0; i < n_steps; i++)
        takes |= steps[i].role == role && steps[i].direction == MKT_TAKE &&
                 (unsigned)steps[i].message == mkt_psk_variant(message);
    return takes;
}

/* ---- what a state means ---- */

/* A Responder that hears nothing from the KMS may ask again. The keys of a call stay. */
static const struct mkt_state_row states[] = {
    {MKT_INITIATOR, MKT_FRESH, MKT_PSK, MKT_NO_KEYS, false, MKT_FRESH},
    {MKT_INITIATOR, MKT_MADE_REQUEST, MKT_REQUEST_INIT_PSK, MKT_NO_KEYS, false, MKT_FRESH},
    {MKT_INITIATOR, MKT_MADE_TRANSFER, MKT_TRANSFER_INIT, MKT_SOME_KEYS, false, MKT_MADE_TRANSFER},
    {MKT_INITIATOR, MKT_KEYED, MKT_PSK, MKT_ALL_KEYS, false, MKT_KEYED},
    {MKT_INITIATOR, MKT_MADE_UPDATE, MKT_TRANSFER_INIT, MKT_ALL_KEYS, false, MKT_KEYED},
    {MKT_INITIATOR, MKT_TOOK_UPDATE, MKT_TRANSFER_INIT, MKT_ALL_KEYS, true, MKT_KEYED},

    {MKT_RESPONDER, MKT_FRESH, MKT_PSK, MKT_NO_KEYS, false, MKT_FRESH},
    {MKT_RESPONDER, MKT_SUSPENDED, MKT_TRANSFER_INIT, MKT_NO_KEYS, true, MKT_FRESH},
    {MKT_RESPONDER, MKT_MADE_RESOLVE, MKT_TRANSFER_INIT, MKT_NO_KEYS, true, MKT_SUSPENDED},
    {MKT_RESPONDER, MKT_TOOK_TRANSFER, MKT_TRANSFER_INIT, MKT_SOME_KEYS, true, MKT_TOOK_TRANSFER},
    {MKT_RESPONDER, MKT_KEYED, MKT_PSK, MKT_ALL_KEYS, false, MKT_KEYED},
    {MKT_RESPONDER, MKT_MADE_UPDATE, MKT_TRANSFER_INIT, MKT_ALL_KEYS, false, MKT_KEYED},
    {MKT_RESPONDER, MKT_TOOK_UPDATE, MKT_TRANSFER_INIT, MKT_ALL_KEYS, true, MKT_KEYED},

    {MKT_KMS, MKT_FRESH, MKT_PSK, MKT_NO_KEYS, false, MKT_FRESH},
    {MKT_KMS, MKT_TOOK_REQUEST, MKT_REQUEST_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},
    {MKT_KMS, MKT_SUSPENDED, MKT_RESOLVE_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},
    {MKT_KMS, MKT_MADE_RESOLVE, MKT_RESOLVE_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},
    {MKT_KMS, MKT_TOOK_RESOLVE, MKT_RESOLVE_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},
};

const struct mkt_state_row *mkt_state_find(enum mkt_role role, enum mkt_state state)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (states[i].role == role && states[i].state == state)
            return &states[i];
    return NULL;
}
