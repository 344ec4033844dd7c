/* SPDX-License-Identifier: BSD-3-Clause */
/* update: CSB updates by either end (RFC 6043 5.2), and what is refused of them. */
#include "play.h"

#include "protect.h"
#include "ticket.h"

/* Both ends of a call that has its keys. */
struct pair {
    struct call *c;
    struct mkt_csb *csb[2]; /* by role */
    struct player *player[2];
    struct mkt_span randi, randr; /* of the first exchange */
    struct mkt_span init;         /* the update that an answer is to */
    uint64_t last[2], before[2];  /* T of what each sent last, and of what it sent before */
};

static const uint8_t new_octets[32] = "a TGK that an update brings.....",
                     other_octets[32] = "and another one.................";
static const struct mkt_key_wish new_tgk = {.size = sizeof new_tgk,
                                            .type = MKT_KEY_TGK,
                                            .key = {new_octets, sizeof new_octets}},
                                 other_tgk = {.size = sizeof other_tgk,
                                              .type = MKT_KEY_TGK,
                                              .key = {other_octets, sizeof other_octets}};
static const struct mkt_key_wish two_tgks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                               {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK}};

static enum mkt_role other(enum mkt_role role)
{
    return role == MKT_INITIATOR ? MKT_RESPONDER : MKT_INITIATOR;
}

static bool has_f(const struct pair *p)
{
    return (p->c->policy.flags & MKT_FLAG_F) != 0;
}

static uint64_t time_of(struct mkt_span message)
{
    return payload_of(message, MKT_T, 0).t.value;
}

/* The first exchange of a call; as the last of it, its keys protect updates. */
static struct pair keyed(struct call *c)
{
    struct pair p = {.c = c, .player = {&c->alice, &c->bob}};
    make_init(c);
    p.randi = exact(payload_of(init_of(c), MKT_RANDR, MKT_RANDR_I).rand.rand);
    p.last[MKT_INITIATOR] = time_of(init_of(c));
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    if (has_f(&p)) {
        expect_err("answer", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
        finish(c);
        p.last[MKT_RESPONDER] = time_of(resp_of(c));
        if ((c->policy.flags & MKT_FLAG_G) != 0)
            p.randr = exact(payload_of(resp_of(c), MKT_RANDR, MKT_RANDR_R).rand.rand);
    }
    p.csb[MKT_INITIATOR] = c->i;
    p.csb[MKT_RESPONDER] = c->r;
    return p;
}

static struct pair two(enum mkt_suite suite, const char *flags)
{
    return keyed(call_new(suite, flags));
}

static void part(struct pair *p)
{
    call_free(p->c);
}

static struct mkt_span make_update(struct pair *p, enum mkt_role by, const struct mkt_update *update)
{
    uint8_t octets[4096];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("update", mkt_csb_make_update(p->csb[by], update, &buf), MKT_OK);
    p->init = exact((struct mkt_span){octets, buf.n});
    p->before[by] = p->last[by];
    p->last[by] = time_of(p->init);
    return p->init;
}

static struct mkt_span make_answer(struct pair *p, enum mkt_role by, const struct mkt_answer *answer)
{
    uint8_t octets[4096];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("answer", mkt_csb_make_transfer_resp(p->csb[by], answer, &buf), MKT_OK);
    struct mkt_span made = exact((struct mkt_span){octets, buf.n});
    p->before[by] = p->last[by];
    p->last[by] = time_of(made);
    return made;
}

static void take(struct pair *p, enum mkt_role who, struct mkt_span in)
{
    expect_err("take", mkt_csb_take(p->csb[who], in), MKT_OK);
}

/* A whole update. */
static void update(struct pair *p, enum mkt_role by, const struct mkt_update *u, const struct mkt_answer *answer)
{
    take(p, other(by), make_update(p, by, u));
    if (!u->no_answer)
        take(p, by, make_answer(p, other(by), answer));
}

static struct mkt_span salt_of(const struct mkt_csb *csb, uint8_t cs_id)
{
    uint8_t octets[512];
    struct mkt_buf salt = {octets, sizeof octets, 0};
    expect_err("salt", mkt_csb_salt(csb, cs_id, &salt), MKT_OK);
    return exact((struct mkt_span){octets, salt.n});
}

/* Sessions, keys and policies, one by one. */
static void expect_same(const struct pair *p, size_t n)
{
    struct mkt_cs a, b;
    struct mkt_sp sp_a, sp_b;
    const struct mkt_csb *i = p->csb[MKT_INITIATOR], *r = p->csb[MKT_RESPONDER];
    ck_assert(mkt_csb_ready(i) && mkt_csb_ready(r));
    ck_assert_uint_eq(mkt_csb_id(i), mkt_csb_id(r));
    ck_assert_uint_eq(mkt_csb_session_count(i), n);
    ck_assert_uint_eq(mkt_csb_session_count(r), n);
    for (size_t s = 0; s < n; s++) {
        expect_err("session", mkt_csb_session_at(i, s, &a), MKT_OK);
        expect_err("session", mkt_csb_session_at(r, s, &b), MKT_OK);
        ck_assert(a.cs_id == b.cs_id && a.prot_type == b.prot_type && a.s == b.s);
        ck_assert_uint_eq(a.policies.n, 1);
        expect_octets("policy", a.policies, b.policies);
        expect_octets("Session Data", a.session_data, b.session_data);
        expect_octets("SPI", a.spi, b.spi);
        expect_octets("TEK", tek_of(i, a.cs_id), tek_of(r, a.cs_id));
        expect_octets("salt", salt_of(i, a.cs_id), salt_of(r, a.cs_id));
        expect_err("SP", mkt_csb_sp(i, a.cs_id, &sp_a), MKT_OK);
        expect_err("SP", mkt_csb_sp(r, a.cs_id, &sp_b), MKT_OK);
        ck_assert_uint_eq(sp_a.policy_no, a.policies.p[0]);
        ck_assert(sp_a.policy_no == sp_b.policy_no && sp_a.prot_type == a.prot_type && sp_b.prot_type == a.prot_type);
        expect_octets("SP", sp_a.params, sp_b.params);
    }
}

static struct mkt_cs session_of(const struct mkt_csb *csb, uint8_t cs_id)
{
    struct mkt_cs cs = {0};
    for (size_t i = 0; i < mkt_csb_session_count(csb); i++) {
        expect_err("session", mkt_csb_session_at(csb, i, &cs), MKT_OK);
        if (cs.cs_id == cs_id)
            return cs;
    }
    ck_abort_msg("no session %u", cs_id);
    return cs;
}

static struct mkt_span spi_of(const struct mkt_csb *csb, uint8_t cs_id)
{
    return exact(session_of(csb, cs_id).spi);
}

static struct mkt_sp sp_of(const struct mkt_csb *csb, uint8_t cs_id)
{
    struct mkt_sp sp = {0};
    expect_err("SP", mkt_csb_sp(csb, cs_id, &sp), MKT_OK);
    return sp;
}

static struct mkt_key_data key_of(const struct mkt_csb *csb, size_t index)
{
    struct mkt_key_data key = {0};
    expect_err("key", mkt_csb_key(csb, index, &key), MKT_OK);
    key.key = exact(key.key);
    key.kv.spi = exact(key.kv.spi);
    return key;
}

static size_t count_keys(const struct mkt_csb *csb)
{
    struct mkt_key_data key;
    size_t n = 0;
    while (mkt_csb_key(csb, n, &key) == MKT_OK)
        n++;
    return n;
}

static bool has_key(const struct mkt_csb *csb, struct mkt_span spi)
{
    for (size_t i = 0; i < count_keys(csb); i++)
        if (mkt_span_equal(key_of(csb, i).kv.spi, spi))
            return true;
    return false;
}

/* Whether octets stand anywhere in all that a bundle knows. */
static bool knows(const struct mkt_csb *csb, struct mkt_span octets)
{
    const struct mkt_span all = stored(csb);
    for (size_t i = 0; i + octets.n <= all.n; i++)
        if (memcmp(all.p + i, octets.p, octets.n) == 0)
            return true;
    return false;
}

/* ---- messages of one who has the keys but not the rules ---- */

/* "the same keys (derived from MPKi or MPKr') that protected the last message [...] in the initial exchange" */
static struct mkt_protection by_last(const struct pair *p)
{
    struct mkt_key_data mpki = {0};
    ck_assert(mkt_keys_mpk(p->c->ticket->keys, 0, &mpki));
    return (struct mkt_protection){
        .suite = p->c->policy.prf == MKT_PRF_MIKEY_1 ? MKT_SUITE_128 : MKT_SUITE_256,
        .key = mpki.key,
        .label = {.purpose = has_f(p) ? MKT_PURPOSE_RESPONSE : MKT_PURPOSE_INITIAL,
                  .csb_id = mkt_csb_id(p->c->i),
                  .randi = p->randi,
                  .randr = p->randr},
    };
}

/* What the MAC of a message covers beside it: table 5.2. */
static void parts_of(const struct pair *p, const struct mkt_message *m, struct mkt_span octets,
                     struct mkt_span parts[4])
{
    mkt_message_covered(m, octets, parts);
    parts[2] = m->hdr.data_type == MKT_TRANSFER_RESP ? p->init : text("sip:alice@example.com");
    parts[3] = m->hdr.data_type == MKT_TRANSFER_RESP ? text("") : text("sip:bob@example.com");
}

static void expect_protected(const struct pair *p, struct mkt_span octets)
{
    const struct mkt_protection protection = by_last(p);
    struct mkt_span parts[4];
    struct mkt_message m;
    expect_err("get", mkt_message_decode(&m, octets), MKT_OK);
    parts_of(p, &m, octets, parts);
    expect_err("MAC", mkt_protect_open(&protection, NULL, parts, 4, payload_of(octets, MKT_V, 0).v.mac), MKT_OK);
}

/* Puts it anew; where V is last it has the MAC that belongs to it. */
static struct mkt_span forge(const struct pair *p, const struct mkt_message *m)
{
    uint8_t octets[8192];
    const struct mkt_protection protection = by_last(p);
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_span parts[4];
    struct mkt_message made;
    expect_err("put", mkt_message_encode(m, &buf), MKT_OK);
    expect_err("get", mkt_message_decode(&made, (struct mkt_span){octets, buf.n}), MKT_OK);
    const struct mkt_payload *v = &made.payload[made.n - 1];
    const size_t n = mkt_suite_algorithms(protection.suite)->auth_key;
    if (v->type == MKT_V && v->v.mac.n == n) {
        parts_of(p, &made, (struct mkt_span){octets, buf.n}, parts);
        expect_err("MAC", mkt_protect_seal(&protection, NULL, parts, 4, octets + buf.n - n), MKT_OK);
    }
    return exact((struct mkt_span){octets, buf.n});
}

/* One more payload, before V. */
static struct mkt_payload *insert(struct mkt_message *m, unsigned type)
{
    ck_assert_uint_lt(m->n, MKT_MAX_PAYLOADS);
    m->payload[m->n] = m->payload[m->n - 1];
    m->payload[m->n - 1] = (struct mkt_payload){.type = (uint16_t)type};
    return &m->payload[m->n++ - 1];
}

static void take_out(struct mkt_message *m, unsigned type, uint8_t role)
{
    struct mkt_payload *p = find(m, type, role);
    m->n--;
    for (; p < m->payload + m->n; p++)
        *p = p[1];
}

/* A KEMAC with a chain of keys. */
static void add_kemac(const struct pair *p, struct mkt_message *m, const struct mkt_payload keys[], size_t n)
{
    const struct mkt_protection protection = by_last(p);
    uint8_t plain[1024], octets[1024];
    struct mkt_buf buf = {plain, sizeof plain, 0};
    expect_err("keys", mkt_payloads_encode(keys, n, &buf), MKT_OK);
    crypt_kemac(&protection, m->hdr.csb_id, find(m, MKT_T, 0)->t.value, (struct mkt_span){plain, buf.n}, octets);
    insert(m, MKT_KEMAC)->kemac = (struct mkt_kemac){.encr_alg = mkt_suite_algorithms(protection.suite)->encr_alg,
                                                     .encr_data = exact((struct mkt_span){octets, buf.n})};
}

static struct mkt_payload key_payload(unsigned type, struct mkt_span key, struct mkt_span spi)
{
    return (struct mkt_payload){
        .type = MKT_KEY_DATA,
        .key_data = {.type = (uint16_t)type, .key = key, .kv = {.type = MKT_KV_SPI, .spi = spi}},
    };
}

/* The sessions of a message, given anew. */
static void set_map(struct mkt_message *m, const struct mkt_cs cs[], size_t n)
{
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    for (size_t i = 0; i < n; i++)
        expect_err("CS", mkt_cs_encode(&cs[i], MKT_MAP_GENERIC_ID, &buf), MKT_OK);
    m->hdr.map = exact((struct mkt_span){octets, buf.n});
    m->hdr.n_cs = (uint8_t)n;
}

static struct mkt_cs first_cs(const struct mkt_message *m)
{
    struct mkt_span map = m->hdr.map;
    struct mkt_cs cs = {0};
    expect_err("CS", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 0, &map), MKT_OK);
    return cs;
}

/* ---- what an update does ---- */

/* The payloads of a message in their order. */
static const char *shape_of(struct mkt_span octets)
{
    static const char *const roles[] = {"", "i", "r", "kms", "psk", "app"};
    static char shape[512];
    struct mkt_message m;
    size_t n = 0;
    expect_err("get", mkt_message_decode(&m, octets), MKT_OK);
    for (size_t i = 0; i < m.n; i++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%s%s", i > 0 ? ", " : "",
                              mkt_payload_name(m.payload[i].type), roles[mkt_payload_role(&m.payload[i])]);
    return shape;
}

/*
 * "The CSB updating can be started by the Initiator", "can also be started by the Responder"; both suites, with
 * TRANSFER_RESP and without, where the first exchange had one and where it had none.
 */
