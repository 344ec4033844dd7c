/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams whose key comes after their connections, streams that are removed under them, and the bounds of both. */

#include "line.h"

#include <mikeyticket/streams.h>

#include <mbedtls/net_sockets.h>
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>
#include <mbedtls/version.h>

#include <pthread.h>

/* TLS 1.2 and, if mbedTLS has it, 1.3. */
static const char *const versions[] = {
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
#if MBEDTLS_VERSION_MAJOR >= 3
    "TLS1-3-AES-128-GCM-SHA256",
#endif
};
enum { VERSIONS = sizeof versions / sizeof *versions };

/* The alert that mbedTLS answers an unknown identity with. */
static const int unknown_identity[] = {UNKNOWN_PSK, MISSING_EXTENSION};

enum { ACCESS_DENIED = 49, SEVEN = 7, EIGHT = 8, NINE = 9, WAITING = 8, WOKEN = 32 };

static const uint64_t seven = SEVEN, eight = EIGHT, nine = NINE;

#define OTHER_KEY "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define OTHER_NAME "mikey-ticket:89abcdef:01:00c0ffee"

/* All hashes of mbedTLS, that of an HMAC too, call these for each block. The dynamic linker finds them here first. */
static size_t blocks;

int mbedtls_internal_sha256_process(mbedtls_sha256_context *hash, const unsigned char block[64])
{
    int (*real)(mbedtls_sha256_context *, const unsigned char *);
    blocks++;
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(hash, block);
}

int mbedtls_internal_sha512_process(mbedtls_sha512_context *hash, const unsigned char block[128])
{
    int (*real)(mbedtls_sha512_context *, const unsigned char *);
    blocks++;
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(hash, block);
}

/* The hash fails that is the n-th from now; 0: none does. */
static size_t until_hash_fails;

/* What another thread does during the next hash. */
static void (*meanwhile)(void);

#if MBEDTLS_VERSION_MAJOR >= 3
int mbedtls_sha256(const unsigned char *octets, size_t n, unsigned char *digest, int is224)
#else
int mbedtls_sha256_ret(const unsigned char *octets, size_t n, unsigned char digest[32], int is224)
#endif
{
    int (*real)(const unsigned char *, size_t, unsigned char *, int);
    void (*const act)(void) = meanwhile;
    meanwhile = NULL;
    if (act != NULL)
        act();
    if (until_hash_fails > 0 && --until_hash_fails == 0)
        return -1;
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(octets, n, digest, is224);
}

/* The program around the streams. It counts its memory, which must come back wiped, and what the callbacks tell. */
struct server {
    struct mkt_streams *streams;
    struct mkt_streams_settings settings;
    struct mkt_tls_settings tls;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    size_t live, allocations, fail_at;
    bool dirty; /* some memory came back unwiped */
    const mbedtls_ssl_context *woken[WOKEN];
    size_t n_woken, n_ended, n_failed;
    bool forgets; /* `failed` gives the connection up */
    bool failed_for_stream;
    uint64_t ended[WOKEN];
    enum mkt_tls_state how, failed_how;
};

enum { HEAD = 16 };

static void *take(void *user, size_t n)
{
    struct server *server = user;
    if (server->fail_at > 0 && ++server->allocations == server->fail_at)
        return NULL;
    size_t *p = malloc(HEAD + n);
    if (p == NULL)
        return NULL;
    *p = n;
    server->live++;
    return (uint8_t *)p + HEAD;
}

static void give_back(void *user, void *p)
{
    struct server *server = user;
    uint8_t *octets = p;
    size_t *head = (size_t *)(void *)(octets - HEAD);
    for (size_t i = 0; i < *head; i++)
        server->dirty |= octets[i] != 0;
    server->live--;
    free(head);
}

static void wake(void *user, mbedtls_ssl_context *ssl)
{
    struct server *server = user;
    ck_assert_uint_lt(server->n_woken, WOKEN);
    server->woken[server->n_woken++] = ssl;
}

static void ended(void *user, uint64_t stream, enum mkt_tls_state how)
{
    struct server *server = user;
    ck_assert_uint_lt(server->n_ended, WOKEN);
    server->ended[server->n_ended++] = stream;
    server->how = how;
}

static void failed(void *user, const struct mkt_tls_failure *failure)
{
    struct server *server = user;
    server->n_failed++;
    server->failed_how = failure->how;
    server->failed_for_stream = failure->has_stream;
    if (server->forgets)
        mkt_streams_forget(server->streams, failure->ssl);
}

/* `change` may change the settings before they are used. */
static struct server *server_with(void (*change)(struct mkt_streams_settings *settings))
{
    struct server *server = calloc(1, sizeof *server);
    ck_assert_ptr_nonnull(server);
    mbedtls_entropy_init(&server->entropy);
    mbedtls_ctr_drbg_init(&server->drbg);
    ck_assert_int_eq(mbedtls_ctr_drbg_seed(&server->drbg, mbedtls_entropy_func, &server->entropy, NULL, 0), 0);
    server->settings = (struct mkt_streams_settings){.size = sizeof(struct mkt_streams_settings),
                                                     .rng = mbedtls_ctr_drbg_random,
                                                     .rng_user = &server->drbg,
                                                     .most = 16,
                                                     .user = server,
                                                     .alloc = take,
                                                     .release = give_back,
                                                     .ended = ended,
                                                     .wake = wake,
                                                     .failed = failed};
    if (change != NULL)
        change(&server->settings);
    mkt_tls_settings_init(&server->tls, MKT_END_NONE);
    expect_err("new", mkt_streams_new(&server->streams, &server->settings), MKT_OK);
    return server;
}

static struct server *server_new(void)
{
    return server_with(NULL);
}

static void server_free(struct server *server)
{
    mkt_streams_free(server->streams);
    ck_assert_uint_eq(server->live, 0);
    ck_assert(!server->dirty);
    mbedtls_ctr_drbg_free(&server->drbg);
    mbedtls_entropy_free(&server->entropy);
    free(server);
    free_all();
}

static enum mkt_err try_to_add(struct server *server, uint64_t stream, const char *key, const char *name)
{
    return mkt_streams_add(server->streams, stream, from_hex(key), mkt_span_text(name));
}

static void add(struct server *server, uint64_t stream, const char *key, const char *name)
{
    expect_err(name, try_to_add(server, stream, key, name), MKT_OK);
}

static void announce(struct server *server, uint64_t stream, uint64_t until)
{
    expect_err("announce", mkt_streams_announce(server->streams, stream, until), MKT_OK);
}

static int shake_stream(struct end *end)
{
    struct server *server = end->user;
    int result;
    const enum mkt_err err = mkt_streams_handshake(server->streams, &end->ssl, &result);
    ck_assert_msg((err == MKT_OK) == (result == 0), "%s: %d", mkt_err_name(err), result);
    return result;
}

static enum mkt_err bind_end(struct server *server, struct end *end, const uint64_t *stream)
{
    const struct mkt_tls_bio bio = {.user = end, .send = put, .receive = get};
    end->user = server;
    end->handshake = shake_stream;
    return mkt_streams_bind(server->streams, &end->ssl, stream, &bio);
}

/* A line whose server end is set up for the streams, and bound to none. */
static struct line *dial(struct server *server, int version, const char *key, const char *name)
{
    const struct mkt_tls_settings client = {
        .size = sizeof client, .end = MKT_END_CLIENT, .suites = mkt_span_text(versions[version])};
    struct line *line = line_new();
    expect_err("client", set_up_psk(&line->client.conf, &line->client.tls, &client, from_hex(key), mkt_span_text(name)),
               MKT_OK);
    expect_err("server", set_up_server(server->streams, &line->server.conf, &line->server.tls, &server->tls), MKT_OK);
    start(&line->client);
    start(&line->server);
    return line;
}

static struct line *dial_to(struct server *server, int version, const uint64_t *stream)
{
    struct line *line = dial(server, version, KEY_32, NAME);
    expect_err("bind", bind_end(server, &line->server, stream), MKT_OK);
    return line;
}

static struct line *connected(struct server *server, int version)
{
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial_to(server, version, &seven);
    shake(line);
    expect_connected(line);
    return line;
}

static void hang_up(struct server *server, struct line *line)
{
    mkt_streams_forget(server->streams, &line->server.ssl);
    mkt_streams_forget(server->streams, &line->client.ssl);
    line_free(line);
}

static void expect_stream(struct server *server, struct line *line, const struct end *end, uint64_t want)
{
    uint64_t stream = 0;
    expect_connected(line);
    expect_err("find", mkt_streams_find(server->streams, &end->ssl, &stream), MKT_OK);
    ck_assert_uint_eq(stream, want);
}

/* The connection waits, and nothing was read. */
static void expect_waiting(struct server *server, struct end *end)
{
    int result = 0;
    uint64_t stream;
    expect_err("handshake", mkt_streams_handshake(server->streams, &end->ssl, &result), MKT_E_NO_KEY);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_WANT_READ);
    ck_assert_uint_eq(end->peer->sent.read, 0);
    ck_assert_uint_eq(end->sent.n, 0);
    expect_err("find", mkt_streams_find(server->streams, &end->ssl, &stream), MKT_E_NO_SESSION);
}

static void expect_unknown(struct server *server, struct end *end)
{
    int result = 0;
    expect_err("handshake", mkt_streams_handshake(server->streams, &end->ssl, &result), MKT_E_NO_SESSION);
}

static int write_to(struct end *end, const char *text)
{
    return mbedtls_ssl_write(&end->ssl, (const unsigned char *)text, strlen(text));
}

static int read_from(struct end *end)
{
    unsigned char octets[64];
    return mbedtls_ssl_read(&end->ssl, octets, sizeof octets);
}

