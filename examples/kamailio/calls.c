/* SPDX-License-Identifier: BSD-3-Clause */
#include "calls.h"

#include "mrfp.h"
#include "stream.h"
#include "text.h"

#include "../../core/dprint.h"
#include "../../core/strutils.h"

#include <stdio.h>
#include <string.h>

/* Seconds until a call ends with which nobody went on: 64*T1 for the KMS and for an ACK, three minutes for an answer. */
enum { WAIT = 32, RING = 180, MAX_MESSAGE = 8192 };

/* ---- refusals ---- */

/* Says why in one line of the log, with the status of the response. */
static int refuse(const str *id, int code, const char *why)
{
    outcome.code = code;
    LM_WARN("call %.*s: %d: %s%s%s\n", id->len, id->s, code, why, call_detail[0] != '\0' ? ": " : "", call_detail);
    return CALL_REFUSED;
}

/* Writes a description with a MIKEY Error message, for the 488 (RFC 6043 5.4); none if none can be made. */
static void put_error(struct call *call, enum mkt_err err, struct mkt_sdp *offer)
{
    uint8_t octets[2 * MAX_MESSAGE];
    struct mkt_buf line = {octets, sizeof octets, 0};
    if (mkt_sdp_make_error(call->csb, offer, call->media, err, NULL, 0, &line) == MKT_OK &&
        stream_describe(call, offer, MKT_SETUP_ABSENT, (str){(char *)line.p, (int)line.n}) == MKT_OK)
        return;
    outcome.sdp_n = 0;
}

/* Refuses a message, and ends the call. A re-INVITE does not end it. `offer` is the offer that came, or NULL. */
static int give_up(struct call *call, enum mkt_err err, struct mkt_sdp *offer)
{
    const bool ours = mkt_err_class(err) == MKT_CLASS_HOST;
    outcome.sdp_n = 0;
    refuse(&call->id, ours ? 500 : 488, mrfp_fault[0] != '\0' ? mrfp_fault : mkt_err_text(err));
    if (!ours && offer != NULL)
        put_error(call, err, offer);
    if (call->state == READY)
        mkt_csb_abandon(call->csb);
    else
        call_end(call);
    return CALL_REFUSED;
}

/* ---- the KMS ---- */

/* Goes on with a call. Returns what the script is to do. */
static int wait_for(struct call *call, enum state state, int seconds)
{
    static const char *const names[] = {"asks the KMS", "offers", "answers", "is ready"};
    LM_INFO("call %.*s %s\n", call->id.len, call->id.s, names[state]);
    call->state = state;
    call->deadline = time(NULL) + seconds;
    return state == ASKS_KMS ? CALL_ASK_KMS : CALL_DONE;
}

static struct mkt_policy policy_for(const struct call *call, bool by_kms)
{
    struct mkt_policy policy = by_kms ? mkt_policy_forked(MKT_SUITE_256) : mkt_policy_default(MKT_SUITE_256);
    policy.flags |= MKT_FLAG_E | MKT_FLAG_I; /* in a ticket of ours, too: the KMS resolves it, with forked keys */
    policy.initiator = mkt_id_uri(mrfc.identity);
    policy.kms = call_credential.kms;
    policy.responder[policy.n_responders++] = (struct mkt_id){.type = MKT_ID_URI, .data = call_span(call->to)};
    policy.has_start = policy.has_end = true;
    policy.start = mkt_ntp_from_unix(time(NULL) - 60);
    policy.end = mkt_ntp_from_unix(time(NULL) + 3600);
    return policy;
}

static enum mkt_err request_ticket(const struct call *call, struct mkt_buf *message)
{
    const struct mkt_policy policy = policy_for(call, true);
    struct mkt_request request;
    mkt_request_init(&request);
    request.policy = &policy;
    return mkt_csb_make_request_init(call->csb, &request, message);
}

