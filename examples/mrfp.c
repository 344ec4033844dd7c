/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An MRFP (3GPP TS 23.333 5.20.2): the media plane of a conference or application server. It has the TCP and TLS
 * connections of many MSRP and BFCP streams, each with a key of its own. An MRFC, which speaks SIP and MIKEY-TICKET,
 * gives it streams and keys over a Unix socket.
 *
 *     mrfp --socket PATH [--address IP] [--expire SECONDS]
 *
 * It prints `mrfp: ready on PATH` when MRFCs can connect, and ends with SIGTERM or SIGINT. --address is the address that
 * it awaits peers at and connects from, 127.0.0.1 by default. The socket has mode 0600: anybody who can connect can read
 * no key, but can add and remove streams.
 *
 * Commands. A command is one line that ends in LF, with one blank between two words. Each gets one line as its answer,
 * in the order of the commands:
 *
 *     add NAME passive msrp|bfcp client|server IDENTITY HEXKEY
 *     add NAME active msrp|bfcp client|server IDENTITY HEXKEY HOST PORT [OWN-PATH PEER-PATH]
 *     announce NAME passive msrp|bfcp client|server
 *                                   -> ok NAME PORT
 *     key NAME IDENTITY HEXKEY      -> ok NAME
 *     remove NAME                   -> ok NAME
 *     count                         -> ok N             streams that are announced, awaited or connected
 *     quiet                         -> ok quiet         this MRFC gets no events from now on
 *     any of them                   -> error NAME TEXT  the command can't be done
 *                                   -> error - TEXT     the line is wrong
 *
 * After an error nothing has changed. TEXT is for people. PORT is the TCP port where a passive stream is awaited, or the
 * local port of an active one.
 *
 * - NAME: 1 to 128 octets that the MRFC chooses. Each stream has one of its own as long as it is there.
 * - passive or active: whether the MRFP awaits TCP or opens it (mkt_roles.tcp: MKT_END_SERVER or MKT_END_CLIENT).
 * - client or server: the role in TLS (mkt_roles.tls). MSRP: the active end is the client (RFC 6135 6). BFCP: the
 *   offerer is the client, whether it is active or passive (RFC 8856 8).
 * - IDENTITY: the PSK identity of mkt_csb_psk_identity(), up to 256 octets. No other stream has it.
 * - HEXKEY: the TEK of mkt_csb_tek(), 16 to 32 octets, as hex digits.
 * - HOST: an IP address, no name.
 * - OWN-PATH and PEER-PATH: a=path of both ends. With them the MRFP sends an MSRP SEND without content as soon as TLS
 *   is there, which an active end must do (RFC 4975 5.4). Without them the MRFC has the peer send first.
 * - All words are visible ASCII. A line has up to 4,096 octets.
 *
 * `announce` is for an offer that lets the peer connect: the peer may connect before its answer, and the key, are here.
 * Its connections wait, unread, until `key` gives the stream its key. Without it the stream expires after --expire
 * SECONDS, 300 by default. For a stream that has a key, `key` replaces it: the connection goes on, and the key is for the
 * next handshake.
 *
 * Events are lines that come unasked, to each MRFC that is connected, between the answers:
 *
 *     connected NAME                TCP and TLS are there, and the peer has proved the key
 *     failed NAME REASON            TCP or TLS failed before that. A passive stream waits for another connection, an
 *                                   active one is gone. REASON is for people
 *     ended NAME HOW                the stream is gone: its key is wiped and TCP is released. HOW is one of
 *                                   closed, cut, alert, failed: the session ended, as enum mkt_tls_state has it
 *                                   removed: by the command `remove`, if the stream was connected
 *                                   expired: announced, and no key came
 *
 * A stream belongs to no MRFC: any of them may add, re-key or remove it, and it stays if they all disconnect. An MRFC
 * that does not read loses its connection when 65,536 octets wait for it; the streams stay.
 *
 * Media. MSRP (RFC 4975): a SEND is answered with 200 OK. If its text begins with `echo `, the MRFP sends the rest of the
 * text back in a SEND of its own. BFCP (RFC 4582, 8855): the MRFP is the floor control server; it answers Hello with
 * HelloAck, and other primitives with an Error. Nothing is forwarded from one stream to another.
 */
