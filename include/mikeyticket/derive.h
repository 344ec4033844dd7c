/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file derive.h
 * Keys for the media from a TGK or GTGK (RFC 6043 5.1.3). A bundle does this for you: mkt_csb_tek().
 */
#ifndef MIKEYTICKET_DERIVE_H
#define MIKEYTICKET_DERIVE_H

#include <mikeyticket/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The two sets of algorithms, never mixed (RFC 6043 12.1, design decision D1). */
enum mkt_suite {
    MKT_SUITE_256 = 0, /**< PRF-HMAC-SHA-256, AES-CM-256, HMAC-SHA-256-256; keys of 32 octets */
    MKT_SUITE_128 = 1  /**< MIKEY-1, AES-CM-128, HMAC-SHA-1-160; keys of 16 octets */
};

/** What can be derived from a TGK or GTGK (RFC 3830 table 4.1.3). */
enum mkt_traffic_key { MKT_TRAFFIC_TEK, MKT_TRAFFIC_AUTH, MKT_TRAFFIC_ENCR, MKT_TRAFFIC_SALT };

/**
 * Derives a key of a crypto session.
 * @param suite  whose PRF the HDR names
 * @param which  the key wanted
 * @param tgk    the TGK, the forked TGK or the GTGK: at least 16 octets, with suite 128 exactly 16 (12.1)
 * @param cs_id  of the crypto session
 * @param randi  RANDRi, up to 255 octets; empty where the H flag is not set
 * @param randr  RANDRr, up to 255 octets; empty where the G flag is not set. One of the two must be there.
 * @param out    room of the caller's for the key, who wipes it
 * @param n      how many octets are wanted: 1 to 64; of a TEK with suite 128 at most 16 (12.1)
 * @return MKT_OK; MKT_E_ARGUMENT; MKT_E_CRYPTO. After an error `out` holds zeros.
 */
MKT_API MKT_MUST enum mkt_err mkt_derive_traffic(enum mkt_suite suite, enum mkt_traffic_key which, struct mkt_span tgk,
                                                 uint8_t cs_id, struct mkt_span randi, struct mkt_span randr,
                                                 uint8_t *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
