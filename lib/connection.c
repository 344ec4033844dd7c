/* SPDX-License-Identifier: BSD-3-Clause */
/* Two descriptions and what they make of a connection: RFC 4145, 4975, 6135, 6714, 8856. */
#include <mikeyticket/connection.h>

#include "sdp.h"

#define USER "-._~!$&'()*+,;=%" /* RFC 3986 userinfo, without ":" as MSRP has no passwords in it (RFC 4975 section 6) */
#define HOST "-._"              /* what of an RFC 3986 reg-name can be a host name */
#define SESSION "-._~+=/"       /* RFC 4975 section 9, session-id */

#define DISCARD 9 /* RFC 4145 4.1, the port of an end that is not to be connected to */

static const struct mkt_span none = {NULL, 0};

/* Addresses */

/* RFC 8866 section 9: b1 3("." decimal-uchar) */
static bool ip4(struct mkt_span text, uint8_t octet[4])
{
    struct io io = io_get(text);
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            io_literal(&io, ".");
        size_t from = io.pos;
        uint16_t number = io_port(&io);
        size_t digits = io.pos - from;
        if (io.err != MKT_OK || number > UINT8_MAX || (digits > 1 && text.p[from] == '0'))
            return false;
        octet[i] = (uint8_t)number;
    }
    return !io_left(&io);
}

