/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a description, and as up to four descriptions of two exchanges, which begin with v=. What decodes must
 * encode to base64 that stands in the input, what is measured must be what is written, spans must lie in the input, and
 * what one end awaits the other must connect to.
 */
#define _GNU_SOURCE /* memmem */

#include <mikeyticket/connection.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool within(struct mkt_span s, struct mkt_span in)
{
    return s.n == 0 ? s.p == NULL || (s.p >= in.p && s.p <= in.p + in.n)
                    : s.p >= in.p && s.n <= in.n && s.p <= in.p + (in.n - s.n);
}

/* Room of just the size that was measured */
static struct mkt_buf room(size_t n)
{
    struct mkt_buf out = {malloc(n + 1), n, 0};
    must(out.p != NULL);
    return out;
}

/* The message encodes to an attribute whose base64 is in the input, and the attribute decodes to the message again. */
static void round_trip(struct mkt_span message, struct mkt_span in)
{
    static const char head[] = "a=key-mgmt:mikey ";
    size_t head_n = sizeof head - 1;
    struct mkt_buf measure = {NULL, 0, 0}, again = room(message.n);
    must(mkt_sdp_key_mgmt_encode(message, &measure) == MKT_OK);
    struct mkt_buf line = room(measure.n);
    must(mkt_sdp_key_mgmt_encode(message, &line) == MKT_OK && line.n == line.cap && memcmp(line.p, head, head_n) == 0);
    must(memmem(in.p, in.n, line.p + head_n, line.n - head_n) != NULL);
    struct mkt_sdp sdp;
    must(mkt_sdp_parse(&sdp, (struct mkt_span){line.p, line.n}) == MKT_OK && sdp.sections == 0);
    must(mkt_sdp_key_mgmt_decode(&sdp, MKT_SDP_SESSION, &again) == MKT_OK);
    must(mkt_span_equal((struct mkt_span){again.p, again.n}, message));
    free(line.p);
    free(again.p);
}

/* Whatever answer is chosen, the ends have different roles, or none; TLS has a client and a server. */
static void answer_all(enum mkt_setup offer)
{
    for (unsigned able = MKT_SETUP_ABSENT; able <= MKT_SETUP_HOLDCONN; able++) {
        for (unsigned stream = MKT_STREAM_MSRP; stream <= MKT_STREAM_BFCP; stream++) {
            enum mkt_setup answer;
            struct mkt_roles a, b;
            if (mkt_setup_answer((enum mkt_stream)stream, offer, (enum mkt_setup)able, &answer) != MKT_OK)
                continue;
            must(mkt_setup_name(answer) != NULL);
            must(mkt_setup_roles((enum mkt_stream)stream, offer, answer, true, &a) == MKT_OK);
            must(mkt_setup_roles((enum mkt_stream)stream, offer, answer, false, &b) == MKT_OK);
            must(a.tcp + b.tcp == (a.tcp == MKT_END_NONE ? 0 : MKT_END_CLIENT + MKT_END_SERVER));
            must(a.tls + b.tls == a.tcp + b.tcp && (a.tls == MKT_END_NONE) == (a.tcp == MKT_END_NONE));
        }
    }
}

static void description(struct mkt_sdp *sdp, struct mkt_span in, size_t media)
{
    static const char *const name[] = {"setup", "key-mgmt", "path", "floorid"};
    struct mkt_buf message = {NULL, 0, 0}, list = {NULL, 0, 0};
    enum mkt_err got = mkt_sdp_key_mgmt_decode(sdp, media, &message), listed = mkt_sdp_protocols(sdp, media, &list);
    must(got == MKT_OK || message.n == 0);
    must(listed == MKT_OK || list.n == 0);
    /* what gives a message gives a list with its protocol; what gives no list gives no message */
    must(got != MKT_OK || (listed == MKT_OK && list.n >= strlen("mikey")));
    if (got == MKT_OK) {
        struct mkt_buf out = room(message.n);
        must(mkt_sdp_key_mgmt_decode(sdp, media, &out) == MKT_OK && out.n == out.cap && out.n > 0);
        round_trip((struct mkt_span){out.p, out.n}, in);
        free(out.p);
    }
    if (listed == MKT_OK) {
        struct mkt_buf out = room(list.n);
        must(mkt_sdp_protocols(sdp, media, &out) == MKT_OK && out.n == out.cap);
        must((memmem(out.p, out.n, "mikey", 5) != NULL) || got != MKT_OK);
        for (size_t i = 0; i < out.n; i++)
            must(out.p[i] != ';' || (i > 0 && i + 1 < out.n && out.p[i - 1] != ';'));
        free(out.p);
    }

    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        struct mkt_span value = {NULL, 0}, last = value;
        while (mkt_sdp_attribute(sdp, media, name[i], &value) == MKT_OK && value.p != NULL) {
            must(within(value, in) && memchr(value.p, '\n', value.n) == NULL);
            must(last.p == NULL || value.p > last.p + last.n);
            last = value;
        }
    }
    struct mkt_sdp_media m;
    if (mkt_sdp_media_parse(sdp, media, &m) == MKT_OK)
        must(within(m.media, in) && within(m.proto, in) && within(m.addrtype, in) && within(m.address, in) &&
             m.media.n > 0 && m.proto.n > 0 && (m.addrtype.n > 0) == (m.address.n > 0));

    enum mkt_setup setup;
    if (mkt_setup_parse(sdp, media, &setup) == MKT_OK)
        answer_all(setup);
}

