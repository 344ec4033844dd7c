/* SPDX-License-Identifier: BSD-3-Clause */
/* x509: signatures, envelopes and certificates of the vectors, taken out of their messages; and what mbedTLS would take
   of certificates and this library does not. */
#define _GNU_SOURCE /* RTLD_NEXT, strtok_r */

#include "certificates.h"
#include "player.h"
#include "stack.h"

#include <mikeyticket.h>
#include <mikeyticket/x509.h>

#include <mbedtls/bignum.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/x509_crt.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct vectors pk, refused;

/* A field of the first section with that name and value: of [key] or [cert]. */
static struct mkt_span find(const char *section, const char *name, const char *field)
{
    for (size_t i = 0; i < pk.n; i++)
        if (strcmp(pk.section[i].name, section) == 0 && strcmp(text_of(&pk.section[i], "name"), name) == 0)
            return octets_of(&pk.section[i], field);
    ck_abort_msg("no [%s] %s", section, name);
}

static struct mkt_span certificate(const char *name)
{
    return find("cert", name, "der");
}

static struct mkt_span private_key(const char *name)
{
    for (size_t i = 0; i < pk.n; i++)
        if (strcmp(pk.section[i].name, "cert") == 0 && strcmp(text_of(&pk.section[i], "name"), name) == 0)
            return find("key", text_of(&pk.section[i], "key"), "private");
    ck_abort_msg("no [cert] %s", name);
}

/* ---- a party ---- */

/* What a random generator gives, then octets that count up. */
struct drawn {
    struct mkt_span octets;
    size_t next;
};

struct party {
    struct mkt_x509_settings settings;
    struct mkt_x509 *x509;
    struct mkt_public_keys keys;
    struct drawn drawn;
    struct mkt_span certificate[MKT_MAX_CERTIFICATES]; /* those that find() gives */
    size_t n_certificates, asked;
    bool named; /* find() was asked for somebody */
};

static int draw(void *user, unsigned char *out, size_t n)
{
    struct drawn *drawn = user;
    for (size_t i = 0; i < n; i++, drawn->next++)
        out[i] = drawn->next < drawn->octets.n ? drawn->octets.p[drawn->next] : (uint8_t)(drawn->next % 251 + 1);
    return 0;
}

static size_t known(void *user, const struct mkt_id *signer, struct mkt_span certificates[MKT_MAX_CERTIFICATES])
{
    struct party *party = user;
    party->asked++;
    party->named = signer != NULL;
    memcpy(certificates, party->certificate, sizeof party->certificate);
    return party->n_certificates;
}

static void begin(struct party *party)
{
    memset(party, 0, sizeof *party);
    mkt_x509_settings_init(&party->settings);
    party->settings.user = party;
    party->settings.rng = draw;
    party->settings.rng_user = &party->drawn;
}

static void make(struct party *party)
{
    expect_err("new", mkt_x509_new(&party->x509, &party->settings), MKT_OK);
}

static void keys_of(struct party *party)
{
    mkt_public_keys_init(&party->keys);
    expect_err("keys", mkt_x509_public_keys(party->x509, &party->keys), MKT_OK);
}

static void add_own(struct party *party, const char *name)
{
    expect_err(name, mkt_x509_add_own(party->x509, certificate(name), private_key(name)), MKT_OK);
}

static void add_anchors(struct party *party, const char *names)
{
    char word[256];
    snprintf(word, sizeof word, "%s", names);
    for (char *save, *name = strtok_r(word, " ", &save); name != NULL; name = strtok_r(NULL, " ", &save))
        expect_err(name, mkt_x509_add_anchors(party->x509, certificate(name)), MKT_OK);
}

static void end(struct party *party)
{
    mkt_x509_free(party->x509);
    free_all();
}

/* The KMS of the vectors; `others`: kms3 and kms-encr as well. */
static void make_kms(struct party *party, const char *anchors, bool others)
{
    make(party);
    add_anchors(party, anchors);
    add_own(party, "kms");
    if (others) {
        add_own(party, "kms3");
        add_own(party, "kms-encr");
    }
    keys_of(party);
}

/* A message to the KMS `party` with the certificates of a chain, as far as one needs it. */
static struct mkt_signed message_to(const struct party *party, const struct mkt_id *signer, const struct mkt_id *kms)
{
    static const uint8_t envelope[MKT_MAX_RSA];
    (void)party;
    return (struct mkt_signed){
        .signer = signer, .kms = kms, .envelope = {envelope, 256}, .now = (uint64_t)3960616022 << 32};
}

static bool is_of_all(void *user, const struct mkt_id *id, struct mkt_span der)
{
    (void)user;
    (void)id;
    (void)der;
    return true;
}

/* ---- [sign], [pke], [chash] ---- */

START_TEST(signatures_are_those_of_the_vectors)
{
    const struct mkt_id nobody = mkt_id_uri("");
    size_t n = 0;
    for (size_t i = 0; i < pk.n; i++) {
        const struct section *s = &pk.section[i];
        if (strcmp(s->name, "sign") != 0)
            continue;
        struct party p, kms;
        uint8_t octets[MKT_MAX_RSA];
        struct mkt_buf made = {octets, sizeof octets, 0}, measured = {NULL, 0, 3};
        const bool sha1 = number_of(s, "hash") == 0;
        const struct mkt_span data = octets_of(s, "data");
        const struct mkt_span part[] = {{data.p, data.n / 3}, {data.p + data.n / 3, data.n - data.n / 3}};
        const char *key = text_of(s, "key");
        begin(&p);
        make(&p);
        add_own(&p, key);
        keys_of(&p);
        expect_err("measure", p.keys.sign(p.keys.user, part, 2, &measured), MKT_OK);
        expect_err("sign", p.keys.sign(p.keys.user, part, 2, &made), MKT_OK);
        ck_assert_uint_eq(measured.n - 3, made.n);
        if (!sha1)
            expect_octets("pkcs1", mkt_buf_span(&made), octets_of(s, "pkcs1"));

        begin(&kms);
        kms.settings.sha1 = true;
        kms.settings.is_of = is_of_all;
        make_kms(&kms, "root", false);
        for (int suite = 0; suite < 2; suite++)
            for (int s_type = 0; s_type < 2; s_type++) {
                struct mkt_signer signer;
                struct mkt_signed m = message_to(&kms, &nobody, &nobody);
                m.suite = suite == 0 ? MKT_SUITE_256 : MKT_SUITE_128;
                m.s_type = (uint8_t)s_type;
                m.octets = data;
                m.certificate[0] = certificate(key);
                m.n_certificates = 1;
                m.signature = octets_of(s, s_type == 0 ? "pkcs1" : "pss");
                expect_err("verify", kms.keys.verify(kms.keys.user, &m, &signer),
                           sha1 && suite == 0 ? MKT_E_SIGNATURE : MKT_OK);
            }
        (void)octets_of(s, "salt");
        end(&kms);
        end(&p);
        n++;
    }
    ck_assert_uint_eq(n, 12);
}
END_TEST

START_TEST(envelopes_and_chash_are_those_of_the_vectors)
{
    const struct mkt_id kms = mkt_id_uri("http://kms.home1.example");
    size_t n = 0;
    for (size_t i = 0; i < pk.n; i++) {
        const struct section *s = &pk.section[i];
        if (strcmp(s->name, "pke") != 0)
            continue;
        struct party p, receiver;
        uint8_t octets[MKT_MAX_RSA], hash[32], key[32];
        struct mkt_buf envelope = {octets, sizeof octets, 0}, chash = {hash, sizeof hash, 0}, measured = {NULL, 0, 0};
        struct mkt_buf none = {NULL, 0, 0};
        const struct mkt_span env = octets_of(s, "env");
        begin(&p);
        p.drawn.octets = octets_of(s, "ps");
        p.settings.send_chash = i % 2 == 0;
        make(&p);
        add_anchors(&p, "root");
        expect_err("kms", mkt_x509_add_kms(p.x509, certificate(text_of(s, "key"))), MKT_OK);
        keys_of(&p);
        ck_assert(p.keys.sign == NULL);
        const uint64_t now = (uint64_t)3960616022 << 32;
        expect_err("measure", p.keys.seal(p.keys.user, &kms, now, env, &measured, &none), MKT_OK);
        expect_err("seal", p.keys.seal(p.keys.user, &kms, now, env, &envelope, &chash), MKT_OK);
        ck_assert_uint_eq(measured.n, envelope.n);
        ck_assert_uint_eq(none.n, chash.n);
        ck_assert_uint_eq(chash.n, i % 2 == 0 ? 32 : 0);
        expect_octets("data", mkt_buf_span(&envelope), octets_of(s, "data"));

        begin(&receiver);
        make(&receiver);
        add_own(&receiver, text_of(s, "key"));
        keys_of(&receiver);
        memset(key, 0x5a, sizeof key);
        expect_err("open", receiver.keys.open(receiver.keys.user, NULL, mkt_buf_span(&envelope), key, env.n), MKT_OK);
        expect_octets("env", (struct mkt_span){key, env.n}, env);
        end(&receiver);
        end(&p);
        n++;
    }
    ck_assert_uint_eq(n, 4);
}
END_TEST

/* ---- whole messages ---- */

/* What the library would give to verify(), of a message that is well formed; false if it is not. */
static bool read_message(struct mkt_signed *to, struct mkt_message *m, struct mkt_span octets)
{
    if (mkt_message_decode(m, octets) != MKT_OK || m->n == 0 || m->payload[m->n - 1].type != MKT_SIGN)
        return false;
    const struct mkt_payload *idr = mkt_message_find(m, MKT_IDR, MKT_IDR_I);
    const struct mkt_payload *chash = mkt_message_find(m, MKT_CHASH, 0), *pke = mkt_message_find(m, MKT_PKE, 0);
    if (m->hdr.data_type == MKT_RESOLVE_INIT_PK)
        idr = mkt_message_find(m, MKT_IDR, MKT_IDR_R);
    if (pke == NULL)
        return false;
    *to = (struct mkt_signed){
        .suite = m->hdr.prf == 1 ? MKT_SUITE_256 : MKT_SUITE_128,
        .signer = idr == NULL ? NULL : &idr->id,
        .chash = chash == NULL ? NULL : &chash->chash,
        .envelope = pke->pke.data,
        .s_type = (uint8_t)m->payload[m->n - 1].sign.s_type,
        .signature = m->payload[m->n - 1].sign.signature,
    };
    to->octets = (struct mkt_span){octets.p, octets.n - to->signature.n};
    for (size_t i = 0; i < m->n; i++)
        if (m->payload[i].type == MKT_CERT && to->n_certificates < MKT_MAX_CERTIFICATES)
            to->certificate[to->n_certificates++] = m->payload[i].cert.data;
    return true;
}

static bool has(const char *text, char c)
{
    return strchr(text, c) != NULL;
}

