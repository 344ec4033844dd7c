/* SPDX-License-Identifier: BSD-3-Clause */
/* REQUEST_INIT_PK and RESOLVE_INIT_PK (RFC 6043 4.2.1.3, 4.2.3.3), between parties whose public keys a test plays. */
#include "parties.h"

#include "crypto.h"

#include <string.h>

enum { ROOM = 8192 };

static struct parties *signers(enum mkt_suite suite)
{
    struct parties *p = parties_new(suite, "DEFGHIJNO");
    all_sign(p);
    return p;
}

static struct mkt_span key_of(const struct parties *p)
{
    static const uint8_t key[33] = "an envelope key of Alice or Bob.";
    return (struct mkt_span){key, p->suite == MKT_SUITE_256 ? 32 : 16};
}

/* A message with octets of its own, signed by `by` for the identity `who`. */
static struct mkt_span resigned(const struct parties *p, const struct mkt_message *m, const struct party *by,
                                const struct party *who)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("encode", mkt_message_encode(m, &out), MKT_OK);
    const struct mkt_span parts[] = {{octets, out.n - SIGNATURE}, who->settings.self.data, p->kms.settings.self.data};
    const struct mkt_span signature = signature_of(&by->settings.self, parts, 3);
    if (m->payload[m->n - 1].type == MKT_SIGN)
        memcpy(octets + out.n - SIGNATURE, signature.p, signature.n);
    return exact((struct mkt_span){octets, out.n});
}

/* REQUEST_INIT_PK of Alice's, at a KMS that waits for it. */
static struct mkt_span asked(struct parties *p)
{
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    return request_init(&p->alice, &p->request);
}

/* RESOLVE_INIT_PK of Bob's, likewise. */
static struct mkt_span resolving(struct parties *p)
{
    make_own(p);
    answered_by(&p->bob, offered(p));
    begin(&p->kms, MKT_KMS);
    return resolve_init(&p->bob);
}

/* ---- making and taking ---- */

/* "HDR, T, RANDRi, [IDRi], {CERTi}, [IDRkms], TP, [CHASH], PKE, SIGNi", "HDR, T, RANDRr, [IDRr], {CERTr}, [IDRkms],
 * TICKET, [CHASH], PKE, SIGNr" */
START_TEST(a_message_has_the_payloads_of_its_variant)
{
    struct parties *p = signers(_i % 2 != 0 ? MKT_SUITE_128 : MKT_SUITE_256);
    const bool resolve = (_i & 2) != 0, chash = (_i & 4) != 0;
    struct party *sender = resolve ? &p->bob : &p->alice;
    sender->signer.chash = chash;
    if (resolve)
        expect_err("flags", mkt_flags_parse(&p->policy.flags, "EFGHIJLNO"), MKT_OK);
    const struct mkt_message m = decoded(resolve ? resolving(p) : asked(p));
    unsigned types[10] = {MKT_T, MKT_RANDR, MKT_IDR, MKT_CERT, MKT_IDR, resolve ? MKT_TICKET : MKT_TP};
    size_t n = 6;
    if (chash)
        types[n++] = MKT_CHASH;
    types[n++] = MKT_PKE;
    types[n++] = MKT_SIGN;
    expect_payloads(&m, types, n);
    ck_assert_uint_eq(m.hdr.data_type, resolve ? MKT_RESOLVE_INIT_PK : MKT_REQUEST_INIT_PK);
    ck_assert(m.hdr.v == 1 && m.hdr.n_cs == 0 && m.hdr.map_type == MKT_MAP_EMPTY && m.hdr.csb_id != 0);
    ck_assert_uint_eq(m.payload[1].rand.rand.n, p->suite == MKT_SUITE_256 ? 32 : 16);
    ck_assert_uint_eq(m.payload[3].cert.type, MKT_CERT_X509);
    ck_assert_uint_eq(m.payload[n - 2].pke.c, MKT_CACHE_NONE);
    ck_assert_uint_eq(m.payload[n - 1].sign.s_type, MKT_SIGN_PKCS1);
    expect_octets("CERT", m.payload[3].cert.data, sender->signer.certificate);
    expect_octets("IDRkms", m.payload[4].id.data, p->kms.settings.self.data);
    if (chash)
        ck_assert_uint_eq(m.payload[6].chash.func, MKT_CHASH_SHA_256);
    ck_assert(sender->signer.signed_ == 1 && sender->signer.sealed == 1);
    parties_free(p);
}
END_TEST

/* The random octets of a message that is measured are drawn; nothing is signed or opened. */
START_TEST(measuring_signs_and_opens_nothing)
{
    struct parties *p = signers(MKT_SUITE_256);
    struct mkt_buf measured = {NULL, 0, 0};
    struct mkt_ticket *ticket;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const size_t drawn = p->alice.player.next_random;
    const struct mkt_span before = stored(&p->alice);
    expect_err("measured", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_OK);
    ck_assert(p->alice.signer.signed_ == 0 && p->alice.signer.sealed == 0);
    ck_assert_uint_eq(p->alice.player.next_random, drawn + 4 + 32 + 32);
    expect_octets("bundle", stored(&p->alice), before);
    const struct mkt_span init = request_init(&p->alice, &p->request);
    ck_assert_uint_eq(measured.n, init.n);
    ck_assert_uint_eq(p->alice.player.next_random, drawn + 2 * (4 + 32 + 32));

    take(&p->kms, "REQUEST_INIT_PK", init);
    expect_err("grant", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_OK);
    measured.n = 0;
    const struct mkt_span kept = stored(&p->kms);
    expect_err("measured", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_OK);
    ck_assert_uint_eq(p->kms.signer.opened, 0);
    expect_octets("bundle", stored(&p->kms), kept);
    mkt_ticket_free(ticket);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    ck_assert_uint_eq(measured.n, resp.n);
    ck_assert_uint_eq(p->kms.signer.opened, 1);
    take(&p->alice, "REQUEST_RESP", resp);
    parties_free(p);
}
END_TEST

