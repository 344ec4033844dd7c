/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *   Initiator                               Responder
 *
 *   TRANSFER_INIT =                 ---->
 *   HDR, T, RANDRi, [IDRi],
 *      [IDRr], {SP}, TICKET,         < - -  TRANSFER_RESP =
 *      [KEMAC], V                           HDR, T, [RANDRr],
 *                                              [IDRr], [RANDRkms],
 *                                              {SP}, [KEMAC], V
 */
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
static enum mkt_err use_ticket(struct mkt_act *act, struct mkt_ticket_payload *ticket)
{
    struct mkt_payload payload;
    struct mkt_bundle *b = &act->bundle;
    struct mkt_policy policy;
    enum mkt_err err = mkt_ticket_payload_of(act->offer->ticket->payload, &payload);
    err = err != MKT_OK ? err : mkt_policy_get(&policy, &payload.ticket);
    err = err != MKT_OK ? err : mkt_policy_sound(&policy, act->detail);
    err = err != MKT_OK ? err : mkt_policy_valid(&policy, act->host);
    err = err != MKT_OK ? err : mkt_ticket_use_check(act->host, &policy, MKT_FLAG_N);
    err = err != MKT_OK ? err : mkt_suite_of_prf(policy.prf, &b->suite);
    if (err != MKT_OK)
        return err;
    read_policy(b, &policy);
    if (policy.initiator.data.n > 0 && !mkt_id_equal(&policy.initiator, &act->settings->self))
        return mkt_blame(act->detail, MKT_E_INITIATOR, "IDRi of the ticket", &policy.initiator.data);
    /* 5.3: "If the Ticket Policy forbids reuse (J flag), the ticket MUST NOT be reused." */
    if (!mkt_bundle_has(b, MKT_FLAG_J) && act->offer->ticket->used)
        return MKT_E_REUSE;
    err = mkt_check_application(act, &policy);
    err = err != MKT_OK ? err : mkt_ticket_hash(&payload, b->ticket_hash);
    err = err != MKT_OK ? err : io_keep(&act->room, act->offer->ticket->keys, &b->keys[MKT_FROM_TICKET]);
    /* without an answer the policy says later who may be the Responder */
    if (err == MKT_OK && !mkt_bundle_has(b, MKT_FLAG_F))
        err = io_keep(&act->room, payload.octets, &b->ticket);
    *ticket = payload.ticket;
    return err != MKT_OK ? err : find_mpks(b);
}

/* RFC 3830 6.1: "This ID MUST be unique between each Initiator-Responder pair", which only the host can tell. */
static enum mkt_err choose_csb_id(struct mkt_act *act)
{
    enum { TRIES = 8 }; /* a source that gives the same octets again and again is none */
    const struct mkt_host *host = act->host;
    struct mkt_bundle *b = &act->bundle;
    for (int i = 0; i < TRIES; i++) {
        const enum mkt_err err = mkt_draw_csb_id(act, &b->csb_id);
        if (err != MKT_OK || host->has_csb_id == NULL ||
            !host->has_csb_id(host->user, &b->initiator, &b->asked, b->csb_id))
            return err;
    }
    return MKT_E_RANDOM;
}

/* RANDRi, fresh but for a group key: "the same RANDs MUST be used [...] in all Ticket Transfer exchanges" (section 9). */
static enum mkt_err choose_randi(struct mkt_act *act)
{
    const struct mkt_offer *offer = act->offer;
    struct mkt_span *randi = &act->bundle.randi;
    if (offer->randi.n > 0)
        return io_keep(&act->room, offer->randi, randi);
    return mkt_draw(act, mkt_rand_length(&act->bundle, offer->keys, offer->n_keys), randi);
}

