/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What MSan must be told of code that it does not see (tests/run.sh msan): the linker puts these in the place of what
 * they are named after (-Wl,--wrap). What mbedTLS reads must be known, what it writes then is. Check writes its notes
 * for itself with octets in them that it never set, and a test that looks for a key in all of a bundle looks at its
 * padding, too.
 *
 * All are weak: a suite may have its own in their place, and a program may not need mbedTLS.
 */
#include "parties.h"

#include <mbedtls/aes.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include <sanitizer/msan_interface.h>

#include <stdio.h>

#define WEAK __attribute__((weak))

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define WRAP(name) __wrap_##name##_ret
#define REAL(name) __real_##name##_ret
#else
#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name
#endif

#define HASH(hash, octets)                                                                                             \
    WEAK int REAL(mbedtls_##hash##_update)(mbedtls_##hash##_context *, const unsigned char *, size_t);                 \
    WEAK int REAL(mbedtls_##hash##_finish)(mbedtls_##hash##_context *, unsigned char *);                               \
    WEAK int WRAP(mbedtls_##hash##_update)(mbedtls_##hash##_context *, const unsigned char *, size_t);                 \
    WEAK int WRAP(mbedtls_##hash##_finish)(mbedtls_##hash##_context *, unsigned char *);                               \
    int WRAP(mbedtls_##hash##_update)(mbedtls_##hash##_context * c, const unsigned char *in, size_t n)                 \
    {                                                                                                                  \
        __msan_check_mem_is_initialized(in, n);                                                                        \
        return REAL(mbedtls_##hash##_update)(c, in, n);                                                                \
    }                                                                                                                  \
    int WRAP(mbedtls_##hash##_finish)(mbedtls_##hash##_context * c, unsigned char *out)                                \
    {                                                                                                                  \
        int err = REAL(mbedtls_##hash##_finish)(c, out);                                                               \
        __msan_unpoison(out, octets);                                                                                  \
        return err;                                                                                                    \
    }

HASH(sha1, 20)
HASH(sha256, 32)

WEAK int __real_mbedtls_aes_setkey_enc(mbedtls_aes_context *, const unsigned char *, unsigned);
WEAK int __wrap_mbedtls_aes_setkey_enc(mbedtls_aes_context *, const unsigned char *, unsigned);
int __wrap_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits)
{
    __msan_check_mem_is_initialized(key, bits / 8);
    return __real_mbedtls_aes_setkey_enc(aes, key, bits);
}

WEAK int __real_mbedtls_aes_crypt_ctr(mbedtls_aes_context *, size_t, size_t *, unsigned char *, unsigned char *,
                                      const unsigned char *, unsigned char *);
WEAK int __wrap_mbedtls_aes_crypt_ctr(mbedtls_aes_context *, size_t, size_t *, unsigned char *, unsigned char *,
                                      const unsigned char *, unsigned char *);
int __wrap_mbedtls_aes_crypt_ctr(mbedtls_aes_context *aes, size_t n, size_t *used, unsigned char *counter,
                                 unsigned char *stream, const unsigned char *in, unsigned char *out)
{
    __msan_check_mem_is_initialized(counter, 16);
    __msan_check_mem_is_initialized(in, n);
    int err = __real_mbedtls_aes_crypt_ctr(aes, n, used, counter, stream, in, out);
    __msan_unpoison(out, n);
    return err;
}

/* That of 3.6 calls explicit_bzero(), which MSan does not see either. */
WEAK void __real_mbedtls_platform_zeroize(void *, size_t);
WEAK void __wrap_mbedtls_platform_zeroize(void *, size_t);
void __wrap_mbedtls_platform_zeroize(void *out, size_t n)
{
    __real_mbedtls_platform_zeroize(out, n);
    __msan_unpoison(out, n);
}

WEAK size_t __real_fwrite(const void *, size_t, size_t, FILE *);
WEAK size_t __wrap_fwrite(const void *, size_t, size_t, FILE *);
size_t __wrap_fwrite(const void *in, size_t size, size_t n, FILE *file)
{
    __msan_unpoison(in, size * n);
    return __real_fwrite(in, size, n, file);
}

WEAK bool __real_holds(const struct party *, struct mkt_span);
WEAK bool __wrap_holds(const struct party *, struct mkt_span);
bool __wrap_holds(const struct party *party, struct mkt_span secret)
{
    __msan_unpoison(party->csb, party->settings.bundle_size);
    return __real_holds(party, secret);
}
