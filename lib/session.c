/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

/* ---- security policies ---- */

/* An SP for TLS has no parameters (design decision D10). */
static void add_sp(struct mkt_message *message, uint8_t policy_no, uint8_t prot_type)
{
    mkt_message_add(message, MKT_SP)->sp = (struct mkt_sp){policy_no, prot_type, {NULL, 0}};
}

/* The SP with a policy number, or NULL. */
static const struct mkt_sp *find_sp(const struct mkt_message *message, uint8_t policy_no)
{
    for (size_t i = 0; i < message->n; i++)
        if (message->payload[i].type == MKT_SP && message->payload[i].sp.policy_no == policy_no)
            return &message->payload[i].sp;
    return NULL;
}

/* RFC 3830 6.10: "each security policy payload must be given a distinct number". */
static enum mkt_err check_sps(const struct mkt_message *message)
{
    for (size_t i = 0; i < message->n; i++) {
        const struct mkt_sp *sp = &message->payload[i].sp;
        if (message->payload[i].type == MKT_SP && find_sp(message, sp->policy_no) != sp)
            return MKT_E_SP;
    }
    return MKT_OK;
}

/* Whether a security policy is one that this party accepts: by the host's word, else one without parameters (D10). */
static bool acceptable(const struct mkt_act *act, const struct mkt_sp *sp)
{
    return act->host->acceptable != NULL ? act->host->acceptable(act->host->user, sp) : sp->params.n == 0;
}

/* The SP of a policy number in one of two messages, or NULL; `second` may be NULL. */
static const struct mkt_sp *sp_of(uint8_t policy_no, const struct mkt_message *first, const struct mkt_message *second)
{
    const struct mkt_sp *sp = find_sp(first, policy_no);
    return sp != NULL || second == NULL ? sp : find_sp(second, policy_no);
}

/*
 * Each policy of a crypto session is that of an SP of its Prot type, and one of them is acceptable: `choice` is its
 * number. 4.2.2.2: "The Responder SHALL however check that [...] the security policies are acceptable." 4.2.2.4: "the
 * Initiator MUST check that any Responder-generated security policies are acceptable."
 */
static enum mkt_err check_policies(const struct mkt_act *act, const struct mkt_cs *cs, const struct mkt_message *first,
                                   const struct mkt_message *second, const uint8_t **choice)
{
    *choice = NULL;
    for (size_t i = 0; i < cs->policies.n; i++) {
        const struct mkt_sp *sp = sp_of(cs->policies.p[i], first, second);
        if (sp == NULL || sp->prot_type != cs->prot_type)
            return MKT_E_SP;
        if (*choice == NULL && acceptable(act, sp))
            *choice = &cs->policies.p[i];
    }
    return *choice == NULL && cs->policies.n > 0 ? MKT_E_SP : MKT_OK;
}

/* ---- keys ---- */

/* Whether one of the sessions of a map has an SPI. */
static bool spi_in(struct mkt_span map, struct mkt_span spi)
{
    struct mkt_cs cs;
    while (map.n > 0 && mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map) == MKT_OK)
        if (mkt_span_equal(cs.spi, spi))
            return true;
    return false;
}

/*
 * Every SPI of a map names a session key of the bundle; `needed` where none may be left out. RFC 3830 6.13: "the TEK
 * can generally not be shared between more than one Crypto Session (unless the Security protocol allows for this, e.g.,
 * SRTP)".
 */
enum mkt_err mkt_sessions_check_keys(const struct mkt_bundle *b, struct mkt_span map, bool needed)
{
    struct mkt_cs cs;
    struct mkt_key_data key;
    while (map.n > 0) {
        enum mkt_err err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map);
        if (err != MKT_OK)
            return err;
        if (cs.spi.n == 0 && !needed)
            continue;
        if (!mkt_bundle_key(b, cs.spi, &key))
            return MKT_E_SPI;
        if (mkt_key_is_tek(&key) && cs.prot_type != MKT_PROT_SRTP && spi_in(map, cs.spi))
            return MKT_E_SPI;
    }
    return MKT_OK;
}

