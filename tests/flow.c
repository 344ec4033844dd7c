/* SPDX-License-Identifier: BSD-3-Clause */
/* flow: the two tables are a protocol: what each message carries, and who may make or take it when. */
#include "vector.h"

#include "flow.h"

#include <string.h>

enum { ROLES = MKT_KMS + 1, STATES = MKT_KEYED + 1 };

static const struct mkt_step *steps;
static size_t n_steps;

static void load(void)
{
    steps = mkt_steps(&n_steps);
}

static bool plays(enum mkt_role role)
{
    for (size_t i = 0; i < n_steps; i++)
        if (steps[i].role == role)
            return true;
    return false;
}

/* ---- steps ---- */

START_TEST(for_each_role_state_direction_and_message_there_is_one_act)
{
    for (size_t a = 0; a < n_steps; a++) {
        ck_assert(steps[a].act != NULL);
        ck_assert(steps[a].f == 0 || steps[a].f == MKT_FLAG_F);
        for (size_t b = a + 1; b < n_steps; b++) {
            if (steps[a].role != steps[b].role || steps[a].state != steps[b].state ||
                steps[a].direction != steps[b].direction || steps[a].message != steps[b].message)
                continue;
            ck_assert_msg(steps[a].act == steps[b].act, "rows %zu and %zu have two acts", a, b);
            ck_assert_msg(steps[a].f != steps[b].f, "rows %zu and %zu are one", a, b);
        }
    }
    for (size_t a = 0; a < n_steps; a++) /* and an act is of one message and direction */
        for (size_t b = 0; b < n_steps; b++)
            ck_assert(steps[a].act != steps[b].act ||
                      (steps[a].message == steps[b].message && steps[a].direction == steps[b].direction));
}
END_TEST

START_TEST(every_message_that_is_made_is_taken_by_another_role)
{
    for (size_t a = 0; a < n_steps; a++) {
        size_t others = 0;
        for (size_t b = 0; b < n_steps; b++)
            others += steps[b].message == steps[a].message && steps[b].direction != steps[a].direction &&
                      steps[b].role != steps[a].role && steps[b].f == steps[a].f;
        ck_assert_msg(others > 0, "row %zu: %s has one end alone", a, mkt_data_type_name((unsigned)steps[a].message));
    }
}
END_TEST

/* Fills in the states that a role comes to. */
static void reach(enum mkt_role role, bool reached[STATES])
{
    bool more = true;
    memset(reached, 0, STATES * sizeof *reached);
    reached[MKT_FRESH] = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < n_steps; i++)
            if (steps[i].role == role && reached[steps[i].state] && !reached[steps[i].next])
                reached[steps[i].next] = more = true;
    }
}

START_TEST(every_state_is_reached_and_none_but_keyed_is_an_end)
{
    bool reached_at_all[STATES] = {false};
    for (unsigned r = 0; r < ROLES; r++) {
        bool reached[STATES];
        reach((enum mkt_role)r, reached);
        for (size_t i = 0; i < n_steps; i++)
            ck_assert_msg(steps[i].role != (enum mkt_role)r || reached[steps[i].state], "row %zu can't be reached", i);
        for (unsigned s = 0; s < STATES && plays((enum mkt_role)r); s++) {
            size_t ways = 0;
            for (size_t i = 0; i < n_steps; i++)
                ways += steps[i].role == (enum mkt_role)r && steps[i].state == (enum mkt_state)s;
            reached_at_all[s] |= reached[s];
            if (reached[s] && s != MKT_KEYED)
                ck_assert_msg(ways > 0, "role %u is stuck in state %u", r, s);
        }
    }
    for (unsigned s = 0; s < STATES; s++)
        ck_assert_msg(reached_at_all[s], "nobody comes to state %u", s);
}
END_TEST

/* RFC 6043 4.2.2, 6.10: F tells "whether the TRANSFER_RESP message SHALL be sent ('1') or if it SHALL NOT be sent
 * ('0')" */
