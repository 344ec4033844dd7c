/* SPDX-License-Identifier: BSD-3-Clause */
/* vectors/allow.txt: what RFC 6043 allows is taken, and answered as its head says; its controls stay as they are. */
#include "cases.h"

#include "exchange.h"
#include "initiator_data.h"

#include <stdlib.h>
#include <string.h>

/* ---- what must hold afterwards ---- */

static void expect_peer(const struct actor *a, const struct section *s)
{
    const struct mkt_id peer = mkt_csb_peer(a->csb);
    expect_octets("peer", peer.data, text(text_of(s, "peer")));
    ck_assert_uint_eq(peer.type, MKT_ID_URI);
    if (a->player.host.authorise == NULL)
        return;
    expect_octets("authorised", a->authorised.data, peer.data);
    ck_assert_uint_eq(a->authorised.type, peer.type);
}

static void expect_tek(const struct actor *a, const struct section *s)
{
    uint8_t out[MKT_MAX_TEK];
    struct mkt_buf tek = {out, sizeof out, 0};
    expect_err("tek", mkt_csb_tek(a->csb, 1, &tek), MKT_OK);
    expect_octets("tek", (struct mkt_span){out, tek.n}, octets_of(s, "tek"));
}

static void expect_key(const char *what, const struct mkt_key_data *got, const struct mkt_key_data *want)
{
    ck_assert_msg(got->type == want->type, "%s: of type %u, not %u", what, got->type, want->type);
    expect_octets(what, got->key, want->key);
    expect_octets(what, got->salt, want->salt);
    expect_octets("SPI", got->kv.spi, want->kv.spi);
}

/* The session keys that the bundle has are those of a chain, in this order. */
static void expect_session_keys(const struct actor *a, struct mkt_span chain)
{
    struct mkt_keys keys = mkt_keys_of(chain);
    struct mkt_key_data got, want;
    size_t n = 0;
    for (; mkt_keys_next_session(&keys, &want); n++) {
        expect_err("session key", mkt_csb_key(a->csb, n, &got), MKT_OK);
        expect_key("session key", &got, &want);
    }
    expect_err("keys", keys.err, MKT_OK);
    expect_err("session key", mkt_csb_key(a->csb, n, &got), MKT_E_NO_SESSION);
}

/* The TRANSFER_RESP with `randr`. */
static struct mkt_span answers(struct actor *a, const struct section *s)
{
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    ck_assert(mkt_csb_must_make(a->csb, MKT_TRANSFER_RESP));
    player_random(&a->player, octets_of(s, "randr"));
    expect_err("TRANSFER_RESP", mkt_csb_make_transfer_resp(a->csb, NULL, &buf), MKT_OK);
    return exact((struct mkt_span){out, buf.n});
}

/* A payload of the text or hex that a field has, or none. */
static void expect_payload(const struct section *s, const char *field, struct mkt_span message, unsigned type,
                           uint8_t role)
{
    struct mkt_message m;
    expect_err("message", mkt_message_decode(&m, message), MKT_OK);
    const struct mkt_payload *p = mkt_message_find(&m, type, role);
    if (strcmp(text_of(s, field), "-") == 0) {
        ck_assert_msg(p == NULL || type == MKT_IDR, "%s: is there", field);
        return;
    }
    ck_assert_msg(p != NULL, "%s: is not there", field);
    if (type == MKT_IDR)
        expect_octets(field, p->id.data, text(text_of(s, field)));
    else
        expect_octets(field, p->rand.rand, octets_of(s, field));
}

/* ---- Ticket Request at the Initiator ---- */

/* The Initiator has MPKi, and with key forking MPKr. */
static void expect_mpks(const struct section *s, struct mkt_span keys, bool forked)
{
    const struct mkt_span mpki = octets_of(s, "mpki"), mpkr = octets_of(s, "mpkr");
    struct mkt_key_data mpk = {0};
    ck_assert_msg(mkt_keys_mpk(keys, 0, &mpk), "mpki: is not there");
    expect_octets("mpki", mpk.key, mpki);
    ck_assert_msg(mkt_keys_mpk(keys, 1, &mpk) == forked, "mpkr: is there, or not, against the I flag");
    if (forked)
        expect_octets("mpkr", mpk.key, mpkr);
}

