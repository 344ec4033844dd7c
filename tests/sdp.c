/* SPDX-License-Identifier: BSD-3-Clause */
/* The room sdp: RFC 4567 on strings, and who opens TCP and TLS (RFC 4145, 6135, 8856). */
#define _GNU_SOURCE /* memmem */

#include "described.h"
#include "allocations.h"
#include "vector.h"

#include <mikeyticket/message.h>
#include <mikeyticket/sdp.h>

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
#define TAIL "t=0 0\r\n"
#define MSRP "m=message 2855 TCP/TLS/MSRP *\r\n"
#define BFCP "m=application 9 TCP/TLS/BFCP *\r\n"

static struct mkt_span text(const char *t)
{
    return exact(mkt_span_text(t));
}

static uint8_t room[4096];

static struct mkt_buf buffer(void)
{
    return (struct mkt_buf){room, sizeof room, 0};
}

static struct mkt_span written(const struct mkt_buf *out)
{
    return (struct mkt_span){out->p, out->n};
}

/* Refuses, and leaves the buffer as it was; or gives just this text, and as many octets when it only measures. */
typedef enum mkt_err (*reader)(struct mkt_span in, size_t media, struct mkt_buf *out);

static void expect(reader read, const char *in, size_t media, enum mkt_err want_err, const char *want)
{
    struct mkt_buf out = {room, sizeof room, 7}, measure = {NULL, 0, 7}, small = {room, 7, 7};
    size_t n = want_err == MKT_OK ? strlen(want) : 0;
    expect_err(in, read(text(in), media, &out), want_err);
    expect_err(in, read(text(in), media, &measure), want_err);
    ck_assert_msg(out.n == 7 + n && measure.n == out.n, "%s: %zu octets, measured %zu", in, out.n, measure.n);
    if (n == 0)
        return;
    expect_octets(in, (struct mkt_span){out.p + 7, n}, mkt_span_text(want));
    for (; small.cap < out.n; small.cap++)
        expect_err(in, read(text(in), media, &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 7);
    expect_err(in, read(text(in), media, &small), MKT_OK);
}

static void finds(const char *sdp, size_t media, const char *message)
{
    expect(text_get, sdp, media, MKT_OK, message);
}

static void refuses(const char *sdp, size_t media, enum mkt_err err)
{
    expect(text_get, sdp, media, err, NULL);
}

static void lists(const char *sdp, size_t media, const char *list)
{
    expect(text_protocols, sdp, media, MKT_OK, list);
}

/* The attribute line */

START_TEST(line_of_every_vector)
{
    struct vectors v = vectors_read("rfc6043.txt");
    size_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        const char *line = value_of(&v.section[i], "sdp");
        if (line == NULL)
            continue;
        struct mkt_span message = octets_of(&v.section[i], "transfer_init");
        struct mkt_buf out = buffer(), measure = {NULL, 0, 0};
        expect_err(v.section[i].name, mkt_sdp_key_mgmt_encode(message, &out), MKT_OK);
        expect_octets(v.section[i].name, written(&out), mkt_span_text(line));
        expect_err(v.section[i].name, mkt_sdp_key_mgmt_encode(message, &measure), MKT_OK);
        ck_assert_uint_eq(measure.n, out.n);

        out = buffer();
        expect_err(v.section[i].name, text_get(text(line), MKT_SDP_SESSION, &out), MKT_OK);
        expect_octets(v.section[i].name, written(&out), message);
        n++;
    }
    ck_assert_uint_gt(n, 20);
    vectors_free(&v);
}
END_TEST

START_TEST(line_into_too_little_room)
{
    struct mkt_buf out = {room, 0, 3};
    expect_err("n beyond cap", mkt_sdp_key_mgmt_encode(mkt_span_text("abc"), &out), MKT_E_ARGUMENT);
    size_t n = strlen("a=key-mgmt:mikey YWJj");
    for (out.cap = 3; out.cap < 3 + n; out.cap++) {
        expect_err("too small", mkt_sdp_key_mgmt_encode(mkt_span_text("abc"), &out), MKT_E_BUFFER);
        ck_assert_uint_eq(out.n, 3);
    }
    expect_err("just enough", mkt_sdp_key_mgmt_encode(mkt_span_text("abc"), &out), MKT_OK);
    ck_assert_uint_eq(out.n, out.cap);
    expect_err("no message", mkt_sdp_key_mgmt_encode((struct mkt_span){NULL, 0}, &out), MKT_E_ARGUMENT);
}
END_TEST

START_TEST(grammar_of_the_attribute)
{
    static const struct {
        const char *line;
        enum mkt_err err;
    } row[] = {
        {"a=key-mgmt:mikey YWJj", MKT_OK},
        {"a=key-mgmt: mikey YWJj", MKT_OK}, /* 0*1SP */
        {"a=key-mgmt:  mikey YWJj", MKT_E_SDP},
        {"a=key-mgmt:\tmikey YWJj", MKT_E_SDP},
        {"a=key-mgmt:mikey\tYWJj", MKT_E_SDP},
        {"a=key-mgmt:mikey", MKT_E_SDP},
        {"a=key-mgmt:mikey ", MKT_E_SDP},
        {"a=key-mgmt:mikeyYWJj", MKT_E_SDP},
        {"a=key-mgmt:mikey;YWJj", MKT_E_SDP},
        {"a=key-mgmt:mi-key YWJj", MKT_E_SDP},
        {"a=key-mgmt:\"mikey\" YWJj", MKT_E_SDP},
        {"a=key-mgmt: YWJj", MKT_E_SDP},
        {"a=key-mgmt:", MKT_E_SDP},
        {"a=key-mgmt: ", MKT_E_SDP},
        {"a=key-mgmt", MKT_E_SDP},
        /* KMPID is case sensitive, and so is the name of an attribute */
        {"a=key-mgmt:MIKEY YWJj", MKT_E_MISSING},
        {"a=key-mgmt:mikey2 YWJj", MKT_E_MISSING},
        {"a=key-mgmt:mike YWJj", MKT_E_MISSING},
        {"a=Key-Mgmt:mikey YWJj", MKT_E_MISSING},
        {"a=key-mgmt2:mikey YWJj", MKT_E_MISSING},
        {"a=key-mgm:mikey YWJj", MKT_E_MISSING},
        {"i=a=key-mgmt:mikey YWJj", MKT_E_MISSING},
        /* base64 by the letter */
        {"a=key-mgmt:mikey YWJjZA==", MKT_OK},
        {"a=key-mgmt:mikey YWJjZGU=", MKT_OK},
        {"a=key-mgmt:mikey  YWJj", MKT_E_BASE64},
        {"a=key-mgmt:mikey YWJj ", MKT_E_BASE64},
        {"a=key-mgmt:mikey YW Jj", MKT_E_BASE64},
        {"a=key-mgmt:mikey AQ=", MKT_E_BASE64},
        {"a=key-mgmt:mikey AQ", MKT_E_BASE64},
        {"a=key-mgmt:mikey AR==", MKT_E_BASE64},
        {"a=key-mgmt:mikey AQ==YWJj", MKT_E_BASE64},
        {"a=key-mgmt:mikey A===", MKT_E_BASE64},
        {"a=key-mgmt:mikey ====", MKT_E_BASE64},
        {"a=key-mgmt:mikey =", MKT_E_BASE64},
        {"a=key-mgmt:mikey YW-_", MKT_E_BASE64},
        {"a=key-mgmt:mikey YWJj;", MKT_E_BASE64},
        {"a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyO...", MKT_E_BASE64},
    };
    static const char *const before[] = {"", HEAD TAIL, HEAD TAIL MSRP, HEAD "a=tool:x\n"};
    static const char *const after[] = {"", "\n", "\r\n", "\r\na=x\r\n", "\na=x:1"};
    char sdp[400];
    for (size_t i = 0; i < COUNT(row); i++) {
        for (size_t j = 0; j < COUNT(before) * COUNT(after); j++) {
            size_t b = j / COUNT(after);
            snprintf(sdp, sizeof sdp, "%s%s%s", before[b], row[i].line, after[j % COUNT(after)]);
            struct mkt_buf out = buffer();
            expect_err(sdp, text_get(text(sdp), b == 2 ? 0 : MKT_SDP_SESSION, &out), row[i].err);
            ck_assert_msg((out.n > 0) == (row[i].err == MKT_OK), "%s: %zu octets", sdp, out.n);
        }
    }
}
END_TEST

/* Lines: nobody shall see other lines than this library does */

