/* SPDX-License-Identifier: BSD-3-Clause */
#include "error_message.h"

#include "request.h"
#include "transfer.h"
#include "update.h"

/* ---- making ---- */

/* The key of the answer of a KMS to the question that this party asked, which `init` has afterwards. */
static enum mkt_err find_answer_key(struct mkt_txn *txn, struct mkt_message *init)
{
    const struct mkt_bundle *b = &txn->bundle;
    const struct mkt_span question = txn->message->hdr.data_type == MKT_REQUEST_RESP ? b->init : b->asked_kms;
    if (txn->kms == NULL || question.n == 0)
        return MKT_E_STATE;
    const enum mkt_err err = mkt_message_decode(init, question);
    mkt_psk_protection(txn, mkt_kms_key(txn), init, MKT_PURPOSE_RESPONSE, question, io_none);
    return err;
}

/* True if a message is the peer's and not a replay: later than all that were reported, and later than all that were
 * taken or, if the error is not that it came again, the last one. Else an attacker could replay or reflect an old
 * message, and the peer would apply the authenticated Error message to its latest one. */
static bool is_of_now(const struct mkt_txn *txn, bool update, enum mkt_err why)
{
    const struct mkt_bundle *b = &txn->bundle;
    const struct mkt_t *t = mkt_t_of(txn->message);
    const enum mkt_role to = txn->message->hdr.data_type == MKT_TRANSFER_INIT ? MKT_RESPONDER : MKT_INITIATOR;
    /* mkt_csb_take() answers so to a message that was taken before, or to one of its own that comes back */
    const bool again = mkt_err_class(why) == MKT_CLASS_FRESHNESS || why == MKT_E_UPDATE || why == MKT_E_MAC;
    if (update ? mkt_update_has_own_order(txn) || mkt_check_update_identities(txn) != MKT_OK : txn->role != to)
        return false;
    if (!mkt_t_later(t, &b->reported))
        return false;
    if (mkt_t_later(t, &b->peer_last_t))
        return true;
    if (why == MKT_E_STATE || why == MKT_E_DATA_TYPE) /* it came again before it was answered */
        return false;
    return mkt_span_equal(txn->in, b->init) || (mkt_t_last(t, &b->peer_last_t) && !again);
}

/* The key of a TRANSFER_INIT that this party took, or of a TRANSFER_RESP to its own. */
static enum mkt_err find_transfer_key(struct mkt_txn *txn, enum mkt_err why)
{
    struct mkt_bundle *b = &txn->bundle;
    const bool init = txn->message->hdr.data_type == MKT_TRANSFER_INIT;
    const bool update = mkt_message_find(txn->message, MKT_TICKET, 0) == NULL && b->map.n > 0;
    enum mkt_err err = b->mpki.n == 0 || txn->message->hdr.csb_id != b->csb_id ? MKT_E_STATE : MKT_OK;
    if (err == MKT_OK && !is_of_now(txn, update, why))
        err = MKT_E_STATE;
    if (err == MKT_OK && !init && !update)
        err = mkt_find_resp_key(txn);
    const bool response = update ? mkt_bundle_has(b, MKT_FLAG_F) : !init;
    mkt_mpk_protection(txn, txn->message, response ? MKT_PURPOSE_RESPONSE : MKT_PURPOSE_INITIAL);
    return err;
}

/* "The auth_key SHALL be the same as in the message where the error occurred": if that verifies. If that was signed, so
 * is the Error message, by a KMS that can: a MAC would be of a key that is in an envelope. */
static enum mkt_err find_keys(struct mkt_txn *txn, enum mkt_err why, struct mkt_message *init)
{
    const unsigned type = txn->message->hdr.data_type; /* one of those that mkt_rules_check() knows */
    const bool answer = type == MKT_REQUEST_RESP || type == MKT_RESOLVE_RESP;
    enum mkt_err err = MKT_OK;
    /* P18: an Error message about a forged one has no proof. So its signature, which costs most, is not verified again. */
    const bool forged = why == MKT_E_SIGNATURE || why == MKT_E_CHAIN;
    txn->signs = mkt_is_pk(type);
    if (txn->signs && (forged || txn->role != MKT_KMS || txn->pk.sign == NULL))
        return MKT_E_STATE;
    if (!answer && !mkt_is_transfer(type))
        err = mkt_suite_of_prf(txn->message->hdr.prf, &txn->bundle.suite);
    if (err == MKT_OK)
        err = answer                  ? find_answer_key(txn, init)
              : mkt_is_transfer(type) ? find_transfer_key(txn, why)
                                      : mkt_kms_find_key(txn);
    err = err == MKT_OK ? mkt_proof_check(txn->message, txn->bundle.suite) : err;
    return err == MKT_OK ? mkt_verify(txn, false) : err;
}

