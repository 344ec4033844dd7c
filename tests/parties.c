/* SPDX-License-Identifier: BSD-3-Clause */
#include "parties.h"

#include "initiator_data.h"
#include "protect.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 8192 };

/* ---- hosts ---- */

static enum mkt_err party_authorise(void *user, const struct mkt_peer *peer)
{
    struct party *p = user;
    ck_assert_uint_gt(peer->id.data.n, 0);
    p->n_asked++;
    p->asked_role = peer->role;
    p->asked_proven = peer->proven;
    p->asked_id = peer->id;
    p->asked_id.data = exact(peer->id.data);
    p->asked_flags = peer->policy->flags;
    return p->player.fail;
}

static enum mkt_err party_counter(void *user, uint32_t *value)
{
    *value = ++((struct player *)user)->counter;
    return MKT_OK;
}

static enum mkt_err party_count(void *user, const struct mkt_id *peer, uint32_t value)
{
    struct party *party = user;
    struct player *p = user;
    size_t i = 0;
    ck_assert_uint_gt(peer->data.n, 0);
    party->n_counted++;
    party->counted_id = *peer;
    party->counted_id.data = exact(peer->data);
    while (i < 4 && p->counted[i].n > 0 && !mkt_span_equal(p->counted[i], peer->data))
        i++;
    ck_assert_uint_lt(i, 4);
    if (p->counted[i].n > 0 && value <= p->count[i])
        return MKT_E_REPLAY;
    p->counted[i] = exact(peer->data);
    p->count[i] = value;
    return MKT_OK;
}

void all_count(struct parties *p)
{
    p->recipe.counter = true;
    for (size_t i = 0; i < ALL_PARTIES; i++) {
        p->all[i].settings.counter = true;
        p->all[i].player.host.counter_next = party_counter;
        p->all[i].player.host.counter_check = party_count;
    }
}

/* ---- who there is ---- */

static const struct {
    const char *uri, *key_name;
    uint8_t psk[33];
} people[ALL_PARTIES] = {
    {"sip:alice@example.com", "alice-key", "the key of Alice and of her KMS."},
    {"sip:bob@example.com", "bob-key", "That one is known to Bob and KMS"},
    {"sip:carol@example.com", "carol-key", "Carol trusts in the KMS likewise"},
    {"sip:mallory@example.com", "mallory-key", "even Mallory shares his KMS key!"},
    {"sip:kms@example.com", "kms-key", "KMS with another KMS, not users."},
    {"sip:kms@example.org", "kms-r-key", "two KMSs of different domains..."},
};

struct parties *parties_new(enum mkt_suite suite, const char *flags)
{
    struct parties *p = calloc(1, sizeof *p);
    ck_assert_ptr_nonnull(p);
    p->suite = suite;
    p->tpk = (struct mkt_span){tpk.p, suite == MKT_SUITE_256 ? 32 : 16};
    player_init(&p->kms.player, ntp(NOW), p->tpk);
    for (size_t i = 0; i < ALL_PARTIES; i++) {
        struct party *one = &p->all[i];
        const struct mkt_span psk = {people[i].psk, p->tpk.n};
        if (one != &p->kms)
            player_init(&one->player, ntp(NOW), text(""));
        one->player.next_random = 331 * i; /* not the octets that another one draws */
        one->player.host.authorise = party_authorise;
        mkt_settings_init(&one->settings, mkt_id_uri(people[i].uri));
        one->key = (struct mkt_credential){mkt_id_uri("sip:kms@example.com"), mkt_id_bytes(people[i].key_name), psk};
        if (one == &p->kms || one == &p->kms_r)
            continue;
        one->settings.kms = &one->key;
        p->kms.player.friend[p->kms.player.n_friends++] =
            (struct friend){one->key.name, one->settings.self, psk, false};
    }
    p->policy = mkt_policy_default(suite);
    expect_err("flags", mkt_flags_parse(&p->policy.flags, flags), MKT_OK);
    p->policy.kms = p->kms.settings.self;
    p->policy.initiator = p->alice.settings.self;
    p->policy.responder[p->policy.n_responders++] = p->bob.settings.self;
    mkt_request_init(&p->request);
    mkt_offer_init(&p->offer);
    p->request.policy = &p->policy;
    p->recipe = (struct mkt_ticket_recipe){
        .size = sizeof(struct mkt_ticket_recipe), .tpk_id = mkt_id_bytes("tpk-1"), .tpk = p->tpk};
    p->offer.responder = p->bob.settings.self;
    return p;
}