#define _GNU_SOURCE /* accept4, explicit_bzero */

#include "media.h"
#include "mrfp-tls.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_LINE = 4096,      /* octets of a command */
    MAX_WAITING = 65536,  /* octets that an MRFC has not read */
    MAX_NAME = 128,       /* octets */
    MAX_IDENTITY = 256,   /* octets; OpenSSL takes no more */
    MAX_WORDS = 12,       /* of a command, and one too many */
    MAX_HANDSHAKES = 8,   /* that a stream has at once; further connections wait in the queue of TCP */
    HANDSHAKE_MS = 10000, /* for TCP and TLS; for strangers that connect and say nothing, too */
    RELEASE_MS = 2000     /* until the peer has released TCP, too */
};

struct mrfp;

/* What epoll watches; the first member of that which has the descriptor. */
struct watched {
    void (*ready)(struct mrfp *mrfp, struct watched *watched, uint32_t events);
    int fd; /* -1: none */
    uint32_t events;
};

/* An MRFC that is connected. */
struct mrfc {
    struct watched watched;
    struct mrfc *next;
    char in[MAX_LINE];
    size_t n;
    bool too_long; /* the rest of a line is thrown away */
    bool quiet, gone;
    struct octets out;
};

/* A TCP connection. It has its stream until that has ended, and then waits for the end of TLS and TCP. */
struct connection {
    struct watched watched;
    struct connection *next;
    struct stream *stream;
    struct tls_session *session;
    enum { OPENING, SHAKING, TALKING, CLOSING, RELEASING } state;
    int64_t deadline; /* in ms of the monotonic clock; 0: none */
    struct octets out;
    struct media media;
};

/* A stream, and its TCP listener if it is passive. */
struct stream {
    struct watched watched;
    struct stream *next;
    char name[MAX_NAME + 1];
    bool bfcp, passive, has_key;
    int64_t expires; /* if it has no key until then */
    struct tls_stream *tls;
    struct connection *connected;
    char *own_path, *peer_path; /* or NULL */
};

struct mrfp {
    struct watched socket, signals;
    int epoll;
    const char *path;
    struct sockaddr_storage address;
    socklen_t n_address;
    int64_t expire_ms;
    int64_t swept;
    bool stopped;
    struct tls *tls;
    struct mrfc *mrfcs;
    struct connection *connections;
    struct stream *streams;
    size_t n_streams;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void watch(struct mrfp *mrfp, struct watched *watched, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watched};
    if (watched->events == events)
        return;
    epoll_ctl(mrfp->epoll,
              watched->events == 0 ? EPOLL_CTL_ADD
              : events == 0        ? EPOLL_CTL_DEL
                                   : EPOLL_CTL_MOD,
              watched->fd, &event);
    watched->events = events;
}

static void unwatch(struct mrfp *mrfp, struct watched *watched)
{
    if (watched->fd < 0)
        return;
    watch(mrfp, watched, 0);
    close(watched->fd);
    watched->fd = -1;
}

/* ---- what MRFCs are told ---- */

/* Sends what the MRFC reads now; the rest waits. It gives no further commands meanwhile. */
static void flush_mrfc(struct mrfp *mrfp, struct mrfc *mrfc)
{
    while (mrfc->out.n > 0) {
        const ssize_t n = send(mrfc->watched.fd, mrfc->out.p, mrfc->out.n, MSG_NOSIGNAL);
        if (n <= 0) {
            mrfc->gone |= errno != EAGAIN && errno != EINTR;
            break;
        }
        octets_drop(&mrfc->out, (size_t)n);
    }
    watch(mrfp, &mrfc->watched, mrfc->out.n > 0 ? EPOLLOUT : EPOLLIN);
}

static void add_line(struct mrfp *mrfp, struct mrfc *mrfc, const char *format, va_list list)
{
    char line[MAX_LINE];
    const int n = vsnprintf(line, sizeof line - 1, format, list);
    if (n < 0 || (size_t)n >= sizeof line - 1 || mrfc->out.n + (size_t)n >= MAX_WAITING) {
        mrfc->gone = true;
        return;
    }
    line[n] = '\n';
    const bool waits = mrfc->out.n > 0;
    mrfc->gone |= !octets_add(&mrfc->out, line, (size_t)n + 1);
    if (!waits)
        flush_mrfc(mrfp, mrfc);
}

