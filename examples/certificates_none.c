/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes the place of certificates.c in a build without libmikeyticket-x509. */
#include "certificates.h"

#include <stdio.h>

bool certificates_open(struct certificates *certificates, const struct certificate_files *files,
                       const struct mkt_id *self, const struct mkt_id *kms)
{
    (void)certificates;
    (void)files;
    (void)self;
    fprintf(stderr,
            "--cert: this program was built without libmikeyticket-x509: build it with the Meson option x509, %s\n",
            kms == NULL ? "or leave --cert out" : "or give --psk in place of --cert");
    return false;
}

void certificates_close(struct certificates *certificates)
{
    (void)certificates;
}

bool certificates_show(struct mkt_span der, void (*serial)(void *user, struct mkt_span octets),
                       void (*name)(void *user, const char *kind, struct mkt_span text), void *user)
{
    (void)der;
    (void)serial;
    (void)name;
    (void)user;
    return false;
}