START_TEST(an_update)
{
    const enum mkt_suite suite = (_i & 1) != 0 ? MKT_SUITE_128 : MKT_SUITE_256;
    const enum mkt_role by = (_i & 2) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    const bool f = (_i & 4) == 0, answered = (_i & 8) == 0;
    struct call *c = call_new(suite, f ? "FGHJLMNO" : "HJLNO"); /* M wants F */
    c->recipe.keys = two_tgks;
    c->recipe.n_keys = 2;
    struct pair p = keyed(c);
    const size_t length = suite == MKT_SUITE_256 ? 32 : 16;
    const bool supplies = f || by == MKT_INITIATOR;
    const struct mkt_span spi = spi_of(c->i, 1), tek = tek_of(c->i, 1), gone = key_of(c->i, 0).key;
    const struct mkt_cs cs = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .spi = key_of(c->i, 1).kv.spi};
    const struct mkt_update u = {.size = sizeof u,
                                 .keys = &one_tgk,
                                 .n_keys = supplies ? 1 : 0,
                                 .cs = supplies ? NULL : &cs,
                                 .n_cs = supplies ? 0 : 1,
                                 .no_answer = !answered};
    struct mkt_message m;

    const struct mkt_span init = make_update(&p, by, &u);
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    ck_assert_uint_eq(m.hdr.csb_id, mkt_csb_id(c->i));
    ck_assert_uint_eq(m.hdr.v, answered);
    ck_assert_uint_eq(m.hdr.map_type, MKT_MAP_GENERIC_ID);
    const char *shapes[2][2] = {{"T, IDRi, IDRr, SP, V", "T, IDRi, IDRr, SP, KEMAC, V"},
                                {"T, IDRr, IDRi, SP, V", "T, IDRr, IDRi, SP, KEMAC, V"}};
    ck_assert_str_eq(shape_of(init), shapes[by][supplies]);
    expect_protected(&p, init);
    if (answered) {
        expect_octets("the old key counts", tek_of(p.csb[by], 1), tek);
        ck_assert(!mkt_csb_must_make(p.csb[by], MKT_TRANSFER_RESP));
    }
    take(&p, other(by), init);
    ck_assert(mkt_csb_must_make(p.csb[other(by)], MKT_TRANSFER_RESP) == answered);
    if (answered) {
        expect_octets("the old key counts", tek_of(p.csb[other(by)], 1), tek);
        const struct mkt_span resp = make_answer(&p, other(by), NULL);
        expect_err("get", mkt_message_decode(&m, resp), MKT_OK);
        ck_assert_uint_eq(m.hdr.csb_id, mkt_csb_id(c->i));
        ck_assert_uint_eq(m.hdr.v, 0);
        ck_assert_str_eq(shape_of(resp), by == MKT_INITIATOR ? "T, IDRr, V" : "T, IDRi, V");
        expect_protected(&p, resp);
        ck_assert(!mkt_span_equal(tek_of(p.csb[other(by)], 1), tek));
        expect_octets("the old key counts", tek_of(p.csb[by], 1), tek);
        take(&p, by, resp);
    }
    const bool heard = f || by == MKT_RESPONDER || answered;
    expect_octets("peer", mkt_csb_peer(c->i).data, heard ? c->settings_r.self.data : text(""));
    expect_octets("peer", mkt_csb_peer(c->r).data, c->settings_i.self.data);
    expect_same(&p, 1);
    expect_same_tek(c, 1, length);
    ck_assert(!mkt_span_equal(tek_of(c->i, 1), tek));
    for (size_t end = 0; end < 2; end++) {
        ck_assert_uint_eq(count_keys(p.csb[end]), supplies ? 2 : 1);
        ck_assert(!has_key(p.csb[end], spi) && !knows(p.csb[end], gone));
        ck_assert(!mkt_csb_must_make(p.csb[end], MKT_TRANSFER_RESP));
    }
    part(&p);
}
END_TEST

/* "transporting a new TEK/TGK/GTGK", each with a salt and without; by both ends, in both messages. */
START_TEST(keys_of_every_type)
{
    static const uint8_t octets[32] = "a session key of 256 bits.......", salt_octets[12] = "twelve salts";
    const enum mkt_suite suite = (_i & 1) != 0 ? MKT_SUITE_128 : MKT_SUITE_256;
    const enum mkt_role by = (_i & 2) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    const bool in_answer = (_i & 4) != 0;
    const struct mkt_span key = {octets, suite == MKT_SUITE_256 ? 32 : 16}, salt = {salt_octets, sizeof salt_octets};
    struct pair p = two(suite, "FGHJLMNO");
    for (unsigned type = MKT_KEY_TGK; type <= MKT_KEY_GTGK_SALT; type++) {
        const bool salted = (type & 1) != 0, tek = type == MKT_KEY_TEK || type == MKT_KEY_TEK_SALT;
        const struct mkt_key_wish wish = {
            .size = sizeof wish, .type = (uint8_t)type, .key = key, .salt = salted ? salt : text("")};
        const struct mkt_update u = {.size = sizeof u, .keys = &wish, .n_keys = !in_answer};
        const struct mkt_answer a = {.size = sizeof a, .keys = &wish, .n_keys = in_answer};
        update(&p, by, &u, &a);
        expect_same(&p, 1);
        for (size_t end = 0; end < 2; end++) {
            ck_assert_uint_eq(count_keys(p.csb[end]), 1);
            ck_assert_uint_eq(key_of(p.csb[end], 0).type, type);
            expect_octets("key", key_of(p.csb[end], 0).key, key);
            expect_octets("salt", salt_of(p.csb[end], 1), salted ? salt : text(""));
        }
        if (tek)
            expect_octets("TEK", tek_of(p.c->i, 1), key);
        else
            ck_assert(!mkt_span_equal(tek_of(p.c->i, 1), key));
    }
    part(&p);
}
END_TEST

/* Keys of an answer take the place of those that were offered; both stand in the bundle. */
START_TEST(keys_in_both_messages)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_update u = {.size = sizeof u, .keys = &new_tgk, .n_keys = 1};
    const struct mkt_answer a = {.size = sizeof a, .keys = &other_tgk, .n_keys = 1};
    update(&p, by, &u, &a);
    expect_same(&p, 1);
    for (size_t end = 0; end < 2; end++) {
        struct mkt_key_data key = {0};
        ck_assert_uint_eq(count_keys(p.csb[end]), 2);
        for (size_t k = 0; k < 2; k++)
            if (mkt_span_equal(key_of(p.csb[end], k).kv.spi, spi_of(p.csb[end], 1)))
                key = key_of(p.csb[end], k);
        expect_octets("of the answer", key.key, other_tgk.key);
    }
    part(&p);
}
END_TEST

/* The keys that come in an update are derived from as those of the ticket are: with the RANDs of the first exchange. */
START_TEST(a_new_tgk_is_derived_with_the_old_rands)
{
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    uint8_t tek[32];
    update(&p, (enum mkt_role)_i,
           &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &new_tgk, .n_keys = 1}, NULL);
    expect_err("derive",
               mkt_derive_traffic(MKT_SUITE_256, MKT_TRAFFIC_TEK, new_tgk.key, 1, p.randi, p.randr, tek, sizeof tek),
               MKT_OK);
    expect_octets("TEK", tek_of(p.c->i, 1), (struct mkt_span){tek, sizeof tek});
    expect_octets("TEK", tek_of(p.c->r, 1), (struct mkt_span){tek, sizeof tek});
    part(&p);
}
END_TEST

/* With key forking: MPKr' protects updates, and "If a new TGK is exchanged, it SHALL NOT be forked." */
START_TEST(updates_of_a_forked_bundle)
{
    struct play *p = play_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "DEFGHIJLMNO", false);
    const size_t n = _i == 0 ? 32 : 16;
    uint8_t tek[32];
    play_until(p, ALICE_UPDATES);
    const struct mkt_span randi = exact(payload_of(p->message[OFFER], MKT_RANDR, MKT_RANDR_I).rand.rand),
                          randr = exact(payload_of(p->message[ANSWER], MKT_RANDR, MKT_RANDR_R).rand.rand);
    const struct mkt_key_wish wish = {.size = sizeof wish, .type = MKT_KEY_TGK, .key = {new_octets, n}};
    const struct mkt_update u = {.size = sizeof u, .keys = &wish, .n_keys = 1};
    for (unsigned by = ALICE; by <= BOB; by++) {
        struct mkt_csb *one = p->csb[by], *peer = p->csb[by == ALICE ? BOB : ALICE];
        uint8_t octets[4096];
        struct mkt_buf buf = {octets, sizeof octets, 0};
        expect_err("update", mkt_csb_make_update(one, &u, &buf), MKT_OK);
        expect_err("update", mkt_csb_take(peer, exact((struct mkt_span){octets, buf.n})), MKT_OK);
        buf.n = 0;
        expect_err("answer", mkt_csb_make_transfer_resp(peer, NULL, &buf), MKT_OK);
        expect_err("answer", mkt_csb_take(one, exact((struct mkt_span){octets, buf.n})), MKT_OK);
        expect_err("derive",
                   mkt_derive_traffic(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, MKT_TRAFFIC_TEK, wish.key, 1, randi,
                                      randr, tek, n),
                   MKT_OK);
        expect_octets("TEK", tek_of(one, 1), (struct mkt_span){tek, n});
        expect_octets("TEK", tek_of(peer, 1), (struct mkt_span){tek, n});
    }
    play_free(p);
}
END_TEST

/* "does not exclude other keys to be used": a session goes over to another key that the ticket has, and not back. */
START_TEST(another_key_of_the_ticket)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->recipe.keys = two_tgks;
    c->recipe.n_keys = 2;
    struct pair p = keyed(c);
    const struct mkt_key_data first = key_of(c->i, 0), second = key_of(c->i, 1);
    struct mkt_cs cs = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .spi = second.kv.spi};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    expect_octets("SPI", spi_of(c->i, 1), first.kv.spi);
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1}, NULL);
    expect_same(&p, 1);
    expect_octets("SPI", spi_of(c->i, 1), second.kv.spi);
    for (size_t end = 0; end < 2; end++)
        ck_assert(count_keys(p.csb[end]) == 1 && !knows(p.csb[end], first.key));
    cs.spi = first.kv.spi;
    expect_err("gone",
               mkt_csb_make_update(p.csb[by],
                                   &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1}, &out),
               MKT_E_SPI);
    ck_assert_uint_eq(out.n, 0);
    part(&p);
}
END_TEST

/* An update that says nothing of keys leaves them as they are. */
START_TEST(an_update_of_nothing)
{
    const enum mkt_role by = (_i & 1) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    struct pair p = two(MKT_SUITE_256, (_i & 2) != 0 ? "HJLNO" : "FGHJLMNO");
    const struct mkt_span tek = tek_of(p.c->i, 1);
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = (_i & 4) != 0}, NULL);
    expect_same(&p, 1);
    expect_octets("TEK", tek_of(p.c->i, 1), tek);
    ck_assert_uint_eq(count_keys(p.c->i), 1);
    part(&p);
}
END_TEST

/* ---- sessions and policies ---- */

static struct mkt_cs tls_session(uint8_t cs_id)
{
    return (struct mkt_cs){.cs_id = cs_id, .prot_type = MKT_PROT_TLS};
}

static struct call *roomy(uint8_t sessions)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.max_sessions = c->settings_r.max_sessions = sessions;
    return c;
}

/* "adding new crypto sessions": those that are there stay as they are. */
START_TEST(sessions_are_added)
{
    const enum mkt_role by = (_i & 1) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    struct call *c = roomy(3);
    struct pair p = keyed(c);
    const struct mkt_span tek = tek_of(c->i, 1), spi = spi_of(c->i, 1);
    struct mkt_cs cs = tls_session(7);
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    /* with a key of its own */
    update(&p, by,
           &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1, .keys = &one_tgk, .n_keys = 1},
           NULL);
    expect_same(&p, 2);
    expect_octets("TEK", tek_of(c->r, 1), tek);
    ck_assert(!mkt_span_equal(spi_of(c->i, 7), spi));
    ck_assert_uint_eq(count_keys(c->i), 2);
    /* with the key of another: a TGK gives each its own TEK */
    cs = tls_session(255);
    cs.spi = spi;
    update(&p, other(by), &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1}, NULL);
    expect_same(&p, 3);
    expect_octets("TEK", tek_of(c->r, 1), tek);
    ck_assert(!mkt_span_equal(tek_of(c->i, 255), tek));
    /* and no more */
    cs = tls_session(3);
    expect_err("4 sessions",
               mkt_csb_make_update(p.csb[by],
                                   &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1}, &out),
               MKT_E_CS);
    expect_same(&p, 3);
    part(&p);
}
END_TEST

/* By the one who answers, too: "If the Responder adds crypto sessions, the #CS SHALL be updated." */
START_TEST(sessions_are_added_by_the_answer)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = keyed(roomy(2));
    const struct mkt_cs cs = tls_session(9);
    const struct mkt_span tek = tek_of(p.c->i, 1);
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)},
           &(struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &cs, .n_cs = 1});
    expect_same(&p, 2);
    expect_octets("TEK", tek_of(p.c->i, 1), tek);
    ck_assert(!mkt_span_equal(tek_of(p.c->i, 9), tek));
    part(&p);
}
END_TEST

/* One session gets a new key, the other keeps what it has; then all get new ones. */
START_TEST(sessions_are_updated_one_by_one_and_together)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct mkt_cs both[] = {tls_session(1), tls_session(2)};
    const struct mkt_key_wish teks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}};
    struct call *c = roomy(2);
    c->recipe.keys = teks;
    c->recipe.n_keys = 2;
    c->offer.cs = both;
    c->offer.n_cs = 2;
    struct pair p = keyed(c);
    const struct mkt_span one = tek_of(c->i, 1), second = tek_of(c->i, 2);
    update(
        &p, by,
        &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &both[1], .n_cs = 1, .keys = teks, .n_keys = 1},
        NULL);
    expect_same(&p, 2);
    expect_octets("as it was", tek_of(c->r, 1), one);
    ck_assert(!mkt_span_equal(tek_of(c->r, 2), second));
    const struct mkt_span third = tek_of(c->i, 2);
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = teks, .n_keys = 2}, NULL);
    expect_same(&p, 2);
    ck_assert_uint_eq(count_keys(c->i), 2);
    ck_assert_uint_eq(count_keys(c->r), 2);
    ck_assert(!mkt_span_equal(tek_of(c->r, 1), one) && !mkt_span_equal(tek_of(c->r, 2), third));
    part(&p);
}
END_TEST

