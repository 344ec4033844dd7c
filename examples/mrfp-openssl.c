/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TLS of the MRFP with OpenSSL 3, in place of mrfp-mbedtls.c: which calls a server needs that has OpenSSL. It links
 * neither mbedTLS nor libmikeyticket. The chapter "With OpenSSL" of the README says why each call is there.
 */
#define _DEFAULT_SOURCE /* strdup */

#include "mrfp-tls.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST = 32, LEAST_KEY = 16, MAX_KEY = 64 };

/* To OpenSSL a key of TLS 1.3 is a session to be resumed. With SSL_VERIFY_PEER both must have the same context. */
static const unsigned char context_id[] = {'m', 'r', 'f', 'p'};

struct tls {
    SSL_CTX *context; /* of all sessions, in both roles */
    struct tls_stream *streams;
    uint8_t secret[DIGEST]; /* drawn once, for digests of identities */
    char why[160];          /* of the handshake that failed last */
};

struct tls_stream {
    struct tls *tls;
    struct tls_stream *next;
    bool client;
    size_t n_key;    /* 0: it has none */
    unsigned serial; /* of the key */
    uint8_t key[MAX_KEY];
    char *identity;
    uint8_t digest[DIGEST]; /* of the identity */
};

struct tls_session {
    struct tls_stream *stream;
    SSL *ssl;
    unsigned given; /* serial of the key that OpenSSL was given; 0: none */
    bool over;      /* there is nothing to close */
};

const char *tls_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

/* ---- identities and keys ---- */

/* Identities are compared by a keyed digest: how long that takes tells a stranger nothing of them. */
static bool digest_of(const struct tls *tls, const void *identity, size_t n, uint8_t digest[DIGEST])
{
    return HMAC(EVP_sha256(), tls->secret, DIGEST, identity, n, digest, NULL) != NULL;
}

/* The key of an identity that a client names. The port says which stream it is for: only that one is looked at. */
static const struct tls_stream *find_key(SSL *ssl, const void *identity, size_t n)
{
    struct tls_session *session = SSL_get_app_data(ssl);
    const struct tls_stream *stream = session->stream;
    uint8_t digest[DIGEST];
    session->given = 0;
    if (!digest_of(stream->tls, identity, n, digest) || CRYPTO_memcmp(digest, stream->digest, DIGEST) != 0)
        return NULL;
    session->given = stream->serial;
    return stream;
}

/* The key as TLS 1.3 wants it. All suites here have SHA-256, as this one: RFC 8446 4.2.11 binds a key to its hash. */
static SSL_SESSION *make_psk(SSL *ssl, const struct tls_stream *stream)
{
    static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
    SSL_SESSION *psk = SSL_SESSION_new();
    if (psk == NULL || SSL_SESSION_set1_master_key(psk, stream->key, stream->n_key) != 1 ||
        SSL_SESSION_set_cipher(psk, SSL_CIPHER_find(ssl, aes_128_gcm_sha256)) != 1 ||
        SSL_SESSION_set_protocol_version(psk, TLS1_3_VERSION) != 1 ||
        SSL_SESSION_set1_id_context(psk, context_id, sizeof context_id) != 1) {
        SSL_SESSION_free(psk);
        return NULL;
    }
    return psk;
}

/* Server, TLS 1.3: asked for one identity after the other. 1 without a key: there is none of that identity. */
static int on_find_session(SSL *ssl, const unsigned char *identity, size_t n, SSL_SESSION **psk)
{
    const struct tls_stream *stream = find_key(ssl, identity, n);
    *psk = stream != NULL ? make_psk(ssl, stream) : NULL;
    return stream == NULL || *psk != NULL;
}

/* Server, TLS 1.2. 0: the client gets the alert unknown_psk_identity. */
static unsigned on_server_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned room)
{
    const struct tls_stream *stream = identity != NULL ? find_key(ssl, identity, strlen(identity)) : NULL;
    if (stream == NULL || stream->n_key > room)
        return 0;
    memcpy(key, stream->key, stream->n_key);
    return (unsigned)stream->n_key;
}