void parties_free(struct parties *p)
{
    mkt_ticket_free(p->ticket);
    for (size_t i = 0; i < ALL_PARTIES; i++)
        mkt_csb_free(p->all[i].csb);
    for (size_t i = 0; i < ALL_PARTIES; i++)
        ck_assert_msg(p->all[i].player.live == 0, "%s keeps memory", people[i].uri);
    free(p);
    free_all();
}

void bob_has_a_kms_of_his_own(struct parties *p)
{
    struct player *kms = &p->kms.player, *kms_r = &p->kms_r.player;
    for (size_t i = 0; i < kms->n_friends; i++)
        if (mkt_id_equal(&kms->friend[i].id, &p->bob.settings.self))
            kms->friend[i] = (struct friend){p->kms_r.key.name, p->kms_r.settings.self, p->kms_r.key.psk, true};
    kms_r->friend[kms_r->n_friends++] = (struct friend){p->bob.key.name, p->bob.settings.self, p->bob.key.psk, false};
    p->bob.key.kms = p->kms_r.settings.self;
    p->kms_r.settings.kms = &p->kms_r.key;
}

static void has_certificate(struct party *one)
{
    if (one->settings.public_keys != NULL)
        return;
    signer_init(&one->signer, one->settings.self);
    one->settings.public_keys = &one->signer.keys;
    one->settings.bundle_size = MKT_CSB_SIZE_PK;
}

void signs(struct parties *p, struct party *one)
{
    has_certificate(&p->kms);
    has_certificate(&p->kms_r);
    has_certificate(one);
    one->key.psk = one->key.name.data = text("");
    p->kms.signer.relay = p->kms_r.settings.self;
}

void all_sign(struct parties *p)
{
    for (size_t i = 0; i < ALL_PARTIES; i++)
        signs(p, &p->all[i]);
}

void begin(struct party *party, enum mkt_role role)
{
    mkt_csb_free(party->csb);
    expect_err("new", mkt_csb_new(&party->csb, role, &party->player.host, &party->settings), MKT_OK);
}

/* ---- one message ---- */

struct mkt_span stored(const struct party *party)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("put", mkt_csb_save(party->csb, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

/* As another process goes on. */
static void move(struct party *party)
{
    if (!party->moves)
        return;
    const struct mkt_span octets = stored(party);
    struct mkt_buf resolved = {NULL, 0, 0};
    const bool has = mkt_csb_save_resolved(party->csb, &resolved) == MKT_OK;
    if (has) {
        party->resolved = (struct mkt_span){NULL, 0};
        party->resolved = resolved_octets(party);
    }
    mkt_csb_free(party->csb);
    expect_err("get", mkt_csb_load(&party->csb, &party->player.host, &party->settings, octets), MKT_OK);
    expect_octets("moved", stored(party), octets);
}

static struct mkt_span sent(struct party *by, const struct mkt_buf *out)
{
    move(by);
    return exact((struct mkt_span){out->p, out->n});
}

struct mkt_span request_init(struct party *by, const struct mkt_request *request)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("REQUEST_INIT", mkt_csb_make_request_init(by->csb, request, &out), MKT_OK);
    return sent(by, &out);
}

struct mkt_span request_resp(struct party *by, const struct mkt_ticket_recipe *recipe)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_ticket *ticket = NULL;
    ck_assert(mkt_csb_must_make(by->csb, MKT_REQUEST_RESP));
    expect_err("grant", mkt_csb_grant(by->csb, recipe, &ticket), MKT_OK);
    expect_err("REQUEST_RESP", mkt_csb_make_request_resp(by->csb, ticket, &out), MKT_OK);
    mkt_ticket_free(ticket);
    return sent(by, &out);
}

