/* SPDX-License-Identifier: BSD-3-Clause */
/* Public keys with certificates, by mbedTLS. What differs between mbedTLS 2.28 and 3.6 is in the one #if below. */
#define _DEFAULT_SOURCE /* getentropy */

#include <mikeyticket/host.h>
#include <mikeyticket/x509.h>

#include "io.h"
#include "sized.h"

#include <mbedtls/entropy.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/rsa.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#include <unistd.h>

enum { LEAST_BITS = 2048, MOST_BITS = 8 * MKT_MAX_RSA, HASH = 32 }; /* bits and octets */

/* Certificates that were added together. */
struct held {
    struct held *next;
    mbedtls_x509_crt chain; /* each certifies the one before, except in `anchors` */
    mbedtls_pk_context key; /* in `own` */
};

struct mkt_x509 {
    struct mkt_x509_settings settings;
    struct held *anchors, *kms, *own;
    uint8_t least[MKT_MAX_RSA]; /* modulus */
    struct mkt_span sent[MKT_MAX_CERTIFICATES];
};

/* ---- what mbedTLS is asked for ---- */

static struct mkt_span octets_of(const mbedtls_x509_buf *buf)
{
    return (struct mkt_span){buf->p, buf->len};
}

static bool is_same(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return mkt_span_equal(octets_of(a), octets_of(b));
}

/* The error of mbedTLS's code, the sum of a high and a low one; `otherwise` if it is no lack of memory or octets. */
static enum mkt_err error_of(int code, enum mkt_err otherwise)
{
    const int low = -(-code & 0x7f), high = code - low;
    if (low == MBEDTLS_ERR_MPI_ALLOC_FAILED || low == MBEDTLS_ERR_ASN1_ALLOC_FAILED ||
        high == MBEDTLS_ERR_X509_ALLOC_FAILED || high == MBEDTLS_ERR_PK_ALLOC_FAILED ||
        high == MBEDTLS_ERR_MD_ALLOC_FAILED)
        return MKT_E_MEMORY;
    if (low == MBEDTLS_ERR_ENTROPY_SOURCE_FAILED || high == MBEDTLS_ERR_RSA_RNG_FAILED)
        return MKT_E_RANDOM;
    return code == 0 ? MKT_OK : otherwise;
}

static int draw(void *user, unsigned char *out, size_t n)
{
    enum { AT_ONCE = 256 }; /* what getentropy() gives at most */
    const struct mkt_x509_settings *settings = &((struct mkt_x509 *)user)->settings;
    if (settings->rng != NULL)
        return settings->rng(settings->rng_user, out, n) == 0 ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    for (size_t at = 0; at < n; at += AT_ONCE)
        if (getentropy(out + at, n - at < AT_ONCE ? n - at : AT_ONCE) != 0)
            return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    return 0;
}

/* Arguments that only one of them has. */
#if MBEDTLS_VERSION_MAJOR >= 3
#define PARSE_BY(rng, user) , rng, user
#define SIGN_BY(rng, user) rng, user
#else
#define PARSE_BY(rng, user)
#define SIGN_BY(rng, user) rng, user, MBEDTLS_RSA_PRIVATE
#endif

static enum mkt_err hash_parts(mbedtls_md_type_t type, const struct mkt_span part[], size_t n, uint8_t hash[HASH])
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    int code = mbedtls_md_setup(&md, mbedtls_md_info_from_type(type), 0);
    code = code == 0 ? mbedtls_md_starts(&md) : code;
    for (size_t i = 0; code == 0 && i < n; i++)
        code = part[i].n == 0 ? 0 : mbedtls_md_update(&md, part[i].p, part[i].n);
    code = code == 0 ? mbedtls_md_finish(&md, hash) : code;
    mbedtls_md_free(&md);
    return error_of(code, MKT_E_CRYPTO);
}

static enum mkt_err append(struct mkt_buf *buf, struct mkt_span octets)
{
    struct io io = io_put(buf);
    io_bytes(&io, &octets, octets.n);
    return io_done(&io, buf);
}

/* ---- certificates ---- */