/* Where there are fewer new keys than sessions, nobody gets the key that another had. */
START_TEST(fewer_new_keys_than_sessions)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct mkt_cs both[] = {tls_session(1), tls_session(2)};
    const struct mkt_key_wish teks[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK},
                                        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}};
    struct call *c = roomy(2);
    c->recipe.keys = teks;
    c->recipe.n_keys = 2;
    c->offer.cs = both;
    c->offer.n_cs = 2;
    struct pair p = keyed(c);
    const struct mkt_span one = tek_of(c->i, 1), second = tek_of(c->i, 2);
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = teks, .n_keys = 1}, NULL);
    expect_same(&p, 2);
    ck_assert(!mkt_span_equal(tek_of(c->i, 1), one));
    expect_octets("the session without new key", tek_of(c->i, 2), second);
    part(&p);
}
END_TEST

static bool all_acceptable(void *user, const struct mkt_sp *sp)
{
    (void)user;
    return sp->prot_type == MKT_PROT_TLS;
}

/* New SPs: offered, one is chosen; given in the answer; by both ends. */
START_TEST(policies_change)
{
    static const uint8_t params[] = {0x63, 1, 0}, numbers[] = {5, 6};
    const enum mkt_role by = (enum mkt_role)_i;
    const struct mkt_sp sp[] = {{5, MKT_PROT_TLS, {params, sizeof params}}, {6, MKT_PROT_TLS, {NULL, 0}}};
    struct mkt_cs cs = tls_session(1);
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_span tek = tek_of(p.c->i, 1);
    const uint8_t before = sp_of(p.c->i, 1).policy_no;
    ck_assert(before != 5 && before != 6);
    cs.policies = (struct mkt_span){numbers, 2};
    p.player[by]->host.acceptable = all_acceptable;
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1, .sp = sp, .n_sp = 2},
           NULL);
    expect_same(&p, 1); /* of the two, the one that the other end accepts */
    ck_assert_uint_eq(sp_of(p.c->i, 1).policy_no, 6);
    expect_octets("TEK", tek_of(p.c->i, 1), tek);

    cs.policies = (struct mkt_span){numbers, 1};
    p.player[other(by)]->host.acceptable = all_acceptable;
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1, .sp = sp, .n_sp = 1},
           NULL);
    expect_same(&p, 1);
    expect_octets("parameters", sp_of(p.c->r, 1).params, (struct mkt_span){params, sizeof params});

    cs.policies = (struct mkt_span){numbers + 1, 1};
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)},
           &(struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &cs, .n_cs = 1, .sp = sp + 1, .n_sp = 1});
    expect_same(&p, 1);
    ck_assert_uint_eq(sp_of(p.c->r, 1).policy_no, 6);
    part(&p);
}
END_TEST

/* Each session has an SP of its own, before an update and after it. */
START_TEST(policies_of_several_sessions)
{
    static const uint8_t params[] = {0x63, 1, 0}, numbers[] = {5, 6, 7};
    const enum mkt_role by = (enum mkt_role)_i;
    const struct mkt_sp sp[] = {
        {5, MKT_PROT_TLS, {params, sizeof params}}, {6, MKT_PROT_TLS, {NULL, 0}}, {7, MKT_PROT_TLS, {NULL, 0}}};
    struct mkt_cs cs[] = {tls_session(1), tls_session(2)};
    struct call *c = roomy(2);
    cs[0].policies = (struct mkt_span){numbers, 1};
    cs[1].policies = (struct mkt_span){numbers + 1, 1};
    c->offer.cs = cs;
    c->offer.n_cs = 2;
    c->offer.sp = sp;
    c->offer.n_sp = 2;
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    struct pair p = keyed(c);
    expect_same(&p, 2);
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1}, NULL);
    expect_same(&p, 2);
    expect_octets("parameters", sp_of(c->r, 1).params, (struct mkt_span){params, sizeof params});
    cs[1].policies = (struct mkt_span){numbers + 2, 1};
    update(&p, by,
           &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = cs + 1, .n_cs = 1, .sp = sp + 2, .n_sp = 1},
           NULL);
    expect_same(&p, 2);
    ck_assert_uint_eq(sp_of(c->r, 1).policy_no, 5);
    ck_assert_uint_eq(sp_of(c->r, 2).policy_no, 7);
    part(&p);
}
END_TEST

/* A new SP with the number of another session's is not that session's: it keeps its own, or the update is refused. */
START_TEST(a_policy_number_that_another_session_has)
{
    static const uint8_t params[] = {0x63, 1, 0}, number[] = {5};
    const enum mkt_role by = (enum mkt_role)_i;
    const struct mkt_sp before = {5, MKT_PROT_TLS, {NULL, 0}}, after = {5, MKT_PROT_TLS, {params, sizeof params}};
    struct mkt_cs cs[] = {tls_session(1), tls_session(2)};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct call *c = roomy(2);
    cs[0].policies = cs[1].policies = (struct mkt_span){number, 1};
    c->offer.cs = cs;
    c->offer.n_cs = 2;
    c->offer.sp = &before;
    c->offer.n_sp = 1;
    c->alice.host.acceptable = c->bob.host.acceptable = all_acceptable;
    struct pair p = keyed(c);
    const struct mkt_update u = {.size = sizeof u, .cs = cs, .n_cs = 1, .sp = &after, .n_sp = 1, .no_answer = true};
    enum mkt_err err = mkt_csb_make_update(p.csb[by], &u, &out);
    if (err == MKT_OK)
        err = mkt_csb_take(p.csb[other(by)], exact((struct mkt_span){octets, out.n}));
    expect_err("update", err, err == MKT_OK ? MKT_OK : MKT_E_SP);
    ck_assert_uint_eq(sp_of(p.csb[by], 2).params.n, 0);
    ck_assert_uint_eq(sp_of(p.csb[other(by)], 2).params.n, 0);
    part(&p);
}
END_TEST

/* ---- many updates ---- */

/* Each with a new key, by one end and the other, answered or not; the room of a bundle does not run out. */
START_TEST(a_thousand_updates)
{
    struct pair p = two(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "FGHJLMNO");
    const struct mkt_key_wish wishes[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK_SALT},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK}};
    ck_assert_uint_eq(p.c->settings_i.bundle_size, 4096);
    p.c->alice.host.replay = p.c->bob.host.replay = NULL; /* the player's cache is small */
    const size_t before = stored(p.c->i).n;
    for (unsigned n = 0; n < 1000; n++) {
        const enum mkt_role by = n % 3 == 0 ? MKT_RESPONDER : MKT_INITIATOR;
        const struct mkt_update u = {.size = sizeof u, .keys = &wishes[n % 3], .n_keys = 1, .no_answer = n % 5 == 0};
        const struct mkt_span tek = tek_of(p.c->i, 1);
        update(&p, by, &u, NULL);
        ck_assert(!mkt_span_equal(tek_of(p.c->i, 1), tek));
        ck_assert_uint_eq(count_keys(p.c->i), 1);
        ck_assert_uint_eq(count_keys(p.c->r), 1);
    }
    expect_same(&p, 1);
    ck_assert_uint_le(stored(p.c->i).n, before + 14);
    ck_assert_uint_le(stored(p.c->r).n, before + 14);
    part(&p);
}
END_TEST

/* Keys that no session uses are kept; where there is no room for more, that is said, and the bundle goes on. */
START_TEST(keys_that_nobody_uses)
{
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    uint8_t octets[4096];
    enum mkt_err err = MKT_OK;
    size_t n = 0;
    const struct mkt_cs cs = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .spi = spi_of(p.c->i, 1)};
    const struct mkt_update u = {
        .size = sizeof u, .keys = &one_tgk, .n_keys = 1, .cs = &cs, .n_cs = 1, .no_answer = true};
    const struct mkt_span tek = tek_of(p.c->i, 1);
    p.c->alice.host.replay = p.c->bob.host.replay = NULL;
    for (; n < 1000 && err == MKT_OK; n++) {
        struct mkt_buf out = {octets, sizeof octets, 0};
        err = mkt_csb_make_update(p.c->i, &u, &out);
        if (err == MKT_OK)
            take(&p, MKT_RESPONDER, exact((struct mkt_span){octets, out.n}));
    }
    expect_err("room", err, MKT_E_BUNDLE_FULL);
    ck_assert_uint_gt(n, 10);
    expect_same(&p, 1);
    expect_octets("TEK", tek_of(p.c->r, 1), tek);
    update(&p, MKT_RESPONDER, &(struct mkt_update){.size = sizeof(struct mkt_update)}, NULL);
    part(&p);
}
END_TEST

/* ---- time ---- */

/*
 * "MUST use new timestamps": each is later than all that was sent before by either end, though the clock stands or goes
 * back. Where the clock goes on, it is the clock's.
 */
START_TEST(timestamps_are_new)
{
    const bool f = (_i & 1) == 0;
    struct pair p = two(MKT_SUITE_256, f ? "FGHJLMNO" : "HJLNO");
    uint64_t last = ntp(NOW);
    for (unsigned n = 0; n < 6; n++) {
        const enum mkt_role by = (_i & 2) != 0 ? (enum mkt_role)(1 - n % 2) : (enum mkt_role)(n % 2);
        if (n == 2)
            p.c->alice.now = p.c->bob.now = ntp(NOW - 100);
        const struct mkt_span init =
            make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = n == 4});
        last++;
        ck_assert_uint_eq(time_of(init), last);
        take(&p, other(by), init);
        if (n == 4)
            continue;
        const struct mkt_span resp = make_answer(&p, other(by), NULL);
        last++;
        ck_assert_uint_eq(time_of(resp), last);
        take(&p, by, resp);
    }
    p.c->alice.now = ntp(NOW + 5);
    p.c->bob.now = ntp(NOW + 6);
    update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update)}, NULL);
    ck_assert(p.last[0] == ntp(NOW + 5) && p.last[1] == ntp(NOW + 6));
    update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update)},
           NULL); /* her clock is behind his */
    ck_assert_uint_eq(p.last[0], ntp(NOW + 6) + 1);
    ck_assert_uint_eq(p.last[1], p.last[0] + 1);
    part(&p);
}
END_TEST

/* The first message of the Responder's is an update, where the first exchange had no TRANSFER_RESP. */
START_TEST(the_first_word_of_the_responder)
{
    struct pair p = two(MKT_SUITE_256, "HJLNO");
    const struct mkt_span init =
        make_update(&p, MKT_RESPONDER, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = _i == 1});
    ck_assert_uint_eq(time_of(init), ntp(NOW) + 1);
    ck_assert_uint_eq(mkt_csb_peer(p.csb[MKT_INITIATOR]).data.n, 0);
    take(&p, MKT_INITIATOR, init);
    expect_octets("peer", mkt_csb_peer(p.csb[MKT_INITIATOR]).data, p.c->settings_r.self.data);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* Over the seconds' end in 2036 as well. */
START_TEST(updates_in_the_year_2036)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->alice.now = c->bob.now = 0xffffffffffffffff;
    struct pair p = keyed(c);
    c->alice.now = ntp(7);
    update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1},
           NULL);
    ck_assert(p.last[0] == ntp(7) && p.last[1] == ntp(7) + 1);
    update(&p, MKT_RESPONDER, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1},
           NULL);
    ck_assert(p.last[0] == ntp(7) + 4 && p.last[1] == ntp(7) + 3);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* An update with keys that `by` makes while its clock says so, and gives up. If G is clear, its first random octets are
   those. */
static struct mkt_span keys_at(struct pair *p, enum mkt_role by, uint64_t clock, const char *random)
{
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    p->player[by]->now = clock;
    p->player[by]->n_random = p->player[by]->next_random = 0;
    if ((p->c->policy.flags & MKT_FLAG_G) == 0)
        player_random(p->player[by], from_hex(random));
    const struct mkt_span made = make_update(p, by, &u);
    mkt_csb_abandon(p->csb[by]);
    return made;
}

static uint64_t time_of_keys(struct pair *p, enum mkt_role by, uint64_t clock, const char *random)
{
    return time_of(keys_at(p, by, clock, random));
}

/* D29: the last bit of T is the role, whatever the clock says. If G is clear, the 23 bits before it are random. */
START_TEST(the_low_bits_of_the_time_of_keys)
{
    const enum mkt_role by = (enum mkt_role)(_i & 1);
    const uint64_t role = by == MKT_RESPONDER;
    const bool g = (_i & 2) == 0;
    struct pair p = two(MKT_SUITE_256, g ? "FGHJLMNO" : "FHJLMNO");
    for (uint64_t n = 0; n < 4; n++) {
        const uint64_t clock = ntp(NOW + 5 + 5 * n) + 0x5a5a5a5a + n;
        const uint64_t rest = g ? 1 : 0xffffff;
        const uint64_t want = (clock & ~rest) | (g ? 0 : 0xc3c3c2) | role;
        ck_assert_uint_eq(time_of_keys(&p, by, clock, n % 2 == 0 ? "c3c3c2" : "c3c3c3"), want);
        /* the clock stands or goes back: the bits before them stay if that is later, else they are the next ones */
        const uint64_t later = want + 2;
        ck_assert_uint_eq(time_of_keys(&p, by, clock, "c3c3c4"), later);
        const uint64_t back = time_of_keys(&p, by, clock - ((uint64_t)10 << 32), "c3c3c8");
        ck_assert_uint_eq(back, g ? later + 2 : (later & ~rest) | 0xc3c3c8 | role);
        ck_assert_uint_eq(time_of_keys(&p, by, clock, "000000"), g ? back + 2 : (back & ~rest) + rest + 1 + role);
        const struct mkt_span ahead = keys_at(&p, other(by), clock + ((uint64_t)2 << 32), "3c3c3c");
        take(&p, by, ahead);
        mkt_csb_abandon(p.csb[by]);
        ck_assert_uint_eq(time_of_keys(&p, by, clock, "c3c3c8"),
                          g ? time_of(ahead) + 1 : (time_of(ahead) & ~rest) | 0xc3c3c8 | role);
    }
    part(&p);
}
END_TEST

