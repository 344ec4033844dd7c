/* SPDX-License-Identifier: BSD-3-Clause */
/* key: chains of Key data payloads, and what keys must be like (RFC 6043 6.2.1, 12.1). */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "player.h"

#include "key.h"

#include <string.h>
#include <sys/mman.h>

static const uint8_t octets[80] = "no key is as good as another";
static const uint8_t spis[][2] = {{0, 1}, {0, 2}, {0, 3}, {0, 4}};

static struct mkt_payload key(uint16_t type, size_t n, const uint8_t spi[2])
{
    return (struct mkt_payload){
        .type = MKT_KEY_DATA,
        .key_data = {.type = type, .key = {octets, n}, .kv = {.type = MKT_KV_SPI, .spi = {spi, 2}}}};
}

static struct mkt_span chain(const struct mkt_payload list[], size_t n)
{
    static uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    expect_err("chain", mkt_payloads_encode(list, n, &buf), MKT_OK);
    return exact((struct mkt_span){out, buf.n});
}

static enum mkt_err check(const struct mkt_payload list[], size_t n, struct mkt_key_rules rules)
{
    return mkt_keys_check(chain(list, n), &rules);
}

/* MPK, TGK, TEK and GTGK, with an ID among them, which is no key. */
static struct mkt_span mixed(void)
{
    const struct mkt_payload list[] = {
        key(MKT_KEY_MPK, 32, spis[0]),  {.type = MKT_ID, .id = {0, MKT_ID_URI, {octets, 3}}},
        key(MKT_KEY_TGK, 40, spis[1]),  key(MKT_KEY_TEK, 64, spis[2]),
        key(MKT_KEY_GTGK, 48, spis[3]),
    };
    return chain(list, sizeof list / sizeof *list);
}

START_TEST(keys_are_walked_in_their_order)
{
    static const uint16_t types[] = {MKT_KEY_MPK, MKT_KEY_TGK, MKT_KEY_TEK, MKT_KEY_GTGK};
    struct mkt_keys keys = mkt_keys_of(mixed());
    struct mkt_key_data k;
    for (size_t i = 0; i < 4; i++) {
        ck_assert(mkt_keys_next(&keys, &k));
        ck_assert_uint_eq(k.type, types[i]);
    }
    ck_assert(!mkt_keys_next(&keys, &k));
    expect_err("end", keys.err, MKT_OK);
    keys = mkt_keys_of(text(""));
    ck_assert(!mkt_keys_next(&keys, &k) && keys.err == MKT_OK);
    keys = mkt_keys_of(text("\024\001"));
    ck_assert(!mkt_keys_next(&keys, &k) && keys.err == MKT_E_TRUNCATED);
    keys = mkt_keys_of(text("\024"));
    ck_assert(!mkt_keys_next(&keys, &k) && keys.err == MKT_E_TRUNCATED);
    keys = mkt_keys_of(from_hex("1403000161")); /* KV type 3 */
    for (int again = 0; again < 2; again++)
        ck_assert(!mkt_keys_next(&keys, &k) && keys.err == MKT_E_BAD_VALUE);
}
END_TEST

START_TEST(an_spi_names_a_session_key_and_no_mpk)
{
    struct mkt_key_data k;
    ck_assert(mkt_keys_find(mixed(), (struct mkt_span){spis[2], 2}, &k) && k.type == MKT_KEY_TEK);
    ck_assert(!mkt_keys_find(mixed(), (struct mkt_span){spis[0], 2}, &k));
    ck_assert(!mkt_keys_find(mixed(), (struct mkt_span){spis[2], 1}, &k));
    ck_assert(!mkt_keys_find(mixed(), (struct mkt_span){NULL, 0}, &k));
    const struct mkt_payload no_spi = {.type = MKT_KEY_DATA, .key_data = {.type = MKT_KEY_TGK, .key = {octets, 32}}};
    ck_assert(!mkt_keys_find(chain(&no_spi, 1), (struct mkt_span){NULL, 0}, &k));
    ck_assert(mkt_keys_mpk(mixed(), 0, &k) && !mkt_keys_mpk(mixed(), 1, &k));
    ck_assert(mkt_keys_session(mixed(), 0, &k) && k.type == MKT_KEY_TGK);
    ck_assert(mkt_keys_session(mixed(), 2, &k) && k.type == MKT_KEY_GTGK);
    ck_assert(!mkt_keys_session(mixed(), 3, &k));
}
END_TEST