/* A public key, with zeros before its numbers. */
struct numbers {
    uint8_t modulus[MKT_MAX_RSA], exponent[8];
};

/* False for another kind of key, or a number that is too long. */
static bool get_numbers(const mbedtls_pk_context *key, struct numbers *numbers)
{
    return mbedtls_pk_get_type(key) == MBEDTLS_PK_RSA &&
           mbedtls_rsa_export_raw(mbedtls_pk_rsa(*key), numbers->modulus, sizeof numbers->modulus, NULL, 0, NULL, 0,
                                  NULL, 0, numbers->exponent, sizeof numbers->exponent) == 0;
}

/* What mbedTLS does not check, or not before it verifies: version 1, disorder, numbers that take it seconds. Its parser
 * refuses exponents that are even or 1. */
static bool is_plausible(const struct mkt_x509 *x509, const mbedtls_x509_crt *chain, bool ordered)
{
    struct numbers key;
    size_t n = 0;
    for (const mbedtls_x509_crt *crt = chain; crt != NULL; crt = crt->next, n++)
        if (crt->version != 3 || !get_numbers(&crt->pk, &key) ||
            memcmp(key.modulus, x509->least, sizeof key.modulus) < 0 ||
            (ordered && crt->next != NULL && !is_same(&crt->issuer_raw, &crt->next->subject_raw)))
            return false;
    return !ordered || n <= MKT_MAX_CERTIFICATES;
}

/* Seconds since 1900, by days since 1 March of the year 0. */
static int64_t seconds_of(const mbedtls_x509_time *t)
{
    const int64_t to_1900 = 693901;
    const int64_t month = (t->mon + 9) % 12, year = t->mon <= 2 ? t->year - 1 : t->year;
    const int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + t->day - 1;
    return (((days - to_1900) * 24 + t->hour) * 60 + t->min) * 60 + t->sec;
}

/* RFC 4330 section 3: if bit 0 is not set, the time is in the range 2036 to 2104. */
static bool is_valid(const mbedtls_x509_crt *crt, uint64_t now)
{
    const int64_t seconds = (int64_t)((now >> 32) + (now >> 63 == 0 ? (uint64_t)1 << 32 : 0));
    return seconds_of(&crt->valid_from) <= seconds && seconds <= seconds_of(&crt->valid_to);
}

struct path {
    const mbedtls_x509_crt *chain;
    uint64_t now;
    bool whole;
};

/* Called by mbedTLS for each certificate of the path that it found, the leaf has depth 0: they must be the chain, and
 * then perhaps the anchor. The clock is the host's, not that of the system. */
static int judge(void *user, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct path *path = user;
    const mbedtls_x509_crt *expected = path->chain;
    for (int i = 0; i < depth && expected != NULL; i++)
        expected = expected->next;
    path->whole |= expected == NULL || expected->next == NULL;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    if ((expected != NULL && !is_same(&crt->raw, &expected->raw)) || !is_valid(crt, path->now))
        *flags |= MBEDTLS_X509_BADCERT_OTHER;
    return 0;
}

/* Whether the last of a chain is an anchor, or is issued by it. */
static bool leads_to(const struct mkt_x509 *x509, mbedtls_x509_crt *chain, const mbedtls_x509_crt *anchor, uint64_t now)
{
    const mbedtls_x509_crt_profile profile = {
        .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) | MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
                       MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
        .allowed_pks = MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSA) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSASSA_PSS),
        .rsa_min_bitlen = x509->settings.rsa_bits,
    };
    struct path path = {chain, now, false};
    mbedtls_x509_crt only = *anchor;
    uint32_t flags = 0;
    only.next = NULL;
    if (chain->next == NULL && is_same(&chain->raw, &anchor->raw))
        return is_valid(chain, now);
    return mbedtls_x509_crt_verify_with_profile(chain, &only, NULL, &profile, NULL, &flags, judge, &path) == 0 &&
           path.whole;
}

