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

/*
 * 12.1: "the sum of the lengths of RANDRi and RANDRr MUST at least be equal to the size of the longest [...] MPK/TGK/GTGK".
 * So a RAND of ours is as long as the longest of them, and not shorter than a key of the suite.
 */
static size_t rand_length(const struct mkt_bundle *b)
{
    enum { MOST = 255 };
    size_t key = mkt_suite_algorithms(b->suite)->key, longest = mkt_keys_longest(b->keys);
    return longest < key ? key : longest < MOST ? longest : MOST;
}

static struct mkt_payload randr_payload(uint8_t role, struct mkt_span rand)
{
    return (struct mkt_payload){.type = MKT_RANDR, .rand = {role, rand}};
}

static struct mkt_payload idr_payload(uint8_t role, const struct mkt_id *id)
{
    return (struct mkt_payload){.type = MKT_IDR, .id = {role, id->type, id->data}};
}

/* The SP with a policy number, or NULL. */
static const struct mkt_sp *find_sp(const struct mkt_message *message, uint8_t policy_no)
{
    for (size_t i = 0; i < message->n; i++)
        if (message->payload[i].type == MKT_SP && message->payload[i].sp.policy_no == policy_no)
            return &message->payload[i].sp;
    return NULL;
}

/* RFC 3830 6.10: "each security policy payload must be given a distinct number". */
static enum mkt_err check_sps(const struct mkt_message *message)
{
    for (size_t i = 0; i < message->n; i++) {
        const struct mkt_sp *sp = &message->payload[i].sp;
        if (message->payload[i].type == MKT_SP && find_sp(message, sp->policy_no) != sp)
            return MKT_E_SP;
    }
    return MKT_OK;
}

/* Each policy of a crypto session is that of an SP of its Prot type, in one of two messages; `second` may be NULL. */
static enum mkt_err check_policies(const struct mkt_cs *cs, const struct mkt_message *first, const struct mkt_message *second)
{
    for (size_t i = 0; i < cs->policies.n; i++) {
        const struct mkt_sp *sp = find_sp(first, cs->policies.p[i]);
        if (sp == NULL && second != NULL)
            sp = find_sp(second, cs->policies.p[i]);
        if (sp == NULL || sp->prot_type != cs->prot_type)
            return MKT_E_SP;
    }
    return MKT_OK;
}

/* The crypto session of a map with a CS ID. */
static bool find_cs(struct mkt_span map, uint8_t cs_id, struct mkt_cs *cs)
{
    while (map.n > 0 && mkt_cs_get(cs, MKT_MAP_GENERIC_ID, 0, &map) == MKT_OK)
        if (cs->cs_id == cs_id)
            return true;
    return false;
}

/* Every SPI of a map names a session key of the bundle; `needed` where none may be left out. */
static enum mkt_err check_spis(const struct mkt_bundle *b, struct mkt_span map, bool needed)
{
    struct mkt_cs cs;
    struct mkt_key_data key;
    while (map.n > 0) {
        enum mkt_err err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map);
        if (err != MKT_OK)
            return err;
        if (cs.spi.n == 0 ? needed : !mkt_bundle_key(b, cs.spi, &key))
            return MKT_E_SPI;
    }
    return MKT_OK;
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

/* ---- crypto sessions of a TRANSFER_INIT ---- */

/*
 * Whether the crypto sessions are such as this bundle can have. Where no response will settle what is open, "the offer
 * decides the policy": each has just one, and an SPI.
 */
