/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve: the Ticket Resolve exchange (RFC 6043 4.2.3) between a Responder and its KMS, and what it protects from. */
#include "parties.h"

#include "initiator_data.h"
#include "protect.h"
#include "ticket.h"

#include <stdlib.h>
#include <string.h>

/* Alice has a ticket of the KMS. */
static struct parties *granted_by_kms(enum mkt_suite suite, const char *flags)
{
    struct parties *p = parties_new(suite, flags);
    be_granted(p);
    return p;
}

/* And Bob, whom she calls, is about to ask the KMS. */
static struct parties *waiting(enum mkt_suite suite, const char *flags)
{
    struct parties *p = granted_by_kms(suite, flags);
    answered_by(&p->bob, offered(p));
    return p;
}

/* Somebody who has Bob's key: as Bob, and as the KMS that answers him. */
static struct forger as_bob(const struct parties *p)
{
    return (struct forger){
        .suite = p->suite, .key = p->bob.key.psk, .who = p->bob.settings.self.data, .to = p->kms.settings.self.data};
}

static struct forger as_kms(const struct parties *p, struct mkt_span init)
{
    return (struct forger){.suite = p->suite, .key = p->bob.key.psk, .init = init};
}

/* Somebody who has an MPKi of Alice's ticket, and says he is Alice. */
static struct forger as_alice(const struct parties *p, struct mkt_span mpki, struct mkt_span mpkr)
{
    return (struct forger){.suite = p->suite,
                           .key = mpki,
                           .who = p->alice.settings.self.data,
                           .to = p->bob.settings.self.data,
                           .mpkr = mpkr};
}

static struct mkt_span mpk_of(struct mkt_span keys, size_t n)
{
    struct mkt_key_data key = {0};
    ck_assert(mkt_keys_mpk(keys, n, &key));
    return key.key;
}

/* A message put anew, with a MAC that is wrong by now. */
static struct mkt_span as_octets(const struct mkt_message *m)
{
    uint8_t octets[8192];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("put", mkt_message_encode(m, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

/* The rest of the call. */
static void go_on(struct parties *p, struct mkt_span resolve_init)
{
    take(&p->kms, "RESOLVE_INIT", resolve_init);
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms));
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, p->suite == MKT_SUITE_256 ? 32 : 16);
}

/* ---- 4.2.3.1 to 4.2.3.5: the messages ---- */

/* "HDR, T, RANDRr, [IDRr], [IDRkms], TICKET, [IDRpsk], V" and "HDR, T, [IDRkms], KEMAC, [IDRr], [RANDRkms], V" */
START_TEST(both_messages)
{
    static const unsigned init_types[] = {MKT_T, MKT_RANDR, MKT_IDR, MKT_IDR, MKT_TICKET, MKT_IDR, MKT_V},
                          resp_types[] = {MKT_T, MKT_IDR, MKT_KEMAC, MKT_IDR, MKT_RANDR, MKT_V},
                          resp_types_not_forked[] = {MKT_T, MKT_IDR, MKT_KEMAC, MKT_V};
    const bool forked = (_i & 1) == 0;
    const size_t length = _i < 2 ? 32 : 16;
    struct parties *p = granted_by_kms(_i < 2 ? MKT_SUITE_256 : MKT_SUITE_128, forked ? "DEFGHIJNO" : "DEFGHJNO");
    const struct mkt_span transfer = offered(p);
    answered_by(&p->bob, transfer);
    p->bob.player.now = ntp(NOW + 2);
    const struct mkt_span init = resolve_init(&p->bob);
    const struct mkt_message m = decoded(init);
    expect_payloads(&m, init_types, 7);
    ck_assert_uint_eq(m.hdr.v, 1);
    ck_assert_uint_eq(m.hdr.n_cs, 0);
    ck_assert_uint_eq(m.hdr.map_type, MKT_MAP_EMPTY);
    ck_assert_uint_eq(m.hdr.prf, p->policy.prf);
    ck_assert_uint_ne(m.hdr.csb_id, mkt_csb_id(p->alice.csb));
    ck_assert_uint_eq(m.payload[0].t.value, ntp(NOW + 2));
    ck_assert_uint_eq(payload_of(init, MKT_RANDR, MKT_RANDR_R).rand.rand.n, length);
    expect_octets("IDRr", payload_of(init, MKT_IDR, MKT_IDR_R).id.data, p->bob.settings.self.data);
    expect_octets("IDRkms", payload_of(init, MKT_IDR, MKT_IDR_KMS).id.data, p->kms.settings.self.data);
    expect_octets("IDRpsk", payload_of(init, MKT_IDR, MKT_IDR_PSK).id.data, p->bob.key.name.data);
    const struct mkt_span was = payload_of(transfer, MKT_TICKET, 0).octets,
                          is = payload_of(init, MKT_TICKET, 0).octets; /* Initiator Data included */
    expect_octets("TICKET", (struct mkt_span){is.p + 1, is.n - 1}, (struct mkt_span){was.p + 1, was.n - 1});

    p->kms.player.now = ntp(NOW + 5);
    take(&p->kms, "RESOLVE_INIT", init);
    expect_octets("who asks", mkt_csb_peer(p->kms.csb).data, p->bob.settings.self.data);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct mkt_message r = decoded(resp);
    expect_payloads(&r, forked ? resp_types : resp_types_not_forked, forked ? 6 : 4);
    ck_assert_uint_eq(r.hdr.v, 0);
    ck_assert_uint_eq(r.hdr.n_cs, 0);
    ck_assert_uint_eq(r.hdr.map_type, MKT_MAP_EMPTY);
    ck_assert_uint_eq(r.hdr.prf, m.hdr.prf);
    ck_assert_uint_eq(r.hdr.csb_id, m.hdr.csb_id);
    ck_assert_uint_eq(r.payload[0].t.value, ntp(NOW + 5)); /* "the KMS SHALL generate a fresh timestamp value" */
    expect_octets("IDRkms", payload_of(resp, MKT_IDR, MKT_IDR_KMS).id.data, p->kms.settings.self.data);
    ck_assert_uint_eq(payload_of(resp, MKT_KEMAC, 0).kemac.mac_alg, MKT_MAC_NULL);
    if (forked) {
        ck_assert_uint_eq(payload_of(resp, MKT_RANDR, MKT_RANDR_KMS).rand.rand.n, length);
        expect_octets("IDRr", payload_of(resp, MKT_IDR, MKT_IDR_R).id.data, p->bob.settings.self.data);
    }
    take(&p->bob, "RESOLVE_RESP", resp);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, length);
    parties_free(p);
}
END_TEST

/* "KEMAC = E(encr_key, MPKi || [MPKr'] || {TEK|TGK|GTGK})", and no key is seen on the wire. */
START_TEST(keys_of_the_answer)
{
    const bool forked = _i == 0;
    struct parties *p = waiting(MKT_SUITE_256, forked ? "DEFGHIJNO" : "DEFGHJNO");
    struct mkt_key_data key = {0}, whole = {0};
    const struct mkt_span init = resolve_init(&p->bob), alices = p->ticket->keys;
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct mkt_message m = decoded(resp);
    const struct forger kms = as_kms(p, init);
    const struct mkt_span keys = crypted(&m, &kms, payload_of(resp, MKT_KEMAC, 0).kemac.encr_data);
    expect_octets("MPKi", mpk_of(keys, 0), mpk_of(alices, 0));
    ck_assert(mkt_keys_mpk(keys, 1, &key) == forked);
    ck_assert(!forked || !mkt_span_equal(key.key, mpk_of(alices, 1)));
    ck_assert(mkt_keys_session(keys, 0, &key) && mkt_keys_session(alices, 0, &whole));
    ck_assert(mkt_span_equal(key.key, whole.key) == !forked);
    expect_octets("SPI", key.kv.spi, whole.kv.spi);
    ck_assert(!mkt_keys_session(keys, 1, &key));
    for (struct mkt_keys list = mkt_keys_of(keys); mkt_keys_next(&list, &key);)
        for (size_t i = 0; i + key.key.n <= resp.n; i++)
            ck_assert(memcmp(resp.p + i, key.key.p, key.key.n) != 0);
    parties_free(p);
}
END_TEST

/* ---- who may resolve ---- */

static bool everybody(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    return id->data.n > 0 && group->data.n > 0;
}

static bool bob_helps(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    return mkt_span_equal(id->data, text("sip:bob@example.com")) &&
           mkt_span_equal(group->data, text("sip:help@example.com"));
}

/* Mallory got Bob's TRANSFER_INIT, and asks in her own name. */
START_TEST(one_whom_the_ticket_does_not_name)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DFGHJNO");
    const struct mkt_span init = offered(p);
    p->mallory.player.host.member = everybody; /* she says */
    answered_by(&p->mallory, init);
    refused(&p->kms, "not hers", resolve_init(&p->mallory), MKT_E_RESPONDER);
    answered_by(&p->bob, init);
    go_on(p, resolve_init(&p->bob));
    parties_free(p);
}
END_TEST

/* 12.5: "the KMS needs to be able to map an individual's identity [...] to group membership" */
START_TEST(one_of_a_group)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    p->policy.responder[0] = p->offer.responder = mkt_id_uri("sip:help@example.com");
    p->alice.player.host.member = bob_helps;
    p->bob.player.host.member = p->mallory.player.host.member = everybody;
    be_granted(p);
    const struct mkt_span offer = offered(p);
    answered_by(&p->bob, offer);
    const struct mkt_span init = resolve_init(&p->bob);
    refused(&p->kms, "a KMS that knows no groups", init, MKT_E_RESPONDER);
    p->kms.player.host.member = bob_helps;
    answered_by(&p->mallory, offer);
    refused(&p->kms, "not of the group", resolve_init(&p->mallory), MKT_E_RESPONDER);
    go_on(p, init);
    expect_octets("who answered", mkt_csb_peer(p->alice.csb).data, p->bob.settings.self.data);
    parties_free(p);
}
END_TEST

START_TEST(applications)
{
    static const struct {
        const char *ticket, *bob, *kms;
        enum mkt_err by_bob, by_kms;
    } cases[] = {
        {"bfcp", "bfcp", "bfcp", MKT_OK, MKT_OK},
        {"bfcp", "bfcp", "msrp", MKT_OK, MKT_E_APPLICATION},
        {"bfcp", "bfcp", "", MKT_OK, MKT_OK}, /* a KMS for all of them */
        {"bfcp", "msrp", "bfcp", MKT_E_APPLICATION, MKT_OK},
        {"", "msrp", "bfcp", MKT_OK, MKT_OK}, /* a ticket for all of them */
    };
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    if (*cases[_i].ticket != '\0')
        p->policy.application[p->policy.n_applications++] = text(cases[_i].ticket);
    p->alice.settings.application = text(*cases[_i].ticket != '\0' ? cases[_i].ticket : "msrp");
    p->bob.settings.application = text(cases[_i].bob);
    p->kms.settings.application = text(cases[_i].kms);
    be_granted(p);
    const struct mkt_span offer = offered(p);
    begin(&p->bob, MKT_RESPONDER);
    if (cases[_i].by_bob != MKT_OK) {
        refused(&p->bob, "application", offer, cases[_i].by_bob);
        parties_free(p);
        return;
    }
    take(&p->bob, "TRANSFER_INIT", offer);
    const struct mkt_span init = resolve_init(&p->bob);
    if (cases[_i].by_kms != MKT_OK)
        refused(&p->kms, "application", init, cases[_i].by_kms);
    else
        go_on(p, init);
    parties_free(p);
}
END_TEST

/* The clock of the KMS counts. */
START_TEST(tickets_out_of_their_time)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    p->policy.has_start = p->policy.has_end = true;
    p->policy.start = ntp(NOW - 10);
    p->policy.end = ntp(NOW + 10);
    be_granted(p);
    const struct mkt_span offer = offered(p);
    p->mallory.player.host.member = everybody;
    answered_by(&p->mallory, offer);
    const struct mkt_span hers = resolve_init(&p->mallory);
    answered_by(&p->bob, offer);
    const struct mkt_span init = resolve_init(&p->bob);
    p->kms.player.now = ntp(NOW + 11);
    refused(&p->kms, "expired", init, MKT_E_EXPIRED);
    refused(&p->kms, "expired, and not hers", hers, MKT_E_EXPIRED);
    p->kms.player.now = ntp(NOW - 11);
    refused(&p->kms, "not yet", init, MKT_E_NOT_YET);
    p->kms.player.now = ntp(NOW + 10);
    go_on(p, init);
    parties_free(p);
}
END_TEST

/* The host has the last word, once the ticket is known to be one. */
START_TEST(a_responder_that_the_kms_does_not_want)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    p->kms.n_asked = 0;
    p->kms.player.tpk = text("another ticket protection key...");
    refused(&p->kms, "a ticket that is none", init, MKT_E_TICKET_MAC);
    ck_assert_uint_eq(p->kms.n_asked, 0);
    p->kms.player.tpk = p->tpk;
    p->kms.player.fail = MKT_E_DENIED;
    refused(&p->kms, "denied", init, MKT_E_DENIED);
    ck_assert_int_eq(p->kms.asked_role, MKT_RESPONDER);
    ck_assert(p->kms.asked_proven);
    expect_octets("who", p->kms.asked_id.data, p->bob.settings.self.data);
    ck_assert_uint_eq(p->kms.asked_flags, p->policy.flags);
    p->kms.player.fail = MKT_OK;
    go_on(p, init);
    parties_free(p);
}
END_TEST

/* ---- who is who ---- */

