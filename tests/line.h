/* SPDX-License-Identifier: BSD-3-Clause */
/* Two ends of a TLS connection in memory, and the bundles that they have their key from. All of it in the header: for
   one file of a program. */
#ifndef TESTS_LINE_H
#define TESTS_LINE_H

#define _GNU_SOURCE /* sigaltstack, RTLD_NEXT */

#include "stack.h"

#include <mikeyticket/streams.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifndef MBEDTLS_PRIVATE /* mbedTLS 2.28 */
#define MBEDTLS_PRIVATE(member) member
#endif

#define KEY_16 "000102030405060708090a0b0c0d0e0f"
#define KEY_32 KEY_16 "101112131415161718191a1b1c1d1e1f"
#define NAME "mikey-ticket:0123abcd:01:00c0ffee"

/* A key that is in memory nowhere by accident, to be looked for. */
#define RARE_KEY "c5b1e7094dd2836fa90e6c24f7385b1a72e3c40d9b865f1ed0a73c58492bf6e1"

enum {
    BAD_RECORD_MAC = 20,
    HANDSHAKE_FAILURE = 40,
    DECRYPT_ERROR = 51,
    PROTOCOL_VERSION = 70,
    MISSING_EXTENSION = 109,
    UNKNOWN_PSK = 115
};

/* Octets on their way to one end, and all that went before. */
struct pipe {
    uint8_t octets[1 << 16];
    size_t n, read;
    bool closed; /* the other end finds the end of the stream there */
};

struct end {
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    struct mkt_tls tls;
    struct pipe sent;
    struct end *peer;
    int result;                        /* of the handshake */
    int (*handshake)(struct end *end); /* in place of mbedtls_ssl_handshake(), or NULL */
    void *user;
};

/* Two ends and their random generator. */
struct line {
    struct end client, server;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
};

static inline int put(void *user, const unsigned char *p, size_t n)
{
    struct pipe *pipe = &((struct end *)user)->sent;
    ck_assert_uint_le(n, sizeof pipe->octets - pipe->n);
    memcpy(pipe->octets + pipe->n, p, n);
    pipe->n += n;
    return (int)n;
}

static inline int get(void *user, unsigned char *p, size_t n)
{
    struct pipe *pipe = &((struct end *)user)->peer->sent;
    size_t there = pipe->n - pipe->read;
    if (there == 0)
        return pipe->closed ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    if (n > there)
        n = there;
    memcpy(p, pipe->octets + pipe->read, n);
    pipe->read += n;
    return (int)n;
}

/* The description of the alert that an end sent in clear; -1 where there is none. */
static inline int alert_of(const struct end *end)
{
    const struct pipe *pipe = &end->sent;
    for (size_t at = 0; at + 7 <= pipe->n;) {
        size_t n = (size_t)pipe->octets[at + 3] << 8 | pipe->octets[at + 4];
        if (pipe->octets[at] == MBEDTLS_SSL_MSG_ALERT && n == 2)
            return pipe->octets[at + 6];
        at += 5 + n;
    }
    return -1;
}

/* ---- where the library hands a key to mbedTLS ---- */

/*
 * The dynamic linker finds the functions of the program before those of mbedTLS. While `catching` they take the key and
 * keep it from mbedTLS, so that what is found in memory afterwards is a copy of the library's own.
 */
static atomic_bool catching;
static _Thread_local struct {
    uint8_t key[MBEDTLS_PSK_MAX_LEN];
    size_t n;
} caught;

static inline void catch_key(const unsigned char *key, size_t n)
{
    memcpy(caught.key, key, n);
    caught.n = n;
}

/* What mbedtls_ssl_conf_psk() answers in the place of taking the key, or 0. */
static int psk_refused;

int mbedtls_ssl_conf_psk(mbedtls_ssl_config *conf, const unsigned char *psk, size_t n_psk, const unsigned char *name,
                         size_t n_name)
{
    int (*real)(mbedtls_ssl_config *, const unsigned char *, size_t, const unsigned char *, size_t);
    if (psk_refused != 0)
        return psk_refused;
    if (catching) {
        catch_key(psk, n_psk);
        return 0;
    }
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(conf, psk, n_psk, name, n_name);
}

