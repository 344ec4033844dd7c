/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file host.h
 * All that the library asks of the program that it is linked into. Every callback is synchronous, may be NULL, and then
 * has the default that its line names. The library keeps no other state, has no globals and no init call: objects of
 * one thread need no lock. mbedTLS makes tables at their first use, without a lock: the library has that done when it
 * is loaded, so load it before threads use mbedTLS.
 *
 * Callbacks must not use the bundle that they are called for:
 *
 * - Functions that only read it work, and answer what held before the call.
 * - The bundle is busy: functions that make, take or grant answer MKT_E_STATE, which is not logged. mkt_csb_abandon()
 *   does nothing. mkt_csb_save() does not store that the bundle is busy.
 * - Do not call mkt_csb_free(): a build without NDEBUG ends there with an assertion.
 * - Leave the ticket, the buffers and the message that the call was given alone.
 *
 * A callback may use other bundles.
 */
#ifndef MIKEYTICKET_HOST_H
#define MIKEYTICKET_HOST_H

#include <mikeyticket/payload.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mkt_credential;
struct mkt_policy;
struct mkt_message;
struct mkt_replay;

/** A moment as a 64-bit NTP-UTC timestamp: seconds since 1900 in the upper half, their fraction in the lower. After
 *  7 February 2036 the seconds start again from 0, which RFC 4330 reads as being in the range 1968 to 2104. */
typedef uint64_t mkt_ntp;

/** The party that a bundle is for. */
enum mkt_role { MKT_INITIATOR, MKT_RESPONDER, MKT_KMS };

/**
 * The other end, for the host to say yes or no. All of it is authenticated, with two exceptions: `id` if the policy
 * names no Initiator (see `proven`), and `called` if the peer is the KMS of a Responder.
 */
struct mkt_peer {
    enum mkt_role role;              /**< what the peer is */
    struct mkt_id id;                /**< its identity: of an Initiator IDRi of the policy, or IDRi of the message if
                                          the policy has none; of a Responder IDRr of the answer */
    struct mkt_id called;             /**< the Responder that the TRANSFER_INIT names: a person or a group; a call may
                                          have been retargeted, so it need not be the one who takes it */
    const struct mkt_policy *policy; /**< of the ticket; of a REQUEST_INIT, what is asked for: its KEMAC has the desired
                                          keys (D30), which mkt_csb_requested_key() reads later */
    bool proven;                     /**< False in two cases. If the policy names no Initiator (D21), the sender of the
                                          TRANSFER_INIT has the keys of the ticket, and chose the name `id` itself. If
                                          keys are forked and the ticket was remembered (mkt_host.resolved), another one
                                          who resolved it may be the sender: the peer is `id` if it uses the TEK. True
                                          without forked keys only says that the peer has the keys of the ticket, as
                                          all who resolved it have */
};

/** The octets of stack that the deepest call of libmikeyticket needs, without what your callbacks use. */
enum { MKT_STACK_SIZE = 20 * 1024 };

/** The most octets that a TPK, and a key shared with a KMS, may have. */
enum { MKT_MAX_TPK = 64, MKT_MAX_PSK = 64 };

/** What a KMS knows of a key that it shares with somebody. */
struct mkt_psk {
    struct mkt_buf key;  /**< room of the library's for 16 to MKT_MAX_PSK octets, which wipes them; append there */
    struct mkt_id owner; /**< needed: whose key it is; its octets live until the next call of a callback */
    bool vouches;        /**< the owner is a KMS, and the identity that is asked about is of one of its users, whose
                              RESOLVE_INIT it may pass on (RFC 6043 10); it can't ask for tickets in their name */
};

/** An Error message that came (RFC 6043 5.4). It changes nothing in the bundle: the application decides what to do. */
struct mkt_error_message {
    bool authenticated;                /**< true if its MAC, or the signature of the KMS about a message that was
                                            signed, was verified and its time is no COUNTER. Otherwise anybody
                                            may have sent it: it is only a hint. It does not say about whose message it
                                            is. If G is clear, all Responders of a call have one key, so it may be about
                                            what another one sent. Without a replay cache it may be old, or this party's
                                            own. False at a KMS for errors about its answers, as it keeps no keys of
                                            them */
    uint8_t number;                    /**< the first error number (RFC 3830 6.12, RFC 6043 6.9) */
    const struct mkt_message *message; /**< all of it: more ERR payloads, the SPs that the peer supports */
};

/** A refusal, for the log. Later versions may add members at the end: only the library makes it. No secret is in it. */
struct mkt_log_event {
    enum mkt_err err;   /**< why: mkt_err_text() has a sentence, mkt_err_name() the name */
    int message;        /**< the data type of the message: enum mkt_data_type, or another number that came; -1: none */
    bool taken;         /**< true: the message came; false: it was to be made */
    uint32_t csb_id;    /**< of the bundle; if it has none, of the message that came, not verified; 0: none */
    const char *detail; /**< what is at fault, such as a payload, a flag, an identity, a setting or seconds; empty if
                             `err` says all. Up to 127 characters of printable ASCII. A peer may have chosen the
                             identity, which need not be verified: its other octets are "?". Copy it to keep it */
};

