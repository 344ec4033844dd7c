/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* accept4, getentropy, memmem */

#include "media.h"

#include <mikeyticket/streams.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A handshake that takes longer is given up. */
enum { HANDSHAKE_S = 10, MAX_MESSAGE = MAX_TEXT + 3 * MAX_PATH };

/* A TCP connection with TLS on it. A server's has no stream until the handshake tells which. */
struct connection {
    struct connection *next;
    struct media *media;
    struct stream *stream;
    int fd, wait; /* wait: its number in the event loop */
    bool connecting, connected;
    time_t since;
    mbedtls_ssl_config conf; /* of a client: it has the key */
    mbedtls_ssl_context ssl;
    char in[MAX_MESSAGE + 1], out[2 * MAX_MESSAGE];
    size_t in_n, out_n;
    size_t writing; /* mbedtls_ssl_write() wants the same length again */
};

struct stream {
    struct media *media;
    struct connection *connection;
    void *owner;
    bool ended;
    char own[MAX_PATH], peer[MAX_PATH]; /* a=path */
};

struct media {
    su_root_t *root;
    media_event_f *event;
    su_timer_t *timer;
    int fd, wait;
    uint16_t port;
    struct mkt_streams *streams;
    struct mkt_tls server, client;
    mbedtls_ssl_config conf; /* of all server connections */
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    struct connection *connections;
};

/* ---- connections ---- */

static int tcp_send(void *user, const unsigned char *p, size_t n)
{
    const struct connection *c = user;
    ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
    if (sent >= 0)
        return (int)sent;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_CONN_EOF;
}

static int tcp_receive(void *user, unsigned char *p, size_t n)
{
    const struct connection *c = user;
    ssize_t got = recv(c->fd, p, n, 0);
    if (got >= 0)
        return (int)got;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
}

