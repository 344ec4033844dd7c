/* SPDX-License-Identifier: BSD-3-Clause */
#include "derive.h"

#include "io.h"

#include <mikeyticket/payload.h>

static const struct mkt_algorithms algorithms[] = {
    [MKT_SUITE_256] = {MKT_PRF_HMAC_SHA_256, MKT_MAC_HMAC_SHA_256_256, MKT_ENCR_AES_CM_256, MKT_HASH_SHA_256, 32, 32},
    [MKT_SUITE_128] = {MKT_PRF_MIKEY_1, MKT_MAC_HMAC_SHA_1_160, MKT_ENCR_AES_CM_128, MKT_HASH_SHA_1, 16, 20},
};

const struct mkt_algorithms *mkt_suite_algorithms(enum mkt_suite suite)
{
    return &algorithms[suite];
}

enum mkt_err mkt_suite_of_prf(unsigned prf, enum mkt_suite *suite)
{
    *suite = prf == MKT_PRF_MIKEY_1 ? MKT_SUITE_128 : MKT_SUITE_256;
    return prf == mkt_suite_algorithms(*suite)->prf ? MKT_OK : MKT_E_PRF;
}

/* RFC 3830 4.1.2, XORed onto `out`, m as long as it takes: P (s, label, m) = HMAC (s, A_1 || label) ||
 * HMAC (s, A_2 || label) || ..., with A_0 = label, A_i = HMAC (s, A_(i-1)). */
static enum mkt_err xor_p(const struct mkt_hmac *s, const struct mkt_span label[], size_t parts, uint8_t *out, size_t n)
{
    enum { MAX_PARTS = 8 };
    uint8_t a[MKT_MAX_HASH], block[MKT_MAX_HASH];
    const size_t length = mkt_hash_length(s->inner.hash);
    struct mkt_span a_label[1 + MAX_PARTS] = {{a, length}};
    if (parts > MAX_PARTS)
        return MKT_E_ARGUMENT;
    memcpy(a_label + 1, label, parts * sizeof *label);

    enum mkt_err err = mkt_hmac(s, label, parts, a);
    for (size_t at = 0; at < n && err == MKT_OK; at += length) {
        err = mkt_hmac(s, a_label, 1 + parts, block);
        for (size_t i = 0; i < length && i < n - at; i++)
            out[at + i] ^= block[i];
        if (err == MKT_OK && n - at > length)
            err = mkt_hmac(s, a_label, 1, a);
    }
    mkt_wipe(a, sizeof a);
    mkt_wipe(block, sizeof block);
    return err;
}

/* "split the inkey into n blocks, inkey = s_1 || ... || s_n, where all s_i, except possibly s_n, are 256 bits each" */
enum { S_I = 256 / 8 };

static struct mkt_span s_i(struct mkt_span inkey, size_t at)
{
    return (struct mkt_span){inkey.p + at, inkey.n - at < S_I ? inkey.n - at : S_I};
}

enum mkt_err mkt_prf_key(struct mkt_prf *prf, enum mkt_suite suite, struct mkt_span inkey)
{
    prf->inkey = inkey;
    return inkey.n == 0 ? MKT_E_ARGUMENT : mkt_hmac_key(&prf->s_1, mkt_suite_algorithms(suite)->hash, s_i(inkey, 0));
}

enum mkt_err mkt_prf(const struct mkt_prf *prf, const struct mkt_span label[], size_t parts, uint8_t *out, size_t n)
{
    memset(out, 0, n);
    enum mkt_err err = xor_p(&prf->s_1, label, parts, out, n);
    for (size_t at = S_I; at < prf->inkey.n && err == MKT_OK; at += S_I) {
        struct mkt_hmac s;
        err = mkt_hmac_key(&s, prf->s_1.inner.hash, s_i(prf->inkey, at));
        err = err == MKT_OK ? xor_p(&s, label, parts, out, n) : err;
        mkt_wipe(&s, sizeof s);
    }
    if (err != MKT_OK)
        mkt_wipe(out, n);
    return err;
}

static void add_number(struct io *io, uint64_t number, size_t octets)
{
    io_uint(io, &number, octets);
}

/* Every label of RFC 6043 is constant || CS ID || CSB ID || number || lengths and values. A CS ID or CSB ID that there
 * is not has all bits set. */
