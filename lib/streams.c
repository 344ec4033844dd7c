/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three tables of chains under one lock: streams by identity, streams by number, connections by the address of their
 * context (one of mbedTLS 2.28 has no user data). A secret tells where a chain begins, so that peers, who choose
 * identities, can't make one long. A connection does not point to a stream: it keeps its number and its serial number,
 * which no two streams share.
 *
 * A handshake proves a key, so a connection keeps the serial number of its key, too. It gets its stream only if that is
 * the key of the stream: not for a resumed session, a key that was replaced meanwhile, or the key that nobody knows.
 */

#include <mikeyticket/streams.h>

#include "sized.h"

#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#if defined(MBEDTLS_THREADING_C)
#include <mbedtls/threading.h>
#endif

#include <stdlib.h>
#include <string.h>

#if MBEDTLS_VERSION_MAJOR < 3
#define mbedtls_sha256 mbedtls_sha256_ret
#endif

enum { LEAST_PSK = 16, DEFAULT_MOST = 100000, MAX_MOST = 1 << 24, MAX_TEK = 64, SECRET = 32, DIGEST = 32 };

_Static_assert(MBEDTLS_PSK_MAX_LEN <= UINT8_MAX && MKT_TLS_MAX_IDENTITY <= UINT16_MAX, "lengths fit struct stream");

/* What a digest is for; each has a secret of its own. */
enum use { IDENTITY, NUMBER, NOBODYS_KEY, USES };

struct stream {
    struct stream *next_by_identity, *next_by_number;
    uint64_t number;
    uint64_t serial, key; /* of the stream, of its key; both from one count, which gives no number twice */
    uint32_t identity_chain, number_chain;
    uint16_t n_identity;
    uint8_t n_psk;
    bool connected;
    uint8_t octets[]; /* psk, identity */
};

struct connection {
    struct connection *next;
    const mbedtls_ssl_context *ssl;
    uint64_t number, serial; /* of the stream that it is for; serial 0: not known yet */
    uint64_t key;            /* that its handshake was given; 0: none */
    uint32_t number_chain;
    bool connected; /* it has the stream */
};

/* Where a chain of each table begins. */
struct heads {
    struct stream *by_identity, *by_number;
    struct connection *by_context;
};

struct mkt_streams {
    size_t size; /* octets of the allocation */
    struct mkt_streams_settings settings;
    uint8_t secret[USES][SECRET];
    uint32_t mask; /* chains, less 1 */
#if defined(MBEDTLS_THREADING_C)
    mbedtls_threading_mutex_t mutex;
#endif
    /* behind the lock: */
    size_t count;
    uint64_t last_serial;
    struct heads chain[];
};

static void lock(struct mkt_streams *streams)
{
    (void)streams;
#if defined(MBEDTLS_THREADING_C)
    (void)mbedtls_mutex_lock(&streams->mutex); /* of a mutex that exists: it can't fail */
#endif
}

static void unlock(struct mkt_streams *streams)
{
    (void)streams;
#if defined(MBEDTLS_THREADING_C)
    (void)mbedtls_mutex_unlock(&streams->mutex);
#endif
}

/* Memory */

static void *get_memory(const struct mkt_streams_settings *settings, size_t n)
{
    return settings->alloc != NULL ? settings->alloc(settings->user, n) : malloc(n);
}

static void release(const struct mkt_streams_settings *settings, void *p, size_t n)
{
    if (p == NULL)
        return;
    mbedtls_platform_zeroize(p, n);
    if (settings->release != NULL)
        settings->release(settings->user, p);
    else
        free(p);
}

static void release_stream(const struct mkt_streams *streams, struct stream *stream)
{
    if (stream != NULL)
        release(&streams->settings, stream, sizeof *stream + stream->n_psk + stream->n_identity);
}

/* Tables */