static enum mkt_err check_offered(const struct mkt_act *act, const struct mkt_message *message)
{
    const struct mkt_hdr *hdr = &message->hdr;
    const bool settled = !mkt_bundle_has(&act->bundle, MKT_FLAG_F);
    struct mkt_span map = hdr->map;
    struct mkt_cs cs, same;
    if (hdr->map_type != MKT_MAP_GENERIC_ID || hdr->n_cs == 0 || hdr->n_cs > act->settings->max_sessions)
        return MKT_E_CS;
    enum mkt_err err = check_sps(message);
    for (unsigned i = 0; i < hdr->n_cs && err == MKT_OK; i++) {
        err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map);
        if (err != MKT_OK)
            return err;
        if (cs.prot_type != act->settings->prot_type)
            return MKT_E_PROT;
        if (find_cs(map, cs.cs_id, &same))
            return MKT_E_CS;
        if (settled && cs.policies.n != 1)
            return MKT_E_SP;
        if (settled && cs.spi.n == 0)
            return MKT_E_SPI;
        err = check_policies(&cs, message, NULL);
    }
    return err;
}

/* The crypto sessions of an offer, by default the one of the TLS profile (design decisions D10, D11). */
static enum mkt_err put_offered(struct mkt_act *act, struct mkt_message *message)
{
    static const uint8_t first_policy[] = {0};
    const struct mkt_offer *offer = act->offer;
    const bool settled = !mkt_bundle_has(&act->bundle, MKT_FLAG_F);
    struct mkt_key_data key = {0};
    if (!mkt_keys_session(act->bundle.supplied[0], &key) && !mkt_keys_session(act->bundle.keys, &key))
        key.kv.spi = (struct mkt_span){NULL, 0}; /* the Responder will supply one */
    const struct mkt_cs tls = {
        .cs_id = 1,
        .prot_type = act->settings->prot_type,
        .policies = {first_policy, settled ? 1 : 0},
    };
    const struct mkt_cs *cs = offer->n_cs > 0 ? offer->cs : &tls;
    const size_t n = offer->n_cs > 0 ? offer->n_cs : 1, from = act->room.n;
    enum mkt_err err = n > UINT8_MAX ? MKT_E_CS : MKT_OK;
    for (size_t i = 0; i < n && err == MKT_OK; i++) {
        struct mkt_cs with_spi = cs[i];
        if (with_spi.spi.n == 0)
            with_spi.spi = key.kv.spi;
        err = mkt_cs_put(&with_spi, MKT_MAP_GENERIC_ID, &act->room);
    }
    message->hdr.n_cs = (uint8_t)n;
    message->hdr.map = io_tail(&act->room, from);
    for (size_t i = 0; i < offer->n_sp && err == MKT_OK; i++)
        err = mkt_message_add(message, (struct mkt_payload){.type = MKT_SP, .sp = offer->sp[i]});
    if (offer->n_cs == 0 && settled && err == MKT_OK)
        err = mkt_message_add(
            message, (struct mkt_payload){.type = MKT_SP, .sp = {first_policy[0], act->settings->prot_type, {NULL, 0}}});
    return err == MKT_E_SPACE ? MKT_E_ROOM : err;
}

/* ---- TRANSFER_INIT: 4.2.2.1 ---- */

/* What the ticket gives: its policy must allow this Initiator to use it now, and keys must be there to begin with. */
static enum mkt_err use_ticket(struct mkt_act *act, struct mkt_payload *ticket)
{
    struct mkt_bundle *b = &act->bundle;
    struct mkt_policy policy;
    struct mkt_key_data mpki;
    mkt_ntp now;
    enum mkt_err err = mkt_ticket_payload_get(act->offer->ticket, ticket);
    if (err == MKT_OK)
        err = mkt_policy_get(&policy, &ticket->ticket);
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
    err = mkt_keep(act, mkt_ticket_keys(act->offer->ticket), &b->keys);
    if (err != MKT_OK)
        return err;
    if (!mkt_keys_mpk(b->keys, 0, &mpki))
        return MKT_E_MPK;
    b->mpki = mpki.key;
    return MKT_OK;
}

