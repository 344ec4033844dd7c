/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS with the TEK as pre-shared key. All that differs between mbedTLS 2.28 and 3.6 is in the one #if below. */

#include <mikeyticket/tls.h>

#include "sized.h"

#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>

#include <string.h>

/* Under this many octets a key is refused everywhere in the library (design decision D2). */
enum { LEAST_PSK = 16 };

enum { MODERN = 1, LEGACY = 2 };

/*
 * Every suite that proves a PSK and nothing else, and encrypts with what is not broken: no certificate (RSA-PSK), no
 * NULL, no RC4, no 3DES. In order of preference for the profiles; a server of mbedTLS chooses by its own order in TLS
 * 1.2, and by that of the client in TLS 1.3. An external PSK of TLS 1.3 belongs to one hash, SHA-256 where nothing else
 * is agreed on (RFC 8446 4.2.11).
 */
static const struct suite {
    const char *name; /* that of mbedTLS, or, where no mbedTLS has it, as it would be */
    unsigned profiles;
} suites[] = {
    /* RFC 8446 B.4 */
    {"TLS1-3-AES-128-GCM-SHA256", MODERN}, {"TLS1-3-CHACHA20-POLY1305-SHA256", MODERN},
    {"TLS1-3-AES-128-CCM-SHA256", 0}, {"TLS1-3-AES-128-CCM-8-SHA256", 0},
    /* RFC 8442, RFC 7905, RFC 5487: AEAD with forward secrecy */
    {"TLS-ECDHE-PSK-WITH-AES-256-GCM-SHA384", MODERN | LEGACY},
    {"TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA256", MODERN | LEGACY},
    {"TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256", MODERN | LEGACY},
    {"TLS-DHE-PSK-WITH-AES-256-GCM-SHA384", MODERN | LEGACY},
    {"TLS-DHE-PSK-WITH-AES-128-GCM-SHA256", MODERN | LEGACY},
    /* RFC 5489, RFC 5487, RFC 4279: CBC with forward secrecy */
    {"TLS-ECDHE-PSK-WITH-AES-256-CBC-SHA384", LEGACY}, {"TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256", LEGACY},
    {"TLS-ECDHE-PSK-WITH-AES-256-CBC-SHA", LEGACY}, {"TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA", LEGACY},
    {"TLS-DHE-PSK-WITH-AES-256-CBC-SHA384", LEGACY}, {"TLS-DHE-PSK-WITH-AES-128-CBC-SHA256", LEGACY},
    {"TLS-DHE-PSK-WITH-AES-256-CBC-SHA", LEGACY}, {"TLS-DHE-PSK-WITH-AES-128-CBC-SHA", LEGACY},
    /* RFC 5487, RFC 4279: without forward secrecy */
    {"TLS-PSK-WITH-AES-256-GCM-SHA384", LEGACY}, {"TLS-PSK-WITH-AES-128-GCM-SHA256", LEGACY},
    {"TLS-PSK-WITH-AES-256-CBC-SHA384", LEGACY}, {"TLS-PSK-WITH-AES-128-CBC-SHA256", LEGACY},
    {"TLS-PSK-WITH-AES-256-CBC-SHA", LEGACY}, {"TLS-PSK-WITH-AES-128-CBC-SHA", LEGACY},
    /* RFC 7905, RFC 8442, RFC 6655 */
    {"TLS-DHE-PSK-WITH-CHACHA20-POLY1305-SHA256", 0}, {"TLS-PSK-WITH-CHACHA20-POLY1305-SHA256", 0},
    {"TLS-ECDHE-PSK-WITH-AES-128-CCM-SHA256", 0}, {"TLS-ECDHE-PSK-WITH-AES-128-CCM-8-SHA256", 0},
    {"TLS-DHE-PSK-WITH-AES-256-CCM", 0}, {"TLS-DHE-PSK-WITH-AES-128-CCM", 0},
    {"TLS-DHE-PSK-WITH-AES-256-CCM-8", 0}, {"TLS-DHE-PSK-WITH-AES-128-CCM-8", 0},
    {"TLS-PSK-WITH-AES-256-CCM", 0}, {"TLS-PSK-WITH-AES-128-CCM", 0},
    {"TLS-PSK-WITH-AES-256-CCM-8", 0}, {"TLS-PSK-WITH-AES-128-CCM-8", 0},
    /* RFC 6367 */
    {"TLS-DHE-PSK-WITH-CAMELLIA-256-GCM-SHA384", 0}, {"TLS-DHE-PSK-WITH-CAMELLIA-128-GCM-SHA256", 0},
    {"TLS-PSK-WITH-CAMELLIA-256-GCM-SHA384", 0}, {"TLS-PSK-WITH-CAMELLIA-128-GCM-SHA256", 0},
    {"TLS-ECDHE-PSK-WITH-CAMELLIA-256-CBC-SHA384", 0}, {"TLS-ECDHE-PSK-WITH-CAMELLIA-128-CBC-SHA256", 0},
    {"TLS-DHE-PSK-WITH-CAMELLIA-256-CBC-SHA384", 0}, {"TLS-DHE-PSK-WITH-CAMELLIA-128-CBC-SHA256", 0},
    {"TLS-PSK-WITH-CAMELLIA-256-CBC-SHA384", 0}, {"TLS-PSK-WITH-CAMELLIA-128-CBC-SHA256", 0},
    /* RFC 6209 */
    {"TLS-DHE-PSK-WITH-ARIA-256-GCM-SHA384", 0}, {"TLS-DHE-PSK-WITH-ARIA-128-GCM-SHA256", 0},
    {"TLS-PSK-WITH-ARIA-256-GCM-SHA384", 0}, {"TLS-PSK-WITH-ARIA-128-GCM-SHA256", 0},
    {"TLS-ECDHE-PSK-WITH-ARIA-256-CBC-SHA384", 0}, {"TLS-ECDHE-PSK-WITH-ARIA-128-CBC-SHA256", 0},
    {"TLS-DHE-PSK-WITH-ARIA-256-CBC-SHA384", 0}, {"TLS-DHE-PSK-WITH-ARIA-128-CBC-SHA256", 0},
    {"TLS-PSK-WITH-ARIA-256-CBC-SHA384", 0}, {"TLS-PSK-WITH-ARIA-128-CBC-SHA256", 0},
};

