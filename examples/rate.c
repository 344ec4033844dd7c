/* SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "rate.h"

#include <stdlib.h>
#include <time.h>

static const int64_t second = 1000000000, minute = 60000000000;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * second + t.tv_nsec;
}

bool rate_open(struct rate *rate, unsigned long per_minute, size_t users)
{
    const int64_t long_ago = now() - minute;
    *rate = (struct rate){minute / (int64_t)per_minute, calloc(users + 1, sizeof *rate->paid)};
    for (size_t i = 0; rate->paid != NULL && i < users; i++)
        atomic_init(&rate->paid[i], long_ago);
    return rate->paid != NULL;
}

void rate_close(struct rate *rate)
{
    free(rate->paid);
    rate->paid = NULL;
}

unsigned rate_wait(const struct rate *rate, size_t user)
{
    const int64_t over = atomic_load(&rate->paid[user]) + rate->interval - minute - now();
    return over <= 0 ? 0 : (unsigned)((over + second - 1) / second);
}

void rate_count(const struct rate *rate, size_t user)
{
    int64_t paid = atomic_load(&rate->paid[user]), next;
    do {
        const int64_t at = now();
        next = (paid > at ? paid : at) + rate->interval;
    } while (!atomic_compare_exchange_weak(&rate->paid[user], &paid, next));
}

uint64_t rate_most(unsigned long per_minute, unsigned seconds)
{
    return per_minute + (uint64_t)per_minute * seconds / 60;
}
