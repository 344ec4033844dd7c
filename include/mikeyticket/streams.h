/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file streams.h
 * The media streams of a server (MRFP) that wait for their TLS connection or have it, each with a key of its own (3GPP
 * TS 23.333 5.20.2), in libmikeyticket-tls. One server configuration serves all of them:
 *
 * @code
 * #include <mikeyticket/streams.h>
 *
 * // Once, and for each listener. `settings->end` is not looked at.
 * enum mkt_err begin(struct mkt_streams **streams, const struct mkt_streams_settings *streams_settings,
 *                    mbedtls_ssl_config *conf, struct mkt_tls *tls, const struct mkt_tls_settings *settings)
 * {
 *     const enum mkt_err err = mkt_streams_new(streams, streams_settings);
 *     return err == MKT_OK ? mkt_streams_server(*streams, conf, tls, settings) : err;
 * }
 *
 * // When the MRFC has the key of a stream. Its first crypto session has CS ID 1.
 * enum mkt_err expect(struct mkt_streams *streams, uint64_t stream, const struct mkt_csb *csb)
 * {
 *     return mkt_streams_add_csb(streams, stream, csb, 1);
 * }
 *
 * // When TCP is up. The PSK identity tells which stream a connection is for.
 * bool accepted(struct mkt_streams *streams, mbedtls_ssl_context *ssl, const mbedtls_ssl_config *conf)
 * {
 *     return mkt_streams_bind(streams, ssl, NULL) == MKT_OK && mbedtls_ssl_setup(ssl, conf) == 0;
 * }
 *
 * // When TCP can be read or written: until it returns something else than MKT_E_AGAIN.
 * enum mkt_err handshake(struct mkt_streams *streams, mbedtls_ssl_context *ssl, uint64_t *stream)
 * {
 *     int result;
 *     const enum mkt_err err = mkt_streams_handshake(streams, ssl, &result);
 *     return err == MKT_OK ? mkt_streams_find(streams, ssl, stream) : err;
 * }
 *
 * // Returns false if the session has ended and its key is wiped: release TCP then.
 * bool read_some(struct mkt_streams *streams, mbedtls_ssl_context *ssl, unsigned char *octets, size_t size, int *n)
 * {
 *     *n = mbedtls_ssl_read(ssl, octets, size);
 *     return *n > 0 || mkt_streams_status(streams, ssl, *n) == MKT_TLS_OPEN;
 * }
 * @endcode
 *
 * If an INVITE is forked, each branch is a stream of its own, with an identity of its own: see "Forked INVITE" in
 * mikeyticket/csb.h.
 *
 * A stream begins when it is added, and waits. It has one connection at a time: the first whose handshake succeeds,
 * which proves the key. Any number of handshakes may be under way for it until then, as a client that merely names the
 * identity must not keep the right one out, and one that fails changes nothing. While the stream is connected its
 * identity is answered as an unknown one, and a handshake that comes in second is ended with the alert access_denied.
 * With its TLS session a stream ends and its key is wiped; for another connection (RFC 4145 a=connection:new) it is
 * added again, after another offer and answer. A stream that keeps its connection and gets another key is re-keyed.
 *
 * Only a handshake that was given the key of its stream connects it. So a session that was resumed does not: a
 * configuration that was set up here is given no session cache and no ticket callbacks.
 *
 * All functions but mkt_streams_free() may be called from any thread at any time, on different connections: one
 * connection belongs to one thread at a time, as mbedTLS demands (and where it has TLS 1.3, psa_crypto_init() comes
 * before threads do). The lock is mbedTLS's own, held for a few table accesses and never while anything is computed or
 * sent. Where mbedTLS was built without threads there is none.
 */
#ifndef MIKEYTICKET_STREAMS_H
#define MIKEYTICKET_STREAMS_H

#include <mikeyticket/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a TLS session stands. */
enum mkt_tls_state {
    MKT_TLS_OPEN,   /**< nothing ended: octets came, or the call is to be made again */
    MKT_TLS_CLOSED, /**< close_notify came: all that the peer sent has arrived; or this end closed */
    MKT_TLS_CUT,    /**< TCP ended without close_notify: what came may be cut short (RFC 5246 7.2.1) */
    MKT_TLS_ALERT,  /**< the peer sent a fatal alert */
    MKT_TLS_FAILED  /**< this end gave up; mbedTLS has sent the alert where one is due */
};

/** The streams of a server. Opaque. */
struct mkt_streams;

/** What they should be. Zero is right for all that has no remark. */
struct mkt_streams_settings {
    size_t size; /**< needed: sizeof(struct mkt_streams_settings), as mkt_streams_settings_init() sets it */

    /** Needed: random octets as mbedTLS takes them, such as mbedtls_ctr_drbg_random; asked once. */
    int (*rng)(void *rng_user, unsigned char *out, size_t n);
    void *rng_user; /**< its first argument */

    /**
     * How many streams there can be at once; 0: 100,000; at most 16,777,216. Each takes 24 to 48 octets even where it
     * is not there. Many more connections than this at once, handshakes included, make each look-up longer.
     */
    size_t most;

