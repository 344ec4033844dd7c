/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file streams.h
 * The media streams of a server (MRFP) that wait for their TLS connection or have it, each with a key of its own (3GPP
 * TS 23.333 5.20.2), in libmikeyticket-tls. One server configuration serves all of them:
 *
 * @code
 * #include <mikeyticket/streams.h>
 *
 * // Once, and for each listener. `settings->end` is MKT_END_SERVER. `tls` outlives `conf`.
 * enum mkt_err begin(struct mkt_streams **streams, const struct mkt_streams_settings *streams_settings,
 *                    mbedtls_ssl_config *conf, struct mkt_tls *tls, const struct mkt_tls_settings *settings)
 * {
 *     int cause;
 *     enum mkt_err err = mkt_streams_new(streams, streams_settings);
 *     if (err == MKT_OK)
 *         err = mkt_tls_choose(tls, settings);
 *     return err == MKT_OK ? mkt_streams_server(*streams, conf, tls, &cause) : err;
 * }
 *
 * // When the MRFC has the key of a stream.
 * enum mkt_err expect(struct mkt_streams *streams, uint64_t stream, const struct mkt_csb *csb)
 * {
 *     return mkt_streams_add_csb(streams, stream, csb, MKT_FIRST_CS);
 * }
 *
 * // When TCP is up. The PSK identity tells which stream a connection is for. `bio` reads and writes TCP.
 * bool accepted(struct mkt_streams *streams, mbedtls_ssl_context *ssl, const mbedtls_ssl_config *conf,
 *               const struct mkt_tls_bio *bio)
 * {
 *     return mbedtls_ssl_setup(ssl, conf) == 0 && mkt_streams_bind(streams, ssl, NULL, bio) == MKT_OK;
 * }
 *
 * // When TCP can be read or written: until it returns something else than MKT_E_AGAIN. Unless that is MKT_OK, call
 * // mkt_streams_forget(), then release TCP.
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
 *     if (*n > 0 || mkt_streams_status(streams, ssl, *n) == MKT_TLS_OPEN)
 *         return true;
 *     mkt_streams_forget(streams, ssl); // if that was MKT_TLS_CLOSING
 *     return false;
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
 * If the answer makes the peer the client of TCP, the peer may connect before that answer is here (RFC 3264 5.1: the
 * offerer must be prepared to receive media). So announce the stream when the offer is sent, with mkt_streams_announce().
 * Connections that are bound to an announced stream wait. Nothing is read from them. When the stream gets its key, all
 * of them shake hands, and the first that proves the key has the stream: nobody who merely connects keeps the peer out.
 * If several streams have one port, only the PSK identity tells the stream, and mbedTLS can't wait for its key:
 *
 * | port | TLS | the key may come |
 * |---|---|---|
 * | of one stream, bound to it | 1.2 and 1.3 | at any time until mkt_streams_expire() |
 * | of several streams | 1.2 | before the second flight of the client, which names the identity |
 * | of several streams | 1.3 | before the first flight of the client, which names the identity |
 *
 * A later key is too late: the connection was refused as for an unknown identity.
 *
 * Only a handshake that was given the key of its stream connects it. So a session that was resumed does not: a
 * configuration that was set up here is given no session cache and no ticket callbacks, and a client no session by
 * mbedtls_ssl_set_session(), which would connect it without that proof.
 *
 * There is no timer here. Strangers can connect and say nothing: end handshakes that take too long by
 * mkt_streams_forget(), or they count towards mkt_streams_settings.most_connections for ever. Those that wait for a key
 * are not read: watch for the end of TCP by other means.
 *
 * All functions but mkt_streams_free() may be called from any thread at any time, on different connections: one
 * connection belongs to one thread at a time, as mbedTLS demands (and where it has TLS 1.3, psa_crypto_init() comes
 * before threads do). The lock is mbedTLS's own. It is held for a few table accesses, and while `wake` is called for the
 * connections of a stream; mkt_streams_expire() looks at all announced streams with it. Nothing is computed or sent with
 * it. If mbedTLS was built without threads there is none.
 */
