/* SPDX-License-Identifier: BSD-3-Clause */
/* sdp: reads text with the cursor of io.h. Each function takes what one rule of a grammar says; else MKT_E_SDP sticks.
 * An octet is looked at a fixed number of times, however hostile the text. */
#ifndef MKT_SDP_H
#define MKT_SDP_H

#include <mikeyticket/sdp.h>

#include "io.h"

/* What may stand in a word beside ALPHA and DIGIT */
#define DIGITS NULL                   /* and no ALPHA either */
#define KMPID ""                      /* RFC 4567 section 3 */
#define BASE64 "+/="                  /* RFC 8866 section 9, base64-char and base64-pad */
#define ADDRESS "-.:/"                /* RFC 8866 section 9: IP addresses, multicast ones with "/ttl", and FQDN */
#define TOKEN "!#$%&'*+-.^_`{|}~"     /* RFC 8866 section 9, token-char */
#define URI "-._~:/?#[]@!$&'()*+,;=%" /* RFC 3986 section 2 */

#define MIKEY "mikey" /* RFC 4567 section 7: "the protocol identifier SHALL be "mikey"" */
#define MKT_SDP_LINE "a=key-mgmt:" MIKEY " "

static inline uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static inline bool is_in(uint8_t c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* How many characters of a text belong to its first word. */
static inline size_t word_length(struct mkt_span text, const char *others)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        bool is_alpha = others != DIGITS && lower(c) >= 'a' && lower(c) <= 'z';
        if (!is_alpha && !(c >= '0' && c <= '9') && !(others != DIGITS && is_in(c, others)))
            return i;
    }
    return text.n;
}

/* Takes a word of at least one character. */
static inline struct mkt_span io_word(struct io *io, const char *others)
{
    struct mkt_span word = io_rest(io);
    size_t n = word_length(word, others);
    if (n == 0)
        io_fail(io, MKT_E_SDP);
    io_bytes(io, &word, n);
    return word;
}

/* Takes a literal if it is there; RFC 4234 2.3: literals are case-insensitive. */
static inline bool io_accept(struct io *io, const char *literal)
{
    struct mkt_span rest = io_rest(io);
    for (size_t i = 0; literal[i] != '\0'; i++)
        if (i == rest.n || lower(rest.p[i]) != lower((uint8_t)literal[i]))
            return false;
    io_bytes(io, &rest, strlen(literal));
    return true;
}

static inline void io_literal(struct io *io, const char *literal)
{
    if (!io_accept(io, literal))
        io_fail(io, MKT_E_SDP);
}

/* Takes a number of 16 bits in decimal digits. */
static inline uint16_t io_port(struct io *io)
{
    struct mkt_span digits = io_word(io, DIGITS);
    uint32_t number = 0;
    for (size_t i = 0; i < digits.n && number <= UINT16_MAX; i++)
        number = 10 * number + digits.p[i] - '0';
    if (number > UINT16_MAX)
        io_fail(io, MKT_E_SDP);
    return (uint16_t)number;
}

/* A field of a media section, or else of the session; `p` is NULL if there is none. MKT_E_SDP: two; MKT_E_MISSING. */
MKT_MUST enum mkt_err mkt_sdp_field(struct mkt_sdp *sdp, size_t media, enum mkt_sdp_name name, struct mkt_span *value);

/* The level whose key-mgmt attributes apply to a media section. RFC 4567 3.1: "if the media-level attribute is present,
 * the session level attribute MUST be ignored for this media". A malformed one is present. */
MKT_MUST enum mkt_err mkt_sdp_key_mgmt(struct mkt_sdp *sdp, size_t media, struct mkt_sdp_level **level);

/* Adds octets to a hash of 32 octets. */
MKT_MUST enum mkt_err mkt_sdp_hash(uint8_t hash[32], struct mkt_span octets);

#endif
