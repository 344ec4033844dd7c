/* SPDX-License-Identifier: BSD-3-Clause */
/* Many streams on one server: whose key a connection gets, what is refused with which alert, and what is wiped when. */

#include "line.h"
#include "sizes.h"

#include <mikeyticket/replay.h>
#include <mikeyticket/streams.h>

#include <mbedtls/net_sockets.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl_cache.h>
#include <mbedtls/version.h>

#include <pthread.h>
#include <stdatomic.h>

/* TLS 1.2 and, where there is one, 1.3. */
static const char *const versions[] = {
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
#if MBEDTLS_VERSION_MAJOR >= 3
    "TLS1-3-AES-128-GCM-SHA256",
#endif
};
enum { VERSIONS = sizeof versions / sizeof *versions };

/* The alert that mbedTLS answers a wrong key and an unknown identity with. */
static const struct {
    int key, identity;
} alerts[] = {{BAD_RECORD_MAC, UNKNOWN_PSK}, {DECRYPT_ERROR, MISSING_EXTENSION}};

_Static_assert(sizeof(struct mkt_tls_bio) == 4 * sizeof(void *), "mkt_tls_bio stays as it is");

enum { SEVEN = 7, EIGHT = 8, NINE = 9 };

static const uint64_t seven = SEVEN, eight = EIGHT, nine = NINE;

#define OTHER_KEY "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define OTHER_NAME "mikey-ticket:89abcdef:01:00c0ffee"

/* What mbedTLS asks for the key of an identity, as a server's configuration got it. */
static struct {
    int (*find_key)(void *user, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t n);
    void *user;
} callback;

void mbedtls_ssl_conf_psk_cb(mbedtls_ssl_config *conf,
                             int (*find_key)(void *, mbedtls_ssl_context *, const unsigned char *, size_t), void *user)
{
    void (*real)(mbedtls_ssl_config *, int (*)(void *, mbedtls_ssl_context *, const unsigned char *, size_t), void *);
    if (catching) {
        callback.find_key = find_key;
        callback.user = user;
        return;
    }
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    real(conf, find_key, user);
}

/* What was hashed, while keys are caught. */
enum { HASHES = 8 };
static _Thread_local uint8_t hashed[HASHES][64];
static _Thread_local size_t n_hashed;

#if MBEDTLS_VERSION_MAJOR >= 3
int mbedtls_sha256(const unsigned char *octets, size_t n, unsigned char *digest, int is224)
#else
int mbedtls_sha256_ret(const unsigned char *octets, size_t n, unsigned char digest[32], int is224)
#endif
{
    int (*real)(const unsigned char *, size_t, unsigned char *, int);
    if (catching)
        memcpy(hashed[n_hashed++ % HASHES], octets, n < sizeof hashed[0] ? n : sizeof hashed[0]);
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(octets, n, digest, is224);
}

/* The program around the streams: its memory is counted, and must come back wiped. */
struct server {
    struct mkt_streams *streams;
    struct mkt_streams_settings settings;
    struct mkt_tls_settings tls;
    uint8_t drawn[256]; /* the secrets of the tables */
    size_t n_drawn;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    atomic_size_t live, octets; /* blocks and octets not yet given back, with what malloc takes for itself */
    size_t allocations, fail_at;
    bool dirty; /* some came back unwiped */
    atomic_uint ended;
    atomic_uint_least64_t which; /* these are told in any thread, and without a lock */
    _Atomic enum mkt_tls_state how;
};

/* What malloc adds, at most, on 64 bits. */
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
    server->octets += HEAD + n;
    return (uint8_t *)p + HEAD;
}

static void give_back(void *user, void *p)
{
    struct server *server = user;
    uint8_t *octets = p;
    size_t *head = (size_t *)(void *)(octets - HEAD);
    for (size_t i = 0; i < *head; i++) {
        if (octets[i] != 0)
            server->dirty = true;
    }
    server->live--;
    server->octets -= HEAD + *head;
    free(head);
}

static void ended(void *user, uint64_t stream, enum mkt_tls_state how)
{
    struct server *server = user;
    server->ended++;
    server->which = stream;
    server->how = how;
}

static int draw(void *user, unsigned char *out, size_t n)
{
    struct server *server = user;
    ck_assert_uint_le(n, sizeof server->drawn);
    server->n_drawn = n;
    int result = mbedtls_ctr_drbg_random(&server->drbg, server->drawn, n);
    memcpy(out, server->drawn, n);
    return result;
}

static struct server *server_new(size_t most, bool hide)
{
    struct server *server = calloc(1, sizeof *server);
    ck_assert_ptr_nonnull(server);
    mbedtls_entropy_init(&server->entropy);
    mbedtls_ctr_drbg_init(&server->drbg);
    ck_assert_int_eq(mbedtls_ctr_drbg_seed(&server->drbg, mbedtls_entropy_func, &server->entropy, NULL, 0), 0);
    server->settings = (struct mkt_streams_settings){.size = sizeof(struct mkt_streams_settings),
                                                     .rng = draw,
                                                     .rng_user = server,
                                                     .most = most,
                                                     .hide_identities = hide,
                                                     .user = server,
                                                     .alloc = take,
                                                     .release = give_back,
                                                     .ended = ended};
    mkt_tls_settings_init(&server->tls, MKT_END_NONE);
    expect_err("new", mkt_streams_new(&server->streams, &server->settings), MKT_OK);
    return server;
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

static void add(struct server *server, uint64_t stream, const char *key, const char *name)
{
    expect_err(name, mkt_streams_add(server->streams, stream, from_hex(key), mkt_span_text(name)), MKT_OK);
}

static int shake_stream(struct end *end)
{
    struct server *server = end->user;
    int result;
    const enum mkt_err err = mkt_streams_handshake(server->streams, &end->ssl, &result);
    const bool again = result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
    ck_assert_msg((err == MKT_OK) == (result == 0), "%s: %d", mkt_err_name(err), result);
    ck_assert_msg((err == MKT_E_AGAIN) == again, "%s: %d", mkt_err_name(err), result);
    ck_assert_msg(err != MKT_E_DENIED || result == MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY, "%d", result);
    return result;
}

static const struct mkt_tls_bio no_bio = {.send = put, .receive = get};

static enum mkt_err bind_end(struct mkt_streams *streams, struct end *end, const uint64_t *stream)
{
    const struct mkt_tls_bio bio = {.user = end, .send = put, .receive = get};
    return mkt_streams_bind(streams, &end->ssl, stream, &bio);
}

/* A line to the server, on which the client says that name and has that key, bound to a stream or not. */
static struct line *dial(struct server *server, const char *suite, const char *key, const char *name,
                         const uint64_t *stream)
{
    const struct mkt_tls_settings client = {.size = sizeof client,
                                            .end = MKT_END_CLIENT,
                                            .suites = mkt_span_text(suite),
                                            .renegotiation = server->tls.renegotiation};
    struct line *line = line_new();
    expect_err("client", set_up_psk(&line->client.conf, &line->client.tls, &client, from_hex(key), mkt_span_text(name)),
               MKT_OK);
    expect_err("server", set_up_server(server->streams, &line->server.conf, &line->server.tls, &server->tls), MKT_OK);
    line->server.user = server;
    line->server.handshake = shake_stream;
    start(&line->client);
    start(&line->server);
    expect_err("bind", bind_end(server->streams, &line->server, stream), MKT_OK);
    return line;
}

static struct line *call_up(struct server *server, const char *suite, const char *key, const char *name,
                            const uint64_t *stream)
{
    struct line *line = dial(server, suite, key, name, stream);
    shake(line);
    return line;
}

/* A line on which the client has a key and name of the streams' own, and the server of a fixed key. */
static struct line *dial_out(struct server *server, const char *suite, const char *key, const uint64_t *stream)
{
    const struct mkt_tls_settings other = {.size = sizeof other,
                                           .end = MKT_END_SERVER,
                                           .suites = mkt_span_text(suite),
                                           .renegotiation = server->tls.renegotiation};
    const struct mkt_tls_settings own = {.size = sizeof own, .suites = mkt_span_text(suite), .renegotiation = true};
    struct line *line = line_new();
    expect_err("server", set_up_psk(&line->server.conf, &line->server.tls, &other, from_hex(key), mkt_span_text(NAME)),
               MKT_OK);
    expect_err("bind", bind_end(server->streams, &line->client, stream), MKT_OK);
    expect_err("client", set_up_client(server->streams, &line->client.ssl, &line->client.conf, &line->client.tls, &own),
               MKT_OK);
    line->client.user = server;
    line->client.handshake = shake_stream;
    start(&line->client);
    start(&line->server);
    return line;
}

static void hang_up(struct server *server, struct line *line)
{
    mkt_streams_close(server->streams, &line->server.ssl);
    line_free(line);
}

static void expect_stream(struct server *server, struct line *line, uint64_t want)
{
    uint64_t stream = 0;
    expect_connected(line);
    expect_err("of", mkt_streams_find(server->streams, &line->server.ssl, &stream), MKT_OK);
    ck_assert_uint_eq(stream, want);
}

static void expect_none(struct server *server, struct line *line)
{
    uint64_t stream = 0;
    expect_refused(line);
    expect_err("of", mkt_streams_find(server->streams, &line->server.ssl, &stream), MKT_E_NO_SESSION);
}

/* Who is who */

START_TEST(the_identity_tells)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_16, OTHER_NAME);
    add(server, NINE, OTHER_KEY, "a name that begins a longer one");
    struct line *line = call_up(server, versions[_i], KEY_16, OTHER_NAME, NULL);
    expect_stream(server, line, EIGHT);
    struct line *second = call_up(server, versions[_i], KEY_32, NAME, NULL);
    expect_stream(server, second, SEVEN);
    expect_stream(server, line, EIGHT);
    hang_up(server, second);
    hang_up(server, line);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    server_free(server);
}
END_TEST

/* In a table of one chain, so that nothing but the identity itself tells them apart. */
START_TEST(the_whole_identity_tells)
{
    struct server *server = server_new(1, false);
    add(server, NINE, OTHER_KEY, "a name that begins a longer one");
    struct line *line = call_up(server, versions[_i], OTHER_KEY, "a name that begins", NULL);
    expect_none(server, line);
    hang_up(server, line);
    line = call_up(server, versions[_i], OTHER_KEY, "a name that begins a longer one too", NULL);
    expect_none(server, line);
    hang_up(server, line);
    server_free(server);
}
END_TEST

