/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An MRFP (3GPP TS 23.333 5.20.2): the media plane of a conference or application server. It has the TCP and TLS
 * connections of many MSRP and BFCP streams, each with a key of its own. An MRFC, which speaks SIP and MIKEY-TICKET,
 * gives it streams and keys over a Unix socket.
 *
 *     mrfp --socket PATH [--address IP] [--expire SECONDS]
 *
 * It prints `mrfp: ready on PATH` when MRFCs can connect, and ends with SIGTERM or SIGINT. It listens for
 * peers at --address, and connects from it; 127.0.0.1 by default. The socket has mode 0600. A process that can connect
 * to the socket can add and remove streams. It can't read keys.
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
 * After an error nothing has changed. TEXT is for people. PORT is the TCP port where a passive stream is awaited, or
 * the local port of an active one.
 *
 * - NAME: 1 to 128 octets that the MRFC chooses. Each stream has one of its own as long as it is there.
 * - passive or active: whether the MRFP awaits TCP or opens it (mkt_roles.tcp: MKT_END_SERVER or MKT_END_CLIENT).
 * - client or server: the role in TLS (mkt_roles.tls). MSRP: the active end is the client (RFC 6135 6). BFCP: the
 *   offerer is the client, whether it is active or passive (RFC 8856 8).
 * - IDENTITY: the PSK identity of mkt_csb_psk_identity(), up to 256 octets. No other stream has it.
 * - HEXKEY: the TEK of mkt_csb_tek() as hex digits. 16 to 64 octets; mbedTLS 2.28 takes up to 32, 3.6 up to 48.
 * - HOST: an IP address, no name.
 * - OWN-PATH and PEER-PATH: a=path of both ends. With them the MRFP sends an MSRP SEND without content as soon as TLS
 *   is there, which an active end must do (RFC 4975 5.4), and answers 481 to requests for another path than its own.
 *   Without them the peer must send first.
 * - All words are visible ASCII. A line has up to 4,096 octets.
 *
 * `announce` is for an offer that lets the peer connect: the peer may connect before its answer, and the key, are
 * here. Its connections wait, unread, until `key` gives the stream its key. If no key comes, the stream expires after
 * --expire SECONDS, 300 by default. For a stream that has a key, `key` replaces it: the connection goes on, and the key
 * is for the next handshake. A passive stream that has a key waits for its peer until an MRFC removes it.
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
 * A stream belongs to no MRFC: any of them may add, re-key or remove it, and it stays if they all disconnect. Commands
 * of an MRFC are read when it has read the answers to those before. An MRFC that does not read loses its connection
 * when an event comes and 65,536 octets wait for it; the streams stay.
 *
 * Media. MSRP (RFC 4975): a SEND is answered with 200 OK. If its text begins with `echo `, the MRFP sends the rest of
 * the text back in a SEND of its own. BFCP (RFC 4582, 8855): the MRFP is the floor control server; it answers Hello
 * with HelloAck, and other primitives with an Error. Nothing is forwarded from one stream to another.
 */
#define _GNU_SOURCE /* accept4, explicit_bzero, strsep */

#include "media.h"
#include "mrfp-tls.h"
#include "plane.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    MAX_LINE = 4096,     /* octets of a command */
    MAX_WAITING = 65536, /* octets that an MRFC has not read when an event comes */
    MAX_IDENTITY = 256,  /* octets; OpenSSL takes no more */
    MAX_WORDS = 12       /* of a command, and one too many */
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

struct mrfp {
    struct watched socket, signals;
    const char *path; /* of the socket */
    struct plane *plane;
    struct mrfc *mrfcs;
    bool stopped;
};

/* ---- what MRFCs are told ---- */

/* Sends what the MRFC reads now; the rest waits, and so do its next commands. */
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
    plane_watch(mrfp->plane, &mrfc->watched, mrfc->out.n > 0 ? EPOLLOUT : EPOLLIN);
}

