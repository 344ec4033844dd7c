/* SPDX-License-Identifier: BSD-3-Clause */
#include "count.h"

#include <stdlib.h>

#ifndef MBEDTLS_PRIVATE
#define MBEDTLS_PRIVATE(member) member
#endif

struct count count;

enum { SHA_BLOCK = 64, AES_BLOCK = 16, LENGTH = 8 };

/* Octets that wait for the rest of their block. */
static size_t waiting(const uint32_t total[2])
{
    return total[0] % SHA_BLOCK;
}

/* FIPS 180-4 5.1.1: one octet 0x80, zeros and a length of 8 octets end the last block, or one more where they don't
 * fit. */
static uint64_t last_blocks(size_t wait)
{
    return wait + 1 + LENGTH <= SHA_BLOCK ? 1 : 2;
}

#define WRAP_HASH(hash)                                                                                                \
    int BENCH_NAME(__real_mbedtls_, hash##_update)(mbedtls_##hash##_context *, const unsigned char *, size_t);         \
    int BENCH_NAME(__wrap_mbedtls_, hash##_update)(mbedtls_##hash##_context *, const unsigned char *, size_t);         \
    int BENCH_NAME(__real_mbedtls_, hash##_finish)(mbedtls_##hash##_context *, unsigned char *);                       \
    int BENCH_NAME(__wrap_mbedtls_, hash##_finish)(mbedtls_##hash##_context *, unsigned char *);                       \
                                                                                                                       \
    int BENCH_NAME(__wrap_mbedtls_, hash##_update)(mbedtls_##hash##_context * c, const unsigned char *in, size_t n)    \
    {                                                                                                                  \
        count.sha += (waiting(c->MBEDTLS_PRIVATE(total)) + n) / SHA_BLOCK;                                             \
        return BENCH_NAME(__real_mbedtls_, hash##_update)(c, in, n);                                                   \
    }                                                                                                                  \
                                                                                                                       \
    int BENCH_NAME(__wrap_mbedtls_, hash##_finish)(mbedtls_##hash##_context * c, unsigned char *out)                   \
    {                                                                                                                  \
        count.sha += last_blocks(waiting(c->MBEDTLS_PRIVATE(total)));                                                  \
        return BENCH_NAME(__real_mbedtls_, hash##_finish)(c, out);                                                     \
    }

WRAP_HASH(sha1)
WRAP_HASH(sha256)

int __real_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned int bits);
int __wrap_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned int bits);
int __real_mbedtls_aes_crypt_ctr(mbedtls_aes_context *aes, size_t n, size_t *used, unsigned char counter[16],
                                 unsigned char stream[16], const unsigned char *in, unsigned char *out);
int __wrap_mbedtls_aes_crypt_ctr(mbedtls_aes_context *aes, size_t n, size_t *used, unsigned char counter[16],
                                 unsigned char stream[16], const unsigned char *in, unsigned char *out);

int __wrap_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned int bits)
{
    count.keys++;
    return __real_mbedtls_aes_setkey_enc(aes, key, bits);
}

/* Counter mode begins a block where none of the last one is left. */
int __wrap_mbedtls_aes_crypt_ctr(mbedtls_aes_context *aes, size_t n, size_t *used, unsigned char counter[16],
                                 unsigned char stream[16], const unsigned char *in, unsigned char *out)
{
    const size_t left = *used == 0 ? 0 : AES_BLOCK - *used;
    count.aes += n > left ? (n - left + AES_BLOCK - 1) / AES_BLOCK : 0;
    return __real_mbedtls_aes_crypt_ctr(aes, n, used, counter, stream, in, out);
}

/* Allocations of the process, GStreamer's and mbedTLS's too: glibc lets a program put itself before its malloc. */
#ifdef __GLIBC__
const bool counts_allocations = true;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    count.allocations++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count.allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count.allocations++;
    return __libc_realloc(p, n);
}
#else
const bool counts_allocations = false;
#endif
