/* SPDX-License-Identifier: BSD-3-Clause */
/* request: the Ticket Request exchange (RFC 6043 4.2.1) between an Initiator and its KMS. */
#include "parties.h"

#include "request.h"
#include "ticket.h"

#include <mikeyticket/replay.h>

#include <stdlib.h>
#include <string.h>

/* Both have begun. */
static struct parties *set_up(enum mkt_suite suite, const char *flags)
{
    struct parties *p = parties_new(suite, flags);
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    return p;
}

/* Somebody who has Alice's key: as Alice, and as the KMS that answers her. */
static struct forger as_alice(const struct parties *p)
{
    return (struct forger){.suite = p->suite,
                           .key = p->alice.key.psk,
                           .who = p->alice.settings.self.data,
                           .to = p->kms.settings.self.data};
}

static struct forger as_kms(const struct parties *p, struct mkt_span init)
{
    return (struct forger){.suite = p->suite, .key = p->alice.key.psk, .init = init};
}

static struct mkt_span asked(struct parties *p)
{
    return request_init(&p->alice, &p->request);
}

/* The ticket that Alice was granted, and its policy. */
static struct mkt_policy granted_policy(struct parties *p)
{
    struct mkt_policy policy;
    mkt_ticket_free(p->ticket);
    expect_err("ticket", mkt_csb_take_ticket(p->alice.csb, &p->ticket), MKT_OK);
    expect_err("policy", mkt_ticket_policy(p->ticket, &policy), MKT_OK);
    return policy;
}

/* What a KMS is asked for; `keys` has room for MKT_MAX_KEYS. */
static enum mkt_err read_request(const struct mkt_csb *csb, struct mkt_policy *policy, struct mkt_key_wish keys[],
                                 size_t *n)
{
    struct mkt_key_wish key = {.size = sizeof key};
    enum mkt_err err = mkt_csb_requested(csb, policy);
    *n = 0;
    while (err == MKT_OK && (err = mkt_csb_requested_key(csb, *n, &key)) == MKT_OK) {
        ck_assert_uint_lt(*n, MKT_MAX_KEYS);
        ck_assert_uint_eq(key.size, sizeof key);
        keys[(*n)++] = key;
    }
    return err == MKT_E_NO_SESSION ? MKT_OK : err;
}

/*
 * 5.1.2: the keys of a REQUEST_RESP come from its REQUEST_INIT, and T is all that tells the IVs of two answers apart.
 * So a KMS answers each question once, and there is none without a replay cache.
 */
START_TEST(a_kms_answers_a_question_once)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_csb *second = NULL;
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    request_resp(&p->kms, &p->recipe);
    expect_err("again", mkt_csb_take(p->kms.csb, init), MKT_E_REPLAY);
    expect_err("another bundle", mkt_csb_new(&second, MKT_KMS, &p->kms.player.host, &p->kms.settings), MKT_OK);
    expect_err("again", mkt_csb_take(second, init), MKT_E_REPLAY);
    mkt_csb_free(second);

    p->kms.player.host.replay = NULL;
    expect_err("no cache", mkt_csb_new(&second, MKT_KMS, &p->kms.player.host, &p->kms.settings), MKT_E_ARGUMENT);
    ck_assert_ptr_null(second);
    uint64_t memory[1024];
    struct mkt_replay cache;
    expect_err("cache", mkt_replay_new(&cache, memory, sizeof memory), MKT_OK);
    p->kms.player.host.cache = &cache;
    expect_err("the library's own", mkt_csb_new(&second, MKT_KMS, &p->kms.player.host, &p->kms.settings), MKT_OK);
    mkt_csb_free(second);
    parties_free(p);
}
END_TEST

/* ---- 4.2.1.1 to 4.2.1.5: the messages ---- */

/* "HDR, T, RANDRi, [IDRi], [IDRkms], TP, [IDRpsk], V" and "HDR, T, [IDRkms], TICKET, KEMAC, V" */
START_TEST(both_messages)
{
    static const unsigned init_types[] = {MKT_T, MKT_RANDR, MKT_IDR, MKT_IDR, MKT_TP, MKT_IDR, MKT_V},
                          resp_types[] = {MKT_T, MKT_IDR, MKT_TICKET, MKT_KEMAC, MKT_V};
    const enum mkt_suite suite = _i == 0 ? MKT_SUITE_256 : MKT_SUITE_128;
    const size_t length = _i == 0 ? 32 : 16;
    struct parties *p = set_up(suite, "DEFGHIJKNO");
    const struct mkt_span init = asked(p);
    const struct mkt_message m = decoded(init);
    expect_payloads(&m, init_types, 7);
    ck_assert_uint_eq(m.hdr.v, 1);
    ck_assert_uint_eq(m.hdr.n_cs, 0);
    ck_assert_uint_eq(m.hdr.map_type, MKT_MAP_EMPTY);
    ck_assert_uint_eq(m.hdr.prf, p->policy.prf);
    ck_assert_uint_eq(m.payload[0].t.value, p->alice.player.now);
    ck_assert_uint_eq(payload_of(init, MKT_RANDR, MKT_RANDR_I).rand.rand.n, length);
    expect_octets("IDRi", payload_of(init, MKT_IDR, MKT_IDR_I).id.data, p->alice.settings.self.data);
    expect_octets("IDRkms", payload_of(init, MKT_IDR, MKT_IDR_KMS).id.data, p->kms.settings.self.data);
    expect_octets("IDRpsk", payload_of(init, MKT_IDR, MKT_IDR_PSK).id.data, p->alice.key.name.data);
    /* 6.10: of K "In the TP payload, it SHALL be set to '0' by the Initiator" */
    ck_assert_uint_eq(payload_of(init, MKT_TP, 0).ticket.flags, p->policy.flags & (uint16_t)~MKT_FLAG_K);

    p->kms.player.now = ntp(NOW + 5);
    take(&p->kms, "REQUEST_INIT", init);
    expect_octets("who asks", mkt_csb_peer(p->kms.csb).data, p->alice.settings.self.data);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    const struct mkt_message r = decoded(resp);
    expect_payloads(&r, resp_types, 5);
    ck_assert_uint_eq(r.hdr.v, 0);
    ck_assert_uint_eq(r.hdr.n_cs, 0);
    ck_assert_uint_eq(r.hdr.map_type, MKT_MAP_EMPTY);
    ck_assert_uint_eq(r.hdr.prf, m.hdr.prf);
    ck_assert_uint_eq(r.hdr.csb_id, m.hdr.csb_id);
    ck_assert_uint_eq(r.payload[0].t.value, ntp(NOW + 5)); /* "the KMS SHALL generate a fresh timestamp value" */
    expect_octets("IDRkms", payload_of(resp, MKT_IDR, MKT_IDR_KMS).id.data, p->kms.settings.self.data);
    ck_assert_uint_eq(payload_of(resp, MKT_TICKET, 0).ticket.initiator_data.n, 0);
    ck_assert_uint_eq(payload_of(resp, MKT_KEMAC, 0).kemac.mac_alg, MKT_MAC_NULL);
    take(&p->alice, "REQUEST_RESP", resp);
    parties_free(p);
}
END_TEST

/* "KEMAC = E(encr_key, MPKi || [MPKr] || {TEK|TGK|GTGK})", and no key is seen on the wire. */
START_TEST(keys_of_the_answer)
{
    const bool forked = _i == 1;
    struct parties *p = set_up(MKT_SUITE_256, forked ? "DEFGHIJNO" : "DEFGHJNO");
    struct mkt_key_data key;
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    take(&p->alice, "REQUEST_RESP", resp);
    const struct mkt_policy policy = granted_policy(p);
    ck_assert_uint_eq(policy.flags, p->policy.flags);
    const struct mkt_span keys = p->ticket->keys;
    size_t n = 0;
    for (struct mkt_keys list = mkt_keys_of(keys); mkt_keys_next(&list, &key); n++) {
        ck_assert_uint_eq(key.type, n <= (size_t)forked ? MKT_KEY_MPK : MKT_KEY_TGK);
        for (size_t i = 0; i + key.key.n <= resp.n; i++)
            ck_assert(memcmp(resp.p + i, key.key.p, key.key.n) != 0);
    }
    ck_assert_uint_eq(n, forked ? 3 : 2);
    const struct mkt_message m = decoded(resp);
    const struct forger kms = as_kms(p, init);
    expect_octets("KEMAC", crypted(&m, &kms, payload_of(resp, MKT_KEMAC, 0).kemac.encr_data), keys);
    parties_free(p);
}
END_TEST

/* ---- 6.10: what is asked for is granted ---- */

/* A whole policy, whatever it has; the key wishes are in `wishes`. */
static void ask_for_much(struct parties *p)
{
    p->policy.has_start = p->policy.has_end = p->policy.has_rekeying = true;
    p->policy.start = ntp(NOW + 100);
    p->policy.end = ntp(NOW + 200);
    p->policy.rekeying = ntp(60);
    p->policy.application[p->policy.n_applications++] = text("msrp");
    p->policy.application[p->policy.n_applications++] = text("bfcp");
    p->policy.responder[p->policy.n_responders++] = mkt_id_uri("sip:carol@example.com");
    p->policy.responder[p->policy.n_responders++] = mkt_id_bytes("a group");
}

START_TEST(granted_as_asked)
{
    static const struct mkt_key_wish lists[][3] = {
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}},
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK, .length = 48},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK, .length = 16}},
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK_SALT, .salt_length = 12},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK_SALT, .length = 64, .salt_length = 3}},
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 16},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 255},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}},
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}}, /* asked for nothing: "a single TGK" */
    };
    static const size_t n[] = {1, 3, 2, 3, 1};
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJLMNO");
    struct mkt_key_wish read[MKT_MAX_KEYS];
    struct mkt_policy policy;
    size_t n_read = 0;
    p->alice.moves = p->kms.moves = true;
    ask_for_much(p);
    p->request.keys = lists[_i];
    p->request.n_keys = _i < 4 ? n[_i] : 0;
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    expect_err("what is asked for", read_request(p->kms.csb, &policy, read, &n_read), MKT_OK);
    ck_assert_uint_eq(n_read, n[_i]);
    ck_assert(!policy.has_kemac && policy.flags == p->policy.flags);
    ck_assert(mkt_policy_same(&policy, &p->policy));
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));

    policy = granted_policy(p);
    ck_assert(!policy.has_kemac && policy.flags == p->policy.flags); /* no K */
    ck_assert(mkt_policy_same(&policy, &p->policy));
    for (size_t i = 0; i < n[_i]; i++) {
        const struct mkt_key_wish *wish = &lists[_i][i];
        struct mkt_key_data key = {0};
        ck_assert(mkt_keys_session(p->ticket->keys, i, &key));
        const bool salt = key.type == MKT_KEY_TGK_SALT || key.type == MKT_KEY_TEK_SALT || key.type == MKT_KEY_GTGK_SALT;
        ck_assert_uint_eq(key.type, wish->type);
        ck_assert_uint_eq(key.key.n, wish->length > 0 ? wish->length : 32);
        ck_assert_uint_eq(key.salt.n, !salt ? 0 : wish->salt_length > 0 ? wish->salt_length : 14);
    }
    struct mkt_key_data key;
    ck_assert(!mkt_keys_session(p->ticket->keys, n[_i], &key));
    parties_free(p);
}
END_TEST

/* "KEMAC = {TEK|TGK|GTGK}", NULL encryption and NULL MAC; "The Key Data fields SHALL be set to '0'" */
START_TEST(wishes_on_the_wire)
{
    static const uint8_t zeros[32] = {0};
    static const uint8_t secret[32] = "a key that nobody is told about";
    const struct mkt_key_wish wishes[] = {
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT, .key = {secret, 32}, .salt = {secret, 14}},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK, .length = 20},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK_SALT}};
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    struct mkt_policy policy;
    p->request.keys = wishes;
    p->request.n_keys = 3;
    const struct mkt_payload tp = payload_of(asked(p), MKT_TP, 0);
    expect_err("TP", mkt_policy_decode(&policy, &tp.ticket), MKT_OK); /* which refuses other algorithms */
    ck_assert(policy.has_kemac);
    struct mkt_keys keys = mkt_keys_of(policy.kemac);
    struct mkt_key_data key = {0};
    ck_assert(mkt_keys_next(&keys, &key));
    ck_assert_uint_eq(key.type, MKT_KEY_TGK_SALT);
    expect_octets("key", key.key, (struct mkt_span){zeros, 32});
    expect_octets("salt", key.salt, (struct mkt_span){zeros, 14});
    ck_assert(mkt_keys_next(&keys, &key));
    ck_assert_uint_eq(key.type, MKT_KEY_TEK);
    expect_octets("key", key.key, (struct mkt_span){zeros, 20});
    ck_assert(mkt_keys_next(&keys, &key));
    ck_assert_uint_eq(key.type, MKT_KEY_GTGK_SALT);
    expect_octets("salt", key.salt, (struct mkt_span){zeros, 14});
    ck_assert(!mkt_keys_next(&keys, &key));
    parties_free(p);
}
END_TEST

/* The TICKET and KEMAC of an answer are those of another ticket. */
static struct mkt_span with_ticket(const struct parties *p, struct mkt_span init, struct mkt_span resp,
                                   const struct mkt_ticket *ticket)
{
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    struct mkt_payload payload;
    expect_err("ticket", mkt_ticket_payload_of(ticket->payload, &payload, NULL), MKT_OK);
    find(&m, MKT_TICKET, 0)->ticket = payload.ticket;
    find(&m, MKT_KEMAC, 0)->kemac.encr_data = crypted(&m, &kms, ticket->keys);
    return forged(&m, &kms);
}

