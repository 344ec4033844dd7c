/* SPDX-License-Identifier: BSD-3-Clause */
/* protect: the MAC of a message or ticket and the encryption of its KEMAC, with keys derived for them alone. */
#ifndef MKT_PROTECT_H
#define MKT_PROTECT_H

#include "derive.h"

/* Where auth_key, encr_key and salt_key come from; a view of a secret that its holder wipes. */
struct mkt_protection {
    enum mkt_suite suite;
    struct mkt_span key;    /* pre-shared key, MPKi, MPKr, or TPK */
    struct mkt_label label; /* MKT_PURPOSE_INITIAL, MKT_PURPOSE_RESPONSE, MKT_PURPOSE_TICKET or MKT_PURPOSE_VR */
};

/* What a KEMAC encrypts (RFC 3830 4.2.3): `in` becomes `out`, which may be the same octets. `t` is the timestamp of the
 * message or ticket that carries it, padded to 64 bits (design decision D4). */
struct mkt_encryption {
    uint32_t csb_id;
    uint64_t t;
    struct mkt_span in;
    uint8_t *out;
};

/* Encrypts if `encryption` is not NULL, then makes the MAC over all parts; `mac` gets the octets of the suite's MAC.
 * After an error what was to be encrypted is zeros. */
MKT_MUST enum mkt_err mkt_protect_seal(const struct mkt_protection *protection, const struct mkt_encryption *encryption,
                                       const struct mkt_span parts[], size_t n, uint8_t *mac);

/* If `mac` is the MAC over all parts, decrypts what there may be; else MKT_E_MAC. After an error `out` holds zeros. */
MKT_MUST enum mkt_err mkt_protect_open(const struct mkt_protection *protection, const struct mkt_encryption *encryption,
                                       const struct mkt_span parts[], size_t n, struct mkt_span mac);

#endif
