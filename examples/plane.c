/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* accept4 */

#include "plane.h"

#include "media.h"
#include "mrfp-tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_HANDSHAKES = 8,   /* that a stream has at once; further connections wait in the queue of TCP */
    HANDSHAKE_MS = 10000, /* for TCP and TLS; for strangers that connect and say nothing, too */
    RELEASE_MS = 2000     /* until the peer has released TCP, too */
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

struct plane {
    struct plane_settings settings;
    int epoll;
    int64_t swept; /* when sweep() was called last */
    struct tls *tls;
    struct stream *streams;
    size_t n_streams;
    struct connection *connections;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void plane_watch(struct plane *plane, struct watched *watched, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watched};
    if (watched->events == events)
        return;
    epoll_ctl(plane->epoll,
              watched->events == 0 ? EPOLL_CTL_ADD
              : events == 0        ? EPOLL_CTL_DEL
                                   : EPOLL_CTL_MOD,
              watched->fd, &event);
    watched->events = events;
}

void plane_close(struct plane *plane, struct watched *watched)
{
    if (watched->fd < 0)
        return;
    plane_watch(plane, watched, 0);
    close(watched->fd);
    watched->fd = -1;
}

/* An event, for all MRFCs. */
__attribute__((format(printf, 2, 3))) static void tell(const struct plane *plane, const char *format, ...)
{
    char event[MAX_NAME + 256];
    va_list list;
    va_start(list, format);
    vsnprintf(event, sizeof event, format, list);
    va_end(list);
    plane->settings.tell(plane->settings.user, event);
}

/* ---- streams and connections ---- */

static struct stream *find_stream(const struct plane *plane, const char *name)
{
    struct stream *stream = plane->streams;
    while (stream != NULL && strcmp(stream->name, name) != 0)
        stream = stream->next;
    return stream;
}

static void connection_free(struct plane *plane, struct connection *connection)
{
    struct connection **link = &plane->connections;
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    tls_end(connection->session);
    plane_close(plane, &connection->watched);
    free(connection->out.p);
    free(connection);
}

/* Ends what a stream has, except its connection `keep`. */
static void drop_connections(struct plane *plane, const struct stream *stream, const struct connection *keep)
{
    for (struct connection *connection = plane->connections, *next; connection != NULL; connection = next) {
        next = connection->next;
        if (connection->stream == stream && connection != keep)
            connection_free(plane, connection);
    }
}

static void stream_free(struct plane *plane, struct stream *stream)
{
    struct stream **link = &plane->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    plane->n_streams--;
    drop_connections(plane, stream, NULL);
    tls_stream_free(stream->tls);
    plane_close(plane, &stream->watched);
    free(stream->own_path);
    free(stream->peer_path);
    free(stream);
}

/* Awaits the peer, unless as many connections as may be are there already. */
static void await_peer(struct plane *plane, struct stream *stream)
{
    int n = 0;
    for (const struct connection *connection = plane->connections; connection != NULL; connection = connection->next)
        n += connection->stream == stream;
    if (stream->watched.fd >= 0)
        plane_watch(plane, &stream->watched, n < MAX_HANDSHAKES ? EPOLLIN : 0);
}

/* Releases TLS, then TCP. It goes on to read from the peer. Otherwise TCP is reset, and our last octets are lost. */
static void release(struct plane *plane, struct connection *connection)
{
    connection->state = CLOSING;
    connection->deadline = now_ms() + RELEASE_MS;
    if (tls_close(connection->session) == TLS_WRITE) {
        plane_watch(plane, &connection->watched, EPOLLOUT);
        return;
    }
    connection->state = RELEASING;
    shutdown(connection->watched.fd, SHUT_WR);
    plane_watch(plane, &connection->watched, EPOLLIN);
}

/* The connection of a stream has ended, and the stream with it. */
static void end(struct plane *plane, struct connection *connection, const char *how)
{
    struct stream *stream = connection->stream;
    tell(plane, "ended %s %s", stream->name, how);
    release(plane, connection);
    connection->stream = NULL;
    stream_free(plane, stream);
}

/* A connection has failed before its stream had it. */
static void fail(struct plane *plane, struct connection *connection, const char *why)
{
    struct stream *stream = connection->stream;
    tell(plane, "failed %s %s", stream->name, why);
    connection->stream = NULL;
    if (connection->session != NULL)
        release(plane, connection); /* there may be an alert to be read */
    else
        connection_free(plane, connection);
    if (stream->passive)
        await_peer(plane, stream);
    else
        stream_free(plane, stream);
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
static void talk(struct plane *plane, struct connection *connection)
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
        plane_watch(plane, &connection->watched, state == TLS_READ ? EPOLLIN : EPOLLOUT);
    else
        end(plane, connection, state == TLS_FAILED ? "failed" : ends[state]);
}