/* SHA-256 of a secret and of octets that are no longer than an identity. */
static bool digest_of(const struct mkt_streams *streams, enum use use, const void *octets, size_t n,
                      uint8_t digest[DIGEST])
{
    uint8_t whole[SECRET + MKT_TLS_MAX_IDENTITY];
    if (n > MKT_TLS_MAX_IDENTITY)
        return false;
    memcpy(whole, streams->secret[use], SECRET);
    memcpy(whole + SECRET, octets, n);
    const int result = mbedtls_sha256(whole, SECRET + n, digest, 0);
    mbedtls_platform_zeroize(whole, SECRET);
    return result == 0;
}

static bool chain_of(const struct mkt_streams *streams, enum use use, const void *octets, size_t n, uint32_t *chain)
{
    uint8_t digest[DIGEST];
    if (!digest_of(streams, use, octets, n, digest))
        return false;
    memcpy(chain, digest, sizeof *chain);
    *chain &= streams->mask;
    return true;
}

/* No peer chooses an address: 2^64 divided by the golden ratio is enough to spread them. */
static uint32_t chain_of_context(const struct mkt_streams *streams, const mbedtls_ssl_context *ssl)
{
    const uint64_t spread = (uint64_t)(uintptr_t)ssl * 0x9e3779b97f4a7c15u;
    return (uint32_t)(spread >> 32) & streams->mask;
}

/* Each of these answers the place in a chain where something is, or would be. */

static struct stream **place_of_identity(struct mkt_streams *streams, uint32_t chain, const void *identity, size_t n)
{
    struct stream **place = &streams->chain[chain].by_identity;
    while (*place != NULL &&
           ((*place)->n_identity != n || memcmp((*place)->octets + (*place)->n_psk, identity, n) != 0))
        place = &(*place)->next_by_identity;
    return place;
}

static struct stream **place_of_name(struct mkt_streams *streams, const struct stream *stream)
{
    return place_of_identity(streams, stream->identity_chain, stream->octets + stream->n_psk, stream->n_identity);
}

static struct stream **place_of_number(struct mkt_streams *streams, uint32_t chain, uint64_t number)
{
    struct stream **place = &streams->chain[chain].by_number;
    while (*place != NULL && (*place)->number != number)
        place = &(*place)->next_by_number;
    return place;
}

static struct connection **place_of_context(struct mkt_streams *streams, const mbedtls_ssl_context *ssl)
{
    struct connection **place = &streams->chain[chain_of_context(streams, ssl)].by_context;
    while (*place != NULL && (*place)->ssl != ssl)
        place = &(*place)->next;
    return place;
}

/* The stream that a connection is for, if it is still there. */
static struct stream *stream_of(struct mkt_streams *streams, const struct connection *connection)
{
    if (connection->serial == 0)
        return NULL;
    struct stream *stream = *place_of_number(streams, connection->number_chain, connection->number);
    return stream != NULL && stream->serial == connection->serial ? stream : NULL;
}

static void claim(struct connection *connection, const struct stream *stream)
{
    connection->number = stream->number;
    connection->serial = stream->serial;
    connection->number_chain = stream->number_chain;
}

/* Takes a stream out of both tables. */
static void take_out(struct mkt_streams *streams, struct stream *stream)
{
    *place_of_name(streams, stream) = stream->next_by_identity;
    *place_of_number(streams, stream->number_chain, stream->number) = stream->next_by_number;
    streams->count--;
}

/* A stream that ended, for the host to be told. */
struct end {
    bool any;
    uint64_t stream;
};

/* Forgets a connection, and ends the stream that it has. */
static struct end forget(struct mkt_streams *streams, const mbedtls_ssl_context *ssl)
{
    lock(streams);
    struct connection **place = place_of_context(streams, ssl), *connection = *place;
    struct stream *stream = NULL;
    if (connection != NULL) {
        *place = connection->next;
        if (connection->connected)
            stream = stream_of(streams, connection);
    }
    if (stream != NULL)
        take_out(streams, stream);
    unlock(streams);

    const struct end end = {stream != NULL, stream != NULL ? stream->number : 0};
    release(&streams->settings, connection, sizeof *connection);
    release_stream(streams, stream);
    return end;
}

/* The last that is done of all: the host may release the connection then. */
static void tell(const struct mkt_streams *streams, struct end end, enum mkt_tls_state how)
{
    if (end.any && streams->settings.ended != NULL)
        streams->settings.ended(streams->settings.user, end.stream, how);
}

