/* SPDX-License-Identifier: BSD-3-Clause */
/* Public keys with certificates, by mbedTLS. All that differs between mbedTLS 2.28 and 3.6 is in the one #if below. */
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

enum { LEAST_BITS = 2048, MOST_BITS = 8 * MKT_MAX_RSA, EXPONENT = 8, HASH = 32 };

/* Certificates that were added together: in `chain` each one certifies the one before it. */
struct held {
    struct held *next;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key; /* own ones only */
};

struct mkt_x509 {
    struct mkt_x509_settings settings;
    struct held *anchors, *kms, *own;
    struct held *signs; /* the one of `own` that signs, or NULL */
    struct mkt_span sent[MKT_MAX_CERTIFICATES];
    size_t n_sent;
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

/* The sum of a high error code of mbedTLS and a low one, `otherwise` if neither is the host's fault. */
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

#if MBEDTLS_VERSION_MAJOR >= 3

static int parse_key(struct mkt_x509 *x509, mbedtls_pk_context *key, const uint8_t *p, size_t n)
{
    return mbedtls_pk_parse_key(key, p, n, NULL, 0, draw, x509);
}

static int sign_hash(struct mkt_x509 *x509, const mbedtls_pk_context *key, const uint8_t *hash, uint8_t *signature)
{
    return mbedtls_rsa_pkcs1_sign(mbedtls_pk_rsa(*key), draw, x509, MBEDTLS_MD_SHA256, HASH, hash, signature);
}

#else

static int parse_key(struct mkt_x509 *x509, mbedtls_pk_context *key, const uint8_t *p, size_t n)
{
    (void)x509;
    return mbedtls_pk_parse_key(key, p, n, NULL, 0);
}

static int sign_hash(struct mkt_x509 *x509, const mbedtls_pk_context *key, const uint8_t *hash, uint8_t *signature)
{
    return mbedtls_rsa_pkcs1_sign(mbedtls_pk_rsa(*key), draw, x509, MBEDTLS_RSA_PRIVATE, MBEDTLS_MD_SHA256, HASH, hash,
                                  signature);
}

#endif

static enum mkt_err hash_parts(mbedtls_md_type_t type, const struct mkt_span part[], size_t n, uint8_t hash[HASH])
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    int code = mbedtls_md_setup(&md, mbedtls_md_info_from_type(type), 0);
    if (code == 0)
        code = mbedtls_md_starts(&md);
    for (size_t i = 0; code == 0 && i < n; i++)
        if (part[i].n > 0)
            code = mbedtls_md_update(&md, part[i].p, part[i].n);
    if (code == 0)
        code = mbedtls_md_finish(&md, hash);
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

/* Modulus and exponent, with zeros before them. False for another kind of key, or a number that is too long. */
static bool get_numbers(const mbedtls_pk_context *key, uint8_t modulus[MKT_MAX_RSA], uint8_t exponent[EXPONENT])
{
    return mbedtls_pk_get_type(key) == MBEDTLS_PK_RSA && mbedtls_pk_get_bitlen(key) <= MOST_BITS &&
           mbedtls_rsa_export_raw(mbedtls_pk_rsa(*key), modulus, MKT_MAX_RSA, NULL, 0, NULL, 0, NULL, 0, exponent,
                                  EXPONENT) == 0;
}

/* Whether certificates are such that it is worth while to verify them, and in order. mbedTLS bounds no exponent, and
 * would take version 1, disorder and certificates that do not belong there. */
static bool is_plausible(const struct mkt_x509 *x509, const mbedtls_x509_crt *chain, bool ordered)
{
    static const uint8_t one[EXPONENT] = {[EXPONENT - 1] = 1};
    size_t n = 0;
    for (const mbedtls_x509_crt *crt = chain; crt != NULL; crt = crt->next) {
        uint8_t modulus[MKT_MAX_RSA], exponent[EXPONENT];
        if (crt->version != 3 || !get_numbers(&crt->pk, modulus, exponent) ||
            mbedtls_pk_get_bitlen(&crt->pk) < x509->settings.rsa_bits || exponent[EXPONENT - 1] % 2 == 0 ||
            memcmp(exponent, one, EXPONENT) <= 0)
            return false;
        if (ordered && (++n > MKT_MAX_CERTIFICATES ||
                        (crt->next != NULL && !is_same(&crt->issuer_raw, &crt->next->subject_raw))))
            return false;
    }
    return true;
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
    int deepest;
};

/* Called by mbedTLS for each certificate of the path that it found, 0 the leaf: it must be the chain, and then perhaps
 * the anchor. The clock is the host's, not the system's. */
static int judge(void *user, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct path *path = user;
    const mbedtls_x509_crt *expected = path->chain;
    for (int i = 0; i < depth && expected != NULL; i++)
        expected = expected->next;
    path->deepest = depth > path->deepest ? depth : path->deepest;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    if ((expected != NULL && !is_same(&crt->raw, &expected->raw)) || !is_valid(crt, path->now))
        *flags |= MBEDTLS_X509_BADCERT_OTHER;
    return 0;
}

/* Whether a chain ends in an anchor, or is issued by it. */
static bool leads_to(const struct mkt_x509 *x509, mbedtls_x509_crt *chain, const mbedtls_x509_crt *anchor, uint64_t now)
{
    const mbedtls_x509_crt_profile profile = {
        .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) | MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
                       MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
        .allowed_pks = MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSA) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSASSA_PSS),
        .rsa_min_bitlen = x509->settings.rsa_bits,
    };
    mbedtls_x509_crt only = *anchor;
    struct path path = {chain, now, 0};
    int last = 0;
    uint32_t flags = 0;
    only.next = NULL;
    if (chain->next == NULL && is_same(&chain->raw, &anchor->raw))
        return is_valid(chain, now);
    const mbedtls_x509_crt *end = chain;
    for (; end->next != NULL; end = end->next)
        last++;
    if (!is_same(&end->raw, &anchor->raw) && !is_same(&end->issuer_raw, &anchor->subject_raw))
        return false;
    return mbedtls_x509_crt_verify_with_profile(chain, &only, NULL, &profile, NULL, &flags, judge, &path) == 0 &&
           path.deepest >= last;
}

