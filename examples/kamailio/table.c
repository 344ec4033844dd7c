/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include "mrfp.h"
#include "text.h"

#include "../../core/dprint.h"
#include "../../core/hashes.h"
#include "../../core/locking.h"
#include "../../core/mem/shm_mem.h"
#include "../../core/ut.h"

#include <stdio.h>
#include <string.h>

enum { N_SLOTS = 1024 };

struct mrfc mrfc = {NULL, "http://kms.example.com", NULL, "127.0.0.1", NULL, 10000};
struct outcome outcome;
struct mkt_host call_host;
struct mkt_credential call_credential;
struct users call_users;
char call_detail[128];

static struct mkt_replay cache;
static struct call **table;
static gen_lock_set_t *locks;

/* ---- the host ---- */

static void *allocate(void *user, size_t n)
{
    (void)user;
    return shm_malloc(n);
}

static void release(void *user, void *p)
{
    (void)user;
    shm_free(p);
}

/* A key with an identity in the file is for tickets that this Initiator has made. */
static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct entry *entry = id == NULL ? NULL : users_tpk(&call_users, id);
    (void)user;
    if (entry == NULL || (entry->identity != NULL && !users_is(entry, &policy->initiator)))
        return MKT_E_NO_KEY;
    return users_key(entry, key);
}

static void take_detail(void *user, const struct mkt_log_event *event)
{
    (void)user;
    snprintf(call_detail, sizeof call_detail, "%s", event->detail);
}

static struct mkt_settings settings_of(enum mkt_stream medium)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri(mrfc.identity));
    settings.kms = call_credential.psk.n > 0 ? &call_credential : NULL;
    settings.application = mkt_span_text(medium == MKT_STREAM_MSRP ? "msrp" : "bfcp");
    return settings;
}

/* ---- the table ---- */

struct mkt_span call_span(str s)
{
    return (struct mkt_span){(const uint8_t *)s.s, (size_t)s.len};
}

void call_drop(str *s)
{
    if (s->s != NULL)
        shm_free(s->s);
    *s = (str)STR_NULL;
}

bool call_keep(str *s, struct mkt_span octets)
{
    const str from = {(char *)octets.p, (int)octets.n};
    call_drop(s);
    return octets.n == 0 || shm_str_dup(s, &from) == 0;
}

static bool same(str a, str b)
{
    return mkt_span_equal(call_span(a), call_span(b));
}

static struct call **slot_of(const str *id)
{
    return &table[core_hash(id, NULL, N_SLOTS)];
}

int call_lock(const str *id)
{
    const int slot = (int)(slot_of(id) - table);
    lock_set_get(locks, slot);
    call_detail[0] = mrfp_fault[0] = '\0';
    outcome.sdp_n = outcome.request_n = 0;
    outcome.code = 200;
    return slot;
}

void call_unlock(int slot)
{
    lock_set_release(locks, slot);
}

struct call *call_find(const str *id)
{
    struct call *call = *slot_of(id);
    while (call != NULL && !same(call->id, *id))
        call = call->next;
    return call;
}

/* The call of a message: one of the tags is that of the INVITE. The script has no tags, and Call-IDs of its own. */
struct call *call_of(const struct said *said)
{
    struct call *call = call_find(&said->id);
    const bool is = call != NULL && (call->tag.len == 0 || said->from_tag.len == 0 || same(call->tag, said->from_tag) ||
                                     same(call->tag, said->to_tag));
    return is ? call : NULL;
}

/* Nobody awaits what the MRFP says to it: the stream may have ended before. */
void call_remove_stream(struct call *call)
{
    char command[64];
    if (call->stream[0] == '\0')
        return;
    snprintf(command, sizeof command, "remove %s\n", call->stream);
    if (!mrfp_do(command, NULL))
        LM_DBG("%s\n", mrfp_fault);
    call->stream[0] = mrfp_fault[0] = '\0';
}

static void free_call(struct call *call)
{
    mkt_csb_free(call->csb);
    call_drop(&call->line);
    call_drop(&call->next_line);
    call_drop(&call->offer);
    call_drop(&call->to);
    call_drop(&call->tag);
    call_drop(&call->id);
    shm_free(call);
}

void call_end(struct call *call)
{
    struct call **at = slot_of(&call->id);
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    call_remove_stream(call);
    free_call(call);
}

struct call *call_begin(const str *id, const str *tag, enum mkt_role role, enum mkt_stream medium)
{
    const struct mkt_settings settings = settings_of(medium);
    struct call *call = shm_malloc(sizeof *call);
    if (call == NULL)
        return NULL;
    memset(call, 0, sizeof *call);
    call->medium = medium;
    if (!call_keep(&call->id, call_span(*id)) || !call_keep(&call->tag, call_span(*tag)) ||
        mkt_csb_new(&call->csb, role, &call_host, &settings) != MKT_OK) {
        free_call(call);
        return NULL;
    }
    call->next = *slot_of(id);
    *slot_of(id) = call;
    return call;
}

size_t calls_count(void)
{
    size_t n = 0;
    for (int slot = 0; slot < N_SLOTS; slot++) {
        lock_set_get(locks, slot);
        for (const struct call *call = table[slot]; call != NULL; call = call->next)
            n++;
        lock_set_release(locks, slot);
    }
    return n;
}

void calls_expire(unsigned ticks, void *unused)
{
    const time_t now = time(NULL);
    (void)ticks;
    (void)unused;
    for (int slot = 0; slot < N_SLOTS; slot++) {
        lock_set_get(locks, slot);
        for (struct call *call = table[slot], *next; call != NULL; call = next) {
            next = call->next;
            if (call->state == READY || call->deadline > now)
                continue;
            LM_WARN("call %.*s: nobody went on with it\n", call->id.len, call->id.s);
            call_end(call);
        }
        lock_set_release(locks, slot);
    }
}

/* ---- begin and end ---- */

static bool mistake(const char *text)
{
    LM_ERR("%s\n", text);
    return false;
}

bool calls_init(void)
{
    if (mrfc.identity == NULL || mrfc.users == NULL || mrfc.mrfp == NULL)
        return mistake("set the parameters identity, users and mrfp");
    if (!users_read(&call_users, mrfc.users))
        return mistake("the file of the parameter users can't be used: the line before says why");
    const struct mkt_id self = mkt_id_uri(mrfc.identity);
    const struct entry *own = users_user(&call_users, &self);
    call_credential.kms = mkt_id_uri(mrfc.kms);
    if (own != NULL) {
        call_credential.name = mkt_id_bytes(own->id);
        call_credential.psk = (struct mkt_span){own->key, own->key_n};
    }

    const size_t n = mkt_replay_size((size_t)mrfc.remember);
    void *memory = shm_malloc(n);
    if (mkt_replay_new(&cache, memory, n) != MKT_OK)
        return mistake("no shared memory for the replay cache: give Kamailio more by -m");
    mkt_host_init(&call_host);
    call_host.alloc = allocate;
    call_host.release = release;
    call_host.tpk = find_tpk;
    call_host.log = take_detail;
    call_host.cache = &cache;

    table = shm_malloc(N_SLOTS * sizeof *table);
    locks = lock_set_alloc(N_SLOTS);
    if (table == NULL || locks == NULL || lock_set_init(locks) == NULL)
        return mistake("no shared memory for the calls: give Kamailio more by -m");
    memset(table, 0, N_SLOTS * sizeof *table);
    return true;
}

void calls_destroy(void)
{
    for (int slot = 0; table != NULL && slot < N_SLOTS; slot++) {
        while (table[slot] != NULL)
            call_end(table[slot]);
    }
    users_free(&call_users);
}
