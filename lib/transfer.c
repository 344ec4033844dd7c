/* SPDX-License-Identifier: BSD-3-Clause */
#include "transfer.h"

#include "initiator_data.h"
#include "session.h"

/* What a policy says of the bundle. */
static void read_policy(struct mkt_bundle *b, const struct mkt_policy *policy)
{
    b->flags = policy->flags;
    const uint32_t seconds = (uint32_t)(policy->rekeying >> 32);
    b->rekeying = !policy->has_rekeying ? 0 : seconds > 0 ? seconds : 1;
}

/* MPKi and MPKr among the keys of the ticket, as its holder or the KMS has them. */
static enum mkt_err find_mpks(struct mkt_bundle *b)
{
    const struct mkt_span keys = b->keys[MKT_FROM_TICKET];
    struct mkt_key_data mpki, mpkr = {0};
    if (!mkt_keys_mpk(keys, 0, &mpki) || (mkt_bundle_has(b, MKT_FLAG_I) && !mkt_keys_mpk(keys, 1, &mpkr)))
        return MKT_E_MPK;
    b->mpki = mpki.key;
    b->mpkr = mpkr.key;
    return MKT_OK;
}

/* Whether a message has a KEMAC with the keys that updates will have, those of the last message of this exchange. */
static bool has_update_keys(const struct mkt_bundle *b, const struct mkt_message *m)
{
    const bool last = m->hdr.data_type == MKT_TRANSFER_RESP || !mkt_bundle_has(b, MKT_FLAG_F);
    return last && mkt_message_find(m, MKT_KEMAC, 0) != NULL;
}

/* ---- TRANSFER_INIT: 4.2.2.1 ---- */

/* What the ticket gives: its policy must allow this Initiator to use it now, and keys must be there to begin with. */
static enum mkt_err use_ticket(struct mkt_txn *txn, struct mkt_ticket_payload *ticket)
{
    struct mkt_payload payload;
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_policy *policy = txn->policy;
    enum mkt_err err = mkt_ticket_payload_of(txn->offer->ticket->payload, &payload, policy);
    err = err == MKT_OK ? mkt_policy_valid(policy, txn->host) : err;
    err = err == MKT_OK ? mkt_ticket_use_check(txn->host, policy, MKT_FLAG_N) : err;
    err = err == MKT_OK ? mkt_suite_of_prf(policy->prf, &b->suite) : err;
    if (err != MKT_OK)
        return err;
    read_policy(b, policy);
    if (policy->initiator.data.n > 0 && !mkt_id_equal(&policy->initiator, &txn->settings->self))
        return mkt_blame(txn->detail, MKT_E_INITIATOR, "IDRi of the ticket", &policy->initiator.data);
    /* 5.3: "If the Ticket Policy forbids reuse (J flag), the ticket MUST NOT be reused." */
    if (!mkt_bundle_has(b, MKT_FLAG_J) && txn->offer->ticket->used)
        return MKT_E_REUSE;
    err = mkt_check_application(txn);
    err = err == MKT_OK ? mkt_ticket_hash(&payload, b->ticket_hash) : err;
    err = err == MKT_OK ? io_keep(&txn->arena, txn->offer->ticket->keys, &b->keys[MKT_FROM_TICKET]) : err;
    /* without an answer the policy says later who may be the Responder */
    if (err == MKT_OK && !mkt_bundle_has(b, MKT_FLAG_F))
        err = io_keep(&txn->arena, payload.octets, &b->ticket);
    *ticket = payload.ticket;
    return err == MKT_OK ? find_mpks(b) : err;
}

/* RFC 3830 6.1: "This ID MUST be unique between each Initiator-Responder pair", which only the host can tell. */
static enum mkt_err choose_csb_id(struct mkt_txn *txn)
{
    enum { TRIES = 8 }; /* a source that gives the same octets again and again is none */
    const struct mkt_host *host = txn->host;
    struct mkt_bundle *b = &txn->bundle;
    for (int i = 0; i < TRIES; i++) {
        const enum mkt_err err = mkt_draw_csb_id(txn, &b->csb_id);
        if (err != MKT_OK || host->has_csb_id == NULL ||
            !host->has_csb_id(host->user, &b->initiator, &b->called, b->csb_id))
            return err;
    }
    return MKT_E_RANDOM;
}

