/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates in place of the key that a user shares with its KMS, from the files that the command line names. In a
   build without libmikeyticket-x509, the functions are those of certificates_none.c, which tell the user so. */
#ifndef EXAMPLES_CERTIFICATES_H
#define EXAMPLES_CERTIFICATES_H

#include <mikeyticket.h>

/* Files in PEM or DER. NULL: the option is not there. */
struct certificate_files {
    const char *cert; /* of this party, then the certificate that certifies it, and so on */
    const char *key;  /* its private key */
    const char *ca;   /* the CAs that it trusts: a user for its KMS, a KMS for its users */
    const char *kms;  /* the certificate of the KMS that a user asks */
};

struct mkt_x509;

struct certificates {
    struct mkt_x509 *x509;
    struct mkt_public_keys keys;
};

/*
 * Reads and checks the files. Returns false after a mistake, which gets one line on standard error. There is one
 * exception: if the certificate of a user has expired, or is of another identity, it returns true after that line. The
 * KMS decides about it, by its own clock. The caller closes the certificates in each case.
 * self: the identity of this party. kms: the KMS that it asks; NULL: this party is a KMS.
 */
bool certificates_open(struct certificates *certificates, const struct certificate_files *files,
                       const struct mkt_id *self, const struct mkt_id *kms);

/* Wipes the private key. Zeros are fine. */
void certificates_close(struct certificates *certificates);

/* Calls `serial` with the serial number of a certificate in DER, then `name` with each subjectAltName. Returns false if
   mbedTLS can't read the certificate. */
bool certificates_show(struct mkt_span der, void (*serial)(void *user, struct mkt_span octets),
                       void (*name)(void *user, const char *kind, struct mkt_span text), void *user);

#endif