/* A message as it would have been with another T. */
static struct mkt_span at_another_time(const struct pair *p, struct mkt_span octets, uint64_t t)
{
    const struct mkt_protection protection = by_last(p);
    struct mkt_message m;
    uint8_t keys[1024];
    expect_err("get", mkt_message_decode(&m, octets), MKT_OK);
    struct mkt_span *kemac = &find(&m, MKT_KEMAC, 0)->kemac.encr_data;
    crypt_kemac(&protection, m.hdr.csb_id, time_of(octets), *kemac, keys);
    const struct mkt_span plain = exact((struct mkt_span){keys, kemac->n});
    crypt_kemac(&protection, m.hdr.csb_id, t, plain, keys);
    *kemac = exact((struct mkt_span){keys, kemac->n});
    find(&m, MKT_T, 0)->t.value = t;
    return forge(p, &m);
}

/* Both ends encrypt with the same keys: a KEMAC at a time at which its taker made one would have its IV. */
START_TEST(a_kemac_at_a_time_of_the_takers_own)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    p.c->alice.now = p.c->bob.now = ntp(NOW + 1);
    const struct mkt_span init = make_update(&p, by, &u);
    expect_err("at once", mkt_csb_make_update(p.csb[other(by)], &u, &out), MKT_OK);
    const struct mkt_span at_once = exact((struct mkt_span){octets, out.n});
    ck_assert_uint_eq(time_of(at_once) ^ time_of(init), 1); /* D29: the last bit is the role */
    mkt_csb_abandon(p.csb[other(by)]);
    /* a peer that does not keep D29 */
    const struct mkt_span one_iv = at_another_time(&p, init, time_of(at_once));
    expect_err("one IV", mkt_csb_take(p.csb[other(by)], one_iv), MKT_E_STALE);
    mkt_csb_abandon(p.csb[by]);
    update(&p, by, &u, NULL);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* A peer whose timestamps are NTP-UTC-32 is understood; within the same second it has nothing new to say. */
START_TEST(timestamps_of_32_bits)
{
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    struct mkt_message m;
    const struct mkt_span init =
        make_update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    find(&m, MKT_T, 0)->t = (struct mkt_t){.ts_type = MKT_TS_NTP_UTC_32, .value = NOW};
    expect_err("the same second", mkt_csb_take(p.c->r, forge(&p, &m)), MKT_E_STALE);
    find(&m, MKT_T, 0)->t.value = NOW + 1;
    take(&p, MKT_RESPONDER, forge(&p, &m));
    part(&p);
}
END_TEST

static enum mkt_err counter(void *user, uint32_t *value)
{
    *value = ++((struct player *)user)->counter;
    return MKT_OK;
}

static enum mkt_err count(void *user, const struct mkt_id *peer, uint32_t value)
{
    struct player *p = user;
    ck_assert_uint_gt(peer->data.n, 0);
    if (value <= p->count[0])
        return MKT_E_REPLAY;
    p->count[0] = value;
    return MKT_OK;
}

START_TEST(updates_by_counters)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.counter = c->settings_r.counter = true;
    c->alice.host.counter_next = c->bob.host.counter_next = counter;
    c->alice.host.counter_check = c->bob.host.counter_check = count;
    struct pair p = keyed(c);
    for (unsigned n = 0; n < 4; n++) {
        const enum mkt_role by = (enum mkt_role)(n % 2);
        const struct mkt_span init = make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)});
        ck_assert_uint_gt(p.last[by], p.before[by]);
        take(&p, other(by), init);
        take(&p, by, make_answer(&p, other(by), NULL));
        ck_assert_uint_gt(p.last[other(by)], p.before[other(by)]);
        expect_err("again", mkt_csb_take(p.csb[other(by)], init), MKT_E_REPLAY);
        expect_same(&p, 1);
    }
    part(&p);
}
END_TEST

static struct pair two_that_count(void)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.counter = c->settings_r.counter = true;
    c->alice.host.counter_next = c->bob.host.counter_next = counter;
    c->alice.host.counter_check = c->bob.host.counter_check = count;
    return keyed(c);
}

/*
 * Each end counts by itself and both encrypt with the same keys: two KEMACs with one IV would give away the keys in
 * both. What a peer has used that is not as careful is passed over, and what it uses again is refused.
 */
START_TEST(kemacs_by_counters_have_an_iv_each)
{
    const enum mkt_role careless = (enum mkt_role)_i, by = other(careless);
    struct pair p = two_that_count();
    struct player *player[] = {&p.c->alice, &p.c->bob};
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1, .no_answer = true};
    for (uint64_t t = 100; t < 104; t++)
        take(&p, by, at_another_time(&p, make_update(&p, careless, &u), t));
    player[by]->counter = 99;
    const struct mkt_span right = make_update(&p, by, &u);
    ck_assert_uint_eq(time_of(right), by == MKT_INITIATOR ? 104 : 105);
    take(&p, careless, right);

    const struct mkt_span last = make_update(&p, careless, &u);
    const uint64_t used[] = {100, 102, 103, time_of(right)};
    for (size_t n = 0; n < sizeof used / sizeof *used; n++) {
        player[by]->count[0] = 0;
        expect_err("one IV", mkt_csb_take(p.csb[by], at_another_time(&p, last, used[n])), MKT_E_STALE);
    }
    take(&p, by, last);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* Nor do those that the other end did not take: the two crossed, one was refused, an answer was lost. */
START_TEST(kemacs_by_counters_that_were_not_taken)
{
    const enum mkt_role one = (enum mkt_role)_i, two = other(one);
    struct pair p = two_that_count();
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    const struct mkt_answer answer = {.size = sizeof answer, .keys = &other_tgk, .n_keys = 1};
    uint64_t used[16];
    size_t n = 0;
    for (unsigned round = 0; round < 4; round++) {
        used[n++] = time_of(make_update(&p, one, &u)); /* they cross */
        used[n++] = time_of(make_update(&p, two, &u));
        mkt_csb_abandon(p.csb[one]);
        mkt_csb_abandon(p.csb[two]);
        take(&p, two, make_update(&p, one, &u)); /* its answer is lost */
        used[n++] = p.last[one];
        used[n++] = time_of(make_answer(&p, two, &answer));
        mkt_csb_abandon(p.csb[one]);
    }
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < a; b++)
            ck_assert_uint_ne(used[a], used[b]);
    part(&p);
}
END_TEST

/*
 * Updates have the keys of the last message of the first exchange: with F flag the counter of a KEMAC in TRANSFER_RESP
 * is passed over, and that of one in TRANSFER_INIT need not be; without, it is.
 */
START_TEST(counters_of_kemacs_in_the_first_exchange)
{
    struct call *c = call_new(MKT_SUITE_256, _i == 0 ? "FGHJLMNO" : "HJLNO");
    c->settings_i.counter = c->settings_r.counter = true;
    c->alice.host.counter_next = c->bob.host.counter_next = counter;
    c->alice.host.counter_check = c->bob.host.counter_check = count;
    c->offer.keys = &one_tgk;
    c->answer.keys = &other_tgk;
    c->offer.n_keys = c->answer.n_keys = 1;
    c->alice.counter = 7;
    c->bob.counter = 5;
    struct pair p = keyed(c);
    ck_assert_uint_eq(p.last[MKT_INITIATOR], 8);
    if (_i == 0)
        ck_assert_uint_eq(p.last[MKT_RESPONDER], 6);
    c->alice.counter = _i == 0 ? 5 : 7;
    if (_i == 0) {
        make_update(&p, MKT_INITIATOR,
                    &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1});
        ck_assert_uint_eq(p.last[MKT_INITIATOR], 8);
    } else {
        /* D29: without G no keys are sent with COUNTER */
        uint8_t octets[1024];
        struct mkt_buf out = {octets, sizeof octets, 0};
        const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
        expect_err("no G", mkt_csb_make_update(p.c->i, &u, &out), MKT_E_COUNTER);
    }
    part(&p);
}
END_TEST

/*
 * RFC 6043 4.2.2.3: "the timestamp value MAY be equal to the one in the TRANSFER_INIT", if the answer has keys, too. So
 * the COUNTER of an answer says nothing about those of its sender's own updates, which may be lower.
 */
START_TEST(an_answer_with_the_counter_of_the_question)
{
    struct pair p = two_that_count();
    const struct mkt_answer answer = {.size = sizeof answer, .keys = &other_tgk, .n_keys = 1};
    p.c->alice.counter = 1000;
    const struct mkt_span init =
        make_update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    take(&p, MKT_RESPONDER, init);
    const struct mkt_span resp = make_answer(&p, MKT_RESPONDER, &answer);
    ck_assert_uint_ne(time_of(resp), time_of(init));
    take(&p, MKT_INITIATOR, at_another_time(&p, resp, time_of(init)));
    expect_same(&p, 1);
    const struct mkt_span next =
        make_update(&p, MKT_RESPONDER, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
    ck_assert_uint_lt(time_of(next), time_of(init));
    take(&p, MKT_INITIATOR, next);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* Where the peer's counter is far ahead it takes several goes; nothing is sent with a number that may have been
 * used. */
START_TEST(a_counter_that_is_far_behind)
{
    struct pair p = two_that_count();
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1, .no_answer = true};
    struct mkt_buf measured = {NULL, 0, 0};
    for (unsigned n = 0; n < 2; n++) {
        p.c->bob.counter = n == 0 ? 99 : 999;
        take(&p, MKT_INITIATOR, make_update(&p, MKT_RESPONDER, &u));
    }
    p.c->alice.counter = 101;
    unsigned tries = 0;
    while (mkt_csb_make_update(p.c->i, &u, &measured) == MKT_E_COUNTER) {
        tries++;
        ck_assert_uint_eq(p.c->alice.counter, 101 + tries * (1 + 256)); /* one, and 256 that are skipped */
    }
    ck_assert_uint_eq(tries, 3);
    ck_assert_uint_eq(p.c->alice.counter, 1002);
    take(&p, MKT_RESPONDER, make_update(&p, MKT_INITIATOR, &u));
    ck_assert_uint_eq(p.last[MKT_INITIATOR], 1004);
    expect_same(&p, 1);

    p.c->alice.counter = 499; /* without keys any will do */
    p.c->bob.count[0] = 499;
    take(&p, MKT_RESPONDER,
         make_update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true}));
    ck_assert_uint_eq(p.last[MKT_INITIATOR], 500);
    part(&p);
}
END_TEST

/* Clock and counter have no order: an end with the one and an end with the other update all the same; in 2036 too. */
START_TEST(a_clock_and_a_counter)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    const enum mkt_role counts = (enum mkt_role)(_i & 1);
    c->settings_i.counter = counts == MKT_INITIATOR;
    c->settings_r.counter = counts == MKT_RESPONDER;
    c->alice.host.counter_next = c->bob.host.counter_next = counter;
    c->alice.host.counter_check = c->bob.host.counter_check = count;
    struct pair p = keyed(c);
    if (_i >= 2)
        c->alice.now = c->bob.now = ntp(7);
    for (unsigned n = 0; n < 4; n++) {
        update(&p, (enum mkt_role)(n % 2), &u, NULL);
        expect_same(&p, 1);
    }
    ck_assert_uint_le(p.last[counts], 100);
    ck_assert_uint_le(p.last[other(counts)], (_i < 2 ? ntp(NOW) : ntp(7)) + 100);
    part(&p);
}
END_TEST

/* A counter of a peer counts only once all else is right. */
START_TEST(counters_of_messages_that_are_refused)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.counter = c->settings_r.counter = true;
    c->alice.host.counter_next = c->bob.host.counter_next = counter;
    c->alice.host.counter_check = c->bob.host.counter_check = count;
    struct pair p = keyed(c);
    struct mkt_message m;
    const struct mkt_cs unknown = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .spi = text("none")};
    const struct mkt_span init =
        make_update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    set_map(&m, &unknown, 1);
    expect_err("SPI", mkt_csb_take(c->r, forge(&p, &m)), MKT_E_SPI);
    ck_assert_uint_eq(c->bob.count[0], 1);
    take(&p, MKT_RESPONDER, init);
    ck_assert_uint_eq(c->bob.count[0], 2);
    take(&p, MKT_INITIATOR, make_answer(&p, MKT_RESPONDER, NULL));
    part(&p);
}
END_TEST

/* The seconds after which new keys must have come are those of the ticket policy (TRr). */
START_TEST(the_time_between_rekeyings)
{
    struct call *c = call_new(MKT_SUITE_256, _i == 0 ? "FGHJLMNO" : "HJLNO");
    c->policy.has_rekeying = true;
    c->policy.rekeying = ntp(3600);
    make_ticket(c);
    ck_assert(mkt_csb_rekey_interval(c->i) == 0 && mkt_csb_rekey_interval(c->r) == 0);
    mkt_csb_free(c->i);
    mkt_csb_free(c->r);
    mkt_ticket_free(c->ticket);
    struct pair p = keyed(c);
    ck_assert(mkt_csb_rekey_interval(c->i) == 3600 && mkt_csb_rekey_interval(c->r) == 3600);
    update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1},
           NULL);
    ck_assert(mkt_csb_rekey_interval(c->i) == 3600 && mkt_csb_rekey_interval(c->r) == 3600);
    part(&p);

    p = two(MKT_SUITE_256, "FGHJLMNO");
    ck_assert(mkt_csb_rekey_interval(p.c->i) == 0 && mkt_csb_rekey_interval(p.c->r) == 0);
    part(&p);
}
END_TEST