/* "HDR, T, (ERR), {SP}, [V|SIGNx]" */
enum mkt_err mkt_make_error(struct mkt_txn *txn, const struct mkt_hdr *about, enum mkt_err why,
                            const struct mkt_sp sp[], size_t n_sp)
{
    enum { OTHERS = 3 }; /* T, ERR, V */
    /* Ticket Request and Ticket Resolve have no crypto sessions (4.2.1.1) */
    const bool sessions = about->data_type < MKT_REQUEST_INIT_PSK || about->data_type > MKT_RESOLVE_RESP ||
                          mkt_is_transfer(about->data_type);
    /* then the Error message "SHOULD include the supported parameters" */
    const bool policies = why == MKT_E_SP || why == MKT_E_SP_PARAMETERS || why == MKT_E_PROT || why == MKT_E_CS;
    const bool counts = txn->message != NULL && mkt_t_of(txn->message)->ts_type == MKT_TS_COUNTER;
    /* who sends a message a second time is not who made it; a counter says so by either error (mkt_host.counter_check) */
    const bool second = why == MKT_E_REPLAY || (why == MKT_E_STALE && counts);
    struct mkt_message m;
    enum mkt_err err = txn->message == NULL || second ? MKT_E_STATE : mkt_t_fresh(txn);
    err = err == MKT_OK ? find_keys(txn, why, &m) : err;
    const bool known = err == MKT_OK;
    if (mkt_err_class(err) == MKT_CLASS_HOST)
        return err;
    if (n_sp > MKT_MAX_PAYLOADS - OTHERS || (n_sp > 0 && !sessions))
        return mkt_blame(txn->detail, MKT_E_TOO_MANY, "SP", NULL);
    err = mkt_begin(txn, &m, MKT_ERROR, about->csb_id);
    if (err != MKT_OK)
        return err;
    /* "the version, PRF func, and CSB ID fields [...] SHALL be identical"; the Empty map of mkt_begin() allows no SP */
    m.hdr.prf = about->prf;
    if (sessions)
        m.hdr.map_type = MKT_MAP_GENERIC_ID;
    mkt_message_add(&m, MKT_ERR)->error.number = mkt_err_number(why);
    for (size_t i = 0; i < n_sp; i++)
        mkt_message_add(&m, MKT_SP)->sp = sp[i];
    if (n_sp == 0 && sessions && policies)
        mkt_message_add(&m, MKT_SP)->sp = (struct mkt_sp){0, txn->settings->prot_type, {NULL, 0}};
    if (!known)
        return mkt_message_encode(&m, txn->out);
    txn->extra[0] = txn->extra[1] = io_none;
    err = mkt_seal(txn, &m);
    if (err != MKT_OK || !mkt_is_transfer(about->data_type))
        return err;
    /* One for each message, as each takes a slot of the replay cache (D27). */
    mkt_times_add(&txn->bundle.reported, mkt_t_of(txn->message), false);
    /* Both ends use one key for updates: an Error message that came back would look like the peer's. */
    return mkt_ask_replay(txn, &m, true);
}

/* ---- taking ---- */

/* The keys that protect what this party sent last, which the error is about. A KMS keeps nothing of its answers (D22):
 * it has no keys then, and takes the message as one about them. */
static enum mkt_err find_sent_key(struct mkt_txn *txn)
{
    const struct mkt_bundle *b = &txn->bundle;
    txn->protection.label.csb_id = txn->message->hdr.csb_id;
    if (b->sent_with == MKT_SENT_WITH_NONE)
        return mkt_suite_of_prf(txn->message->hdr.prf, &txn->protection.suite);
    if (b->sent_with == MKT_SENT_WITH_PSK && (txn->kms == NULL || txn->init == NULL))
        return mkt_blame(txn->detail, MKT_E_ARGUMENT, "mkt_settings.kms", NULL);
    if (b->sent_with == MKT_SENT_WITH_PSK)
        mkt_psk_protection(txn, txn->kms->psk, txn->init, MKT_PURPOSE_INITIAL, io_none, io_none);
    else
        mkt_mpk_protection(txn, txn->message,
                           b->sent_with == MKT_SENT_WITH_MPK_INITIAL ? MKT_PURPOSE_INITIAL : MKT_PURPOSE_RESPONSE);
    txn->extra[0] = txn->extra[1] = io_none; /* beside an Error message there is nothing */
    return MKT_OK;
}

enum mkt_err mkt_take_error(struct mkt_txn *txn)
{
    const struct mkt_message *m = txn->message;
    const enum mkt_sent_with sent_with = txn->bundle.sent_with;
    /* V or SIGN, as this party sent its message: about a signed one a MAC proves nothing, and the other way round */
    const bool by_pk = sent_with == MKT_SENT_WITH_PSK && txn->init != NULL && mkt_is_pk(txn->init->hdr.data_type);
    const bool authenticated =
        sent_with != MKT_SENT_WITH_NONE && mkt_message_find(m, by_pk ? MKT_SIGN : MKT_V, 0) != NULL;
    const bool counts = mkt_t_of(m)->ts_type == MKT_TS_COUNTER;
    const struct mkt_protection *protection = &txn->protection;
    enum mkt_err err = find_sent_key(txn);
    err = err == MKT_OK && counts && txn->host->counter_check == NULL ? MKT_E_COUNTER : err;
    err = err == MKT_OK && m->hdr.csb_id != protection->label.csb_id ? MKT_E_CSB_ID : err;
    err = err == MKT_OK && m->hdr.prf != mkt_suite_algorithms(protection->suite)->prf ? MKT_E_PRF : err;
    err = err == MKT_OK && authenticated ? mkt_proof_check(m, protection->suite) : err;
    err = err == MKT_OK && authenticated ? mkt_verify(txn, false) : err;
    err = err == MKT_OK ? mkt_t_fresh(txn) : err;
    err = err == MKT_OK && authenticated ? mkt_ask_replay(txn, txn->message, true) : err;
    if (err != MKT_OK)
        return err;
    /* a COUNTER may be that of any message before: it does not tell whose this is, nor whether it is new */
    const struct mkt_error_message report = {authenticated && !counts, mkt_message_find(m, MKT_ERR, 0)->error.number,
                                             m};
    if (txn->host->error != NULL)
        txn->host->error(txn->host->user, &report);
    err = mkt_error_of_number(report.number);
    mkt_blame_number(txn->detail, err,
                     report.authenticated ? "an authenticated Error message, Error no"
                                          : "an Error message that is not authenticated, Error no",
                     report.number);
    return err;
}