/* 12.1: RANDs are as long as "the longest [...] MPK/TGK/GTGK"; a TEK is used as it is. */
START_TEST(the_longest_key_is_no_tek)
{
    const struct mkt_key_wish wishes[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK_SALT, .length = 60},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 40},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK}};
    const struct mkt_key_wish teks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK_SALT}};
    const struct mkt_payload list[] = {key(MKT_KEY_TGK, 33, spis[0]), key(MKT_KEY_MPK, 40, spis[1]),
                                       key(MKT_KEY_GTGK, 16, spis[2]), key(MKT_KEY_TEK_SALT, 64, spis[3])};
    ck_assert_uint_eq(mkt_keys_longest(mixed(), false), 48);
    ck_assert_uint_eq(mkt_keys_longest(chain(list, 4), false), 40);
    ck_assert_uint_eq(mkt_keys_longest(chain(list + 3, 1), false), 0);
    ck_assert_uint_eq(mkt_keys_longest(text(""), false), 0);
    ck_assert_uint_eq(mkt_wishes_longest(MKT_SUITE_256, teks, 2), 0);
    ck_assert_uint_eq(mkt_wishes_longest(MKT_SUITE_256, NULL, 0), 0);
    ck_assert_uint_eq(mkt_wishes_longest(MKT_SUITE_256, wishes, 3), 40);
    ck_assert_uint_eq(mkt_wishes_longest(MKT_SUITE_256, wishes + 2, 1), 32);
    ck_assert_uint_eq(mkt_wishes_longest(MKT_SUITE_128, wishes + 2, 1), 16);
}
END_TEST

START_TEST(rules_for_keys)
{
    const struct mkt_key_rules one_mpk = {MKT_SUITE_256, 1, 0, {{NULL, 0}, {NULL, 0}}};
    struct mkt_key_rules rules = one_mpk;
    struct mkt_payload list[3] = {key(MKT_KEY_MPK, 32, spis[0]), key(MKT_KEY_TGK, 32, spis[1]),
                                  key(MKT_KEY_TEK, 64, spis[2])};
    expect_err("right", check(list, 3, one_mpk), MKT_OK);
    expect_err("no MPK", check(list + 1, 2, one_mpk), MKT_E_MPK);
    rules.n_mpk = 2;
    expect_err("one MPK of two", check(list, 3, rules), MKT_E_MPK);
    list[1].key_data.key.n = 15;
    expect_err("15 octets", check(list, 3, one_mpk), MKT_E_KEY_LENGTH);
    const struct mkt_payload both[] = {key(MKT_KEY_TGK, 32, spis[0]), key(MKT_KEY_TGK, 15, spis[0])};
    expect_err("15 octets, and an SPI twice", check(both, 2, one_mpk), MKT_E_KEY_LENGTH);
    list[1].key_data.key.n = 16;
    expect_err("16 octets", check(list, 3, one_mpk), MKT_OK);
    list[2].key_data.key.n = 65;
    expect_err("a TEK of 65 octets", check(list, 3, one_mpk), MKT_E_KEY_LENGTH);
    rules = one_mpk;
    rules.suite = MKT_SUITE_128;
    expect_err("an MPK may be longer", check(list, 2, rules), MKT_OK);
    list[1].key_data.key.n = 17;
    expect_err("128-bit algorithms and a TGK of 17 octets", check(list, 2, rules), MKT_E_KEY_LENGTH);
    const struct mkt_span spi = list[1].key_data.kv.spi, of_tek = list[2].key_data.kv.spi;
    list[1].key_data.key.n = 16;
    list[2].key_data.key.n = 16;
    list[1].key_data.kv.spi = list[0].key_data.kv.spi;
    expect_err("the SPI of an MPK again", check(list, 3, one_mpk), MKT_OK); /* D23 */
    const struct mkt_payload mpk_behind[] = {key(MKT_KEY_TGK, 32, spis[0]), key(MKT_KEY_MPK, 32, spis[0])};
    expect_err("the SPI of a session key in an MPK", check(mpk_behind, 2, one_mpk), MKT_OK);
    list[1].key_data.kv.spi = spi;
    list[2].key_data.kv.spi = spi;
    expect_err("an SPI twice", check(list, 3, one_mpk), MKT_E_SPI);
    list[2].key_data.kv.spi = of_tek;
    list[1].key_data.kv.spi.n = 0;
    expect_err("an empty SPI", check(list, 2, one_mpk), MKT_E_SPI);
    list[1].key_data.kv.type = MKT_KV_NULL;
    expect_err("no SPI", check(list, 2, one_mpk), MKT_E_SPI);
}
END_TEST