START_TEST(lines)
{
    finds("a=key-mgmt:mikey YWJj\na=x\r\n", MKT_SDP_SESSION, "abc");
    finds("a=x\r\na=key-mgmt:mikey YWJj", MKT_SDP_SESSION, "abc");
    finds("a=key-mgmt:mikey YWJj\r\n\r\n", MKT_SDP_SESSION, "abc"); /* one empty line may end the text */
    finds("a=key-mgmt:mikey YWJj\n\n", MKT_SDP_SESSION, "abc");
    finds(MSRP "a=key-mgmt:mikey YWJj\r\n\r\n", 0, "abc");
    finds("s=\na=key-mgmt:mikey YWJj\n", MKT_SDP_SESSION, "abc");                     /* a line without a value */
    refuses("a=key-mgmt:mikey\na=key-mgmt:mikey YWJj\n", MKT_SDP_SESSION, MKT_E_SDP); /* no good line mends a bad one */
    refuses("", MKT_SDP_SESSION, MKT_E_MISSING);
    static const char *const bad[] = {
        "a=key-mgmt:mikey YWJj\r", /* a CR that ends no line */
        "a=key-mgmt:mikey YWJj\r\r\n",
        "a=x\rb\na=key-mgmt:mikey YWJj\n",
        "a=x\ra=key-mgmt:mikey YWJj\n",
        "\ra=key-mgmt:mikey YWJj\n",
        "a=key-mgmt:mikey YWJj\r\n\r\na=x\r\n", /* an empty line */
        "a=key-mgmt:mikey YWJj\r\n\r\n\r\n",    /* two, even at the end */
        "a=key-mgmt:mikey YWJj\n\n\n",
        "a=key-mgmt:mikey YWJj\nx", /* other ends than an empty line */
        "a=key-mgmt:mikey YWJj\nx\n",
        "a=key-mgmt:mikey YWJj\n\r",
        "a=key-mgmt:mikey YWJj\n\rx",
        "\na=key-mgmt:mikey YWJj\n",
        "\n",
        "\r\n",
        "a\na=key-mgmt:mikey YWJj", /* no `<type>=` */
        "a:x\na=key-mgmt:mikey YWJj",
        "a =x\na=key-mgmt:mikey YWJj",
        "=\na=key-mgmt:mikey YWJj",
        "A=x\na=key-mgmt:mikey YWJj", /* no such type */
        "x=x\na=key-mgmt:mikey YWJj",
        " a=x\na=key-mgmt:mikey YWJj",
        "a=key-mgmt:mikey YWJj\n YWJj\n", /* folded */
        "a=key-mgmt:mikey YWJj\nYWJj\n",
        "a=key-mgmt:mikey YWJj\n" MSRP "garbage\n", /* also in a part that was not asked for */
        MSRP MSRP MSRP "garbage\n",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct mkt_span value = {NULL, 42};
        struct mkt_sdp_media m;
        struct mkt_sdp sdp;
        enum mkt_setup setup;
        expect_err(bad[i], mkt_sdp_parse(&sdp, text(bad[i])), MKT_E_SDP);
        ck_assert_msg(sdp.sections == 0, "%s: %zu sections after an error", bad[i], sdp.sections);
        refuses(bad[i], MKT_SDP_SESSION, MKT_E_SDP);
        refuses(bad[i], 0, MKT_E_SDP);
        expect(text_protocols, bad[i], MKT_SDP_SESSION, MKT_E_SDP, NULL);
        expect_err(bad[i], text_attribute(text(bad[i]), MKT_SDP_SESSION, "x", 0, &value), MKT_E_SDP);
        expect_err(bad[i], text_media(text(bad[i]), 0, &m), MKT_E_SDP);
        expect_err(bad[i], text_sections(text(bad[i]), &value.n), MKT_E_SDP);
        expect_err(bad[i], text_setup(text(bad[i]), MKT_SDP_SESSION, &setup), MKT_E_SDP);
        ck_assert_uint_eq(value.n, 42);
    }
}
END_TEST

START_TEST(nul_anywhere)
{
    static const char sdp[] = HEAD "i=abc\r\n" TAIL "a=key-mgmt:mikey YWJj\r\n" MSRP "a=setup:active\r\n";
    for (size_t i = 0; i < sizeof sdp - 1; i++) {
        uint8_t octets[sizeof sdp];
        struct mkt_buf out = buffer();
        struct mkt_span value;
        memcpy(octets, sdp, sizeof sdp);
        octets[i] = 0;
        struct mkt_span in = exact((struct mkt_span){octets, sizeof sdp - 1});
        expect_err("get", text_get(in, 0, &out), MKT_E_SDP);
        expect_err("list", text_protocols(in, 0, &out), MKT_E_SDP);
        expect_err("attribute", text_attribute(in, 0, "setup", 0, &value), MKT_E_SDP);
        ck_assert_uint_eq(out.n, 0);
    }
}
END_TEST

START_TEST(every_truncation)
{
    static const char sdp[] = HEAD TAIL MSRP "a=key-mgmt:mikey YWJjZGVm\r\n";
    for (size_t n = 0; n < sizeof sdp - 1; n++) {
        struct mkt_buf out = buffer();
        struct mkt_sdp_media m;
        enum mkt_err err = text_get(exact((struct mkt_span){(const uint8_t *)sdp, n}), 0, &out);
        /* a lost line end, or a whole group of base64: nothing but the MAC tells */
        bool whole = n + 2 == sizeof sdp - 1 || n + 6 == sizeof sdp - 1;
        ck_assert_msg((err == MKT_OK) == whole, "%zu octets: %s", n, mkt_err_name(err));
        err = text_media(exact((struct mkt_span){(const uint8_t *)sdp, n}), 0, &m);
        ck_assert(err == MKT_OK || err == MKT_E_SDP || err == MKT_E_MISSING);
    }
}
END_TEST

/* Levels */

START_TEST(override)
{
    static const char session[] = HEAD TAIL "a=key-mgmt:mikey c2Vzc2lvbg==\r\na=key-mgmt:keyp1 AA==\r\n" MSRP
                                            "a=key-mgmt:mikey bWVkaWE=\r\n" BFCP "a=setup:active\r\n"
                                            "m=audio 1 RTP/SAVP 0\r\na=key-mgmt:keyp2 AA==\r\n";
    finds(session, MKT_SDP_SESSION, "session");
    finds(session, 0, "media");
    finds(session, 1, "session");
    /* another protocol at media level: the session's mikey MUST be ignored as well */
    refuses(session, 2, MKT_E_MISSING);
    refuses(session, 3, MKT_E_MISSING);
    lists(session, MKT_SDP_SESSION, "mikey;keyp1");
    lists(session, 0, "mikey");
    lists(session, 1, "mikey;keyp1");
    lists(session, 2, "keyp2");
    expect(text_protocols, session, 3, MKT_E_MISSING, NULL);
    expect(text_protocols, session, SIZE_MAX - 1, MKT_E_MISSING, NULL);

    /* what is ignored may be wrong; what is there and wrong is never passed over */
    finds("a=key-mgmt:mikey !\n" MSRP "a=key-mgmt:mikey YWJj\n", 0, "abc");
    refuses("a=key-mgmt:mikey YWJj\n" MSRP "a=key-mgmt:mikey !\n", 0, MKT_E_BASE64);
    refuses("a=key-mgmt:mikey YWJj\n" MSRP "a=key-mgmt:mikey\n", 0, MKT_E_SDP);
    refuses("a=key-mgmt:mikey YWJj\n" MSRP "a=key-mgmt:\n", 0, MKT_E_SDP);
    refuses("a=key-mgmt:mikey YWJj\n" MSRP "a=key-mgmt\n", 0, MKT_E_SDP);
    finds("a=key-mgmt:mikey YWJj\n" MSRP "a=key-mgmt\n" BFCP, 1, "abc");

    /* a media section alone */
    finds(MSRP "a=key-mgmt:mikey YWJj\n", 0, "abc");
    refuses(MSRP "a=key-mgmt:mikey YWJj\n", MKT_SDP_SESSION, MKT_E_MISSING);
    refuses(MSRP BFCP "a=key-mgmt:mikey YWJj\n", 0, MKT_E_MISSING);
}
END_TEST