/* The client finds a fatal alert of that description, in a record that mbedTLS takes. */
static void expect_alert(struct line *line, int alert)
{
    shake(line);
    if (line->client.result == 0) /* in TLS 1.3 a client is done before the server is */
        line->client.result = read_from(&line->client);
    ck_assert_int_eq(line->client.result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    if (alert_of(&line->server) >= 0) /* sent in clear */
        ck_assert_int_eq(alert_of(&line->server), alert);
}

/*
 * The same for a handshake that the server ended before it had the last flight of the client. In TLS 1.3 mbedTLS
 * protects the alert with the keys of the handshake then, and the client can't decrypt it (RFC 8446 A.2).
 */
static void expect_denied(struct line *line, int version)
{
    shake(line);
    if (version == 1 && line->client.result == 0)
        line->client.result = read_from(&line->client);
    if (version == 0 || line->client.result != MBEDTLS_ERR_SSL_INVALID_MAC)
        expect_alert(line, ACCESS_DENIED);
}

/* ---- the key comes after the connection ---- */

START_TEST(a_client_connects_before_the_key)
{
    struct server *server = server_new();
    announce(server, SEVEN, 0);
    struct line *line = dial_to(server, _i, &seven);
    go_on(&line->client);
    ck_assert_uint_gt(line->client.sent.n, 0);
    for (int again = 0; again < 3; again++)
        expect_waiting(server, &line->server);
    unsigned char octet;
    ck_assert_int_eq(mbedtls_ssl_handshake(&line->server.ssl), MBEDTLS_ERR_SSL_WANT_READ);
    ck_assert_int_eq(mbedtls_ssl_read(&line->server.ssl, &octet, 1), MBEDTLS_ERR_SSL_WANT_READ);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, MBEDTLS_ERR_SSL_WANT_READ), MKT_TLS_OPEN);
    expect_waiting(server, &line->server);
    ck_assert_uint_eq(server->n_woken, 0);

    add(server, SEVEN, KEY_32, NAME);
    ck_assert_uint_eq(server->n_woken, 1);
    ck_assert_ptr_eq(server->woken[0], &line->server.ssl);
    shake(line);
    expect_stream(server, line, &line->server, SEVEN);
    ck_assert_uint_eq(server->n_woken, 1);
    ck_assert_uint_eq(server->n_ended, 0);
    ck_assert_uint_eq(server->n_failed, 0);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* The peer is the TLS server: then this end has its TCP connection before the key, and sends nothing until then. */
