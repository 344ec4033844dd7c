/* SPDX-License-Identifier: BSD-3-Clause */
/* MIKEY messages of a bundle in SDP: made and taken in one call, and which crypto session a media section has. */
#include "plan.h"
#include "play.h"

#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define MSRP "m=message 2855 TCP/TLS/MSRP *\r\na=path:msrps://192.0.2.1:2855/a;tcp\r\n"
#define BFCP "m=application 9 TCP/TLS/BFCP *\r\n"

static uint8_t octets[4][8192];

static struct mkt_buf line_of(size_t i)
{
    return (struct mkt_buf){octets[i], sizeof octets[i], 0};
}

/* A description with two pieces of text around a line; the text lives until free_all(). */
static struct mkt_sdp described(const char *before, const struct mkt_buf *line, const char *after)
{
    static char whole[32768];
    struct mkt_sdp sdp;
    const int n = snprintf(whole, sizeof whole, "%s%.*s%s%s", before, (int)line->n, (const char *)line->p,
                           line->n == 0 ? "" : "\r\n", after);
    ck_assert_int_lt(n, (int)sizeof whole);
    expect_err(whole, mkt_sdp_parse(&sdp, exact(mkt_span_text(whole))), MKT_OK);
    return sdp;
}

static struct mkt_sdp offered(struct call *c, struct mkt_buf *line)
{
    *line = line_of(0);
    expect_err("offer", mkt_sdp_make_offer(c->i, &c->offer, line), MKT_OK);
    return described(HEAD MSRP, line, "");
}

START_TEST(a_call)
{
    struct call *c = call_new(_i == 0 ? MKT_SUITE_256 : MKT_SUITE_128, "FGHJLNO");
    struct mkt_buf line, back = line_of(1);
    struct mkt_cs cs;
    make_ticket(c);
    struct mkt_sdp sdp = offered(c, &line);
    expect_err("take", mkt_sdp_take_offer(c->r, &sdp, 0), MKT_OK);
    expect_err("no keys yet", mkt_sdp_crypto_session(c->r, &sdp, 0, &cs), MKT_E_NO_SESSION);
    expect_err("answer", mkt_sdp_make_answer(c->r, NULL, &back), MKT_OK);
    expect_err("one answer", mkt_sdp_make_answer(c->r, NULL, &back), MKT_E_STATE);
    struct mkt_sdp answer = described(HEAD MSRP, &back, "");
    expect_err("take", mkt_sdp_take_answer(c->i, &answer, 0), MKT_OK);
    ck_assert(!mkt_csb_repeated(c->i));
    /* a 183 had it, and the 200 has it again */
    expect_err("again", mkt_sdp_take_answer(c->i, &answer, 0), MKT_OK);
    ck_assert(mkt_csb_repeated(c->i));
    expect_same_tek(c, 1, _i == 0 ? 32 : 16);
    expect_err("session", mkt_sdp_crypto_session(c->i, &sdp, 0, &cs), MKT_OK);
    ck_assert_uint_eq(cs.cs_id, 1);
    call_free(c);
}
END_TEST

/* The line is the one that mkt_sdp_key_mgmt_encode() writes of the same message, whatever stands before it in the
 * buffer. */
START_TEST(the_same_as_in_two_calls)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO"), *d = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf put = line_of(0), made = line_of(1), measured = {NULL, 0, 3};
    make_init(c);
    make_ticket(d);
    expect_err("put", mkt_sdp_key_mgmt_encode(init_of(c), &put), MKT_OK);
    const size_t next = d->alice.next_random; /* both draw the same octets, and measuring draws some */
    expect_err("measure", mkt_sdp_make_offer(d->i, &d->offer, &measured), MKT_OK);
    d->alice.next_random = next;
    memcpy(made.p, "abc", 3);
    made.n = 3;
    expect_err("make", mkt_sdp_make_offer(d->i, &d->offer, &made), MKT_OK);
    ck_assert_uint_eq(measured.n, made.n);
    expect_octets("before", (struct mkt_span){made.p, 3}, mkt_span_text("abc"));
    expect_octets("line", (struct mkt_span){made.p + 3, made.n - 3}, (struct mkt_span){put.p, put.n});
    call_free(c);
    call_free(d);
}
END_TEST

