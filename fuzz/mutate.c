/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An input is opened (each KEMAC in it is decrypted in place), changed as a tree of payloads, and sealed: encrypted
 * again, and each MAC in it computed. Where MACs and KEMACs are and which keys they have, the taker of the input says:
 * the linker puts mkt_protect_open() of this file in the place of the library's, which does nothing of its own but
 * while an input is opened or sealed. What is verified or decrypted is found in the input by
 * its octets, so that it may have been copied or passed on before.
 */
#define _GNU_SOURCE /* memmem */
#include "mutate.h"

#include "../lib/payload.h"
#include "../lib/protect.h"

#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_size, unsigned seed);

enum { LIMIT = 4096, MOST = 64, LEAST_SECRET = 16 };

/* ---- opening and sealing ---- */

enum phase { IDLE, OPENING, ENCRYPTING, SEALING };

static struct {
    enum phase phase;
    uint8_t *p;
    size_t n;
    bool changed;
} work;

enum mkt_err __real_mkt_protect_open(const struct mkt_protection *p, const struct mkt_encryption *e,
                                     const struct mkt_span parts[], size_t n, struct mkt_span mac);
enum mkt_err __wrap_mkt_protect_open(const struct mkt_protection *p, const struct mkt_encryption *e,
                                     const struct mkt_span parts[], size_t n, struct mkt_span mac);

/* Writes over octets wherever they stand in the input: V stands in the Initiator Data too. Whether they did. */
static bool replace(const uint8_t *old, const uint8_t *new, size_t n)
{
    bool found = false;
    for (uint8_t *at = work.p; (at = memmem(at, work.n - (size_t)(at - work.p), old, n)) != NULL; at += n) {
        memcpy(at, new, n);
        found = true;
    }
    return found;
}

/* The right MAC in the place of a wrong one; whether that could be done. */
static bool mend(const struct mkt_protection *p, const struct mkt_span parts[], size_t n, struct mkt_span mac)
{
    uint8_t right[32], old[32];
    if (mac.n != mkt_hash_length(mkt_suite_algorithms(p->suite)->hash))
        return false;
    memcpy(old, mac.p, mac.n);
    if (mkt_protect_seal(p, NULL, parts, n, right) != MKT_OK || !replace(old, right, mac.n))
        return false;
    work.changed = true;
    return true;
}

enum mkt_err __wrap_mkt_protect_open(const struct mkt_protection *p, const struct mkt_encryption *e,
                                     const struct mkt_span parts[], size_t n, struct mkt_span mac)
{
    static uint8_t before[LIMIT];
    uint8_t of_nothing[32];
    enum mkt_err err = __real_mkt_protect_open(p, e, parts, n, mac);
    if (work.phase == IDLE || (err != MKT_OK && work.phase == SEALING && !mend(p, parts, n, mac)))
        return err;
    if (e == NULL)
        return MKT_OK;
    const bool ours = work.phase != SEALING && e->in.n >= LEAST_SECRET && e->in.n <= LIMIT;
    if (ours)
        memcpy(before, e->in.p, e->in.n);
    if (err != MKT_OK)
        err = mkt_protect_seal(p, e, NULL, 0, of_nothing); /* encryption is decryption */
    if (ours && err == MKT_OK && replace(before, e->out, e->in.n) && work.phase == ENCRYPTING)
        memcpy(e->out, before, e->in.n); /* the input had it in clear, and that is what the taker reads */
    return err;
}

static void offer(enum phase phase, uint8_t first, uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n + 1); /* what is taken doesn't change meanwhile */
    if (copy == NULL)
        return;
    memcpy(copy, p, n);
    work.p = p;
    work.n = n;
    work.changed = false;
    mutate_example(first); /* is played by itself */
    work.phase = phase;
    mutate_offer(first, (struct mkt_span){copy, n});
    work.phase = IDLE;
    free(copy);
}

static void seal(uint8_t first, uint8_t *p, size_t n)
{
    enum { PASSES = 5 }; /* MACs are in what MACs cover */
    offer(ENCRYPTING, first, p, n);
    for (int i = 0; i < PASSES; i++) {
        offer(SEALING, first, p, n);
        if (!work.changed)
            return;
    }
}

/* ---- chance ---- */