START_TEST(list_of_protocols)
{
    lists(HEAD TAIL, MKT_SDP_SESSION, "");
    lists("a=key-mgmt:mikey x\n", MKT_SDP_SESSION, "mikey"); /* not yet made */
    lists("a=key-mgmt:keyp1 x\na=key-mgmt: mikey AA==\na=key-mgmt:Z9 \n", MKT_SDP_SESSION, "keyp1;mikey;Z9");
    lists("a=key-mgmt:mikey AA==\na=key-mgmt:MIKEY AA==\n", MKT_SDP_SESSION, "mikey;MIKEY");
    lists("a=key-mgmt:keyp1 x\na=key-mgmt:keyp1 y\n", MKT_SDP_SESSION, "keyp1;keyp1");
    /* a list that can't be told is refused */
    expect(text_protocols, "a=key-mgmt:mikey x\na=key-mgmt:mi;key x\n", MKT_SDP_SESSION, MKT_E_SDP, NULL);
    expect(text_protocols, "a=key-mgmt:mikey x\na=key-mgmt:keyp1\n", MKT_SDP_SESSION, MKT_E_SDP, NULL);
    expect(text_protocols, "a=key-mgmt:mikey x\na=key-mgmt:mikey x\n", MKT_SDP_SESSION, MKT_E_SDP, NULL);
}
END_TEST

START_TEST(two_for_mikey)
{
    refuses("a=key-mgmt:mikey YWJj\na=key-mgmt:mikey YWJj\n", MKT_SDP_SESSION, MKT_E_SDP);
    refuses("a=key-mgmt:mikey YWJj\na=key-mgmt:keyp1 x\na=key-mgmt: mikey ZGVm\n", MKT_SDP_SESSION, MKT_E_SDP);
    refuses(MSRP "a=key-mgmt:mikey YWJj\na=key-mgmt:mikey !\n", 0, MKT_E_SDP);
    finds("a=key-mgmt:mikey YWJj\na=key-mgmt:mikey YWJj\n" MSRP "a=key-mgmt:mikey ZGVm\n", 0, "def");
    finds("a=key-mgmt:keyp1 not base64\na=key-mgmt:mikey YWJj\na=key-mgmt:keyp1 x\n", MKT_SDP_SESSION, "abc");
    refuses("a=key-mgmt:mikey YWJj\na=key-mgmt:key-p1 x\n", MKT_SDP_SESSION, MKT_E_SDP);
}
END_TEST

START_TEST(rfc4567_4_1_4)
{
    lists("v=0\r\n"
          "o=alice 2891092738 2891092738 IN IP4 lost.example.com\r\n"
          "s=Secret discussion\r\n"
          "t=0 0\r\n"
          "c=IN IP4 lost.example.com\r\n"
          "a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyO...\r\n"
          "a=key-mgmt:keyp1 727gkdOshsuiSDF9sdhsdKnD/dhsoSJokdo7eWD...\r\n"
          "a=key-mgmt:keyp2 DFsnuiSDSh9sdh Kksd/dhsoddo7eOok727gWsJD...\r\n"
          "m=audio 39000 RTP/SAVP 98\r\n"
          "a=rtpmap:98 AMR/8000\r\n"
          "m=video 42000 RTP/SAVP 31\r\n"
          "a=rtpmap:31 H261/90000\r\n",
          1, "mikey;keyp1;keyp2");
}
END_TEST

#define RFC4567_OFFER                                                                                                  \
    "AQAFgM0XflABAAAAAAAAAAAAAAsAyONQ6gAAAAAGEEoo2pee4hp2UaDX8ZE22YwKAAAPZG9uYWxkQGR1Y2suY29t"                         \
    "AQAAAAAAAQAk0JKpgaVkDaawi9whVBtBt0KZ14ymNuu62+Nv3ozPLygwK/GbAV9iemnGUIZ19fWQUOSrzKTAv9zV"
#define RFC4567_ANSWER                                                                                                 \
    "AQEFgM0XflABAAAAAAAAAAAAAAYAyONQ6gAAAAAJAAAQbWlja2V5QG1vdXNlLmNvbQABn8HdGE5BMDXFIuGEga+62AgY5cc="

/* The messages of RFC 4567 5.1, unwrapped: a PSK message with donald@duck.com in it, and its answer */
START_TEST(rfc4567_5_1)
{
    static const struct {
        const char *sdp, *base64;
        size_t n;
    } row[] = {
        {"v=0\r\no=alice 2891092738 2891092738 IN IP4 w-land.example.com\r\ns=Cool stuff\r\n"
         "e=alice@w-land.example.com\r\n"
         "t=0 0\r\nc=IN IP4 w-land.example.com\r\na=key-mgmt:mikey " RFC4567_OFFER "\r\nm=audio 49000 RTP/SAVP 98\r\n"
         "a=rtpmap:98 AMR/8000\r\nm=video 52230 RTP/SAVP 31\r\na=rtpmap:31 H261/90000\r\n",
         RFC4567_OFFER, 132},
        {"v=0\r\no=bob 2891092897 2891092897 IN IP4 foo.example.com\r\ns=Cool stuff\r\n"
         "e=bob@foo.example.com\r\nt=0 0\r\n"
         "c=IN IP4 foo.example.com\r\na=key-mgmt:mikey " RFC4567_ANSWER "\r\nm=audio 49030 RTP/SAVP 98\r\n"
         "a=rtpmap:98 AMR/8000\r\nm=video 52230 RTP/SAVP 31\r\na=rtpmap:31 H261/90000\r\n",
         RFC4567_ANSWER, 71},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        struct mkt_buf message = buffer(), line = {room + 1000, 1000, 0};
        struct mkt_sdp_media m;
        expect_err("audio", text_get(text(row[i].sdp), 0, &message), MKT_OK);
        ck_assert_uint_eq(message.n, row[i].n);
        ck_assert_uint_eq(message.p[1], i); /* PSK init, PSK resp */
        ck_assert_ptr_nonnull(memmem(message.p, message.n, i == 0 ? "donald@duck.com" : "mickey@mouse.com", 15));
        expect_err("again", mkt_sdp_key_mgmt_encode(written(&message), &line), MKT_OK);
        expect_octets("again", (struct mkt_span){line.p + 17, line.n - 17}, mkt_span_text(row[i].base64));
        message = buffer();
        expect_err("video", text_get(text(row[i].sdp), 1, &message), MKT_OK);
        ck_assert_uint_eq(message.n, row[i].n);
        lists(row[i].sdp, 0, "mikey");
        struct mkt_span sdp = text(row[i].sdp);
        expect_err("m=", text_media(sdp, 1, &m), MKT_OK);
        ck_assert_uint_eq(m.port, 52230);
        expect_octets("c=", m.address, mkt_span_text(i == 0 ? "w-land.example.com" : "foo.example.com"));
    }
}
END_TEST

/* What a message is after it was decoded and encoded again. */
static struct mkt_span through_the_codec(struct mkt_span octets)
{
    static uint8_t again[1000];
    struct mkt_buf out = {again, sizeof again, 0};
    struct mkt_message m;
    expect_err("decode", mkt_message_decode(&m, octets), MKT_OK);
    expect_err("encode", mkt_message_encode(&m, &out), MKT_OK);
    return written(&out);
}

/* The two messages of RFC 4567 5.1 in the forms of 5.1 and of 5.3 (whose own one is the beginning of the answer):
   what is read, decoded, encoded and written again is what was there. */
START_TEST(rfc4567_messages_in_sdp_and_rtsp)
{
    static const char *const base64[] = {RFC4567_OFFER, RFC4567_ANSWER};
    static const char uri[] = "rtsp://movie.example.com/action";
    struct vectors v = vectors_read("rfc4567.txt");
    ck_assert_uint_eq(v.n, COUNT(base64));
    for (size_t i = 0; i < v.n; i++) {
        const char *name = text_of(&v.section[i], "name");
        struct mkt_span octets = octets_of(&v.section[i], "octets");
        char line[400], header[400], folded[400];
        snprintf(line, sizeof line, "a=key-mgmt:mikey %s", base64[i]);
        snprintf(header, sizeof header, "KeyMgmt: prot=mikey; uri=\"%s\"; data=\"%s\"", uri, base64[i]);
        snprintf(folded, sizeof folded, "keymgmt: prot=mikey; uri=\"%s\";\r\n            data=\"%s\"\r\n", uri,
                 base64[i]);
        struct mkt_buf message = buffer(), out = {room + 1000, 1000, 0};
        expect_err(name, text_get(text(line), MKT_SDP_SESSION, &message), MKT_OK);
        expect_octets(name, written(&message), octets);
        expect_err(name, mkt_sdp_key_mgmt_encode(through_the_codec(written(&message)), &out), MKT_OK);
        expect_octets(name, written(&out), mkt_span_text(line));

        const char *const headers[] = {header, folded};
        for (size_t j = 0; j < COUNT(headers); j++) {
            message = buffer();
            out.n = 0;
            expect_err(name, mkt_keymgmt_decode(text(headers[j]), mkt_span_text(uri), &message), MKT_OK);
            expect_octets(name, written(&message), octets);
            struct mkt_keymgmt spec = {mkt_span_text(uri), through_the_codec(written(&message))};
            expect_err(name, mkt_keymgmt_encode(&spec, 1, &out), MKT_OK);
            expect_octets(name, written(&out), mkt_span_text(header));
        }
    }
    vectors_free(&v);
}
END_TEST

