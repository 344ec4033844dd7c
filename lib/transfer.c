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

#include "session.h"

/* ---- what both messages have in common ---- */

/* The keys that protect a message (5.1.2); RANDRr is empty in the initial one and where the G flag is not set. */
static struct mkt_protection protection(const struct mkt_bundle *b, enum mkt_phase phase)
{
    const struct mkt_span none = {NULL, 0};
    return (struct mkt_protection){
        .suite = b->suite,
        .phase = phase,
        .key = b->mpki,
        .label = {.csb_id = b->csb_id, .randi = b->randi, .randr = phase == MKT_PHASE_RESPONSE ? b->randr : none},
    };
}

static size_t longer(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The octets of the longest MPK, TGK or GTGK of the bundle. */
static size_t longest_key(const struct mkt_bundle *b)
{
    size_t supplied = longer(mkt_keys_longest(b->supplied[0]), mkt_keys_longest(b->supplied[1]));
    return longer(mkt_keys_longest(b->keys), supplied);
}

/* A RAND of ours is as long as the longest key, those included that are still wished for (design decision D2). */
static size_t rand_length(const struct mkt_bundle *b, const struct mkt_key_wish wishes[], size_t n)
{
    enum { MOST = 255 };
    size_t key = longer(longest_key(b), mkt_wishes_longest(b->suite, wishes, n));
    size_t length = longer(key, mkt_suite_algorithms(b->suite)->key);
    return length < MOST ? length : MOST;
}

/*
 * 12.1: "the sum of the lengths of RANDRi and RANDRr MUST at least be equal to the size of the longest [...]
 * MPK/TGK/GTGK". 5.1.3: "at least one of RANDRi and RANDRr MUST be used": with G that may be RANDRr alone, so it can't
 * be empty.
 */
static enum mkt_err check_rands(const struct mkt_bundle *b, size_t randr)
{
    const bool empty = b->randi.n == 0 || (mkt_bundle_has(b, MKT_FLAG_G) && randr == 0);
    return empty || b->randi.n + randr < longest_key(b) ? MKT_E_RAND : MKT_OK;
}

static void add_randr(struct mkt_message *message, uint8_t role, struct mkt_span rand)
{
    mkt_message_add(message, MKT_RANDR)->rand = (struct mkt_rand){role, rand};
}

static void add_idr(struct mkt_message *message, uint8_t role, const struct mkt_id *id)
{
    mkt_message_add(message, MKT_IDR)->id = (struct mkt_id){role, id->type, id->data};
}

/* A message without payloads. */
static void begin(struct mkt_message *message, const struct mkt_bundle *b, enum mkt_data_type data_type)
{
    message->n = 0;
    message->hdr = (struct mkt_hdr){
        .version = 1,
        .data_type = (uint8_t)data_type,
        .prf = mkt_suite_algorithms(b->suite)->prf,
        .csb_id = b->csb_id,
        .map_type = MKT_MAP_GENERIC_ID,
    };
}

/* The host's last word on a peer. */
static enum mkt_err authorise(const struct mkt_act *act, enum mkt_role role, const struct mkt_id *id,
                              const struct mkt_policy *policy)
{
    const struct mkt_peer peer = {role, *id, act->bundle.asked, policy};
    return act->host->authorise == NULL ? MKT_OK : act->host->authorise(act->host->user, &peer);
}

/* Whether somebody is a responder of the policy, or belongs to a group that is (design decision D21). */
static bool is_responder(const struct mkt_act *act, const struct mkt_policy *policy, const struct mkt_id *who)
{
    const struct mkt_host *host = act->host;
    for (size_t i = 0; i < policy->n_responders; i++) {
        const struct mkt_id *responder = &policy->responder[i];
        if (mkt_id_equal(who, responder) || (host->member != NULL && host->member(host->user, who, responder)))
            return true;
    }
    return false;
}

/* 6.10: "If no IDRapp payloads are supplied, all application IDs are authorized." */
static enum mkt_err check_application(const struct mkt_act *act, const struct mkt_policy *policy)
{
    for (size_t i = 0; i < policy->n_applications; i++)
        if (mkt_span_equal(policy->application[i], act->settings->application))
            return MKT_OK;
    return policy->n_applications == 0 ? MKT_OK : MKT_E_APPLICATION;
}

/* ---- TRANSFER_INIT: 4.2.2.1 ---- */

/* What the ticket gives: its policy must allow this Initiator to use it now, and keys must be there to begin with. */
static enum mkt_err use_ticket(struct mkt_act *act, struct mkt_ticket_payload *ticket)
{
    struct mkt_payload payload;
    struct mkt_bundle *b = &act->bundle;
    struct mkt_policy policy;
    struct mkt_key_data mpki;
    mkt_ntp now;
    enum mkt_err err = mkt_ticket_payload_get(act->offer->ticket, &payload);
    if (err == MKT_OK)
        err = mkt_policy_get(&policy, &payload.ticket);
    if (err == MKT_OK)
        err = mkt_host_now(act->host, &now);
    if (err == MKT_OK)
        err = mkt_policy_check(&policy, now);
    if (err == MKT_OK)
        err = mkt_suite_of_prf(policy.prf, &b->suite);
    if (err != MKT_OK)
        return err;
    b->flags = policy.flags;
    if (!mkt_bundle_has(b, MKT_FLAG_N))
        return MKT_E_TICKET_TYPE;
    if (!mkt_id_equal(&policy.initiator, &act->settings->self))
        return MKT_E_INITIATOR;
    if (mkt_bundle_has(b, MKT_FLAG_I))
        return MKT_E_RESOLVE;
    /* 5.3: "If the Ticket Policy forbids reuse (J flag), the ticket MUST NOT be reused." */
    if (!mkt_bundle_has(b, MKT_FLAG_J) && mkt_ticket_used(act->offer->ticket))
        return MKT_E_REUSE;
    err = check_application(act, &policy);
    if (err == MKT_OK)
        err = mkt_keep(act, mkt_ticket_keys(act->offer->ticket), &b->keys);
    if (err != MKT_OK)
        return err;
    if (!mkt_keys_mpk(b->keys, 0, &mpki))
        return MKT_E_MPK;
    b->mpki = mpki.key;
    *ticket = payload.ticket;
    return MKT_OK;
}

/* "HDR, T, RANDRi, [IDRi], [IDRr], {SP}, TICKET, [KEMAC], V", the list of protocols (D12) before V. */
static enum mkt_err put_init(struct mkt_act *act, const struct mkt_ticket_payload *ticket, struct mkt_message *m)
{
    const struct mkt_offer *offer = act->offer;
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_INITIAL);
    struct mkt_kemac kemac;
    struct mkt_t t;
    enum mkt_err err = mkt_t_make(act->host, act->settings->counter, &t);
    if (err == MKT_OK && offer->n_keys > 0)
        err = mkt_kemac_make(act, &by_mpki, &t, offer->keys, offer->n_keys, &b->supplied[0], &kemac);
    if (err != MKT_OK)
        return err;
    begin(m, b, MKT_TRANSFER_INIT);
    /* "The value of the V flag SHALL agree with the F flag in the Ticket Policy", whatever 6.1 says; nobody looks at it
     * (design decision D3) */
    m->hdr.v = mkt_bundle_has(b, MKT_FLAG_F);
    mkt_message_add(m, MKT_T)->t = t;
    add_randr(m, MKT_RANDR_I, b->randi);
    if (!act->settings->leave_out_identities) {
        add_idr(m, MKT_IDR_I, &b->initiator);
        add_idr(m, MKT_IDR_R, &b->asked);
    }
    err = mkt_sessions_offer(act, m);
    mkt_message_add(m, MKT_TICKET)->ticket = *ticket;
    if (offer->n_keys > 0)
        mkt_message_add(m, MKT_KEMAC)->kemac = kemac;
    mkt_message_add(m, MKT_GENERAL_EXT)->general_ext =
        (struct mkt_general_ext){MKT_EXT_SDP_IDS, offer->protocols.n > 0 ? offer->protocols : mkt_span_text("mikey")};
    mkt_v_add(m, b->suite);
    return err;
}

