/* SPDX-License-Identifier: BSD-3-Clause */
#include "paper.h"

#include <mbedtls/md.h>

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, MAX_HASH = 32 };

/* ---- by hand ---- */

static size_t hash_of(const struct paper *p)
{
    return p->suite == MKT_SUITE_256 ? 32 : 20;
}

static void add(struct paper *p, enum paper_what what, size_t n)
{
    if (p->n == sizeof p->step / sizeof *p->step)
        abort();
    p->step[p->n++] = (struct paper_step){what, n};
}

static void pad(struct paper *p)
{
    add(p, PAPER_PAD, 0);
}

static void mac(struct paper *p, size_t n)
{
    add(p, PAPER_MAC, n);
}

static void prf(struct paper *p, size_t label)
{
    mac(p, label);
    mac(p, hash_of(p) + label);
}

/* Octets of labels. */
static size_t initial(const struct stage *s)
{
    return 10 + 1 + stage_key(s) + 1;
}

static size_t response(const struct stage *s)
{
    return 10 + 2 * (1 + stage_key(s));
}

static size_t of_ticket(const struct stage *s)
{
    return 10 + 1 + stage_key(s);
}

static size_t of_fork(const struct stage *s)
{
    return 10 + 2 + s->bob.settings.self.data.n + 1 + stage_key(s);
}

enum { VR = 10 };

/* Key data: Next Payload, Type and KV, length of two octets, key, SPI of four octets with its length */
static size_t key_data(const struct stage *s)
{
    return 1 + 1 + 2 + stage_key(s) + 1 + 4;
}

/* The key that a MAC is made with is padded by then; more than the MAC may come of it. */
static void protect(struct paper *p, size_t label, size_t covered)
{
    prf(p, label);
    pad(p);
    mac(p, covered);
}

static void kemac(struct paper *p, const struct stage *s, size_t label, size_t keys)
{
    prf(p, label);
    prf(p, label);
    add(p, PAPER_AES, keys * key_data(s));
}

/* A message without its own MAC. */
static size_t message(const struct paper *p, const struct stage *s, enum message m)
{
    return s->length[m] - hash_of(p);
}

/* Initiator Data: Next Payload, then Vi and Vr, each with Next Payload and Auth alg; all but the MAC of Vr */
static size_t initiator_data(const struct paper *p)
{
    return 1 + 2 * (1 + 1 + hash_of(p)) - hash_of(p);
}

/* By table 5.2 without Initiator Data and its length. */
static size_t transfer_init(const struct paper *p, const struct stage *s)
{
    const size_t left_out = 2 + (s->forked ? initiator_data(p) + hash_of(p) : 0);
    return message(p, s, TRANSFER_INIT) - left_out + s->alice.settings.self.data.n + s->bob.settings.self.data.n;
}

void paper_request_init(struct paper *p, const struct stage *s)
{
    pad(p);
    protect(p, initial(s), message(p, s, REQUEST_INIT) + s->alice.settings.self.data.n + s->kms.settings.self.data.n);
}

void paper_ticket(struct paper *p, const struct stage *s)
{
    pad(p);
    protect(p, of_ticket(s), s->ticket_covered);
    kemac(p, s, of_ticket(s), 2);
    pad(p);
    prf(p, of_ticket(s));
    if (s->forked)
        prf(p, of_ticket(s));
}

static size_t holder_keys(const struct stage *s)
{
    return s->forked ? 3 : 2;
}

void paper_request_resp(struct paper *p, const struct stage *s)
{
    pad(p);
    protect(p, initial(s), message(p, s, REQUEST_RESP) + s->length[REQUEST_INIT]);
    kemac(p, s, initial(s), holder_keys(s));
}

static void transfer_init_mac(struct paper *p, const struct stage *s)
{
    pad(p);
    protect(p, initial(s), transfer_init(p, s));
}

static void vr(struct paper *p)
{
    pad(p);
    protect(p, VR, initiator_data(p));
}

void paper_make_transfer_init(struct paper *p, const struct stage *s)
{
    transfer_init_mac(p, s);
    if (s->forked)
        vr(p);
}

/* To open a ticket is as much work as to make it, but that MPKr is of no use to a Responder. */
void paper_take_transfer_init(struct paper *p, const struct stage *s)
{
    paper_ticket(p, s);
    transfer_init_mac(p, s);
}

void paper_nothing(struct paper *p, const struct stage *s)
{
    (void)p;
    (void)s;
}

void paper_make_resolve_init(struct paper *p, const struct stage *s)
{
    pad(p);
    protect(p, initial(s), message(p, s, RESOLVE_INIT) + s->bob.settings.self.data.n + s->kms.settings.self.data.n);
}

void paper_take_resolve_init(struct paper *p, const struct stage *s)
{
    paper_make_resolve_init(p, s);
    paper_ticket(p, s);
    if (s->forked)
        vr(p);
}

static void forked(struct paper *p, const struct stage *s)
{
    if (!s->forked)
        return;
    pad(p);
    prf(p, of_fork(s));
    pad(p);
    prf(p, of_fork(s));
}

static void resolve_resp(struct paper *p, const struct stage *s)
{
    pad(p);
    protect(p, initial(s), message(p, s, RESOLVE_RESP) + s->length[RESOLVE_INIT]);
    kemac(p, s, initial(s), holder_keys(s));
}

