/* SPDX-License-Identifier: BSD-3-Clause */
#include "exchange.h"

struct mkt_settings mkt_settings_default(struct mkt_id self)
{
    return (struct mkt_settings){
        .self = self,
        .application = mkt_span_text("msrp"),
        .prot_type = MKT_PROT_TLS,
        .max_sessions = 1,
        .skew = 300,
        .size = MKT_CSB_SIZE,
    };
}

bool mkt_bundle_has(const struct mkt_bundle *bundle, uint16_t flag)
{
    return (bundle->flags & flag) != 0;
}

bool mkt_bundle_key(const struct mkt_bundle *bundle, struct mkt_span spi, struct mkt_key_data *key)
{
    return mkt_keys_find(bundle->keys, spi, key) || mkt_keys_find(bundle->supplied[0], spi, key) ||
           mkt_keys_find(bundle->supplied[1], spi, key);
}

enum mkt_err mkt_keep(struct mkt_act *act, struct mkt_span from, struct mkt_span *to)
{
    return io_keep(&act->room, from, to);
}

enum mkt_err mkt_keep_message(struct mkt_act *act, struct mkt_span octets, size_t n, struct mkt_span *to)
{
    if (octets.p != NULL)
        return mkt_keep(act, octets, to);
    return io_reserve(&act->room, n) != NULL ? MKT_OK : MKT_E_ROOM;
}

enum mkt_err mkt_keep_id(struct mkt_act *act, const struct mkt_id *from, struct mkt_id *to)
{
    *to = *from;
    return mkt_keep(act, from->data, &to->data);
}

enum mkt_err mkt_draw(struct mkt_act *act, size_t n, struct mkt_span *to)
{
    uint8_t *p = io_reserve(&act->room, n);
    if (p == NULL)
        return MKT_E_ROOM;
    *to = (struct mkt_span){p, n};
    return mkt_host_random(act->host, p, n);
}

/* ---- timestamps: RFC 3830 5.4, design decision D18 ---- */

static const struct mkt_t *t_of(const struct mkt_act *act)
{
    return &mkt_message_find(act->message, MKT_T, 0)->t;
}

enum mkt_err mkt_t_check(const struct mkt_act *act)
{
    return t_of(act)->ts_type == MKT_TS_COUNTER && act->host->count == NULL ? MKT_E_COUNTER : MKT_OK;
}

enum mkt_err mkt_t_fresh(const struct mkt_act *act)
{
    mkt_ntp now;
    if (t_of(act)->ts_type == MKT_TS_COUNTER)
        return MKT_OK;
    enum mkt_err err = mkt_host_now(act->host, &now);
    return err == MKT_OK ? mkt_ntp_fresh(mkt_t_64(t_of(act)), now, act->settings->skew) : err;
}

enum mkt_err mkt_counted(const struct mkt_act *act, const struct mkt_id *peer)
{
    if (t_of(act)->ts_type != MKT_TS_COUNTER)
        return MKT_OK;
    return act->host->count(act->host->user, peer, (uint32_t)t_of(act)->value);
}

enum mkt_err mkt_seen(const struct mkt_act *act)
{
    const struct mkt_payload *v = mkt_message_find(act->message, MKT_V, 0);
    if (act->host->replay == NULL || t_of(act)->ts_type == MKT_TS_COUNTER)
        return MKT_OK;
    return act->host->replay(act->host->user, v->v.mac, mkt_ntp_after(mkt_t_64(t_of(act)), act->settings->skew));
}

/* ---- MAC: RFC 6043 5.5 ---- */

enum mkt_err mkt_v_check(const struct mkt_message *message, enum mkt_suite suite)
{
    const struct mkt_payload *v = mkt_message_find(message, MKT_V, 0);
    return v->v.mac_alg == mkt_suite_algorithms(suite)->mac_alg ? MKT_OK : MKT_E_MAC_ALG;
}

void mkt_v_add(struct mkt_message *message, enum mkt_suite suite)
{
    const struct mkt_algorithms *a = mkt_suite_algorithms(suite);
    mkt_message_add(message, MKT_V)->v = (struct mkt_v){a->mac_alg, {NULL, mkt_mac_length(a->mac_alg)}};
}