/* Bit 0: no IDRr and IDRkms; bit 1: no IDRpsk; bit 2: no IDRkms in the answer; bit 3: not forked. */
START_TEST(identities_left_out)
{
    const bool no_names = (_i & 1) != 0, no_psk = (_i & 2) != 0, forked = (_i & 8) == 0;
    struct parties *p = parties_new(MKT_SUITE_256, forked ? "DEFGHIJNO" : "DEFGHJNO");
    p->bob.settings.leave_out_identities = no_names;
    p->kms.settings.leave_out_identities = (_i & 4) != 0;
    if (no_psk)
        p->bob.key.name = (struct mkt_id){0};
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    const struct mkt_message m = decoded(init);
    ck_assert((mkt_message_find(&m, MKT_IDR, MKT_IDR_R) == NULL) == no_names);
    ck_assert((mkt_message_find(&m, MKT_IDR, MKT_IDR_KMS) == NULL) == no_names);
    ck_assert((mkt_message_find(&m, MKT_IDR, MKT_IDR_PSK) == NULL) == no_psk);
    if (no_names && no_psk) {
        refused(&p->kms, "who may that be?", init, MKT_E_NO_KEY);
        parties_free(p);
        return;
    }
    take(&p->kms, "RESOLVE_INIT", init);
    expect_octets("who asks", mkt_csb_peer(p->kms.csb).data, p->bob.settings.self.data);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct mkt_message r = decoded(resp);
    ck_assert((mkt_message_find(&r, MKT_IDR, MKT_IDR_KMS) == NULL) == ((_i & 4) != 0));
    take(&p->bob, "RESOLVE_RESP", resp);
    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    const struct mkt_message a = decoded(answer);
    /* "If the Responder receives an IDRr payload in the RESOLVE_RESP message, the same identity MUST be sent" */
    ck_assert((mkt_message_find(&a, MKT_IDR, MKT_IDR_R) == NULL) == (no_names && !forked));
    take(&p->alice, "TRANSFER_RESP", answer);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

START_TEST(a_question_for_another_kms)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    p->bob.key.kms = p->kms_r.settings.self;
    p->bob.settings.leave_out_identities = _i == 1;
    answered_by(&p->bob, offered(p));
    refused(&p->kms, "another KMS", resolve_init(&p->bob), _i == 0 ? MKT_E_KMS : MKT_E_MAC);
    parties_free(p);
}
END_TEST

START_TEST(keys_that_are_not_shared)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    struct friend *bob = &p->kms.player.friend[1];
    const struct friend was = *bob;
    bob->name = mkt_id_bytes("bob-old");
    refused(&p->kms, "unknown", init, MKT_E_NO_KEY);
    *bob = was;
    bob->psk = p->alice.key.psk;
    refused(&p->kms, "another", init, MKT_E_MAC);
    *bob = was;
    bob->id = p->carol.settings.self;
    refused(&p->kms, "Carol's key", init, MKT_E_RESPONDER);
    *bob = was;
    go_on(p, init);
    parties_free(p);
}
END_TEST

/* Nobody resolves in the name of another, by whatever key. */
START_TEST(one_who_claims_to_be_another)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span offer = offered(p);
    struct mkt_settings settings = p->bob.settings;
    struct mkt_csb *csb = NULL;
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    settings.kms = &p->mallory.key;
    expect_err("Mallory", mkt_csb_new(&csb, MKT_RESPONDER, &p->mallory.player.host, &settings), MKT_OK);
    expect_err("TRANSFER_INIT", mkt_csb_take_offer(csb, offer, mikey), MKT_OK);
    expect_err("RESOLVE_INIT", mkt_csb_make_resolve_init(csb, &out), MKT_OK);
    refused(&p->kms, "IDRr", (struct mkt_span){octets, out.n}, MKT_E_RESPONDER);
    mkt_csb_free(csb);
    parties_free(p);
}
END_TEST

START_TEST(an_answer_of_another_kms)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    find(&m, MKT_IDR, MKT_IDR_KMS)->id.data = p->kms_r.settings.self.data;
    refused(&p->bob, "another KMS", forged(&m, &kms), MKT_E_KMS);
    take(&p->bob, "the right one", resp);
    parties_free(p);
}
END_TEST

/* Bob's host is asked about the KMS, then about Alice; nothing is handed over before it agrees to both. */
static size_t n_asked_bob;
static enum mkt_role unwanted;

static enum mkt_err not_that_role(void *user, const struct mkt_peer *peer)
{
    (void)user;
    n_asked_bob++;
    return peer->role == unwanted ? MKT_E_DENIED : MKT_OK;
}

START_TEST(peers_that_the_responder_does_not_want)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_key_data key;
    p->bob.player.host.authorise = not_that_role;
    n_asked_bob = 0;
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span resp = resolve_resp(&p->kms);
    ck_assert_uint_eq(n_asked_bob, 0);
    unwanted = _i == 0 ? MKT_KMS : MKT_INITIATOR;
    refused(&p->bob, "unwanted", resp, MKT_E_DENIED);
    expect_err("no key", mkt_csb_key(p->bob.csb, 0, &key), MKT_E_NO_SESSION);
    unwanted = MKT_RESPONDER;
    take(&p->bob, "RESOLVE_RESP", resp);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    parties_free(p);
}
END_TEST

/* ---- the ticket ---- */

/* The MAC of a message whose octets were changed, whatever they are now. */
static struct mkt_span sealed_again(const struct parties *p, struct mkt_span octets, struct mkt_span as_it_was)
{
    static uint8_t out[8192];
    const size_t mac = mkt_mac_length(mkt_suite_algorithms(p->suite)->mac_alg);
    const struct mkt_protection by_psk = {
        .suite = p->suite,
        .key = p->bob.key.psk,
        .label = {.purpose = MKT_PURPOSE_INITIAL,
                  .csb_id = decoded(as_it_was).hdr.csb_id,
                  .randr = payload_of(as_it_was, MKT_RANDR, MKT_RANDR_R).rand.rand},
    };
    const struct mkt_span parts[] = {{octets.p, octets.n - mac}, p->bob.settings.self.data, p->kms.settings.self.data};
    memcpy(out, octets.p, octets.n);
    expect_err("MAC", mkt_protect_seal(&by_psk, NULL, parts, 3, out + octets.n - mac), MKT_OK);
    return (struct mkt_span){out, octets.n};
}

/* Type, policy, Ticket Data, Initiator Data: all is covered by the MAC of the ticket or by Vr (A.1, 6.10). */
START_TEST(every_bit_of_a_ticket_counts)
{
    struct parties *p = parties_new(_i < 2 ? MKT_SUITE_256 : MKT_SUITE_128, _i & 1 ? "DEFGHIJNO" : "DEFGHJNO");
    uint8_t octets[8192];
    p->policy.has_start = p->policy.has_end = p->policy.has_rekeying = true;
    p->policy.start = ntp(NOW - 1000);
    p->policy.end = ntp(NOW + 1000);
    p->policy.rekeying = ntp(60);
    p->policy.application[p->policy.n_applications++] = text("msrp");
    p->kms.settings.application = text(""); /* or a changed one would be found for that */
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob), before = stored(&p->kms);
    const struct mkt_span ticket = payload_of(init, MKT_TICKET, 0).octets;
    size_t from = 0;
    while (memcmp(init.p + from, ticket.p, ticket.n) != 0)
        from++;
    memcpy(octets, init.p, init.n);
    expect_octets("sealed again", sealed_again(p, init, init), init);
    for (size_t bit = 8 * (from + 1); bit < 8 * (from + ticket.n); bit++) { /* but for Next Payload */
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const struct mkt_span sealed = sealed_again(p, (struct mkt_span){octets, init.n}, init);
        const enum mkt_err err = mkt_csb_take(p->kms.csb, sealed);
        ck_assert_msg(err != MKT_OK && err != MKT_E_MAC, "bit %zu of octet %zu of the ticket: %s", bit % 8,
                      bit / 8 - from, mkt_err_name(err));
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    expect_octets("as it was", stored(&p->kms), before);
    go_on(p, init);
    parties_free(p);
}
END_TEST

START_TEST(a_ticket_protected_with_another_key)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    p->kms.player.tpk = p->bob.key.psk;
    refused(&p->kms, "another TPK", init, MKT_E_TICKET_MAC);
    p->kms.player.tpk = text("");
    refused(&p->kms, "no TPK", init, MKT_E_NO_KEY);
    p->kms.player.tpk = p->tpk;
    go_on(p, init);
    parties_free(p);
}
END_TEST

/* Mode 3: who shares a TPK with the KMS makes tickets, in his own name alone; the host sees both names. */
static enum mkt_err tpk_of_mallory(void *user, const struct mkt_id *id, const struct mkt_policy *policy,
                                   struct mkt_buf *key)
{
    const struct mkt_id name = mkt_id_bytes("tpk of Mallory"), mallory = mkt_id_uri("sip:mallory@example.com");
    const struct player *p = user;
    ck_assert(id != NULL && mkt_id_equal(id, &name));
    if (!mkt_id_equal(&policy->initiator, &mallory))
        return MKT_E_INITIATOR;
    memcpy(key->p, p->tpk.p, p->tpk.n);
    key->n = p->tpk.n;
    return MKT_OK;
}

START_TEST(a_ticket_made_in_the_name_of_another)
{
    const bool own_name = _i == 0;
    struct parties *p = parties_new(MKT_SUITE_256, "EFGHIJLNO");
    struct mkt_ticket_recipe recipe = p->recipe;
    p->kms.player.host.tpk = tpk_of_mallory;
    if (own_name)
        p->policy.initiator = p->mallory.settings.self;
    else
        p->mallory.settings.self = p->alice.settings.self;
    recipe.policy = &p->policy;
    recipe.tpk_id = mkt_id_bytes("tpk of Mallory");
    recipe.keys = &one_tgk;
    recipe.n_keys = 1;
    expect_err("ticket", mkt_ticket_make(&p->ticket, &p->mallory.player.host, &recipe), MKT_OK);
    p->offer.ticket = p->ticket;
    begin(&p->mallory, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    answered_by(&p->bob, transfer_init(&p->mallory, &p->offer));
    const struct mkt_span init = resolve_init(&p->bob);
    if (own_name)
        take(&p->kms, "RESOLVE_INIT", init);
    else
        refused(&p->kms, "not Alice's key", init, MKT_E_INITIATOR);
    parties_free(p);
}
END_TEST

/* Policies that no KMS grants, whatever MAC the ticket has. */
START_TEST(policies_that_are_not_sound)
{
    static const uint8_t chain[] = {MKT_LAST, MKT_KEY_TGK << 4, 0, 0};
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    const struct forger bob = as_bob(p);
    for (int i = 0; i < 4; i++) {
        static const enum mkt_err errs[] = {MKT_E_POLICY, MKT_E_POLICY, MKT_E_FLAGS, MKT_E_VALIDITY};
        struct mkt_message m = decoded(init);
        struct mkt_ticket_payload *ticket = &find(&m, MKT_TICKET, 0)->ticket;
        struct mkt_policy wrong = p->policy;
        uint8_t octets[1024];
        struct mkt_buf tp_data = {octets, sizeof octets, 0};
        wrong.n_responders = i == 0 ? 0 : 1;
        wrong.has_kemac = i == 1;
        wrong.kemac = (struct mkt_span){chain, sizeof chain};
        ticket->flags = i == 2 ? ticket->flags & (uint16_t)~MKT_FLAG_E : ticket->flags;
        wrong.has_start = wrong.has_end = i == 3;
        wrong.start = wrong.end = ntp(NOW);
        expect_err("policy", mkt_policy_encode(&wrong, &tp_data), MKT_OK);
        ticket->tp_data = (struct mkt_span){octets, tp_data.n};
        refused(&p->kms, "policy", forged(&m, &bob), errs[i]);
        ticket->initiator_data = text(""); /* the first error counts */
        refused(&p->kms, "policy", forged(&m, &bob), errs[i]);
    }
    go_on(p, init);
    parties_free(p);
}
END_TEST

/* ---- 6.10: Initiator Data ---- */

/* A chain Vi, Vr or the like; the MAC of the last is that of Vr by a key. */
static struct mkt_span initiator_data(const struct mkt_payload vs[], size_t n, struct mkt_span mpkr)
{
    static uint8_t octets[512];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_protection by_mpkr = {.suite = MKT_SUITE_256, .key = mpkr, .label = {.purpose = MKT_PURPOSE_VR}};
    expect_err("Initiator Data", mkt_chain_encode(vs, n, &out), MKT_OK);
    const struct mkt_span covered = {octets, out.n - 32};
    if (vs[n - 1].type == MKT_V && vs[n - 1].v.mac_alg == MKT_MAC_HMAC_SHA_256_256)
        expect_err("Vr", mkt_protect_seal(&by_mpkr, NULL, &covered, 1, octets + out.n - 32), MKT_OK);
    return (struct mkt_span){octets, out.n};
}

START_TEST(initiator_data_that_is_forged)
{
    static const uint8_t zeros[32] = {0};
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob), keys = p->ticket->keys, mpki = mpk_of(keys, 0),
                          mpkr = mpk_of(keys, 1);
    struct mkt_v vi, vr;
    expect_err("Initiator Data",
               mkt_initiator_data_decode(payload_of(init, MKT_TICKET, 0).ticket.initiator_data, &vi, &vr), MKT_OK);
    const struct mkt_payload v = {.type = MKT_V, .v = vi}, zero = {.type = MKT_V, .v = {vi.mac_alg, {zeros, 32}}},
                             null = {.type = MKT_V, .v = {MKT_MAC_NULL, {NULL, 0}}},
                             sha1 = {.type = MKT_V, .v = {MKT_MAC_HMAC_SHA_1_160, {zeros, 20}}},
                             ext = {.type = MKT_GENERAL_EXT, .general_ext = {MKT_EXT_VENDOR_ID, text("x")}};
    const struct {
        const char *what;
        struct mkt_payload vs[3];
        size_t n;
        struct mkt_span key;
        enum mkt_err err;
    } cases[] = {
        {"by MPKi, which all know", {v, zero}, 2, mpki, MKT_E_INITIATOR_MAC},
        {"by a key of Bob's", {v, zero}, 2, p->bob.key.psk, MKT_E_INITIATOR_MAC},
        {"NULL MAC", {v, null}, 2, mpkr, MKT_E_MAC_ALG},
        {"both with NULL MAC", {null, null}, 2, mpkr, MKT_E_MAC_ALG},
        {"Vi with NULL MAC", {null, zero}, 2, mpkr, MKT_E_MAC_ALG},
        {"MAC of the other suite", {sha1, sha1}, 2, mpkr, MKT_E_MAC_ALG},
        {"no Vi", {zero}, 1, mpkr, MKT_E_MISSING},
        {"three", {v, v, zero}, 3, mpkr, MKT_E_TOO_MANY},
        {"Vr is not last", {v, zero, ext}, 3, mpkr, MKT_E_ORDER},
        {"as it must be", {v, zero}, 2, mpkr, MKT_OK},
        {"with more than expected", {ext, v, zero}, 3, mpkr, MKT_OK}, /* "SHOULD be ignored" */
    };
    const struct forger bob = as_bob(p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mkt_message m = decoded(init);
        find(&m, MKT_TICKET, 0)->ticket.initiator_data = initiator_data(cases[i].vs, cases[i].n, cases[i].key);
        if (cases[i].err != MKT_OK) {
            refused(&p->kms, cases[i].what, forged(&m, &bob), cases[i].err);
            continue;
        }
        p->kms.player.n_seen = 0; /* one of them is Bob's own message */
        take(&p->kms, cases[i].what, forged(&m, &bob));
        mkt_csb_abandon(p->kms.csb);
    }
    parties_free(p);
}
END_TEST