START_TEST(a_server_is_connected_to_before_the_key)
{
    const struct mkt_tls_settings other = {
        .size = sizeof other, .end = MKT_END_SERVER, .suites = mkt_span_text(versions[_i])};
    const struct mkt_tls_settings own = {.size = sizeof own, .suites = mkt_span_text(versions[_i])};
    struct server *server = server_new();
    struct line *line = line_new();
    struct end *client = &line->client;
    expect_err("server",
               set_up_psk(&line->server.conf, &line->server.tls, &other, from_hex(KEY_32), mkt_span_text(NAME)),
               MKT_OK);
    start(&line->server);
    announce(server, SEVEN, 0);
    expect_err("bind", bind_end(server, client, &seven), MKT_OK);
    expect_waiting(server, client);
    expect_err("client", set_up_client(server->streams, &client->ssl, &client->conf, &client->tls, &own), MKT_E_NO_KEY);
    expect_waiting(server, client);

    add(server, SEVEN, KEY_32, NAME);
    ck_assert_uint_eq(server->n_woken, 1);
    ck_assert_ptr_eq(server->woken[0], &client->ssl);
    expect_err("client", set_up_client(server->streams, &client->ssl, &client->conf, &client->tls, &own), MKT_OK);
    ck_assert_int_eq(mbedtls_ssl_setup(&client->ssl, &client->conf), 0);
    shake(line);
    expect_stream(server, line, client, SEVEN);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* The table of streams.h. AT_CONNECT: TCP is up. FIRST: the server has read the first flight of the client; SECOND. */
enum when { AT_CONNECT, FIRST, SECOND };

static const struct {
    const char *what;
    bool bound;
    int version;
    enum when key_comes;
    bool connects;
} rows[] = {
    {"a port of its own, TLS 1.2, at once", true, 0, AT_CONNECT, true},
    {"a port of its own, TLS 1.2, when the client has begun", true, 0, FIRST, true},
    {"a port of its own, TLS 1.2, late", true, 0, SECOND, true},
    {"a shared port, TLS 1.2, at once", false, 0, AT_CONNECT, true},
    {"a shared port, TLS 1.2, before the second flight", false, 0, FIRST, true},
    {"a shared port, TLS 1.2, after the second flight", false, 0, SECOND, false},
#if MBEDTLS_VERSION_MAJOR >= 3
    {"a port of its own, TLS 1.3, at once", true, 1, AT_CONNECT, true},
    {"a port of its own, TLS 1.3, when the client has begun", true, 1, FIRST, true},
    {"a port of its own, TLS 1.3, late", true, 1, SECOND, true},
    {"a shared port, TLS 1.3, before the first flight", false, 1, AT_CONNECT, true},
    {"a shared port, TLS 1.3, after the first flight", false, 1, FIRST, false},
#endif
};
enum { ROWS = sizeof rows / sizeof *rows };

START_TEST(when_the_key_may_come)
{
    struct server *server = server_new();
    const int version = rows[_i].version;
    announce(server, SEVEN, 0);
    announce(server, EIGHT, 0);
    struct line *line = dial_to(server, version, rows[_i].bound ? &seven : NULL);
    for (enum when at = AT_CONNECT; at < rows[_i].key_comes; at++) {
        go_on(&line->client);
        go_on(&line->server);
    }
    if (rows[_i].bound)
        expect_waiting(server, &line->server);
    else
        ck_assert((line->client.sent.read > 0) == (rows[_i].key_comes > AT_CONNECT));
    add(server, SEVEN, KEY_32, NAME);
    shake(line);
    if (rows[_i].connects) {
        expect_stream(server, line, &line->server, SEVEN);
    } else {
        expect_refused(line);
        expect_alert(line, unknown_identity[version]);
        ck_assert_int_eq(alert_of(&line->server), unknown_identity[version]);
        expect_unknown(server, &line->server);
        ck_assert_uint_eq(server->n_failed, 1);
        ck_assert_int_eq(server->failed_how, MKT_TLS_FAILED);
        struct line *again = dial_to(server, version, NULL); /* the stream waits on */
        shake(again);
        expect_stream(server, again, &again->server, SEVEN);
        hang_up(server, again);
    }
    ck_assert_uint_eq(mkt_streams_count(server->streams), rows[_i].connects ? 2 : 1);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* All that wait are woken, all shake hands, and the first whose handshake ends has the stream. */
START_TEST(the_first_that_proves_the_key_wins)
{
    struct server *server = server_new();
    const int version = _i / WAITING;
    const size_t winner = (size_t)(_i % WAITING);
    struct line *line[WAITING];
    announce(server, SEVEN, 0);
    for (size_t i = 0; i < WAITING; i++) {
        line[i] = dial_to(server, version, &seven);
        go_on(&line[i]->client);
        expect_waiting(server, &line[i]->server);
    }
    add(server, SEVEN, KEY_32, NAME);
    ck_assert_uint_eq(server->n_woken, WAITING);
    for (size_t i = 0; i < WAITING; i++) {
        size_t times = 0;
        for (size_t j = 0; j < WAITING; j++)
            times += server->woken[j] == &line[i]->server.ssl;
        ck_assert_uint_eq(times, 1);
        name_identity(line[i], version);
    }
    shake(line[winner]);
    expect_stream(server, line[winner], &line[winner]->server, SEVEN);
    for (size_t i = 0; i < WAITING; i++) {
        if (i == winner)
            continue;
        shake(line[i]);
        ck_assert_int_eq(line[i]->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
        expect_alert(line[i], ACCESS_DENIED);
        expect_unknown(server, &line[i]->server);
    }
    ck_assert_uint_eq(server->n_failed, WAITING - 1);
    expect_stream(server, line[winner], &line[winner]->server, SEVEN);
    ck_assert_uint_eq(server->n_ended, 0);
    for (size_t i = 0; i < WAITING; i++)
        hang_up(server, line[i]);
    server_free(server);
}
END_TEST

/* What connects to every port that it finds, and does not have the key. */
enum stranger { SILENT, HANGS_UP, SPEAKS_HTTP, SENDS_ZEROS, SAYS_HELLO, HAS_NO_KEY, HAS_NO_NAME, STRANGERS };

static struct line *come_as(struct server *server, int version, enum stranger stranger)
{
    static const unsigned char zeros[64], http[] = "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    struct line *line =
        dial(server, version, stranger == HAS_NO_KEY ? OTHER_KEY : KEY_32, stranger == HAS_NO_NAME ? OTHER_NAME : NAME);
    if (stranger == HANGS_UP)
        line->client.sent.closed = true;
    if (stranger == SPEAKS_HTTP)
        ck_assert_int_eq(put(&line->client, http, sizeof http - 1), sizeof http - 1);
    if (stranger == SENDS_ZEROS)
        ck_assert_int_eq(put(&line->client, zeros, sizeof zeros), sizeof zeros);
    if (stranger >= SAYS_HELLO)
        go_on(&line->client);
    return line;
}

/* With a port scanner on all other places, whichever of them the peer has. */
START_TEST(strangers_keep_nobody_out)
{
    struct server *server = server_new();
    const int version = _i / WAITING;
    const size_t place = (size_t)(_i % WAITING);
    struct line *line[WAITING];
    announce(server, SEVEN, 0);
    for (size_t i = 0, stranger = 0; i < WAITING; i++) {
        line[i] =
            i == place ? dial(server, version, KEY_32, NAME) : come_as(server, version, (enum stranger)stranger++);
        expect_err("bind", bind_end(server, &line[i]->server, &seven), MKT_OK);
        if (i == place)
            go_on(&line[i]->client);
        expect_waiting(server, &line[i]->server);
    }
    add(server, SEVEN, KEY_32, NAME);
    ck_assert_uint_eq(server->n_woken, WAITING);
    for (size_t i = 0, stranger = 0; i < WAITING; i++) {
        if (i == place)
            continue;
        for (int times = 0; times < 20; times++) {
            if (stranger != SAYS_HELLO && stranger != SILENT)
                go_on(&line[i]->client);
            go_on(&line[i]->server);
        }
        const bool goes_on = stranger == SAYS_HELLO || stranger == SILENT;
        ck_assert_msg((line[i]->server.result == MBEDTLS_ERR_SSL_WANT_READ) == goes_on, "stranger %zu: -0x%04x",
                      stranger, (unsigned)-line[i]->server.result);
        stranger++;
    }
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    ck_assert_uint_eq(server->n_ended, 0);
    shake(line[place]);
    expect_stream(server, line[place], &line[place]->server, SEVEN);
    for (size_t i = 0; i < WAITING; i++)
        hang_up(server, line[i]);
    server_free(server);
}
END_TEST

static void two_may_wait(struct mkt_streams_settings *settings)
{
    settings->most_waiting = 2;
}

/* A connection more is left in the queue of TCP, until one that waits ends, or the key comes. */
START_TEST(as_many_wait_as_may)
{
    enum { CLOSES, FORGETS, BOUND_ELSEWHERE, STREAM_HAS_ITS_KEY, WAYS };
    const size_t most = _i / WAYS == 0 ? WAITING : 2;
    struct server *server = most == 2 ? server_with(two_may_wait) : server_new();
    struct line *line[WAITING + 1];
    announce(server, SEVEN, 0);
    announce(server, EIGHT, 0);
    for (size_t i = 0; i < most; i++)
        line[i] = dial_to(server, 0, &seven);
    line[most] = dial(server, 0, KEY_32, NAME);
    const size_t live = server->live;
    for (int again = 0; again < 2; again++)
        expect_err("one more", bind_end(server, &line[most]->server, &seven), MKT_E_TOO_MANY);
    ck_assert_uint_eq(server->live, live);
    expect_unknown(server, &line[most]->server);
    expect_err("of another stream", bind_end(server, &line[most]->server, &eight), MKT_OK);
    expect_waiting(server, &line[most]->server);
    expect_err("of no stream", bind_end(server, &line[most]->server, NULL), MKT_OK);

    struct end *first = &line[0]->server;
    if (_i % WAYS == CLOSES) /* there is no handshake yet: there is nothing to say */
        expect_err("close", mkt_streams_close(server->streams, &first->ssl), MKT_OK);
    if (_i % WAYS == CLOSES)
        ck_assert_uint_eq(first->sent.n, 0);
    if (_i % WAYS == FORGETS)
        mkt_streams_forget(server->streams, &first->ssl);
    if (_i % WAYS == BOUND_ELSEWHERE)
        expect_err("bind", bind_end(server, first, &eight), MKT_OK);
    if (_i % WAYS == STREAM_HAS_ITS_KEY)
        add(server, SEVEN, KEY_32, NAME);
    expect_err("there is room", bind_end(server, &line[most]->server, &seven), MKT_OK);
    if (_i % WAYS != STREAM_HAS_ITS_KEY) {
        expect_waiting(server, &line[most]->server);
        add(server, SEVEN, KEY_32, NAME);
        ck_assert_uint_eq(server->n_woken, most);
    }
    ck_assert_uint_eq(server->n_ended, 0);
    shake(line[most]);
    expect_stream(server, line[most], &line[most]->server, SEVEN);
    for (size_t i = 0; i <= most; i++)
        hang_up(server, line[i]);
    server_free(server);
}
END_TEST

/* A call of mkt_streams_add() that fails changes nothing. */
START_TEST(a_key_that_is_refused)
{
    struct server *server = server_new();
    add(server, EIGHT, KEY_16, "eight");
    announce(server, SEVEN, 5);
    struct line *line = dial_to(server, _i, &seven);
    go_on(&line->client);
    expect_err("identity", try_to_add(server, SEVEN, KEY_32, "eight"), MKT_E_IN_USE);
    expect_waiting(server, &line->server);
    expect_err("short key", try_to_add(server, SEVEN, "000102030405060708090a0b0c0d0e", NAME), MKT_E_KEY_LENGTH);
    expect_waiting(server, &line->server);
    expect_err("no identity", try_to_add(server, SEVEN, KEY_32, ""), MKT_E_ARGUMENT);
    expect_waiting(server, &line->server);
    const size_t live = server->live;
    for (server->fail_at = 1; server->fail_at < 10; server->fail_at++) {
        server->allocations = 0;
        const enum mkt_err err = try_to_add(server, SEVEN, KEY_32, NAME);
        if (err == MKT_OK)
            break;
        expect_err("no memory", err, MKT_E_MEMORY);
        ck_assert_uint_eq(server->live, live);
        expect_waiting(server, &line->server);
        ck_assert_uint_eq(server->n_woken, 0);
    }
    ck_assert_uint_eq(server->fail_at, 3); /* a key and a stream, which is not needed this time */
    ck_assert_uint_eq(server->live, live + 1);
    server->fail_at = 0;
    ck_assert_uint_eq(server->n_woken, 1);
    mkt_streams_expire(server->streams, 5); /* it has a key: it does not expire */
    shake(line);
    expect_stream(server, line, &line->server, SEVEN);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* A call that is given up ends all that wait for its key. */
START_TEST(the_call_is_given_up)
{
    struct server *server = server_new();
    const int version = _i % VERSIONS;
    const bool expires = _i / VERSIONS == 1;
    struct line *line[3];
    announce(server, SEVEN, 10);
    for (size_t i = 0; i < 2; i++) {
        line[i] = dial_to(server, version, &seven);
        if (i == 0)
            go_on(&line[i]->client);
    }
    announce(server, EIGHT, 11);
    line[2] = dial_to(server, version, &eight);
    if (expires)
        mkt_streams_expire(server->streams, 10);
    else
        expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    ck_assert_uint_eq(server->n_woken, 2);
    ck_assert_ptr_ne(server->woken[0], server->woken[1]);
    for (size_t i = 0; i < 2; i++)
        ck_assert(server->woken[i] == &line[0]->server.ssl || server->woken[i] == &line[1]->server.ssl);
    ck_assert_uint_eq(server->n_ended, expires ? 1 : 0);
    if (expires) {
        ck_assert_uint_eq(server->ended[0], SEVEN);
        ck_assert_int_eq(server->how, MKT_TLS_REMOVED);
    }
    for (size_t i = 0; i < 2; i++) {
        int result = 0;
        expect_err("handshake", mkt_streams_handshake(server->streams, &line[i]->server.ssl, &result), MKT_E_DENIED);
        ck_assert_int_eq(result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
        ck_assert_uint_eq(line[i]->client.sent.read, 0);
        ck_assert_int_eq(alert_of(&line[i]->server), ACCESS_DENIED);
        ck_assert_uint_eq(line[i]->server.sent.n, 7); /* one alert, and nothing else */
        expect_unknown(server, &line[i]->server);
        ck_assert_int_eq(server->failed_how, MKT_TLS_REMOVED);
        ck_assert_uint_eq(server->n_failed, i + 1);
    }
    shake(line[0]);
    ck_assert_int_eq(line[0]->client.result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);

    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    expect_waiting(server, &line[2]->server);
    ck_assert_uint_eq(server->n_woken, 2);
    add(server, EIGHT, KEY_32, NAME);
    shake(line[2]);
    expect_stream(server, line[2], &line[2]->server, EIGHT);
    for (size_t i = 0; i < 3; i++)
        hang_up(server, line[i]);
    server_free(server);
}
END_TEST

/* A client has no configuration before its key, so that there is no alert either. */
START_TEST(the_call_of_a_client_is_given_up)
{
    struct server *server = server_new();
    struct line *line = line_new();
    int result;
    announce(server, SEVEN, 0);
    expect_err("bind", bind_end(server, &line->client, &seven), MKT_OK);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    ck_assert_uint_eq(server->n_woken, 1);
    const struct mkt_tls_settings own = {.size = sizeof own};
    expect_err("client", set_up_client(server->streams, &line->client.ssl, &line->client.conf, &line->client.tls, &own),
               MKT_E_NO_SESSION);
    expect_err("handshake", mkt_streams_handshake(server->streams, &line->client.ssl, &result), MKT_E_DENIED);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    ck_assert_uint_eq(line->client.sent.n, 0);
    expect_unknown(server, &line->client);
    line_free(line);
    server_free(server);
}
END_TEST

/* What is late expires, in whatever order it was announced, and nothing else. */
START_TEST(late_streams_expire)
{
    static const uint64_t until[] = {5, 3, 9, 3, 0, UINT64_MAX, 4};
    enum { N = sizeof until / sizeof *until };
    static const uint64_t now[] = {0, 2, 3, 4, 8, UINT64_MAX - 1, UINT64_MAX};
    struct server *server = server_new();
    size_t left = N, expired = 0;
    for (size_t i = 0; i < N; i++) {
        const size_t which = (i * (size_t)(_i % 6 + 1) + (size_t)_i) % N;
        announce(server, 100 + which, until[which]);
    }
    announce(server, SEVEN, 0);
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_32, OTHER_NAME);
    for (size_t i = 0; i < sizeof now / sizeof *now; i++) {
        for (int again = 0; again < 2; again++) {
            mkt_streams_expire(server->streams, now[i]);
            for (; expired < server->n_ended; expired++, left--) {
                const uint64_t number = server->ended[expired];
                ck_assert_uint_ge(number, 100);
                ck_assert_uint_le(until[number - 100], now[i]);
                ck_assert_int_eq(server->how, MKT_TLS_REMOVED);
                expect_err("it is gone", mkt_streams_remove(server->streams, number), MKT_E_NO_SESSION);
            }
            size_t due = 0;
            for (size_t j = 0; j < N; j++)
                due += until[j] <= now[i];
            ck_assert_uint_eq(expired, due);
            ck_assert_uint_eq(mkt_streams_count(server->streams), left + 2);
        }
    }
    ck_assert_uint_eq(left, 0);
    server_free(server);
}
END_TEST

/* An `ended` that announces the stream again finds the set whole. */
static struct server *announcer;

static void announce_again(void *user, uint64_t stream, enum mkt_tls_state how)
{
    ended(user, stream, how);
    announce(announcer, stream, 20);
}

static void ended_announces(struct mkt_streams_settings *settings)
{
    settings->ended = announce_again;
}

START_TEST(expired_streams_are_announced_again)
{
    announcer = server_with(ended_announces);
    for (uint64_t i = 0; i < 4; i++)
        announce(announcer, i, i);
    mkt_streams_expire(announcer->streams, 2);
    ck_assert_uint_eq(announcer->n_ended, 3);
    ck_assert_uint_eq(mkt_streams_count(announcer->streams), 4);
    mkt_streams_expire(announcer->streams, 19);
    ck_assert_uint_eq(announcer->n_ended, 4);
    server_free(announcer);
}
END_TEST

START_TEST(numbers_that_are_announced)
{
    struct server *server = server_new();
    const struct mkt_span key = from_hex(KEY_32), name = mkt_span_text(NAME);
    announce(server, SEVEN, 5);
    expect_err("twice", mkt_streams_announce(server->streams, SEVEN, 9), MKT_E_IN_USE);
    expect_err("rekey", mkt_streams_rekey(server->streams, SEVEN, key, name), MKT_E_NO_KEY);
    expect_err("rekey of none", mkt_streams_rekey(server->streams, EIGHT, key, name), MKT_E_NO_SESSION);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    add(server, EIGHT, KEY_32, NAME);
    expect_err("has a key", mkt_streams_announce(server->streams, EIGHT, 9), MKT_E_IN_USE);
    expect_err("add twice", try_to_add(server, EIGHT, KEY_32, OTHER_NAME), MKT_E_IN_USE);
    expect_err("rekey", mkt_streams_rekey(server->streams, EIGHT, key, name), MKT_OK);
    add(server, SEVEN, KEY_32, OTHER_NAME);
    expect_err("has a key", mkt_streams_announce(server->streams, SEVEN, 9), MKT_E_IN_USE);
    expect_err("rekey", mkt_streams_rekey(server->streams, SEVEN, key, mkt_span_text(OTHER_NAME)), MKT_OK);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    announce(server, SEVEN, 5);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_E_NO_SESSION);
    ck_assert_uint_eq(server->n_ended, 0);
    for (uint64_t i = 0; i < 15; i++)
        announce(server, 100 + i, i);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 16);
    expect_err("full", mkt_streams_announce(server->streams, NINE, 0), MKT_E_BUNDLE_FULL);
    expect_err("full", try_to_add(server, NINE, KEY_32, "nine"), MKT_E_BUNDLE_FULL);
    add(server, 103, KEY_32, "its place was taken when it was announced");
    server_free(server); /* with what is still announced */
}
END_TEST

START_TEST(freed_while_they_wait)
{
    struct server *server = server_new();
    announce(server, SEVEN, 0);
    announce(server, EIGHT, 0);
    struct line *one = dial_to(server, _i, &seven), *other = dial_to(server, _i, &seven);
    go_on(&one->client);
    line_free(one);
    line_free(other);
    server_free(server);
}
END_TEST

START_TEST(no_memory_to_announce_or_to_bind)
{
    struct server *server = server_new();
    server->fail_at = 1;
    expect_err("announce", mkt_streams_announce(server->streams, SEVEN, 0), MKT_E_MEMORY);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 0);
    server->fail_at = 0;
    announce(server, SEVEN, 0);
    struct line *line = dial(server, 0, KEY_32, NAME);
    server->fail_at = 1;
    server->allocations = 0;
    expect_err("bind", bind_end(server, &line->server, &seven), MKT_E_MEMORY);
    expect_unknown(server, &line->server);
    server->fail_at = 0;
    expect_err("bind", bind_end(server, &line->server, &seven), MKT_OK);
    hang_up(server, line);
    server_free(server);
}
END_TEST

static void nothing_is_told(struct mkt_streams_settings *settings)
{
    settings->wake = NULL;
    settings->ended = NULL;
    settings->failed = NULL;
}

START_TEST(callbacks_are_optional)
{
    struct server *server = server_with(nothing_is_told);
    announce(server, SEVEN, 0);
    struct line *line = dial_to(server, _i, &seven);
    expect_waiting(server, &line->server);
    add(server, SEVEN, KEY_32, NAME);
    shake(line);
    expect_stream(server, line, &line->server, SEVEN);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    announce(server, SEVEN, 0);
    struct line *second = dial_to(server, _i, &seven);
    mkt_streams_expire(server->streams, 0);
    shake(second);
    ck_assert_int_eq(second->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    hang_up(server, second);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* ---- a stream is removed under its connection ---- */

static void *remove_seven(void *user)
{
    struct server *server = user;
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    return NULL;
}

static void remove_elsewhere(struct server *server)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, remove_seven, server), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* What the program does between the removal and mkt_streams_status(). A record that is encrypted has its number in the
 * order of records: if it does not go out, no close_notify can follow it. */
enum deed { NOTHING, READS, WRITES, READS_AND_WRITES, WRITES_AND_READS, DEEDS };

START_TEST(nothing_passes_after_the_removal)
{
    const int version = _i / DEEDS;
    const enum deed deed = (enum deed)(_i % DEEDS);
    const bool writes = deed >= WRITES;
    struct server *server = server_new();
    struct line *line = connected(server, version);
    struct end *end = &line->server;
    ck_assert_int_gt(write_to(&line->client, "in the buffers of TCP"), 0);
    const size_t read = line->client.sent.read, sent = end->sent.n;
    ck_assert_uint_lt(read, line->client.sent.n);
    remove_elsewhere(server);
    ck_assert_uint_eq(server->n_woken, 1);
    ck_assert_ptr_eq(server->woken[0], &end->ssl);
    ck_assert_uint_eq(server->n_ended, 1);
    ck_assert_uint_eq(server->ended[0], SEVEN);
    ck_assert_int_eq(server->how, MKT_TLS_REMOVED);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 0);

    for (int again = 0; again < 3; again++) {
        if (deed == READS || deed == READS_AND_WRITES)
            ck_assert_int_lt(read_from(end), 0);
        if (writes)
            ck_assert_int_lt(write_to(end, "too late"), 0);
        if (deed == WRITES_AND_READS)
            ck_assert_int_lt(read_from(end), 0);
    }
    ck_assert_uint_eq(end->sent.n, sent);
    uint64_t stream;
    expect_err("find", mkt_streams_find(server->streams, &end->ssl, &stream), MKT_E_NO_SESSION);
    ck_assert_int_eq(mkt_streams_status(server->streams, &end->ssl, MBEDTLS_ERR_SSL_WANT_READ), MKT_TLS_REMOVED);
    ck_assert_uint_eq(line->client.sent.read, read);
    if (writes)
        ck_assert_uint_eq(end->sent.n, sent);
    else
        ck_assert_int_eq(read_from(&line->client), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    const size_t last = end->sent.n;
    ck_assert_uint_eq(end->sent.read, last);

    /* it is forgotten */
    ck_assert_int_lt(read_from(end), 0);
    ck_assert_int_lt(write_to(end, "too late"), 0);
    ck_assert_int_eq(mkt_streams_status(server->streams, &end->ssl, 1), MKT_TLS_OPEN);
    expect_err("close", mkt_streams_close(server->streams, &end->ssl), MKT_E_NO_SESSION);
    ck_assert_uint_eq(end->sent.n, last);
    ck_assert_uint_eq(line->client.sent.read, read);
    ck_assert_uint_eq(server->n_woken, 1);
    ck_assert_uint_eq(server->n_ended, 1);
    ck_assert_uint_eq(server->n_failed, 0);
    line_free(line);
    server_free(server);
}
END_TEST

/* It can be closed or forgotten in place of mkt_streams_status(). Its context can be used again. */
START_TEST(the_connection_ends_and_another_takes_its_context)
{
    enum { CLOSED, CLOSED_AFTER_WRITE, FORGOTTEN, BOUND_ANEW, STATUS, WAYS };
    const int version = _i / WAYS;
    struct server *server = server_new();
    struct line *line = connected(server, version);
    struct end *end = &line->server;
    mbedtls_ssl_context *ssl = &end->ssl;
    remove_elsewhere(server);
    const size_t sent = end->sent.n;
    if (_i % WAYS == CLOSED) {
        expect_err("close", mkt_streams_close(server->streams, ssl), MKT_OK);
        ck_assert_int_eq(read_from(&line->client), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    }
    if (_i % WAYS == CLOSED_AFTER_WRITE) {
        ck_assert_int_lt(write_to(end, "too late"), 0);
        expect_err("close", mkt_streams_close(server->streams, ssl), MKT_E_TLS);
        ck_assert_uint_eq(end->sent.n, sent);
    }
    if (_i % WAYS == FORGOTTEN)
        mkt_streams_forget(server->streams, ssl);
    if (_i % WAYS == STATUS)
        ck_assert_int_eq(mkt_streams_status(server->streams, ssl, 1), MKT_TLS_REMOVED);
    if (_i % WAYS != BOUND_ANEW)
        expect_unknown(server, end);
    ck_assert_uint_eq(server->n_ended, 1);

    add(server, SEVEN, OTHER_KEY, NAME);
    struct line *next = dial(server, version, OTHER_KEY, NAME);
    next->client.peer = end;
    end->peer = &next->client;
    memset(&end->sent, 0, sizeof end->sent);
    end->result = MBEDTLS_ERR_SSL_WANT_READ;
    ck_assert_int_eq(mbedtls_ssl_session_reset(ssl), 0);
    expect_err("bind", bind_end(server, end, &seven), MKT_OK);
    for (int i = 0; i < 20; i++) {
        go_on(&next->client);
        go_on(end);
    }
    ck_assert_int_eq(end->result, 0);
    say(&next->client, end, "a new stream");
    uint64_t stream = 0;
    expect_err("find", mkt_streams_find(server->streams, ssl, &stream), MKT_OK);
    ck_assert_uint_eq(stream, SEVEN);
    ck_assert_uint_eq(server->n_ended, 1);
    expect_err("close", mkt_streams_close(server->streams, ssl), MKT_OK);
    ck_assert_uint_eq(server->n_ended, 2);
    line_free(next);
    line_free(line);
    server_free(server);
}
END_TEST

/* mbedTLS decrypts a record as a whole, and what it has cannot be taken back. */
START_TEST(one_record_can_be_read_to_its_end)
{
    struct server *server = server_new();
    struct line *line = connected(server, _i);
    unsigned char octets[4];
    ck_assert_int_gt(write_to(&line->client, "ten octets"), 0);
    ck_assert_int_gt(write_to(&line->client, "the next record"), 0);
    ck_assert_int_eq(mbedtls_ssl_read(&line->server.ssl, octets, 4), 4);
    remove_elsewhere(server);
    ck_assert_int_eq(mbedtls_ssl_read(&line->server.ssl, octets, 4), 4);
    ck_assert_int_eq(mbedtls_ssl_read(&line->server.ssl, octets, 4), 2);
    ck_assert_int_lt(mbedtls_ssl_read(&line->server.ssl, octets, 4), 0);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, 2), MKT_TLS_REMOVED);
    line_free(line);
    server_free(server);
}
END_TEST

/* How often TCP is read before the stream is removed, by another thread while this one waits for octets. */
static size_t reads_before_removal;

static int get_after_removal(void *user, unsigned char *octets, size_t n)
{
    struct end *end = user;
    if (reads_before_removal-- == 0)
        remove_elsewhere(end->user);
    return get(user, octets, n);
}

static int get_in_time_after_removal(void *user, unsigned char *octets, size_t n, uint32_t timeout)
{
    (void)timeout;
    return get_after_removal(user, octets, n);
}

/* mbedTLS reads the header of a record, then the rest of it. */
START_TEST(a_read_that_waits_gets_nothing_after_the_removal)
{
    const int version = _i / 4;
    struct server *server = server_new();
    struct line *line = dial(server, version, KEY_32, NAME);
    struct end *end = &line->server;
    struct mkt_tls_bio bio = {.user = end, .send = put, .receive = get_after_removal};
    if (_i % 2 == 1)
        bio.receive_timeout = get_in_time_after_removal;
    reads_before_removal = SIZE_MAX;
    add(server, SEVEN, KEY_32, NAME);
    expect_err("bind", mkt_streams_bind(server->streams, &end->ssl, &seven, &bio), MKT_OK);
    end->user = server;
    end->handshake = shake_stream;
    shake(line);
    expect_stream(server, line, end, SEVEN);
    reads_before_removal = _i / 2 % 2 == 0 ? 0 : 1;
    ck_assert_int_gt(write_to(&line->client, "too late"), 0);
    for (int again = 0; again < 3; again++)
        ck_assert_int_lt(read_from(end), 0);
    ck_assert_uint_eq(server->n_ended, 1);
    ck_assert_int_eq(mkt_streams_status(server->streams, &end->ssl, MBEDTLS_ERR_SSL_WANT_READ), MKT_TLS_REMOVED);
    ck_assert_int_eq(read_from(&line->client), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    line_free(line);
    server_free(server);
}
END_TEST

/* The host may end a connection when it is told that the handshake failed. */
START_TEST(forgotten_when_the_handshake_fails)
{
    struct server *server = server_new();
    server->forgets = true;
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial(server, _i, OTHER_KEY, NAME);
    expect_err("bind", bind_end(server, &line->server, &seven), MKT_OK);
    shake(line);
    expect_refused(line);
    ck_assert_uint_eq(server->n_failed, 1);
    ck_assert_uint_eq(server->n_ended, 0);
    expect_unknown(server, &line->server);
    line_free(line);

    line = dial_to(server, _i, &seven);
    shake(line);
    expect_stream(server, line, &line->server, SEVEN);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* A new stream with the same number, key and identity is another one. */
START_TEST(a_new_stream_of_that_number)
{
    struct server *server = server_new();
    struct line *line = connected(server, _i);
    uint64_t stream;
    remove_elsewhere(server);
    add(server, SEVEN, KEY_32, NAME);
    ck_assert_int_gt(write_to(&line->client, "for the old one"), 0);
    ck_assert_int_lt(read_from(&line->server), 0);
    expect_err("find", mkt_streams_find(server->streams, &line->server.ssl, &stream), MKT_E_NO_SESSION);
    struct line *next = dial_to(server, _i, &seven);
    shake(next);
    expect_stream(server, next, &next->server, SEVEN);
    ck_assert_int_lt(read_from(&line->server), 0);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, 1), MKT_TLS_REMOVED);
    expect_stream(server, next, &next->server, SEVEN);
    ck_assert_uint_eq(server->n_ended, 1);
    line_free(line);
    hang_up(server, next);
    server_free(server);
}
END_TEST

/* Handshakes for the stream end too, whether it has a connection or not, and whether they are bound to it or named it. */
START_TEST(handshakes_end_with_the_stream)
{
    const int version = _i % VERSIONS;
    const bool bound = (_i / VERSIONS & 1) != 0, has_connection = (_i / VERSIONS & 2) != 0;
    struct server *server = server_new();
    add(server, SEVEN, KEY_32, NAME);
    struct line *one = dial_to(server, version, bound ? &seven : NULL), *winner = dial_to(server, version, &seven);
    name_identity(one, version);
    if (has_connection) {
        shake(winner);
        expect_stream(server, winner, &winner->server, SEVEN);
    }
    const size_t read = one->client.sent.read;
    remove_elsewhere(server);
    ck_assert_uint_eq(server->n_woken, 2);
    ck_assert_uint_eq(server->n_ended, has_connection ? 1 : 0);
    int result = 0;
    expect_err("handshake", mkt_streams_handshake(server->streams, &one->server.ssl, &result), MKT_E_DENIED);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    ck_assert_uint_eq(one->client.sent.read, read);
    expect_denied(one, version);
    ck_assert_uint_eq(server->n_failed, 1);
    ck_assert_int_eq(server->failed_how, MKT_TLS_REMOVED);
    hang_up(server, one);
    hang_up(server, winner);
    server_free(server);
}
END_TEST

/* A stream ends with its connection, and so do the other handshakes for it: their threads are woken. */
START_TEST(handshakes_end_with_the_connection)
{
    struct server *server = server_new();
    add(server, SEVEN, KEY_32, NAME);
    struct line *one = dial_to(server, _i, &seven), *winner = dial_to(server, _i, &seven);
    name_identity(one, _i);
    shake(winner);
    expect_stream(server, winner, &winner->server, SEVEN);
    expect_err("close", mkt_streams_close(server->streams, &winner->server.ssl), MKT_OK);
    ck_assert_uint_eq(server->n_woken, 1);
    ck_assert_ptr_eq(server->woken[0], &one->server.ssl);
    add(server, SEVEN, KEY_32, NAME);
    int result = 0;
    expect_err("handshake", mkt_streams_handshake(server->streams, &one->server.ssl, &result), MKT_E_DENIED);
    expect_denied(one, _i);
    hang_up(server, one);
    hang_up(server, winner);
    server_free(server);
}
END_TEST

/* TCP that takes `room` octets more, and after `until_removal` calls has the stream removed by another thread. */
static struct {
    struct server *server;
    size_t room, until_removal;
} tcp;

static int put_some(void *user, const unsigned char *octets, size_t n)
{
    if (tcp.until_removal > 0 && --tcp.until_removal == 0)
        remove_elsewhere(tcp.server);
    if (tcp.room == 0)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    const int sent = put(user, octets, n < tcp.room ? n : tcp.room);
    tcp.room -= (size_t)sent;
    return sent;
}

static void bind_slowly(struct server *server, struct end *end, const uint64_t *stream)
{
    const struct mkt_tls_bio bio = {.user = end, .send = put_some, .receive = get};
    tcp.server = server;
    tcp.room = SIZE_MAX;
    tcp.until_removal = 0;
    end->user = server;
    end->handshake = shake_stream;
    expect_err("bind", mkt_streams_bind(server->streams, &end->ssl, stream, &bio), MKT_OK);
}

/* A record that TCP has in part is sent to its end, as without it there is no close_notify; and nothing after it. */
START_TEST(removed_in_the_midst_of_a_record)
{
    enum { ONE, TEN, ALL_BUT_ONE };
    const int room = _i / VERSIONS % 3;
    const bool at_once = _i / VERSIONS / 3 == 1; /* before mbedTLS tries to send the rest */
    struct server *server = server_new();
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial(server, _i % VERSIONS, KEY_32, NAME);
    bind_slowly(server, &line->server, &seven);
    shake(line);
    expect_connected(line);
    const size_t before = line->server.sent.n;
    ck_assert_int_eq(write_to(&line->server, "same"), 4);
    ck_assert_int_eq(read_from(&line->client), 4);
    tcp.room = room == ONE ? 1 : room == TEN ? 10 : line->server.sent.n - before - 1;
    tcp.until_removal = at_once ? 1 : 0;
    ck_assert_int_eq(write_to(&line->server, "half"),
                     at_once ? MBEDTLS_ERR_NET_CONN_RESET : MBEDTLS_ERR_SSL_WANT_WRITE);
    if (!at_once)
        remove_elsewhere(server);
    ck_assert_int_lt(write_to(&line->server, "half"), 0);
    ck_assert_int_lt(read_from(&line->server), 0);
    ck_assert_uint_eq(tcp.room, 0);
    tcp.room = SIZE_MAX;
    ck_assert_int_lt(write_to(&line->server, "half"), 0);
    ck_assert_int_lt(write_to(&line->server, "more"), 0);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, MBEDTLS_ERR_NET_CONN_RESET),
                     MKT_TLS_REMOVED);
    ck_assert_int_eq(read_from(&line->client), 4);
    ck_assert_int_eq(read_from(&line->client), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    ck_assert_uint_eq(line->server.sent.read, line->server.sent.n);
    line_free(line);
    server_free(server);
}
END_TEST