START_TEST(spis_are_unique_in_the_bundle)
{
    const struct mkt_payload ours = key(MKT_KEY_TEK, 32, spis[3]), others = key(MKT_KEY_TGK, 32, spis[3]);
    const struct mkt_payload mpk = key(MKT_KEY_MPK, 32, spis[3]);
    struct mkt_key_rules rules = {MKT_SUITE_256, 0, 0, {{NULL, 0}, {NULL, 0}}};
    expect_err("alone", check(&ours, 1, rules), MKT_OK);
    for (size_t i = 0; i < 2; i++) {
        rules.others[i] = chain(&others, 1);
        expect_err("taken", check(&ours, 1, rules), MKT_E_SPI);
        rules.others[i] = chain(&mpk, 1);
        expect_err("taken by an MPK", check(&ours, 1, rules), MKT_OK); /* D23 */
        rules.others[i] = (struct mkt_span){NULL, 0};
    }
}
END_TEST

/*
 * 6.10: "The F flag SHALL be set to '1' when the I flag (key forking) is set to '1' and a TGK is encoded in the
 * ticket."
 */
START_TEST(forked_tgks_need_f)
{
    struct mkt_payload one = key(MKT_KEY_TGK, 32, spis[0]);
    struct mkt_key_rules rules = {MKT_SUITE_256, 0, MKT_FLAG_I, {{NULL, 0}, {NULL, 0}}};
    expect_err("TGK", check(&one, 1, rules), MKT_E_FLAGS);
    one.key_data.type = MKT_KEY_TGK_SALT;
    expect_err("TGK+SALT", check(&one, 1, rules), MKT_E_FLAGS);
    one.key_data.type = MKT_KEY_GTGK;
    expect_err("GTGK", check(&one, 1, rules), MKT_OK);
    const struct mkt_payload first_of_two[] = {key(MKT_KEY_TGK, 32, spis[0]), key(MKT_KEY_TEK, 32, spis[1])};
    expect_err("TGK and TEK", check(first_of_two, 2, rules), MKT_E_FLAGS);
    one.key_data.type = MKT_KEY_TGK;
    rules.flags = MKT_FLAG_I | MKT_FLAG_F;
    expect_err("F", check(&one, 1, rules), MKT_OK);
}
END_TEST

START_TEST(no_more_than_32_keys)
{
    struct mkt_payload list[MKT_MAX_KEYS + 1];
    uint8_t many[MKT_MAX_KEYS + 1][2];
    const struct mkt_key_rules rules = {MKT_SUITE_256, 0, 0, {{NULL, 0}, {NULL, 0}}};
    for (size_t i = 0; i <= MKT_MAX_KEYS; i++) {
        many[i][0] = 9;
        many[i][1] = (uint8_t)i;
        list[i] = key(MKT_KEY_TGK, 32, many[i]);
    }
    expect_err("32", check(list, MKT_MAX_KEYS, rules), MKT_OK);
    expect_err("33", check(list, MKT_MAX_KEYS + 1, rules), MKT_E_TOO_MANY);
}
END_TEST

