/* SPDX-License-Identifier: BSD-3-Clause */
#include "request.h"

/* ---- initial messages to a KMS, of Ticket Request and Ticket Resolve ---- */

enum mkt_err mkt_begin_for_kms(struct mkt_txn *txn, struct mkt_message *m, enum mkt_data_type data_type,
                               const struct mkt_id *who)
{
    const struct mkt_credential *kms = txn->kms;
    const bool request = data_type == MKT_REQUEST_INIT_PSK, named = !txn->settings->leave_out_identities;
    const bool by_pk = kms != NULL && kms->psk.n == 0 && txn->pk.sign != NULL && txn->pk.seal != NULL;
    const size_t key = mkt_suite_algorithms(txn->bundle.suite)->key;
    struct mkt_span rand;
    uint32_t csb_id = 0;
    if (kms == NULL || kms->kms.data.n == 0 || kms->psk.n > MKT_MAX_PSK)
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, "mkt_settings.kms", NULL);
    if (by_pk)
        data_type = request ? MKT_REQUEST_INIT_PK : MKT_RESOLVE_INIT_PK;
    else if (kms->psk.n < MKT_MIN_KEY)
        return mkt_blame(
            txn->detail, MKT_E_KEY_LENGTH,
            kms->psk.n > 0 ? "mkt_credential.psk" : "neither mkt_credential.psk nor mkt_settings.public_keys", NULL);
    txn->signs = by_pk;
    if (txn->detail != NULL)
        txn->detail->message = (int)data_type;
    enum mkt_err err = mkt_draw_csb_id(txn, &csb_id);
    /* as long as the key, 12.1, and as those of the suite, design decision D2 */
    err = err == MKT_OK ? mkt_draw(txn, kms->psk.n > key ? kms->psk.n : key, &rand) : err;
    err = err == MKT_OK ? mkt_begin(txn, m, data_type, csb_id) : err;
    if (err != MKT_OK)
        return err;
    m->hdr.v = 1; /* "The V flag MUST be set to '1'" */
    mkt_add_randr(m, request ? MKT_RANDR_I : MKT_RANDR_R, rand);
    if (named || txn->role == MKT_KMS)
        mkt_add_idr(m, request ? MKT_IDR_I : MKT_IDR_R, who);
    for (size_t i = 0; by_pk && i < txn->pk.n_certificates; i++)
        mkt_message_add(m, MKT_CERT)->cert.data = txn->pk.certificate[i];
    if (named)
        mkt_add_idr(m, MKT_IDR_KMS, &kms->kms);
    return MKT_OK;
}

/* [CHASH] and PKE, of a key that is drawn; `envelope` and `hash` have the room, or measure. */
static enum mkt_err add_envelope(struct mkt_txn *txn, struct mkt_message *m, struct mkt_buf *envelope,
                                 struct mkt_buf *hash)
{
    const struct mkt_id *kms = &txn->kms->kms;
    struct mkt_span *key = &txn->bundle.envelope_key;
    mkt_ntp now = 0;
    enum mkt_err err = mkt_draw(txn, mkt_suite_algorithms(txn->bundle.suite)->key, key);
    err = err == MKT_OK ? mkt_host_now(txn->host, &now) : err;
    err = err == MKT_OK ? txn->pk.seal(txn->pk.user, kms, now, *key, envelope, hash) : err;
    const bool is_one = envelope->n > 0 && envelope->n <= MKT_MAX_RSA && (hash->n == 0 || hash->n == MKT_MAX_HASH);
    if (err == MKT_OK && !is_one)
        err = MKT_E_CRYPTO;
    if (err != MKT_OK)
        return mkt_blame(txn->detail, err, "IDRkms", &kms->data);
    if (hash->n > 0)
        mkt_message_add(m, MKT_CHASH)->chash = (struct mkt_chash){MKT_CHASH_SHA_256, {hash->p, hash->n}};
    mkt_message_add(m, MKT_PKE)->pke.data = (struct mkt_span){envelope->p, envelope->n};
    return MKT_OK;
}