/* The key of the envelope is in no bundle once its answer was made or taken. */
START_TEST(the_envelope_key_does_not_stay)
{
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_span key = key_of(p);
    p->alice.player.n_random = p->alice.player.next_random = 0;
    player_random(&p->alice.player, text("CSBIthis is RANDRi and has as many too."));
    p->alice.player.n_random = 36;
    player_random(&p->alice.player, key);
    take(&p->kms, "REQUEST_INIT_PK", asked(p));
    ck_assert(holds(&p->alice, key) && !holds(&p->kms, key));
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    ck_assert(!holds(&p->alice, key) && !holds(&p->kms, key));

    p->alice.player.n_random = p->alice.player.next_random = 0;
    player_random(&p->alice.player, text("CSBJthis is RANDRi and has as many too."));
    p->alice.player.n_random = 36;
    player_random(&p->alice.player, key);
    asked(p);
    ck_assert(holds(&p->alice, key));
    mkt_csb_abandon(p->alice.csb);
    ck_assert(!holds(&p->alice, key));
    parties_free(p);
}
END_TEST

START_TEST(every_bit_is_signed)
{
    struct parties *p = signers(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128);
    p->alice.signer.chash = true;
    const struct mkt_span init = asked(p);
    every_bit_counts(&p->kms, "REQUEST_INIT_PK", init);
    take(&p->kms, "REQUEST_INIT_PK", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    every_bit_counts(&p->alice, "REQUEST_RESP", resp);
    take(&p->alice, "REQUEST_RESP", resp);
    parties_free(p);
}
END_TEST

/* ---- P9: envelopes that do not open ---- */

/* They are answered as the right one is: no error, log, entry in the replay cache or call is other. */
START_TEST(an_envelope_that_does_not_open_is_answered)
{
    static const size_t lengths[] = {32, 0, 1, 16, 31, 33, 253};
    const size_t n_lengths = sizeof lengths / sizeof *lengths;
    uint8_t octets[ENVELOPE] = {0};
    struct parties *p = signers(MKT_SUITE_256);
    size_t length = 0, drawn = 0;
    for (size_t i = 0; i < n_lengths + 3; i++) {
        const struct mkt_span init = asked(p);
        struct mkt_message m = decoded(init);
        struct mkt_payload *pke = find(&m, MKT_PKE, 0);
        if (i < n_lengths && i > 0)
            pke->pke.data = envelope_of(&p->kms.settings.self, (struct mkt_span){octets, lengths[i]});
        else if (i == n_lengths)
            pke->pke.data = envelope_of(&p->bob.settings.self, key_of(p));
        else if (i > n_lengths) {
            memset(octets, i == n_lengths + 1 ? 0 : 0xff, sizeof octets);
            pke->pke.data = (struct mkt_span){octets, sizeof octets};
        }
        memset(octets, 0x77, sizeof octets);
        p->kms.player.logged = MKT_OK;
        p->kms.signer.opened = p->kms.signer.verified = 0;
        p->kms.player.next_random = 500;
        take(&p->kms, "REQUEST_INIT_PK", i == 0 ? init : resigned(p, &m, &p->alice, &p->alice));
        ck_assert_uint_eq(p->kms.signer.opened, 0);
        const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
        ck_assert(p->kms.signer.opened == 1 && p->kms.signer.verified == 1 && p->kms.player.logged == MKT_OK);
        ck_assert_uint_eq(p->kms.player.n_seen, i + 1);
        length = i == 0 ? resp.n : length;
        drawn = i == 0 ? p->kms.player.next_random : drawn;
        ck_assert(resp.n == length && p->kms.player.next_random == drawn);
        if (i == 0)
            take(&p->alice, "REQUEST_RESP", resp);
        else
            refused(&p->alice, "REQUEST_RESP", resp, MKT_E_MAC);
        mkt_csb_free(p->kms.csb);
        p->kms.csb = NULL;
    }
    parties_free(p);
}
END_TEST

/* Two answers about one envelope that does not open have keys that nobody can guess. */
START_TEST(the_key_of_such_an_answer_is_random)
{
    struct parties *p = signers(MKT_SUITE_256);
    struct mkt_span mac[2];
    for (size_t i = 0; i < 2; i++) {
        struct mkt_message m = decoded(asked(p));
        find(&m, MKT_PKE, 0)->pke.data = envelope_of(&p->kms.settings.self, text(""));
        find(&m, MKT_RANDR, MKT_RANDR_I)->rand.rand = key_of(p);
        m.hdr.csb_id = 7;
        p->kms.player.n_seen = 0;
        take(&p->kms, "REQUEST_INIT_PK", resigned(p, &m, &p->alice, &p->alice));
        p->recipe.keys = NULL;
        struct mkt_ticket *ticket;
        uint8_t octets[ROOM];
        struct mkt_buf out = {octets, sizeof octets, 0};
        p->kms.player.next_random = 900;
        expect_err("grant", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_OK);
        p->kms.player.next_random = 2000 + i;
        expect_err("answer", mkt_csb_make_request_resp(p->kms.csb, ticket, &out), MKT_OK);
        mac[i] = exact(payload_of((struct mkt_span){octets, out.n}, MKT_V, 0).v.mac);
        mkt_ticket_free(ticket);
    }
    ck_assert(!mkt_span_equal(mac[0], mac[1]));
    parties_free(p);
}
END_TEST

/* ---- refusals ---- */

static struct mkt_payload payload(unsigned type)
{
    return (struct mkt_payload){.type = (uint16_t)type};
}

static void v_for_sign(struct parties *p, struct mkt_message *m)
{
    const bool large = p->suite == MKT_SUITE_256;
    static const uint8_t mac[32] = {1};
    m->payload[m->n - 1] = payload(MKT_V);
    m->payload[m->n - 1].v =
        (struct mkt_v){large ? MKT_MAC_HMAC_SHA_256_256 : MKT_MAC_HMAC_SHA_1_160, {mac, large ? 32 : 20}};
}

static void sign_not_last(struct parties *p, struct mkt_message *m)
{
    (void)p;
    m->payload[m->n - 1].type = MKT_PKE; /* found by nobody */
    m->n--;
}

static void without_pke(struct parties *p, struct mkt_message *m)
{
    (void)p;
    left_out(m, MKT_PKE, 0);
}

static void with_two_pkes(struct parties *p, struct mkt_message *m)
{
    (void)p;
    put_in(m, *find(m, MKT_PKE, 0));
}

static void with_five_certificates(struct parties *p, struct mkt_message *m)
{
    (void)p;
    for (size_t i = 0; i < MKT_MAX_CERTIFICATES; i++)
        put_in(m, *find(m, MKT_CERT, 0));
}

static void with_two_chashes(struct parties *p, struct mkt_message *m)
{
    (void)p;
    put_in(m, *find(m, MKT_CHASH, 0));
}

static void without_randr(struct parties *p, struct mkt_message *m)
{
    (void)p;
    m->payload[1].type = MKT_RAND;
}

static void cached(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_PKE, 0)->pke.c = MKT_CACHE;
}

