/* SPDX-License-Identifier: BSD-3-Clause */
/* What the MRFP says on a stream: MSRP (RFC 4975) and BFCP (RFC 8855). Octets in, octets out. */
#ifndef EXAMPLES_MEDIA_H
#define EXAMPLES_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEDIA_ROOM = 16384 };

/* Octets that wait to be sent. No key is among them. */
struct octets {
    uint8_t *p;
    size_t n, cap;
};

/* Appends octets; false if there is no memory. */
bool octets_add(struct octets *octets, const void *p, size_t n);
/* Takes octets off the front. */
void octets_drop(struct octets *octets, size_t n);

/* One end of a session. All but the first three members begin with zero. */
struct media {
    const char *name;        /* of the stream, for the log */
    bool bfcp;               /* else MSRP */
    const char *own_path;    /* MSRP: what To-Path must be; NULL: any, as the key tells the session */
    char in[MEDIA_ROOM + 1]; /* a message that has not come as a whole, then a NUL */
    size_t n;                /* octets in it */
    size_t dropped;          /* MSRP: octets of the body that `in` has no room for */
    size_t skip;             /* BFCP: octets to come that belong to the last message */
};

/* Takes what came and appends what is to be sent. False: the peer breaks the protocol, or there is no memory. */
bool media_take(struct media *media, const uint8_t *octets, size_t n, struct octets *out);

/* Appends the SEND without content with which the active end of MSRP begins (RFC 4975 5.4). */
bool media_begin(const struct media *media, const char *peer_path, struct octets *out);

#endif
