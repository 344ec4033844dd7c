/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file tls.h
 * The TEK of a crypto session as pre-shared key of TLS with mbedTLS 2.28 or 3.6 (3GPP TS 23.333 5.20.2), in
 * libmikeyticket-tls. Sockets, contexts and the handshake are the caller's:
 *
 * @code
 * #include <mbedtls/ctr_drbg.h>
 * #include <mbedtls/entropy.h>
 * #include <mikeyticket/tls.h>
 *
 * struct connection {
 *     mbedtls_entropy_context entropy;
 *     mbedtls_ctr_drbg_context drbg;
 *     mbedtls_ssl_config conf;
 *     mbedtls_ssl_context ssl;
 *     struct mkt_tls tls; // may be shared by all connections of one role
 *     int cause;
 *     enum mkt_err err;
 * };
 *
 * // Returns true if the handshake can begin, after mbedtls_ssl_set_bio(). `csb` may be freed then.
 * bool connection_set_up(struct connection *c, const struct mkt_csb *csb)
 * {
 *     struct mkt_tls_settings settings;
 *     mkt_tls_settings_init(&settings, MKT_END_CLIENT);
 *     mbedtls_entropy_init(&c->entropy);
 *     mbedtls_ctr_drbg_init(&c->drbg);
 *     mbedtls_ssl_config_init(&c->conf);
 *     mbedtls_ssl_init(&c->ssl);
 *     if (mbedtls_ctr_drbg_seed(&c->drbg, mbedtls_entropy_func, &c->entropy, NULL, 0) != 0)
 *         return false;
 *     mbedtls_ssl_conf_rng(&c->conf, mbedtls_ctr_drbg_random, &c->drbg);
 *     c->err = mkt_tls_choose(&c->tls, &settings);
 *     if (c->err == MKT_OK)
 *         c->err = mkt_tls_setup(&c->conf, &c->tls, csb, 1, &c->cause);
 *     return c->err == MKT_OK && mbedtls_ssl_setup(&c->ssl, &c->conf) == 0;
 * }
 * @endcode
 *
 * That is one stream, one configuration: mbedTLS keeps a client's key and identity in the mbedtls_ssl_config, 3.6 too. A
 * server can have one configuration for all streams, if a callback finds the key of an identity. That is what
 * mikeyticket/streams.h does, for media servers with many streams. All configurations can share one struct mkt_tls.
 *
 * What a configuration set up here does and does not do, over what the list of cipher suites says:
 * - TLS 1.2 or 1.3, nothing older; streams, not datagrams; each end proves the key, never a certificate;
 * - offers encrypt-then-MAC (RFC 7366) and extended master secret (RFC 7627), which mbedTLS can't require;
 * - no truncated HMAC, no session tickets, no early data; no compression, unless mbedTLS 2.28 was built with it
 *   (MBEDTLS_ZLIB_SUPPORT): it can't be turned off then;
 * - TLS 1.3 with psk_dhe_ke alone, never psk_ke (RFC 8446 4.2.9);
 * - TLS 1.2 only with a peer that has the renegotiation indication of RFC 5746: all others break the handshake, whether
 *   renegotiation is wanted or not (RFC 5746 4.1, 4.3).
 *
 * Alerts of a TLS server whose client does not prove the key:
 * - another identity: unknown_psk_identity in TLS 1.2 (RFC 4279 section 2), missing_extension in TLS 1.3;
 * - the right identity with another key: bad_record_mac in TLS 1.2, decrypt_error in TLS 1.3 (RFC 8446 4.2.11).
 */
#ifndef MIKEYTICKET_TLS_H
#define MIKEYTICKET_TLS_H

#include <mikeyticket/cipher_suites.h>
#include <mikeyticket/csb.h>
#include <mikeyticket/sdp.h>

#include <mbedtls/ssl.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Lists of cipher suites that have a name, in order of preference. What this build of mbedTLS lacks is left out. */
enum mkt_tls_profile {
    /**
     * AEAD with forward secrecy (TS 33.210 6.2): TLS 1.3 with AES-128-GCM and CHACHA20-POLY1305, both with SHA-256 as
     * external keys demand (RFC 8446 4.2.11); of TLS 1.2 ECDHE-PSK with AES-GCM (RFC 8442, in no mbedTLS so far) and
     * CHACHA20-POLY1305 (RFC 7905), DHE-PSK with AES-GCM (RFC 5487). Diffie-Hellman groups of 2048 bits or more.
     *
     * One key then serves TLS 1.2 or TLS 1.3, whichever the peer has. Where that should not be (RFC 9258 section 7),
     * give a list of suites of one version.
     */
    MKT_TLS_MODERN,