/* Client, TLS 1.3. With `hash` the server has chosen a suite already: our key is for SHA-256 alone. */
static int on_use_session(SSL *ssl, const EVP_MD *hash, const unsigned char **identity, size_t *n, SSL_SESSION **psk)
{
    struct tls_session *session = SSL_get_app_data(ssl);
    *psk = NULL;
    if (hash != NULL && !EVP_MD_is_a(hash, "SHA256"))
        return 1;
    *psk = make_psk(ssl, session->stream);
    *identity = (const unsigned char *)session->stream->identity;
    *n = strlen(session->stream->identity);
    session->given = session->stream->serial;
    return *psk != NULL;
}

/* Client, TLS 1.2. 0: the handshake fails. */
static unsigned on_client_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_room, unsigned char *key,
                              unsigned key_room)
{
    struct tls_session *session = SSL_get_app_data(ssl);
    const struct tls_stream *stream = session->stream;
    (void)hint;
    if (strlen(stream->identity) >= identity_room || stream->n_key > key_room)
        return 0;
    strcpy(identity, stream->identity);
    memcpy(key, stream->key, stream->n_key);
    session->given = stream->serial;
    return (unsigned)stream->n_key;
}

/* ---- what all sessions share ---- */

static bool configure(SSL_CTX *context)
{
    /* Of TLS 1.2 AEAD with PSK and forward secrecy alone, of TLS 1.3 what has SHA-256: no suite has a certificate, and
       in TLS 1.3, where suites don't say, a certificate is refused, as no CA is configured. */
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:"
                                         "DHE-PSK-AES128-GCM-SHA256") != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") != 1 ||
        SSL_CTX_set_dh_auto(context, 1) != 1 ||
        SSL_CTX_set_session_id_context(context, context_id, sizeof context_id) != 1)
        return false;
    SSL_CTX_set_security_level(context, 2); /* groups of 2048 bits */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_clear_options(context, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_NO_DHE_KEX);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_max_early_data(context, 0);
    /* a write may be repeated from another address, and may write a part */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_psk_find_session_callback(context, on_find_session);
    SSL_CTX_set_psk_server_callback(context, on_server_psk);
    SSL_CTX_set_psk_use_session_callback(context, on_use_session);
    SSL_CTX_set_psk_client_callback(context, on_client_psk);
    return true;
}

struct tls *tls_new(void)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->context = SSL_CTX_new(TLS_method());
    if (tls->context != NULL && configure(tls->context) && RAND_bytes(tls->secret, DIGEST) == 1)
        return tls;
    tls_free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    SSL_CTX_free(tls->context);
    OPENSSL_cleanse(tls, sizeof *tls);
    free(tls);
}

/* ---- streams ---- */

struct tls_stream *tls_stream_new(struct tls *tls, bool client)
{
    struct tls_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->tls = tls;
    stream->client = client;
    stream->next = tls->streams;
    tls->streams = stream;
    return stream;
}

const char *tls_stream_key(struct tls_stream *stream, const uint8_t *key, size_t n, const char *identity)
{
    uint8_t digest[DIGEST];
    if (n < LEAST_KEY || n > MAX_KEY)
        return "the length of the key";
    char *copy = strdup(identity);
    if (copy == NULL || !digest_of(stream->tls, identity, strlen(identity), digest)) {
        free(copy);
        return "no memory";
    }
    for (const struct tls_stream *other = stream->tls->streams; other != NULL; other = other->next) {
        if (other != stream && other->n_key > 0 && memcmp(other->digest, digest, DIGEST) == 0) {
            free(copy);
            return "another stream has this identity";
        }
    }
    free(stream->identity);
    stream->identity = copy;
    memcpy(stream->digest, digest, DIGEST);
    OPENSSL_cleanse(stream->key, sizeof stream->key);
    memcpy(stream->key, key, n);
    stream->n_key = n;
    stream->serial++;
    return NULL;
}

void tls_stream_free(struct tls_stream *stream)
{
    if (stream == NULL)
        return;
    struct tls_stream **link = &stream->tls->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    free(stream->identity);
    OPENSSL_cleanse(stream, sizeof *stream);
    free(stream);
}

/* ---- sessions ---- */

