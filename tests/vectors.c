/* SPDX-License-Identifier: BSD-3-Clause */
/* vectors/rfc6043.txt and rfc6043pk.txt, whole: each section is run, and each field is read. */
#include "described.h"
#include "keying.h"

#include "derive.h"
#include "protect.h"
#include "ticket.h"

#include <mikeyticket/sdp.h>

#include <stdlib.h>
#include <string.h>

static struct vectors all;

static void load(void)
{
    all = vectors_read(keying.file);
}

static void unload(void)
{
    vectors_free(&all);
    free_all();
}

static enum mkt_suite suite_of(const struct section *s)
{
    enum mkt_suite suite = MKT_SUITE_256;
    expect_err(s->name, mkt_suite_of_prf((unsigned)number_of(s, "prf"), &suite), MKT_OK);
    return suite;
}

static bool is(const struct section *s, const char *name)
{
    return strcmp(s->name, name) == 0;
}

static bool is_exchange(const struct section *s)
{
    return strncmp(s->name, "exchange-", 9) == 0;
}

/* Of the crypto session. */
static uint8_t cs_id_of(const struct section *s)
{
    return value_of(s, "cs_id") != NULL ? (uint8_t)number_of(s, "cs_id") : 1;
}

static void expect_derived(const struct section *s, const char *field, enum mkt_derivation what, const char *inkey,
                           const struct mkt_label *label)
{
    uint8_t out[512];
    struct mkt_span want = octets_of(s, field);
    ck_assert_uint_le(want.n, sizeof out);
    expect_err(field, mkt_derive(suite_of(s), what, octets_of(s, inkey), label, out, want.n), MKT_OK);
    expect_octets(field, (struct mkt_span){out, want.n}, want);
}

/* ---- [prf] [protect] [traffic] [fork] [ticketkeys] [chash] ---- */

START_TEST(prf)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is(s, "prf"))
            continue;
        uint8_t out[2048];
        struct mkt_prf by_inkey;
        struct mkt_span label = octets_of(s, "label"), want = octets_of(s, "outkey");
        ck_assert_uint_le(want.n, sizeof out);
        expect_err("inkey", mkt_prf_key(&by_inkey, suite_of(s), octets_of(s, "inkey")), MKT_OK);
        expect_err("prf", mkt_prf(&by_inkey, &label, 1, out, want.n), MKT_OK);
        mkt_wipe(&by_inkey, sizeof by_inkey);
        expect_octets("outkey", (struct mkt_span){out, want.n}, want);
    }
}
END_TEST

START_TEST(protect)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is(s, "protect"))
            continue;
        const struct mkt_label label = {
            .purpose = number_of(s, "phase") == 1 ? MKT_PURPOSE_INITIAL : MKT_PURPOSE_RESPONSE,
            .csb_id = (uint32_t)strtoul(text_of(s, "csb_id"), NULL, 16),
            .randi = octets_of(s, "randi"),
            .randr = octets_of(s, "randr"),
        };
        expect_derived(s, "auth", MKT_DERIVE_AUTH_KEY, "key", &label);
        expect_derived(s, "encr", MKT_DERIVE_ENCR_KEY, "key", &label);
        expect_derived(s, "encr256", MKT_DERIVE_ENCR_KEY, "key", &label);
        expect_derived(s, "salt", MKT_DERIVE_SALT_KEY, "key", &label);
    }
}
END_TEST

START_TEST(traffic)
{
    static const struct {
        const char *field;
        enum mkt_traffic_key which;
        enum mkt_derivation what;
    } keys[] = {{"tek16", MKT_TRAFFIC_TEK, MKT_DERIVE_TEK},
                {"tek32", MKT_TRAFFIC_TEK, MKT_DERIVE_TEK},
                {"auth20", MKT_TRAFFIC_AUTH, MKT_DERIVE_TRAFFIC_AUTH},
                {"encr16", MKT_TRAFFIC_ENCR, MKT_DERIVE_TRAFFIC_ENCR},
                {"salt14", MKT_TRAFFIC_SALT, MKT_DERIVE_TRAFFIC_SALT}};
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        for (size_t k = 0; is(s, "traffic") && k < sizeof keys / sizeof *keys; k++) {
            uint8_t out[MKT_MAX_TEK];
            const struct mkt_span want = octets_of(s, keys[k].field), tgk = octets_of(s, "tgk");
            const struct mkt_label label = {.purpose = MKT_PURPOSE_TRAFFIC,
                                            .cs_id = (uint8_t)number_of(s, "cs_id"),
                                            .randi = octets_of(s, "randi"),
                                            .randr = octets_of(s, "randr")};
            expect_derived(s, keys[k].field, keys[k].what, "tgk", &label);
            /* the vectors show what the PRF gives; RFC 6043 12.1 forbids long session keys with suite 128 */
            const bool tek = keys[k].which == MKT_TRAFFIC_TEK, small = suite_of(s) == MKT_SUITE_128;
            const enum mkt_err err =
                mkt_derive_traffic(suite_of(s), keys[k].which, tgk, label.cs_id, label.randi, label.randr, out, want.n);
            expect_err(keys[k].field, err, small && (tgk.n > 16 || (tek && want.n > 16)) ? MKT_E_ARGUMENT : MKT_OK);
            if (err == MKT_OK)
                expect_octets(keys[k].field, (struct mkt_span){out, want.n}, want);
        }
    }
}
END_TEST

