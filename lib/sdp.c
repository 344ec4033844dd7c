/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 4567 on strings, and the roles of RFC 4145. */
#include "sdp.h"

#include "crypto.h"

#define MIKEY "mikey" /* RFC 4567 section 7: "the protocol identifier SHALL be "mikey"" */

static const struct mkt_span none = {NULL, 0};

/*
 * Takes a line and its end. RFC 8866 section 5: "The sequence CRLF (0x0d0a) is used to end a line, although parsers
 * SHOULD be tolerant and also accept lines terminated with a single newline character", and "an SDP parser MUST
 * completely ignore or reject any session description that contains a type letter that it does not understand".
 */
static struct mkt_span io_line(struct io *io)
{
    struct mkt_span rest = io_rest(io), line = rest;
    const uint8_t *lf = rest.n == 0 ? NULL : memchr(rest.p, '\n', rest.n);
    if (lf != NULL)
        line.n = (size_t)(lf - rest.p);
    io_bytes(io, &rest, lf == NULL ? line.n : line.n + 1);
    if (lf != NULL && line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n < 2 || line.p[1] != '=' || !is_in(line.p[0], "vosiuepcbtrzkam"))
        io_fail(io, MKT_E_SDP);
    else if (memchr(line.p, '\0', line.n) != NULL || memchr(line.p, '\r', line.n) != NULL)
        io_fail(io, MKT_E_SDP);
    return line;
}

/*
 * Takes lines up to the next of a type and, for an attribute, a name; the value is what follows.
 * RFC 8866 section 9: attribute = (attribute-name ":" attribute-value) / attribute-name; a value has at least one
 * octet.
 */
static bool next(struct io *lines, uint8_t type, struct mkt_span name, struct mkt_span *value)
{
    while (io_left(lines)) {
        struct mkt_span line = io_line(lines);
        if (lines->err != MKT_OK || line.p[0] != type)
            continue;
        *value = (struct mkt_span){line.p + 2, line.n - 2};
        if (type != 'a')
            return true;
        if (value->n < name.n || memcmp(value->p, name.p, name.n) != 0)
            continue;
        *value = (struct mkt_span){value->p + name.n, value->n - name.n};
        if (value->n == 0)
            return true;
        if (value->p[0] != ':')
            continue;
        *value = (struct mkt_span){value->p + 1, value->n - 1};
        if (value->n == 0)
            io_fail(lines, MKT_E_SDP);
        return value->n > 0;
    }
    return false;
}

static struct io io_part(struct mkt_span in, size_t from, size_t to)
{
    return from == to ? io_get(none) : io_get((struct mkt_span){in.p + from, to - from});
}

/* A text may end with one empty line: bodies do, and programs that read descriptions from a pipe want it. */
static struct mkt_span without_last_empty_line(struct mkt_span sdp)
{
    size_t n = sdp.n;
    if (n >= 2 && sdp.p[n - 1] == '\n' && sdp.p[n - 2] == '\n')
        n -= 1;
    else if (n >= 3 && sdp.p[n - 1] == '\n' && sdp.p[n - 2] == '\r' && sdp.p[n - 3] == '\n')
        n -= 2;
    return (struct mkt_span){sdp.p, n};
}

/*
 * Looks at every line, and gives those of the level whose fields apply to a media section: its own, its m= line
 * included, or those of the session level. RFC 4567 3.1: "if the media-level attribute is present, the session level
 * attribute MUST be ignored for this media". A malformed one is present.
 */
