/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mutator for libFuzzer that knows the programs of fuzz/model.c: it puts in, takes out, repeats, moves and changes
 * whole operations, so that those behind keep their meaning.
 */
#include "model.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_size, unsigned seed);

enum { LONGEST = 160 }; /* octets of a program; longer ones find no more, and take longer */

static uint64_t state;

static size_t chance(size_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % n;
}

/* Where one of the operations of a program begins, or its end. */
static size_t boundary(const uint8_t *data, size_t size)
{
    size_t n = 0, at = 1; /* behind the octet that says how the world is */
    for (; at < size; at += model_length(data[at]))
        n++;
    size_t skip = chance(n + 1);
    for (at = 1; skip > 0; skip--)
        at += model_length(data[at]);
    return at < size ? at : size;
}

static size_t length_at(const uint8_t *data, size_t size, size_t at)
{
    const size_t n = at < size ? model_length(data[at]) : 0;
    return n < size - at ? n : size - at;
}

/* Small numbers mean what is newest. */
static uint8_t argument(void)
{
    return (uint8_t)(chance(2) == 0 ? chance(5) : chance(3) == 0 ? 1u << chance(8) : chance(256));
}

/* Puts octets into a program, if there is room. */
static size_t insert(uint8_t *data, size_t size, size_t max_size, size_t at, const uint8_t *octets, size_t n)
{
    if (n > max_size - size || size > LONGEST)
        return size;
    memmove(data + at + n, data + at, size - at);
    memcpy(data + at, octets, n);
    return size + n;
}

static size_t change_operation(uint8_t *data, size_t size, size_t max_size)
{
    uint8_t octets[1 + MODEL_ARGUMENTS];
    const size_t at = boundary(data, size), n = length_at(data, size, at);
    switch (chance(7)) {
    case 0: /* a new one in the middle, */
    case 1: /* or in the end */
        for (size_t i = 0; i < sizeof octets; i++)
            octets[i] = i == 0 ? (uint8_t)chance(256) : argument();
        return insert(data, size, max_size, chance(2) == 0 ? at : size, octets, model_length(octets[0]));
    case 2: /* one less */
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    case 3: /* one again */
        memcpy(octets, data + at, n);
        return insert(data, size, max_size, chance(2) == 0 ? size : boundary(data, size), octets, n);
    case 4: /* another one with the same arguments */
        if (n > 0)
            data[at] = (uint8_t)chance(256);
        return size;
    default:
        if (n > 1)
            data[at + 1 + chance(n - 1)] = argument();
        return size;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    state = seed;
    if (size == 0 || chance(16) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (chance(32) == 0)
        data[0] = (uint8_t)chance(16);
    for (size_t i = 1 + chance(4); i > 0; i--)
        size = change_operation(data, size, max_size);
    return size;
}

/* The first operations of one program, and the last of another. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_size, unsigned seed)
{
    state = seed;
    if (size1 == 0 || size2 == 0)
        return 0;
    const size_t head = boundary(data1, size1), from = boundary(data2, size2), tail = size2 - from;
    if (head + tail > max_size || head + tail > LONGEST)
        return 0;
    memcpy(out, data1, head);
    memcpy(out + head, data2 + from, tail);
    return head + tail;
}