/* Octets that are no chain, found by whoever sees them first. */
START_TEST(initiator_data_that_is_no_chain)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span offer = offered(p);
    uint8_t octets[512];
    const struct forger bob = as_bob(p);
    const struct mkt_span right = payload_of(offer, MKT_TICKET, 0).ticket.initiator_data;
    memcpy(octets, right.p, right.n);
    octets[right.n] = 0;
    octets[right.n + 1] = 0;
    const struct {
        const char *what;
        size_t n;
        uint8_t after_vr; /* Next Payload of Vr */
        enum mkt_err err;
    } cases[] = {
        {"cut short", right.n - 1, MKT_LAST, MKT_E_TRUNCATED},
        {"more after the last", right.n + 1, MKT_LAST, MKT_E_TRAILING},
        {"unknown payload", right.n + 2, 99, MKT_E_PAYLOAD},
        {"payload that is not there", right.n, MKT_V, MKT_E_TRUNCATED},
    };
    answered_by(&p->bob, offer);
    const struct mkt_span init = resolve_init(&p->bob);
    begin(&p->bob, MKT_RESPONDER);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        octets[right.n - 34] = cases[i].after_vr; /* before its MAC alg and its MAC of 32 octets */
        struct mkt_message m = decoded(offer);
        find(&m, MKT_TICKET, 0)->ticket.initiator_data = (struct mkt_span){octets, cases[i].n};
        refused(&p->bob, cases[i].what, as_octets(&m), cases[i].err);
        m = decoded(init);
        find(&m, MKT_TICKET, 0)->ticket.initiator_data = (struct mkt_span){octets, cases[i].n};
        refused(&p->kms, cases[i].what, forged(&m, &bob), cases[i].err);
    }
    parties_free(p);
}
END_TEST

/* "SHALL be inserted by the Initiator if and only if key forking is used (I flag)" */
START_TEST(initiator_data_out_of_place)
{
    struct parties *p = waiting(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DEFGHJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    const struct forger bob = as_bob(p);
    struct mkt_message m = decoded(init);
    struct mkt_ticket_payload *ticket = &find(&m, MKT_TICKET, 0)->ticket;
    ck_assert((ticket->initiator_data.n > 0) == (_i == 0));
    ticket->initiator_data = _i == 0 ? text("") : text("x");
    refused(&p->kms, "I", forged(&m, &bob), MKT_E_INITIATOR_DATA);
    go_on(p, init);
    parties_free(p);
}
END_TEST

/* 4.2.3.6: "the Responder SHALL also verify that the MAC field in the V payload in the TRANSFER_INIT message is
 * identical to the MAC field in the Vi payload": what the KMS can't see. */
START_TEST(initiator_data_of_another_message)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span first = offered(p), second = offered(p);
    struct mkt_message m = decoded(second);
    find(&m, MKT_TICKET, 0)->ticket.initiator_data = payload_of(first, MKT_TICKET, 0).ticket.initiator_data;
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "Vi", as_octets(&m), MKT_E_INITIATOR_MAC);
    ck_assert(!mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK));
    take(&p->bob, "TRANSFER_INIT", second);
    go_on(p, resolve_init(&p->bob));
    parties_free(p);
}
END_TEST

/* ---- 12.4: Mallory replays Alice's ticket ---- */

/* Mallory may resolve tickets of Alice's, and did: what she knows by that. */
static struct mkt_span mallorys_keys(struct parties *p)
{
    p->offer.responder = p->mallory.settings.self;
    answered_by(&p->mallory, offered(p));
    const struct mkt_span init = resolve_init(&p->mallory);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct mkt_message m = decoded(resp);
    const struct forger mallory = {.suite = p->suite, .key = p->mallory.key.psk, .init = init};
    take(&p->mallory, "RESOLVE_RESP", resp);
    p->offer.responder = p->bob.settings.self;
    return crypted(&m, &mallory, payload_of(resp, MKT_KEMAC, 0).kemac.encr_data);
}

static struct parties *with_mallory(const char *flags)
{
    struct parties *p = parties_new(MKT_SUITE_256, flags);
    p->policy.responder[p->policy.n_responders++] = p->mallory.settings.self;
    be_granted(p);
    return p;
}

/* A TRANSFER_INIT that Mallory makes with Alice's ticket, by the keys that she has. */
static struct mkt_span by_mallory(struct parties *p, struct mkt_span keys, bool in_her_own_name)
{
    static const uint8_t randi[32] = {'m', 'a', 'l', 'l', 'o', 'r', 'y'};
    const bool forked = (p->policy.flags & MKT_FLAG_I) != 0;
    struct mkt_message m = decoded(offered(p));
    struct forger mallory = as_alice(p, mpk_of(keys, 0), forked ? mpk_of(keys, 1) : text(""));
    m.hdr.csb_id ^= 1;
    find(&m, MKT_RANDR, MKT_RANDR_I)->rand.rand = (struct mkt_span){randi, sizeof randi};
    if (in_her_own_name) {
        mallory.who = p->mallory.settings.self.data;
        find(&m, MKT_IDR, MKT_IDR_I)->id.data = mallory.who;
    }
    return forged(&m, &mallory);
}

/* "Mallory (acting as herself) invites Bob by inserting the ticket into her own TRANSFER_INIT message." */
START_TEST(mallory_as_herself)
{
    struct parties *p = with_mallory(_i == 0 ? "DEFGHIJNO" : "DEFGHJNO");
    const struct mkt_span keys = mallorys_keys(p);
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "not her ticket", by_mallory(p, keys, true), MKT_E_INITIATOR);
    ck_assert(!mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK));
    parties_free(p);
}
END_TEST

/* "If key forking is used, such replays will always be detected when Bob has resolved the ticket." */
START_TEST(mallory_as_alice)
{
    struct parties *p = with_mallory("DEFGHIJNO");
    const struct mkt_span keys = mallorys_keys(p), alices = p->ticket->keys;
    expect_octets("MPKi", mpk_of(keys, 0), mpk_of(alices, 0));
    ck_assert(!mkt_span_equal(mpk_of(keys, 1), mpk_of(alices, 1)));
    answered_by(&p->bob, by_mallory(p, keys, false));
    refused(&p->kms, "Vr", resolve_init(&p->bob), MKT_E_INITIATOR_MAC);
    ck_assert_uint_eq(mkt_csb_peer(p->bob.csb).data.n, 0);

    /* "And if Mallory has knowledge of the MPKi [...] and key forking is not used, there is no attack": all who know it
     * may listen anyway. */
    parties_free(p);
    p = with_mallory("DEFGHJNO");
    answered_by(&p->bob, by_mallory(p, mallorys_keys(p), false));
    resolved_by(&p->kms, &p->bob);
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_TRANSFER_RESP));
    parties_free(p);
}
END_TEST

/* "If key forking is not used, such replays will be detected unless Mallory has knowledge of the MPKi." */
START_TEST(mallory_without_the_mpki)
{
    static const uint8_t guess[] = "not an MPKi, though as long....";
    const struct mkt_payload key = {
        .type = MKT_KEY_DATA,
        .key_data = {.type = MKT_KEY_MPK, .key = {guess, 32}, .kv = {.type = MKT_KV_SPI, .spi = {guess, 4}}}};
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHJNO");
    uint8_t octets[64];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("keys", mkt_payloads_encode(&key, 1, &out), MKT_OK);
    answered_by(&p->bob, by_mallory(p, (struct mkt_span){octets, out.n}, false));
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    refused(&p->bob, "the TRANSFER_INIT is not Alice's", resolve_resp(&p->kms), MKT_E_MAC);
    ck_assert_uint_eq(mkt_csb_peer(p->bob.csb).data.n, 0);
    ck_assert(!mkt_csb_must_make(p->bob.csb, MKT_TRANSFER_RESP));
    answered_by(&p->bob, offered(p));
    go_on(p, resolve_init(&p->bob));
    parties_free(p);
}
END_TEST

/* 5.3: once Bob remembers the ticket, Mallory can make him answer, but has no key that he uses then. */
START_TEST(mallory_and_a_ticket_that_is_remembered)
{
    struct parties *p = with_mallory("DEFGHIJNO");
    const struct mkt_span keys = mallorys_keys(p);
    struct mkt_key_data key;
    uint8_t out[32];
    called(p, true);
    p->bob.player.resolved = resolved_octets(&p->bob);
    const struct mkt_span init = by_mallory(p, keys, false);
    answered_by(&p->bob, init);
    const struct mkt_span resp = transfer_resp(&p->bob, NULL), tek = party_tek(&p->bob);
    for (struct mkt_keys list = mkt_keys_of(keys); mkt_keys_next(&list, &key);) {
        expect_err("derive",
                   mkt_derive_traffic(MKT_SUITE_256, MKT_TRAFFIC_TEK, key.key, 1,
                                      payload_of(init, MKT_RANDR, MKT_RANDR_I).rand.rand,
                                      payload_of(resp, MKT_RANDR, MKT_RANDR_R).rand.rand, out, sizeof out),
                   MKT_OK);
        ck_assert(!mkt_span_equal((struct mkt_span){out, sizeof out}, tek));
    }
    parties_free(p);
}
END_TEST

/* With keys that she supplies herself it would be another matter: then the KMS is asked, and finds her out. */
START_TEST(mallory_supplies_a_key_for_a_ticket_that_is_remembered)
{
    static const uint8_t tek[32] = "a key that Mallory knows as well";
    const struct mkt_key_wish wish = {.size = sizeof wish, .type = MKT_KEY_TEK, .key = {tek, sizeof tek}};
    struct parties *p = with_mallory("DEFGHIJLNO");
    const struct mkt_span keys = mallorys_keys(p);
    called(p, true);
    p->bob.player.resolved = resolved_octets(&p->bob);
    p->offer.keys = &wish;
    p->offer.n_keys = 1;
    const struct mkt_span init = offered(p);
    struct mkt_message m = decoded(init);
    const struct forger mallory = as_alice(p, mpk_of(keys, 0), mpk_of(keys, 1));
    answered_by(&p->bob, forged(&m, &mallory));
    refused(&p->kms, "Vr", resolve_init(&p->bob), MKT_E_INITIATOR_MAC);

    answered_by(&p->bob, init); /* Alice herself */
    go_on(p, resolve_init(&p->bob));
    expect_octets("TEK", party_tek(&p->bob), wish.key);
    parties_free(p);
}
END_TEST

/* Likewise with keys of the ticket that everybody has who may resolve it. */
START_TEST(a_remembered_ticket_with_keys_that_are_not_forked)
{
    static const struct mkt_key_wish wishes[][2] = {{{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK},
                                                     {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}},
                                                    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                                     {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}},
                                                    {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                                     {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT}}};
    struct parties *p = parties_new(MKT_SUITE_256, _i < 3 ? "DEFGHIJNO" : "DEFGHJNO");
    p->request.keys = wishes[_i % 3];
    p->request.n_keys = 2;
    be_granted(p);
    called(p, true);
    const struct mkt_span octets = resolved_octets(&p->bob), init = offered(p);
    answered_by(&p->bob, init);
    const struct mkt_span forgetful = stored(&p->bob);
    p->bob.player.resolved = octets;
    answered_by(&p->bob, init);
    if (_i < 2) /* nothing of what is remembered counts */
        expect_octets("as one who does not remember", stored(&p->bob), forgetful);
    called(p, _i < 2);
    parties_free(p);
}
END_TEST

/* ---- 5.3: what is remembered ---- */

static size_t put_id(uint8_t *out, struct mkt_id id)
{
    out[0] = id.type;
    out[1] = 0;
    out[2] = (uint8_t)id.data.n;
    memcpy(out + 3, id.data.p, id.data.n);
    return 3 + id.data.n;
}

/* As mkt_csb_save_resolved() has it: version, TICKET, keys, IDRr, RANDRkms, for whom; IDRr is who asked. */
static struct mkt_span remembered(struct mkt_span ticket, struct mkt_span keys, struct mkt_id idrr,
                                  struct mkt_span randkms)
{
    static uint8_t octets[4096];
    size_t n = 0;
    octets[n++] = 1;
    for (int i = 24; i >= 0; i -= 8)
        octets[n++] = (uint8_t)(ticket.n >> i);
    memcpy(octets + n, ticket.p, ticket.n);
    n += ticket.n;
    for (int i = 24; i >= 0; i -= 8)
        octets[n++] = (uint8_t)(keys.n >> i);
    memcpy(octets + n, keys.p, keys.n);
    n += keys.n;
    n += put_id(octets + n, idrr);
    octets[n++] = (uint8_t)randkms.n;
    if (randkms.n > 0)
        memcpy(octets + n, randkms.p, randkms.n);
    n += randkms.n;
    n += put_id(octets + n, idrr);
    return exact((struct mkt_span){octets, n});
}

