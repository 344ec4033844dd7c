/* SPDX-License-Identifier: BSD-3-Clause */
/* The stream of a call: our description of it, and what the MRFP does. */
#ifndef KAMAILIO_STREAM_H
#define KAMAILIO_STREAM_H

#include "table.h"

/* Finds the stream that we take: the first one of MSRP or BFCP over TLS. */
enum mkt_err stream_choose(struct mkt_sdp *offer, size_t *media, enum mkt_stream *medium);

/* Writes our description into outcome.sdp: an offer, or the answer to `offer` (RFC 3264 section 6), which has our one
   stream. With `setup` ABSENT there is none: all sections are refused. `line` is our a=key-mgmt line. */
enum mkt_err stream_describe(const struct call *call, struct mkt_sdp *offer, enum mkt_setup setup, str line);
struct mkt_span stream_described(void);

/* A command to the MRFP about the stream: `verb NAME words`, and if `keyed` its identity and key, then the address to
   connect to. */
enum mkt_err stream_command(struct call *call, const char *verb, const char *words, bool keyed, const char *address);
/* Has the MRFP await the peer: with its key, or without until the answer to our offer is here. */
enum mkt_err stream_await(struct call *call, enum mkt_end tls, bool keyed);
/* Has the MRFP connect. It decides which addresses it connects to. */
enum mkt_err stream_connect(struct call *call, const struct mkt_connection *to, struct mkt_sdp *ours,
                            struct mkt_sdp *theirs);
/* Our answer, and the stream that it makes. */
enum mkt_err stream_answer(struct call *call, struct mkt_sdp *offer);

#endif