/* Releases TCP. The session has ended, or ends as if it was cut. */
static void connection_free(struct connection *c)
{
    for (struct connection **at = &c->media->connections; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    if (c->stream != NULL)
        c->stream->connection = NULL;
    su_root_deregister(c->media->root, c->wait);
    mkt_streams_forget(c->media->streams, &c->ssl);
    mbedtls_ssl_free(&c->ssl);
    mbedtls_ssl_config_free(&c->conf);
    close(c->fd);
    free(c);
}

/* The connection came to nothing. A stream that it was for waits on. */
static void failed(struct connection *c, const char *why)
{
    struct stream *stream = c->stream;
    struct media *media = c->media;
    connection_free(c);
    media->event(stream == NULL ? NULL : stream->owner, MEDIA_FAILED, why);
}

static void failed_tls(struct connection *c, enum mkt_err err, int result)
{
    char why[128];
    snprintf(why, sizeof why, "%s, mbedTLS error -0x%04x", mkt_err_name(err), (unsigned)-result);
    failed(c, why);
}

/* What the next wake-up is to be for: written octets wait, or TCP connects. */
static void wait_again(const struct connection *c, bool write)
{
    su_root_eventmask(c->media->root, c->wait, c->fd, write ? SU_WAIT_OUT : SU_WAIT_IN);
}

/* Sends what is to be sent; false if the connection is gone. */
static bool flush(struct connection *c)
{
    while (c->out_n > 0) {
        c->writing = c->writing == 0 ? c->out_n : c->writing;
        const int sent = mbedtls_ssl_write(&c->ssl, (const unsigned char *)c->out, c->writing);
        if (sent == MBEDTLS_ERR_SSL_WANT_WRITE || sent == MBEDTLS_ERR_SSL_WANT_READ)
            break;
        if (sent <= 0)
            return false;
        c->writing = 0;
        c->out_n -= (size_t)sent;
        memmove(c->out, c->out + sent, c->out_n);
    }
    wait_again(c, c->out_n > 0);
    return true;
}

/* ---- MSRP ---- */

static bool append(struct connection *c, const char *text, int n)
{
    if (n < 0 || (size_t)n >= sizeof c->out - c->out_n)
        return false;
    memcpy(c->out + c->out_n, text, (size_t)n);
    c->out_n += (size_t)n;
    return flush(c);
}

/* RFC 4975 7.1: a message in one chunk. IDs that nobody can guess keep the end-line out of the text. */
static bool msrp_send(struct connection *c, const char *said)
{
    char text[MAX_MESSAGE];
    uint64_t id[2];
    const size_t n = strlen(said);
    if (n > MAX_TEXT || getentropy(id, sizeof id) != 0)
        return false;
    return append(c, text,
                  snprintf(text, sizeof text,
                           "MSRP %016llx SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %016llx\r\n"
                           "Byte-Range: 1-%zu/%zu\r\nContent-Type: text/plain\r\n\r\n%s\r\n-------%016llx$\r\n",
                           (unsigned long long)id[0], c->stream->peer, c->stream->own, (unsigned long long)id[1], n, n,
                           said, (unsigned long long)id[0]));
}

/* Whether a header has that value. */
static bool has(const char *text, const char *name, const char *value)
{
    const char *at = strstr(text, name);
    const size_t n = strlen(value);
    return at != NULL && strncmp(at + strlen(name), value, n) == 0 && at[strlen(name) + n] == '\r';
}

/* RFC 4975 7.2: answers a request; tells the owner of a message or of a response. */
static bool msrp_take(struct connection *c, const char *id, char *start)
{
    char response[MAX_MESSAGE], *body = strstr(start, "\r\n\r\n");
    void *owner = c->stream->owner;
    media_event_f *event = c->media->event;
    if (strncmp(start, "200", 3) == 0) {
        event(owner, MEDIA_DELIVERED, "");
        return true;
    }
    const bool good = strncmp(start, "SEND\r\n", 6) == 0 && has(start, "\r\nTo-Path: ", c->stream->own) &&
                      has(start, "\r\nFrom-Path: ", c->stream->peer) &&
                      strstr(start, "\r\nContent-Type: text/plain") != NULL && body != NULL;
    if (!append(c, response,
                snprintf(response, sizeof response, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", id,
                         good ? "200 OK" : "481 No Such Session", c->stream->peer, c->stream->own, id)))
        return false;
    if (!good)
        return true;
    body += 4;
    for (char *p = body; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?'; /* a terminal gets no control characters from the network */
    }
    event(owner, MEDIA_RECEIVED, body);
    return true;
}

/* Takes a whole request or response out of what came; false if it is not MSRP. `*more` is false if none is whole. */
static bool msrp_next(struct connection *c, bool *more)
{
    char id[33], end_line[48], whole[MAX_MESSAGE + 1];
    *more = false;
    c->in[c->in_n] = '\0';
    if (strstr(c->in, "\r\n") == NULL)
        return c->in_n < MAX_MESSAGE;
    if (sscanf(c->in, "MSRP %32[A-Za-z0-9.+%=-]", id) != 1 || c->in[5 + strlen(id)] != ' ')
        return false;
    const int n = snprintf(end_line, sizeof end_line, "\r\n-------%s$\r\n", id);
    char *end = memmem(c->in, c->in_n, end_line, (size_t)n);
    if (end == NULL)
        return c->in_n < MAX_MESSAGE;
    const size_t length = (size_t)(end - c->in);
    memcpy(whole, c->in, length);
    whole[length] = '\0';
    c->in_n -= length + (size_t)n;
    memmove(c->in, end + n, c->in_n);
    *more = true;
    return msrp_take(c, id, whole + 5 + strlen(id) + 1);
}

/* ---- the event loop ---- */

static const char *ending(enum mkt_tls_state state)
{
    switch (state) {
    case MKT_TLS_CLOSED:
    case MKT_TLS_CLOSING:
        return "closed";
    case MKT_TLS_CUT:
        return "cut";
    case MKT_TLS_ALERT:
        return "alert";
    case MKT_TLS_REMOVED:
        return "removed";
    case MKT_TLS_OPEN:
    case MKT_TLS_FAILED:
        break;
    }
    return "failed";
}

/* The stream has no key any more. */
static void ended(struct connection *c, enum mkt_tls_state state)
{
    struct stream *stream = c->stream;
    connection_free(c);
    stream->ended = true;
    stream->media->event(stream->owner, MEDIA_ENDED, ending(state));
}

/* The owner may free the stream, and its connection with it, when it gets an event. */
static bool is_there(const struct media *media, const struct connection *c)
{
    for (const struct connection *at = media->connections; at != NULL; at = at->next) {
        if (at == c)
            return true;
    }
    return false;
}

static void read_all(struct connection *c)
{
    struct media *media = c->media;
    for (bool more = true; more;) {
        const int got = mbedtls_ssl_read(&c->ssl, (unsigned char *)c->in + c->in_n, MAX_MESSAGE - c->in_n);
        if (got <= 0) {
            const enum mkt_tls_state state = mkt_streams_status(media->streams, &c->ssl, got);
            if (state != MKT_TLS_OPEN)
                ended(c, state);
            return;
        }
        c->in_n += (size_t)got;
        while (more) {
            const bool good = msrp_next(c, &more);
            if (!is_there(media, c))
                return;
            if (!good) {
                ended(c, MKT_TLS_FAILED);
                return;
            }
        }
        more = true;
    }
}

static void shake(struct connection *c)
{
    char text[128];
    uint64_t number;
    int result;
    enum mkt_err err = mkt_streams_handshake(c->media->streams, &c->ssl, &result);
    if (err == MKT_E_AGAIN) {
        wait_again(c, result == MBEDTLS_ERR_SSL_WANT_WRITE);
        return;
    }
    err = err == MKT_OK ? mkt_streams_find(c->media->streams, &c->ssl, &number) : err;
    if (err != MKT_OK) {
        failed_tls(c, err, result);
        return;
    }
    c->connected = true;
    c->stream = (struct stream *)(uintptr_t)number; /* a stream's number is its address */
    c->stream->connection = c;
    wait_again(c, false);
    snprintf(text, sizeof text, "%s %s", mbedtls_ssl_get_version(&c->ssl), mbedtls_ssl_get_ciphersuite(&c->ssl));
    c->media->event(c->stream->owner, MEDIA_CONNECTED, text);
}

static int ready(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
    struct connection *c = arg;
    struct media *media = c->media;
    int error = 0;
    socklen_t n = sizeof error;
    (void)magic;
    (void)wait;
    if (c->connecting && (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0)) {
        failed(c, "no TCP connection");
        return 0;
    }
    c->connecting = false;
    if (!c->connected)
        shake(c);
    if (!is_there(media, c) || !c->connected)
        return 0;
    if (flush(c))
        read_all(c);
    else
        ended(c, MKT_TLS_CUT);
    return 0;
}

/* Makes a connection of a socket, and registers it. NULL: the socket is closed. */
static struct connection *connection_new(struct media *media, int fd, struct stream *stream, bool connecting)
{
    struct connection *c = calloc(1, sizeof *c);
    su_wait_t wait[1] = {SU_WAIT_INIT};
    if (c == NULL || su_wait_create(wait, fd, connecting ? SU_WAIT_CONNECT : SU_WAIT_IN) != 0) {
        close(fd);
        free(c);
        return NULL;
    }
    c->wait = su_root_register(media->root, wait, ready, c, 0);
    if (c->wait < 0) {
        close(fd);
        free(c);
        return NULL;
    }
    c->media = media;
    c->stream = stream;
    c->fd = fd;
    c->connecting = connecting;
    c->since = time(NULL);
    mbedtls_ssl_init(&c->ssl);
    mbedtls_ssl_config_init(&c->conf);
    c->next = media->connections;
    media->connections = c;
    return c;
}

static int accepted(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
    struct media *media = arg;
    (void)magic;
    (void)wait;
    const int fd = accept4(media->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c = fd < 0 ? NULL : connection_new(media, fd, NULL, false);
    if (c == NULL)
        return 0;
    const struct mkt_tls_bio bio = {.user = c, .send = tcp_send, .receive = tcp_receive};
    if (mbedtls_ssl_setup(&c->ssl, &media->conf) != 0 ||
        mkt_streams_bind(media->streams, &c->ssl, NULL, &bio) != MKT_OK)
        failed(c, "too many connections");
    return 0;
}

/* Strangers can connect and say nothing. */
static void give_up(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct media *media = arg;
    const time_t now = time(NULL);
    (void)magic;
    (void)timer;
    for (struct connection *c = media->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (!c->connected && now - c->since > HANDSHAKE_S) {
            failed(c, "the handshake took too long");
            next = media->connections; /* the owner may have freed the next one */
        }
    }
}

/* ---- the media of a program ---- */

static bool listen_tcp(struct media *media)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    su_wait_t wait[1] = {SU_WAIT_INIT};
    media->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (media->fd < 0 || bind(media->fd, (struct sockaddr *)&address, n) != 0 || listen(media->fd, 64) != 0 ||
        getsockname(media->fd, (struct sockaddr *)&address, &n) != 0 ||
        su_wait_create(wait, media->fd, SU_WAIT_ACCEPT) != 0)
        return false;
    media->port = ntohs(address.sin_port);
    media->wait = su_root_register(media->root, wait, accepted, media, 0);
    return media->wait >= 0;
}

static enum mkt_err set_up_tls(struct media *media)
{
    struct mkt_streams_settings settings;
    struct mkt_tls_settings server, client;
    int cause;
    if (mbedtls_ctr_drbg_seed(&media->drbg, mbedtls_entropy_func, &media->entropy, NULL, 0) != 0)
        return MKT_E_RANDOM;
    mbedtls_ssl_conf_rng(&media->conf, mbedtls_ctr_drbg_random, &media->drbg);
    mkt_streams_settings_init(&settings);
    settings.rng = mbedtls_ctr_drbg_random;
    settings.rng_user = &media->drbg;
    settings.most = 4096;
    mkt_tls_settings_init(&server, MKT_END_SERVER);
    mkt_tls_settings_init(&client, MKT_END_CLIENT);
    enum mkt_err err = mkt_streams_new(&media->streams, &settings);
    err = err == MKT_OK ? mkt_tls_choose(&media->server, &server) : err;
    err = err == MKT_OK ? mkt_tls_choose(&media->client, &client) : err;
    return err == MKT_OK ? mkt_streams_server(media->streams, &media->conf, &media->server, &cause) : err;
}

struct media *media_new(su_root_t *root, media_event_f *event)
{
    struct media *media = calloc(1, sizeof *media);
    if (media == NULL)
        return NULL;
    media->root = root;
    media->event = event;
    media->fd = media->wait = -1;
    mbedtls_entropy_init(&media->entropy);
    mbedtls_ctr_drbg_init(&media->drbg);
    mbedtls_ssl_config_init(&media->conf);
    media->timer = su_timer_create(su_root_task(root), 1000);
    if (set_up_tls(media) == MKT_OK && listen_tcp(media) && media->timer != NULL &&
        su_timer_set_for_ever(media->timer, give_up, media) == 0)
        return media;
    fprintf(stderr, "agent: no media: can't listen on 127.0.0.1, or no memory\n");
    media_free(media);
    return NULL;
}

void media_free(struct media *media)
{
    if (media == NULL)
        return;
    while (media->connections != NULL)
        connection_free(media->connections);
    su_timer_destroy(media->timer);
    if (media->wait >= 0)
        su_root_deregister(media->root, media->wait);
    if (media->fd >= 0)
        close(media->fd);
    mkt_streams_free(media->streams);
    mbedtls_ssl_config_free(&media->conf);
    mbedtls_ctr_drbg_free(&media->drbg);
    mbedtls_entropy_free(&media->entropy);
    free(media);
}

uint16_t media_port(const struct media *media)
{
    return media->port;
}

size_t media_streams(const struct media *media)
{
    return mkt_streams_count(media->streams);
}

size_t media_connections(const struct media *media)
{
    size_t n = 0;
    for (const struct connection *c = media->connections; c != NULL; c = c->next)
        n++;
    return n;
}

/* ---- streams ---- */

enum mkt_err stream_new(struct stream **stream, struct media *media, void *owner, const struct mkt_csb *csb)
{
    *stream = calloc(1, sizeof **stream);
    if (*stream == NULL)
        return MKT_E_MEMORY;
    (*stream)->media = media;
    (*stream)->owner = owner;
    const enum mkt_err err = mkt_streams_add_csb(media->streams, (uintptr_t)*stream, csb, MKT_FIRST_CS);
    if (err != MKT_OK) {
        free(*stream);
        *stream = NULL;
    }
    return err;
}

bool stream_paths(struct stream *stream, const char *own, struct mkt_span peer)
{
    if (strlen(own) >= sizeof stream->own || peer.n >= sizeof stream->peer)
        return false;
    memcpy(stream->own, own, strlen(own) + 1);
    memcpy(stream->peer, peer.p, peer.n);
    stream->peer[peer.n] = '\0';
    return true;
}

enum mkt_err stream_rekey(struct stream *stream, const struct mkt_csb *csb)
{
    return mkt_streams_rekey_csb(stream->media->streams, (uintptr_t)stream, csb, MKT_FIRST_CS);
}

void stream_connect(struct stream *stream, struct mkt_span address, uint16_t port)
{
    struct media *media = stream->media;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    char text[INET_ADDRSTRLEN] = "";
    int cause;
    if (address.n < sizeof text)
        memcpy(text, address.p, address.n);
    const bool good = inet_pton(AF_INET, text, &to.sin_addr) == 1;
    const int fd = good ? socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        if (fd >= 0)
            close(fd);
        media->event(stream->owner, MEDIA_FAILED, good ? "no TCP connection" : "not an IPv4 address");
        return;
    }
    struct connection *c = connection_new(media, fd, stream, true);
    if (c == NULL) {
        media->event(stream->owner, MEDIA_FAILED, "no memory");
        return;
    }
    stream->connection = c;
    const uint64_t number = (uintptr_t)stream;
    const struct mkt_tls_bio bio = {.user = c, .send = tcp_send, .receive = tcp_receive};
    mbedtls_ssl_conf_rng(&c->conf, mbedtls_ctr_drbg_random, &media->drbg);
    enum mkt_err err = mkt_streams_bind(media->streams, &c->ssl, &number, &bio);
    err = err == MKT_OK ? mkt_streams_client(media->streams, &c->ssl, &c->conf, &media->client, &cause) : err;
    if (err != MKT_OK || mbedtls_ssl_setup(&c->ssl, &c->conf) != 0)
        failed_tls(c, err, 0);
}

bool stream_send(struct stream *stream, const char *text)
{
    return stream->connection != NULL && stream->connection->connected && msrp_send(stream->connection, text);
}

bool stream_ended(const struct stream *stream)
{
    return stream->ended;
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    struct media *media = stream->media;
    struct connection *c = stream->connection;
    if (c != NULL) {
        (void)mkt_streams_close(media->streams, &c->ssl); /* if TCP takes no close_notify now, it is cut */
        connection_free(c);
    }
    const enum mkt_err err = mkt_streams_remove(media->streams, (uintptr_t)stream);
    (void)err; /* it is gone already if it was connected */
    free(stream);
}
