/* SPDX-License-Identifier: BSD-3-Clause */
/* replay: the library's own replay cache, alone, among threads and processes, and where processes are killed. */
#define _DEFAULT_SOURCE /* mmap of MAP_ANONYMOUS */

#include "vector.h"

#include <mikeyticket/replay.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const mkt_ntp now = (mkt_ntp)3960616022 << 32, later = (mkt_ntp)3960616622 << 32;

enum { SKEW = 300 };

/* A cache for so many messages, in one block of malloc with its memory. */
static struct mkt_replay *cache_for(size_t messages)
{
    size_t n = mkt_replay_size(messages);
    struct mkt_replay *cache = malloc(sizeof *cache + n);
    ck_assert_uint_ne(n, 0);
    expect_err("new", mkt_replay_new(cache, cache + 1, n), MKT_OK);
    return cache;
}

/* The `i`th of many tags that look like MACs: as SplitMix64 has it. */
struct tag {
    uint8_t octets[32];
};

static struct tag tag_of(uint64_t i)
{
    struct tag tag;
    for (uint64_t k = 0; k < 4; k++) {
        uint64_t v = (4 * i + k + 1) * 0x9e3779b97f4a7c15;
        v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
        v = (v ^ v >> 27) * 0x94d049bb133111eb;
        v ^= v >> 31;
        memcpy(tag.octets + 8 * k, &v, 8);
    }
    return tag;
}

static enum mkt_err ask(struct mkt_replay *cache, uint64_t i, mkt_ntp at, mkt_ntp until)
{
    struct tag tag = tag_of(i);
    return mkt_replay_check(cache, (struct mkt_span){tag.octets, sizeof tag.octets}, at, until);
}

static enum mkt_err look(const struct mkt_replay *cache, uint64_t i, mkt_ntp at, mkt_ntp until)
{
    struct tag tag = tag_of(i);
    return mkt_replay_peek(cache, (struct mkt_span){tag.octets, sizeof tag.octets}, at, until);
}

/* How many of the first `n` messages get an answer. */
static size_t answers(struct mkt_replay *cache, size_t n, enum mkt_err answer)
{
    size_t got = 0;
    for (uint64_t i = 0; i < n; i++)
        got += ask(cache, i, now, later) == answer;
    return got;
}

START_TEST(a_look_remembers_nothing)
{
    struct mkt_replay *cache = cache_for(10);
    struct tag tag = tag_of(0);
    expect_err("new", look(cache, 0, now, later), MKT_OK);
    expect_err("new again", look(cache, 0, now, later), MKT_OK);
    ck_assert_uint_eq(mkt_replay_count(cache, now), 0);
    expect_err("asked", ask(cache, 0, now, later), MKT_OK);
    expect_err("known", look(cache, 0, now, later), MKT_E_REPLAY);
    expect_err("another", look(cache, 1, now, later), MKT_OK);
    expect_err("the last moment", look(cache, 0, later, later), MKT_E_REPLAY);
    expect_err("stale", look(cache, 0, later + 1, later), MKT_E_STALE);
    expect_err("short", mkt_replay_peek(cache, (struct mkt_span){tag.octets, 15}, now, later), MKT_E_ARGUMENT);
    expect_err("long enough", mkt_replay_peek(cache, (struct mkt_span){tag.octets, 16}, now, later), MKT_E_REPLAY);
    free(cache);
}
END_TEST

START_TEST(the_first_time_is_fine_and_the_second_is_a_replay)
{
    struct mkt_replay *cache = cache_for(10);
    expect_err("first", ask(cache, 0, now, later), MKT_OK);
    expect_err("second", ask(cache, 0, now, later), MKT_E_REPLAY);
    ck_assert_uint_eq(answers(cache, 10, MKT_OK), 9);
    ck_assert_uint_eq(answers(cache, 10, MKT_E_REPLAY), 10);
    ck_assert_uint_eq(mkt_replay_count(cache, now), 10);
    free(cache);
}
END_TEST

