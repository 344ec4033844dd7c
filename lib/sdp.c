/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 4567 on strings, and the roles of RFC 4145. */
#include "sdp.h"

#include "base64.h"
#include "crypto.h"

/* Takes a line and its end. RFC 8866 section 5: "parsers SHOULD be tolerant and also accept lines terminated with a
 * single newline character", and "MUST completely ignore or reject" unknown type letters. */
static struct mkt_span io_line(struct io *io)
{
    struct mkt_span rest = io_rest(io), line = rest;
    const uint8_t *lf = rest.n == 0 ? NULL : memchr(rest.p, '\n', rest.n);
    if (lf != NULL)
        line.n = (size_t)(lf - rest.p);
    io_bytes(io, &rest, lf == NULL ? line.n : line.n + 1);
    if (lf != NULL && line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n < 2 || line.p[1] != '=' || !is_in(line.p[0], "amcbtvosiueprzk"))
        io_fail(io, MKT_E_SDP);
    return line;
}

static bool is_mikey(struct mkt_span prot)
{
    return mkt_span_equal(prot, mkt_span_text(MIKEY));
}

/* RFC 8866 section 9: attribute = (attribute-name ":" attribute-value) / attribute-name; false: the value is empty. */
static bool split(struct mkt_span line, struct mkt_span *name, struct mkt_span *value)
{
    const uint8_t *colon = memchr(line.p + 2, ':', line.n - 2);
    *name = (struct mkt_span){line.p + 2, colon == NULL ? line.n - 2 : (size_t)(colon - line.p) - 2};
    const size_t head = 2 + name->n + (colon != NULL);
    *value = (struct mkt_span){line.p + head, line.n - head};
    return colon == NULL || value->n > 0;
}

/* RFC 4567 3.1: key-mgmt-att-value = 0*1SP prtcl-id SP keymgmt-data. 4.1.2: multiple instances are "each transporting a
 * different key management protocol". 4.1.4: prtcl-list = KMPID *(";" KMPID), "in the same order as they appear". */
static enum mkt_err add_key_mgmt(struct mkt_sdp_level *level, struct mkt_span value)
{
    struct io io = io_get(value);
    struct mkt_buf list = {level->protocols, sizeof level->protocols, level->n_protocols};
    struct mkt_span separator = mkt_span_text(list.n == 0 ? "" : ";");
    io_accept(&io, " ");
    struct mkt_span prot = io_word(&io, KMPID);
    io_literal(&io, " ");
    if (is_mikey(prot) && (level->mikey.n > 0 || !io_left(&io)))
        io_fail(&io, MKT_E_SDP);
    if (io.err != MKT_OK)
        return io.err;
    if (is_mikey(prot))
        level->mikey = io_rest(&io);
    struct io put = io_put(&list);
    io_bytes(&put, &separator, separator.n);
    io_bytes(&put, &prot, prot.n);
    if (io_done(&put, &list) != MKT_OK)
        return MKT_E_TOO_MANY;
    level->n_protocols = list.n;
    return MKT_OK;
}

static void add_line(struct mkt_sdp_level *level, struct mkt_span line)
{
    static const char names[MKT_SDP_M_LINE][12] = {"key-mgmt", "setup", "connection", "path", "msrp-cema"};
    struct mkt_span name, value = {line.p + 2, line.n - 2};
    size_t i = line.p[0] == 'm' ? MKT_SDP_M_LINE : line.p[0] == 'c' ? MKT_SDP_C_LINE : MKT_SDP_NAMES;
    bool good = true;
    if (line.p[0] == 'a') {
        good = split(line, &name, &value);
        const size_t n = name.n < sizeof *names ? name.n : 0;
        for (i = 0; i < MKT_SDP_M_LINE && (names[i][n] != '\0' || memcmp(names[i], name.p, n) != 0);)
            i++;
        i = i == MKT_SDP_M_LINE ? MKT_SDP_NAMES : i;
    }
    if (i == MKT_SDP_NAMES)
        return;
    if (i == MKT_SDP_KEY_MGMT && level->key_mgmt_err == MKT_OK)
        level->key_mgmt_err = add_key_mgmt(level, value);
    level->field[i].wrong |= !good || level->field[i].value.p != NULL;
    if (level->field[i].value.p == NULL)
        level->field[i].value = value;
}

