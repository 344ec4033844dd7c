/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* clock_gettime, explicit_bzero, struct timeval */

#include "redis.h"

#include <hiredis/hiredis.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The seconds that the clocks of all machines may differ by, that of Redis included. */
enum { CLOCKS_DIFFER = 1 };

static const char away[] = "the replay cache in Redis does not answer";
static const char anew[] = "the replay cache in Redis began too short a time ago";
static const char full[] = "the replay cache in Redis is full";

/* A connection. One thread at a time uses it. */
struct link {
    struct link *next;
    redisContext *context;
    int64_t deadline; /* milliseconds of the monotonic clock */
    char key[96];     /* that the time of the first meeting is stored under */
    char value[32];   /* that time, as it is stored */
    mkt_ntp begun;    /* the same */
};

struct redis {
    char host[64]; /* empty: a Unix socket */
    int port;
    char *path;
    char password[256];
    uint32_t skew;
    pthread_mutex_t lock; /* of the idle connections */
    struct link *idle;
};

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static mkt_ntp clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return mkt_ntp_from_unix(t.tv_sec) | ((uint64_t)t.tv_nsec << 32) / 1000000000;
}

/* ---- one connection ---- */

static struct timeval time_left(const struct link *link)
{
    const int64_t left = link->deadline - milliseconds();
    return (struct timeval){0, left > 0 ? (suseconds_t)left * 1000 : 1};
}

/* Gives what comes next no more than the time that is left; false if there is none. */
static bool in_time(struct link *link)
{
    return milliseconds() < link->deadline && redisSetTimeout(link->context, time_left(link)) == REDIS_OK;
}

/* Returns the next answer, which the caller frees; NULL if none comes in time. */
static redisReply *next_reply(struct link *link)
{
    void *reply = NULL;
    return in_time(link) && redisGetReply(link->context, &reply) == REDIS_OK ? reply : NULL;
}

/* Copies the word that follows a name in the text of INFO; false if it is not there or too long. */
static bool info_word(const char *info, const char *name, char *word, size_t size)
{
    const char *at = strstr(info, name);
    if (at == NULL)
        return false;
    at += strlen(name);
    const size_t n = strcspn(at, "\r\n");
    if (n == 0 || n >= size)
        return false;
    memcpy(word, at, n);
    word[n] = '\0';
    return true;
}

/* Looks what Redis it is; NULL, or what is wrong with it. */
static const char *meet(struct link *link)
{
    char run_id[64], policy[32], role[16];
    if (redisAppendCommand(link->context, "INFO") != REDIS_OK)
        return away;
    redisReply *info = next_reply(link);
    if (info == NULL)
        return away;
    const bool told = info->type == REDIS_REPLY_STRING && info_word(info->str, "\nrun_id:", run_id, sizeof run_id) &&
                      info_word(info->str, "\nmaxmemory_policy:", policy, sizeof policy) &&
                      info_word(info->str, "\nrole:", role, sizeof role);
    freeReplyObject(info);
    if (!told)
        return "Redis does not answer INFO: give the password, or allow the command";
    if (strcmp(policy, "noeviction") != 0)
        return "Redis may forget messages: set maxmemory-policy noeviction";
    if (strcmp(role, "master") != 0)
        return "Redis is a replica: name its master";
    snprintf(link->key, sizeof link->key, "mikey-replay-begun:%s", run_id);
    return NULL;
}

/* Learns since when Redis remembers, from the process that met it first: this one, if there is no other. */
static bool learn_begun(struct link *link)
{
    char own[32];
    snprintf(own, sizeof own, "%llu", (unsigned long long)clock_now());
    if (redisAppendCommand(link->context, "SET %s %s NX", link->key, own) != REDIS_OK ||
        redisAppendCommand(link->context, "GET %s", link->key) != REDIS_OK)
        return false;
    redisReply *set = next_reply(link), *get = set != NULL ? next_reply(link) : NULL;
    const bool got = get != NULL && get->type == REDIS_REPLY_STRING && get->len < sizeof link->value;
    if (got) {
        memcpy(link->value, get->str, get->len);
        link->value[get->len] = '\0';
        link->begun = strtoull(link->value, NULL, 10);
    }
    freeReplyObject(set);
    freeReplyObject(get);
    return got;
}

static bool log_in(struct link *link, const char *password)
{
    if (redisAppendCommand(link->context, "AUTH %s", password) != REDIS_OK)
        return false;
    redisReply *reply = next_reply(link);
    const bool good = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return good;
}

