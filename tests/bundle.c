/* SPDX-License-Identifier: BSD-3-Clause */
/* bundle: how the room of a bundle is packed, and bundles that are kept as octets, whole or damaged. */
#include "play.h"

#include "bundle.h"
#include "flow.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

/* ---- packing ---- */

enum { SPANS = 14 + MKT_CHAINS };

/* All that a bundle views. */
static void spans_of(struct mkt_bundle *b, struct mkt_span *span[SPANS])
{
    size_t n = 0;
    span[n++] = &b->init;
    span[n++] = &b->asked_kms;
    span[n++] = &b->psk;
    span[n++] = &b->randi;
    span[n++] = &b->randr;
    span[n++] = &b->randkms;
    span[n++] = &b->mpki;
    span[n++] = &b->mpkr;
    span[n++] = &b->map;
    span[n++] = &b->sps;
    span[n++] = &b->ticket;
    span[n++] = &b->initiator.data;
    span[n++] = &b->called.data;
    span[n++] = &b->responder.data;
    for (size_t c = 0; c < MKT_CHAINS; c++)
        span[n++] = &b->keys[c];
}

enum { ROOM = 64, BEHIND = 4 };

/* An assertion for loops: Check writes down each of its own. */
static void must(bool holds, const char *what)
{
    if (!holds)
        ck_abort_msg("%s", what);
}

/* Packs, and looks: the views have their octets, nothing else is there, what was behind is wiped and no more. */
static void expect_packed(struct mkt_bundle *b, size_t used)
{
    uint8_t octets[ROOM + BEHIND], want[SPANS][ROOM];
    size_t n[SPANS], union_n = 0;
    bool viewed[ROOM] = {false};
    struct mkt_buf room = {octets, sizeof octets, used};
    struct mkt_span *span[SPANS];
    spans_of(b, span);
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (uint8_t)(i + 1);
    for (size_t s = 0; s < SPANS; s++) {
        n[s] = span[s]->n;
        const size_t at = (size_t)(uintptr_t)span[s]->p; /* until now it was an offset */
        span[s]->p = octets + at;
        for (size_t i = 0; i < n[s]; i++) {
            want[s][i] = octets[at + i];
            viewed[at + i] = true;
        }
    }
    for (size_t i = 0; i < ROOM; i++)
        union_n += viewed[i];
    mkt_bundle_pack(b, &room);
    must(room.n == union_n, "as much as is viewed");
    for (size_t s = 0; s < SPANS; s++) {
        must(span[s]->n == n[s], "length");
        if (n[s] == 0)
            continue;
        must(span[s]->p >= octets && span[s]->p + n[s] <= octets + room.n, "view of the room");
        must(memcmp(span[s]->p, want[s], n[s]) == 0, "the octets it had");
    }
    for (size_t i = room.n; i < sizeof octets; i++)
        must(octets[i] == (i < used ? 0 : i + 1), "wiped, and no more");
}

static void place(struct mkt_span *span, size_t at, size_t n)
{
    *span = (struct mkt_span){(const uint8_t *)(uintptr_t)at, n};
}

/* Three views of a small room, wherever they are: apart, touching, overlapping, one within another, empty, alike. */
START_TEST(three_views)
{
    enum { SMALL = 5 };
    struct mkt_span views[(SMALL + 1) * (SMALL + 2) / 2];
    size_t n = 0, round = 0;
    for (size_t at = 0; at <= SMALL; at++)
        for (size_t length = 0; at + length <= SMALL; length++)
            place(&views[n++], at, length);
    ck_assert_uint_eq(n, sizeof views / sizeof *views);
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++)
            for (size_t c = 0; c < n; c++, round++) {
                struct mkt_bundle bundle = {.suite = MKT_SUITE_256};
                struct mkt_span *span[SPANS];
                spans_of(&bundle, span);
                *span[round % SPANS] = views[a];
                *span[(round + 5) % SPANS] = views[b];
                *span[(round + 11) % SPANS] = views[c];
                expect_packed(&bundle, SMALL + round % 3);
            }
}
END_TEST

/* All of its views at once, in every order that a shuffle finds. */
START_TEST(all_views)
{
    uint32_t state = 1;
    for (unsigned round = 0; round < 5000; round++) {
        struct mkt_bundle bundle = {.suite = MKT_SUITE_256};
        struct mkt_span *span[SPANS];
        spans_of(&bundle, span);
        for (size_t s = 0; s < SPANS; s++) {
            state = state * 1664525 + 1013904223;
            const size_t at = state >> 16 & (ROOM - 1), most = round % 2 == 0 ? 4 : ROOM - at;
            state = state * 1664525 + 1013904223;
            const size_t n = (state >> 16) % (most + 1);
            place(span[s], at, at + n <= ROOM ? n : ROOM - at);
        }
        expect_packed(&bundle, ROOM);
    }
    for (unsigned backwards = 0; backwards < 2; backwards++) { /* each by itself, with gaps between */
        struct mkt_bundle bundle = {.suite = MKT_SUITE_256};
        struct mkt_span *span[SPANS];
        spans_of(&bundle, span);
        for (size_t s = 0; s < SPANS; s++)
            place(span[backwards ? SPANS - 1 - s : s], 3 * s + 1, 2);
        expect_packed(&bundle, ROOM);
    }
}
END_TEST

/* ---- as octets ---- */

static struct mkt_bundle full_bundle(void)
{
    static const uint8_t octets[] = "octets that the bundle has views of";
    struct mkt_bundle b = {
        .suite = MKT_SUITE_128,
        .sent_with = MKT_SENT_WITH_MPK_RESPONSE,
        .csb_id = 0x12345678,
        .flags = 0xabc,
        .rekeying = 0x9abcdef0,
        .peer_last_t = {.by_clock = true, .clock = 0x123456789abcdef0},
        .sent = {.counter = 0x100000000, .from = 0xfedcba97, .to = 0xfedcba98},
        .n_cs = 200,
        .initiator = {.role = 1, .type = 2},
        .called = {.role = 3, .type = 4},
        .responder = {.role = 5, .type = 6},
    };
    struct mkt_span *span[SPANS];
    spans_of(&b, span);
    for (size_t s = 0; s < SPANS; s++)
        *span[s] = (struct mkt_span){octets + s, s};
    memset(b.ticket_hash, 0x5a, sizeof b.ticket_hash);
    memset(b.answer_hash, 0xc3, sizeof b.answer_hash);
    return b;
}