/* ---- D30: Key Validity of the keys that are asked for ---- */

static struct mkt_kv spi_of(const char *octets)
{
    return (struct mkt_kv){.type = MKT_KV_SPI, .spi = text(octets)};
}

static void expect_kv(const struct mkt_kv *got, const struct mkt_kv *want)
{
    ck_assert_uint_eq(got->type, want->type);
    if (want->type != MKT_KV_NULL)
        expect_octets("SPI, or Valid From", got->from, want->from);
    if (want->type == MKT_KV_INTERVAL)
        expect_octets("Valid To", got->to, want->to);
}

static struct mkt_span desired_kemac(struct mkt_span init)
{
    struct mkt_policy policy;
    const struct mkt_payload tp = payload_of(init, MKT_TP, 0);
    expect_err("TP", mkt_policy_decode(&policy, &tp.ticket), MKT_OK);
    ck_assert(policy.has_kemac);
    return policy.kemac;
}

/* RFC 3830 6.14, all that it can say, as the Initiator said it: on the wire, and as the KMS reads it. */
START_TEST(key_validity_that_is_asked_for)
{
    static const uint8_t long_spi[255] = {1, 2, 3};
    const struct mkt_key_wish wishes[] = {
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .kv = spi_of("1")},
        {.size = sizeof(struct mkt_key_wish),
         .type = MKT_KEY_TEK_SALT,
         .kv = {.type = MKT_KV_SPI, .spi = {long_spi, sizeof long_spi}}},
        {.size = sizeof(struct mkt_key_wish),
         .type = MKT_KEY_GTGK,
         .kv = {.type = MKT_KV_INTERVAL, .from = text("from"), .to = text("until")}},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .any_spi = true},
    };
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    struct mkt_key_wish read[MKT_MAX_KEYS];
    struct mkt_policy policy;
    struct mkt_key_data key;
    size_t n = 0;
    p->request.keys = wishes;
    p->request.n_keys = 4;
    const struct mkt_span init = asked(p);
    struct mkt_keys keys = mkt_keys_of(desired_kemac(init));
    for (size_t i = 0; i < 4; i++) {
        ck_assert(mkt_keys_next(&keys, &key));
        expect_kv(&key.kv, &wishes[i].kv);
    }
    take(&p->kms, "REQUEST_INIT", init);
    expect_err("what is asked for", read_request(p->kms.csb, &policy, read, &n), MKT_OK);
    ck_assert_uint_eq(n, 4);
    for (size_t i = 0; i < 4; i++) {
        expect_kv(&read[i].kv, &wishes[i].kv);
        ck_assert(read[i].any_spi == wishes[i].any_spi);
    }
    parties_free(p);
}
END_TEST

/* 6.2.1: "An SPI (or MKI) MUST be specified for each key": the library draws those that the caller does not give. */
START_TEST(spis_of_a_request_are_drawn)
{
    static const uint8_t drawn[] = "CSB.RANDRi with its thirty-two octetsgiveone.givetwo.";
    const struct mkt_key_wish wishes[] = {
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .kv = spi_of("give")}};
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    struct mkt_key_data key;
    p->request.keys = wishes;
    p->request.n_keys = 3;
    /* CSB ID, RANDRi, and the SPIs in their order; never one that a key is given */
    player_random(&p->alice.player, (struct mkt_span){drawn, 4});
    player_random(&p->alice.player, (struct mkt_span){drawn + 4, 32});
    player_random(&p->alice.player, text("giveone.giveone.two."));
    const struct mkt_span init = asked(p), kemac = desired_kemac(init);
    expect_octets("RANDRi", payload_of(init, MKT_RANDR, MKT_RANDR_I).rand.rand, (struct mkt_span){drawn + 4, 32});
    static const char *const spis[] = {"one.", "two.", "give"};
    for (size_t i = 0; i < 3; i++) {
        const struct mkt_kv want = spi_of(spis[i]);
        ck_assert(mkt_keys_session(kemac, i, &key));
        expect_kv(&key.kv, &want);
    }
    ck_assert_uint_eq(p->alice.player.next_random, p->alice.player.n_random);
    parties_free(p);
}
END_TEST

/* "a KMS keeps them": all but an interval, which no key of a ticket has (6.2.1), so that the KMS sets K. */
START_TEST(spis_that_are_granted)
{
    const struct mkt_key_wish wishes[] = {
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .kv = spi_of("2nd")},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK_SALT, .any_spi = true},
        {.size = sizeof(struct mkt_key_wish),
         .type = MKT_KEY_TGK,
         .kv = {.type = MKT_KV_INTERVAL, .from = text("from"), .to = text("until")}},
    };
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    struct mkt_key_data want, got;
    p->request.keys = wishes;
    p->request.n_keys = 3 + (size_t)_i;
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    ck_assert((granted_policy(p).flags & MKT_FLAG_K) == (_i == 1 ? MKT_FLAG_K : 0));
    for (size_t i = 0; i < 3 + (size_t)_i; i++) {
        ck_assert(mkt_keys_session(desired_kemac(init), i, &want));
        ck_assert(mkt_keys_session(p->ticket->keys, i, &got));
        ck_assert(got.kv.type == MKT_KV_SPI && got.kv.spi.n > 0);
        if (want.kv.type == MKT_KV_SPI)
            expect_kv(&got.kv, &want.kv);
    }
    parties_free(p);
}
END_TEST

/* Section 8: "a ticket without encoded session keys", by an empty KEMAC. Without KEMAC it is one TGK, as before. */
START_TEST(no_session_keys_are_asked_for)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJLMNO");
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct mkt_policy policy;
    struct mkt_key_data key;
    size_t n = 1;
    p->request.no_keys = true;
    p->request.n_keys = 0;
    p->alice.moves = p->kms.moves = true;
    const struct mkt_span init = asked(p);
    ck_assert_uint_eq(desired_kemac(init).n, 0);
    take(&p->kms, "REQUEST_INIT", init);
    expect_err("what is asked for", read_request(p->kms.csb, &policy, keys, &n), MKT_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert(!policy.has_kemac);
    if (_i == 1) { /* the KMS knows better */
        p->recipe.keys = &one_tgk;
        p->recipe.n_keys = 1;
    }
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    ck_assert((granted_policy(p).flags & MKT_FLAG_K) == (_i == 1 ? MKT_FLAG_K : 0));
    ck_assert(mkt_keys_session(p->ticket->keys, 0, &key) == (_i == 1));
    parties_free(p);
}
END_TEST

/* A KMS that gives a key where none is asked for, or none where one is, and has no K. */
START_TEST(session_keys_that_are_not_as_asked_for)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJLMNO");
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    p->request.no_keys = _i == 0;
    p->request.n_keys = _i == 0 ? 0 : 1;
    p->request.keys = p->recipe.keys = &one_tgk;
    p->recipe.n_keys = _i == 0 ? 1 : 0;
    p->recipe.policy = &p->policy;
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("without K", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_NOT_AS_ASKED);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    refused(&p->alice, "without K", with_ticket(p, init, resp, ticket), MKT_E_NOT_AS_ASKED);
    mkt_ticket_free(ticket);
    take(&p->alice, "K", resp);
    parties_free(p);
}
END_TEST

/* No two session keys of a ticket have one SPI (D24): so the KMS can't grant it, and answers with others or an
 * Error. */
START_TEST(one_spi_is_asked_for_twice)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    const struct forger alice = as_alice(p);
    struct mkt_message m = decoded(asked(p));
    struct mkt_policy policy = p->policy;
    struct mkt_ticket *ticket = NULL;
    uint8_t octets[256], room[1024];
    struct mkt_buf chain = {octets, sizeof octets, 0}, tp_data = {room, sizeof room, 0};
    struct mkt_payload list[2];
    for (size_t i = 0; i < 2; i++)
        list[i] = (struct mkt_payload){.type = MKT_KEY_DATA, .key_data = {.key = {NULL, 32}, .kv = spi_of("same")}};
    if (_i == 1)
        list[0].key_data.kv.spi = list[1].key_data.kv.spi = text("");
    expect_err("keys", mkt_payloads_encode(list, 2, &chain), MKT_OK);
    policy.has_kemac = true;
    policy.kemac = (struct mkt_span){octets, chain.n};
    expect_err("policy", mkt_policy_encode(&policy, &tp_data), MKT_OK);
    find(&m, MKT_TP, 0)->ticket.tp_data = (struct mkt_span){room, tp_data.n};
    take(&p->kms, "REQUEST_INIT", forged(&m, &alice));
    expect_err("as asked for", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_E_SPI);
    ck_assert_ptr_null(ticket);
    p->recipe.keys = &one_tgk;
    p->recipe.n_keys = 1;
    request_resp(&p->kms, &p->recipe);
    parties_free(p);
}
END_TEST

/*
 * A policy as bare as it may be: who asks "SHOULD be included in the granted Ticket Policy", and the KMS that answers
 * is one that can resolve the ticket. What the KMS completes in this way is no change.
 */
START_TEST(a_policy_that_names_neither_initiator_nor_kms)
{
    struct parties *p = set_up(MKT_SUITE_256, _i == 0 ? "DFGHJNO" : "FGHJLNO");
    struct mkt_policy policy;
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    size_t n;
    p->policy.initiator = p->policy.kms = (struct mkt_id){0};
    take(&p->kms, "REQUEST_INIT", asked(p));
    expect_err("what is asked for", read_request(p->kms.csb, &policy, keys, &n), MKT_OK);
    ck_assert(mkt_id_equal(&policy.initiator, &p->alice.settings.self));
    ck_assert(mkt_id_equal(&policy.kms, &p->kms.settings.self));
    ck_assert((policy.flags & MKT_FLAG_D) != 0 && (policy.flags & MKT_FLAG_K) == 0);
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    policy = granted_policy(p);
    ck_assert(mkt_id_equal(&policy.initiator, &p->alice.settings.self));
    ck_assert(mkt_id_equal(&policy.kms, &p->kms.settings.self));
    ck_assert_uint_eq(policy.flags, p->policy.flags | MKT_FLAG_D);
    parties_free(p);
}
END_TEST

/* The ticket is of the KMS: D, whoever made the policy that it grants. */
START_TEST(a_granted_ticket_is_of_the_kms)
{
    struct parties *p = set_up(MKT_SUITE_256, "FGHJLNO");
    p->recipe.policy = &p->policy;
    take(&p->kms, "REQUEST_INIT", asked(p));
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    ck_assert_uint_eq(granted_policy(p).flags, p->policy.flags | MKT_FLAG_D);
    parties_free(p);
}
END_TEST

/* 6.10: K is "ignored by the KMS", though it would contradict the other flags. */
START_TEST(k_in_what_is_asked_for)
{
    struct parties *p = set_up(MKT_SUITE_256, "FGHJLNO");
    const struct forger alice = as_alice(p);
    struct mkt_message m = decoded(asked(p));
    struct mkt_policy policy;
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    size_t n;
    find(&m, MKT_TP, 0)->ticket.flags |= MKT_FLAG_K;
    take(&p->kms, "K", forged(&m, &alice));
    expect_err("what is asked for", read_request(p->kms.csb, &policy, keys, &n), MKT_OK);
    ck_assert_uint_eq(policy.flags, p->policy.flags | MKT_FLAG_D);
    parties_free(p);
}
END_TEST

/* ---- K: what the KMS changes ---- */

enum { CHANGES = 18, KEY_CHANGES = 9 };

static const struct mkt_key_wish two_keys[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK_SALT}};

/* What a KMS may make of a desired policy and keys, one by one. */
static void change(int which, struct mkt_policy *policy, struct mkt_key_wish keys[], size_t *n)
{
    struct mkt_kv swapped;
    switch (which) {
    case 0:
        policy->end = ntp(NOW + 150);
        break;
    case 1:
        policy->start = ntp(NOW + 101);
        break;
    case 2:
        policy->rekeying = ntp(59);
        break;
    case 3:
        policy->has_end = false;
        break;
    case 4:
        policy->has_start = false;
        break;
    case 5:
        policy->has_rekeying = false;
        break;
    case 6:
        policy->n_responders--;
        break;
    case 7:
        policy->responder[policy->n_responders++] = mkt_id_uri("sip:mallory@example.com");
        break;
    case 8:
        policy->responder[0] = mkt_id_uri("sip:mallory@example.com");
        break;
    case 9:
        policy->n_applications = 0;
        break;
    case 10:
        policy->application[0] = text("voice");
        break;
    case 11:
        policy->flags &= (uint16_t)~MKT_FLAG_J;
        break;
    case 12:
        policy->flags |= MKT_FLAG_E;
        break;
    case 13:
        policy->kms = mkt_id_uri("sip:kms@example.org");
        break;
    case 14:
        policy->application[policy->n_applications++] = text("voice");
        break;
    case 15:
        policy->responder[0].type = MKT_ID_NAI;
        break;
    case 16:
        policy->kms = (struct mkt_id){0};
        break;
    case 17:
        policy->flags &= (uint16_t)~MKT_FLAG_M;
        break;
    case CHANGES:
        *n = 1;
        break;
    case CHANGES + 1:
        keys[0].type = MKT_KEY_TEK;
        break;
    case CHANGES + 2:
        keys[0].length = 33;
        break;
    case CHANGES + 3:
        keys[1].salt_length = 13;
        break;
    case CHANGES + 4:
        keys[(*n)++] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK};
        break;
    case CHANGES + 5:
        *n = 0;
        break;
    case CHANGES + 6:
        keys[0].kv = spi_of("another");
        break;
    case CHANGES + 7:
        keys[1].kv.type = MKT_KV_NULL; /* the KMS draws it */
        break;
    case CHANGES + 8:
        swapped = keys[0].kv;
        keys[0].kv = keys[1].kv;
        keys[1].kv = swapped;
        break;
    }
}