/* One INIT of an exchange: verified, and its envelope opened. */
static void take_exchange(const struct section *s, const char *which)
{
    char name[32];
    struct party kms;
    struct mkt_message m;
    struct mkt_signed message;
    struct mkt_signer signer;
    const bool request = strcmp(which, "request") == 0;
    const struct mkt_id self = mkt_id_uri(text_of(s, "id_kms")), relay = mkt_id_uri("http://kms.home2.example");
#define FIELD(end) (snprintf(name, sizeof name, "%s_" end, which), name)
    if (value_of(s, FIELD("chain")) == NULL)
        return;
    ck_assert(read_message(&message, &m, octets_of(s, FIELD("init"))));
    message.kms = &self;
    message.now = (uint64_t)number_of(s, "now") << 32;
    const char *sends = text_of(s, FIELD("sends"));
    const struct mkt_span env = octets_of(s, FIELD("env"));
    const struct mkt_id user = mkt_id_uri(text_of(s, request ? "id_i" : "id_r"));

    begin(&kms);
    kms.settings.sha1 = number_of(s, FIELD("hash")) == 0;
    kms.settings.find = known;
    kms.settings.relay = &relay;
    kms.settings.n_relays = 1;
    char chain[256];
    snprintf(chain, sizeof chain, "%s", text_of(s, FIELD("chain")));
    if (!has(sends, 'c')) {
        for (char *save, *one = strtok_r(chain, " ", &save); one != NULL; one = strtok_r(NULL, " ", &save))
            kms.certificate[kms.n_certificates++] = certificate(one);
    }
    make_kms(&kms, text_of(s, "anchors"), message.chash != NULL);
    expect_err(which, kms.keys.verify(kms.keys.user, &message, &signer), MKT_OK);
    const bool relayed = strstr(s->name, "relayed") != NULL && !request;
    ck_assert(signer.vouches == relayed);
    expect_octets("signer", signer.id.data, relayed ? relay.data : user.data);
    ck_assert_uint_eq(kms.asked, has(sends, 'c') ? 0 : 1);
    ck_assert(kms.named == (kms.asked > 0 && has(sends, 'i')));

    uint8_t key[32] = {0};
    expect_err("open", kms.keys.open(kms.keys.user, message.chash, message.envelope, key, env.n), MKT_OK);
    expect_octets("env", (struct mkt_span){key, env.n}, env);
    mkt_x509_free(kms.x509);

    if (kms.settings.sha1) { /* with the setting alone */
        kms.settings.sha1 = false;
        make_kms(&kms, text_of(s, "anchors"), message.chash != NULL);
        expect_err("SHA-1", kms.keys.verify(kms.keys.user, &message, &signer), MKT_E_SIGNATURE);
        mkt_x509_free(kms.x509);
    }
    free_all();
}

START_TEST(messages_of_the_vectors_are_verified_and_opened)
{
    size_t n = 0;
    for (size_t i = 0; i < pk.n; i++)
        if (strncmp(pk.section[i].name, "exchange-", 9) == 0) {
            take_exchange(&pk.section[i], "request");
            take_exchange(&pk.section[i], "resolve");
            n++;
        }
    ck_assert_uint_eq(n, 57);
}
END_TEST

/* ---- what must be refused ---- */

static bool is_class(const char *classes, enum mkt_err err)
{
    static const char *const names[] = {"ok", "use", "malformed", "auth", "unsupported", "policy", "freshness", "host"};
    return err != MKT_OK && strstr(classes, names[mkt_err_class(err)]) != NULL;
}

/* Whether a case is about certificates, the signature or CHASH, and not about the rest of the message. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {
        "sign-", "bit-", "cert-", "chain-", "chash-", "pke-", "two-certs-of-same", "idrkms-taken-out"};
    static const char *const others[] = {"cert-type-", "cert-of-another-no-id", "chash-unknown-hash",
                                         "pke-cache",  "sign-not-last",         "sign-left-out"};
    bool is = false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        is = is || strncmp(name, ours[i], strlen(ours[i])) == 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        is = is && strncmp(name, others[i], strlen(others[i])) != 0;
    return is;
}

START_TEST(messages_are_refused_for_their_reason)
{
    size_t n = 0;
    for (size_t i = 0; i < refused.n; i++) {
        const struct section *s = &refused.section[i];
        const char *name = value_of(s, "name"), *kind = s->name;
        if ((strcmp(kind, "refuse-request-pk") != 0 && strcmp(kind, "refuse-resolve-pk") != 0) || !is_ours(name + 4))
            continue;
        static const char *const fields[] = {"bytes", "valid"};
        const struct mkt_id self = mkt_id_uri(text_of(s, "id_kms"));
        struct party kms;
        begin(&kms);
        make_kms(&kms, "root", true);
        for (size_t k = 0; k < 2; k++) {
            struct mkt_message m;
            struct mkt_signed message;
            struct mkt_signer signer;
            ck_assert_msg(read_message(&message, &m, octets_of(s, fields[k])), "%s", name);
            message.kms = &self;
            message.now = (uint64_t)number_of(s, "now") << 32;
            const enum mkt_err err = kms.keys.verify(kms.keys.user, &message, &signer);
            if (k == 0 && !is_class(text_of(s, "class"), err))
                ck_abort_msg("%s: %s, not %s", name, mkt_err_name(err), text_of(s, "class"));
            if (k == 1)
                expect_err("valid", err, MKT_OK);
        }
        end(&kms);
        n++;
    }
    ck_assert_uint_eq(n, 132);
}
END_TEST

/* A chain of a file, each certificate with two octets of length before it, as PEM, which holds several. */
static struct mkt_span pem_of(struct mkt_span chain)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char text[32768];
    size_t n = 0;
    for (size_t at = 0; at + 2 <= chain.n;) {
        const size_t length = (size_t)chain.p[at] << 8 | chain.p[at + 1];
        const uint8_t *p = chain.p + at + 2;
        n += (size_t)snprintf(text + n, sizeof text - n, "-----BEGIN CERTIFICATE-----\n");
        for (size_t i = 0; i < length; i += 3) {
            const unsigned b = i + 1 < length ? p[i + 1] : 0, c = i + 2 < length ? p[i + 2] : 0;
            const unsigned long three = (unsigned long)p[i] << 16 | b << 8 | c;
            for (unsigned k = 0; k < 4; k++)
                text[n++] = i + k > length ? '=' : digits[three >> (18 - 6 * k) & 63];
            if (i % 48 == 45)
                text[n++] = '\n';
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "\n-----END CERTIFICATE-----\n");
        at += 2 + length;
    }
    return exact((struct mkt_span){(const uint8_t *)text, n});
}

START_TEST(certificates_of_a_kms_are_refused)
{
    size_t n = 0;
    for (size_t i = 0; i < refused.n; i++) {
        const struct section *s = &refused.section[i];
        if (strcmp(s->name, "refuse-kms-cert") != 0)
            continue;
        const struct mkt_id id = mkt_id_uri(text_of(s, "id_kms"));
        const uint64_t now = (uint64_t)number_of(s, "now") << 32;
        (void)text_of(s, "name");
        for (int valid = 0; valid < 2; valid++) {
            struct party p;
            uint8_t octets[MKT_MAX_RSA], key[32] = {1};
            struct mkt_buf envelope = {octets, sizeof octets, 3}, chash = {NULL, 0, 0};
            begin(&p);
            make(&p);
            add_anchors(&p, "root");
            enum mkt_err err = mkt_x509_add_kms(p.x509, pem_of(octets_of(s, valid ? "valid" : "bytes")));
            keys_of(&p);
            if (err == MKT_OK)
                err = p.keys.seal(p.keys.user, &id, now, (struct mkt_span){key, 32}, &envelope, &chash);
            if (valid)
                expect_err("valid", err, MKT_OK);
            else /* exponent 1 is refused when it is added: the parser knows no such key */
                ck_assert_msg(is_class(text_of(s, "class"), err) || err == MKT_E_BAD_VALUE, "%s", mkt_err_name(err));
            ck_assert_uint_eq(envelope.n, valid ? 3 + 256 : 3);
            end(&p);
        }
        n++;
    }
    ck_assert_uint_eq(n, 11);
}
END_TEST

static struct mkt_span pem_of_one(struct mkt_span certificate)
{
    const uint8_t length[2] = {(uint8_t)(certificate.n >> 8), (uint8_t)certificate.n};
    uint8_t all[8192];
    memcpy(all, length, 2);
    memcpy(all + 2, certificate.p, certificate.n);
    return pem_of((struct mkt_span){all, 2 + certificate.n});
}

static struct mkt_span both(struct mkt_span a, struct mkt_span b)
{
    uint8_t all[16384];
    memcpy(all, a.p, a.n);
    memcpy(all + a.n, b.p, b.n);
    return exact((struct mkt_span){all, a.n + b.n});
}

/* ---- certificates that are made here ---- */

#define ALICE "sip:alice@home1.example"
#define NOW ((uint64_t)3960616022 << 32) /* in July 2025 */

static struct mkt_span uri(const char *name)
{
    return DER(URI, mkt_span_text(name));
}

/* A KMS that trusts a CA, whose key is kmsb, and a leaf of alice. */
struct made {
    struct party kms;
    struct recipe ca, sub, leaf;
    struct mkt_id alice, self;
    uint64_t now;
};

static struct mkt_span key_of(const char *name)
{
    return find("key", name, "private");
}

static struct mkt_span extension(const char *oid_and_critical, struct mkt_span value)
{
    return DER(SEQUENCE, from_hex(oid_and_critical), DER(OCTETS, value));
}

static void begin_made(struct made *made)
{
    memset(made, 0, sizeof *made);
    made->alice = mkt_id_uri(ALICE);
    made->self = mkt_id_uri("http://kms.home1.example");
    made->now = NOW;
    made->ca = (struct recipe){.subject = "ca", .issuer = "ca", .ca = true, .usage = CERT_SIGN};
    made->ca.public_key = public_of(key_of("kmsb"));
    made->sub = (struct recipe){.subject = "sub", .issuer = "ca", .ca = true, .usage = CERT_SIGN};
    made->sub.public_key = public_of(key_of("bob"));
    made->leaf = (struct recipe){.subject = "alice", .issuer = "ca", .usage = DIGITAL_SIGNATURE, .names = uri(ALICE)};
    made->leaf.public_key = public_of(key_of("alice"));
    begin(&made->kms);
    made->kms.settings.is_of = NULL;
}

/* What a fresh KMS says to a message that alice has signed. */
static enum mkt_err said(struct made *made, struct mkt_span anchor, const struct mkt_span chain[], size_t n)
{
    struct party *kms = &made->kms;
    struct mkt_signer signer;
    const struct mkt_span octets = mkt_span_text("a message");
    struct mkt_signed m = message_to(kms, &made->alice, &made->self);
    struct mkt_span all = {NULL, 0};
    make(kms);
    add_own(kms, "kms");
    enum mkt_err err = anchor.n == 0 ? MKT_OK : mkt_x509_add_anchors(kms->x509, anchor);
    keys_of(kms);
    m.octets = octets;
    m.now = made->now;
    for (size_t i = 0; i < n && i < MKT_MAX_CERTIFICATES; i++)
        m.certificate[m.n_certificates++] = chain[i];
    char text[512];
    memcpy(text, octets.p, octets.n);
    memcpy(text + octets.n, made->alice.data.p, made->alice.data.n);
    memcpy(text + octets.n + made->alice.data.n, made->self.data.p, made->self.data.n);
    all = (struct mkt_span){(uint8_t *)text, octets.n + made->alice.data.n + made->self.data.n};
    m.signature = signed_by(key_of("alice"), SHA256, all);
    if (err == MKT_OK)
        err = kms->keys.verify(kms->keys.user, &m, &signer);
    mkt_x509_free(kms->x509);
    kms->x509 = NULL;
    return err;
}
#define SAID(made, anchor, ...)                                                                                        \
    said(made, anchor, LIST(__VA_ARGS__), sizeof(LIST(__VA_ARGS__)) / sizeof(struct mkt_span))

/* The CA, and what it says to the leaf alone. */
static enum mkt_err said_of_leaf(struct made *made)
{
    const struct mkt_span ca = certificate_of(&made->ca, key_of("kmsb"));
    return SAID(made, ca, certificate_of(&made->leaf, key_of("kmsb")));
}