/*
 * The SPI for the n-th crypto session that needs one: of the n-th session key, those that were supplied first; where
 * there are fewer, of the last, unless that is a TEK. Empty where there is none.
 */
static struct mkt_span pick_spi(const struct mkt_bundle *b, size_t n)
{
    const struct mkt_span chains[] = {b->supplied[1], b->supplied[0], b->keys};
    struct mkt_span last = {NULL, 0};
    struct mkt_key_data key;
    for (size_t c = 0; c < sizeof chains / sizeof *chains; c++) {
        for (size_t i = 0; mkt_keys_session(chains[c], i, &key); i++) {
            if (n-- == 0)
                return key.kv.spi;
            last = mkt_key_is_tek(&key) ? last : key.kv.spi;
        }
    }
    return last;
}

/* ---- the crypto sessions of a TRANSFER_INIT ---- */

/* The crypto session of a map with a CS ID. */
static bool find_cs(struct mkt_span map, uint8_t cs_id, struct mkt_cs *cs)
{
    while (map.n > 0 && mkt_cs_get(cs, MKT_MAP_GENERIC_ID, 0, &map) == MKT_OK)
        if (cs->cs_id == cs_id)
            return true;
    return false;
}

/*
 * Whether the crypto sessions are such as this bundle can have. Without F no response will settle what is open: each
 * then has just one policy, and an SPI.
 */
enum mkt_err mkt_sessions_check_offered(const struct mkt_act *act, const struct mkt_message *message)
{
    const struct mkt_hdr *hdr = &message->hdr;
    const bool settled = !mkt_bundle_has(&act->bundle, MKT_FLAG_F);
    struct mkt_span map = hdr->map;
    struct mkt_cs cs, same;
    const uint8_t *choice;
    if (hdr->map_type != MKT_MAP_GENERIC_ID || hdr->n_cs == 0 || hdr->n_cs > act->settings->max_sessions)
        return MKT_E_CS;
    enum mkt_err err = check_sps(message);
    for (unsigned i = 0; i < hdr->n_cs && err == MKT_OK; i++) {
        err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map);
        if (err != MKT_OK)
            return err;
        if (cs.prot_type != act->settings->prot_type)
            return MKT_E_PROT;
        if (find_cs(map, cs.cs_id, &same))
            return MKT_E_CS;
        if (settled && cs.policies.n != 1)
            return MKT_E_SP;
        if (settled && cs.spi.n == 0)
            return MKT_E_SPI;
        err = check_policies(act, &cs, message, NULL, &choice);
    }
    return err;
}

/*
 * The crypto sessions of an offer, by default the one of the TLS profile (design decisions D10, D11) with the policies
 * of the offer; without F it needs one in any case.
 */
enum mkt_err mkt_sessions_offer(struct mkt_act *act, struct mkt_message *message)
{
    const struct mkt_offer *offer = act->offer;
    const bool needs_sp = !mkt_bundle_has(&act->bundle, MKT_FLAG_F) && offer->n_cs == 0 && offer->n_sp == 0;
    uint8_t policies[MKT_MAX_PAYLOADS] = {0};
    for (size_t i = 0; i < offer->n_sp; i++) {
        mkt_message_add(message, MKT_SP)->sp = offer->sp[i];
        policies[i] = offer->sp[i].policy_no;
    }
    if (needs_sp)
        add_sp(message, policies[0], act->settings->prot_type);
    const struct mkt_cs tls = {
        .cs_id = 1,
        .prot_type = act->settings->prot_type,
        .policies = {policies, needs_sp ? 1 : offer->n_sp},
    };
    const struct mkt_cs *cs = offer->n_cs > 0 ? offer->cs : &tls;
    const size_t n = offer->n_cs > 0 ? offer->n_cs : 1, from = act->room.n;
    enum mkt_err err = n > UINT8_MAX ? MKT_E_CS : MKT_OK;
    for (size_t i = 0, without = 0; i < n && err == MKT_OK; i++) {
        struct mkt_cs put = cs[i];
        if (put.spi.n == 0)
            put.spi = pick_spi(&act->bundle, without++);
        err = mkt_cs_put(&put, MKT_MAP_GENERIC_ID, &act->room);
    }
    message->hdr.n_cs = (uint8_t)n;
    message->hdr.map = io_tail(&act->room, from);
    return err == MKT_E_SPACE ? MKT_E_ROOM : err;
}