/* Alice asks for much, and the KMS is about to grant what it changed. */
static struct mkt_span ask_and_change(struct parties *p, int which, struct mkt_policy *policy,
                                      struct mkt_key_wish keys[MKT_MAX_KEYS])
{
    ask_for_much(p);
    p->request.keys = two_keys;
    p->request.n_keys = 2;
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    expect_err("what is asked for", read_request(p->kms.csb, policy, keys, &p->recipe.n_keys), MKT_OK);
    ck_assert_uint_eq(p->recipe.n_keys, 2);
    change(which, policy, keys, &p->recipe.n_keys);
    p->recipe.policy = policy;
    p->recipe.keys = keys;
    return init;
}

START_TEST(the_kms_tells_what_it_changed)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJLMNO");
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct mkt_policy policy;
    uint8_t octets[1024];
    struct mkt_buf tp_data = {octets, sizeof octets, 0};
    ask_and_change(p, _i, &policy, keys);
    expect_err("policy", mkt_policy_encode(&policy, &tp_data), MKT_OK);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    p->alice.player.fail = MKT_E_DENIED; /* 4.2.1.6: "If not, the Initiator SHALL discard" */
    refused(&p->alice, "not acceptable", resp, MKT_E_DENIED);
    ck_assert_int_eq(p->alice.asked_role, MKT_KMS);
    ck_assert(p->alice.asked_proven);
    expect_octets("who", p->alice.asked_id.data, p->kms.settings.self.data);
    ck_assert_uint_ne(p->alice.asked_flags & MKT_FLAG_K, 0);
    expect_err("none granted", mkt_csb_take_ticket(p->alice.csb, &p->ticket), MKT_E_STATE);
    p->alice.player.fail = MKT_OK;
    take(&p->alice, "acceptable", resp);
    ck_assert_uint_eq(granted_policy(p).flags, policy.flags | MKT_FLAG_K);
    expect_octets("policy", payload_of(resp, MKT_TICKET, 0).ticket.tp_data, (struct mkt_span){octets, tp_data.n});
    parties_free(p);
}
END_TEST

START_TEST(a_change_that_the_kms_does_not_tell)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJLMNO");
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct mkt_policy policy;
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    const struct mkt_span init = ask_and_change(p, _i, &policy, keys), before = stored(&p->kms);
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("by mistake", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_NOT_AS_ASKED);
    expect_octets("as it was", stored(&p->kms), before);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    refused(&p->alice, "by a KMS that does not look", with_ticket(p, init, resp, ticket), MKT_E_NOT_AS_ASKED);
    mkt_ticket_free(ticket);
    take(&p->alice, "one that tells", resp);
    parties_free(p);
}
END_TEST

/* The order in which a policy names people and applications says nothing. */
START_TEST(another_order_is_no_change)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJLMNO");
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct mkt_policy policy;
    ask_and_change(p, CHANGES + KEY_CHANGES, &policy, keys);
    const struct mkt_id first = policy.responder[0];
    const struct mkt_span application = policy.application[0];
    policy.responder[0] = policy.responder[2];
    policy.responder[2] = first;
    policy.application[0] = policy.application[1];
    policy.application[1] = application;
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    ck_assert_uint_eq(granted_policy(p).flags & MKT_FLAG_K, 0);
    parties_free(p);
}
END_TEST

/* K where nothing was changed is no lie that hurts: the Initiator sees both. */
START_TEST(a_k_too_many)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJLMNO");
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy policy = p->policy;
    struct mkt_buf measured = {NULL, 0, 0};
    policy.flags |= MKT_FLAG_K;
    p->recipe.policy = &policy;
    p->recipe.keys = &one_tgk;
    p->recipe.n_keys = 1;
    take(&p->kms, "REQUEST_INIT", asked(p));
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("answer", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_OK);
    mkt_ticket_free(ticket);
    take(&p->alice, "grant takes it away", request_resp(&p->kms, &p->recipe));
    ck_assert_uint_eq(granted_policy(p).flags, p->policy.flags);
    parties_free(p);
}
END_TEST

/* D says who made a ticket: one that a KMS grants has it, whatever was asked for (D24). */
START_TEST(a_ticket_that_the_kms_did_not_make)
{
    struct parties *p = set_up(MKT_SUITE_256, "FGHJLNO");
    struct mkt_policy policy = p->policy;
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span before = stored(&p->kms);
    p->recipe.policy = &policy;
    p->recipe.keys = &one_tgk;
    p->recipe.n_keys = 1;
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("by mistake", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_FLAGS);
    mkt_ticket_free(ticket);
    policy.prf = MKT_PRF_MIKEY_1;
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("of the other suite, too", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_PRF);
    mkt_ticket_free(ticket);
    policy.prf = p->policy.prf;
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_octets("as it was", stored(&p->kms), before);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    refused(&p->alice, "by a KMS that does not look", with_ticket(p, init, resp, ticket), MKT_E_FLAGS);
    mkt_ticket_free(ticket);
    take(&p->alice, "one that was granted", resp);
    ck_assert_uint_eq(granted_policy(p).flags, p->policy.flags | MKT_FLAG_D);
    parties_free(p);
}
END_TEST

/* ---- who is who ---- */

static enum mkt_err alice_by_her_address(void *user, const struct mkt_id *name, const struct mkt_id *id,
                                         struct mkt_psk *psk)
{
    const struct friend *alice = &((struct player *)user)->friend[0];
    ck_assert(name == NULL && id == NULL);
    memcpy(psk->key.p, alice->psk.p, alice->psk.n);
    psk->key.n = alice->psk.n;
    psk->owner = alice->id;
    return MKT_OK;
}

/* Bit 0: no IDRi and IDRkms; bit 1: no IDRpsk; bit 2: no IDRkms in the answer. */
START_TEST(identities_left_out)
{
    const bool no_names = (_i & 1) != 0, no_psk = (_i & 2) != 0;
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    p->alice.settings.leave_out_identities = no_names;
    p->kms.settings.leave_out_identities = (_i & 4) != 0;
    if (no_psk)
        p->alice.key.name = (struct mkt_id){0};
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span init = asked(p);
    const struct mkt_message m = decoded(init);
    ck_assert((mkt_message_find(&m, MKT_IDR, MKT_IDR_I) == NULL) == no_names);
    ck_assert((mkt_message_find(&m, MKT_IDR, MKT_IDR_KMS) == NULL) == no_names);
    ck_assert((mkt_message_find(&m, MKT_IDR, MKT_IDR_PSK) == NULL) == no_psk);
    if (no_names && no_psk) {
        refused(&p->kms, "who may that be?", init, MKT_E_NO_KEY);
        p->kms.player.host.psk = alice_by_her_address; /* "MAY be omitted if the KMS can find [it] by other means" */
    }
    take(&p->kms, "REQUEST_INIT", init);
    expect_octets("who asks", mkt_csb_peer(p->kms.csb).data, p->alice.settings.self.data);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    const struct mkt_message r = decoded(resp);
    ck_assert((mkt_message_find(&r, MKT_IDR, MKT_IDR_KMS) == NULL) == ((_i & 4) != 0));
    take(&p->alice, "REQUEST_RESP", resp);
    parties_free(p);
}
END_TEST

START_TEST(a_request_for_another_kms)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    p->alice.key.kms = p->kms_r.settings.self;
    p->alice.settings.leave_out_identities = _i == 1;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    /* Identity_kms is covered by the MAC even where it is left out. */
    refused(&p->kms, "another KMS", asked(p), _i == 0 ? MKT_E_KMS : MKT_E_MAC);
    parties_free(p);
}
END_TEST

/* The one KMS has the name of the other, another ID type, or none of both. */
START_TEST(an_answer_of_another_kms)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    struct mkt_payload *idrkms = find(&m, MKT_IDR, MKT_IDR_KMS);
    if (_i == 0)
        idrkms->id.data = p->kms_r.settings.self.data;
    else
        idrkms->id.type = MKT_ID_NAI;
    refused(&p->alice, "another KMS", forged(&m, &kms), MKT_E_KMS);
    take(&p->alice, "the right one", resp);
    parties_free(p);
}
END_TEST

START_TEST(keys_that_are_not_shared)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    struct friend *alice = &p->kms.player.friend[0];
    const struct friend was = *alice;
    alice->name = mkt_id_bytes("alice-old");
    refused(&p->kms, "unknown", init, MKT_E_NO_KEY);
    *alice = was;
    alice->psk = p->bob.key.psk;
    refused(&p->kms, "another", init, MKT_E_MAC);
    alice->psk.n = 15;
    refused(&p->kms, "too short", init, MKT_E_KEY_LENGTH);
    *alice = was;
    p->kms.player.host.psk = NULL;
    refused(&p->kms, "a KMS that has no keys", init, MKT_E_NO_KEY);
    p->kms.player.host.psk = p->alice.player.host.psk;
    take(&p->kms, "REQUEST_INIT", init);
    parties_free(p);
}
END_TEST

static enum mkt_err nobodys_key(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct friend *alice = &((struct player *)user)->friend[0];
    (void)name;
    (void)id;
    memcpy(psk->key.p, alice->psk.p, alice->psk.n);
    psk->key.n = alice->psk.n;
    return MKT_OK;
}

START_TEST(a_key_that_is_nobodys)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    p->alice.settings.leave_out_identities = _i == 1;
    p->kms.player.host.psk = nobodys_key;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    refused(&p->kms, "whose is it?", asked(p), MKT_E_NO_KEY);
    parties_free(p);
}
END_TEST

static enum mkt_err a_key_of_its_own(void *user, const struct mkt_id *name, const struct mkt_id *id,
                                     struct mkt_psk *psk)
{
    static uint8_t own[MKT_MAX_PSK + 1];
    const size_t given = ((struct player *)user)->counter;
    (void)name;
    (void)id;
    psk->key.p = given > MKT_MAX_PSK ? psk->key.p : own;
    psk->key.n = given;
    return MKT_OK;
}

START_TEST(a_host_that_gives_a_key_out_of_place)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    p->kms.player.host.psk = a_key_of_its_own;
    p->kms.player.counter = _i == 0 ? 32 : MKT_MAX_PSK + 1;
    refused(&p->kms, "out of place", asked(p), MKT_E_KEY_LENGTH);
    parties_free(p);
}
END_TEST

/* Nobody asks in the name of another, by whatever key. */
START_TEST(one_who_claims_to_be_another)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_settings settings = p->alice.settings;
    struct mkt_csb *csb = NULL;
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    settings.kms = &p->mallory.key;
    begin(&p->kms, MKT_KMS);
    expect_err("Mallory", mkt_csb_new(&csb, MKT_INITIATOR, &p->mallory.player.host, &settings), MKT_OK);
    expect_err("REQUEST_INIT", mkt_csb_make_request_init(csb, &p->request, &out), MKT_OK);
    refused(&p->kms, "IDRi", (struct mkt_span){octets, out.n}, MKT_E_INITIATOR);
    p->kms.player.friend[3].vouches = true; /* as a KMS does for Responders */
    refused(&p->kms, "IDRi", (struct mkt_span){octets, out.n}, MKT_E_INITIATOR);
    mkt_csb_free(csb);
    begin(&p->mallory, MKT_INITIATOR);
    refused(&p->kms, "IDRi of the policy", request_init(&p->mallory, &p->request), MKT_E_INITIATOR);
    p->policy.initiator = p->mallory.settings.self;
    p->kms.player.friend[3].vouches = false;
    begin(&p->mallory, MKT_INITIATOR);
    take(&p->kms, "in her own name", request_init(&p->mallory, &p->request));
    parties_free(p);
}
END_TEST

START_TEST(a_ticket_of_another_initiator)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJKNO");
    struct mkt_policy policy = p->policy;
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    policy.initiator = p->mallory.settings.self;
    policy.flags &= (uint16_t)~MKT_FLAG_K;
    p->recipe.policy = &policy;
    p->recipe.keys = &one_tgk;
    p->recipe.n_keys = 1;
    take(&p->kms, "REQUEST_INIT", asked(p));
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("not told", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_NOT_AS_ASKED);
    mkt_ticket_free(ticket);
    refused(&p->alice, "told", request_resp(&p->kms, &p->recipe), MKT_E_INITIATOR);
    parties_free(p);
}
END_TEST

START_TEST(an_initiator_that_the_kms_does_not_want)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    p->kms.player.fail = MKT_E_DENIED;
    refused(&p->kms, "denied", init, MKT_E_DENIED);
    ck_assert_int_eq(p->kms.asked_role, MKT_INITIATOR);
    ck_assert(p->kms.asked_proven);
    expect_octets("who", p->kms.asked_id.data, p->alice.settings.self.data);
    ck_assert_uint_eq(p->kms.asked_flags, p->policy.flags);
    p->kms.player.fail = MKT_OK;
    take(&p->kms, "allowed", init);
    parties_free(p);
}
END_TEST

