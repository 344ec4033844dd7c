/* SPDX-License-Identifier: BSD-3-Clause */
#include "ticket.h"

/* ---- MIKEY base ticket: RFC 6043 Appendix A ---- */

/* Ticket Data = THDR, T, RAND, KEMAC, [IDRpsk], V */
enum { THDR, T, RAND, KEMAC, IDRPSK, V, PARTS };
static const struct mkt_rule ticket_rules[PARTS] = {
    [THDR] = {MKT_THDR, 0, 1, 1},
    [T] = {MKT_T, 0, 1, 1},
    [RAND] = {MKT_RAND, 0, 1, 1},
    [KEMAC] = {MKT_KEMAC, 0, 1, 1},
    [IDRPSK] = {MKT_IDR, MKT_IDR_PSK, 0, 1},
    [V] = {MKT_V, 0, 1, 1},
};

/* A.1: "If CSB ID is needed in the IV creation it SHALL be set to '0xFFFFFFFF'." */
static const uint32_t NO_CSB_ID = 0xFFFFFFFF;

struct mkt_span mkt_ticket_octets(const struct mkt_payload *ticket)
{
    struct io io = io_get(ticket->octets);
    struct mkt_span octets = {NULL, 0};
    const uint8_t *end = ticket->ticket.ticket_data.p + ticket->ticket.ticket_data.n;
    uint8_t next = MKT_LAST;
    io_u8(&io, &next);
    io_bytes(&io, &octets, (size_t)(end - ticket->octets.p) - 1);
    return octets;
}

enum mkt_err mkt_base_ticket_decode(struct mkt_base_ticket *base, const struct mkt_payload *ticket,
                                    const struct mkt_policy *policy)
{
    struct mkt_payload part[PARTS];
    *base = (struct mkt_base_ticket){.suite = MKT_SUITE_256};
    enum mkt_err err = mkt_suite_of_prf(policy->prf, &base->suite);
    err = err == MKT_OK ? mkt_chain_collect(MKT_THDR, ticket->ticket.ticket_data, ticket_rules, PARTS, part) : err;
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
    /* A.1: "The MAC SHALL be calculated over the entire TICKET payload except the Next Payload field (in the TICKET
     * payload), the Initiator Data length field, the Initiator Data field, and the MAC field itself", which is last. */
    base->covered = mkt_ticket_octets(ticket);
    base->covered.n -= base->mac.n;
    return MKT_OK;
}

/* Verifies the MAC of a ticket, decrypts its keys into the arena and checks them. */
static enum mkt_err unseal(struct mkt_base_ticket *base, const struct mkt_policy *policy, struct mkt_span tpk,
                           struct mkt_buf *arena)
{
    const struct mkt_protection by_tpk = {base->suite, tpk, {.purpose = MKT_PURPOSE_TICKET, .rand = base->rand}};
    struct mkt_key_data mpk;
    if (tpk.n < MKT_MIN_KEY)
        return MKT_E_KEY_LENGTH;
    uint8_t *plain = io_reserve(arena, base->encr_data.n);
    const struct mkt_encryption encryption = {NO_CSB_ID, mkt_t_64(&base->t), base->encr_data, plain};
    enum mkt_err err = mkt_protect_open(&by_tpk, plain != NULL ? &encryption : NULL, &base->covered, 1, base->mac);
    if (err == MKT_E_MAC)
        return MKT_E_TICKET_MAC;
    if (err == MKT_OK && plain == NULL)
        err = MKT_E_BUNDLE_FULL;
    base->keys = (struct mkt_span){plain, base->encr_data.n};
    if (err == MKT_OK)
        err = mkt_keys_check(base->keys, &(struct mkt_key_rules){base->suite, 1, policy->flags, {{NULL, 0}}});
    if (err == MKT_OK && !mkt_keys_mpk(base->keys, 0, &mpk))
        err = MKT_E_MPK;
    /* 12.1: "the RAND in the MIKEY base ticket MUST at least be as long as the longest of TPK and MPK" */
    if (err == MKT_OK && (base->rand.n < tpk.n || base->rand.n < mpk.key.n))
        err = MKT_E_RAND;
    return err;
}

