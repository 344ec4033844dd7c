/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file that says whom a KMS serves. A line is one of
 *
 *     user PSK-ID IDENTITY HEX-KEY [GROUP...]    the key that a user shares with the KMS, and groups that it belongs to
 *     tpk ID HEX-KEY [IDENTITY]                  a ticket protection key: the KMS makes tickets with the first one; of
 *                                                the others, it takes tickets of that Initiator alone, if one is named
 *
 * of words with blanks between them; identities and groups are URIs. What follows a # that begins a word is a comment.
 */
#ifndef EXAMPLES_USERS_H
#define EXAMPLES_USERS_H

#include <mikeyticket.h>

enum { MAX_GROUPS = 16, MAX_LINE = 4096 };

struct entry {
    struct entry *next;
    bool tpk;
    const char *id;       /* PSK-ID of a user, ID of a TPK */
    const char *identity; /* of a user, or of who alone may make tickets with a TPK; NULL: whoever has it */
    const char *group[MAX_GROUPS];
    size_t n_groups;
    uint8_t key[64];
    size_t key_n;
    char line[]; /* what those words point into */
};

/* Reads the file; after a mistake it prints one line about it and answers false. The caller frees the entries. */
bool users_read(struct entry **entries, const char *file);

/* Wipes and frees them. */
void users_free(struct entry *entries);

/* A user by its key or its identity, a TPK by its name; NULL where there is none. */
const struct entry *users_psk(const struct entry *entries, const struct mkt_id *psk_id);
const struct entry *users_user(const struct entry *entries, const struct mkt_id *identity);
const struct entry *users_tpk(const struct entry *entries, const struct mkt_id *tpk_id);

/* The first TPK; users_read() has seen to it that there is one. */
const struct entry *users_first_tpk(const struct entry *entries);

/* Whether the identity of an entry is that one. */
bool users_is(const struct entry *entry, const struct mkt_id *identity);

/* Appends the key; MKT_E_SPACE. */
enum mkt_err users_key(const struct entry *entry, struct mkt_buf *key);

#endif