enum mkt_err mkt_seal_for_kms(struct mkt_txn *txn, struct mkt_message *m, const struct mkt_id *who,
                              struct mkt_span *init)
{
    const struct mkt_credential *kms = txn->kms;
    const size_t before = txn->out->n;
    uint8_t octets[MKT_MAX_RSA], hash[MKT_MAX_HASH];
    const bool measured = txn->out->p == NULL;
    struct mkt_buf of_envelope = {measured ? NULL : octets, sizeof octets, 0};
    struct mkt_buf of_hash = {measured ? NULL : hash, sizeof hash, 0};
    enum mkt_err err = txn->signs ? add_envelope(txn, m, &of_envelope, &of_hash) : MKT_OK;
    if (err != MKT_OK)
        return err;
    mkt_psk_protection(txn, kms->psk, m, MKT_PURPOSE_INITIAL, who->data, kms->kms.data);
    if (!txn->signs && kms->name.data.n > 0)
        mkt_add_idr(m, MKT_IDR_PSK, &kms->name);
    err = mkt_seal(txn, m);
    return err == MKT_OK ? io_keep(&txn->arena, io_tail(txn->out, before), init) : err;
}

/* The role of the sender of an initial message to a KMS. */
static uint8_t role_of(const struct mkt_message *message)
{
    return mkt_psk_variant(message->hdr.data_type) == MKT_REQUEST_INIT_PSK ? MKT_IDR_I : MKT_IDR_R;
}

enum mkt_err mkt_kms_find_key(struct mkt_txn *txn)
{
    const struct mkt_message *m = txn->message;
    const uint8_t role = role_of(m);
    const struct mkt_payload *kms = mkt_message_find(m, MKT_IDR, MKT_IDR_KMS);
    const struct mkt_payload *name = mkt_message_find(m, MKT_IDR, MKT_IDR_PSK);
    const struct mkt_payload *who = mkt_message_find(m, MKT_IDR, role);
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_id *sender = role == MKT_IDR_I ? &b->initiator : &b->responder;
    if (kms != NULL && !mkt_id_equal(&kms->id, &txn->settings->self))
        return mkt_blame(txn->detail, MKT_E_KMS, "IDRkms", &kms->id.data);
    mkt_psk_protection(txn, b->psk, m, MKT_PURPOSE_INITIAL, txn->extra[0], txn->extra[1]);
    if (mkt_is_pk(m->hdr.data_type)) /* what signs tells who it is */
        return mkt_keep_id(txn, who != NULL ? &who->id : &txn->settings->peer, sender);
    uint8_t *octets = io_reserve(&txn->arena, MKT_MAX_PSK);
    if (octets == NULL)
        return MKT_E_BUNDLE_FULL;
    struct mkt_psk psk = {.key = {octets, MKT_MAX_PSK, 0}};
    const struct mkt_payload *by = name != NULL ? name : who;
    enum mkt_err err = MKT_E_NO_KEY;
    if (txn->host->psk != NULL)
        err = txn->host->psk(txn->host->user, name != NULL ? &name->id : NULL, who != NULL ? &who->id : NULL, &psk);
    if (err != MKT_OK)
        return mkt_blame(txn->detail, err, by == name ? "IDRpsk" : "IDR", by != NULL ? &by->id.data : NULL);
    if (psk.key.p != octets || psk.key.n < MKT_MIN_KEY || psk.key.n > MKT_MAX_PSK)
        return MKT_E_KEY_LENGTH;
    b->psk = (struct mkt_span){octets, psk.key.n};
    err = psk.owner.data.n == 0 ? MKT_E_NO_KEY : mkt_keep_id(txn, &psk.owner, &txn->owner);
    err = err == MKT_OK ? mkt_keep_id(txn, who != NULL ? &who->id : &psk.owner, sender) : err;
    /* section 10: a KMS passes on a RESOLVE_INIT of one of its own users; nobody else speaks for another */
    txn->vouched_for = psk.vouches && who != NULL && role == MKT_IDR_R;
    mkt_psk_protection(txn, b->psk, m, MKT_PURPOSE_INITIAL, sender->data, txn->settings->self.data);
    return err;
}

