/* SPDX-License-Identifier: BSD-3-Clause */
#include "end.h"

#include <stdlib.h>
#include <time.h>

static const uint8_t keys[2][32] = {{1}, {2}};
const struct mkt_span end_psks[2] = {{keys[0], 32}, {keys[1], 32}};
const struct mkt_span end_identities[2] = {{(const uint8_t *)"one", 3}, {(const uint8_t *)"two", 3}};

void end_require(bool holds)
{
    if (!holds)
        abort();
}

/* mbedTLS writes the time into its hello. */
time_t time(time_t *now)
{
    if (now != NULL)
        *now = 1700000000;
    return 1700000000;
}

int end_draw(void *state, unsigned char *out, size_t n)
{
    uint64_t *drawn = state;
    for (size_t i = 0; i < n; i++) {
        *drawn = *drawn * 6364136223846793005u + 1442695040888963407u;
        out[i] = (unsigned char)(*drawn >> 56);
    }
    return 0;
}

struct mkt_tls_settings end_settings(unsigned how, enum mkt_end end)
{
    return (struct mkt_tls_settings){
        .size = sizeof(struct mkt_tls_settings),
        .end = end,
        .profile = (how & LEGACY) != 0 ? MKT_TLS_LEGACY : MKT_TLS_MODERN,
        .renegotiation = (how & RENEGOTIATION) != 0,
    };
}

static void ended(void *user, uint64_t stream, enum mkt_tls_state how)
{
    unsigned *n = user;
    end_require((stream == 1 || stream == 2) && how != MKT_TLS_OPEN);
    (*n)++;
}

static struct mkt_streams *two_streams(unsigned how, uint64_t *drawn, unsigned *n_ended)
{
    const struct mkt_streams_settings settings = {.size = sizeof settings,
                                                  .rng = end_draw,
                                                  .rng_user = drawn,
                                                  .most = 2,
                                                  .hide_identities = (how & HIDE) != 0,
                                                  .user = n_ended,
                                                  .ended = ended};
    struct mkt_streams *streams;
    end_require(mkt_streams_new(&streams, &settings) == MKT_OK);
    for (size_t i = 0; i < 2; i++)
        end_require(mkt_streams_add(streams, i + 1, end_psks[i], end_identities[i]) == MKT_OK);
    return streams;
}

/* A wire that makes its reader wait before each flight. */
struct slow {
    const struct wire *wire;
    bool ready;
};

static int slow_send(void *user, const unsigned char *octets, size_t n)
{
    struct slow *slow = user;
    slow->ready = false;
    return slow->wire->send(slow->wire->user, octets, n);
}

static int slow_receive(void *user, unsigned char *octets, size_t n)
{
    struct slow *slow = user;
    if (!slow->ready) {
        slow->ready = true;
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    return slow->wire->receive(slow->wire->user, octets, n);
}

static bool has_stream(struct mkt_streams *streams, const mbedtls_ssl_context *ssl, uint64_t *stream)
{
    const enum mkt_err err = mkt_streams_find(streams, ssl, stream);
    end_require(err == MKT_OK || err == MKT_E_NO_SESSION);
    return err == MKT_OK;
}

/* Reads what the peer sends until the session ends, which ends the stream: once. */
static void read_all(struct mkt_streams *streams, mbedtls_ssl_context *ssl, const unsigned *n_ended)
{
    enum { RENEGOTIATIONS = 1000 };
    unsigned char octets[512];
    uint64_t stream;
    int n = 1;
    for (int i = 0; mkt_streams_status(streams, ssl, n) == MKT_TLS_OPEN && i < RENEGOTIATIONS; i++) {
        end_require(has_stream(streams, ssl, &stream) && *n_ended == 0);
        n = mbedtls_ssl_read(ssl, octets, sizeof octets);
    }
}

static bool converse(unsigned how, struct mkt_streams *streams, mbedtls_ssl_context *ssl, const unsigned *n_ended)
{
    uint64_t stream = 0;
    int result = 0;
    enum mkt_err err = MKT_E_AGAIN;
    for (int i = 0; err == MKT_E_AGAIN; i++) {
        if (i == 2 && (how & GONE) != 0)
            end_require(mkt_streams_remove(streams, 1) == MKT_OK &&
                        mkt_streams_add(streams, 1, end_psks[0], end_identities[0]) == MKT_OK);
        err = mkt_streams_handshake(streams, ssl, &result);
    }
    const bool connected = has_stream(streams, ssl, &stream);
    end_require(connected == (err == MKT_OK) && connected == (result == 0));
    end_require(!connected || stream == 1 || (stream == 2 && (how & (CLIENT | BOUND)) == 0));
    if (connected)
        read_all(streams, ssl, n_ended);
    else
        end_require(mkt_streams_status(streams, ssl, result) != MKT_TLS_OPEN);
    (void)mkt_streams_close(streams, ssl);
    end_require(!has_stream(streams, ssl, &stream) && *n_ended == (connected ? 1 : 0));
    end_require(mkt_streams_count(streams) == 2 - *n_ended);
    return connected;
}

bool end_run(unsigned how, const struct wire *wire)
{
    const bool client = (how & CLIENT) != 0;
    const uint64_t one = 1;
    const struct mkt_tls_settings settings = end_settings(how, client ? MKT_END_CLIENT : MKT_END_SERVER);
    uint64_t drawn = how & ~(unsigned)BOUND; /* what a peer sends fits, whether the connection is bound or not */
    unsigned n_ended = 0;
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    struct mkt_tls tls;
    mbedtls_ssl_context others[2];
    struct mkt_streams *streams = two_streams(how, &drawn, &n_ended);
    mbedtls_ssl_config_init(&conf);
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_init(&others[0]);
    mbedtls_ssl_init(&others[1]);
    mbedtls_ssl_conf_rng(&conf, end_draw, &drawn);
    struct slow slow = {wire, false};
    const struct mkt_tls_bio bio = {.user = &slow, .send = slow_send, .receive = slow_receive};
    end_require(mkt_streams_bind(streams, &ssl, (how & (CLIENT | BOUND)) != 0 ? &one : NULL, &bio) == MKT_OK);
    int cause;
    end_require(mkt_tls_choose(&tls, &settings) == MKT_OK);
    end_require((client ? mkt_streams_client(streams, &ssl, &conf, &tls, &cause)
                        : mkt_streams_server(streams, &conf, &tls, &cause)) == MKT_OK);
    end_require(mbedtls_ssl_setup(&ssl, &conf) == 0);
    for (size_t i = 0; i < 2; i++)
        end_require(mkt_streams_bind(streams, &others[i], NULL, &bio) == MKT_OK); /* and never closed */
    const bool connected = converse(how, streams, &ssl, &n_ended);
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&conf);
    mkt_streams_free(streams);
    return connected;
}
