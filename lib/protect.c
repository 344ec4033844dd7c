/* SPDX-License-Identifier: BSD-3-Clause */
#include "protect.h"

#include "io.h"

/* Fuzzers reach what lies behind the MAC in a build of their own, fuzz/meson.build, which nothing else may be. */
#ifdef MKT_FUZZERS_ACCEPT_EVERY_MAC
#define MAC_IS_WRONG MKT_OK
#else
#define MAC_IS_WRONG MKT_E_MAC
#endif

/* Who protects: what to derive, and the key to derive it from, padded once for all three. */
struct source {
    const struct mkt_protection *p;
    struct mkt_prf prf;
};

static enum mkt_err make_mac(const struct source *s, const struct mkt_span parts[], size_t n, uint8_t *mac)
{
    const struct mkt_algorithms *a = mkt_suite_algorithms(s->p->suite);
    uint8_t auth_key[MKT_MAX_HASH];
    struct mkt_hmac hmac;
    enum mkt_err err = mkt_derive_by(&s->prf, MKT_DERIVE_AUTH_KEY, &s->p->label, auth_key, a->auth_key);
    if (err != MKT_OK)
        return err;
    err = mkt_hmac_key(&hmac, a->hash, (struct mkt_span){auth_key, a->auth_key});
    err = err == MKT_OK ? mkt_hmac(&hmac, parts, n, mac) : err;
    mkt_wipe(&hmac, sizeof hmac);
    mkt_wipe(auth_key, sizeof auth_key);
    return err;
}

static enum mkt_err check_mac(const struct source *s, const struct mkt_span parts[], size_t n, struct mkt_span mac)
{
    const size_t length = mkt_hash_length(mkt_suite_algorithms(s->p->suite)->hash);
    uint8_t expected[MKT_MAX_HASH];
    if (mac.n != length)
        return MKT_E_MAC;
    enum mkt_err err = make_mac(s, parts, n, expected);
    if (err == MKT_OK && !mkt_same(expected, mac.p, length))
        err = MAC_IS_WRONG;
    mkt_wipe(expected, sizeof expected);
    return err;
}

/* Encrypts or decrypts. RFC 3830 4.2.3: IV = (S XOR (0x0000 || CSB ID || T)) || 0x0000. S is the salting key of 112
 * bits, and the last 16 bits stay 0. */
static enum mkt_err crypt_data(const struct source *s, const struct mkt_encryption *e)
{
    const size_t length = mkt_suite_algorithms(s->p->suite)->key;
    uint8_t encr_key[32], salt[MKT_SALT_LENGTH], iv[16] = {0};
    struct io io = io_put(&(struct mkt_buf){iv, sizeof iv, 0});
    uint16_t zero = 0;
    uint32_t csb_id = e->csb_id;
    uint64_t t = e->t;
    io_u16(&io, &zero);
    io_u32(&io, &csb_id);
    io_uint(&io, &t, 8);
    enum mkt_err err = mkt_derive_by(&s->prf, MKT_DERIVE_SALT_KEY, &s->p->label, salt, sizeof salt);
    for (size_t i = 0; i < sizeof salt; i++)
        iv[i] ^= salt[i];
    mkt_wipe(salt, sizeof salt);
    err = err == MKT_OK ? mkt_derive_by(&s->prf, MKT_DERIVE_ENCR_KEY, &s->p->label, encr_key, length) : err;
    err = err == MKT_OK ? mkt_aes_cm((struct mkt_span){encr_key, length}, iv, e->in, e->out) : err;
    mkt_wipe(encr_key, sizeof encr_key);
    mkt_wipe(iv, sizeof iv);
    return err;
}

/* Checks `mac` before the text is decrypted, or writes `made` after it was encrypted; the other one is NULL. */
static enum mkt_err protect(const struct mkt_protection *p, const struct mkt_encryption *e,
                            const struct mkt_span parts[], size_t n, const struct mkt_span *mac, uint8_t *made)
{
    struct source s;
    s.p = p;
    enum mkt_err err = mkt_prf_key(&s.prf, p->suite, p->key);
    if (err == MKT_OK && mac != NULL)
        err = check_mac(&s, parts, n, *mac);
    if (err == MKT_OK && e != NULL)
        err = crypt_data(&s, e);
    if (err == MKT_OK && made != NULL)
        err = make_mac(&s, parts, n, made);
    if (err != MKT_OK && e != NULL)
        mkt_wipe(e->out, e->in.n);
    mkt_wipe(&s.prf, sizeof s.prf);
    return err;
}

enum mkt_err mkt_protect_seal(const struct mkt_protection *p, const struct mkt_encryption *e,
                              const struct mkt_span parts[], size_t n, uint8_t *mac)
{
    return protect(p, e, parts, n, NULL, mac);
}

enum mkt_err mkt_protect_open(const struct mkt_protection *p, const struct mkt_encryption *e,
                              const struct mkt_span parts[], size_t n, struct mkt_span mac)
{
    return protect(p, e, parts, n, &mac, NULL);
}
