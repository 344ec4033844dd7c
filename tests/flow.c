/* SPDX-License-Identifier: BSD-3-Clause */
/* flow: the tables are a protocol: what each message carries, who may make or take it when, what each state means. */
#include "vector.h"

#include "flat.h"

#include <string.h>

enum { ROLES = MKT_KMS + 1, OUTCOMES = MKT_RESOLVE + 1 };

static struct step steps[MANY_STEPS];
static size_t n_steps;

static void load(void)
{
    n_steps = flatten(steps);
}

/* A row is of both variants, by the name of the one with a pre-shared key. */
static unsigned either_variant(unsigned message)
{
    return message == MKT_REQUEST_INIT_PK   ? MKT_REQUEST_INIT_PSK
           : message == MKT_RESOLVE_INIT_PK ? MKT_RESOLVE_INIT_PSK
                                            : message;
}

static bool is_for(const struct step *step, enum mkt_role role, enum mkt_state state, enum mkt_direction direction,
                   unsigned message)
{
    return step->role == role && step->state == state && step->direction == direction &&
           (unsigned)step->message == either_variant(message);
}

/* As lib/csb.c has it. */
static bool of_update(const struct step *step)
{
    return mkt_state_find(step->role, step->state)->keys == MKT_ALL_KEYS;
}

static bool is_init(const struct step *step)
{
    return step->message == MKT_REQUEST_INIT_PSK || step->message == MKT_TRANSFER_INIT ||
           step->message == MKT_RESOLVE_INIT_PSK;
}

/* ---- modes: who sends what to whom, RFC 6043 figures 1, 3 and 9 ---- */

enum party { I, R, KMS, ISSUER, PARTIES, NOBODY };
static const enum mkt_role role_of[PARTIES] = {MKT_INITIATOR, MKT_RESPONDER, MKT_KMS, MKT_KMS};

enum { LEGS = 10 };
enum leg {
    END,
    REQUEST,
    GRANT,
    OFFER,
    OFFER_ONLY,
    OFFER_SEALED,
    OFFER_SEALED_ONLY,
    RESOLVE,
    RESOLVE_LOST,
    RESOLVE_ELSEWHERE,
    PASS_ON,
    PASS_ON_LOST,
    PASS_BACK,
    RESOLVED,
    RESOLVED_ONLY,
    ANSWER,
    I_UPDATE,
    I_UPDATE_ONLY,
    R_ANSWER,
    R_UPDATE,
    R_UPDATE_ONLY,
    I_ANSWER
};

/* One message from one party to another: what that means to each, and where each is then. */
static const struct {
    enum mkt_data_type message;
    struct end {
        enum party party;
        enum mkt_outcome outcome;
        enum mkt_state next;
    } from, to;
} legs[] = {
    [REQUEST] = {MKT_REQUEST_INIT_PSK, {I, MKT_ANSWER, MKT_MADE_REQUEST}, {KMS, MKT_ANSWER, MKT_TOOK_REQUEST}},
    [GRANT] = {MKT_REQUEST_RESP, {KMS, MKT_DONE, MKT_FRESH}, {I, MKT_DONE, MKT_FRESH}},

    /* with F, and without; a ticket that the Responder opens, and one that it can't */
    [OFFER] = {MKT_TRANSFER_INIT, {I, MKT_ANSWER, MKT_MADE_TRANSFER}, {R, MKT_ANSWER, MKT_TOOK_TRANSFER}},
    [OFFER_ONLY] = {MKT_TRANSFER_INIT, {I, MKT_DONE, MKT_KEYED}, {R, MKT_DONE, MKT_KEYED}},
    [OFFER_SEALED] = {MKT_TRANSFER_INIT, {I, MKT_ANSWER, MKT_MADE_TRANSFER}, {R, MKT_RESOLVE, MKT_SUSPENDED}},
    [OFFER_SEALED_ONLY] = {MKT_TRANSFER_INIT, {I, MKT_DONE, MKT_KEYED}, {R, MKT_RESOLVE, MKT_SUSPENDED}},

    [RESOLVE] = {MKT_RESOLVE_INIT_PSK, {R, MKT_ANSWER, MKT_MADE_RESOLVE}, {KMS, MKT_ANSWER, MKT_TOOK_RESOLVE}},
    [RESOLVE_LOST] = {MKT_RESOLVE_INIT_PSK, {R, MKT_ANSWER, MKT_MADE_RESOLVE}, {.party = NOBODY}},
    [RESOLVE_ELSEWHERE] = {MKT_RESOLVE_INIT_PSK, {R, MKT_ANSWER, MKT_MADE_RESOLVE}, {KMS, MKT_RESOLVE, MKT_SUSPENDED}},
    [PASS_ON] = {MKT_RESOLVE_INIT_PSK, {KMS, MKT_ANSWER, MKT_MADE_RESOLVE}, {ISSUER, MKT_ANSWER, MKT_TOOK_RESOLVE}},
    [PASS_ON_LOST] = {MKT_RESOLVE_INIT_PSK, {KMS, MKT_ANSWER, MKT_MADE_RESOLVE}, {.party = NOBODY}},
    [PASS_BACK] = {MKT_RESOLVE_RESP, {ISSUER, MKT_DONE, MKT_FRESH}, {KMS, MKT_ANSWER, MKT_TOOK_RESOLVE}},
    [RESOLVED] = {MKT_RESOLVE_RESP, {KMS, MKT_DONE, MKT_FRESH}, {R, MKT_ANSWER, MKT_TOOK_TRANSFER}},
    [RESOLVED_ONLY] = {MKT_RESOLVE_RESP, {KMS, MKT_DONE, MKT_FRESH}, {R, MKT_DONE, MKT_KEYED}},

    [ANSWER] = {MKT_TRANSFER_RESP, {R, MKT_DONE, MKT_KEYED}, {I, MKT_DONE, MKT_KEYED}},

    /* CSB updating, 5.2: with V, and without */
    [I_UPDATE] = {MKT_TRANSFER_INIT, {I, MKT_ANSWER, MKT_MADE_UPDATE}, {R, MKT_ANSWER, MKT_TOOK_UPDATE}},
    [I_UPDATE_ONLY] = {MKT_TRANSFER_INIT, {I, MKT_DONE, MKT_KEYED}, {R, MKT_DONE, MKT_KEYED}},
    [R_ANSWER] = {MKT_TRANSFER_RESP, {R, MKT_DONE, MKT_KEYED}, {I, MKT_DONE, MKT_KEYED}},
    [R_UPDATE] = {MKT_TRANSFER_INIT, {R, MKT_ANSWER, MKT_MADE_UPDATE}, {I, MKT_ANSWER, MKT_TOOK_UPDATE}},
    [R_UPDATE_ONLY] = {MKT_TRANSFER_INIT, {R, MKT_DONE, MKT_KEYED}, {I, MKT_DONE, MKT_KEYED}},
    [I_ANSWER] = {MKT_TRANSFER_RESP, {I, MKT_DONE, MKT_KEYED}, {R, MKT_DONE, MKT_KEYED}},
};

