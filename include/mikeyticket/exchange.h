/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file exchange.h
 * What a program says before a message is made: how a bundle behaves, what an Initiator offers, what a Responder adds.
 */
#ifndef MIKEYTICKET_EXCHANGE_H
#define MIKEYTICKET_EXCHANGE_H

#include <mikeyticket/message.h>
#include <mikeyticket/public_key.h>
#include <mikeyticket/ticket.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a party is known to a KMS: the key that they share, if there is one. Its spans live as long as it does. */
struct mkt_credential {
    struct mkt_id kms;    /**< needed: who the KMS is (IDRkms) */
    struct mkt_id name;   /**< which key (IDRpsk); no data: left out */
    struct mkt_span psk;  /**< 16 to MKT_MAX_PSK octets; a secret. Empty: mkt_settings.public_keys is used. If both are
                               missing, the error is MKT_E_KEY_LENGTH when a message to the KMS is made */
};

/**
 * How a bundle behaves. mkt_csb_new() copies it and what its spans view. Only what `user`, `kms` and `public_keys`
 * point to must outlive the bundle. The last words of a line, after ";", are the default, which mkt_settings_init()
 * sets.
 */
struct mkt_settings {
    size_t size;                 /**< needed: sizeof(struct mkt_settings), as mkt_settings_init() sets it */
    struct mkt_id self;          /**< needed: who this party is */
    struct mkt_id peer;          /**< the other end, if its messages may leave its identity out; of a KMS: the sender of
                                      a signed message without IDRi or IDRr; no data: its certificate tells; no data */
    void *user;                  /**< first argument of each callback for this bundle; outlives it; NULL:
                                      mkt_host.user */
    const struct mkt_credential *kms; /**< the KMS that this party asks; outlives the bundle; NULL: it asks none */
    struct mkt_span application; /**< application ID that IDRapp must name (D25); of a KMS, no data: any; "msrp" */
    uint8_t prot_type;           /**< Prot type of the crypto sessions (D9); MKT_PROT_TLS, 241 */
    uint8_t max_sessions;        /**< crypto sessions in the bundle (D11); 1 */
    uint32_t skew;               /**< seconds that a timestamp may differ from the clock (D18); 300 */
    size_t tek_length;           /**< octets of a TEK, 16 to 64 with suite 256 (D15); 0: that of the suite */
    bool allow_no_protocols;     /**< take a TRANSFER_INIT without list of key management protocols (D12); false */
    bool leave_out_identities;   /**< make messages without IDRi, IDRr, IDRkms where these need not be there: the other
                                      side knows them; false */
    bool allow_own_identity;     /**< take a TRANSFER_INIT whose Initiator has the identity `self` without a replay
                                      cache; false. Set it only if two devices of one user call each other: without a
                                      cache an attacker can send this party its own messages back (D21) */
    bool counter;                /**< make COUNTER timestamps, by mkt_host.counter_next; false */
    struct mkt_span replay_scope; /**< part of the name that the replay cache has for a message (D27); no data.
                                      Give each device of one user a scope of its own if they share a cache: SIP forks
                                      one TRANSFER_INIT to all of them. Set it from your own location table. Never take
                                      it from the message: a sender that chooses it turns the cache off */
    size_t bundle_size;          /**< octets of the one allocation of the bundle; MKT_CSB_SIZE */
    const struct mkt_public_keys *public_keys; /**< what this party asks by if mkt_credential.psk is empty; a KMS
                                      answers by it. Without it a KMS takes no messages by public key. Outlives the
                                      bundle. Set `bundle_size` to MKT_CSB_SIZE_PK; NULL */
};

/**
 * The octets of a bundle by default. About 3.2 KiB of them are room for what it has to keep of the exchange: its copy
 * of the TRANSFER_INIT as long as it waits for the answer, keys, RANDs and identities.
 */
enum { MKT_CSB_SIZE = 4096 };

/**
 * The octets of a bundle with public keys: it keeps its message with the certificates until the answer is there. They
 * have room for 4 certificates of 1,450 octets, as RSA with 4,096 bits has them. For larger certificates set
 * mkt_settings.bundle_size to their octets and MKT_CSB_SIZE. If a bundle is too small, the error is MKT_E_BUNDLE_FULL
 * when the message is made. MKT_CSB_SIZE is enough for one certificate of 2,048 bits, so test with the longest chain.
 */
enum { MKT_CSB_SIZE_PK = 10240 };