/* "HDR, T, RANDRi, [IDRi], [IDRr], {SP}, TICKET, [KEMAC], V", the list of protocols (D12) before V. */
static enum mkt_err put_init(struct mkt_act *act, struct mkt_ticket_payload *ticket, struct mkt_message *m)
{
    const struct mkt_offer *offer = act->offer;
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = MKT_OK;
    if (offer->n_keys > 0)
        err = mkt_supply(act, offer->keys, offer->n_keys, &b->keys[MKT_FROM_INITIATOR]);
    err = err != MKT_OK ? err : mkt_begin(act, m, MKT_TRANSFER_INIT, b->csb_id);
    if (err == MKT_OK && mkt_bundle_has(b, MKT_FLAG_I))
        err = mkt_initiator_data_put(b->suite, &act->room, &ticket->initiator_data);
    if (err != MKT_OK)
        return err;
    /* "The value of the V flag SHALL agree with the F flag in the Ticket Policy", whatever 6.1 says; nobody looks at it
     * (design decision D3) */
    m->hdr.v = mkt_bundle_has(b, MKT_FLAG_F);
    mkt_add_randr(m, MKT_RANDR_I, b->randi);
    if (!act->settings->leave_out_identities) {
        mkt_add_idr(m, MKT_IDR_I, &b->initiator);
        mkt_add_idr(m, MKT_IDR_R, &b->asked);
    }
    err = mkt_sessions_offer(act, m);
    mkt_message_add(m, MKT_TICKET)->ticket = *ticket;
    mkt_add_kemac(m, b->suite, b->keys[MKT_FROM_INITIATOR]);
    mkt_message_add(m, MKT_GENERAL_EXT)->general_ext =
        (struct mkt_general_ext){MKT_EXT_SDP_IDS, offer->protocols.n > 0 ? offer->protocols : mkt_span_text("mikey")};
    return err;
}

/* Who, what and how of an offer that is to be made. */
static enum mkt_err begin_init(struct mkt_act *act, struct mkt_ticket_payload *ticket)
{
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_offer *offer = act->offer;
    if (offer->ticket == NULL || offer->responder.data.n == 0)
        return mkt_blame(act->detail, MKT_E_ARGUMENT, offer->ticket == NULL ? "ticket" : "responder", NULL);
    if (offer->randi.n > UINT8_MAX)
        return mkt_blame(act->detail, MKT_E_ARGUMENT, "randi", NULL);
    if (offer->n_sp > MKT_MAX_SPS)
        return mkt_blame(act->detail, MKT_E_MANY, "SP", NULL);
    *b = (struct mkt_bundle){.suite = MKT_SUITE_256}; /* what was granted to this bundle is in tickets of their own */
    enum mkt_err err = use_ticket(act, ticket);
    /* 4.2.2.1: "If indicated by the Ticket Policy (L flag), a KEMAC payload SHALL NOT be included." */
    if (err == MKT_OK && offer->n_keys > 0 && !mkt_bundle_has(b, MKT_FLAG_L))
        err = MKT_E_KEMAC;
    err = err != MKT_OK ? err : mkt_keep_id(act, &act->settings->self, &b->initiator);
    err = err != MKT_OK ? err : mkt_keep_id(act, &offer->responder, &b->asked);
    err = err != MKT_OK ? err : choose_csb_id(act);
    return err != MKT_OK ? err : choose_randi(act);
}

enum mkt_err mkt_make_transfer_init(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    struct mkt_message message;
    struct mkt_ticket_payload ticket;
    if (act->offer == NULL)
        return MKT_E_STATE;
    const size_t before = act->out->n;
    enum mkt_err err = begin_init(act, &ticket);
    err = err != MKT_OK ? err : put_init(act, &ticket, &message);
    if (err == MKT_OK)
        err = mkt_check_rands(b, mkt_bundle_has(b, MKT_FLAG_G) ? mkt_rand_length(b, NULL, 0) : 0);
    err = err != MKT_OK ? err : mkt_sessions_check(act, &message, NULL, !mkt_bundle_has(b, MKT_FLAG_F));
    err = err != MKT_OK ? err : mkt_sessions_check_keys(b, message.hdr.map, false);
    if (err != MKT_OK)
        return err;
    mkt_by_mpk(act, &message, MKT_PHASE_INITIAL);
    err = mkt_seal(act, &message);
    if (err == MKT_OK && mkt_bundle_has(b, MKT_FLAG_I) && act->out->p != NULL)
        err = mkt_initiator_data_seal(b->suite, b->mpkr, &message, act->out);
    if (err != MKT_OK)
        return err;
    mkt_times_add(&b->sent, mkt_t_of(&message), has_update_keys(b, &message));
    if (mkt_bundle_has(b, MKT_FLAG_F)) {
        act->outcome = MKT_ANSWER;
        err = mkt_keep_made(act, before, &b->init);
    } else {
        err = mkt_sessions_settle(act, &message, NULL);
    }
    return err != MKT_OK ? err : mkt_replay_record(act, &message);
}

