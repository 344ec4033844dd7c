/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file csb.h
 * The crypto session bundle: one call, one party. Octets of messages go in and out, keys come out.
 *
 *     Initiator                                        KMS
 *     mkt_csb_new(INITIATOR)                           mkt_csb_new(KMS)
 *     mkt_csb_make_request_init()   --REQUEST_INIT-->  mkt_csb_take(), mkt_csb_grant()
 *     mkt_csb_take()                <--REQUEST_RESP--  mkt_csb_make_request_resp()
 *     mkt_csb_take_ticket()
 *                                                      Responder
 *                                                      mkt_csb_new(RESPONDER)
 *     mkt_csb_make_transfer_init()  --TRANSFER_INIT--> mkt_csb_take_offer()
 *
 *                              KMS                     if mkt_csb_must_make(MKT_RESOLVE_INIT_PSK):
 *                   mkt_csb_take()  <--RESOLVE_INIT--  mkt_csb_make_resolve_init()
 *      mkt_csb_make_resolve_resp()  --RESOLVE_RESP-->  mkt_csb_take()
 *
 *     [mkt_csb_branch()]
 *     mkt_csb_take()           <- - -TRANSFER_RESP- -  mkt_csb_make_transfer_resp()
 *     mkt_csb_tek()                                    mkt_csb_tek()
 *
 * With a ticket of its own (mkt_ticket_make(), modes 3 and 4) an Initiator begins with the TRANSFER_INIT; a Responder
 * that has the ticket's key (modes 2 and 4) resolves it by itself. A bundle that has its keys can be updated by either
 * end: mkt_csb_make_update(), mkt_csb_take(), mkt_csb_make_transfer_resp(), mkt_csb_take(). New keys in an update need
 * the L flag if the Initiator sends them, and the M flag if the Responder does: the default policies have no M. The
 * bundle of a KMS is as new after each answer: it takes the next request. If the answer is an Error message, call
 * mkt_csb_abandon() first.
 *
 * Keys or certificates: a party shares a key with its KMS (mkt_credential.psk), or it has a certificate
 * (mkt_settings.public_keys, mikeyticket/public_key.h). The functions are the same. The messages are REQUEST_INIT_PSK
 * and RESOLVE_INIT_PSK, or REQUEST_INIT_PK and RESOLVE_INIT_PK.
 *
 * A function that refuses leaves the bundle as it was, and the bundle can take the right message afterwards. Callbacks
 * of the host may only read the bundle that they are called for: see mikeyticket/host.h.
 *
 * Forked INVITE
 * -------------
 * SIP can fork one INVITE to several Responders: to users of one server, to devices of one user. Each of them answers
 * for itself, in a dialog with a To tag of its own, and repeats its answer: in a 183, then in the 200. The Initiator
 * keeps the bundle that made the offer, and gives each early dialog a branch of it:
 *
 * @code
 * #include <mikeyticket.h>
 *
 * // Once for the INVITE, whose SDP has the line. All branches come from the bundle `offered`.
 * enum mkt_err invite(struct mkt_csb *offered, const struct mkt_offer *offer, struct mkt_buf *line)
 * {
 *     return mkt_sdp_make_offer(offered, offer, line);
 * }
 *
 * // For each response with an SDP answer. `*branch` belongs to the To tag: NULL if the tag is new.
 * // `*is_new` is true if there is a new key, whose stream is to be added: mkt_streams_add_csb().
 * enum mkt_err answered(const struct mkt_csb *offered, struct mkt_csb **branch, struct mkt_span answer, bool *is_new)
 * {
 *     struct mkt_sdp sdp;
 *     enum mkt_err err = mkt_sdp_parse(&sdp, answer);
 *     if (err == MKT_OK && *branch == NULL)
 *         err = mkt_csb_branch(offered, branch);
 *     if (err == MKT_OK)
 *         err = mkt_sdp_take_answer(*branch, &sdp, 0);
 *     *is_new = err == MKT_OK && !mkt_csb_repeated(*branch);
 *     return err;
 * }
 * @endcode
 *
 * Free `offered` 64*T1 after the first 2xx (RFC 3261 13.2.2.4), or after a final response that is no 2xx.
 *
 * The Initiator:
 * - Make one branch for each To tag, and only one. Two branches that take one answer could encrypt two keys with one IV
 *   (D29). Give each branch a struct mkt_sdp_kept of its own.
 * - Let `offered` take no answer. Give it the Error messages of final responses, such as a 488.
 * - Free the branch of a dialog that ends, and remove its stream. The other branches do not change.
 * - Any branch can make and take updates, and be stored by mkt_csb_save().
 *
 * Keys and PSK identities:
 * - If G or I is set, each branch has keys of its own, and a PSK identity of its own (D16). Then the streams of all
 *   branches can be added. On one port the identity tells which branch a connection is for. mkt_policy_default() and
 *   mkt_policy_forked() set G.
 * - If G and I are clear, all Responders have the same keys and the same identity. mkt_streams_add() takes it once.
 * - If F is clear, there is no answer, and nothing to branch: `offered` has the keys of all Responders.
 *
 * The Responder:
 * - Use one replay cache for all processes of a server. The INVITE is new to each user of the server.
 * - If several devices of one user share the cache, set mkt_settings.replay_scope to a name of the device. Set it from
 *   your own location table. Never take it from the message.
 * - Take each INVITE once, behind the transaction layer: a retransmission is a replay.
 * - Make the answer once. Keep its octets, and send them in the 183 and in the 200.
 *
 * A program that does all of this is examples/forked.c.
 *
 * Shared memory
 * -------------
 * Several processes can use one bundle, if it stands in memory that they share:
 *
 * - Let mkt_host.alloc return that memory, and mkt_host.release take it back.
 * - Keep these at the same addresses in all processes, as they are if they were set up before fork(): the memory of the
 *   bundle, the host, its callbacks and its cache, `user`, `kms` and `public_keys` of the settings. The bundle points
 *   to nothing else.
 * - Let one process use the bundle at a time: hold a lock of your own.
 * - Store the bundle by mkt_csb_save() after each step. If a process ends while it is in a function of the library, go
 *   on from the last stored copy. Wipe the memory of the bundle and take it back yourself: the bundle may be busy for
 *   good, and mkt_csb_free() is not for a busy bundle.
 * - A copy that mkt_csb_save() has stored is never busy.
 */