/* This end closes, or answers a close_notify, and TCP takes no more: to ask meanwhile is no harm. */
START_TEST(a_close_that_waits_is_no_removal)
{
    const bool peer_closes = _i / VERSIONS == 1;
    struct server *server = server_new();
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial(server, _i % VERSIONS, KEY_32, NAME);
    mbedtls_ssl_context *ssl = &line->server.ssl;
    bind_slowly(server, &line->server, &seven);
    shake(line);
    expect_connected(line);
    tcp.room = 10;
    ck_assert_int_eq(write_to(&line->server, "half"), MBEDTLS_ERR_SSL_WANT_WRITE);
    if (peer_closes) {
        ck_assert_int_eq(mbedtls_ssl_close_notify(&line->client.ssl), 0);
        const int result = read_from(&line->server);
        ck_assert_int_eq(mkt_streams_status(server->streams, ssl, result), MKT_TLS_CLOSING);
    } else {
        expect_err("close", mkt_streams_close(server->streams, ssl), MKT_E_AGAIN);
    }
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(mkt_streams_status(server->streams, ssl, MBEDTLS_ERR_SSL_WANT_READ), MKT_TLS_CLOSING);
        ck_assert_int_eq(mkt_streams_status(server->streams, ssl, read_from(&line->server)), MKT_TLS_CLOSING);
    }
    expect_err("it has ended", mkt_streams_remove(server->streams, SEVEN), MKT_E_NO_SESSION);
    tcp.room = SIZE_MAX;
    ck_assert_int_eq(mkt_streams_status(server->streams, ssl, MBEDTLS_ERR_SSL_WANT_READ), MKT_TLS_CLOSED);
    ck_assert_int_eq(read_from(&line->client), 4);
    ck_assert_int_eq(read_from(&line->client), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    ck_assert_uint_eq(server->n_ended, 1);
    ck_assert_int_eq(server->how, MKT_TLS_CLOSED);
    ck_assert_uint_eq(server->n_woken, 0);
    expect_unknown(server, &line->server);
    line_free(line);
    server_free(server);
}
END_TEST

