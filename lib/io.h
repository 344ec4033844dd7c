/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io: one cursor, three modes. The same walk reads (GET), writes (PUT) or measures (SIZE) a structure, so a layout is
 * stated once. The first error sticks, and every call after it does nothing: walk in straight lines, look once.
 *
 * Reviewers: io_take() is the only place that moves the cursor and the only bounds check of the library.
 *   1. pos <= end holds at the start (0 <= end) and after each step: pos grows by n only where n <= end - pos, which
 *      can't underflow by 1., so pos + n can't overflow either.
 *   2. in + at and out + at are used for n octets only after io_take(n) gave `at`.
 *   3. SIZE has end = SIZE_MAX and touches no octets.
 */
#ifndef MKT_IO_H
#define MKT_IO_H

#include "error.h"

#include <string.h>

struct io {
    enum { IO_GET, IO_PUT, IO_SIZE } mode;
    const uint8_t *in; /* GET only */
    uint8_t *out;      /* PUT only */
    size_t pos, end;
    size_t from; /* where the field at hand begins, to tell where an error is */
    enum mkt_err err;
};

/* No octets: what is left out, or not there. */
static const struct mkt_span io_none = {NULL, 0};

static inline struct io io_get(struct mkt_span in)
{
    return (struct io){.mode = IO_GET, .in = in.p, .end = in.n};
}

/* Appends to a buffer of the caller's, or measures where that is NULL; io_done() makes the result count. */
static inline struct io io_put(const struct mkt_buf *out)
{
    if (out->p == NULL)
        return (struct io){.mode = IO_SIZE, .end = SIZE_MAX};
    if (out->n > out->cap)
        return (struct io){.mode = IO_PUT, .err = MKT_E_ARGUMENT};
    return (struct io){.mode = IO_PUT, .out = out->p + out->n, .end = out->cap - out->n};
}

static inline enum mkt_err io_done(const struct io *io, struct mkt_buf *out)
{
    if (io->err == MKT_OK)
        out->n += io->pos;
    return io->err;
}

static inline void io_fail(struct io *io, enum mkt_err err)
{
    if (io->err == MKT_OK)
        io->err = err;
}

static inline bool io_take(struct io *io, size_t n, size_t *at)
{
    if (io->err != MKT_OK)
        return false;
    io->from = io->pos;
    if (n > io->end - io->pos) {
        io_fail(io, io->mode == IO_GET ? MKT_E_TRUNCATED : MKT_E_BUFFER);
        return false;
    }
    *at = io->pos;
    io->pos += n;
    return true;
}

/* An unsigned integer of `octets` octets (1 to 8) in network byte order. GET gives 0 after an error. */
static inline void io_uint(struct io *io, uint64_t *v, size_t octets)
{
    size_t at;
    if (io->mode == IO_GET) {
        uint64_t x = 0;
        const bool taken = io_take(io, octets, &at);
        for (size_t i = 0; taken && i < octets; i++)
            x = x << 8 | io->in[at + i];
        *v = x;
        return;
    }
    if (octets < 8 && *v >> (8 * octets) != 0)
        io_fail(io, MKT_E_LENGTH);
    if (io_take(io, octets, &at) && io->mode == IO_PUT)
        for (size_t i = 0; i < octets; i++)
            io->out[at + i] = (uint8_t)(*v >> (8 * (octets - 1 - i)));
}

static inline void io_u8(struct io *io, uint8_t *v)
{
    uint64_t x = *v;
    io_uint(io, &x, 1);
    *v = (uint8_t)x;
}

static inline void io_u16(struct io *io, uint16_t *v)
{
    uint64_t x = *v;
    io_uint(io, &x, 2);
    *v = (uint16_t)x;
}

static inline void io_u32(struct io *io, uint32_t *v)
{
    uint64_t x = *v;
    io_uint(io, &x, 4);
    *v = (uint32_t)x;
}