START_TEST(fork_keys)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is(s, "fork"))
            continue;
        const struct mkt_label label = {
            .purpose = MKT_PURPOSE_FORK, .id = octets_of(s, "id"), .randkms = octets_of(s, "randkms")};
        expect_derived(s, "mpkr_forked", MKT_DERIVE_FORKED_MPKR, "mpkr", &label);
        expect_derived(s, "tgk_forked", MKT_DERIVE_FORKED_TGK, "tgk", &label);
    }
}
END_TEST

START_TEST(ticketkeys)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is(s, "ticketkeys"))
            continue;
        const struct mkt_label of_ticket = {.purpose = MKT_PURPOSE_TICKET, .rand = octets_of(s, "rand")};
        const struct mkt_label of_mpk = {.purpose = MKT_PURPOSE_MPK, .rand = octets_of(s, "rand")};
        const struct mkt_label of_vr = {.purpose = MKT_PURPOSE_VR};
        expect_derived(s, "auth32", MKT_DERIVE_AUTH_KEY, "tpk", &of_ticket);
        expect_derived(s, "encr", MKT_DERIVE_ENCR_KEY, "tpk", &of_ticket);
        expect_derived(s, "salt", MKT_DERIVE_SALT_KEY, "tpk", &of_ticket);
        expect_derived(s, "mpki", MKT_DERIVE_MPKI, "mpk", &of_mpk);
        expect_derived(s, "mpkr", MKT_DERIVE_MPKR, "mpk", &of_mpk);
        expect_derived(s, "vr_auth", MKT_DERIVE_AUTH_KEY, "mpkr", &of_vr);
    }
}
END_TEST

START_TEST(chash)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is(s, "chash"))
            continue;
        size_t c = 0;
        uint8_t hash[MKT_MAX_HASH];
        while (!is(&all.section[c], "cert") || strcmp(text_of(&all.section[c], "name"), text_of(s, "cert")) != 0)
            ck_assert_uint_lt(++c, all.n);
        const struct mkt_span der = octets_of(&all.section[c], "der");
        expect_err("hash", mkt_hash_of(MKT_HASH_SHA_1, &der, 1, hash), MKT_OK);
        expect_octets("sha1", (struct mkt_span){hash, 20}, octets_of(s, "sha1"));
        expect_err("hash", mkt_hash_of(MKT_HASH_SHA_256, &der, 1, hash), MKT_OK);
        expect_octets("sha256", (struct mkt_span){hash, 32}, octets_of(s, "sha256"));
    }
}
END_TEST

/* ---- [exchange-...]: the codec ---- */

static bool is_message(const char *field)
{
    const char *end = strrchr(field, '_');
    return strncmp(field, "error", 5) == 0 || (end != NULL && (strcmp(end, "_init") == 0 || strcmp(end, "_resp") == 0));
}

