/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A SIP end for tests, on 127.0.0.1: what it does and what it gets wrong on purpose is for the command line to say. The
 * descriptions go through its standard input and output, where initiator and responder of examples/ have theirs.
 *
 *     siptalk port                                           prints a port that is free for UDP and TCP, and keeps it for
 *                                                            those who bind it with SO_REUSEADDR, until SIGTERM
 *     siptalk call udp|tcp PORT REQUEST-URI FROM TO [WORD...]  INVITE with the description that comes
 *     siptalk wait udp|tcp PORT [WORD...]                    awaits an INVITE at that port
 *     siptalk refer udp|tcp PORT REQUEST-URI REFER-TO        REFER
 *
 * It prints `sip: METHOD STATUS` for each final response that comes, `sip: ready` when it awaits an INVITE, and a BYE
 * that comes as `sip: BYE`. A call ends with a BYE from here when standard input ends or SIGTERM comes, or with a BYE
 * that comes. Words:
 *
 *     twice       sends the INVITE twice: there must be one answer
 *     late        sends the ACK after the 200 has come again
 *     again       sends the description in a re-INVITE, too
 *     overtake    sends the re-INVITE before the ACK to the 200 before it, as UDP may deliver them
 *     cross       before it answers, sends an INVITE of its own in the dialog
 *     cancel      sends CANCEL when 100 is here
 *     replay      after the call, sends the description in another INVITE
 *     branch      sends the INVITE with another branch, too, as a proxy that forks
 *     times=N     makes N calls with the description, which must all be refused
 *     refuse      answers the INVITE with 488 and the description that comes on standard input
 */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000, MAX_TEXT = 65536 };

/* A dialog, and the transaction that is under way in it. */
struct dialog {
    char id[64], tag[32], peer_tag[128], uri[256], from[256], to[256], branch[64], target[256];
    unsigned cseq;
};

static bool tcp;
static int sock = -1;
static unsigned own_port;
static char in[MAX_TEXT];
static size_t in_n;
static char body[MAX_TEXT / 2];
static size_t body_n;
static int words_n;
static char **words;

static int hang_up_pipe[2];

static void hang_up(int signal)
{
    const ssize_t n = write(hang_up_pipe[1], "", 1);
    (void)signal;
    (void)n;
}

static void fail(const char *text)
{
    fprintf(stderr, "sip: failed: %s\n", text);
    exit(1);
}

static bool word(const char *name)
{
    for (int i = 0; i < words_n; i++) {
        if (strcmp(words[i], name) == 0)
            return true;
    }
    return false;
}

static void draw(char *out, size_t size, const char *prefix)
{
    unsigned char octets[8];
    if (getentropy(octets, sizeof octets) != 0)
        fail("getentropy");
    int n = snprintf(out, size, "%s", prefix);
    for (size_t i = 0; i < sizeof octets; i++)
        n += snprintf(out + n, size - (size_t)n, "%02x", octets[i]);
}

/* ---- the socket ---- */

static void name_socket(int fd)
{
    struct sockaddr_in own;
    socklen_t n = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &n) != 0)
        fail("getsockname");
    own_port = ntohs(own.sin_port);
}

static int new_socket(unsigned port)
{
    const struct sockaddr_in own = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    const int on = 1, fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&own, sizeof own) != 0)
        fail("no socket");
    name_socket(fd);
    return fd;
}

static void open_client(unsigned port)
{
    const struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    sock = new_socket(0);
    if (connect(sock, (const struct sockaddr *)&server, sizeof server) != 0)
        fail("can't connect to the server");
}

static void open_server(unsigned port)
{
    const int fd = sock = new_socket(port);
    if (tcp && listen(fd, 1) != 0)
        fail("listen");
    fprintf(stderr, "sip: ready\n");
    if (!tcp)
        return;
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, DEADLINE_MS) != 1 || (sock = accept(fd, NULL, NULL)) < 0)
        fail("nobody connects");
    close(fd);
}

static void write_message(const char *text, size_t n)
{
    if (send(sock, text, n, 0) != (ssize_t)n)
        fail("can't send");
}