struct mkt_span transfer_init(struct party *by, const struct mkt_offer *offer)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_err("TRANSFER_INIT", mkt_csb_make_transfer_init(by->csb, offer, &out), MKT_OK);
    return sent(by, &out);
}

struct mkt_span transfer_resp(struct party *by, const struct mkt_answer *answer)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    ck_assert(mkt_csb_must_make(by->csb, MKT_TRANSFER_RESP));
    expect_err("TRANSFER_RESP", mkt_csb_make_transfer_resp(by->csb, answer, &out), MKT_OK);
    return sent(by, &out);
}

struct mkt_span resolve_init(struct party *by)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    ck_assert(mkt_csb_must_make(by->csb, MKT_RESOLVE_INIT_PSK));
    expect_err("RESOLVE_INIT", mkt_csb_make_resolve_init(by->csb, &out), MKT_OK);
    return sent(by, &out);
}

struct mkt_span resolve_resp(struct party *by)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    ck_assert(mkt_csb_must_make(by->csb, MKT_RESOLVE_RESP));
    expect_err("RESOLVE_RESP", mkt_csb_make_resolve_resp(by->csb, &out), MKT_OK);
    return sent(by, &out);
}

void take(struct party *party, const char *what, struct mkt_span in)
{
    expect_err(what, taken(mkt_csb_take_offer(party->csb, in, mikey)), MKT_OK);
    move(party);
}

void refused(struct party *party, const char *what, struct mkt_span in, enum mkt_err err)
{
    const struct mkt_span before = stored(party);
    const size_t n_seen = party->player.n_seen;
    const bool repeated = mkt_csb_repeated(party->csb);
    expect_err(what, mkt_csb_take_offer(party->csb, in, mikey), err);
    ck_assert_msg(mkt_csb_repeated(party->csb) == repeated, "%s: repeats nothing", what);
    ck_assert_int_eq(party->player.logged, err);
    ck_assert_msg(party->player.n_seen == n_seen, "%s: is remembered", what);
    expect_octets(what, stored(party), before);
}

void every_bit_counts(struct party *party, const char *what, struct mkt_span in)
{
    uint8_t octets[ROOM];
    const struct mkt_span before = stored(party), changed = {octets, in.n};
    const size_t n_seen = party->player.n_seen;
    ck_assert_uint_le(in.n, sizeof octets);
    memcpy(octets, in.p, in.n);
    for (size_t bit = 0; bit < 8 * in.n; bit++) {
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(mkt_csb_take_offer(party->csb, changed, mikey) != MKT_OK, "%s: bit %zu of octet %zu", what,
                      bit % 8, bit / 8);
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < in.n; n++)
        ck_assert_int_eq(mkt_err_class(mkt_csb_take(party->csb, (struct mkt_span){octets, n})), MKT_CLASS_MALFORMED);
    ck_assert_uint_eq(party->player.n_seen, n_seen);
    expect_octets(what, stored(party), before);
}

/* ---- exchanges ---- */

void be_granted(struct parties *p)
{
    begin(&p->alice, MKT_INITIATOR);
    if (p->kms.csb == NULL)
        begin(&p->kms, MKT_KMS);
    take(&p->kms, "REQUEST_INIT", request_init(&p->alice, &p->request));
    take(&p->alice, "REQUEST_RESP", request_resp(&p->kms, &p->recipe));
    expect_err("ticket", mkt_csb_take_ticket(p->alice.csb, &p->ticket), MKT_OK);
    p->offer.ticket = p->ticket;
}