/* Reads and writes a message at once; measures the same; one octet less is too small; each truncation is refused. */
static void expect_round_trip(const char *name, struct mkt_span in)
{
    struct mkt_message message;
    static uint8_t out[65536];
    struct mkt_buf buf = {out, in.n, 0}, measured = {NULL, 0, 0}, small = {out, in.n - 1, 0};
    expect_err(name, mkt_message_decode(&message, in), MKT_OK);
    expect_err(name, mkt_message_encode(&message, &buf), MKT_OK);
    expect_octets(name, (struct mkt_span){out, buf.n}, in);
    expect_err(name, mkt_message_encode(&message, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, in.n);
    expect_err(name, mkt_message_encode(&message, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    for (size_t n = 0; n < in.n; n++)
        ck_assert_msg(mkt_message_decode(&message, exact((struct mkt_span){in.p, n})) != MKT_OK,
                      "%s: %zu octets are taken", name, n);
    free_all();
}

START_TEST(decode_and_encode)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        for (size_t f = 0; is_exchange(s) && f < s->n; f++)
            if (is_message(s->field[f].name))
                expect_round_trip(s->field[f].name, octets_of(s, s->field[f].name));
    }
}
END_TEST

/* ---- [exchange-...]: the ticket ---- */

static uint16_t flags_of(const struct section *s)
{
    uint16_t flags = 0;
    expect_err(s->name, mkt_flags_parse(&flags, text_of(s, "flags")), MKT_OK);
    return flags;
}

/* The TICKET payload of a section: Next Payload 0, no Initiator Data. */
static struct mkt_payload ticket_of(const struct section *s)
{
    struct mkt_span stored = stored_ticket(octets_of(s, "ticket"), (struct mkt_span){(const uint8_t *)"", 0});
    struct mkt_span rest = {stored.p + 5, stored.n - 9};
    uint16_t type = MKT_TICKET;
    struct mkt_payload payload;
    expect_err(s->name, mkt_payload_decode(&payload, &type, &rest), MKT_OK);
    return payload;
}

/* The n-th key of a chain, from 0; false where there is none. */
static bool nth_key(struct mkt_span chain, size_t n, struct mkt_key_data *key)
{
    struct mkt_keys keys = mkt_keys_of(chain);
    while (mkt_keys_next(&keys, key))
        if (n-- == 0)
            return true;
    return false;
}

/* What the holder of the ticket has: MPKi, [MPKr], and the session keys. Of a ticket request the vector has it. */
static struct mkt_span holder_keys(const struct section *s)
{
    uint8_t octets[4096];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_payload list[MKT_MAX_KEYS];
    struct mkt_span chain = octets_of(s, "ticket_keys");
    size_t n = 0;
    while (nth_key(chain, n, &list[n].key_data))
        list[n++].type = MKT_KEY_DATA;
    if (value_of(s, "request_keys") != NULL)
        return octets_of(s, "request_keys");
    ck_assert_uint_eq(flags_of(s) & MKT_FLAG_I, 0);
    list[0].key_data.key = octets_of(s, "mpki");
    expect_err(s->name, mkt_payloads_encode(list, n, &buf), MKT_OK);
    return exact((struct mkt_span){octets, buf.n});
}

START_TEST(open_ticket)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is_exchange(s))
            continue;
        uint8_t octets[4096], mpk[64];
        struct mkt_buf keys = {octets, sizeof octets, 0};
        struct mkt_payload ticket = ticket_of(s);
        struct mkt_policy policy;
        expect_err(s->name, mkt_policy_decode(&policy, &ticket.ticket), MKT_OK);
        expect_err(s->name, mkt_policy_check(&policy, ntp(number_of(s, "now"))), MKT_OK);
        ck_assert_uint_eq(number_of(s, "suite"), number_of(s, "prf") == MKT_PRF_MIKEY_1 ? 128 : 256);
        ck_assert_uint_eq(number_of(s, "mac_alg"), mkt_suite_algorithms(suite_of(s))->mac_alg);
        ck_assert_uint_eq(number_of(s, "encr_alg"), mkt_suite_algorithms(suite_of(s))->encr_alg);
        ck_assert_uint_eq(policy.flags, flags_of(s));
        ck_assert_uint_eq(policy.prf, number_of(s, "prf"));
        expect_octets("id_kms", policy.kms.data, text(text_of(s, "id_kms")));
        expect_octets("id_i", policy.initiator.data, text(text_of(s, "id_i")));
        expect_octets("id_group", policy.responder[0].data, text(text_of(s, "id_group")));
        expect_octets("id_r", policy.responder[1].data, text(text_of(s, "id_r")));

        expect_err(s->name, mkt_ticket_open(&ticket, octets_of(s, "tpk"), &keys), MKT_OK);
        expect_octets("ticket_keys", (struct mkt_span){octets, keys.n}, octets_of(s, "ticket_keys"));
        struct mkt_span chain = {octets, keys.n}, ticket_rand = octets_of(s, "ticket_rand");
        const struct mkt_label by_rand = {.purpose = MKT_PURPOSE_MPK, .rand = ticket_rand};
        struct mkt_key_data key = {0};
        ck_assert(mkt_keys_mpk(chain, 0, &key));
        expect_octets("mpk", key.key, octets_of(s, "mpk"));
        expect_err(s->name, mkt_derive(suite_of(s), MKT_DERIVE_MPKI, key.key, &by_rand, mpk, key.key.n), MKT_OK);
        expect_octets("mpki", (struct mkt_span){mpk, key.key.n}, octets_of(s, "mpki"));
        expect_err(s->name, mkt_derive(suite_of(s), MKT_DERIVE_MPKR, key.key, &by_rand, mpk, key.key.n), MKT_OK);
        expect_octets("mpkr", (struct mkt_span){mpk, key.key.n}, octets_of(s, "mpkr"));
        free_all();
    }
}
END_TEST

static void queue_key(struct player *p, const struct mkt_key_data *key)
{
    player_random(p, key->key);
    player_random(p, key->salt);
    player_random(p, key->kv.spi);
}

static struct mkt_key_wish wish_of(const struct mkt_key_data *key)
{
    return (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish),
                                 .type = (uint8_t)key->type,
                                 .length = key->key.n,
                                 .salt_length = key->salt.n};
}

static enum mkt_err player_counter(void *user, uint32_t *value)
{
    *value = ((struct player *)user)->counter;
    return MKT_OK;
}

static enum mkt_err player_count(void *user, const struct mkt_id *peer, uint32_t value)
{
    struct player *p = user;
    size_t i = 0;
    ck_assert_uint_gt(peer->data.n, 0);
    while (i < 4 && p->counted[i].n > 0 && !mkt_span_equal(p->counted[i], peer->data))
        i++;
    ck_assert_uint_lt(i, 4);
    if (p->counted[i].n > 0 && value <= p->count[i])
        return MKT_E_REPLAY;
    p->counted[i] = exact(peer->data);
    p->count[i] = value;
    return MKT_OK;
}

/* Clock or counter as the timestamp says, so that a message made now has just that one. */
static bool set_time(struct player *p, const struct mkt_t *t)
{
    if (t->ts_type == MKT_TS_COUNTER) {
        p->host.counter_next = player_counter;
        p->host.counter_check = player_count;
        p->counter = (uint32_t)t->value;
        return true;
    }
    p->now = t->value;
    return false;
}

static struct mkt_t ticket_time(const struct mkt_payload *ticket)
{
    struct mkt_span rest = ticket->ticket.ticket_data;
    uint16_t type = MKT_THDR;
    struct mkt_payload p = {0};
    while (type != MKT_LAST && p.type != MKT_T)
        expect_err("Ticket Data", mkt_payload_decode(&p, &type, &rest), MKT_OK);
    return p.t;
}

/* A ticket without J is stored as used. */
static void expect_stored(const struct section *s, const struct mkt_ticket *ticket)
{
    uint8_t out[8192];
    struct mkt_buf stored = {out, sizeof out, 0};
    struct mkt_policy policy;
    expect_err(s->name, mkt_ticket_policy(ticket, &policy), MKT_OK);
    expect_err(s->name, mkt_ticket_save(ticket, &stored), MKT_OK);
    ck_assert_uint_eq(out[0], (policy.flags & MKT_FLAG_J) != 0 ? 1 : 2);
    out[0] = 1;
    expect_octets(s->name, (struct mkt_span){out, stored.n}, stored_ticket(octets_of(s, "ticket"), holder_keys(s)));
}