static enum mkt_err level(struct mkt_span text, size_t media, uint8_t type, struct mkt_span name, struct io *lines)
{
    const struct mkt_span sdp = without_last_empty_line(text);
    struct io io = io_get(sdp);
    struct mkt_span value;
    size_t sections = 0, session_end = sdp.n, from = sdp.n, to = sdp.n;
    for (size_t at = 0; io_left(&io); at = io.pos) {
        struct mkt_span line = io_line(&io);
        if (io.err != MKT_OK || line.p[0] != 'm')
            continue;
        if (sections == 0)
            session_end = at;
        if (from < at && to == sdp.n)
            to = at;
        if (sections == media)
            from = at;
        sections++;
    }
    if (media != MKT_SDP_SESSION && media >= sections)
        io_fail(&io, MKT_E_MISSING);
    *lines = io_part(sdp, from, to);
    struct io look = *lines;
    if (!next(&look, type, name, &value) && look.err == MKT_OK)
        *lines = io_part(sdp, 0, session_end);
    return io.err;
}

enum mkt_err mkt_sdp_sections(struct mkt_span sdp, size_t *n)
{
    struct io io = io_get(without_last_empty_line(sdp));
    struct mkt_span value;
    size_t sections = 0;
    while (next(&io, 'm', none, &value))
        sections++;
    if (io.err == MKT_OK)
        *n = sections;
    return io.err;
}

static bool is_mikey(struct mkt_span prot)
{
    return mkt_span_equal(prot, mkt_span_text(MIKEY));
}

/*
 * RFC 4567 4.1.2 has multiple instances, "each transporting a different key management protocol": of two for mikey
 * nobody can say which one is meant.
 */
enum mkt_err mkt_sdp_key_mgmt(struct mkt_span sdp, size_t media, struct mkt_buf *list, struct mkt_span *mikey)
{
    struct io lines, put = io_put(list);
    struct mkt_span name = mkt_span_text("key-mgmt"), value, separator = none;
    *mikey = none;
    enum mkt_err err = level(sdp, media, 'a', name, &lines);
    if (err != MKT_OK)
        return err;
    while (next(&lines, 'a', name, &value)) {
        /* RFC 4567 3.1: key-mgmt-att-value = 0*1SP prtcl-id SP keymgmt-data */
        struct io io = io_get(value);
        io_accept(&io, " ");
        struct mkt_span prot = io_word(&io, KMPID);
        io_literal(&io, " ");
        if (is_mikey(prot) && (mikey->n > 0 || !io_left(&io)))
            io_fail(&io, MKT_E_SDP);
        if (is_mikey(prot))
            *mikey = io_rest(&io);
        if (io.err != MKT_OK)
            return io.err;
        /* RFC 4567 4.1.4: prtcl-list = KMPID *(";" KMPID), "in the same order as they appear" */
        io_bytes(&put, &separator, separator.n);
        io_bytes(&put, &prot, prot.n);
        separator = mkt_span_text(";");
    }
    return lines.err == MKT_OK ? io_done(&put, list) : lines.err;
}

enum mkt_err mkt_sdp_get(struct mkt_span sdp, size_t media, struct mkt_buf *message)
{
    struct mkt_buf list = {NULL, 0, 0};
    struct mkt_span mikey;
    enum mkt_err err = mkt_sdp_key_mgmt(sdp, media, &list, &mikey);
    if (err != MKT_OK)
        return err;
    return mikey.n == 0 ? MKT_E_MISSING : mkt_base64_get(mikey, message);
}

enum mkt_err mkt_sdp_protocols(struct mkt_span sdp, size_t media, struct mkt_buf *list)
{
    struct mkt_span mikey;
    return mkt_sdp_key_mgmt(sdp, media, list, &mikey);
}

static void append(enum mkt_err *err, struct mkt_buf *out, struct mkt_span octets)
{
    struct io io = io_put(out);
    io_bytes(&io, &octets, octets.n);
    if (*err == MKT_OK)
        *err = io_done(&io, out);
}

enum mkt_err mkt_sdp_put(struct mkt_span message, struct mkt_buf *out)
{
    struct mkt_buf line = *out;
    enum mkt_err err = message.n == 0 ? MKT_E_ARGUMENT : MKT_OK;
    append(&err, &line, mkt_span_text("a=key-mgmt:" MIKEY " "));
    err = err != MKT_OK ? err : mkt_base64_put(message, &line);
    if (err == MKT_OK)
        *out = line;
    return err;
}