static bool is_revoked(const struct mkt_x509 *x509, const mbedtls_x509_crt *chain, const mbedtls_x509_crt *anchor)
{
    const struct mkt_x509_settings *settings = &x509->settings;
    for (const mbedtls_x509_crt *crt = chain; settings->revoked != NULL && crt != NULL; crt = crt->next) {
        const mbedtls_x509_crt *issuer = crt->next == NULL ? anchor : crt->next;
        if (!is_same(&crt->raw, &anchor->raw) &&
            settings->revoked(settings->user, octets_of(&crt->raw), octets_of(&issuer->raw)))
            return true;
    }
    return false;
}

static bool is_trusted(const struct mkt_x509 *x509, mbedtls_x509_crt *chain, uint64_t now, unsigned usage)
{
    static const char any[] = MBEDTLS_OID_ANY_EXTENDED_KEY_USAGE;
    const struct mkt_span extended = x509->settings.extended_key_usage;
    const char *oid = extended.n == 0 ? any : (const char *)extended.p;
    if (mbedtls_x509_crt_check_key_usage(chain, usage) != 0 ||
        mbedtls_x509_crt_check_extended_key_usage(chain, oid, extended.n == 0 ? sizeof any - 1 : extended.n) != 0)
        return false;
    for (struct held *held = x509->anchors; held != NULL; held = held->next)
        for (const mbedtls_x509_crt *anchor = &held->chain; anchor != NULL; anchor = anchor->next)
            if (leads_to(x509, chain, anchor, now))
                return !is_revoked(x509, chain, anchor);
    return false;
}

/* Reads a name of subjectAltName that can be an identity. */
static bool get_name(const mbedtls_x509_sequence *name, struct mkt_id *id)
{
    enum { RFC822_NAME = 1, URI = 6 };
    const int kind = name->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
    *id = (struct mkt_id){.type = kind == URI ? MKT_ID_URI : MKT_ID_NAI, .data = octets_of(&name->buf)};
    return name->buf.p != NULL && (kind == URI || kind == RFC822_NAME);
}