static void expect_times(const struct mkt_times *a, const struct mkt_times *b)
{
    ck_assert(a->by_clock == b->by_clock && a->clock == b->clock && a->counter == b->counter);
    ck_assert(a->from == b->from && a->to == b->to);
}

START_TEST(all_of_it_round_trips)
{
    struct mkt_bundle b = full_bundle(), read = {.suite = MKT_SUITE_256};
    uint8_t octets[1024], again[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0}, measured = {NULL, 0, 0}, second = {again, sizeof again, 0};
    struct io put = io_put(&buf), size = io_put(&measured);
    struct mkt_span *of_b[SPANS], *of_read[SPANS];
    mkt_io_bundle(&put, &b);
    expect_err("put", io_done(&put, &buf), MKT_OK);
    mkt_io_bundle(&size, &b);
    expect_err("measure", io_done(&size, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, buf.n);
    const struct mkt_span whole = exact((struct mkt_span){octets, buf.n});
    struct io get = io_get(whole);
    mkt_io_bundle(&get, &read);
    io_expect_end(&get);
    expect_err("get", get.err, MKT_OK);
    ck_assert(read.suite == b.suite && read.sent_with == b.sent_with && read.csb_id == b.csb_id &&
              read.flags == b.flags);
    ck_assert(read.rekeying == b.rekeying && read.n_cs == b.n_cs);
    ck_assert_mem_eq(read.ticket_hash, b.ticket_hash, sizeof b.ticket_hash);
    ck_assert_mem_eq(read.answer_hash, b.answer_hash, sizeof b.answer_hash);
    expect_times(&read.peer_last_t, &b.peer_last_t);
    expect_times(&read.sent, &b.sent);
    ck_assert(read.initiator.role == 1 && read.initiator.type == 2 && read.called.role == 3 && read.called.type == 4);
    ck_assert(read.responder.role == 5 && read.responder.type == 6);
    spans_of(&b, of_b);
    spans_of(&read, of_read);
    for (size_t s = 0; s < SPANS; s++)
        expect_octets("span", *of_read[s], *of_b[s]);
    struct io put_again = io_put(&second);
    mkt_io_bundle(&put_again, &read);
    expect_err("put", io_done(&put_again, &second), MKT_OK);
    expect_octets("again", (struct mkt_span){again, second.n}, whole);
    for (size_t n = 0; n < whole.n; n++) {
        struct io cut = io_get(exact((struct mkt_span){whole.p, n}));
        mkt_io_bundle(&cut, &read);
        expect_err("cut", cut.err, MKT_E_TRUNCATED);
    }
    for (size_t at = 0; at < 2; at++) { /* suite and guard: what no bundle has */
        const uint8_t most[] = {MKT_SUITE_128, MKT_SENT_WITH_MPK_RESPONSE};
        for (unsigned value = 0; value < 256; value++) {
            memcpy(again, whole.p, whole.n);
            again[at] = (uint8_t)value;
            struct io changed = io_get((struct mkt_span){again, whole.n});
            mkt_io_bundle(&changed, &read);
            expect_err("value", changed.err, value <= most[at] ? MKT_OK : MKT_E_STORED);
        }
    }
    free_all();
}
END_TEST

START_TEST(times_that_no_bundle_has)
{
    static const struct mkt_times wrong[] = {
        {.counter = 0x100000001},           /* more than 32 bits */
        {.counter = 5, .from = 1, .to = 6}, /* a KEMAC by a counter that was never there */
        {.counter = 5, .from = 3, .to = 3}, /* no first */
        {.counter = 5, .from = 4, .to = 3}, /* the first after the last */
        {.counter = 5, .from = 1},          /* a first of none */
    };
    for (size_t i = 0; i < 3 * sizeof wrong / sizeof *wrong; i++) {
        struct mkt_bundle b = full_bundle(), read = {.suite = MKT_SUITE_256};
        struct mkt_times *const all[] = {&b.peer_last_t, &b.sent, &b.reported};
        uint8_t octets[1024];
        struct mkt_buf buf = {octets, sizeof octets, 0};
        struct io put = io_put(&buf);
        *all[i % 3] = wrong[i / 3];
        mkt_io_bundle(&put, &b);
        buf.n = put.pos;
        struct io get = io_get((struct mkt_span){octets, buf.n});
        mkt_io_bundle(&get, &read);
        ck_assert_msg(get.err == MKT_E_STORED, "%zu: %s", i, mkt_err_name(get.err));
    }
}
END_TEST

/* The times of one end: the last of its clock, the highest of its counters, and the range of those of KEMACs. */
START_TEST(times_of_messages)
{
    static const struct {
        uint32_t value;
        bool kemac;
        uint64_t counter, from, to; /* afterwards */
    } rows[] = {
        {5, false, 6, 0, 0}, {3, false, 6, 0, 0}, {7, true, 8, 7, 8},    {4, true, 8, 4, 8},
        {6, true, 8, 4, 8},  {2, false, 8, 4, 8}, {20, true, 21, 4, 21}, {0, true, 21, 0, 21},
    };
    struct mkt_times times = {.by_clock = false};
    struct mkt_t t = {.ts_type = MKT_TS_COUNTER};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        t.value = rows[i].value;
        ck_assert(mkt_t_later(&t, &times) == (t.value >= times.counter));
        mkt_times_add(&times, &t, rows[i].kemac);
        ck_assert(!times.by_clock && times.counter == rows[i].counter);
        ck_assert(times.from == rows[i].from && times.to == rows[i].to);
        for (t.value = 0; t.value < 30; t.value++) {
            ck_assert(mkt_t_later(&t, &times) == (t.value >= rows[i].counter));
            ck_assert(mkt_t_last(&t, &times) == (t.value + 1 == rows[i].counter));
            ck_assert(mkt_t_used(&t, &times) == (t.value >= rows[i].from && t.value < rows[i].to));
        }
    }
    const struct mkt_times counted = times;
    struct mkt_t moment = {.ts_type = MKT_TS_NTP_UTC, .value = 0};
    ck_assert(mkt_t_later(&moment, &times) && !mkt_t_last(&moment, &times) && !mkt_t_used(&moment, &times));
    moment.value = ntp(NOW) + 7;
    mkt_times_add(&times, &moment, false);
    ck_assert(times.by_clock && times.clock == moment.value);
    ck_assert(times.counter == counted.counter && times.from == counted.from && times.to == counted.to);
    ck_assert(!mkt_t_later(&moment, &times) && mkt_t_last(&moment, &times) && mkt_t_used(&moment, &times));
    moment.value++;
    ck_assert(mkt_t_later(&moment, &times) && !mkt_t_last(&moment, &times) && !mkt_t_used(&moment, &times));
    moment.value -= 2;
    ck_assert(!mkt_t_later(&moment, &times) && !mkt_t_last(&moment, &times) && !mkt_t_used(&moment, &times));
}
END_TEST

