/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates in place of the key that a user shares with its KMS, from the files that the command line names. In a
   build without libmikeyticket-x509, certificates_none.c has these functions: it says that they are not there. */
#ifndef EXAMPLES_CERTIFICATES_H
#define EXAMPLES_CERTIFICATES_H

#include <mikeyticket.h>

/* Files in PEM or DER. NULL: the option is not there. */
struct certificate_files {
    const char *cert; /* of this party, then the certificate that certifies it, and so on */
    const char *key;  /* its private key */
    const char *ca;   /* whom this party trusts: a user for the KMS, a KMS for its users */
    const char *kms;  /* the certificate of the KMS that a user asks */
};

struct mkt_x509;

struct certificates {
    struct mkt_x509 *x509;
    struct mkt_public_keys keys;
};

/*
 * Reads the files. What is wrong gets one line on standard error, and then it returns false. Only if the certificate of
 * a user has expired, or is of another identity, it returns true after that line: the KMS decides, by its own clock.
 * The caller closes it in each case.
 * self: whose certificate it is. kms: the KMS that is asked; NULL: this party is a KMS.
 */
bool certificates_open(struct certificates *certificates, const struct certificate_files *files,
                       const struct mkt_id *self, const struct mkt_id *kms);

/* Wipes the private key. Zeros are fine. */
void certificates_close(struct certificates *certificates);

/* Shows the serial number of a certificate in DER, and each subjectAltName: `serial` is called once, `name` for each.
   Returns false if mbedTLS can't read it. */
bool certificates_show(struct mkt_span der, void (*serial)(void *user, struct mkt_span octets),
                       void (*name)(void *user, const char *kind, struct mkt_span text), void *user);

#endif
