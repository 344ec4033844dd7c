/* SPDX-License-Identifier: BSD-3-Clause */
/* Two descriptions and what they make of a connection: RFC 4145, 4975, 6135, 6714, 8856. */
#include <mikeyticket/connection.h>

#include "sdp.h"
#include "sized.h"

#include <arpa/inet.h>

#define USER "-._~!$&'()*+,;=%" /* RFC 3986 userinfo, without ":" as MSRP has no passwords in it (RFC 4975 section 6) */
#define HOST "-._"              /* what of an RFC 3986 reg-name can be a host name */
#define SESSION "-._~+=/"       /* RFC 4975 section 9, session-id */

#define HASH MKT_SDP_HASH
#define DISCARD 9 /* RFC 4145 4.1, the port of an end that is not to be connected to */

/* The hash of octets that are part of a description, taken once. */
static enum mkt_err hash_once(struct mkt_sdp_hash *hash, struct mkt_span octets)
{
    enum mkt_err err = hash->done ? MKT_OK : mkt_sdp_hash(hash->octets, octets);
    hash->done = err == MKT_OK;
    return err;
}

/* Addresses */

/* RFC 1123 2.1: "the highest-level component label will be alphabetic"; resolvers make addresses of 127.1, 0x7f.1. */
static bool is_name(struct mkt_span text)
{
    size_t end = text.n > 0 && text.p[text.n - 1] == '.' ? text.n - 1 : text.n, last = end;
    while (last > 0 && text.p[last - 1] != '.')
        last--;
    return last < end && word_length(text, HOST) == text.n && lower(text.p[last]) >= 'a' && lower(text.p[last]) <= 'z';
}

enum kind { KIND_NONE, KIND_NAME, KIND_IP4, KIND_IP6 };
enum { LONGEST = 255 }; /* octets of a name (RFC 1035 2.3.4) */

/* What an address is; its octets, if it has some, are followed by zeros. */
static enum kind kind_of(struct mkt_span address, uint8_t octet[16])
{
    char text[LONGEST + 1];
    memset(octet, 0, 16);
    if (address.n == 0 || address.n > LONGEST)
        return KIND_NONE;
    if (is_name(address))
        return KIND_NAME;
    memcpy(text, address.p, address.n);
    text[address.n] = '\0';
    if (inet_pton(AF_INET, text, octet) == 1)
        return KIND_IP4;
    return inet_pton(AF_INET6, text, octet) == 1 ? KIND_IP6 : KIND_NONE;
}

/* A word in the one form that is compared: addresses by their octets, all else in lower case (RFC 4975 6.1). */
struct word {
    size_t n;
    uint8_t octet[1 + LONGEST + 2]; /* with a place for a port */
};

static struct word word_of(struct mkt_span text)
{
    struct word word = {.n = 1 + 16};
    word.octet[0] = (uint8_t)kind_of(text, word.octet + 1);
    if (word.octet[0] == KIND_IP4 || word.octet[0] == KIND_IP6)
        return word;
    for (word.n = 1; word.n <= text.n && word.n <= LONGEST; word.n++)
        word.octet[word.n] = lower(text.p[word.n - 1]);
    return word;
}

static bool same_word(struct mkt_span a, struct mkt_span b)
{
    const struct word word_a = word_of(a), word_b = word_of(b);
    return word_a.n == word_b.n && memcmp(word_a.octet, word_b.octet, word_a.n) == 0;
}

/* a=path */

struct uri {
    bool msrps;
    struct mkt_span host, session, transport;
    uint16_t port;
};

/* RFC 4975 section 9: MSRP-URI = msrp-scheme "://" authority ["/" session-id] ";" transport *( ";" URI-parameter), and
 * 8.2: "MSRP URIs included in an SDP offer or answer MUST include explicit port numbers". */
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
    uri->session = io_accept(io, "/") ? io_word(io, SESSION) : io_none;
    io_literal(io, ";");
    uri->transport = io_word(io, KMPID);
    while (io_accept(io, ";")) {
        io_word(io, TOKEN);
        if (io_accept(io, "="))
            io_word(io, TOKEN);
    }
}

/* What one end says */

