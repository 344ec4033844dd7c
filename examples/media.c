/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* memmem */

#include "media.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool octets_add(struct octets *octets, const void *p, size_t n)
{
    if (n > octets->cap - octets->n) {
        const size_t cap = 2 * octets->n + n;
        uint8_t *more = realloc(octets->p, cap);
        if (more == NULL)
            return false;
        octets->p = more;
        octets->cap = cap;
    }
    memcpy(octets->p + octets->n, p, n);
    octets->n += n;
    return true;
}

void octets_drop(struct octets *octets, size_t n)
{
    octets->n -= n;
    if (octets->n > 0) {
        memmove(octets->p, octets->p + n, octets->n);
        return;
    }
    free(octets->p);
    *octets = (struct octets){NULL, 0, 0};
}

/* ---- MSRP ---- */

/* A part of a message. */
struct part {
    const char *p;
    size_t n;
};

/* A message, cut into its parts. */
struct msrp {
    struct part id, start; /* transaction ID, and what follows it in the first line */
    struct part headers, body;
    char flag; /* of the end-line: $ complete, + more follows, # abandoned */
};

static const char *find(struct part in, const char *text, size_t n)
{
    return memmem(in.p, in.n, text, n);
}

static bool is(struct part part, const char *text)
{
    return part.n == strlen(text) && strncasecmp(part.p, text, part.n) == 0;
}

/* The value of a header, such as "To-Path"; empty if there is none. */
static struct part header(const struct msrp *msrp, const char *name)
{
    struct part rest = msrp->headers;
    const size_t n = strlen(name);
    while (rest.n > 0) {
        const char *end = find(rest, "\r\n", 2);
        const size_t line = end != NULL ? (size_t)(end - rest.p) : rest.n;
        if (line > n + 2 && strncasecmp(rest.p, name, n) == 0 && rest.p[n] == ':' && rest.p[n + 1] == ' ')
            return (struct part){rest.p + n + 2, line - n - 2};
        const size_t skip = end != NULL ? line + 2 : line;
        rest = (struct part){rest.p + skip, rest.n - skip};
    }
    return (struct part){"", 0};
}

/* The leftmost URI of a path. */
static struct part first_uri(struct part path)
{
    const char *blank = memchr(path.p, ' ', path.n);
    return blank != NULL ? (struct part){path.p, (size_t)(blank - path.p)} : path;
}

