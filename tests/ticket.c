/* SPDX-License-Identifier: BSD-3-Clause */
/* ticket: the MIKEY base ticket (Appendix A), its keys, and the ticket of its holder. */
#include "player.h"

#include "ticket.h"

#include <stdlib.h>
#include <string.h>

enum { SUITES = 2 };
static const enum mkt_suite suites[SUITES] = {MKT_SUITE_256, MKT_SUITE_128};
static const size_t suite_key[SUITES] = {32, 16}; /* octets of keys by default (design decision D2) */

static const mkt_ntp y2020 = (uint64_t)3786825600 << 32; /* 1 January 2020 */

/* `n` octets that count up. */
static struct mkt_span counting(uint8_t first, size_t n)
{
    static uint8_t octets[65536];
    for (size_t i = 0; i < n; i++)
        octets[i] = (uint8_t)(first + i);
    return exact((struct mkt_span){octets, n});
}

/* ---- making and opening ---- */

static const struct mkt_key_wish one_tgk = {.size = sizeof one_tgk, .type = MKT_KEY_TGK};

/* A ticket of one TGK by default, and what to change of it. */
struct made {
    struct player player;
    struct mkt_policy policy;
    struct mkt_ticket_recipe recipe;
    struct mkt_ticket *ticket;
    struct mkt_payload payload; /* TICKET */
};

static void prepare(struct made *m, enum mkt_suite suite)
{
    player_init(&m->player, y2020, (struct mkt_span){NULL, 0});
    m->policy = granted(suite);
    m->recipe = (struct mkt_ticket_recipe){
        .size = sizeof(struct mkt_ticket_recipe),
        .policy = &m->policy,
        .tpk = counting(0x70, suite == MKT_SUITE_256 ? 32 : 16),
        .keys = &one_tgk,
        .n_keys = 1,
    };
    m->ticket = NULL;
}

static enum mkt_err make(struct made *m)
{
    return mkt_ticket_make(&m->ticket, &m->player.host, &m->recipe);
}

static void expect_made(const char *name, struct made *m)
{
    expect_err(name, make(m), MKT_OK);
    expect_err(name, mkt_ticket_payload_of(m->ticket->payload, &m->payload, NULL), MKT_OK);
    ck_assert_uint_eq(m->player.live, 1);
}

static void release(struct made *m)
{
    mkt_ticket_free(m->ticket);
    ck_assert_uint_eq(m->player.live, 0);
}

/* A refusal: no ticket, whatever the pointer was before, no memory kept, and the host is told. */
static void expect_refused(const char *name, struct made *m, enum mkt_err want)
{
    m->ticket = (struct mkt_ticket *)m;
    enum mkt_err err = make(m);
    ck_assert_msg(err == want, "%s: %s, not %s", name, mkt_err_name(err), mkt_err_name(want));
    ck_assert_msg(m->ticket == NULL && m->player.live == 0, "%s leaves something", name);
    ck_assert_msg(m->player.logged == want, "%s: %s is logged", name, mkt_err_name(m->player.logged));
}

/* Opens into a block of its own; the chain of keys. */
static struct mkt_span opened(const struct made *m)
{
    uint8_t octets[8192];
    struct mkt_buf keys = {octets, sizeof octets, 0};
    expect_err("open", mkt_ticket_open(&m->payload, m->recipe.tpk, &keys), MKT_OK);
    return exact((struct mkt_span){octets, keys.n});
}

/* The n-th key of a chain, from 0. */
static struct mkt_key_data nth(struct mkt_span chain, size_t n)
{
    struct mkt_keys keys = mkt_keys_of(chain);
    struct mkt_key_data key = {0};
    for (size_t i = 0; i <= n; i++)
        ck_assert_msg(mkt_keys_next(&keys, &key), "there is no key %zu", n);
    return key;
}

static size_t count(struct mkt_span chain)
{
    struct mkt_keys keys = mkt_keys_of(chain);
    struct mkt_key_data key;
    size_t n = 0;
    while (mkt_keys_next(&keys, &key))
        n++;
    expect_err("keys", keys.err, MKT_OK);
    return n;
}

/* A part of Ticket Data. */
static struct mkt_payload part(const struct mkt_payload *ticket, unsigned wanted)
{
    struct mkt_span rest = ticket->ticket.ticket_data;
    uint16_t type = MKT_THDR;
    struct mkt_payload p = {0};
    while (type != MKT_LAST && p.type != wanted)
        expect_err("Ticket Data", mkt_payload_decode(&p, &type, &rest), MKT_OK);
    ck_assert_msg(p.type == wanted, "no %s", mkt_payload_name(wanted));
    return p;
}

