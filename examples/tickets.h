/* SPDX-License-Identifier: BSD-3-Clause */
/* What a KMS does with a message: makes a ticket for an Initiator, resolves one for a Responder, or refuses. */
#ifndef EXAMPLES_TICKETS_H
#define EXAMPLES_TICKETS_H

#include "users.h"
#include "web.h"

/* All of it is only read once the first request is served: the threads share it without a lock. */
struct kms {
    const char *id;
    bool show_keys;
    struct users users;
    struct mkt_host host;
};

/* The callbacks of the library; `kms` gets them. */
struct mkt_host tickets_host(struct kms *kms, const struct mkt_replay *cache);

/* Serves a message that came by HTTP, and prints a line about it. `user` is the KMS. */
void tickets_serve(void *user, const char *requesttype, struct mkt_span in, struct outcome *outcome);

#endif
