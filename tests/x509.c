/* SPDX-License-Identifier: BSD-3-Clause */
/* x509: signatures, envelopes and certificates of the vectors, taken out of their messages; and what mbedTLS would take
   of certificates and this library does not. */
#include "vector.h"

#include <mikeyticket.h>
#include <mikeyticket/x509.h>

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
    return (struct mkt_signed){.signer = signer, .kms = kms, .envelope = {envelope, 256}, .now = (uint64_t)3960616022 << 32};
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

int main(void)
{
    Suite *s = suite_create("x509");
    TCase *t = tcase_create("vectors");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, signatures_are_those_of_the_vectors);
    tcase_add_test(t, envelopes_and_chash_are_those_of_the_vectors);
    tcase_add_test(t, messages_of_the_vectors_are_verified_and_opened);
    tcase_add_unchecked_fixture(t, read_vectors, free_vectors);
    suite_add_tcase(s, t);
    return run(s);
}