START_TEST(rfc4567_5_2)
{
    static const char sdp[] =
        "v=0\r\no=alice 2891092738 2891092738 IN IP4 w-land.example.com\r\ns=Cool stuff\r\n"
        "e=alice@w-land.example.com\r\n"
        "t=0 0\r\nc=IN IP4 w-land.example.com\r\nm=audio 49000 RTP/SAVP 98\r\na=rtpmap:98 AMR/8000\r\n"
        "a=key-mgmt:mikey " RFC4567_OFFER "\r\nm=video 52230 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n";
    struct mkt_buf message = buffer();
    expect_err("audio", text_get(text(sdp), 0, &message), MKT_OK);
    ck_assert_uint_eq(message.n, 132);
    refuses(sdp, 1, MKT_E_MISSING);
    refuses(sdp, MKT_SDP_SESSION, MKT_E_MISSING);
    lists(sdp, 0, "mikey");
    lists(sdp, 1, "");
}
END_TEST

/* Media sections and attributes */

START_TEST(number_of_sections)
{
    static const struct {
        const char *sdp;
        size_t n;
    } row[] = {{"", 0},        {HEAD TAIL, 0},       {MSRP, 1},       {HEAD TAIL MSRP BFCP MSRP, 3},
               {"m=\nm=x", 2}, {"a=m=\nb=m=x\n", 0}, {MSRP "\r\n", 1}};
    for (size_t i = 0; i < COUNT(row); i++) {
        size_t n = 42;
        expect_err(row[i].sdp, text_sections(text(row[i].sdp), &n), MKT_OK);
        ck_assert_msg(n == row[i].n, "%s: %zu sections", row[i].sdp, n);
    }
    size_t n = 42;
    expect_err("malformed", text_sections(text(MSRP "garbage\n"), &n), MKT_E_SDP);
    ck_assert_uint_eq(n, 42);
}
END_TEST

static void media_is(const char *sdp, size_t nth, const char *want)
{
    char got[200];
    struct mkt_sdp_media m;
    struct mkt_span in = text(sdp);
    expect_err(sdp, text_media(in, nth, &m), MKT_OK);
    snprintf(got, sizeof got, "%.*s|%u|%.*s|%.*s|%.*s", (int)m.media.n, (const char *)m.media.p, m.port, (int)m.proto.n,
             (const char *)m.proto.p, (int)m.addrtype.n, m.addrtype.n == 0 ? "" : (const char *)m.addrtype.p,
             (int)m.address.n, m.address.n == 0 ? "" : (const char *)m.address.p);
    ck_assert_str_eq(got, want);
}

static void media_refused(const char *sdp, size_t nth, enum mkt_err err)
{
    struct mkt_sdp_media m = {.port = 42};
    expect_err(sdp, text_media(text(sdp), nth, &m), err);
    ck_assert_uint_eq(m.port, 42);
}

START_TEST(media_sections)
{
    static const char sdp[] = HEAD "c=IN IP4 192.0.2.1\r\n" TAIL MSRP BFCP "c=IN IP6 2001:db8::2\r\na=x\r\n"
                                   "m=video 49170/2 RTP/AVP 31 99\r\nc=IN IP4 233.252.0.1/127/2\r\n";
    media_is(sdp, 0, "message|2855|TCP/TLS/MSRP|IP4|192.0.2.1");
    media_is(sdp, 1, "application|9|TCP/TLS/BFCP|IP6|2001:db8::2");
    media_is(sdp, 2, "video|49170|RTP/AVP|IP4|233.252.0.1/127/2");
    media_refused(sdp, 3, MKT_E_MISSING);
    media_refused(sdp, SIZE_MAX - 1, MKT_E_MISSING);
    media_refused(sdp, MKT_SDP_SESSION, MKT_E_MISSING);
    media_refused("", 0, MKT_E_MISSING);
    media_is("m=image 0 TCP t38", 0, "image|0|TCP||");
    media_is("m=x 65535 udp *\n", 0, "x|65535|udp||");
    media_is("m=x 00000000000000000000009 udp *\n", 0, "x|9|udp||");
}
END_TEST

