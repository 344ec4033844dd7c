/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether time tells if an envelope opens (RFC 6043 4.2.1.3: PKE; Bleichenbacher's attack). A KMS opens the envelopes of
 * vectors/refusepk.txt that do not open, and their twins that do, in an order that changes each round. For each it
 * prints the median CPU time, how far that is from the right envelope, and Welch's t of the nine tenths that were quickest.
 * "the right one again" shows what chance does: if t is beyond 4.5 in run after run, chance is not the reason. That is
 * so with "256-one" alone: mbedTLS is quicker with small numbers, and anybody sees these.
 *
 *     envelopes [ROUNDS]      1,000 by default
 */
#define _DEFAULT_SOURCE /* clock_gettime */

#include "../player.h"

#include <mikeyticket/x509.h>

#include <mbedtls/version.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 1000, MOST_ROUNDS = 1000000, MOST = 32, RIGHT = 0, AGAIN = 1 };

static struct {
    const char *name;
    struct mkt_span envelope;
    double *seconds;
} row[MOST];
static size_t n_rows;

static void add_row(const char *name, struct mkt_span message, size_t rounds)
{
    ck_assert_uint_lt(n_rows, MOST);
    row[n_rows].name = name;
    row[n_rows].envelope = payload_of(message, MKT_PKE, 0).pke.data;
    row[n_rows].seconds = calloc(rounds, sizeof(double));
    ck_assert_ptr_nonnull(row[n_rows++].seconds);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(const struct mkt_public_keys *keys, size_t which, size_t round)
{
    uint8_t key[32] = {0};
    const double begin = cpu_seconds();
    const enum mkt_err err = keys->open(keys->user, NULL, row[which].envelope, key, sizeof key);
    row[which].seconds[round] = cpu_seconds() - begin;
    expect_err(row[which].name, err, MKT_OK);
}

/* All rows once, in any order. */
static void measure_all(const struct mkt_public_keys *keys, size_t round)
{
    size_t order[MOST];
    for (size_t i = 0; i < n_rows; i++) {
        const size_t at = (size_t)rand() % (i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (size_t i = 0; i < n_rows; i++)
        measure(keys, order[i], round);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The mean of the first `n`, and the square of its standard error. */
static double mean_of(const double *seconds, size_t n, double *variance)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += seconds[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (seconds[i] - mean) * (seconds[i] - mean);
    *variance = squares / (double)(n - 1) / (double)n;
    return mean;
}

static void print(size_t rounds)
{
    const size_t quick = rounds - rounds / 10;
    double right = 0, variance_of_right = 0, most = 0;
    printf("mbedTLS %s, %zu rounds\n%-40s %10s %10s %6s\n", MBEDTLS_VERSION_STRING, rounds, "", "median us", "differs",
           "t");
    for (size_t i = 0; i < n_rows; i++) {
        double variance;
        qsort(row[i].seconds, rounds, sizeof(double), by_size);
        const double mean = mean_of(row[i].seconds, quick, &variance), median = row[i].seconds[rounds / 2];
        right = i == RIGHT ? mean : right;
        variance_of_right = i == RIGHT ? variance : variance_of_right;
        const double t = i == RIGHT ? 0 : (mean - right) / sqrt(variance + variance_of_right);
        most = i > AGAIN && fabs(t) > most ? fabs(t) : most;
        printf("%-40s %10.1f %+9.2f%% %+6.1f\n", row[i].name, median * 1e6,
               100 * (median / row[RIGHT].seconds[rounds / 2] - 1), t);
    }
    printf("the largest t is %.1f\n", most);
}

static struct mkt_span find_in(const struct vectors *all, const char *kind, const char *name, const char *field)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->section[i].name, kind) == 0 && strcmp(text_of(&all->section[i], "name"), name) == 0)
            return octets_of(&all->section[i], field);
    ck_abort_msg("no [%s] %s", kind, name);
    return text("");
}

static size_t rounds = ROUNDS;

START_TEST(envelopes)
{
    struct vectors all = vectors_read("refusepk.txt");
    struct mkt_x509_settings settings;
    struct mkt_x509 *x509;
    struct mkt_public_keys keys;
    mkt_x509_settings_init(&settings);
    expect_err("x509", mkt_x509_new(&x509, &settings), MKT_OK);
    expect_err("own",
               mkt_x509_add_own(x509, find_in(&all, "cert", "kms", "der"), find_in(&all, "key", "kms", "private")),
               MKT_OK);
    mkt_public_keys_init(&keys);
    expect_err("keys", mkt_x509_public_keys(x509, &keys), MKT_OK);
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (strcmp(s->name, "pke-request") != 0 || number_of(s, "suite") != 256)
            continue;
        if (n_rows == 0) {
            add_row("the right one", octets_of(s, "valid"), rounds);
            add_row("the right one again", octets_of(s, "valid"), rounds);
        }
        add_row(text_of(s, "name"), octets_of(s, "bytes"), rounds);
    }
    measure_all(&keys, 0); /* draws numbers for blinding, and fills caches */
    for (size_t i = 0; i < rounds; i++)
        measure_all(&keys, i);
    print(rounds);
    for (size_t i = 0; i < n_rows; i++)
        free(row[i].seconds);
    mkt_x509_free(x509);
    vectors_free(&all);
    free_all();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("envelopes");
    TCase *tcase = tcase_create("envelopes");
    if (argc > 1)
        rounds = strtoul(argv[1], NULL, 10);
    if (rounds < 20 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "envelopes: 20 to %d rounds\n", MOST_ROUNDS);
        return EXIT_FAILURE;
    }
    tcase_set_timeout(tcase, 0);
    tcase_add_test(tcase, envelopes);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