static enum mkt_err make(const struct player *p, const struct mkt_key_wish *wish,
                         const struct mkt_span others[MKT_CHAINS], struct mkt_chain *chain)
{
    return mkt_keys_make(&p->host, &(struct mkt_wishes){wish, 1, MKT_SUITE_128, false}, others, chain);
}

/* An SPI that a key of the bundle has already is drawn again. */
START_TEST(a_drawn_spi_is_a_new_one)
{
    static const uint8_t drawn[] = {7, 7, 7, 7, 8, 8, 8, 8}, given[16] = "a key of octets";
    const struct mkt_key_wish wish = {.size = sizeof wish, .type = MKT_KEY_TGK, .key = {given, 16}};
    uint8_t room[256];
    struct mkt_buf buf = {room, sizeof room, 0};
    struct mkt_payload taken = key(MKT_KEY_TGK, 32, drawn);
    struct mkt_span others[MKT_CHAINS] = {{NULL, 0}};
    struct mkt_chain put = {&buf, buf.n, NULL};
    struct mkt_key_data made;
    struct player p;
    taken.key_data.kv.spi.n = 4;
    if (_i < MKT_CHAINS)
        others[_i] = chain(&taken, 1);
    else /* in the chain that it is added to */
        expect_err("put", mkt_key_append(&put, &taken.key_data), MKT_OK);
    player_init(&p, 0, text(""));
    player_random(&p, (struct mkt_span){drawn, sizeof drawn});
    expect_err("make", make(&p, &wish, others, &put), MKT_OK);
    ck_assert(mkt_keys_session((struct mkt_span){room, buf.n}, _i < MKT_CHAINS ? 0 : 1, &made));
    expect_octets("SPI", made.kv.spi, (struct mkt_span){drawn + 4, 4});
    expect_octets("key", made.key, (struct mkt_span){given, 16});
    const struct mkt_key_wish random = {.size = sizeof random, .type = MKT_KEY_TGK_SALT};
    buf = (struct mkt_buf){room, 20, 0};
    put = (struct mkt_chain){&buf, 0, NULL};
    expect_err("no room", make(&p, &wish, others, &put), MKT_E_BUNDLE_FULL);
    expect_err("no room", make(&p, &random, others, &put), MKT_E_BUNDLE_FULL);
}
END_TEST

/* An empty span may point anywhere: here to a page that nobody can read. */
static struct mkt_span nowhere(void)
{
    static const uint8_t *page;
    if (page == NULL)
        page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(page != MAP_FAILED);
    return (struct mkt_span){page, 0};
}