enum mkt_err mkt_kms_authorise(struct mkt_txn *txn)
{
    const struct mkt_label *label = &txn->protection.label;
    const bool request = role_of(txn->message) == MKT_IDR_I, by_pk = mkt_is_pk(txn->message->hdr.data_type);
    struct mkt_id *sender = request ? &txn->bundle.initiator : &txn->bundle.responder;
    /* 12.1: RANDRi and RANDRr "at least [...] the size of the longest pre-shared key/envelope key": here is one */
    if (label->randi.n + label->randr.n < (by_pk ? mkt_suite_algorithms(txn->bundle.suite)->key : txn->bundle.psk.n))
        return MKT_E_RAND;
    if (sender->data.n == 0)
        *sender = txn->owner;
    if (txn->vouched_for || mkt_id_equal(sender, &txn->owner))
        return MKT_OK;
    return mkt_blame(txn->detail, request ? MKT_E_INITIATOR : MKT_E_RESPONDER, "IDR", &sender->data);
}

enum mkt_err mkt_kms_open(struct mkt_txn *txn)
{
    const struct mkt_payload *chash = mkt_message_find(txn->init, MKT_CHASH, 0);
    const struct mkt_payload *pke = mkt_message_find(txn->init, MKT_PKE, 0);
    struct mkt_span *key = &txn->bundle.psk;
    if (!mkt_is_pk(txn->init->hdr.data_type))
        return MKT_OK;
    if (txn->pk.open == NULL)
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, "mkt_settings.public_keys", NULL);
    const enum mkt_err err = mkt_draw(txn, mkt_suite_algorithms(txn->bundle.suite)->key, key);
    if (err != MKT_OK || txn->out->p == NULL)
        return err;
    return txn->pk.open(txn->pk.user, chash != NULL ? &chash->chash : NULL, pke->pke.data, io_within(&txn->arena, *key),
                        key->n);
}

enum mkt_err mkt_find_kms_key(struct mkt_txn *txn)
{
    const struct mkt_payload *kms = mkt_message_find(txn->message, MKT_IDR, MKT_IDR_KMS);
    const struct mkt_bundle *b = &txn->bundle;
    if (txn->kms == NULL)
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, "mkt_settings.kms", NULL);
    if (kms != NULL && !mkt_id_equal(&kms->id, &txn->kms->kms))
        return mkt_blame(txn->detail, MKT_E_KMS, "IDRkms", &kms->id.data);
    const struct mkt_span question = b->asked_kms.n > 0 ? b->asked_kms : b->init;
    mkt_psk_protection(txn, mkt_kms_key(txn), txn->init, MKT_PURPOSE_RESPONSE, question, io_none);
    return MKT_OK;
}

enum mkt_err mkt_authorise_kms(struct mkt_txn *txn)
{
    enum mkt_err err = MKT_OK;
    if (txn->role == MKT_KMS)
        err = mkt_authorise(txn, MKT_RESPONDER, &txn->bundle.responder, true);
    return err == MKT_OK ? mkt_authorise(txn, MKT_KMS, &txn->kms->kms, true) : err;
}

/* ---- what is asked for: 6.10, TP ---- */

/* 6.10: TP Data has "(IDRr)": at least one (D24). */
static enum mkt_err desired_check(const struct mkt_txn *txn, const struct mkt_policy *desired)
{
    const enum mkt_err err = mkt_policy_flags_check(desired->flags & (uint16_t)~MKT_FLAG_K, txn->detail);
    return err == MKT_OK && desired->n_responders == 0 ? mkt_blame(txn->detail, MKT_E_POLICY, "no IDRr", NULL) : err;
}