__attribute__((format(printf, 3, 4))) static void reply(struct mrfp *mrfp, struct mrfc *mrfc, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_line(mrfp, mrfc, format, list);
    va_end(list);
}

/* An event, for all MRFCs. */
__attribute__((format(printf, 2, 3))) static void tell(struct mrfp *mrfp, const char *format, ...)
{
    for (struct mrfc *mrfc = mrfp->mrfcs; mrfc != NULL; mrfc = mrfc->next) {
        va_list list;
        va_start(list, format);
        if (!mrfc->quiet && !mrfc->gone)
            add_line(mrfp, mrfc, format, list);
        va_end(list);
    }
}

/* ---- streams and connections ---- */

static struct stream *find_stream(const struct mrfp *mrfp, const char *name)
{
    struct stream *stream = mrfp->streams;
    while (stream != NULL && strcmp(stream->name, name) != 0)
        stream = stream->next;
    return stream;
}

static void connection_free(struct mrfp *mrfp, struct connection *connection)
{
    struct connection **link = &mrfp->connections;
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    tls_end(connection->session);
    unwatch(mrfp, &connection->watched);
    free(connection->out.p);
    free(connection);
}

/* Ends what a stream has, except its connection `keep`. */
static void drop_connections(struct mrfp *mrfp, const struct stream *stream, const struct connection *keep)
{
    for (struct connection *connection = mrfp->connections, *next; connection != NULL; connection = next) {
        next = connection->next;
        if (connection->stream == stream && connection != keep)
            connection_free(mrfp, connection);
    }
}

static void stream_free(struct mrfp *mrfp, struct stream *stream)
{
    struct stream **link = &mrfp->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    mrfp->n_streams--;
    drop_connections(mrfp, stream, NULL);
    tls_stream_free(stream->tls);
    unwatch(mrfp, &stream->watched);
    free(stream->own_path);
    free(stream->peer_path);
    free(stream);
}

/* Awaits the peer, unless as many connections as may be are there already. */
static void await_peer(struct mrfp *mrfp, struct stream *stream)
{
    int n = 0;
    for (const struct connection *connection = mrfp->connections; connection != NULL; connection = connection->next)
        n += connection->stream == stream;
    if (stream->watched.fd >= 0)
        watch(mrfp, &stream->watched, n < MAX_HANDSHAKES ? EPOLLIN : 0);
}

/* Releases TLS, then TCP. What the peer still sends is read, as TCP would be reset otherwise and our last octets lost. */
static void release(struct mrfp *mrfp, struct connection *connection)
{
    connection->state = CLOSING;
    connection->deadline = now_ms() + RELEASE_MS;
    if (tls_close(connection->session) == TLS_WRITE) {
        watch(mrfp, &connection->watched, EPOLLOUT);
        return;
    }
    connection->state = RELEASING;
    shutdown(connection->watched.fd, SHUT_WR);
    watch(mrfp, &connection->watched, EPOLLIN);
}

/* The connection of a stream has ended, and the stream with it. */
static void end(struct mrfp *mrfp, struct connection *connection, const char *how)
{
    struct stream *stream = connection->stream;
    tell(mrfp, "ended %s %s", stream->name, how);
    release(mrfp, connection);
    connection->stream = NULL;
    stream_free(mrfp, stream);
}

/* A connection has failed before its stream had it. */
static void fail(struct mrfp *mrfp, struct connection *connection, const char *why)
{
    struct stream *stream = connection->stream;
    tell(mrfp, "failed %s %s", stream->name, why);
    connection->stream = NULL;
    if (connection->session != NULL)
        release(mrfp, connection); /* there may be an alert to be read */
    else
        connection_free(mrfp, connection);
    if (stream->passive)
        await_peer(mrfp, stream);
    else
        stream_free(mrfp, stream);
}

/* Writes what there is, as far as TCP takes it. */
static enum tls_state write_all(struct connection *connection)
{
    while (connection->out.n > 0) {
        size_t n = connection->out.n;
        const enum tls_state state = tls_write(connection->session, connection->out.p, &n);
        if (state != TLS_DONE)
            return state;
        octets_drop(&connection->out, n);
    }
    return TLS_DONE;
}