/* What overlaps there overlaps here: a copy needs no more room than the bundle has. Its source stays as it is. */
START_TEST(moved_to_a_room_of_its_own)
{
    struct mkt_bundle b = full_bundle(), copy = b;
    const uint8_t *source = b.init.p; /* the first octet, which no span views */
    uint8_t octets[1024];
    struct mkt_buf room = {octets, sizeof octets, 0};
    struct mkt_span *of_b[SPANS], *of_copy[SPANS];
    expect_err("move", mkt_bundle_move(&copy, source, &room), MKT_OK);
    spans_of(&b, of_b);
    spans_of(&copy, of_copy);
    ck_assert_uint_eq(room.n, 2 * (SPANS - 1) - 1);
    for (size_t s = 1; s < SPANS; s++) {
        expect_octets("span", *of_copy[s], *of_b[s]);
        ck_assert_ptr_eq(of_copy[s]->p, octets + s - 1);
    }
    const size_t needed = room.n;
    for (size_t cap = 0; cap <= needed; cap++) {
        memset(octets, 0xa5, sizeof octets);
        copy = b;
        room = (struct mkt_buf){octets, cap, 0};
        expect_err("room", mkt_bundle_move(&copy, source, &room), cap < needed ? MKT_E_BUNDLE_FULL : MKT_OK);
        for (size_t i = cap; i < sizeof octets; i++)
            must(octets[i] == 0xa5, "not beyond the room");
    }
}
END_TEST

/* ---- keys ---- */

/* A chain of one MPK and one session key. */
static struct mkt_span chain_of(unsigned type, size_t length, const char *spi)
{
    static const uint8_t zeros[255];
    const struct mkt_payload keys[] = {
        {.type = MKT_KEY_DATA,
         .key_data = {.type = MKT_KEY_MPK, .key = {zeros, 16}, .kv = {.type = MKT_KV_SPI, .spi = text("mpk")}}},
        {.type = MKT_KEY_DATA,
         .key_data = {.type = (uint16_t)type, .key = {zeros, length}, .kv = {.type = MKT_KV_SPI, .spi = text(spi)}}},
    };
    uint8_t octets[512];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("chain", mkt_payloads_encode(keys, 2, &buf), MKT_OK);
    return exact((struct mkt_span){octets, buf.n});
}

START_TEST(keys_of_all_chains)
{
    static const uint8_t mpk[48];
    static const char *const spis[MKT_CHAINS] = {"a", "b", "c", "d"};
    struct mkt_bundle b = {.suite = MKT_SUITE_256};
    struct mkt_key_data key;
    ck_assert_uint_eq(mkt_bundle_longest(&b), 0);
    b.mpki = (struct mkt_span){mpk, 17};
    ck_assert_uint_eq(mkt_bundle_longest(&b), 17);
    b.mpkr = (struct mkt_span){mpk, 18};
    ck_assert_uint_eq(mkt_bundle_longest(&b), 18);
    for (size_t c = 0; c < MKT_CHAINS; c++) {
        ck_assert(!mkt_bundle_key(&b, text(spis[c]), &key));
        b.keys[c] = chain_of(MKT_KEY_TGK, 20 + c, spis[c]);
        ck_assert(mkt_bundle_key(&b, text(spis[c]), &key));
        ck_assert_uint_eq(key.key.n, 20 + c);
        ck_assert_uint_eq(mkt_bundle_longest(&b), 20 + c);
    }
    ck_assert(!mkt_bundle_key(&b, text("mpk"), &key) && !mkt_bundle_key(&b, text(""), &key));
    b.keys[1] = chain_of(MKT_KEY_TEK, 64, "b"); /* nothing is derived from it */
    ck_assert_uint_eq(mkt_bundle_longest(&b), 23);
    b.flags = MKT_FLAG_F | MKT_FLAG_O;
    ck_assert(mkt_bundle_has(&b, MKT_FLAG_F) && mkt_bundle_has(&b, MKT_FLAG_O) && !mkt_bundle_has(&b, MKT_FLAG_G));
    free_all();
}
END_TEST

/* ---- stored ---- */

static const struct {
    enum mkt_suite suite;
    const char *flags;
    bool two_kms, signs;
} calls[] = {
    {MKT_SUITE_256, "DEFGHIJLMNO", true, false},
    {MKT_SUITE_128, "DFGHJLMNO", false, false},
    {MKT_SUITE_256, "DHJLNO", false, false},
    {MKT_SUITE_128, "DEFGHIJLMNO", true, true},
};
enum { CALLS = sizeof calls / sizeof *calls };

static struct play *new_play(int call)
{
    struct play *p = play_new(calls[call].suite, calls[call].flags, calls[call].two_kms);
    return calls[call].signs ? play_sign(p) : p;
}

/* Another process goes on with it, with less or more room. */
static void move(struct play *p, enum party who)
{
    static const size_t sizes[] = {3500, MKT_CSB_SIZE, 20000};
    static size_t turn;
    struct mkt_settings settings = p->settings[who];
    const struct mkt_span octets = stored(p->csb[who]);
    settings.bundle_size = sizes[turn++ % 3];
    mkt_csb_free(p->csb[who]);
    expect_err("get", mkt_csb_load(&p->csb[who], &p->player[who].host, &settings, octets), MKT_OK);
    expect_octets("again", stored(p->csb[who]), octets);
}

/* Role and state of a stored bundle. */
static void mark(struct mkt_span octets, bool seen[MKT_KMS + 1][MKT_STATES])
{
    ck_assert(octets.n > 3 && octets.p[0] == 1 && octets.p[1] <= MKT_KMS && octets.p[2] < MKT_STATES);
    seen[octets.p[1]][octets.p[2]] = true;
}