static const struct path {
    const char *name;
    enum leg leg[LEGS];
} paths[] = {
    /* 4.1.1; 4.2.2.2: "If the F flag in the Ticket Policy is set, the Responder MUST send a TRANSFER_RESP message." */
    {"mode 1", {REQUEST, GRANT, OFFER_SEALED, RESOLVE, RESOLVED, ANSWER}},
    {"mode 1 without F", {REQUEST, GRANT, OFFER_SEALED_ONLY, RESOLVE, RESOLVED_ONLY}},
    {"mode 2", {REQUEST, GRANT, OFFER, ANSWER}},
    {"mode 2 without F", {REQUEST, GRANT, OFFER_ONLY}},
    {"mode 3", {OFFER_SEALED, RESOLVE, RESOLVED, ANSWER}},
    {"mode 3 without F", {OFFER_SEALED_ONLY, RESOLVE, RESOLVED_ONLY}},
    {"mode 4", {OFFER, ANSWER}},
    {"mode 4 without F", {OFFER_ONLY}},
    /* 4.2.1.6: "MAY send a new REQUEST_INIT message suggesting a different Ticket Policy than before" */
    {"another ticket", {REQUEST, GRANT, REQUEST, GRANT, OFFER, ANSWER}},
    {"RESOLVE_INIT again", {OFFER_SEALED, RESOLVE_LOST, RESOLVE, RESOLVED, ANSWER}},
    /* section 10 */
    {"two KMSs", {OFFER_SEALED, RESOLVE_ELSEWHERE, PASS_ON, PASS_BACK, RESOLVED, ANSWER}},
    {"two KMSs without F", {OFFER_SEALED_ONLY, RESOLVE_ELSEWHERE, PASS_ON, PASS_BACK, RESOLVED_ONLY}},
    {"two KMSs, again", {OFFER_SEALED, RESOLVE_ELSEWHERE, PASS_ON_LOST, PASS_ON, PASS_BACK, RESOLVED, ANSWER}},
    /* 5.2: "started by the Initiator", "also be started by the Responder" */
    {"updates by the Initiator", {OFFER, ANSWER, I_UPDATE, R_ANSWER, I_UPDATE_ONLY, I_UPDATE, R_ANSWER}},
    {"updates by the Responder", {OFFER, ANSWER, R_UPDATE, I_ANSWER, R_UPDATE_ONLY, R_UPDATE, I_ANSWER}},
    {"updates without F", {OFFER_ONLY, I_UPDATE, R_ANSWER, R_UPDATE, I_ANSWER, R_UPDATE_ONLY, I_UPDATE_ONLY}},
};
enum { PATHS = sizeof paths / sizeof *paths };

/* One end of a leg; its row counts as walked. */
static void walk_end(const char *path, const struct end *end, enum mkt_direction direction, enum mkt_data_type message,
                     enum mkt_state at[PARTIES], bool walked[])
{
    if (end->party == NOBODY)
        return;
    const enum mkt_role role = role_of[end->party];
    const enum mkt_state state = at[end->party];
    const char *name = mkt_data_type_name((unsigned)message);
    const struct mkt_step *step = mkt_step_find(role, state, direction, (unsigned)message);
    size_t row = 0;
    while (row < n_steps &&
           !(is_for(&steps[row], role, state, direction, (unsigned)message) && steps[row].outcome == end->outcome))
        row++;
    ck_assert_msg(step != NULL && row < n_steps, "%s: no row for %s, role %u, state %u", path, name, role, state);
    ck_assert_msg(step->next[end->outcome] == end->next, "%s: %s, role %u, state %u", path, name, role, state);
    at[end->party] = end->next;
    walked[row] = true;
}

static void walk(const struct path *path, bool walked[])
{
    enum mkt_state at[PARTIES] = {MKT_FRESH, MKT_FRESH, MKT_FRESH, MKT_FRESH};
    for (const enum leg *leg = path->leg; *leg != END; leg++) {
        walk_end(path->name, &legs[*leg].from, MKT_MAKE, legs[*leg].message, at, walked);
        walk_end(path->name, &legs[*leg].to, MKT_TAKE, legs[*leg].message, at, walked);
    }
    ck_assert_msg(at[I] == MKT_KEYED && at[R] == MKT_KEYED, "%s does not end with keys", path->name);
    ck_assert_msg(at[KMS] == MKT_FRESH && at[ISSUER] == MKT_FRESH, "%s leaves a KMS behind", path->name);
}