/* Reads only if everything is written: a peer that does not read our answers can't ask for more. */
static void talk(struct mrfp *mrfp, struct connection *connection)
{
    static const char *const ends[] = {[TLS_CLOSED] = "closed", [TLS_CUT] = "cut", [TLS_ALERT] = "alert"};
    uint8_t octets[TLS_RECORD];
    size_t n = 0;
    enum tls_state state = write_all(connection);
    if (state == TLS_DONE)
        state = tls_read(connection->session, octets, &n);
    if (state == TLS_DONE) {
        state = media_take(&connection->media, octets, n, &connection->out) ? write_all(connection) : TLS_FAILED;
        state = state == TLS_DONE ? TLS_READ : state;
    }
    if (state == TLS_READ || state == TLS_WRITE)
        watch(mrfp, &connection->watched, state == TLS_READ ? EPOLLIN : EPOLLOUT);
    else
        end(mrfp, connection, state == TLS_FAILED ? "failed" : ends[state]);
}

/* The peer has proved the key: this is the connection of the stream, and there is no other. */
static void connected(struct mrfp *mrfp, struct connection *connection)
{
    struct stream *stream = connection->stream;
    drop_connections(mrfp, stream, connection);
    unwatch(mrfp, &stream->watched);
    stream->connected = connection;
    connection->state = TALKING;
    connection->deadline = 0;
    connection->media.name = stream->name;
    connection->media.bfcp = stream->bfcp;
    connection->media.own_path = stream->own_path;
    tell(mrfp, "connected %s", stream->name);
    if (stream->peer_path != NULL && !media_begin(&connection->media, stream->peer_path, &connection->out))
        end(mrfp, connection, "failed");
    else
        talk(mrfp, connection);
}

static void shake(struct mrfp *mrfp, struct connection *connection)
{
    const char *why = "";
    const enum tls_state state = tls_handshake(connection->session, &why);
    if (state == TLS_DONE)
        connected(mrfp, connection);
    else if (state == TLS_KEY) /* not read: that TCP ends is all that matters */
        watch(mrfp, &connection->watched, EPOLLRDHUP);
    else if (state == TLS_READ || state == TLS_WRITE)
        watch(mrfp, &connection->watched, state == TLS_READ ? EPOLLIN : EPOLLOUT);
    else
        fail(mrfp, connection, why);
}

/* TCP is there. A stream without a key may wait for it until it expires. */
static void begin(struct mrfp *mrfp, struct connection *connection)
{
    struct stream *stream = connection->stream;
    connection->state = SHAKING;
    connection->deadline = stream->has_key ? now_ms() + HANDSHAKE_MS : 0;
    connection->session = tls_begin(stream->tls, connection->watched.fd);
    if (connection->session == NULL)
        fail(mrfp, connection, "no room for its TLS");
    else
        shake(mrfp, connection);
}