START_TEST(the_connection_tells)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_16, OTHER_NAME);
    struct line *line = call_up(server, versions[_i], KEY_32, NAME, &seven);
    expect_stream(server, line, SEVEN);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* Each of these is answered in one way, or, where identities are hidden, as a wrong key is. */
static const struct {
    const char *what, *key, *name;
    uint64_t stream; /* to which the connection is bound, or 0 */
    bool key_is_wrong;
} wrong[] = {
    {"a wrong key", OTHER_KEY, NAME, 0, true},
    {"a wrong key, bound", OTHER_KEY, NAME, SEVEN, true},
    {"a key that begins right", KEY_16, NAME, 0, true},
    {"an unknown identity", KEY_32, "nobody", 0, false},
    {"an unknown identity, bound", KEY_32, "nobody", SEVEN, false},
    {"the right key and identity of another stream", KEY_32, NAME, EIGHT, false},
    {"the identity of a stream that is connected", KEY_32, "mikey-ticket:connected", 0, false},
    {"the same, bound", KEY_32, "mikey-ticket:connected", NINE, false},
};
enum { WRONG = sizeof wrong / sizeof *wrong };

START_TEST(refused)
{
    const int version = _i % VERSIONS, row = _i / VERSIONS % WRONG;
    const bool hide = _i / VERSIONS / WRONG == 1;
    struct server *server = server_new(8, hide);
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_16, OTHER_NAME);
    add(server, NINE, KEY_32, "mikey-ticket:connected");
    struct line *busy = call_up(server, versions[version], KEY_32, "mikey-ticket:connected", &nine);
    expect_stream(server, busy, NINE);

    const uint64_t *bound = wrong[row].stream == 0 ? NULL : &wrong[row].stream;
    const size_t live = server->live;
    struct line *line = call_up(server, versions[version], wrong[row].key, wrong[row].name, bound);
    expect_none(server, line);
    ck_assert_int_eq(line->client.result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    const bool as_key = hide || wrong[row].key_is_wrong;
    ck_assert_msg(alert_of(&line->server) == (as_key ? alerts[version].key : alerts[version].identity), "%s: alert %d",
                  wrong[row].what, alert_of(&line->server));
    ck_assert_uint_eq(server->live, live); /* the connection is forgotten */
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, line->server.result), MKT_TLS_FAILED);
    ck_assert_uint_eq(server->ended, 0);
    line_free(line);

    /* nothing has changed for the streams */
    say(&busy->client, &busy->server, "still here");
    ck_assert_uint_eq(mkt_streams_count(server->streams), 3);
    line = call_up(server, versions[version], KEY_32, NAME, NULL);
    expect_stream(server, line, SEVEN);
    hang_up(server, line);
    hang_up(server, busy);
    server_free(server);
}
END_TEST

/* A context that was not bound, or that ended, is nobody's: no handshake begins, and nothing is sent. */
START_TEST(unknown_connection)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial(server, versions[_i], KEY_32, NAME, NULL);
    expect_err("close", mkt_streams_close(server->streams, &line->server.ssl), MKT_OK);
    int result = 0;
    go_on(&line->client);
    expect_err("handshake", mkt_streams_handshake(server->streams, &line->server.ssl, &result), MKT_E_NO_SESSION);
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    ck_assert_int_lt(mbedtls_ssl_handshake(&line->server.ssl), 0);
    expect_err("close", mkt_streams_close(server->streams, &line->server.ssl), MKT_E_NO_SESSION);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, 0), MKT_TLS_CUT);
    ck_assert_uint_eq(line->server.sent.n, 0);
    ck_assert_uint_eq(line->client.sent.read, 0);
    line_free(line);
    server_free(server);
}
END_TEST

/* A configuration that has a key of its own proves that one, whatever it is: it gets no stream. */
START_TEST(own_configuration)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    for (int bound = 0; bound < 2; bound++) {
        struct line *line = line_new();
        struct mkt_tls_settings settings = {
            .size = sizeof settings, .end = MKT_END_SERVER, .suites = mkt_span_text(versions[_i])};
        expect_err("server",
                   set_up_psk(&line->server.conf, &line->server.tls, &settings, from_hex(KEY_32), mkt_span_text(NAME)),
                   MKT_OK);
        settings.end = MKT_END_CLIENT;
        expect_err("client",
                   set_up_psk(&line->client.conf, &line->client.tls, &settings, from_hex(KEY_32), mkt_span_text(NAME)),
                   MKT_OK);
        line->server.user = server;
        line->server.handshake = shake_stream;
        start(&line->client);
        start(&line->server);
        expect_err("bind", bind_end(server->streams, &line->server, bound ? &seven : NULL), MKT_OK);
        shake(line);
        ck_assert_int_eq(line->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
        hang_up(server, line);
    }
    server_free(server);
}
END_TEST

/* As TLS client, with the right key and another. */
START_TEST(as_client)
{
    for (int right = 0; right < 2; right++) {
        struct server *server = server_new(8, false);
        add(server, SEVEN, right ? KEY_32 : OTHER_KEY, NAME);
        struct line *line = line_new();
        struct mkt_tls_settings settings = {
            .size = sizeof settings, .end = MKT_END_SERVER, .suites = mkt_span_text(versions[_i])};
        expect_err("server",
                   set_up_psk(&line->server.conf, &line->server.tls, &settings, from_hex(KEY_32), mkt_span_text(NAME)),
                   MKT_OK);
        expect_err("bind", bind_end(server->streams, &line->client, &seven), MKT_OK);
        expect_err("client",
                   set_up_client(server->streams, &line->client.ssl, &line->client.conf, &line->client.tls, &settings),
                   MKT_OK);
        line->client.user = server;
        line->client.handshake = shake_stream;
        start(&line->client);
        start(&line->server);
        shake(line);
        uint64_t stream = 0;
        enum mkt_err has = mkt_streams_find(server->streams, &line->client.ssl, &stream);
        if (right) {
            expect_connected(line);
            expect_err("of", has, MKT_OK);
            ck_assert_uint_eq(stream, SEVEN);
            struct line *other = line_new();
            expect_err("bind", bind_end(server->streams, &other->client, &seven), MKT_OK);
            expect_err(
                "connected",
                set_up_client(server->streams, &other->client.ssl, &other->client.conf, &other->client.tls, &settings),
                MKT_E_IN_USE);
            mkt_streams_close(server->streams, &other->client.ssl);
            line_free(other);
        } else {
            expect_refused(line);
            expect_err("of", has, MKT_E_NO_SESSION);
            ck_assert_int_eq(alert_of(&line->server), alerts[_i].key);
            ck_assert_int_eq(mkt_streams_status(server->streams, &line->client.ssl, line->client.result),
                             MKT_TLS_ALERT);
        }
        mkt_streams_close(server->streams, &line->client.ssl);
        ck_assert_uint_eq(mkt_streams_count(server->streams), right ? 0 : 1);
        ck_assert_uint_eq(server->ended, right ? 1 : 0);
        line_free(line);
        server_free(server);
    }
}
END_TEST

/* The server's stream has its key from a bundle. The client's has it from the other bundle, or by hand. */
START_TEST(from_bundles)
{
    const bool by_hand = _i / 2 == 1;
    uint8_t key[64], name[MKT_TLS_MAX_IDENTITY];
    struct mkt_buf tek = {key, sizeof key, 0}, identity = {name, sizeof name, 0};
    static const struct mkt_host host = {.size = sizeof host},
                                 longest = {.size = sizeof longest, .psk_identity = longest_name},
                                 long_names = {.size = sizeof long_names, .psk_identity = name_too_long};
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri("sip:alice@example.com"));
    struct mkt_csb *csb[2], *new_one;
    struct server *server = server_new(8, false), *other = server_new(8, false);
    bundles(&host, _i % 2 == 0 ? MKT_SUITE_256 : MKT_SUITE_128, 0, csb);
    expect_err("TEK", mkt_csb_tek(csb[0], 1, &tek), MKT_OK);
    expect_err("identity", mkt_csb_psk_identity(csb[0], 1, &identity), MKT_OK);
    expect_err("new", mkt_csb_new(&new_one, MKT_INITIATOR, &host, &settings), MKT_OK);
    expect_err("early", mkt_streams_add_csb(server->streams, SEVEN, new_one, 1), MKT_E_STATE);
    expect_err("session", mkt_streams_add_csb(server->streams, SEVEN, csb[1], 2), MKT_E_NO_SESSION);
    expect_err("responder", mkt_streams_add_csb(server->streams, SEVEN, csb[1], 1), MKT_OK);
    expect_err("again", mkt_streams_add_csb(server->streams, EIGHT, csb[1], 1), MKT_E_IN_USE);
    if (by_hand)
        expect_err(
            "initiator",
            mkt_streams_add(other->streams, EIGHT, (struct mkt_span){key, tek.n}, (struct mkt_span){name, identity.n}),
            MKT_OK);
    else
        expect_err("initiator", mkt_streams_add_csb(other->streams, EIGHT, csb[0], 1), MKT_OK);
    mkt_csb_free(new_one);
    bundles_free(csb); /* the streams have their own copies */
    bundles(&long_names, MKT_SUITE_256, 0, csb);
    expect_err("long name", mkt_streams_add_csb(server->streams, NINE, csb[0], 1), MKT_E_BUFFER);
    bundles_free(csb);
    bundles(&longest, MKT_SUITE_256, 0, csb);
    expect_err("longest name", mkt_streams_add_csb(server->streams, NINE, csb[0], 1), MKT_OK);
    bundles_free(csb);

    struct line *line = line_new();
    expect_err("bind", bind_end(other->streams, &line->client, &eight), MKT_OK);
    expect_err("client",
               set_up_client(other->streams, &line->client.ssl, &line->client.conf, &line->client.tls, &other->tls),
               MKT_OK);
    expect_err("server", set_up_server(server->streams, &line->server.conf, &line->server.tls, &server->tls), MKT_OK);
    line->client.user = other;
    line->server.user = server;
    line->client.handshake = line->server.handshake = shake_stream;
    start(&line->client);
    start(&line->server);
    expect_err("bind", bind_end(server->streams, &line->server, NULL), MKT_OK);
    shake(line);
    expect_stream(server, line, SEVEN);
    mkt_streams_close(other->streams, &line->client.ssl);
    mkt_streams_close(server->streams, &line->server.ssl);
    line_free(line);
    server_free(other);
    server_free(server);
}
END_TEST

