/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* getentropy */
#include "text.h"

#include <string.h>
#include <unistd.h>

static int digit(char c)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    if (at == NULL)
        return -1;
    return at - digits < 16 ? (int)(at - digits) : (int)(at - digits) - 6;
}

bool text_get_key(const char *hex, uint8_t *octets, size_t cap, size_t *n)
{
    size_t digits = strlen(hex);
    if (digits % 2 != 0 || digits / 2 < 16 || digits / 2 > cap)
        return false;
    for (size_t i = 0; i < digits; i += 2) {
        int high = digit(hex[i]), low = digit(hex[i + 1]);
        if (high < 0 || low < 0)
            return false;
        octets[i / 2] = (uint8_t)(high << 4 | low);
    }
    *n = digits / 2;
    return true;
}

bool text_put_hex(char *out, size_t cap, struct mkt_span octets)
{
    static const char digits[] = "0123456789abcdef";
    if (cap == 0 || octets.n > (cap - 1) / 2)
        return false;
    for (size_t i = 0; i < octets.n; i++) {
        *out++ = digits[octets.p[i] >> 4];
        *out++ = digits[octets.p[i] & 15];
    }
    *out = '\0';
    return true;
}

bool text_draw_id(char hex[17])
{
    uint8_t octets[8];
    return getentropy(octets, sizeof octets) == 0 && text_put_hex(hex, 17, (struct mkt_span){octets, sizeof octets});
}

void text_put_id(char out[256], const struct mkt_id *id)
{
    size_t n = id->data.n < 255 ? id->data.n : 255;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(id->data.p[i] > ' ' && id->data.p[i] < 127 ? id->data.p[i] : '?');
    out[n] = '\0';
}
