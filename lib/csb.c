/* SPDX-License-Identifier: BSD-3-Clause */
#include <mikeyticket/csb.h>

#include "flow.h"
#include "error_message.h"
#include "request.h"
#include "resolve.h"
#include "sdp.h"
#include "session.h"
#include "sized.h"
#include "transfer.h"

#include <assert.h>

struct mkt_csb {
    const struct mkt_host *host;
    struct mkt_csb *self; /* for functions that only read, as they mark the bundle as busy, too */
    bool repeated;        /* the answer that was taken last had nothing new (D28) */
    bool busy;            /* the host is asked: its callbacks may only read this bundle */
    enum mkt_role role;
    enum mkt_state state;
    size_t size; /* octets of the allocation */
    struct mkt_settings settings;
    struct mkt_bundle bundle;
    struct mkt_buf arena; /* of which the bundle has views */
    uint8_t octets[];     /* what the settings view, then the arena */
};

/* The callbacks of the settings for public keys; cleared if there are none, or if they have a wrong size. */
static struct mkt_public_keys public_keys_of(const struct mkt_settings *s)
{
    struct mkt_public_keys keys = {.size = 0};
    if (s->public_keys != NULL)
        (void)!mkt_sized_copy(&keys, sizeof keys, s->public_keys, MKT_UP_TO(mkt_public_keys, open));
    return keys;
}

/* The setting that a bundle can't have, or NULL. */
static const char *wrong_setting(enum mkt_role role, const struct mkt_host *host, const struct mkt_settings *s)
{
    const struct mkt_public_keys pk = public_keys_of(s);
    const bool has_callbacks =
        role == MKT_KMS ? pk.verify != NULL && pk.open != NULL : pk.sign != NULL && pk.seal != NULL;
    const bool wrong_certificates = pk.n_certificates > (pk.certificate != NULL ? MKT_MAX_CERTIFICATES : 0);
    const bool wrong_pk = s->public_keys != NULL && (!has_callbacks || wrong_certificates);
    const bool wrong_tek = s->tek_length != 0 && (s->tek_length < MKT_MIN_KEY || s->tek_length > MKT_MAX_TEK);
    /* the keys of an answer come from the question (RFC 6043 5.1.2): only once may there be an answer */
    const bool no_cache = role == MKT_KMS && host->replay == NULL && host->cache == NULL;
    return (unsigned)role > MKT_KMS                  ? "role"
           : s->self.data.n == 0                     ? "mkt_settings.self"
           : s->max_sessions == 0                    ? "mkt_settings.max_sessions"
           : s->bundle_size < sizeof(struct mkt_csb) ? "mkt_settings.bundle_size"
           : wrong_tek                               ? "mkt_settings.tek_length"
           : no_cache                                ? "mkt_host.replay"
           : wrong_pk                                ? "mkt_settings.public_keys"
                                                     : NULL;
}

/* Copies what the settings view, as identities may be those of a SIP message: false if there is no room for it. */
static bool keep_settings(struct mkt_csb *csb, const struct mkt_settings *settings)
{
    struct mkt_settings *s = &csb->settings;
    struct mkt_span *const span[] = {&s->self.data, &s->peer.data, &s->application, &s->replay_scope};
    struct mkt_buf octets = {csb->octets, settings->bundle_size - sizeof *csb, 0};
    *s = *settings;
    for (size_t i = 0; i < sizeof span / sizeof *span; i++)
        if (io_keep(&octets, *span[i], span[i]) != MKT_OK)
            return false;
    csb->arena = (struct mkt_buf){octets.p + octets.n, octets.cap - octets.n, 0};
    return true;
}

enum mkt_err mkt_csb_new(struct mkt_csb **out, enum mkt_role role, const struct mkt_host *host,
                         const struct mkt_settings *settings)
{
    struct mkt_settings s;
    struct mkt_host own;
    bool sized = mkt_sized_copy(&s, sizeof s, settings, MKT_UP_TO(mkt_settings, public_keys));
    sized = mkt_host_copy(&own, host, s.user) && sized;
    const char *wrong = sized ? wrong_setting(role, &own, &s) : "mkt_settings.size";
    *out = NULL;
    if (wrong != NULL)
        return mkt_host_log(&own, MKT_E_ARGUMENT, wrong);
    struct mkt_csb *csb = mkt_host_alloc(&own, s.bundle_size);
    if (csb == NULL)
        return mkt_host_log(&own, MKT_E_MEMORY, "");
    *csb = (struct mkt_csb){.host = host, .self = csb, .role = role, .size = s.bundle_size};
    if (!keep_settings(csb, &s)) {
        mkt_host_release(&own, csb, csb->size);
        return mkt_host_log(&own, MKT_E_ARGUMENT, "mkt_settings.bundle_size");
    }
    *out = csb;
    return MKT_OK;
}

/* The host for the user of this bundle. */
static struct mkt_host host_of(const struct mkt_csb *csb)
{
    struct mkt_host host;
    (void)!mkt_host_copy(&host, csb->host, csb->settings.user);
    return host;
}

void mkt_csb_free(struct mkt_csb *csb)
{
    assert(csb == NULL || !csb->busy); /* a callback must not free the bundle that it is called for */
    if (csb == NULL)
        return;
    const struct mkt_host host = host_of(csb);
    mkt_host_release(&host, csb, csb->size);
}

/* What the state of a bundle means. */
static const struct mkt_state_row *row_of(const struct mkt_csb *csb)
{
    return mkt_state_find(csb->role, csb->state);
}

/* ---- asking the host ---- */

/* For functions that only read, and may be called in a callback: answers whether the bundle was busy before. */
static bool set_busy(const struct mkt_csb *csb, bool busy)
{
    const bool before = csb->busy;
    csb->self->busy = busy;
    return before;
}

/* Logs a refusal, but not that of a call in a callback: mkt_host.log may be such a callback. Large frames have no space
 * for its copy of the host. */