START_TEST(make_ticket)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is_exchange(s))
            continue;
        struct player p;
        struct mkt_key_wish wishes[MKT_MAX_KEYS];
        struct mkt_key_data key;
        struct mkt_policy policy;
        struct mkt_ticket *ticket = NULL;
        struct mkt_payload payload = ticket_of(s);
        struct mkt_span keys = octets_of(s, "ticket_keys"), tpk = octets_of(s, "tpk");
        struct mkt_t issued = ticket_time(&payload);
        player_init(&p, ntp(number_of(s, "now")), tpk);
        expect_err(s->name, mkt_policy_decode(&policy, &payload.ticket), MKT_OK);
        const struct mkt_id tpk_id = mkt_id_bytes("tpk-1");
        struct mkt_ticket_recipe recipe = {.size = sizeof recipe,
                                           .policy = &policy,
                                           .tpk_id = tpk_id,
                                           .tpk = tpk,
                                           .keys = wishes,
                                           .counter = set_time(&p, &issued)};
        for (size_t k = 0; nth_key(keys, k, &key); k++) {
            queue_key(&p, &key);
            if (k > 0)
                wishes[recipe.n_keys++] = wish_of(&key);
        }
        player_random(&p, octets_of(s, "ticket_rand"));
        if ((policy.flags & MKT_FLAG_I) != 0 && mkt_keys_mpk(holder_keys(s), 1, &key))
            player_random(&p, key.kv.spi);
        expect_err(s->name, mkt_ticket_make(&ticket, &p.host, &recipe), MKT_OK);
        expect_stored(s, ticket);
        mkt_ticket_free(ticket);
        ck_assert_uint_eq(p.live, 0);
        free_all();
    }
}
END_TEST

/* ---- [exchange-...]: the call ---- */

/* Whether the parties of a section keep counters in place of clocks. */
static bool counts(const struct section *s)
{
    return payload_of(octets_of(s, "transfer_init"), MKT_T, 0).t.ts_type == MKT_TS_COUNTER;
}

static struct mkt_settings settings_of(const struct section *s, const char *self)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, id_of(text_of(s, self)));
    settings.counter = counts(s);
    keying.complete(&settings);
    return settings;
}

static void start(struct player *p, const struct section *s)
{
    player_init(p, ntp(number_of(s, "now")), octets_of(s, "tpk"));
    p->host.resolved = NULL;
    if (!counts(s))
        return;
    p->host.counter_next = player_counter;
    p->host.counter_check = player_count;
}

/* The message that is to be made comes at its own time. */
static void at_time_of(struct player *p, struct mkt_span want)
{
    const struct mkt_payload t = payload_of(want, MKT_T, 0);
    if (t.t.ts_type == MKT_TS_COUNTER)
        p->counter = (uint32_t)t.t.value;
    else
        p->now = t.t.value;
}

static void take(struct player *p, const struct section *s, struct mkt_csb *csb, const char *field)
{
    const struct mkt_span in = octets_of(s, field);
    p->now = ntp(number_of(s, "now"));
    expect_err(field, taken(mkt_csb_take_offer(csb, in, text("mikey"))), MKT_OK);
}

/* ---- [exchange-...]: Ticket Request ---- */

/* The KMS of a section, for one of the two exchanges. */
static struct mkt_csb *start_kms(struct player *p, struct keyed *keyed, const struct section *s, enum asked which)
{
    struct mkt_settings settings = settings_of(s, "id_kms");
    struct mkt_csb *csb = NULL;
    start(p, s);
    *keyed = (struct keyed){.x509 = NULL};
    keying.answers(keyed, &all, s, which, &settings, p);
    expect_err(s->name, mkt_csb_new(&csb, MKT_KMS, &p->host, &settings), MKT_OK);
    return csb;
}

/* The ticket and the REQUEST_RESP, octet for octet. */
static void grant(struct player *p, const struct section *s, struct mkt_csb *kms)
{
    const struct mkt_payload payload = ticket_of(s);
    const struct mkt_t issued = ticket_time(&payload);
    const struct mkt_span want = octets_of(s, "request_resp"), keys = octets_of(s, "ticket_keys");
    struct mkt_key_wish wishes[MKT_MAX_KEYS];
    struct mkt_ticket_recipe recipe = {.size = sizeof recipe,
                                       .tpk_id = mkt_id_bytes("tpk-1"),
                                       .tpk = octets_of(s, "tpk"),
                                       .keys = wishes,
                                       .counter = counts(s)};
    struct mkt_ticket *ticket = NULL;
    struct mkt_key_data key;
    uint8_t out[8192];
    struct mkt_buf buf = {out, sizeof out, 0};
    for (size_t k = 0; nth_key(keys, k, &key); k++) {
        queue_key(p, &key);
        if (k > 0)
            wishes[recipe.n_keys++] = wish_of(&key);
    }
    player_random(p, octets_of(s, "ticket_rand"));
    if (mkt_keys_mpk(octets_of(s, "request_keys"), 1, &key))
        player_random(p, key.kv.spi);
    if (issued.ts_type == MKT_TS_COUNTER)
        p->counter = (uint32_t)issued.value;
    else
        p->now = issued.value;
    expect_err(s->name, mkt_csb_grant(kms, &recipe, &ticket), MKT_OK);
    expect_stored(s, ticket);
    at_time_of(p, want);
    expect_err(s->name, mkt_csb_make_request_resp(kms, ticket, &buf), MKT_OK);
    expect_octets("request_resp", (struct mkt_span){out, buf.n}, want);
    mkt_ticket_free(ticket);
}