START_TEST(what_is_remembered)
{
    static const uint8_t rand[32] = {1}, one_mpk[] = {MKT_KEY_MPK, MKT_KEY_TGK, NO_KEY},
                         two_mpks[] = {MKT_KEY_MPK, MKT_KEY_MPK, MKT_KEY_TGK, NO_KEY}, lengths[] = {32, 15, 32};
    struct parties *p = granted_by_kms(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DEFGHJNO");
    struct player *bob = &p->bob.player;
    struct mkt_payload payload;
    called(p, true);
    const struct mkt_span right = resolved_octets(&p->bob);
    const struct mkt_span init = offered(p);
    payload = payload_of(init, MKT_TICKET, 0);
    const struct mkt_span ticket = mkt_ticket_octets(&payload), keys = p->ticket->keys;
    begin(&p->bob, MKT_RESPONDER);
    for (size_t n = 0; n < right.n; n++) {
        bob->resolved = (struct mkt_span){right.p, n};
        if (n > 0)
            refused(&p->bob, "cut short", init, MKT_E_STORED);
    }
    uint8_t octets[4096];
    memcpy(octets, right.p, right.n);
    octets[right.n] = 0;
    bob->resolved = (struct mkt_span){octets, right.n + 1};
    refused(&p->bob, "too much", init, MKT_E_STORED);
    bob->resolved.n--;
    octets[0] = 2;
    refused(&p->bob, "another version", init, MKT_E_STORED);
    octets[0] = 1;
    octets[5 + ticket.n - 1] ^= 1;
    refused(&p->bob, "another ticket", init, MKT_E_STORED);

    const bool forked = _i == 0;
    bob->resolved =
        remembered(ticket, keys, p->bob.settings.self, forked ? text("") : (struct mkt_span){rand, sizeof rand});
    if (forked)
        refused(&p->bob, "I without RANDRkms", init, MKT_E_STORED);
    bob->resolved =
        remembered(ticket, text(""), p->bob.settings.self, forked ? (struct mkt_span){rand, sizeof rand} : text(""));
    refused(&p->bob, "no keys", init, MKT_E_MPK);
    bob->resolved = remembered(ticket, key_chain(forked ? two_mpks : one_mpk, lengths, "abc"), p->bob.settings.self,
                               forked ? (struct mkt_span){rand, sizeof rand} : text(""));
    refused(&p->bob, "a short key", init, MKT_E_KEY_LENGTH);
    bob->resolved = right;
    take(&p->bob, "TRANSFER_INIT", init);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* One host, two Responders: what the KMS gave to one of them the other does not have, and asks for itself. */
START_TEST(a_ticket_that_another_responder_resolved)
{
    struct parties *p = parties_new(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DEFGHJNO");
    p->policy.responder[p->policy.n_responders++] = p->carol.settings.self;
    be_granted(p);
    called(p, true);
    p->bob.player.resolved = p->carol.player.resolved = resolved_octets(&p->bob);
    p->offer.responder = p->carol.settings.self;
    answered_by(&p->carol, offered(p));
    ck_assert(mkt_csb_must_make(p->carol.csb, MKT_RESOLVE_INIT_PSK));
    resolved_by(&p->kms, &p->carol);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->carol, NULL));
    same_tek(&p->alice, &p->carol, 32);
    expect_octets("peer", mkt_csb_peer(p->alice.csb).data, p->carol.settings.self.data);
    p->offer.responder = p->bob.settings.self;
    called(p, false);
    parties_free(p);
}
END_TEST

/* Nobody but the KMS knows who moved a counter on, where keys are forked. */
START_TEST(a_remembered_ticket_and_a_counter)
{
    struct parties *p = parties_new(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DEFGHJNO");
    all_count(p);
    be_granted(p);
    called(p, true);
    p->bob.player.resolved = resolved_octets(&p->bob);
    called(p, _i == 0);
    parties_free(p);
}
END_TEST

/* The host is told whether it is proven who calls. */
START_TEST(who_is_proven)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DEFGHJNO");
    called(p, true);
    ck_assert(p->bob.asked_proven);
    p->bob.player.resolved = resolved_octets(&p->bob);
    called(p, false);
    ck_assert(p->bob.asked_proven == (_i != 0));
    ck_assert(p->alice.asked_proven);
    parties_free(p);
}
END_TEST

/* "If the Ticket Policy forbids reuse (J flag), the ticket MUST NOT be reused." */
START_TEST(a_ticket_that_must_not_be_remembered)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHNO");
    const struct mkt_span init = offered(p);
    const struct mkt_payload ticket = payload_of(init, MKT_TICKET, 0);
    p->bob.player.resolved = remembered(mkt_ticket_octets(&ticket), p->ticket->keys, p->bob.settings.self, text(""));
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "no J", init, MKT_E_STORED);
    parties_free(p);
}
END_TEST

/* Bob, who has lost his KMS, can take calls with what he remembers, and no others. */
START_TEST(a_responder_without_kms)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DFGHJNO");
    called(p, true);
    const struct mkt_span right = resolved_octets(&p->bob);
    p->bob.settings.kms = NULL;
    const struct mkt_span init = offered(p);
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "not remembered", init, _i == 0 ? MKT_E_RESOLVE : MKT_E_NO_KEY);
    p->bob.player.host.resolved = NULL;
    refused(&p->bob, "nothing is", init, _i == 0 ? MKT_E_RESOLVE : MKT_E_NO_KEY);
    p->bob.player.host.resolved = p->alice.player.host.resolved;
    p->bob.player.resolved = right;
    called(p, false);
    parties_free(p);
}
END_TEST

/* 6.10: E says "whether the Ticket Resolve exchange is MANDATORY": then Bob's TPK does not help him. */
START_TEST(a_responder_that_could_but_may_not)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, _i == 0 ? "DEFGHJNO" : "DFGHJNO");
    p->bob.player.tpk = p->tpk;
    called(p, _i == 0);
    parties_free(p);
}
END_TEST

/* ---- 4.2.3.5: the modifier ---- */

/* 12.1: "RANDRkms MUST at least be as long as the longest MPKr/TGK" */
START_TEST(a_randkms_shorter_than_the_keys)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    find(&m, MKT_RANDR, MKT_RANDR_KMS)->rand.rand.n = 31;
    refused(&p->bob, "one octet less", forged(&m, &kms), MKT_E_RAND);
    find(&m, MKT_RANDR, MKT_RANDR_KMS)->rand.rand.n = 0;
    refused(&p->bob, "none", forged(&m, &kms), MKT_E_RAND);
    take(&p->bob, "RESOLVE_RESP", resp);
    parties_free(p);
}
END_TEST

/* A ticket with longer keys has a longer RANDRkms; keys that are not forked don't matter. */
START_TEST(a_randkms_as_long_as_the_keys)
{
    static const struct mkt_key_wish wishes[][2] = {
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 48},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}},
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK, .length = 64}},
        {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 16},
         {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK, .length = 64}},
    };
    static const size_t lengths[] = {48, 32, 32};
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    p->request.keys = wishes[_i];
    p->request.n_keys = 2;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span resp = resolve_resp(&p->kms);
    ck_assert_uint_eq(payload_of(resp, MKT_RANDR, MKT_RANDR_KMS).rand.rand.n, lengths[_i]);
    take(&p->bob, "RESOLVE_RESP", resp);
    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    struct mkt_message m = decoded(answer);
    find(&m, MKT_RANDR, MKT_RANDR_KMS)->rand.rand.n--;
    if (_i == 0) /* of a TRANSFER_RESP too */
        refused(&p->alice, "one octet less", as_octets(&m), MKT_E_RAND);
    take(&p->alice, "TRANSFER_RESP", answer);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* No RAND is longer than 255 octets: a KMS does not fork keys that are. */
START_TEST(keys_too_long_to_be_forked)
{
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK, .length = 255 + (size_t)_i};
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_message m = decoded(resolve_init(&p->bob));
    struct mkt_ticket_recipe recipe = p->recipe;
    struct mkt_ticket *ticket = NULL;
    struct mkt_payload payload;
    struct mkt_v vi, vr;
    struct mkt_buf measured = {NULL, 0, 0};
    const struct forger bob = as_bob(p);
    recipe.policy = &p->policy;
    recipe.keys = &tgk;
    recipe.n_keys = 1;
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &recipe), MKT_OK);
    expect_err("ticket", mkt_ticket_payload_of(ticket->payload, &payload, NULL), MKT_OK);
    struct mkt_ticket_payload *place = &find(&m, MKT_TICKET, 0)->ticket;
    expect_err("Initiator Data", mkt_initiator_data_decode(place->initiator_data, &vi, &vr), MKT_OK);
    const struct mkt_payload v[] = {{.type = MKT_V, .v = vi}, {.type = MKT_V, .v = vr}};
    *place = payload.ticket;
    place->initiator_data = initiator_data(v, 2, mpk_of(ticket->keys, 1));
    take(&p->kms, "RESOLVE_INIT", forged(&m, &bob));
    expect_err("RESOLVE_RESP", mkt_csb_make_resolve_resp(p->kms.csb, &measured), _i == 0 ? MKT_OK : MKT_E_KEY_LENGTH);
    mkt_ticket_free(ticket);
    parties_free(p);
}
END_TEST

START_TEST(modifiers_that_are_not_there)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    left_out(&m, MKT_RANDR, MKT_RANDR_KMS);
    refused(&p->bob, "RANDRkms", forged(&m, &kms), MKT_E_RAND);
    m = decoded(resp);
    left_out(&m, MKT_IDR, MKT_IDR_R);
    refused(&p->bob, "IDRr", forged(&m, &kms), MKT_E_RESPONDER);
    m = decoded(resp);
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = p->mallory.settings.self.data;
    refused(&p->bob, "a stranger", forged(&m, &kms), MKT_E_RESPONDER);
    take(&p->bob, "RESOLVE_RESP", resp);

    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    m = decoded(answer);
    left_out(&m, MKT_RANDR, MKT_RANDR_KMS);
    refused(&p->alice, "RANDRkms", as_octets(&m), MKT_E_RAND);
    m = decoded(answer);
    left_out(&m, MKT_IDR, MKT_IDR_R);
    refused(&p->alice, "IDRr", as_octets(&m), MKT_E_RESPONDER);
    take(&p->alice, "TRANSFER_RESP", answer);
    parties_free(p);
}
END_TEST

/* "the same RAND MUST be sent in a RANDRkms payload in the TRANSFER_RESP message"; it is in no key (D13). */
START_TEST(a_randkms_where_nothing_is_forked)
{
    static const uint8_t rand[32] = {1};
    const struct mkt_payload randkms = {.type = MKT_RANDR, .rand = {MKT_RANDR_KMS, {rand, sizeof rand}}};
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    put_in(&m, randkms);
    take(&p->bob, "RESOLVE_RESP", forged(&m, &kms));
    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    expect_octets("copied", payload_of(answer, MKT_RANDR, MKT_RANDR_KMS).rand.rand, randkms.rand.rand);
    take(&p->alice, "TRANSFER_RESP", answer);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* "The same modifier [...] SHALL be used" (5.3): its IDRr and RANDRkms are sent again if the ticket is remembered. */
START_TEST(a_modifier_that_is_remembered_where_nothing_is_forked)
{
    static const uint8_t rand[32] = {1};
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHJNO");
    p->bob.settings.leave_out_identities = true;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    struct mkt_message m = decoded(resolve_resp(&p->kms));
    const struct forger kms = as_kms(p, init);
    put_in(&m, (struct mkt_payload){.type = MKT_IDR, .id = {MKT_IDR_R, MKT_ID_URI, p->bob.settings.self.data}});
    put_in(&m, (struct mkt_payload){.type = MKT_RANDR, .rand = {MKT_RANDR_KMS, {rand, sizeof rand}}});
    take(&p->bob, "RESOLVE_RESP", forged(&m, &kms));
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    p->bob.player.resolved = resolved_octets(&p->bob);
    answered_by(&p->bob, offered(p));
    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    expect_octets("RANDRkms", payload_of(answer, MKT_RANDR, MKT_RANDR_KMS).rand.rand,
                  (struct mkt_span){rand, sizeof rand});
    expect_octets("IDRr", payload_of(answer, MKT_IDR, MKT_IDR_R).id.data, p->bob.settings.self.data);
    take(&p->alice, "TRANSFER_RESP", answer);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* "The reason that the KMS MAY adjust the Responder's identity is so that it matches an identity encoded in the
 * ticket": as who Bob then answers. */
START_TEST(a_kms_that_adjusts_who_answers)
{
    const bool forked = _i == 0;
    struct parties *p = parties_new(MKT_SUITE_256, forked ? "DEFGHIJNO" : "DEFGHJNO");
    const struct mkt_id robert = mkt_id_uri("sip:robert@example.com");
    uint8_t octets[1024];
    struct mkt_buf room = {octets, sizeof octets, 0};
    p->policy.responder[0] = p->offer.responder = robert;
    p->bob.player.host.member = p->kms.player.host.member = everybody;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    struct mkt_message m = decoded(resolve_resp(&p->kms));
    const struct forger kms = as_kms(p, init);
    struct mkt_span keys = p->ticket->keys;
    if (forked) {
        find(&m, MKT_IDR, MKT_IDR_R)->id.data = robert.data;
        expect_err(
            "forked",
            mkt_keys_fork(MKT_SUITE_256, keys, &robert, find(&m, MKT_RANDR, MKT_RANDR_KMS)->rand.rand, &room, &keys),
            MKT_OK);
    } else {
        put_in(&m, (struct mkt_payload){.type = MKT_IDR, .id = {MKT_IDR_R, MKT_ID_URI, robert.data}});
    }
    find(&m, MKT_KEMAC, 0)->kemac.encr_data = crypted(&m, &kms, keys);
    take(&p->bob, "RESOLVE_RESP", forged(&m, &kms));
    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    expect_octets("IDRr", payload_of(answer, MKT_IDR, MKT_IDR_R).id.data, robert.data);
    take(&p->alice, "TRANSFER_RESP", answer);
    expect_octets("peer", mkt_csb_peer(p->alice.csb).data, robert.data);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/*
 * "If the Responder receives an IDRr payload in the RESOLVE_RESP message, the same identity MUST be sent in an IDRr
 * payload in the TRANSFER_RESP message", though nothing is forked, and whatever the Responder likes to leave out.
 */
START_TEST(an_identity_that_the_kms_names)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHJNO");
    p->bob.settings.leave_out_identities = true;
    p->bob.moves = _i == 1;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    struct mkt_message m = decoded(resolve_resp(&p->kms));
    const struct forger kms = as_kms(p, init);
    put_in(&m, (struct mkt_payload){.type = MKT_IDR, .id = {MKT_IDR_R, MKT_ID_URI, p->bob.settings.self.data}});
    take(&p->bob, "RESOLVE_RESP", forged(&m, &kms));
    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    expect_octets("IDRr", payload_of(answer, MKT_IDR, MKT_IDR_R).id.data, p->bob.settings.self.data);
    take(&p->alice, "TRANSFER_RESP", answer);
    same_tek(&p->alice, &p->bob, 32);

    p->bob.player.resolved = resolved_octets(&p->bob);
    answered_by(&p->bob, offered(p));
    const struct mkt_span again = transfer_resp(&p->bob, NULL);
    expect_octets("IDRr if it is remembered", payload_of(again, MKT_IDR, MKT_IDR_R).id.data, p->bob.settings.self.data);
    take(&p->alice, "TRANSFER_RESP", again);
    parties_free(p);
}
END_TEST

/* Likewise a KMS that passes it on. */
START_TEST(an_identity_that_another_kms_names)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHJNO");
    bob_has_a_kms_of_his_own(p);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    begin(&p->kms_r, MKT_KMS);
    p->kms_r.moves = true;
    take(&p->kms_r, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span init = resolve_init(&p->kms_r);
    take(&p->kms, "RESOLVE_INIT", init);
    struct mkt_message m = decoded(resolve_resp(&p->kms));
    const struct forger kms = {.suite = MKT_SUITE_256, .key = p->kms_r.key.psk, .init = init};
    if (_i == 0)
        put_in(&m, (struct mkt_payload){.type = MKT_IDR, .id = {MKT_IDR_R, MKT_ID_URI, p->bob.settings.self.data}});
    take(&p->kms_r, "RESOLVE_RESP", forged(&m, &kms));
    const struct mkt_span resp = resolve_resp(&p->kms_r);
    const struct mkt_message r = decoded(resp);
    ck_assert((mkt_message_find(&r, MKT_IDR, MKT_IDR_R) != NULL) == (_i == 0));
    take(&p->bob, "RESOLVE_RESP", resp);
    parties_free(p);
}
END_TEST

/* ---- freshness ---- */

START_TEST(a_rand_shorter_than_the_key)
{
    struct parties *p = waiting(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJNO");
    struct mkt_message m = decoded(resolve_init(&p->bob));
    const struct forger bob = as_bob(p);
    struct mkt_payload *randr = find(&m, MKT_RANDR, MKT_RANDR_R);
    randr->rand.rand.n--;
    refused(&p->kms, "one octet less", forged(&m, &bob), MKT_E_RAND);
    randr->rand.rand.n = p->tpk.n;
    take(&p->kms, "long enough", forged(&m, &bob));
    parties_free(p);
}
END_TEST

START_TEST(clocks_that_differ)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    p->kms.player.now = ntp(NOW + 301);
    refused(&p->kms, "old", init, MKT_E_STALE);
    p->kms.player.now = ntp(NOW - 301);
    refused(&p->kms, "future", init, MKT_E_FUTURE);
    p->kms.player.now = ntp(NOW + 299);
    take(&p->kms, "within the skew", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    p->bob.player.now = ntp(NOW - 2);
    refused(&p->bob, "future", resp, MKT_E_FUTURE);
    p->bob.player.now = ntp(NOW + 600);
    refused(&p->bob, "old", resp, MKT_E_STALE);
    p->bob.player.now = ntp(NOW + 301); /* the answer is fresh, but not the TRANSFER_INIT any more */
    refused(&p->bob, "too late", resp, MKT_E_STALE);
    p->bob.player.now = ntp(NOW + 300);
    take(&p->bob, "within the skew", resp);
    parties_free(p);
}
END_TEST

START_TEST(a_ticket_that_expires_while_the_kms_is_asked)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    p->policy.has_end = true;
    p->policy.end = ntp(NOW + 10);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span resp = resolve_resp(&p->kms);
    p->bob.player.now = ntp(NOW + 11);
    refused(&p->bob, "expired", resp, MKT_E_EXPIRED);
    p->bob.player.now = ntp(NOW + 10);
    take(&p->bob, "just in time", resp);
    parties_free(p);
}
END_TEST

START_TEST(a_replayed_question)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    if (_i == 1)
        all_count(p);
    be_granted(p);
    begin(&p->kms, MKT_KMS);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    resolve_resp(&p->kms);
    refused(&p->kms, "again", init, MKT_E_REPLAY);
    begin(&p->kms, MKT_KMS);
    refused(&p->kms, "again, of another bundle", init, MKT_E_REPLAY);
    go_on(p, resolve_init(&p->bob));
    parties_free(p);
}
END_TEST

/* Bob can tell a TRANSFER_INIT that he had already only once it is authenticated. */
START_TEST(a_replayed_offer)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    if (_i == 1)
        all_count(p);
    be_granted(p);
    begin(&p->kms, MKT_KMS);
    const struct mkt_span offer = offered(p);
    answered_by(&p->bob, offer);
    go_on(p, resolve_init(&p->bob));
    answered_by(&p->bob, offer);
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    refused(&p->bob, "again", resolve_resp(&p->kms), MKT_E_REPLAY);
    parties_free(p);
}
END_TEST