/* ---- TRANSFER_INIT: 4.2.2.2 ---- */

/* Initiator Data is there where keys are forked, and of this message: 6.10, 4.2.3.6. */
static enum mkt_err check_initiator_data(const struct mkt_act *act)
{
    const struct mkt_span data = act->ticket->ticket.initiator_data;
    const bool forked = mkt_bundle_has(&act->bundle, MKT_FLAG_I);
    if (forked != (data.n > 0))
        return MKT_E_INITIATOR_DATA;
    return forked ? mkt_initiator_data_match(data, &mkt_message_find(act->message, MKT_V, 0)->v) : MKT_OK;
}

/* RFC 4567 section 7: "The receiver SHALL then match the list in the General Extension Payload with the list in SDP" */
static enum mkt_err check_protocols(const struct mkt_act *act)
{
    const struct mkt_payload *sdp_ids = mkt_message_find(act->message, MKT_GENERAL_EXT, MKT_EXT_SDP_IDS);
    if (sdp_ids == NULL)
        return act->settings->allow_no_protocols ? MKT_OK : MKT_E_PROTOCOLS;
    return mkt_span_equal(sdp_ids->general_ext.data, act->protocols) ? MKT_OK : MKT_E_PROTOCOLS;
}

/*
 * A policy without IDRi names nobody as the Initiator: then the host must decide (D21). A COUNTER is refused: the holder
 * of such a ticket could take anybody's name, and use up the counters of that name.
 */
static bool is_initiator(const struct mkt_act *act)
{
    if (act->policy->initiator.data.n == 0)
        return act->bundle.initiator.data.n > 0 && act->host->authorise != NULL &&
               mkt_t_of(act->message)->ts_type != MKT_TS_COUNTER;
    return mkt_id_equal(&act->bundle.initiator, &act->policy->initiator);
}

