/* SPDX-License-Identifier: BSD-3-Clause */
/* A MIKEY message is public, so tables may be looked up with it. */
#include "base64.h"

#include "io.h"

enum mkt_err mkt_base64_encode(struct mkt_span in, struct mkt_buf *out)
{
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct io to = io_put(out);
    size_t at;
    const bool writes = io_take(&to, (in.n + 2) / 3 * 4, &at) && to.mode == IO_PUT;
    for (size_t i = 0; writes && i < in.n; i += 3, at += 4) {
        const size_t n = in.n - i; /* one or two in the last quartet */
        const unsigned bits = (unsigned)in.p[i] << 16 | (n > 1 ? in.p[i + 1] : 0u) << 8 | (n > 2 ? in.p[i + 2] : 0u);
        to.out[at] = (uint8_t)letter[bits >> 18];
        to.out[at + 1] = (uint8_t)letter[bits >> 12 & 63];
        to.out[at + 2] = n > 1 ? (uint8_t)letter[bits >> 6 & 63] : '=';
        to.out[at + 3] = n > 2 ? (uint8_t)letter[bits & 63] : '=';
    }
    return io_done(&to, out);
}

/* One more than what a letter stands for; 0 for all other octets. */
static const uint8_t value[256] = {
    ['A'] = 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['+'] = 63, ['/'] = 64,
};

/* By the letter: whole quartets, and no bits but those of octets. */
enum mkt_err mkt_base64_decode(struct mkt_span in, struct mkt_buf *out)
{
    const bool pads = in.n >= 4 && in.p[in.n - 1] == '=';
    const size_t pad = pads ? 1 + (in.p[in.n - 2] == '=') : 0;
    unsigned wrong = in.n % 4;
    struct io to = io_put(out);
    size_t at;
    const bool writes = wrong == 0 && io_take(&to, in.n / 4 * 3 - pad, &at) && to.mode == IO_PUT;
    for (size_t i = 0; wrong == 0 && i < in.n; i += 4) {
        const size_t n = i + 4 == in.n ? 3 - pad : 3; /* octets */
        const unsigned a = value[in.p[i]] - 1u, b = value[in.p[i + 1]] - 1u;
        const unsigned c = n > 1 ? value[in.p[i + 2]] - 1u : 0, d = n > 2 ? value[in.p[i + 3]] - 1u : 0;
        const unsigned bits = a << 18 | b << 12 | c << 6 | d;
        wrong = (a | b | c | d) >> 6 | (bits & (0xffffffu >> 8 * n));
        for (size_t k = 0; writes && k < n; k++)
            to.out[at++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    if (wrong != 0)
        io_fail(&to, MKT_E_BASE64);
    return io_done(&to, out);
}