START_TEST(a_call_goes_from_fresh_to_keyed_by_its_f_flag)
{
    const uint16_t all_but_f = 0xfff & ~MKT_FLAG_F;
    const struct mkt_step *makes = mkt_step_find(MKT_INITIATOR, MKT_FRESH, MKT_MAKE, MKT_TRANSFER_INIT);
    const struct mkt_step *takes = mkt_step_find(MKT_RESPONDER, MKT_FRESH, MKT_TAKE, MKT_TRANSFER_INIT);
    ck_assert(makes != NULL && takes != NULL);
    ck_assert_int_eq(mkt_step_next(makes, all_but_f), MKT_KEYED);
    ck_assert_int_eq(mkt_step_next(takes, all_but_f), MKT_KEYED);
    ck_assert_int_eq(mkt_step_next(makes, 0), MKT_KEYED);
    for (unsigned rest = 0; rest < 2; rest++) {
        const uint16_t flags = (uint16_t)(rest == 0 ? MKT_FLAG_F : 0xfff);
        ck_assert_int_eq(mkt_step_next(makes, flags), MKT_MADE_TRANSFER);
        ck_assert_int_eq(mkt_step_next(takes, flags), MKT_TOOK_TRANSFER);
        const struct mkt_step *answers = mkt_step_find(MKT_RESPONDER, MKT_TOOK_TRANSFER, MKT_MAKE, MKT_TRANSFER_RESP);
        const struct mkt_step *hears = mkt_step_find(MKT_INITIATOR, MKT_MADE_TRANSFER, MKT_TAKE, MKT_TRANSFER_RESP);
        ck_assert(answers != NULL && hears != NULL);
        ck_assert_int_eq(mkt_step_next(answers, flags), MKT_KEYED);
        ck_assert_int_eq(mkt_step_next(hears, flags), MKT_KEYED);
        ck_assert_msg(mkt_step_next(answers, all_but_f) == MKT_TOOK_TRANSFER, "where F forbids it there is no step");
    }
}
END_TEST

/* All that there is, and nothing else. */
START_TEST(a_step_is_found_where_a_row_has_it)
{
    size_t found = 0;
    for (unsigned r = 0; r < ROLES; r++)
        for (unsigned s = 0; s < STATES; s++) {
            bool takes_any = false;
            for (unsigned d = MKT_MAKE; d <= MKT_TAKE; d++)
                for (unsigned m = 0; m < 256; m++) {
                    const struct mkt_step *step =
                        mkt_step_find((enum mkt_role)r, (enum mkt_state)s, (enum mkt_direction)d, m);
                    bool there = false;
                    for (size_t i = 0; i < n_steps; i++)
                        there |= steps[i].role == (enum mkt_role)r && steps[i].state == (enum mkt_state)s &&
                                 steps[i].direction == (enum mkt_direction)d && (unsigned)steps[i].message == m;
                    ck_assert_msg((step != NULL) == there, "role %u, state %u, message %u", r, s, m);
                    takes_any |= there && d == MKT_TAKE;
                    found += there;
                    if (step != NULL)
                        ck_assert(step->role == (enum mkt_role)r && step->state == (enum mkt_state)s &&
                                  step->direction == (enum mkt_direction)d && (unsigned)step->message == m);
                }
            ck_assert_int_eq(mkt_takes((enum mkt_role)r, (enum mkt_state)s), takes_any);
        }
    ck_assert_uint_gt(found, 0);
    ck_assert(mkt_takes(MKT_RESPONDER, MKT_FRESH) && !mkt_takes(MKT_INITIATOR, MKT_FRESH));
    ck_assert(mkt_takes(MKT_INITIATOR, MKT_MADE_TRANSFER) && !mkt_takes(MKT_RESPONDER, MKT_TOOK_TRANSFER));
}
END_TEST

/* ---- rules: the ladder of RFC 6043 4.2.2 ---- */

enum { ANY = 9 }; /* as good as any number */

struct carried {
    unsigned type;
    uint8_t role;
    unsigned least, most;
};

static const struct rule_set {
    enum mkt_data_type message;
    struct carried carried[10]; /* V is the last */
    size_t n;
} ladder[] = {
    /* TRANSFER_INIT = HDR, T, RANDRi, [IDRi], [IDRr], {SP}, TICKET, [KEMAC], V; D12: the list of protocols before V */
    {MKT_TRANSFER_INIT,
     {{MKT_T, 0, 1, 1},
      {MKT_RANDR, 1, 1, 1},
      {MKT_IDR, 1, 0, 1},
      {MKT_IDR, 2, 0, 1},
      {MKT_SP, 0, 0, ANY},
      {MKT_TICKET, 0, 1, 1},
      {MKT_KEMAC, 0, 0, 1},
      {MKT_GENERAL_EXT, 1, 0, 1},
      {MKT_V, 0, 1, 1}},
     9},
    /* TRANSFER_RESP = HDR, T, [RANDRr], [IDRr], [RANDRkms], {SP}, [KEMAC], V */
    {MKT_TRANSFER_RESP,
     {{MKT_T, 0, 1, 1},
      {MKT_RANDR, 2, 0, 1},
      {MKT_IDR, 2, 0, 1},
      {MKT_RANDR, 3, 0, 1},
      {MKT_SP, 0, 0, ANY},
      {MKT_KEMAC, 0, 0, 1},
      {MKT_V, 0, 1, 1}},
     7},
};

