/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three tables of chains under one lock: streams by identity, streams by number, connections by the address of their
 * context (one of mbedTLS 2.28 has no user data). A secret tells where a chain begins, so that peers, who choose
 * identities, can't make one long. A stream has a list of the connections that are for it; each points back to it.
 *
 * A handshake proves a key, so a connection keeps the serial number of its key. It gets its stream only if that is the
 * key of the stream: not for a resumed session, a key that was replaced meanwhile, or the key that nobody knows.
 *
 * A connection is also the BIO between mbedTLS and the caller's. So it can stop all octets of a stream that was
 * removed, and knows what mbedTLS does not tell: if a record is still unsent, and if TCP has ended.
 */

#include <mikeyticket/streams.h>

#include "io.h"
#include "sized.h"

#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/threading.h>
#include <mbedtls/version.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(MBEDTLS_THREADING_C) /* one thread alone */
#define mbedtls_threading_mutex_t bool
#define mbedtls_mutex_init(mutex) (void)(mutex)
#define mbedtls_mutex_free(mutex) (void)(mutex)
#define mbedtls_mutex_lock(mutex) (mutex)
#define mbedtls_mutex_unlock(mutex) (mutex)
#endif

#if MBEDTLS_VERSION_MAJOR < 3
#define mbedtls_sha256 mbedtls_sha256_ret
#define MBEDTLS_PRIVATE(member) member
#endif

enum { LEAST_PSK = 16, MAX_TEK = 64, SECRET = 32, DIGEST = 32, SHOWN_IDENTITY = 64, HELLO = 256 };

/* Defaults of settings, and bounds. */
enum { MOST_STREAMS = 100000, MOST_WAITING = 8, LIMIT = 1 << 24, MOST_STRANGE = 1 << 17 };

_Static_assert(MBEDTLS_PSK_MAX_LEN <= UINT8_MAX && MKT_TLS_MAX_IDENTITY <= UINT16_MAX, "lengths fit struct key");

/* What a digest is for; each has a secret of its own. */
enum use { IDENTITY, NOBODYS_KEY, USES };

/* An element of a list, from which it can be taken without a search. The first member of what is listed. */
struct link {
    struct link *next, **at; /* `at` NULL: in no list */
};

struct key {
    uint64_t serial; /* no two keys have the same */
    uint32_t chain;  /* of the identity */
    uint16_t n_identity;
    uint8_t n_psk;
    uint8_t octets[]; /* psk, identity */
};

struct stream {
    struct link announced; /* in mkt_streams.announced, until it has a key */
    struct stream *next_by_identity, *next_by_number;
    struct key *key; /* NULL: announced */
    struct link *connections;
    const struct connection *connected; /* the one that has it, or NULL */
    uint64_t number, until;
};

/* EARLY: its stream has no key yet. GONE: its stream was removed. LEFT: this end has closed. */
enum progress { READY, EARLY, GONE, LEFT };

struct connection {
    struct link link; /* in stream->connections */
    struct connection *next;
    mbedtls_ssl_context *ssl;
    struct stream *stream; /* that it is for, or NULL: not known yet */
    uint64_t key;          /* the serial number of the key that its handshake was given; 0: none */
    bool hidden;           /* it must not hear that its stream is there: it has only named it */
    _Atomic enum progress progress;

    /* All above are behind the lock, except that `progress` may be read without. Below: its own thread alone. */
    struct mkt_tls_bio bio;
    bool unsent;                  /* TCP has not taken the whole of a record */
    bool eof;                     /* TCP has ended */
    bool leaving;                 /* the handshake or the last alert may pass even if it is GONE or LEFT */
    bool mute;                    /* a record was refused. It has a number, so none can follow it. */
    bool told;                    /* mbedTLS was given that alert */
    uint32_t n_strange;           /* octets that came before the key was proven */
    uint8_t type;                 /* of the record that was sent last since octets came; 0: none was */
    uint16_t n_hello, n_identity; /* octets that came first; octets of the identity that was named last */
    uint8_t hello[HELLO], identity[SHOWN_IDENTITY];
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
    mbedtls_threading_mutex_t mutex;
    /* behind the lock: */
    size_t n_streams, n_connections;
    uint64_t last_serial;
    uint8_t n_psk; /* of the key that came last */
    struct link *announced;
    struct heads chain[];
};

static void lock(struct mkt_streams *streams)
{
    (void)mbedtls_mutex_lock(&streams->mutex); /* of a mutex that exists: it can't fail */
}

static void unlock(struct mkt_streams *streams)
{
    (void)mbedtls_mutex_unlock(&streams->mutex);
}