/* ---- updates that are not finished ---- */

START_TEST(an_update_that_its_maker_gives_up)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_span tek = tek_of(p.c->i, 1);
    const struct mkt_update u = {.size = sizeof u, .keys = &new_tgk, .n_keys = 1},
                            v = {.size = sizeof v, .keys = &other_tgk, .n_keys = 1};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_span init = make_update(&p, by, &u);
    ck_assert(knows(p.csb[by], new_tgk.key));
    expect_err("one at a time", mkt_csb_make_update(p.csb[by], &v, &out), MKT_E_STATE);
    mkt_csb_abandon(p.csb[by]);
    ck_assert(mkt_csb_ready(p.csb[by]) && !knows(p.csb[by], new_tgk.key));
    expect_octets("the old key counts", tek_of(p.csb[by], 1), tek);
    expect_same(&p, 1);
    /* the peer took it, and its answer comes late */
    take(&p, other(by), init);
    const struct mkt_span late = make_answer(&p, other(by), NULL);
    p.c->alice.now = p.c->bob.now = ntp(NOW + 1);
    expect_err("too late", mkt_csb_take(p.csb[by], late), MKT_E_DATA_TYPE);
    const struct mkt_span second = make_update(&p, by, &v);
    expect_err("too late", mkt_csb_take(p.csb[by], late), MKT_E_MAC);
    take(&p, other(by), second);
    take(&p, by, make_answer(&p, other(by), NULL));
    expect_same(&p, 1);
    expect_octets("key", key_of(p.csb[by], count_keys(p.csb[by]) - 1).key, other_tgk.key);
    part(&p);
}
END_TEST

START_TEST(an_update_that_its_taker_gives_up)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_span tek = tek_of(p.c->i, 1);
    const struct mkt_update u = {.size = sizeof u, .keys = &new_tgk, .n_keys = 1},
                            v = {.size = sizeof v, .keys = &other_tgk, .n_keys = 1};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_span init = make_update(&p, by, &u);
    take(&p, other(by), init);
    ck_assert(knows(p.csb[other(by)], new_tgk.key));
    expect_err("one at a time", mkt_csb_make_update(p.csb[other(by)], &v, &out), MKT_E_STATE);
    mkt_csb_abandon(p.csb[other(by)]);
    ck_assert(!mkt_csb_must_make(p.csb[other(by)], MKT_TRANSFER_RESP) && !knows(p.csb[other(by)], new_tgk.key));
    expect_octets("the old key counts", tek_of(p.csb[other(by)], 1), tek);
    expect_err("nothing to answer", mkt_csb_make_transfer_resp(p.csb[other(by)], NULL, &out), MKT_E_STATE);
    ck_assert_int_eq(mkt_err_class(mkt_csb_take(p.csb[other(by)], init)), MKT_CLASS_FRESHNESS);
    mkt_csb_abandon(p.csb[by]);
    expect_same(&p, 1);
    update(&p, other(by), &v, NULL);
    expect_same(&p, 1);
    update(&p, by, &u, NULL);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* Both ends begin at once: neither takes the other's; both give up, and one begins anew. */
START_TEST(updates_that_cross)
{
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_update u = {.size = sizeof u, .keys = &new_tgk, .n_keys = 1},
                            v = {.size = sizeof v, .keys = &other_tgk, .n_keys = 1};
    const struct mkt_span of_alice = make_update(&p, MKT_INITIATOR, &u);
    const struct mkt_span of_bob = make_update(&p, MKT_RESPONDER, &v);
    expect_err("alice", mkt_csb_take(p.c->i, of_bob), MKT_E_DATA_TYPE);
    expect_err("bob", mkt_csb_take(p.c->r, of_alice), MKT_E_DATA_TYPE);
    mkt_csb_abandon(p.c->i);
    mkt_csb_abandon(p.c->r);
    expect_same(&p, 1);
    update(&p, MKT_RESPONDER, &v, NULL);
    expect_same(&p, 1);
    expect_octets("key", key_of(p.c->i, 0).key, other_tgk.key);
    part(&p);
}
END_TEST

START_TEST(measured_and_for_small_buffers)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    const struct mkt_answer a = {.size = sizeof a, .keys = &one_tgk, .n_keys = 1};
    uint8_t octets[4096];
    struct mkt_buf measured = {NULL, 0, 0}, small = {octets, 0, 0};
    const struct mkt_span before = stored(p.csb[by]);
    expect_err("measure", mkt_csb_make_update(p.csb[by], &u, &measured), MKT_OK);
    small.cap = measured.n - 1;
    expect_err("small", mkt_csb_make_update(p.csb[by], &u, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 0);
    expect_octets("unchanged", stored(p.csb[by]), before);
    const struct mkt_span init = make_update(&p, by, &u);
    ck_assert_uint_eq(init.n, measured.n);

    take(&p, other(by), init);
    const struct mkt_span between = stored(p.csb[other(by)]);
    measured.n = 0;
    expect_err("measure", mkt_csb_make_transfer_resp(p.csb[other(by)], &a, &measured), MKT_OK);
    small.cap = measured.n - 1;
    expect_err("small", mkt_csb_make_transfer_resp(p.csb[other(by)], &a, &small), MKT_E_BUFFER);
    expect_octets("unchanged", stored(p.csb[other(by)]), between);
    const struct mkt_span resp = make_answer(&p, other(by), &a);
    ck_assert_uint_eq(resp.n, measured.n);
    take(&p, by, resp);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* The parts of an update that its maker would not take himself. */
START_TEST(updates_that_nobody_makes)
{
    static const uint8_t five[] = {5}, zeros[2] = {0};
    const enum mkt_role by = (enum mkt_role)_i;
    const struct mkt_key_wish mpk = {.size = sizeof mpk, .type = MKT_KEY_MPK},
                              small = {.size = sizeof small, .type = MKT_KEY_TGK, .length = 15};
    const struct mkt_key_wish large = {.size = sizeof large, .type = MKT_KEY_TGK, .length = 255};
    const struct mkt_cs two_alike[] = {tls_session(1), tls_session(1)};
    struct mkt_cs cs[4] = {tls_session(1), tls_session(1), tls_session(1), tls_session(1)};
    struct mkt_cs many[256];
    struct mkt_key_wish wishes[33];
    struct mkt_sp sp[16], sps[] = {{5, MKT_PROT_TLS, {NULL, 0}}, {5, MKT_PROT_TLS, {NULL, 0}}};
    struct call *c = roomy(255);
    c->settings_i.bundle_size = c->settings_r.bundle_size = 40000;
    struct pair p = keyed(c);
    for (size_t i = 0; i < 33; i++)
        wishes[i] = one_tgk;
    for (size_t i = 0; i < 16; i++)
        sp[i] = (struct mkt_sp){(uint8_t)(i + 10), MKT_PROT_TLS, {NULL, 0}};
    for (size_t i = 0; i < 256; i++)
        many[i] = tls_session((uint8_t)i);
    cs[0].spi = text("none");
    cs[1].policies = (struct mkt_span){five, 1};
    cs[2].prot_type = MKT_PROT_SRTP;
    cs[3].policies = (struct mkt_span){zeros, 2};
    const struct {
        const char *name;
        struct mkt_update u;
        enum mkt_err err;
    } updates[] = {
        {"an MPK", {.keys = &mpk, .n_keys = 1}, MKT_E_MPK},
        {"a short key", {.keys = &small, .n_keys = 1}, MKT_E_KEY_LENGTH},
        {"a key longer than the RANDs", {.keys = &large, .n_keys = 1}, MKT_E_RAND},
        {"33 keys", {.keys = wishes, .n_keys = 33}, MKT_E_ARGUMENT},
        {"an SPI of no key", {.cs = cs, .n_cs = 1}, MKT_E_SPI},
        {"a policy without SP", {.cs = cs + 1, .n_cs = 1}, MKT_E_SP},
        {"another Prot type", {.cs = cs + 2, .n_cs = 1}, MKT_E_PROT},
        {"a session twice", {.cs = two_alike, .n_cs = 2}, MKT_E_CS},
        {"two SPs of one number", {.cs = cs + 1, .n_cs = 1, .sp = sps, .n_sp = 2}, MKT_E_SP},
        {"16 SPs", {.sp = sp, .n_sp = 16}, MKT_E_TOO_MANY},
        {"256 sessions", {.cs = many, .n_cs = 256}, MKT_E_CS},
        {"no answer, and two policies", {.cs = cs + 3, .n_cs = 1, .no_answer = true}, MKT_E_SP},
        {"no answer, and no policy", {.cs = many + 9, .n_cs = 1, .no_answer = true}, MKT_E_SP},
    };
    const struct mkt_span before = stored(p.csb[by]);
    for (size_t i = 0; i < sizeof updates / sizeof *updates; i++) {
        uint8_t octets[16384];
        struct mkt_buf out = {octets, sizeof octets, 0};
        struct mkt_update u = updates[i].u;
        u.size = sizeof u;
        expect_err(updates[i].name, mkt_csb_make_update(p.csb[by], &u, &out), updates[i].err);
        ck_assert_uint_eq(out.n, 0);
        expect_octets(updates[i].name, stored(p.csb[by]), before);
    }
    /* and what just fits: 32 keys, 15 SPs, 255 sessions */
    uint8_t octets[16384];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_update most = {
        .size = sizeof most, .keys = wishes, .n_keys = 32, .sp = sp, .n_sp = 15, .cs = many, .n_cs = 255};
    expect_err("most", mkt_csb_make_update(p.csb[by], &most, &out), MKT_OK);
    take(&p, other(by), exact((struct mkt_span){octets, out.n}));
    out.n = 0;
    expect_err("most", mkt_csb_make_transfer_resp(p.csb[other(by)], NULL, &out), MKT_OK);
    take(&p, by, exact((struct mkt_span){octets, out.n}));
    ck_assert_uint_eq(mkt_csb_session_count(c->i), 255);
    ck_assert_uint_eq(mkt_csb_session_count(c->r), 255);
    expect_octets("TEK", tek_of(c->i, 254), tek_of(c->r, 254));
    part(&p);
}
END_TEST

/* The keys of an answer keep the rules too; and it says "a session key [...] for each crypto session". */
START_TEST(answers_that_nobody_makes)
{
    static const uint8_t five[] = {5};
    const enum mkt_role by = (enum mkt_role)_i;
    const struct mkt_key_wish mpk = {.size = sizeof mpk, .type = MKT_KEY_MPK},
                              large = {.size = sizeof large, .type = MKT_KEY_TGK, .length = 255};
    struct mkt_cs cs[4] = {tls_session(1), tls_session(1), tls_session(2), tls_session(2)};
    struct mkt_sp sps[] = {{5, MKT_PROT_TLS, {NULL, 0}}, {5, MKT_PROT_TLS, {NULL, 0}}}, sp[16];
    struct mkt_key_wish wishes[33];
    struct pair p = keyed(roomy(1));
    cs[0].spi = text("none");
    cs[1].policies = (struct mkt_span){five, 1};
    for (size_t i = 0; i < 33; i++)
        wishes[i] = one_tgk;
    for (size_t i = 0; i < 16; i++)
        sp[i] = (struct mkt_sp){(uint8_t)(i + 10), MKT_PROT_TLS, {NULL, 0}};
    const struct {
        const char *name;
        struct mkt_answer a;
        enum mkt_err err;
    } answers[] = {
        {"an MPK", {.keys = &mpk, .n_keys = 1}, MKT_E_MPK},
        {"a key longer than the RANDs", {.keys = &large, .n_keys = 1}, MKT_E_RAND},
        {"33 keys", {.keys = wishes, .n_keys = 33}, MKT_E_ARGUMENT},
        {"an SPI of no key", {.cs = cs, .n_cs = 1}, MKT_E_SPI},
        {"a policy without SP", {.cs = cs + 1, .n_cs = 1}, MKT_E_SP},
        {"one session too many", {.cs = cs + 2, .n_cs = 1}, MKT_E_CS},
        {"two SPs of one number", {.cs = cs + 1, .n_cs = 1, .sp = sps, .n_sp = 2}, MKT_E_SP},
        {"16 SPs", {.sp = sp, .n_sp = 16}, MKT_E_TOO_MANY},
    };
    take(&p, other(by), make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)}));
    const struct mkt_span before = stored(p.csb[other(by)]);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint8_t octets[16384];
        struct mkt_buf out = {octets, sizeof octets, 0};
        struct mkt_answer a = answers[i].a;
        a.size = sizeof a;
        expect_err(answers[i].name, mkt_csb_make_transfer_resp(p.csb[other(by)], &a, &out), answers[i].err);
        ck_assert_uint_eq(out.n, 0);
        expect_octets(answers[i].name, stored(p.csb[other(by)]), before);
    }
    take(&p, by, make_answer(&p, other(by), NULL));
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* Sessions that an answer adds are such as the other end can take: of its Prot type, and each but once. */
START_TEST(sessions_that_no_answer_adds)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct mkt_cs alike[] = {tls_session(2), tls_session(2)}, srtp = {.cs_id = 2, .prot_type = MKT_PROT_SRTP};
    struct pair p = keyed(roomy(3));
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    srtp.session_data = text("SSRC");
    take(&p, other(by), make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)}));
    expect_err(
        "another Prot type",
        mkt_csb_make_transfer_resp(
            p.csb[other(by)], &(struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = &srtp, .n_cs = 1}, &out),
        MKT_E_PROT);
    expect_err(
        "a session twice",
        mkt_csb_make_transfer_resp(
            p.csb[other(by)], &(struct mkt_answer){.size = sizeof(struct mkt_answer), .cs = alike, .n_cs = 2}, &out),
        MKT_E_CS);
    take(&p, by, make_answer(&p, other(by), NULL));
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* ---- who ---- */

