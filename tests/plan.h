/* SPDX-License-Identifier: BSD-3-Clause */
/* What two descriptions make of a connection, as a line of text to compare. */
#ifndef TESTS_PLAN_H
#define TESTS_PLAN_H

#include <mikeyticket/connection.h>

#include <stdio.h>
#include <string.h>

static inline void plan_add(char *line, size_t n, const char *before, struct mkt_span word)
{
    size_t used = strlen(line);
    snprintf(line + used, n - used, "%s%.*s", before, word.n == 0 ? 1 : (int)word.n,
             word.n == 0 ? "-" : (const char *)word.p);
}

/* An offer and its answer as texts, and the exchange before it. */
struct texts {
    struct mkt_span offer, answer;
    bool offerer;
    bool ended;                 /* its connection is gone when the next exchange comes */
    const struct texts *before; /* NULL: it is the first one */
};

static inline enum mkt_err decide(const struct texts *now, const struct mkt_sdp_kept *before, bool ended, size_t media,
                                  struct mkt_connection *connection, struct mkt_sdp_kept *kept)
{
    struct mkt_sdp offer, answer;
    const struct mkt_sdp_exchange exchange = {
        .size = sizeof exchange, .offerer = now->offerer, .ended = ended, .offer = &offer, .answer = &answer};
    enum mkt_err err = mkt_sdp_parse(&offer, now->offer);
    err = err == MKT_OK ? mkt_sdp_parse(&answer, now->answer) : err;
    return err == MKT_OK ? mkt_connection_decide(&exchange, before, media, connection, kept) : err;
}

/* What is kept after an exchange and those before it; nothing, where it came to none. */
static inline struct mkt_sdp_kept kept_of(const struct texts *exchange, size_t media)
{
    struct mkt_sdp_kept kept = {{0}};
    struct mkt_connection c;
    if (exchange == NULL)
        return kept;
    kept = kept_of(exchange->before, media);
    const bool ended = exchange->before != NULL && exchange->before->ended;
    (void)!decide(exchange, &kept, ended, media, &c, &kept);
    return kept;
}

/*
 * Such as "connect IP4 192.0.2.1 2855, TLS client, msrp OWN/PEER, key new, replaces" or "keep, bfcp, key same" or
 * "MKT_E_ROLE"; in the buffer.
 */
static inline const char *plan(char *line, size_t n, const struct texts *now, const struct texts *before, size_t media)
{
    struct mkt_connection c = {.media = SIZE_MAX};
    struct mkt_sdp_kept kept = kept_of(before, media);
    enum mkt_err err = decide(now, &kept, before != NULL && before->ended, media, &c, &kept);
    if (err != MKT_OK) {
        snprintf(line, n, "%s%s", mkt_err_name(err), c.media == SIZE_MAX ? "" : ", and changed");
        return line;
    }
    snprintf(line, n, "%s%s", c.media == media ? "" : "section? ", mkt_action_name(c.action));
    if (c.port != 0) {
        char port[8];
        snprintf(port, sizeof port, "%u", c.port);
        plan_add(line, n, " ", c.addrtype);
        plan_add(line, n, " ", c.address);
        plan_add(line, n, " ", mkt_span_text(port));
    }
    if (c.tls != MKT_END_NONE)
        plan_add(line, n, ", TLS ", mkt_span_text(c.tls == MKT_END_CLIENT ? "client" : "server"));
    plan_add(line, n, ", ", mkt_span_text(c.stream == MKT_STREAM_MSRP ? "msrp" : "bfcp"));
    if (c.session.n > 0 || c.peer.n > 0) {
        plan_add(line, n, " ", c.session);
        plan_add(line, n, "/", c.peer);
    }
    plan_add(line, n, ", key ",
             mkt_span_text(c.keying == MKT_KEYING_NEW    ? "new"
                           : c.keying == MKT_KEYING_SAME ? "same"
                                                         : "none"));
    if (c.replaces)
        plan_add(line, n, ", ", mkt_span_text("replaces"));
    return line;
}

#endif