/* What does not fit leaves the bundle as it was, and the line fits to the octet. */
START_TEST(a_small_buffer)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf line = line_of(0), measured = {NULL, 0, 0};
    make_ticket(c);
    const struct mkt_span before = stored(c->i);
    expect_err("measure", mkt_sdp_make_offer(c->i, &c->offer, &measured), MKT_OK);
    for (line.cap = 0; line.cap < measured.n; line.cap++) {
        expect_err("small", mkt_sdp_make_offer(c->i, &c->offer, &line), MKT_E_BUFFER);
        ck_assert_uint_eq(line.n, 0);
    }
    expect_octets("bundle", stored(c->i), before);
    expect_err("just enough", mkt_sdp_make_offer(c->i, &c->offer, &line), MKT_OK);
    ck_assert_uint_eq(line.n, line.cap);
    call_free(c);
}
END_TEST

START_TEST(refused_and_as_it_was)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf line, back = line_of(1), none = line_of(2);
    make_ticket(c);
    struct mkt_sdp sdp = offered(c, &line);
    struct mkt_sdp bare = described(HEAD MSRP, &none, ""),
                   twice = described(HEAD MSRP, &line, "a=key-mgmt:mikey x\r\n");
    struct mkt_sdp no_base64 = described(HEAD MSRP "a=key-mgmt:mikey AR==\r\n", &none, "");
    struct mkt_sdp one_octet = described(HEAD MSRP "a=key-mgmt:mikey AQ==\r\n", &none, "");
    struct mkt_sdp more = described(HEAD MSRP, &line, "a=key-mgmt:keyp1 x\r\n");
    struct mkt_sdp many = described(HEAD MSRP, &line,
                                    "a=key-mgmt:" /* 128 octets */
                                    "k0123456789k0123456789k0123456789k0123456789k0123456789"
                                    "k0123456789k0123456789k0123456789k0123456789k0123456789"
                                    "k0123456789k0123456789 x\r\n");
    const struct mkt_span before = stored(c->r);
    expect_err("no message", mkt_sdp_take_offer(c->r, &bare, 0), MKT_E_MISSING);
    expect_err("no section", mkt_sdp_take_offer(c->r, &sdp, 1), MKT_E_MISSING);
    expect_err("two messages", mkt_sdp_take_offer(c->r, &twice, 0), MKT_E_SDP);
    expect_err("no base64", mkt_sdp_take_offer(c->r, &no_base64, 0), MKT_E_BASE64);
    expect_err("one octet", mkt_sdp_take_offer(c->r, &one_octet, 0), MKT_E_TRUNCATED);
    expect_err("a list that was changed", mkt_sdp_take_offer(c->r, &more, 0), MKT_E_PROTOCOLS);
    expect_err("a list that is too long", mkt_sdp_take_offer(c->r, &many, 0), MKT_E_TOO_MANY);
    expect_err("an offer is no answer", mkt_sdp_take_answer(c->r, &sdp, 0), MKT_E_DATA_TYPE);
    expect_octets("bundle", stored(c->r), before);
    expect_err("take", mkt_sdp_take_offer(c->r, &sdp, 0), MKT_OK);
    expect_err("answer", mkt_sdp_make_answer(c->r, NULL, &back), MKT_OK);
    struct mkt_sdp answer = described(HEAD MSRP, &back, "");
    const struct mkt_span waits = stored(c->i);
    expect_err("an answer is no offer", mkt_sdp_take_offer(c->i, &answer, 0), MKT_E_DATA_TYPE);
    expect_err("an answer is due", mkt_sdp_take_answer(c->i, &bare, 0), MKT_E_MISSING);
    expect_octets("bundle", stored(c->i), waits);
    expect_err("take", mkt_sdp_take_answer(c->i, &answer, 0), MKT_OK);
    ck_assert(!mkt_csb_repeated(c->i));
    expect_err("nothing is due", mkt_sdp_take_answer(c->i, &bare, 0), MKT_OK);
    ck_assert_msg(mkt_csb_repeated(c->i), "an answer without a message brings no new key");
    expect_err("no section", mkt_sdp_take_answer(c->i, &bare, 1), MKT_E_MISSING);
    expect_err("log", c->alice.logged, MKT_E_MISSING);
    call_free(c);
}
END_TEST