struct tls_session *tls_begin(struct tls_stream *stream, int tcp)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->stream = stream;
    session->ssl = SSL_new(stream->tls->context);
    if (session->ssl == NULL || SSL_set_fd(session->ssl, tcp) != 1 || SSL_set_app_data(session->ssl, session) != 1) {
        tls_end(session);
        return NULL;
    }
    if (stream->client)
        SSL_set_connect_state(session->ssl);
    else
        SSL_set_accept_state(session->ssl);
    return session;
}

/* What an OpenSSL function that failed leaves behind. The session is over, unless it only has to wait. */
static enum tls_state state_of(struct tls_session *session, int result)
{
    const int error = SSL_get_error(session->ssl, result), reason = ERR_GET_REASON(ERR_peek_error());
    if (error == SSL_ERROR_WANT_READ)
        return TLS_READ;
    if (error == SSL_ERROR_WANT_WRITE)
        return TLS_WRITE;
    if (error == SSL_ERROR_ZERO_RETURN)
        return TLS_CLOSED;
    session->over = true;
    if (error == SSL_ERROR_SYSCALL || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return TLS_CUT;
    return error == SSL_ERROR_SSL && reason > SSL_AD_REASON_OFFSET ? TLS_ALERT : TLS_FAILED;
}

/* What a handshake that is over lacks. NULL: the peer has proved the key that the stream has now, and the handshake has
   all that makes it secure. */
static const char *what_lacks(const struct tls_session *session)
{
    SSL *ssl = session->ssl;
    if (session->given == 0)
        return "no key";
    if (session->given != session->stream->serial)
        return "the stream has another key by now";
    if (SSL_version(ssl) == TLS1_3_VERSION)
        return SSL_session_reused(ssl) == 1 ? NULL : "no key"; /* our key was a session */
    if (SSL_CIPHER_get_auth_nid(SSL_get_current_cipher(ssl)) != NID_auth_psk)
        return "no key";
    if (SSL_get_secure_renegotiation_support(ssl) != 1)
        return "no RFC 5746";
    return SSL_get_extms_support(ssl) == 1 ? NULL : "no extended master secret"; /* TS 33.210 6.2 */
}

enum tls_state tls_handshake(struct tls_session *session, const char **why)
{
    struct tls *tls = session->stream->tls;
    if (session->stream->n_key == 0)
        return TLS_KEY;
    ERR_clear_error();
    const int result = SSL_do_handshake(session->ssl);
    *why = result == 1 ? what_lacks(session) : tls->why;
    if (*why == NULL)
        return TLS_DONE;
    const enum tls_state state = result == 1 ? TLS_FAILED : state_of(session, result);
    if (state == TLS_READ || state == TLS_WRITE)
        return state;
    session->over = true;
    if (state == TLS_CUT)
        *why = "TCP was closed";
    else if (state == TLS_ALERT)
        snprintf(tls->why, sizeof tls->why, "alert %d from the peer",
                 ERR_GET_REASON(ERR_peek_error()) - SSL_AD_REASON_OFFSET);
    else if (result != 1)
        ERR_error_string_n(ERR_peek_error(), tls->why, sizeof tls->why);
    return state;
}

enum tls_state tls_read(struct tls_session *session, uint8_t octets[TLS_RECORD], size_t *n)
{
    ERR_clear_error();
    const int result = SSL_read_ex(session->ssl, octets, TLS_RECORD, n);
    return result == 1 ? TLS_DONE : state_of(session, result);
}

enum tls_state tls_write(struct tls_session *session, const void *octets, size_t *n)
{
    ERR_clear_error();
    const int result = SSL_write_ex(session->ssl, octets, *n, n);
    return result == 1 ? TLS_DONE : state_of(session, result);
}

enum tls_state tls_close(struct tls_session *session)
{
    if (session->over)
        return TLS_DONE;
    ERR_clear_error();
    const int result = SSL_shutdown(session->ssl);
    return result < 0 && SSL_get_error(session->ssl, result) == SSL_ERROR_WANT_WRITE ? TLS_WRITE : TLS_DONE;
}

void tls_end(struct tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    free(session);
}