/* With the ticket that was granted it begins. */
static void begin_with(struct actor *a, const struct section *s, struct mkt_ticket *ticket)
{
    const struct mkt_span want = octets_of(s, "transfer_init");
    const struct mkt_offer offer = {
        .size = sizeof offer, .ticket = ticket, .responder = mkt_id_uri(text_of(s, "asked"))};
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    player_random(&a->player, from_hex(text_of(s, "csb_id")));
    player_random(&a->player, octets_of(s, "randi"));
    a->player.now = payload_of(want, MKT_T, 0).t.value;
    expect_err("transfer_init", mkt_csb_make_transfer_init(a->csb, &offer, &buf), MKT_OK);
    expect_octets("transfer_init", (struct mkt_span){out, buf.n}, want);
}

static void allow_request_resp(struct actor *a, const struct section *s)
{
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy policy;
    uint16_t flags = 0;
    uint8_t out[8192];
    struct mkt_buf buf = {out, sizeof out, 0};
    const struct mkt_span keys = octets_of(s, "keys");
    actor_begin(a, s, MKT_INITIATOR);
    actor_requests(a, s);
    actor_takes(a, s, "bytes");
    expect_err("ticket", mkt_csb_take_ticket(a->csb, &ticket), MKT_OK);
    expect_err("policy", mkt_ticket_policy(ticket, &policy), MKT_OK);
    expect_err("flags", mkt_flags_parse(&flags, text_of(s, "flags")), MKT_OK);
    ck_assert_uint_eq(policy.flags, flags);
    ck_assert_uint_eq((policy.flags & MKT_FLAG_K) != 0, number_of(s, "k"));
    expect_err("put", mkt_ticket_save(ticket, &buf), MKT_OK);
    expect_octets("ticket", (struct mkt_span){out, buf.n}, stored_ticket(octets_of(s, "ticket"), keys));
    expect_mpks(s, keys, (flags & MKT_FLAG_I) != 0);
    begin_with(a, s, ticket);
    mkt_ticket_free(ticket);
}

/* ---- Ticket Transfer and Ticket Resolve at the Responder ---- */

static void allow_offer(struct actor *a, const struct section *s)
{
    const bool suspended = strcmp(text_of(s, "then"), "suspended") == 0;
    struct mkt_cs cs;
    actor_begin(a, s, MKT_RESPONDER);
    actor_takes(a, s, "bytes");
    ck_assert(suspended || strcmp(text_of(s, "then"), "answers") == 0);
    ck_assert_uint_eq(mkt_csb_must_make(a->csb, MKT_RESOLVE_INIT_PSK), suspended);
    ck_assert_uint_eq(mkt_csb_must_make(a->csb, MKT_TRANSFER_RESP), !suspended);
    if (!suspended) {
        expect_peer(a, s);
        answers(a, s);
        expect_tek(a, s);
        expect_err("session", mkt_csb_session_at(a->csb, 0, &cs), MKT_OK);
        if (value_of(s, "policy_no") != NULL)
            ck_assert_uint_eq(cs.policies.p[0], number_of(s, "policy_no"));
    }
}

static void allow_resolve_resp(struct actor *a, const struct section *s)
{
    const struct mkt_span want = octets_of(s, "transfer_resp");
    actor_begin(a, s, MKT_RESPONDER);
    actor_takes(a, s, "transfer_init");
    actor_resolves(a, s);
    actor_takes(a, s, "bytes");
    expect_peer(a, s);
    expect_session_keys(a, octets_of(s, "keys"));
    a->player.now = payload_of(want, MKT_T, 0).t.value;
    const struct mkt_span resp = answers(a, s);
    expect_payload(s, "copy_idrr", resp, MKT_IDR, MKT_IDR_R);
    expect_payload(s, "copy_randkms", resp, MKT_RANDR, MKT_RANDR_KMS);
    expect_octets("transfer_resp", resp, want);
    expect_tek(a, s);
}

/* ---- Ticket Transfer at the Initiator ---- */

static void allow_answer(struct actor *a, const struct section *s)
{
    actor_begin(a, s, MKT_INITIATOR);
    actor_offers(a, s);
    actor_takes(a, s, "bytes");
    expect_peer(a, s);
    expect_tek(a, s);
}

/* ---- the KMS ---- */

