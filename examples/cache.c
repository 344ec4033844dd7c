/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* flock, MAP_ANONYMOUS, mkstemp */

#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 100, PAUSE_US = 20000 };

/* What came of one try. */
enum result { OPEN, REFUSED, AGAIN };

static enum result refuse(const char *file, const char *what, const char *to_do)
{
    fprintf(stderr, "kms: %s: %s: %s\n", file, what, to_do);
    return REFUSED;
}

static void *map(size_t n, int flags, int fd)
{
    void *memory = mmap(NULL, n, PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Fills a new file. The disk has room for all of it from now on. */
static bool fill(int fd, size_t n)
{
    struct mkt_replay replay;
    errno = posix_fallocate(fd, 0, (off_t)n);
    void *memory = errno == 0 ? map(n, MAP_SHARED, fd) : NULL;
    if (memory == NULL)
        return false;
    bool made = mkt_replay_new(&replay, memory, n) == MKT_OK;
    munmap(memory, n);
    return made && fsync(fd) == 0;
}

/*
 * Makes a file under another name. It gets its own name when all of it is there, so that nobody finds a part of it; and
 * only if no other process was faster, unless it takes the place of one that is damaged.
 */
static enum result create(const char *file, size_t n, bool replace)
{
    const size_t length = strlen(file);
    char *other = malloc(length + sizeof ".XXXXXX");
    if (other == NULL)
        return refuse(file, strerror(errno), "stop other programs");
    memcpy(other, file, length);
    memcpy(other + length, ".XXXXXX", sizeof ".XXXXXX");
    int fd = mkstemp(other);
    bool made = fd >= 0 && fill(fd, n);
    if (made && replace)
        made = rename(other, file) == 0;
    else if (made)
        made = link(other, file) == 0 || errno == EEXIST;
    enum result result = made ? AGAIN : refuse(file, strerror(errno), "name a file that can be made and written");
    if (fd >= 0) {
        close(fd);
        if (!made || !replace)
            unlink(other);
    }
    free(other);
    return result;
}

/* Refuses a file that is not this user's alone. */
static enum result check(const char *file, const struct stat *stat)
{
    if (!S_ISREG(stat->st_mode))
        return refuse(file, "not a regular file", "name another one");
    if (stat->st_uid != geteuid())
        return refuse(file, "another user owns it", "name a file that this user owns");
    if ((stat->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return refuse(file, "others may read or write it", "remove it, or chmod 600 if nobody has");
    return OPEN;
}

/* Opens what is there. `damage` is then NULL, or says what is wrong with the content. */
static enum result open_content(struct cache *cache, const char *file, const struct stat *stat, const char **damage)
{
    const mkt_ntp now = mkt_ntp_from_unix(time(NULL));
    *damage = "not a cache of that many messages";
    if (stat->st_size != (off_t)cache->octets)
        return REFUSED;
    *damage = NULL;
    void *memory = map(cache->octets, MAP_SHARED, cache->fd);
    if (memory == NULL)
        return refuse(file, strerror(errno), "remember fewer messages");
    if (mkt_replay_open(&cache->replay, memory, cache->octets, now, cache->skew) == MKT_OK)
        return OPEN;
    munmap(memory, cache->octets);
    *damage = "damaged, or the clock was set back";
    return REFUSED;
}

/* Puts a new file in the place of one that no other process uses. */
static enum result begin_anew(const struct cache *cache, const char *file, const char *damage)
{
    if (flock(cache->fd, LOCK_EX | LOCK_NB) != 0)
        return AGAIN;
    fprintf(stderr, "kms: %s: %s: it begins anew, and messages of the last 10 minutes may be served again\n", file,
            damage);
    return create(file, cache->octets, true);
}

/* One try; it may leave the file open. */
static enum result try_file(struct cache *cache, const char *file, bool anew)
{
    struct stat stat, named;
    const char *damage;
    cache->fd = open(file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (cache->fd < 0 && errno == ENOENT)
        return create(file, cache->octets, false);
    if (cache->fd < 0 && errno == ELOOP)
        return refuse(file, "a symbolic link", "name the file itself");
    if (cache->fd < 0 || fstat(cache->fd, &stat) != 0)
        return refuse(file, strerror(errno), "name a file that can be read and written");
    enum result result = check(file, &stat);
    if (result != OPEN)
        return result;
    /* All who use a file share its lock, so that no process puts another file in its place. One may have done so just
       before. */
    if (flock(cache->fd, LOCK_SH | LOCK_NB) != 0 || lstat(file, &named) != 0 || named.st_dev != stat.st_dev ||
        named.st_ino != stat.st_ino)
        return AGAIN;
    result = open_content(cache, file, &stat, &damage);
    if (damage == NULL)
        return result;
    return anew ? begin_anew(cache, file, damage)
                : refuse(file, damage, "give --begin-anew, and messages of the last 10 minutes may be served again");
}

static bool open_file(struct cache *cache, const char *file, bool anew)
{
    enum result result = AGAIN;
    for (unsigned i = 0; i < TRIES && result == AGAIN; i++) {
        if (i > 0)
            usleep(PAUSE_US);
        result = try_file(cache, file, anew);
        if (result != OPEN && cache->fd >= 0)
            close(cache->fd);
    }
    if (result == AGAIN)
        refuse(file, "another process uses it", "stop that one first");
    return result == OPEN;
}

bool cache_open(struct cache *cache, const char *file, size_t messages, uint32_t skew, bool anew)
{
    *cache = (struct cache){.skew = skew, .octets = mkt_replay_size(messages), .fd = -1};
    if (file != NULL)
        return open_file(cache, file, anew);
    void *memory = map(cache->octets, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == NULL || mkt_replay_new(&cache->replay, memory, cache->octets) != MKT_OK)
        return refuse("--remember", strerror(errno), "remember fewer messages") == OPEN;
    return true;
}

void cache_close(struct cache *cache)
{
    if (cache->replay.table == NULL)
        return;
    munmap(cache->replay.table, cache->octets);
    if (cache->fd >= 0)
        close(cache->fd);
    cache->replay.table = NULL;
}