static bool is_of(const struct mkt_x509 *x509, const struct mkt_id *id, const mbedtls_x509_crt *crt)
{
    struct mkt_id name;
    if (x509->settings.is_of != NULL)
        return x509->settings.is_of(x509->settings.user, id, octets_of(&crt->raw));
    for (const mbedtls_x509_sequence *at = &crt->subject_alt_names; at != NULL; at = at->next)
        if (get_name(at, &name) && mkt_id_equal(&name, id))
            return true;
    return false;
}

/* Reads the only identity of a certificate. */
static bool get_only_name(const mbedtls_x509_crt *crt, struct mkt_id *id)
{
    size_t n = 0;
    struct mkt_id name;
    for (const mbedtls_x509_sequence *at = &crt->subject_alt_names; at != NULL; at = at->next)
        if (get_name(at, &name) && n++ == 0)
            *id = name;
    return n == 1;
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
    if (err != MKT_OK)
        return err;
    return memcmp(hash, chash->hash.p, chash->hash.n) == 0 ? MKT_OK : MKT_E_WRONG_CERTIFICATE;
}

/* ---- the callbacks ---- */

/* Finds the own certificate and key that envelopes are for. */
static enum mkt_err find_own(const struct mkt_x509 *x509, const struct mkt_chash *chash, struct held **own)
{
    enum mkt_err err = MKT_E_NO_KEY;
    for (*own = x509->own; *own != NULL; *own = (*own)->next) {
        if (mbedtls_x509_crt_check_key_usage(&(*own)->chain, MBEDTLS_X509_KU_KEY_ENCIPHERMENT) != 0)
            continue;
        err = check_chash(chash, &(*own)->chain);
        if (err != MKT_E_WRONG_CERTIFICATE)
            return err;
    }
    return err;
}

/* Finds the certificate of a KMS that envelopes for it are sealed with. */
static enum mkt_err find_kms(const struct mkt_x509 *x509, const struct mkt_id *kms, const struct mkt_chash *chash,
                             uint64_t now, struct held **found)
{
    enum mkt_err err = MKT_E_NO_KEY;
    for (*found = x509->kms; *found != NULL; *found = (*found)->next) {
        if (!is_of(x509, kms, &(*found)->chain) || check_chash(chash, &(*found)->chain) != MKT_OK)
            continue;
        if (is_trusted(x509, &(*found)->chain, now, MBEDTLS_X509_KU_KEY_ENCIPHERMENT))
            return MKT_OK;
        err = MKT_E_CHAIN;
    }
    return err;
}

static enum mkt_err sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    struct mkt_x509 *x509 = user;
    uint8_t hash[HASH], made[MKT_MAX_RSA];
    const struct mkt_span octets = {made, mbedtls_pk_get_len(&x509->signs->key)};
    enum mkt_err err = MKT_OK;
    if (signature->p != NULL) {
        err = hash_parts(MBEDTLS_MD_SHA256, part, n, hash);
        if (err == MKT_OK)
            err = error_of(sign_hash(x509, &x509->signs->key, hash, made), MKT_E_CRYPTO);
    }
    return err == MKT_OK ? append(signature, octets) : err;
}

