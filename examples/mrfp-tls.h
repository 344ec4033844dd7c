/* SPDX-License-Identifier: BSD-3-Clause */
/* The TLS of the MRFP, in two implementations: mrfp-mbedtls.c on mikeyticket/streams.h, and mrfp-openssl.c, which needs
   OpenSSL 3 alone. One thread uses it, and no call blocks. */
#ifndef EXAMPLES_MRFP_TLS_H
#define EXAMPLES_MRFP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;         /* all streams and what they share */
struct tls_stream;  /* a stream, with its key if that is known */
struct tls_session; /* a connection of a stream */

/* What came of a call, and when to make it again. */
enum tls_state {
    TLS_DONE,   /* handshake, octets that were read or written, close: done */
    TLS_READ,   /* again when TCP can be read */
    TLS_WRITE,  /* again when TCP can be written */
    TLS_KEY,    /* again when the stream has its key; TCP is not read until then */
    TLS_CLOSED, /* the session has ended: enum mkt_tls_state says how. Free it, after a tls_close() that is done */
    TLS_CUT,
    TLS_ALERT,
    TLS_FAILED
};

/* What is below, for the log of an operator, such as "mbedTLS 3.6.4". */
const char *tls_library(void);

/* NULL if it can't begin. */
struct tls *tls_new(void);
void tls_free(struct tls *tls);

/* Makes a stream without a key, with its role in TLS; NULL if there is no room. */
struct tls_stream *tls_stream_new(struct tls *tls, bool client);

/* Gives a stream its key, or another one for its next handshake. NULL, or else why not: it is as before then. */
const char *tls_stream_key(struct tls_stream *stream, const uint8_t *key, size_t n, const char *identity);

/* Wipes its key. Its sessions may only be closed and freed after that. It may be NULL. */
void tls_stream_free(struct tls_stream *stream);

/* Begins a session on a TCP connection, which stays the caller's; NULL if there is no room. */
struct tls_session *tls_begin(struct tls_stream *stream, int tcp);

/* TLS_DONE: the peer has proved the key of the stream. All but TLS_DONE, _READ, _WRITE and _KEY: it failed, and `why`
   says how, for people. */
enum tls_state tls_handshake(struct tls_session *session, const char **why);

/* Reads up to 16,384 octets, which is all that one record can have, so that nothing waits where epoll can't see it. */
enum { TLS_RECORD = 16384 };
enum tls_state tls_read(struct tls_session *session, uint8_t octets[TLS_RECORD], size_t *n);

/* Writes; `n` is how many octets, and how many of them were written. After TLS_WRITE, write the same octets again. */
enum tls_state tls_write(struct tls_session *session, const void *octets, size_t *n);

/* Sends close_notify, if there is a session to close: TLS_DONE, or TLS_WRITE. */
enum tls_state tls_close(struct tls_session *session);

/* It may be NULL. */
void tls_end(struct tls_session *session);

#endif
