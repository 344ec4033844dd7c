/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

/* ---- security policies ---- */

/* Where the SP of each policy number is: in a message, in the one that it answers, or in the bundle. */
struct known {
    const struct mkt_message *message, *init; /* either may be NULL */
    struct mkt_span sps;
    bool renewed[UINT8_MAX + 1]; /* the message has another SP of that number than the bundle */
    uint32_t at[UINT8_MAX + 1];  /* 0: nowhere; MESSAGE or INIT and a payload, BUNDLE and an octet of `sps` */
};
enum { MESSAGE = 1, INIT = MESSAGE + MKT_MAX_PAYLOADS, BUNDLE = INIT + MKT_MAX_PAYLOADS };

enum mkt_err mkt_sps_next(struct mkt_sp *sp, struct mkt_span *rest)
{
    struct mkt_payload p;
    uint16_t type = MKT_SP; /* the next one is an SP by keep_sps(), also where there is none */
    const enum mkt_err err = mkt_payload_decode(&p, &type, rest);
    *sp = p.sp;
    return err;
}

static bool find_known(const struct known *known, uint8_t policy_no, struct mkt_sp *sp)
{
    const uint32_t at = known->at[policy_no];
    const struct mkt_message *m = at < INIT ? known->message : known->init;
    struct mkt_span before = {NULL, 0};
    struct io io = io_get(known->sps);
    if (at > 0 && at < BUNDLE && m != NULL)
        *sp = m->payload[at < INIT ? at - MESSAGE : at - INIT].sp;
    if (at < BUNDLE)
        return at > 0;
    io_bytes(&io, &before, at - BUNDLE);
    struct mkt_span rest = io_rest(&io);
    return mkt_sps_next(sp, &rest) == MKT_OK;
}

/* A stranger may name any policy any number of times: this looks at each SP once. */
static enum mkt_err know(struct known *known, const struct mkt_message *message, const struct mkt_message *init,
                         struct mkt_span sps)
{
    struct mkt_sp before;
    *known = (struct known){.message = message, .init = init, .sps = sps};
    for (struct mkt_span rest = sps; rest.n > 0;) {
        const uint32_t octet = (uint32_t)(sps.n - rest.n);
        (void)!mkt_sps_next(&before, &rest); /* after an error nothing is left */
        known->at[before.policy_no] = BUNDLE + octet;
    }
    for (uint32_t i = 0; message != NULL && i < message->n; i++) {
        const struct mkt_sp *sp = &message->payload[i].sp;
        if (message->payload[i].type != MKT_SP)
            continue;
        uint32_t *at = &known->at[sp->policy_no];
        /* RFC 3830 6.10: "each security policy payload must be given a distinct number" */
        if (*at > 0 && *at < BUNDLE)
            return MKT_E_SP;
        known->renewed[sp->policy_no] =
            find_known(known, sp->policy_no, &before) &&
            (sp->prot_type != before.prot_type || !mkt_span_equal(sp->params, before.params));
        *at = MESSAGE + i;
    }
    for (uint32_t i = 0; init != NULL && i < init->n; i++) {
        if (init->payload[i].type != MKT_SP)
            continue;
        uint32_t *at = &known->at[init->payload[i].sp.policy_no];
        if (*at == 0 || *at >= BUNDLE)
            *at = INIT + i;
    }
    return MKT_OK;
}

/* Whether a security policy is one that this party accepts: by the host's word, else one without parameters (D10). */
static bool acceptable(const struct mkt_txn *txn, const struct mkt_sp *sp)
{
    return txn->host->acceptable != NULL ? txn->host->acceptable(txn->host->user, sp) : sp->params.n == 0;
}

/* Each policy of a crypto session is that of an SP of its Prot type, and one is acceptable: `choice` is its number.
 * 4.2.2.2: "The Responder SHALL however check that [...] the security policies are acceptable"; 4.2.2.4 the same. */
static enum mkt_err check_policies(const struct mkt_txn *txn, const struct mkt_cs *cs, const struct known *known,
                                   const uint8_t **choice)
{
    struct mkt_sp sp;
    *choice = NULL;
    for (size_t i = 0; i < cs->policies.n; i++) {
        if (!find_known(known, cs->policies.p[i], &sp))
            return MKT_E_SP;
        if (sp.prot_type != cs->prot_type)
            return MKT_E_PROT;
        if (*choice == NULL && acceptable(txn, &sp))
            *choice = &cs->policies.p[i];
    }
    return *choice == NULL && cs->policies.n > 0 ? MKT_E_SP_PARAMETERS : MKT_OK;
}