/* What a host counts it counts once all else is right: the same answer can be taken when it is. */
START_TEST(counters_are_looked_at_last)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    all_count(p);
    be_granted(p);
    begin(&p->kms, MKT_KMS);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    p->kms.player.fail = MKT_E_DENIED;
    refused(&p->kms, "denied", init, MKT_E_DENIED);
    p->kms.player.fail = MKT_OK;
    take(&p->kms, "allowed", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    p->bob.player.host.authorise = not_that_role;
    unwanted = MKT_INITIATOR;
    refused(&p->bob, "denied", resp, MKT_E_DENIED);
    unwanted = MKT_RESPONDER;
    take(&p->bob, "allowed", resp);
    parties_free(p);
}
END_TEST

/* Which question an answer is for: the CSB ID tells, then RANDRr, then the whole RESOLVE_INIT. */
START_TEST(the_answer_to_another_question)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const size_t drawn = p->bob.player.next_random;
    const struct mkt_span first = resolve_init(&p->bob);
    p->bob.player.next_random = drawn;
    p->bob.player.now = ntp(NOW + 1); /* the same CSB ID and RANDRr at another time */
    const struct mkt_span second = resolve_init(&p->bob);
    ck_assert(mkt_span_equal((struct mkt_span){first.p + 4, 4}, (struct mkt_span){second.p + 4, 4}));
    take(&p->kms, "first", first);
    refused(&p->bob, "another time", resolve_resp(&p->kms), MKT_E_MAC);
    take(&p->kms, "second", second);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct mkt_span third = resolve_init(&p->bob);
    refused(&p->bob, "another CSB ID", resp, MKT_E_CSB_ID);
    go_on(p, third);
    parties_free(p);
}
END_TEST

/* ---- 4.2.2.2: what a Responder asks no KMS about ---- */

static bool anything(void *user, const struct mkt_sp *sp)
{
    (void)user;
    return sp->prot_type == MKT_PROT_TLS;
}

static bool nothing(void *user, const struct mkt_sp *sp)
{
    (void)user;
    (void)sp;
    return false;
}

/* Policies that Bob does not have to ask a KMS about; each is put into the TICKET of Alice's TRANSFER_INIT. */
static struct mkt_span with_policy(struct mkt_span init, const struct mkt_policy *policy)
{
    struct mkt_message m = decoded(init);
    struct mkt_ticket_payload *ticket = &find(&m, MKT_TICKET, 0)->ticket;
    uint8_t octets[1024];
    struct mkt_buf tp_data = {octets, sizeof octets, 0};
    expect_err("policy", mkt_policy_encode(policy, &tp_data), MKT_OK);
    ticket->tp_data = (struct mkt_span){octets, tp_data.n};
    ticket->flags = policy->flags;
    ticket->type = policy->type;
    ticket->prf = policy->prf;
    return as_octets(&m);
}

START_TEST(early_reject)
{
    static const uint8_t sp_params[] = {1, 1, 1};
    const struct mkt_sp odd = {3, MKT_PROT_TLS, {sp_params, sizeof sp_params}};
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_message m;
    struct mkt_policy wrong;
    p->policy.has_start = p->policy.has_end = true;
    p->policy.start = ntp(NOW - 100);
    p->policy.end = ntp(NOW + 100);
    p->policy.application[p->policy.n_applications++] = text("msrp");
    be_granted(p);
    const struct mkt_span init = offered(p);
    p->bob.settings.allow_own_identity = true; /* another permission than that to leave the list of protocols out */
    begin(&p->bob, MKT_RESPONDER);

    p->bob.player.now = ntp(NOW + 301);
    refused(&p->bob, "stale", init, MKT_E_STALE);
    p->bob.player.now = ntp(NOW + 101);
    refused(&p->bob, "expired", init, MKT_E_EXPIRED);
    p->bob.player.now = ntp(NOW - 101);
    refused(&p->bob, "not yet valid", init, MKT_E_NOT_YET);
    p->bob.player.now = ntp(NOW - 301);
    refused(&p->bob, "future", init, MKT_E_FUTURE);
    p->bob.player.now = ntp(NOW);

    wrong = p->policy;
    wrong.application[0] = text("bfcp");
    refused(&p->bob, "application", with_policy(init, &wrong), MKT_E_APPLICATION);
    wrong = p->policy;
    wrong.responder[0] = p->carol.settings.self;
    refused(&p->bob, "for Carol", with_policy(init, &wrong), MKT_E_RESPONDER);
    wrong = p->policy;
    wrong.initiator = p->carol.settings.self;
    refused(&p->bob, "of Carol", with_policy(init, &wrong), MKT_E_INITIATOR);
    wrong = p->policy;
    wrong.n_responders = 0;
    refused(&p->bob, "for nobody", with_policy(init, &wrong), MKT_E_POLICY);
    wrong = p->policy;
    wrong.flags &= (uint16_t)~MKT_FLAG_F;
    refused(&p->bob, "G without F", with_policy(init, &wrong), MKT_E_FLAGS);
    wrong = p->policy;
    wrong.flags &= (uint16_t)~MKT_FLAG_O;
    refused(&p->bob, "O", with_policy(init, &wrong), MKT_E_TICKET_TYPE);
    wrong.type = 2;
    refused(&p->bob, "a type of others, and O", with_policy(init, &wrong), MKT_E_TICKET_TYPE);
    wrong = p->policy;
    wrong.prf = MKT_PRF_MIKEY_1;
    refused(&p->bob, "PRF", with_policy(init, &wrong), MKT_E_PRF);
    wrong = p->policy;
    wrong.flags &= (uint16_t)~MKT_FLAG_I;
    refused(&p->bob, "Initiator Data without I", with_policy(init, &wrong), MKT_E_INITIATOR_DATA);

    m = decoded(init);
    find(&m, MKT_TICKET, 0)->ticket.initiator_data = text("");
    refused(&p->bob, "I without Initiator Data", as_octets(&m), MKT_E_INITIATOR_DATA);
    m = decoded(init);
    m.payload[m.n - 1].v.mac = (struct mkt_span){p->tpk.p, 32};
    refused(&p->bob, "Vi is not V", as_octets(&m), MKT_E_INITIATOR_MAC);
    m = decoded(init);
    m.payload[m.n - 1].v = (struct mkt_v){MKT_MAC_NULL, {NULL, 0}};
    refused(&p->bob, "NULL MAC", as_octets(&m), MKT_E_MAC_ALG);
    m = decoded(init);
    find(&m, MKT_IDR, MKT_IDR_I)->id.data = p->mallory.settings.self.data;
    refused(&p->bob, "Mallory", as_octets(&m), MKT_E_INITIATOR);
    m = decoded(init);
    put_in(&m, (struct mkt_payload){.type = MKT_KEMAC, .kemac = {.encr_alg = MKT_ENCR_AES_CM_256}});
    refused(&p->bob, "KEMAC without L", as_octets(&m), MKT_E_KEMAC);
    m = decoded(init);
    left_out(&m, MKT_GENERAL_EXT, MKT_EXT_SDP_IDS);
    refused(&p->bob, "no list of protocols", as_octets(&m), MKT_E_PROTOCOLS);
    m = decoded(init);
    m.hdr.map_type = MKT_MAP_EMPTY;
    m.hdr.n_cs = 0;
    m.hdr.map = text("");
    refused(&p->bob, "no crypto session", as_octets(&m), MKT_E_CS);
    m = decoded(init);
    find(&m, MKT_T, 0)->t = (struct mkt_t){.ts_type = MKT_TS_COUNTER, .value = 1};
    refused(&p->bob, "COUNTER", as_octets(&m), MKT_E_COUNTER);

    ck_assert(!mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK));
    ck_assert_uint_eq(p->bob.n_asked, 0);
    take(&p->bob, "TRANSFER_INIT", init);
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK));

    p->offer.sp = &odd;
    p->offer.n_sp = 1;
    p->alice.player.host.acceptable = anything;
    const struct mkt_span with_sp = offered(p);
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "security policy", with_sp, MKT_E_SP_PARAMETERS);
    p->offer.sp = &(const struct mkt_sp){3, MKT_PROT_TLS, {NULL, 0}};
    p->bob.player.host.acceptable = nothing;
    refused(&p->bob, "by the host's word", offered(p), MKT_E_SP_PARAMETERS);
    ck_assert(!mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK));
    parties_free(p);
}
END_TEST

/* "Of a TRANSFER_INIT that the KMS is to resolve first nothing is known before the RESOLVE_RESP was taken." */
static void nothing_is_known(const struct parties *p)
{
    struct mkt_key_data key;
    struct mkt_buf measured = {NULL, 0, 0};
    struct mkt_cs cs;
    struct mkt_sp sp;
    ck_assert_uint_eq(mkt_csb_peer(p->bob.csb).data.n, 0);
    ck_assert_uint_eq(mkt_csb_session_count(p->bob.csb), 0);
    ck_assert_uint_eq(mkt_csb_rekey_interval(p->bob.csb), 0);
    ck_assert(!mkt_csb_ready(p->bob.csb) && !mkt_csb_must_make(p->bob.csb, MKT_TRANSFER_RESP));
    expect_err("key", mkt_csb_key(p->bob.csb, 0, &key), MKT_E_NO_SESSION);
    expect_err("session", mkt_csb_session_at(p->bob.csb, 0, &cs), MKT_E_NO_SESSION);
    expect_err("SP", mkt_csb_sp(p->bob.csb, 1, &sp), MKT_E_STATE);
    expect_err("TEK", mkt_csb_tek(p->bob.csb, 1, &measured), MKT_E_STATE);
    expect_err("salt", mkt_csb_salt(p->bob.csb, 1, &measured), MKT_E_STATE);
    expect_err("PSK identity", mkt_csb_psk_identity(p->bob.csb, 1, &measured), MKT_E_STATE);
    expect_err("what is resolved", mkt_csb_save_resolved(p->bob.csb, &measured), MKT_E_STATE);
    expect_err("answer", mkt_csb_make_transfer_resp(p->bob.csb, NULL, &measured), MKT_E_STATE);
    ck_assert_uint_eq(p->bob.n_asked, 0);
    ck_assert_uint_eq(p->bob.player.n_seen, 0);
}