static void cached_for_the_csb(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_PKE, 0)->pke.c = MKT_CACHE_CSB;
}

static void cached_somehow(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_PKE, 0)->pke.c = 3;
}

static void with_url(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_CERT, 0)->cert.type = MKT_CERT_URL;
}

static void with_certificate_for_encryption(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_CERT, 0)->cert.type = MKT_CERT_X509_ENCR;
}

static void with_unknown_certificate(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_CERT, 0)->cert.type = 4;
}

static void with_unknown_signature(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_SIGN, 0)->sign.s_type = 2;
}

static void for_another_kms(struct parties *p, struct mkt_message *m)
{
    find(m, MKT_IDR, MKT_IDR_KMS)->id.data = p->kms_r.settings.self.data;
}

static void with_unknown_prf(struct parties *p, struct mkt_message *m)
{
    (void)p;
    m->hdr.prf = 9;
}

static void with_a_session(struct parties *p, struct mkt_message *m)
{
    (void)p;
    m->hdr.n_cs = 1;
}

static void with_other_envelope(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_PKE, 0)->pke.data.n--;
}

static void with_md5(struct parties *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_CHASH, 0)->chash = (struct mkt_chash){MKT_CHASH_MD5, {p->tpk.p, 16}};
}

static void with_other_chash(struct parties *p, struct mkt_message *m)
{
    static const uint8_t hash[32] = {1};
    (void)p;
    find(m, MKT_CHASH, 0)->chash.hash.p = hash;
}

static void by_mallory(struct parties *p, struct mkt_message *m)
{
    find(m, MKT_CERT, 0)->cert.data = p->mallory.signer.certificate;
}

static void without_certificate(struct parties *p, struct mkt_message *m)
{
    (void)p;
    left_out(m, MKT_CERT, 0);
}

static void with_short_randr(struct parties *p, struct mkt_message *m)
{
    (void)p;
    m->payload[1].rand.rand.n--;
}

static void of_yesterday(struct parties *p, struct mkt_message *m)
{
    (void)p;
    m->payload[0].t.value -= (uint64_t)86400 << 32;
}

static void with_counter(struct parties *p, struct mkt_message *m)
{
    (void)p;
    m->payload[0].t = (struct mkt_t){.ts_type = MKT_TS_COUNTER, .value = 1};
}

static const struct fault {
    const char *name;
    void (*run)(struct parties *p, struct mkt_message *m);
    enum mkt_err err;
    bool verified; /* the host is asked */
} faults[] = {
    {"V for SIGN", v_for_sign, MKT_E_MISSING, false},
    {"no SIGN", sign_not_last, MKT_E_MISSING, false},
    {"no PKE", without_pke, MKT_E_MISSING, false},
    {"two PKEs", with_two_pkes, MKT_E_TOO_MANY, false},
    {"five CERTs", with_five_certificates, MKT_E_TOO_MANY, false},
    {"two CHASHs", with_two_chashes, MKT_E_TOO_MANY, false},
    {"no RANDR", without_randr, MKT_E_MISSING, false},
    {"cached", cached, MKT_E_PUBLIC_KEY, false},
    {"cached for the CSB", cached_for_the_csb, MKT_E_PUBLIC_KEY, false},
    {"C = 3", cached_somehow, MKT_E_BAD_VALUE, false},
    {"URL", with_url, MKT_E_CERTIFICATE, false},
    {"CERT type 4", with_unknown_certificate, MKT_E_CERTIFICATE, false},
    {"certificate for encryption", with_certificate_for_encryption, MKT_E_WRONG_CERTIFICATE, false},
    {"S type 2", with_unknown_signature, MKT_E_PUBLIC_KEY, false},
    {"another KMS", for_another_kms, MKT_E_KMS, false},
    {"PRF", with_unknown_prf, MKT_E_PRF, false},
    {"session", with_a_session, MKT_E_BAD_MAP, false},
    {"COUNTER", with_counter, MKT_E_COUNTER, false},
    {"length of the envelope", with_other_envelope, MKT_E_BAD_VALUE, true},
    {"CHASH by MD5", with_md5, MKT_E_HASH, true},
    {"CHASH of none", with_other_chash, MKT_E_WRONG_CERTIFICATE, true},
    {"another's certificate", by_mallory, MKT_E_CHAIN, true},
    {"no certificate", without_certificate, MKT_E_CHAIN, true},
    {"short RANDR", with_short_randr, MKT_E_RAND, true},
    {"old T", of_yesterday, MKT_E_STALE, true},
};
enum { FAULTS = sizeof faults / sizeof *faults };

/* Both messages; nothing costs an operation with a key of the KMS, and what needs no key asks nobody. */
START_TEST(a_fault_is_refused)
{
    const struct fault *f = &faults[_i % FAULTS];
    struct parties *p = signers((_i / FAULTS & 1) != 0 ? MKT_SUITE_128 : MKT_SUITE_256);
    const bool resolve = (_i / FAULTS & 2) != 0;
    struct party *sender = resolve ? &p->bob : &p->alice;
    sender->signer.chash = true;
    if (resolve)
        expect_err("flags", mkt_flags_parse(&p->policy.flags, "EFGHIJLNO"), MKT_OK);
    const struct mkt_span init = resolve ? resolving(p) : asked(p);
    struct mkt_message m = decoded(init);
    f->run(p, &m);
    refused(&p->kms, f->name, resigned(p, &m, sender, sender), f->err);
    ck_assert_uint_eq(p->kms.signer.verified, f->verified);
    ck_assert(p->kms.signer.opened == 0 && p->kms.signer.signed_ == 0);
    take(&p->kms, "the right one", init);
    ck_assert_uint_eq(p->kms.signer.opened, 0);
    refused(&p->kms, "while it is answered", init, MKT_E_STATE);
    parties_free(p);
}
END_TEST

