/* SPDX-License-Identifier: BSD-3-Clause */
/* Drivers of lib/sdp.c, and how the texts begin that they are given. */
#define A "a=x"
#define M "m="
#define M_PROTO "m=a 9 "
#define M_FMT "m=a 9 b"
#define M_C "m=a 9 b c\nc="
#define KEY_MGMT "a=key-mgmt:"
#define KEY_MGMT_MIKEY "a=key-mgmt:mikey"
#define HEADER "KeyMgmt:"
#define HEADER_URI "KeyMgmt:prot=mikey;uri="
#define HEADER_URI_DATA "KeyMgmt:prot=mikey;uri=\"u\";data="
#define HEADER_DATA "KeyMgmt:prot=mikey;data="
#define HEADER_NEXT "KeyMgmt:prot=mikey;data=\"A\""

#include "octets.h"

#include "crypto.h"
#include "sdp.h"

/* In the place of those of base64.c, whose tables make many states: they look at each octet, and write as many as base64 has. */
enum mkt_err mkt_base64_encode(struct mkt_span in, struct mkt_buf *out)
{
    uint8_t all = 0;
    for (size_t i = 0; i < in.n; i++)
        all |= in.p[i];
    const uint8_t quartet[] = {'A', all, 'A', '='};
    struct mkt_span text = {quartet, sizeof quartet};
    struct io io = io_put(out);
    for (size_t i = 0; i < in.n; i += 3)
        io_bytes(&io, &text, sizeof quartet);
    return io_done(&io, out);
}

enum mkt_err mkt_base64_decode(struct mkt_span in, struct mkt_buf *out)
{
    (void)out;
    uint8_t all = 0;
    for (size_t i = 0; i < in.n; i++)
        all |= in.p[i];
    return all == 0 ? MKT_E_BASE64 : MKT_OK;
}

void *any_memchr(const void *p, int c, size_t n)
{
    const uint8_t *octet = p;
    for (size_t i = 0; i < n; i++)
        if (octet[i] == (uint8_t)c)
            return (void *)(octet + i);
    return NULL;
}

int any_memcmp(const void *p, const void *q, size_t n)
{
    const uint8_t *a = p, *b = q;
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

static void sections(struct mkt_span in)
{
    struct mkt_sdp sdp;
    (void)mkt_sdp_parse(&sdp, in);
}

static void get(struct mkt_span in)
{
    struct mkt_buf message = {NULL, 0, 0};
    struct mkt_sdp sdp;
    if (mkt_sdp_parse(&sdp, in) == MKT_OK)
        (void)mkt_sdp_key_mgmt_decode(&sdp, MKT_SDP_SESSION, &message);
}

static void media(struct mkt_span in)
{
    struct mkt_sdp_media m;
    struct mkt_sdp sdp;
    if (mkt_sdp_parse(&sdp, in) == MKT_OK)
        (void)mkt_sdp_media_parse(&sdp, 0, &m);
}

static void attribute(struct mkt_span in)
{
    struct mkt_span value = {NULL, 0};
    struct mkt_sdp sdp;
    if (mkt_sdp_parse(&sdp, in) == MKT_OK)
        (void)mkt_sdp_attribute(&sdp, Frama_C_interval_split(0, 1) != 0 ? 0 : MKT_SDP_SESSION, "x", &value);
}

static void keymgmt(struct mkt_span in)
{
    struct mkt_buf message = {NULL, 0, 0};
    (void)mkt_keymgmt_decode(in, mkt_span_text(Frama_C_interval_split(0, 1) != 0 ? "u" : ""), &message);
}

static void protocols(struct mkt_span in)
{
    ANY_ROOM(list);
    struct mkt_sdp sdp;
    if (mkt_sdp_parse(&sdp, in) == MKT_OK)
        (void)mkt_sdp_protocols(&sdp, MKT_SDP_SESSION, &list);
}

static void put(struct mkt_span in)
{
    ANY_ROOM(line);
    (void)mkt_sdp_key_mgmt_encode(in, &line);
}

static void keymgmt_put(struct mkt_span in)
{
    ANY_ROOM(header);
    const struct mkt_span message = mkt_span_text("m");
    const struct mkt_keymgmt spec[] = {{in, message}, {{NULL, 0}, in}};
    (void)mkt_keymgmt_encode(spec, (size_t)Frama_C_interval_split(0, 2), &header);
}