#ifndef MIKEYTICKET_STREAMS_H
#define MIKEYTICKET_STREAMS_H

#include <mikeyticket/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a TLS session stands. */
enum mkt_tls_state {
    MKT_TLS_OPEN,    /**< nothing ended: octets came, or the call is to be made again */
    MKT_TLS_CLOSED,  /**< close_notify came: all that the peer sent has arrived; or this end closed */
    MKT_TLS_CUT,     /**< TCP ended without close_notify. Octets may be missing (RFC 5246 7.2.1) */
    MKT_TLS_ALERT,   /**< the peer sent a fatal alert */
    MKT_TLS_FAILED,  /**< this end gave up; the peer got an alert, if TCP took it */
    MKT_TLS_REMOVED, /**< the stream was removed, or expired, and the connection with it */
    MKT_TLS_CLOSING  /**< either end closed, and our close_notify can't be sent yet: call mkt_streams_close() */
};

/** How a connection reads and writes TCP: the arguments of mbedtls_ssl_set_bio(), which says what each must return. */
struct mkt_tls_bio {
    void *user;                                  /**< first argument of each */
    mbedtls_ssl_send_t *send;                    /**< needed */
    mbedtls_ssl_recv_t *receive;                 /**< one of these two is needed; the other may be NULL. */
    mbedtls_ssl_recv_timeout_t *receive_timeout; /**< It is used if both are there. */
};

/** Why a handshake failed, for the log of an operator. There is no key in it. */
struct mkt_tls_failure {
    const mbedtls_ssl_context *ssl; /**< the connection */
    enum mkt_tls_state how;         /**< MKT_TLS_CUT, _ALERT, _FAILED or _REMOVED, or _CLOSED for a close_notify */
    int error;                      /**< of mbedTLS, as mkt_streams_handshake() gives it */
    int alert;                      /**< with MKT_TLS_ALERT: the alert of the peer (RFC 8446 6); otherwise -1 */
    bool has_stream;                /**< the stream is known: by mkt_streams_bind(), or by an identity of a stream */
    uint64_t stream;                /**< its number, or 0 */
    const char *identity;           /**< that the client named last, or empty. Printable ASCII: other octets, and the
                                         backslash, are \\xNN; after 64 octets it is cut, and ends in "..." */
    const uint16_t *suites;         /**< of the client, in its order: mkt_cipher_suite_name() has their names. */
    size_t n_suites;                /**< As many as stand in the first 256 octets of its first flight; 0 as client */
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
     * is not there.
     */
    size_t most;

    /**
     * What becomes of an identity that is no stream's, or not that of the connection's stream (RFC 4279 section 2).
     * False: the alert unknown_psk_identity (in TLS 1.3 that of mbedTLS, missing_extension), which a peer with a wrong
     * configuration can read. True: the handshake goes on with a key that nobody knows and fails as with a wrong one,
     * so that nobody can find out which identities there are. That costs the same work for every identity. The key that
     * nobody knows is as long as the key that came last: give all streams keys of one length. Of several identities
     * that a client of TLS 1.3 offers, the first then decides. A connection without a stream at mkt_streams_bind() does
     * not hear before its Finished that the stream ended: it is not woken, and shakes hands until it fails.
     */
    bool hide_identities;

    bool any_identity; /**< mkt_streams_add() takes identities that are not UTF-8, against RFC 4279 5.1 */

    void *user; /**< first argument of each callback; the callbacks may come from any thread */

    /**
     * Memory, both or neither; default: malloc and free. It comes back wiped. They are not called with the lock held.
     */
    void *(*alloc)(void *user, size_t n);
    void (*release)(void *user, void *p);

    /**
     * Called once when a connected stream has ended, or an announced one expired. The key is wiped by then and the lock
     * is not held. Runs in the thread that detected the end. Optional. It is the last step of the function that calls
     * it, so it may free the connection, after mkt_streams_forget(), except in mkt_streams_bind(): that has a new one
     * by then. If mkt_streams_remove() or mkt_streams_expire() call it (MKT_TLS_REMOVED), the connection belongs to its
     * own thread, as before.
     */
    void (*ended)(void *user, uint64_t stream, enum mkt_tls_state how);

