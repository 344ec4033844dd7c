/* SPDX-License-Identifier: BSD-3-Clause */
#include "key.h"

enum mkt_err mkt_done_secret(const struct io *io, struct mkt_buf *out)
{
    const enum mkt_err err = io_done(io, out);
    if (err != MKT_OK && io->mode == IO_PUT)
        mkt_wipe(out->p + out->n, io->pos);
    return err;
}

bool mkt_keys_next(struct mkt_keys *keys, struct mkt_key_data *key)
{
    struct mkt_payload p;
    while (keys->err == MKT_OK && keys->type != MKT_LAST) {
        keys->err = mkt_payload_decode(&p, &keys->type, &keys->rest);
        if (keys->err != MKT_OK || p.type != MKT_KEY_DATA)
            continue;
        *key = p.key_data;
        return true;
    }
    return false;
}

bool mkt_keys_find(struct mkt_span chain, struct mkt_span spi, struct mkt_key_data *key)
{
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next_session(&keys, key);)
        if (key->kv.type == MKT_KV_SPI && mkt_span_equal(key->kv.spi, spi))
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

bool mkt_keys_next_session(struct mkt_keys *keys, struct mkt_key_data *key)
{
    while (mkt_keys_next(keys, key))
        if (key->type != MKT_KEY_MPK)
            return true;
    return false;
}

bool mkt_keys_session(struct mkt_span chain, size_t n, struct mkt_key_data *key)
{
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next_session(&keys, key);)
        if (n-- == 0)
            return true;
    return false;
}

static bool is_among(const struct mkt_span spis[], size_t n, const struct mkt_key_data *key)
{
    for (size_t i = 0; i < n; i++)
        if (mkt_span_equal(spis[i], key->kv.spi))
            return true;
    return false;
}

static enum mkt_err check_key(const struct mkt_key_data *key, enum mkt_suite suite)
{
    /* 6.2.1: "An SPI (or MKI) MUST be specified for each key" */
    if (key->kv.type != MKT_KV_SPI || key->kv.spi.n == 0)
        return MKT_E_SPI;
    /* 12.1: "All keys [...] MUST have adequate strength/length, i.e., 128 bits or more." */
    if (key->key.n < MKT_MIN_KEY)
        return MKT_E_KEY_LENGTH;
    /* 12.1: "If session keys (TEK/TGK/GTGK) longer than 128 bits are used, 128-bit algorithms SHALL NOT be used." */
    if (key->type != MKT_KEY_MPK && suite == MKT_SUITE_128 && key->key.n > 16)
        return MKT_E_KEY_LENGTH;
    /* design decision D15 */
    return mkt_key_is_tek(key->type) && key->key.n > MKT_MAX_TEK ? MKT_E_KEY_LENGTH : MKT_OK;
}

enum mkt_err mkt_keys_check(struct mkt_span chain, const struct mkt_key_rules *rules)
{
    struct mkt_span spis[MKT_MAX_KEYS];
    size_t n = 0, n_mpk = 0, n_tgk = 0;
    struct mkt_key_data key;
    struct mkt_keys keys = mkt_keys_of(chain);
    while (mkt_keys_next(&keys, &key)) {
        const bool mpk = key.type == MKT_KEY_MPK;
        enum mkt_err err = n + n_mpk == MKT_MAX_KEYS ? MKT_E_TOO_MANY : check_key(&key, rules->suite);
        /* nobody looks up an MPK by its SPI: so it may be any (D23) */
        if (err == MKT_OK && !mpk && is_among(spis, n, &key))
            err = MKT_E_SPI;
        if (err != MKT_OK)
            return err;
        if (!mpk)
            spis[n++] = key.kv.spi;
        n_mpk += mpk;
        n_tgk += mkt_key_is_tgk(&key);
    }
    if (keys.err != MKT_OK)
        return keys.err;
    for (size_t c = 0; c < MKT_CHAINS; c++)
        for (struct mkt_keys others = mkt_keys_of(rules->others[c]); mkt_keys_next(&others, &key);)
            if (key.type != MKT_KEY_MPK && is_among(spis, n, &key))
                return MKT_E_SPI;
    if (n_mpk != rules->n_mpk)
        return MKT_E_MPK;
    /* 6.10: "The F flag SHALL be set to '1' when the I flag (key forking) is set to '1' and a TGK is encoded" */
    if ((rules->flags & MKT_FLAG_I) != 0 && (rules->flags & MKT_FLAG_F) == 0 && n_tgk > 0)
        return MKT_E_FLAGS;
    return MKT_OK;
}