static struct {
    uint64_t state;
    uint8_t octets[16 * LIMIT]; /* what is made of an input, until the next */
    size_t used;
    struct mkt_span other;  /* where pieces come from */
    struct mkt_payload key; /* of another chain of the input, with an SPI that is taken */
} mutation;

static size_t chance(size_t n)
{
    mutation.state = mutation.state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(mutation.state >> 33) % n;
}

static struct mkt_buf room(void)
{
    return (struct mkt_buf){mutation.octets + mutation.used, sizeof mutation.octets - mutation.used, 0};
}

static struct mkt_span keep(struct mkt_buf *made)
{
    mutation.used += made->n;
    return (struct mkt_span){made->p, made->n};
}

static struct mkt_span any(struct mkt_span s)
{
    struct mkt_buf out = room();
    if (s.n > LIMIT || out.cap < LIMIT)
        return s;
    if (s.n > 0)
        memcpy(out.p, s.p, s.n);
    if (chance(16) == 0)
        out.n = 0;
    else if (chance(32) == 0)
        memset(out.p, 'x', out.n = chance(3000));
    else
        out.n = LLVMFuzzerMutate(out.p, s.n, chance(4) == 0 ? s.n + 16 : s.n > 0 ? s.n : 1);
    return keep(&out);
}

static uint64_t number(uint64_t v, uint64_t max)
{
    static const uint64_t some[] = {0, 1, 2, 3, 4, 5, 6, 7, 16, 127, 128, 255, 256, 65535, UINT32_MAX, UINT64_MAX};
    switch (chance(4)) {
    case 0:
        return (v + 1) & max;
    case 1:
        return (v - 1) & max;
    case 2:
        return v ^ (((uint64_t)1 << chance(64)) & max);
    }
    return some[chance(sizeof some / sizeof *some)] & max;
}

/* ---- payloads ---- */

static struct mkt_span mutate_chain(uint16_t type, struct mkt_span chain);
static struct mkt_span mutate_first(struct mkt_span chain);

static void n8(uint8_t *v)
{
    *v = (uint8_t)number(*v, UINT8_MAX);
}

static void n16(uint16_t *v, unsigned bits)
{
    *v = (uint16_t)number(*v, ((uint64_t)1 << bits) - 1);
}

static void mutate_kv(struct mkt_kv *kv)
{
    if (chance(3) == 0)
        n16(&kv->type, 2);
    else if (kv->type != MKT_KV_NULL)
        kv->spi = any(kv->spi);
    if (kv->type == MKT_KV_INTERVAL)
        kv->to = any(kv->to);
}

static void mutate_sp(struct mkt_sp *sp)
{
    const uint8_t one[] = {0, 1, 1};
    struct mkt_buf out = room();
    switch (chance(4)) {
    case 0:
        n8(&sp->policy_no);
        return;
    case 1:
        n8(&sp->prot_type);
        return;
    case 2:
        memcpy(out.p, one, out.n = sizeof one);
        sp->params = keep(&out);
        return;
    case 3:
        sp->params = any(sp->params);
        return;
    }
}

static void mutate_ticket(struct mkt_ticket_payload *t, bool whole)
{
    switch (chance(whole ? 9 : 6)) {
    case 0:
        n16(&t->type, 16);
        return;
    case 1:
        n8(&t->subtype);
        return;
    case 2:
        n16(&t->prf, 1);
        return;
    case 3:
        t->flags = (uint16_t)(t->flags ^ 1u << chance(12));
        return;
    case 6:
    case 7:
        t->ticket_data = mutate_chain(t->type == MKT_TICKET_BASE ? MKT_THDR : MKT_KEY_DATA, t->ticket_data);
        return;
    case 8:
        t->initiator_data = chance(4) == 0 ? any(t->initiator_data) : mutate_first(t->initiator_data);
        return;
    }
    t->tp_data = mutate_first(t->tp_data);
}

static void mutate_identity(struct mkt_id *id, bool has_role)
{
    switch (chance(has_role ? 3 : 2)) {
    case 0:
        n8(&id->type);
        return;
    case 1:
        id->data = any(id->data);
        return;
    }
    id->role = (uint8_t)(1 + chance(5));
}