enum mkt_err mkt_ticket_keys_check(const struct mkt_policy *policy, struct mkt_span keys)
{
    struct mkt_key_rules rules = {.n_mpk = mkt_ticket_mpks(policy), .flags = policy->flags};
    const enum mkt_err err = mkt_suite_of_prf(policy->prf, &rules.suite);
    return err == MKT_OK ? mkt_keys_check(keys, &rules) : err;
}

/* From MPK || ... as the ticket has it to MPKi || [MPKr] || ... as its holder has it (A.2.2, 4.2.1.5): MPKi with the
 * SPI of the MPK, MPKr with one of its own (D23). */
static enum mkt_err put_holder_keys(const struct mkt_host *host, const struct mkt_base_ticket *base, bool mpkr,
                                    struct mkt_buf *arena, struct mkt_span *holder)
{
    static const enum mkt_derivation derivation[] = {MKT_DERIVE_MPKI, MKT_DERIVE_MPKR};
    const struct mkt_wishes none = {NULL, 0, base->suite, false};
    const struct mkt_label label = {.purpose = MKT_PURPOSE_MPK, .rand = base->rand};
    struct mkt_chain chain = {arena, arena->n, NULL};
    struct mkt_key_data mpk, key;
    struct mkt_prf by_mpk;
    if (!mkt_keys_mpk(base->keys, 0, &mpk))
        return MKT_E_MPK;
    enum mkt_err err = mkt_prf_key(&by_mpk, base->suite, mpk.key);
    for (size_t i = 0; i < (mpkr ? 2 : 1) && err == MKT_OK; i++) {
        key = mpk;
        if (i > 0)
            key.kv.spi = (struct mkt_span){NULL, MKT_SPI};
        err = mkt_key_append(&chain, &key);
        if (err == MKT_OK)
            err = mkt_derive_by(&by_mpk, derivation[i], &label, io_within(arena, key.key), key.key.n);
        if (err == MKT_OK && i > 0)
            err = mkt_spi_draw(host, &base->keys, 1, &none, io_within(arena, key.kv.spi));
    }
    mkt_wipe(&by_mpk, sizeof by_mpk);
    for (struct mkt_keys keys = mkt_keys_of(base->keys); err == MKT_OK && mkt_keys_next_session(&keys, &key);)
        err = mkt_key_append(&chain, &key);
    *holder = io_tail(arena, chain.from);
    return err;
}

/* By a callback of the host's that appends to octets of the arena. */
static enum mkt_err host_opens(const struct mkt_host *host, const struct mkt_payload *ticket,
                               const struct mkt_policy *policy, struct mkt_buf *arena, struct mkt_span *keys)
{
    struct mkt_buf chain = {arena->p + arena->n, arena->cap - arena->n, 0};
    enum mkt_err err = host->open(host->user, ticket, policy, &chain);
    const uint8_t *p = io_reserve(arena, chain.n);
    mkt_wipe(arena->p + arena->n, arena->cap - arena->n); /* what the host wrote and does not answer with */
    if (err != MKT_OK || p == NULL)
        return err == MKT_OK ? MKT_E_BUNDLE_FULL : err;
    *keys = (struct mkt_span){p, chain.n};
    return mkt_ticket_keys_check(policy, *keys);
}

enum mkt_err mkt_ticket_resolve(const struct mkt_host *host, const struct mkt_payload *ticket,
                                const struct mkt_policy *policy, bool mpkr, struct mkt_buf *arena,
                                struct mkt_span *keys, struct mkt_detail *detail)
{
    uint8_t octets[MKT_MAX_TPK];
    struct mkt_buf tpk = {octets, sizeof octets, 0};
    struct mkt_base_ticket base;
    const bool is_base = mkt_policy_is_base(policy);
    if (host->open != NULL && !(is_base && (policy->flags & MKT_FLAG_O) != 0))
        return host_opens(host, ticket, policy, arena, keys);
    enum mkt_err err = is_base ? mkt_base_ticket_decode(&base, ticket, policy) : MKT_E_TICKET_TYPE;
    if (err != MKT_OK)
        return mkt_blame(detail, err, "TICKET", NULL);
    /* the TPK by the name that the ticket gives it, or by the policy if it gives none */
    const struct mkt_id *id = base.idrpsk.data.n > 0 ? &base.idrpsk : NULL;
    err = host->tpk == NULL ? MKT_E_NO_KEY : host->tpk(host->user, id, policy, &tpk);
    err = id == NULL ? mkt_blame(detail, err, "TPK without IDRpsk", NULL)
                     : mkt_blame(detail, err, "IDRpsk of the ticket", &id->data);
    if (err == MKT_OK && (tpk.p != octets || tpk.n > MKT_MAX_TPK))
        err = MKT_E_KEY_LENGTH;
    err = err == MKT_OK ? unseal(&base, policy, mkt_buf_span(&tpk), arena) : err;
    mkt_wipe(octets, sizeof octets);
    return err == MKT_OK ? put_holder_keys(host, &base, mpkr, arena, keys) : err;
}

