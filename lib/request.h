/* SPDX-License-Identifier: BSD-3-Clause */
/* request: the Ticket Request exchange (RFC 6043 4.2.1). */
#ifndef MKT_REQUEST_H
#define MKT_REQUEST_H

#include "exchange.h"

extern const struct mkt_acts mkt_acts_request_init, mkt_acts_request_resp;

/* The desired policy of a REQUEST_INIT; views it. If it has no KEMAC, the KMS chooses the keys. */
MKT_MUST enum mkt_err mkt_request_decode(struct mkt_span request_init, struct mkt_policy *policy);

/* The n-th session key that it asks for, or one TGK if the KMS chooses: false if there are fewer. */
bool mkt_request_key(const struct mkt_policy *desired, size_t n, struct mkt_key_wish *wish);

/* The session keys of a ticket: wishes if it is not made yet, else the chain of its keys. */
struct mkt_granted {
    const struct mkt_key_wish *wish;
    size_t n, at;
    struct mkt_keys chain;
};

/* MKT_E_NOT_AS_ASKED if a ticket of such policy and keys is not what a REQUEST_INIT asks for. */
MKT_MUST enum mkt_err mkt_request_check(struct mkt_span request_init, const struct mkt_policy *policy,
                                        struct mkt_granted *keys);

/* ---- what Ticket Resolve has in common with it: parts of struct mkt_acts ---- */

/* A KMS finds the key of an initial message, if it has one, and checks if the message is for this KMS. The Initiator or
 * Responder of the bundle is the sender that the message names, or else the owner of the key; nothing is verified. */
MKT_MUST enum mkt_err mkt_kms_find_key(struct mkt_txn *txn);

/* Checks if the sender of a verified message may use its key or certificate, and if the RAND is long enough for the
 * key. If nothing has told the sender, it is the owner of the certificate. */
MKT_MUST enum mkt_err mkt_kms_authorise(struct mkt_txn *txn);

/* A KMS opens the envelope of the message that it answers, if there is one: the key of the answer. An envelope that
 * does not open has a random key, and nothing tells the difference. Measuring opens nothing. */
MKT_MUST enum mkt_err mkt_kms_open(struct mkt_txn *txn);

/* Checks if an answer is of the KMS that was asked; finds its key, which the question tells. */
MKT_MUST enum mkt_err mkt_find_kms_key(struct mkt_txn *txn);

/* The host's last word on the KMS that answers, and before that of a KMS that asked it, on the Responder. */
MKT_MUST enum mkt_err mkt_authorise_kms(struct mkt_txn *txn);

/* The key of the answer of the KMS that this party asks: shared with it, or sealed for it. */
static inline struct mkt_span mkt_kms_key(const struct mkt_txn *txn)
{
    return txn->bundle.envelope_key.n > 0 ? txn->bundle.envelope_key : txn->kms->psk;
}

/* Begins an initial message to the KMS of the settings: HDR, T, RANDRi or RANDRr, [IDRi] or [IDRr], {CERT}, [IDRkms];
 * `who` asks. Without a key that is shared with the KMS it is the variant with public keys. MKT_E_ARGUMENT,
 * MKT_E_KEY_LENGTH if there is no KMS, or neither key nor public keys. */
MKT_MUST enum mkt_err mkt_begin_for_kms(struct mkt_txn *txn, struct mkt_message *message, enum mkt_data_type data_type,
                                        const struct mkt_id *who);

/* Ends an initial message to a KMS with [IDRpsk] and V or [CHASH], PKE and SIGN, and seals it: it becomes `init`. */
MKT_MUST enum mkt_err mkt_seal_for_kms(struct mkt_txn *txn, struct mkt_message *message, const struct mkt_id *who,
                                       struct mkt_span *init);

#endif
