/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates that a test makes, octet by octet, so that anything can be wrong with them. All of it in the header: for
   one file of a program. */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include "vector.h"

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/version.h>

#include <string.h>

/* One DER value around others, which follow each other. */
static inline struct mkt_span der(unsigned tag, const struct mkt_span part[], size_t n)
{
    static uint8_t all[1 << 18];
    size_t length = 0, at = 6;
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_le(part[i].n, sizeof all - at - length);
        if (part[i].n > 0)
            memcpy(all + at + length, part[i].p, part[i].n);
        length += part[i].n;
    }
    if (length < 128) {
        all[--at] = (uint8_t)length;
    } else {
        uint8_t octets = 0;
        for (size_t left = length; left > 0; left >>= 8, octets++)
            all[--at] = (uint8_t)left;
        all[--at] = 0x80 | octets;
    }
    all[--at] = (uint8_t)tag;
    return exact((struct mkt_span){all + at, 6 - at + length});
}
#define LIST(...)                                                                                                      \
    (const struct mkt_span[])                                                                                          \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define DER(tag, ...) der(tag, LIST(__VA_ARGS__), sizeof(LIST(__VA_ARGS__)) / sizeof(struct mkt_span))
#define NONE ((struct mkt_span){NULL, 0})

enum { INTEGER = 2, BITS = 3, OCTETS = 4, OID = 6, UTF8 = 12, UTC = 23, SEQUENCE = 0x30, SET = 0x31 };
enum { CONSTRUCTED = 0x20, RFC822 = 0x81, DNS = 0x82, URI = 0x86 }; /* of subjectAltName */
enum { DIGITAL_SIGNATURE = 0x80, KEY_ENCIPHERMENT = 0x20, CERT_SIGN = 0x04 };
enum made_with { SHA256, SHA1, MD5 };

struct recipe {
    const char *subject, *issuer;
    const char *from, *to;      /* NULL: 2020 and 2049 */
    struct mkt_span public_key; /* SubjectPublicKeyInfo */
    struct mkt_span names;      /* the list of subjectAltName; none: no such extension */
    struct mkt_span extension;  /* one more, or none */
    bool ca;
    bool version_1;      /* without extensions */
    int path;            /* the path length and 1; 0: none */
    unsigned usage;      /* keyUsage; 0: none */
    enum made_with hash; /* of the signature */
};

static inline int no_random(void *user, unsigned char *out, size_t n)
{
    (void)user;
    memset(out, 0x5a, n);
    return 0;
}

static inline void read_key(mbedtls_pk_context *pk, struct mkt_span private_key)
{
    mbedtls_pk_init(pk);
#if MBEDTLS_VERSION_MAJOR >= 3
    ck_assert_int_eq(mbedtls_pk_parse_key(pk, private_key.p, private_key.n, NULL, 0, no_random, NULL), 0);
#else
    ck_assert_int_eq(mbedtls_pk_parse_key(pk, private_key.p, private_key.n, NULL, 0), 0);
#endif
}

/* SubjectPublicKeyInfo of a private key. */
static inline struct mkt_span public_of(struct mkt_span private_key)
{
    uint8_t octets[1024];
    mbedtls_pk_context pk;
    read_key(&pk, private_key);
    const int n = mbedtls_pk_write_pubkey_der(&pk, octets, sizeof octets);
    mbedtls_pk_free(&pk);
    ck_assert_int_gt(n, 0);
    return exact((struct mkt_span){octets + sizeof octets - n, (size_t)n});
}

/* SubjectPublicKeyInfo of numbers: the octets of both, in hex or as they are. */
static inline struct mkt_span public_key_of(struct mkt_span modulus, const char *exponent)
{
    const struct mkt_span zero = from_hex("00");
    const struct mkt_span key = DER(SEQUENCE, DER(INTEGER, zero, modulus), DER(INTEGER, from_hex(exponent)));
    return DER(SEQUENCE, from_hex("300d06092a864886f70d0101010500"), DER(BITS, zero, key));
}