__attribute__((noinline)) static enum mkt_err tell(const struct mkt_csb *csb, enum mkt_err err,
                                                   const struct mkt_detail *detail)
{
    const uint32_t csb_id = csb->bundle.csb_id != 0 ? csb->bundle.csb_id : detail->csb_id;
    const char *why = err == MKT_E_BUNDLE_FULL ? "mkt_settings.bundle_size" : mkt_detail_of(detail, err);
    const struct mkt_log_event event = {err, detail->message, detail->taken, csb_id, why};
    if (err == MKT_OK || csb->busy)
        return err;
    const struct mkt_host host = host_of(csb);
    set_busy(csb, true);
    if (host.log != NULL)
        host.log(host.user, &event);
    set_busy(csb, false);
    return err;
}

/* The same for what is no message. */
static enum mkt_err told(const struct mkt_csb *csb, enum mkt_err err)
{
    static const struct mkt_detail no_message = {.message = -1};
    return tell(csb, err, &no_message);
}

/* ---- steps ---- */

/* The transaction works on a copy of the bundle, with what the caller gave. The host may be asked for the KMS. */
static enum mkt_err begin(const struct mkt_csb *csb, struct mkt_txn *txn)
{
    const bool forwards = csb->role == MKT_KMS && (csb->state == MKT_SUSPENDED || csb->state == MKT_MADE_RESOLVE);
    txn->own = host_of(csb);
    txn->host = &txn->own;
    txn->settings = &csb->settings;
    txn->pk = public_keys_of(&csb->settings);
    txn->kms = csb->settings.kms;
    txn->role = csb->role;
    txn->bundle = csb->bundle;
    txn->arena = csb->arena;
    return forwards ? mkt_find_kms(txn, csb->bundle.init) : MKT_OK;
}

/* Wipes the octets that a transaction appended to the arena, if it does not count. */
static void forget(struct mkt_csb *csb)
{
    mkt_wipe(csb->arena.p + csb->arena.n, csb->arena.cap - csb->arena.n);
}

/* Runs a transaction, or takes an Error message if `step` is NULL. Nothing of it stays unless it succeeds and counts. */
static enum mkt_err step(struct mkt_csb *csb, const struct mkt_step *step, struct mkt_txn *txn, bool counts)
{
    const bool makes = step != NULL && step->direction == MKT_MAKE;
    const struct mkt_span initial = !makes && csb->bundle.asked_kms.n > 0 ? csb->bundle.asked_kms : csb->bundle.init;
    struct mkt_message init;
    struct mkt_policy policy;
    csb->busy = true;
    enum mkt_err err = begin(csb, txn);
    if (err == MKT_OK && initial.n > 0)
        err = mkt_message_decode(&init, initial);
    txn->init = initial.n > 0 ? &init : NULL;
    txn->policy = &policy;
    const struct mkt_acts *acts = step != NULL ? mkt_acts_of(step->message, mkt_csb_ready(csb)) : NULL;
    if (err == MKT_OK && step == NULL)
        err = mkt_take_error(txn);
    else if (err == MKT_OK)
        err = makes ? acts->make(txn) : mkt_take(txn, acts);
    txn->init = NULL;
    txn->policy = NULL;
    if (err == MKT_OK && counts) {
        csb->bundle = txn->bundle;
        csb->arena = txn->arena;
        csb->state = step->next[txn->outcome];
        mkt_bundle_pack(&csb->bundle, &csb->arena);
    } else {
        forget(csb);
    }
    csb->busy = false;
    return err;
}

/* Takes back what was appended to the caller's buffer, or measured, before something failed. */
static enum mkt_err take_back(struct mkt_buf *out, size_t before, enum mkt_err err)
{
    if (err != MKT_OK && out->p != NULL && out->n > before)
        mkt_wipe(out->p + before, out->n - before);
    if (err != MKT_OK)
        out->n = before;
    return err;
}

static enum mkt_err make(struct mkt_csb *csb, enum mkt_data_type type, struct mkt_txn *txn, struct mkt_buf *out)
{
    const struct mkt_step *found = mkt_step_find(csb->role, csb->state, MKT_MAKE, type);
    const size_t before = out->n;
    struct mkt_detail detail = {.message = (int)type};
    enum mkt_err err = found == NULL || csb->busy ? MKT_E_STATE : MKT_OK;
    if (err == MKT_OK && txn->wrong_size)
        err = mkt_blame(&detail, MKT_E_ARGUMENT, "size", NULL);
    txn->out = out;
    txn->detail = &detail;
    err = err == MKT_OK ? take_back(out, before, step(csb, found, txn, out->p != NULL)) : err;
    txn->detail = NULL;
    if (err == MKT_OK && txn->offer != NULL && out->p != NULL)
        txn->offer->ticket->used = true;
    return tell(csb, err, &detail);
}

/* A message and its attribute line share a buffer: the room for the message. */
static struct mkt_buf message_of(const struct mkt_buf *line)
{
    const size_t head = line->n + strlen(MKT_SDP_LINE);
    struct mkt_buf message = *line;
    if (line->p != NULL && line->n <= line->cap)
        message.cap = line->n + (line->cap < head ? 0 : (line->cap - head) / 4 * 3);
    return message;
}

/* The message that was made there moves to the end, and is encoded to the front. */
static enum mkt_err encode_line(enum mkt_err err, const struct mkt_buf *message, struct mkt_buf *line)
{
    const size_t n = message->n - line->n;
    if (err != MKT_OK)
        return err;
    const uint8_t *end = line->p == NULL ? NULL : memmove(line->p + line->cap - n, line->p + line->n, n);
    return mkt_sdp_key_mgmt_encode((struct mkt_span){end, n}, line);
}

static enum mkt_err make_line(struct mkt_csb *csb, enum mkt_data_type type, struct mkt_txn *txn, struct mkt_buf *line)
{
    struct mkt_buf message = message_of(line);
    return encode_line(make(csb, type, txn, &message), &message, line);
}

