/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file connection.h
 * What an offer and its answer say of the TCP and TLS connection of an MSRP or BFCP stream (RFC 4145, 4975, 6135, 6714,
 * 8856): whether to open one, keep it or close it, where it leads to, and whether its key is to be agreed on again.
 *
 * Nothing is opened, resolved or allocated here. All sections of two descriptions take a time linear in their text if
 * you ask for them in their order. Do not rely on the description of the other end until key management has
 * authenticated it, nor on addresses even then: decide yourself whether a host may be connected to.
 *
 * An application keeps one struct mkt_sdp_kept for each stream, in place of the texts of earlier exchanges, and the
 * a=key-mgmt line that it sent last:
 *
 *     struct mkt_sdp_exchange now;
 *     struct mkt_sdp_kept next;
 *     mkt_sdp_exchange_init(&now, &offer, &answer);
 *     now.offerer = true;
 *     err = mkt_connection_decide(&now, &stream->kept, media, &connection, &next);
 *     if (err == MKT_OK)
 *         stream->kept = next;
 *
 * Which line to repeat: an offer that does not re-key repeats this end's a=key-mgmt line of the last exchange that
 * succeeded, even if another line was sent since in an update that was given up (491, 408, CANCEL). Such an exchange
 * has no answer, so it never comes to mkt_connection_decide(), and what was kept still knows the right line by its
 * hash: mkt_connection_keying() of the line gives MKT_KEYING_SAME. If the peer took the update that was given up, the
 * next update brings both ends together again.
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

/**
 * What an application keeps of the last exchange of a stream: hashes of both descriptions, of paths and of a=key-mgmt
 * lines, and no secrets. It has octets alone, without padding: copy them and store them as you like, on any machine.
 * Begin with all zeros, which is that there was no exchange. The fields are the library's own.
 */
struct mkt_sdp_kept {
    uint8_t version;                /**< 0: nothing; 1 */
    uint8_t connection;             /**< 1: there is one */
    uint8_t stream;                 /**< its medium */
    uint8_t active;                 /**< 1: this end connects */
    uint8_t sections;               /**< how many there were, up to 255 */
    uint8_t port[2][2];             /**< MSRP: those in the paths of this end and of the peer */
    uint8_t texts[MKT_SDP_HASH];    /**< of both descriptions */
    uint8_t paths[MKT_SDP_HASH];    /**< of both */
    uint8_t place[MKT_SDP_HASH];    /**< where this end connects to */
    uint8_t mikey[2][MKT_SDP_HASH]; /**< the messages of this end and of the peer; zeros: none */
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
    MKT_KEYING_NONE = 0, /**< the offer has no MIKEY message for it, or the stream is refused: keys stay as they are */
    MKT_KEYING_SAME,     /**< both ends repeat what they sent before, or nothing: take no message, keys stay */
    MKT_KEYING_NEW       /**< run key management: the first time, or to re-key */
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
 * Tells what to do with the connection of a stream after an offer and its answer. The stream is MSRP where the m= line
 * of the offer has `message` and `TCP/TLS/MSRP`, and BFCP where it has `application` and `TCP/TLS/BFCP`.
 *
 * Roles: those of mkt_setup_roles(), from the a=setup of both.
 *
 * Where to: the passive end's c= and m= lines with BFCP; with MSRP the first URI of its a=path, which must be `msrps`
 * over `tcp` (RFC 4975 5.4, 8.3). An active MSRP end whose own description has a=msrp-cema goes by RFC 6714: to c= and
 * m=, but to the a=path of an offerer's peer that is behind a relay with no middlebox before it. Where that RFC wants
 * the address of c= and m= to match a=path, names are not resolved here: a name matches but the same name, so
 * an offerer may be told to offer again where it would not have had to.
 *
 * A second exchange: streams that were and still are wanted keep their connection
 *   - if both ends send the descriptions that they sent before, octet by octet (RFC 3264 section 8: "a no-op");
 *   - with BFCP, if the answer has a=connection:existing, whatever else the two say (RFC 4145 5.1). Without
 *     that attribute the connection is a new one;
 *   - with MSRP, which ignores a=connection, if the a=path of both ends is as it was, by the comparison of RFC 4975
 *     6.1 with port 9 for any, and this end, if it was and is active, still has the same place to connect to.
 * All else replaces it. Re-keying is told apart from that: a connection that is kept goes on with the keys of its
 * handshake, and a new key is for the next handshake, be that a renegotiation or another connection.
 *
 * @param now         the exchange; port 0 in one of the two refuses the stream
 * @param before      what was kept of the exchange before it; all zeros at first
 * @param media       number of the media section, from 0
 * @param connection  out; unchanged after an error. What is not said to be set for an action is 0.
 * @param kept        out: to be kept in place of `before`, which it may be; unchanged after an error
 * @return MKT_OK; MKT_E_ARGUMENT for a wrong size;
 *         MKT_E_MISSING if there is no such media section, or it is neither of the two media over TLS and there is no
 *         connection to be closed; if a=path, or the c= line that says where to connect to, is not there;
 *         MKT_E_SDP if a line that is needed is malformed, a=setup, a=connection or a=path is there twice or is none,
 *         or an address is not of the Internet or of the wrong type;
 *         MKT_E_MANY as mkt_sdp_get();
 *         MKT_E_ROLE if the answer does not answer the offer (number of media sections, m= line, a=setup,
 *         a=connection), if there are fewer media sections than before (RFC 3264 section 8), if it keeps a connection
 *         that is not there, if the passive end gives no address or port to connect to (0.0.0.0, ::, 9, multicast), if
 *         this end's own a=path has several URIs (an end behind a relay connects to that, whatever SDP says, RFC 6135
 *         4.5), or if RFC 6714 4.3 wants the offer refused;
 *         MKT_E_PROTOCOLS if the stream had a MIKEY message before, and the offer re-keys with other protocols (RFC
 *         4567 4.1.2);
 *         MKT_E_STORED if `before` is not what was kept; MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_connection_decide(const struct mkt_sdp_exchange *now,
                                                    const struct mkt_sdp_kept *before, size_t media,
                                                    struct mkt_connection *connection, struct mkt_sdp_kept *kept);

/**
 * Tells from an offer alone whether it re-keys a stream, before there is an answer (RFC 4567 4.1.2). An answerer takes
 * the message of the offer if it does (mkt_sdp_take_offer()), and else repeats the a=key-mgmt line of its last answer.
 * An offerer may ask about its draft, or about the line alone.
 *
 * With the answer, mkt_connection_decide() can still find MKT_KEYING_NEW if this gave MKT_KEYING_SAME: if the answer
 * has another message than before, as another end answers.
 * @param offer    the offer; or an a=key-mgmt line
 * @param media    number of the media section, from 0; or MKT_SDP_SESSION
 * @param offerer  true: this end makes the offer; false: the offer has come
 * @param before   what was kept of the exchange before it; all zeros at first
 * @param keying   out; unchanged after an error
 * @return MKT_OK; MKT_E_MISSING if there is no such media section; MKT_E_SDP; MKT_E_MANY; MKT_E_PROTOCOLS and
 *         MKT_E_STORED as mkt_connection_decide(); MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_connection_keying(struct mkt_sdp *offer, size_t media, bool offerer,
                                                    const struct mkt_sdp_kept *before, enum mkt_keying *keying);

/** The name of an action in lower case, such as "connect" or "offer again"; static; NULL where there is none. */
MKT_API const char *mkt_action_name(enum mkt_action action);

#ifdef __cplusplus
}
#endif
#endif