/* RFC 8866 section 9: media SP port ["/" integer] SP proto 1*(SP fmt), proto = token *("/" token) */
static void io_m(struct io *io, struct mkt_sdp_media *m)
{
    m->media = io_word(io, TOKEN);
    io_literal(io, " ");
    m->port = io_port(io);
    struct mkt_span ports = io_accept(io, "/") ? io_word(io, DIGITS) : none;
    if (ports.n > 0 && ports.p[0] == '0')
        io_fail(io, MKT_E_SDP);
    io_literal(io, " ");
    size_t from = io->pos;
    do
        io_word(io, TOKEN);
    while (io_accept(io, "/"));
    m->proto = io_since(io, from);
    do {
        io_literal(io, " ");
        io_word(io, TOKEN);
    } while (io_left(io));
}

/* RFC 8866 section 9: nettype SP addrtype SP connection-address */
static void io_c(struct io *io, struct mkt_sdp_media *m)
{
    m->nettype = io_word(io, TOKEN);
    io_literal(io, " ");
    m->addrtype = io_word(io, TOKEN);
    io_literal(io, " ");
    m->address = io_word(io, ADDRESS);
    if (io_left(io))
        io_fail(io, MKT_E_SDP);
}

enum mkt_err mkt_sdp_media(struct mkt_span sdp, size_t nth, struct mkt_sdp_media *media)
{
    struct io lines;
    struct mkt_span value;
    struct mkt_sdp_media m = {.port = 0};
    enum mkt_err err = level(sdp, nth, 'm', none, &lines);
    if (err != MKT_OK)
        return err;
    if (!next(&lines, 'm', none, &value))
        return MKT_E_MISSING; /* MKT_SDP_SESSION */
    struct io io = io_get(value);
    io_m(&io, &m);
    if (io.err == MKT_OK)
        io.err = level(sdp, nth, 'c', none, &lines);
    if (io.err == MKT_OK && next(&lines, 'c', none, &value)) {
        io = io_get(value);
        io_c(&io, &m);
    }
    /* more than one is for multicast alone (RFC 8866 5.7); which one a stream of ours would mean, nobody can say */
    if (io.err == MKT_OK && next(&lines, 'c', none, &value))
        return MKT_E_SDP;
    if (io.err == MKT_OK)
        *media = m;
    return io.err;
}

enum mkt_err mkt_sdp_attribute(struct mkt_span sdp, size_t media, const char *name, size_t nth, struct mkt_span *value)
{
    struct io lines;
    struct mkt_span token = mkt_span_text(name), found = none;
    if (token.n == 0 || word_length(token, TOKEN) != token.n)
        return MKT_E_ARGUMENT;
    enum mkt_err err = level(sdp, media, 'a', token, &lines);
    if (err != MKT_OK)
        return err;
    bool has;
    do
        has = next(&lines, 'a', token, &found);
    while (has && nth-- > 0);
    if (lines.err == MKT_OK)
        *value = has ? found : none;
    return lines.err;
}

enum mkt_err mkt_sdp_single(struct mkt_span sdp, size_t media, const char *name, struct mkt_span *value)
{
    struct mkt_span second = none;
    enum mkt_err err = mkt_sdp_attribute(sdp, media, name, 0, value);
    err = err != MKT_OK ? err : mkt_sdp_attribute(sdp, media, name, 1, &second);
    return err == MKT_OK && second.p != NULL ? MKT_E_SDP : err;
}

/* RFC 2326 section 15: LWS = [CRLF] 1*( SP | HT ), implied between tokens; RFC 4567 5.3 has a header folded so. */
static void io_lws(struct io *io)
{
    size_t from;
    do {
        from = io->pos;
        struct io fold = *io;
        if (!io_accept(&fold, "\r\n"))
            io_accept(&fold, "\n");
        if (io_accept(&fold, " ") || io_accept(&fold, "\t"))
            *io = fold;
    } while (io->pos != from);
}