/* A KMS that has no public keys does not know the data types; nor does any other party. */
START_TEST(without_public_keys_they_are_unknown_types)
{
    struct parties *p = signers(MKT_SUITE_256);
    begin(&p->bob, MKT_RESPONDER);
    p->kms.settings.public_keys = NULL;
    const struct mkt_span init = asked(p);
    refused(&p->kms, "REQUEST_INIT_PK", init, MKT_E_DATA_TYPE);
    refused(&p->alice, "REQUEST_INIT_PK", init, MKT_E_DATA_TYPE);
    refused(&p->bob, "REQUEST_INIT_PK", init, MKT_E_DATA_TYPE);
    parties_free(p);
}
END_TEST

START_TEST(a_replay_is_refused)
{
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT_PK", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    refused(&p->kms, "again", init, MKT_E_REPLAY);
    take(&p->alice, "REQUEST_RESP", resp);
    take(&p->kms, "another", asked(p));
    parties_free(p);
}
END_TEST

/* ---- identities ---- */

/* P4, P24: what a message leaves out the KMS knows, or the certificate tells. */
START_TEST(identities_and_certificates_may_be_left_out)
{
    struct parties *p = signers(MKT_SUITE_256);
    const bool no_id = (_i & 1) != 0, no_certificate = (_i & 2) != 0, known = (_i & 4) != 0;
    p->alice.settings.leave_out_identities = no_id;
    p->alice.signer.keys.n_certificates = no_certificate ? 0 : 1;
    p->kms.signer.knows = true;
    if (known)
        p->kms.settings.peer = p->alice.settings.self;
    const struct mkt_span init = asked(p);
    if (no_id && no_certificate && !known) {
        refused(&p->kms, "of nobody", init, MKT_E_CHAIN);
    } else {
        take(&p->kms, "REQUEST_INIT_PK", init);
        ck_assert_uint_eq(p->kms.signer.n_certificates, !no_certificate);
        ck_assert(mkt_csb_peer(p->kms.csb).type == MKT_ID_URI);
        expect_octets("peer", mkt_csb_peer(p->kms.csb).data, p->alice.settings.self.data);
        ck_assert(p->kms.asked_role == MKT_INITIATOR && p->kms.asked_proven);
        take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    }
    parties_free(p);
}
END_TEST

/* P11: IDRi of the TP is who signs. */
START_TEST(nobody_asks_for_another)
{
    struct parties *p = signers(MKT_SUITE_256);
    begin(&p->mallory, MKT_INITIATOR);
    const struct mkt_span init = asked(p);
    refused(&p->kms, "IDRi of the TP", request_init(&p->mallory, &p->request), MKT_E_INITIATOR);
    take(&p->kms, "REQUEST_INIT_PK", init);
    parties_free(p);
}
END_TEST

/* Section 10, P12: a KMS that the host lists passes on a RESOLVE_INIT of its user, and nothing else. */
START_TEST(a_kms_asks_for_its_user)
{
    struct parties *p = signers(_i % 2 == 0 ? MKT_SUITE_256 : MKT_SUITE_128);
    bob_has_a_kms_of_his_own(p);
    p->kms_r.key.psk = text("");
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].moves = _i >= 2;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    begin(&p->kms_r, MKT_KMS);
    take(&p->kms_r, "RESOLVE_INIT of Bob", resolve_init(&p->bob));
    const struct mkt_span init = resolve_init(&p->kms_r);
    expect_octets("IDRr", payload_of(init, MKT_IDR, MKT_IDR_R).id.data, p->bob.settings.self.data);
    expect_octets("CERT", payload_of(init, MKT_CERT, 0).cert.data, p->kms_r.signer.certificate);

    struct mkt_message m = decoded(init);
    p->kms.signer.relay.data = text("");
    refused(&p->kms, "not listed", init, MKT_E_CHAIN);
    p->kms.signer.relay = p->kms_r.settings.self;
    left_out(&m, MKT_IDR, MKT_IDR_R);
    refused(&p->kms, "for nobody", resigned(p, &m, &p->kms_r, &p->kms_r), MKT_E_RESPONDER);
    take(&p->kms, "RESOLVE_INIT of the KMS", init);
    take(&p->kms_r, "RESOLVE_RESP", resolve_resp(&p->kms));
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms_r));
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, p->suite == MKT_SUITE_256 ? 32 : 16);
    parties_free(p);
}
END_TEST

START_TEST(a_kms_gets_no_tickets_for_its_users)
{
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_span init = asked(p);
    struct mkt_message m = decoded(init);
    find(&m, MKT_CERT, 0)->cert.data = p->kms_r.signer.certificate;
    refused(&p->kms, "REQUEST_INIT_PK of a KMS", resigned(p, &m, &p->kms_r, &p->alice), MKT_E_CHAIN);
    put_in(&m, payload(MKT_IDR)); /* which is not expected there */
    m.payload[m.n - 2].id = mkt_id_uri("sip:alice@example.com");
    m.payload[m.n - 2].id.role = MKT_IDR_R;
    refused(&p->kms, "and an IDRr", resigned(p, &m, &p->kms_r, &p->alice), MKT_E_CHAIN);
    take(&p->kms, "REQUEST_INIT_PK", init);
    parties_free(p);
}
END_TEST

/* The KMS that asks names its user: what the host of the other one believes is not enough. */
START_TEST(a_kms_names_its_user)
{
    struct parties *p = signers(MKT_SUITE_256);
    expect_err("flags", mkt_flags_parse(&p->policy.flags, "EFGHIJLNO"), MKT_OK);
    p->kms.settings.peer = p->bob.settings.self;
    const struct mkt_span init = resolving(p);
    struct mkt_message m = decoded(init);
    find(&m, MKT_CERT, 0)->cert.data = p->kms_r.signer.certificate;
    left_out(&m, MKT_IDR, MKT_IDR_R);
    refused(&p->kms, "without IDRr", resigned(p, &m, &p->kms_r, &p->bob), MKT_E_CHAIN);
    take(&p->kms, "RESOLVE_INIT_PK", init);
    parties_free(p);
}
END_TEST

