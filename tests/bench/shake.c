/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections that a server takes in a second of CPU time: with a set of streams, from mkt_streams_bind() to close_notify,
 * and with mbedTLS alone, which has one key. Both take turns in one process, over a line in memory. The work of the
 * client does not count.
 *
 *     shake [ROUNDS]      21 by default
 */
#define _DEFAULT_SOURCE /* clock_gettime */

#include <mikeyticket/streams.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STREAMS = 2000, TURNS = 100, ROUNDS = 21, MOST_ROUNDS = 1000, KEY = 32 };

struct end {
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    uint8_t sent[1 << 14];
    size_t n, read;
    struct end *peer;
};

/* A server of each kind, with a context that all its connections use, and the client. All streams have one key. */
static struct {
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    struct mkt_streams *streams;
    struct mkt_tls tls, client_tls;
    struct end by_streams, bare, client;
    uint8_t key[KEY];
} bench;

static void fine(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "shake: %s failed\n", what);
    exit(EXIT_FAILURE);
}

static int put(void *user, const unsigned char *octets, size_t n)
{
    struct end *end = user;
    fine(n <= sizeof end->sent - end->n, "a line of 16 KiB");
    memcpy(end->sent + end->n, octets, n);
    end->n += n;
    return (int)n;
}

static int get(void *user, unsigned char *octets, size_t n)
{
    struct end *peer = ((struct end *)user)->peer;
    n = n < peer->n - peer->read ? n : peer->n - peer->read;
    memcpy(octets, peer->sent + peer->read, n);
    peer->read += n;
    return n > 0 ? (int)n : MBEDTLS_ERR_SSL_WANT_READ;
}

static struct mkt_span name_of(uint64_t stream)
{
    static char name[48];
    snprintf(name, sizeof name, "mikey-ticket:%08lx:01:00c0ffee", (unsigned long)stream);
    return mkt_span_text(name);
}

