/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as messages that come to a replay cache, three octets each: which message, how long it would be taken, and
 * how the clock goes on or back. None is new twice as long as it would be taken; what is known came before.
 */
#include <mikeyticket/replay.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TAGS = 256, BUCKETS = 32, SKEW = 300 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* The tag of a message: some share a bucket, some halves of their octets. */
static struct mkt_span tag_of(uint8_t i, uint8_t octets[16])
{
    memset(octets, i & 7, 16);
    octets[7] = i;
    octets[15] = i >> 6;
    return (struct mkt_span){octets, 16};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t memory[4096];
    mkt_ntp now = (mkt_ntp)3960616022 << 32, latest = now, until[TAGS] = {0};
    bool came[TAGS] = {false}, taken[TAGS] = {false};
    struct mkt_replay cache, same;
    if (size == 0)
        return 0;
    const size_t n = mkt_replay_size(1 + data[0] % BUCKETS);
    require(n <= sizeof memory && mkt_replay_new(&cache, memory, n) == MKT_OK);
    for (size_t i = 1; i + 2 < size; i += 3) {
        uint8_t octets[16];
        const uint8_t tag = data[i];
        /* a message has the same last moment whenever it comes */
        if (!came[tag])
            until[tag] = now + ((mkt_ntp)(int8_t)data[i + 1] << 32);
        const enum mkt_err err = mkt_replay_check(&cache, tag_of(tag, octets), now, until[tag]);
        require(err != MKT_OK || (!taken[tag] && until[tag] >= now));
        require(err != MKT_E_REPLAY || came[tag]);
        require(err != MKT_E_CACHE_FULL || mkt_replay_count(&cache, now) >= 32);
        require(err == MKT_OK || err == MKT_E_REPLAY || err == MKT_E_CACHE_FULL || err == MKT_E_STALE);
        came[tag] = true;
        taken[tag] = taken[tag] || err == MKT_OK;
        now += (mkt_ntp)(int8_t)data[i + 2] << 32;
        latest = now > latest ? now : latest;
    }
    /* a clock that was set back is another matter */
    require(mkt_replay_open(&same, memory, n, latest, SKEW) == MKT_OK);
    require(mkt_replay_count(&same, now) == mkt_replay_count(&cache, now));
    return 0;
}