/* The host is not asked about what nobody vouches for. */
START_TEST(the_host_is_not_asked_about_a_forged_request)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_message m = decoded(asked(p));
    const struct forger mallory = {.suite = MKT_SUITE_256,
                                   .key = p->mallory.key.psk,
                                   .who = p->alice.settings.self.data,
                                   .to = p->kms.settings.self.data};
    refused(&p->kms, "forged", forged(&m, &mallory), MKT_E_MAC);
    find(&m, MKT_T, 0)->t.value = ntp(NOW - 301);
    const struct forger alice = as_alice(p);
    refused(&p->kms, "old", forged(&m, &alice), MKT_E_STALE);
    ck_assert_uint_eq(p->kms.n_asked, 0);
    parties_free(p);
}
END_TEST

/* A MAC by the PRF of another suite proves nothing: the Error message has none. */
START_TEST(an_error_message_about_an_unknown_prf_has_no_mac)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_message m = decoded(asked(p));
    const struct forger alice = as_alice(p);
    uint8_t octets[256];
    struct mkt_buf error = {octets, sizeof octets, 0};
    m.hdr.prf = 7;
    const struct mkt_span init = forged(&m, &alice);
    refused(&p->kms, "PRF func", init, MKT_E_PRF);
    expect_err("error", mkt_csb_make_error(p->kms.csb, init, MKT_E_PRF, NULL, 0, &error), MKT_OK);
    m = decoded(mkt_buf_span(&error));
    ck_assert_ptr_null(mkt_message_find(&m, MKT_V, 0));
    parties_free(p);
}
END_TEST

/* ---- freshness ---- */

/* 12.1: "the sum of the lengths of RANDRi and RANDRr MUST at least be equal to the size of the longest pre-shared
 * key" */
START_TEST(a_rand_shorter_than_the_key)
{
    struct parties *p = set_up(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJNO");
    struct mkt_message m = decoded(asked(p));
    const struct forger alice = as_alice(p);
    struct mkt_payload *randi = find(&m, MKT_RANDR, MKT_RANDR_I);
    randi->rand.rand.n--;
    refused(&p->kms, "one octet less", forged(&m, &alice), MKT_E_RAND);
    struct mkt_message in_the_name_of_bob = m;
    struct mkt_policy policy = p->policy;
    uint8_t octets[1024];
    struct mkt_buf tp_data = {octets, sizeof octets, 0};
    policy.initiator = p->bob.settings.self;
    expect_err("policy", mkt_policy_encode(&policy, &tp_data), MKT_OK);
    find(&in_the_name_of_bob, MKT_TP, 0)->ticket.tp_data = (struct mkt_span){octets, tp_data.n};
    refused(&p->kms, "whoever the TP names", forged(&in_the_name_of_bob, &alice), MKT_E_RAND);
    randi->rand.rand.n = 0;
    refused(&p->kms, "none", forged(&m, &alice), MKT_E_RAND);
    randi->rand.rand.n = p->tpk.n;
    take(&p->kms, "long enough", forged(&m, &alice));
    parties_free(p);
}
END_TEST

START_TEST(long_keys_have_long_rands)
{
    static const uint8_t key[64] = "A pre-shared key may be longer than those of the suite: 64 oct.";
    struct parties *p = parties_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJNO");
    p->alice.key.psk = p->kms.player.friend[0].psk = (struct mkt_span){key, sizeof key};
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span init = asked(p);
    ck_assert_uint_eq(payload_of(init, MKT_RANDR, MKT_RANDR_I).rand.rand.n, 64);
    take(&p->kms, "REQUEST_INIT", init);
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    parties_free(p);
}
END_TEST

/* 12.1, D2: RANDs to a KMS are as long as the pre-shared key, and as those of the suite. */
START_TEST(rands_are_as_long_as_the_key_and_as_the_suite)
{
    static const uint8_t key[64] = "A pre-shared key may be longer than those of the suite: 64 oct.";
    static const size_t lengths[] = {16, 17, 31, 32, 33, 64};
    const enum mkt_suite suite = _i % 2 == 0 ? MKT_SUITE_256 : MKT_SUITE_128;
    const size_t n = lengths[_i / 2], least = suite == MKT_SUITE_256 ? 32 : 16;
    struct parties *p = parties_new(suite, "DEFGHIJNO");
    for (size_t i = 0; i < 2; i++)
        p->all[i].key.psk = p->kms.player.friend[i].psk = (struct mkt_span){key, n};
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span request = asked(p);
    ck_assert_uint_eq(payload_of(request, MKT_RANDR, MKT_RANDR_I).rand.rand.n, n > least ? n : least);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span resolve = resolve_init(&p->bob);
    ck_assert_uint_eq(payload_of(resolve, MKT_RANDR, MKT_RANDR_R).rand.rand.n, n > least ? n : least);
    take(&p->kms, "RESOLVE_INIT", resolve);
    parties_free(p);
}
END_TEST

/* A message whose MAC is wrong is nobody's, whatever else is wrong with it. */
START_TEST(a_request_with_a_wrong_mac)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    struct forger stranger = as_alice(p);
    struct mkt_message m = decoded(init);
    stranger.key = text("a key that the KMS does not know");
    refused(&p->kms, "another key", forged(&m, &stranger), MKT_E_MAC);
    find(&m, MKT_RANDR, MKT_RANDR_I)->rand.rand.n = 0;
    refused(&p->kms, "and no RANDRi", forged(&m, &stranger), MKT_E_MAC);
    m = decoded(init);
    find(&m, MKT_IDR, MKT_IDR_I)->id.data = p->mallory.settings.self.data;
    refused(&p->kms, "and another Initiator", forged(&m, &stranger), MKT_E_MAC);
    p->kms.player.now = ntp(NOW + 1000);
    refused(&p->kms, "and an old one", forged(&m, &stranger), MKT_E_MAC);
    parties_free(p);
}
END_TEST

/* IDRpsk is there if the key has a name, which may be short. */
START_TEST(a_key_has_a_name_or_none)
{
    static const char *const names[] = {"", "k", "a-key"};
    for (size_t i = 0; i < 3; i++) {
        struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
        p->alice.key.name = p->kms.player.friend[0].name = mkt_id_bytes(names[i]);
        begin(&p->alice, MKT_INITIATOR);
        begin(&p->kms, MKT_KMS);
        const struct mkt_span init = asked(p);
        const struct mkt_message m = decoded(init);
        ck_assert((mkt_message_find(&m, MKT_IDR, MKT_IDR_PSK) != NULL) == (i > 0));
        if (i > 0)
            expect_octets("IDRpsk", payload_of(init, MKT_IDR, MKT_IDR_PSK).id.data, text(names[i]));
        take(&p->kms, "REQUEST_INIT", init);
        take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
        parties_free(p);
    }
}
END_TEST

/* Each MPK counts among the keys of a ticket: two with key forking. */
START_TEST(as_many_wishes_as_there_is_room_for)
{
    const char *flags[] = {"DEFGHJNO", "DEFGHIJNO"};
    struct mkt_key_wish wishes[MKT_MAX_KEYS];
    uint8_t octets[8192];
    for (size_t i = 0; i < MKT_MAX_KEYS; i++)
        wishes[i] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 16};
    for (size_t forked = 0; forked < 2; forked++) {
        struct parties *p = parties_new(MKT_SUITE_256, flags[forked]);
        struct mkt_buf out = {octets, sizeof octets, 0};
        p->alice.settings.bundle_size = p->kms.settings.bundle_size = 16384;
        begin(&p->alice, MKT_INITIATOR);
        begin(&p->kms, MKT_KMS);
        p->request.keys = wishes;
        p->request.n_keys = MKT_MAX_KEYS - forked;
        expect_err("one too many", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_TOO_MANY);
        p->request.n_keys--;
        take(&p->kms, "REQUEST_INIT", asked(p));
        take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
        parties_free(p);
    }
}
END_TEST

/* The wishes of a REQUEST_INIT that another program made: up to 31, MPKs not counted. */
START_TEST(as_many_wishes_as_a_kms_reads)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DFGHJNO");
    const struct forger alice = as_alice(p);
    struct mkt_payload list[MKT_MAX_KEYS + 1];
    uint8_t octets[2048], room[4096];
    p->alice.settings.bundle_size = p->kms.settings.bundle_size = 16384;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span init = asked(p);
    for (size_t n = MKT_MAX_KEYS; n <= MKT_MAX_KEYS + 1; n++) {
        struct mkt_buf chain = {octets, sizeof octets, 0}, tp_data = {room, sizeof room, 0};
        struct mkt_message m = decoded(init);
        struct mkt_policy policy = p->policy;
        for (size_t i = 0; i < n; i++)
            list[i] = (struct mkt_payload){.type = MKT_KEY_DATA,
                                           .key_data = {.type = i == 0 ? MKT_KEY_MPK : MKT_KEY_TGK, .key = {NULL, 16}}};
        expect_err("keys", mkt_payloads_encode(list, n, &chain), MKT_OK);
        policy.has_kemac = true;
        policy.kemac = (struct mkt_span){octets, chain.n};
        expect_err("policy", mkt_policy_encode(&policy, &tp_data), MKT_OK);
        find(&m, MKT_TP, 0)->ticket.tp_data = (struct mkt_span){room, tp_data.n};
        if (n > MKT_MAX_KEYS) {
            begin(&p->kms, MKT_KMS);
            refused(&p->kms, "32", forged(&m, &alice), MKT_E_POLICY);
            continue;
        }
        struct mkt_key_wish wishes[MKT_MAX_KEYS];
        size_t n_wishes = 0;
        take(&p->kms, "31", forged(&m, &alice));
        expect_err("wishes", read_request(p->kms.csb, &policy, wishes, &n_wishes), MKT_OK);
        ck_assert_uint_eq(n_wishes, MKT_MAX_KEYS - 1);
        ck_assert(!policy.has_kemac && policy.kemac.p == NULL && policy.kemac.n == 0);
    }
    parties_free(p);
}
END_TEST

/* Who the Initiator is and who the KMS is may be left out of a desired policy, each by itself; what is said counts. */
START_TEST(identities_that_a_desired_policy_leaves_out)
{
    for (unsigned left_out = 0; left_out < 4; left_out++) {
        struct parties *p = parties_new(MKT_SUITE_256, "DEFGHJNO");
        struct mkt_policy granted = p->policy;
        if (left_out & 1)
            p->policy.initiator = (struct mkt_id){0};
        if (left_out & 2)
            p->policy.kms = (struct mkt_id){0};
        begin(&p->alice, MKT_INITIATOR);
        const struct mkt_span init = asked(p);
        expect_err("the same", mkt_request_check(init, &granted, &(struct mkt_granted){.n = 0}), MKT_OK);
        granted.initiator = p->mallory.settings.self;
        expect_err("Initiator", mkt_request_check(init, &granted, &(struct mkt_granted){.n = 0}),
                   left_out & 1 ? MKT_OK : MKT_E_NOT_AS_ASKED);
        granted.initiator = p->alice.settings.self;
        granted.kms = p->mallory.settings.self;
        expect_err("KMS", mkt_request_check(init, &granted, &(struct mkt_granted){.n = 0}),
                   left_out & 2 ? MKT_OK : MKT_E_NOT_AS_ASKED);
        begin(&p->kms, MKT_KMS);
        struct mkt_message m = decoded(init);
        const struct forger alice = as_alice(p);
        uint8_t room[1024];
        struct mkt_buf tp_data = {room, sizeof room, 0};
        p->policy.initiator = mkt_id_uri("x");
        expect_err("policy", mkt_policy_encode(&p->policy, &tp_data), MKT_OK);
        find(&m, MKT_TP, 0)->ticket.tp_data = (struct mkt_span){room, tp_data.n};
        refused(&p->kms, "another Initiator", forged(&m, &alice), MKT_E_INITIATOR);
        parties_free(p);
    }
}
END_TEST

/* What was granted before is in a ticket of its own: the bundle does not keep its keys while it asks for another
 * one. */
START_TEST(keys_of_a_ticket_before)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHJNO");
    struct mkt_key_data mpki;
    take(&p->kms, "first", asked(p));
    take(&p->alice, "first", request_resp(&p->kms, &p->recipe));
    granted_policy(p);
    ck_assert(mkt_keys_mpk(p->ticket->keys, 0, &mpki));
    ck_assert(holds(&p->alice, mpki.key));
    asked(p);
    ck_assert(!holds(&p->alice, mpki.key));
    parties_free(p);
}
END_TEST

START_TEST(clocks_that_differ)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    p->kms.player.now = ntp(NOW + 301);
    refused(&p->kms, "old", init, MKT_E_STALE);
    p->kms.player.now = ntp(NOW - 301);
    refused(&p->kms, "future", init, MKT_E_FUTURE);
    p->kms.player.now = ntp(NOW + 300);
    take(&p->kms, "within the skew", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    p->alice.player.now = ntp(NOW + 601);
    refused(&p->alice, "old", resp, MKT_E_STALE);
    p->alice.player.now = ntp(NOW - 1);
    refused(&p->alice, "future", resp, MKT_E_FUTURE);
    p->alice.player.now = ntp(NOW + 600);
    take(&p->alice, "within the skew", resp);
    parties_free(p);
}
END_TEST

START_TEST(a_replayed_request)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    if (_i == 1)
        all_count(p);
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    mkt_csb_abandon(p->kms.csb);
    refused(&p->kms, "again", init, MKT_E_REPLAY);
    begin(&p->kms, MKT_KMS);
    refused(&p->kms, "again, of another bundle", init, MKT_E_REPLAY);
    mkt_csb_abandon(p->alice.csb);
    take(&p->kms, "a new one", asked(p));
    parties_free(p);
}
END_TEST

