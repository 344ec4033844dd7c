/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS with the TEK as pre-shared key. All that differs between mbedTLS 2.28 and 3.6 is in the one #if below. */

#include <mikeyticket/tls.h>

#include "sized.h"

#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>

#include <string.h>

/* Under this many octets a key is refused everywhere in the library (design decision D2). */
enum { LEAST_PSK = 16 };

/* The profiles, as lists of names in order of preference. A server of mbedTLS chooses by its own order in TLS 1.2, and by
 * that of the client in TLS 1.3. RFC 8446; RFC 8442, 7905 and 5487: AEAD with forward secrecy; RFC 5489, 5487 and 4279. */
#define AEAD                                                                                                           \
    "ECDHE-PSK-AES256-GCM-SHA384 ECDHE-PSK-AES128-GCM-SHA256 ECDHE-PSK-CHACHA20-POLY1305 "                             \
    "DHE-PSK-AES256-GCM-SHA384 DHE-PSK-AES128-GCM-SHA256 "
static const char modern[] = "TLS_AES_128_GCM_SHA256 TLS_CHACHA20_POLY1305_SHA256 " AEAD;
static const char legacy[] =
    AEAD "ECDHE-PSK-AES256-CBC-SHA384 ECDHE-PSK-AES128-CBC-SHA256 ECDHE-PSK-AES256-CBC-SHA ECDHE-PSK-AES128-CBC-SHA "
         "DHE-PSK-AES256-CBC-SHA384 DHE-PSK-AES128-CBC-SHA256 DHE-PSK-AES256-CBC-SHA DHE-PSK-AES128-CBC-SHA "
         "PSK-AES256-GCM-SHA384 PSK-AES128-GCM-SHA256 PSK-AES256-CBC-SHA384 PSK-AES128-CBC-SHA256 "
         "PSK-AES256-CBC-SHA PSK-AES128-CBC-SHA";

/* mbedTLS makes these lists without a lock when they are first asked for: so that is done before there are threads. */
__attribute__((constructor)) static void make_lists(void)
{
    (void)mbedtls_ssl_list_ciphersuites();
#if defined(MBEDTLS_ECP_C)
    (void)mbedtls_ecp_grp_id_list();
#endif
}

/* Adds a suite to the list, or to what is left out, if it is in neither; false if it may not be used. */
static bool add_suite(struct mkt_tls *tls, struct mkt_span name)
{
    const int number = mkt_cipher_suite_number(name), *listed = mbedtls_ssl_list_ciphersuites();
    while (*listed != 0 && *listed != number) /* mbedTLS knows names of suites that it no longer lists */
        listed++;
    int *list = *listed != 0 ? tls->suite : tls->left_out;
    size_t n = 0;
    while (list[n] != 0 && list[n] != number)
        n++;
    if (n == MKT_TLS_MAX_SUITES || !mkt_cipher_suite_allowed(number))
        return false;
    if (!tls->no_dhe_psk || strstr(mkt_cipher_suite_name(number), "_DHE_") == NULL)
        list[n] = number;
    return true;
}

/* Cuts the next name off the front of a list; it is empty if there is none. */
static struct mkt_span next_name(struct mkt_span *list)
{
    struct mkt_span name = {list->p, 0};
    for (; list->n > 0; list->p++, list->n--) {
        if (*list->p == '\0' || strchr(":, \t\r\n", *list->p) == NULL)
            name.n++;
        else if (name.n > 0)
            break;
        else
            name.p = list->p + 1;
    }
    return name;
}

/* Fills tls->suite and tls->left_out. */
static enum mkt_err choose_suites(struct mkt_tls *tls, struct mkt_span list)
{
    for (struct mkt_span name; (name = next_name(&list)).n > 0;) {
        const bool is_legacy = mkt_span_equal(name, mkt_span_text("legacy"));
        const bool is_modern = mkt_span_equal(name, mkt_span_text("modern"));
        struct mkt_span names = is_legacy ? mkt_span_text(legacy) : is_modern ? mkt_span_text(modern) : name;
        tls->small_groups |= is_legacy;
        while ((tls->refused = next_name(&names)).n > 0)
            if (!add_suite(tls, tls->refused))
                return MKT_E_PROFILE;
    }
    return tls->suite[0] != 0 ? MKT_OK : MKT_E_PROFILE;
}

#if MBEDTLS_VERSION_MAJOR >= 3