/** The crypto session that a TLS pre-shared key is for. */
struct mkt_psk_session {
    uint32_t csb_id;                /**< the CSB ID, which the branches of a forked call have in common */
    struct mkt_cs cs;               /**< the crypto session */
    struct mkt_id peer;             /**< the other end: mkt_csb_peer() */
    struct mkt_span randr, randkms; /**< RANDRr and RANDRkms of the call; empty if it has none */
};

/**
 * The host. It outlives every object that was made with it. Spans and structs that a callback gets live for the call.
 *
 * A server needs one host for all its calls. In C it may be `static const`, with `.size = sizeof(struct mkt_host)`. In
 * C and C++ it can be filled once at the start:
 *
 * @code
 * #include <mikeyticket.h>
 * #include <string.h>
 *
 * // One key for all tickets of one Initiator.
 * static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy,
 *                              struct mkt_buf *key)
 * {
 *     const struct mkt_id alice = mkt_id_uri("sip:alice@example.com");
 *     (void)id;
 *     if (!mkt_id_equal(&policy->initiator, &alice))
 *         return MKT_E_NO_KEY;
 *     memcpy(key->p, user, 32);
 *     key->n = 32;
 *     return MKT_OK;
 * }
 *
 * static struct mkt_host host;
 *
 * void begin(uint8_t tpk[32])
 * {
 *     mkt_host_init(&host);
 *     host.user = tpk;
 *     host.tpk = find_tpk;
 * }
 * @endcode
 *
 * A function that gets a host of a wrong size answers MKT_E_ARGUMENT, which is not logged.
 *
 * The first argument of a callback is:
 *
 * - `mkt_settings.user` of the bundle that is used, or `user` below if that is NULL;
 * - for a ticket the same if mkt_csb_take_ticket() or mkt_csb_grant() makes it, and `user` below if mkt_ticket_make()
 *   or mkt_ticket_load() does. The ticket keeps this first argument for mkt_ticket_free(): it must outlive the ticket.
 *
 * A bundle can stand in memory that processes share: see mikeyticket/csb.h.
 */
struct mkt_host {
    size_t size; /**< needed: sizeof(struct mkt_host), as mkt_host_init() sets it */
    void *user; /**< first argument of callbacks, unless mkt_settings.user takes its place */

    /** Reads the clock. It must be finer than a second: T is part of the IV of keys, and both ends may send keys at
     *  once. Default: the system's. Error: MKT_E_CLOCK. */
    enum mkt_err (*now)(void *user, mkt_ntp *now);

    /** Writes `n` octets that nobody can guess; default: the kernel's. Error: MKT_E_RANDOM. */
    enum mkt_err (*random)(void *user, uint8_t *out, size_t n);

    /** Returns memory for the one allocation of an object, at an address that is a multiple of 8. NULL if there is
     *  none. Default: malloc. */
    void *(*alloc)(void *user, size_t n);

    /** Takes back what `alloc` returned. The library has wiped it. Default: free. */
    void (*release)(void *user, void *p);

    /**
     * Finds the ticket protection key (A.1). Appends 16 to MKT_MAX_TPK octets to `key`, which the library wipes. `id`
     * is the IDRpsk of the ticket, or NULL if it is left out. Neither `id` nor the policy is verified by then.
     *
     * A KMS calls it, and a Responder if E is clear. If one host serves a KMS and Responders, look at `user` before you
     * return the key of the KMS. Anyone who holds a TPK can forge tickets for any identity. So if an Initiator has the
     * key too (mode 3), check `policy->initiator`: return the key only for tickets of that Initiator.
     *
     * Default: there is no key. Error: MKT_E_NO_KEY.
     */
    enum mkt_err (*tpk)(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key);

    /**
     * A KMS asks for the key that it shares with an Initiator or Responder. `name` is the IDRpsk of the message and
     * `id` its IDRi or IDRr, NULL where they are left out; none of it is verified by then. The library refuses a
     * message whose IDRi or IDRr is not the owner's: answer as owner the one of the identities of that user that the
     * message names, or the user's main one. Default: there are no keys. Error: MKT_E_NO_KEY.
     */
    enum mkt_err (*psk)(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk);

