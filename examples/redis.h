/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A replay cache in Redis, for the processes of several machines (RFC 3830 5.4, RFC 6043 12.4).
 *
 * A Redis that was started again, or emptied, has forgotten messages. So the first process that meets a Redis stores
 * the time there, under the run_id of that Redis. All processes refuse messages that may be older than that: their T
 * is before that time plus the skew. Messages that are taken have been in the cache from then on.
 */
#ifndef EXAMPLES_REDIS_H
#define EXAMPLES_REDIS_H

#include <mikeyticket.h>

struct redis;

/* The milliseconds that Redis has for one question, with the connection to it. */
enum { REDIS_MS = 50 };

/*
 * Opens the cache and asks Redis once; NULL after a line about what is wrong. Threads may share the cache.
 *
 * - `where` is redis://IP:PORT, with a password, or unix:PATH.
 * - `password` names a file whose first line is the password; NULL: there is none.
 * - `skew` is that of mkt_settings, in seconds.
 *
 * Redis must be a master whose maxmemory-policy is noeviction.
 */
struct redis *redis_open(const char *where, const char *password, uint32_t skew);
void redis_close(struct redis *redis);

/* Why a message is refused, and the seconds after which a new one has a chance. */
struct redis_refusal {
    const char *text;
    unsigned wait;
};

/*
 * Tells if a message is new, and remembers it if `remember` is set: mkt_host.replay and mkt_host.replay_peek. `until`
 * is the last moment at which the message is taken.
 * @return MKT_OK; MKT_E_REPLAY; MKT_E_STALE if `until` has passed; MKT_E_CACHE_FULL, with a text, if nobody can tell
 *         or remember
 */
enum mkt_err redis_look(struct redis *redis, struct mkt_span tag, mkt_ntp until, bool remember,
                        struct redis_refusal *refusal);

#endif