static struct mkt_payload payload(const struct carried *c)
{
    struct mkt_payload p = {.type = (uint16_t)c->type};
    if (p.type == MKT_RANDR)
        p.rand.role = c->role;
    if (p.type == MKT_IDR)
        p.id.role = c->role;
    if (p.type == MKT_GENERAL_EXT)
        p.general_ext.type = c->role;
    return p;
}

/* One of each. */
static struct mkt_message whole(const struct rule_set *set)
{
    struct mkt_message m = {.hdr = {.version = 1, .data_type = (uint8_t)set->message, .map_type = MKT_MAP_GENERIC_ID}};
    for (size_t i = 0; i < set->n; i++)
        m.payload[m.n++] = payload(&set->carried[i]);
    return m;
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
    m->n--;
    for (size_t i = at; i < m->n; i++)
        m->payload[i] = m->payload[i + 1];
}

START_TEST(what_the_rfc_demands_must_be_there_and_the_rest_may)
{
    const struct rule_set *set = &ladder[_i];
    struct mkt_message m = whole(set);
    expect_err("whole", mkt_rules_check(&m), MKT_OK);
    for (size_t i = 0; i < set->n; i++) {
        m = whole(set);
        take_out(&m, i);
        enum mkt_err err = mkt_rules_check(&m), want = set->carried[i].least > 0 ? MKT_E_MISSING : MKT_OK;
        ck_assert_msg(err == want, "without payload %zu: %s", i, mkt_err_name(err));
    }
    m.n = 0;
    for (size_t i = 0; i < set->n; i++)
        if (set->carried[i].least > 0)
            m.payload[m.n++] = payload(&set->carried[i]);
    expect_err("no more than it must have", mkt_rules_check(&m), MKT_OK);
    m.n = 0;
    expect_err("nothing", mkt_rules_check(&m), MKT_E_MISSING);
}
END_TEST

START_TEST(more_of_a_kind_than_the_rfc_has_is_too_many)
{
    const struct rule_set *set = &ladder[_i];
    for (size_t i = 0; i + 1 < set->n; i++) {
        struct mkt_message m = whole(set);
        insert(&m, 0, payload(&set->carried[i]));
        enum mkt_err err = mkt_rules_check(&m), want = set->carried[i].most == 1 ? MKT_E_MANY : MKT_OK;
        ck_assert_msg(err == want, "two of payload %zu: %s", i, mkt_err_name(err));
        while (want == MKT_OK && m.n < MKT_MAX_PAYLOADS)
            insert(&m, 0, payload(&set->carried[i]));
        ck_assert_msg(mkt_rules_check(&m) == want, "many of payload %zu", i);
    }
}
END_TEST

/* Design decision D13: "take: any, V or SIGN last" */
START_TEST(the_order_is_free_but_v_is_last)
{
    const struct rule_set *set = &ladder[_i];
    for (size_t a = 0; a + 1 < set->n; a++)
        for (size_t b = 0; b + 1 < set->n; b++) {
            struct mkt_message m = whole(set);
            struct mkt_payload moved = m.payload[a];
            take_out(&m, a);
            insert(&m, b, moved);
            ck_assert_msg(mkt_rules_check(&m) == MKT_OK, "payload %zu as %zu", a, b);
        }
    for (size_t at = 0; at + 1 < set->n; at++) {
        struct mkt_message m = whole(set);
        struct mkt_payload v = m.payload[set->n - 1];
        take_out(&m, set->n - 1);
        insert(&m, at, v);
        ck_assert_msg(mkt_rules_check(&m) == MKT_E_ORDER, "V as %zu", at);
    }
    struct mkt_message m = whole(set);
    insert(&m, m.n, m.payload[m.n - 1]);
    expect_err("V twice", mkt_rules_check(&m), MKT_E_ORDER);
    m = whole(set);
    insert(&m, m.n, (struct mkt_payload){.type = MKT_SIGN});
    expect_err("SIGN after V", mkt_rules_check(&m), MKT_E_ORDER);
    m = whole(set);
    insert(&m, m.n - 1, (struct mkt_payload){.type = MKT_SIGN});
    expect_err("V after SIGN", mkt_rules_check(&m), MKT_E_ORDER);
}
END_TEST