void make_own(struct parties *p)
{
    struct mkt_ticket_recipe recipe = p->recipe;
    recipe.policy = &p->policy;
    if (recipe.n_keys == 0) {
        recipe.keys = &one_tgk;
        recipe.n_keys = 1;
    }
    expect_err("ticket", mkt_ticket_make(&p->ticket, &p->alice.player.host, &recipe), MKT_OK);
    p->offer.ticket = p->ticket;
}

struct mkt_span offered(struct parties *p)
{
    begin(&p->alice, MKT_INITIATOR);
    return transfer_init(&p->alice, &p->offer);
}

void answered_by(struct party *responder, struct mkt_span init)
{
    begin(responder, MKT_RESPONDER);
    take(responder, "TRANSFER_INIT", init);
}

void resolved_by(struct party *kms, struct party *responder)
{
    if (kms->csb == NULL)
        begin(kms, MKT_KMS);
    take(kms, "RESOLVE_INIT", resolve_init(responder));
    take(responder, "RESOLVE_RESP", resolve_resp(kms));
}

struct mkt_span called(struct parties *p, bool by_kms)
{
    const size_t tek = p->suite == MKT_SUITE_256 ? 32 : 16;
    answered_by(&p->bob, offered(p));
    ck_assert(mkt_csb_must_make(p->bob.csb, MKT_RESOLVE_INIT_PSK) == by_kms);
    if (by_kms)
        resolved_by(&p->kms, &p->bob);
    const struct mkt_span resp = transfer_resp(&p->bob, NULL);
    take(&p->alice, "TRANSFER_RESP", resp);
    same_tek(&p->alice, &p->bob, tek);
    ck_assert_uint_eq(mkt_csb_id(p->alice.csb), mkt_csb_id(p->bob.csb));
    expect_octets("peer", mkt_csb_peer(p->alice.csb).data, p->bob.settings.self.data);
    expect_octets("peer", mkt_csb_peer(p->bob.csb).data, p->alice.settings.self.data);
    return resp;
}

/* ---- what is known ---- */

