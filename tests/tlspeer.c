/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One end of a TLS connection on loopback with the streams of libmikeyticket-tls, for tests/interop.sh.
 *
 *     tlspeer server --psk HEX --identity TEXT [--suites LIST] [OPTION...]
 *     tlspeer client --psk HEX --identity TEXT --port N [--suites LIST] [OPTION...]
 *     tlspeer suites LIST      the suites of it that this build of mbedTLS has, one a line
 *     tlspeer version          that of mbedTLS
 *     tlspeer port             one that is free now
 *
 * The server says `port: N`, takes one connection, answers a line with the same line, and closes; with --wait it leaves
 * closing to its client. With --bind the connection is bound to stream 7, whose key and identity are given; with
 * --other to stream 8, which has others; with --hide it hides identities. With --early stream 7 is announced, and gets
 * its key when the client has sent something. With --empty the server sends two empty records before its line. With
 * --flood it sends octets 'x' in place of the line until TCP takes no more, says `pending: N`, and closes. The client
 * sends a line, which must come back, and closes; with --renegotiate it renegotiates before; --renegotiation lets the
 * peer do so. Both say what became of the connection: `tls: VERSION SUITE`, `stream: N`, `line: TEXT`,
 * `alert: N` where a fatal one came, `error: -0xN`, `end: closed|cut|alert|failed`. Exit status 1 if there was no
 * connection or no line.
 */
#define _DEFAULT_SOURCE /* getopt_long, usleep */

#include <mikeyticket/streams.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/debug.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What reads the same backwards comes back from `openssl s_server -rev` too. */
#define LINE "level\n"

enum { SEVEN = 7, EIGHT = 8, PATIENCE = 60, RETRIES = 600, RETRY_US = 50000 };

struct peer {
    const char *suites, *psk, *identity;
    unsigned port;
    bool bind, other, hide, renegotiation, renegotiate, wait, early, empty, flood;
    uint8_t key[MBEDTLS_PSK_MAX_LEN];
    size_t n_key;
    struct mkt_streams *streams;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    struct mkt_tls tls;
    int socket;
};

static bool fail(const char *what)
{
    fprintf(stderr, "tlspeer: %s\n", what);
    return false;
}

static bool good(enum mkt_err err, const char *what)
{
    if (err == MKT_OK)
        return true;
    fprintf(stderr, "tlspeer: %s: %s\n", what, mkt_err_name(err));
    return false;
}

static int tcp_send(void *user, const unsigned char *octets, size_t n)
{
    const struct peer *peer = user;
    ssize_t sent = send(peer->socket, octets, n, MSG_NOSIGNAL);
    return sent >= 0 ? (int)sent : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_NET_CONN_RESET;
}

static int tcp_receive(void *user, unsigned char *octets, size_t n)
{
    const struct peer *peer = user;
    ssize_t got = recv(peer->socket, octets, n, 0);
    return got < 0 ? MBEDTLS_ERR_NET_CONN_RESET : (int)got;
}

static struct sockaddr_in address(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
}

/* A socket that listens on a port that was free; 0 where there is none. */
static unsigned listen_tcp(int *listener)
{
    struct sockaddr_in at = address(0);
    socklen_t n = sizeof at;
    *listener = socket(AF_INET, SOCK_STREAM, 0);
    if (*listener < 0 || bind(*listener, (const struct sockaddr *)&at, n) != 0 || listen(*listener, 1) != 0 ||
        getsockname(*listener, (struct sockaddr *)&at, &n) != 0)
        return 0;
    return ntohs(at.sin_port);
}

static bool accept_tcp(struct peer *peer)
{
    int listener;
    unsigned port = listen_tcp(&listener);
    if (port == 0)
        return fail("no port");
    printf("port: %u\n", port);
    fflush(stdout);
    peer->socket = accept(listener, NULL, NULL);
    close(listener);
    return peer->socket >= 0 || fail("accept");
}

/* The other end may need a moment until it listens. */
static bool connect_tcp(struct peer *peer)
{
    struct sockaddr_in at = address(peer->port);
    for (int i = 0; i < RETRIES; i++) {
        peer->socket = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(peer->socket, (const struct sockaddr *)&at, sizeof at) == 0)
            return true;
        close(peer->socket);
        usleep(RETRY_US);
    }
    return fail("connect");
}