/** Clears settings, sets their size, and the defaults that the lines above name, for a party of that identity. */
static inline void mkt_settings_init(struct mkt_settings *settings, struct mkt_id self)
{
    memset(settings, 0, sizeof *settings);
    settings->size = sizeof *settings;
    settings->self = self;
    settings->application = mkt_span_text("msrp");
    settings->prot_type = MKT_PROT_TLS;
    settings->max_sessions = 1;
    settings->skew = 300;
    settings->bundle_size = MKT_CSB_SIZE;
}

/** What an Initiator asks its KMS for (RFC 6043 4.2.1). */
struct mkt_request {
    size_t size;                     /**< needed: sizeof(struct mkt_request), as mkt_request_init() sets it */
    const struct mkt_policy *policy; /**< needed: the desired policy; K is not sent */
    bool no_keys;                    /**< true: asks for no session keys (section 8, D30); then `n_keys` must be 0 */
    const struct mkt_key_wish *keys; /**< number, types, lengths, SPIs of the session keys that the ticket is to have */
    size_t n_keys;                   /**< up to 31, with key forking 30. 0: the KMS chooses the keys, usually one TGK */
};

/** Clears a request and sets its size. */
static inline void mkt_request_init(struct mkt_request *request)
{
    memset(request, 0, sizeof *request);
    request->size = sizeof *request;
}

/** What an Initiator offers. Zero is right for all that has no remark. */
struct mkt_offer {
    size_t size;                     /**< needed: sizeof(struct mkt_offer), as mkt_offer_init() sets it */
    struct mkt_ticket *ticket;       /**< needed; may be freed afterwards. It is marked as used: without J it can
                                          begin one call only */
    struct mkt_id responder;         /**< needed: who is called, a person or a group */
    struct mkt_span protocols;       /**< the list of RFC 4567 4.1.4; empty: "mikey" */
    const struct mkt_cs *cs;         /**< the crypto sessions. The n-th of those without SPI has the n-th key: first the
                                          Initiator's own keys count, then those of the ticket */
    size_t n_cs;                     /**< 0: one crypto session, CS ID 1 */
    const struct mkt_sp *sp;         /**< security policies for them; the default session lists them all */
    size_t n_sp;                     /**< up to 15 */
    const struct mkt_key_wish *keys; /**< session keys that the Initiator itself supplies (L flag) */
    size_t n_keys;                   /**< up to MKT_MAX_KEYS */
    struct mkt_span randi;           /**< RANDRi, up to 255 octets; empty: it is drawn. For a group key give the same
                                          in all exchanges (section 9), with a policy that has no G */
};

/** Clears an offer and sets its size. */
static inline void mkt_offer_init(struct mkt_offer *offer)
{
    memset(offer, 0, sizeof *offer);
    offer->size = sizeof *offer;
}

/** What a Responder adds to its answer. Zero is right for all that has no remark. */
struct mkt_answer {
    size_t size;                     /**< needed: sizeof(struct mkt_answer), as mkt_answer_init() sets it */
    const struct mkt_key_wish *keys; /**< session keys that the Responder itself supplies (M flag) */
    size_t n_keys;           /**< up to MKT_MAX_KEYS */
    const struct mkt_cs *cs; /**< crypto sessions: policy, Session Data and SPI for one that was offered, or one that is
                                  added */
    size_t n_cs;
    const struct mkt_sp *sp; /**< security policies that these name, and that the offer does not have */
    size_t n_sp;             /**< up to 15 */
};

/** Clears an answer and sets its size. */
static inline void mkt_answer_init(struct mkt_answer *answer)
{
    memset(answer, 0, sizeof *answer);
    answer->size = sizeof *answer;
}

/** A CSB update (RFC 6043 5.2). Zero is right for all that has no remark. */
struct mkt_update {
    size_t size;                     /**< needed: sizeof(struct mkt_update), as mkt_update_init() sets it */
    bool no_answer;                  /**< true: no TRANSFER_RESP is wanted (V flag). Then give each session its policy
                                          and SPI */
    const struct mkt_key_wish *keys; /**< new session keys. An Initiator needs the L flag for them, a Responder the M
                                          flag */
    size_t n_keys;                   /**< up to MKT_MAX_KEYS */
    const struct mkt_cs *cs;         /**< sessions that change or are added */
    size_t n_cs;                     /**< 0: all sessions, and the n-th gets the n-th key */
    const struct mkt_sp *sp;         /**< security policies for them, beside those that the bundle has */
    size_t n_sp;                     /**< up to 15 */
};

/** Clears an update and sets its size. */
static inline void mkt_update_init(struct mkt_update *update)
{
    memset(update, 0, sizeof *update);
    update->size = sizeof *update;
}

#ifdef __cplusplus
}
#endif
#endif