/* Octets that are given stay as they are. Others are drawn, in the order key, salt, SPI. */
START_TEST(keys_and_salts_are_given_or_drawn)
{
    static const uint8_t drawn[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    const struct mkt_span others[MKT_CHAINS] = {{NULL, 0}}, given = text("a key that is given."), salt = text("s");
    const bool has_key = (_i & 1) != 0, has_salt = (_i & 2) != 0;
    const size_t salt_n = _i & 4 ? 1 : MKT_SALT_LENGTH;
    const uint8_t *next = drawn;
    struct mkt_key_wish wish = {
        .size = sizeof wish, .type = _i & 4 ? MKT_KEY_TEK_SALT : MKT_KEY_TGK_SALT, .salt_length = _i & 4 ? 1 : 0};
    uint8_t room[256];
    struct mkt_buf buf = {room, sizeof room, 0};
    struct mkt_chain put = {&buf, 0, NULL};
    struct mkt_key_data made;
    struct player p;
    wish.key = has_key ? given : nowhere();
    wish.salt = has_salt ? salt : nowhere();
    player_init(&p, 0, text(""));
    player_random(&p, (struct mkt_span){drawn, sizeof drawn - 1});
    expect_err("make", make(&p, &wish, others, &put), MKT_OK);
    ck_assert(mkt_keys_session((struct mkt_span){room, buf.n}, 0, &made));
    ck_assert_uint_eq(made.type, wish.type);
    expect_octets("key", made.key, has_key ? given : (struct mkt_span){next, 16});
    next += has_key ? 0 : 16;
    expect_octets("salt", made.salt, has_salt ? salt : (struct mkt_span){next, salt_n});
    next += has_salt ? 0 : salt_n;
    expect_octets("SPI", made.kv.spi, (struct mkt_span){next, MKT_SPI});
    ck_assert_uint_eq(p.next_random, (size_t)(next - drawn) + MKT_SPI);
}
END_TEST

/* Its octets stay zeros, as if it had failed before it drew any. */
static enum mkt_err no_random(void *user, uint8_t *out, size_t n)
{
    memset(out, 0, n);
    ++*(size_t *)user;
    return MKT_E_CRYPTO;
}

START_TEST(a_host_that_cannot_draw_an_spi_is_not_asked_again)
{
    static const uint8_t zeros[MKT_SPI] = {0};
    const struct mkt_wishes none = {NULL, 0, MKT_SUITE_256, false};
    size_t calls = 0;
    const struct mkt_host host = {.size = sizeof host, .random = no_random, .user = &calls};
    struct mkt_payload taken = key(MKT_KEY_TGK, 32, zeros);
    uint8_t spi[MKT_SPI];
    taken.key_data.kv.spi.n = MKT_SPI;
    const struct mkt_span chains[] = {chain(&taken, 1)};
    expect_err("random", mkt_spi_draw(&host, chains, 1, &none, spi), MKT_E_CRYPTO);
    ck_assert_uint_eq(calls, 1);
}
END_TEST

/* Draws an SPI that is taken, and another one the eighth time. */
static enum mkt_err new_the_eighth_time(void *user, uint8_t *out, size_t n)
{
    memset(out, ++*(size_t *)user == 8, n);
    return MKT_OK;
}

START_TEST(an_spi_is_drawn_eight_times)
{
    static const uint8_t zeros[MKT_SPI] = {0}, ones[MKT_SPI] = {1, 1, 1, 1};
    const struct mkt_wishes none = {NULL, 0, MKT_SUITE_256, false};
    size_t calls = 0;
    const struct mkt_host host = {.size = sizeof host, .random = new_the_eighth_time, .user = &calls};
    struct mkt_payload taken = key(MKT_KEY_TGK, 32, zeros);
    uint8_t spi[MKT_SPI];
    taken.key_data.kv.spi.n = MKT_SPI;
    const struct mkt_span chains[] = {chain(&taken, 1)};
    expect_err("the eighth", mkt_spi_draw(&host, chains, 1, &none, spi), MKT_OK);
    expect_octets("SPI", (struct mkt_span){spi, MKT_SPI}, (struct mkt_span){ones, MKT_SPI});
    expect_err("never", mkt_spi_draw(&host, chains, 1, &none, spi), MKT_E_RANDOM);
    ck_assert_uint_eq(calls, 8 + 8);
}
END_TEST

/* ---- key forking: 5.1.1 ---- */

START_TEST(a_chain_that_cannot_be_forked)
{
    const struct mkt_payload list[] = {key(MKT_KEY_GTGK, 64, spis[0]), key(MKT_KEY_TGK, 64, spis[1]),
                                       key(MKT_KEY_GTGK, 16, spis[2])};
    const struct mkt_span whole = chain(list, 3), randkms = text("RANDRkms of any number of octets");
    const struct mkt_id bob = mkt_id_uri("sip:bob@example.com");
    struct mkt_span forked;
    uint8_t room[512];
    for (size_t cap = 0; cap < whole.n; cap++) {
        struct mkt_buf buf = {room, cap, 0};
        expect_err("no room", mkt_keys_fork(MKT_SUITE_256, whole, &bob, randkms, &buf, &forked), MKT_E_BUNDLE_FULL);
    }
    for (size_t n = 1; n < whole.n; n++) {
        struct mkt_buf buf = {room, sizeof room, 0};
        expect_err("half a chain",
                   mkt_keys_fork(MKT_SUITE_256, exact((struct mkt_span){whole.p, n}), &bob, randkms, &buf, &forked),
                   MKT_E_TRUNCATED);
    }
    struct mkt_buf buf = {room, whole.n, 0};
    expect_err("whole", mkt_keys_fork(MKT_SUITE_256, whole, &bob, randkms, &buf, &forked), MKT_OK);
    ck_assert_uint_eq(forked.n, whole.n);
}
END_TEST

/* 12.1: RANDRkms is as long as "the longest MPKr/TGK": the first MPK, TEKs and GTGKs are not forked. */
START_TEST(the_longest_key_that_is_forked)
{
    const struct mkt_payload list[] = {key(MKT_KEY_MPK, 64, spis[0]), key(MKT_KEY_MPK, 48, spis[1]),
                                       key(MKT_KEY_GTGK, 64, spis[2]), key(MKT_KEY_TGK, 32, spis[3])};
    ck_assert_uint_eq(mkt_keys_longest(chain(list, 4), true), 48);
    ck_assert_uint_eq(mkt_keys_longest(chain(list + 1, 3), true), 32);
    ck_assert_uint_eq(mkt_keys_longest(chain(list + 1, 2), true), 0);
    ck_assert_uint_eq(mkt_keys_longest(text(""), true), 0);
}
END_TEST

/* ---- secrets in a buffer of the caller's ---- */

START_TEST(after_an_error_no_secret_stays_behind)
{
    static const uint8_t before[] = "before";
    struct mkt_span secret = text("a secret of 19 octs"), more = secret;
    uint8_t room[64];
    for (size_t cap = sizeof before; cap <= sizeof room; cap++) {
        struct mkt_buf out = {room, cap, sizeof before};
        const bool fits = cap >= sizeof before + 2 * secret.n;
        memset(room, 0xee, sizeof room);
        memcpy(room, before, sizeof before);
        struct io io = io_put(&out);
        io_bytes(&io, &secret, secret.n);
        io_bytes(&io, &more, more.n);
        expect_err("done", mkt_done_secret(&io, &out), fits ? MKT_OK : MKT_E_BUFFER);
        ck_assert_uint_eq(out.n, sizeof before + (fits ? 2 * secret.n : 0));
        expect_octets("before", (struct mkt_span){room, sizeof before}, (struct mkt_span){before, sizeof before});
        const size_t wrote = cap < sizeof before + secret.n ? 0 : secret.n;
        for (size_t i = sizeof before; i < sizeof room && !fits; i++)
            if (room[i] != (i < sizeof before + wrote ? 0 : 0xee))
                ck_abort_msg("octet %zu is %02x", i, room[i]);
        secret = more = text("a secret of 19 octs");
    }
    struct mkt_buf measured = {NULL, 0, 3}, beyond = {room, 2, 3};
    struct io io = io_put(&measured);
    io_bytes(&io, &secret, secret.n);
    io_fail(&io, MKT_E_BAD_VALUE);
    expect_err("measured", mkt_done_secret(&io, &measured), MKT_E_BAD_VALUE);
    ck_assert_uint_eq(measured.n, 3);
    io = io_put(&beyond);
    expect_err("beyond", mkt_done_secret(&io, &beyond), MKT_E_ARGUMENT);
    ck_assert_uint_eq(beyond.n, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key");
    TCase *tcase = tcase_create("key");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_test(tcase, keys_are_walked_in_their_order);
    tcase_add_test(tcase, an_spi_names_a_session_key_and_no_mpk);
    tcase_add_test(tcase, the_longest_key_is_no_tek);
    tcase_add_test(tcase, rules_for_keys);
    tcase_add_test(tcase, spis_are_unique_in_the_bundle);
    tcase_add_test(tcase, forked_tgks_need_f);
    tcase_add_test(tcase, no_more_than_32_keys);
    tcase_add_loop_test(tcase, a_drawn_spi_is_a_new_one, 0, MKT_CHAINS + 1);
    tcase_add_loop_test(tcase, keys_and_salts_are_given_or_drawn, 0, 8);
    tcase_add_test(tcase, a_host_that_cannot_draw_an_spi_is_not_asked_again);
    tcase_add_test(tcase, an_spi_is_drawn_eight_times);
    tcase_add_test(tcase, a_chain_that_cannot_be_forked);
    tcase_add_test(tcase, the_longest_key_that_is_forked);
    tcase_add_test(tcase, after_an_error_no_secret_stays_behind);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