static void link_in(struct link **list, struct link *link)
{
    *link = (struct link){*list, list};
    if (link->next != NULL)
        link->next->at = &link->next;
    *list = link;
}

static void link_out(struct link *link)
{
    if (link->at == NULL)
        return;
    *link->at = link->next;
    if (link->next != NULL)
        link->next->at = link->at;
    link->at = NULL;
}

/* Memory */

static void *get_memory(const struct mkt_streams_settings *settings, size_t n)
{
    return settings->alloc != NULL ? settings->alloc(settings->user, n) : malloc(n);
}

static void release(const struct mkt_streams_settings *settings, void *p, size_t n)
{
    mbedtls_platform_zeroize(p, n);
    if (settings->release != NULL)
        settings->release(settings->user, p);
    else
        free(p);
}

static void release_key(const struct mkt_streams *streams, struct key *key)
{
    if (key != NULL)
        release(&streams->settings, key, sizeof *key + key->n_psk + key->n_identity);
}

static void release_stream(const struct mkt_streams *streams, struct stream *stream)
{
    if (stream == NULL)
        return;
    release_key(streams, stream->key);
    release(&streams->settings, stream, sizeof *stream);
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

static bool chain_of_identity(const struct mkt_streams *streams, const void *identity, size_t n, uint32_t *chain)
{
    uint8_t digest[DIGEST];
    if (!digest_of(streams, IDENTITY, identity, n, digest))
        return false;
    memcpy(chain, digest, sizeof *chain);
    *chain &= streams->mask;
    return true;
}

/* No peer chooses a number or an address: 2^64 divided by the golden ratio is enough to spread them. All bits count. */
static uint32_t chain_of(const struct mkt_streams *streams, uint64_t number)
{
    return (uint32_t)((number ^ number >> 32) * 0x9e3779b97f4a7c15u >> 32) & streams->mask;
}

/* Each of these answers the place in a chain where something is, or would be. */

static struct stream **place_of_identity(struct mkt_streams *streams, uint32_t chain, const void *identity, size_t n)
{
    struct stream **place = &streams->chain[chain].by_identity;
    while (*place != NULL &&
           ((*place)->key->n_identity != n || memcmp((*place)->key->octets + (*place)->key->n_psk, identity, n) != 0))
        place = &(*place)->next_by_identity;
    return place;
}

static struct stream **place_of_name(struct mkt_streams *streams, const struct key *key)
{
    return place_of_identity(streams, key->chain, key->octets + key->n_psk, key->n_identity);
}

static struct stream **place_of_number(struct mkt_streams *streams, uint64_t number)
{
    struct stream **place = &streams->chain[chain_of(streams, number)].by_number;
    while (*place != NULL && (*place)->number != number)
        place = &(*place)->next_by_number;
    return place;
}

static struct connection **place_of_context(struct mkt_streams *streams, const mbedtls_ssl_context *ssl)
{
    struct connection **place = &streams->chain[chain_of(streams, (uintptr_t)ssl)].by_context;
    while (*place != NULL && (*place)->ssl != ssl)
        place = &(*place)->next;
    return place;
}

/* The connection of a context, if it is known. It stays, as only the thread that asks may end it. */
static struct connection *connection_of(struct mkt_streams *streams, const mbedtls_ssl_context *ssl)
{
    lock(streams);
    struct connection *connection = *place_of_context(streams, ssl);
    unlock(streams);
    return connection;
}

static void claim(struct connection *connection, struct stream *stream)
{
    link_out(&connection->link);
    link_in(&stream->connections, &connection->link);
    connection->stream = stream;
}

/* Tells all connections of a stream that something has changed for them. Locked, so that none of them ends meanwhile. */
static void wake(const struct mkt_streams *streams, const struct stream *stream, enum progress progress)
{
    for (struct link *link = stream->connections; link != NULL; link = link->next) {
        struct connection *connection = (struct connection *)(void *)link;
        if (connection->hidden)
            continue;
        connection->progress = progress;
        if (streams->settings.wake != NULL)
            streams->settings.wake(streams->settings.user, connection->ssl);
    }
}

/* Takes a stream out of the tables, and from the connections that are for it. */
static void take_out(struct mkt_streams *streams, struct stream *stream)
{
    if (stream->key != NULL)
        *place_of_name(streams, stream->key) = stream->next_by_identity;
    *place_of_number(streams, stream->number) = stream->next_by_number;
    streams->n_streams--;
    link_out(&stream->announced);
    wake(streams, stream, GONE);
    while (stream->connections != NULL) {
        ((struct connection *)(void *)stream->connections)->stream = NULL;
        link_out(stream->connections);
    }
}

/* A stream that ended, for the host to be told. */
struct end {
    bool any;
    uint64_t stream;
};

/* Parts a connection from its stream, which ends if the connection has it. */
static struct end leave(struct mkt_streams *streams, struct connection *connection)
{
    lock(streams);
    struct stream *stream = connection->stream;
    const bool ends = stream != NULL && stream->connected == connection;
    link_out(&connection->link);
    connection->stream = NULL;
    connection->progress = LEFT;
    if (ends)
        take_out(streams, stream);
    unlock(streams);

    const struct end end = {ends, ends ? stream->number : 0};
    release_stream(streams, ends ? stream : NULL);
    return end;
}

/* The BIO of a connection, and of a context without one. Nothing passes once its stream was removed. */

static int bio_send(void *user, const unsigned char *octets, size_t n)
{
    struct connection *connection = user;
    if (connection == NULL)
        return MBEDTLS_ERR_NET_CONN_RESET;
    const bool refused = connection->progress >= GONE && !connection->leaving;
    connection->mute |= refused && !connection->unsent;
    if (refused || connection->mute)
        return MBEDTLS_ERR_NET_CONN_RESET;
    if (!connection->unsent && n > 0)
        connection->type = octets[0];
    const int sent = connection->bio.send(connection->bio.user, octets, n);
    connection->unsent = sent < 0 || (size_t)sent < n;
    return sent;
}

static int receive(struct connection *connection, unsigned char *octets, size_t n, const uint32_t *timeout)
{
    if (connection == NULL || connection->progress >= GONE)
        return MBEDTLS_ERR_NET_CONN_RESET;
    if (connection->progress == EARLY)
        return MBEDTLS_ERR_SSL_WANT_READ;
    const struct mkt_tls_bio *bio = &connection->bio;
    const int got =
        timeout != NULL ? bio->receive_timeout(bio->user, octets, n, *timeout) : bio->receive(bio->user, octets, n);
    for (size_t i = 0; (int)i < got && i < n && connection->n_hello < HELLO; i++)
        connection->hello[connection->n_hello++] = octets[i];
    connection->eof |= got == 0;
    connection->type = 0;
    /* mbedTLS reads warnings in a handshake until there are none: strangers could keep the thread with them */
    if (connection->leaving && got > 0 && (connection->n_strange += (uint32_t)got) > MOST_STRANGE)
        return MBEDTLS_ERR_SSL_INVALID_RECORD;
    return connection->progress >= GONE ? MBEDTLS_ERR_NET_CONN_RESET : got; /* this may have waited for long */
}

static int bio_receive(void *user, unsigned char *octets, size_t n)
{
    return receive(user, octets, n, NULL);
}

static int bio_receive_timeout(void *user, unsigned char *octets, size_t n, uint32_t timeout)
{
    return receive(user, octets, n, &timeout);
}

/* Forgets a connection. */
static struct end forget(struct mkt_streams *streams, struct connection *connection)
{
    const struct end end = leave(streams, connection);
    mbedtls_ssl_set_bio(connection->ssl, NULL, bio_send, bio_receive, NULL);
    lock(streams);
    *place_of_context(streams, connection->ssl) = connection->next;
    streams->n_connections--;
    unlock(streams);
    release(&streams->settings, connection, sizeof *connection);
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
    if (!mkt_sized_copy(&own, sizeof own, settings, MKT_UP_TO(mkt_streams_settings, failed)) || own.rng == NULL ||
        own.most > LIMIT || own.most_connections > LIMIT || (own.alloc == NULL) != (own.release == NULL))
        return MKT_E_ARGUMENT;
    size_t chains = 1;
    own.most = own.most == 0 ? MOST_STREAMS : own.most;
    own.most_connections = own.most_connections == 0 ? 2 * own.most : own.most_connections;
    own.most_waiting = own.most_waiting == 0 ? MOST_WAITING : own.most_waiting;
    while (chains < own.most || chains < own.most_connections)
        chains *= 2;

    const size_t size = sizeof **streams + chains * sizeof *(*streams)->chain;
    struct mkt_streams *made = get_memory(&own, size);
    if (made == NULL)
        return MKT_E_MEMORY;
    memset(made, 0, size);
    *made = (struct mkt_streams){.size = size, .settings = own, .mask = (uint32_t)(chains - 1), .n_psk = LEAST_PSK};
    if (own.rng(own.rng_user, made->secret[0], sizeof made->secret) != 0) {
        release(&own, made, size);
        return MKT_E_RANDOM;
    }
    mbedtls_mutex_init(&made->mutex);
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
    mbedtls_mutex_free(&streams->mutex);
    const struct mkt_streams_settings settings = streams->settings;
    release(&settings, streams, streams->size);
}

/* RFC 3629 section 4 */
static bool is_utf8(struct mkt_span text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < text.n; i++) {
        const uint8_t lead = text.p[i];
        const size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        uint32_t c = more == 0 ? lead : lead & (0x3fu >> more);
        if ((lead >= 0x80 && lead < 0xc0) || lead > 0xf4 || more >= text.n - i)
            return false;
        for (size_t end = i + more; i < end; c = c << 6 | (text.p[i] & 0x3f))
            if ((text.p[++i] & 0xc0) != 0x80)
                return false;
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
    }
    return true;
}

