/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file connection.h
 * The TCP and TLS connection of an MSRP or BFCP stream, from an offer and its answer (RFC 4145, 4975, 6135, 6714,
 * 8856): whether to open, keep or close it, where it leads to, and whether to agree on a new key.
 *
 * Nothing is opened, resolved or allocated here. The time is linear in the two texts if you ask for the sections in
 * their order. Do not rely on the description of the other end until key management has authenticated it. Even then
 * decide yourself whether a host may be connected to.
 *
 * An application keeps two things for each stream of each dialog: a struct mkt_sdp_kept, and the a=key-mgmt line to
 * repeat. It needs no text of earlier exchanges:
 *
 * @code
 * #include <mikeyticket.h>
 *
 * // After an offer of this end and its answer. `kept` is zero before the first exchange.
 * enum mkt_err answered(struct mkt_csb *csb, struct mkt_sdp *offer, struct mkt_sdp *answer, size_t media,
 *                       struct mkt_sdp_kept *kept, struct mkt_connection *connection)
 * {
 *     struct mkt_sdp_exchange now;
 *     struct mkt_sdp_kept next;
 *     mkt_sdp_exchange_init(&now, offer, answer);
 *     now.offerer = true;
 *     enum mkt_err err = mkt_connection_decide(&now, kept, media, connection, &next);
 *     if (err == MKT_OK && connection->keying == MKT_KEYING_NEW)
 *         err = mkt_sdp_take_answer(csb, answer, media);
 *     if (err == MKT_OK)
 *         *kept = next;
 *     return err;
 * }
 * @endcode
 *
 * Which line to repeat
 * --------------------
 * An offer that does not re-key repeats this end's line of the last exchange that succeeded. That is not always the
 * line that was sent last: an update can be given up (491, 408, CANCEL). Such an update has no answer, so nothing is
 * kept of it, and the next offer repeats the line of the exchange before.
 *
 * Keep the line together with the struct mkt_sdp_kept, at the same moment. If several lines are at hand, pass each to
 * mkt_connection_keying() with MKT_SDP_SESSION: the line to repeat gives MKT_KEYING_SAME, as its hash is in what was
 * kept.
 *
 * If the peer took the update that was given up, both ends have different keys until the next update.
 *
 * Order of the calls in a re-INVITE
 * ---------------------------------
 * The offerer:
 * 1. Make the line: mkt_sdp_make_update() to re-key, or the line to repeat.
 * 2. Parse the answer, and call mkt_connection_decide() with room of its own for `kept`.
 * 3. If `keying` is MKT_KEYING_NEW, call mkt_sdp_take_answer(). Otherwise take nothing.
 * 4. If that succeeded, keep the new `kept` and the line.
 *
 * The answerer:
 * 1. Call mkt_connection_keying() with the offer.
 * 2. If it gives MKT_KEYING_NEW, call mkt_sdp_take_offer() and mkt_sdp_make_answer(). Otherwise repeat the line.
 * 3. Call mkt_connection_decide() with room of its own for `kept`, and send the 200.
 * 4. When the ACK comes, keep the new `kept` and the line.
 *
 * If no ACK comes, keep those of before. An UPDATE (RFC 3311) has no ACK: keep the new ones with its 200.
 *
 * If the answerer has kept the new ones and the 200 was lost, the line that the offerer repeats looks new to it. It
 * refuses that message, such as with MKT_E_MAC. Then the offerer must re-key.
 */
#ifndef MIKEYTICKET_CONNECTION_H
#define MIKEYTICKET_CONNECTION_H

#include <mikeyticket/sdp.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An offer and its answer (RFC 3264), as one of the two ends holds them. */
struct mkt_sdp_exchange {
    size_t size;  /**< needed: sizeof(struct mkt_sdp_exchange), as mkt_sdp_exchange_init() sets it */
    bool offerer; /**< true: this end made the offer; false: it made the answer */
    bool ended;   /**< the connection of the exchange before is no longer there: it can't be kept or closed */
    struct mkt_sdp *offer;
    struct mkt_sdp *answer;
};

