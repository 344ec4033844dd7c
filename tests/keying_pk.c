/* SPDX-License-Identifier: BSD-3-Clause */
/* vectors/rfc6043pk.txt: the parties have certificates, by libmikeyticket-x509, where a section gives no key. */
#include "keying.h"

#include "derive.h"
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

static const char *const sections[] = {"chash"};
static const char *const others[] = {"key", "cert", "sign", "pke"}; /* tests/x509.c */

/* A field of one of the two exchanges. */
static const char *field(enum asked which, const char *end)
{
    static char names[4][32];
    static size_t next;
    char *name = names[next++ % 4];
    snprintf(name, sizeof names[0], "%s_%s", which == REQUEST ? "request" : "resolve", end);
    return name;
}

/* The section [key] or [cert] of that name. */
static const struct section *find_in(const struct vectors *all, const char *kind, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->section[i].name, kind) == 0 && strcmp(text_of(&all->section[i], "name"), name) == 0)
            return &all->section[i];
    ck_abort_msg("no [%s] %s", kind, name);
    return NULL;
}

static struct mkt_span certificate(const struct vectors *all, const char *name)
{
    return octets_of(find_in(all, "cert", name), "der");
}

static struct mkt_span private_key(const struct vectors *all, const char *name)
{
    return octets_of(find_in(all, "key", text_of(find_in(all, "cert", name), "key")), "private");
}