START_TEST(nothing_is_known_before_the_kms_answers)
{
    struct parties *p = parties_new(MKT_SUITE_256, _i == 0 ? "DEFGHIJLNO" : "DEFGHJLNO");
    struct mkt_key_data key;
    p->policy.has_rekeying = true;
    p->policy.rekeying = ntp(60);
    be_granted(p);
    p->offer.keys = &one_tgk;
    p->offer.n_keys = 1;
    answered_by(&p->bob, offered(p));
    nothing_is_known(p);
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    nothing_is_known(p);
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms));
    expect_octets("Alice", mkt_csb_peer(p->bob.csb).data, p->alice.settings.self.data);
    ck_assert_uint_eq(p->bob.n_asked, 2);
    ck_assert_int_eq(p->bob.asked_role, MKT_INITIATOR);
    ck_assert(p->bob.asked_proven);
    ck_assert_uint_eq(p->bob.player.n_seen, 1);
    expect_err("of the ticket", mkt_csb_key(p->bob.csb, 0, &key), MKT_OK);
    expect_err("Alice's", mkt_csb_key(p->bob.csb, 1, &key), MKT_OK);
    expect_err("no more", mkt_csb_key(p->bob.csb, 2, &key), MKT_E_NO_SESSION);
    transfer_resp(&p->bob, NULL);
    ck_assert_uint_eq(mkt_csb_rekey_interval(p->bob.csb), 60);
    parties_free(p);
}
END_TEST

static void not_to_be_seen(const struct party *party)
{
    struct mkt_id initiator;
    struct mkt_policy policy;
    expect_err("view", mkt_csb_unverified(party->csb, &initiator, &policy), MKT_E_STATE);
}

/* 4.2.2.2: Bob can look at the call, and reject it, before the KMS is asked. Nothing that he sees is verified. */
START_TEST(a_call_that_is_rejected_before_the_kms_is_asked)
{
    struct parties *p = granted_by_kms(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJLNO");
    struct mkt_span init = offered(p);
    struct mkt_policy policy = {.type = 0};
    struct mkt_id initiator = {.type = 0};
    uint8_t octets[512];
    struct mkt_buf error = {octets, sizeof octets, 0};
    begin(&p->bob, MKT_RESPONDER);
    not_to_be_seen(&p->bob);
    not_to_be_seen(&p->alice);
    take(&p->bob, "TRANSFER_INIT", init);
    expect_err("view", mkt_csb_unverified(p->bob.csb, &initiator, &policy), MKT_OK);
    ck_assert(mkt_id_equal(&initiator, &p->alice.settings.self));
    ck_assert(mkt_id_equal(&policy.initiator, &p->alice.settings.self));
    ck_assert(mkt_id_equal(&policy.kms, &p->kms.settings.self));
    ck_assert_uint_eq(policy.n_responders, 1);
    ck_assert(mkt_id_equal(&policy.responder[0], &p->bob.settings.self));
    ck_assert_uint_eq(policy.flags, p->policy.flags);
    nothing_is_known(p);
    expect_err("error", mkt_csb_make_error(p->bob.csb, text(""), MKT_E_DENIED, NULL, 0, &error), MKT_OK);
    take(&p->alice, "Error", exact(mkt_buf_span(&error)));

    /* to be seen as long as the KMS has not answered */
    const struct mkt_span question = resolve_init(&p->bob);
    expect_err("view", mkt_csb_unverified(p->bob.csb, &initiator, &policy), MKT_OK);
    ck_assert(mkt_id_equal(&initiator, &p->alice.settings.self));
    take(&p->kms, "RESOLVE_INIT", question);
    not_to_be_seen(&p->kms); /* it knows better */
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms));
    not_to_be_seen(&p->bob);
    parties_free(p);

    /* a KMS that passes a RESOLVE_INIT on knows who asked */
    p = parties_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJLNO");
    bob_has_a_kms_of_his_own(p);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    begin(&p->kms_r, MKT_KMS);
    take(&p->kms_r, "RESOLVE_INIT", resolve_init(&p->bob));
    ck_assert(mkt_csb_must_make(p->kms_r.csb, MKT_RESOLVE_INIT_PSK));
    not_to_be_seen(&p->kms_r);
    parties_free(p);
}
END_TEST

/* ---- TRANSFER_RESP ---- */

static void no_key_handed_over(const struct parties *p, struct mkt_span whole)
{
    struct mkt_buf measured = {NULL, 0, 0};
    ck_assert(!mkt_csb_ready(p->alice.csb));
    ck_assert_uint_eq(mkt_csb_peer(p->alice.csb).data.n, 0);
    expect_err("TEK", mkt_csb_tek(p->alice.csb, 1, &measured), MKT_E_STATE);
    expect_err("PSK identity", mkt_csb_psk_identity(p->alice.csb, 1, &measured), MKT_E_STATE);
    expect_octets("TGK, not forked", session_key(&p->alice, 0).key, whole);
}

START_TEST(an_answer_that_the_initiator_does_not_expect)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span whole = session_key(&p->alice, 0).key;
    resolved_by(&p->kms, &p->bob);
    const struct mkt_span resp = transfer_resp(&p->bob, NULL);
    p->alice.player.fail = MKT_E_DENIED;
    p->alice.n_asked = 0;
    refused(&p->alice, "not Bob, please", resp, MKT_E_DENIED);
    ck_assert_uint_eq(p->alice.n_asked, 1);
    ck_assert_int_eq(p->alice.asked_role, MKT_RESPONDER);
    ck_assert(p->alice.asked_proven);
    expect_octets("who", p->alice.asked_id.data, p->bob.settings.self.data);
    no_key_handed_over(p, whole);
    p->alice.player.fail = MKT_OK;
    take(&p->alice, "TRANSFER_RESP", resp);
    parties_free(p);
}
END_TEST

/* With key forking "MPKr SHALL be used to verify the TRANSFER_RESP message", forked by who answers: no other key will
 * do. */
START_TEST(answers_protected_with_another_key)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = offered(p), whole = session_key(&p->alice, 0).key;
    const struct mkt_span keys = p->ticket->keys;
    uint8_t octets[1024];
    struct mkt_buf room = {octets, sizeof octets, 0};
    struct mkt_span forked;
    answered_by(&p->bob, init);
    resolved_by(&p->kms, &p->bob);
    const struct mkt_span resp = transfer_resp(&p->bob, NULL);
    struct mkt_message m = decoded(resp);
    const struct mkt_id bob = p->bob.settings.self, carol = p->carol.settings.self;
    const struct mkt_span randkms = find(&m, MKT_RANDR, MKT_RANDR_KMS)->rand.rand;
    expect_err("Bob's", mkt_keys_fork(MKT_SUITE_256, keys, &bob, randkms, &room, &forked), MKT_OK);
    struct forger forger = {.suite = MKT_SUITE_256, .init = init, .key = mpk_of(forked, 1)};
    expect_octets("Bob's own", forged(&m, &forger), resp);

    forger.key = mpk_of(keys, 1);
    refused(&p->alice, "MPKr, not forked", forged(&m, &forger), MKT_E_MAC);
    forger.key = mpk_of(keys, 0);
    refused(&p->alice, "MPKi", forged(&m, &forger), MKT_E_MAC);
    forger.key = p->bob.key.psk;
    refused(&p->alice, "Bob's PSK", forged(&m, &forger), MKT_E_MAC);
    expect_err("Carol's", mkt_keys_fork(MKT_SUITE_256, keys, &carol, randkms, &room, &forked), MKT_OK);
    forger.key = mpk_of(forked, 1);
    refused(&p->alice, "Carol as Bob", forged(&m, &forger), MKT_E_MAC);
    ck_assert_uint_eq(p->alice.n_asked, 1); /* about the KMS */
    no_key_handed_over(p, whole);

    /* in her own name, with keys that are hers: but Alice did not ask for her, and her host does not know her (D26) */
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = carol.data;
    p->alice.player.fail = MKT_E_DENIED;
    refused(&p->alice, "Carol", forged(&m, &forger), MKT_E_DENIED);
    ck_assert_uint_eq(p->alice.n_asked, 2);
    expect_octets("asked about", p->alice.asked_id.data, carol.data);
    no_key_handed_over(p, whole);
    p->alice.player.fail = MKT_OK;
    enum mkt_err (*const authorise)(void *, const struct mkt_peer *) = p->alice.player.host.authorise;
    p->alice.player.host.authorise = NULL;
    refused(&p->alice, "nobody decides", forged(&m, &forger), MKT_E_RESPONDER);
    no_key_handed_over(p, whole);
    p->alice.player.host.authorise = authorise;
    take(&p->alice, "Bob", resp);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* The CSB ID tells which offer an answer is for, before any key is derived. */
START_TEST(an_answer_to_another_offer)
{
    struct parties *p = waiting(MKT_SUITE_256, _i == 0 ? "DEFGHIJNO" : "DEFGHJNO");
    resolved_by(&p->kms, &p->bob);
    const struct mkt_span first = transfer_resp(&p->bob, NULL);
    answered_by(&p->bob, offered(p));
    refused(&p->alice, "of her first", first, MKT_E_CSB_ID);
    go_on(p, resolve_init(&p->bob));
    parties_free(p);
}
END_TEST

