/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file sdp.h
 * MIKEY messages in SDP and RTSP (RFC 4567), and the roles of both ends on TCP and TLS (RFC 4145, 6135, 8856).
 *
 * This is no SDP library. It takes a whole description (RFC 8866), finds what MIKEY and its streams need, and leaves
 * the rest alone. It allocates nothing. mkt_sdp_parse() reads a description once, and the other functions look in its
 * result:
 *
 * @code
 * #include <mikeyticket.h>
 *
 * // Reads the a=setup of up to `n` media sections.
 * enum mkt_err read_setups(struct mkt_span text, enum mkt_setup setup[], size_t n)
 * {
 *     struct mkt_sdp sdp;
 *     enum mkt_err err = mkt_sdp_parse(&sdp, text);
 *     for (size_t media = 0; err == MKT_OK && media < sdp.sections && media < n; media++)
 *         err = mkt_setup_parse(&sdp, media, &setup[media]);
 *     return err;
 * }
 * @endcode
 *
 * The time is linear in the text if you ask for the sections in their order or from the last to the first. You may leave
 * some out. Each line is looked at twice at most: when mkt_sdp_parse() checks it, and when its section is read. After
 * that, mkt_sdp_attribute() looks at the lines that it passes. A section is read again if you asked for another one in
 * between. In any other order, each change of the section also searches a twelfth of the text at most.
 *
 * A text in which two readers could see different lines is refused. That is: a NUL, a CR that ends no line, a line that
 * is not `<type>=<value>` with a type letter of RFC 8866, or an empty line. Lines end with CRLF or LF. The last line
 * may lack its end, or one empty line may follow it.
 *
 * A key-mgmt, setup or connection attribute and a c= line of a media section replace all of that name at session level,
 * for that section (RFC 4567 3.1, RFC 8866 5.7).
 */
#ifndef MIKEYTICKET_SDP_H
#define MIKEYTICKET_SDP_H

#include <mikeyticket/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** In place of the number of a media section: the session level alone. */
#define MKT_SDP_SESSION SIZE_MAX

/** The longest list of key management protocols of a level, in octets. */
#define MKT_SDP_MAX_PROTOCOLS 128

/** The library's own: in so many parts of a text the media sections are counted. */
#define MKT_SDP_PARTS 12

/** Octets of a hash that is kept. */
#define MKT_SDP_HASH 32

/** The library's own: a hash, once it was needed. */
struct mkt_sdp_hash {
    bool done;
    uint8_t octets[MKT_SDP_HASH];
};

/** The library's own: lines and attributes that it knows. */
enum mkt_sdp_name {
    MKT_SDP_KEY_MGMT,
    MKT_SDP_SETUP,
    MKT_SDP_CONNECTION,
    MKT_SDP_PATH,
    MKT_SDP_MSRP_CEMA,
    MKT_SDP_M_LINE,
    MKT_SDP_C_LINE,
    MKT_SDP_NAMES
};

/** The library's own: the lines of the session level or of a media section. */
struct mkt_sdp_level {
    struct mkt_span lines;
    struct {
        struct mkt_span value; /**< of the first; `p` NULL: there is none */
        bool wrong;            /**< there are several, or `a=name:` has no value */
    } field[MKT_SDP_NAMES];
    enum mkt_err key_mgmt_err; /**< an attribute for key management is malformed */
    struct mkt_span mikey;     /**< the base64 of the message */
    struct mkt_sdp_hash mikey_hash;
    size_t n_protocols;
    uint8_t protocols[MKT_SDP_MAX_PROTOCOLS];
};

/**
 * A description that was parsed. It lives in the caller's memory, needs no clean-up, and views the text. Its only field
 * for the caller is `sections`.
 */
struct mkt_sdp {
    size_t sections; /**< how many media sections the description has */
    struct mkt_span text;
    struct mkt_sdp_hash text_hash;
    size_t media; /**< number of the section that was read last; MKT_SDP_SESSION: none */
    struct mkt_sdp_level session, section;
    size_t begun[MKT_SDP_PARTS]; /**< how many sections begin in each part of the text */
    struct mkt_sdp_hash pair;    /**< of this text and of that of the other end */
    bool is_own;                 /**< in `pair` it is the text of this end */
    void *spare[11 - (sizeof(struct mkt_sdp_hash) + sizeof(bool) + sizeof(void *) - 1) /
                         sizeof(void *)]; /**< for later versions */
};