/* The Error message of a field about that of another one, octet for octet; the peer takes it. */
static void report(struct player *by, const struct section *s, struct mkt_csb *csb, struct player *to,
                   struct mkt_csb *peer, const char *field, const char *about, enum mkt_err why)
{
    uint8_t out[1024];
    struct mkt_buf buf = {out, sizeof out, 0};
    if (value_of(s, field) == NULL)
        return;
    const struct mkt_span want = octets_of(s, field);
    at_time_of(by, want);
    expect_err(field, mkt_csb_make_error(csb, octets_of(s, about), why, NULL, 0, &buf), MKT_OK);
    expect_octets(field, (struct mkt_span){out, buf.n}, want);
    const size_t before = to->reports;
    take(to, s, peer, field);
    ck_assert_uint_eq(to->reports, before + 1);
    ck_assert(to->reported == mkt_err_number(why) && to->authenticated == (mkt_csb_role(peer) != MKT_KMS));
}

START_TEST(ticket_request)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is_exchange(s) || value_of(s, "request_init") == NULL)
            continue;
        struct player alice, kms;
        struct keyed of_alice = {.x509 = NULL}, of_kms;
        const struct mkt_span want = octets_of(s, "request_init");
        const struct mkt_payload tp = payload_of(want, MKT_TP, 0);
        struct mkt_settings settings = settings_of(s, "id_i");
        struct mkt_policy policy;
        struct mkt_ticket *ticket = NULL;
        struct mkt_csb *csb = NULL, *csb_kms = start_kms(&kms, &of_kms, s, REQUEST);
        uint8_t out[8192];
        struct mkt_buf buf = {out, sizeof out, 0};
        start(&alice, s);
        player_draw_like(&alice, want, MKT_RANDR_I);
        keying.asks(&of_alice, &all, s, REQUEST, &settings, &alice);
        expect_err(s->name, mkt_policy_decode(&policy, &tp.ticket), MKT_OK);
        expect_err(s->name, mkt_csb_new(&csb, MKT_INITIATOR, &alice.host, &settings), MKT_OK);
        at_time_of(&alice, want);
        expect_err(s->name,
                   mkt_csb_make_request_init(
                       csb, &(struct mkt_request){.size = sizeof(struct mkt_request), .policy = &policy}, &buf),
                   MKT_OK);
        keying.made(s, REQUEST, &csb, &alice.host, &settings, (struct mkt_span){out, buf.n});

        take(&kms, s, csb_kms, "request_init");
        expect_octets("id_i", mkt_csb_peer(csb_kms).data, text(text_of(s, "id_i")));
        report(&kms, s, csb_kms, &alice, csb, "error_by_kms", "request_init", MKT_E_POLICY);
        grant(&kms, s, csb_kms);
        report(&alice, s, csb, &kms, csb_kms, "error_by_initiator", "request_resp", MKT_E_TICKET_TYPE);
        take(&alice, s, csb, "request_resp");
        expect_err(s->name, mkt_csb_take_ticket(csb, &ticket), MKT_OK);
        expect_stored(s, ticket);
        mkt_ticket_free(ticket);
        mkt_csb_free(csb);
        mkt_csb_free(csb_kms);
        keying.end(&of_alice);
        keying.end(&of_kms);
        ck_assert_uint_eq(alice.live + kms.live, 0);
        free_all();
    }
}
END_TEST

/* ---- [exchange-...]: Ticket Transfer ---- */

/* The key that a party supplied itself, where the KEMAC of its message has it. */
static size_t supplied_by(struct player *p, const struct section *s, struct mkt_span octets, struct mkt_key_wish *wish)
{
    struct mkt_message message;
    struct mkt_key_data key;
    expect_err(s->name, mkt_message_decode(&message, octets), MKT_OK);
    if (mkt_message_find(&message, MKT_KEMAC, 0) == NULL)
        return 0;
    size_t n = 0;
    for (struct mkt_span chain = octets_of(s, "supplied"); nth_key(chain, n, &key); n++) {
        queue_key(p, &key);
        wish[n] = wish_of(&key);
    }
    return n;
}

