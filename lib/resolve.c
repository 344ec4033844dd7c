/* SPDX-License-Identifier: BSD-3-Clause */
#include "resolve.h"

#include "initiator_data.h"
#include "request.h"
#include "transfer.h"

/* ---- RESOLVE_INIT: 4.2.3.1 to 4.2.3.3 ---- */

/* "HDR, T, RANDRr, [IDRr], [IDRkms], TICKET, [IDRpsk], V" or "HDR, T, RANDRr, [IDRr], {CERTr}, [IDRkms], TICKET,
 * [CHASH], PKE, SIGNr". Section 10: between KMSs "The IDRr and TICKET payloads from
 * the previous RESOLVE_INIT message SHOULD be reused." */
static enum mkt_err make_init(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_message m;
    const enum mkt_err err = mkt_begin_for_kms(txn, &m, MKT_RESOLVE_INIT_PSK, &b->responder);
    if (err != MKT_OK)
        return err;
    mkt_message_add(&m, MKT_TICKET)->ticket = mkt_message_find(txn->init, MKT_TICKET, 0)->ticket;
    txn->outcome = MKT_ANSWER;
    b->envelope_key = io_none; /* of a question before */
    return mkt_seal_for_kms(txn, &m, &b->responder, &b->asked_kms);
}

static enum mkt_err refuse_init(struct mkt_txn *txn)
{
    const struct mkt_span data = txn->ticket->ticket.initiator_data;
    txn->bundle.flags = txn->policy->flags;
    const enum mkt_err err = mkt_policy_sound(txn->policy, txn->detail);
    return err == MKT_OK ? mkt_initiator_data_check(data, mkt_bundle_has(&txn->bundle, MKT_FLAG_I), NULL) : err;
}

/* "If key forking is used (I flag), the KMS SHALL also verify the integrity of the Initiator Data field" */
static enum mkt_err open_ticket(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_span *keys = &b->keys[MKT_FROM_TICKET];
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    struct mkt_key_data mpkr;
    const enum mkt_err err =
        mkt_ticket_resolve(txn->host, txn->ticket, txn->policy, forked, &txn->arena, keys, txn->detail);
    if (err != MKT_OK || !forked)
        return err;
    if (!mkt_keys_mpk(*keys, 1, &mpkr))
        return MKT_E_MPK;
    return mkt_initiator_data_verify(b->suite, mpkr.key, txn->ticket->ticket.initiator_data);
}

enum mkt_err mkt_find_kms(struct mkt_txn *txn, struct mkt_span resolve_init)
{
    const struct mkt_host *host = txn->host;
    struct mkt_message init;
    struct mkt_policy policy;
    struct mkt_base_ticket base;
    txn->kms = NULL;
    enum mkt_err err = mkt_message_decode(&init, resolve_init);
    const struct mkt_payload *ticket = mkt_message_find(&init, MKT_TICKET, 0);
    err = err == MKT_OK ? mkt_policy_decode(&policy, &ticket->ticket) : err;
    if (err == MKT_OK && host->forward != NULL) {
        const bool named = mkt_policy_is_base(&policy) && mkt_base_ticket_decode(&base, ticket, &policy) == MKT_OK;
        const struct mkt_id *name = named && base.idrpsk.data.n > 0 ? &base.idrpsk : NULL;
        return host->forward(host->user, ticket, &policy, name, &txn->kms);
    }
    if (err != MKT_OK || policy.kms.data.n == 0 || mkt_id_equal(&policy.kms, &txn->settings->self))
        return err;
    txn->kms = txn->settings->kms;
    const bool known = txn->kms != NULL && mkt_id_equal(&policy.kms, &txn->kms->kms);
    return known ? MKT_OK : mkt_blame(txn->detail, MKT_E_KMS, "IDRkms of the ticket", &policy.kms.data);
}

/* "the KMS verifies that the Responder is authorized to resolve the ticket": named in it, or in a group that is, and of
 * the application, if this KMS serves only one. The host has the last word once the ticket is open. */
static enum mkt_err authorise_init(struct mkt_txn *txn)
{
    enum mkt_err err = mkt_kms_authorise(txn);
    err = err == MKT_OK ? mkt_policy_valid(txn->policy, txn->host) : err;
    if (err == MKT_OK && !mkt_is_responder(txn, txn->policy, &txn->bundle.responder))
        err = mkt_blame(txn->detail, MKT_E_RESPONDER, "IDRr", &txn->bundle.responder.data);
    err = err == MKT_OK && txn->settings->application.n > 0 ? mkt_check_application(txn) : err;
    err = err == MKT_OK ? mkt_find_kms(txn, txn->in) : err;
    /* a ticket of another KMS is passed on, once: what a KMS passes on is for this one */
    if (err == MKT_OK && txn->kms != NULL)
        return txn->vouched_for ? MKT_E_KMS : MKT_OK;
    err = err == MKT_OK ? open_ticket(txn) : err;
    return err == MKT_OK ? mkt_authorise(txn, MKT_RESPONDER, &txn->bundle.responder, true) : err;
}

static enum mkt_err accept_init(struct mkt_txn *txn)
{
    const enum mkt_err err = mkt_keep_id(txn, &txn->policy->initiator, &txn->bundle.initiator);
    txn->outcome = txn->kms == NULL ? MKT_ANSWER : MKT_RESOLVE;
    return err == MKT_OK ? io_keep(&txn->arena, txn->in, &txn->bundle.init) : err;
}