/* "HDR, T, RANDRi, [IDRi], [IDRr], {SP}, TICKET, [KEMAC], V", the list of protocols (D12) before V. */
static enum mkt_err put_init(struct mkt_act *act, const struct mkt_payload *ticket, struct mkt_message *m)
{
    const struct mkt_offer *offer = act->offer;
    struct mkt_bundle *b = &act->bundle;
    struct mkt_payload t, kemac = {.type = MKT_LAST};
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_INITIAL);
    enum mkt_err err = mkt_t_make(act, &t);
    if (err == MKT_OK && offer->n_keys > 0)
        err = mkt_kemac_make(act, &by_mpki, &t.t, offer->keys, offer->n_keys, &b->supplied[0], &kemac);
    if (err != MKT_OK)
        return err;
    *m = (struct mkt_message){.hdr = {
                                  .version = 1,
                                  .data_type = MKT_TRANSFER_INIT,
                                  /* "The value of the V flag SHALL agree with the F flag in the Ticket Policy" */
                                  .v = mkt_bundle_has(b, MKT_FLAG_F),
                                  .prf = mkt_suite_algorithms(b->suite)->prf,
                                  .csb_id = b->csb_id,
                                  .map_type = MKT_MAP_GENERIC_ID,
                              }};
    err = mkt_message_add(m, t);
    if (err == MKT_OK)
        err = mkt_message_add(m, randr_payload(MKT_RANDR_I, b->randi));
    if (err == MKT_OK && !act->settings->leave_out_identities)
        err = mkt_message_add(m, idr_payload(MKT_IDR_I, &b->initiator));
    if (err == MKT_OK && !act->settings->leave_out_identities)
        err = mkt_message_add(m, idr_payload(MKT_IDR_R, &b->asked));
    if (err == MKT_OK)
        err = put_offered(act, m);
    if (err == MKT_OK)
        err = mkt_message_add(m, *ticket);
    if (err == MKT_OK && kemac.type != MKT_LAST)
        err = mkt_message_add(m, kemac);
    struct mkt_general_ext sdp_ids = {MKT_EXT_SDP_IDS, offer->protocols.n > 0 ? offer->protocols : mkt_span_text("mikey")};
    if (err == MKT_OK)
        err = mkt_message_add(m, (struct mkt_payload){.type = MKT_GENERAL_EXT, .general_ext = sdp_ids});
    if (err == MKT_OK)
        err = mkt_message_add(m, mkt_v_make(b->suite));
    return err;
}

enum mkt_err mkt_make_transfer_init(struct mkt_act *act)
{
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_offer *offer = act->offer;
    struct mkt_message message;
    struct mkt_payload ticket;
    struct mkt_span octets, csb_id;
    if (offer->ticket == NULL || offer->responder.data.n == 0)
        return MKT_E_ARGUMENT;
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
        err = mkt_draw(act, rand_length(b), &b->randi);
    if (err != MKT_OK)
        return err;
    struct io io = io_get(csb_id);
    io_u32(&io, &b->csb_id);

    err = put_init(act, &ticket, &message);
    if (err == MKT_OK)
        err = check_offered(act, &message);
    if (err == MKT_OK)
        err = check_spis(b, message.hdr.map, false);
    if (err != MKT_OK)
        return err;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_INITIAL);
    /* table 5.2: "TRANSFER_INIT || Identity_i || Identity_r" */
    const struct mkt_also identities = {{b->initiator.data, b->asked.data}};
    err = mkt_seal(act, &by_mpki, &message, &identities, &octets);
    if (err == MKT_OK)
        err = mkt_keep(act, octets, &b->init);
    if (mkt_bundle_has(b, MKT_FLAG_F))
        return err;
    b->n_cs = message.hdr.n_cs;
    b->map = message.hdr.map;
    b->responder = b->asked;
    return err;
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
        err = check_offered(act, m);
    return err == MKT_OK ? mkt_t_check(act) : err;
}

static enum mkt_err check_application(const struct mkt_act *act, const struct mkt_policy *policy)
{
    for (size_t i = 0; i < policy->n_applications; i++)
        if (mkt_span_equal(policy->application[i], act->settings->application))
            return MKT_OK;
    return policy->n_applications == 0 ? MKT_OK : MKT_E_APPLICATION;
}