/* Every state of every role: the call goes on as if nothing had happened, octet for octet. */
START_TEST(a_call_that_moves_before_each_step)
{
    static bool seen[MKT_KMS + 1][MKT_STATES];
    struct play *still = new_play(_i), *moving = new_play(_i);
    for (unsigned i = ALICE; i < PARTIES; i++)
        mark(stored(play_bundle(moving, (enum party)i)), seen);
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(still, leg))
            continue;
        play_make(still, leg);
        play_take(still, leg);
        for (unsigned step = 0; step < 2; step++) {
            if (step == 0)
                play_make(moving, leg);
            else
                play_take(moving, leg);
            for (unsigned i = ALICE; i < PARTIES; i++) {
                play_bundle(moving, (enum party)i);
                move(moving, (enum party)i);
                mark(stored(moving->csb[i]), seen);
            }
        }
        expect_octets(mkt_data_type_name((unsigned)play_type[leg]), moving->message[leg], still->message[leg]);
        for (unsigned i = ALICE; i <= BOB; i++) {
            const bool ready = mkt_csb_ready(play_bundle(still, (enum party)i));
            ck_assert_int_eq(mkt_csb_ready(moving->csb[i]), ready);
            if (ready)
                expect_octets("TEK", tek_of(moving->csb[i], 1), tek_of(still->csb[i], 1));
        }
    }
    play_free(still);
    play_free(moving);
    for (unsigned role = 0; _i == CALLS - 1 && role <= MKT_KMS; role++)
        for (unsigned state = 0; state < MKT_STATES; state++)
            ck_assert_msg(seen[role][state] == (mkt_state_find((enum mkt_role)role, (enum mkt_state)state) != NULL),
                          "role %u, state %u", role, state);
}
END_TEST

/* More than one session, more than one policy. */
START_TEST(several_sessions)
{
    static const uint8_t params[] = {0x63, 1, 0}, numbers[] = {5, 6};
    const struct mkt_sp sp[] = {{5, MKT_PROT_TLS, {NULL, 0}}, {6, MKT_PROT_TLS, {params, sizeof params}}};
    const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}},
                                {.cs_id = 9, .prot_type = MKT_PROT_TLS, .policies = {numbers, 1}}};
    struct mkt_cs two_policies[] = {cs[0], cs[1]};
    struct mkt_csb *copy = NULL;
    struct mkt_sp got;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    if (_i == 1) {
        two_policies[1].policies = (struct mkt_span){numbers + 1, 1};
        c->settings_i.prot_type = c->settings_r.prot_type = MKT_PROT_TLS;
    }
    c->settings_i.max_sessions = c->settings_r.max_sessions = 2;
    c->offer.cs = two_policies;
    c->offer.n_cs = 2;
    c->offer.sp = sp;
    c->offer.n_sp = _i == 1 ? 2 : 1;
    struct mkt_sp plain[] = {sp[0], {6, MKT_PROT_TLS, {NULL, 0}}};
    c->offer.sp = plain;
    make_resp(c);
    finish(c);
    expect_err("get", mkt_csb_load(&copy, &c->alice.host, &c->settings_i, stored(c->i)), MKT_OK);
    ck_assert_uint_eq(mkt_csb_session_count(copy), 2);
    for (size_t i = 0; i < 2; i++) {
        expect_octets("TEK", tek_of(copy, cs[i].cs_id), tek_of(c->r, cs[i].cs_id));
        expect_err("SP", mkt_csb_sp(copy, cs[i].cs_id, &got), MKT_OK);
        ck_assert_uint_eq(got.policy_no, two_policies[i].policies.p[0]);
    }
    mkt_csb_free(copy);
    call_free(c);
}
END_TEST

/* An update under way is gone on with, answered or given up. */
START_TEST(an_update_under_way)
{
    struct play *p = new_play(_i);
    play_until(p, ALICE_UPDATES);
    const struct mkt_span before = exact(tek_of(p->csb[ALICE], 1));
    play_make(p, ALICE_UPDATES);
    move(p, ALICE);
    expect_octets("the old key counts", tek_of(p->csb[ALICE], 1), before);
    play_take(p, ALICE_UPDATES);
    move(p, BOB);
    ck_assert(mkt_csb_must_make(p->csb[BOB], MKT_TRANSFER_RESP));
    mkt_csb_abandon(p->csb[ALICE]);
    mkt_csb_abandon(p->csb[BOB]);
    move(p, ALICE);
    move(p, BOB);
    expect_octets("the old key counts", tek_of(p->csb[BOB], 1), before);
    play_make(p, ALICE_UPDATES);
    play_take(p, ALICE_UPDATES);
    play_make(p, BOB_ANSWERS);
    play_take(p, BOB_ANSWERS);
    expect_octets("TEK", tek_of(p->csb[BOB], 1), tek_of(p->csb[ALICE], 1));
    ck_assert(!mkt_span_equal(tek_of(p->csb[BOB], 1), before));
    play_free(p);
}
END_TEST

/* "A smaller or larger mkt_settings.bundle_size is fine as long as everything has room." */
START_TEST(too_little_room)
{
    struct play *p = new_play(_i);
    for (unsigned l = ASK; l < LEGS; l++) {
        if (!play_has(p, (enum leg)l))
            continue;
        play_make(p, (enum leg)l);
        play_take(p, (enum leg)l);
        for (unsigned who = ALICE; who < PARTIES; who++) {
            const struct mkt_span octets = stored(play_bundle(p, (enum party)who));
            struct mkt_settings settings = p->settings[who];
            enum mkt_err last = MKT_OK;
            for (size_t size = 8192; size > 64; size -= 64) {
                struct mkt_csb *copy = NULL;
                settings.bundle_size = size;
                const enum mkt_err err = mkt_csb_load(&copy, &p->player[who].host, &settings, octets);
                must(err == MKT_OK || err == MKT_E_BUNDLE_FULL || err == MKT_E_ARGUMENT, mkt_err_name(err));
                must((copy != NULL) == (err == MKT_OK), "NULL after an error");
                must(last == MKT_OK || err != MKT_OK, "once too small, always too small");
                last = err;
                mkt_csb_free(copy);
            }
            expect_err("no room at all", last, MKT_E_ARGUMENT);
            ck_assert_uint_eq(p->player[who].live, p->csb[who] != NULL);
        }
    }
    play_free(p);
}
END_TEST