/* A message that the bundle has no room for is refused, and one that it has room for is taken then. */
START_TEST(a_message_that_is_too_large)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf line, large = line_of(1);
    make_ticket(c);
    struct mkt_sdp sdp = offered(c, &line);
    expect_err("large", mkt_sdp_key_mgmt_encode((struct mkt_span){octets[2], 5000}, &large), MKT_OK);
    struct mkt_sdp too_large = described(HEAD MSRP, &large, "");
    const struct mkt_span before = stored(c->r);
    expect_err("large", mkt_sdp_take_offer(c->r, &too_large, 0), MKT_E_BUNDLE_FULL);
    expect_octets("bundle", stored(c->r), before);
    expect_err("take", mkt_sdp_take_offer(c->r, &sdp, 0), MKT_OK);
    call_free(c);
}
END_TEST

static size_t errors;

static void count_errors(void *user, const struct mkt_error_message *error)
{
    (void)user;
    ck_assert(error->authenticated && error->number == mkt_err_number(MKT_E_SP));
    errors++;
}

/* An Error message stands where an offer or an answer would, and is taken as one. */
START_TEST(an_error_in_place_of_an_answer)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t made[1024];
    struct mkt_buf line, error = {made, sizeof made, 0}, back = line_of(1);
    make_ticket(c);
    c->alice.host.error = count_errors;
    struct mkt_sdp sdp = offered(c, &line);
    expect_err("take", mkt_sdp_take_offer(c->r, &sdp, 0), MKT_OK);
    expect_err("error", mkt_csb_make_error(c->r, (struct mkt_span){NULL, 0}, MKT_E_SP, NULL, 0, &error), MKT_OK);
    expect_err("line", mkt_sdp_key_mgmt_encode((struct mkt_span){made, error.n}, &back), MKT_OK);
    struct mkt_sdp with_error = described(HEAD MSRP, &back, "");
    errors = 0;
    expect_err("in an answer", taken(mkt_sdp_take_answer(c->i, &with_error, 0)), MKT_OK);
    ck_assert_uint_eq(errors, 1);
    ck_assert(!mkt_csb_ready(c->i));
    c->alice.n_seen = 0; /* an Error message is taken once */
    expect_err("in an offer", taken(mkt_sdp_take_offer(c->i, &with_error, 0)), MKT_OK);
    ck_assert_uint_eq(errors, 2);
    call_free(c);
}
END_TEST