/**
 * Parses a description.
 * @param sdp   out; after an error it has no section
 * @param text  a whole description, which must outlive `sdp`; or just the line that mkt_sdp_key_mgmt_encode() wrote
 * @return MKT_OK; MKT_E_SDP
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_parse(struct mkt_sdp *sdp, struct mkt_span text);

/**
 * Writes the attribute line `a=key-mgmt:mikey <base64>`, without CRLF (RFC 4567 3.1).
 * @param message  a MIKEY message, at least one octet
 * @param out      the line is appended; with `p` NULL it is measured
 * @return MKT_OK; MKT_E_ARGUMENT if the message is empty; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_key_mgmt_encode(struct mkt_span message, struct mkt_buf *out);

/**
 * Finds the MIKEY message for a media section and decodes it (RFC 4567 3.1, 4.1.1). If the section has any key-mgmt
 * attribute, of whatever protocol, those of the session level are ignored. An attribute that is malformed, or a second
 * one for mikey, is refused and never passed over. The protocol identifier is case sensitive. The data of other
 * protocols is not looked at.
 *
 * Sections without an attribute of their own share the session's message: take it once for all of them.
 * mkt_sdp_crypto_session() tells which crypto session belongs to which section.
 * @param media    number of the media section, from 0; or MKT_SDP_SESSION
 * @param message  the message is appended; with `p` NULL it is measured
 * @return MKT_OK; MKT_E_MISSING if no attribute for mikey applies or there is no such media section; MKT_E_SDP;
 *         MKT_E_TOO_MANY if the list of protocols is longer than MKT_SDP_MAX_PROTOCOLS; MKT_E_BASE64 for all that is
 *         not base64 by the letter; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_key_mgmt_decode(struct mkt_sdp *sdp, size_t media, struct mkt_buf *message);

/**
 * Appends the list of key management protocols for a media section, such as `mikey;keyp1` (RFC 4567 4.1.4): the
 * identifiers of all attributes of the level that mkt_sdp_key_mgmt_decode() would look at, in their order. A message
 * must authenticate this list (`SDP IDs`), so that nobody can take the stronger offers out. The offerer asks for the
 * list of the description that it is about to send, in which any octet may stand for the data of mikey.
 * @param media  number of the media section, from 0; or MKT_SDP_SESSION
 * @param list   the list is appended, nothing if no attribute applies; with `p` NULL it is measured
 * @return MKT_OK; MKT_E_MISSING if there is no such media section; MKT_E_SDP, also if mikey is there twice;
 *         MKT_E_TOO_MANY; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_protocols(struct mkt_sdp *sdp, size_t media, struct mkt_buf *list);

/** An m= line, and the c= line for it (RFC 8866 5.14, 5.7). Spans point into the description. */
struct mkt_sdp_media {
    struct mkt_span media;    /**< such as "message" or "application" */
    uint16_t port;            /**< 0: the stream is refused; 9: the other end is to be connected to */
    struct mkt_span proto;    /**< such as "TCP/TLS/MSRP" or "TCP/TLS/BFCP" */
    struct mkt_span nettype;  /**< "IN" for the Internet; none if there is no c= line */
    struct mkt_span addrtype; /**< such as "IP4"; likewise */
    struct mkt_span address;  /**< as it stands: an IP address or a host name, for multicast with "/ttl" */
};

/**
 * Reads the m= line of a media section, and its c= line or else that of the session level.
 * @param nth    number of the media section, from 0
 * @param media  out; unchanged after an error
 * @return MKT_OK; MKT_E_MISSING if there is no such media section; MKT_E_SDP if one of the two lines is malformed, or
 *         there is more than one c= line
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_media_parse(struct mkt_sdp *sdp, size_t nth, struct mkt_sdp_media *media);

/**
 * Finds the next attribute of a name, in a media section or at session level, and not in both: if an attribute of
 * session level is for all sections (RFC 8866 5.13), ask for it once. For example, to read each floorid:
 *
 * @code
 * #include <mikeyticket.h>
 *
 * size_t count_floors(struct mkt_sdp *sdp, size_t media)
 * {
 *     struct mkt_span floor = {NULL, 0};
 *     size_t n = 0;
 *     while (mkt_sdp_attribute(sdp, media, "floorid", &floor) == MKT_OK && floor.p != NULL)
 *         n++;
 *     return n;
 * }
 * @endcode
 *
 * @param media  number of the media section, from 0; or MKT_SDP_SESSION
 * @param name   of the attribute, such as "path" or "floorid"; case sensitive
 * @param value  in: the value that was found before, or `p` NULL to begin; out: the next one, which is what follows the
 *               colon. If there is none, `p` is NULL. If the attribute has no value, `n` is 0 and `p` is not NULL.
 *               Unchanged after an error.
 * @return MKT_OK; MKT_E_ARGUMENT if the name can't be one, or the value before is not of this level; MKT_E_MISSING if
 *         there is no such media section; MKT_E_SDP for `a=name:` without anything after the colon
 */
MKT_API MKT_MUST enum mkt_err mkt_sdp_attribute(struct mkt_sdp *sdp, size_t media, const char *name,
                                                struct mkt_span *value);

/** A MIKEY message and the stream it is for, in an RTSP header. */
struct mkt_keymgmt {
    struct mkt_span uri;     /**< of the session or media (RFC 3986); empty: the request URI's context */
    struct mkt_span message; /**< at least one octet */
};

