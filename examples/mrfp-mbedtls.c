/* SPDX-License-Identifier: BSD-3-Clause */
/* The TLS of the MRFP with mbedTLS: mikeyticket/streams.h has the streams, their keys and whose connection is whose. */
#include "mrfp-tls.h"

#include <mikeyticket/streams.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/version.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls {
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    struct mkt_streams *streams;
    struct mkt_tls server, client; /* cipher suites */
    mbedtls_ssl_config conf;       /* of all streams that are TLS server */
    uint64_t last;                 /* number of the newest stream */
    char why[128];                 /* of the handshake that failed last */
};

struct tls_stream {
    struct tls *tls;
    uint64_t number;
    bool client, has_key;
};

struct tls_session {
    struct tls *tls;
    const struct tls_stream *stream;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf; /* as TLS client: mbedTLS has the key of a client in its configuration */
    mbedtls_net_context tcp;
    bool is_set_up;
};

const char *tls_library(void)
{
    return "mbedTLS " MBEDTLS_VERSION_STRING;
}

/* mkt_streams_settings.failed */
static void on_failure(void *user, const struct mkt_tls_failure *failure)
{
    struct tls *tls = user;
    char text[64] = "TCP was closed";
    if (failure->how == MKT_TLS_ALERT)
        snprintf(text, sizeof text, "alert %d from the peer", failure->alert);
    else if (failure->how != MKT_TLS_CUT && failure->how != MKT_TLS_CLOSED)
        snprintf(text, sizeof text, "mbedTLS error -0x%04x", (unsigned)-failure->error);
    const bool named = failure->identity[0] != '\0';
    snprintf(tls->why, sizeof tls->why, "%s%s%.48s", text, named ? ", identity " : "", failure->identity);
}

static enum mkt_err choose(struct mkt_tls *tls, enum mkt_end end)
{
    struct mkt_tls_settings settings;
    mkt_tls_settings_init(&settings, end);
    return mkt_tls_choose(tls, &settings);
}

static enum mkt_err begin(struct tls *tls)
{
    struct mkt_streams_settings settings;
    int cause = mbedtls_ctr_drbg_seed(&tls->drbg, mbedtls_entropy_func, &tls->entropy, NULL, 0);
    if (cause != 0)
        return MKT_E_RANDOM;
    mkt_streams_settings_init(&settings);
    settings.rng = mbedtls_ctr_drbg_random;
    settings.rng_user = &tls->drbg;
    settings.user = tls;
    settings.failed = on_failure;
    mbedtls_ssl_conf_rng(&tls->conf, mbedtls_ctr_drbg_random, &tls->drbg);
    enum mkt_err err = mkt_streams_new(&tls->streams, &settings);
    err = err == MKT_OK ? choose(&tls->client, MKT_END_CLIENT) : err;
    err = err == MKT_OK ? choose(&tls->server, MKT_END_SERVER) : err;
    return err == MKT_OK ? mkt_streams_server(tls->streams, &tls->conf, &tls->server, &cause) : err;
}

struct tls *tls_new(void)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    mbedtls_entropy_init(&tls->entropy);
    mbedtls_ctr_drbg_init(&tls->drbg);
    mbedtls_ssl_config_init(&tls->conf);
    if (begin(tls) == MKT_OK)
        return tls;
    tls_free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    mkt_streams_free(tls->streams);
    mbedtls_ssl_config_free(&tls->conf);
    mbedtls_ctr_drbg_free(&tls->drbg);
    mbedtls_entropy_free(&tls->entropy);
    free(tls);
}

struct tls_stream *tls_stream_new(struct tls *tls, bool client)
{
    struct tls_stream *stream = malloc(sizeof *stream);
    if (stream == NULL)
        return NULL;
    *stream = (struct tls_stream){.tls = tls, .number = ++tls->last, .client = client};
    /* mrfp.c ends a stream whose key does not come */
    if (mkt_streams_announce(tls->streams, stream->number, UINT64_MAX) == MKT_OK)
        return stream;
    free(stream);
    return NULL;
}

const char *tls_stream_key(struct tls_stream *stream, const uint8_t *key, size_t n, const char *identity)
{
    const struct mkt_span psk = {key, n}, name = mkt_span_text(identity);
    struct mkt_streams *streams = stream->tls->streams;
    const enum mkt_err err = stream->has_key ? mkt_streams_rekey(streams, stream->number, psk, name)
                                             : mkt_streams_add(streams, stream->number, psk, name);
    stream->has_key |= err == MKT_OK;
    return err == MKT_OK ? NULL : err == MKT_E_IN_USE ? "another stream has this identity" : mkt_err_text(err);
}