START_TEST(a_leaf_must_be_sound)
{
    static const uint8_t nul[] = ALICE "\0.example", within[] = "sip:alice\0@home1.example";
    struct made m;
    const struct mkt_id alice = mkt_id_uri(ALICE);
#define LEAF(want, change)                                                                                             \
    do {                                                                                                               \
        begin_made(&m);                                                                                                \
        change;                                                                                                        \
        expect_err(#change, said_of_leaf(&m), want);                                                                   \
        free_all();                                                                                                    \
    } while (0)
    LEAF(MKT_OK, m.now = NOW);

    /* the clock of the host: from 2020 to 2049, over the end of the first NTP era in 2036 */
    LEAF(MKT_OK, m.now = mkt_ntp_from_unix(1577836800));
    LEAF(MKT_E_CHAIN, m.now = mkt_ntp_from_unix(1577836799));
    LEAF(MKT_OK, m.now = mkt_ntp_from_unix(2524607999));
    LEAF(MKT_E_CHAIN, m.now = mkt_ntp_from_unix(2524608000));
    LEAF(MKT_OK, m.now = mkt_ntp_from_unix(2085978496));
    LEAF(MKT_OK, m.now = mkt_ntp_from_unix(2085978495));
    LEAF(MKT_OK, (m.leaf.from = "240229000000Z", m.leaf.to = "240229235959Z", m.now = mkt_ntp_from_unix(1709164800)));
    LEAF(MKT_OK, (m.leaf.from = "240229000000Z", m.leaf.to = "240229235959Z", m.now = mkt_ntp_from_unix(1709251199)));
    LEAF(MKT_E_CHAIN,
         (m.leaf.from = "240229000000Z", m.leaf.to = "240229235959Z", m.now = mkt_ntp_from_unix(1709251200)));
    LEAF(MKT_E_CHAIN, m.leaf.from = "250801000000Z");
    LEAF(MKT_E_CHAIN, m.leaf.to = "250601000000Z");
    LEAF(MKT_E_CHAIN, m.ca.from = "250801000000Z");
    LEAF(MKT_E_CHAIN, m.ca.to = "250601000000Z");

    /* names */
    LEAF(MKT_E_CHAIN, m.leaf.names = NONE);
    LEAF(MKT_E_CHAIN, m.leaf.names = uri("sip:alicf@home1.example"));
    LEAF(MKT_E_CHAIN, m.leaf.names = uri("sip:Alice@home1.example"));
    LEAF(MKT_E_CHAIN, m.leaf.names = DER(RFC822, mkt_span_text(ALICE)));
    LEAF(MKT_E_CHAIN, m.leaf.names = DER(DNS, mkt_span_text(ALICE)));
    LEAF(MKT_E_CHAIN, (m.alice.type = MKT_ID_NAI, m.leaf.names = DER(DNS, mkt_span_text(ALICE))));
    LEAF(MKT_E_CHAIN, (m.alice.type = MKT_ID_NAI, m.leaf.names = uri(ALICE)));
    LEAF(MKT_OK, (m.alice.type = MKT_ID_NAI, m.leaf.names = DER(RFC822, mkt_span_text(ALICE))));
    LEAF(MKT_E_CHAIN, m.leaf.names = DER(CONSTRUCTED | URI, mkt_span_text(ALICE)));
    LEAF(MKT_E_CHAIN, (m.alice.type = MKT_ID_NAI, m.leaf.names = DER(CONSTRUCTED | RFC822, mkt_span_text(ALICE))));
    LEAF(MKT_E_CHAIN, m.leaf.names = DER(URI, ((struct mkt_span){nul, sizeof nul - 1})));
    LEAF(MKT_E_CHAIN, m.leaf.names = DER(URI, ((struct mkt_span){(const uint8_t *)ALICE, sizeof ALICE})));
    LEAF(MKT_OK, (m.alice.data = (struct mkt_span){within, sizeof within - 1}, m.leaf.names = DER(URI, m.alice.data)));
    LEAF(MKT_E_CHAIN, (m.alice.data = (struct mkt_span){within, sizeof within - 1},
                       m.leaf.names = DER(URI, mkt_span_text("sip:alice"))));
    LEAF(MKT_E_CHAIN, (m.alice = mkt_id_bytes(ALICE)));
    LEAF(MKT_E_CHAIN, (m.alice = mkt_id_bytes(ALICE), m.leaf.names = DER(DNS, alice.data)));

    /* what a key may be used for */
    LEAF(MKT_OK, m.leaf.usage = 0);
    LEAF(MKT_OK, m.leaf.usage = DIGITAL_SIGNATURE | KEY_ENCIPHERMENT);
    LEAF(MKT_E_CHAIN, m.leaf.usage = KEY_ENCIPHERMENT);
    LEAF(MKT_E_CHAIN, m.leaf.extension = extension("0603551d25", DER(SEQUENCE, from_hex("06082b06010505070302"))));
    LEAF(MKT_OK, m.leaf.extension = extension("0603551d25", DER(SEQUENCE, from_hex("0604551d2500"))));
    LEAF(MKT_OK, (m.leaf.extension = extension("0603551d25", DER(SEQUENCE, from_hex("06082b06010505070302"))),
                  m.kms.settings.extended_key_usage = from_hex("2b06010505070302")));
    LEAF(MKT_OK, (m.leaf.extension = extension("0603551d25", DER(SEQUENCE, from_hex("0604551d2500"))),
                  m.kms.settings.extended_key_usage = from_hex("2b06010505070302")));
    LEAF(MKT_E_BAD_VALUE, m.leaf.extension = extension("06032a03040101ff", from_hex("0500")));
    LEAF(MKT_OK, m.leaf.extension = extension("06032a0304", from_hex("0500")));

    /* signatures of the CA */
    LEAF(MKT_E_CHAIN, m.leaf.hash = SHA1);
    LEAF(MKT_E_CHAIN, (m.leaf.hash = SHA1, m.kms.settings.sha1 = true));
    LEAF(MKT_E_CHAIN, m.leaf.hash = MD5);
    LEAF(MKT_OK, m.ca.hash = SHA1); /* it is trusted, not verified */

    /* version 1, which has no names */
    LEAF(MKT_E_CHAIN, (m.leaf.version_1 = true, m.kms.settings.is_of = is_of_all));
    LEAF(MKT_E_CHAIN, m.ca.version_1 = true);

    /* the CA */
    LEAF(MKT_E_CHAIN, m.ca.ca = false);
    LEAF(MKT_E_CHAIN, m.ca.usage = DIGITAL_SIGNATURE);
    LEAF(MKT_OK, m.ca.usage = 0);
    LEAF(MKT_OK, m.ca.path = 1);
    LEAF(MKT_E_CHAIN, m.leaf.issuer = "another");

    /* keys */
    LEAF(MKT_E_SIGNATURE, m.leaf.public_key = public_of(key_of("bob")));
    LEAF(MKT_E_BAD_VALUE, m.leaf.public_key = NONE);
    /* ECDSA: secp256r1 with its base point */
    LEAF(MKT_E_CHAIN,
         m.leaf.public_key =
             from_hex("3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812d"
                      "eb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"));
}
END_TEST

START_TEST(numbers_of_a_key_are_bounded)
{
    static uint8_t modulus[2048];
    static const struct {
        size_t octets;
        const char *exponent;
        bool anything; /* the parser refuses some, which is malformed */
    } rows[] = {
        {256, "010001", false},
        {256, "01", true},
        {256, "02", true},
        {256, "0100000000000001", false},
        {255, "010001", false},
        {128, "03", false},
        {256, "010000000000000001", true},
        {513, "010001", false},
        {1024, "010001", true},
        {2048, "03", true},
        {256, "00", true},
        {257, "00ffff", false},
        {512, "010001", false},
    };
    for (size_t i = 0; i < sizeof modulus; i++)
        modulus[i] = (uint8_t)(0xa5 ^ i * 7) | 1;
    modulus[0] = 0xc3;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made m;
        begin_made(&m);
        m.leaf.public_key = public_key_of((struct mkt_span){modulus, rows[i].octets}, rows[i].exponent);
        const enum mkt_err err = said_of_leaf(&m);
        /* A key of a good size verifies no signature that is not its own. */
        const bool good = i == 0 || i == 3 || i == 11 || i == 12;
        ck_assert_msg(err == (good ? MKT_E_SIGNATURE : MKT_E_CHAIN) || (rows[i].anything && err == MKT_E_BAD_VALUE),
                      "%zu: %s", i, mkt_err_name(err));
        free_all();

        /* The same in the CA, which signs nothing: it is not added. */
        begin_made(&m);
        make(&m.kms);
        m.ca.public_key = public_key_of((struct mkt_span){modulus, rows[i].octets}, rows[i].exponent);
        const enum mkt_err added = mkt_x509_add_anchors(m.kms.x509, certificate_of(&m.ca, key_of("kmsb")));
        ck_assert_msg(good ? added == MKT_OK : added == MKT_E_CHAIN || added == MKT_E_BAD_VALUE, "%zu: %s", i,
                      mkt_err_name(added));
        end(&m.kms);
    }
}
END_TEST

/* A modulus of 2,047 bits has as many octets as one of 2,048. */
START_TEST(the_bits_of_a_modulus_count)
{
    static const struct {
        unsigned floor;
        uint8_t first;
        enum mkt_err leaf, anchor;
    } rows[] = {
        {2048, 0x80, MKT_E_SIGNATURE, MKT_OK},  {2048, 0x7f, MKT_E_CHAIN, MKT_E_CHAIN},
        {2048, 0x01, MKT_E_CHAIN, MKT_E_CHAIN}, {0, 0x7f, MKT_E_CHAIN, MKT_E_CHAIN},
        {2049, 0xff, MKT_OK, MKT_E_CHAIN}, /* of a KMS whose own keys are of 2,048 bits */
    };
    uint8_t modulus[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made m;
        begin_made(&m);
        memset(modulus, 0xa5, sizeof modulus);
        modulus[0] = rows[i].first;
        m.leaf.public_key = public_key_of((struct mkt_span){modulus, sizeof modulus}, "010001");
        m.kms.settings.rsa_bits = rows[i].floor;
        if (rows[i].leaf != MKT_OK)
            expect_err("leaf", said_of_leaf(&m), rows[i].leaf);
        make(&m.kms);
        m.ca.public_key = m.leaf.public_key;
        expect_err("anchor", mkt_x509_add_anchors(m.kms.x509, certificate_of(&m.ca, key_of("kmsb"))), rows[i].anchor);
        end(&m.kms);
    }
}
END_TEST

START_TEST(the_floor_of_the_modulus_is_a_setting)
{
    static const char *const names[] = {"alice", "alice3"};
    const struct mkt_id alice = mkt_id_uri(ALICE), self = mkt_id_uri("http://kms.home1.example");
    struct party p;
    begin(&p);
    p.settings.rsa_bits = 3072;
    make(&p);
    add_anchors(&p, "root");
    add_own(&p, "kms3");
    expect_err("own", mkt_x509_add_own(p.x509, certificate("kms"), private_key("kms")), MKT_E_CHAIN);
    expect_err("kms", mkt_x509_add_kms(p.x509, certificate("kms")), MKT_E_CHAIN);
    expect_err("anchor", mkt_x509_add_anchors(p.x509, certificate("alice-self")), MKT_E_CHAIN);
    keys_of(&p);
    for (size_t i = 0; i < 2; i++) {
        struct mkt_signer signer;
        struct mkt_signed m = message_to(&p, &alice, &self);
        m.envelope.n = 384;
        m.certificate[0] = certificate(names[i]);
        m.n_certificates = 1;
        expect_err(names[i], p.keys.verify(p.keys.user, &m, &signer), i == 0 ? MKT_E_CHAIN : MKT_E_SIGNATURE);
    }
    end(&p);
    static const unsigned bad[] = {1, 1024, 2047, 4097, 8192};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(&p);
        p.settings.rsa_bits = bad[i];
        expect_err("bits", mkt_x509_new(&p.x509, &p.settings), MKT_E_ARGUMENT);
        ck_assert_ptr_null(p.x509);
    }
    static const unsigned good[] = {0, 2048, 4096};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        begin(&p);
        p.settings.rsa_bits = good[i];
        make(&p);
        end(&p);
    }
}
END_TEST

