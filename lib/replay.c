/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The replay cache: a table of slots, in buckets. A tag picks two buckets and may stand in any slot of either.
 *
 * A process may stop for any time, or for good, between any two steps. So there are no locks, and no process waits for
 * another one. Every access is seq_cst: all processes see one order of steps. No message is accepted twice, and no
 * accepted message is forgotten, because of this:
 *
 * 1. A process takes a slot if it is expired, and changes `until` from the value that it saw to its own, which is
 *    later. So the `until` of a slot only grows, and shows who took the slot.
 * 2. It changes the tag, too, from the one that it saw before it took the slot. If an earlier taker wakes up now and
 *    wants to write its tag, the second of the two finds another tag than it saw, and goes elsewhere. So a tag that was
 *    written stands until the slot is taken again, or 3.
 * 3. Then it searches for the same tag in other slots. If two have written it, at least the second one sees the
 *    other's. Slots have the same order for both: the one in front strikes the other's tag out, the one behind gives
 *    up. The one that is left settles its tag, unless that has been struck out. A settled tag can't be struck out, and
 *    no message is accepted before its tag is settled. So if several ask at the same time, one accepts.
 * 4. Before a slot is taken, `forgotten` is raised to its `until`. If a tag was not found because a process with a
 *    clock ahead has taken its slot meanwhile, `forgotten` shows that at the end, and the message is refused, as its
 *    `until` is the same. The same holds if the own slot was taken.
 *
 * If a process is killed between 1 and 2, its slot has an expired tag, or halves of two tags, and is lost until it
 * expires. Equal tags, or halves of them that 2 relies on, have odds of 2^-127 and 2^-63 by accident. By intent it
 * takes two tags of the attacker's own, as nobody knows those of others before they come.
 */
#include <mikeyticket/replay.h>

#include "host.h"
#include "io.h"

#include <stdatomic.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "no locks between processes: 64-bit atomics must be lock-free");

enum { SLOTS = 16, LEAST_BUCKETS = 2 };

struct slot {
    _Atomic uint64_t until;
    _Atomic uint64_t tag[2];
};
enum { BUCKET = SLOTS * sizeof(struct slot) }; /* octets */

/* The memory. Its number of buckets is only compared: accesses use that of struct mkt_replay, which is one's own. */
struct mkt_replay_table {
    _Atomic uint64_t made;      /* MADE, once the rest is */
    _Atomic uint64_t forgotten; /* the latest `until` of all slots that were taken again */
    uint64_t n_buckets;
    struct slot slot[]; /* bucket by bucket */
};

/* "mktreply", which also says how the numbers above are laid out and in what order their octets are. */
static const uint64_t MADE = 0x6d6b747265706c79;

/* The earliest moment there is (mkt_ntp_before()), in 1968: a slot that was never used is one that has expired. */
static const mkt_ntp EARLIEST = (mkt_ntp)1 << 63;

/* The last bit of the tag in a slot; a tag that is asked about has 0 there. */
static const uint64_t SETTLED = 1;

/* A message that is asked about. */
struct message {
    mkt_ntp now, until;
    uint64_t tag[2];
    struct slot *bucket[2]; /* the first slots of both */
};

/* One to one. A MAC is as good as random and would not need it, but who knows what else somebody takes for a tag. */
static uint64_t mix(uint64_t v)
{
    const uint64_t odd = 0xd6e8feb86659fd93;
    v = (v ^ v >> 32) * odd;
    v = (v ^ v >> 32) * odd;
    return v ^ v >> 32;
}

static struct message message_of(const struct mkt_replay *cache, struct mkt_span tag, mkt_ntp now, mkt_ntp until)
{
    struct message m = {.now = now, .until = until};
    struct io io = io_get(tag);
    io_uint(&io, &m.tag[0], 8);
    io_uint(&io, &m.tag[1], 8);
    m.tag[1] = mix(m.tag[1]) & ~SETTLED;
    uint64_t n = cache->n_buckets, hash = mix(m.tag[0] ^ m.tag[1]);
    uint64_t one = hash % n, other = (one + 1 + mix(hash) % (n - 1)) % n;
    m.bucket[0] = &cache->table->slot[one * SLOTS];
    m.bucket[1] = &cache->table->slot[other * SLOTS];
    return m;
}

static struct slot *slot_of(const struct message *m, size_t i)
{
    return &m->bucket[i / SLOTS][i % SLOTS];
}

static bool alive(const struct slot *slot, mkt_ntp now)
{
    return !mkt_ntp_before(atomic_load(&slot->until), now);
}

/* True if another slot than `own` has the tag. Behind `own`, a tag that is not settled is struck out instead. */
static bool known(const struct message *m, const struct slot *own)
{
    for (size_t i = 0; i < (size_t)2 * SLOTS; i++) {
        struct slot *slot = slot_of(m, i);
        uint64_t last = atomic_load(&slot->tag[1]);
        if (slot == own || (last & ~SETTLED) != m->tag[1] || atomic_load(&slot->tag[0]) != m->tag[0] ||
            !alive(slot, m->now))
            continue;
        if (own == NULL || slot < own || (last & SETTLED) != 0)
            return true;
        /* it may have been settled meanwhile; or somebody else has struck it out */
        if (!atomic_compare_exchange_strong(&slot->tag[1], &last, ~last) && (last & ~SETTLED) == m->tag[1])
            return true;
    }
    return false;
}