/* The key on the command line, in hex. */
static bool key_get(const char *hex, uint8_t key[MBEDTLS_PSK_MAX_LEN], size_t *n)
{
    for (*n = 0; hex[2 * *n] != '\0'; ++*n) {
        unsigned octet;
        if (*n == MBEDTLS_PSK_MAX_LEN || sscanf(hex + 2 * *n, "%2x", &octet) != 1)
            return fail("not a key in hex");
        key[*n] = (uint8_t)octet;
    }
    return true;
}

/* Which alert came is told by mbedTLS in its debug log alone. */
static void say_alert(void *user, int level, const char *file, int line, const char *text)
{
    unsigned severity, alert;
    (void)user, (void)level, (void)file, (void)line;
    const char *at = strstr(text, "got an alert message, type: [");
    if (at != NULL && sscanf(at, "got an alert message, type: [%u:%u]", &severity, &alert) == 2 &&
        severity == MBEDTLS_SSL_ALERT_LEVEL_FATAL)
        printf("alert: %u\n", alert);
}

/* Gives stream 7 its key. */
static bool add(struct peer *peer)
{
    const struct mkt_span psk = {peer->key, peer->n_key}, identity = mkt_span_text(peer->identity);
    return good(mkt_streams_add(peer->streams, SEVEN, psk, identity), "stream 7");
}

static bool set_up(struct peer *peer, bool server)
{
    const uint64_t seven = SEVEN, eight = EIGHT;
    const uint64_t *stream = peer->other ? &eight : peer->bind || peer->early || !server ? &seven : NULL;
    if (peer->psk == NULL || peer->identity == NULL || !key_get(peer->psk, peer->key, &peer->n_key))
        return fail("no key or identity");
    const struct mkt_tls_bio bio = {.user = peer, .send = tcp_send, .receive = tcp_receive};
    const struct mkt_span psk = {peer->key, peer->n_key};
    const struct mkt_tls_settings settings = {.size = sizeof settings,
                                              .end = server ? MKT_END_SERVER : MKT_END_CLIENT,
                                              .suites = mkt_span_text(peer->suites),
                                              .renegotiation = peer->renegotiation};
    int cause;
    const struct mkt_streams_settings all = {.size = sizeof all,
                                             .rng = mbedtls_ctr_drbg_random,
                                             .rng_user = &peer->drbg,
                                             .most = 8,
                                             .hide_identities = peer->hide};

    if (mbedtls_ctr_drbg_seed(&peer->drbg, mbedtls_entropy_func, &peer->entropy, NULL, 0) != 0)
        return fail("no random octets");
    mbedtls_ssl_conf_rng(&peer->conf, mbedtls_ctr_drbg_random, &peer->drbg);
    mbedtls_ssl_conf_dbg(&peer->conf, say_alert, NULL);
#if defined(MBEDTLS_DEBUG_C)
    mbedtls_debug_set_threshold(2);
#endif
    if (!good(mkt_streams_new(&peer->streams, &all), "new") ||
        !(peer->early ? good(mkt_streams_announce(peer->streams, SEVEN, 0), "announce") : add(peer)) ||
        !good(mkt_streams_add(peer->streams, EIGHT, psk, mkt_span_text("another stream's")), "stream 8"))
        return false;
    if (!good(mkt_streams_bind(peer->streams, &peer->ssl, stream, &bio), "bind") ||
        !good(mkt_tls_choose(&peer->tls, &settings), "suites") ||
        !good(server ? mkt_streams_server(peer->streams, &peer->conf, &peer->tls, &cause)
                     : mkt_streams_client(peer->streams, &peer->ssl, &peer->conf, &peer->tls, &cause),
              "set up"))
        return false;
    if (mbedtls_ssl_setup(&peer->ssl, &peer->conf) != 0)
        return fail("no context");
    return true;
}

/* Says how the session ended; the answer is false. */
static bool say_end(struct peer *peer, int result)
{
    static const char *const names[] = {
        [MKT_TLS_OPEN] = "open",      [MKT_TLS_CLOSED] = "closed", [MKT_TLS_CUT] = "cut",
        [MKT_TLS_ALERT] = "alert",    [MKT_TLS_FAILED] = "failed", [MKT_TLS_REMOVED] = "removed",
        [MKT_TLS_CLOSING] = "closing"};
    enum mkt_tls_state state = mkt_streams_status(peer->streams, &peer->ssl, result);
    printf("error: -0x%04x\nend: %s\n", (unsigned)-result, names[state]);
    return false;
}