START_TEST(a_chain_must_be_strict)
{
    struct made m;
    begin_made(&m);
    const struct mkt_span ca_key = key_of("kmsb"), sub_key = key_of("bob"), other_key = key_of("kms");
    const struct mkt_span ca = certificate_of(&m.ca, ca_key), sub = certificate_of(&m.sub, ca_key);
    const struct mkt_span direct = certificate_of(&m.leaf, ca_key);
    struct recipe r = m.leaf;
    r.issuer = "sub";
    const struct mkt_span leaf = certificate_of(&r, sub_key);
    const enum mkt_err no = MKT_E_CHAIN;
    expect_err("direct", SAID(&m, ca, direct), MKT_OK);
    expect_err("direct ca", SAID(&m, ca, direct, ca), MKT_OK);
    expect_err("leaf sub", SAID(&m, ca, leaf, sub), MKT_OK);
    expect_err("leaf sub ca", SAID(&m, ca, leaf, sub, ca), MKT_OK);
    expect_err("leaf of a trusted sub", SAID(&m, sub, leaf), MKT_OK);
    expect_err("leaf, trusted sub", SAID(&m, sub, leaf, sub), MKT_OK);
    expect_err("nothing trusted", SAID(&m, NONE, leaf, sub, ca), no);
    expect_err("leaf", SAID(&m, ca, leaf), no);
    expect_err("leaf ca sub", SAID(&m, ca, leaf, ca, sub), no);
    expect_err("sub leaf", SAID(&m, ca, sub, leaf), no);
    expect_err("leaf sub sub", SAID(&m, ca, leaf, sub, sub), no);
    expect_err("leaf sub ca ca", SAID(&m, ca, leaf, sub, ca, ca), no);
    expect_err("leaf leaf", SAID(&m, ca, direct, direct), no);
    expect_err("leaf sub leaf", SAID(&m, ca, leaf, sub, leaf), no);
    expect_err("leaf sub, the root of nobody", SAID(&m, sub, leaf, sub, ca), no);

    /* of the right name, but of another key: mbedTLS finds the right one among the anchors */
    struct recipe false_ca = m.ca;
    false_ca.public_key = public_of(other_key);
    expect_err("another ca", SAID(&m, ca, direct, certificate_of(&false_ca, other_key)), no);
    expect_err("a ca of the same key", SAID(&m, ca, direct, certificate_of(&m.ca, ca_key)), MKT_OK);
    false_ca = m.sub;
    false_ca.public_key = public_of(other_key);
    expect_err("another sub", SAID(&m, ca, leaf, certificate_of(&false_ca, ca_key)), no);

    /* a loop: two CAs that certify each other */
    struct recipe one = m.sub, two = m.sub;
    one.subject = "one";
    one.issuer = two.subject = "two";
    two.issuer = "one";
    two.public_key = public_of(other_key);
    r.issuer = "one";
    const struct mkt_span a = certificate_of(&one, other_key), b = certificate_of(&two, sub_key);
    const struct mkt_span of_loop = certificate_of(&r, sub_key);
    expect_err("a loop", SAID(&m, ca, of_loop, a, b, a), no);
    expect_err("a loop, trusted", SAID(&m, b, of_loop, a, b), MKT_OK);
    expect_err("around the loop", SAID(&m, b, of_loop, a, b, a), no);
    one.to = "481231235959Z";
    expect_err("around the loop to another one", SAID(&m, b, of_loop, a, b, certificate_of(&one, other_key)), no);

    /* CAs that may not sign */
    struct recipe weak = m.sub;
    r.issuer = "sub";
    weak.ca = false;
    expect_err("no CA", SAID(&m, ca, leaf, certificate_of(&weak, ca_key)), no);
    weak = m.sub;
    weak.usage = DIGITAL_SIGNATURE;
    expect_err("no keyCertSign", SAID(&m, ca, leaf, certificate_of(&weak, ca_key)), no);
    weak = m.sub;
    weak.hash = SHA1;
    expect_err("SHA-1", SAID(&m, ca, leaf, certificate_of(&weak, ca_key)), no);
    weak = m.sub;
    weak.to = "250601000000Z";
    expect_err("expired", SAID(&m, ca, leaf, certificate_of(&weak, ca_key)), no);
    weak = m.ca;
    weak.path = 1;
    expect_err("path length 0", SAID(&m, certificate_of(&weak, ca_key), leaf, sub), no);
    weak.path = 2;
    expect_err("path length 1", SAID(&m, certificate_of(&weak, ca_key), leaf, sub), MKT_OK);
    end(&m.kms);
}
END_TEST

/* A CA has two certificates of one key, of which only the older one is valid by the clock of the host. */
START_TEST(the_anchor_is_chosen_by_the_clock_of_the_host)
{
    struct made m;
    begin_made(&m);
    const struct mkt_span now = certificate_of(&m.ca, key_of("kmsb"));
    m.ca.from = m.leaf.from = "100101000000Z";
    m.ca.to = m.leaf.to = "191231235959Z";
    const struct mkt_span then = certificate_of(&m.ca, key_of("kmsb")), leaf = certificate_of(&m.leaf, key_of("kmsb"));
    m.now = mkt_ntp_from_unix(1420070400); /* 2015 */
    expect_err("one PEM", SAID(&m, both(pem_of_one(now), pem_of_one(then)), leaf), MKT_OK);
    expect_err("the other order", SAID(&m, both(pem_of_one(then), pem_of_one(now)), leaf), MKT_OK);
    expect_err("the newer alone", SAID(&m, now, leaf), MKT_E_CHAIN);
    end(&m.kms);
}
END_TEST

START_TEST(certificates_can_be_pinned)
{
    struct made m;
    begin_made(&m);
    const struct mkt_span ca = certificate_of(&m.ca, key_of("kmsb")), leaf = certificate_of(&m.leaf, key_of("kmsb"));
    struct recipe r = m.leaf;
    r.issuer = r.subject;
    const struct mkt_span self_signed = certificate_of(&r, key_of("alice"));
    expect_err("not self-signed", SAID(&m, leaf, leaf), MKT_OK);
    expect_err("with the issuer", SAID(&m, leaf, leaf, ca), MKT_E_CHAIN);
    expect_err("self-signed", SAID(&m, self_signed, self_signed), MKT_OK);
    expect_err("twice", SAID(&m, self_signed, self_signed, self_signed), MKT_E_CHAIN);
    expect_err("unknown", SAID(&m, ca, self_signed), MKT_E_CHAIN);
    r.from = "250801000000Z";
    const struct mkt_span later = certificate_of(&r, key_of("alice"));
    expect_err("not yet valid", SAID(&m, later, later), MKT_E_CHAIN);
    r.from = NULL;
    r.usage = KEY_ENCIPHERMENT;
    const struct mkt_span other_usage = certificate_of(&r, key_of("alice"));
    expect_err("for encryption", SAID(&m, other_usage, other_usage), MKT_E_CHAIN);
    r.usage = DIGITAL_SIGNATURE;
    r.names = uri("sip:bob@home2.example");
    const struct mkt_span of_bob = certificate_of(&r, key_of("alice"));
    expect_err("of another", SAID(&m, of_bob, of_bob), MKT_E_CHAIN);
    end(&m.kms);
}
END_TEST

START_TEST(large_certificates_are_refused)
{
    static uint8_t names[65536];
    struct made m;
    size_t n = 0;
    begin_made(&m);
    const struct mkt_span ca = certificate_of(&m.ca, key_of("kmsb"));
    for (size_t i = 0; i < 10000; i++, n += 3)
        memcpy(names + n,
               "\x86\x01"
               "a",
               3);
    m.leaf.names = (struct mkt_span){names, n};
    expect_err("10,000 names", said_of_leaf(&m), MKT_E_CHAIN);
    m.leaf.names = (struct mkt_span){names, 15000};
    expect_err("5,000 names of others", said_of_leaf(&m), MKT_E_CHAIN);
    memcpy(names + 15000, uri(ALICE).p, uri(ALICE).n);
    m.leaf.names.n += uri(ALICE).n;
    expect_err("5,000 names and the right one", said_of_leaf(&m), MKT_OK);
    m.leaf.names = uri(ALICE);
    memset(names, 0x55, sizeof names);
    m.leaf.extension = extension("06032a0304", DER(OCTETS, ((struct mkt_span){names, 64000})));
    expect_err("64 KiB", said_of_leaf(&m), MKT_E_CHAIN);
    const struct mkt_span longest = {names, sizeof names - 1};
    expect_err("65,535 octets that are no DER", SAID(&m, ca, longest), MKT_E_CHAIN);
    m.leaf.extension = extension("06032a0304", DER(OCTETS, ((struct mkt_span){names, 15000})));
    const size_t rest = MKT_X509_MAX_CERTIFICATE - certificate_of(&m.leaf, key_of("kmsb")).n;
    for (size_t i = 0; i < 2; i++) {
        m.leaf.extension = extension("06032a0304", DER(OCTETS, ((struct mkt_span){names, 15000 + rest + i})));
        ck_assert_uint_eq(certificate_of(&m.leaf, key_of("kmsb")).n, MKT_X509_MAX_CERTIFICATE + i);
        expect_err("16 KiB", said_of_leaf(&m), i == 0 ? MKT_OK : MKT_E_CHAIN);
    }
    end(&m.kms);
}
END_TEST

START_TEST(no_certificate_may_be_cut)
{
    struct made m;
    begin_made(&m);
    const struct mkt_span ca = certificate_of(&m.ca, key_of("kmsb")), leaf = certificate_of(&m.leaf, key_of("kmsb"));
    struct party *kms = &m.kms;
    struct mkt_signer signer;
    make(kms);
    add_own(kms, "kms");
    expect_err("anchor", mkt_x509_add_anchors(kms->x509, ca), MKT_OK);
    keys_of(kms);
    for (size_t n = 0; n < leaf.n; n++) {
        struct mkt_signed message = message_to(kms, &m.alice, &m.self);
        uint8_t *p = malloc(n + 1); /* of just its size: sanitizers see a read behind it */
        ck_assert_ptr_nonnull(p);
        memcpy(p + 1, leaf.p, n);
        message.certificate[0] = (struct mkt_span){p + 1, n};
        message.n_certificates = 1;
        expect_err("cut", kms->keys.verify(kms->keys.user, &message, &signer), MKT_E_BAD_VALUE);
        expect_err("cut anchor", mkt_x509_add_anchors(kms->x509, message.certificate[0]), MKT_E_BAD_VALUE);
        free(p);
    }
    end(kms);
}
END_TEST

/* Every octet of a certificate is changed: nothing but the right one is taken. */
START_TEST(no_octet_may_change)
{
    struct made m;
    begin_made(&m);
    const struct mkt_span ca = certificate_of(&m.ca, key_of("kmsb")), leaf = certificate_of(&m.leaf, key_of("kmsb"));
    struct party *kms = &m.kms;
    struct mkt_signer signer;
    uint8_t *p = malloc(leaf.n);
    ck_assert_ptr_nonnull(p);
    make(kms);
    add_own(kms, "kms");
    expect_err("anchor", mkt_x509_add_anchors(kms->x509, ca), MKT_OK);
    keys_of(kms);
    for (size_t i = 0; i < leaf.n; i++) {
        struct mkt_signed message = message_to(kms, &m.alice, &m.self);
        memcpy(p, leaf.p, leaf.n);
        p[i] ^= 1;
        message.certificate[0] = (struct mkt_span){p, leaf.n};
        message.n_certificates = 1;
        const enum mkt_err err = kms->keys.verify(kms->keys.user, &message, &signer);
        ck_assert_msg(err == MKT_E_BAD_VALUE || err == MKT_E_CHAIN, "octet %zu: %s", i, mkt_err_name(err));
    }
    free(p);
    end(kms);
}
END_TEST

/* ---- envelopes that do not open ---- */

/*
 * The names of the functions that are called meanwhile, in their order: those that the library calls, by the linker
 * (-Wl,--wrap), and what they call inside mbedTLS, whose shared library finds ours first.
 */
static struct {
    bool on;
    size_t n, draws;
    const char *name[4096];
    size_t length[4096];
} calls;

static void note(const char *name, size_t length)
{
    if (!calls.on)
        return;
    ck_assert_uint_lt(calls.n, sizeof calls.name / sizeof *calls.name);
    calls.name[calls.n] = name;
    calls.length[calls.n++] = length;
}

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL)
        abort();
    return function;
}

