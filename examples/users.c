/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* strtok_r, explicit_bzero */

#include "users.h"

#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A mistake in a line: where, what, and what to do. */
static bool mistake(const char *file, unsigned line, const char *text)
{
    fprintf(stderr, "%s:%u: %s\n", file, line, text);
    return false;
}

const struct entry *users_psk(const struct entry *entries, const struct mkt_id *psk_id)
{
    while (entries != NULL && (entries->tpk || !mkt_span_equal(mkt_span_text(entries->id), psk_id->data)))
        entries = entries->next;
    return entries;
}

bool users_is(const struct entry *entry, const struct mkt_id *identity)
{
    const struct mkt_id id = mkt_id_uri(entry->identity != NULL ? entry->identity : "");
    return mkt_id_equal(&id, identity);
}

const struct entry *users_user(const struct entry *entries, const struct mkt_id *identity)
{
    while (entries != NULL && (entries->tpk || !users_is(entries, identity)))
        entries = entries->next;
    return entries;
}

const struct entry *users_tpk(const struct entry *entries, const struct mkt_id *tpk_id)
{
    while (entries != NULL && (!entries->tpk || !mkt_span_equal(mkt_span_text(entries->id), tpk_id->data)))
        entries = entries->next;
    return entries;
}

const struct entry *users_first_tpk(const struct entry *entries)
{
    while (entries != NULL && !entries->tpk)
        entries = entries->next;
    return entries;
}

enum mkt_err users_key(const struct entry *entry, struct mkt_buf *key)
{
    if (key->cap - key->n < entry->key_n)
        return MKT_E_SPACE;
    memcpy(key->p + key->n, entry->key, entry->key_n);
    key->n += entry->key_n;
    return MKT_OK;
}

/* Reads the words of a line into an entry. */
static bool read_line(struct entry *entry, const struct entry *others, const char *file, unsigned line)
{
    char *rest = NULL, *word[4 + MAX_GROUPS];
    size_t n = 0;

    for (char *w = strtok_r(entry->line, " \t\r\n", &rest); w != NULL && *w != '#';
         w = strtok_r(NULL, " \t\r\n", &rest)) {
        if (n == sizeof word / sizeof *word)
            return mistake(file, line, "a user has 16 groups at most: take some away");
        word[n++] = w;
    }
    if (n == 0)
        return true; /* and no id: not an entry */

    bool user = strcmp(word[0], "user") == 0;
    if (!user && strcmp(word[0], "tpk") != 0)
        return mistake(file, line, "a line begins with user or tpk: begin a comment with #");
    if (n < (user ? 4 : 3) || (!user && n > 4))
        return mistake(file, line,
                       user ? "write: user PSK-ID IDENTITY HEX-KEY [GROUP...]" : "write: tpk ID HEX-KEY [IDENTITY]");
    char *key = word[user ? 3 : 2];
    bool good = text_get_key(key, entry->key, sizeof entry->key, &entry->key_n);
    explicit_bzero(key, strlen(key));
    if (!good)
        return mistake(file, line, "the key is not 16 to 64 octets as hex digits: write 64 digits, for example");

    const struct mkt_id id = mkt_id_bytes(word[1]), identity = mkt_id_uri(word[2]);
    if (user ? users_psk(others, &id) != NULL : users_tpk(others, &id) != NULL)
        return mistake(file, line, "a line above has that ID: give each key an ID of its own");
    if (user && users_user(others, &identity) != NULL)
        return mistake(file, line, "a line above has that identity: give each user one line");
    if (!user && n == 4 && users_first_tpk(others) == NULL)
        return mistake(file, line, "the first tpk is the one of the KMS: take the identity away");
    entry->tpk = !user;
    entry->id = word[1];
    if (user)
        entry->identity = word[2];
    else if (n == 4)
        entry->identity = word[3];
    for (size_t i = 4; i < n; i++)
        entry->group[entry->n_groups++] = word[i];
    return true;
}

/* Makes an entry of a line and appends it, unless there is nothing in it. */
static bool add_line(struct entry **entries, const char *text, const char *file, unsigned line)
{
    size_t n = strlen(text) + 1;
    struct entry *entry = calloc(1, sizeof *entry + n), **end = entries;
    if (entry == NULL)
        return mistake(file, line, "no memory: stop other programs");
    memcpy(entry->line, text, n);
    bool good = read_line(entry, *entries, file, line);
    if (!good || entry->id == NULL) {
        explicit_bzero(entry, sizeof *entry + n);
        free(entry);
        return good;
    }
    while (*end != NULL)
        end = &(*end)->next;
    *end = entry;
    return true;
}

bool users_read(struct entry **entries, const char *file)
{
    char buffer[4096], text[MAX_LINE]; /* a buffer of our own, as it has keys: it is wiped */
    unsigned line = 0;
    bool good = true;
    FILE *in = fopen(file, "r");

    *entries = NULL;
    if (in == NULL) {
        fprintf(stderr, "%s: %s: name a file that can be read\n", file, strerror(errno));
        return false;
    }
    setvbuf(in, buffer, _IOFBF, sizeof buffer);
    while (good && fgets(text, sizeof text, in) != NULL) {
        line++;
        if (strchr(text, '\n') == NULL && !feof(in))
            good = mistake(file, line, "the line is too long, or has a NUL: write at most 4094 octets of text");
        else
            good = add_line(entries, text, file, line);
    }
    if (good && ferror(in))
        good = mistake(file, line + 1, "the file can't be read on: look at the disk");
    fclose(in);
    explicit_bzero(buffer, sizeof buffer);
    explicit_bzero(text, sizeof text);
    if (good && users_first_tpk(*entries) == NULL)
        good = mistake(file, line, "no ticket protection key: add a line tpk ID HEX-KEY");
    if (!good) {
        users_free(*entries);
        *entries = NULL;
    }
    return good;
}

void users_free(struct entry *entries)
{
    while (entries != NULL) {
        struct entry *next = entries->next;
        explicit_bzero(entries->key, sizeof entries->key);
        free(entries);
        entries = next;
    }
}