/* Has the script ask the KMS: about the ticket of an offer, or for the one of ours. */
static int ask_kms(struct call *call)
{
    struct mkt_buf message = {outcome.request, sizeof outcome.request, 0};
    const enum mkt_err err = mkt_csb_role(call->csb) == MKT_RESPONDER ? mkt_csb_make_resolve_init(call->csb, &message)
                                                                      : request_ticket(call, &message);
    if (err != MKT_OK)
        return give_up(call, err, NULL);
    outcome.request_n = message.n;
    return wait_for(call, ASKS_KMS, WAIT);
}

/* ---- the other end calls ---- */

/* The offer is taken: the answer. */
static int answer_offer(struct call *call, struct mkt_sdp *offer)
{
    uint8_t octets[2 * MAX_MESSAGE];
    struct mkt_buf line = {octets, sizeof octets, 0};
    enum mkt_err err = MKT_OK;
    if (mkt_csb_must_make(call->csb, MKT_TRANSFER_RESP))
        err = mkt_sdp_make_answer(call->csb, NULL, &line);
    if (err == MKT_OK && !call_keep(&call->next_line, mkt_buf_span(&line)))
        err = MKT_E_MEMORY;
    call->version++;
    err = err == MKT_OK ? stream_answer(call, offer) : err;
    return err == MKT_OK ? wait_for(call, ANSWERED, WAIT) : give_up(call, err, offer);
}

/* A re-INVITE (RFC 4567 4.1.2). */
static int answer_again(struct call *call, struct mkt_sdp *offer)
{
    enum mkt_keying keying;
    enum mkt_err err = mkt_connection_keying(offer, call->media, false, &call->kept, &keying);
    if (err == MKT_OK && keying == MKT_KEYING_NEW) {
        err = mkt_sdp_take_offer(call->csb, offer, call->media);
        return err == MKT_OK ? answer_offer(call, offer) : give_up(call, err, offer);
    }
    if (err == MKT_OK && !call_keep(&call->next_line, call_span(call->line)))
        err = MKT_E_MEMORY;
    err = err == MKT_OK ? stream_answer(call, offer) : err;
    return err == MKT_OK ? wait_for(call, ANSWERED, WAIT) : give_up(call, err, offer);
}

static int answer_first(const struct said *said, struct mkt_sdp *offer, enum mkt_setup able)
{
    size_t media;
    enum mkt_stream medium;
    enum mkt_err err = stream_choose(offer, &media, &medium);
    if (err != MKT_OK)
        return refuse(&said->id, 488, mkt_err_text(err));
    struct call *call = call_begin(&said->id, &said->from_tag, MKT_RESPONDER, medium);
    if (call == NULL)
        return refuse(&said->id, 500, mkt_err_text(MKT_E_MEMORY));
    call->able = able;
    call->media = media;
    err = mkt_sdp_take_offer(call->csb, offer, media);
    if (err != MKT_OK)
        return give_up(call, err, offer);
    if (mkt_csb_must_make(call->csb, MKT_RESOLVE_INIT_PSK))
        return ask_kms(call);
    return answer_offer(call, offer);
}

static int take_ack(const struct said *said)
{
    struct call *call = call_of(said);
    if (call == NULL || call->state != ANSWERED)
        return CALL_NONE;
    call_drop(&call->line);
    call->line = call->next_line;
    call->next_line = (str)STR_NULL;
    call->kept = call->next_kept;
    return wait_for(call, READY, 0);
}

