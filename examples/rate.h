/* SPDX-License-Identifier: BSD-3-Clause */
/* How many messages of each user are served in a minute (RFC 6043 12.3). */
#ifndef EXAMPLES_RATE_H
#define EXAMPLES_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate {
    int64_t interval;      /* nanoseconds in which one message more is served */
    _Atomic int64_t *paid; /* of each user: the moment when the messages served so far no longer count */
};

/* Begins to count: each user may send that many messages at once, and as many more in each minute. False if there is no
   memory. */
bool rate_open(struct rate *rate, unsigned long per_minute, size_t users);
void rate_close(struct rate *rate);

/* Returns the seconds until the next message of a user may be served; 0: it may be now. */
unsigned rate_wait(const struct rate *rate, size_t user);

/* Counts a message of a user that is served. */
void rate_count(const struct rate *rate, size_t user);

/* Returns the most messages of one user that can be served in any period of that many seconds. */
uint64_t rate_most(unsigned long per_minute, unsigned seconds);

#endif
