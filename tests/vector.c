/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* asprintf */

#include "vector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static struct kept {
    struct kept *next;
    uint8_t *octets;
} * kept;

static uint8_t *block(size_t n)
{
    struct kept *k = malloc(sizeof *k);
    if (k == NULL || (k->octets = malloc(n > 0 ? n : 1)) == NULL)
        ck_abort_msg("no memory");
    k->next = kept;
    kept = k;
    return k->octets;
}

void free_all(void)
{
    while (kept != NULL) {
        struct kept *k = kept;
        kept = k->next;
        free(k->octets);
        free(k);
    }
}

static unsigned digit(char c)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, tolower((unsigned char)c));
    if (c == '\0' || at == NULL)
        ck_abort_msg("'%c' is no hex digit", c);
    return (unsigned)(at - digits);
}

struct mkt_span from_hex(const char *hex)
{
    size_t n = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    uint8_t *p = block(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return (struct mkt_span){p, n};
}

struct mkt_span exact(struct mkt_span octets)
{
    uint8_t *p = block(octets.n);
    if (octets.n > 0)
        memcpy(p, octets.p, octets.n);
    return (struct mkt_span){p, octets.n};
}

/* The section that was read from last: what fails is most likely about it. */
static const struct section *section;

/* Its name, and that of the case which it is. */
static const char *where(void)
{
    static char words[256];
    const char *name = "";
    for (size_t i = 0; section != NULL && i < section->n; i++)
        if (strcmp(section->field[i].name, "name") == 0)
            name = section->field[i].value;
    snprintf(words, sizeof words, "%s%s%s", section == NULL ? "" : section->name, name[0] == '\0' ? "" : " ", name);
    return words;
}

/* Of an assertion that holds Check writes to a file where it is; these are millions, and say only what is wrong. */
void expect_octets(const char *name, struct mkt_span got, struct mkt_span want)
{
    for (size_t i = 0; i < got.n && i < want.n; i++)
        if (got.p[i] != want.p[i])
            ck_abort_msg("%s %s: octet %zu is %02x, not %02x", where(), name, i, got.p[i], want.p[i]);
    if (got.n != want.n)
        ck_abort_msg("%s %s: %zu octets, not %zu", where(), name, got.n, want.n);
}

void expect_err(const char *name, enum mkt_err got, enum mkt_err want)
{
    if (got != want)
        ck_abort_msg("%s %s: %s, not %s", where(), name, mkt_err_name(got), mkt_err_name(want));
}

enum mkt_err taken(enum mkt_err err)
{
    return mkt_err_class(err) == MKT_CLASS_REPORTED ? MKT_OK : err;
}

static void *more(void *list, size_t n, size_t size)
{
    void *p = realloc(list, (n + 1) * size);
    ck_assert_ptr_nonnull(p);
    return p;
}

struct vectors vectors_read(const char *file)
{
    struct vectors v = {NULL, 0};
    char *line = NULL, *path = NULL;
    size_t cap = 0;
    const char *dir = getenv("VECTORS");
    ck_assert_int_gt(asprintf(&path, "%s/%s", dir == NULL ? "tests/vectors" : dir, file), 0);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "can't open %s", path);
    while (getline(&line, &cap, f) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        char *equals = strstr(line, " = ");
        if (line[0] == '[') {
            v.section = more(v.section, v.n, sizeof *v.section);
            v.section[v.n++] = (struct section){strndup(line + 1, strcspn(line, "]") - 1), NULL, 0};
        } else if (line[0] != '#' && equals != NULL) {
            ck_assert_msg(v.n > 0, "%s: a field before the first section", path);
            struct section *s = &v.section[v.n - 1];
            s->field = more(s->field, s->n, sizeof *s->field);
            s->field[s->n++] = (struct field){strndup(line, (size_t)(equals - line)), strdup(equals + 3), false};
        }
    }
    ck_assert_msg(v.n > 0, "%s has no section", path);
    fclose(f);
    free(line);
    free(path);
    return v;
}

void vectors_free(struct vectors *v)
{
    for (size_t i = 0; i < v->n; i++) {
        for (size_t j = 0; j < v->section[i].n; j++) {
            free(v->section[i].field[j].name);
            free(v->section[i].field[j].value);
        }
        free(v->section[i].field);
        free(v->section[i].name);
    }
    free(v->section);
    section = NULL;
    *v = (struct vectors){NULL, 0};
}

const char *value_of(const struct section *s, const char *name)
{
    section = s;
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->field[i].name, name) != 0)
            continue;
        s->field[i].read = true;
        return s->field[i].value;
    }
    return NULL;
}

const char *text_of(const struct section *s, const char *name)
{
    const char *value = value_of(s, name);
    ck_assert_msg(value != NULL, "[%s] has no %s", s->name, name);
    return value;
}

struct mkt_span octets_of(const struct section *s, const char *name)
{
    return from_hex(text_of(s, name));
}

unsigned long number_of(const struct section *s, const char *name)
{
    return strtoul(text_of(s, name), NULL, 10);
}

int run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* sanitizers, and marks of fields read, want one process */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    free_all();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
