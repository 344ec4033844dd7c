/* SPDX-License-Identifier: BSD-3-Clause */
/* base64: by RFC 4648, by its definition, and by mbedTLS. */
#include "vector.h"

#include "base64.h"

#include <mbedtls/base64.h>

#include <stdlib.h>

/* RFC 4648 section 10, and the answer of RFC 4567 section 5.1 */

static const struct {
    const char *hex, *text;
} rows_of_rfcs[] = {
    {"-", ""},
    {"66", "Zg=="},
    {"666f", "Zm8="},
    {"666f6f", "Zm9v"},
    {"666f6f62", "Zm9vYg=="},
    {"666f6f6261", "Zm9vYmE="},
    {"666f6f626172", "Zm9vYmFy"},
    {"fbf0ffbfff", "+/D/v/8="},
    {"01010580cd177e5001000000000000000000000600c8e350ea00000000090000106d69636b6579406d6f7573652e636f6d00019fc1dd184e4"
     "130"
     "35c522e18481afbad80818e5c7",
     "AQEFgM0XflABAAAAAAAAAAAAAAYAyONQ6gAAAAAJAAAQbWlja2V5QG1vdXNlLmNvbQABn8HdGE5BMDXFIuGEga+62AgY5cc="},
};

static void expect_base64(struct mkt_span in, struct mkt_span want)
{
    struct mkt_buf put = {malloc(want.n + 1), want.n, 0}, get = {malloc(in.n + 1), in.n, 0}, measured = {NULL, 0, 0};
    put.p[want.n] = get.p[in.n] = 0xb5;
    expect_err("put", mkt_base64_encode(in, &put), MKT_OK);
    expect_octets("put", (struct mkt_span){put.p, put.n}, want);
    expect_err("get", mkt_base64_decode(exact(want), &get), MKT_OK);
    expect_octets("get", (struct mkt_span){get.p, get.n}, in);
    ck_assert_msg(put.p[want.n] == 0xb5 && get.p[in.n] == 0xb5, "written behind the end");
    expect_err("measure", mkt_base64_encode(in, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, want.n);
    measured.n = 0;
    expect_err("measure", mkt_base64_decode(want, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, in.n);
    if (in.n > 0) {
        put = (struct mkt_buf){put.p, want.n - 1, 0};
        get = (struct mkt_buf){get.p, in.n - 1, 0};
        expect_err("put", mkt_base64_encode(in, &put), MKT_E_BUFFER);
        expect_err("get", mkt_base64_decode(want, &get), MKT_E_BUFFER);
        ck_assert(put.n == 0 && get.n == 0);
    }
    free(put.p);
    free(get.p);
}

START_TEST(base64_agrees_with_rfc_4648)
{
    for (size_t i = 0; i < sizeof rows_of_rfcs / sizeof *rows_of_rfcs; i++)
        expect_base64(from_hex(rows_of_rfcs[i].hex), mkt_span_text(rows_of_rfcs[i].text));
}
END_TEST

/* By the definition: 6 bits a character. */
START_TEST(base64_of_any_length_is_read_again)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t in[200], text[4 * 67];
    for (size_t n = 0; n <= sizeof in; n++) {
        size_t chars = (n + 2) / 3 * 4;
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)(37 * i + n);
        for (size_t c = 0; c < chars; c++) {
            unsigned bits = 0;
            for (size_t b = 6 * c; b < 6 * c + 6; b++)
                bits = bits << 1 | (b / 8 < n ? (unsigned)in[b / 8] >> (7 - b % 8) & 1u : 0u);
            text[c] = (uint8_t)(6 * c < 8 * n ? alphabet[bits] : '=');
        }
        expect_base64(exact((struct mkt_span){in, n}), (struct mkt_span){text, chars});
    }
}
END_TEST

START_TEST(base64_appends)
{
    uint8_t out[16] = "a:";
    struct mkt_buf buf = {out, sizeof out, 2};
    expect_err("put", mkt_base64_encode(mkt_span_text("f"), &buf), MKT_OK);
    expect_octets("put", (struct mkt_span){out, buf.n}, mkt_span_text("a:Zg=="));
    expect_err("get", mkt_base64_decode(mkt_span_text("Zm8="), &buf), MKT_OK);
    expect_octets("get", (struct mkt_span){out, buf.n}, mkt_span_text("a:Zg==fo"));
    expect_err("wrong", mkt_base64_decode(mkt_span_text("Zm8"), &buf), MKT_E_BASE64);
    ck_assert_uint_eq(buf.n, 8);
}
END_TEST

/* However long the text is that is refused: what lies behind the buffer stays. */
START_TEST(base64_that_is_cut_short_in_a_buffer_of_its_size)
{
    for (size_t n = 0; n <= 17; n++) {
        uint8_t out[20];
        struct mkt_buf buf = {out, n / 4 * 3, 0};
        memset(out, 0xb5, sizeof out);
        expect_err("get", mkt_base64_decode((struct mkt_span){(const uint8_t *)"Zm9vYmFyZm9vYmFyZ", n}, &buf),
                   n % 4 == 0 ? MKT_OK : MKT_E_BASE64);
        for (size_t i = buf.cap; i < sizeof out; i++)
            ck_assert_uint_eq(out[i], 0xb5);
    }
}
END_TEST

#define GROUP "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9v" /* 60 characters */

