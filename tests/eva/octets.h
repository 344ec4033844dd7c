/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gives DRIVER any octets: LEAST to MOST of them, after PREFIX. Each length is looked at by itself, and the octets end
 * where their array does: a read behind the last is a read behind the array.
 */
#include <mikeyticket/span.h>

#include "__fc_builtin.h"

#include <string.h>

#ifndef PREFIX
#define PREFIX ""
#endif

/* Room for `cap` octets that ends where its array does; or none, to measure. */
#ifndef ROOM
#define ROOM 24
#endif
#define ANY_ROOM(out)                                                                                                  \
    uint8_t room[ROOM];                                                                                                \
    const size_t cap = (size_t)Frama_C_interval_split(0, ROOM);                                                        \
    struct mkt_buf out = {Frama_C_interval_split(0, 1) != 0 ? room + ROOM - cap : NULL, cap, 0}

static void DRIVER(struct mkt_span in);

void eva(void)
{
    enum { FIXED = sizeof PREFIX - 1, ALL = FIXED + MOST };
    uint8_t octets[ALL];
    size_t n = (size_t)Frama_C_interval(LEAST, MOST);
    //@ split n;
    const size_t from = MOST - n;
    //@ loop unroll FIXED;
    for (size_t i = 0; i < FIXED; i++)
        octets[from + i] = (uint8_t)PREFIX[i];
    //@ loop unroll MOST;
    for (size_t i = 0; i < n; i++)
        octets[from + FIXED + i] = (uint8_t)Frama_C_interval(0, UINT8_MAX);
    DRIVER((struct mkt_span){octets + from, FIXED + n});
}
