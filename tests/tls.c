/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS between two ends in memory: what is agreed on, what is refused, and with which alert. */

#define MBEDTLS_ALLOW_PRIVATE_ACCESS /* what mbedTLS 3 knows of a suite */

#include "line.h"
#include "sizes.h"

#include <mbedtls/version.h>

#include <pthread.h>

#include <stdlib.h>
#include <string.h>

/* Sets one end up. The octets of key and name are gone by the time that the handshake begins: mbedTLS has its own. */
static void set_up(struct end *end, struct mkt_tls_settings settings, const char *key, const char *name)
{
    struct mkt_span psk = from_hex(key);
    uint8_t *copy = malloc(psk.n), *identity = malloc(strlen(name));
    ck_assert(copy != NULL && identity != NULL);
    memcpy(copy, psk.p, psk.n);
    memcpy(identity, name, strlen(name));
    expect_err("setup",
               set_up_psk(&end->conf, &end->tls, &settings, (struct mkt_span){copy, psk.n},
                          (struct mkt_span){identity, strlen(name)}),
               MKT_OK);
    memset(copy, 0xee, psk.n);
    memset(identity, 0xee, strlen(name));
    free(copy);
    free(identity);
}

/* While `later_suites`, libmikeyticket-tls finds that any name is that of another suite, which no mbedTLS has. */
enum { FIRST_LATER = 0xe000 };
static bool later_suites;
static int n_later;

int mkt_cipher_suite_number(struct mkt_span name)
{
    int (*real)(struct mkt_span);
    if (later_suites)
        return FIRST_LATER + n_later++;
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(name);
}

bool mkt_cipher_suite_allowed(int number)
{
    bool (*real)(int);
    if (later_suites)
        return true;
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return real(number);
}

/* It has no size that would tell versions apart: see tests/sized.c. */
_Static_assert(sizeof(struct mkt_tls) == (sizeof(void *) == 8 ? 576 : 568), "mkt_tls stays as it is");

static const struct mkt_tls_settings client = {.size = sizeof client, .end = MKT_END_CLIENT};
static const struct mkt_tls_settings server = {.size = sizeof server, .end = MKT_END_SERVER};

/* Settings with a list of the caller's. */
static struct mkt_tls_settings only(struct mkt_tls_settings settings, const char *list)
{
    settings.suites = mkt_span_text(list);
    return settings;
}