START_TEST(counters_that_nobody_keeps)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0};
    all_count(p);
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span init = asked(p);
    p->kms.player.host.counter_check = NULL;
    refused(&p->kms, "COUNTER", init, MKT_E_COUNTER);
    p->kms.player.host.counter_check = p->alice.player.host.counter_check;
    take(&p->kms, "COUNTER", init);
    struct mkt_ticket *ticket = NULL;
    p->recipe.counter = false;
    expect_err("grant", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_OK);
    p->kms.player.host.counter_next = NULL;
    expect_err("no counter", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_COUNTER);
    mkt_ticket_free(ticket);
    p->kms.player.host.counter_next = p->alice.player.host.counter_next;
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    p->alice.player.host.counter_check = NULL;
    refused(&p->alice, "COUNTER", resp, MKT_E_COUNTER);
    parties_free(p);
}
END_TEST

/* Which request an answer is for: the CSB ID tells, then RANDRi, then the whole REQUEST_INIT. */
START_TEST(the_answer_to_another_request)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    take(&p->kms, "first", asked(p));
    const struct mkt_span first = request_resp(&p->kms, &p->recipe);
    const size_t drawn = p->alice.player.next_random;
    mkt_csb_abandon(p->alice.csb);
    const struct mkt_span second = asked(p);
    refused(&p->alice, "another CSB ID", first, MKT_E_CSB_ID);

    p->alice.player.next_random = drawn;
    p->alice.player.now = ntp(NOW + 1); /* the same CSB ID and RANDRi at another time */
    begin(&p->alice, MKT_INITIATOR);
    const struct mkt_span third = asked(p);
    ck_assert(mkt_span_equal((struct mkt_span){second.p + 4, 4}, (struct mkt_span){third.p + 4, 4}));
    take(&p->kms, "second", second);
    refused(&p->alice, "another time", request_resp(&p->kms, &p->recipe), MKT_E_MAC);
    take(&p->kms, "third", third);
    take(&p->alice, "the right one", request_resp(&p->kms, &p->recipe));
    parties_free(p);
}
END_TEST

/* ---- shape, algorithms ---- */

/* All that both messages have; wishes too. */
static struct parties *set_up_whole(enum mkt_suite suite)
{
    struct parties *p = set_up(suite, "DEFGHIJLMNO");
    ask_for_much(p);
    p->request.keys = two_keys;
    p->request.n_keys = 2;
    return p;
}

START_TEST(every_bit_of_a_request_counts)
{
    struct parties *p = set_up_whole(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128);
    const struct mkt_span init = asked(p);
    every_bit_counts(&p->kms, "REQUEST_INIT", init);
    take(&p->kms, "REQUEST_INIT", init);
    parties_free(p);
}
END_TEST

START_TEST(every_bit_of_a_grant_counts)
{
    struct parties *p = set_up_whole(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128);
    take(&p->kms, "REQUEST_INIT", asked(p));
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    every_bit_counts(&p->alice, "REQUEST_RESP", resp);
    take(&p->alice, "REQUEST_RESP", resp);
    ck_assert_uint_eq(granted_policy(p).flags, p->policy.flags);
    parties_free(p);
}
END_TEST

START_TEST(algorithms_of_a_request)
{
    static const uint8_t octets[32] = {1};
    const bool suite128 = _i == 1;
    struct parties *p = set_up(suite128 ? MKT_SUITE_128 : MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_v null = {MKT_MAC_NULL, {NULL, 0}},
                       other = suite128 ? (struct mkt_v){MKT_MAC_HMAC_SHA_256_256, {octets, 32}}
                                        : (struct mkt_v){MKT_MAC_HMAC_SHA_1_160, {octets, 20}};
    struct mkt_message m = decoded(asked(p));
    const struct mkt_v ours = m.payload[m.n - 1].v;
    const uint16_t prf = m.hdr.prf;
    uint8_t out[2048];
    const struct {
        const char *what;
        uint16_t hdr, tp;
        struct mkt_v v;
        enum mkt_err err;
    } wrong[] = {
        {"NULL MAC", prf, prf, null, MKT_E_MAC_ALG},
        {"MAC of the other suite", prf, prf, other, MKT_E_MAC_ALG},
        {"PRF of the other suite", prf ^ 1, prf ^ 1, ours, MKT_E_MAC_ALG},
        {"ticket of the other suite", prf, prf ^ 1, ours, MKT_E_PRF},
        {"message of the other suite", prf ^ 1, prf, other, MKT_E_PRF},
        {"unknown PRF", 5, 5, ours, MKT_E_PRF},
        {"unknown PRF of the ticket", prf, 5, ours, MKT_E_PRF},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct mkt_buf buf = {out, sizeof out, 0};
        m.hdr.prf = wrong[i].hdr;
        find(&m, MKT_TP, 0)->ticket.prf = wrong[i].tp;
        m.payload[m.n - 1].v = wrong[i].v;
        expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
        refused(&p->kms, wrong[i].what, (struct mkt_span){out, buf.n}, wrong[i].err);
    }
    parties_free(p);
}
END_TEST

START_TEST(algorithms_of_a_grant)
{
    static const uint8_t octets[32] = {1};
    const bool suite128 = _i == 1;
    struct parties *p = set_up(suite128 ? MKT_SUITE_128 : MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_v null = {MKT_MAC_NULL, {NULL, 0}},
                       other = suite128 ? (struct mkt_v){MKT_MAC_HMAC_SHA_256_256, {octets, 32}}
                                        : (struct mkt_v){MKT_MAC_HMAC_SHA_1_160, {octets, 20}};
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    const struct mkt_message right = decoded(resp);
    const struct mkt_v ours = right.payload[right.n - 1].v;
    const uint8_t encr = suite128 ? MKT_ENCR_AES_CM_128 : MKT_ENCR_AES_CM_256,
                  other_encr = suite128 ? MKT_ENCR_AES_CM_256 : MKT_ENCR_AES_CM_128;
    const uint16_t prf = right.hdr.prf;
    uint8_t out[2048];
    const struct {
        const char *what;
        uint16_t hdr, ticket;
        struct mkt_v v;
        uint8_t encr;
        struct mkt_v of_kemac;
        enum mkt_err err;
    } wrong[] = {
        {"NULL MAC", prf, prf, null, encr, null, MKT_E_MAC_ALG},
        {"MAC of the other suite", prf, prf, other, encr, null, MKT_E_MAC_ALG},
        {"PRF of the other suite", prf ^ 1, prf, ours, encr, null, MKT_E_PRF},
        {"the other suite", prf ^ 1, prf ^ 1, other, other_encr, null, MKT_E_PRF},
        {"ticket of the other suite", prf, prf ^ 1, ours, encr, null, MKT_E_PRF},
        {"NULL encryption", prf, prf, ours, MKT_ENCR_NULL, null, MKT_E_ENCR_ALG},
        {"encryption of the other suite", prf, prf, ours, other_encr, null, MKT_E_ENCR_ALG},
        {"key wrap (D20)", prf, prf, ours, MKT_ENCR_AES_KW_128, null, MKT_E_ENCR_ALG},
        {"KEMAC with a MAC", prf, prf, ours, encr, ours, MKT_E_KEMAC_MAC},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct mkt_buf buf = {out, sizeof out, 0};
        struct mkt_message m = right;
        m.hdr.prf = wrong[i].hdr;
        find(&m, MKT_TICKET, 0)->ticket.prf = wrong[i].ticket;
        m.payload[m.n - 1].v = wrong[i].v;
        struct mkt_kemac *kemac = &find(&m, MKT_KEMAC, 0)->kemac;
        kemac->encr_alg = wrong[i].encr;
        kemac->mac_alg = wrong[i].of_kemac.mac_alg;
        kemac->mac = wrong[i].of_kemac.mac;
        expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
        refused(&p->alice, wrong[i].what, (struct mkt_span){out, buf.n}, wrong[i].err);
    }
    take(&p->alice, "the right one", resp);
    parties_free(p);
}
END_TEST

/* 12.1: the suites are never mixed, whoever wants to. */
START_TEST(a_ticket_of_the_other_suite)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJKNO");
    struct mkt_policy policy = p->policy;
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    policy.prf = MKT_PRF_MIKEY_1;
    p->recipe.policy = &policy;
    take(&p->kms, "REQUEST_INIT", asked(p));
    const struct mkt_span before = stored(&p->kms);
    expect_err("granted", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_E_PRF);
    ck_assert_ptr_null(ticket);
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("sent", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_PRF);
    expect_octets("as it was", stored(&p->kms), before);
    mkt_ticket_free(ticket);
    parties_free(p);
}
END_TEST

START_TEST(payloads_that_must_be_there)
{
    static const struct {
        unsigned type;
        uint8_t role;
    } needed[] = {{MKT_T, 0}, {MKT_RANDR, MKT_RANDR_I}, {MKT_TP, 0}},
      needed_resp[] = {{MKT_T, 0}, {MKT_TICKET, 0}, {MKT_KEMAC, 0}};
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    uint8_t out[2048];
    struct mkt_buf buf = {out, sizeof out, 0};
    for (size_t i = 0; i < 3; i++) {
        struct mkt_message m = decoded(init);
        left_out(&m, needed[i].type, needed[i].role);
        buf.n = 0;
        expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
        refused(&p->kms, "left out", (struct mkt_span){out, buf.n}, MKT_E_MISSING);
    }
    for (size_t i = 0; i < 6; i++) { /* all but V, which is last */
        struct mkt_message m = decoded(init);
        put_in(&m, m.payload[i]);
        buf.n = 0;
        expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
        refused(&p->kms, "twice", (struct mkt_span){out, buf.n}, MKT_E_TOO_MANY);
    }
    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    for (size_t i = 0; i < 3; i++) {
        struct mkt_message m = decoded(resp);
        left_out(&m, needed_resp[i].type, needed_resp[i].role);
        buf.n = 0;
        expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
        refused(&p->alice, "left out", (struct mkt_span){out, buf.n}, MKT_E_MISSING);
    }
    for (size_t i = 0; i < 4; i++) {
        struct mkt_message m = decoded(resp);
        put_in(&m, m.payload[i]);
        buf.n = 0;
        expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
        refused(&p->alice, "twice", (struct mkt_span){out, buf.n}, MKT_E_TOO_MANY);
    }
    take(&p->alice, "REQUEST_RESP", resp);
    parties_free(p);
}
END_TEST

/* "Unexpected payloads in the REQUEST_INIT message SHOULD be ignored", and so in the REQUEST_RESP. */
START_TEST(payloads_that_nobody_expects)
{
    const struct mkt_payload unexpected[] = {
        {.type = MKT_GENERAL_EXT, .general_ext = {MKT_EXT_VENDOR_ID, text("somebody")}},
        {.type = MKT_RANDR, .rand = {MKT_RANDR_KMS, text("not asked for")}},
        {.type = MKT_IDR, .id = {MKT_IDR_R, MKT_ID_URI, text("sip:mallory@example.com")}},
        {.type = MKT_KEMAC, .kemac = {.encr_alg = MKT_ENCR_NULL, .mac_alg = MKT_MAC_NULL}},
    };
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    struct mkt_message m = decoded(init);
    for (size_t i = 0; i < 4; i++)
        put_in(&m, unexpected[i]);
    const struct forger alice = as_alice(p);
    take(&p->kms, "more than expected", forged(&m, &alice));
    mkt_csb_abandon(p->kms.csb);
    take(&p->kms, "REQUEST_INIT", init);
    m = decoded(request_resp(&p->kms, &p->recipe));
    for (size_t i = 0; i < 3; i++)
        put_in(&m, unexpected[i]);
    const struct forger kms = as_kms(p, init);
    take(&p->alice, "more than expected", forged(&m, &kms));
    parties_free(p);
}
END_TEST

/* "the #CS MUST be set to '0' and the CS ID map type SHALL be the "Empty map"" */
START_TEST(a_request_with_crypto_sessions)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct forger alice = as_alice(p);
    const struct mkt_span init = asked(p);
    struct mkt_message m = decoded(init);
    m.hdr.map_type = MKT_MAP_GENERIC_ID;
    refused(&p->kms, "GENERIC-ID", forged(&m, &alice), MKT_E_BAD_MAP);
    m = decoded(init);
    m.hdr.v = 0; /* "SHALL be ignored by the KMS as a response is MANDATORY" */
    take(&p->kms, "V", forged(&m, &alice));
    parties_free(p);
}
END_TEST

/* ---- what a granted ticket must be like ---- */

/* Whatever of the ticket is wrong, Alice refuses it though its MAC is right, and takes the right one. */
static void refused_ticket(struct parties *p, struct mkt_span init, struct mkt_span resp, const char *what,
                           const struct mkt_policy *policy, struct mkt_span initiator_data, enum mkt_err err)
{
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    struct mkt_ticket_payload *ticket = &find(&m, MKT_TICKET, 0)->ticket;
    uint8_t octets[2048];
    struct mkt_buf tp_data = {octets, sizeof octets, 0};
    expect_err("policy", mkt_policy_encode(policy, &tp_data), MKT_OK);
    ticket->flags = policy->flags;
    ticket->type = policy->type;
    ticket->subtype = policy->subtype;
    ticket->version = policy->version;
    ticket->tp_data = (struct mkt_span){octets, tp_data.n};
    ticket->initiator_data = initiator_data;
    refused(&p->alice, what, forged(&m, &kms), err);
}

