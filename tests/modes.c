/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 6043 4.1.1: all modes, from the ticket to the TEK, between parties that share no more than the mode says. */
#include "parties.h"

#include "ticket.h"

#include <stdlib.h>
#include <string.h>

/* ---- 4.1.1: who has the ticket protection key ---- */

static const struct mode {
    int number;
    const char *flags;
} modes[] = {
    {1, "DEFGHIJNO"}, /* key forking: only the KMS can resolve */
    {1, "DEFGHJNO"},  /* E: only the KMS may */
    {1, "DFGHJNO"},   /* Bob may, but can't */
    {2, "DFGHJNO"},   {3, "EFGHIJLNO"}, {3, "EFGHJLNO"}, {3, "FGHJLNO"}, {4, "FGHJLNO"},
};
enum { MODES = sizeof modes / sizeof *modes };

static bool is_by_kms(const struct mode *m)
{
    return m->number == 1 || m->number == 3;
}

static struct parties *set_up(const struct mode *m, enum mkt_suite suite)
{
    struct parties *p = parties_new(suite, m->flags);
    if (m->number == 2 || m->number == 4)
        p->bob.player.tpk = p->tpk;
    if (m->number == 4) {
        p->kms.player.tpk = text("");
        p->kms.player.n_friends = 0;
        p->alice.settings.kms = p->bob.settings.kms = NULL;
        p->policy.kms = (struct mkt_id){0};
    }
    return p;
}

static void get_ticket(struct parties *p, const struct mode *m)
{
    if (m->number <= 2)
        be_granted(p);
    else
        make_own(p);
}

/* 5.3: the modifier (IDRr, RANDRkms) */
static struct mkt_span modifier(struct mkt_span transfer_resp)
{
    ck_assert_uint_gt(payload_of(transfer_resp, MKT_IDR, MKT_IDR_R).id.data.n, 0);
    return payload_of(transfer_resp, MKT_RANDR, MKT_RANDR_KMS).rand.rand;
}

/*
 * Each mode with each suite, twice with one ticket. Bit 0: what the KMS resolved is remembered for the second call; bit
 * 1: all bundles are put to octets and read back between all steps; bits 3 and 4: Alice, Bob ask by public key.
 */
START_TEST(every_mode)
{
    const struct mode *m = &modes[_i % MODES];
    const bool remembers = (_i / MODES & 1) != 0, by_kms = is_by_kms(m);
    struct parties *p = set_up(m, (_i / MODES & 4) != 0 ? MKT_SUITE_128 : MKT_SUITE_256);
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].moves = (_i / MODES & 2) != 0;
    if ((_i / MODES & 8) != 0)
        signs(p, &p->alice);
    if ((_i / MODES & 16) != 0)
        signs(p, &p->bob);
    get_ticket(p, m);
    const struct mkt_span first = called(p, by_kms), tek = party_tek(&p->alice);
    const uint32_t csb_id = mkt_csb_id(p->alice.csb);
    const size_t asked = p->kms.player.n_seen;
    if (by_kms && remembers)
        p->bob.player.resolved = resolved_octets(&p->bob);
    if (!by_kms)
        expect_err("nobody resolved it for Bob", mkt_csb_save_resolved(p->bob.csb, &(struct mkt_buf){NULL, 0, 0}),
                   MKT_E_STATE);

    const struct mkt_span second = called(p, by_kms && !remembers);
    ck_assert_uint_ne(mkt_csb_id(p->alice.csb), csb_id);
    ck_assert(!mkt_span_equal(party_tek(&p->alice), tek));
    ck_assert_uint_eq(p->kms.player.n_seen, asked + (by_kms && !remembers));
    if ((p->policy.flags & MKT_FLAG_I) != 0) {
        expect_octets("IDRr", payload_of(second, MKT_IDR, MKT_IDR_R).id.data,
                      payload_of(first, MKT_IDR, MKT_IDR_R).id.data);
        ck_assert(mkt_span_equal(modifier(first), modifier(second)) == remembers);
    }
    ck_assert(m->number != 4 || p->kms.player.allocations == 0);
    const size_t resolved = !by_kms ? 0 : remembers ? 1 : 2; /* each exchange has a signature if it is by public key */
    ck_assert_uint_eq(p->alice.signer.signed_, m->number <= 2 && (_i / MODES & 8) != 0);
    ck_assert_uint_eq(p->bob.signer.signed_, (_i / MODES & 16) != 0 ? resolved : 0);
    ck_assert_uint_eq(p->kms.signer.opened, p->alice.signer.signed_ + p->bob.signer.signed_);
    parties_free(p);
}
END_TEST

static const char others_key[] = "the key of another ticket";

/* Reads what it has kept, and sees then that it is of another ticket. */
static enum mkt_err of_another_ticket(void *user, struct mkt_span ticket, struct mkt_buf *out)
{
    (void)user, (void)ticket;
    ck_assert_uint_ge(out->cap, sizeof others_key);
    memcpy(out->p + (out->cap - sizeof others_key), others_key, sizeof others_key);
    memcpy(out->p, others_key, sizeof others_key);
    return MKT_E_NO_KEY;
}

/* "which the library wipes", whatever of it the host says that it wrote */
START_TEST(what_a_host_wrote_for_nothing_is_wiped)
{
    struct parties *p = set_up(&modes[_i], MKT_SUITE_256);
    get_ticket(p, &modes[_i]);
    p->bob.player.host.resolved = of_another_ticket;
    answered_by(&p->bob, offered(p));
    ck_assert(!holds(&p->bob, text(others_key)));
    parties_free(p);
}
END_TEST

/* COUNTER timestamps in all messages and in the ticket. */
START_TEST(every_mode_with_counters)
{
    const struct mode *m = &modes[_i % MODES];
    struct parties *p = set_up(m, MKT_SUITE_256);
    all_count(p);
    if ((size_t)_i >= MODES)
        all_sign(p);
    get_ticket(p, m);
    const struct mkt_span resp = called(p, is_by_kms(m));
    ck_assert_uint_eq(payload_of(resp, MKT_T, 0).t.ts_type, MKT_TS_COUNTER);
    called(p, is_by_kms(m));
    ck_assert_uint_eq(p->kms.player.n_seen + p->bob.player.n_seen, 0); /* counters tell replays themselves */
    parties_free(p);
}
END_TEST

/* The host was asked about one counter more, which is the sender's. */
static void counted_once(struct party *by, const struct party *sender, size_t *before)
{
    ck_assert_uint_eq(by->n_counted, ++*before);
    ck_assert(mkt_id_equal(&by->counted_id, &sender->settings.self));
}

static void update(struct party *by, struct party *to, bool no_answer)
{
    const struct mkt_update nothing_new = {.size = sizeof nothing_new, .no_answer = no_answer};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("update", mkt_csb_make_update(by->csb, &nothing_new, &out), MKT_OK);
    take(to, "update", exact((struct mkt_span){octets, out.n}));
    if (!no_answer)
        take(by, "answer", transfer_resp(to, NULL));
}

/* A counter is that of the sender of a message, by name; that of an answer is covered by the MAC with its question. */
START_TEST(whose_counter_the_host_is_asked_about)
{
    const struct mode *m = &modes[_i];
    struct parties *p = set_up(m, MKT_SUITE_256);
    size_t kms = 0, alice = 0, bob = 0;
    all_count(p);
    get_ticket(p, m);
    if (m->number <= 2)
        counted_once(&p->kms, &p->alice, &kms);
    called(p, is_by_kms(m));
    if (is_by_kms(m))
        counted_once(&p->kms, &p->bob, &kms);
    counted_once(&p->bob, &p->alice, &bob);
    for (int no_answer = 0; no_answer <= 1; no_answer++) {
        update(&p->alice, &p->bob, no_answer);
        counted_once(&p->bob, &p->alice, &bob);
        update(&p->bob, &p->alice, no_answer);
        counted_once(&p->alice, &p->bob, &alice);
    }
    ck_assert(p->kms.n_counted == kms && p->alice.n_counted == alice && p->bob.n_counted == bob);
    parties_free(p);
}
END_TEST

/* 7 February 2036, 06:28:16: the seconds start again from 0 between one message and the next. */
START_TEST(every_mode_in_2036)
{
    const unsigned long last = 0xffffffff;
    struct parties *p = set_up(&modes[_i], MKT_SUITE_256);
    p->policy.has_start = p->policy.has_end = true;
    p->policy.start = ntp(last - 100);
    p->policy.end = ntp(100);
    p->alice.player.now = ntp(last - 2);
    p->kms.player.now = ntp(last - 1);
    p->bob.player.now = ntp(0);
    get_ticket(p, &modes[_i]);
    p->kms.player.now = ntp(1);
    called(p, is_by_kms(&modes[_i]));
    p->alice.player.now = ntp(3);
    called(p, is_by_kms(&modes[_i]));
    parties_free(p);
}
END_TEST

/* "In modes 1 and 2, the Ticket Request exchange can be omitted if the tickets and the corresponding keys are
 * distributed from the KMS to the Initiator in some other way." */