    /**
     * A Responder asks whether it has resolved a ticket before. `ticket` are the octets of the TICKET payload from
     * Ticket Type to Ticket Data, which name it. Appends what mkt_csb_save_resolved() wrote, which the library wipes.
     * With key forking only a KMS can verify who sent a TRANSFER_INIT (Vr): a remembered ticket then serves only calls
     * whose keys are forked TGKs, which the Initiator alone has beside KMS and Responder, so that using them proves it
     * (mkt_peer.proven), and for no COUNTER; for others, and where the ticket was resolved for another identity of this
     * host, the KMS is asked. Default: no ticket is remembered. Error: MKT_E_NO_KEY.
     */
    enum mkt_err (*resolved)(void *user, struct mkt_span ticket, struct mkt_buf *octets);

    /**
     * Opens a ticket that is not a MIKEY base ticket, or has no O flag (RFC 6043 6.10, 11): verifies a TICKET payload,
     * and appends its keys as the chain MPKi, [MPKr], {TEK|TGK|GTGK} of Key data payloads, which the library checks and
     * wipes. A KMS calls it, and a Responder if E is clear, before it asks its KMS. An Initiator needs it only to use a
     * ticket without N, and never calls it. With N for the Initiator, and with O for a Responder that has a KMS,
     * tickets of any type are used without it (D24). Default: other tickets are refused. Errors: MKT_E_NO_KEY if only a
     * KMS can open the ticket, MKT_E_TICKET_TYPE, MKT_E_TICKET_MAC.
     */
    enum mkt_err (*open)(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                         struct mkt_buf *keys);

    /**
     * The other way: appends the Ticket Data of a ticket of a type of the host's own, for a policy and keys in that
     * form; up to 4,000 octets. Default: such tickets are not made. Error: MKT_E_TICKET_TYPE.
     */
    enum mkt_err (*seal)(void *user, const struct mkt_policy *policy, struct mkt_span keys,
                         struct mkt_buf *ticket_data);

    /**
     * Returns true if `id` belongs to the group that the ticket policy names as a responder; default: false. A
     * Responder asks about itself before the policy is verified, and about IDRr of the RESOLVE_RESP before that is
     * verified.
     */
    bool (*member)(void *user, const struct mkt_id *id, const struct mkt_id *group);

    /**
     * Returns true if a security policy is acceptable. The other end offers or chose it (RFC 6043 4.2.2.2, 4.2.2.4), or
     * this party is about to offer or choose it. A Responder asks before the message is verified. Default: true for a
     * policy without parameters, as for TLS.
     */
    bool (*acceptable)(void *user, const struct mkt_sp *sp);

    /**
     * Has the last word on a peer that the ticket policy allows; default: MKT_OK. Look at `peer->role` first. An
     * Initiator and a Responder also ask about their KMS, with the role MKT_KMS, when they take its answer: return
     * MKT_OK if your rules are about calls only.
     *
     * If the policy names no Initiator, a Responder takes a TRANSFER_INIT only if this callback is there and says yes
     * (D21); nothing proves `peer->id` then, and a COUNTER is refused. An Initiator asks about its Responder when it
     * takes the TRANSFER_RESP, without F when it takes the first message of an update: compare `peer->id` with
     * `peer->called`, as another responder of the policy may have answered.
     *
     * With key forking (I) an Initiator also asks about a Responder that neither was asked for nor is in the policy,
     * such as a member of the group that was called: the KMS let it resolve the ticket, and nothing else speaks for it.
     * Return MKT_E_DENIED unless you know that it may answer. Without this callback such a Responder is refused (D26).
     * Error: MKT_E_DENIED.
     */
    enum mkt_err (*authorise)(void *user, const struct mkt_peer *peer);

    /**
     * The replay cache (RFC 3830 5.4): remembers `tag`, 32 octets, up to and including the moment `until`. The library
     * asks it last, once everything else about the message is right. It also has to remember the TRANSFER_INIT,
     * TRANSFER_RESP and Error messages that this party makes (D21, D27). Default: `cache`. Errors: MKT_E_REPLAY for a
     * tag that it holds already, MKT_E_CACHE_FULL.
     *
     * A KMS must have this or `cache`. The keys of its answer come from the question (RFC 6043 5.1.2), and two answers
     * at one moment would encrypt different keys under one IV. Let all processes of a KMS share one cache.
     */
    enum mkt_err (*replay)(void *user, struct mkt_span tag, mkt_ntp until);

    /**
     * Looks into the same cache as `replay` without remembering the tag, so that a replayed TRANSFER_INIT does not
     * make a Responder ask its KMS. The tag is not authenticated. Default with `replay`: nothing is looked up. Errors:
     * MKT_E_REPLAY for a tag that the cache holds.
     */
    enum mkt_err (*replay_peek)(void *user, struct mkt_span tag, mkt_ntp until);

    /** The library's own replay cache (mikeyticket/replay.h), for all threads and processes; default: none. */
    const struct mkt_replay *cache;

