/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prints the ladder of messages from the table of steps, as it stands in README.md: a column for each role that makes
 * or takes something, a line for each message. Dashes are far apart where not every call has the message, and at the
 * right it says which calls do. What a KMS asks another one is left out.
 */
#include "flat.h"

#include <stdio.h>
#include <string.h>

/* The columns from left to right, as in figure 1 of RFC 6043. */
static const struct {
    enum mkt_role role;
    const char *name;
} roles[] = {{MKT_INITIATOR, "Initiator"}, {MKT_KMS, "KMS"}, {MKT_RESPONDER, "Responder"}};

enum { ROLES = sizeof roles / sizeof *roles, APART = 30, MARGIN = 4, LINE = MARGIN + APART * ROLES + 40 };

static struct step steps[MANY_STEPS];
static size_t n_steps;

/* ---- what the table says ---- */

static bool plays(enum mkt_role role)
{
    for (size_t i = 0; i < n_steps; i++)
        if (steps[i].role == role)
            return true;
    return false;
}

static bool of_update(const struct step *step)
{
    return mkt_state_find(step->role, step->state)->keys == MKT_ALL_KEYS;
}

/* Whether two steps are about one message, and both in a call or both in an update. */
static bool same_message(const struct step *a, const struct step *b)
{
    return a->message == b->message && of_update(a) == of_update(b);
}

/* The first step of another role that makes, or takes, the message of a step; or NULL. */
static const struct step *peer(const struct step *step, enum mkt_direction direction)
{
    for (const struct step *s = steps; s < steps + n_steps; s++)
        if (s->direction == direction && same_message(s, step) && s->role != step->role)
            return s;
    return NULL;
}

/* The first step of a role that makes the message of a step, or NULL. */
static const struct step *maker(enum mkt_role role, const struct step *step)
{
    for (const struct step *s = steps; s < steps + n_steps; s++)
        if (s->direction == MKT_MAKE && same_message(s, step) && s->role == role)
            return s;
    return NULL;
}

/* The first step by which the message that one role makes is made by the role that takes it, or NULL. */
static const struct step *way_back(const struct step *made, const struct step *taken)
{
    const struct step *other = maker(taken->role, made);
    return other != NULL && peer(other, MKT_TAKE) != NULL ? other : NULL;
}

/* Whether it is the first row with the message between two roles. */
static bool is_first(const struct step *made, const struct step *taken)
{
    const struct step *back = way_back(made, taken);
    return made == maker(made->role, made) && (back == NULL || made < back);
}

/* Whether nothing may come after the message of a step. */
static bool may_end(const struct step *step)
{
    for (const struct step *s = steps; s < steps + n_steps; s++)
        if (s->role == step->role && s->state == step->state && s->direction == step->direction &&
            s->message == step->message && s->outcome == MKT_DONE)
            return true;
    return false;
}

/* Whether a role that makes a message is, after the answer to it, where it was before. */
static bool comes_back(const struct step *made)
{
    for (const struct step *s = steps; s < steps + n_steps; s++)
        if (s->role == made->role && s->state == made->next && s->direction == MKT_TAKE && s->next == made->state)
            return true;
    return false;
}

/* Which calls have the message, or NULL if all do. */
static const char *which(const struct step *made)
{
    for (const struct step *s = steps; s < steps + n_steps; s++) {
        const struct step *init = peer(s, MKT_MAKE);
        if (s->role != made->role || s->direction != MKT_TAKE || s->next != made->state || s->outcome == MKT_DONE ||
            init == NULL)
            continue;
        if (s->outcome == MKT_RESOLVE)
            return "where a KMS must resolve the ticket";
        if (may_end(s))
            return of_update(s) ? "where the V flag is set" : "where the F flag is set";
        return which(init);
    }
    if (!comes_back(made))
        return NULL;
    return of_update(made) ? "CSB update, by either end; new keys need L or M" : "where the KMS makes the ticket";
}

/* ---- printing ---- */

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

/* With two heads where both ends make it. */
static void print_message(const struct step *made, const struct step *taken)
{
    char line[LINE];
    const size_t from = place(made->role), to = place(taken->role);
    const size_t left = (from < to ? from : to) + 2, right = (from < to ? to : from) - 2;
    const char *name = mkt_data_type_name((unsigned)made->message), *calls = which(made);
    const bool both = way_back(made, taken) != NULL;
    size_t end = 0;
    memset(line, ' ', sizeof line);
    for (size_t i = 0; i < ROLES; i++)
        if (plays(roles[i].role)) {
            line[place(roles[i].role)] = '|';
            end = place(roles[i].role);
        }
    const size_t at = left + (right - left + 1 - strlen(name)) / 2;
    for (size_t i = left; i <= right; i++)
        line[i] = calls == NULL || (i - left) % 2 == 1 ? '-' : ' ';
    if (both || to < from)
        line[left] = '<';
    if (both || from < to)
        line[right] = '>';
    write_at(line, at - 1, " ");
    write_at(line, at, name);
    write_at(line, at + strlen(name), " ");
    write_at(line, end + 4, calls == NULL ? "" : calls);
    print(line);
}

int main(void)
{
    n_steps = flatten(steps);
    print_names();
    for (const struct step *s = steps; s < steps + n_steps; s++) {
        const struct step *taken = peer(s, MKT_TAKE);
        if (s->direction == MKT_MAKE && taken != NULL && is_first(s, taken))
            print_message(s, taken);
    }
    return 0;
}