/* The desired KEMAC: "The Key Data fields SHALL be set to '0' by the Initiator and ignored by the KMS." */
static enum mkt_err put_wishes(struct mkt_txn *txn, struct mkt_policy *policy)
{
    const struct mkt_request *r = txn->request;
    const struct mkt_wishes wishes = {r->keys, r->n_keys, txn->bundle.suite, true};
    struct mkt_chain chain = {&txn->arena, txn->arena.n, NULL};
    struct mkt_key_data mpk;
    if (r->n_keys > MKT_MAX_KEYS - mkt_ticket_mpks(policy))
        return mkt_blame(txn->detail, MKT_E_TOO_MANY, "n_keys", NULL);
    enum mkt_err err = mkt_blame(txn->detail, mkt_keys_make(txn->host, &wishes, NULL, &chain), "keys", NULL);
    policy->has_kemac = r->n_keys > 0 || r->no_keys;
    policy->kemac = io_tail(&txn->arena, chain.from);
    return err == MKT_OK && mkt_keys_mpk(policy->kemac, 0, &mpk) ? MKT_E_MPK : err;
}

static struct mkt_key_wish wish_of(const struct mkt_key_data *key)
{
    return (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish),
                                 .type = (uint8_t)key->type,
                                 .length = key->key.n,
                                 .salt_length = key->salt.n,
                                 .kv = key->kv,
                                 .any_spi = key->kv.type == MKT_KV_NULL};
}

/* More keys than a ticket has, or longer ones than any RAND. */
static enum mkt_err check_wishes(const struct mkt_policy *desired)
{
    struct mkt_keys keys = mkt_keys_of(desired->kemac);
    struct mkt_key_data key;
    for (size_t n = 1; mkt_keys_next_session(&keys, &key); n++)
        if (n == MKT_MAX_KEYS || key.key.n > UINT8_MAX || key.salt.n > UINT8_MAX)
            return MKT_E_POLICY;
    return keys.err;
}

enum mkt_err mkt_request_decode(struct mkt_span request_init, struct mkt_policy *policy)
{
    struct mkt_message init;
    enum mkt_err err = mkt_message_decode(&init, request_init);
    err = err == MKT_OK ? mkt_policy_decode(policy, &mkt_message_find(&init, MKT_TP, 0)->ticket) : err;
    return err == MKT_OK ? check_wishes(policy) : err;
}

bool mkt_request_key(const struct mkt_policy *desired, size_t n, struct mkt_key_wish *wish)
{
    struct mkt_key_data key = {.type = MKT_KEY_TGK}; /* 4.2.1.5: "the KMS's default KEMAC": "a single TGK" */
    if (desired->has_kemac ? !mkt_keys_session(desired->kemac, n, &key) : n > 0)
        return false;
    *wish = wish_of(&key);
    return true;
}

/* True if a key is the next one that is asked for. RFC 3830 6.13: with NULL "any SPI or Interval is valid". An interval
 * is always a change, as each key of a ticket has an SPI (D30). */
static bool is_next(enum mkt_suite suite, struct mkt_keys *asked, const struct mkt_key_wish *key)
{
    struct mkt_key_data next;
    if (!mkt_keys_next_session(asked, &next))
        return false;
    struct mkt_key_wish want = wish_of(&next);
    mkt_wish_complete(suite, &want);
    const bool spi =
        want.kv.type == MKT_KV_SPI && key->kv.type == MKT_KV_SPI && mkt_span_equal(want.kv.spi, key->kv.spi);
    return (want.kv.type == MKT_KV_NULL || spi) && want.type == key->type && want.length == key->length &&
           want.salt_length == key->salt_length;
}

static bool next_granted(enum mkt_suite suite, struct mkt_granted *keys, struct mkt_key_wish *key)
{
    struct mkt_key_data next;
    if (keys->at < keys->n)
        return mkt_wish_at(suite, keys->wish, keys->at++, key);
    if (!mkt_keys_next_session(&keys->chain, &next))
        return false;
    *key = wish_of(&next);
    mkt_wish_complete(suite, key);
    return true;
}