enum mkt_err mkt_verify(const struct mkt_act *act, const struct mkt_protection *protection, const struct mkt_also *also)
{
    struct mkt_span parts[4] = {[2] = also->span[0], [3] = also->span[1]};
    mkt_message_covered(act->message, act->in, parts);
    return mkt_protect_verify(protection, parts, 4, mkt_message_find(act->message, MKT_V, 0)->v.mac);
}

enum mkt_err mkt_seal(struct mkt_act *act, const struct mkt_protection *protection, const struct mkt_message *message,
                      const struct mkt_also *also, struct mkt_span *octets)
{
    const size_t from = act->out->n;
    enum mkt_err err = mkt_message_put(message, act->out);
    *octets = (struct mkt_span){NULL, 0};
    if (err != MKT_OK || act->out->p == NULL)
        return err;

    struct mkt_message made;
    struct mkt_span parts[4] = {[2] = also->span[0], [3] = also->span[1]};
    *octets = io_tail(act->out, from);
    err = mkt_message_get(&made, *octets);
    if (err != MKT_OK)
        return err;
    mkt_message_covered(&made, *octets, parts);
    return mkt_protect_mac(protection, parts, 4, io_within(act->out, mkt_message_find(&made, MKT_V, 0)->v.mac));
}

/* ---- KEMAC: RFC 6043 5.2 ---- */

enum mkt_err mkt_kemac_check(const struct mkt_kemac *kemac, enum mkt_suite suite)
{
    if (kemac->encr_alg != mkt_suite_algorithms(suite)->encr_alg)
        return MKT_E_ENCR_ALG;
    /* "The KEMAC SHALL use the NULL authentication algorithm, as a MAC is included in the V payload." */
    return kemac->mac_alg == MKT_MAC_NULL ? MKT_OK : MKT_E_KEMAC_MAC;
}

/* 5.2: "KEMAC = E(encr_key, (TEK|TGK|GTGK))": at least one, no MPK, with SPIs of their own in the bundle. */
static enum mkt_err check_keys(const struct mkt_act *act, struct mkt_span keys)
{
    const struct mkt_bundle *b = &act->bundle;
    struct mkt_key_data key;
    enum mkt_err err = mkt_keys_check(keys, &(struct mkt_key_rules){b->suite, 0, 0, {b->keys, b->supplied[0]}});
    return err == MKT_OK && !mkt_keys_session(keys, 0, &key) ? MKT_E_MISSING : err;
}

enum mkt_err mkt_kemac_make(struct mkt_act *act, const struct mkt_protection *protection, const struct mkt_t *t,
                            const struct mkt_key_wish wishes[], size_t n, struct mkt_span *keys,
                            struct mkt_kemac *kemac)
{
    const struct mkt_bundle *b = &act->bundle;
    const struct mkt_span others[2] = {b->keys, b->supplied[0]};
    const size_t from = act->room.n;
    enum mkt_err err = n > MKT_MAX_KEYS ? MKT_E_ARGUMENT : MKT_OK;
    for (size_t i = 0; i < n && err == MKT_OK; i++)
        err = mkt_key_make(act->host, b->suite, &wishes[i], i + 1 == n, others, &act->room, from);
    struct mkt_span chain = io_tail(&act->room, from);
    if (err == MKT_OK)
        err = check_keys(act, chain);
    if (err != MKT_OK)
        return err;
    uint8_t *encr_data = io_reserve(&act->room, chain.n);
    if (encr_data == NULL)
        return MKT_E_ROOM;
    *keys = chain;
    *kemac =
        (struct mkt_kemac){.encr_alg = mkt_suite_algorithms(b->suite)->encr_alg, .encr_data = {encr_data, chain.n}};
    return mkt_protect_kemac(protection, b->csb_id, mkt_t_64(t), chain, encr_data);
}

enum mkt_err mkt_kemac_open(struct mkt_act *act, const struct mkt_protection *protection, const struct mkt_kemac *kemac,
                            struct mkt_span *keys)
{
    uint8_t *plain = io_reserve(&act->room, kemac->encr_data.n);
    if (plain == NULL)
        return MKT_E_ROOM;
    enum mkt_err err = mkt_protect_kemac(protection, act->bundle.csb_id, mkt_t_64(t_of(act)), kemac->encr_data, plain);
    if (err == MKT_OK)
        err = check_keys(act, (struct mkt_span){plain, kemac->encr_data.n});
    if (err == MKT_OK)
        *keys = (struct mkt_span){plain, kemac->encr_data.n};
    return err;
}