/* "HDR, T, RANDRi, [IDRi], [IDRr], {SP}, TICKET, [KEMAC], V", the list of protocols (D12) before V. */
static enum mkt_err put_init(struct mkt_txn *txn, struct mkt_ticket_payload *ticket, struct mkt_message *m)
{
    const struct mkt_offer *offer = txn->offer;
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_supply(txn, offer->keys, offer->n_keys, &b->keys[MKT_FROM_INITIATOR]);
    err = err == MKT_OK ? mkt_begin(txn, m, MKT_TRANSFER_INIT, b->csb_id) : err;
    if (err == MKT_OK && mkt_bundle_has(b, MKT_FLAG_I))
        err = mkt_initiator_data_encode(b->suite, &txn->arena, &ticket->initiator_data);
    if (err != MKT_OK)
        return err;
    /* "The value of the V flag SHALL agree with the F flag in the Ticket Policy"; no peer looks at it (D3) */
    m->hdr.v = mkt_bundle_has(b, MKT_FLAG_F);
    mkt_add_randr(m, MKT_RANDR_I, b->randi);
    if (!txn->settings->leave_out_identities) {
        mkt_add_idr(m, MKT_IDR_I, &b->initiator);
        mkt_add_idr(m, MKT_IDR_R, &b->called);
    }
    err = mkt_sessions_offer(txn, m, !mkt_bundle_has(b, MKT_FLAG_F));
    mkt_message_add(m, MKT_TICKET)->ticket = *ticket;
    mkt_add_kemac(m, b->suite, b->keys[MKT_FROM_INITIATOR]);
    mkt_message_add(m, MKT_GENERAL_EXT)->general_ext =
        (struct mkt_general_ext){MKT_EXT_SDP_IDS, offer->protocols.n > 0 ? offer->protocols : mkt_span_text("mikey")};
    return err;
}

/* Who, what and how of an offer that is to be made. */
static enum mkt_err begin_init(struct mkt_txn *txn, struct mkt_ticket_payload *ticket)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_offer *offer = txn->offer;
    if (offer->ticket == NULL || offer->responder.data.n == 0)
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, offer->ticket == NULL ? "ticket" : "responder", NULL);
    if (offer->randi.n > UINT8_MAX)
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, "randi", NULL);
    if (offer->n_sp > MKT_MAX_SPS)
        return mkt_blame(txn->detail, MKT_E_TOO_MANY, "SP", NULL);
    *b = (struct mkt_bundle){.suite = MKT_SUITE_256}; /* what was granted to this bundle is in tickets of their own */
    enum mkt_err err = use_ticket(txn, ticket);
    err = err == MKT_OK ? mkt_keep_id(txn, &txn->settings->self, &b->initiator) : err;
    err = err == MKT_OK ? mkt_keep_id(txn, &offer->responder, &b->called) : err;
    err = err == MKT_OK ? choose_csb_id(txn) : err;
    if (err != MKT_OK)
        return err;
    /* RANDRi is fresh, except for a group key: "the same RANDs MUST be used [...] in all" exchanges (section 9) */
    if (offer->randi.n > 0)
        return io_keep(&txn->arena, offer->randi, &b->randi);
    return mkt_draw(txn, mkt_rand_length(b, offer->keys, offer->n_keys), &b->randi);
}