/* RFC 4567 section 7: "The receiver SHALL then match the list in the General Extension Payload with the list in SDP". */
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
    const struct mkt_id *initiator = idri != NULL ? &idri->id : &act->settings->peer;
    const struct mkt_id *asked = idrr != NULL ? &idrr->id : &act->settings->self;
    struct mkt_bundle *b = &act->bundle;
    if (!mkt_id_equal(initiator, &policy->initiator))
        return MKT_E_INITIATOR;
    if (!is_responder(act, policy, &act->settings->self))
        return MKT_E_RESPONDER;
    enum mkt_err err = check_application(act, policy);
    if (err == MKT_OK)
        err = check_protocols(act);
    if (err == MKT_OK)
        err = mkt_keep_id(act, initiator, &b->initiator);
    if (err == MKT_OK)
        err = mkt_keep_id(act, asked, &b->asked);
    return err == MKT_OK ? mkt_keep_id(act, &act->settings->self, &b->responder) : err;
}

/* Asks the host for the TPK and opens the ticket: the keys, and MPKi of them. */
static enum mkt_err open_ticket(struct mkt_act *act, const struct mkt_payload *ticket, const struct mkt_policy *policy)
{
    struct mkt_bundle *b = &act->bundle;
    uint8_t tpk[MKT_MAX_TPK];
    struct mkt_buf key = {tpk, sizeof tpk, 0};
    struct mkt_id id;
    struct mkt_opened opened = {{NULL, 0}, {NULL, 0}};
    struct mkt_key_data mpk = {0};
    enum mkt_err err = mkt_ticket_tpk_id(ticket, &id);
    if (err == MKT_OK && act->host->tpk == NULL)
        err = MKT_E_KEY;
    if (err == MKT_OK)
        err = act->host->tpk(act->host->user, id.data.n > 0 ? &id : NULL, policy, &key);
    if (err == MKT_OK)
        err = mkt_ticket_unseal(ticket, policy, (struct mkt_span){tpk, key.n}, &act->room, &opened);
    mkt_wipe(tpk, sizeof tpk);
    if (err == MKT_OK && !mkt_keys_mpk(opened.keys, 0, &mpk))
        err = MKT_E_MPK;
    if (err != MKT_OK)
        return err;
    b->keys = opened.keys;
    uint8_t *mpki = io_reserve(&act->room, mpk.key.n);
    if (mpki == NULL)
        return MKT_E_ROOM;
    b->mpki = (struct mkt_span){mpki, mpk.key.n};
    return mkt_ticket_mpk(b->suite, MKT_MPKI, mpk.key, opened.rand, mpki);
}

/* What the message says, now that it is known who says it. */
static enum mkt_err accept_init(struct mkt_act *act)
{
    const struct mkt_message *m = act->message;
    const struct mkt_payload *kemac = mkt_message_find(m, MKT_KEMAC, 0);
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_INITIAL);
    const bool settled = !mkt_bundle_has(b, MKT_FLAG_F);
    size_t rands = b->randi.n + (mkt_bundle_has(b, MKT_FLAG_G) ? rand_length(b) : 0);
    enum mkt_err err = rands < mkt_keys_longest(b->keys) ? MKT_E_RAND : MKT_OK;
    if (err == MKT_OK && kemac != NULL)
        err = mkt_kemac_open(act, &by_mpki, &kemac->kemac, &b->supplied[0]);
    if (err == MKT_OK)
        err = check_spis(b, m->hdr.map, settled);
    if (err == MKT_OK)
        err = mkt_keep(act, act->in, &b->init);
    if (err == MKT_OK && settled) {
        b->n_cs = m->hdr.n_cs;
        err = mkt_keep(act, m->hdr.map, &b->map);
    }
    return err;
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
    if (err == MKT_OK)
        err = mkt_keep(act, mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_I)->rand.rand, &b->randi);
    if (err != MKT_OK)
        return err;
    b->csb_id = act->message->hdr.csb_id;
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