START_TEST(a_ticket_is_opened_with_its_tpk_and_no_other)
{
    struct made m;
    uint8_t octets[512], tpk[64];
    prepare(&m, suites[_i]);
    m.recipe.tpk_id = mkt_id_bytes("tpk-1");
    expect_made("made", &m);
    struct mkt_span chain = opened(&m);
    ck_assert_uint_eq(count(chain), 2);
    ck_assert(nth(chain, 0).type == MKT_KEY_MPK && nth(chain, 0).key.n == suite_key[_i]);
    ck_assert(nth(chain, 1).type == MKT_KEY_TGK && nth(chain, 1).key.n == suite_key[_i]);
    expect_octets("IDRpsk", part(&m.payload, MKT_IDR).id.data, text("tpk-1"));
    ck_assert(part(&m.payload, MKT_T).t.ts_type == MKT_TS_NTP_UTC && part(&m.payload, MKT_T).t.value == y2020);

    const size_t n = m.recipe.tpk.n;
    memcpy(tpk, m.recipe.tpk.p, n);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        struct mkt_buf keys = {octets, sizeof octets, 3};
        tpk[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_err("another TPK", mkt_ticket_open(&m.payload, (struct mkt_span){tpk, n}, &keys), MKT_E_TICKET_MAC);
        ck_assert_uint_eq(keys.n, 3);
        tpk[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    struct mkt_buf keys = {octets, sizeof octets, 0}, small = {octets, chain.n - 1, 0};
    expect_err("short", mkt_ticket_open(&m.payload, (struct mkt_span){tpk, 15}, &keys), MKT_E_KEY_LENGTH);
    expect_err("none", mkt_ticket_open(&m.payload, (struct mkt_span){NULL, 0}, &keys), MKT_E_KEY_LENGTH);
    expect_err("small", mkt_ticket_open(&m.payload, m.recipe.tpk, &small), MKT_E_BUFFER);
    ck_assert(keys.n == 0 && small.n == 0);
    release(&m);
}
END_TEST

/* Keys are appended: what stands in the buffer before stays, and after an error nothing is behind it. */
START_TEST(keys_of_a_ticket_are_appended)
{
    static const uint8_t before[] = "before";
    uint8_t octets[512];
    struct made m;
    prepare(&m, suites[_i]);
    expect_made("made", &m);
    const struct mkt_span chain = opened(&m), wrong = counting(0x71, m.recipe.tpk.n), head = {before, sizeof before};
    const struct {
        struct mkt_span tpk;
        size_t cap;
        enum mkt_err err;
    } cases[] = {
        {m.recipe.tpk, sizeof octets, MKT_OK},
        {m.recipe.tpk, head.n + chain.n, MKT_OK},
        {m.recipe.tpk, head.n + chain.n - 1, MKT_E_BUFFER},
        {wrong, sizeof octets, MKT_E_TICKET_MAC},
        {wrong, head.n + chain.n, MKT_E_TICKET_MAC},
        {{wrong.p, 15}, sizeof octets, MKT_E_KEY_LENGTH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mkt_buf keys = {octets, cases[i].cap, head.n};
        memset(octets, 0, sizeof octets);
        memcpy(octets, before, head.n);
        expect_err("open", mkt_ticket_open(&m.payload, cases[i].tpk, &keys), cases[i].err);
        expect_octets("before", (struct mkt_span){octets, head.n}, head);
        ck_assert_uint_eq(keys.n, head.n + (cases[i].err == MKT_OK ? chain.n : 0));
        if (cases[i].err == MKT_OK)
            expect_octets("keys", (struct mkt_span){octets + head.n, chain.n}, chain);
        for (size_t k = head.n; k < sizeof octets && cases[i].err != MKT_OK; k++)
            if (octets[k] != 0)
                ck_abort_msg("octet %zu is left", k);
    }
    struct mkt_buf measured = {NULL, 0, 7};
    expect_err("measure", mkt_ticket_open(&m.payload, m.recipe.tpk, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, 7 + chain.n);
    release(&m);
}
END_TEST

START_TEST(the_keys_of_a_ticket_can_be_measured)
{
    struct made m;
    struct mkt_buf measured = {NULL, 0, 0};
    prepare(&m, MKT_SUITE_256);
    expect_made("made", &m);
    size_t n = opened(&m).n;
    enum mkt_err err = mkt_ticket_open(&m.payload, m.recipe.tpk, &measured);
    release(&m);
    expect_err("measure", err, MKT_OK);
    ck_assert_uint_eq(measured.n, n);
}
END_TEST

/* A.1: the MAC covers all but Next Payload, Initiator Data length, Initiator Data and the MAC itself. */
START_TEST(every_bit_of_a_ticket_counts)
{
    struct made m;
    prepare(&m, suites[_i]);
    m.recipe.tpk_id = mkt_id_bytes("tpk-1");
    m.policy.has_end = true;
    m.policy.end = y2020 + ntp(86400);
    expect_made("made", &m);
    struct mkt_span whole = m.payload.octets;
    uint8_t *flipped = malloc(whole.n);
    size_t by_mac = 0;
    memcpy(flipped, whole.p, whole.n);
    for (size_t bit = 0; bit < 8 * whole.n; bit++) {
        uint8_t octets[512];
        struct mkt_buf keys = {octets, sizeof octets, 0};
        struct mkt_span rest = {flipped, whole.n};
        struct mkt_payload payload;
        uint16_t type = MKT_TICKET;
        flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum mkt_err err = mkt_payload_decode(&payload, &type, &rest);
        if (err == MKT_OK)
            err = mkt_ticket_open(&payload, m.recipe.tpk, &keys);
        if (bit / 8 == 0)
            expect_err("Next Payload is not covered", err, MKT_OK);
        else
            ck_assert_msg(err != MKT_OK && keys.n == 0, "bit %zu of octet %zu does not count", bit % 8, bit / 8);
        by_mac += err == MKT_E_TICKET_MAC;
        flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_gt(by_mac, 4 * whole.n);
    free(flipped);
    release(&m);
}
END_TEST

START_TEST(initiator_data_is_not_covered_by_the_mac_of_a_ticket)
{
    struct made m;
    uint8_t octets[2048], out[512];
    struct mkt_buf buf = {octets, sizeof octets, 0}, keys = {out, sizeof out, 0};
    uint16_t type = MKT_TICKET;
    prepare(&m, MKT_SUITE_256);
    expect_made("made", &m);
    m.payload.ticket.initiator_data = text("any");
    expect_err("put", mkt_payloads_encode(&m.payload, 1, &buf), MKT_OK);
    struct mkt_span rest = {octets, buf.n};
    expect_err("get", mkt_payload_decode(&m.payload, &type, &rest), MKT_OK);
    expect_err("open", mkt_ticket_open(&m.payload, m.recipe.tpk, &keys), MKT_OK);
    release(&m);
}
END_TEST

/*
 * A ticket sealed here by A.1, whatever is in it: of a chain of keys, and Ticket Data in letters: THDR as H, T, RAND as
 * R, KEMAC as K, IDRpsk as I, V.
 */
struct sealed {
    const char *letters, *keys;
    size_t rand_n;
    uint8_t encr_alg, kemac_mac_alg, mac_alg;
};

static struct mkt_payload seal(const struct sealed *s, uint16_t flags)
{
    static const char letters[] = "HTRKIV";
    static const struct mkt_span none = {NULL, 0};
    const struct mkt_span tpk = counting(0x70, 32), rand = counting(0x30, s->rand_n), plain = from_hex(s->keys);
    const struct mkt_label label = {.purpose = MKT_PURPOSE_TICKET, .rand = rand};
    const struct mkt_protection by_tpk = {MKT_SUITE_256, tpk, label};
    struct mkt_policy policy = granted(MKT_SUITE_256);
    uint8_t encr[256], tp[256], data[512], octets[1024], auth_key[32], mac[32];
    struct mkt_buf tp_buf = {tp, sizeof tp, 0}, data_buf = {data, sizeof data, 0}, buf = {octets, sizeof octets, 0};
    struct mkt_payload chain[8];
    size_t n = 0;
    policy.flags = flags;
    crypt_kemac(&by_tpk, 0xffffffff, y2020, plain, encr);
    const struct mkt_payload of_letter[] = {
        {.type = MKT_THDR},
        {.type = MKT_T, .t = {0, MKT_TS_NTP_UTC, y2020}},
        {.type = MKT_RAND, .rand = {.rand = rand}},
        {.type = MKT_KEMAC,
         .kemac = {s->encr_alg, {encr, plain.n}, s->kemac_mac_alg, s->kemac_mac_alg == 0 ? none : counting(0, 32)}},
        {.type = MKT_IDR, .id = {MKT_IDR_PSK, MKT_ID_BYTES, text("t")}},
        {.type = MKT_V,
         .v = {s->mac_alg, counting(0, s->mac_alg == 0   ? 0
                                       : s->mac_alg == 1 ? 20
                                                         : 32)}},
    };
    for (const char *l = s->letters; *l != '\0'; l++)
        chain[n++] = of_letter[strchr(letters, *l) - letters];
    expect_err("Ticket Data", mkt_payloads_encode(chain, n, &data_buf), MKT_OK);
    expect_err("TP Data", mkt_policy_encode(&policy, &tp_buf), MKT_OK);
    struct mkt_payload ticket = {.type = MKT_TICKET,
                                 .ticket = {1, 1, 1, 1, policy.flags, 0, {tp, tp_buf.n}, {data, data_buf.n}, none}};
    expect_err("TICKET", mkt_payloads_encode(&ticket, 1, &buf), MKT_OK);

    /* all but Next Payload, Initiator Data length, Initiator Data and the MAC itself */
    const struct mkt_span covered = {octets + 1, buf.n - 1 - 2 - 32};
    struct mkt_hmac hmac;
    expect_err("auth_key", mkt_derive(MKT_SUITE_256, MKT_DERIVE_AUTH_KEY, tpk, &label, auth_key, 32), MKT_OK);
    expect_err("key", mkt_hmac_key(&hmac, MKT_HASH_SHA_256, (struct mkt_span){auth_key, 32}), MKT_OK);
    expect_err("MAC", mkt_hmac(&hmac, &covered, 1, mac), MKT_OK);
    mkt_wipe(&hmac, sizeof hmac);
    if (s->mac_alg == 2 && s->letters[strlen(s->letters) - 1] == 'V')
        memcpy(octets + buf.n - 2 - 32, mac, 32);
    struct mkt_span rest = exact((struct mkt_span){octets, buf.n});
    uint16_t type = MKT_TICKET;
    expect_err("TICKET", mkt_payload_decode(&ticket, &type, &rest), MKT_OK);
    return ticket;
}

static enum mkt_err open_sealed(const struct sealed *s, struct mkt_buf *keys)
{
    const struct mkt_payload ticket = seal(s, granted(MKT_SUITE_256).flags);
    return mkt_ticket_open(&ticket, counting(0x70, 32), keys);
}

#define K32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define MPK_THEN "14610020" K32 "0401020304"
#define LONG_MPK                                                                                                       \
    "00610030" K32 "000102030405060708090a0b0c0d0e0f"                                                                  \
    "0401020304"
#define SHORT_MPK                                                                                                      \
    "00610010"                                                                                                         \
    "000102030405060708090a0b0c0d0e0f"                                                                                 \
    "0401020304"
#define MPK_LAST "00610020" K32 "0401020304"
#define TGK_LAST "00010020" K32 "0405060708"

START_TEST(a_ticket_with_the_right_mac_is_refused_for_what_is_in_it)
{
    static const struct {
        struct sealed sealed;
        enum mkt_err err;
    } rows[] = {
        {{"HTRKV", MPK_THEN TGK_LAST, 32, 3, 0, 2}, MKT_OK},
        {{"HTRKIV", MPK_LAST, 33, 3, 0, 2}, MKT_OK},
        {{"HIKRTV", MPK_LAST, 255, 3, 0, 2}, MKT_OK}, /* any order */
        {{"HTRKV", MPK_LAST, 31, 3, 0, 2}, MKT_E_RAND},
        {{"HTRKV", LONG_MPK, 47, 3, 0, 2}, MKT_E_RAND}, /* longer than the TPK, shorter than the MPK */
        {{"HTRKV", LONG_MPK, 48, 3, 0, 2}, MKT_OK},
        {{"HTRKV", SHORT_MPK, 31, 3, 0, 2}, MKT_E_RAND}, /* longer than the MPK, shorter than the TPK */
        {{"HTRKV", TGK_LAST, 32, 3, 0, 2}, MKT_E_MPK},
        {{"HTRKV", TGK_LAST, 31, 3, 0, 2}, MKT_E_MPK},                             /* before RAND */
        {{"HTRKV", MPK_THEN "00610020" K32 "0405060708", 32, 3, 0, 2}, MKT_E_MPK}, /* two */
        {{"HTRKV", "-", 32, 3, 0, 2}, MKT_E_MPK},
        {{"HTRKV", MPK_THEN "00010020" K32 "0401020304", 32, 3, 0, 2}, MKT_OK}, /* that of the MPK again, D23 */
        {{"HTRKV", MPK_THEN "14010020" K32 "0405060708" TGK_LAST, 32, 3, 0, 2}, MKT_E_SPI}, /* one SPI twice */
        {{"HTRKV", MPK_THEN "00000020" K32, 32, 3, 0, 2}, MKT_E_SPI},                       /* no SPI */
        {{"HTRKV", MPK_THEN "00010020" K32 "00", 32, 3, 0, 2}, MKT_E_SPI},                  /* an empty one */
        {{"HTRKV", MPK_THEN "00020020" K32 "0000", 32, 3, 0, 2}, MKT_E_SPI},                /* an interval */
        {{"HTRKV",
          MPK_THEN "0001000f000102030405060708090a0b0c0d0e"
                   "0405060708",
          32, 3, 0, 2},
         MKT_E_KEY_LENGTH},
        {{"HTRKV",
          "0061000f000102030405060708090a0b0c0d0e"
          "0405060708",
          32, 3, 0, 2},
         MKT_E_KEY_LENGTH},
        {{"HTRKV", MPK_THEN, 32, 3, 0, 2}, MKT_E_TRUNCATED},
        {{"HTRKV", MPK_LAST "00", 32, 3, 0, 2}, MKT_E_TRAILING},
        {{"HTRKV", MPK_LAST, 32, 3, 0, 0}, MKT_E_MAC_ALG},
        {{"HTRKV", MPK_LAST, 32, 3, 0, 1}, MKT_E_MAC_ALG},
        {{"HTRKV", MPK_LAST, 32, 0, 0, 2}, MKT_E_ENCR_ALG},
        {{"HTRKV", MPK_LAST, 32, 1, 0, 2}, MKT_E_ENCR_ALG},
        {{"HTRKV", MPK_LAST, 32, 2, 0, 2}, MKT_E_ENCR_ALG}, /* AES-KW-128, D20 */
        {{"HTRKV", MPK_LAST, 32, 3, 2, 2}, MKT_E_KEMAC_MAC},
        {{"HRKV", MPK_LAST, 32, 3, 0, 2}, MKT_E_MISSING},
        {{"HTKV", MPK_LAST, 32, 3, 0, 2}, MKT_E_MISSING},
        {{"HTRV", MPK_LAST, 32, 3, 0, 2}, MKT_E_MISSING},
        {{"HTRK", MPK_LAST, 32, 3, 0, 0}, MKT_E_MISSING},
        {{"HTTRKV", MPK_LAST, 32, 3, 0, 2}, MKT_E_TOO_MANY},
        {{"HTRRKV", MPK_LAST, 32, 3, 0, 2}, MKT_E_TOO_MANY},
        {{"HTRKKV", MPK_LAST, 32, 3, 0, 2}, MKT_E_TOO_MANY},
        {{"HTRKIIV", MPK_LAST, 32, 3, 0, 2}, MKT_E_TOO_MANY},
        {{"HTRVK", MPK_LAST, 32, 3, 0, 2}, MKT_E_ORDER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t octets[512] = {0};
        struct mkt_buf keys = {octets, 7 + from_hex(rows[i].sealed.keys).n, 7};
        size_t left = 0;
        memset(octets + keys.cap, 0xee, sizeof octets - keys.cap);
        enum mkt_err err = open_sealed(&rows[i].sealed, &keys);
        ck_assert_msg(err == rows[i].err, "row %zu: %s, not %s", i, mkt_err_name(err), mkt_err_name(rows[i].err));
        if (err == MKT_OK)
            expect_octets("keys", (struct mkt_span){octets + 7, keys.n - 7}, from_hex(rows[i].sealed.keys));
        for (size_t k = 0; k < sizeof octets; k++)
            left += octets[k] != (k < keys.cap ? 0 : 0xee);
        ck_assert_msg(err == MKT_OK || (keys.n == 7 && left == 0), "row %zu leaves keys", i);
    }
}
END_TEST

static const struct sealed sealed_right = {"HTRKV", MPK_THEN TGK_LAST, 32, 3, 0, 2};

/* The policy is looked at before anything is verified, and if the ticket is only measured. */
START_TEST(a_ticket_with_a_policy_that_is_not_sound_is_not_opened)
{
    const struct mkt_payload ticket = seal(&sealed_right, granted(MKT_SUITE_256).flags);
    const struct mkt_span tpk = counting(0x70, 32);
    uint8_t out[256];
    struct mkt_buf keys = {out, sizeof out, 0}, measured = {NULL, 0, 0};
#define REFUSED(err, change)                                                                                           \
    do {                                                                                                               \
        struct mkt_payload p = ticket;                                                                                 \
        change;                                                                                                        \
        expect_err(#change, mkt_ticket_open(&p, tpk, &keys), err);                                                     \
        expect_err(#change, mkt_ticket_open(&p, tpk, &measured), err);                                                 \
        ck_assert(keys.n == 0 && measured.n == 0);                                                                     \
    } while (0)
    REFUSED(MKT_E_TICKET_TYPE, p.ticket.type = 2);
    REFUSED(MKT_E_TICKET_TYPE, p.ticket.subtype = 2);
    REFUSED(MKT_E_TICKET_TYPE, p.ticket.version = 2);
    REFUSED(MKT_E_PRF, p.ticket.prf = 3);
    REFUSED(MKT_E_FLAGS, p.ticket.flags = MKT_FLAG_G | MKT_FLAG_L);
    REFUSED(MKT_E_POLICY, p.ticket.tp_data = from_hex("00"));
    REFUSED(MKT_E_TRUNCATED, p.ticket.tp_data = from_hex("0e"));
    REFUSED(MKT_E_MAC_ALG, p.ticket.prf = MKT_PRF_MIKEY_1);
#undef REFUSED
    struct mkt_base_ticket base;
    struct mkt_policy policy = granted(MKT_SUITE_256);
    policy.prf = 3;
    expect_err("PRF", mkt_base_ticket_decode(&base, &ticket, &policy), MKT_E_PRF);
}
END_TEST

/* ---- resolving ---- */

/* Octets of a room, and some behind it that nobody may touch. */
struct room {
    uint8_t octets[1024];
    struct mkt_buf buf;
};

static void empty(struct room *r, size_t cap)
{
    ck_assert_uint_le(cap, sizeof r->octets);
    memset(r->octets, 0, cap);
    memset(r->octets + cap, 0xee, sizeof r->octets - cap);
    r->buf = (struct mkt_buf){r->octets, cap, 0};
}

static void expect_kept(const struct room *r)
{
    for (size_t i = r->buf.cap; i < sizeof r->octets; i++)
        if (r->octets[i] != 0xee)
            ck_abort_msg("octet %zu behind a room of %zu is written", i, r->buf.cap);
}

static bool has_spi(struct mkt_span chain, struct mkt_span spi)
{
    struct mkt_key_data key;
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, &key);)
        if (mkt_span_equal(key.kv.spi, spi))
            return true;
    return false;
}

/*
 * The MPK, wherever it stands and however long its SPI is, becomes MPKi || [MPKr] or MPKi in its place; the room is
 * large enough or too small.
 */
START_TEST(the_keys_of_a_resolved_ticket)
{
    static const char *const chains[] = {
        MPK_LAST,
        MPK_THEN TGK_LAST,
        "14010020" K32 "0405060708" MPK_LAST,
        "14610010000102030405060708090a0b0c0d0e0f010a" TGK_LAST,
        "14010020" K32 "040506070814610020" K32 "080102030405060708"
        "00210020" K32 "04090a0b0c",
    };
    const struct sealed s = {"HTRKV", chains[_i / 2], 32, 3, 0, 2};
    const bool mpkr = _i % 2 == 1;
    const struct mkt_payload ticket = seal(&s, granted(MKT_SUITE_256).flags);
    const struct mkt_span chain = from_hex(s.keys), rand = counting(0x30, 32);
    struct mkt_policy policy;
    struct mkt_key_data mpk, got;
    struct mkt_span keys;
    struct player p;
    struct room room;
    uint8_t want[32];
    enum mkt_err err = MKT_E_BUNDLE_FULL;
    expect_err("policy", mkt_policy_decode(&policy, &ticket.ticket), MKT_OK);
    for (size_t cap = 0; err == MKT_E_BUNDLE_FULL; cap++) {
        player_init(&p, y2020, counting(0x70, 32));
        player_random(&p, from_hex("050607080102030499999999")); /* SPIs that are taken, one that is not */
        empty(&room, cap);
        err = mkt_ticket_resolve(&p.host, &ticket, &policy, mpkr, &room.buf, &keys, NULL);
        expect_kept(&room);
    }
    expect_err("resolved", err, MKT_OK);
    ck_assert_uint_eq(count(keys), count(chain) + mpkr);
    ck_assert(mkt_keys_mpk(chain, 0, &mpk) && mkt_keys_mpk(keys, 0, &got));
    const struct mkt_label by_rand = {.purpose = MKT_PURPOSE_MPK, .rand = rand};
    expect_err("MPKi", mkt_derive(MKT_SUITE_256, MKT_DERIVE_MPKI, mpk.key, &by_rand, want, mpk.key.n), MKT_OK);
    expect_octets("MPKi", got.key, (struct mkt_span){want, mpk.key.n});
    expect_octets("SPI of MPKi", got.kv.spi, mpk.kv.spi);
    ck_assert(mkt_keys_mpk(keys, 1, &got) == mpkr);
    if (mpkr) {
        expect_err("MPKr", mkt_derive(MKT_SUITE_256, MKT_DERIVE_MPKR, mpk.key, &by_rand, want, mpk.key.n), MKT_OK);
        expect_octets("MPKr", got.key, (struct mkt_span){want, mpk.key.n});
        size_t drawn = 0;
        while (has_spi(chain, (struct mkt_span){p.random + drawn, MKT_SPI}))
            drawn += MKT_SPI;
        expect_octets("SPI of MPKr", got.kv.spi, (struct mkt_span){p.random + drawn, MKT_SPI});
    }
    for (size_t n = 0; mkt_keys_session(chain, n, &mpk); n++) {
        ck_assert(mkt_keys_session(keys, n, &got) && got.type == mpk.type);
        expect_octets("session key", got.key, mpk.key);
        expect_octets("its SPI", got.kv.spi, mpk.kv.spi);
    }
}
END_TEST

/* What a host's tpk() is asked, and what it does. */
struct tpk_host {
    struct mkt_host host;
    size_t calls;
    struct mkt_span name;
    bool named, moves;
    size_t n;
    enum mkt_err err;
};

static enum mkt_err tpk_of(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    static uint8_t elsewhere[MKT_MAX_TPK];
    struct tpk_host *h = user;
    h->calls++;
    h->named = id != NULL;
    h->name = id != NULL ? exact(id->data) : text("");
    ck_assert(
        mkt_id_equal(&policy->initiator, &(struct mkt_id){.type = MKT_ID_URI, .data = text("sip:alice@example.com")}));
    ck_assert(key->n == 0 && key->cap == MKT_MAX_TPK);
    memcpy(key->p, counting(0x70, MKT_MAX_TPK).p, MKT_MAX_TPK);
    key->n = h->n;
    if (h->moves)
        key->p = memcpy(elsewhere, key->p, MKT_MAX_TPK);
    return h->err;
}

static enum mkt_err no_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    (void)user, (void)name, (void)id, (void)psk;
    ck_abort_msg("asked for a PSK");
    return MKT_E_NO_KEY;
}

START_TEST(a_host_is_asked_for_the_tpk)
{
    static const struct {
        bool named, moves;
        size_t n;
        enum mkt_err err, want;
    } rows[] = {
        {true, false, 32, MKT_OK, MKT_OK},
        {false, false, 32, MKT_OK, MKT_OK},
        {true, false, 32, MKT_E_NO_KEY, MKT_E_NO_KEY},
        {true, true, 32, MKT_OK, MKT_E_KEY_LENGTH},
        {true, true, 32, MKT_E_NO_KEY, MKT_E_NO_KEY},
        {true, false, MKT_MAX_TPK + 1, MKT_OK, MKT_E_KEY_LENGTH},
        {true, false, MKT_MAX_TPK + 1, MKT_E_DENIED, MKT_E_DENIED},
        {true, false, MKT_MAX_TPK, MKT_OK, MKT_E_TICKET_MAC}, /* another key */
        {true, false, 15, MKT_OK, MKT_E_KEY_LENGTH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sealed s = {rows[i].named ? "HTRKIV" : "HTRKV", MPK_LAST, 32, 3, 0, 2};
        const struct mkt_payload ticket = seal(&s, granted(MKT_SUITE_256).flags);
        struct tpk_host h = {.host = {.size = sizeof(struct mkt_host), .tpk = tpk_of},
                             .moves = rows[i].moves,
                             .n = rows[i].n,
                             .err = rows[i].err};
        struct mkt_policy policy;
        struct mkt_span keys;
        struct room room;
        h.host.user = &h;
        empty(&room, sizeof room.octets);
        expect_err("policy", mkt_policy_decode(&policy, &ticket.ticket), MKT_OK);
        enum mkt_err err = mkt_ticket_resolve(&h.host, &ticket, &policy, false, &room.buf, &keys, NULL);
        ck_assert_msg(err == rows[i].want, "row %zu: %s", i, mkt_err_name(err));
        ck_assert(h.calls == 1 && h.named == rows[i].named);
        expect_octets("name", h.name, text(rows[i].named ? "t" : ""));
        const struct mkt_host no_tpk = {.size = sizeof no_tpk, .psk = no_psk},
                              tpk_alone = {.size = sizeof tpk_alone, .user = &h, .tpk = tpk_of};
        expect_err("no TPKs", mkt_ticket_resolve(&no_tpk, &ticket, &policy, false, &room.buf, &keys, NULL),
                   MKT_E_NO_KEY);
        h.moves = false;
        h.err = MKT_OK;
        h.n = 32;
        expect_err("TPKs", mkt_ticket_resolve(&tpk_alone, &ticket, &policy, false, &room.buf, &keys, NULL), MKT_OK);
    }
}
END_TEST

/* ---- tickets of the host's own ---- */

enum { SECRET = 0x5e };

/* A host whose open() writes all over the room that it is given. */
struct opener {
    struct mkt_host host;
    size_t calls, n; /* octets that it says it has appended */
    struct mkt_span keys;
    enum mkt_err err;
    struct mkt_buf given;
};

static enum mkt_err open_own(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                             struct mkt_buf *keys)
{
    struct opener *o = user;
    (void)ticket, (void)policy;
    o->calls++;
    o->given = *keys;
    memset(keys->p, SECRET, keys->cap);
    if (o->keys.n > 0)
        memcpy(keys->p, o->keys.p, o->keys.n);
    keys->n = o->n;
    return o->err;
}

START_TEST(a_host_opens_tickets_of_its_own)
{
    enum { BEFORE = 40, CAP = 300 };
    static const char two_mpks[] = "14610020" K32 "0401020304"
                                   "14610020" K32 "040a0b0c0d" TGK_LAST;
    static const char tgk_of_17[] = "14610020" K32 "0401020304"
                                    "00010011"
                                    "000102030405060708090a0b0c0d0e0f10"
                                    "0405060708";
    const struct {
        const char *keys, *flags;
        uint8_t prf;
        size_t more; /* octets that it says it has appended beside them */
        enum mkt_err err, want;
    } rows[] = {
        {MPK_THEN TGK_LAST, "FGHLN", MKT_PRF_HMAC_SHA_256, 0, MKT_OK, MKT_OK},
        {MPK_THEN TGK_LAST, "FGHLN", MKT_PRF_HMAC_SHA_256, 0, MKT_E_NO_KEY, MKT_E_NO_KEY},
        {MPK_THEN TGK_LAST, "FGHLN", MKT_PRF_HMAC_SHA_256, 0, MKT_E_TICKET_MAC, MKT_E_TICKET_MAC},
        {MPK_THEN TGK_LAST, "FGHLN", MKT_PRF_HMAC_SHA_256, 1, MKT_OK, MKT_E_TRAILING},
        {MPK_THEN TGK_LAST, "FGHLN", MKT_PRF_HMAC_SHA_256, CAP, MKT_OK, MKT_E_BUNDLE_FULL},
        {MPK_THEN TGK_LAST, "FGHLN", MKT_PRF_HMAC_SHA_256, CAP, MKT_E_NO_KEY, MKT_E_NO_KEY},
        {MPK_THEN TGK_LAST, "FGHLN", 3, 0, MKT_OK, MKT_E_PRF},
        {MPK_THEN TGK_LAST, "EFGHILN", MKT_PRF_HMAC_SHA_256, 0, MKT_OK, MKT_E_MPK},
        {two_mpks, "EFGHILN", MKT_PRF_HMAC_SHA_256, 0, MKT_OK, MKT_OK},
        {two_mpks, "EHILN", MKT_PRF_HMAC_SHA_256, 0, MKT_OK, MKT_E_FLAGS},
        {two_mpks, "FGHLN", MKT_PRF_HMAC_SHA_256, 0, MKT_OK, MKT_E_MPK},
        {tgk_of_17, "FGHLN", MKT_PRF_HMAC_SHA_256, 0, MKT_OK, MKT_OK},
        {tgk_of_17, "FGHLN", MKT_PRF_MIKEY_1, 0, MKT_OK, MKT_E_KEY_LENGTH},
    };
    const struct mkt_payload ticket = seal(&sealed_right, granted(MKT_SUITE_256).flags);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_policy policy = granted(MKT_SUITE_256);
        struct opener o = {.host = {.size = sizeof(struct mkt_host), .open = open_own},
                           .keys = from_hex(rows[i].keys),
                           .err = rows[i].err};
        struct mkt_span keys = {NULL, 0};
        struct room room;
        o.n = o.keys.n + rows[i].more;
        o.host.user = &o;
        policy.prf = rows[i].prf;
        expect_err("flags", mkt_flags_parse(&policy.flags, rows[i].flags), MKT_OK);
        empty(&room, BEFORE + CAP);
        room.buf.n = BEFORE;
        enum mkt_err err = mkt_ticket_resolve(&o.host, &ticket, &policy, false, &room.buf, &keys, NULL);
        ck_assert_msg(err == rows[i].want, "row %zu: %s, not %s", i, mkt_err_name(err), mkt_err_name(rows[i].want));
        ck_assert(o.calls == 1 && o.given.p == room.octets + BEFORE && o.given.cap == CAP && o.given.n == 0);
        for (size_t k = 0; k < sizeof room.octets; k++)
            if (room.octets[k] == SECRET && (k < BEFORE || k >= room.buf.n))
                ck_abort_msg("row %zu: octet %zu is left", i, k);
        expect_kept(&room);
        if (err == MKT_OK)
            expect_octets("keys", keys, o.keys);
    }
}
END_TEST

/* The O flag tells that a base ticket needs nothing more: then the host is not asked. No other flag counts. */
START_TEST(a_host_is_asked_to_open_what_is_not_a_base_ticket)
{
    static const struct {
        const char *flags;
        uint16_t type;
        bool asked;
    } rows[] = {{"FGHLNO", 1, false}, {"FGHLO", 1, false},      {"FGHLN", 1, true},     {"DEFGHJKLMN", 1, true},
                {"FGHLNO", 2, true},  {"DEFGHJLMNO", 1, false}, {"FGHLNO", 61440, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint16_t flags;
        expect_err("flags", mkt_flags_parse(&flags, rows[i].flags), MKT_OK);
        const struct mkt_payload ticket = seal(&sealed_right, flags);
        struct opener o = {.host = {.size = sizeof(struct mkt_host), .open = open_own}, .keys = from_hex(MPK_LAST)};
        struct player p;
        struct mkt_policy policy;
        struct mkt_span keys;
        struct room room;
        player_init(&p, y2020, counting(0x70, 32));
        o.host.tpk = p.host.tpk;
        o.host.user = rows[i].asked ? (void *)&o : (void *)&p;
        o.n = o.keys.n;
        empty(&room, sizeof room.octets);
        expect_err("policy", mkt_policy_decode(&policy, &ticket.ticket), MKT_OK);
        policy.type = rows[i].type;
        expect_err(rows[i].flags, mkt_ticket_resolve(&o.host, &ticket, &policy, false, &room.buf, &keys, NULL), MKT_OK);
        ck_assert(o.calls == rows[i].asked);
    }
}
END_TEST

/* A host whose seal() appends so many octets, or as many as it may. */
struct sealer {
    struct player player;
    size_t calls, n, more; /* octets that it writes, and others that it says it has written */
    enum mkt_err err;
};

static enum mkt_err seal_own(void *user, const struct mkt_policy *policy, struct mkt_span keys, struct mkt_buf *data)
{
    struct sealer *s = user;
    (void)policy;
    s->calls++;
    ck_assert(keys.n > 0 && data->n == 0 && data->cap >= 4000);
    const size_t n = s->n == 0 ? data->cap : s->n;
    memset(data->p, SECRET, n);
    data->n = n + s->more;
    return s->err;
}

static enum mkt_err never_opened(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                 struct mkt_buf *keys)
{
    (void)user, (void)ticket, (void)policy, (void)keys;
    ck_abort_msg("opened");
    return MKT_E_NO_KEY;
}

START_TEST(a_host_makes_tickets_of_its_own)
{
    const struct mkt_key_wish mpk = {.size = sizeof mpk, .type = MKT_KEY_MPK};
    const struct {
        size_t n, more;
        bool wants_mpk;
        enum mkt_err err, want;
    } rows[] = {
        {9, 0, false, MKT_OK, MKT_OK},
        {4000, 0, false, MKT_OK, MKT_OK},
        {0, 0, false, MKT_OK, MKT_E_BUFFER},      /* all that there is: no room for the ticket */
        {0, 1, false, MKT_OK, MKT_E_BUNDLE_FULL}, /* more than there is */
        {9, SIZE_MAX / 2, false, MKT_OK, MKT_E_BUNDLE_FULL},
        {9, 0, false, MKT_E_DENIED, MKT_E_DENIED},
        {0, 1, false, MKT_E_DENIED, MKT_E_DENIED},
        {9, 0, true, MKT_OK, MKT_E_MPK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sealer s = {.n = rows[i].n, .more = rows[i].more, .err = rows[i].err};
        struct mkt_policy policy = granted(MKT_SUITE_256);
        struct mkt_ticket_recipe recipe = {
            .size = sizeof recipe, .policy = &policy, .keys = rows[i].wants_mpk ? &mpk : &one_tgk, .n_keys = 1};
        struct mkt_ticket *ticket = NULL;
        struct mkt_payload payload;
        player_init(&s.player, y2020, text(""));
        s.player.host.seal = seal_own;
        s.player.host.open = never_opened;
        s.player.host.user = &s;
        policy.type = 61440;
        enum mkt_err err = mkt_ticket_make(&ticket, &s.player.host, &recipe);
        ck_assert_msg(err == rows[i].want, "row %zu: %s, not %s", i, mkt_err_name(err), mkt_err_name(rows[i].want));
        ck_assert((ticket != NULL) == (err == MKT_OK) && s.calls == !rows[i].wants_mpk);
        if (err == MKT_OK) {
            expect_err("payload", mkt_ticket_payload_of(ticket->payload, &payload, NULL), MKT_OK);
            ck_assert_uint_eq(payload.ticket.ticket_data.n, s.n);
            ck_assert(payload.ticket.ticket_data.p[0] == SECRET && payload.ticket.ticket_data.p[s.n - 1] == SECRET);
        }
        mkt_ticket_free(ticket);
        ck_assert_uint_eq(s.player.live, 0);
    }
}
END_TEST

/* ---- keys ---- */

START_TEST(keys_are_random_or_as_given)
{
    static const struct {
        uint8_t type;
        bool salt;
    } types[] = {{MKT_KEY_TGK, false},     {MKT_KEY_TGK_SALT, true}, {MKT_KEY_TEK, false},
                 {MKT_KEY_TEK_SALT, true}, {MKT_KEY_GTGK, false},    {MKT_KEY_GTGK_SALT, true}};
    for (size_t s = 0; s < SUITES; s++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            for (int given = 0; given < 3; given++) {
                struct made m;
                prepare(&m, suites[s]);
                struct mkt_key_wish wish = {.size = sizeof wish, .type = types[t].type};
                size_t key_n = suite_key[s], salt_n = 14; /* by default */
                if (given == 0)
                    wish.key = wish.salt = text(""); /* "empty: random" */
                if (given == 1) {
                    wish.length = key_n = 16;
                    wish.salt_length = salt_n = 20;
                }
                if (given == 2) {
                    wish.key = counting(1, key_n);
                    wish.salt = counting(2, salt_n = 3);
                }
                m.recipe.keys = &wish;
                expect_made("made", &m);
                for (int holder = 0; holder < 2; holder++) {
                    struct mkt_key_data key = nth(holder != 0 ? m.ticket->keys : opened(&m), 1);
                    ck_assert_uint_eq(key.type, types[t].type);
                    ck_assert_uint_eq(key.key.n, key_n);
                    ck_assert_uint_eq(key.salt.n, types[t].salt ? salt_n : 0);
                    ck_assert(key.kv.type == MKT_KV_SPI && key.kv.spi.n == 4);
                    if (given == 2) {
                        expect_octets("key", key.key, wish.key);
                        expect_octets("salt", key.salt, types[t].salt ? wish.salt : (struct mkt_span){NULL, 0});
                    }
                }
                expect_octets("the holder's", nth(m.ticket->keys, 1).key, nth(opened(&m), 1).key);
                release(&m);
            }
}
END_TEST

/* D30: an SPI that is given is kept. An interval is for requests alone, and "any SPI" too: the SPI is drawn. */
START_TEST(spis_are_random_or_as_given)
{
    static const uint8_t drawn[] = "abcd";
    const struct mkt_key_wish wishes[] = {
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .kv = {.type = MKT_KV_SPI, .spi = counting(9, 7)}},
        {.size = sizeof(struct mkt_key_wish),
         .type = MKT_KEY_TEK_SALT,
         .kv = {.type = MKT_KV_SPI, .spi = counting(9, 255)},
         .any_spi = true},
        {.size = sizeof(struct mkt_key_wish),
         .type = MKT_KEY_GTGK,
         .kv = {.type = MKT_KV_INTERVAL, .from = counting(3, 6), .to = counting(4, 6)}},
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .any_spi = true},
    };
    struct mkt_key_wish many[MKT_MAX_KEYS - 2];
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish),
                                        .type = MKT_KEY_TGK,
                                        .kv = {.type = MKT_KV_SPI, .spi = counting((uint8_t)i, 255)}};
    for (size_t s = 0; s < SUITES; s++) {
        struct made m;
        struct mkt_key_wish twice[] = {
            wishes[0], {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}, wishes[0]};
        prepare(&m, suites[s]);
        m.recipe.keys = wishes;
        m.recipe.n_keys = 4;
        expect_made("made", &m);
        const struct mkt_span keys = opened(&m);
        for (size_t i = 0; i < 2; i++)
            expect_octets("given", nth(keys, 1 + i).kv.spi, wishes[i].kv.spi);
        for (size_t i = 2; i < 4; i++)
            ck_assert(nth(keys, 1 + i).kv.type == MKT_KV_SPI && nth(keys, 1 + i).kv.spi.n == 4);
        release(&m);

        prepare(&m, suites[s]);
        m.recipe.keys = twice;
        m.recipe.n_keys = 3;
        expect_refused("an SPI twice", &m, MKT_E_SPI);
        /* one that is drawn is never one that another key is given, before it or after it */
        twice[0] = twice[1];
        twice[2].kv.spi = (struct mkt_span){drawn, 4};
        player_random(&m.player, counting(1, 2 * (suite_key[s] + 4) + suite_key[s]));
        player_random(&m.player, (struct mkt_span){drawn, 4});
        expect_made("drawn again", &m);
        ck_assert(!mkt_span_equal(nth(opened(&m), 2).kv.spi, twice[2].kv.spi));
        expect_octets("given", nth(opened(&m), 3).kv.spi, twice[2].kv.spi);
        release(&m);

        prepare(&m, suites[s]);
        m.policy.flags |= MKT_FLAG_E | MKT_FLAG_I;
        m.recipe.keys = many;
        m.recipe.n_keys = sizeof many / sizeof *many;
        expect_made("as many and as long as can be", &m);
        release(&m);
    }
}
END_TEST

/* "Random are, in this order: the MPK and its SPI, then for each key wished for the key, the salt and the SPI, then
   RAND, then with the I flag the SPI of MPKr." */
START_TEST(random_octets_are_used_in_the_order_of_the_header)
{
    struct made m;
    const struct mkt_key_wish wishes[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT},
                                          {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_GTGK}};
    prepare(&m, MKT_SUITE_128);
    m.recipe.keys = wishes;
    m.recipe.n_keys = 2;
    m.policy.flags |= MKT_FLAG_E | MKT_FLAG_I;
    struct mkt_span all = counting(1, 16 + 4 + 16 + 14 + 4 + 16 + 4 + 16 + 4);
    player_random(&m.player, all);
    expect_made("made", &m);
    struct mkt_span chain = opened(&m), held = m.ticket->keys;
    const struct mkt_span drawn[] = {
        nth(chain, 0).key,    nth(chain, 0).kv.spi, nth(chain, 1).key,    nth(chain, 1).salt,
        nth(chain, 1).kv.spi, nth(chain, 2).key,    nth(chain, 2).kv.spi, part(&m.payload, MKT_RAND).rand.rand,
        nth(held, 1).kv.spi,
    };
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++) {
        expect_octets("drawn", drawn[i], (struct mkt_span){all.p, drawn[i].n});
        all = (struct mkt_span){all.p + drawn[i].n, all.n - drawn[i].n};
    }
    ck_assert_uint_eq(all.n, 0);
    ck_assert_uint_eq(m.player.next_random, m.player.n_random);
    release(&m);
}
END_TEST

/* A.2.2, 4.2.1.5: the holder has MPKi, and with key forking MPKr, in place of the MPK. */
START_TEST(the_holder_has_mpki_and_with_the_i_flag_mpkr)
{
    for (size_t s = 0; s < SUITES; s++)
        for (size_t forked = 0; forked < 2; forked++)
            for (size_t n_keys = 0; n_keys < 2; n_keys++) {
                struct made m;
                uint8_t mpki[32], mpkr[32];
                prepare(&m, suites[s]);
                m.recipe.n_keys = n_keys;
                m.policy.flags |= forked != 0 ? MKT_FLAG_E | MKT_FLAG_I : 0;
                expect_made("made", &m);
                struct mkt_span chain = opened(&m), held = m.ticket->keys;
                struct mkt_key_data mpk = nth(chain, 0), i = nth(held, 0);
                const struct mkt_label by_rand = {.purpose = MKT_PURPOSE_MPK,
                                                  .rand = part(&m.payload, MKT_RAND).rand.rand};
                ck_assert_uint_eq(count(chain), 1 + n_keys);
                ck_assert_uint_eq(count(held), 1 + forked + n_keys);
                expect_err("MPKi", mkt_derive(suites[s], MKT_DERIVE_MPKI, mpk.key, &by_rand, mpki, mpk.key.n), MKT_OK);
                expect_err("MPKr", mkt_derive(suites[s], MKT_DERIVE_MPKR, mpk.key, &by_rand, mpkr, mpk.key.n), MKT_OK);
                ck_assert_uint_eq(i.type, MKT_KEY_MPK);
                expect_octets("MPKi", i.key, (struct mkt_span){mpki, suite_key[s]});
                expect_octets("D23: MPKi keeps the SPI", i.kv.spi, mpk.kv.spi);
                if (forked != 0) {
                    struct mkt_key_data r = nth(held, 1);
                    ck_assert_uint_eq(r.type, MKT_KEY_MPK);
                    expect_octets("MPKr", r.key, (struct mkt_span){mpkr, suite_key[s]});
                    ck_assert_msg(!mkt_span_equal(r.kv.spi, mpk.kv.spi), "D23: MPKr has an SPI of its own");
                }
                release(&m);
            }
}
END_TEST

START_TEST(keys_that_a_ticket_can_not_have_are_refused)
{
    static const uint8_t octets[65536] = {1};
    static const struct {
        enum mkt_suite suite;
        struct mkt_key_wish wish;
        enum mkt_err err;
    } rows[] = {
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .length = 15}, MKT_E_KEY_LENGTH},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .key = {octets, 15}}, MKT_E_KEY_LENGTH},
        {MKT_SUITE_256, {.type = MKT_KEY_TEK, .length = 1}, MKT_E_KEY_LENGTH},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .length = 16}, MKT_OK},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .length = 64}, MKT_OK},
        {MKT_SUITE_128, {.type = MKT_KEY_TGK, .length = 16}, MKT_OK},
        {MKT_SUITE_128, {.type = MKT_KEY_TGK, .length = 17}, MKT_E_KEY_LENGTH},
        {MKT_SUITE_128, {.type = MKT_KEY_TEK, .key = {octets, 32}}, MKT_E_KEY_LENGTH},
        {MKT_SUITE_128, {.type = MKT_KEY_GTGK_SALT, .length = 17}, MKT_E_KEY_LENGTH},
        {MKT_SUITE_256, {.type = MKT_KEY_TEK, .length = 64}, MKT_OK},
        {MKT_SUITE_256, {.type = MKT_KEY_TEK_SALT, .length = 65}, MKT_E_KEY_LENGTH}, /* D15 */
        {MKT_SUITE_256, {.type = MKT_KEY_MPK}, MKT_E_MPK},
        {MKT_SUITE_128, {.type = MKT_KEY_MPK, .key = {octets, 16}}, MKT_E_MPK},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .length = 65536}, MKT_E_ARGUMENT},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .key = {octets, 65536}}, MKT_E_ARGUMENT},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK_SALT, .salt_length = 65536}, MKT_E_ARGUMENT},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK_SALT, .salt = {octets, 65536}}, MKT_E_ARGUMENT},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .kv = {.type = MKT_KV_SPI}}, MKT_E_SPI},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .kv = {.type = MKT_KV_SPI, .spi = {octets, 255}}}, MKT_OK},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .kv = {.type = MKT_KV_SPI, .spi = {octets, 256}}}, MKT_E_ARGUMENT},
        {MKT_SUITE_256, {.type = MKT_KEY_TGK, .kv = {.type = MKT_KV_INTERVAL + 1}}, MKT_E_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mkt_key_wish wish = rows[i].wish;
        struct made m;
        char name[32];
        snprintf(name, sizeof name, "row %zu", i);
        prepare(&m, rows[i].suite);
        wish.size = sizeof wish;
        m.recipe.keys = &wish;
        if (rows[i].err != MKT_OK) {
            expect_refused(name, &m, rows[i].err);
            continue;
        }
        expect_made(name, &m);
        release(&m);
    }
}
END_TEST