enum mkt_err mkt_ticket_open(const struct mkt_payload *payload, struct mkt_span tpk, struct mkt_buf *keys)
{
    struct mkt_policy policy;
    struct mkt_base_ticket base;
    const size_t before = keys->n;
    size_t at;
    enum mkt_err err = mkt_policy_decode(&policy, &payload->ticket);
    if (err == MKT_OK)
        err = mkt_policy_is_base(&policy) ? mkt_policy_sound(&policy, NULL) : MKT_E_TICKET_TYPE;
    err = err == MKT_OK ? mkt_base_ticket_decode(&base, payload, &policy) : err;
    if (err != MKT_OK)
        return err;
    struct io io = io_put(keys);
    if (!io_take(&io, base.encr_data.n, &at) || io.mode == IO_SIZE)
        return io_done(&io, keys);
    err = unseal(&base, &policy, tpk, keys);
    if (err != MKT_OK) {
        mkt_wipe(keys->p + before, keys->n - before);
        keys->n = before;
    }
    return err;
}

/* ---- the ticket of its holder ---- */

enum mkt_err mkt_ticket_payload_of(struct mkt_span octets, struct mkt_payload *payload, struct mkt_policy *policy)
{
    struct mkt_span rest = octets;
    uint16_t type = MKT_TICKET;
    enum mkt_err err = mkt_payload_decode(payload, &type, &rest);
    if (err == MKT_OK && (type != MKT_LAST || payload->ticket.initiator_data.n > 0))
        err = MKT_E_STORED;
    return err == MKT_OK && policy != NULL ? mkt_policy_decode(policy, &payload->ticket) : err;
}

enum mkt_err mkt_ticket_policy(const struct mkt_ticket *ticket, struct mkt_policy *policy)
{
    struct mkt_payload payload;
    return mkt_ticket_payload_of(ticket->payload, &payload, policy);
}

enum mkt_err mkt_ticket_hold(struct mkt_ticket **out, const struct mkt_host *host, struct mkt_span payload,
                             struct mkt_span keys, bool used)
{
    size_t size = sizeof **out + payload.n + keys.n;
    struct mkt_policy policy;
    struct mkt_ticket *ticket = mkt_host_alloc(host, size);
    if (ticket == NULL)
        return MKT_E_MEMORY;
    struct mkt_buf arena = {ticket->octets, payload.n + keys.n, 0};
    *ticket = (struct mkt_ticket){.release = host->release, .user = host->user, .size = size, .used = used};
    enum mkt_err err = io_keep(&arena, payload, &ticket->payload);
    err = err == MKT_OK ? io_keep(&arena, keys, &ticket->keys) : err;
    err = err == MKT_OK ? mkt_ticket_policy(ticket, &policy) : err;
    err = err == MKT_OK ? mkt_policy_sound(&policy, NULL) : err;
    ticket->reusable = err == MKT_OK && (policy.flags & MKT_FLAG_J) != 0;
    if (ticket->reusable && used)
        err = MKT_E_STORED;
    err = err == MKT_OK ? mkt_ticket_keys_check(&policy, ticket->keys) : err;
    if (err != MKT_OK) {
        mkt_ticket_free(ticket);
        return err;
    }
    *out = ticket;
    return MKT_OK;
}

void mkt_ticket_free(struct mkt_ticket *ticket)
{
    if (ticket == NULL)
        return;
    const struct mkt_host host = {.user = ticket->user, .release = ticket->release};
    mkt_host_release(&host, ticket, ticket->size);
}

/* How a ticket is kept: a mark, 32-bit length and TICKET payload, 32-bit length and keys. Octets can be read more than
 * once, so a ticket for one use (no J flag) is kept as one that was used. */
