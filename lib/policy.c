/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy.h"

static const char flag_letters[] = "DEFGHIJKLMNO"; /* from the first on the wire to the last */

enum mkt_err mkt_flags_parse(uint16_t *flags, const char *letters)
{
    uint16_t all = 0;
    for (const char *l = letters; *l != '\0'; l++) {
        const char *at = strchr(flag_letters, *l);
        if (at == NULL)
            return MKT_E_ARGUMENT;
        all |= (uint16_t)(MKT_FLAG_D >> (at - flag_letters));
    }
    *flags = all;
    return MKT_OK;
}

struct mkt_policy mkt_policy_default(enum mkt_suite suite)
{
    return (struct mkt_policy){
        .type = MKT_TICKET_BASE,
        .subtype = MKT_TICKET_BASE_SUBTYPE,
        .version = MKT_TICKET_BASE_VERSION,
        .prf = mkt_suite_algorithms(suite)->prf,
        .flags = MKT_FLAG_F | MKT_FLAG_G | MKT_FLAG_H | MKT_FLAG_J | MKT_FLAG_L | MKT_FLAG_N | MKT_FLAG_O,
    };
}

struct mkt_policy mkt_policy_forked(enum mkt_suite suite)
{
    struct mkt_policy policy = mkt_policy_default(suite);
    policy.flags = (uint16_t)((policy.flags & ~MKT_FLAG_L) | MKT_FLAG_D | MKT_FLAG_E | MKT_FLAG_I);
    return policy;
}

/* TP Data = First Payload, [IDRkms], [IDRi], [TRs], [TRe], [TRr], [KEMAC], {IDRapp}, (IDRr) */
enum { IDRKMS, IDRI, TRS, TRE, TRR, KEMAC, PARTS };
static const struct mkt_rule policy_rules[PARTS] = {
    [IDRKMS] = {MKT_IDR, MKT_IDR_KMS, 0, 1},
    [IDRI] = {MKT_IDR, MKT_IDR_I, 0, 1},
    [TRS] = {MKT_TR, MKT_TR_S, 0, 1},
    [TRE] = {MKT_TR, MKT_TR_E, 0, 1},
    [TRR] = {MKT_TR, MKT_TR_R, 0, 1},
    [KEMAC] = {MKT_KEMAC, 0, 0, 1},
};

/* 6.10: "TRs SHALL be interpreted as being in the range 1968-2104": it is no counter. TRr is NTP-UTC-32. */
static bool is_time(const struct mkt_payload *tr, bool *present, mkt_ntp *time)
{
    *present = tr->type == MKT_TR;
    *time = mkt_t_64(&tr->t);
    return !*present || (tr->t.role == MKT_TR_R ? tr->t.ts_type == MKT_TS_NTP_UTC_32 : tr->t.ts_type != MKT_TS_COUNTER);
}

/* Puts a payload in its place: IDRapp and IDRr in their lists, what may stand once among the parts. */
static enum mkt_err read_part(struct mkt_policy *policy, struct mkt_payload part[PARTS], const struct mkt_payload *p)
{
    const uint8_t role = mkt_payload_role(p);
    const bool app = p->type == MKT_IDR && role == MKT_IDR_APP, responder = p->type == MKT_IDR && role == MKT_IDR_R;
    size_t i = 0;
    if ((app && policy->n_applications == MKT_MAX_APPLICATIONS) ||
        (responder && policy->n_responders == MKT_MAX_RESPONDERS))
        return MKT_E_POLICY;
    if (app)
        policy->application[policy->n_applications++] = p->id.data;
    if (responder)
        policy->responder[policy->n_responders++] = p->id;
    while (i < PARTS && (policy_rules[i].type != p->type || policy_rules[i].role != role))
        i++;
    if (i < PARTS && part[i].type != MKT_LAST)
        return MKT_E_TOO_MANY;
    if (i < PARTS)
        part[i] = *p;
    return MKT_OK;
}

