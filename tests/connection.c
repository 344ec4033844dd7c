/* SPDX-License-Identifier: BSD-3-Clause */
/* The room connection: what an offer and its answer make of the connection of a stream. */
#include "allocations.h"
#include "plan.h"
#include "vector.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define MSRP(port, lines) HEAD "m=message " port " TCP/TLS/MSRP *\r\n" lines
#define BFCP(port, lines) HEAD "m=application " port " TCP/TLS/BFCP *\r\n" lines
#define SETUP(setup) "a=setup:" setup "\r\n"
#define PATH(uri) "a=path:" uri "\r\n"
#define ALICE PATH("msrps://192.0.2.1:2855/alice;tcp")
#define BOB PATH("msrps://192.0.2.2:2856/bob;tcp")
#define CEMA "a=msrp-cema\r\n"
#define KEY(base64) "a=key-mgmt:mikey " base64 "\r\n"

static const struct mkt_sdp_kept nothing;

static struct texts exchange(const char *offer, const char *answer, bool offerer)
{
    return (struct texts){
        .offer = exact(mkt_span_text(offer)), .answer = exact(mkt_span_text(answer)), .offerer = offerer};
}

static void is(const struct texts *now, const struct texts *before, const char *want)
{
    char got[400];
    ck_assert_msg(strcmp(plan(got, sizeof got, now, before, 0), want) == 0,
                  "%s\nand not: %s\nof the offer:\n%.*s\n%s%.*s", got, want, (int)now->offer.n,
                  (const char *)now->offer.p, "and the answer:\n", (int)now->answer.n, (const char *)now->answer.p);
}

/* What a first exchange is for the offerer, and for the answerer. */
static void first(const char *offer, const char *answer, const char *offerer, const char *answerer)
{
    struct texts o = exchange(offer, answer, true), a = exchange(offer, answer, false);
    is(&o, NULL, offerer);
    is(&a, NULL, answerer);
}

/* What an exchange after another is for the offerer of the first, who is also that of the second, or the answerer. */
static void second(const char *const before[2], const char *const now[2], bool again, const char *want,
                   const char *want_other)
{
    struct texts b = exchange(before[0], before[1], true), n = exchange(now[0], now[1], again);
    is(&n, &b, want);
    b.offerer = false;
    n.offerer = !again;
    is(&n, &b, want_other);
}

/* A first exchange */

START_TEST(msrp_leads_to_the_path_of_the_passive_end)
{
    first(MSRP("9", SETUP("active") ALICE), MSRP("2856", SETUP("passive") BOB),
          "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key none",
          "listen IP4 192.0.2.2 2856, TLS server, msrp bob/alice, key none");
    first(MSRP("2855", SETUP("actpass") ALICE), MSRP("9", SETUP("active") BOB),
          "listen IP4 192.0.2.1 2855, TLS server, msrp alice/bob, key none",
          "connect IP4 192.0.2.1 2855, TLS client, msrp bob/alice, key none");
    /* RFC 4975 5.4, 8.1: without a=setup the offerer is active, and c= and m= do not tell where to connect to */
    first(MSRP("1", ALICE), MSRP("2", BOB), "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key none",
          "listen IP4 192.0.2.2 2856, TLS server, msrp bob/alice, key none");
    /* RFC 6135 4.2.1: holdconn is ignored; 4.4: and a=connection, even that which can't be one */
    first(MSRP("9", SETUP("holdconn") "a=connection:existing\r\n" ALICE),
          MSRP("2", SETUP("holdconn") "a=connection:x\r\na=connection\r\n" BOB),
          "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key none",
          "listen IP4 192.0.2.2 2856, TLS server, msrp bob/alice, key none");
}
END_TEST

START_TEST(bfcp_leads_to_the_lines_of_the_passive_end)
{
    /* RFC 8856 section 8: the answerer is TLS server, whoever connects */
    first(BFCP("50000", SETUP("actpass") "a=connection:new\r\n"), BFCP("9", SETUP("active") "a=connection:new\r\n"),
          "listen IP4 192.0.2.1 50000, TLS client, bfcp, key none",
          "connect IP4 192.0.2.1 50000, TLS server, bfcp, key none");
    first(BFCP("50000", SETUP("actpass")), BFCP("50001", "c=IN IP6 2001:db8::2\r\n" SETUP("passive")),
          "connect IP6 2001:db8::2 50001, TLS client, bfcp, key none",
          "listen IP6 2001:db8::2 50001, TLS server, bfcp, key none");
    first(BFCP("9", ""), BFCP("50001", "c=IN IP4 bob.example.com\r\n"),
          "connect IP4 bob.example.com 50001, TLS client, bfcp, key none",
          "listen IP4 bob.example.com 50001, TLS server, bfcp, key none");
    first(BFCP("9", SETUP("holdconn")), BFCP("9", SETUP("holdconn")), "nothing, bfcp, key none",
          "nothing, bfcp, key none");
    first(BFCP("50000", SETUP("actpass")), BFCP("9", SETUP("holdconn")), "nothing, bfcp, key none",
          "nothing, bfcp, key none");
    /* RFC 4145 5.2: "an endpoint may receive an initial offer with a connection value of 'existing'" */
    first(BFCP("50000", SETUP("passive") "a=connection:existing\r\n"),
          BFCP("9", SETUP("active") "a=connection:new\r\n"), "listen IP4 192.0.2.1 50000, TLS client, bfcp, key none",
          "connect IP4 192.0.2.1 50000, TLS server, bfcp, key none");
}
END_TEST

/* Each pair of a=setup, for both media: the roles are those of mkt_setup_roles(), and one end awaits the other. */
START_TEST(both_ends_agree)
{
    for (unsigned i = 0; i < 2 * 5 * 5; i++) {
        enum mkt_setup setup[] = {(enum mkt_setup)(i / 5 % 5), (enum mkt_setup)(i % 5)};
        enum mkt_stream stream = i < 25 ? MKT_STREAM_MSRP : MKT_STREAM_BFCP;
        char sdp[2][400];
        for (size_t j = 0; j < 2; j++)
            snprintf(sdp[j], sizeof sdp[j], "%s%s%s%s",
                     stream == MKT_STREAM_BFCP ? BFCP("5000", "")
                     : j == 0                  ? MSRP("5000", ALICE)
                                               : MSRP("5000", BOB),
                     setup[j] == MKT_SETUP_ABSENT ? "" : "a=setup:",
                     setup[j] == MKT_SETUP_ABSENT ? "" : mkt_setup_name(setup[j]),
                     setup[j] == MKT_SETUP_ABSENT ? "" : "\r\n");
        struct texts o = exchange(sdp[0], sdp[1], true), a = exchange(sdp[0], sdp[1], false);
        struct mkt_connection of_o, of_a;
        struct mkt_sdp_kept kept;
        struct mkt_roles roles;
        enum mkt_err err = mkt_setup_roles(stream, setup[0], setup[1], true, &roles);
        expect_err("offerer", decide(&o, &nothing, false, 0, &of_o, &kept), err);
        expect_err("answerer", decide(&a, &nothing, false, 0, &of_a, &kept), err);
        if (err != MKT_OK)
            continue;
        ck_assert_int_eq(of_o.tls, roles.tls);
        ck_assert_int_eq(of_o.action, roles.tcp == MKT_END_CLIENT   ? MKT_ACTION_CONNECT
                                      : roles.tcp == MKT_END_SERVER ? MKT_ACTION_LISTEN
                                                                    : MKT_ACTION_NOTHING);
        ck_assert_int_eq(of_o.action + of_a.action,
                         of_o.action == MKT_ACTION_NOTHING ? 0 : MKT_ACTION_CONNECT + MKT_ACTION_LISTEN);
        ck_assert_int_eq(of_o.tls + of_a.tls, of_o.action == MKT_ACTION_NOTHING ? 0 : MKT_END_CLIENT + MKT_END_SERVER);
        ck_assert(mkt_span_equal(of_o.address, of_a.address) && of_o.port == of_a.port);
        ck_assert(mkt_span_equal(of_o.session, of_a.peer) && mkt_span_equal(of_o.peer, of_a.session));
    }
}
END_TEST

START_TEST(port_0_refuses)
{
    /* RFC 3264 8.2: "the answer MAY omit all attributes present previously" */
    first(MSRP("2855", SETUP("actpass") ALICE), MSRP("0", ""), "nothing, msrp, key none", "nothing, msrp, key none");
    first(BFCP("0", SETUP("actpass") KEY("AQID")), BFCP("0", ""), "nothing, bfcp, key none", "nothing, bfcp, key none");
    first(BFCP("0", ""), BFCP("5000", SETUP("passive")), "nothing, bfcp, key none", "nothing, bfcp, key none");
}
END_TEST