/* The set */

enum mkt_err mkt_streams_new(struct mkt_streams **streams, const struct mkt_streams_settings *settings)
{
    struct mkt_streams_settings own;
    *streams = NULL;
    if (!mkt_sized_copy(&own, sizeof own, settings, MKT_UP_TO(mkt_streams_settings, ended)) || own.rng == NULL ||
        own.most > MAX_MOST || (own.alloc == NULL) != (own.release == NULL))
        return MKT_E_ARGUMENT;
    size_t chains = 1;
    own.most = own.most == 0 ? DEFAULT_MOST : own.most;
    while (chains < own.most)
        chains *= 2;

    const size_t size = sizeof **streams + chains * sizeof *(*streams)->chain;
    struct mkt_streams *made = get_memory(&own, size);
    if (made == NULL)
        return MKT_E_MEMORY;
    memset(made, 0, size);
    if (own.rng(own.rng_user, made->secret[0], sizeof made->secret) != 0) {
        release(&own, made, size);
        return MKT_E_RANDOM;
    }
    made->size = size;
    made->settings = own;
    made->mask = (uint32_t)(chains - 1);
#if defined(MBEDTLS_THREADING_C)
    mbedtls_mutex_init(&made->mutex);
#endif
    *streams = made;
    return MKT_OK;
}

void mkt_streams_free(struct mkt_streams *streams)
{
    if (streams == NULL)
        return;
    for (size_t i = 0; i <= streams->mask; i++) {
        for (struct stream *next, *stream = streams->chain[i].by_number; stream != NULL; stream = next) {
            next = stream->next_by_number;
            release_stream(streams, stream);
        }
        for (struct connection *next, *connection = streams->chain[i].by_context; connection != NULL;
             connection = next) {
            next = connection->next;
            release(&streams->settings, connection, sizeof *connection);
        }
    }
#if defined(MBEDTLS_THREADING_C)
    mbedtls_mutex_free(&streams->mutex);
#endif
    const struct mkt_streams_settings settings = streams->settings;
    release(&settings, streams, streams->size);
}

/* A stream in no table. */
static enum mkt_err make_stream(const struct mkt_streams *streams, uint64_t number, struct mkt_span psk,
                                struct mkt_span identity, struct stream **made)
{
    *made = NULL;
    if (psk.p == NULL || identity.p == NULL || identity.n == 0 || identity.n > MKT_TLS_MAX_IDENTITY)
        return MKT_E_ARGUMENT;
    if (psk.n < LEAST_PSK || psk.n > MBEDTLS_PSK_MAX_LEN)
        return MKT_E_KEY_LENGTH;
    struct stream *stream = get_memory(&streams->settings, sizeof *stream + psk.n + identity.n);
    if (stream == NULL)
        return MKT_E_MEMORY;
    *stream = (struct stream){.number = number, .n_psk = (uint8_t)psk.n, .n_identity = (uint16_t)identity.n};
    memcpy(stream->octets, psk.p, psk.n);
    memcpy(stream->octets + psk.n, identity.p, identity.n);
    *made = stream;
    if (!chain_of(streams, IDENTITY, identity.p, identity.n, &stream->identity_chain) ||
        !chain_of(streams, NUMBER, &number, sizeof number, &stream->number_chain))
        return MKT_E_CRYPTO;
    return MKT_OK;
}

/* Puts a new stream into both tables, or one with a new key in the place of `*old`, the one of its number. */
static enum mkt_err put_in(struct mkt_streams *streams, struct stream *stream, bool rekeys, struct stream **old)
{
    struct stream *before = *place_of_number(streams, stream->number_chain, stream->number);
    const struct stream *named = *place_of_name(streams, stream);
    if (rekeys && before == NULL)
        return MKT_E_NO_SESSION;
    if ((!rekeys && before != NULL) || (named != NULL && named != before))
        return MKT_E_IN_USE;
    if (!rekeys && streams->count == streams->settings.most)
        return MKT_E_BUNDLE_FULL;
    stream->key = ++streams->last_serial;
    stream->serial = rekeys ? before->serial : stream->key;
    stream->connected = rekeys && before->connected;
    if (rekeys)
        take_out(streams, before);
    *place_of_name(streams, stream) = stream;
    *place_of_number(streams, stream->number_chain, stream->number) = stream;
    streams->count++;
    *old = before;
    return MKT_OK;
}