/* Finds a header of a message; if `name` is empty, its first line. */
static bool header(const char *text, const char *name, char *out, size_t size)
{
    const size_t n = strlen(name);
    for (const char *line = text; *line != '\0' && *line != '\r'; line += strcspn(line, "\n") + 1) {
        if (n > 0 && (strncasecmp(line, name, n) != 0 || line[n] != ':'))
            continue;
        const char *value = n > 0 ? line + n + 1 : line;
        value += strspn(value, " ");
        const size_t m = strcspn(value, "\r");
        if (m >= size)
            fail("a header is too long");
        memcpy(out, value, m);
        out[m] = '\0';
        return true;
    }
    return false;
}

static void parameter(const char *value, const char *name, char *out, size_t size)
{
    const char *at = strstr(value, name);
    out[0] = '\0';
    if (at != NULL)
        snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), ";>, "), at + strlen(name));
}

static char message[MAX_TEXT], kept[MAX_TEXT]; /* what came last; what came before */

/* Takes a whole message out of what was received. */
static bool take(void)
{
    char length[16] = "0";
    in[in_n] = '\0';
    char *end = strstr(in, "\r\n\r\n");
    if (end == NULL)
        return false;
    header(in, "Content-Length", length, sizeof length);
    const size_t n = (size_t)(end + 4 - in) + strtoul(length, NULL, 10);
    if (in_n < n)
        return false;
    memcpy(message, in, n);
    message[n] = '\0';
    memmove(in, in + n, in_n - n);
    in_n -= n;
    return true;
}

/* Waits for a message; false if `input` asks for the end of standard input or SIGTERM, and that comes before. */
static bool read_message(bool input, int timeout_ms)
{
    while (!take()) {
        struct pollfd p[3] = {
            {sock, POLLIN, 0}, {input ? STDIN_FILENO : -1, POLLIN, 0}, {input ? hang_up_pipe[0] : -1, POLLIN, 0}};
        const int n = poll(p, 3, timeout_ms);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            fail("no message within 20 s");
        char ignored[1024];
        if (p[2].revents != 0 || (p[1].revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0))
            return false;
        if (p[0].revents == 0)
            continue;
        struct sockaddr_in from;
        socklen_t m = sizeof from;
        const ssize_t got = recvfrom(sock, in + in_n, sizeof in - 1 - in_n, 0, (struct sockaddr *)&from, &m);
        if (got <= 0)
            fail("the server has closed TCP");
        if (!tcp && m == sizeof from && connect(sock, (struct sockaddr *)&from, m) != 0)
            fail("connect");
        in_n += (size_t)got;
    }
    return true;
}

/* ---- SIP ---- */

static void request(struct dialog *d, const char *method, const char *more, const char *text, size_t n)
{
    static char out[MAX_TEXT];
    const int m = snprintf(out, sizeof out,
                           "%s %s SIP/2.0\r\nVia: SIP/2.0/%s 127.0.0.1:%u;branch=%s\r\nMax-Forwards: 70\r\n"
                           "From: <%s>;tag=%s\r\nTo: <%s>%s%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
                           "Contact: <sip:test@127.0.0.1:%u%s>\r\n%sContent-Length: %zu\r\n\r\n",
                           method, d->uri, tcp ? "TCP" : "UDP", own_port, d->branch, d->from, d->tag, d->to,
                           d->peer_tag[0] != '\0' ? ";tag=" : "", d->peer_tag, d->id, d->cseq, method, own_port,
                           tcp ? ";transport=tcp" : "", more, n);
    if (m < 0 || (size_t)m + n >= sizeof out)
        fail("the request is too long");
    memcpy(out + m, text, n);
    write_message(out, (size_t)m + n);
}

static void invite(struct dialog *d)
{
    request(d, "INVITE", "Content-Type: application/sdp\r\n", body, body_n);
}

static void new_request(struct dialog *d)
{
    d->cseq++;
    draw(d->branch, sizeof d->branch, "z9hG4bK");
}

