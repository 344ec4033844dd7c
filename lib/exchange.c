/* SPDX-License-Identifier: BSD-3-Clause */
#include "exchange.h"

#include <mikeyticket/replay.h>

enum mkt_err mkt_draw(struct mkt_txn *txn, size_t n, struct mkt_span *to)
{
    uint8_t *p = io_reserve(&txn->arena, n);
    if (p == NULL)
        return MKT_E_BUNDLE_FULL;
    *to = (struct mkt_span){p, n};
    return mkt_host_random(txn->host, p, n);
}

enum mkt_err mkt_draw_csb_id(struct mkt_txn *txn, uint32_t *csb_id)
{
    uint8_t octets[4] = {0};
    const enum mkt_err err = mkt_host_random(txn->host, octets, sizeof octets);
    struct io io = io_get((struct mkt_span){octets, sizeof octets});
    io_u32(&io, csb_id);
    return err;
}

/* ---- who is who ---- */

bool mkt_is_responder(const struct mkt_txn *txn, const struct mkt_policy *policy, const struct mkt_id *who)
{
    const struct mkt_host *host = txn->host;
    for (size_t i = 0; i < policy->n_responders; i++) {
        const struct mkt_id *responder = &policy->responder[i];
        if (mkt_id_equal(who, responder) || (host->member != NULL && host->member(host->user, who, responder)))
            return true;
    }
    return false;
}

/* ---- timestamps: RFC 3830 5.4, design decision D18 ---- */

enum mkt_err mkt_t_fresh(const struct mkt_txn *txn)
{
    const struct mkt_t *t = mkt_t_of(txn->message);
    mkt_ntp now;
    if (t->ts_type == MKT_TS_COUNTER)
        return MKT_OK;
    enum mkt_err err = mkt_host_now(txn->host, &now);
    err = err == MKT_OK ? mkt_ntp_fresh(mkt_t_64(t), now, txn->settings->skew) : err;
    if (err == MKT_E_STALE || err == MKT_E_FUTURE)
        mkt_blame_number(txn->detail, err,
                         "T, seconds off:", (err == MKT_E_STALE ? now - mkt_t_64(t) : mkt_t_64(t) - now) >> 32);
    return err;
}

/* A message is known by a hash of its MAC or signature, of the identity that takes it, and of the scope that the
 * application set. So a TRANSFER_INIT that SIP forks to two users or devices of one server is new to each (D27). */
static enum mkt_err tag_of(const struct mkt_txn *txn, struct mkt_span mac, uint8_t tag[MKT_MAX_HASH])
{
    const struct mkt_settings *s = txn->settings;
    uint8_t octets[3 + 4];
    struct mkt_buf head = {octets, sizeof octets, 0};
    struct io io = io_put(&head);
    uint8_t type = s->self.type;
    uint16_t mac_length = (uint16_t)mac.n;
    uint32_t id_length = (uint32_t)s->self.data.n;
    io_u8(&io, &type);
    io_u16(&io, &mac_length);
    io_u32(&io, &id_length);
    const struct mkt_span parts[] = {{octets, sizeof octets}, mac, s->self.data, s->replay_scope};
    return mkt_hash_of(MKT_HASH_SHA_256, parts, sizeof parts / sizeof *parts, tag);
}

/* "only successfully authenticated messages are stored in the replay cache" (RFC 3830 5.4) */
enum mkt_err mkt_ask_replay(const struct mkt_txn *txn, const struct mkt_message *message, bool remember)
{
    const struct mkt_host *host = txn->host;
    const struct mkt_t *t = mkt_t_of(message);
    const mkt_ntp until = mkt_ntp_after(mkt_t_64(t), txn->settings->skew);
    uint8_t octets[MKT_MAX_HASH];
    const struct mkt_span tag = {octets, sizeof octets};
    enum mkt_err (*const ask)(void *, struct mkt_span, mkt_ntp) = remember ? host->replay : host->replay_peek;
    const bool measured = txn->out != NULL && txn->out->p == NULL;
    mkt_ntp now;
    if (measured || t->ts_type == MKT_TS_COUNTER || (host->replay == NULL ? host->cache == NULL : ask == NULL))
        return MKT_OK;
    enum mkt_err err = tag_of(txn, mkt_message_proof(message), octets);
    if (err == MKT_OK && host->replay != NULL)
        return ask(host->user, tag, until);
    err = err == MKT_OK ? mkt_host_now(host, &now) : err;
    if (err != MKT_OK)
        return err;
    return (remember ? mkt_replay_check : mkt_replay_peek)(host->cache, tag, now, until);
}

