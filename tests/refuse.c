/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vectors/refuse.txt: `bytes` is refused for the reason that its class names, and the same object then takes `valid`.
 * What a KMS, or a party that asked one, refuses is passed over by name.
 */
#include "player.h"

#include <stdlib.h>
#include <string.h>

static struct vectors all;
static size_t offers, answers;

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
static void expect_refused(struct player *p, struct mkt_csb *csb, const struct section *s)
{
    const char *name = text_of(s, "name");
    bool owes = mkt_csb_owes_response(csb), ready = mkt_csb_ready(csb);
    uint32_t id = mkt_csb_id(csb);
    enum mkt_err err = mkt_csb_take(csb, octets_of(s, "bytes"), text("mikey"));
    ck_assert_msg(err != MKT_OK, "%s: is taken", name);
    ck_assert_msg(mkt_err_class(err) == class_of(s), "%s: %s is not of class %s", name, mkt_err_name(err),
                  text_of(s, "class"));
    ck_assert_int_eq(p->logged, err);
    ck_assert_uint_eq(p->n_seen, 0);
    ck_assert(mkt_csb_owes_response(csb) == owes && mkt_csb_ready(csb) == ready && mkt_csb_id(csb) == id);
    ck_assert_uint_eq(mkt_csb_peer(csb).data.n, 0);
    expect_err(name, mkt_csb_take(csb, octets_of(s, "valid"), text("mikey")), MKT_OK);
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

/* The ticket of an offer and its keys, as its holder has them: MPKi and the TGK. */
static struct mkt_ticket *ticket_of(struct player *p, const struct section *s, struct mkt_span init)
{
    const struct mkt_ticket_payload ticket = payload_of(init, MKT_TICKET, 0).ticket;
    struct mkt_span spi = octets_of(s, "spi");
    const uint8_t mpk_spi[] = {spi.p[0], spi.p[1], spi.p[2], (uint8_t)(spi.p[3] ^ 1)};
    const struct mkt_payload keys[] = {
        {.type = MKT_KEY_DATA,
         .key_data = {.type = MKT_KEY_MPK,
                      .key = octets_of(s, "mpki"),
                      .kv = {.type = MKT_KV_SPI, .spi = {mpk_spi, 4}}}},
        {.type = MKT_KEY_DATA,
         .key_data = {.type = MKT_KEY_TGK, .key = octets_of(s, "tgk"), .kv = {.type = MKT_KV_SPI, .spi = spi}}},
    };
    const struct mkt_payload payload = {.type = MKT_TICKET, .ticket = ticket};
    uint8_t chain[512], octets[4096];
    struct mkt_buf chain_buf = {chain, sizeof chain, 0}, octets_buf = {octets, sizeof octets, 0};
    struct mkt_ticket *held = NULL;
    expect_err("keys", mkt_payloads_put(keys, 2, &chain_buf), MKT_OK);
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
        if ((flags & MKT_FLAG_I) != 0)
            continue; /* key forking: needs the KMS */
        struct player p;
        struct mkt_csb *csb = NULL;
        struct mkt_span init = octets_of(s, "transfer_init");
        player_init(&p, payload_of(init, MKT_T, 0).t.value, octets_of(s, "tpk"));
        struct mkt_ticket *ticket = ticket_of(&p, s, init);
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

START_TEST(every_section_is_run)
{
    static const char *const kms[] = {"refuse-offer-forked", "refuse-request-resp", "refuse-resolve-resp"};
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        bool known = strcmp(s->name, "refuse-offer") == 0 || strcmp(s->name, "refuse-answer") == 0;
        for (size_t k = 0; k < sizeof kms / sizeof *kms; k++)
            known |= strcmp(s->name, kms[k]) == 0;
        ck_assert_msg(known, "no test runs [%s]", s->name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refuse");
    TCase *tcase = tcase_create("refuse");
    tcase_add_unchecked_fixture(tcase, load, unload);
    tcase_add_test(tcase, refuse_offer);
    tcase_add_test(tcase, refuse_answer);
    tcase_add_test(tcase, every_section_is_run);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