/* RSASSA-PKCS1-v1_5. */
static inline struct mkt_span signed_by(struct mkt_span private_key, enum made_with hash, struct mkt_span octets)
{
    static const struct {
        mbedtls_md_type_t type;
        const char *info; /* of the DigestInfo, before the hash */
    } hashes[] = {{MBEDTLS_MD_SHA256, "3031300d060960864801650304020105000420"},
                  {MBEDTLS_MD_SHA1, "3021300906052b0e03021a05000414"},
                  {MBEDTLS_MD_MD5, "3020300c06082a864886f70d020505000410"}};
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(hashes[hash].type);
    const struct mkt_span info = from_hex(hashes[hash].info);
    uint8_t padded[512], *end = padded;
    mbedtls_pk_context pk;
    read_key(&pk, private_key);
    const size_t n = mbedtls_pk_get_len(&pk), length = mbedtls_md_get_size(md);
    memset(padded, 0xff, sizeof padded);
    padded[0] = 0;
    padded[1] = 1;
    end += n - length;
    ck_assert_int_eq(mbedtls_md(md, octets.p, octets.n, end), 0);
    memcpy(end - info.n, info.p, info.n);
    end[-(ptrdiff_t)info.n - 1] = 0;
    ck_assert_int_eq(mbedtls_rsa_private(mbedtls_pk_rsa(pk), no_random, NULL, padded, padded), 0);
    mbedtls_pk_free(&pk);
    return exact((struct mkt_span){padded, n});
}

static inline struct mkt_span name_of(const char *cn)
{
    return DER(SEQUENCE, DER(SET, DER(SEQUENCE, from_hex("0603550403"), DER(UTF8, mkt_span_text(cn)))));
}

/* A certificate, signed by a private key. */
static inline struct mkt_span certificate_of(const struct recipe *r, struct mkt_span private_key)
{
    static const char *const algorithms[] = {"300d06092a864886f70d01010b0500", "300d06092a864886f70d0101050500",
                                             "300d06092a864886f70d0101040500"};
    const struct mkt_span algorithm = from_hex(algorithms[r->hash]), zero = from_hex("00");
    uint8_t usage[2] = {0, (uint8_t)r->usage}, path = (uint8_t)(r->path - 1);
    while (r->usage != 0 && (r->usage >> usage[0] & 1) == 0)
        usage[0]++;
    struct mkt_span constraints = NONE, used = NONE, named = NONE;
    if (r->ca)
        constraints = DER(SEQUENCE, from_hex("0603551d130101ff"),
                          DER(OCTETS, DER(SEQUENCE, from_hex("0101ff"),
                                          r->path == 0 ? NONE : DER(INTEGER, (struct mkt_span){&path, 1}))));
    if (r->usage != 0)
        used = DER(SEQUENCE, from_hex("0603551d0f0101ff"), DER(OCTETS, DER(BITS, (struct mkt_span){usage, 2})));
    if (r->names.n > 0)
        named = DER(SEQUENCE, from_hex("0603551d11"), DER(OCTETS, DER(SEQUENCE, r->names)));
    const struct mkt_span body =
        DER(SEQUENCE, r->version_1 ? NONE : from_hex("a003020102"), from_hex("020107"), algorithm, name_of(r->issuer),
            DER(SEQUENCE, DER(UTC, mkt_span_text(r->from == NULL ? "200101000000Z" : r->from)),
                DER(UTC, mkt_span_text(r->to == NULL ? "491231235959Z" : r->to))),
            name_of(r->subject), r->public_key,
            r->version_1 || constraints.n + used.n + named.n + r->extension.n == 0
                ? NONE
                : DER(0xa3, DER(SEQUENCE, constraints, used, named, r->extension)));
    return DER(SEQUENCE, body, algorithm, DER(BITS, zero, signed_by(private_key, r->hash, body)));
}

#endif