/* Gives a key to the stream of a number: to `*made`, which is then in the tables, if there is none of that number. A
 * key of NULL announces one. `*key` is then the key before. */
static enum mkt_err put_in(struct mkt_streams *streams, struct stream **made, struct key **key, bool rekeys)
{
    struct stream **place = place_of_number(streams, (*made)->number), *stream = *place;
    struct key *before = stream != NULL ? stream->key : NULL;
    const struct stream *named = *key != NULL ? *place_of_name(streams, *key) : NULL;
    if (rekeys && before == NULL)
        return stream == NULL ? MKT_E_NO_SESSION : MKT_E_NO_KEY;
    if ((!rekeys && stream != NULL && (before != NULL || *key == NULL)) || (named != NULL && named != stream))
        return MKT_E_IN_USE;
    if (stream == NULL && streams->n_streams == streams->settings.most)
        return MKT_E_BUNDLE_FULL;
    if (stream == NULL) {
        *place = stream = *made;
        *made = NULL;
        streams->n_streams++;
    }
    if (*key == NULL) {
        link_in(&streams->announced, &stream->announced);
        return MKT_OK;
    }
    if (before != NULL)
        *place_of_name(streams, before) = stream->next_by_identity;
    stream->key = *key;
    stream->key->serial = ++streams->last_serial;
    stream->next_by_identity = NULL;
    *place_of_name(streams, stream->key) = stream;
    streams->n_psk = stream->key->n_psk;
    link_out(&stream->announced);
    if (before == NULL)
        wake(streams, stream, READY);
    *key = before;
    return MKT_OK;
}