/* A policy number that no SP of the offer has. */
static uint8_t free_policy_no(const struct mkt_message *init)
{
    uint8_t no = 0;
    while (no < UINT8_MAX && find_sp(init, no) != NULL)
        no++;
    return no;
}

/*
 * "The Responder SHALL update the CS ID map info so that each crypto session has exactly one security policy indicated.
 * The Responder MUST provide [...] SPI for each crypto session for which the Initiator has not supplied [...] SPI."
 */
static enum mkt_err put_answered(struct mkt_act *act, struct mkt_message *m)
{
    const struct mkt_message *init = act->message;
    struct mkt_bundle *b = &act->bundle;
    const uint8_t new_policy = free_policy_no(init);
    const size_t from = act->room.n;
    struct mkt_span rest = init->hdr.map;
    struct mkt_key_data key;
    const bool supplied = mkt_keys_session(b->supplied[1], &key);
    const bool any = supplied || mkt_keys_session(b->supplied[0], &key) || mkt_keys_session(b->keys, &key);
    bool needs_sp = false;
    enum mkt_err err = MKT_OK;
    for (unsigned i = 0; i < init->hdr.n_cs && err == MKT_OK; i++) {
        struct mkt_cs cs;
        err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &rest);
        if (err != MKT_OK)
            return err;
        if (cs.spi.n == 0 && !any)
            return MKT_E_SPI;
        if (cs.spi.n == 0 || supplied)
            cs.spi = key.kv.spi;
        needs_sp |= cs.policies.n == 0;
        cs.policies = (struct mkt_span){cs.policies.n > 0 ? cs.policies.p : &new_policy, 1};
        err = mkt_cs_put(&cs, MKT_MAP_GENERIC_ID, &act->room);
    }
    b->map = io_tail(&act->room, from);
    b->n_cs = init->hdr.n_cs;
    m->hdr.map = b->map;
    m->hdr.n_cs = b->n_cs;
    if (err == MKT_OK && needs_sp)
        err = mkt_message_add(
            m, (struct mkt_payload){.type = MKT_SP, .sp = {new_policy, act->settings->prot_type, {NULL, 0}}});
    return err == MKT_E_SPACE ? MKT_E_ROOM : err;
}

/* "HDR, T, [RANDRr], [IDRr], [RANDRkms], {SP}, [KEMAC], V" */
static enum mkt_err put_resp(struct mkt_act *act, struct mkt_message *m)
{
    struct mkt_bundle *b = &act->bundle;
    const struct mkt_answer *answer = act->answer;
    struct mkt_payload t, kemac = {.type = MKT_LAST};
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_RESPONSE);
    enum mkt_err err = mkt_t_make(act, &t);
    if (err == MKT_OK && answer->n_keys > 0)
        err = mkt_kemac_make(act, &by_mpki, &t.t, answer->keys, answer->n_keys, &b->supplied[1], &kemac);
    if (err != MKT_OK)
        return err;
    *m = (struct mkt_message){.hdr = {
                                  .version = 1,
                                  .data_type = MKT_TRANSFER_RESP,
                                  .prf = mkt_suite_algorithms(b->suite)->prf,
                                  .csb_id = b->csb_id,
                                  .map_type = MKT_MAP_GENERIC_ID,
                              }};
    err = mkt_message_add(m, t);
    if (err == MKT_OK && mkt_bundle_has(b, MKT_FLAG_G))
        err = mkt_message_add(m, randr_payload(MKT_RANDR_R, b->randr));
    if (err == MKT_OK && !act->settings->leave_out_identities)
        err = mkt_message_add(m, idr_payload(MKT_IDR_R, &b->responder));
    if (err == MKT_OK)
        err = put_answered(act, m);
    if (err == MKT_OK && kemac.type != MKT_LAST)
        err = mkt_message_add(m, kemac);
    return err == MKT_OK ? mkt_message_add(m, mkt_v_make(b->suite)) : err;
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
        err = mkt_draw(act, rand_length(b), &b->randr);
    if (err == MKT_OK)
        err = put_resp(act, &message);
    if (err != MKT_OK)
        return err;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_RESPONSE);
    /* table 5.2: "TRANSFER_RESP || TRANSFER_INIT" */
    const struct mkt_also init = {{b->init, {NULL, 0}}};
    return mkt_seal(act, &by_mpki, &message, &init, &octets);
}