struct mkt_span resolved_octets(const struct party *responder)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    if (responder->moves && mkt_csb_ready(responder->csb) && responder->resolved.n > 0) {
        expect_err("gone", mkt_csb_save_resolved(responder->csb, &out), MKT_E_STATE);
        return responder->resolved;
    }
    expect_err("remembered", mkt_csb_save_resolved(responder->csb, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

struct mkt_span party_tek(const struct party *party)
{
    ck_assert(mkt_csb_ready(party->csb));
    return tek_of(party->csb, 1);
}

struct mkt_key_data session_key(const struct party *party, size_t n)
{
    struct mkt_key_data key;
    expect_err("key", mkt_csb_key(party->csb, n, &key), MKT_OK);
    key.key = exact(key.key);
    key.salt = exact(key.salt);
    key.kv.spi = exact(key.kv.spi);
    return key;
}

void same_tek(const struct party *a, const struct party *b, size_t length)
{
    expect_octets("TEK of both", party_tek(a), party_tek(b));
    ck_assert_uint_eq(party_tek(a).n, length);
}

bool holds(const struct party *party, struct mkt_span secret)
{
    const uint8_t *octets = (const uint8_t *)party->csb;
    for (size_t i = 0; i + secret.n <= party->settings.bundle_size; i++)
        if (memcmp(octets + i, secret.p, secret.n) == 0)
            return true;
    return false;
}

/* ---- forgeries ---- */

struct mkt_message decoded(struct mkt_span in)
{
    struct mkt_message m;
    expect_err("decoded", mkt_message_decode(&m, exact(in)), MKT_OK);
    return m;
}

void expect_payloads(const struct mkt_message *m, const unsigned types[], size_t n)
{
    ck_assert_uint_eq(m->n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(m->payload[i].type, types[i]);
}

void left_out(struct mkt_message *m, unsigned type, uint8_t role)
{
    struct mkt_payload *p = find(m, type, role);
    m->n--;
    memmove(p, p + 1, (size_t)(m->payload + m->n - p) * sizeof *p);
}

void put_in(struct mkt_message *m, struct mkt_payload payload)
{
    ck_assert_uint_lt(m->n, MKT_MAX_PAYLOADS);
    m->payload[m->n] = m->payload[m->n - 1];
    m->payload[m->n - 1] = payload;
    m->n++;
}

static struct mkt_span rand_of(const struct mkt_message *m, const struct mkt_message *init, uint8_t role)
{
    const struct mkt_payload *found = mkt_message_find(m, MKT_RANDR, role);
    if (found == NULL && init != NULL)
        found = mkt_message_find(init, MKT_RANDR, role);
    return found != NULL ? found->rand.rand : text("");
}

/* 5.1.2: RANDRi and RANDRr where the exchange has them by now. */
static struct mkt_protection protection_of(const struct mkt_message *m, const struct forger *by)
{
    struct mkt_message init;
    const bool response = by->init.n > 0;
    if (response)
        expect_err("init", mkt_message_decode(&init, by->init), MKT_OK);
    return (struct mkt_protection){
        .suite = by->suite,
        .key = by->key,
        .label = {.purpose = response ? MKT_PURPOSE_RESPONSE : MKT_PURPOSE_INITIAL,
                  .csb_id = m->hdr.csb_id,
                  .randi = rand_of(m, response ? &init : NULL, MKT_RANDR_I),
                  .randr = rand_of(m, response ? &init : NULL, MKT_RANDR_R)},
    };
}

struct mkt_span forged(const struct mkt_message *m, const struct forger *by)
{
    uint8_t octets[ROOM];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_message made;
    struct mkt_span parts[4] = {[2] = by->init.n > 0 ? by->init : by->who, [3] = by->to};
    const struct mkt_protection protection = protection_of(m, by);
    expect_err("put", mkt_message_encode(m, &out), MKT_OK);
    const struct mkt_span whole = {octets, out.n};
    expect_err("get", mkt_message_decode(&made, whole), MKT_OK);
    mkt_message_covered(&made, whole, parts);
    expect_err("MAC", mkt_protect_seal(&protection, NULL, parts, 4, octets + out.n - made.payload[made.n - 1].v.mac.n),
               MKT_OK);
    if (by->mpkr.n > 0)
        expect_err("Vr", mkt_initiator_data_seal(by->suite, by->mpkr, &made, &out), MKT_OK);
    return exact(whole);
}

struct mkt_span crypted(const struct mkt_message *m, const struct forger *by, struct mkt_span octets)
{
    uint8_t out[ROOM];
    const struct mkt_protection protection = protection_of(m, by);
    const struct mkt_t *t = &mkt_message_find(m, MKT_T, 0)->t;
    ck_assert_uint_le(octets.n, sizeof out);
    crypt_kemac(&protection, m->hdr.csb_id, t->value, octets, out);
    return exact((struct mkt_span){out, octets.n});
}

struct mkt_span key_chain(const uint8_t types[], const uint8_t lengths[], const char *spis)
{
    static const uint8_t key[64] = "all keys of this answer are alike, whatever they may be for.";
    struct mkt_payload list[8];
    uint8_t octets[1024];
    struct mkt_buf out = {octets, sizeof octets, 0};
    size_t n = 0;
    for (; types[n] != NO_KEY; n++) {
        list[n] = (struct mkt_payload){.type = MKT_KEY_DATA};
        list[n].key_data = (struct mkt_key_data){.type = types[n], .key = {key, lengths[n]}};
        if (spis[n] != '-')
            list[n].key_data.kv = (struct mkt_kv){.type = MKT_KV_SPI, .spi = {(const uint8_t *)spis + n, 1}};
    }
    expect_err("keys", mkt_payloads_encode(list, n, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}
