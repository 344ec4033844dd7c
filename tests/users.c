/* SPDX-License-Identifier: BSD-3-Clause */
/* users: the example KMS reads its file of users, and finds a user, in as many comparisons as with ten. It has a number
   for each user without a line. */
#define _DEFAULT_SOURCE /* mkstemp */

#include "vector.h"

#include "../examples/users.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The linker puts this in the place of the function that compares all names (-Wl,--wrap). */
static size_t compared;
bool __real_mkt_span_equal(struct mkt_span a, struct mkt_span b);
bool __wrap_mkt_span_equal(struct mkt_span a, struct mkt_span b);
bool __wrap_mkt_span_equal(struct mkt_span a, struct mkt_span b)
{
    compared++;
    return __real_mkt_span_equal(a, b);
}

static const char key[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/* Users and as many TPKs, read from a file. */
static struct users users_of(unsigned n)
{
    char name[] = "/tmp/users.XXXXXX";
    struct users users;
    int fd = mkstemp(name);
    ck_assert_int_ge(fd, 0);
    FILE *out = fdopen(fd, "w");
    ck_assert_ptr_nonnull(out);
    for (unsigned i = 0; i < n; i++)
        fprintf(out, "user psk-%u sip:user%u@example.com %s sip:group%u@example.com\ntpk tpk-%u %s\n", i, i, key, i % 7,
                i, key);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert(users_read(&users, name));
    ck_assert_int_eq(unlink(name), 0);
    return users;
}

/* A way to find an entry: by a name with its number in it. */
struct way {
    const struct entry *(*find)(const struct users *, const struct mkt_id *);
    struct mkt_id (*id)(const char *);
    const char *before, *after;
};

static const struct way by_psk = {users_psk, mkt_id_bytes, "psk-", ""};
static const struct way by_identity = {users_user, mkt_id_uri, "sip:user", "@example.com"};
static const struct way by_tpk = {users_tpk, mkt_id_bytes, "tpk-", ""};

static const struct entry *find(const struct users *users, const struct way *way, unsigned i)
{
    char name[64];
    snprintf(name, sizeof name, "%s%u%s", way->before, i, way->after);
    const struct mkt_id id = way->id(name);
    return way->find(users, &id);
}

/* All of them are found, no others are, and both takes few comparisons. */
static void expect_few_comparisons(const struct users *users, const struct way *way, unsigned n)
{
    compared = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct entry *entry = find(users, way, i);
        ck_assert_ptr_nonnull(entry);
        ck_assert_uint_eq(entry->line, 2 * i + (entry->tpk ? 2 : 1));
    }
    ck_assert_uint_ge(compared, n); /* all were counted */
    ck_assert_uint_le(compared, (size_t)3 * n);
    for (unsigned i = n; i < 2 * n; i++)
        ck_assert_ptr_null(find(users, way, i));
    ck_assert_uint_le(compared, (size_t)6 * n);
}

/* Ten, a hundred, ... users. */
START_TEST(what_is_compared_does_not_grow_with_the_users)
{
    unsigned n = 10;
    for (int i = 0; i < _i; i++)
        n *= 10;
    compared = 0;
    struct users users = users_of(n);
    ck_assert_uint_le(compared, 8 * (size_t)n);
    ck_assert_uint_eq(users.n, 2 * (size_t)n);
    ck_assert_str_eq(users.first_tpk->id, "tpk-0");
    expect_few_comparisons(&users, &by_psk, n);
    expect_few_comparisons(&users, &by_identity, n);
    expect_few_comparisons(&users, &by_tpk, n);
    users_free(&users);
}
END_TEST

/* A key of a user is no TPK, and a name of another type is another name. */
START_TEST(names_are_of_a_kind)
{
    struct users users = users_of(10);
    const struct mkt_id psk = mkt_id_bytes("psk-1"), tpk = mkt_id_bytes("tpk-1"),
                        uri = mkt_id_bytes("sip:user1@example.com");
    ck_assert_ptr_null(users_tpk(&users, &psk));
    ck_assert_ptr_null(users_psk(&users, &tpk));
    ck_assert_ptr_null(users_user(&users, &uri));
    users_free(&users);
    ck_assert_ptr_null(users.first);
}
END_TEST

/* Users with a line have its number. Those without one have numbers behind, and seldom the same: of 1,000 users with
   65,536 numbers about 8 have that of another one. Nobody can know which. */
START_TEST(users_without_a_line_have_numbers)
{
    enum { N = 1000 };
    static uint8_t seen[N_STRANGERS];
    struct users users = users_of(10), again = users_of(10);
    size_t doubled = 0, same = 0;
    char name[64];
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "sip:user%u@example.com", i);
        const struct mkt_id id = mkt_id_uri(name);
        const size_t number = users_number(&users, &id);
        ck_assert_uint_eq(users_number(&users, &id), number);
        if (i < 10) {
            ck_assert_uint_eq(number, users_user(&users, &id)->number);
            continue;
        }
        ck_assert_uint_ge(number, 10);
        ck_assert_uint_lt(number, 10 + N_STRANGERS);
        doubled += seen[number - 10]++ > 0;
        same += number == users_number(&again, &id);
    }
    ck_assert_uint_le(doubled, 100);
    ck_assert_uint_le(same, 100);
    users_free(&users);
    users_free(&again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("users");
    TCase *tcase = tcase_create("users");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, what_is_compared_does_not_grow_with_the_users, 0, 5);
    tcase_add_test(tcase, names_are_of_a_kind);
    tcase_add_test(tcase, users_without_a_line_have_numbers);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