#define INSIDE(name, parameters, arguments)                                                                            \
    int name parameters                                                                                                \
    {                                                                                                                  \
        int(*function) parameters;                                                                                     \
        void *address = next(#name);                                                                                   \
        memcpy(&function, &address, sizeof address);                                                                   \
        note(#name, 0);                                                                                                \
        return function arguments;                                                                                     \
    }
INSIDE(mbedtls_mpi_exp_mod,
       (mbedtls_mpi * x, const mbedtls_mpi *a, const mbedtls_mpi *e, const mbedtls_mpi *n, mbedtls_mpi *rr),
       (x, a, e, n, rr))
INSIDE(mbedtls_mpi_mul_mpi, (mbedtls_mpi * x, const mbedtls_mpi *a, const mbedtls_mpi *b), (x, a, b))
INSIDE(mbedtls_mpi_mod_mpi, (mbedtls_mpi * r, const mbedtls_mpi *a, const mbedtls_mpi *b), (r, a, b))
INSIDE(mbedtls_rsa_public, (mbedtls_rsa_context * rsa, const unsigned char *in, unsigned char *out), (rsa, in, out))
INSIDE(mbedtls_mpi_read_binary, (mbedtls_mpi * x, const unsigned char *p, size_t n), (x, p, n))
INSIDE(mbedtls_mpi_write_binary, (const mbedtls_mpi *x, unsigned char *p, size_t n), (x, p, n))

int __real_mbedtls_rsa_private(mbedtls_rsa_context *rsa, int (*rng)(void *, unsigned char *, size_t), void *user,
                               const unsigned char *in, unsigned char *out);
int __wrap_mbedtls_rsa_private(mbedtls_rsa_context *rsa, int (*rng)(void *, unsigned char *, size_t), void *user,
                               const unsigned char *in, unsigned char *out);
int __wrap_mbedtls_rsa_private(mbedtls_rsa_context *rsa, int (*rng)(void *, unsigned char *, size_t), void *user,
                               const unsigned char *in, unsigned char *out)
{
    note("mbedtls_rsa_private", 0);
    const int code = __real_mbedtls_rsa_private(rsa, rng, user, in, out);
    if (calls.on && code == 0) /* what is decrypted is secret: no branch and no index may depend on it */
        VALGRIND_MAKE_MEM_UNDEFINED(out, mbedtls_rsa_get_len(rsa));
    return code;
}

int __real_mbedtls_x509_crt_check_key_usage(const mbedtls_x509_crt *crt, unsigned usage);
int __wrap_mbedtls_x509_crt_check_key_usage(const mbedtls_x509_crt *crt, unsigned usage);
int __wrap_mbedtls_x509_crt_check_key_usage(const mbedtls_x509_crt *crt, unsigned usage)
{
    note("mbedtls_x509_crt_check_key_usage", usage);
    return __real_mbedtls_x509_crt_check_key_usage(crt, usage);
}

void __real_mbedtls_platform_zeroize(void *p, size_t n);
void __wrap_mbedtls_platform_zeroize(void *p, size_t n);
void __wrap_mbedtls_platform_zeroize(void *p, size_t n)
{
    note("mbedtls_platform_zeroize", n);
    __real_mbedtls_platform_zeroize(p, n);
}

static int draw_noted(void *user, unsigned char *out, size_t n)
{
    note("rng", n);
    return draw(user, out, n);
}

/* Opens an envelope and keeps what was called. */
static void open_noted(struct party *kms, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                       size_t n)
{
    calls.n = 0;
    calls.on = true;
    const enum mkt_err err = kms->keys.open(kms->keys.user, chash, envelope, key, n);
    calls.on = false;
    VALGRIND_MAKE_MEM_DEFINED(key, n);
    expect_err("open", err, MKT_OK);
}

static void expect_calls(const char *what, const char *const name[], const size_t length[], size_t n)
{
    ck_assert_msg(calls.n == n, "%s: %zu calls, not %zu", what, calls.n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(strcmp(calls.name[i], name[i]) == 0 && calls.length[i] == length[i], "%s: %s %zu, not %s %zu",
                      what, calls.name[i], calls.length[i], name[i], length[i]);
}

START_TEST(an_envelope_that_does_not_open_is_not_told_apart)
{
    size_t n = 0;
    for (size_t i = 0; i < refused.n; i++) {
        const struct section *s = &refused.section[i];
        if (strncmp(s->name, "pke-re", 6) != 0)
            continue;
        static const char *wanted[4096];
        static size_t lengths[4096];
        const struct mkt_span env = octets_of(s, "env");
        const struct mkt_id self = mkt_id_uri(text_of(s, "id_kms"));
        struct party kms;
        begin(&kms);
        kms.settings.rng = draw_noted;
        make_kms(&kms, "root", true);
        size_t n_wanted = 0;
        for (size_t k = 0; k < 4; k++) { /* the first one draws numbers for blinding */
            struct mkt_message m;
            struct mkt_signed message;
            struct mkt_signer signer;
            uint8_t key[32];
            const bool good = k % 2 == 0;
            ck_assert(read_message(&message, &m, octets_of(s, good ? "valid" : "bytes")));
            message.kms = &self;
            message.now = (uint64_t)number_of(s, "now") << 32;
            expect_err(text_of(s, "name"), kms.keys.verify(kms.keys.user, &message, &signer), MKT_OK);
            memset(key, 0xa5, sizeof key);
            open_noted(&kms, message.chash, message.envelope, key, env.n);
            for (size_t at = 0; at < env.n; at++)
                ck_assert_msg(key[at] == (good ? env.p[at] : 0xa5), "%s", text_of(s, "name"));
            if (k == 2) {
                n_wanted = calls.n;
                memcpy(wanted, calls.name, sizeof wanted);
                memcpy(lengths, calls.length, sizeof lengths);
            }
            if (k == 3 && strstr(text_of(s, "name"), "our-other-key") == NULL) /* another key is public */
                expect_calls(text_of(s, "name"), wanted, lengths, n_wanted);
        }
        end(&kms);
        n++;
    }
    ck_assert_uint_eq(n, 32);
}
END_TEST

/* A padding with each of its octets changed in turn: to 0, as 00 02 and the separator are, or to another value. */
START_TEST(each_octet_of_the_padding_counts)
{
    struct party kms;
    mbedtls_pk_context rsa;
    uint8_t padded[256], envelope[256], key[16], want[16];
    begin(&kms);
    make(&kms);
    add_own(&kms, "kms");
    keys_of(&kms);
    read_key(&rsa, private_key("kms"));
    memset(want, 0x77, sizeof want);
    for (size_t i = 0; i <= 256 - sizeof key; i++) {
        memset(padded, 0x77, sizeof padded);
        padded[0] = padded[256 - sizeof key - 1] = 0;
        padded[1] = 2;
        if (i < 256 - sizeof key) /* the last round is the right one */
            padded[i] = padded[i] == 0 || i == 1 ? 1 : 0;
        ck_assert_int_eq(mbedtls_rsa_public(mbedtls_pk_rsa(rsa), padded, envelope), 0);
        memset(key, 0x11, sizeof key);
        expect_err("open", kms.keys.open(kms.keys.user, NULL, (struct mkt_span){envelope, 256}, key, sizeof key),
                   MKT_OK);
        ck_assert_msg((memcmp(key, want, sizeof key) == 0) == (i == 256 - sizeof key), "octet %zu", i);
    }
    mbedtls_pk_free(&rsa);
    end(&kms);
}
END_TEST

/* Numbers that count: 0, 1, 2, the modulus and those beside it, all ones; then random ones. */
START_TEST(all_envelopes_take_the_same_calls)
{
    static const char *wanted[4096];
    static size_t lengths[4096];
    const unsigned rounds = RUNNING_ON_VALGRIND ? 20 : 1000;
    static const char *const names[] = {"kms", "kms3"};
    for (size_t which = 0; which < 2; which++) {
        const struct section *s = NULL;
        struct party kms;
        struct mkt_span modulus, good = {NULL, 0}, env = {NULL, 0};
        mbedtls_pk_context pk_context;
        uint8_t n[512], envelope[512], key[32];
        for (size_t i = 0; i < pk.n; i++)
            if (strcmp(pk.section[i].name, "pke") == 0 && strcmp(text_of(&pk.section[i], "key"), names[which]) == 0)
                s = &pk.section[i];
        good = octets_of(s, "data");
        env = octets_of(s, "env");
        read_key(&pk_context, private_key(names[which]));
        ck_assert_int_eq(
            mbedtls_rsa_export_raw(mbedtls_pk_rsa(pk_context), n, good.n, NULL, 0, NULL, 0, NULL, 0, NULL, 0), 0);
        mbedtls_pk_free(&pk_context);
        modulus = (struct mkt_span){n, good.n};
        begin(&kms);
        kms.settings.rng = draw_noted;
        make(&kms);
        add_own(&kms, names[which]);
        keys_of(&kms);
        open_noted(&kms, NULL, good, key, env.n);
        open_noted(&kms, NULL, good, key, env.n);
        expect_octets("env", (struct mkt_span){key, env.n}, env);
        const size_t n_wanted = calls.n;
        ck_assert_uint_gt(n_wanted, 10);
        memcpy(wanted, calls.name, sizeof wanted);
        memcpy(lengths, calls.length, sizeof lengths);
        unsigned long seed = 12345;
        for (unsigned i = 0; i < rounds; i++) {
            for (size_t at = 0; at < good.n; at++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                envelope[at] = (uint8_t)(seed >> 33);
            }
            if (i < 3) {
                memset(envelope, 0, good.n);
                envelope[good.n - 1] = (uint8_t)i;
            } else if (i < 6) {
                memcpy(envelope, modulus.p, modulus.n);
                envelope[good.n - 1] = (uint8_t)(envelope[good.n - 1] + i - 4); /* odd, so no carry */
            } else if (i == 6) {
                memset(envelope, 0xff, good.n);
            }
            memset(key, 0x5a, sizeof key);
            open_noted(&kms, NULL, (struct mkt_span){envelope, good.n}, key, env.n);
            for (size_t at = 0; at < sizeof key; at++)
                ck_assert_uint_eq(key[at], 0x5a);
            expect_calls("envelope", wanted, lengths, n_wanted);
        }
        end(&kms);
    }
}
END_TEST

/* ---- the rest of the settings ---- */

START_TEST(other_kms_may_vouch_for_their_users)
{
    const struct mkt_id relays[] = {mkt_id_uri("sip:nobody"), mkt_id_uri("http://kms.home2.example")};
    struct made m;
    for (size_t n = 0; n <= 2; n++) {
        struct mkt_signer signer = {.vouches = false};
        struct party kms;
        begin(&kms);
        kms.settings.relay = relays;
        kms.settings.n_relays = n;
        make_kms(&kms, "root", false);
        for (size_t i = 0; i < pk.n; i++) {
            struct mkt_message decoded;
            struct mkt_signed message;
            if (strcmp(pk.section[i].name, "exchange-256-relayed") != 0)
                continue;
            ck_assert(read_message(&message, &decoded, octets_of(&pk.section[i], "resolve_init")));
            const struct mkt_id self = mkt_id_uri(text_of(&pk.section[i], "id_kms"));
            message.kms = &self;
            message.now = (uint64_t)number_of(&pk.section[i], "now") << 32;
            expect_err("relayed", kms.keys.verify(kms.keys.user, &message, &signer), n == 2 ? MKT_OK : MKT_E_CHAIN);
        }
        ck_assert(signer.vouches == (n == 2));
        end(&kms);
    }
    begin_made(&m); /* of a certificate that is of the user it says yes first */
    m.kms.settings.relay = &m.alice;
    m.kms.settings.n_relays = 1;
    expect_err("itself", said_of_leaf(&m), MKT_OK);
    end(&m.kms);
}
END_TEST

/* What revoked() was asked for, and the one that it says is revoked. */
static struct {
    size_t n;
    struct mkt_span certificate[8], issuer[8], revoked;
} asked;

static bool note_revoked(void *user, struct mkt_span certificate, struct mkt_span issuer)
{
    ck_assert_ptr_nonnull(user);
    asked.certificate[asked.n] = exact(certificate);
    asked.issuer[asked.n++] = exact(issuer);
    return mkt_span_equal(certificate, asked.revoked);
}

START_TEST(a_certificate_can_be_revoked)
{
    struct made m;
    begin_made(&m);
    m.kms.settings.revoked = note_revoked;
    const struct mkt_span ca = certificate_of(&m.ca, key_of("kmsb")), sub = certificate_of(&m.sub, key_of("kmsb"));
    m.leaf.issuer = "sub";
    const struct mkt_span leaf = certificate_of(&m.leaf, key_of("bob"));
    for (int with_ca = 0; with_ca < 2; with_ca++) {
        memset(&asked, 0, sizeof asked);
        expect_err("none", with_ca ? SAID(&m, ca, leaf, sub, ca) : SAID(&m, ca, leaf, sub), MKT_OK);
        ck_assert_uint_eq(asked.n, 2);
        expect_octets("leaf", asked.certificate[0], leaf);
        expect_octets("its issuer", asked.issuer[0], sub);
        expect_octets("sub", asked.certificate[1], sub);
        expect_octets("its issuer", asked.issuer[1], ca);
    }
    memset(&asked, 0, sizeof asked);
    asked.revoked = leaf;
    expect_err("leaf", SAID(&m, ca, leaf, sub), MKT_E_CHAIN);
    asked.revoked = sub;
    expect_err("sub", SAID(&m, ca, leaf, sub), MKT_E_CHAIN);
    asked.n = 0;
    expect_err("not trusted", SAID(&m, NONE, leaf, sub), MKT_E_CHAIN);
    ck_assert_uint_eq(asked.n, 0);
    expect_err("pinned", SAID(&m, leaf, leaf), MKT_OK);
    ck_assert_uint_eq(asked.n, 0);
    end(&m.kms);
}
END_TEST

static bool is_of_serial(void *user, const struct mkt_id *id, struct mkt_span der)
{
    ck_assert_ptr_nonnull(user);
    return strncmp((const char *)id->data.p, "sip:bob", 7) != 0 && der.n > 0 && der.p[0] == SEQUENCE;
}

START_TEST(the_host_can_map_identities)
{
    struct made m;
    begin_made(&m);
    m.kms.settings.is_of = is_of_serial;
    m.leaf.names = NONE;
    expect_err("by the host", said_of_leaf(&m), MKT_OK);
    m.leaf.names = uri("sip:bob@home2.example");
    m.alice = mkt_id_uri("sip:bob@home2.example");
    expect_err("not by the host", said_of_leaf(&m), MKT_E_CHAIN);
    end(&m.kms);
}
END_TEST

START_TEST(a_kms_has_certificates_of_its_own)
{
    const struct mkt_id alice = mkt_id_uri(ALICE), self = mkt_id_uri("http://kms.home1.example");
    const struct mkt_id other = mkt_id_uri("http://kms.home2.example");
    uint8_t key[32] = {0}, octets[MKT_MAX_RSA];
    struct mkt_signer signer;
    struct party p;
    begin(&p);
    make(&p);
    add_anchors(&p, "root");
    add_own(&p, "alice"); /* signs, and opens nothing */
    keys_of(&p);
    ck_assert(p.keys.sign != NULL);
    ck_assert_uint_eq(p.keys.n_certificates, 1);
    expect_octets("sent", p.keys.certificate[0], certificate("alice"));
    struct mkt_signed m = message_to(&p, &alice, &self);
    m.certificate[0] = certificate("alice");
    m.n_certificates = 1;
    expect_err("no key", p.keys.verify(p.keys.user, &m, &signer), MKT_E_NO_KEY);
    expect_err("no key", p.keys.open(p.keys.user, NULL, m.envelope, key, 32), MKT_E_NO_KEY);
    add_own(&p, "kms");
    add_own(&p, "kms-home2");
    keys_of(&p);
    expect_err("kms", p.keys.verify(p.keys.user, &m, &signer), MKT_E_SIGNATURE);
    m.kms = &other;
    expect_err("of another KMS", p.keys.verify(p.keys.user, &m, &signer), MKT_E_WRONG_CERTIFICATE);

    uint8_t hash[32];
    const struct mkt_span home2 = certificate("kms-home2");
    ck_assert_int_eq(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), home2.p, home2.n, hash), 0);
    struct mkt_chash chash = {.func = 2, .hash = {hash, 32}};
    m.chash = &chash;
    expect_err("its certificate", p.keys.verify(p.keys.user, &m, &signer), MKT_E_SIGNATURE);
    m.kms = &self;
    expect_err("not of the KMS", p.keys.verify(p.keys.user, &m, &signer), MKT_E_WRONG_CERTIFICATE);
    hash[0] ^= 1;
    expect_err("of none", p.keys.verify(p.keys.user, &m, &signer), MKT_E_WRONG_CERTIFICATE);
    chash = (struct mkt_chash){.func = 1, .hash = {hash, 16}};
    expect_err("MD5", p.keys.verify(p.keys.user, &m, &signer), MKT_E_HASH);
    m.chash = NULL;
    m.envelope.n = 255;
    expect_err("shorter", p.keys.verify(p.keys.user, &m, &signer), MKT_E_BAD_VALUE);
    expect_err("shorter", p.keys.open(p.keys.user, NULL, m.envelope, key, 32), MKT_E_ARGUMENT);
    m.envelope.n = 256;
    expect_err("longer key", p.keys.open(p.keys.user, NULL, m.envelope, octets, 246), MKT_E_ARGUMENT);
    m.s_type = 2;
    expect_err("S type", p.keys.verify(p.keys.user, &m, &signer), MKT_E_PUBLIC_KEY);
    end(&p);
}
END_TEST

START_TEST(error_messages_of_a_kms_are_verified)
{
    size_t n = 0;
    for (size_t i = 0; i < refused.n; i++) {
        const struct section *s = &refused.section[i];
        if (strcmp(s->name, "refuse-error-pk") != 0 || strstr(text_of(s, "name"), "csb_id") != NULL)
            continue;
        static const char *const fields[] = {"bytes", "valid"};
        const struct mkt_id self = mkt_id_uri(text_of(s, "id_kms"));
        struct party p;
        begin(&p);
        make(&p);
        add_anchors(&p, "root");
        expect_err("kms", mkt_x509_add_kms(p.x509, certificate("kms")), MKT_OK);
        keys_of(&p);
        for (size_t k = 0; k < 2; k++) {
            struct mkt_message m;
            struct mkt_signer signer;
            const struct mkt_span octets = octets_of(s, fields[k]);
            expect_err("decode", mkt_message_decode(&m, octets), MKT_OK);
            struct mkt_signed message = {.by_kms = true, .kms = &self, .now = (uint64_t)number_of(s, "now") << 32};
            message.s_type = (uint8_t)m.payload[m.n - 1].sign.s_type;
            message.signature = m.payload[m.n - 1].sign.signature;
            message.octets = (struct mkt_span){octets.p, octets.n - message.signature.n};
            expect_err(fields[k], p.keys.verify(p.keys.user, &message, &signer), k == 0 ? MKT_E_SIGNATURE : MKT_OK);
            if (k == 1)
                ck_assert(mkt_id_equal(&signer.id, &self) && !signer.vouches);
        }
        end(&p);
        n++;
    }
    ck_assert_uint_gt(n, 3);
}
END_TEST

/* The certificate that sealed the envelope must be allowed to sign, and no other one of the KMS counts. */
START_TEST(an_error_message_is_of_the_certificate_that_was_sealed_to)
{
    const struct mkt_id self = mkt_id_uri("http://kms.home1.example"), other = mkt_id_uri("http://kms.home2.example");
    uint8_t octets[MKT_MAX_RSA], sha256[2][32];
    const struct mkt_span text = mkt_span_text("an Error message");
    const char *const names[] = {"kms-encr", "kms"};
    struct mkt_buf made = {octets, sizeof octets, 0};
    struct mkt_signer signer;
    struct party kms, p;
    begin(&kms);
    make(&kms);
    add_own(&kms, "kms");
    keys_of(&kms);
    expect_err("sign", kms.keys.sign(kms.keys.user, &text, 1, &made), MKT_OK);
    begin(&p);
    make(&p);
    add_anchors(&p, "root");
    keys_of(&p);
    struct mkt_signed m = {.by_kms = true, .kms = &self, .now = NOW, .octets = text, .signature = mkt_buf_span(&made)};
    expect_err("no certificate", p.keys.verify(p.keys.user, &m, &signer), MKT_E_NO_KEY);
    for (size_t i = 0; i < 2; i++) {
        const struct mkt_span c = certificate(names[i]);
        expect_err(names[i], mkt_x509_add_kms(p.x509, c), MKT_OK);
        ck_assert_int_eq(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), c.p, c.n, sha256[i]), 0);
    }
    expect_err("sealed to kms-encr", p.keys.verify(p.keys.user, &m, &signer), MKT_E_CHAIN);
    for (size_t i = 0; i < 2; i++) {
        struct mkt_chash chash = {.func = 2, .hash = {sha256[i], 32}};
        m.chash = &chash;
        expect_err("CHASH", p.keys.verify(p.keys.user, &m, &signer), i == 0 ? MKT_E_CHAIN : MKT_OK);
    }
    m.kms = &other;
    expect_err("another KMS", p.keys.verify(p.keys.user, &m, &signer), MKT_E_NO_KEY);
    mkt_x509_free(kms.x509);
    end(&p);
}
END_TEST

