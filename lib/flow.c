/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

#include "request.h"
#include "resolve.h"
#include "transfer.h"
#include "update.h"

/* ---- what each message carries, in the order of RFC 6043 4.2, V or SIGN last; what is done with it ---- */

/* Payloads by type and role */
#define T MKT_T, 0
#define RANDRI MKT_RANDR, MKT_RANDR_I
#define RANDRR MKT_RANDR, MKT_RANDR_R
#define RANDRKMS MKT_RANDR, MKT_RANDR_KMS
#define IDRI MKT_IDR, MKT_IDR_I
#define IDRR MKT_IDR, MKT_IDR_R
#define IDRKMS MKT_IDR, MKT_IDR_KMS
#define IDRPSK MKT_IDR, MKT_IDR_PSK
#define TP MKT_TP, 0
#define TICKET MKT_TICKET, 0
#define SP MKT_SP, 0
#define KEMAC MKT_KEMAC, 0
#define SDP_IDS MKT_GENERAL_EXT, MKT_EXT_SDP_IDS
#define ERR MKT_ERR, 0
#define V MKT_V, 0
#define CHASH MKT_CHASH, 0
#define PKE MKT_PKE, 0
#define SIGN MKT_SIGN, 0

/* RFC 6043 2.1: "[p] p is optional", "{p} Zero or more occurrences of p", "(p) One or more occurrences of p" */
#define ONE 1, 1
#define OPTIONAL 0, 1
#define ANY 0, MKT_ANY
#define SOME 1, MKT_ANY
#define CERTS MKT_CERT, 0, 0, MKT_MAX_CERTIFICATES

static const struct mkt_rule request_init[] = {{T, ONE},  {RANDRI, ONE},      {IDRI, OPTIONAL}, {IDRKMS, OPTIONAL},
                                               {TP, ONE}, {IDRPSK, OPTIONAL}, {V, ONE}};

static const struct mkt_rule request_init_pk[] = {{T, ONE},          {RANDRI, ONE},      {IDRI, OPTIONAL},
                                                  {CERTS},           {IDRKMS, OPTIONAL}, {TP, ONE},
                                                  {CHASH, OPTIONAL}, {PKE, ONE},         {SIGN, ONE}};

static const struct mkt_rule request_resp[] = {{T, ONE}, {IDRKMS, OPTIONAL}, {TICKET, ONE}, {KEMAC, ONE}, {V, ONE}};

static const struct mkt_rule transfer_init[] = {{T, ONE},          {RANDRI, ONE},       {IDRI, OPTIONAL},
                                                {IDRR, OPTIONAL},  {SP, ANY},           {TICKET, ONE},
                                                {KEMAC, OPTIONAL}, {SDP_IDS, OPTIONAL}, {V, ONE}};

static const struct mkt_rule transfer_resp[] = {{T, ONE},  {RANDRR, OPTIONAL}, {IDRR, OPTIONAL}, {RANDRKMS, OPTIONAL},
                                                {SP, ANY}, {KEMAC, OPTIONAL},  {V, ONE}};

static const struct mkt_rule resolve_init[] = {{T, ONE},      {RANDRR, ONE},      {IDRR, OPTIONAL}, {IDRKMS, OPTIONAL},
                                               {TICKET, ONE}, {IDRPSK, OPTIONAL}, {V, ONE}};

static const struct mkt_rule resolve_init_pk[] = {{T, ONE},          {RANDRR, ONE},      {IDRR, OPTIONAL},
                                                  {CERTS},           {IDRKMS, OPTIONAL}, {TICKET, ONE},
                                                  {CHASH, OPTIONAL}, {PKE, ONE},         {SIGN, ONE}};

static const struct mkt_rule resolve_resp[] = {{T, ONE},         {IDRKMS, OPTIONAL},   {KEMAC, ONE},
                                               {IDRR, OPTIONAL}, {RANDRKMS, OPTIONAL}, {V, ONE}};

/* 5.2: TRANSFER_INIT and TRANSFER_RESP of an update, by either end; the Responder's has IDRr before IDRi */
static const struct mkt_rule of_update[] = {{T, ONE},  {IDRI, OPTIONAL},  {IDRR, OPTIONAL},
                                            {SP, ANY}, {KEMAC, OPTIONAL}, {V, ONE}};

/* 5.4 */
static const struct mkt_rule error[] = {{T, ONE}, {ERR, SOME}, {SP, ANY}, {CERTS}, {V, OPTIONAL}};

