/* SPDX-License-Identifier: BSD-3-Clause */
/* io: one walk reads, writes and measures; the first error sticks. Blocks have their exact size, for the sanitizers. */
#include "vector.h"

#include "io.h"

#include <stdlib.h>

/* ---- one walk over every kind of field ---- */

struct fields {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64, u24;
    uint16_t high1, low7, high4, low12;
    struct mkt_span bytes, vec8, vec16;
};

static void walk(struct io *io, struct fields *f)
{
    io_u8(io, &f->u8);
    io_u16(io, &f->u16);
    io_u32(io, &f->u32);
    io_uint(io, &f->u64, 8);
    io_uint(io, &f->u24, 3);
    io_split(io, 1, &f->high1, 7, &f->low7);
    io_split(io, 2, &f->high4, 12, &f->low12);
    io_bytes(io, &f->bytes, 3);
    io_vec(io, &f->vec8, 1);
    io_vec(io, &f->vec16, 2);
    io_expect_end(io);
}

static const char octets_in_hex[] = "f1"               /* u8 */
                                    "0203"             /* u16 */
                                    "04050607"         /* u32 */
                                    "08090a0b0c0d0e0f" /* u64 */
                                    "101112"           /* 24 bits */
                                    "93"               /* 1 and 7 bits: 1, 0x13 */
                                    "a123"             /* 4 and 12 bits: 0xa, 0x123 */
                                    "212223"           /* 3 octets */
                                    "023132"           /* 8-bit length, octets */
                                    "000141";          /* 16-bit length, octets */

static struct fields fields(void)
{
    return (struct fields){
        .u8 = 0xf1,
        .u16 = 0x0203,
        .u32 = 0x04050607,
        .u64 = 0x08090a0b0c0d0e0f,
        .u24 = 0x101112,
        .high1 = 1,
        .low7 = 0x13,
        .high4 = 0xa,
        .low12 = 0x123,
        .bytes = mkt_span_text("!\"#"),
        .vec8 = mkt_span_text("12"),
        .vec16 = mkt_span_text("A"),
    };
}

/* A buffer of the caller's of just `cap` octets, filled so that what is not written shows. */
static struct mkt_buf room(size_t cap)
{
    struct mkt_buf buf = {malloc(cap > 0 ? cap : 1), cap, 0};
    ck_assert_ptr_nonnull(buf.p);
    if (cap > 0)
        memset(buf.p, 0xee, cap);
    return buf;
}

