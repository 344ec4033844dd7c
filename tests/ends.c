/* SPDX-License-Identifier: BSD-3-Clause */
/* How connections end when TCP takes little at a time, or the peer sends what it should not: what the peer hears. */

#include "line.h"
#include "sizes.h"

#include <mikeyticket/streams.h>

#include <mbedtls/net_sockets.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#else
#define MBEDTLS_PRIVATE(member) member
#endif

/* TLS 1.2 and, if there is one, 1.3. */
static const char *const versions[] = {
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
#if MBEDTLS_VERSION_MAJOR >= 3
    "TLS1-3-AES-128-GCM-SHA256",
#endif
};
enum { VERSIONS = sizeof versions / sizeof *versions, ROLES = 2, WAYS = VERSIONS * ROLES };

enum {
    SEVEN = 7,
    UNEXPECTED_MESSAGE = 10,
    DECODE_ERROR = 50,
    INTERNAL_ERROR = 80,
    PLENTY = 1 << 16,
    OCTETS = 40,
    WARNING = 7
};

/* One stream of a number, on a line of which one end is its own. */
struct call {
    struct mkt_streams *streams;
    struct line *line;
    struct end *ours, *peer;
    size_t room;             /* octets that TCP takes from us now */
    int broken;              /* what TCP answers in place of taking some, or 0 */
    size_t piece;            /* octets that TCP has for us at a time */
    size_t answer;           /* where our octets begin that were sent after the last that came */
    size_t warned, warnings; /* octets of warnings that came after all that the peer said; how many can come */
    unsigned ended, failed;
    enum mkt_tls_state how;
    enum mkt_err err;            /* of mkt_streams_handshake() */
    struct mkt_tls_failure told; /* what `failed` was told; what it points to, below */
    char identity[4 * 64 + sizeof "..."];
    uint16_t suites[256];
};

static int put_some(void *user, const unsigned char *octets, size_t n)
{
    struct call *call = user;
    if (call->broken != 0)
        return call->broken;
    if (n > call->room)
        n = call->room;
    call->room -= n;
    return n == 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : put(call->ours, octets, n);
}

static int get_some(void *user, unsigned char *octets, size_t n)
{
    struct call *call = user;
    const int got = get(call->ours, octets, n < call->piece ? n : call->piece);
    if (got > 0)
        call->answer = call->ours->sent.n;
    if (got > 0 || call->warned >= call->warnings)
        return got;
    size_t i = 0;
    for (; i < n && (i == 0 || call->warned % WARNING != 0); i++)
        octets[i] = (uint8_t) "\x15\3\3\0\2\1\x5a"[call->warned++ % WARNING]; /* user_canceled */
    return (int)i;
}

static void ended(void *user, uint64_t stream, enum mkt_tls_state how)
{
    struct call *call = user;
    ck_assert_uint_eq(stream, SEVEN);
    call->ended++;
    call->how = how;
}

static void failed(void *user, const struct mkt_tls_failure *failure)
{
    struct call *call = user;
    ck_assert_ptr_eq(failure->ssl, &call->ours->ssl);
    ck_assert_uint_lt(strlen(failure->identity), sizeof call->identity);
    ck_assert_uint_le(failure->n_suites, sizeof call->suites / sizeof *call->suites);
    call->failed++;
    call->told = *failure;
    strcpy(call->identity, failure->identity);
    memcpy(call->suites, failure->suites, failure->n_suites * sizeof *call->suites);
}

static int shake_ours(struct end *end)
{
    struct call *call = end->user;
    int result;
    call->err = mkt_streams_handshake(call->streams, &end->ssl, &result);
    return result;
}

/* What the two ends of a call have. */
struct plan {
    const char *ours, *theirs; /* suites */
    bool as_client, bound, hide;
    const char *key;          /* the peer's */
    struct mkt_span identity; /* the same */
};

/* A call in which neither end has said anything. Ours has the stream, with the key KEY_32 and the identity NAME. */
static struct call *call_new(struct plan plan)
{
    const uint64_t seven = SEVEN;
    struct call *call = calloc(1, sizeof *call);
    ck_assert_ptr_nonnull(call);
    call->room = call->piece = PLENTY;
    call->line = line_new();
    call->ours = plan.as_client ? &call->line->client : &call->line->server;
    call->peer = call->ours->peer;
    call->ours->user = call;
    call->ours->handshake = shake_ours;

    const struct mkt_streams_settings all = {.size = sizeof all,
                                             .rng = mbedtls_ctr_drbg_random,
                                             .rng_user = &call->line->drbg,
                                             .most = 8,
                                             .hide_identities = plan.hide,
                                             .user = call,
                                             .ended = ended,
                                             .failed = failed};
    const struct mkt_tls_settings own = {.size = sizeof own, .suites = mkt_span_text(plan.ours)};
    const struct mkt_tls_settings other = {.size = sizeof other,
                                           .suites = mkt_span_text(plan.theirs),
                                           .end = plan.as_client ? MKT_END_SERVER : MKT_END_CLIENT};
    const struct mkt_tls_bio bio = {.user = call, .send = put_some, .receive = get_some};
    expect_err("new", mkt_streams_new(&call->streams, &all), MKT_OK);
    expect_err("add", mkt_streams_add(call->streams, SEVEN, from_hex(KEY_32), mkt_span_text(NAME)), MKT_OK);
    expect_err("bind", mkt_streams_bind(call->streams, &call->ours->ssl, plan.bound ? &seven : NULL, &bio), MKT_OK);
    expect_err("ours",
               plan.as_client
                   ? set_up_client(call->streams, &call->ours->ssl, &call->ours->conf, &call->ours->tls, &own)
                   : set_up_server(call->streams, &call->ours->conf, &call->ours->tls, &own),
               MKT_OK);
    ck_assert_int_eq(mbedtls_ssl_setup(&call->ours->ssl, &call->ours->conf), 0);