START_TEST(a_ticket_handed_out_some_other_way)
{
    const struct mode *m = &modes[_i];
    struct parties *p = set_up(m, MKT_SUITE_256);
    struct mkt_ticket_recipe recipe = p->recipe;
    struct mkt_ticket *ticket = NULL;
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    recipe.policy = &p->policy;
    recipe.keys = &one_tgk;
    recipe.n_keys = 1;
    expect_err("ticket", mkt_ticket_make(&ticket, &p->kms.player.host, &recipe), MKT_OK);
    expect_err("put", mkt_ticket_save(ticket, &out), MKT_OK);
    mkt_ticket_free(ticket);
    expect_err("get", mkt_ticket_load(&p->ticket, &p->alice.player.host, exact((struct mkt_span){octets, out.n})),
               MKT_OK);
    p->offer.ticket = p->ticket;
    p->kms.player.friend[0] = p->kms.player.friend[3]; /* Alice shares no key with the KMS */
    called(p, is_by_kms(m));
    parties_free(p);
}
END_TEST

/* 5.3: "If the Ticket Policy forbids reuse (J flag), the ticket MUST NOT be reused." */
START_TEST(a_ticket_for_one_call)
{
    struct mode m = modes[_i];
    char flags[16];
    size_t n = 0;
    for (const char *f = m.flags; *f != '\0'; f++)
        if (*f != 'J')
            flags[n++] = *f;
    flags[n] = '\0';
    m.flags = flags;
    struct parties *p = set_up(&m, MKT_SUITE_256);
    struct mkt_buf measured = {NULL, 0, 0};
    get_ticket(p, &m);
    called(p, is_by_kms(&m));
    expect_err("nothing is remembered", mkt_csb_save_resolved(p->bob.csb, &measured), MKT_E_REUSE);
    begin(&p->alice, MKT_INITIATOR);
    expect_err("again", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &measured), MKT_E_REUSE);
    parties_free(p);
}
END_TEST

/* Without F there is no TRANSFER_RESP: Bob has the keys once the KMS answered. A GTGK is not forked, so I is fine. */
START_TEST(calls_that_nobody_answers)
{
    const struct mkt_key_wish gtgk = {.size = sizeof gtgk, .type = MKT_KEY_GTGK};
    struct parties *p = parties_new(MKT_SUITE_256, _i == 0 ? "DEHIJNO" : "DEHJNO");
    p->bob.moves = p->kms.moves = true;
    p->request.keys = &gtgk;
    p->request.n_keys = 1;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    ck_assert(mkt_csb_ready(p->alice.csb) && !mkt_csb_ready(p->bob.csb));
    resolved_by(&p->kms, &p->bob);
    ck_assert(mkt_csb_ready(p->bob.csb) && !mkt_csb_must_make(p->bob.csb, MKT_TRANSFER_RESP));
    same_tek(&p->alice, &p->bob, 32);
    expect_octets("peer", mkt_csb_peer(p->bob.csb).data, p->alice.settings.self.data);
    parties_free(p);
}
END_TEST

/* ---- 5.1.1, 12.2: key forking ---- */

static bool in_group(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    return mkt_span_equal(group->data, text("sip:help@example.com")) &&
           (mkt_span_equal(id->data, text("sip:bob@example.com")) ||
            mkt_span_equal(id->data, text("sip:carol@example.com")));
}

/* Alice calls a group that Bob and Carol belong to. */
static struct parties *set_up_group(const char *flags)
{
    struct parties *p = parties_new(MKT_SUITE_256, flags);
    p->policy.responder[0] = p->offer.responder = mkt_id_uri("sip:help@example.com");
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].player.host.member = in_group;
    return p;
}

/* Whether somebody who saw the messages gets a TEK from any key that he has. */
static bool derives(const struct party *who, struct mkt_span tek, struct mkt_span init, struct mkt_span resp)
{
    const struct mkt_span randi = payload_of(init, MKT_RANDR, MKT_RANDR_I).rand.rand,
                          randr = payload_of(resp, MKT_RANDR, MKT_RANDR_R).rand.rand;
    struct mkt_key_data key;
    uint8_t out[64];
    size_t n = 0;
    for (; mkt_csb_key(who->csb, n, &key) == MKT_OK; n++) {
        expect_err("derive", mkt_derive_traffic(MKT_SUITE_256, MKT_TRAFFIC_TEK, key.key, 1, randi, randr, out, tek.n),
                   MKT_OK);
        if (mkt_span_equal((struct mkt_span){out, tek.n}, tek) || mkt_span_equal(key.key, tek))
            return true;
    }
    ck_assert_uint_gt(n, 0);
    return false;
}

/* One TRANSFER_INIT reaches Bob and Carol; `one` answers first, and the other one can't listen. */
static void fork_call(struct parties *p, struct party *one, struct party *other)
{
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    answered_by(&p->carol, init);
    resolved_by(&p->kms, &p->bob);
    resolved_by(&p->kms, &p->carol);
    const struct mkt_span resp = transfer_resp(one, NULL), late = transfer_resp(other, NULL);
    expect_octets("IDRr", payload_of(init, MKT_IDR, MKT_IDR_R).id.data, text("sip:help@example.com"));
    expect_octets("IDRr", payload_of(resp, MKT_IDR, MKT_IDR_R).id.data, one->settings.self.data);
    ck_assert(!mkt_span_equal(modifier(resp), modifier(late)));
    take(&p->alice, "TRANSFER_RESP", resp);
    expect_octets("peer", mkt_csb_peer(p->alice.csb).data, one->settings.self.data);
    same_tek(&p->alice, one, 32);

    const struct mkt_span tek = party_tek(&p->alice);
    ck_assert(!mkt_span_equal(party_tek(other), tek));
    ck_assert(derives(one, tek, init, resp));
    ck_assert(!derives(other, tek, init, resp));
    refused(&p->alice, "too late", late, MKT_E_DATA_TYPE);
}

/* Bit 0: octets between all steps; bits 1 and 2: Bob, Carol ask by public key. */
START_TEST(one_of_two_answers)
{
    struct parties *p = set_up_group("DEFGHIJNO");
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].moves = (_i & 1) != 0;
    if ((_i & 2) != 0)
        signs(p, &p->bob);
    if ((_i & 4) != 0)
        signs(p, &p->carol);
    be_granted(p);
    fork_call(p, &p->bob, &p->carol);
    const struct mkt_span tek = party_tek(&p->alice);
    fork_call(p, &p->carol, &p->bob);
    ck_assert(!mkt_span_equal(party_tek(&p->alice), tek));
    parties_free(p);
}
END_TEST

/* Alice may take either answer to one offer, and has the keys of the one that she took. */
START_TEST(either_of_two_answers)
{
    struct parties *p = set_up_group("EFGHIJLNO");
    struct party *one[] = {&p->bob, &p->carol};
    make_own(p);
    const struct mkt_span init = offered(p), waiting = stored(&p->alice);
    for (size_t i = 0; i < 2; i++) {
        mkt_csb_free(p->alice.csb);
        expect_err("get", mkt_csb_load(&p->alice.csb, &p->alice.player.host, &p->alice.settings, waiting), MKT_OK);
        answered_by(one[i], init);
        resolved_by(&p->kms, one[i]);
        take(&p->alice, "TRANSFER_RESP", transfer_resp(one[i], NULL));
        same_tek(&p->alice, one[i], 32);
    }
    ck_assert(!mkt_span_equal(party_tek(&p->bob), party_tek(&p->carol)));
    parties_free(p);
}
END_TEST

/* "The TEKs and GTGKs (Group TGKs), however, SHALL NOT be forked." */
START_TEST(what_is_forked)
{
    static const struct mkt_key_wish keys[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK_SALT},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK_SALT}};
    enum { KEYS = sizeof keys / sizeof *keys };
    struct parties *p = set_up_group("DEFGHIJNO");
    struct mkt_key_data whole[KEYS], key;
    p->request.keys = keys;
    p->request.n_keys = KEYS;
    be_granted(p);
    const struct mkt_span init = offered(p);
    for (size_t i = 0; i < KEYS; i++)
        whole[i] = session_key(&p->alice, i);
    answered_by(&p->bob, init);
    answered_by(&p->carol, init);
    resolved_by(&p->kms, &p->bob);
    resolved_by(&p->kms, &p->carol);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    for (size_t i = 0; i < KEYS; i++) {
        const bool tgk = keys[i].type == MKT_KEY_TGK || keys[i].type == MKT_KEY_TGK_SALT;
        const struct mkt_key_data bobs = session_key(&p->bob, i), carols = session_key(&p->carol, i);
        ck_assert_uint_eq(bobs.type, keys[i].type);
        ck_assert(mkt_span_equal(bobs.key, whole[i].key) == !tgk);
        ck_assert(mkt_span_equal(bobs.key, carols.key) == !tgk);
        expect_octets("Alice and Bob", session_key(&p->alice, i).key, bobs.key);
        expect_octets("SPI (D23)", bobs.kv.spi, whole[i].kv.spi);
        expect_octets("salt (D23)", bobs.salt, whole[i].salt);
        ck_assert_uint_eq(bobs.key.n, whole[i].key.n);
    }
    expect_err("no more", mkt_csb_key(p->bob.csb, KEYS, &key), MKT_E_NO_SESSION);
    parties_free(p);
}
END_TEST