static int answer(const struct said *said, enum mkt_setup able)
{
    struct call *call = call_of(said);
    struct mkt_sdp offer;
    if (call == NULL && said->to_tag.len > 0)
        return refuse(&said->id, 481, "there is no such call");
    if (said->to_tag.len == 0 && call_find(&said->id) != NULL)
        return refuse(&said->id, 482, "this INVITE came another way, too"); /* RFC 3261 8.2.2.2 */
    if (call != NULL && call->state == OFFERED)
        return refuse(&said->id, 491, "our own INVITE has no answer yet"); /* RFC 3261 14.2 */
    if (call != NULL && call->state == ANSWERED) /* RFC 3261 14.1: our 200 is there, or nobody may send this INVITE */
        take_ack(said);
    if (call != NULL && call->state != READY)
        return refuse(&said->id, 500, "the INVITE before it is not done yet");
    if (said->sdp.n == 0)
        return refuse(&said->id, 488, "the INVITE has no description");
    const enum mkt_err err = mkt_sdp_parse(&offer, said->sdp);
    if (err != MKT_OK)
        return refuse(&said->id, 488, mkt_err_text(err));
    return call == NULL ? answer_first(said, &offer, able) : answer_again(call, &offer);
}

/* ---- we call ---- */

/* A ticket of our own, which the KMS resolves for the one we call (mode 3 of RFC 6043 4.1.1). */
static enum mkt_err make_ticket(const struct call *call, const struct entry *tpk, struct mkt_ticket **ticket)
{
    const struct mkt_policy policy = policy_for(call, false);
    struct mkt_key_wish tgk;
    struct mkt_ticket_recipe recipe;
    mkt_key_wish_init(&tgk, MKT_KEY_TGK);
    mkt_ticket_recipe_init(&recipe);
    recipe.policy = &policy;
    recipe.tpk_id = mkt_id_bytes(tpk->id);
    recipe.tpk = (struct mkt_span){tpk->key, tpk->key_n};
    recipe.keys = &tgk;
    recipe.n_keys = 1;
    return mkt_ticket_make(ticket, &call_host, &recipe);
}

/* Our offer. If it lets the peer connect, the MRFP must be ready for it before the answer is here. */
static int offer_stream(struct call *call, struct mkt_ticket *ticket)
{
    uint8_t octets[2 * MAX_MESSAGE];
    struct mkt_buf line = {octets, sizeof octets, 0};
    struct mkt_roles roles;
    struct mkt_offer offer;
    mkt_offer_init(&offer);
    offer.ticket = ticket;
    offer.responder = (struct mkt_id){.type = MKT_ID_URI, .data = call_span(call->to)};
    enum mkt_err err = mkt_sdp_make_offer(call->csb, &offer, &line);
    mkt_ticket_free(ticket);
    if (err == MKT_OK && (!call_keep(&call->line, mkt_buf_span(&line)) || !text_draw_id(call->stream)))
        err = MKT_E_MEMORY;
    call->port = 9;
    if (err == MKT_OK && call->able != MKT_SETUP_ACTIVE) {
        err = mkt_setup_roles(call->medium, MKT_SETUP_PASSIVE, MKT_SETUP_ACTIVE, true, &roles);
        err = err == MKT_OK ? stream_await(call, roles.tls, false) : err;
    }
    err = err == MKT_OK ? stream_describe(call, NULL, call->able, call->line) : err;
    if (err == MKT_OK && !call_keep(&call->offer, stream_described()))
        err = MKT_E_MEMORY;
    return err == MKT_OK ? wait_for(call, OFFERED, RING) : give_up(call, err, NULL);
}

static int offer(const str *id, const str *to, enum mkt_stream medium, enum mkt_setup setup, const str *tpk)
{
    const struct mkt_id tpk_id = {.type = MKT_ID_BYTES, .data = call_span(*tpk)};
    const struct entry *entry = users_tpk(&call_users, &tpk_id);
    const str no_tag = STR_NULL;
    struct mkt_ticket *ticket = NULL;
    if (tpk->len > 0 && entry == NULL)
        return refuse(id, 500, "the file of keys has no such tpk");
    struct call *call = call_begin(id, &no_tag, MKT_INITIATOR, medium);
    if (call == NULL)
        return refuse(id, 500, mkt_err_text(MKT_E_MEMORY));
    call->able = setup;
    if (!call_keep(&call->to, call_span(*to)))
        return give_up(call, MKT_E_MEMORY, NULL);
    if (tpk->len == 0)
        return ask_kms(call);
    const enum mkt_err err = make_ticket(call, entry, &ticket);
    return err == MKT_OK ? offer_stream(call, ticket) : give_up(call, err, NULL);
}