    /**
     * For peers of the Release 12 era: TLS 1.2 alone. Those of MKT_TLS_MODERN first, so that two that can do better
     * will, then AES-CBC with ECDHE-PSK (RFC 5489) and DHE-PSK, then AES-GCM and AES-CBC with plain PSK (RFC 4279, RFC
     * 5487), which has no forward secrecy: who learns the key later can read the stream. Groups of 1024 bits or more.
     */
    MKT_TLS_LEGACY
};

/** What a TLS configuration should be. Zero is right for all that has no remark. */
struct mkt_tls_settings {
    size_t size;                  /**< needed: sizeof(struct mkt_tls_settings), as mkt_tls_settings_init() sets it */
    enum mkt_end end;             /**< needed: TLS client or server, mkt_roles.tls; it may differ from the TCP role */
    enum mkt_tls_profile profile; /**< MKT_TLS_MODERN */

    /**
     * Lets the peer renegotiate, and this end with mbedtls_ssl_renegotiate(), always by RFC 5746. Off by default: the
     * peer is answered no_renegotiation. TLS 1.3 has none.
     */
    bool renegotiation;

    /**
     * Leaves out the suites of TLS 1.2 with DHE-PSK, whatever the list says. In TLS 1.2 a server does its part of the
     * Diffie-Hellman exchange before the client has proved anything. DHE-PSK with mbedTLS's group of 2048 bits costs
     * about ten times the CPU time of ECDHE-PSK. In TLS 1.3 the client proves the key first.
     */
    bool no_dhe_psk;

    /**
     * A list of the caller's own in place of the profile, as an operator writes it into a configuration file: names in
     * order of preference with `:`, `,` or blanks between them. A name is "modern" or "legacy", for all suites of that
     * profile, or the name of a suite: that of IANA, OpenSSL, mbedTLS or GnuTLS, as mkt_cipher_suite_number() finds it.
     * - What is there twice counts once.
     * - TLS 1.3 is offered if the list has a suite of TLS 1.3, TLS 1.2 if it has one of TLS 1.2.
     * - Groups are those of `profile`, and those of MKT_TLS_LEGACY if the list names "legacy".
     * - `p` NULL: the suites of `profile`.
     */
    struct mkt_span suites;
};

/** Clears settings, and sets their size and the end: MKT_END_CLIENT or MKT_END_SERVER. */
static inline void mkt_tls_settings_init(struct mkt_tls_settings *settings, enum mkt_end end)
{
    memset(settings, 0, sizeof *settings);
    settings->size = sizeof *settings;
    settings->end = end;
}

/** Room for the suites of a list, and the most octets of an identity. */
enum { MKT_TLS_MAX_SUITES = 64, MKT_TLS_MAX_IDENTITY = 1024 };

/**
 * The choice of cipher suites that configurations share; mkt_tls_choose() fills it. Configurations point into it, so it
 * stays where it is, and as it is, until mbedtls_ssl_config_free() of the last. Any number of threads may use it at the
 * same time. Nothing in it is secret and there is nothing to free.
 */
struct mkt_tls {
    int suite[MKT_TLS_MAX_SUITES + 1];    /**< numbers of the IANA registry, then 0 */
    int left_out[MKT_TLS_MAX_SUITES + 1]; /**< those of the list that this build of mbedTLS lacks, then 0 */
    struct mkt_span refused;              /**< after MKT_E_PROFILE: the name in the caller's list at fault */
    enum mkt_end end;                     /**< of the settings; MKT_END_NONE after an error */
    bool renegotiation;                   /**< of the settings */
    bool small_groups;                    /**< groups of 1024 bits are allowed, as MKT_TLS_LEGACY has them */
    bool no_dhe_psk;                      /**< of the settings */
    uint8_t reserved[33];                 /**< zeros */
};