/* The peer has proved the key: this is the connection of the stream, and there is no other. */
static void connected(struct plane *plane, struct connection *connection)
{
    struct stream *stream = connection->stream;
    drop_connections(plane, stream, connection);
    plane_close(plane, &stream->watched);
    stream->connected = connection;
    connection->state = TALKING;
    connection->deadline = 0;
    connection->media.name = stream->name;
    connection->media.bfcp = stream->bfcp;
    connection->media.own_path = stream->own_path;
    tell(plane, "connected %s", stream->name);
    if (stream->peer_path != NULL && !media_begin(&connection->media, stream->peer_path, &connection->out))
        end(plane, connection, "failed");
    else
        talk(plane, connection);
}

static void shake(struct plane *plane, struct connection *connection)
{
    const char *why = "";
    const enum tls_state state = tls_handshake(connection->session, &why);
    if (state == TLS_DONE)
        connected(plane, connection);
    else if (state == TLS_KEY) /* not read: that TCP ends is all that matters */
        plane_watch(plane, &connection->watched, EPOLLRDHUP);
    else if (state == TLS_READ || state == TLS_WRITE)
        plane_watch(plane, &connection->watched, state == TLS_READ ? EPOLLIN : EPOLLOUT);
    else
        fail(plane, connection, why);
}

/* TCP is there. A stream without a key may wait for it until it expires. */
static void begin(struct plane *plane, struct connection *connection)
{
    struct stream *stream = connection->stream;
    connection->state = SHAKING;
    connection->deadline = stream->has_key ? now_ms() + HANDSHAKE_MS : 0;
    connection->session = tls_begin(stream->tls, connection->watched.fd);
    if (connection->session == NULL)
        fail(plane, connection, "no room for its TLS");
    else
        shake(plane, connection);
}

/* Why TCP could not be opened; 0 if it is open. If nobody listens at a port of this host, TCP may draw that port for
   our end, too, and connect it to itself. */
static int connect_error(int fd)
{
    struct sockaddr_storage own = {.ss_family = AF_UNSPEC}, peer = {.ss_family = AF_UNSPEC};
    socklen_t n_own = sizeof own, n_peer = sizeof peer, n = sizeof(int);
    int error = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0)
        return error != 0 ? error : errno;
    if (getsockname(fd, (struct sockaddr *)&own, &n_own) != 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &n_peer) != 0)
        return errno;
    return n_own == n_peer && memcmp(&own, &peer, n_own) == 0 ? ECONNREFUSED : 0;
}