/* A slot that is free in the bucket that has more of them, so that both fill up alike; NULL where neither has one. */
static struct slot *vacant(const struct message *m)
{
    struct slot *found[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    for (size_t i = 0; i < (size_t)2 * SLOTS; i++) {
        struct slot *slot = slot_of(m, i);
        if (alive(slot, m->now))
            continue;
        found[i / SLOTS] = slot;
        n[i / SLOTS]++;
    }
    return found[n[1] > n[0]];
}

/* False where somebody else was faster. */
static bool take(struct mkt_replay_table *table, struct slot *slot, const struct message *m)
{
    uint64_t until = atomic_load(&slot->until);
    uint64_t tag[2] = {atomic_load(&slot->tag[0]), atomic_load(&slot->tag[1])};
    if (!mkt_ntp_before(until, m->now))
        return false;
    uint64_t latest = atomic_load(&table->forgotten);
    while (mkt_ntp_before(latest, until) && !atomic_compare_exchange_weak(&table->forgotten, &latest, until))
        continue;
    return atomic_compare_exchange_strong(&slot->until, &until, m->until) &&
           atomic_compare_exchange_strong(&slot->tag[0], &tag[0], m->tag[0]) &&
           atomic_compare_exchange_strong(&slot->tag[1], &tag[1], m->tag[1]);
}

/* The cache that memory has room for; MKT_E_ARGUMENT if it has none. */
static enum mkt_err cache_of(struct mkt_replay *cache, void *memory, size_t n)
{
    *cache = (struct mkt_replay){NULL, 0};
    if (memory == NULL || (uintptr_t)memory % _Alignof(struct mkt_replay_table) != 0 || n < mkt_replay_size(0))
        return MKT_E_ARGUMENT;
    *cache = (struct mkt_replay){memory, (n - sizeof(struct mkt_replay_table)) / BUCKET};
    return MKT_OK;
}

/* True if no time in the memory is later than the clock allows: it would make messages stale, or keep its slot. */
static bool plausible(const struct mkt_replay *cache, mkt_ntp now, uint32_t skew)
{
    const mkt_ntp soon = mkt_ntp_after(now, skew), latest = mkt_ntp_after(soon, skew);
    bool fine = mkt_ntp_before(atomic_load(&cache->table->forgotten), soon);
    for (size_t i = 0; i < cache->n_buckets * SLOTS && fine; i++)
        fine = !mkt_ntp_before(latest, atomic_load(&cache->table->slot[i].until));
    return fine;
}

/* With 8 messages to 16 slots, two choices leave no bucket full (mikeyticket/replay.h says how surely). */
size_t mkt_replay_size(size_t messages)
{
    size_t n = messages / (SLOTS / 2) + LEAST_BUCKETS;
    if (n > (SIZE_MAX - sizeof(struct mkt_replay_table)) / BUCKET)
        return 0;
    return sizeof(struct mkt_replay_table) + n * BUCKET;
}

enum mkt_err mkt_replay_new(struct mkt_replay *cache, void *memory, size_t n)
{
    enum mkt_err err = cache_of(cache, memory, n);
    if (err != MKT_OK)
        return err;
    atomic_store(&cache->table->made, 0);
    atomic_store(&cache->table->forgotten, EARLIEST);
    cache->table->n_buckets = cache->n_buckets;
    for (size_t i = 0; i < cache->n_buckets * SLOTS; i++) {
        atomic_init(&cache->table->slot[i].until, EARLIEST);
        atomic_init(&cache->table->slot[i].tag[0], 0);
        atomic_init(&cache->table->slot[i].tag[1], 0);
    }
    atomic_store(&cache->table->made, MADE);
    return MKT_OK;
}

enum mkt_err mkt_replay_open(struct mkt_replay *cache, void *memory, size_t n, mkt_ntp now, uint32_t skew)
{
    enum mkt_err err = cache_of(cache, memory, n);
    if (err == MKT_OK && (atomic_load(&cache->table->made) != MADE || cache->table->n_buckets != cache->n_buckets ||
                          !plausible(cache, now, skew)))
        err = MKT_E_STORED;
    if (err != MKT_OK)
        *cache = (struct mkt_replay){NULL, 0};
    return err;
}

enum mkt_err mkt_replay_check(const struct mkt_replay *cache, struct mkt_span tag, mkt_ntp now, mkt_ntp until)
{
    struct slot *own;
    if (tag.n < 16)
        return MKT_E_ARGUMENT;
    if (mkt_ntp_before(until, now))
        return MKT_E_STALE;
    struct message m = message_of(cache, tag, now, until);
    do {
        if (known(&m, NULL))
            return MKT_E_REPLAY;
        own = vacant(&m);
        if (own == NULL)
            return MKT_E_CACHE_FULL;
    } while (!take(cache->table, own, &m));
    uint64_t last = m.tag[1];
    bool won = !known(&m, own) && atomic_compare_exchange_strong(&own->tag[1], &last, last | SETTLED);
    if (!mkt_ntp_before(atomic_load(&cache->table->forgotten), until))
        return MKT_E_STALE;
    return won ? MKT_OK : MKT_E_REPLAY;
}

enum mkt_err mkt_replay_peek(const struct mkt_replay *cache, struct mkt_span tag, mkt_ntp now, mkt_ntp until)
{
    if (tag.n < 16)
        return MKT_E_ARGUMENT;
    if (mkt_ntp_before(until, now))
        return MKT_E_STALE;
    const struct message m = message_of(cache, tag, now, until);
    if (known(&m, NULL))
        return MKT_E_REPLAY;
    return mkt_ntp_before(atomic_load(&cache->table->forgotten), until) ? MKT_OK : MKT_E_STALE;
}

size_t mkt_replay_count(const struct mkt_replay *cache, mkt_ntp now)
{
    size_t n = 0;
    for (size_t i = 0; i < cache->n_buckets * SLOTS; i++)
        n += alive(&cache->table->slot[i], now);
    return n;
}