/* A response to the request in `message`. */
static void respond(int status, const char *tag, const char *text, size_t n)
{
    static char out[MAX_TEXT];
    static const char *const copied[] = {"Via", "From", "Call-ID", "CSeq"};
    char value[1024];
    size_t m = (size_t)snprintf(out, sizeof out, "SIP/2.0 %d Test\r\n", status);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        if (!header(message, copied[i], value, sizeof value))
            fail("a header is missing");
        m += (size_t)snprintf(out + m, sizeof out - m, "%s: %s\r\n", copied[i], value);
    }
    header(message, "To", value, sizeof value);
    m += (size_t)snprintf(out + m, sizeof out - m, "To: %s%s%s\r\nContact: <sip:test@127.0.0.1:%u%s>\r\n%s", value,
                          strstr(value, ";tag=") == NULL ? ";tag=" : "", strstr(value, ";tag=") == NULL ? tag : "",
                          own_port, tcp ? ";transport=tcp" : "", n > 0 ? "Content-Type: application/sdp\r\n" : "");
    m += (size_t)snprintf(out + m, sizeof out - m, "Content-Length: %zu\r\n\r\n", n);
    memcpy(out + m, text, n);
    write_message(out, m + n);
}

/* Waits for the final response to the request of this CSeq. Answers requests that come before it. */
static int final(const struct dialog *d, const char *method, bool quiet)
{
    for (;;) {
        char line[256], cseq[64];
        read_message(false, DEADLINE_MS);
        header(message, "", line, sizeof line);
        header(message, "CSeq", cseq, sizeof cseq);
        if (strncmp(line, "SIP/2.0 ", 8) != 0) {
            if (strncmp(line, "BYE ", 4) == 0)
                respond(200, "", "", 0);
            continue;
        }
        const int status = (int)strtol(line + 8, NULL, 10);
        if (status < 200 || (unsigned)strtoul(cseq, NULL, 10) != d->cseq || strstr(cseq, method) == NULL)
            continue;
        if (!quiet)
            fprintf(stderr, "sip: %s %d\n", method, status);
        return status;
    }
}

/* What a response says of the dialog; the ACK to a 2xx has a branch of its own. */
static void learn(struct dialog *d, bool success)
{
    char to[256], contact[256];
    header(message, "To", to, sizeof to);
    parameter(to, ";tag=", d->peer_tag, sizeof d->peer_tag);
    if (!success)
        return;
    draw(d->branch, sizeof d->branch, "z9hG4bK");
    if (header(message, "Contact", contact, sizeof contact)) {
        const char *at = strchr(contact, '<');
        if (at != NULL)
            snprintf(d->uri, sizeof d->uri, "%.*s", (int)strcspn(at + 1, ">"), at + 1);
    }
}

static void ack(struct dialog *d, bool success)
{
    const struct dialog before = *d;
    learn(d, success);
    request(d, "ACK", "", "", 0);
    if (!success)
        *d = before;
}

static void print_body(void)
{
    const char *at = strstr(message, "\r\n\r\n");
    if (at != NULL && at[4] != '\0')
        printf("%s\r\n", at + 4);
    fflush(stdout);
}

/* Reads a description from standard input, up to an empty line or the end. */
static void read_body(void)
{
    body_n = 0;
    while (body_n < sizeof body - 1 && read(STDIN_FILENO, body + body_n, 1) == 1) {
        body_n++;
        if (body_n >= 4 && memcmp(body + body_n - 4, "\r\n\r\n", 4) == 0) {
            body_n -= 2;
            return;
        }
    }
}

static void begin(struct dialog *d, char **argv)
{
    memset(d, 0, sizeof *d);
    draw(d->id, sizeof d->id, "");
    draw(d->tag, sizeof d->tag, "t");
    snprintf(d->uri, sizeof d->uri, "%s", argv[0]);
    snprintf(d->from, sizeof d->from, "%s", argv[1]);
    snprintf(d->to, sizeof d->to, "%s", argv[2]);
    new_request(d);
}

/* The call is there: until one end hangs up. */
static void talk(struct dialog *d)
{
    char line[256];
    while (read_message(true, -1)) {
        header(message, "", line, sizeof line);
        if (strncmp(line, "BYE ", 4) == 0) {
            respond(200, "", "", 0);
            fprintf(stderr, "sip: BYE\n");
            return;
        }
    }
    new_request(d);
    request(d, "BYE", "", "", 0);
    final(d, "BYE", false);
}

static void refused_calls(char **argv, unsigned long n)
{
    struct dialog d;
    int status = 0;
    for (unsigned long i = 0; i < n; i++) {
        begin(&d, argv);
        invite(&d);
        status = final(&d, "INVITE", i > 0);
        ack(&d, false);
        if (status < 300)
            fail("the call was not refused");
    }
    print_body();
}

