/* SPDX-License-Identifier: BSD-3-Clause */
#include "ticket.h"

/* ---- ticket policy: RFC 6043 6.10 ---- */

static const char flag_letters[] = "DEFGHIJKLMNO"; /* from the first on the wire to the last */

enum mkt_err mkt_flags_get(uint16_t *flags, const char *letters)
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

/* Puts what may stand once in its place. */
static enum mkt_err read_id(struct mkt_id *place, const struct mkt_id *id)
{
    if (place->data.p != NULL)
        return MKT_E_MANY;
    *place = *id;
    return MKT_OK;
}

static enum mkt_err read_time(bool *present, mkt_ntp *place, const struct mkt_t *t)
{
    if (*present)
        return MKT_E_MANY;
    /* 6.10: "TRs SHALL be interpreted as being in the range 1968-2104": it is no counter */
    if (t->ts_type == MKT_TS_COUNTER)
        return MKT_E_POLICY;
    /* 6.10: of TRr "TS Type SHALL be NTP-UTC-32" */
    if (t->role == MKT_TR_R && t->ts_type != MKT_TS_NTP_UTC_32)
        return MKT_E_POLICY;
    *present = true;
    *place = mkt_t_64(t);
    return MKT_OK;
}

static enum mkt_err read_idr(struct mkt_policy *policy, const struct mkt_id *id)
{
    switch (id->role) {
    case MKT_IDR_KMS:
        return read_id(&policy->kms, id);
    case MKT_IDR_I:
        return read_id(&policy->initiator, id);
    case MKT_IDR_APP:
        if (policy->n_applications == MKT_MAX_APPLICATIONS)
            return MKT_E_MANY;
        policy->application[policy->n_applications++] = id->data;
        return MKT_OK;
    case MKT_IDR_R:
        if (policy->n_responders == MKT_MAX_RESPONDERS)
            return MKT_E_MANY;
        policy->responder[policy->n_responders++] = *id;
        return MKT_OK;
    }
    return MKT_OK;
}

static enum mkt_err read_tr(struct mkt_policy *policy, const struct mkt_t *t)
{
    switch (t->role) {
    case MKT_TR_S:
        return read_time(&policy->has_start, &policy->start, t);
    case MKT_TR_E:
        return read_time(&policy->has_end, &policy->end, t);
    case MKT_TR_R:
        return read_time(&policy->has_rekeying, &policy->rekeying, t);
    }
    return MKT_OK;
}

/* TP Data = First Payload, [IDRkms], [IDRi], [TRs], [TRe], [TRr], [KEMAC], {IDRapp}, (IDRr) */
enum mkt_err mkt_policy_get(struct mkt_policy *policy, const struct mkt_ticket_payload *payload)
{
    struct mkt_span rest = payload->tp_data;
    uint16_t type;
    *policy = (struct mkt_policy){
        .type = payload->type,
        .subtype = payload->subtype,
        .version = payload->version,
        .prf = (uint8_t)payload->prf,
        .flags = payload->flags,
    };
    enum mkt_err err = mkt_first_get(&type, &rest);
    while (err == MKT_OK && type != MKT_LAST) {
        struct mkt_payload p;
        err = mkt_payload_get(&p, &type, &rest);
        if (err == MKT_OK && p.type == MKT_IDR)
            err = read_idr(policy, &p.id);
        if (err == MKT_OK && p.type == MKT_TR)
            err = read_tr(policy, &p.t);
        policy->has_kemac |= p.type == MKT_KEMAC;
    }
    return err;
}

/* A list of payloads to be written: no more than TP Data can have. */
struct list {
    size_t n;
    struct mkt_payload payload[6 + MKT_MAX_APPLICATIONS + MKT_MAX_RESPONDERS];
};

static void add(struct list *list, struct mkt_payload payload)
{
    list->payload[list->n++] = payload;
}

static void add_idr(struct list *list, uint8_t role, uint8_t type, struct mkt_span data)
{
    if (data.n > 0)
        add(list, (struct mkt_payload){.type = MKT_IDR, .id = {role, type, data}});
}

static void add_tr(struct list *list, uint8_t role, bool present, mkt_ntp time)
{
    if (present)
        add(list, (struct mkt_payload){.type = MKT_TR, .t = {role, MKT_TS_NTP_UTC_32, time >> 32}});
}

