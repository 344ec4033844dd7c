/* SPDX-License-Identifier: BSD-3-Clause */
/* host: the callbacks with their defaults, identities, and time. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "player.h"

#include "host.h"

#include <string.h>
#include <time.h>

START_TEST(the_default_clock_is_the_systems)
{
    const struct mkt_host host = {.size = sizeof host};
    mkt_ntp now;
    expect_err("clock", mkt_host_now(&host, &now), MKT_OK);
    expect_err("clock", mkt_ntp_fresh(now, mkt_ntp_from_unix((int64_t)time(NULL)), 2), MKT_OK);
}
END_TEST

/* RFC 5905 figure 4: the first days of UNIX and of UTC, the last one of 1999, and the change of the era in 2036. */
START_TEST(times_of_unix_are_times_of_ntp)
{
    static const struct {
        int64_t seconds;
        uint64_t want;
    } rows[] = {{0, 2208988800},          {63072000, 2272060800}, {946598400, 3155587200},
                {2085978495, 0xffffffff}, {2085978496, 0},        {2086041600, 63104}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert(mkt_ntp_from_unix(rows[i].seconds) == rows[i].want << 32);
}
END_TEST

static mkt_ntp system_clock(void)
{
    struct timespec t;
    ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &t), 0);
    return mkt_ntp_from_unix(t.tv_sec) + (mkt_ntp)((double)t.tv_nsec * 4.294967296);
}

/* The clock lies between two readings of the system's; a few units of 2^-32 s are for rounding. */
START_TEST(the_default_clock_has_fractions)
{
    const struct mkt_host host = {.size = sizeof host};
    for (unsigned i = 0; i < 1000; i++) {
        mkt_ntp now;
        const mkt_ntp before = system_clock() - 8;
        expect_err("clock", mkt_host_now(&host, &now), MKT_OK);
        const mkt_ntp after = system_clock() + 8;
        ck_assert(!mkt_ntp_before(now, before) && !mkt_ntp_before(after, now));
    }
}
END_TEST

START_TEST(the_default_random_source_is_the_kernels)
{
    const struct mkt_host host = {.size = sizeof host};
    uint8_t a[32] = {0}, b[32] = {0};
    expect_err("random", mkt_host_random(&host, a, sizeof a), MKT_OK);
    expect_err("random", mkt_host_random(&host, b, sizeof b), MKT_OK);
    ck_assert(memcmp(a, b, sizeof a) != 0);
}
END_TEST

START_TEST(memory_comes_zeroed_and_goes_back_wiped)
{
    struct player p;
    player_init(&p, 0, text(""));
    uint8_t *block = mkt_host_alloc(&p.host, 100);
    ck_assert_ptr_nonnull(block);
    for (size_t i = 0; i < 100; i++)
        ck_assert_uint_eq(block[i], 0);
    memset(block, 7, 100);
    mkt_host_release(&p.host, block, 100); /* the player looks whether each octet is zero */
    ck_assert_uint_eq(p.live, 0);
    mkt_host_release(&p.host, NULL, 100);
    p.no_memory = true;
    ck_assert_ptr_null(mkt_host_alloc(&p.host, 1));
}
END_TEST

START_TEST(a_refusal_is_logged_and_success_is_not)
{
    struct player p;
    player_init(&p, 0, text(""));
    ck_assert_int_eq(mkt_host_log(&p.host, MKT_OK, ""), MKT_OK);
    ck_assert_int_eq(p.logged, MKT_OK);
    ck_assert_int_eq(mkt_host_log(&p.host, MKT_E_MAC, ""), MKT_E_MAC);
    ck_assert_int_eq(p.logged, MKT_E_MAC);
}
END_TEST

START_TEST(identities_are_type_and_octets)
{
    struct mkt_id uri = mkt_id_uri("sip:a@example.com"), same = mkt_id_uri("sip:a@example.com"),
                  other = mkt_id_uri("sip:b");
    struct mkt_id bytes = mkt_id_bytes("sip:a@example.com");
    same.role = MKT_IDR_R;
    ck_assert(mkt_id_equal(&uri, &same));
    ck_assert(!mkt_id_equal(&uri, &other));
    ck_assert(!mkt_id_equal(&uri, &bytes));
}
END_TEST

/* "NTP-UTC-32 SHALL be padded to a 64-bit NTP-UTC timestamp (with zeroes in the fractional second part)"; COUNTER
 * "SHALL be padded (with leading zeros)". */
START_TEST(timestamps_are_padded_to_64_bits)
{
    ck_assert(mkt_t_64(&(struct mkt_t){.ts_type = MKT_TS_NTP_UTC, .value = 0x0123456789abcdef}) == 0x0123456789abcdef);
    ck_assert(mkt_t_64(&(struct mkt_t){.ts_type = MKT_TS_NTP, .value = 0x0123456789abcdef}) == 0x0123456789abcdef);
    ck_assert(mkt_t_64(&(struct mkt_t){.ts_type = MKT_TS_NTP_UTC_32, .value = 0x89abcdef}) == 0x89abcdef00000000);
    ck_assert(mkt_t_64(&(struct mkt_t){.ts_type = MKT_TS_COUNTER, .value = 0x89abcdef}) == 0x89abcdef);
}
END_TEST

START_TEST(a_timestamp_is_fresh_within_the_skew)
{
    static const mkt_ntp moments[] = {(mkt_ntp)3960616022 << 32, (mkt_ntp)0xffffffff << 32 | 5, 3};
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        mkt_ntp now = moments[i];
        expect_err("now", mkt_ntp_fresh(now, now, 0), MKT_OK);
        expect_err("just", mkt_ntp_fresh(now - ntp(300), now, 300), MKT_OK);
        expect_err("just", mkt_ntp_fresh(mkt_ntp_after(now, 300), now, 300), MKT_OK);
        expect_err("old", mkt_ntp_fresh(now - ntp(300) - 1, now, 300), MKT_E_STALE);
        expect_err("ahead", mkt_ntp_fresh(mkt_ntp_after(now, 300) + 1, now, 300), MKT_E_FUTURE);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host");
    TCase *tcase = tcase_create("host");
    tcase_add_test(tcase, the_default_clock_is_the_systems);
    tcase_add_test(tcase, times_of_unix_are_times_of_ntp);
    tcase_add_test(tcase, the_default_clock_has_fractions);
    tcase_add_test(tcase, the_default_random_source_is_the_kernels);
    tcase_add_test(tcase, memory_comes_zeroed_and_goes_back_wiped);
    tcase_add_test(tcase, a_refusal_is_logged_and_success_is_not);
    tcase_add_test(tcase, identities_are_type_and_octets);
    tcase_add_test(tcase, timestamps_are_padded_to_64_bits);
    tcase_add_test(tcase, a_timestamp_is_fresh_within_the_skew);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