/* ---- messages ---- */

enum mkt_err mkt_begin(const struct mkt_txn *txn, struct mkt_message *message, enum mkt_data_type data_type,
                       uint32_t csb_id)
{
    message->n = 0;
    message->hdr = (struct mkt_hdr){
        .version = 1,
        .data_type = (uint8_t)data_type,
        .prf = mkt_suite_algorithms(txn->bundle.suite)->prf,
        .csb_id = csb_id,
        .map_type = mkt_is_transfer(data_type) ? MKT_MAP_GENERIC_ID : MKT_MAP_EMPTY,
    };
    return mkt_t_make(txn->host, txn->settings->counter, &mkt_message_add(message, MKT_T)->t);
}

/* ---- T of updates and of keys: RFC 6043 5.2, design decision D29 ---- */

/* Both ends encrypt new keys with one key, and only T makes their IVs differ (D4). So the last bit of T is the sender's
 * role. Without G several Responders and branches share the key: then the other 23 bits, 4 ms, are random. */
static enum mkt_err draw_low_bits(const struct mkt_txn *txn, uint64_t *mask, uint64_t *low)
{
    uint8_t octets[3] = {0};
    const bool alone = mkt_bundle_has(&txn->bundle, MKT_FLAG_G);
    enum mkt_err err = alone ? MKT_OK : mkt_host_random(txn->host, octets, sizeof octets);
    struct io io = io_get((struct mkt_span){octets, sizeof octets});
    io_uint(&io, low, sizeof octets);
    *mask = alone ? 1 : 0xffffff;
    *low = (*low & ~(uint64_t)1) | (txn->role == MKT_RESPONDER);
    return err;
}

/* "MUST use new timestamps": later than those, as a clock may stand still, or be behind that of the peer. */
static void put_after(struct mkt_t *t, const struct mkt_times *times, uint64_t mask, uint64_t low)
{
    t->value = (t->value & ~mask) | low;
    if (mkt_t_later(t, times))
        return;
    t->value = (times->clock & ~mask) | low;
    if (!mkt_t_later(t, times))
        t->value += mask + 1;
}

/* True if a KEMAC with that COUNTER has an IV of its own. The Initiator uses even COUNTER values and the Responder odd
 * ones. A peer may do otherwise, so values that were taken are skipped. */
static bool has_own_iv(const struct mkt_txn *txn, const struct mkt_t *t)
{
    const uint64_t odd = txn->role == MKT_RESPONDER;
    return t->value % 2 == odd && !mkt_t_used(t, &txn->bundle.sent) && !mkt_t_used(t, &txn->bundle.peer_last_t);
}

enum mkt_err mkt_begin_update(struct mkt_txn *txn, struct mkt_message *message, enum mkt_data_type data_type,
                              bool kemac)
{
    enum { SKIPPED = 256 }; /* at most, in one go */
    struct mkt_bundle *b = &txn->bundle;
    const bool counter = txn->settings->counter;
    uint64_t mask = 0, low = 0; /* the bits of T that its maker chooses */
    enum mkt_err err = MKT_OK;
    if (kemac && counter && !mkt_bundle_has(b, MKT_FLAG_G))
        return MKT_E_COUNTER;
    if (kemac && !counter)
        err = draw_low_bits(txn, &mask, &low);
    err = err == MKT_OK ? mkt_begin(txn, message, data_type, b->csb_id) : err;
    struct mkt_t *t = &message->payload[0].t;
    for (unsigned i = 0; err == MKT_OK && kemac && counter && !has_own_iv(txn, t); i++)
        err = i < SKIPPED ? mkt_t_make(txn->host, true, t) : MKT_E_COUNTER;
    if (err != MKT_OK)
        return err;
    if (!counter) {
        put_after(t, &b->sent, mask, low);
        put_after(t, &b->peer_last_t, mask, low);
    }
    mkt_times_add(&b->sent, t, kemac);
    return MKT_OK;
}

/* ---- MAC and signature: RFC 6043 5.5 ---- */