static struct mkt_span key(void)
{
    return (struct mkt_span){bench.key, KEY};
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void init_end(struct end *end)
{
    mbedtls_ssl_config_init(&end->conf);
    mbedtls_ssl_init(&end->ssl);
    mbedtls_ssl_conf_rng(&end->conf, mbedtls_ctr_drbg_random, &bench.drbg);
    end->n = end->read = 0;
}

static void start_client(struct end *server, uint64_t stream)
{
    struct end *client = &bench.client;
    int cause;
    init_end(client);
    fine(mkt_tls_setup_psk(&client->conf, &bench.client_tls, key(), name_of(stream), &cause) == MKT_OK, "client");
    fine(mbedtls_ssl_setup(&client->ssl, &client->conf) == 0, "client");
    mbedtls_ssl_set_bio(&client->ssl, client, put, get, NULL);
    client->peer = server;
    server->peer = client;
    server->n = server->read = 0;
    fine(mbedtls_ssl_session_reset(&server->ssl) == 0, "reset");
}

/* What a server does with a connection before, in and after its handshake. Answers the result of mbedTLS. */

static int open_stream(uint64_t stream)
{
    struct end *server = &bench.by_streams;
    const struct mkt_tls_bio bio = {.user = server, .send = put, .receive = get};
    (void)stream;
    fine(mkt_streams_bind(bench.streams, &server->ssl, NULL, &bio) == MKT_OK, "bind");
    return 0;
}

static int shake_stream(uint64_t stream)
{
    uint64_t found;
    int result;
    const enum mkt_err err = mkt_streams_handshake(bench.streams, &bench.by_streams.ssl, &result);
    if (err == MKT_OK)
        fine(mkt_streams_find(bench.streams, &bench.by_streams.ssl, &found) == MKT_OK && found == stream, "find");
    return result;
}

static int close_stream(uint64_t stream)
{
    (void)stream;
    return mkt_streams_close(bench.streams, &bench.by_streams.ssl) == MKT_OK ? 0 : -1;
}

static int open_bare(uint64_t stream)
{
    (void)stream;
    mbedtls_ssl_set_bio(&bench.bare.ssl, &bench.bare, put, get, NULL);
    return 0;
}

static int shake_bare(uint64_t stream)
{
    (void)stream;
    return mbedtls_ssl_handshake(&bench.bare.ssl);
}

static int close_bare(uint64_t stream)
{
    (void)stream;
    return mbedtls_ssl_close_notify(&bench.bare.ssl);
}

struct kind {
    struct end *server;
    int (*open)(uint64_t stream), (*shake)(uint64_t stream), (*close)(uint64_t stream);
};

/* One connection from its begin to its end; answers the CPU time of the server. */
static double call(const struct kind *kind, uint64_t stream)
{
    int client = MBEDTLS_ERR_SSL_WANT_READ, server = MBEDTLS_ERR_SSL_WANT_READ;
    start_client(kind->server, stream);
    if (kind->server == &bench.by_streams)
        fine(mkt_streams_add(bench.streams, stream, key(), name_of(stream)) == MKT_OK, "add");
    double begin = cpu_seconds();
    (void)kind->open(stream);
    double took = cpu_seconds() - begin;
    for (int i = 0; i < 10 && (client != 0 || server != 0); i++) {
        if (client != 0)
            client = mbedtls_ssl_handshake(&bench.client.ssl);
        begin = cpu_seconds();
        if (server != 0)
            server = kind->shake(stream);
        took += cpu_seconds() - begin;
    }
    fine(client == 0 && server == 0, "handshake");
    begin = cpu_seconds();
    fine(kind->close(stream) == 0, "close");
    took += cpu_seconds() - begin;
    mbedtls_ssl_free(&bench.client.ssl);
    mbedtls_ssl_config_free(&bench.client.conf);
    return took;
}

static const struct kind kinds[] = {{&bench.by_streams, open_stream, shake_stream, close_stream},
                                    {&bench.bare, open_bare, shake_bare, close_bare}};

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Both kinds with one suite, turn by turn. */
static void measure(const char *suite, size_t rounds)
{
    static double took[2][MOST_ROUNDS], ratio[MOST_ROUNDS];
    const struct mkt_streams_settings all = {
        .size = sizeof all, .rng = mbedtls_ctr_drbg_random, .rng_user = &bench.drbg, .most = STREAMS};
    struct mkt_tls_settings settings = {.size = sizeof settings, .end = MKT_END_SERVER, .suites = mkt_span_text(suite)};
    int cause;
    init_end(&bench.by_streams);
    init_end(&bench.bare);
    if (mkt_tls_choose(&bench.tls, &settings) != MKT_OK)
        return; /* this mbedTLS does not have it */
    settings.end = MKT_END_CLIENT;
    fine(mkt_tls_choose(&bench.client_tls, &settings) == MKT_OK, "suites");
    fine(mkt_tls_setup_psk(&bench.bare.conf, &bench.tls, key(), name_of(0), &cause) == MKT_OK, "bare server");
    fine(mkt_streams_new(&bench.streams, &all) == MKT_OK, "streams");
    fine(mkt_streams_server(bench.streams, &bench.by_streams.conf, &bench.tls, &cause) == MKT_OK, "server");
    fine(mbedtls_ssl_setup(&bench.by_streams.ssl, &bench.by_streams.conf) == 0, "server");
    fine(mbedtls_ssl_setup(&bench.bare.ssl, &bench.bare.conf) == 0, "bare server");
    for (uint64_t i = 1; i < STREAMS; i++)
        fine(mkt_streams_add(bench.streams, STREAMS + i, key(), name_of(STREAMS + i)) == MKT_OK, "add");

    for (size_t round = 0; round < rounds; round++) {
        for (size_t kind = 0; kind < 2; kind++)
            took[kind][round] = 0;
        for (int turn = 0; turn < TURNS; turn++) {
            for (size_t i = 0; i < 2; i++) {
                const size_t kind = (i + (size_t)turn) % 2;
                took[kind][round] += call(&kinds[kind], 0);
            }
        }
        ratio[round] = took[0][round] / took[1][round];
    }
    const double streams = TURNS / median(took[0], rounds), bare = TURNS / median(took[1], rounds);
    printf("%-44s %8.0f %8.0f %+7.1f %%\n", suite, streams, bare, 100 * (median(ratio, rounds) - 1));
    mkt_streams_free(bench.streams);
    for (size_t i = 0; i < 2; i++) {
        mbedtls_ssl_free(&kinds[i].server->ssl);
        mbedtls_ssl_config_free(&kinds[i].server->conf);
    }
}

int main(int argc, char **argv)
{
    static const char *const suites[] = {
        "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
        "TLS-PSK-WITH-AES-128-GCM-SHA256",
#if MBEDTLS_VERSION_MAJOR >= 3
        "TLS1-3-AES-128-GCM-SHA256",
#endif
    };
    const size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
    fine(rounds > 0 && rounds <= MOST_ROUNDS, "a number of rounds from 1 to 1,000: that");
#if MBEDTLS_VERSION_MAJOR >= 3
    fine(psa_crypto_init() == PSA_SUCCESS, "psa_crypto_init()");
#endif
    mbedtls_entropy_init(&bench.entropy);
    mbedtls_ctr_drbg_init(&bench.drbg);
    fine(mbedtls_ctr_drbg_seed(&bench.drbg, mbedtls_entropy_func, &bench.entropy, NULL, 0) == 0, "random octets");
    fine(mbedtls_ctr_drbg_random(&bench.drbg, bench.key, KEY) == 0, "random octets");
    printf("mbedTLS %s; connections of a server in a second of CPU time, of %d streams; medians of %zu rounds of %d\n",
           MBEDTLS_VERSION_STRING, (int)STREAMS, rounds, (int)TURNS);
    printf("%-44s %8s %8s %9s\n", "suite", "streams", "bare", "more work");
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        measure(suites[i], rounds);
    mbedtls_ctr_drbg_free(&bench.drbg);
    mbedtls_entropy_free(&bench.entropy);
    return EXIT_SUCCESS;
}