START_TEST(each_mode_leads_from_fresh_to_keyed)
{
    bool walked[MANY_STEPS] = {false};
    walk(&paths[_i], walked);
}
END_TEST

START_TEST(there_is_no_step_beside_the_modes)
{
    bool walked[MANY_STEPS] = {false};
    ck_assert_uint_lt(n_steps, MANY_STEPS);
    for (size_t p = 0; p < PATHS; p++)
        walk(&paths[p], walked);
    for (size_t i = 0; i < n_steps; i++)
        ck_assert_msg(walked[i], "row %zu: %s", i, mkt_data_type_name((unsigned)steps[i].message));
}
END_TEST

/* ---- steps ---- */

static bool same_place(const struct step *a, const struct step *b)
{
    return is_for(a, b->role, b->state, b->direction, (unsigned)b->message);
}

START_TEST(for_each_role_state_direction_and_message_there_is_one_row)
{
    for (size_t a = 0; a < n_steps; a++) {
        ck_assert_uint_lt((unsigned)steps[a].next, MKT_STATES);
        for (size_t b = a + 1; b < n_steps; b++) {
            if (!same_place(&steps[a], &steps[b]))
                continue;
            ck_assert_msg(steps[a].row == steps[b].row, "steps %zu and %zu have two rows", a, b);
            ck_assert_msg(steps[a].outcome != steps[b].outcome, "steps %zu and %zu are one", a, b);
        }
    }
}
END_TEST

/* What is done with a message, whatever the role. */
static const struct mkt_acts *acts_of(const struct step *step)
{
    return mkt_acts_of(step->message, of_update(step));
}

START_TEST(acts_are_of_one_message_in_calls_or_updates)
{
    for (size_t a = 0; a < n_steps; a++)
        for (size_t b = a + 1; b < n_steps; b++) {
            const bool same = steps[a].message == steps[b].message && of_update(&steps[a]) == of_update(&steps[b]);
            const struct mkt_acts *of_a = acts_of(&steps[a]), *of_b = acts_of(&steps[b]);
            ck_assert_msg((of_a == of_b) == same, "rows %zu and %zu", a, b);
            ck_assert_msg((of_a->make == of_b->make) == same, "rows %zu and %zu", a, b);
        }
}
END_TEST

/* Of an update it is the other end, of Ticket Resolve it may be another KMS. */
START_TEST(what_one_party_makes_another_takes)
{
    for (size_t a = 0; a < n_steps; a++) {
        size_t others = 0;
        for (size_t b = 0; b < n_steps; b++)
            others += steps[b].message == steps[a].message && steps[b].direction != steps[a].direction &&
                      of_update(&steps[b]) == of_update(&steps[a]) &&
                      (steps[b].role != steps[a].role || steps[a].role == MKT_KMS);
        ck_assert_msg(others > 0, "row %zu: %s has one end alone", a, mkt_data_type_name((unsigned)steps[a].message));
    }
}
END_TEST

/* The MAC comes before all that needs to know who sent the message: so each act is there to be called by
 * mkt_take(). */
START_TEST(what_is_made_and_taken_has_all_acts)
{
    for (size_t i = 0; i < n_steps; i++) {
        const struct mkt_acts *acts = acts_of(&steps[i]);
        ck_assert_msg(acts != NULL && acts->make != NULL && acts->refuse != NULL && acts->find_key != NULL &&
                          acts->authorise != NULL && acts->accept != NULL,
                      "row %zu", i);
    }
    ck_assert_ptr_null(mkt_acts_of(MKT_ERROR, false));
    ck_assert_ptr_null(mkt_acts_of(MKT_PSK, false));
}
END_TEST

/* Error messages lead nowhere, and other ones are of exchanges that this library does not have. */
START_TEST(messages_are_those_of_the_three_exchanges_with_a_psk)
{
    for (size_t i = 0; i < n_steps; i++)
        ck_assert(is_init(&steps[i]) || steps[i].message == MKT_REQUEST_RESP || steps[i].message == MKT_TRANSFER_RESP ||
                  steps[i].message == MKT_RESOLVE_RESP);
}
END_TEST

START_TEST(an_outcome_says_what_comes_next)
{
    for (size_t i = 0; i < n_steps; i++) {
        const struct step *s = &steps[i];
        bool waits = mkt_step_find(s->role, s->next, MKT_TAKE, MKT_REQUEST_RESP) != NULL ||
                     mkt_step_find(s->role, s->next, MKT_TAKE, MKT_TRANSFER_RESP) != NULL ||
                     mkt_step_find(s->role, s->next, MKT_TAKE, MKT_RESOLVE_RESP) != NULL;
        bool owes = mkt_step_find(s->role, s->next, MKT_MAKE, MKT_REQUEST_RESP) != NULL ||
                    mkt_step_find(s->role, s->next, MKT_MAKE, MKT_TRANSFER_RESP) != NULL ||
                    mkt_step_find(s->role, s->next, MKT_MAKE, MKT_RESOLVE_RESP) != NULL;
        bool resolves = mkt_step_find(s->role, s->next, MKT_MAKE, MKT_RESOLVE_INIT_PSK) != NULL;
        ck_assert_msg(waits == (s->outcome == MKT_ANSWER && s->direction == MKT_MAKE), "row %zu", i);
        ck_assert_msg(owes == (s->outcome == MKT_ANSWER && s->direction == MKT_TAKE), "row %zu", i);
        /* may be made again until an answer comes */
        const bool made = s->message == MKT_RESOLVE_INIT_PSK && s->direction == MKT_MAKE;
        ck_assert_msg(resolves == (s->outcome == MKT_RESOLVE || made), "row %zu", i);
        ck_assert_msg(s->outcome != MKT_DONE || s->next == MKT_FRESH || s->next == MKT_KEYED, "row %zu", i);
    }
}
END_TEST