void paper_make_resolve_resp(struct paper *p, const struct stage *s)
{
    forked(p, s);
    resolve_resp(p, s);
}

void paper_take_resolve_resp(struct paper *p, const struct stage *s)
{
    resolve_resp(p, s);
    transfer_init_mac(p, s);
}

void paper_make_transfer_resp(struct paper *p, const struct stage *s)
{
    pad(p);
    protect(p, response(s), message(p, s, TRANSFER_RESP) + s->length[TRANSFER_INIT]);
}

void paper_take_transfer_resp(struct paper *p, const struct stage *s)
{
    forked(p, s);
    paper_make_transfer_resp(p, s);
}

void paper_tek(struct paper *p, const struct stage *s)
{
    pad(p);
    prf(p, response(s));
}

struct count paper_count(const struct paper *p)
{
    struct count c = {0};
    for (size_t i = 0; i < p->n; i++) {
        const size_t n = p->step[i].n;
        switch (p->step[i].what) {
        case PAPER_PAD:
            c.sha += 2;
            break;
        case PAPER_MAC:
            c.sha += (n + 1 + 8 + BLOCK - 1) / BLOCK + 1;
            break;
        case PAPER_AES:
            c.aes += (n + 15) / 16;
            c.keys++;
            break;
        }
    }
    return c;
}

/* ---- by mbedTLS ---- */

static uint8_t octets[4 * STAGE_OCTETS];

static void fine(int err)
{
    if (err != 0)
        abort();
}

#define FLOOR_HASH(hash, start)                                                                                        \
    static struct {                                                                                                    \
        mbedtls_##hash##_context inner, outer;                                                                         \
    } hash##_key;                                                                                                      \
                                                                                                                       \
    static void hash##_pad(void)                                                                                       \
    {                                                                                                                  \
        mbedtls_##hash##_init(&hash##_key.inner);                                                                      \
        fine(start(&hash##_key.inner));                                                                                \
        fine(BENCH_NAME(mbedtls_, hash##_update)(&hash##_key.inner, octets, BLOCK));                                   \
        mbedtls_##hash##_init(&hash##_key.outer);                                                                      \
        fine(start(&hash##_key.outer));                                                                                \
        fine(BENCH_NAME(mbedtls_, hash##_update)(&hash##_key.outer, octets, BLOCK));                                   \
    }                                                                                                                  \
                                                                                                                       \
    static void hash##_hash(const mbedtls_##hash##_context *from, const uint8_t *in, size_t n, uint8_t *out)           \
    {                                                                                                                  \
        mbedtls_##hash##_context c;                                                                                    \
        mbedtls_##hash##_init(&c);                                                                                     \
        mbedtls_##hash##_clone(&c, from);                                                                              \
        fine(BENCH_NAME(mbedtls_, hash##_update)(&c, in, n));                                                          \
        fine(BENCH_NAME(mbedtls_, hash##_finish)(&c, out));                                                            \
        mbedtls_##hash##_free(&c);                                                                                     \
    }                                                                                                                  \
                                                                                                                       \
    static void hash##_mac(size_t n, size_t length)                                                                    \
    {                                                                                                                  \
        uint8_t inner[MAX_HASH];                                                                                       \
        hash##_hash(&hash##_key.inner, octets, n, inner);                                                              \
        hash##_hash(&hash##_key.outer, inner, length, octets);                                                         \
    }

static int start_256(mbedtls_sha256_context *c)
{
    return BENCH_NAME(mbedtls_, sha256_starts)(c, 0);
}

FLOOR_HASH(sha1, BENCH_NAME(mbedtls_, sha1_starts))
FLOOR_HASH(sha256, start_256)

static void aes(size_t key, size_t n)
{
    mbedtls_aes_context aes;
    uint8_t counter[16] = {0}, stream[16];
    size_t used = 0;
    mbedtls_aes_init(&aes);
    fine(mbedtls_aes_setkey_enc(&aes, octets, (unsigned)(8 * key)));
    fine(mbedtls_aes_crypt_ctr(&aes, n, &used, counter, stream, octets, octets));
    mbedtls_aes_free(&aes);
}

static size_t key_of(const struct paper *p)
{
    return p->suite == MKT_SUITE_256 ? 32 : 16;
}

void paper_hmacs(const struct paper *p)
{
    const mbedtls_md_type_t type = p->suite == MKT_SUITE_256 ? MBEDTLS_MD_SHA256 : MBEDTLS_MD_SHA1;
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(type);
    uint8_t mac[MAX_HASH];
    for (size_t i = 0; i < p->n; i++) {
        const size_t n = p->step[i].n;
        switch (p->step[i].what) {
        case PAPER_PAD:
            break;
        case PAPER_MAC:
            fine(mbedtls_md_hmac(info, octets, key_of(p), octets, n, mac));
            break;
        case PAPER_AES:
            aes(key_of(p), n);
            break;
        }
    }
}

void paper_floor(const struct paper *p)
{
    const bool sha256 = p->suite == MKT_SUITE_256;
    for (size_t i = 0; i < p->n; i++) {
        const size_t n = p->step[i].n;
        switch (p->step[i].what) {
        case PAPER_PAD:
            sha256 ? sha256_pad() : sha1_pad();
            break;
        case PAPER_MAC:
            sha256 ? sha256_mac(n, 32) : sha1_mac(n, 20);
            break;
        case PAPER_AES:
            aes(key_of(p), n);
            break;
        }
    }
}