static enum mkt_err says_nobody(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    (void)user, (void)message, (void)signer;
    return MKT_OK;
}

START_TEST(somebody_signs)
{
    struct parties *p = signers(MKT_SUITE_256);
    for (int i = 0; i < 2; i++) {
        p->alice.settings.leave_out_identities = i == 1;
        p->policy.initiator.data = text(i == 1 ? "" : "sip:alice@example.com");
        const struct mkt_span init = asked(p);
        p->kms.signer.keys.verify = says_nobody;
        refused(&p->kms, "signed by nobody", init, MKT_E_CHAIN);
    }
    parties_free(p);
}
END_TEST

/* One exchange by public key and the other with a key; a KMS asks another one the other way. */
START_TEST(variants_mix)
{
    static const uint8_t psk[33] = "That one is known to two parties";
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_id name = mkt_id_bytes("some-key");
    struct party *alone = _i == 0 ? &p->alice : _i == 1 ? &p->bob : &p->kms_r;
    const bool own_kms = _i >= 2;
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].moves = true;
    if (own_kms)
        bob_has_a_kms_of_his_own(p);
    p->kms_r.key.psk = text("");
    if (_i == 3)
        alone = &p->bob;
    alone->key.name = name;
    alone->key.psk = (struct mkt_span){psk, 32};
    struct player *kms = _i == 3 ? &p->kms_r.player : &p->kms.player;
    kms->n_friends = 1;
    kms->friend[0] = (struct friend){name, alone->settings.self, alone->key.psk, _i == 2};
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    ck_assert_uint_eq(init.p[1], _i == 1 || _i == 3 ? MKT_RESOLVE_INIT_PSK : MKT_RESOLVE_INIT_PK);
    if (own_kms) {
        begin(&p->kms_r, MKT_KMS);
        take(&p->kms_r, "RESOLVE_INIT", init);
        const struct mkt_span passed_on = resolve_init(&p->kms_r);
        ck_assert_uint_eq(passed_on.p[1], _i == 2 ? MKT_RESOLVE_INIT_PSK : MKT_RESOLVE_INIT_PK);
        take(&p->kms, "RESOLVE_INIT", passed_on);
        take(&p->kms_r, "RESOLVE_RESP", resolve_resp(&p->kms));
        take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms_r));
    } else {
        take(&p->kms, "RESOLVE_INIT", init);
        take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms));
    }
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* ---- Error messages: P19 ---- */

