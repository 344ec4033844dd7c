/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as an RTSP header KeyMgmt, after a line with the URI that is asked for. What decodes is measured as it is
 * written, its base64 stands in the input, and written as a header it is read again, beside others.
 */
#define _GNU_SOURCE /* memmem */

#include <mikeyticket/sdp.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Room of just the size that was measured */
static struct mkt_buf room(size_t n)
{
    struct mkt_buf out = {malloc(n + 1), n, 0};
    must(out.p != NULL);
    return out;
}

static struct mkt_span written(const struct mkt_buf *buf)
{
    return (struct mkt_span){buf->p, buf->n};
}

/* The message as SDP has it: the same base64, octet by octet. */
static void in_sdp(struct mkt_span message, struct mkt_span header)
{
    static const char head[] = "a=key-mgmt:mikey ";
    const size_t head_n = sizeof head - 1;
    struct mkt_buf measure = {NULL, 0, 0};
    must(mkt_sdp_key_mgmt_encode(message, &measure) == MKT_OK);
    struct mkt_buf line = room(measure.n);
    must(mkt_sdp_key_mgmt_encode(message, &line) == MKT_OK && line.n == line.cap);
    must(memmem(header.p, header.n, line.p + head_n, line.n - head_n) != NULL);
    free(line.p);
}

/* The message as a header, alone and beside one for another URI. */
static void again(struct mkt_span uri, struct mkt_span message)
{
    static const uint8_t other[] = {1, 2, 3};
    const struct mkt_keymgmt specs[] = {{uri, message}, {mkt_span_text("rtsp://other"), {other, sizeof other}}};
    for (size_t n = 1; n <= 2; n++) {
        struct mkt_buf measure = {NULL, 0, 0}, back = room(message.n);
        const enum mkt_err err = mkt_keymgmt_encode(specs, n, &measure);
        if (n == 2 && mkt_span_equal(uri, specs[1].uri))
            must(err == MKT_E_ARGUMENT);
        else
            must(err == MKT_OK);
        struct mkt_buf header = room(measure.n);
        must(mkt_keymgmt_encode(specs, n, &header) == err && header.n == measure.n);
        if (err == MKT_OK)
            must(mkt_keymgmt_decode(written(&header), uri, &back) == MKT_OK && mkt_span_equal(written(&back), message));
        free(header.p);
        free(back.p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    if (end == NULL)
        return 0;
    const struct mkt_span uri = {data, (size_t)(end - data)}, header = {end + 1, size - uri.n - 1};
    struct mkt_buf measure = {NULL, 0, 0};
    if (mkt_keymgmt_decode(header, uri, &measure) != MKT_OK) {
        must(measure.n == 0);
        return 0;
    }
    struct mkt_buf out = room(measure.n);
    must(mkt_keymgmt_decode(header, uri, &out) == MKT_OK && out.n == out.cap && out.n > 0);
    in_sdp(written(&out), header);
    again(uri, written(&out));
    struct mkt_buf small = {out.p, measure.n - 1, 0};
    must(mkt_keymgmt_decode(header, uri, &small) == MKT_E_BUFFER && small.n == 0);
    free(out.p);
    return 0;
}