static bool is_revoked(const struct mkt_x509 *x509, const mbedtls_x509_crt *chain, const mbedtls_x509_crt *anchor)
{
    for (const mbedtls_x509_crt *crt = chain; crt != NULL && x509->settings.revoked != NULL; crt = crt->next)
        if (!is_same(&crt->raw, &anchor->raw) &&
            x509->settings.revoked(x509->settings.user, octets_of(&crt->raw),
                                   octets_of(crt->next == NULL ? &anchor->raw : &crt->next->raw)))
            return true;
    return false;
}

static bool is_trusted(const struct mkt_x509 *x509, mbedtls_x509_crt *chain, uint64_t now, unsigned usage)
{
    static const char any[] = MBEDTLS_OID_ANY_EXTENDED_KEY_USAGE; /* mbedTLS takes it always */
    const struct mkt_span extended = x509->settings.extended_key_usage;
    if (mbedtls_x509_crt_check_key_usage(chain, usage) != 0 ||
        mbedtls_x509_crt_check_extended_key_usage(chain, extended.n == 0 ? any : (const char *)extended.p,
                                                  extended.n == 0 ? sizeof any - 1 : extended.n) != 0)
        return false;
    const mbedtls_x509_crt *last = chain;
    while (last->next != NULL)
        last = last->next;
    for (const struct held *held = x509->anchors; held != NULL; held = held->next)
        for (const mbedtls_x509_crt *anchor = &held->chain; anchor != NULL; anchor = anchor->next)
            if ((is_same(&last->raw, &anchor->raw) || is_same(&last->issuer_raw, &anchor->subject_raw)) &&
                leads_to(x509, chain, anchor, now))
                return !is_revoked(x509, chain, anchor);
    return false;
}

/* Finds an identity in subjectAltName, or the only one that there is if `id` is NULL. */
static bool find_name(const struct mkt_x509 *x509, const mbedtls_x509_crt *crt, const struct mkt_id *id,
                      struct mkt_id *found)
{
    enum { RFC822_NAME = 0x81, URI = 0x86 }; /* whole tags: DER has no names in pieces */
    size_t n = 0;
    if (id != NULL && x509->settings.is_of != NULL)
        return x509->settings.is_of(x509->settings.user, id, octets_of(&crt->raw));
    for (const mbedtls_x509_sequence *at = &crt->subject_alt_names; at != NULL; at = at->next) {
        if (at->buf.p == NULL || (at->buf.tag != URI && at->buf.tag != RFC822_NAME))
            continue;
        *found = (struct mkt_id){.type = at->buf.tag == URI ? MKT_ID_URI : MKT_ID_NAI, .data = octets_of(&at->buf)};
        if (id != NULL && mkt_id_equal(found, id))
            return true;
        n++;
    }
    return id == NULL && n == 1;
}

static enum mkt_err check_chash(const struct mkt_chash *chash, const mbedtls_x509_crt *crt)
{
    enum { SHA_1 = 0, SHA_256 = 2 }; /* RFC 3830 6.8, RFC 6043 6.7 */
    uint8_t hash[HASH];
    if (chash == NULL)
        return MKT_OK;
    if (chash->func != SHA_1 && chash->func != SHA_256)
        return MKT_E_HASH;
    const struct mkt_span der = octets_of(&crt->raw);
    const enum mkt_err err = hash_parts(chash->func == SHA_1 ? MBEDTLS_MD_SHA1 : MBEDTLS_MD_SHA256, &der, 1, hash);
    return err == MKT_OK && memcmp(hash, chash->hash.p, chash->hash.n) != 0 ? MKT_E_WRONG_CERTIFICATE : err;
}

/* ---- the callbacks ---- */

/* Finds the own certificate that signs, or opens envelopes: the one that CHASH names, or else the first. */
static enum mkt_err find_own(const struct mkt_x509 *x509, const struct mkt_chash *chash, unsigned usage,
                             struct held **own)
{
    enum mkt_err err = MKT_E_NO_KEY;
    for (*own = x509->own; *own != NULL; *own = (*own)->next) {
        if (mbedtls_x509_crt_check_key_usage(&(*own)->chain, usage) == 0)
            err = check_chash(chash, &(*own)->chain);
        if (err != MKT_E_NO_KEY && err != MKT_E_WRONG_CERTIFICATE)
            return err;
    }
    return err;
}