enum mkt_err mkt_csb_make_request_init(struct mkt_csb *csb, const struct mkt_request *request, struct mkt_buf *out)
{
    struct mkt_request own;
    const bool sized = mkt_sized_copy(&own, sizeof own, request, MKT_UP_TO(mkt_request, n_keys));
    return make(csb, MKT_REQUEST_INIT_PSK, &(struct mkt_txn){.request = &own, .wrong_size = !sized}, out);
}

enum mkt_err mkt_csb_make_request_resp(struct mkt_csb *csb, const struct mkt_ticket *ticket, struct mkt_buf *out)
{
    return make(csb, MKT_REQUEST_RESP, &(struct mkt_txn){.granted = ticket}, out);
}

enum mkt_err mkt_csb_make_resolve_init(struct mkt_csb *csb, struct mkt_buf *out)
{
    return make(csb, MKT_RESOLVE_INIT_PSK, &(struct mkt_txn){.granted = NULL}, out);
}

enum mkt_err mkt_csb_make_resolve_resp(struct mkt_csb *csb, struct mkt_buf *out)
{
    return make(csb, MKT_RESOLVE_RESP, &(struct mkt_txn){.granted = NULL}, out);
}

enum mkt_err mkt_csb_make_transfer_init(struct mkt_csb *csb, const struct mkt_offer *offer, struct mkt_buf *out)
{
    struct mkt_offer own;
    const bool sized = mkt_sized_copy(&own, sizeof own, offer, MKT_UP_TO(mkt_offer, randi));
    return make(csb, MKT_TRANSFER_INIT, &(struct mkt_txn){.offer = &own, .wrong_size = !sized}, out);
}

enum mkt_err mkt_csb_make_transfer_resp(struct mkt_csb *csb, const struct mkt_answer *answer, struct mkt_buf *out)
{
    struct mkt_answer own = {.size = 0};
    const bool sized = answer == NULL || mkt_sized_copy(&own, sizeof own, answer, MKT_UP_TO(mkt_answer, n_sp));
    return make(csb, MKT_TRANSFER_RESP, &(struct mkt_txn){.answer = &own, .wrong_size = !sized}, out);
}

enum mkt_err mkt_csb_make_update(struct mkt_csb *csb, const struct mkt_update *update, struct mkt_buf *out)
{
    struct mkt_update own;
    const bool sized = mkt_sized_copy(&own, sizeof own, update, MKT_UP_TO(mkt_update, n_sp));
    return make(csb, MKT_TRANSFER_INIT, &(struct mkt_txn){.update = &own, .wrong_size = !sized}, out);
}

/* SIP repeats an answer: the one that was taken last is right again, and changes nothing (D28). */
static enum mkt_err take_again(struct mkt_csb *csb, struct mkt_span in)
{
    uint8_t hash[MKT_MAX_HASH];
    const enum mkt_err err = mkt_hash_of(MKT_HASH_SHA_256, &in, 1, hash);
    if (err != MKT_OK || memcmp(hash, csb->bundle.answer_hash, sizeof hash) != 0)
        return err == MKT_OK ? MKT_E_DATA_TYPE : err;
    csb->repeated = true;
    return MKT_OK;
}

static enum mkt_err take(struct mkt_csb *csb, struct mkt_span in, struct mkt_span protocols, struct mkt_detail *detail)
{
    struct mkt_message message;
    struct mkt_txn txn = {.message = &message, .in = in, .protocols = protocols, .detail = detail};
    enum mkt_err err = mkt_message_decode(&message, in);
    const struct mkt_hdr *hdr = &message.hdr; /* as far as it was read */
    const bool has_type = in.n > 1 && hdr->version == 1;
    const bool takes_any = mkt_step_find(csb->role, csb->state, MKT_TAKE, MKT_ANY_MESSAGE) != NULL;
    const bool ever_takes =
        hdr->data_type == MKT_ERROR || mkt_step_find(csb->role, MKT_STATES, MKT_TAKE, hdr->data_type) != NULL;
    detail->csb_id = hdr->csb_id;
    detail->message = has_type ? hdr->data_type : -1;
    if (csb->busy)
        return MKT_E_STATE;
    /* the payloads of another document's data type are unknown here, and its number is what the sender has to hear */
    const bool lacks_keys = csb->settings.public_keys == NULL && mkt_is_pk(hdr->data_type);
    if (has_type && (lacks_keys || !ever_takes))
        return mkt_blame(detail, MKT_E_DATA_TYPE, mkt_data_type_name(hdr->data_type), NULL);
    if (!takes_any && csb->bundle.sent_with == MKT_SENT_WITH_NONE)
        return MKT_E_STATE;
    const unsigned at = message.n > 0 ? message.payload[message.n - 1].type : MKT_LAST;
    if (err == MKT_E_PAYLOAD || err == MKT_E_TOO_MANY)
        mkt_blame_number(detail, err, err == MKT_E_TOO_MANY ? "payloads over" : "type",
                         err == MKT_E_TOO_MANY ? message.n : at);
    if (err != MKT_OK)
        return mkt_blame(detail, err, message.n == 0 ? "HDR" : mkt_payload_name(at), NULL);
    const bool sent = csb->bundle.sent_with != MKT_SENT_WITH_NONE || csb->role == MKT_KMS;
    const bool report = hdr->data_type == MKT_ERROR && sent;
    const struct mkt_step *found = report ? NULL : mkt_step_find(csb->role, csb->state, MKT_TAKE, hdr->data_type);
    if (found == NULL && !report) {
        err = takes_any ? MKT_E_DATA_TYPE : MKT_E_STATE;
        if (hdr->data_type == MKT_TRANSFER_RESP && csb->state == MKT_KEYED)
            err = take_again(csb, in);
        return mkt_blame(detail, err, mkt_data_type_name(hdr->data_type), NULL);
    }
    err = mkt_rules_check(&message, mkt_csb_ready(csb), txn.detail);
    err = err == MKT_OK ? step(csb, found, &txn, !report) : err;
    csb->repeated = csb->repeated && err != MKT_OK && mkt_err_class(err) != MKT_CLASS_REPORTED;
    return err;
}