enum mkt_err mkt_key_append(struct mkt_chain *chain, struct mkt_key_data *key)
{
    struct mkt_payload payload = {.type = MKT_KEY_DATA, .key_data = *key};
    struct io io = io_put(chain->arena);
    mkt_io_payload(&io, &payload, MKT_LAST);
    if (io_done(&io, chain->arena) != MKT_OK)
        return io.err == MKT_E_BUFFER ? MKT_E_BUNDLE_FULL : io.err;
    *key = payload.key_data;
    if (chain->next != NULL)
        *chain->next = MKT_KEY_DATA;
    chain->next = io.out; /* the first octet of a payload */
    return MKT_OK;
}

void mkt_wish_complete(enum mkt_suite suite, struct mkt_key_wish *wish)
{
    const size_t key = wish->length > 0 ? wish->length : mkt_suite_algorithms(suite)->key;
    const size_t salt = wish->salt_length > 0 ? wish->salt_length : MKT_SALT_LENGTH;
    wish->length = wish->key.n > 0 ? wish->key.n : key;
    wish->salt_length = !mkt_key_has_salt(wish->type) ? 0 : wish->salt.n > 0 ? wish->salt.n : salt;
}

bool mkt_wish_at(enum mkt_suite suite, const struct mkt_key_wish *wishes, size_t n, struct mkt_key_wish *wish)
{
    const void *at = (const uint8_t *)wishes + n * wishes->size;
    const bool sized = memcmp(at, &wishes->size, sizeof wishes->size) == 0 &&
                       mkt_sized_copy(wish, sizeof *wish, at, MKT_UP_TO(mkt_key_wish, kv));
    if (sized)
        mkt_wish_complete(suite, wish);
    return sized;
}

/* Whether a key of the chains, or a wish, has an SPI. */
static bool is_taken(const struct mkt_span chains[], size_t n, const struct mkt_wishes *wishes, struct mkt_span spi)
{
    struct mkt_key_data key;
    struct mkt_key_wish wish;
    for (size_t c = 0; c < n; c++)
        for (struct mkt_keys keys = mkt_keys_of(chains[c]); mkt_keys_next(&keys, &key);)
            if (key.kv.type == MKT_KV_SPI && mkt_span_equal(key.kv.spi, spi))
                return true;
    for (size_t i = 0; i < wishes->n && mkt_wish_at(wishes->suite, wishes->wish, i, &wish); i++)
        if (wish.kv.type == MKT_KV_SPI && mkt_span_equal(wish.kv.spi, spi))
            return true;
    return false;
}

enum mkt_err mkt_spi_draw(const struct mkt_host *host, const struct mkt_span chains[], size_t n,
                          const struct mkt_wishes *wishes, uint8_t spi[MKT_SPI])
{
    enum { TRIES = 8 }; /* a source that gives the same octets again and again is none */
    for (int i = 0; i < TRIES; i++) {
        enum mkt_err err = mkt_host_random(host, spi, MKT_SPI);
        if (err != MKT_OK || !is_taken(chains, n, wishes, (struct mkt_span){spi, MKT_SPI}))
            return err;
    }
    return MKT_E_RANDOM;
}

size_t mkt_wishes_longest(enum mkt_suite suite, const struct mkt_key_wish wishes[], size_t n)
{
    size_t longest = 0;
    struct mkt_key_wish wish;
    for (size_t i = 0; i < n && mkt_wish_at(suite, wishes, i, &wish); i++)
        longest = !mkt_key_is_tek(wish.type) && wish.length > longest ? wish.length : longest;
    return longest;
}

