/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS with the TEK as pre-shared key. All that differs between mbedTLS 2.28 and 3.6 is in the two #if below. */

#include <mikeyticket/tls.h>

#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>

#include <string.h>

/* Under this many octets a key is refused everywhere in the library (design decision D2). */
enum { LEAST_PSK = 16 };

/* TS 33.210 6.2. mbedTLS chooses by the order of the server. */
static const char *const modern[] = {
    "TLS1-3-AES-128-GCM-SHA256",
    "TLS1-3-CHACHA20-POLY1305-SHA256",
    "TLS-ECDHE-PSK-WITH-AES-256-GCM-SHA384",
    "TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
    "TLS-DHE-PSK-WITH-AES-256-GCM-SHA384",
    "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256",
    NULL,
};

static const char *const legacy[] = {
    "TLS-ECDHE-PSK-WITH-AES-256-GCM-SHA384",
    "TLS-ECDHE-PSK-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
    "TLS-DHE-PSK-WITH-AES-256-GCM-SHA384",
    "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-PSK-WITH-AES-256-CBC-SHA384",
    "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
    "TLS-ECDHE-PSK-WITH-AES-256-CBC-SHA",
    "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA",
    "TLS-DHE-PSK-WITH-AES-256-CBC-SHA384",
    "TLS-DHE-PSK-WITH-AES-128-CBC-SHA256",
    "TLS-DHE-PSK-WITH-AES-256-CBC-SHA",
    "TLS-DHE-PSK-WITH-AES-128-CBC-SHA",
    "TLS-PSK-WITH-AES-256-GCM-SHA384",
    "TLS-PSK-WITH-AES-128-GCM-SHA256",
    "TLS-PSK-WITH-AES-256-CBC-SHA384",
    "TLS-PSK-WITH-AES-128-CBC-SHA256",
    "TLS-PSK-WITH-AES-256-CBC-SHA",
    "TLS-PSK-WITH-AES-128-CBC-SHA",
    NULL,
};

/* The versions that a list of suites is for. */
struct versions {
    bool tls12, tls13;
};

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* The name tells all that matters of a suite, in mbedTLS 2.28 as in 3.6, where the struct of a suite is private. */
static bool is_tls13(const char *name)
{
    return begins(name, "TLS1-3-");
}

/* Whether a suite proves the PSK and nothing else, and encrypts. TLS-RSA-PSK has a certificate, so it is not here. An
 * external PSK of TLS 1.3 belongs to one hash, SHA-256 where nothing else is agreed on (RFC 8446 4.2.11). */
static bool is_ours(const char *name)
{
    if (is_tls13(name))
        return ends(name, "-SHA256");
    if (strstr(name, "-WITH-NULL-") != NULL)
        return false;
    return begins(name, "TLS-PSK-WITH-") || begins(name, "TLS-DHE-PSK-WITH-") || begins(name, "TLS-ECDHE-PSK-WITH-");
}

/* The number of a suite; 0 where this build can't do it: mbedTLS knows names of suites that it no longer lists. */
static int number_of(const char *name)
{
    int number = mbedtls_ssl_get_ciphersuite_id(name);
    for (const int *listed = mbedtls_ssl_list_ciphersuites(); *listed != 0; listed++) {
        if (*listed == number)
            return number;
    }
    return 0;
}

/* Fills tls->suite and says which versions it needs. */
static enum mkt_err choose_suites(struct mkt_tls *tls, const struct mkt_tls_settings *settings,
                                  struct versions *versions)
{
    bool own = settings->suites != NULL;
    const char *const *names = own ? settings->suites : settings->profile == MKT_TLS_LEGACY ? legacy : modern;
    size_t n = 0;

    for (; *names != NULL; names++) {
        int number = is_ours(*names) ? number_of(*names) : 0;
        if (number == 0 && !own)
            continue;
        if (number == 0) {
            tls->refused = *names;
            return MKT_E_PROFILE;
        }
        if (n == MKT_TLS_MAX_SUITES)
            return MKT_E_ARGUMENT;
        tls->suite[n++] = number;
        if (is_tls13(*names))
            versions->tls13 = true;
        else
            versions->tls12 = true;
    }
    return n > 0 ? MKT_OK : MKT_E_PROFILE;
}