enum mkt_err mkt_policy_decode(struct mkt_policy *policy, const struct mkt_ticket_payload *payload)
{
    struct mkt_span rest = payload->tp_data;
    struct mkt_payload p, part[PARTS] = {{0}};
    const struct mkt_kemac *kemac = &part[KEMAC].kemac;
    uint16_t type;
    *policy = (struct mkt_policy){
        .type = payload->type,
        .subtype = payload->subtype,
        .version = payload->version,
        .prf = (uint8_t)payload->prf,
        .flags = payload->flags,
    };
    enum mkt_err err = mkt_chain_decode(&type, &rest);
    while (err == MKT_OK && type != MKT_LAST) {
        err = mkt_payload_decode(&p, &type, &rest);
        err = err == MKT_OK ? read_part(policy, part, &p) : err;
    }
    if (err != MKT_OK)
        return err;
    policy->kms = part[IDRKMS].id;
    policy->initiator = part[IDRI].id;
    policy->has_kemac = part[KEMAC].type == MKT_KEMAC;
    policy->kemac = kemac->encr_data;
    /* 6.10: "The KEMAC payload SHALL use the NULL encryption algorithm and the NULL authentication algorithm" */
    const bool fits = is_time(&part[TRS], &policy->has_start, &policy->start) &&
                      is_time(&part[TRE], &policy->has_end, &policy->end) &&
                      is_time(&part[TRR], &policy->has_rekeying, &policy->rekeying) &&
                      kemac->encr_alg == MKT_ENCR_NULL && kemac->mac_alg == MKT_MAC_NULL;
    return fits ? MKT_OK : MKT_E_POLICY;
}

/* A list of payloads to be written: no more than TP Data can have. */
struct list {
    size_t n;
    struct mkt_payload payload[6 + MKT_MAX_APPLICATIONS + MKT_MAX_RESPONDERS];
};

static void add_idr(struct list *list, uint8_t role, uint8_t type, struct mkt_span data)
{
    if (data.n > 0)
        list->payload[list->n++] = (struct mkt_payload){.type = MKT_IDR, .id = {role, type, data}};
}

static void add_tr(struct list *list, uint8_t role, bool present, mkt_ntp time)
{
    if (present)
        list->payload[list->n++] = (struct mkt_payload){.type = MKT_TR, .t = {role, MKT_TS_NTP_UTC_32, time >> 32}};
}

enum mkt_err mkt_policy_encode(const struct mkt_policy *policy, struct mkt_buf *tp_data)
{
    struct list tp = {.n = 0};
    if (policy->n_responders > MKT_MAX_RESPONDERS || policy->n_applications > MKT_MAX_APPLICATIONS)
        return MKT_E_ARGUMENT;
    add_idr(&tp, MKT_IDR_KMS, policy->kms.type, policy->kms.data);
    add_idr(&tp, MKT_IDR_I, policy->initiator.type, policy->initiator.data);
    add_tr(&tp, MKT_TR_S, policy->has_start, policy->start);
    add_tr(&tp, MKT_TR_E, policy->has_end, policy->end);
    add_tr(&tp, MKT_TR_R, policy->has_rekeying, policy->rekeying);
    if (policy->has_kemac)
        tp.payload[tp.n++] = (struct mkt_payload){.type = MKT_KEMAC, .kemac = {.encr_data = policy->kemac}};
    const size_t n = tp.n + policy->n_applications + policy->n_responders;
    for (size_t i = 0; i < policy->n_applications; i++)
        add_idr(&tp, MKT_IDR_APP, MKT_ID_BYTES, policy->application[i]);
    for (size_t i = 0; i < policy->n_responders; i++)
        add_idr(&tp, MKT_IDR_R, policy->responder[i].type, policy->responder[i].data);
    /* an IDRapp left out would authorise all applications */
    return tp.n < n ? MKT_E_ARGUMENT : mkt_chain_encode(tp.payload, tp.n, tp_data);
}

enum mkt_err mkt_policy_payload(const struct mkt_policy *policy, struct mkt_buf *arena, struct mkt_ticket_payload *out)
{
    const size_t from = arena->n;
    const enum mkt_err err = mkt_policy_encode(policy, arena);
    *out = (struct mkt_ticket_payload){
        .type = policy->type,
        .subtype = policy->subtype,
        .version = policy->version,
        .prf = policy->prf,
        .flags = policy->flags,
        .tp_data = io_tail(arena, from),
    };
    return err;
}

/* 6.10: "the flags are not independent: NOT D implies L, G implies F, NOT G implies H, NOT H implies G, I implies E,
 * K implies D, and M implies F." So if the first is set, one of the others is. */