enum mkt_err mkt_proof_check(const struct mkt_message *message, enum mkt_suite suite)
{
    const struct mkt_payload *p = message->payload, *last = p + message->n - 1;
    if (last->type == MKT_V)
        return last->v.mac_alg == mkt_suite_algorithms(suite)->mac_alg ? MKT_OK : MKT_E_MAC_ALG;
    for (; p < last; p++) {
        if (p->type == MKT_CERT && p->cert.type != MKT_CERT_X509 && p->cert.type != MKT_CERT_X509_SIGN)
            return p->cert.type == MKT_CERT_X509_ENCR ? MKT_E_WRONG_CERTIFICATE : MKT_E_CERTIFICATE;
        /* RFC 3830 6.3: 1 and 2 want the envelope key to be cached, and RFC 6043 has no use for that */
        if (p->type == MKT_PKE && p->pke.c != MKT_CACHE_NONE)
            return p->pke.c <= MKT_CACHE_CSB ? MKT_E_PUBLIC_KEY : MKT_E_BAD_VALUE;
    }
    return last->sign.s_type > MKT_SIGN_PSS ? MKT_E_PUBLIC_KEY : MKT_OK;
}

/* RANDRr is not there in the TRANSFER_INIT, and where the G flag is not set. */
void mkt_mpk_protection(struct mkt_txn *txn, const struct mkt_message *message, enum mkt_purpose purpose)
{
    const struct mkt_bundle *b = &txn->bundle;
    const struct mkt_payload *idrr = mkt_message_find(message, MKT_IDR, MKT_IDR_R);
    const bool response = purpose == MKT_PURPOSE_RESPONSE;
    txn->protection = (struct mkt_protection){
        .suite = b->suite,
        .key = response && mkt_bundle_has(b, MKT_FLAG_I) ? b->mpkr : b->mpki,
        .label = {.purpose = purpose, .csb_id = b->csb_id, .randi = b->randi, .randr = response ? b->randr : io_none},
    };
    const bool initial = message->hdr.data_type == MKT_TRANSFER_INIT;
    const struct mkt_span identity_r = idrr != NULL ? idrr->id.data : b->called.data;
    txn->extra[0] = initial ? b->initiator.data : b->init;
    txn->extra[1] = initial ? identity_r : io_none;
}

void mkt_psk_protection(struct mkt_txn *txn, struct mkt_span psk, const struct mkt_message *init,
                        enum mkt_purpose purpose, struct mkt_span extra, struct mkt_span more)
{
    const bool request = mkt_psk_variant(init->hdr.data_type) == MKT_REQUEST_INIT_PSK;
    txn->extra[0] = extra;
    txn->extra[1] = more;
    txn->protection = (struct mkt_protection){
        .suite = txn->bundle.suite,
        .key = psk,
        .label = {.purpose = purpose,
                  .csb_id = init->hdr.csb_id,
                  .randi = request ? mkt_rand_of(init, MKT_RANDR_I) : io_none,
                  .randr = request ? io_none : mkt_rand_of(init, MKT_RANDR_R)},
    };
}

/* Whether a message asks a KMS. */
static bool asks_kms(const struct mkt_message *message)
{
    const unsigned type = mkt_psk_variant(message->hdr.data_type);
    return type == MKT_REQUEST_INIT_PSK || type == MKT_RESOLVE_INIT_PSK;
}

/* The KEMAC of a message that may have one; others ignore it (D13). */
static const struct mkt_payload *kemac_of(const struct mkt_message *message)
{
    return asks_kms(message) ? NULL : mkt_message_find(message, MKT_KEMAC, 0);
}