enum mkt_err mkt_request_check(struct mkt_span request_init, const struct mkt_policy *policy, struct mkt_granted *keys)
{
    struct mkt_policy desired;
    struct mkt_key_wish key;
    struct mkt_key_data left;
    enum mkt_suite suite;
    enum mkt_err err = mkt_suite_of_prf(policy->prf, &suite);
    err = err == MKT_OK ? mkt_request_decode(request_init, &desired) : err;
    if (err != MKT_OK)
        return err;
    /* what the KMS completes is no change: 4.2.1.1, "This identity SHOULD be included in the granted Ticket Policy" */
    if (desired.initiator.data.n == 0)
        desired.initiator = policy->initiator;
    if (desired.kms.data.n == 0)
        desired.kms = policy->kms;
    bool same = mkt_policy_same(&desired, policy);
    struct mkt_keys asked = mkt_keys_of(desired.kemac);
    while (desired.has_kemac && next_granted(suite, keys, &key)) /* without a desired KEMAC any keys will do */
        same = is_next(suite, &asked, &key) && same;
    return same && !mkt_keys_next_session(&asked, &left) ? MKT_OK : MKT_E_NOT_AS_ASKED;
}

/* ---- REQUEST_INIT: 4.2.1.1 to 4.2.1.3 ---- */

/* "HDR, T, RANDRi, [IDRi], [IDRkms], TP, [IDRpsk], V" or "HDR, T, RANDRi, [IDRi], {CERTi}, [IDRkms], TP, [CHASH], PKE,
 * SIGNi" */
static enum mkt_err make_init(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    struct mkt_policy policy;
    struct mkt_message m;
    if (txn->request->policy == NULL || (txn->request->no_keys && txn->request->n_keys > 0))
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, txn->request->policy == NULL ? "policy" : "no_keys", NULL);
    policy = *txn->request->policy;
    *b = (struct mkt_bundle){.suite = MKT_SUITE_256}; /* what was granted before is in a ticket of its own */
    enum mkt_err err = mkt_suite_of_prf(policy.prf, &b->suite);
    err = err == MKT_OK ? desired_check(txn, &policy) : err;
    err = err == MKT_OK ? mkt_begin_for_kms(txn, &m, MKT_REQUEST_INIT_PSK, &txn->settings->self) : err;
    err = err == MKT_OK ? put_wishes(txn, &policy) : err;
    if (err != MKT_OK)
        return err;
    policy.flags &= (uint16_t)~MKT_FLAG_K; /* "In the TP payload, it SHALL be set to '0'" */
    err = mkt_policy_payload(&policy, &txn->arena, &mkt_message_add(&m, MKT_TP)->ticket);
    err = mkt_blame(txn->detail, err, "policy", NULL);
    txn->outcome = MKT_ANSWER;
    if (err != MKT_OK)
        return err == MKT_E_BUFFER ? MKT_E_BUNDLE_FULL : err;
    return mkt_seal_for_kms(txn, &m, &txn->settings->self, &b->init);
}

static enum mkt_err refuse_init(struct mkt_txn *txn)
{
    const enum mkt_err err = check_wishes(txn->policy);
    return err == MKT_OK ? desired_check(txn, txn->policy) : err;
}

/* The KMS "MUST check the Initiator's authorization"; what it grants the host says afterwards. */
static enum mkt_err authorise_init(struct mkt_txn *txn)
{
    const struct mkt_id *initiator = &txn->bundle.initiator, *named = &txn->policy->initiator;
    const enum mkt_err err = mkt_kms_authorise(txn);
    if (err == MKT_OK && named->data.n > 0 && !mkt_id_equal(named, initiator))
        return mkt_blame(txn->detail, MKT_E_INITIATOR, "IDRi of the TP", &named->data);
    return err == MKT_OK ? mkt_authorise(txn, MKT_INITIATOR, initiator, true) : err;
}

static enum mkt_err accept_init(struct mkt_txn *txn)
{
    txn->outcome = MKT_ANSWER;
    return io_keep(&txn->arena, txn->in, &txn->bundle.init);
}

const struct mkt_acts mkt_acts_request_init = {make_init, refuse_init, mkt_kms_find_key, authorise_init, accept_init};

/* ---- REQUEST_RESP: 4.2.1.5 ---- */

/* Whether a ticket is what was asked for, or says by its K flag that it is not: MKT_E_NOT_AS_ASKED (D24). */
static enum mkt_err check_granted(struct mkt_span request_init, const struct mkt_policy *granted, struct mkt_span keys)
{
    const enum mkt_err err =
        mkt_request_check(request_init, granted, &(struct mkt_granted){.chain = mkt_keys_of(keys)});
    return err == MKT_E_NOT_AS_ASKED && (granted->flags & MKT_FLAG_K) != 0 ? MKT_OK : err;
}