/* Takes the lines up to the next m= line; the one that a media section begins with is its own. */
static void io_level(struct io *lines, struct mkt_sdp_level *level, bool is_section)
{
    const size_t from = lines->pos;
    *level = (struct mkt_sdp_level){.key_mgmt_err = MKT_OK};
    while (io_left(lines) && (lines->in[lines->pos] != 'm' || (is_section && lines->pos == from))) {
        const struct mkt_span line = io_line(lines);
        if (lines->err == MKT_OK)
            add_line(level, line);
    }
    level->lines = io_since(lines, from);
}

/* A text may end with one empty line: bodies do, and programs that read descriptions from a pipe want it. */
static struct mkt_span without_last_empty_line(struct mkt_span sdp)
{
    const size_t n = sdp.n < 3 || sdp.p[sdp.n - 1] != '\n' ? 0 : sdp.n - (sdp.p[sdp.n - 2] == '\r' ? 2 : 1);
    return n > 0 && sdp.p[n - 1] == '\n' ? (struct mkt_span){sdp.p, n} : sdp;
}

enum mkt_err mkt_sdp_parse(struct mkt_sdp *sdp, struct mkt_span text)
{
    *sdp = (struct mkt_sdp){.text = without_last_empty_line(text), .media = MKT_SDP_SESSION};
    struct io session = io_get(sdp->text), lines = session;
    io_level(&session, &sdp->session, false);
    const size_t part = sdp->text.n / MKT_SDP_PARTS + 1;
    sdp->section.lines = sdp->session.lines; /* section 0 is looked for behind them */
    while (io_left(&lines)) {
        const size_t at = lines.pos;
        const struct mkt_span line = io_line(&lines);
        if (memchr(line.p, '\0', line.n) != NULL || memchr(line.p, '\r', line.n) != NULL)
            io_fail(&lines, MKT_E_SDP);
        sdp->sections += line.p[0] == 'm';
        sdp->begun[at / part] += line.p[0] == 'm';
    }
    if (lines.err != MKT_OK)
        *sdp = (struct mkt_sdp){.media = MKT_SDP_SESSION};
    return lines.err;
}

static bool is_m_line(struct mkt_span text, size_t pos)
{
    return text.p[pos] == 'm' && (pos == 0 || text.p[pos - 1] == '\n');
}

/* Where a media section begins. It is looked for from the last section that was read, or from where a part begins: never
 * in more than one part. */
static size_t locate(const struct mkt_sdp *sdp, size_t media)
{
    const struct mkt_span text = sdp->text;
    const struct mkt_span last = sdp->section.lines;
    const size_t begin = last.n == 0 ? 0 : (size_t)(last.p - text.p), next = sdp->media + 1; /* 0 if there is no last */
    const size_t part = text.n / MKT_SDP_PARTS + 1;
    size_t pos = 0, number = 0; /* of the first section that begins at `pos` or later */
    for (size_t i = 0; media - number >= sdp->begun[i]; pos += part)
        number += sdp->begun[i++];
    if (media + 1 < next && begin < pos + part) {
        for (pos = begin, number = sdp->media; number > media && pos > 0;)
            number -= is_m_line(text, --pos);
        return pos;
    }
    if (media >= next && begin + last.n > pos) {
        pos = begin + last.n;
        number = next;
    }
    while (pos < text.n && (!is_m_line(text, pos) || number++ < media))
        pos++;
    return pos;
}

/* Reads a media section, unless it was the last that was read: MKT_E_MISSING. */
static enum mkt_err find(struct mkt_sdp *sdp, size_t media)
{
    if (media == MKT_SDP_SESSION || media == sdp->media)
        return MKT_OK;
    if (media >= sdp->sections)
        return MKT_E_MISSING;
    struct io lines = io_get(sdp->text);
    lines.pos = locate(sdp, media);
    io_level(&lines, &sdp->section, true);
    sdp->media = lines.err == MKT_OK ? media : MKT_SDP_SESSION; /* the text was changed */
    return lines.err;
}

/* The level whose field of a name applies to a media section. */
static struct mkt_sdp_level *level_of(struct mkt_sdp *sdp, size_t media, enum mkt_sdp_name name)
{
    return media == MKT_SDP_SESSION || sdp->section.field[name].value.p == NULL ? &sdp->session : &sdp->section;
}