START_TEST(tickets_that_are_not_taken)
{
    static const uint8_t chain[] = {MKT_LAST, MKT_KEY_TGK << 4, 0, 0};
    const struct mkt_span none = {NULL, 0};
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    struct mkt_policy wrong = p->policy;
    refused_ticket(p, init, resp, "Initiator Data", &wrong, text("not hers"), MKT_E_INITIATOR_DATA);
    wrong.flags |= MKT_FLAG_K;
    wrong.flags &= (uint16_t)~MKT_FLAG_E;
    refused_ticket(p, init, resp, "I without E", &wrong, none, MKT_E_FLAGS);
    wrong = p->policy;
    wrong.flags |= MKT_FLAG_K;
    wrong.n_responders = 0;
    refused_ticket(p, init, resp, "for nobody", &wrong, none, MKT_E_POLICY);
    wrong = p->policy;
    wrong.flags |= MKT_FLAG_K;
    wrong.initiator = p->bob.settings.self;
    refused_ticket(p, init, resp, "of another", &wrong, none, MKT_E_INITIATOR);
    wrong = p->policy;
    wrong.flags |= MKT_FLAG_K;
    wrong.has_kemac = true;
    wrong.kemac = (struct mkt_span){chain, sizeof chain};
    refused_ticket(p, init, resp, "KEMAC", &wrong, none, MKT_E_POLICY);
    wrong = p->policy;
    wrong.flags |= MKT_FLAG_K;
    wrong.has_end = true;
    wrong.end = ntp(NOW - 1);
    refused_ticket(p, init, resp, "expired", &wrong, none, MKT_E_EXPIRED);
    wrong.has_start = true;
    wrong.start = ntp(NOW);
    refused_ticket(p, init, resp, "never valid", &wrong, none, MKT_E_VALIDITY);
    wrong = p->policy;
    wrong.flags |= MKT_FLAG_K;
    wrong.flags &= (uint16_t)~MKT_FLAG_N;
    refused_ticket(p, init, resp, "that wants more of the Initiator", &wrong, none, MKT_E_TICKET_TYPE);
    wrong = p->policy;
    wrong.flags = (uint16_t)((wrong.flags | MKT_FLAG_L) & ~MKT_FLAG_D);
    refused_ticket(p, init, resp, "that the Initiator made", &wrong, none, MKT_E_FLAGS);
    /* several errors: the first counts */
    wrong.initiator = p->bob.settings.self;
    refused_ticket(p, init, resp, "that the Initiator made", &wrong, text("not hers"), MKT_E_FLAGS);
    wrong.flags &= (uint16_t)~MKT_FLAG_N;
    refused_ticket(p, init, resp, "that wants more", &wrong, text("not hers"), MKT_E_TICKET_TYPE);
    wrong.n_responders = 0;
    refused_ticket(p, init, resp, "for nobody", &wrong, text("not hers"), MKT_E_POLICY);
    wrong = p->policy;
    wrong.initiator = p->bob.settings.self;
    refused_ticket(p, init, resp, "Initiator Data", &wrong, text("not hers"), MKT_E_INITIATOR_DATA);
    wrong.has_end = true;
    wrong.end = ntp(NOW - 1);
    refused_ticket(p, init, resp, "of another", &wrong, none, MKT_E_INITIATOR);
    take(&p->alice, "the right one", resp);
    parties_free(p);
}
END_TEST

/* A ticket may begin to be valid later: it is taken, and offered then. */
START_TEST(a_ticket_for_tomorrow)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0};
    p->policy.has_start = true;
    p->policy.start = ntp(NOW + 86400);
    take(&p->kms, "REQUEST_INIT", asked(p));
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    granted_policy(p);
    p->offer.ticket = p->ticket;
    begin(&p->alice, MKT_INITIATOR);
    expect_err("today", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &measured), MKT_E_NOT_YET);
    p->alice.player.now = p->policy.start;
    expect_err("tomorrow", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &measured), MKT_OK);
    parties_free(p);
}
END_TEST

START_TEST(keys_that_are_not_taken)
{
    enum { M = MKT_KEY_MPK, T = MKT_KEY_TGK, G = MKT_KEY_GTGK };
    static const struct {
        const char *what, *flags;
        uint8_t types[5], lengths[4];
        const char *spis;
        enum mkt_err err;
    } wrong[] = {
        {"no MPK", "DFGHJNO", {T, NO_KEY}, {32}, "a", MKT_E_MPK},
        {"MPKr without I", "DFGHJNO", {M, M, T, NO_KEY}, {32, 32, 32}, "abc", MKT_E_MPK},
        {"no MPKr", "DEFGHIJNO", {M, T, NO_KEY}, {32, 32}, "ab", MKT_E_MPK},
        {"three MPKs", "DEFGHIJNO", {M, M, M, T, NO_KEY}, {32, 32, 32, 32}, "abcd", MKT_E_MPK},
        {"an SPI twice", "DFGHJNO", {M, T, T, NO_KEY}, {32, 32, 32}, "abb", MKT_E_SPI},
        {"no SPI", "DFGHJNO", {M, T, NO_KEY}, {32, 32}, "a-", MKT_E_SPI},
        {"a short key", "DFGHJNO", {M, T, NO_KEY}, {32, 15}, "ab", MKT_E_KEY_LENGTH},
        {"a short MPK", "DFGHJNO", {M, T, NO_KEY}, {15, 32}, "ab", MKT_E_KEY_LENGTH},
        {"another type", "DFGHJNO", {M, G, NO_KEY}, {32, 32}, "ab", MKT_E_NOT_AS_ASKED},
        {"another length", "DFGHJNO", {M, T, NO_KEY}, {32, 31}, "ab", MKT_E_NOT_AS_ASKED},
        {"a key more", "DFGHJNO", {M, T, T, NO_KEY}, {32, 32, 32}, "abc", MKT_E_NOT_AS_ASKED},
        {"none", "DFGHJNO", {M, NO_KEY}, {32}, "a", MKT_E_NOT_AS_ASKED},
    };
    struct parties *p = set_up(MKT_SUITE_256, wrong[_i].flags);
    p->request.keys = &one_tgk;
    p->request.n_keys = 1;
    const struct mkt_span init = asked(p);
    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    find(&m, MKT_KEMAC, 0)->kemac.encr_data =
        crypted(&m, &kms, key_chain(wrong[_i].types, wrong[_i].lengths, wrong[_i].spis));
    refused(&p->alice, wrong[_i].what, forged(&m, &kms), wrong[_i].err);
    take(&p->alice, "the right one", resp);
    parties_free(p);
}
END_TEST

/* 6.10: "The F flag SHALL be set to '1' when the I flag (key forking) is set to '1' and a TGK is encoded" */
START_TEST(forked_keys_want_an_answer)
{
    const struct mkt_key_wish gtgk = {.size = sizeof gtgk, .type = MKT_KEY_GTGK};
    struct parties *p = set_up(MKT_SUITE_256, "DEHIJNO");
    struct mkt_ticket *ticket = NULL;
    take(&p->kms, "REQUEST_INIT", asked(p));
    expect_err("TGK", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_E_FLAGS);
    ck_assert_ptr_null(ticket);
    p->recipe.keys = &gtgk;
    p->recipe.n_keys = 1;
    take(&p->alice, "GTGK", request_resp(&p->kms, &p->recipe));
    parties_free(p);
}
END_TEST

/* ---- what is wrong with what a program asks for ---- */

START_TEST(requests_that_cannot_be_made)
{
    const struct mkt_key_wish mpk = {.size = sizeof mpk, .type = MKT_KEY_MPK};
    struct mkt_key_wish many[MKT_MAX_KEYS + 1] = {{.size = sizeof(struct mkt_key_wish)}};
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0};
    const struct mkt_span before = stored(&p->alice);
    struct mkt_request wrong = p->request;
    wrong.policy = NULL;
    expect_err("no policy", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_ARGUMENT);
    wrong = p->request;
    wrong.keys = &mpk;
    wrong.n_keys = 1;
    expect_err("an MPK", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_MPK);
    wrong.keys = many;
    wrong.n_keys = MKT_MAX_KEYS + 1;
    expect_err("too many", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_TOO_MANY);
    const struct mkt_key_wish same[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .kv = spi_of("1")},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK, .kv = spi_of("1")}};
    wrong.keys = same;
    wrong.n_keys = 2;
    expect_err("an SPI twice", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_SPI);
    struct mkt_key_wish one = {.size = sizeof one, .type = MKT_KEY_TGK, .kv = spi_of("")};
    wrong.keys = &one;
    wrong.n_keys = 1;
    expect_err("an empty SPI", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_SPI);
    one.kv.spi = (struct mkt_span){NULL, 256};
    expect_err("256 octets", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_LENGTH);
    one.kv = (struct mkt_kv){.type = MKT_KV_INTERVAL, .from = text(""), .to = {NULL, 256}};
    expect_err("256 octets", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_LENGTH);
    one.kv.type = MKT_KV_INTERVAL + 1;
    expect_err("no such type", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_ARGUMENT);
    wrong.keys = &one_tgk;
    wrong.no_keys = true;
    expect_err("a key and none", mkt_csb_make_request_init(p->alice.csb, &wrong, &measured), MKT_E_ARGUMENT);
    p->policy.n_applications = 1; /* which has no octets */
    expect_err("an application", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_ARGUMENT);
    p->policy.n_applications = 0;
    p->policy.n_responders = MKT_MAX_RESPONDERS + 1;
    expect_err("responders", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_ARGUMENT);
    p->policy.n_responders = 0;
    expect_err("for nobody", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_POLICY);
    p->policy.n_responders = 1;
    p->policy.prf = 7;
    expect_err("PRF", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_PRF);
    p->policy.prf = MKT_PRF_HMAC_SHA_256;
    p->policy.flags &= (uint16_t)~MKT_FLAG_E;
    expect_err("I without E", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_FLAGS);
    p->policy.flags |= MKT_FLAG_E;
    p->alice.key.psk.n = 15;
    expect_err("short key", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_KEY_LENGTH);
    ck_assert_str_eq(p->alice.player.detail, "mkt_credential.psk");
    p->alice.key.psk.n = 0;
    expect_err("no key", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_KEY_LENGTH);
    ck_assert_str_eq(p->alice.player.detail, "neither mkt_credential.psk nor mkt_settings.public_keys");
    p->alice.key.psk.n = MKT_MAX_PSK + 1;
    expect_err("long key", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_ARGUMENT);
    p->alice.key.psk.n = 32;
    const struct mkt_id kms = p->alice.key.kms;
    p->alice.key.kms = (struct mkt_id){0};
    expect_err("nobody", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_ARGUMENT);
    p->alice.key.kms = kms;
    p->alice.player.no_random = true;
    expect_err("random", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_RANDOM);
    p->alice.player.no_random = false;
    expect_octets("as it was", stored(&p->alice), before);
    ck_assert_uint_eq(measured.n, 0);
    asked(p);

    p->alice.settings.kms = NULL;
    begin(&p->alice, MKT_INITIATOR);
    expect_err("no KMS", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_ARGUMENT);
    p->alice.settings.kms = &p->alice.key;
    p->alice.settings.counter = true;
    begin(&p->alice, MKT_INITIATOR);
    expect_err("no counter", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_COUNTER);
    parties_free(p);
}
END_TEST

/* A bundle with little room says so before it sends anything, and before it believes anything. */
START_TEST(a_bundle_without_room)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0};
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    ask_for_much(p);
    begin(&p->kms, MKT_KMS);
    size_t made = 0, refusals = 0;
    for (p->alice.settings.bundle_size = 256; made == 0; p->alice.settings.bundle_size += 16) {
        if (mkt_csb_new(&p->alice.csb, MKT_INITIATOR, &p->alice.player.host, &p->alice.settings) != MKT_OK)
            continue;
        enum mkt_err err = mkt_csb_make_request_init(p->alice.csb, &p->request, &measured);
        expect_err("made as measured", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), err);
        ck_assert(err == MKT_OK || err == MKT_E_BUNDLE_FULL);
        made += err == MKT_OK;
        refusals += err != MKT_OK;
        mkt_csb_free(p->alice.csb);
        p->alice.csb = NULL;
    }
    ck_assert_uint_gt(refusals, 0);
    for (p->kms.settings.bundle_size = 256, made = refusals = 0; made == 0; p->kms.settings.bundle_size += 16) {
        struct mkt_csb *csb = NULL;
        if (mkt_csb_new(&csb, MKT_KMS, &p->kms.player.host, &p->kms.settings) != MKT_OK)
            continue;
        enum mkt_err err = mkt_csb_take(csb, (struct mkt_span){octets, out.n});
        ck_assert(err == MKT_OK || err == MKT_E_BUNDLE_FULL);
        ck_assert_uint_eq(p->kms.player.n_seen, err == MKT_OK);
        made += err == MKT_OK;
        refusals += err != MKT_OK;
        mkt_csb_free(csb);
    }
    ck_assert_uint_gt(refusals, 0);
    parties_free(p);
}
END_TEST