/* ---- crypto sessions ---- */

/* Takes the next one off a map, which was decoded with its message. */
static bool next_cs(struct mkt_span *map, struct mkt_cs *cs)
{
    return map->n > 0 && mkt_cs_next(cs, MKT_MAP_GENERIC_ID, 0, map) == MKT_OK;
}

bool mkt_cs_find(struct mkt_span map, uint8_t cs_id, struct mkt_cs *cs)
{
    while (next_cs(&map, cs))
        if (cs->cs_id == cs_id)
            return true;
    return false;
}

/* What crypto sessions of a message must be like whether it is an initial one or a response. */
static enum mkt_err check_cs(const struct mkt_txn *txn, const struct mkt_cs *cs, bool settled)
{
    enum { SSRC = 4, ROC = 4, SEQ = 2 };
    if (cs->prot_type != txn->settings->prot_type)
        return MKT_E_PROT;
    /* 6.1.1: "In response messages, #P SHALL always be exactly 1." */
    if (settled && cs->policies.n != 1)
        return MKT_E_SP;
    if (settled && cs->spi.n == 0)
        return MKT_E_SPI;
    /* 6.1.1: the Session Data of SRTP is SSRC, with the S flag also ROC and SEQ; it "MAY be omitted in the initial
     * message (length = 0), but it MUST be provided in the response message." That of others is not checked. */
    if (cs->prot_type != MKT_PROT_SRTP || (cs->session_data.n == 0 && !settled))
        return MKT_OK;
    return cs->session_data.n == (cs->s ? SSRC + ROC + SEQ : SSRC) ? MKT_OK : MKT_E_CS;
}

/* The MAC is not verified yet: each session of the message, of the bundle and of the offer is looked at once. */
enum mkt_err mkt_sessions_check(const struct mkt_txn *txn, const struct mkt_message *message,
                                const struct mkt_message *init, bool settled)
{
    const struct mkt_hdr *hdr = &message->hdr;
    struct mkt_span map = hdr->map, old = txn->bundle.map, offered = init != NULL ? init->hdr.map : io_none;
    size_t n = hdr->n_cs;
    bool named[UINT8_MAX + 1] = {false};
    struct known known;
    struct mkt_cs cs;
    const uint8_t *choice;
    if (n == 0 || n > txn->settings->max_sessions)
        return MKT_E_CS;
    enum mkt_err err = know(&known, message, init, txn->bundle.sps);
    while (err == MKT_OK && next_cs(&map, &cs)) {
        err = named[cs.cs_id] ? MKT_E_CS : check_cs(txn, &cs, settled);
        err = err == MKT_OK ? check_policies(txn, &cs, &known, &choice) : err;
        named[cs.cs_id] = true;
    }
    while (err == MKT_OK && next_cs(&old, &cs)) {
        n += !named[cs.cs_id];
        /* an SP of an update can't change the policy of a session that the update does not speak of */
        if (!named[cs.cs_id] && known.renewed[cs.policies.p[0]])
            err = MKT_E_SP;
    }
    while (err == MKT_OK && next_cs(&offered, &cs))
        err = named[cs.cs_id] ? MKT_OK : MKT_E_CS;
    return err == MKT_OK && n > txn->settings->max_sessions ? MKT_E_CS : err;
}

/* ---- keys ---- */

bool mkt_spi_in(struct mkt_span map, struct mkt_span spi)
{
    struct mkt_cs cs;
    while (next_cs(&map, &cs))
        if (mkt_span_equal(cs.spi, spi))
            return true;
    return false;
}

/* RFC 3830 6.13: "the TEK can generally not be shared between more than one Crypto Session (unless [...] SRTP)" */
enum mkt_err mkt_sessions_check_keys(const struct mkt_bundle *b, struct mkt_span map, bool needed)
{
    struct mkt_cs cs;
    struct mkt_key_data key;
    while (map.n > 0) {
        const enum mkt_err err = mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 0, &map);
        if (err != MKT_OK)
            return err;
        if (cs.spi.n == 0 && !needed)
            continue;
        if (!mkt_bundle_key(b, cs.spi, &key))
            return MKT_E_SPI;
        if (mkt_key_is_tek(key.type) && cs.prot_type != MKT_PROT_SRTP && mkt_spi_in(map, cs.spi))
            return MKT_E_SPI;
    }
    return MKT_OK;
}