enum mkt_err mkt_policy_put(const struct mkt_policy *policy, struct mkt_buf *tp_data)
{
    struct list tp = {.n = 0};
    if (policy->n_responders > MKT_MAX_RESPONDERS || policy->n_applications > MKT_MAX_APPLICATIONS)
        return MKT_E_ARGUMENT;
    /* an IDRapp left out would authorise all applications */
    for (size_t i = 0; i < policy->n_applications; i++)
        if (policy->application[i].n == 0)
            return MKT_E_ARGUMENT;
    for (size_t i = 0; i < policy->n_responders; i++)
        if (policy->responder[i].data.n == 0)
            return MKT_E_ARGUMENT;
    add_idr(&tp, MKT_IDR_KMS, policy->kms.type, policy->kms.data);
    add_idr(&tp, MKT_IDR_I, policy->initiator.type, policy->initiator.data);
    add_tr(&tp, MKT_TR_S, policy->has_start, policy->start);
    add_tr(&tp, MKT_TR_E, policy->has_end, policy->end);
    add_tr(&tp, MKT_TR_R, policy->has_rekeying, policy->rekeying);
    for (size_t i = 0; i < policy->n_applications; i++)
        add_idr(&tp, MKT_IDR_APP, MKT_ID_BYTES, policy->application[i]);
    for (size_t i = 0; i < policy->n_responders; i++)
        add_idr(&tp, MKT_IDR_R, policy->responder[i].type, policy->responder[i].data);
    return mkt_first_put(tp.payload, tp.n, tp_data);
}

/*
 * 6.10: "the flags are not independent: NOT D implies L, G implies F, NOT G implies H, NOT H implies G, I implies E,
 * K implies D, and M implies F." NOT H implies G says the same as NOT G implies H.
 */
static bool flags_agree(uint16_t flags)
{
    static const struct {
        uint16_t with, without, needed;
    } implications[] = {
        {0, MKT_FLAG_D, MKT_FLAG_L}, {MKT_FLAG_G, 0, MKT_FLAG_F}, {0, MKT_FLAG_G, MKT_FLAG_H},
        {MKT_FLAG_I, 0, MKT_FLAG_E}, {MKT_FLAG_K, 0, MKT_FLAG_D}, {MKT_FLAG_M, 0, MKT_FLAG_F},
    };
    for (size_t i = 0; i < sizeof implications / sizeof *implications; i++) {
        bool given = (flags & implications[i].with) == implications[i].with && (flags & implications[i].without) == 0;
        if (given && (flags & implications[i].needed) == 0)
            return false;
    }
    return true;
}

enum mkt_err mkt_policy_sound(const struct mkt_policy *policy)
{
    enum mkt_suite suite;
    if (policy->type != MKT_TICKET_BASE || policy->subtype != MKT_TICKET_BASE_SUBTYPE ||
        policy->version != MKT_TICKET_BASE_VERSION)
        return MKT_E_TICKET_TYPE;
    if (mkt_suite_of_prf(policy->prf, &suite) != MKT_OK)
        return MKT_E_PRF;
    if (!flags_agree(policy->flags))
        return MKT_E_FLAGS;
    /* "The KEMAC SHALL NOT be present in the granted Ticket Policy"; the rest is design decision D24 */
    if (policy->has_kemac || policy->initiator.data.n == 0 || policy->n_responders == 0)
        return MKT_E_POLICY;
    if (policy->has_start && policy->has_end && !mkt_ntp_before(policy->start, policy->end))
        return MKT_E_VALIDITY;
    return MKT_OK;
}

enum mkt_err mkt_policy_valid(const struct mkt_policy *policy, mkt_ntp now)
{
    if (policy->has_start && mkt_ntp_before(now, policy->start))
        return MKT_E_NOT_YET;
    if (policy->has_end && mkt_ntp_before(policy->end, now))
        return MKT_E_EXPIRED;
    return MKT_OK;
}

enum mkt_err mkt_policy_check(const struct mkt_policy *policy, mkt_ntp now)
{
    enum mkt_err err = mkt_policy_sound(policy);
    return err == MKT_OK ? mkt_policy_valid(policy, now) : err;
}

/* ---- keys of a KEMAC: RFC 3830 6.13, RFC 6043 6.2.1 ---- */

static bool is_tgk(const struct mkt_key_data *key)
{
    return key->type == MKT_KEY_TGK || key->type == MKT_KEY_TGK_SALT;
}

bool mkt_key_is_tek(const struct mkt_key_data *key)
{
    return key->type == MKT_KEY_TEK || key->type == MKT_KEY_TEK_SALT;
}

struct mkt_keys mkt_keys_of(struct mkt_span chain)
{
    return (struct mkt_keys){chain.n > 0 ? MKT_KEY_DATA : MKT_LAST, chain, MKT_OK};
}

bool mkt_keys_next(struct mkt_keys *keys, struct mkt_key_data *key)
{
    struct mkt_payload p;
    while (keys->err == MKT_OK && keys->type != MKT_LAST) {
        keys->err = mkt_payload_get(&p, &keys->type, &keys->rest);
        if (keys->err != MKT_OK || p.type != MKT_KEY_DATA)
            continue;
        *key = p.key_data;
        return true;
    }
    return false;
}

/* Whether one of the keys from here on has an SPI. */
static bool have(struct mkt_keys keys, struct mkt_span spi)
{
    struct mkt_key_data key;
    while (mkt_keys_next(&keys, &key))
        if (key.kv.type == MKT_KV_SPI && mkt_span_equal(key.kv.spi, spi))
            return true;
    return false;
}