#ifndef MIKEYTICKET_CSB_H
#define MIKEYTICKET_CSB_H

#include <mikeyticket/exchange.h>
#include <mikeyticket/sdp.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A bundle; opaque, one allocation, for one thread at a time. */
struct mkt_csb;

/**
 * Makes a bundle for one call.
 * @param csb       out: the caller frees it with mkt_csb_free(); NULL after an error
 * @param role      the party that it is for
 * @param host      outlives the bundle
 * @param settings  copied, and so is what its spans view: identities may stand in a SIP message that is gone later
 * @return MKT_OK; MKT_E_ARGUMENT, also for a KMS whose host has neither mkt_host.replay nor mkt_host.cache;
 *         MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_new(struct mkt_csb **csb, enum mkt_role role, const struct mkt_host *host,
                                          const struct mkt_settings *settings);

/** Wipes and frees a bundle; it may be NULL. Do not call it in a callback that is called for this bundle. */
MKT_API void mkt_csb_free(struct mkt_csb *csb);

/* ---- Ticket Request: RFC 6043 4.2.1 ---- */

/**
 * Makes a REQUEST_INIT to the KMS of mkt_settings.kms (RFC 6043 4.2.1.1 to 4.2.1.3). Random are, in this order: CSB ID,
 * RANDRi, the SPI of each key that has none of its own, then by public key the envelope key. Its algorithms are those
 * of the suite of the desired policy. By public key the certificate of the KMS is checked before anything is sealed for
 * it, and the bundle keeps the whole message until it is answered: see MKT_CSB_SIZE_PK.
 * @param out  the message is appended; with `p` NULL it is measured: random and counter are used, nothing is signed,
 *             and the bundle stays as it was
 * @return MKT_OK; MKT_E_STATE; MKT_E_ARGUMENT without policy or KMS, or as mkt_policy_encode(), or for keys beside
 *         `no_keys`, or for a key or Key Validity of no known type; MKT_E_KEY_LENGTH; MKT_E_MPK for an MPK among the
 *         keys; MKT_E_SPI for an empty SPI, or one that two keys have; MKT_E_PRF; MKT_E_FLAGS; MKT_E_POLICY for a
 *         policy that names no responder; MKT_E_TOO_MANY; MKT_E_LENGTH; MKT_E_COUNTER; MKT_E_BUFFER; MKT_E_BUNDLE_FULL;
 *         MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO; an error of mkt_public_keys.seal or mkt_public_keys.sign
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_request_init(struct mkt_csb *csb, const struct mkt_request *request,
                                                        struct mkt_buf *out);

/**
 * Makes an object of the ticket that a REQUEST_RESP granted, with its keys. This bundle or others can offer it, and
 * mkt_ticket_save() can store it. Look at its policy (mkt_ticket_policy()): the K flag says that the KMS changed
 * something. Without the J flag call this once: each object counts its own use.
 * @param ticket  out: the caller frees it with mkt_ticket_free(); NULL after an error
 * @return MKT_OK; MKT_E_STATE if none was granted, or another message was made since; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_take_ticket(const struct mkt_csb *csb, struct mkt_ticket **ticket);

/**
 * Reads the policy that a REQUEST_INIT asks for, at the KMS that took it. The policy is authenticated, and
 * mkt_csb_peer() returns the party that asks for it.
 * @param policy  out: the desired policy with D set and K clear. If it names no Initiator or no KMS, these are added.
 *                Its spans live until the next message is made or taken
 * @return MKT_OK; MKT_E_STATE; an error of mkt_policy_decode()
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_requested(const struct mkt_csb *csb, struct mkt_policy *policy);

/**
 * Reads a key that the REQUEST_INIT asks for, with its SPI or interval. There are up to MKT_MAX_KEYS - 1 of them, and
 * none if no session keys are asked for (D30). If the KMS is to choose, there is one TGK.
 * @param index  from 0
 * @param key    out: its spans live as long as those of the policy. Call mkt_key_wish_init() first, which sets its size
 * @return MKT_OK; MKT_E_NO_SESSION beyond the last; MKT_E_ARGUMENT for a wrong size; an error of mkt_csb_requested()
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_requested_key(const struct mkt_csb *csb, size_t index, struct mkt_key_wish *key);

/**
 * Makes the ticket that a KMS grants, by mkt_ticket_make(). Sets the D flag. Sets the K flag if the policy is not the
 * one asked for, or if the keys differ in number, order, type, length or SPI. A key that was asked for with an interval
 * has an SPI in the ticket, which is a change too.
 * @param recipe  give at least the `tpk`. If its policy is NULL, the ticket has the one asked for. If its keys are
 *                NULL, it has those asked for, with their SPIs
 * @param ticket  out: the caller frees it with mkt_ticket_free(); NULL after an error
 * @return MKT_OK; an error of mkt_csb_requested() or mkt_ticket_make(), such as MKT_E_SPI for an SPI that is asked for
 *         twice; MKT_E_PRF for a policy of another suite
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_grant(const struct mkt_csb *csb, const struct mkt_ticket_recipe *recipe,
                                            struct mkt_ticket **ticket);

/**
 * Makes the REQUEST_RESP (RFC 6043 4.2.1.5). The bundle of the KMS is as new afterwards.
 *
 * Answers a REQUEST_INIT_PK under the key of its envelope, which is opened now and not before. First as many random
 * octets are drawn: an envelope that does not open is answered under these. The sender can't verify such an answer;
 * nothing else tells the difference. Do not try to find out: it would help others to open envelopes.
 * @param ticket  not needed afterwards
 * @param out     the message is appended; with `p` NULL it is measured: random and counter are used, nothing is opened,
 *                and the bundle stays as it was
 * @return MKT_OK; MKT_E_STATE; MKT_E_NOT_AS_ASKED for a ticket that is not what was asked for and has no K; MKT_E_FLAGS
 *         for one without D; MKT_E_PRF; MKT_E_COUNTER; MKT_E_BUFFER; MKT_E_CLOCK, MKT_E_CRYPTO; by public key also
 *         MKT_E_BUNDLE_FULL, MKT_E_RANDOM, MKT_E_ARGUMENT without mkt_settings.public_keys, an error of
 *         mkt_public_keys.open
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_request_resp(struct mkt_csb *csb, const struct mkt_ticket *ticket,
                                                        struct mkt_buf *out);

/* ---- Ticket Resolve: RFC 6043 4.2.3 ---- */