static void link_free(struct link *link)
{
    if (link != NULL && link->context != NULL)
        redisFree(link->context);
    free(link);
}

/* Connects; NULL, and what is wrong. */
static struct link *link_new(const struct redis *redis, int64_t deadline, const char **wrong)
{
    struct link *link = calloc(1, sizeof *link);
    *wrong = away;
    if (link == NULL)
        return NULL;
    link->deadline = deadline;
    link->context = redis->path != NULL ? redisConnectUnixWithTimeout(redis->path, time_left(link))
                                        : redisConnectWithTimeout(redis->host, redis->port, time_left(link));
    if (link->context != NULL && link->context->err == 0) {
        *wrong = NULL;
        if (redis->password[0] != '\0' && !log_in(link, redis->password))
            *wrong = "Redis refuses the password, or has none: set requirepass";
        if (*wrong == NULL)
            *wrong = meet(link);
        if (*wrong == NULL && !learn_begun(link))
            *wrong = "Redis does not store: allow SET and GET of mikey-replay*";
        if (*wrong == NULL)
            return link;
    }
    link_free(link);
    return NULL;
}

/* ---- the connections of all threads ---- */

static struct link *take_link(struct redis *redis, const char **wrong)
{
    const int64_t deadline = milliseconds() + REDIS_MS;
    pthread_mutex_lock(&redis->lock);
    struct link *link = redis->idle;
    if (link != NULL)
        redis->idle = link->next;
    pthread_mutex_unlock(&redis->lock);
    if (link == NULL)
        return link_new(redis, deadline, wrong);
    link->deadline = deadline;
    return link;
}

static void give_back(struct redis *redis, struct link *link)
{
    pthread_mutex_lock(&redis->lock);
    link->next = redis->idle;
    redis->idle = link;
    pthread_mutex_unlock(&redis->lock);
}

/* One connection has failed: the others are to the same Redis. */
static void drop_idle(struct redis *redis)
{
    pthread_mutex_lock(&redis->lock);
    struct link *link = redis->idle;
    redis->idle = NULL;
    pthread_mutex_unlock(&redis->lock);
    while (link != NULL) {
        struct link *next = link->next;
        link_free(link);
        link = next;
    }
}

/* ---- questions ---- */

static uint64_t milliseconds_between(mkt_ntp from, mkt_ntp to)
{
    const uint64_t n = to - from;
    return (n >> 32) * 1000 + ((n & 0xffffffff) * 1000 >> 32);
}

static mkt_ntp later(mkt_ntp t, uint32_t seconds)
{
    return t + ((uint64_t)seconds << 32);
}

/* A message may have been taken before Redis began to remember. */
static bool is_older(const struct redis *redis, const struct link *link, mkt_ntp now, mkt_ntp until, unsigned *wait)
{
    const mkt_ntp first = later(link->begun, redis->skew + CLOCKS_DIFFER); /* the first T that is taken */
    if (!mkt_ntp_before(until, later(first, redis->skew)))
        return false;
    *wait = mkt_ntp_before(now, first) ? (unsigned)((first - now) >> 32) + 1 : 1;
    return true;
}

/* Asks Redis about the tag, and if it is still the one that was met; false if no answer comes. */
static bool ask(struct link *link, struct mkt_span tag, uint64_t ms, bool remember, enum mkt_err *err)
{
    const int sent = remember ? redisAppendCommand(link->context, "SET mikey-replay:%b 1 NX PX %llu", tag.p, tag.n,
                                                   (unsigned long long)ms)
                              : redisAppendCommand(link->context, "EXISTS mikey-replay:%b", tag.p, tag.n);
    if (sent != REDIS_OK || redisAppendCommand(link->context, "GET %s", link->key) != REDIS_OK)
        return false;
    redisReply *tagged = next_reply(link), *begun = tagged != NULL ? next_reply(link) : NULL;
    bool told = begun != NULL && begun->type == REDIS_REPLY_STRING && strcmp(begun->str, link->value) == 0;
    if (told && tagged->type == REDIS_REPLY_ERROR && strncmp(tagged->str, "OOM", 3) == 0)
        *err = MKT_E_CACHE_FULL;
    else if (told && (remember ? tagged->type == REDIS_REPLY_STATUS : tagged->type == REDIS_REPLY_INTEGER))
        *err = remember || tagged->integer == 0 ? MKT_OK : MKT_E_REPLAY;
    else if (told && remember && tagged->type == REDIS_REPLY_NIL)
        *err = MKT_E_REPLAY;
    else
        told = false;
    freeReplyObject(tagged);
    freeReplyObject(begun);
    return told;
}

