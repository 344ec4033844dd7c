/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a handshake of TLS 1.2 costs a server: CPU time until it has answered a ClientHello, before the client has
 * proved anything, and in all. A client in memory shakes hands with it, by one key exchange after the other.
 */
#include "../line.h"

#include <mbedtls/version.h>

#include <time.h>

enum { HANDSHAKES = 200 };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set_up(struct end *end, enum mkt_end which, const char *suite)
{
    const struct mkt_tls_settings settings = {.size = sizeof settings, .end = which, .suites = mkt_span_text(suite)};
    expect_err(suite, set_up_psk(&end->conf, &end->tls, &settings, from_hex(KEY_32), mkt_span_text(NAME)), MKT_OK);
    start(end);
}

struct cost {
    double first, all;
};

static struct cost measure(const char *suite)
{
    struct cost cost = {0, 0};
    for (size_t i = 0; i < HANDSHAKES; i++) {
        struct line *line = line_new();
        set_up(&line->client, MKT_END_CLIENT, suite);
        set_up(&line->server, MKT_END_SERVER, suite);
        for (int flight = 0; flight < 4; flight++) {
            go_on(&line->client);
            const double begin = cpu_seconds();
            go_on(&line->server);
            const double took = cpu_seconds() - begin;
            cost.first += flight == 0 ? took / HANDSHAKES : 0;
            cost.all += took / HANDSHAKES;
        }
        expect_connected(line);
        line_free(line);
    }
    printf("%-30s %7.0f us until the first answer, %7.0f us in all\n", suite, cost.first * 1e6, cost.all * 1e6);
    return cost;
}

START_TEST(exchanges)
{
    (void)measure("PSK-AES128-GCM-SHA256");
    const struct cost ecdhe = measure("ECDHE-PSK-CHACHA20-POLY1305"), dhe = measure("DHE-PSK-AES128-GCM-SHA256");
    printf("mbedTLS %s: DHE-PSK costs %.1f times as much as ECDHE-PSK until the first answer, %.1f times in all\n",
           MBEDTLS_VERSION_STRING, dhe.first / ecdhe.first, dhe.all / ecdhe.all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchanges");
    TCase *tcase = tcase_create("exchanges");
    tcase_add_test(tcase, exchanges);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
