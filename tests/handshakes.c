/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many calls at once on loopback: a client process opens all connections, each for a stream with a key of its own, one
 * in ten with a wrong key, and keeps them open until the last handshake is over. The server is this process, with some
 * threads and one configuration.
 *
 * - A third of the streams is announced: their clients connect before the key, each from an address that tells the
 *   stream. They get their keys when all of them wait.
 * - A third is removed by another thread while its clients talk.
 * - The rest talks to its end.
 *
 * Every right client must get its own stream and nothing of another's, every wrong one none. Afterwards the keys of the
 * streams that had a connection are nowhere in the memory of the server, and in the end none is.
 *
 *     handshakes [N]      2,000 by default, or what the environment variable HANDSHAKES says
 */
#define _DEFAULT_SOURCE /* clock_gettime, fork */

#include <mikeyticket/streams.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* they map more memory than can be searched */
#endif

enum { MANY = 2000, MOST = 10000, THREADS = 4, AT_ONCE = 16, KEY = 32, MARK = 16, PATIENCE = 280, SKIP = 77 };
enum { ROUNDS = 10 }; /* how often a client says something and hears it again */

enum state { SHAKING, TALKING, HELD, OVER };

/* The context is the first member: it tells the connection. */
struct connection {
    mbedtls_ssl_context ssl;
    int socket;
    short wants; /* of poll() */
    enum state state;
    bool waited; /* for its key */
    int wake;    /* written to when another thread has woken it */
    atomic_bool woken;
};

/* What a client says, and hears again. */
struct words {
    uint64_t stream, round;
};

/* Of the client: with a configuration of its own. */
struct caller {
    struct connection connection;
    mbedtls_ssl_config conf;
    bool wrong;
    bool asked; /* and the answer has not come yet */
    uint64_t round;
};

struct server {
    struct mkt_streams *streams;
    mbedtls_ssl_config conf;
    struct mkt_tls tls;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    int listener;
    size_t n;
    atomic_size_t over, waiting, connected, most_connected, refused, closed, removed, ended, errors;
};

static void fail(const char *what)
{
    fprintf(stderr, "handshakes: %s\n", what);
    exit(EXIT_FAILURE);
}

static bool is_wrong(size_t i)
{
    return i % 10 == 3;
}

static bool is_early(size_t i)
{
    return i % 3 == 0;
}

static bool is_removed(size_t i)
{
    return i % 3 == 1 && !is_wrong(i);
}

static size_t count_up_to(size_t n, bool (*is)(size_t i))
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += is(i);
    return count;
}

/* The address that a client calls from: 127.1.x.y tells the stream, 127.0.0.1 nothing. */
static uint32_t address_of(size_t i)
{
    return is_early(i) ? 0x7f010000u + (uint32_t)i : INADDR_LOOPBACK;
}

/* The octets that all keys begin with. They are computed, so that they stand nowhere but in keys. */
static uint8_t mark(size_t i)
{
    return (uint8_t)(i * i * 29 + i * 101 + 83);
}

static void make_key(uint8_t key[KEY], size_t number)
{
    for (size_t i = 0; i < MARK; i++)
        key[i] = mark(i);
    for (size_t i = MARK; i < KEY; i++)
        key[i] = (uint8_t)(number >> 8 * (i % 4)) ^ (uint8_t)i;
}

static struct mkt_span make_name(char name[48], size_t number)
{
    snprintf(name, 48, "mikey-ticket:%08zx:01:01", number);
    return mkt_span_text(name);
}

static int tcp_send(void *user, const unsigned char *octets, size_t n)
{
    const struct connection *connection = user;
    ssize_t sent = send(connection->socket, octets, n, MSG_NOSIGNAL);
    if (sent >= 0)
        return (int)sent;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_NET_CONN_RESET;
}

static int tcp_receive(void *user, unsigned char *octets, size_t n)
{
    const struct connection *connection = user;
    ssize_t got = recv(connection->socket, octets, n, 0);
    if (got >= 0)
        return (int)got;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_NET_CONN_RESET;
}

static void open_connection(struct connection *connection, const mbedtls_ssl_config *conf, int tcp)
{
    mbedtls_ssl_init(&connection->ssl);
    if (mbedtls_ssl_setup(&connection->ssl, conf) != 0)
        fail("no context");
    mbedtls_ssl_set_bio(&connection->ssl, connection, tcp_send, tcp_receive, NULL);
    if (fcntl(tcp, F_SETFL, O_NONBLOCK) != 0)
        fail("fcntl");
    connection->socket = tcp;
    connection->wants = POLLIN;
    connection->state = SHAKING;
}