enum mkt_err mkt_make_transfer_init(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_offer *offer = act->offer;
    const size_t before = act->out->n;
    struct mkt_message message;
    struct mkt_ticket_payload ticket;
    struct mkt_span octets, csb_id;
    enum { OTHERS = 9 }; /* payloads that a TRANSFER_INIT has beside the SPs of the offer, at most */
    if (offer->ticket == NULL || offer->responder.data.n == 0)
        return MKT_E_ARGUMENT;
    if (offer->n_sp > MKT_MAX_PAYLOADS - OTHERS)
        return MKT_E_MANY;
    enum mkt_err err = use_ticket(act, &ticket);
    /* 4.2.2.1: "If indicated by the Ticket Policy (L flag), a KEMAC payload SHALL NOT be included." */
    if (err == MKT_OK && offer->n_keys > 0 && !mkt_bundle_has(b, MKT_FLAG_L))
        err = MKT_E_KEMAC;
    if (err == MKT_OK)
        err = mkt_keep_id(act, &act->settings->self, &b->initiator);
    if (err == MKT_OK)
        err = mkt_keep_id(act, &offer->responder, &b->asked);
    if (err == MKT_OK)
        err = mkt_draw(act, sizeof b->csb_id, &csb_id);
    if (err == MKT_OK)
        err = mkt_draw(act, rand_length(b, offer->keys, offer->n_keys), &b->randi);
    if (err != MKT_OK)
        return err;
    struct io io = io_get(csb_id);
    io_u32(&io, &b->csb_id);

    err = put_init(act, &ticket, &message);
    if (err == MKT_OK)
        err = check_rands(b, mkt_bundle_has(b, MKT_FLAG_G) ? rand_length(b, NULL, 0) : 0);
    if (err == MKT_OK)
        err = mkt_sessions_check_offered(act, &message);
    if (err == MKT_OK)
        err = mkt_sessions_check_keys(b, message.hdr.map, false);
    if (err != MKT_OK)
        return err;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_INITIAL);
    /* table 5.2: "TRANSFER_INIT || Identity_i || Identity_r" */
    const struct mkt_also identities = {{b->initiator.data, b->asked.data}};
    err = mkt_seal(act, &by_mpki, &message, &identities, &octets);
    if (err != MKT_OK)
        return err;
    if (mkt_bundle_has(b, MKT_FLAG_F))
        return mkt_keep_message(act, octets, act->out->n - before, &b->init);
    b->n_cs = message.hdr.n_cs;
    b->map = message.hdr.map;
    return MKT_OK;
}