/* Returns the SPI of the n-th session key, those of the last chain first. If there are fewer keys, the last one that is
 * no TEK is shared; `otherwise` if there is none. */
static struct mkt_span pick_spi(const struct mkt_span chains[], size_t n_chains, size_t n, struct mkt_span otherwise)
{
    struct mkt_key_data key;
    while (n_chains-- > 0) {
        for (struct mkt_keys keys = mkt_keys_of(chains[n_chains]); mkt_keys_next_session(&keys, &key);) {
            if (n-- == 0)
                return key.kv.spi;
            otherwise = mkt_key_is_tek(key.type) ? otherwise : key.kv.spi;
        }
    }
    return otherwise;
}

/* ---- the crypto sessions of a TRANSFER_INIT ---- */

static enum mkt_err put_cs(struct mkt_txn *txn, const struct mkt_cs *cs)
{
    enum mkt_err err = mkt_cs_encode(cs, MKT_MAP_GENERIC_ID, &txn->arena);
    return err == MKT_E_BUFFER ? MKT_E_BUNDLE_FULL : err;
}

/* The sessions that a party names, or all of the bundle. Such as the bundle has keep what is not said anew, their keys
 * included if no new ones are `supplied`. */
static enum mkt_err put_sessions(struct mkt_txn *txn, struct mkt_message *message, const struct mkt_cs *named,
                                 size_t n_named, bool supplied)
{
    const struct mkt_bundle *b = &txn->bundle;
    const size_t n = n_named > 0 ? n_named : b->n_cs;
    struct mkt_span rest = b->map;
    enum mkt_err err = n > UINT8_MAX ? MKT_E_CS : MKT_OK;
    for (size_t i = 0, without = 0; i < n && err == MKT_OK; i++) {
        struct mkt_cs before = {0};
        bool had = n_named == 0 && next_cs(&rest, &before);
        const struct mkt_cs same = {.cs_id = before.cs_id, .prot_type = before.prot_type};
        struct mkt_cs cs = had ? same : named[i];
        had = had || mkt_cs_find(b->map, cs.cs_id, &before);
        if (had && cs.policies.n == 0)
            cs.policies = before.policies;
        if (had && cs.session_data.n == 0) {
            cs.session_data = before.session_data;
            cs.s = before.s;
        }
        if (cs.spi.n == 0 && (had || supplied))
            cs.spi = pick_spi(&b->keys[MKT_FROM_UPDATE], 1, without++, before.spi);
        if (cs.spi.n == 0)
            cs.spi = pick_spi(b->keys, MKT_CHAINS, without++, io_none);
        err = put_cs(txn, &cs);
    }
    message->hdr.n_cs = (uint8_t)n;
    return err;
}

/* The crypto sessions of the first offer, by default the one of the TLS profile (D10, D11) with the policies of the
 * offer. Without F it needs a policy, as there is no answer to add one. */
static enum mkt_err offer_first(struct mkt_txn *txn, struct mkt_message *message)
{
    const struct mkt_offer *offer = txn->offer;
    const bool needs_sp = !mkt_bundle_has(&txn->bundle, MKT_FLAG_F) && offer->n_cs == 0 && offer->n_sp == 0;
    uint8_t policies[MKT_MAX_PAYLOADS] = {0};
    for (size_t i = 0; i < offer->n_sp; i++) {
        mkt_message_add(message, MKT_SP)->sp = offer->sp[i];
        policies[i] = offer->sp[i].policy_no;
    }
    if (needs_sp) /* an SP for TLS has no parameters (D10) */
        mkt_message_add(message, MKT_SP)->sp = (struct mkt_sp){policies[0], txn->settings->prot_type, {NULL, 0}};
    const struct mkt_cs tls = {
        .cs_id = 1,
        .prot_type = txn->settings->prot_type,
        .policies = {policies, needs_sp ? 1 : offer->n_sp},
    };
    return offer->n_cs > 0 ? put_sessions(txn, message, offer->cs, offer->n_cs, false)
                           : put_sessions(txn, message, &tls, 1, false);
}