static void close_connection(struct connection *connection)
{
    mbedtls_ssl_free(&connection->ssl);
    close(connection->socket);
    connection->state = OVER;
}

/* The client */

static void start_caller(struct caller *caller, size_t number, const struct sockaddr_in *to, const struct mkt_tls *tls,
                         mbedtls_ctr_drbg_context *drbg)
{
    uint8_t key[KEY];
    char name[48];
    int cause;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(address_of(number));
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    if (tcp < 0 || bind(tcp, (const struct sockaddr *)&from, sizeof from) != 0 ||
        connect(tcp, (const struct sockaddr *)to, sizeof *to) != 0)
        fail("connect");
    make_key(key, number);
    caller->wrong = is_wrong(number);
    if (caller->wrong)
        key[KEY - 1] ^= 1;
    mbedtls_ssl_config_init(&caller->conf);
    mbedtls_ssl_conf_rng(&caller->conf, mbedtls_ctr_drbg_random, drbg);
    if (mkt_tls_setup_psk(&caller->conf, tls, (struct mkt_span){key, KEY}, make_name(name, number), &cause) != MKT_OK)
        fail("no configuration for a client");
    open_connection(&caller->connection, &caller->conf, tcp);
    caller->connection.wants = POLLOUT;
}

/* Goes on with a connection of the client's as far as it goes. */
static void call(struct caller *caller, uint64_t number)
{
    struct connection *connection = &caller->connection;
    uint64_t stream = 0;
    int result = connection->state == SHAKING ? mbedtls_ssl_handshake(&connection->ssl) : 0;
    if (connection->state == SHAKING && result == 0) {
        if (caller->wrong)
            fail("a handshake with a wrong key succeeded");
        connection->state = TALKING;
    }
    if (connection->state == TALKING) {
        result = mbedtls_ssl_read(&connection->ssl, (unsigned char *)&stream, sizeof stream);
        if (result == (int)sizeof stream) {
            if (stream != number)
                fail("the stream of another");
            connection->state = HELD;
            return;
        }
    }
    connection->wants = result == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN;
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return;
    if (!caller->wrong || result != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        fprintf(stderr, "stream %llu: -0x%04x\n", (unsigned long long)number, (unsigned)-result);
        fail("a client failed that should not");
    }
    close_connection(connection);
}

/* Says something, and hears it again. A removed client says and hears as long as it can. */
static void talk(struct caller *caller, uint64_t number)
{
    struct connection *connection = &caller->connection;
    const struct words says = {number, caller->round};
    struct words hears;
    int result = (int)sizeof says;
    if (!caller->asked)
        result = mbedtls_ssl_write(&connection->ssl, (const unsigned char *)&says, sizeof says);
    caller->asked |= result == (int)sizeof says;
    if (caller->asked)
        result = mbedtls_ssl_read(&connection->ssl, (unsigned char *)&hears, sizeof hears);
    connection->wants = result == MBEDTLS_ERR_SSL_WANT_READ ? POLLIN : POLLOUT;
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return;
    if (result == (int)sizeof hears) {
        if (hears.stream != number || hears.round != caller->round)
            fail("the words of another");
        caller->asked = false;
        if (++caller->round < ROUNDS || is_removed(number))
            return;
        (void)mbedtls_ssl_close_notify(&connection->ssl);
    } else if (!is_removed(number)) {
        fail("a stream ended that should not");
    }
    close_connection(connection);
}

static void be_client(size_t n, const struct sockaddr_in *to)
{
    struct caller *callers = calloc(n, sizeof *callers);
    struct pollfd *polled = calloc(n, sizeof *polled);
    const struct mkt_tls_settings settings = {.size = sizeof settings, .end = MKT_END_CLIENT};
    struct mkt_tls tls; /* of all callers */
    size_t left = n;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
    if (callers == NULL || polled == NULL || mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0) != 0)
        fail("no memory or random octets");
    if (mkt_tls_choose(&tls, &settings) != MKT_OK)
        fail("no choice of suites");
    for (size_t i = 0; i < n; i++)
        start_caller(&callers[i], i, to, &tls, &drbg);

    for (enum state until = HELD; until <= OVER; until++) {
        for (size_t i = 0; i < n; i++) {
            if (callers[i].connection.state == HELD)
                callers[i].connection.wants = POLLOUT;
        }
        while (left > 0) {
            for (size_t i = 0; i < n; i++) {
                const struct connection *connection = &callers[i].connection;
                const int fd = connection->state < until ? connection->socket : -1;
                polled[i] = (struct pollfd){.fd = fd, .events = connection->wants};
            }
            if (poll(polled, n, -1) < 0)
                fail("poll");
            for (size_t i = 0; i < n; i++) {
                if (polled[i].revents == 0)
                    continue;
                if (until == HELD)
                    call(&callers[i], i);
                else
                    talk(&callers[i], i);
                left -= callers[i].connection.state >= until;
            }
        }
        for (size_t i = 0; i < n; i++)
            left += callers[i].connection.state == HELD;
    }
    for (size_t i = 0; i < n; i++)
        mbedtls_ssl_config_free(&callers[i].conf);
    mbedtls_ctr_drbg_free(&drbg);
    mbedtls_entropy_free(&entropy);
    free(polled);
    free(callers);
}