static enum mkt_err enter(struct mkt_streams *streams, uint64_t number, struct mkt_span psk, struct mkt_span identity,
                          bool rekeys)
{
    struct stream *stream, *old = NULL;
    enum mkt_err err = make_stream(streams, number, psk, identity, &stream);
    if (err == MKT_OK) {
        lock(streams);
        err = put_in(streams, stream, rekeys, &old);
        unlock(streams);
    }
    release_stream(streams, err == MKT_OK ? old : stream);
    return err;
}

enum mkt_err mkt_streams_add(struct mkt_streams *streams, uint64_t number, struct mkt_span psk,
                             struct mkt_span identity)
{
    return enter(streams, number, psk, identity, false);
}

enum mkt_err mkt_streams_rekey(struct mkt_streams *streams, uint64_t number, struct mkt_span psk,
                               struct mkt_span identity)
{
    return enter(streams, number, psk, identity, true);
}

/* The same with what a crypto session has. */
static enum mkt_err enter_csb(struct mkt_streams *streams, uint64_t number, const struct mkt_csb *csb, uint8_t cs_id,
                              bool rekeys)
{
    uint8_t key[MAX_TEK], name[MKT_TLS_MAX_IDENTITY];
    struct mkt_buf tek = {key, sizeof key, 0}, identity = {name, sizeof name, 0};

    enum mkt_err err = mkt_csb_psk_identity(csb, cs_id, &identity);
    err = err == MKT_OK ? mkt_csb_tek(csb, cs_id, &tek) : err;
    if (err == MKT_OK)
        err = enter(streams, number, (struct mkt_span){key, tek.n}, (struct mkt_span){name, identity.n}, rekeys);
    mbedtls_platform_zeroize(key, sizeof key);
    return err;
}

enum mkt_err mkt_streams_add_csb(struct mkt_streams *streams, uint64_t stream, const struct mkt_csb *csb, uint8_t cs_id)
{
    return enter_csb(streams, stream, csb, cs_id, false);
}

enum mkt_err mkt_streams_rekey_csb(struct mkt_streams *streams, uint64_t stream, const struct mkt_csb *csb,
                                   uint8_t cs_id)
{
    return enter_csb(streams, stream, csb, cs_id, true);
}

enum mkt_err mkt_streams_remove(struct mkt_streams *streams, uint64_t number)
{
    uint32_t chain;
    if (!chain_of(streams, NUMBER, &number, sizeof number, &chain))
        return MKT_E_CRYPTO;
    lock(streams);
    struct stream *stream = *place_of_number(streams, chain, number);
    if (stream != NULL)
        take_out(streams, stream);
    unlock(streams);
    const enum mkt_err err = stream != NULL ? MKT_OK : MKT_E_NO_SESSION;
    release_stream(streams, stream);
    return err;
}

size_t mkt_streams_count(struct mkt_streams *streams)
{
    lock(streams);
    size_t count = streams->count;
    unlock(streams);
    return count;
}

/* Configurations */

/* Whether a connection may have a stream now. */
static bool may_have(const struct connection *connection, const struct stream *stream)
{
    if (connection->serial != 0 && connection->serial != stream->serial)
        return false;
    return !stream->connected || connection->connected;
}

/* Copies the key that an identity has on a connection, in a handshake or a renegotiation; answers its octets or 0. */
static size_t copy_key(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, const void *identity, size_t n,
                       uint8_t key[MBEDTLS_PSK_MAX_LEN])
{
    uint32_t identity_chain;
    if (!chain_of(streams, IDENTITY, identity, n, &identity_chain))
        return 0;
    size_t n_key = 0;
    lock(streams);
    struct connection *connection = *place_of_context(streams, ssl);
    struct stream *stream = *place_of_identity(streams, identity_chain, identity, n);
    if (connection != NULL)
        connection->key = 0;
    if (connection != NULL && stream != NULL && may_have(connection, stream)) {
        claim(connection, stream);
        connection->key = stream->key;
        n_key = stream->n_psk;
        memcpy(key, stream->octets, n_key);
    }
    unlock(streams);
    return n_key;
}