enum mkt_err mkt_csb_take(struct mkt_csb *csb, struct mkt_span in)
{
    return mkt_csb_take_offer(csb, in, io_none);
}

enum mkt_err mkt_csb_take_offer(struct mkt_csb *csb, struct mkt_span in, struct mkt_span protocols)
{
    struct mkt_detail detail = {.message = -1, .taken = true};
    return tell(csb, take(csb, in, protocols, &detail), &detail);
}

enum mkt_err mkt_sdp_make_offer(struct mkt_csb *csb, const struct mkt_offer *offer, struct mkt_buf *line)
{
    struct mkt_offer own;
    const bool sized = mkt_sized_copy(&own, sizeof own, offer, MKT_UP_TO(mkt_offer, randi));
    return make_line(csb, MKT_TRANSFER_INIT, &(struct mkt_txn){.offer = &own, .wrong_size = !sized}, line);
}

enum mkt_err mkt_sdp_make_answer(struct mkt_csb *csb, const struct mkt_answer *answer, struct mkt_buf *line)
{
    struct mkt_answer own = {.size = 0};
    const bool sized = answer == NULL || mkt_sized_copy(&own, sizeof own, answer, MKT_UP_TO(mkt_answer, n_sp));
    return make_line(csb, MKT_TRANSFER_RESP, &(struct mkt_txn){.answer = &own, .wrong_size = !sized}, line);
}

enum mkt_err mkt_sdp_make_update(struct mkt_csb *csb, const struct mkt_update *update, struct mkt_buf *line)
{
    struct mkt_update own;
    const bool sized = mkt_sized_copy(&own, sizeof own, update, MKT_UP_TO(mkt_update, n_sp));
    return make_line(csb, MKT_TRANSFER_INIT, &(struct mkt_txn){.update = &own, .wrong_size = !sized}, line);
}

/* The message of a media section, in the arena of the bundle: it goes when that is packed. */
static enum mkt_err decode_into(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media, struct mkt_span *message)
{
    const size_t before = csb->arena.n;
    const enum mkt_err err = mkt_sdp_key_mgmt_decode(sdp, media, &csb->arena);
    *message = io_tail(&csb->arena, before);
    return err == MKT_E_BUFFER ? MKT_E_BUNDLE_FULL : err;
}

static enum mkt_err take_sdp(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media, enum mkt_data_type type)
{
    struct mkt_detail detail = {.message = -1, .taken = true};
    uint8_t octets[MKT_SDP_MAX_PROTOCOLS];
    struct mkt_buf list = {octets, sizeof octets, 0};
    struct mkt_span in = io_none;
    if (csb->busy)
        return MKT_E_STATE;
    enum mkt_err err = mkt_sdp_protocols(sdp, media, &list);
    err = err == MKT_OK ? decode_into(csb, sdp, media, &in) : err;
    if (err == MKT_OK && in.n > 1 && in.p[1] != type && in.p[1] != MKT_ERROR)
        err = mkt_blame(&detail, MKT_E_DATA_TYPE, mkt_data_type_name(in.p[1]), NULL);
    err = err != MKT_OK ? tell(csb, err, &detail) : mkt_csb_take_offer(csb, in, mkt_buf_span(&list));
    mkt_bundle_pack(&csb->bundle, &csb->arena);
    return err;
}

enum mkt_err mkt_sdp_take_offer(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media)
{
    return take_sdp(csb, sdp, media, MKT_TRANSFER_INIT);
}

enum mkt_err mkt_sdp_take_answer(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media)
{
    struct mkt_sdp_level *level;
    const bool waits = csb->busy || mkt_step_find(csb->role, csb->state, MKT_TAKE, MKT_TRANSFER_RESP) != NULL;
    if (waits || !mkt_csb_ready(csb) || mkt_sdp_key_mgmt(sdp, media, &level) != MKT_OK || level->mikey.n > 0)
        return take_sdp(csb, sdp, media, MKT_TRANSFER_RESP);
    csb->repeated = true;
    return MKT_OK;
}

enum mkt_err mkt_sdp_crypto_session(const struct mkt_csb *csb, struct mkt_sdp *offer, size_t media, struct mkt_cs *cs)
{
    struct mkt_sdp_level *level;
    enum mkt_err err = mkt_sdp_key_mgmt(offer, media, &level);
    if (err != MKT_OK || level->mikey.n == 0)
        return told(csb, err == MKT_OK ? MKT_E_MISSING : err);
    if (level != &offer->session || offer->sections == 1)
        return mkt_csb_session_at(csb, 0, cs);
    struct mkt_cs found;
    const bool counts = mkt_csb_ready(csb) && media <= UINT8_MAX / 2;
    if (!counts || !mkt_cs_find(csb->bundle.map, (uint8_t)(2 * media + 1), &found))
        return told(csb, MKT_E_NO_SESSION);
    *cs = found;
    return MKT_OK;
}

void mkt_csb_abandon(struct mkt_csb *csb)
{
    const enum mkt_state state = row_of(csb)->abandoned;
    struct mkt_bundle *b = &csb->bundle;
    if (state == csb->state || csb->busy)
        return;
    b->asked_kms = b->envelope_key = io_none;
    if (state != MKT_SUSPENDED)
        b->init = io_none;
    if (state == MKT_KEYED)
        b->keys[MKT_FROM_UPDATE] = io_none;
    else
        b->sent_with = MKT_SENT_WITH_NONE;
    if (state == MKT_FRESH)
        *b = (struct mkt_bundle){.suite = MKT_SUITE_256};
    csb->state = state;
    mkt_bundle_pack(b, &csb->arena);
}

