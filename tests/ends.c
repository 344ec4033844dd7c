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

enum { SEVEN = 7, UNEXPECTED_MESSAGE = 10, DECODE_ERROR = 50, INTERNAL_ERROR = 80, PLENTY = 1 << 16, OCTETS = 40 };

/* One stream of a number, on a line of which one end is its own. */
struct call {
    struct mkt_streams *streams;
    struct line *line;
    struct end *ours, *peer;
    size_t room;   /* octets that TCP takes from us now */
    int broken;    /* what TCP answers in place of taking some, or 0 */
    size_t piece;  /* octets that TCP has for us at a time */
    size_t answer; /* where our octets begin that were sent after the last that came */
    unsigned ended, failed;
    enum mkt_tls_state how;
    enum mkt_err err; /* of mkt_streams_handshake() */
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
    return got;
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
    call->failed++;
}

static int shake_ours(struct end *end)
{
    struct call *call = end->user;
    int result;
    call->err = mkt_streams_handshake(call->streams, &end->ssl, &result);
    return result;
}

/* A call in which neither end has said anything. Ours has the stream, the other end that key and name. */
static struct call *call_new(const char *suites, bool as_client, bool hide, const char *key, const char *name)
{
    const uint64_t seven = SEVEN;
    struct call *call = calloc(1, sizeof *call);
    ck_assert_ptr_nonnull(call);
    call->room = call->piece = PLENTY;
    call->line = line_new();
    call->ours = as_client ? &call->line->client : &call->line->server;
    call->peer = call->ours->peer;
    call->ours->user = call;
    call->ours->handshake = shake_ours;

    const struct mkt_streams_settings all = {.size = sizeof all,
                                             .rng = mbedtls_ctr_drbg_random,
                                             .rng_user = &call->line->drbg,
                                             .most = 8,
                                             .hide_identities = hide,
                                             .user = call,
                                             .ended = ended,
                                             .failed = failed};
    const struct mkt_tls_settings own = {.size = sizeof own, .suites = mkt_span_text(suites)};
    struct mkt_tls_settings other = own;
    other.end = as_client ? MKT_END_SERVER : MKT_END_CLIENT;
    const struct mkt_tls_bio bio = {.user = call, .send = put_some, .receive = get_some};
    expect_err("new", mkt_streams_new(&call->streams, &all), MKT_OK);
    expect_err("add", mkt_streams_add(call->streams, SEVEN, from_hex(KEY_32), mkt_span_text(NAME)), MKT_OK);
    expect_err("bind", mkt_streams_bind(call->streams, &call->ours->ssl, as_client ? &seven : NULL, &bio), MKT_OK);
    expect_err("ours",
               as_client
                   ? mkt_streams_client(call->streams, &call->ours->ssl, &call->ours->conf, &call->ours->tls, &own)
                   : mkt_streams_server(call->streams, &call->ours->conf, &call->ours->tls, &own),
               MKT_OK);
    expect_err("peer",
               mkt_tls_setup_psk(&call->peer->conf, &call->peer->tls, &other, from_hex(key), mkt_span_text(name)),
               MKT_OK);
    ck_assert_int_eq(mbedtls_ssl_setup(&call->ours->ssl, &call->ours->conf), 0);
    start(call->peer);
    return call;
}

/* A call that is connected, and all octets of the handshake are read. */
static struct call *connected(int way)
{
    struct call *call = call_new(versions[way % VERSIONS], way / VERSIONS == 1, false, KEY_32, NAME);
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
        room += turn == DRAINS ? 1 : 7;
    ck_assert_uint_gt(room, OCTETS);
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

int main(void)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    if (psa_crypto_init() != PSA_SUCCESS)
        return EXIT_FAILURE;
#endif
    Suite *suite = suite_create("ends");
    TCase *t = tcase_create("close_notify");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, close_notify_comes_after_what_was_written, 0, WAYS * TURNS * 2);
    suite_add_tcase(suite, t);
    t = tcase_create("odd records");
    tcase_add_loop_test(t, what_cannot_be_taken_gets_an_alert, 0, WAYS * ODD * 2);
    tcase_add_loop_test(t, an_alert_that_tcp_does_not_take, 0, WAYS);
    suite_add_tcase(suite, t);
    t = tcase_create("empty records");
    tcase_add_loop_test(t, empty_records_end_nothing, 0, WAYS * (MOST_EMPTY + 1));
    tcase_add_loop_test(t, cut_after_empty_records, 0, WAYS * 4);
    suite_add_tcase(suite, t);
    return run(suite);
}