/* Of an initial message to this KMS, or of an Error message of the KMS that this party asked. */
static enum mkt_err verify_signature(struct mkt_txn *txn)
{
    const struct mkt_message *m = txn->message, *init = asks_kms(m) ? m : txn->init;
    const bool by_kms = init != m, resolve = init->hdr.data_type == MKT_RESOLVE_INIT_PK;
    const struct mkt_id *who = resolve ? &txn->bundle.responder : &txn->bundle.initiator;
    const struct mkt_id *kms = by_kms ? &txn->kms->kms : &txn->settings->self;
    const struct mkt_payload *chash = mkt_message_find(init, MKT_CHASH, 0), *last = &m->payload[m->n - 1];
    struct mkt_signer signer = {{0, 0, {NULL, 0}}, false};
    struct mkt_span parts[2];
    mkt_message_covered(m, txn->in, parts);
    struct mkt_signed what = {
        .suite = txn->protection.suite,
        .by_kms = by_kms,
        .signer = by_kms            ? kms
                  : who->data.n > 0 ? who
                                    : NULL,
        .kms = kms,
        .chash = chash != NULL ? &chash->chash : NULL,
        .envelope = mkt_message_find(init, MKT_PKE, 0)->pke.data,
        .s_type = (uint8_t)last->sign.s_type,
        .octets = parts[1],
        .signature = last->sign.signature,
    };
    for (const struct mkt_payload *p = m->payload; p < last; p++)
        if (p->type == MKT_CERT)
            what.certificate[what.n_certificates++] = p->cert.data;
    enum mkt_err err = txn->pk.verify == NULL ? MKT_E_NO_KEY : mkt_host_now(txn->host, &what.now);
    err = err == MKT_OK ? txn->pk.verify(txn->pk.user, &what, &signer) : err;
    /* section 10: a KMS passes on a RESOLVE_INIT of one of its own users; nobody else speaks for another */
    txn->vouched_for = signer.vouches && resolve && mkt_message_find(m, MKT_IDR, MKT_IDR_R) != NULL;
    err = err == MKT_OK && (signer.id.data.n == 0 || signer.vouches != txn->vouched_for) ? MKT_E_CHAIN : err;
    err = mkt_blame(txn->detail, err, "SIGN of", what.signer != NULL ? &what.signer->data : NULL);
    return err == MKT_OK ? mkt_keep_id(txn, &signer.id, &txn->owner) : err;
}

enum mkt_err mkt_verify(struct mkt_txn *txn, bool decrypt)
{
    const struct mkt_payload *kemac = decrypt ? kemac_of(txn->message) : NULL;
    const struct mkt_span mac = mkt_message_proof(txn->message);
    struct mkt_span parts[4] = {[2] = txn->extra[0], [3] = txn->extra[1]};
    txn->keys = io_none;
    if (txn->message->payload[txn->message->n - 1].type == MKT_SIGN)
        return verify_signature(txn);
    mkt_message_covered(txn->message, txn->in, parts);
    const struct mkt_span encr_data = kemac != NULL ? kemac->kemac.encr_data : io_none;
    uint8_t *plain = kemac != NULL ? io_reserve(&txn->arena, encr_data.n) : NULL;
    const uint64_t t = mkt_t_64(mkt_t_of(txn->message));
    const struct mkt_encryption encryption = {txn->message->hdr.csb_id, t, encr_data, plain};
    const enum mkt_err err = mkt_protect_open(&txn->protection, plain != NULL ? &encryption : NULL, parts, 4, mac);
    txn->keys = (struct mkt_span){plain, encr_data.n};
    return err == MKT_OK && kemac != NULL && plain == NULL ? MKT_E_BUNDLE_FULL : err;
}

/* V or SIGN, whose octets follow when the message is encoded. */
static enum mkt_err add_proof(const struct mkt_txn *txn, struct mkt_message *message)
{
    const uint8_t mac_alg = mkt_suite_algorithms(txn->protection.suite)->mac_alg;
    struct mkt_buf measured = {NULL, 0, 0};
    if (!txn->signs) {
        mkt_message_add(message, MKT_V)->v = (struct mkt_v){mac_alg, {NULL, mkt_mac_length(mac_alg)}};
        return MKT_OK;
    }
    const enum mkt_err err = txn->pk.sign(txn->pk.user, NULL, 0, &measured);
    mkt_message_add(message, MKT_SIGN)->sign.signature = (struct mkt_span){NULL, measured.n};
    return err;
}

enum mkt_err mkt_seal(struct mkt_txn *txn, struct mkt_message *message)
{
    const struct mkt_protection *protection = &txn->protection;
    const size_t from = txn->out->n;
    const bool response = protection->label.purpose == MKT_PURPOSE_RESPONSE;
    txn->bundle.sent_with = asks_kms(message) ? MKT_SENT_WITH_PSK
                            : response        ? MKT_SENT_WITH_MPK_RESPONSE
                                              : MKT_SENT_WITH_MPK_INITIAL;
    enum mkt_err err = add_proof(txn, message);
    if (err != MKT_OK)
        return err;
    struct io io = io_put(txn->out);
    mkt_io_put_message(&io, message, message->payload);
    err = mkt_blame(txn->detail, mkt_done_secret(&io, txn->out), "out", NULL); /* keys are in clear */
    if (err != MKT_OK || txn->out->p == NULL)
        return err;