/* A KEMAC of the Responder's has session keys alone, with SPIs of their own. */
START_TEST(keys_that_a_responder_must_not_supply)
{
    enum { M = MKT_KEY_MPK, T = MKT_KEY_TGK };
    static const struct {
        const char *what;
        uint8_t types[3], lengths[2];
        const char *spis;
        enum mkt_err err;
    } wrong[] = {
        {"an MPK", {M, NO_KEY}, {32}, "a", MKT_E_MPK}, {"an SPI twice", {T, T, NO_KEY}, {32, 32}, "aa", MKT_E_SPI},
        {"no SPI", {T, NO_KEY}, {32}, "-", MKT_E_SPI}, {"a short key", {T, NO_KEY}, {15}, "a", MKT_E_KEY_LENGTH},
        {"none", {NO_KEY}, {0}, "", MKT_E_MISSING},
    };
    const struct mkt_answer answer = {.size = sizeof answer, .keys = &one_tgk, .n_keys = 1};
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJMNO");
    const struct mkt_span init = offered(p), keys = p->ticket->keys;
    uint8_t octets[1024];
    struct mkt_buf room = {octets, sizeof octets, 0};
    struct mkt_span forked;
    answered_by(&p->bob, init);
    resolved_by(&p->kms, &p->bob);
    const struct mkt_span resp = transfer_resp(&p->bob, &answer);
    struct mkt_message m = decoded(resp);
    expect_err("Bob's",
               mkt_keys_fork(MKT_SUITE_256, keys, &p->bob.settings.self, find(&m, MKT_RANDR, MKT_RANDR_KMS)->rand.rand,
                             &room, &forked),
               MKT_OK);
    const struct forger bob = {.suite = MKT_SUITE_256, .init = init, .key = mpk_of(forked, 1)};
    find(&m, MKT_KEMAC, 0)->kemac.encr_data =
        crypted(&m, &bob, key_chain(wrong[_i].types, wrong[_i].lengths, wrong[_i].spis));
    refused(&p->alice, wrong[_i].what, forged(&m, &bob), wrong[_i].err);
    take(&p->alice, "TRANSFER_RESP", resp);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* ---- shape, algorithms ---- */

START_TEST(every_bit_of_a_question_counts)
{
    struct parties *p = waiting(_i < 2 ? MKT_SUITE_256 : MKT_SUITE_128, _i & 1 ? "DEFGHIJNO" : "DEFGHJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    every_bit_counts(&p->kms, "RESOLVE_INIT", init);
    go_on(p, init);
    parties_free(p);
}
END_TEST

START_TEST(every_bit_of_an_answer_counts)
{
    struct parties *p = waiting(_i < 2 ? MKT_SUITE_256 : MKT_SUITE_128, _i & 1 ? "DEFGHIJNO" : "DEFGHJNO");
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span resp = resolve_resp(&p->kms);
    every_bit_counts(&p->bob, "RESOLVE_RESP", resp);
    take(&p->bob, "RESOLVE_RESP", resp);
    const struct mkt_span answer = transfer_resp(&p->bob, NULL);
    every_bit_counts(&p->alice, "TRANSFER_RESP", answer);
    take(&p->alice, "TRANSFER_RESP", answer);
    parties_free(p);
}
END_TEST

START_TEST(algorithms_of_a_question)
{
    static const uint8_t octets[32] = {1};
    const bool suite128 = _i == 1;
    struct parties *p = waiting(suite128 ? MKT_SUITE_128 : MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_v null = {MKT_MAC_NULL, {NULL, 0}},
                       other = suite128 ? (struct mkt_v){MKT_MAC_HMAC_SHA_256_256, {octets, 32}}
                                        : (struct mkt_v){MKT_MAC_HMAC_SHA_1_160, {octets, 20}};
    const struct mkt_span init = resolve_init(&p->bob);
    struct mkt_message m = decoded(init);
    const struct mkt_v ours = m.payload[m.n - 1].v;
    const uint16_t prf = m.hdr.prf;
    const struct {
        const char *what;
        uint16_t hdr, ticket;
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
        m.hdr.prf = wrong[i].hdr;
        find(&m, MKT_TICKET, 0)->ticket.prf = wrong[i].ticket;
        m.payload[m.n - 1].v = wrong[i].v;
        refused(&p->kms, wrong[i].what, as_octets(&m), wrong[i].err);
    }
    go_on(p, init);
    parties_free(p);
}
END_TEST

START_TEST(algorithms_of_an_answer)
{
    static const uint8_t octets[32] = {1};
    const bool suite128 = _i == 1;
    struct parties *p = waiting(suite128 ? MKT_SUITE_128 : MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_v null = {MKT_MAC_NULL, {NULL, 0}},
                       other = suite128 ? (struct mkt_v){MKT_MAC_HMAC_SHA_256_256, {octets, 32}}
                                        : (struct mkt_v){MKT_MAC_HMAC_SHA_1_160, {octets, 20}};
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span resp = resolve_resp(&p->kms);
    struct mkt_message m = decoded(resp);
    struct mkt_kemac *kemac = &find(&m, MKT_KEMAC, 0)->kemac;
    const struct mkt_v ours = m.payload[m.n - 1].v;
    const uint8_t encr = kemac->encr_alg, other_encr = suite128 ? MKT_ENCR_AES_CM_256 : MKT_ENCR_AES_CM_128;
    const uint16_t prf = m.hdr.prf;
    const struct {
        const char *what;
        uint16_t hdr;
        struct mkt_v v;
        uint8_t encr;
        struct mkt_v of_kemac;
        enum mkt_err err;
    } wrong[] = {
        {"NULL MAC", prf, null, encr, null, MKT_E_MAC_ALG},
        {"MAC of the other suite", prf, other, encr, null, MKT_E_MAC_ALG},
        {"PRF of the other suite", prf ^ 1, ours, encr, null, MKT_E_PRF},
        {"the other suite", prf ^ 1, other, other_encr, null, MKT_E_PRF},
        {"NULL encryption", prf, ours, MKT_ENCR_NULL, null, MKT_E_ENCR_ALG},
        {"encryption of the other suite", prf, ours, other_encr, null, MKT_E_ENCR_ALG},
        {"key wrap (D20)", prf, ours, MKT_ENCR_AES_KW_128, null, MKT_E_ENCR_ALG},
        {"KEMAC with a MAC", prf, ours, encr, ours, MKT_E_KEMAC_MAC},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        m.hdr.prf = wrong[i].hdr;
        m.payload[m.n - 1].v = wrong[i].v;
        kemac->encr_alg = wrong[i].encr;
        kemac->mac_alg = wrong[i].of_kemac.mac_alg;
        kemac->mac = wrong[i].of_kemac.mac;
        refused(&p->bob, wrong[i].what, as_octets(&m), wrong[i].err);
    }
    take(&p->bob, "the right one", resp);
    parties_free(p);
}
END_TEST

START_TEST(payloads_that_must_be_there)
{
    static const struct {
        unsigned type;
        uint8_t role;
    } needed[] = {{MKT_T, 0}, {MKT_RANDR, MKT_RANDR_R}, {MKT_TICKET, 0}}, needed_resp[] = {{MKT_T, 0}, {MKT_KEMAC, 0}};
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    for (size_t i = 0; i < 3; i++) {
        struct mkt_message m = decoded(init);
        left_out(&m, needed[i].type, needed[i].role);
        refused(&p->kms, "left out", as_octets(&m), MKT_E_MISSING);
    }
    for (size_t i = 0; i < 6; i++) { /* all but V, which is last */
        struct mkt_message m = decoded(init);
        put_in(&m, m.payload[i]);
        refused(&p->kms, "twice", as_octets(&m), MKT_E_TOO_MANY);
    }
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    for (size_t i = 0; i < 2; i++) {
        struct mkt_message m = decoded(resp);
        left_out(&m, needed_resp[i].type, needed_resp[i].role);
        refused(&p->bob, "left out", as_octets(&m), MKT_E_MISSING);
    }
    for (size_t i = 0; i < 5; i++) {
        struct mkt_message m = decoded(resp);
        put_in(&m, m.payload[i]);
        refused(&p->bob, "twice", as_octets(&m), MKT_E_TOO_MANY);
    }
    take(&p->bob, "RESOLVE_RESP", resp);
    parties_free(p);
}
END_TEST

/* "Unexpected payloads in the RESOLVE_INIT message SHOULD be ignored", and so in the RESOLVE_RESP. */
START_TEST(payloads_that_nobody_expects)
{
    const struct mkt_payload unexpected[] = {
        {.type = MKT_GENERAL_EXT, .general_ext = {MKT_EXT_VENDOR_ID, text("somebody")}},
        {.type = MKT_RANDR, .rand = {MKT_RANDR_I, text("not asked for")}},
        {.type = MKT_IDR, .id = {MKT_IDR_I, MKT_ID_URI, text("sip:mallory@example.com")}},
        {.type = MKT_KEMAC, .kemac = {.encr_alg = MKT_ENCR_NULL, .mac_alg = MKT_MAC_NULL}},
    };
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span init = resolve_init(&p->bob);
    struct mkt_message m = decoded(init);
    for (size_t i = 0; i < 4; i += i == 0 ? 2 : 1) /* the forger would take RANDRi into the keys */
        put_in(&m, unexpected[i]);
    const struct forger bob = as_bob(p);
    take(&p->kms, "more than expected", forged(&m, &bob));
    mkt_csb_abandon(p->kms.csb);
    take(&p->kms, "RESOLVE_INIT", init);
    m = decoded(resolve_resp(&p->kms));
    put_in(&m, unexpected[0]);
    put_in(&m, unexpected[2]);
    const struct forger kms = as_kms(p, init);
    take(&p->bob, "more than expected", forged(&m, &kms));
    parties_free(p);
}
END_TEST

START_TEST(a_question_with_crypto_sessions)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct forger bob = as_bob(p);
    const struct mkt_span init = resolve_init(&p->bob);
    struct mkt_message m = decoded(init);
    m.hdr.map_type = MKT_MAP_GENERIC_ID;
    refused(&p->kms, "GENERIC-ID", forged(&m, &bob), MKT_E_BAD_MAP);
    m = decoded(init);
    m.hdr.v = 0; /* "SHALL be ignored by the KMS as a response is MANDATORY" */
    take(&p->kms, "V", forged(&m, &bob));
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
        {"a TGK longer than RANDRkms", "DEFGHIJNO", {M, M, T, NO_KEY}, {32, 32, 33}, "abc", MKT_E_RAND},
        {"an MPKr longer than RANDRkms", "DEFGHIJNO", {M, M, T, NO_KEY}, {32, 33, 32}, "abc", MKT_E_RAND},
        {"other keys, another MPKi", "DEFGHIJNO", {M, M, G, NO_KEY}, {32, 32, 33}, "abc", MKT_E_MAC},
    };
    struct parties *p = waiting(MKT_SUITE_256, wrong[_i].flags);
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    find(&m, MKT_KEMAC, 0)->kemac.encr_data =
        crypted(&m, &kms, key_chain(wrong[_i].types, wrong[_i].lengths, wrong[_i].spis));
    refused(&p->bob, wrong[_i].what, forged(&m, &kms), wrong[_i].err);
    take(&p->bob, "the right one", resp);
    parties_free(p);
}
END_TEST

/* 6.10: F where I is set and a TGK is in the ticket; a Responder sees it in the keys. */
START_TEST(a_tgk_where_nobody_answers)
{
    enum { M = MKT_KEY_MPK, T = MKT_KEY_TGK };
    static const uint8_t types[] = {M, M, T, NO_KEY}, lengths[] = {32, 32, 32};
    const struct mkt_key_wish gtgk = {.size = sizeof gtgk, .type = MKT_KEY_GTGK};
    struct parties *p = parties_new(MKT_SUITE_256, "DEHIJNO");
    p->request.keys = &gtgk;
    p->request.n_keys = 1;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span resp = resolve_resp(&p->kms);
    const struct forger kms = as_kms(p, init);
    struct mkt_message m = decoded(resp);
    find(&m, MKT_KEMAC, 0)->kemac.encr_data = crypted(&m, &kms, key_chain(types, lengths, "abc"));
    refused(&p->bob, "TGK", forged(&m, &kms), MKT_E_FLAGS);
    take(&p->bob, "GTGK", resp);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* ---- steps ---- */

/* 4.2.3: the KMS does not answer, and is asked again; only the answer to the last question counts. */
START_TEST(asked_again)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    p->bob.moves = _i == 1;
    const struct mkt_span first = resolve_init(&p->bob), second = resolve_init(&p->bob);
    ck_assert(!mkt_span_equal((struct mkt_span){first.p + 4, 4}, (struct mkt_span){second.p + 4, 4}));
    take(&p->kms, "first", first);
    refused(&p->bob, "first", resolve_resp(&p->kms), MKT_E_CSB_ID);
    take(&p->kms, "second", second);
    const struct mkt_span resp = resolve_resp(&p->kms);
    mkt_csb_abandon(p->bob.csb);
    refused(&p->bob, "given up", resp, MKT_E_STATE);
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK)); /* the TRANSFER_INIT waits on */
    go_on(p, resolve_init(&p->bob));
    parties_free(p);
}
END_TEST

/* Called again, mkt_csb_abandon() forgets the TRANSFER_INIT too. */
START_TEST(given_up)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span offer = offered(p);
    begin(&p->bob, MKT_RESPONDER);
    const struct mkt_span fresh = stored(&p->bob);
    take(&p->bob, "TRANSFER_INIT", offer);
    const struct mkt_span init = resolve_init(&p->bob);
    mkt_csb_abandon(p->bob.csb);
    mkt_csb_abandon(p->bob.csb);
    expect_octets("as new", stored(&p->bob), fresh);
    take(&p->kms, "RESOLVE_INIT", init);
    refused(&p->bob, "too late", resolve_resp(&p->kms), MKT_E_DATA_TYPE);
    take(&p->bob, "TRANSFER_INIT", offer);
    mkt_csb_abandon(p->bob.csb);
    expect_octets("as new", stored(&p->bob), fresh);
    take(&p->bob, "TRANSFER_INIT", offer);
    go_on(p, resolve_init(&p->bob));
    parties_free(p);
}
END_TEST

START_TEST(steps_out_of_order)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0};
    const struct mkt_span offer = offered(p);
    begin(&p->bob, MKT_RESPONDER);
    expect_err("nothing to ask", mkt_csb_make_resolve_init(p->bob.csb, &measured), MKT_E_STATE);
    expect_err("nothing to ask", mkt_csb_make_resolve_init(p->kms.csb, &measured), MKT_E_STATE);
    expect_err("nothing to ask", mkt_csb_make_resolve_init(p->alice.csb, &measured), MKT_E_STATE);
    expect_err("nothing to answer", mkt_csb_make_resolve_resp(p->kms.csb, &measured), MKT_E_STATE);
    take(&p->bob, "TRANSFER_INIT", offer);
    refused(&p->bob, "nothing asked", offer, MKT_E_STATE);
    const struct mkt_span init = resolve_init(&p->bob);
    refused(&p->bob, "waits for the KMS", offer, MKT_E_DATA_TYPE);
    refused(&p->bob, "his own", init, MKT_E_DATA_TYPE);
    refused(&p->alice, "no KMS", init, MKT_E_DATA_TYPE);
    take(&p->kms, "RESOLVE_INIT", init);
    ck_assert(mkt_csb_must_make(p->kms.csb, MKT_RESOLVE_RESP) && !mkt_csb_must_make(p->kms.csb, MKT_REQUEST_RESP) &&
              !mkt_csb_must_make(p->kms.csb, MKT_RESOLVE_INIT_PSK));
    refused(&p->kms, "one at a time", init, MKT_E_STATE);
    expect_err("not to pass on", mkt_csb_make_resolve_init(p->kms.csb, &measured), MKT_E_STATE);
    expect_err("not to grant", mkt_csb_make_request_resp(p->kms.csb, p->ticket, &measured), MKT_E_STATE);
    const struct mkt_span resp = resolve_resp(&p->kms);
    expect_err("answered", mkt_csb_make_resolve_resp(p->kms.csb, &measured), MKT_E_STATE);
    refused(&p->kms, "its own", resp, MKT_E_DATA_TYPE);
    refused(&p->alice, "not hers", resp, MKT_E_DATA_TYPE);
    take(&p->bob, "RESOLVE_RESP", resp);
    refused(&p->bob, "again", resp, MKT_E_STATE);
    expect_err("resolved", mkt_csb_make_resolve_init(p->bob.csb, &measured), MKT_E_STATE);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    refused(&p->bob, "again", resp, MKT_E_DATA_TYPE);
    parties_free(p);
}
END_TEST

START_TEST(questions_that_cannot_be_made)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0};
    const struct mkt_span before = stored(&p->bob);
    p->bob.key.psk.n = 15;
    expect_err("short key", mkt_csb_make_resolve_init(p->bob.csb, &measured), MKT_E_KEY_LENGTH);
    p->bob.key.psk.n = 32;
    p->bob.player.no_random = true;
    expect_err("random", mkt_csb_make_resolve_init(p->bob.csb, &measured), MKT_E_RANDOM);
    p->bob.player.no_random = false;
    expect_octets("as it was", stored(&p->bob), before);
    ck_assert_uint_eq(measured.n, 0);
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span took = stored(&p->kms);
    p->kms.player.no_random = true;
    expect_err("random", mkt_csb_make_resolve_resp(p->kms.csb, &measured), MKT_E_RANDOM);
    p->kms.player.no_random = false;
    expect_octets("as it was", stored(&p->kms), took);
    const struct mkt_span octets = stored(&p->bob);
    p->bob.settings.kms = NULL;
    mkt_csb_free(p->bob.csb);
    expect_err("get", mkt_csb_load(&p->bob.csb, &p->bob.player.host, &p->bob.settings, octets), MKT_OK);
    refused(&p->bob, "of whom?", resolve_resp(&p->kms), MKT_E_ARGUMENT);
    expect_err("whom?", mkt_csb_make_resolve_init(p->bob.csb, &measured), MKT_E_ARGUMENT);
    parties_free(p);
}
END_TEST

/* 5.4: the KMS tells why it refused, by the key that it shares with Bob; he hears it as long as he waits. */
START_TEST(why_the_kms_refused)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    uint8_t octets[256];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_span init = resolve_init(&p->bob);
    p->kms.player.fail = MKT_E_DENIED;
    refused(&p->kms, "denied", init, MKT_E_DENIED);
    p->kms.player.fail = MKT_OK;
    expect_err("Error", mkt_csb_make_error(p->kms.csb, init, MKT_E_DENIED, NULL, 0, &out), MKT_OK);
    const struct mkt_span error = {octets, out.n};
    take(&p->bob, "Error", error);
    ck_assert_uint_eq(p->bob.player.reports, 1);
    ck_assert(p->bob.player.authenticated);
    ck_assert_uint_eq(p->bob.player.reported, mkt_err_number(MKT_E_DENIED));
    take(&p->kms, "RESOLVE_INIT", init);
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms));
    refused(&p->bob, "too late", error, MKT_E_STATE);
    ck_assert_uint_eq(p->bob.player.reports, 1);
    parties_free(p);
}
END_TEST

