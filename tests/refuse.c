/* SPDX-License-Identifier: BSD-3-Clause */
/* vectors/refuse.txt: `bytes` is refused for the reason that its class names, and the same object then takes `valid`. */
#include "player.h"

#include "exchange.h"
#include "request.h"

#include <stdlib.h>
#include <string.h>

static struct vectors all;
static size_t offers, answers, forked, grants, resolved;

static void load(void)
{
    all = vectors_read("refuse.txt");
}

static void unload(void)
{
    vectors_free(&all);
    free_all();
}

static enum mkt_class class_of(const struct section *s)
{
    static const struct {
        const char *name;
        enum mkt_class class;
    } classes[] = {{"malformed", MKT_CLASS_MALFORMED},
                   {"auth", MKT_CLASS_AUTH},
                   {"unsupported", MKT_CLASS_UNSUPPORTED},
                   {"policy", MKT_CLASS_POLICY},
                   {"freshness", MKT_CLASS_FRESHNESS}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(text_of(s, "class"), classes[i].name) == 0)
            return classes[i].class;
    ck_abort_msg("%s: no such class", text_of(s, "name"));
    return MKT_CLASS_OK;
}

/* First the wrong one, then the right one; nothing of the wrong one stays. */
static void expect_refused_of(struct player *p, struct mkt_csb *csb, const struct section *s, struct mkt_span bytes,
                              struct mkt_span valid)
{
    const char *name = text_of(s, "name");
    uint8_t before[8192], after[8192];
    struct mkt_buf was = {before, sizeof before, 0}, is = {after, sizeof after, 0};
    const size_t seen = p->n_seen;
    expect_err(name, mkt_csb_put(csb, &was), MKT_OK);
    enum mkt_err err = mkt_csb_take(csb, bytes, text("mikey"));
    ck_assert_msg(err != MKT_OK, "%s: is taken", name);
    ck_assert_msg(mkt_err_class(err) == class_of(s), "%s: %s is not of class %s", name, mkt_err_name(err),
                  text_of(s, "class"));
    ck_assert_int_eq(p->logged, err);
    ck_assert_uint_eq(p->n_seen, seen);
    expect_err(name, mkt_csb_put(csb, &is), MKT_OK);
    expect_octets(name, (struct mkt_span){after, is.n}, (struct mkt_span){before, was.n});
    ck_assert_uint_eq(mkt_csb_peer(csb).data.n, 0);
    expect_err(name, mkt_csb_take(csb, valid, text("mikey")), MKT_OK);
}

static void expect_refused(struct player *p, struct mkt_csb *csb, const struct section *s)
{
    expect_refused_of(p, csb, s, octets_of(s, "bytes"), octets_of(s, "valid"));
}

START_TEST(refuse_offer)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        struct player p;
        struct mkt_csb *csb = NULL;
        if (strcmp(s->name, "refuse-offer") != 0)
            continue;
        player_init(&p, ntp(number_of(s, "now")), octets_of(s, "tpk"));
        struct mkt_settings settings = mkt_settings_default(mkt_id_uri(text_of(s, "id_r")));
        expect_err(s->name, mkt_csb_new(&csb, MKT_RESPONDER, &p.host, &settings), MKT_OK);
        expect_refused(&p, csb, s);
        expect_octets(text_of(s, "name"), mkt_csb_peer(csb).data, text(text_of(s, "id_i")));
        mkt_csb_free(csb);
        ck_assert_uint_eq(p.live, 0);
        free_all();
        offers++;
    }
    ck_assert_uint_gt(offers, 0);
}
END_TEST