static void mutate_t(struct mkt_t *t)
{
    static const struct {
        uint8_t type;
        uint64_t value;
    } some[] = {
        {MKT_TS_COUNTER, 1},
        {MKT_TS_COUNTER, 5000},
        {MKT_TS_NTP_UTC, (uint64_t)3960616022 << 32},
        {MKT_TS_NTP_UTC_32, 3960616022},
        {MKT_TS_NTP_UTC, (uint64_t)(3960616022 + 301) << 32},
    };
    const size_t i = chance(8);
    if (i < 5) {
        t->ts_type = some[i].type;
        t->value = some[i].value;
    } else if (i == 5) {
        t->role = (uint8_t)(1 + chance(4));
    } else {
        t->value = number(t->value, UINT64_MAX);
    }
}

/* One field, or what is nested. */
static void mutate_payload(struct mkt_payload *p)
{
    switch (p->type) {
    case MKT_KEMAC:
        if (chance(8) == 0)
            n8(chance(2) == 0 ? &p->kemac.encr_alg : &p->kemac.mac_alg);
        else
            p->kemac.encr_data = mutate_chain(MKT_KEY_DATA, p->kemac.encr_data);
        p->kemac.mac.n = mkt_mac_length(p->kemac.mac_alg);
        p->kemac.mac.p = NULL;
        return;
    case MKT_T:
    case MKT_TR:
        mutate_t(&p->t);
        return;
    case MKT_ID:
    case MKT_IDR:
        mutate_identity(&p->id, p->type == MKT_IDR);
        return;
    case MKT_V:
        n8(&p->v.mac_alg);
        p->v.mac = (struct mkt_span){NULL, mkt_mac_length(p->v.mac_alg)};
        return;
    case MKT_SP:
        mutate_sp(&p->sp);
        return;
    case MKT_RAND:
    case MKT_RANDR:
        if (chance(4) == 0)
            p->rand.role = (uint8_t)(1 + chance(3));
        else
            p->rand.rand = any(p->rand.rand);
        return;
    case MKT_ERR:
        n8(&p->error.number);
        return;
    case MKT_TP:
    case MKT_TICKET:
        mutate_ticket(&p->ticket, p->type == MKT_TICKET);
        return;
    case MKT_THDR:
        p->thdr.data = any(p->thdr.data);
        return;
    case MKT_KEY_DATA:
        if (chance(3) == 0)
            p->key_data.type = (uint16_t)chance(8);
        else if (chance(3) == 0)
            mutate_kv(&p->key_data.kv);
        else if (chance(2) == 0)
            p->key_data.key = any(p->key_data.key);
        else
            p->key_data.salt = any(p->key_data.salt);
        return;
    case MKT_GENERAL_EXT:
        if (chance(2) == 0)
            n8(&p->general_ext.type);
        else
            p->general_ext.data = any(p->general_ext.data);
        return;
    }
}

/* A payload that RFC 3830 has and RFC 6043 does not want here. */
static struct mkt_payload stranger(void)
{
    static const uint8_t octets[192];
    switch (chance(6)) {
    case 0:
        return (struct mkt_payload){.type = MKT_CHASH, .chash = {0, {octets, 20}}};
    case 1:
        return (struct mkt_payload){.type = MKT_ID, .id = {.data = {octets, 3}}};
    case 2:
        return (struct mkt_payload){.type = MKT_GENERAL_EXT, .general_ext = {MKT_EXT_VENDOR_ID, {octets, 2}}};
    case 3:
        return (struct mkt_payload){.type = MKT_SP, .sp = {(uint8_t)chance(4), MKT_PROT_TLS, {NULL, 0}}};
    case 4:
        return (struct mkt_payload){.type = MKT_KEMAC, .kemac = {.encr_alg = MKT_ENCR_NULL}};
    }
    return (struct mkt_payload){.type = MKT_RANDR, .rand = {(uint8_t)(1 + chance(3)), {octets, 32}}};
}

struct list {
    size_t n;
    struct mkt_payload payload[MOST];
};

static bool read_list(uint16_t type, struct mkt_span chain, struct list *list)
{
    enum mkt_err err = MKT_OK;
    for (list->n = 0; err == MKT_OK && type != MKT_LAST && list->n < MOST; list->n++)
        err = mkt_payload_decode(&list->payload[list->n], &type, &chain);
    return err == MKT_OK && type == MKT_LAST;
}