/* The crypto sessions of the answer: those of the offer, each with one policy, known by now, and an SPI. */
static enum mkt_err check_answered(const struct mkt_act *act, const struct mkt_message *init)
{
    const struct mkt_message *m = act->message;
    struct mkt_span map = m->hdr.map;
    if (m->hdr.map_type != MKT_MAP_GENERIC_ID || m->hdr.n_cs != init->hdr.n_cs)
        return MKT_E_CS;
    enum mkt_err err = check_sps(m);
    for (unsigned i = 0; i < m->hdr.n_cs && err == MKT_OK; i++) {
        struct mkt_cs cs, offered;
        err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map);
        if (err != MKT_OK)
            return err;
        if (cs.prot_type != act->settings->prot_type)
            return MKT_E_PROT;
        if (find_cs(map, cs.cs_id, &offered) || !find_cs(init->hdr.map, cs.cs_id, &offered))
            return MKT_E_CS;
        /* 6.1.1: "In response messages, #P SHALL always be exactly 1." */
        if (cs.policies.n != 1)
            return MKT_E_SP;
        if (cs.spi.n == 0)
            return MKT_E_SPI;
        err = check_policies(&cs, m, init);
    }
    return err;
}

/* What the TRANSFER_INIT of this bundle says of the answer: its sessions, and who may give it. */
static enum mkt_err compare_with_init(struct mkt_act *act, struct mkt_policy *policy)
{
    struct mkt_message init;
    enum mkt_err err = mkt_message_get(&init, act->bundle.init);
    if (err == MKT_OK)
        err = check_answered(act, &init);
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

/* Who answers: "the one who was asked for", or one of the policy (D26). Unverified so far. */
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
    enum mkt_err err = b->randi.n + b->randr.n < mkt_keys_longest(b->keys) ? MKT_E_RAND : MKT_OK;
    if (err == MKT_OK && kemac != NULL)
        err = mkt_kemac_open(act, &by_mpki, &kemac->kemac, &b->supplied[1]);
    if (err == MKT_OK)
        err = check_spis(b, m->hdr.map, true);
    b->n_cs = m->hdr.n_cs;
    return err == MKT_OK ? mkt_keep(act, m->hdr.map, &b->map) : err;
}

enum mkt_err mkt_take_transfer_resp(struct mkt_act *act)
{
    const struct mkt_payload *randr = mkt_message_find(act->message, MKT_RANDR, MKT_RANDR_R);
    struct mkt_bundle *b = &act->bundle;
    struct mkt_policy policy;
    enum mkt_err err = check_resp(act, &policy);
    if (err == MKT_OK)
        err = identify_responder(act, &policy);
    if (err == MKT_OK && randr != NULL)
        err = mkt_keep(act, randr->rand.rand, &b->randr);
    if (err != MKT_OK)
        return err;
    const struct mkt_protection by_mpki = protection(b, MKT_PHASE_RESPONSE);
    const struct mkt_also init = {{b->init, {NULL, 0}}};
    err = mkt_verify(act, &by_mpki, &init);
    if (err == MKT_OK)
        err = mkt_t_fresh(act);
    if (err == MKT_OK)
        err = authorise(act, MKT_RESPONDER, &b->responder, &policy);
    if (err == MKT_OK)
        err = accept_resp(act);
    return err == MKT_OK ? mkt_counted(act, &b->responder) : err;
}
