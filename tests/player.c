/* SPDX-License-Identifier: BSD-3-Clause */
#include "player.h"

#include "protect.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static enum mkt_err player_now(void *user, mkt_ntp *now)
{
    *now = ((struct player *)user)->now;
    return MKT_OK;
}

static enum mkt_err player_draw(void *user, uint8_t *out, size_t n)
{
    struct player *p = user;
    ck_assert_uint_gt(n, 0);
    if (p->no_random)
        return MKT_E_RANDOM;
    for (size_t i = 0; i < n; i++, p->next_random++)
        out[i] = p->next_random < p->n_random ? p->random[p->next_random]
                                              : (uint8_t)(p->next_random * 7 + p->next_random / 37);
    return MKT_OK;
}

/* Before each block stands how long it is. */
union header {
    size_t n;
    max_align_t align;
};

static void *player_alloc(void *user, size_t n)
{
    struct player *p = user;
    union header *block = p->no_memory ? NULL : malloc(sizeof *block + n);
    p->allocations++;
    if (n > p->largest)
        p->largest = n;
    if (block == NULL)
        return NULL;
    p->live++;
    block->n = n;
    memset(block + 1, 0xa5, n); /* what malloc gives is not zero */
    return block + 1;
}

/* Nothing that the library owned, secret or not, is left in what it gives back. */
static void player_release(void *user, void *octets)
{
    union header *block = (union header *)octets - 1;
    const uint8_t *p = octets;
    for (size_t i = 0; i < block->n; i++)
        if (p[i] != 0)
            ck_abort_msg("octet %zu of %zu is given back as %02x", i, block->n, p[i]);
    ((struct player *)user)->live--;
    free(block);
}

static enum mkt_err player_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy,
                               struct mkt_buf *key)
{
    const struct player *p = user;
    (void)id;
    (void)policy;
    if (key->n != 0 || key->cap != MKT_MAX_TPK) /* an assertion that holds needs memory, which fails on purpose */
        ck_abort_msg("the room for a TPK is not empty, or not of its size");
    if (p->tpk.n == 0 || p->tpk.n > key->cap)
        return MKT_E_NO_KEY;
    memcpy(key->p, p->tpk.p, p->tpk.n);
    key->n = p->tpk.n;
    return MKT_OK;
}

/* By its name, or where that is left out by the identity. */
static enum mkt_err player_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct player *p = user;
    ck_assert(psk->key.n == 0 && psk->key.cap == MKT_MAX_PSK);
    for (size_t i = 0; i < p->n_friends; i++) {
        const struct friend *f = &p->friend[i];
        if (name != NULL ? !mkt_id_equal(name, &f->name) : id == NULL || !mkt_id_equal(id, &f->id))
            continue;
        ck_assert_uint_le(f->psk.n, psk->key.cap);
        memcpy(psk->key.p, f->psk.p, f->psk.n);
        psk->key.n = f->psk.n;
        psk->owner = f->id;
        psk->vouches = f->vouches;
        return MKT_OK;
    }
    return MKT_E_NO_KEY;
}

static enum mkt_err player_resolved(void *user, struct mkt_span ticket, struct mkt_buf *octets)
{
    const struct player *p = user;
    ck_assert_uint_gt(ticket.n, 0);
    if (p->resolved.n == 0)
        return MKT_E_NO_KEY;
    ck_assert_uint_le(p->resolved.n, octets->cap - octets->n);
    memcpy(octets->p + octets->n, p->resolved.p, p->resolved.n);
    octets->n += p->resolved.n;
    return MKT_OK;
}

static void player_report(void *user, const struct mkt_error_message *report)
{
    struct player *p = user;
    p->reports++;
    p->reported = report->number;
    p->authenticated = report->authenticated;
    ck_assert_uint_eq(mkt_message_find(report->message, MKT_ERR, 0)->error.number, report->number);
}

static enum mkt_err player_replay(void *user, struct mkt_span tag, mkt_ntp until)
{
    struct player *p = user;
    ck_assert(mkt_ntp_before(p->now, until) || p->now == until);
    for (size_t i = 0; i < p->n_seen; i++)
        if (mkt_span_equal(p->seen[i], tag))
            return MKT_E_REPLAY;
    ck_assert_uint_lt(p->n_seen, sizeof p->seen / sizeof *p->seen);
    p->seen[p->n_seen++] = exact(tag);
    return MKT_OK;
}

static enum mkt_err player_authorise(void *user, const struct mkt_peer *peer)
{
    ck_assert_uint_gt(peer->id.data.n, 0);
    ck_assert_uint_gt(peer->policy->n_responders, 0);
    return ((struct player *)user)->fail;
}

static void player_log(void *user, const struct mkt_log_event *event)
{
    struct player *p = user;
    ck_assert_uint_lt(strlen(event->detail), sizeof p->detail);
    p->logged = event->err;
    p->event = *event;
    p->event.detail = strcpy(p->detail, event->detail);
}

