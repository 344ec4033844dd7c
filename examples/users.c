/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* strtok_r, explicit_bzero, getentropy */

#include "users.h"

#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A mistake in a line: where, what, and what to do. */
static bool mistake(const char *file, unsigned line, const char *text)
{
    fprintf(stderr, "%s:%u: %s\n", file, line, text);
    return false;
}

/* ---- the tables ---- */

/* FNV-1a, which is fine for words that nobody but the operator writes. */
static size_t hash_of(uint64_t hash, struct mkt_span word)
{
    for (size_t i = 0; i < word.n; i++)
        hash = (hash ^ word.p[i]) * 0x100000001b3;
    return (size_t)(hash ^ hash >> 32);
}

static size_t bucket_of(const struct users *users, struct mkt_span word)
{
    return hash_of(0xcbf29ce484222325, word) & (users->n_buckets - 1);
}

static struct entry *find_named(const struct users *users, bool tpk, struct mkt_span id)
{
    struct entry *entry = users->named[bucket_of(users, id)];
    while (entry != NULL && (entry->tpk != tpk || !mkt_span_equal(mkt_span_text(entry->id), id)))
        entry = entry->next_named;
    return entry;
}

const struct entry *users_psk(const struct users *users, const struct mkt_id *psk_id)
{
    return find_named(users, false, psk_id->data);
}

const struct entry *users_tpk(const struct users *users, const struct mkt_id *tpk_id)
{
    return find_named(users, true, tpk_id->data);
}

bool users_is(const struct entry *entry, const struct mkt_id *identity)
{
    const struct mkt_id id = mkt_id_uri(entry->identity != NULL ? entry->identity : "");
    return mkt_id_equal(&id, identity);
}

const struct entry *users_user(const struct users *users, const struct mkt_id *identity)
{
    const struct entry *entry = users->identified[bucket_of(users, identity->data)];
    while (entry != NULL && !users_is(entry, identity))
        entry = entry->next_identified;
    return entry;
}

/* The seed is a secret, so that nobody can choose an identity that has the number of somebody else. */
size_t users_number(const struct users *users, const struct mkt_id *identity)
{
    const struct entry *entry = users_user(users, identity);
    return entry != NULL ? entry->number : users->n_users + hash_of(users->seed, identity->data) % N_STRANGERS;
}

static bool doubled(const char *file, const struct entry *entry, const struct entry *before, const char *what,
                    const char *to_do)
{
    fprintf(stderr, "%s:%u: line %u has that %s, too: %s\n", file, entry->line, before->line, what, to_do);
    return false;
}

static bool insert(struct users *users, struct entry *entry, const char *file)
{
    const struct mkt_span id = mkt_span_text(entry->id);
    const struct entry *before = find_named(users, entry->tpk, id);
    if (before != NULL)
        return doubled(file, entry, before, "ID", "give each key an ID of its own");
    struct entry **bucket = &users->named[bucket_of(users, id)];
    entry->next_named = *bucket;
    *bucket = entry;
    if (entry->tpk)
        return true;
    const struct mkt_id identity = mkt_id_uri(entry->identity);
    before = users_user(users, &identity);
    if (before != NULL)
        return doubled(file, entry, before, "identity", "give each user one line");
    bucket = &users->identified[bucket_of(users, identity.data)];
    entry->next_identified = *bucket;
    *bucket = entry;
    entry->number = users->n_users++;
    return true;
}

/* Makes the tables of all entries, with a bucket for each at least. */
static bool make_tables(struct users *users, const char *file)
{
    users->n_buckets = 1;
    while (users->n_buckets < users->n)
        users->n_buckets *= 2;
    users->named = calloc(users->n_buckets, sizeof(struct entry *));
    users->identified = calloc(users->n_buckets, sizeof(struct entry *));
    if (users->named == NULL || users->identified == NULL)
        return mistake(file, 0, "no memory: stop other programs");
    for (struct entry *entry = users->first; entry != NULL; entry = entry->next)
        if (!insert(users, entry, file))
            return false;
    return true;
}

/* ---- the file ---- */

enum mkt_err users_key(const struct entry *entry, struct mkt_buf *key)
{
    if (key->cap - key->n < entry->key_n)
        return MKT_E_BUFFER;
    memcpy(key->p + key->n, entry->key, entry->key_n);
    key->n += entry->key_n;
    return MKT_OK;
}

/* Reads the words of a line into an entry. */
static bool read_line(struct entry *entry, const struct users *users, const char *file)
{
    const unsigned line = entry->line;
    char *rest = NULL, *word[4 + MAX_GROUPS];
    size_t n = 0;

    for (char *w = strtok_r(entry->text, " \t\r\n", &rest); w != NULL && *w != '#';
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

    if (!user && n == 4 && users->first_tpk == NULL)
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
static bool add_line(struct users *users, const char *text, const char *file, unsigned line)
{
    size_t n = strlen(text) + 1;
    struct entry *entry = calloc(1, sizeof *entry + n);
    if (entry == NULL)
        return mistake(file, line, "no memory: stop other programs");
    memcpy(entry->text, text, n);
    entry->line = line;
    bool good = read_line(entry, users, file);
    if (!good || entry->id == NULL) {
        explicit_bzero(entry, sizeof *entry + n);
        free(entry);
        return good;
    }
    if (users->last != NULL)
        users->last->next = entry;
    else
        users->first = entry;
    users->last = entry;
    users->n++;
    if (entry->tpk && users->first_tpk == NULL)
        users->first_tpk = entry;
    return true;
}

bool users_read(struct users *users, const char *file)
{
    char buffer[4096], text[MAX_LINE]; /* a buffer of our own, as it has keys: it is wiped */
    unsigned line = 0;
    bool good = true;
    FILE *in = fopen(file, "r");

    *users = (struct users){.first = NULL};
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
            good = add_line(users, text, file, line);
    }
    if (good && ferror(in))
        good = mistake(file, line + 1, "the file can't be read on: look at the disk");
    fclose(in);
    explicit_bzero(buffer, sizeof buffer);
    explicit_bzero(text, sizeof text);
    if (good && users->first_tpk == NULL)
        good = mistake(file, line, "no ticket protection key: add a line tpk ID HEX-KEY");
    good = good && make_tables(users, file);
    if (good && getentropy(&users->seed, sizeof users->seed) != 0)
        good = mistake(file, 0, "no random octets: look at the system");
    if (!good)
        users_free(users);
    return good;
}

void users_free(struct users *users)
{
    while (users->first != NULL) {
        struct entry *next = users->first->next;
        explicit_bzero(users->first->key, sizeof users->first->key);
        free(users->first);
        users->first = next;
    }
    free(users->named);
    free(users->identified);
    *users = (struct users){.first = NULL};
}