/* mbedTLS asks for the key of an identity. In TLS 1.3 it does so for one after the other, until it has a key. */
static int find_key(void *user, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t n)
{
    struct mkt_streams *streams = user;
    uint8_t key[MBEDTLS_PSK_MAX_LEN > DIGEST ? MBEDTLS_PSK_MAX_LEN : DIGEST];

    size_t n_key = copy_key(streams, ssl, identity, n, key);
    if (n_key == 0 && streams->settings.hide_identities &&
        digest_of(streams, NOBODYS_KEY, identity, n < MKT_TLS_MAX_IDENTITY ? n : MKT_TLS_MAX_IDENTITY, key))
        n_key = DIGEST;
    int result = MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
    if (n_key > 0)
        result = mbedtls_ssl_set_hs_psk(ssl, key, n_key);
    mbedtls_platform_zeroize(key, sizeof key);
    return result;
}

enum mkt_err mkt_streams_server(struct mkt_streams *streams, mbedtls_ssl_config *conf, struct mkt_tls *tls,
                                const struct mkt_tls_settings *settings)
{
    struct mkt_tls_settings server;
    if (!mkt_sized_copy(&server, sizeof server, settings, MKT_UP_TO(mkt_tls_settings, suites)))
        return MKT_E_ARGUMENT;
    server.end = MKT_END_SERVER;
    enum mkt_err err = mkt_tls_configure(conf, tls, &server);
    if (err == MKT_OK)
        mbedtls_ssl_conf_psk_cb(conf, find_key, streams);
    return err;
}

/* Copies key and identity of the stream that a connection is for; behind the lock. */
static enum mkt_err copy_stream(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, uint8_t *octets,
                                struct mkt_span *psk, struct mkt_span *identity)
{
    struct connection *connection = *place_of_context(streams, ssl);
    const struct stream *stream = connection != NULL ? stream_of(streams, connection) : NULL;
    if (stream == NULL)
        return MKT_E_NO_SESSION;
    if (!may_have(connection, stream))
        return MKT_E_IN_USE;
    *psk = (struct mkt_span){octets, stream->n_psk};
    *identity = (struct mkt_span){octets + stream->n_psk, stream->n_identity};
    memcpy(octets, stream->octets, psk->n + identity->n);
    connection->key = stream->key;
    return MKT_OK;
}

enum mkt_err mkt_streams_client(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, mbedtls_ssl_config *conf,
                                struct mkt_tls *tls, const struct mkt_tls_settings *settings)
{
    uint8_t octets[MBEDTLS_PSK_MAX_LEN + MKT_TLS_MAX_IDENTITY];
    struct mkt_span psk = {octets, 0}, identity = {octets, 0};
    struct mkt_tls_settings client;

    if (!mkt_sized_copy(&client, sizeof client, settings, MKT_UP_TO(mkt_tls_settings, suites)))
        return MKT_E_ARGUMENT;
    client.end = MKT_END_CLIENT;
    lock(streams);
    enum mkt_err err = copy_stream(streams, ssl, octets, &psk, &identity);
    unlock(streams);
    err = err == MKT_OK ? mkt_tls_setup_psk(conf, tls, &client, psk, identity) : err;
    mbedtls_platform_zeroize(octets, sizeof octets);
    return err;
}

/* Connections */

static enum mkt_err bind(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, const uint64_t *number)
{
    uint32_t chain = 0;
    if (number != NULL && !chain_of(streams, NUMBER, number, sizeof *number, &chain))
        return MKT_E_CRYPTO;
    struct connection *connection = get_memory(&streams->settings, sizeof *connection);
    if (connection == NULL)
        return MKT_E_MEMORY;
    *connection = (struct connection){.ssl = ssl};