/* 4.2.1.1, 4.2.3.1: "a response is MANDATORY"; 6.10, 5.2: of a TRANSFER_INIT F says whether, of an update the V flag */
START_TEST(none_but_a_transfer_init_goes_without_answer)
{
    for (size_t a = 0; a < n_steps; a++) {
        bool outcome[OUTCOMES] = {false};
        for (size_t b = 0; b < n_steps; b++)
            if (same_place(&steps[a], &steps[b]))
                outcome[steps[b].outcome] = true;
        if (is_init(&steps[a])) {
            ck_assert_msg(outcome[MKT_ANSWER], "row %zu", a);
            ck_assert_msg(outcome[MKT_DONE] == (steps[a].message == MKT_TRANSFER_INIT), "row %zu", a);
        }
    }
}
END_TEST

START_TEST(a_kms_is_fresh_after_each_answer)
{
    size_t answers = 0;
    for (size_t i = 0; i < n_steps; i++) {
        if (steps[i].role != MKT_KMS)
            continue;
        const bool answer = steps[i].direction == MKT_MAKE && !is_init(&steps[i]);
        ck_assert_msg((steps[i].next == MKT_FRESH) == answer, "row %zu", i);
        ck_assert_msg((steps[i].outcome == MKT_DONE) == answer, "row %zu", i);
        answers += answer;
    }
    ck_assert_uint_eq(answers, 2);
}
END_TEST

/* All that there is, and nothing else. */
START_TEST(a_step_is_found_where_a_row_has_it)
{
    size_t found = 0;
    for (unsigned r = 0; r < ROLES; r++)
        for (unsigned s = 0; s < MKT_STATES; s++) {
            bool takes_any = false;
            for (unsigned d = MKT_MAKE; d <= MKT_TAKE; d++)
                for (unsigned m = 0; m < 256; m++) {
                    const struct mkt_step *step =
                        mkt_step_find((enum mkt_role)r, (enum mkt_state)s, (enum mkt_direction)d, m);
                    size_t first = 0;
                    while (first < n_steps &&
                           !is_for(&steps[first], (enum mkt_role)r, (enum mkt_state)s, (enum mkt_direction)d, m))
                        first++;
                    ck_assert_msg(step == (first < n_steps ? steps[first].row : NULL), "role %u, state %u, message %u",
                                  r, s, m);
                    takes_any |= step != NULL && d == MKT_TAKE;
                    found += step != NULL;
                }
            const struct mkt_step *any = mkt_step_find((enum mkt_role)r, (enum mkt_state)s, MKT_TAKE, MKT_ANY_MESSAGE);
            ck_assert_int_eq(any != NULL, takes_any);
        }
    ck_assert_uint_gt(found, 0);
}
END_TEST

START_TEST(each_row_is_of_a_role_and_has_an_outcome)
{
    for (size_t r = 0; r < mkt_n_steps; r++) {
        size_t n = 0;
        for (size_t i = 0; i < n_steps; i++)
            n += steps[i].row == &mkt_steps[r];
        ck_assert_msg(n > 0, "row %zu", r);
        ck_assert_msg(mkt_steps[r].roles >> ROLES == 0, "row %zu", r);
    }
}
END_TEST

/* ---- states ---- */

enum { NEVER = MKT_STATES };

/* Where each role goes back to when it gives up in a state; in which it never is. Keys of a call stay, and a Responder
   that hears nothing from the KMS may ask again. */
static const struct {
    enum mkt_state state;
    unsigned initiator, responder, kms;
} abandoned[MKT_STATES] = {
    {MKT_FRESH, MKT_FRESH, MKT_FRESH, MKT_FRESH},   {MKT_MADE_REQUEST, MKT_FRESH, NEVER, NEVER},
    {MKT_TOOK_REQUEST, NEVER, NEVER, MKT_FRESH},    {MKT_MADE_TRANSFER, MKT_MADE_TRANSFER, NEVER, NEVER},
    {MKT_SUSPENDED, NEVER, MKT_FRESH, MKT_FRESH},   {MKT_MADE_RESOLVE, NEVER, MKT_SUSPENDED, MKT_FRESH},
    {MKT_TOOK_RESOLVE, NEVER, NEVER, MKT_FRESH},    {MKT_TOOK_TRANSFER, NEVER, MKT_TOOK_TRANSFER, NEVER},
    {MKT_KEYED, MKT_KEYED, MKT_KEYED, NEVER},       {MKT_MADE_UPDATE, MKT_KEYED, MKT_KEYED, NEVER},
    {MKT_TOOK_UPDATE, MKT_KEYED, MKT_KEYED, NEVER},
};

static unsigned goes_back_to(unsigned role, unsigned state)
{
    const unsigned to[ROLES] = {
        [MKT_INITIATOR] = abandoned[state].initiator,
        [MKT_RESPONDER] = abandoned[state].responder,
        [MKT_KMS] = abandoned[state].kms,
    };
    ck_assert_uint_eq((unsigned)abandoned[state].state, state);
    return to[role];
}