/* Verifies the signature of a message. `signer` is NULL if that of an Error message. */
static enum mkt_err verify_signature(const struct mkt_x509 *x509, const struct mkt_signed *message,
                                     const struct mkt_id *signer, mbedtls_pk_context *key)
{
    const mbedtls_md_type_t types[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA1};
    const size_t n_types = x509->settings.sha1 && message->suite == MKT_SUITE_128 ? 2 : 1;
    struct mkt_span part[3] = {message->octets};
    if (signer != NULL) {
        part[1] = signer->data;
        part[2] = message->kms->data;
    }
    if (message->s_type > 1)
        return MKT_E_PUBLIC_KEY;
    for (size_t i = 0; i < n_types; i++) {
        const mbedtls_pk_rsassa_pss_options pss = {types[i], MBEDTLS_RSA_SALT_LEN_ANY};
        const mbedtls_pk_type_t scheme = message->s_type == 1 ? MBEDTLS_PK_RSASSA_PSS : MBEDTLS_PK_RSA;
        uint8_t hash[HASH];
        const enum mkt_err err = hash_parts(types[i], part, signer == NULL ? 1 : 3, hash);
        if (err != MKT_OK)
            return err;
        const int code = mbedtls_pk_verify_ext(scheme, message->s_type == 1 ? &pss : NULL, key, types[i], hash,
                                               mbedtls_md_get_size(mbedtls_md_info_from_type(types[i])),
                                               message->signature.p, message->signature.n);
        if (code == 0 || error_of(code, MKT_E_SIGNATURE) != MKT_E_SIGNATURE)
            return error_of(code, MKT_OK);
    }
    return MKT_E_SIGNATURE;
}

/* Verifies an initial message with the certificates of its sender. */
static enum mkt_err verify_by(const struct mkt_x509 *x509, const struct mkt_signed *message, mbedtls_x509_crt *chain,
                              struct mkt_signer *signer)
{
    for (size_t i = 0; i < message->n_certificates; i++) {
        const struct mkt_span der = message->certificate[i];
        if (der.n > MKT_X509_MAX_CERTIFICATE)
            return MKT_E_CHAIN;
        const int code = mbedtls_x509_crt_parse_der_nocopy(chain, der.p, der.n);
        if (code != 0)
            return error_of(code, MKT_E_BAD_VALUE);
        const mbedtls_x509_crt *last = chain;
        while (last->next != NULL)
            last = last->next;
        if (last->raw.len != der.n)
            return MKT_E_TRAILING;
    }
    if (message->n_certificates == 0 || !is_plausible(x509, chain, true) ||
        !is_trusted(x509, chain, message->now, MBEDTLS_X509_KU_DIGITAL_SIGNATURE))
        return MKT_E_CHAIN;
    *signer = (struct mkt_signer){.vouches = false};
    if (message->signer == NULL && !get_only_name(chain, &signer->id))
        return MKT_E_CHAIN;
    const struct mkt_id id = message->signer == NULL ? signer->id : *message->signer;
    for (size_t i = 0; signer->id.data.p == NULL && i < x509->settings.n_relays; i++)
        if (is_of(x509, &x509->settings.relay[i], chain))
            *signer = (struct mkt_signer){.id = x509->settings.relay[i], .vouches = true};
    if (is_of(x509, &id, chain))
        *signer = (struct mkt_signer){.id = id};
    else if (!signer->vouches)
        return MKT_E_CHAIN;
    return verify_signature(x509, message, &id, &chain->pk);
}