bool mkt_keys_find(struct mkt_span chain, struct mkt_span spi, struct mkt_key_data *key)
{
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, key);)
        if (key->type != MKT_KEY_MPK && key->kv.type == MKT_KV_SPI && mkt_span_equal(key->kv.spi, spi))
            return true;
    return false;
}

bool mkt_keys_mpk(struct mkt_span chain, size_t n, struct mkt_key_data *key)
{
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, key);)
        if (key->type == MKT_KEY_MPK && n-- == 0)
            return true;
    return false;
}

bool mkt_keys_session(struct mkt_span chain, size_t n, struct mkt_key_data *key)
{
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, key);)
        if (key->type != MKT_KEY_MPK && n-- == 0)
            return true;
    return false;
}

size_t mkt_keys_longest(struct mkt_span chain)
{
    struct mkt_key_data key;
    size_t longest = 0;
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, &key);)
        if (!mkt_key_is_tek(&key) && key.key.n > longest)
            longest = key.key.n;
    return longest;
}

enum mkt_err mkt_keys_check(struct mkt_span chain, const struct mkt_key_rules *rules)
{
    size_t n = 0, n_mpk = 0, n_tgk = 0;
    struct mkt_key_data key;
    struct mkt_keys keys = mkt_keys_of(chain);
    while (mkt_keys_next(&keys, &key)) {
        if (++n > MKT_MAX_KEYS)
            return MKT_E_MANY;
        bool mpk = key.type == MKT_KEY_MPK;
        n_mpk += mpk;
        n_tgk += is_tgk(&key);
        /* 6.2.1: "An SPI (or MKI) MUST be specified for each key" */
        if (key.kv.type != MKT_KV_SPI || key.kv.spi.n == 0)
            return MKT_E_SPI;
        if (have(keys, key.kv.spi) || have(mkt_keys_of(rules->others[0]), key.kv.spi) ||
            have(mkt_keys_of(rules->others[1]), key.kv.spi))
            return MKT_E_SPI;
        /* 12.1: "All keys [...] MUST have adequate strength/length, i.e., 128 bits or more." */
        if (key.key.n < MKT_MIN_KEY)
            return MKT_E_KEY_LENGTH;
        /* 12.1: "If session keys (TEK/TGK/GTGK) longer than 128 bits are used, 128-bit algorithms SHALL NOT be used." */
        if (!mpk && rules->suite == MKT_SUITE_128 && key.key.n > 16)
            return MKT_E_KEY_LENGTH;
        /* design decision D15 */
        if (mkt_key_is_tek(&key) && key.key.n > MKT_MAX_TEK)
            return MKT_E_KEY_LENGTH;
    }
    if (keys.err != MKT_OK)
        return keys.err;
    if (n_mpk != rules->n_mpk)
        return MKT_E_MPK;
    /* 6.10: "The F flag SHALL be set to '1' when the I flag (key forking) is set to '1' and a TGK is encoded" */
    if ((rules->flags & MKT_FLAG_I) != 0 && (rules->flags & MKT_FLAG_F) == 0 && n_tgk > 0)
        return MKT_E_FLAGS;
    return MKT_OK;
}

/* Appends a key to a chain, and views it where it now stands; what has no octets yet is zeros there. */
static enum mkt_err put_key(struct mkt_buf *room, const struct mkt_key_data *key, bool last, struct mkt_key_data *placed)
{
    const size_t from = room->n;
    const struct mkt_payload payload = {.type = MKT_KEY_DATA, .key_data = *key};
    struct io io = io_put(room);
    mkt_io_put_payload(&io, &payload, last ? MKT_LAST : MKT_KEY_DATA);
    if (io_done(&io, room) != MKT_OK)
        return io.err == MKT_E_SPACE ? MKT_E_ROOM : io.err;

    struct mkt_payload got;
    struct mkt_span octets = io_tail(room, from);
    uint16_t type = MKT_KEY_DATA;
    enum mkt_err err = mkt_payload_get(&got, &type, &octets);
    *placed = got.key_data;
    return err;
}

/* An SPI that no key of the chains has. */
static enum mkt_err draw_spi(const struct mkt_host *host, const struct mkt_span chains[], size_t n, uint8_t spi[MKT_SPI])
{
    enum { TRIES = 8 }; /* a source that gives the same octets again and again is none */
    for (int i = 0; i < TRIES; i++) {
        bool taken = false;
        enum mkt_err err = mkt_host_random(host, spi, MKT_SPI);
        if (err != MKT_OK)
            return err;
        for (size_t c = 0; c < n; c++)
            taken |= have(mkt_keys_of(chains[c]), (struct mkt_span){spi, MKT_SPI});
        if (!taken)
            return MKT_OK;
    }
    return MKT_E_RANDOM;
}