__attribute__((format(printf, 3, 4))) static void reply(struct mrfp *mrfp, struct mrfc *mrfc, const char *format, ...)
{
    char line[MAX_LINE];
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(line, sizeof line - 1, format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= sizeof line - 1)
        return; /* no answer is so long */
    line[n] = '\n';
    mrfc->gone |= !octets_add(&mrfc->out, line, (size_t)n + 1);
    flush_mrfc(mrfp, mrfc);
}

/* An event, for all MRFCs. */
static void tell(void *user, const char *event)
{
    struct mrfp *mrfp = user;
    for (struct mrfc *mrfc = mrfp->mrfcs; mrfc != NULL; mrfc = mrfc->next) {
        if (mrfc->quiet || mrfc->gone)
            continue;
        mrfc->gone = mrfc->out.n > MAX_WAITING;
        reply(mrfp, mrfc, "%s", event);
    }
}

/* ---- commands ---- */

/* The address of a peer, or that of the MRFP. */
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

static bool choice(bool *first, const char *word, const char *one, const char *other)
{
    *first = strcmp(word, one) == 0;
    return *first || strcmp(word, other) == 0;
}

static const char *get_key(struct wanted *wanted, const char *identity, const char *hex)
{
    wanted->identity = identity;
    wanted->has_key = true;
    if (strlen(identity) > MAX_IDENTITY)
        return "IDENTITY has 1 to 256 octets";
    return text_get_key(hex, wanted->key, sizeof wanted->key, &wanted->n_key) ? NULL
                                                                              : "HEXKEY is 16 to 64 octets in hex";
}