static enum mkt_err verify(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    const struct mkt_x509 *x509 = user;
    struct held *held;
    if (message->by_kms) {
        const enum mkt_err err = find_kms(x509, message->kms, message->chash, message->now, &held);
        if (err != MKT_OK)
            return err;
        *signer = (struct mkt_signer){.id = *message->kms};
        if (mbedtls_x509_crt_check_key_usage(&held->chain, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0)
            return MKT_E_CHAIN;
        return verify_signature(x509, message, NULL, &held->chain.pk);
    }

    enum mkt_err err = find_own(x509, message->chash, &held);
    if (err == MKT_OK && !is_of(x509, message->kms, &held->chain))
        err = MKT_E_WRONG_CERTIFICATE;
    if (err != MKT_OK)
        return err;
    if (message->envelope.n != mbedtls_pk_get_len(&held->key))
        return MKT_E_BAD_VALUE;

    struct mkt_signed complete = *message;
    if ((message->signer == NULL || message->n_certificates == 0) && x509->settings.find != NULL) {
        err = x509->settings.find(x509->settings.user, &complete);
        if (err != MKT_OK)
            return err;
        const struct mkt_id *id = message->signer == NULL ? complete.signer : message->signer;
        const struct mkt_signed *from = message->n_certificates == 0 ? &complete : message;
        struct mkt_signed both = *message;
        both.signer = id;
        both.n_certificates = from->n_certificates;
        memcpy(both.certificate, from->certificate, sizeof both.certificate);
        complete = both;
    }
    if (complete.n_certificates > MKT_MAX_CERTIFICATES)
        return MKT_E_CHAIN;
    mbedtls_x509_crt chain;
    mbedtls_x509_crt_init(&chain);
    err = verify_by(x509, &complete, &chain, signer);
    mbedtls_x509_crt_free(&chain);
    return err;
}

static enum mkt_err seal(void *user, const struct mkt_id *kms, uint64_t now, struct mkt_span key,
                         struct mkt_buf *envelope, struct mkt_buf *chash)
{
    struct mkt_x509 *x509 = user;
    struct held *to;
    uint8_t sealed[MKT_MAX_RSA], hash[HASH];
    const size_t before = envelope->n;
    enum mkt_err err = find_kms(x509, kms, NULL, now, &to);
    if (err != MKT_OK)
        return err;
    size_t n = mbedtls_pk_get_len(&to->chain.pk);
    if (envelope->p != NULL)
        err = error_of(
            mbedtls_pk_encrypt(&to->chain.pk, key.p, key.n, sealed, &n, sizeof sealed, draw, x509), MKT_E_CRYPTO);
    const struct mkt_span der = octets_of(&to->chain.raw);
    if (err == MKT_OK)
        err = hash_parts(MBEDTLS_MD_SHA256, &der, 1, hash);
    if (err == MKT_OK)
        err = append(envelope, (struct mkt_span){sealed, n});
    if (err == MKT_OK && x509->settings.send_chash)
        err = append(chash, (struct mkt_span){hash, sizeof hash});
    if (err != MKT_OK)
        envelope->n = before;
    return err;
}

/*
 * Takes the key from the `n` octets 00 02 PS 00 key (RFC 8017 7.2.2) if they are that, and `bad` is 0. The length of
 * the key is known, so the separator has one place. No branch and no index depends on the octets.
 */
static void select_key(const uint8_t *padded, size_t n, uint32_t bad, uint8_t *key, size_t key_length)
{
    const uint8_t *from = padded + n - key_length;
    bad |= padded[0] | (padded[1] ^ 2u) | from[-1];
    for (const uint8_t *ps = padded + 2; ps < from - 1; ps++)
        bad |= (*ps - (uint32_t)1) >> 8; /* less than 2^24, and 0 if *ps is not */
    volatile const uint32_t all = (bad - 1) >> 24; /* volatile: a compiler that knows it to be 0 or 255 may branch */
    for (size_t i = 0; i < key_length; i++)
        key[i] ^= (uint8_t)(all & (uint32_t)(key[i] ^ from[i]));
}

/*
 * mbedTLS's own decryption tells a bad padding from a good one. So this has the private operation alone from it, which
 * refuses nothing but numbers that are not less than the modulus. Such a one is public; it becomes one that is less, so
 * that all envelopes cost the same.
 */
static enum mkt_err open_envelope(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                         size_t key_length)
{
    enum { LEAST_PADDING = 11 };
    struct held *own;
    uint8_t modulus[MKT_MAX_RSA], exponent[EXPONENT], octets[MKT_MAX_RSA];
    const enum mkt_err err = find_own(user, chash, &own);
    if (err != MKT_OK)
        return err;
    const size_t n = mbedtls_pk_get_len(&own->key);
    if (envelope.n != n || key_length > n - LEAST_PADDING || !get_numbers(&own->key, modulus, exponent))
        return MKT_E_ARGUMENT;
    const bool too_large = memcmp(envelope.p, modulus + sizeof modulus - n, n) >= 0;
    memcpy(octets, envelope.p, n);
    if (too_large)
        octets[0] = 0;
    const int code = mbedtls_rsa_private(mbedtls_pk_rsa(own->key), draw, user, octets, octets);
    if (code == 0)
        select_key(octets, n, too_large, key, key_length);
    mbedtls_platform_zeroize(octets, sizeof octets);
    return error_of(code, MKT_E_CRYPTO);
}

/* ---- the object ---- */

static void free_held(struct held *held)
{
    while (held != NULL) {
        struct held *next = held->next;
        mbedtls_x509_crt_free(&held->chain);
        mbedtls_pk_free(&held->key);
        mbedtls_free(held);
        held = next;
    }
}

/* Makes a copy with a NUL at its end, which mbedTLS wants after PEM, and DER has not. `n` is for mbedTLS. */
static uint8_t *copy_of(struct mkt_span octets, size_t *n)
{
    uint8_t *copy = mbedtls_calloc(octets.n + 1, 1);
    if (copy == NULL)
        return NULL;
    if (octets.n > 0)
        memcpy(copy, octets.p, octets.n);
    *n = octets.n + (strstr((const char *)copy, "-----BEGIN") != NULL);
    return copy;
}

static enum mkt_err read_certificates(mbedtls_x509_crt *chain, struct mkt_span octets)
{
    size_t n;
    uint8_t *copy = copy_of(octets, &n);
    if (copy == NULL)
        return MKT_E_MEMORY;
    const int code = mbedtls_x509_crt_parse(chain, copy, n);
    mbedtls_free(copy);
    if (code == 0 && n == octets.n && chain->raw.len != n)
        return MKT_E_TRAILING;
    return error_of(code, MKT_E_BAD_VALUE);
}

static enum mkt_err read_key(struct mkt_x509 *x509, struct held *held, struct mkt_span octets)
{
    uint8_t modulus[2][MKT_MAX_RSA], exponent[2][EXPONENT];
    size_t n;
    uint8_t *copy = copy_of(octets, &n);
    if (copy == NULL)
        return MKT_E_MEMORY;
    const int code = parse_key(x509, &held->key, copy, n);
    mbedtls_platform_zeroize(copy, n);
    mbedtls_free(copy);
    if (code != 0)
        return error_of(code, MKT_E_NO_KEY);
    if (!get_numbers(&held->chain.pk, modulus[0], exponent[0]) || !get_numbers(&held->key, modulus[1], exponent[1]) ||
        memcmp(modulus[0], modulus[1], MKT_MAX_RSA) != 0 || memcmp(exponent[0], exponent[1], EXPONENT) != 0)
        return MKT_E_NO_KEY;
    return MKT_OK;
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
    enum mkt_err err = read_certificates(&held->chain, certificates);
    if (err == MKT_OK && !is_plausible(x509, &held->chain, list != &x509->anchors))
        err = MKT_E_CHAIN;
    if (err == MKT_OK && key != NULL)
        err = read_key(x509, held, *key);
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
    struct mkt_x509 *made = mbedtls_calloc(1, sizeof *made);
    if (made == NULL)
        return MKT_E_MEMORY;
    made->settings = own;
    *x509 = made;
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
    const enum mkt_err err = add(x509, &x509->own, chain, &private_key);
    struct held *held = x509->own;
    while (held != NULL && mbedtls_x509_crt_check_key_usage(&held->chain, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0)
        held = held->next;
    if (err != MKT_OK || held == NULL || x509->signs != NULL)
        return err;
    x509->signs = held;
    for (const mbedtls_x509_crt *crt = &held->chain; crt != NULL; crt = crt->next)
        x509->sent[x509->n_sent++] = octets_of(&crt->raw);
    return MKT_OK;
}

enum mkt_err mkt_x509_public_keys(struct mkt_x509 *x509, struct mkt_public_keys *keys)
{
    struct mkt_public_keys own;
    if (!mkt_sized_copy(&own, sizeof own, keys, MKT_UP_TO(mkt_public_keys, open)))
        return MKT_E_ARGUMENT;
    own.size = keys->size;
    own.user = x509;
    own.certificate = x509->sent;
    own.n_certificates = x509->n_sent;
    own.sign = x509->signs == NULL ? NULL : sign;
    own.verify = verify;
    own.seal = seal;
    own.open = open_envelope;
    memcpy(keys, &own, own.size < sizeof own ? own.size : sizeof own);
    return MKT_OK;
}