enum mkt_err mkt_policy_flags_check(uint16_t flags, struct mkt_detail *detail)
{
    static const struct {
        uint16_t flag, implied;
        const char *missing;
    } implications[] = {
        {0, MKT_FLAG_D | MKT_FLAG_L, "D or L"},       {MKT_FLAG_G, MKT_FLAG_F, "F, as G is set"},
        {0, MKT_FLAG_G | MKT_FLAG_H, "G or H"},       {MKT_FLAG_I, MKT_FLAG_E, "E, as I is set"},
        {MKT_FLAG_K, MKT_FLAG_D, "D, as K is set"},   {MKT_FLAG_M, MKT_FLAG_F, "F, as M is set"},
    };
    for (size_t i = 0; i < sizeof implications / sizeof *implications; i++)
        if ((flags & implications[i].flag) == implications[i].flag && (flags & implications[i].implied) == 0)
            return mkt_blame(detail, MKT_E_FLAGS, implications[i].missing, NULL);
    return MKT_OK;
}

enum mkt_err mkt_policy_sound(const struct mkt_policy *policy, struct mkt_detail *detail)
{
    enum mkt_suite suite;
    enum mkt_err err = mkt_suite_of_prf(policy->prf, &suite);
    err = err == MKT_OK ? mkt_policy_flags_check(policy->flags, detail) : err;
    if (err != MKT_OK)
        return err;
    /* "The KEMAC SHALL NOT be present in the granted Ticket Policy"; the rest is design decision D24 */
    if (policy->has_kemac || policy->n_responders == 0)
        return MKT_E_POLICY;
    if (policy->has_start && policy->has_end && !mkt_ntp_before(policy->start, policy->end))
        return MKT_E_VALIDITY;
    return MKT_OK;
}

static enum mkt_err valid_at(const struct mkt_policy *policy, mkt_ntp now)
{
    if (policy->has_start && mkt_ntp_before(now, policy->start))
        return MKT_E_NOT_YET;
    if (policy->has_end && mkt_ntp_before(policy->end, now))
        return MKT_E_EXPIRED;
    return MKT_OK;
}

enum mkt_err mkt_policy_valid(const struct mkt_policy *policy, const struct mkt_host *host)
{
    mkt_ntp now;
    const enum mkt_err err = mkt_host_now(host, &now);
    return err == MKT_OK ? valid_at(policy, now) : err;
}

enum mkt_err mkt_policy_check(const struct mkt_policy *policy, mkt_ntp now)
{
    const bool usable = mkt_policy_is_base(policy) || (policy->flags & (MKT_FLAG_N | MKT_FLAG_O)) != 0;
    enum mkt_err err = usable ? mkt_policy_sound(policy, NULL) : MKT_E_TICKET_TYPE;
    return err == MKT_OK ? valid_at(policy, now) : err;
}

/* To the second: policies are written with no more (NTP-UTC-32). */
static bool same_time(bool has_a, mkt_ntp a, bool has_b, mkt_ntp b)
{
    return has_a == has_b && (!has_a || a >> 32 == b >> 32);
}

bool mkt_policy_has_application(const struct mkt_policy *policy, struct mkt_span application)
{
    for (size_t i = 0; i < policy->n_applications; i++)
        if (mkt_span_equal(policy->application[i], application))
            return true;
    return false;
}

/* Whether one has all applications and responders of the other. */
static bool has_all(const struct mkt_policy *a, const struct mkt_policy *b)
{
    for (size_t i = 0; i < b->n_applications; i++)
        if (!mkt_policy_has_application(a, b->application[i]))
            return false;
    for (size_t i = 0; i < b->n_responders; i++) {
        bool found = false;
        for (size_t j = 0; j < a->n_responders; j++)
            found |= mkt_id_equal(&a->responder[j], &b->responder[i]);
        if (!found)
            return false;
    }
    return true;
}

bool mkt_policy_same(const struct mkt_policy *a, const struct mkt_policy *b)
{
    return a->type == b->type && a->subtype == b->subtype && a->version == b->version && a->prf == b->prf &&
           ((a->flags ^ b->flags) & ~(MKT_FLAG_D | MKT_FLAG_K)) == 0 && mkt_id_equal(&a->kms, &b->kms) &&
           mkt_id_equal(&a->initiator, &b->initiator) && same_time(a->has_start, a->start, b->has_start, b->start) &&
           same_time(a->has_end, a->end, b->has_end, b->end) &&
           same_time(a->has_rekeying, a->rekeying, b->has_rekeying, b->rekeying) && has_all(a, b) && has_all(b, a);
}
