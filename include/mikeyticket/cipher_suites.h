/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file cipher_suites.h
 * Names of the cipher suites of TLS with pre-shared keys. They need no TLS library, so a signalling server can check
 * the list in its configuration file:
 *
 * @code
 * #include <mikeyticket.h>
 *
 * // Returns true if mkt_tls_choose() of libmikeyticket-tls takes this name in a list.
 * bool is_right(const char *name)
 * {
 *     return mkt_cipher_suite_allowed(mkt_cipher_suite_number(mkt_span_text(name)));
 * }
 * @endcode
 *
 * Known are all suites with PSK of RFC 4279, 4785, 5487, 5489, 6209, 6367, 6655, 7905 and 8442, and those of RFC 8446.
 */
#ifndef MIKEYTICKET_CIPHER_SUITES_H
#define MIKEYTICKET_CIPHER_SUITES_H

#include <mikeyticket/span.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Finds a cipher suite by its name, in upper or lower case. Each suite has several names:
 * - IANA: TLS_DHE_PSK_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256;
 * - OpenSSL: DHE-PSK-AES128-GCM-SHA256, TLS_AES_128_GCM_SHA256;
 * - mbedTLS: TLS-DHE-PSK-WITH-AES-128-GCM-SHA256, TLS1-3-AES-128-GCM-SHA256;
 * - GnuTLS: TLS_DHE_PSK_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256.
 *
 * A suite of TLS 1.3 needs its "TLS": AES128-GCM-SHA256 is a suite with certificates.
 * @return the number of the IANA registry; 0 if the name is not known
 */
MKT_API int mkt_cipher_suite_number(struct mkt_span name);

/** Returns the IANA name of a cipher suite, static; NULL if the number is not known. */
MKT_API const char *mkt_cipher_suite_name(int number);

/**
 * Returns true if libmikeyticket-tls uses a cipher suite, provided that its mbedTLS has it. False for suites
 * - that are not known;
 * - that also need a certificate (RSA_PSK);
 * - that do not encrypt (NULL), or encrypt with RC4 or 3DES;
 * - of TLS 1.3 with another hash than SHA-256, the hash of an external PSK (RFC 8446 4.2.11).
 */
MKT_API bool mkt_cipher_suite_allowed(int number);

#ifdef __cplusplus
}
#endif
#endif