/* The server */

static void ended(void *user, uint64_t stream, enum mkt_tls_state how)
{
    struct server *server = user;
    if (how != (is_removed((size_t)stream) ? MKT_TLS_REMOVED : MKT_TLS_CLOSED) || is_wrong((size_t)stream))
        server->errors++;
    server->ended++;
}

/* The connection exists until this returns, but not for ever: so its thread is told no more than to look. */
static void wake(void *user, mbedtls_ssl_context *ssl)
{
    struct connection *connection = (struct connection *)(void *)ssl;
    struct server *server = user;
    connection->woken = true;
    if (write(connection->wake, "", 1) != 1 && errno != EAGAIN) /* a pipe that is full wakes as well */
        server->errors++;
}

static void give_key(struct server *server, size_t i)
{
    uint8_t key[KEY];
    char name[48];
    make_key(key, i);
    if (mkt_streams_add(server->streams, i, (struct mkt_span){key, KEY}, make_name(name, i)) != MKT_OK)
        fail("a stream can't be added");
    mbedtls_platform_zeroize(key, KEY);
}

static void set_up_server(struct server *server, size_t n)
{
    const struct mkt_streams_settings settings = {.size = sizeof settings,
                                                  .rng = mbedtls_ctr_drbg_random,
                                                  .rng_user = &server->drbg,
                                                  .most = n,
                                                  .user = server,
                                                  .ended = ended,
                                                  .wake = wake};
    const struct mkt_tls_settings tls = {.size = sizeof tls, .end = MKT_END_SERVER};
    int cause;
    server->n = n;
    mbedtls_entropy_init(&server->entropy);
    mbedtls_ctr_drbg_init(&server->drbg);
    mbedtls_ssl_config_init(&server->conf);
    if (mbedtls_ctr_drbg_seed(&server->drbg, mbedtls_entropy_func, &server->entropy, NULL, 0) != 0)
        fail("no random octets");
    mbedtls_ssl_conf_rng(&server->conf, mbedtls_ctr_drbg_random, &server->drbg);
    if (mkt_streams_new(&server->streams, &settings) != MKT_OK || mkt_tls_choose(&server->tls, &tls) != MKT_OK ||
        mkt_streams_server(server->streams, &server->conf, &server->tls, &cause) != MKT_OK)
        fail("no server");
    for (size_t i = 0; i < n; i++) {
        if (!is_early(i))
            give_key(server, i);
        else if (mkt_streams_announce(server->streams, i, 0) != MKT_OK)
            fail("a stream can't be announced");
    }
}

/* What became of a connection; it is over. */
static void count(struct server *server, struct connection *connection, atomic_size_t *counter)
{
    if (connection->state == TALKING)
        server->connected--;
    ++*counter;
    close_connection(connection);
    server->over++;
}