enum mkt_err mkt_sdp_field(struct mkt_sdp *sdp, size_t media, enum mkt_sdp_name name, struct mkt_span *value)
{
    enum mkt_err err = find(sdp, media);
    const struct mkt_sdp_level *level = level_of(sdp, media, name);
    *value = level->field[name].value;
    return err == MKT_OK && level->field[name].wrong ? MKT_E_SDP : err;
}

enum mkt_err mkt_sdp_key_mgmt(struct mkt_sdp *sdp, size_t media, struct mkt_sdp_level **level)
{
    enum mkt_err err = find(sdp, media);
    *level = level_of(sdp, media, MKT_SDP_KEY_MGMT);
    return err == MKT_OK ? (*level)->key_mgmt_err : err;
}

enum mkt_err mkt_sdp_key_mgmt_decode(struct mkt_sdp *sdp, size_t media, struct mkt_buf *message)
{
    struct mkt_sdp_level *level;
    enum mkt_err err = mkt_sdp_key_mgmt(sdp, media, &level);
    if (err != MKT_OK)
        return err;
    return level->mikey.n == 0 ? MKT_E_MISSING : mkt_base64_decode(level->mikey, message);
}

static void append(enum mkt_err *err, struct mkt_buf *out, struct mkt_span octets)
{
    struct io io = io_put(out);
    io_bytes(&io, &octets, octets.n);
    if (*err == MKT_OK)
        *err = io_done(&io, out);
}

enum mkt_err mkt_sdp_protocols(struct mkt_sdp *sdp, size_t media, struct mkt_buf *list)
{
    struct mkt_sdp_level *level;
    enum mkt_err err = mkt_sdp_key_mgmt(sdp, media, &level);
    append(&err, list, (struct mkt_span){level->protocols, level->n_protocols});
    return err;
}

enum mkt_err mkt_sdp_hash(uint8_t hash[32], struct mkt_span octets)
{
    const struct mkt_span parts[] = {{hash, 32}, octets};
    return mkt_hash_of(MKT_HASH_SHA_256, parts, 2, hash);
}

