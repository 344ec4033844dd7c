/* SPDX-License-Identifier: BSD-3-Clause */
/* What a KMS does with a message: makes a ticket for an Initiator, resolves one for a Responder, or refuses. */
#ifndef EXAMPLES_TICKETS_H
#define EXAMPLES_TICKETS_H

#include "rate.h"
#include "redis.h"
#include "users.h"
#include "web.h"

#include <mikeyticket/replay.h>

/* The threads share it without a lock. After the first request only the atomics of the rate change. */
struct kms {
    const char *id;
    const struct mkt_public_keys *keys; /* NULL: it takes no messages by public key */
    bool show_keys;
    uint32_t validity; /* the most seconds, from now on, that a ticket is valid for */
    struct users users;
    struct rate rate;
    uint32_t skew;       /* seconds */
    struct redis *redis; /* has the replay cache; NULL: `cache` has it */
    const struct mkt_replay *cache;
};

/* Serves a message that came by HTTP, and prints a line about it. `user` is the KMS. */
void tickets_serve(void *user, const char *requesttype, struct mkt_span in, struct outcome *outcome);

#endif