START_TEST(malformed_media_sections)
{
    static const char *const bad[] = {
        "m=\n",
        "m=message\n",
        "m=message 9\n",
        "m=message 9 TCP\n",
        "m=message 9 TCP \n",
        "m=message 9 TCP * \n",
        "m=message 9 TCP  *\n",
        "m=message  9 TCP *\n",
        "m= message 9 TCP *\n",
        "m=message 9 TCP/ *\n",
        "m=message 9 /TCP *\n",
        "m=message 9 TCP//TLS *\n",
        "m=message 65536 TCP *\n",
        "m=message 655350 TCP *\n",
        "m=message 4294967305 TCP *\n",
        "m=message 18446744073709551625 TCP *\n",
        "m=message -9 TCP *\n",
        "m=message +9 TCP *\n",
        "m=message 0x9 TCP *\n",
        "m=message 9/ TCP *\n",
        "m=message 9/0 TCP *\n",
        "m=message 9/x TCP *\n",
        "m=message\t9\tTCP\t*\n",
        "m=message 9 TCP *\nc=\n",
        "m=message 9 TCP *\nc=IN IP4\n",
        "m=message 9 TCP *\nc=IN IP4 \n",
        "m=message 9 TCP *\nc=IN IP4 192.0.2.1 \n",
        "m=message 9 TCP *\nc=IN IP4 192.0.2.1 x\n",
        "m=message 9 TCP *\nc=IN  192.0.2.1\n",
        "m=message 9 TCP *\nc=IN IP4 a\"b\n",
        /* two addresses */
        "m=message 9 TCP *\nc=IN IP4 192.0.2.1\nc=IN IP4 192.0.2.2\n",
        "c=IN IP4 192.0.2.1\nc=IN IP4 192.0.2.2\nm=message 9 TCP *\n",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        media_refused(bad[i], 0, MKT_E_SDP);
    /* what is wrong elsewhere is left alone */
    media_is("c=x\nm=\n" MSRP "c=IN IP4 192.0.2.1\nm=\n", 1, "message|2855|TCP/TLS/MSRP|IP4|192.0.2.1");
}
END_TEST

static void attribute_is(const char *sdp, size_t media, const char *name, size_t nth, const char *want)
{
    struct mkt_span value = {NULL, 42}, in = text(sdp);
    expect_err(sdp, text_attribute(in, media, name, nth, &value), MKT_OK);
    ck_assert_msg((value.p == NULL) == (want == NULL), "%s: %s is %sthere", sdp, name, value.p == NULL ? "not " : "");
    expect_octets(name, value, mkt_span_text(want));
    ck_assert(value.p == NULL || (value.p >= in.p && value.p + value.n <= in.p + in.n));
}

START_TEST(attributes)
{
    static const char sdp[] = HEAD TAIL "a=setup:passive\r\na=sendonly\r\na=floorid:0\r\n" MSRP
                                        "a=path:msrps://192.0.2.1:2855/s3ss;tcp\r\na=accept-types:text/plain *\r\n" BFCP
                                        "a=setup:actpass\r\na=connection:new\r\na=floorctrl:c-only s-only\r\n"
                                        "a=confid:4321\r\na=userid:1234\r\na=floorid:1 mstrm:10\r\n"
                                        "a=floorid:2 mstrm:11\r\na=odd:a:b\r\n";
    attribute_is(sdp, 0, "path", 0, "msrps://192.0.2.1:2855/s3ss;tcp");
    attribute_is(sdp, 0, "setup", 0, NULL); /* each level by itself */
    attribute_is(sdp, 0, "accept-types", 0, "text/plain *");
    attribute_is(sdp, 0, "connection", 0, NULL);
    attribute_is(sdp, 1, "setup", 0, "actpass");
    attribute_is(sdp, 1, "connection", 0, "new");
    attribute_is(sdp, 1, "floorctrl", 0, "c-only s-only");
    attribute_is(sdp, 1, "confid", 0, "4321");
    attribute_is(sdp, 1, "userid", 0, "1234");
    attribute_is(sdp, 1, "floorid", 0, "1 mstrm:10");
    attribute_is(sdp, 1, "floorid", 1, "2 mstrm:11");
    attribute_is(sdp, 1, "floorid", 2, NULL); /* not the session's */
    attribute_is(sdp, 1, "floorid", SIZE_MAX, NULL);
    attribute_is(sdp, 0, "floorid", 0, NULL);
    attribute_is(sdp, MKT_SDP_SESSION, "floorid", 0, "0");
    attribute_is(sdp, MKT_SDP_SESSION, "floorid", 1, NULL);
    attribute_is(sdp, 1, "sendonly", 0, NULL);
    attribute_is(sdp, MKT_SDP_SESSION, "sendonly", 0, "");
    attribute_is(sdp, 1, "odd", 0, "a:b");
    attribute_is(sdp, 1, "path", 0, NULL);
    attribute_is(sdp, 1, "Setup", 0, NULL);
    attribute_is(sdp, 1, "set", 0, NULL);
    attribute_is(sdp, MKT_SDP_SESSION, "setup", 0, "passive");
    attribute_is(sdp, MKT_SDP_SESSION, "path", 0, NULL);

    struct mkt_span value;
    static const char *const no_name[] = {"", "a:b", "setup:", " setup", "a b", "\xc3\xa4", NULL};
    for (size_t i = 0; i < COUNT(no_name); i++)
        expect_err("name", text_attribute(text(sdp), 0, no_name[i], 0, &value), MKT_E_ARGUMENT);
    expect_err("section", text_attribute(text(sdp), 2, "setup", 0, &value), MKT_E_MISSING);
    value = (struct mkt_span){NULL, 42};
    expect_err("empty", text_attribute(text("a=x\na=setup:\n"), MKT_SDP_SESSION, "setup", 0, &value), MKT_E_SDP);
    ck_assert_uint_eq(value.n, 42);
    attribute_is("a=x\na=setup:\n", MKT_SDP_SESSION, "x", 0, "");
    attribute_is("a=AZaz09:all that a name may begin and end with\n", MKT_SDP_SESSION, "AZaz09", 0,
                 "all that a name may begin and end with");
    /* what stands before and after these in ASCII; of them all names may have '`' and '{' alone */
    static const char *const around[] = {"a@", "a[", "a/", "a:", "@", "["};
    for (size_t i = 0; i < COUNT(around); i++)
        expect_err(around[i], text_attribute(text("a=x\n"), MKT_SDP_SESSION, around[i], 0, &value), MKT_E_ARGUMENT);
    attribute_is("a=a`{:1\n", MKT_SDP_SESSION, "a`{", 0, "1");
    attribute_is("a=x:1\na=x:2", MKT_SDP_SESSION, "x", 1, "2"); /* the last line may have no end */
    attribute_is("a=x:1\na=x:2", MKT_SDP_SESSION, "x", 2, NULL);
}
END_TEST

/* A description that was parsed once gives the same in any order. */
START_TEST(sections_in_any_order)
{
    static const char whole[] =
        HEAD "a=setup:active\r\na=key-mgmt:mikey YWJj\r\na=x:s\r\n" TAIL MSRP "a=x:0\r\n" BFCP
             "a=setup:passive\r\na=x:1\r\n" MSRP "a=key-mgmt:mikey ZGVm\r\na=x:2\r\n" BFCP "a=x:3\r\na=x:4\r\n";
    static const size_t order[] = {3, 0, MKT_SDP_SESSION, 2, 1, 2, 2, 4, 0, 3, MKT_SDP_SESSION, 1, 0};
    const struct mkt_span in = text(whole);
    struct mkt_sdp sdp;
    expect_err("parse", mkt_sdp_parse(&sdp, in), MKT_OK);
    ck_assert_uint_eq(sdp.sections, 4);
    for (size_t i = 0; i < COUNT(order); i++) {
        enum mkt_setup setup[2] = {MKT_SETUP_ABSENT, MKT_SETUP_ABSENT};
        struct mkt_span value[2] = {{NULL, 0}, {NULL, 0}};
        struct mkt_buf out[2] = {buffer(), {room + 2000, 2000, 0}};
        struct mkt_sdp_media m[2] = {{.port = 0}, {.port = 0}};
        expect_err("setup", mkt_setup_parse(&sdp, order[i], &setup[0]), text_setup(in, order[i], &setup[1]));
        expect_err("value", mkt_sdp_attribute(&sdp, order[i], "x", &value[0]),
                   text_attribute(in, order[i], "x", 0, &value[1]));
        expect_err("message", mkt_sdp_key_mgmt_decode(&sdp, order[i], &out[0]), text_get(in, order[i], &out[1]));
        expect_err("media", mkt_sdp_media_parse(&sdp, order[i], &m[0]), text_media(in, order[i], &m[1]));
        ck_assert_int_eq(setup[0], setup[1]);
        expect_octets("value", value[0], value[1]);
        expect_octets("message", written(&out[0]), written(&out[1]));
        ck_assert_uint_eq(m[0].port, m[1].port);
    }
    /* a value of another section can't be gone on from */
    struct mkt_span value = {NULL, 0};
    expect_err("first", mkt_sdp_attribute(&sdp, 0, "x", &value), MKT_OK);
    expect_err("other", mkt_sdp_attribute(&sdp, 3, "x", &value), MKT_E_ARGUMENT);
    expect_octets("unchanged", value, mkt_span_text("0"));
    value = (struct mkt_span){NULL, 0};
    expect_err("last", mkt_sdp_attribute(&sdp, 3, "x", &value), MKT_OK);
    expect_err("other", mkt_sdp_attribute(&sdp, MKT_SDP_SESSION, "x", &value), MKT_E_ARGUMENT);
}
END_TEST

/* A section that can't be read any more is refused each time: what was read of it so far is not taken for all of it. */
START_TEST(a_text_that_was_spoilt_is_refused_each_time)
{
    char whole[] = MSRP "a=setup:active\r\na=key-mgmt:mikey YWJj\r\n" BFCP;
    struct mkt_sdp sdp;
    enum mkt_setup setup = MKT_SETUP_ABSENT;
    expect_err("parse", mkt_sdp_parse(&sdp, mkt_span_text(whole)), MKT_OK);
    whole[strlen(MSRP)] = '?';
    for (int i = 0; i < 2; i++) {
        struct mkt_buf out = buffer();
        expect_err("setup", mkt_setup_parse(&sdp, 0, &setup), MKT_E_SDP);
        expect_err("message", mkt_sdp_key_mgmt_decode(&sdp, 0, &out), MKT_E_SDP);
    }
    whole[strlen(MSRP)] = 'a';
    expect_err("whole again", mkt_setup_parse(&sdp, 0, &setup), MKT_OK);
    ck_assert_int_eq(setup, MKT_SETUP_ACTIVE);
    /* the section was read: its lines are looked at once more */
    struct mkt_span in = exact(mkt_span_text(whole)), value = {NULL, 0};
    expect_err("parse", mkt_sdp_parse(&sdp, in), MKT_OK);
    expect_err("setup", mkt_setup_parse(&sdp, 0, &setup), MKT_OK);
    memset((uint8_t *)(uintptr_t)in.p, '\n', in.n);
    expect_err("attribute", mkt_sdp_attribute(&sdp, 0, "x", &value), MKT_E_SDP);
    ck_assert_ptr_null(value.p);
}
END_TEST

/* From each section to each other one, wherever the lines of the text begin: the m= line has its number for a port. */
START_TEST(each_section_is_found_from_each_other_one)
{
    enum { SECTIONS = 37, SHIFTS = 40 };
    for (size_t shift = 0; shift < SHIFTS; shift++) {
        static char whole[1 << 14];
        size_t used = (size_t)sprintf(whole, "%.*s", shift % 2 == 0 ? 0 : 4, "a=m\n");
        for (size_t i = 0; i < SECTIONS; i++) {
            const size_t pad = (i * 7 + shift) % 23 + (i == shift % SECTIONS ? 1000 : 0);
            used += (size_t)sprintf(whole + used, "m=a %zu b c\na=%0*dm=\n", i, (int)pad + 1, 0);
        }
        struct mkt_sdp sdp;
        expect_err("parse", mkt_sdp_parse(&sdp, mkt_span_text(whole)), MKT_OK);
        ck_assert_uint_eq(sdp.sections, SECTIONS);
        for (size_t i = 0; i < SECTIONS * SECTIONS * 2; i++) {
            const size_t media = i % 2 == 0 ? i / 2 % SECTIONS : i / 2 / SECTIONS;
            struct mkt_sdp_media m = {.port = 0};
            expect_err("media", mkt_sdp_media_parse(&sdp, media, &m), MKT_OK);
            ck_assert_uint_eq(m.port, media);
        }
    }
}
END_TEST

/* Each list fits to the octet, and one octet more is refused. */
START_TEST(longest_list_of_protocols)
{
    char sdp[300], want[MKT_SDP_MAX_PROTOCOLS + 2] = "mikey;";
    for (size_t n = MKT_SDP_MAX_PROTOCOLS; n <= MKT_SDP_MAX_PROTOCOLS + 1; n++) {
        memset(want + 6, 'k', n - 6);
        want[n] = '\0';
        snprintf(sdp, sizeof sdp, "a=key-mgmt:mikey YWJj\r\na=key-mgmt:%s x\r\n", want + 6);
        const enum mkt_err err = n == MKT_SDP_MAX_PROTOCOLS ? MKT_OK : MKT_E_TOO_MANY;
        expect(text_protocols, sdp, MKT_SDP_SESSION, err, want);
        expect(text_get, sdp, MKT_SDP_SESSION, err, "abc");
    }
}
END_TEST

/* Names that differ in one octet, or in their length, are different attributes. */
START_TEST(the_whole_name_of_an_attribute_counts)
{
    static const char *const names[] = {"path", "setup", "connection", "msrp-cema", "key-mgmt", "x"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const size_t n = strlen(names[i]);
        char sdp[64], other[32];
        for (size_t at = 0; at <= n; at++) {
            snprintf(other, sizeof other, "%s", names[i]);
            snprintf(other + at, sizeof other - at, "z%s", at < n ? names[i] + at + 1 : "");
            snprintf(sdp, sizeof sdp, "a=%s:value\n", other);
            attribute_is(sdp, MKT_SDP_SESSION, names[i], 0, NULL);
            attribute_is(sdp, MKT_SDP_SESSION, other, 0, "value");
        }
        if (n == 1)
            continue;
        snprintf(sdp, sizeof sdp, "a=%.*s:value\n", (int)n - 1, names[i]);
        attribute_is(sdp, MKT_SDP_SESSION, names[i], 0, NULL);
        snprintf(sdp, sizeof sdp, "a=%s:value\n", names[i] + 1);
        attribute_is(sdp, MKT_SDP_SESSION, names[i], 0, NULL);
    }
}
END_TEST

/* The RTSP header */

static void header_is(const char *header, const char *uri, enum mkt_err want_err, const char *want)
{
    struct mkt_buf out = {room, sizeof room, 7}, measure = {NULL, 0, 7}, small = {room, 7, 7};
    size_t n = want_err == MKT_OK ? strlen(want) : 0;
    expect_err(header, mkt_keymgmt_decode(text(header), mkt_span_text(uri), &out), want_err);
    expect_err(header, mkt_keymgmt_decode(text(header), mkt_span_text(uri), &measure), want_err);
    ck_assert_msg(out.n == 7 + n && measure.n == out.n, "%s: %zu octets, measured %zu", header, out.n, measure.n);
    if (n == 0)
        return;
    expect_octets(header, (struct mkt_span){out.p + 7, n}, mkt_span_text(want));
    expect_err(header, mkt_keymgmt_decode(text(header), mkt_span_text(uri), &small), MKT_E_BUFFER);
    ck_assert_uint_eq(small.n, 7);
}

START_TEST(header_of_rfc4567)
{
    /* 5.3, 5.4, their data cut short at a whole group */
    static const char uri[] = "rtsp://movie.example.com/action", audio[] = "rtsp://movie.example.com/action/audio";
    header_is("keymgmt: prot=mikey; uri=\"rtsp://movie.example.com/action\";\r\n            data=\"YWJj\"\r\n", uri,
              MKT_OK, "abc");
    header_is("keymgmt: prot=mikey; uri=\"rtsp://movie.example.com/action/audio\";\n            data=\"YWJj\"\n", audio,
              MKT_OK, "abc");
    header_is("keymgmt: prot=mikey; uri=\"rtsp://movie.example.com/action\";\r\n            data=\"YWJj\"\r\n", audio,
              MKT_E_MISSING, NULL);
    header_is("keymgmt: prot=mikey; uri=\"rtsp://movie.example.com/action\";\r\n            data=\"YWJj\"\r\n", "",
              MKT_E_MISSING, NULL);
}
END_TEST

START_TEST(grammar_of_the_header)
{
    static const struct {
        const char *header;
        enum mkt_err err;
    } row[] = {
        {"KeyMgmt: prot=mikey; data=\"YWJj\"", MKT_OK},
        {"KeyMgmt:prot=mikey;data=\"YWJj\"\r\n", MKT_OK},
        {"KEYMGMT \t: PROT = mikey ; DATA = \"YWJj\" \r\n", MKT_OK},
        {"keymgmt:\r\n prot=mikey;\r\n\t data=\"YWJj\"\n", MKT_OK},
        {"KeyMgmt: prot=mikey; uri=\"rtsp://a\"; data=\"ZGVm\", prot=mikey; data=\"YWJj\"", MKT_OK},
        {"KeyMgmt: prot=mikey; data=\"YWJj\",prot=mikey; uri=\"rtsp://a\"; data=\"ZGVm\"", MKT_OK},
        {"KeyMgmt: prot=keyp1; data=\"ZGVm\", prot=mikey; data=\"YWJj\"", MKT_OK},
        {"KeyMgmt: prot=MIKEY; data=\"YWJj\"", MKT_E_MISSING},
        {"KeyMgmt: prot=mikey; uri=\"rtsp://a\"; data=\"YWJj\"", MKT_E_MISSING},
        {"KeyMgmt: prot=mikey; data=\"YWJj\", prot=mikey; data=\"YWJj\"", MKT_E_SDP},
        {"", MKT_E_SDP},
        {"KeyMgmt", MKT_E_SDP},
        {"KeyMgmt:", MKT_E_SDP},
        {"KeyMgmt: \r\n", MKT_E_SDP},
        {" KeyMgmt: prot=mikey; data=\"YWJj\"", MKT_E_SDP},
        {"Key-Mgmt: prot=mikey; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt prot=mikey; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey", MKT_E_SDP},
        {"KeyMgmt: prot=mikey;", MKT_E_SDP},
        {"KeyMgmt: prot=; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mi-key; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=\"mikey\"; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=YWJj", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\";", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\",", MKT_E_SDP},
        {"KeyMgmt: ,prot=mikey; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\" prot=keyp1; data=\"AA==\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\", prot=keyp1", MKT_E_SDP},
        {"KeyMgmt: data=\"YWJj\"; prot=mikey", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\"; uri=\"rtsp://a\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; uri=\"; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; uri=\"\"\"; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; uri=; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; uri=\"\" data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; uri=\" \"; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; uri=\"rtsp://a b\"; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; uri=rtsp://a; data=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\"\r\n\r\n", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\"\r", MKT_E_SDP},
        {"KeyMgmt: prot=mikey;\rdata=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey;\r\ndata=\"YWJj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YWJj\"\r\nCSeq: 1\r\n", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"AQ=\"", MKT_E_BASE64},
        {"KeyMgmt: prot=mikey; data=\"AR==\"", MKT_E_BASE64},
        {"KeyMgmt: prot=mikey; data=\"AQ==YWJj\"", MKT_E_BASE64},
        {"KeyMgmt: prot=mikey; data=\"YW Jj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\"YW\r\n Jj\"", MKT_E_SDP},
        {"KeyMgmt: prot=mikey; data=\" YWJj\"", MKT_E_SDP},
    };
    for (size_t i = 0; i < COUNT(row); i++)
        header_is(row[i].header, "", row[i].err, "abc");
    header_is("KeyMgmt: prot=mikey; uri=\"rtsp://a\"; data=\"ZGVm\", prot=mikey; data=\"YWJj\"", "rtsp://a", MKT_OK,
              "def");
    header_is("KeyMgmt: prot=mikey; uri=\"rtsp://a\"; data=\"ZGVm\", prot=mikey; data=\"YWJj\"", "rtsp://A",
              MKT_E_MISSING, NULL);

    static const char whole[] = "KeyMgmt: prot=mikey; uri=\"rtsp://a\"; data=\"YWJj\"";
    for (size_t n = 0; n < sizeof whole; n++) {
        struct mkt_buf out = buffer();
        struct mkt_span in = exact((struct mkt_span){(const uint8_t *)whole, n});
        expect_err(whole, mkt_keymgmt_decode(in, mkt_span_text("rtsp://a"), &out),
                   n == sizeof whole - 1 ? MKT_OK : MKT_E_SDP); /* with n == sizeof whole there is a NUL in it */
    }
}
END_TEST

/* ONVIF's streaming specification prints uri="", and cameras send it: the spec names no URI. */
START_TEST(an_empty_uri_is_none)
{
    static const char empty[] = "KeyMgmt: prot=mikey; uri=\"\"; data=\"YWJj\"";
    header_is(empty, "", MKT_OK, "abc");
    header_is(empty, "rtsp://a", MKT_E_MISSING, NULL);
    header_is("KeyMgmt: PROT = mikey ; URI = \"\" ; DATA = \"YWJj\"\r\n", "", MKT_OK, "abc");
    header_is("KeyMgmt: prot=mikey; uri=\"rtsp://a\"; data=\"ZGVm\", prot=mikey; uri=\"\"; data=\"YWJj\"", "", MKT_OK,
              "abc");
    header_is("KeyMgmt: prot=mikey; uri=\"\"; data=\"ZGVm\", prot=mikey; uri=\"rtsp://a\"; data=\"YWJj\"", "rtsp://a",
              MKT_OK, "abc");
    header_is("KeyMgmt: prot=mikey; uri=\"\"; data=\"YWJj\", prot=mikey; data=\"YWJj\"", "", MKT_E_SDP, NULL);
    header_is("KeyMgmt: prot=mikey; uri=\"\"; data=\"YWJj\", prot=mikey; uri=\"\"; data=\"YWJj\"", "", MKT_E_SDP, NULL);
}
END_TEST

START_TEST(header_round_trip)
{
    const struct mkt_keymgmt spec[] = {
        {mkt_span_text("rtsp://movie.example.com/action"), mkt_span_text("abc")},
        {mkt_span_text("rtsp://movie.example.com/action/audio?x=1;y,z"), mkt_span_text("d")},
        {mkt_span_text(""), mkt_span_text("efgh")},
    };
    static const char one[] = "KeyMgmt: prot=mikey; uri=\"rtsp://movie.example.com/action\"; data=\"YWJj\"";
    struct mkt_buf out = buffer(), measure = {NULL, 0, 0}, small = {room, 0, 0};
    expect_err("one", mkt_keymgmt_encode(spec, 1, &out), MKT_OK);
    expect_octets("one", written(&out), mkt_span_text(one));
    out = buffer();
    expect_err("no URI", mkt_keymgmt_encode(&spec[2], 1, &out), MKT_OK);
    expect_octets("no URI", written(&out), mkt_span_text("KeyMgmt: prot=mikey; data=\"ZWZnaA==\""));

    out = buffer();
    expect_err("three", mkt_keymgmt_encode(spec, 3, &out), MKT_OK);
    expect_err("three", mkt_keymgmt_encode(spec, 3, &measure), MKT_OK);
    ck_assert_uint_eq(measure.n, out.n);
    struct mkt_span header = exact(written(&out));
    for (size_t i = 0; i < COUNT(spec); i++) {
        out = buffer();
        expect_err("three", mkt_keymgmt_decode(header, spec[i].uri, &out), MKT_OK);
        expect_octets("three", written(&out), spec[i].message);
    }
    for (; small.cap < measure.n; small.cap++) {
        expect_err("small", mkt_keymgmt_encode(spec, 3, &small), MKT_E_BUFFER);
        ck_assert_uint_eq(small.n, 0);
    }
    expect_err("just enough", mkt_keymgmt_encode(spec, 3, &small), MKT_OK);
}
END_TEST

START_TEST(header_that_can_not_be_written)
{
    static const char *const bad[] = {"rtsp://a\"", "rtsp://a b", "rtsp://a\r\nX: y", "rtsp://\xc3\xa4", "rtsp://a\\"};
    struct mkt_buf out = buffer();
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct mkt_keymgmt spec = {mkt_span_text(bad[i]), mkt_span_text("abc")};
        expect_err(bad[i], mkt_keymgmt_encode(&spec, 1, &out), MKT_E_ARGUMENT);
    }
    struct mkt_keymgmt empty = {mkt_span_text("rtsp://a"), {NULL, 0}};
    expect_err("no message", mkt_keymgmt_encode(&empty, 1, &out), MKT_E_ARGUMENT);
    expect_err("no spec", mkt_keymgmt_encode(&empty, 0, &out), MKT_E_ARGUMENT);
    const struct mkt_keymgmt twice[] = {{mkt_span_text("rtsp://a"), mkt_span_text("abc")},
                                        {mkt_span_text("rtsp://a"), mkt_span_text("abc")}};
    expect_err("twice", mkt_keymgmt_encode(twice, 2, &out), MKT_E_ARGUMENT);
    ck_assert_uint_eq(out.n, 0);
}
END_TEST

