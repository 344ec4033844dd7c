/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is done is counted where the crypto room calls mbedTLS: the linker sends those calls here (--wrap, meson.build),
 * so the library is the one that is installed. The floor of paper.c goes the same way, and pays as much for it.
 */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include <mbedtls/aes.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* mbedTLS 2.28 has the same functions under these names, and void ones under those of 3.x. */
#if MBEDTLS_VERSION_MAJOR < 3
#define BENCH_NAME(prefix, name) prefix##name##_ret
#else
#define BENCH_NAME(prefix, name) prefix##name
#endif

struct count {
    uint64_t sha;         /* blocks of 64 octets that SHA-1 or SHA-256 compressed */
    uint64_t aes;         /* blocks of 16 octets that AES encrypted */
    uint64_t keys;        /* AES keys that were set up */
    uint64_t allocations; /* of the process: malloc, calloc, realloc; glibc only, see count.c */
};

extern struct count count;

/* Whether allocations are counted in this build. */
extern const bool counts_allocations;

#endif