static enum mkt_err make_init(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_message message;
    struct mkt_ticket_payload ticket;
    if (txn->offer == NULL)
        return MKT_E_STATE;
    const size_t before = txn->out->n;
    enum mkt_err err = begin_init(txn, &ticket);
    err = err == MKT_OK ? put_init(txn, &ticket, &message) : err;
    err = err == MKT_OK ? mkt_check_rands(b, mkt_bundle_has(b, MKT_FLAG_G) ? mkt_rand_length(b, NULL, 0) : 0) : err;
    if (err != MKT_OK)
        return err;
    mkt_mpk_protection(txn, &message, MKT_PURPOSE_INITIAL);
    err = mkt_seal(txn, &message);
    if (err == MKT_OK && mkt_bundle_has(b, MKT_FLAG_I) && txn->out->p != NULL)
        err = mkt_initiator_data_seal(b->suite, b->mpkr, &message, txn->out);
    if (err != MKT_OK)
        return err;
    mkt_times_add(&b->sent, mkt_t_of(&message), has_update_keys(b, &message));
    if (mkt_bundle_has(b, MKT_FLAG_F)) {
        txn->outcome = MKT_ANSWER;
        err = io_keep(&txn->arena, io_tail(txn->out, before), &b->init);
    } else {
        err = mkt_sessions_settle(txn, &message, NULL);
    }
    return err == MKT_OK ? mkt_ask_replay(txn, &message, true) : err;
}

/* ---- TRANSFER_INIT: 4.2.2.2 ---- */

/* Who is who, by the message or by what the application gave (D5), and by the policy (D21). Unverified so far. */
static enum mkt_err identify(struct mkt_txn *txn)
{
    const struct mkt_payload *idri = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_I);
    const struct mkt_payload *idrr = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_R);
    const struct mkt_payload *ids = mkt_message_find(txn->message, MKT_GENERAL_EXT, MKT_EXT_SDP_IDS);
    const struct mkt_policy *policy = txn->policy;
    struct mkt_bundle *b = &txn->bundle;
    b->initiator = idri != NULL ? idri->id : txn->settings->peer;
    b->called = idrr != NULL ? idrr->id : txn->settings->self;
    b->responder = txn->settings->self;
    /* If the policy has no IDRi, the host must decide (D21). A COUNTER is refused then: the holder of such a ticket
     * could take any name, and use up the counters of that name. */
    const bool decides =
        b->initiator.data.n > 0 && txn->host->authorise != NULL && mkt_t_of(txn->message)->ts_type != MKT_TS_COUNTER;
    if (policy->initiator.data.n == 0 ? !decides : !mkt_id_equal(&b->initiator, &policy->initiator))
        return mkt_blame(txn->detail, MKT_E_INITIATOR, "IDRi", &b->initiator.data);
    if (!mkt_is_responder(txn, policy, &b->responder))
        return mkt_blame(txn->detail, MKT_E_RESPONDER, "mkt_settings.self", &b->responder.data);
    /* without a replay cache it may be a message of this party's own, sent back to it (D21) */
    if (mkt_id_equal(&b->initiator, &b->responder) && !txn->settings->allow_own_identity && !mkt_replay_is_checked(txn))
        return mkt_blame(txn->detail, MKT_E_OWN_IDENTITY, "IDRi", &b->initiator.data);
    /* RFC 4567 7: "The receiver SHALL then match the list in the General Extension Payload with the list in SDP" */
    const enum mkt_err err = mkt_check_application(txn);
    const bool match =
        ids != NULL ? mkt_span_equal(ids->general_ext.data, txn->protocols) : txn->settings->allow_no_protocols;
    return err == MKT_OK && !match ? MKT_E_PROTOCOLS : err;
}

/* "the Responder SHALL reject without contacting the KMS" */
static enum mkt_err refuse_init(struct mkt_txn *txn)
{
    const struct mkt_message *m = txn->message;
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_policy_sound(txn->policy, txn->detail);
    read_policy(b, txn->policy);
    err = err == MKT_OK ? mkt_ticket_use_check(txn->host, txn->policy, MKT_FLAG_O) : err;
    if (err == MKT_OK)
        err = mkt_initiator_data_check(txn->ticket->ticket.initiator_data, mkt_bundle_has(b, MKT_FLAG_I),
                                       &mkt_message_find(m, MKT_V, 0)->v);
    if (err != MKT_OK)
        return err;
    if (mkt_bundle_has(b, MKT_FLAG_E) && txn->settings->kms == NULL && txn->host->resolved == NULL)
        return MKT_E_RESOLVE;
    err = mkt_sessions_check(txn, m, NULL, !mkt_bundle_has(b, MKT_FLAG_F));
    return err == MKT_OK ? identify(txn) : err;
}