    const struct mkt_span key = from_hex(plan.key);
    int cause;
    expect_err("suites", mkt_tls_choose(&call->peer->tls, &other), MKT_OK);
    expect_err("peer", mkt_tls_configure(&call->peer->conf, &call->peer->tls, &cause), MKT_OK);
    ck_assert_int_eq(mbedtls_ssl_conf_psk(&call->peer->conf, key.p, key.n, plan.identity.p, plan.identity.n), 0);
    start(call->peer);
    return call;
}

/* A way is a version, then a role. */
static struct plan plan_of(int way)
{
    const bool as_client = way / VERSIONS % ROLES == 1;
    return (struct plan){.ours = versions[way % VERSIONS],
                         .theirs = versions[way % VERSIONS],
                         .as_client = as_client,
                         .bound = as_client,
                         .key = KEY_32,
                         .identity = mkt_span_text(NAME)};
}

/* A call that is connected, and all octets of the handshake are read. */
static struct call *connected(int way)
{
    struct call *call = call_new(plan_of(way));
    shake(call->line);
    expect_connected(call->line);
    ck_assert_uint_eq(call->failed, 0);
    return call;
}

static void call_free(struct call *call)
{
    mkt_streams_free(call->streams);
    line_free(call->line);
    free(call);
    free_all();
}

static int read_some(struct end *end, unsigned char *octets, size_t n)
{
    int result = MBEDTLS_ERR_SSL_WANT_READ;
    for (int i = 0; i < 5 && result == MBEDTLS_ERR_SSL_WANT_READ; i++)
        result = mbedtls_ssl_read(&end->ssl, octets, n);
    return result;
}

/* How many whole records there are in what an end sent from an octet on; nothing may be left over. */
static size_t records(const struct end *end, size_t from)
{
    size_t n = 0;
    while (from + 5 <= end->sent.n) {
        from += 5 + ((size_t)end->sent.octets[from + 3] << 8 | end->sent.octets[from + 4]);
        n++;
    }
    ck_assert_uint_eq(from, end->sent.n);
    return n;
}

/* ---- a stranger who never stops ---- */

/* mbedTLS reads warnings until none is left, so they could keep the thread for ever. They may come first, or after the
 * first flight of a client. */
START_TEST(warnings_without_end_end_a_handshake)
{
    const bool first = _i / WAYS == 1;
    struct call *call = call_new(plan_of(_i % WAYS));
    int result;
    if (!first && call->peer == &call->line->client)
        go_on(call->peer);
    call->warnings = 1 << 24;
    expect_err("handshake", mkt_streams_handshake(call->streams, &call->ours->ssl, &result), MKT_E_TLS);
    ck_assert_uint_le(call->warned, 1 << 18);
    ck_assert_uint_eq(call->failed, 1);
    ck_assert_int_eq(call->told.how, MKT_TLS_FAILED);
    if (first || _i % VERSIONS == 0) /* else it is protected */
        ck_assert_int_ge(alert_of(call->ours), 0);
    ck_assert_uint_eq(mkt_streams_count(call->streams), 1);
    call_free(call);
}
END_TEST

/* Once the key is proven, any number of octets may come. */
START_TEST(a_connection_may_have_any_number_of_octets)
{
    struct call *call = connected(_i);
    unsigned char octets[1 << 12] = {0};
    for (int i = 0; i < 200; i++) {
        call->peer->sent.n = call->peer->sent.read = 0;
        ck_assert_int_eq(mbedtls_ssl_write(&call->peer->ssl, octets, sizeof octets), sizeof octets);
        ck_assert_int_eq(read_some(call->ours, octets, sizeof octets), sizeof octets);
    }
    call_free(call);
}
END_TEST

/* ---- close_notify after what was written before ---- */