/* The message that an Error message is to be about, whole where it decodes and has its shape, else the HDR alone. */
static enum mkt_err read_about(struct mkt_span about, struct mkt_message *message, bool *whole)
{
    enum { HDR = 10 }; /* octets up to the CS ID map */
    enum mkt_err err = mkt_message_decode(message, about);
    *whole = err == MKT_OK &&
             (mkt_rules_check(message, false, NULL) == MKT_OK || mkt_rules_check(message, true, NULL) == MKT_OK);
    if (err != MKT_OK)
        err = about.n < HDR || about.p[0] != 1 ? MKT_E_VERSION : MKT_OK;
    return err == MKT_OK && message->hdr.data_type == MKT_ERROR ? MKT_E_DATA_TYPE : err;
}

enum mkt_err mkt_csb_make_error(struct mkt_csb *csb, struct mkt_span about, enum mkt_err why, const struct mkt_sp sp[],
                                size_t n_sp, struct mkt_buf *out)
{
    struct mkt_message message;
    struct mkt_detail detail = {.message = MKT_ERROR};
    struct mkt_txn txn = {.out = out, .detail = &detail};
    const size_t before = out->n;
    bool whole = false;
    if (csb->busy)
        return MKT_E_STATE;
    if (about.n == 0 && row_of(csb)->owes_answer)
        about = csb->bundle.init;
    if (about.n == 0 || why == MKT_OK)
        return tell(csb, why == MKT_OK ? mkt_blame(&detail, MKT_E_ARGUMENT, "err", NULL) : MKT_E_STATE, &detail);
    txn.in = about;
    enum mkt_err err = read_about(about, &message, &whole);
    txn.message = whole ? &message : NULL;
    csb->busy = true;
    if (begin(csb, &txn) != MKT_OK) /* what a KMS passes on no more is refused with an Error message, too */
        txn.kms = NULL;
    err = err == MKT_OK ? mkt_make_error(&txn, &message.hdr, why, sp, n_sp) : err;
    csb->busy = false;
    if (err == MKT_OK && out->p != NULL)
        csb->bundle.reported = txn.bundle.reported;
    forget(csb);
    return tell(csb, take_back(out, before, err), &detail);
}

enum mkt_err mkt_sdp_make_error(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media, enum mkt_err why,
                                const struct mkt_sp sp[], size_t n_sp, struct mkt_buf *line)
{
    struct mkt_buf message = message_of(line);
    struct mkt_span about = io_none;
    if (csb->busy)
        return MKT_E_STATE;
    enum mkt_err err = sdp == NULL ? MKT_E_ARGUMENT : MKT_OK;
    if (row_of(csb)->owes_answer)
        err = MKT_OK;
    else if (err == MKT_OK)
        err = decode_into(csb, sdp, media, &about);
    err = err == MKT_OK ? mkt_csb_make_error(csb, about, why, sp, n_sp, &message) : told(csb, err);
    mkt_bundle_pack(&csb->bundle, &csb->arena);
    return encode_line(err, &message, line);
}

/* ---- what a KMS is asked, and grants ---- */

enum mkt_err mkt_csb_take_ticket(const struct mkt_csb *csb, struct mkt_ticket **ticket)
{
    const struct mkt_bundle *b = &csb->bundle;
    *ticket = NULL;
    if (csb->role != MKT_INITIATOR || csb->state != MKT_FRESH || b->ticket.n == 0)
        return told(csb, MKT_E_STATE);
    const struct mkt_host host = host_of(csb);
    const bool before = set_busy(csb, true);
    const enum mkt_err err = mkt_ticket_hold(ticket, &host, b->ticket, b->keys[MKT_FROM_TICKET], false);
    set_busy(csb, before);
    return told(csb, err);
}

/* The policy that is asked for, completed, with its KEMAC. */
static enum mkt_err read_request(const struct mkt_csb *csb, struct mkt_policy *policy)
{
    const struct mkt_bundle *b = &csb->bundle;
    const enum mkt_err err = csb->state != MKT_TOOK_REQUEST ? MKT_E_STATE : mkt_request_decode(b->init, policy);
    if (err != MKT_OK)
        return told(csb, err);
    /* 4.2.1.1: "This identity SHOULD be included in the granted Ticket Policy." */
    if (policy->initiator.data.n == 0)
        policy->initiator = b->initiator;
    if (policy->kms.data.n == 0)
        policy->kms = csb->settings.self;
    policy->flags = (uint16_t)((policy->flags | MKT_FLAG_D) & ~MKT_FLAG_K);
    return MKT_OK;
}

enum mkt_err mkt_csb_requested(const struct mkt_csb *csb, struct mkt_policy *policy)
{
    const enum mkt_err err = read_request(csb, policy);
    policy->has_kemac = false;
    policy->kemac = io_none;
    return err;
}

enum mkt_err mkt_csb_unverified(const struct mkt_csb *csb, struct mkt_id *initiator, struct mkt_policy *policy)
{
    struct mkt_message init;
    if (csb->role != MKT_RESPONDER || !mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK))
        return told(csb, MKT_E_STATE);
    enum mkt_err err = mkt_message_decode(&init, csb->bundle.init);
    err = err == MKT_OK ? mkt_policy_decode(policy, &mkt_message_find(&init, MKT_TICKET, 0)->ticket) : err;
    *initiator = csb->bundle.initiator;
    return told(csb, err);
}

enum mkt_err mkt_csb_requested_key(const struct mkt_csb *csb, size_t index, struct mkt_key_wish *key)
{
    const size_t first = MKT_UP_TO(mkt_key_wish, kv);
    struct mkt_policy policy;
    struct mkt_key_wish asked;
    const enum mkt_err err = read_request(csb, &policy);
    if (err != MKT_OK)
        return err;
    if (key->size < first || key->size - first > UINT16_MAX)
        return told(csb, MKT_E_ARGUMENT);
    if (!mkt_request_key(&policy, index, &asked))
        return MKT_E_NO_SESSION;
    return mkt_sized_copy(key, key->size, &asked, first) ? MKT_OK : told(csb, MKT_E_ARGUMENT);
}

