/* SPDX-License-Identifier: BSD-3-Clause */
/* vectors/refusepk.txt, with libmikeyticket-x509: what is refused, for its reason, and the right one is taken then; and
 * envelopes that do not open, which nothing tells. */
#include "base64.h"
#include "cases.h"

#include "exchange.h"

#include <mikeyticket/x509.h>

#include <mbedtls/aes.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include <stdlib.h>
#include <string.h>

/* ---- the calls of mbedTLS: what the linker puts in place (-Wl,--wrap) notes their names and lengths ---- */

static struct {
    size_t n;
    uint64_t sum; /* of all, in their order */
} calls;

static void note(const char *name, size_t length)
{
    const uint64_t prime = 0x100000001b3;
    for (; *name != '\0'; name++)
        calls.sum = (calls.sum ^ (uint8_t)*name) * prime;
    calls.sum = (calls.sum ^ length) * prime;
    calls.n++;
}

#define CONCAT(a, b) a##b
#define REAL(name) CONCAT(__real_, name)
#define HERE(name) CONCAT(__wrap_, name)
#define NOTED(name, parameters, arguments, length)                                                                     \
    int REAL(name) parameters;                                                                                         \
    int HERE(name) parameters;                                                                                         \
    int HERE(name) parameters                                                                                          \
    {                                                                                                                  \
        note(#name, length);                                                                                           \
        return REAL(name) arguments;                                                                                   \
    }

/* As lib/crypto.c has it. */
#if MBEDTLS_VERSION_MAJOR < 3
#define mbedtls_sha1_update mbedtls_sha1_update_ret
#define mbedtls_sha1_finish mbedtls_sha1_finish_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

typedef unsigned char octet;

NOTED(mbedtls_sha1_update, (mbedtls_sha1_context * c, const octet *in, size_t n), (c, in, n), n)
NOTED(mbedtls_sha1_finish, (mbedtls_sha1_context * c, octet *out), (c, out), 0)
NOTED(mbedtls_sha256_update, (mbedtls_sha256_context * c, const octet *in, size_t n), (c, in, n), n)
NOTED(mbedtls_sha256_finish, (mbedtls_sha256_context * c, octet *out), (c, out), 0)
NOTED(mbedtls_aes_setkey_enc, (mbedtls_aes_context * aes, const octet *key, unsigned bits), (aes, key, bits), bits)
NOTED(mbedtls_aes_crypt_ctr,
      (mbedtls_aes_context * aes, size_t n, size_t *used, octet *counter, octet *stream, const octet *in, octet *out),
      (aes, n, used, counter, stream, in, out), n)
NOTED(mbedtls_md_update, (mbedtls_md_context_t * md, const octet *in, size_t n), (md, in, n), n)
NOTED(mbedtls_pk_verify_ext,
      (mbedtls_pk_type_t type, const void *options, mbedtls_pk_context *pk, mbedtls_md_type_t md, const octet *hash,
       size_t n, const octet *signature, size_t length),
      (type, options, pk, md, hash, n, signature, length), length)
NOTED(mbedtls_rsa_private,
      (mbedtls_rsa_context * rsa, int (*rng)(void *, octet *, size_t), void *user, const octet *in, octet *out),
      (rsa, rng, user, in, out), 0)

static struct vectors all;

/* The party of a case, and what it has of x509; a KMS counts what it is asked. */
static struct actor actor;
static struct mkt_x509 *x509;
static struct mkt_public_keys keys, counted;
static size_t verified, opened;

/* ---- certificates ---- */

static const struct section *find_in(const char *kind, const char *name)
{
    for (size_t i = 0; i < all.n; i++)
        if (strcmp(all.section[i].name, kind) == 0 && strcmp(text_of(&all.section[i], "name"), name) == 0)
            return &all.section[i];
    ck_abort_msg("no [%s] %s", kind, name);
    return NULL;
}

static struct mkt_span certificate(const char *name)
{
    return octets_of(find_in("cert", name), "der");
}

static void add_own(const char *name)
{
    const struct section *s = find_in("cert", name);
    const struct mkt_span key = octets_of(find_in("key", text_of(s, "key")), "private");
    expect_err(name, mkt_x509_add_own(x509, octets_of(s, "der"), key), MKT_OK);
}

/* The certificate of Alice or Bob, which a message has: `init`, or else the first one to the KMS that is right. */
static void add_user(const struct section *s, const char *name)
{
    const char *kind = strcmp(name, "alice") == 0 ? "refuse-request-pk" : "refuse-resolve-pk";
    struct mkt_span message = {NULL, 0};
    for (size_t i = 0; i < all.n && message.n == 0; i++)
        if (strcmp(all.section[i].name, kind) == 0)
            message = octets_of(&all.section[i], "valid");
    if (value_of(s, "init") != NULL)
        message = octets_of(s, "init");
    expect_err(
        name,
        mkt_x509_add_own(x509, payload_of(message, MKT_CERT, 0).cert.data, octets_of(find_in("key", name), "private")),
        MKT_OK);
}

static void new_x509(void)
{
    struct mkt_x509_settings settings;
    mkt_x509_settings_init(&settings);
    expect_err("x509", mkt_x509_new(&x509, &settings), MKT_OK);
    expect_err("root", mkt_x509_add_anchors(x509, certificate("root")), MKT_OK);
}

static enum mkt_err counted_verify(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    verified++;
    return keys.verify(user, message, signer);
}

static enum mkt_err counted_open(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                                 size_t key_length)
{
    opened++;
    return keys.open(user, chash, envelope, key, key_length);
}

/* A new bundle for the same actor, with public keys. */
static void with_keys(enum mkt_role role)
{
    mkt_public_keys_init(&keys);
    expect_err("keys", mkt_x509_public_keys(x509, &keys), MKT_OK);
    counted = keys;
    counted.verify = counted_verify;
    counted.open = counted_open;
    verified = opened = 0;
    actor.settings.public_keys = &counted;
    actor.settings.bundle_size = MKT_CSB_SIZE_PK;
    if (role != MKT_KMS)
        actor.settings.kms = &actor.kms;
    mkt_csb_free(actor.csb);
    expect_err("new", mkt_csb_new(&actor.csb, role, &actor.player.host, &actor.settings), MKT_OK);
}

static void begin_kms(const struct section *s)
{
    actor_begin(&actor, s, MKT_KMS);
    new_x509();
    add_own("kms");
    add_own("kms3");
    add_own("kms-encr");
    with_keys(MKT_KMS);
}

/* Alice or Bob; `env` is the first thing drawn after CSB ID and RANDR. */
static void begin_user(const struct section *s, enum mkt_role role, const char *name)
{
    actor_begin(&actor, s, role);
    new_x509();
    expect_err("kms", mkt_x509_add_kms(x509, certificate("kms")), MKT_OK);
    add_user(s, name);
    with_keys(role);
}

/* ---- [refuse-request-pk] [refuse-resolve-pk] ---- */

static void expect_suite(const struct section *s, struct mkt_span message)
{
    ck_assert_uint_eq(number_of(s, "suite"), (message.p[3] & 0x7f) == MKT_PRF_MIKEY_1 ? 128 : 256);
}

static void refuse_init(const struct section *s)
{
    begin_kms(s);
    if (value_of(s, "before") != NULL) {
        actor_takes(&actor, s, "before");
        mkt_csb_abandon(actor.csb);
    }
    (void)octets_of(s, "env");
    actor_refuses(&actor, s);
    expect_suite(s, octets_of(s, "valid"));
    ck_assert_uint_eq(opened, 0);
    const bool request = octets_of(s, "valid").p[1] == MKT_REQUEST_INIT_PK;
    expect_octets("peer", mkt_csb_peer(actor.csb).data, text(text_of(s, request ? "id_i" : "id_r")));
    (void)text_of(s, "id_i"), (void)text_of(s, "id_r");
}

/* ---- [pke-request] [pke-resolve]: P9 ---- */

/* Whether the MAC of an answer is of that envelope key. */
static bool is_of_key(const struct section *s, struct mkt_span init, struct mkt_span resp)
{
    struct mkt_message question, answer;
    const enum mkt_suite suite = number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256;
    struct mkt_span parts[3] = {[2] = init};
    expect_err("INIT", mkt_message_decode(&question, init), MKT_OK);
    expect_err("RESP", mkt_message_decode(&answer, resp), MKT_OK);
    struct mkt_txn txn = {.bundle = {.suite = suite}};
    mkt_psk_protection(&txn, octets_of(s, "env"), &question, MKT_PURPOSE_RESPONSE, txn.extra[0], txn.extra[1]);
    mkt_message_covered(&answer, resp, parts);
    return mkt_protect_open(&txn.protection, NULL, parts, 3, answer.payload[answer.n - 1].v.mac) == MKT_OK;
}

/* What the KMS answers; `calls` are those that it made for that. */
static struct mkt_span answer_to(const struct section *s, struct mkt_span init)
{
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = octets_of(s, "tpk")};
    struct mkt_ticket *ticket;
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    verified = opened = 0;
    actor.player.logged = MKT_OK;
    calls.n = 0;
    calls.sum = 0;
    expect_err("INIT", mkt_csb_take(actor.csb, init), MKT_OK);
    ck_assert(verified == 1 && opened == 0);
    if (init.p[1] == MKT_REQUEST_INIT_PK) {
        expect_err("grant", mkt_csb_grant(actor.csb, &recipe, &ticket), MKT_OK);
        expect_err("RESP", mkt_csb_make_request_resp(actor.csb, ticket, &out), MKT_OK);
        mkt_ticket_free(ticket);
    } else {
        expect_err("RESP", mkt_csb_make_resolve_resp(actor.csb, &out), MKT_OK);
    }
    ck_assert(verified == 1 && opened == 1 && actor.player.logged == MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

/* Of mbedTLS, at least: the hashes are by nettle, if that was built in. */
#ifdef MKT_CRYPTO_NETTLE
enum { CALLS = 5 };
#else
enum { CALLS = 21 };
#endif

static void answer_envelope(const struct section *s)
{
    const struct mkt_span bytes = octets_of(s, "bytes"), valid = octets_of(s, "valid");
    begin_kms(s);
    const struct mkt_span other = answer_to(s, bytes);
    const size_t n = calls.n;
    const uint64_t sum = calls.sum;
    const struct mkt_span right = answer_to(s, valid);
    ck_assert_uint_ge(n, CALLS);
    const bool same = calls.n == n && calls.sum == sum;
    ck_assert_msg(same || strstr(text_of(s, "name"), "our-other-key") != NULL, /* anybody sees which key it is for */
                  "%s: other calls", text_of(s, "name"));
    ck_assert_uint_eq(other.n, right.n);
    ck_assert(is_of_key(s, valid, right));
    ck_assert(!is_of_key(s, bytes, other));
    ck_assert_uint_eq(actor.player.n_seen, 2);
    (void)text_of(s, "id_i"), (void)text_of(s, "id_r");
}

/* ---- [refuse-request-resp-pk] [refuse-resolve-resp-pk] ---- */

static void refuse_request_answer(const struct section *s)
{
    const struct mkt_span init = octets_of(s, "init");
    struct mkt_policy policy;
    const struct mkt_request request = {.size = sizeof request, .policy = &policy};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_payload tp = payload_of(init, MKT_TP, 0);
    begin_user(s, MKT_INITIATOR, "alice");
    player_draw_like(&actor.player, init, MKT_RANDR_I);
    player_random(&actor.player, octets_of(s, "env"));
    expect_err("TP", mkt_policy_decode(&policy, &tp.ticket), MKT_OK);
    expect_err("INIT", mkt_csb_make_request_init(actor.csb, &request, &out), MKT_OK);
    go_on_with(&actor.csb, &actor.player.host, &actor.settings, mkt_buf_span(&out), init);
    actor_refuses(&actor, s);
    expect_suite(s, init);
    (void)text_of(s, "id_r");
}

static void refuse_resolve_answer(const struct section *s)
{
    const struct mkt_span init = octets_of(s, "init");
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    begin_user(s, MKT_RESPONDER, "bob");
    actor_takes(&actor, s, "transfer_init");
    player_draw_like(&actor.player, init, MKT_RANDR_R);
    player_random(&actor.player, octets_of(s, "env"));
    expect_err("INIT", mkt_csb_make_resolve_init(actor.csb, &out), MKT_OK);
    go_on_with(&actor.csb, &actor.player.host, &actor.settings, mkt_buf_span(&out), init);
    actor_refuses(&actor, s);
    expect_suite(s, init);
    expect_octets("id_i", mkt_csb_peer(actor.csb).data, text(text_of(s, "id_i")));
}

/* ---- [refuse-kms-cert] [refuse-error-pk] ---- */

static void begin_alice(const struct section *s)
{
    player_init(&actor.player, ntp(number_of(s, "now")), text(""));
    mkt_settings_init(&actor.settings, mkt_id_uri("sip:alice@home1.example"));
    actor.kms = (struct mkt_credential){mkt_id_uri(text_of(s, "id_kms")), {0}, text("")};
    new_x509();
    add_user(s, "alice");
}

static enum mkt_err request(enum mkt_suite suite)
{
    struct mkt_policy policy = granted(suite);
    const struct mkt_request asked = {.size = sizeof asked, .policy = &policy};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    return mkt_csb_make_request_init(actor.csb, &asked, &out);
}

/* A chain of vectors in PEM. */
static struct mkt_span pem_of(struct mkt_span chain)
{
    static char text_octets[16384];
    size_t n = 0;
    while (chain.n > 2) {
        const size_t length = (size_t)chain.p[0] << 8 | chain.p[1];
        uint8_t base64[8192];
        struct mkt_buf out = {base64, sizeof base64, 0};
        ck_assert_uint_le(length, chain.n - 2);
        expect_err("base64", mkt_base64_encode((struct mkt_span){chain.p + 2, length}, &out), MKT_OK);
        n += (size_t)snprintf(text_octets + n, sizeof text_octets - n,
                              "-----BEGIN CERTIFICATE-----\n%.*s\n-----END CERTIFICATE-----\n", (int)out.n, base64);
        chain = (struct mkt_span){chain.p + 2 + length, chain.n - 2 - length};
    }
    ck_assert(chain.n == 0 && n < sizeof text_octets);
    return (struct mkt_span){(const uint8_t *)text_octets, n};
}

static void refuse_certificate(const struct section *s)
{
    begin_alice(s);
    (void)!mkt_x509_add_kms(x509, pem_of(octets_of(s, "bytes"))); /* if that is refused, there is none */
    with_keys(MKT_INITIATOR);
    const enum mkt_err err = request(MKT_SUITE_256);
    ck_assert_msg(err != MKT_OK && fits_class(s, err), "%s: %s", text_of(s, "name"), mkt_err_name(err));
    mkt_x509_free(x509);
    new_x509();
    add_user(s, "alice");
    expect_err("valid", mkt_x509_add_kms(x509, pem_of(octets_of(s, "valid"))), MKT_OK);
    with_keys(MKT_INITIATOR);
    expect_err("valid", request(MKT_SUITE_256), MKT_OK);
}

static void refuse_error(const struct section *s)
{
    begin_alice(s);
    expect_err("kms", mkt_x509_add_kms(x509, certificate("kms")), MKT_OK);
    with_keys(MKT_INITIATOR);
    player_random(&actor.player, octets_of(s, "csb_id"));
    expect_err("request", request(number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256), MKT_OK);
    actor_refuses(&actor, s);
    ck_assert(actor.player.reports == 1 && actor.player.authenticated);
}

/* ---- the cases ---- */

static const struct {
    const char *section;
    void (*run)(const struct section *s);
} kinds[] = {
    {"refuse-request-pk", refuse_init},
    {"refuse-resolve-pk", refuse_init},
    {"pke-request", answer_envelope},
    {"pke-resolve", answer_envelope},
    {"refuse-request-resp-pk", refuse_request_answer},
    {"refuse-resolve-resp-pk", refuse_resolve_answer},
    {"refuse-kms-cert", refuse_certificate},
    {"refuse-error-pk", refuse_error},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

START_TEST(every_case)
{
    size_t n = 0;
    mkt_csb_free(actor.csb); /* of a case that failed */
    actor.csb = NULL;
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (strcmp(s->name, kinds[_i].section) != 0)
            continue;
        ck_assert_str_ne(text_of(s, "name"), "");
        kinds[_i].run(s);
        for (size_t f = 0; f < s->n; f++)
            ck_assert_msg(s->field[f].read, "no test reads %s of [%s]", s->field[f].name, s->name);
        mkt_csb_free(actor.csb);
        mkt_x509_free(x509);
        actor.csb = NULL;
        ck_assert_uint_eq(actor.player.live, 0);
        free_all();
        n++;
    }
    ck_assert_msg(n > 0, "no [%s]", kinds[_i].section);
}
END_TEST

START_TEST(there_are_no_other_sections)
{
    for (size_t i = 0; i < all.n; i++) {
        const char *name = all.section[i].name;
        bool known = strcmp(name, "key") == 0 || strcmp(name, "cert") == 0;
        for (size_t k = 0; k < KINDS; k++)
            known |= strcmp(name, kinds[k].section) == 0;
        ck_assert_msg(known, "no test runs [%s]", name);
    }
}
END_TEST

/* ---- envelopes at random ---- */

/* Envelopes that somebody who may sign draws: all are answered, by the same calls, and no answer is like another. */
START_TEST(a_thousand_random_envelopes_are_answered)
{
    const struct section *s = NULL;
    for (size_t i = 0; i < all.n && s == NULL; i++)
        if (strcmp(all.section[i].name, "pke-request") == 0)
            s = &all.section[i];
    ck_assert_ptr_nonnull(s);
    const struct mkt_span valid = octets_of(s, "valid"), alice = text(text_of(s, "id_i"));
    const struct mkt_span id_kms = text(text_of(s, "id_kms"));
    const size_t at = (size_t)(payload_of(valid, MKT_PKE, 0).pke.data.p - valid.p);
    uint32_t drawn = 12345;
    uint8_t octets[4096];
    begin_kms(s);
    struct mkt_x509 *kms = x509;
    new_x509();
    add_user(s, "alice");
    struct mkt_public_keys signer;
    mkt_public_keys_init(&signer);
    expect_err("keys", mkt_x509_public_keys(x509, &signer), MKT_OK);
    const struct mkt_span right = answer_to(s, valid);
    const size_t n = calls.n;
    const uint64_t sum = calls.sum;
    ck_assert_uint_le(valid.n, sizeof octets);
    memcpy(octets, valid.p, valid.n);
    for (int i = 0; i < 1000; i++) {
        for (size_t k = 0; k < 256; k++)
            octets[at + k] = (uint8_t)((drawn = drawn * 1103515245 + 12345) >> 16);
        if (i % 2 == 0)
            octets[at] = 0; /* less than the modulus, for sure */
        struct mkt_buf signature = {octets + valid.n - 256, 256, 0};
        const struct mkt_span parts[] = {{octets, valid.n - 256}, alice, id_kms};
        expect_err("sign", signer.sign(signer.user, parts, 3, &signature), MKT_OK);
        const struct mkt_span init = {octets, valid.n}, resp = answer_to(s, init);
        ck_assert_msg(calls.n == n && calls.sum == sum, "envelope %d: other calls", i);
        ck_assert_uint_eq(resp.n, right.n);
        ck_assert(!is_of_key(s, init, resp));
    }
    mkt_x509_free(kms);
    mkt_csb_free(actor.csb);
    actor.csb = NULL;
    mkt_x509_free(x509);
    free_all();
}
END_TEST

static void load(void)
{
    all = vectors_read("refusepk.txt");
}

static void unload(void)
{
    vectors_free(&all);
    free_all();
}

int main(void)
{
    Suite *suite = suite_create("refuse_pk");
    TCase *tcase = tcase_create("refusepk.txt");
    tcase_add_unchecked_fixture(tcase, load, unload);
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, every_case, 0, KINDS);
    tcase_add_test(tcase, there_are_no_other_sections);
    tcase_add_test(tcase, a_thousand_random_envelopes_are_answered);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