static enum mkt_err enter(struct mkt_streams *streams, uint64_t number, uint64_t until, struct key *key, bool rekeys)
{
    struct stream *made = get_memory(&streams->settings, sizeof *made);
    enum mkt_err err = MKT_E_MEMORY;
    if (made != NULL) {
        *made = (struct stream){.number = number, .until = until};
        lock(streams);
        err = put_in(streams, &made, &key, rekeys);
        unlock(streams);
    }
    release_key(streams, key);
    release_stream(streams, made);
    return err;
}

static enum mkt_err enter_key(struct mkt_streams *streams, uint64_t stream, struct mkt_span psk,
                              struct mkt_span identity, bool rekeys)
{
    if (psk.p == NULL || identity.p == NULL || identity.n == 0 || identity.n > MKT_TLS_MAX_IDENTITY ||
        (!streams->settings.any_identity && !is_utf8(identity)))
        return MKT_E_ARGUMENT;
    if (psk.n < LEAST_PSK || psk.n > MBEDTLS_PSK_MAX_LEN)
        return MKT_E_KEY_LENGTH;
    struct key *key = get_memory(&streams->settings, sizeof *key + psk.n + identity.n);
    if (key == NULL)
        return MKT_E_MEMORY;
    *key = (struct key){.n_psk = (uint8_t)psk.n, .n_identity = (uint16_t)identity.n};
    memcpy(key->octets, psk.p, psk.n);
    memcpy(key->octets + psk.n, identity.p, identity.n);
    if (chain_of_identity(streams, identity.p, identity.n, &key->chain))
        return enter(streams, stream, 0, key, rekeys);
    release_key(streams, key);
    return MKT_E_CRYPTO;
}

enum mkt_err mkt_streams_announce(struct mkt_streams *streams, uint64_t stream, uint64_t until)
{
    return enter(streams, stream, until, NULL, false);
}

enum mkt_err mkt_streams_add(struct mkt_streams *streams, uint64_t stream, struct mkt_span psk,
                             struct mkt_span identity)
{
    return enter_key(streams, stream, psk, identity, false);
}

