/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file public_key.h
 * Public keys in place of the key that a party shares with its KMS: REQUEST_INIT_PK and RESOLVE_INIT_PK (RFC 6043
 * 4.2.1.3, 4.2.3.3). This library knows no certificate and no RSA. A host has four callbacks for that.
 * libmikeyticket-x509 (mikeyticket/x509.h) has them with mbedTLS; a host with an HSM may have its own.
 *
 * - An Initiator or a Responder needs `sign` and `seal`. It needs `verify` to take signed Error messages.
 * - A KMS needs `verify` and `open`. It needs `sign` to sign Error messages.
 * - A KMS that passes RESOLVE_INITs on by certificate needs `sign` and `seal`, too.
 *
 * The sender of an initial message signs it, and seals an envelope key for the KMS (PKE): a random key of the suite's
 * length, which protects the answer as a pre-shared key would. The KMS verifies the signature, and opens the envelope.
 */
#ifndef MIKEYTICKET_PUBLIC_KEY_H
#define MIKEYTICKET_PUBLIC_KEY_H

#include <mikeyticket/derive.h>
#include <mikeyticket/error.h>
#include <mikeyticket/payload.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most CERT payloads of a message, and the most octets of a signature and of an envelope: RSA of 4,096 bits. */
enum { MKT_MAX_CERTIFICATES = 4, MKT_MAX_RSA = 512 };

/**
 * A signature that came, and what it must be of. All views live for the call. Later versions may add members at the
 * end: only the library makes it.
 *
 * An initial message is signed with two identities (RFC 6043 table 5.2): `octets`, then the data of the signer's
 * identity, then the data of `kms`, without anything between them. The signer's identity is `signer`. If that is NULL,
 * it is the one that `verify` reads in the certificate. An Error message is signed alone: `octets`.
 */
struct mkt_signed {
    enum mkt_suite suite;        /**< of the message: its hash is SHA-256 with both. A host may also take SHA-1 with
                                      MKT_SUITE_128 (mkt_x509_settings.sha1) */
    bool by_kms;                 /**< an Error message of the KMS `kms`; false: an initial message to this KMS */
    const struct mkt_id *signer; /**< IDRi or IDRr, or else mkt_settings.peer; NULL: it is for the certificate to say */
    const struct mkt_id *kms;    /**< the KMS: the receiver of an initial message, the signer of an Error message */
    struct mkt_span certificate[MKT_MAX_CERTIFICATES]; /**< X.509 in DER, in the order of the CERT payloads */
    size_t n_certificates;                             /**< 0: left out; the host knows them */
    const struct mkt_chash *chash; /**< of the certificate of the KMS whose key sealed the envelope; NULL: none. With an
                                        Error message it is that of the initial message */
    struct mkt_span envelope;      /**< of an initial message: only its length may be looked at */
    uint64_t now;                  /**< NTP, by the clock of the host: for validities */
    uint8_t s_type;                /**< 0: RSASSA-PKCS1-v1_5; 1: RSASSA-PSS (RFC 3830 6.5) */
    struct mkt_span octets;        /**< the message up to its signature */
    struct mkt_span signature;
};

/** Who signed. */
struct mkt_signer {
    struct mkt_id
        id;       /**< of the certificate that signed; views `signer`, a certificate of the message, or the host's */
    bool vouches; /**< it is a KMS that may ask for its users (RFC 6043 section 10), one of whom `signer` is: taken in
                       Ticket Resolve alone */
};

/** How a party signs, verifies, seals and opens. */
struct mkt_public_keys {
    size_t size; /**< needed: sizeof(struct mkt_public_keys), as mkt_public_keys_init() sets it */
    void *user;  /**< first argument of each callback */

    /** Certificates to send, X.509 in DER, that of the signer first; each one certifies the one before. */
    const struct mkt_span *certificate;
    size_t n_certificates; /**< up to MKT_MAX_CERTIFICATES; 0: the receiver knows them */

    /**
     * Signs octets, by RSASSA-PKCS1-v1_5 with SHA-256. Needed by all but a KMS; a KMS without it sends Error messages
     * without signature.
     * @param signature  the signature is appended; with `p` NULL, `n` grows by its length, and nothing is signed
     */
    enum mkt_err (*sign)(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature);

    /**
     * Verifies a signature, and that the certificates of its key are to be trusted for the identity. Needed by a KMS;
     * another party without it takes no signed Error message.
     * Order: CHASH; length of the envelope; sizes; chain; identity; signature. So nothing costly is done for strangers.
     *
     * A chain that a general library verifies is not enough. Check also:
     * - the validities by `now`, not by the clock of the system;
     * - keyUsage, if present: digitalSignature for the signer;
     * - extendedKeyUsage, if present;
     * - the identity, octet for octet, in subjectAltName.
     *
     * MKT_E_CHAIN stands for all of these. Write the cause into a log of your own: the library can't know it.
     * @param signer  out: the identity of the certificate. It is `message->signer` if there is one and nobody vouches
     * @return MKT_OK
     *   - MKT_E_HASH, MKT_E_WRONG_CERTIFICATE: CHASH is of another hash function, or of no certificate of this KMS
     *   - MKT_E_BAD_VALUE: the envelope has not the length that the key has; a certificate is no DER
     *   - MKT_E_CHAIN: the certificates are not to be trusted, or not for that identity, or there are none
     *   - MKT_E_SIGNATURE
     *   - another error of the host
     */
    enum mkt_err (*verify)(void *user, const struct mkt_signed *message, struct mkt_signer *signer);

    /**
     * Seals an envelope key for a KMS, whose certificate must be trusted for that identity: the envelope is all that
     * authenticates the KMS. Needed by all but a KMS.
     * @param kms       IDRkms
     * @param now       as in struct mkt_signed
     * @param envelope  RSAES-PKCS1-v1_5 of the key is appended; with `p` NULL, `n` grows by its length
     * @param chash     32 octets, SHA-256 of the certificate, are appended; or nothing: CHASH is left out
     * @return MKT_OK; MKT_E_NO_KEY: no certificate of that KMS; MKT_E_CHAIN; another error of the host
     */
    enum mkt_err (*seal)(void *user, const struct mkt_id *kms, uint64_t now, struct mkt_span key,
                         struct mkt_buf *envelope, struct mkt_buf *chash);

    /**
     * Opens an envelope. A KMS needs it. Tell nobody if the envelope opens: neither by the result, nor by time or log.
     * A party that can learn this can open envelopes of others (Bleichenbacher's attack).
     *
     * Do not let an HSM remove the padding if it reports wrong padding as an error, as CKM_RSA_PKCS of PKCS #11 does.
     * Let it compute the number alone, such as by CKM_RSA_X_509 or RSA_NO_PADDING of OpenSSL. Then check the padding
     * and select the key here, in constant time. If the HSM refuses a number because it is not less than the modulus,
     * that is wrong padding, too.
     * @param chash  as in struct mkt_signed; `verify` has taken it
     * @param key    in: random octets, as many as a key has; out: the envelope key, by a constant-time select, if the
     *               padding is right and the key has that length; else unchanged
     * @return MKT_OK, whatever the envelope is; another error only for what does not depend on it
     */
    enum mkt_err (*open)(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                         size_t key_length);
};

/** Clears callbacks and sets their size. */
static inline void mkt_public_keys_init(struct mkt_public_keys *keys)
{
    memset(keys, 0, sizeof *keys);
    keys->size = sizeof *keys;
}

#ifdef __cplusplus
}
#endif
#endif