/* The caller's fault, so of that class: a type that has no number in RFC 3830 table 6.13.a or RFC 6043 table 6.7. */
START_TEST(a_wish_for_no_type_of_key_is_a_wrong_argument)
{
    for (unsigned type = MKT_KEY_MPK + 1; type < 256; type += 8) {
        struct made m;
        const struct mkt_key_wish wish = {.size = sizeof wish, .type = (uint8_t)type};
        prepare(&m, MKT_SUITE_256);
        m.recipe.keys = &wish;
        expect_refused("type", &m, MKT_E_ARGUMENT);
    }
}
END_TEST

START_TEST(there_is_room_for_fewer_than_32_keys_beside_the_mpk)
{
    struct mkt_key_wish wishes[MKT_MAX_KEYS];
    struct made m;
    for (size_t i = 0; i < MKT_MAX_KEYS; i++)
        wishes[i] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT};
    prepare(&m, MKT_SUITE_256);
    m.recipe.keys = wishes;
    m.recipe.n_keys = MKT_MAX_KEYS;
    expect_refused("32", &m, MKT_E_ARGUMENT);
    m.policy.flags |= MKT_FLAG_E | MKT_FLAG_I;
    m.recipe.n_keys = MKT_MAX_KEYS - 2; /* MPKi and MPKr */
    expect_made("30 and two MPKs", &m);
    ck_assert_uint_eq(count(m.ticket->keys), MKT_MAX_KEYS);
    release(&m);
    m.policy = granted(MKT_SUITE_256);
    m.recipe.n_keys = MKT_MAX_KEYS - 1;
    expect_made("31", &m);
    ck_assert_uint_eq(count(opened(&m)), MKT_MAX_KEYS);
    release(&m);
}
END_TEST

