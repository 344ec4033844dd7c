/* SPDX-License-Identifier: BSD-3-Clause */
/* initiator_data: First Payload, Vi, Vr of a TICKET payload (RFC 6043 6.10). Vectors show that Vr is right. */
#include "play.h"

#include "initiator_data.h"

static const enum mkt_suite suites[] = {MKT_SUITE_256, MKT_SUITE_128};
static const uint8_t mpkr_octets[32] = "an MPKr that only Initiator, KMS",
                     pattern[32] = "the MAC of a TRANSFER_INIT......";

static struct mkt_span mpkr_of(enum mkt_suite suite)
{
    return (struct mkt_span){mpkr_octets, mkt_suite_algorithms(suite)->key};
}

static struct mkt_payload v_of(uint8_t mac_alg, const uint8_t *mac)
{
    return (struct mkt_payload){.type = MKT_V, .v = {mac_alg, {mac, mkt_mac_length(mac_alg)}}};
}

static struct mkt_v v_of_suite(enum mkt_suite suite)
{
    return v_of(mkt_suite_algorithms(suite)->mac_alg, pattern).v;
}

static struct mkt_span chain(const struct mkt_payload payload[], size_t n)
{
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("chain", mkt_chain_encode(payload, n, &buf), MKT_OK);
    return exact((struct mkt_span){octets, buf.n});
}

/* A TRANSFER_INIT whose V has a MAC, with Initiator Data that is filled in. */
static struct mkt_span sealed(enum mkt_suite suite, struct mkt_span mpkr)
{
    uint8_t room_octets[256], octets[1024];
    struct mkt_buf room = {room_octets, sizeof room_octets, 0}, out = {octets, sizeof octets, 0};
    struct mkt_span data;
    expect_err("put", mkt_initiator_data_encode(suite, &room, &data), MKT_OK);
    struct mkt_message m = {
        .hdr = {.version = 1, .data_type = MKT_TRANSFER_INIT, .map_type = MKT_MAP_EMPTY},
        .n = 2,
        .payload = {{.type = MKT_TICKET, .ticket = {.type = 1, .ticket_data = text("ticket"), .initiator_data = data}},
                    {.type = MKT_V, .v = v_of_suite(suite)}},
    };
    struct io io = io_put(&out);
    mkt_io_put_message(&io, &m, m.payload);
    expect_err("message", io_done(&io, &out), MKT_OK);
    const struct mkt_span whole = {octets, out.n}, before = exact(whole);
    expect_err("seal", mkt_initiator_data_seal(suite, mpkr, &m, &out), MKT_OK);
    ck_assert_uint_eq(out.n, whole.n);
    const struct mkt_span filled = payload_of(whole, MKT_TICKET, 0).ticket.initiator_data;
    const size_t at = (size_t)(filled.p - octets); /* nothing else has changed */
    expect_octets("before", (struct mkt_span){octets, at}, (struct mkt_span){before.p, at});
    expect_octets("behind", (struct mkt_span){octets + at + filled.n, out.n - at - filled.n},
                  (struct mkt_span){before.p + at + filled.n, out.n - at - filled.n});
    return exact(filled);
}

/* "Initiator Data = First Payload, Vi, Vr" */
START_TEST(two_verification_payloads_of_zeros)
{
    static const uint8_t zeros[32];
    const struct mkt_algorithms *a = mkt_suite_algorithms(suites[_i]);
    const size_t n = mkt_mac_length(a->mac_alg);
    uint8_t octets[256];
    struct mkt_buf room = {octets, sizeof octets, 5};
    struct mkt_span data;
    struct mkt_v vi, vr;
    memset(octets, 0xa5, sizeof octets);
    expect_err("put", mkt_initiator_data_encode(suites[_i], &room, &data), MKT_OK);
    ck_assert(data.p == octets + 5 && data.n == 1 + 2 * (2 + n) && room.n == 5 + data.n);
    ck_assert(data.p[0] == MKT_V && data.p[1] == MKT_V && data.p[2 + 1 + n] == MKT_LAST);
    expect_err("get", mkt_initiator_data_decode(data, &vi, &vr), MKT_OK);
    ck_assert(vi.mac_alg == a->mac_alg && vr.mac_alg == a->mac_alg);
    expect_octets("Vi", vi.mac, (struct mkt_span){zeros, n});
    expect_octets("Vr", vr.mac, (struct mkt_span){zeros, n});
    for (size_t cap = 0; cap < data.n; cap++) {
        room = (struct mkt_buf){octets, cap, 0};
        expect_err("room", mkt_initiator_data_encode(suites[_i], &room, &data), MKT_E_BUNDLE_FULL);
    }
}
END_TEST