/* What the KEMAC of an answer of the KMS has, for the one who asked by `bytes`. */
static struct mkt_span keys_in(const struct section *s, struct mkt_span answer)
{
    const struct mkt_kemac kemac = payload_of(answer, MKT_KEMAC, 0).kemac;
    const enum mkt_suite suite = number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256;
    struct mkt_message init;
    uint8_t out[4096];
    ck_assert_uint_le(kemac.encr_data.n, sizeof out);
    expect_err("question", mkt_message_decode(&init, octets_of(s, "bytes")), MKT_OK);
    struct mkt_txn txn = {.bundle = {.suite = suite}};
    mkt_psk_protection(&txn, octets_of(s, "psk"), &init, MKT_PURPOSE_RESPONSE, (struct mkt_span){NULL, 0},
                       (struct mkt_span){NULL, 0});
    crypt_kemac(&txn.protection, txn.protection.label.csb_id, payload_of(answer, MKT_T, 0).t.value, kemac.encr_data, out);
    return exact((struct mkt_span){out, kemac.encr_data.n});
}

/* A list of keys: TYPE:LENGTH:SPI or TYPE:KEY:SPI; the SPI is `*`, or an interval FROM-TO. */
struct listed {
    unsigned long type;
    char key[260], spi[64];
};

static size_t listed(const char *list, struct listed keys[MKT_MAX_KEYS])
{
    size_t n = 0;
    int used = 0;
    if (strcmp(list, "-") == 0)
        return 0;
    for (const char *at = list; *at != '\0'; at += used, n++) {
        ck_assert_uint_lt(n, MKT_MAX_KEYS);
        ck_assert_msg(sscanf(at, " %lu:%259[0-9a-f]:%63[-*0-9a-f]%n", &keys[n].type, keys[n].key, keys[n].spi, &used) ==
                          3,
                      "no list of keys: %s", at);
    }
    return n;
}

static bool is_spi(const struct mkt_kv *kv, const char *spi)
{
    char from[64] = "", to[64] = "";
    if (strcmp(spi, "*") == 0)
        return kv->type == MKT_KV_SPI && kv->spi.n > 0;
    if (sscanf(spi, "%63[0-9a-f]-%63[0-9a-f]", from, to) == 1)
        return kv->type == MKT_KV_SPI && mkt_span_equal(kv->spi, from_hex(spi));
    return kv->type == MKT_KV_INTERVAL && mkt_span_equal(kv->from, from_hex(from)) &&
           mkt_span_equal(kv->to, from_hex(to));
}

/* Whether the session keys of a chain are those of a list. */
static bool are_listed(struct mkt_span chain, const char *list)
{
    struct listed want[MKT_MAX_KEYS];
    const size_t n = listed(list, want);
    struct mkt_keys keys = mkt_keys_of(chain);
    struct mkt_key_data key;
    size_t i = 0;
    for (; mkt_keys_next_session(&keys, &key); i++)
        if (i == n || key.type != want[i].type || key.key.n != strtoul(want[i].key, NULL, 10) ||
            !is_spi(&key.kv, want[i].spi))
            return false;
    expect_err("keys", keys.err, MKT_OK);
    return i == n;
}

/* The ticket that the KMS decides to grant, and the REQUEST_RESP. */
static struct mkt_span grants(struct actor *kms, const struct section *s, const char *list)
{
    struct listed wanted[MKT_MAX_KEYS];
    struct mkt_key_wish wishes[MKT_MAX_KEYS];
    struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = octets_of(s, "tpk")};
    struct mkt_ticket *ticket = NULL;
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    if (strcmp(list, "as-asked") != 0) {
        recipe.n_keys = listed(list, wanted);
        recipe.keys = wishes;
    }
    for (size_t i = 0; i < recipe.n_keys; i++) {
        wishes[i] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish),
                                          .type = (uint8_t)wanted[i].type,
                                          .length = strtoul(wanted[i].key, NULL, 10)};
        if (strcmp(wanted[i].spi, "*") != 0)
            wishes[i].kv = (struct mkt_kv){.type = MKT_KV_SPI, .spi = from_hex(wanted[i].spi)};
    }
    ck_assert(mkt_csb_must_make(kms->csb, MKT_REQUEST_RESP));
    expect_err("grant", mkt_csb_grant(kms->csb, &recipe, &ticket), MKT_OK);
    expect_err("REQUEST_RESP", mkt_csb_make_request_resp(kms->csb, ticket, &buf), MKT_OK);
    mkt_ticket_free(ticket);
    return exact((struct mkt_span){out, buf.n});
}