static void set_versions(mbedtls_ssl_config *conf, const struct mkt_tls *tls)
{
    bool tls12 = false, tls13 = false;
    for (const int *suite = tls->suite; *suite != 0; suite++) {
        tls13 |= *suite >> 8 == 0x13;
        tls12 |= *suite >> 8 != 0x13;
    }
    mbedtls_ssl_conf_min_tls_version(conf, tls12 ? MBEDTLS_SSL_VERSION_TLS1_2 : MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_max_tls_version(conf, tls13 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_tls13_key_exchange_modes(conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
#endif
}

#else

/* 2.28 has TLS 1.2 at most, and offers weak curves, RC4 and truncated HMAC where it was built with them. */
static void set_versions(mbedtls_ssl_config *conf, const struct mkt_tls *tls)
{
    (void)tls;
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
static void set_options(mbedtls_ssl_config *conf, const struct mkt_tls *tls)
{
    /* No CA is configured, so a certificate that turned up by whatever error would be refused. */
    mbedtls_ssl_conf_authmode(conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_legacy_renegotiation(conf, MBEDTLS_SSL_LEGACY_BREAK_HANDSHAKE);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(conf, tls->renegotiation ? MBEDTLS_SSL_RENEGOTIATION_ENABLED
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
    mbedtls_ssl_conf_dhm_min_bitlen(conf, tls->small_groups ? 1024 : 2048);
#endif
}

enum mkt_err mkt_tls_choose(struct mkt_tls *tls, const struct mkt_tls_settings *settings)
{
    struct mkt_tls_settings own;
    *tls = (struct mkt_tls){.end = MKT_END_NONE};
    if (!mkt_sized_copy(&own, sizeof own, settings, MKT_UP_TO(mkt_tls_settings, suites)) ||
        (own.end != MKT_END_CLIENT && own.end != MKT_END_SERVER) ||
        (own.profile != MKT_TLS_MODERN && own.profile != MKT_TLS_LEGACY))
        return MKT_E_ARGUMENT;
    tls->small_groups = own.profile == MKT_TLS_LEGACY;
    tls->renegotiation = own.renegotiation;
    tls->no_dhe_psk = own.no_dhe_psk;
    const struct mkt_span profile = mkt_span_text(tls->small_groups ? legacy : modern);
    const enum mkt_err err = choose_suites(tls, own.suites.p != NULL ? own.suites : profile);
    tls->end = err == MKT_OK ? own.end : MKT_END_NONE;
    return err;
}

enum mkt_err mkt_tls_configure(mbedtls_ssl_config *conf, const struct mkt_tls *tls, int *cause)
{
    if (tls->end == MKT_END_NONE)
        return MKT_E_ARGUMENT;
    const int end = tls->end == MKT_END_SERVER ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
    *cause = mbedtls_ssl_config_defaults(conf, end, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (*cause != 0)
        return MKT_E_TLS;
    mbedtls_ssl_conf_ciphersuites(conf, tls->suite);
    set_versions(conf, tls);
    set_options(conf, tls);
    return MKT_OK;
}

enum mkt_err mkt_tls_setup_psk(mbedtls_ssl_config *conf, const struct mkt_tls *tls, struct mkt_span psk,
                               struct mkt_span identity, int *cause)
{
    if (psk.p == NULL || identity.p == NULL || identity.n == 0 || identity.n > MKT_TLS_MAX_IDENTITY)
        return MKT_E_ARGUMENT;
    if (psk.n < LEAST_PSK || psk.n > MBEDTLS_PSK_MAX_LEN)
        return MKT_E_KEY_LENGTH;
    const enum mkt_err err = mkt_tls_configure(conf, tls, cause);
    if (err == MKT_OK)
        *cause = mbedtls_ssl_conf_psk(conf, psk.p, psk.n, identity.p, identity.n);
    return err == MKT_OK && *cause != 0 ? MKT_E_TLS : err;
}

enum mkt_err mkt_tls_setup(mbedtls_ssl_config *conf, const struct mkt_tls *tls, const struct mkt_csb *csb,
                           uint8_t cs_id, int *cause)
{
    uint8_t key[64], name[MKT_TLS_MAX_IDENTITY];
    struct mkt_buf tek = {key, sizeof key, 0}, identity = {name, sizeof name, 0};

    enum mkt_err err = mkt_csb_psk_identity(csb, cs_id, &identity);
    err = err == MKT_OK ? mkt_csb_tek(csb, cs_id, &tek) : err;
    if (err == MKT_OK)
        err = mkt_tls_setup_psk(conf, tls, (struct mkt_span){key, tek.n}, (struct mkt_span){name, identity.n}, cause);
    mbedtls_platform_zeroize(key, sizeof key);
    return err;
}