static enum mkt_err make_key(const struct mkt_host *host, const struct mkt_wishes *wishes,
                             const struct mkt_key_wish *wish, const struct mkt_span others[MKT_CHAINS],
                             struct mkt_chain *chain)
{
    const struct mkt_buf *arena = chain->arena;
    const bool random = !wishes->desired, given = wish->kv.type == MKT_KV_SPI;
    const bool as_it_is = given || (wishes->desired && (wish->any_spi || wish->kv.type != MKT_KV_NULL));
    struct mkt_span chains[1 + MKT_CHAINS] = {io_tail(arena, chain->from)};
    struct mkt_key_data same;
    struct mkt_key_data key = {
        .type = wish->type,
        .key = {random && wish->key.n > 0 ? wish->key.p : NULL, wish->length},
        .salt = {random && wish->salt.n > 0 ? wish->salt.p : NULL, wish->salt_length},
        .kv = as_it_is ? wish->kv : (struct mkt_kv){.type = MKT_KV_SPI, .spi = {NULL, MKT_SPI}},
    };
    if ((wish->type > MKT_KEY_GTGK_SALT && wish->type != MKT_KEY_MPK) || wish->kv.type > MKT_KV_INTERVAL)
        return MKT_E_ARGUMENT;
    if (given && (wish->kv.spi.n == 0 || mkt_keys_find(chains[0], wish->kv.spi, &same)))
        return MKT_E_SPI;
    if (others != NULL)
        memcpy(chains + 1, others, MKT_CHAINS * sizeof *others);
    enum mkt_err err = mkt_key_append(chain, &key);
    if (err == MKT_OK && random && wish->key.n == 0)
        err = mkt_host_random(host, io_within(arena, key.key), key.key.n);
    if (err == MKT_OK && random && wish->salt.n == 0 && key.salt.n > 0)
        err = mkt_host_random(host, io_within(arena, key.salt), key.salt.n);
    if (err != MKT_OK || as_it_is)
        return err;
    return mkt_spi_draw(host, chains, 1 + MKT_CHAINS, wishes, io_within(arena, key.kv.spi));
}

enum mkt_err mkt_keys_make(const struct mkt_host *host, const struct mkt_wishes *wishes,
                           const struct mkt_span others[MKT_CHAINS], struct mkt_chain *chain)
{
    enum mkt_err err = MKT_OK;
    struct mkt_key_wish wish;
    for (size_t i = 0; i < wishes->n && err == MKT_OK; i++)
        err = mkt_wish_at(wishes->suite, wishes->wish, i, &wish) ? make_key(host, wishes, &wish, others, chain)
                                                                 : MKT_E_ARGUMENT;
    return err;
}

/* Which label a key is forked with, if it is: the second MPK is MPKr (design decision D7). */
static bool is_forked(const struct mkt_key_data *key, size_t n_mpk, enum mkt_derivation *with)
{
    *with = key->type == MKT_KEY_MPK ? MKT_DERIVE_FORKED_MPKR : MKT_DERIVE_FORKED_TGK;
    return mkt_key_is_tgk(key) || (key->type == MKT_KEY_MPK && n_mpk == 2);
}

enum mkt_err mkt_keys_fork(enum mkt_suite suite, struct mkt_span chain, const struct mkt_id *idrr,
                           struct mkt_span randkms, struct mkt_buf *arena, struct mkt_span *forked)
{
    const struct mkt_label modifier = {.purpose = MKT_PURPOSE_FORK, .id = idrr->data, .randkms = randkms};
    struct mkt_chain put = {arena, arena->n, NULL};
    struct mkt_keys keys = mkt_keys_of(chain);
    struct mkt_key_data key;
    enum mkt_derivation with;
    enum mkt_err err = MKT_OK;
    for (size_t n_mpk = 0; err == MKT_OK && mkt_keys_next(&keys, &key);) {
        n_mpk += key.type == MKT_KEY_MPK;
        struct mkt_key_data placed = key;
        err = mkt_key_append(&put, &placed);
        if (err == MKT_OK && is_forked(&key, n_mpk, &with))
            err = mkt_derive(suite, with, key.key, &modifier, io_within(arena, placed.key), key.key.n);
    }
    *forked = io_tail(arena, put.from);
    return err == MKT_OK ? keys.err : err;
}

size_t mkt_keys_longest(struct mkt_span chain, bool forked)
{
    size_t longest = 0, n_mpk = 0;
    struct mkt_key_data key;
    enum mkt_derivation with;
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, &key);) {
        n_mpk += key.type == MKT_KEY_MPK;
        if ((forked ? is_forked(&key, n_mpk, &with) : !mkt_key_is_tek(key.type)) && key.key.n > longest)
            longest = key.key.n;
    }
    return longest;
}