/* Reads the words after `add` and `announce`. Returns NULL, or what is wrong with them. */
static const char *get_wanted(struct wanted *wanted, char **word, size_t n)
{
    if (!choice(&wanted->passive, word[2], "passive", "active") || !choice(&wanted->bfcp, word[3], "bfcp", "msrp") ||
        !choice(&wanted->client, word[4], "client", "server"))
        return "passive or active, then msrp or bfcp, then client or server";
    if (n == 5)
        return wanted->passive ? NULL : "only a passive stream is announced";
    const char *wrong = get_key(wanted, word[5], word[6]);
    if (wrong != NULL)
        return wrong;
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

/* What came of a command: `ok NAME` or `error NAME TEXT`. */
static void answer(struct mrfp *mrfp, struct mrfc *mrfc, const char *name, const char *why)
{
    reply(mrfp, mrfc, "%s %s%s%s", why == NULL ? "ok" : "error", name, why == NULL ? "" : " ", why == NULL ? "" : why);
}

static const char *command_add(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    struct wanted wanted = {.name = word[1]};
    unsigned port = 0;
    const char *wrong = get_wanted(&wanted, word, n);
    const char *why = wrong == NULL ? plane_add(mrfp->plane, &wanted, &port) : NULL;
    explicit_bzero(&wanted, sizeof wanted);
    if (wrong == NULL && why == NULL)
        reply(mrfp, mrfc, "ok %s %u", word[1], port);
    else if (wrong == NULL)
        answer(mrfp, mrfc, word[1], why);
    return wrong;
}

static const char *command_key(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    struct wanted wanted = {.name = word[1]};
    (void)n;
    const char *wrong = get_key(&wanted, word[2], word[3]);
    if (wrong == NULL)
        answer(mrfp, mrfc, word[1], plane_key(mrfp->plane, &wanted));
    explicit_bzero(&wanted, sizeof wanted);
    return wrong;
}

static const char *command_remove(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    (void)n;
    answer(mrfp, mrfc, word[1], plane_remove(mrfp->plane, word[1]));
    return NULL;
}

static const char *command_count(struct mrfp *mrfp, struct mrfc *mrfc, char **word, size_t n)
{
    (void)word;
    (void)n;
    reply(mrfp, mrfc, "ok %zu", plane_count(mrfp->plane));
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
    while (!mrfc->gone) {
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

static void mrfc_ready(struct watched *watched, void *user, uint32_t events)
{
    struct mrfp *mrfp = user;
    struct mrfc *mrfc = (struct mrfc *)(void *)watched;
    if ((events & EPOLLOUT) != 0)
        flush_mrfc(mrfp, mrfc);
    if ((events & EPOLLIN) == 0) {
        mrfc->gone |= (events & (EPOLLERR | EPOLLHUP)) != 0;
        return;
    }
    const ssize_t n = recv(watched->fd, mrfc->in + mrfc->n, MAX_LINE - mrfc->n, 0);
    mrfc->gone |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    mrfc->n += n > 0 ? (size_t)n : 0;
    take_lines(mrfp, mrfc);
}

static void socket_ready(struct watched *watched, void *user, uint32_t events)
{
    struct mrfp *mrfp = user;
    (void)events;
    const int fd = accept4(watched->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct mrfc *mrfc = fd >= 0 ? calloc(1, sizeof *mrfc) : NULL;
    if (mrfc == NULL) {
        if (fd >= 0)
            close(fd);
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            plane_watch(mrfp->plane, watched, 0); /* for a second */
        return;
    }
    mrfc->watched = (struct watched){.ready = mrfc_ready, .user = mrfp, .fd = fd};
    mrfc->next = mrfp->mrfcs;
    mrfp->mrfcs = mrfc;
    plane_watch(mrfp->plane, &mrfc->watched, EPOLLIN);
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
        plane_close(mrfp->plane, &mrfc->watched);
        free(mrfc->out.p);
        explicit_bzero(mrfc->in, sizeof mrfc->in);
        free(mrfc);
    }
}

/* ---- the program ---- */

static void signals_ready(struct watched *watched, void *user, uint32_t events)
{
    struct mrfp *mrfp = user;
    (void)watched;
    (void)events;
    mrfp->stopped = true;
}

/* A socket that nobody listens at any more is what an MRFP left that was killed. */
static bool listen_unix(struct mrfp *mrfp)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(mrfp->path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
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

static bool get_options(struct mrfp *mrfp, struct plane_settings *settings, int argc, char **argv)
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
    settings->expire_seconds = strtol(expire, NULL, 10);
    return mrfp->path != NULL && optind == argc && settings->expire_seconds > 0 && settings->expire_seconds <= 86400 &&
           get_address(address, "0", &settings->address, &settings->n_address);
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

static bool begin(struct mrfp *mrfp, const struct plane_settings *settings)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    mrfp->plane = plane_new(settings);
    mrfp->signals.fd = signalfd(-1, &signals, SFD_CLOEXEC);
    return mrfp->plane != NULL && mrfp->signals.fd >= 0 && listen_unix(mrfp);
}

static void serve(struct mrfp *mrfp)
{
    plane_watch(mrfp->plane, &mrfp->signals, EPOLLIN);
    plane_watch(mrfp->plane, &mrfp->socket, EPOLLIN);
    fprintf(stderr, "mrfp: %s\n", tls_library());
    printf("mrfp: ready on %s\n", mrfp->path);
    fflush(stdout);
    while (!mrfp->stopped) {
        if (plane_step(mrfp->plane))
            plane_watch(mrfp->plane, &mrfp->socket, EPOLLIN);
        free_mrfcs(mrfp, false);
    }
    unlink(mrfp->path);
}

static void finish(struct mrfp *mrfp)
{
    if (mrfp->plane == NULL)
        return;
    free_mrfcs(mrfp, true);
    plane_close(mrfp->plane, &mrfp->socket);
    plane_close(mrfp->plane, &mrfp->signals);
    plane_free(mrfp->plane);
}

int main(int argc, char **argv)
{
    struct mrfp mrfp = {.socket = {.ready = socket_ready, .user = &mrfp, .fd = -1},
                        .signals = {.ready = signals_ready, .user = &mrfp, .fd = -1}};
    struct plane_settings settings = {.tell = tell, .user = &mrfp};

    if (!get_options(&mrfp, &settings, argc, argv)) {
        fprintf(stderr, "usage: mrfp --socket PATH [--address IP] [--expire SECONDS]\n");
        return 2;
    }
    const bool begun = begin(&mrfp, &settings);
    if (begun)
        serve(&mrfp);
    else
        fprintf(stderr, "mrfp: can't begin on %s: %s\n", mrfp.path, strerror(errno));
    finish(&mrfp);
    return begun ? 0 : 1;
}
