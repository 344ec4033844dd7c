/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file csb.h
 * The crypto session bundle: one call, one party. Octets of messages go in and out, keys come out.
 *
 *     Initiator                                        Responder
 *     mkt_csb_new(INITIATOR)                           mkt_csb_new(RESPONDER)
 *     mkt_csb_make_transfer_init()  --TRANSFER_INIT--> mkt_csb_take()
 *     mkt_csb_take()           <- - -TRANSFER_RESP- -  mkt_csb_make_transfer_resp()
 *     mkt_csb_tek()                                    mkt_csb_tek()
 *
 * A function that refuses leaves the bundle as it was, and the bundle can take the right message afterwards.
 */
#ifndef MIKEYTICKET_CSB_H
#define MIKEYTICKET_CSB_H

#include <mikeyticket/exchange.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A bundle; opaque, one allocation, for one thread at a time. */
struct mkt_csb;

/**
 * Makes a bundle for one call.
 * @param csb       out: the caller frees it with mkt_csb_free(); NULL after an error
 * @param role      MKT_INITIATOR or MKT_RESPONDER
 * @param host      outlives the bundle
 * @param settings  copied; spans in them are not
 * @return MKT_OK; MKT_E_ARGUMENT; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_new(struct mkt_csb **csb, enum mkt_role role, const struct mkt_host *host,
                                          const struct mkt_settings *settings);

/** Wipes and frees a bundle; NULL is fine. */
MKT_API void mkt_csb_free(struct mkt_csb *csb);

/**
 * Makes the TRANSFER_INIT of a call (RFC 6043 4.2.2.1), once. Random are, in this order: CSB ID, RANDRi, then for each
 * key supplied the key, the salt and the SPI. RFC 3830 6.1: where the CSB ID is one that this Initiator has with this
 * Responder already (mkt_csb_id()), throw the bundle away and make another.
 * @param offer  its ticket must be valid, for this Initiator and this application, and let an Initiator begin (N flag)
 * @param out    the message is appended; with `p` NULL it is measured: random and counter are used, but the bundle and
 *               the ticket stay as they were
 * @return MKT_OK; MKT_E_STATE; MKT_E_ARGUMENT; MKT_E_MANY for too many SPs; an error of mkt_policy_check(); MKT_E_REUSE
 *         for a used ticket without J; MKT_E_RESOLVE for one with I; MKT_E_INITIATOR; MKT_E_APPLICATION; MKT_E_KEMAC,
 *         MKT_E_MPK, MKT_E_KEY_LENGTH, MKT_E_LENGTH, MKT_E_RAND for the keys supplied; MKT_E_SPI, MKT_E_CS, MKT_E_PROT,
 *         MKT_E_SP for the crypto sessions; MKT_E_COUNTER; MKT_E_SPACE; MKT_E_ROOM; MKT_E_RANDOM, MKT_E_CLOCK,
 *         MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_transfer_init(struct mkt_csb *csb, const struct mkt_offer *offer,
                                                         struct mkt_buf *out);

/**
 * Makes the TRANSFER_RESP to the TRANSFER_INIT that was taken (RFC 6043 4.2.2.3), once. Random are, in this order:
 * RANDRr where G asks for it, then for each key supplied the key, the salt and the SPI.
 * @param answer  NULL: nothing to add
 * @param out     the message is appended; with `p` NULL it is measured: random and counter are used, but the bundle
 *                stays as it was
 * @return MKT_OK; MKT_E_STATE, also where F forbids the message; MKT_E_KEMAC, MKT_E_MPK, MKT_E_KEY_LENGTH,
 *         MKT_E_LENGTH, MKT_E_ARGUMENT, MKT_E_RAND for the keys supplied; MKT_E_SPI where a crypto session would be
 *         without key, or share a TEK; MKT_E_COUNTER; MKT_E_SPACE; MKT_E_ROOM; MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_transfer_resp(struct mkt_csb *csb, const struct mkt_answer *answer,
                                                         struct mkt_buf *out);

/**
 * Takes a message: TRANSFER_INIT as Responder, TRANSFER_RESP as Initiator (RFC 6043 4.2.2.2, 4.2.2.4). Looks at it in
 * this order: shape, what needs no key, key, MAC, freshness, authorisation, meaning, replay; only then does the bundle
 * change.
 * @param in         the message, to the last octet; not needed afterwards
 * @param protocols  of a TRANSFER_INIT in an SDP offer: the list of key management protocols that the SDP has, by
 *                   mkt_sdp_protocols(); of other messages not looked at
 * @return MKT_OK; MKT_E_STATE where this party takes no message now; any error of the classes malformed, auth,
 *         unsupported, policy, freshness and host, or the one that a callback of the host answered; MKT_E_ROOM
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_take(struct mkt_csb *csb, struct mkt_span in, struct mkt_span protocols);

/** Whether the keys are there: after the answer was taken or made, or the offer where F wants no answer. */
MKT_API bool mkt_csb_ready(const struct mkt_csb *csb);

/** Whether this Responder is to send a TRANSFER_RESP now (F flag). */
MKT_API bool mkt_csb_owes_response(const struct mkt_csb *csb);

/** The CSB ID; 0 before the first message. */
MKT_API uint32_t mkt_csb_id(const struct mkt_csb *csb);

/** The party that this bundle plays. */
MKT_API enum mkt_role mkt_csb_role(const struct mkt_csb *csb);

/**
 * The identity of the other end, authenticated; no data where no message of its was taken. Lives as long as the bundle.
 */
MKT_API struct mkt_id mkt_csb_peer(const struct mkt_csb *csb);

/** How many crypto sessions the bundle has; 0 before it is ready. */
MKT_API size_t mkt_csb_sessions(const struct mkt_csb *csb);

/**
 * Reads a crypto session; its spans live as long as the bundle.
 * @param index  from 0 to mkt_csb_sessions() - 1
 * @return MKT_OK; MKT_E_NO_SESSION
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_session(const struct mkt_csb *csb, size_t index, struct mkt_cs *cs);

/**
 * Appends the TEK of a crypto session: derived from the TGK or GTGK that its SPI names (RFC 6043 5.1.3), or the TEK
 * itself where it was sent as such. For TLS it is the pre-shared key (3GPP TS 23.333 5.20.2).
 * @param tek  16 to 64 octets, by mkt_settings.tek_length; the caller wipes them
 * @return MKT_OK; MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION; MKT_E_SPACE; MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_tek(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *tek);

/**
 * Reads a session key that the bundle holds, for those who show or use keys themselves: first those of the ticket, then
 * those that Initiator and Responder supplied; no MPKs. They are there once the TRANSFER_INIT was made or taken, before
 * the bundle is ready. Spans live as long as the bundle, and are secrets.
 * @param index  from 0
 * @return MKT_OK; MKT_E_NO_SESSION beyond the last, and before a message was made or taken
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_key(const struct mkt_csb *csb, size_t index, struct mkt_key_data *key);

/**
 * Appends the salt that came with the key of a crypto session (RFC 3830 6.13); nothing where it had none.
 * @return MKT_OK; MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION; MKT_E_SPACE
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_salt(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *salt);

/**
 * Appends the identity that goes with the TEK as TLS pre-shared key (D16): "mikey-ticket:" CSB ID in 8 hex digits ":"
 * CS ID in 2 ":" SPI in hex, lower-case, without NUL. It is no secret.
 * @return MKT_OK; MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION; MKT_E_SPACE
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_psk_identity(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *identity);

#ifdef __cplusplus
}
#endif
#endif
