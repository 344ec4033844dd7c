/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file x509.h
 * Public keys with certificates, by mbedTLS 2.28 or 3.6, in libmikeyticket-x509: the callbacks of
 * mikeyticket/public_key.h.
 *
 * @code
 * #include <mikeyticket.h>
 * #include <mikeyticket/x509.h>
 *
 * // A user with a certificate of its own, in PEM: `ca` is trusted, `kms` is the certificate of the KMS.
 * enum mkt_err public_keys_set_up(struct mkt_x509 **x509, struct mkt_public_keys *keys, struct mkt_span ca,
 *                                 struct mkt_span kms, struct mkt_span certificate, struct mkt_span private_key)
 * {
 *     struct mkt_x509_settings settings;
 *     mkt_x509_settings_init(&settings);
 *     enum mkt_err err = mkt_x509_new(x509, &settings);
 *     if (err == MKT_OK)
 *         err = mkt_x509_add_anchors(*x509, ca);
 *     if (err == MKT_OK)
 *         err = mkt_x509_add_kms(*x509, kms);
 *     if (err == MKT_OK)
 *         err = mkt_x509_add_own(*x509, certificate, private_key);
 *     mkt_public_keys_init(keys);
 *     if (err == MKT_OK)
 *         err = mkt_x509_public_keys(*x509, keys);
 *     return err; // later: mkt_x509_free(*x509)
 * }
 *
 * // The settings of a bundle that asks its KMS by these keys. `kms` has the identity of the KMS and no `psk`.
 * void settings_set_up(struct mkt_settings *settings, struct mkt_id self, const struct mkt_credential *kms,
 *                      const struct mkt_public_keys *keys)
 * {
 *     mkt_settings_init(settings, self);
 *     settings->kms = kms;
 *     settings->public_keys = keys;
 *     settings->bundle_size = MKT_CSB_SIZE_PK;
 * }
 * @endcode
 *
 * A KMS adds anchors and its own certificates. It calls mkt_x509_add_kms() and sets `kms` only if it asks another KMS.
 * All certificates and keys are given in PEM or DER.
 *
 * These checks come before the first signature is verified:
 * - X.509 version 3 in DER, of MKT_X509_MAX_CERTIFICATE octets at most, without octets after it;
 * - RSA keys, also of the CAs: a modulus of `rsa_bits` to 4,096 bits, an odd exponent from 3 to 2^64 - 1;
 * - each certificate has the name of the issuer of the one before it;
 * - keyUsage, if present: digitalSignature for a signer, keyEncipherment for an envelope;
 * - extendedKeyUsage, if present: anyExtendedKeyUsage, or the one of the settings.
 *
 * Then the chain, by mbedTLS: each certificate certifies the one before it; the last is an anchor, or an anchor
 * certifies it; CAs are CAs that may sign certificates, within their path length; signatures with SHA-256, 384 or 512.
 * Validities are compared with the clock of mkt_host, not with that of the system. An anchor that is the certificate of
 * the signer itself, and that comes alone, is trusted as it is ("pinned").
 *
 * Identities are compared with subjectAltName, octet for octet: URIs with uniformResourceIdentifier, NAIs with
 * rfc822Name. One of several names must fit. The subject and dNSName do not count, and byte strings fit no name.
 *
 * If a certificate fails one of these checks, the result is MKT_E_CHAIN, which does not tell the check. There are two
 * other results: MKT_E_BAD_VALUE if the octets are no DER, and MKT_E_NO_KEY if no certificate is of the KMS. The
 * functions of this header log nothing, and mkt_err_text() speaks of messages. So name the file in your own log. Check
 * certificates when you read them, as examples/certificates.c does.
 *
 * Threads: add everything first, then call mkt_x509_public_keys(). Several threads may then use its callbacks at once if
 * mbedTLS was built with MBEDTLS_THREADING_C, as that of Debian is: mbedTLS writes into RSA keys, under a lock of its
 * own. Else give each thread an object. Your callbacks and your `rng` run in all of these threads.
 */
#ifndef MIKEYTICKET_X509_H
#define MIKEYTICKET_X509_H

#include <mikeyticket/public_key.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most octets of a certificate. */
enum { MKT_X509_MAX_CERTIFICATE = 16384 };

/** Certificates and private keys; opaque. */
struct mkt_x509;

/** How certificates are used. A member without a remark may be zero. Pointers and spans are not copied. */
struct mkt_x509_settings {
    size_t size; /**< needed: sizeof(struct mkt_x509_settings), as mkt_x509_settings_init() sets it */
    void *user;  /**< first argument of the callbacks below, but `rng` */

    /** A random generator with the prototype of mbedTLS, such as mbedtls_ctr_drbg_random(); default: the kernel's. */
    int (*rng)(void *rng_user, unsigned char *out, size_t n);
    void *rng_user;

    unsigned rsa_bits; /**< the least modulus of all keys: 2048 to 4096; 0: 2048. 3072 is recommended with suite 256 */
    bool sha1;         /**< takes signatures with SHA-1 too, in messages of suite 128 alone: the default of RFC 3830 */
    bool send_chash;   /**< names the certificate of the KMS whose key seals an envelope (CHASH, by SHA-256) */