/* Finds the certificate of a KMS that envelopes for it are sealed with. */
static enum mkt_err find_kms(const struct mkt_x509 *x509, const struct mkt_id *kms, const struct mkt_chash *chash,
                             uint64_t now, struct held **found)
{
    struct mkt_id name;
    enum mkt_err err = MKT_E_NO_KEY;
    for (*found = x509->kms; *found != NULL; *found = (*found)->next) {
        if (!find_name(x509, &(*found)->chain, kms, &name) || check_chash(chash, &(*found)->chain) != MKT_OK)
            continue;
        if (is_trusted(x509, &(*found)->chain, now, MBEDTLS_X509_KU_KEY_ENCIPHERMENT))
            return MKT_OK;
        err = MKT_E_CHAIN;
    }
    return err;
}

static enum mkt_err sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    struct held *own;
    uint8_t hash[HASH], made[MKT_MAX_RSA];
    enum mkt_err err = find_own(user, NULL, MBEDTLS_X509_KU_DIGITAL_SIGNATURE, &own);
    if (err == MKT_OK)
        err = hash_parts(MBEDTLS_MD_SHA256, part, n, hash);
    if (err == MKT_OK && signature->p != NULL)
        err = error_of(
            mbedtls_rsa_pkcs1_sign(mbedtls_pk_rsa(own->key), SIGN_BY(draw, user), MBEDTLS_MD_SHA256, HASH, hash, made),
            MKT_E_CRYPTO);
    return err == MKT_OK ? append(signature, (struct mkt_span){made, mbedtls_pk_get_len(&own->key)}) : err;
}

/* Verifies the signature of a message. An Error message, whose `signer` is NULL, is signed without identities. */
static enum mkt_err verify_signature(const struct mkt_x509 *x509, const struct mkt_signed *message,
                                     const struct mkt_id *signer, mbedtls_pk_context *key)
{
    const mbedtls_md_type_t types[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA1};
    const size_t length[] = {32, 20}, n_types = x509->settings.sha1 && message->suite == MKT_SUITE_128 ? 2 : 1;
    const struct mkt_span none = {NULL, 0}, part[] = {message->octets, signer == NULL ? none : signer->data,
                                                      signer == NULL ? none : message->kms->data};
    if (message->s_type > 1)
        return MKT_E_PUBLIC_KEY;
    enum mkt_err err = MKT_E_SIGNATURE;
    for (size_t i = 0; i < n_types && err == MKT_E_SIGNATURE; i++) {
        const mbedtls_pk_rsassa_pss_options pss = {types[i], MBEDTLS_RSA_SALT_LEN_ANY};
        uint8_t hash[HASH];
        err = hash_parts(types[i], part, sizeof part / sizeof *part, hash);
        if (err == MKT_OK)
            err = error_of(mbedtls_pk_verify_ext(message->s_type == 0 ? MBEDTLS_PK_RSA : MBEDTLS_PK_RSASSA_PSS,
                                                 message->s_type == 0 ? NULL : &pss, key, types[i], hash, length[i],
                                                 message->signature.p, message->signature.n),
                           MKT_E_SIGNATURE);
    }
    return err;
}