#define RULES(rules) rules, sizeof(rules) / sizeof *(rules)
static const struct form {
    enum mkt_data_type type;
    bool update;
    const struct mkt_rule *rule;
    size_t n;
    const struct mkt_acts *acts;
} forms[] = {
    {MKT_REQUEST_INIT_PSK, false, RULES(request_init), &mkt_acts_request_init},
    {MKT_REQUEST_INIT_PK, false, RULES(request_init_pk), &mkt_acts_request_init},
    {MKT_REQUEST_RESP, false, RULES(request_resp), &mkt_acts_request_resp},
    {MKT_TRANSFER_INIT, false, RULES(transfer_init), &mkt_acts_transfer_init},
    {MKT_TRANSFER_INIT, true, RULES(of_update), &mkt_acts_update_init},
    {MKT_TRANSFER_RESP, false, RULES(transfer_resp), &mkt_acts_transfer_resp},
    {MKT_TRANSFER_RESP, true, RULES(of_update), &mkt_acts_update_resp},
    {MKT_RESOLVE_INIT_PSK, false, RULES(resolve_init), &mkt_acts_resolve_init},
    {MKT_RESOLVE_INIT_PK, false, RULES(resolve_init_pk), &mkt_acts_resolve_init},
    {MKT_RESOLVE_RESP, false, RULES(resolve_resp), &mkt_acts_resolve_resp},
    {MKT_ERROR, false, RULES(error), NULL},
    {MKT_ERROR, true, RULES(error), NULL},
};
#undef RULES

static const struct form *form_of(unsigned type, bool update)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if ((unsigned)forms[i].type == type && forms[i].update == update)
            return &forms[i];
    return NULL;
}

enum mkt_err mkt_rules_check(const struct mkt_message *message, bool update, struct mkt_detail *detail)
{
    const struct mkt_hdr *hdr = &message->hdr;
    const unsigned type = hdr->data_type;
    const struct form *form = form_of(type, update);
    /* 6.1: "The map type SRTP-ID SHALL NOT be used." */
    if (hdr->map_type == MKT_MAP_SRTP_ID)
        return MKT_E_BAD_MAP;
    /* 4.2.1.1: "the #CS MUST be set to '0' and the CS ID map type SHALL be the "Empty map"" */
    if (!mkt_is_transfer(type) && type != MKT_ERROR && (hdr->map_type != MKT_MAP_EMPTY || hdr->n_cs != 0))
        return MKT_E_BAD_MAP;
    if (form == NULL)
        return MKT_E_DATA_TYPE;
    return mkt_message_check(message, form->rule, form->n, detail);
}

const struct mkt_acts *mkt_acts_of(unsigned type, bool update)
{
    const struct form *form = form_of(type, update);
    return form != NULL ? form->acts : NULL;
}

/* ---- who makes or takes what, when: a row with a pre-shared key is of the variant with public keys, too ---- */

enum { INITIATOR = 1 << MKT_INITIATOR, RESPONDER = 1 << MKT_RESPONDER, KMS = 1 << MKT_KMS };
enum { BOTH_ENDS = INITIATOR | RESPONDER };
#define NEVER MKT_STATES

const struct mkt_step mkt_steps[] = {
    /* Ticket Request, RFC 6043 4.2.1 */
    {INITIATOR, MKT_FRESH, MKT_MAKE, MKT_REQUEST_INIT_PSK, {NEVER, MKT_MADE_REQUEST, NEVER}},
    {KMS, MKT_FRESH, MKT_TAKE, MKT_REQUEST_INIT_PSK, {NEVER, MKT_TOOK_REQUEST, NEVER}},
    {KMS, MKT_TOOK_REQUEST, MKT_MAKE, MKT_REQUEST_RESP, {MKT_FRESH, NEVER, NEVER}},
    {INITIATOR, MKT_MADE_REQUEST, MKT_TAKE, MKT_REQUEST_RESP, {MKT_FRESH, NEVER, NEVER}},

    /* Ticket Transfer, 4.2.2; without F there is no TRANSFER_RESP */
    {INITIATOR, MKT_FRESH, MKT_MAKE, MKT_TRANSFER_INIT, {MKT_KEYED, MKT_MADE_TRANSFER, NEVER}},
    {RESPONDER, MKT_FRESH, MKT_TAKE, MKT_TRANSFER_INIT, {MKT_KEYED, MKT_TOOK_TRANSFER, MKT_SUSPENDED}},

    /* Ticket Resolve, 4.2.3; a KMS may ask another one, section 10 */
    {RESPONDER | KMS, MKT_SUSPENDED, MKT_MAKE, MKT_RESOLVE_INIT_PSK, {NEVER, MKT_MADE_RESOLVE, NEVER}},
    {RESPONDER | KMS, MKT_MADE_RESOLVE, MKT_MAKE, MKT_RESOLVE_INIT_PSK, {NEVER, MKT_MADE_RESOLVE, NEVER}},
    {KMS, MKT_FRESH, MKT_TAKE, MKT_RESOLVE_INIT_PSK, {NEVER, MKT_TOOK_RESOLVE, MKT_SUSPENDED}},
    {KMS, MKT_MADE_RESOLVE, MKT_TAKE, MKT_RESOLVE_RESP, {NEVER, MKT_TOOK_RESOLVE, NEVER}},
    {KMS, MKT_TOOK_RESOLVE, MKT_MAKE, MKT_RESOLVE_RESP, {MKT_FRESH, NEVER, NEVER}},
    {RESPONDER, MKT_MADE_RESOLVE, MKT_TAKE, MKT_RESOLVE_RESP, {MKT_KEYED, MKT_TOOK_TRANSFER, NEVER}},

    /* Ticket Transfer goes on */
    {RESPONDER, MKT_TOOK_TRANSFER, MKT_MAKE, MKT_TRANSFER_RESP, {MKT_KEYED, NEVER, NEVER}},
    {INITIATOR, MKT_MADE_TRANSFER, MKT_TAKE, MKT_TRANSFER_RESP, {MKT_KEYED, NEVER, NEVER}},

    /* CSB updating, 5.2, by either end; the V flag says whether there is a TRANSFER_RESP */
    {BOTH_ENDS, MKT_KEYED, MKT_MAKE, MKT_TRANSFER_INIT, {MKT_KEYED, MKT_MADE_UPDATE, NEVER}},
    {BOTH_ENDS, MKT_KEYED, MKT_TAKE, MKT_TRANSFER_INIT, {MKT_KEYED, MKT_TOOK_UPDATE, NEVER}},
    {BOTH_ENDS, MKT_TOOK_UPDATE, MKT_MAKE, MKT_TRANSFER_RESP, {MKT_KEYED, NEVER, NEVER}},
    {BOTH_ENDS, MKT_MADE_UPDATE, MKT_TAKE, MKT_TRANSFER_RESP, {MKT_KEYED, NEVER, NEVER}},
};