/* Plays a call up to a message with little room for one party; NULL where that is too little. */
static struct play *play_with(int call, enum party who, size_t size, enum leg last)
{
    struct play *p = new_play(call);
    p->settings[who].bundle_size = size;
    ck_assert(last < LEGS);
    for (unsigned l = ASK; l <= (unsigned)last && l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        uint8_t octets[4096];
        struct mkt_buf buf = {octets, sizeof octets, 0};
        if (!play_has(p, leg))
            continue;
        enum mkt_err err = play_put(p, leg, play_bundle(p, play_from(p, leg)), &buf);
        p->message[leg] = exact((struct mkt_span){octets, buf.n});
        if (err == MKT_OK)
            err = mkt_csb_take_offer(play_bundle(p, play_to(p, leg)), p->message[leg], mikey);
        if (err == MKT_OK)
            continue;
        expect_err("room", err, MKT_E_BUNDLE_FULL);
        play_free(p);
        return NULL;
    }
    return p;
}

/* What a bundle of some size holds, one of that size can read. */
START_TEST(as_much_room_as_it_had)
{
    for (unsigned leg = OFFER; leg < LEGS; leg++) {
        for (unsigned who = ALICE; who < PARTIES; who++) {
            size_t small = 800, large = MKT_CSB_SIZE;
            struct mkt_csb *copy = NULL;
            struct play *p;
            while (large - small > 4) {
                p = play_with(_i, (enum party)who, (small + large) / 2, (enum leg)leg);
                *(p == NULL ? &small : &large) = (small + large) / 2;
                if (p != NULL)
                    play_free(p);
            }
            p = play_with(_i, (enum party)who, large, (enum leg)leg);
            ck_assert_ptr_nonnull(p);
            expect_err(
                "the same room",
                mkt_csb_load(&copy, &p->player[who].host, &p->settings[who], stored(play_bundle(p, (enum party)who))),
                MKT_OK);
            mkt_csb_free(copy);
            play_free(p);
        }
    }
}
END_TEST

/* Messages may be longer than 65,535 octets where the host gives the room. */
START_TEST(a_large_offer)
{
    static uint8_t data[40000], out[100000], octets[200000];
    struct mkt_cs cs[] = {
        {.cs_id = 1, .prot_type = MKT_PROT_TLS, .session_data = {data, sizeof data}},
        {.cs_id = 2, .prot_type = MKT_PROT_TLS, .session_data = {data, sizeof data}},
    };
    struct mkt_buf init = {out, sizeof out, 0}, buf = {octets, sizeof octets, 0};
    struct mkt_csb *copy = NULL;
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.bundle_size = c->settings_r.bundle_size = 400000;
    c->settings_i.max_sessions = c->settings_r.max_sessions = 2;
    c->offer.cs = cs;
    c->offer.n_cs = 2;
    make_ticket(c);
    expect_err("offer", mkt_csb_make_transfer_init(c->i, &c->offer, &init), MKT_OK);
    expect_err("put", mkt_csb_save(c->i, &buf), MKT_OK);
    expect_err("get", mkt_csb_load(&copy, &c->alice.host, &c->settings_i, (struct mkt_span){octets, buf.n}), MKT_OK);
    mkt_csb_free(copy);
    call_free(c);
}
END_TEST

/* A RAND has up to 255 octets, and has them with a TGK that is longer. */
START_TEST(rands_of_255_octets)
{
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK, .length = 300};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    c->settings_i.bundle_size = c->settings_r.bundle_size = 10000;
    c->recipe.keys = &tgk;
    make_resp(c);
    finish(c);
    const struct mkt_span i = stored(c->i), r = stored(c->r);
    struct mkt_csb *copy = NULL;
    expect_err("Initiator", mkt_csb_load(&copy, &c->alice.host, &c->settings_i, i), MKT_OK);
    mkt_csb_free(copy);
    expect_err("Responder", mkt_csb_load(&copy, &c->bob.host, &c->settings_r, r), MKT_OK);
    mkt_csb_free(copy);
    call_free(c);
}
END_TEST

/* mkt_csb_save() appends, and where there is no room says so. */
START_TEST(put_appends)
{
    struct play *p = new_play(1);
    uint8_t octets[4096];
    play_until(p, ALICE_UPDATES);
    const struct mkt_span want = stored(p->csb[ALICE]);
    struct mkt_buf buf = {octets, want.n + 2, 3};
    expect_err("small", mkt_csb_save(p->csb[ALICE], &buf), MKT_E_BUFFER);
    ck_assert_uint_eq(buf.n, 3);
    buf.cap++;
    expect_err("just enough", mkt_csb_save(p->csb[ALICE], &buf), MKT_OK);
    expect_octets("appended", (struct mkt_span){octets + 3, buf.n - 3}, want);
    p->player[ALICE].no_memory = true;
    struct mkt_csb *copy = NULL;
    expect_err("memory", mkt_csb_load(&copy, &p->player[ALICE].host, &p->settings[ALICE], want), MKT_E_MEMORY);
    ck_assert_ptr_null(copy);
    play_free(p);
}
END_TEST

/* ---- damaged ---- */

/* One of each state and role, with the party whose it is. */
struct snapshot {
    enum party who;
    struct mkt_span octets;
};

enum { MOST_SNAPSHOTS = 32 };

static size_t take_snapshots(struct play *p, struct snapshot snapshots[MOST_SNAPSHOTS])
{
    bool seen[MKT_KMS + 1][MKT_STATES] = {{false}};
    size_t n = 0;
    for (unsigned step = 0; step < 2 * LEGS; step++) {
        const enum leg leg = (enum leg)(step / 2);
        if (!play_has(p, leg))
            continue;
        if (step % 2 == 0)
            play_make(p, leg);
        else
            play_take(p, leg);
        for (unsigned who = ALICE; who < PARTIES; who++) {
            const struct mkt_span octets = stored(play_bundle(p, (enum party)who));
            /* the keyed ones of the end have seen updates */
            const bool again = step == 2 * LEGS - 1 && who <= BOB;
            if (seen[octets.p[1]][octets.p[2]] && !again)
                continue;
            mark(octets, seen);
            ck_assert_uint_lt(n, MOST_SNAPSHOTS);
            snapshots[n++] = (struct snapshot){(enum party)who, octets};
        }
    }
    return n;
}

static volatile uint8_t sink;