/* 12.2: "This also concerns session keys transferred in a KEMAC in the first TRANSFER_INIT": they are not forked. */
START_TEST(keys_that_an_end_supplies_are_not_forked)
{
    const struct mkt_answer answer = {.size = sizeof answer, .keys = &one_tgk, .n_keys = _i == 1};
    struct parties *p = set_up_group("DEFGHIJLMNO");
    be_granted(p);
    p->offer.keys = &one_tgk;
    p->offer.n_keys = _i == 0;
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    answered_by(&p->carol, init);
    resolved_by(&p->kms, &p->bob);
    resolved_by(&p->kms, &p->carol);
    const struct mkt_span resp = transfer_resp(&p->bob, &answer);
    take(&p->alice, "TRANSFER_RESP", resp);
    same_tek(&p->alice, &p->bob, 32);
    ck_assert(derives(&p->carol, party_tek(&p->alice), init, resp) == (_i == 0));
    parties_free(p);
}
END_TEST

/* ---- section 8: pre-encrypted content ---- */

/* "The Initiator sends a ticket without encoded session keys"; "The Responder includes the TEK in the TRANSFER_RESP" */
START_TEST(pre_encrypted_content)
{
    static const uint8_t octets[32] = "the TEK of content on demand...";
    const struct mkt_span content = {octets, sizeof octets};
    const struct mkt_key_wish tek = {.size = sizeof tek, .type = MKT_KEY_TEK, .key = content};
    const struct mkt_answer answer = {.size = sizeof answer, .keys = &tek, .n_keys = 1};
    struct parties *p = parties_new(MKT_SUITE_256, _i == 0 ? "DFGHJMNO" : "DEFGHIJMNO");
    struct mkt_key_data key;
    p->request.no_keys = true;
    p->request.n_keys = 0;
    be_granted(p);
    ck_assert(!mkt_keys_session(p->ticket->keys, 0, &key));
    answered_by(&p->bob, offered(p));
    resolved_by(&p->kms, &p->bob);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, &answer));
    same_tek(&p->alice, &p->bob, 32);
    expect_octets("TEK", party_tek(&p->alice), content);
    parties_free(p);
}
END_TEST

/* D30: the SPI that Alice asks for is that of the crypto session. */
START_TEST(an_spi_from_request_to_call)
{
    const struct mkt_key_wish wish = {
        .size = sizeof wish, .type = MKT_KEY_TGK, .kv = {.type = MKT_KV_SPI, .spi = text("her SPI")}};
    struct parties *p = parties_new(MKT_SUITE_256, _i == 0 ? "DFGHJNO" : "DEFGHIJNO");
    struct mkt_cs cs;
    p->request.keys = &wish;
    p->request.n_keys = 1;
    be_granted(p);
    called(p, true);
    expect_err("session", mkt_csb_session_at(p->bob.csb, 0, &cs), MKT_OK);
    expect_octets("SPI", cs.spi, wish.kv.spi);
    parties_free(p);
}
END_TEST

/* ---- section 9: group keys ---- */

/* "If a TGK/GTGK is used as a group key, the same RANDs MUST be used to derive the session keys in all Ticket Transfer
 * exchanges." */
START_TEST(group_keys)
{
    static const struct {
        const char *flags;
        uint8_t type;
        bool same;
    } groups[] = {
        {"DEFHJNO", MKT_KEY_TGK, true},
        {"DEFHJNO", MKT_KEY_GTGK, true},
        {"DEFHIJNO", MKT_KEY_GTGK, true},
        {"DEHIJNO", MKT_KEY_GTGK, true},
        {"DEFHIJNO", MKT_KEY_TEK, true},
        {"DEFHIJNO", MKT_KEY_TGK, false}, /* 9.1: "different users get different session keys" */
        {"DEFGHJNO", MKT_KEY_TGK, false}, /* G: each adds a RANDRr of its own */
    };
    static const uint8_t rand[32] = "a RANDRi of all the exchanges...";
    const struct mkt_key_wish wish = {.size = sizeof wish, .type = groups[_i].type};
    struct parties *p = parties_new(MKT_SUITE_256, groups[_i].flags);
    struct party *member[] = {&p->bob, &p->carol};
    struct mkt_span tek[2], init[2];
    p->policy.responder[p->policy.n_responders++] = p->carol.settings.self;
    p->request.keys = &wish;
    p->request.n_keys = 1;
    p->offer.randi = (struct mkt_span){rand, sizeof rand};
    be_granted(p);
    for (size_t i = 0; i < 2; i++) {
        p->offer.responder = member[i]->settings.self;
        init[i] = offered(p);
        expect_octets("RANDRi", payload_of(init[i], MKT_RANDR, MKT_RANDR_I).rand.rand, p->offer.randi);
        answered_by(member[i], init[i]);
        resolved_by(&p->kms, member[i]);
        if ((p->policy.flags & MKT_FLAG_F) != 0)
            take(&p->alice, "TRANSFER_RESP", transfer_resp(member[i], NULL));
        same_tek(&p->alice, member[i], 32);
        tek[i] = party_tek(member[i]);
    }
    ck_assert(mkt_span_equal(tek[0], tek[1]) == groups[_i].same);
    ck_assert(!mkt_span_equal((struct mkt_span){init[0].p + 4, 4}, (struct mkt_span){init[1].p + 4, 4})); /* CSB ID */

    if (groups[_i].type == MKT_KEY_TEK)
        expect_octets("a TEK needs no RANDs", session_key(&p->carol, 0).key, tek[0]);
    p->offer.randi = text(""); /* and without: fresh ones */
    init[1] = offered(p);
    ck_assert(!mkt_span_equal(payload_of(init[1], MKT_RANDR, MKT_RANDR_I).rand.rand,
                              payload_of(init[0], MKT_RANDR, MKT_RANDR_I).rand.rand));
    parties_free(p);
}
END_TEST

/* Figure 8, decentralised: what Alice gave to Bob he gives to Carol, in a KEMAC, with a ticket of his own. */
START_TEST(a_group_key_that_is_handed_on)
{
    struct parties *p = parties_new(MKT_SUITE_256, "EFHIJLNO");
    const struct mkt_key_wish gtgk = {.size = sizeof gtgk, .type = MKT_KEY_GTGK};
    p->recipe.keys = &gtgk;
    p->recipe.n_keys = 1;
    make_own(p);
    const struct mkt_span init = offered(p);
    answered_by(&p->bob, init);
    resolved_by(&p->kms, &p->bob);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    const struct mkt_span tek = party_tek(&p->alice);
    const struct mkt_key_wish same = {.size = sizeof same, .type = MKT_KEY_GTGK, .key = session_key(&p->bob, 0).key};

    mkt_ticket_free(p->ticket);
    p->ticket = NULL;
    struct mkt_ticket_recipe recipe = p->recipe;
    p->policy.initiator = p->bob.settings.self;
    p->policy.responder[0] = p->carol.settings.self;
    recipe.policy = &p->policy;
    recipe.n_keys = 0;
    expect_err("ticket", mkt_ticket_make(&p->ticket, &p->bob.player.host, &recipe), MKT_OK);
    const struct mkt_offer offer = {.size = sizeof offer,
                                    .ticket = p->ticket,
                                    .responder = p->carol.settings.self,
                                    .keys = &same,
                                    .n_keys = 1,
                                    .randi = payload_of(init, MKT_RANDR, MKT_RANDR_I).rand.rand};
    begin(&p->bob, MKT_INITIATOR);
    answered_by(&p->carol, transfer_init(&p->bob, &offer));
    resolved_by(&p->kms, &p->carol);
    take(&p->bob, "TRANSFER_RESP", transfer_resp(&p->carol, NULL));
    expect_octets("TEK of Bob", party_tek(&p->bob), tek);
    expect_octets("TEK of Carol", party_tek(&p->carol), tek);
    parties_free(p);
}
END_TEST

START_TEST(a_randi_given_is_as_long_as_it_must_be)
{
    static const uint8_t rand[256] = {1};
    struct parties *p = parties_new(MKT_SUITE_256, "FHJLNO");
    struct mkt_buf measured = {NULL, 0, 0};
    make_own(p);
    begin(&p->alice, MKT_INITIATOR);
    p->offer.randi = (struct mkt_span){rand, 31};
    expect_err("12.1", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &measured), MKT_E_RAND);
    p->offer.randi = (struct mkt_span){rand, 256};
    expect_err("a length of one octet", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &measured), MKT_E_ARGUMENT);
    p->offer.randi = (struct mkt_span){rand, 255};
    p->bob.player.tpk = p->tpk;
    p->bob.settings.kms = NULL;
    called(p, false);
    parties_free(p);
}
END_TEST

/* ---- section 10: signalling between different KMSs ---- */

/* The RESOLVE_INIT of Bob's KMS, which may be put to octets anywhere on its way. */
static struct mkt_span passed_on(struct parties *p, struct mkt_span by_bob)
{
    begin(&p->kms_r, MKT_KMS);
    take(&p->kms_r, "RESOLVE_INIT", by_bob);
    ck_assert(!mkt_csb_must_make(p->kms_r.csb, MKT_RESOLVE_RESP));
    expect_octets("who asked", mkt_csb_peer(p->kms_r.csb).data, p->bob.settings.self.data);
    return resolve_init(&p->kms_r);
}

/*
 * Bit 0: forked; bit 1: octets between all steps; bit 2: Bob leaves out who he is; bit 3: the suite; bits 4 to 6: Alice,
 * Bob, his KMS ask by public key.
 */