    const struct mkt_payload *kemac = mkt_message_find(message, MKT_KEMAC, 0);
    const struct mkt_span proof = mkt_message_proof(message);
    uint8_t *mac = io_within(txn->out, proof);
    struct mkt_buf signature = {mac, proof.n, 0};
    struct mkt_span parts[4] = {[2] = txn->extra[0], [3] = txn->extra[1]};
    mkt_message_covered(message, io_tail(txn->out, from), parts);
    if (txn->signs) {
        err = txn->pk.sign(txn->pk.user, parts + 1, 3, &signature);
        return err == MKT_OK && signature.n != proof.n ? MKT_E_CRYPTO : err;
    }
    if (kemac == NULL)
        return mkt_protect_seal(protection, NULL, parts, 4, mac);
    const struct mkt_span keys = kemac->kemac.encr_data;
    const uint64_t t = mkt_t_64(mkt_t_of(message));
    const struct mkt_encryption encryption = {message->hdr.csb_id, t, keys, io_within(txn->out, keys)};
    return mkt_protect_seal(protection, &encryption, parts, 4, mac);
}

/* ---- the order of taking ---- */

static bool is_initial(const struct mkt_message *message)
{
    return asks_kms(message) || message->hdr.data_type == MKT_TRANSFER_INIT;
}

/* The ticket that a first exchange is about, or that is asked for or granted. */
static enum mkt_err read_ticket(struct mkt_txn *txn)
{
    const unsigned type = mkt_psk_variant(txn->message->hdr.data_type);
    const struct mkt_message *with = type == MKT_TRANSFER_RESP || type == MKT_RESOLVE_RESP ? txn->init : txn->message;
    txn->ticket = mkt_message_find(with, type == MKT_REQUEST_INIT_PSK ? MKT_TP : MKT_TICKET, 0);
    const enum mkt_err err = mkt_policy_decode(txn->policy, &txn->ticket->ticket);
    return err == MKT_OK ? err : mkt_blame(txn->detail, err, mkt_payload_name(txn->ticket->type), NULL);
}

/* What can be refused of any message. The first message of an exchange chooses the suite, which is that of its ticket.
 * "The version, PRF func and CSB ID fields [...] SHALL be identical" in an answer; 5.2: "The new message exchange MUST
 * use the same CSB ID". */
static enum mkt_err check_without_key(struct mkt_txn *txn)
{
    const struct mkt_hdr *hdr = &txn->message->hdr;
    const struct mkt_payload *kemac = kemac_of(txn->message);
    struct mkt_bundle *b = &txn->bundle;
    const bool update = b->map.n > 0, begins = !update && is_initial(txn->message);
    enum mkt_err err = update ? MKT_OK : read_ticket(txn);
    if (err == MKT_OK && begins)
        err = mkt_suite_of_prf(hdr->prf, &b->suite);
    if (err != MKT_OK)
        return err;
    if (hdr->prf != mkt_suite_algorithms(b->suite)->prf || (!update && hdr->prf != txn->policy->prf))
        return MKT_E_PRF;
    if (!begins && hdr->csb_id != (txn->init != NULL ? txn->init->hdr.csb_id : b->csb_id))
        return MKT_E_CSB_ID;
    err = mkt_proof_check(txn->message, b->suite);
    if (err != MKT_OK)
        return err;
    if (kemac != NULL && kemac->kemac.encr_alg != mkt_suite_algorithms(b->suite)->encr_alg)
        return MKT_E_ENCR_ALG;
    /* "The KEMAC SHALL use the NULL authentication algorithm, as a MAC is included in the V payload." */
    if (kemac != NULL && kemac->kemac.mac_alg != MKT_MAC_NULL)
        return MKT_E_KEMAC_MAC;
    const bool counts = mkt_t_of(txn->message)->ts_type == MKT_TS_COUNTER;
    return counts && txn->host->counter_check == NULL ? MKT_E_COUNTER : MKT_OK;
}

/* 4.2.2.1, 4.2.2.3, 5.2: "If indicated by the Ticket Policy", L flag of the Initiator and M flag of the Responder, "a
 * KEMAC payload SHALL NOT be included." */
static bool may_supply(const struct mkt_bundle *b, bool initiator)
{
    return mkt_bundle_has(b, initiator ? MKT_FLAG_L : MKT_FLAG_M);
}

