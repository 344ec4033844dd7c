/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file span.h
 * Octets that go in and octets that come out. Every other header builds on these two structs.
 *
 * The rule for NULL in all headers: an argument may be NULL only if its description says "may be NULL". Nothing checks
 * the others. Every function whose name ends in _free takes NULL, and then does nothing.
 */
#ifndef MIKEYTICKET_SPAN_H
#define MIKEYTICKET_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define MKT_API __attribute__((visibility("default")))
#define MKT_MUST __attribute__((warn_unused_result))
#else
#define MKT_API
#define MKT_MUST
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A view of octets that belong to somebody else: never freed, never written through.
 * It is valid as long as what it points into. `n` is in octets; `p` may be NULL where `n` is 0.
 */
struct mkt_span {
    const uint8_t *p;
    size_t n;
};

/**
 * Room of the caller's for output. A function that writes appends at `p + n` and lets `n` grow. After an error `n`
 * is as it was, whatever stands behind it. With `p` NULL nothing is written and `n` grows by the octets that would be:
 * measure, allocate, call again. With too little room the answer is MKT_E_BUFFER, with `n` beyond `cap` MKT_E_ARGUMENT.
 */
struct mkt_buf {
    uint8_t *p; /**< the caller's octets, or NULL to measure */
    size_t cap; /**< how many there are; without meaning where `p` is NULL */
    size_t n;   /**< how many are used; begin with 0 */
};

/** Returns a view of the octets that a buffer has been given; empty if it measures. */
static inline struct mkt_span mkt_buf_span(const struct mkt_buf *buf)
{
    struct mkt_span span = {buf->p, buf->p == NULL ? 0 : buf->n};
    return span;
}

/** A span of a C string, without its final NUL. `text` may be NULL: the span is empty. */
MKT_API struct mkt_span mkt_span_text(const char *text);

/** Whether two spans hold the same octets. Not for secrets: its time depends on them. */
MKT_API bool mkt_span_equal(struct mkt_span a, struct mkt_span b);

#ifdef __cplusplus
}
#endif
#endif
