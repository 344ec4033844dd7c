/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look-up among many streams or connections takes no more steps than one among few. A step is a basic block of the library, which
 * the compiler counts here (-fsanitize-coverage=trace-pc).
 */
#include "vector.h"

#include <mikeyticket/streams.h>

#include <stdlib.h>
#include <string.h>

static unsigned long steps;

void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
    steps++;
}

/* What mbedTLS asks for the key of an identity, as a server's configuration got it. */
static struct {
    int (*find_key)(void *user, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t n);
    void *user;
} callback;

void mbedtls_ssl_conf_psk_cb(mbedtls_ssl_config *conf,
                             int (*find_key)(void *, mbedtls_ssl_context *, const unsigned char *, size_t), void *user)
{
    (void)conf;
    callback.find_key = find_key;
    callback.user = user;
}

/* Always the same octets: the secrets of the tables. */
static int draw(void *user, unsigned char *out, size_t n)
{
    (void)user;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(101 * i + 7);
    return 0;
}

enum { LOOKUPS = 4000, FEW = 100, MANY = 100000 };

static const char *name_of(uint64_t stream)
{
    static char name[64];
    snprintf(name, sizeof name, "mikey-ticket:%08lx:01:00c0ffee", (unsigned long)stream);
    return name;
}

/* The steps of a look-up among the first n streams, as a mean. */
static unsigned long mean(struct mkt_streams *streams, mbedtls_ssl_context *ssl, size_t n, bool by_identity)
{
    const struct mkt_tls_bio bio = {.user = NULL};
    unsigned long all = 0;
    for (size_t i = 0; i < LOOKUPS; i++) {
        const uint64_t stream = i * 7919 % n;
        const char *name = name_of(stream);
        steps = 0;
        expect_err(name, mkt_streams_bind(streams, ssl, by_identity ? NULL : &stream, &bio), MKT_OK);
        if (by_identity)
            ck_assert_int_eq(callback.find_key(callback.user, ssl, (const unsigned char *)name, strlen(name)), 0);
        all += steps;
    }
    return all / LOOKUPS;
}

START_TEST(among_many)
{
    static const uint8_t octets[32] = {1};
    const struct mkt_streams_settings settings = {.size = sizeof settings, .rng = draw, .most = MANY};
    const struct mkt_tls_settings server = {.size = sizeof server, .end = MKT_END_SERVER};
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    struct mkt_tls tls;
    struct mkt_streams *streams;
    unsigned long few[2] = {0}; /* by number, by identity */
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&conf);
    expect_err("new", mkt_streams_new(&streams, &settings), MKT_OK);
    int cause;
    expect_err("suites", mkt_tls_choose(&tls, &server), MKT_OK);
    expect_err("server", mkt_streams_server(streams, &conf, &tls, &cause), MKT_OK);
    mbedtls_ssl_conf_rng(&conf, draw, NULL);
    ck_assert_int_eq(mbedtls_ssl_setup(&ssl, &conf), 0);
    for (uint64_t i = 0; i < MANY; i++) {
        const struct mkt_span name = mkt_span_text(name_of(i));
        expect_err("add", mkt_streams_add(streams, i, (struct mkt_span){octets, sizeof octets}, name), MKT_OK);
        for (int by = 0; by < 2 && i + 1 == FEW; by++)
            few[by] = mean(streams, &ssl, FEW, by == 1);
    }
    for (int by = 0; by < 2; by++) {
        static const char *const what[] = {"number", "identity"};
        const unsigned long many = mean(streams, &ssl, MANY, by == 1);
        printf("look-up by %s: %lu steps, among 100 streams %lu\n", what[by], many, few[by]);
        ck_assert_uint_gt(few[by], 0);
        ck_assert_msg(many <= few[by] + few[by] / 2, "by %s: %lu steps, among 100 streams %lu", what[by], many,
                      few[by]);
    }
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&conf);
    mkt_streams_free(streams);
}
END_TEST

/* The steps of binding a connection, looking its stream up, and forgetting it, as a mean. */
static unsigned long mean_of_bindings(struct mkt_streams *streams, const struct mkt_tls_bio *bio)
{
    static mbedtls_ssl_context ssl[FEW];
    unsigned long all = 0;
    uint64_t stream;
    for (size_t i = 0; i < LOOKUPS; i++) {
        mbedtls_ssl_context *one = &ssl[i * 7919 % FEW];
        steps = 0;
        expect_err("bind", mkt_streams_bind(streams, one, NULL, bio), MKT_OK);
        expect_err("find", mkt_streams_find(streams, one, &stream), MKT_E_NO_SESSION);
        mkt_streams_forget(streams, one);
        all += steps;
    }
    return all / LOOKUPS;
}

/* The server of one stream, to which strangers connect. */
START_TEST(among_many_connections)
{
    enum { CONNECTIONS = 2 * MANY };
    const struct mkt_streams_settings settings = {
        .size = sizeof settings, .rng = draw, .most = 1, .most_connections = CONNECTIONS};
    const struct mkt_tls_bio bio = {.user = NULL};
    struct mkt_streams *streams;
    mbedtls_ssl_context *ssl = calloc(CONNECTIONS + 1, sizeof *ssl);
    unsigned long few = 0;
    ck_assert_ptr_nonnull(ssl);
    expect_err("new", mkt_streams_new(&streams, &settings), MKT_OK);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (i == FEW)
            few = mean_of_bindings(streams, &bio);
        if (i == 20 * FEW || i + 1 == CONNECTIONS) { /* early, too, as a search through all would take long */
            const unsigned long many = mean_of_bindings(streams, &bio);
            printf("look-up of a connection among %zu: %lu steps, among 100 %lu\n", i, many, few);
            ck_assert_uint_gt(few, 0);
            ck_assert_msg(many <= few + few / 2, "%lu steps, among 100 connections %lu", many, few);
        }
        expect_err("bind", mkt_streams_bind(streams, &ssl[i], NULL, &bio), MKT_OK);
    }
    expect_err("one more", mkt_streams_bind(streams, &ssl[CONNECTIONS], NULL, &bio), MKT_E_TOO_MANY);
    for (size_t i = 0; i < CONNECTIONS; i++)
        mkt_streams_forget(streams, &ssl[i]);
    expect_err("there is room", mkt_streams_bind(streams, &ssl[CONNECTIONS], NULL, &bio), MKT_OK);
    mkt_streams_free(streams);
    free(ssl);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lookups");
    TCase *tcase = tcase_create("lookups");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, among_many);
    tcase_add_test(tcase, among_many_connections);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