START_TEST(two_kms)
{
    const bool forked = (_i & 1) != 0, anonymous = (_i & 4) != 0;
    struct parties *p = parties_new(_i & 8 ? MKT_SUITE_128 : MKT_SUITE_256, forked ? "DEFGHIJNO" : "DEFGHJNO");
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].moves = (_i & 2) != 0;
    bob_has_a_kms_of_his_own(p);
    struct party *const asking[] = {&p->alice, &p->bob, &p->kms_r};
    for (size_t i = 0; i < 3; i++)
        if ((_i >> 4 >> i & 1) != 0)
            signs(p, asking[i]);
    p->bob.settings.leave_out_identities = anonymous;
    begin(&p->kms_r, MKT_KMS);
    const struct mkt_span fresh = stored(&p->kms_r);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_bob = resolve_init(&p->bob), by_kms = passed_on(p, by_bob);

    /* "The IDRr and TICKET payloads from the previous RESOLVE_INIT message SHOULD be reused." */
    const struct mkt_span was = payload_of(by_bob, MKT_TICKET, 0).octets, is = payload_of(by_kms, MKT_TICKET, 0).octets;
    expect_octets("TICKET", (struct mkt_span){is.p + 1, is.n - 1}, (struct mkt_span){was.p + 1, was.n - 1});
    const struct mkt_id idrr = payload_of(by_kms, MKT_IDR, MKT_IDR_R).id;
    ck_assert(mkt_id_equal(&idrr, &p->bob.settings.self));
    if (!anonymous) {
        const struct mkt_span bobs = payload_of(by_bob, MKT_IDR, MKT_IDR_R).octets,
                              same = payload_of(by_kms, MKT_IDR, MKT_IDR_R).octets;
        expect_octets("IDRr", (struct mkt_span){same.p + 1, same.n - 1}, (struct mkt_span){bobs.p + 1, bobs.n - 1});
    }
    ck_assert(!mkt_span_equal((struct mkt_span){by_bob.p + 4, 4}, (struct mkt_span){by_kms.p + 4, 4})); /* CSB ID */

    take(&p->kms, "RESOLVE_INIT", by_kms);
    expect_octets("who asks", mkt_csb_peer(p->kms.csb).data, p->bob.settings.self.data);
    const struct mkt_span of_kms = resolve_resp(&p->kms);
    refused(&p->bob, "it is for his KMS", of_kms, MKT_E_CSB_ID);
    take(&p->kms_r, "RESOLVE_RESP", of_kms);
    expect_octets("who asked", mkt_csb_peer(p->kms_r.csb).data, p->bob.settings.self.data);
    const struct mkt_span for_bob = resolve_resp(&p->kms_r);
    expect_octets("as new", stored(&p->kms_r), fresh);
    if (forked) {
        expect_octets("RANDRkms", payload_of(for_bob, MKT_RANDR, MKT_RANDR_KMS).rand.rand,
                      payload_of(of_kms, MKT_RANDR, MKT_RANDR_KMS).rand.rand);
        expect_octets("IDRr", payload_of(for_bob, MKT_IDR, MKT_IDR_R).id.data, p->bob.settings.self.data);
    }
    take(&p->bob, "RESOLVE_RESP", for_bob);
    p->bob.settings.leave_out_identities = false;
    const struct mkt_span resp = transfer_resp(&p->bob, NULL);
    take(&p->alice, "TRANSFER_RESP", resp);
    same_tek(&p->alice, &p->bob, _i & 8 ? 16 : 32);
    if (forked)
        expect_octets("RANDRkms", modifier(resp), payload_of(of_kms, MKT_RANDR, MKT_RANDR_KMS).rand.rand);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(asking[i]->signer.signed_, _i >> 4 >> i & 1);
    parties_free(p);
}
END_TEST

/* Who is no KMS asks for nobody but himself. */
START_TEST(a_kms_that_is_not_believed)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    bob_has_a_kms_of_his_own(p);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_kms = passed_on(p, resolve_init(&p->bob));
    for (size_t i = 0; i < p->kms.player.n_friends; i++)
        p->kms.player.friend[i].vouches = false;
    refused(&p->kms, "does not vouch", by_kms, MKT_E_RESPONDER);
    for (size_t i = 0; i < p->kms.player.n_friends; i++)
        p->kms.player.friend[i].vouches = true;
    take(&p->kms, "vouches", by_kms);
    parties_free(p);
}
END_TEST

/* A KMS that vouches still asks for one whom the ticket names. */
START_TEST(a_kms_that_asks_for_a_stranger)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    bob_has_a_kms_of_his_own(p);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_kms = passed_on(p, resolve_init(&p->bob));
    struct mkt_message m = decoded(by_kms);
    const struct forger forger = {.suite = MKT_SUITE_256,
                                  .key = p->kms_r.key.psk,
                                  .who = p->carol.settings.self.data,
                                  .to = p->kms.settings.self.data};
    find(&m, MKT_IDR, MKT_IDR_R)->id.data = p->carol.settings.self.data;
    refused(&p->kms, "not of the ticket", forged(&m, &forger), MKT_E_RESPONDER);
    take(&p->kms, "RESOLVE_INIT", by_kms);
    parties_free(p);
}
END_TEST

/* What a KMS passes on is for the next one to resolve; there is no third. */
START_TEST(a_ticket_passed_on_twice)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_credential third = {mkt_id_uri("sip:kms@example.net"), p->kms.key.name, p->kms.key.psk};
    struct forger forger = {.suite = MKT_SUITE_256,
                            .key = p->bob.key.psk,
                            .who = p->bob.settings.self.data,
                            .to = p->kms.settings.self.data};
    p->policy.kms = third.kms;
    p->kms.settings.kms = &third;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    struct mkt_message m = decoded(resolve_init(&p->bob));
    take(&p->kms, "once", forged(&m, &forger));
    ck_assert(mkt_csb_must_make(p->kms.csb, MKT_RESOLVE_INIT_PSK));
    mkt_csb_abandon(p->kms.csb);

    bob_has_a_kms_of_his_own(p);
    find(&m, MKT_IDR, MKT_IDR_PSK)->id.data = p->kms_r.key.name.data;
    forger.key = p->kms_r.key.psk;
    refused(&p->kms, "twice", forged(&m, &forger), MKT_E_KMS);
    parties_free(p);
}
END_TEST

/* A ticket names who can resolve it: no other KMS gets it. */
START_TEST(a_ticket_that_nobody_is_known_to_resolve)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_credential third = {mkt_id_uri("sip:kms@example.net"), p->kms.key.name, p->kms.key.psk},
                                right = {p->kms_r.settings.self, p->kms.key.name, p->kms.key.psk};
    p->policy.kms = p->kms_r.settings.self;
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_bob = resolve_init(&p->bob);
    refused(&p->kms, "of another KMS", by_bob, MKT_E_KMS);
    p->kms.settings.kms = &third;
    begin(&p->kms, MKT_KMS);
    refused(&p->kms, "neither of the one that it knows", by_bob, MKT_E_KMS);
    p->kms.settings.kms = &right;
    begin(&p->kms, MKT_KMS);
    take(&p->kms, "of the one that it knows", by_bob);
    ck_assert(mkt_csb_must_make(p->kms.csb, MKT_RESOLVE_INIT_PSK));
    parties_free(p);
}
END_TEST

/* A KMS that passes on asks its host about the Responder, and about the KMS, once it knows that the ticket is one. */
START_TEST(a_kms_that_is_asked_by_one_it_does_not_want)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    bob_has_a_kms_of_his_own(p);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_kms = passed_on(p, resolve_init(&p->bob));
    ck_assert_uint_eq(p->kms_r.n_asked, 0);
    take(&p->kms, "RESOLVE_INIT", by_kms);
    const struct mkt_span resp = resolve_resp(&p->kms);
    p->kms_r.player.fail = MKT_E_DENIED;
    refused(&p->kms_r, "not for Bob", resp, MKT_E_DENIED);
    ck_assert_int_eq(p->kms_r.asked_role, MKT_RESPONDER);
    ck_assert(p->kms_r.asked_proven);
    expect_octets("who", p->kms_r.asked_id.data, p->bob.settings.self.data);
    p->kms_r.player.fail = MKT_OK;
    take(&p->kms_r, "RESOLVE_RESP", resp);
    ck_assert_int_eq(p->kms_r.asked_role, MKT_KMS);
    ck_assert(p->kms_r.asked_proven);
    expect_octets("who", p->kms_r.asked_id.data, p->kms.settings.self.data);
    parties_free(p);
}
END_TEST

