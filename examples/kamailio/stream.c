/* SPDX-License-Identifier: BSD-3-Clause */
#include "stream.h"

#include "mrfp.h"
#include "text.h"

#include "../../core/hashes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- descriptions ---- */

static bool put(const char *format, ...)
{
    va_list list;
    const size_t room = sizeof outcome.sdp - outcome.sdp_n;
    va_start(list, format);
    const int n = vsnprintf(outcome.sdp + outcome.sdp_n, room, format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= room)
        return false;
    outcome.sdp_n += (size_t)n;
    return true;
}

static bool put_stream(const struct call *call, enum mkt_setup setup)
{
    const bool msrp = call->medium == MKT_STREAM_MSRP;
    if (!put("m=%s %u %s *\r\na=setup:%s\r\n", msrp ? "message" : "application", call->port,
             msrp ? "TCP/TLS/MSRP" : "TCP/TLS/BFCP", mkt_setup_name(setup)))
        return false;
    if (msrp)
        return put("a=accept-types:text/plain\r\na=path:msrps://%s:%u/%s;tcp\r\n", mrfc.address, call->port,
                   call->stream);
    /* RFC 8856 section 10: the MRFP is the floor control server, here with one floor of no stream */
    return put("a=connection:new\r\na=bfcpver:1\r\na=floorctrl:s-only\r\na=confid:1\r\na=userid:1\r\na=floorid:1\r\n");
}

enum mkt_err stream_describe(const struct call *call, struct mkt_sdp *offer, enum mkt_setup setup, str line)
{
    struct mkt_sdp_media other;
    outcome.sdp_n = 0;
    bool good = put("v=0\r\no=mrfc %u %u IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n",
                    core_hash(&call->id, NULL, 0) & INT32_MAX, (unsigned)call->version, mrfc.address, mrfc.address);
    good = good && put("%.*s%s", line.len, line.s, line.len > 0 ? "\r\n" : "");
    if (offer == NULL)
        return good && put_stream(call, setup) ? MKT_OK : MKT_E_BUFFER;
    for (size_t i = 0; good && i < offer->sections; i++) {
        if (i == call->media && setup != MKT_SETUP_ABSENT) {
            good = put_stream(call, setup);
            continue;
        }
        const enum mkt_err err = mkt_sdp_media_parse(offer, i, &other);
        if (err != MKT_OK)
            return err;
        good = put("m=%.*s 0 %.*s *\r\n", (int)other.media.n, (const char *)other.media.p, (int)other.proto.n,
                   (const char *)other.proto.p);
    }
    return good ? MKT_OK : MKT_E_BUFFER;
}

struct mkt_span stream_described(void)
{
    return (struct mkt_span){(const uint8_t *)outcome.sdp, outcome.sdp_n};
}

enum mkt_err stream_choose(struct mkt_sdp *offer, size_t *media, enum mkt_stream *medium)
{
    struct mkt_sdp_media m;
    for (size_t i = 0; i < offer->sections; i++) {
        const enum mkt_err err = mkt_sdp_media_parse(offer, i, &m);
        if (err != MKT_OK)
            return err;
        *media = i;
        const bool bfcp = mkt_span_equal(m.media, mkt_span_text("application"));
        *medium = bfcp ? MKT_STREAM_BFCP : MKT_STREAM_MSRP;
        if (m.port != 0 && (bfcp || mkt_span_equal(m.media, mkt_span_text("message"))) &&
            mkt_span_equal(m.proto, mkt_span_text(bfcp ? "TCP/TLS/BFCP" : "TCP/TLS/MSRP")))
            return MKT_OK;
    }
    snprintf(call_detail, sizeof call_detail, "m=: neither MSRP nor BFCP over TLS");
    return MKT_E_MISSING;
}

/* ---- the stream ---- */

enum mkt_err stream_command(struct call *call, const char *verb, const char *words, bool keyed, const char *address)
{
    uint8_t tek_octets[64], identity_octets[256];
    char text[2048], hex[2 * sizeof tek_octets + 1] = "";
    struct mkt_buf tek = {tek_octets, sizeof tek_octets, 0}, identity = {identity_octets, sizeof identity_octets, 0};
    enum mkt_err err = MKT_OK;