/* What can be refused without a key (4.2.2.2): "the Responder SHALL reject without contacting the KMS". */
static enum mkt_err early_reject(struct mkt_act *act, const struct mkt_payload *ticket, const struct mkt_policy *policy)
{
    const struct mkt_message *m = act->message;
    const struct mkt_payload *kemac = mkt_message_find(m, MKT_KEMAC, 0);
    struct mkt_bundle *b = &act->bundle;
    enum mkt_err err = mkt_suite_of_prf(m->hdr.prf, &b->suite);
    if (err == MKT_OK)
        err = mkt_v_check(m, b->suite);
    if (err == MKT_OK)
        err = mkt_policy_sound(policy);
    if (err != MKT_OK)
        return err;
    b->flags = policy->flags;
    if (policy->prf != m->hdr.prf)
        return MKT_E_PRF;
    if (!mkt_bundle_has(b, MKT_FLAG_O))
        return MKT_E_TICKET_TYPE;
    if (mkt_bundle_has(b, MKT_FLAG_I) != (ticket->ticket.initiator_data.n > 0))
        return MKT_E_INITIATOR_DATA;
    if (mkt_bundle_has(b, MKT_FLAG_E))
        return MKT_E_RESOLVE;
    if (kemac != NULL && !mkt_bundle_has(b, MKT_FLAG_L))
        return MKT_E_KEMAC;
    if (kemac != NULL)
        err = mkt_kemac_check(&kemac->kemac, b->suite);
    if (err == MKT_OK)
        err = mkt_sessions_check_offered(act, m);
    return err == MKT_OK ? mkt_t_check(act) : err;
}

/*
 * RFC 4567 section 7: "The receiver SHALL then match the list in the General Extension Payload with the list in SDP".
 */
static enum mkt_err check_protocols(const struct mkt_act *act)
{
    const struct mkt_payload *sdp_ids = mkt_message_find(act->message, MKT_GENERAL_EXT, MKT_EXT_SDP_IDS);
    if (sdp_ids == NULL)
        return act->settings->allow_no_protocols ? MKT_OK : MKT_E_PROTOCOLS;
    return mkt_span_equal(sdp_ids->general_ext.data, act->protocols) ? MKT_OK : MKT_E_PROTOCOLS;
}