/* While it asks, a KMS serves nobody else with that bundle; it may ask again, or give up. */
START_TEST(a_kms_that_gets_no_answer)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    bob_has_a_kms_of_his_own(p);
    begin(&p->kms_r, MKT_KMS);
    const struct mkt_span fresh = stored(&p->kms_r);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_bob = resolve_init(&p->bob), first = passed_on(p, by_bob);
    const struct mkt_span again = resolve_init(&p->kms_r);
    ck_assert(!mkt_span_equal(first, again));
    take(&p->kms, "first", first);
    refused(&p->kms_r, "the answer to the first", resolve_resp(&p->kms), MKT_E_CSB_ID);
    expect_err("no answer for Bob", mkt_csb_make_resolve_resp(p->kms_r.csb, &(struct mkt_buf){NULL, 0, 0}),
               MKT_E_STATE);
    refused(&p->kms_r, "somebody else", by_bob, MKT_E_DATA_TYPE);
    mkt_csb_abandon(p->kms_r.csb);
    expect_octets("as new", stored(&p->kms_r), fresh);
    take(&p->kms, "again", again);
    refused(&p->kms_r, "too late", resolve_resp(&p->kms), MKT_E_DATA_TYPE);

    take(&p->kms_r, "Bob asks again", resolve_init(&p->bob));
    take(&p->kms, "passed on", resolve_init(&p->kms_r));
    take(&p->kms_r, "RESOLVE_RESP", resolve_resp(&p->kms));
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms_r));
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* What a KMS says when its host is asked who resolves a ticket, and what it was asked. */
static struct {
    const struct mkt_credential *other;
    enum mkt_err err;
    size_t n;
    struct mkt_span ticket; /* from Ticket Type to Initiator Data */
    struct mkt_id kms;      /* of the policy */
    const char *name;       /* IDRpsk; NULL: none */
} asked;

static enum mkt_err forward(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                            const struct mkt_id *name, const struct mkt_credential **other)
{
    ck_assert_ptr_nonnull(user);
    ck_assert_ptr_null(*other);
    ck_assert_uint_eq(ticket->type, MKT_TICKET);
    ck_assert(mkt_id_equal(&policy->kms, &asked.kms));
    expect_octets("TICKET", (struct mkt_span){ticket->octets.p + 1, ticket->octets.n - 1}, asked.ticket);
    ck_assert((name == NULL) == (asked.name == NULL));
    if (name != NULL) {
        ck_assert_uint_eq(name->type, MKT_ID_BYTES);
        expect_octets("IDRpsk", name->data, text(asked.name));
    }
    asked.n++;
    *other = asked.other;
    return asked.err;
}

/* Alice's ticket is made with a TPK that only her KMS has, and does not say who that is (mode 3). */
static struct mkt_span anonymous_ticket(struct parties *p)
{
    bob_has_a_kms_of_his_own(p);
    p->kms_r.settings.kms = NULL;
    p->policy.kms = (struct mkt_id){0};
    make_own(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_bob = resolve_init(&p->bob), ticket = payload_of(by_bob, MKT_TICKET, 0).octets;
    asked.kms = p->policy.kms;
    asked.ticket = exact((struct mkt_span){ticket.p + 1, ticket.n - 1});
    asked.name = "tpk-1";
    asked.other = &p->kms_r.key;
    asked.err = MKT_OK;
    asked.n = 0;
    return by_bob;
}

/* "must hence ask another KMS to resolve it (typically the issuing KMS)": the host says which. Bit 0: forked; bit 1:
 * octets between all steps; bit 2: no IDRpsk; bit 3: suite 128. */
START_TEST(a_ticket_that_names_no_kms)
{
    struct parties *p = parties_new(_i & 8 ? MKT_SUITE_128 : MKT_SUITE_256, (_i & 1) != 0 ? "DEFGHIJNO" : "DEFGHJNO");
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].moves = (_i & 2) != 0;
    if ((_i & 4) != 0)
        p->recipe.tpk_id = (struct mkt_id){0};
    const struct mkt_span by_bob = anonymous_ticket(p);
    asked.name = (_i & 4) != 0 ? NULL : asked.name;
    begin(&p->kms_r, MKT_KMS);
    refused(&p->kms_r, "its own, by default", by_bob, MKT_E_NO_KEY);
    p->kms_r.player.host.forward = forward;
    const struct mkt_span by_kms = passed_on(p, by_bob);
    ck_assert_uint_gt(asked.n, 0);
    expect_octets("IDRkms", payload_of(by_kms, MKT_IDR, MKT_IDR_KMS).id.data, p->kms.settings.self.data);
    begin(&p->kms, MKT_KMS);
    take(&p->kms, "RESOLVE_INIT", by_kms);
    take(&p->kms_r, "RESOLVE_RESP", resolve_resp(&p->kms));
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms_r));
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, _i & 8 ? 16 : 32);
    parties_free(p);
}
END_TEST

/* The host decides, whatever the policy says: nobody has verified that. */
START_TEST(who_resolves_a_ticket_is_the_word_of_the_host)
{
    const struct mkt_id names[] = {
        {0}, mkt_id_uri("sip:kms@example.com"), mkt_id_uri("sip:kms@example.org"), mkt_id_uri("sip:kms@example.net")};
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    bob_has_a_kms_of_his_own(p);
    p->kms_r.settings.kms = NULL;
    p->kms_r.player.host.forward = forward;
    p->policy.kms = names[_i];
    make_own(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_bob = resolve_init(&p->bob), ticket = payload_of(by_bob, MKT_TICKET, 0).octets;
    asked.kms = p->policy.kms;
    asked.ticket = exact((struct mkt_span){ticket.p + 1, ticket.n - 1});
    asked.name = "tpk-1";
    asked.n = 0;
    asked.err = MKT_E_KMS;
    asked.other = NULL;
    begin(&p->kms_r, MKT_KMS);
    refused(&p->kms_r, "nobody", by_bob, MKT_E_KMS);
    asked.err = MKT_E_DENIED;
    refused(&p->kms_r, "an error of the host", by_bob, MKT_E_DENIED);
    asked.err = MKT_OK;
    refused(&p->kms_r, "itself", by_bob, MKT_E_NO_KEY);
    ck_assert_uint_eq(asked.n, 3);
    asked.other = &p->kms_r.key;
    take(&p->kms_r, "another", by_bob);
    ck_assert(mkt_csb_must_make(p->kms_r.csb, MKT_RESOLVE_INIT_PSK));
    const struct mkt_span init = resolve_init(&p->kms_r);
    expect_octets("IDRkms", payload_of(init, MKT_IDR, MKT_IDR_KMS).id.data, p->kms.settings.self.data);
    uint8_t octets[1024];
    struct mkt_buf error = {octets, sizeof octets, 0};
    begin(&p->kms, MKT_KMS);
    expect_err("error", mkt_csb_make_error(p->kms.csb, init, MKT_E_STALE, NULL, 0, &error), MKT_OK);
    asked.err = MKT_E_DENIED; /* it may change its mind */
    expect_err("again", mkt_csb_make_resolve_init(p->kms_r.csb, &(struct mkt_buf){NULL, 0, 0}), MKT_E_DENIED);
    refused(&p->kms_r, "of one that is not asked any more", (struct mkt_span){octets, error.n}, MKT_E_DENIED);
    ck_assert_uint_eq(p->kms_r.player.reports, 0);
    asked.err = MKT_OK;
    take(&p->kms_r, "of one that is asked", (struct mkt_span){octets, error.n});
    ck_assert_uint_eq(p->kms_r.player.reports, 1);
    expect_err("again", mkt_csb_make_resolve_init(p->kms_r.csb, &(struct mkt_buf){NULL, 0, 0}), MKT_OK);
    parties_free(p);
}
END_TEST

/* The host is not asked about a policy that cannot be read, as octets of a bundle may have been damaged. */
START_TEST(a_stored_question_whose_ticket_is_damaged)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span by_bob = anonymous_ticket(p);
    const struct mkt_span tp_data = payload_of(by_bob, MKT_TICKET, 0).ticket.tp_data;
    uint8_t octets[8192];
    struct mkt_csb *copy = NULL;
    p->kms_r.player.host.forward = forward;
    begin(&p->kms_r, MKT_KMS);
    take(&p->kms_r, "RESOLVE_INIT", by_bob);
    const struct mkt_span whole = stored(&p->kms_r);
    memcpy(octets, whole.p, whole.n);
    size_t at = 0;
    while (at + tp_data.n < whole.n && memcmp(octets + at, tp_data.p, tp_data.n) != 0)
        at++;
    for (int damaged = 1; damaged >= 0; damaged--) {
        octets[at] = damaged ? 99 : tp_data.p[0]; /* First Payload: a type that there is not */
        asked.n = 0;
        expect_err("load",
                   mkt_csb_load(&copy, &p->kms_r.player.host, &p->kms_r.settings, (struct mkt_span){octets, whole.n}),
                   MKT_OK);
        expect_err("pass on", mkt_csb_make_resolve_init(copy, &(struct mkt_buf){NULL, 0, 0}),
                   damaged ? MKT_E_PAYLOAD : MKT_OK);
        ck_assert_uint_eq(asked.n, damaged ? 0 : 1);
        mkt_csb_free(copy);
    }
    parties_free(p);
}
END_TEST