/* What two ends agree on: "" for a profile, and NULL where there must be no agreement. */
static const struct {
    const char *key, *client, *server;
    enum mkt_tls_profile client_profile, server_profile;
    const char *agreed;
} pairs[] = {
#if MBEDTLS_VERSION_MAJOR >= 3
    {KEY_32, "", "", MKT_TLS_MODERN, MKT_TLS_MODERN, "TLS1-3-AES-128-GCM-SHA256"},
    {KEY_16, "", "", MKT_TLS_MODERN, MKT_TLS_MODERN, "TLS1-3-AES-128-GCM-SHA256"},
    {KEY_32 KEY_16, "", "", MKT_TLS_MODERN, MKT_TLS_MODERN, "TLS1-3-AES-128-GCM-SHA256"},
    {KEY_32 KEY_16, "", "", MKT_TLS_LEGACY, MKT_TLS_MODERN, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"},
    {KEY_32, "TLS1-3-CHACHA20-POLY1305-SHA256", "", MKT_TLS_MODERN, MKT_TLS_MODERN, "TLS1-3-CHACHA20-POLY1305-SHA256"},
    {KEY_32, "", "TLS1-3-CHACHA20-POLY1305-SHA256", MKT_TLS_MODERN, MKT_TLS_MODERN, "TLS1-3-CHACHA20-POLY1305-SHA256"},
    {KEY_32, "TLS1-3-AES-128-GCM-SHA256", "", MKT_TLS_MODERN, MKT_TLS_LEGACY, NULL},
    {KEY_32, "", "TLS1-3-AES-128-GCM-SHA256", MKT_TLS_LEGACY, MKT_TLS_MODERN, NULL},
#else
    {KEY_32, "", "", MKT_TLS_MODERN, MKT_TLS_MODERN, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"},
    {KEY_16, "", "", MKT_TLS_MODERN, MKT_TLS_MODERN, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"},
#endif
    {KEY_32, "", "", MKT_TLS_LEGACY, MKT_TLS_MODERN, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"},
    {KEY_16, "", "", MKT_TLS_MODERN, MKT_TLS_LEGACY, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"},
    {KEY_16, "", "", MKT_TLS_LEGACY, MKT_TLS_LEGACY, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"},
    {KEY_32, "TLS-DHE-PSK-WITH-AES-256-GCM-SHA384", "", 0, 0, "TLS-DHE-PSK-WITH-AES-256-GCM-SHA384"},
    {KEY_16, "", "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256", 0, 0, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256"},
    {KEY_32, "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256", "", 0, 1, "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256"},
    {KEY_32, "", "TLS-DHE-PSK-WITH-AES-256-CBC-SHA384", 1, 0, "TLS-DHE-PSK-WITH-AES-256-CBC-SHA384"},
    {KEY_16, "TLS-PSK-WITH-AES-128-GCM-SHA256", "", 0, 1, "TLS-PSK-WITH-AES-128-GCM-SHA256"},
    {KEY_16, "", "TLS-PSK-WITH-AES-128-CBC-SHA256", 1, 0, "TLS-PSK-WITH-AES-128-CBC-SHA256"},
    {KEY_32, "TLS-PSK-WITH-AES-128-CBC-SHA", "", 0, 1, "TLS-PSK-WITH-AES-128-CBC-SHA"},
    {KEY_32, "TLS-PSK-WITH-AES-128-CBC-SHA", "", 0, 0, NULL}, /* the default profile has no legacy suite */
    {KEY_32, "", "TLS-DHE-PSK-WITH-AES-128-CBC-SHA256", 0, 0, NULL},
};

START_TEST(agree)
{
    struct mkt_tls_settings c = client, s = server;
    if (pairs[_i].client[0] != '\0')
        c = only(c, pairs[_i].client);
    if (pairs[_i].server[0] != '\0')
        s = only(s, pairs[_i].server);
    c.profile = pairs[_i].client_profile;
    s.profile = pairs[_i].server_profile;

    struct line *line = line_new();
    set_up(&line->client, c, pairs[_i].key, NAME);
    set_up(&line->server, s, pairs[_i].key, NAME);
    start_both(line);
    if (pairs[_i].agreed == NULL) {
        expect_refused(line);
    } else {
        expect_connected(line);
        ck_assert_str_eq(mbedtls_ssl_get_ciphersuite(&line->client.ssl), pairs[_i].agreed);
        const char *version = strncmp(pairs[_i].agreed, "TLS1-3", 6) == 0 ? "TLSv1.3" : "TLSv1.2";
        ck_assert_str_eq(mbedtls_ssl_get_version(&line->server.ssl), version);
    }
    line_free(line);
}
END_TEST

/* Every suite of a profile is a list that works by itself. */
START_TEST(every_suite_of_a_profile)
{
    struct line *listed = line_new();
    struct mkt_tls_settings s = server;
    s.profile = _i == 0 ? MKT_TLS_MODERN : MKT_TLS_LEGACY;
    set_up(&listed->server, s, KEY_32, NAME);
    size_t n = 0;
    for (const int *suite = listed->server.tls.suite; *suite != 0; suite++, n++) {
        const char *name = mbedtls_ssl_get_ciphersuite_name(*suite);
        struct line *line = line_new();
        set_up(&line->client, only(client, name), KEY_32, NAME);
        set_up(&line->server, s, KEY_32, NAME);
        start_both(line);
        expect_connected(line);
        ck_assert_str_eq(mbedtls_ssl_get_ciphersuite(&line->server.ssl), name);
        line_free(line);
    }
    ck_assert_uint_ge(n, _i == 0 ? 3 : 17);
    line_free(listed);
}
END_TEST

/* One suite of each version that this build has, and the alerts of a server for a wrong key and a wrong identity. */
static const struct {
    const char *suite;
    int wrong_key, wrong_identity;
} versions[] = {
    {"TLS_DHE_PSK_WITH_AES_128_GCM_SHA256", BAD_RECORD_MAC, UNKNOWN_PSK},
#if MBEDTLS_VERSION_MAJOR >= 3
    {"TLS_AES_128_GCM_SHA256", DECRYPT_ERROR, MISSING_EXTENSION},
#endif
};

/* A wrong key is a wrong MAC in TLS 1.2; TLS 1.3 finds it in the binder. */
START_TEST(wrong_key)
{
    struct line *line = line_new();
    set_up(&line->client, only(client, versions[_i].suite), KEY_16, NAME);
    set_up(&line->server, server, KEY_32, NAME);
    start_both(line);
    expect_refused(line);
    ck_assert_int_eq(alert_of(&line->server), versions[_i].wrong_key);
    ck_assert_int_eq(line->client.result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    line_free(line);
}
END_TEST

START_TEST(wrong_identity)
{
    struct line *line = line_new();
    set_up(&line->client, only(client, versions[_i].suite), KEY_32, NAME "0");
    set_up(&line->server, server, KEY_32, NAME);
    start_both(line);
    expect_refused(line);
    ck_assert_int_eq(alert_of(&line->server), versions[_i].wrong_identity);
    ck_assert_int_eq(line->client.result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    line_free(line);
}
END_TEST

/* Names between two that are fine: those that are not known, then known suites that are refused. */
static const struct {
    const char *name;
    bool known;
} refused[] = {
    {"TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA257", false},
    {"TLS-ECDHE-PSK-WITH-AES-128-GCM", false},
    {"modern+", false},
    {"Modern", false},
    {"AES128-GCM-SHA256", false},
    {"TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", false},
    {"TLS-RSA-PSK-WITH-AES-128-GCM-SHA256", true},
    {"TLS-PSK-WITH-NULL-SHA256", true},
    {"TLS-PSK-WITH-RC4-128-SHA", true},
    {"TLS-PSK-WITH-3DES-EDE-CBC-SHA", true},
    {"TLS1-3-AES-256-GCM-SHA384", true},
    {"RSA-PSK-AES128-GCM-SHA256", true},
    {"PSK-NULL-SHA256", true},
    {"tls_aes_256_gcm_sha384", true},
};

START_TEST(refused_suite_is_named)
{
    char list[200];
    const char *name = refused[_i].name, *before = "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256, ";
    snprintf(list, sizeof list, "%s%s:TLS-PSK-WITH-AES-128-GCM-SHA256", before, name);
    struct mkt_tls tls;
    struct mkt_tls_settings s = only(server, list);
    expect_err(name, mkt_tls_choose(&tls, &s), MKT_E_PROFILE);
    expect_octets("refused", tls.refused, mkt_span_text(name));
    ck_assert_ptr_eq(tls.refused.p, (const uint8_t *)list + strlen(before));
    ck_assert((mkt_cipher_suite_number(tls.refused) != 0) == refused[_i].known);
}
END_TEST

/* Lists, and the suites that come of them with any mbedTLS: numbers of the IANA registry. */
static const struct {
    const char *list;
    int suite[4];
} lists[] = {
    {"TLS-DHE-PSK-WITH-AES-128-GCM-SHA256", {0xaa}},
    {"TLS-DHE-PSK-WITH-AES-128-GCM-SHA256:TLS-PSK-WITH-AES-128-CBC-SHA", {0xaa, 0x8c}},
    {"\tTLS-PSK-WITH-AES-128-CBC-SHA ,, TLS-DHE-PSK-WITH-AES-128-GCM-SHA256\r\n", {0x8c, 0xaa}},
    {"TLS-PSK-WITH-AES-128-CBC-SHA TLS-PSK-WITH-AES-128-GCM-SHA256:TLS-PSK-WITH-AES-128-CBC-SHA", {0x8c, 0xa8}},
    {"TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA256:TLS-PSK-WITH-AES-128-CCM", {0xc0a4}},
    {"DHE-PSK-AES128-GCM-SHA256:TLS_PSK_WITH_AES_128_CBC_SHA,TLS_DHE_PSK_AES_128_GCM_SHA256", {0xaa, 0x8c}},
    {"tls_psk_with_aes_128_cbc_sha psk-aes128-gcm-sha256 TLS-PSK-WITH-AES-128-CBC-SHA", {0x8c, 0xa8}},
    {"ECDHE-PSK-CHACHA20-POLY1305,DHE-PSK-AES128-CCM8", {0xccac, 0xc0aa}},
};

START_TEST(list)
{
    struct mkt_tls tls;
    struct mkt_tls_settings s = only(server, lists[_i].list);
    expect_err(lists[_i].list, mkt_tls_choose(&tls, &s), MKT_OK);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(tls.suite[i], lists[_i].suite[i]);
        if (tls.suite[i] == 0)
            break;
    }
}
END_TEST

static bool left_out(const struct mkt_tls *tls, const char *name)
{
    size_t found = 0;
    for (size_t i = 0; tls->left_out[i] != 0; i++)
        found += strcmp(mkt_cipher_suite_name(tls->left_out[i]), name) == 0;
    ck_assert_uint_le(found, 1);
    return found == 1;
}

/* What the build lacks is left out and reported, of profiles and of lists; with nothing else it is an error. */
START_TEST(left_out_is_reported)
{
    struct mkt_tls tls, of_list;
    struct mkt_tls_settings s = server;
    expect_err("profile", mkt_tls_choose(&tls, &s), MKT_OK);
    ck_assert(left_out(&tls, "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256")); /* RFC 8442: in no mbedTLS so far */
    ck_assert(left_out(&tls, "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384"));
    ck_assert(left_out(&tls, "TLS_AES_128_GCM_SHA256") == (MBEDTLS_VERSION_MAJOR < 3));
    ck_assert(!left_out(&tls, "TLS_DHE_PSK_WITH_AES_128_GCM_SHA256"));

    s = only(server, "modern TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA256 modern");
    expect_err("list", mkt_tls_choose(&of_list, &s), MKT_OK);
    ck_assert_mem_eq(of_list.suite, tls.suite, sizeof tls.suite);
    ck_assert_mem_eq(of_list.left_out, tls.left_out, sizeof tls.left_out);

    s = only(server, "TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA256");
    expect_err("nothing else", mkt_tls_choose(&of_list, &s), MKT_E_PROFILE);
    ck_assert_uint_eq(of_list.refused.n, 0);
    ck_assert(left_out(&of_list, "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"));
}
END_TEST

/* By what mbedTLS knows of a suite: whether it proves a PSK and nothing else, and encrypts with what is not broken. */
static bool is_fine(int number)
{
    const mbedtls_ssl_ciphersuite_t *info = mbedtls_ssl_ciphersuite_from_id(number);
    ck_assert_ptr_nonnull(info);
    const bool psk = info->key_exchange == MBEDTLS_KEY_EXCHANGE_PSK ||
                     info->key_exchange == MBEDTLS_KEY_EXCHANGE_DHE_PSK ||
                     info->key_exchange == MBEDTLS_KEY_EXCHANGE_ECDHE_PSK;
    bool weak = info->cipher == MBEDTLS_CIPHER_NULL || info->cipher == MBEDTLS_CIPHER_DES_EDE3_CBC;
#if MBEDTLS_VERSION_MAJOR < 3
    weak |= info->cipher == MBEDTLS_CIPHER_ARC4_128;
#endif
    return psk ? !weak : number >> 8 == 0x13 && info->mac == MBEDTLS_MD_SHA256;
}

/* A list may name each suite of mbedTLS that proves a PSK and nothing else, and encrypts; no other suite. */
START_TEST(every_suite_of_mbedtls)
{
    size_t taken = 0;
    for (const int *suite = mbedtls_ssl_list_ciphersuites(); *suite != 0; suite++) {
        const char *name = mbedtls_ssl_get_ciphersuite_name(*suite);
        const bool fine = is_fine(*suite);
        const struct mkt_tls_settings s = only(server, name);
        struct mkt_tls tls;
        expect_err(name, mkt_tls_choose(&tls, &s), fine ? MKT_OK : MKT_E_PROFILE);
        expect_octets(name, tls.refused, mkt_span_text(fine ? NULL : name));
        ck_assert_int_eq(tls.suite[0], fine ? *suite : 0);
        ck_assert_int_eq(tls.suite[1], 0);
        ck_assert_int_eq(tls.left_out[0], 0);
        taken += fine;
    }
    ck_assert_uint_ge(taken, 30);
}
END_TEST

/* All suites that are allowed fit into one list, and each is there once. */
START_TEST(all_suites_at_once)
{
    char names[MKT_TLS_MAX_SUITES * 64] = "";
    size_t n = 0, suites = 0, left_out = 0;
    for (int number = 1; number < 0x10000; number++)
        if (mkt_cipher_suite_allowed(number)) {
            n++;
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s ", mkt_cipher_suite_name(number));
        }
    struct mkt_tls tls;
    const struct mkt_tls_settings s = only(server, names);
    expect_err("all", mkt_tls_choose(&tls, &s), MKT_OK);
    while (tls.suite[suites] != 0)
        suites++;
    while (tls.left_out[left_out] != 0)
        left_out++;
    ck_assert_uint_eq(suites + left_out, n);
    ck_assert_uint_ge(n, 50);
}
END_TEST

/* A later libmikeyticket may know more suites than there is room for: the first one that has none is refused. */
START_TEST(more_suites_than_there_is_room_for)
{
    char names[200] = "";
    for (size_t i = 0; i <= MKT_TLS_MAX_SUITES; i++)
        strcat(names, "x ");
    struct mkt_tls tls;
    const struct mkt_tls_settings s = only(server, names);
    later_suites = true;
    const enum mkt_err err = mkt_tls_choose(&tls, &s);
    later_suites = false;
    expect_err("one more", err, MKT_E_PROFILE);
    ck_assert_ptr_eq(tls.refused.p, (const uint8_t *)names + 2 * MKT_TLS_MAX_SUITES);
    for (int i = 0; i < MKT_TLS_MAX_SUITES; i++)
        ck_assert_int_eq(tls.left_out[i], FIRST_LATER + i);
    ck_assert_int_eq(tls.left_out[MKT_TLS_MAX_SUITES], 0);
    ck_assert_int_eq(tls.suite[0], 0);
}
END_TEST

/* Point by point what the setting leaves out: DHE-PSK, by any name, of profiles and of lists, and nothing else. */
START_TEST(no_dhe_psk)
{
    static const char *const given[] = {"modern", "legacy", "modern:legacy", "DHE-PSK-AES128-CCM8 PSK-AES128-CCM8",
                                        "TLS_DHE_PSK_WITH_ARIA_128_GCM_SHA256:ECDHE-PSK-AES128-CBC-SHA"};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        struct mkt_tls with, without;
        struct mkt_tls_settings s = only(server, given[i]);
        expect_err(given[i], mkt_tls_choose(&with, &s), MKT_OK);
        s.no_dhe_psk = true;
        expect_err(given[i], mkt_tls_choose(&without, &s), MKT_OK);
        size_t n = 0, dhe = 0;
        for (const int *suite = with.suite; *suite != 0; suite++) {
            if (mbedtls_ssl_ciphersuite_from_id(*suite)->key_exchange == MBEDTLS_KEY_EXCHANGE_DHE_PSK)
                dhe++;
            else
                ck_assert_int_eq(without.suite[n++], *suite);
        }
        ck_assert_int_eq(without.suite[n], 0);
        ck_assert_uint_gt(dhe + (with.left_out[0] != 0), 0);
        for (size_t j = 0; without.left_out[j] != 0; j++)
            ck_assert_ptr_null(strstr(mkt_cipher_suite_name(without.left_out[j]), "_DHE_"));
    }
    struct mkt_tls tls;
    struct mkt_tls_settings s = only(server, "DHE-PSK-AES128-GCM-SHA256:TLS_PSK_DHE_WITH_AES_128_CCM_8");
    s.no_dhe_psk = true;
    expect_err("nothing else", mkt_tls_choose(&tls, &s), MKT_E_PROFILE);
    ck_assert_uint_eq(tls.refused.n, 0);
}
END_TEST

/* A server without DHE-PSK refuses a client that has nothing else before it computes anything; ECDHE-PSK works. */
START_TEST(no_dhe_psk_is_agreed_on)
{
    struct mkt_tls_settings s = server;
    s.no_dhe_psk = true;
    struct line *line = line_new();
    set_up(&line->client, only(client, _i == 0 ? "DHE-PSK-AES128-GCM-SHA256" : "ECDHE-PSK-CHACHA20-POLY1305"), KEY_32,
           NAME);
    set_up(&line->server, s, KEY_32, NAME);
    start_both(line);
    if (_i == 0) {
        expect_refused(line);
        ck_assert_int_eq(alert_of(&line->server), HANDSHAKE_FAILURE);
    } else {
        expect_connected(line);
    }
    line_free(line);
}
END_TEST

/* Suites of the IANA registry that this build of mbedTLS lacks have a name all the same. */
START_TEST(suites_that_the_build_lacks)
{
    static const char *const names[] = {
        "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256",
        "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256",
#if MBEDTLS_VERSION_MAJOR < 3
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
#endif
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct mkt_tls_settings s = only(server, names[i]);
        struct mkt_tls tls;
        expect_err(names[i], mkt_tls_choose(&tls, &s), MKT_E_PROFILE);
        ck_assert_uint_eq(tls.refused.n, 0);
        ck_assert_str_eq(mkt_cipher_suite_name(tls.left_out[0]), names[i]);
        ck_assert_int_eq(tls.left_out[1], 0);
    }
}
END_TEST

/* TS 33.210 6.2: AEAD and forward secrecy, TLS 1.2 or later; the other profile has all of it but TLS 1.3. */
START_TEST(profiles)
{
    struct mkt_tls tls;
    struct mkt_tls_settings s = server;
    s.profile = _i == 0 ? MKT_TLS_MODERN : MKT_TLS_LEGACY;
    expect_err("profile", mkt_tls_choose(&tls, &s), MKT_OK);
    for (const int *suite = tls.suite; *suite != 0; suite++) {
        const char *name = mbedtls_ssl_get_ciphersuite_name(*suite);
        if (_i == 0) {
            ck_assert_msg(strstr(name, "GCM") != NULL || strstr(name, "POLY1305") != NULL, "%s is no AEAD", name);
            ck_assert_msg(strncmp(name, "TLS-PSK", 7) != 0, "%s has no forward secrecy", name);
        } else {
            ck_assert_msg(strncmp(name, "TLS1-3", 6) != 0, "%s is not of TLS 1.2", name);
        }
    }
    /* its name in a list is the same */
    struct mkt_tls named;
    s = only(server, _i == 0 ? "modern" : "legacy");
    expect_err("name", mkt_tls_choose(&named, &s), MKT_OK);
    ck_assert_mem_eq(named.suite, tls.suite, sizeof tls.suite);
}
END_TEST

START_TEST(no_suite_is_left)
{
    static const char *const none[] = {"", ":", " ,\t:\r\n"};
    struct line *line = line_new();
    struct mkt_tls_settings s = only(server, none[_i]);
    expect_err("none", set_up_psk(&line->server.conf, &line->server.tls, &s, from_hex(KEY_32), mkt_span_text(NAME)),
               MKT_E_PROFILE);
    ck_assert_uint_eq(line->server.tls.refused.n, 0);
    line_free(line);
}
END_TEST

static enum mkt_err choose(struct scene *s, const void *settings)
{
    struct mkt_tls tls;
    (void)s;
    return mkt_tls_choose(&tls, settings);
}

START_TEST(settings_of_other_versions)
{
    expect_sizes("choose", &client, sizeof client, NULL, choose);
}
END_TEST

START_TEST(arguments)
{
    static const char name[MKT_TLS_MAX_IDENTITY + 1];
    const struct mkt_span id = mkt_span_text(NAME), psk = from_hex(KEY_32), none = {NULL, 0};
    struct mkt_tls_settings bad[3] = {client, client, client};
    bad[0].end = MKT_END_NONE;
    bad[1].end = (enum mkt_end)3;
    bad[2].profile = (enum mkt_tls_profile)2;

    struct line *line = line_new();
    mbedtls_ssl_config *conf = &line->client.conf;
    struct mkt_tls *tls = &line->client.tls;
    int cause;
    for (size_t i = 0; i < 3; i++) {
        memset(tls, 0xee, sizeof *tls);
        expect_err("settings", mkt_tls_choose(tls, &bad[i]), MKT_E_ARGUMENT);
        expect_err("not chosen", mkt_tls_configure(conf, tls, &cause), MKT_E_ARGUMENT);
        expect_err("not chosen", mkt_tls_setup_psk(conf, tls, psk, id, &cause), MKT_E_ARGUMENT);
    }
    expect_err("choose", mkt_tls_choose(tls, &client), MKT_OK);
    expect_err("no identity", mkt_tls_setup_psk(conf, tls, psk, none, &cause), MKT_E_ARGUMENT);
    expect_err("an empty identity", mkt_tls_setup_psk(conf, tls, psk, (struct mkt_span){id.p, 0}, &cause),
               MKT_E_ARGUMENT);
    expect_err("identity",
               mkt_tls_setup_psk(conf, tls, psk, (struct mkt_span){(const uint8_t *)name, sizeof name}, &cause),
               MKT_E_ARGUMENT);
    expect_err("no key", mkt_tls_setup_psk(conf, tls, none, id, &cause), MKT_E_ARGUMENT);
    line_free(line);
}
END_TEST

/* A list with a wrong name is no configuration, whatever stands before the name. */
START_TEST(a_refused_list_configures_nothing)
{
    static const char *const wrong[] = {"modern:nonsense", "modern:TLS-PSK-WITH-NULL-SHA256", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct line *line = line_new();
        int cause;
        const struct mkt_tls_settings s = only(server, wrong[i]);
        expect_err(wrong[i], mkt_tls_choose(&line->server.tls, &s), MKT_E_PROFILE);
        expect_err(wrong[i], mkt_tls_configure(&line->server.conf, &line->server.tls, &cause), MKT_E_ARGUMENT);
        line_free(line);
    }
}
END_TEST

/* From 16 octets to what this mbedTLS takes: 32, or 48. */
START_TEST(key_lengths)
{
    struct mkt_span octets = from_hex(KEY_32 KEY_32 "00");
    for (size_t n = 1; n <= octets.n; n++) {
        struct line *line = line_new();
        enum mkt_err want = n < 16 || n > MBEDTLS_PSK_MAX_LEN ? MKT_E_KEY_LENGTH : MKT_OK;
        expect_err("length",
                   set_up_psk(&line->client.conf, &line->client.tls, &client, (struct mkt_span){octets.p, n},
                              mkt_span_text(NAME)),
                   want);
        line_free(line);
    }
}
END_TEST

/* The longest identity arrives too. */
START_TEST(long_identity)
{
    char name[MKT_TLS_MAX_IDENTITY + 1];
    memset(name, 'x', MKT_TLS_MAX_IDENTITY);
    name[MKT_TLS_MAX_IDENTITY] = '\0';
    struct line *line = line_new();
    set_up(&line->client, _i == 0 ? client : only(client, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256"), KEY_32, name);
    set_up(&line->server, server, KEY_32, name);
    start_both(line);
    expect_connected(line);
    line_free(line);
}
END_TEST

/* One choice for many configurations at once. */

enum { SHARERS = 8 };

struct sharer {
    pthread_t thread;
    const struct mkt_tls *tls;
    struct line *line;
    struct mkt_span psk;
    char name[32];
    enum mkt_err err;
};

/* A thread: a client with a key and an identity of its own, and the choice that all share. */
static void *share(void *user)
{
    struct sharer *sharer = user;
    int cause;
    sharer->err =
        mkt_tls_setup_psk(&sharer->line->client.conf, sharer->tls, sharer->psk, mkt_span_text(sharer->name), &cause);
    return NULL;
}

START_TEST(configurations_share_one_choice)
{
    struct mkt_tls tls, before;
    struct sharer sharers[SHARERS] = {0};
    expect_err("choose", mkt_tls_choose(&tls, &client), MKT_OK);
    before = tls;
    for (size_t i = 0; i < SHARERS; i++) {
        sharers[i].tls = &tls;
        sharers[i].psk = from_hex(KEY_32);
        sharers[i].line = line_new();
        snprintf(sharers[i].name, sizeof sharers[i].name, "client %zu", i);
        set_up(&sharers[i].line->server, server, KEY_32, sharers[i].name);
    }
    for (size_t i = 0; i < SHARERS; i++)
        ck_assert_int_eq(pthread_create(&sharers[i].thread, NULL, share, &sharers[i]), 0);
    for (size_t i = 0; i < SHARERS; i++)
        ck_assert_int_eq(pthread_join(sharers[i].thread, NULL), 0);
    for (size_t i = 0; i < SHARERS; i++) {
        expect_err("set up", sharers[i].err, MKT_OK);
        start_both(sharers[i].line);
        expect_connected(sharers[i].line);
        line_free(sharers[i].line);
    }
    ck_assert_mem_eq(&tls, &before, sizeof tls);
}
END_TEST

/* From a bundle: the whole way of a call, ticket to TLS. */

/* One end is set up from the bundle, the other with the TEK and the PSK identity that the bundle gives. */
START_TEST(from_a_bundle)
{
    static const struct mkt_host host = {.size = sizeof host};
    const bool server_by_hand = _i / 2 == 1;
    struct mkt_csb *csb[2];
    uint8_t key[64], name[MKT_TLS_MAX_IDENTITY];
    struct mkt_buf tek = {key, sizeof key, 0}, identity = {name, sizeof name, 0};
    bundles(&host, _i % 2 == 0 ? MKT_SUITE_256 : MKT_SUITE_128, 0, csb);
    expect_err("TEK", mkt_csb_tek(csb[server_by_hand], 1, &tek), MKT_OK);
    expect_err("identity", mkt_csb_psk_identity(csb[server_by_hand], 1, &identity), MKT_OK);
    struct line *line = line_new();
    struct end *from_bundle = server_by_hand ? &line->client : &line->server;
    struct end *by_hand = server_by_hand ? &line->server : &line->client;
    expect_err(
        "from the bundle",
        set_up_csb(&from_bundle->conf, &from_bundle->tls, server_by_hand ? &client : &server, csb[!server_by_hand], 1),
        MKT_OK);
    expect_err("by hand",
               set_up_psk(&by_hand->conf, &by_hand->tls, server_by_hand ? &server : &client,
                          (struct mkt_span){key, tek.n}, (struct mkt_span){name, identity.n}),
               MKT_OK);
    bundles_free(csb); /* mbedTLS has the key */
    start_both(line);
    expect_connected(line);
    line_free(line);
}
END_TEST

/* mbedTLS's own error is the caller's to see. */
START_TEST(a_key_that_mbedtls_refuses)
{
    struct line *line = line_new();
    struct mkt_tls tls;
    const struct mkt_span psk = from_hex(KEY_32), name = mkt_span_text(NAME);
    int cause = 0;
    expect_err("choose", mkt_tls_choose(&tls, &client), MKT_OK);
    psk_refused = MBEDTLS_ERR_SSL_ALLOC_FAILED;
    expect_err("refused", mkt_tls_setup_psk(&line->client.conf, &tls, psk, name, &cause), MKT_E_TLS);
    ck_assert_int_eq(cause, MBEDTLS_ERR_SSL_ALLOC_FAILED);
    psk_refused = 0;
    line_free(line);

    line = line_new();
    expect_err("taken", mkt_tls_setup_psk(&line->client.conf, &tls, psk, name, &cause), MKT_OK);
    ck_assert_int_eq(cause, 0);
    line_free(line);
}
END_TEST

START_TEST(bundle_refused)
{
    static const struct mkt_host host = {.size = sizeof host},
                                 longest = {.size = sizeof longest, .psk_identity = longest_name},
                                 long_names = {.size = sizeof long_names, .psk_identity = name_too_long};
    struct mkt_csb *csb[2];
    struct line *line = line_new();
    mbedtls_ssl_config *conf = &line->client.conf;
    struct mkt_tls *tls = &line->client.tls;
    struct mkt_settings settings;
    int cause;
    expect_err("choose", mkt_tls_choose(tls, &client), MKT_OK);
    mkt_settings_init(&settings, mkt_id_uri("sip:alice@example.com"));

    expect_err("new", mkt_csb_new(&csb[0], MKT_INITIATOR, &host, &settings), MKT_OK);
    expect_err("early", mkt_tls_setup(conf, tls, csb[0], 1, &cause), MKT_E_STATE);
    mkt_csb_free(csb[0]);
    bundles(&host, MKT_SUITE_256, 64, csb);
    expect_err("session", mkt_tls_setup(conf, tls, csb[0], 2, &cause), MKT_E_NO_SESSION);
    expect_err("TEK of 64 octets", mkt_tls_setup(conf, tls, csb[0], 1, &cause), MKT_E_KEY_LENGTH);
    bundles_free(csb);
    bundles(&long_names, MKT_SUITE_256, 0, csb);
    expect_err("identity", mkt_tls_setup(conf, tls, csb[0], 1, &cause), MKT_E_BUFFER);
    bundles_free(csb);
    bundles(&longest, MKT_SUITE_256, 0, csb);
    expect_err("longest identity", mkt_tls_setup(conf, tls, csb[0], 1, &cause), MKT_OK);
    bundles_free(csb);
    line_free(line);
}
END_TEST

/* The stack: mbedTLS does not get the key, so a copy that is left is ours. */

struct attempt {
    struct mkt_tls tls;
    struct line *line;
    const struct mkt_csb *csb;
    struct mkt_span psk;
    enum mkt_err err;
};

static void set_up_from_bundle(void *arg)
{
    struct attempt *a = arg;
    int cause;
    a->err = mkt_tls_setup(&a->line->client.conf, &a->tls, a->csb, 1, &cause);
}

static void set_up_from_key(void *arg)
{
    struct attempt *a = arg;
    int cause;
    a->err = mkt_tls_setup_psk(&a->line->client.conf, &a->tls, a->psk, mkt_span_text(NAME), &cause);
}

START_TEST(no_key_is_left_on_the_stack)
{
    static const struct mkt_host host = {.size = sizeof host};
    struct mkt_csb *csb[2];
    uint8_t key[64];
    struct mkt_buf tek = {key, sizeof key, 0};
    bundles(&host, _i % 2 == 0 ? MKT_SUITE_256 : MKT_SUITE_128, 0, csb);
    expect_err("TEK", mkt_csb_tek(csb[0], 1, &tek), MKT_OK);
    struct attempt a = {.line = line_new(), .csb = csb[0], .psk = from_hex(RARE_KEY)};

    expect_err("choose", mkt_tls_choose(&a.tls, &client), MKT_OK);
    catching = true;
    on_own_stack(set_up_from_bundle, &a);
    expect_err("bundle", a.err, MKT_OK);
    expect_octets("key", (struct mkt_span){caught.key, caught.n}, (struct mkt_span){key, tek.n});
    expect_not_left("bundle", key, tek.n);
    on_own_stack(set_up_from_key, &a);
    expect_err("key", a.err, MKT_OK);
    expect_octets("key", (struct mkt_span){caught.key, caught.n}, a.psk);
    expect_not_left("key", a.psk.p, a.psk.n);
    a.tls.end = MKT_END_NONE;
    on_own_stack(set_up_from_bundle, &a);
    expect_err("not chosen", a.err, MKT_E_ARGUMENT);
    expect_not_left("not chosen", key, tek.n);
    catching = false;
    line_free(a.line);
    bundles_free(csb);
}
END_TEST

START_TEST(what_is_left_is_found)
{
    struct mkt_span key = from_hex(RARE_KEY);
    on_own_stack(leave_a_key, (void *)(uintptr_t)key.p);
    ck_assert_uint_ge(left_on_stack(key.p, key.n), 3);
}
END_TEST

/* Hello messages as they are sent. */

enum {
    TRUNCATED_HMAC = 4,
    SUPPORTED_GROUPS = 10,
    ENCRYPT_THEN_MAC = 22,
    EXTENDED_MASTER_SECRET = 23,
    SESSION_TICKET = 35,
    EARLY_DATA = 42,
    SUPPORTED_VERSIONS = 43,
    PSK_MODES = 45,
    RENEGOTIATION_INFO = 0xff01,
    INDICATION = 0x00ff, /* the suite that stands for it, RFC 5746 3.3 */
    ILLEGAL_PARAMETER = 47,
    UNKNOWN_CA = 48
};

static struct mkt_span cut(struct mkt_span *from, size_t n)
{
    ck_assert_uint_le(n, from->n);
    struct mkt_span front = {from->p, n};
    *from = (struct mkt_span){from->p + n, from->n - n};
    return front;
}

static size_t cut_number(struct mkt_span *from, size_t octets)
{
    struct mkt_span digits = cut(from, octets);
    size_t number = 0;
    for (size_t i = 0; i < octets; i++)
        number = number << 8 | digits.p[i];
    return number;
}

/* RFC 5246 4.3: a vector, behind its length. */
static struct mkt_span cut_vector(struct mkt_span *from, size_t octets)
{
    size_t n = cut_number(from, octets);
    return cut(from, n);
}

struct seen_hello {
    struct mkt_span suites, compression, extensions;
};

/* RFC 5246 7.4.1: the first message that an end sent, a ClientHello (1) or ServerHello (2). */
static struct seen_hello hello_of(const struct end *end, unsigned type)
{
    struct mkt_span octets = {end->sent.octets, end->sent.n};
    ck_assert_uint_eq(cut_number(&octets, 1), 22);
    cut(&octets, 2);
    struct mkt_span record = cut_vector(&octets, 2);
    ck_assert_uint_eq(cut_number(&record, 1), type);
    struct mkt_span body = cut_vector(&record, 3);
    ck_assert_uint_eq(cut_number(&body, 2), 0x303);
    cut(&body, 32);
    cut_vector(&body, 1);
    struct seen_hello hello;
    hello.suites = type == 1 ? cut_vector(&body, 2) : cut(&body, 2);
    hello.compression = type == 1 ? cut_vector(&body, 1) : cut(&body, 1);
    hello.extensions = cut_vector(&body, 2);
    ck_assert_uint_eq(body.n, 0);
    return hello;
}

/* How often an extension is there, and what is in it. */
static size_t count_extension(const struct seen_hello *hello, size_t type, struct mkt_span *content)
{
    struct mkt_span left = hello->extensions;
    size_t n = 0;
    while (left.n > 0) {
        bool same = cut_number(&left, 2) == type;
        struct mkt_span octets = cut_vector(&left, 2);
        if (same)
            *content = octets;
        n += same;
    }
    return n;
}

static bool has_extension(const struct seen_hello *hello, size_t type)
{
    struct mkt_span content;
    size_t n = count_extension(hello, type, &content);
    ck_assert_uint_le(n, 1);
    return n == 1;
}

static struct mkt_span extension(const struct seen_hello *hello, size_t type)
{
    struct mkt_span content = {NULL, 0};
    ck_assert_msg(count_extension(hello, type, &content) == 1, "extension %zu is not there once", type);
    return content;
}

/* What a ClientHello offers: "" for a profile. */
static const struct {
    enum mkt_tls_profile profile;
    const char *list;
    bool renegotiation;
} offers[] = {
    {MKT_TLS_MODERN, "", false},
    {MKT_TLS_MODERN, "", true},
    {MKT_TLS_LEGACY, "", false},
    {MKT_TLS_LEGACY, "", true},
    {MKT_TLS_MODERN, "modern:legacy", false},
    {MKT_TLS_MODERN, "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256", false},
#if MBEDTLS_VERSION_MAJOR >= 3
    {MKT_TLS_MODERN, "TLS1-3-AES-128-GCM-SHA256", false},
#endif
};

/* The elliptic curves and groups that a ClientHello names. */
static void expect_strong_groups(const struct seen_hello *hello)
{
    struct mkt_span content = extension(hello, SUPPORTED_GROUPS), groups = cut_vector(&content, 2);
#if MBEDTLS_VERSION_MAJOR >= 3
    ck_assert_uint_gt(groups.n, 0);
    while (groups.n > 0)
        ck_assert_uint_gt(cut_number(&groups, 2), 0x16); /* RFC 8446 4.2.7: no group that is obsolete */
#else
    expect_octets("groups", groups, from_hex("001d001700180019")); /* x25519, P-256, P-384, P-521 */
#endif
}

START_TEST(client_hello_offers)
{
    struct mkt_tls_settings c = client;
    c.profile = offers[_i].profile;
    c.renegotiation = offers[_i].renegotiation;
    if (offers[_i].list[0] != '\0')
        c = only(c, offers[_i].list);
    struct line *line = line_new();
    set_up(&line->client, c, KEY_32, NAME);
    start(&line->client);
    go_on(&line->client);
    struct seen_hello hello = hello_of(&line->client, 1);

    bool tls12 = false, tls13 = false;
    for (const int *suite = line->client.tls.suite; *suite != 0; suite++) {
        ck_assert_int_eq((int)cut_number(&hello.suites, 2), *suite);
        if (*suite >> 8 == 0x13)
            tls13 = true;
        else
            tls12 = true;
    }
    ck_assert_uint_eq(cut_number(&hello.suites, 2), INDICATION);
    ck_assert_uint_eq(hello.suites.n, 0);
    expect_octets("compression", hello.compression, from_hex("00"));
    ck_assert(has_extension(&hello, EXTENDED_MASTER_SECRET) == tls12);
    ck_assert(has_extension(&hello, ENCRYPT_THEN_MAC) == tls12);
    ck_assert(has_extension(&hello, PSK_MODES) == tls13);
    ck_assert(!has_extension(&hello, TRUNCATED_HMAC));
    ck_assert(!has_extension(&hello, SESSION_TICKET));
    ck_assert(!has_extension(&hello, EARLY_DATA));
    expect_strong_groups(&hello);
    if (tls13) {
        expect_octets("modes", extension(&hello, PSK_MODES), from_hex("0101")); /* psk_dhe_ke */
        expect_octets("versions", extension(&hello, SUPPORTED_VERSIONS), from_hex(tls12 ? "0403040303" : "020304"));
    }
    line_free(line);
}
END_TEST

/* A server agrees to what is safer, and to nothing else that a client offers. */
START_TEST(server_hello_agrees)
{
    struct mkt_tls_settings legacy = only(client, "TLS-PSK-WITH-AES-128-CBC-SHA"), s = server;
    s.profile = MKT_TLS_LEGACY;
    struct line *line = line_new();
    set_up(&line->client, legacy, KEY_32, NAME);
    set_up(&line->server, s, KEY_32, NAME);
    mbedtls_ssl_conf_session_tickets(&line->client.conf, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
#if defined(MBEDTLS_SSL_TRUNCATED_HMAC)
    mbedtls_ssl_conf_truncated_hmac(&line->client.conf, MBEDTLS_SSL_TRUNC_HMAC_ENABLED);
#endif
    start_both(line);
    expect_connected(line);
    struct seen_hello offer = hello_of(&line->client, 1), hello = hello_of(&line->server, 2);
    ck_assert(has_extension(&offer, SESSION_TICKET));
#if defined(MBEDTLS_SSL_TRUNCATED_HMAC)
    ck_assert(has_extension(&offer, TRUNCATED_HMAC));
#endif
    ck_assert(has_extension(&hello, EXTENDED_MASTER_SECRET));
    ck_assert(has_extension(&hello, ENCRYPT_THEN_MAC));
    ck_assert(has_extension(&hello, RENEGOTIATION_INFO));
    ck_assert(!has_extension(&hello, TRUNCATED_HMAC));
    ck_assert(!has_extension(&hello, SESSION_TICKET));
    expect_octets("compression", hello.compression, from_hex("00"));
    line_free(line);
}
END_TEST

/*
 * No list can name a suite with certificates. Where there is one all the same, by whatever error, the client trusts
 * none: it must not go on and wait for the next message.
 */
START_TEST(no_certificate_is_trusted)
{
    static const int suite[] = {0xc02b, 0}; /* ECDHE-ECDSA with AES-128-GCM */
    static const char certificate[] =
        "308201133081bb0214095f7e32a51ad5603a29ef833eb41c015d29bf72300a06082a8648ce3d040302300c310a300806"
        "035504030c01783020170d3236313132333133343430365a180f32313236313033303133343430365a300c310a300806"
        "035504030c01783059301306072a8648ce3d020106082a8648ce3d030107034200049e3ce31bab8c9a134dc9b3b4487a"
        "2236443ded9d6e3d2e1a6f292db30411a80b8f3ffedc48dcb630c7857b1098d0f91e4947dbdc86f2e14bb72faea76e51"
        "d79e300a06082a8648ce3d040302034700304402202a864cf4b00d69a0e796f59639a8b0b410b5f0c172d2366bf5de44"
        "24ab7ca99d0220598ccbeb302036e25de0d5259b4978248d655e22039f8de6997878dc7632cdba";
    const uint8_t head[] = {22, 3, 3, 0, 49, 2, 0, 0, 45, 3, 3}, random[32] = {1};
    const uint8_t tail[] = {0, 0xc0, 0x2b, 0, 0, 5, 0xff, 1, 0, 1, 0}; /* with renegotiation_info */
    const struct mkt_span der = from_hex(certificate);
    const uint8_t n = (uint8_t)der.n; /* 256 more */
    const uint8_t lengths[] = {22, 3, 3, 1, n + 10, 11, 0, 1, n + 6, 0, 1, n + 3, 0, 1, n};
    struct line *line = line_new();
    set_up(&line->client, only(client, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256"), KEY_32, NAME);
    mbedtls_ssl_conf_ciphersuites(&line->client.conf, suite);
    start(&line->client);
    ck_assert_int_eq(mbedtls_ssl_set_hostname(&line->client.ssl, NULL), 0); /* no name is what 3.6 refuses first */
    go_on(&line->client);
    put(&line->server, head, sizeof head);
    put(&line->server, random, sizeof random);
    put(&line->server, tail, sizeof tail);
    go_on(&line->client);
    ck_assert_int_eq(line->client.result, MBEDTLS_ERR_SSL_WANT_READ); /* for the certificate */
    put(&line->server, lengths, sizeof lengths);
    put(&line->server, der.p, der.n);
    go_on(&line->client);
    ck_assert_int_ne(line->client.result, MBEDTLS_ERR_SSL_WANT_READ);
    ck_assert_uint_eq(line->server.sent.n, line->server.sent.read);
    ck_assert_int_eq(alert_of(&line->client), UNKNOWN_CA);
    line_free(line);
}
END_TEST

/* RFC 5246 7.4.1.2: a ClientHello of a peer that is not mbedTLS, with the suites that are given.
   It has one extension, extended master secret: mbedTLS 3.6 refuses the older form that has none. */
static void client_hello(struct end *to, unsigned minor, const char *suites)
{
    struct mkt_span octets = from_hex(suites);
    size_t body = 2 + 32 + 1 + 2 + octets.n + 2 + 6;
    const uint8_t head[] = {22, 3, 1, 0, (uint8_t)(body + 4), 1, 0, 0, (uint8_t)body, 3, (uint8_t)minor};
    const uint8_t random[32] = {1, 2, 3}, lengths[] = {0, 0, (uint8_t)octets.n}, rest[] = {1, 0, 0, 4, 0, 23, 0, 0};
    put(to->peer, head, sizeof head);
    put(to->peer, random, sizeof random);
    put(to->peer, lengths, sizeof lengths);
    put(to->peer, octets.p, octets.n);
    put(to->peer, rest, sizeof rest);
}

/* RFC 5746 3.3: the suite 00ff says that the client is safe; its absence breaks the handshake. */
static const struct {
    unsigned minor;
    const char *suites;
    int alert;
} hellos[] = {
    {3, "00aa00ff", -1},                /* TLS 1.2, with indication: a ServerHello comes */
    {3, "00aa", HANDSHAKE_FAILURE},     /* without */
    {2, "008c00ff", PROTOCOL_VERSION},  /* TLS 1.1 */
    {1, "008c00ff", PROTOCOL_VERSION},  /* TLS 1.0 */
    {0, "008c00ff", PROTOCOL_VERSION},  /* SSL 3 */
    {3, "008c00ff", HANDSHAKE_FAILURE}, /* TLS 1.2, a suite that is not in the default profile */
};

START_TEST(hello)
{
    struct line *line = line_new();
    struct mkt_tls_settings s = server;
    s.renegotiation = _i % 2 == 0; /* makes no difference here */
    s.profile = hellos[_i].suites[2] == '8' && hellos[_i].minor < 3 ? MKT_TLS_LEGACY : MKT_TLS_MODERN;
    set_up(&line->server, s, KEY_32, NAME);
    start(&line->server);
    client_hello(&line->server, hellos[_i].minor, hellos[_i].suites);
    go_on(&line->server);
    ck_assert_int_eq(alert_of(&line->server), hellos[_i].alert);
    ck_assert_int_eq(line->server.result == MBEDTLS_ERR_SSL_WANT_READ, hellos[_i].alert == -1);
    line_free(line);
}
END_TEST

/* The client's view: a server of TLS 1.1, and one of TLS 1.2 that knows nothing of RFC 5746. */
START_TEST(server_hello)
{
    const uint8_t minor = _i == 0 ? 2 : 3;
    const uint8_t head[] = {22, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor}, random[32] = {1}, tail[] = {0, 0, 0xaa, 0};
    struct line *line = line_new();
    set_up(&line->client, only(client, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256"), KEY_32, NAME);
    start(&line->client);
    go_on(&line->client);
    put(&line->server, head, sizeof head);
    put(&line->server, random, sizeof random);
    put(&line->server, tail, sizeof tail);
    go_on(&line->client);
    ck_assert_int_ne(line->client.result, MBEDTLS_ERR_SSL_WANT_READ);
    ck_assert_int_ne(line->client.result, 0);
    ck_assert_int_eq(alert_of(&line->client), _i == 0 ? PROTOCOL_VERSION : HANDSHAKE_FAILURE);
    line_free(line);
}
END_TEST

/* Renegotiation by the client, which the server allows or not. */
START_TEST(renegotiation)
{
    bool allowed = _i == 1;
    struct line *line = line_new();
    struct mkt_tls_settings c = only(client, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256"), s = server;
    c.renegotiation = true;
    s.renegotiation = allowed;
    set_up(&line->client, c, KEY_32, NAME);
    set_up(&line->server, s, KEY_32, NAME);
    start_both(line);
    expect_connected(line);

    unsigned char octets[16];
    int asked = MBEDTLS_ERR_SSL_WANT_READ, other = MBEDTLS_ERR_SSL_WANT_READ;
    for (int i = 0; i < 20 && asked == MBEDTLS_ERR_SSL_WANT_READ; i++) {
        asked = mbedtls_ssl_renegotiate(&line->client.ssl);
        other = mbedtls_ssl_read(&line->server.ssl, octets, sizeof octets);
    }
    if (allowed) {
        ck_assert_int_eq(asked, 0);
        ck_assert_int_eq(other, MBEDTLS_ERR_SSL_WANT_READ);
        expect_connected(line);
    } else {
        ck_assert_int_ne(asked, 0);
        ck_assert_int_ne(asked, MBEDTLS_ERR_SSL_WANT_READ);
    }
    line_free(line);
}
END_TEST

/* A client does not follow a server's wish either, unless it was told to. */
START_TEST(renegotiation_by_server)
{
    bool allowed = _i == 1;
    struct line *line = line_new();
    struct mkt_tls_settings c = only(client, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256"), s = server;
    c.renegotiation = allowed;
    s.renegotiation = true;
    set_up(&line->client, c, KEY_32, NAME);
    set_up(&line->server, s, KEY_32, NAME);
    start_both(line);
    expect_connected(line);

    unsigned char octets[16];
    size_t before = line->client.sent.n;
    ck_assert_int_eq(mbedtls_ssl_renegotiate(&line->server.ssl), 0); /* HelloRequest */
    for (int i = 0; i < 20; i++) {
        int got = mbedtls_ssl_read(&line->client.ssl, octets, sizeof octets);
        ck_assert_int_eq(got, MBEDTLS_ERR_SSL_WANT_READ);
        got = mbedtls_ssl_read(&line->server.ssl, octets, sizeof octets);
        ck_assert_int_eq(got, MBEDTLS_ERR_SSL_WANT_READ);
    }
    /* A new handshake, or a mere alert no_renegotiation. */
    ck_assert_int_eq(line->client.sent.n - before > 300, allowed);
    expect_connected(line);
    line_free(line);
}
END_TEST

#if defined(MBEDTLS_DHM_C) && defined(MBEDTLS_SSL_SRV_C)
/* The bits of a group that a server may choose at least, by the client's profile and list; NULL: the profile's own. */
static const struct {
    enum mkt_tls_profile profile;
    const char *list;
    size_t least;
} groups[] = {
    {MKT_TLS_MODERN, NULL, 2048},
    {MKT_TLS_LEGACY, NULL, 1024},
    {MKT_TLS_MODERN, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256", 2048},
    {MKT_TLS_LEGACY, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256", 1024},
    {MKT_TLS_MODERN, "modern", 2048},
    {MKT_TLS_LEGACY, "modern", 1024},
    {MKT_TLS_MODERN, "legacy", 1024},
    {MKT_TLS_MODERN, "legacy:modern", 1024},
};
enum { GROUPS = sizeof groups / sizeof *groups };

/* RFC 2409 6.2 has a prime of 1024 bits; two of them make a number of 2048, which mbedTLS takes for a prime as well. */
START_TEST(small_group)
{
    static const char prime[] =
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd"
        "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed"
        "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";
    static const size_t sizes[] = {1023, 1024, 2047, 2048};
    const int row = _i % GROUPS;
    const size_t bits = sizes[_i / GROUPS];
    uint8_t p[256];
    struct mkt_span half = from_hex(prime);
    memcpy(p, half.p, half.n);
    memcpy(p + half.n, half.p, half.n);
    if (bits % 8 != 0)
        p[0] &= 0x7f;

    struct mkt_tls_settings c = client, s = only(server, "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256");
    c.profile = groups[row].profile;
    if (groups[row].list != NULL)
        c = only(c, groups[row].list);
    struct line *line = line_new();
    set_up(&line->client, c, KEY_32, NAME);
    set_up(&line->server, s, KEY_32, NAME);
    ck_assert_int_eq(
        mbedtls_ssl_conf_dh_param_bin(&line->server.conf, p, (bits + 7) / 8, (const unsigned char *)"\2", 1), 0);
    start_both(line);
    if (bits >= groups[row].least) {
        expect_connected(line);
    } else {
        ck_assert_int_ne(line->client.result, 0);
        ck_assert_int_ne(line->client.result, MBEDTLS_ERR_SSL_WANT_READ);
        ck_assert_int_ne(line->server.result, 0);
        ck_assert_int_eq(alert_of(&line->client), ILLEGAL_PARAMETER);
    }
    line_free(line);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("tls");
    TCase *t = tcase_create("handshake");
    tcase_add_loop_test(t, agree, 0, sizeof pairs / sizeof *pairs);
    tcase_add_loop_test(t, every_suite_of_a_profile, 0, 2);
    tcase_add_loop_test(t, wrong_key, 0, sizeof versions / sizeof *versions);
    tcase_add_loop_test(t, wrong_identity, 0, sizeof versions / sizeof *versions);
    tcase_add_loop_test(t, long_identity, 0, 2);
    suite_add_tcase(suite, t);
    t = tcase_create("setup");
    tcase_add_loop_test(t, refused_suite_is_named, 0, sizeof refused / sizeof *refused);
    tcase_add_loop_test(t, list, 0, sizeof lists / sizeof *lists);
    tcase_add_test(t, every_suite_of_mbedtls);
    tcase_add_test(t, all_suites_at_once);
    tcase_add_test(t, more_suites_than_there_is_room_for);
    tcase_add_test(t, no_dhe_psk);
    tcase_add_loop_test(t, no_dhe_psk_is_agreed_on, 0, 2);
    tcase_add_test(t, suites_that_the_build_lacks);
    tcase_add_test(t, left_out_is_reported);
    tcase_add_loop_test(t, profiles, 0, 2);
    tcase_add_loop_test(t, no_suite_is_left, 0, 3);
    tcase_add_test(t, settings_of_other_versions);
    tcase_add_test(t, arguments);
    tcase_add_test(t, a_refused_list_configures_nothing);
    tcase_add_test(t, configurations_share_one_choice);
    tcase_add_test(t, key_lengths);
    tcase_add_loop_test(t, from_a_bundle, 0, 4);
    tcase_add_test(t, a_key_that_mbedtls_refuses);
    tcase_add_test(t, bundle_refused);
    if (STACK_IS_SEARCHED) {
        tcase_add_test(t, what_is_left_is_found);
        tcase_add_loop_test(t, no_key_is_left_on_the_stack, 0, 2);
    }
    suite_add_tcase(suite, t);
    t = tcase_create("versions and renegotiation");
    tcase_add_loop_test(t, client_hello_offers, 0, sizeof offers / sizeof *offers);
    tcase_add_test(t, server_hello_agrees);
    tcase_add_test(t, no_certificate_is_trusted);
    tcase_add_loop_test(t, hello, 0, sizeof hellos / sizeof *hellos);
    tcase_add_loop_test(t, server_hello, 0, 2);
    tcase_add_loop_test(t, renegotiation, 0, 2);
    tcase_add_loop_test(t, renegotiation_by_server, 0, 2);
#if defined(MBEDTLS_DHM_C) && defined(MBEDTLS_SSL_SRV_C)
    tcase_add_loop_test(t, small_group, 0, GROUPS * 4);
#endif
    suite_add_tcase(suite, t);
    return run(suite);
}