/* Who is who, by the message or by what the application gave (D5), and by the policy (D21). Unverified so far. */
static enum mkt_err identify(struct mkt_act *act, const struct mkt_policy *policy)
{
    const struct mkt_payload *idri = mkt_message_find(act->message, MKT_IDR, MKT_IDR_I);
    const struct mkt_payload *idrr = mkt_message_find(act->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &act->bundle;
    b->initiator = idri != NULL ? idri->id : act->settings->peer;
    b->asked = idrr != NULL ? idrr->id : act->settings->self;
    b->responder = act->settings->self;
    if (!mkt_id_equal(&b->initiator, &policy->initiator))
        return MKT_E_INITIATOR;
    if (!is_responder(act, policy, &b->responder))
        return MKT_E_RESPONDER;
    enum mkt_err err = check_application(act, policy);
    return err == MKT_OK ? check_protocols(act) : err;
}

/* The TPK by the name that the ticket gives it, or by the policy where it gives none. */
static enum mkt_err ask_tpk(const struct mkt_act *act, const struct mkt_base_ticket *base,
                            const struct mkt_policy *policy, uint8_t tpk[MKT_MAX_TPK], size_t *n)
{
    struct mkt_buf key = {tpk, MKT_MAX_TPK, 0};
    if (act->host->tpk == NULL)
        return MKT_E_KEY;
    enum mkt_err err = act->host->tpk(act->host->user, base->idrpsk.data.n > 0 ? &base->idrpsk : NULL, policy, &key);
    if (err == MKT_OK && (key.p != tpk || key.n > MKT_MAX_TPK))
        err = MKT_E_KEY_LENGTH;
    *n = key.n;
    return err;
}

/* Opens the ticket: its keys, and MPKi of them. */
static enum mkt_err open_ticket(struct mkt_act *act, const struct mkt_payload *ticket, const struct mkt_policy *policy)
{
    struct mkt_bundle *b = &act->bundle;
    uint8_t tpk[MKT_MAX_TPK];
    size_t n = 0;
    struct mkt_base_ticket base;
    struct mkt_key_data mpk = {0};
    enum mkt_err err = mkt_base_ticket_get(&base, ticket, policy);
    if (err == MKT_OK)
        err = ask_tpk(act, &base, policy, tpk, &n);
    if (err == MKT_OK)
        err = mkt_base_ticket_unseal(&base, policy, (struct mkt_span){tpk, n}, &act->room, &b->keys);
    mkt_wipe(tpk, sizeof tpk);
    if (err == MKT_OK && !mkt_keys_mpk(b->keys, 0, &mpk))
        err = MKT_E_MPK;
    if (err != MKT_OK)
        return err;
    uint8_t *mpki = io_reserve(&act->room, mpk.key.n);
    if (mpki == NULL)
        return MKT_E_ROOM;
    b->mpki = (struct mkt_span){mpki, mpk.key.n};
    return mkt_ticket_mpk(b->suite, MKT_DERIVE_MPKI, mpk.key, base.rand, mpki);
}

/* What the message says, now that it is known who says it. */
static enum mkt_err accept_init(struct mkt_act *act)
{
    const struct mkt_message *m = act->message;
    const struct mkt_payload *kemac = mkt_message_find(m, MKT_KEMAC, 0);
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_INITIAL);
    const bool answered = mkt_bundle_has(b, MKT_FLAG_F);
    enum mkt_err err = MKT_OK;
    if (kemac != NULL)
        err = mkt_kemac_open(act, &by_mpki, &kemac->kemac, &b->supplied[0]);
    if (err == MKT_OK)
        err = check_rands(b, mkt_bundle_has(b, MKT_FLAG_G) ? rand_length(b, NULL, 0) : 0);
    if (err == MKT_OK)
        err = mkt_sessions_check_keys(b, m->hdr.map, !answered);
    if (err == MKT_OK)
        err = mkt_keep(act, b->randi, &b->randi);
    if (err == MKT_OK)
        err = mkt_keep_id(act, &b->initiator, &b->initiator);
    if (err == MKT_OK)
        err = mkt_keep_id(act, &b->asked, &b->asked);
    if (err == MKT_OK)
        err = mkt_keep_id(act, &b->responder, &b->responder);
    if (err == MKT_OK && answered)
        return mkt_keep(act, act->in, &b->init);
    b->n_cs = m->hdr.n_cs;
    return err == MKT_OK ? mkt_keep(act, m->hdr.map, &b->map) : err;
}