/* Another thread removes the stream while this one sends its flight: the peer gets the alert all the same. */
START_TEST(removed_in_the_midst_of_a_flight)
{
    enum { CALLS = 8 };
    const int version = _i / CALLS;
    struct server *server = server_new();
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial(server, version, KEY_32, NAME);
    bind_slowly(server, &line->server, &seven);
    tcp.until_removal = (size_t)(_i % CALLS) + 1;
    shake(line);
    if (tcp.until_removal > 0) { /* it has fewer records */
        ck_assert_int_eq(line->server.result, 0);
        hang_up(server, line);
    } else {
        ck_assert_int_eq(line->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
        expect_denied(line, version);
        expect_unknown(server, &line->server);
        line_free(line);
    }
    server_free(server);
}
END_TEST

/* Another thread removes the stream while its key is looked for, and adds one of that identity: that is not for this
 * connection. */
static void replace_seven(void)
{
    remove_elsewhere(tcp.server);
    add(tcp.server, EIGHT, KEY_32, NAME);
}

START_TEST(removed_while_its_key_is_looked_for)
{
    struct server *server = server_new();
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial_to(server, _i, &seven);
    go_on(&line->client);
    if (_i == 0) { /* in TLS 1.2 the identity comes in the second flight */
        go_on(&line->server);
        go_on(&line->client);
    }
    const size_t sent = line->server.sent.n;
    tcp.server = server;
    meanwhile = replace_seven;
    go_on(&line->server);
    ck_assert_msg(meanwhile == NULL, "the key was looked for");
    ck_assert_int_eq(line->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    ck_assert_uint_eq(server->n_failed, 1);
    ck_assert_int_eq(server->failed_how, MKT_TLS_REMOVED);
    ck_assert(!server->failed_for_stream);
    ck_assert_msg(line->server.sent.n - sent <= 2 * 7, "there are alerts alone");
    expect_unknown(server, &line->server);
    line_free(line);
    server_free(server);
}
END_TEST

/* ---- bounds ---- */

static void three_connections(struct mkt_streams_settings *settings)
{
    settings->most_connections = 3;
}

static void one_stream(struct mkt_streams_settings *settings)
{
    settings->most = 1;
}

START_TEST(as_many_connections_as_may)
{
    const size_t most = _i == 0 ? 3 : 2;
    struct server *server = server_with(_i == 0 ? three_connections : one_stream);
    struct line *line[4];
    add(server, SEVEN, KEY_32, NAME);
    for (size_t i = 0; i <= most; i++)
        line[i] = dial(server, 0, KEY_32, NAME);
    for (size_t i = 0; i < most; i++)
        expect_err("bind", bind_end(server, &line[i]->server, i == 1 ? NULL : &seven), MKT_OK);
    const size_t live = server->live;
    for (size_t i = 0; i < 2; i++)
        expect_err("one more", bind_end(server, &line[most]->server, i == 1 ? NULL : &seven), MKT_E_TOO_MANY);
    ck_assert_uint_eq(server->live, live);
    expect_unknown(server, &line[most]->server);
    expect_err("the same again", bind_end(server, &line[0]->server, &seven), MKT_OK);
    shake(line[0]);
    expect_stream(server, line[0], &line[0]->server, SEVEN);
    expect_err("one more", bind_end(server, &line[most]->server, NULL), MKT_E_TOO_MANY);
    expect_err("no stream", bind_end(server, &line[most]->server, &nine), MKT_E_NO_SESSION);

    line[1]->client.sent.closed = true; /* a handshake that fails makes room */
    shake(line[1]);
    ck_assert_int_eq(line[1]->server.result, MBEDTLS_ERR_SSL_CONN_EOF);
    expect_err("there is room", bind_end(server, &line[most]->server, NULL), MKT_OK);
    expect_err("one more", bind_end(server, &line[1]->server, NULL), MKT_E_TOO_MANY);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line[0]->server.ssl, MBEDTLS_ERR_SSL_CONN_EOF), MKT_TLS_CUT);
    expect_err("there is room", bind_end(server, &line[1]->server, NULL), MKT_OK);
    expect_err("one more", bind_end(server, &line[0]->server, NULL), MKT_E_TOO_MANY);
    expect_err("close", mkt_streams_close(server->streams, &line[1]->server.ssl), MKT_OK);
    expect_err("there is room", bind_end(server, &line[0]->server, NULL), MKT_OK);
    for (size_t i = 0; i <= most; i++)
        hang_up(server, line[i]);
    server_free(server);
}
END_TEST