/* Two bodies, from both ends, after what was kept for each of them. */
static void connection(struct mkt_sdp_exchange now, const struct mkt_sdp_kept before[2], bool first, size_t media,
                       struct mkt_span in, struct mkt_sdp_kept kept[2])
{
    struct mkt_connection c[2];
    enum mkt_err err[2];
    for (size_t i = 0; i < 2; i++) {
        now.offerer = !now.offerer;
        kept[i] = before[i];
        err[i] = mkt_connection_decide(&now, &before[i], media, &c[i], &kept[i]);
        must(err[i] == MKT_OK ? kept[i].octets[0] == 1 : memcmp(&kept[i], &before[i], sizeof kept[i]) == 0);
        must(err[i] != MKT_OK || mkt_action_name(c[i].action) != NULL);
        bool opens = err[i] == MKT_OK && (c[i].action == MKT_ACTION_CONNECT || c[i].action == MKT_ACTION_LISTEN);
        must(err[i] != MKT_OK || (c[i].media == media && within(c[i].session, in) && within(c[i].peer, in)));
        must(err[i] != MKT_OK || !first ||
             (c[i].action != MKT_ACTION_KEEP && c[i].action != MKT_ACTION_CLOSE && !c[i].replaces));
        must(!opens || (within(c[i].address, in) && c[i].address.n > 0 && c[i].port != 0 && c[i].port != 9));
        must(!opens || c[i].tls != MKT_END_NONE);
        must(err[i] != MKT_OK || opens || (c[i].address.n == 0 && c[i].port == 0 && c[i].tls == MKT_END_NONE));
        /* what the offer alone says holds, but for an answer of another end */
        enum mkt_keying keying;
        if (err[i] == MKT_OK && mkt_connection_keying(now.offer, media, now.offerer, &before[i], &keying) == MKT_OK)
            must(keying == c[i].keying || c[i].keying == MKT_KEYING_NONE ||
                 (keying == MKT_KEYING_SAME && c[i].keying == MKT_KEYING_NEW));
        /* the same exchange again changes nothing, if there is a connection */
        struct mkt_connection again;
        struct mkt_sdp_kept twice = kept[i];
        if (opens || (err[i] == MKT_OK && c[i].action == MKT_ACTION_KEEP)) {
            const enum mkt_err same = mkt_connection_decide(&now, &kept[i], media, &again, &twice);
            must(same == MKT_OK || same == MKT_E_PROTOCOLS); /* an answer for mikey to an offer that has others */
            must(same != MKT_OK || (again.action == MKT_ACTION_KEEP && again.keying != MKT_KEYING_NEW));
        }
    }
    if (err[0] != MKT_OK || err[1] != MKT_OK || !first)
        return;
    must(mkt_span_equal(c[0].session, c[1].peer) && mkt_span_equal(c[1].session, c[0].peer));
    must(c[0].keying == c[1].keying && c[0].stream == c[1].stream);
    for (size_t i = 0; i < 2; i++)
        must(c[i].action != MKT_ACTION_CONNECT || c[1 - i].action == MKT_ACTION_LISTEN ||
             c[1 - i].action == MKT_ACTION_OFFER_AGAIN);
    must(c[0].tls == MKT_END_NONE || c[1].tls == MKT_END_NONE || c[0].tls != c[1].tls);
}

/* The input up to the next line that is v=, or all that is left. */
static struct mkt_span body(struct mkt_span *in)
{
    const uint8_t *next = in->n < 2 ? NULL : memmem(in->p + 1, in->n - 1, "\nv=", 3);
    struct mkt_span first = {in->p, next == NULL ? in->n : (size_t)(next + 1 - in->p)};
    *in = (struct mkt_span){in->p + first.n, in->n - first.n};
    return first;
}

/* Two exchanges for each section: of the first end, which offers first, and of the other. */
static void exchanges(struct mkt_span in)
{
    struct mkt_span rest = in, text[4];
    struct mkt_sdp sdp[4];
    for (size_t i = 0; i < 4; i++) {
        text[i] = i == 0 || rest.n > 0 ? body(&rest) : text[i == 1 ? 0 : i - 2];
        if (mkt_sdp_parse(&sdp[i], text[i]) != MKT_OK)
            return;
    }
    for (size_t media = 0; media < 3; media++) {
        struct mkt_sdp_kept none[2] = {{{0}}}, kept[2], next[2];
        struct mkt_sdp_exchange one, two;
        mkt_sdp_exchange_init(&one, &sdp[0], &sdp[1]);
        mkt_sdp_exchange_init(&two, &sdp[2], &sdp[3]);
        connection(one, none, true, media, in, kept);
        connection(two, kept, false, media, in, next);
        two.offerer = true; /* the other end offers */
        connection(two, kept, false, media, in, next);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mkt_span in = {data, size};
    struct mkt_sdp sdp;
    if (mkt_sdp_parse(&sdp, in) == MKT_OK) {
        for (size_t media = 0; media < 3; media++)
            description(&sdp, in, media);
        description(&sdp, in, MKT_SDP_SESSION);
        description(&sdp, in, 0);
    }
    exchanges(in);
    return 0;
}