/* ---- the crypto sessions of a TRANSFER_RESP ---- */

/* A policy number that no SP of the offer has. */
static uint8_t free_policy_no(const struct mkt_message *init)
{
    uint8_t no = 0;
    while (no < UINT8_MAX && find_sp(init, no) != NULL)
        no++;
    return no;
}

/*
 * "The Responder SHALL update the CS ID map info so that each crypto session has exactly one security policy indicated.
 * The Responder MUST provide [...] SPI for each crypto session for which the Initiator has not supplied [...] SPI."
 */
enum mkt_err mkt_sessions_answer(struct mkt_act *act, struct mkt_message *m)
{
    const struct mkt_message *init = act->message;
    struct mkt_bundle *b = &act->bundle;
    const uint8_t new_policy = free_policy_no(init);
    const size_t from = act->room.n;
    struct mkt_span rest = init->hdr.map;
    struct mkt_key_data key;
    bool needs_sp = false;
    size_t without = 0;
    enum mkt_err err = MKT_OK;
    for (unsigned i = 0; i < init->hdr.n_cs && err == MKT_OK; i++) {
        const uint8_t *choice;
        struct mkt_cs cs;
        err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &rest);
        if (err == MKT_OK)
            err = check_policies(act, &cs, init, NULL, &choice);
        if (err != MKT_OK)
            return err;
        /* keys that the Responder supplies are meant to be used: they take the place of what was offered */
        if (cs.spi.n == 0 || mkt_keys_session(b->supplied[1], without, &key))
            cs.spi = pick_spi(b, without++);
        if (cs.spi.n == 0)
            return MKT_E_SPI;
        needs_sp |= choice == NULL;
        cs.policies = (struct mkt_span){choice != NULL ? choice : &new_policy, 1};
        err = mkt_cs_put(&cs, MKT_MAP_GENERIC_ID, &act->room);
    }
    b->map = io_tail(&act->room, from);
    b->n_cs = init->hdr.n_cs;
    m->hdr.map = b->map;
    m->hdr.n_cs = b->n_cs;
    if (needs_sp)
        add_sp(m, new_policy, act->settings->prot_type);
    return err == MKT_E_SPACE ? MKT_E_ROOM : err;
}

/* The crypto sessions of the answer: those of the offer, each with one policy, known by now, and an SPI. */
enum mkt_err mkt_sessions_check_answered(const struct mkt_act *act, const struct mkt_message *init)
{
    const struct mkt_message *m = act->message;
    struct mkt_span map = m->hdr.map;
    if (m->hdr.map_type != MKT_MAP_GENERIC_ID || m->hdr.n_cs != init->hdr.n_cs)
        return MKT_E_CS;
    enum mkt_err err = check_sps(m);
    for (unsigned i = 0; i < m->hdr.n_cs && err == MKT_OK; i++) {
        struct mkt_cs cs, offered;
        const uint8_t *choice;
        err = mkt_cs_get(&cs, MKT_MAP_GENERIC_ID, 0, &map);
        if (err != MKT_OK)
            return err;
        if (cs.prot_type != act->settings->prot_type)
            return MKT_E_PROT;
        if (find_cs(map, cs.cs_id, &offered) || !find_cs(init->hdr.map, cs.cs_id, &offered))
            return MKT_E_CS;
        /* 6.1.1: "In response messages, #P SHALL always be exactly 1." */
        if (cs.policies.n != 1)
            return MKT_E_SP;
        if (cs.spi.n == 0)
            return MKT_E_SPI;
        err = check_policies(act, &cs, m, init, &choice);
    }
    return err;
}