/* Looks at each octet, so that a view of what is not there is seen. */
static void consume(struct mkt_span s)
{
    for (size_t i = 0; i < s.n; i++)
        sink = (uint8_t)(sink ^ s.p[i]);
}

static void ask_all(const struct mkt_csb *csb)
{
    uint8_t octets[8192];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_key_wish wish = {.size = sizeof wish};
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy policy;
    struct mkt_key_data key;
    struct mkt_cs cs;
    struct mkt_sp sp;
    consume(mkt_csb_peer(csb).data);
    sink = (uint8_t)(mkt_csb_id(csb) + mkt_csb_rekey_interval(csb) + mkt_csb_role(csb) + mkt_csb_ready(csb));
    for (unsigned type = 0; type < 20; type++)
        sink = (uint8_t)(sink + mkt_csb_must_make(csb, (enum mkt_data_type)type));
    for (size_t i = 0; mkt_csb_session_at(csb, i, &cs) == MKT_OK; i++) {
        consume(cs.policies);
        consume(cs.session_data);
        consume(cs.spi);
        must(i < mkt_csb_session_count(csb), "sessions");
    }
    for (unsigned cs_id = 0; cs_id < 256; cs_id++) {
        buf.n = 0;
        if (mkt_csb_sp(csb, (uint8_t)cs_id, &sp) == MKT_OK)
            consume(sp.params);
        if (mkt_csb_tek(csb, (uint8_t)cs_id, &buf) == MKT_OK && mkt_csb_salt(csb, (uint8_t)cs_id, &buf) == MKT_OK &&
            mkt_csb_psk_identity(csb, (uint8_t)cs_id, &buf) == MKT_OK)
            consume((struct mkt_span){octets, buf.n});
    }
    for (size_t i = 0; mkt_csb_key(csb, i, &key) == MKT_OK; i++) {
        consume(key.key);
        consume(key.salt);
        if (key.kv.type == MKT_KV_SPI)
            consume(key.kv.spi);
    }
    if (mkt_csb_take_ticket(csb, &ticket) == MKT_OK && mkt_ticket_policy(ticket, &policy) == MKT_OK)
        consume(policy.initiator.data);
    mkt_ticket_free(ticket);
    if (mkt_csb_requested(csb, &policy) == MKT_OK)
        consume(policy.initiator.data);
    for (size_t i = 0; mkt_csb_requested_key(csb, i, &wish) == MKT_OK; i++)
        if (wish.kv.type == MKT_KV_SPI)
            consume(wish.kv.spi);
    buf.n = 0;
    if (mkt_csb_save_resolved(csb, &buf) == MKT_OK)
        consume((struct mkt_span){octets, buf.n});
}

/* A call, and the hosts of another one that do what steps need. */
struct damage {
    struct play *p, *hands;
    struct mkt_span error, junk;
};

static void make_all(const struct damage *d, struct mkt_csb *csb)
{
    static const enum leg legs[] = {ASK, GRANT, OFFER, RESOLVE, RESOLVED, ANSWER, BOB_UPDATES}; /* one of each type */
    static const struct mkt_sp sp = {1, MKT_PROT_TLS, {NULL, 0}};
    uint8_t octets[8192];
    struct mkt_buf error = {octets, sizeof octets, 0};
    if (mkt_csb_make_error(csb, text(""), MKT_E_SP, &sp, 1, &error) == MKT_OK)
        consume((struct mkt_span){octets, error.n});
    for (size_t i = 0; i < sizeof legs / sizeof *legs; i++) {
        struct mkt_buf buf = {octets, sizeof octets, 0};
        if (play_put(d->hands, legs[i], csb, &buf) == MKT_OK)
            consume((struct mkt_span){octets, buf.n});
    }
}

static void take_all(const struct damage *d, struct mkt_csb *csb)
{
    for (unsigned leg = ASK; leg < LEGS; leg++)
        if (play_has(d->p, (enum leg)leg) && play_role[play_to(d->p, (enum leg)leg)] == mkt_csb_role(csb))
            sink = (uint8_t)(sink + mkt_csb_take_offer(csb, d->p->message[leg], mikey));
    sink = (uint8_t)(sink + mkt_csb_take_offer(csb, d->error, mikey) + mkt_csb_take_offer(csb, d->junk, mikey));
}

/* A bundle that can be read can be used, whatever was damaged; what it writes can be read. */
static bool try_damaged(const struct damage *d, enum party who, struct mkt_span octets)
{
    static unsigned turn;
    struct player *player = &d->hands->player[who];
    struct mkt_settings settings = d->hands->settings[who];
    struct mkt_csb *csb = NULL, *copy = NULL;
    uint8_t again[8192], third[8192];
    struct mkt_buf put = {again, sizeof again, 0}, put_again = {third, sizeof third, 0};
    settings.self.data.n = settings.peer.data.n = 0; /* those that are stored, whatever was damaged */
    const enum mkt_err err = mkt_csb_load(&csb, &player->host, &settings, octets);
    must((csb != NULL) == (err == MKT_OK), "NULL after an error");
    if (err != MKT_OK) {
        must(err == MKT_E_STORED || err == MKT_E_BUNDLE_FULL, mkt_err_name(err));
        must(player->live == 0, "leak");
        return false;
    }
    must(mkt_csb_save(csb, &put) == MKT_OK, "put");
    must(mkt_csb_load(&copy, &player->host, &settings, (struct mkt_span){again, put.n}) == MKT_OK, "get again");
    must(mkt_csb_save(copy, &put_again) == MKT_OK, "put again");
    must(put_again.n == put.n && memcmp(again, third, put.n) == 0, "the same again");
    if (turn % 2 == 0)
        ask_all(csb);
    mkt_csb_abandon(copy);
    must(mkt_csb_save(copy, &put_again) == MKT_OK, "put what was given up");
    /* steps right and wrong, in turn by which come first */
    struct mkt_csb *one = ++turn % 3 == 0 ? copy : csb;
    if (turn % 2 == 0)
        make_all(d, one);
    take_all(d, one);
    make_all(d, one);
    ask_all(one);
    mkt_csb_free(csb);
    mkt_csb_free(copy);
    must(player->live == 0, "leak");
    return true;
}

/* Takes the same message again and again. */
static enum mkt_err remember_nothing(void *user, struct mkt_span tag, mkt_ntp until)
{
    (void)user, (void)tag, (void)until;
    return MKT_OK;
}