/* When the client has sent something, a stream that was announced gets its key: not before. */
static bool gets_key(struct peer *peer)
{
    char octet;
    int result;
    return recv(peer->socket, &octet, 1, MSG_PEEK) == 1 &&
           mkt_streams_handshake(peer->streams, &peer->ssl, &result) == MKT_E_NO_KEY && add(peer);
}

static bool handshake(struct peer *peer)
{
    uint64_t stream;
    int result;
    if (peer->early && !gets_key(peer))
        return fail("no handshake was waiting");
    if (mkt_streams_handshake(peer->streams, &peer->ssl, &result) != MKT_OK)
        return say_end(peer, result);
    printf("tls: %s %s\n", mbedtls_ssl_get_version(&peer->ssl), mbedtls_ssl_get_ciphersuite(&peer->ssl));
    if (!good(mkt_streams_find(peer->streams, &peer->ssl, &stream), "of"))
        return false;
    printf("stream: %llu\n", (unsigned long long)stream);
    fflush(stdout);
    return true;
}

static int read_some(struct peer *peer, char *octets, size_t n)
{
    int result = MBEDTLS_ERR_SSL_WANT_READ; /* as TLS 1.3 does after a ticket, and TLS 1.2 after renegotiation */
    while (result < 0 && mkt_streams_status(peer->streams, &peer->ssl, result) == MKT_TLS_OPEN)
        result = mbedtls_ssl_read(&peer->ssl, (unsigned char *)octets, n);
    return result;
}

/* Reads a line; a TLS 1.2 peer may send it in several records. */
static bool read_line(struct peer *peer, char text[64])
{
    size_t n = 0;
    while (n == 0 || text[n - 1] != '\n') {
        int got = n == 63 ? 0 : read_some(peer, text + n, 63 - n);
        if (got <= 0)
            return say_end(peer, got);
        n += (size_t)got;
    }
    text[n] = '\0';
    printf("line: %s", text);
    return true;
}

static bool write_line(struct peer *peer, const char *text)
{
    int result = mbedtls_ssl_write(&peer->ssl, (const unsigned char *)text, strlen(text));
    return result == (int)strlen(text) || say_end(peer, result);
}

/* Ends TCP when the client has: octets of its that nobody read would make TCP throw ours away. */
static void end_tcp(struct peer *peer)
{
    char octets[64];
    shutdown(peer->socket, SHUT_WR);
    while (recv(peer->socket, octets, sizeof octets, 0) > 0)
        ;
}

/* Closes while octets wait for TCP: they go out as the client reads, and close_notify after them. */
static bool flood(struct peer *peer)
{
    unsigned char octets[1024];
    size_t n = 0;
    int result;
    memset(octets, 'x', sizeof octets);
    fcntl(peer->socket, F_SETFL, O_NONBLOCK);
    while ((result = mbedtls_ssl_write(&peer->ssl, octets, sizeof octets)) > 0)
        n += (size_t)result;
    if (result != MBEDTLS_ERR_SSL_WANT_WRITE)
        return say_end(peer, result);
    enum mkt_err err = mkt_streams_close(peer->streams, &peer->ssl);
    if (err != MKT_E_AGAIN)
        return fail("closed too early");
    printf("pending: %zu\n", n + sizeof octets);
    fflush(stdout);
    struct pollfd out = {.fd = peer->socket, .events = POLLOUT};
    while (err == MKT_E_AGAIN && poll(&out, 1, -1) == 1)
        err = mkt_streams_close(peer->streams, &peer->ssl);
    printf("end: %s\n", err == MKT_OK ? "closed" : "failed");
    fcntl(peer->socket, F_SETFL, 0);
    end_tcp(peer);
    return err == MKT_OK;
}

static bool serve(struct peer *peer)
{
    char text[64];
    if (!handshake(peer) || !read_line(peer, text))
        return false;
    if (peer->flood)
        return flood(peer);
    for (int i = 0; peer->empty && i < 2; i++) {
        int result = mbedtls_ssl_write(&peer->ssl, NULL, 0);
        if (result < 0)
            return say_end(peer, result);
    }
    if (!write_line(peer, text))
        return false;
    if (peer->wait) {
        say_end(peer, read_some(peer, text, sizeof text));
        return true;
    }
    mkt_streams_close(peer->streams, &peer->ssl);
    end_tcp(peer);
    printf("end: closed\n");
    return true;
}