/* How a resolved ticket is remembered: version, 32-bit length and TICKET payload, keys, modifier, for whom it was. */
void mkt_io_resolved(struct io *io, struct mkt_bundle *b, struct mkt_span *ticket, struct mkt_id *self)
{
    uint8_t version = 1;
    io_u8(io, &version);
    if (version != 1)
        io_fail(io, MKT_E_STORED);
    io_vec(io, ticket, 4);
    io_vec(io, &b->keys[MKT_FROM_TICKET], 4);
    io_u8(io, &b->responder.type);
    io_vec(io, &b->responder.data, 2);
    io_vec(io, &b->randkms, 1);
    io_u8(io, &self->type);
    io_vec(io, &self->data, 2);
    io_expect_end(io);
}

/* With key forking only the KMS can verify Vr. If it is not asked, the Initiator proves itself by using forked TGKs, so
 * all keys must be forked TGKs. COUNTER is excluded: an impostor could advance the stored counter permanently. */
static bool proves_itself(const struct mkt_txn *txn)
{
    const struct mkt_bundle *b = &txn->bundle;
    struct mkt_key_data key;
    if (!mkt_bundle_has(b, MKT_FLAG_I))
        return true;
    for (struct mkt_keys keys = mkt_keys_of(b->keys[MKT_FROM_TICKET]); mkt_keys_next_session(&keys, &key);)
        if (!mkt_key_is_tgk(&key))
            return false;
    return mkt_message_find(txn->message, MKT_KEMAC, 0) == NULL && mkt_t_of(txn->message)->ts_type != MKT_TS_COUNTER;
}

/* 5.3: "the Responder does not need to resolve the ticket again. [...] the same modifier [...] SHALL be used." */
static enum mkt_err remember(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_span octets = mkt_ticket_octets(txn->ticket);
    struct mkt_buf stored = {txn->arena.p + txn->arena.n, txn->arena.cap - txn->arena.n, 0};
    struct mkt_span kept = {NULL, 0};
    struct mkt_id self = {0};
    if (txn->host->resolved == NULL)
        return MKT_E_NO_KEY;
    enum mkt_err err = txn->host->resolved(txn->host->user, octets, &stored);
    const uint8_t *p = io_reserve(&txn->arena, stored.n);
    mkt_wipe(txn->arena.p + txn->arena.n, txn->arena.cap - txn->arena.n); /* what the host wrote beyond its answer */
    if (err != MKT_OK || p == NULL)
        return err == MKT_OK ? MKT_E_BUNDLE_FULL : err;
    struct io io = io_get((struct mkt_span){p, stored.n});
    mkt_io_resolved(&io, b, &kept, &self);
    if (io.err != MKT_OK || !mkt_span_equal(kept, octets))
        return MKT_E_STORED;
    /* another party of the same host: whether it may have the keys the KMS must say */
    if (!mkt_id_equal(&self, &txn->settings->self))
        return MKT_E_NO_KEY;
    if ((mkt_bundle_has(b, MKT_FLAG_I) && b->randkms.n == 0) || !mkt_bundle_has(b, MKT_FLAG_J))
        return MKT_E_STORED;
    b->named_by_kms = true; /* perhaps: IDRr may always be sent */
    err = mkt_ticket_keys_check(txn->policy, b->keys[MKT_FROM_TICKET]);
    return err == MKT_OK && !proves_itself(txn) ? MKT_E_NO_KEY : err;
}