static void allow_request_init(struct actor *a, const struct section *s)
{
    const char *granted_or = value_of(s, "granted_or"), *k_or = value_of(s, "k_or");
    actor_begin(a, s, MKT_KMS);
    actor_takes(a, s, "bytes");
    expect_peer(a, s);
    const struct mkt_span resp = grants(a, s, text_of(s, "grants"));
    const struct mkt_span keys = keys_in(s, resp);
    const unsigned long k = (payload_of(resp, MKT_TICKET, 0).ticket.flags & MKT_FLAG_K) != 0;
    const bool first = are_listed(keys, text_of(s, "granted")) && k == number_of(s, "k");
    const bool other = granted_or != NULL && are_listed(keys, granted_or) && k == number_of(s, "k_or");
    ck_assert_msg((granted_or == NULL) == (k_or == NULL), "granted_or and k_or");
    ck_assert_msg(first || other, "granted: other keys, or K is %lu", k);
}

static void allow_resolve_init(struct actor *a, const struct section *s)
{
    struct listed want[MKT_MAX_KEYS];
    const size_t n = listed(text_of(s, "keys"), want);
    struct mkt_key_data key;
    uint16_t flags = 0;
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    expect_err("flags", mkt_flags_parse(&flags, text_of(s, "flags")), MKT_OK);
    ck_assert_uint_eq(payload_of(octets_of(s, "bytes"), MKT_TICKET, 0).ticket.flags, flags);
    actor_begin(a, s, MKT_KMS);
    actor_takes(a, s, "bytes");
    expect_peer(a, s);
    a->player.n_random = a->player.next_random = 0;
    player_random(&a->player, octets_of(s, "randkms"));
    expect_err("RESOLVE_RESP", mkt_csb_make_resolve_resp(a->csb, &buf), MKT_OK);
    const struct mkt_span resp = exact((struct mkt_span){out, buf.n});
    expect_payload(s, "idrr", resp, MKT_IDR, MKT_IDR_R);
    expect_payload(s, "randkms", resp, MKT_RANDR, MKT_RANDR_KMS);
    struct mkt_keys keys = mkt_keys_of(keys_in(s, resp));
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(mkt_keys_next(&keys, &key), "keys: %zu, not %zu", i, n);
        ck_assert_uint_eq(key.type, want[i].type);
        expect_octets("keys", key.key, from_hex(want[i].key));
        ck_assert_msg(is_spi(&key.kv, want[i].spi), "keys: the SPI of the key %zu", i);
    }
    ck_assert_msg(!mkt_keys_next(&keys, &key), "keys: more than %zu", n);
}

/* ---- CSB updates ---- */

/* The bundle as the first exchange leaves it. */
static void is_keyed(struct actor *a, const struct section *s)
{
    const bool by_i = strcmp(text_of(s, "receiver"), "i") == 0;
    const struct mkt_span resp = octets_of(s, "transfer_resp");
    ck_assert(by_i || strcmp(text_of(s, "receiver"), "r") == 0);
    actor_begin(a, s, by_i ? MKT_INITIATOR : MKT_RESPONDER);
    if (by_i) {
        actor_offers(a, s);
        actor_takes(a, s, "transfer_resp");
        expect_octets("randr", payload_of(resp, MKT_RANDR, MKT_RANDR_R).rand.rand, octets_of(s, "randr"));
        return;
    }
    actor_takes(a, s, "transfer_init");
    if (value_of(s, "init") != NULL) {
        actor_resolves(a, s);
        actor_takes(a, s, "resolve_resp");
    }
    a->player.now = payload_of(resp, MKT_T, 0).t.value;
    expect_octets("transfer_resp", answers(a, s), resp);
    a->player.now = ntp(number_of(s, "now"));
}