/* Those of HMAC-SHA-1-160 and HMAC-SHA-256-256; the first 16 octets count, each bit of them. */
START_TEST(a_tag_has_20_or_32_octets)
{
    struct mkt_replay *cache = cache_for(1000);
    struct tag tag = tag_of(1);
    struct mkt_span twenty = {tag.octets, 20}, thirty_two = {tag.octets, 32};
    expect_err("20 octets", mkt_replay_check(cache, twenty, now, later), MKT_OK);
    expect_err("20 octets", mkt_replay_check(cache, twenty, now, later), MKT_E_REPLAY);
    expect_err("32 octets", mkt_replay_check(cache, thirty_two, now, later), MKT_E_REPLAY);
    for (size_t bit = 0; bit < 256; bit++) {
        tag = tag_of(1);
        tag.octets[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        expect_err("a bit", mkt_replay_check(cache, thirty_two, now, later), bit < 128 ? MKT_OK : MKT_E_REPLAY);
    }
    free(cache);
}
END_TEST

START_TEST(a_short_tag_is_refused)
{
    struct mkt_replay *cache = cache_for(1);
    for (size_t n = 0; n < 16; n++) {
        uint8_t *octets = calloc(1, n + 1); /* zeroes, as those of slots that were never used */
        expect_err("short", mkt_replay_check(cache, (struct mkt_span){octets, n}, now, later), MKT_E_ARGUMENT);
        free(octets);
    }
    uint8_t *octets = calloc(1, 16);
    expect_err("16 octets", mkt_replay_check(cache, (struct mkt_span){octets, 16}, now, later), MKT_OK);
    expect_err("16 octets", mkt_replay_check(cache, (struct mkt_span){octets, 16}, now, later), MKT_E_REPLAY);
    free(octets);
    free(cache);
}
END_TEST

START_TEST(a_message_is_remembered_up_to_and_including_its_last_moment)
{
    struct mkt_replay *cache = cache_for(1);
    expect_err("first", ask(cache, 1, now, later), MKT_OK);
    expect_err("at once", ask(cache, 1, now, later), MKT_E_REPLAY);
    expect_err("last moment", ask(cache, 1, later, later), MKT_E_REPLAY);
    ck_assert_uint_eq(mkt_replay_count(cache, later), 1);
    ck_assert_uint_eq(mkt_replay_count(cache, later + 1), 0);
    expect_err("stale", ask(cache, 1, later + 1, later), MKT_E_STALE);
    expect_err("stale", ask(cache, 2, later + 1, later), MKT_E_STALE);
    expect_err("just not stale", ask(cache, 2, later, later), MKT_OK);
    free(cache);
}
END_TEST

/* Fills the cache with messages from the `i`th on, until it refuses one; answers the number of that one. */
static uint64_t fill(struct mkt_replay *cache, uint64_t i, mkt_ntp at, mkt_ntp until)
{
    enum mkt_err err;
    while ((err = ask(cache, i, at, until)) == MKT_OK)
        i++;
    expect_err("full", err, MKT_E_CACHE_FULL);
    return i;
}

START_TEST(a_full_cache_says_so_and_forgets_nothing)
{
    struct mkt_replay *cache = cache_for(100);
    bool *accepted = calloc(1000, sizeof *accepted);
    size_t n = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        enum mkt_err err = ask(cache, i, now, later);
        accepted[i] = err == MKT_OK;
        n += accepted[i];
        ck_assert(accepted[i] || err == MKT_E_CACHE_FULL);
        ck_assert(accepted[i] || i > 140);
    }
    ck_assert_uint_ge(n, 200);
    ck_assert_uint_eq(mkt_replay_count(cache, now), n);
    for (uint64_t i = 0; i < 1000; i++)
        expect_err("again", ask(cache, i, later, later), accepted[i] ? MKT_E_REPLAY : MKT_E_CACHE_FULL);
    free(accepted);
    free(cache);
}
END_TEST

START_TEST(places_of_expired_messages_are_used_again)
{
    struct mkt_replay *cache = cache_for(1);
    uint64_t next = 0;
    for (mkt_ntp t = now; t < now + 100; t += 2) {
        uint64_t first = next;
        next = fill(cache, first, t, t + 1);
        ck_assert_uint_eq(next - first, 32);
        expect_err("not yet", ask(cache, next, t + 1, t + 2), MKT_E_CACHE_FULL);
    }
    free(cache);
}
END_TEST

