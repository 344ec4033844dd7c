/* SPDX-License-Identifier: BSD-3-Clause */
#include "bundle.h"

void mkt_times_add(struct mkt_times *times, const struct mkt_t *t, bool kemac)
{
    const uint64_t after = t->value + 1;
    if (t->ts_type != MKT_TS_COUNTER) {
        times->by_clock = true;
        times->clock = mkt_t_64(t);
        return;
    }
    times->counter = after > times->counter ? after : times->counter;
    if (!kemac)
        return;
    times->from = times->to == 0 || t->value < times->from ? t->value : times->from;
    times->to = after > times->to ? after : times->to;
}

bool mkt_bundle_key(const struct mkt_bundle *bundle, struct mkt_span spi, struct mkt_key_data *key)
{
    for (size_t c = 0; c < MKT_CHAINS; c++)
        if (mkt_keys_find(bundle->keys[c], spi, key))
            return true;
    return false;
}

size_t mkt_bundle_longest(const struct mkt_bundle *bundle)
{
    size_t longest = bundle->mpki.n > bundle->mpkr.n ? bundle->mpki.n : bundle->mpkr.n;
    for (size_t c = 0; c < MKT_CHAINS; c++) {
        size_t n = mkt_keys_longest(bundle->keys[c], false);
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* ---- its spans, in one list ---- */

enum { SPANS = 15 + MKT_CHAINS };

static void list_spans(struct mkt_bundle *b, struct mkt_span *span[SPANS])
{
    struct mkt_span *const all[SPANS] = {
        &b->init,    &b->asked_kms, &b->psk,     &b->randi,   &b->randr,          &b->randkms,     &b->mpki,
        &b->mpkr,    &b->map,       &b->sps,     &b->ticket,  &b->initiator.data, &b->called.data, &b->responder.data,
        &b->keys[0], &b->keys[1],   &b->keys[2], &b->keys[3], &b->envelope_key,
    };
    memcpy(span, all, sizeof all);
}

/* Those that have something, in the order in which they stand; how many there are. */
static size_t sort(struct mkt_span *all[SPANS], struct mkt_span *sorted[SPANS])
{
    size_t n = 0;
    for (size_t i = 0; i < SPANS; i++) {
        if (all[i]->n == 0) {
            *all[i] = io_none;
            continue;
        }
        size_t at = n++;
        for (; at > 0 && all[i]->p < sorted[at - 1]->p; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = all[i];
    }
    return n;
}

/* Spans may overlap: a key and the chain that it is in. What overlaps moves as one piece. */
enum mkt_err mkt_bundle_move(struct mkt_bundle *bundle, const uint8_t *source, struct mkt_buf *arena)
{
    struct mkt_span *all[SPANS], *span[SPANS];
    size_t from = 0, end = 0, to = 0; /* octets from..end of the source stand at to.. by now */
    list_spans(bundle, all);
    const size_t n = sort(all, span);
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)(span[i]->p - source), after = at + span[i]->n;
        if (at >= end) {
            to += end - from;
            from = end = at;
        }
        if (after > end && after - from > arena->cap - to)
            return MKT_E_BUNDLE_FULL;
        if (after > end) {
            memmove(arena->p + to + (end - from), source + end, after - end);
            end = after;
        }
        span[i]->p = arena->p + to + (at - from);
    }
    arena->n = to + (end - from);
    return MKT_OK;
}

void mkt_bundle_pack(struct mkt_bundle *bundle, struct mkt_buf *arena)
{
    const size_t before = arena->n;
    (void)!mkt_bundle_move(bundle, arena->p, arena); /* it has room there already */
    mkt_wipe(arena->p + arena->n, before - arena->n);
}

/* ---- as octets ---- */

static void io_id(struct io *io, struct mkt_id *id)
{
    io_u8(io, &id->role);
    io_u8(io, &id->type);
}

static void io_times(struct io *io, struct mkt_times *times)
{
    uint8_t by_clock = times->by_clock;
    io_u8(io, &by_clock);
    io_uint(io, &times->clock, 8);
    io_uint(io, &times->counter, 8);
    io_uint(io, &times->from, 8);
    io_uint(io, &times->to, 8);
    if (by_clock > 1 || times->counter > (uint64_t)UINT32_MAX + 1 || times->to > times->counter ||
        (times->to == 0 ? times->from != 0 : times->from >= times->to))
        io_fail(io, MKT_E_STORED);
    times->by_clock = by_clock == 1;
}

static void io_hash(struct io *io, uint8_t hash[MKT_MAX_HASH])
{
    struct mkt_span octets = {hash, MKT_MAX_HASH};
    io_bytes(io, &octets, MKT_MAX_HASH);
    if (io->mode == IO_GET && octets.n > 0)
        memcpy(hash, octets.p, octets.n);
}

void mkt_io_bundle(struct io *io, struct mkt_bundle *b)
{
    struct mkt_span *span[SPANS];
    uint8_t suite = (uint8_t)b->suite, sent_with = (uint8_t)b->sent_with, named = b->named_by_kms;
    io_u8(io, &suite);
    io_u8(io, &sent_with);
    io_u32(io, &b->csb_id);
    io_u16(io, &b->flags);
    io_u32(io, &b->rekeying);
    io_u8(io, &named);
    io_times(io, &b->peer_last_t);
    io_times(io, &b->reported);
    io_times(io, &b->sent);
    io_u8(io, &b->n_cs);
    io_id(io, &b->initiator);
    io_id(io, &b->called);
    io_id(io, &b->responder);
    io_hash(io, b->ticket_hash);
    io_hash(io, b->answer_hash);
    list_spans(b, span);
    for (size_t i = 0; i < SPANS; i++)
        io_vec(io, span[i], 4);
    if (suite > MKT_SUITE_128 || sent_with > MKT_SENT_WITH_MPK_RESPONSE || named > 1)
        io_fail(io, MKT_E_STORED);
    b->suite = suite == MKT_SUITE_128 ? MKT_SUITE_128 : MKT_SUITE_256;
    b->sent_with = (enum mkt_sent_with)sent_with;
    b->named_by_kms = named == 1;
}