START_TEST(who_gives_up_goes_back)
{
    for (unsigned r = 0; r < ROLES; r++)
        for (unsigned s = 0; s < MKT_STATES; s++) {
            const unsigned to = goes_back_to(r, s);
            const struct mkt_state_row *row = mkt_state_find((enum mkt_role)r, (enum mkt_state)s);
            ck_assert_msg((row != NULL) == (to != NEVER), "role %u, state %u", r, s);
            ck_assert_msg(row == NULL || row->abandoned == to, "role %u, state %u", r, s);
        }
}
END_TEST

START_TEST(a_call_is_what_is_not_given_up)
{
    for (unsigned r = 0; r < ROLES; r++)
        for (unsigned s = 0; s < MKT_STATES; s++) {
            const unsigned to = goes_back_to(r, s);
            const bool stays = to == MKT_MADE_TRANSFER || to == MKT_TOOK_TRANSFER || to == MKT_KEYED;
            const struct mkt_state_row *row = mkt_state_find((enum mkt_role)r, (enum mkt_state)s);
            if (to == NEVER)
                continue;
            ck_assert_msg((row->keys != MKT_NO_KEYS) == stays, "role %u, state %u", r, s);
            ck_assert_msg((row->keys == MKT_ALL_KEYS) == (to == MKT_KEYED), "role %u, state %u", r, s);
        }
}
END_TEST

/* It is the message that began the exchange; a RESOLVE_INIT that a party makes is about the one that it keeps. */
START_TEST(the_initial_message_is_kept_until_the_exchange_ends)
{
    for (size_t i = 0; i < n_steps; i++) {
        const struct step *s = &steps[i];
        const struct mkt_state_row *before = mkt_state_find(s->role, s->state);
        const struct mkt_state_row *after = mkt_state_find(s->role, s->next);
        const bool begins = is_init(s) && (s->message != MKT_RESOLVE_INIT_PSK || s->direction == MKT_TAKE);
        enum mkt_data_type want = begins ? s->message : before->kept;
        if (s->next == MKT_FRESH || s->next == MKT_KEYED)
            want = MKT_PSK;
        ck_assert_msg(after->kept == want, "row %zu: %u is kept", i, after->kept);
    }
}
END_TEST

/* Somebody waits also while a KMS is asked. */
START_TEST(an_answer_is_owed_where_one_is_made)
{
    for (unsigned s = 0; s < MKT_STATES; s++) {
        bool makes = s == MKT_SUSPENDED || s == MKT_MADE_RESOLVE;
        for (size_t i = 0; i < n_steps; i++)
            makes |= steps[i].state == (enum mkt_state)s && steps[i].direction == MKT_MAKE && !is_init(&steps[i]);
        for (unsigned r = 0; r < ROLES; r++) {
            const struct mkt_state_row *row = mkt_state_find((enum mkt_role)r, (enum mkt_state)s);
            ck_assert_msg(row == NULL || row->owes_answer == makes, "role %u, state %u", r, s);
        }
    }
}
END_TEST

/* Fills in the states that a role comes to. */
static void reach(enum mkt_role role, enum mkt_state from, bool reached[MKT_STATES])
{
    bool more = true;
    memset(reached, 0, MKT_STATES * sizeof *reached);
    reached[from] = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < n_steps; i++)
            if (steps[i].role == role && reached[steps[i].state] && !reached[steps[i].next])
                reached[steps[i].next] = more = true;
    }
}

START_TEST(every_state_is_reached_and_leads_on)
{
    bool reached_at_all[MKT_STATES] = {false};
    for (unsigned r = 0; r < ROLES; r++) {
        const enum mkt_role role = (enum mkt_role)r;
        const enum mkt_state end = role == MKT_KMS ? MKT_FRESH : MKT_KEYED;
        bool reached[MKT_STATES], further[MKT_STATES];
        reach(role, MKT_FRESH, reached);
        for (unsigned s = 0; s < MKT_STATES; s++) {
            ck_assert_msg(reached[s] == (mkt_state_find(role, (enum mkt_state)s) != NULL), "role %u, state %u", r, s);
            reached_at_all[s] |= reached[s];
            reach(role, (enum mkt_state)s, further);
            ck_assert_msg(!reached[s] || further[end], "role %u is stuck in state %u", r, s);
        }
    }
    for (unsigned s = 0; s < MKT_STATES; s++)
        ck_assert_msg(reached_at_all[s], "nobody comes to state %u", s);
}
END_TEST

/* ---- rules ---- */