static int answered(const struct said *said)
{
    struct call *call = call_of(said);
    struct mkt_sdp ours, theirs;
    struct mkt_sdp_exchange now;
    struct mkt_connection connection;
    if (call == NULL || call->state != OFFERED)
        return refuse(&said->id, 481, "nobody waits for this answer");
    enum mkt_err err = mkt_sdp_parse(&theirs, said->sdp);
    err = err == MKT_OK ? mkt_sdp_parse(&ours, call_span(call->offer)) : err;
    err = err == MKT_OK ? mkt_sdp_take_answer(call->csb, &theirs, 0) : err;
    mkt_sdp_exchange_init(&now, &ours, &theirs);
    now.offerer = true;
    err = err == MKT_OK ? mkt_connection_decide(&now, &call->kept, 0, &connection, &call->kept) : err;
    if (err == MKT_OK && connection.action == MKT_ACTION_LISTEN) {
        err = stream_command(call, "key", "", true, "");
    } else if (err == MKT_OK && connection.action == MKT_ACTION_CONNECT) {
        char name[sizeof call->stream];
        memcpy(name, call->stream, sizeof name);
        call_remove_stream(call);
        memcpy(call->stream, name, sizeof name);
        err = stream_connect(call, &connection, &ours, &theirs);
    } else if (err == MKT_OK) {
        err = MKT_E_ROLE; /* no stream, no call */
    }
    if (err == MKT_OK && !call_keep(&call->tag, call_span(said->from_tag)))
        err = MKT_E_MEMORY;
    if (err != MKT_OK)
        return give_up(call, err, NULL);
    call_drop(&call->offer);
    return wait_for(call, READY, 0);
}

/* ---- both ---- */

static int take_kms(const str *id, struct mkt_span message, const struct said *invite)
{
    struct call *call = call_find(id);
    struct mkt_sdp sdp;
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy granted;
    if (call == NULL || call->state != ASKS_KMS)
        return refuse(id, 481, "nobody waits for this answer of the KMS");
    const bool called = mkt_csb_role(call->csb) == MKT_RESPONDER;
    enum mkt_err err = called ? mkt_sdp_parse(&sdp, invite->sdp) : MKT_OK;
    if (err != MKT_OK)
        return give_up(call, err, NULL);
    err = mkt_csb_take(call->csb, message);
    if (called)
        return err == MKT_OK ? answer_offer(call, &sdp) : give_up(call, err, &sdp);
    err = err == MKT_OK ? mkt_csb_take_ticket(call->csb, &ticket) : err;
    err = err == MKT_OK ? mkt_ticket_policy(ticket, &granted) : err;
    if (err == MKT_OK && (granted.flags & MKT_FLAG_K) != 0)
        err = MKT_E_NOT_AS_ASKED;
    if (err == MKT_OK)
        return offer_stream(call, ticket);
    mkt_ticket_free(ticket);
    return give_up(call, err, NULL);
}

/* A final response to our INVITE can have a MIKEY Error message about it. */
static int take_end(const struct said *said)
{
    struct call *call = call_of(said);
    struct mkt_sdp sdp;
    if (call == NULL || (said->cancels && call->state != ASKS_KMS)) /* RFC 3261 9.2: our final response is out */
        return CALL_NONE;
    if (call->state == OFFERED && mkt_sdp_parse(&sdp, said->sdp) == MKT_OK && sdp.sections > 0 &&
        mkt_err_class(mkt_sdp_take_answer(call->csb, &sdp, 0)) == MKT_CLASS_REPORTED)
        LM_WARN("call %.*s: the other end refuses our offer: %s\n", call->id.len, call->id.s, call_detail);
    call_end(call);
    return CALL_DONE;
}