static struct mkt_csb *offer(struct player *p, const struct section *s)
{
    struct mkt_span want = octets_of(s, "transfer_init");
    struct mkt_settings settings = settings_of(s, "id_i");
    struct mkt_ticket *ticket = NULL;
    struct mkt_csb *csb = NULL;
    struct mkt_key_wish wish[MKT_MAX_KEYS];
    const struct mkt_cs cs = {.cs_id = cs_id_of(s), .prot_type = MKT_PROT_TLS};
    uint8_t out[8192];
    struct mkt_buf buf = {out, sizeof out, 0}, measured = {NULL, 0, 0};
    start(p, s);
    expect_err(s->name, mkt_ticket_load(&ticket, &p->host, stored_ticket(octets_of(s, "ticket"), holder_keys(s))),
               MKT_OK);
    player_draw_like(p, want, MKT_RANDR_I);
    struct mkt_offer o = {
        .size = sizeof o, .ticket = ticket, .responder = id_of(text_of(s, "id_group")), .keys = wish};
    o.n_keys = supplied_by(p, s, want, wish);
    if (cs.cs_id != 1) {
        o.cs = &cs;
        o.n_cs = 1;
    }
    expect_err(s->name, mkt_csb_new(&csb, MKT_INITIATOR, &p->host, &settings), MKT_OK);
    const size_t before = p->next_random;
    at_time_of(p, want);
    expect_err(s->name, mkt_csb_make_transfer_init(csb, &o, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, want.n);
    p->next_random = before;
    expect_err(s->name, mkt_csb_make_transfer_init(csb, &o, &buf), MKT_OK);
    expect_octets(s->name, (struct mkt_span){out, buf.n}, want);
    mkt_ticket_free(ticket);
    return csb;
}

/* Both messages of the Ticket Resolve, octet for octet, and what the KMS knows. */
static void resolve(struct player *p, const struct section *s, struct mkt_csb **csb,
                    const struct mkt_settings *settings)
{
    struct player of_kms;
    struct keyed keyed;
    struct mkt_csb *kms = start_kms(&of_kms, &keyed, s, RESOLVE);
    struct mkt_key_data key;
    uint8_t out[8192];
    struct mkt_buf buf = {out, sizeof out, 0};
    struct mkt_span want = octets_of(s, "resolve_init");
    at_time_of(p, want);
    expect_err(s->name, mkt_csb_make_resolve_init(*csb, &buf), MKT_OK);
    keying.made(s, RESOLVE, csb, &p->host, settings, (struct mkt_span){out, buf.n});

    if (mkt_keys_mpk(octets_of(s, "resolve_keys"), 1, &key)) {
        player_random(&of_kms, key.kv.spi);
        player_random(&of_kms, octets_of(s, "randkms"));
        expect_octets("mpkr_forked", key.key, octets_of(s, "mpkr_forked"));
    }
    take(&of_kms, s, kms, "resolve_init");
    expect_octets("id_r", mkt_csb_peer(kms).data, text(text_of(s, "id_r")));
    buf.n = 0;
    want = octets_of(s, "resolve_resp");
    at_time_of(&of_kms, want);
    expect_err(s->name, mkt_csb_make_resolve_resp(kms, &buf), MKT_OK);
    expect_octets("resolve_resp", (struct mkt_span){out, buf.n}, want);
    mkt_csb_free(kms);
    keying.end(&keyed);
    ck_assert_uint_eq(of_kms.live, 0);
    ck_assert_uint_eq(mkt_csb_peer(*csb).data.n, 0);
    take(p, s, *csb, "resolve_resp");
}

/* The Error message about the TRANSFER_INIT, octet for octet. */
static void complain(struct player *p, const struct section *s, struct mkt_csb *csb)
{
    uint8_t out[1024];
    struct mkt_buf buf = {out, sizeof out, 0};
    if (value_of(s, "error") == NULL)
        return;
    const struct mkt_span want = octets_of(s, "error");
    at_time_of(p, want);
    expect_err(s->name, mkt_csb_make_error(csb, octets_of(s, "transfer_init"), MKT_E_PROT, NULL, 0, &buf), MKT_OK);
    expect_octets("error", (struct mkt_span){out, buf.n}, want);
}

static struct mkt_csb *answer(struct player *p, const struct section *s, bool by_kms)
{
    struct keyed keyed = {.x509 = NULL};
    struct mkt_settings settings = settings_of(s, "id_r");
    struct mkt_csb *csb = NULL;
    struct mkt_key_wish wish[MKT_MAX_KEYS];
    uint8_t out[8192];
    struct mkt_buf buf = {out, sizeof out, 0};
    start(p, s);
    if (by_kms) {
        player_draw_like(p, octets_of(s, "resolve_init"), MKT_RANDR_R);
        keying.asks(&keyed, &all, s, RESOLVE, &settings, p);
        p->tpk = text("");
    }
    expect_err(s->name, mkt_csb_new(&csb, MKT_RESPONDER, &p->host, &settings), MKT_OK);
    take(p, s, csb, "transfer_init");
    ck_assert(mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK) == by_kms);
    if (by_kms)
        resolve(p, s, &csb, &settings);
    keying.end(&keyed);
    expect_octets(s->name, mkt_csb_peer(csb).data, text(text_of(s, "id_i")));
    complain(p, s, csb);
    if (value_of(s, "transfer_resp") == NULL) {
        ck_assert(!mkt_csb_must_make(csb, MKT_TRANSFER_RESP));
        return csb;
    }
    struct mkt_span want = octets_of(s, "transfer_resp");
    if ((flags_of(s) & MKT_FLAG_G) != 0)
        player_random(p, payload_of(want, MKT_RANDR, MKT_RANDR_R).rand.rand);
    struct mkt_answer a = {.size = sizeof a, .keys = wish, .n_keys = supplied_by(p, s, want, wish)};
    ck_assert(mkt_csb_must_make(csb, MKT_TRANSFER_RESP));
    at_time_of(p, want);
    expect_err(s->name, mkt_csb_make_transfer_resp(csb, &a, &buf), MKT_OK);
    expect_octets(s->name, (struct mkt_span){out, buf.n}, want);
    return csb;
}

/* ---- [exchange-...]: what comes of it ---- */