enum { MAY_BE_USED = 1, WAS_USED = 2 };
static void io_stored(struct io *io, uint8_t *mark, struct mkt_span *payload, struct mkt_span *keys)
{
    io_u8(io, mark);
    if (*mark != MAY_BE_USED && *mark != WAS_USED)
        io_fail(io, MKT_E_STORED);
    io_vec(io, payload, 4);
    io_vec(io, keys, 4);
    io_expect_end(io);
}

enum mkt_err mkt_ticket_save(const struct mkt_ticket *ticket, struct mkt_buf *out)
{
    struct io io = io_put(out);
    struct mkt_span payload = ticket->payload, keys = ticket->keys;
    uint8_t mark = ticket->reusable ? MAY_BE_USED : WAS_USED;
    /* 6.10: only with the J flag "the ticket MAY be reused and therefore MAY be cached" */
    if (ticket->used && !ticket->reusable)
        return MKT_E_REUSE;
    io_stored(&io, &mark, &payload, &keys);
    return mkt_done_secret(&io, out);
}

enum mkt_err mkt_ticket_load(struct mkt_ticket **ticket, const struct mkt_host *host, struct mkt_span in)
{
    struct io io = io_get(in);
    struct mkt_span payload = {NULL, 0}, keys = {NULL, 0};
    uint8_t mark = 0;
    struct mkt_host own;
    *ticket = NULL;
    if (!mkt_host_copy(&own, host, NULL))
        return mkt_host_log(&own, MKT_E_ARGUMENT, "size");
    io_stored(&io, &mark, &payload, &keys);
    if (io.err != MKT_OK)
        return mkt_host_log(&own, MKT_E_STORED, "");
    return mkt_host_log(&own, mkt_ticket_hold(ticket, &own, payload, keys, mark == WAS_USED), "");
}

/* ---- making a ticket ---- */

/* The work on one ticket: octets that are wiped after it, and what is known of it so far. */
struct work {
    const struct mkt_host *host;
    const struct mkt_ticket_recipe *recipe;
    struct mkt_detail detail; /* of a refusal */
    struct mkt_buf arena;
    struct mkt_base_ticket base; /* suite, keys and RAND; a ticket of a type of the host's has no RAND */
};

/* So many MPKs, and the keys wished for, as long as design decision D2 says. */
static enum mkt_err draw_keys(struct work *w, size_t mpks)
{
    const struct mkt_ticket_recipe *r = w->recipe;
    struct mkt_key_wish mpk[2];
    const struct mkt_wishes own = {mpk, mpks, w->base.suite, false}, wished = {r->keys, r->n_keys, own.suite, false};
    const struct mkt_key_rules rules = {own.suite, mpks, r->policy->flags, {{NULL, 0}}};
    struct mkt_chain chain = {&w->arena, w->arena.n, NULL};
    mkt_key_wish_init(&mpk[0], MKT_KEY_MPK);
    mkt_key_wish_init(&mpk[1], MKT_KEY_MPK);
    enum mkt_err err = mkt_keys_make(w->host, &own, NULL, &chain);
    err = err == MKT_OK ? mkt_keys_make(w->host, &wished, NULL, &chain) : err;
    w->base.keys = io_tail(&w->arena, chain.from);
    return err == MKT_OK ? mkt_keys_check(w->base.keys, &rules) : err;
}

/* Ticket Data = THDR, T, RAND, KEMAC, [IDRpsk], V; the keys are not encrypted yet, and the MAC of V is zero. */
static enum mkt_err put_ticket_data(struct work *w, struct mkt_span *out)
{
    const struct mkt_algorithms *a = mkt_suite_algorithms(w->base.suite);
    struct mkt_t t;
    /* A.1: "T is a timestamp containing the time of issue or a counter." */
    enum mkt_err err = mkt_t_make(w->host, w->recipe->counter, &t);
    if (err != MKT_OK)
        return err;
    const struct mkt_id *id = &w->recipe->tpk_id;
    struct mkt_payload data[PARTS] = {
        {.type = MKT_THDR},
        {.type = MKT_T, .t = t},
        {.type = MKT_RAND, .rand = {.rand = w->base.rand}},
        {.type = MKT_KEMAC, .kemac = {.encr_alg = a->encr_alg, .encr_data = w->base.keys}},
    };
    size_t n = IDRPSK;
    if (id->data.n > 0)
        data[n++] = (struct mkt_payload){.type = MKT_IDR, .id = {MKT_IDR_PSK, id->type, id->data}};
    data[n++] = (struct mkt_payload){.type = MKT_V, .v = {a->mac_alg, {NULL, mkt_mac_length(a->mac_alg)}}};
    const size_t from = w->arena.n;
    err = mkt_payloads_encode(data, n, &w->arena);
    *out = io_tail(&w->arena, from);
    return err;
}

