/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a TP payload: the policy that is read and written is read again as the same, and allowed or refused as
 * before. Text is read as flags.
 */
#include <mikeyticket.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static struct mkt_buf put(const struct mkt_policy *policy)
{
    struct mkt_buf measured = {NULL, 0, 0};
    require(mkt_policy_encode(policy, &measured) == MKT_OK);
    struct mkt_buf out = {malloc(measured.n), measured.n, 0};
    require(out.p != NULL && mkt_policy_encode(policy, &out) == MKT_OK && out.n == measured.n);
    return out;
}

/* Policies are written with whole seconds. */
static bool whole_seconds(const struct mkt_policy *p)
{
    return (uint32_t)p->start == 0 && (uint32_t)p->end == 0 && (uint32_t)p->rekeying == 0;
}

/* An identity or application without data can be read, and is not written. */
static bool has_empty(const struct mkt_policy *p)
{
    for (size_t i = 0; i < p->n_responders; i++)
        if (p->responder[i].data.n == 0)
            return true;
    for (size_t i = 0; i < p->n_applications; i++)
        if (p->application[i].n == 0)
            return true;
    return false;
}

static void read_policy(struct mkt_ticket_payload payload)
{
    const mkt_ntp moments[] = {0, (mkt_ntp)3960616022 << 32, UINT64_MAX};
    struct mkt_policy policy, again;
    if (mkt_policy_decode(&policy, &payload) != MKT_OK || has_empty(&policy))
        return;
    struct mkt_buf first = put(&policy);
    payload.tp_data = (struct mkt_span){first.p, first.n};
    require(mkt_policy_decode(&again, &payload) == MKT_OK);
    struct mkt_buf second = put(&again);
    require(second.n == first.n && memcmp(first.p, second.p, first.n) == 0);
    require(again.flags == policy.flags && again.prf == policy.prf && again.type == policy.type);
    require(again.n_responders == policy.n_responders && again.n_applications == policy.n_applications);
    require(again.has_kemac == policy.has_kemac && mkt_span_equal(again.kemac, policy.kemac));
    for (size_t i = 0; i < policy.n_responders; i++)
        require(mkt_id_equal(&again.responder[i], &policy.responder[i]));
    for (size_t i = 0; whole_seconds(&policy) && i < sizeof moments / sizeof *moments; i++)
        require(mkt_policy_check(&again, moments[i]) == mkt_policy_check(&policy, moments[i]));
    free(first.p);
    free(second.p);
}

static void read_flags(const uint8_t *data, size_t size)
{
    char *letters = malloc(size + 1);
    uint16_t flags = 0;
    require(letters != NULL);
    memcpy(letters, data, size);
    letters[size] = '\0';
    if (mkt_flags_parse(&flags, letters) == MKT_OK)
        require(flags < 1 << 12 && (flags != 0) == (letters[0] != '\0'));
    free(letters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mkt_span rest = {data, size};
    struct mkt_payload payload;
    uint16_t type = MKT_TP;
    if (size > 0)
        read_flags(data, size);
    if (mkt_payload_decode(&payload, &type, &rest) == MKT_OK)
        read_policy(payload.ticket);
    return 0;
}