/* Roles */

START_TEST(setup_of_a_section)
{
    static const enum mkt_setup all[] = {MKT_SETUP_ACTIVE, MKT_SETUP_PASSIVE, MKT_SETUP_ACTPASS, MKT_SETUP_HOLDCONN};
    enum mkt_setup setup;
    char sdp[100];
    for (size_t i = 0; i < COUNT(all); i++) {
        snprintf(sdp, sizeof sdp, MSRP "a=setup:%s\r\n" BFCP, mkt_setup_name(all[i]));
        expect_err(sdp, text_setup(text(sdp), 0, &setup), MKT_OK);
        ck_assert_int_eq(setup, all[i]);
        expect_err(sdp, text_setup(text(sdp), 1, &setup), MKT_OK);
        ck_assert_int_eq(setup, MKT_SETUP_ABSENT);
    }
    ck_assert_str_eq(mkt_setup_name(MKT_SETUP_ACTPASS), "actpass");
    ck_assert_ptr_null(mkt_setup_name(MKT_SETUP_ABSENT));
    expect_err("session", text_setup(text("a=setup:active\n" MSRP BFCP "a=setup:passive\n"), 0, &setup), MKT_OK);
    ck_assert_int_eq(setup, MKT_SETUP_ACTIVE);
    expect_err("media", text_setup(text("a=setup:active\n" MSRP BFCP "a=setup:passive\n"), 1, &setup), MKT_OK);
    ck_assert_int_eq(setup, MKT_SETUP_PASSIVE);
    static const char *const bad[] = {
        MSRP "a=setup\n",
        MSRP "a=setup:\n",
        MSRP "a=setup: active\n",
        MSRP "a=setup:active \n",
        MSRP "a=setup:ACTIVE\n",
        MSRP "a=setup:activepassive\n",
        MSRP "a=setup:act\n",
        "a=setup:x\n" MSRP "a=x\n",
        MSRP "a=setup:active\na=setup:active\n",
        MSRP "a=setup:active\na=setup\n",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_err(bad[i], text_setup(text(bad[i]), 0, &setup), MKT_E_SDP);
    ck_assert_int_eq(setup, MKT_SETUP_PASSIVE);
    expect_err("no section", text_setup(text(MSRP), 1, &setup), MKT_E_MISSING);
}
END_TEST

/* Every pair of an offer (rows) and an answer (columns), both in the order absent, active, passive, actpass, holdconn:
   what it makes of the offerer's TCP. c client, s server, - no connection, x refused. */
static const char *const roles_msrp[] = {
    "cxcxc", /* absent: active */
    "cxcxc", /* active */
    "xsxxx", /* passive; an answer without a=setup, or with holdconn, means passive */
    "cscxc", /* actpass */
    "cxcxc", /* holdconn: as if absent, and so active */
};
static const char *const roles_bfcp[] = {
    "cxcx-", /* absent: active */
    "cxcx-", /* active */
    "xsxx-", /* passive */
    "cscx-", /* actpass */
    "xxxx-", /* holdconn */
};

static char letter(enum mkt_end end)
{
    return "-cs"[end];
}

START_TEST(every_pair)
{
    for (unsigned i = 0; i < 2 * 5 * 5; i++) {
        enum mkt_stream stream = i / 25 == 0 ? MKT_STREAM_MSRP : MKT_STREAM_BFCP;
        enum mkt_setup offer = (enum mkt_setup)(i / 5 % 5), answer = (enum mkt_setup)(i % 5);
        char tcp = (stream == MKT_STREAM_MSRP ? roles_msrp : roles_bfcp)[offer][answer], name[50];
        /* MSRP: the active end; BFCP: the offerer, as the answerer is the server whoever connected */
        char tls = stream == MKT_STREAM_MSRP || tcp == '-' ? tcp : 'c';
        enum mkt_err err = tcp == 'x' ? MKT_E_ROLE : MKT_OK;
        struct mkt_roles o = {MKT_END_NONE, MKT_END_SERVER}, a = o;
        snprintf(name, sizeof name, "stream %d, offer %d, answer %d", (int)stream, (int)offer, (int)answer);
        expect_err(name, mkt_setup_roles(stream, offer, answer, true, &o), err);
        expect_err(name, mkt_setup_roles(stream, offer, answer, false, &a), err);
        if (err != MKT_OK) {
            ck_assert_msg(o.tcp == MKT_END_NONE && o.tls == MKT_END_SERVER, "%s: changed", name);
            continue;
        }
        ck_assert_msg(letter(o.tcp) == tcp && letter(o.tls) == tls, "%s: %c %c", name, letter(o.tcp), letter(o.tls));
        /* the answerer is the other end of both */
        ck_assert_msg(tcp == '-' ? a.tcp == MKT_END_NONE && a.tls == MKT_END_NONE
                                 : a.tcp + o.tcp == 3 && a.tls + o.tls == 3,
                      "%s: answerer %c %c", name, letter(a.tcp), letter(a.tls));
    }
}
END_TEST

START_TEST(roles_can_differ)
{
    /* the offer and the answer of RFC 8856 section 11: the answerer connects, and is TLS server */
    enum mkt_setup offer, answer;
    struct mkt_roles roles;
    expect_err("offer", text_setup(text("m=application 50000 TCP/TLS/BFCP *\r\na=setup:actpass\r\n"), 0, &offer),
               MKT_OK);
    expect_err("answer", text_setup(text("m=application 9 TCP/TLS/BFCP *\r\na=setup:active\r\n"), 0, &answer), MKT_OK);
    expect_err("roles", mkt_setup_roles(MKT_STREAM_BFCP, offer, answer, false, &roles), MKT_OK);
    ck_assert_int_eq(roles.tcp, MKT_END_CLIENT);
    ck_assert_int_eq(roles.tls, MKT_END_SERVER);
    expect_err("roles", mkt_setup_roles(MKT_STREAM_MSRP, offer, answer, false, &roles), MKT_OK);
    ck_assert_int_eq(roles.tcp, MKT_END_CLIENT);
    ck_assert_int_eq(roles.tls, MKT_END_CLIENT);
}
END_TEST

/* The answer to an offer (rows) of one that can do this (columns active, passive, actpass, holdconn):
   a active, p passive, h holdconn, x refused */
START_TEST(every_answer)
{
    static const char *const want[2][5] = {
        {"xppx", "xppx", "axax", "appx", "xppx"}, /* MSRP */
        {"xpph", "xpph", "axah", "apph", "hhhh"}, /* BFCP */
    };
    for (unsigned i = 0; i < 2 * 5 * 4; i++) {
        enum mkt_stream stream = i / 20 == 0 ? MKT_STREAM_MSRP : MKT_STREAM_BFCP;
        enum mkt_setup offer = (enum mkt_setup)(i / 4 % 5), able = (enum mkt_setup)(1 + i % 4),
                       answer = MKT_SETUP_ABSENT;
        struct mkt_roles roles;
        char name[50], w = want[i / 20][offer][i % 4];
        snprintf(name, sizeof name, "stream %d, offer %d, able %d", (int)stream, (int)offer, (int)able);
        expect_err(name, mkt_setup_answer(stream, offer, able, &answer), w == 'x' ? MKT_E_ROLE : MKT_OK);
        ck_assert_msg("xap.h"[answer] == w, "%s: %d", name, (int)answer);
        if (w != 'x') /* what is answered answers the offer */
            expect_err(name, mkt_setup_roles(stream, offer, answer, true, &roles), MKT_OK);
    }
    enum mkt_setup answer;
    expect_err("able to nothing", mkt_setup_answer(MKT_STREAM_BFCP, MKT_SETUP_ACTPASS, MKT_SETUP_ABSENT, &answer),
               MKT_E_ROLE);
}
END_TEST

START_TEST(no_section_is_wrong_that_is_not_there)
{
    enum mkt_setup setup;
    expect_err("the session", text_setup(text("a=setup:\n" MSRP), 0, &setup), MKT_E_SDP);
    expect_err("no section", text_setup(text("a=setup:\n" MSRP), 1, &setup), MKT_E_MISSING);
}
END_TEST

/* An offer, or an answer, that has no such value. */
START_TEST(setups_that_are_none)
{
    for (unsigned i = 0; i < 2 * 5 * 3; i++) {
        const enum mkt_stream stream = i % 2 == 0 ? MKT_STREAM_MSRP : MKT_STREAM_BFCP;
        const enum mkt_setup one = (enum mkt_setup)(i / 2 % 5), none = (enum mkt_setup)(5 + i / 10);
        struct mkt_roles roles = {MKT_END_NONE, MKT_END_NONE};
        enum mkt_setup answer = MKT_SETUP_ABSENT;
        expect_err("offer", mkt_setup_roles(stream, none, one, true, &roles), MKT_E_ROLE);
        expect_err("answer", mkt_setup_roles(stream, one, none, true, &roles), MKT_E_ROLE);
        expect_err("offer", mkt_setup_answer(stream, none, one, &answer), MKT_E_ROLE);
        ck_assert(roles.tcp == MKT_END_NONE && answer == MKT_SETUP_ABSENT);
        ck_assert_ptr_null(mkt_setup_name(none));
    }
}
END_TEST

/* House rules */

START_TEST(no_allocation)
{
    static const char sdp[] = HEAD "c=IN IP4 192.0.2.1\n" TAIL MSRP "a=setup:active\na=key-mgmt:mikey YWJj\n";
    struct mkt_span in = mkt_span_text(sdp), value;
    struct mkt_keymgmt spec = {mkt_span_text("rtsp://a"), mkt_span_text("abc")};
    struct mkt_buf out = buffer(), header = {room + 1000, 1000, 0};
    struct mkt_sdp_media m;
    enum mkt_setup setup;
    unsigned long before = allocations;
    bool ok = mkt_sdp_key_mgmt_encode(mkt_span_text("abc"), &out) == MKT_OK && text_get(in, 0, &out) == MKT_OK &&
              text_protocols(in, 0, &out) == MKT_OK && text_media(in, 0, &m) == MKT_OK &&
              text_attribute(in, 0, "setup", 0, &value) == MKT_OK && text_setup(in, 0, &setup) == MKT_OK &&
              mkt_keymgmt_encode(&spec, 1, &header) == MKT_OK &&
              mkt_keymgmt_decode(written(&header), spec.uri, &out) == MKT_OK;
    unsigned long after = allocations;
    ck_assert(ok);
    ck_assert_uint_eq(after, before);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        line_of_every_vector,
        line_into_too_little_room,
        grammar_of_the_attribute,
        lines,
        nul_anywhere,
        every_truncation,
        override,
        list_of_protocols,
        two_for_mikey,
        rfc4567_4_1_4,
        rfc4567_5_1,
        rfc4567_messages_in_sdp_and_rtsp,
        rfc4567_5_2,
        number_of_sections,
        media_sections,
        malformed_media_sections,
        attributes,
        sections_in_any_order,
        a_text_that_was_spoilt_is_refused_each_time,
        each_section_is_found_from_each_other_one,
        longest_list_of_protocols,
        the_whole_name_of_an_attribute_counts,
        header_of_rfc4567,
        grammar_of_the_header,
        an_empty_uri_is_none,
        header_round_trip,
        header_that_can_not_be_written,
        setup_of_a_section,
        every_pair,
        roles_can_differ,
        every_answer,
        no_section_is_wrong_that_is_not_there,
        setups_that_are_none,
        no_allocation,
    };
    Suite *suite = suite_create("sdp");
    TCase *tcase = tcase_create("sdp");
    for (size_t i = 0; i < COUNT(tests); i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_unchecked_fixture(tcase, NULL, free_all);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