/* "Unexpected payloads in the TRANSFER_INIT message SHOULD be ignored." */
START_TEST(unexpected_payloads_are_ignored_unless_they_come_after_v)
{
    static const struct carried unexpected[] = {
        {MKT_CERT, 0, 0, 0}, {MKT_ID, 0, 0, 0},       {MKT_RAND, 0, 0, 0}, {MKT_TR, 0, 0, 0},
        {MKT_TP, 0, 0, 0},   {MKT_IDR, 3, 0, 0},      {MKT_IDR, 5, 0, 0},  {MKT_GENERAL_EXT, 0, 0, 0},
        {MKT_PKE, 0, 0, 0},  {MKT_KEY_DATA, 0, 0, 0}, {MKT_ERR, 0, 0, 0},  {MKT_CHASH, 0, 0, 0},
        {MKT_DH, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof unexpected / sizeof *unexpected; i++) {
        struct mkt_message m = whole(&ladder[_i]);
        insert(&m, 0, payload(&unexpected[i]));
        insert(&m, 0, payload(&unexpected[i]));
        ck_assert_msg(mkt_rules_check(&m) == MKT_OK, "%s is not ignored", mkt_payload_name(unexpected[i].type));
        insert(&m, m.n, payload(&unexpected[i]));
        expect_err("after V", mkt_rules_check(&m), MKT_E_ORDER);
    }
}
END_TEST

/* 6.1: "The map type SRTP-ID SHALL NOT be used." */
START_TEST(an_srtp_id_map_is_refused)
{
    struct mkt_message m = whole(&ladder[_i]);
    m.hdr.map_type = MKT_MAP_SRTP_ID;
    expect_err("SRTP-ID", mkt_rules_check(&m), MKT_E_MAP);
    m.n = 0;
    expect_err("SRTP-ID, whatever else there is", mkt_rules_check(&m), MKT_E_MAP);
}
END_TEST

START_TEST(every_message_of_the_steps_has_rules_and_no_other)
{
    for (unsigned type = 0; type < 256; type++) {
        const struct mkt_message m = {
            .hdr = {.version = 1, .data_type = (uint8_t)type, .map_type = MKT_MAP_GENERIC_ID}};
        bool known = false;
        for (size_t i = 0; i < n_steps; i++)
            known |= (unsigned)steps[i].message == type;
        ck_assert_msg(mkt_rules_check(&m) == (known ? MKT_E_MISSING : MKT_E_DATA_TYPE), "%s", mkt_data_type_name(type));
    }
}
END_TEST

int main(void)
{
    enum { SETS = sizeof ladder / sizeof *ladder };
    Suite *suite = suite_create("flow");
    TCase *tcase = tcase_create("flow");
    tcase_add_checked_fixture(tcase, load, NULL);
    tcase_add_test(tcase, for_each_role_state_direction_and_message_there_is_one_act);
    tcase_add_test(tcase, every_message_that_is_made_is_taken_by_another_role);
    tcase_add_test(tcase, every_state_is_reached_and_none_but_keyed_is_an_end);
    tcase_add_test(tcase, a_call_goes_from_fresh_to_keyed_by_its_f_flag);
    tcase_add_test(tcase, a_step_is_found_where_a_row_has_it);
    tcase_add_loop_test(tcase, what_the_rfc_demands_must_be_there_and_the_rest_may, 0, SETS);
    tcase_add_loop_test(tcase, more_of_a_kind_than_the_rfc_has_is_too_many, 0, SETS);
    tcase_add_loop_test(tcase, the_order_is_free_but_v_is_last, 0, SETS);
    tcase_add_loop_test(tcase, unexpected_payloads_are_ignored_unless_they_come_after_v, 0, SETS);
    tcase_add_loop_test(tcase, an_srtp_id_map_is_refused, 0, SETS);
    tcase_add_test(tcase, every_message_of_the_steps_has_rules_and_no_other);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