/**
 * Reads what a TRANSFER_INIT says of its Initiator, if a KMS must resolve the ticket. None of it is verified: a "no" is
 * safe, and a "yes" means nothing until the RESOLVE_RESP has been taken. So a Responder can reject a call without
 * asking its KMS (RFC 6043 4.2.2.2): mkt_csb_make_error() with MKT_E_DENIED, then mkt_csb_free().
 * @param initiator  out, not verified: IDRi of the message, or else mkt_settings.peer. Lives until the next message is
 *                   made or taken, as the spans of the policy do
 * @param policy     out, not verified: the policy of the ticket
 * @return MKT_OK; MKT_E_STATE if this is no Responder whose mkt_csb_must_make(MKT_RESOLVE_INIT_PSK) is true
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_unverified(const struct mkt_csb *csb, struct mkt_id *initiator,
                                                 struct mkt_policy *policy);

/**
 * Makes a RESOLVE_INIT (RFC 6043 4.2.3.1 to 4.2.3.3). A Responder asks the KMS of mkt_settings.kms about the ticket of
 * the TRANSFER_INIT that it took. A KMS passes a RESOLVE_INIT on (section 10): to the KMS that mkt_host.forward names,
 * or by default to that of mkt_settings.kms. Random are, in this order: CSB ID, RANDRr, then by public key the envelope
 * key. May be made again as long as no answer was taken.
 * @param out  the message is appended; with `p` NULL it is measured: random and counter are used, nothing is signed,
 *             and the bundle stays as it was
 * @return MKT_OK; MKT_E_STATE; MKT_E_ARGUMENT without KMS; MKT_E_KMS, or another error of mkt_host.forward;
 *         MKT_E_KEY_LENGTH; MKT_E_COUNTER; MKT_E_BUFFER; MKT_E_BUNDLE_FULL; MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO; an
 *         error of mkt_public_keys.seal or mkt_public_keys.sign
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_resolve_init(struct mkt_csb *csb, struct mkt_buf *out);

/**
 * Makes the RESOLVE_RESP (RFC 6043 4.2.3.5). If the policy has I, keys are forked, and random is RANDRkms. The bundle
 * of the KMS is as new afterwards. Answers a RESOLVE_INIT_PK as mkt_csb_make_request_resp() answers a REQUEST_INIT_PK.
 * @param out  the message is appended; with `p` NULL it is measured: random and counter are used, nothing is opened,
 *             and the bundle stays as it was
 * @return MKT_OK; MKT_E_STATE; MKT_E_KEY_LENGTH for keys that no RANDRkms can be as long as; MKT_E_COUNTER;
 *         MKT_E_BUFFER; MKT_E_BUNDLE_FULL; MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO; by public key also MKT_E_ARGUMENT
 *         without mkt_settings.public_keys, an error of mkt_public_keys.open
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_resolve_resp(struct mkt_csb *csb, struct mkt_buf *out);

/**
 * Appends what a Responder remembers of a ticket that a KMS resolved for it, for mkt_host.resolved. If the ticket is
 * used again (J flag), the KMS need not be asked, and the modifier is the same (RFC 6043 5.3). Keys are in it, in
 * clear. Call it before an update. mkt_csb_save() does not store this data for a bundle that is ready.
 * @return MKT_OK; MKT_E_STATE if no KMS resolved one for this bundle; MKT_E_REUSE without J; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_save_resolved(const struct mkt_csb *csb, struct mkt_buf *out);

/* ---- Ticket Transfer: RFC 6043 4.2.2 ---- */