    if (keyed) {
        err = mkt_csb_psk_identity(call->csb, MKT_FIRST_CS, &identity);
        err = err == MKT_OK ? mkt_csb_tek(call->csb, MKT_FIRST_CS, &tek) : err;
        if (err == MKT_OK && !text_put_hex(hex, sizeof hex, mkt_buf_span(&tek)))
            err = MKT_E_BUFFER;
    }
    const int n = snprintf(text, sizeof text, "%s %s%s%s%.*s%s%s%s\n", verb, call->stream, words, keyed ? " " : "",
                           (int)identity.n, (const char *)identity_octets, keyed ? " " : "", hex, address);
    if (n < 0 || (size_t)n >= sizeof text)
        err = MKT_E_BUFFER;
    if (err == MKT_OK && !mrfp_do(text, strcmp(verb, "key") == 0 ? NULL : &call->port))
        err = MKT_E_TLS;
    explicit_bzero(text, sizeof text);
    explicit_bzero(hex, sizeof hex);
    explicit_bzero(tek_octets, sizeof tek_octets);
    return err;
}

enum mkt_err stream_await(struct call *call, enum mkt_end tls, bool keyed)
{
    char words[32];
    snprintf(words, sizeof words, " passive %s %s", call->medium == MKT_STREAM_MSRP ? "msrp" : "bfcp",
             tls == MKT_END_CLIENT ? "client" : "server");
    return stream_command(call, keyed ? "add" : "announce", words, keyed, "");
}

enum mkt_err stream_connect(struct call *call, const struct mkt_connection *to, struct mkt_sdp *ours,
                            struct mkt_sdp *theirs)
{
    struct mkt_span own = {NULL, 0}, peer = {NULL, 0};
    char words[32], address[1024];
    const unsigned port = call->port; /* in our description; the MRFP answers another one */
    const bool msrp = call->medium == MKT_STREAM_MSRP;
    enum mkt_err err = MKT_OK;

    snprintf(words, sizeof words, " active %s %s", msrp ? "msrp" : "bfcp",
             to->tls == MKT_END_CLIENT ? "client" : "server");
    if (msrp) {
        err = mkt_sdp_attribute(ours, to->media, "path", &own);
        err = err == MKT_OK ? mkt_sdp_attribute(theirs, to->media, "path", &peer) : err;
    }
    const int n = snprintf(address, sizeof address, " %.*s %u%s%.*s%s%.*s", (int)to->address.n,
                           (const char *)to->address.p, to->port, msrp ? " " : "", (int)own.n, (const char *)own.p,
                           msrp ? " " : "", (int)peer.n, (const char *)peer.p);
    if (err == MKT_OK && (n < 0 || (size_t)n >= sizeof address))
        err = MKT_E_LENGTH;
    err = err == MKT_OK ? stream_command(call, "add", words, true, address) : err;
    call->port = port;
    return err;
}

/* Our answer as it would be now, and what comes of it. */
static enum mkt_err decide(struct call *call, struct mkt_sdp *offer, struct mkt_sdp *answer, enum mkt_setup setup,
                           struct mkt_connection *connection)
{
    struct mkt_sdp_exchange now;
    enum mkt_err err = stream_describe(call, offer, setup, call->next_line);
    err = err == MKT_OK ? mkt_sdp_parse(answer, stream_described()) : err;
    mkt_sdp_exchange_init(&now, offer, answer);
    return err == MKT_OK ? mkt_connection_decide(&now, &call->kept, call->media, connection, &call->next_kept) : err;
}

/* A port that the peer connects to must be there before the answer is. */
enum mkt_err stream_answer(struct call *call, struct mkt_sdp *offer)
{
    enum mkt_setup offered, setup;
    struct mkt_roles roles;
    struct mkt_connection connection;
    struct mkt_sdp answer;
    enum mkt_err err = mkt_setup_parse(offer, call->media, &offered);
    err = err == MKT_OK ? mkt_setup_answer(call->medium, offered, call->able, &setup) : err;
    err = err == MKT_OK ? mkt_setup_roles(call->medium, offered, setup, false, &roles) : err;
    if (err == MKT_OK && call->stream[0] != '\0') {
        err = decide(call, offer, &answer, setup, &connection);
        if (err == MKT_OK && connection.action == MKT_ACTION_KEEP)
            return connection.keying == MKT_KEYING_NEW ? stream_command(call, "key", "", true, "") : MKT_OK;
    }
    if (err != MKT_OK)
        return err;
    call_remove_stream(call);
    call->port = 9;
    if (!text_draw_id(call->stream))
        return MKT_E_RANDOM;
    if (roles.tcp == MKT_END_SERVER)
        err = stream_await(call, roles.tls, true);
    err = err == MKT_OK ? decide(call, offer, &answer, setup, &connection) : err;
    if (err == MKT_OK && connection.action == MKT_ACTION_CONNECT)
        err = stream_connect(call, &connection, &answer, offer);
    return err;
}