enum mkt_err mkt_take(struct mkt_txn *txn, const struct mkt_acts *acts)
{
    const struct mkt_bundle *b = &txn->bundle;
    const bool supplies = mkt_is_transfer(txn->message->hdr.data_type) && kemac_of(txn->message) != NULL;
    enum mkt_err err = check_without_key(txn);
    err = err != MKT_OK || acts->refuse == NULL ? err : acts->refuse(txn);
    err = err == MKT_OK && supplies && !may_supply(b, txn->role != MKT_INITIATOR) ? MKT_E_KEMAC : err;
    err = err == MKT_OK ? acts->find_key(txn) : err;
    if (err != MKT_OK || txn->outcome == MKT_RESOLVE)
        return err;
    err = mkt_verify(txn, true);
    err = err == MKT_OK ? mkt_t_fresh(txn) : err;
    err = err == MKT_OK ? acts->authorise(txn) : err;
    err = err == MKT_OK ? acts->accept(txn) : err;
    if (err != MKT_OK || !is_initial(txn->message))
        return err;
    const bool resolve = mkt_psk_variant(txn->message->hdr.data_type) == MKT_RESOLVE_INIT_PSK;
    const bool from_responder = txn->role == MKT_INITIATOR || resolve;
    const struct mkt_id *peer = from_responder ? mkt_bundle_responder(b) : &b->initiator;
    const struct mkt_t *t = mkt_t_of(txn->message);
    if (t->ts_type == MKT_TS_COUNTER)
        err = txn->host->counter_check(txn->host->user, peer, (uint32_t)t->value);
    return err == MKT_OK ? mkt_ask_replay(txn, txn->message, true) : err;
}

/* ---- KEMAC: RFC 6043 4.2, 5.2 ---- */

void mkt_add_kemac(struct mkt_message *message, enum mkt_suite suite, struct mkt_span keys)
{
    if (keys.n > 0)
        mkt_message_add(message, MKT_KEMAC)->kemac =
            (struct mkt_kemac){.encr_alg = mkt_suite_algorithms(suite)->encr_alg, .encr_data = keys};
}

/* 5.2: "KEMAC = E(encr_key, (TEK|TGK|GTGK))": at least one, no MPK, with SPIs of their own in the bundle. */
enum mkt_err mkt_accept_supplied(const struct mkt_txn *txn, struct mkt_span keys, struct mkt_span *to)
{
    struct mkt_key_rules rules = {.suite = txn->bundle.suite};
    struct mkt_key_data key;
    if (keys.p == NULL)
        return MKT_OK;
    memcpy(rules.others, txn->bundle.keys, sizeof rules.others);
    const enum mkt_err err = mkt_keys_check(keys, &rules);
    if (err != MKT_OK || !mkt_keys_session(keys, 0, &key))
        return mkt_blame(txn->detail, err == MKT_OK ? MKT_E_MISSING : err, "Key data", NULL);
    *to = keys;
    return MKT_OK;
}

enum mkt_err mkt_supply(struct mkt_txn *txn, const struct mkt_key_wish wishes[], size_t n, struct mkt_span *keys)
{
    const struct mkt_bundle *b = &txn->bundle;
    struct mkt_chain chain = {&txn->arena, txn->arena.n, NULL};
    if (n == 0)
        return MKT_OK;
    if (!may_supply(b, txn->role == MKT_INITIATOR))
        return MKT_E_KEMAC;
    if (n > MKT_MAX_KEYS)
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, "n_keys", NULL);
    enum mkt_err err = mkt_keys_make(txn->host, &(struct mkt_wishes){wishes, n, b->suite, false}, b->keys, &chain);
    return err != MKT_OK ? mkt_blame(txn->detail, err, "keys", NULL)
                         : mkt_accept_supplied(txn, io_tail(&txn->arena, chain.from), keys);
}

/* ---- RANDs: 12.1, design decision D2 ---- */

static size_t longer(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t mkt_rand_length(const struct mkt_bundle *b, const struct mkt_key_wish wishes[], size_t n)
{
    size_t key = longer(mkt_bundle_longest(b), mkt_wishes_longest(b->suite, wishes, n));
    size_t length = longer(key, mkt_suite_algorithms(b->suite)->key);
    return length < UINT8_MAX ? length : UINT8_MAX;
}
