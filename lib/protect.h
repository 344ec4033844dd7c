/* SPDX-License-Identifier: BSD-3-Clause */
/* protect: the MAC of a message or ticket and the encryption of its KEMAC, with keys derived for them alone. */
#ifndef MKT_PROTECT_H
#define MKT_PROTECT_H

#include "derive.h"

/* Which label the keys are derived with. */
enum mkt_phase {
    MKT_PHASE_INITIAL,  /* RFC 6043 5.1.2, initial messages */
    MKT_PHASE_RESPONSE, /* RFC 6043 5.1.2, response messages */
    MKT_PHASE_TICKET,   /* RFC 6043 A.2.1 */
    MKT_PHASE_VR        /* RFC 6043 6.10, Initiator Data: the MAC alone, there is no KEMAC */
};

/* Where auth_key, encr_key and salt_key come from; a view of a secret that its holder wipes. */
struct mkt_protection {
    enum mkt_suite suite;
    enum mkt_phase phase;
    struct mkt_span key; /* pre-shared key, MPKi, MPKr, or TPK */
    struct mkt_label label;
};

/* The MAC over all parts; `mac` gets the octets of the suite's MAC. */
MKT_MUST enum mkt_err mkt_protect_mac(const struct mkt_protection *protection, const struct mkt_span parts[], size_t n,
                                      uint8_t *mac);

/* MKT_OK where `mac` is the MAC over all parts, else MKT_E_MAC; or MKT_E_CRYPTO. */
MKT_MUST enum mkt_err mkt_protect_verify(const struct mkt_protection *protection, const struct mkt_span parts[],
                                         size_t n, struct mkt_span mac);

/*
 * Encrypts or decrypts the data of a KEMAC (RFC 3830 4.2.3); `t` is the timestamp of the message or ticket that carries
 * it, padded to 64 bits (design decision D4).
 * `out` has room for in.n octets; after an error it holds zeros.
 */
MKT_MUST enum mkt_err mkt_protect_kemac(const struct mkt_protection *protection, uint32_t csb_id, uint64_t t,
                                        struct mkt_span in, uint8_t *out);

#endif