/**
 * Writes the RTSP header `KeyMgmt: prot=mikey; uri="..."; data="..."`, without CRLF (RFC 4567 3.2 and 5.3; the grammar
 * of 3.2 has lost data). More than one spec are separated by commas.
 * @param spec  at least one, no two of the same URI
 * @param n     how many
 * @param out   the header is appended; with `p` NULL it is measured
 * @return MKT_OK; MKT_E_ARGUMENT if there is no spec, a message is empty, a URI has an octet that a URI can't have,
 *         or two are the same; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_keymgmt_encode(const struct mkt_keymgmt spec[], size_t n, struct mkt_buf *out);

/**
 * Finds the MIKEY message for a URI in an RTSP header and decodes it (RFC 4567 3.2, 4.2). "the RTSP URI SHALL match a
 * (session or media) URI present in the description": ask for each of those, and for none. Names are read in any case,
 * the protocol identifier and the URI octet by octet; folded lines are read as RTSP folds them.
 * @param header   the whole header with its name, with or without its final line end
 * @param uri      empty: the spec without a URI or with `uri=""`, for the context of the request URI
 * @param message  the message is appended; with `p` NULL it is measured
 * @return MKT_OK; MKT_E_MISSING if there is none for mikey and that URI; MKT_E_SDP if the header is malformed
 *         anywhere, or has two of them; MKT_E_BASE64; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_keymgmt_decode(struct mkt_span header, struct mkt_span uri, struct mkt_buf *message);

/** What an end says of the TCP connection: `a=setup` (RFC 4145 section 4). */
enum mkt_setup {
    MKT_SETUP_ABSENT = 0, /**< no attribute: active in an offer, passive in an answer */
    MKT_SETUP_ACTIVE,     /**< it will connect */
    MKT_SETUP_PASSIVE,    /**< it will accept */
    MKT_SETUP_ACTPASS,    /**< it does either; in an offer only */
    MKT_SETUP_HOLDCONN    /**< no connection for the time being */
};

/** Whose rules decide on TLS. */
enum mkt_stream {
    MKT_STREAM_MSRP, /**< the active end is TLS client; holdconn counts as absent (RFC 6135 4.2.1, section 6) */
    MKT_STREAM_BFCP  /**< the answerer is TLS server, whoever connected (RFC 8856 section 8) */
};

/** What one end does on a connection. */
enum mkt_end {
    MKT_END_NONE = 0, /**< there is no connection (holdconn) */
    MKT_END_CLIENT,   /**< it connects, it sends the ClientHello */
    MKT_END_SERVER
};

/** The roles of one end; with BFCP they can differ. */
struct mkt_roles {
    enum mkt_end tcp;
    enum mkt_end tls;
};

/** The value of `a=setup:` to write, such as "active"; static; NULL for MKT_SETUP_ABSENT. */
MKT_API const char *mkt_setup_name(enum mkt_setup setup);

/**
 * Reads the a=setup for a media section, there or else at session level (RFC 4145 section 4).
 * @param media  number of the media section, from 0; or MKT_SDP_SESSION
 * @param setup  out; unchanged after an error
 * @return MKT_OK; MKT_E_MISSING if there is no such media section; MKT_E_SDP if the value is none of the four, or there
 *         is more than one at that level
 */
MKT_API MKT_MUST enum mkt_err mkt_setup_parse(struct mkt_sdp *sdp, size_t media, enum mkt_setup *setup);

/**
 * Chooses the answer to an offer (RFC 4145 4.1).
 * @param stream  MSRP or BFCP
 * @param offer   what the offer says
 * @param able    what the answerer can do. MKT_SETUP_ACTPASS: it can connect and accept; if it may choose, it accepts
 *                (RFC 6135 4.2.2). MKT_SETUP_HOLDCONN: not for MSRP, which must not send it
 * @param answer  out: MKT_SETUP_ACTIVE, _PASSIVE or _HOLDCONN; unchanged after an error
 * @return MKT_OK; MKT_E_ROLE if the answerer can't do what the offer leaves to it
 */
MKT_API MKT_MUST enum mkt_err mkt_setup_answer(enum mkt_stream stream, enum mkt_setup offer, enum mkt_setup able,
                                               enum mkt_setup *answer);

/**
 * The TCP and TLS roles that an offer and its answer give to one end (RFC 4145 4.1, RFC 6135 section 6, RFC 8856
 * section 8). They say nothing if the answer has `a=connection:existing`: then the connection stays as it is
 * (RFC 4145 section 5.1; MSRP ignores that attribute, RFC 6135 4.4). mkt_connection_decide() of connection.h heeds
 * that attribute and all else that two descriptions say of a connection.
 * @param stream   MSRP or BFCP
 * @param offer    what the offer says
 * @param answer   what the answer says
 * @param offerer  true: the roles of the offerer; false: those of the answerer
 * @param roles    out; unchanged after an error
 * @return MKT_OK; MKT_E_ROLE if RFC 4145 does not allow that answer to that offer
 */
MKT_API MKT_MUST enum mkt_err mkt_setup_roles(enum mkt_stream stream, enum mkt_setup offer, enum mkt_setup answer,
                                              bool offerer, struct mkt_roles *roles);

#ifdef __cplusplus
}
#endif
#endif