/* Goes on with a connection of the server's as far as it goes. */
static void serve(struct server *server, struct connection *connection)
{
    mbedtls_ssl_context *ssl = &connection->ssl;
    struct words words;
    uint64_t stream;
    int result;
    if (connection->state == SHAKING) {
        const enum mkt_err err = mkt_streams_handshake(server->streams, ssl, &result);
        connection->wants = result == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN;
        if (err == MKT_E_NO_KEY) {
            server->waiting += !connection->waited;
            connection->waited = true;
            connection->wants = 0;
        }
        if (err == MKT_E_AGAIN || err == MKT_E_NO_KEY)
            return;
        if (err != MKT_OK) {
            const bool failed = mkt_streams_status(server->streams, ssl, result) == MKT_TLS_FAILED;
            count(server, connection, failed ? &server->refused : &server->errors);
            return;
        }
        size_t connected = ++server->connected, most = server->most_connected;
        while (connected > most && !atomic_compare_exchange_weak(&server->most_connected, &most, connected))
            ;
        connection->state = TALKING;
        if (mkt_streams_find(server->streams, ssl, &stream) != MKT_OK || is_wrong((size_t)stream) ||
            mbedtls_ssl_write(ssl, (const unsigned char *)&stream, sizeof stream) != (int)sizeof stream) {
            count(server, connection, &server->errors);
            return;
        }
    }
    result = mbedtls_ssl_read(ssl, (unsigned char *)&words, sizeof words);
    if (result == (int)sizeof words) {
        const bool found = mkt_streams_find(server->streams, ssl, &stream) == MKT_OK;
        if (found ? words.stream != stream : !is_removed((size_t)words.stream))
            server->errors++;
        result = mbedtls_ssl_write(ssl, (const unsigned char *)&words, sizeof words);
    }
    const enum mkt_tls_state state = mkt_streams_status(server->streams, ssl, result);
    if (state == MKT_TLS_CLOSED)
        count(server, connection, &server->closed);
    else if (state == MKT_TLS_REMOVED)
        count(server, connection, &server->removed);
    else if (state != MKT_TLS_OPEN)
        count(server, connection, &server->errors);
}

static struct connection *take_connection(struct server *server, int tcp, const struct sockaddr_in *from, int wake_fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        fail("no memory");
    open_connection(connection, &server->conf, tcp);
    connection->wake = wake_fd;
    const struct mkt_tls_bio bio = {.user = connection, .send = tcp_send, .receive = tcp_receive};
    const uint32_t address = ntohl(from->sin_addr.s_addr);
    const uint64_t stream = address - address_of(0);
    if (mkt_streams_bind(server->streams, &connection->ssl, address == INADDR_LOOPBACK ? NULL : &stream, &bio) !=
        MKT_OK)
        fail("bind");
    return connection;
}

/* A thread: takes connections as they come, and serves those that it took. */
static void *work(void *user)
{
    struct server *server = user;
    struct connection **connections = calloc(server->n, sizeof *connections);
    struct pollfd *polled = calloc(server->n + 2, sizeof *polled);
    size_t n = 0;
    int wakes[2];
    if (connections == NULL || polled == NULL || pipe(wakes) != 0 || fcntl(wakes[0], F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(wakes[1], F_SETFL, O_NONBLOCK) != 0)
        fail("no memory, or no pipe");
    while (server->over < server->n) {
        polled[0] = (struct pollfd){.fd = server->listener, .events = POLLIN};
        polled[1] = (struct pollfd){.fd = wakes[0], .events = POLLIN};
        for (size_t i = 0; i < n; i++)
            polled[i + 2] = (struct pollfd){.fd = connections[i]->socket, .events = connections[i]->wants};
        if (poll(polled, n + 2, 50) < 0)
            fail("poll");
        char octets[256];
        while (read(wakes[0], octets, sizeof octets) > 0)
            ;
        for (size_t i = n; i-- > 0;) {
            const bool woken = atomic_exchange(&connections[i]->woken, false);
            if (polled[i + 2].revents != 0 || woken)
                serve(server, connections[i]);
            if (connections[i]->state == OVER) {
                free(connections[i]);
                connections[i] = connections[--n];
            }
        }
        for (int i = 0; i < AT_ONCE && polled[0].revents != 0; i++) {
            struct sockaddr_in from;
            socklen_t length = sizeof from;
            int tcp = accept(server->listener, (struct sockaddr *)&from, &length);
            if (tcp < 0)
                break; /* another thread has it */
            connections[n] = take_connection(server, tcp, &from, wakes[1]);
            serve(server, connections[n++]); /* a stream that has no key yet */
        }
    }
    while (n > 0)
        free(connections[--n]);
    close(wakes[0]);
    close(wakes[1]);
    free(connections);
    free(polled);
    return NULL;
}

/* What the MRFC asks for meanwhile. */
static void *control(void *user)
{
    struct server *server = user;
    const struct timespec a_little = {.tv_nsec = 1000000};
    const size_t early = count_up_to(server->n, is_early), wrong = count_up_to(server->n, is_wrong);
    while (server->waiting < early)
        (void)nanosleep(&a_little, NULL);
    for (size_t i = 0; i < server->n; i++) {
        if (is_early(i))
            give_key(server, i);
    }
    while (server->connected < server->n - wrong)
        (void)nanosleep(&a_little, NULL);
    for (size_t i = 0; i < server->n; i++) {
        if (is_removed(i) && mkt_streams_remove(server->streams, i) != MKT_OK)
            server->errors++;
    }
    return NULL;
}

/* How often the mark stands in memory. Not to be found in itself, it compares octet by octet. */
static size_t marks_in(const uint8_t *p, size_t n)
{
    size_t found = 0;
    for (const uint8_t *end = p + n; (p = memchr(p, mark(0), (size_t)(end - p))) != NULL; p++) {
        size_t i = 1;
        while (i < MARK && i < (size_t)(end - p) && p[i] == mark(i))
            i++;
        found += i == MARK;
    }
    return found;
}

/* The same in all that the process can write: heap, freed or not, data, and the stacks of threads, gone or not. */
static size_t marks_in_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t found = 0;
    if (maps == NULL)
        fail("no /proc/self/maps");
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long long begin, end;
        char how[5];
        if (sscanf(line, "%llx-%llx %4s", &begin, &end, how) == 3 && how[0] == 'r' && how[1] == 'w')
            found += marks_in((const uint8_t *)(uintptr_t)begin, (size_t)(end - begin));
    }
    fclose(maps);
    return found;
}