/* Plays a call for its snapshots, and prepares what steps need. */
static size_t damage_new(struct damage *d, int call, struct snapshot snapshots[MOST_SNAPSHOTS])
{
    struct play *p = new_play(call);
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    const size_t n = take_snapshots(p, snapshots);
    expect_err("error", mkt_csb_make_error(p->csb[BOB], p->message[ALICE_UPDATES], MKT_E_SP, NULL, 0, &buf), MKT_OK);
    *d = (struct damage){p, new_play(call), exact((struct mkt_span){octets, buf.n}), exact(text("\1\16 junk"))};
    for (unsigned i = ALICE; i < PARTIES; i++) {
        d->hands->player[i].host.replay = remember_nothing;
        d->hands->player[i].host.log = NULL;
    }
    return n;
}

static void damage_free(struct damage *d)
{
    play_free(d->p);
    play_free(d->hands);
}

START_TEST(truncated)
{
    struct snapshot snapshots[MOST_SNAPSHOTS];
    struct damage d;
    const size_t n = damage_new(&d, _i, snapshots);
    for (size_t s = 0; s < n; s++) {
        const struct snapshot *shot = &snapshots[s];
        struct mkt_csb *csb = NULL;
        uint8_t *block = malloc(shot->octets.n + 1);
        ck_assert_ptr_nonnull(block);
        for (size_t cut = 0; cut < shot->octets.n; cut++) {
            uint8_t *short_block = malloc(cut + 1);
            must(short_block != NULL, "memory");
            memcpy(short_block + 1, shot->octets.p, cut);
            must(mkt_csb_load(&csb, &d.hands->player[shot->who].host, &d.hands->settings[shot->who],
                              (struct mkt_span){short_block + 1, cut}) == MKT_E_STORED,
                 "cut");
            must(csb == NULL, "NULL after an error");
            free(short_block);
        }
        memcpy(block, shot->octets.p, shot->octets.n);
        block[shot->octets.n] = 0;
        expect_err("one octet too many",
                   mkt_csb_load(&csb, &d.hands->player[shot->who].host, &d.hands->settings[shot->who],
                                (struct mkt_span){block, shot->octets.n + 1}),
                   MKT_E_STORED);
        free(block);
    }
    damage_free(&d);
}
END_TEST

static const uint8_t zeros[256];

static void randi_of_255(struct mkt_bundle *b)
{
    b->randi = (struct mkt_span){zeros, 255};
}

static void randi_of_256(struct mkt_bundle *b)
{
    b->randi = (struct mkt_span){zeros, 256};
}

static void randr_of_255(struct mkt_bundle *b)
{
    b->randr = (struct mkt_span){zeros, 255};
}

static void randr_of_256(struct mkt_bundle *b)
{
    b->randr = (struct mkt_span){zeros, 256};
}

static void randkms_of_255(struct mkt_bundle *b)
{
    b->randkms = (struct mkt_span){zeros, 255};
}

static void randkms_of_256(struct mkt_bundle *b)
{
    b->randkms = (struct mkt_span){zeros, 256};
}

static void no_sessions(struct mkt_bundle *b)
{
    b->n_cs = 0;
    b->map = b->sps = (struct mkt_span){NULL, 0};
}

static void one_more_session(struct mkt_bundle *b)
{
    b->n_cs++;
}

static void no_sps(struct mkt_bundle *b)
{
    b->sps = (struct mkt_span){NULL, 0};
}

static void no_keys(struct mkt_bundle *b)
{
    memset(b->keys, 0, sizeof b->keys);
}

static void mpki_of_16(struct mkt_bundle *b)
{
    b->mpki.n = 16;
}

static void mpki_of_15(struct mkt_bundle *b)
{
    b->mpki.n = 15;
}

static void mpkr_of_16(struct mkt_bundle *b)
{
    b->mpkr = (struct mkt_span){zeros, 16};
    b->flags |= MKT_FLAG_I;
}

static void mpkr_of_15(struct mkt_bundle *b)
{
    b->mpkr = (struct mkt_span){zeros, 15};
    b->flags |= MKT_FLAG_I;
}

static void a_message(struct mkt_bundle *b)
{
    b->init = (struct mkt_span){zeros, 1};
}

static void a_question(struct mkt_bundle *b)
{
    b->asked_kms = (struct mkt_span){zeros, 1};
}

static void a_map(struct mkt_bundle *b)
{
    b->map = (struct mkt_span){zeros, 1};
}

static void an_sp(struct mkt_bundle *b)
{
    b->sps = (struct mkt_span){zeros, 1};
}

static void a_key_of_the_responder(struct mkt_bundle *b)
{
    b->keys[MKT_FROM_RESPONDER] = chain_of(MKT_KEY_TGK, 32, "r");
}