static void connection_ready(struct watched *watched, void *user, uint32_t events)
{
    struct plane *plane = user;
    struct connection *connection = (struct connection *)(void *)watched;
    uint8_t octets[TLS_RECORD];
    int error;
    switch (connection->state) {
    case OPENING:
        error = connect_error(watched->fd);
        if (error != 0)
            fail(plane, connection, strerror(error));
        else
            begin(plane, connection);
        return;
    case SHAKING:
        if (!connection->stream->has_key && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
            fail(plane, connection, "TCP was closed");
        else
            shake(plane, connection);
        return;
    case TALKING:
        talk(plane, connection);
        return;
    case CLOSING:
        release(plane, connection);
        return;
    case RELEASING:
        if (recv(watched->fd, octets, sizeof octets, 0) <= 0)
            connection_free(plane, connection);
        return;
    }
}

static struct connection *connection_new(struct plane *plane, struct stream *stream, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->watched = (struct watched){.ready = connection_ready, .user = plane, .fd = fd};
    connection->stream = stream;
    connection->deadline = now_ms() + HANDSHAKE_MS;
    connection->next = plane->connections;
    plane->connections = connection;
    return connection;
}

/* The peer, or a stranger, connects to a passive stream. */
static void listener_ready(struct watched *watched, void *user, uint32_t events)
{
    struct plane *plane = user;
    struct stream *stream = (struct stream *)(void *)watched;
    (void)events;
    const int fd = accept4(watched->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *connection = fd >= 0 ? connection_new(plane, stream, fd) : NULL;
    if (connection != NULL) {
        await_peer(plane, stream);
        begin(plane, connection);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        plane_watch(plane, watched, 0); /* until sweep() */
}

/* ---- what an MRFC asks for ---- */

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
static int new_socket(const struct plane *plane)
{
    const int fd = socket(plane->settings.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&plane->settings.address, plane->settings.n_address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Listens or begins to connect. NULL, or else why not. */
static const char *open_tcp(struct plane *plane, struct stream *stream, const struct wanted *wanted, unsigned *port)
{
    const int fd = new_socket(plane);
    if (fd < 0)
        return strerror(errno);
    if (wanted->passive) {
        stream->watched.fd = fd;
        *port = port_of(fd);
        if (listen(fd, MAX_HANDSHAKES) != 0)
            return strerror(errno);
        await_peer(plane, stream);
        return NULL;
    }
    struct connection *connection = connection_new(plane, stream, fd);
    if (connection == NULL) {
        close(fd);
        return "no memory";
    }
    if (connect(fd, (const struct sockaddr *)&wanted->peer, wanted->n_peer) != 0 && errno != EINPROGRESS)
        return strerror(errno);
    *port = port_of(fd);
    plane_watch(plane, &connection->watched, EPOLLOUT);
    return NULL;
}

/* NULL, or else why not; the stream is there even then. */
static const char *stream_begin(struct plane *plane, struct stream *stream, const struct wanted *wanted, unsigned *port)
{
    stream->tls = tls_stream_new(plane->tls, wanted->client);
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
    return open_tcp(plane, stream, wanted, port);
}

const char *plane_add(struct plane *plane, const struct wanted *wanted, unsigned *port)
{
    if (find_stream(plane, wanted->name) != NULL)
        return "there is a stream of that name";
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return "no memory";
    strcpy(stream->name, wanted->name);
    stream->watched = (struct watched){.ready = listener_ready, .user = plane, .fd = -1};
    stream->bfcp = wanted->bfcp;
    stream->passive = wanted->passive;
    stream->has_key = wanted->has_key;
    stream->expires = now_ms() + plane->settings.expire_seconds * 1000;
    stream->next = plane->streams;
    plane->streams = stream;
    plane->n_streams++;
    const char *why = stream_begin(plane, stream, wanted, port);
    if (why != NULL)
        stream_free(plane, stream);
    return why;
}

const char *plane_key(struct plane *plane, const struct wanted *wanted)
{
    struct stream *stream = find_stream(plane, wanted->name);
    if (stream == NULL)
        return "there is no such stream";
    const char *why = tls_stream_key(stream->tls, wanted->key, wanted->n_key, wanted->identity);
    if (why != NULL || stream->has_key)
        return why;
    stream->has_key = true;
    /* Its connections have waited for that. One that connects ends the others, and one that fails ends itself. */
    for (struct connection *connection = plane->connections; connection != NULL;) {
        if (connection->stream != stream || connection->state != SHAKING || connection->deadline != 0) {
            connection = connection->next;
            continue;
        }
        connection->deadline = now_ms() + HANDSHAKE_MS;
        shake(plane, connection);
        connection = plane->connections;
    }
    return NULL;
}

const char *plane_remove(struct plane *plane, const char *name)
{
    struct stream *stream = find_stream(plane, name);
    if (stream == NULL)
        return "there is no such stream";
    if (stream->connected != NULL)
        end(plane, stream->connected, "removed");
    else
        stream_free(plane, stream);
    return NULL;
}

size_t plane_count(const struct plane *plane)
{
    return plane->n_streams;
}

/* ---- the loop ---- */

/* Once a second: what takes too long ends, and what could not be accepted is tried again. */
static void sweep(struct plane *plane, int64_t now)
{
    for (struct connection *connection = plane->connections; connection != NULL;) {
        if (connection->deadline == 0 || connection->deadline > now) {
            connection = connection->next;
            continue;
        }
        if (connection->state == CLOSING || connection->state == RELEASING)
            connection_free(plane, connection);
        else
            fail(plane, connection, "it took too long");
        connection = plane->connections; /* fail() may have ended others */
    }
    for (struct stream *stream = plane->streams, *next; stream != NULL; stream = next) {
        next = stream->next;
        await_peer(plane, stream);
        if (stream->has_key || stream->expires > now)
            continue;
        tell(plane, "ended %s expired", stream->name);
        stream_free(plane, stream);
    }
}

/* One event at a time: what it ends can't be meant by the next one. */
bool plane_step(struct plane *plane)
{
    struct epoll_event event;
    if (epoll_wait(plane->epoll, &event, 1, 1000) == 1) {
        struct watched *watched = event.data.ptr;
        watched->ready(watched, watched->user, event.events);
    }
    const int64_t now = now_ms();
    if (now - plane->swept < 1000)
        return false;
    plane->swept = now;
    sweep(plane, now);
    return true;
}

struct plane *plane_new(const struct plane_settings *settings)
{
    struct plane *plane = calloc(1, sizeof *plane);
    if (plane == NULL)
        return NULL;
    plane->settings = *settings;
    plane->epoll = epoll_create1(EPOLL_CLOEXEC);
    plane->tls = tls_new();
    if (plane->epoll >= 0 && plane->tls != NULL)
        return plane;
    plane_free(plane);
    return NULL;
}

void plane_free(struct plane *plane)
{
    while (plane->streams != NULL)
        stream_free(plane, plane->streams);
    while (plane->connections != NULL)
        connection_free(plane, plane->connections);
    if (plane->tls != NULL)
        tls_free(plane->tls);
    close(plane->epoll);
    free(plane);
}