static bool hex16(struct mkt_span digits, uint8_t octet[2])
{
    unsigned number = 0;
    for (size_t i = 0; i < digits.n; i++) {
        uint8_t c = lower(digits.p[i]);
        if (i == 4 || c > 'f')
            return false;
        number = number << 4 | (unsigned)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    octet[0] = (uint8_t)(number >> 8);
    octet[1] = (uint8_t)number;
    return digits.n > 0;
}

/* Takes groups of an IPv6 address up to "::" or what is none; answers how many octets they are. */
static size_t io_groups(struct io *io, uint8_t octet[16])
{
    size_t n = 0;
    for (struct io look = *io; n < 16 && io_left(&look); *io = look, n += 2) {
        if (n > 0)
            io_literal(&look, ":");
        struct mkt_span rest = io_rest(&look);
        if (n <= 12 && ip4(rest, octet + n)) {
            io_bytes(&look, &rest, rest.n);
            *io = look;
            return n + 4;
        }
        if (!hex16(io_word(&look, KMPID), octet + n))
            break;
    }
    return n;
}

/* RFC 8866 section 9, IP6-address: "::" stands for the groups that are not there, and they are 0 */
static bool ip6(struct mkt_span text, uint8_t octet[16])
{
    uint8_t tail[16];
    struct io io = io_get(text);
    size_t n = io_groups(&io, octet);
    if (!io_accept(&io, "::"))
        return n == 16 && !io_left(&io);
    size_t m = io_groups(&io, tail);
    if (io_left(&io) || n + m > 14)
        return false;
    memset(octet + n, 0, 16 - n - m);
    memcpy(octet + 16 - m, tail, m);
    return true;
}

/*
 * RFC 1123 2.1: "a valid host name can never have the dotted-decimal form #.#.#.#, since at least the highest-level
 * component label will be alphabetic"; resolvers make addresses of 127.1 and 0x7f.1.
 */
static bool is_name(struct mkt_span text)
{
    size_t end = text.n > 0 && text.p[text.n - 1] == '.' ? text.n - 1 : text.n, last = end;
    while (last > 0 && text.p[last - 1] != '.')
        last--;
    return last < end && word_length(text, HOST) == text.n && lower(text.p[last]) >= 'a' && lower(text.p[last]) <= 'z';
}

enum kind { KIND_NONE, KIND_NAME, KIND_IP4, KIND_IP6 };

/* What an address is; its octets, if it has some, are followed by zeros. */
static enum kind kind_of(struct mkt_span address, uint8_t octet[16])
{
    memset(octet, 0, 16);
    if (ip4(address, octet))
        return KIND_IP4;
    if (ip6(address, octet))
        return KIND_IP6;
    return is_name(address) ? KIND_NAME : KIND_NONE;
}

static bool same_word(struct mkt_span a, struct mkt_span b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

/* RFC 4975 6.1, RFC 6714 4.4: addresses by their octets, names in any case */
static bool same_host(struct mkt_span a, struct mkt_span b)
{
    enum { LONGEST_IP = 45 }; /* a name has one length: not each hop of a path is compared with a long one */
    uint8_t octet_a[16], octet_b[16];
    if (a.n != b.n && (a.n > LONGEST_IP || b.n > LONGEST_IP))
        return false;
    enum kind kind_a = kind_of(a, octet_a), kind_b = kind_of(b, octet_b);
    if (kind_a != kind_b)
        return false;
    return kind_a == KIND_IP4 || kind_a == KIND_IP6 ? memcmp(octet_a, octet_b, 16) == 0 : same_word(a, b);
}

/* a=path */

struct uri {
    bool msrps;
    struct mkt_span host, session, transport;
    uint16_t port;
};

/*
 * RFC 4975 section 9: MSRP-URI = msrp-scheme "://" authority ["/" session-id] ";" transport *( ";" URI-parameter), and
 * 8.2: "MSRP URIs included in an SDP offer or answer MUST include explicit port numbers".
 */
static void io_uri(struct io *io, struct uri *uri)
{
    uint8_t octet[16];
    uri->msrps = io_accept(io, "msrps://");
    if (!uri->msrps)
        io_literal(io, "msrp://");
    struct io user = *io;
    io_word(&user, USER);
    if (io_accept(&user, "@"))
        *io = user;
    bool brackets = io_accept(io, "[");
    uri->host = io_word(io, brackets ? ADDRESS : HOST);
    if (brackets)
        io_literal(io, "]");
    enum kind kind = kind_of(uri->host, octet);
    io_literal(io, ":");
    uri->port = io_port(io);
    if (kind == KIND_NONE || brackets != (kind == KIND_IP6) || uri->port == 0)
        io_fail(io, MKT_E_SDP);
    uri->session = io_accept(io, "/") ? io_word(io, SESSION) : none;
    io_literal(io, ";");
    uri->transport = io_word(io, KMPID);
    while (io_accept(io, ";")) {
        io_word(io, TOKEN);
        if (io_accept(io, "="))
            io_word(io, TOKEN);
    }
}

/*
 * RFC 4975 6.1. An active end has the discard port, which is none (RFC 6135 4.2.2); it is the same end when it says
 * later where it could be connected to.
 */
static bool same_uri(const struct uri *a, const struct uri *b)
{
    bool same_port = a->port == b->port || a->port == DISCARD || b->port == DISCARD;
    return a->msrps == b->msrps && same_host(a->host, b->host) && same_port && mkt_span_equal(a->session, b->session) &&
           same_word(a->transport, b->transport);
}

static bool same_path(struct mkt_span a, struct mkt_span b)
{
    struct io io_a = io_get(a), io_b = io_get(b);
    bool more_a, more_b;
    do {
        struct uri uri_a, uri_b;
        io_uri(&io_a, &uri_a);
        io_uri(&io_b, &uri_b);
        if (!same_uri(&uri_a, &uri_b))
            return false;
        more_a = io_accept(&io_a, " ");
        more_b = io_accept(&io_b, " ");
    } while (more_a && more_b);
    return more_a == more_b;
}

/* What one end says */

struct side {
    struct mkt_sdp_media m;
    enum mkt_setup setup;
    bool existing; /* a=connection, of BFCP */
    bool cema;     /* a=msrp-cema, of MSRP; and all that follows but mikey */
    struct mkt_span path;
    struct uri hop, end; /* the first URI of the path, and the last */
    bool relay;          /* they are two */
    bool line_in_path;   /* one of them is what c= and m= say */
    struct mkt_span mikey;
    size_t protocols; /* the length of their list */
};

/* RFC 4975 15.7.4 and RFC 6714 4.2 have them "in the MSRP media description". */
static enum mkt_err single_of_section(struct mkt_span sdp, size_t media, const char *name, const struct side *side,
                                      struct mkt_span *value)
{
    enum mkt_err err = mkt_sdp_single(sdp, media, name, value);
    if (err == MKT_OK && value->p != NULL && value->p < side->m.media.p)
        *value = none;
    return err;
}

static enum mkt_err read_msrp(struct mkt_span sdp, size_t media, struct side *side)
{
    struct mkt_span cema;
    enum mkt_err err = single_of_section(sdp, media, "msrp-cema", side, &cema);
    err = err != MKT_OK ? err : single_of_section(sdp, media, "path", side, &side->path);
    if (err != MKT_OK)
        return err;
    if (side->path.p == NULL)
        return MKT_E_MISSING;
    side->cema = cema.p != NULL;
    struct io io = io_get(side->path);
    io_uri(&io, &side->hop);
    side->end = side->hop;
    side->line_in_path = same_host(side->m.address, side->hop.host) && side->m.port == side->hop.port;
    while (io_accept(&io, " ")) {
        io_uri(&io, &side->end);
        side->relay = true;
        side->line_in_path |= same_host(side->m.address, side->end.host) && side->m.port == side->end.port;
    }
    /* RFC 4975 section 6: "A scheme of "msrps" indicates that the underlying connection MUST be protected with TLS" */
    bool tls = side->hop.msrps && same_word(side->hop.transport, mkt_span_text("tcp"));
    return io.err != MKT_OK || io_left(&io) || !tls || side->end.session.n == 0 ? MKT_E_SDP : MKT_OK;
}

/* RFC 4145 section 5: "The default value of the connection attribute in both offers and answers is 'new'." */
static enum mkt_err read_bfcp(struct mkt_span sdp, size_t media, struct side *side)
{
    struct mkt_span value;
    enum mkt_err err = mkt_sdp_single(sdp, media, "connection", &value);
    if (err != MKT_OK)
        return err;
    side->existing = mkt_span_equal(value, mkt_span_text("existing"));
    return value.p == NULL || side->existing || mkt_span_equal(value, mkt_span_text("new")) ? MKT_OK : MKT_E_SDP;
}

static enum mkt_err read_side(struct mkt_span sdp, size_t media, enum mkt_stream stream, struct side *side)
{
    struct mkt_buf protocols = {NULL, 0, 0};
    enum mkt_err err = mkt_setup_get(sdp, media, &side->setup);
    err = err != MKT_OK ? err : mkt_sdp_key_mgmt(sdp, media, &protocols, &side->mikey);
    if (err == MKT_OK)
        err = stream == MKT_STREAM_MSRP ? read_msrp(sdp, media, side) : read_bfcp(sdp, media, side);
    side->protocols = protocols.n;
    return err;
}

/* What both say */

struct both {
    bool ours;   /* the section is of a medium of ours */
    bool wanted; /* and not refused; all that follows but the stream */
    enum mkt_stream stream;
    struct side own, peer;
    bool offerer;  /* own is the offer */
    bool existing; /* BFCP: the connection is that of before, and the roles say nothing */
    struct mkt_roles roles;
};

static bool stream_of(const struct mkt_sdp_media *m, enum mkt_stream *stream)
{
    bool tls_msrp = mkt_span_equal(m->proto, mkt_span_text("TCP/TLS/MSRP"));
    bool tls_bfcp = mkt_span_equal(m->proto, mkt_span_text("TCP/TLS/BFCP"));
    *stream = tls_bfcp ? MKT_STREAM_BFCP : MKT_STREAM_MSRP;
    return (tls_msrp && mkt_span_equal(m->media, mkt_span_text("message"))) ||
           (tls_bfcp && mkt_span_equal(m->media, mkt_span_text("application")));
}

/* RFC 3264 section 6: "The answer MUST contain exactly the same number of "m=" lines as the offer." */
static enum mkt_err count(const struct mkt_sdp_exchange *exchange, size_t *sections)
{
    size_t answered;
    enum mkt_err err = mkt_sdp_sections(exchange->offer, sections);
    err = err != MKT_OK ? err : mkt_sdp_sections(exchange->answer, &answered);
    return err == MKT_OK && *sections != answered ? MKT_E_ROLE : err;
}

static enum mkt_err read_both(const struct mkt_sdp_exchange *exchange, size_t media, struct both *both)
{
    struct side *offer = exchange->offerer ? &both->own : &both->peer;
    struct side *answer = exchange->offerer ? &both->peer : &both->own;
    enum mkt_err err = mkt_sdp_media(exchange->offer, media, &offer->m);
    err = err != MKT_OK ? err : mkt_sdp_media(exchange->answer, media, &answer->m);
    if (err != MKT_OK)
        return err;
    both->offerer = exchange->offerer;
    both->ours = stream_of(&offer->m, &both->stream);
    both->wanted = both->ours && offer->m.port != 0 && answer->m.port != 0;
    if (!both->wanted)
        return MKT_OK;
    if (!mkt_span_equal(offer->m.media, answer->m.media) || !mkt_span_equal(offer->m.proto, answer->m.proto))
        return MKT_E_ROLE;
    err = read_side(exchange->offer, media, both->stream, offer);
    err = err != MKT_OK ? err : read_side(exchange->answer, media, both->stream, answer);
    if (err != MKT_OK)
        return err;
    both->existing = answer->existing;
    if (both->own.relay || (answer->existing && !offer->existing))
        return MKT_E_ROLE;
    /* RFC 4145 5.1: "the port numbers, IP addresses, and 'setup' attributes negotiated ... are ignored" */
    if (both->existing)
        return MKT_OK;
    return mkt_setup_roles(both->stream, offer->setup, answer->setup, exchange->offerer, &both->roles);
}

/* Where to */

enum lead { LEAD_PATH, LEAD_LINE, LEAD_OFFER_AGAIN, LEAD_REFUSE };

/* Which lines tell where the connection leads to: RFC 6714 4.2 for the offerer, 4.3 for the answerer. */
static enum lead lead_of(const struct both *both)
{
    bool active = both->roles.tcp == MKT_END_CLIENT;
    const struct side *peer = &both->peer;
    if (both->stream == MKT_STREAM_BFCP)
        return LEAD_LINE;
    if (!both->own.cema)
        return LEAD_PATH;
    bool anchored = !peer->cema && !peer->line_in_path; /* by a middlebox, and the peer can't know of it */
    if (anchored && !both->offerer)
        return LEAD_REFUSE;
    if (anchored && (!active || peer->relay))
        return LEAD_OFFER_AGAIN;
    /* "it is assumed that there is no Middlebox in the network": what is to be done then is for the offerer alone */
    if (!active || (both->offerer && peer->relay && peer->line_in_path))
        return LEAD_PATH;
    return LEAD_LINE;
}

/* Whether this exchange leads anywhere by RFC 6714, which a second one must do as the first one (4.2, 4.3). */
static bool leads(const struct both *both)
{
    const enum lead lead = lead_of(both);
    return both->existing || both->roles.tcp == MKT_END_NONE || lead == LEAD_PATH || lead == LEAD_LINE;
}

/* Whether there is a connection after an exchange. */
static bool has_connection(const struct both *both)
{
    return both->existing || (both->roles.tcp != MKT_END_NONE && leads(both));
}

struct place {
    struct mkt_span nettype, addrtype, address;
    uint16_t port;
};

static struct place place_of(const struct both *both)
{
    const struct side *passive = both->roles.tcp == MKT_END_CLIENT ? &both->peer : &both->own;
    uint8_t octet[16];
    if (lead_of(both) == LEAD_LINE)
        return (struct place){passive->m.nettype, passive->m.addrtype, passive->m.address, passive->m.port};
    enum kind kind = kind_of(passive->hop.host, octet);
    const char *addrtype = kind == KIND_IP4 ? "IP4" : kind == KIND_IP6 ? "IP6" : "";
    return (struct place){mkt_span_text("IN"), mkt_span_text(addrtype), passive->hop.host, passive->hop.port};
}

static enum mkt_err check(const struct place *place)
{
    static const uint8_t unspecified[16], mapped_ip4[12] = {[10] = 0xff, 0xff};
    const bool is_ip4 = mkt_span_equal(place->addrtype, mkt_span_text("IP4"));
    const bool is_ip6 = mkt_span_equal(place->addrtype, mkt_span_text("IP6"));
    uint8_t octet[16];
    enum kind kind = kind_of(place->address, octet);
    if (place->address.n == 0)
        return MKT_E_MISSING;
    /* a name in a URI has no type of address */
    if (!mkt_span_equal(place->nettype, mkt_span_text("IN")) || kind == KIND_NONE || (kind == KIND_IP4 && !is_ip4) ||
        (kind == KIND_IP6 && !is_ip6) || (place->addrtype.n > 0 && !is_ip4 && !is_ip6))
        return MKT_E_SDP;
    if (kind == KIND_NAME)
        return place->port == DISCARD ? MKT_E_ROLE : MKT_OK;
    const bool mapped = kind == KIND_IP6 && memcmp(octet, mapped_ip4, sizeof mapped_ip4) == 0;
    const uint8_t *four = mapped ? octet + sizeof mapped_ip4 : octet;
    const bool nowhere = memcmp(four, unspecified, mapped ? 4 : sizeof octet) == 0;
    const bool multicast = kind == KIND_IP4 || mapped ? four[0] >> 4 == 0xe : octet[0] == 0xff;
    return place->port == DISCARD || nowhere || multicast ? MKT_E_ROLE : MKT_OK;
}

/* Now and before */

/* RFC 3264 section 8: "this is effectively a no-op" */
static bool same_bodies(const struct mkt_sdp_exchange *a, const struct mkt_sdp_exchange *b)
{
    bool swapped = a->offerer != b->offerer;
    return mkt_span_equal(a->offer, swapped ? b->answer : b->offer) &&
           mkt_span_equal(a->answer, swapped ? b->offer : b->answer);
}

/* RFC 4975 5.4: "If the sender already has such a connection ... it SHOULD reuse that connection." */
static bool same_stream(const struct both *now, const struct both *before)
{
    if (now->stream != before->stream)
        return false;
    if (now->stream == MKT_STREAM_BFCP)
        return now->existing;
    if (!same_path(now->own.path, before->own.path) || !same_path(now->peer.path, before->peer.path))
        return false;
    if (now->roles.tcp != MKT_END_CLIENT || before->roles.tcp != MKT_END_CLIENT)
        return true;
    struct place a = place_of(now), b = place_of(before);
    return same_host(a.address, b.address) && a.port == b.port;
}

static bool repeats(const struct side *now, const struct side *before)
{
    return now->mikey.n == 0 || mkt_span_equal(now->mikey, before->mikey);
}

/* RFC 4567 4.1.2: "Re-keying MUST be handled as a new offer, with the new proposed parameters." */
static enum mkt_err keying_of(const struct both *now, const struct both *before, enum mkt_keying *keying)
{
    const struct side *offer = now->offerer ? &now->own : &now->peer;
    *keying = MKT_KEYING_NONE;
    /* "The same key management protocol used in the original offer SHALL also be used in the new offer" */
    if (offer->mikey.n == 0 && offer->protocols > 0 && before->own.mikey.n + before->peer.mikey.n > 0)
        return MKT_E_PROTOCOLS;
    if (offer->mikey.n > 0)
        *keying =
            repeats(&now->own, &before->own) && repeats(&now->peer, &before->peer) ? MKT_KEYING_SAME : MKT_KEYING_NEW;
    return MKT_OK;
}

static enum mkt_err open_connection(const struct both *now, bool replaces, struct mkt_connection *connection)
{
    enum lead lead = lead_of(now);
    if (lead == LEAD_REFUSE)
        return MKT_E_ROLE;
    connection->replaces = replaces;
    if (lead == LEAD_OFFER_AGAIN) {
        connection->action = MKT_ACTION_OFFER_AGAIN;
        return MKT_OK;
    }
    struct place place = place_of(now);
    connection->action = now->roles.tcp == MKT_END_CLIENT ? MKT_ACTION_CONNECT : MKT_ACTION_LISTEN;
    connection->tls = now->roles.tls;
    connection->addrtype = place.addrtype;
    connection->address = place.address;
    connection->port = place.port;
    return check(&place);
}

/* An exchange before, if there is one and it has the media section. */
static enum mkt_err read_before(const struct mkt_sdp_exchange *before, size_t media, size_t *sections,
                                struct both *both)
{
    *sections = 0;
    enum mkt_err err = before != NULL ? count(before, sections) : MKT_OK;
    return err == MKT_OK && media < *sections ? read_both(before, media, both) : err;
}

/* What to do, once it is known whether the connection of before is kept, and whether there is one. */
static enum mkt_err act(const struct both *now, bool keeps, bool had, struct mkt_connection *connection)
{
    if (keeps) {
        connection->action = MKT_ACTION_KEEP;
        return MKT_OK;
    }
    if (now->existing)
        return MKT_E_ROLE;
    if (now->roles.tcp == MKT_END_NONE) {
        connection->action = had ? MKT_ACTION_CLOSE : MKT_ACTION_NOTHING;
        return MKT_OK;
    }
    return open_connection(now, had, connection);
}

enum mkt_err mkt_connection_get(const struct mkt_sdp_exchange *now, const struct mkt_sdp_exchange *before, size_t media,
                                struct mkt_connection *connection)
{
    struct both n = {.ours = false}, b = {.ours = false}, k = {.ours = false};
    const struct mkt_sdp_exchange *keyed = before != NULL && before->keyed != NULL ? before->keyed : before;
    size_t sections, sections_before, sections_keyed;
    enum mkt_err err = count(now, &sections);
    err = err != MKT_OK ? err : read_both(now, media, &n);
    err = err != MKT_OK ? err : read_before(before, media, &sections_before, &b);
    err = err != MKT_OK ? err : read_before(keyed, media, &sections_keyed, &k);
    if (err != MKT_OK)
        return err;
    /* RFC 3264 section 8: "the number of "m=" lines in a stream never decreases" */
    if (sections < sections_before)
        return MKT_E_ROLE;
    const bool had = has_connection(&b) && !before->ended;
    if (!n.ours && !had)
        return MKT_E_MISSING;

    struct mkt_connection c = {.media = media, .stream = n.ours ? n.stream : b.stream};
    c.session = n.own.end.session;
    c.peer = n.peer.end.session;
    const bool keeps = had && n.wanted && (same_bodies(now, before) || (leads(&n) && same_stream(&n, &b)));
    err = keying_of(&n, &k, &c.keying);
    err = err != MKT_OK ? err : act(&n, keeps, had, &c);
    if (err == MKT_OK)
        *connection = c;
    return err;
}

const char *mkt_action_name(enum mkt_action action)
{
    static const char *const names[] = {"nothing", "connect", "listen", "keep", "close", "offer again"};
    return (size_t)action < sizeof names / sizeof *names ? names[action] : NULL;
}
