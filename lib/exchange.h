/* SPDX-License-Identifier: BSD-3-Clause */
/* exchange: one step on a bundle, and what the messages of every exchange have in common. */
#ifndef MKT_EXCHANGE_H
#define MKT_EXCHANGE_H

#include "bundle.h"
#include "ticket.h"

#include <mikeyticket/exchange.h>
#include <mikeyticket/public_key.h>

/* What a step leads to, where that is not the same for all messages of a type. */
enum mkt_outcome {
    MKT_DONE,   /* nothing more is to come */
    MKT_ANSWER, /* a response is to come */
    MKT_RESOLVE /* a KMS must resolve the ticket first */
};

/* One step: a message is made or taken. It works on a copy of the bundle, which becomes the bundle if it succeeds. */
struct mkt_txn {
    const struct mkt_host *host; /* `own`, which has the user of the bundle */
    struct mkt_host own;
    const struct mkt_settings *settings;
    struct mkt_public_keys pk;        /* of the settings; cleared: there are none */
    const struct mkt_credential *kms; /* that this party asks: of the settings, or that mkt_find_kms() found */
    enum mkt_role role;
    struct mkt_bundle bundle;
    struct mkt_buf arena; /* of the bundle; what a failed step appended is wiped */
    enum mkt_outcome outcome;
    struct mkt_detail *detail;        /* of a refusal; NULL: nobody wants it */
    const struct mkt_message *init;   /* the initial message of the exchange, which is answered; NULL: there is none */
    struct mkt_policy *policy;        /* of the ticket that a first exchange is about, once mkt_take() has read it */
    struct mkt_protection protection; /* the key of the message */
    struct mkt_span extra[2]; /* what its MAC covers beside it: identities, or the initial message (table 5.2) */
    /* taken */
    const struct mkt_message *message;
    struct mkt_span in;               /* its octets */
    struct mkt_span protocols;        /* the list that the SDP has */
    const struct mkt_payload *ticket; /* TICKET or TP, with the policy */
    struct mkt_id owner;              /* a KMS: of the key or certificate, by the host's word */
    bool vouched_for;                 /* a KMS: the owner is a KMS that speaks for one of its users */
    struct mkt_span keys; /* what its KEMAC has, decrypted and not looked at; `p` is NULL where there is no KEMAC */
    /* made: one of them */
    const struct mkt_request *request;
    const struct mkt_ticket *granted;
    const struct mkt_offer *offer;
    const struct mkt_answer *answer;
    const struct mkt_update *update;
    bool signs;          /* SIGN at its end in place of V */
    bool wrong_size;     /* what the caller gave has a size that it can't have */
    struct mkt_buf *out; /* with `p` NULL the message is only measured */
};

/*
 * THE ORDER OF TAKING. mkt_rules_check() has seen the shape of a message; then mkt_take() does this, for all of them:
 *
 *     before the key      algorithms, CSB ID, PRF and policy of the ticket, what the act `refuse` looks at, and
 *                         whether the sender may supply keys
 *     the key             by the act `find_key`: `protection` and `extra`. If a KMS must be asked for it, the outcome
 *                         is MKT_RESOLVE, and the message is kept unverified until the KMS has answered
 *     MAC or signature    and the KEMAC is decrypted
 *     freshness           of T
 *     authorisation       by the act `authorise`: the peer is known by now, and may be refused
 *     meaning             by the act `accept`: keys and crypto sessions, into the copy of the bundle
 *     COUNTER, replay     of initial messages: the MAC of an answer covers one that was fresh
 *
 * What is refused takes no slot of the replay cache. An Error message alone may lack a MAC: mkt_take_error().
 */
struct mkt_acts {
    enum mkt_err (*make)(struct mkt_txn *txn);
    enum mkt_err (*refuse)(struct mkt_txn *txn); /* NULL: it has been done */
    enum mkt_err (*find_key)(struct mkt_txn *txn);
    enum mkt_err (*authorise)(struct mkt_txn *txn);
    enum mkt_err (*accept)(struct mkt_txn *txn);
};
MKT_MUST enum mkt_err mkt_take(struct mkt_txn *txn, const struct mkt_acts *acts);

