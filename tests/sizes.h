/* SPDX-License-Identifier: BSD-3-Clause */
/* Structs that begin with their size, as programs of other versions have them. */
#ifndef TESTS_SIZES_H
#define TESTS_SIZES_H

#include "vector.h"

#include <string.h>

/* What a function is called with, beside such a struct; each suite has its own. */
struct scene;
typedef enum mkt_err call_with(struct scene *s, const void *sized);

/* A struct of so many octets in a block of its own, which has what is right and then zeros. */
static inline uint8_t *resized(const void *right, size_t known, size_t size)
{
    const size_t n = size < sizeof size ? sizeof size : size;
    uint8_t octets[1024] = {0};
    ck_assert_uint_le(n, sizeof octets);
    memcpy(octets, right, n < known ? n : known);
    memcpy(octets, &size, sizeof size);
    return (uint8_t *)(uintptr_t)exact((struct mkt_span){octets, n}).p;
}

/* The program has an older struct than the library, one of the same version, and newer ones. */
static inline void expect_sizes(const char *name, const void *right, size_t known, struct scene *s, call_with *call)
{
    static const size_t too_small[] = {0, 1, sizeof(size_t) - 1, sizeof(size_t), sizeof(size_t) + 1};
    expect_err(name, call(s, resized(right, known, known)), MKT_OK);
    for (size_t i = 0; i < sizeof too_small / sizeof *too_small; i++)
        expect_err(name, call(s, resized(right, known, too_small[i])), MKT_E_ARGUMENT);
    expect_err(name, call(s, resized(right, known, known - 1)), MKT_E_ARGUMENT);
    for (size_t more = 1; more <= 24; more++) {
        uint8_t *newer = resized(right, known, known + more);
        expect_err(name, call(s, newer), MKT_OK);
        newer[known + more - 1] = 1;
        expect_err(name, call(s, newer), MKT_E_ARGUMENT);
        newer[known + more - 1] = 0;
        newer[known] = 0x80;
        expect_err(name, call(s, newer), MKT_E_ARGUMENT);
    }
    expect_err(name, call(s, resized(right, known, known)), MKT_OK);
    free_all();
}

#endif