static void set_bounds(struct mkt_streams_settings *settings, size_t most, size_t most_connections)
{
    settings->most = most;
    settings->most_connections = most_connections;
}

static void *take_nothing(void *user, size_t n)
{
    *(size_t *)user = n;
    return NULL;
}

static void release_nothing(void *user, void *p)
{
    (void)user, (void)p;
}

/* No setting makes the tables larger than for 2^24 of either, or twice as many connections as streams. */
START_TEST(bounds_have_bounds)
{
    enum { MOST = 1 << 24 };
    size_t size[4] = {0};
    struct server *server = server_new();
    struct mkt_streams_settings settings = server->settings;
    struct mkt_streams *streams;
    settings.alloc = take_nothing;
    settings.release = release_nothing;
    for (size_t i = 0; i < 4; i++) {
        settings.user = &size[i];
        set_bounds(&settings, i % 2 == 0 ? 1 : MOST, i / 2 == 0 ? 1 : MOST);
        expect_err("at most", mkt_streams_new(&streams, &settings), MKT_E_MEMORY);
    }
    ck_assert_uint_lt(size[0], 1000);
    for (size_t i = 1; i < 4; i++)
        ck_assert_uint_eq(size[i], size[1]);
    set_bounds(&settings, 1, MOST + 1);
    expect_err("connections", mkt_streams_new(&streams, &settings), MKT_E_ARGUMENT);
    set_bounds(&settings, MOST + 1, 1);
    expect_err("streams", mkt_streams_new(&streams, &settings), MKT_E_ARGUMENT);
    set_bounds(&settings, MOST, 0);
    expect_err("twice as many", mkt_streams_new(&streams, &settings), MKT_E_MEMORY);
    ck_assert_uint_gt(size[3], size[1] + size[1] / 2);
    server_free(server);
}
END_TEST

/* ---- BIOs ---- */

static bool picky, stopped;

/* Picky, it takes a record up to an octet that looks like the type of an alert, and then nothing. */
static int put_up_to_alert(void *user, const unsigned char *octets, size_t n)
{
    if (!picky)
        return put(user, octets, n);
    if (stopped)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    const unsigned char *alike = memchr(octets + 5, MBEDTLS_SSL_MSG_ALERT, n - 5);
    stopped = alike != NULL;
    return put(user, octets, alike != NULL ? (size_t)(alike - octets) : n);
}

/* The rest of a record is no record, whatever it begins with: the alert that mbedTLS drops is still due after it. */
START_TEST(the_rest_of_a_record_looks_like_an_alert)
{
    static const unsigned char zeros[1000];
    unsigned char octets[sizeof zeros];
    struct server *server = server_new();
    struct line *line = dial(server, _i, KEY_32, NAME);
    struct end *end = &line->server;
    const struct mkt_tls_bio bio = {.user = end, .send = put_up_to_alert, .receive = get};
    int result = sizeof zeros;
    picky = stopped = false;
    add(server, SEVEN, KEY_32, NAME);
    expect_err("bind", mkt_streams_bind(server->streams, &end->ssl, &seven, &bio), MKT_OK);
    end->user = server;
    end->handshake = shake_stream;
    shake(line);
    expect_connected(line);
    picky = true;
    for (int i = 0; i < 20 && result == (int)sizeof zeros; i++)
        result = mbedtls_ssl_write(&end->ssl, zeros, sizeof zeros);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_WANT_WRITE);
    picky = false;
    ck_assert_int_gt(write_to(&line->client, "damaged"), 0);
    line->client.sent.octets[line->client.sent.n - 1] ^= 1;
    result = read_from(end);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_INVALID_MAC);
    ck_assert_int_eq(mkt_streams_status(server->streams, &end->ssl, result), MKT_TLS_FAILED);
    do
        result = mbedtls_ssl_read(&line->client.ssl, octets, sizeof octets);
    while (result > 0);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    line_free(line);
    server_free(server);
}
END_TEST

enum { PATIENCE = 1234 };

static size_t times_asked;

static int get_in_time(void *user, unsigned char *octets, size_t n, uint32_t timeout)
{
    ck_assert_uint_eq(timeout, PATIENCE);
    times_asked++;
    const int got = get(user, octets, n);
    return got == MBEDTLS_ERR_SSL_WANT_READ ? MBEDTLS_ERR_SSL_TIMEOUT : got;
}

static int get_wrongly(void *user, unsigned char *octets, size_t n)
{
    (void)user, (void)octets, (void)n;
    ck_abort_msg("a BIO with both was read without a time-out");
    return -1;
}

START_TEST(receives_with_a_time_out)
{
    const int version = _i / 2;
    struct server *server = server_new();
    struct line *line = dial(server, version, KEY_32, NAME);
    struct end *end = &line->server;
    const struct mkt_tls_bio bio = {
        .user = end, .send = put, .receive = _i % 2 == 0 ? NULL : get_wrongly, .receive_timeout = get_in_time};
    times_asked = 0;
    mbedtls_ssl_conf_read_timeout(&end->conf, PATIENCE);
    announce(server, SEVEN, 0);
    expect_err("bind", mkt_streams_bind(server->streams, &end->ssl, &seven, &bio), MKT_OK);
    end->user = server;
    expect_waiting(server, end);
    ck_assert_int_lt(read_from(end), 0);
    ck_assert_uint_eq(times_asked, 0);
    add(server, SEVEN, KEY_32, NAME);
    int result = 0;
    expect_err("nothing came", mkt_streams_handshake(server->streams, &end->ssl, &result), MKT_E_AGAIN);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_TIMEOUT);
    for (int i = 0; i < 20 && (line->client.result != 0 || result != 0); i++) {
        go_on(&line->client);
        const enum mkt_err err = mkt_streams_handshake(server->streams, &end->ssl, &result);
        expect_err("handshake", err, result == 0 ? MKT_OK : MKT_E_AGAIN);
    }
    say(&line->client, end, "in time");
    result = read_from(end);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_TIMEOUT);
    ck_assert_int_eq(mkt_streams_status(server->streams, &end->ssl, result), MKT_TLS_OPEN);
    ck_assert_int_gt(write_to(&line->client, "too late"), 0);
    const size_t asked = times_asked;
    ck_assert_uint_gt(asked, 0);
    remove_elsewhere(server);
    ck_assert_int_lt(read_from(end), 0);
    ck_assert_int_eq(mkt_streams_status(server->streams, &end->ssl, MBEDTLS_ERR_SSL_TIMEOUT), MKT_TLS_REMOVED);
    ck_assert_int_lt(read_from(end), 0);
    ck_assert_uint_eq(times_asked, asked);
    line_free(line);
    server_free(server);
}
END_TEST