/**
 * Makes the TRANSFER_INIT of a call (RFC 6043 4.2.2.1), once. Random are, in this order: CSB ID, RANDRi, then for each
 * key supplied the key, the salt and the SPI, if it does not give them. If mkt_host.has_csb_id says that the CSB ID is
 * in use, another one is drawn. After 8 such IDs the call fails with MKT_E_RANDOM, and the ticket is not used.
 * @param offer  its ticket must be valid, for this Initiator and this application, and let an Initiator begin (N flag)
 * @param out    the message is appended; with `p` NULL it is measured: random and counter are used, but the bundle and
 *               the ticket stay as they were
 * @return MKT_OK; MKT_E_STATE; MKT_E_ARGUMENT; MKT_E_TOO_MANY for too many SPs; an error of mkt_policy_check();
 *         MKT_E_REUSE for a used ticket without J; MKT_E_INITIATOR; MKT_E_APPLICATION; MKT_E_KEMAC, MKT_E_MPK,
 *         MKT_E_KEY_LENGTH, MKT_E_LENGTH, MKT_E_RAND, MKT_E_SPI for the keys supplied; MKT_E_SPI, MKT_E_CS, MKT_E_PROT,
 *         MKT_E_SP, MKT_E_SP_PARAMETERS, MKT_E_TRUNCATED for the crypto sessions; MKT_E_COUNTER; MKT_E_BUFFER;
 *         MKT_E_BUNDLE_FULL; MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO; an error of the replay cache
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_transfer_init(struct mkt_csb *csb, const struct mkt_offer *offer,
                                                         struct mkt_buf *out);

/**
 * Makes a copy of an Initiator's bundle that waits for its TRANSFER_RESP. See "Forked INVITE" above: each early dialog
 * gets one. The copy shares no memory with the bundle, has its size, and is made inside the library: no keys pass
 * through buffers of the caller. It has the host and a copy of the settings of the bundle. Keep host and
 * mkt_settings.kms until both are freed.
 * @param offered  waits on: it can be copied again
 * @param branch   out: the caller frees it with mkt_csb_free(); NULL after an error
 * @return MKT_OK; MKT_E_STATE if `offered` does not wait for a TRANSFER_RESP; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_branch(const struct mkt_csb *offered, struct mkt_csb **branch);

/**
 * Makes the TRANSFER_RESP to the TRANSFER_INIT or update that was taken (RFC 6043 4.2.2.3, 5.2), once. Random are, in
 * this order: 3 octets of T if there are keys and G is clear, RANDRr in the first one if G is set, then for
 * each key supplied the key, the salt and the SPI, if it does not give them.
 * @param answer  may be NULL: nothing to add
 * @param out     the message is appended; with `p` NULL it is measured: random and counter are used, but the bundle
 *                stays as it was
 * @return
 *   - MKT_OK
 *   - MKT_E_STATE: nothing waits for an answer, also because none is wanted (F of the policy, V of an update)
 *   - MKT_E_KEMAC, MKT_E_MPK, MKT_E_KEY_LENGTH, MKT_E_LENGTH, MKT_E_ARGUMENT, MKT_E_RAND, MKT_E_SPI for the keys
 *     supplied
 *   - MKT_E_SPI: a crypto session would have no key, or would share a TEK
 *   - MKT_E_CS, MKT_E_PROT, MKT_E_SP, MKT_E_SP_PARAMETERS for the crypto sessions
 *   - MKT_E_TOO_MANY for too many SPs
 *   - an error of the replay cache, if the answer is to a TRANSFER_INIT that begins a call
 *   - MKT_E_COUNTER; MKT_E_BUFFER; MKT_E_BUNDLE_FULL; MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_transfer_resp(struct mkt_csb *csb, const struct mkt_answer *answer,
                                                         struct mkt_buf *out);

/**
 * Makes a CSB update (RFC 6043 5.2): new keys, new sessions, other keys or policies for the sessions of the bundle. It
 * has no list of key management protocols, as it changes none (RFC 4567 4.1.2, mkt_connection_decide()).
 *
 * The update takes effect when its answer is taken, or at once if none is wanted. A key that no session uses any more
 * is wiped then. If no answer comes, call mkt_csb_abandon().
 *
 * Random are for each key supplied the key, the salt and the SPI, if it does not give them.
 *
 * Both ends encrypt new keys with one key, and only T tells their IVs apart (RFC 6043 5.2, design decision D29). So
 * the last bit of T is 0 from an Initiator and 1 from a Responder if the message has keys. If G is clear, several
 * Responders have that key, too: then 23 more bits of T, 4 ms, are random, and the first octets drawn are the low 24
 * bits. The Initiator uses even COUNTER values and the Responder odd ones. Values that the peer has used are skipped.
 * After 256 skipped values the call fails with MKT_E_COUNTER; call again to continue. If G is clear, no keys are sent
 * with COUNTER: MKT_E_COUNTER.
 *
 * @param out  the message is appended; with `p` NULL it is measured: random and counter are used, but the bundle stays
 *             as it was
 * @return MKT_OK; MKT_E_STATE; MKT_E_KEMAC, MKT_E_MPK, MKT_E_KEY_LENGTH, MKT_E_LENGTH, MKT_E_ARGUMENT, MKT_E_RAND,
 *         MKT_E_SPI for the keys; MKT_E_SPI, MKT_E_CS, MKT_E_PROT, MKT_E_SP, MKT_E_SP_PARAMETERS, MKT_E_TRUNCATED for
 *         the crypto sessions; MKT_E_TOO_MANY; MKT_E_COUNTER; MKT_E_BUFFER; MKT_E_BUNDLE_FULL; MKT_E_RANDOM,
 *         MKT_E_CLOCK, MKT_E_CRYPTO; an error of the replay cache
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_update(struct mkt_csb *csb, const struct mkt_update *update,
                                                  struct mkt_buf *out);

/* ---- all exchanges ---- */