    size_t most_connections; /**< at once, handshakes included; 0: twice as many as streams; at most 16,777,216 */
    size_t most_waiting;     /**< connections that wait for the key of one announced stream; 0: 8 */

    /**
     * Have the thread of a connection call mkt_streams_handshake(), or mkt_streams_status() if it is connected, now: the
     * key that it waits for is here, or its stream was removed or ended with another connection. Called with the lock
     * held, so that no other thread ends the connection meanwhile, and from the thread that changes the stream. Do not
     * call functions of this header in it; write to a pipe or a queue that the other thread reads. The connection may
     * have ended before the other thread reads that: do not use `ssl` then. It may come before mkt_streams_bind()
     * returns. If reads wait for TCP, make them return, as by shutdown(). A client that waits for its key calls
     * mkt_streams_client() and mbedtls_ssl_setup() first. Without it, call mkt_streams_handshake() for the connections
     * that wait for a stream after mkt_streams_add() has given it its key, or after mkt_streams_remove().
     */
    void (*wake)(void *user, mbedtls_ssl_context *ssl);

    /**
     * Told why a handshake failed, before mkt_streams_handshake() returns. The connection is forgotten by then, so this
     * may free it. The lock is not held. Optional.
     */
    void (*failed)(void *user, const struct mkt_tls_failure *failure);
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
 * mkt_streams_server() set up shakes hands any more. End all connections before, or do not read or write them after.
 */
MKT_API void mkt_streams_free(struct mkt_streams *streams);

/**
 * Announces a stream whose key is not known yet. mkt_streams_add() gives it the key, mkt_streams_remove() takes it away.
 * Until then connections can be bound to it.
 * @param stream  a number of the caller's that no other stream here has
 * @param until   when it expires, by the clock of the caller; for mkt_streams_expire()
 * @return MKT_OK; MKT_E_IN_USE; MKT_E_BUNDLE_FULL for more than mkt_streams_settings.most; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_announce(struct mkt_streams *streams, uint64_t stream, uint64_t until);

/**
 * Takes all announced streams away that still have no key and whose time has come: `until` is `now` or earlier. Their
 * connections get the alert access_denied from mkt_streams_handshake(). The library has no timer: call this from yours.
 */
MKT_API void mkt_streams_expire(struct mkt_streams *streams, uint64_t now);

/**
 * Adds a stream, or gives one that was announced its key. From now on it waits for its connection.
 * @param stream    a number of the caller's that no other stream with a key has
 * @param psk       the key, from 16 to MBEDTLS_PSK_MAX_LEN octets; copied, and the caller's to wipe
 * @param identity  from 1 to MKT_TLS_MAX_IDENTITY octets, UTF-8 (RFC 4279 5.1; mkt_streams_settings.any_identity), that
 *                  no other stream here has; copied
 * @return MKT_OK; MKT_E_ARGUMENT for an identity out of range or not UTF-8; MKT_E_KEY_LENGTH; MKT_E_IN_USE for a number or an
 *         identity that another stream has; MKT_E_BUNDLE_FULL for more than mkt_streams_settings.most; MKT_E_MEMORY;
 *         MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_add(struct mkt_streams *streams, uint64_t stream, struct mkt_span psk,
                                              struct mkt_span identity);

/**
 * The same with the TEK of a crypto session and the identity of mkt_csb_psk_identity().
 * @param csb    ready (mkt_csb_ready()); not needed afterwards
 * @param cs_id  the CS ID of the crypto session, or MKT_FIRST_CS
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
 * @return that of mkt_streams_add(), but MKT_E_NO_SESSION if there is no such stream, MKT_E_NO_KEY if it is announced,
 *         and never MKT_E_BUNDLE_FULL; MKT_E_IN_USE is about the identity
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_rekey(struct mkt_streams *streams, uint64_t stream, struct mkt_span psk,
                                                struct mkt_span identity);

/** The same with what a crypto session has, as mkt_streams_add_csb(). */
MKT_API MKT_MUST enum mkt_err mkt_streams_rekey_csb(struct mkt_streams *streams, uint64_t stream,
                                                    const struct mkt_csb *csb, uint8_t cs_id);

/**
 * Takes a stream away and wipes its key: the call was given up. From now on mbedtls_ssl_read() and mbedtls_ssl_write()
 * of its connections get nothing more from TCP and send nothing more, even if a new stream has that number. (What one
 * record brought and mbedTLS has decrypted can still be read: read with a buffer of 16,384 octets to leave nothing.)
 * `wake` is called for each of them, then `ended` if the stream was connected. mkt_streams_status() of the connection
 * answers MKT_TLS_REMOVED. A handshake that is under way fails with MKT_E_DENIED.
 * @return MKT_OK: it is gone; MKT_E_NO_SESSION: there was none
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_remove(struct mkt_streams *streams, uint64_t stream);

/** How many streams there are: announced, waiting and connected. */
MKT_API size_t mkt_streams_count(struct mkt_streams *streams);

/**
 * Sets a configuration up as TLS server for all streams that there are and will be. A server may have several, for
 * listeners with different suites.
 * @param conf   as for mkt_tls_configure(); it points to `streams`, which outlives it
 * @param tls    as for mkt_tls_configure(), with MKT_END_SERVER
 * @param cause  as for mkt_tls_configure()
 * @return that of mkt_tls_configure(); MKT_E_ARGUMENT for another end too
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_server(struct mkt_streams *streams, mbedtls_ssl_config *conf,
                                                 const struct mkt_tls *tls, int *cause);

/**
 * Sets a configuration up as TLS client for the stream that a connection is bound to. mbedTLS has the identity of a
 * client in its configuration, so each stream has one of its own; they can share `tls`. mbedtls_ssl_config_free() wipes
 * the copies of key and identity that mbedTLS makes; call it as soon as the session has ended.
 * @param ssl    known by mkt_streams_bind() with a stream; set up with `conf` after this
 * @param conf   as for mkt_tls_setup()
 * @param tls    as for mkt_tls_configure(), with MKT_END_CLIENT
 * @param cause  as for mkt_tls_configure()
 * @return that of mkt_tls_setup_psk(); MKT_E_ARGUMENT for another end too; MKT_E_NO_SESSION if the connection is not
 *         known or has no stream, or if the stream was removed; MKT_E_NO_KEY if it is announced; MKT_E_IN_USE if it has
 *         another connection
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_client(struct mkt_streams *streams, const mbedtls_ssl_context *ssl,
                                                 mbedtls_ssl_config *conf, const struct mkt_tls *tls, int *cause);

/**
 * Makes a connection known before its handshake, in either role. A server's configuration refuses all others. Calls
 * mbedtls_ssl_set_bio() with a BIO of this set, which calls `bio`: do not call it for this connection.
 * @param ssl     initialised; it may be set up before or after. Do not move it until the connection has ended:
 *                mkt_streams_forget() is called, mkt_streams_close() returns something else than MKT_E_AGAIN, or
 *                mkt_streams_handshake() or mkt_streams_status() say so. Then nothing can be read or written any more.
 *                If an earlier connection at that address did not end, that one ends now as if it was cut.
 * @param stream  the stream that the connection is for, if the port or the path tells it: the identity of another
 *                stream is refused then. It may be NULL for a server: then the identity tells.
 * @param bio     copied; called by the thread of the connection
 * @return MKT_OK; MKT_E_NO_SESSION if there is no such stream; MKT_E_TOO_MANY for more connections than
 *         mkt_streams_settings.most_connections, or more than .most_waiting for an announced stream: bind this one
 *         again when the key is here, and leave further ones in the queue of TCP until then; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_streams_bind(struct mkt_streams *streams, mbedtls_ssl_context *ssl,
                                               const uint64_t *stream, const struct mkt_tls_bio *bio);

/**
 * Goes on with the handshake of a connection, by mbedtls_ssl_handshake(). When it succeeds the stream has the
 * connection. When it fails the connection is forgotten, and the stream waits on.
 * @param result  out: what mbedtls_ssl_handshake() returned, for the caller's log
 * @return - MKT_OK: connected;
 *         - MKT_E_AGAIN: the handshake goes on; `*result` says what mbedTLS waits for, as MBEDTLS_ERR_SSL_WANT_READ;
 *         - MKT_E_NO_KEY: the stream is only announced, and nothing was read. Do not wait for TCP, but for
 *           mkt_streams_settings.wake;
 *         - MKT_E_TLS: it failed; `*result` says why. A peer that sends more than 131,072 octets before it has proved
 *           the key gets the alert unexpected_message, as mbedTLS would read warnings without end;
 *         - MKT_E_DENIED: the peer got the alert access_denied: the stream was removed, or has another connection or
 *           another key by now, or the connection was not given its key; `*result` is MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY.
 *           A client of TLS 1.3 can't decrypt the alert if mbedTLS has not read its Finished by then;
 *         - MKT_E_NO_SESSION: the connection is not known; `*result` is the same
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
 * Says if a session goes on. If not, ends its stream, and wipes its key, calls `ended`, and forgets the connection.
 * @param result  what mbedtls_ssl_read() returned for a buffer that is not empty, 0 included; or mbedtls_ssl_write(),
 *                mbedtls_ssl_handshake() or mbedtls_ssl_renegotiate() if it is negative. mbedTLS returns 0 when TCP has
 *                ended, and for two empty records in a row, which RFC 5246 6.2.1 allows: these are no end here.
 *                (mbedTLS refuses four in a row.)
 * @return - MKT_TLS_OPEN, also for MBEDTLS_ERR_SSL_TIMEOUT and for a renegotiation that the peer refused or has not
 *           come to (MBEDTLS_ERR_SSL_WAITING_SERVER_HELLO_RENEGO), as the session is whole;
 *         - MKT_TLS_CLOSING: the peer closed, or you called mkt_streams_close(), and TCP does not take our close_notify
 *           now. The stream has ended. Call mkt_streams_close() as soon as TCP can be written, or mkt_streams_forget();
 *         - anything else: release TCP now, with mbedtls_ssl_free() or mbedtls_ssl_session_reset() as usual. A
 *           close_notify was answered with one, as RFC 5246 7.2.1 demands. If mbedTLS can't take a message, such as
 *           KeyUpdate of TLS 1.3, the peer got the alert unexpected_message; if peers send it, offer TLS 1.2 alone by
 *           mkt_tls_settings.suites.
 */
MKT_API MKT_MUST enum mkt_tls_state mkt_streams_status(struct mkt_streams *streams, mbedtls_ssl_context *ssl,
                                                       int result);

/**
 * Ends a session from this end, or gives a handshake up: wipes the key of the stream that has the connection, calls
 * `ended`, and sends close_notify if the handshake is over, after what mbedtls_ssl_write() could not send yet. A stream
 * that waits, waits on. Call this, or mkt_streams_forget(), before mbedtls_ssl_free() for each connection that has not
 * ended otherwise.
 * @return MKT_OK: all was sent; MKT_E_AGAIN: it was not. The stream has ended, the connection has not: write no more,
 *         and call this again when TCP can be written, or mkt_streams_forget(); MKT_E_TLS: it can't be sent;
 *         MKT_E_NO_SESSION: the connection is not known, or has ended
 */
MKT_API enum mkt_err mkt_streams_close(struct mkt_streams *streams, mbedtls_ssl_context *ssl);

/**
 * Gives a connection up without another word to the peer. A stream that has it ends as if it was cut. Does nothing if
 * the connection has ended or is not known: so it may come before each mbedtls_ssl_free().
 */
MKT_API void mkt_streams_forget(struct mkt_streams *streams, const mbedtls_ssl_context *ssl);

#ifdef __cplusplus
}
#endif
#endif