/** Clears an exchange, and sets its size, the offer and the answer. */
static inline void mkt_sdp_exchange_init(struct mkt_sdp_exchange *exchange, struct mkt_sdp *offer,
                                         struct mkt_sdp *answer)
{
    memset(exchange, 0, sizeof *exchange);
    exchange->size = sizeof *exchange;
    exchange->offer = offer;
    exchange->answer = answer;
}

/** The octets of struct mkt_sdp_kept, in this version and in later ones. */
enum { MKT_SDP_KEPT = 256 };

/**
 * The state of a stream after its last exchange: hashes of both descriptions, of their paths and of their MIKEY
 * messages. It holds no secret, and an application may copy it to any machine. Begin with all zeros: no exchange yet.
 */
struct mkt_sdp_kept {
    uint8_t octets[MKT_SDP_KEPT];
};

/** What to do with the connection of a stream. */
enum mkt_action {
    MKT_ACTION_NOTHING = 0, /**< there is none, and none is wanted (port 0, holdconn) */
    MKT_ACTION_CONNECT,     /**< connect to the address and port */
    MKT_ACTION_LISTEN,      /**< await the other end at the address and port, which are this end's own */
    MKT_ACTION_KEEP,        /**< the connection of the exchange before goes on, with its roles and its keys */
    MKT_ACTION_CLOSE,       /**< the connection of the exchange before is to be closed, and none is wanted */
    MKT_ACTION_OFFER_AGAIN  /**< the offerer must send a new offer without a=msrp-cema (RFC 6714 4.2) */
};

/** What to do about the key of a stream (RFC 4567 4.1.2). */
enum mkt_keying {
    MKT_KEYING_NONE = 0, /**< keep the keys: the offer has no MIKEY message, or the stream is refused */
    MKT_KEYING_SAME,     /**< keep the keys and take no message: each end repeats its message, or sends none */
    MKT_KEYING_NEW       /**< take the messages: the first key, or a new one */
};

/** The connection of a stream. Spans are valid as long as the descriptions. */
struct mkt_connection {
    size_t media;           /**< number of the media section, which is the stream */
    enum mkt_stream stream; /**< its medium, by its m= line */
    enum mkt_action action;
    bool replaces;            /**< CONNECT, LISTEN, OFFER_AGAIN: close the connection of the exchange before */
    enum mkt_end tls;         /**< CONNECT, LISTEN: TLS client or server; with BFCP that is not the TCP role */
    struct mkt_span addrtype; /**< CONNECT, LISTEN: "IP4" or "IP6", static or of the c= line; none of a name in a URI */
    struct mkt_span address;  /**< CONNECT, LISTEN: an IP address without brackets, or a host name to be resolved */
    uint16_t port;            /**< CONNECT, LISTEN: neither 0 nor 9 */
    struct mkt_span session;  /**< MSRP: the session-id of this end's URI, which requests from the peer are sent to */
    struct mkt_span peer;     /**< MSRP: the session-id of the peer's URI */
    enum mkt_keying keying;
};