/* What the exchange before was like, and the key that the update brings. */
static void read_update(const struct section *s, struct mkt_span *new_tgk, struct mkt_span *new_spi)
{
    const struct mkt_span init = octets_of(s, "transfer_init");
    const struct mkt_ticket_payload ticket = payload_of(init, MKT_TICKET, 0).ticket;
    struct mkt_cs cs;
    uint16_t flags = 0;
    expect_err("flags", mkt_flags_parse(&flags, text_of(s, "flags")), MKT_OK);
    ck_assert_uint_eq(ticket.flags, flags);
    expect_octets("asked", payload_of(init, MKT_IDR, MKT_IDR_R).id.data, text(text_of(s, "asked")));
    expect_octets("randi", payload_of(init, MKT_RANDR, MKT_RANDR_I).rand.rand, octets_of(s, "randi"));
    expect_octets("csb_id", (struct mkt_span){init.p + 4, 4}, from_hex(text_of(s, "csb_id")));
    struct mkt_message m;
    expect_err("init", mkt_message_decode(&m, init), MKT_OK);
    expect_err("init", mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 0, &m.hdr.map), MKT_OK);
    expect_octets("spi", cs.spi, octets_of(s, "spi"));
    ck_assert_uint_ge(octets_of(s, "mpki").n, MKT_MIN_KEY);
    ck_assert_uint_ge(octets_of(s, "tgk").n, MKT_MIN_KEY);
    ck_assert((octets_of(s, "mpkr").n >= MKT_MIN_KEY) || (flags & MKT_FLAG_I) == 0);
    *new_tgk = octets_of(s, "new_tgk");
    *new_spi = octets_of(s, "new_spi");
}

static void updated(struct actor *a, const struct section *s)
{
    struct mkt_span new_tgk, new_spi;
    struct mkt_key_data key = {0};
    struct mkt_cs cs;
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    const unsigned long v = value_of(s, "v") != NULL ? number_of(s, "v") : mkt_csb_must_make(a->csb, MKT_TRANSFER_RESP);
    read_update(s, &new_tgk, &new_spi);
    expect_peer(a, s);
    ck_assert_uint_eq(mkt_csb_must_make(a->csb, MKT_TRANSFER_RESP), v);
    if (v != 0)
        expect_err("TRANSFER_RESP", mkt_csb_make_transfer_resp(a->csb, NULL, &buf), MKT_OK);
    expect_tek(a, s);
    expect_err("session", mkt_csb_session_at(a->csb, 0, &cs), MKT_OK);
    expect_octets("new_spi", cs.spi, new_spi);
    for (size_t i = 0; !mkt_span_equal(key.kv.spi, new_spi); i++)
        expect_err("new_spi", mkt_csb_key(a->csb, i, &key), MKT_OK);
    expect_octets("new_tgk", key.key, new_tgk);
}

static void allow_update(struct actor *a, const struct section *s)
{
    is_keyed(a, s);
    actor_takes(a, s, "bytes");
    updated(a, s);
}

static void refuse_update(struct actor *a, const struct section *s)
{
    is_keyed(a, s);
    actor_refuses(a, s);
    updated(a, s);
}

/* ---- Error messages ---- */

static void allow_error(struct actor *a, const struct section *s)
{
    static const char *const receivers[] = {"initiator", "responder", "kms"};
    const char *receiver = text_of(s, "receiver");
    const bool authenticated = strcmp(text_of(s, "authenticated"), "yes") == 0;
    size_t role = 0;
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    while (role < 3 && strcmp(receivers[role], receiver) != 0)
        role++;
    ck_assert_msg(role < 3, "receiver: %s", receiver);
    ck_assert(authenticated || strcmp(text_of(s, "authenticated"), "no") == 0);
    actor_begin(a, s, (enum mkt_role)role);
    if (role == MKT_INITIATOR)
        actor_requests(a, s);
    if (role == MKT_RESPONDER) {
        actor_takes(a, s, "transfer_init");
        actor_resolves(a, s);
    }
    if (role == MKT_KMS) {
        actor_takes(a, s, "init");
        if (mkt_csb_must_make(a->csb, MKT_REQUEST_RESP))
            grants(a, s, "as-asked");
        else
            expect_err("RESOLVE_RESP", mkt_csb_make_resolve_resp(a->csb, &buf), MKT_OK);
    }
    actor_takes(a, s, "bytes");
    ck_assert_uint_eq(a->player.reports, 1);
    ck_assert_uint_eq(a->player.reported, number_of(s, "error_no"));
    ck_assert(a->player.authenticated == (authenticated && role != MKT_KMS)); /* a KMS keeps no keys */
}

