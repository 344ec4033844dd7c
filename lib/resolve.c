/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *   Responder                               KMS
 *
 *   RESOLVE_INIT_PSK =              ---->
 *   HDR, T, RANDRr, [IDRr],
 *      [IDRkms], TICKET,             <----  RESOLVE_RESP
 *      [IDRpsk], V                          HDR, T, [IDRkms], KEMAC,
 *                                              [IDRr], [RANDRkms], V
 */
#include "resolve.h"

#include "initiator_data.h"
#include "request.h"
#include "transfer.h"

/* ---- RESOLVE_INIT_PSK: 4.2.3.1, 4.2.3.2 ---- */

/*
 * "HDR, T, RANDRr, [IDRr], [IDRkms], TICKET, [IDRpsk], V". Section 10: between KMSs "The IDRr and TICKET payloads from
 * the previous RESOLVE_INIT message SHOULD be reused."
 */
enum mkt_err mkt_make_resolve_init(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    struct mkt_message m;
    const enum mkt_err err = mkt_begin_for_kms(act, &m, MKT_RESOLVE_INIT_PSK, &b->responder);
    if (err != MKT_OK)
        return err;
    mkt_message_add(&m, MKT_TICKET)->ticket = mkt_message_find(act->init, MKT_TICKET, 0)->ticket;
    act->outcome = MKT_ANSWER;
    return mkt_seal_for_kms(act, &m, &b->responder, &b->asked_kms);
}

static enum mkt_err refuse_init(struct mkt_act *act)
{
    const struct mkt_span data = act->ticket->ticket.initiator_data;
    const bool forked = (act->policy->flags & MKT_FLAG_I) != 0;
    struct mkt_v vi, vr;
    act->bundle.flags = act->policy->flags;
    const enum mkt_err err = mkt_policy_sound(act->policy, act->detail);
    if (err == MKT_OK && forked != (data.n > 0))
        return MKT_E_INITIATOR_DATA;
    return err == MKT_OK && forked ? mkt_initiator_data_get(data, &vi, &vr) : err;
}

/*
 * "the KMS verifies that the Responder is authorized to resolve the ticket based on ticket and KMS policies": named in
 * it, or in a group that is; of the application, where this KMS serves but one. The host has the last word once the
 * policy is known to be that of the ticket.
 */
static enum mkt_err check_responder(const struct mkt_act *act)
{
    enum mkt_err err = mkt_kms_authorise(act);
    err = err != MKT_OK ? err : mkt_policy_valid(act->policy, act->host);
    if (err == MKT_OK && !mkt_is_responder(act, act->policy, &act->bundle.responder))
        err = mkt_blame(act->detail, MKT_E_RESPONDER, "IDRr", &act->bundle.responder.data);
    if (err == MKT_OK && act->settings->application.n > 0)
        err = mkt_check_application(act, act->policy);
    return err;
}

/* The keys that the ticket encodes. "If key forking is used (I flag), the KMS SHALL also verify the integrity of the
 * Initiator Data field in the TICKET payload." */
static enum mkt_err open_ticket(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    struct mkt_span *keys = &b->keys[MKT_FROM_TICKET];
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    struct mkt_key_data mpkr;
    const enum mkt_err err = mkt_ticket_resolve(act->host, act->ticket, act->policy, forked, &act->room, keys, act->detail);
    if (err != MKT_OK || !forked)
        return err;
    if (!mkt_keys_mpk(*keys, 1, &mpkr))
        return MKT_E_MPK;
    return mkt_initiator_data_verify(b->suite, mpkr.key, act->ticket->ticket.initiator_data);
}