int mbedtls_ssl_set_hs_psk(mbedtls_ssl_context *ssl, const unsigned char *psk, size_t n)
{
    int (*real)(mbedtls_ssl_context *, const unsigned char *, size_t);
    if (catching) {
        catch_key(psk, n);
        return 0;
    }
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(ssl, psk, n);
}

/* Chooses suites by settings and sets an end up with a key. */
static inline enum mkt_err set_up_psk(mbedtls_ssl_config *conf, struct mkt_tls *tls,
                                      const struct mkt_tls_settings *settings, struct mkt_span psk,
                                      struct mkt_span identity)
{
    int cause;
    const enum mkt_err err = mkt_tls_choose(tls, settings);
    return err == MKT_OK ? mkt_tls_setup_psk(conf, tls, psk, identity, &cause) : err;
}

/* The same with the key of a bundle. */
static inline enum mkt_err set_up_csb(mbedtls_ssl_config *conf, struct mkt_tls *tls,
                                      const struct mkt_tls_settings *settings, const struct mkt_csb *csb, uint8_t cs_id)
{
    int cause;
    const enum mkt_err err = mkt_tls_choose(tls, settings);
    return err == MKT_OK ? mkt_tls_setup(conf, tls, csb, cs_id, &cause) : err;
}

/* The same for the streams of a server, in either role. */
static inline enum mkt_err set_up_server(struct mkt_streams *streams, mbedtls_ssl_config *conf, struct mkt_tls *tls,
                                         const struct mkt_tls_settings *settings)
{
    struct mkt_tls_settings server = *settings;
    int cause;
    server.end = MKT_END_SERVER;
    const enum mkt_err err = mkt_tls_choose(tls, &server);
    return err == MKT_OK ? mkt_streams_server(streams, conf, tls, &cause) : err;
}

static inline enum mkt_err set_up_client(struct mkt_streams *streams, const mbedtls_ssl_context *ssl,
                                         mbedtls_ssl_config *conf, struct mkt_tls *tls,
                                         const struct mkt_tls_settings *settings)
{
    struct mkt_tls_settings client = *settings;
    int cause;
    client.end = MKT_END_CLIENT;
    const enum mkt_err err = mkt_tls_choose(tls, &client);
    return err == MKT_OK ? mkt_streams_client(streams, ssl, conf, tls, &cause) : err;
}

static inline struct line *line_new(void)
{
    struct line *line = calloc(1, sizeof *line);
    ck_assert_ptr_nonnull(line);
    catching = false; /* where a test failed meanwhile */
    mbedtls_entropy_init(&line->entropy);
    mbedtls_ctr_drbg_init(&line->drbg);
    ck_assert_int_eq(mbedtls_ctr_drbg_seed(&line->drbg, mbedtls_entropy_func, &line->entropy, NULL, 0), 0);
    struct end *ends[] = {&line->client, &line->server};
    for (size_t i = 0; i < 2; i++) {
        mbedtls_ssl_config_init(&ends[i]->conf);
        mbedtls_ssl_conf_rng(&ends[i]->conf, mbedtls_ctr_drbg_random, &line->drbg);
        mbedtls_ssl_init(&ends[i]->ssl);
        ends[i]->peer = ends[1 - i];
        ends[i]->result = MBEDTLS_ERR_SSL_WANT_READ;
    }
    return line;
}

static inline void line_free(struct line *line)
{
    mbedtls_ssl_free(&line->client.ssl);
    mbedtls_ssl_free(&line->server.ssl);
    mbedtls_ssl_config_free(&line->client.conf);
    mbedtls_ssl_config_free(&line->server.conf);
    mbedtls_ctr_drbg_free(&line->drbg);
    mbedtls_entropy_free(&line->entropy);
    free(line);
}

