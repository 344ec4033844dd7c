/* SPDX-License-Identifier: BSD-3-Clause */
/* The tickets of another type that the KMS of the examples makes: it alone opens them, and only as the type they
 * have. */
#include "parties.h"

#include "../examples/sealed.h"

#include <stdlib.h>
#include <string.h>

/* A TICKET payload with the Ticket Data of a policy and keys; its spans view static octets. */
static struct mkt_payload sealed(const struct entry *own, const struct mkt_policy *policy, struct mkt_span keys)
{
    static uint8_t octets[4096], tp[1024];
    struct mkt_buf data = {octets, sizeof octets, 0}, tp_data = {tp, sizeof tp, 0};
    expect_err("seal", sealed_put(own, policy, keys, &data), MKT_OK);
    expect_err("policy", mkt_policy_encode(policy, &tp_data), MKT_OK);
    return (struct mkt_payload){.type = MKT_TICKET,
                                .ticket = {.type = policy->type,
                                           .subtype = policy->subtype,
                                           .version = policy->version,
                                           .prf = policy->prf,
                                           .flags = policy->flags,
                                           .tp_data = {tp, tp_data.n},
                                           .ticket_data = {octets, data.n}}};
}

static enum mkt_err opened(const struct entry *own, const struct mkt_payload *ticket, struct mkt_span *keys)
{
    static uint8_t octets[4096];
    struct mkt_buf chain = {octets, sizeof octets, 0};
    const enum mkt_err err = sealed_get(own, ticket, &chain);
    *keys = (struct mkt_span){octets, chain.n};
    return err;
}

static const uint8_t types[] = {MKT_KEY_MPK, MKT_KEY_MPK, MKT_KEY_TGK, MKT_KEY_GTGK, NO_KEY},
                     lengths[] = {16, 16, 16, 16};

START_TEST(only_as_the_type_that_it_has)
{
    static const struct {
        uint16_t type;
        uint8_t subtype, version;
    } others[] = {{1, 1, 1}, {3, 1, 1}, {2, 2, 1}, {2, 1, 2}};
    struct entry *own = calloc(1, sizeof *own + 1);
    ck_assert_ptr_nonnull(own);
    own->key_n = 32;
    const bool forked = _i == 0;
    const struct mkt_span keys = key_chain(types + !forked, lengths, forked ? "irtg" : "itg");
    struct mkt_policy policy = granted(MKT_SUITE_128);
    struct mkt_span got;
    expect_err("flags", mkt_flags_parse(&policy.flags, forked ? "DEFGHIJNO" : "DFGHJNO"), MKT_OK);
    policy.type = 2;
    const struct mkt_payload ticket = sealed(own, &policy, keys);
    expect_err("open", opened(own, &ticket, &got), MKT_OK);
    expect_octets("keys", got, keys);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct mkt_payload other = ticket;
        other.ticket.type = others[i].type;
        other.ticket.subtype = others[i].subtype;
        other.ticket.version = others[i].version;
        expect_err("another type", opened(own, &other, &got), MKT_E_TICKET_TYPE);
        ck_assert_uint_eq(got.n, 0);
    }
    struct mkt_payload other = ticket;
    other.ticket.flags ^= MKT_FLAG_L;
    expect_err("another policy", opened(own, &other, &got), MKT_E_TICKET_MAC);
    own->key[0] ^= 1;
    expect_err("another TPK", opened(own, &ticket, &got), MKT_E_TICKET_MAC);
    free(own);
    free_all();
}
END_TEST

START_TEST(a_base_ticket_is_no_such_one)
{
    struct parties *p = parties_new(MKT_SUITE_256, "DFGHJNO");
    struct entry *own = calloc(1, sizeof *own + 1);
    struct mkt_span got;
    ck_assert_ptr_nonnull(own);
    memcpy(own->key, p->tpk.p, p->tpk.n);
    own->key_n = p->tpk.n;
    be_granted(p);
    struct mkt_payload ticket = payload_of(offered(p), MKT_TICKET, 0);
    expect_err("as it is", opened(own, &ticket, &got), MKT_E_TICKET_TYPE);
    ticket.ticket.type = 2;
    expect_err("with another type", opened(own, &ticket, &got), MKT_E_TICKET_TYPE);
    free(own);
    parties_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("own_type");
    TCase *tcase = tcase_create("own_type");
    tcase_add_loop_test(tcase, only_as_the_type_that_it_has, 0, 2);
    tcase_add_test(tcase, a_base_ticket_is_no_such_one);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