enum mkt_err mkt_find_kms(struct mkt_act *act, struct mkt_span resolve_init)
{
    const struct mkt_host *host = act->host;
    struct mkt_message init;
    struct mkt_policy policy;
    struct mkt_base_ticket base;
    act->kms = NULL;
    enum mkt_err err = mkt_message_get(&init, resolve_init);
    const struct mkt_payload *ticket = mkt_message_find(&init, MKT_TICKET, 0);
    err = err != MKT_OK ? err : mkt_policy_get(&policy, &ticket->ticket);
    if (err == MKT_OK && host->forward != NULL) {
        const bool named = mkt_policy_is_base(&policy) && mkt_base_ticket_get(&base, ticket, &policy) == MKT_OK;
        const struct mkt_id *name = named && base.idrpsk.data.n > 0 ? &base.idrpsk : NULL;
        return host->forward(host->user, ticket, &policy, name, &act->kms);
    }
    if (err != MKT_OK || policy.kms.data.n == 0 || mkt_id_equal(&policy.kms, &act->settings->self))
        return err;
    act->kms = act->settings->kms;
    const bool known = act->kms != NULL && mkt_id_equal(&policy.kms, &act->kms->kms);
    return known ? MKT_OK : mkt_blame(act->detail, MKT_E_KMS, "IDRkms of the ticket", &policy.kms.data);
}

static enum mkt_err authorise_init(struct mkt_act *act)
{
    enum mkt_err err = check_responder(act);
    err = err != MKT_OK ? err : mkt_find_kms(act, act->in);
    /* a ticket of another KMS is passed on, once: what a KMS passes on is for this one */
    if (err == MKT_OK && act->kms != NULL)
        return act->vouched_for ? MKT_E_KMS : MKT_OK;
    err = err != MKT_OK ? err : open_ticket(act);
    return err != MKT_OK ? err : mkt_authorise(act, MKT_RESPONDER, &act->bundle.responder, act->policy, true);
}

static enum mkt_err accept_init(struct mkt_act *act)
{
    const enum mkt_err err = mkt_keep_id(act, &act->policy->initiator, &act->bundle.initiator);
    act->outcome = act->kms == NULL ? MKT_ANSWER : MKT_RESOLVE;
    return err != MKT_OK ? err : io_keep(&act->room, act->in, &act->bundle.init);
}

const struct mkt_taking mkt_taking_resolve_init = {refuse_init, mkt_kms_find_key, authorise_init, accept_init};

/* ---- RESOLVE_RESP: 4.2.3.5 ---- */

/* "The KMS SHALL also fork the MPKr and the TGKs": by a modifier of its own, or it was done by the KMS that it asked. */
static enum mkt_err fork_keys(struct mkt_act *act, struct mkt_span *keys)
{
    struct mkt_bundle *b = &act->bundle;
    const size_t key = mkt_suite_algorithms(b->suite)->key, longest = mkt_keys_longest(*keys, true);
    if (!mkt_bundle_has(b, MKT_FLAG_I) || b->randkms.n > 0)
        return MKT_OK;
    if (longest > UINT8_MAX)
        return MKT_E_KEY_LENGTH;
    enum mkt_err err = mkt_draw(act, longest > key ? longest : key, &b->randkms);
    return err != MKT_OK ? err : mkt_keys_fork(b->suite, *keys, &b->responder, b->randkms, &act->room, keys);
}

/* "HDR, T, [IDRkms], KEMAC, [IDRr], [RANDRkms], V" */
enum mkt_err mkt_make_resolve_resp(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    struct mkt_span keys = b->keys[MKT_FROM_TICKET];
    struct mkt_message m;
    enum mkt_err err = fork_keys(act, &keys);
    err = err != MKT_OK ? err : mkt_begin(act, &m, MKT_RESOLVE_RESP, act->init->hdr.csb_id);
    if (err != MKT_OK)
        return err;
    if (!act->settings->leave_out_identities)
        mkt_add_idr(&m, MKT_IDR_KMS, &act->settings->self);
    mkt_add_kemac(&m, b->suite, keys);
    /* "The modifier used to derive the forked keys SHALL be included in the IDRr and RANDRkms payloads" */
    if (mkt_bundle_has(b, MKT_FLAG_I) || b->named)
        mkt_add_idr(&m, MKT_IDR_R, &b->responder);
    if (b->randkms.n > 0)
        mkt_add_randr(&m, MKT_RANDR_KMS, b->randkms);
    act->protection = mkt_by_psk(b->suite, b->psk, act->init, MKT_PHASE_RESPONSE);
    act->also = (struct mkt_also){{b->init, {NULL, 0}}};
    err = mkt_seal(act, &m);
    *b = (struct mkt_bundle){.suite = MKT_SUITE_256};
    return err;
}