static void expect_key(const struct section *s, const struct mkt_csb *csb, const char *field, const char *spi)
{
    uint8_t out[MKT_MAX_TEK], identity[128];
    struct mkt_buf tek = {out, sizeof out, 0}, name = {identity, sizeof identity, 0};
    struct mkt_cs cs;
    uint8_t cs_id = cs_id_of(s);
    ck_assert(mkt_csb_ready(csb));
    expect_err(s->name, mkt_csb_tek(csb, cs_id, &tek), MKT_OK);
    expect_octets(field, (struct mkt_span){out, tek.n}, octets_of(s, field));
    ck_assert_uint_eq(mkt_csb_session_count(csb), 1);
    expect_err(s->name, mkt_csb_session_at(csb, 0, &cs), MKT_OK);
    expect_octets(spi, cs.spi, octets_of(s, spi));

    char want[128];
    const uint16_t flags = flags_of(s);
    int n = snprintf(want, sizeof want, "mikey-ticket:%08x:%02x:%s", mkt_csb_id(csb), cs_id, text_of(s, spi));
    if ((flags & (MKT_FLAG_G | MKT_FLAG_I)) != 0) { /* D16: the RANDs tell branches apart */
        const uint8_t role = (flags & MKT_FLAG_G) != 0 ? MKT_RANDR_R : MKT_RANDR_KMS;
        const struct mkt_span rand = payload_of(octets_of(s, "transfer_resp"), MKT_RANDR, role).rand.rand;
        ck_assert_uint_ge(rand.n, 8);
        n += snprintf(want + n, sizeof want - (size_t)n, ":");
        for (size_t i = 0; i < 8; i++)
            n += snprintf(want + n, sizeof want - (size_t)n, "%02x", rand.p[i]);
    }
    expect_err(s->name, mkt_csb_psk_identity(csb, cs_id, &name), MKT_OK);
    expect_octets("PSK identity", (struct mkt_span){identity, name.n}, text(want));
}

/* The TEK at the length of the suite, or the TEK that was sent as such. */
static void expect_tek(const struct section *s, const struct mkt_csb *csb)
{
    expect_key(s, csb, value_of(s, "tek") != NULL ? "tek" : value_of(s, "tek32") != NULL ? "tek32" : "tek16", "spi");
}

/* Written to octets and read back, as another process would. */
static struct mkt_csb *moved(struct player *p, const struct section *s, const char *self, struct mkt_csb *csb)
{
    uint8_t out[8192];
    struct mkt_buf buf = {out, sizeof out, 0};
    struct mkt_settings settings = settings_of(s, self);
    struct mkt_csb *copy = NULL;
    expect_err(s->name, mkt_csb_save(csb, &buf), MKT_OK);
    mkt_csb_free(csb);
    expect_err(s->name, mkt_csb_load(&copy, &p->host, &settings, exact((struct mkt_span){out, buf.n})), MKT_OK);
    return copy;
}

/* An update that one end makes and the other answers, octet for octet. */
static void update(const struct section *s, char by, struct player *from, struct mkt_csb *one, struct player *to,
                   struct mkt_csb *other)
{
    static const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    char field[5][32];
    uint8_t out[1024];
    struct mkt_buf buf = {out, sizeof out, 0};
    const char *parts[] = {"init", "resp", "spi", "tgk", "tek"};
    for (size_t i = 0; i < 5; i++)
        snprintf(field[i], sizeof field[i], "update_%c_%s", by, parts[i]);
    from->n_random = from->next_random = 0;
    at_time_of(from, octets_of(s, field[0]));
    player_low_bits(from, octets_of(s, field[0]), strchr(text_of(s, "flags"), 'G') != NULL);
    player_random(from, octets_of(s, field[3]));
    player_random(from, octets_of(s, field[2]));
    expect_err(field[0],
               mkt_csb_make_update(
                   one, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &tgk, .n_keys = 1}, &buf),
               MKT_OK);
    expect_octets(field[0], (struct mkt_span){out, buf.n}, octets_of(s, field[0]));
    expect_tek(s, one); /* it does not count yet */
    take(to, s, other, field[0]);
    buf.n = 0;
    at_time_of(to, octets_of(s, field[1]));
    expect_err(field[1], mkt_csb_make_transfer_resp(other, NULL, &buf), MKT_OK);
    expect_octets(field[1], (struct mkt_span){out, buf.n}, octets_of(s, field[1]));
    take(from, s, one, field[1]);
    expect_key(s, one, field[4], field[2]);
    expect_key(s, other, field[4], field[2]);
}

/* A whole call of a section, to where both ends have the key. */
static void call(const struct section *s, struct player *alice, struct mkt_csb **i, struct player *bob,
                 struct mkt_csb **r)
{
    *i = offer(alice, s);
    *r = answer(bob, s, value_of(s, "resolve_init") != NULL);
    if (value_of(s, "error") != NULL) {
        take(alice, s, *i, "error");
        ck_assert(alice->reports == 1 && alice->reported == 9 && alice->authenticated != counts(s));
    }
    *i = moved(alice, s, "id_i", *i);
    *r = moved(bob, s, "id_r", *r);
    if (value_of(s, "transfer_resp") != NULL) {
        take(alice, s, *i, "transfer_resp");
        expect_octets(s->name, mkt_csb_peer(*i).data, text(text_of(s, "id_r")));
    }
    expect_tek(s, *i);
    expect_tek(s, *r);
}

