/* SPDX-License-Identifier: BSD-3-Clause */
#include "update.h"

#include "session.h"

/* "protected with the same keys [...] that protected the last message [...] in the initial exchange" */
static void by_last(struct mkt_txn *txn, const struct mkt_message *message)
{
    mkt_mpk_protection(txn, message,
                       mkt_bundle_has(&txn->bundle, MKT_FLAG_F) ? MKT_PURPOSE_RESPONSE : MKT_PURPOSE_INITIAL);
}

static void add_idr(struct mkt_message *m, const struct mkt_bundle *b, bool initiator)
{
    if (initiator)
        mkt_add_idr(m, MKT_IDR_I, &b->initiator);
    else
        mkt_add_idr(m, MKT_IDR_R, mkt_bundle_responder(b));
}

/* Puts all session keys in one chain, except those that sessions have ceased to use: these are to be wiped. */
static enum mkt_err gather_keys(struct mkt_txn *txn, struct mkt_span map_before)
{
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_chain chain = {&txn->arena, txn->arena.n, NULL};
    struct mkt_key_data key;
    enum mkt_err err = MKT_OK;
    for (size_t c = 0; c < MKT_CHAINS; c++) {
        for (struct mkt_keys keys = mkt_keys_of(b->keys[c]); err == MKT_OK && mkt_keys_next_session(&keys, &key);) {
            if (mkt_spi_in(map_before, key.kv.spi) && !mkt_spi_in(b->map, key.kv.spi))
                continue;
            err = mkt_key_append(&chain, &key);
        }
    }
    memset(b->keys, 0, sizeof b->keys);
    memset(b->answer_hash, 0, sizeof b->answer_hash); /* an answer of before this update is not known again (D28) */
    b->keys[MKT_FROM_TICKET] = io_tail(&txn->arena, chain.from);
    if (txn->role == MKT_RESPONDER)
        b->ticket = io_none; /* these are not its keys any more */
    return err;
}

/* The sessions of a message count from now on, and the exchange is over. */
static enum mkt_err finish(struct mkt_txn *txn, const struct mkt_message *message, const struct mkt_message *init)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_span before = b->map;
    enum mkt_err err = mkt_sessions_settle(txn, message, init);
    b->init = io_none;
    txn->outcome = MKT_DONE;
    return err == MKT_OK ? gather_keys(txn, before) : err;
}

/* ---- making ---- */

static enum mkt_err make_init(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_update *update = txn->update;
    struct mkt_message m;
    if (update == NULL)
        return MKT_E_STATE;
    const size_t before = txn->out->n;
    enum mkt_err err =
        update->n_sp > MKT_MAX_SPS ? mkt_blame(txn->detail, MKT_E_TOO_MANY, "SP", NULL) : gather_keys(txn, b->map);
    err = err == MKT_OK ? mkt_begin_update(txn, &m, MKT_TRANSFER_INIT, update->n_keys > 0) : err;
    err = err == MKT_OK ? mkt_supply(txn, update->keys, update->n_keys, &b->keys[MKT_FROM_UPDATE]) : err;
    err = err == MKT_OK ? mkt_check_rands(b, b->randr.n) : err;
    if (err != MKT_OK)
        return err;
    /* "the V flag SHALL be used to indicate whether or not a response message is expected" */
    m.hdr.v = !update->no_answer;
    /* never left out, so that nobody can send it back to this party: mkt_check_update_identities() */
    add_idr(&m, b, txn->role == MKT_INITIATOR);
    add_idr(&m, b, txn->role != MKT_INITIATOR);
    err = mkt_sessions_offer(txn, &m, update->no_answer);
    if (err != MKT_OK)
        return err;
    mkt_add_kemac(&m, b->suite, b->keys[MKT_FROM_UPDATE]);
    by_last(txn, &m);
    err = mkt_seal(txn, &m);
    if (err != MKT_OK)
        return err;
    txn->outcome = MKT_ANSWER;
    err = update->no_answer ? finish(txn, &m, NULL) : io_keep(&txn->arena, io_tail(txn->out, before), &b->init);
    return err == MKT_OK ? mkt_ask_replay(txn, &m, true) : err;
}