const size_t mkt_n_steps = sizeof mkt_steps / sizeof *mkt_steps;

const struct mkt_step *mkt_step_find(enum mkt_role role, enum mkt_state state, enum mkt_direction direction,
                                     unsigned message)
{
    for (const struct mkt_step *step = mkt_steps; step < mkt_steps + mkt_n_steps; step++)
        if ((step->roles & 1u << role) != 0 && step->direction == direction &&
            (step->state == state || state == MKT_STATES) &&
            ((unsigned)step->message == mkt_psk_variant(message) || message == MKT_ANY_MESSAGE))
            return step;
    return NULL;
}

/* ---- what a state means ---- */

/* A Responder that hears nothing from the KMS may ask again. The keys of a call stay. */
static const struct mkt_state_row states[] = {
    {BOTH_ENDS | KMS, MKT_FRESH, MKT_PSK, MKT_NO_KEYS, false, MKT_FRESH},
    {INITIATOR, MKT_MADE_REQUEST, MKT_REQUEST_INIT_PSK, MKT_NO_KEYS, false, MKT_FRESH},
    {KMS, MKT_TOOK_REQUEST, MKT_REQUEST_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},

    {INITIATOR, MKT_MADE_TRANSFER, MKT_TRANSFER_INIT, MKT_SOME_KEYS, false, MKT_MADE_TRANSFER},
    {RESPONDER, MKT_SUSPENDED, MKT_TRANSFER_INIT, MKT_NO_KEYS, true, MKT_FRESH},
    {RESPONDER, MKT_MADE_RESOLVE, MKT_TRANSFER_INIT, MKT_NO_KEYS, true, MKT_SUSPENDED},
    {RESPONDER, MKT_TOOK_TRANSFER, MKT_TRANSFER_INIT, MKT_SOME_KEYS, true, MKT_TOOK_TRANSFER},

    {KMS, MKT_SUSPENDED, MKT_RESOLVE_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},
    {KMS, MKT_MADE_RESOLVE, MKT_RESOLVE_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},
    {KMS, MKT_TOOK_RESOLVE, MKT_RESOLVE_INIT_PSK, MKT_NO_KEYS, true, MKT_FRESH},

    {BOTH_ENDS, MKT_KEYED, MKT_PSK, MKT_ALL_KEYS, false, MKT_KEYED},
    {BOTH_ENDS, MKT_MADE_UPDATE, MKT_TRANSFER_INIT, MKT_ALL_KEYS, false, MKT_KEYED},
    {BOTH_ENDS, MKT_TOOK_UPDATE, MKT_TRANSFER_INIT, MKT_ALL_KEYS, true, MKT_KEYED},
};

const struct mkt_state_row *mkt_state_find(enum mkt_role role, enum mkt_state state)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if ((states[i].roles & 1u << role) != 0 && states[i].state == state)
            return &states[i];
    return NULL;
}