static enum mkt_err verify_error(const struct mkt_x509 *x509, const struct mkt_signed *message,
                                 struct mkt_signer *signer)
{
    struct held *kms;
    enum mkt_err err = find_kms(x509, message->kms, message->chash, message->now, &kms);
    if (err == MKT_OK && mbedtls_x509_crt_check_key_usage(&kms->chain, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0)
        err = MKT_E_CHAIN;
    if (err == MKT_OK)
        err = verify_signature(x509, message, NULL, &kms->chain.pk);
    if (err == MKT_OK)
        signer->id = *message->kms;
    return err;
}

/* Verifies an initial message by the certificates of its sender, which are read into `chain`. */
static enum mkt_err verify_by(const struct mkt_x509 *x509, const struct mkt_signed *message,
                              const struct mkt_span certificate[], size_t n, mbedtls_x509_crt *chain,
                              struct mkt_signer *signer)
{
    struct mkt_id found, id = message->signer == NULL ? (struct mkt_id){.type = 0} : *message->signer;
    for (size_t i = 0; i < n; i++) {
        if (certificate[i].n > MKT_X509_MAX_CERTIFICATE)
            return MKT_E_CHAIN;
        const int code = mbedtls_x509_crt_parse_der_nocopy(chain, certificate[i].p, certificate[i].n);
        if (code != 0)
            return error_of(code, MKT_E_BAD_VALUE);
    }
    for (const mbedtls_x509_crt *crt = chain; n > 0 && crt != NULL; crt = crt->next)
        if (crt->raw.len != certificate++->n)
            return MKT_E_BAD_VALUE;
    if (n == 0 || !is_plausible(x509, chain, true) ||
        !is_trusted(x509, chain, message->now, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) ||
        (message->signer == NULL && !find_name(x509, chain, NULL, &id)))
        return MKT_E_CHAIN;
    struct mkt_signer by = {.id = id};
    for (size_t i = 0; !find_name(x509, chain, &by.id, &found); i++) {
        if (i == x509->settings.n_relays)
            return MKT_E_CHAIN;
        by = (struct mkt_signer){.id = x509->settings.relay[i], .vouches = true};
    }
    const enum mkt_err err = verify_signature(x509, message, &id, &chain->pk);
    if (err == MKT_OK)
        *signer = by;
    return err;
}

static enum mkt_err verify(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    const struct mkt_x509 *x509 = user;
    struct mkt_span certificate[MKT_MAX_CERTIFICATES];
    struct mkt_id name;
    struct held *held;
    *signer = (struct mkt_signer){.vouches = false};
    if (message->by_kms)
        return verify_error(x509, message, signer);
    enum mkt_err err = find_own(x509, message->chash, MBEDTLS_X509_KU_KEY_ENCIPHERMENT, &held);
    if (err == MKT_OK && !find_name(x509, &held->chain, message->kms, &name))
        err = MKT_E_WRONG_CERTIFICATE;
    if (err == MKT_OK && message->envelope.n != mbedtls_pk_get_len(&held->key))
        err = MKT_E_BAD_VALUE;
    size_t n = message->n_certificates;
    memcpy(certificate, message->certificate, sizeof certificate);
    if (err == MKT_OK && n == 0 && x509->settings.find != NULL)
        n = x509->settings.find(x509->settings.user, message->signer, certificate);
    if (err != MKT_OK || n > MKT_MAX_CERTIFICATES)
        return err == MKT_OK ? MKT_E_CHAIN : err;
    mbedtls_x509_crt chain;
    mbedtls_x509_crt_init(&chain);
    err = verify_by(x509, message, certificate, n, &chain, signer);
    mbedtls_x509_crt_free(&chain);
    return err;
}

static enum mkt_err seal(void *user, const struct mkt_id *kms, uint64_t now, struct mkt_span key,
                         struct mkt_buf *envelope, struct mkt_buf *chash)
{
    const struct mkt_x509 *x509 = user;
    struct held *to;
    uint8_t sealed[MKT_MAX_RSA], hash[HASH];
    const size_t before = envelope->n;
    enum mkt_err err = find_kms(x509, kms, NULL, now, &to);
    if (err != MKT_OK)
        return err;
    size_t n = mbedtls_pk_get_len(&to->chain.pk);
    if (envelope->p != NULL)
        err = error_of(mbedtls_pk_encrypt(&to->chain.pk, key.p, key.n, sealed, &n, sizeof sealed, draw, user),
                       MKT_E_CRYPTO);
    if (err == MKT_OK)
        err = hash_parts(MBEDTLS_MD_SHA256, &(const struct mkt_span){to->chain.raw.p, to->chain.raw.len}, 1, hash);
    if (err == MKT_OK)
        err = append(envelope, (struct mkt_span){sealed, n});
    if (err == MKT_OK && x509->settings.send_chash)
        err = append(chash, (struct mkt_span){hash, sizeof hash});
    envelope->n = err == MKT_OK ? envelope->n : before;
    return err;
}

/* Takes the key from the `n` octets 00 02 PS 00 key (RFC 8017 7.2.2) if they are that. The length of
 * the key is known, so the separator has one place. No branch and no index depends on the octets. */
static void select_key(const uint8_t *padded, size_t n, uint8_t *key, size_t key_length)
{
    const uint8_t *from = padded + n - key_length;
    uint32_t bad = padded[0] | (padded[1] ^ 2u) | from[-1];
    for (const uint8_t *ps = padded + 2; ps < from - 1; ps++)
        bad |= (*ps - (uint32_t)1) >> 8;           /* less than 2^24, and 0 if *ps is not */
    const volatile uint32_t all = (bad - 1) >> 24; /* 0 or 255: volatile, as a compiler that knows this may branch */
    for (size_t i = 0; i < key_length; i++)
        key[i] ^= (uint8_t)(all & (uint32_t)(key[i] ^ from[i]));
}

/* mbedTLS's own decryption tells a bad padding from a good one. So it does the private operation alone, which refuses a
 * number that is not less than the modulus, and is quicker for 0. Anybody sees these two; the modulus less 1 takes their
 * place, so that all envelopes take the same way and the same time. */
static enum mkt_err open_envelope(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                                  size_t key_length)
{
    enum { LEAST_PADDING = 11 };
    static const uint8_t zero[MKT_MAX_RSA];
    struct held *own;
    struct numbers numbers;
    uint8_t octets[MKT_MAX_RSA];
    const enum mkt_err err = find_own(user, chash, MBEDTLS_X509_KU_KEY_ENCIPHERMENT, &own);
    if (err != MKT_OK)
        return err;
    const size_t n = mbedtls_pk_get_len(&own->key);
    if (envelope.n != n || key_length > n - LEAST_PADDING || !get_numbers(&own->key, &numbers))
        return MKT_E_ARGUMENT;
    const bool in_range =
        memcmp(envelope.p, zero, n) > 0 && memcmp(envelope.p, numbers.modulus + MKT_MAX_RSA - n, n) < 0;
    memcpy(octets, numbers.modulus + MKT_MAX_RSA - n, n);
    octets[n - 1] ^= 1; /* it is odd */
    if (in_range)
        memcpy(octets, envelope.p, n);
    const int code = mbedtls_rsa_private(mbedtls_pk_rsa(own->key), draw, user, octets, octets);
    if (code == 0)
        select_key(octets, n, key, key_length);
    mbedtls_platform_zeroize(octets, sizeof octets);
    return error_of(code, MKT_E_CRYPTO);
}

/* ---- the object ---- */

static void free_held(struct held *held)
{
    for (struct held *next; held != NULL; held = next) {
        next = held->next;
        mbedtls_x509_crt_free(&held->chain);
        mbedtls_pk_free(&held->key);
        mbedtls_free(held);
    }
}

/* Reads certificates, or their private key, in PEM or DER: mbedTLS wants a NUL after PEM, and none after DER. */
static enum mkt_err read_held(struct mkt_x509 *x509, struct held *held, struct mkt_span octets, bool is_key)
{
    struct numbers public, private;
    uint8_t *copy = mbedtls_calloc(octets.n + 1, 1);
    if (copy == NULL)
        return MKT_E_MEMORY;
    if (octets.n > 0)
        memcpy(copy, octets.p, octets.n);
    const bool pem = strstr((const char *)copy, "-----BEGIN") != NULL;
    const int code = is_key ? mbedtls_pk_parse_key(&held->key, copy, octets.n + pem, NULL, 0 PARSE_BY(draw, x509))
                            : mbedtls_x509_crt_parse(&held->chain, copy, octets.n + pem);
    mbedtls_platform_zeroize(copy, octets.n);
    mbedtls_free(copy);
    (void)x509;
    if (code != 0)
        return error_of(code, is_key ? MKT_E_NO_KEY : MKT_E_BAD_VALUE);
    if (!is_key)
        return pem || held->chain.raw.len == octets.n ? MKT_OK : MKT_E_BAD_VALUE;
    const bool both = get_numbers(&held->chain.pk, &public) && get_numbers(&held->key, &private);
    return both && memcmp(&public, &private, sizeof public) == 0 ? MKT_OK : MKT_E_NO_KEY;
}

/* Adds certificates at the end of a list. */
static enum mkt_err add(struct mkt_x509 *x509, struct held **list, struct mkt_span certificates,
                        const struct mkt_span *key)
{
    struct held *held = mbedtls_calloc(1, sizeof *held);
    if (held == NULL)
        return MKT_E_MEMORY;
    mbedtls_x509_crt_init(&held->chain);
    mbedtls_pk_init(&held->key);
    enum mkt_err err = read_held(x509, held, certificates, false);
    if (err == MKT_OK && !is_plausible(x509, &held->chain, list != &x509->anchors))
        err = MKT_E_CHAIN;
    if (err == MKT_OK && key != NULL)
        err = read_held(x509, held, *key, true);
    if (err != MKT_OK) {
        free_held(held);
        return err;
    }
    while (*list != NULL)
        list = &(*list)->next;
    *list = held;
    return MKT_OK;
}

enum mkt_err mkt_x509_new(struct mkt_x509 **x509, const struct mkt_x509_settings *settings)
{
    struct mkt_x509_settings own;
    *x509 = NULL;
    if (!mkt_sized_copy(&own, sizeof own, settings, MKT_UP_TO(mkt_x509_settings, revoked)))
        return MKT_E_ARGUMENT;
    own.rsa_bits = own.rsa_bits == 0 ? LEAST_BITS : own.rsa_bits;
    if (own.rsa_bits < LEAST_BITS || own.rsa_bits > MOST_BITS)
        return MKT_E_ARGUMENT;
    *x509 = mbedtls_calloc(1, sizeof **x509);
    if (*x509 == NULL)
        return MKT_E_MEMORY;
    (*x509)->settings = own;
    (*x509)->least[MKT_MAX_RSA - 1 - (own.rsa_bits - 1) / 8] = (uint8_t)(1 << (own.rsa_bits - 1) % 8);
    return MKT_OK;
}

void mkt_x509_free(struct mkt_x509 *x509)
{
    if (x509 == NULL)
        return;
    free_held(x509->anchors);
    free_held(x509->kms);
    free_held(x509->own);
    mbedtls_free(x509);
}

enum mkt_err mkt_x509_add_anchors(struct mkt_x509 *x509, struct mkt_span certificates)
{
    return add(x509, &x509->anchors, certificates, NULL);
}

enum mkt_err mkt_x509_add_kms(struct mkt_x509 *x509, struct mkt_span chain)
{
    return add(x509, &x509->kms, chain, NULL);
}

enum mkt_err mkt_x509_add_own(struct mkt_x509 *x509, struct mkt_span chain, struct mkt_span private_key)
{
    return add(x509, &x509->own, chain, &private_key);
}

enum mkt_err mkt_x509_public_keys(struct mkt_x509 *x509, struct mkt_public_keys *keys)
{
    struct mkt_public_keys own;
    struct held *signs;
    if (!mkt_sized_copy(&own, sizeof own, keys, MKT_UP_TO(mkt_public_keys, open)))
        return MKT_E_ARGUMENT;
    own = (struct mkt_public_keys){.size = keys->size,
                                   .user = x509,
                                   .certificate = x509->sent,
                                   .verify = verify,
                                   .seal = seal,
                                   .open = open_envelope};
    if (find_own(x509, NULL, MBEDTLS_X509_KU_DIGITAL_SIGNATURE, &signs) == MKT_OK) {
        own.sign = sign;
        for (const mbedtls_x509_crt *crt = &signs->chain; crt != NULL; crt = crt->next)
            x509->sent[own.n_certificates++] = octets_of(&crt->raw);
    }
    memcpy(keys, &own, own.size < sizeof own ? own.size : sizeof own);
    return MKT_OK;
}