/* Seconds since 1900 begin anew in 2036 (RFC 4330 section 3): 0 is a moment as any other. */
START_TEST(time_goes_on_in_2036)
{
    struct mkt_replay *cache = cache_for(1);
    const mkt_ntp before = (mkt_ntp)-5, after = 5;
    expect_err("until before", ask(cache, 1, before, before + 2), MKT_OK);
    expect_err("until the moment", ask(cache, 2, before, 0), MKT_OK);
    uint64_t next = fill(cache, 3, before, after);
    expect_err("until before", ask(cache, 1, before + 2, before + 2), MKT_E_REPLAY);
    expect_err("until the moment", ask(cache, 2, 0, 0), MKT_E_REPLAY);
    expect_err("until the moment", ask(cache, 2, 1, 0), MKT_E_STALE);
    ck_assert_uint_eq(mkt_replay_count(cache, before), 32);
    ck_assert_uint_eq(mkt_replay_count(cache, 0), 31);
    ck_assert_uint_eq(mkt_replay_count(cache, 1), 30);
    expect_err("place of 1", ask(cache, next, 1, after), MKT_OK);
    expect_err("place of 2", ask(cache, next + 1, 1, after), MKT_OK);
    expect_err("full", ask(cache, next + 2, 1, after), MKT_E_CACHE_FULL);
    for (uint64_t i = 3; i < next + 2; i++)
        expect_err("until after", ask(cache, i, after, after), MKT_E_REPLAY);
    free(cache);
}
END_TEST

/* One whose clock is ahead may have used the place of a message again that is not stale by the clock of another. */
START_TEST(what_may_have_been_forgotten_is_not_taken)
{
    struct mkt_replay *cache = cache_for(1);
    uint64_t next = fill(cache, 0, now, now + 10);
    fill(cache, next, now + 11, now + 20);
    for (uint64_t i = 0; i < next; i++)
        ck_assert_int_ne(ask(cache, i, now + 10, now + 10), MKT_OK);
    ck_assert_uint_eq(mkt_replay_count(cache, now + 21), 0);
    expect_err("stale soon", ask(cache, 1000, now + 21, now + 21), MKT_OK);
    expect_err("may be forgotten", ask(cache, 1001, now + 5, now + 20), MKT_E_CACHE_FULL);
    free(cache);

    cache = cache_for(1);
    expect_err("with place left", ask(cache, 0, now, now + 10), MKT_OK);
    for (uint64_t i = 1; i <= 32; i++)
        expect_err("with place left", ask(cache, i, now + 10 + i, now + 10 + i), MKT_OK);
    expect_err("looked up, may be forgotten", look(cache, 0, now + 10, now + 10), MKT_E_STALE);
    expect_err("may be forgotten", ask(cache, 0, now + 10, now + 10), MKT_E_STALE);
    free(cache);
}
END_TEST

START_TEST(as_many_fit_as_it_is_made_for)
{
    static const size_t sizes[] = {0, 1, 10, 32, 33, 1000, 100000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct mkt_replay *cache = cache_for(sizes[k]);
        ck_assert_uint_eq(answers(cache, sizes[k], MKT_OK), sizes[k]);
        ck_assert_uint_eq(mkt_replay_count(cache, now), sizes[k]);
        ck_assert_uint_eq(answers(cache, sizes[k], MKT_E_REPLAY), sizes[k]);
        free(cache);
    }
}
END_TEST

/* Tags that count up are no MACs; they fit all the same. */
START_TEST(tags_need_not_look_random)
{
    struct mkt_replay *cache = cache_for(3000);
    uint8_t octets[20] = {0};
    for (size_t i = 0; i < 3000; i++) {
        size_t place = 7 * (i / 1000); /* octets 0 and 1, 7 and 8, 14 and 15 */
        memset(octets, 0, sizeof octets);
        octets[place] = (uint8_t)(1 + i % 1000 / 250);
        octets[place + 1] = (uint8_t)(1 + i % 250);
        expect_err("counted", mkt_replay_check(cache, (struct mkt_span){octets, 20}, now, later), MKT_OK);
    }
    free(cache);
}
END_TEST

