/* SPDX-License-Identifier: BSD-3-Clause */
/* In the place of certificates.c in a build without libmikeyticket-x509. */
#include "certificates.h"

#include <stdio.h>

bool certificates_open(struct certificates *certificates, const struct certificate_files *files,
                       const struct mkt_id *self, const struct mkt_id *kms)
{
    (void)certificates;
    (void)self;
    fprintf(stderr, "%s: this program was built without libmikeyticket-x509: %s\n", files->cert,
            kms == NULL ? "build it with the Meson option x509, or leave --cert out"
                        : "build it with the Meson option x509, or give --psk in place of --cert");
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