static bool type_has_salt(uint8_t type)
{
    return type == MKT_KEY_TGK_SALT || type == MKT_KEY_TEK_SALT || type == MKT_KEY_GTGK_SALT;
}

static size_t length_of(struct mkt_span given, size_t wished, size_t otherwise)
{
    return given.n > 0 ? given.n : wished > 0 ? wished : otherwise;
}

size_t mkt_wishes_longest(enum mkt_suite suite, const struct mkt_key_wish wishes[], size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length = length_of(wishes[i].key, wishes[i].length, mkt_suite_algorithms(suite)->key);
        bool tek = wishes[i].type == MKT_KEY_TEK || wishes[i].type == MKT_KEY_TEK_SALT;
        longest = !tek && length > longest ? length : longest;
    }
    return longest;
}

enum mkt_err mkt_key_make(const struct mkt_host *host, enum mkt_suite suite, const struct mkt_key_wish *wish, bool last,
                          const struct mkt_span others[2], struct mkt_buf *room, size_t chain)
{
    const size_t length = length_of(wish->key, wish->length, mkt_suite_algorithms(suite)->key);
    const size_t salt_length = length_of(wish->salt, wish->salt_length, MKT_SALT_LENGTH);
    const struct mkt_span chains[] = {io_tail(room, chain), others[0], others[1]};
    struct mkt_key_data key = {
        .type = wish->type,
        .key = {wish->key.n > 0 ? wish->key.p : NULL, length},
        .salt = {wish->salt.n > 0 ? wish->salt.p : NULL, type_has_salt(wish->type) ? salt_length : 0},
        .kv = {.type = MKT_KV_SPI, .spi = {NULL, MKT_SPI}},
    };
    if (wish->type > MKT_KEY_GTGK_SALT && wish->type != MKT_KEY_MPK)
        return MKT_E_ARGUMENT;
    enum mkt_err err = put_key(room, &key, last, &key);
    if (err == MKT_OK && wish->key.n == 0)
        err = mkt_host_random(host, io_within(room, key.key), key.key.n);
    if (err == MKT_OK && wish->salt.n == 0 && key.salt.n > 0)
        err = mkt_host_random(host, io_within(room, key.salt), key.salt.n);
    return err == MKT_OK ? draw_spi(host, chains, 3, io_within(room, key.kv.spi)) : err;
}

/* ---- MIKEY base ticket: RFC 6043 Appendix A ---- */

/* Ticket Data = THDR, T, RAND, KEMAC, [IDRpsk], V */
enum { THDR, T, RAND, KEMAC, IDRPSK, V, PARTS };
static const struct mkt_rule ticket_rules[PARTS] = {
    [THDR] = {MKT_THDR, 0, 1, 1},   [T] = {MKT_T, 0, 1, 1},
    [RAND] = {MKT_RAND, 0, 1, 1},   [KEMAC] = {MKT_KEMAC, 0, 1, 1},
    [IDRPSK] = {MKT_IDR, MKT_IDR_PSK, 0, 1}, [V] = {MKT_V, 0, 1, 1},
};

/* A.1: "If CSB ID is needed in the IV creation it SHALL be set to '0xFFFFFFFF'." */
static const uint32_t NO_CSB_ID = 0xFFFFFFFF;

/*
 * A.1: "The MAC SHALL be calculated over the entire TICKET payload except the Next Payload field (in the TICKET payload),
 * the Initiator Data length field, the Initiator Data field, and the MAC field itself." The cursor checks what is computed
 * here: the end of Ticket Data lies within the payload, and its V ends it.
 */
static struct mkt_span ticket_covered(const struct mkt_payload *ticket, size_t mac_length)
{
    struct io io = io_get(ticket->octets);
    struct mkt_span covered = {NULL, 0};
    const uint8_t *end = ticket->ticket.ticket_data.p + ticket->ticket.ticket_data.n;
    uint8_t next;
    io_u8(&io, &next);
    io_bytes(&io, &covered, (size_t)(end - ticket->octets.p) - 1 - mac_length);
    return covered;
}

enum mkt_err mkt_base_ticket_get(struct mkt_base_ticket *base, const struct mkt_payload *ticket,
                                 const struct mkt_policy *policy)
{
    struct mkt_payload part[PARTS];
    *base = (struct mkt_base_ticket){.suite = MKT_SUITE_256};
    enum mkt_err err = mkt_suite_of_prf(policy->prf, &base->suite);
    if (err == MKT_OK)
        err = mkt_chain_collect(MKT_THDR, ticket->ticket.ticket_data, ticket_rules, PARTS, part);
    if (err != MKT_OK)
        return err;
    const struct mkt_algorithms *a = mkt_suite_algorithms(base->suite);
    if (part[V].v.mac_alg != a->mac_alg)
        return MKT_E_MAC_ALG;
    /* AES-KW-128 is in no suite (design decision D20) */
    if (part[KEMAC].kemac.encr_alg != a->encr_alg)
        return MKT_E_ENCR_ALG;
    /* "The KEMAC payload SHALL use the NULL authentication algorithm, as a MAC is included in the V payload." */
    if (part[KEMAC].kemac.mac_alg != MKT_MAC_NULL)
        return MKT_E_KEMAC_MAC;
    base->t = part[T].t;
    base->rand = part[RAND].rand.rand;
    base->encr_data = part[KEMAC].kemac.encr_data;
    base->idrpsk = part[IDRPSK].id;
    base->mac = part[V].v.mac;
    base->covered = ticket_covered(ticket, base->mac.n);
    return MKT_OK;
}