    /**
     * What becomes of an identity that is no stream's, or not that of the connection's stream (RFC 4279 section 2).
     * False: the alert unknown_psk_identity (in TLS 1.3 that of mbedTLS, missing_extension), which a peer with a wrong
     * configuration can read. True: the handshake goes on with a key that nobody knows and fails as with a wrong one,
     * so that nobody can find out which identities there are. Of several identities that a client of TLS 1.3 offers,
     * the first then decides.
     */
    bool hide_identities;

    void *user; /**< first argument of each callback; the callbacks may come from any thread */

    /**
     * Memory, both or neither; default: malloc and free. It comes back wiped. They are not called with the lock held.
     */
    void *(*alloc)(void *user, size_t n);
    void (*release)(void *user, void *p);

    /**
     * Called once when a connected stream has ended. The key is wiped by then and the lock is not held. Runs in the
     * thread that detected the end. Optional. Not called for streams that are removed. It is the last step of the
     * function that calls it, so it may free the connection, except in mkt_streams_bind(): that has a new one by then.
     */
    void (*ended)(void *user, uint64_t stream, enum mkt_tls_state how);
};

/** Clears settings and sets their size. */
static inline void mkt_streams_settings_init(struct mkt_streams_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    settings->size = sizeof *settings;
}

/**
 * Makes an empty set of streams.
 * @param streams   out: the caller frees it with mkt_streams_free(); NULL after an error
 * @param settings  copied
 * @return MKT_OK; MKT_E_ARGUMENT; MKT_E_RANDOM; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_new(struct mkt_streams **streams,
                                              const struct mkt_streams_settings *settings);

/**
 * Wipes and frees it and all keys in it; it may be NULL. No other thread uses it any more, and no configuration that
 * mkt_streams_server() set up shakes hands any more.
 */
MKT_API void mkt_streams_free(struct mkt_streams *streams);

/**
 * Adds a stream, which from now on waits for its connection.
 * @param stream    a number of the caller's that no other stream here has
 * @param psk       the key, from 16 to MBEDTLS_PSK_MAX_LEN octets; copied, and the caller's to wipe
 * @param identity  from 1 to MKT_TLS_MAX_IDENTITY octets, UTF-8 (RFC 4279 5.1), that no other stream here has; copied
 * @return MKT_OK; MKT_E_ARGUMENT for an identity out of range; MKT_E_KEY_LENGTH; MKT_E_IN_USE for a number or an
 *         identity that another stream has; MKT_E_BUNDLE_FULL for more than mkt_streams_settings.most; MKT_E_MEMORY;
 *         MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_add(struct mkt_streams *streams, uint64_t stream, struct mkt_span psk,
                                              struct mkt_span identity);

/**
 * The same with the TEK of a crypto session and the identity of mkt_csb_psk_identity().
 * @param csb  ready (mkt_csb_ready()); not needed afterwards
 * @return that of mkt_streams_add(); MKT_E_STATE before the bundle is ready too; MKT_E_NO_SESSION; MKT_E_KEY_LENGTH for
 *         a TEK of more than MBEDTLS_PSK_MAX_LEN octets; MKT_E_BUFFER for an identity of more than MKT_TLS_MAX_IDENTITY
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_add_csb(struct mkt_streams *streams, uint64_t stream,
                                                  const struct mkt_csb *csb, uint8_t cs_id);

/**
 * Gives a stream another key and identity, and wipes the old ones: the ends agreed on a new key (RFC 4567 4.1.2) and
 * keep their connection (mkt_connection.keying and .action). The connection goes on as it is; the new key is for the
 * next handshake, be that a renegotiation that the client begins or, for a stream that waits, its first. A first
 * handshake that is under way with the old key fails; a renegotiation that was given it already may end with it. A
 * client's configuration keeps the key that it was set up with.
 * @return that of mkt_streams_add(), but MKT_E_NO_SESSION where there is no such stream, and never MKT_E_BUNDLE_FULL
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_rekey(struct mkt_streams *streams, uint64_t stream, struct mkt_span psk,
                                                struct mkt_span identity);

/** The same with what a crypto session has, as mkt_streams_add_csb(). */
MKT_API MKT_MUST enum mkt_err mkt_streams_rekey_csb(struct mkt_streams *streams, uint64_t stream,
                                                    const struct mkt_csb *csb, uint8_t cs_id);

/**
 * Takes a stream away and wipes its key: the call was given up. A handshake that is under way for it fails when it is
 * done at the latest, even where a new stream of that number was added meanwhile. A connection that has it is the
 * caller's to close.
 * @return MKT_OK: it is gone; MKT_E_NO_SESSION: there was none; MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_remove(struct mkt_streams *streams, uint64_t stream);

/** How many streams there are, waiting and connected. */
MKT_API size_t mkt_streams_count(struct mkt_streams *streams);