/* Any key of a message and its ticket. */
static void pick_key(const struct mkt_payload payload[], size_t n)
{
    struct list keys;
    for (size_t i = 0; i < n; i++) {
        if (payload[i].type == MKT_TICKET && read_list(MKT_THDR, payload[i].ticket.ticket_data, &keys))
            pick_key(keys.payload, keys.n);
        if (payload[i].type == MKT_KEMAC && read_list(MKT_KEY_DATA, payload[i].kemac.encr_data, &keys) && keys.n > 0 &&
            (mutation.key.type != MKT_KEY_DATA || chance(2) == 0))
            mutation.key = keys.payload[chance(keys.n)];
    }
}

static void insert(struct list *list, size_t at, struct mkt_payload payload)
{
    if (list->n == MOST)
        return;
    memmove(&list->payload[at + 1], &list->payload[at], (list->n - at) * sizeof *list->payload);
    list->payload[at] = payload;
    list->n++;
}

static void drop(struct list *list, size_t at)
{
    list->n--;
    memmove(&list->payload[at], &list->payload[at + 1], (list->n - at) * sizeof *list->payload);
}

/* A payload of the other input that this one may have or not. */
static struct mkt_payload foreign(void)
{
    struct mkt_message message;
    if (!mutate_message || mkt_message_decode(&message, mutation.other) != MKT_OK || message.n == 0)
        return stranger();
    return message.payload[chance(message.n)];
}

/* More of a payload than there may be; keys have an SPI each. */
static void repeat(struct list *list, size_t i)
{
    struct mkt_payload payload = list->payload[i];
    while (list->n < MOST - 24) {
        const uint8_t spi[] = {'s', (uint8_t)list->n};
        struct mkt_buf out = room();
        if (out.cap < sizeof spi)
            return;
        memcpy(out.p, spi, out.n = sizeof spi);
        if (payload.type == MKT_KEY_DATA && payload.key_data.kv.type == MKT_KV_SPI)
            payload.key_data.kv.spi = keep(&out);
        insert(list, 0, payload);
    }
}

static void mutate_list(struct list *list)
{
    struct mkt_payload swapped;
    const size_t i = list->n == 0 ? 0 : chance(list->n), k = list->n == 0 ? 0 : chance(list->n);
    if (list->n == 0) {
        insert(list, 0, foreign());
        return;
    }
    if (chance(64) == 0) {
        repeat(list, i);
        return;
    }
    switch (chance(16)) {
    case 0:
        drop(list, i);
        return;
    case 1:
        insert(list, k, list->payload[i]);
        return;
    case 2:
        swapped = list->payload[i];
        list->payload[i] = list->payload[k];
        list->payload[k] = swapped;
        return;
    case 3:
        insert(list, i, foreign());
        return;
    case 4:
        insert(list, i, stranger());
        return;
    case 5:
        if (list->payload[i].type == MKT_KEY_DATA && mutation.key.type == MKT_KEY_DATA)
            insert(list, i, mutation.key);
        return;
    }
    mutate_payload(&list->payload[i]);
}

static struct mkt_span mutate_chain(uint16_t type, struct mkt_span chain)
{
    struct list list;
    struct mkt_buf out = room();
    if (chance(32) == 0 || !read_list(type, chain, &list))
        return any(chain);
    mutate_list(&list);
    out = room();
    return mkt_payloads_encode(list.payload, list.n, &out) == MKT_OK ? keep(&out) : chain;
}

static struct mkt_span mutate_first(struct mkt_span chain)
{
    struct list list;
    struct mkt_span rest = chain;
    uint16_t type;
    if (mkt_chain_decode(&type, &rest) != MKT_OK || !read_list(type, rest, &list))
        return any(chain);
    mutate_list(&list);
    struct mkt_buf out = room();
    return mkt_chain_encode(list.payload, list.n, &out) == MKT_OK ? keep(&out) : chain;
}

/* ---- messages ---- */

static void mutate_cs(struct mkt_cs *cs)
{
    switch (chance(6)) {
    case 0:
        n8(&cs->cs_id);
        return;
    case 1:
        n8(&cs->prot_type);
        return;
    case 2:
        n16(&cs->s, 1);
        return;
    case 3:
        cs->policies = any(cs->policies);
        return;
    case 4:
        cs->session_data = any(cs->session_data);
        return;
    case 5:
        cs->spi = any(cs->spi);
        return;
    }
}