/* The TICKET payload: Next Payload 0, no Initiator Data. */
static enum mkt_err put_ticket(struct work *w, struct mkt_span ticket_data, struct mkt_span *out)
{
    struct mkt_payload ticket = {.type = MKT_TICKET};
    enum mkt_err err = mkt_policy_payload(w->recipe->policy, &w->arena, &ticket.ticket);
    const size_t from = w->arena.n;
    ticket.ticket.ticket_data = ticket_data;
    err = err == MKT_OK ? mkt_payloads_encode(&ticket, 1, &w->arena) : err;
    *out = io_tail(&w->arena, from);
    return err;
}

/* A base ticket, and the keys of its holder. */
static enum mkt_err make_base(struct work *w, struct mkt_span *payload, struct mkt_span *keys)
{
    const bool mpkr = (w->recipe->policy->flags & MKT_FLAG_I) != 0;
    struct mkt_span ticket_data;
    struct mkt_payload ticket;
    struct mkt_base_ticket placed; /* where its parts stand in the payload */
    const size_t key = mkt_suite_algorithms(w->base.suite)->key;
    struct mkt_span *rand = &w->base.rand;
    enum mkt_err err = draw_keys(w, 1);
    rand->n = w->recipe->tpk.n > key ? w->recipe->tpk.n : key;
    err = err == MKT_OK ? io_keep(&w->arena, *rand, rand) : err;
    err = err == MKT_OK ? mkt_host_random(w->host, io_within(&w->arena, *rand), rand->n) : err;
    err = err == MKT_OK ? put_ticket_data(w, &ticket_data) : err;
    err = err == MKT_OK ? put_ticket(w, ticket_data, payload) : err;
    err = err == MKT_OK ? mkt_ticket_payload_of(*payload, &ticket, NULL) : err;
    err = err == MKT_OK ? mkt_base_ticket_decode(&placed, &ticket, w->recipe->policy) : err;
    if (err != MKT_OK)
        return err;
    const struct mkt_protection by_tpk = {
        placed.suite, w->recipe->tpk, {.purpose = MKT_PURPOSE_TICKET, .rand = placed.rand}};
    const struct mkt_encryption encryption = {NO_CSB_ID, mkt_t_64(&placed.t), placed.encr_data,
                                              io_within(&w->arena, placed.encr_data)};
    err = mkt_protect_seal(&by_tpk, &encryption, &placed.covered, 1, io_within(&w->arena, placed.mac));
    return err == MKT_OK ? put_holder_keys(w->host, &w->base, mpkr, &w->arena, keys) : err;
}

/* A ticket of a type of the host's: its holder's keys are random, and the host makes the Ticket Data (section 11). */
static enum mkt_err make_by_host(struct work *w, struct mkt_span *payload, struct mkt_span *keys)
{
    const struct mkt_policy *policy = w->recipe->policy;
    enum mkt_err err = draw_keys(w, mkt_ticket_mpks(policy));
    struct mkt_buf data = {w->arena.p + w->arena.n, w->arena.cap - w->arena.n, 0};
    err = err == MKT_OK ? w->host->seal(w->host->user, policy, w->base.keys, &data) : err;
    struct mkt_span ticket_data = {io_reserve(&w->arena, data.n), data.n};
    err = err == MKT_OK && ticket_data.p == NULL ? MKT_E_BUNDLE_FULL : err;
    *keys = w->base.keys;
    return err == MKT_OK ? put_ticket(w, ticket_data, payload) : err;
}