static struct mkt_span complaint(struct party *by, struct mkt_span about, enum mkt_err why)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("Error", mkt_csb_make_error(by->csb, about, why, NULL, 0, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

static bool ends_with(struct mkt_span message, unsigned type)
{
    const struct mkt_message m = decoded(message);
    return m.payload[m.n - 1].type == type;
}

/* Expects that it is taken, and is believed or not. */
static void reported(struct party *party, struct mkt_span error, bool authenticated)
{
    const size_t before = party->player.reports;
    take(party, "Error", error);
    ck_assert(party->player.reports == before + 1 && party->player.authenticated == authenticated);
}

START_TEST(a_kms_signs_its_error_messages)
{
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_span init = asked(p);
    const struct mkt_span error = complaint(&p->kms, init, MKT_E_DENIED);
    ck_assert(ends_with(error, MKT_SIGN));
    ck_assert(p->kms.signer.opened == 0 && p->kms.signer.signed_ == 1);
    every_bit_counts(&p->alice, "Error", error);
    reported(&p->alice, error, true);
    ck_assert(p->alice.signer.by_kms);
    refused(&p->alice, "again", error, MKT_E_REPLAY);
    take(&p->kms, "REQUEST_INIT_PK", init);
    const struct mkt_span another = complaint(&p->kms, text(""), MKT_E_POLICY);
    ck_assert(ends_with(another, MKT_SIGN));
    reported(&p->alice, another, true);

    p->alice.signer.keys.verify = NULL;
    refused(&p->alice, "a signature that nobody verifies", complaint(&p->kms, init, MKT_E_DENIED), MKT_E_NO_KEY);
    parties_free(p);
}
END_TEST

/* What is not known to be Alice's, or is a replay, costs no signature; nor has it a MAC. */
START_TEST(other_error_messages_are_not_signed)
{
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_span init = asked(p);
    struct mkt_message m = decoded(init), changed = decoded(init);
    find(&m, MKT_PKE, 0)->pke.c = MKT_CACHE;
    by_mallory(p, &changed);
    const struct mkt_span errors[] = {
        complaint(&p->kms, resigned(p, &m, &p->alice, &p->alice), MKT_E_PUBLIC_KEY),
        complaint(&p->kms, resigned(p, &m, &p->bob, &p->alice), MKT_E_SIGNATURE),
        complaint(&p->kms, resigned(p, &changed, &p->alice, &p->alice), MKT_E_CHAIN),
        complaint(&p->kms, init, MKT_E_REPLAY),
        complaint(&p->alice, init, MKT_E_DATA_TYPE),
    };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        ck_assert(ends_with(errors[i], MKT_ERR));
    ck_assert_uint_eq(p->kms.signer.signed_ + p->alice.signer.signed_, 1);
    p->mallory.settings.leave_out_identities = true; /* no IDRkms says that it is not for Alice */
    begin(&p->mallory, MKT_INITIATOR);
    ck_assert(ends_with(complaint(&p->alice, request_init(&p->mallory, &p->request), MKT_E_DATA_TYPE), MKT_ERR));
    ck_assert_uint_eq(p->alice.signer.verified, 0);
    p->kms.signer.keys.sign = NULL;
    const size_t verified = p->kms.signer.verified;
    const struct mkt_span error = complaint(&p->kms, init, MKT_E_DENIED);
    ck_assert(ends_with(error, MKT_ERR));
    ck_assert_uint_eq(p->kms.signer.verified, verified);
    reported(&p->alice, error, false);
    parties_free(p);
}
END_TEST

/* A stranger's message is verified once: the Error message about it needs no signature. */
START_TEST(an_error_message_about_a_forgery_verifies_nothing)
{
    struct parties *p = signers(MKT_SUITE_256);
    struct mkt_message m = decoded(asked(p));
    const struct mkt_span forged = resigned(p, &m, &p->bob, &p->alice);
    refused(&p->kms, "forged", forged, MKT_E_SIGNATURE);
    ck_assert_uint_eq(p->kms.signer.verified, 1);
    ck_assert(ends_with(complaint(&p->kms, forged, MKT_E_SIGNATURE), MKT_ERR));
    ck_assert(ends_with(complaint(&p->kms, forged, MKT_E_CHAIN), MKT_ERR));
    ck_assert_uint_eq(p->kms.signer.verified, 1);
    parties_free(p);
}
END_TEST

/* About the answer of a KMS a MAC is of the key of that answer, as ever. */
START_TEST(about_an_answer_a_mac_is_made)
{
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT_PK", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    const struct mkt_span error = complaint(&p->alice, resp, MKT_E_POLICY);
    ck_assert(ends_with(error, MKT_V));
    ck_assert_uint_eq(p->alice.signer.signed_, 1);
    reported(&p->kms, error, false);
    parties_free(p);
}
END_TEST

/* A MAC about a signed message, or a signature about one with a MAC, proves nothing. */
START_TEST(the_wrong_proof_is_none)
{
    struct parties *p = signers(MKT_SUITE_256);
    struct mkt_message m = decoded(complaint(&p->kms, asked(p), MKT_E_DENIED));
    v_for_sign(p, &m);
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("encode", mkt_message_encode(&m, &out), MKT_OK);
    reported(&p->alice, (struct mkt_span){octets, out.n}, false);
    parties_free(p);
}
END_TEST

/* ---- settings, callbacks, room ---- */

START_TEST(settings_are_checked)
{
    struct parties *p = signers(MKT_SUITE_256);
    struct mkt_csb *csb;
    for (int i = 0; i < 10; i++) {
        struct party *one = i < 4 || i == 9 ? &p->alice : &p->kms;
        const enum mkt_role role = one == &p->alice ? MKT_INITIATOR : MKT_KMS;
        struct mkt_public_keys keys = one->signer.keys;
        if (i == 0 || i == 5)
            keys.n_certificates = MKT_MAX_CERTIFICATES + 1;
        if (i == 1 || i == 8)
            keys.sign = NULL;
        if (i == 2 || i == 8)
            keys.seal = NULL;
        if (i == 3 || i == 4)
            keys.size = 7;
        if (i == 6)
            keys.verify = NULL;
        if (i == 7)
            keys.open = NULL;
        if (i == 9)
            keys.certificate = NULL;
        one->settings.public_keys = &keys;
        expect_err("settings", mkt_csb_new(&csb, role, &one->player.host, &one->settings),
                   i == 8 ? MKT_OK : MKT_E_ARGUMENT);
        ck_assert(i == 8 || strcmp(one->player.detail, "mkt_settings.public_keys") == 0);
        mkt_csb_free(csb);
        one->settings.public_keys = &one->signer.keys;
    }
    parties_free(p);
}
END_TEST

static enum mkt_err no_signature(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    (void)user, (void)part, (void)n, (void)signature;
    return MKT_E_MEMORY;
}

/* What a callback answers is the answer; the bundle is as it was. */
START_TEST(a_callback_may_fail)
{
    struct parties *p = signers(MKT_SUITE_256);
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_ticket *ticket;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span before = stored(&p->alice);
    p->alice.signer.fail = MKT_E_NO_KEY;
    expect_err("seal", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_NO_KEY);
    ck_assert_str_eq(p->alice.player.detail, "IDRkms sip:kms@example.com");
    ck_assert_int_eq(p->alice.player.event.message, MKT_REQUEST_INIT_PK);
    ck_assert_uint_eq(out.n, 0);
    expect_octets("bundle", stored(&p->alice), before);
    p->alice.signer.fail = MKT_OK;
    const struct mkt_public_keys keys = p->alice.signer.keys;
    p->alice.signer.keys.sign = no_signature;
    expect_err("sign", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_MEMORY);
    ck_assert_uint_eq(out.n, 0);
    expect_octets("bundle", stored(&p->alice), before);
    p->alice.signer.keys = keys;
    const struct mkt_span init = request_init(&p->alice, &p->request);

    p->kms.signer.fail = MKT_E_CRYPTO;
    refused(&p->kms, "verify", init, MKT_E_CRYPTO);
    p->kms.signer.fail = MKT_OK;
    take(&p->kms, "REQUEST_INIT_PK", init);
    expect_err("grant", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_OK);
    const struct mkt_span kept = stored(&p->kms);
    p->kms.signer.fail = MKT_E_CRYPTO;
    expect_err("open", mkt_csb_make_request_resp(p->kms.csb, ticket, &out), MKT_E_CRYPTO);
    expect_octets("bundle", stored(&p->kms), kept);
    ck_assert_uint_eq(out.n, 0);
    p->kms.signer.fail = MKT_OK;
    expect_err("open", mkt_csb_make_request_resp(p->kms.csb, ticket, &out), MKT_OK);
    mkt_ticket_free(ticket);
    take(&p->alice, "REQUEST_RESP", (struct mkt_span){octets, out.n});
    parties_free(p);
}
END_TEST

static enum mkt_err short_signature(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    (void)user, (void)part, (void)n;
    if (signature->p != NULL)
        memset(signature->p, 1, signature->cap - 1);
    signature->n += signature->p != NULL ? signature->cap - 1 : SIGNATURE;
    return MKT_OK;
}

static size_t envelope_octets, chash_octets;

static enum mkt_err so_many_octets(void *user, const struct mkt_id *kms, uint64_t now, struct mkt_span key,
                                   struct mkt_buf *envelope, struct mkt_buf *chash)
{
    (void)user, (void)kms, (void)now, (void)key;
    envelope->n += envelope_octets;
    chash->n += chash_octets;
    return MKT_OK;
}

START_TEST(what_a_callback_gives_has_its_length)
{
    static const size_t lengths[][3] = {{256, 31, 0}, {256, 20, 0}, {0, 32, 0}, {513, 0, 0}, {512, 32, 1}, {1, 0, 1}};
    struct parties *p = signers(MKT_SUITE_256);
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    enum mkt_err (*const sign)(void *, const struct mkt_span[], size_t, struct mkt_buf *) = p->alice.signer.keys.sign;
    begin(&p->alice, MKT_INITIATOR);
    p->alice.signer.keys.sign = short_signature;
    expect_err("signature", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_CRYPTO);
    p->alice.signer.keys.sign = sign;
    p->alice.signer.keys.seal = so_many_octets;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        envelope_octets = lengths[i][0];
        chash_octets = lengths[i][1];
        expect_err("envelope", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured),
                   lengths[i][2] != 0 ? MKT_OK : MKT_E_CRYPTO);
    }
    ck_assert_uint_eq(out.n, 0);
    parties_free(p);
}
END_TEST