enum mkt_err mkt_take_transfer_init(struct mkt_act *act)
{
    const struct mkt_payload *ticket = mkt_message_find(act->message, MKT_TICKET, 0);
    struct mkt_bundle *b = &act->bundle;
    struct mkt_policy policy;
    mkt_ntp now;
    enum mkt_err err = mkt_policy_get(&policy, &ticket->ticket);
    if (err == MKT_OK)
        err = early_reject(act, ticket, &policy);
    if (err == MKT_OK)
        err = identify(act, &policy);
    if (err == MKT_OK)
        err = open_ticket(act, ticket, &policy);
    if (err != MKT_OK)
        return err;
    b->csb_id = act->message->hdr.csb_id;
    b->randi = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_I)->rand.rand;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_INITIAL);
    const struct mkt_also identities = {{b->initiator.data, b->asked.data}};
    err = mkt_verify(act, &by_mpki, &identities);
    if (err == MKT_OK)
        err = mkt_t_fresh(act);
    if (err == MKT_OK)
        err = mkt_host_now(act->host, &now);
    if (err == MKT_OK)
        err = mkt_policy_valid(&policy, now);
    if (err == MKT_OK)
        err = authorise(act, MKT_INITIATOR, &b->initiator, &policy);
    if (err == MKT_OK)
        err = accept_init(act);
    if (err == MKT_OK)
        err = mkt_counted(act, &b->initiator);
    return err == MKT_OK ? mkt_seen(act) : err;
}

/* ---- TRANSFER_RESP: 4.2.2.3 ---- */

/* "HDR, T, [RANDRr], [IDRr], [RANDRkms], {SP}, [KEMAC], V" */
static enum mkt_err put_resp(struct mkt_act *act, struct mkt_message *m)
{
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_answer *answer = act->answer;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_RESPONSE);
    struct mkt_kemac kemac;
    struct mkt_t t;
    enum mkt_err err = mkt_t_make(act->host, act->settings->counter, &t);
    if (err == MKT_OK && answer->n_keys > 0)
        err = mkt_kemac_make(act, &by_mpki, &t, answer->keys, answer->n_keys, &b->supplied[1], &kemac);
    if (err != MKT_OK)
        return err;
    begin(m, b, MKT_TRANSFER_RESP);
    mkt_message_add(m, MKT_T)->t = t;
    if (mkt_bundle_has(b, MKT_FLAG_G))
        add_randr(m, MKT_RANDR_R, b->randr);
    if (!act->settings->leave_out_identities)
        add_idr(m, MKT_IDR_R, &b->responder);
    err = mkt_sessions_answer(act, m);
    if (answer->n_keys > 0)
        mkt_message_add(m, MKT_KEMAC)->kemac = kemac;
    mkt_v_add(m, b->suite);
    return err;
}

enum mkt_err mkt_make_transfer_resp(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    struct mkt_message message;
    struct mkt_span octets;
    enum mkt_err err = MKT_OK;
    /* "If indicated by the Ticket Policy (M flag), a KEMAC payload SHALL NOT be included." */
    if (act->answer->n_keys > 0 && !mkt_bundle_has(b, MKT_FLAG_M))
        return MKT_E_KEMAC;
    /* "If indicated by the Ticket Policy (G flag), the Responder SHALL generate a fresh (pseudo-)random byte string" */
    if (mkt_bundle_has(b, MKT_FLAG_G))
        err = mkt_draw(act, rand_length(b, act->answer->keys, act->answer->n_keys), &b->randr);
    if (err == MKT_OK)
        err = put_resp(act, &message);
    if (err == MKT_OK)
        err = check_rands(b, b->randr.n);
    if (err == MKT_OK)
        err = mkt_sessions_check_keys(b, b->map, true);
    if (err != MKT_OK)
        return err;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_RESPONSE);
    /* table 5.2: "TRANSFER_RESP || TRANSFER_INIT" */
    const struct mkt_also init = {{b->init, {NULL, 0}}};
    return mkt_seal(act, &by_mpki, &message, &init, &octets);
}

