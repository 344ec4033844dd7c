/* SPDX-License-Identifier: BSD-3-Clause */
/* derive: the MIKEY PRFs, and one table of what is derived with them. */
#ifndef MKT_DERIVE_H
#define MKT_DERIVE_H

#include "crypto.h"

#include <mikeyticket/derive.h>

/* The algorithms of a suite. */
struct mkt_algorithms {
    uint8_t prf, mac_alg, encr_alg;
    enum mkt_hash hash;   /* of the PRF and of the MAC */
    size_t key, auth_key; /* octets of keys and RANDs by default, and of an auth_key */
};

enum { MKT_SALT_LENGTH = 14, MKT_MIN_KEY = 16, MKT_MAX_TEK = 64 };

const struct mkt_algorithms *mkt_suite_algorithms(enum mkt_suite suite);

/* The suite of a PRF func: MKT_E_PRF for one that no suite has. */
MKT_MUST enum mkt_err mkt_suite_of_prf(unsigned prf, enum mkt_suite *suite);

/*
 * The inkey of a PRF, of which any number of keys is derived: a view of it, and its first 256 bits as an HMAC key. It
 * is a secret: mkt_wipe() it, whatever mkt_prf_key() answered.
 */
struct mkt_prf {
    struct mkt_span inkey;
    struct mkt_hmac s_1;
};

MKT_MUST enum mkt_err mkt_prf_key(struct mkt_prf *prf, enum mkt_suite suite, struct mkt_span inkey);

/* PRF(inkey, label) of RFC 3830 4.1.2, the label in parts (at most 8); after an error `out` holds zeros. */
MKT_MUST enum mkt_err mkt_prf(const struct mkt_prf *prf, const struct mkt_span label[], size_t parts, uint8_t *out,
                              size_t n);

/* All that is ever derived: the rows of the table in derive.c. */
enum mkt_derivation {
    MKT_DERIVE_FORKED_MPKR,
    MKT_DERIVE_FORKED_TGK,
    MKT_DERIVE_INITIAL_AUTH,
    MKT_DERIVE_INITIAL_ENCR,
    MKT_DERIVE_INITIAL_SALT,
    MKT_DERIVE_RESPONSE_AUTH,
    MKT_DERIVE_RESPONSE_ENCR,
    MKT_DERIVE_RESPONSE_SALT,
    MKT_DERIVE_TEK,
    MKT_DERIVE_AUTH,
    MKT_DERIVE_ENCR,
    MKT_DERIVE_SALT,
    MKT_DERIVE_VR_AUTH,
    MKT_DERIVE_TPK_AUTH,
    MKT_DERIVE_TPK_ENCR,
    MKT_DERIVE_TPK_SALT,
    MKT_DERIVE_MPKI,
    MKT_DERIVE_MPKR
};

/* What the label of a row takes from an exchange; a row reads the fields that it names and no others. */
struct mkt_label {
    uint32_t csb_id;              /* INITIAL, RESPONSE */
    uint8_t cs_id;                /* TEK, AUTH, ENCR, SALT_KEY */
    struct mkt_span randi, randr; /* INITIAL, RESPONSE, TEK, AUTH, ENCR, SALT_KEY */
    struct mkt_span id, randkms;  /* FORK */
    struct mkt_span rand;         /* TPK, MPKI, MPKR */
};

/* One of them; after an error `out` holds zeros. */
MKT_MUST enum mkt_err mkt_derive_by(const struct mkt_prf *prf, enum mkt_derivation what, const struct mkt_label *label,
                                    uint8_t *out, size_t n);

/* The same of an inkey of which nothing else is derived. */
MKT_MUST enum mkt_err mkt_derive(enum mkt_suite suite, enum mkt_derivation what, struct mkt_span inkey,
                                 const struct mkt_label *label, uint8_t *out, size_t n);

#endif