enum { N_SUITES = sizeof suites / sizeof *suites };

/* No list is longer, as none has a suite twice. */
_Static_assert((int)N_SUITES <= (int)MKT_TLS_MAX_SUITES, "mkt_tls has room for all");

/* What follows from a list of suites. */
struct plan {
    size_t n, left_out;
    bool tls12, tls13, small_groups;
};

/* mbedTLS makes these lists without a lock when they are first asked for: so that is done before there are threads. */
__attribute__((constructor)) static void make_lists(void)
{
    (void)mbedtls_ssl_list_ciphersuites();
#if defined(MBEDTLS_ECP_C)
    (void)mbedtls_ecp_grp_id_list();
#endif
}

/* The number of a suite; 0 where this build can't do it: mbedTLS knows names of suites that it no longer lists. */
static int number_of(const char *name)
{
    int number = mbedtls_ssl_get_ciphersuite_id(name);
    for (const int *listed = mbedtls_ssl_list_ciphersuites(); *listed != 0; listed++)
        if (*listed == number)
            return number;
    return 0;
}

/* Adds a suite to the list, or to what is left out, if it is in neither. */
static void add_suite(struct mkt_tls *tls, struct plan *plan, const struct suite *suite)
{
    const int number = number_of(suite->name);
    const bool tls13 = strncmp(suite->name, "TLS1-3-", 7) == 0;
    for (size_t i = 0; i < plan->n; i++)
        if (tls->suite[i] == number)
            return;
    for (size_t i = 0; i < plan->left_out; i++)
        if (tls->left_out[i] == suite->name)
            return;
    if (number == 0) {
        tls->left_out[plan->left_out++] = suite->name;
        return;
    }
    tls->suite[plan->n++] = number;
    plan->tls13 |= tls13;
    plan->tls12 |= !tls13;
}