/* Room for the keys (as the ticket has them, in it, as the holder has them), and for policy and ticket twice. */
static enum mkt_err work_arena(struct work *w)
{
    /* what a key has beside itself, MPKs included; what a ticket has beside its parts */
    enum { KEY = 64, OTHERS = 256, BY_HOST = 8192 };
    const struct mkt_ticket_recipe *r = w->recipe;
    struct mkt_buf tp_data = {NULL, 0, 0};
    struct mkt_key_wish k;
    size_t keys = (r->n_keys + 2) * KEY + 2 * mkt_suite_algorithms(w->base.suite)->key;
    for (size_t i = 0; i < r->n_keys; i++) {
        if (!mkt_wish_at(w->base.suite, r->keys, i, &k) || k.length > UINT16_MAX || k.salt_length > UINT16_MAX ||
            k.key.n > UINT16_MAX || k.salt.n > UINT16_MAX || k.kv.spi.n > UINT8_MAX)
            return mkt_blame(&w->detail, MKT_E_ARGUMENT, "keys", NULL);
        keys += k.length + k.salt_length + k.kv.spi.n;
    }
    enum mkt_err err = mkt_policy_encode(r->policy, &tp_data);
    w->arena.cap = 5 * keys + 2 * tp_data.n + 2 * r->tpk_id.data.n + 3 * r->tpk.n + OTHERS;
    w->arena.cap += mkt_policy_is_base(r->policy) ? 0 : BY_HOST;
    return err;
}

static enum mkt_err recipe_check(const struct mkt_host *host, const struct mkt_ticket_recipe *r,
                                 struct mkt_detail *detail)
{
    if (r->policy == NULL || r->n_keys >= MKT_MAX_KEYS)
        return mkt_blame(detail, MKT_E_ARGUMENT, r->policy == NULL ? "policy" : "n_keys", NULL);
    if (r->tpk.n > MKT_MAX_TPK || r->tpk_id.data.n > UINT16_MAX)
        return mkt_blame(detail, MKT_E_ARGUMENT, r->tpk.n > MKT_MAX_TPK ? "tpk" : "tpk_id", NULL);
    const bool base = mkt_policy_is_base(r->policy);
    if (!base && host->seal == NULL)
        return MKT_E_TICKET_TYPE;
    if (base && r->tpk.n < MKT_MIN_KEY)
        return MKT_E_KEY_LENGTH;
    enum mkt_err err = mkt_policy_sound(r->policy, detail);
    err = err == MKT_OK ? mkt_policy_valid(r->policy, host) : err;
    return err == MKT_E_NOT_YET ? MKT_OK : err;
}

enum mkt_err mkt_ticket_make(struct mkt_ticket **ticket, const struct mkt_host *host,
                             const struct mkt_ticket_recipe *recipe)
{
    return mkt_ticket_make_for(NULL, ticket, host, recipe);
}

enum mkt_err mkt_ticket_make_for(void *user, struct mkt_ticket **ticket, const struct mkt_host *host,
                                 const struct mkt_ticket_recipe *recipe)
{
    struct mkt_host own;
    struct mkt_ticket_recipe r;
    struct mkt_span payload, keys;
    struct work w = {.host = &own, .recipe = &r};
    const bool sized =
        mkt_host_copy(&own, host, user) && mkt_sized_copy(&r, sizeof r, recipe, MKT_UP_TO(mkt_ticket_recipe, n_keys));
    *ticket = NULL;
    enum mkt_err err = sized ? recipe_check(&own, &r, &w.detail) : mkt_blame(&w.detail, MKT_E_ARGUMENT, "size", NULL);
    err = err == MKT_OK ? mkt_suite_of_prf(r.policy->prf, &w.base.suite) : err;
    err = err == MKT_OK ? work_arena(&w) : err;
    w.arena.p = err == MKT_OK ? mkt_host_alloc(&own, w.arena.cap) : NULL;
    err = err == MKT_OK && w.arena.p == NULL ? MKT_E_MEMORY : err;
    if (err == MKT_OK)
        err = mkt_policy_is_base(r.policy) ? make_base(&w, &payload, &keys) : make_by_host(&w, &payload, &keys);
    err = err == MKT_OK ? mkt_ticket_hold(ticket, &own, payload, keys, false) : err;
    mkt_host_release(&own, w.arena.p, w.arena.cap);
    return mkt_host_log(&own, err, mkt_detail_of(&w.detail, err));
}
