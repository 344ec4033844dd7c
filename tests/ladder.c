/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prints the ladder of messages from the table of steps, as it stands in README.md: a column for each role that makes
 * or takes something, a line for each message. Dashes are far apart where only tickets with the F flag have the
 * message.
 */
#include "flow.h"

#include <stdio.h>
#include <string.h>

/* The columns from left to right, as in figure 1 of RFC 6043. */
static const struct {
    enum mkt_role role;
    const char *name;
} roles[] = {{MKT_INITIATOR, "Initiator"}, {MKT_KMS, "KMS"}, {MKT_RESPONDER, "Responder"}};

enum { ROLES = sizeof roles / sizeof *roles, APART = 32, MARGIN = 4, LINE = MARGIN + APART * ROLES + 40 };

static const struct mkt_step *steps;
static size_t n_steps;

static bool plays(enum mkt_role role)
{
    for (size_t i = 0; i < n_steps; i++)
        if (steps[i].role == role)
            return true;
    return false;
}

/* Where the lifeline of a role stands. */
static size_t place(enum mkt_role role)
{
    size_t at = MARGIN;
    for (size_t i = 0; i < ROLES && roles[i].role != role; i++)
        at += plays(roles[i].role) ? APART : 0;
    return at;
}

static void write_at(char line[LINE], size_t at, const char *words)
{
    memcpy(line + at, words, strlen(words));
}

static void print(const char line[LINE])
{
    size_t n = LINE;
    while (n > 0 && line[n - 1] == ' ')
        n--;
    printf("%.*s\n", (int)n, line);
}

static void print_names(void)
{
    char line[LINE];
    memset(line, ' ', sizeof line);
    for (size_t i = 0; i < ROLES; i++)
        if (plays(roles[i].role))
            write_at(line, place(roles[i].role) - strlen(roles[i].name) / 2, roles[i].name);
    print(line);
}

static void print_message(const struct mkt_step *made, const struct mkt_step *taken, bool always)
{
    char line[LINE];
    size_t from = place(made->role), to = place(taken->role);
    size_t left = (from < to ? from : to) + 2, right = (from < to ? to : from) - 2, end = 0;
    const char *name = mkt_data_type_name((unsigned)made->message);
    memset(line, ' ', sizeof line);
    for (size_t i = 0; i < ROLES; i++)
        if (plays(roles[i].role)) {
            line[place(roles[i].role)] = '|';
            end = place(roles[i].role);
        }
    for (size_t i = left; i <= right; i++)
        line[i] = always || (i - left) % 2 == 1 ? '-' : ' ';
    line[from < to ? right : left] = from < to ? '>' : '<';
    size_t at = left + (right - left + 1 - strlen(name)) / 2;
    write_at(line, at - 1, " ");
    write_at(line, at, name);
    write_at(line, at + strlen(name), " ");
    if (!always)
        write_at(line, end + 4, "where the F flag is set");
    print(line);
}

/* The first step with that message in that direction by another role, or NULL. */
static const struct mkt_step *taker(const struct mkt_step *made)
{
    for (const struct mkt_step *s = steps; s < steps + n_steps; s++)
        if (s->direction == MKT_TAKE && s->message == made->message && s->role != made->role)
            return s;
    return NULL;
}

/* Whether the same role makes the same message in an earlier row. */
static bool printed(const struct mkt_step *made)
{
    for (const struct mkt_step *s = steps; s < made; s++)
        if (s->direction == MKT_MAKE && s->message == made->message && s->role == made->role)
            return true;
    return false;
}

/* Whether the message is made without the F flag too. */
static bool without_f(const struct mkt_step *made)
{
    for (const struct mkt_step *s = steps; s < steps + n_steps; s++)
        if (s->direction == MKT_MAKE && s->message == made->message && s->role == made->role && s->f == 0)
            return true;
    return false;
}

int main(void)
{
    steps = mkt_steps(&n_steps);
    print_names();
    for (const struct mkt_step *s = steps; s < steps + n_steps; s++) {
        const struct mkt_step *taken = taker(s);
        if (s->direction == MKT_MAKE && !printed(s) && taken != NULL)
            print_message(s, taken, without_f(s));
    }
    return 0;
}