/**
 * Takes a message: REQUEST_INIT or RESOLVE_INIT as KMS, REQUEST_RESP, RESOLVE_RESP, TRANSFER_RESP, an update, or an
 * Error message, which goes to mkt_host.error. Checks in this order: shape, all that needs no key, key, MAC or
 * signature, freshness, authorisation, meaning, counter, replay. The bundle changes only if all of them hold. If the
 * KMS must resolve the ticket, nothing in the TRANSFER_INIT is verified until the RESOLVE_RESP has been taken.
 *
 * Take each message once for each SIP transaction, behind the transaction layer. A stateless element sees an INVITE
 * again when SIP sends it again: the first one is answered by a 200, and the second is a replay.
 *
 * SIP repeats an answer in a 183 and then in the 200. The TRANSFER_RESP that the bundle took last is MKT_OK again,
 * octet for octet, and changes nothing; mkt_csb_repeated() tells. That ends when the bundle makes or takes an update.
 * @param in  the message, to the last octet; not needed afterwards. For a TRANSFER_INIT that begins a call use
 *            mkt_csb_take_offer() or mkt_sdp_take_offer(): here it is MKT_E_PROTOCOLS, unless it has no list of key
 *            management protocols and mkt_settings.allow_no_protocols is set
 * @return
 *   - MKT_OK: mkt_csb_ready() tells whether the keys are there
 *   - MKT_E_REPORTED and above, of the class MKT_CLASS_REPORTED: it is an Error message. mkt_host.error tells whether
 *     it is authenticated. Anybody can forge one that is not, so the bundle still waits, and takes the right message
 *     afterwards
 *   - MKT_E_STATE: this party takes no message now
 *   - MKT_E_DATA_TYPE: this party does not take this data type now, or never takes it, whatever follows it; also
 *     REQUEST_INIT_PK and RESOLVE_INIT_PK without mkt_settings.public_keys
 *   - MKT_E_ARGUMENT: the settings lack the KMS that answers (mkt_settings.kms)
 *   - MKT_E_BUNDLE_FULL
 *   - any error of the classes malformed, auth, unsupported, policy, freshness and host, or the one that a callback of
 *     the host returned
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_take(struct mkt_csb *csb, struct mkt_span in);

/**
 * Takes the TRANSFER_INIT that begins a call, and compares the list of key management protocols in it with that of the
 * SDP offer (RFC 4567 section 7). Takes any other message as mkt_csb_take() does.
 * @param protocols  the list, such as `mikey`; mkt_sdp_protocols() gives it
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_take_offer(struct mkt_csb *csb, struct mkt_span in, struct mkt_span protocols);

/**
 * Returns true if nothing was new in what was taken last, and the keys are those of before:
 * - the message was an answer that the bundle had taken before (D28); or
 * - mkt_sdp_take_answer() took an answer without message.
 *
 * mkt_csb_save() does not store it.
 */
MKT_API bool mkt_csb_repeated(const struct mkt_csb *csb);