static void connection_ready(struct mrfp *mrfp, struct watched *watched, uint32_t events)
{
    struct connection *connection = (struct connection *)(void *)watched;
    int error = 0;
    socklen_t n = sizeof error;
    uint8_t octets[TLS_RECORD];
    switch (connection->state) {
    case OPENING:
        getsockopt(watched->fd, SOL_SOCKET, SO_ERROR, &error, &n);
        if (error != 0)
            fail(mrfp, connection, strerror(error));
        else
            begin(mrfp, connection);
        return;
    case SHAKING:
        if (!connection->stream->has_key && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
            fail(mrfp, connection, "TCP was closed");
        else
            shake(mrfp, connection);
        return;
    case TALKING:
        talk(mrfp, connection);
        return;
    case CLOSING:
        release(mrfp, connection);
        return;
    case RELEASING:
        if (recv(watched->fd, octets, sizeof octets, 0) <= 0)
            connection_free(mrfp, connection);
        return;
    }
}

static struct connection *connection_new(struct mrfp *mrfp, struct stream *stream, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->watched = (struct watched){.ready = connection_ready, .fd = fd};
    connection->stream = stream;
    connection->deadline = now_ms() + HANDSHAKE_MS;
    connection->next = mrfp->connections;
    mrfp->connections = connection;
    return connection;
}

/* The peer, or a stranger, connects to a passive stream. */
static void listener_ready(struct mrfp *mrfp, struct watched *watched, uint32_t events)
{
    struct stream *stream = (struct stream *)(void *)watched;
    (void)events;
    const int fd = accept4(watched->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *connection = fd >= 0 ? connection_new(mrfp, stream, fd) : NULL;
    if (connection != NULL) {
        await_peer(mrfp, stream);
        begin(mrfp, connection);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        watch(mrfp, watched, 0); /* until sweep() */
}

/* ---- commands ---- */

/* The address of the MRFP with any port, or that of a peer. */
static bool get_address(const char *host, const char *port, struct sockaddr_storage *address, socklen_t *n)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return false;
    memcpy(address, found->ai_addr, found->ai_addrlen);
    *n = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)&address)->sin6_port
                                               : ((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

/* A socket at the address of the MRFP, at a port that is free. */
static int new_socket(const struct mrfp *mrfp)
{
    const int fd = socket(mrfp->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&mrfp->address, mrfp->n_address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* What a command says of a new stream. */
struct wanted {
    const char *name;
    bool bfcp, passive, client, has_key;
    const char *identity;
    uint8_t key[64];
    size_t n_key;
    struct sockaddr_storage peer;
    socklen_t n_peer;
    const char *own_path, *peer_path;
};

/* Listens or begins to connect. NULL, or else why not. */
static const char *open_tcp(struct mrfp *mrfp, struct stream *stream, const struct wanted *wanted, unsigned *port)
{
    const int fd = new_socket(mrfp);
    if (fd < 0)
        return strerror(errno);
    if (wanted->passive) {
        stream->watched.fd = fd;
        *port = port_of(fd);
        if (listen(fd, MAX_HANDSHAKES) != 0)
            return strerror(errno);
        await_peer(mrfp, stream);
        return NULL;
    }
    struct connection *connection = connection_new(mrfp, stream, fd);
    if (connection == NULL) {
        close(fd);
        return "no memory";
    }
    if (connect(fd, (const struct sockaddr *)&wanted->peer, wanted->n_peer) != 0 && errno != EINPROGRESS)
        return strerror(errno);
    *port = port_of(fd);
    watch(mrfp, &connection->watched, EPOLLOUT);
    return NULL;
}

/* NULL, or else why not; the stream is there even then. */
static const char *stream_begin(struct mrfp *mrfp, struct stream *stream, const struct wanted *wanted, unsigned *port)
{
    stream->tls = tls_stream_new(mrfp->tls, wanted->client);
    if (wanted->own_path != NULL) {
        stream->own_path = strdup(wanted->own_path);
        stream->peer_path = strdup(wanted->peer_path);
    }
    if (stream->tls == NULL || (wanted->own_path != NULL && (stream->own_path == NULL || stream->peer_path == NULL)))
        return "no memory";
    if (wanted->has_key) {
        const char *why = tls_stream_key(stream->tls, wanted->key, wanted->n_key, wanted->identity);
        if (why != NULL)
            return why;
    }
    return open_tcp(mrfp, stream, wanted, port);
}

static void add(struct mrfp *mrfp, struct mrfc *mrfc, const struct wanted *wanted)
{
    struct stream *stream = find_stream(mrfp, wanted->name) == NULL ? calloc(1, sizeof *stream) : NULL;
    unsigned port = 0;
    if (stream == NULL) {
        reply(mrfp, mrfc, "error %s there is a stream of that name, or no memory", wanted->name);
        return;
    }
    strcpy(stream->name, wanted->name);
    stream->watched = (struct watched){.ready = listener_ready, .fd = -1};
    stream->bfcp = wanted->bfcp;
    stream->passive = wanted->passive;
    stream->has_key = wanted->has_key;
    stream->expires = now_ms() + mrfp->expire_ms;
    stream->next = mrfp->streams;
    mrfp->streams = stream;
    mrfp->n_streams++;
    const char *why = stream_begin(mrfp, stream, wanted, &port);
    if (why == NULL) {
        reply(mrfp, mrfc, "ok %s %u", wanted->name, port);
        return;
    }
    reply(mrfp, mrfc, "error %s %s", wanted->name, why);
    stream_free(mrfp, stream);
}

static bool choice(bool *first, const char *word, const char *one, const char *other)
{
    *first = strcmp(word, one) == 0;
    return *first || strcmp(word, other) == 0;
}

static bool get_key(struct wanted *wanted, const char *identity, const char *hex)
{
    wanted->identity = identity;
    wanted->has_key = true;
    return strlen(identity) <= MAX_IDENTITY && text_get_key(hex, wanted->key, sizeof wanted->key, &wanted->n_key);
}

/* add and announce: what follows the command. NULL, or else what is wrong. */
static const char *get_wanted(struct wanted *wanted, char **word, size_t n)
{
    wanted->name = word[1];
    if (!choice(&wanted->passive, word[2], "passive", "active") || !choice(&wanted->bfcp, word[3], "bfcp", "msrp") ||
        !choice(&wanted->client, word[4], "client", "server"))
        return "passive or active, then msrp or bfcp, then client or server";
    if (n == 5)
        return wanted->passive ? NULL : "only a passive stream is announced";
    if (!get_key(wanted, word[5], word[6]))
        return "the identity has 1 to 256 octets, and the key 16 to 64, as hex digits";
    if (wanted->passive)
        return n == 7 ? NULL : "a passive stream has no HOST and PORT";
    if (n != 9 && (n != 11 || wanted->bfcp))
        return "an active stream has HOST and PORT; with MSRP it may have OWN-PATH and PEER-PATH";
    if (!get_address(word[7], word[8], &wanted->peer, &wanted->n_peer))
        return "HOST is an IP address, PORT a number";
    wanted->own_path = n == 11 ? word[9] : NULL;
    wanted->peer_path = n == 11 ? word[10] : NULL;
    return NULL;
}

static const char *command_add(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    struct wanted wanted = {.has_key = false};
    const char *wrong = get_wanted(&wanted, word, n);
    if (wrong == NULL)
        add(mrfp, mrfc, &wanted);
    explicit_bzero(&wanted, sizeof wanted);
    return wrong;
}

static const char *command_key(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    struct wanted wanted = {.has_key = false};
    (void)n;
    if (!get_key(&wanted, word[2], word[3]))
        return "the identity has 1 to 256 octets, and the key 16 to 64, as hex digits";
    struct stream *stream = find_stream(mrfp, word[1]);
    const char *why = "there is no such stream";
    if (stream != NULL)
        why = tls_stream_key(stream->tls, wanted.key, wanted.n_key, wanted.identity);
    explicit_bzero(&wanted, sizeof wanted);
    if (why != NULL) {
        reply(mrfp, mrfc, "error %s %s", word[1], why);
        return NULL;
    }
    reply(mrfp, mrfc, "ok %s", word[1]);
    const bool first = !stream->has_key;
    stream->has_key = true;
    /* Each step may end connections: the one that connects ends the others, and one that fails is gone. */
    for (struct connection *connection = first ? mrfp->connections : NULL; connection != NULL;) {
        if (connection->stream != stream || connection->deadline != 0 || connection->state != SHAKING) {
            connection = connection->next;
            continue;
        }
        connection->deadline = now_ms() + HANDSHAKE_MS;
        shake(mrfp, connection);
        connection = mrfp->connections;
    }
    return NULL;
}

static const char *command_remove(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    struct stream *stream = find_stream(mrfp, word[1]);
    (void)n;
    if (stream == NULL) {
        reply(mrfp, mrfc, "error %s there is no such stream", word[1]);
        return NULL;
    }
    reply(mrfp, mrfc, "ok %s", word[1]);
    if (stream->connected != NULL)
        end(mrfp, stream->connected, "removed");
    else
        stream_free(mrfp, stream);
    return NULL;
}

static const char *command_count(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    (void)word;
    (void)n;
    reply(mrfp, mrfc, "ok %zu", mrfp->n_streams);
    return NULL;
}

static const char *command_quiet(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    (void)word;
    (void)n;
    mrfc->quiet = true;
    reply(mrfp, mrfc, "ok quiet");
    return NULL;
}

static const struct {
    const char *name;
    size_t least, most; /* words */
    const char *(*run)(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n);
} commands[] = {
    {"add", 7, 11, command_add},      {"announce", 5, 5, command_add}, {"key", 4, 4, command_key},
    {"remove", 2, 2, command_remove}, {"count", 1, 1, command_count},  {"quiet", 1, 1, command_quiet},
};

/* Runs a command, whose line is cut into words. NULL, or else what is wrong with the line. */
static const char *run(struct mrfp *mrfp, struct mrfc *mrfc, char *line, size_t length)
{
    char *word[MAX_WORDS];
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        if (line[i] < ' ' || line[i] > '~')
            return "a line has visible ASCII and blanks";
    for (char *rest = line; rest != NULL && n < MAX_WORDS; n++) {
        word[n] = strsep(&rest, " ");
        if (*word[n] == '\0')
            return "there is one blank between two words, and none before or after them";
    }
    if (n > 1 && strlen(word[1]) > MAX_NAME)
        return "NAME has 1 to 128 octets";
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(word[0], commands[i].name) == 0)
            return n >= commands[i].least && n <= commands[i].most ? commands[i].run(mrfp, mrfc, word, n)
                                                                   : "too few words, or too many";
    return "no such command";
}

/* Takes the lines that are there; each may have a key in it. */
static void take_lines(struct mrfp *mrfp, struct mrfc *mrfc)
{
    while (!mrfc->gone && mrfc->out.n == 0) {
        char *lf = memchr(mrfc->in, '\n', mrfc->n);
        const size_t used = lf != NULL ? (size_t)(lf + 1 - mrfc->in) : mrfc->n;
        if (lf == NULL && mrfc->n < MAX_LINE)
            return;
        const char *wrong = "a line has up to 4,096 octets";
        if (lf != NULL && !mrfc->too_long) {
            *lf = '\0';
            wrong = run(mrfp, mrfc, mrfc->in, used - 1);
        }
        mrfc->too_long = lf == NULL;
        if (wrong != NULL && lf != NULL)
            reply(mrfp, mrfc, "error - %s", wrong);
        mrfc->n -= used;
        memmove(mrfc->in, mrfc->in + used, mrfc->n);
        explicit_bzero(mrfc->in + mrfc->n, MAX_LINE - mrfc->n);
    }
}

static void mrfc_ready(struct mrfp *mrfp, struct watched *watched, uint32_t events)
{
    struct mrfc *mrfc = (struct mrfc *)(void *)watched;
    if ((events & EPOLLOUT) != 0)
        flush_mrfc(mrfp, mrfc);
    take_lines(mrfp, mrfc); /* those that had to wait until the answers were read */
    if ((events & EPOLLIN) == 0) {
        mrfc->gone |= (events & (EPOLLERR | EPOLLHUP)) != 0;
        return;
    }
    const ssize_t n = recv(watched->fd, mrfc->in + mrfc->n, MAX_LINE - mrfc->n, 0);
    mrfc->gone |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    mrfc->n += n > 0 ? (size_t)n : 0;
    take_lines(mrfp, mrfc);
}

static void socket_ready(struct mrfp *mrfp, struct watched *watched, uint32_t events)
{
    (void)events;
    const int fd = accept4(watched->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct mrfc *mrfc = fd >= 0 ? calloc(1, sizeof *mrfc) : NULL;
    if (mrfc == NULL) {
        if (fd >= 0)
            close(fd);
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            watch(mrfp, watched, 0); /* until sweep() */
        return;
    }
    mrfc->watched = (struct watched){.ready = mrfc_ready, .fd = fd};
    mrfc->next = mrfp->mrfcs;
    mrfp->mrfcs = mrfc;
    watch(mrfp, &mrfc->watched, EPOLLIN);
}

/* Frees the MRFCs that are gone; after each event, as it may be any of them. */
static void free_mrfcs(struct mrfp *mrfp, bool all)
{
    for (struct mrfc **link = &mrfp->mrfcs, *mrfc; (mrfc = *link) != NULL;) {
        if (!mrfc->gone && !all) {
            link = &mrfc->next;
            continue;
        }
        *link = mrfc->next;
        unwatch(mrfp, &mrfc->watched);
        free(mrfc->out.p);
        explicit_bzero(mrfc->in, sizeof mrfc->in);
        free(mrfc);
    }
}

/* ---- the program ---- */

/* Once a second: what takes too long ends, and what could not be accepted is tried again. */
static void sweep(struct mrfp *mrfp, int64_t now)
{
    for (struct connection *connection = mrfp->connections; connection != NULL;) {
        if (connection->deadline == 0 || connection->deadline > now) {
            connection = connection->next;
            continue;
        }
        if (connection->state == CLOSING || connection->state == RELEASING)
            connection_free(mrfp, connection);
        else
            fail(mrfp, connection, "it took too long");
        connection = mrfp->connections; /* fail() may have ended others */
    }
    for (struct stream *stream = mrfp->streams, *next; stream != NULL; stream = next) {
        next = stream->next;
        await_peer(mrfp, stream);
        if (stream->has_key || stream->expires > now)
            continue;
        tell(mrfp, "ended %s expired", stream->name);
        stream_free(mrfp, stream);
    }
    watch(mrfp, &mrfp->socket, EPOLLIN);
}

static void signals_ready(struct mrfp *mrfp, struct watched *watched, uint32_t events)
{
    (void)watched;
    (void)events;
    mrfp->stopped = true;
}

/* One event at a time: what it ends can't be meant by the next one. */
static void serve(struct mrfp *mrfp)
{
    while (!mrfp->stopped) {
        struct epoll_event event;
        const int n = epoll_wait(mrfp->epoll, &event, 1, 1000);
        if (n == 1) {
            struct watched *watched = event.data.ptr;
            watched->ready(mrfp, watched, event.events);
        }
        const int64_t now = now_ms();
        if (now - mrfp->swept >= 1000) {
            mrfp->swept = now;
            sweep(mrfp, now);
        }
        free_mrfcs(mrfp, false);
    }
}

static int die(const char *what, const char *why)
{
    fprintf(stderr, "mrfp: %s: %s\n", what, why);
    return 1;
}

/* A socket that nobody listens at any more is what an MRFP left that was killed. */
static bool listen_unix(struct mrfp *mrfp)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(mrfp->path) >= sizeof address.sun_path)
        return false;
    strcpy(address.sun_path, mrfp->path);
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(probe, (const struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED)
        unlink(mrfp->path);
    close(probe);
    mrfp->socket.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    umask(077);
    return mrfp->socket.fd >= 0 && bind(mrfp->socket.fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
           listen(mrfp->socket.fd, 64) == 0;
}

static bool get_options(struct mrfp *mrfp, int argc, char **argv)
{
    static const struct option names[] = {{"socket", required_argument, NULL, 's'},
                                          {"address", required_argument, NULL, 'a'},
                                          {"expire", required_argument, NULL, 'e'},
                                          {NULL, 0, NULL, 0}};
    const char *address = "127.0.0.1", *expire = "300";
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == '?')
            return false;
        *(c == 's' ? &mrfp->path : c == 'a' ? &address : &expire) = optarg;
    }
    mrfp->expire_ms = strtol(expire, NULL, 10) * 1000;
    return mrfp->path != NULL && optind == argc && mrfp->expire_ms > 0 &&
           get_address(address, "0", &mrfp->address, &mrfp->n_address);
}

/* Each stream takes a descriptor, and each connection. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct mrfp mrfp = {.socket = {.ready = socket_ready, .fd = -1}, .signals = {.ready = signals_ready}};
    sigset_t signals;

    if (!get_options(&mrfp, argc, argv)) {
        fprintf(stderr, "usage: mrfp --socket PATH [--address IP] [--expire SECONDS]\n");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    mrfp.tls = tls_new();
    if (mrfp.tls == NULL)
        return die("TLS", "no memory, or no random octets");
    mrfp.epoll = epoll_create1(EPOLL_CLOEXEC);
    mrfp.signals.fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (!listen_unix(&mrfp)) {
        tls_free(mrfp.tls);
        return die(mrfp.path, strerror(errno));
    }
    watch(&mrfp, &mrfp.socket, EPOLLIN);
    watch(&mrfp, &mrfp.signals, EPOLLIN);
    fprintf(stderr, "mrfp: %s\n", tls_library());
    printf("mrfp: ready on %s\n", mrfp.path);
    fflush(stdout);
    serve(&mrfp);
    unlink(mrfp.path);
    free_mrfcs(&mrfp, true);
    while (mrfp.streams != NULL)
        stream_free(&mrfp, mrfp.streams);
    while (mrfp.connections != NULL)
        connection_free(&mrfp, mrfp.connections);
    unwatch(&mrfp, &mrfp.socket);
    unwatch(&mrfp, &mrfp.signals);
    close(mrfp.epoll);
    tls_free(mrfp.tls);
    return 0;
}