struct side {
    struct mkt_sdp_media m;
    enum mkt_setup setup;
    bool existing; /* a=connection, of BFCP */
    bool cema;     /* a=msrp-cema, of MSRP; and all that follows up to the hash */
    struct mkt_span path;
    struct uri hop, end; /* the first URI of the path, and the last */
    bool relay;          /* they are two */
    bool line_in_path;   /* one of them is what c= and m= say */
    uint8_t mikey[HASH]; /* of the message in base64; zeros: there is none */
    size_t protocols;    /* the length of their list */
};

/* RFC 4975 15.7.4 and RFC 6714 4.2 have a=path and a=msrp-cema "in the MSRP media description". */
static enum mkt_err read_msrp(const struct mkt_sdp *sdp, struct side *side)
{
    side->path = sdp->section.field[MKT_SDP_PATH].value;
    side->cema = sdp->section.field[MKT_SDP_MSRP_CEMA].value.p != NULL;
    if (sdp->section.field[MKT_SDP_PATH].wrong || sdp->section.field[MKT_SDP_MSRP_CEMA].wrong)
        return MKT_E_SDP;
    if (side->path.p == NULL)
        return MKT_E_MISSING;
    struct io io = io_get(side->path);
    size_t hops = 0;
    do {
        io_uri(&io, &side->end);
        side->hop = hops++ == 0 ? side->end : side->hop;
        side->line_in_path |= side->m.port == side->end.port && same_word(side->m.address, side->end.host);
    } while (io_accept(&io, " "));
    side->relay = hops > 1;
    /* RFC 4975 section 6: "A scheme of "msrps" indicates that the underlying connection MUST be protected with TLS" */
    struct io transport = io_get(side->hop.transport);
    const bool tls = side->hop.msrps && io_accept(&transport, "tcp") && !io_left(&transport);
    return io.err != MKT_OK || io_left(&io) || !tls || side->end.session.n == 0 ? MKT_E_SDP : MKT_OK;
}

/* RFC 4145 section 5: "The default value of the connection attribute in both offers and answers is 'new'." */
static enum mkt_err read_bfcp(struct mkt_sdp *sdp, size_t media, struct side *side)
{
    struct mkt_span value;
    enum mkt_err err = mkt_sdp_field(sdp, media, MKT_SDP_CONNECTION, &value);
    side->existing = mkt_span_equal(value, mkt_span_text("existing"));
    const bool known = value.p == NULL || side->existing || mkt_span_equal(value, mkt_span_text("new"));
    return err != MKT_OK || known ? err : MKT_E_SDP;
}

static enum mkt_err read_key_mgmt(struct mkt_sdp *sdp, size_t media, struct side *side)
{
    struct mkt_sdp_level *level;
    enum mkt_err err = mkt_sdp_key_mgmt(sdp, media, &level);
    side->protocols = level->n_protocols;
    if (err != MKT_OK || level->mikey.n == 0)
        return err;
    err = hash_once(&level->mikey_hash, level->mikey);
    memcpy(side->mikey, level->mikey_hash.octets, HASH);
    return err;
}

static enum mkt_err read_side(struct mkt_sdp *sdp, size_t media, enum mkt_stream stream, struct side *side)
{
    enum mkt_err err = mkt_setup_parse(sdp, media, &side->setup);
    err = err == MKT_OK ? read_key_mgmt(sdp, media, side) : err;
    err = err == MKT_OK ? hash_once(&sdp->text_hash, sdp->text) : err;
    if (err == MKT_OK)
        err = stream == MKT_STREAM_MSRP ? read_msrp(sdp, side) : read_bfcp(sdp, media, side);
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
    const bool bfcp = mkt_span_equal(m->proto, mkt_span_text("TCP/TLS/BFCP"));
    *stream = bfcp ? MKT_STREAM_BFCP : MKT_STREAM_MSRP;
    return mkt_span_equal(m->media, mkt_span_text(bfcp ? "application" : "message")) &&
           (bfcp || mkt_span_equal(m->proto, mkt_span_text("TCP/TLS/MSRP")));
}