START_TEST(not_a_stream_of_ours)
{
    static const char *const m[] = {"message 2855 TCP/MSRP",      "application 9 TCP/BFCP",
                                    "application 9 UDP/TLS/BFCP", "application 9 TCP/DTLS/BFCP",
                                    "audio 9 RTP/SAVP",           "application 9 TCP/TLS/MSRP",
                                    "message 9 TCP/TLS/BFCP",     "message 2855 tcp/tls/msrp"};
    for (size_t i = 0; i < COUNT(m); i++) {
        char sdp[300];
        snprintf(sdp, sizeof sdp, HEAD "m=%s *\r\n" ALICE, m[i]);
        first(sdp, sdp, "MKT_E_MISSING", "MKT_E_MISSING");
        /* nor may an answer take TLS away */
        first(MSRP("2855", ALICE), sdp, "MKT_E_ROLE", "MKT_E_ROLE");
    }
    first(HEAD, HEAD, "MKT_E_MISSING", "MKT_E_MISSING");
    char line[100];
    struct texts now = exchange(MSRP("9", ALICE), MSRP("2856", BOB), true);
    ck_assert_str_eq(plan(line, sizeof line, &now, NULL, 1), "MKT_E_MISSING");
    ck_assert_str_eq(plan(line, sizeof line, &now, NULL, MKT_SDP_SESSION), "MKT_E_MISSING");
}
END_TEST