enum mkt_err mkt_streams_rekey(struct mkt_streams *streams, uint64_t stream, struct mkt_span psk,
                               struct mkt_span identity)
{
    return enter_key(streams, stream, psk, identity, true);
}

/* The same with what a crypto session has. */
static enum mkt_err enter_csb(struct mkt_streams *streams, uint64_t stream, const struct mkt_csb *csb, uint8_t cs_id,
                              bool rekeys)
{
    uint8_t key[MAX_TEK], name[MKT_TLS_MAX_IDENTITY];
    struct mkt_buf tek = {key, sizeof key, 0}, identity = {name, sizeof name, 0};

    enum mkt_err err = mkt_csb_psk_identity(csb, cs_id, &identity);
    err = err == MKT_OK ? mkt_csb_tek(csb, cs_id, &tek) : err;
    const struct mkt_span psk = {key, tek.n}, named = {name, identity.n};
    err = err == MKT_OK ? enter_key(streams, stream, psk, named, rekeys) : err;
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
    lock(streams);
    struct stream *stream = *place_of_number(streams, number);
    const struct end end = {stream != NULL && stream->connected != NULL, number};
    if (stream != NULL)
        take_out(streams, stream);
    unlock(streams);
    if (stream == NULL)
        return MKT_E_NO_SESSION;
    release_stream(streams, stream);
    tell(streams, end, MKT_TLS_REMOVED);
    return MKT_OK;
}

void mkt_streams_expire(struct mkt_streams *streams, uint64_t now)
{
    struct link *late = NULL;
    lock(streams);
    for (struct link *next, *link = streams->announced; link != NULL; link = next) {
        struct stream *stream = (struct stream *)(void *)link;
        next = link->next;
        if (stream->until > now)
            continue;
        take_out(streams, stream);
        link_in(&late, link);
    }
    unlock(streams);
    while (late != NULL) {
        struct stream *stream = (struct stream *)(void *)late;
        const struct end end = {true, stream->number};
        link_out(late);
        release_stream(streams, stream);
        tell(streams, end, MKT_TLS_REMOVED);
    }
}

size_t mkt_streams_count(struct mkt_streams *streams)
{
    lock(streams);
    const size_t count = streams->n_streams;
    unlock(streams);
    return count;
}

/* Configurations */

/* Whether a connection may have a stream now. */
static bool may_have(const struct connection *connection, const struct stream *stream)
{
    if (connection->progress >= GONE || (connection->stream != NULL && connection->stream != stream))
        return false;
    return stream->connected == NULL || stream->connected == connection;
}

/* Copies the key that an identity has on a connection, in a handshake or a renegotiation; answers its octets. If it has
 * none, that is the number of octets of the key that came last, and `key` is as it was. */
static size_t copy_key(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, const void *identity, size_t n,
                       uint32_t chain, uint8_t key[MBEDTLS_PSK_MAX_LEN], bool *known)
{
    lock(streams);
    size_t n_key = streams->n_psk;
    struct connection *connection = *place_of_context(streams, ssl);
    struct stream *stream = *place_of_identity(streams, chain, identity, n);
    *known = connection != NULL && stream != NULL && may_have(connection, stream);
    if (connection != NULL) {
        connection->key = 0;
        connection->n_identity = (uint16_t)(n < UINT16_MAX ? n : UINT16_MAX);
        memcpy(connection->identity, identity, n < SHOWN_IDENTITY ? n : SHOWN_IDENTITY);
    }
    if (*known) {
        connection->hidden |= streams->settings.hide_identities && connection->stream == NULL;
        claim(connection, stream);
        connection->key = stream->key->serial;
        n_key = stream->key->n_psk;
        memcpy(key, stream->key->octets, n_key);
    }
    unlock(streams);
    return n_key;
}

/* mbedTLS asks for the key of an identity. In TLS 1.3 it does so for one after the other, until it has a key. To hide
 * which identities there are, this costs the same for all, and the key that nobody knows is as long as another. */
static int find_key(void *user, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t n)
{
    struct mkt_streams *streams = user;
    const bool hide = streams->settings.hide_identities;
    const size_t n_used = n < MKT_TLS_MAX_IDENTITY ? n : MKT_TLS_MAX_IDENTITY;
    uint8_t key[2 * DIGEST > MBEDTLS_PSK_MAX_LEN ? 2 * DIGEST : MBEDTLS_PSK_MAX_LEN] = {0};
    uint32_t chain;
    bool known;

    if (!chain_of_identity(streams, identity, n_used, &chain) ||
        (hide && !digest_of(streams, NOBODYS_KEY, identity, n_used, key)))
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    memcpy(key + DIGEST, key, DIGEST);
    const size_t n_key = copy_key(streams, ssl, identity, n, chain, key, &known);
    const int result = known || hide ? mbedtls_ssl_set_hs_psk(ssl, key, n_key) : MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
    mbedtls_platform_zeroize(key, sizeof key);
    return result;
}