START_TEST(get_put_and_measure_agree)
{
    struct mkt_span in = from_hex(octets_in_hex);
    struct fields got = {0}, want = fields();
    struct io io = io_get(in);
    walk(&io, &got);
    expect_err("get", io.err, MKT_OK);
    ck_assert_uint_eq(got.u8, want.u8);
    ck_assert_uint_eq(got.u16, want.u16);
    ck_assert_uint_eq(got.u32, want.u32);
    ck_assert(got.u64 == want.u64 && got.u24 == want.u24);
    ck_assert_uint_eq(got.high1, want.high1);
    ck_assert_uint_eq(got.low7, want.low7);
    ck_assert_uint_eq(got.high4, want.high4);
    ck_assert_uint_eq(got.low12, want.low12);
    expect_octets("bytes", got.bytes, want.bytes);
    expect_octets("vec8", got.vec8, want.vec8);
    expect_octets("vec16", got.vec16, want.vec16);
    ck_assert_msg(got.vec16.p == in.p + in.n - 1, "a span that was read is a view of the input");

    struct mkt_buf buf = room(in.n), measured = {NULL, 0, 0};
    io = io_put(&buf);
    walk(&io, &want);
    expect_err("put", io_done(&io, &buf), MKT_OK);
    expect_octets("put", (struct mkt_span){buf.p, buf.n}, in);
    io = io_put(&measured);
    walk(&io, &want);
    expect_err("measure", io_done(&io, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, in.n);
    free(buf.p);
}
END_TEST

START_TEST(writing_appends)
{
    struct mkt_buf buf = room(3), measured = {NULL, 0, 40};
    uint8_t v = 0x77;
    buf.n = 1;
    struct io io = io_put(&buf);
    io_u8(&io, &v);
    ck_assert_msg(buf.n == 1, "nothing counts before io_done()");
    expect_err("put", io_done(&io, &buf), MKT_OK);
    expect_octets("put", (struct mkt_span){buf.p, 3}, from_hex("ee77ee"));
    ck_assert_uint_eq(buf.n, 2);
    io = io_put(&measured);
    io_u8(&io, &v);
    expect_err("measure", io_done(&io, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, 41);
    free(buf.p);
}
END_TEST

START_TEST(every_underrun_is_short)
{
    struct mkt_span in = from_hex(octets_in_hex);
    for (size_t n = 0; n < in.n; n++) {
        struct fields got = fields();
        struct io io = io_get(exact((struct mkt_span){in.p, n}));
        walk(&io, &got);
        expect_err("truncated", io.err, MKT_E_TRUNCATED);
        ck_assert_msg(got.vec16.n == 0 && got.vec16.p == NULL, "what was not read is empty");
        ck_assert(io_rest(&io).n == 0 && !io_left(&io) && io_since(&io, 0).n == 0);
    }
}
END_TEST

START_TEST(one_octet_more_is_trailing)
{
    struct mkt_span in = from_hex(octets_in_hex);
    struct mkt_buf longer = room(in.n + 1);
    memcpy(longer.p, in.p, in.n);
    struct fields got;
    struct io io = io_get((struct mkt_span){longer.p, in.n + 1});
    walk(&io, &got);
    expect_err("one more", io.err, MKT_E_TRAILING);
    free(longer.p);
}
END_TEST

START_TEST(every_overrun_is_no_space_and_counts_for_nothing)
{
    size_t all = from_hex(octets_in_hex).n;
    for (size_t cap = 0; cap < all; cap++) {
        struct fields f = fields();
        struct mkt_buf buf = room(cap);
        struct io io = io_put(&buf);
        walk(&io, &f);
        expect_err("too small", io_done(&io, &buf), MKT_E_BUFFER);
        ck_assert_uint_eq(buf.n, 0);
        free(buf.p);
    }
}
END_TEST

START_TEST(a_buffer_that_holds_more_than_it_can_is_refused)
{
    struct mkt_buf buf = room(2);
    uint8_t v = 1;
    buf.n = 3;
    struct io io = io_put(&buf);
    io_u8(&io, &v);
    expect_err("n > cap", io_done(&io, &buf), MKT_E_ARGUMENT);
    ck_assert_uint_eq(buf.n, 3);
    ck_assert_ptr_null(io_reserve(&buf, 0));
    free(buf.p);
}
END_TEST

START_TEST(a_measure_does_not_wrap_around)
{
    struct mkt_buf measured = {NULL, 0, 0};
    struct mkt_span huge = {NULL, SIZE_MAX};
    uint8_t v = 0;
    struct io io = io_put(&measured);
    io_bytes(&io, &huge, SIZE_MAX);
    io_u8(&io, &v);
    expect_err("too much", io_done(&io, &measured), MKT_E_BUFFER);
    ck_assert_uint_eq(measured.n, 0);
}
END_TEST

/* ---- the first error sticks ---- */

START_TEST(the_first_error_of_a_get_sticks)
{
    struct io io = io_get(from_hex("0102"));
    uint32_t u32 = 7;
    uint16_t u16 = 7, high = 7, low = 7;
    uint8_t u8 = 7;
    struct mkt_span s = mkt_span_text("seven");
    io_u32(&io, &u32);
    io_fail(&io, MKT_E_BAD_VALUE);
    io_expect_end(&io);
    io_u8(&io, &u8);
    io_u16(&io, &u16);
    io_split(&io, 1, &high, 4, &low);
    io_bytes(&io, &s, 0);
    expect_err("sticks", io.err, MKT_E_TRUNCATED);
    ck_assert_msg(u32 == 0 && u8 == 0 && u16 == 0 && high == 0 && low == 0, "after an error zeros are read");
    ck_assert(s.p == NULL && s.n == 0);
    ck_assert_uint_eq(io.pos, 0);
}
END_TEST

START_TEST(the_first_error_of_a_put_sticks)
{
    struct mkt_buf buf = room(2);
    struct io io = io_put(&buf);
    uint64_t wide = 256;
    uint32_t u32 = 0;
    uint8_t u8 = 1;
    io_u8(&io, &u8);
    io_uint(&io, &wide, 1);
    io_u32(&io, &u32);
    io_u8(&io, &u8);
    expect_err("sticks", io_done(&io, &buf), MKT_E_LENGTH);
    ck_assert_uint_eq(buf.n, 0);
    expect_octets("nothing more", (struct mkt_span){buf.p, 2}, from_hex("01ee"));
    free(buf.p);
}
END_TEST

/* ---- values too wide for their place ---- */

static enum mkt_err put_uint(uint8_t *p, uint64_t v, size_t octets)
{
    struct mkt_buf buf = {p, 8, 0};
    struct io io = io_put(&buf);
    io_uint(&io, &v, octets);
    return io_done(&io, &buf);
}

START_TEST(an_integer_too_wide_is_refused)
{
    for (size_t octets = 1; octets <= 8; octets++) {
        uint8_t out[16]; /* more than is used: compilers look at paths that are not taken */
        uint64_t most = octets == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * octets) - 1;
        expect_err("put", put_uint(out, most, octets), MKT_OK);
        expect_err("measure", put_uint(NULL, most, octets), MKT_OK);
        if (octets == 8)
            continue;
        expect_err("put", put_uint(out, most + 1, octets), MKT_E_LENGTH);
        expect_err("measure", put_uint(NULL, most + 1, octets), MKT_E_LENGTH);
        expect_err("put", put_uint(out, UINT64_MAX, octets), MKT_E_LENGTH);
    }
}
END_TEST

START_TEST(a_part_of_an_octet_too_wide_is_refused)
{
    static const struct {
        size_t octets;
        uint16_t high;
        unsigned low_bits;
        uint16_t low;
        enum mkt_err err;
    } rows[] = {
        {1, 1, 7, 0x7f, MKT_OK},     {1, 2, 7, 0, MKT_E_LENGTH},         {1, 0, 7, 0x80, MKT_E_LENGTH},
        {1, 0xf, 4, 0xf, MKT_OK},    {1, 0x10, 4, 0, MKT_E_LENGTH},      {1, 0, 4, 0x10, MKT_E_LENGTH},
        {2, 3, 14, 0x3fff, MKT_OK},  {2, 4, 14, 0, MKT_E_LENGTH},        {2, 0, 14, 0x4000, MKT_E_LENGTH},
        {2, 0xf, 12, 0xfff, MKT_OK}, {2, 0x10, 12, 0xfff, MKT_E_LENGTH}, {2, 0xf, 12, 0x1000, MKT_E_LENGTH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int measure = 0; measure < 2; measure++) {
            uint8_t out[2];
            struct mkt_buf buf = {measure != 0 ? NULL : out, sizeof out, 0};
            struct io io = io_put(&buf);
            uint16_t high = rows[i].high, low = rows[i].low;
            io_split(&io, rows[i].octets, &high, rows[i].low_bits, &low);
            ck_assert_msg(io_done(&io, &buf) == rows[i].err, "row %zu", i);
        }
}
END_TEST

START_TEST(octets_too_long_for_their_length_are_refused)
{
    static uint8_t many[65536], out[sizeof many + 2];
    static const struct {
        size_t length_octets, n;
        enum mkt_err err;
    } rows[] = {{1, 255, MKT_OK}, {1, 256, MKT_E_LENGTH}, {2, 65535, MKT_OK}, {2, 65536, MKT_E_LENGTH}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int measure = 0; measure < 2; measure++) {
            struct mkt_span s = {many, rows[i].n};
            struct mkt_buf buf = {measure != 0 ? NULL : out, sizeof out, 0};
            struct io io = io_put(&buf);
            if (rows[i].length_octets == 1)
                io_vec(&io, &s, 1);
            else
                io_vec(&io, &s, 2);
            expect_err("vec", io_done(&io, &buf), rows[i].err);
            ck_assert_uint_eq(buf.n, rows[i].err == MKT_OK ? rows[i].length_octets + rows[i].n : 0);
        }
}
END_TEST

START_TEST(octets_of_a_length_known_elsewhere_have_just_that_length)
{
    for (size_t n = 0; n <= 4; n++)
        for (int measure = 0; measure < 2; measure++) {
            uint8_t out[8];
            struct mkt_buf buf = {measure != 0 ? NULL : out, sizeof out, 0};
            struct mkt_span s = {(const uint8_t *)"abcd", n};
            struct io io = io_put(&buf);
            io_bytes(&io, &s, 3);
            expect_err("bytes", io_done(&io, &buf), n == 3 ? MKT_OK : MKT_E_LENGTH);
        }
}
END_TEST

START_TEST(octets_not_known_yet_are_written_as_zeros)
{
    struct mkt_buf buf = room(5);
    struct mkt_span unknown = {NULL, 3};
    struct io io = io_put(&buf);
    io_vec(&io, &unknown, 1);
    expect_err("put", io_done(&io, &buf), MKT_OK);
    expect_octets("zeros", (struct mkt_span){buf.p, 5}, from_hex("03000000ee"));
    free(buf.p);
}
END_TEST

/* ---- views and buffers ---- */

START_TEST(what_was_read_and_what_is_left_are_views)
{
    struct mkt_span in = from_hex("0102030405");
    struct io io = io_get(in);
    uint16_t v = 0;
    ck_assert(io_left(&io));
    io_u16(&io, &v);
    expect_octets("since", io_since(&io, 1), from_hex("02"));
    expect_octets("rest", io_rest(&io), from_hex("030405"));
    ck_assert_ptr_eq(io_rest(&io).p, in.p + 2);
    io_bytes(&io, &in, 3);
    ck_assert(!io_left(&io) && io_rest(&io).n == 0 && io_rest(&io).p == NULL);
    io_expect_end(&io);
    expect_err("end", io.err, MKT_OK);
}
END_TEST

START_TEST(an_error_in_a_list_is_told_where_it_stands_unless_one_came_before)
{
    const struct mkt_span octets = {(const uint8_t *)"abcdef", 6};
    uint8_t v;
    for (int before = 0; before < 2; before++) {
        struct io list = io_get((struct mkt_span){octets.p, 2}), io = io_get(octets);
        for (int i = 0; i < 3; i++)
            io_u8(&list, &v); /* of two */
        for (int i = 0; i < 3; i++)
            io_u8(&io, &v);
        if (before != 0)
            io_fail(&io, MKT_E_BAD_VALUE);
        io_fail_within(&io, 3, &list);
        expect_err("error", io.err, before != 0 ? MKT_E_BAD_VALUE : MKT_E_TRUNCATED);
        ck_assert_uint_eq(io.from, before != 0 ? 2 : 3 + 2);
    }
}
END_TEST

START_TEST(a_list_without_an_error_changes_nothing)
{
    const struct mkt_span octets = {(const uint8_t *)"abcdef", 6};
    struct io list = io_get(octets), io = io_get(octets);
    uint8_t v;
    io_u8(&list, &v);
    io_u8(&list, &v);
    io_u8(&io, &v);
    io_fail_within(&io, 3, &list);
    expect_err("error", io.err, MKT_OK);
    ck_assert_uint_eq(io.from, 0);
}
END_TEST

START_TEST(reserve_takes_what_there_is_and_no_more)
{
    struct mkt_buf buf = room(4), none = {NULL, 0, 0};
    ck_assert_ptr_eq(io_reserve(&buf, 3), buf.p);
    ck_assert_uint_eq(buf.n, 3);
    ck_assert_ptr_null(io_reserve(&buf, 2));
    ck_assert_uint_eq(buf.n, 3);
    ck_assert_ptr_eq(io_reserve(&buf, 1), buf.p + 3);
    ck_assert_ptr_null(io_reserve(&buf, 1));
    ck_assert_ptr_null(io_reserve(&buf, SIZE_MAX));
    ck_assert_uint_eq(buf.n, 4);
    ck_assert_msg(io_reserve(&none, 1) == NULL && none.n == 0, "a buffer that measures has no octets to give");
    free(buf.p);
}
END_TEST

START_TEST(keep_copies_and_views_the_copy)
{
    struct mkt_buf buf = room(4);
    struct mkt_span kept = {NULL, 0}, from = mkt_span_text("abc"), before;
    expect_err("keep", io_keep(&buf, from, &kept), MKT_OK);
    ck_assert_ptr_eq(kept.p, buf.p);
    expect_octets("kept", kept, from);
    before = kept;
    expect_err("no room", io_keep(&buf, mkt_span_text("de"), &kept), MKT_E_BUNDLE_FULL);
    ck_assert(kept.p == before.p && kept.n == before.n && buf.n == 3);
    expect_err("nothing", io_keep(&buf, (struct mkt_span){NULL, 0}, &kept), MKT_OK);
    ck_assert(kept.n == 0 && buf.n == 3);
    free(buf.p);
}
END_TEST

START_TEST(tail_and_within_are_places_in_the_buffer)
{
    struct mkt_buf buf = room(6), measured = {NULL, 0, 9};
    struct mkt_span kept;
    expect_err("keep", io_keep(&buf, mkt_span_text("head"), &kept), MKT_OK);
    expect_octets("tail", io_tail(&buf, 1), mkt_span_text("ead"));
    ck_assert_uint_eq(io_tail(&buf, 4).n, 0);
    ck_assert(io_tail(&measured, 4).p == NULL && io_tail(&measured, 4).n == 5);
    io_within(&buf, io_tail(&buf, 2))[0] = 'X';
    expect_octets("within", kept, mkt_span_text("heXd"));
    free(buf.p);
}
END_TEST

START_TEST(spans_compare_by_their_octets)
{
    struct mkt_span none = {NULL, 0}, empty = mkt_span_text(""), a = from_hex("6162"), ab = mkt_span_text("ab");
    ck_assert(mkt_span_equal(none, empty) && mkt_span_equal(a, ab) && mkt_span_text(NULL).n == 0);
    ck_assert(!mkt_span_equal(a, none) && !mkt_span_equal(a, mkt_span_text("ac")));
    ck_assert(!mkt_span_equal(a, mkt_span_text("abc")) && !mkt_span_equal(mkt_span_text("abc"), a));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io");
    TCase *tcase = tcase_create("io");
    tcase_add_checked_fixture(tcase, NULL, free_all);
    tcase_add_test(tcase, get_put_and_measure_agree);
    tcase_add_test(tcase, writing_appends);
    tcase_add_test(tcase, every_underrun_is_short);
    tcase_add_test(tcase, one_octet_more_is_trailing);
    tcase_add_test(tcase, every_overrun_is_no_space_and_counts_for_nothing);
    tcase_add_test(tcase, a_buffer_that_holds_more_than_it_can_is_refused);
    tcase_add_test(tcase, a_measure_does_not_wrap_around);
    tcase_add_test(tcase, the_first_error_of_a_get_sticks);
    tcase_add_test(tcase, the_first_error_of_a_put_sticks);
    tcase_add_test(tcase, an_integer_too_wide_is_refused);
    tcase_add_test(tcase, a_part_of_an_octet_too_wide_is_refused);
    tcase_add_test(tcase, octets_too_long_for_their_length_are_refused);
    tcase_add_test(tcase, octets_of_a_length_known_elsewhere_have_just_that_length);
    tcase_add_test(tcase, octets_not_known_yet_are_written_as_zeros);
    tcase_add_test(tcase, what_was_read_and_what_is_left_are_views);
    tcase_add_test(tcase, an_error_in_a_list_is_told_where_it_stands_unless_one_came_before);
    tcase_add_test(tcase, a_list_without_an_error_changes_nothing);
    tcase_add_test(tcase, reserve_takes_what_there_is_and_no_more);
    tcase_add_test(tcase, keep_copies_and_views_the_copy);
    tcase_add_test(tcase, tail_and_within_are_places_in_the_buffer);
    tcase_add_test(tcase, spans_compare_by_their_octets);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