static bool io_accept_token(struct io *io, const char *token)
{
    io_lws(io);
    bool is = io_accept(io, token);
    io_lws(io);
    return is;
}

static void io_token(struct io *io, const char *token)
{
    if (!io_accept_token(io, token))
        io_fail(io, MKT_E_SDP);
}

static struct mkt_span io_quoted(struct io *io, const char *others)
{
    io_literal(io, "\"");
    struct mkt_span word = io_word(io, others);
    io_literal(io, "\"");
    return word;
}

enum mkt_err mkt_keymgmt_get(struct mkt_span header, struct mkt_span uri, struct mkt_buf *message)
{
    struct io io = io_get(header);
    struct mkt_span found = none;
    io_literal(&io, "KeyMgmt");
    io_token(&io, ":");
    do {
        /* RFC 4567 3.2, with the data it lost: "prot" "=" KMPID ";" ["uri" "=" %x22 URI %x22 ";"] "data" "=" ... */
        struct mkt_span spec_uri = none;
        io_token(&io, "prot");
        io_token(&io, "=");
        struct mkt_span prot = io_word(&io, KMPID);
        io_token(&io, ";");
        if (io_accept_token(&io, "uri")) {
            io_token(&io, "=");
            if (!io_accept(&io, "\"\"")) /* as ONVIF prints and cameras send it */
                spec_uri = io_quoted(&io, URI);
            io_token(&io, ";");
        }
        io_token(&io, "data");
        io_token(&io, "=");
        struct mkt_span data = io_quoted(&io, BASE64);
        if (!is_mikey(prot) || !mkt_span_equal(spec_uri, uri))
            continue;
        if (found.n > 0)
            return MKT_E_SDP;
        found = data;
    } while (io_accept_token(&io, ","));
    if (!io_accept(&io, "\r\n"))
        io_accept(&io, "\n");
    if (io.err != MKT_OK || io_left(&io))
        return MKT_E_SDP;
    return found.n == 0 ? MKT_E_MISSING : mkt_base64_get(found, message);
}

enum mkt_err mkt_keymgmt_put(const struct mkt_keymgmt spec[], size_t n, struct mkt_buf *out)
{
    struct mkt_buf header = *out;
    enum mkt_err err = n == 0 ? MKT_E_ARGUMENT : MKT_OK;
    for (size_t i = 0; err == MKT_OK && i < n; i++) {
        bool has_uri = spec[i].uri.n > 0;
        if (spec[i].message.n == 0 || word_length(spec[i].uri, URI) != spec[i].uri.n)
            return MKT_E_ARGUMENT;
        for (size_t j = 0; j < i; j++)
            if (mkt_span_equal(spec[j].uri, spec[i].uri))
                return MKT_E_ARGUMENT;
        append(&err, &header, mkt_span_text(i == 0 ? "KeyMgmt: prot=" MIKEY "; " : ", prot=" MIKEY "; "));
        append(&err, &header, mkt_span_text(has_uri ? "uri=\"" : ""));
        append(&err, &header, spec[i].uri);
        append(&err, &header, mkt_span_text(has_uri ? "\"; data=\"" : "data=\""));
        err = err != MKT_OK ? err : mkt_base64_put(spec[i].message, &header);
        append(&err, &header, mkt_span_text("\""));
    }
    if (err == MKT_OK)
        *out = header;
    return err;
}

static const char *const setups[] = {NULL, "active", "passive", "actpass", "holdconn"}; /* by enum mkt_setup */
enum { SETUPS = sizeof setups / sizeof *setups };

const char *mkt_setup_name(enum mkt_setup setup)
{
    return (size_t)setup < SETUPS ? setups[setup] : NULL;
}

