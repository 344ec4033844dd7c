/* SPDX-License-Identifier: BSD-3-Clause */
/* One end of a TLS connection of libmikeyticket-tls, with the same random octets and time each time. */
#ifndef FUZZ_END_H
#define FUZZ_END_H

#include <mikeyticket/streams.h>

/* What is different, in any combination. */
enum {
    CLIENT = 1,         /* or else it is the server */
    HIDE = 2,           /* identities that are no stream's */
    BOUND = 4,          /* the connection is known to be for stream 1; that of a client always is */
    LEGACY = 8,         /* suites of the Release 12 era */
    RENEGOTIATION = 16, /* is allowed */
    GONE = 32           /* stream 1 is taken away while hands are shaken, and there anew */
};

/* What lies between the ends, as mbedTLS calls it; nothing to receive is the end. */
struct wire {
    void *user;
    int (*send)(void *user, const unsigned char *octets, size_t n);
    int (*receive)(void *user, unsigned char *octets, size_t n);
};

extern const struct mkt_span end_psks[2], end_identities[2]; /* of streams 1 and 2 */

/* What must hold, or the fuzzer has found something. */
void end_require(bool holds);

/* Random octets, which go on from a state. */
int end_draw(void *state, unsigned char *out, size_t n);

/* How the TLS of an end is set up. */
struct mkt_tls_settings end_settings(unsigned how, enum mkt_end end);

/* A connection from handshake to end; whether it was one. */
bool end_run(unsigned how, const struct wire *wire);

#endif