/* The ticket of an offer and its keys, as its holder has them: MPKi, MPKr where keys are forked, and the TGK. */
static struct mkt_ticket *ticket_of(struct player *p, const struct section *s, struct mkt_span init, bool has_mpkr)
{
    struct mkt_ticket_payload ticket = payload_of(init, MKT_TICKET, 0).ticket;
    struct mkt_span spi = octets_of(s, "spi");
    const uint8_t spis[2][4] = {{spi.p[0], spi.p[1], spi.p[2], (uint8_t)(spi.p[3] ^ 1)},
                                {spi.p[0], spi.p[1], spi.p[2], (uint8_t)(spi.p[3] ^ 2)}};
    struct mkt_payload keys[3] = {{.type = MKT_KEY_DATA}, {.type = MKT_KEY_DATA}, {.type = MKT_KEY_DATA}};
    const char *mpk[] = {"mpki", "mpkr"};
    size_t n = 0;
    for (; n < (has_mpkr ? 2u : 1u); n++)
        keys[n].key_data = (struct mkt_key_data){
            .type = MKT_KEY_MPK, .key = octets_of(s, mpk[n]), .kv = {.type = MKT_KV_SPI, .spi = {spis[n], 4}}};
    keys[n++].key_data = (struct mkt_key_data){
        .type = MKT_KEY_TGK, .key = octets_of(s, "tgk"), .kv = {.type = MKT_KV_SPI, .spi = spi}};
    ticket.initiator_data = (struct mkt_span){NULL, 0};
    const struct mkt_payload payload = {.type = MKT_TICKET, .ticket = ticket};
    uint8_t chain[512], octets[4096];
    struct mkt_buf chain_buf = {chain, sizeof chain, 0}, octets_buf = {octets, sizeof octets, 0};
    struct mkt_ticket *held = NULL;
    expect_err("keys", mkt_payloads_put(keys, n, &chain_buf), MKT_OK);
    expect_err("ticket", mkt_payloads_put(&payload, 1, &octets_buf), MKT_OK);
    struct mkt_span stored =
        stored_ticket((struct mkt_span){octets + 1, octets_buf.n - 3}, (struct mkt_span){chain, chain_buf.n});
    expect_err(text_of(s, "name"), mkt_ticket_get(&held, &p->host, stored), MKT_OK);
    return held;
}

START_TEST(refuse_answer)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        uint16_t flags = 0;
        if (strcmp(s->name, "refuse-answer") != 0)
            continue;
        expect_err("flags", mkt_flags_get(&flags, text_of(s, "flags")), MKT_OK);
        struct player p;
        struct mkt_csb *csb = NULL;
        struct mkt_span init = octets_of(s, "transfer_init");
        player_init(&p, payload_of(init, MKT_T, 0).t.value, octets_of(s, "tpk"));
        struct mkt_ticket *ticket = ticket_of(&p, s, init, (flags & MKT_FLAG_I) != 0);
        player_random(&p, from_hex(text_of(s, "csb_id")));
        player_random(&p, octets_of(s, "randi"));
        struct mkt_settings settings = mkt_settings_default(mkt_id_uri(text_of(s, "id_i")));
        const struct mkt_payload asked = payload_of(init, MKT_IDR, MKT_IDR_R);
        const struct mkt_offer offer = {.ticket = ticket, .responder = asked.id};
        uint8_t out[4096];
        struct mkt_buf buf = {out, sizeof out, 0};
        expect_err("new", mkt_csb_new(&csb, MKT_INITIATOR, &p.host, &settings), MKT_OK);
        expect_err(text_of(s, "name"), mkt_csb_make_transfer_init(csb, &offer, &buf), MKT_OK);
        expect_octets(text_of(s, "name"), (struct mkt_span){out, buf.n}, init);
        mkt_ticket_free(ticket);

        p.now = ntp(number_of(s, "now"));
        expect_refused(&p, csb, s);
        expect_octets(text_of(s, "name"), mkt_csb_peer(csb).data, text(text_of(s, "id_r")));
        mkt_csb_free(csb);
        ck_assert_uint_eq(p.live, 0);
        free_all();
        answers++;
    }
    ck_assert_uint_gt(answers, 0);
}
END_TEST

/* ---- Ticket Request ---- */