static void mutate_map(struct mkt_hdr *hdr)
{
    struct mkt_cs list[MOST];
    struct mkt_span rest = hdr->map;
    size_t n = 0;
    if (hdr->map_type == MKT_MAP_EMPTY || hdr->n_cs > MOST / 2)
        return;
    while (n < hdr->n_cs && mkt_cs_next(&list[n], hdr->map_type, (uint8_t)(n + 1), &rest) == MKT_OK)
        n++;
    switch (chance(8)) {
    case 0:
        n -= n > 0;
        break;
    case 1:
    case 2:
        list[n] = n > 0 ? list[chance(n)] : (struct mkt_cs){.cs_id = 1, .prot_type = MKT_PROT_TLS};
        list[n++].cs_id = (uint8_t)(1 + chance(4));
        break;
    default:
        if (n > 0)
            mutate_cs(&list[chance(n)]);
    }
    struct mkt_buf out = room();
    for (size_t i = 0; i < n; i++)
        if (mkt_cs_encode(&list[i], hdr->map_type, &out) != MKT_OK)
            return;
    hdr->n_cs = (uint8_t)n;
    hdr->map = keep(&out);
}

static void mutate_hdr(struct mkt_hdr *hdr)
{
    switch (chance(16)) {
    case 0:
        n8(&hdr->data_type);
        return;
    case 1:
        hdr->v ^= 1;
        return;
    case 2:
        hdr->prf ^= 1;
        return;
    case 3:
        hdr->csb_id = (uint32_t)number(hdr->csb_id, UINT32_MAX);
        return;
    case 4:
        hdr->map_type = (uint8_t)chance(3);
        hdr->n_cs = 0;
        hdr->map.n = 0;
        return;
    }
    mutate_map(hdr);
}

/* Changes a message or TICKET payload; false where it is none. */
static bool mutate_input(struct mkt_span in, struct mkt_span *made)
{
    struct mkt_message message;
    struct list list;
    if (!mutate_message) {
        *made = mutate_chain(MKT_TICKET, in);
        return true;
    }
    if (mkt_message_decode(&message, in) != MKT_OK)
        return false;
    pick_key(message.payload, message.n);
    for (size_t i = 1 + chance(3); i > 0; i--) {
        if (message.hdr.n_cs > 0 && chance(4) == 0) {
            mutate_hdr(&message.hdr);
            continue;
        }
        list.n = message.n;
        memcpy(list.payload, message.payload, message.n * sizeof *list.payload);
        mutate_list(&list);
        message.n = list.n < MKT_MAX_PAYLOADS ? list.n : MKT_MAX_PAYLOADS;
        memcpy(message.payload, list.payload, message.n * sizeof *list.payload);
    }
    struct mkt_buf out = room();
    if (mkt_message_encode(&message, &out) != MKT_OK)
        return false;
    *made = keep(&out);
    return true;
}

static void begin(unsigned seed)
{
    mutation.state = seed;
    mutation.used = 0;
    mutation.key.type = MKT_LAST;
    chance(1);
}

/* FUZZ_UNSEALED=1 in the environment shows what is reached without all this. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t opened[LIMIT];
    struct mkt_span made;
    begin(seed);
    if (getenv("FUZZ_UNSEALED") != NULL || size < 2 || size - 1 > LIMIT || chance(16) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (chance(32) == 0)
        data[0] ^= (uint8_t)(1u << chance(8));
    if (mutation.other.n == 0 || chance(2) == 0)
        mutation.other = mutate_example(data[0]);
    memcpy(opened, data + 1, size - 1);
    offer(OPENING, data[0], opened, size - 1);
    if (!mutate_input((struct mkt_span){opened, size - 1}, &made))
        made = any((struct mkt_span){opened, size - 1});
    if (made.n > max_size - 1)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data + 1, made.p, made.n);
    seal(data[0], data + 1, made.n);
    return 1 + made.n;
}

/* One input with pieces of another. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_size, unsigned seed)
{
    static uint8_t other[LIMIT];
    if (size1 == 0 || size2 < 2 || size1 > max_size || size2 - 1 > LIMIT)
        return 0;
    memcpy(out, data1, size1);
    memcpy(other, data2 + 1, size2 - 1);
    mutation.other = (struct mkt_span){other, size2 - 1};
    return LLVMFuzzerCustomMutator(out, size1, max_size, seed);
}