/* Certificates by their names, as far as there are. */
static size_t chain_of(const struct vectors *all, const char *names, struct mkt_span *chain, char first[32])
{
    char words[128];
    size_t n = 0;
    snprintf(words, sizeof words, "%s", names);
    for (char *rest = NULL, *name = strtok_r(words, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
        ck_assert_uint_lt(n, MKT_MAX_CERTIFICATES);
        if (n == 0 && first != NULL)
            snprintf(first, 32, "%s", name);
        chain[n++] = certificate(all, name);
    }
    return n;
}

static int draw(void *user, unsigned char *out, size_t n)
{
    struct keyed *k = user;
    for (size_t i = 0; i < n; i++, k->next++)
        out[i] = k->next < k->drawn.n ? k->drawn.p[k->next] : (uint8_t)(k->next % 251 + 1);
    return 0;
}

/* P24: the certificates that the message leaves out. */
static size_t know(void *user, const struct mkt_id *signer, struct mkt_span certificates[MKT_MAX_CERTIFICATES])
{
    const struct keyed *k = user;
    ck_assert_ptr_nonnull(signer);
    memcpy(certificates, k->certificate, sizeof k->certificate);
    return k->n_certificates;
}

static void complete(struct mkt_settings *settings)
{
    settings->tek_length = 16;
    settings->bundle_size = MKT_CSB_SIZE_PK;
}

static void make(struct keyed *k, const struct mkt_x509_settings *settings, const struct vectors *all,
                 const char *anchors)
{
    struct mkt_span anchor[MKT_MAX_CERTIFICATES];
    const size_t n = chain_of(all, anchors, anchor, NULL);
    expect_err("x509", mkt_x509_new(&k->x509, settings), MKT_OK);
    for (size_t i = 0; i < n; i++)
        expect_err("anchor", mkt_x509_add_anchors(k->x509, anchor[i]), MKT_OK);
}

static void use(struct keyed *k, struct mkt_settings *settings)
{
    mkt_public_keys_init(&k->keys);
    expect_err("keys", mkt_x509_public_keys(k->x509, &k->keys), MKT_OK);
    settings->public_keys = &k->keys;
}

static bool shows(const struct section *s, enum asked which, char what)
{
    return strchr(text_of(s, field(which, "sends")), what) != NULL;
}

static struct mkt_message message_of(const struct section *s, enum asked which)
{
    struct mkt_message m;
    expect_err("INIT", mkt_message_decode(&m, octets_of(s, field(which, "init"))), MKT_OK);
    return m;
}

static void asks(struct keyed *k, const struct vectors *all, const struct section *s, enum asked which,
                 struct mkt_settings *settings, struct player *player)
{
    struct mkt_x509_settings how;
    const struct mkt_message m = message_of(s, which);
    char first[32];
    k->kms.kms = mkt_id_uri(text_of(s, "id_kms"));
    settings->kms = &k->kms;
    if (value_of(s, field(which, "psk")) != NULL) {
        k->kms.name = mkt_id_bytes("the-key");
        k->kms.psk = octets_of(s, field(which, "psk"));
        return;
    }
    mkt_x509_settings_init(&how);
    how.rng = draw;
    how.rng_user = k;
    how.send_chash = mkt_message_find(&m, MKT_CHASH, 0) != NULL;
    make(k, &how, all, "root");
    expect_err("kms", mkt_x509_add_kms(k->x509, certificate(all, text_of(s, field(which, "kms")))), MKT_OK);
    k->n_certificates = chain_of(all, text_of(s, field(which, "chain")), k->certificate, first);
    expect_err("own", mkt_x509_add_own(k->x509, k->certificate[0], private_key(all, first)), MKT_OK);
    use(k, settings);
    k->keys.certificate = k->certificate;
    k->keys.n_certificates = shows(s, which, 'c') ? k->n_certificates : 0;
    settings->leave_out_identities = !shows(s, which, 'i') && !shows(s, which, 'k');
    player_random(player, octets_of(s, field(which, "env")));
    k->drawn = octets_of(s, field(which, "ps"));
}

static void answers(struct keyed *k, const struct vectors *all, const struct section *s, enum asked which,
                    struct mkt_settings *settings, struct player *p)
{
    static const char *const of_kms[] = {"kms", "kms3", "kms-encr"};
    static struct mkt_id relay;
    struct mkt_x509_settings how;
    const struct mkt_message m = message_of(s, which);
    const struct mkt_id sender = id_of(text_of(s, which == REQUEST ? "id_i" : "id_r"));
    if (value_of(s, field(which, "psk")) != NULL) {
        p->friend[p->n_friends++] =
            (struct friend){mkt_id_bytes("the-key"), sender, octets_of(s, field(which, "psk")), false};
        return;
    }
    relay = mkt_id_uri("http://kms.home2.example");
    mkt_x509_settings_init(&how);
    how.user = k;
    how.rng = draw;
    how.rng_user = k;
    how.find = know;
    how.relay = &relay;
    how.n_relays = 1;
    how.sha1 = number_of(s, field(which, "hash")) == 0;
    make(k, &how, all, text_of(s, "anchors"));
    const bool chash = mkt_message_find(&m, MKT_CHASH, 0) != NULL;
    for (size_t i = 0; i < sizeof of_kms / sizeof *of_kms; i++)
        if (chash || strcmp(of_kms[i], text_of(s, field(which, "kms"))) == 0)
            expect_err("own", mkt_x509_add_own(k->x509, certificate(all, of_kms[i]), private_key(all, of_kms[i])),
                       MKT_OK);
    use(k, settings);
    if (!shows(s, which, 'c'))
        k->n_certificates = chain_of(all, text_of(s, field(which, "chain")), k->certificate, NULL);
    if (!shows(s, which, 'c') && !shows(s, which, 'i'))
        settings->peer = sender;
    ck_assert(how.sha1 || number_of(s, field(which, "hash")) == 2);
}

static void end(struct keyed *k)
{
    mkt_x509_free(k->x509);
}

/* What the vector says of the message is so; true if this library makes such messages. */
static bool is_of_ours(const struct section *s, enum asked which, const struct mkt_message *m)
{
    static const unsigned order[] = {MKT_T,  MKT_RANDR,  MKT_IDR,   MKT_CERT, MKT_IDR,
                                     MKT_TP, MKT_TICKET, MKT_CHASH, MKT_PKE,  MKT_SIGN};
    const struct mkt_payload *last = &m->payload[m->n - 1], *chash = mkt_message_find(m, MKT_CHASH, 0);
    const struct mkt_payload *cert = mkt_message_find(m, MKT_CERT, 0);
    const bool named = shows(s, which, 'i'), kms = shows(s, which, 'k');
    ck_assert_uint_eq(last->sign.s_type, number_of(s, field(which, "s_type")));
    ck_assert((octets_of(s, field(which, "salt")).n > 0) == (last->sign.s_type == MKT_SIGN_PSS));
    ck_assert((cert != NULL) == shows(s, which, 'c'));
    ck_assert((mkt_message_find(m, MKT_IDR, which == REQUEST ? MKT_IDR_I : MKT_IDR_R) != NULL) == named);
    ck_assert((mkt_message_find(m, MKT_IDR, MKT_IDR_KMS) != NULL) == kms);
    size_t at = 0;
    for (size_t i = 0; i < m->n; i++) {
        while (at < sizeof order / sizeof *order && order[at] != m->payload[i].type)
            at++;
        if (at == sizeof order / sizeof *order)
            return false;
    }
    return named == kms && last->sign.s_type == MKT_SIGN_PKCS1 && number_of(s, field(which, "hash")) == 2 &&
           (chash == NULL || chash->chash.func == MKT_CHASH_SHA_256) && (cert == NULL || cert->cert.type == 0) &&
           strcmp(text_of(s, field(which, "chain")), "kms-home2") != 0;
}

/* 5.1.2: the keys of the answer, from the envelope key or the shared one, and what they encrypt. */
static void expect_keys(const struct section *s, enum asked which, const struct mkt_message *init)
{
    static const struct {
        const char *end;
        enum mkt_derivation what;
    } keys[] = {{"auth", MKT_DERIVE_AUTH_KEY}, {"encr", MKT_DERIVE_ENCR_KEY}, {"salt_key", MKT_DERIVE_SALT_KEY}};
    const char *by = value_of(s, field(which, "psk")) != NULL ? field(which, "psk") : field(which, "env");
    const enum mkt_suite suite = number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256;
    struct mkt_txn txn = {.bundle = {.suite = suite}};
    mkt_psk_protection(&txn, octets_of(s, by), init, MKT_PURPOSE_RESPONSE, txn.extra[0], txn.extra[1]);
    const struct mkt_protection p = txn.protection;
    const struct mkt_span resp = octets_of(s, field(which, "resp"));
    const struct mkt_span sealed = payload_of(resp, MKT_KEMAC, 0).kemac.encr_data;
    uint8_t out[512];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct mkt_span want = octets_of(s, field(which, keys[i].end));
        expect_err("derive", mkt_derive(suite, keys[i].what, p.key, &p.label, out, want.n), MKT_OK);
        expect_octets(keys[i].end, (struct mkt_span){out, want.n}, want);
    }
    ck_assert_uint_le(sealed.n, sizeof out);
    const struct mkt_t t = payload_of(resp, MKT_T, 0).t;
    crypt_kemac(&p, init->hdr.csb_id, mkt_t_64(&t), sealed, out);
    expect_octets("keys", (struct mkt_span){out, sealed.n}, octets_of(s, field(which, "keys")));
}

static void made(const struct section *s, enum asked which, struct mkt_csb **csb, const struct mkt_host *host,
                 const struct mkt_settings *settings, struct mkt_span message)
{
    const struct mkt_span want = octets_of(s, field(which, "init"));
    const struct mkt_message m = message_of(s, which);
    expect_keys(s, which, &m);
    if (value_of(s, field(which, "psk")) != NULL || is_of_ours(s, which, &m))
        expect_octets(field(which, "init"), message, want);
    else
        go_on_with(csb, host, settings, message, want);
}

const struct keying keying = {
    .file = "rfc6043pk.txt",
    .sections = sections,
    .n_sections = sizeof sections / sizeof *sections,
    .others = others,
    .n_others = sizeof others / sizeof *others,
    .complete = complete,
    .asks = asks,
    .answers = answers,
    .end = end,
    .made = made,
};