enum mkt_err mkt_base_ticket_unseal(const struct mkt_base_ticket *base, const struct mkt_policy *policy,
                                    struct mkt_span tpk, struct mkt_buf *room, struct mkt_span *keys)
{
    const struct mkt_protection by_tpk = {base->suite, MKT_PHASE_TICKET, tpk, {.rand = base->rand}};
    struct mkt_key_data mpk;
    if (tpk.n < MKT_MIN_KEY)
        return MKT_E_KEY_LENGTH;
    enum mkt_err err = mkt_protect_verify(&by_tpk, &base->covered, 1, base->mac);
    if (err != MKT_OK)
        return err == MKT_E_MAC ? MKT_E_TICKET_MAC : err;

    uint8_t *plain = io_reserve(room, base->encr_data.n);
    if (plain == NULL)
        return MKT_E_ROOM;
    *keys = (struct mkt_span){plain, base->encr_data.n};
    err = mkt_protect_kemac(&by_tpk, NO_CSB_ID, mkt_t_64(&base->t), base->encr_data, plain);
    if (err == MKT_OK)
        err = mkt_keys_check(*keys, &(struct mkt_key_rules){base->suite, 1, policy->flags, {{NULL, 0}, {NULL, 0}}});
    if (err == MKT_OK && !mkt_keys_mpk(*keys, 0, &mpk))
        err = MKT_E_MPK;
    /* 12.1: "the RAND in the MIKEY base ticket MUST at least be as long as the longest of TPK and MPK" */
    if (err == MKT_OK && (base->rand.n < tpk.n || base->rand.n < mpk.key.n))
        err = MKT_E_RAND;
    return err;
}

enum mkt_err mkt_ticket_mpk(enum mkt_suite suite, enum mkt_derivation which, struct mkt_span mpk, struct mkt_span rand,
                            uint8_t *out)
{
    const struct mkt_label label = {.rand = rand};
    return mkt_derive(suite, which, mpk, &label, out, mpk.n);
}

enum mkt_err mkt_ticket_open(const struct mkt_payload *payload, struct mkt_span tpk, struct mkt_buf *keys)
{
    struct mkt_policy policy;
    struct mkt_base_ticket base;
    struct mkt_span chain;
    const size_t before = keys->n;
    enum mkt_err err = mkt_policy_get(&policy, &payload->ticket);
    if (err == MKT_OK)
        err = mkt_policy_sound(&policy);
    if (err == MKT_OK)
        err = mkt_base_ticket_get(&base, payload, &policy);
    if (err != MKT_OK)
        return err;
    if (keys->p == NULL) {
        keys->n += base.encr_data.n;
        return MKT_OK;
    }
    err = mkt_base_ticket_unseal(&base, &policy, tpk, keys, &chain);
    if (err != MKT_OK) {
        mkt_wipe(keys->p + before, keys->n - before);
        keys->n = before;
    }
    return err == MKT_E_ROOM ? MKT_E_SPACE : err;
}

/* ---- the ticket of its holder ---- */

struct mkt_ticket {
    const struct mkt_host *host;
    size_t size;             /* octets of the allocation */
    bool used;               /* a TRANSFER_INIT was made with it */
    struct mkt_span payload; /* TICKET: Next Payload 0, no Initiator Data */
    struct mkt_span keys;    /* MPKi || [MPKr] || {TEK|TGK|GTGK} */
    uint8_t octets[];
};

struct mkt_span mkt_ticket_keys(const struct mkt_ticket *ticket)
{
    return ticket->keys;
}

bool mkt_ticket_used(const struct mkt_ticket *ticket)
{
    return ticket->used;
}

void mkt_ticket_use(struct mkt_ticket *ticket)
{
    ticket->used = true;
}

enum mkt_err mkt_ticket_payload_get(const struct mkt_ticket *ticket, struct mkt_payload *payload)
{
    struct mkt_span rest = ticket->payload;
    uint16_t type = MKT_TICKET;
    enum mkt_err err = mkt_payload_get(payload, &type, &rest);
    if (err == MKT_OK && (type != MKT_LAST || payload->ticket.initiator_data.n > 0))
        err = MKT_E_STORED;
    return err;
}