static inline void start(struct end *end)
{
    ck_assert_int_eq(mbedtls_ssl_setup(&end->ssl, &end->conf), 0);
    if (end->ssl.MBEDTLS_PRIVATE(f_send) == NULL) /* else mkt_streams_bind() gave it one */
        mbedtls_ssl_set_bio(&end->ssl, end, put, get, NULL);
}

static inline void go_on(struct end *end)
{
    if (end->result == MBEDTLS_ERR_SSL_WANT_READ)
        end->result = end->handshake != NULL ? end->handshake(end) : mbedtls_ssl_handshake(&end->ssl);
}

/* Lets both ends shake hands until neither has more to say. */
static inline void shake(struct line *line)
{
    for (int i = 0; i < 20; i++) {
        go_on(&line->client);
        go_on(&line->server);
    }
}

/* Goes on with a handshake until the server has the identity, and so the key, but not the end of the handshake. */
static inline void name_identity(struct line *line, int version)
{
    go_on(&line->client);
    go_on(&line->server);
    go_on(&line->client);
    if (version == 0) { /* in TLS 1.2 the identity comes in the flight that ends with Finished */
        line->client.sent.n -= 10;
        go_on(&line->server);
        line->client.sent.n += 10;
    }
    ck_assert_int_eq(line->server.result, MBEDTLS_ERR_SSL_WANT_READ);
}

/* mbedTLS 3 uses PSA in TLS 1.3. For main(), where nothing can be asserted yet. */
static inline bool begin_tls(void)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return psa_crypto_init() == PSA_SUCCESS;
#else
    return true;
#endif
}

static inline void start_both(struct line *line)
{
    start(&line->client);
    start(&line->server);
    shake(line);
}

static inline void say(struct end *from, struct end *to, const char *text)
{
    unsigned char got[64] = {0};
    int n = (int)strlen(text);
    ck_assert_int_eq(mbedtls_ssl_write(&from->ssl, (const unsigned char *)text, strlen(text)), n);
    int result = MBEDTLS_ERR_SSL_WANT_READ;
    for (int i = 0; i < 5 && result == MBEDTLS_ERR_SSL_WANT_READ; i++) /* TLS 1.3 may have tickets first */
        result = mbedtls_ssl_read(&to->ssl, got, sizeof got);
    ck_assert_msg(result == n, "mbedtls_ssl_read: -0x%04x", (unsigned)-result);
    ck_assert_str_eq((const char *)got, text);
}

static inline void expect_connected(struct line *line)
{
    ck_assert_msg(line->client.result == 0, "the client failed: -0x%04x", (unsigned)-line->client.result);
    ck_assert_msg(line->server.result == 0, "the server failed: -0x%04x", (unsigned)-line->server.result);
    say(&line->client, &line->server, "from client to server");
    say(&line->server, &line->client, "from server to client");
}

static inline void expect_refused(struct line *line)
{
    ck_assert_int_ne(line->client.result, 0);
    ck_assert_int_ne(line->server.result, 0);
    ck_assert_int_ne(line->client.result, MBEDTLS_ERR_SSL_WANT_READ);
    ck_assert_int_ne(line->server.result, MBEDTLS_ERR_SSL_WANT_READ);
}

static inline enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy,
                                    struct mkt_buf *key)
{
    struct mkt_span tpk = from_hex(KEY_32);
    (void)user, (void)id, (void)policy;
    if (key->cap - key->n < tpk.n)
        return MKT_E_BUFFER;
    memcpy(key->p + key->n, tpk.p, tpk.n);
    key->n += tpk.n;
    return MKT_OK;
}