static enum mkt_err make_resp(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_answer *answer = txn->answer;
    struct mkt_message m;
    enum mkt_err err = answer->n_sp > MKT_MAX_SPS ? mkt_blame(txn->detail, MKT_E_TOO_MANY, "SP", NULL) : MKT_OK;
    err = err == MKT_OK ? mkt_begin_update(txn, &m, MKT_TRANSFER_RESP, answer->n_keys > 0) : err;
    err = err == MKT_OK ? mkt_supply(txn, answer->keys, answer->n_keys, &b->keys[MKT_FROM_RESPONDER]) : err;
    err = err == MKT_OK ? mkt_check_rands(b, b->randr.n) : err;
    if (err != MKT_OK)
        return err;
    /* the Initiator of a call without F can't guess a Responder that it did not ask */
    if (!txn->settings->leave_out_identities || !mkt_id_equal(mkt_bundle_responder(b), &b->called))
        add_idr(&m, b, txn->role == MKT_INITIATOR);
    err = mkt_sessions_answer(txn, &m);
    if (err != MKT_OK)
        return err;
    mkt_add_kemac(&m, b->suite, b->keys[MKT_FROM_RESPONDER]);
    by_last(txn, &m);
    err = mkt_seal(txn, &m);
    return err == MKT_OK ? finish(txn, &m, txn->init) : err;
}

/* ---- taking ---- */

/* "New RANDs or TICKETs MUST NOT be included." Those of the first exchange may be repeated without effect (D17). */
static enum mkt_err check_static(const struct mkt_txn *txn)
{
    const struct mkt_bundle *b = &txn->bundle;
    const struct mkt_span *const rand[] = {
        [MKT_RANDR_I] = &b->randi, [MKT_RANDR_R] = &b->randr, [MKT_RANDR_KMS] = &b->randkms};
    uint8_t hash[MKT_MAX_HASH];
    for (size_t i = 0; i < txn->message->n; i++) {
        const struct mkt_payload *p = &txn->message->payload[i];
        if (p->type == MKT_RAND ||
            (p->type == MKT_RANDR && (p->rand.role < MKT_RANDR_I || p->rand.role > MKT_RANDR_KMS ||
                                      !mkt_span_equal(p->rand.rand, *rand[p->rand.role]))))
            return MKT_E_UPDATE;
        if (p->type != MKT_TICKET)
            continue;
        /* without a replay cache it may be the Initiator's own TRANSFER_INIT, sent back to it (D21) */
        if (txn->role == MKT_INITIATOR && !mkt_replay_is_checked(txn))
            return MKT_E_UPDATE;
        enum mkt_err err = mkt_ticket_hash(p, hash);
        if (err != MKT_OK || memcmp(hash, b->ticket_hash, sizeof hash) != 0)
            return err == MKT_OK ? MKT_E_UPDATE : err;
    }
    return MKT_OK;
}

/* The policy of the ticket, which the Initiator of a call without F keeps. */
static enum mkt_err kept_policy(const struct mkt_bundle *b, struct mkt_policy *policy)
{
    struct mkt_payload ticket;
    const enum mkt_err err = mkt_ticket_payload_of(b->ticket, &ticket, policy);
    return err == MKT_OK ? mkt_policy_sound(policy, NULL) : err;
}

/* Whether the Responder may have that identity. Without F the Initiator knows only whom it asked, until it answers. */
static bool may_be_responder(const struct mkt_txn *txn, const struct mkt_id *id)
{
    const struct mkt_bundle *b = &txn->bundle;
    struct mkt_policy policy;
    if (mkt_id_equal(id, mkt_bundle_responder(b)))
        return true;
    if (txn->role == MKT_RESPONDER)
        return !mkt_bundle_has(b, MKT_FLAG_F) && mkt_id_equal(id, &b->called);
    return b->responder.data.n == 0 && kept_policy(b, &policy) == MKT_OK && mkt_is_responder(txn, &policy, id);
}

bool mkt_update_has_own_order(const struct mkt_txn *txn)
{
    const bool initiator = txn->role == MKT_INITIATOR;
    const struct mkt_payload *own = mkt_message_find(txn->message, MKT_IDR, initiator ? MKT_IDR_I : MKT_IDR_R);
    const struct mkt_payload *peer = mkt_message_find(txn->message, MKT_IDR, initiator ? MKT_IDR_R : MKT_IDR_I);
    return own != NULL && (peer == NULL || own < peer);
}