/* Who is who, by the message or by what the application gave (D5), and by the policy (D21). Unverified so far. */
static enum mkt_err identify(struct mkt_act *act)
{
    const struct mkt_policy *policy = act->policy;
    const struct mkt_payload *idri = mkt_message_find(act->message, MKT_IDR, MKT_IDR_I);
    const struct mkt_payload *idrr = mkt_message_find(act->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &act->bundle;
    b->initiator = idri != NULL ? idri->id : act->settings->peer;
    b->asked = idrr != NULL ? idrr->id : act->settings->self;
    b->responder = act->settings->self;
    if (!is_initiator(act))
        return mkt_blame(act->detail, MKT_E_INITIATOR, "IDRi", &b->initiator.data);
    if (!mkt_is_responder(act, policy, &b->responder))
        return mkt_blame(act->detail, MKT_E_RESPONDER, "mkt_settings.self", &b->responder.data);
    /* without a replay cache it may be a message of this party's own, sent back to it (D21) */
    if (mkt_id_equal(&b->initiator, &b->responder) && !act->settings->allow_own_identity && !mkt_replay_is_checked(act))
        return mkt_blame(act->detail, MKT_E_OWN_IDENTITY, "IDRi", &b->initiator.data);
    enum mkt_err err = mkt_check_application(act, policy);
    return err != MKT_OK ? err : check_protocols(act);
}

/* "the Responder SHALL reject without contacting the KMS" */
static enum mkt_err refuse_init(struct mkt_act *act)
{
    const struct mkt_message *m = act->message;
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = mkt_policy_sound(act->policy, act->detail);
    read_policy(b, act->policy);
    err = err != MKT_OK ? err : mkt_ticket_use_check(act->host, act->policy, MKT_FLAG_O);
    err = err != MKT_OK ? err : check_initiator_data(act);
    if (err != MKT_OK)
        return err;
    if (mkt_bundle_has(b, MKT_FLAG_E) && act->settings->kms == NULL && act->host->resolved == NULL)
        return MKT_E_RESOLVE;
    if (mkt_message_find(m, MKT_KEMAC, 0) != NULL && !mkt_bundle_has(b, MKT_FLAG_L))
        return MKT_E_KEMAC;
    err = mkt_sessions_check(act, m, NULL, !mkt_bundle_has(b, MKT_FLAG_F));
    return err != MKT_OK ? err : identify(act);
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

/*
 * With key forking only the KMS can tell by Vr who sent a TRANSFER_INIT. Without it, the Initiator proves itself by
 * using forked TGKs, which nobody else has: so it must be them that are used. A counter that somebody else moved on
 * would be moved for good.
 */
static bool proves_itself(const struct mkt_act *act)
{
    const struct mkt_bundle *b = &act->bundle;
    struct mkt_key_data key;
    if (!mkt_bundle_has(b, MKT_FLAG_I))
        return true;
    for (struct mkt_keys keys = mkt_keys_of(b->keys[MKT_FROM_TICKET]); mkt_keys_next_session(&keys, &key);)
        if (!mkt_key_is_tgk(&key))
            return false;
    return mkt_message_find(act->message, MKT_KEMAC, 0) == NULL && mkt_t_of(act->message)->ts_type != MKT_TS_COUNTER;
}

/* A ticket that was resolved before: "the Responder does not need to resolve the ticket again. In that case, the same
 * modifier (IDRr, RANDRkms) SHALL be used." (5.3) */
static enum mkt_err remember(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_span octets = mkt_ticket_octets(act->ticket);
    struct mkt_buf stored = {act->room.p + act->room.n, act->room.cap - act->room.n, 0};
    struct mkt_span kept = {NULL, 0};
    struct mkt_id self = {0};
    if (act->host->resolved == NULL)
        return MKT_E_KEY;
    enum mkt_err err = act->host->resolved(act->host->user, octets, &stored);
    const uint8_t *p = io_reserve(&act->room, stored.n);
    mkt_wipe(act->room.p + act->room.n, act->room.cap - act->room.n); /* what the host wrote and does not answer with */
    if (err != MKT_OK || p == NULL)
        return err != MKT_OK ? err : MKT_E_ROOM;
    struct io io = io_get((struct mkt_span){p, stored.n});
    mkt_io_resolved(&io, b, &kept, &self);
    if (io.err != MKT_OK || !mkt_span_equal(kept, octets))
        return MKT_E_STORED;
    /* another party of the same host: whether it may have the keys the KMS must say */
    if (!mkt_id_equal(&self, &act->settings->self))
        return MKT_E_KEY;
    if ((mkt_bundle_has(b, MKT_FLAG_I) && b->randkms.n == 0) || !mkt_bundle_has(b, MKT_FLAG_J))
        return MKT_E_STORED;
    b->named = b->randkms.n > 0;
    err = mkt_ticket_keys_check(act->policy, b->keys[MKT_FROM_TICKET]);
    return err == MKT_OK && !proves_itself(act) ? MKT_E_KEY : err;
}

/*
 * The keys of the ticket, remembered or by the key that protects it; MKT_E_KEY if only a KMS has them. If nobody here
 * opens tickets of that type, O lets the Responder ask its KMS (D24).
 */
static enum mkt_err resolve(struct mkt_act *act)
{
    const struct mkt_bundle before = act->bundle;
    enum mkt_err err = remember(act);
    if (err != MKT_E_KEY)
        return err;
    act->bundle = before;
    if (mkt_bundle_has(&before, MKT_FLAG_E))
        return err;
    err = mkt_ticket_resolve(act->host, act->ticket, act->policy, false, &act->room,
                             &act->bundle.keys[MKT_FROM_TICKET], act->detail);
    const bool by_kms = act->settings->kms != NULL && mkt_bundle_has(&before, MKT_FLAG_O);
    return err == MKT_E_TICKET_TYPE && by_kms ? MKT_E_KEY : err;
}

static enum mkt_err keep_ids(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = mkt_keep_id(act, &b->initiator, &b->initiator);
    err = err != MKT_OK ? err : mkt_keep_id(act, &b->asked, &b->asked);
    return err != MKT_OK ? err : mkt_keep_id(act, &b->responder, &b->responder);
}

/* Waits for the KMS, with nothing of the message verified but what needs no key. */
static enum mkt_err suspend(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = mkt_t_fresh(act);
    err = err != MKT_OK ? err : mkt_policy_valid(act->policy, act->host);
    err = err != MKT_OK ? err : mkt_replay_look(act); /* a replay is not worth a question to the KMS */
    err = err != MKT_OK ? err : keep_ids(act);
    act->outcome = MKT_RESOLVE;
    return err != MKT_OK ? err : io_keep(&act->room, act->in, &b->init);
}

static enum mkt_err find_mpki(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = find_mpks(b);
    err = err != MKT_OK ? err : mkt_ticket_hash(act->ticket, b->ticket_hash);
    b->randi = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_I)->rand.rand;
    mkt_by_mpk(act, act->message, MKT_PHASE_INITIAL);
    return err;
}

static enum mkt_err find_init_key(struct mkt_act *act)
{
    act->bundle.csb_id = act->message->hdr.csb_id;
    const enum mkt_err err = resolve(act);
    if (err == MKT_E_KEY && act->settings->kms != NULL)
        return suspend(act);
    if (err == MKT_E_KEY && mkt_bundle_has(&act->bundle, MKT_FLAG_E))
        return MKT_E_RESOLVE;
    return err != MKT_OK ? err : find_mpki(act);
}

/* A message that is kept waited for the keys from the KMS. */
static bool is_by_kms(const struct mkt_bundle *b)
{
    return b->init.n > 0;
}

static enum mkt_err authorise_init(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    const bool proven = act->policy->initiator.data.n > 0 && (is_by_kms(b) || !mkt_bundle_has(b, MKT_FLAG_I));
    const enum mkt_err err = mkt_policy_valid(act->policy, act->host);
    return err != MKT_OK ? err : mkt_authorise(act, MKT_INITIATOR, &b->initiator, act->policy, proven);
}

static enum mkt_err accept_init(struct mkt_act *act)
{
    const struct mkt_message *m = act->message;
    struct mkt_bundle *b = &act->bundle;
    const bool answered = mkt_bundle_has(b, MKT_FLAG_F);
    enum mkt_err err = mkt_accept_supplied(act, act->keys, &b->keys[MKT_FROM_INITIATOR]);
    if (err == MKT_OK && is_by_kms(b) && mkt_bundle_has(b, MKT_FLAG_J))
        err = io_keep(&act->room, mkt_ticket_octets(act->ticket), &b->ticket);
    if (err == MKT_OK)
        err = mkt_check_rands(b, mkt_bundle_has(b, MKT_FLAG_G) ? mkt_rand_length(b, NULL, 0) : 0);
    err = err != MKT_OK ? err : mkt_sessions_check_keys(b, m->hdr.map, !answered);
    err = err != MKT_OK ? err : io_keep(&act->room, b->randi, &b->randi);
    err = err != MKT_OK ? err : keep_ids(act);
    mkt_times_add(&b->newest, mkt_t_of(m), has_update_keys(b, m));
    act->outcome = answered ? MKT_ANSWER : MKT_DONE;
    if (err == MKT_OK && answered && !is_by_kms(b))
        return io_keep(&act->room, act->in, &b->init);
    if (err != MKT_OK || answered)
        return err;
    b->init = (struct mkt_span){NULL, 0};
    return mkt_sessions_settle(act, m, NULL);
}

const struct mkt_taking mkt_taking_transfer_init = {refuse_init, find_init_key, authorise_init, accept_init};

const struct mkt_taking mkt_taking_resolved = {NULL, find_mpki, authorise_init, accept_init};

/* ---- TRANSFER_RESP: 4.2.2.3 ---- */

/* "HDR, T, [RANDRr], [IDRr], [RANDRkms], {SP}, [KEMAC], V" */
static enum mkt_err put_resp(struct mkt_act *act, struct mkt_message *m)
{
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_answer *answer = act->answer;
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    const bool keys = answer->n_keys > 0;
    /* without G other Responders have the same key for their KEMACs (D29) */
    enum mkt_err err = keys && !mkt_bundle_has(b, MKT_FLAG_G) ? mkt_begin_update(act, m, MKT_TRANSFER_RESP, true)
                                                              : mkt_begin(act, m, MKT_TRANSFER_RESP, b->csb_id);
    if (err == MKT_OK && keys)
        err = mkt_supply(act, answer->keys, answer->n_keys, &b->keys[MKT_FROM_RESPONDER]);
    if (err != MKT_OK)
        return err;
    if (mkt_bundle_has(b, MKT_FLAG_G))
        mkt_add_randr(m, MKT_RANDR_R, b->randr);
    /* "If the Responder receives an IDRr payload in the RESOLVE_RESP message, the same identity MUST be sent"; and the
     * Initiator can't guess one that it did not ask for */
    if (!act->settings->leave_out_identities || b->named || forked || !mkt_id_equal(&b->responder, &b->asked))
        mkt_add_idr(m, MKT_IDR_R, &b->responder);
    /* "If the Responder receives a RANDRkms payload in the RESOLVE_RESP message, the same RAND MUST be sent" */
    if (b->randkms.n > 0)
        mkt_add_randr(m, MKT_RANDR_KMS, b->randkms);
    err = mkt_sessions_answer(act, m);
    mkt_add_kemac(m, b->suite, b->keys[MKT_FROM_RESPONDER]);
    return err;
}

enum mkt_err mkt_make_transfer_resp(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    struct mkt_message message;
    enum mkt_err err = act->answer->n_sp > MKT_MAX_SPS ? mkt_blame(act->detail, MKT_E_MANY, "SP", NULL) : MKT_OK;
    /* "If indicated by the Ticket Policy (M flag), a KEMAC payload SHALL NOT be included." */
    if (act->answer->n_keys > 0 && !mkt_bundle_has(b, MKT_FLAG_M))
        return MKT_E_KEMAC;
    /* "If indicated by the Ticket Policy (G flag), the Responder SHALL generate a fresh (pseudo-)random byte string" */
    if (err == MKT_OK && mkt_bundle_has(b, MKT_FLAG_G))
        err = mkt_draw(act, mkt_rand_length(b, act->answer->keys, act->answer->n_keys), &b->randr);
    err = err != MKT_OK ? err : put_resp(act, &message);
    err = err != MKT_OK ? err : mkt_check_rands(b, b->randr.n);
    err = err != MKT_OK ? err : mkt_sessions_settle(act, &message, act->init);
    if (err != MKT_OK)
        return err;
    mkt_by_mpk(act, &message, MKT_PHASE_RESPONSE);
    err = mkt_seal(act, &message);
    mkt_times_add(&b->sent, mkt_t_of(&message), has_update_keys(b, &message));
    b->init = (struct mkt_span){NULL, 0};
    return err != MKT_OK ? err : mkt_replay_record(act, &message);
}

/* ---- TRANSFER_RESP: 4.2.2.4 ---- */

static enum mkt_err refuse_resp(struct mkt_act *act)
{
    const struct mkt_message *m = act->message;
    const struct mkt_payload *randr = mkt_message_find(m, MKT_RANDR, MKT_RANDR_R);
    const struct mkt_payload *randkms = mkt_message_find(m, MKT_RANDR, MKT_RANDR_KMS);
    const struct mkt_bundle *b = &act->bundle;
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    if (mkt_bundle_has(b, MKT_FLAG_G) != (randr != NULL) || (forked && randkms == NULL))
        return MKT_E_RAND;
    if (forked && randkms->rand.rand.n < mkt_keys_longest(b->keys[MKT_FROM_TICKET], true))
        return MKT_E_RAND;
    /* the keys are forked by who answers: that can't be left out */
    if (forked && mkt_message_find(m, MKT_IDR, MKT_IDR_R) == NULL)
        return mkt_blame(act->detail, MKT_E_RESPONDER, "no IDRr", NULL);
    if (mkt_message_find(m, MKT_KEMAC, 0) != NULL && !mkt_bundle_has(b, MKT_FLAG_M))
        return MKT_E_KEMAC;
    return mkt_sessions_check(act, m, act->init, true);
}

enum mkt_err mkt_find_resp_key(struct mkt_act *act)
{
    const struct mkt_payload *randr = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_R);
    const struct mkt_payload *randkms = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_KMS);
    const struct mkt_payload *idrr = mkt_message_find(act->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &act->bundle;
    struct mkt_span *keys = &b->keys[MKT_FROM_TICKET];
    const bool forked = mkt_bundle_has(b, MKT_FLAG_I);
    enum mkt_err err = forked && (randkms == NULL || idrr == NULL) ? MKT_E_RAND : MKT_OK;
    if (randr != NULL)
        b->randr = randr->rand.rand;
    if (randkms != NULL)
        b->randkms = randkms->rand.rand;
    if (err == MKT_OK && forked)
        err = mkt_keys_fork(b->suite, *keys, &idrr->id, b->randkms, &act->room, keys);
    if (err == MKT_OK && forked)
        err = find_mpks(b);
    mkt_by_mpk(act, act->message, MKT_PHASE_RESPONSE);
    return err;
}