enum mkt_err mkt_csb_grant(const struct mkt_csb *csb, const struct mkt_ticket_recipe *recipe,
                           struct mkt_ticket **ticket)
{
    struct mkt_ticket_recipe granted;
    struct mkt_key_wish keys[MKT_MAX_KEYS - 1];
    struct mkt_policy policy;
    *ticket = NULL;
    enum mkt_err err = csb->busy ? MKT_E_STATE : read_request(csb, &policy);
    if (err != MKT_OK)
        return err;
    if (!mkt_sized_copy(&granted, sizeof granted, recipe, MKT_UP_TO(mkt_ticket_recipe, n_keys)))
        return told(csb, MKT_E_ARGUMENT);
    if (granted.policy != NULL && granted.policy->prf != policy.prf)
        return told(csb, MKT_E_PRF);
    if (granted.keys == NULL) {
        granted.keys = keys;
        for (granted.n_keys = 0; mkt_request_key(&policy, granted.n_keys, &keys[granted.n_keys]);)
            granted.n_keys++;
    }
    if (granted.policy != NULL)
        policy = *granted.policy;
    else
        policy.has_kemac = false;
    policy.flags |= MKT_FLAG_D;
    err =
        mkt_request_check(csb->bundle.init, &policy, &(struct mkt_granted){.wish = granted.keys, .n = granted.n_keys});
    if (err != MKT_OK && err != MKT_E_NOT_AS_ASKED)
        return told(csb, err);
    policy.flags = (uint16_t)(err == MKT_OK ? policy.flags & ~MKT_FLAG_K : policy.flags | MKT_FLAG_K);
    granted.policy = &policy;
    set_busy(csb, true);
    err = mkt_ticket_make_for(csb->settings.user, ticket, csb->host, &granted);
    set_busy(csb, false);
    return err;
}

enum mkt_err mkt_csb_save_resolved(const struct mkt_csb *csb, struct mkt_buf *out)
{
    struct mkt_bundle b = csb->bundle;
    struct mkt_span ticket = b.ticket;
    struct mkt_id self = csb->settings.self;
    struct io io = io_put(out);
    if (csb->role != MKT_RESPONDER || row_of(csb)->keys == MKT_NO_KEYS)
        return told(csb, MKT_E_STATE);
    if (ticket.n == 0)
        return told(csb, mkt_bundle_has(&b, MKT_FLAG_J) ? MKT_E_STATE : MKT_E_REUSE);
    mkt_io_resolved(&io, &b, &ticket, &self);
    return told(csb, mkt_done_secret(&io, out));
}

/* ---- as octets ---- */

/* How a bundle is kept: version, role, state, self and peer, then all that struct mkt_bundle has. */
static void io_stored(struct io *io, uint8_t *role, uint8_t *state, struct mkt_settings *s, struct mkt_bundle *bundle)
{
    uint8_t version = 1;
    io_u8(io, &version);
    io_u8(io, role);
    io_u8(io, state);
    io_u8(io, &s->self.type);
    io_vec(io, &s->self.data, 4);
    io_u8(io, &s->peer.type);
    io_vec(io, &s->peer.data, 4);
    if (version != 1 || *role > MKT_KMS || s->self.data.n == 0)
        io_fail(io, MKT_E_STORED);
    mkt_io_bundle(io, bundle);
    io_expect_end(io);
}

enum mkt_err mkt_csb_save(const struct mkt_csb *csb, struct mkt_buf *out)
{
    struct io io = io_put(out);
    struct mkt_bundle bundle = csb->bundle;
    struct mkt_settings settings = csb->settings;
    uint8_t role = (uint8_t)csb->role, state = (uint8_t)csb->state;
    /* the largest part of a settled bundle, and for mkt_csb_save_resolved() alone, whose time is over */
    if (csb->role == MKT_RESPONDER && csb->state == MKT_KEYED)
        bundle.ticket = io_none;
    io_stored(&io, &role, &state, &settings, &bundle);
    return told(csb, mkt_done_secret(&io, out));
}

/* Whether octets are a message of that type, in its shape, or nothing where it is none. */
static bool is_kept(struct mkt_span octets, enum mkt_data_type type, bool update)
{
    struct mkt_message message;
    if (type == MKT_PSK || octets.n == 0)
        return type == MKT_PSK && octets.n == 0;
    return mkt_message_decode(&message, octets) == MKT_OK && mkt_psk_variant(message.hdr.data_type) == type &&
           mkt_rules_check(&message, update, NULL) == MKT_OK;
}

/* Whether octets are a message that was signed: its key is in an envelope, and not shared. */
static bool is_signed(struct mkt_span octets)
{
    return octets.n > 1 && mkt_is_pk(octets.p[1]);
}

/* Keys that were once checked. */
static bool are_keys(struct mkt_span chain)
{
    struct mkt_keys keys = mkt_keys_of(chain);
    struct mkt_key_data key;
    while (mkt_keys_next(&keys, &key))
        if (key.key.n < MKT_MIN_KEY || (mkt_key_is_tek(key.type) && key.key.n > MKT_MAX_TEK))
            return false;
    return keys.err == MKT_OK;
}