/* What Alice sends to all Responders, by a ticket of hers. */
static struct mkt_csb *make_call(const struct mkt_host *host, const struct mkt_id responder[2], struct mkt_buf *init)
{
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri("sip:alice@example.com"));
    struct mkt_policy policy = mkt_policy_default(MKT_SUITE_256);
    struct mkt_csb *offered;
    struct mkt_ticket *ticket;
    policy.initiator = settings.self;
    policy.responder[policy.n_responders++] = responder[0];
    policy.responder[policy.n_responders++] = responder[1];
    const struct mkt_ticket_recipe recipe = {
        .size = sizeof recipe, .policy = &policy, .tpk = from_hex(KEY_32), .keys = &tgk, .n_keys = 1};
    expect_err("ticket", mkt_ticket_make(&ticket, host, &recipe), MKT_OK);
    const struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = responder[0]};
    expect_err("Initiator", mkt_csb_new(&offered, MKT_INITIATOR, host, &settings), MKT_OK);
    expect_err("offer", mkt_csb_make_transfer_init(offered, &offer, init), MKT_OK);
    mkt_ticket_free(ticket);
    return offered;
}

/*
 * One INVITE to two users of one server with one replay cache, or to two devices of one user there. They answer in
 * either order, in a 183 and again in the 200, and connect in either order to one port of Alice's.
 */
START_TEST(a_forked_call)
{
    static const char *const scopes[] = {"phone", "desk"};
    static uint64_t slots[256];
    const unsigned version = (unsigned)_i / 8;
    const bool devices = (_i & 1) != 0;
    const size_t first = (_i & 2) != 0, caller = (_i & 4) != 0;
    const struct mkt_id users[] = {mkt_id_uri("sip:bob@example.com"), mkt_id_uri("sip:carol@example.com")};
    const struct mkt_tls_settings tls = {
        .size = sizeof tls, .end = MKT_END_CLIENT, .suites = mkt_span_text(versions[version])};
    struct mkt_replay cache;
    const struct mkt_host alice = {.size = sizeof alice},
                          host = {.size = sizeof host, .tpk = find_tpk, .cache = &cache};
    struct server *server = server_new(8, false);
    struct mkt_csb *responder[2], *branch[2];
    uint8_t octets[3][2048];
    struct mkt_buf init = {octets[2], sizeof octets[2], 0};
    struct mkt_span answer[2];
    struct line *line[2];
    expect_err("cache", mkt_replay_new(&cache, slots, sizeof slots), MKT_OK);
    struct mkt_csb *offered = make_call(&alice, users, &init);
    const struct mkt_span invite = {octets[2], init.n};
    for (size_t i = 0; i < 2; i++) {
        struct mkt_settings settings;
        mkt_settings_init(&settings, users[devices ? 0 : i]);
        struct mkt_buf out = {octets[i], sizeof octets[i], 0};
        if (devices)
            settings.replay_scope = mkt_span_text(scopes[i]);
        expect_err("Responder", mkt_csb_new(&responder[i], MKT_RESPONDER, &host, &settings), MKT_OK);
        expect_err("INVITE", mkt_csb_take_offer(responder[i], invite, mkt_span_text("mikey")), MKT_OK);
        expect_err("answer", mkt_csb_make_transfer_resp(responder[i], NULL, &out), MKT_OK);
        answer[i] = (struct mkt_span){octets[i], out.n};
    }
    for (size_t i = 0; i < 2; i++) {
        const size_t who = i == 0 ? first : 1 - first;
        expect_err("branch", mkt_csb_branch(offered, &branch[who]), MKT_OK);
        expect_err("183", mkt_csb_take(branch[who], answer[who]), MKT_OK);
        ck_assert(!mkt_csb_repeated(branch[who]));
        expect_err("add", mkt_streams_add_csb(server->streams, SEVEN + who, branch[who], 1), MKT_OK);
        expect_err("183 again", mkt_csb_take(branch[who], answer[who]), MKT_OK);
        ck_assert(mkt_csb_repeated(branch[who]));
    }
    mkt_csb_free(offered);
    for (size_t i = 0; i < 2; i++) {
        const size_t who = i == 0 ? caller : 1 - caller;
        expect_err("200", mkt_csb_take(branch[who], answer[who]), MKT_OK);
        ck_assert(mkt_csb_repeated(branch[who]));
        mkt_csb_free(branch[who]);
        line[who] = line_new();
        struct end *client = &line[who]->client, *end = &line[who]->server;
        expect_err("client", set_up_csb(&client->conf, &client->tls, &tls, responder[who], 1), MKT_OK);
        expect_err("server", set_up_server(server->streams, &end->conf, &end->tls, &server->tls), MKT_OK);
        end->user = server;
        end->handshake = shake_stream;
        expect_err("bind", bind_end(server->streams, end, NULL), MKT_OK);
        start_both(line[who]);
        expect_stream(server, line[who], SEVEN + who);
    }
    for (size_t i = 0; i < 2; i++) { /* both are connected at once */
        expect_stream(server, line[i], SEVEN + i);
        hang_up(server, line[i]);
        mkt_csb_free(responder[i]);
    }
    server_free(server);
}
END_TEST

/* One stream, one connection: of two handshakes under way the first to succeed has it. */
START_TEST(two_handshakes)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    struct line *line[2];
    for (size_t i = 0; i < 2; i++) {
        line[i] = dial(server, versions[_i], KEY_32, NAME, i == 0 ? NULL : &seven);
        name_identity(line[i], _i);
    }
    shake(line[1]); /* who is connected first counts, not who named it first */
    expect_stream(server, line[1], SEVEN);
    shake(line[0]);
    ck_assert_int_eq(line[0]->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    uint64_t stream;
    expect_err("of", mkt_streams_find(server->streams, &line[0]->server.ssl, &stream), MKT_E_NO_SESSION);
    if (line[0]->client.result == 0) { /* it thinks that it is connected, and finds the alert access_denied */
        unsigned char octets[16];
        line[0]->client.result = mbedtls_ssl_read(&line[0]->client.ssl, octets, sizeof octets);
    }
    ck_assert_int_eq(line[0]->client.result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    say(&line[1]->client, &line[1]->server, "nothing happened here");
    hang_up(server, line[0]);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    ck_assert_uint_eq(server->ended, 0);
    hang_up(server, line[1]);
    server_free(server);
}
END_TEST

/* A stream that is removed, or replaced, in the midst of its handshake: mbedTLS has the old key by then. */
START_TEST(removed_in_handshake)
{
    const bool replaced = _i / VERSIONS == 1, bound = _i / VERSIONS == 2;
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial(server, versions[_i % VERSIONS], KEY_32, NAME, bound ? &seven : NULL);
    name_identity(line, _i % VERSIONS);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_E_NO_SESSION);
    if (replaced)
        add(server, SEVEN, OTHER_KEY, NAME);
    shake(line);
    ck_assert_int_eq(line->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    uint64_t stream;
    expect_err("of", mkt_streams_find(server->streams, &line->server.ssl, &stream), MKT_E_NO_SESSION);
    line_free(line);
    if (replaced) {
        line = call_up(server, versions[_i % VERSIONS], OTHER_KEY, NAME, &seven);
        expect_stream(server, line, SEVEN);
        hang_up(server, line);
    }
    ck_assert_uint_eq(mkt_streams_count(server->streams), 0);
    server_free(server);
}
END_TEST

/* A connected stream can be removed too. The host is told once, and a new stream of that number is another one. */
START_TEST(removed_when_connected)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = call_up(server, versions[_i], KEY_32, NAME, &seven);
    expect_stream(server, line, SEVEN);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    ck_assert_uint_eq(server->ended, 1);
    ck_assert_int_eq(server->how, MKT_TLS_REMOVED);
    add(server, SEVEN, KEY_32, NAME);
    uint64_t stream;
    expect_err("of", mkt_streams_find(server->streams, &line->server.ssl, &stream), MKT_E_NO_SESSION);
    hang_up(server, line);
    ck_assert_uint_eq(server->ended, 1);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    server_free(server);
}
END_TEST

/* Gives a client that is connected another key and identity; mbedTLS 3 refuses that in a configuration that has one. */
static void change_key(struct line *line, const char *key, const char *name)
{
    const struct mkt_tls_settings settings = {
        .size = sizeof settings, .end = MKT_END_CLIENT, .suites = mkt_span_text(versions[0]), .renegotiation = true};
    mbedtls_ssl_config *conf = &line->client.conf;
    mbedtls_ssl_config_free(conf);
    mbedtls_ssl_config_init(conf);
    mbedtls_ssl_conf_rng(conf, mbedtls_ctr_drbg_random, &line->drbg);
    expect_err("client", set_up_psk(conf, &line->client.tls, &settings, from_hex(key), mkt_span_text(name)), MKT_OK);
}

