/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include "request.h"
#include "transfer.h"
#include "update.h"

static const struct mkt_also nothing = {{{NULL, 0}, {NULL, 0}}}; /* beside an Error message */

/* ---- making ---- */

/* The key of the answer of a KMS to the question that this party asked. */
static enum mkt_err find_answer_key(struct mkt_act *act)
{
    const struct mkt_bundle *b = &act->bundle;
    const bool request = act->message->hdr.data_type == MKT_REQUEST_RESP;
    const struct mkt_span question = request ? b->init : b->asked_kms;
    if (act->kms == NULL || question.n == 0)
        return MKT_E_STATE;
    act->also = (struct mkt_also){{question, {NULL, 0}}};
    return mkt_by_psk_of(b->suite, act->kms->psk, question, MKT_PHASE_RESPONSE, &act->protection);
}

/* Whether mkt_csb_take() answers so to a message that was taken before, or to one of its own that comes back. */
static bool says_again(enum mkt_err why)
{
    return mkt_err_class(why) == MKT_CLASS_FRESHNESS || why == MKT_E_UPDATE || why == MKT_E_MAC;
}

/*
 * Whether a message is the peer's and not replayed: later than all that this party took, or the last one taken, if the
 * error is not that it came again; and later than all that it reported. mkt_csb_take() answers MKT_E_STATE or
 * MKT_E_DATA_TYPE to a message that comes again before it is answered. Without this check an attacker could replay or
 * reflect an old message, and the peer would apply the authenticated Error message to its latest one.
 */
static bool is_of_now(const struct mkt_act *act, bool update, enum mkt_err why)
{
    const struct mkt_bundle *b = &act->bundle;
    const struct mkt_t *t = mkt_t_of(act->message);
    const enum mkt_role to = act->message->hdr.data_type == MKT_TRANSFER_INIT ? MKT_RESPONDER : MKT_INITIATOR;
    if (update ? mkt_update_has_own_order(act) || mkt_check_update_identities(act) != MKT_OK : act->role != to)
        return false;
    if (!mkt_t_later(t, &b->reported))
        return false;
    if (mkt_t_later(t, &b->newest))
        return true;
    if (why == MKT_E_STATE || why == MKT_E_DATA_TYPE)
        return false;
    return mkt_span_equal(act->in, b->init) || (mkt_t_last(t, &b->newest) && !says_again(why));
}

static bool is_transfer(unsigned data_type)
{
    return data_type == MKT_TRANSFER_INIT || data_type == MKT_TRANSFER_RESP;
}

/* Ticket Request and Ticket Resolve, which have no crypto sessions (4.2.1.1). */
static bool is_with_kms(uint8_t data_type)
{
    static const uint8_t types[] = {MKT_REQUEST_INIT_PSK, MKT_REQUEST_INIT_PK, MKT_REQUEST_RESP,
                                    MKT_RESOLVE_INIT_PSK, MKT_RESOLVE_INIT_PK, MKT_RESOLVE_RESP};
    return memchr(types, data_type, sizeof types) != NULL;
}

/* The key of a TRANSFER_INIT that this party took, or of a TRANSFER_RESP to its own. */
static enum mkt_err find_transfer_key(struct mkt_act *act, enum mkt_err why)
{
    struct mkt_bundle *b = &act->bundle;
    const bool init = act->message->hdr.data_type == MKT_TRANSFER_INIT;
    const bool update = mkt_message_find(act->message, MKT_TICKET, 0) == NULL && b->map.n > 0;
    enum mkt_err err = b->mpki.n == 0 || act->message->hdr.csb_id != b->csb_id ? MKT_E_STATE : MKT_OK;
    if (err == MKT_OK && !is_of_now(act, update, why))
        err = MKT_E_STATE;
    if (err == MKT_OK && !init && !update)
        err = mkt_find_resp_key(act);
    const bool response = update ? mkt_bundle_has(b, MKT_FLAG_F) : !init;
    mkt_by_mpk(act, act->message, response ? MKT_PHASE_RESPONSE : MKT_PHASE_INITIAL);
    return err;
}

/*
 * "The auth_key SHALL be the same as in the message where the error occurred." Where that message does not verify, its
 * sender is anybody, and gets no MAC of this party.
 */
static enum mkt_err find_keys(struct mkt_act *act, enum mkt_err why)
{
    const unsigned type = act->message->hdr.data_type; /* one of the six that mkt_rules_check() knows */
    const bool answer = type == MKT_REQUEST_RESP || type == MKT_RESOLVE_RESP;
    enum mkt_err err = MKT_OK;
    if (!answer && !is_transfer(type))
        err = mkt_suite_of_prf(act->message->hdr.prf, &act->bundle.suite);
    if (err == MKT_OK)
        err = answer ? find_answer_key(act) : is_transfer(type) ? find_transfer_key(act, why) : mkt_kms_find_key(act);
    err = err != MKT_OK ? err : mkt_v_check(act->message, act->bundle.suite);
    return err != MKT_OK ? err : mkt_verify(act, false);
}

/* Who sends a message a second time is not who made it. A counter says so by either error (mkt_host.count). */
static bool is_second(const struct mkt_act *act, enum mkt_err why)
{
    return why == MKT_E_REPLAY || (why == MKT_E_STALE && mkt_t_of(act->message)->ts_type == MKT_TS_COUNTER);
}