/* The SPs of an update: those that it brings, and those that its sessions name and that were agreed on before. */
static enum mkt_err update_sps(struct mkt_txn *txn, struct mkt_message *message, struct mkt_span map)
{
    const struct mkt_update *update = txn->update;
    struct known known;
    struct mkt_cs cs;
    struct mkt_sp sp;
    for (size_t i = 0; i < update->n_sp; i++)
        mkt_message_add(message, MKT_SP)->sp = update->sp[i];
    enum mkt_err err = know(&known, message, NULL, txn->bundle.sps);
    while (err == MKT_OK && next_cs(&map, &cs)) {
        for (size_t i = 0; i < cs.policies.n; i++) {
            uint32_t *at = &known.at[cs.policies.p[i]];
            if (*at < BUNDLE || !find_known(&known, cs.policies.p[i], &sp))
                continue;
            if (message->n >= MKT_MAX_PAYLOADS - 4) /* KEMAC and V are still to come */
                return mkt_blame(txn->detail, MKT_E_TOO_MANY, "SP", NULL);
            *at = MESSAGE + (uint32_t)message->n;
            mkt_message_add(message, MKT_SP)->sp = sp;
        }
    }
    return err;
}

enum mkt_err mkt_sessions_offer(struct mkt_txn *txn, struct mkt_message *message, bool settled)
{
    const size_t from = txn->arena.n;
    const struct mkt_update *update = txn->update;
    enum mkt_err err = txn->offer != NULL ? offer_first(txn, message)
                                          : put_sessions(txn, message, update->cs, update->n_cs, update->n_keys > 0);
    message->hdr.map = io_tail(&txn->arena, from);
    err = err == MKT_OK && txn->offer == NULL ? update_sps(txn, message, message->hdr.map) : err;
    err = err == MKT_OK ? mkt_sessions_check(txn, message, NULL, settled) : err;
    return err == MKT_OK ? mkt_sessions_check_keys(&txn->bundle, message->hdr.map, settled) : err;
}

/* ---- the crypto sessions of a TRANSFER_RESP ---- */

/* What the answer says of a session. */
static const struct mkt_cs *answered(const struct mkt_answer *answer, uint8_t cs_id)
{
    for (size_t i = 0; i < answer->n_cs; i++)
        if (answer->cs[i].cs_id == cs_id)
            return &answer->cs[i];
    return NULL;
}

/* "each crypto session has exactly one security policy indicated. The Responder MUST provide Session Data (at least for
 * SRTP) and SPI for each crypto session for which the Initiator has not supplied Session Data and SPI." */
static enum mkt_err answer_cs(struct mkt_txn *txn, const struct known *known, struct mkt_cs *cs, size_t *without,
                              const uint8_t *new_policy, bool *needs_sp)
{
    const struct mkt_bundle *b = &txn->bundle;
    const struct mkt_cs *said = answered(txn->answer, cs->cs_id);
    struct mkt_key_data key;
    const uint8_t *choice;
    if (said != NULL && said->session_data.n > 0) {
        cs->session_data = said->session_data;
        cs->s = said->s;
    }
    if (said != NULL && said->policies.n > 0)
        cs->policies = said->policies;
    const enum mkt_err err = check_policies(txn, cs, known, &choice);
    if (err != MKT_OK)
        return err;
    if (said != NULL && said->spi.n > 0)
        cs->spi = said->spi;
    /* keys that the Responder supplies are meant to be used: they take the place of what was offered */
    else if (cs->spi.n == 0 || mkt_keys_session(b->keys[MKT_FROM_RESPONDER], *without, &key))
        cs->spi = pick_spi(b->keys, MKT_CHAINS, (*without)++, io_none);
    *needs_sp |= choice == NULL;
    cs->policies = (struct mkt_span){choice != NULL ? choice : new_policy, 1};
    return put_cs(txn, cs);
}