/* Renegotiation asks for the key again, and must get that of the same stream. */
START_TEST(renegotiation)
{
    struct server *server = server_new(8, false);
    server->tls.renegotiation = true;
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_32, OTHER_NAME);
    struct line *line = call_up(server, versions[0], KEY_32, NAME, NULL);
    expect_stream(server, line, SEVEN);
    if (_i == 1) /* the client comes with the right key and identity of another stream */
        change_key(line, KEY_32, OTHER_NAME);
    unsigned char octets[16];
    int asked = MBEDTLS_ERR_SSL_WANT_READ, other = MBEDTLS_ERR_SSL_WANT_READ;
    for (int i = 0; i < 20 && asked == MBEDTLS_ERR_SSL_WANT_READ && other == MBEDTLS_ERR_SSL_WANT_READ; i++) {
        asked = mbedtls_ssl_renegotiate(&line->client.ssl);
        other = mbedtls_ssl_read(&line->server.ssl, octets, sizeof octets);
    }
    if (_i == 0) {
        ck_assert_int_eq(asked, 0);
        ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, other), MKT_TLS_OPEN);
        expect_stream(server, line, SEVEN);
    } else {
        ck_assert_int_eq(other, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
        ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, other), MKT_TLS_FAILED);
        ck_assert_uint_eq(server->ended, 1);
        ck_assert_uint_eq(server->which, SEVEN);
        ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    }
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* A stream is closed or removed while its connection has a renegotiation under way: the peer gets close_notify. */
START_TEST(closed_in_a_renegotiation)
{
    struct server *server = server_new(8, false);
    server->tls.renegotiation = true;
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = call_up(server, versions[0], KEY_32, NAME, NULL);
    mbedtls_ssl_context *ssl = &line->server.ssl;
    unsigned char octet;
    expect_stream(server, line, SEVEN);
    ck_assert_int_eq(mbedtls_ssl_renegotiate(&line->client.ssl), MBEDTLS_ERR_SSL_WANT_READ);
    ck_assert_int_eq(mbedtls_ssl_read(ssl, &octet, 1), MBEDTLS_ERR_SSL_WANT_READ);
    if (_i == 0) {
        expect_err("close", mkt_streams_close(server->streams, ssl), MKT_OK);
    } else {
        expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
        ck_assert_int_eq(mkt_streams_status(server->streams, ssl, MBEDTLS_ERR_SSL_WANT_READ), MKT_TLS_REMOVED);
    }
    ck_assert_int_eq(mbedtls_ssl_renegotiate(&line->client.ssl), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* Ends */

enum { PEER_CLOSES, PEER_CUTS, PEER_ALERTS, RECORD_IS_WRONG, TCP_IS_RESET, WE_CLOSE, BOUND_ANEW, FREED, ENDS };

START_TEST(end)
{
    static const enum mkt_tls_state states[] = {
        [PEER_CLOSES] = MKT_TLS_CLOSED,     [PEER_CUTS] = MKT_TLS_CUT,    [PEER_ALERTS] = MKT_TLS_ALERT,
        [RECORD_IS_WRONG] = MKT_TLS_FAILED, [TCP_IS_RESET] = MKT_TLS_CUT, [WE_CLOSE] = MKT_TLS_CLOSED,
        [BOUND_ANEW] = MKT_TLS_CUT,
    };
    const int how = _i % ENDS, version = _i / ENDS;
    unsigned char octets[16];
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_32, OTHER_NAME);
    struct line *line = call_up(server, versions[version], KEY_32, NAME, &seven);
    expect_stream(server, line, SEVEN);
    mbedtls_ssl_context *ssl = &line->server.ssl;

    int result = mbedtls_ssl_read(ssl, octets, sizeof octets);
    ck_assert_int_eq(mkt_streams_status(server->streams, ssl, result), MKT_TLS_OPEN);
    ck_assert_int_eq(mkt_streams_status(server->streams, ssl, 1), MKT_TLS_OPEN);
    ck_assert_int_eq(mkt_streams_status(server->streams, ssl, MBEDTLS_ERR_SSL_TIMEOUT), MKT_TLS_OPEN);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 2);

    size_t sent = line->server.sent.n;
    if (how == PEER_CLOSES)
        ck_assert_int_eq(mbedtls_ssl_close_notify(&line->client.ssl), 0);
    if (how == PEER_CUTS)
        line->client.sent.closed = true;
    if (how == PEER_ALERTS)
        ck_assert_int_eq(mbedtls_ssl_send_alert_message(&line->client.ssl, 2, 80), 0);
    if (how == RECORD_IS_WRONG) {
        ck_assert_int_eq(mbedtls_ssl_write(&line->client.ssl, (const unsigned char *)"x", 1), 1);
        line->client.sent.octets[line->client.sent.n - 1] ^= 1;
    }
    if (how <= RECORD_IS_WRONG) {
        result = mbedtls_ssl_read(ssl, octets, sizeof octets);
        ck_assert_int_eq(mkt_streams_status(server->streams, ssl, result), states[how]);
    }
    if (how == TCP_IS_RESET)
        ck_assert_int_eq(mkt_streams_status(server->streams, ssl, MBEDTLS_ERR_NET_CONN_RESET), states[how]);
    if (how == WE_CLOSE)
        expect_err("close", mkt_streams_close(server->streams, ssl), MKT_OK);
    if (how == BOUND_ANEW)
        expect_err("bind", bind_end(server->streams, &line->server, &eight), MKT_OK);

    if (how == PEER_CLOSES || how == WE_CLOSE || how == RECORD_IS_WRONG)
        ck_assert_uint_gt(line->server.sent.n, sent);
    if (how == PEER_CLOSES || how == WE_CLOSE)
        ck_assert_int_eq(mbedtls_ssl_read(&line->client.ssl, octets, sizeof octets), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    if (how != FREED) {
        uint64_t stream;
        expect_err("of", mkt_streams_find(server->streams, ssl, &stream), MKT_E_NO_SESSION);
        ck_assert_uint_eq(server->ended, 1);
        ck_assert_uint_eq(server->which, SEVEN);
        ck_assert_int_eq(server->how, states[how]);
        ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
        mkt_streams_close(server->streams, ssl); /* once more does nothing */
        ck_assert_uint_eq(server->ended, 1);
    }
    line_free(line);
    server_free(server); /* FREED: without another word */
}
END_TEST

/* An end in the midst of a handshake: the stream waits on. */
START_TEST(end_of_handshake)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial(server, versions[_i], KEY_32, NAME, &seven);
    go_on(&line->client);
    go_on(&line->server);
    line->client.sent.closed = true;
    go_on(&line->server);
    ck_assert_int_eq(line->server.result, MBEDTLS_ERR_SSL_CONN_EOF);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, line->server.result), MKT_TLS_CUT);
    line_free(line);
    ck_assert_uint_eq(server->ended, 0);
    line = call_up(server, versions[_i], KEY_32, NAME, &seven);
    expect_stream(server, line, SEVEN);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* The use of the API */

static int no_random(void *user, unsigned char *out, size_t n)
{
    (void)user, (void)out, (void)n;
    return -1;
}

struct scene {
    struct server *server;
    mbedtls_ssl_context ssl;
};

static enum mkt_err new_streams(struct scene *s, const void *settings)
{
    struct mkt_streams *streams = s->server->streams;
    const enum mkt_err err = mkt_streams_new(&streams, settings);
    ck_assert((streams != NULL) == (err == MKT_OK));
    mkt_streams_free(streams);
    return err;
}

START_TEST(settings_of_other_versions)
{
    struct scene s = {.server = server_new(2, false)};
    const struct mkt_streams_settings settings = s.server->settings;
    expect_sizes("streams", &settings, sizeof settings, &s, new_streams);
    server_free(s.server);
}
END_TEST

START_TEST(arguments)
{
    static const uint8_t octets[MKT_TLS_MAX_IDENTITY + 1] = {1};
    const struct mkt_span key = from_hex(KEY_32), name = mkt_span_text(NAME), none = {NULL, 0};
    struct server *server = server_new(2, false);
    struct mkt_streams *streams = server->streams, *other = streams;
    struct mkt_streams_settings settings = server->settings;
    settings.most = (size_t)1 << 31;
    expect_err("most", mkt_streams_new(&other, &settings), MKT_E_ARGUMENT);
    ck_assert_ptr_null(other);
    settings.most = 1;
    settings.rng = NULL;
    expect_err("no rng", mkt_streams_new(&other, &settings), MKT_E_ARGUMENT);
    settings.rng = no_random;
    expect_err("rng", mkt_streams_new(&other, &settings), MKT_E_RANDOM);
    settings = (struct mkt_streams_settings){
        .size = sizeof(struct mkt_streams_settings), .rng = mbedtls_ctr_drbg_random, .rng_user = &server->drbg};
    expect_err("defaults", mkt_streams_new(&other, &settings), MKT_OK);
    expect_err("malloc", mkt_streams_add(other, 0, key, name), MKT_OK);
    mkt_streams_free(other);
    mkt_streams_free(NULL);

    expect_err("no key", mkt_streams_add(streams, 1, none, name), MKT_E_ARGUMENT);
    expect_err("no identity", mkt_streams_add(streams, 1, key, none), MKT_E_ARGUMENT);
    expect_err("empty identity", mkt_streams_add(streams, 1, key, mkt_span_text("")), MKT_E_ARGUMENT);
    expect_err("identity nowhere", mkt_streams_add(streams, 1, key, (struct mkt_span){NULL, 5}), MKT_E_ARGUMENT);
    expect_err("key nowhere", mkt_streams_add(streams, 1, (struct mkt_span){NULL, 32}, name), MKT_E_ARGUMENT);
    expect_err("long identity", mkt_streams_add(streams, 1, key, (struct mkt_span){octets, sizeof octets}),
               MKT_E_ARGUMENT);
    expect_err("short key", mkt_streams_add(streams, 1, (struct mkt_span){octets, 15}, name), MKT_E_KEY_LENGTH);
    expect_err("long key", mkt_streams_add(streams, 1, (struct mkt_span){octets, MBEDTLS_PSK_MAX_LEN + 1}, name),
               MKT_E_KEY_LENGTH);
    ck_assert_uint_eq(mkt_streams_count(streams), 0);
    expect_err("longest",
               mkt_streams_add(streams, 1, (struct mkt_span){octets, MBEDTLS_PSK_MAX_LEN},
                               (struct mkt_span){octets, MKT_TLS_MAX_IDENTITY}),
               MKT_OK);
    expect_err("remove", mkt_streams_remove(streams, 1), MKT_OK);
    expect_err("first", mkt_streams_add(streams, 0, key, name), MKT_OK);
    expect_err("number", mkt_streams_add(streams, 0, key, mkt_span_text(OTHER_NAME)), MKT_E_IN_USE);
    expect_err("identity", mkt_streams_add(streams, 1, key, name), MKT_E_IN_USE);
    expect_err("last", mkt_streams_add(streams, UINT64_MAX, key, mkt_span_text(OTHER_NAME)), MKT_OK);
    expect_err("room", mkt_streams_add(streams, 1, key, mkt_span_text("third")), MKT_E_BUNDLE_FULL);
    ck_assert_uint_eq(mkt_streams_count(streams), 2);
    expect_err("remove", mkt_streams_remove(streams, 1), MKT_E_NO_SESSION);

    struct line *line = line_new();
    mbedtls_ssl_config *conf = &line->server.conf;
    struct mkt_tls *tls = &line->server.tls;
    struct mkt_tls_settings bad = {
        .size = sizeof bad, .end = MKT_END_SERVER, .suites = mkt_span_text("modern:nonsense")};
    uint64_t stream = 1;
    int cause;
    expect_err("suites", mkt_tls_choose(tls, &bad), MKT_E_PROFILE);
    expect_err("no choice", mkt_streams_server(streams, conf, tls, &cause), MKT_E_ARGUMENT);
    const uint64_t zero = 0;
    mbedtls_ssl_context *ssl = &line->client.ssl;
    expect_err("no choice", mkt_streams_client(streams, ssl, conf, tls, &cause), MKT_E_ARGUMENT);
    expect_err("not known", set_up_client(streams, ssl, conf, tls, &server->tls), MKT_E_NO_SESSION);
    expect_err("as client", mkt_streams_server(streams, conf, tls, &cause), MKT_E_ARGUMENT);
    expect_err("bind", mkt_streams_bind(streams, ssl, NULL, &no_bio), MKT_OK);
    expect_err("for no stream", set_up_client(streams, ssl, conf, tls, &server->tls), MKT_E_NO_SESSION);
    expect_err("bind", mkt_streams_bind(streams, ssl, &zero, &no_bio), MKT_OK);
    expect_err("no stream", bind_end(streams, &line->server, &stream), MKT_E_NO_SESSION);
    line_free(line);
    server_free(server);
}
END_TEST

