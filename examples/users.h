/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file that says whom a KMS serves. A line is one of
 *
 *     user PSK-ID IDENTITY HEX-KEY [GROUP...]    the key that a user shares with the KMS, and groups that it belongs to
 *     tpk ID HEX-KEY [IDENTITY]                  a ticket protection key: the KMS makes tickets with the first one; of
 *                                                the others, it takes tickets of that Initiator alone, if one is named
 *
 * of words with blanks between them; identities and groups are URIs. What follows a # that begins a word is a comment.
 * A user with a certificate needs no line. If it has one, it belongs to the groups of that line.
 */
#ifndef EXAMPLES_USERS_H
#define EXAMPLES_USERS_H

#include <mikeyticket.h>

/* Users without a line have one of so many numbers. */
enum { MAX_GROUPS = 16, MAX_LINE = 4096, N_STRANGERS = 65536 };

/* A line of the file. */
struct entry {
    struct entry *next, *next_named, *next_identified; /* in the file, and in the tables of struct users */
    unsigned line;
    bool tpk;
    const char *id;       /* PSK-ID of a user, ID of a TPK */
    const char *identity; /* of a user; or the only Initiator whose tickets the TPK protects, NULL: any */
    const char *group[MAX_GROUPS];
    size_t n_groups;
    size_t number; /* of a user, from 0 */
    uint8_t key[64];
    size_t key_n;
    char text[]; /* the line, which those words point into */
};

/* All lines, and tables that find one by a hash of its ID or identity, however many there are. */
struct users {
    struct entry *first, *last;
    const struct entry *first_tpk;
    struct entry **named, **identified;
    size_t n_buckets; /* of each table, a power of two */
    size_t n, n_users;
    uint64_t seed; /* of the numbers of users without a line */
};

/* Reads the file. After a mistake it prints one line about it, and returns false. The caller frees the users. */
bool users_read(struct users *users, const char *file);

/* Wipes and frees them. Zeros are fine. */
void users_free(struct users *users);

/* Return a user by its PSK-ID or its identity, a TPK by its ID; NULL if there is none. */
const struct entry *users_psk(const struct users *users, const struct mkt_id *psk_id);
const struct entry *users_user(const struct users *users, const struct mkt_id *identity);
const struct entry *users_tpk(const struct users *users, const struct mkt_id *tpk_id);

/* Returns the number of a user: of its line, or without one a number from n_users on. Two users without a line can have
   one number, by chance. */
size_t users_number(const struct users *users, const struct mkt_id *identity);

/* True if the entry has that identity. */
bool users_is(const struct entry *entry, const struct mkt_id *identity);

/* Appends the key; MKT_E_BUFFER. */
enum mkt_err users_key(const struct entry *entry, struct mkt_buf *key);

#endif