/**
 * Sets a configuration up as TLS server for all streams that there are and will be. A server may have several, for
 * listeners with different suites.
 * @param conf      as for mkt_tls_setup(); it points to `streams`, which outlives it
 * @param tls       as for mkt_tls_setup()
 * @param settings  as for mkt_tls_setup(), but that `end` is not looked at
 * @return that of mkt_tls_configure()
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_server(struct mkt_streams *streams, mbedtls_ssl_config *conf,
                                                 struct mkt_tls *tls, const struct mkt_tls_settings *settings);

/**
 * Sets a configuration up as TLS client for the stream that a connection is bound to: a client names its identity, so
 * each has a configuration of its own. mbedtls_ssl_config_free() wipes the copies of key and identity that mbedTLS
 * makes; call it as soon as the session has ended.
 * @param ssl       known by mkt_streams_bind() with a stream; set up with `conf` after this
 * @param conf      as for mkt_tls_setup()
 * @param tls       as for mkt_tls_setup()
 * @param settings  as for mkt_tls_setup(), but that `end` is not looked at
 * @return that of mkt_tls_setup_psk(); MKT_E_NO_SESSION if the connection is not known or has no stream, or if the
 *         stream was removed; MKT_E_IN_USE if the stream has another connection
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_client(struct mkt_streams *streams, const mbedtls_ssl_context *ssl,
                                                 mbedtls_ssl_config *conf, struct mkt_tls *tls,
                                                 const struct mkt_tls_settings *settings);

/**
 * Makes a connection known before its handshake, in either role. A server's configuration refuses all others.
 * @param ssl     only its address is used, so it may be set up before or after. Do not move it until
 *                mkt_streams_close() is called, or mkt_streams_handshake() or mkt_streams_status() say that it ended.
 *                If an earlier connection at that address was not closed, that one ends now as if it was cut.
 * @param stream  the stream that the connection is for, if the port or the path tells it: the identity of another
 *                stream is refused then. It may be NULL for a server: then the identity tells.
 * @return MKT_OK; MKT_E_NO_SESSION if there is no such stream; MKT_E_MEMORY; MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_bind(struct mkt_streams *streams, const mbedtls_ssl_context *ssl,
                                               const uint64_t *stream);

/**
 * Goes on with the handshake of a connection, by mbedtls_ssl_handshake(). When it succeeds the stream has the
 * connection. When it fails the connection is forgotten, and the stream waits on.
 * @param result  out: what mbedtls_ssl_handshake() returned, for mkt_streams_status() and the caller's log
 * @return - MKT_OK: connected;
 *         - MKT_E_AGAIN: the handshake goes on; `*result` says what mbedTLS waits for, as MBEDTLS_ERR_SSL_WANT_READ;
 *         - MKT_E_TLS: it failed; `*result` says why;
 *         - MKT_E_DENIED: TLS succeeded, and the peer got the alert access_denied: the stream has another connection or
 *           another key by now, or was removed, or the connection is not known or was not given the key; `*result` is
 *           MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_handshake(struct mkt_streams *streams, mbedtls_ssl_context *ssl, int *result);

/**
 * The stream that has a connection.
 * @param stream  out: its number
 * @return MKT_OK; MKT_E_NO_SESSION if the handshake has not succeeded, or if the session or the stream has ended
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_find(struct mkt_streams *streams, const mbedtls_ssl_context *ssl,
                                               uint64_t *stream);

/**
 * Says if a session goes on. If not, ends its stream: the key is wiped, and `ended` is called.
 * @param result  what mbedtls_ssl_read() returned for a buffer that is not empty, 0 included; or mbedtls_ssl_write(),
 *                mbedtls_ssl_handshake() or mbedtls_ssl_renegotiate() if it is negative. mbedTLS returns 0 when TCP has
 *                ended, and for two records in a row that are empty, which no TLS stack sends: both are an end here.
 * @return MKT_TLS_OPEN also for MBEDTLS_ERR_SSL_TIMEOUT and for a renegotiation that the peer refused or has not come
 *         to (MBEDTLS_ERR_SSL_WAITING_SERVER_HELLO_RENEGO), as the session is whole. Anything else: release TCP now,
 *         with mbedtls_ssl_free() or mbedtls_ssl_session_reset() as usual. A close_notify was answered with one, as RFC
 *         5246 7.2.1 demands, if it could be sent without waiting.
 */
MKT_API MKT_MUST enum mkt_tls_state mkt_streams_status(struct mkt_streams *streams, mbedtls_ssl_context *ssl,
                                                       int result);

/**
 * Ends a session from this end, or gives a handshake up: wipes the key of the stream that has the connection, calls
 * `ended`, and sends close_notify if the handshake is over. A stream that waits, waits on. Call this before
 * mbedtls_ssl_free() for each connection that has not ended otherwise.
 * @return MKT_OK; MKT_E_AGAIN: call mbedtls_ssl_close_notify() until it is sent, unless `ended` has freed the
 *         connection; MKT_E_TLS: it can't be sent
 */
MKT_API enum mkt_err mkt_streams_close(struct mkt_streams *streams, mbedtls_ssl_context *ssl);

#ifdef __cplusplus
}
#endif
#endif