/* Two fields that share one or two octets: `high`, then the `low_bits` bits of `low`. */
static inline void io_split(struct io *io, size_t octets, uint16_t *high, unsigned low_bits, uint16_t *low)
{
    uint32_t mask = (1u << low_bits) - 1;
    if (io->mode != IO_GET && *low > mask)
        io_fail(io, MKT_E_LENGTH);
    uint64_t x = (uint64_t)*high << low_bits | (*low & mask);
    io_uint(io, &x, octets);
    *high = (uint16_t)(x >> low_bits);
    *low = (uint16_t)(x & mask);
}

/* `n` octets, as known from elsewhere. PUT wants a span of that length, which then views what was written. If its
 * `p` is NULL, zeros are written, to be filled in later. */
static inline void io_bytes(struct io *io, struct mkt_span *s, size_t n)
{
    size_t at;
    if (io->mode == IO_GET) {
        *s = io_take(io, n, &at) ? (struct mkt_span){io->in + at, n} : (struct mkt_span){NULL, 0};
        return;
    }
    if (s->n != n)
        io_fail(io, MKT_E_LENGTH);
    if (!io_take(io, n, &at) || io->mode != IO_PUT)
        return;
    if (s->p != NULL)
        memcpy(io->out + at, s->p, n);
    else
        memset(io->out + at, 0, n);
    s->p = io->out + at;
}

/* A length of `length_octets` octets, then as many octets. */
static inline void io_vec(struct io *io, struct mkt_span *s, size_t length_octets)
{
    uint64_t n = s->n;
    io_uint(io, &n, length_octets);
    io_bytes(io, s, (size_t)n);
}

/* What went wrong in a list that was read on a cursor of its own, from octet `at` of this one on. */
static inline void io_fail_within(struct io *io, size_t at, const struct io *list)
{
    if (io->err == MKT_OK && list->err != MKT_OK)
        io->from = at + list->from;
    io_fail(io, list->err);
}

/* Whether a GET has octets left to read. */
static inline bool io_left(const struct io *io)
{
    return io->err == MKT_OK && io->pos < io->end;
}

/* What a GET has not read yet. */
static inline struct mkt_span io_rest(const struct io *io)
{
    if (io->err != MKT_OK || io->pos == io->end)
        return (struct mkt_span){NULL, 0};
    return (struct mkt_span){io->in + io->pos, io->end - io->pos};
}

/* What a GET has read since it stood at `from`. */
static inline struct mkt_span io_since(const struct io *io, size_t from)
{
    if (io->err != MKT_OK || io->mode != IO_GET)
        return (struct mkt_span){NULL, 0};
    return (struct mkt_span){io->in + from, io->pos - from};
}

/* Room for `n` octets at the end of a buffer, which are used from now on; NULL where it has none. */
static inline uint8_t *io_reserve(struct mkt_buf *buf, size_t n)
{
    struct io io = io_put(buf);
    size_t at;
    if (io.mode != IO_PUT || !io_take(&io, n, &at))
        return NULL;
    buf->n += n;
    return io.out + at;
}

/* The same octets to be written, of a span that views the used part of a buffer. */
static inline uint8_t *io_within(const struct mkt_buf *buf, struct mkt_span s)
{
    return buf->p + (s.p - buf->p);
}

/* What a buffer has been given since it had `from` octets. */
static inline struct mkt_span io_tail(const struct mkt_buf *buf, size_t from)
{
    return (struct mkt_span){buf->p == NULL ? NULL : buf->p + from, buf->n - from};
}

/* A copy of a span at the end of a buffer: `to` then views it. If its `p` is NULL, that is only as much room. */
static inline enum mkt_err io_keep(struct mkt_buf *buf, struct mkt_span from, struct mkt_span *to)
{
    uint8_t *p = io_reserve(buf, from.n);
    if (p == NULL)
        return MKT_E_BUNDLE_FULL;
    if (from.p != NULL)
        memcpy(p, from.p, from.n);
    *to = (struct mkt_span){p, from.n};
    return MKT_OK;
}

static inline void io_expect_end(struct io *io)
{
    if (io->err != MKT_OK || io->mode != IO_GET || io->pos == io->end)
        return;
    io->from = io->pos;
    io_fail(io, MKT_E_TRAILING);
}

#endif