/* Both bundles of a call, ready; `host` is the Initiator's. */
static inline void bundles(const struct mkt_host *host, enum mkt_suite suite, size_t tek_length, struct mkt_csb *csb[2])
{
    static const struct mkt_host responder_host = {.size = sizeof responder_host, .tpk = find_tpk};
    const struct mkt_id alice = mkt_id_uri("sip:alice@example.com"), bob = mkt_id_uri("sip:bob@example.com");
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    struct mkt_policy policy = mkt_policy_default(suite);
    struct mkt_settings a, b;
    uint8_t octets[1024];
    struct mkt_buf message = {octets, sizeof octets, 0};
    struct mkt_ticket *ticket;

    mkt_settings_init(&a, alice);
    mkt_settings_init(&b, bob);
    policy.initiator = alice;
    policy.responder[0] = bob;
    policy.n_responders = 1;
    a.tek_length = b.tek_length = tek_length;
    const struct mkt_ticket_recipe recipe = {
        .size = sizeof recipe, .policy = &policy, .tpk = from_hex(KEY_32), .keys = &tgk, .n_keys = 1};
    expect_err("ticket", mkt_ticket_make(&ticket, host, &recipe), MKT_OK);
    const struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = bob};
    expect_err("Initiator", mkt_csb_new(&csb[0], MKT_INITIATOR, host, &a), MKT_OK);
    expect_err("Responder", mkt_csb_new(&csb[1], MKT_RESPONDER, &responder_host, &b), MKT_OK);
    expect_err("make offer", mkt_csb_make_transfer_init(csb[0], &offer, &message), MKT_OK);
    mkt_ticket_free(ticket);

    struct mkt_span in = {octets, message.n};
    expect_err("take offer", mkt_csb_take_offer(csb[1], in, mkt_span_text("mikey")), MKT_OK);
    message.n = 0;
    expect_err("make answer", mkt_csb_make_transfer_resp(csb[1], NULL, &message), MKT_OK);
    in.n = message.n;
    expect_err("take answer", mkt_csb_take(csb[0], in), MKT_OK);
}

static inline void bundles_free(struct mkt_csb *csb[2])
{
    mkt_csb_free(csb[0]);
    mkt_csb_free(csb[1]);
}

/* ---- what a call leaves on the stack ---- */

/* ThreadSanitizer has copies of its own there, and takes a handler for one that may come at any time. */
#if defined(__SANITIZE_THREAD__)
#define STACK_IS_SEARCHED 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STACK_IS_SEARCHED 0
#endif
#endif
#ifndef STACK_IS_SEARCHED
#define STACK_IS_SEARCHED 1
#endif

enum { PIECE = 8 };

/* Twice, as the dynamic linker saves registers, with keys in them, when a function is called first. */
static inline void on_own_stack(void (*act)(void *), void *arg)
{
    once_on_own_stack(act, arg);
    once_on_own_stack(act, arg);
}

/* How many pieces of a secret the call has left there. */
NOT_SANITIZED static inline size_t left_on_stack(const void *secret, size_t n)
{
    const uint8_t *octets = secret;
    size_t left = 0;
    for (const volatile uint8_t *p = own_stack; p + PIECE <= on_stack.top; p++) {
        for (size_t at = 0; at + PIECE <= n; at += PIECE) {
            size_t i = 0;
            while (i < PIECE && p[i] == octets[at + i])
                i++;
            left += i == PIECE;
        }
    }
    return left;
}

static inline void expect_not_left(const char *what, const void *secret, size_t n)
{
    const size_t left = left_on_stack(secret, n);
    ck_assert_uint_ge(n, PIECE);
    ck_assert_msg(left == 0, "%s: %zu pieces of the key are left on the stack", what, left);
}

static inline enum mkt_err name_of(size_t n, struct mkt_buf *identity)
{
    if (identity->p != NULL && identity->cap - identity->n < n)
        return MKT_E_BUFFER;
    if (identity->p != NULL)
        memset(identity->p + identity->n, 'x', n);
    identity->n += n;
    return MKT_OK;
}

/* An identity of the host's own that is as long as TLS can have it here, and one that is too long by one octet. */
static inline enum mkt_err longest_name(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity)
{
    (void)user, (void)session;
    return name_of(MKT_TLS_MAX_IDENTITY, identity);
}

static inline enum mkt_err name_too_long(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity)
{
    (void)user, (void)session;
    return name_of(MKT_TLS_MAX_IDENTITY + 1, identity);
}

#endif