/* The MAC is wrong, whether the bundle has room for the keys or not. */
START_TEST(a_forged_grant_for_a_bundle_without_room)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_settings settings = p->alice.settings;
    uint8_t octets[8192];
    size_t loaded = 0, refusals = 0;
    ask_for_much(p);
    begin(&p->kms, MKT_KMS);
    begin(&p->alice, MKT_INITIATOR);
    take(&p->kms, "REQUEST_INIT", request_init(&p->alice, &p->request));
    const struct mkt_span waits = stored(&p->alice), right = request_resp(&p->kms, &p->recipe);
    memcpy(octets, right.p, right.n);
    octets[right.n - 1] ^= 1;
    for (settings.bundle_size = 256; settings.bundle_size <= MKT_CSB_SIZE; settings.bundle_size += 64) {
        struct mkt_csb *csb = NULL;
        if (mkt_csb_load(&csb, &p->alice.player.host, &settings, waits) != MKT_OK)
            continue;
        expect_err("forged", mkt_csb_take(csb, (struct mkt_span){octets, right.n}), MKT_E_MAC);
        const enum mkt_err err = mkt_csb_take(csb, right);
        ck_assert(err == MKT_OK || err == MKT_E_BUNDLE_FULL);
        refusals += err != MKT_OK;
        loaded++;
        p->alice.player.n_seen = 0;
        mkt_csb_free(csb);
    }
    ck_assert(refusals > 0 && loaded > refusals);
    parties_free(p);
}
END_TEST

START_TEST(wishes_that_cannot_be_read)
{
    static const uint8_t octets[] = {MKT_LAST, MKT_KEY_TGK << 4, 0, 9};
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    const struct forger alice = as_alice(p);
    struct mkt_message m = decoded(asked(p));
    struct mkt_policy policy = p->policy;
    uint8_t room[1024];
    struct mkt_buf tp_data = {room, sizeof room, 0};
    policy.has_kemac = true;
    policy.kemac = (struct mkt_span){octets, sizeof octets};
    expect_err("policy", mkt_policy_encode(&policy, &tp_data), MKT_OK);
    find(&m, MKT_TP, 0)->ticket.tp_data = (struct mkt_span){room, tp_data.n};
    refused(&p->kms, "cut short", forged(&m, &alice), MKT_E_TRUNCATED);
    parties_free(p);
}
END_TEST

/* 6.10: "The KEMAC payload SHALL use the NULL encryption algorithm and the NULL authentication algorithm" */
START_TEST(wishes_that_are_encrypted)
{
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    const struct forger alice = as_alice(p);
    p->request.keys = &one_tgk;
    p->request.n_keys = 1;
    struct mkt_message m = decoded(asked(p));
    struct mkt_ticket_payload *tp = &find(&m, MKT_TP, 0)->ticket;
    uint8_t room[1024];
    struct mkt_buf tp_data = {room, sizeof room, 0};
    struct mkt_payload list[8];
    struct mkt_span rest = tp->tp_data;
    uint16_t type;
    size_t n = 0;
    expect_err("first", mkt_chain_decode(&type, &rest), MKT_OK);
    for (; type != MKT_LAST; n++) {
        expect_err("payload", mkt_payload_decode(&list[n], &type, &rest), MKT_OK);
        if (list[n].type == MKT_KEMAC)
            list[n].kemac.encr_alg = MKT_ENCR_AES_CM_256;
    }
    expect_err("policy", mkt_chain_encode(list, n, &tp_data), MKT_OK);
    tp->tp_data = (struct mkt_span){room, tp_data.n};
    refused(&p->kms, "encrypted", forged(&m, &alice), MKT_E_POLICY);
    parties_free(p);
}
END_TEST

/* A ticket has up to MKT_MAX_KEYS keys, its MPK included, and no RAND is longer than 255 octets. */
START_TEST(more_than_a_ticket_can_have)
{
    static const struct {
        const char *what;
        struct mkt_key_wish wish;
        size_t n;
        enum mkt_err err;
    } cases[] = {
        {"too many", {.type = MKT_KEY_TGK, .length = 16}, MKT_MAX_KEYS, MKT_E_TOO_MANY},
        {"many", {.type = MKT_KEY_TGK, .length = 16}, MKT_MAX_KEYS - 1, MKT_OK},
        {"too long a key", {.type = MKT_KEY_TGK, .length = 256}, 1, MKT_E_POLICY},
        {"too long a salt", {.type = MKT_KEY_TGK_SALT, .salt_length = 256}, 1, MKT_E_POLICY},
        {"a long one", {.type = MKT_KEY_TGK_SALT, .length = 255, .salt_length = 255}, 1, MKT_OK},
    };
    struct parties *p = parties_new(MKT_SUITE_256, "DFGHJNO");
    struct mkt_key_wish wishes[MKT_MAX_KEYS];
    p->alice.settings.bundle_size = p->kms.settings.bundle_size = 16384;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    for (size_t i = 0; i < MKT_MAX_KEYS; i++) {
        wishes[i] = cases[_i].wish;
        wishes[i].size = sizeof wishes[i];
    }
    p->request.keys = wishes;
    p->request.n_keys = cases[_i].n;
    if (cases[_i].err == MKT_E_TOO_MANY) {
        uint8_t octets[8192];
        struct mkt_buf out = {octets, sizeof octets, 0};
        expect_err("asked", mkt_csb_make_request_init(p->alice.csb, &p->request, &out), MKT_E_TOO_MANY);
        parties_free(p);
        return;
    }
    const struct mkt_span init = asked(p);
    if (cases[_i].err != MKT_OK) {
        uint8_t octets[1024];
        struct mkt_buf error = {octets, sizeof octets, 0};
        refused(&p->kms, cases[_i].what, init, cases[_i].err);
        expect_err("Error", mkt_csb_make_error(p->kms.csb, init, cases[_i].err, NULL, 0, &error), MKT_OK);
        /* RFC 6043 6.9: "TP parameters not supported" */
        ck_assert_uint_eq(payload_of((struct mkt_span){octets, error.n}, MKT_ERR, 0).error.number, 15);
        parties_free(p);
        return;
    }
    take(&p->kms, cases[_i].what, init);
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    parties_free(p);
}
END_TEST

/* An MPK is in every ticket: who asks for one gets no second. */
START_TEST(a_wish_for_an_mpk)
{
    static const uint8_t types[] = {MKT_KEY_MPK, MKT_KEY_GTGK, NO_KEY}, lengths[] = {32, 32};
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    const struct forger alice = as_alice(p);
    struct mkt_message m = decoded(asked(p));
    struct mkt_policy policy = p->policy;
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    uint8_t room[1024];
    struct mkt_buf tp_data = {room, sizeof room, 0};
    size_t n = 0;
    policy.has_kemac = true;
    policy.kemac = key_chain(types, lengths, "ab");
    expect_err("policy", mkt_policy_encode(&policy, &tp_data), MKT_OK);
    find(&m, MKT_TP, 0)->ticket.tp_data = (struct mkt_span){room, tp_data.n};
    take(&p->kms, "REQUEST_INIT", forged(&m, &alice));
    expect_err("wishes", read_request(p->kms.csb, &policy, keys, &n), MKT_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(keys[0].type, MKT_KEY_GTGK);
    request_resp(&p->kms, &p->recipe);

    /* what is wrong with a wish behind it counts first */
    const struct mkt_kv kv = {.type = MKT_KV_SPI, .spi = text("one")};
    const struct mkt_key_wish wishes[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_MPK},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .kv = kv},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .kv = kv}};
    struct mkt_request request = {.size = sizeof request, .policy = &p->policy, .keys = wishes};
    begin(&p->alice, MKT_INITIATOR);
    for (request.n_keys = 1; request.n_keys <= 3; request.n_keys++)
        expect_err("MPK", mkt_csb_make_request_init(p->alice.csb, &request, &(struct mkt_buf){NULL, 0, 0}),
                   request.n_keys < 3 ? MKT_E_MPK : MKT_E_SPI);
    parties_free(p);
}
END_TEST

/* Flags that contradict each other are refused before anything is looked up. */
START_TEST(a_desired_policy_that_contradicts_itself)
{
    static const struct {
        const char *what;
        uint16_t without, with;
    } wrong[] = {
        {"NOT D implies L", MKT_FLAG_D, 0},
        {"G implies F", MKT_FLAG_F, 0},
        {"I implies E", 0, MKT_FLAG_I},
        {"NOT G implies H", MKT_FLAG_G | MKT_FLAG_H, 0},
        {"M implies F", MKT_FLAG_F | MKT_FLAG_G, MKT_FLAG_M},
    };
    struct parties *p = set_up(MKT_SUITE_256, "DFGHJNO");
    const struct forger alice = as_alice(p);
    const struct mkt_span init = asked(p);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct mkt_message m = decoded(init);
        struct mkt_ticket_payload *tp = &find(&m, MKT_TP, 0)->ticket;
        tp->flags = (uint16_t)((tp->flags & ~wrong[i].without) | wrong[i].with);
        refused(&p->kms, wrong[i].what, forged(&m, &alice), MKT_E_FLAGS);
        /* whoever is or is not named: the first error counts */
        struct mkt_policy policy = p->policy;
        policy.flags = (uint16_t)((policy.flags & ~wrong[i].without) | wrong[i].with);
        policy.n_responders = 0;
        const struct mkt_request request = {.size = sizeof request, .policy = &policy};
        begin(&p->alice, MKT_INITIATOR);
        expect_err(wrong[i].what, mkt_csb_make_request_init(p->alice.csb, &request, &(struct mkt_buf){NULL, 0, 0}),
                   MKT_E_FLAGS);
    }
    begin(&p->alice, MKT_INITIATOR);
    take(&p->kms, "REQUEST_INIT", init);
    parties_free(p);
}
END_TEST

/* Octets of a bundle may have been damaged: what cannot be read any more is not granted. */
START_TEST(a_stored_request_that_is_damaged)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_ticket *ticket = NULL, *none = NULL;
    struct mkt_csb *copy = NULL;
    struct mkt_policy policy;
    uint8_t octets[8192];
    const struct mkt_span init = asked(p), tp_data = payload_of(init, MKT_TP, 0).ticket.tp_data;
    take(&p->kms, "REQUEST_INIT", init);
    expect_err("grant", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_OK);
    const struct mkt_span whole = stored(&p->kms);
    memcpy(octets, whole.p, whole.n);
    size_t at = 0;
    while (at + tp_data.n < whole.n && memcmp(octets + at, tp_data.p, tp_data.n) != 0)
        at++;
    for (int damaged = 1; damaged >= 0; damaged--) {
        const enum mkt_err err = damaged ? MKT_E_PAYLOAD : MKT_OK;
        octets[at] = damaged ? 99 : tp_data.p[0]; /* First Payload: a type that there is not */
        expect_err("load",
                   mkt_csb_load(&copy, &p->kms.player.host, &p->kms.settings, (struct mkt_span){octets, whole.n}),
                   MKT_OK);
        expect_err("requested", mkt_csb_requested(copy, &policy), err);
        expect_err("grant", mkt_csb_grant(copy, &p->recipe, &none), err);
        ck_assert((none == NULL) == (damaged == 1));
        mkt_ticket_free(none);
        expect_err("REQUEST_RESP", mkt_csb_make_request_resp(copy, ticket, &(struct mkt_buf){NULL, 0, 0}), err);
        mkt_csb_free(copy);
    }
    mkt_ticket_free(ticket);
    parties_free(p);
}
END_TEST

/* ---- steps ---- */

START_TEST(steps_out_of_order)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct mkt_policy policy;
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    size_t n;
    begin(&p->bob, MKT_RESPONDER);
    expect_err("a KMS asks", mkt_csb_make_request_init(p->kms.csb, &p->request, &measured), MKT_E_STATE);
    expect_err("a Responder asks", mkt_csb_make_request_init(p->bob.csb, &p->request, &measured), MKT_E_STATE);
    expect_err("nothing granted", mkt_csb_take_ticket(p->alice.csb, &ticket), MKT_E_STATE);
    expect_err("nothing asked", read_request(p->kms.csb, &policy, keys, &n), MKT_E_STATE);
    expect_err("nothing asked", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_E_STATE);
    ck_assert(!mkt_csb_must_make(p->kms.csb, MKT_REQUEST_RESP));
    refused(&p->alice, "nothing asked", mikey, MKT_E_STATE);

    const struct mkt_span init = asked(p);
    expect_err("asked already", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_E_STATE);
    refused(&p->alice, "her own", init, MKT_E_DATA_TYPE);
    refused(&p->bob, "no KMS", init, MKT_E_DATA_TYPE);
    take(&p->kms, "REQUEST_INIT", init);
    ck_assert(mkt_csb_must_make(p->kms.csb, MKT_REQUEST_RESP) && !mkt_csb_must_make(p->kms.csb, MKT_RESOLVE_RESP));
    refused(&p->kms, "one at a time", init, MKT_E_STATE);
    expect_err("not to resolve", mkt_csb_make_resolve_resp(p->kms.csb, &measured), MKT_E_STATE);
    expect_err("not to pass on", mkt_csb_make_resolve_init(p->kms.csb, &measured), MKT_E_STATE);
    expect_err("none granted", mkt_csb_take_ticket(p->alice.csb, &ticket), MKT_E_STATE);
    expect_err("a KMS has none", mkt_csb_take_ticket(p->kms.csb, &ticket), MKT_E_STATE);
    ck_assert_ptr_null(ticket);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    expect_err("answered", read_request(p->kms.csb, &policy, keys, &n), MKT_E_STATE);
    refused(&p->kms, "its own", resp, MKT_E_DATA_TYPE);
    ck_assert(!mkt_csb_ready(p->alice.csb));

    take(&p->alice, "REQUEST_RESP", resp);
    refused(&p->alice, "again", resp, MKT_E_STATE);
    ck_assert(!mkt_csb_ready(p->alice.csb));
    ck_assert_uint_eq(mkt_csb_peer(p->alice.csb).data.n, 0);
    ck_assert_uint_eq(mkt_csb_peer(p->kms.csb).data.n, 0);
    parties_free(p);
}
END_TEST