/* Vi is V of the message, Vr verifies with the MPKr that made it, and with no other. */
START_TEST(sealed_and_verified)
{
    const enum mkt_suite suite = suites[_i], another = suites[1 - _i];
    const struct mkt_span mpkr = mpkr_of(suite), data = sealed(suite, mpkr);
    struct mkt_v v = v_of_suite(suite), vi, vr;
    expect_err("get", mkt_initiator_data_decode(data, &vi, &vr), MKT_OK);
    expect_octets("Vi", vi.mac, v.mac);
    expect_err("match", mkt_initiator_data_check(data, true, &v), MKT_OK);
    expect_err("verify", mkt_initiator_data_verify(suite, mpkr, data), MKT_OK);
    expect_err("another MPKr", mkt_initiator_data_verify(suite, (struct mkt_span){pattern, mpkr.n}, data),
               MKT_E_INITIATOR_MAC);
    expect_err("a shorter one", mkt_initiator_data_verify(suite, (struct mkt_span){mpkr.p, mpkr.n - 1}, data),
               MKT_E_INITIATOR_MAC);
    expect_err("another suite", mkt_initiator_data_verify(another, mpkr, data), MKT_E_MAC_ALG);
    v.mac_alg = v_of_suite(another).mac_alg;
    expect_err("V by another algorithm", mkt_initiator_data_check(data, true, &v), MKT_E_INITIATOR_MAC);
    v = v_of_suite(suite);
    v.mac.n--;
    expect_err("a shorter V", mkt_initiator_data_check(data, true, &v), MKT_E_INITIATOR_MAC);
    free_all();
}
END_TEST