/**
 * Makes an Error message about a message that was refused (RFC 6043 5.4), or about one that was taken and is not
 * answered. The Error message carries a MAC only if the message that it reports was verified, came from the peer, is
 * within the skew and is not a replay. A message counts as a replay if:
 * - it is earlier than the message that was taken last; or
 * - it is that message itself, and `err` is what mkt_csb_take() returns for a replay: class freshness, MKT_E_MAC,
 *   MKT_E_UPDATE, MKT_E_STATE, MKT_E_DATA_TYPE.
 *
 * About a REQUEST_INIT_PK or RESOLVE_INIT_PK a KMS signs the Error message under the same conditions, if it has
 * mkt_public_keys.sign. That costs a verification and a signature. There is never a MAC: its key would come from the
 * envelope.
 *
 * A TRANSFER_INIT that was refused leaves no keys behind.
 *
 * To decline a call with an authenticated Error message, take the offer first. Then call this function with `about`
 * empty in place of mkt_csb_make_transfer_resp(). The Error message has no MAC in two cases: the offer is not taken, or
 * a KMS must resolve the ticket and has not answered.
 *
 * mkt_sdp_make_error() makes it as a line for the SDP of the response, such as a 488. The Initiator takes it by
 * mkt_sdp_take_answer().
 *
 * The message that was taken still waits for its answer afterwards, and the bundle takes no other. Forget it:
 * - if it begins a call, call mkt_csb_free();
 * - if it is an update, or if the bundle is that of a KMS, call mkt_csb_abandon().
 *
 * About a message of Ticket Transfer only one Error message has a MAC (design decision D27): the bundle remembers it,
 * and the replay cache does. So keep the octets if you may have to send them again. An Error message of a KMS, or about
 * one of its answers, takes no slot of the replay cache.
 * @param about  the message; empty: the one that this party took and has not answered
 * @param err    why: gives the error number, mkt_err_number(). To pass on the Error message of a KMS, give
 *               mkt_error_of_number() of its number
 * @param sp     security policies that this party supports; may be NULL if there are none. Then, if `err` is about
 *               sessions or policies, it is the one of the TLS profile. About a message of Ticket Request or Ticket
 *               Resolve give none: the Error message has the Empty map (D22)
 * @param out    the message is appended, or measured
 * @return MKT_OK; MKT_E_ARGUMENT if `err` is MKT_OK; MKT_E_STATE if `about` is empty and no message waits for an
 *         answer; MKT_E_DATA_TYPE about an Error message, which is never answered; MKT_E_VERSION if `about` is no MIKEY
 *         message; MKT_E_TOO_MANY, MKT_E_LENGTH, MKT_E_TRUNCATED for the SPs; MKT_E_COUNTER; MKT_E_BUFFER; an error of
 *         the class host, or of the replay cache
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_make_error(struct mkt_csb *csb, struct mkt_span about, enum mkt_err err,
                                                 const struct mkt_sp sp[], size_t n_sp, struct mkt_buf *out);

/**
 * Forgets the exchange that is under way, if there is one. Keys that the bundle has stay. These are forgotten:
 * - a request without answer;
 * - a message that a KMS took and has not answered;
 * - an update that was made or taken, and has no answer;
 * - a RESOLVE_INIT of a Responder without answer: the TRANSFER_INIT waits on. Called again, the function forgets that
 *   too.
 *
 * A TRANSFER_INIT that waits for its TRANSFER_RESP is not forgotten, at either end: free the bundle. Does nothing in a
 * callback that is called for this bundle.
 *
 * Call it in these cases:
 * - An Error message declined a request or an update of this party, or this party declined one: an Error message alone
 *   ends no exchange.
 * - Both ends make an update at once. Then each refuses that of the other with MKT_E_DATA_TYPE, and SIP answers 491.
 *   Both abandon theirs, and one of them begins anew.
 * - The answer to an update was lost. Then the ends may have different keys for the sessions of that update. Make
 *   another update of all these sessions.
 */
MKT_API void mkt_csb_abandon(struct mkt_csb *csb);

/* ---- in SDP: RFC 4567 ---- */