enum mkt_err mkt_streams_server(struct mkt_streams *streams, mbedtls_ssl_config *conf, const struct mkt_tls *tls,
                                int *cause)
{
    if (tls->end != MKT_END_SERVER)
        return MKT_E_ARGUMENT;
    const enum mkt_err err = mkt_tls_configure(conf, tls, cause);
    if (err == MKT_OK)
        mbedtls_ssl_conf_psk_cb(conf, find_key, streams);
    return err;
}

/* Copies key and identity of the stream that a connection is for; behind the lock. */
static enum mkt_err copy_stream(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, uint8_t *octets,
                                struct mkt_span *psk, struct mkt_span *identity)
{
    struct connection *connection = *place_of_context(streams, ssl);
    const struct stream *stream = connection != NULL ? connection->stream : NULL;
    if (stream == NULL)
        return MKT_E_NO_SESSION;
    if (stream->key == NULL)
        return MKT_E_NO_KEY;
    if (!may_have(connection, stream))
        return MKT_E_IN_USE;
    *psk = (struct mkt_span){octets, stream->key->n_psk};
    *identity = (struct mkt_span){octets + stream->key->n_psk, stream->key->n_identity};
    memcpy(octets, stream->key->octets, psk->n + identity->n);
    connection->key = stream->key->serial;
    return MKT_OK;
}

enum mkt_err mkt_streams_client(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, mbedtls_ssl_config *conf,
                                const struct mkt_tls *tls, int *cause)
{
    uint8_t octets[MBEDTLS_PSK_MAX_LEN + MKT_TLS_MAX_IDENTITY];
    struct mkt_span psk = {octets, 0}, identity = {octets, 0};

    if (tls->end != MKT_END_CLIENT)
        return MKT_E_ARGUMENT;
    lock(streams);
    enum mkt_err err = copy_stream(streams, ssl, octets, &psk, &identity);
    unlock(streams);
    err = err == MKT_OK ? mkt_tls_setup_psk(conf, tls, psk, identity, cause) : err;
    mbedtls_platform_zeroize(octets, sizeof octets);
    return err;
}

/* Connections */

/* Enters a connection, for the stream of a number or for any. */
static enum mkt_err enter_connection(struct mkt_streams *streams, struct connection *connection, const uint64_t *number)
{
    struct stream *stream = number != NULL ? *place_of_number(streams, *number) : NULL;
    if (number != NULL && stream == NULL)
        return MKT_E_NO_SESSION;
    if (streams->n_connections == streams->settings.most_connections)
        return MKT_E_TOO_MANY;
    if (stream != NULL && stream->key == NULL) {
        size_t waiting = 0;
        for (const struct link *link = stream->connections; link != NULL; link = link->next)
            waiting++;
        if (waiting == streams->settings.most_waiting)
            return MKT_E_TOO_MANY;
        connection->progress = EARLY;
    }
    if (stream != NULL)
        claim(connection, stream);
    *place_of_context(streams, connection->ssl) = connection;
    streams->n_connections++;
    return MKT_OK;
}

static enum mkt_err bind(struct mkt_streams *streams, mbedtls_ssl_context *ssl, const uint64_t *number,
                         const struct mkt_tls_bio *bio)
{
    struct connection *connection = get_memory(&streams->settings, sizeof *connection);
    if (connection == NULL)
        return MKT_E_MEMORY;
    *connection = (struct connection){.ssl = ssl, .bio = *bio, .leaving = true};
    lock(streams);
    const enum mkt_err err = enter_connection(streams, connection, number);
    unlock(streams);
    if (err == MKT_OK)
        mbedtls_ssl_set_bio(ssl, connection, bio_send, bio->receive != NULL ? bio_receive : NULL,
                            bio->receive_timeout != NULL ? bio_receive_timeout : NULL);
    else
        release(&streams->settings, connection, sizeof *connection);
    return err;
}

enum mkt_err mkt_streams_bind(struct mkt_streams *streams, mbedtls_ssl_context *ssl, const uint64_t *stream,
                              const struct mkt_tls_bio *bio)
{
    struct connection *before = connection_of(streams, ssl);
    const struct end end = before != NULL ? forget(streams, before) : (struct end){false, 0};
    const enum mkt_err err = bind(streams, ssl, stream, bio);
    tell(streams, end, MKT_TLS_CUT);
    return err;
}