/* "HDR, T, [IDRkms], TICKET, KEMAC, V" */
static enum mkt_err make_resp(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    const struct mkt_span keys = txn->granted->keys;
    struct mkt_policy policy;
    struct mkt_payload ticket;
    struct mkt_message m;
    enum mkt_err err = mkt_ticket_payload_of(txn->granted->payload, &ticket, &policy);
    err = err == MKT_OK && policy.prf != txn->init->hdr.prf ? MKT_E_PRF : err;
    if (err == MKT_OK && (policy.flags & MKT_FLAG_D) == 0)
        err = mkt_blame(txn->detail, MKT_E_FLAGS, "D", NULL);
    err = err == MKT_OK ? check_granted(b->init, &policy, keys) : err;
    err = err == MKT_OK ? mkt_begin(txn, &m, MKT_REQUEST_RESP, txn->init->hdr.csb_id) : err;
    err = err == MKT_OK ? mkt_kms_open(txn) : err;
    if (err != MKT_OK)
        return err;
    if (!txn->settings->leave_out_identities)
        mkt_add_idr(&m, MKT_IDR_KMS, &txn->settings->self);
    mkt_message_add(&m, MKT_TICKET)->ticket = ticket.ticket;
    mkt_add_kemac(&m, b->suite, keys);
    mkt_psk_protection(txn, b->psk, txn->init, MKT_PURPOSE_RESPONSE, b->init, io_none);
    err = mkt_seal(txn, &m);
    *b = (struct mkt_bundle){.suite = MKT_SUITE_256};
    return err;
}

/* Of the ticket its MAC is verified by none but the KMS. */
static enum mkt_err refuse_resp(struct mkt_txn *txn)
{
    const struct mkt_policy *policy = txn->policy;
    enum mkt_err err = mkt_policy_sound(policy, txn->detail);
    err = err == MKT_OK ? mkt_ticket_use_check(txn->host, policy, MKT_FLAG_N) : err;
    /* 6.10, D: "whether the ticket was generated by the KMS ('1') or by the Initiator ('0')" */
    if (err == MKT_OK && (policy->flags & MKT_FLAG_D) == 0)
        err = mkt_blame(txn->detail, MKT_E_FLAGS, "D", NULL);
    /* 6.10: Initiator Data "SHALL be inserted by the Initiator" */
    err = err == MKT_OK && txn->ticket->ticket.initiator_data.n > 0 ? MKT_E_INITIATOR_DATA : err;
    if (err == MKT_OK && policy->initiator.data.n > 0 && !mkt_id_equal(&policy->initiator, &txn->settings->self))
        err = mkt_blame(txn->detail, MKT_E_INITIATOR, "IDRi of the ticket", &policy->initiator.data);
    err = err == MKT_OK ? mkt_policy_valid(policy, txn->host) : err;
    return err == MKT_E_NOT_YET ? MKT_OK : err;
}

static enum mkt_err accept_resp(struct mkt_txn *txn)
{
    struct mkt_bundle *b = &txn->bundle;
    enum mkt_err err = mkt_ticket_keys_check(txn->policy, txn->keys);
    err = err == MKT_OK ? check_granted(b->init, txn->policy, txn->keys) : err;
    if (err != MKT_OK)
        return err;
    const size_t from = txn->arena.n;
    err = mkt_payloads_encode(txn->ticket, 1, &txn->arena);
    b->ticket = io_tail(&txn->arena, from);
    b->keys[MKT_FROM_TICKET] = txn->keys;
    b->init = b->envelope_key = io_none;
    b->sent_with = MKT_SENT_WITH_NONE;
    return err == MKT_E_BUFFER ? MKT_E_BUNDLE_FULL : err;
}

const struct mkt_acts mkt_acts_request_resp = {make_resp, refuse_resp, mkt_find_kms_key, mkt_authorise_kms,
                                               accept_resp};