START_TEST(what_is_not_base64_by_the_letter_is_refused)
{
    static const char *const rows[] = {
        "Z",
        "Zg",
        "Zg=",
        "Zm8",
        "Zm9vZ",
        "Zm9vZg", /* cut short */
        "=",
        "==",
        "====",
        "Z===",
        "Zg==Zg==",
        "Zg=g",
        "=Zg=",
        "Zm8=Zm8=", /* padding */
        "Zm9v=",
        "Zm9v====",
        "Zg===", /* too much of it */
        "Zh==",
        "Zv==",
        "Zm9=",
        "Zm+=", /* bits left over */
        "Zm9v\n",
        "Zm9v\r\n",
        " Zm9v",
        "Zm9v ",
        "Zm 9v",
        "Zm9v\nZm9v",
        "\t", /* blanks */
        "Zm-_",
        "Zm9%",
        "Zm9\x80",
        "Zm9v!",
        "Zm,v", /* no letters of it */
        /* about the end of a group of 64 characters */
        GROUP "Zg=="
              "Zm9v",
        GROUP "Zm8="
              "Zm9v",
        GROUP "Zm9v"
              "Z",
        GROUP "Zm9v"
              "=",
        GROUP "Zm9v\n",
        GROUP "Zh==",
        GROUP "Zm9v"
              "Zh==",
        GROUP "Zm9v" GROUP "Zg=",
        GROUP "Zm9",
        GROUP "Zg=="
              "====",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int measure = 0; measure < 2; measure++) {
            uint8_t out[256];
            struct mkt_buf buf = {measure != 0 ? NULL : out, sizeof out, 0};
            expect_err(rows[i], mkt_base64_decode(exact(mkt_span_text(rows[i])), &buf), MKT_E_BASE64);
            ck_assert_uint_eq(buf.n, 0);
        }
}
END_TEST

START_TEST(every_other_character_is_refused)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 4; at++) {
            uint8_t text[4] = {'A', 'A', 'A', 'A'}, out[3];
            struct mkt_buf buf = {out, sizeof out, 0};
            text[at] = (uint8_t)c;
            bool fine = (c != 0 && strchr(alphabet, (int)c) != NULL) || (c == '=' && at == 3);
            expect_err("character", mkt_base64_decode((struct mkt_span){text, 4}, &buf), fine ? MKT_OK : MKT_E_BASE64);
        }
}
END_TEST

/* ---- mbedTLS ---- */

static void agrees_with_mbedtls(const uint8_t *in, size_t n)
{
    static uint8_t theirs[400]; /* MSan does not see what mbedTLS writes */
    uint8_t ours[400], back[300];
    size_t length = 0;
    struct mkt_buf put = {ours, sizeof ours, 0}, get = {back, sizeof back, 0};
    const bool good = mkt_base64_encode((struct mkt_span){in, n}, &put) == MKT_OK &&
                      mbedtls_base64_encode(theirs, sizeof theirs, &length, in, n) == 0 && put.n == length &&
                      memcmp(ours, theirs, length) == 0 &&
                      mkt_base64_decode((struct mkt_span){theirs, length}, &get) == MKT_OK && get.n == n &&
                      memcmp(back, in, n) == 0;
    if (!good)
        ck_abort_msg("%zu octets that begin with %02x %02x %02x", n, in[0], n > 1 ? in[1] : 0u, n > 2 ? in[2] : 0u);
}

START_TEST(inputs_of_up_to_three_octets_agree_with_mbedtls)
{
    for (unsigned v = 0; v < 1u << 24; v++) {
        const uint8_t in[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        if (v < 1u << 8)
            agrees_with_mbedtls(in + 2, 1);
        if (v < 1u << 16)
            agrees_with_mbedtls(in + 1, 2);
        agrees_with_mbedtls(in, 3);
    }
}
END_TEST

START_TEST(random_inputs_agree_with_mbedtls)
{
    uint32_t state = 6043;
    for (size_t n = 1; n <= 290; n++) {
        uint8_t in[290];
        for (size_t i = 0; i < n; i++) {
            state = state * 1664525u + 1013904223u;
            in[i] = (uint8_t)(state >> 24);
        }
        agrees_with_mbedtls(in, n);
    }
}
END_TEST

/* A message at the end of the room for its text, as mkt_sdp_make_offer() has it. */
START_TEST(what_is_encoded_may_stand_at_the_end)
{
    for (size_t n = 0; n <= 200; n++) {
        uint8_t in[200], apart[272], room[272];
        struct mkt_buf want = {apart, sizeof apart, 0}, out = {room, (n + 2) / 3 * 4, 0};
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)(37 * i + n);
        memcpy(room + out.cap - n, in, n);
        expect_err("apart", mkt_base64_encode((struct mkt_span){in, n}, &want), MKT_OK);
        expect_err("in place", mkt_base64_encode((struct mkt_span){room + out.cap - n, n}, &out), MKT_OK);
        expect_octets("in place", mkt_buf_span(&out), mkt_buf_span(&want));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64");
    TCase *tcase = tcase_create("base64");
    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, base64_agrees_with_rfc_4648);
    tcase_add_test(tcase, base64_of_any_length_is_read_again);
    tcase_add_test(tcase, base64_appends);
    tcase_add_test(tcase, base64_that_is_cut_short_in_a_buffer_of_its_size);
    tcase_add_test(tcase, what_is_not_base64_by_the_letter_is_refused);
    tcase_add_test(tcase, every_other_character_is_refused);
    tcase_add_test(tcase, inputs_of_up_to_three_octets_agree_with_mbedtls);
    tcase_add_test(tcase, random_inputs_agree_with_mbedtls);
    tcase_add_test(tcase, what_is_encoded_may_stand_at_the_end);
    tcase_add_unchecked_fixture(tcase, NULL, free_all);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