static void *take_little(void *user, size_t n)
{
    return n < 4096 ? take(user, n) : NULL;
}

/* The size of the tables must not wrap around on 32 bits. */
START_TEST(no_memory_for_most)
{
    struct server *server = server_new(2, false);
    struct mkt_streams *other;
    server->settings.alloc = take_little;
    for (unsigned bits = 20; bits <= 30; bits++) {
        server->settings.most = (size_t)1 << bits;
        expect_err("most", mkt_streams_new(&other, &server->settings), bits <= 24 ? MKT_E_MEMORY : MKT_E_ARGUMENT);
    }
    server_free(server);
}
END_TEST

/* Each allocation fails once; what was there before still is. */
START_TEST(no_memory)
{
    struct server *server = server_new(2, false);
    const struct mkt_span key = from_hex(KEY_32), name = mkt_span_text(NAME);
    struct mkt_streams *other;
    server->fail_at = 1;
    server->allocations = 0;
    expect_err("new", mkt_streams_new(&other, &server->settings), MKT_E_MEMORY);
    expect_err("new", mkt_streams_new(&other, &server->settings), MKT_OK);
    ck_assert_uint_eq(server->allocations, 2); /* one is all that it takes */
    mkt_streams_free(other);
    server->allocations = 0;
    expect_err("add", mkt_streams_add(server->streams, 1, key, name), MKT_E_MEMORY);
    expect_err("add", mkt_streams_add(server->streams, 1, key, name), MKT_OK);
    server->allocations = 0;
    mbedtls_ssl_context ssl;
    expect_err("bind", mkt_streams_bind(server->streams, &ssl, NULL, &no_bio), MKT_E_MEMORY);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    server_free(server);
}
END_TEST

/* From here on keys are caught: a server's configuration is only made to know what mbedTLS would ask. */
static void ask_here(struct server *server)
{
    struct line *line = line_new();
    catching = true;
    expect_err("server", set_up_server(server->streams, &line->server.conf, &line->server.tls, &server->tls), MKT_OK);
    line_free(line);
}

/* As mbedTLS does in a handshake. */
static int ask(mbedtls_ssl_context *ssl, const char *identity)
{
    return callback.find_key(callback.user, ssl, (const unsigned char *)identity, strlen(identity));
}

/* 100,000 streams wait: what they cost; tests/lookups.c has how one is found. */
START_TEST(hundred_thousand)
{
    enum { MANY = 100000 };
    struct server *server = server_new(0, false);
    const struct mkt_span key = from_hex(KEY_32);
    char name[64];
    size_t own = 0;
    for (size_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "mikey-ticket:%08zx:01:00c0ffee", i);
        expect_err(name, mkt_streams_add(server->streams, i, key, mkt_span_text(name)), MKT_OK);
        own += key.n + strlen(name);
    }
    size_t each = (server->octets - own) / MANY;
    printf("100,000 streams: %zu octets each beyond key and identity\n", each);
    ck_assert_uint_le(each, 256);

    expect_err("room", mkt_streams_add(server->streams, MANY, key, mkt_span_text("one too many")), MKT_E_BUNDLE_FULL);
    struct line *line = call_up(server, versions[0], KEY_32, "mikey-ticket:0000c0de:01:00c0ffee", NULL);
    expect_stream(server, line, 0xc0de);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* What calls leave on the stack; mbedTLS does not get the key meanwhile, so that a copy there is ours. */

struct attempt {
    struct server *server;
    struct line *line;
    struct mkt_csb *csb;
    struct mkt_span psk;
    const char *identity;
    struct mkt_tls_settings tls;
    int result; /* of the call that gets the key */
};

static void add_and_take(void *arg)
{
    struct attempt *a = arg;
    a->result = (int)mkt_streams_add(a->server->streams, EIGHT, a->psk, mkt_span_text(OTHER_NAME));
    (void)!mkt_streams_remove(a->server->streams, EIGHT);
}

static void add_twice(void *arg)
{
    struct attempt *a = arg;
    a->result = (int)mkt_streams_add(a->server->streams, SEVEN, a->psk, mkt_span_text(OTHER_NAME));
}

static void rekey(void *arg)
{
    struct attempt *a = arg;
    a->result = (int)mkt_streams_rekey(a->server->streams, SEVEN, a->psk, mkt_span_text(NAME));
}

static void add_csb(void *arg)
{
    struct attempt *a = arg;
    a->result = (int)mkt_streams_add_csb(a->server->streams, EIGHT, a->csb, 1);
    (void)!mkt_streams_remove(a->server->streams, EIGHT);
}

static void add_csb_twice(void *arg)
{
    struct attempt *a = arg;
    a->result = (int)mkt_streams_add_csb(a->server->streams, SEVEN, a->csb, 1);
}

static void rekey_csb(void *arg)
{
    struct attempt *a = arg;
    a->result = (int)mkt_streams_rekey_csb(a->server->streams, NINE, a->csb, 1);
}

static void configure_client(void *arg)
{
    struct attempt *a = arg;
    a->result = (int)set_up_client(a->server->streams, &a->line->client.ssl, &a->line->client.conf,
                                   &a->line->client.tls, &a->tls);
}

static void find_key(void *arg)
{
    struct attempt *a = arg;
    a->result = ask(&a->line->server.ssl, a->identity);
}

static void expect_clean(const char *what, void (*act)(void *), struct attempt *a, struct mkt_span key, int want)
{
    on_own_stack(act, a);
    ck_assert_msg(a->result == want, "%s: %d, not %d", what, a->result, want);
    expect_not_left(what, key.p, key.n);
    for (size_t i = 0; i < a->server->n_drawn; i += 32)
        expect_not_left("a secret of the tables", a->server->drawn + i, 32);
}

/* The key that mbedTLS was given last. */
static struct mkt_span caught_key(void)
{
    return (struct mkt_span){caught.key, caught.n};
}

START_TEST(no_key_is_left_on_the_stack)
{
    static const struct mkt_host host = {.size = sizeof host};
    struct mkt_csb *csb[2];
    uint8_t octets[64];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct server *server = server_new(8, true);
    struct attempt a = {.server = server, .line = line_new(), .psk = from_hex(RARE_KEY), .tls = server->tls};
    bundles(&host, _i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, 0, csb);
    expect_err("TEK", mkt_csb_tek(csb[0], 1, &buf), MKT_OK);
    const struct mkt_span tek = {octets, buf.n};
    a.csb = csb[0];

    add(server, SEVEN, RARE_KEY, NAME);
    expect_clean("add", add_and_take, &a, a.psk, MKT_OK);
    expect_clean("add what is there", add_twice, &a, a.psk, MKT_E_IN_USE);
    expect_clean("re-key", rekey, &a, a.psk, MKT_OK);
    expect_clean("add from a bundle", add_csb, &a, tek, MKT_OK);
    expect_clean("add from a bundle what is there", add_csb_twice, &a, tek, MKT_E_IN_USE);
    expect_clean("re-key from a bundle what is not there", rekey_csb, &a, tek, MKT_E_NO_SESSION);
    add(server, NINE, KEY_32, OTHER_NAME);
    expect_clean("re-key from a bundle", rekey_csb, &a, tek, MKT_OK);

    ask_here(server);
    expect_err("bind", bind_end(server->streams, &a.line->client, &seven), MKT_OK);
    expect_clean("client", configure_client, &a, a.psk, MKT_OK);
    expect_octets("key", caught_key(), a.psk);
    a.tls.suites = mkt_span_text("nonsense");
    expect_clean("client with a wrong list", configure_client, &a, a.psk, MKT_E_PROFILE);
    mkt_streams_close(server->streams, &a.line->client.ssl);

    a.identity = NAME;
    expect_err("bind", bind_end(server->streams, &a.line->server, &seven), MKT_OK);
    expect_clean("server", find_key, &a, a.psk, 0);
    expect_octets("key", caught_key(), a.psk);
    a.identity = "nobody";
    expect_clean("server, identity unknown and hidden", find_key, &a, caught_key(), 0);
    expect_not_left("nobody's key", caught.key, caught.n);
    mkt_streams_close(server->streams, &a.line->server.ssl);
    catching = false;
    line_free(a.line);
    bundles_free(csb);
    server_free(server);
}
END_TEST

/* Whole handshakes, by which mbedTLS gets the key too: it leaves none there either. */

static void whole_handshake(void *arg)
{
    struct attempt *a = arg;
    shake(a->line);
}

START_TEST(no_handshake_leaves_a_key_on_the_stack)
{
    static const char *const suites[] = {
        "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
        "TLS-DHE-PSK-WITH-AES-256-GCM-SHA384",
        "TLS-PSK-WITH-AES-128-CBC-SHA",
#if MBEDTLS_VERSION_MAJOR >= 3
        "TLS1-3-AES-128-GCM-SHA256",
#else
        "TLS-PSK-WITH-AES-128-GCM-SHA256",
#endif
    };
    const bool out = _i % 2 == 1;
    const char *suite = suites[_i / 2];
    const struct mkt_span key = from_hex(RARE_KEY);
    struct server *server = server_new(8, false);
    struct attempt a = {.server = server};
    server->tls.suites = mkt_span_text(suite);
    add(server, SEVEN, RARE_KEY, NAME);
    for (int i = 0; i < 2; i++) { /* once, so that all functions are known to the dynamic linker */
        a.line = out ? dial_out(server, suite, RARE_KEY, &seven) : dial(server, suite, RARE_KEY, NAME, &seven);
        once_on_own_stack(whole_handshake, &a);
        const size_t left = left_on_stack(key.p, key.n);
        expect_connected(a.line);
        mkt_streams_close(server->streams, out ? &a.line->client.ssl : &a.line->server.ssl);
        line_free(a.line);
        if (i == 0)
            add(server, SEVEN, RARE_KEY, NAME);
        else
            ck_assert_msg(left == 0, "%zu pieces of the key", left);
    }
    server_free(server);
}
END_TEST