static enum mkt_err read_both(const struct mkt_sdp_exchange *exchange, size_t media, struct both *both)
{
    struct side *offer = exchange->offerer ? &both->own : &both->peer;
    struct side *answer = exchange->offerer ? &both->peer : &both->own;
    both->offerer = exchange->offerer;
    enum mkt_err err = mkt_sdp_media_parse(exchange->offer, media, &offer->m);
    err = err == MKT_OK ? mkt_sdp_media_parse(exchange->answer, media, &answer->m) : err;
    if (err != MKT_OK)
        return err;
    both->ours = stream_of(&offer->m, &both->stream);
    both->wanted = both->ours && offer->m.port != 0 && answer->m.port != 0;
    if (!both->wanted)
        return MKT_OK;
    if (!mkt_span_equal(offer->m.media, answer->m.media) || !mkt_span_equal(offer->m.proto, answer->m.proto))
        return MKT_E_ROLE;
    err = read_side(exchange->offer, media, both->stream, offer);
    err = err == MKT_OK ? read_side(exchange->answer, media, both->stream, answer) : err;
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

static struct mkt_sdp_media place_of(const struct both *both)
{
    const struct side *passive = both->roles.tcp == MKT_END_CLIENT ? &both->peer : &both->own;
    uint8_t octet[16];
    if (lead_of(both) == LEAD_LINE)
        return passive->m;
    enum kind kind = kind_of(passive->hop.host, octet);
    const char *addrtype = kind == KIND_IP4 ? "IP4" : kind == KIND_IP6 ? "IP6" : "";
    return (struct mkt_sdp_media){.nettype = mkt_span_text("IN"),
                                  .addrtype = mkt_span_text(addrtype),
                                  .address = passive->hop.host,
                                  .port = passive->hop.port};
}

static enum mkt_err check(const struct mkt_sdp_media *place)
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

/* How struct mkt_sdp_kept is used; the octets that follow are zeros. */
struct kept {
    uint8_t version, connection, stream, active; /* 1: it is used, there is one, its medium, this end connects */
    uint8_t sections, port[2][2]; /* how many, up to 255; MSRP: those in the paths of this end and of the peer */
    uint8_t texts[HASH], paths[HASH], place[HASH]; /* of both ends, of both, where this end connects to */
    uint8_t mikey[2][HASH];                        /* the messages of this end and of the peer; zeros: none */
};
_Static_assert(sizeof(struct kept) <= MKT_SDP_KEPT, "what is kept keeps its size");

static enum mkt_err load(struct kept *kept, const struct mkt_sdp_kept *stored)
{
    memcpy(kept, stored->octets, sizeof *kept);
    return kept->version > 1 || kept->stream > MKT_STREAM_BFCP ? MKT_E_STORED : MKT_OK;
}

static void put_port(uint8_t to[2], uint16_t port)
{
    to[0] = (uint8_t)(port >> 8);
    to[1] = (uint8_t)port;
}

static enum mkt_err hash_word(uint8_t hash[HASH], struct mkt_span text, uint16_t port)
{
    struct word word = word_of(text);
    put_port(word.octet + word.n, port);
    return mkt_sdp_hash(hash, (struct mkt_span){word.octet, word.n + 2});
}

/* RFC 4975 6.1, without the port of the end: an active end may have the discard port now, another later (RFC 6135). */
static enum mkt_err hash_path(uint8_t hash[HASH], const struct side *side)
{
    struct io io = io_get(side->path);
    enum mkt_err err = MKT_OK;
    for (bool more = side->path.n > 0; more && err == MKT_OK;) {
        struct uri uri = side->end;
        if (side->relay)
            io_uri(&io, &uri);
        more = side->relay && io_accept(&io, " ");
        err = hash_word(hash, uri.host, more ? uri.port : 0);
        err = err == MKT_OK ? mkt_sdp_hash(hash, uri.session) : err;
        err = err == MKT_OK ? hash_word(hash, uri.transport, uri.msrps) : err;
    }
    return err;
}

/* The hash of both texts, which all sections share: each description has a copy, and knows if it came first. */
static enum mkt_err hash_texts(struct mkt_sdp *own, struct mkt_sdp *peer, uint8_t texts[HASH])
{
    enum mkt_err err = MKT_OK;
    if (!own->pair.done || !own->is_own || peer->is_own || memcmp(&own->pair, &peer->pair, sizeof own->pair) != 0) {
        own->pair = (struct mkt_sdp_hash){.done = false};
        err = mkt_sdp_hash(own->pair.octets, (struct mkt_span){own->text_hash.octets, HASH});
        err = err == MKT_OK ? hash_once(&own->pair, (struct mkt_span){peer->text_hash.octets, HASH}) : err;
        peer->pair = own->pair;
        peer->is_own = false;
        own->is_own = true;
    }
    memcpy(texts, own->pair.octets, HASH);
    return err;
}

/* What there is to keep of this exchange, but for its keys and what is done with the connection. */
static enum mkt_err keep(const struct mkt_sdp_exchange *exchange, const struct both *now, uint8_t sections,
                         struct kept *kept)
{
    const struct mkt_sdp_media place = place_of(now);
    struct mkt_sdp *own = now->offerer ? exchange->offer : exchange->answer;
    struct mkt_sdp *peer = now->offerer ? exchange->answer : exchange->offer;
    enum mkt_err err = now->wanted ? MKT_OK : MKT_E_MISSING;
    *kept = (struct kept){.version = 1, .stream = (uint8_t)now->stream, .sections = sections};
    kept->active = now->roles.tcp == MKT_END_CLIENT;
    for (size_t i = 0; i < 2 && err == MKT_OK; i++) {
        const struct side *side = i == 0 ? &now->own : &now->peer;
        put_port(kept->port[i], side->end.port);
        err = hash_path(kept->paths, side);
    }
    err = err == MKT_OK ? hash_word(kept->place, place.address, place.port) : err;
    err = err == MKT_OK ? hash_texts(own, peer, kept->texts) : err;
    return now->wanted ? err : MKT_OK;
}

static bool same_port(const uint8_t a[2], const uint8_t b[2])
{
    static const uint8_t any[] = {0, DISCARD};
    return memcmp(a, b, 2) == 0 || memcmp(a, any, 2) == 0 || memcmp(b, any, 2) == 0;
}

/* RFC 4975 5.4: "If the sender already has such a connection ... it SHOULD reuse that connection." */
static bool same_stream(const struct both *both, const struct kept *now, const struct kept *before)
{
    if (now->stream != before->stream)
        return false;
    if (both->stream == MKT_STREAM_BFCP)
        return both->existing;
    return same_port(now->port[0], before->port[0]) && same_port(now->port[1], before->port[1]) &&
           memcmp(now->paths, before->paths, HASH) == 0 &&
           (now->active == 0 || before->active == 0 || memcmp(now->place, before->place, HASH) == 0);
}

static const uint8_t no_mikey[2][HASH];

static bool repeats(const uint8_t now[HASH], const uint8_t before[HASH])
{
    return memcmp(now, no_mikey, HASH) == 0 || memcmp(now, before, HASH) == 0;
}

/* RFC 4567 4.1.2: "Re-keying MUST be handled as a new offer, with the new proposed parameters." */
static enum mkt_err keying_of(const struct both *now, const struct kept *before, enum mkt_keying *keying)
{
    const struct side *offer = now->offerer ? &now->own : &now->peer;
    const bool has = memcmp(offer->mikey, no_mikey, HASH) != 0;
    /* "The same key management protocol used in the original offer SHALL also be used in the new offer" */
    if (!has && offer->protocols > 0 && memcmp(before->mikey, no_mikey, sizeof no_mikey) != 0)
        return MKT_E_PROTOCOLS;
    const bool same = repeats(now->own.mikey, before->mikey[0]) && repeats(now->peer.mikey, before->mikey[1]);
    *keying = !has ? MKT_KEYING_NONE : same ? MKT_KEYING_SAME : MKT_KEYING_NEW;
    return MKT_OK;
}

enum mkt_err mkt_connection_keying(struct mkt_sdp *offer, size_t media, bool offerer, const struct mkt_sdp_kept *before,
                                   enum mkt_keying *keying)
{
    struct kept b;
    struct both now = {.offerer = offerer};
    struct side *side = offerer ? &now.own : &now.peer;
    side->m.port = DISCARD;
    enum mkt_err err = load(&b, before);
    if (err == MKT_OK && media != MKT_SDP_SESSION)
        err = mkt_sdp_media_parse(offer, media, &side->m);
    if (err == MKT_OK && side->m.port != 0)
        err = stream_of(&side->m, &now.stream) ? read_side(offer, media, now.stream, side)
                                               : read_key_mgmt(offer, media, side);
    return err == MKT_OK ? keying_of(&now, &b, keying) : err;
}

/* What to do, once it is known whether the connection of before is kept, and whether there is one. */
static enum mkt_err choose_action(const struct both *now, bool keeps, bool had, struct mkt_connection *connection)
{
    const struct mkt_sdp_media place = place_of(now);
    if (keeps || now->roles.tcp == MKT_END_NONE) {
        connection->action = keeps ? MKT_ACTION_KEEP : had ? MKT_ACTION_CLOSE : MKT_ACTION_NOTHING;
        return now->existing && !keeps ? MKT_E_ROLE : MKT_OK;
    }
    connection->replaces = had;
    connection->action = MKT_ACTION_OFFER_AGAIN;
    if (lead_of(now) == LEAD_REFUSE || lead_of(now) == LEAD_OFFER_AGAIN)
        return lead_of(now) == LEAD_REFUSE ? MKT_E_ROLE : MKT_OK;
    connection->action = now->roles.tcp == MKT_END_CLIENT ? MKT_ACTION_CONNECT : MKT_ACTION_LISTEN;
    connection->tls = now->roles.tls;
    connection->addrtype = place.addrtype;
    connection->address = place.address;
    connection->port = place.port;
    return check(&place);
}

enum mkt_err mkt_connection_decide(const struct mkt_sdp_exchange *exchange, const struct mkt_sdp_kept *before,
                                   size_t media, struct mkt_connection *connection, struct mkt_sdp_kept *kept)
{
    struct mkt_sdp_exchange now;
    if (!mkt_sized_copy(&now, sizeof now, exchange, MKT_UP_TO(mkt_sdp_exchange, answer)))
        return MKT_E_ARGUMENT;
    const uint8_t sections = now.offer->sections < UINT8_MAX ? (uint8_t)now.offer->sections : UINT8_MAX;
    struct both n = {.ours = false};
    struct kept k, b;
    enum mkt_err err = load(&b, before);
    /* RFC 3264 section 6: an answer has as many m= lines as its offer; section 8: their number never decreases */
    if (err == MKT_OK && (now.offer->sections != now.answer->sections || sections < b.sections))
        err = MKT_E_ROLE;
    err = err == MKT_OK ? read_both(&now, media, &n) : err;
    err = err == MKT_OK ? keep(&now, &n, sections, &k) : err;
    if (err != MKT_OK)
        return err;
    const bool had = b.connection != 0 && !now.ended;
    if (!n.ours && !had)
        return MKT_E_MISSING;

    struct mkt_connection c = {.media = media, .stream = n.ours ? n.stream : (enum mkt_stream)b.stream};
    c.session = n.own.end.session;
    c.peer = n.peer.end.session;
    /* RFC 3264 section 8: the same descriptions again: "this is effectively a no-op" */
    const bool same_texts = memcmp(k.texts, b.texts, HASH) == 0;
    /* RFC 6714 4.2, 4.3: a second exchange must lead somewhere, as the first one */
    const bool leads = lead_of(&n) == LEAD_PATH || lead_of(&n) == LEAD_LINE;
    const bool keeps = had && n.wanted && (same_texts || (leads && same_stream(&n, &k, &b)));
    err = keying_of(&n, &b, &c.keying);
    err = err == MKT_OK ? choose_action(&n, keeps, had, &c) : err;
    if (err != MKT_OK)
        return err;
    k.connection = c.action == MKT_ACTION_KEEP || c.action == MKT_ACTION_CONNECT || c.action == MKT_ACTION_LISTEN;
    /* an exchange without messages, such as a hold, changes no key; of a stream that is gone there is none */
    if (n.wanted)
        memcpy(k.mikey, b.mikey, sizeof k.mikey);
    if (c.keying == MKT_KEYING_NEW) {
        memcpy(k.mikey[0], n.own.mikey, HASH);
        memcpy(k.mikey[1], n.peer.mikey, HASH);
    }
    *connection = c;
    *kept = (struct mkt_sdp_kept){{0}};
    memcpy(kept->octets, &k, sizeof k);
    return MKT_OK;
}

const char *mkt_action_name(enum mkt_action action)
{
    static const char *const names[] = {"nothing", "connect", "listen", "keep", "close", "offer again"};
    return (size_t)action < sizeof names / sizeof *names ? names[action] : NULL;
}