/* Gives a stream to a connection whose handshake proved its key. A connection keeps its stream when that is rekeyed. */
static bool connect_stream(struct mkt_streams *streams, struct connection *connection)
{
    lock(streams);
    struct stream *stream = connection->stream;
    const bool given = stream != NULL && may_have(connection, stream) &&
                       (stream->connected == connection || connection->key == stream->key->serial);
    if (given)
        stream->connected = connection;
    connection->leaving = connection->hidden = !given;
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

/* Sends the last alert: close_notify, or a fatal one. mbedTLS sends no alert if it has to finish a record first, and
 * does not say so (its issue 8859): so that is done by a call of its own. */
static int say(struct connection *connection, unsigned char alert)
{
    mbedtls_ssl_context *ssl = connection->ssl;
    const bool fatal = alert != MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY;
    const unsigned char level = fatal ? MBEDTLS_SSL_ALERT_LEVEL_FATAL : MBEDTLS_SSL_ALERT_LEVEL_WARNING;
    int result = 0;
    connection->leaving = true;
#if MBEDTLS_VERSION_MAJOR < 3
    ssl->major_ver = ssl->minor_ver = MBEDTLS_SSL_MINOR_VERSION_3; /* TLS 1.2; 0 before the ClientHello is read */
#endif
    if (connection->unsent)
        result = mbedtls_ssl_send_alert_message(ssl, level, alert);
    if (result != 0 || connection->told)
        return result;
    connection->told = true;
    /* mbedtls_ssl_close_notify() sends nothing in a renegotiation. There is a cipher suite if a handshake is over. */
    const bool known = fatal || mbedtls_ssl_get_ciphersuite(ssl) != NULL;
    return known ? mbedtls_ssl_send_alert_message(ssl, level, alert) : 0;
}

/* Sends the alert that mbedTLS did not: it has none for KeyUpdate, a bad record or an empty identity, nor while a record
 * is unsent. After the peer's last record a protected one is an alert. */
static void say_why(struct connection *connection, int result, unsigned char otherwise)
{
    if (connection->type == MBEDTLS_SSL_MSG_ALERT || connection->type == MBEDTLS_SSL_MSG_APPLICATION_DATA)
        return;
    if (result == MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE || result == MBEDTLS_ERR_SSL_INVALID_RECORD)
        otherwise = MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE;
    (void)say(connection, result == MBEDTLS_ERR_SSL_INVALID_MAC ? MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC : otherwise);
}

/* The cipher suites that the first record of a ClientHello has, RFC 5246 7.4.1.2; answers how many there are, or 0. */
static size_t offered_suites(const struct connection *connection, uint16_t suites[HELLO / 2])
{
    struct io io = io_get((struct mkt_span){connection->hello, connection->n_hello});
    struct mkt_span skipped;
    uint8_t type, handshake;
    uint16_t length = 0;
    size_t n = 0;
    io_u8(&io, &type);
    io_bytes(&io, &skipped, 2); /* version */
    io_u16(&io, &length);
    const struct mkt_span rest = io_rest(&io);
    io = io_get((struct mkt_span){rest.p, rest.n < length ? rest.n : length});
    io_u8(&io, &handshake);
    io_bytes(&io, &skipped, 3 + 2 + 32); /* length, version, random */
    io_vec(&io, &skipped, 1);            /* session ID */
    io_u16(&io, &length);
    /* a number that was cut off is 0 */
    if (type != MBEDTLS_SSL_MSG_HANDSHAKE || handshake != MBEDTLS_SSL_HS_CLIENT_HELLO)
        return 0;
    for (io_u16(&io, &suites[0]); io.err == MKT_OK && 2 * n < length; io_u16(&io, &suites[n]))
        n++;
    return n;
}

/* Forgets a connection whose handshake failed, and tells the host why: it may release the connection then. */
static void give_up(struct mkt_streams *streams, struct connection *connection, enum mkt_tls_state how, int error)
{
    char identity[4 * SHOWN_IDENTITY + sizeof "..."] = "";
    uint16_t suites[HELLO / 2];
    struct mkt_tls_failure failure = {
        .ssl = connection->ssl, .how = how, .error = error, .alert = -1, .identity = identity, .suites = suites};
    size_t at = 0;
    for (size_t i = 0; i < connection->n_identity && i < SHOWN_IDENTITY; i++) {
        const uint8_t c = connection->identity[i];
        const bool plain = c >= ' ' && c <= '~' && c != '\\';
        at += (size_t)(plain ? snprintf(identity + at, 2, "%c", c) : snprintf(identity + at, 5, "\\x%02x", c));
    }
    if (connection->n_identity > SHOWN_IDENTITY)
        strcpy(identity + at, "...");
    if (how == MKT_TLS_ALERT)
        failure.alert = connection->ssl->MBEDTLS_PRIVATE(in_msg)[1]; /* mbedTLS has no call for it */
    failure.n_suites = offered_suites(connection, suites);
    lock(streams);
    failure.has_stream = connection->stream != NULL;
    failure.stream = failure.has_stream ? connection->stream->number : 0;
    unlock(streams);
    const struct end end = forget(streams, connection);
    if (streams->settings.failed != NULL)
        streams->settings.failed(streams->settings.user, &failure);
    tell(streams, end, how);
}

enum mkt_err mkt_streams_handshake(struct mkt_streams *streams, mbedtls_ssl_context *ssl, int *result)
{
    struct connection *connection = connection_of(streams, ssl);
    *result = MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
    if (connection == NULL)
        return MKT_E_NO_SESSION;
    if (connection->progress == EARLY) {
        *result = MBEDTLS_ERR_SSL_WANT_READ;
        return MKT_E_NO_KEY;
    }
    *result = mbedtls_ssl_handshake(ssl);
    if (*result == 0 && connect_stream(streams, connection))
        return MKT_OK;
    const bool gone = connection->progress == GONE, denied = gone || *result == 0;
    if (denied)
        *result = MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
    const enum mkt_tls_state state = gone ? MKT_TLS_REMOVED : state_of(*result);
    if (state == MKT_TLS_OPEN)
        return MKT_E_AGAIN;
    /* RFC 8446 6.2: "A valid certificate or PSK was received, but [...] the sender decided not to proceed" */
    if (denied)
        (void)say(connection, MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED);
    else if (state == MKT_TLS_FAILED)
        say_why(connection, *result, MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
    give_up(streams, connection, state, *result);
    return denied ? MKT_E_DENIED : MKT_E_TLS;
}

enum mkt_err mkt_streams_find(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, uint64_t *number)
{
    lock(streams);
    const struct connection *connection = *place_of_context(streams, ssl);
    const struct stream *stream = connection != NULL ? connection->stream : NULL;
    const bool has = stream != NULL && stream->connected == connection;
    if (has)
        *number = stream->number;
    unlock(streams);
    return has ? MKT_OK : MKT_E_NO_SESSION;
}

enum mkt_tls_state mkt_streams_status(struct mkt_streams *streams, mbedtls_ssl_context *ssl, int result)
{
    struct connection *connection = connection_of(streams, ssl);
    enum mkt_tls_state state = state_of(result);
    if (result == 0)
        state = connection == NULL || connection->eof ? MKT_TLS_CUT : MKT_TLS_OPEN; /* OPEN: an empty record */
    if (connection != NULL && connection->progress >= GONE)
        state = connection->progress == GONE ? MKT_TLS_REMOVED : MKT_TLS_CLOSED;
    if (connection == NULL || state == MKT_TLS_OPEN)
        return state;
    if (state == MKT_TLS_CLOSED)
        return mkt_streams_close(streams, ssl) == MKT_E_AGAIN ? MKT_TLS_CLOSING : MKT_TLS_CLOSED;
    if (state == MKT_TLS_REMOVED)
        (void)say(connection, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY);
    if (state == MKT_TLS_FAILED)
        say_why(connection, result, MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR);
    tell(streams, forget(streams, connection), state);
    return state;
}

enum mkt_err mkt_streams_close(struct mkt_streams *streams, mbedtls_ssl_context *ssl)
{
    struct connection *connection = connection_of(streams, ssl);
    if (connection == NULL)
        return MKT_E_NO_SESSION;
    struct end end = leave(streams, connection);
    const int result = say(connection, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY);
    const bool again = result != 0 && state_of(result) == MKT_TLS_OPEN;
    if (!again)
        (void)forget(streams, connection);
    tell(streams, end, MKT_TLS_CLOSED);
    return again ? MKT_E_AGAIN : result == 0 ? MKT_OK : MKT_E_TLS;
}

void mkt_streams_forget(struct mkt_streams *streams, const mbedtls_ssl_context *ssl)
{
    struct connection *connection = connection_of(streams, ssl);
    if (connection != NULL)
        tell(streams, forget(streams, connection), MKT_TLS_CUT);
}