/* 6.10: "The F flag SHALL be set to '1' when the I flag (key forking) is set to '1' and a TGK is encoded in the
 * ticket." */
START_TEST(a_forked_tgk_needs_the_f_flag)
{
    static const struct {
        uint8_t type;
        const char *flags;
        enum mkt_err err;
    } rows[] = {
        {MKT_KEY_TGK, "EHILNO", MKT_E_FLAGS}, {MKT_KEY_TGK_SALT, "EHILNO", MKT_E_FLAGS},
        {MKT_KEY_TGK, "EFHILNO", MKT_OK},     {MKT_KEY_GTGK, "EHILNO", MKT_OK},
        {MKT_KEY_TEK, "EHILNO", MKT_OK},      {MKT_KEY_TGK, "EHLNO", MKT_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made m;
        const struct mkt_key_wish wish = {.size = sizeof wish, .type = rows[i].type};
        prepare(&m, MKT_SUITE_256);
        m.recipe.keys = &wish;
        expect_err("flags", mkt_flags_parse(&m.policy.flags, rows[i].flags), MKT_OK);
        enum mkt_err err = make(&m);
        ck_assert_msg(err == rows[i].err, "row %zu: %s", i, mkt_err_name(err));
        release(&m);
    }
}
END_TEST

/* 12.1: "the RAND in the MIKEY base ticket MUST at least be as long as the longest of TPK and MPK" */
START_TEST(rand_is_as_long_as_the_longest_of_tpk_and_mpk)
{
    static const size_t lengths[] = {16, 17, 20, 32, 33, 48, 64};
    for (size_t s = 0; s < SUITES; s++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            struct made m;
            prepare(&m, suites[s]);
            m.recipe.tpk = counting(1, lengths[l]);
            expect_made("made", &m);
            size_t rand = part(&m.payload, MKT_RAND).rand.rand.n;
            ck_assert_uint_ge(rand, lengths[l]);
            ck_assert_uint_ge(rand, nth(opened(&m), 0).key.n);
            release(&m);
        }
}
END_TEST

/* IDRpsk is there if the TPK has a name, which may be short or long. */
START_TEST(a_tpk_has_a_name_or_none)
{
    static const size_t lengths[] = {0, 1, 255, 256, 60000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct made m;
        struct mkt_payload parts[8];
        uint16_t type = MKT_THDR;
        size_t n = 0;
        prepare(&m, MKT_SUITE_256);
        m.recipe.tpk_id = (struct mkt_id){.type = MKT_ID_BYTES, .data = counting(7, lengths[i])};
        expect_made("made", &m);
        struct mkt_span rest = m.payload.ticket.ticket_data;
        while (type != MKT_LAST)
            expect_err("part", mkt_payload_decode(&parts[n++], &type, &rest), MKT_OK);
        ck_assert_uint_eq(n, lengths[i] > 0 ? 6 : 5);
        if (lengths[i] > 0) {
            ck_assert(parts[4].type == MKT_IDR && parts[4].id.role == MKT_IDR_PSK && parts[4].id.type == MKT_ID_BYTES);
            expect_octets("name", parts[4].id.data, m.recipe.tpk_id.data);
        }
        ck_assert_uint_eq(parts[n - 1].type, MKT_V);
        ck_assert_uint_eq(count(opened(&m)), 2);
        release(&m);
    }
}
END_TEST

/* There is room for whatever the lengths of the payloads allow. */
START_TEST(a_ticket_may_be_large)
{
    struct mkt_key_wish wishes[MKT_MAX_KEYS - 2];
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        wishes[i] = (struct mkt_key_wish){
            .size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT, .length = 1000, .salt_length = 1000};
    wishes[1].key = wishes[2].salt = counting(3, 1000);
    for (size_t i = 3; i < sizeof wishes / sizeof *wishes; i++)
        wishes[i].kv = (struct mkt_kv){.type = MKT_KV_SPI, .spi = counting((uint8_t)i, 100)};
    for (unsigned which = 1; which < 8; which++) {
        struct made m;
        prepare(&m, MKT_SUITE_256);
        m.policy.flags |= MKT_FLAG_E | MKT_FLAG_I;
        m.recipe.tpk = counting(0x70, MKT_MAX_TPK);
        if (which & 1) {
            m.recipe.keys = wishes;
            m.recipe.n_keys = which == 1 ? sizeof wishes / sizeof *wishes : 10;
        }
        while ((which & 2) != 0 && m.policy.n_responders < MKT_MAX_RESPONDERS)
            m.policy.responder[m.policy.n_responders++] = (struct mkt_id){.data = counting(1, 3000)};
        if (which & 4)
            m.recipe.tpk_id = (struct mkt_id){.type = MKT_ID_BYTES, .data = counting(1, 40000)};
        expect_made("large", &m);
        ck_assert_uint_eq(count(m.ticket->keys), 2 + m.recipe.n_keys);
        release(&m);
    }
    struct made m;
    prepare(&m, MKT_SUITE_256);
    wishes[0] = one_tgk;
    wishes[1] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 65536};
    m.recipe.keys = wishes;
    m.recipe.n_keys = 2;
    expect_refused("the second key", &m, MKT_E_ARGUMENT);
    wishes[1] =
        (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT, .salt_length = 65535};
    expect_refused("longer than a KEMAC", &m, MKT_E_LENGTH);
    wishes[1] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .length = 65535};
    expect_refused("longer than a KEMAC", &m, MKT_E_LENGTH);
    wishes[1] =
        (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK, .key = counting(1, 65535)};
    expect_refused("longer than a KEMAC", &m, MKT_E_LENGTH);
    wishes[1] = (struct mkt_key_wish){
        .size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT, .salt = counting(1, 65535)};
    expect_refused("longer than a KEMAC", &m, MKT_E_LENGTH);
    m.recipe.n_keys = 1;
    m.recipe.tpk_id = (struct mkt_id){.type = MKT_ID_BYTES, .data = counting(1, 65535)};
    expect_refused("longer than Ticket Data", &m, MKT_E_LENGTH);
}
END_TEST