    /**
     * The next value of this party's own counter, for COUNTER timestamps; for keys of an update asked until the value
     * is one that no keys of the peer's had (mkt_csb_make_update()). Default: there are none. Error: MKT_E_COUNTER.
     */
    enum mkt_err (*counter_next)(void *user, uint32_t *value);

    /**
     * Whether `value` is fresh as the counter of a peer, whose message is authenticated by then. Default: COUNTER
     * timestamps are refused. Errors: MKT_E_STALE, MKT_E_REPLAY. The replay cache holds no message with a COUNTER: each
     * replay of such a TRANSFER_INIT makes a Responder ask its KMS before this is called. Limit the rate of those.
     *
     * Not called if a ticket policy names no Initiator: a COUNTER is refused then, as the sender chose the name `peer`
     * itself and could use up the counters of another one (D21).
     *
     * Called for initial messages alone: the counter of an answer may be that of the question (RFC 6043 4.2.2.3). So an
     * update that somebody held back is taken after a newer answer of its sender. With the clock it is MKT_E_STALE.
     */
    enum mkt_err (*counter_check)(void *user, const struct mkt_id *peer, uint32_t value);

    /**
     * Appends a TLS PSK identity of the host's own for a crypto session, in place of the one of mkt_csb_psk_identity().
     * If one call may be forked, use a RAND in it: all else can be the same in two branches. Error: MKT_E_BUFFER.
     */
    enum mkt_err (*psk_identity)(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity);

    /** Called for each Error message that the bundle takes, before the function that takes it returns an error of the
     *  class MKT_CLASS_REPORTED. Optional. */
    void (*error)(void *user, const struct mkt_error_message *report);

    /** Called for each message, bundle or ticket that is refused; optional. Not called for calls that a callback makes
     *  with the bundle that it is called for. */
    void (*log)(void *user, const struct mkt_log_event *event);

    /**
     * Returns true if `initiator`, this party, has a bundle of that CSB ID with `responder` already (RFC 3830 6.1: "An
     * Initiator MUST check for collisions"). Called before a TRANSFER_INIT is made or measured, for each CSB ID that is
     * drawn, until it returns false. `responder` is the one that is called. If another one may answer (a group, a
     * retargeted call), look at the bundles of `initiator` with anybody. If several processes make calls for one
     * identity, look at the bundles of all of them: a list of the CSB IDs in use is enough. Default: false.
     */
    bool (*has_csb_id)(void *user, const struct mkt_id *initiator, const struct mkt_id *responder, uint32_t csb_id);

    /**
     * A KMS asks who resolves the ticket of a RESOLVE_INIT (RFC 6043 section 10). The message is authenticated. The
     * TICKET payload, its policy and `name`, the IDRpsk of a MIKEY base ticket or NULL, are not verified; IDRkms may be
     * left out of the policy. If another KMS issued the ticket, set `*other` to the credential that this KMS shares
     * with it: the RESOLVE_INIT is passed on, once. Leave `*other` NULL for a ticket of this KMS.
     *
     * Called again for each later message of the exchange: answer the same. The credential must stay valid until the
     * bundle has answered. Default: a ticket whose IDRkms is absent or `mkt_settings.self` is of this KMS; one whose
     * IDRkms is that of mkt_settings.kms is passed on; others are refused. Error: MKT_E_KMS.
     */
    enum mkt_err (*forward)(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                            const struct mkt_id *name, const struct mkt_credential **other);
};

/** Clears a host and sets its size. */
static inline void mkt_host_init(struct mkt_host *host)
{
    memset(host, 0, sizeof *host);
    host->size = sizeof *host;
}

/**
 * Returns an identity of type URI from a C string, which it points to.
 *
 * The library compares identities octet by octet. Normalise each URI before you give it to the library (RFC 3261
 * 19.1.4): write scheme and host in lower case, leave out default ports and parameters that name no user, and decode
 * characters that need no escape. Do it the same way at all parties. A ticket for "sip:bob@EXAMPLE.com" is no ticket
 * for "sip:bob@example.com": the Responder refuses the call with MKT_E_RESPONDER.
 */
MKT_API struct mkt_id mkt_id_uri(const char *uri);

/** An identity of type byte string, which names a pre-shared key, from a C string. */
MKT_API struct mkt_id mkt_id_bytes(const char *bytes);

/** Whether two identities are the same: type and octets; the role is not looked at. */
MKT_API bool mkt_id_equal(const struct mkt_id *a, const struct mkt_id *b);

/** A moment from seconds since 1970 (UTC, 1968 to 2104). */
MKT_API mkt_ntp mkt_ntp_from_unix(int64_t seconds);

/** Whether `a` is before `b`, both read as being in the range 1968 to 2104 (RFC 4330 section 3, RFC 6043 6.3). */
MKT_API bool mkt_ntp_before(mkt_ntp a, mkt_ntp b);

#ifdef __cplusplus
}
#endif
#endif