void tls_stream_free(struct tls_stream *stream)
{
    if (stream == NULL)
        return;
    /* it is gone already if its session ended */
    (void)!mkt_streams_remove(stream->tls->streams, stream->number);
    free(stream);
}

struct tls_session *tls_begin(struct tls_stream *stream, int tcp)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->tls = stream->tls;
    session->stream = stream;
    session->tcp.fd = tcp;
    mbedtls_ssl_init(&session->ssl);
    mbedtls_ssl_config_init(&session->conf);
    mbedtls_ssl_conf_rng(&session->conf, mbedtls_ctr_drbg_random, &stream->tls->drbg);
    const struct mkt_tls_bio bio = {.user = &session->tcp, .send = mbedtls_net_send, .receive = mbedtls_net_recv};
    if (mkt_streams_bind(stream->tls->streams, &session->ssl, &stream->number, &bio) == MKT_OK)
        return session;
    tls_end(session);
    return NULL;
}

/* When the stream has its key, as that is in the configuration of a client. */
static enum mkt_err set_up(struct tls_session *session)
{
    struct tls *tls = session->tls;
    const bool client = session->stream->client;
    int cause = 0;
    enum mkt_err err = MKT_OK;
    if (client)
        err = mkt_streams_client(tls->streams, &session->ssl, &session->conf, &tls->client, &cause);
    if (err == MKT_OK && mbedtls_ssl_setup(&session->ssl, client ? &session->conf : &tls->conf) != 0)
        err = MKT_E_MEMORY;
    session->is_set_up = err == MKT_OK;
    return err;
}

static enum tls_state state_of(enum mkt_tls_state state)
{
    switch (state) {
    case MKT_TLS_CLOSED:
    case MKT_TLS_CLOSING:
        return TLS_CLOSED;
    case MKT_TLS_CUT:
        return TLS_CUT;
    case MKT_TLS_ALERT:
        return TLS_ALERT;
    default:
        return TLS_FAILED;
    }
}

enum tls_state tls_handshake(struct tls_session *session, const char **why)
{
    struct tls *tls = session->tls;
    int result = 0;
    if (!session->stream->has_key)
        return TLS_KEY;
    enum mkt_err err = session->is_set_up ? MKT_OK : set_up(session);
    *why = mkt_err_text(err);
    if (err != MKT_OK)
        return TLS_FAILED;
    snprintf(tls->why, sizeof tls->why, "refused");
    err = mkt_streams_handshake(tls->streams, &session->ssl, &result);
    if (err == MKT_E_AGAIN)
        return result == MBEDTLS_ERR_SSL_WANT_WRITE ? TLS_WRITE : TLS_READ;
    *why = tls->why;
    return err == MKT_OK ? TLS_DONE : TLS_FAILED;
}

/* What mbedtls_ssl_read() or mbedtls_ssl_write() returned. */
static enum tls_state result_of(struct tls_session *session, int result, size_t *n)
{
    *n = result > 0 ? (size_t)result : 0;
    if (result > 0)
        return TLS_DONE;
    const enum mkt_tls_state state = mkt_streams_status(session->tls->streams, &session->ssl, result);
    if (state == MKT_TLS_OPEN)
        return result == MBEDTLS_ERR_SSL_WANT_WRITE ? TLS_WRITE : TLS_READ;
    return state_of(state);
}

enum tls_state tls_read(struct tls_session *session, uint8_t octets[TLS_RECORD], size_t *n)
{
    return result_of(session, mbedtls_ssl_read(&session->ssl, octets, TLS_RECORD), n);
}

enum tls_state tls_write(struct tls_session *session, const void *octets, size_t *n)
{
    return result_of(session, mbedtls_ssl_write(&session->ssl, octets, *n), n);
}

enum tls_state tls_close(struct tls_session *session)
{
    return mkt_streams_close(session->tls->streams, &session->ssl) == MKT_E_AGAIN ? TLS_WRITE : TLS_DONE;
}

void tls_end(struct tls_session *session)
{
    if (session == NULL)
        return;
    mkt_streams_forget(session->tls->streams, &session->ssl);
    mbedtls_ssl_free(&session->ssl);
    mbedtls_ssl_config_free(&session->conf);
    free(session);
}