/* The keys of the ticket, remembered or by the key that protects it; MKT_E_NO_KEY if only a KMS has them. O lets the
 * Responder ask its KMS about a ticket type that the host can't open (D24). */
static enum mkt_err resolve(struct mkt_txn *txn)
{
    const struct mkt_bundle before = txn->bundle;
    enum mkt_err err = remember(txn);
    if (err != MKT_E_NO_KEY)
        return err;
    txn->bundle = before;
    if (mkt_bundle_has(&before, MKT_FLAG_E))
        return err;
    err = mkt_ticket_resolve(txn->host, txn->ticket, txn->policy, false, &txn->arena,
                             &txn->bundle.keys[MKT_FROM_TICKET], txn->detail);
    const bool by_kms = txn->settings->kms != NULL && mkt_bundle_has(&before, MKT_FLAG_O);
    return err == MKT_E_TICKET_TYPE && by_kms ? MKT_E_NO_KEY : err;
}

static enum mkt_err keep_ids(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_keep_id(txn, &b->initiator, &b->initiator);
    err = err == MKT_OK ? mkt_keep_id(txn, &b->called, &b->called) : err;
    return err == MKT_OK ? mkt_keep_id(txn, &b->responder, &b->responder) : err;
}

/* Waits for the KMS, with nothing of the message verified but what needs no key. */
static enum mkt_err suspend(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_t_fresh(txn);
    err = err == MKT_OK ? mkt_policy_valid(txn->policy, txn->host) : err;
    /* a replay is not worth a question to the KMS */
    err = err == MKT_OK ? mkt_ask_replay(txn, txn->message, false) : err;
    err = err == MKT_OK ? keep_ids(txn) : err;
    txn->outcome = MKT_RESOLVE;
    return err == MKT_OK ? io_keep(&txn->arena, txn->in, &b->init) : err;
}

static enum mkt_err find_mpki(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = find_mpks(b);
    err = err == MKT_OK ? mkt_ticket_hash(txn->ticket, b->ticket_hash) : err;
    b->randi = mkt_rand_of(txn->message, MKT_RANDR_I);
    mkt_mpk_protection(txn, txn->message, MKT_PURPOSE_INITIAL);
    return err;
}

static enum mkt_err find_init_key(struct mkt_txn *txn)
{
    txn->bundle.csb_id = txn->message->hdr.csb_id;
    const enum mkt_err err = resolve(txn);
    if (err == MKT_E_NO_KEY && txn->settings->kms != NULL)
        return suspend(txn);
    if (err == MKT_E_NO_KEY && mkt_bundle_has(&txn->bundle, MKT_FLAG_E))
        return MKT_E_RESOLVE;
    return err == MKT_OK ? find_mpki(txn) : err;
}

static enum mkt_err authorise_init(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    const bool by_kms = b->init.n > 0; /* a message that is kept waited for the keys from the KMS */
    const bool proven = txn->policy->initiator.data.n > 0 && (by_kms || !mkt_bundle_has(b, MKT_FLAG_I));
    const enum mkt_err err = mkt_policy_valid(txn->policy, txn->host);
    return err == MKT_OK ? mkt_authorise(txn, MKT_INITIATOR, &b->initiator, proven) : err;
}