static bool inspect(const struct said *said, struct mkt_message *message, struct mkt_buf *octets)
{
    struct mkt_sdp sdp;
    size_t media;
    enum mkt_stream medium;
    return mkt_sdp_parse(&sdp, said->sdp) == MKT_OK && stream_choose(&sdp, &media, &medium) == MKT_OK &&
           mkt_sdp_key_mgmt_decode(&sdp, media, octets) == MKT_OK &&
           mkt_message_decode(message, mkt_buf_span(octets)) == MKT_OK && message->hdr.data_type == MKT_TRANSFER_INIT;
}

/* None of it is verified until the offer is taken. The library refuses the offer if the ticket says something else. */
static int compare(const struct said *said)
{
    uint8_t octets[MAX_MESSAGE];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_message message;
    struct mkt_policy policy;
    outcome.initiator[0] = outcome.responder[0] = '\0';
    outcome.ticket_type = 0;
    if (!inspect(said, &message, &buf))
        return CALL_NONE; /* calls_answer() says why */
    const struct mkt_payload *ticket = mkt_message_find(&message, MKT_TICKET, 0);
    const struct mkt_payload *initiator = mkt_message_find(&message, MKT_IDR, MKT_IDR_I);
    const struct mkt_payload *responder = mkt_message_find(&message, MKT_IDR, MKT_IDR_R);
    if (ticket == NULL || mkt_policy_decode(&policy, &ticket->ticket) != MKT_OK)
        return CALL_NONE;
    text_put_id(outcome.initiator, initiator != NULL ? &initiator->id : &policy.initiator);
    if (responder != NULL || policy.n_responders > 0)
        text_put_id(outcome.responder, responder != NULL ? &responder->id : &policy.responder[0]);
    outcome.ticket_type = ticket->ticket.type;
    str i = {outcome.initiator, (int)strlen(outcome.initiator)},
        r = {outcome.responder, (int)strlen(outcome.responder)};
    str from = said->from, to = said->to;
    if (cmp_uri_str(&i, &from) != 0) {
        snprintf(call_detail, sizeof call_detail, "%.100s", outcome.initiator);
        return refuse(&said->id, 403, "the Initiator is not the one of From");
    }
    if (cmp_uri_str(&r, &to) != 0) {
        snprintf(call_detail, sizeof call_detail, "%.100s", outcome.responder);
        return refuse(&said->id, 403, "the Responder is not the one of To");
    }
    return CALL_DONE;
}

/* Does a step of the call of a message. */
static int locked(const struct said *said, int (*step)(const struct said *said))
{
    const int slot = call_lock(&said->id);
    const int done = step(said);
    call_unlock(slot);
    return done;
}

int calls_inspect(const struct said *said)
{
    return locked(said, compare);
}

int calls_answer(const struct said *said, enum mkt_setup able)
{
    const int slot = call_lock(&said->id);
    const int done = answer(said, able);
    call_unlock(slot);
    return done;
}

int calls_offer(const str *to, enum mkt_stream medium, enum mkt_setup setup, const str *tpk)
{
    if (!text_draw_id(outcome.id))
        return CALL_REFUSED;
    const str id = {outcome.id, (int)strlen(outcome.id)};
    const int slot = call_lock(&id);
    const int done = offer(&id, to, medium, setup, tpk);
    call_unlock(slot);
    return done;
}

int calls_kms(const str *id, struct mkt_span message, const struct said *invite)
{
    const int slot = call_lock(id);
    const int done = take_kms(id, message, invite);
    call_unlock(slot);
    return done;
}

int calls_answered(const struct said *said)
{
    return locked(said, answered);
}

int calls_ack(const struct said *said)
{
    return locked(said, take_ack);
}

int calls_end(const struct said *said)
{
    return locked(said, take_end);
}