enum mkt_err mkt_ticket_policy(const struct mkt_ticket *ticket, struct mkt_policy *policy)
{
    struct mkt_payload payload;
    enum mkt_err err = mkt_ticket_payload_get(ticket, &payload);
    return err == MKT_OK ? mkt_policy_get(policy, &payload.ticket) : err;
}

static enum mkt_err ticket_check(const struct mkt_ticket *ticket)
{
    struct mkt_policy policy;
    struct mkt_key_rules rules = {.n_mpk = 1};
    enum mkt_err err = mkt_ticket_policy(ticket, &policy);
    if (err == MKT_OK)
        err = mkt_policy_sound(&policy);
    if (err == MKT_OK)
        err = mkt_suite_of_prf(policy.prf, &rules.suite);
    if (err != MKT_OK)
        return err;
    /* 4.2.1.5: "If key forking [...] is used [...] a second MPK, MPKr, SHALL be included" */
    rules.n_mpk = (policy.flags & MKT_FLAG_I) != 0 ? 2 : 1;
    rules.flags = policy.flags;
    return mkt_keys_check(ticket->keys, &rules);
}

/* A ticket of one allocation from a TICKET payload and its keys, both copied. */
static enum mkt_err ticket_hold(struct mkt_ticket **out, const struct mkt_host *host, struct mkt_span payload,
                                struct mkt_span keys)
{
    size_t size = sizeof **out + payload.n + keys.n;
    struct mkt_ticket *ticket = mkt_host_alloc(host, size);
    if (ticket == NULL)
        return MKT_E_MEMORY;
    struct mkt_buf room = {ticket->octets, payload.n + keys.n, 0};
    ticket->host = host;
    ticket->size = size;
    enum mkt_err err = io_keep(&room, payload, &ticket->payload);
    if (err == MKT_OK)
        err = io_keep(&room, keys, &ticket->keys);
    if (err == MKT_OK)
        err = ticket_check(ticket);
    if (err != MKT_OK) {
        mkt_ticket_free(ticket);
        return err;
    }
    *out = ticket;
    return MKT_OK;
}

void mkt_ticket_free(struct mkt_ticket *ticket)
{
    if (ticket != NULL)
        mkt_host_release(ticket->host, ticket, ticket->size);
}

/* How a ticket is kept: version, 32-bit length and TICKET payload, 32-bit length and keys. */
static void io_stored(struct io *io, struct mkt_span *payload, struct mkt_span *keys)
{
    uint8_t version = 1;
    io_u8(io, &version);
    if (version != 1)
        io_fail(io, MKT_E_STORED);
    io_vec(io, payload, 4);
    io_vec(io, keys, 4);
    io_expect_end(io);
}

enum mkt_err mkt_ticket_put(const struct mkt_ticket *ticket, struct mkt_buf *out)
{
    struct io io = io_put(out);
    struct mkt_span payload = ticket->payload, keys = ticket->keys;
    struct mkt_policy policy;
    enum mkt_err err = mkt_ticket_policy(ticket, &policy);
    if (err != MKT_OK)
        return err;
    /* 6.10: only with the J flag "the ticket MAY be reused and therefore MAY be cached" */
    if (ticket->used && (policy.flags & MKT_FLAG_J) == 0)
        return MKT_E_REUSE;
    io_stored(&io, &payload, &keys);
    return io_done(&io, out);
}

enum mkt_err mkt_ticket_get(struct mkt_ticket **ticket, const struct mkt_host *host, struct mkt_span in)
{
    struct io io = io_get(in);
    struct mkt_span payload = {NULL, 0}, keys = {NULL, 0};
    *ticket = NULL;
    io_stored(&io, &payload, &keys);
    if (io.err != MKT_OK)
        return mkt_host_log(host, MKT_E_STORED);
    return mkt_host_log(host, ticket_hold(ticket, host, payload, keys));
}

/* ---- making a ticket ---- */

/* The work on one ticket: octets that are wiped after it, and what is known of it so far. */
struct work {
    const struct mkt_host *host;
    const struct mkt_ticket_recipe *recipe;
    enum mkt_suite suite;
    struct mkt_buf room;
    struct mkt_span keys; /* MPK || {TEK|TGK|GTGK} */
    struct mkt_span rand;
};