/* ---- keys, memory, threads ---- */

START_TEST(pem_and_der_are_read)
{
    const struct mkt_span alice = certificate("alice-sub"), sub = certificate("sub"), root = certificate("root");
    const struct mkt_span key = private_key("alice"), garbage = from_hex("00");
    struct party p;
    begin(&p);
    make(&p);
    expect_err("anchors", mkt_x509_add_anchors(p.x509, both(pem_of_one(root), pem_of_one(sub))), MKT_OK);
    expect_err("text around", mkt_x509_add_anchors(p.x509, both(mkt_span_text("subject=CN = sub\n"), pem_of_one(sub))),
               MKT_OK);
    expect_err("DER and an octet", mkt_x509_add_anchors(p.x509, both(sub, garbage)), MKT_E_BAD_VALUE);
    expect_err("nothing", mkt_x509_add_anchors(p.x509, NONE), MKT_E_BAD_VALUE);
    expect_err("text", mkt_x509_add_anchors(p.x509, mkt_span_text("-----BEGIN CERTIFICATE-----")), MKT_E_BAD_VALUE);
    expect_err("one of two", mkt_x509_add_anchors(p.x509, both(pem_of_one(sub), pem_of_one(garbage))), MKT_E_BAD_VALUE);
    expect_err("order", mkt_x509_add_own(p.x509, both(pem_of_one(sub), pem_of_one(alice)), key), MKT_E_CHAIN);
    const struct mkt_span long_chain = both(both(pem_of_one(root), pem_of_one(root)), pem_of_one(root));
    expect_err("five", mkt_x509_add_kms(p.x509, both(long_chain, both(pem_of_one(root), pem_of_one(root)))),
               MKT_E_CHAIN);
    expect_err("of another", mkt_x509_add_own(p.x509, alice, private_key("bob")), MKT_E_NO_KEY);
    expect_err("no key", mkt_x509_add_own(p.x509, alice, garbage), MKT_E_NO_KEY);
    expect_err("a certificate", mkt_x509_add_own(p.x509, alice, pem_of_one(alice)), MKT_E_NO_KEY);
    keys_of(&p);
    ck_assert(p.keys.sign == NULL && p.keys.n_certificates == 0);
    expect_err("own", mkt_x509_add_own(p.x509, both(pem_of_one(alice), pem_of_one(sub)), key), MKT_OK);
    keys_of(&p);
    ck_assert_uint_eq(p.keys.n_certificates, 2);
    expect_octets("alice", p.keys.certificate[0], alice);
    expect_octets("sub", p.keys.certificate[1], sub);
    p.keys.size = 8;
    expect_err("size", mkt_x509_public_keys(p.x509, &p.keys), MKT_E_ARGUMENT);
    p.settings.size = 0;
    mkt_x509_free(p.x509);
    expect_err("size", mkt_x509_new(&p.x509, &p.settings), MKT_E_ARGUMENT);
    end(&p);
}
END_TEST

static int no_draw(void *user, unsigned char *out, size_t n)
{
    (void)user;
    memset(out, 0, n);
    return -1;
}