/* The default size has no room for a message with certificates; both ends say so, and a larger bundle has it. */
START_TEST(a_bundle_may_be_too_small)
{
    struct parties *p = signers(MKT_SUITE_256);
    static uint8_t large[3000];
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_span certificates[] = {p->alice.signer.certificate, {large, sizeof large}};
    p->alice.signer.keys.certificate = certificates;
    p->alice.signer.keys.n_certificates = 2;
    p->alice.settings.bundle_size = p->kms.settings.bundle_size = MKT_CSB_SIZE;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    expect_err("small", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_BUNDLE_FULL);
    ck_assert_str_eq(p->alice.player.detail, "mkt_settings.bundle_size");
    out.p = NULL;
    expect_err("measured", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_BUNDLE_FULL);
    p->alice.settings.bundle_size = MKT_CSB_SIZE_PK;
    begin(&p->alice, MKT_INITIATOR);
    const struct mkt_span init = request_init(&p->alice, &p->request);
    refused(&p->kms, "small", init, MKT_E_BUNDLE_FULL);
    p->kms.settings.bundle_size = MKT_CSB_SIZE_PK;
    begin(&p->kms, MKT_KMS);
    take(&p->kms, "large", init);
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    parties_free(p);
}
END_TEST

/* RSA with 4,096 bits: certificates of 1,450 octets; a signature and an envelope of 512, here within the certificates. */
START_TEST(a_large_bundle_has_room_for_four_large_certificates)
{
    struct parties *p = signers(MKT_SUITE_256);
    static uint8_t large[1450 + 2 * 512 / 4];
    const struct mkt_span one = {large, sizeof large}, certificates[] = {one, one, one, one};
    struct mkt_buf measured = {NULL, 0, 0};
    make_own(p);
    p->bob.signer.keys.certificate = certificates;
    p->bob.signer.keys.n_certificates = 4;
    answered_by(&p->bob, offered(p));
    expect_err("RESOLVE_INIT", mkt_csb_make_resolve_init(p->bob.csb, &measured), MKT_OK);
    parties_free(p);
}
END_TEST

/* A bundle that was stored with a key, and is loaded without one, takes no answer that anybody can make. */
START_TEST(an_answer_has_a_key)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span psk = p->alice.key.psk;
    take(&p->kms, "REQUEST_INIT", asked(p));
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    p->alice.key.psk = text("");
    refused(&p->alice, "without a key", resp, MKT_E_ARGUMENT);
    p->alice.key.psk = psk;
    take(&p->alice, "REQUEST_RESP", resp);
    parties_free(p);
}
END_TEST

/* Loads a bundle with other octets at the end, where the envelope key is behind its length. */
static enum mkt_err load_with(const struct party *party, struct mkt_span octets, size_t less, size_t key)
{
    uint8_t changed[ROOM];
    struct mkt_csb *csb;
    const size_t at = octets.n - less;
    ck_assert_uint_le(at + 4 + key, sizeof changed);
    memcpy(changed, octets.p, at);
    memset(changed + at, 0, 4);
    changed[at + 3] = (uint8_t)key;
    memset(changed + at + 4, 7, key);
    const enum mkt_err err =
        mkt_csb_load(&csb, &party->player.host, &party->settings, exact((struct mkt_span){changed, at + 4 + key}));
    mkt_csb_free(csb);
    return err;
}

/* An envelope key stands beside a message that was signed, and has the length of the suite. */
START_TEST(a_stored_envelope_key_belongs_to_its_message)
{
    struct parties *p = signers(MKT_SUITE_256), *by_psk = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    asked(p);
    asked(by_psk);
    const struct mkt_span signs = stored(&p->alice), shares = stored(&by_psk->alice);
    expect_err("32 octets", load_with(&p->alice, signs, 4 + 32, 32), MKT_OK);
    expect_err("16 octets", load_with(&p->alice, signs, 4 + 32, 16), MKT_E_STORED);
    expect_err("none", load_with(&p->alice, signs, 4 + 32, 0), MKT_E_STORED);
    expect_err("beside V", load_with(&by_psk->alice, shares, 4, 32), MKT_E_STORED);
    expect_err("none beside V", load_with(&by_psk->alice, shares, 4, 0), MKT_OK);
    begin(&p->alice, MKT_INITIATOR);
    expect_err("beside nothing", load_with(&p->alice, stored(&p->alice), 4, 32), MKT_E_STORED);
    parties_free(p);
    parties_free(by_psk);
}
END_TEST

/* A KMS has a PSK for the answer to a message with a MAC, and none yet for the answer to a signed one. */
START_TEST(a_stored_psk_belongs_to_its_message)
{
    struct parties *all[] = {signers(MKT_SUITE_256), parties_new(MKT_SUITE_256, "DEFGHIJNO")};
    for (size_t i = 0; i < 2; i++) {
        struct party *kms = &all[i]->kms;
        struct mkt_csb *csb;
        uint8_t changed[ROOM];
        const struct mkt_span init = asked(all[i]);
        take(kms, "REQUEST_INIT", init);
        const struct mkt_span octets = stored(kms);
        size_t at = 0;
        while (memcmp(octets.p + at, init.p, init.n) != 0)
            ck_assert_uint_lt(++at + init.n, octets.n);
        at += init.n + 4; /* behind the RESOLVE_INIT that it has not sent: the PSK */
        const size_t has = octets.p[at + 3], gets = i == 0 ? 32 : 0;
        ck_assert_uint_eq(has, i == 0 ? 0 : 32);
        memcpy(changed, octets.p, at + 4);
        changed[at + 3] = (uint8_t)gets;
        memset(changed + at + 4, 9, gets);
        memcpy(changed + at + 4 + gets, octets.p + at + 4 + has, octets.n - at - 4 - has);
        expect_err(
            "PSK",
            mkt_csb_load(&csb, &kms->player.host, &kms->settings, (struct mkt_span){changed, octets.n + gets - has}),
            MKT_E_STORED);
        expect_err("as it was", mkt_csb_load(&csb, &kms->player.host, &kms->settings, octets), MKT_OK);
        mkt_csb_free(csb);
        parties_free(all[i]);
    }
}
END_TEST

