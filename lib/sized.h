/* SPDX-License-Identifier: BSD-3-Clause */
/* sized: structs of the caller's that begin with their size, as they may grow (mikeyticket.h). Add a member at the end,
 * with 0 for what held before, and no padding after it: old programs do not clear what a later member would take. */
#ifndef MKT_SIZED_H
#define MKT_SIZED_H

#include <mikeyticket/span.h>

/* The octets to the end of a member: a struct of the caller's has it if its size is no less. */
#define MKT_UP_TO(name, member) (offsetof(struct name, member) + sizeof((struct name *)NULL)->member)

/* Copies what both versions of a struct have, clears the rest, and sets the size to `known`. False, and all is cleared,
 * if no version can have its size, or if it has other octets than zeros beyond those that are known here. */
static inline bool mkt_sized_copy(void *to, size_t known, const void *from, size_t first)
{
    size_t size;
    memcpy(&size, from, sizeof size);
    memset(to, 0, known);
    if (size < first || size - first > UINT16_MAX)
        return false;
    for (size_t i = known; i < size; i++)
        if (((const uint8_t *)from)[i] != 0)
            return false;
    memcpy(to, from, size < known ? size : known);
    memcpy(to, &known, sizeof known);
    return true;
}

#endif
