/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file replay.h
 * A replay cache (RFC 3830 5.4, RFC 6043 12.4) for mkt_host.cache, in memory of the caller's. All processes that the
 * memory is shared between (MAP_SHARED, shm_open) and all their threads may ask it at once. There is no lock in it. A
 * process that is stopped or killed during a call does not block the others, and no entry is lost.
 *
 * A message is known by its tag, which is its MAC. A full cache refuses messages rather than forget one.
 */
#ifndef MIKEYTICKET_REPLAY_H
#define MIKEYTICKET_REPLAY_H

#include <mikeyticket/error.h>
#include <mikeyticket/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What the memory of a cache holds; opaque, without pointers in it. */
struct mkt_replay_table;

/**
 * A cache, as one process sees it. mkt_replay_new() or mkt_replay_open() fills it in; it may be copied. Keep it in
 * memory that no other process can write. Then a process that damages the shared memory can make messages be refused,
 * or taken twice, but it can't make an access go beyond that memory. There is nothing to free.
 */
struct mkt_replay {
    struct mkt_replay_table *table; /**< the memory */
    size_t n_buckets;               /**< as many as the memory has room for */
};

/**
 * Returns the octets of a cache that holds that many messages at once: 48 for each, and some more. Count the messages
 * that are accepted in twice the skew (mkt_settings.skew), as a timestamp may be that much ahead of the clock. By
 * default that is 600 s.
 *
 * A message has its place in two buckets of 16, which its tag picks. So the cache can refuse a message before it is
 * full. With MACs as tags this happens less than once in 10^15 messages, if the cache holds no more than
 * `messages`. It never happens with up to 32. It begins at about one and a half times `messages`.
 * @return the octets; 0 if they exceed SIZE_MAX
 */
MKT_API size_t mkt_replay_size(size_t messages);

/**
 * Makes an empty cache, before anybody else has the memory. What was in it is forgotten and could be replayed: after a
 * restart rather open the cache, if its memory is still there, or take no messages for twice the skew (RFC 3830 5.4).
 * @param cache   out: points to the memory and lives as long; after an error its table is NULL
 * @param memory  aligned as malloc() and mmap() return it; it may be NULL: MKT_E_ARGUMENT
 * @param n       its octets, mkt_replay_size() or more; all are used, except less than a bucket at the end
 * @return MKT_OK; MKT_E_ARGUMENT if the memory is NULL, misaligned or less than mkt_replay_size(1)
 */
MKT_API MKT_MUST enum mkt_err mkt_replay_new(struct mkt_replay *cache, void *memory, size_t n);

/**
 * Finds the cache that another process made in the same memory, at whatever address it is mapped here. Damage is found
 * if it would make the cache useless: a wrong head, or a time that is later than any message could have.
 * @param cache   out: as of mkt_replay_new()
 * @param memory  as for mkt_replay_new(); it may be NULL: MKT_E_ARGUMENT
 * @param n       as it was for mkt_replay_new()
 * @param now     the clock
 * @param skew    seconds that a timestamp may be ahead of the clock (mkt_settings.skew)
 * @return MKT_OK; MKT_E_ARGUMENT as mkt_replay_new(); MKT_E_STORED if there is no cache of that size, it is damaged, or
 *         the clock was set back by more than the skew
 */
MKT_API MKT_MUST enum mkt_err mkt_replay_open(struct mkt_replay *cache, void *memory, size_t n, mkt_ntp now,
                                              uint32_t skew);

/**
 * Tells if a message is new, and remembers it. Call it when the message is authenticated and everything else about it
 * is right (RFC 3830 5.4). If several callers ask about the same message, exactly one gets MKT_OK, even in the same
 * instant. No caller gets it if the winner is killed first, or if a process whose clock is ahead may have used its
 * place again.
 * @param tag    the MAC of the message; 16 octets at least, of which the first 16 count
 * @param now    the clock
 * @param until  the last moment at which the message would be taken: its timestamp plus the skew. Give the same in each
 *               call about a message
 * @return
 *   - MKT_OK: the message is new
 *   - MKT_E_REPLAY
 *   - MKT_E_STALE: `until` is before `now`; or a message with the same or a later `until` is forgotten already, as a
 *     process whose clock is ahead has asked
 *   - MKT_E_CACHE_FULL
 *   - MKT_E_ARGUMENT: the tag is too short
 */
MKT_API MKT_MUST enum mkt_err mkt_replay_check(const struct mkt_replay *cache, struct mkt_span tag, mkt_ntp now,
                                               mkt_ntp until);

/**
 * Looks if a message is remembered, and remembers nothing.
 * @param tag    as of mkt_replay_check(); need not be authenticated
 * @param now    the clock
 * @param until  as of mkt_replay_check()
 * @return MKT_OK for a message that is new so far; MKT_E_REPLAY; MKT_E_STALE as of mkt_replay_check(); MKT_E_ARGUMENT
 *         for a short tag
 */
MKT_API MKT_MUST enum mkt_err mkt_replay_peek(const struct mkt_replay *cache, struct mkt_span tag, mkt_ntp now,
                                              mkt_ntp until);

/** Returns how many messages are remembered and have not expired. Reads all of the cache. */
MKT_API size_t mkt_replay_count(const struct mkt_replay *cache, mkt_ntp now);

#ifdef __cplusplus
}
#endif
#endif