static bool call(struct peer *peer)
{
    char text[64];
    if (!handshake(peer))
        return false;
    if (peer->renegotiate) {
        int result = mbedtls_ssl_renegotiate(&peer->ssl);
        if (result != 0)
            return say_end(peer, result);
        printf("renegotiated\n");
    }
    if (!write_line(peer, LINE) || !read_line(peer, text))
        return false;
    mkt_streams_close(peer->streams, &peer->ssl);
    printf("end: closed\n");
    return strcmp(text, LINE) == 0;
}

static int show_suites(const char *list)
{
    struct mkt_tls tls;
    const struct mkt_tls_settings settings = {
        .size = sizeof settings, .end = MKT_END_SERVER, .suites = mkt_span_text(list)};
    if (!good(mkt_tls_choose(&tls, &settings), "suites"))
        return 1;
    for (const int *suite = tls.suite; *suite != 0; suite++)
        puts(mbedtls_ssl_get_ciphersuite_name(*suite));
    return 0;
}

static bool options_get(struct peer *peer, int argc, char **argv)
{
    enum { PORT = 'p', SUITES = 's', PSK = 'k', IDENTITY = 'i', BIND = 'b', OTHER = 'o', HIDE = 'h', ALLOW = 'r' };
    enum { RENEGOTIATE = 'R', WAIT = 'w', EARLY = 'e', EMPTY = 'E', FLOOD = 'f' };
    static const struct option options[] = {
        {"port", required_argument, NULL, PORT},
        {"suites", required_argument, NULL, SUITES},
        {"psk", required_argument, NULL, PSK},
        {"identity", required_argument, NULL, IDENTITY},
        {"bind", no_argument, NULL, BIND},
        {"other", no_argument, NULL, OTHER},
        {"hide", no_argument, NULL, HIDE},
        {"renegotiation", no_argument, NULL, ALLOW},
        {"renegotiate", no_argument, NULL, RENEGOTIATE},
        {"wait", no_argument, NULL, WAIT},
        {"early", no_argument, NULL, EARLY},
        {"empty", no_argument, NULL, EMPTY},
        {"flood", no_argument, NULL, FLOOD},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case PORT:
            peer->port = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case SUITES:
            peer->suites = optarg;
            break;
        case PSK:
            peer->psk = optarg;
            break;
        case IDENTITY:
            peer->identity = optarg;
            break;
        case BIND:
            peer->bind = true;
            break;
        case OTHER:
            peer->other = true;
            break;
        case HIDE:
            peer->hide = true;
            break;
        case ALLOW:
            peer->renegotiation = true;
            break;
        case RENEGOTIATE:
            peer->renegotiate = true;
            break;
        case WAIT:
            peer->wait = true;
            break;
        case EARLY:
            peer->early = true;
            break;
        case EMPTY:
            peer->empty = true;
            break;
        case FLOOD:
            peer->flood = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

static int run(struct peer *peer, bool server)
{
    mbedtls_entropy_init(&peer->entropy);
    mbedtls_ctr_drbg_init(&peer->drbg);
    mbedtls_ssl_config_init(&peer->conf);
    mbedtls_ssl_init(&peer->ssl);
    peer->socket = -1;
    bool done = set_up(peer, server) && (server ? accept_tcp(peer) : connect_tcp(peer));
    done = done && (server ? serve(peer) : call(peer));
    mbedtls_ssl_free(&peer->ssl);
    mbedtls_ssl_config_free(&peer->conf);
    mkt_streams_free(peer->streams);
    mbedtls_ctr_drbg_free(&peer->drbg);
    mbedtls_entropy_free(&peer->entropy);
    if (peer->socket >= 0)
        close(peer->socket);
    return done ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct peer peer = {.socket = -1};
    alarm(PATIENCE);
#if MBEDTLS_VERSION_MAJOR >= 3
    if (psa_crypto_init() != PSA_SUCCESS)
        return 1;
#endif
    if (strcmp(what, "suites") == 0 && argc == 3)
        return show_suites(argv[2]);
    if (strcmp(what, "version") == 0) {
        puts(MBEDTLS_VERSION_STRING);
        return 0;
    }
    if (strcmp(what, "port") == 0) {
        int listener;
        printf("%u\n", listen_tcp(&listener));
        return 0;
    }
    bool server = strcmp(what, "server") == 0;
    if ((!server && strcmp(what, "client") != 0) || !options_get(&peer, argc - 1, argv + 1)) {
        fprintf(stderr, "usage: tlspeer server|client|suites|version|port ...: see tests/tlspeer.c\n");
        return 2;
    }
    return run(&peer, server);
}