/* ---- texts ---- */

/* RFC 3629 section 4 */
static const struct {
    const char *octets;
    bool is_utf8;
} texts[] = {
    {"\x01", true},
    {"\x7f", true},
    {"a\xc2\x80z", true},
    {"\xdf\xbf", true},
    {"\xe0\xa0\x80", true},
    {"\xe1\x80\x80", true},
    {"\xec\xbf\xbf", true},
    {"\xed\x80\x80", true},
    {"\xed\x9f\xbf", true},
    {"\xee\x80\x80", true},
    {"\xef\xbf\xbf", true},
    {"\xf0\x90\x80\x80", true},
    {"\xf1\x80\x80\x80", true},
    {"\xf3\xbf\xbf\xbf", true},
    {"\xf4\x80\x80\x80", true},
    {"\xf4\x8f\xbf\xbf"
     "z",
     true},
    {"\xe2\x89\xa2\xce\x91.", true},
    /* an octet that no character begins with */
    {"\x80", false},
    {"\xbf", false},
    {"a\x80", false},
    {"\xc2\x80\x80", false},
    {"\x82\x80", false},
    {"\xa1\xbf", false},
    {"\xbf\xbf", false},
    {"\xf5\x80\x80\x80", false},
    {"\xf8\x88\x80\x80\x80", false},
    {"\xfc\x84\x80\x80\x80\x80", false},
    {"\xfe", false},
    {"\xff", false},
    /* longer than needed */
    {"\xc0\x80", false},
    {"\xc0\xaf", false},
    {"\xc1\xbf", false},
    {"\xe0\x80\x80", false},
    {"\xe0\x9f\xbf", false},
    {"\xf0\x80\x80\x80", false},
    {"\xf0\x8f\xbf\xbf", false},
    /* surrogates, and more than 10FFFF */
    {"\xed\xa0\x80", false},
    {"\xed\xaf\xbf", false},
    {"\xed\xb0\x80", false},
    {"\xed\xbf\xbf", false},
    {"\xf4\x90\x80\x80", false},
    {"\xf4\xbf\xbf\xbf", false},
    /* cut at each place, at the end and before another character */
    {"\xc2", false},
    {"\xe2", false},
    {"\xe2\x89", false},
    {"\xf1", false},
    {"\xf1\x80", false},
    {"\xf1\x80\x80", false},
    {"\xc2z", false},
    {"\xe2z\x80", false},
    {"\xe2\x89z", false},
    {"\xf1z\x80\x80", false},
    {"\xf1\x80z\x80", false},
    {"\xf1\x80\x80z", false},
    {"\xc2\xc2\x80", false},
    {"\xe2\x89\xc2\x80", false},
    {"\xf1\x80\x80\xff", false},
    {"z\xf1\x80\x80", false},
    {"z\xe2\x89", false},
    {"z\xc2", false},
};
enum { TEXTS = sizeof texts / sizeof *texts };

/* Where a character is cut off, what stands behind the identity is not looked at. */
START_TEST(identities_end_where_they_end)
{
    const char *const octets = texts[_i].octets;
    const struct mkt_span key = from_hex(KEY_32);
    struct server *server = server_new();
    for (size_t n = 1; texts[_i].is_utf8 && n < strlen(octets); n++) {
        const bool within = ((uint8_t)octets[n] & 0xc0) == 0x80;
        const struct mkt_span name = {(const uint8_t *)octets, n};
        expect_err("add", mkt_streams_add(server->streams, SEVEN, key, name), within ? MKT_E_ARGUMENT : MKT_OK);
        expect_err("remove", mkt_streams_remove(server->streams, SEVEN), within ? MKT_E_NO_SESSION : MKT_OK);
    }
    server_free(server);
}
END_TEST

static void takes_any_identity(struct mkt_streams_settings *settings)
{
    settings->any_identity = true;
}

START_TEST(identities_are_utf_8)
{
    const bool any = _i / TEXTS == 1;
    const struct mkt_span name = mkt_span_text(texts[_i % TEXTS].octets), key = from_hex(KEY_32);
    const enum mkt_err want = any || texts[_i % TEXTS].is_utf8 ? MKT_OK : MKT_E_ARGUMENT;
    struct server *server = any ? server_with(takes_any_identity) : server_new();
    expect_err("add", mkt_streams_add(server->streams, SEVEN, key, name), want);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), want == MKT_OK ? MKT_OK : MKT_E_NO_SESSION);
    announce(server, EIGHT, 0);
    expect_err("announced", mkt_streams_add(server->streams, EIGHT, key, name), want);
    expect_err("remove", mkt_streams_remove(server->streams, EIGHT), MKT_OK);
    add(server, NINE, KEY_32, NAME);
    expect_err("rekey", mkt_streams_rekey(server->streams, NINE, key, name), want);
    server_free(server);
}
END_TEST

/* The octet 0 is a character too. It is tested apart, as the texts above end with it. */
START_TEST(an_identity_of_zeros)
{
    struct server *server = server_new();
    static const uint8_t zeros[128];
    const struct mkt_span key = from_hex(KEY_32);
    expect_err("one", mkt_streams_add(server->streams, SEVEN, key, (struct mkt_span){zeros, 1}), MKT_OK);
    expect_err("128", mkt_streams_add(server->streams, EIGHT, key, (struct mkt_span){zeros, 128}), MKT_OK);
    server_free(server);
}
END_TEST

/* ---- hidden identities ---- */

static void hides_identities(struct mkt_streams_settings *settings)
{
    settings->hide_identities = true;
}

/* All that a server refuses: with what alert, after how many octets and hashed blocks. */
static void refuse(struct server *server, const char *suite, const char *key, const char *name, const uint64_t *bound,
                   size_t result[3])
{
    const struct mkt_tls_settings client = {
        .size = sizeof client, .end = MKT_END_CLIENT, .suites = mkt_span_text(suite)};
    struct line *line = line_new();
    size_t hashed = 0;
    expect_err("client", set_up_psk(&line->client.conf, &line->client.tls, &client, from_hex(key), mkt_span_text(name)),
               MKT_OK);
    expect_err("server", set_up_server(server->streams, &line->server.conf, &line->server.tls, &server->tls), MKT_OK);
    start(&line->client);
    start(&line->server);
    expect_err("bind", bind_end(server, &line->server, bound), MKT_OK);
    for (int i = 0; i < 10; i++) {
        go_on(&line->client);
        blocks = 0;
        go_on(&line->server);
        hashed += blocks;
    }
    expect_refused(line);
    result[0] = (size_t)alert_of(&line->server);
    result[1] = line->server.sent.n;
    result[2] = hashed;
    line_free(line);
}

/* A client whose identity is one octet longer is another one: it is answered as any that is unknown. */
START_TEST(the_longest_identity)
{
    enum { LONGEST = MKT_TLS_MAX_IDENTITY };
    const int version = _i % VERSIONS;
    const bool hides = _i / VERSIONS == 1;
    struct server *server = hides ? server_with(hides_identities) : server_new();
    size_t unknown[3];
    char name[LONGEST + 1] = "";
    memset(name, 'x', LONGEST);
    add(server, SEVEN, KEY_32, name);
    const struct mkt_span key = from_hex(KEY_32);
    const struct mkt_tls_settings client = {
        .size = sizeof client, .end = MKT_END_CLIENT, .suites = mkt_span_text(versions[version])};
    struct line *line = line_new();
    int cause;
    expect_err("suites", mkt_tls_choose(&line->client.tls, &client), MKT_OK);
    expect_err("client", mkt_tls_configure(&line->client.conf, &line->client.tls, &cause), MKT_OK);
    name[LONGEST] = 'x';
    ck_assert_int_eq(mbedtls_ssl_conf_psk(&line->client.conf, key.p, key.n, (const unsigned char *)name, LONGEST + 1),
                     0);
    name[LONGEST] = '\0';
    struct line *right = dial(server, version, KEY_32, name);
    expect_err("server", mkt_streams_server(server->streams, &line->server.conf, &right->server.tls, &cause), MKT_OK);
    start(&line->client);
    start(&line->server);
    expect_err("bind", bind_end(server, &line->server, NULL), MKT_OK);
    shake(line);
    expect_refused(line);
    refuse(server, versions[version], KEY_32, "nobody", NULL, unknown);
    ck_assert_int_eq(alert_of(&line->server), (int)unknown[0]);
    ck_assert(hides || (int)unknown[0] == unknown_identity[version]);
    expect_err("bind", bind_end(server, &right->server, NULL), MKT_OK);
    shake(right);
    expect_stream(server, right, &right->server, SEVEN);
    line_free(line);
    hang_up(server, right);
    server_free(server);
}
END_TEST

/* A client that only names an identity, and waits with its Finished, does not learn from the end of a stream that there
 * was one. */
START_TEST(the_end_of_a_stream_is_hidden)
{
    struct server *server = server_with(hides_identities);
    const bool has_connection = _i == 1;
    add(server, SEVEN, KEY_32, NAME);
    struct line *winner = dial_to(server, 0, NULL), *line[2];
    for (size_t i = 0; i < 2; i++) {
        line[i] = dial(server, 0, OTHER_KEY, i == 0 ? NAME : OTHER_NAME);
        expect_err("bind", bind_end(server, &line[i]->server, NULL), MKT_OK);
        name_identity(line[i], 0);
    }
    if (has_connection) {
        shake(winner);
        expect_stream(server, winner, &winner->server, SEVEN);
    }
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    ck_assert_uint_eq(server->n_woken, has_connection ? 1 : 0);
    ck_assert_uint_eq(server->n_ended, has_connection ? 1 : 0);
    for (size_t i = 0; i < 2; i++) {
        shake(line[i]);
        ck_assert_int_eq(line[i]->server.result, MBEDTLS_ERR_SSL_INVALID_MAC);
        ck_assert_int_eq(alert_of(&line[i]->server), BAD_RECORD_MAC);
        ck_assert_int_eq(server->failed_how, MKT_TLS_FAILED);
        hang_up(server, line[i]);
    }
    if (has_connection)
        ck_assert_int_eq(mkt_streams_status(server->streams, &winner->server.ssl, 1), MKT_TLS_REMOVED);
    hang_up(server, winner);
    server_free(server);
}
END_TEST