/* `bytes` is refused; the Error message about it has the number. */
static void expect_number(struct actor *a, const struct section *s)
{
    const struct mkt_span bytes = octets_of(s, "bytes");
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    const enum mkt_err err = mkt_csb_take_offer(a->csb, bytes, text("mikey"));
    ck_assert_msg(err != MKT_OK, "bytes: is taken");
    expect_err("Error", mkt_csb_make_error(a->csb, bytes, err, NULL, 0, &buf), MKT_OK);
    ck_assert_uint_eq(payload_of((struct mkt_span){out, buf.n}, MKT_ERR, 0).error.number, number_of(s, "error_no"));
}

static void error_offer(struct actor *a, const struct section *s)
{
    actor_begin(a, s, MKT_RESPONDER);
    expect_number(a, s);
}

static void error_answer(struct actor *a, const struct section *s)
{
    actor_begin(a, s, MKT_INITIATOR);
    actor_offers(a, s);
    expect_number(a, s);
}

/* ---- what stays refused ---- */

/* The KMS refuses what asks it; `valid` it can answer. */
static void refuse_by_kms(struct actor *a, const struct section *s)
{
    actor_begin(a, s, MKT_KMS);
    actor_refuses(a, s);
    ck_assert(mkt_csb_must_make(a->csb, MKT_REQUEST_RESP) || mkt_csb_must_make(a->csb, MKT_RESOLVE_RESP));
}

/* Vr of both messages is right by MPKr: they differ in what they are refused for, not in that. */
static void expect_vr(const struct section *s, const char *field)
{
    const enum mkt_suite suite = number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256;
    const struct mkt_span data = payload_of(octets_of(s, field), MKT_TICKET, 0).ticket.initiator_data;
    if (data.n > 0)
        expect_err("mpkr", mkt_initiator_data_verify(suite, octets_of(s, "mpkr"), data), MKT_OK);
}

/* Likewise V by MPKi. */
static void expect_v(const struct section *s, const char *field)
{
    const struct mkt_span octets = octets_of(s, field);
    struct mkt_message m;
    struct mkt_span parts[4] = {[2] = text(text_of(s, "id_i")), [3] = text(text_of(s, "id_r"))};
    expect_err(field, mkt_message_decode(&m, octets), MKT_OK);
    const struct mkt_protection by_mpki = {.suite = number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256,
                                           .key = octets_of(s, "mpki"),
                                           .label = {.purpose = MKT_PURPOSE_INITIAL,
                                                     .csb_id = m.hdr.csb_id,
                                                     .randi = payload_of(octets, MKT_RANDR, MKT_RANDR_I).rand.rand}};
    mkt_message_covered(&m, octets, parts);
    expect_err("mpki", mkt_protect_open(&by_mpki, NULL, parts, 4, payload_of(octets, MKT_V, 0).v.mac), MKT_OK);
}

static void refuse_offer_kms(struct actor *a, const struct section *s)
{
    expect_v(s, "bytes");
    expect_v(s, "valid");
    expect_vr(s, "bytes");
    expect_vr(s, "valid");
    actor_begin(a, s, MKT_RESPONDER);
    actor_refuses(a, s);
    ck_assert(mkt_csb_must_make(a->csb, MKT_RESOLVE_INIT_PSK));
}

int main(void)
{
    static const struct kind kinds[] = {
        {"allow-request-resp", allow_request_resp},
        {"allow-offer", allow_offer},
        {"allow-resolve-resp", allow_resolve_resp},
        {"allow-answer", allow_answer},
        {"allow-request-init", allow_request_init},
        {"allow-resolve-init", allow_resolve_init},
        {"allow-update", allow_update},
        {"allow-error", allow_error},
        {"error-offer", error_offer},
        {"error-answer", error_answer},
        {"refuse-offer", refuse_offer},
        {"refuse-answer", refuse_answer},
        {"refuse-request-resp", refuse_request_resp},
        {"refuse-offer-forked", refuse_offer_forked},
        {"refuse-offer-kms", refuse_offer_kms},
        {"refuse-request-init", refuse_by_kms},
        {"refuse-resolve-init", refuse_by_kms},
        {"refuse-update", refuse_update},
    };
    return run_cases("allow.txt", kinds, sizeof kinds / sizeof *kinds);
}