START_TEST(what_is_left_is_found)
{
    struct mkt_span key = from_hex(RARE_KEY);
    on_own_stack(leave_a_key, (void *)(uintptr_t)key.p);
    ck_assert_uint_ge(left_on_stack(key.p, key.n), 3);
}
END_TEST

/*
 * Peers choose identities, and must not choose in which chain they are: all that is hashed has a secret before it, one
 * for each use. No answer shows that, so this test looks at what is hashed.
 */
START_TEST(tables_have_secrets)
{
    struct server *server = server_new(8, true);
    struct line *line = line_new();
    ck_assert_uint_eq(server->n_drawn, 2 * 32);
    const uint8_t *secret[] = {server->drawn, server->drawn + 32};
    add(server, SEVEN, KEY_32, NAME);
    ask_here(server);
    expect_err("bind", bind_end(server->streams, &line->server, &seven), MKT_OK);
    static const char *const names[] = {NAME, "nobody"};
    for (size_t i = 0; i < 2; i++) {
        n_hashed = 0;
        ck_assert_int_eq(ask(&line->server.ssl, names[i]), 0);
        ck_assert_uint_eq(n_hashed, 2); /* for both, so that the time does not tell which one is there */
        for (size_t j = 0; j < 2; j++) {
            ck_assert_mem_eq(hashed[j], secret[j], 32);
            ck_assert_mem_eq(hashed[j] + 32, names[i], i == 0 ? 32 : 6);
        }
    }
    mkt_streams_close(server->streams, &line->server.ssl);
    catching = false;
    line_free(line);
    server_free(server);
}
END_TEST

/* Threads: two shake hands, two add and remove, also what one of the others has connected. */

enum { SHAKES = 30 };

enum wish { NOTHING, RE_KEY, REMOVE, WISHES };

struct worker {
    pthread_t thread;
    struct server *server;
    unsigned number; /* of the worker, and of its stream */
    atomic_bool *done;
    _Atomic(enum wish) wish; /* what the other thread is to do to the stream now */
    struct worker *other;
    unsigned connected, wrong;
};

/* Fulfils the wish of another thread. */
static void fulfil(struct worker *worker)
{
    struct mkt_streams *streams = worker->server->streams;
    const uint8_t key[32] = {(uint8_t)worker->number, 0xff};
    char name[64];
    snprintf(name, sizeof name, "worker %u again", worker->number);
    if (worker->wish == NOTHING)
        return;
    if (worker->wish == RE_KEY &&
        mkt_streams_rekey(streams, worker->number, (struct mkt_span){key, sizeof key}, mkt_span_text(name)) != MKT_OK)
        worker->wrong++;
    if (worker->wish == REMOVE && mkt_streams_remove(streams, worker->number) != MKT_OK)
        worker->wrong++;
    worker->wish = NOTHING;
}

/* Whether it has its connected stream until and unless another thread has removed it. */
static bool keeps_stream(struct worker *worker, const mbedtls_ssl_context *ssl, enum wish wish)
{
    uint64_t stream;
    worker->wish = wish;
    for (bool fulfilled = false;; fulfilled = worker->wish == NOTHING) {
        enum mkt_err err = mkt_streams_find(worker->server->streams, ssl, &stream);
        if (err != MKT_OK && (err != MKT_E_NO_SESSION || wish != REMOVE))
            return false;
        if (err == MKT_OK && stream != worker->number)
            return false;
        if (fulfilled)
            return (err == MKT_OK) == (wish != REMOVE);
    }
}

static void *add_and_remove(void *user)
{
    struct worker *worker = user;
    struct mkt_streams *streams = worker->server->streams;
    const uint8_t key[32] = {(uint8_t)worker->number};
    for (uint64_t n = 0; !*worker->done; n++) {
        char name[64];
        fulfil(worker->other);
        uint64_t stream = 1000 * (worker->number + 1) + n % 100;
        snprintf(name, sizeof name, "churn %llu", (unsigned long long)stream);
        enum mkt_err err = mkt_streams_add(streams, stream, (struct mkt_span){key, sizeof key}, mkt_span_text(name));
        if (err != (n % 200 < 100 ? MKT_OK : MKT_E_IN_USE))
            worker->wrong++;
        if (n % 200 >= 100 && mkt_streams_remove(streams, stream) != MKT_OK)
            worker->wrong++;
        if (n % 50 == 7) /* a stream that may be in a handshake or connected: put back at once */
            (void)(mkt_streams_remove(streams, 100) == MKT_OK &&
                   mkt_streams_add(streams, 100, (struct mkt_span){key, sizeof key}, mkt_span_text("contended")));
    }
    return NULL;
}

/* Shakes hands as a client with a stream of its own, one that another thread removes, and a wrong key, in turns. */
static void *shake_hands(void *user)
{
    struct worker *worker = user;
    struct mkt_streams *streams = worker->server->streams;
    for (unsigned n = 0; n < SHAKES; n++) {
        uint8_t key[32] = {(uint8_t)worker->number, (uint8_t)n, 1};
        const struct mkt_span psk = {key, sizeof key};
        char name[64];
        uint64_t number = worker->number, stream = 0;
        snprintf(name, sizeof name, "worker %u", worker->number);
        struct mkt_tls_settings settings = {
            .size = sizeof settings, .end = MKT_END_CLIENT, .suites = mkt_span_text(versions[n % VERSIONS])};
        struct line *line = line_new();
        bool contended = n % 3 == 1, wrong_key = n % 3 == 2;
        if (mkt_streams_add(streams, number, psk, mkt_span_text(name)) != MKT_OK)
            worker->wrong++;
        if (wrong_key)
            key[31] ^= 1;
        if (set_up_psk(&line->client.conf, &line->client.tls, &settings, psk,
                       mkt_span_text(contended ? "contended" : name)) != MKT_OK ||
            set_up_server(streams, &line->server.conf, &line->server.tls, &worker->server->tls) != MKT_OK ||
            bind_end(streams, &line->server, n % 2 == 0 || contended ? NULL : &number) != MKT_OK)
            worker->wrong++;
        line->server.user = worker->server;
        line->server.handshake = shake_stream;
        mbedtls_ssl_setup(&line->client.ssl, &line->client.conf);
        mbedtls_ssl_setup(&line->server.ssl, &line->server.conf);
        mbedtls_ssl_set_bio(&line->client.ssl, &line->client, put, get, NULL);
        shake(line);
        bool has = mkt_streams_find(streams, &line->server.ssl, &stream) == MKT_OK;
        if (has != (!wrong_key && !contended) || (has && stream != number))
            worker->wrong++; /* nobody here has the key of the contended one */
        worker->connected += has;
        if (has && !keeps_stream(worker, &line->server.ssl, (enum wish)(n / 3 % WISHES)))
            worker->wrong++;
        mkt_streams_close(streams, &line->server.ssl);
        if ((mkt_streams_remove(streams, number) == MKT_OK) == has)
            worker->wrong++;
        line_free(line);
    }
    return NULL;
}

START_TEST(threads)
{
    enum { ALL = 4, SHAKERS = 2 };
    atomic_bool done = false;
    struct worker worker[ALL] = {{.wrong = 0}};
    struct server *server = server_new(1000, false);
    for (unsigned i = 0; i < ALL; i++) {
        worker[i].server = server;
        worker[i].number = i;
        worker[i].done = &done;
        worker[i].other = &worker[i % SHAKERS];
    }
    for (unsigned i = 0; i < ALL; i++) {
        ck_assert_int_eq(
            pthread_create(&worker[i].thread, NULL, i < SHAKERS ? shake_hands : add_and_remove, &worker[i]), 0);
    }
    for (unsigned i = 0; i < ALL; i++) {
        if (i == SHAKERS)
            done = true;
        ck_assert_int_eq(pthread_join(worker[i].thread, NULL), 0);
        ck_assert_msg(worker[i].wrong == 0, "thread %u: wrong %u times", i, worker[i].wrong);
        if (i < SHAKERS)
            ck_assert_uint_eq(worker[i].connected, SHAKES / 3);
    }
    server_free(server);
}
END_TEST

/* Threads that use streams while another one re-keys them without a pause. */

enum { ROUNDS = 300 };

struct user {
    pthread_t thread;
    struct server *server;
    mbedtls_ssl_context *ssl;
    atomic_bool *done;
    unsigned wrong;
};

/*
 * All threads go on until the slowest one has done its rounds. The load is relaxed, as any other order would hide races
 * from ThreadSanitizer.
 */
static bool goes_on(const struct user *user, unsigned n)
{
    return n < ROUNDS || !atomic_load_explicit(user->done, memory_order_relaxed);
}

/* Every key has the same octet all over, so that a key that changes while it is copied shows. */
static void *re_key(void *arg)
{
    struct user *user = arg;
    uint8_t key[32];
    for (unsigned n = 0; goes_on(user, n); n++) {
        memset(key, (int)(n % 256), sizeof key);
        for (uint64_t stream = SEVEN; stream <= EIGHT; stream++) {
            char name[64];
            snprintf(name, sizeof name, "stream %u, name %u", (unsigned)stream, n % 3);
            user->wrong += mkt_streams_rekey(user->server->streams, stream, (struct mkt_span){key, sizeof key},
                                             mkt_span_text(name)) != MKT_OK;
        }
    }
    return NULL;
}

/* The connection has its stream, however often that is re-keyed. */
static void *go_on_shaking(void *arg)
{
    struct user *user = arg;
    int result;
    for (unsigned n = 0; goes_on(user, n); n++)
        user->wrong += mkt_streams_handshake(user->server->streams, user->ssl, &result) != MKT_OK;
    return NULL;
}

static void *ask_for_the_stream(void *arg)
{
    struct user *user = arg;
    uint64_t stream = 0;
    for (unsigned n = 0; goes_on(user, n); n++)
        user->wrong += mkt_streams_find(user->server->streams, user->ssl, &stream) != MKT_OK || stream != SEVEN;
    return NULL;
}