static bool in_group(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    return mkt_span_equal(id->data, text("sip:bob@example.com")) &&
           mkt_span_equal(group->data, text("sip:help@example.com"));
}

/* The Responder of an update is who answered, not the group that was asked (D17). */
START_TEST(the_responder_is_who_answered)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->policy.responder[0] = mkt_id_uri("sip:help@example.com");
    c->offer.responder = mkt_id_uri("sip:help@example.com");
    c->alice.host.member = c->bob.host.member = in_group;
    struct pair p = keyed(c);
    const struct mkt_span init = make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    expect_octets("IDRr", payload_of(init, MKT_IDR, MKT_IDR_R).id.data, text("sip:bob@example.com"));
    expect_protected(&p, init);
    take(&p, other(by), init);
    take(&p, by, make_answer(&p, other(by), NULL));
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* "[IDRi], [IDRr]": a peer may leave them out, and they are those agreed on before. */
START_TEST(identities_left_out)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    struct mkt_message m;
    c->settings_i.leave_out_identities = c->settings_r.leave_out_identities = true;
    c->settings_r.peer = c->settings_i.self;
    struct pair p = keyed(c);
    /* an update of this library names both: nobody can send it back (below) */
    const struct mkt_span init = make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    ck_assert_str_eq(shape_of(init), by == MKT_INITIATOR ? "T, IDRi, IDRr, SP, V" : "T, IDRr, IDRi, SP, V");
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    take_out(&m, MKT_IDR, MKT_IDR_I);
    take_out(&m, MKT_IDR, MKT_IDR_R);
    mkt_csb_abandon(p.csb[by]);
    p.init = forge(&p, &m);
    take(&p, other(by), p.init);
    const struct mkt_span resp = make_answer(&p, other(by), NULL);
    ck_assert_str_eq(shape_of(resp), "T, V");
    expect_protected(&p, resp);
    part(&p);
}
END_TEST

/* Both ends protect with the same keys; what one has made it does not take as the other's. */
START_TEST(an_update_that_comes_back)
{
    const enum mkt_role by = (_i & 1) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    const bool answered = (_i & 2) == 0;
    struct pair p = two(MKT_SUITE_256, (_i & 4) != 0 ? "HJLNO" : "FGHJLMNO");
    const struct mkt_span init =
        make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = !answered});
    if (answered) {
        expect_err("while it waits", mkt_csb_take(p.csb[by], init), MKT_E_DATA_TYPE);
        mkt_csb_abandon(p.csb[by]);
    }
    const struct mkt_span before = stored(p.csb[by]);
    const size_t seen = p.player[by]->n_seen;
    expect_err("reflection", mkt_csb_take(p.csb[by], init), (_i & 4) != 0 ? MKT_E_UPDATE : MKT_E_REPLAY);
    /* without a cache, and without G, the order of the identities tells, as the library makes it */
    p.player[by]->host.replay = NULL;
    expect_err("reflection", mkt_csb_take(p.csb[by], init), MKT_E_UPDATE);
    expect_octets("unchanged", stored(p.csb[by]), before);
    ck_assert_uint_eq(p.player[by]->n_seen, seen);
    take(&p, other(by), init);
    if (answered)
        make_answer(&p, other(by), NULL);
    update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)}, NULL);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* ---- refused ---- */

/* What is spoiled of a message that was right; each is forged anew with the right keys. */
static const uint8_t an_spi[4] = "spi", a_number[] = {9}, two_numbers[] = {0, 9}, sp_params[] = {0x63, 1, 0};

static void ticket(const struct pair *p, struct mkt_message *m)
{
    struct mkt_payload *other = insert(m, MKT_TICKET);
    uint8_t data[1024];
    *other = payload_of(init_of(p->c), MKT_TICKET, 0);
    memcpy(data, other->ticket.ticket_data.p, other->ticket.ticket_data.n);
    data[0] ^= 1;
    other->ticket.ticket_data = exact((struct mkt_span){data, other->ticket.ticket_data.n});
}

static void randri(const struct pair *p, struct mkt_message *m)
{
    insert(m, MKT_RANDR)->rand = (struct mkt_rand){MKT_RANDR_I, exact((struct mkt_span){p->randi.p, p->randi.n - 1})};
}

static void randrr(const struct pair *p, struct mkt_message *m)
{
    insert(m, MKT_RANDR)->rand = (struct mkt_rand){MKT_RANDR_R, p->randi};
}

static void randrkms(const struct pair *p, struct mkt_message *m)
{
    insert(m, MKT_RANDR)->rand = (struct mkt_rand){MKT_RANDR_KMS, p->randi};
}

static void rand_payload(const struct pair *p, struct mkt_message *m)
{
    insert(m, MKT_RAND)->rand.rand = p->randi;
}

/* The T of the last message before this one. */
static void as_before(const struct pair *p, struct mkt_message *m)
{
    uint64_t *t = &find(m, MKT_T, 0)->t.value;
    ck_assert(*t == p->last[0] || *t == p->last[1]);
    *t = p->before[*t == p->last[0] ? 0 : 1];
}

static void long_before(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_T, 0)->t.value -= ntp(100);
}

static void stale(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_T, 0)->t.value = ntp(NOW - 301);
}

static void future(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_T, 0)->t.value = ntp(NOW + 301);
}

static void by_counter(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    find(m, MKT_T, 0)->t = (struct mkt_t){.ts_type = MKT_TS_COUNTER, .value = 100};
}

static void csb_id(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    m->hdr.csb_id ^= 1;
}

static void prf(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    m->hdr.prf ^= 1;
}

static void null_mac(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    m->payload[m->n - 1].v = (struct mkt_v){MKT_MAC_NULL, {NULL, 0}};
}

static void other_mac(const struct pair *p, struct mkt_message *m)
{
    const bool is_256 = p->c->policy.prf == MKT_PRF_HMAC_SHA_256;
    m->payload[m->n - 1].v = is_256 ? (struct mkt_v){MKT_MAC_HMAC_SHA_1_160, {NULL, 20}}
                                    : (struct mkt_v){MKT_MAC_HMAC_SHA_256_256, {NULL, 32}};
}

/* An identity in place of the one that is there, or one more. */
static void identify(struct mkt_message *m, uint8_t role, uint8_t type, const char *name)
{
    struct mkt_payload *idr = NULL;
    for (size_t i = 0; i < m->n; i++)
        if (m->payload[i].type == MKT_IDR && m->payload[i].id.role == role)
            idr = &m->payload[i];
    if (idr == NULL)
        idr = insert(m, MKT_IDR);
    idr->id = (struct mkt_id){role, type, text(name)};
}

static void another_initiator(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    identify(m, MKT_IDR_I, MKT_ID_URI, "sip:mallory@example.com");
}

static void another_responder(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    identify(m, MKT_IDR_R, MKT_ID_URI, "sip:mallory@example.com");
}

static void an_initiator_of_another_type(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    identify(m, MKT_IDR_I, MKT_ID_NAI, "sip:alice@example.com");
}

static void a_responder_of_another_type(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    identify(m, MKT_IDR_R, MKT_ID_NAI, "sip:bob@example.com");
}

static void kemac_with_mpk(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_payload keys[] = {key_payload(MKT_KEY_MPK, new_tgk.key, (struct mkt_span){an_spi, 4})};
    add_kemac(p, m, keys, 1);
}

static void kemac_with_mpk_too(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_payload keys[] = {key_payload(MKT_KEY_TGK, other_tgk.key, text("tgk")),
                                       key_payload(MKT_KEY_MPK, new_tgk.key, (struct mkt_span){an_spi, 4})};
    add_kemac(p, m, keys, 2);
}

static void kemac_with_an_spi_in_use(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_payload keys[] = {key_payload(MKT_KEY_TGK, new_tgk.key, spi_of(p->c->i, 1))};
    add_kemac(p, m, keys, 1);
}

static void kemac_with_an_spi_twice(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_payload keys[] = {key_payload(MKT_KEY_TGK, new_tgk.key, (struct mkt_span){an_spi, 4}),
                                       key_payload(MKT_KEY_TGK, other_tgk.key, (struct mkt_span){an_spi, 4})};
    add_kemac(p, m, keys, 2);
}

static void kemac_without_spi(const struct pair *p, struct mkt_message *m)
{
    struct mkt_payload key = key_payload(MKT_KEY_TGK, new_tgk.key, text(""));
    key.key_data.kv.type = MKT_KV_NULL;
    add_kemac(p, m, &key, 1);
}

static void kemac_with_a_short_key(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_payload keys[] = {
        key_payload(MKT_KEY_TGK, (struct mkt_span){new_octets, 15}, (struct mkt_span){an_spi, 4})};
    add_kemac(p, m, keys, 1);
}

static void kemac_with_a_long_key(const struct pair *p, struct mkt_message *m)
{
    static const uint8_t octets[65];
    const struct mkt_payload keys[] = {
        key_payload(MKT_KEY_TGK, (struct mkt_span){octets, 65}, (struct mkt_span){an_spi, 4})};
    add_kemac(p, m, keys, 1); /* RANDRi and RANDRr have 64 together */
}

static void kemac_without_keys(const struct pair *p, struct mkt_message *m)
{
    add_kemac(p, m, NULL, 0);
}

static void kemac_in_clear(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_payload key = key_payload(MKT_KEY_TGK, new_tgk.key, (struct mkt_span){an_spi, 4});
    add_kemac(p, m, &key, 1);
    find(m, MKT_KEMAC, 0)->kemac.encr_alg = MKT_ENCR_NULL;
}

static void kemac_by_key_wrap(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_payload key = key_payload(MKT_KEY_TGK, new_tgk.key, (struct mkt_span){an_spi, 4});
    add_kemac(p, m, &key, 1);
    find(m, MKT_KEMAC, 0)->kemac.encr_alg = MKT_ENCR_AES_KW_128;
}

static void kemac_with_a_mac(const struct pair *p, struct mkt_message *m)
{
    static const uint8_t mac[32];
    const struct mkt_payload key = key_payload(MKT_KEY_TGK, new_tgk.key, (struct mkt_span){an_spi, 4});
    add_kemac(p, m, &key, 1);
    find(m, MKT_KEMAC, 0)->kemac.mac_alg = MKT_MAC_HMAC_SHA_256_256;
    find(m, MKT_KEMAC, 0)->kemac.mac = (struct mkt_span){mac, 32};
}

static void spi_of_no_key(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs = first_cs(m);
    (void)p;
    cs.spi = (struct mkt_span){an_spi, 4};
    set_map(m, &cs, 1);
}

static void spi_of_the_mpk(const struct pair *p, struct mkt_message *m)
{
    struct mkt_key_data mpk = {0};
    struct mkt_cs cs = first_cs(m);
    ck_assert(mkt_keys_mpk(p->c->ticket->keys, 0, &mpk));
    cs.spi = exact(mpk.kv.spi);
    set_map(m, &cs, 1);
}

static void no_spi(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs = first_cs(m);
    (void)p;
    cs.spi.n = 0;
    set_map(m, &cs, 1);
}

static void a_session_more(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs[] = {first_cs(m), first_cs(m)};
    (void)p;
    cs[1].cs_id++;
    set_map(m, cs, 2);
}

static void another_session(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs = first_cs(m);
    (void)p;
    cs.cs_id++;
    set_map(m, &cs, 1);
}

static void a_session_twice(const struct pair *p, struct mkt_message *m)
{
    const struct mkt_cs cs[] = {first_cs(m), first_cs(m)};
    (void)p;
    set_map(m, cs, 2);
}

static void no_session(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    set_map(m, NULL, 0);
}

static void empty_map(const struct pair *p, struct mkt_message *m)
{
    no_session(p, m);
    m->hdr.map_type = MKT_MAP_EMPTY;
}

static void srtp_id_map(const struct pair *p, struct mkt_message *m)
{
    no_session(p, m);
    m->hdr.map_type = MKT_MAP_SRTP_ID;
}

static void another_prot_type(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs = first_cs(m);
    (void)p;
    cs.prot_type--;
    set_map(m, &cs, 1);
}

static void a_policy_without_sp(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs = first_cs(m);
    (void)p;
    cs.policies = (struct mkt_span){a_number, 1};
    set_map(m, &cs, 1);
}

static void no_policy(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs = first_cs(m);
    (void)p;
    cs.policies.n = 0;
    set_map(m, &cs, 1);
}

/* Adds an SP, which is the session's. */
static void give_sp(struct mkt_message *m, struct mkt_sp sp)
{
    struct mkt_cs cs = first_cs(m);
    insert(m, MKT_SP)->sp = sp;
    cs.policies = (struct mkt_span){a_number, 1};
    set_map(m, &cs, 1);
}

static void two_policies(const struct pair *p, struct mkt_message *m)
{
    struct mkt_cs cs = first_cs(m);
    (void)p;
    insert(m, MKT_SP)->sp = (struct mkt_sp){9, MKT_PROT_TLS, {NULL, 0}};
    cs.policies = (struct mkt_span){two_numbers, 2};
    set_map(m, &cs, 1);
}

static void an_sp_not_acceptable(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    give_sp(m, (struct mkt_sp){9, MKT_PROT_TLS, {sp_params, sizeof sp_params}});
}

static void an_sp_of_another_prot_type(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    give_sp(m, (struct mkt_sp){9, MKT_PROT_SRTP, {NULL, 0}});
}

static void two_sps_of_one_number(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    give_sp(m, (struct mkt_sp){9, MKT_PROT_TLS, {NULL, 0}});
    insert(m, MKT_SP)->sp = (struct mkt_sp){9, MKT_PROT_TLS, {NULL, 0}};
}

static void two_timestamps(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    insert(m, MKT_T)->t = find(m, MKT_T, 0)->t;
}

static void no_timestamp(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    take_out(m, MKT_T, 0);
}

static void no_mac(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    m->n--;
}