/* The random octets that make the same CSB ID and RAND. */
static void draw_like(struct player *p, struct mkt_span want, uint8_t role)
{
    player_random(p, (struct mkt_span){want.p + 4, 4});
    player_random(p, payload_of(want, MKT_RANDR, role).rand.rand);
}

START_TEST(refuse_request_resp)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (strcmp(s->name, "refuse-request-resp") != 0)
            continue;
        struct player p;
        const struct mkt_span init = octets_of(s, "init");
        const struct mkt_credential known = {mkt_id_uri(text_of(s, "id_kms")), {0}, octets_of(s, "psk")};
        struct mkt_settings settings = mkt_settings_default(mkt_id_uri(text_of(s, "id_i")));
        struct mkt_key_wish keys[MKT_MAX_KEYS];
        struct mkt_policy policy;
        struct mkt_request request = {.policy = &policy, .keys = keys};
        struct mkt_csb *csb = NULL;
        struct mkt_ticket *ticket = NULL;
        uint8_t out[4096];
        struct mkt_buf buf = {out, sizeof out, 0};
        player_init(&p, payload_of(init, MKT_T, 0).t.value, text(""));
        settings.kms = &known;
        draw_like(&p, init, MKT_RANDR_I);
        expect_err("TP", mkt_request_get(init, &policy, keys, &request.n_keys), MKT_OK);
        expect_err("new", mkt_csb_new(&csb, MKT_INITIATOR, &p.host, &settings), MKT_OK);
        expect_err(text_of(s, "name"), mkt_csb_make_request_init(csb, &request, &buf), MKT_OK);
        expect_octets(text_of(s, "name"), (struct mkt_span){out, buf.n}, init);

        p.now = ntp(number_of(s, "now"));
        expect_refused(&p, csb, s);
        expect_err(text_of(s, "name"), mkt_csb_ticket(csb, &ticket), MKT_OK);
        mkt_ticket_free(ticket);
        mkt_csb_free(csb);
        ck_assert_uint_eq(p.live, 0);
        free_all();
        grants++;
    }
    ck_assert_uint_gt(grants, 0);
}
END_TEST

/* ---- Ticket Resolve ---- */

START_TEST(refuse_resolve_resp)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (strcmp(s->name, "refuse-resolve-resp") != 0)
            continue;
        struct player p;
        const struct mkt_span init = octets_of(s, "init");
        const struct mkt_credential known = {mkt_id_uri(text_of(s, "id_kms")), {0}, octets_of(s, "psk")};
        struct mkt_settings settings = mkt_settings_default(mkt_id_uri(text_of(s, "id_r")));
        struct mkt_csb *csb = NULL;
        uint8_t out[4096];
        struct mkt_buf buf = {out, sizeof out, 0};
        player_init(&p, payload_of(init, MKT_T, 0).t.value, text(""));
        settings.kms = &known;
        draw_like(&p, init, MKT_RANDR_R);
        expect_err("new", mkt_csb_new(&csb, MKT_RESPONDER, &p.host, &settings), MKT_OK);
        expect_err("offer", mkt_csb_take(csb, octets_of(s, "transfer_init"), text("mikey")), MKT_OK);
        expect_err(text_of(s, "name"), mkt_csb_make_resolve_init(csb, &buf), MKT_OK);
        expect_octets(text_of(s, "name"), (struct mkt_span){out, buf.n}, init);

        p.now = ntp(number_of(s, "now"));
        expect_refused(&p, csb, s);
        expect_octets(text_of(s, "name"), mkt_csb_peer(csb).data, text(text_of(s, "id_i")));
        mkt_csb_free(csb);
        ck_assert_uint_eq(p.live, 0);
        free_all();
        resolved++;
    }
    ck_assert_uint_gt(resolved, 0);
}
END_TEST

/* ---- key forking ---- */