    /** The value of a DER object identifier, without tag and length, that extendedKeyUsage may have: for example
     *  2b 06 01 05 05 07 03 02, clientAuth. anyExtendedKeyUsage is always taken. */
    struct mkt_span extended_key_usage;

    /** Identities of other KMSs that may pass on the RESOLVE_INIT of their users (RFC 6043 section 10). Each may name
     *  any user. To limit this, wrap mkt_public_keys.verify: it has the user in mkt_signed.signer, and gives the KMS. */
    const struct mkt_id *relay;
    size_t n_relays;

    /**
     * Gives the certificates of a sender whose initial message has none: the sender's first, each one certifies the
     * one before. They are checked like those of a message. Their octets live until mkt_public_keys.verify has
     * returned, and as long as its result is used if `signer` is NULL. Default: the message is refused, MKT_E_CHAIN.
     * @param signer  IDRi or IDRr, or mkt_settings.peer; NULL: nobody is named
     * @return how many; 0: none are known
     */
    size_t (*find)(void *user, const struct mkt_id *signer, struct mkt_span certificate[MKT_MAX_CERTIFICATES]);

    /** Decides if a certificate, in DER, is of an identity. It takes the place of the comparison with subjectAltName.
     *  The certificate may be of anybody: do not trust it for more than this. */
    bool (*is_of)(void *user, const struct mkt_id *id, struct mkt_span certificate);

    /** Decides if a certificate is revoked. Called for each certificate of a chain that is trusted otherwise, except
     *  the anchor, with its issuer; both in DER. Default: none is. */
    bool (*revoked)(void *user, struct mkt_span certificate, struct mkt_span issuer);
};

/** Clears settings and sets their size. */
static inline void mkt_x509_settings_init(struct mkt_x509_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    settings->size = sizeof *settings;
}

/**
 * Makes an object without certificates. Memory is that of mbedTLS: mbedtls_calloc().
 * @param x509      out: the caller frees it with mkt_x509_free(); NULL after an error
 * @param settings  copied. What it points to must live until mkt_x509_free()
 * @return MKT_OK; MKT_E_ARGUMENT for settings out of range; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_x509_new(struct mkt_x509 **x509, const struct mkt_x509_settings *settings);

/** Wipes the private keys and frees all memory. `x509` may be NULL. */
MKT_API void mkt_x509_free(struct mkt_x509 *x509);

/**
 * Adds certificates to be trusted: CAs, or certificates of single parties ("pinned").
 * @param certificates  one in DER, or one or more in PEM; copied
 * @return MKT_OK; MKT_E_BAD_VALUE for octets that are no certificates; MKT_E_CHAIN for one that this library does not
 *         take, such as one with an RSA key of 1,024 bits; MKT_E_MEMORY. After an error the object is unchanged
 */
MKT_API MKT_MUST enum mkt_err mkt_x509_add_anchors(struct mkt_x509 *x509, struct mkt_span certificates);

/**
 * Adds the certificate of a KMS, to seal envelopes for it and to verify its Error messages. It is checked whenever it
 * is used. Of several certificates of one KMS the first one that is valid is used.
 * @param chain  in PEM the certificate, then the one that certifies it, and so on; in DER the certificate; copied
 * @return as of mkt_x509_add_anchors(); MKT_E_CHAIN also if the order is wrong, or for more than MKT_MAX_CERTIFICATES
 */
MKT_API MKT_MUST enum mkt_err mkt_x509_add_kms(struct mkt_x509 *x509, struct mkt_span chain);

/**
 * Adds an own certificate and its private key. The first one whose keyUsage allows digitalSignature signs, and is sent
 * with its chain. At a KMS the first one whose keyUsage allows keyEncipherment opens envelopes of messages without
 * CHASH; CHASH selects among all. A KMS has an object of its own for each of its identities.
 * @param chain        as for mkt_x509_add_kms()
 * @param private_key  RSA, PKCS #1 or PKCS #8, not encrypted; copied, and the caller's to wipe
 * @return as of mkt_x509_add_kms(); MKT_E_NO_KEY if the private key can't be read or is not of that certificate
 */
MKT_API MKT_MUST enum mkt_err mkt_x509_add_own(struct mkt_x509 *x509, struct mkt_span chain,
                                               struct mkt_span private_key);

/**
 * Fills in callbacks and certificates. To leave certificates out of messages, set `keys->n_certificates` to 0 then.
 * @param keys  initialised by mkt_public_keys_init(); not to be used after mkt_x509_free(). `sign` is NULL if no own
 *              certificate may sign
 * @return MKT_OK; MKT_E_ARGUMENT if the size of `keys` is too small
 */
MKT_API MKT_MUST enum mkt_err mkt_x509_public_keys(struct mkt_x509 *x509, struct mkt_public_keys *keys);

#ifdef __cplusplus
}
#endif
#endif