START_TEST(calls_by_the_kms)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is_exchange(s))
            continue;
        for (unsigned by = 0; by < 2; by++) {
            struct player alice, bob;
            struct mkt_csb *one, *other;
            call(s, &alice, &one, &bob, &other);
            if (by == 0 && value_of(s, "update_i_init") != NULL)
                update(s, 'i', &alice, one, &bob, other);
            if (by == 1 && value_of(s, "update_r_init") != NULL)
                update(s, 'r', &bob, other, &alice, one);
            mkt_csb_free(one);
            mkt_csb_free(other);
            ck_assert_uint_eq(alice.live + bob.live, 0);
            free_all();
        }
    }
}
END_TEST

START_TEST(calls_without_kms)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is_exchange(s) || (flags_of(s) & MKT_FLAG_E) != 0)
            continue;
        struct player p;
        struct mkt_csb *csb = answer(&p, s, false);
        expect_tek(s, csb);
        mkt_csb_free(csb);
        ck_assert_uint_eq(p.live, 0);
        free_all();
    }
}
END_TEST

/* The keys of forked exchanges too: TEKs from what the messages show and from what the KMS knows. */
START_TEST(derive_tek)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        struct mkt_key_data key;
        if (!is_exchange(s) || value_of(s, "tek") != NULL)
            continue;
        uint8_t cs_id = cs_id_of(s), out[256], mpkr[256], tek[MKT_MAX_TEK];
        struct mkt_span randi = {NULL, 0}, randr = {NULL, 0};
        ck_assert(mkt_keys_find(octets_of(s, "ticket_keys"), octets_of(s, "spi"), &key));
        ck_assert_uint_le(key.key.n, sizeof out);
        if ((flags_of(s) & MKT_FLAG_H) != 0)
            randi = payload_of(octets_of(s, "transfer_init"), MKT_RANDR, MKT_RANDR_I).rand.rand;
        if ((flags_of(s) & MKT_FLAG_G) != 0)
            randr = payload_of(octets_of(s, "transfer_resp"), MKT_RANDR, MKT_RANDR_R).rand.rand;
        if ((flags_of(s) & MKT_FLAG_I) != 0) {
            const struct mkt_label label = {
                .purpose = MKT_PURPOSE_FORK, .id = text(text_of(s, "id_r")), .randkms = octets_of(s, "randkms")};
            struct mkt_span master = octets_of(s, "mpkr");
            expect_err(s->name, mkt_derive(suite_of(s), MKT_DERIVE_FORKED_MPKR, master, &label, mpkr, master.n),
                       MKT_OK);
            expect_octets("mpkr_forked", (struct mkt_span){mpkr, master.n}, octets_of(s, "mpkr_forked"));
            if (key.type == MKT_KEY_TGK || key.type == MKT_KEY_TGK_SALT) {
                expect_err(s->name, mkt_derive(suite_of(s), MKT_DERIVE_FORKED_TGK, key.key, &label, out, key.key.n),
                           MKT_OK);
                key.key.p = out;
            }
        }
        const char *fields[] = {"tek16", "tek32"};
        for (size_t f = 0; f < 2; f++) {
            if (value_of(s, fields[f]) == NULL)
                continue;
            struct mkt_span want = octets_of(s, fields[f]);
            expect_err(s->name,
                       mkt_derive_traffic(suite_of(s), MKT_TRAFFIC_TEK, key.key, cs_id, randi, randr, tek, want.n),
                       MKT_OK);
            expect_octets(fields[f], (struct mkt_span){tek, want.n}, want);
        }
        free_all();
    }
}
END_TEST

START_TEST(sdp)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (!is_exchange(s) || value_of(s, "sdp") == NULL)
            continue;
        uint8_t out[8192];
        struct mkt_buf line = {out, sizeof out, 0}, message = {out, sizeof out, 0};
        expect_err(s->name, mkt_sdp_key_mgmt_encode(octets_of(s, "transfer_init"), &line), MKT_OK);
        expect_octets("sdp", (struct mkt_span){out, line.n}, text(text_of(s, "sdp")));
        expect_err(s->name, text_get(text(text_of(s, "sdp")), MKT_SDP_SESSION, &message), MKT_OK);
        expect_octets("transfer_init", (struct mkt_span){out, message.n}, octets_of(s, "transfer_init"));
        free_all();
    }
}
END_TEST

/* ---- nothing is passed over ---- */

static bool is_one_of(const struct section *s, const char *const names[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is(s, names[i]))
            return true;
    return false;
}

START_TEST(every_field_is_read)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (is_one_of(s, keying.others, keying.n_others))
            continue;
        ck_assert_msg(is_exchange(s) || is_one_of(s, keying.sections, keying.n_sections), "no test runs [%s]", s->name);
        for (size_t f = 0; f < s->n; f++)
            ck_assert_msg(s->field[f].read, "no test reads %s of [%s]", s->field[f].name, s->name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vectors");
    TCase *tcase = tcase_create(keying.file);
    tcase_add_unchecked_fixture(tcase, load, unload);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, prf);
    tcase_add_test(tcase, protect);
    tcase_add_test(tcase, traffic);
    tcase_add_test(tcase, fork_keys);
    tcase_add_test(tcase, ticketkeys);
    tcase_add_test(tcase, chash);
    tcase_add_test(tcase, decode_and_encode);
    tcase_add_test(tcase, open_ticket);
    tcase_add_test(tcase, make_ticket);
    tcase_add_test(tcase, ticket_request);
    tcase_add_test(tcase, calls_by_the_kms);
    tcase_add_test(tcase, calls_without_kms);
    tcase_add_test(tcase, derive_tek);
    tcase_add_test(tcase, sdp);
    tcase_add_test(tcase, every_field_is_read);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
