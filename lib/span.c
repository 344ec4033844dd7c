/* SPDX-License-Identifier: BSD-3-Clause */
#include <mikeyticket/span.h>

#include <string.h>

struct mkt_span mkt_span_text(const char *text)
{
    return (struct mkt_span){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

bool mkt_span_equal(struct mkt_span a, struct mkt_span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