/* That the peer reads what was written, then close_notify, then nothing. */
static void expect_all_then_close(struct call *call, const unsigned char octets[OCTETS])
{
    unsigned char got[OCTETS + 1];
    ck_assert_int_eq(read_some(call->peer, got, sizeof got), OCTETS);
    ck_assert_mem_eq(got, octets, OCTETS);
    ck_assert_int_eq(read_some(call->peer, got, sizeof got), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    ck_assert_uint_eq(call->ours->sent.read, call->ours->sent.n);
}

static void expect_ended(struct call *call, enum mkt_tls_state how)
{
    uint64_t stream;
    ck_assert_uint_eq(call->ended, 1);
    ck_assert_int_eq(call->how, how);
    ck_assert_uint_eq(call->failed, 0);
    ck_assert_uint_eq(mkt_streams_count(call->streams), 0);
    expect_err("find", mkt_streams_find(call->streams, &call->ours->ssl, &stream), MKT_E_NO_SESSION);
}

/* What happens while the octets can't go out. */
enum { DRAINS, DRAINS_AT_ONCE, IS_GIVEN_UP, BREAKS, TURNS };

/* Closes, or answers close_notify; answers if all of it went out. */
static bool end_it(struct call *call, bool peer_closes)
{
    unsigned char octet;
    if (peer_closes) {
        ck_assert_int_eq(mbedtls_ssl_close_notify(&call->peer->ssl), 0);
        const int result = mbedtls_ssl_read(&call->ours->ssl, &octet, 1);
        ck_assert_int_eq(result, MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
        const enum mkt_tls_state state = mkt_streams_status(call->streams, &call->ours->ssl, result);
        ck_assert_msg(state == MKT_TLS_CLOSING || state == MKT_TLS_CLOSED, "state %d", state);
        return state == MKT_TLS_CLOSED;
    }
    const enum mkt_err err = mkt_streams_close(call->streams, &call->ours->ssl);
    ck_assert_msg(err == MKT_E_AGAIN || err == MKT_OK, "%s", mkt_err_name(err));
    return err == MKT_OK;
}

/* TCP takes `room` octets of what is written. Answers if that was the whole of it, with close_notify. */
static bool closes(int way, bool peer_closes, int turn, size_t room)
{
    struct call *call = connected(way);
    const size_t from = call->ours->sent.n;
    mbedtls_ssl_context *ssl = &call->ours->ssl;
    unsigned char octets[OCTETS];
    memset(octets, 'x', sizeof octets);
    call->room = room;
    const int written = mbedtls_ssl_write(ssl, octets, sizeof octets);
    ck_assert_int_eq(written, call->ours->sent.n - from == room && written < 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : OCTETS);
    const bool whole = end_it(call, peer_closes);
    expect_ended(call, MKT_TLS_CLOSED);
    ck_assert_uint_le(call->ours->sent.n - from, room);

    enum mkt_err err = whole ? MKT_OK : MKT_E_AGAIN;
    if (turn == DRAINS_AT_ONCE)
        call->room = PLENTY;
    if (turn == BREAKS)
        call->broken = MBEDTLS_ERR_NET_CONN_RESET;
    if (turn == IS_GIVEN_UP)
        mkt_streams_forget(call->streams, ssl);
    for (int i = 0; i < PLENTY && err == MKT_E_AGAIN && turn != IS_GIVEN_UP; i++) {
        call->room += turn == DRAINS;
        err = mkt_streams_close(call->streams, ssl);
    }
    if (whole || turn <= DRAINS_AT_ONCE) {
        ck_assert_int_eq(err, MKT_OK);
        ck_assert_uint_eq(records(call->ours, from), 2);
        expect_all_then_close(call, octets);
    } else if (turn == BREAKS) {
        ck_assert_int_eq(err, MKT_E_TLS);
    }

    /* after that the connection is nobody's */
    const size_t sent = call->ours->sent.n;
    call->room = PLENTY;
    call->broken = 0;
    expect_err("close", mkt_streams_close(call->streams, ssl), MKT_E_NO_SESSION);
    ck_assert_int_lt(mbedtls_ssl_write(ssl, octets, sizeof octets), 0);
    ck_assert_uint_eq(call->ours->sent.n, sent);
    expect_ended(call, MKT_TLS_CLOSED);
    call_free(call);
    return whole;
}

/* RFC 5246 7.2.1, with any number of octets that TCP takes: each party sends close_notify before it closes. */
START_TEST(close_notify_comes_after_what_was_written)
{
    const int way = _i % WAYS, turn = _i / WAYS % TURNS;
    const bool peer_closes = _i / WAYS / TURNS == 1;
    size_t room = 0;
    while (!closes(way, peer_closes, turn, room))
        room += turn == DRAINS && !RUNNING_ON_VALGRIND ? 1 : 7;
    ck_assert_uint_gt(room, OCTETS);
}
END_TEST

/* A loop that goes on reading, and asks how the session stands, loses no close_notify. */
START_TEST(a_connection_that_closes_can_be_asked)
{
    struct call *call = connected(_i % WAYS);
    mbedtls_ssl_context *ssl = &call->ours->ssl;
    unsigned char octets[OCTETS] = {0}, octet;
    const size_t from = call->ours->sent.n;
    call->room = 3;
    ck_assert_int_eq(mbedtls_ssl_write(ssl, octets, sizeof octets), MBEDTLS_ERR_SSL_WANT_WRITE);
    ck_assert(!end_it(call, _i / WAYS == 1));
    const int results[] = {mbedtls_ssl_read(ssl, &octet, 1), MBEDTLS_ERR_SSL_WANT_READ, 0};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        ck_assert_int_eq(mkt_streams_status(call->streams, ssl, results[i]), MKT_TLS_CLOSING);
    call->room = PLENTY;
    ck_assert_int_eq(mkt_streams_status(call->streams, ssl, MBEDTLS_ERR_SSL_WANT_READ), MKT_TLS_CLOSED);
    ck_assert_uint_eq(records(call->ours, from), 2);
    expect_all_then_close(call, octets);
    expect_ended(call, MKT_TLS_CLOSED);
    expect_err("close", mkt_streams_close(call->streams, ssl), MKT_E_NO_SESSION);
    call_free(call);
}
END_TEST

/* ---- what a session can't take ---- */

/* What mbedTLS writes records with; no call of its API sends one of any type. */
#if MBEDTLS_VERSION_MAJOR >= 3
int mbedtls_ssl_write_record(mbedtls_ssl_context *ssl, int flush);
#else
int mbedtls_ssl_write_record(mbedtls_ssl_context *ssl, uint8_t flush);
#endif

static void send_record(struct end *end, uint8_t type, const void *octets, size_t n)
{
    mbedtls_ssl_context *ssl = &end->ssl;
    ssl->MBEDTLS_PRIVATE(out_msgtype) = type;
    ssl->MBEDTLS_PRIVATE(out_msglen) = n;
    memcpy(ssl->MBEDTLS_PRIVATE(out_msg), octets, n);
    ck_assert_int_eq(mbedtls_ssl_write_record(ssl, 1), 0);
}

/* The fatal alert that an end finds, or -1. */
static int alert_at(struct end *end)
{
    unsigned char octet;
    int result = end->result;
    if (result == 0)
        result = read_some(end, &octet, 1);
    return result == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE ? end->ssl.MBEDTLS_PRIVATE(in_msg)[1] : -1;
}

/* Types of records; CLEAR: not protected. */
enum { CCS = 20, ALERT, HANDSHAKE, CLEAR = 256 };

enum { NO_ALERT = -1 }; /* the session goes on */

/* Records after the handshake, and the alert that they get in TLS 1.2 and 1.3. */
static const struct {
    const char *what;
    int type;
    const char *octets; /* in hex */
    int alert[2];
} odd[] = {
    {"KeyUpdate", HANDSHAKE, "1800000100", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"KeyUpdate that asks for one", HANDSHAKE, "1800000101", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"Finished", HANDSHAKE, "14000000", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"CertificateRequest", HANDSHAKE, "0d000000", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"a handshake message of no type", HANDSHAKE, "ff000000", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"ChangeCipherSpec", CCS, "01", {UNEXPECTED_MESSAGE, NO_ALERT}},
    {"ChangeCipherSpec of no kind", CCS, "02", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"a record of no type", 99, "00", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"an alert of one octet", ALERT, "02", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"an empty record of a handshake", HANDSHAKE, "", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"a clear record of no type", CLEAR, "6303030001ff", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
    {"a clear record of data", CLEAR, "170303000100", {BAD_RECORD_MAC, BAD_RECORD_MAC}},
    /* mbedTLS can't tell it from a fault of its own */
    {"a clear record that is too long", CLEAR, "170303ffff00", {INTERNAL_ERROR, INTERNAL_ERROR}},
    {"another protocol", CLEAR, "474554202f20485454502f312e310d0a", {UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE}},
};
enum { ODD = sizeof odd / sizeof *odd };

/* Each gets one alert, also if an earlier write of ours waits for TCP; then the peer has that before the alert. */
START_TEST(what_cannot_be_taken_gets_an_alert)
{
    const int way = _i % WAYS, row = _i / WAYS % ODD;
    const bool pending = _i / WAYS / ODD == 1;
    struct call *call = connected(way);
    const size_t from = call->ours->sent.n;
    const struct mkt_span octets = from_hex(odd[row].octets);
    unsigned char got[OCTETS + 1] = {0};
    if (pending) {
        call->room = 9;
        ck_assert_int_eq(mbedtls_ssl_write(&call->ours->ssl, got, OCTETS), MBEDTLS_ERR_SSL_WANT_WRITE);
        call->room = PLENTY;
    }
    if (odd[row].type == CLEAR)
        put(call->peer, octets.p, octets.n);
    else
        send_record(call->peer, (uint8_t)odd[row].type, octets.p, octets.n);

    const int result = read_some(call->ours, got, sizeof got), want = odd[row].alert[way % VERSIONS];
    const enum mkt_tls_state state = mkt_streams_status(call->streams, &call->ours->ssl, result);
    if (want == NO_ALERT) {
        ck_assert_int_eq(state, MKT_TLS_OPEN);
        call_free(call);
        return;
    }
    ck_assert_int_eq(state, MKT_TLS_FAILED);
    expect_ended(call, MKT_TLS_FAILED);
    ck_assert_uint_eq(records(call->ours, from), (pending ? 2 : 1));
    if (pending)
        ck_assert_int_eq(read_some(call->peer, got, sizeof got), OCTETS);
    const int alert = alert_at(call->peer);
    ck_assert_msg(alert == want, "%s: -0x%x, alert %d", odd[row].what, (unsigned)-result, alert);
    call_free(call);
}
END_TEST

/* A KeyUpdate when TCP takes nothing: the alert can't go out, and the session ends all the same. */
START_TEST(an_alert_that_tcp_does_not_take)
{
    struct call *call = connected(_i);
    const size_t from = call->ours->sent.n;
    unsigned char octet;
    call->room = 3;
    ck_assert_int_eq(mbedtls_ssl_write(&call->ours->ssl, (const unsigned char *)"x", 1), MBEDTLS_ERR_SSL_WANT_WRITE);
    send_record(call->peer, HANDSHAKE, "\x18\0\0\1\0", 5);
    const int result = read_some(call->ours, &octet, 1);
    ck_assert_int_eq(mkt_streams_status(call->streams, &call->ours->ssl, result), MKT_TLS_FAILED);
    expect_ended(call, MKT_TLS_FAILED);
    ck_assert_uint_eq(call->ours->sent.n, from + 3);
    call_free(call);
}
END_TEST

/* ---- empty records ---- */

enum { MOST_EMPTY = 5 };

/* RFC 5246 6.2.1, RFC 8446 5.1: empty records of data are no end, and the octets after them are read. */
START_TEST(empty_records_end_nothing)
{
    const int way = _i % WAYS, n = _i / WAYS;
    struct call *call = connected(way);
    unsigned char octets[8] = {0};
    int result = MBEDTLS_ERR_SSL_WANT_READ;
    const size_t from = call->peer->sent.n;
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(mbedtls_ssl_write(&call->peer->ssl, octets, 0), 0);
    ck_assert_int_eq(mbedtls_ssl_write(&call->peer->ssl, (const unsigned char *)"data", 4), 4);
    ck_assert_uint_eq(records(call->peer, from), (size_t)n + 1);
    for (int i = 0; i <= MOST_EMPTY; i++) {
        result = mbedtls_ssl_read(&call->ours->ssl, octets, sizeof octets);
        const enum mkt_tls_state state = mkt_streams_status(call->streams, &call->ours->ssl, result);
        if (result > 0 || state != MKT_TLS_OPEN)
            break;
    }
    if (n < 4) {
        ck_assert_int_eq(result, 4);
        ck_assert_uint_eq(call->ended, 0);
        say(call->ours, call->peer, "still here");
        call->peer->sent.closed = true; /* and the end of TCP is none of them */
        result = mbedtls_ssl_read(&call->ours->ssl, octets, sizeof octets);
        ck_assert_int_eq(result, 0);
        ck_assert_int_eq(mkt_streams_status(call->streams, &call->ours->ssl, result), MKT_TLS_CUT);
        expect_ended(call, MKT_TLS_CUT);
    } else { /* mbedTLS takes four for an attack */
        ck_assert_int_eq(result, MBEDTLS_ERR_SSL_INVALID_MAC);
        expect_ended(call, MKT_TLS_FAILED);
        ck_assert_int_eq(alert_at(call->peer), BAD_RECORD_MAC);
    }
    call_free(call);
}
END_TEST

/* TCP that ends after an empty record, or after two, cuts the session. */
START_TEST(cut_after_empty_records)
{
    const int way = _i % WAYS, n = _i / WAYS;
    struct call *call = connected(way);
    unsigned char octet;
    enum mkt_tls_state state = MKT_TLS_OPEN;
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(mbedtls_ssl_write(&call->peer->ssl, &octet, 0), 0);
    call->peer->sent.closed = true;
    for (int i = 0; i <= n && state == MKT_TLS_OPEN; i++)
        state = mkt_streams_status(call->streams, &call->ours->ssl, mbedtls_ssl_read(&call->ours->ssl, &octet, 1));
    ck_assert_int_eq(state, MKT_TLS_CUT);
    expect_ended(call, MKT_TLS_CUT);
    call_free(call);
}
END_TEST

/* ---- handshakes that fail: what the peer hears, and what the host is told ---- */

/* Each octet is tried, or one of some: a handshake takes valgrind long. */
#define STEP (RUNNING_ON_VALGRIND ? 29u : 1u)

/* If our end gave up, it sent one alert, which is its only record after the peer's last; if the peer did, none. */
static void expect_one_alert(struct call *call, const char *what, size_t which)
{
    shake(call->line);
    const bool gave_up = call->told.how == MKT_TLS_FAILED;
    if (call->ours->result == 0 || call->ours->result == MBEDTLS_ERR_SSL_WANT_READ) {
        ck_assert_uint_eq(call->failed, 0);
        return;
    }
    ck_assert_uint_eq(call->failed, 1);
    const size_t n = records(call->ours, call->answer);
    ck_assert_msg(n == gave_up, "%s %zu: -0x%x, and %zu records", what, which, (unsigned)-call->ours->result, n);
    /* In TLS 1.3 a server of mbedTLS protects it with the keys of the handshake, which a client has left behind. */
    if (gave_up && call->peer->result == 0 && strcmp(mbedtls_ssl_get_version(&call->peer->ssl), "TLSv1.3") != 0)
        ck_assert_int_ne(alert_at(call->peer), -1);
}

/* Goes on to where the client has sent its second flight, with its identity in TLS 1.2, and the server has not read it. */
static void to_second_flight(struct call *call)
{
    go_on(&call->line->client);
    go_on(&call->line->server);
    go_on(&call->line->client);
}

/* Puts a body in the place of that of the handshake message that comes next to our end. Its lengths are right. */
static void replace_body(struct call *call, const uint8_t *body, size_t n)
{
    struct pipe *pipe = &call->peer->sent;
    uint8_t *record = pipe->octets + pipe->read;
    const size_t before = 5 + ((size_t)record[3] << 8 | record[4]), after = 5 + 4 + n;
    memmove(record + after, record + before, pipe->n - pipe->read - before);
    memcpy(record + 9, body, n);
    pipe->n = pipe->n - before + after;
    record[3] = (uint8_t)((n + 4) >> 8);
    record[4] = (uint8_t)(n + 4);
    record[6] = 0;
    record[7] = (uint8_t)(n >> 8);
    record[8] = (uint8_t)n;
}

/* A server that waits for a ClientKeyExchange; answers its body. */
static struct call *with_key_exchange(const char *suite, bool hide, uint8_t body[512], size_t *n)
{
    struct plan plan = plan_of(0);
    plan.ours = plan.theirs = suite;
    plan.hide = hide;
    struct call *call = call_new(plan);
    to_second_flight(call);
    const uint8_t *record = call->peer->sent.octets + call->peer->sent.read;
    ck_assert_int_eq(record[5], MBEDTLS_SSL_HS_CLIENT_KEY_EXCHANGE);
    *n = ((size_t)record[3] << 8 | record[4]) - 4;
    ck_assert_uint_le(*n, 512);
    memcpy(body, record + 9, *n);
    return call;
}

/* One of each key exchange of TLS 1.2 with a PSK. */
static const char *const exchanges[] = {"TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
                                        "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-GCM-SHA256"};
enum { EXCHANGES = sizeof exchanges / sizeof *exchanges };

/* RFC 4279 2: an identity may be empty on the wire. It is nobody's. */
START_TEST(an_empty_identity_gets_an_alert)
{
    uint8_t body[512];
    size_t n;
    struct call *call = with_key_exchange(exchanges[_i / 2], _i % 2 == 1, body, &n);
    body[strlen(NAME)] = body[strlen(NAME) + 1] = 0;
    replace_body(call, body + strlen(NAME), n - strlen(NAME));
    expect_one_alert(call, "empty identity", 0);
    ck_assert_uint_eq(call->failed, 1);
    ck_assert_int_eq(call->err, MKT_E_TLS);
    ck_assert_int_eq(alert_of(call->ours), HANDSHAKE_FAILURE);
    ck_assert_int_eq(call->peer->result, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    ck_assert_str_eq(call->identity, "");
    ck_assert(!call->told.has_stream);
    call_free(call);
}
END_TEST

/* A ClientKeyExchange that is cut, with lengths that say so, and one with an octet too many. */
START_TEST(a_cut_key_exchange_gets_an_alert)
{
    uint8_t body[512];
    size_t n = 1;
    for (size_t cut = 0; cut <= n + 1; cut += STEP) {
        struct call *call = with_key_exchange(exchanges[_i / 2], _i % 2 == 1, body, &n);
        body[n] = 0;
        if (cut != n)
            replace_body(call, body, cut);
        expect_one_alert(call, "cut", cut);
        ck_assert_msg((call->ours->result == 0) == (cut == n), "%zu octets: -0x%x", cut, (unsigned)-call->ours->result);
        call_free(call);
    }
}
END_TEST

/* Each octet that the peer sends is another one: nothing, or one alert from one of both. */
START_TEST(a_wrong_octet_gets_one_alert)
{
    static const uint8_t masks[] = {0xff, 0x01};
    const int way = _i % WAYS, flight = _i / WAYS;
    size_t n = 1;
    for (size_t at = 0; at < n; at += STEP) {
        for (size_t mask = 0; mask < sizeof masks; mask++) {
            struct call *call = call_new(plan_of(way));
            if (call->peer == &call->line->server)
                go_on(call->ours);
            go_on(call->peer);
            for (int i = 0; i < flight; i++) {
                go_on(call->ours);
                go_on(call->peer);
            }
            struct pipe *pipe = &call->peer->sent;
            n = pipe->n - pipe->read;
            if (n > 0)
                pipe->octets[pipe->read + at] ^= masks[mask];
            expect_one_alert(call, "octet", at);
            call_free(call);
        }
    }
}
END_TEST

/* Why a handshake fails. */
enum why {
    UNKNOWN,
    WRONG_KEY,
    NO_SUITE,
    NO_VERSION,
    PEER_ALERTS,
    PEER_CLOSES,
    PEER_CUTS,
    GARBAGE,
    REMOVED,
    REKEYED,
    WHY
};

static const struct {
    const char *what;
    enum mkt_tls_state how;
    enum mkt_err err;
    bool by_identity; /* a server knows the stream by it */
    bool late;        /* after the client named its identity */
} reasons[WHY] = {
    [UNKNOWN] = {"an unknown identity", MKT_TLS_FAILED, MKT_E_TLS, false, true},
    [WRONG_KEY] = {"a wrong key", MKT_TLS_FAILED, MKT_E_TLS, true, true},
    [NO_SUITE] = {"no suite in common", MKT_TLS_FAILED, MKT_E_TLS, false, false},
    [NO_VERSION] = {"no version in common", MKT_TLS_FAILED, MKT_E_TLS, false, false},
    [PEER_ALERTS] = {"an alert", MKT_TLS_ALERT, MKT_E_TLS, false, false},
    [PEER_CLOSES] = {"close_notify", MKT_TLS_CLOSED, MKT_E_TLS, false, false},
    [PEER_CUTS] = {"the end of TCP", MKT_TLS_CUT, MKT_E_TLS, false, false},
    [GARBAGE] = {"another protocol", MKT_TLS_FAILED, MKT_E_TLS, false, false},
    [REMOVED] = {"a stream that was removed", MKT_TLS_REMOVED, MKT_E_DENIED, false, true},
    [REKEYED] = {"a stream that has another key by now", MKT_TLS_FAILED, MKT_E_DENIED, true, true},
};

/* The alert that a server of mbedTLS refuses a client with. */
static int refusal(enum why why, bool tls13)
{
    switch (why) {
    case UNKNOWN:
        return tls13 ? MISSING_EXTENSION : UNKNOWN_PSK;
    case WRONG_KEY:
        return tls13 ? DECRYPT_ERROR : BAD_RECORD_MAC;
    case NO_SUITE:
        return HANDSHAKE_FAILURE;
    case NO_VERSION: /* a server of TLS 1.2 alone looks at the suites */
        return tls13 ? HANDSHAKE_FAILURE : PROTOCOL_VERSION;
    default:
        return INTERNAL_ERROR;
    }
}

/* Lets a handshake fail for a reason that its plan does not give. */
static void fail_for(struct call *call, enum why why, bool tls13)
{
    static const uint8_t alert[] = "\x15\3\3\0\2\2\x50", closing[] = "\x15\3\3\0\2\1", get[] = "GET / HTTP/1.1\r\n\r\n";
    const bool as_client = call->peer == &call->line->server;
    if (as_client) { /* the peer has the ClientHello, and its answer is another one */
        go_on(call->ours);
        if (why == PEER_ALERTS || why == PEER_CLOSES)
            put(call->peer, why == PEER_ALERTS ? alert : closing, 7);
        if (why == GARBAGE)
            put(call->peer, get, sizeof get - 1);
    } else if (why == GARBAGE) {
        put(call->peer, get, sizeof get - 1);
    } else if (why == PEER_ALERTS || why == PEER_CLOSES) { /* after the first flight of TLS 1.2 */
        go_on(call->peer);
        go_on(call->ours);
        put(call->peer, why == PEER_ALERTS ? alert : closing, 7);
    } else if (why == REMOVED || why == REKEYED) {
        to_second_flight(call);
        if (!tls13) { /* all but the end of it */
            call->peer->sent.n -= 10;
            go_on(call->ours);
            call->peer->sent.n += 10;
        }
    }
    if (why == PEER_CUTS)
        call->peer->sent.closed = true;
    if (why == REMOVED)
        expect_err("remove", mkt_streams_remove(call->streams, SEVEN), MKT_OK);
    if (why == REKEYED)
        expect_err("rekey", mkt_streams_rekey(call->streams, SEVEN, from_hex(KEY_16), mkt_span_text("again")), MKT_OK);
    if (why == PEER_ALERTS || why == PEER_CLOSES || why == PEER_CUTS || why == GARBAGE)
        call->peer->result = 0; /* it says no more */
}

/* That the suites are those of a list, in its order, and no other than the one that stands for RFC 5746. */
static void expect_suites(const struct call *call, const int *suites)
{
    size_t n = 0;
    for (; suites[n] != 0; n++) {
        ck_assert_uint_lt(n, call->told.n_suites);
        ck_assert_int_eq(call->suites[n], suites[n]);
    }
    for (; n < call->told.n_suites; n++)
        ck_assert_int_eq(call->suites[n], MBEDTLS_SSL_EMPTY_RENEGOTIATION_INFO);
}

START_TEST(the_host_is_told_why)
{
    const int way = _i % WAYS;
    const enum why why = (enum why)(_i / WAYS % WHY);
    const bool tls13 = way % VERSIONS == 1, bound = _i / WAYS / WHY == 1;
    struct plan plan = plan_of(way);
    const bool as_client = plan.as_client;
    plan.bound = as_client || bound;
    if (why == UNKNOWN)
        plan.identity = mkt_span_text("nobody");
    if (why == WRONG_KEY)
        plan.key = KEY_16;
    if (why == NO_SUITE)
        plan.theirs = tls13 ? "TLS1-3-CHACHA20-POLY1305-SHA256"
                            : "TLS-PSK-WITH-AES-128-CBC-SHA:TLS-DHE-PSK-WITH-AES-256-GCM-SHA384:"
                              "TLS-PSK-WITH-AES-256-CBC-SHA";
    if (why == NO_VERSION)
        plan.theirs = versions[VERSIONS - 1 - way % VERSIONS];
    if ((why == NO_VERSION && VERSIONS == 1) || ((why == PEER_ALERTS || why == PEER_CLOSES) && tls13 && !as_client))
        return; /* there is one version; those of TLS 1.3 are protected */

    struct call *call = call_new(plan);
    fail_for(call, why, tls13);
    shake(call->line);
    ck_assert_uint_eq(call->failed, 1);
    ck_assert_uint_eq(call->ended, 0);
    ck_assert_int_eq(call->err, reasons[why].err);
    ck_assert_int_eq(call->told.error, call->ours->result);
    const bool refused = as_client && why <= NO_VERSION;
    if (refused) {
        ck_assert_msg(call->told.how == MKT_TLS_ALERT, "%s: state %d", reasons[why].what, call->told.how);
        ck_assert_msg(call->told.alert == refusal(why, tls13), "%s: alert %d", reasons[why].what, call->told.alert);
    } else {
        ck_assert_msg(call->told.how == reasons[why].how, "%s: state %d", reasons[why].what, call->told.how);
        ck_assert_int_eq(call->told.alert, why == PEER_ALERTS ? INTERNAL_ERROR : -1);
    }
    const bool known = why != REMOVED && (plan.bound || reasons[why].by_identity);
    ck_assert_msg(call->told.has_stream == known, "%s: stream %d", reasons[why].what, call->told.has_stream);
    ck_assert_uint_eq(call->told.stream, known ? SEVEN : 0);
    const bool named = !as_client && reasons[why].late;
    ck_assert_str_eq(call->identity, !named ? "" : why == UNKNOWN ? "nobody" : NAME);
    if (as_client || why == GARBAGE || why == PEER_CUTS)
        ck_assert_uint_eq(call->told.n_suites, why == PEER_CUTS && !as_client ? call->told.n_suites : 0);
    else
        expect_suites(call, call->peer->tls.suite);
    expect_err("forgotten", mkt_streams_close(call->streams, &call->ours->ssl), MKT_E_NO_SESSION);
    call_free(call);
}
END_TEST

/* Names, and how a log has them. */
#define TEN "0123456789"
#define SIXTY_FOUR TEN TEN TEN TEN TEN TEN "0123"
#define ESCAPED "\\x5c\\x5c\\x5c\\x5c\\x5c\\x5c\\x5c\\x5c"
static const struct {
    const char *name;
    size_t n;
    const char *shown;
} names[] = {
    {"plain !~", 8, "plain !~"},
    {"a\0b", 3, "a\\x00b"},
    {"\n\r\t\033[2J", 7, "\\x0a\\x0d\\x09\\x1b[2J"},
    {"C:\\x41", 6, "C:\\x5cx41"},
    {"m\xc3\xbcnchen", 8, "m\\xc3\\xbcnchen"},
    {"\xff\x80\x7f", 3, "\\xff\\x80\\x7f"},
    {SIXTY_FOUR, 64, SIXTY_FOUR},
    {SIXTY_FOUR "4", 65, SIXTY_FOUR "..."},
    {SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR, 192, SIXTY_FOUR "..."},
    {"\\\\\\\\\\\\\\\\"
     "\\\\\\\\\\\\\\\\"
     "\\\\\\\\\\\\\\\\"
     "\\\\\\\\\\\\\\\\"
     "\\\\\\\\\\\\\\\\"
     "\\\\\\\\\\\\\\\\"
     "\\\\\\\\\\\\\\\\"
     "\\\\\\\\\\\\\\\\"
     "a",
     65, ESCAPED ESCAPED ESCAPED ESCAPED ESCAPED ESCAPED ESCAPED ESCAPED "..."},
};
enum { NAMES = sizeof names / sizeof *names };

START_TEST(an_identity_is_escaped)
{
    struct plan plan = plan_of(_i % VERSIONS);
    plan.identity = (struct mkt_span){(const uint8_t *)names[_i / VERSIONS].name, names[_i / VERSIONS].n};
    struct call *call = call_new(plan);
    shake(call->line);
    ck_assert_uint_eq(call->failed, 1);
    ck_assert_str_eq(call->identity, names[_i / VERSIONS].shown);
    call_free(call);
}
END_TEST

/* ---- first flights ---- */

enum { OFFERED = 300, BEFORE_SUITES = 5 + 4 + 2 + 32 + 1 + 2, SHOWN = 256 };

/* A ClientHello of TLS 1.2 in one record with so many suites, 0x1000 and on, and no extensions; answers its octets. */
static size_t hello(uint8_t octets[1024], size_t n_suites, size_t n_session)
{
    const size_t length = 2 + 32 + 1 + n_session + 2 + 2 * n_suites + 2;
    const uint8_t head[] = {
        HANDSHAKE,       3, 3, (uint8_t)((length + 4) >> 8), (uint8_t)(length + 4), 1, 0, (uint8_t)(length >> 8),
        (uint8_t)length, 3, 3};
    memset(octets, 0, 1024);
    memcpy(octets, head, sizeof head);
    uint8_t *at = octets + sizeof head + 32;
    *at++ = (uint8_t)n_session;
    at += n_session;
    *at++ = (uint8_t)(2 * n_suites >> 8);
    *at++ = (uint8_t)(2 * n_suites);
    for (size_t i = 0; i < n_suites; i++) {
        *at++ = (uint8_t)((0x1000 + i) >> 8);
        *at++ = (uint8_t)(0x1000 + i);
    }
    *at++ = 1; /* one compression method, none */
    return 5 + 4 + length;
}

/* A server that gets those octets, then the end of TCP. */
static struct call *first_flight(const uint8_t *octets, size_t n, size_t piece)
{
    struct call *call = call_new(plan_of(VERSIONS - 1));
    call->piece = piece;
    call->peer->result = 0;
    put(call->peer, octets, n);
    call->peer->sent.closed = true;
    shake(call->line);
    ck_assert_uint_eq(call->failed, 1);
    return call;
}

static void expect_offered(const struct call *call, size_t n)
{
    ck_assert_uint_eq(call->told.n_suites, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(call->suites[i], 0x1000 + i);
}

/* The suites in the first 256 octets, however many octets come at a time, and wherever the flight is cut. */
START_TEST(suites_of_a_first_flight)
{
    static const size_t pieces[] = {1, 7, PLENTY};
    const size_t n_session = _i % 2 == 0 ? 0 : 32, many = _i / 2 == 0 ? 3 : OFFERED;
    uint8_t octets[1024];
    const size_t whole = hello(octets, many, n_session);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (size_t n = 0; n <= whole; n += n < SHOWN + 8 ? 1 : whole - n + (n == whole)) {
            struct call *call = first_flight(octets, n, pieces[i]);
            const size_t seen = n < SHOWN ? n : SHOWN, before = BEFORE_SUITES + n_session;
            const size_t there = seen < before ? 0 : (seen - before) / 2;
            expect_offered(call, there < many ? there : many);
            call_free(call);
        }
    }
}
END_TEST

/* RFC 5246 6.2.1: a message in two records. No suite is made up of the header of the second. */
START_TEST(suites_of_a_first_flight_in_two_records)
{
    uint8_t octets[1024], two[1024];
    const size_t whole = hello(octets, 20, 0), first = 5 + (size_t)_i;
    memcpy(two, octets, first);
    memcpy(two + first, octets, 5);
    memcpy(two + first + 5, octets + first, whole - first);
    two[3] = 0;
    two[4] = (uint8_t)(first - 5);
    two[first + 3] = 0;
    two[first + 4] = (uint8_t)(whole - first);
    struct call *call = first_flight(two, whole + 5, PLENTY);
    const size_t there = first < BEFORE_SUITES ? 0 : (first - BEFORE_SUITES) / 2;
    expect_offered(call, there < 20 ? there : 20);
    call_free(call);
}
END_TEST

/* Lengths that are anything: what is told stays within what came. */
START_TEST(lengths_of_a_first_flight_that_are_wrong)
{
    uint8_t octets[1024];
    for (size_t at = 0; at < BEFORE_SUITES; at++) {
        for (unsigned mask = 1; mask < 256; mask = RUNNING_ON_VALGRIND ? 256 : 2 * mask + 1) {
            const size_t n = hello(octets, _i == 0 ? 2 : 100, 0);
            octets[at] ^= (uint8_t)mask;
            struct call *call = first_flight(octets, n, PLENTY);
            ck_assert_uint_le(2 * call->told.n_suites, n < SHOWN ? n : SHOWN);
            if (at == 0 || at == 5) /* no handshake, or no ClientHello */
                ck_assert_uint_eq(call->told.n_suites, 0);
            call_free(call);
        }
    }
}
END_TEST

int main(void)
{
    if (!begin_tls())
        return EXIT_FAILURE;
    Suite *suite = suite_create("ends");
    TCase *t = tcase_create("close_notify");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, close_notify_comes_after_what_was_written, 0, WAYS * TURNS * 2);
    tcase_add_loop_test(t, a_connection_that_closes_can_be_asked, 0, WAYS * 2);
    suite_add_tcase(suite, t);
    t = tcase_create("a stranger who never stops");
    tcase_add_loop_test(t, warnings_without_end_end_a_handshake, 0, WAYS * 2);
    tcase_add_loop_test(t, a_connection_may_have_any_number_of_octets, 0, WAYS);
    suite_add_tcase(suite, t);
    t = tcase_create("odd records");
    tcase_add_loop_test(t, what_cannot_be_taken_gets_an_alert, 0, WAYS * ODD * 2);
    tcase_add_loop_test(t, an_alert_that_tcp_does_not_take, 0, WAYS);
    suite_add_tcase(suite, t);
    t = tcase_create("empty records");
    tcase_add_loop_test(t, empty_records_end_nothing, 0, WAYS * (MOST_EMPTY + 1));
    tcase_add_loop_test(t, cut_after_empty_records, 0, WAYS * 4);
    suite_add_tcase(suite, t);
    t = tcase_create("handshakes that fail");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, an_empty_identity_gets_an_alert, 0, EXCHANGES * 2);
    tcase_add_loop_test(t, a_cut_key_exchange_gets_an_alert, 0, EXCHANGES * 2);
    tcase_add_loop_test(t, a_wrong_octet_gets_one_alert, 0, WAYS * 2);
    suite_add_tcase(suite, t);
    t = tcase_create("what the host is told");
    tcase_add_loop_test(t, the_host_is_told_why, 0, WAYS * WHY * 2);
    tcase_add_loop_test(t, an_identity_is_escaped, 0, VERSIONS * NAMES);
    suite_add_tcase(suite, t);
    t = tcase_create("first flights");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, suites_of_a_first_flight, 0, 4);
    tcase_add_loop_test(t, suites_of_a_first_flight_in_two_records, 0, BEFORE_SUITES + 37);
    tcase_add_loop_test(t, lengths_of_a_first_flight_that_are_wrong, 0, 2);
    suite_add_tcase(suite, t);
    return run(suite);
}
