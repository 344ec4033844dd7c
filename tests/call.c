/* SPDX-License-Identifier: BSD-3-Clause */
#include "call.h"

#include "protect.h"
#include "ticket.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t tpk_octets[32] = "a ticket protection key of 256 b";
const struct mkt_span tpk = {tpk_octets, sizeof tpk_octets}, mikey = {(const uint8_t *)"mikey", 5};
static const struct mkt_span tpk128 = {tpk_octets, 16};
const struct mkt_key_wish one_tgk = {.size = sizeof one_tgk, .type = MKT_KEY_TGK};
const unsigned long NOW = 3960616022;

struct call *call_new(enum mkt_suite suite, const char *flags)
{
    struct call *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    struct mkt_span key = suite == MKT_SUITE_256 ? tpk : tpk128;
    player_init(&c->alice, ntp(NOW), key);
    player_init(&c->bob, ntp(NOW), key);
    c->bob.next_random = 5; /* not the octets that Alice draws */
    c->policy = mkt_policy_default(suite);
    expect_err("flags", mkt_flags_parse(&c->policy.flags, flags), MKT_OK);
    c->policy.initiator = mkt_id_uri("sip:alice@example.com");
    c->policy.responder[c->policy.n_responders++] = mkt_id_uri("sip:bob@example.com");
    mkt_settings_init(&c->settings_i, mkt_id_uri("sip:alice@example.com"));
    mkt_settings_init(&c->settings_r, mkt_id_uri("sip:bob@example.com"));
    c->recipe = (struct mkt_ticket_recipe){
        .size = sizeof(struct mkt_ticket_recipe), .policy = &c->policy, .tpk = key, .keys = &one_tgk, .n_keys = 1};
    mkt_offer_init(&c->offer);
    mkt_answer_init(&c->answer);
    c->offer.responder = mkt_id_uri("sip:bob@example.com");
    c->init_buf = (struct mkt_buf){c->init, sizeof c->init, 0};
    c->resp_buf = (struct mkt_buf){c->resp, sizeof c->resp, 0};
    return c;
}

void call_free(struct call *c)
{
    mkt_csb_free(c->i);
    mkt_csb_free(c->r);
    mkt_ticket_free(c->ticket);
    ck_assert_uint_eq(c->alice.live, 0);
    ck_assert_uint_eq(c->bob.live, 0);
    free(c);
    free_all();
}

struct mkt_span init_of(const struct call *c)
{
    return (struct mkt_span){c->init, c->init_buf.n};
}

struct mkt_span resp_of(const struct call *c)
{
    return (struct mkt_span){c->resp, c->resp_buf.n};
}

void make_ticket(struct call *c)
{
    expect_err("ticket", mkt_ticket_make(&c->ticket, &c->alice.host, &c->recipe), MKT_OK);
    c->offer.ticket = c->ticket;
    expect_err("Initiator", mkt_csb_new(&c->i, MKT_INITIATOR, &c->alice.host, &c->settings_i), MKT_OK);
    expect_err("Responder", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
}

void make_init(struct call *c)
{
    make_ticket(c);
    expect_err("TRANSFER_INIT", mkt_csb_make_transfer_init(c->i, &c->offer, &c->init_buf), MKT_OK);
}

void make_resp(struct call *c)
{
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("TRANSFER_RESP", mkt_csb_make_transfer_resp(c->r, &c->answer, &c->resp_buf), MKT_OK);
}

struct mkt_span tek_of(const struct mkt_csb *csb, uint8_t cs_id)
{
    uint8_t octets[MKT_CSB_SIZE];
    struct mkt_buf tek = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    expect_err("TEK", mkt_csb_tek(csb, cs_id, &tek), MKT_OK);
    expect_err("TEK", mkt_csb_tek(csb, cs_id, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, tek.n);
    struct mkt_buf small = {octets, tek.n - 1, 0};
    expect_err("TEK", mkt_csb_tek(csb, cs_id, &small), MKT_E_BUFFER);
    struct mkt_span copy = exact((struct mkt_span){octets, tek.n});
    return copy;
}

void expect_same_tek(const struct call *c, uint8_t cs_id, size_t length)
{
    ck_assert(mkt_csb_ready(c->i) && mkt_csb_ready(c->r));
    expect_octets("TEK of both ends", tek_of(c->i, cs_id), tek_of(c->r, cs_id));
    ck_assert_uint_eq(tek_of(c->i, cs_id).n, length);
    ck_assert_uint_eq(mkt_csb_id(c->i), mkt_csb_id(c->r));
}

void finish(struct call *c)
{
    expect_err("answer", mkt_csb_take(c->i, exact(resp_of(c))), MKT_OK);
}

void reseal(struct call *c, struct mkt_message *m, struct mkt_buf *out, bool response)
{
    static uint8_t octets[8192];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_key_data mpki = {0};
    const struct mkt_payload *randi = mkt_message_find(m, MKT_RANDR, MKT_RANDR_I),
                             *randr = mkt_message_find(m, MKT_RANDR, MKT_RANDR_R);
    struct mkt_protection by_mpki = {.suite = MKT_SUITE_256,
                                     .label = {.purpose = response ? MKT_PURPOSE_RESPONSE : MKT_PURPOSE_INITIAL}};
    struct mkt_message made;
    ck_assert(mkt_keys_mpk(c->ticket->keys, 0, &mpki));
    by_mpki.key = mpki.key;
    by_mpki.label.csb_id = m->hdr.csb_id;
    by_mpki.label.randi = response ? payload_of(init_of(c), MKT_RANDR, MKT_RANDR_I).rand.rand : randi->rand.rand;
    if (response && randr != NULL)
        by_mpki.label.randr = randr->rand.rand;
    expect_err("put", mkt_message_encode(m, &buf), MKT_OK);
    memcpy(out->p, octets, buf.n);
    out->n = buf.n;
    struct mkt_span whole = {out->p, out->n}, parts[4] = {{NULL, 0}};
    expect_err("get", mkt_message_decode(&made, whole), MKT_OK);
    mkt_message_covered(&made, whole, parts);
    parts[2] = response ? init_of(c) : text("sip:alice@example.com");
    parts[3] = response ? text("") : text("sip:bob@example.com");
    expect_err("MAC", mkt_protect_seal(&by_mpki, NULL, parts, 4, out->p + out->n - 32), MKT_OK);
}

struct mkt_payload *find(struct mkt_message *m, unsigned type, uint8_t role)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->payload[i].type == type && mkt_payload_role(&m->payload[i]) == role)
            return &m->payload[i];
    ck_abort_msg("no %s", mkt_payload_name(type));
    return NULL;
}