static void expect(const char *what, size_t got, size_t want)
{
    if (got == want)
        return;
    fprintf(stderr, "handshakes: %s: %zu, not %zu\n", what, got, want);
    exit(EXIT_FAILURE);
}

static void listen_tcp(struct server *server, struct sockaddr_in *at)
{
    socklen_t length = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET};
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0 || bind(server->listener, (const struct sockaddr *)at, length) != 0 ||
        listen(server->listener, MOST) != 0 || getsockname(server->listener, (struct sockaddr *)at, &length) != 0 ||
        fcntl(server->listener, F_SETFL, O_NONBLOCK) != 0)
        fail("no listener");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool psa_ready(void)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return psa_crypto_init() == PSA_SUCCESS;
#else
    return true;
#endif
}

/* Room for so many sockets, as far as this process may. */
static bool allow_sockets(size_t n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > n + 64;
}

int main(int argc, char **argv)
{
    const char *wish = argc > 1 ? argv[1] : getenv("HANDSHAKES");
    const size_t n = wish != NULL ? strtoul(wish, NULL, 10) : MANY;
    static struct server server;
    struct sockaddr_in at;
    if (n == 0 || n > MOST)
        fail("a number of handshakes from 1 to 10,000, please");
    if (!allow_sockets(n)) {
        printf("not enough file descriptors here: ulimit -n\n");
        return SKIP;
    }
    alarm(PATIENCE);
    listen_tcp(&server, &at);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0 || !psa_ready())
        fail("fork, or psa_crypto_init()");
    if (child == 0) {
        alarm(PATIENCE);
        close(server.listener);
        be_client(n, &at);
        exit(EXIT_SUCCESS);
    }

    double begin = seconds();
    pthread_t thread[THREADS + 1];
    const size_t wrong = count_up_to(n, is_wrong), early = count_up_to(n, is_early),
                 removed = count_up_to(n, is_removed);
    int status;
    set_up_server(&server, n);
    if (!SANITIZED)
        expect("keys in memory while the streams wait", marks_in_memory(), n - early);
    for (size_t i = 0; i <= THREADS; i++) {
        if (pthread_create(&thread[i], NULL, i < THREADS ? work : control, &server) != 0)
            fail("no thread");
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail("the client failed");
    for (size_t i = 0; i <= THREADS; i++)
        pthread_join(thread[i], NULL);
    double took = seconds() - begin;

    expect("errors", server.errors, 0);
    expect("connected at once", server.most_connected, n - wrong);
    expect("connected before their keys", server.waiting, early);
    expect("closed", server.closed, n - wrong - removed);
    expect("removed", server.removed, removed);
    expect("streams that ended", server.ended, n - wrong);
    expect("refused", server.refused, wrong);
    expect("streams that wait", mkt_streams_count(server.streams), wrong);
    if (!SANITIZED)
        expect("keys in memory of streams that wait", marks_in_memory(), wrong);
    mkt_streams_free(server.streams);
    mbedtls_ssl_config_free(&server.conf);
    mbedtls_ctr_drbg_free(&server.drbg);
    mbedtls_entropy_free(&server.entropy);
    if (!SANITIZED)
        expect("keys in memory in the end", marks_in_memory(), 0);
    printf(
        "%zu handshakes, %zu with a wrong key, %zu before their keys, %zu connected at once, %zu removed, in %.1f s\n",
        n, wrong, early, n - wrong, removed, took);
    return EXIT_SUCCESS;
}