static size_t longest(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Keys and RAND as long as design decision D2 says. */
static enum mkt_err draw(struct work *w)
{
    const struct mkt_ticket_recipe *r = w->recipe;
    const struct mkt_key_wish mpk = {.type = MKT_KEY_MPK};
    const struct mkt_span none[2] = {{NULL, 0}, {NULL, 0}};
    const size_t from = w->room.n;
    enum mkt_err err = mkt_key_make(w->host, w->suite, &mpk, r->n_keys == 0, none, &w->room, from);
    for (size_t i = 0; i < r->n_keys && err == MKT_OK; i++)
        err = mkt_key_make(w->host, w->suite, &r->keys[i], i + 1 == r->n_keys, none, &w->room, from);
    w->keys = io_tail(&w->room, from);
    if (err == MKT_OK)
        err = mkt_keys_check(w->keys, &(struct mkt_key_rules){w->suite, 1, r->policy->flags, {none[0], none[1]}});
    if (err != MKT_OK)
        return err;
    w->rand.n = longest(r->tpk.n, mkt_suite_algorithms(w->suite)->key);
    uint8_t *rand = io_reserve(&w->room, w->rand.n);
    if (rand == NULL)
        return MKT_E_ROOM;
    w->rand.p = rand;
    return mkt_host_random(w->host, rand, w->rand.n);
}

/* A.1: "T is a timestamp containing the time of issue or a counter." */
static enum mkt_err issue_time(const struct work *w, struct mkt_t *t)
{
    uint32_t value = 0;
    *t = (struct mkt_t){.ts_type = MKT_TS_NTP_UTC};
    if (!w->recipe->counter)
        return mkt_host_now(w->host, &t->value);
    if (w->host->counter == NULL)
        return MKT_E_COUNTER;
    enum mkt_err err = w->host->counter(w->host->user, &value);
    *t = (struct mkt_t){.ts_type = MKT_TS_COUNTER, .value = value};
    return err;
}

/* Ticket Data = THDR, T, RAND, KEMAC, [IDRpsk], V; the MAC of V is still zero. */
static enum mkt_err put_ticket_data(struct work *w, const struct mkt_protection *by_tpk, struct mkt_span *out)
{
    const struct mkt_algorithms *a = mkt_suite_algorithms(w->suite);
    struct mkt_t t;
    uint8_t *encr_data = io_reserve(&w->room, w->keys.n);
    enum mkt_err err = encr_data == NULL ? MKT_E_ROOM : issue_time(w, &t);
    if (err == MKT_OK)
        err = mkt_protect_kemac(by_tpk, NO_CSB_ID, mkt_t_64(&t), w->keys, encr_data);
    if (err != MKT_OK)
        return err;
    const struct mkt_id *id = &w->recipe->tpk_id;
    struct mkt_payload data[PARTS] = {
        {.type = MKT_THDR},
        {.type = MKT_T, .t = t},
        {.type = MKT_RAND, .rand = {.rand = w->rand}},
        {.type = MKT_KEMAC, .kemac = {.encr_alg = a->encr_alg, .encr_data = {encr_data, w->keys.n}}},
    };
    size_t n = IDRPSK;
    if (id->data.n > 0)
        data[n++] = (struct mkt_payload){.type = MKT_IDR, .id = {MKT_IDR_PSK, id->type, id->data}};
    data[n++] = (struct mkt_payload){.type = MKT_V, .v = {a->mac_alg, {NULL, mkt_mac_length(a->mac_alg)}}};
    const size_t from = w->room.n;
    err = mkt_payloads_put(data, n, &w->room);
    *out = io_tail(&w->room, from);
    return err;
}

/* The TICKET payload: Next Payload 0, no Initiator Data. */
static enum mkt_err put_ticket(struct work *w, struct mkt_span *out)
{
    const struct mkt_policy *policy = w->recipe->policy;
    const struct mkt_protection by_tpk = {w->suite, MKT_PHASE_TICKET, w->recipe->tpk, {.rand = w->rand}};
    struct mkt_payload ticket = {.type = MKT_TICKET};
    struct mkt_base_ticket base;
    ticket.ticket = (struct mkt_ticket_payload){
        .type = policy->type,
        .subtype = policy->subtype,
        .version = policy->version,
        .prf = policy->prf,
        .flags = policy->flags,
    };
    size_t from = w->room.n;
    enum mkt_err err = mkt_policy_put(policy, &w->room);
    ticket.ticket.tp_data = io_tail(&w->room, from);
    if (err == MKT_OK)
        err = put_ticket_data(w, &by_tpk, &ticket.ticket.ticket_data);
    from = w->room.n;
    if (err == MKT_OK)
        err = mkt_payloads_put(&ticket, 1, &w->room);
    if (err != MKT_OK)
        return err;

    *out = io_tail(&w->room, from);
    struct mkt_span rest = *out;
    uint16_t type = MKT_TICKET;
    err = mkt_payload_get(&ticket, &type, &rest);
    if (err == MKT_OK)
        err = mkt_base_ticket_get(&base, &ticket, policy);
    return err == MKT_OK ? mkt_protect_mac(&by_tpk, &base.covered, 1, io_within(&w->room, base.mac)) : err;
}

/* An MPK of the holder's after the chain in the room: MPKi with the SPI of the MPK, MPKr with one of its own (D23). */
static enum mkt_err put_mpk(struct work *w, enum mkt_derivation which, const struct mkt_key_data *mpk, bool last)
{
    struct mkt_key_data key = *mpk;
    key.key.p = NULL;
    if (which == MKT_DERIVE_MPKR)
        key.kv.spi = (struct mkt_span){NULL, MKT_SPI};
    enum mkt_err err = put_key(&w->room, &key, last, &key);
    if (err == MKT_OK)
        err = mkt_ticket_mpk(w->suite, which, mpk->key, w->rand, io_within(&w->room, key.key));
    if (err == MKT_OK && which == MKT_DERIVE_MPKR)
        err = draw_spi(w->host, &w->keys, 1, io_within(&w->room, key.kv.spi));
    return err;
}

/* From MPK || ... as the ticket has it to MPKi || [MPKr] || ... as its holder has it (A.2.2, 4.2.1.5). */
static enum mkt_err put_holder_keys(struct work *w, struct mkt_span *out)
{
    const bool forked = (w->recipe->policy->flags & MKT_FLAG_I) != 0, alone = w->recipe->n_keys == 0;
    const size_t from = w->room.n;
    struct mkt_keys keys = mkt_keys_of(w->keys);
    struct mkt_key_data key;
    if (!mkt_keys_next(&keys, &key))
        return MKT_E_MPK;
    enum mkt_err err = put_mpk(w, MKT_DERIVE_MPKI, &key, alone && !forked);
    if (err == MKT_OK && forked)
        err = put_mpk(w, MKT_DERIVE_MPKR, &key, alone);
    while (err == MKT_OK && mkt_keys_next(&keys, &key))
        err = put_key(&w->room, &key, keys.type == MKT_LAST, &key);
    *out = io_tail(&w->room, from);
    return err;
}

/* Room for the keys (as the ticket has them, encrypted, as the holder has them), and for policy and ticket twice. */
static enum mkt_err work_room(struct work *w)
{
    enum { KEY = 64, OTHERS = 256 }; /* what a key has beside itself, MPKs included; what a ticket has beside its parts */
    const struct mkt_ticket_recipe *r = w->recipe;
    const struct mkt_algorithms *a = mkt_suite_algorithms(w->suite);
    struct mkt_buf tp_data = {NULL, 0, 0};
    size_t keys = (r->n_keys + 2) * KEY + 2 * a->key;
    for (size_t i = 0; i < r->n_keys; i++) {
        const struct mkt_key_wish *wish = &r->keys[i];
        keys += length_of(wish->key, wish->length, a->key) + length_of(wish->salt, wish->salt_length, MKT_SALT_LENGTH);
    }
    enum mkt_err err = mkt_policy_put(r->policy, &tp_data);
    w->room.cap = 5 * keys + 2 * tp_data.n + 2 * r->tpk_id.data.n + 3 * r->tpk.n + OTHERS;
    return err;
}

static enum mkt_err ticket_work(struct mkt_ticket **ticket, struct work *w)
{
    struct mkt_span payload, keys;
    enum mkt_err err = draw(w);
    if (err == MKT_OK)
        err = put_ticket(w, &payload);
    if (err == MKT_OK)
        err = put_holder_keys(w, &keys);
    return err == MKT_OK ? ticket_hold(ticket, w->host, payload, keys) : err;
}

static enum mkt_err recipe_check(const struct mkt_host *host, const struct mkt_ticket_recipe *r)
{
    mkt_ntp now;
    if (r->policy == NULL || r->tpk.n > MKT_MAX_TPK || r->tpk_id.data.n > UINT16_MAX || r->n_keys >= MKT_MAX_KEYS)
        return MKT_E_ARGUMENT;
    if (r->tpk.n < MKT_MIN_KEY)
        return MKT_E_KEY_LENGTH;
    for (size_t i = 0; i < r->n_keys; i++) {
        const struct mkt_key_wish *k = &r->keys[i];
        if (k->length > UINT16_MAX || k->salt_length > UINT16_MAX || k->key.n > UINT16_MAX || k->salt.n > UINT16_MAX)
            return MKT_E_ARGUMENT;
    }
    enum mkt_err err = mkt_host_now(host, &now);
    if (err == MKT_OK)
        err = mkt_policy_check(r->policy, now);
    return err == MKT_E_NOT_YET ? MKT_OK : err;
}

enum mkt_err mkt_ticket_make(struct mkt_ticket **ticket, const struct mkt_host *host, const struct mkt_ticket_recipe *recipe)
{
    struct work w = {.host = host, .recipe = recipe};
    *ticket = NULL;
    enum mkt_err err = recipe_check(host, recipe);
    if (err == MKT_OK)
        err = mkt_suite_of_prf(recipe->policy->prf, &w.suite);
    if (err == MKT_OK)
        err = work_room(&w);
    if (err != MKT_OK)
        return mkt_host_log(host, err);
    w.room.p = mkt_host_alloc(host, w.room.cap);
    err = w.room.p == NULL ? MKT_E_MEMORY : ticket_work(ticket, &w);
    mkt_host_release(host, w.room.p, w.room.cap);
    return mkt_host_log(host, err);
}