static void mac_before_the_end(const struct pair *p, struct mkt_message *m)
{
    (void)p;
    m->payload[m->n++] = (struct mkt_payload){.type = MKT_SP, .sp = {9, MKT_PROT_TLS, {NULL, 0}}};
}

static const struct spoiled {
    const char *name;
    void (*spoil)(const struct pair *, struct mkt_message *);
    enum mkt_err init, resp; /* MKT_OK: not of that message */
} spoiled[] = {
    /* "New RANDs or TICKETs MUST NOT be included." */
    {"TICKET", ticket, MKT_E_UPDATE, MKT_E_UPDATE},
    {"RANDRi", randri, MKT_E_UPDATE, MKT_E_UPDATE},
    {"RANDRr", randrr, MKT_E_UPDATE, MKT_E_UPDATE},
    {"RANDRkms", randrkms, MKT_E_UPDATE, MKT_E_UPDATE},
    {"RAND", rand_payload, MKT_E_UPDATE, MKT_E_UPDATE},
    /* "MUST use new timestamps" */
    {"T as before", as_before, MKT_E_STALE, MKT_E_STALE},
    {"T long before", long_before, MKT_E_STALE, MKT_E_STALE},
    {"stale", stale, MKT_E_STALE, MKT_E_STALE},
    {"future", future, MKT_E_FUTURE, MKT_E_FUTURE},
    {"a counter", by_counter, MKT_E_COUNTER, MKT_E_COUNTER},
    /* "MUST use the same CSB ID as the initial exchange" */
    {"CSB ID", csb_id, MKT_E_CSB_ID, MKT_E_CSB_ID},
    {"PRF", prf, MKT_E_PRF, MKT_E_PRF},
    {"NULL MAC", null_mac, MKT_E_MAC_ALG, MKT_E_MAC_ALG},
    {"MAC of the other suite", other_mac, MKT_E_MAC_ALG, MKT_E_MAC_ALG},
    /* D17 */
    {"another Initiator", another_initiator, MKT_E_INITIATOR, MKT_E_INITIATOR},
    {"another Responder", another_responder, MKT_E_RESPONDER, MKT_E_RESPONDER},
    {"an Initiator of another type", an_initiator_of_another_type, MKT_E_INITIATOR, MKT_E_INITIATOR},
    {"a Responder of another type", a_responder_of_another_type, MKT_E_RESPONDER, MKT_E_RESPONDER},
    /* "KEMAC = E(encr_key, (TEK|TGK|GTGK))", "SHALL use the NULL authentication algorithm" */
    {"an MPK", kemac_with_mpk, MKT_E_MPK, MKT_E_MPK},
    {"an MPK too", kemac_with_mpk_too, MKT_E_MPK, MKT_E_MPK},
    {"an SPI in use", kemac_with_an_spi_in_use, MKT_E_SPI, MKT_E_SPI},
    {"an SPI twice", kemac_with_an_spi_twice, MKT_E_SPI, MKT_E_SPI},
    {"a key without SPI", kemac_without_spi, MKT_E_SPI, MKT_E_SPI},
    {"a short key", kemac_with_a_short_key, MKT_E_KEY_LENGTH, MKT_E_KEY_LENGTH},
    {"a key longer than the RANDs", kemac_with_a_long_key, MKT_E_RAND, MKT_E_RAND},
    {"a KEMAC without keys", kemac_without_keys, MKT_E_MISSING, MKT_E_MISSING},
    {"a KEMAC in clear", kemac_in_clear, MKT_E_ENCR_ALG, MKT_E_ENCR_ALG},
    {"a KEMAC by key wrap", kemac_by_key_wrap, MKT_E_ENCR_ALG, MKT_E_ENCR_ALG},
    {"a KEMAC with a MAC", kemac_with_a_mac, MKT_E_KEMAC_MAC, MKT_E_KEMAC_MAC},
    /* 6.1.1 */
    {"an SPI of no key", spi_of_no_key, MKT_E_SPI, MKT_E_SPI},
    {"the SPI of the MPK", spi_of_the_mpk, MKT_E_SPI, MKT_E_SPI},
    {"no SPI", no_spi, MKT_OK, MKT_E_SPI},
    {"too many sessions", a_session_more, MKT_E_CS, MKT_E_CS},
    {"another session", another_session, MKT_E_CS, MKT_E_CS},
    {"a session twice", a_session_twice, MKT_E_CS, MKT_E_CS},
    {"no session", no_session, MKT_E_CS, MKT_E_CS},
    {"Empty map", empty_map, MKT_E_CS, MKT_E_CS},
    {"SRTP-ID map", srtp_id_map, MKT_E_BAD_MAP, MKT_E_BAD_MAP},
    {"another Prot type", another_prot_type, MKT_E_PROT, MKT_E_PROT},
    {"a policy without SP", a_policy_without_sp, MKT_E_SP, MKT_E_SP},
    {"no policy", no_policy, MKT_OK, MKT_E_SP},
    {"two policies", two_policies, MKT_OK, MKT_E_SP},
    {"an SP that is not acceptable", an_sp_not_acceptable, MKT_E_SP_PARAMETERS, MKT_E_SP_PARAMETERS},
    {"an SP of another Prot type", an_sp_of_another_prot_type, MKT_E_PROT, MKT_E_PROT},
    {"two SPs of one number", two_sps_of_one_number, MKT_E_SP, MKT_E_SP},
    /* shape */
    {"two T", two_timestamps, MKT_E_TOO_MANY, MKT_E_TOO_MANY},
    {"no T", no_timestamp, MKT_E_MISSING, MKT_E_MISSING},
    {"no V", no_mac, MKT_E_MISSING, MKT_E_MISSING},
    {"V before the end", mac_before_the_end, MKT_E_ORDER, MKT_E_ORDER},
};

/* Refused for its reason, and nothing has changed. */
static void expect_refused(struct pair *p, enum mkt_role who, const char *name, struct mkt_span wrong, enum mkt_err err)
{
    const struct mkt_span before = stored(p->csb[who]);
    const size_t seen = p->player[who]->n_seen;
    expect_err(name, mkt_csb_take(p->csb[who], wrong), err);
    ck_assert_int_eq(p->player[who]->logged, err);
    ck_assert_uint_eq(p->player[who]->n_seen, seen);
    expect_octets(name, stored(p->csb[who]), before);
}

/* One message, spoiled in each way. */
static void spoil_all(struct pair *p, enum mkt_role who, struct mkt_span right)
{
    for (size_t i = 0; i < sizeof spoiled / sizeof *spoiled; i++) {
        struct mkt_message m;
        expect_err("get", mkt_message_decode(&m, right), MKT_OK);
        const enum mkt_err err = m.hdr.data_type == MKT_TRANSFER_INIT ? spoiled[i].init : spoiled[i].resp;
        if (err == MKT_OK)
            continue;
        spoiled[i].spoil(p, &m);
        expect_refused(p, who, spoiled[i].name, forge(p, &m), err);
    }
}

/* The wrong ones are refused, the right one is taken afterwards; by both ends, in both messages, first and later. */
START_TEST(wrong_updates)
{
    const enum mkt_role by = (_i & 1) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    struct mkt_message m;
    if ((_i & 2) != 0)
        update(&p, other(by), &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1},
               NULL);
    const struct mkt_span tek = tek_of(p.c->i, 1),
                          init = make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    expect_octets("forging changes nothing", forge(&p, &m), init);
    spoil_all(&p, other(by), init);
    take(&p, other(by), init);
    const struct mkt_span resp = make_answer(&p, other(by), NULL);
    spoil_all(&p, by, resp);
    take(&p, by, resp);
    expect_same(&p, 1);
    expect_octets("TEK", tek_of(p.csb[by], 1), tek);
    part(&p);
}
END_TEST

/* Without answer there is nothing that is left open. */
START_TEST(wrong_updates_without_answer)
{
    static const struct spoiled open[] = {{"no SPI", no_spi, MKT_E_SPI, MKT_OK},
                                          {"no policy", no_policy, MKT_E_SP, MKT_OK},
                                          {"two policies", two_policies, MKT_E_SP, MKT_OK}};
    const enum mkt_role by = (_i & 1) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_span init =
        make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
    spoil_all(&p, other(by), init);
    for (size_t i = 0; i < 3; i++) {
        struct mkt_message m;
        expect_err("get", mkt_message_decode(&m, init), MKT_OK);
        open[i].spoil(&p, &m);
        expect_refused(&p, other(by), open[i].name, forge(&p, &m), open[i].init);
    }
    take(&p, other(by), init);
    expect_same(&p, 1);
    expect_err("replay", mkt_csb_take(p.csb[other(by)], init), MKT_E_STALE);
    part(&p);
}
END_TEST

/* In an update that will be answered, SPI and policy may be left open. */
START_TEST(what_an_update_may_leave_open)
{
    static void (*const open[])(const struct pair *, struct mkt_message *) = {no_spi, no_policy, two_policies};
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    for (size_t i = 0; i < 3; i++) {
        struct mkt_message m;
        expect_err("get",
                   mkt_message_decode(
                       &m, make_update(&p, MKT_INITIATOR, &(struct mkt_update){.size = sizeof(struct mkt_update)})),
                   MKT_OK);
        mkt_csb_abandon(p.c->i);
        open[i](&p, &m);
        p.init = forge(&p, &m);
        take(&p, MKT_RESPONDER, p.init);
        const struct mkt_span resp = make_answer(&p, MKT_RESPONDER, NULL);
        expect_err("get", mkt_message_decode(&m, resp), MKT_OK);
        ck_assert(first_cs(&m).spi.n > 0 && first_cs(&m).policies.n == 1);
    }
    part(&p);
}
END_TEST

/* The TICKET of the first exchange may be repeated. Without a replay cache the Initiator refuses it: it may be its own
 * TRANSFER_INIT (D21). */
START_TEST(a_ticket_that_is_repeated_without_a_replay_cache)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    struct mkt_message m;
    expect_err("get",
               mkt_message_decode(&m, make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)})),
               MKT_OK);
    *insert(&m, MKT_TICKET) = payload_of(init_of(p.c), MKT_TICKET, 0);
    const struct mkt_span with_ticket = forge(&p, &m);
    p.player[other(by)]->host.replay = NULL;
    expect_err("TICKET", mkt_csb_take(p.csb[other(by)], with_ticket), by == MKT_INITIATOR ? MKT_OK : MKT_E_UPDATE);
    part(&p);
}
END_TEST

/* Without F the Initiator keeps the ticket until the Responder updates. Octets that were damaged since name nobody. */
START_TEST(a_kept_policy_that_is_not_sound)
{
    enum { FLAGS = 5 }; /* octets of a TICKET from Ticket Type to the flags E to O */
    struct pair p = two(MKT_SUITE_256, "HJLNO");
    struct mkt_csb *copy = NULL;
    uint8_t octets[8192];
    const struct mkt_span whole = stored(p.c->i), ticket = payload_of(init_of(p.c), MKT_TICKET, 0).octets;
    const struct mkt_span init =
        make_update(&p, MKT_RESPONDER, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
    memcpy(octets, whole.p, whole.n);
    size_t at = 0;
    while (at + ticket.n < whole.n && memcmp(octets + at, ticket.p + 1, ticket.n - 1) != 0)
        at++;
    for (int damaged = 1; damaged >= 0; damaged--) {
        const uint8_t low = (uint8_t)(MKT_FLAG_L << 5), high = (uint8_t)(MKT_FLAG_L >> 3); /* "NOT D implies L" */
        octets[at + FLAGS] ^= high;
        octets[at + FLAGS + 1] ^= low;
        expect_err("load", mkt_csb_load(&copy, &p.c->alice.host, &p.c->settings_i, (struct mkt_span){octets, whole.n}),
                   MKT_OK);
        expect_err("update", mkt_csb_take(copy, init), damaged ? MKT_E_FLAGS : MKT_OK);
        ck_assert(damaged ? mkt_csb_peer(copy).data.n == 0 : mkt_csb_peer(copy).data.n > 0);
        mkt_csb_free(copy);
    }
    part(&p);
}
END_TEST

/* What no rule names is covered by the MAC and ignored (D13). */
START_TEST(unexpected_payloads_are_ignored)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    struct mkt_message m;
    expect_err("get",
               mkt_message_decode(&m, make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)})),
               MKT_OK);
    mkt_csb_abandon(p.csb[by]);
    insert(&m, MKT_GENERAL_EXT)->general_ext = (struct mkt_general_ext){MKT_EXT_VENDOR_ID, text("vendor")};
    insert(&m, MKT_ID)->id = mkt_id_uri("sip:mallory@example.com");
    take(&p, other(by), p.init = forge(&p, &m));
    part(&p);
}
END_TEST

/* 4.2.2.1, 5.2: "If indicated by the Ticket Policy (L and M flags), KEMAC payloads SHALL NOT be included." */
START_TEST(keys_that_the_policy_forbids)
{
    static const char *const flags[] = {"DFGHJNO", "DFGHJMNO", "DFGHJLNO"};
    const enum mkt_role by = (_i & 1) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    struct pair p = two(MKT_SUITE_256, flags[_i / 2]);
    const bool l = (p.c->policy.flags & MKT_FLAG_L) != 0, m_flag = (p.c->policy.flags & MKT_FLAG_M) != 0;
    const bool may[] = {l, m_flag};
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    const struct mkt_answer a = {.size = sizeof a, .keys = &one_tgk, .n_keys = 1};
    const struct mkt_payload key = key_payload(MKT_KEY_TGK, new_tgk.key, (struct mkt_span){an_spi, 4});
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_message m;
    if (!may[by])
        expect_err("update", mkt_csb_make_update(p.csb[by], &u, &out), MKT_E_KEMAC);
    const struct mkt_span init = make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    add_kemac(&p, &m, &key, 1);
    if (!may[by])
        expect_refused(&p, other(by), "update with KEMAC", forge(&p, &m), MKT_E_KEMAC);
    take(&p, other(by), init);
    if (!may[other(by)])
        expect_err("answer", mkt_csb_make_transfer_resp(p.csb[other(by)], &a, &out), MKT_E_KEMAC);
    const struct mkt_span resp = make_answer(&p, other(by), NULL);
    expect_err("get", mkt_message_decode(&m, resp), MKT_OK);
    add_kemac(&p, &m, &key, 1);
    if (!may[other(by)])
        expect_refused(&p, by, "answer with KEMAC", forge(&p, &m), MKT_E_KEMAC);
    take(&p, by, may[other(by)] ? forge(&p, &m) : resp);
    expect_same_tek(p.c, 1, 32);
    part(&p);
}
END_TEST