/* Asks for keys as mbedTLS does in a handshake. */
static void *ask_for_keys(void *arg)
{
    struct user *user = arg;
    for (unsigned n = 0; goes_on(user, n); n++) {
        char name[64];
        snprintf(name, sizeof name, "stream 8, name %u", n % 3);
        const int result = ask(user->ssl, name);
        user->wrong += result != 0 && result != MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
        for (size_t i = 0; i < caught.n; i++)
            user->wrong += caught.key[i] != caught.key[0];
    }
    return NULL;
}

/* Connections that do not get as far as a handshake. */
static void *bind_and_end(void *arg)
{
    struct user *user = arg;
    for (unsigned n = 0; goes_on(user, n); n++) {
        mbedtls_ssl_context ssl;
        user->wrong += mkt_streams_bind(user->server->streams, &ssl, &eight, &no_bio) != MKT_OK;
        user->wrong += mkt_streams_status(user->server->streams, &ssl, MBEDTLS_ERR_SSL_CONN_EOF) != MKT_TLS_CUT;
    }
    return NULL;
}

/* Connections that are not known may end at any time. There are so many that each chain is looked through. */
static void *end_others(void *arg)
{
    enum { OTHERS = 256 };
    struct user *user = arg;
    static mbedtls_ssl_context ssl[OTHERS]; /* only their addresses are used */
    for (unsigned n = 0; goes_on(user, n); n++)
        user->wrong +=
            mkt_streams_status(user->server->streams, &ssl[n % OTHERS], MBEDTLS_ERR_SSL_CONN_EOF) != MKT_TLS_CUT;
    return NULL;
}

static void *count_streams(void *arg)
{
    struct user *user = arg;
    for (unsigned n = 0; goes_on(user, n); n++)
        user->wrong += mkt_streams_count(user->server->streams) != 2;
    return NULL;
}

static void *set_clients_up(void *arg)
{
    struct user *user = arg;
    for (unsigned n = 0; n < ROUNDS; n++) {
        const struct mkt_tls_settings settings = {.size = sizeof settings, .end = MKT_END_CLIENT};
        mbedtls_ssl_config conf;
        struct mkt_tls tls;
        mbedtls_ssl_config_init(&conf);
        user->wrong += set_up_client(user->server->streams, user->ssl, &conf, &tls, &settings) != MKT_OK;
        mbedtls_ssl_config_free(&conf);
        for (size_t i = 0; i < caught.n; i++)
            user->wrong += caught.key[i] != caught.key[0];
    }
    atomic_store_explicit(user->done, true, memory_order_relaxed);
    return NULL;
}

/* There are as few chains as possible, so that most of what the threads use is in one. */
START_TEST(threads_use_a_stream_that_another_re_keys)
{
    void *(*const what[])(void *) = {go_on_shaking, ask_for_the_stream, ask_for_keys, bind_and_end,
                                     end_others,    count_streams,      re_key,       set_clients_up};
    enum { USERS = sizeof what / sizeof *what };
    struct server *server = server_new(2, false);
    add(server, SEVEN, ZEROS, NAME);
    add(server, EIGHT, ZEROS, OTHER_NAME);
    struct line *connected = call_up(server, versions[0], ZEROS, NAME, &seven), *other = line_new();
    expect_stream(server, connected, SEVEN);
    expect_err("bind", bind_end(server->streams, &other->client, &eight), MKT_OK);
    expect_err("bind", bind_end(server->streams, &other->server, &eight), MKT_OK);
    ask_here(server);
    atomic_bool done = false;
    struct user user[USERS];
    for (size_t i = 0; i < USERS; i++) {
        user[i] = (struct user){.server = server, .ssl = &connected->server.ssl, .done = &done};
        if (what[i] == set_clients_up)
            user[i].ssl = &other->client.ssl;
        if (what[i] == ask_for_keys)
            user[i].ssl = &other->server.ssl;
        ck_assert_int_eq(pthread_create(&user[i].thread, NULL, what[i], &user[i]), 0);
    }
    for (size_t i = 0; i < USERS; i++)
        ck_assert_int_eq(pthread_join(user[i].thread, NULL), 0);
    catching = false;
    for (size_t i = 0; i < USERS; i++)
        ck_assert_msg(user[i].wrong == 0, "thread %zu: wrong %u times", i, user[i].wrong);
    mkt_streams_close(server->streams, &other->client.ssl);
    mkt_streams_close(server->streams, &other->server.ssl);
    line_free(other);
    hang_up(server, connected);
    server_free(server);
}
END_TEST

/* ---- what a handshake proves, and a stream's other key ---- */

static void free_when_ended(void *user, uint64_t stream, enum mkt_tls_state how)
{
    struct line *line = user;
    (void)stream, (void)how;
    mbedtls_ssl_free(&line->server.ssl);
    memset(&line->server.ssl, 0xee, sizeof line->server.ssl); /* who looks at it now crashes */
}

/* "the application is told at once that the TLS session ended so that it releases TCP" */
START_TEST(told_when_nothing_needs_the_connection_any_more)
{
    struct line *line = line_new();
    const struct mkt_streams_settings settings = {.size = sizeof settings,
                                                  .rng = mbedtls_ctr_drbg_random,
                                                  .rng_user = &line->drbg,
                                                  .most = 8,
                                                  .user = line,
                                                  .ended = free_when_ended};
    const struct mkt_tls_settings client = {.size = sizeof client, .end = MKT_END_CLIENT},
                                  server = {.size = sizeof server, .end = MKT_END_SERVER};
    struct server holder = {.streams = NULL};
    unsigned char octet;
    expect_err("new", mkt_streams_new(&holder.streams, &settings), MKT_OK);
    expect_err("add", mkt_streams_add(holder.streams, SEVEN, from_hex(KEY_32), mkt_span_text(NAME)), MKT_OK);
    expect_err("server", set_up_server(holder.streams, &line->server.conf, &line->server.tls, &server), MKT_OK);
    expect_err("client",
               set_up_psk(&line->client.conf, &line->client.tls, &client, from_hex(KEY_32), mkt_span_text(NAME)),
               MKT_OK);
    line->server.user = &holder;
    line->server.handshake = shake_stream;
    expect_err("bind", bind_end(holder.streams, &line->server, &seven), MKT_OK);
    start_both(line);
    expect_connected(line);
    if (_i == 0) {
        ck_assert_int_eq(mbedtls_ssl_close_notify(&line->client.ssl), 0);
        const int result = mbedtls_ssl_read(&line->server.ssl, &octet, 1);
        ck_assert_int_eq(mkt_streams_status(holder.streams, &line->server.ssl, result), MKT_TLS_CLOSED);
    } else {
        expect_err("close", mkt_streams_close(holder.streams, &line->server.ssl), MKT_OK);
    }
    ck_assert_int_eq(mbedtls_ssl_read(&line->client.ssl, &octet, 1), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    mbedtls_ssl_init(&line->server.ssl);
    mkt_streams_free(holder.streams);
    line_free(line);
}
END_TEST

/* RFC 5246 7.2.2: a peer that does not want to renegotiate warns, and the session goes on. */
START_TEST(a_refused_renegotiation_ends_nothing)
{
    struct server *server = server_new(8, false);
    const bool crossing = _i == 1; /* it wants to, but sent data before it knew */
    unsigned char octets[8];
    server->tls.renegotiation = crossing;
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial_out(server, versions[0], KEY_32, &seven);
    shake(line);
    expect_connected(line);
    if (crossing)
        ck_assert_int_eq(mbedtls_ssl_write(&line->server.ssl, (const unsigned char *)"MSRP", 4), 4);
    int result = MBEDTLS_ERR_SSL_WANT_READ;
    for (int i = 0; i < 10 && result == MBEDTLS_ERR_SSL_WANT_READ; i++) {
        result = mbedtls_ssl_renegotiate(&line->client.ssl);
        if (!crossing)
            ck_assert_int_le(mbedtls_ssl_read(&line->server.ssl, octets, sizeof octets), 0);
    }
    ck_assert_int_eq(result, MBEDTLS_ERR_SSL_WAITING_SERVER_HELLO_RENEGO);
    ck_assert_int_eq(mkt_streams_status(server->streams, &line->client.ssl, result), MKT_TLS_OPEN);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    ck_assert_uint_eq(server->ended, 0);
    if (crossing)
        ck_assert_int_eq(mbedtls_ssl_read(&line->client.ssl, octets, sizeof octets), 4);
    mkt_streams_close(server->streams, &line->client.ssl);
    line_free(line);
    server_free(server);
}
END_TEST

/* A key that went in before the stream was replaced is not that of the new one. */
START_TEST(a_client_of_a_stream_that_was_replaced)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = dial_out(server, versions[_i], KEY_32, &seven);
    expect_err("remove", mkt_streams_remove(server->streams, SEVEN), MKT_OK);
    add(server, SEVEN, OTHER_KEY, NAME);
    shake(line);
    ck_assert_int_eq(line->client.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    line_free(line);
    server_free(server);
}
END_TEST

/* An application that keeps sessions all the same: who resumes one has proved no key, and gets no stream. */
START_TEST(a_session_that_was_resumed)
{
    struct server *server = server_new(8, false);
    mbedtls_ssl_cache_context cache;
    mbedtls_ssl_session session;
    uint64_t stream;
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_16, "eight");
    mbedtls_ssl_cache_init(&cache);
    mbedtls_ssl_session_init(&session);
    for (int again = 0; again < 2; again++) {
        const uint64_t *bound = again && _i == 0 ? &seven : &eight;
        struct line *line = dial(server, versions[0], KEY_16, "eight", bound);
        mbedtls_ssl_conf_session_cache(&line->server.conf, &cache, mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
        if (again)
            ck_assert_int_eq(mbedtls_ssl_set_session(&line->client.ssl, &session), 0);
        shake(line);
        ck_assert_int_eq(line->client.result, 0);
        ck_assert_int_eq(line->server.result, again ? MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY : 0);
        expect_err("of", mkt_streams_find(server->streams, &line->server.ssl, &stream),
                   again ? MKT_E_NO_SESSION : MKT_OK);
        if (!again)
            ck_assert_int_eq(mbedtls_ssl_get_session(&line->client.ssl, &session), 0);
        hang_up(server, line);
        if (!again)
            add(server, EIGHT, KEY_16, "eight");
    }
    mbedtls_ssl_session_free(&session);
    mbedtls_ssl_cache_free(&cache);
    server_free(server);
}
END_TEST

/* Whoever guesses the key that nobody knows gets nothing either. */
START_TEST(nobodys_key_connects_nobody)
{
    struct server *server = server_new(8, true);
    uint64_t stream;
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = call_up(server, versions[_i], ZEROS, "nobody", &seven);
    ck_assert_int_ne(line->server.result, 0);
    expect_err("of", mkt_streams_find(server->streams, &line->server.ssl, &stream), MKT_E_NO_SESSION);
    hang_up(server, line);
    server_free(server);
}
END_TEST

/* The ends agree on a new key before the connection, and its identity may change with it. */
START_TEST(a_waiting_stream_is_re_keyed)
{
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    add(server, EIGHT, KEY_16, "eight");
    struct line *old = dial(server, versions[_i], KEY_32, NAME, &seven);
    name_identity(old, _i); /* with it the server has the old key */
    const struct mkt_span key = from_hex(OTHER_KEY), name = mkt_span_text(_i % 2 == 0 ? NAME : OTHER_NAME);
    expect_err("no stream", mkt_streams_rekey(server->streams, NINE, key, name), MKT_E_NO_SESSION);
    expect_err("another's name", mkt_streams_rekey(server->streams, SEVEN, key, mkt_span_text("eight")), MKT_E_IN_USE);
    expect_err("short", mkt_streams_rekey(server->streams, SEVEN, from_hex("00"), name), MKT_E_KEY_LENGTH);
    expect_err("new key", mkt_streams_rekey(server->streams, SEVEN, key, name), MKT_OK);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 2);
    shake(old);
    ck_assert_int_ne(old->server.result, 0);
    hang_up(server, old);
    struct line *late = call_up(server, versions[_i], KEY_32, NAME, &seven);
    expect_none(server, late);
    hang_up(server, late);
    struct line *line = call_up(server, versions[_i], OTHER_KEY, _i % 2 == 0 ? NAME : OTHER_NAME, &seven);
    expect_stream(server, line, SEVEN);
    hang_up(server, line);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 1);
    server_free(server);
}
END_TEST