/* The response that refuses an offer: about the one that was taken, with a MAC, or else about the one in the SDP. */
START_TEST(an_error_in_one_line)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf line, back = line_of(1), measured = {NULL, 0, 0};
    make_ticket(c);
    struct mkt_sdp sdp = offered(c, &line), none = described(HEAD MSRP, &back, "");
    for (unsigned taken = 0; taken <= 1; taken++) {
        const struct mkt_span before = stored(c->r);
        struct mkt_sdp *about = taken == 1 ? NULL : &sdp;
        back.n = 0;
        if (taken == 0) {
            expect_err("no offer", mkt_sdp_make_error(c->r, NULL, 0, MKT_E_SP, NULL, 0, &back), MKT_E_ARGUMENT);
            expect_err("no message", mkt_sdp_make_error(c->r, &none, 0, MKT_E_SP, NULL, 0, &back), MKT_E_MISSING);
            expect_err("no section", mkt_sdp_make_error(c->r, &sdp, 1, MKT_E_SP, NULL, 0, &back), MKT_E_MISSING);
        }
        expect_err("no error", mkt_sdp_make_error(c->r, about, 0, MKT_OK, NULL, 0, &back), MKT_E_ARGUMENT);
        expect_err("measure", mkt_sdp_make_error(c->r, about, 0, MKT_E_SP, NULL, 0, &measured), MKT_OK);
        for (back.cap = 0; back.cap < measured.n; back.cap++)
            expect_err("small", mkt_sdp_make_error(c->r, about, 0, MKT_E_SP, NULL, 0, &back), MKT_E_BUFFER);
        expect_octets("bundle", stored(c->r), before);
        expect_err("just enough", mkt_sdp_make_error(c->r, about, 0, MKT_E_SP, NULL, 0, &back), MKT_OK);
        ck_assert_uint_eq(back.n, measured.n);
        struct mkt_sdp with_error = described(HEAD MSRP, &back, "");
        const enum mkt_err why = mkt_error_of_number(mkt_err_number(MKT_E_SP));
        expect_err("the Initiator", mkt_sdp_take_answer(c->i, &with_error, 0), why);
        ck_assert(c->alice.authenticated == (taken == 1));
        if (taken == 0)
            expect_err("take", mkt_sdp_take_offer(c->r, &sdp, 0), MKT_OK);
        measured.n = 0;
        back = line_of(1);
    }
    call_free(c);
}
END_TEST

/* Too few octets for a data type, or for more than that. */
START_TEST(a_message_of_few_octets)
{
    static const char *const cut[] = {"AQ==", "AQ4=", "AQ4U"}; /* HDR of a TRANSFER_INIT: version, data type, ... */
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf none = line_of(0);
    make_ticket(c);
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        char line[64];
        snprintf(line, sizeof line, "a=key-mgmt:mikey %s\r\n", cut[i]);
        struct mkt_sdp sdp = described(HEAD MSRP, &none, line);
        const struct mkt_span before = stored(c->r);
        expect_err(cut[i], mkt_sdp_take_offer(c->r, &sdp, 0), MKT_E_TRUNCATED);
        expect_octets("bundle", stored(c->r), before);
    }
    call_free(c);
}
END_TEST