/* Copies an identity into the arena of the bundle: MKT_E_BUNDLE_FULL. */
MKT_MUST static inline enum mkt_err mkt_keep_id(struct mkt_txn *txn, const struct mkt_id *from, struct mkt_id *to)
{
    *to = *from;
    return io_keep(&txn->arena, from->data, &to->data);
}

/* `n` random octets in the arena of the bundle; as a CSB ID. */
MKT_MUST enum mkt_err mkt_draw(struct mkt_txn *txn, size_t n, struct mkt_span *to);
MKT_MUST enum mkt_err mkt_draw_csb_id(struct mkt_txn *txn, uint32_t *csb_id);

/* ---- who is who ---- */

/* The host's last word on a peer. */
MKT_MUST static inline enum mkt_err mkt_authorise(const struct mkt_txn *txn, enum mkt_role role,
                                                  const struct mkt_id *id, bool proven)
{
    const struct mkt_peer peer = {role, *id, txn->bundle.called, txn->policy, proven};
    return txn->host->authorise == NULL ? MKT_OK : txn->host->authorise(txn->host->user, &peer);
}

/* Whether somebody is a responder of the policy, or belongs to a group that is (design decision D21). */
bool mkt_is_responder(const struct mkt_txn *txn, const struct mkt_policy *policy, const struct mkt_id *who);

/* Whether the policy allows the application of this party: MKT_E_APPLICATION.
 * 6.10: "If no IDRapp payloads are supplied, all application IDs are authorized." */
MKT_MUST static inline enum mkt_err mkt_check_application(const struct mkt_txn *txn)
{
    return txn->policy->n_applications == 0 || mkt_policy_has_application(txn->policy, txn->settings->application)
               ? MKT_OK
               : mkt_blame(txn->detail, MKT_E_APPLICATION, "application", &txn->settings->application);
}

/* ---- timestamps ---- */

/* Whether the timestamp of the message is in the window; a COUNTER is. */
MKT_MUST enum mkt_err mkt_t_fresh(const struct mkt_txn *txn);

/* The timestamp of the message. */
static inline const struct mkt_t *mkt_t_of(const struct mkt_message *message)
{
    return &mkt_message_find(message, MKT_T, 0)->t;
}

/* Asks the replay cache if a message was taken or made before: MKT_E_REPLAY. With `remember` it was, from now on: one
 * that is taken, or made so that it is not taken back. A message that is only measured is not asked about. */
MKT_MUST enum mkt_err mkt_ask_replay(const struct mkt_txn *txn, const struct mkt_message *message, bool remember);

/* Whether there is a replay cache that can know the message that is taken. */
static inline bool mkt_replay_is_checked(const struct mkt_txn *txn)
{
    return mkt_t_of(txn->message)->ts_type != MKT_TS_COUNTER && (txn->host->replay != NULL || txn->host->cache != NULL);
}

/* ---- messages ---- */

/* Begins a message: HDR and T, of the clock or counter of this party. */
MKT_MUST enum mkt_err mkt_begin(const struct mkt_txn *txn, struct mkt_message *message, enum mkt_data_type data_type,
                                uint32_t csb_id);

/* The same for an update, its answer, and keys in any answer: T is new, and with a KEMAC the IV (D29). */
MKT_MUST enum mkt_err mkt_begin_update(struct mkt_txn *txn, struct mkt_message *message, enum mkt_data_type data_type,
                                       bool kemac);

/* The RANDR of a role; `p` is NULL if there is none. */
static inline struct mkt_span mkt_rand_of(const struct mkt_message *message, uint8_t role)
{
    const struct mkt_payload *randr = mkt_message_find(message, MKT_RANDR, role);
    return randr != NULL ? randr->rand.rand : io_none;
}