static enum mkt_err accept_init(struct mkt_txn *txn)
{
    const struct mkt_message *m = txn->message;
    struct mkt_bundle *b = &txn->bundle;
    const bool answered = mkt_bundle_has(b, MKT_FLAG_F), by_kms = b->init.n > 0;
    enum mkt_err err = mkt_accept_supplied(txn, txn->keys, &b->keys[MKT_FROM_INITIATOR]);
    if (err == MKT_OK && by_kms && mkt_bundle_has(b, MKT_FLAG_J))
        err = io_keep(&txn->arena, mkt_ticket_octets(txn->ticket), &b->ticket);
    err = err == MKT_OK ? mkt_check_rands(b, mkt_bundle_has(b, MKT_FLAG_G) ? mkt_rand_length(b, NULL, 0) : 0) : err;
    err = err == MKT_OK ? mkt_sessions_check_keys(b, m->hdr.map, !answered) : err;
    err = err == MKT_OK ? io_keep(&txn->arena, b->randi, &b->randi) : err;
    err = err == MKT_OK ? keep_ids(txn) : err;
    mkt_times_add(&b->peer_last_t, mkt_t_of(m), has_update_keys(b, m));
    txn->outcome = answered ? MKT_ANSWER : MKT_DONE;
    if (err == MKT_OK && answered && !by_kms)
        return io_keep(&txn->arena, txn->in, &b->init);
    if (err != MKT_OK || answered)
        return err;
    b->init = io_none;
    return mkt_sessions_settle(txn, m, NULL);
}

const struct mkt_acts mkt_acts_transfer_init = {make_init, refuse_init, find_init_key, authorise_init, accept_init};

const struct mkt_acts mkt_acts_resolved = {NULL, NULL, find_mpki, authorise_init, accept_init};

/* ---- TRANSFER_RESP: 4.2.2.3 ---- */

/* "HDR, T, [RANDRr], [IDRr], [RANDRkms], {SP}, [KEMAC], V" */
static enum mkt_err put_resp(struct mkt_txn *txn, struct mkt_message *m)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_answer *answer = txn->answer;
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    /* without G other Responders have the same key for their KEMACs (D29) */
    const bool shared = answer->n_keys > 0 && !mkt_bundle_has(b, MKT_FLAG_G);
    enum mkt_err err =
        shared ? mkt_begin_update(txn, m, MKT_TRANSFER_RESP, true) : mkt_begin(txn, m, MKT_TRANSFER_RESP, b->csb_id);
    err = err == MKT_OK ? mkt_supply(txn, answer->keys, answer->n_keys, &b->keys[MKT_FROM_RESPONDER]) : err;
    if (err != MKT_OK)
        return err;
    if (mkt_bundle_has(b, MKT_FLAG_G))
        mkt_add_randr(m, MKT_RANDR_R, b->randr);
    /* "If the Responder receives an IDRr payload in the RESOLVE_RESP message, the same identity MUST be sent"; and the
     * Initiator can't guess one that it did not ask for */
    if (!txn->settings->leave_out_identities || b->named_by_kms || forked || !mkt_id_equal(&b->responder, &b->called))
        mkt_add_idr(m, MKT_IDR_R, &b->responder);
    /* "If the Responder receives a RANDRkms payload in the RESOLVE_RESP message, the same RAND MUST be sent" */
    if (b->randkms.n > 0)
        mkt_add_randr(m, MKT_RANDR_KMS, b->randkms);
    err = mkt_sessions_answer(txn, m);
    mkt_add_kemac(m, b->suite, b->keys[MKT_FROM_RESPONDER]);
    return err;
}

static enum mkt_err make_resp(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_message message;
    enum mkt_err err = txn->answer->n_sp > MKT_MAX_SPS ? mkt_blame(txn->detail, MKT_E_TOO_MANY, "SP", NULL) : MKT_OK;
    /* "If indicated by the Ticket Policy (G flag), the Responder SHALL generate a fresh (pseudo-)random byte string" */
    if (err == MKT_OK && mkt_bundle_has(b, MKT_FLAG_G))
        err = mkt_draw(txn, mkt_rand_length(b, txn->answer->keys, txn->answer->n_keys), &b->randr);
    err = err == MKT_OK ? put_resp(txn, &message) : err;
    err = err == MKT_OK ? mkt_check_rands(b, b->randr.n) : err;
    err = err == MKT_OK ? mkt_sessions_settle(txn, &message, txn->init) : err;
    if (err != MKT_OK)
        return err;
    mkt_mpk_protection(txn, &message, MKT_PURPOSE_RESPONSE);
    err = mkt_seal(txn, &message);
    mkt_times_add(&b->sent, mkt_t_of(&message), has_update_keys(b, &message));
    b->init = io_none;
    return err == MKT_OK ? mkt_ask_replay(txn, &message, true) : err;
}

