/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Before each file of lib/ that tests/eva.sh analyses: what the head of lib/io.h says of its cursor, as a contract.
 * WP proves it for any cursor and any n. Eva, which knows an interval for each variable but not how two of them belong
 * together, takes it at each call of io_take(), after a look at whether what it requires holds there.
 */
#define __attribute__(list) /* visibility: behind a cast to a type with attributes Eva forgets what a struct holds */

#include <string.h>

/*
 * Frama-C's memcpy() and memset() want an octet at their pointers even for n = 0; C11 7.24.1 wants pointers that are
 * valid, and one to the end of an array is.
 */
static inline void *any_memcpy(void *to, const void *from, size_t n)
{
    return n == 0 ? to : memcpy(to, from, n);
}
static inline void *any_memset(void *p, int c, size_t n)
{
    return n == 0 ? p : memset(p, c, n);
}
#define memcpy any_memcpy
#define memset any_memset

#ifdef PATHS
/* In place of Eva's own: where they stop is then known on each path. */
void *any_memchr(const void *p, int c, size_t n);
int any_memcmp(const void *p, const void *q, size_t n);
#define memchr any_memchr
#define memcmp any_memcmp
#endif

#include "io.h"

/*@ requires \valid(io);
    assigns io->err; */
static inline void io_fail(struct io *io, enum mkt_err err);

/*@ requires \valid(io) && \valid(at) && \separated(io, at);
    requires inside: io->pos <= io->end;
    ensures inside: io->pos <= io->end;
    ensures taken: \result ==> *at == \old(io->pos) && *at + n == io->pos; */
static inline bool io_take(struct io *io, size_t n, size_t *at);