/* Whether the parts of a bundle that was read agree, as far as later steps rely on it. */
static bool is_whole(enum mkt_role role, enum mkt_state state, const struct mkt_bundle *b)
{
    const struct mkt_state_row *row = mkt_state_find(role, state);
    const bool keyed = row != NULL && row->keys == MKT_ALL_KEYS;
    if (row == NULL || !is_kept(b->init, row->kept, keyed) ||
        !is_kept(b->asked_kms, state == MKT_MADE_RESOLVE ? MKT_RESOLVE_INIT_PSK : MKT_PSK, false))
        return false;
    const bool sealed = is_signed(role == MKT_INITIATOR ? b->init : b->asked_kms);
    const bool shared = role == MKT_KMS && b->init.n > 0 && !is_signed(b->init);
    if (b->envelope_key.n != (sealed ? mkt_suite_algorithms(b->suite)->key : 0) || shared != (b->psk.n >= MKT_MIN_KEY))
        return false;
    for (size_t c = 0; c < MKT_CHAINS; c++)
        if (!are_keys(b->keys[c]))
            return false;
    if (b->randi.n > UINT8_MAX || b->randr.n > UINT8_MAX || b->randkms.n > UINT8_MAX)
        return false;
    const bool has_mpks = b->mpki.n >= MKT_MIN_KEY && (!mkt_bundle_has(b, MKT_FLAG_I) || b->mpkr.n >= MKT_MIN_KEY);
    if (!keyed)
        return b->map.n == 0 && b->sps.n == 0 && b->n_cs == 0 && b->keys[MKT_FROM_RESPONDER].n == 0;
    return has_mpks && b->n_cs > 0 && mkt_sessions_whole(b);
}

enum mkt_err mkt_csb_branch(const struct mkt_csb *offered, struct mkt_csb **branch)
{
    *branch = NULL;
    if (offered->state != MKT_MADE_TRANSFER)
        return told(offered, MKT_E_STATE);
    const bool before = set_busy(offered, true);
    const enum mkt_err err = mkt_csb_new(branch, offered->role, offered->host, &offered->settings);
    set_busy(offered, before);
    if (err != MKT_OK)
        return err;
    (*branch)->state = offered->state;
    (*branch)->bundle = offered->bundle;
    (void)!mkt_bundle_move(&(*branch)->bundle, offered->arena.p, &(*branch)->arena); /* as much room as it has there */
    return MKT_OK;
}

enum mkt_err mkt_csb_load(struct mkt_csb **csb, const struct mkt_host *host, const struct mkt_settings *given,
                          struct mkt_span in)
{
    struct io io = io_get(in);
    struct mkt_bundle bundle = {.suite = MKT_SUITE_256};
    struct mkt_settings settings, s;
    struct mkt_host own;
    (void)!mkt_sized_copy(&settings, sizeof settings, given, MKT_UP_TO(mkt_settings, public_keys));
    (void)!mkt_host_copy(&own, host, settings.user);
    s = settings;
    const struct mkt_id *self = &settings.self, *peer = &settings.peer;
    uint8_t role = 0, state = 0;
    *csb = NULL;
    io_stored(&io, &role, &state, &s, &bundle);
    if (io.err != MKT_OK || !is_whole((enum mkt_role)role, (enum mkt_state)state, &bundle))
        return mkt_host_log(&own, MKT_E_STORED, "");
    if (self->data.n > 0 && !mkt_id_equal(self, &s.self))
        return mkt_host_log(&own, MKT_E_ARGUMENT, "mkt_settings.self");
    if (peer->data.n > 0 && s.peer.data.n > 0 && !mkt_id_equal(peer, &s.peer))
        return mkt_host_log(&own, MKT_E_ARGUMENT, "mkt_settings.peer");
    if (peer->data.n > 0)
        s.peer = *peer;
    enum mkt_err err = mkt_csb_new(csb, (enum mkt_role)role, host, &s);
    if (err != MKT_OK)
        return err;
    err = mkt_bundle_move(&bundle, in.p, &(*csb)->arena);
    if (err != MKT_OK) {
        mkt_csb_free(*csb);
        *csb = NULL;
        return mkt_host_log(&own, err, "");
    }
    (*csb)->bundle = bundle;
    (*csb)->state = (enum mkt_state)state;
    return MKT_OK;
}

/* ---- what is known ---- */

bool mkt_csb_ready(const struct mkt_csb *csb)
{
    return row_of(csb)->keys == MKT_ALL_KEYS;
}

bool mkt_csb_repeated(const struct mkt_csb *csb)
{
    return csb->repeated;
}

bool mkt_csb_must_make(const struct mkt_csb *csb, enum mkt_data_type message)
{
    return message != MKT_TRANSFER_INIT && message != MKT_REQUEST_INIT_PSK && !mkt_is_pk((unsigned)message) &&
           mkt_step_find(csb->role, csb->state, MKT_MAKE, (unsigned)message) != NULL;
}

uint32_t mkt_csb_rekey_interval(const struct mkt_csb *csb)
{
    return mkt_csb_ready(csb) ? csb->bundle.rekeying : 0;
}

uint32_t mkt_csb_id(const struct mkt_csb *csb)
{
    return csb->bundle.csb_id;
}

enum mkt_role mkt_csb_role(const struct mkt_csb *csb)
{
    return csb->role;
}

struct mkt_id mkt_csb_peer(const struct mkt_csb *csb)
{
    const struct mkt_bundle *b = &csb->bundle;
    const struct mkt_id unknown = {0};
    if (csb->role == MKT_INITIATOR)
        return mkt_csb_ready(csb) ? b->responder : unknown;
    if (csb->role == MKT_RESPONDER)
        return row_of(csb)->keys != MKT_NO_KEYS ? b->initiator : unknown;
    return csb->state == MKT_FRESH ? unknown : csb->state == MKT_TOOK_REQUEST ? b->initiator : b->responder;
}

/* ---- crypto sessions and their keys ---- */

size_t mkt_csb_session_count(const struct mkt_csb *csb)
{
    return mkt_csb_ready(csb) ? csb->bundle.n_cs : 0;
}

enum mkt_err mkt_csb_session_at(const struct mkt_csb *csb, size_t index, struct mkt_cs *cs)
{
    struct mkt_span map = csb->bundle.map;
    if (index >= mkt_csb_session_count(csb))
        return MKT_E_NO_SESSION;
    enum mkt_err err = MKT_OK;
    for (size_t i = 0; i <= index && err == MKT_OK; i++)
        err = mkt_cs_next(cs, MKT_MAP_GENERIC_ID, 0, &map);
    return err;
}

