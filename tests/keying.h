/* SPDX-License-Identifier: BSD-3-Clause */
/* How the parties of a file of whole calls are known to their KMS: what differs between rfc6043.txt and rfc6043pk.txt. */
#ifndef TESTS_KEYING_H
#define TESTS_KEYING_H

#include "player.h"

#include <mikeyticket/x509.h>

/* What a party has for one exchange with a KMS, on either side. It must not move. */
struct keyed {
    struct mkt_credential kms; /* of a party that asks */
    struct mkt_public_keys keys;
    struct mkt_x509 *x509;
    struct mkt_span drawn; /* what its random generator gives, */
    size_t next;           /* then octets that count up */
    struct mkt_id id;      /* what a KMS knows of the sender */
    struct mkt_span certificate[MKT_MAX_CERTIFICATES];
    size_t n_certificates;
};

/* The two exchanges with a KMS, as the fields of a file begin. */
enum asked { REQUEST, RESOLVE };

extern const struct keying {
    const char *file;
    const char *const *sections; /* beside the exchanges, */
    size_t n_sections;
    const char *const *others; /* and those that another suite runs */
    size_t n_others;
    void (*complete)(struct mkt_settings *settings);
    /* A party that asks, and a KMS that is asked; keyed_end() ends both. */
    void (*asks)(struct keyed *keyed, const struct vectors *all, const struct section *s, enum asked which,
                 struct mkt_settings *settings, struct player *player);
    void (*answers)(struct keyed *keyed, const struct vectors *all, const struct section *s, enum asked which,
                    struct mkt_settings *settings, struct player *player);
    void (*end)(struct keyed *keyed);
    /* The message that a party has made; if the vector is one that this library takes and does not make, the bundle goes
     * on as if it had. */
    void (*made)(const struct section *s, enum asked which, struct mkt_csb **csb, const struct mkt_host *host,
                 const struct mkt_settings *settings, struct mkt_span message);
} keying;

#endif