#if MBEDTLS_VERSION_MAJOR >= 3

static void set_versions(mbedtls_ssl_config *conf, struct versions versions)
{
    mbedtls_ssl_conf_min_tls_version(conf, versions.tls12 ? MBEDTLS_SSL_VERSION_TLS1_2 : MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_max_tls_version(conf, versions.tls13 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_tls13_key_exchange_modes(conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
#endif
}

#else

/* 2.28 has TLS 1.2 at most, and offers weak curves, compression, RC4 and truncated HMAC where it was built with them.
 */
static void set_versions(mbedtls_ssl_config *conf, struct versions versions)
{
    (void)versions;
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
static void set_options(mbedtls_ssl_config *conf, const struct mkt_tls_settings *settings)
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
    mbedtls_ssl_conf_dhm_min_bitlen(conf, settings->profile == MKT_TLS_LEGACY ? 1024 : 2048);
#endif
}

/* Keeps mbedTLS's own error for the caller. */
static enum mkt_err from_mbedtls(struct mkt_tls *tls, int cause)
{
    tls->cause = cause;
    return cause == 0 ? MKT_OK : MKT_E_TLS;
}

enum mkt_err mkt_tls_setup_psk(mbedtls_ssl_config *conf, struct mkt_tls *tls, const struct mkt_tls_settings *settings,
                               struct mkt_span psk, struct mkt_span identity)
{
    if (conf == NULL || tls == NULL || settings == NULL)
        return MKT_E_ARGUMENT;
    *tls = (struct mkt_tls){{0}, NULL, 0};
    if (settings->end != MKT_END_CLIENT && settings->end != MKT_END_SERVER)
        return MKT_E_ARGUMENT;
    if (settings->profile != MKT_TLS_MODERN && settings->profile != MKT_TLS_LEGACY)
        return MKT_E_ARGUMENT;
    if (psk.p == NULL || identity.p == NULL || identity.n == 0 || identity.n > MKT_TLS_MAX_IDENTITY)
        return MKT_E_ARGUMENT;
    if (psk.n < LEAST_PSK || psk.n > MBEDTLS_PSK_MAX_LEN)
        return MKT_E_KEY_LENGTH;

    struct versions versions = {false, false};
    enum mkt_err err = choose_suites(tls, settings, &versions);
    if (err != MKT_OK)
        return err;

    int end = settings->end == MKT_END_SERVER ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
    err = from_mbedtls(
        tls, mbedtls_ssl_config_defaults(conf, end, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
    if (err != MKT_OK)
        return err;
    mbedtls_ssl_conf_ciphersuites(conf, tls->suite);
    set_versions(conf, versions);
    set_options(conf, settings);
    return from_mbedtls(tls, mbedtls_ssl_conf_psk(conf, psk.p, psk.n, identity.p, identity.n));
}

enum mkt_err mkt_tls_setup(mbedtls_ssl_config *conf, struct mkt_tls *tls, const struct mkt_tls_settings *settings,
                           const struct mkt_csb *csb, uint8_t cs_id)
{
    uint8_t key[64], name[MKT_TLS_MAX_IDENTITY];
    struct mkt_buf tek = {key, sizeof key, 0}, identity = {name, sizeof name, 0};

    if (tls != NULL)
        *tls = (struct mkt_tls){{0}, NULL, 0};
    enum mkt_err err = csb == NULL ? MKT_E_ARGUMENT : mkt_csb_psk_identity(csb, cs_id, &identity);
    if (err == MKT_OK)
        err = mkt_csb_tek(csb, cs_id, &tek);
    if (err == MKT_OK)
        err =
            mkt_tls_setup_psk(conf, tls, settings, (struct mkt_span){key, tek.n}, (struct mkt_span){name, identity.n});
    mbedtls_platform_zeroize(key, sizeof key);
    return err;
}