/*
 * "the TEK can generally not be shared between more than one Crypto Session": a session that is added can't have that
 * of one that stays as it is, but the answer may give it another.
 */
START_TEST(a_tek_of_two_sessions)
{
    const enum mkt_role by = (enum mkt_role)_i;
    const struct mkt_key_wish tek = {.size = sizeof tek, .type = MKT_KEY_TEK};
    struct call *c = roomy(2);
    struct mkt_message m;
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    c->recipe.keys = &tek;
    struct pair p = keyed(c);
    struct mkt_cs cs = tls_session(2);
    cs.spi = spi_of(c->i, 1);
    cs.policies = exact(session_of(c->i, 1).policies);
    expect_err("not made",
               mkt_csb_make_update(
                   p.csb[by],
                   &(struct mkt_update){.size = sizeof(struct mkt_update), .cs = &cs, .n_cs = 1, .no_answer = true},
                   &out),
               MKT_E_SPI);
    const struct mkt_span init =
        make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    set_map(&m, &cs, 1);
    expect_refused(&p, other(by), "shared", forge(&p, &m), MKT_E_SPI);
    take(&p, other(by), init);
    m.hdr.v = 1;
    find(&m, MKT_T, 0)->t.value++;
    p.init = forge(&p, &m);
    take(&p, other(by), p.init);
    expect_err("not answered", mkt_csb_make_transfer_resp(p.csb[other(by)], NULL, &out), MKT_E_SPI);
    make_answer(&p, other(by), &(struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = &tek, .n_keys = 1});
    ck_assert_uint_eq(mkt_csb_session_count(p.csb[other(by)]), 2);
    ck_assert(!mkt_span_equal(tek_of(p.csb[other(by)], 1), tek_of(p.csb[other(by)], 2)));
    part(&p);
}
END_TEST

/* Any single-bit flip and any truncation is refused, and the message is taken as it was made. */
static void flip_all(struct pair *p, enum mkt_role who, struct mkt_span right)
{
    uint8_t octets[1024];
    const struct mkt_span before = stored(p->csb[who]);
    ck_assert_uint_le(right.n, sizeof octets);
    memcpy(octets, right.p, right.n);
    for (size_t bit = 0; bit < 8 * right.n; bit++) {
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(mkt_csb_take(p->csb[who], (struct mkt_span){octets, right.n}) != MKT_OK, "bit %zu of octet %zu",
                      bit % 8, bit / 8);
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < right.n; n++)
        ck_assert_int_eq(mkt_err_class(mkt_csb_take(p->csb[who], exact((struct mkt_span){right.p, n}))),
                         MKT_CLASS_MALFORMED);
    expect_octets("unchanged", stored(p->csb[who]), before);
}

START_TEST(every_bit_counts)
{
    const enum mkt_suite suite = (_i & 1) != 0 ? MKT_SUITE_128 : MKT_SUITE_256;
    const enum mkt_role by = (_i & 2) != 0 ? MKT_RESPONDER : MKT_INITIATOR;
    struct pair p = two(suite, "FGHJLMNO");
    const struct mkt_span init =
        make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &one_tgk, .n_keys = 1});
    flip_all(&p, other(by), init);
    take(&p, other(by), init);
    const struct mkt_span resp = make_answer(
        &p, other(by), &(struct mkt_answer){.size = sizeof(struct mkt_answer), .keys = &one_tgk, .n_keys = 1});
    flip_all(&p, by, resp);
    take(&p, by, resp);
    expect_same(&p, 1);
    part(&p);
}
END_TEST

/* An answer is to one update: not to the first exchange, nor to another update. */
START_TEST(answers_to_something_else)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_span init = make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    take(&p, other(by), init);
    const struct mkt_span resp = make_answer(&p, other(by), NULL);
    take(&p, by, resp);
    expect_err("again", mkt_csb_take(p.csb[by], resp), MKT_OK);
    ck_assert(mkt_csb_repeated(p.csb[by]));
    make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update)});
    expect_refused(&p, by, "the one before", resp, MKT_E_MAC);
    const enum mkt_err err = mkt_csb_take(p.csb[by], exact(resp_of(p.c)));
    expect_err("of the first exchange", err, MKT_E_MAC); /* it repeats RANDRr */
    part(&p);
}
END_TEST

/* The host's replay cache is asked of updates too; that the host forgets does not help: T is no longer new. */
START_TEST(a_replayed_update)
{
    const enum mkt_role by = (enum mkt_role)_i;
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO");
    const size_t seen = p.player[other(by)]->n_seen;
    const struct mkt_span first =
        make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
    take(&p, other(by), first);
    ck_assert_uint_eq(p.player[other(by)]->n_seen, seen + 1);
    p.player[other(by)]->n_seen = 0;
    expect_refused(&p, other(by), "again", first, MKT_E_STALE);
    const struct mkt_span second =
        make_update(&p, by, &(struct mkt_update){.size = sizeof(struct mkt_update), .no_answer = true});
    const struct mkt_span before = stored(p.csb[other(by)]);
    take(&p, other(by), second);
    struct mkt_csb *earlier; /* the cache remembers for another copy of the bundle, too */
    const struct mkt_settings *settings = by == MKT_INITIATOR ? &p.c->settings_r : &p.c->settings_i;
    expect_err("read back", mkt_csb_load(&earlier, &p.player[other(by)]->host, settings, before), MKT_OK);
    expect_err("seen", mkt_csb_take(earlier, second), MKT_E_REPLAY);
    p.player[other(by)]->n_seen = 0;
    expect_err("not seen", mkt_csb_take(earlier, second), MKT_OK);
    mkt_csb_free(earlier);
    part(&p);
}
END_TEST

/* ---- before there is anything to update ---- */

START_TEST(before_the_bundle_is_ready)
{
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    struct pair p = two(MKT_SUITE_256, "FGHJLMNO"), q = {.c = call_new(MKT_SUITE_256, "FGHJLMNO")};
    const struct mkt_span of_another = make_update(&p, MKT_INITIATOR, &u);
    struct call *c = q.c;
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    c->alice.next_random = 500; /* not the octets of the other call */
    make_ticket(c);
    expect_err("Initiator, fresh", mkt_csb_make_update(c->i, &u, &out), MKT_E_STATE);
    expect_err("Responder, fresh", mkt_csb_make_update(c->r, &u, &out), MKT_E_STATE);
    expect_err("Initiator, fresh", mkt_csb_take_offer(c->i, of_another, mikey), MKT_E_STATE);
    expect_err("Responder, fresh", mkt_csb_take_offer(c->r, of_another, mikey), MKT_E_MISSING);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
    expect_err("Initiator, offered", mkt_csb_make_update(c->i, &u, &out), MKT_E_STATE);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("Responder, taken", mkt_csb_make_update(c->r, &u, &out), MKT_E_STATE);
    expect_err("Responder, taken", mkt_csb_take_offer(c->r, of_another, mikey), MKT_E_STATE);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    /* the Responder is ready, and faster than its own answer */
    expect_err("update", mkt_csb_make_update(c->r, &u, &out), MKT_OK);
    const struct mkt_span update_of_bob = exact((struct mkt_span){octets, out.n});
    expect_err("too early", mkt_csb_take_offer(c->i, update_of_bob, mikey), MKT_E_DATA_TYPE);
    finish(c);
    expect_err("now", mkt_csb_take(c->i, update_of_bob), MKT_OK);
    out.n = 0;
    expect_err("answer", mkt_csb_make_transfer_resp(c->i, NULL, &out), MKT_OK);
    expect_err("answer", mkt_csb_take(c->r, exact((struct mkt_span){octets, out.n})), MKT_OK);
    expect_same_tek(c, 1, 32);
    expect_err("Initiator, a second offer", mkt_csb_make_transfer_init(c->i, &c->offer, &out), MKT_E_STATE);
    expect_err("Responder, a second offer", mkt_csb_take(c->r, exact(init_of(c))), MKT_E_MAC);
    expect_err("of another bundle", mkt_csb_take(c->r, of_another), MKT_E_CSB_ID);
    mkt_csb_free(p.c->i);
    mkt_csb_free(p.c->r);
    mkt_ticket_free(p.c->ticket);
    free(p.c);
    part(&q);
}
END_TEST

START_TEST(a_kms_updates_nothing)
{
    struct play *p = play_new(MKT_SUITE_256, "DFGHJLMNO", false);
    const struct mkt_update u = {.size = sizeof u, .keys = &one_tgk, .n_keys = 1};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    play_until(p, ALICE_UPDATES);
    expect_err("make", mkt_csb_make_update(p->csb[KMS], &u, &out), MKT_E_STATE);
    expect_err("take", mkt_csb_take_offer(p->csb[KMS], play_make(p, ALICE_UPDATES), mikey), MKT_E_DATA_TYPE);
    play_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("update");
    TCase *tcase = tcase_create("right");
    tcase_add_loop_test(tcase, an_update, 0, 16);
    tcase_add_loop_test(tcase, keys_of_every_type, 0, 8);
    tcase_add_loop_test(tcase, keys_in_both_messages, 0, 2);
    tcase_add_loop_test(tcase, a_new_tgk_is_derived_with_the_old_rands, 0, 2);
    tcase_add_loop_test(tcase, updates_of_a_forked_bundle, 0, 2);
    tcase_add_loop_test(tcase, another_key_of_the_ticket, 0, 2);
    tcase_add_loop_test(tcase, an_update_of_nothing, 0, 8);
    tcase_add_loop_test(tcase, sessions_are_added, 0, 2);
    tcase_add_loop_test(tcase, sessions_are_added_by_the_answer, 0, 2);
    tcase_add_loop_test(tcase, sessions_are_updated_one_by_one_and_together, 0, 2);
    tcase_add_loop_test(tcase, fewer_new_keys_than_sessions, 0, 2);
    tcase_add_loop_test(tcase, policies_change, 0, 2);
    tcase_add_loop_test(tcase, policies_of_several_sessions, 0, 2);
    tcase_add_loop_test(tcase, a_policy_number_that_another_session_has, 0, 2);
    tcase_add_loop_test(tcase, a_thousand_updates, 0, 2);
    tcase_add_test(tcase, keys_that_nobody_uses);
    tcase_add_loop_test(tcase, timestamps_are_new, 0, 4);
    tcase_add_loop_test(tcase, the_first_word_of_the_responder, 0, 2);
    tcase_add_test(tcase, updates_in_the_year_2036);
    tcase_add_loop_test(tcase, the_low_bits_of_the_time_of_keys, 0, 4);
    tcase_add_loop_test(tcase, a_kemac_at_a_time_of_the_takers_own, 0, 2);
    tcase_add_test(tcase, timestamps_of_32_bits);
    tcase_add_test(tcase, updates_by_counters);
    tcase_add_loop_test(tcase, kemacs_by_counters_have_an_iv_each, 0, 2);
    tcase_add_loop_test(tcase, kemacs_by_counters_that_were_not_taken, 0, 2);
    tcase_add_loop_test(tcase, counters_of_kemacs_in_the_first_exchange, 0, 2);
    tcase_add_test(tcase, an_answer_with_the_counter_of_the_question);
    tcase_add_test(tcase, a_counter_that_is_far_behind);
    tcase_add_loop_test(tcase, a_clock_and_a_counter, 0, 4);
    tcase_add_test(tcase, counters_of_messages_that_are_refused);
    tcase_add_loop_test(tcase, the_time_between_rekeyings, 0, 2);
    tcase_add_loop_test(tcase, an_update_that_its_maker_gives_up, 0, 2);
    tcase_add_loop_test(tcase, an_update_that_its_taker_gives_up, 0, 2);
    tcase_add_test(tcase, updates_that_cross);
    tcase_add_loop_test(tcase, measured_and_for_small_buffers, 0, 2);
    tcase_add_loop_test(tcase, the_responder_is_who_answered, 0, 2);
    tcase_add_loop_test(tcase, identities_left_out, 0, 2);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("wrong");
    tcase_add_loop_test(tcase, updates_that_nobody_makes, 0, 2);
    tcase_add_loop_test(tcase, answers_that_nobody_makes, 0, 2);
    tcase_add_loop_test(tcase, sessions_that_no_answer_adds, 0, 2);
    tcase_add_loop_test(tcase, an_update_that_comes_back, 0, 8);
    tcase_add_loop_test(tcase, wrong_updates, 0, 4);
    tcase_add_loop_test(tcase, wrong_updates_without_answer, 0, 2);
    tcase_add_loop_test(tcase, a_ticket_that_is_repeated_without_a_replay_cache, 0, 2);
    tcase_add_test(tcase, a_kept_policy_that_is_not_sound);
    tcase_add_test(tcase, what_an_update_may_leave_open);
    tcase_add_loop_test(tcase, unexpected_payloads_are_ignored, 0, 2);
    tcase_add_loop_test(tcase, keys_that_the_policy_forbids, 0, 6);
    tcase_add_loop_test(tcase, a_tek_of_two_sessions, 0, 2);
    tcase_add_loop_test(tcase, every_bit_counts, 0, 4);
    tcase_add_loop_test(tcase, answers_to_something_else, 0, 2);
    tcase_add_loop_test(tcase, a_replayed_update, 0, 2);
    tcase_add_test(tcase, before_the_bundle_is_ready);
    tcase_add_test(tcase, a_kms_updates_nothing);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