/* A ticket of another type has no IDRpsk for the host, even if its Ticket Data has the form of a base ticket. */
START_TEST(a_ticket_of_another_type_has_no_idrpsk)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHJNO");
    struct mkt_message m = decoded(anonymous_ticket(p));
    const struct forger bob = {MKT_SUITE_256, p->bob.key.psk, .who = p->bob.settings.self.data,
                               .to = p->kms_r.settings.self.data};
    p->kms_r.player.host.forward = forward;
    begin(&p->kms_r, MKT_KMS);
    for (unsigned i = 0; i < 3; i++) {
        struct mkt_ticket_payload *ticket = &find(&m, MKT_TICKET, 0)->ticket;
        ticket->type = MKT_TICKET_BASE + (i == 0);
        ticket->subtype = (uint8_t)(MKT_TICKET_BASE_SUBTYPE + (i == 1));
        ticket->version = (uint8_t)(MKT_TICKET_BASE_VERSION + (i == 2));
        const struct mkt_span init = forged(&m, &bob), octets = payload_of(init, MKT_TICKET, 0).octets;
        asked.ticket = (struct mkt_span){octets.p + 1, octets.n - 1};
        asked.name = NULL;
        asked.err = MKT_E_DENIED;
        refused(&p->kms_r, "no name", init, MKT_E_DENIED);
        ck_assert_uint_eq(asked.n, i + 1);
    }
    parties_free(p);
}
END_TEST

/* A stranger makes nobody ask the host, and what was passed on once is not passed on again. */
START_TEST(tickets_that_are_not_passed_on)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span by_bob = anonymous_ticket(p);
    p->kms_r.player.host.forward = forward;
    begin(&p->kms_r, MKT_KMS);
    uint8_t octets[8192];
    ck_assert_uint_le(by_bob.n, sizeof octets);
    memcpy(octets, by_bob.p, by_bob.n);
    octets[by_bob.n - 1] ^= 1;
    refused(&p->kms_r, "forged", (struct mkt_span){octets, by_bob.n}, MKT_E_MAC);
    ck_assert_uint_eq(asked.n, 0);
    for (size_t i = 0; i < p->kms_r.player.n_friends; i++)
        p->kms_r.player.friend[i].vouches = true;
    refused(&p->kms_r, "twice", by_bob, MKT_E_KMS);
    for (size_t i = 0; i < p->kms_r.player.n_friends; i++)
        p->kms_r.player.friend[i].vouches = false;
    take(&p->kms_r, "once", by_bob);
    parties_free(p);
}
END_TEST

/* Error messages between KMSs have the key that the host gave. */
START_TEST(errors_between_kms)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DEFGHIJNO");
    const struct mkt_span by_bob = anonymous_ticket(p);
    uint8_t octets[1024];
    struct mkt_buf error = {octets, sizeof octets, 0};
    p->kms_r.player.host.forward = forward;
    const struct mkt_span by_kms = passed_on(p, by_bob);
    asked.err = MKT_E_KMS; /* the other one is there no more: Bob has to hear it */
    expect_err("to Bob", mkt_csb_make_error(p->kms_r.csb, text(""), MKT_E_KMS, NULL, 0, &error), MKT_OK);
    expect_err("told", taken(mkt_csb_take(p->bob.csb, exact((struct mkt_span){octets, error.n}))), MKT_OK);
    ck_assert(p->bob.player.reports == 1 && p->bob.player.authenticated);
    asked.err = MKT_OK;
    error.n = 0;
    begin(&p->kms, MKT_KMS);
    take(&p->kms, "RESOLVE_INIT", by_kms);
    const struct mkt_span resp = resolve_resp(&p->kms);
    expect_err("about the answer", mkt_csb_make_error(p->kms_r.csb, resp, MKT_E_DENIED, NULL, 0, &error), MKT_OK);
    struct mkt_message m = decoded((struct mkt_span){octets, error.n});
    ck_assert_ptr_nonnull(mkt_message_find(&m, MKT_V, 0));
    error.n = 0;
    expect_err("about the question", mkt_csb_make_error(p->kms.csb, by_kms, MKT_E_DENIED, NULL, 0, &error), MKT_OK);
    p->kms_r.player.reports = 0;
    expect_err("told", taken(mkt_csb_take(p->kms_r.csb, exact((struct mkt_span){octets, error.n}))), MKT_OK);
    ck_assert(p->kms_r.player.reports == 1 && p->kms_r.player.authenticated);
    parties_free(p);
}
END_TEST

/* ---- section 11: tickets that the host handles ---- */

/* A Ticket Data that is "a reference to information (keys, etc.) stored by the key management service". */
static uint8_t kept[1024];
static size_t n_kept, n_opened;

static enum mkt_err keep_keys(void *user, const struct mkt_policy *policy, struct mkt_span keys,
                              struct mkt_buf *ticket_data)
{
    (void)user;
    ck_assert_uint_eq(policy->type, 61440);
    ck_assert_uint_le(keys.n, sizeof kept);
    ck_assert_uint_ge(ticket_data->cap - ticket_data->n, 9);
    memcpy(kept, keys.p, keys.n);
    n_kept = keys.n;
    memcpy(ticket_data->p + ticket_data->n, "reference", 9);
    ticket_data->n += 9;
    return MKT_OK;
}

static enum mkt_err find_keys(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                              struct mkt_buf *keys)
{
    (void)user;
    if (policy->type != 61440 || !mkt_span_equal(ticket->ticket.ticket_data, text("reference")))
        return MKT_E_TICKET_MAC;
    ck_assert_uint_le(n_kept, keys->cap - keys->n);
    memcpy(keys->p + keys->n, kept, n_kept);
    keys->n += n_kept;
    n_opened++;
    return MKT_OK;
}

static enum mkt_err another_has_the_keys(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                         struct mkt_buf *keys)
{
    (void)user;
    (void)ticket;
    (void)policy;
    (void)keys;
    return MKT_E_NO_KEY;
}

static struct parties *set_up_own_type(const char *flags)
{
    struct parties *p = parties_new(MKT_SUITE_256, flags);
    p->policy.type = 61440;
    p->policy.subtype = 3;
    p->policy.version = 9;
    p->alice.player.host.open = p->bob.player.host.open = another_has_the_keys;
    p->kms.player.host.open = find_keys;
    p->kms.player.host.seal = keep_keys;
    n_opened = 0;
    return p;
}

/* Only the KMS can resolve it: forked, because of E, and because Bob can't. */
START_TEST(a_ticket_type_of_the_hosts_own)
{
    static const char *const flags[] = {"DEFGHIJ", "DEFGHIJNO", "DEFGHJNO", "DFGHJNO"};
    struct parties *p = set_up_own_type(flags[_i]);
    be_granted(p);
    called(p, true);
    called(p, true);
    ck_assert_uint_eq(n_opened, 2);
    p->bob.player.resolved = resolved_octets(&p->bob);
    called(p, false);
    ck_assert_uint_eq(n_opened, 2);
    parties_free(p);
}
END_TEST

/* Mode 2, and mode 4 */
START_TEST(a_ticket_type_of_the_hosts_own_that_bob_resolves)
{
    struct parties *p = set_up_own_type(_i == 0 ? "DFGHJ" : "FGHJL");
    p->bob.player.host.open = find_keys;
    p->alice.player.host.seal = keep_keys;
    if (_i == 0)
        be_granted(p);
    else
        make_own(p);
    called(p, false);
    ck_assert_uint_eq(n_opened, 1);
    parties_free(p);
}
END_TEST

/* Without N and O. */
START_TEST(a_ticket_type_that_nobody_handles)
{
    struct parties *p = set_up_own_type("DEFGHIJ");
    struct mkt_ticket *ticket = NULL;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    take(&p->kms, "REQUEST_INIT", request_init(&p->alice, &p->request));
    p->kms.player.host.seal = NULL;
    expect_err("the KMS can't make it", mkt_csb_grant(p->kms.csb, &p->recipe, &ticket), MKT_E_TICKET_TYPE);
    ck_assert_ptr_null(ticket);
    p->kms.player.host.seal = keep_keys;
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    p->alice.player.host.open = NULL;
    refused(&p->alice, "Alice can't use it", resp, MKT_E_TICKET_TYPE);
    p->alice.player.host.open = another_has_the_keys;
    take(&p->alice, "REQUEST_RESP", resp);
    expect_err("ticket", mkt_csb_take_ticket(p->alice.csb, &p->ticket), MKT_OK);
    p->offer.ticket = p->ticket;

    begin(&p->alice, MKT_INITIATOR);
    p->alice.player.host.open = NULL;
    expect_err("nor offer it", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &(struct mkt_buf){NULL, 0, 0}),
               MKT_E_TICKET_TYPE);
    p->alice.player.host.open = another_has_the_keys;
    const struct mkt_span init = transfer_init(&p->alice, &p->offer);
    begin(&p->bob, MKT_RESPONDER);
    p->bob.player.host.open = NULL;
    refused(&p->bob, "Bob does not know it", init, MKT_E_TICKET_TYPE);
    p->bob.player.host.open = another_has_the_keys;
    take(&p->bob, "TRANSFER_INIT", init);

    p->kms.player.host.open = NULL;
    const struct mkt_span resolve = resolve_init(&p->bob);
    refused(&p->kms, "the KMS can't resolve it", resolve, MKT_E_TICKET_TYPE);
    p->kms.player.host.open = find_keys;
    take(&p->kms, "RESOLVE_INIT", resolve);
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms));
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/*
 * D24: with N and O, Initiator and Responder use a ticket of any type, subtype and version without opening it; the keys
 * come from the KMS. Bob's TPK is not for it.
 */