/* A ticket that nobody granted. */
START_TEST(an_answer_without_question)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_ticket *ticket = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    p->recipe.policy = &p->policy;
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &p->recipe), MKT_OK);
    expect_err("nobody asked", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_E_STATE);
    expect_err("Alice", mkt_csb_make_request_resp(p->alice.csb, ticket, &measured), MKT_E_STATE);
    mkt_ticket_free(ticket);
    parties_free(p);
}
END_TEST

/* One bundle may ask again and again, and then call; each ticket is an object of its own. */
START_TEST(a_bundle_that_asks_twice)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHJNO");
    struct mkt_ticket *first = NULL;
    take(&p->kms, "first", asked(p));
    take(&p->alice, "first", request_resp(&p->kms, &p->recipe));
    expect_err("first", mkt_csb_take_ticket(p->alice.csb, &first), MKT_OK);
    take(&p->kms, "second", asked(p));
    expect_err("not yet", mkt_csb_take_ticket(p->alice.csb, &p->ticket), MKT_E_STATE);
    take(&p->alice, "second", request_resp(&p->kms, &p->recipe));
    granted_policy(p);
    ck_assert(!mkt_span_equal(first->keys, p->ticket->keys));
    mkt_ticket_free(first);
    expect_err("once more", mkt_csb_take_ticket(p->alice.csb, &first), MKT_OK);
    expect_octets("the same", first->keys, p->ticket->keys);
    mkt_ticket_free(first);

    p->offer.ticket = p->ticket;
    const struct mkt_span init = transfer_init(&p->alice, &p->offer);
    expect_err("has moved on", mkt_csb_take_ticket(p->alice.csb, &first), MKT_E_STATE);
    answered_by(&p->bob, init);
    resolved_by(&p->kms, &p->bob);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* Without answer Alice gives up, and asks again. */
START_TEST(a_request_given_up)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHJNO");
    const struct mkt_span first = asked(p);
    mkt_csb_abandon(p->alice.csb);
    take(&p->kms, "first", first);
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    refused(&p->alice, "too late", resp, MKT_E_STATE);
    take(&p->kms, "second", asked(p));
    refused(&p->alice, "too late", resp, MKT_E_CSB_ID);
    take(&p->alice, "second", request_resp(&p->kms, &p->recipe));
    parties_free(p);
}
END_TEST

/* The process that goes on must know the KMS. */
START_TEST(an_answer_for_one_who_forgot_his_kms)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHJNO");
    take(&p->kms, "REQUEST_INIT", asked(p));
    const struct mkt_span octets = stored(&p->alice);
    p->alice.settings.kms = NULL;
    mkt_csb_free(p->alice.csb);
    expect_err("get", mkt_csb_load(&p->alice.csb, &p->alice.player.host, &p->alice.settings, octets), MKT_OK);
    refused(&p->alice, "of whom?", request_resp(&p->kms, &p->recipe), MKT_E_ARGUMENT);
    parties_free(p);
}
END_TEST

/* 5.4: the KMS tells why it refused, by the key that it shares with Alice; she hears it as long as she waits. */
START_TEST(why_the_kms_refused)
{
    struct parties *p = set_up(MKT_SUITE_256, "DEFGHIJNO");
    uint8_t octets[256];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_span init = asked(p);
    p->kms.player.fail = MKT_E_DENIED;
    refused(&p->kms, "denied", init, MKT_E_DENIED);
    p->kms.player.fail = MKT_OK;
    expect_err("Error", mkt_csb_make_error(p->kms.csb, init, MKT_E_DENIED, NULL, 0, &out), MKT_OK);
    const struct mkt_span error = {octets, out.n};
    take(&p->alice, "Error", error);
    ck_assert_uint_eq(p->alice.player.reports, 1);
    ck_assert(p->alice.player.authenticated);
    ck_assert_uint_eq(p->alice.player.reported, mkt_err_number(MKT_E_DENIED));
    take(&p->kms, "REQUEST_INIT", init);
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    refused(&p->alice, "too late", error, MKT_E_STATE);
    ck_assert_uint_eq(p->alice.player.reports, 1);
    parties_free(p);
}
END_TEST

START_TEST(measuring_and_small_buffers_change_nothing)
{
    struct parties *p = set_up_whole(MKT_SUITE_256);
    struct mkt_buf measured = {NULL, 0, 0}, small;
    struct mkt_ticket *ticket = NULL;
    uint8_t octets[2048];
    const struct mkt_span fresh = stored(&p->alice);
    expect_err("measure", mkt_csb_make_request_init(p->alice.csb, &p->request, &measured), MKT_OK);
    small = (struct mkt_buf){octets, measured.n - 1, 0};
    expect_err("small", mkt_csb_make_request_init(p->alice.csb, &p->request, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    expect_octets("as it was", stored(&p->alice), fresh);
    const struct mkt_span init = asked(p);
    ck_assert_uint_eq(init.n, measured.n);

    take(&p->kms, "REQUEST_INIT", init);
    const struct mkt_span took = stored(&p->kms);
    expect_err("grant", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_OK);
    expect_octets("granting says nothing yet", stored(&p->kms), took);
    measured.n = 0;
    expect_err("measure", mkt_csb_make_request_resp(p->kms.csb, ticket, &measured), MKT_OK);
    small = (struct mkt_buf){octets, measured.n - 1, 0};
    expect_err("small", mkt_csb_make_request_resp(p->kms.csb, ticket, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    expect_octets("as it was", stored(&p->kms), took);
    small = (struct mkt_buf){octets, measured.n, 0};
    expect_err("just enough", mkt_csb_make_request_resp(p->kms.csb, ticket, &small), MKT_OK);
    ck_assert_uint_eq(small.n, measured.n);
    mkt_ticket_free(ticket);
    take(&p->alice, "REQUEST_RESP", (struct mkt_span){octets, small.n});
    parties_free(p);
}
END_TEST

/* ---- 12.3: the KMS keeps no state ---- */

START_TEST(the_kms_is_as_new)
{
    struct parties *p = set_up(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJNO");
    struct mkt_key_data key = {0};
    const struct mkt_span fresh = stored(&p->kms), psk = p->alice.key.psk;
    ck_assert(!mkt_span_equal(fresh, text("")));
    take(&p->kms, "REQUEST_INIT", asked(p));
    ck_assert(holds(&p->kms, psk)); /* till it answers */
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    expect_octets("after its answer", stored(&p->kms), fresh);
    granted_policy(p);
    ck_assert(!holds(&p->kms, psk));
    for (size_t i = 0; mkt_keys_mpk(p->ticket->keys, i, &key); i++)
        ck_assert(holds(&p->alice, key.key) && !holds(&p->kms, key.key));
    ck_assert(mkt_keys_session(p->ticket->keys, 0, &key));
    ck_assert(holds(&p->alice, key.key) && !holds(&p->kms, key.key));

    take(&p->kms, "REQUEST_INIT", asked(p));
    mkt_csb_abandon(p->kms.csb);
    expect_octets("after it gave up", stored(&p->kms), fresh);
    ck_assert(!holds(&p->kms, psk));
    mkt_csb_abandon(p->kms.csb);
    expect_octets("with nothing to give up", stored(&p->kms), fresh);

    mkt_csb_abandon(p->alice.csb);
    struct mkt_message m = decoded(asked(p));
    const struct forger mallory = {.suite = p->suite, .key = p->mallory.key.psk};
    refused(&p->kms, "forged", forged(&m, &mallory), MKT_E_MAC);
    ck_assert(!holds(&p->kms, psk));
    parties_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request");
    TCase *tcase = tcase_create("messages");
    tcase_add_test(tcase, a_kms_answers_a_question_once);
    tcase_add_loop_test(tcase, both_messages, 0, 2);
    tcase_add_loop_test(tcase, keys_of_the_answer, 0, 2);
    tcase_add_loop_test(tcase, granted_as_asked, 0, 5);
    tcase_add_test(tcase, wishes_on_the_wire);
    tcase_add_test(tcase, key_validity_that_is_asked_for);
    tcase_add_test(tcase, spis_of_a_request_are_drawn);
    tcase_add_loop_test(tcase, spis_that_are_granted, 0, 2);
    tcase_add_loop_test(tcase, no_session_keys_are_asked_for, 0, 2);
    tcase_add_loop_test(tcase, session_keys_that_are_not_as_asked_for, 0, 2);
    tcase_add_loop_test(tcase, one_spi_is_asked_for_twice, 0, 2);
    tcase_add_loop_test(tcase, a_policy_that_names_neither_initiator_nor_kms, 0, 2);
    tcase_add_test(tcase, a_granted_ticket_is_of_the_kms);
    tcase_add_test(tcase, k_in_what_is_asked_for);
    tcase_add_loop_test(tcase, the_kms_tells_what_it_changed, 0, CHANGES + KEY_CHANGES);
    tcase_add_loop_test(tcase, a_change_that_the_kms_does_not_tell, 0, CHANGES + KEY_CHANGES);
    tcase_add_test(tcase, another_order_is_no_change);
    tcase_add_test(tcase, a_k_too_many);
    tcase_add_test(tcase, a_ticket_that_the_kms_did_not_make);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("who is who");
    tcase_add_loop_test(tcase, identities_left_out, 0, 8);
    tcase_add_loop_test(tcase, a_request_for_another_kms, 0, 2);
    tcase_add_loop_test(tcase, an_answer_of_another_kms, 0, 2);
    tcase_add_test(tcase, keys_that_are_not_shared);
    tcase_add_loop_test(tcase, a_key_that_is_nobodys, 0, 2);
    tcase_add_loop_test(tcase, a_host_that_gives_a_key_out_of_place, 0, 2);
    tcase_add_test(tcase, one_who_claims_to_be_another);
    tcase_add_test(tcase, a_ticket_of_another_initiator);
    tcase_add_test(tcase, an_initiator_that_the_kms_does_not_want);
    tcase_add_test(tcase, the_host_is_not_asked_about_a_forged_request);
    tcase_add_test(tcase, an_error_message_about_an_unknown_prf_has_no_mac);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("freshness");
    tcase_add_loop_test(tcase, a_rand_shorter_than_the_key, 0, 2);
    tcase_add_loop_test(tcase, long_keys_have_long_rands, 0, 2);
    tcase_add_loop_test(tcase, rands_are_as_long_as_the_key_and_as_the_suite, 0, 12);
    tcase_add_test(tcase, a_request_with_a_wrong_mac);
    tcase_add_test(tcase, a_key_has_a_name_or_none);
    tcase_add_test(tcase, as_many_wishes_as_there_is_room_for);
    tcase_add_test(tcase, as_many_wishes_as_a_kms_reads);
    tcase_add_test(tcase, identities_that_a_desired_policy_leaves_out);
    tcase_add_test(tcase, keys_of_a_ticket_before);
    tcase_add_test(tcase, clocks_that_differ);
    tcase_add_loop_test(tcase, a_replayed_request, 0, 2);
    tcase_add_test(tcase, counters_that_nobody_keeps);
    tcase_add_test(tcase, the_answer_to_another_request);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("refusals");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_bit_of_a_request_counts, 0, 2);
    tcase_add_loop_test(tcase, every_bit_of_a_grant_counts, 0, 2);
    tcase_add_loop_test(tcase, algorithms_of_a_request, 0, 2);
    tcase_add_loop_test(tcase, algorithms_of_a_grant, 0, 2);
    tcase_add_test(tcase, a_ticket_of_the_other_suite);
    tcase_add_test(tcase, payloads_that_must_be_there);
    tcase_add_test(tcase, payloads_that_nobody_expects);
    tcase_add_test(tcase, a_request_with_crypto_sessions);
    tcase_add_test(tcase, tickets_that_are_not_taken);
    tcase_add_test(tcase, a_ticket_for_tomorrow);
    tcase_add_loop_test(tcase, keys_that_are_not_taken, 0, 12);
    tcase_add_test(tcase, forked_keys_want_an_answer);
    tcase_add_test(tcase, requests_that_cannot_be_made);
    tcase_add_test(tcase, a_bundle_without_room);
    tcase_add_test(tcase, a_forged_grant_for_a_bundle_without_room);
    tcase_add_test(tcase, wishes_that_cannot_be_read);
    tcase_add_test(tcase, wishes_that_are_encrypted);
    tcase_add_loop_test(tcase, more_than_a_ticket_can_have, 0, 5);
    tcase_add_test(tcase, a_wish_for_an_mpk);
    tcase_add_test(tcase, a_desired_policy_that_contradicts_itself);
    tcase_add_test(tcase, a_stored_request_that_is_damaged);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("steps");
    tcase_add_test(tcase, steps_out_of_order);
    tcase_add_test(tcase, an_answer_without_question);
    tcase_add_test(tcase, a_bundle_that_asks_twice);
    tcase_add_test(tcase, a_request_given_up);
    tcase_add_test(tcase, an_answer_for_one_who_forgot_his_kms);
    tcase_add_test(tcase, why_the_kms_refused);
    tcase_add_test(tcase, measuring_and_small_buffers_change_nothing);
    tcase_add_loop_test(tcase, the_kms_is_as_new, 0, 2);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