enum mkt_err redis_look(struct redis *redis, struct mkt_span tag, mkt_ntp until, bool remember,
                        struct redis_refusal *refusal)
{
    enum mkt_err err = MKT_E_CACHE_FULL;
    const mkt_ntp now = clock_now();

    *refusal = (struct redis_refusal){NULL, 0};
    if (mkt_ntp_before(until, now))
        return MKT_E_STALE;
    struct link *link = take_link(redis, &refusal->text);
    if (link == NULL) {
        refusal->wait = 1;
        return MKT_E_CACHE_FULL;
    }
    if (is_older(redis, link, now, until, &refusal->wait)) {
        refusal->text = anew;
        give_back(redis, link);
        return MKT_E_CACHE_FULL;
    }
    if (!ask(link, tag, milliseconds_between(now, until) + 1000 * CLOCKS_DIFFER + 1, remember, &err)) {
        link_free(link);
        drop_idle(redis);
        *refusal = (struct redis_refusal){away, 1};
        return MKT_E_CACHE_FULL;
    }
    if (err == MKT_E_CACHE_FULL)
        *refusal = (struct redis_refusal){full, 1};
    give_back(redis, link);
    return err;
}

/* ---- opening ---- */

static bool complain(const char *where, const char *what)
{
    fprintf(stderr, "--replay %s: %s\n", where, what);
    return false;
}

static bool read_password(struct redis *redis, const char *file)
{
    FILE *in = fopen(file, "r");
    if (in == NULL)
        return complain(file, strerror(errno));
    setvbuf(in, NULL, _IONBF, 0); /* no copy of the password is left */
    const bool read = fgets(redis->password, sizeof redis->password, in) != NULL;
    fclose(in);
    redis->password[strcspn(redis->password, "\r\n")] = '\0';
    return (read && redis->password[0] != '\0') || complain(file, "no password in its first line");
}

/* Reads IP:PORT or [IPv6]:PORT. */
static bool read_address(struct redis *redis, const char *text)
{
    uint8_t address[16];
    const char *colon = strrchr(text, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - text);
    const bool ipv6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (ipv6) {
        text++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof redis->host)
        return false;
    memcpy(redis->host, text, n);
    redis->host[n] = '\0';
    const size_t digits = strspn(colon + 1, "0123456789");
    redis->port = digits > 0 && digits < 6 && colon[1 + digits] == '\0' ? atoi(colon + 1) : 0;
    return redis->port > 0 && redis->port < 65536 && inet_pton(ipv6 ? AF_INET6 : AF_INET, redis->host, address) == 1;
}

static bool read_place(struct redis *redis, const char *where, const char *password)
{
    static const char unix_socket[] = "unix:", tcp[] = "redis://";
    if (strncmp(where, unix_socket, sizeof unix_socket - 1) == 0 && where[sizeof unix_socket - 1] == '/') {
        redis->path = strdup(where + sizeof unix_socket - 1);
        return redis->path != NULL || complain(where, "no memory: stop other programs");
    }
    if (strncmp(where, tcp, sizeof tcp - 1) != 0 || !read_address(redis, where + sizeof tcp - 1))
        return complain(where, "write redis://IP:PORT or unix:/PATH");
    return password != NULL ||
           complain(where, "Redis needs a password there: give --replay-password, or use unix:/PATH");
}

struct redis *redis_open(const char *where, const char *password, uint32_t skew)
{
    const char *wrong = "no memory: stop other programs";
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL) {
        complain(where, wrong);
        return NULL;
    }
    redis->skew = skew;
    pthread_mutex_init(&redis->lock, NULL);
    if (read_place(redis, where, password) && (password == NULL || read_password(redis, password))) {
        struct link *link = link_new(redis, milliseconds() + REDIS_MS, &wrong);
        if (link != NULL) {
            give_back(redis, link);
            return redis;
        }
        complain(where, wrong);
    }
    redis_close(redis);
    return NULL;
}

void redis_close(struct redis *redis)
{
    if (redis == NULL)
        return;
    drop_idle(redis);
    pthread_mutex_destroy(&redis->lock);
    explicit_bzero(redis->password, sizeof redis->password);
    free(redis->path);
    free(redis);
}