/* Adds what a name stands for, a profile or a suite; false where it is neither. */
static bool add_name(struct mkt_tls *tls, struct plan *plan, struct mkt_span name)
{
    const bool modern = mkt_span_equal(name, mkt_span_text("modern"));
    const bool legacy = mkt_span_equal(name, mkt_span_text("legacy"));
    bool known = modern || legacy;
    for (size_t i = 0; i < N_SUITES; i++) {
        const bool named = mkt_span_equal(name, mkt_span_text(suites[i].name));
        if (named || (suites[i].profiles & (modern ? MODERN : legacy ? LEGACY : 0)) != 0)
            add_suite(tls, plan, &suites[i]);
        known |= named;
    }
    plan->small_groups |= legacy;
    return known;
}

static bool separates(uint8_t c)
{
    return c != '\0' && strchr(":, \t\r\n", c) != NULL;
}

/* Cuts the next name off the front of a list; it is empty where there is none. */
static struct mkt_span next_name(struct mkt_span *list)
{
    size_t from = 0;
    while (from < list->n && separates(list->p[from]))
        from++;
    size_t to = from;
    while (to < list->n && !separates(list->p[to]))
        to++;
    struct mkt_span name = {list->p + from, to - from};
    *list = (struct mkt_span){list->p + to, list->n - to};
    return name;
}

/* Fills tls->suite and tls->left_out. */
static enum mkt_err choose_suites(struct mkt_tls *tls, struct plan *plan, const struct mkt_tls_settings *settings)
{
    plan->small_groups = settings->profile == MKT_TLS_LEGACY;
    struct mkt_span list = settings->suites.p != NULL ? settings->suites
                                                      : mkt_span_text(plan->small_groups ? "legacy" : "modern");
    while (list.n > 0) {
        struct mkt_span name = next_name(&list);
        if (name.n > 0 && !add_name(tls, plan, name)) {
            tls->refused = name;
            return MKT_E_PROFILE;
        }
    }
    return plan->n > 0 ? MKT_OK : MKT_E_PROFILE;
}

#if MBEDTLS_VERSION_MAJOR >= 3