START_TEST(memory_must_be_enough_and_aligned)
{
    struct mkt_replay cache;
    size_t n = mkt_replay_size(1);
    uint8_t *memory = malloc(n + 8);
    for (size_t less = 0; less < n; less++) {
        cache.table = (void *)memory;
        expect_err("too small", mkt_replay_new(&cache, memory, less), MKT_E_ARGUMENT);
        ck_assert_ptr_null(cache.table);
    }
    for (size_t off = 1; off < 8; off++) {
        expect_err("misaligned", mkt_replay_new(&cache, memory + off, n), MKT_E_ARGUMENT);
        expect_err("misaligned", mkt_replay_open(&cache, memory + off, n, now, SKEW), MKT_E_ARGUMENT);
    }
    expect_err("none", mkt_replay_new(&cache, NULL, n), MKT_E_ARGUMENT);
    expect_err("none", mkt_replay_open(&cache, NULL, n, now, SKEW), MKT_E_ARGUMENT);
    expect_err("enough", mkt_replay_new(&cache, memory, n), MKT_OK);
    free(memory);
}
END_TEST

START_TEST(the_size_grows_and_does_not_wrap)
{
    ck_assert_uint_gt(mkt_replay_size(0), 0);
    ck_assert_uint_gt(mkt_replay_size(100), mkt_replay_size(10));
    ck_assert_uint_le(mkt_replay_size(1000000), 48 * 1000000 + 1000);
    ck_assert_uint_eq(mkt_replay_size(SIZE_MAX), 0);
    ck_assert_uint_eq(mkt_replay_size(SIZE_MAX / 48), 0);
    ck_assert_uint_gt(mkt_replay_size(SIZE_MAX / 49), SIZE_MAX / 50);
}
END_TEST

/* One file, mapped at two places: there are no pointers in it. */
START_TEST(another_mapping_finds_the_cache)
{
    size_t n = mkt_replay_size(100);
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(ftruncate(fileno(file), (off_t)n), 0);
    void *here = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    void *there = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    ck_assert(here != MAP_FAILED && there != MAP_FAILED && here != there);
    struct mkt_replay a, b = {here, 1};
    expect_err("nothing there", mkt_replay_open(&b, there, n, now, SKEW), MKT_E_STORED);
    ck_assert_ptr_null(b.table);
    expect_err("new", mkt_replay_new(&a, here, n), MKT_OK);
    expect_err("another size", mkt_replay_open(&b, there, mkt_replay_size(10), now, SKEW), MKT_E_STORED);
    expect_err("too small", mkt_replay_open(&b, there, 1, now, SKEW), MKT_E_ARGUMENT);
    expect_err("open", mkt_replay_open(&b, there, n, now, SKEW), MKT_OK);
    ck_assert_ptr_eq(b.table, there);
    expect_err("here", ask(&a, 1, now, later), MKT_OK);
    expect_err("there", ask(&b, 1, now, later), MKT_E_REPLAY);
    expect_err("there", ask(&b, 2, now, later), MKT_OK);
    expect_err("here", ask(&a, 2, now, later), MKT_E_REPLAY);
    expect_err("open again", mkt_replay_open(&b, there, n, now, SKEW), MKT_OK);
    expect_err("there", ask(&b, 2, now, later), MKT_E_REPLAY);
    expect_err("new", mkt_replay_new(&a, here, n), MKT_OK);
    expect_err("empty again", ask(&b, 1, now, later), MKT_OK);
    munmap(here, n);
    munmap(there, n);
    fclose(file);
}
END_TEST

enum { HEAD = 24 }; /* octets in front of the first slot */