enum mkt_err mkt_setup_get(struct mkt_span sdp, size_t media, enum mkt_setup *setup)
{
    struct mkt_span value;
    enum mkt_err err = mkt_sdp_single(sdp, media, "setup", &value);
    if (err != MKT_OK)
        return err;
    size_t i = value.p == NULL ? MKT_SETUP_ABSENT : MKT_SETUP_ACTIVE;
    while (value.p != NULL && i < SETUPS && !mkt_span_equal(value, mkt_span_text(setups[i])))
        i++;
    if (i == SETUPS)
        return MKT_E_SDP;
    *setup = (enum mkt_setup)i;
    return MKT_OK;
}

/*
 * RFC 4145 4.1: "The default value of the setup attribute in an offer/answer exchange is 'active' in the offer and
 * 'passive' in the answer". RFC 6135 4.2.1: "If an MSRP UA receives the "holdconn" attribute value, it MUST ignore it
 * and process the message as if it did not contain an a=setup attribute".
 */
static enum mkt_setup meant(enum mkt_stream stream, enum mkt_setup setup, enum mkt_setup by_default)
{
    if (setup == MKT_SETUP_ABSENT || (stream == MKT_STREAM_MSRP && setup == MKT_SETUP_HOLDCONN))
        return by_default;
    return setup;
}

/* The table of RFC 4145 4.1: which answers an offer may have. */
static bool fits(enum mkt_setup offer, enum mkt_setup answer)
{
    static const bool table[SETUPS][SETUPS] = {
        [MKT_SETUP_ACTIVE] = {[MKT_SETUP_PASSIVE] = true, [MKT_SETUP_HOLDCONN] = true},
        [MKT_SETUP_PASSIVE] = {[MKT_SETUP_ACTIVE] = true, [MKT_SETUP_HOLDCONN] = true},
        [MKT_SETUP_ACTPASS] = {[MKT_SETUP_ACTIVE] = true, [MKT_SETUP_PASSIVE] = true, [MKT_SETUP_HOLDCONN] = true},
        [MKT_SETUP_HOLDCONN] = {[MKT_SETUP_HOLDCONN] = true},
    };
    return (size_t)offer < SETUPS && (size_t)answer < SETUPS && table[offer][answer];
}

enum mkt_err mkt_setup_answer(enum mkt_stream stream, enum mkt_setup offer, enum mkt_setup able, enum mkt_setup *answer)
{
    offer = meant(stream, offer, MKT_SETUP_ACTIVE);
    if (stream == MKT_STREAM_MSRP && able == MKT_SETUP_HOLDCONN)
        return MKT_E_ROLE; /* RFC 6135 4.2.1: "An MSRP UA MUST NOT send the "holdconn" attribute value" */
    if (able == MKT_SETUP_ACTPASS)
        able = offer == MKT_SETUP_PASSIVE ? MKT_SETUP_ACTIVE : MKT_SETUP_PASSIVE;
    if (offer == MKT_SETUP_HOLDCONN)
        able = MKT_SETUP_HOLDCONN;
    if (!fits(offer, able))
        return MKT_E_ROLE;
    *answer = able;
    return MKT_OK;
}

enum mkt_err mkt_setup_roles(enum mkt_stream stream, enum mkt_setup offer, enum mkt_setup answer, bool offerer,
                             struct mkt_roles *roles)
{
    offer = meant(stream, offer, MKT_SETUP_ACTIVE);
    answer = meant(stream, answer, MKT_SETUP_PASSIVE);
    if (!fits(offer, answer))
        return MKT_E_ROLE;
    *roles = (struct mkt_roles){MKT_END_NONE, MKT_END_NONE};
    if (answer == MKT_SETUP_HOLDCONN)
        return MKT_OK;
    bool active = offerer == (answer == MKT_SETUP_PASSIVE);
    roles->tcp = active ? MKT_END_CLIENT : MKT_END_SERVER;
    /* RFC 6135 section 6: "The active party also takes the role of the TLS client" */
    roles->tls = roles->tcp;
    /* RFC 8856 section 8: "the answerer always acts as the TLS server" */
    if (stream == MKT_STREAM_BFCP)
        roles->tls = offerer ? MKT_END_CLIENT : MKT_END_SERVER;
    return MKT_OK;
}
