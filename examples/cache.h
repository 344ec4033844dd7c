/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of a replay cache: of this process alone, or a file that outlives it and that other processes may
 * share. */
#ifndef EXAMPLES_CACHE_H
#define EXAMPLES_CACHE_H

#include <mikeyticket/replay.h>

struct cache {
    struct mkt_replay replay; /* its table is NULL while the cache is closed */
    size_t octets;            /* of the memory */
    uint32_t skew;            /* seconds */
    int fd;                   /* of the file, whose lock says that it is in use; -1: there is no file */
};

/*
 * Makes a cache for a number of messages, or opens the one that the file holds. `file` NULL: there is no file. `skew` is
 * that of mkt_settings, in seconds. Returns
 * false after one line about what is wrong. A file is refused if
 *
 * - it is a symbolic link or no regular file, another user owns it, or others may read or write it: whoever can write
 *   it can make the KMS forget, and whoever can cut it off can end the KMS;
 * - it is not a cache of that many messages, or it is damaged. With `anew` a new file takes its place, after a line
 *   that says so, unless another process uses it.
 */
bool cache_open(struct cache *cache, const char *file, size_t messages, uint32_t skew, bool anew);

/* Frees the memory; the file stays. A cache that was not opened is fine. */
void cache_close(struct cache *cache);

#endif