static void set_versions(mbedtls_ssl_config *conf, const struct plan *plan)
{
    mbedtls_ssl_conf_min_tls_version(conf, plan->tls12 ? MBEDTLS_SSL_VERSION_TLS1_2 : MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_max_tls_version(conf, plan->tls13 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_tls13_key_exchange_modes(conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
#endif
}

#else

/* 2.28 has TLS 1.2 at most, and offers weak curves, RC4 and truncated HMAC where it was built with them. */
static void set_versions(mbedtls_ssl_config *conf, const struct plan *plan)
{
    (void)plan;
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#if defined(MBEDTLS_ECP_C)
    static const mbedtls_ecp_group_id curves[] = {
        MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
        MBEDTLS_ECP_DP_SECP521R1,  MBEDTLS_ECP_DP_NONE,
    };
    mbedtls_ssl_conf_curves(conf, curves);
#endif
    mbedtls_ssl_conf_arc4_support(conf, MBEDTLS_SSL_ARC4_DISABLED);
#if defined(MBEDTLS_SSL_TRUNCATED_HMAC)
    mbedtls_ssl_conf_truncated_hmac(conf, MBEDTLS_SSL_TRUNC_HMAC_DISABLED);
#endif
}

#endif

/* What does not depend on the version of mbedTLS; its defaults are repeated where our promise rests on them. */
static void set_options(mbedtls_ssl_config *conf, const struct mkt_tls_settings *settings, const struct plan *plan)
{
    /* No CA is configured, so a certificate that turned up by whatever error would be refused. */
    mbedtls_ssl_conf_authmode(conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_legacy_renegotiation(conf, MBEDTLS_SSL_LEGACY_BREAK_HANDSHAKE);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(conf, settings->renegotiation ? MBEDTLS_SSL_RENEGOTIATION_ENABLED
                                                                 : MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
#if defined(MBEDTLS_SSL_ENCRYPT_THEN_MAC)
    mbedtls_ssl_conf_encrypt_then_mac(conf, MBEDTLS_SSL_ETM_ENABLED);
#endif
#if defined(MBEDTLS_SSL_EXTENDED_MASTER_SECRET)
    mbedtls_ssl_conf_extended_master_secret(conf, MBEDTLS_SSL_EXTENDED_MS_ENABLED);
#endif
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_CLI_C)
    mbedtls_ssl_conf_session_tickets(conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
#if defined(MBEDTLS_DHM_C) && defined(MBEDTLS_SSL_CLI_C)
    mbedtls_ssl_conf_dhm_min_bitlen(conf, plan->small_groups ? 1024 : 2048);
#endif
}

enum mkt_err mkt_tls_configure(mbedtls_ssl_config *conf, struct mkt_tls *tls, const struct mkt_tls_settings *settings)
{
    struct mkt_tls_settings own;
    *tls = (struct mkt_tls){.cause = 0};
    if (!mkt_sized_copy(&own, sizeof own, settings, MKT_UP_TO(mkt_tls_settings, suites)) ||
        (own.end != MKT_END_CLIENT && own.end != MKT_END_SERVER) ||
        (own.profile != MKT_TLS_MODERN && own.profile != MKT_TLS_LEGACY))
        return MKT_E_ARGUMENT;

    struct plan plan = {0};
    enum mkt_err err = choose_suites(tls, &plan, &own);
    if (err != MKT_OK || conf == NULL)
        return err;

    int end = own.end == MKT_END_SERVER ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
    tls->cause = mbedtls_ssl_config_defaults(conf, end, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (tls->cause != 0)
        return MKT_E_TLS;
    mbedtls_ssl_conf_ciphersuites(conf, tls->suite);
    set_versions(conf, &plan);
    set_options(conf, &own, &plan);
    return MKT_OK;
}

enum mkt_err mkt_tls_setup_psk(mbedtls_ssl_config *conf, struct mkt_tls *tls, const struct mkt_tls_settings *settings,
                               struct mkt_span psk, struct mkt_span identity)
{
    if (psk.p == NULL || identity.p == NULL || identity.n == 0 || identity.n > MKT_TLS_MAX_IDENTITY)
        return MKT_E_ARGUMENT;
    if (psk.n < LEAST_PSK || psk.n > MBEDTLS_PSK_MAX_LEN)
        return MKT_E_KEY_LENGTH;
    const enum mkt_err err = mkt_tls_configure(conf, tls, settings);
    if (err == MKT_OK)
        tls->cause = mbedtls_ssl_conf_psk(conf, psk.p, psk.n, identity.p, identity.n);
    return err == MKT_OK && tls->cause != 0 ? MKT_E_TLS : err;
}

enum mkt_err mkt_tls_setup(mbedtls_ssl_config *conf, struct mkt_tls *tls, const struct mkt_tls_settings *settings,
                           const struct mkt_csb *csb, uint8_t cs_id)
{
    uint8_t key[64], name[MKT_TLS_MAX_IDENTITY];
    struct mkt_buf tek = {key, sizeof key, 0}, identity = {name, sizeof name, 0};

    *tls = (struct mkt_tls){.cause = 0};
    enum mkt_err err = mkt_csb_psk_identity(csb, cs_id, &identity);
    err = err == MKT_OK ? mkt_csb_tek(csb, cs_id, &tek) : err;
    if (err == MKT_OK)
        err =
            mkt_tls_setup_psk(conf, tls, settings, (struct mkt_span){key, tek.n}, (struct mkt_span){name, identity.n});
    mbedtls_platform_zeroize(key, sizeof key);
    return err;
}