/* What the TRANSFER_INIT of this bundle says of the answer: its sessions, and who may give it. */
static enum mkt_err compare_with_init(struct mkt_act *act, struct mkt_policy *policy)
{
    struct mkt_message init;
    enum mkt_err err = mkt_message_get(&init, act->bundle.init);
    if (err == MKT_OK)
        err = mkt_sessions_check_answered(act, &init);
    return err == MKT_OK ? mkt_policy_get(policy, &mkt_message_find(&init, MKT_TICKET, 0)->ticket) : err;
}

/* What can be refused without a key. */
static enum mkt_err check_resp(struct mkt_act *act, struct mkt_policy *policy)
{
    const struct mkt_message *m = act->message;
    const struct mkt_payload *kemac = mkt_message_find(m, MKT_KEMAC, 0);
    const struct mkt_payload *randr = mkt_message_find(m, MKT_RANDR, MKT_RANDR_R);
    const struct mkt_payload *randkms = mkt_message_find(m, MKT_RANDR, MKT_RANDR_KMS);
    struct mkt_bundle *b = &act->bundle;
    /* "The version, PRF func and CSB ID fields in the HDR payload SHALL be identical" */
    if (m->hdr.prf != mkt_suite_algorithms(b->suite)->prf)
        return MKT_E_PRF;
    if (m->hdr.csb_id != b->csb_id)
        return MKT_E_CSB_ID;
    if (mkt_bundle_has(b, MKT_FLAG_G) != (randr != NULL) || mkt_bundle_has(b, MKT_FLAG_I) != (randkms != NULL))
        return MKT_E_RAND;
    if (kemac != NULL && !mkt_bundle_has(b, MKT_FLAG_M))
        return MKT_E_KEMAC;
    enum mkt_err err = mkt_v_check(m, b->suite);
    if (err == MKT_OK && kemac != NULL)
        err = mkt_kemac_check(&kemac->kemac, b->suite);
    if (err == MKT_OK)
        err = mkt_t_check(act);
    return err == MKT_OK ? compare_with_init(act, policy) : err;
}

/* Who answers: the one who was asked for, or one of the policy (D26). */
static enum mkt_err identify_responder(struct mkt_act *act, const struct mkt_policy *policy)
{
    const struct mkt_payload *idrr = mkt_message_find(act->message, MKT_IDR, MKT_IDR_R);
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_id *responder = idrr != NULL ? &idrr->id : &b->asked;
    if (!mkt_id_equal(responder, &b->asked) && !is_responder(act, policy, responder))
        return MKT_E_RESPONDER;
    return mkt_keep_id(act, responder, &b->responder);
}

/* What the message says, now that it is known who says it. */
static enum mkt_err accept_resp(struct mkt_act *act)
{
    const struct mkt_message *m = act->message;
    const struct mkt_payload *kemac = mkt_message_find(m, MKT_KEMAC, 0);
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_RESPONSE);
    enum mkt_err err = MKT_OK;
    if (kemac != NULL)
        err = mkt_kemac_open(act, &by_mpki, &kemac->kemac, &b->supplied[1]);
    if (err == MKT_OK)
        err = check_rands(b, b->randr.n);
    if (err == MKT_OK)
        err = mkt_sessions_check_keys(b, m->hdr.map, true);
    if (err == MKT_OK)
        err = mkt_keep(act, b->randr, &b->randr);
    b->n_cs = m->hdr.n_cs;
    return err == MKT_OK ? mkt_keep(act, m->hdr.map, &b->map) : err;
}

enum mkt_err mkt_take_transfer_resp(struct mkt_act *act)
{
    const struct mkt_payload *randr = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_R);
    struct mkt_bundle *b = &act->bundle;
    struct mkt_policy policy;
    enum mkt_err err = check_resp(act, &policy);
    if (err != MKT_OK)
        return err;
    if (randr != NULL)
        b->randr = randr->rand.rand;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_RESPONSE);
    const struct mkt_also init = {{b->init, {NULL, 0}}};
    err = mkt_verify(act, &by_mpki, &init);
    if (err == MKT_OK)
        err = mkt_t_fresh(act);
    if (err == MKT_OK)
        err = identify_responder(act, &policy);
    if (err == MKT_OK)
        err = authorise(act, MKT_RESPONDER, &b->responder, &policy);
    if (err == MKT_OK)
        err = accept_resp(act);
    return err == MKT_OK ? mkt_counted(act, &b->responder) : err;
}