static bool say(struct octets *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends text. It is not longer than the message that it answers, and some octets more. */
static bool say(struct octets *out, const char *format, ...)
{
    char text[MEDIA_ROOM + 512];
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return n >= 0 && (size_t)n < sizeof text && octets_add(out, text, (size_t)n);
}

#define PART(part) (int)(part).n, (part).p

/* A request of this end. Its transaction ID is drawn when the content is there, so that the end-line can't be in it. */
static bool msrp_request(struct octets *out, const char *method, struct part to, struct part from,
                         struct part message_id, const char *more, struct part content)
{
    char id[17];
    return text_draw_id(id) &&
           say(out, "MSRP %s %s\r\nTo-Path: %.*s\r\nFrom-Path: %.*s\r\nMessage-ID: %.*s\r\n%s%.*s\r\n-------%s$\r\n",
               id, method, PART(to), PART(from), PART(message_id), more, PART(content), id);
}

/* A SEND of this end, whose content may be empty. */
static bool msrp_send(struct octets *out, struct part to, struct part from, struct part content)
{
    char id[17], more[96];
    snprintf(more, sizeof more, "Byte-Range: 1-%zu/%zu%s", content.n, content.n,
             content.n > 0 ? "\r\nContent-Type: text/plain\r\n\r\n" : "");
    return text_draw_id(id) && msrp_request(out, "SEND", to, from, (struct part){id, strlen(id)}, more, content);
}

bool media_begin(const struct media *media, const char *peer_path, struct octets *out)
{
    const struct part to = {peer_path, strlen(peer_path)}, from = {media->own_path, strlen(media->own_path)};
    return msrp_send(out, to, from, (struct part){"", 0});
}

/* RFC 4975 7.1.2: a report about the octets of this chunk. */
static bool msrp_report(const struct media *media, const struct msrp *msrp, struct part to, struct part from,
                        struct octets *out)
{
    const struct part range = header(msrp, "Byte-Range"), none = {"", 0};
    const char *slash = memchr(range.p, '/', range.n);
    const unsigned long first = range.n > 0 ? strtoul(range.p, NULL, 10) : 1;
    const struct part total = slash != NULL ? (struct part){slash + 1, (size_t)(range.p + range.n - slash - 1)} : none;
    char more[128];
    snprintf(more, sizeof more, "Byte-Range: %lu-%lu/%.*s\r\nStatus: 000 200 OK", first,
             first - 1 + msrp->body.n + media->dropped, total.n > 0 && total.n <= 20 ? (int)total.n : 1,
             total.n > 0 ? total.p : "*");
    return msrp_request(out, "REPORT", to, from, header(msrp, "Message-ID"), more, none);
}

/* RFC 4975 7.2, 7.3: takes a request or a response. */
static bool msrp_answer(const struct media *media, const struct msrp *msrp, struct octets *out)
{
    static const char echo[] = "echo ";
    const struct part to = header(msrp, "To-Path"), from = header(msrp, "From-Path");
    const struct part wanted = header(msrp, "Failure-Report");
    const char *status = "200 OK";

    if (msrp->start.n >= 3 && strspn(msrp->start.p, "0123456789") == 3) {
        fprintf(stderr, "mrfp: %s: MSRP %.3s\n", media->name, msrp->start.p);
        return true;
    }
    if (to.n == 0 || from.n == 0)
        return false;
    if (media->own_path != NULL && (to.n != strlen(media->own_path) || memcmp(to.p, media->own_path, to.n) != 0))
        status = "481 Session does not exist";
    else if (is(msrp->start, "REPORT"))
        return true; /* it gets no response */
    else if (!is(msrp->start, "SEND"))
        status = "501 Method unknown";
    const bool good = *status == '2';
    fprintf(stderr, "mrfp: %s: MSRP request, answered %.3s\n", media->name, status);
    if (!is(wanted, "no") && !(good && is(wanted, "partial")) &&
        !say(out, "MSRP %.*s %s\r\nTo-Path: %.*s\r\nFrom-Path: %.*s\r\n-------%.*s$\r\n", PART(msrp->id), status,
             PART(first_uri(from)), PART(first_uri(to)), PART(msrp->id)))
        return false;
    if (good && is(header(msrp, "Success-Report"), "yes") && !msrp_report(media, msrp, from, first_uri(to), out))
        return false;
    /* 7.1.1: up to 2,048 octets, which need not be interruptible */
    const size_t n = sizeof echo - 1;
    if (!good || msrp->body.n <= n || msrp->body.n > 2048 || msrp->flag != '$' || memcmp(msrp->body.p, echo, n) != 0)
        return true;
    return msrp_send(out, from, first_uri(to), (struct part){msrp->body.p + n, msrp->body.n - n});
}

/* Cuts the first message into its parts. `used` is its length, 0 if more octets are needed; false: that is no MSRP. */
static bool msrp_parse(struct part in, struct msrp *msrp, size_t *used)
{
    static const char ident[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-+%=";
    const char *line_end = find(in, "\r\n", 2), *p;
    char end_line[64];

    *used = 0;
    if (memcmp(in.p, "MSRP ", in.n < 5 ? in.n : 5) != 0)
        return false;
    if (line_end == NULL)
        return in.n < 128;
    msrp->id = (struct part){in.p + 5, strspn(in.p + 5, ident)};
    msrp->start = (struct part){msrp->id.p + msrp->id.n + 1, 0};
    if (msrp->id.n < 4 || msrp->id.n > 32 || msrp->start.p[-1] != ' ')
        return false;
    msrp->start.n = (size_t)(line_end - msrp->start.p);
    const size_t n = (size_t)snprintf(end_line, sizeof end_line, "\r\n-------%.*s", PART(msrp->id));
    struct part rest = {line_end, (size_t)(in.p + in.n - line_end)};
    for (;;) {
        p = find(rest, end_line, n);
        if (p == NULL || (size_t)(in.p + in.n - p) < n + 3)
            return true;
        if (strchr("$+#", p[n]) != NULL && p[n] != '\0' && memcmp(p + n + 1, "\r\n", 2) == 0)
            break;
        rest = (struct part){p + 2, (size_t)(in.p + in.n - p - 2)};
    }
    msrp->flag = p[n];
    *used = (size_t)(p + n + 3 - in.p);
    msrp->headers = (struct part){line_end + 2, p > line_end ? (size_t)(p - line_end - 2) : 0};
    const char *blank = find(msrp->headers, "\r\n\r\n", 4);
    msrp->body = blank != NULL ? (struct part){blank + 4, (size_t)(p - blank - 4)} : (struct part){"", 0};
    if (blank != NULL)
        msrp->headers.n = (size_t)(blank - msrp->headers.p);
    return true;
}

/* Makes room for the end of a long chunk: the headers stay, and the octets that may begin the end-line. */
static bool msrp_cut(struct media *media)
{
    enum { TAIL = 64 };
    const char *blank = find((struct part){media->in, media->n}, "\r\n\r\n", 4);
    const size_t body = blank != NULL ? (size_t)(blank + 4 - media->in) : media->n;
    if (media->n - body <= TAIL)
        return false;
    media->dropped += media->n - body - TAIL;
    memmove(media->in + body, media->in + media->n - TAIL, TAIL);
    media->n = body + TAIL;
    return true;
}

/* Takes what is there of one message after the other. */
static bool msrp_take(struct media *media, struct octets *out)
{
    struct msrp msrp;
    size_t used;
    for (;;) {
        media->in[media->n] = '\0';
        if (!msrp_parse((struct part){media->in, media->n}, &msrp, &used))
            return false;
        if (used == 0)
            return media->n < MEDIA_ROOM || msrp_cut(media);
        if (!msrp_answer(media, &msrp, out))
            return false;
        media->n -= used;
        media->dropped = 0;
        memmove(media->in, media->in + used, media->n);
    }
}

/* ---- BFCP ---- */

enum { HELLO = 11, HELLO_ACK = 12, ERROR = 13, HEADER = 12 };                                 /* RFC 8855 5.1 */
enum { ERROR_CODE = 6, SUPPORTED_ATTRIBUTES = 10, SUPPORTED_PRIMITIVES = 11, MANDATORY = 1 }; /* 5.2 */

/* Answers a message by its header alone (RFC 8855 13.7, 13.8). This server reads no attributes. */
static bool bfcp_answer(const struct media *media, const uint8_t header[HEADER], struct octets *out)
{
    static const uint8_t lists[] = {SUPPORTED_PRIMITIVES << 1,
                                    5,
                                    HELLO,
                                    HELLO_ACK,
                                    ERROR,
                                    0,
                                    0,
                                    0,
                                    SUPPORTED_ATTRIBUTES << 1,
                                    5,
                                    ERROR_CODE << 1,
                                    SUPPORTED_ATTRIBUTES << 1,
                                    SUPPORTED_PRIMITIVES << 1,
                                    0,
                                    0,
                                    0};
    static const uint8_t unknown[] = {ERROR_CODE << 1 | MANDATORY, 3, 3, 0};
    /* FloorRequest, FloorRelease, FloorRequestQuery, UserQuery, FloorQuery, ChairAction: all that asks for an answer */
    static const unsigned questions = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 9;
    const bool hello = header[1] == HELLO;
    uint8_t answer[HEADER];

    if (header[0] >> 5 != 1)
        return false;
    fprintf(stderr, "mrfp: %s: BFCP primitive %u\n", media->name, header[1]);
    if (!hello && (header[1] > 9 || (questions >> header[1] & 1) == 0))
        return true;
    memcpy(answer, header, HEADER); /* conference, transaction and user are those of the question */
    answer[0] = 1 << 5;
    answer[1] = hello ? HELLO_ACK : ERROR;
    answer[2] = 0;
    answer[3] = (hello ? sizeof lists : sizeof unknown) / 4;
    return octets_add(out, answer, HEADER) &&
           (hello ? octets_add(out, lists, sizeof lists) : octets_add(out, unknown, sizeof unknown));
}

static bool bfcp_take(struct media *media, struct octets *out)
{
    const uint8_t *p = (const uint8_t *)media->in;
    for (;;) {
        const size_t skipped = media->skip < media->n ? media->skip : media->n;
        const bool whole = media->n - skipped >= HEADER;
        if (whole && !bfcp_answer(media, p + skipped, out))
            return false;
        media->skip = whole ? 4 * ((size_t)p[skipped + 2] << 8 | p[skipped + 3]) : media->skip - skipped;
        media->n -= whole ? skipped + HEADER : skipped;
        memmove(media->in, media->in + skipped + (whole ? HEADER : 0), media->n);
        if (!whole)
            return true;
    }
}

bool media_take(struct media *media, const uint8_t *octets, size_t n, struct octets *out)
{
    while (n > 0) {
        const size_t room = MEDIA_ROOM - media->n, part = n < room ? n : room;
        memcpy(media->in + media->n, octets, part);
        media->n += part;
        octets += part;
        n -= part;
        if (media->bfcp ? !bfcp_take(media, out) : !msrp_take(media, out))
            return false;
    }
    return true;
}