/* Who answers, by the word of the KMS: this Responder itself, or as the ticket or the host names it (D26). */
static enum mkt_err refuse_resp(struct mkt_act *act)
{
    const struct mkt_payload *idrr = mkt_message_find(act->message, MKT_IDR, MKT_IDR_R);
    const struct mkt_payload *randkms = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_KMS);
    const bool forked = (act->policy->flags & MKT_FLAG_I) != 0;
    const enum mkt_err err = mkt_check_kms(act);
    if (err != MKT_OK)
        return err;
    if (forked && randkms == NULL)
        return MKT_E_RAND;
    if (idrr == NULL)
        return forked ? mkt_blame(act->detail, MKT_E_RESPONDER, "no IDRr", NULL) : MKT_OK;
    const bool fits = mkt_id_equal(&idrr->id, &act->bundle.responder) || mkt_is_responder(act, act->policy, &idrr->id);
    return fits ? MKT_OK : mkt_blame(act->detail, MKT_E_RESPONDER, "IDRr", &idrr->id.data);
}

static enum mkt_err authorise_resp(struct mkt_act *act)
{
    enum mkt_err err = MKT_OK;
    if (act->role == MKT_KMS)
        err = mkt_authorise(act, MKT_RESPONDER, &act->bundle.responder, act->policy, true);
    return err != MKT_OK ? err : mkt_authorise(act, MKT_KMS, &act->kms->kms, act->policy, true);
}

/* "the Responder MUST verify the TRANSFER_INIT message with the MPKi received from the KMS." */
static enum mkt_err take_kept(struct mkt_act *act)
{
    const struct mkt_message *resp = act->message;
    struct mkt_message init;
    enum mkt_err err = mkt_message_get(&init, act->bundle.init);
    if (err != MKT_OK)
        return err;
    act->message = &init;
    act->in = act->bundle.init;
    err = mkt_take(act, &mkt_taking_resolved);
    act->message = resp;
    return err;
}

/* "KEMAC = E(encr_key, MPKi || [MPKr'] || {TEK|TGK|GTGK})", and the modifier that they were forked with. */
static enum mkt_err accept_resp(struct mkt_act *act)
{
    const struct mkt_payload *idrr = mkt_message_find(act->message, MKT_IDR, MKT_IDR_R);
    const struct mkt_payload *randkms = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_KMS);
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = mkt_ticket_keys_check(act->policy, act->keys);
    if (err == MKT_OK && (act->policy->flags & MKT_FLAG_I) != 0 &&
        randkms->rand.rand.n < mkt_keys_longest(act->keys, true))
        err = MKT_E_RAND;
    if (err == MKT_OK && randkms != NULL)
        err = io_keep(&act->room, randkms->rand.rand, &b->randkms);
    b->named = idrr != NULL;
    if (err == MKT_OK && b->named)
        err = mkt_keep_id(act, &idrr->id, &b->responder);
    b->keys[MKT_FROM_TICKET] = act->keys;
    b->asked_kms = (struct mkt_span){NULL, 0};
    b->guard = MKT_GUARD_NONE;
    act->outcome = MKT_ANSWER;
    return err == MKT_OK && act->role == MKT_RESPONDER ? take_kept(act) : err;
}

const struct mkt_taking mkt_taking_resolve_resp = {refuse_resp, mkt_find_kms_key, authorise_resp, accept_resp};
