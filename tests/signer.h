/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Public keys that a test plays. A certificate is the text "certificate of " and the identity. A signature is a hash of
 * the identity and of what is signed, an envelope is padded as RSA pads it and masked: whoever knows an identity could
 * make both, and only what the library does with them is under test.
 */
#ifndef TESTS_SIGNER_H
#define TESTS_SIGNER_H

#include "player.h"

#include <mikeyticket/public_key.h>

enum { SIGNATURE = 256, ENVELOPE = 256 };

struct signer {
    struct mkt_public_keys keys; /* user is the signer */
    struct mkt_id id;            /* whose certificate and private key it has */
    struct mkt_id relay;         /* a KMS that may ask for its users; no data: there is none */
    struct mkt_span certificate;
    bool chash;                               /* seal() gives one */
    bool knows;                               /* the certificates of all, which may be left out */
    enum mkt_err fail;                        /* what all callbacks answer */
    size_t signed_, verified, sealed, opened; /* calls; one that measures counts for nothing */
    size_t n_certificates;                    /* of the message that was verified last, */
    bool by_kms;                              /* and what it was */
};

/* It must not move. */
void signer_init(struct signer *signer, struct mkt_id id);

/* The certificate of an identity; the envelope of octets for a KMS, padded by as many octets as are left over. */
struct mkt_span certificate_of(const struct mkt_id *id);
struct mkt_span envelope_of(const struct mkt_id *kms, struct mkt_span key);

/* What `id` signs. */
struct mkt_span signature_of(const struct mkt_id *id, const struct mkt_span part[], size_t n);

#endif