enum mkt_err mkt_check_update_identities(const struct mkt_txn *txn)
{
    const struct mkt_bundle *b = &txn->bundle;
    const struct mkt_payload *idri = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_I);
    const struct mkt_payload *idrr = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_R);
    if (idri != NULL && !mkt_id_equal(&idri->id, &b->initiator))
        return mkt_blame(txn->detail, MKT_E_INITIATOR, "IDRi", &idri->id.data);
    const bool fits = idrr == NULL || may_be_responder(txn, &idrr->id);
    return fits ? MKT_OK : mkt_blame(txn->detail, MKT_E_RESPONDER, "IDRr", &idrr->id.data);
}

static enum mkt_err refuse(struct mkt_txn *txn)
{
    const struct mkt_message *m = txn->message;
    const bool init = m->hdr.data_type == MKT_TRANSFER_INIT;
    enum mkt_err err = check_static(txn);
    /* else it may be this party's own; or, as without G all Responders have one key, that of another device */
    const bool alone = mkt_replay_is_checked(txn) && mkt_bundle_has(&txn->bundle, MKT_FLAG_G);
    err = err == MKT_OK && !alone && mkt_update_has_own_order(txn) ? MKT_E_UPDATE : err;
    err = err == MKT_OK ? mkt_check_update_identities(txn) : err;
    return err == MKT_OK ? mkt_sessions_check(txn, m, txn->init, !init || m->hdr.v == 0) : err;
}

static enum mkt_err find_key(struct mkt_txn *txn)
{
    by_last(txn, txn->message);
    return MKT_OK;
}

/* By the clock T is later than all that the peer has sent. An answer's COUNTER may be the question's (D18). */
static enum mkt_err authorise(struct mkt_txn *txn)
{
    const struct mkt_payload *idrr = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_t *t = mkt_t_of(txn->message);
    if (t->ts_type != MKT_TS_COUNTER && !mkt_t_later(t, &b->peer_last_t))
        return mkt_blame(txn->detail, MKT_E_STALE, "T is not later than that of the last message", NULL);
    /* the IV would be that of another KEMAC */
    if (txn->keys.p != NULL && (mkt_t_used(t, &b->sent) || mkt_t_used(t, &b->peer_last_t)))
        return MKT_E_STALE;
    mkt_times_add(&b->peer_last_t, t, txn->keys.p != NULL);
    /* the Initiator of a call without F learns who the Responder is, which names itself unless it was the called one */
    if (txn->role != MKT_INITIATOR || b->responder.data.n > 0)
        return MKT_OK;
    enum mkt_err err = kept_policy(b, txn->policy);
    err = err == MKT_OK ? mkt_keep_id(txn, idrr != NULL ? &idrr->id : &b->called, &b->responder) : err;
    err = err == MKT_OK ? mkt_authorise(txn, MKT_RESPONDER, &b->responder, true) : err;
    b->ticket = io_none;
    return err;
}

/* "If a new TGK is exchanged, it SHALL NOT be forked." */
static enum mkt_err accept_init(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_message *m = txn->message;
    const bool settled = m->hdr.v == 0;
    enum mkt_err err = gather_keys(txn, b->map);
    err = err == MKT_OK ? mkt_accept_supplied(txn, txn->keys, &b->keys[MKT_FROM_UPDATE]) : err;
    err = err == MKT_OK ? mkt_check_rands(b, b->randr.n) : err;
    err = err == MKT_OK ? mkt_sessions_check_keys(b, m->hdr.map, settled) : err;
    txn->outcome = MKT_ANSWER;
    if (err != MKT_OK)
        return err;
    return settled ? finish(txn, m, NULL) : io_keep(&txn->arena, txn->in, &b->init);
}

static enum mkt_err accept_resp(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_accept_supplied(txn, txn->keys, &b->keys[MKT_FROM_RESPONDER]);
    err = err == MKT_OK ? mkt_check_rands(b, b->randr.n) : err;
    err = err == MKT_OK ? finish(txn, txn->message, txn->init) : err;
    return err == MKT_OK ? mkt_hash_of(MKT_HASH_SHA_256, &txn->in, 1, b->answer_hash) : err;
}

const struct mkt_acts mkt_acts_update_init = {make_init, refuse, find_key, authorise, accept_init};

const struct mkt_acts mkt_acts_update_resp = {make_resp, refuse, find_key, authorise, accept_resp};
