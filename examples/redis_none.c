/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands in for redis.c if there is no hiredis. */
#include "redis.h"

#include <stdio.h>

struct redis *redis_open(const char *where, const char *password, uint32_t skew)
{
    (void)where;
    (void)password;
    (void)skew;
    fprintf(stderr, "--replay: this program was built without hiredis: build it with the Meson option redis, or leave "
                    "--replay out\n");
    return NULL;
}

void redis_close(struct redis *redis)
{
    (void)redis;
}

enum mkt_err redis_look(struct redis *redis, struct mkt_span tag, mkt_ntp until, bool remember,
                        struct redis_refusal *refusal)
{
    (void)redis;
    (void)tag;
    (void)until;
    (void)remember;
    *refusal = (struct redis_refusal){"there is no hiredis", 0};
    return MKT_E_CACHE_FULL;
}