/**
 * Decides what to do with the connection of a stream after an offer and its answer. The m= line of the offer tells the
 * medium: MSRP if it has `message` and `TCP/TLS/MSRP`, BFCP if it has `application` and `TCP/TLS/BFCP`.
 *
 * Roles: mkt_setup_roles() of the a=setup of both.
 *
 * The address and port to connect to:
 *   - BFCP: the c= and m= lines of the passive end;
 *   - MSRP: the first URI in the a=path of the passive end, which must be `msrps` over `tcp` (RFC 4975 5.4, 8.3);
 *   - MSRP, if this end is active and its own description has a=msrp-cema: the c= and m= lines (RFC 6714). An offerer
 *     goes by the a=path of a peer that is behind a relay, if no middlebox is before that.
 *
 * RFC 6714 compares the address of c= and m= with a=path. Names are not resolved here, so a name matches only the same
 * name. An offerer may have to offer again for that reason alone.
 *
 * A stream that was wanted and still is keeps its connection in these cases:
 *   - both ends send the descriptions that they sent before, octet by octet (RFC 3264 section 8: "a no-op");
 *   - BFCP: the answer has a=connection:existing, whatever else the two say (RFC 4145 5.1);
 *   - MSRP, which ignores a=connection: the a=path of both ends is the same by RFC 4975 6.1, where port 9 is any port.
 *     An end that was active and still is must have the same place to connect to.
 *
 * In all other cases a new connection replaces it. Re-keying is another question: a connection that is kept goes on
 * with the keys of its handshake. A new key is for the next handshake, be that a renegotiation or another connection.
 *
 * @param now         the exchange; port 0 in one of the two refuses the stream
 * @param before      what was kept of the exchange before it; all zeros at first
 * @param media       number of the media section, from 0
 * @param connection  out; unchanged after an error. What is not said to be set for an action is 0.
 * @param kept        out: to be kept in place of `before`, which it may be; unchanged after an error
 * @return
 *   - MKT_OK
 *   - MKT_E_ARGUMENT: `size` is wrong
 *   - MKT_E_MISSING: there is no such media section; it is neither MSRP nor BFCP over TLS, and there is no connection
 *     to close; a=path is missing, or the c= line that says where to connect to
 *   - MKT_E_SDP: a line that is needed is malformed; a=setup, a=connection or a=path is there twice; an address is of
 *     the wrong type, or not of the Internet
 *   - MKT_E_ROLE: the answer does not fit the offer (number of media sections, m= line, a=setup, a=connection); there
 *     are fewer media sections than before (RFC 3264 section 8); the answer keeps a connection that is not there; the
 *     passive end gives no address or port (0.0.0.0, ::, 9, multicast); this end's own a=path has several URIs, as an
 *     end behind a relay connects to that relay (RFC 6135 4.5); RFC 6714 4.3 wants the offer refused
 *   - MKT_E_PROTOCOLS: the stream had a MIKEY message before, and the offer re-keys with other protocols (RFC 4567
 *     4.1.2)
 *   - MKT_E_TOO_MANY: as mkt_sdp_key_mgmt_decode()
 *   - MKT_E_STORED: `before` is not what was kept
 *   - MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_connection_decide(const struct mkt_sdp_exchange *now,
                                                    const struct mkt_sdp_kept *before, size_t media,
                                                    struct mkt_connection *connection, struct mkt_sdp_kept *kept);

/**
 * Tells from an offer alone whether it re-keys a stream, before there is an answer (RFC 4567 4.1.2):
 *   - the answerer: if the offer re-keys, take its message (mkt_sdp_take_offer()). If not, take nothing, and repeat
 *     this end's a=key-mgmt line of the last exchange that succeeded;
 *   - the offerer: ask about a draft, or about the line alone.
 *
 * The form of the lines that mkt_connection_decide() will need of a section of MSRP or BFCP is checked, too: a=setup,
 * a=path, a=connection. So a malformed offer is refused before a KMS is asked about its key. Whether there is an address
 * to connect to depends on the answer: mkt_connection_decide() tells.
 *
 * After MKT_KEYING_SAME, mkt_connection_decide() can still find MKT_KEYING_NEW: the answer has another message than
 * before if another end answers.
 * @param offer    the offer; or an a=key-mgmt line
 * @param media    number of the media section, from 0; or MKT_SDP_SESSION
 * @param offerer  true: this end makes the offer; false: the offer has come
 * @param before   what was kept of the exchange before it; all zeros at first
 * @param keying   out; unchanged after an error
 * @return MKT_OK; MKT_E_MISSING if there is no such media section, or MSRP has no a=path; MKT_E_SDP; MKT_E_TOO_MANY;
 *         MKT_E_PROTOCOLS and MKT_E_STORED as mkt_connection_decide(); MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_connection_keying(struct mkt_sdp *offer, size_t media, bool offerer,
                                                    const struct mkt_sdp_kept *before, enum mkt_keying *keying);

/** Returns the name of an action in lower case, such as "connect" or "offer again"; static; NULL if there is none. */
MKT_API const char *mkt_action_name(enum mkt_action action);

#ifdef __cplusplus
}
#endif
#endif