/* A fresh message is served by what can be opened. */
START_TEST(a_cache_whose_head_is_damaged_is_not_opened_if_it_is_of_no_use)
{
    const size_t n = mkt_replay_size(100);
    const mkt_ntp in_skew = now + ((mkt_ntp)SKEW << 32);
    struct mkt_replay *cache = cache_for(100), found;
    uint8_t *memory = (uint8_t *)cache->table;
    size_t refused = 0;
    uint64_t next = fill(cache, 0, now - 10, now - 5);
    expect_err("in a place that is used again", ask(cache, next, now, in_skew), MKT_OK); /* the head notes it */
    for (size_t bit = 0; bit < (size_t)8 * HEAD; bit++) {
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum mkt_err err = mkt_replay_open(&found, memory, n, now, SKEW);
        if (err == MKT_OK)
            expect_err("fresh", ask(&found, ++next, now, in_skew), MKT_OK);
        else
            expect_err("damaged", err, MKT_E_STORED);
        refused += err != MKT_OK;
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_uint_ge(refused, (size_t)8 * 16); /* all of the mark and of the size */
    free(cache);
}
END_TEST

START_TEST(a_time_that_no_message_has_is_damage)
{
    const size_t n = mkt_replay_size(100);
    struct mkt_replay *cache = cache_for(100), found;
    const mkt_ntp latest = now + ((mkt_ntp)2 * SKEW << 32);
    expect_err("as late as may be", ask(cache, 1, now, latest), MKT_OK);
    expect_err("as late as may be", mkt_replay_open(&found, cache->table, n, now, SKEW), MKT_OK);
    expect_err("the clock was set back", mkt_replay_open(&found, cache->table, n, now - 1, SKEW), MKT_E_STORED);
    expect_err("less skew", mkt_replay_open(&found, cache->table, n, now, SKEW - 1), MKT_E_STORED);
    free(cache);

    cache = cache_for(1);
    uint64_t next = fill(cache, 0, now, now + 10);
    expect_err("10 is forgotten", ask(cache, next, now + 11, now + 11), MKT_OK);
    const mkt_ntp ago = now + 10 - ((mkt_ntp)SKEW << 32);
    expect_err("served now", mkt_replay_open(&found, cache->table, mkt_replay_size(1), ago + 1, SKEW), MKT_OK);
    expect_err("stale now", mkt_replay_open(&found, cache->table, mkt_replay_size(1), ago, SKEW), MKT_E_STORED);
    free(cache);
}
END_TEST

/* The most buckets that octets can be counted of, and one more. */
START_TEST(a_cache_as_large_as_memory)
{
    enum { OF_BUCKET = 16 * 24, TO_BUCKET = 8, LEAST = 2 };
    const size_t most = (SIZE_MAX - HEAD) / OF_BUCKET;
    ck_assert_uint_eq(mkt_replay_size((most - LEAST) * TO_BUCKET), HEAD + most * OF_BUCKET);
    ck_assert_uint_eq(mkt_replay_size((most - LEAST + 1) * TO_BUCKET), 0);
    ck_assert_uint_eq(mkt_replay_size(SIZE_MAX), 0);
}
END_TEST

/* Each slot counts, the first and the last one, too. */
START_TEST(a_time_that_no_message_has_in_any_slot)
{
    enum { SLOT = 24 };
    const size_t n = mkt_replay_size(100);
    struct mkt_replay *cache = cache_for(100), found;
    uint8_t *memory = (uint8_t *)cache->table;
    for (size_t at = HEAD; at < n; at += SLOT) {
        const mkt_ntp late = now + ((mkt_ntp)3 * SKEW << 32);
        mkt_ntp before;
        memcpy(&before, memory + at, sizeof before);
        memcpy(memory + at, &late, sizeof late);
        expect_err("far too late", mkt_replay_open(&found, memory, n, now, SKEW), MKT_E_STORED);
        ck_assert_uint_eq(mkt_replay_count(cache, now), 1);
        memcpy(memory + at, &before, sizeof before);
        expect_err("as before", mkt_replay_open(&found, memory, n, now, SKEW), MKT_OK);
        ck_assert_uint_eq(mkt_replay_count(cache, now), 0);
    }
    free(cache);
}
END_TEST

/* Whatever another process writes there, each access stays within the memory: ASan and valgrind look at them. */
START_TEST(memory_that_others_write_to_sizes_no_access)
{
    struct mkt_replay *cache = cache_for(100);
    const size_t n = mkt_replay_size(100);
    uint8_t *memory = (uint8_t *)cache->table;
    for (uint64_t i = 0; i < 1000; i++) {
        struct tag noise = tag_of(i);
        memset(memory, (int)(i < 256 ? i : 255), i < 256 ? n : HEAD);
        if (i >= 256)
            memcpy(memory, noise.octets, HEAD);
        for (uint64_t k = 0; k < 4; k++) {
            enum mkt_err err = ask(cache, 4 * i + k, now, later);
            ck_assert(err == MKT_OK || err == MKT_E_REPLAY || err == MKT_E_STALE || err == MKT_E_CACHE_FULL);
        }
        ck_assert_uint_le(mkt_replay_count(cache, now), n / 24);
    }
    free(cache);
}
END_TEST

/* What threads or processes do together, in memory that they share. */
enum { RACERS = 4, TAGS = 10000 };

struct race {
    struct mkt_replay cache;
    atomic_uint waiting;        /* racers that are not ready yet */
    atomic_uint wrong;          /* answers that there must not be */
    atomic_uint next;           /* the next message that nobody has asked about */
    atomic_uint accepted[TAGS]; /* of racers: how often; of takers: the number of the message, and 1 */
};

static size_t race_octets(void)
{
    return sizeof(struct race) + 8 + mkt_replay_size(4 * TAGS);
}

static struct race *race_new(void)
{
    struct race *race = mmap(NULL, race_octets(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(race != MAP_FAILED);
    uint8_t *memory = (uint8_t *)race + (sizeof *race + 7) / 8 * 8;
    expect_err("new", mkt_replay_new(&race->cache, memory, mkt_replay_size(4 * TAGS)), MKT_OK);
    atomic_store(&race->waiting, RACERS);
    return race;
}

/* All ask about the same messages, from the same moment on. */
static void *racer(void *shared)
{
    struct race *race = shared;
    atomic_fetch_sub(&race->waiting, 1);
    while (atomic_load(&race->waiting) > 0)
        sched_yield();
    for (uint64_t i = 0; i < TAGS; i++) {
        enum mkt_err err = ask(&race->cache, i, now, later);
        if (err == MKT_OK)
            atomic_fetch_add(&race->accepted[i], 1);
        else if (err != MKT_E_REPLAY)
            atomic_fetch_add(&race->wrong, 1);
    }
    return NULL;
}

static void race_end(struct race *race)
{
    size_t once = 0;
    for (size_t i = 0; i < TAGS; i++)
        once += atomic_load(&race->accepted[i]) == 1;
    ck_assert_uint_eq(once, TAGS);
    ck_assert_uint_eq(atomic_load(&race->wrong), 0);
    ck_assert_uint_eq(answers(&race->cache, TAGS, MKT_E_REPLAY), TAGS);
    munmap(race, race_octets());
}

START_TEST(of_threads_one_gets_a_message)
{
    struct race *race = race_new();
    pthread_t thread[RACERS];
    for (size_t i = 0; i < RACERS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, racer, race), 0);
    for (size_t i = 0; i < RACERS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    race_end(race);
}
END_TEST

/* A process that does what a racer does, and ends. */
static pid_t process(void *(*what)(void *), struct race *race)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    what(race);
    _exit(0);
}

START_TEST(of_processes_one_gets_a_message)
{
    struct race *race = race_new();
    pid_t pid[RACERS];
    int status;
    for (size_t i = 0; i < RACERS; i++)
        pid[i] = process(racer, race);
    for (size_t i = 0; i < RACERS; i++)
        ck_assert(waitpid(pid[i], &status, 0) == pid[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    race_end(race);
}
END_TEST

/* Each message has a clock of its own, and is stale a thousand messages later. */
enum { LIFE = 1000 };

static enum mkt_err take(struct race *race, unsigned i)
{
    return ask(&race->cache, i, now + i, now + i + LIFE);
}

/* Takes one new message after the other, for ever. Who has slept for long may find that all are ahead of him. */
static void *taker(void *shared)
{
    struct race *race = shared;
    atomic_store(&race->waiting, 0);
    while (atomic_load(&race->wrong) == 0) {
        unsigned i = atomic_fetch_add(&race->next, 1);
        enum mkt_err err = take(race, i);
        if (err == MKT_OK)
            atomic_store(&race->accepted[i % TAGS], i + 1);
        else if (err == MKT_E_REPLAY || atomic_load(&race->next) - i < LIFE)
            atomic_fetch_add(&race->wrong, 1);
    }
    return NULL;
}

static void end(pid_t pid)
{
    int status;
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

/* Of the last messages, those that were accepted by now, and those of them that get an answer when they come again. */
struct again {
    size_t accepted, got;
};

static struct again ask_again(struct race *race, enum mkt_err answer)
{
    struct again again = {0, 0};
    unsigned next = atomic_load(&race->next);
    for (unsigned i = next < LIFE ? 0 : next - LIFE; i < next; i++) {
        if (atomic_load(&race->accepted[i % TAGS]) != i + 1)
            continue;
        again.accepted++;
        again.got += take(race, i) == answer;
    }
    return again;
}

/* Kills takers wherever they are, while another goes on. */
START_TEST(who_is_killed_holds_nobody_up_and_makes_nothing_be_forgotten)
{
    enum { KILLS = 25 };
    struct race *race = race_new();
    pid_t steady = process(taker, race);
    for (unsigned k = 0; k < KILLS; k++) {
        atomic_store(&race->waiting, 1);
        pid_t pid = process(taker, race);
        while (atomic_load(&race->waiting) > 0)
            sched_yield();
        usleep(20 * k);
        end(pid);
        ck_assert_uint_eq(ask_again(race, MKT_OK).got, 0);
    }
    unsigned next = atomic_load(&race->next) + 2 * LIFE;
    while (atomic_load(&race->next) < next && atomic_load(&race->wrong) == 0)
        sched_yield(); /* the steady one is not held up */
    end(steady);
    ck_assert_uint_eq(atomic_load(&race->wrong), 0);
    struct again again = ask_again(race, MKT_E_REPLAY);
    ck_assert_uint_ge(again.accepted, LIFE - 1); /* the last one may not have got so far */
    ck_assert_uint_eq(again.got, again.accepted);
    ck_assert_uint_le(mkt_replay_count(&race->cache, now + atomic_load(&race->next)), LIFE);
    munmap(race, race_octets());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *tcase = tcase_create("replay");
    tcase_add_test(tcase, the_first_time_is_fine_and_the_second_is_a_replay);
    tcase_add_test(tcase, a_look_remembers_nothing);
    tcase_add_test(tcase, a_tag_has_20_or_32_octets);
    tcase_add_test(tcase, a_short_tag_is_refused);
    tcase_add_test(tcase, a_message_is_remembered_up_to_and_including_its_last_moment);
    tcase_add_test(tcase, a_full_cache_says_so_and_forgets_nothing);
    tcase_add_test(tcase, places_of_expired_messages_are_used_again);
    tcase_add_test(tcase, time_goes_on_in_2036);
    tcase_add_test(tcase, what_may_have_been_forgotten_is_not_taken);
    tcase_add_test(tcase, as_many_fit_as_it_is_made_for);
    tcase_add_test(tcase, tags_need_not_look_random);
    tcase_add_test(tcase, memory_must_be_enough_and_aligned);
    tcase_add_test(tcase, the_size_grows_and_does_not_wrap);
    tcase_add_test(tcase, another_mapping_finds_the_cache);
    tcase_add_test(tcase, a_cache_whose_head_is_damaged_is_not_opened_if_it_is_of_no_use);
    tcase_add_test(tcase, a_time_that_no_message_has_is_damage);
    tcase_add_test(tcase, a_time_that_no_message_has_in_any_slot);
    tcase_add_test(tcase, a_cache_as_large_as_memory);
    tcase_add_test(tcase, memory_that_others_write_to_sizes_no_access);
    tcase_add_test(tcase, of_threads_one_gets_a_message);
    tcase_add_test(tcase, of_processes_one_gets_a_message);
    tcase_add_test(tcase, who_is_killed_holds_nobody_up_and_makes_nothing_be_forgotten);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
