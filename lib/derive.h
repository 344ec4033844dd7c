/* SPDX-License-Identifier: BSD-3-Clause */
/* derive: the MIKEY PRFs, and all that is derived with them. */
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

/* The inkey of a PRF, from which any number of keys is derived: a view of it, and its first 256 bits as an HMAC key. It
 * is a secret: mkt_wipe() it, whatever mkt_prf_key() answered. */
struct mkt_prf {
    struct mkt_span inkey;
    struct mkt_hmac s_1;
};

MKT_MUST enum mkt_err mkt_prf_key(struct mkt_prf *prf, enum mkt_suite suite, struct mkt_span inkey);

/* PRF(inkey, label) of RFC 3830 4.1.2, the label in parts (at most 8); after an error `out` holds zeros. */
MKT_MUST enum mkt_err mkt_prf(const struct mkt_prf *prf, const struct mkt_span label[], size_t parts, uint8_t *out,
                              size_t n);

/* All that is ever derived: the constants that labels begin with. */
enum mkt_derivation {
    /* RFC 6043 table 5.1; MKT_PURPOSE_FORK */
    MKT_DERIVE_FORKED_MPKR = 0x2B288856,
    MKT_DERIVE_FORKED_TGK = 0x1512B54A,
    /* RFC 3830 table 4.1.4; MKT_PURPOSE_INITIAL, _RESPONSE, _TICKET, and _VR (auth_key alone) */
    MKT_DERIVE_AUTH_KEY = 0x2D22AC75,
    MKT_DERIVE_ENCR_KEY = 0x150533E1,
    MKT_DERIVE_SALT_KEY = 0x29B88916,
    /* RFC 3830 table 4.1.3, keys from a TGK or GTGK; MKT_PURPOSE_TRAFFIC */
    MKT_DERIVE_TEK = 0x2AD01C64,
    MKT_DERIVE_TRAFFIC_AUTH = 0x1B5C7973,
    MKT_DERIVE_TRAFFIC_ENCR = 0x15798CEF,
    MKT_DERIVE_TRAFFIC_SALT = 0x39A2C14B,
    /* RFC 6043 table A.1; MKT_PURPOSE_MPK */
    MKT_DERIVE_MPKI = 0x220E99A2,
    MKT_DERIVE_MPKR = 0x1F4D675B
};

/* What keys are derived for: the number in a label. It tells the section of RFC 6043, and the values of the label. */
enum mkt_purpose {
    MKT_PURPOSE_FORK = 0x00,     /* 5.1.1, key forking */
    MKT_PURPOSE_INITIAL = 0x01,  /* 5.1.2, initial messages */
    MKT_PURPOSE_RESPONSE = 0x02, /* 5.1.2, response messages */
    MKT_PURPOSE_TRAFFIC = 0x03,  /* 5.1.3, crypto sessions */
    MKT_PURPOSE_VR = 0x04,       /* 6.10, the Vr of Initiator Data */
    MKT_PURPOSE_TICKET = 0x05,   /* A.2.1, tickets */
    MKT_PURPOSE_MPK = 0x06       /* A.2.2, MPKi and MPKr */
};

/* What a label takes from an exchange: the fields of its phase and no others. */
struct mkt_label {
    enum mkt_purpose purpose;
    uint32_t csb_id;              /* INITIAL, RESPONSE */
    uint8_t cs_id;                /* TRAFFIC */
    struct mkt_span randi, randr; /* INITIAL, RESPONSE, TRAFFIC */
    struct mkt_span id, randkms;  /* FORK */
    struct mkt_span rand;         /* TICKET, MPK */
};

/* One of them; after an error `out` holds zeros. */
MKT_MUST enum mkt_err mkt_derive_by(const struct mkt_prf *prf, enum mkt_derivation what, const struct mkt_label *label,
                                    uint8_t *out, size_t n);

/* The same of an inkey of which nothing else is derived. */
MKT_MUST enum mkt_err mkt_derive(enum mkt_suite suite, enum mkt_derivation what, struct mkt_span inkey,
                                 const struct mkt_label *label, uint8_t *out, size_t n);

#endif
