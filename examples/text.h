/* SPDX-License-Identifier: BSD-3-Clause */
/* What the programs read and print as text. */
#ifndef EXAMPLES_TEXT_H
#define EXAMPLES_TEXT_H

#include <mikeyticket.h>

/* Reads at least 16 octets from hex digits; false where they are none, or more than there is room for. */
bool text_get_key(const char *hex, uint8_t *octets, size_t cap, size_t *n);

/* Writes octets as hex digits, and a NUL after them; false where there is no room for all. */
bool text_put_hex(char *out, size_t cap, struct mkt_span octets);

/* Draws an ID that nobody can guess: 16 hex digits and a NUL. False if there are no random octets. */
bool text_draw_id(char hex[17]);

/* Writes an identity of up to 255 octets, what can't be printed as '?': a terminal gets no control characters from the
   network. */
void text_put_id(char out[256], const struct mkt_id *id);

#endif