START_TEST(without_answer)
{
    struct call *c = call_new(MKT_SUITE_256, "DHJLNO");
    struct mkt_buf line, back = line_of(1), none = line_of(2);
    make_ticket(c);
    struct mkt_sdp sdp = offered(c, &line), answer = described(HEAD MSRP, &none, "");
    expect_err("take", mkt_sdp_take_offer(c->r, &sdp, 0), MKT_OK);
    expect_err("no answer", mkt_sdp_make_answer(c->r, NULL, &back), MKT_E_STATE);
    expect_err("nothing is due", mkt_sdp_take_answer(c->i, &answer, 0), MKT_OK);
    expect_err("an offer is no answer", mkt_sdp_take_answer(c->i, &sdp, 0), MKT_E_DATA_TYPE);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

/* ---- RFC 4567 7.1, design decision D32 ---- */

/* A message of the session level with these CS IDs, taken by Bob and answered. */
static void share(struct call *c, const struct mkt_cs cs[], size_t n, struct mkt_buf *line)
{
    struct mkt_buf back = line_of(1);
    struct mkt_key_wish keys[4];
    for (size_t i = 0; i < n; i++)
        keys[i] = one_tgk;
    c->settings_i.max_sessions = c->settings_r.max_sessions = 4;
    c->recipe.keys = keys;
    c->recipe.n_keys = n;
    c->offer.cs = cs;
    c->offer.n_cs = n;
    make_ticket(c);
    *line = line_of(0);
    expect_err("offer", mkt_sdp_make_offer(c->i, &c->offer, line), MKT_OK);
    struct mkt_sdp offer = described(HEAD, line, MSRP BFCP);
    expect_err("offer", mkt_sdp_take_offer(c->r, &offer, MKT_SDP_SESSION), MKT_OK);
    expect_err("answer", mkt_sdp_make_answer(c->r, NULL, &back), MKT_OK);
    struct mkt_sdp answer = described(HEAD, &back, MSRP BFCP);
    expect_err("answer", mkt_sdp_take_answer(c->i, &answer, 1), MKT_OK);
}

static void session_is(const struct call *c, struct mkt_sdp sdp, size_t media, enum mkt_err err, uint8_t cs_id)
{
    const struct mkt_csb *const ends[] = {c->i, c->r};
    for (size_t i = 0; i < 2; i++) {
        struct mkt_cs cs = {.cs_id = 99};
        expect_err("session", mkt_sdp_crypto_session(ends[i], &sdp, media, &cs), err);
        ck_assert_uint_eq(cs.cs_id, err == MKT_OK ? cs_id : 99);
    }
}

START_TEST(sections_that_share_a_message)
{
    static const struct mkt_cs cs[] = {{.cs_id = 1, .prot_type = 241},
                                       {.cs_id = 5, .prot_type = 241},
                                       {.cs_id = 2, .prot_type = 241},
                                       {.cs_id = 255, .prot_type = 241}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf line, none = line_of(2);
    char many[9000] = "";
    share(c, cs, 4, &line);
    /* "MIKEY allocates, e.g., the Crypto Sessions Identifiers '1' and '2' for the first m line, and '3' and '4' for the
       second": all m= lines count */
    const struct mkt_sdp sdp = described(HEAD, &line, MSRP "m=audio 9 RTP/AVP 0\r\n" BFCP);
    session_is(c, sdp, 0, MKT_OK, 1);
    session_is(c, sdp, 1, MKT_E_NO_SESSION, 0);
    session_is(c, sdp, 2, MKT_OK, 5);
    session_is(c, sdp, 3, MKT_E_MISSING, 0);
    session_is(c, sdp, MKT_SDP_SESSION, MKT_E_NO_SESSION, 0);
    const struct mkt_span first = tek_of(c->i, 1), third = tek_of(c->i, 5);
    ck_assert(!mkt_span_equal(first, third));
    expect_octets("TEK", tek_of(c->r, 5), third);
    /* 255 is the last CS ID, and no number wraps around */
    for (size_t i = 0; i < 260; i++)
        strcat(many, BFCP);
    const struct mkt_sdp all = described(HEAD, &line, many);
    session_is(c, all, 127, MKT_OK, 255);
    for (size_t media = 126; media < 260; media += media == 126 ? 2 : 1)
        session_is(c, all, media, MKT_E_NO_SESSION, 0);
    session_is(c, described(HEAD, &none, MSRP BFCP), 0, MKT_E_MISSING, 0);
    call_free(c);
}
END_TEST

START_TEST(a_section_with_a_message_of_its_own)
{
    static const struct mkt_cs cs = {.cs_id = 7, .prot_type = 241};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf line;
    share(c, &cs, 1, &line);
    /* D11: any CS ID */
    session_is(c, described(HEAD MSRP BFCP, &line, ""), 1, MKT_OK, 7);
    session_is(c, described(HEAD MSRP BFCP, &line, ""), 0, MKT_E_MISSING, 0);
    session_is(c, described(HEAD, &line, MSRP), 0, MKT_OK, 7);
    session_is(c, described(HEAD, &line, MSRP BFCP), 0, MKT_E_NO_SESSION, 0);
    session_is(c, described(HEAD, &line, MSRP BFCP), 1, MKT_E_NO_SESSION, 0);
    session_is(c, described(HEAD, &line, MSRP BFCP "a=key-mgmt:mikey AQ==\r\n"), 1, MKT_OK, 7);
    session_is(c, described(HEAD, &line, MSRP BFCP "a=key-mgmt:keyp1 AQ==\r\n"), 1, MKT_E_MISSING, 0);
    session_is(c, described(HEAD, &line, MSRP BFCP "a=key-mgmt:mikey\r\n"), 1, MKT_E_SDP, 0);
    call_free(c);
}
END_TEST

/* ---- updates, with what is kept of an exchange ---- */

/* What an end keeps of a stream: the object, and the line that it sent last. */
struct end {
    struct mkt_csb *csb;
    struct mkt_sdp_kept kept;
    struct mkt_buf sent;
};

static enum mkt_keying keying_of(const struct end *end, struct mkt_sdp offer, size_t media, bool offerer)
{
    enum mkt_keying keying;
    expect_err("keying", mkt_connection_keying(&offer, media, offerer, &end->kept, &keying), MKT_OK);
    return keying;
}

/* An offer with that line, and its answer: both ends come to the same. */
static void exchange(struct end *from, const struct mkt_buf *line, struct end *to, enum mkt_keying want)
{
    struct mkt_sdp offer = described(HEAD MSRP, line, "");
    const enum mkt_keying keying = keying_of(to, offer, 0, false);
    ck_assert_int_eq(keying, want);
    ck_assert_int_eq(keying_of(from, offer, 0, true), want);
    if (keying == MKT_KEYING_NEW) {
        to->sent.n = 0;
        expect_err("take", mkt_sdp_take_offer(to->csb, &offer, 0), MKT_OK);
        expect_err("make", mkt_sdp_make_answer(to->csb, NULL, &to->sent), MKT_OK);
    }
    struct mkt_sdp answer = described(HEAD MSRP, &to->sent, "");
    struct mkt_sdp_exchange now = {.size = sizeof now, .offerer = true, .offer = &offer, .answer = &answer};
    struct mkt_connection at_from, at_to;
    expect_err("from", mkt_connection_decide(&now, &from->kept, 0, &at_from, &from->kept), MKT_OK);
    now.offerer = false;
    expect_err("to", mkt_connection_decide(&now, &to->kept, 0, &at_to, &to->kept), MKT_OK);
    ck_assert_int_eq(at_from.keying, want);
    ck_assert_int_eq(at_to.keying, want);
    if (at_from.keying == MKT_KEYING_NEW)
        expect_err("answer", mkt_sdp_take_answer(from->csb, &answer, 0), MKT_OK);
}

START_TEST(an_update_that_was_given_up)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    const struct mkt_update update = {.size = sizeof update, .keys = &one_tgk, .n_keys = 1};
    struct mkt_buf given_up = line_of(2), again = line_of(3);
    make_ticket(c);
    struct end alice = {.csb = c->i, .sent = line_of(0)}, bob = {.csb = c->r, .sent = line_of(1)};
    expect_err("offer", mkt_sdp_make_offer(c->i, &c->offer, &alice.sent), MKT_OK);
    exchange(&alice, &alice.sent, &bob, MKT_KEYING_NEW);
    const struct mkt_span tek = tek_of(c->i, 1);

    /* 491: no answer comes, and what was kept stays */
    c->alice.now += (mkt_ntp)1 << 32;
    expect_err("update", mkt_sdp_make_update(c->i, &update, &given_up), MKT_OK);
    const struct mkt_sdp draft = described(HEAD MSRP, &given_up, "");
    ck_assert_int_eq(keying_of(&bob, draft, 0, false), MKT_KEYING_NEW);
    mkt_csb_abandon(c->i);

    /* the line of the last exchange that succeeded is the one to repeat; the last that was sent is not */
    ck_assert_int_eq(keying_of(&alice, described("", &alice.sent, ""), MKT_SDP_SESSION, true), MKT_KEYING_SAME);
    ck_assert_int_eq(keying_of(&alice, described("", &given_up, ""), MKT_SDP_SESSION, true), MKT_KEYING_NEW);
    exchange(&alice, &alice.sent, &bob, MKT_KEYING_SAME);
    expect_octets("TEK", tek_of(c->r, 1), tek);

    /* the next update is answered, and its line is the one to repeat then */
    c->alice.now += (mkt_ntp)1 << 32;
    c->bob.now += (mkt_ntp)2 << 32;
    expect_err("update", mkt_sdp_make_update(c->i, &update, &again), MKT_OK);
    const struct mkt_buf first_line = alice.sent;
    exchange(&alice, &again, &bob, MKT_KEYING_NEW);
    alice.sent = again;
    expect_same_tek(c, 1, 32);
    ck_assert(!mkt_span_equal(tek_of(c->i, 1), tek));
    exchange(&alice, &alice.sent, &bob, MKT_KEYING_SAME);
    ck_assert_int_eq(keying_of(&alice, described("", &first_line, ""), MKT_SDP_SESSION, true), MKT_KEYING_NEW);
    /* Bob's offer repeats the line of his answer */
    exchange(&bob, &bob.sent, &alice, MKT_KEYING_SAME);
    call_free(c);
}
END_TEST

/* MKT_FIRST_CS is the first session, unless a session has that CS ID. */
START_TEST(the_first_session)
{
    static const struct mkt_cs without[] = {{.cs_id = 7, .prot_type = 241}, {.cs_id = 3, .prot_type = 241}},
                               with[] = {{.cs_id = 7, .prot_type = 241}, {.cs_id = 0, .prot_type = 241}};
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    uint8_t names[2][128];
    struct mkt_buf line, name[] = {{names[0], sizeof names[0], 0}, {names[1], sizeof names[1], 0}};
    struct mkt_sp sp;
    share(c, _i == 0 ? without : with, 2, &line);
    expect_octets("TEK", tek_of(c->i, MKT_FIRST_CS), tek_of(c->r, _i == 0 ? 7 : 0));
    ck_assert(mkt_span_equal(tek_of(c->i, MKT_FIRST_CS), tek_of(c->i, 7)) == (_i == 0));
    expect_err("name", mkt_csb_psk_identity(c->i, MKT_FIRST_CS, &name[0]), MKT_OK);
    expect_err("name", mkt_csb_psk_identity(c->r, _i == 0 ? 7 : 0, &name[1]), MKT_OK);
    expect_octets("name", mkt_buf_span(&name[0]), mkt_buf_span(&name[1]));
    expect_err("policy", mkt_csb_sp(c->i, MKT_FIRST_CS, &sp), MKT_OK);
    expect_err("no such session", mkt_csb_sp(c->i, 1, &sp), MKT_E_NO_SESSION);
    call_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("offered");
    TCase *tcase = tcase_create("offered");
    tcase_add_loop_test(tcase, a_call, 0, 2);
    tcase_add_test(tcase, the_same_as_in_two_calls);
    tcase_add_test(tcase, a_small_buffer);
    tcase_add_test(tcase, refused_and_as_it_was);
    tcase_add_test(tcase, a_message_that_is_too_large);
    tcase_add_test(tcase, an_error_in_place_of_an_answer);
    tcase_add_test(tcase, an_error_in_one_line);
    tcase_add_test(tcase, a_message_of_few_octets);
    tcase_add_test(tcase, without_answer);
    tcase_add_test(tcase, sections_that_share_a_message);
    tcase_add_loop_test(tcase, the_first_session, 0, 2);
    tcase_add_test(tcase, a_section_with_a_message_of_its_own);
    tcase_add_test(tcase, an_update_that_was_given_up);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