/* ---- TRANSFER_RESP: 4.2.2.4 ---- */

static enum mkt_err refuse_resp(struct mkt_txn *txn)
{
    const struct mkt_message *m = txn->message;
    const struct mkt_bundle *b = &txn->bundle;
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    if (mkt_bundle_has(b, MKT_FLAG_G) != (mkt_rand_of(m, MKT_RANDR_R).p != NULL))
        return MKT_E_RAND;
    if (forked && mkt_rand_of(m, MKT_RANDR_KMS).n < mkt_keys_longest(b->keys[MKT_FROM_TICKET], true))
        return MKT_E_RAND;
    /* the keys are forked by who answers: that can't be left out */
    if (forked && mkt_message_find(m, MKT_IDR, MKT_IDR_R) == NULL)
        return mkt_blame(txn->detail, MKT_E_RESPONDER, "no IDRr", NULL);
    return mkt_sessions_check(txn, m, txn->init, true);
}

enum mkt_err mkt_find_resp_key(struct mkt_txn *txn)
{
    const struct mkt_payload *idrr = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_span *keys = &b->keys[MKT_FROM_TICKET];
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    b->randr = mkt_rand_of(txn->message, MKT_RANDR_R);
    b->randkms = mkt_rand_of(txn->message, MKT_RANDR_KMS);
    enum mkt_err err = forked && (b->randkms.p == NULL || idrr == NULL) ? MKT_E_RAND : MKT_OK;
    if (err == MKT_OK && forked)
        err = mkt_keys_fork(b->suite, *keys, &idrr->id, b->randkms, &txn->arena, keys);
    if (err == MKT_OK && forked)
        err = find_mpks(b);
    mkt_mpk_protection(txn, txn->message, MKT_PURPOSE_RESPONSE);
    return err;
}

/* The Responder is the called identity or one of the policy. With key forking MPKr' proves that the KMS let this
 * Responder resolve the ticket: then the host may allow another one (D26). */
static enum mkt_err authorise_resp(struct mkt_txn *txn)
{
    const struct mkt_payload *idrr = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_id *responder = idrr != NULL ? &idrr->id : &b->called;
    enum mkt_err err = mkt_ask_replay(txn, txn->message, false); /* an answer of this party's own (D21) */
    if (err != MKT_OK)
        return err;
    const bool named = mkt_id_equal(responder, &b->called) || mkt_is_responder(txn, txn->policy, responder);
    if (!named && (!mkt_bundle_has(b, MKT_FLAG_I) || txn->host->authorise == NULL))
        return mkt_blame(txn->detail, MKT_E_RESPONDER, "IDRr", &responder->data);
    err = mkt_keep_id(txn, responder, &b->responder);
    return err == MKT_OK ? mkt_authorise(txn, MKT_RESPONDER, &b->responder, true) : err;
}

static enum mkt_err accept_resp(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_accept_supplied(txn, txn->keys, &b->keys[MKT_FROM_RESPONDER]);
    err = err == MKT_OK ? mkt_check_rands(b, b->randr.n) : err;
    err = err == MKT_OK ? io_keep(&txn->arena, b->randr, &b->randr) : err;
    err = err == MKT_OK ? io_keep(&txn->arena, b->randkms, &b->randkms) : err;
    err = err == MKT_OK ? mkt_sessions_settle(txn, txn->message, txn->init) : err;
    mkt_times_add(&b->peer_last_t, mkt_t_of(txn->message), has_update_keys(b, txn->message));
    b->init = io_none;
    return err == MKT_OK ? mkt_hash_of(MKT_HASH_SHA_256, &txn->in, 1, b->answer_hash) : err;
}

const struct mkt_acts mkt_acts_transfer_resp = {make_resp, refuse_resp, mkt_find_resp_key, authorise_resp, accept_resp};