/*
 * Who answers: the one who was asked for, or one of the policy. With key forking MPKr' proves that the KMS let this
 * Responder resolve the ticket: then another one can answer if the host says yes (D26).
 */
static enum mkt_err authorise_resp(struct mkt_act *act)
{
    const struct mkt_payload *idrr = mkt_message_find(act->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_id *responder = idrr != NULL ? &idrr->id : &b->asked;
    enum mkt_err err = mkt_replay_look(act); /* an answer of this party's own (D21) */
    if (err != MKT_OK)
        return err;
    const bool named = mkt_id_equal(responder, &b->asked) || mkt_is_responder(act, act->policy, responder);
    if (!named && (!mkt_bundle_has(b, MKT_FLAG_I) || act->host->authorise == NULL))
        return mkt_blame(act->detail, MKT_E_RESPONDER, "IDRr", &responder->data);
    err = mkt_keep_id(act, responder, &b->responder);
    return err != MKT_OK ? err : mkt_authorise(act, MKT_RESPONDER, &b->responder, act->policy, true);
}

static enum mkt_err accept_resp(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = mkt_accept_supplied(act, act->keys, &b->keys[MKT_FROM_RESPONDER]);
    err = err != MKT_OK ? err : mkt_check_rands(b, b->randr.n);
    err = err != MKT_OK ? err : io_keep(&act->room, b->randr, &b->randr);
    err = err != MKT_OK ? err : io_keep(&act->room, b->randkms, &b->randkms);
    err = err != MKT_OK ? err : mkt_sessions_settle(act, act->message, act->init);
    mkt_times_add(&b->newest, mkt_t_of(act->message), has_update_keys(b, act->message));
    b->init = (struct mkt_span){NULL, 0};
    return err != MKT_OK ? err : mkt_hash_of(MKT_HASH_SHA_256, &act->in, 1, b->answer_hash);
}

const struct mkt_taking mkt_taking_transfer_resp = {refuse_resp, mkt_find_resp_key, authorise_resp, accept_resp};