/**
 * Makes the a=key-mgmt line of an offer: mkt_csb_make_transfer_init(), then mkt_sdp_key_mgmt_encode() in the same
 * buffer. If several sections share the line at session level, give `offer` a crypto session for each of them:
 * mkt_sdp_crypto_session().
 * @param line  the line is appended, without CRLF; with `p` NULL it is measured
 * @return as those two functions
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_make_offer(struct mkt_csb *csb, const struct mkt_offer *offer,
                                                 struct mkt_buf *line);

/**
 * Makes the a=key-mgmt line of an answer, once: mkt_csb_make_transfer_resp(), then mkt_sdp_key_mgmt_encode(). Keep the
 * line. Send it in each answer to this offer (183, 200). Repeat it in later offers and answers until an offer re-keys.
 * @return as those two functions; MKT_E_STATE if the offer wants no answer (F flag), or its answer was made
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_make_answer(struct mkt_csb *csb, const struct mkt_answer *answer,
                                                  struct mkt_buf *line);

/**
 * Makes the a=key-mgmt line of a response that refuses an offer, such as a 488: mkt_csb_make_error(), then
 * mkt_sdp_key_mgmt_encode() in the same buffer. The Error message is about the message that this party took and has not
 * answered. If there is none, it is about the message of the offer, which was refused.
 * @param sdp    the offer; may be NULL if it was taken and is not answered
 * @param media  number of the media section, from 0; or MKT_SDP_SESSION
 * @param err    why, as mkt_csb_make_error() has it; likewise `sp`
 * @param line   the line is appended, without CRLF; with `p` NULL it is measured
 * @return as those functions and mkt_sdp_key_mgmt_decode(); MKT_E_ARGUMENT if `sdp` is needed and NULL;
 *         MKT_E_BUNDLE_FULL
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_make_error(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media,
                                                 enum mkt_err err, const struct mkt_sp sp[], size_t n_sp,
                                                 struct mkt_buf *line);

/**
 * Makes the a=key-mgmt line of an offer that re-keys: mkt_csb_make_update(), then mkt_sdp_key_mgmt_encode(). If the
 * offer is given up (491, 408, CANCEL), call mkt_csb_abandon(), and repeat the line of before: see connection.h.
 * @return as those two functions
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_make_update(struct mkt_csb *csb, const struct mkt_update *update,
                                                  struct mkt_buf *line);

/**
 * Takes the message of an offer: mkt_sdp_key_mgmt_decode(), mkt_sdp_protocols(), then mkt_csb_take_offer(). That is the
 * first offer, or one that re-keys (mkt_connection_keying()). The message is decoded into the bundle, which needs space
 * for it until the function returns.
 * - Take an offer once, behind the transaction layer: a repeated INVITE is a replay, and would be declined.
 * - If several sections share a message of the session level, take it once for all of them.
 * - To decline a call with an authenticated Error message, take the offer first, then call mkt_sdp_make_error().
 * - MKT_E_CSB_ID means that the offer begins another call in the same dialog, as after a transfer (RFC 3725). Take it
 *   with a new bundle.
 * @param media  number of the media section, from 0; or MKT_SDP_SESSION
 * @return as those functions; MKT_E_MISSING if there is no message; MKT_E_DATA_TYPE if it is neither a TRANSFER_INIT
 *         nor an Error message; MKT_E_BUNDLE_FULL
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_take_offer(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media);

/**
 * Takes the message of an answer, as mkt_sdp_take_offer() does with that of an offer. The answer to a re-INVITE has a
 * message to take only if mkt_connection.keying is MKT_KEYING_NEW.
 *
 * The same answer again is MKT_OK (mkt_csb_repeated()). So is an answer without message if this party has its keys and
 * waits for no TRANSFER_RESP (F flag): that is mkt_csb_repeated(), too. An Error message gives an error of the class
 * MKT_CLASS_REPORTED: see mkt_csb_take().
 * @return as mkt_sdp_take_offer(); MKT_E_DATA_TYPE if the message is neither a TRANSFER_RESP nor an Error message
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_take_answer(struct mkt_csb *csb, struct mkt_sdp *sdp, size_t media);

/**
 * Finds the crypto session of a media section (RFC 4567 7.1, design decision D32):
 * - The section has a message of its own, or is the only one: the first session of the bundle, whatever its CS ID.
 * - Sections share a message of the session level: section n, counted from 0 over all m= lines, has CS ID 2 n + 1. The
 *   CS ID 2 n + 2 is reserved for its other direction.
 * @param offer  the offer of the bundle, for both ends
 * @param cs     out: its spans live until the next message is made or taken
 * @return MKT_OK; MKT_E_MISSING if there is no such media section, or it has no message for mikey; MKT_E_SDP;
 *         MKT_E_TOO_MANY; MKT_E_NO_SESSION if the bundle has none for it, or is not ready
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_crypto_session(const struct mkt_csb *csb, struct mkt_sdp *offer, size_t media,
                                                     struct mkt_cs *cs);

/* ---- as octets ---- */

/**
 * Appends a bundle as octets, to go on in another process, after a restart, or in a smaller block: state, keys in
 * clear, and mkt_settings.self and peer. The host and the other settings are not stored, nor is what
 * mkt_csb_save_resolved() writes of a bundle that is ready.
 * @return MKT_OK; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_save(const struct mkt_csb *csb, struct mkt_buf *out);

/**
 * Makes a bundle from what mkt_csb_save() wrote. The host and the settings are those of mkt_csb_new(), but the two
 * identities are stored:
 *
 * @code
 * #include <mikeyticket.h>
 *
 * enum mkt_err load(struct mkt_csb **csb, const struct mkt_host *host, void *user, const struct mkt_credential *kms,
 *                   struct mkt_span stored)
 * {
 *     const struct mkt_id as_stored = {0, 0, {NULL, 0}};
 *     struct mkt_settings settings;
 *     mkt_settings_init(&settings, as_stored);
 *     settings.user = user;
 *     settings.kms = kms;
 *     return mkt_csb_load(csb, host, &settings, stored);
 * }
 * @endcode
 *
 * - Give all settings again that are not the defaults, such as `user`, `kms`, `public_keys`, `application` and
 *   `replay_scope`.
 * - A smaller or larger mkt_settings.bundle_size is fine as long as everything has room.
 * - Let only the newest copy go on: two copies could encrypt keys under one IV (D29). For a forked call use
 *   mkt_csb_branch().
 *
 * @param csb       out: the caller frees it with mkt_csb_free(); NULL after an error
 * @param settings  `self` and `peer` without data: those that were stored. Give a `peer` only if it is the one that was
 *                  stored, or if none was
 * @return MKT_OK; MKT_E_STORED, MKT_E_BUNDLE_FULL; an error of mkt_csb_new(), also MKT_E_ARGUMENT for another `self` or
 *         `peer` than was stored
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_load(struct mkt_csb **csb, const struct mkt_host *host,
                                           const struct mkt_settings *settings, struct mkt_span in);

/**
 * Returns true if the keys of the call are known: the answer was taken or made. If F is clear, there is no answer: then
 * they are known once the offer was taken or made. Stays true during an update.
 */