enum mkt_err mkt_derive_by(const struct mkt_prf *prf, enum mkt_derivation what, const struct mkt_label *label,
                           uint8_t *out, size_t n)
{
    enum { NO_CS_ID = 0xFF, MAX_VALUES = 2 };
    const uint32_t no_csb_id = 0xFFFFFFFF;
    const enum mkt_purpose purpose = label->purpose;
    const bool fork = purpose == MKT_PURPOSE_FORK, one = purpose == MKT_PURPOSE_TICKET || purpose == MKT_PURPOSE_MPK;
    const struct mkt_span rand = one ? label->rand : label->randi;
    const struct mkt_span value[MAX_VALUES] = {fork ? label->id : rand, fork ? label->randkms : label->randr};
    const size_t n_values = purpose == MKT_PURPOSE_VR ? 0 : one ? 1 : MAX_VALUES;
    uint8_t octets[16];
    struct io io = io_put(&(struct mkt_buf){octets, sizeof octets, 0});
    struct mkt_span part[2 * MAX_VALUES];
    size_t parts = 0, from = 0;
    add_number(&io, (uint64_t)what, 4);
    add_number(&io, purpose == MKT_PURPOSE_TRAFFIC ? label->cs_id : NO_CS_ID, 1);
    add_number(&io, purpose == MKT_PURPOSE_INITIAL || purpose == MKT_PURPOSE_RESPONSE ? label->csb_id : no_csb_id, 4);
    add_number(&io, (uint64_t)purpose, 1);
    for (size_t i = 0; i < n_values; i++) {
        add_number(&io, value[i].n, fork && i == 0 ? 2 : 1);
        part[parts++] = (struct mkt_span){octets + from, io.pos - from};
        part[parts++] = value[i];
        from = io.pos;
    }
    if (n_values == 0)
        part[parts++] = (struct mkt_span){octets, io.pos};
    if (io.err == MKT_OK)
        return mkt_prf(prf, part, parts, out, n);
    mkt_wipe(out, n);
    return io.err;
}

enum mkt_err mkt_derive(enum mkt_suite suite, enum mkt_derivation what, struct mkt_span inkey,
                        const struct mkt_label *label, uint8_t *out, size_t n)
{
    struct mkt_prf prf;
    enum mkt_err err = mkt_prf_key(&prf, suite, inkey);
    if (err == MKT_OK)
        err = mkt_derive_by(&prf, what, label, out, n);
    else
        mkt_wipe(out, n);
    mkt_wipe(&prf, sizeof prf);
    return err;
}

enum mkt_err mkt_derive_traffic(enum mkt_suite suite, enum mkt_traffic_key which, struct mkt_span tgk, uint8_t cs_id,
                                struct mkt_span randi, struct mkt_span randr, uint8_t *out, size_t n)
{
    static const enum mkt_derivation derivation[] = {MKT_DERIVE_TEK, MKT_DERIVE_TRAFFIC_AUTH, MKT_DERIVE_TRAFFIC_ENCR,
                                                     MKT_DERIVE_TRAFFIC_SALT};
    bool known = (unsigned)suite <= MKT_SUITE_128 && (unsigned)which <= MKT_TRAFFIC_SALT;
    /* RFC 6043 5.1.3: "at least one of RANDRi and RANDRr MUST be used" */
    bool rands = randi.n <= UINT8_MAX && randr.n <= UINT8_MAX && randi.n + randr.n > 0;
    /* 12.1: "If session keys (TEK/TGK/GTGK) longer than 128 bits are used, 128-bit algorithms SHALL NOT be used." */
    bool too_long = suite == MKT_SUITE_128 && (tgk.n > 16 || (which == MKT_TRAFFIC_TEK && n > 16));
    if (!known || !rands || too_long || tgk.n < MKT_MIN_KEY || n == 0 || n > MKT_MAX_TEK) {
        mkt_wipe(out, n);
        return MKT_E_ARGUMENT;
    }
    const struct mkt_label label = {.purpose = MKT_PURPOSE_TRAFFIC, .cs_id = cs_id, .randi = randi, .randr = randr};
    return mkt_derive(suite, derivation[which], tgk, &label, out, n);
}