START_TEST(what_does_not_answer_the_offer)
{
    first(MSRP("9", ALICE), HEAD, "MKT_E_ROLE", "MKT_E_ROLE");
    first(MSRP("9", ALICE), MSRP("9", BOB "m=audio 0 RTP/AVP 0\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(MSRP("9", SETUP("active") ALICE), MSRP("9", SETUP("active") BOB), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", SETUP("active")), BFCP("9", SETUP("actpass")), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", "a=connection:new\r\n"), BFCP("5000", "a=connection:existing\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "a=connection:existing\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    /* nothing is there that could be kept */
    first(BFCP("9", "a=connection:existing\r\n"), BFCP("5000", "a=connection:existing\r\n"), "MKT_E_ROLE",
          "MKT_E_ROLE");
}
END_TEST

START_TEST(malformed_or_missing)
{
    static const struct {
        const char *offer, *err;
    } row[] = {
        {MSRP("9", ""), "MKT_E_MISSING"}, /* RFC 4975 8.2: "MUST contain a "path" attribute" */
        {HEAD ALICE "m=message 9 TCP/TLS/MSRP *\r\n", "MKT_E_MISSING"}, /* 15.7.4: media level */
        {MSRP("9", ALICE ALICE), "MKT_E_SDP"},
        {MSRP("9", SETUP("x") ALICE), "MKT_E_SDP"},
        {MSRP("9", SETUP("active") SETUP("active") ALICE), "MKT_E_SDP"},
        {MSRP("9", ALICE CEMA CEMA), "MKT_E_SDP"},
        {MSRP("9", ALICE "a=key-mgmt:mikey\r\n"), "MKT_E_SDP"},
        {MSRP("x", ALICE), "MKT_E_SDP"},
        {MSRP("9", ALICE "garbage\r\n"), "MKT_E_SDP"},
    };
    static const char *const connection[] = {"", ":", ":New", ":new ", ":new\r\na=connection:new", ":holdconn"};
    for (size_t i = 0; i < COUNT(row); i++)
        first(row[i].offer, MSRP("2856", BOB), row[i].err, row[i].err);
    for (size_t i = 0; i < COUNT(connection); i++) {
        char sdp[300];
        snprintf(sdp, sizeof sdp, BFCP("9", "a=connection%s\r\n"), connection[i]);
        first(sdp, BFCP("5000", ""), "MKT_E_SDP", "MKT_E_SDP");
    }
    /* of a refused stream it is not looked at */
    first(MSRP("9", ""), MSRP("0", "a=path:x\r\n"), "nothing, msrp, key none", "nothing, msrp, key none");
}
END_TEST

START_TEST(nowhere_to_connect_to)
{
    static const char *const place[] = {"192.0.2.2:9", "bob.example.com:9", "0.0.0.0:2856",
                                        "[::]:2856",   "[0:0::0:0]:2856",   "[::0.0.0.0]:2856"};
    for (size_t i = 0; i < COUNT(place); i++) {
        char sdp[300];
        snprintf(sdp, sizeof sdp, MSRP("2856", "a=path:msrps://%s/bob;tcp\r\n"), place[i]);
        first(MSRP("9", ALICE), sdp, "MKT_E_ROLE", "MKT_E_ROLE");
    }
    first(BFCP("9", ""), BFCP("9", ""), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("9", "c=IN IP4 bob.example.com\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "c=IN IP4 0.0.0.0\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "c=IN IP6 ::\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    /* TCP has no multicast */
    first(BFCP("9", ""), BFCP("5000", "c=IN IP4 224.0.0.1\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "c=IN IP4 239.255.255.255\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "c=IN IP6 ff02::1\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "c=IN IP6 ::ffff:224.0.0.1\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "c=IN IP6 ::ffff:0.0.0.0\r\n"), "MKT_E_ROLE", "MKT_E_ROLE");
    first(BFCP("9", ""), BFCP("5000", "c=IN IP4 223.255.255.255\r\n"),
          "connect IP4 223.255.255.255 5000, TLS client, bfcp, key none",
          "listen IP4 223.255.255.255 5000, TLS server, bfcp, key none");
    /* networks that are not the Internet (RFC 8866 5.7) */
    first(BFCP("9", ""), BFCP("5000", "c=ATM IP4 192.0.2.1\r\n"), "MKT_E_SDP", "MKT_E_SDP");
    first(BFCP("9", ""), BFCP("5000", "c=IN NSAP host.example.com\r\n"), "MKT_E_SDP", "MKT_E_SDP");
    /* of the active end nobody wants to know; and holdconn wants no address */
    first(BFCP("9", "c=IN IP4 0.0.0.0\r\n"), BFCP("5000", ""), "connect IP4 192.0.2.1 5000, TLS client, bfcp, key none",
          "listen IP4 192.0.2.1 5000, TLS server, bfcp, key none");
    first("m=application 9 TCP/TLS/BFCP *\r\n", "m=application 5000 TCP/TLS/BFCP *\r\n", "MKT_E_MISSING",
          "MKT_E_MISSING");
}
END_TEST

START_TEST(addresses_of_c_lines)
{
    static const char *const good[] = {"IP4 192.0.2.2",
                                       "IP4 255.255.255.255",
                                       "IP4 host",
                                       "IP4 3com.example.com",
                                       "IP4 host.example.com.",
                                       "IP4 3.example",
                                       "IP4 x",
                                       "IP4 host.x",
                                       "IP4 host.x.",
                                       "IP4 host.a",
                                       "IP4 host.z",
                                       "IP4 host.A",
                                       "IP4 host.Z",
                                       "IP4 AZaz09-.example",
                                       "IP6 host",
                                       "IP6 2001:db8::2",
                                       "IP6 ::1",
                                       "IP6 1::",
                                       "IP6 1:2:3:4:5:6:7:8",
                                       "IP6 1:2:3:4:5:6:192.0.2.1",
                                       "IP6 ::ffff:192.0.2.1",
                                       "IP6 ABCD:ef01::"};
    static const char *const bad[] = {"IP4 192.0.2",
                                      "IP4 192.0.2.256",
                                      "IP4 192.0.2.02",
                                      "IP4 192.0.2.1.1",
                                      "IP4 1",
                                      "IP4 127.1",
                                      "IP4 0x7f.1",
                                      "IP4 0x7f000001",
                                      "IP4 host.1",
                                      "IP4 host.1.",
                                      "IP4 host.3com",
                                      "IP4 host..",
                                      "IP4 .",
                                      "IP4 ...",
                                      "IP4 192.0.2.2/127",
                                      "IP4 2001:db8::2",
                                      "IP6 192.0.2.2",
                                      "IP6 1:2:3:4:5:6:7",
                                      "IP6 1:2:3:4:5:6:7:8:9",
                                      "IP6 1::2::3",
                                      "IP6 :::",
                                      "IP6 1:",
                                      "IP6 :1",
                                      "IP6 12345::",
                                      "IP6 g::",
                                      "IP6 1:2:3:4:5:6:7::8",
                                      "IP6 1:2:3:4:5:6:7:192.0.2.1",
                                      "IP6 ::192.0.2.256",
                                      "IP6 1:2:3:4::192.0.2.1:5",
                                      "IP6 ff02::1/3",
                                      "IP7 192.0.2.1",
                                      "IP4 host:1"};
    char sdp[300], want[2][100];
    for (size_t i = 0; i < COUNT(good); i++) {
        snprintf(sdp, sizeof sdp, BFCP("5000", "c=IN %s\r\n"), good[i]);
        snprintf(want[0], sizeof want[0], "connect %s 5000, TLS client, bfcp, key none", good[i]);
        snprintf(want[1], sizeof want[1], "listen %s 5000, TLS server, bfcp, key none", good[i]);
        first(BFCP("9", ""), sdp, want[0], want[1]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(sdp, sizeof sdp, BFCP("5000", "c=IN %s\r\n"), bad[i]);
        first(BFCP("9", ""), sdp, "MKT_E_SDP", "MKT_E_SDP");
    }
}
END_TEST

/* a=path */

START_TEST(uris)
{
    static const struct {
        const char *path, *to;
    } good[] = {
        {"msrps://192.0.2.2:2856/bob;tcp", "IP4 192.0.2.2 2856"},
        {"MSRPS://192.0.2.2:2856/bob;TCP", "IP4 192.0.2.2 2856"},
        {"msrps://bob.example.com:2856/bob;tcp", "- bob.example.com 2856"},
        {"msrps://[2001:db8::2]:2856/bob;tcp", "IP6 2001:db8::2 2856"},
        {"msrps://bob@bob.example.com:2856/bob;tcp", "- bob.example.com 2856"},
        {"msrps://b%6fb;x=1@192.0.2.2:65535/bob;tcp", "IP4 192.0.2.2 65535"},
        {"msrps://192.0.2.2:2856/bob;tcp;a;b=c;d=e-f", "IP4 192.0.2.2 2856"},
        /* RFC 4975 8.3: the first is where to connect to, the last is the session */
        {"msrps://relay.example.com:2855;tcp msrps://192.0.2.2:2856/bob;tcp", "- relay.example.com 2855"},
        {"msrps://a.example:1/x;tcp msrps://b.example:2/y;tcp msrp://192.0.2.2:3/bob;sctp", "- a.example 1"},
    };
    static const char *const bad[] = {
        "msrp://192.0.2.2:2856/bob;tcp", /* no TLS */
        "msrp://192.0.2.2:2856/bob;tcp msrps://192.0.2.2:2856/bob;tcp",
        "msrps://192.0.2.2:2856/bob;sctp", /* no TCP */
        "msrps://192.0.2.2:2856;tcp",      /* no session */
        "msrps://192.0.2.2:2856/bob;tcp msrps://192.0.2.2:2856;tcp",
        "msrps://192.0.2.2/bob;tcp", /* no port */
        "msrps://192.0.2.2:/bob;tcp",
        "msrps://192.0.2.2:0/bob;tcp",
        "msrps://192.0.2.2:65536/bob;tcp",
        "msrps://192.0.2.2:x/bob;tcp",
        "msrps://:2856/bob;tcp",
        "msrps://bob:secret@192.0.2.2:2856/bob;tcp", /* a password */
        "msrps://@192.0.2.2:2856/bob;tcp",
        "msrps://192.0.2.300:2856/bob;tcp",
        "msrps://127.1:2856/bob;tcp",
        "msrps://b%6fb.example.com:2856/bob;tcp",
        "msrps://b\xc3\xb6.example.com:2856/bob;tcp",
        "msrps://2001:db8::2:2856/bob;tcp",
        "msrps://[192.0.2.2]:2856/bob;tcp",
        "msrps://[bob.example.com]:2856/bob;tcp",
        "msrps://[2001:db8::2:2856/bob;tcp",
        "msrps://[fe80::1%25eth0]:2856/bob;tcp",
        "msrps://192.0.2.2:2856/;tcp",
        "msrps://192.0.2.2:2856/b?b;tcp",
        "msrps://192.0.2.2:2856/bob",
        "msrps://192.0.2.2:2856/bob;",
        "msrps://192.0.2.2:2856/bob;tcp;",
        "msrps://192.0.2.2:2856/bob;tcp;a=",
        "msrps://192.0.2.2:2856/bob;tcp ",
        " msrps://192.0.2.2:2856/bob;tcp",
        "msrps://192.0.2.2:2856/bob;tcp  msrps://192.0.2.2:2856/bob;tcp",
        "msrps://192.0.2.2:2856/bob;tcp\tmsrps://192.0.2.2:2856/bob;tcp",
        "msrps://192.0.2.2:2856/bob;tcp, msrps://192.0.2.2:2856/bob;tcp",
        "msrps:192.0.2.2:2856/bob;tcp",
        "sips://192.0.2.2:2856/bob;tcp",
        "*",
    };
    char sdp[300], want[200];
    for (size_t i = 0; i < COUNT(good); i++) {
        snprintf(sdp, sizeof sdp, MSRP("2856", "a=path:%s\r\n"), good[i].path);
        snprintf(want, sizeof want, "connect %s, TLS client, msrp alice/bob, key none", good[i].to);
        struct texts now = exchange(MSRP("9", ALICE), sdp, true);
        is(&now, NULL, want);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(sdp, sizeof sdp, MSRP("2856", "a=path:%s\r\n"), bad[i]);
        first(MSRP("9", ALICE), sdp, "MKT_E_SDP", "MKT_E_SDP");
        first(sdp, MSRP("2855", ALICE), "MKT_E_SDP", "MKT_E_SDP");
    }
}
END_TEST

START_TEST(own_relay)
{
    /* RFC 6135 4.5: who is behind a relay connects to that */
    static const char relay[] = MSRP("2855", PATH("msrps://r.example:1;tcp msrps://192.0.2.1:2855/alice;tcp"));
    first(relay, MSRP("2856", BOB), "MKT_E_ROLE", "listen IP4 192.0.2.2 2856, TLS server, msrp bob/alice, key none");
    first(MSRP("9", BOB), relay, "connect - r.example 1, TLS client, msrp bob/alice, key none", "MKT_E_ROLE");
}
END_TEST

/* RFC 6714. The answerer's description is at a middlebox (c=, m=) where that is told by the name. */
#define AT(address, port, lines) "v=0\r\nc=IN IP4 " address "\r\nm=message " port " TCP/TLS/MSRP *\r\n" lines
#define BOX(lines) AT("198.51.100.9", "7000", lines)
#define ALONE(lines) AT("192.0.2.2", "2856", lines)
#define RELAYED PATH("msrps://192.0.2.7:2857/r;tcp msrps://192.0.2.2:2856/bob;tcp")

START_TEST(cema_of_an_offerer)
{
    static const char with[] = MSRP("2855", SETUP("actpass") CEMA ALICE),
                      without[] = MSRP("2855", SETUP("actpass") ALICE);
    static const struct {
        const char *answer, *offered, *not_offered;
    } row[] = {
        {BOX(SETUP("passive") CEMA BOB), "connect IP4 198.51.100.9 7000, TLS client",
         "connect IP4 192.0.2.2 2856, TLS client"},
        /* "In other cases, where none of the criteria above are met ... it MUST use the SDP c/m-line" */
        {BOX(SETUP("passive") BOB), "connect IP4 198.51.100.9 7000, TLS client",
         "connect IP4 192.0.2.2 2856, TLS client"},
        {ALONE(SETUP("passive") BOB), "connect IP4 192.0.2.2 2856, TLS client",
         "connect IP4 192.0.2.2 2856, TLS client"},
        {BOX(SETUP("active") CEMA BOB), "listen IP4 192.0.2.1 2855, TLS server",
         "listen IP4 192.0.2.1 2855, TLS server"},
        {ALONE(SETUP("active") BOB), "listen IP4 192.0.2.1 2855, TLS server", "listen IP4 192.0.2.1 2855, TLS server"},
        /* 1: no msrp-cema, no match, and it becomes passive */
        {BOX(SETUP("active") BOB), "offer again", "listen IP4 192.0.2.1 2855, TLS server"},
        /* 3: no msrp-cema, no match, the answerer uses a relay, and it becomes active */
        {BOX(SETUP("passive") RELAYED), "offer again", "connect IP4 192.0.2.7 2857, TLS client"},
        {BOX(SETUP("passive") CEMA RELAYED), "connect IP4 198.51.100.9 7000, TLS client",
         "connect IP4 192.0.2.7 2857, TLS client"},
        /* a relay and a match of any URI: "the offerer MUST fall back to RFC 4975 behavior" */
        {ALONE(SETUP("passive") CEMA RELAYED), "connect IP4 192.0.2.7 2857, TLS client",
         "connect IP4 192.0.2.7 2857, TLS client"},
        {AT("192.0.2.7", "2857", SETUP("passive") RELAYED), "connect IP4 192.0.2.7 2857, TLS client",
         "connect IP4 192.0.2.7 2857, TLS client"},
        /* the port counts */
        {AT("192.0.2.2", "2857", SETUP("active") BOB), "offer again", "listen IP4 192.0.2.1 2855, TLS server"},
        /* msrp-cema is of the section alone */
        {"a=msrp-cema\r\n" BOX(SETUP("active") BOB), "offer again", "listen IP4 192.0.2.1 2855, TLS server"},
        /* a name is not resolved; but it matches itself in any case, and an address in any form */
        {BOX(SETUP("active") PATH("msrps://b.example:7000/bob;tcp")), "offer again",
         "listen IP4 192.0.2.1 2855, TLS server"},
        {AT("B.example", "7000", SETUP("active") PATH("msrps://b.EXAMPLE:7000/bob;tcp")),
         "listen IP4 192.0.2.1 2855, TLS server", "listen IP4 192.0.2.1 2855, TLS server"},
        {"v=0\nc=IN IP6 2001:DB8:0::2\nm=message 7000 TCP/TLS/MSRP *\n" SETUP("active")
             PATH("msrps://[2001:db8:0:0:0:0:0:2]:7000/bob;tcp"),
         "listen IP4 192.0.2.1 2855, TLS server", "listen IP4 192.0.2.1 2855, TLS server"},
        {"m=message 7000 TCP/TLS/MSRP *\n" SETUP("passive") CEMA BOB, "MKT_E_MISSING",
         "connect IP4 192.0.2.2 2856, TLS client"},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        char want[100];
        struct texts now = exchange(with, row[i].answer, true);
        bool err = strncmp(row[i].offered, "MKT", 3) == 0;
        snprintf(want, sizeof want, "%s%s", row[i].offered, err ? "" : ", msrp alice/bob, key none");
        is(&now, NULL, want);
        now = exchange(without, row[i].answer, true);
        snprintf(want, sizeof want, "%s, msrp alice/bob, key none", row[i].not_offered);
        is(&now, NULL, want);
    }
}
END_TEST

START_TEST(cema_of_an_answerer)
{
    static const char passive[] = MSRP("2855", SETUP("passive") CEMA ALICE),
                      active[] = MSRP("9", SETUP("active") CEMA ALICE);
    struct texts now = exchange(BOX(SETUP("actpass") CEMA BOB), active, false);
    is(&now, NULL, "connect IP4 198.51.100.9 7000, TLS client, msrp alice/bob, key none");
    now = exchange(BOX(SETUP("actpass") CEMA BOB), passive, false);
    is(&now, NULL, "listen IP4 192.0.2.1 2855, TLS server, msrp alice/bob, key none");
    now = exchange(BOX(SETUP("actpass") CEMA BOB), MSRP("9", SETUP("active") ALICE), false);
    is(&now, NULL, "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key none");
    now = exchange(ALONE(SETUP("actpass") BOB), active, false);
    is(&now, NULL, "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key none");
    /* "it MUST use the received SDP c/m-line": the exception for relays is the offerer's alone */
    now = exchange(ALONE(SETUP("actpass") CEMA RELAYED), active, false);
    is(&now, NULL, "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key none");
    /* 4.3: no msrp-cema and no match: "the answerer MUST either reject the offered MSRP connection" or all */
    now = exchange(BOX(SETUP("actpass") BOB), active, false);
    is(&now, NULL, "MKT_E_ROLE");
    now = exchange(BOX(SETUP("actpass") BOB), passive, false);
    is(&now, NULL, "MKT_E_ROLE");
}
END_TEST

/* 4.2 and 4.3 are for each offer and answer: a path that is as it was does not keep what a middlebox got hold of. */
START_TEST(a_second_offer_that_was_anchored)
{
    static const char *const a[] = {MSRP("2855", SETUP("actpass") CEMA ALICE), MSRP("9", SETUP("active") CEMA BOB)};
    static const char *const b[] = {BOX(SETUP("actpass") BOB), MSRP("9", SETUP("active") CEMA ALICE)};
    static const char *const c[] = {MSRP("2855", SETUP("actpass") CEMA ALICE), BOX(SETUP("active") BOB)};
    struct texts before = exchange(a[0], a[1], true), now = exchange(b[0], b[1], false);
    is(&now, &before, "MKT_E_ROLE");
    now = exchange(c[0], c[1], true);
    is(&now, &before, "offer again, msrp alice/bob, key none, replaces");
}
END_TEST

START_TEST(after_an_offer_again_there_is_no_connection)
{
    static const char *const a[] = {MSRP("2855", SETUP("actpass") ALICE), MSRP("9", SETUP("active") BOB)};
    static const char *const box[] = {MSRP("2855", SETUP("actpass") CEMA ALICE), BOX(SETUP("active") BOB)};
    struct texts plain = exchange(a[0], a[1], true), anchored = exchange(box[0], box[1], true);
    is(&plain, &anchored, "listen IP4 192.0.2.1 2855, TLS server, msrp alice/bob, key none");
    struct texts other = exchange(MSRP("2855", SETUP("actpass") PATH("msrps://192.0.2.1:2855/x;tcp")), a[1], true);
    is(&anchored, &other, "offer again, msrp alice/bob, key none, replaces");
}
END_TEST

/* A second exchange */

START_TEST(nothing_changes)
{
    static const char *const msrp[] = {MSRP("2855", SETUP("actpass") ALICE KEY("AQID")),
                                       MSRP("9", SETUP("active") BOB KEY("BAUG"))};
    static const char *const bfcp[] = {BFCP("5000", SETUP("actpass") "a=connection:new\r\n"),
                                       BFCP("9", SETUP("active") "a=connection:new\r\n")};
    static const char *const held[] = {BFCP("5000", SETUP("actpass")), BFCP("9", SETUP("holdconn"))};
    static const char *const refused[] = {BFCP("5000", SETUP("actpass")), BFCP("0", "")};
    second(msrp, msrp, true, "keep, msrp alice/bob, key same", "keep, msrp bob/alice, key same");
    /* RFC 3264 section 8: the same description again is a no-op, though it says a=connection:new */
    second(bfcp, bfcp, true, "keep, bfcp, key none", "keep, bfcp, key none");
    second(held, held, true, "nothing, bfcp, key none", "nothing, bfcp, key none");
    second(refused, refused, true, "nothing, bfcp, key none", "nothing, bfcp, key none");
    /* of BFCP it is, too, when the other end offers what it answered; but not when each sends what the other sent */
    static const char *const plain[] = {BFCP("5000", SETUP("active")), BFCP("5001", "")};
    static const char *const turned[] = {BFCP("5001", ""), BFCP("5000", SETUP("active"))};
    static const char *const simple[] = {BFCP("5000", "a=x\r\n"), BFCP("5001", "")};
    static const char *const crossed[] = {BFCP("5001", ""), BFCP("5000", "a=x\r\n")};
    second(plain, turned, false, "MKT_E_ROLE", "MKT_E_ROLE");
    second(simple, crossed, false, "keep, bfcp, key none", "keep, bfcp, key none");
    second(simple, simple, false, "listen IP4 192.0.2.1 5001, TLS server, bfcp, key none, replaces",
           "connect IP4 192.0.2.1 5001, TLS client, bfcp, key none, replaces");
    /* the end that answered offers what it answered: roles count for nothing, as the paths are the same */
    static const char *const swapped[] = {MSRP("2856", SETUP("actpass") BOB KEY("BAUG")),
                                          MSRP("2855", SETUP("passive") ALICE KEY("AQID"))};
    second(msrp, swapped, false, "keep, msrp alice/bob, key same", "keep, msrp bob/alice, key same");
}
END_TEST

/* RFC 4145 section 5, each pair of values; n new, e existing, - absent. A connection was there. */
START_TEST(connection_of_bfcp)
{
    static const char *const value[] = {"", "a=connection:new\r\n", "a=connection:existing\r\n"};
    static const char *const before[] = {BFCP("5000", SETUP("actpass")), BFCP("9", SETUP("active"))};
    static const char *const held[] = {BFCP("5000", SETUP("actpass")), BFCP("9", SETUP("holdconn"))};
    static const char *const setup[][2] = {{SETUP("passive"), SETUP("active")},
                                           {SETUP("holdconn"), SETUP("holdconn")},
                                           {SETUP("active"), SETUP("active")}};
    for (unsigned i = 0; i < 3 * 3 * 3; i++) {
        unsigned offer = i / 3 % 3, answer = i % 3, roles = i / 9;
        char sdp[2][300];
        snprintf(sdp[0], sizeof sdp[0], BFCP("5000", "%s%s"), value[offer], setup[roles][0]);
        snprintf(sdp[1], sizeof sdp[1], BFCP("9", "%s%s"), value[answer], setup[roles][1]);
        const char *const now[] = {sdp[0], sdp[1]};
        if (answer == 2 && offer != 2) { /* "If the connection value in the offer is 'new', the answerer MUST also" */
            second(before, now, true, "MKT_E_ROLE", "MKT_E_ROLE");
        } else if (answer == 2) { /* "port numbers, IP addresses, and 'setup' attributes ... are ignored" */
            second(before, now, true, "keep, bfcp, key none", "keep, bfcp, key none");
            second(before, now, false, "keep, bfcp, key none", "keep, bfcp, key none");
            second(held, now, true, "MKT_E_ROLE", "MKT_E_ROLE");
        } else if (roles == 0) {
            second(before, now, true, "listen IP4 192.0.2.1 5000, TLS client, bfcp, key none, replaces",
                   "connect IP4 192.0.2.1 5000, TLS server, bfcp, key none, replaces");
            /* the end that answered before now is the offerer, and so TLS client */
            second(before, now, false, "connect IP4 192.0.2.1 5000, TLS server, bfcp, key none, replaces",
                   "listen IP4 192.0.2.1 5000, TLS client, bfcp, key none, replaces");
            second(held, now, true, "listen IP4 192.0.2.1 5000, TLS client, bfcp, key none",
                   "connect IP4 192.0.2.1 5000, TLS server, bfcp, key none");
        } else if (roles == 1) {
            second(before, now, true, "close, bfcp, key none", "close, bfcp, key none");
            second(held, now, true, "nothing, bfcp, key none", "nothing, bfcp, key none");
        } else {
            second(before, now, true, "MKT_E_ROLE", "MKT_E_ROLE");
        }
    }
}
END_TEST

START_TEST(kept_more_than_once)
{
    static const char *const kept[] = {BFCP("9", SETUP("holdconn") "a=connection:existing\r\n"),
                                       BFCP("9", SETUP("holdconn") "a=connection:existing\r\n")};
    static const char *const again[] = {BFCP("9", "a=x\r\na=connection:existing\r\n"),
                                        BFCP("9", "a=connection:existing\r\n")};
    for (size_t i = 0; i < 2; i++) {
        const struct texts opened = exchange(BFCP("9", ""), BFCP("5000", ""), i == 0);
        struct texts once = exchange(kept[0], kept[1], i == 0), twice = exchange(again[0], again[1], i == 0);
        once.before = &opened;
        is(&once, &opened, "keep, bfcp, key none");
        is(&twice, &once, "keep, bfcp, key none");
    }
}
END_TEST

/* RFC 4975 6.1: what is the same URI, and what is another session. */
START_TEST(paths_of_msrp)
{
    static const struct {
        const char *path;
        bool same;
    } row[] = {
        {"msrps://B.example:2856/bob;tcp", true},
        {"MSRPS://b.example:2856/bob;tcp", true},
        {"msrps://b.example:2856/bob;TCP", true},
        {"msrps://somebody@b.example:2856/bob;tcp", true}, /* "Userinfo parts are not considered" */
        {"msrps://b.example:2856/bob;tcp;x=y", true},
        {"msrps://b.example:02856/bob;tcp", true},
        {"msrps://b.example:2857/bob;tcp", false},
        {"msrps://b.example:2856/boB;tcp", false},
        {"msrps://b.example:2856/bobby;tcp", false},
        {"msrps://b.example.com:2856/bob;tcp", false},
        {"msrps://c.example:2856/bob;tcp", false}, /* as long as the name before */
        {"msrps://b.examplf:2856/bob;tcp", false},
        {"msrps://192.0.2.2:2856/bob;tcp", false},
        /* of an end behind a relay all URIs count; the first was of the octets that 2001:db8:: begins with */
        {"msrps://32.1.13.184:1;tcp msrps://b.example:1/bob;tcp", true},
        {"msrps://[2001:db8::]:1;tcp msrps://b.example:1/bob;tcp", false},
        {"msrps://32.1.13.184:1;tcp msrp://b.example:1/bob;tcp", false},
        {"msrps://32.1.13.184:1;tcp msrps://b.example:1/bob;sctp", false},
        {"msrps://32.1.13.184:1;tcp msrps://b.example:1/bob;tcq", false},
        {"msrps://32.1.13.184:1;tcp msrps://b.example:1/b;tcp msrps://b.example:1/bob;tcp", false},
        {"msrps://32.1.13.184:1;tcp msrps://b.example:1/bob;tcp msrps://b.example:1/bob;tcp", false},
    };
    static const char *const before[] = {MSRP("9", SETUP("active") ALICE), "msrps://b.example:2856/bob;tcp",
                                         "msrps://32.1.13.184:1;tcp msrps://b.example:1/bob;tcp"};
    for (size_t i = 0; i < 2 * COUNT(row); i++) {
        bool relay = strchr(row[i / 2].path, ' ') != NULL, peer = i % 2 == 0;
        char sdp[2][300], got[300];
        if (relay && !peer)
            continue; /* no end of ours is behind a relay */
        snprintf(sdp[0], sizeof sdp[0], MSRP("2856", SETUP("passive") "a=path:%s\r\n"), before[relay ? 2 : 1]);
        snprintf(sdp[1], sizeof sdp[1], MSRP("2856", SETUP("passive") "a=path:%s\r\n"), row[i / 2].path);
        const struct texts b = exchange(before[0], sdp[0], peer), n = exchange(before[0], sdp[1], peer);
        plan(got, sizeof got, &n, &b, 0);
        bool kept = strncmp(got, "keep, msrp", 10) == 0;
        bool replaced = strncmp(got, peer ? "connect" : "listen", 6) == 0 && strstr(got, "replaces") != NULL;
        ck_assert_msg(row[i / 2].same ? kept : replaced, "%s: %s", row[i / 2].path, got);
    }
    /* RFC 6135 4.2.2: port 9 is of an active end, which may tell a port later; who is passive has one */
    static const char *const nine[] = {MSRP("2855", SETUP("actpass") ALICE),
                                       MSRP("9", SETUP("active") PATH("msrps://192.0.2.2:9/bob;tcp"))};
    static const char *const told[] = {MSRP("2856", SETUP("actpass") BOB), MSRP("2855", SETUP("passive") ALICE)};
    static const char *const again[] = {MSRP("2855", SETUP("passive") ALICE),
                                        MSRP("9", SETUP("active") PATH("msrps://192.0.2.2:9/bob;tcp"))};
    second(nine, told, false, "keep, msrp alice/bob, key none", "keep, msrp bob/alice, key none");
    second(again, nine, true, "keep, msrp alice/bob, key none", "keep, msrp bob/alice, key none");
    /* IPv6 addresses by their octets; a new path of the active end is a new session as well */
    static const char *const six[] = {MSRP("9", SETUP("active") ALICE),
                                      MSRP("9", SETUP("passive") PATH("msrps://[2001:db8::a]:1/bob;tcp"))};
    static const char *const six_long[] = {
        MSRP("9", SETUP("active") ALICE), MSRP("9", SETUP("passive") PATH("msrps://[2001:DB8:0:0:0:0:0:A]:1/bob;tcp"))};
    static const char *const moved[] = {MSRP("9", SETUP("active") PATH("msrps://192.0.2.1:2855/carol;tcp")),
                                        MSRP("9", SETUP("passive") PATH("msrps://[2001:db8::a]:1/bob;tcp"))};
    static const char *const mapped[] = {
        MSRP("9", SETUP("active") ALICE),
        MSRP("9", SETUP("passive") PATH("msrps://[::ffff:255.255.255.254]:1/bob;tcp"))};
    static const char *const longest[] = {
        MSRP("9", SETUP("active") ALICE),
        MSRP("9", SETUP("passive") PATH("msrps://[0000:0000:0000:0000:0000:ffff:255.255.255.254]:1/bob;tcp"))};
    static const char *const relayed[] = {MSRP("9", ALICE),
                                          MSRP("9", PATH("msrps://r.example:1;tcp msrps://192.0.2.2:2856/bob;tcp"))};
    static const char *const relayed_again[] = {
        MSRP("9", ALICE), MSRP("9", PATH("msrps://R.Example:1;tcp msrps://192.0.2.2:2856/bob;TCP"))};
    second(relayed, relayed_again, true, "keep, msrp alice/bob, key none",
           "MKT_E_ROLE"); /* the relay listens, not Bob */
    second(mapped, longest, true, "keep, msrp alice/bob, key none", "keep, msrp bob/alice, key none");
    second(longest, mapped, true, "keep, msrp alice/bob, key none", "keep, msrp bob/alice, key none");
    second(six, six_long, true, "keep, msrp alice/bob, key none", "keep, msrp bob/alice, key none");
    second(six, moved, true, "connect IP6 2001:db8::a 1, TLS client, msrp carol/bob, key none, replaces",
           "listen IP6 2001:db8::a 1, TLS server, msrp bob/carol, key none, replaces");
}
END_TEST

/* RFC 1035 2.3.4: a name has 255 octets at most. All of them count. */
START_TEST(a_name_of_255_octets)
{
    enum { LONGEST = 255 };
    char name[LONGEST + 2], text_of[3][800], got[800];
    memset(name, 'x', sizeof name);
    for (size_t n = LONGEST - 1; n <= LONGEST + 1; n++) {
        snprintf(text_of[0], sizeof text_of[0], MSRP("9", SETUP("passive") "a=path:msrps://%.*s:1/bob;tcp\r\n"), (int)n,
                 name);
        const struct texts now = exchange(MSRP("9", SETUP("active") ALICE), text_of[0], true);
        plan(got, sizeof got, &now, NULL, 0);
        ck_assert_msg((strncmp(got, "connect - xxx", 13) == 0) == (n <= LONGEST), "%zu octets: %s", n, got);
        ck_assert(n <= LONGEST || strcmp(got, "MKT_E_SDP") == 0);
    }
    for (size_t k = 0; k < 3; k++) { /* another one, and the same again */
        name[LONGEST - 1] = k == 1 ? 'y' : 'x';
        snprintf(text_of[k], sizeof text_of[k], MSRP("9", SETUP("passive") "a=path:msrps://%.*s:1/bob;tcp\r\n"),
                 LONGEST, name);
    }
    for (size_t k = 1; k < 3; k++) {
        const struct texts before = exchange(MSRP("9", SETUP("active") ALICE), text_of[0], true),
                           now = exchange(MSRP("9", SETUP("active") ALICE), text_of[k], true);
        plan(got, sizeof got, &now, &before, 0);
        ck_assert_msg((strncmp(got, "keep", 4) == 0) == (k == 2), "%s", got);
    }
}
END_TEST

/* RFC 4975 6.1: hosts and transports are compared whatever their case, from A to Z. */
START_TEST(letters_of_any_case)
{
    static const char *const names[][2] = {{"abcxyz.example", "ABCXYZ.EXAMPLE"}, {"a.zz", "A.ZZ"}, {"z.aa", "Z.AA"}};
    for (size_t i = 0; i < COUNT(names); i++) {
        char text_of[2][300];
        for (size_t k = 0; k < 2; k++)
            snprintf(text_of[k], sizeof text_of[k], MSRP("9", SETUP("passive") "a=path:msrps://%s:1/bob;tcp\r\n"),
                     names[i][k]);
        const char *const one[] = {MSRP("9", SETUP("active") ALICE), text_of[0]};
        const char *const other[] = {MSRP("9", SETUP("active") ALICE), text_of[1]};
        second(one, other, true, "keep, msrp alice/bob, key none", "keep, msrp bob/alice, key none");
    }
}
END_TEST

START_TEST(msrp_moves_behind_its_middlebox)
{
    static const char offer[] = MSRP("2855", SETUP("actpass") CEMA ALICE);
    struct texts before = exchange(offer, BOX(SETUP("passive") CEMA BOB), true);
    struct texts now = exchange(offer, AT("198.51.100.9", "7001", SETUP("passive") CEMA BOB), true);
    is(&now, &before, "connect IP4 198.51.100.9 7001, TLS client, msrp alice/bob, key none, replaces");
    now = exchange(offer, AT("198.51.100.8", "7000", SETUP("passive") CEMA BOB), true);
    is(&now, &before, "connect IP4 198.51.100.8 7000, TLS client, msrp alice/bob, key none, replaces");
    now = exchange(offer, BOX(SETUP("passive") CEMA "a=x\r\n" BOB), true);
    is(&now, &before, "keep, msrp alice/bob, key none");
}
END_TEST

START_TEST(streams_come_and_go)
{
    static const char *const msrp[] = {MSRP("9", SETUP("active") ALICE), MSRP("2856", SETUP("passive") BOB)};
    static const char *const bfcp[] = {BFCP("9", SETUP("active")), BFCP("5000", SETUP("passive"))};
    static const char *const gone[] = {MSRP("0", ""), MSRP("0", "")};
    static const char *const refused[] = {MSRP("9", ALICE "a=x\r\n"), MSRP("0", "")};
    static const char *const other[] = {HEAD "m=audio 5000 RTP/AVP 0\r\n", HEAD "m=audio 5001 RTP/AVP 0\r\n"};
    static const char *const none[] = {HEAD, HEAD};
    second(msrp, gone, true, "close, msrp, key none", "close, msrp, key none");
    second(msrp, refused, false, "close, msrp, key none", "close, msrp, key none");
    second(gone, gone, true, "nothing, msrp, key none", "nothing, msrp, key none");
    /* RFC 3264 8.1: a new stream in an old slot, or in none */
    second(gone, bfcp, true, "connect IP4 192.0.2.1 5000, TLS client, bfcp, key none",
           "listen IP4 192.0.2.1 5000, TLS server, bfcp, key none");
    second(other, bfcp, true, "connect IP4 192.0.2.1 5000, TLS client, bfcp, key none",
           "listen IP4 192.0.2.1 5000, TLS server, bfcp, key none");
    second(none, bfcp, true, "connect IP4 192.0.2.1 5000, TLS client, bfcp, key none",
           "listen IP4 192.0.2.1 5000, TLS server, bfcp, key none");
    /* 8.3.3: another medium */
    second(msrp, bfcp, true, "connect IP4 192.0.2.1 5000, TLS client, bfcp, key none, replaces",
           "listen IP4 192.0.2.1 5000, TLS server, bfcp, key none, replaces");
    second(msrp, other, true, "close, msrp, key none", "close, msrp, key none");
    second(bfcp, other, true, "close, bfcp, key none", "close, bfcp, key none");
    static const char *const kept[] = {BFCP("9", "a=connection:existing\r\n"),
                                       BFCP("5000", "a=connection:existing\r\n")};
    second(msrp, kept, true, "MKT_E_ROLE", "MKT_E_ROLE"); /* it is not of this medium */
    second(bfcp, gone, true, "close, msrp, key none", "close, msrp, key none");
    second(gone, other, true, "MKT_E_MISSING", "MKT_E_MISSING");
    /* section 8: "the number of "m=" lines in a stream never decreases" */
    static const char *const two[] = {MSRP("9", SETUP("active") ALICE "m=audio 0 RTP/AVP 0\r\n"),
                                      MSRP("2856", SETUP("passive") BOB "m=audio 0 RTP/AVP 0\r\n")};
    second(two, msrp, true, "MKT_E_ROLE", "MKT_E_ROLE");
    second(msrp, two, true, "keep, msrp alice/bob, key none", "keep, msrp bob/alice, key none");
}
END_TEST

START_TEST(a_connection_that_has_ended)
{
    struct texts msrp = exchange(MSRP("9", ALICE), MSRP("2856", BOB), true), msrp_before = msrp;
    struct texts kept =
        exchange(BFCP("9", "a=connection:existing\r\n"), BFCP("5000", "a=connection:existing\r\n"), true);
    struct texts bfcp_before = exchange(BFCP("9", ""), BFCP("5000", ""), true);
    is(&kept, &bfcp_before, "keep, bfcp, key none");
    msrp_before.ended = bfcp_before.ended = true;
    is(&msrp, &msrp_before, "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key none");
    is(&kept, &bfcp_before, "MKT_E_ROLE"); /* RFC 4145 6.2: "using a connection value of 'new'" */
}
END_TEST

/* Key management */

START_TEST(keys)
{
    static const struct {
        const char *before[2], *now[2], *want;
    } row[] = {
        {{"", ""}, {"", ""}, "none"},
        {{"", ""}, {KEY("AQID"), KEY("BAUG")}, "new"},
        {{KEY("AQID"), KEY("BAUG")}, {KEY("AQID"), KEY("BAUG")}, "same"},
        {{KEY("AQID"), KEY("BAUG")}, {KEY("AQID"), ""}, "same"},
        {{KEY("AQID"), ""}, {KEY("AQID"), ""}, "same"}, /* no F: there is no answer */
        {{KEY("AQID"), KEY("BAUG")}, {KEY("AQIE"), KEY("BAUH")}, "new"},
        {{KEY("AQID"), KEY("BAUG")}, {KEY("AQIE"), ""}, "new"},
        {{KEY("AQID"), KEY("BAUG")}, {KEY("AQID"), KEY("BAUH")}, "new"}, /* another end answers */
        {{KEY("AQID"), ""}, {KEY("AQID"), KEY("BAUG")}, "new"},
        {{KEY("AQID"), KEY("BAUG")}, {"", ""}, "none"},
        {{KEY("AQID"), KEY("BAUG")}, {"", KEY("BAUG")}, "none"},
        {{KEY("AQID"), KEY("BAUG")}, {"a=key-mgmt:keyp1 x\r\n" KEY("AQID"), KEY("BAUG")}, "same"},
        /* RFC 4567 4.1.2: "The same key management protocol ... SHALL also be used in the new offer" */
        {{KEY("AQID"), KEY("BAUG")}, {"a=key-mgmt:keyp1 x\r\n", "a=key-mgmt:keyp1 y\r\n"}, "MKT_E_PROTOCOLS"},
        {{KEY("AQID"), KEY("BAUG")}, {"a=key-mgmt:k x\r\n", ""}, "MKT_E_PROTOCOLS"},
        /* "used in the original offer": that had none, and an answer to nothing is none */
        {{"", KEY("BAUG")}, {"a=key-mgmt:keyp1 x\r\n", ""}, "none"},
        {{"a=key-mgmt:keyp1 x\r\n", ""}, {"a=key-mgmt:keyp1 y\r\n", ""}, "none"},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        char sdp[4][300], want[100];
        bool err = strncmp(row[i].want, "MKT", 3) == 0;
        for (size_t j = 0; j < 4; j++)
            snprintf(sdp[j], sizeof sdp[j], HEAD "m=application %s TCP/TLS/BFCP *\r\na=connection:%s\r\n%s",
                     j % 2 == 0 ? "9" : "5000", j < 2 ? "new" : "existing",
                     j < 2 ? row[i].before[j] : row[i].now[j - 2]);
        const char *const before[] = {sdp[0], sdp[1]}, *const now[] = {sdp[2], sdp[3]};
        snprintf(want, sizeof want, "%s%s", err ? "" : "keep, bfcp, key ", row[i].want);
        second(before, now, true, want, want);
    }
    first(MSRP("9", ALICE KEY("AQID")), MSRP("2856", BOB),
          "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key new",
          "listen IP4 192.0.2.2 2856, TLS server, msrp bob/alice, key new");
    /* for the session level as for the section */
    first(KEY("AQID") MSRP("9", ALICE), MSRP("2856", BOB),
          "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key new",
          "listen IP4 192.0.2.2 2856, TLS server, msrp bob/alice, key new");
}
END_TEST

/* A hold without a=key-mgmt changes no key: what comes after it is held against the messages that the key is from. */
START_TEST(keys_of_an_earlier_exchange)
{
    const char *const keyed[] = {MSRP("9", ALICE KEY("AQID")), MSRP("2856", BOB KEY("BAUG"))};
    struct texts first_one = exchange(keyed[0], keyed[1], true);
    struct texts hold = exchange(MSRP("9", ALICE "a=inactive\r\n"), MSRP("2856", BOB), true);
    const struct texts again = exchange(keyed[0], keyed[1], true);
    const struct texts rekeyed = exchange(MSRP("9", ALICE KEY("AQIE")), MSRP("2856", BOB KEY("BAUH")), true);
    const struct texts other = exchange(MSRP("9", ALICE "a=key-mgmt:keyp1 x\r\n"), MSRP("2856", BOB), true);
    is(&hold, &first_one, "keep, msrp alice/bob, key none");
    hold.before = &first_one;
    is(&again, &hold, "keep, msrp alice/bob, key same");
    is(&rekeyed, &hold, "keep, msrp alice/bob, key new");
    is(&other, &hold, "MKT_E_PROTOCOLS");
    /* the connection is that of the exchange before all the same */
    hold.ended = true;
    is(&again, &hold, "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key same");
    hold.before = NULL;
    is(&again, &hold, "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key new");
}
END_TEST

START_TEST(keys_and_connections_are_apart)
{
    static const char *const before[] = {MSRP("9", ALICE KEY("AQID")), MSRP("2856", BOB KEY("BAUG"))};
    static const char *const rekeyed[] = {MSRP("9", ALICE KEY("AQIE")), MSRP("2856", BOB KEY("BAUH"))};
    static const char *const moved[] = {MSRP("9", ALICE KEY("AQID")),
                                        MSRP("2856", PATH("msrps://192.0.2.2:1/b;tcp") KEY("BAUG"))};
    static const char *const by_bob[] = {MSRP("9", BOB KEY("AQIE")), MSRP("2856", ALICE KEY("BAUH"))};
    second(before, rekeyed, true, "keep, msrp alice/bob, key new", "keep, msrp bob/alice, key new");
    second(before, moved, true, "connect IP4 192.0.2.2 1, TLS client, msrp alice/b, key same, replaces",
           "listen IP4 192.0.2.2 1, TLS server, msrp b/alice, key same, replaces");
    second(before, by_bob, false, "keep, msrp alice/bob, key new", "keep, msrp bob/alice, key new");
    /* what one end sent before is nothing that the other repeats */
    static const char *const echoed[] = {MSRP("9", BOB KEY("AQID")), MSRP("2856", ALICE KEY("BAUG"))};
    second(before, echoed, false, "keep, msrp alice/bob, key new", "keep, msrp bob/alice, key new");
}
END_TEST

/* What is kept, and what an offer alone says */

START_TEST(what_is_kept)
{
    const struct texts now = exchange(MSRP("9", ALICE KEY("AQID")), MSRP("2856", BOB KEY("BAUG")), true);
    struct mkt_sdp_kept kept = kept_of(&now, 0), bad[] = {kept, kept}, same;
    struct mkt_connection c = {.media = 42};
    struct mkt_sdp offer;
    enum mkt_keying keying = MKT_KEYING_NEW;
    ck_assert_uint_eq(sizeof kept, MKT_SDP_KEPT);
    ck_assert_uint_le(sizeof kept, 512);
    memset(&same, 0xff, sizeof same); /* it need not be empty before */
    expect_err("first", decide(&now, &nothing, false, 0, &c, &same), MKT_OK);
    ck_assert_mem_eq(&kept, &same, sizeof kept);
    expect_err("again", decide(&now, &kept, false, 0, &c, &kept), MKT_OK);
    ck_assert_int_eq(c.action, MKT_ACTION_KEEP);
    ck_assert_mem_eq(&kept, &same, sizeof kept);
    expect_err("parse", mkt_sdp_parse(&offer, now.offer), MKT_OK);
    /* the same octets in all processes and on all machines */
    uint64_t sum = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < sizeof kept; i++)
        sum = (sum ^ kept.octets[i]) * 0x100000001b3u;
    ck_assert_uint_eq(sum, 1587629675916588087u);
    const struct texts bfcp = exchange(BFCP("9", KEY("AQID")), BFCP("2856", KEY("BAUG")), true);
    kept = kept_of(&bfcp, 0);
    sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof kept; i++)
        sum = (sum ^ kept.octets[i]) * 0x100000001b3u;
    ck_assert_uint_eq(sum, 409808426074385934u);
    kept = kept_of(&now, 0);
    bad[0].octets[0] = 2; /* another version */
    bad[1].octets[2] = 2; /* no medium */
    for (size_t i = 0; i < COUNT(bad); i++) {
        c.media = 42;
        expect_err("not kept", decide(&now, &bad[i], false, 0, &c, &same), MKT_E_STORED);
        expect_err("not kept", mkt_connection_keying(&offer, 0, true, &bad[i], &keying), MKT_E_STORED);
        const struct texts no_answer = exchange(MSRP("9", ALICE), HEAD, true); /* the first error counts */
        expect_err("not kept", decide(&no_answer, &bad[i], false, 0, &c, &same), MKT_E_STORED);
        ck_assert_uint_eq(c.media, 42);
        ck_assert_mem_eq(&kept, &same, sizeof kept);
        ck_assert_int_eq(keying, MKT_KEYING_NEW);
    }
}
END_TEST

/* Whichever exchanges the same descriptions were in before, and as whose text. */
START_TEST(what_is_kept_of_descriptions_that_are_used_again)
{
    static const char *const texts[] = {MSRP("9", ALICE), MSRP("2855", BOB), MSRP("2856", BOB)};
    enum { TEXTS = COUNT(texts) };
    struct mkt_sdp used[TEXTS];
    for (size_t i = 0; i < TEXTS; i++)
        expect_err("parse", mkt_sdp_parse(&used[i], mkt_span_text(texts[i])), MKT_OK);
    for (size_t i = 0; i < 2 * TEXTS * TEXTS * 2; i++) {
        const size_t offer = i / 2 % TEXTS, answer = i / 2 / TEXTS % TEXTS;
        const struct texts fresh = exchange(texts[offer], texts[answer], i % 2 == 0);
        const struct mkt_sdp_kept want = kept_of(&fresh, 0);
        struct mkt_sdp_exchange now;
        struct mkt_sdp_kept kept;
        struct mkt_connection c;
        mkt_sdp_exchange_init(&now, &used[offer], &used[answer]);
        now.offerer = i % 2 == 0;
        expect_err("decide", mkt_connection_decide(&now, &nothing, 0, &c, &kept), MKT_OK);
        ck_assert_mem_eq(&kept, &want, sizeof kept);
    }
}
END_TEST

/* An end that does not repeat its message changes no key, and may repeat it the next time. */
START_TEST(a_message_that_is_left_out_once)
{
    static const char *const offers[] = {MSRP("9", ALICE KEY("AQID")), MSRP("9", ALICE)};
    static const char *const answers[] = {MSRP("2856", BOB KEY("BAUG")), MSRP("2856", BOB)};
    for (size_t i = 0; i < 4; i++) {
        const struct texts one = exchange(offers[0], answers[0], i < 2);
        struct texts two = exchange(offers[i % 2], answers[1], i < 2);
        char line[200];
        two.before = &one;
        ck_assert_str_eq(plan(line, sizeof line, &one, &two, 0),
                         i < 2 ? "keep, msrp alice/bob, key same" : "keep, msrp bob/alice, key same");
    }
}
END_TEST

/* A message that nobody offered is an answer to nothing, and was not taken: when it is offered later it is new. */
START_TEST(an_answer_that_nobody_asked_for)
{
    const struct texts odd = exchange(MSRP("9", ALICE), MSRP("2856", BOB KEY("BAUG")), true);
    const struct texts by_bob = exchange(MSRP("9", BOB KEY("BAUG")), MSRP("2856", ALICE KEY("AQID")), false);
    const struct texts silent = exchange(MSRP("9", BOB KEY("BAUG")), MSRP("2856", ALICE), false);
    is(&by_bob, &odd, "keep, msrp alice/bob, key new");
    is(&silent, &odd, "keep, msrp alice/bob, key new");
}
END_TEST

START_TEST(keys_of_an_offer_alone)
{
    static const struct {
        const char *offer;
        bool by_alice; /* who offered first, with AQID; the answer was BAUG */
        const char *want;
    } row[] = {
        {MSRP("9", ALICE KEY("AQID")), true, "same"},
        {MSRP("9", ALICE KEY("AQIE")), true, "new"},
        {MSRP("9", ALICE KEY("BAUG")), true, "new"},
        {KEY("AQID"), true, "same"}, /* the line alone is at session level */
        {KEY("AQID") MSRP("9", ALICE), true, "same"},
        {KEY("AQID") MSRP("9", ALICE KEY("AQIE")), true, "new"},
        {MSRP("9", BOB KEY("BAUG")), false, "same"},
        {MSRP("9", BOB KEY("AQID")), false, "new"},
        {MSRP("9", BOB), false, "none"},
        {MSRP("0", BOB KEY("BAUH")), false, "none"},
        {MSRP("9", BOB "a=key-mgmt:keyp1 x\r\n"), false, "MKT_E_PROTOCOLS"},
        {MSRP("9", BOB KEY("BAUG") KEY("BAUG")), false, "MKT_E_SDP"},
        {MSRP("x", BOB KEY("BAUG")), false, "MKT_E_SDP"},
    };
    static const char *const names[] = {"none", "same", "new"};
    for (size_t end = 0; end < 2; end++) {
        const struct texts first_one = exchange(MSRP("9", ALICE KEY("AQID")), MSRP("2856", BOB KEY("BAUG")), end == 0);
        const struct mkt_sdp_kept kept = kept_of(&first_one, 0);
        for (size_t i = 0; i < COUNT(row); i++) {
            struct mkt_sdp offer;
            enum mkt_keying keying = MKT_KEYING_NONE;
            expect_err(row[i].offer, mkt_sdp_parse(&offer, exact(mkt_span_text(row[i].offer))), MKT_OK);
            const size_t media = offer.sections == 0 ? MKT_SDP_SESSION : 0;
            const bool mine = row[i].by_alice == (end == 0);
            const enum mkt_err err = mkt_connection_keying(&offer, media, mine, &kept, &keying);
            ck_assert_str_eq(err == MKT_OK ? names[keying] : mkt_err_name(err), row[i].want);
            if (offer.sections > 0)
                expect_err("section", mkt_connection_keying(&offer, 1, mine, &kept, &keying), MKT_E_MISSING);
            /* at first every message is new */
            expect_err("first", mkt_connection_keying(&offer, media, mine, &nothing, &keying),
                       strcmp(row[i].want, "MKT_E_SDP") == 0 ? MKT_E_SDP : MKT_OK);
            ck_assert_int_ne(keying, MKT_KEYING_SAME);
        }
    }
}
END_TEST

/* What is wrong with a stream is known before a KMS is asked about its key. Other media are not looked at. */
START_TEST(a_malformed_offer)
{
    static const struct {
        const char *sdp;
        enum mkt_err err;
    } rows[] = {
        {MSRP("2855", ALICE KEY("AQ==")), MKT_OK},
        {MSRP("2855", KEY("AQ==")), MKT_E_MISSING},
        {MSRP("2855", PATH("msrp://192.0.2.1:2855/alice;tcp") KEY("AQ==")), MKT_E_SDP},
        {MSRP("2855", ALICE ALICE KEY("AQ==")), MKT_E_SDP},
        {MSRP("2855", ALICE SETUP("both") KEY("AQ==")), MKT_E_SDP},
        {MSRP("0", SETUP("both") KEY("AQ==")), MKT_OK},
        {BFCP("9", KEY("AQ==")), MKT_OK},
        {BFCP("9", "a=connection:old\r\n" KEY("AQ==")), MKT_E_SDP},
        {BFCP("9", SETUP("both") KEY("AQ==")), MKT_E_SDP},
        {HEAD "m=audio 9 RTP/SAVP 0\r\n" SETUP("both") KEY("AQ=="), MKT_OK},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct mkt_sdp offer;
        enum mkt_keying keying = MKT_KEYING_SAME;
        expect_err(rows[i].sdp, mkt_sdp_parse(&offer, mkt_span_text(rows[i].sdp)), MKT_OK);
        expect_err(rows[i].sdp, mkt_connection_keying(&offer, 0, false, &nothing, &keying), rows[i].err);
        ck_assert_int_eq(keying, rows[i].err != MKT_OK ? MKT_KEYING_SAME : i == 5 ? MKT_KEYING_NONE : MKT_KEYING_NEW);
        expect_err("the line alone", mkt_connection_keying(&offer, MKT_SDP_SESSION, false, &nothing, &keying), MKT_OK);
    }
}
END_TEST

/* Many sections: each has its own */

START_TEST(several_sections)
{
    static const char offer[] =
        HEAD "m=audio 49000 RTP/AVP 0\r\n"
             "m=message 9 TCP/TLS/MSRP *\r\n" SETUP("active")
                 ALICE KEY("AQID") "m=application 5000 TCP/TLS/BFCP *\r\n" SETUP("actpass")
                     KEY("BAUG") "m=message 9 TCP/TLS/MSRP *\r\n" PATH("msrps://192.0.2.1:2855/second;tcp");
    static const char answer[] = HEAD "m=audio 0 RTP/AVP 0\r\n"
                                      "m=message 2856 TCP/TLS/MSRP *\r\n" SETUP("passive") BOB
        "m=application 9 TCP/TLS/BFCP *\r\n" SETUP("active") "m=message 0 TCP/TLS/MSRP *\r\n";
    static const char *const want[] = {
        "MKT_E_MISSING", "connect IP4 192.0.2.2 2856, TLS client, msrp alice/bob, key new",
        "listen IP4 192.0.2.1 5000, TLS client, bfcp, key new", "nothing, msrp, key none", "MKT_E_MISSING"};
    struct texts now = exchange(offer, answer, true);
    char got[200];
    for (size_t i = 0; i < COUNT(want); i++)
        ck_assert_str_eq(plan(got, sizeof got, &now, NULL, i), want[i]);
}
END_TEST

/* House rules */

START_TEST(names_of_actions)
{
    ck_assert_str_eq(mkt_action_name(MKT_ACTION_NOTHING), "nothing");
    ck_assert_str_eq(mkt_action_name(MKT_ACTION_OFFER_AGAIN), "offer again");
    ck_assert_ptr_null(mkt_action_name((enum mkt_action)(MKT_ACTION_OFFER_AGAIN + 1)));
}
END_TEST

START_TEST(every_truncation)
{
    static const char sdp[] = BFCP("5000", SETUP("actpass")),
                      whole[] = MSRP("2856", SETUP("passive") CEMA BOB KEY("AQID"));
    for (size_t n = 0; n < sizeof whole; n++) {
        struct texts now = exchange(MSRP("9", CEMA ALICE KEY("AQID")), "", true), other = exchange(sdp, sdp, true);
        char got[300];
        now.answer = exact((struct mkt_span){(const uint8_t *)whole, n});
        bool err = strncmp(plan(got, sizeof got, &now, &now, 0), "MKT_E_", 6) == 0;
        /* what is cut off: the end of the line, a group of base64, the attribute, msrp-cema, a parameter of the URI */
        ck_assert_msg(err || n > sizeof whole - sizeof(CEMA BOB KEY("AQID")), "%zu: %s", n, got);
        now = other;
        now.answer = exact((struct mkt_span){(const uint8_t *)whole, n});
        ck_assert(strncmp(plan(got, sizeof got, &now, &other, 0), "MKT_E_", 6) == 0);
    }
}
END_TEST

START_TEST(no_allocation)
{
    const struct texts now = {.offer = mkt_span_text(MSRP("9", CEMA ALICE KEY("AQID"))),
                              .answer = mkt_span_text(MSRP("2856", RELAYED KEY("BAUG"))),
                              .offerer = true};
    struct mkt_connection c[2];
    struct mkt_sdp_kept kept;
    unsigned long before = allocations;
    bool ok = decide(&now, &nothing, false, 0, &c[0], &kept) == MKT_OK &&
              decide(&now, &kept, false, 0, &c[1], &kept) == MKT_OK;
    unsigned long after = allocations;
    ck_assert(ok);
    ck_assert_uint_eq(after, before);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        msrp_leads_to_the_path_of_the_passive_end,
        bfcp_leads_to_the_lines_of_the_passive_end,
        both_ends_agree,
        port_0_refuses,
        not_a_stream_of_ours,
        what_does_not_answer_the_offer,
        malformed_or_missing,
        nowhere_to_connect_to,
        addresses_of_c_lines,
        uris,
        own_relay,
        cema_of_an_offerer,
        cema_of_an_answerer,
        a_second_offer_that_was_anchored,
        after_an_offer_again_there_is_no_connection,
        nothing_changes,
        connection_of_bfcp,
        kept_more_than_once,
        paths_of_msrp,
        a_name_of_255_octets,
        letters_of_any_case,
        msrp_moves_behind_its_middlebox,
        streams_come_and_go,
        a_connection_that_has_ended,
        keys,
        keys_of_an_earlier_exchange,
        keys_and_connections_are_apart,
        what_is_kept,
        what_is_kept_of_descriptions_that_are_used_again,
        a_message_that_is_left_out_once,
        an_answer_that_nobody_asked_for,
        keys_of_an_offer_alone,
        a_malformed_offer,
        several_sections,
        names_of_actions,
        every_truncation,
        no_allocation,
    };
    Suite *suite = suite_create("connection");
    TCase *tcase = tcase_create("connection");
    for (size_t i = 0; i < COUNT(tests); i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_unchecked_fixture(tcase, NULL, free_all);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