/* Letter by letter as the RFC has them. */
static const struct form {
    enum mkt_data_type message;
    bool update;
    const char *rfc;
} forms[] = {
    /* 4.2.1 */
    {MKT_REQUEST_INIT_PSK, false, "HDR, T, RANDRi, [IDRi], [IDRkms], TP, [IDRpsk], V"},
    {MKT_REQUEST_INIT_PK, false, "HDR, T, RANDRi, [IDRi], {CERTi}, [IDRkms], TP, [CHASH], PKE, SIGNi"},
    {MKT_REQUEST_RESP, false, "HDR, T, [IDRkms], TICKET, KEMAC, V"},
    /* 4.2.2; D12: the list of protocols before V */
    {MKT_TRANSFER_INIT, false, "HDR, T, RANDRi, [IDRi], [IDRr], {SP}, TICKET, [KEMAC], [SDP IDs], V"},
    {MKT_TRANSFER_RESP, false, "HDR, T, [RANDRr], [IDRr], [RANDRkms], {SP}, [KEMAC], V"},
    /* 4.2.3 */
    {MKT_RESOLVE_INIT_PSK, false, "HDR, T, RANDRr, [IDRr], [IDRkms], TICKET, [IDRpsk], V"},
    {MKT_RESOLVE_INIT_PK, false, "HDR, T, RANDRr, [IDRr], {CERTr}, [IDRkms], TICKET, [CHASH], PKE, SIGNr"},
    {MKT_RESOLVE_RESP, false, "HDR, T, [IDRkms], KEMAC, [IDRr], [RANDRkms], V"},
    /* 5.2: started by the Initiator, started by the Responder */
    {MKT_TRANSFER_INIT, true, "HDR, T, [IDRi], [IDRr], {SP}, [KEMAC], V"},
    {MKT_TRANSFER_RESP, true, "HDR, T, [IDRr], {SP}, [KEMAC], V"},
    {MKT_TRANSFER_INIT, true, "HDR, T, [IDRr], [IDRi], {SP}, [KEMAC], V"},
    {MKT_TRANSFER_RESP, true, "HDR, T, [IDRi], {SP}, [KEMAC], V"},
    /* 5.4 */
    {MKT_ERROR, false, "HDR, T, (ERR), {SP}, [V]"},
    {MKT_ERROR, true, "HDR, T, (ERR), {SP}, [V]"},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* 2.3, tables 6.11 and 6.13 */
static const struct {
    const char *name;
    uint16_t type;
    uint8_t role;
} names[] = {
    {"T", MKT_T, 0},
    {"RANDRi", MKT_RANDR, 1},
    {"RANDRr", MKT_RANDR, 2},
    {"RANDRkms", MKT_RANDR, 3},
    {"IDRi", MKT_IDR, 1},
    {"IDRr", MKT_IDR, 2},
    {"IDRkms", MKT_IDR, 3},
    {"IDRpsk", MKT_IDR, 4},
    {"TP", MKT_TP, 0},
    {"TICKET", MKT_TICKET, 0},
    {"SP", MKT_SP, 0},
    {"KEMAC", MKT_KEMAC, 0},
    {"SDP IDs", MKT_GENERAL_EXT, 1},
    {"ERR", MKT_ERR, 0},
    {"V", MKT_V, 0},
    {"CERTi", MKT_CERT, 0},
    {"CERTr", MKT_CERT, 0},
    {"CHASH", MKT_CHASH, 0},
    {"PKE", MKT_PKE, 0},
    {"SIGNi", MKT_SIGN, 0},
    {"SIGNr", MKT_SIGN, 0},
};

static struct mkt_payload payload(uint16_t type, uint8_t role)
{
    struct mkt_payload p = {.type = type};
    if (p.type == MKT_RANDR)
        p.rand.role = role;
    if (p.type == MKT_IDR)
        p.id.role = role;
    if (p.type == MKT_TR)
        p.t.role = role;
    if (p.type == MKT_GENERAL_EXT)
        p.general_ext.type = role;
    return p;
}

static struct mkt_payload named(const char *name, size_t n)
{
    size_t i = 0;
    while (i < sizeof names / sizeof *names && (strlen(names[i].name) != n || memcmp(names[i].name, name, n) != 0))
        i++;
    ck_assert_msg(i < sizeof names / sizeof *names, "no payload is called %.*s", (int)n, name);
    return payload(names[i].type, names[i].role);
}

enum { ANY = 9 }; /* as good as any number */

struct set {
    const struct form *form;
    struct {
        struct mkt_payload payload;
        unsigned least, most;
    } carried[10]; /* V or SIGN is the last */
    size_t n;
};

/* 2.1: "[p] p is optional", "{p} Zero or more occurrences of p", "(p) One or more occurrences of p" */
static struct set set_of(const struct form *form)
{
    struct set set = {.form = form};
    const char *at = form->rfc + strlen("HDR");
    while (*at != '\0') {
        at += strlen(", ");
        const char sign = *at;
        const bool in_brackets = strchr("[{(", sign) != NULL;
        const size_t n = strcspn(at += in_brackets, "]}),");
        set.carried[set.n].payload = named(at, n);
        set.carried[set.n].least = sign != '[' && sign != '{';
        set.carried[set.n++].most = sign == '{' || sign == '(' ? ANY : 1;
        at += n + in_brackets;
    }
    return set;
}

static struct mkt_message empty(const struct form *form)
{
    return (struct mkt_message){.hdr = {.version = 1, .data_type = (uint8_t)form->message, .map_type = MKT_MAP_EMPTY}};
}

/* One of each. */
static struct mkt_message whole(const struct set *set)
{
    struct mkt_message m = empty(set->form);
    while (m.n < set->n) {
        m.payload[m.n] = set->carried[m.n].payload;
        m.n++;
    }
    return m;
}

static enum mkt_err check(const struct set *set, const struct mkt_message *m)
{
    return mkt_rules_check(m, set->form->update, NULL);
}

static void insert(struct mkt_message *m, size_t at, struct mkt_payload p)
{
    for (size_t i = m->n; i > at; i--)
        m->payload[i] = m->payload[i - 1];
    m->payload[at] = p;
    m->n++;
}

static void take_out(struct mkt_message *m, size_t at)
{
    memmove(m->payload + at, m->payload + at + 1, (m->n - at - 1) * sizeof *m->payload);
    m->n--;
}

START_TEST(what_the_rfc_demands_must_be_there_and_the_rest_may)
{
    const struct set set = set_of(&forms[_i]);
    struct mkt_message m = whole(&set);
    expect_err("whole", check(&set, &m), MKT_OK);
    for (size_t i = 0; i < set.n; i++) {
        m = whole(&set);
        take_out(&m, i);
        enum mkt_err err = check(&set, &m), want = set.carried[i].least > 0 ? MKT_E_MISSING : MKT_OK;
        ck_assert_msg(err == want, "without payload %zu: %s", i, mkt_err_name(err));
    }
    m.n = 0;
    for (size_t i = 0; i < set.n; i++)
        if (set.carried[i].least > 0)
            m.payload[m.n++] = set.carried[i].payload;
    expect_err("no more than it must have", check(&set, &m), MKT_OK);
    m.n = 0;
    expect_err("nothing", check(&set, &m), MKT_E_MISSING);
}
END_TEST

START_TEST(more_of_a_kind_than_the_rfc_has_is_too_many)
{
    const struct set set = set_of(&forms[_i]);
    for (size_t i = 0; i + 1 < set.n; i++) {
        struct mkt_message m = whole(&set);
        insert(&m, 0, set.carried[i].payload);
        enum mkt_err err = check(&set, &m), want = set.carried[i].most == 1 ? MKT_E_TOO_MANY : MKT_OK;
        ck_assert_msg(err == want, "two of payload %zu: %s", i, mkt_err_name(err));
        /* P13: each certificate costs a verification */
        const size_t most = set.carried[i].payload.type == MKT_CERT ? MKT_MAX_CERTIFICATES : MKT_MAX_PAYLOADS;
        for (size_t n = 2; want == MKT_OK && n < most && m.n < MKT_MAX_PAYLOADS; n++)
            insert(&m, 0, set.carried[i].payload);
        ck_assert_msg(check(&set, &m) == want, "many of payload %zu", i);
        if (most == MKT_MAX_PAYLOADS)
            continue;
        insert(&m, 0, set.carried[i].payload);
        expect_err("one more", check(&set, &m), MKT_E_TOO_MANY);
    }
}
END_TEST

/* Design decision D13: "take: any, V or SIGN last" */
START_TEST(the_order_is_free_but_v_is_last)
{
    const struct set set = set_of(&forms[_i]);
    for (size_t a = 0; a + 1 < set.n; a++)
        for (size_t b = 0; b + 1 < set.n; b++) {
            struct mkt_message m = whole(&set);
            struct mkt_payload moved = m.payload[a];
            take_out(&m, a);
            insert(&m, b, moved);
            ck_assert_msg(check(&set, &m) == MKT_OK, "payload %zu as %zu", a, b);
        }
    for (size_t at = 0; at + 1 < set.n; at++) {
        struct mkt_message m = whole(&set);
        struct mkt_payload v = m.payload[set.n - 1];
        take_out(&m, set.n - 1);
        insert(&m, at, v);
        ck_assert_msg(check(&set, &m) == MKT_E_ORDER, "V as %zu", at);
    }
    struct mkt_message m = whole(&set);
    insert(&m, m.n, m.payload[m.n - 1]);
    expect_err("V twice", check(&set, &m), MKT_E_ORDER);
    m = whole(&set);
    insert(&m, m.n, payload(MKT_SIGN, 0));
    expect_err("SIGN after V", check(&set, &m), MKT_E_ORDER);
    m = whole(&set);
    insert(&m, m.n - 1, payload(MKT_SIGN, 0));
    expect_err("V after SIGN", check(&set, &m), MKT_E_ORDER);
}
END_TEST

/* 5.4: "Error message = HDR, T, (ERR), [V|SIGNx]"; the messages with a SIGN of their own are those of public keys */
START_TEST(none_but_an_error_message_has_v_or_sign)
{
    const struct set set = set_of(&forms[_i]);
    struct mkt_message m = whole(&set);
    m.payload[m.n - 1] = payload(m.payload[m.n - 1].type == MKT_V ? MKT_SIGN : MKT_V, 0);
    expect_err("the other", check(&set, &m), forms[_i].message == MKT_ERROR ? MKT_OK : MKT_E_MISSING);
}
END_TEST

static bool carries(const struct set *set, const struct mkt_payload *p)
{
    const uint8_t role = mkt_payload_role(p);
    for (size_t i = 0; i < set->n; i++)
        if (set->carried[i].payload.type == p->type && mkt_payload_role(&set->carried[i].payload) == role)
            return true;
    return false;
}

/* In updates there is one set of rules for both messages and both ends. */
static bool may_be_counted(const struct set *set, const struct mkt_payload *p)
{
    const uint8_t role = mkt_payload_role(p);
    return set->form->update && set->form->message != MKT_ERROR && p->type == MKT_IDR &&
           (role == MKT_IDR_I || role == MKT_IDR_R);
}

/* Of each: "Unexpected payloads in the [...] message SHOULD be ignored." */
START_TEST(unexpected_payloads_are_ignored_unless_they_come_after_v)
{
    const struct set set = set_of(&forms[_i]);
    size_t ignored = 0;
    for (uint16_t type = MKT_KEMAC; type <= MKT_GENERAL_EXT; type++)
        for (uint8_t role = 0; role <= MKT_IDR_APP; role++) {
            struct mkt_message m = whole(&set);
            const struct mkt_payload p = payload(type, role);
            if (type == MKT_V || type == MKT_SIGN || carries(&set, &p))
                continue;
            insert(&m, 0, p);
            ck_assert_msg(check(&set, &m) == MKT_OK, "%s, %u is not ignored", mkt_payload_name(type), role);
            insert(&m, 0, p);
            if (!may_be_counted(&set, &p))
                ck_assert_msg(check(&set, &m) == MKT_OK, "two of %s, %u are not", mkt_payload_name(type), role);
            m = whole(&set);
            insert(&m, m.n, p);
            expect_err("after V", check(&set, &m), MKT_E_ORDER);
            ignored++;
        }
    ck_assert_uint_gt(ignored, 0);
}
END_TEST

/* ---- CS ID map ---- */

/* 6.1: "The map type SRTP-ID SHALL NOT be used." */
START_TEST(an_srtp_id_map_is_refused)
{
    const struct set set = set_of(&forms[_i]);
    struct mkt_message m = whole(&set);
    m.hdr.map_type = MKT_MAP_SRTP_ID;
    expect_err("SRTP-ID", check(&set, &m), MKT_E_BAD_MAP);
    m.hdr.n_cs = 1;
    expect_err("SRTP-ID with a session", check(&set, &m), MKT_E_BAD_MAP);
    m.n = 0;
    expect_err("SRTP-ID, whatever else there is", check(&set, &m), MKT_E_BAD_MAP);
}
END_TEST

/* 4.2.1.1, 4.2.3.1, and for the answers 4.2.1.5, 4.2.3.5: "As Crypto Sessions (CSs) SHALL NOT be handled, the #CS MUST
 * be set to '0' and the CS ID map type SHALL be the "Empty map"" */
START_TEST(ticket_request_and_resolve_have_the_empty_map)
{
    const struct set set = set_of(&forms[_i]);
    const enum mkt_data_type type = forms[_i].message;
    const bool has_sessions = type == MKT_TRANSFER_INIT || type == MKT_TRANSFER_RESP || type == MKT_ERROR;
    const enum mkt_err want = has_sessions ? MKT_OK : MKT_E_BAD_MAP;
    struct mkt_message m = whole(&set);
    expect_err("Empty map", check(&set, &m), MKT_OK);
    m.hdr.n_cs = 1;
    expect_err("Empty map with a session", check(&set, &m), want);
    m.hdr.map_type = MKT_MAP_GENERIC_ID;
    expect_err("GENERIC-ID", check(&set, &m), want);
    m.hdr.n_cs = 0; /* of an Error message: design decision D22 */
    expect_err("GENERIC-ID without a session", check(&set, &m), want);
}
END_TEST

START_TEST(every_message_of_the_steps_has_rules_and_beside_them_only_error_messages)
{
    for (unsigned type = 0; type < 256; type++)
        for (unsigned update = 0; update < 2; update++) {
            const struct mkt_message m = empty(&(struct form){(enum mkt_data_type)type, false, ""});
            bool known = type == MKT_ERROR, listed = false;
            for (size_t i = 0; i < n_steps; i++)
                known |= (unsigned)steps[i].message == either_variant(type) && of_update(&steps[i]) == (update == 1);
            for (size_t i = 0; i < FORMS; i++)
                listed |= (unsigned)forms[i].message == type && forms[i].update == (update == 1);
            ck_assert_msg(known == listed, "%s", mkt_data_type_name(type));
            ck_assert_msg(mkt_rules_check(&m, update == 1, NULL) == (known ? MKT_E_MISSING : MKT_E_DATA_TYPE), "%s",
                          mkt_data_type_name(type));
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flow");
    TCase *tcase = tcase_create("flow");
    tcase_add_checked_fixture(tcase, load, NULL);
    tcase_add_loop_test(tcase, each_mode_leads_from_fresh_to_keyed, 0, PATHS);
    tcase_add_test(tcase, there_is_no_step_beside_the_modes);
    tcase_add_test(tcase, for_each_role_state_direction_and_message_there_is_one_row);
    tcase_add_test(tcase, acts_are_of_one_message_in_calls_or_updates);
    tcase_add_test(tcase, what_one_party_makes_another_takes);
    tcase_add_test(tcase, what_is_made_and_taken_has_all_acts);
    tcase_add_test(tcase, messages_are_those_of_the_three_exchanges_with_a_psk);
    tcase_add_test(tcase, an_outcome_says_what_comes_next);
    tcase_add_test(tcase, none_but_a_transfer_init_goes_without_answer);
    tcase_add_test(tcase, a_kms_is_fresh_after_each_answer);
    tcase_add_test(tcase, a_step_is_found_where_a_row_has_it);
    tcase_add_test(tcase, each_row_is_of_a_role_and_has_an_outcome);
    tcase_add_test(tcase, who_gives_up_goes_back);
    tcase_add_test(tcase, a_call_is_what_is_not_given_up);
    tcase_add_test(tcase, the_initial_message_is_kept_until_the_exchange_ends);
    tcase_add_test(tcase, an_answer_is_owed_where_one_is_made);
    tcase_add_test(tcase, every_state_is_reached_and_leads_on);
    tcase_add_loop_test(tcase, what_the_rfc_demands_must_be_there_and_the_rest_may, 0, FORMS);
    tcase_add_loop_test(tcase, more_of_a_kind_than_the_rfc_has_is_too_many, 0, FORMS);
    tcase_add_loop_test(tcase, the_order_is_free_but_v_is_last, 0, FORMS);
    tcase_add_loop_test(tcase, none_but_an_error_message_has_v_or_sign, 0, FORMS);
    tcase_add_loop_test(tcase, unexpected_payloads_are_ignored_unless_they_come_after_v, 0, FORMS);
    tcase_add_loop_test(tcase, an_srtp_id_map_is_refused, 0, FORMS);
    tcase_add_loop_test(tcase, ticket_request_and_resolve_have_the_empty_map, 0, FORMS);
    tcase_add_test(tcase, every_message_of_the_steps_has_rules_and_beside_them_only_error_messages);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