START_TEST(a_ticket_type_that_only_the_kms_handles)
{
    static const char *const flags[] = {"DEFGHIJNO", "DEFGHJNO", "DFGHJNO"};
    struct parties *p = set_up_own_type(flags[_i]);
    p->alice.player.host.open = p->bob.player.host.open = NULL;
    p->bob.player.tpk = p->tpk;
    be_granted(p);
    called(p, true);
    p->bob.player.resolved = resolved_octets(&p->bob);
    called(p, false);
    p->bob.player.resolved = text("");

    p->bob.settings.kms = NULL;
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "no KMS", offered(p), flags[_i][1] == 'E' ? MKT_E_RESOLVE : MKT_E_TICKET_TYPE);
    p->bob.settings.kms = &p->bob.key;
    begin(&p->kms, MKT_KMS);
    answered_by(&p->bob, offered(p));
    p->kms.player.host.open = NULL;
    refused(&p->kms, "the KMS itself must open it", resolve_init(&p->bob), MKT_E_TICKET_TYPE);
    parties_free(p);
}
END_TEST

static enum mkt_err opens_no_such(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                  struct mkt_buf *keys)
{
    (void)user;
    (void)ticket;
    (void)policy;
    (void)keys;
    return MKT_E_TICKET_TYPE;
}

/* A host that opens tickets may not open those of this type: O lets the Responder ask its KMS. */
START_TEST(a_ticket_type_that_the_host_does_not_open)
{
    struct parties *p = set_up_own_type(_i == 0 ? "DFGHJNO" : "DFGHJN");
    be_granted(p);
    p->bob.player.host.open = opens_no_such;
    begin(&p->bob, MKT_RESPONDER);
    const struct mkt_span init = offered(p);
    if (_i == 0)
        answered_by(&p->bob, init);
    else
        refused(&p->bob, "without O", init, MKT_E_TICKET_TYPE);
    ck_assert_uint_eq(mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK), _i == 0);
    parties_free(p);
}
END_TEST

/* A stored ticket of any type can be read back; without N it cannot be offered. */
START_TEST(a_stored_ticket_of_a_type_that_only_the_kms_handles)
{
    struct parties *p = set_up_own_type(_i == 0 ? "DEFGHIJNO" : "DEFGHIJO");
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    be_granted(p);
    p->alice.player.host.open = NULL;
    expect_err("put", mkt_ticket_save(p->ticket, &out), MKT_OK);
    mkt_ticket_free(p->ticket);
    p->ticket = NULL;
    expect_err("get", mkt_ticket_load(&p->ticket, &p->alice.player.host, (struct mkt_span){octets, out.n}), MKT_OK);
    p->offer.ticket = p->ticket;
    begin(&p->alice, MKT_INITIATOR);
    expect_err("offer", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &(struct mkt_buf){NULL, 0, 0}),
               _i == 0 ? MKT_OK : MKT_E_TICKET_TYPE);
    parties_free(p);
}
END_TEST

/* The keys that a host's ticket has are looked at as those of any other. */
START_TEST(a_host_that_gives_keys_of_the_wrong_kind)
{
    struct parties *p = set_up_own_type("DEFGHIJNO");
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span init = resolve_init(&p->bob);
    const size_t n = n_kept;
    n_kept = 0;
    refused(&p->kms, "no MPK", init, MKT_E_MPK);
    n_kept = n - 1;
    refused(&p->kms, "cut short", init, MKT_E_TRUNCATED);
    n_kept = n;
    take(&p->kms, "RESOLVE_INIT", init);
    parties_free(p);
}
END_TEST

/* What a host appends before it finds that it has no key is not taken for keys. */
static enum mkt_err half_a_key(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                               struct mkt_buf *keys)
{
    enum mkt_err err = find_keys(user, ticket, policy, keys);
    return err == MKT_OK ? MKT_E_NO_KEY : err;
}

START_TEST(a_host_that_gives_up_half_way)
{
    struct parties *p = set_up_own_type("DFGHJNO");
    struct mkt_key_data key;
    be_granted(p);
    const struct mkt_span init = offered(p);
    p->bob.player.host.open = half_a_key;
    answered_by(&p->bob, init);
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK));
    expect_err("no key yet", mkt_csb_key(p->bob.csb, 0, &key), MKT_E_NO_SESSION);
    resolved_by(&p->kms, &p->bob);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/*
 * Base tickets without N or O "require additional processing" by Initiator or Responder: without callbacks they are
 * refused by those whom the flag is for, and by nobody else.
 */