void player_init(struct player *p, mkt_ntp now, struct mkt_span tpk)
{
    *p = (struct player){.now = now, .tpk = tpk};
    p->host = (struct mkt_host){
        .size = sizeof(struct mkt_host),
        .user = p,
        .now = player_now,
        .random = player_draw,
        .alloc = player_alloc,
        .release = player_release,
        .tpk = player_tpk,
        .psk = player_psk,
        .resolved = player_resolved,
        .replay = player_replay,
        .error = player_report,
        .authorise = player_authorise,
        .log = player_log,
    };
}

void player_random(struct player *p, struct mkt_span octets)
{
    ck_assert_uint_le(octets.n, sizeof p->random - p->n_random);
    if (octets.n > 0)
        memcpy(p->random + p->n_random, octets.p, octets.n);
    p->n_random += octets.n;
}

void player_draw_like(struct player *p, struct mkt_span message, uint8_t role)
{
    player_random(p, (struct mkt_span){message.p + 4, 4});
    player_random(p, payload_of(message, MKT_RANDR, role).rand.rand);
}

void player_low_bits(struct player *p, struct mkt_span message, bool g)
{
    const struct mkt_t t = payload_of(message, MKT_T, 0).t;
    const uint8_t low[] = {(uint8_t)(t.value >> 16), (uint8_t)(t.value >> 8), (uint8_t)t.value};
    if (t.ts_type == MKT_TS_COUNTER)
        return;
    p->now &= ~(uint64_t)(g ? 1 : 0xffffff);
    if (!g)
        player_random(p, exact((struct mkt_span){low, sizeof low}));
}

mkt_ntp ntp(unsigned long seconds)
{
    return (mkt_ntp)seconds << 32;
}

struct mkt_span text(const char *words)
{
    return mkt_span_text(words);
}

struct mkt_id id_of(const char *words)
{
    struct mkt_id id = mkt_id_uri(words);
    id.type = strchr(words, ':') != NULL ? MKT_ID_URI : MKT_ID_NAI;
    return id;
}

struct mkt_policy granted(enum mkt_suite suite)
{
    struct mkt_policy p = mkt_policy_default(suite);
    p.initiator = mkt_id_uri("sip:alice@example.com");
    p.responder[p.n_responders++] = mkt_id_uri("sip:bob@example.com");
    return p;
}

struct mkt_payload payload_of(struct mkt_span octets, unsigned type, uint8_t role)
{
    struct mkt_message message;
    expect_err("message", mkt_message_decode(&message, octets), MKT_OK);
    const struct mkt_payload *p = mkt_message_find(&message, type, role);
    ck_assert_msg(p != NULL, "no %s of role %u", mkt_payload_name(type), role);
    return *p;
}

struct mkt_span stored_ticket(struct mkt_span ticket, struct mkt_span keys)
{
    static uint8_t octets[16384];
    size_t n = ticket.n + 3;
    ck_assert_uint_lt(n + keys.n + 9, sizeof octets);
    const uint8_t head[] = {1, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 0};
    const uint8_t middle[] = {
        0, 0, (uint8_t)(keys.n >> 24), (uint8_t)(keys.n >> 16), (uint8_t)(keys.n >> 8), (uint8_t)keys.n};
    memcpy(octets, head, sizeof head);
    memcpy(octets + sizeof head, ticket.p, ticket.n);
    memcpy(octets + sizeof head + ticket.n, middle, sizeof middle);
    memcpy(octets + sizeof head + ticket.n + sizeof middle, keys.p, keys.n);
    return exact((struct mkt_span){octets, sizeof head + ticket.n + sizeof middle + keys.n});
}

/* The message stands in a stored bundle behind its length, of four octets. */
void go_on_with(struct mkt_csb **csb, const struct mkt_host *host, const struct mkt_settings *settings,
                struct mkt_span made, struct mkt_span to)
{
    uint8_t octets[16384];
    struct mkt_buf out = {octets, sizeof octets, 0};
    size_t at = 4;
    expect_err("put", mkt_csb_save(*csb, &out), MKT_OK);
    while (at + made.n <= out.n && memcmp(octets + at, made.p, made.n) != 0)
        at++;
    ck_assert_msg(at + made.n <= out.n && out.n - made.n + to.n <= sizeof octets, "the bundle has not the message");
    memmove(octets + at + to.n, octets + at + made.n, out.n - at - made.n);
    memcpy(octets + at, to.p, to.n);
    octets[at - 2] = (uint8_t)(to.n >> 8);
    octets[at - 1] = (uint8_t)to.n;
    mkt_csb_free(*csb);
    expect_err("get", mkt_csb_load(csb, host, settings, exact((struct mkt_span){octets, out.n - made.n + to.n})),
               MKT_OK);
}

void crypt_kemac(const struct mkt_protection *by, uint32_t csb_id, uint64_t t, struct mkt_span in, uint8_t *out)
{
    const struct mkt_encryption encryption = {csb_id, t, in, out};
    uint8_t mac[MKT_MAX_HASH];
    expect_err("KEMAC", mkt_protect_seal(by, &encryption, NULL, 0, mac), MKT_OK);
}