/* The connection stays; who renegotiates does it with the new key, and TLS 1.3 has no renegotiation. */
START_TEST(a_connected_stream_is_re_keyed)
{
    struct server *server = server_new(8, false);
    uint64_t stream = 0;
    server->tls.renegotiation = true;
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = call_up(server, versions[0], KEY_32, NAME, &seven);
    expect_stream(server, line, SEVEN);
    expect_err("new key", mkt_streams_rekey(server->streams, SEVEN, from_hex(OTHER_KEY), mkt_span_text(OTHER_NAME)),
               MKT_OK);
    expect_stream(server, line, SEVEN);
    ck_assert_int_eq(shake_stream(&line->server), 0); /* it is over, and asks nothing */
    ck_assert_uint_eq(server->ended, 0);
    struct line *second = call_up(server, versions[0], OTHER_KEY, OTHER_NAME, NULL); /* it is still connected */
    expect_none(server, second);
    ck_assert_int_eq(alert_of(&second->server), UNKNOWN_PSK);
    hang_up(server, second);
    if (_i == 0)
        change_key(line, OTHER_KEY, OTHER_NAME);
    int client = MBEDTLS_ERR_SSL_WANT_READ, at_server = client;
    for (int i = 0; i < 20 && (client == MBEDTLS_ERR_SSL_WANT_READ || at_server == MBEDTLS_ERR_SSL_WANT_READ); i++) {
        unsigned char octet;
        if (client == MBEDTLS_ERR_SSL_WANT_READ)
            client = mbedtls_ssl_renegotiate(&line->client.ssl);
        at_server = mbedtls_ssl_read(&line->server.ssl, &octet, 1);
        if (client == 0)
            break;
    }
    if (_i == 0) {
        ck_assert_int_eq(client, 0);
        say(&line->client, &line->server, "with the new key");
        expect_err("of", mkt_streams_find(server->streams, &line->server.ssl, &stream), MKT_OK);
        ck_assert_uint_eq(stream, SEVEN);
    } else {
        ck_assert_int_ne(client, 0); /* with the old one */
        ck_assert_int_eq(mkt_streams_status(server->streams, &line->server.ssl, at_server), MKT_TLS_FAILED);
        ck_assert_uint_eq(server->ended, 1);
    }
    hang_up(server, line);
    ck_assert_uint_eq(mkt_streams_count(server->streams), 0);
    server_free(server);
}
END_TEST

/* No handshake comes between the new key and these questions, as that would give the connection the stream again. */
START_TEST(a_connected_stream_keeps_its_connection_when_it_is_re_keyed)
{
    struct server *server = server_new(8, false);
    static const char *const keys[] = {OTHER_KEY, KEY_16}, *const names[] = {OTHER_NAME, "a third name"};
    add(server, SEVEN, KEY_32, NAME);
    struct line *line = call_up(server, versions[_i], KEY_32, NAME, &seven);
    expect_stream(server, line, SEVEN);
    for (int again = 0; again < 2; again++) {
        expect_err("new key",
                   mkt_streams_rekey(server->streams, SEVEN, from_hex(keys[again]), mkt_span_text(names[again])),
                   MKT_OK);
        for (int bound = 0; bound < 2; bound++) {
            struct line *second = call_up(server, versions[_i], keys[again], names[again], bound ? &seven : NULL);
            expect_none(server, second);
            ck_assert_int_eq(alert_of(&second->server), alerts[_i].identity);
            hang_up(server, second);
        }
        struct line *client = line_new();
        expect_err("bind", bind_end(server->streams, &client->client, &seven), MKT_OK);
        expect_err("client",
                   set_up_client(server->streams, &client->client.ssl, &client->client.conf, &client->client.tls,
                                 &server->tls),
                   MKT_E_IN_USE);
        mkt_streams_close(server->streams, &client->client.ssl);
        line_free(client);
        expect_stream(server, line, SEVEN);
    }
    ck_assert_uint_eq(server->ended, 0);
    hang_up(server, line);
    ck_assert_uint_eq(server->ended, 1);
    server_free(server);
}
END_TEST

/* A handshake that was given the key of one re-keying fails after the next, even if that brings the same octets. */
START_TEST(a_waiting_stream_is_re_keyed_twice)
{
    const int version = _i % VERSIONS;
    const char *const last = _i / VERSIONS == 0 ? KEY_16 : OTHER_KEY;
    struct server *server = server_new(8, false);
    add(server, SEVEN, KEY_32, NAME);
    expect_err("first", mkt_streams_rekey(server->streams, SEVEN, from_hex(OTHER_KEY), mkt_span_text(NAME)), MKT_OK);
    struct line *old = dial(server, versions[version], OTHER_KEY, NAME, &seven);
    name_identity(old, version);
    expect_err("second", mkt_streams_rekey(server->streams, SEVEN, from_hex(last), mkt_span_text(NAME)), MKT_OK);
    shake(old);
    ck_assert_int_eq(old->server.result, MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY);
    hang_up(server, old);
    ck_assert_uint_eq(server->ended, 0);
    struct line *line = call_up(server, versions[version], last, NAME, &seven);
    expect_stream(server, line, SEVEN);
    hang_up(server, line);
    server_free(server);
}
END_TEST

int main(void)
{
    if (!begin_tls())
        return EXIT_FAILURE;
    Suite *suite = suite_create("streams");
    TCase *t = tcase_create("who is who");
    tcase_add_loop_test(t, the_identity_tells, 0, VERSIONS);
    tcase_add_loop_test(t, the_whole_identity_tells, 0, VERSIONS);
    tcase_add_loop_test(t, the_connection_tells, 0, VERSIONS);
    tcase_add_loop_test(t, refused, 0, VERSIONS * WRONG * 2);
    tcase_add_loop_test(t, unknown_connection, 0, VERSIONS);
    tcase_add_loop_test(t, own_configuration, 0, VERSIONS);
    tcase_add_loop_test(t, as_client, 0, VERSIONS);
    tcase_add_loop_test(t, from_bundles, 0, 4);
    tcase_add_loop_test(t, a_forked_call, 0, VERSIONS * 8);
    tcase_add_loop_test(t, two_handshakes, 0, VERSIONS);
    tcase_add_loop_test(t, removed_in_handshake, 0, VERSIONS * 3);
    tcase_add_loop_test(t, removed_when_connected, 0, VERSIONS);
    tcase_add_loop_test(t, renegotiation, 0, 2);
    tcase_add_loop_test(t, closed_in_a_renegotiation, 0, 2);
    tcase_add_loop_test(t, a_client_of_a_stream_that_was_replaced, 0, VERSIONS);
    tcase_add_loop_test(t, nobodys_key_connects_nobody, 0, VERSIONS);
    tcase_add_loop_test(t, a_session_that_was_resumed, 0, 2);
    suite_add_tcase(suite, t);
    t = tcase_create("another key");
    tcase_add_loop_test(t, a_waiting_stream_is_re_keyed, 0, VERSIONS);
    tcase_add_loop_test(t, a_connected_stream_is_re_keyed, 0, 2);
    tcase_add_loop_test(t, a_connected_stream_keeps_its_connection_when_it_is_re_keyed, 0, VERSIONS);
    tcase_add_loop_test(t, a_waiting_stream_is_re_keyed_twice, 0, VERSIONS * 2);
    suite_add_tcase(suite, t);
    t = tcase_create("ends");
    tcase_add_loop_test(t, end, 0, VERSIONS * ENDS);
    tcase_add_loop_test(t, end_of_handshake, 0, VERSIONS);
    tcase_add_loop_test(t, told_when_nothing_needs_the_connection_any_more, 0, 2);
    tcase_add_loop_test(t, a_refused_renegotiation_ends_nothing, 0, 2);
    suite_add_tcase(suite, t);
    t = tcase_create("use");
    tcase_add_test(t, settings_of_other_versions);
    tcase_add_test(t, arguments);
    tcase_add_test(t, no_memory);
    tcase_add_test(t, no_memory_for_most);
    suite_add_tcase(suite, t);
    t = tcase_create("what is left");
    tcase_add_test(t, tables_have_secrets);
    if (STACK_IS_SEARCHED) {
        tcase_add_test(t, what_is_left_is_found);
        tcase_add_loop_test(t, no_key_is_left_on_the_stack, 0, 2);
        tcase_add_loop_test(t, no_handshake_leaves_a_key_on_the_stack, 0, 8);
    }
    suite_add_tcase(suite, t);
    t = tcase_create("many");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, hundred_thousand);
    tcase_add_test(t, threads);
    tcase_add_test(t, threads_use_a_stream_that_another_re_keys);
    suite_add_tcase(suite, t);
    return run(suite);
}