/**
 * Chooses cipher suites and versions by settings. A program that starts checks its configuration file with it.
 * @param tls       out: the choice. It needs no initialisation.
 * @param settings  not needed afterwards, except for the octets of `suites` if `tls->refused` is read
 * @return
 * - MKT_OK;
 * - MKT_E_ARGUMENT for settings out of range;
 * - MKT_E_PROFILE, and `tls->refused` is a name within `suites` that no configuration can have. If
 *   mkt_cipher_suite_number() finds the name, the suite is refused: see mkt_cipher_suite_allowed(). If not, the name is
 *   not known;
 * - MKT_E_PROFILE, and `tls->refused` is empty: no suite is left.
 */
MKT_API MKT_MUST enum mkt_err mkt_tls_choose(struct mkt_tls *tls, const struct mkt_tls_settings *settings);

/**
 * Sets up a configuration, except its key. mkt_tls_setup() and mkt_tls_setup_psk() call it.
 * @param conf   fresh from mbedtls_ssl_config_init()
 * @param tls    filled by mkt_tls_choose(); outlives `conf`
 * @param cause  out: after MKT_E_TLS the error code of mbedTLS
 * @return MKT_OK; MKT_E_ARGUMENT if mkt_tls_choose() failed; MKT_E_TLS
 */
MKT_API MKT_MUST enum mkt_err mkt_tls_configure(mbedtls_ssl_config *conf, const struct mkt_tls *tls, int *cause);

/**
 * Sets a configuration up for the stream of a crypto session: its PSK is the TEK, its identity the one of
 * mkt_csb_psk_identity(). One stream, one configuration. mbedTLS makes copies of key and identity, which
 * mbedtls_ssl_config_free() wipes; ours are wiped before this returns, so that the bundle may be freed as well.
 *
 * Where mbedTLS 3 may negotiate TLS 1.3 it uses PSA, and calls psa_crypto_init() in the handshake by itself. A program
 * with threads, and one whose mbedTLS has MBEDTLS_USE_PSA_CRYPTO, calls it once beforehand.
 *
 * @param conf   fresh from mbedtls_ssl_config_init(). The caller gives it a random generator with
 *               mbedtls_ssl_conf_rng(), before or after this, and frees it whatever this returns. After an error it
 *               is good for nothing else.
 * @param tls    as for mkt_tls_configure()
 * @param csb    ready (mkt_csb_ready()); not needed afterwards
 * @param cs_id  the CS ID of the crypto session, or MKT_FIRST_CS
 * @param cause  as for mkt_tls_configure()
 * @return MKT_OK; MKT_E_ARGUMENT: see mkt_tls_configure(); MKT_E_STATE before the bundle is ready; MKT_E_NO_SESSION;
 *         MKT_E_KEY_LENGTH for a TEK of more than MBEDTLS_PSK_MAX_LEN octets (2.28: 32, 3.6: 48; see
 *         mkt_settings.tek_length); MKT_E_BUFFER for an identity of more than MKT_TLS_MAX_IDENTITY octets;
 *         MKT_E_CRYPTO; MKT_E_TLS
 */
MKT_API MKT_MUST enum mkt_err mkt_tls_setup(mbedtls_ssl_config *conf, const struct mkt_tls *tls,
                                            const struct mkt_csb *csb, uint8_t cs_id, int *cause);

/**
 * The same for a key that came another way, as an MRFP has it from its MRFC.
 * @param conf      as for mkt_tls_setup()
 * @param tls       as for mkt_tls_configure()
 * @param psk       the key, from 16 to MBEDTLS_PSK_MAX_LEN octets; copied, and the caller's to wipe
 * @param identity  the identity, from 1 to MKT_TLS_MAX_IDENTITY octets, UTF-8 (RFC 4279 5.1); copied
 * @param cause     as for mkt_tls_configure()
 * @return MKT_OK; MKT_E_ARGUMENT for an identity out of range, and see mkt_tls_configure(); MKT_E_KEY_LENGTH; MKT_E_TLS
 */
MKT_API MKT_MUST enum mkt_err mkt_tls_setup_psk(mbedtls_ssl_config *conf, const struct mkt_tls *tls,
                                                struct mkt_span psk, struct mkt_span identity, int *cause);

#ifdef __cplusplus
}
#endif
#endif