/* Nobody has anything resolved but a Responder that has the keys of a ticket that may be used again (J flag). */
START_TEST(what_is_resolved_and_when)
{
    const bool reuses = _i == 0;
    struct parties *p = parties_new(MKT_SUITE_256, reuses ? "DEFGHIJMNO" : "DEFGHIMNO");
    struct mkt_buf out = {NULL, 0, 0};
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    begin(&p->bob, MKT_RESPONDER);
    const struct party *const fresh[] = {&p->alice, &p->kms, &p->bob};
    for (size_t i = 0; i < 3; i++)
        expect_err("of nothing", mkt_csb_save_resolved(fresh[i]->csb, &out), MKT_E_STATE);
    be_granted(p);
    expect_err("of a ticket", mkt_csb_save_resolved(p->alice.csb, &out), MKT_E_STATE);
    answered_by(&p->bob, offered(p));
    expect_err("of an offer, Initiator", mkt_csb_save_resolved(p->alice.csb, &out), MKT_E_STATE);
    expect_err("of an offer", mkt_csb_save_resolved(p->bob.csb, &out), MKT_E_STATE);
    const struct mkt_span init = resolve_init(&p->bob);
    expect_err("asked", mkt_csb_save_resolved(p->bob.csb, &out), MKT_E_STATE);
    take(&p->kms, "RESOLVE_INIT", init);
    expect_err("KMS", mkt_csb_save_resolved(p->kms.csb, &out), MKT_E_STATE);
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms));
    expect_err("KMS", mkt_csb_save_resolved(p->kms.csb, &out), MKT_E_STATE);
    const enum mkt_err err = reuses ? MKT_OK : MKT_E_REUSE;
    expect_err("resolved", mkt_csb_save_resolved(p->bob.csb, &out), err);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    expect_err("ready", mkt_csb_save_resolved(p->bob.csb, &out), err);
    expect_err("Initiator", mkt_csb_save_resolved(p->alice.csb, &out), MKT_E_STATE);
    parties_free(p);
}
END_TEST

START_TEST(measuring_and_small_buffers_change_nothing)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0}, small;
    uint8_t octets[2048];
    const struct mkt_span before = stored(&p->bob);
    expect_err("measure", mkt_csb_make_resolve_init(p->bob.csb, &measured), MKT_OK);
    small = (struct mkt_buf){octets, measured.n - 1, 0};
    expect_err("small", mkt_csb_make_resolve_init(p->bob.csb, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    expect_octets("as it was", stored(&p->bob), before);
    const struct mkt_span init = resolve_init(&p->bob);
    ck_assert_uint_eq(init.n, measured.n);
    take(&p->kms, "RESOLVE_INIT", init);
    const struct mkt_span took = stored(&p->kms);
    measured.n = 0;
    expect_err("measure", mkt_csb_make_resolve_resp(p->kms.csb, &measured), MKT_OK);
    small = (struct mkt_buf){octets, measured.n - 1, 0};
    expect_err("small", mkt_csb_make_resolve_resp(p->kms.csb, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    expect_octets("as it was", stored(&p->kms), took);
    const struct mkt_span resp = resolve_resp(&p->kms);
    ck_assert_uint_eq(resp.n, measured.n);
    take(&p->bob, "RESOLVE_RESP", resp);
    const struct mkt_span took_resp = resolved_octets(&p->bob);
    measured.n = 0;
    expect_err("measure", mkt_csb_save_resolved(p->bob.csb, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, took_resp.n);
    small = (struct mkt_buf){octets, measured.n - 1, 0};
    expect_err("small", mkt_csb_save_resolved(p->bob.csb, &small), MKT_E_BUFFER);
    parties_free(p);
}
END_TEST

/* A bundle with little room says so before it believes anything. */
START_TEST(a_bundle_without_room)
{
    struct parties *p = granted_by_kms(MKT_SUITE_256, "DEFGHIJNO");
    struct mkt_buf measured = {NULL, 0, 0};
    uint8_t octets[2048];
    const struct mkt_span offer = offered(p);
    size_t made = 0, refusals[5] = {0};
    for (size_t size = 256; made == 0; size += 16) {
        struct mkt_csb *bob = NULL, *kms = NULL;
        struct mkt_buf out = {octets, sizeof octets, 0};
        p->bob.settings.bundle_size = p->kms.settings.bundle_size = size;
        if (mkt_csb_new(&bob, MKT_RESPONDER, &p->bob.player.host, &p->bob.settings) != MKT_OK)
            continue;
        expect_err("new", mkt_csb_new(&kms, MKT_KMS, &p->kms.player.host, &p->kms.settings), MKT_OK);
        p->bob.player.n_seen = p->kms.player.n_seen = 0;
        size_t at = 0;
        enum mkt_err err = mkt_csb_take_offer(bob, offer, mikey);
        if (err == MKT_OK) {
            at++;
            err = mkt_csb_make_resolve_init(bob, &measured);
            expect_err("made as measured", mkt_csb_make_resolve_init(bob, &out), err);
        }
        if (err == MKT_OK) {
            at++;
            err = mkt_csb_take(kms, (struct mkt_span){octets, out.n});
            ck_assert_uint_eq(p->kms.player.n_seen, err == MKT_OK);
        }
        if (err == MKT_OK) {
            at++;
            out.n = 0;
            err = mkt_csb_make_resolve_resp(kms, &measured);
            expect_err("made as measured", mkt_csb_make_resolve_resp(kms, &out), err);
        }
        if (err == MKT_OK) {
            at++;
            err = mkt_csb_take(bob, (struct mkt_span){octets, out.n});
            ck_assert_uint_eq(p->bob.player.n_seen, err == MKT_OK);
        }
        ck_assert_msg(err == MKT_OK || err == MKT_E_BUNDLE_FULL, "%s at %zu", mkt_err_name(err), at);
        made += err == MKT_OK;
        refusals[at] += err != MKT_OK;
        mkt_csb_free(bob);
        mkt_csb_free(kms);
    }
    ck_assert_uint_gt(refusals[0], 0);
    ck_assert_uint_gt(refusals[1] + refusals[2] + refusals[3] + refusals[4], 0);
    parties_free(p);
}
END_TEST

/* ---- 12.3: the KMS keeps no state ---- */

START_TEST(the_kms_is_as_new)
{
    struct parties *p = parties_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJNO");
    begin(&p->kms, MKT_KMS);
    const struct mkt_span fresh = stored(&p->kms), psk = p->bob.key.psk;
    be_granted(p);
    const struct mkt_span keys = p->ticket->keys, offer = offered(p);
    answered_by(&p->bob, offer);
    struct mkt_key_data key = {0};
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    ck_assert(holds(&p->kms, psk)); /* till it answers */
    for (struct mkt_keys list = mkt_keys_of(keys); mkt_keys_next(&list, &key);)
        ck_assert(holds(&p->kms, key.key));
    const struct mkt_span resp = resolve_resp(&p->kms);
    expect_octets("after its answer", stored(&p->kms), fresh);
    ck_assert_uint_eq(mkt_csb_peer(p->kms.csb).data.n, 0);
    ck_assert(!holds(&p->kms, psk));
    for (struct mkt_keys list = mkt_keys_of(keys); mkt_keys_next(&list, &key);)
        ck_assert(!holds(&p->kms, key.key));
    ck_assert(!holds(&p->kms, payload_of(resp, MKT_RANDR, MKT_RANDR_KMS).rand.rand));

    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    mkt_csb_abandon(p->kms.csb);
    expect_octets("after it gave up", stored(&p->kms), fresh);
    ck_assert(!holds(&p->kms, psk));

    p->kms.player.fail = MKT_E_DENIED; /* once it had the keys */
    refused(&p->kms, "denied", resolve_init(&p->bob), MKT_E_DENIED);
    ck_assert(!holds(&p->kms, psk) && !holds(&p->kms, mpk_of(keys, 0)));
    parties_free(p);
}
END_TEST

/* Bob has no keys but those that are his, and none where the answer was not good enough. */
START_TEST(what_a_responder_holds)
{
    struct parties *p = waiting(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span keys = p->ticket->keys;
    struct mkt_key_data tgk = {0};
    ck_assert(mkt_keys_session(keys, 0, &tgk));
    take(&p->kms, "RESOLVE_INIT", resolve_init(&p->bob));
    const struct mkt_span resp = resolve_resp(&p->kms);
    p->bob.player.fail = MKT_E_DENIED;
    refused(&p->bob, "denied", resp, MKT_E_DENIED);
    ck_assert(!holds(&p->bob, mpk_of(keys, 0)));
    p->bob.player.fail = MKT_OK;
    take(&p->bob, "RESOLVE_RESP", resp);
    ck_assert(holds(&p->bob, mpk_of(keys, 0)));
    ck_assert(!holds(&p->bob, mpk_of(keys, 1)));
    ck_assert(!holds(&p->bob, tgk.key));
    transfer_resp(&p->bob, NULL);
    ck_assert(!holds(&p->bob, tgk.key));
    parties_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolve");
    TCase *tcase = tcase_create("messages");
    tcase_add_loop_test(tcase, both_messages, 0, 4);
    tcase_add_loop_test(tcase, keys_of_the_answer, 0, 2);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("who may resolve");
    tcase_add_loop_test(tcase, one_whom_the_ticket_does_not_name, 0, 2);
    tcase_add_test(tcase, one_of_a_group);
    tcase_add_loop_test(tcase, applications, 0, 5);
    tcase_add_test(tcase, tickets_out_of_their_time);
    tcase_add_test(tcase, a_responder_that_the_kms_does_not_want);
    tcase_add_loop_test(tcase, identities_left_out, 0, 16);
    tcase_add_loop_test(tcase, a_question_for_another_kms, 0, 2);
    tcase_add_test(tcase, keys_that_are_not_shared);
    tcase_add_test(tcase, one_who_claims_to_be_another);
    tcase_add_test(tcase, an_answer_of_another_kms);
    tcase_add_loop_test(tcase, peers_that_the_responder_does_not_want, 0, 2);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("tickets");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_bit_of_a_ticket_counts, 0, 4);
    tcase_add_test(tcase, a_ticket_protected_with_another_key);
    tcase_add_loop_test(tcase, a_ticket_made_in_the_name_of_another, 0, 2);
    tcase_add_test(tcase, policies_that_are_not_sound);
    tcase_add_test(tcase, initiator_data_that_is_forged);
    tcase_add_test(tcase, initiator_data_that_is_no_chain);
    tcase_add_loop_test(tcase, initiator_data_out_of_place, 0, 2);
    tcase_add_test(tcase, initiator_data_of_another_message);
    tcase_add_loop_test(tcase, mallory_as_herself, 0, 2);
    tcase_add_test(tcase, mallory_as_alice);
    tcase_add_test(tcase, mallory_without_the_mpki);
    tcase_add_test(tcase, mallory_and_a_ticket_that_is_remembered);
    tcase_add_test(tcase, mallory_supplies_a_key_for_a_ticket_that_is_remembered);
    tcase_add_loop_test(tcase, a_remembered_ticket_with_keys_that_are_not_forked, 0, 6);
    tcase_add_loop_test(tcase, what_is_remembered, 0, 2);
    tcase_add_loop_test(tcase, a_ticket_that_another_responder_resolved, 0, 2);
    tcase_add_loop_test(tcase, a_remembered_ticket_and_a_counter, 0, 2);
    tcase_add_loop_test(tcase, who_is_proven, 0, 2);
    tcase_add_test(tcase, a_ticket_that_must_not_be_remembered);
    tcase_add_loop_test(tcase, a_responder_without_kms, 0, 2);
    tcase_add_loop_test(tcase, a_responder_that_could_but_may_not, 0, 2);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("modifiers");
    tcase_add_test(tcase, a_randkms_shorter_than_the_keys);
    tcase_add_loop_test(tcase, a_randkms_as_long_as_the_keys, 0, 3);
    tcase_add_loop_test(tcase, keys_too_long_to_be_forked, 0, 2);
    tcase_add_test(tcase, modifiers_that_are_not_there);
    tcase_add_test(tcase, a_modifier_that_is_remembered_where_nothing_is_forked);
    tcase_add_test(tcase, a_randkms_where_nothing_is_forked);
    tcase_add_loop_test(tcase, a_kms_that_adjusts_who_answers, 0, 2);
    tcase_add_loop_test(tcase, an_identity_that_the_kms_names, 0, 2);
    tcase_add_loop_test(tcase, an_identity_that_another_kms_names, 0, 2);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("freshness");
    tcase_add_loop_test(tcase, a_rand_shorter_than_the_key, 0, 2);
    tcase_add_test(tcase, clocks_that_differ);
    tcase_add_test(tcase, a_ticket_that_expires_while_the_kms_is_asked);
    tcase_add_loop_test(tcase, a_replayed_question, 0, 2);
    tcase_add_loop_test(tcase, a_replayed_offer, 0, 2);
    tcase_add_test(tcase, counters_are_looked_at_last);
    tcase_add_test(tcase, the_answer_to_another_question);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("Ticket Transfer");
    tcase_add_test(tcase, early_reject);
    tcase_add_loop_test(tcase, nothing_is_known_before_the_kms_answers, 0, 2);
    tcase_add_loop_test(tcase, a_call_that_is_rejected_before_the_kms_is_asked, 0, 2);
    tcase_add_test(tcase, an_answer_that_the_initiator_does_not_expect);
    tcase_add_test(tcase, answers_protected_with_another_key);
    tcase_add_loop_test(tcase, an_answer_to_another_offer, 0, 2);
    tcase_add_loop_test(tcase, keys_that_a_responder_must_not_supply, 0, 5);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("refusals");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_bit_of_a_question_counts, 0, 4);
    tcase_add_loop_test(tcase, every_bit_of_an_answer_counts, 0, 4);
    tcase_add_loop_test(tcase, algorithms_of_a_question, 0, 2);
    tcase_add_loop_test(tcase, algorithms_of_an_answer, 0, 2);
    tcase_add_test(tcase, payloads_that_must_be_there);
    tcase_add_test(tcase, payloads_that_nobody_expects);
    tcase_add_test(tcase, a_question_with_crypto_sessions);
    tcase_add_loop_test(tcase, keys_that_are_not_taken, 0, 11);
    tcase_add_test(tcase, a_tgk_where_nobody_answers);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("steps");
    tcase_add_loop_test(tcase, asked_again, 0, 2);
    tcase_add_test(tcase, given_up);
    tcase_add_test(tcase, steps_out_of_order);
    tcase_add_test(tcase, questions_that_cannot_be_made);
    tcase_add_test(tcase, why_the_kms_refused);
    tcase_add_loop_test(tcase, what_is_resolved_and_when, 0, 2);
    tcase_add_test(tcase, measuring_and_small_buffers_change_nothing);
    tcase_add_test(tcase, a_bundle_without_room);
    tcase_add_loop_test(tcase, the_kms_is_as_new, 0, 2);
    tcase_add_test(tcase, what_a_responder_holds);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