static int call(char **argv)
{
    struct dialog d, other;
    for (int i = 0; i < words_n; i++) {
        if (strncmp(words[i], "times=", 6) == 0) {
            read_body();
            refused_calls(argv, strtoul(words[i] + 6, NULL, 10));
            return 0;
        }
    }
    read_body();
    begin(&d, argv);
    invite(&d);
    if (word("twice"))
        invite(&d);
    if (word("branch")) {
        other = d;
        draw(other.branch, sizeof other.branch, "z9hG4bK");
        invite(&other);
    }
    if (word("cancel")) {
        char line[256];
        do {
            read_message(false, DEADLINE_MS);
            header(message, "", line, sizeof line);
        } while (strncmp(line, "SIP/2.0 100", 11) != 0);
        request(&d, "CANCEL", "", "", 0);
    }
    int status = final(&d, "INVITE", false);
    if (word("branch") && status < 300) {
        memcpy(kept, message, sizeof kept);
        final(&d, "INVITE", false);
        memcpy(message, kept, sizeof message);
    } else if (word("branch")) {
        status = final(&d, "INVITE", false);
    }
    if (status >= 300) {
        ack(&d, false);
        print_body();
        return 0;
    }
    print_body();
    if (word("late"))
        final(&d, "INVITE", false);
    if (word("overtake"))
        learn(&d, true);
    else
        ack(&d, true);
    other = d;
    if (word("again")) {
        new_request(&d);
        invite(&d);
        if (final(&d, "INVITE", false) < 300)
            ack(&d, true);
        else
            ack(&d, false);
    }
    if (word("overtake"))
        request(&other, "ACK", "", "", 0);
    talk(&d);
    if (word("replay")) {
        begin(&other, argv);
        invite(&other);
        final(&other, "INVITE", false);
        ack(&other, false);
    }
    return 0;
}

static int await(void)
{
    char line[256], value[512];
    struct dialog d = {.cseq = 0};
    do {
        read_message(false, DEADLINE_MS);
        header(message, "", line, sizeof line);
    } while (strncmp(line, "INVITE ", 7) != 0);
    memcpy(kept, message, sizeof kept);
    print_body();
    draw(d.tag, sizeof d.tag, "t");
    header(message, "Call-ID", d.id, sizeof d.id);
    header(message, "From", value, sizeof value);
    parameter(value, ";tag=", d.peer_tag, sizeof d.peer_tag);
    parameter(value, "<", d.to, sizeof d.to);
    header(message, "To", value, sizeof value);
    parameter(value, "<", d.from, sizeof d.from);
    header(message, "Contact", value, sizeof value);
    parameter(value, "<", d.uri, sizeof d.uri);
    read_body();
    if (word("cross")) {
        new_request(&d);
        invite(&d);
        final(&d, "INVITE", false);
        ack(&d, false);
        memcpy(message, kept, sizeof message);
    }
    if (word("refuse")) {
        respond(488, d.tag, body, body_n);
        return 0;
    }
    respond(200, d.tag, body, body_n);
    talk(&d);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "port") == 0) {
        tcp = true;
        new_socket(0);
        tcp = false;
        close(new_socket(own_port));
        printf("%u\n", own_port);
        fflush(stdout);
        pause();
        return 0;
    }
    if (argc < 4)
        fail("usage: see the head of siptalk.c");
    tcp = strcmp(argv[2], "tcp") == 0;
    const bool waits = strcmp(argv[1], "wait") == 0;
    const int fixed = waits ? 4 : strcmp(argv[1], "refer") == 0 ? 6 : 7;
    if (argc < fixed)
        fail("usage: see the head of siptalk.c");
    words = argv + fixed;
    words_n = argc - fixed;
    if (pipe(hang_up_pipe) != 0)
        fail("no pipe");
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = hang_up}, NULL);
    const unsigned port = (unsigned)strtoul(argv[3], NULL, 10);
    if (waits) {
        open_server(port);
        return await();
    }
    open_client(port);
    if (strcmp(argv[1], "call") == 0)
        return call(argv + 4);
    struct dialog d;
    char more[512];
    char as[] = "sip:as@example.com";
    char *uris[] = {argv[4], as, argv[4]};
    begin(&d, uris);
    snprintf(more, sizeof more, "Refer-To: <%s>\r\n", argv[5]);
    request(&d, "REFER", more, "", 0);
    final(&d, "REFER", false);
    return 0;
}