/* One that has the right key is refused at the end of its handshake. */
START_TEST(removed_while_it_is_hidden)
{
    struct server *server = server_with(hides_identities);
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial_to(server, _i, NULL);
    name_identity(line, _i);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    add(server, SEVEN, KEY_32, NAME);
    ck_assert_uint_eq(server->n_woken, 0);
    expect_alert(line, ACCESS_DENIED);
    ck_assert_int_eq(line->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    ck_assert_uint_eq(server->n_ended, 0);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* None of DHE: its numbers have leading zeros at times, and no octets for them. */
static const char *const suites[] = {
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
    "TLS-PSK-WITH-AES-256-GCM-SHA384",
#if MBEDTLS_VERSION_MAJOR >= 3
    "TLS1-3-AES-128-GCM-SHA256",
#endif
};
enum { SUITES = sizeof suites / sizeof *suites };

/* A client that names identities learns of none whether it is there: not by the answer, nor by the work for it. */
START_TEST(every_identity_costs_the_same)
{
    static const char *const keys[] = {KEY_16, KEY_32}, *const others[] = {"ffeeddccbbaa99887766554433221100",
                                                                           OTHER_KEY};
    static const char connected_name[] = "mikey-ticket:00000007:01:00c0ffee",
                      unknown[] = "mikey-ticket:12345678:01:0badf00d";
    const char *const suite = suites[_i % SUITES], *const key = keys[_i / SUITES], *const other = others[_i / SUITES];
    struct server *server = server_with(hides_identities);
    size_t first[3], again[3];
    add(server, SEVEN, key, connected_name);
    add(server, EIGHT, key, NAME);
    add(server, NINE, key, OTHER_NAME);
    struct line *busy = dial(server, 0, key, connected_name);
    expect_err("bind", bind_end(server, &busy->server, NULL), MKT_OK);
    shake(busy);
    expect_stream(server, busy, &busy->server, SEVEN);

    refuse(server, suite, other, NAME, NULL, first);
    ck_assert_uint_gt(first[2], 0);
    const struct {
        const char *what, *key, *name;
        const uint64_t *bound;
    } refused[] = {
        {"a wrong key again", other, NAME, NULL},
        {"a wrong key of another stream", other, OTHER_NAME, NULL},
        {"a wrong key, bound", other, NAME, &eight},
        {"an unknown identity", key, unknown, NULL},
        {"an unknown identity, bound", key, unknown, &eight},
        {"the identity of another stream", key, NAME, &nine},
        {"the right key of a stream that is connected", key, connected_name, NULL},
        {"a wrong key of a stream that is connected", other, connected_name, NULL},
        {"the right key of a stream that is connected, bound", key, connected_name, &seven},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        refuse(server, suite, refused[i].key, refused[i].name, refused[i].bound, again);
        for (size_t j = 0; j < 3; j++)
            ck_assert_msg(again[j] == first[j], "%s: %zu, not %zu", refused[i].what, again[j], first[j]);
    }
    hang_up(server, busy);
    server_free(server);
}
END_TEST

/* Without a stream, and as soon as the keys have another length. */
START_TEST(the_key_that_nobody_knows_has_the_length_of_the_last)
{
    struct server *server = server_with(hides_identities);
    size_t none[3], last[3], nobodys[3];
    refuse(server, suites[0], KEY_16, "nobody", NULL, none);
    add(server, SEVEN, KEY_16, "number");
    refuse(server, suites[0], "ffeeddccbbaa99887766554433221100", "number", NULL, last);
    ck_assert_uint_eq(none[2], last[2]);
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            add(server, EIGHT, KEY_32, "second");
        else
            expect_err("rekey", mkt_streams_rekey(server->streams, EIGHT, from_hex(KEY_16), mkt_span_text("second")),
                       MKT_OK);
        refuse(server, suites[0], OTHER_KEY, "second", NULL, last);
        refuse(server, suites[0], KEY_32, "nobody", NULL, nobodys);
        ck_assert_uint_eq(nobodys[2], last[2]);
        ck_assert((nobodys[2] == none[2]) == (i == 1));
    }
    server_free(server);
}
END_TEST

/* mbedTLS can have a hash in hardware, which fails. */
START_TEST(hashes_that_fail)
{
    struct server *server = server_with(hides_identities);
    const struct mkt_span key = from_hex(KEY_32), name = mkt_span_text(NAME);
    const size_t live = server->live;
    until_hash_fails = 1;
    expect_err("add", mkt_streams_add(server->streams, SEVEN, key, name), MKT_E_CRYPTO);
    ck_assert_uint_eq(server->live, live);
    announce(server, SEVEN, 0);
    until_hash_fails = 1;
    expect_err("add", mkt_streams_add(server->streams, SEVEN, key, name), MKT_E_CRYPTO);
    ck_assert_uint_eq(server->n_woken, 0);
    add(server, SEVEN, KEY_32, NAME);
    until_hash_fails = 1;
    expect_err("rekey", mkt_streams_rekey(server->streams, SEVEN, from_hex(OTHER_KEY), name), MKT_E_CRYPTO);
    for (size_t i = 1; i <= 2; i++) {
        struct line *line = dial_to(server, 0, &seven);
        go_on(&line->client);
        go_on(&line->server);
        go_on(&line->client);
        until_hash_fails = i;
        go_on(&line->server);
        ck_assert_uint_eq(until_hash_fails, 0);
        ck_assert_int_ne(line->server.result, MBEDTLS_ERR_SSL_WANT_READ);
        shake(line);
        expect_refused(line);
        ck_assert_int_eq(line->client.result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
        line_free(line);
    }
    struct line *line = dial_to(server, 0, &seven);
    shake(line);
    expect_stream(server, line, &line->server, SEVEN);
    hang_up(server, line);
    server_free(server);
}
END_TEST

int main(void)
{
    if (!begin_tls())
        return EXIT_FAILURE;
    Suite *suite = suite_create("announced");
    TCase *t = tcase_create("the key comes after the connection");
    tcase_add_loop_test(t, a_client_connects_before_the_key, 0, VERSIONS);
    tcase_add_loop_test(t, a_server_is_connected_to_before_the_key, 0, VERSIONS);
    tcase_add_loop_test(t, when_the_key_may_come, 0, ROWS);
    tcase_add_loop_test(t, the_first_that_proves_the_key_wins, 0, VERSIONS * WAITING);
    tcase_add_loop_test(t, strangers_keep_nobody_out, 0, VERSIONS * WAITING);
    tcase_add_loop_test(t, as_many_wait_as_may, 0, 8);
    tcase_add_loop_test(t, a_key_that_is_refused, 0, VERSIONS);
    tcase_add_loop_test(t, the_call_is_given_up, 0, VERSIONS * 2);
    tcase_add_test(t, the_call_of_a_client_is_given_up);
    tcase_add_loop_test(t, late_streams_expire, 0, 42);
    tcase_add_test(t, expired_streams_are_announced_again);
    tcase_add_test(t, numbers_that_are_announced);
    tcase_add_loop_test(t, freed_while_they_wait, 0, VERSIONS);
    tcase_add_test(t, no_memory_to_announce_or_to_bind);
    tcase_add_loop_test(t, callbacks_are_optional, 0, VERSIONS);
    suite_add_tcase(suite, t);
    t = tcase_create("a stream is removed under its connection");
    tcase_add_loop_test(t, nothing_passes_after_the_removal, 0, VERSIONS * DEEDS);
    tcase_add_loop_test(t, the_connection_ends_and_another_takes_its_context, 0, VERSIONS * 5);
    tcase_add_loop_test(t, one_record_can_be_read_to_its_end, 0, VERSIONS);
    tcase_add_loop_test(t, a_read_that_waits_gets_nothing_after_the_removal, 0, 4 * VERSIONS);
    tcase_add_loop_test(t, forgotten_when_the_handshake_fails, 0, VERSIONS);
    tcase_add_loop_test(t, a_new_stream_of_that_number, 0, VERSIONS);
    tcase_add_loop_test(t, handshakes_end_with_the_stream, 0, VERSIONS * 4);
    tcase_add_loop_test(t, handshakes_end_with_the_connection, 0, VERSIONS);
    tcase_add_loop_test(t, removed_in_the_midst_of_a_record, 0, VERSIONS * 3 * 2);
    tcase_add_loop_test(t, a_close_that_waits_is_no_removal, 0, VERSIONS * 2);
    tcase_add_loop_test(t, removed_while_its_key_is_looked_for, 0, VERSIONS);
    tcase_add_loop_test(t, removed_in_the_midst_of_a_flight, 0, VERSIONS * 8);
    suite_add_tcase(suite, t);
    t = tcase_create("bounds");
    tcase_add_loop_test(t, as_many_connections_as_may, 0, 2);
    tcase_add_test(t, bounds_have_bounds);
    tcase_add_loop_test(t, receives_with_a_time_out, 0, VERSIONS * 2);
    tcase_add_loop_test(t, the_rest_of_a_record_looks_like_an_alert, 0, VERSIONS);
    tcase_add_loop_test(t, identities_are_utf_8, 0, TEXTS * 2);
    tcase_add_loop_test(t, identities_end_where_they_end, 0, TEXTS);
    tcase_add_test(t, an_identity_of_zeros);
    tcase_add_loop_test(t, the_longest_identity, 0, VERSIONS * 2);
    suite_add_tcase(suite, t);
    t = tcase_create("hidden identities");
    tcase_add_test(t, hashes_that_fail);
    tcase_add_test(t, the_key_that_nobody_knows_has_the_length_of_the_last);
    tcase_add_loop_test(t, every_identity_costs_the_same, 0, SUITES * 2);
    tcase_add_loop_test(t, the_end_of_a_stream_is_hidden, 0, 2);
    tcase_add_loop_test(t, removed_while_it_is_hidden, 0, VERSIONS);
    suite_add_tcase(suite, t);
    return run(suite);
}