enum mkt_err mkt_sdp_key_mgmt_encode(struct mkt_span message, struct mkt_buf *out)
{
    struct mkt_buf line = *out;
    enum mkt_err err = message.n == 0 ? MKT_E_ARGUMENT : MKT_OK;
    append(&err, &line, mkt_span_text(MKT_SDP_LINE));
    err = err == MKT_OK ? mkt_base64_encode(message, &line) : err;
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
    struct mkt_span ports = io_accept(io, "/") ? io_word(io, DIGITS) : io_none;
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

enum mkt_err mkt_sdp_media_parse(struct mkt_sdp *sdp, size_t nth, struct mkt_sdp_media *media)
{
    struct mkt_span c;
    struct mkt_sdp_media m = {.port = 0};
    /* more than one is for multicast alone (RFC 8866 5.7); which one a stream of ours would mean, nobody can say */
    enum mkt_err err = nth == MKT_SDP_SESSION ? MKT_E_MISSING : mkt_sdp_field(sdp, nth, MKT_SDP_C_LINE, &c);
    if (err != MKT_OK)
        return err;
    struct io io = io_get(sdp->section.field[MKT_SDP_M_LINE].value);
    io_m(&io, &m);
    if (io.err == MKT_OK && c.p != NULL) {
        io = io_get(c);
        io_c(&io, &m);
    }
    if (io.err == MKT_OK)
        *media = m;
    return io.err;
}

enum mkt_err mkt_sdp_attribute(struct mkt_sdp *sdp, size_t media, const char *name, struct mkt_span *value)
{
    const struct mkt_span token = mkt_span_text(name);
    enum mkt_err err = token.n == 0 || word_length(token, TOKEN) != token.n ? MKT_E_ARGUMENT : MKT_OK;
    err = err == MKT_OK ? find(sdp, media) : err;
    if (err != MKT_OK)
        return err;
    const struct mkt_span level = media == MKT_SDP_SESSION ? sdp->session.lines : sdp->section.lines;
    struct io lines = io_get(level);
    if (value->p != NULL) {
        const uintptr_t at = (uintptr_t)value->p - (uintptr_t)level.p + value->n;
        if (at > level.n)
            return MKT_E_ARGUMENT;
        const uint8_t *lf = at == level.n ? NULL : memchr(level.p + at, '\n', level.n - at);
        lines.pos = lf == NULL ? level.n : (size_t)(lf - level.p) + 1;
    }
    while (io_left(&lines)) {
        struct mkt_span line = io_line(&lines), found_name, found;
        if (lines.err != MKT_OK)
            return lines.err;
        const bool good = split(line, &found_name, &found);
        if (line.p[0] != 'a' || !mkt_span_equal(found_name, token))
            continue;
        if (good)
            *value = found;
        return good ? MKT_OK : MKT_E_SDP;
    }
    *value = io_none;
    return MKT_OK;
}

/* RFC 2326 section 15: LWS = [CRLF] 1*( SP | HT ), implied between tokens; RFC 4567 5.3 has a header folded so. */
static void io_lws(struct io *io)
{
    for (struct io fold = *io; io_left(io); *io = fold) {
        if (!io_accept(&fold, "\r\n"))
            io_accept(&fold, "\n");
        if (!io_accept(&fold, " ") && !io_accept(&fold, "\t"))
            return;
    }
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

enum mkt_err mkt_keymgmt_decode(struct mkt_span header, struct mkt_span uri, struct mkt_buf *message)
{
    struct io io = io_get(header);
    struct mkt_span found = io_none;
    io_literal(&io, "KeyMgmt");
    io_token(&io, ":");
    do {
        /* RFC 4567 3.2, with the data it lost: "prot" "=" KMPID ";" ["uri" "=" %x22 URI %x22 ";"] "data" "=" ... */
        struct mkt_span spec_uri = io_none;
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
    return found.n == 0 ? MKT_E_MISSING : mkt_base64_decode(found, message);
}

enum mkt_err mkt_keymgmt_encode(const struct mkt_keymgmt spec[], size_t n, struct mkt_buf *out)
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
        err = err == MKT_OK ? mkt_base64_encode(spec[i].message, &header) : err;
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

enum mkt_err mkt_setup_parse(struct mkt_sdp *sdp, size_t media, enum mkt_setup *setup)
{
    struct mkt_span value;
    enum mkt_err err = mkt_sdp_field(sdp, media, MKT_SDP_SETUP, &value);
    if (err != MKT_OK)
        return err;
    size_t i = value.p == NULL ? MKT_SETUP_ABSENT : MKT_SETUP_ACTIVE;
    while (value.p != NULL && i < SETUPS && !mkt_span_equal(value, mkt_span_text(setups[i])))
        i++;
    *setup = i < SETUPS ? (enum mkt_setup)i : *setup;
    return i < SETUPS ? MKT_OK : MKT_E_SDP;
}

/* RFC 4145 4.1: the default "is 'active' in the offer and 'passive' in the answer". RFC 6135 4.2.1: for MSRP "holdconn"
 * counts "as if it did not contain an a=setup attribute". */
static enum mkt_setup meant(enum mkt_stream stream, enum mkt_setup setup, enum mkt_setup by_default)
{
    if (setup == MKT_SETUP_ABSENT || (stream == MKT_STREAM_MSRP && setup == MKT_SETUP_HOLDCONN))
        return by_default;
    return setup;
}

/* The table of RFC 4145 4.1: which answers an offer may have. */
static bool fits(enum mkt_setup offer, enum mkt_setup answer)
{
    const bool known = offer != MKT_SETUP_ABSENT && (size_t)offer < SETUPS;
    if (answer == MKT_SETUP_HOLDCONN || offer == MKT_SETUP_HOLDCONN)
        return known && answer == MKT_SETUP_HOLDCONN;
    return known && answer != offer && (answer == MKT_SETUP_ACTIVE || answer == MKT_SETUP_PASSIVE);
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
    const bool active = offerer == (answer == MKT_SETUP_PASSIVE);
    /* RFC 6135 section 6: "The active party also takes the role of the TLS client". RFC 8856 section 8: "the answerer
     * always acts as the TLS server" */
    const bool client = stream == MKT_STREAM_BFCP ? offerer : active;
    roles->tcp = active ? MKT_END_CLIENT : MKT_END_SERVER;
    roles->tls = client ? MKT_END_CLIENT : MKT_END_SERVER;
    return MKT_OK;
}