    lock(streams);
    const struct stream *stream = number != NULL ? *place_of_number(streams, chain, *number) : NULL;
    const bool missing = number != NULL && stream == NULL;
    if (stream != NULL)
        claim(connection, stream);
    if (!missing)
        *place_of_context(streams, ssl) = connection;
    unlock(streams);
    if (missing)
        release(&streams->settings, connection, sizeof *connection);
    return missing ? MKT_E_NO_SESSION : MKT_OK;
}

enum mkt_err mkt_streams_bind(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, const uint64_t *number)
{
    const struct end end = forget(streams, ssl);
    const enum mkt_err err = bind(streams, ssl, number);
    tell(streams, end, MKT_TLS_CUT);
    return err;
}

/* Gives a stream to a connection whose handshake proved its key. A connection keeps its stream when that is rekeyed. */
static bool connect_stream(struct mkt_streams *streams, const mbedtls_ssl_context *ssl)
{
    lock(streams);
    struct connection *connection = *place_of_context(streams, ssl);
    struct stream *stream = connection != NULL ? stream_of(streams, connection) : NULL;
    bool given =
        stream != NULL && (connection->connected || connection->key == stream->key) && may_have(connection, stream);
    if (given)
        stream->connected = connection->connected = true;
    unlock(streams);
    return given;
}

/* What an answer of mbedTLS says of the session. */
static enum mkt_tls_state state_of(int result)
{
    switch (result) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE:
    case MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS:
    case MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS:
    case MBEDTLS_ERR_SSL_TIMEOUT:
    /* RFC 5246 7.2.2, no_renegotiation: who asked for a renegotiation and does not get it may go on without */
    case MBEDTLS_ERR_SSL_WAITING_SERVER_HELLO_RENEGO:
#if defined(MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
    case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET:
#endif
        return MKT_TLS_OPEN;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return MKT_TLS_CLOSED;
    case 0:
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_NET_CONN_RESET:
    case MBEDTLS_ERR_NET_RECV_FAILED:
    case MBEDTLS_ERR_NET_SEND_FAILED:
        return MKT_TLS_CUT;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        return MKT_TLS_ALERT;
    default:
        return result > 0 ? MKT_TLS_OPEN : MKT_TLS_FAILED;
    }
}

enum mkt_err mkt_streams_handshake(struct mkt_streams *streams, mbedtls_ssl_context *ssl, int *result)
{
    *result = mbedtls_ssl_handshake(ssl);
    if (*result == 0 && connect_stream(streams, ssl))
        return MKT_OK;
    const bool denied = *result == 0;
    if (denied) {
        /* RFC 8446 6.2: "A valid certificate or PSK was received, but [...] the sender decided not to proceed" */
        (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED);
        *result = MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
    }
    const enum mkt_tls_state state = state_of(*result);
    if (state == MKT_TLS_OPEN)
        return MKT_E_AGAIN;
    tell(streams, forget(streams, ssl), state);
    return denied ? MKT_E_DENIED : MKT_E_TLS;
}

enum mkt_err mkt_streams_find(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, uint64_t *number)
{
    lock(streams);
    const struct connection *connection = *place_of_context(streams, ssl);
    bool has = connection != NULL && connection->connected && stream_of(streams, connection) != NULL;
    if (has)
        *number = connection->number;
    unlock(streams);
    return has ? MKT_OK : MKT_E_NO_SESSION;
}

enum mkt_tls_state mkt_streams_status(struct mkt_streams *streams, mbedtls_ssl_context *ssl, int result)
{
    const enum mkt_tls_state state = state_of(result);
    if (state == MKT_TLS_CLOSED)
        (void)!mkt_streams_close(streams, ssl);
    else if (state != MKT_TLS_OPEN)
        tell(streams, forget(streams, ssl), state);
    return state;
}

enum mkt_err mkt_streams_close(struct mkt_streams *streams, mbedtls_ssl_context *ssl)
{
    const struct end end = forget(streams, ssl);
    const int result = mbedtls_ssl_close_notify(ssl);
    tell(streams, end, MKT_TLS_CLOSED);
    return result == 0 ? MKT_OK : state_of(result) == MKT_TLS_OPEN ? MKT_E_AGAIN : MKT_E_TLS;
}
