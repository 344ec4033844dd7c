/* SPDX-License-Identifier: BSD-3-Clause */
#include "signer.h"

#include "crypto.h"

#include <string.h>

struct mkt_span certificate_of(const struct mkt_id *id)
{
    static const char head[] = "certificate of ";
    uint8_t octets[512];
    ck_assert_uint_le(sizeof head - 1 + id->data.n, sizeof octets);
    memcpy(octets, head, sizeof head - 1);
    memcpy(octets + sizeof head - 1, id->data.p, id->data.n);
    return exact((struct mkt_span){octets, sizeof head - 1 + id->data.n});
}

/* A stream of octets that belongs to an identity and to other octets. */
static void fill(uint8_t *out, size_t n, const struct mkt_id *id, const struct mkt_span part[], size_t parts)
{
    uint8_t hash[MKT_MAX_HASH];
    struct mkt_span all[8] = {id->data};
    ck_assert_uint_lt(parts, 8);
    for (size_t i = 0; i < parts; i++)
        all[i + 1] = part[i];
    for (size_t i = 0; i < n; i++) {
        const uint8_t block = (uint8_t)(i / sizeof hash);
        all[parts + 1] = (struct mkt_span){&block, 1};
        if (i % sizeof hash == 0)
            expect_err("hash", mkt_hash_of(MKT_HASH_SHA_256, all, parts + 2, hash), MKT_OK);
        out[i] = hash[i % sizeof hash];
    }
}

struct mkt_span signature_of(const struct mkt_id *id, const struct mkt_span part[], size_t n)
{
    uint8_t octets[SIGNATURE];
    fill(octets, sizeof octets, id, part, n);
    return exact((struct mkt_span){octets, sizeof octets});
}

/* Both ways. */
static void mask(uint8_t octets[ENVELOPE], const struct mkt_id *kms)
{
    uint8_t stream[ENVELOPE];
    const struct mkt_span of = text("envelope");
    fill(stream, sizeof stream, kms, &of, 1);
    for (size_t i = 0; i < ENVELOPE; i++)
        octets[i] ^= stream[i];
}

struct mkt_span envelope_of(const struct mkt_id *kms, struct mkt_span key)
{
    uint8_t octets[ENVELOPE];
    ck_assert_uint_lt(key.n, sizeof octets - 2);
    memset(octets, 0x55, sizeof octets);
    octets[0] = 0;
    octets[1] = 2;
    octets[sizeof octets - key.n - 1] = 0;
    memcpy(octets + sizeof octets - key.n, key.p, key.n);
    mask(octets, kms);
    return exact((struct mkt_span){octets, sizeof octets}); /* the key is in it masked */
}

static void append(struct mkt_buf *buf, struct mkt_span octets)
{
    if (buf->p != NULL) {
        ck_assert_uint_le(octets.n, buf->cap - buf->n);
        memcpy(buf->p + buf->n, octets.p, octets.n);
    }
    buf->n += octets.n;
}

static enum mkt_err sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    struct signer *s = user;
    const struct mkt_span none = {(const uint8_t[SIGNATURE]){0}, SIGNATURE};
    s->signed_ += signature->p != NULL;
    append(signature, signature->p != NULL ? signature_of(&s->id, part, n) : none);
    return s->fail;
}

static enum mkt_err seal(void *user, const struct mkt_id *kms, uint64_t now, struct mkt_span key,
                         struct mkt_buf *envelope, struct mkt_buf *chash)
{
    struct signer *s = user;
    const struct mkt_span certificate = certificate_of(kms);
    uint8_t hash[MKT_MAX_HASH];
    ck_assert_uint_gt(now, 0);
    s->sealed += envelope->p != NULL;
    append(envelope, envelope_of(kms, key));
    expect_err("hash", mkt_hash_of(MKT_HASH_SHA_256, &certificate, 1, hash), MKT_OK);
    if (s->chash)
        append(chash, (struct mkt_span){hash, sizeof hash});
    return s->fail;
}