START_TEST(a_random_generator_can_fail)
{
    const struct mkt_id self = mkt_id_uri("http://kms.home1.example");
    const struct mkt_span text = mkt_span_text("text");
    uint8_t octets[MKT_MAX_RSA], key[32] = {7}, same[32] = {7};
    struct mkt_buf out = {octets, sizeof octets, 0}, chash = {NULL, 0, 0};
    struct party p;
    begin(&p);
    p.settings.rng = no_draw;
    make(&p);
    add_anchors(&p, "root");
    add_own(&p, "kms");
    expect_err("kms", mkt_x509_add_kms(p.x509, certificate("kms")), MKT_OK);
    keys_of(&p);
    memset(octets, 1, sizeof octets);
    expect_err("sign", p.keys.sign(p.keys.user, &text, 1, &out), MKT_E_RANDOM);
    expect_err("seal", p.keys.seal(p.keys.user, &self, NOW, text, &out, &chash), MKT_E_RANDOM);
    ck_assert_uint_eq(out.n, 0);
    expect_err("open", p.keys.open(p.keys.user, NULL, (struct mkt_span){octets, 256}, key, 32), MKT_E_RANDOM);
    expect_octets("key", (struct mkt_span){key, 32}, (struct mkt_span){same, 32});
    end(&p);

    begin(&p); /* the kernel's */
    p.settings.rng = NULL;
    make(&p);
    add_anchors(&p, "root");
    add_own(&p, "kms");
    expect_err("kms", mkt_x509_add_kms(p.x509, certificate("kms")), MKT_OK);
    keys_of(&p);
    struct mkt_buf small = {octets, 255, 0}, envelope = {octets, 256, 0}, other = {octets + 256, 256, 0};
    expect_err("small", p.keys.seal(p.keys.user, &self, NOW, text, &small, &chash), MKT_E_BUFFER);
    expect_err("small", p.keys.sign(p.keys.user, &text, 1, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    expect_err("seal", p.keys.seal(p.keys.user, &self, NOW, (struct mkt_span){key, 32}, &envelope, &chash), MKT_OK);
    expect_err("seal", p.keys.seal(p.keys.user, &self, NOW, (struct mkt_span){key, 32}, &other, &chash), MKT_OK);
    ck_assert(!mkt_span_equal(mkt_buf_span(&envelope), mkt_buf_span(&other)));
    memset(same, 0, sizeof same);
    expect_err("open", p.keys.open(p.keys.user, NULL, mkt_buf_span(&other), same, 32), MKT_OK);
    expect_octets("key", (struct mkt_span){same, 32}, (struct mkt_span){key, 32});
    end(&p);
}
END_TEST

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_FAIL 0
#endif
#endif
#if !defined(CAN_FAIL) && defined(__GLIBC__)
#define CAN_FAIL 1
static unsigned fail_at;         /* this allocation of mbedTLS fails, counted from 1; 0: none */
static _Atomic long live;        /* what was allocated and not released */
static _Atomic size_t asked_for; /* octets that mbedTLS has asked for */
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_malloc(size_t n);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

void *malloc(size_t n)
{
    void *p = __libc_malloc(n);
    live += p != NULL;
    return p;
}

void *realloc(void *before, size_t n)
{
    void *p = __libc_realloc(before, n);
    live += before == NULL && p != NULL;
    return p;
}

void *calloc(size_t n, size_t size)
{
    asked_for += n * size;
    void *p = fail_at > 0 && --fail_at == 0 ? NULL : __libc_calloc(n, size);
    live += p != NULL;
    return p;
}

void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}

/* Valgrind has functions of its own in the place of these, and looks for leaks itself. */
static bool memory_is_counted(void)
{
    const long before = live;
    void *(*volatile get)(size_t n, size_t size) = calloc; /* not inlined */
    void *p = get(1, 1);
    const bool counted = live != before;
    free(p);
    return counted;
}

static size_t octets_wanted(void)
{
    return asked_for;
}

static long blocks_live(void)
{
    return live;
}

/* All that the library does; the first error. */
static enum mkt_err all_steps(const struct mkt_signed *message, struct mkt_span env)
{
    const struct mkt_x509_settings settings = {.size = sizeof settings, .is_of = is_of_all};
    uint8_t octets[MKT_MAX_RSA], hash[32], key[32] = {0}, signature[MKT_MAX_RSA];
    struct mkt_buf envelope = {octets, sizeof octets, 0}, chash = {hash, sizeof hash, 0};
    struct mkt_buf made = {signature, sizeof signature, 0};
    struct mkt_x509 *x509;
    struct mkt_public_keys keys;
    struct mkt_signer signer;
    mkt_public_keys_init(&keys);
    enum mkt_err err = mkt_x509_new(&x509, &settings);
    err = err == MKT_OK ? mkt_x509_add_anchors(x509, certificate("root")) : err;
    err = err == MKT_OK ? mkt_x509_add_own(x509, certificate("kms"), private_key("kms")) : err;
    err = err == MKT_OK ? mkt_x509_add_kms(x509, certificate("kms")) : err;
    err = err == MKT_OK ? mkt_x509_public_keys(x509, &keys) : err;
    err = err == MKT_OK ? keys.verify(x509, message, &signer) : err;
    err = err == MKT_OK ? keys.seal(x509, message->kms, NOW, env, &envelope, &chash) : err;
    err = err == MKT_OK ? keys.open(x509, NULL, mkt_buf_span(&envelope), key, env.n) : err;
    err = err == MKT_OK ? keys.sign(x509, &env, 1, &made) : err;
    mkt_x509_free(x509);
    return err == MKT_OK && memcmp(key, env.p, env.n) != 0 ? MKT_E_CRYPTO : err;
}

/* The right message, then one with a wrong signature, then one whose certificates are not trusted. */
START_TEST(memory_can_be_short)
{
    static uint8_t octets[8192];
    const enum mkt_err wanted[] = {MKT_OK, MKT_E_SIGNATURE, MKT_E_CHAIN};
    const struct mkt_id self = mkt_id_uri("http://kms.home1.example");
    const struct section *s = NULL;
    struct mkt_message decoded;
    struct mkt_signed message;
    unsigned failed = 0, at = 1;
    if (!memory_is_counted())
        return;
    for (size_t i = 0; i < pk.n; i++)
        s = strcmp(pk.section[i].name, "exchange-256-chain") == 0 ? &pk.section[i] : s;
    const struct mkt_span init = octets_of(s, "request_init");
    memcpy(octets, init.p, init.n);
    ck_assert(read_message(&message, &decoded, (struct mkt_span){octets, init.n}));
    message.kms = &self;
    message.now = (uint64_t)number_of(s, "now") << 32;
    free_all();
    for (bool reached = true; reached; at++) {
        struct mkt_signed wrong = message;
        uint8_t *changed =
            octets + (_i == 1 ? message.signature.p + 9 - octets : message.certificate[1].p + 800 - octets);
        *changed ^= _i > 0;
        const long before = live;
        fail_at = at;
        const enum mkt_err err = all_steps(&wrong, octets_of(s, "request_env"));
        reached = fail_at == 0;
        fail_at = 0;
        *changed ^= _i > 0;
        free_all();
        ck_assert_msg(live == before, "all memory comes back, %u", at);
        /* mbedTLS says of some that a certificate or a key is wrong; some it can do without. */
        if (reached && err != wanted[_i] && err != MKT_E_CHAIN && err != MKT_E_BAD_VALUE && err != MKT_E_NO_KEY &&
            err != MKT_E_CRYPTO)
            expect_err("an allocation fails", err, MKT_E_MEMORY);
        if (!reached)
            expect_err("none fails", err, wanted[_i]);
        failed += err == MKT_E_MEMORY;
    }
    ck_assert_uint_gt(at, 50);
    ck_assert_uint_gt(failed, 10);
}
END_TEST
#else
static size_t octets_wanted(void)
{
    return 0;
}

static long blocks_live(void)
{
    return 0;
}
#endif

/* ---- messages of strangers: what they cost is counted ---- */

/* A KMS that waits for a message of Alice's. */
struct waiting {
    struct made made;
    struct player player;
    struct mkt_settings settings;
    struct mkt_csb *csb;
    struct mkt_span before, right; /* its bundle as octets; the message */
};

static void append(struct mkt_buf *buf, struct mkt_span octets)
{
    ck_assert_uint_le(octets.n, buf->cap - buf->n);
    if (octets.n > 0)
        memcpy(buf->p + buf->n, octets.p, octets.n);
    buf->n += octets.n;
}

static struct mkt_span saved(const struct mkt_csb *csb)
{
    uint8_t octets[8192];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("save", mkt_csb_save(csb, &out), MKT_OK);
    return exact(mkt_buf_span(&out));
}

/* The message of Alice with other certificates, which she has signed. */
static struct mkt_span with_certificates(const struct waiting *w, const struct mkt_span chain[], size_t n)
{
    enum { SIGNATURE = 256, CERT_HEAD = 4 };
    static uint8_t octets[1 << 18];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_span cert = payload_of(w->right, MKT_CERT, 0).octets, *const right = &w->right;
    const struct mkt_span before = {right->p, (size_t)(cert.p - right->p)};
    const struct mkt_span after = {cert.p + cert.n, right->n - before.n - cert.n - SIGNATURE};
    append(&out, before);
    for (size_t i = 0; i < n; i++) {
        const uint8_t head[CERT_HEAD] = {i + 1 < n ? MKT_CERT : cert.p[0], MKT_CERT_X509, (uint8_t)(chain[i].n >> 8),
                                         (uint8_t)chain[i].n};
        append(&out, (struct mkt_span){head, sizeof head});
        append(&out, chain[i]);
    }
    append(&out, after);
    const size_t length = out.n;
    append(&out, w->made.alice.data);
    append(&out, w->made.self.data);
    const struct mkt_span signature = signed_by(key_of("alice"), SHA256, mkt_buf_span(&out));
    out.n = length;
    append(&out, signature);
    return exact(mkt_buf_span(&out));
}

static void begin_waiting(struct waiting *w)
{
    struct mkt_policy policy = granted(MKT_SUITE_256);
    const struct mkt_request request = {.size = sizeof request, .policy = &policy};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_settings settings;
    struct mkt_csb *csb;
    struct party alice;
    struct mkt_credential kms;
    memset(w, 0, sizeof *w);
    begin_made(&w->made);
    const struct mkt_span leaf = certificate_of(&w->made.leaf, key_of("kmsb"));
    begin(&alice);
    make(&alice);
    add_anchors(&alice, "root");
    expect_err("kms", mkt_x509_add_kms(alice.x509, certificate("kms")), MKT_OK);
    expect_err("own", mkt_x509_add_own(alice.x509, leaf, key_of("alice")), MKT_OK);
    keys_of(&alice);
    player_init(&w->player, NOW, NONE);
    mkt_settings_init(&settings, w->made.alice);
    kms = (struct mkt_credential){.kms = w->made.self};
    settings.kms = &kms;
    settings.public_keys = &alice.keys;
    settings.bundle_size = MKT_CSB_SIZE_PK;
    policy.initiator = w->made.alice;
    expect_err("Alice", mkt_csb_new(&csb, MKT_INITIATOR, &w->player.host, &settings), MKT_OK);
    expect_err("REQUEST_INIT_PK", mkt_csb_make_request_init(csb, &request, &out), MKT_OK);
    w->right = exact(mkt_buf_span(&out));
    mkt_csb_free(csb);
    mkt_x509_free(alice.x509);

    make(&w->made.kms);
    add_own(&w->made.kms, "kms");
    expect_err("ca", mkt_x509_add_anchors(w->made.kms.x509, certificate_of(&w->made.ca, key_of("kmsb"))), MKT_OK);
    keys_of(&w->made.kms);
    mkt_settings_init(&w->settings, w->made.self);
    w->settings.public_keys = &w->made.kms.keys;
    w->settings.bundle_size = 1 << 18;
    expect_err("KMS", mkt_csb_new(&w->csb, MKT_KMS, &w->player.host, &w->settings), MKT_OK);
    w->before = saved(w->csb);
}

/* Takes a message; answers how many operations with RSA keys that costs. */
static size_t cost_of(struct mkt_csb *csb, struct mkt_span message, enum mkt_err *err)
{
    size_t n = 0;
    calls.n = 0;
    calls.on = true;
    *err = mkt_csb_take(csb, message);
    calls.on = false;
    for (size_t i = 0; i < calls.n; i++)
        n += strcmp(calls.name[i], "mbedtls_rsa_public") == 0 || strcmp(calls.name[i], "mbedtls_rsa_private") == 0;
    return n;
}

/* Then a copy of the bundle takes the right message, with the same certificates and keys. */
static void refused_at_a_cost(struct waiting *w, const char *what, struct mkt_span message, enum mkt_err want,
                              size_t most)
{
    struct mkt_csb *copy;
    enum mkt_err err;
    const size_t octets_before = octets_wanted();
    const long live_before = blocks_live();
    const size_t cost = cost_of(w->csb, message, &err), octets = octets_wanted() - octets_before;
    ck_assert_msg(blocks_live() == live_before, "%s: all memory comes back", what);
    expect_err(what, err, want);
    ck_assert_msg(cost <= most, "%s: %zu operations with RSA keys, more than %zu", what, cost, most);
    ck_assert_msg(octets <= 65536 + 16 * message.n, "%s: %zu octets of memory", what, octets);
    expect_octets(what, saved(w->csb), w->before);
    ck_assert_uint_eq(w->player.n_seen, 0);
    expect_err("copy", mkt_csb_load(&copy, &w->player.host, &w->settings, w->before), MKT_OK);
    ck_assert_uint_eq(cost_of(copy, w->right, &err), 2); /* that of the CA, and that of Alice */
    expect_err("the right one", err, MKT_OK);
    mkt_csb_free(copy);
    w->player.n_seen = 0;
}
#define REFUSED(w, what, want, operations, ...)                                                                        \
    refused_at_a_cost(w, what,                                                                                         \
                      with_certificates(w, LIST(__VA_ARGS__), sizeof(LIST(__VA_ARGS__)) / sizeof(struct mkt_span)),    \
                      want, operations)

/* A certificate of Alice's that the CA has made, after a change. */
#define MADE(w, change) made_leaf(w, ((w)->made.leaf = leaf, (change), &(w)->made.leaf))
static struct mkt_span made_leaf(const struct waiting *w, const struct recipe *leaf)
{
    (void)w;
    return certificate_of(leaf, key_of("kmsb"));
}

START_TEST(bad_certificates_cost_little)
{
    static uint8_t octets[65536], names[30000];
    struct waiting w;
    begin_waiting(&w);
    const struct recipe leaf = w.made.leaf;
    struct mkt_span many[100];
    memset(octets, 0x55, sizeof octets);
    for (size_t i = 0; i < 100; i++)
        many[i] = payload_of(w.right, MKT_CERT, 0).cert.data;
    for (size_t i = 0; i < sizeof names; i += 3)
        memcpy(names + i,
               "\x86\x01"
               "a",
               3);
    struct mkt_span large =
        MADE(&w, w.made.leaf.extension = extension("06032a0304", DER(OCTETS, ((struct mkt_span){octets, 64000}))));
    REFUSED(&w, "64 KiB", MKT_E_CHAIN, 0, large);
    REFUSED(&w, "64 KiB in place of an issuer", MKT_E_CHAIN, 0, many[0], large);
    REFUSED(&w, "64 KiB of no DER", MKT_E_CHAIN, 0, ((struct mkt_span){octets, 65535}));
    refused_at_a_cost(&w, "100 certificates", with_certificates(&w, many, 100), MKT_E_TOO_MANY, 0);
    refused_at_a_cost(&w, "5 certificates", with_certificates(&w, many, 5), MKT_E_TOO_MANY, 0);
    REFUSED(&w, "10,000 names", MKT_E_CHAIN, 0, MADE(&w, w.made.leaf.names = ((struct mkt_span){names, sizeof names})));
    large = MADE(&w, w.made.leaf.names = ((struct mkt_span){names, 15000}));
    REFUSED(&w, "5,000 names", MKT_E_CHAIN, 1, large);
    REFUSED(&w, "4 times 5,000 names", MKT_E_CHAIN, 0, large, large, large, large);

    /* two CAs that certify each other, of which nobody knows one; and that name a CA which is known */
    struct recipe one = w.made.sub, two = w.made.sub;
    one.subject = "one";
    one.issuer = two.subject = "two";
    two.issuer = "one";
    two.public_key = public_of(key_of("kms"));
    w.made.leaf = leaf;
    w.made.leaf.issuer = "one";
    const struct mkt_span a = certificate_of(&one, key_of("kms")), b = certificate_of(&two, key_of("bob"));
    const struct mkt_span of_loop = certificate_of(&w.made.leaf, key_of("bob"));
    REFUSED(&w, "a loop", MKT_E_CHAIN, 0, of_loop, a, b, a);
    two.issuer = "ca";
    REFUSED(&w, "a chain to a CA that is not its issuer", MKT_E_CHAIN, 3, of_loop, a, /* mbedTLS begins with the leaf */
            certificate_of(&two, key_of("bob")));

    /* keys */
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (uint8_t)(0xa5 ^ i * 7) | 1;
    octets[0] = 0xc3;
    const struct {
        const char *name;
        size_t modulus;
        const char *exponent;
        enum mkt_err err;
    } keys[] = {{"16,384 bits", 2048, "010001", MKT_E_BAD_VALUE},
                {"8,192 bits", 1024, "010001", MKT_E_CHAIN},
                {"4,104 bits", 513, "010001", MKT_E_CHAIN},
                {"exponent 1", 256, "01", MKT_E_BAD_VALUE},
                {"an exponent as long as the modulus", 256, NULL, MKT_E_CHAIN}};
    char long_exponent[2 * 256 + 1];
    memset(long_exponent, '7', sizeof long_exponent - 1);
    long_exponent[sizeof long_exponent - 1] = '\0';
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct mkt_span key = public_key_of((struct mkt_span){octets, keys[i].modulus},
                                                  keys[i].exponent == NULL ? long_exponent : keys[i].exponent);
        REFUSED(&w, keys[i].name, keys[i].err, 0, MADE(&w, w.made.leaf.public_key = key));
        two.public_key = key;
        REFUSED(&w, keys[i].name, keys[i].err, 0, of_loop, a, certificate_of(&two, key_of("bob")));
    }

    REFUSED(&w, "a NUL in a name", MKT_E_CHAIN, 1,
            MADE(&w, w.made.leaf.names =
                         DER(URI, ((struct mkt_span){(const uint8_t *)ALICE "\0.example", sizeof ALICE + 8}))));
    for (size_t n = 0; n < many[0].n; n += RUNNING_ON_VALGRIND ? 61 : 7) /* all: see no_certificate_may_be_cut */
        REFUSED(&w, "cut", MKT_E_BAD_VALUE, 0, ((struct mkt_span){many[0].p, n}));
    mkt_csb_free(w.csb);
    end(&w.made.kms);
}
END_TEST