/* A KMS whose bundle was loaded without public keys says so, and answers once it has them. */
START_TEST(a_kms_needs_its_keys_to_answer)
{
    struct parties *p = signers(MKT_SUITE_256);
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_ticket *ticket;
    take(&p->kms, "REQUEST_INIT_PK", asked(p));
    const struct mkt_span kept = stored(&p->kms);
    for (int i = 0; i < 2; i++) {
        p->kms.settings.public_keys = i == 0 ? NULL : &p->kms.signer.keys;
        mkt_csb_free(p->kms.csb);
        expect_err("load", mkt_csb_load(&p->kms.csb, &p->kms.player.host, &p->kms.settings, kept), MKT_OK);
        expect_err("grant", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_OK);
        expect_err("answer", mkt_csb_make_request_resp(p->kms.csb, ticket, &out), i == 0 ? MKT_E_ARGUMENT : MKT_OK);
        mkt_ticket_free(ticket);
    }
    take(&p->alice, "REQUEST_RESP", (struct mkt_span){octets, out.n});
    parties_free(p);
}
END_TEST

/* A Responder that gives up its question forgets the key, and asks anew by another one. */
START_TEST(who_asks_anew_has_another_key)
{
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_span key = key_of(p);
    expect_err("flags", mkt_flags_parse(&p->policy.flags, "EFGHIJLNO"), MKT_OK);
    p->bob.player.n_random = p->bob.player.next_random = 0;
    player_random(&p->bob.player, text("CSBIthis is RANDRr and has as many too."));
    p->bob.player.n_random = 36;
    player_random(&p->bob.player, key);
    p->bob.moves = true;
    resolving(p);
    ck_assert(holds(&p->bob, key));
    mkt_csb_abandon(p->bob.csb);
    ck_assert(!holds(&p->bob, key));
    const struct mkt_span octets = stored(&p->bob);
    expect_err("none is stored", load_with(&p->bob, octets, 4, 0), MKT_OK);
    resolved_by(&p->kms, &p->bob);
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_TRANSFER_RESP));
    parties_free(p);
}
END_TEST

/* A Responder that asks again by a key that it shares with the KMS has no envelope key any more. */
START_TEST(who_asks_anew_can_share_a_key)
{
    static const uint8_t psk[33] = "That one is known to two parties";
    struct parties *p = signers(MKT_SUITE_256);
    const struct mkt_id name = mkt_id_bytes("some-key");
    expect_err("flags", mkt_flags_parse(&p->policy.flags, "EFGHIJLNO"), MKT_OK);
    p->bob.moves = true;
    resolving(p);
    p->bob.key.name = name;
    p->bob.key.psk = (struct mkt_span){psk, 32};
    p->kms.player.n_friends = 1;
    p->kms.player.friend[0] = (struct friend){name, p->bob.settings.self, p->bob.key.psk, false};
    resolved_by(&p->kms, &p->bob);
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_TRANSFER_RESP));
    parties_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("public_key");
    TCase *tcase = tcase_create("public_key");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, a_message_has_the_payloads_of_its_variant, 0, 8);
    tcase_add_test(tcase, measuring_signs_and_opens_nothing);
    tcase_add_test(tcase, the_envelope_key_does_not_stay);
    tcase_add_loop_test(tcase, every_bit_is_signed, 0, 2);
    tcase_add_test(tcase, an_envelope_that_does_not_open_is_answered);
    tcase_add_test(tcase, the_key_of_such_an_answer_is_random);
    tcase_add_loop_test(tcase, a_fault_is_refused, 0, 4 * FAULTS);
    tcase_add_test(tcase, without_public_keys_they_are_unknown_types);
    tcase_add_test(tcase, a_replay_is_refused);
    tcase_add_loop_test(tcase, identities_and_certificates_may_be_left_out, 0, 8);
    tcase_add_test(tcase, nobody_asks_for_another);
    tcase_add_loop_test(tcase, a_kms_asks_for_its_user, 0, 4);
    tcase_add_test(tcase, a_kms_gets_no_tickets_for_its_users);
    tcase_add_loop_test(tcase, variants_mix, 0, 4);
    tcase_add_test(tcase, a_kms_signs_its_error_messages);
    tcase_add_test(tcase, other_error_messages_are_not_signed);
    tcase_add_test(tcase, an_error_message_about_a_forgery_verifies_nothing);
    tcase_add_test(tcase, about_an_answer_a_mac_is_made);
    tcase_add_test(tcase, the_wrong_proof_is_none);
    tcase_add_test(tcase, settings_are_checked);
    tcase_add_test(tcase, a_callback_may_fail);
    tcase_add_test(tcase, what_a_callback_gives_has_its_length);
    tcase_add_test(tcase, a_bundle_may_be_too_small);
    tcase_add_test(tcase, a_large_bundle_has_room_for_four_large_certificates);
    tcase_add_test(tcase, an_answer_has_a_key);
    tcase_add_test(tcase, a_stored_envelope_key_belongs_to_its_message);
    tcase_add_test(tcase, a_stored_psk_belongs_to_its_message);
    tcase_add_test(tcase, a_kms_needs_its_keys_to_answer);
    tcase_add_test(tcase, who_asks_anew_has_another_key);
    tcase_add_test(tcase, who_asks_anew_can_share_a_key);
    tcase_add_test(tcase, a_kms_names_its_user);
    tcase_add_test(tcase, somebody_signs);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