enum mkt_err mkt_sessions_answer(struct mkt_txn *txn, struct mkt_message *m)
{
    const struct mkt_message *init = txn->init;
    const struct mkt_answer *answer = txn->answer;
    const size_t from = txn->arena.n;
    struct known known;
    struct mkt_span rest = init->hdr.map;
    struct mkt_cs cs, same;
    bool needs_sp = false;
    size_t without = 0, n = init->hdr.n_cs;
    for (size_t i = 0; i < answer->n_sp; i++)
        mkt_message_add(m, MKT_SP)->sp = answer->sp[i];
    enum mkt_err err = know(&known, m, init, txn->bundle.sps);
    uint8_t new_policy = 0; /* that no SP of the offer, and none of the answer's, has */
    while (new_policy < UINT8_MAX && known.at[new_policy] != 0)
        new_policy++;
    while (err == MKT_OK && next_cs(&rest, &cs))
        err = answer_cs(txn, &known, &cs, &without, &new_policy, &needs_sp);
    /* "If the Responder adds crypto sessions, the #CS SHALL be updated." */
    for (size_t i = 0; i < answer->n_cs && err == MKT_OK; i++) {
        if (mkt_cs_find(init->hdr.map, answer->cs[i].cs_id, &same))
            continue;
        cs = answer->cs[i];
        n++;
        err = answer_cs(txn, &known, &cs, &without, &new_policy, &needs_sp);
    }
    m->hdr.map = io_tail(&txn->arena, from);
    m->hdr.n_cs = (uint8_t)n;
    if (err != MKT_OK || n > UINT8_MAX)
        return err == MKT_OK ? MKT_E_CS : err;
    if (needs_sp)
        mkt_message_add(m, MKT_SP)->sp = (struct mkt_sp){new_policy, txn->settings->prot_type, {NULL, 0}};
    return mkt_sessions_check(txn, m, init, true);
}

/* ---- the crypto sessions of the bundle ---- */

/* The SPs that the sessions of the bundle name, one each. */
static enum mkt_err keep_sps(struct mkt_txn *txn, const struct known *known)
{
    struct mkt_bundle *b = &txn->bundle;
    const size_t from = txn->arena.n;
    struct mkt_span rest = b->map;
    bool kept[UINT8_MAX + 1] = {false};
    struct mkt_payload p = {.type = MKT_SP};
    struct io io = io_put(&txn->arena);
    struct mkt_cs cs;
    while (io.err == MKT_OK && next_cs(&rest, &cs)) {
        const uint8_t policy_no = cs.policies.p[0];
        if (kept[policy_no])
            continue;
        kept[policy_no] = true;
        io_fail(&io, find_known(known, policy_no, &p.sp) ? MKT_OK : MKT_E_SP);
        /* the last one says, too, that another one comes after it, so that any number can be read one by one */
        mkt_io_payload(&io, &p, MKT_SP);
    }
    const enum mkt_err err = io_done(&io, &txn->arena);
    b->sps = io_tail(&txn->arena, from);
    return err == MKT_E_BUFFER ? MKT_E_BUNDLE_FULL : err;
}

enum mkt_err mkt_sessions_settle(struct mkt_txn *txn, const struct mkt_message *message, const struct mkt_message *init)
{
    struct mkt_bundle *b = &txn->bundle;
    const size_t from = txn->arena.n;
    struct known known;
    struct mkt_span old = b->map, new = message->hdr.map;
    struct mkt_cs cs, same;
    uint8_t n = 0;
    enum mkt_err err = know(&known, message, init, b->sps);
    for (; err == MKT_OK && next_cs(&old, &cs); n++)
        err = put_cs(txn, mkt_cs_find(new, cs.cs_id, &same) ? &same : &cs);
    while (err == MKT_OK && next_cs(&new, &cs)) {
        if (mkt_cs_find(b->map, cs.cs_id, &same))
            continue;
        err = put_cs(txn, &cs);
        n++;
    }
    b->map = io_tail(&txn->arena, from);
    b->n_cs = n;
    err = err == MKT_OK ? mkt_sessions_check_keys(b, b->map, true) : err;
    return err == MKT_OK ? keep_sps(txn, &known) : err;
}

bool mkt_sessions_whole(const struct mkt_bundle *b)
{
    struct known known;
    struct mkt_span rest = b->map;
    struct mkt_cs cs;
    struct mkt_sp sp;
    unsigned n = 0;
    (void)!know(&known, NULL, NULL, b->sps); /* only a message can have an SP twice */
    for (; rest.n > 0; n++)
        if (mkt_cs_next(&cs, MKT_MAP_GENERIC_ID, 0, &rest) != MKT_OK || cs.policies.n != 1 ||
            !find_known(&known, cs.policies.p[0], &sp))
            return false;
    return n == b->n_cs && mkt_sessions_check_keys(b, b->map, true) == MKT_OK;
}
