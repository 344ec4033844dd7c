/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as what the peer of a TLS connection sends, the first of them saying which connection. A stream is given
 * to a connection and ended once, and stays where it was when the handshake fails.
 */
#include "end.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int drop(void *user, const unsigned char *octets, size_t n)
{
    (void)user;
    (void)octets;
    return (int)n;
}

static int receive(void *user, unsigned char *octets, size_t n)
{
    struct mkt_span *rest = user;
    if (n > rest->n)
        n = rest->n;
    if (n > 0)
        memcpy(octets, rest->p, n);
    *rest = (struct mkt_span){rest->p + n, rest->n - n};
    return (int)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct mkt_span rest = {data + 1, size - 1};
    const struct wire wire = {&rest, drop, receive};
    (void)end_run(data[0], &wire);
    return 0;
}