static void *use(void *user)
{
    struct party *p = user;
    const struct mkt_id alice = mkt_id_uri(ALICE), self = mkt_id_uri("http://kms.home1.example");
    const struct mkt_span text = {(const uint8_t *)"text", 4}, part[] = {text, alice.data, self.data};
    enum mkt_err err = MKT_OK;
    for (unsigned i = 0; i < 20 && err == MKT_OK; i++) {
        uint8_t signature[MKT_MAX_RSA], octets[MKT_MAX_RSA], hash[32], key[32] = {1, 2, (uint8_t)i}, opened[32] = {0};
        struct mkt_buf made = {signature, sizeof signature, 0}, envelope = {octets, sizeof octets, 0};
        struct mkt_buf chash = {hash, sizeof hash, 0};
        struct mkt_signer signer;
        struct mkt_signed m = message_to(p, &self, &self);
        err = p->keys.sign(p->keys.user, part, 3, &made);
        m.octets = (struct mkt_span){(const uint8_t *)"text" ALICE, sizeof "text" ALICE - 1};
        m.kms = &self;
        m.signer = &(struct mkt_id){.data = {NULL, 0}};
        m.signature = mkt_buf_span(&made);
        m.certificate[0] = p->keys.certificate[0];
        m.n_certificates = 1;
        err = err == MKT_OK ? p->keys.verify(p->keys.user, &m, &signer) : err;
        if (err == MKT_OK)
            err = p->keys.seal(p->keys.user, &self, NOW, (struct mkt_span){key, 32}, &envelope, &chash);
        if (err == MKT_OK)
            err = p->keys.open(p->keys.user, NULL, mkt_buf_span(&envelope), opened, 32);
        if (err == MKT_OK && memcmp(opened, key, 32) != 0)
            err = MKT_E_CRYPTO;
    }
    return err == MKT_OK ? NULL : p;
}

START_TEST(threads_share_an_object)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    struct party p;
    begin(&p);
    p.settings.rng = NULL;
    p.settings.is_of = is_of_all;
    make(&p);
    add_anchors(&p, "root");
    add_own(&p, "kms");
    expect_err("kms", mkt_x509_add_kms(p.x509, certificate("kms")), MKT_OK);
    keys_of(&p);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, use, &p), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(thread[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    end(&p);
}
END_TEST

static void read_vectors(void)
{
    pk = vectors_read("rfc6043pk.txt");
    refused = vectors_read("refusepk.txt");
}

static void free_vectors(void)
{
    vectors_free(&refused);
    vectors_free(&pk);
}

/*
 *   x509           all tests
 *   x509 marked    the envelopes alone, under valgrind: see __wrap_mbedtls_rsa_private()
 */
int main(int argc, char *argv[])
{
    Suite *s = suite_create("x509");
    TCase *t = tcase_create("vectors");
    const bool marked = argc > 1 && strcmp(argv[1], "marked") == 0;
    if (marked && NO_VALGRIND)
        return 77; /* skipped */
    tcase_set_timeout(t, 0);
    tcase_add_unchecked_fixture(t, read_vectors, free_vectors);
    tcase_add_test(t, an_envelope_that_does_not_open_is_not_told_apart);
    tcase_add_test(t, each_octet_of_the_padding_counts);
    tcase_add_test(t, all_envelopes_take_the_same_calls);
    suite_add_tcase(s, t);
    if (marked)
        return run(s);
    tcase_add_test(t, signatures_are_those_of_the_vectors);
    tcase_add_test(t, envelopes_and_chash_are_those_of_the_vectors);
    tcase_add_test(t, messages_of_the_vectors_are_verified_and_opened);
    tcase_add_test(t, messages_are_refused_for_their_reason);
    tcase_add_test(t, certificates_of_a_kms_are_refused);
    tcase_add_test(t, a_leaf_must_be_sound);
    tcase_add_test(t, numbers_of_a_key_are_bounded);
    tcase_add_test(t, the_bits_of_a_modulus_count);
    tcase_add_test(t, the_floor_of_the_modulus_is_a_setting);
    tcase_add_test(t, a_chain_must_be_strict);
    tcase_add_test(t, the_anchor_is_chosen_by_the_clock_of_the_host);
    tcase_add_test(t, certificates_can_be_pinned);
    tcase_add_test(t, large_certificates_are_refused);
    tcase_add_test(t, no_certificate_may_be_cut);
    tcase_add_test(t, no_octet_may_change);
    tcase_add_test(t, bad_certificates_cost_little);
    tcase_add_test(t, other_kms_may_vouch_for_their_users);
    tcase_add_test(t, a_certificate_can_be_revoked);
    tcase_add_test(t, the_host_can_map_identities);
    tcase_add_test(t, a_kms_has_certificates_of_its_own);
    tcase_add_test(t, error_messages_of_a_kms_are_verified);
    tcase_add_test(t, an_error_message_is_of_the_certificate_that_was_sealed_to);
    tcase_add_test(t, pem_and_der_are_read);
    tcase_add_test(t, a_random_generator_can_fail);
#if defined(CAN_FAIL) && CAN_FAIL
    tcase_add_loop_test(t, memory_can_be_short, 0, 3);
#endif
    tcase_add_test(t, threads_share_an_object);
    return run(s);
}