static enum mkt_err check_chash(const struct mkt_id *kms, const struct mkt_chash *chash)
{
    const struct mkt_span certificate = certificate_of(kms);
    uint8_t hash[MKT_MAX_HASH];
    if (chash == NULL)
        return MKT_OK;
    if (chash->func != MKT_CHASH_SHA_256)
        return MKT_E_HASH;
    expect_err("hash", mkt_hash_of(MKT_HASH_SHA_256, &certificate, 1, hash), MKT_OK);
    return mkt_span_equal(chash->hash, (struct mkt_span){hash, sizeof hash}) ? MKT_OK : MKT_E_WRONG_CERTIFICATE;
}

static enum mkt_err verify(void *user, const struct mkt_signed *m, struct mkt_signer *signer)
{
    static const size_t head = sizeof "certificate of " - 1;
    struct signer *s = user;
    struct mkt_id id = {.type = MKT_ID_URI};
    s->verified++;
    s->n_certificates = m->n_certificates;
    s->by_kms = m->by_kms;
    ck_assert(m->kms->data.n > 0 && m->now > 0);
    const enum mkt_err err = check_chash(m->kms, m->chash);
    if (err != MKT_OK || s->fail != MKT_OK)
        return err != MKT_OK ? err : s->fail;
    if (m->envelope.n != ENVELOPE)
        return MKT_E_BAD_VALUE;
    if (m->n_certificates > 0 && m->certificate[0].n > head)
        id.data = (struct mkt_span){m->certificate[0].p + head, m->certificate[0].n - head};
    else if ((s->knows || m->by_kms) && m->signer != NULL)
        id = *m->signer;
    else
        return MKT_E_CHAIN;
    if (!mkt_span_equal(certificate_of(&id), m->n_certificates > 0 ? m->certificate[0] : certificate_of(&id)))
        return MKT_E_CHAIN;
    const bool relays = s->relay.data.n > 0 && mkt_id_equal(&id, &s->relay);
    signer->vouches = m->signer != NULL && !mkt_id_equal(m->signer, &id);
    if (signer->vouches && !relays)
        return MKT_E_CHAIN;
    signer->id = id;
    const struct mkt_span whose = m->signer != NULL ? m->signer->data : id.data;
    const struct mkt_span parts[] = {m->octets, m->by_kms ? text("") : whose, m->by_kms ? text("") : m->kms->data};
    if (m->s_type != MKT_SIGN_PKCS1 || !mkt_span_equal(signature_of(&id, parts, 3), m->signature))
        return MKT_E_SIGNATURE;
    return MKT_OK;
}

static enum mkt_err open_envelope(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                                  size_t key_length)
{
    struct signer *s = user;
    uint8_t octets[ENVELOPE];
    const enum mkt_err err = check_chash(&s->id, chash);
    if (err != MKT_OK) /* of a stored bundle that somebody has changed */
        return err;
    ck_assert_uint_eq(envelope.n, sizeof octets);
    ck_assert(key_length == 16 || key_length == 32);
    s->opened++;
    memcpy(octets, envelope.p, sizeof octets);
    mask(octets, &s->id);
    const uint8_t *end = memchr(octets + 2, 0, sizeof octets - 2);
    if (octets[0] == 0 && octets[1] == 2 && end == octets + sizeof octets - 1 - key_length)
        memcpy(key, end + 1, key_length);
    mkt_wipe(octets, sizeof octets);
    return s->fail;
}

void signer_init(struct signer *s, struct mkt_id id)
{
    *s = (struct signer){.id = id};
    mkt_public_keys_init(&s->keys);
    s->certificate = certificate_of(&id);
    s->keys.user = s;
    s->keys.certificate = &s->certificate;
    s->keys.n_certificates = 1;
    s->keys.sign = sign;
    s->keys.verify = verify;
    s->keys.seal = seal;
    s->keys.open = open_envelope;
}