START_TEST(a_base_ticket_that_wants_more)
{
    static const char *const flags[] = {"DEFGHIJNO", "DEFGHIJO", "DEFGHIJN", "DEFGHIJ"};
    struct parties *p = parties_new(MKT_SUITE_256, flags[_i]);
    const bool n = (p->policy.flags & MKT_FLAG_N) != 0, o = (p->policy.flags & MKT_FLAG_O) != 0;
    begin(&p->alice, MKT_INITIATOR);
    begin(&p->kms, MKT_KMS);
    take(&p->kms, "REQUEST_INIT", request_init(&p->alice, &p->request));
    const struct mkt_span resp = request_resp(&p->kms, &p->recipe);
    if (!n)
        refused(&p->alice, "N", resp, MKT_E_TICKET_TYPE);
    p->alice.player.host.open = n ? NULL : another_has_the_keys;
    take(&p->alice, "REQUEST_RESP", resp);
    expect_err("ticket", mkt_csb_take_ticket(p->alice.csb, &p->ticket), MKT_OK);
    p->offer.ticket = p->ticket;
    const struct mkt_span init = offered(p);
    begin(&p->bob, MKT_RESPONDER);
    if (!o)
        refused(&p->bob, "O", init, MKT_E_TICKET_TYPE);
    p->bob.player.host.open = o ? NULL : another_has_the_keys;
    take(&p->bob, "TRANSFER_INIT", init);
    resolved_by(&p->kms, &p->bob);
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* ---- names as short as they can be ---- */

/* Everybody and every key has a name of one octet; the policy allows one application, of one octet, too. */
static struct parties *set_up_short(const char *flags)
{
    static const char *const names[ALL_PARTIES] = {"a", "b", "c", "m", "k", "r"}, *const keys[ALL_PARTIES] = {
                                                                                      "1", "2", "3", "4", "5", "6"};
    struct parties *p = parties_new(MKT_SUITE_256, flags);
    p->kms.player.n_friends = 0;
    for (size_t i = 0; i < ALL_PARTIES; i++) {
        struct party *one = &p->all[i];
        mkt_settings_init(&one->settings, mkt_id_uri(names[i]));
        one->settings.application = text("x");
        one->settings.replay_scope = text("s");
        one->key.kms = mkt_id_uri("k");
        one->key.name = mkt_id_bytes(keys[i]);
        one->moves = true;
        if (one == &p->kms || one == &p->kms_r)
            continue;
        one->settings.kms = &one->key;
        p->kms.player.friend[p->kms.player.n_friends++] =
            (struct friend){one->key.name, one->settings.self, one->key.psk, false};
    }
    p->alice.settings.peer = p->bob.settings.self;
    p->bob.settings.peer = p->alice.settings.self;
    p->policy.kms = p->kms.settings.self;
    p->policy.initiator = p->alice.settings.self;
    p->policy.responder[0] = p->offer.responder = p->bob.settings.self;
    p->policy.application[p->policy.n_applications++] = text("x");
    p->recipe.tpk_id = mkt_id_bytes("t");
    return p;
}

static void update_by(struct party *by, struct party *other)
{
    const struct mkt_update nothing = {.size = sizeof nothing, .no_answer = true};
    uint8_t octets[4096];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("update", mkt_csb_make_update(by->csb, &nothing, &buf), MKT_OK);
    take(other, "update", exact((struct mkt_span){octets, buf.n}));
}

/* Bit 0: forked; bit 1: identities are left out of messages; bit 2: the policy names no Initiator. */
START_TEST(names_of_one_octet)
{
    const bool forked = (_i & 1) != 0, named = (_i & 4) == 0;
    struct parties *p = set_up_short(forked ? "DEFGHIJNO" : "DEFGHJNO");
    for (size_t i = 0; i < ALL_PARTIES; i++)
        p->all[i].settings.leave_out_identities = (_i & 2) != 0;
    if (named) {
        be_granted(p);
    } else {
        p->policy.initiator = (struct mkt_id){0};
        make_own(p);
    }
    called(p, true);
    ck_assert(p->bob.asked_proven == named);
    update_by(&p->bob, &p->alice);
    update_by(&p->alice, &p->bob);
    same_tek(&p->alice, &p->bob, 32);
    p->bob.player.resolved = resolved_octets(&p->bob);
    called(p, false);
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* Without F the Responder is known once it updates, and then by that name alone. */
START_TEST(a_responder_of_one_octet_that_nobody_asked)
{
    struct parties *p = set_up_short("DHJLNO");
    p->alice.settings.peer = (struct mkt_id){0};
    p->policy.responder[0] = p->offer.responder = mkt_id_uri("g");
    p->policy.responder[p->policy.n_responders++] = p->bob.settings.self;
    p->bob.player.tpk = p->tpk;
    make_own(p);
    answered_by(&p->bob, offered(p));
    ck_assert_uint_eq(mkt_csb_peer(p->alice.csb).data.n, 0);
    for (int i = 0; i < 2; i++) {
        update_by(&p->bob, &p->alice);
        expect_octets("peer", mkt_csb_peer(p->alice.csb).data, text("b"));
        ck_assert_uint_eq(p->alice.n_asked, 1);
        ck_assert(p->alice.asked_role == MKT_RESPONDER && p->alice.asked_proven);
        expect_octets("asked about", p->alice.asked_id.data, text("b"));
        update_by(&p->alice, &p->bob);
        same_tek(&p->alice, &p->bob, 32);
    }
    parties_free(p);
}
END_TEST

/* Two KMSs: each name is that of the one who is asked. */
START_TEST(two_kms_of_one_octet)
{
    const bool forked = (_i & 1) != 0;
    struct parties *p = set_up_short(forked ? "DEFGHIJNO" : "DEFGHJNO");
    bob_has_a_kms_of_his_own(p);
    be_granted(p);
    answered_by(&p->bob, offered(p));
    const struct mkt_span by_kms = passed_on(p, resolve_init(&p->bob));
    take(&p->kms, "RESOLVE_INIT", by_kms);
    take(&p->kms_r, "RESOLVE_RESP", resolve_resp(&p->kms));
    take(&p->bob, "RESOLVE_RESP", resolve_resp(&p->kms_r));
    take(&p->alice, "TRANSFER_RESP", transfer_resp(&p->bob, NULL));
    same_tek(&p->alice, &p->bob, 32);
    parties_free(p);
}
END_TEST

/* The host is told IDRpsk of one octet. */
START_TEST(a_key_name_of_one_octet)
{
    struct parties *p = set_up_short("DEFGHIJNO");
    const struct mkt_span by_bob = anonymous_ticket(p);
    asked.name = "t";
    p->kms_r.player.host.forward = forward;
    begin(&p->kms_r, MKT_KMS);
    take(&p->kms_r, "RESOLVE_INIT", by_bob);
    ck_assert_uint_gt(asked.n, 0);
    parties_free(p);
}
END_TEST

/* One octet tells two names apart. */
START_TEST(other_names_of_one_octet)
{
    struct parties *p = set_up_short("DEFGHJNO");
    const struct mkt_id zoe = mkt_id_uri("z"), alice = p->alice.settings.self, kms = p->kms.settings.self;
    struct mkt_settings other = p->alice.settings;
    struct mkt_csb *copy = NULL;
    struct mkt_policy policy = p->policy, read;
    struct mkt_ticket_recipe recipe = p->recipe;
    struct mkt_ticket *ticket = NULL;
    begin(&p->kms, MKT_KMS);
    begin(&p->alice, MKT_INITIATOR);

    /* what is stored is for one user, and about one peer */
    const struct mkt_span mine = stored(&p->alice);
    other.self = zoe;
    expect_err("self", mkt_csb_load(&copy, &p->alice.player.host, &other, mine), MKT_E_ARGUMENT);
    other.self = alice;
    other.peer = zoe;
    expect_err("peer", mkt_csb_load(&copy, &p->alice.player.host, &other, mine), MKT_E_ARGUMENT);

    /* a policy that names another Initiator, or another KMS; what the KMS changes it tells by K */
    p->policy.initiator = zoe;
    refused(&p->kms, "IDRi", request_init(&p->alice, &p->request), MKT_E_INITIATOR);
    p->policy.initiator = alice;
    p->policy.kms = mkt_id_uri("y");
    begin(&p->alice, MKT_INITIATOR);
    take(&p->kms, "REQUEST_INIT", request_init(&p->alice, &p->request));
    expect_err("requested", mkt_csb_requested(p->kms.csb, &read), MKT_OK);
    expect_octets("IDRkms", read.kms.data, text("y"));
    for (unsigned i = 0; i < 3; i++) {
        policy.kms = i == 0 ? p->policy.kms : kms;
        policy.initiator = i == 2 ? zoe : alice;
        recipe.policy = &policy;
        expect_err("grant", mkt_csb_grant(p->kms.csb, &recipe, &ticket), MKT_OK);
        expect_err("policy", mkt_ticket_policy(ticket, &read), MKT_OK);
        ck_assert(((read.flags & MKT_FLAG_K) != 0) == (i > 0));
        mkt_ticket_free(ticket);
    }
    p->policy.kms = kms;

    /* a ticket of somebody else */
    p->policy.initiator = zoe;
    make_own(p);
    begin(&p->alice, MKT_INITIATOR);
    expect_err("IDRi", mkt_csb_make_transfer_init(p->alice.csb, &p->offer, &(struct mkt_buf){NULL, 0, 0}),
               MKT_E_INITIATOR);
    mkt_ticket_free(p->ticket);
    p->policy.initiator = alice;
    make_own(p);

    /* a stranger who offers it, and one who takes it */
    struct mkt_message m = decoded(offered(p));
    const struct forger anyone = {MKT_SUITE_256, p->alice.key.psk, .who = zoe.data, .to = text("b")};
    find(&m, MKT_IDR, MKT_IDR_I)->id.data = zoe.data;
    begin(&p->bob, MKT_RESPONDER);
    refused(&p->bob, "IDRi", forged(&m, &anyone), MKT_E_INITIATOR);
    begin(&p->carol, MKT_RESPONDER);
    refused(&p->carol, "IDRr", offered(p), MKT_E_RESPONDER);

    /* an application that the KMS does not serve */
    p->kms.settings.application = text("y");
    begin(&p->kms, MKT_KMS);
    answered_by(&p->bob, offered(p));
    refused(&p->kms, "IDRapp", resolve_init(&p->bob), MKT_E_APPLICATION);
    parties_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("modes");
    TCase *tcase = tcase_create("modes");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_mode, 0, 32 * MODES);
    tcase_add_loop_test(tcase, what_a_host_wrote_for_nothing_is_wiped, 0, MODES);
    tcase_add_loop_test(tcase, every_mode_with_counters, 0, 2 * MODES);
    tcase_add_loop_test(tcase, whose_counter_the_host_is_asked_about, 0, MODES);
    tcase_add_loop_test(tcase, every_mode_in_2036, 0, MODES);
    tcase_add_loop_test(tcase, a_ticket_handed_out_some_other_way, 0, 4);
    tcase_add_loop_test(tcase, a_ticket_for_one_call, 0, MODES);
    tcase_add_loop_test(tcase, calls_that_nobody_answers, 0, 2);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("forking");
    tcase_add_loop_test(tcase, one_of_two_answers, 0, 8);
    tcase_add_test(tcase, either_of_two_answers);
    tcase_add_test(tcase, what_is_forked);
    tcase_add_loop_test(tcase, keys_that_an_end_supplies_are_not_forked, 0, 2);
    tcase_add_loop_test(tcase, pre_encrypted_content, 0, 2);
    tcase_add_loop_test(tcase, an_spi_from_request_to_call, 0, 2);
    tcase_add_loop_test(tcase, group_keys, 0, 7);
    tcase_add_test(tcase, a_group_key_that_is_handed_on);
    tcase_add_test(tcase, a_randi_given_is_as_long_as_it_must_be);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("short names");
    tcase_add_loop_test(tcase, names_of_one_octet, 0, 8);
    tcase_add_test(tcase, a_responder_of_one_octet_that_nobody_asked);
    tcase_add_loop_test(tcase, two_kms_of_one_octet, 0, 2);
    tcase_add_test(tcase, a_key_name_of_one_octet);
    tcase_add_test(tcase, other_names_of_one_octet);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("two KMSs");
    tcase_add_loop_test(tcase, two_kms, 0, 128);
    tcase_add_test(tcase, a_kms_that_is_not_believed);
    tcase_add_test(tcase, a_kms_that_asks_for_a_stranger);
    tcase_add_test(tcase, a_ticket_passed_on_twice);
    tcase_add_test(tcase, a_ticket_that_nobody_is_known_to_resolve);
    tcase_add_test(tcase, a_kms_that_is_asked_by_one_it_does_not_want);
    tcase_add_test(tcase, a_kms_that_gets_no_answer);
    tcase_add_loop_test(tcase, a_ticket_that_names_no_kms, 0, 16);
    tcase_add_loop_test(tcase, who_resolves_a_ticket_is_the_word_of_the_host, 0, 4);
    tcase_add_test(tcase, tickets_that_are_not_passed_on);
    tcase_add_test(tcase, a_stored_question_whose_ticket_is_damaged);
    tcase_add_test(tcase, a_ticket_of_another_type_has_no_idrpsk);
    tcase_add_test(tcase, errors_between_kms);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("ticket types");
    tcase_add_loop_test(tcase, a_ticket_type_of_the_hosts_own, 0, 4);
    tcase_add_loop_test(tcase, a_ticket_type_of_the_hosts_own_that_bob_resolves, 0, 2);
    tcase_add_test(tcase, a_ticket_type_that_nobody_handles);
    tcase_add_loop_test(tcase, a_ticket_type_that_only_the_kms_handles, 0, 3);
    tcase_add_loop_test(tcase, a_ticket_type_that_the_host_does_not_open, 0, 2);
    tcase_add_loop_test(tcase, a_stored_ticket_of_a_type_that_only_the_kms_handles, 0, 2);
    tcase_add_test(tcase, a_host_that_gives_keys_of_the_wrong_kind);
    tcase_add_test(tcase, a_host_that_gives_up_half_way);
    tcase_add_loop_test(tcase, a_base_ticket_that_wants_more, 0, 4);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