static inline void mkt_add_randr(struct mkt_message *message, uint8_t role, struct mkt_span rand)
{
    mkt_message_add(message, MKT_RANDR)->rand = (struct mkt_rand){role, rand};
}

static inline void mkt_add_idr(struct mkt_message *message, uint8_t role, const struct mkt_id *id)
{
    mkt_message_add(message, MKT_IDR)->id = (struct mkt_id){role, id->type, id->data};
}

/* What can be refused of V, or of SIGN with CERT and PKE, without a key: MKT_E_MAC_ALG for an algorithm of another
 * suite (design decision D1); MKT_E_PUBLIC_KEY, MKT_E_CERTIFICATE, MKT_E_WRONG_CERTIFICATE, MKT_E_BAD_VALUE. */
MKT_MUST enum mkt_err mkt_proof_check(const struct mkt_message *message, enum mkt_suite suite);

/* Protects a message of Ticket Transfer by MPKi, a response with forked keys by MPKr (5.1.2). Table 5.2: "TRANSFER_INIT
 * || Identity_i || Identity_r", "TRANSFER_RESP || TRANSFER_INIT"; Identity_r is IDRr, or else the called identity. */
void mkt_mpk_protection(struct mkt_txn *txn, const struct mkt_message *message, enum mkt_purpose purpose);

/* The same with the keys of Ticket Request and Ticket Resolve exchanges, whose initial message is given (5.1.2). */
void mkt_psk_protection(struct mkt_txn *txn, struct mkt_span psk, const struct mkt_message *init,
                        enum mkt_purpose purpose, struct mkt_span extra, struct mkt_span more);

/* Verifies the MAC of `message`, and decrypts its KEMAC in the arena if wanted: MKT_E_MAC, then MKT_E_BUNDLE_FULL. Or
 * lets the host verify its signature: `owner` is then the identity that signed. */
MKT_MUST enum mkt_err mkt_verify(struct mkt_txn *txn, bool decrypt);

/* Adds V or SIGN by `protection` and `extra`, encrypts the KEMAC, and appends the message to `out`, which it views. */
MKT_MUST enum mkt_err mkt_seal(struct mkt_txn *txn, struct mkt_message *message);

/* ---- KEMAC ---- */

/* Adds a KEMAC with a chain of keys, which mkt_seal() encrypts; none where there are no keys. */
void mkt_add_kemac(struct mkt_message *message, enum mkt_suite suite, struct mkt_span keys);

/* Session keys that this party supplies, as a chain in the arena: MKT_E_KEMAC if the policy forbids it; no wishes, no
 * chain. Those that the other one does, by mkt_verify(). */
MKT_MUST enum mkt_err mkt_supply(struct mkt_txn *txn, const struct mkt_key_wish wishes[], size_t n,
                                 struct mkt_span *keys);
MKT_MUST enum mkt_err mkt_accept_supplied(const struct mkt_txn *txn, struct mkt_span keys, struct mkt_span *to);

/* ---- RANDs ---- */

/* A RAND of ours is as long as the longest key, those included that are still wished for (design decision D2). */
size_t mkt_rand_length(const struct mkt_bundle *bundle, const struct mkt_key_wish wishes[], size_t n);

/* The RANDs of the Ticket Transfer exchange, RANDRr being so long: MKT_E_RAND. 12.1: "the sum of the lengths of RANDRi
 * and RANDRr MUST at least be equal to the size of the longest [...] MPK/TGK/GTGK". 5.1.3: "at least one of RANDRi and
 * RANDRr MUST be used": with G that may be RANDRr alone, so it can't be empty. */
MKT_MUST static inline enum mkt_err mkt_check_rands(const struct mkt_bundle *b, size_t randr)
{
    const bool empty = b->randi.n == 0 || (mkt_bundle_has(b, MKT_FLAG_G) && randr == 0);
    return empty || b->randi.n + randr < mkt_bundle_longest(b) ? MKT_E_RAND : MKT_OK;
}

#endif