/* Whether what is wrong is what this party offers or supports: then the Error message "SHOULD include the supported
 * parameters". */
static bool is_about_policies(enum mkt_err why)
{
    return why == MKT_E_SP || why == MKT_E_SP_PARAMETERS || why == MKT_E_PROT || why == MKT_E_CS;
}

/* "HDR, T, (ERR), {SP}, [V]" */
enum mkt_err mkt_make_report(struct mkt_act *act, const struct mkt_hdr *about, enum mkt_err why,
                             const struct mkt_sp sp[], size_t n_sp)
{
    enum { OTHERS = 3 }; /* T, ERR, V */
    const bool sessions = !is_with_kms(about->data_type);
    struct mkt_message m;
    enum mkt_err err = act->message == NULL || is_second(act, why) ? MKT_E_STATE : mkt_t_fresh(act);
    err = err != MKT_OK ? err : find_keys(act, why);
    const bool known = err == MKT_OK;
    if (mkt_err_class(err) == MKT_CLASS_HOST)
        return err;
    if (n_sp > MKT_MAX_PAYLOADS - OTHERS || (n_sp > 0 && !sessions))
        return mkt_blame(act->detail, MKT_E_MANY, "SP", NULL);
    err = mkt_begin(act, &m, MKT_ERROR, about->csb_id);
    if (err != MKT_OK)
        return err;
    /* "the version, PRF func, and CSB ID fields in the HDR payload SHALL be identical to the corresponding fields in
     * the message where the error occurred"; an Empty map, which mkt_begin() has, allows no SP (D22) */
    m.hdr.prf = about->prf;
    if (sessions)
        m.hdr.map_type = MKT_MAP_GENERIC_ID;
    mkt_message_add(&m, MKT_ERR)->error.number = mkt_err_number(why);
    for (size_t i = 0; i < n_sp; i++)
        mkt_message_add(&m, MKT_SP)->sp = sp[i];
    if (n_sp == 0 && sessions && is_about_policies(why))
        mkt_message_add(&m, MKT_SP)->sp = (struct mkt_sp){0, act->settings->prot_type, {NULL, 0}};
    if (!known)
        return mkt_message_put(&m, act->out);
    act->also = nothing;
    err = mkt_seal(act, &m);
    if (err != MKT_OK || !is_transfer(about->data_type))
        return err;
    /* One for each message, as each takes a slot of the replay cache (D27). */
    mkt_times_add(&act->bundle.reported, mkt_t_of(act->message), false);
    /* Both ends use one key for updates: an Error message that came back would look like the peer's. */
    return mkt_replay_record(act, &m);
}

/* ---- taking ---- */

/*
 * The keys that protect what this party sent last, which the error is about. A KMS keeps nothing of its answers (D22): it
 * has no keys then, and takes the message as one about them.
 */
static enum mkt_err find_sent_key(struct mkt_act *act)
{
    const struct mkt_bundle *b = &act->bundle;
    act->protection.label.csb_id = act->message->hdr.csb_id;
    if (b->guard == MKT_GUARD_NONE)
        return mkt_suite_of_prf(act->message->hdr.prf, &act->protection.suite);
    if (b->guard == MKT_GUARD_PSK && (act->kms == NULL || act->init == NULL))
        return mkt_blame(act->detail, MKT_E_ARGUMENT, "mkt_settings.kms", NULL);
    if (b->guard == MKT_GUARD_PSK)
        act->protection = mkt_by_psk(b->suite, act->kms->psk, act->init, MKT_PHASE_INITIAL);
    else
        mkt_by_mpk(act, act->message, b->guard == MKT_GUARD_MPK_INITIAL ? MKT_PHASE_INITIAL : MKT_PHASE_RESPONSE);
    act->also = nothing;
    return MKT_OK;
}

enum mkt_err mkt_take_report(struct mkt_act *act)
{
    const struct mkt_message *m = act->message;
    const bool authenticated = act->bundle.guard != MKT_GUARD_NONE && mkt_message_find(m, MKT_V, 0) != NULL;
    const bool counts = mkt_t_of(m)->ts_type == MKT_TS_COUNTER;
    const struct mkt_protection *protection = &act->protection;
    enum mkt_err err = find_sent_key(act);
    if (err == MKT_OK && counts && act->host->count == NULL)
        err = MKT_E_COUNTER;
    if (err == MKT_OK && m->hdr.csb_id != protection->label.csb_id)
        err = MKT_E_CSB_ID;
    if (err == MKT_OK && m->hdr.prf != mkt_suite_algorithms(protection->suite)->prf)
        err = MKT_E_PRF;
    if (err == MKT_OK && authenticated)
        err = mkt_v_check(m, protection->suite);
    if (err == MKT_OK && authenticated)
        err = mkt_verify(act, false);
    err = err != MKT_OK ? err : mkt_t_fresh(act);
    if (err == MKT_OK && authenticated)
        err = mkt_replay_record(act, act->message);
    if (err != MKT_OK || act->host->report == NULL)
        return err;
    /* a COUNTER may be that of any message before: it does not tell whose this is, nor whether it is new */
    const struct mkt_report report = {authenticated && !counts, mkt_message_find(m, MKT_ERR, 0)->error.number, m};
    act->host->report(act->host->user, &report);
    return MKT_OK;
}