START_TEST(every_bit_counts)
{
    const enum mkt_suite suite = suites[_i];
    const struct mkt_span data = sealed(suite, mpkr_of(suite));
    const struct mkt_v v = v_of_suite(suite);
    uint8_t octets[256];
    memcpy(octets, data.p, data.n);
    for (size_t bit = 0; bit < 8 * data.n; bit++) {
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const struct mkt_span flipped = {octets, data.n};
        ck_assert_msg(mkt_initiator_data_verify(suite, mpkr_of(suite), flipped) != MKT_OK, "bit %zu of octet %zu",
                      bit % 8, bit / 8);
        const bool of_vi = bit / 8 >= 3 && bit / 8 < 3 + v.mac.n, of_vr = bit / 8 >= data.n - v.mac.n;
        const enum mkt_err err = mkt_initiator_data_check(flipped, true, &v);
        ck_assert_msg(of_vr ? err == MKT_OK : err != MKT_OK, "bit %zu of octet %zu", bit % 8, bit / 8);
        ck_assert(!of_vi || err == MKT_E_INITIATOR_MAC);
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    struct mkt_v vi, vr;
    for (size_t n = 0; n < data.n; n++)
        ck_assert_int_eq(mkt_err_class(mkt_initiator_data_decode(exact((struct mkt_span){data.p, n}), &vi, &vr)),
                         MKT_CLASS_MALFORMED);
    free_all();
}
END_TEST

/* "The last payload (Vr) SHALL be a Verification payload"; payloads that are not expected are ignored. */
START_TEST(shapes)
{
    const uint8_t alg = MKT_MAC_HMAC_SHA_256_256;
    const struct mkt_payload v = v_of(alg, pattern), id = {.type = MKT_ID, .id = mkt_id_uri("sip:mallory@example.com")},
                             kemac = {.type = MKT_KEMAC};
    const struct mkt_payload none = {.type = MKT_LAST}, null_v = v_of(MKT_MAC_NULL, NULL);
    const struct {
        const char *name;
        struct mkt_payload payload[4];
        size_t n;
        enum mkt_err err;
    } all[] = {
        {"nothing", {none}, 0, MKT_E_MISSING},
        {"one V", {v}, 1, MKT_E_MISSING},
        {"no V", {id}, 1, MKT_E_MISSING},
        {"two V", {v, v}, 2, MKT_OK},
        {"three V", {v, v, v}, 3, MKT_E_TOO_MANY},
        {"something before", {id, v, v}, 3, MKT_OK},
        {"something between", {v, kemac, v}, 3, MKT_OK},
        {"something everywhere", {id, v, kemac, v}, 4, MKT_OK},
        {"something after", {v, v, id}, 3, MKT_E_ORDER},
        {"too many, and something after", {v, v, v, id}, 4, MKT_E_TOO_MANY},
        {"V without MAC", {null_v, null_v}, 2, MKT_OK}, /* a shape, but no proof: below */
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct mkt_v vi, vr;
        const struct mkt_span data = chain(all[i].payload, all[i].n);
        expect_err(all[i].name, mkt_initiator_data_decode(data, &vi, &vr), all[i].err);
        if (all[i].err == MKT_OK)
            continue;
        expect_err(all[i].name, mkt_initiator_data_check(data, true, &v.v), all[i].err);
        expect_err(all[i].name, mkt_initiator_data_verify(MKT_SUITE_256, mpkr_of(MKT_SUITE_256), data), all[i].err);
    }
    static const uint8_t unknown[] = {99, 0}, cut[] = {MKT_V, MKT_V, MKT_MAC_HMAC_SHA_1_160, 1, 2, 3};
    struct mkt_v vi, vr;
    expect_err("unknown payload", mkt_initiator_data_decode((struct mkt_span){unknown, 2}, &vi, &vr), MKT_E_PAYLOAD);
    expect_err("cut", mkt_initiator_data_decode((struct mkt_span){cut, sizeof cut}, &vi, &vr), MKT_E_TRUNCATED);
    expect_err("no octets", mkt_initiator_data_decode((struct mkt_span){NULL, 0}, &vi, &vr), MKT_E_MISSING);
    free_all();
}
END_TEST

/* "The authentication algorithm SHALL be the same as used for the Vi payload", and that of the suite: never NULL. */
START_TEST(algorithms)
{
    const struct mkt_span mpkr = mpkr_of(MKT_SUITE_256);
    const uint8_t algs[] = {MKT_MAC_NULL, MKT_MAC_HMAC_SHA_1_160, MKT_MAC_HMAC_SHA_256_256};
    for (size_t i = 0; i < 3; i++)
        for (size_t r = 0; r < 3; r++) {
            const struct mkt_payload vs[] = {v_of(algs[i], pattern), v_of(algs[r], pattern)};
            expect_err("algorithms", mkt_initiator_data_verify(MKT_SUITE_256, mpkr, chain(vs, 2)),
                       i == 2 && r == 2 ? MKT_E_INITIATOR_MAC : MKT_E_MAC_ALG);
        }
    free_all();
}
END_TEST

/* Vr covers what stands between, too. */
START_TEST(all_of_it_is_covered)
{
    const enum mkt_suite suite = suites[_i];
    const struct mkt_span mpkr = mpkr_of(suite);
    const struct mkt_protection by_mpkr = {.suite = suite, .key = mpkr, .label = {.purpose = MKT_PURPOSE_VR}};
    const struct mkt_payload v = {.type = MKT_V, .v = v_of_suite(suite)};
    const struct mkt_payload all[] = {v, {.type = MKT_ID, .id = mkt_id_uri("sip:alice@example.com")}, v};
    const struct mkt_span data = chain(all, 3);
    uint8_t octets[256];
    const size_t n = v.v.mac.n;
    const struct mkt_span part = {octets, data.n - n};
    memcpy(octets, data.p, data.n);
    expect_err("MAC", mkt_protect_seal(&by_mpkr, NULL, &part, 1, octets + data.n - n), MKT_OK);
    expect_err("right", mkt_initiator_data_verify(suite, mpkr, (struct mkt_span){octets, data.n}), MKT_OK);
    octets[data.n - n - 3] ^= 1; /* the end of the ID payload is before Next Payload and Auth alg of Vr */
    expect_err("changed", mkt_initiator_data_verify(suite, mpkr, (struct mkt_span){octets, data.n}),
               MKT_E_INITIATOR_MAC);
    free_all();
}
END_TEST

/* The MACs of V and Vi must be as long as each other, for one to be the other. */
START_TEST(a_v_of_another_length)
{
    const enum mkt_suite suite = suites[_i];
    uint8_t room_octets[256], octets[1024];
    struct mkt_buf room = {room_octets, sizeof room_octets, 0}, out = {octets, sizeof octets, 0};
    struct mkt_span data;
    expect_err("put", mkt_initiator_data_encode(suites[1 - _i], &room, &data), MKT_OK);
    struct mkt_message m = {
        .hdr = {.version = 1, .data_type = MKT_TRANSFER_INIT, .map_type = MKT_MAP_EMPTY},
        .n = 2,
        .payload = {{.type = MKT_TICKET, .ticket = {.type = 1, .initiator_data = data}},
                    {.type = MKT_V, .v = v_of_suite(suite)}},
    };
    struct io io = io_put(&out);
    mkt_io_put_message(&io, &m, m.payload);
    expect_err("message", io_done(&io, &out), MKT_OK);
    expect_err("seal", mkt_initiator_data_seal(suite, mpkr_of(suite), &m, &out), MKT_E_LENGTH);
}
END_TEST

/* In a call: of this TRANSFER_INIT, by this MPKr; a Responder sees the one, the KMS the other. */
START_TEST(of_a_call)
{
    struct play *p = play_new(suites[_i], "DEFGHIJLNO", false);
    struct mkt_v vi, vr;
    play_until(p, OFFER);
    const struct mkt_span init = play_make(p, OFFER);
    const struct mkt_span data = payload_of(init, MKT_TICKET, 0).ticket.initiator_data;
    const struct mkt_v v = payload_of(init, MKT_V, 0).v;
    expect_err("match", mkt_initiator_data_check(data, true, &v), MKT_OK);
    expect_err("get", mkt_initiator_data_decode(data, &vi, &vr), MKT_OK);

    uint8_t octets[4096];
    memcpy(octets, init.p, init.n);
    octets[vi.mac.p - init.p] ^= 1; /* neither is covered by V */
    expect_err("Vi", mkt_csb_take_offer(play_bundle(p, BOB), (struct mkt_span){octets, init.n}, mikey),
               MKT_E_INITIATOR_MAC);
    octets[vi.mac.p - init.p] ^= 1;
    octets[vr.mac.p - init.p] ^= 1;
    expect_err("Vr", mkt_csb_take_offer(play_bundle(p, BOB), exact((struct mkt_span){octets, init.n}), mikey), MKT_OK);
    play_make(p, RESOLVE);
    expect_err("Vr", mkt_csb_take(play_bundle(p, KMS), p->message[RESOLVE]), MKT_E_INITIATOR_MAC);
    play_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("initiator_data");
    TCase *tcase = tcase_create("initiator_data");
    tcase_add_loop_test(tcase, two_verification_payloads_of_zeros, 0, 2);
    tcase_add_loop_test(tcase, sealed_and_verified, 0, 2);
    tcase_add_loop_test(tcase, every_bit_counts, 0, 2);
    tcase_add_test(tcase, shapes);
    tcase_add_test(tcase, algorithms);
    tcase_add_loop_test(tcase, all_of_it_is_covered, 0, 2);
    tcase_add_loop_test(tcase, a_v_of_another_length, 0, 2);
    tcase_add_loop_test(tcase, of_a_call, 0, 2);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