/* A RESOLVE_INIT with the ticket of an offer, whatever is wrong with that, under the key of the Responder. */
static struct mkt_span resolve_init_of(struct player *p, const struct section *s, struct mkt_span offer)
{
    static const uint8_t randr[32] = {1};
    const struct mkt_id self = mkt_id_uri(text_of(s, "id_r")), kms = mkt_id_uri(text_of(s, "id_kms"));
    const struct mkt_credential known = {kms, {0}, octets_of(s, "psk_r")};
    struct mkt_settings settings = mkt_settings_default(self);
    struct mkt_message m;
    uint8_t out[4096], room[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    struct mkt_span octets;
    settings.kms = &known;
    struct mkt_act act = {
        .host = &p->host, .settings = &settings, .room = {room, sizeof room, 0}, .out = &buf};
    act.bundle.suite = number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256;
    expect_err("HDR", mkt_begin(&act, &m, MKT_RESOLVE_INIT_PSK, 0x12345678), MKT_OK);
    mkt_add_randr(&m, MKT_RANDR_R, (struct mkt_span){randr, sizeof randr});
    mkt_add_idr(&m, MKT_IDR_R, &self);
    mkt_add_idr(&m, MKT_IDR_KMS, &kms);
    *mkt_message_add(&m, MKT_TICKET) = payload_of(offer, MKT_TICKET, 0);
    expect_err("seal", mkt_seal_for_kms(&act, &m, &self, &octets), MKT_OK);
    return exact(octets);
}

static void refused_by_kms(struct player *p, const struct section *s)
{
    struct mkt_settings settings = mkt_settings_default(mkt_id_uri(text_of(s, "id_kms")));
    struct mkt_csb *csb = NULL;
    p->friend[p->n_friends++] = (struct friend){{0}, mkt_id_uri(text_of(s, "id_r")), octets_of(s, "psk_r"), false};
    expect_err("new", mkt_csb_new(&csb, MKT_KMS, &p->host, &settings), MKT_OK);
    expect_refused_of(p, csb, s, resolve_init_of(p, s, octets_of(s, "bytes")),
                      resolve_init_of(p, s, octets_of(s, "valid")));
    mkt_csb_free(csb);
}

static void refused_by_responder(struct player *p, const struct section *s)
{
    const struct mkt_credential known = {mkt_id_uri(text_of(s, "id_kms")), {0}, octets_of(s, "psk_r")};
    struct mkt_settings settings = mkt_settings_default(mkt_id_uri(text_of(s, "id_r")));
    struct mkt_csb *csb = NULL;
    settings.kms = &known;
    expect_err("new", mkt_csb_new(&csb, MKT_RESPONDER, &p->host, &settings), MKT_OK);
    expect_refused(p, csb, s);
    ck_assert(mkt_csb_owes(csb, MKT_RESOLVE_INIT_PSK));
    mkt_csb_free(csb);
}

START_TEST(refuse_offer_forked)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        struct player p;
        if (strcmp(s->name, "refuse-offer-forked") != 0)
            continue;
        player_init(&p, ntp(number_of(s, "now")), octets_of(s, "tpk"));
        if (strcmp(text_of(s, "refuser"), "kms") == 0)
            refused_by_kms(&p, s);
        else
            refused_by_responder(&p, s);
        ck_assert_uint_eq(p.live, 0);
        free_all();
        forked++;
    }
    ck_assert_uint_gt(forked, 0);
}
END_TEST

START_TEST(every_section_is_run)
{
    ck_assert_uint_eq(offers + answers + forked + grants + resolved, all.n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refuse");
    TCase *tcase = tcase_create("refuse");
    tcase_add_unchecked_fixture(tcase, load, unload);
    tcase_add_test(tcase, refuse_offer);
    tcase_add_test(tcase, refuse_answer);
    tcase_add_test(tcase, refuse_request_resp);
    tcase_add_test(tcase, refuse_resolve_resp);
    tcase_add_test(tcase, refuse_offer_forked);
    tcase_add_test(tcase, every_section_is_run);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