const struct mkt_acts mkt_acts_resolve_init = {make_init, refuse_init, mkt_kms_find_key, authorise_init, accept_init};

/* ---- RESOLVE_RESP: 4.2.3.5 ---- */

/* "The KMS SHALL also fork the MPKr and the TGKs", unless the KMS that it asked has done so. */
static enum mkt_err fork_keys(struct mkt_txn *txn, struct mkt_span *keys)
{
    struct mkt_bundle *b = &txn->bundle;
    const size_t key = mkt_suite_algorithms(b->suite)->key, longest = mkt_keys_longest(*keys, true);
    if (!mkt_bundle_has(b, MKT_FLAG_I) || b->randkms.n > 0)
        return MKT_OK;
    if (longest > UINT8_MAX)
        return MKT_E_KEY_LENGTH;
    enum mkt_err err = mkt_draw(txn, longest > key ? longest : key, &b->randkms);
    return err == MKT_OK ? mkt_keys_fork(b->suite, *keys, &b->responder, b->randkms, &txn->arena, keys) : err;
}

/* "HDR, T, [IDRkms], KEMAC, [IDRr], [RANDRkms], V" */
static enum mkt_err make_resp(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_span keys = b->keys[MKT_FROM_TICKET];
    struct mkt_message m;
    enum mkt_err err = fork_keys(txn, &keys);
    err = err == MKT_OK ? mkt_begin(txn, &m, MKT_RESOLVE_RESP, txn->init->hdr.csb_id) : err;
    err = err == MKT_OK ? mkt_kms_open(txn) : err;
    if (err != MKT_OK)
        return err;
    if (!txn->settings->leave_out_identities)
        mkt_add_idr(&m, MKT_IDR_KMS, &txn->settings->self);
    mkt_add_kemac(&m, b->suite, keys);
    /* "The modifier used to derive the forked keys SHALL be included in the IDRr and RANDRkms payloads" */
    if (mkt_bundle_has(b, MKT_FLAG_I) || b->named_by_kms)
        mkt_add_idr(&m, MKT_IDR_R, &b->responder);
    if (b->randkms.n > 0)
        mkt_add_randr(&m, MKT_RANDR_KMS, b->randkms);
    mkt_psk_protection(txn, b->psk, txn->init, MKT_PURPOSE_RESPONSE, b->init, io_none);
    err = mkt_seal(txn, &m);
    *b = (struct mkt_bundle){.suite = MKT_SUITE_256};
    return err;
}

/* Who answers, by the word of the KMS: this Responder itself, or as the ticket or the host names it (D26). */
static enum mkt_err refuse_resp(struct mkt_txn *txn)
{
    const struct mkt_payload *idrr = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_R);
    const bool forked = (txn->policy->flags & MKT_FLAG_I) != 0;
    if (forked && mkt_rand_of(txn->message, MKT_RANDR_KMS).p == NULL)
        return MKT_E_RAND;
    if (idrr == NULL)
        return forked ? mkt_blame(txn->detail, MKT_E_RESPONDER, "no IDRr", NULL) : MKT_OK;
    const bool fits = mkt_id_equal(&idrr->id, &txn->bundle.responder) || mkt_is_responder(txn, txn->policy, &idrr->id);
    return fits ? MKT_OK : mkt_blame(txn->detail, MKT_E_RESPONDER, "IDRr", &idrr->id.data);
}

/* "the Responder MUST verify the TRANSFER_INIT message with the MPKi received from the KMS." */
static enum mkt_err take_kept(struct mkt_txn *txn)
{
    const struct mkt_message *resp = txn->message;
    struct mkt_message init;
    enum mkt_err err = mkt_message_decode(&init, txn->bundle.init);
    txn->message = &init;
    txn->in = txn->bundle.init;
    err = err == MKT_OK ? mkt_take(txn, &mkt_acts_resolved) : err;
    txn->message = resp;
    return err;
}

/* "KEMAC = E(encr_key, MPKi || [MPKr'] || {TEK|TGK|GTGK})", and the modifier that they were forked with. */
static enum mkt_err accept_resp(struct mkt_txn *txn)
{
    const struct mkt_payload *idrr = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_R);
    const struct mkt_span randkms = mkt_rand_of(txn->message, MKT_RANDR_KMS);
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_ticket_keys_check(txn->policy, txn->keys);
    if (err == MKT_OK && (txn->policy->flags & MKT_FLAG_I) != 0 && randkms.n < mkt_keys_longest(txn->keys, true))
        err = MKT_E_RAND;
    err = err == MKT_OK ? io_keep(&txn->arena, randkms, &b->randkms) : err;
    b->named_by_kms = idrr != NULL;
    err = err == MKT_OK && b->named_by_kms ? mkt_keep_id(txn, &idrr->id, &b->responder) : err;
    b->keys[MKT_FROM_TICKET] = txn->keys;
    b->asked_kms = b->envelope_key = io_none;
    b->sent_with = MKT_SENT_WITH_NONE;
    txn->outcome = MKT_ANSWER;
    return err == MKT_OK && txn->role == MKT_RESPONDER ? take_kept(txn) : err;
}

const struct mkt_acts mkt_acts_resolve_resp = {make_resp, refuse_resp, mkt_find_kms_key, mkt_authorise_kms,
                                               accept_resp};