enum mkt_err mkt_csb_key(const struct mkt_csb *csb, size_t index, struct mkt_key_data *key)
{
    struct mkt_key_data found;
    for (size_t c = 0; c < MKT_CHAINS && row_of(csb)->keys != MKT_NO_KEYS; c++) {
        for (struct mkt_keys keys = mkt_keys_of(csb->bundle.keys[c]); mkt_keys_next_session(&keys, &found);) {
            if (index-- > 0)
                continue;
            *key = found;
            return MKT_OK;
        }
    }
    return MKT_E_NO_SESSION;
}

/* The crypto session with a CS ID, or else the first for 0, and the key that its SPI names. */
static enum mkt_err find_session(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_cs *cs, struct mkt_key_data *key)
{
    if (!mkt_csb_ready(csb))
        return MKT_E_STATE;
    const bool found =
        mkt_cs_find(csb->bundle.map, cs_id, cs) || (cs_id == MKT_FIRST_CS && mkt_csb_session_at(csb, 0, cs) == MKT_OK);
    return found && mkt_bundle_key(&csb->bundle, cs->spi, key) ? MKT_OK : MKT_E_NO_SESSION;
}

enum mkt_err mkt_csb_sp(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_sp *sp)
{
    struct mkt_span rest = csb->bundle.sps;
    struct mkt_cs cs;
    struct mkt_key_data key;
    enum mkt_err err = find_session(csb, cs_id, &cs, &key);
    while (err == MKT_OK && rest.n > 0) {
        err = mkt_sps_next(sp, &rest);
        if (err == MKT_OK && sp->policy_no == cs.policies.p[0])
            return MKT_OK;
    }
    return told(csb, err == MKT_OK ? MKT_E_NO_SESSION : err);
}

enum mkt_err mkt_csb_tek(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *tek)
{
    const struct mkt_bundle *b = &csb->bundle;
    struct mkt_cs cs;
    struct mkt_key_data key;
    enum mkt_err err = find_session(csb, cs_id, &cs, &key);
    if (err != MKT_OK)
        return told(csb, err);
    const bool derived = !mkt_key_is_tek(key.type);
    /* 12.1: with 128-bit algorithms session keys have 128 bits */
    const size_t wished = b->suite == MKT_SUITE_256 ? csb->settings.tek_length : 0;
    const size_t length = !derived ? key.key.n : wished > 0 ? wished : mkt_suite_algorithms(b->suite)->key;
    struct mkt_span octets = {derived ? NULL : key.key.p, length};
    struct io io = io_put(tek);
    io_bytes(&io, &octets, length);
    /* 5.1.3: "RANDRi SHALL be included if the Ticket Policy determines that it shall be used (H flag)." */
    const struct mkt_label label = {
        .purpose = MKT_PURPOSE_TRAFFIC,
        .cs_id = cs.cs_id,
        .randi = mkt_bundle_has(b, MKT_FLAG_H) ? b->randi : io_none,
        .randr = mkt_bundle_has(b, MKT_FLAG_G) ? b->randr : io_none,
    };
    if (derived && io.err == MKT_OK && io.mode == IO_PUT)
        io.err = mkt_derive(b->suite, MKT_DERIVE_TEK, key.key, &label, io.out, length);
    return told(csb, mkt_done_secret(&io, tek));
}

enum mkt_err mkt_csb_salt(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *salt)
{
    struct mkt_cs cs;
    struct mkt_key_data key;
    const enum mkt_err err = find_session(csb, cs_id, &cs, &key);
    struct io io = io_put(salt);
    if (err == MKT_OK)
        io_bytes(&io, &key.salt, key.salt.n);
    return told(csb, err == MKT_OK ? mkt_done_secret(&io, salt) : err);
}

/* A colon and the hex digits of octets, lower-case. */
static void put_hex(struct io *io, struct mkt_span octets)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digit = ':';
    io_u8(io, &digit);
    for (size_t i = 0; i < 2 * octets.n; i++) {
        digit = (uint8_t)digits[i % 2 == 0 ? octets.p[i / 2] >> 4 : octets.p[i / 2] & 0xf];
        io_u8(io, &digit);
    }
}

enum mkt_err mkt_csb_psk_identity(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *identity)
{
    const struct mkt_host host = host_of(csb);
    const struct mkt_bundle *b = &csb->bundle;
    struct mkt_psk_session session = {
        .csb_id = b->csb_id, .peer = mkt_csb_peer(csb), .randr = b->randr, .randkms = b->randkms};
    struct mkt_key_data key;
    const size_t before = identity->n;
    enum mkt_err err = find_session(csb, cs_id, &session.cs, &key);
    const bool busy = set_busy(csb, true);
    if (err == MKT_OK && host.psk_identity != NULL)
        err = host.psk_identity(host.user, &session, identity);
    set_busy(csb, busy);
    if (err != MKT_OK || host.psk_identity != NULL)
        return told(csb, take_back(identity, before, err));

    enum { OF_RAND = 8 }; /* octets of a RAND that the answer has: branches with other keys have other identities */
    struct mkt_span rand = b->randr, prefix = mkt_span_text("mikey-ticket");
    if (mkt_bundle_has(b, MKT_FLAG_I) && mkt_bundle_has(b, MKT_FLAG_F) && !mkt_bundle_has(b, MKT_FLAG_G))
        rand = b->randkms;
    uint8_t csb_id[4];
    struct io number = io_put(&(struct mkt_buf){csb_id, sizeof csb_id, 0}), io = io_put(identity);
    io_u32(&number, &session.csb_id);
    rand.n = rand.n < OF_RAND ? rand.n : OF_RAND;
    io_bytes(&io, &prefix, prefix.n);
    put_hex(&io, (struct mkt_span){csb_id, sizeof csb_id});
    put_hex(&io, (struct mkt_span){&session.cs.cs_id, 1});
    put_hex(&io, session.cs.spi);
    if (rand.n > 0)
        put_hex(&io, rand);
    return told(csb, io_done(&io, identity));
}