START_TEST(a_recipe_that_makes_no_ticket_is_refused)
{
#define REFUSED(err, change)                                                                                           \
    do {                                                                                                               \
        struct made m;                                                                                                 \
        prepare(&m, MKT_SUITE_256);                                                                                    \
        change;                                                                                                        \
        expect_refused(#change, &m, err);                                                                              \
    } while (0)
    REFUSED(MKT_E_ARGUMENT, m.recipe.policy = NULL);
    REFUSED(MKT_E_KEY_LENGTH, m.recipe.tpk.n = 15);
    REFUSED(MKT_E_KEY_LENGTH, m.recipe.tpk.n = 0);
    REFUSED(MKT_E_ARGUMENT, m.recipe.tpk = counting(1, MKT_MAX_TPK + 1));
    REFUSED(MKT_E_ARGUMENT, m.recipe.tpk_id.data = counting(1, 65536));
    REFUSED(MKT_E_ARGUMENT, m.policy.n_responders = MKT_MAX_RESPONDERS + 1);
    REFUSED(MKT_E_FLAGS, m.policy.flags = 0);
    REFUSED(MKT_E_TICKET_TYPE, m.policy.type = 2);
    REFUSED(MKT_E_PRF, m.policy.prf = 2);
    REFUSED(MKT_E_POLICY, m.policy.n_responders = 0);
    REFUSED(MKT_E_POLICY, m.policy.has_kemac = true);
    REFUSED(MKT_E_LENGTH, m.policy.responder[0].data = counting(1, 65536));
    REFUSED(MKT_E_LENGTH, m.policy.kms.data = m.policy.initiator.data = counting(1, 40000)); /* TP Data too long */
    REFUSED(MKT_E_EXPIRED, m.policy.has_end = true; m.policy.end = y2020 - ntp(1));
    REFUSED(MKT_E_COUNTER, m.recipe.counter = true);
#undef REFUSED
    struct made m;
    prepare(&m, MKT_SUITE_256);
    m.policy.has_start = true;
    m.policy.start = y2020 + ntp(3600);
    expect_made("its validity may begin later", &m);
    release(&m);
}
END_TEST

static enum mkt_err counter(void *user, uint32_t *value)
{
    (void)user;
    *value = 0x01020304;
    return MKT_OK;
}

START_TEST(a_ticket_may_have_a_counter)
{
    struct made m;
    prepare(&m, MKT_SUITE_128);
    m.player.host.counter_next = counter;
    m.recipe.counter = true;
    expect_made("made", &m);
    ck_assert(part(&m.payload, MKT_T).t.ts_type == MKT_TS_COUNTER && part(&m.payload, MKT_T).t.value == 0x01020304);
    ck_assert_uint_eq(count(opened(&m)), 2);
    release(&m);
}
END_TEST

/* ---- keeping a ticket ---- */

static struct mkt_span stored(const struct mkt_ticket *ticket)
{
    static uint8_t octets[8192];
    struct mkt_buf buf = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    expect_err("put", mkt_ticket_save(ticket, &buf), MKT_OK);
    expect_err("measure", mkt_ticket_save(ticket, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, buf.n);
    measured = (struct mkt_buf){octets, buf.n - 1, 0};
    expect_err("small", mkt_ticket_save(ticket, &measured), MKT_E_BUFFER);
    expect_err("put", mkt_ticket_save(ticket, &(struct mkt_buf){octets, sizeof octets, 0}), MKT_OK);
    return exact((struct mkt_span){octets, buf.n});
}

START_TEST(a_stored_ticket_is_read_again)
{
    for (size_t s = 0; s < SUITES; s++)
        for (int forked = 0; forked < 2; forked++) {
            struct made m;
            struct mkt_ticket *again = NULL;
            struct mkt_policy policy;
            prepare(&m, suites[s]);
            m.policy.flags |= forked != 0 ? MKT_FLAG_E | MKT_FLAG_I : 0;
            expect_made("made", &m);
            struct mkt_span kept = stored(m.ticket);
            /* the octet 1, a 32-bit length and the TICKET payload, a 32-bit length and the keys */
            size_t n = m.payload.octets.n, k = m.ticket->keys.n;
            ck_assert(kept.n == 1 + 4 + n + 4 + k && kept.p[0] == 1);
            ck_assert(kept.p[1] == 0 && kept.p[2] == 0 && kept.p[3] == n >> 8 && kept.p[4] == (n & 0xff));
            expect_octets("payload", (struct mkt_span){kept.p + 5, n}, m.payload.octets);
            expect_octets("keys", (struct mkt_span){kept.p + 9 + n, k}, m.ticket->keys);

            expect_err("get", mkt_ticket_load(&again, &m.player.host, kept), MKT_OK);
            expect_octets("again", stored(again), kept);
            expect_err("policy", mkt_ticket_policy(again, &policy), MKT_OK);
            ck_assert_uint_eq(policy.flags, m.policy.flags);
            ck_assert(mkt_id_equal(&policy.responder[0], &m.policy.responder[0]));
            mkt_ticket_free(again);

            for (size_t cut = 0; cut < kept.n; cut++) {
                enum mkt_err err = mkt_ticket_load(&again, &m.player.host, exact((struct mkt_span){kept.p, cut}));
                ck_assert_msg(err == MKT_E_STORED && again == NULL, "%zu octets: %s", cut, mkt_err_name(err));
                ck_assert_uint_eq(m.player.live, 1);
            }
            release(&m);
        }
}
END_TEST

START_TEST(what_is_no_stored_ticket_is_refused)
{
    struct made m;
    struct mkt_ticket *again = NULL;
    prepare(&m, MKT_SUITE_256);
    expect_made("made", &m);
    struct mkt_span kept = stored(m.ticket), ticket = {m.payload.octets.p + 1, m.payload.octets.n - 3};
    struct mkt_span keys = exact(m.ticket->keys);
    const size_t at_keys = 5 + m.payload.octets.n + 4; /* octets of a key */
    uint8_t *changed = malloc(kept.n + 1);

#define REFUSED(err, change)                                                                                           \
    do {                                                                                                               \
        size_t n = kept.n;                                                                                             \
        again = (struct mkt_ticket *)&m;                                                                               \
        memcpy(changed, kept.p, n);                                                                                    \
        change;                                                                                                        \
        expect_err(#change, mkt_ticket_load(&again, &m.player.host, (struct mkt_span){changed, n}), err);              \
        ck_assert(again == NULL && m.player.live == 1);                                                                \
    } while (0)
    REFUSED(MKT_E_STORED, changed[0] = 0);
    REFUSED(MKT_E_STORED, changed[0] = 2);
    REFUSED(MKT_E_STORED, changed[n++] = 0);
    REFUSED(MKT_E_STORED, changed[1] = 0xff);
    REFUSED(MKT_E_STORED, changed[5] = 1); /* another payload follows, and is not there */
    REFUSED(MKT_E_TRUNCATED, changed[5] = 1; changed[13] = 0xff);
    REFUSED(MKT_E_TRUNCATED, changed[13] = 0xff);  /* TP Data longer than the payload */
    REFUSED(MKT_E_PRF, changed[10] |= 4);          /* PRF Func 3 */
    REFUSED(MKT_E_FLAGS, changed[11] &= 0xbf);     /* G without F */
    REFUSED(MKT_E_MPK, changed[at_keys + 1] = 1);  /* a TGK in place of the MPK */
    REFUSED(MKT_E_TRAILING, changed[at_keys] = 0); /* the first key says that it is the last */
#undef REFUSED

    /* Initiator Data is of a message, not of a ticket */
    struct mkt_span with_data = exact(stored_ticket(ticket, keys));
    memcpy(changed, with_data.p, with_data.n);
    expect_err("as kept", mkt_ticket_load(&again, &m.player.host, (struct mkt_span){changed, with_data.n}), MKT_OK);
    mkt_ticket_free(again);
    uint8_t *longer = malloc(kept.n + 1);
    size_t n = 5 + m.payload.octets.n;
    memcpy(longer, kept.p, n);
    longer[3] = (uint8_t)((n - 4) >> 8);
    longer[4] = (uint8_t)(n - 4);
    longer[n - 1] = 1;
    longer[n] = 0xaa;
    memcpy(longer + n + 1, kept.p + n, kept.n - n);
    expect_err("Initiator Data", mkt_ticket_load(&again, &m.player.host, (struct mkt_span){longer, kept.n + 1}),
               MKT_E_STORED);
    ck_assert_ptr_null(again);

    /* no keys at all */
    expect_err("no keys", mkt_ticket_load(&again, &m.player.host, stored_ticket(ticket, from_hex("-"))), MKT_E_MPK);
    ck_assert(again == NULL && m.player.live == 1);
    free(longer);
    free(changed);
    release(&m);
}
END_TEST

/* 6.10: J, "whether the ticket MAY be reused ('1') and therefore MAY be cached" */
START_TEST(a_ticket_that_was_used_is_kept_only_with_the_j_flag)
{
    for (int reusable = 0; reusable < 2; reusable++) {
        struct made m;
        struct mkt_buf measured = {NULL, 0, 0};
        prepare(&m, MKT_SUITE_256);
        m.policy.flags &= (uint16_t)(reusable != 0 ? 0xfff : 0xfff & ~MKT_FLAG_J);
        expect_made("made", &m);
        ck_assert(!m.ticket->used);
        expect_err("unused", mkt_ticket_save(m.ticket, &measured), MKT_OK);
        m.ticket->used = true;
        ck_assert(m.ticket->used);
        expect_err("used", mkt_ticket_save(m.ticket, &measured), reusable != 0 ? MKT_OK : MKT_E_REUSE);
        release(&m);
    }
}
END_TEST

/* The first octet is 2 for a ticket that counts as used; 1 hands a ticket out (RFC 6043 4.1.1). */
START_TEST(a_ticket_without_j_is_stored_as_used)
{
    struct made m;
    struct mkt_ticket *again = NULL;
    struct mkt_buf measured = {NULL, 0, 0};
    uint8_t octets[2048];
    prepare(&m, MKT_SUITE_256);
    m.policy.flags &= (uint16_t)(0xfff & ~MKT_FLAG_J);
    expect_made("made", &m);
    const struct mkt_span kept = stored(m.ticket);
    ck_assert_uint_eq(kept.p[0], 2);
    ck_assert(!m.ticket->used);
    ck_assert_uint_le(kept.n, sizeof octets);
    memcpy(octets, kept.p, kept.n);
    for (unsigned mark = 0; mark < 256; mark++) {
        octets[0] = (uint8_t)mark;
        const enum mkt_err err = mkt_ticket_load(&again, &m.player.host, (struct mkt_span){octets, kept.n});
        expect_err("mark", err, mark == 1 || mark == 2 ? MKT_OK : MKT_E_STORED);
        ck_assert((again != NULL) == (err == MKT_OK));
        if (err != MKT_OK)
            continue;
        ck_assert(again->used == (mark == 2));
        expect_octets("keys", again->keys, m.ticket->keys);
        expect_err("kept again", mkt_ticket_save(again, &measured), mark == 1 ? MKT_OK : MKT_E_REUSE);
        mkt_ticket_free(again);
    }
    release(&m);
}
END_TEST

/* With I there are two MPKs, without it one. */
START_TEST(a_stored_ticket_has_as_many_mpks_as_its_i_flag_says)
{
    for (int forked = 0; forked < 2; forked++) {
        struct made one, two;
        struct mkt_ticket *again = NULL;
        prepare(&one, MKT_SUITE_256);
        prepare(&two, MKT_SUITE_256);
        two.policy.flags |= MKT_FLAG_E | MKT_FLAG_I;
        expect_made("one", &one);
        expect_made("two", &two);
        const struct made *policy_of_one = forked != 0 ? &two : &one, *keys_of_other = forked != 0 ? &one : &two;
        const struct mkt_span ticket = {policy_of_one->payload.octets.p + 1, policy_of_one->payload.octets.n - 3};
        struct mkt_span octets = stored_ticket(ticket, keys_of_other->ticket->keys);
        expect_err("MPKs", mkt_ticket_load(&again, &one.player.host, octets), MKT_E_MPK);
        ck_assert_ptr_null(again);
        release(&one);
        release(&two);
    }
}
END_TEST

/* The suite of the policy and its flags say what the keys of a stored ticket must be like. */
START_TEST(a_stored_ticket_has_keys_as_its_policy_says)
{
    static const struct {
        const char *flags;
        enum mkt_suite suite;
        uint8_t length;
        enum mkt_err err;
    } rows[] = {
        {"FGHLNO", MKT_SUITE_128, 16, MKT_OK},      {"FGHLNO", MKT_SUITE_128, 17, MKT_E_KEY_LENGTH},
        {"FGHLNO", MKT_SUITE_256, 17, MKT_OK},      {"EFHILNO", MKT_SUITE_256, 32, MKT_OK},
        {"EHILNO", MKT_SUITE_256, 32, MKT_E_FLAGS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const bool forked = strchr(rows[i].flags, 'I') != NULL;
        struct made m;
        struct mkt_ticket *again = NULL;
        uint8_t octets[512];
        struct mkt_buf keys = {octets, sizeof octets, 0};
        struct mkt_payload chain[3] = {
            {.type = MKT_KEY_DATA, .key_data = {.type = MKT_KEY_MPK, .key = counting(1, 32)}}};
        chain[1] = chain[2] = chain[0];
        chain[2].key_data = (struct mkt_key_data){.type = MKT_KEY_TGK, .key = counting(2, rows[i].length)};
        for (size_t k = 0; k < 3; k++)
            chain[k].key_data.kv = (struct mkt_kv){.type = MKT_KV_SPI, .spi = counting((uint8_t)k, 4)};
        expect_err("keys", mkt_payloads_encode(chain + !forked, forked ? 3 : 2, &keys), MKT_OK);
        prepare(&m, rows[i].suite);
        m.recipe.n_keys = 0;
        expect_err("flags", mkt_flags_parse(&m.policy.flags, rows[i].flags), MKT_OK);
        expect_made("made", &m);
        const struct mkt_span ticket = {m.payload.octets.p + 1, m.payload.octets.n - 3};
        const struct mkt_span kept = stored_ticket(ticket, (struct mkt_span){octets, keys.n});
        expect_err(rows[i].flags, mkt_ticket_load(&again, &m.player.host, kept), rows[i].err);
        mkt_ticket_free(again);
        release(&m);
    }
}
END_TEST

/* ---- a host that fails ---- */

static size_t calls_left; /* until the callback fails */
static void *(*player_alloc)(void *user, size_t n);
static enum mkt_err (*player_random_octets)(void *user, uint8_t *out, size_t n);

static void *alloc_until(void *user, size_t n)
{
    return calls_left-- == 0 ? NULL : player_alloc(user, n);
}

static enum mkt_err random_until(void *user, uint8_t *out, size_t n)
{
    return calls_left-- == 0 ? MKT_E_RANDOM : player_random_octets(user, out, n);
}

static enum mkt_err same_random(void *user, uint8_t *out, size_t n)
{
    (void)user;
    memset(out, 7, n);
    return MKT_OK;
}

static enum mkt_err no_clock(void *user, mkt_ntp *now)
{
    (void)user;
    (void)now;
    return MKT_E_CLOCK;
}

START_TEST(without_memory_nothing_is_made_and_nothing_is_lost)
{
    size_t failed = 0;
    for (size_t n = 0;; n++) {
        struct made m;
        prepare(&m, MKT_SUITE_256);
        player_alloc = m.player.host.alloc;
        m.player.host.alloc = alloc_until;
        calls_left = n;
        enum mkt_err err = make(&m);
        if (err == MKT_OK) {
            struct mkt_ticket *again = (struct mkt_ticket *)1;
            struct mkt_span kept = stored(m.ticket);
            calls_left = 0;
            expect_err("get", mkt_ticket_load(&again, &m.player.host, kept), MKT_E_MEMORY);
            ck_assert_ptr_null(again);
            release(&m);
            break;
        }
        expect_err("make", err, MKT_E_MEMORY);
        ck_assert(m.ticket == NULL && m.player.live == 0 && m.player.logged == MKT_E_MEMORY);
        failed++;
    }
    ck_assert_uint_gt(failed, 0);
}
END_TEST

START_TEST(without_random_octets_nothing_is_made)
{
    static const struct mkt_key_wish wishes[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT},
                                                 {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}};
    size_t failed = 0;
    for (size_t n = 0;; n++) {
        struct made m;
        prepare(&m, MKT_SUITE_256);
        m.policy.flags |= MKT_FLAG_E | MKT_FLAG_I;
        m.recipe.keys = wishes;
        m.recipe.n_keys = 2;
        player_random_octets = m.player.host.random;
        m.player.host.random = random_until;
        calls_left = n;
        enum mkt_err err = make(&m);
        if (err == MKT_OK) {
            release(&m);
            break;
        }
        expect_err("make", err, MKT_E_RANDOM);
        ck_assert(m.ticket == NULL && m.player.live == 0 && m.player.logged == MKT_E_RANDOM);
        failed++;
    }
    ck_assert_uint_ge(failed, 9); /* MPK, SPI, TGK, salt, SPI, TEK, SPI, RAND, SPI of MPKr */
}
END_TEST

START_TEST(spis_that_are_always_the_same_are_no_spis)
{
    struct made m;
    prepare(&m, MKT_SUITE_256);
    m.player.host.random = same_random;
    expect_refused("same octets", &m, MKT_E_RANDOM);
    /* the first SPI of the TGK is that of the MPK: another is drawn */
    prepare(&m, MKT_SUITE_128);
    player_random(&m.player, counting(1, 16));
    player_random(&m.player, from_hex("aaaaaaaa"));
    player_random(&m.player, counting(1, 16));
    player_random(&m.player, from_hex("aaaaaaaaaaaaaaaabbbbbbbb"));
    expect_made("another", &m);
    expect_octets("MPK", nth(opened(&m), 0).kv.spi, from_hex("aaaaaaaa"));
    expect_octets("TGK", nth(opened(&m), 1).kv.spi, from_hex("bbbbbbbb"));
    release(&m);
}
END_TEST

START_TEST(without_a_clock_nothing_is_made)
{
    struct made m;
    prepare(&m, MKT_SUITE_256);
    m.player.host.now = no_clock;
    expect_refused("no clock", &m, MKT_E_CLOCK);
    m.player.host.counter_next = counter;
    m.recipe.counter = true;
    expect_refused("no clock to judge the validity by", &m, MKT_E_CLOCK);
    mkt_ticket_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ticket");
    TCase *tcase = tcase_create("ticket");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_loop_test(tcase, a_ticket_is_opened_with_its_tpk_and_no_other, 0, SUITES);
    tcase_add_loop_test(tcase, keys_of_a_ticket_are_appended, 0, SUITES);
    tcase_add_test(tcase, the_keys_of_a_ticket_can_be_measured);
    tcase_add_loop_test(tcase, every_bit_of_a_ticket_counts, 0, SUITES);
    tcase_add_test(tcase, a_ticket_with_the_right_mac_is_refused_for_what_is_in_it);
    tcase_add_test(tcase, initiator_data_is_not_covered_by_the_mac_of_a_ticket);
    tcase_add_test(tcase, a_ticket_with_a_policy_that_is_not_sound_is_not_opened);
    tcase_add_loop_test(tcase, the_keys_of_a_resolved_ticket, 0, 10);
    tcase_add_test(tcase, a_host_is_asked_for_the_tpk);
    tcase_add_test(tcase, a_host_opens_tickets_of_its_own);
    tcase_add_test(tcase, a_host_is_asked_to_open_what_is_not_a_base_ticket);
    tcase_add_test(tcase, a_host_makes_tickets_of_its_own);
    tcase_add_test(tcase, keys_are_random_or_as_given);
    tcase_add_test(tcase, spis_are_random_or_as_given);
    tcase_add_test(tcase, random_octets_are_used_in_the_order_of_the_header);
    tcase_add_test(tcase, the_holder_has_mpki_and_with_the_i_flag_mpkr);
    tcase_add_test(tcase, keys_that_a_ticket_can_not_have_are_refused);
    tcase_add_test(tcase, a_wish_for_no_type_of_key_is_a_wrong_argument);
    tcase_add_test(tcase, there_is_room_for_fewer_than_32_keys_beside_the_mpk);
    tcase_add_test(tcase, a_forked_tgk_needs_the_f_flag);
    tcase_add_test(tcase, rand_is_as_long_as_the_longest_of_tpk_and_mpk);
    tcase_add_test(tcase, a_tpk_has_a_name_or_none);
    tcase_add_test(tcase, a_ticket_may_be_large);
    tcase_add_test(tcase, a_stored_ticket_has_keys_as_its_policy_says);
    tcase_add_test(tcase, a_recipe_that_makes_no_ticket_is_refused);
    tcase_add_test(tcase, a_ticket_may_have_a_counter);
    tcase_add_test(tcase, a_stored_ticket_is_read_again);
    tcase_add_test(tcase, what_is_no_stored_ticket_is_refused);
    tcase_add_test(tcase, a_ticket_that_was_used_is_kept_only_with_the_j_flag);
    tcase_add_test(tcase, a_ticket_without_j_is_stored_as_used);
    tcase_add_test(tcase, a_stored_ticket_has_as_many_mpks_as_its_i_flag_says);
    tcase_add_test(tcase, without_memory_nothing_is_made_and_nothing_is_lost);
    tcase_add_test(tcase, without_random_octets_nothing_is_made);
    tcase_add_test(tcase, spis_that_are_always_the_same_are_no_spis);
    tcase_add_test(tcase, without_a_clock_nothing_is_made);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