MKT_API bool mkt_csb_ready(const struct mkt_csb *csb);

/**
 * Returns true if this party must make a message of that type now:
 * - a KMS: MKT_REQUEST_RESP or MKT_RESOLVE_RESP;
 * - a Responder: MKT_RESOLVE_INIT_PSK, if a KMS must resolve the ticket; a KMS: the same, if another KMS must. This
 *   type stands for both variants. True until the RESOLVE_RESP was taken, as the RESOLVE_INIT may be made again;
 * - a party that took a TRANSFER_INIT or an update: MKT_TRANSFER_RESP.
 */
MKT_API bool mkt_csb_must_make(const struct mkt_csb *csb, enum mkt_data_type message);

/** Returns the seconds after which the keys must be replaced (TRr), by mkt_csb_make_update(); 0: no limit. */
MKT_API uint32_t mkt_csb_rekey_interval(const struct mkt_csb *csb);

/**
 * Returns the CSB ID of the call; 0 before a TRANSFER_INIT was made or taken, and for a KMS. It is not verified while a
 * Responder waits for its KMS.
 */
MKT_API uint32_t mkt_csb_id(const struct mkt_csb *csb);

/** Returns the party that this bundle is for. */
MKT_API enum mkt_role mkt_csb_role(const struct mkt_csb *csb);

/**
 * Returns the identity of the other end, authenticated (but see mkt_peer.proven). It has no data as long as no message
 * of the other end was verified: without F the Initiator knows only whom it asked, until the Responder sends an update
 * or answers one. Of a KMS: the party that asked; after the answer of another KMS, its IDRr if it has one. Lives until
 * the next message is made or taken.
 *
 * Without key forking (I flag) all responders of the ticket policy have the same keys, so each of them can claim any
 * identity that the policy allows.
 */
MKT_API struct mkt_id mkt_csb_peer(const struct mkt_csb *csb);

/** In place of a CS ID: the first crypto session of the bundle, if none has this CS ID. */
#define MKT_FIRST_CS 0

/** Returns how many crypto sessions the bundle has; 0 before it is ready. */
MKT_API size_t mkt_csb_session_count(const struct mkt_csb *csb);

/**
 * Reads a crypto session; its spans live until the next message is made or taken.
 * @param index  from 0 to mkt_csb_session_count() - 1
 * @return MKT_OK; MKT_E_NO_SESSION
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_session_at(const struct mkt_csb *csb, size_t index, struct mkt_cs *cs);

/**
 * Reads the security policy that was agreed on for a crypto session; its spans live until the next message is made or
 * taken.
 * @param cs_id  of the session, or MKT_FIRST_CS
 * @return MKT_OK; MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_sp(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_sp *sp);

/**
 * Appends the TEK of a crypto session. It is derived from the TGK or GTGK that the SPI of the session names (RFC 6043
 * 5.1.3). If the SPI names a TEK, it is that TEK. For TLS it is the pre-shared key (3GPP TS 23.333 5.20.2).
 * @param cs_id  of the session, or MKT_FIRST_CS
 * @param tek    the TEK is appended, 16 to 64 octets; wipe it after use. Its length:
 *               - derived with suite 256: mkt_settings.tek_length, or 32 if that is 0;
 *               - derived with suite 128: 16;
 *               - not derived: that of the TEK that was sent
 * @return MKT_OK; MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION; MKT_E_BUFFER; MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_tek(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *tek);

/**
 * Reads a session key that the bundle holds, for applications that show or use keys themselves. First come the keys of
 * the ticket, then those that Initiator and Responder supplied; no MPKs. They are known once the TRANSFER_INIT was made
 * or taken, before the bundle is ready. Spans live until the next message is made or taken, and are secrets.
 * @param index  from 0
 * @return MKT_OK; MKT_E_NO_SESSION beyond the last, and before a message was made or taken
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_key(const struct mkt_csb *csb, size_t index, struct mkt_key_data *key);

/**
 * Appends the salt that came with the key of a crypto session (RFC 3830 6.13); nothing if it had none.
 * @param cs_id  of the session, or MKT_FIRST_CS
 * @return MKT_OK; MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_salt(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *salt);

/**
 * Appends the identity that goes with the TEK as TLS pre-shared key (D16), without NUL. It is no secret. It consists of
 * "mikey-ticket" and these parts in lower-case hex, with ":" before each of them:
 * - the CSB ID in 8 digits, the CS ID in 2, and the SPI;
 * - the first 8 octets of RANDRr if G is set, else of RANDRkms if I and F are set, else nothing.
 *
 * So two branches of a forked call have different identities if they have different keys. If mkt_host.psk_identity is
 * set, it appends the identity instead.
 * @param cs_id  of the session, or MKT_FIRST_CS
 * @return MKT_OK; MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION; MKT_E_BUFFER; an error of that callback
 */
MKT_API MKT_MUST enum mkt_err mkt_csb_psk_identity(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *identity);

#ifdef __cplusplus
}
#endif
#endif