/* A stored bundle of which one thing is other than it was. */
static struct mkt_span altered(struct mkt_span whole, void (*alter)(struct mkt_bundle *))
{
    struct mkt_bundle bundle = {.suite = MKT_SUITE_256};
    struct io get = io_get(whole);
    uint8_t octets[8192], head[3] = {0}, type = 0;
    struct mkt_span name = {NULL, 0};
    for (size_t i = 0; i < sizeof head; i++)
        io_u8(&get, &head[i]);
    for (size_t i = 0; i < 2; i++) { /* self, peer */
        io_u8(&get, &type);
        io_vec(&get, &name, 4);
    }
    struct mkt_buf out = {octets, sizeof octets, get.pos};
    memcpy(octets, whole.p, get.pos);
    mkt_io_bundle(&get, &bundle);
    expect_err("read", get.err, MKT_OK);
    alter(&bundle);
    struct io put = io_put(&out);
    mkt_io_bundle(&put, &bundle);
    expect_err("write", io_done(&put, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

/* What no bundle of that state has: of one that waits for an answer, and of one that is ready. */
START_TEST(bundles_that_are_not_whole)
{
    static const struct {
        void (*alter)(struct mkt_bundle *);
        bool ready;
        enum mkt_err err;
    } rows[] = {
        {randi_of_255, true, MKT_OK},
        {randi_of_256, true, MKT_E_STORED},
        {randr_of_255, true, MKT_OK},
        {randr_of_256, true, MKT_E_STORED},
        {randkms_of_255, true, MKT_OK},
        {randkms_of_256, true, MKT_E_STORED},
        {no_sessions, true, MKT_E_STORED},
        {one_more_session, true, MKT_E_STORED},
        {no_sps, true, MKT_E_STORED},
        {no_keys, true, MKT_E_STORED},
        {mpki_of_16, true, MKT_OK},
        {mpki_of_15, true, MKT_E_STORED},
        {mpkr_of_16, true, MKT_OK},
        {mpkr_of_15, true, MKT_E_STORED},
        {a_message, true, MKT_E_STORED},
        {a_question, true, MKT_E_STORED},
        {randi_of_256, false, MKT_E_STORED},
        {randr_of_256, false, MKT_E_STORED},
        {a_map, false, MKT_E_STORED},
        {an_sp, false, MKT_E_STORED},
        {one_more_session, false, MKT_E_STORED},
        {a_key_of_the_responder, false, MKT_E_STORED},
        {a_question, false, MKT_E_STORED},
        {a_message, false, MKT_E_STORED},
    };
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *copy = NULL;
    make_init(c);
    const struct mkt_span waits = stored(c->i);
    expect_err("offer", mkt_csb_take_offer(c->r, exact(init_of(c)), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    const struct mkt_span ready = stored(c->i);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct mkt_span octets = altered(rows[i].ready ? ready : waits, rows[i].alter);
        const enum mkt_err err = mkt_csb_load(&copy, &c->alice.host, &c->settings_i, octets);
        ck_assert_msg(err == rows[i].err, "%zu: %s", i, mkt_err_name(err));
        mkt_csb_free(copy);
    }
    call_free(c);
}
END_TEST

/* A key of 64 octets may be a TGK or a TEK, a longer one no TEK (D15). */
START_TEST(a_tek_that_is_too_long)
{
    enum { HEAD = 3 }; /* octets of Key data from its type to the key */
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK, .length = MKT_MAX_TEK + (size_t)_i};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_key_data key;
    struct mkt_csb *copy = NULL;
    uint8_t octets[8192];
    c->recipe.keys = &tgk;
    make_resp(c);
    finish(c);
    const struct mkt_span whole = stored(c->i);
    memcpy(octets, whole.p, whole.n);
    expect_err("key", mkt_csb_key(c->i, 0, &key), MKT_OK);
    size_t at = HEAD;
    while (at + key.key.n < whole.n && memcmp(octets + at, key.key.p, key.key.n) != 0)
        at++;
    ck_assert_uint_eq(octets[at - HEAD], MKT_KEY_TGK << 4 | MKT_KV_SPI);
    octets[at - HEAD] = MKT_KEY_TEK << 4 | MKT_KV_SPI;
    expect_err("as a TEK", mkt_csb_load(&copy, &c->alice.host, &c->settings_i, (struct mkt_span){octets, whole.n}),
               _i == 0 ? MKT_OK : MKT_E_STORED);
    mkt_csb_free(copy);
    call_free(c);
}
END_TEST

/* Of the first call, which has every state; of the others, and under valgrind, some. */
START_TEST(every_bit_flipped)
{
    struct snapshot snapshots[MOST_SNAPSHOTS];
    struct damage d;
    const size_t n = damage_new(&d, _i, snapshots), step = RUNNING_ON_VALGRIND ? 101 : _i == 0 ? 1 : 5;
    size_t taken = 0, flips = 0;
    for (size_t s = 0; s < n; s++) {
        const struct mkt_span octets = snapshots[s].octets;
        uint8_t *block = malloc(octets.n);
        ck_assert_ptr_nonnull(block);
        memcpy(block, octets.p, octets.n);
        for (size_t bit = 0; bit < 8 * octets.n; bit += step, flips++) {
            block[bit / 8] ^= (uint8_t)(1 << bit % 8);
            taken += try_damaged(&d, snapshots[s].who, (struct mkt_span){block, octets.n});
            block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        free(block);
    }
    ck_assert(taken > 0 && taken < flips);
    damage_free(&d);
}
END_TEST

/* Parts of one state in another: each role and state over all that else is in a bundle. */
START_TEST(other_roles_and_states)
{
    struct snapshot snapshots[MOST_SNAPSHOTS];
    struct damage d;
    const size_t n = damage_new(&d, _i, snapshots);
    for (size_t s = 0; s < n; s++) {
        const struct mkt_span octets = snapshots[s].octets;
        uint8_t *block = malloc(octets.n);
        ck_assert_ptr_nonnull(block);
        memcpy(block, octets.p, octets.n);
        for (unsigned role = 0; role <= MKT_KMS + 1; role++) {
            for (unsigned state = 0; state <= MKT_STATES; state++) {
                const bool in_flow = mkt_state_find((enum mkt_role)role, (enum mkt_state)state) != NULL;
                block[1] = (uint8_t)role;
                block[2] = (uint8_t)state;
                must(!try_damaged(&d, snapshots[s].who, (struct mkt_span){block, octets.n}) || in_flow, "in the flow");
            }
        }
        free(block);
    }
    damage_free(&d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bundle");
    TCase *tcase = tcase_create("room");
    tcase_add_test(tcase, three_views);
    tcase_add_test(tcase, all_views);
    tcase_add_test(tcase, all_of_it_round_trips);
    tcase_add_test(tcase, times_that_no_bundle_has);
    tcase_add_test(tcase, times_of_messages);
    tcase_add_test(tcase, moved_to_a_room_of_its_own);
    tcase_add_test(tcase, keys_of_all_chains);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("stored");
    tcase_add_loop_test(tcase, a_call_that_moves_before_each_step, 0, CALLS);
    tcase_add_loop_test(tcase, several_sessions, 0, 2);
    tcase_add_loop_test(tcase, an_update_under_way, 0, CALLS);
    tcase_add_loop_test(tcase, too_little_room, 0, CALLS);
    tcase_add_loop_test(tcase, as_much_room_as_it_had, 0, CALLS);
    tcase_add_test(tcase, a_large_offer);
    tcase_add_test(tcase, rands_of_255_octets);
    tcase_add_test(tcase, put_appends);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("damaged");
    tcase_add_loop_test(tcase, truncated, 0, CALLS);
    tcase_add_test(tcase, bundles_that_are_not_whole);
    tcase_add_loop_test(tcase, a_tek_that_is_too_long, 0, 2);
    tcase_add_loop_test(tcase, other_roles_and_states, 0, CALLS);
    tcase_add_loop_test(tcase, every_bit_flipped, 0, CALLS);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
