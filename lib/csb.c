/* SPDX-License-Identifier: BSD-3-Clause */
#include <mikeyticket/csb.h>

#include "flow.h"

struct mkt_csb {
    const struct mkt_host *host;
    enum mkt_role role;
    enum mkt_state state;
    size_t size; /* octets of the allocation */
    struct mkt_settings settings;
    struct mkt_bundle bundle;
    struct mkt_buf room; /* octets[], of which the bundle has views */
    uint8_t octets[];
};

enum mkt_err mkt_csb_new(struct mkt_csb **out, enum mkt_role role, const struct mkt_host *host,
                         const struct mkt_settings *settings)
{
    const size_t tek = settings->tek_length;
    *out = NULL;
    if ((role != MKT_INITIATOR && role != MKT_RESPONDER) || settings->self.data.n == 0 || settings->max_sessions == 0 ||
        settings->size < sizeof(struct mkt_csb) || (tek != 0 && (tek < MKT_MIN_KEY || tek > MKT_MAX_TEK)))
        return mkt_host_log(host, MKT_E_ARGUMENT);
    struct mkt_csb *csb = mkt_host_alloc(host, settings->size);
    if (csb == NULL)
        return mkt_host_log(host, MKT_E_MEMORY);
    csb->host = host;
    csb->role = role;
    csb->state = MKT_FRESH;
    csb->size = settings->size;
    csb->settings = *settings;
    csb->room = (struct mkt_buf){csb->octets, settings->size - sizeof *csb, 0};
    *out = csb;
    return MKT_OK;
}

void mkt_csb_free(struct mkt_csb *csb)
{
    if (csb != NULL)
        mkt_host_release(csb->host, csb, csb->size);
}

static struct mkt_act act_on(const struct mkt_csb *csb)
{
    return (struct mkt_act){.host = csb->host, .settings = &csb->settings, .bundle = csb->bundle, .room = csb->room};
}

/* Does the act; where it succeeds and counts, what it worked out becomes the bundle, else nothing of it stays. */
static enum mkt_err step(struct mkt_csb *csb, const struct mkt_step *step, struct mkt_act *act, bool counts)
{
    enum mkt_err err = step->act(act);
    if (err == MKT_OK && counts) {
        csb->bundle = act->bundle;
        csb->room = act->room;
        csb->state = mkt_step_next(step, act->bundle.flags);
    } else {
        mkt_wipe(csb->room.p + csb->room.n, csb->room.cap - csb->room.n);
    }
    return err;
}

static enum mkt_err make(struct mkt_csb *csb, enum mkt_data_type message, struct mkt_act *act)
{
    const struct mkt_step *found = mkt_step_find(csb->role, csb->state, MKT_MAKE, message);
    struct mkt_buf *out = act->out;
    const size_t before = out->n;
    if (found == NULL)
        return mkt_host_log(csb->host, MKT_E_STATE);
    enum mkt_err err = step(csb, found, act, out->p != NULL);
    if (err != MKT_OK && out->p != NULL && out->n > before) {
        mkt_wipe(out->p + before, out->n - before);
        out->n = before;
    }
    return mkt_host_log(csb->host, err);
}

enum mkt_err mkt_csb_make_transfer_init(struct mkt_csb *csb, const struct mkt_offer *offer, struct mkt_buf *out)
{
    struct mkt_act act = act_on(csb);
    act.offer = offer;
    act.out = out;
    enum mkt_err err = make(csb, MKT_TRANSFER_INIT, &act);
    if (err == MKT_OK && out->p != NULL)
        mkt_ticket_use(offer->ticket);
    return err;
}

enum mkt_err mkt_csb_make_transfer_resp(struct mkt_csb *csb, const struct mkt_answer *answer, struct mkt_buf *out)
{
    static const struct mkt_answer nothing = {NULL, 0};
    struct mkt_message init;
    struct mkt_act act = act_on(csb);
    if (!mkt_csb_owes_response(csb))
        return mkt_host_log(csb->host, MKT_E_STATE);
    enum mkt_err err = mkt_message_get(&init, csb->bundle.init);
    if (err != MKT_OK)
        return mkt_host_log(csb->host, err);
    act.message = &init;
    act.answer = answer != NULL ? answer : &nothing;
    act.out = out;
    return make(csb, MKT_TRANSFER_RESP, &act);
}

static enum mkt_err take(struct mkt_csb *csb, struct mkt_span in, struct mkt_span protocols)
{
    struct mkt_message message;
    struct mkt_act act = act_on(csb);
    if (!mkt_takes(csb->role, csb->state))
        return MKT_E_STATE;
    enum mkt_err err = mkt_message_get(&message, in);
    if (err != MKT_OK)
        return err;
    const struct mkt_step *found = mkt_step_find(csb->role, csb->state, MKT_TAKE, message.hdr.data_type);
    if (found == NULL)
        return MKT_E_DATA_TYPE;
    err = mkt_rules_check(&message);
    if (err != MKT_OK)
        return err;
    act.message = &message;
    act.in = in;
    act.protocols = protocols;
    return step(csb, found, &act, true);
}

enum mkt_err mkt_csb_take(struct mkt_csb *csb, struct mkt_span in, struct mkt_span protocols)
{
    return mkt_host_log(csb->host, take(csb, in, protocols));
}

bool mkt_csb_ready(const struct mkt_csb *csb)
{
    return csb->state == MKT_KEYED;
}

bool mkt_csb_owes_response(const struct mkt_csb *csb)
{
    return mkt_step_find(csb->role, csb->state, MKT_MAKE, MKT_TRANSFER_RESP) != NULL;
}

uint32_t mkt_csb_id(const struct mkt_csb *csb)
{
    return csb->bundle.csb_id;
}

enum mkt_role mkt_csb_role(const struct mkt_csb *csb)
{
    return csb->role;
}

struct mkt_id mkt_csb_peer(const struct mkt_csb *csb)
{
    bool known = csb->role == MKT_INITIATOR ? csb->state == MKT_KEYED : csb->state != MKT_FRESH;
    const struct mkt_id *peer = csb->role == MKT_INITIATOR ? &csb->bundle.responder : &csb->bundle.initiator;
    return known ? *peer : (struct mkt_id){0};
}

/* ---- crypto sessions and their keys ---- */

size_t mkt_csb_sessions(const struct mkt_csb *csb)
{
    return mkt_csb_ready(csb) ? csb->bundle.n_cs : 0;
}

enum mkt_err mkt_csb_session(const struct mkt_csb *csb, size_t index, struct mkt_cs *cs)
{
    struct mkt_span map = csb->bundle.map;
    if (index >= mkt_csb_sessions(csb))
        return MKT_E_NO_SESSION;
    enum mkt_err err = MKT_OK;
    for (size_t i = 0; i <= index && err == MKT_OK; i++)
        err = mkt_cs_get(cs, MKT_MAP_GENERIC_ID, 0, &map);
    return err;
}

enum mkt_err mkt_csb_key(const struct mkt_csb *csb, size_t index, struct mkt_key_data *key)
{
    const struct mkt_span chains[] = {csb->bundle.keys, csb->bundle.supplied[0], csb->bundle.supplied[1]};
    struct mkt_key_data found;
    for (size_t c = 0; c < sizeof chains / sizeof *chains; c++) {
        for (size_t i = 0; mkt_keys_session(chains[c], i, &found); i++) {
            if (index-- > 0)
                continue;
            *key = found;
            return MKT_OK;
        }
    }
    return MKT_E_NO_SESSION;
}

/* The crypto session with a CS ID, and the key that its SPI names. */
static enum mkt_err find_session(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_cs *cs, struct mkt_key_data *key)
{
    if (!mkt_csb_ready(csb))
        return MKT_E_STATE;
    for (size_t i = 0; mkt_csb_session(csb, i, cs) == MKT_OK; i++)
        if (cs->cs_id == cs_id)
            return mkt_bundle_key(&csb->bundle, cs->spi, key) ? MKT_OK : MKT_E_NO_SESSION;
    return MKT_E_NO_SESSION;
}

enum mkt_err mkt_csb_tek(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *tek)
{
    const struct mkt_bundle *b = &csb->bundle;
    struct mkt_cs cs;
    struct mkt_key_data key;
    enum mkt_err err = find_session(csb, cs_id, &cs, &key);
    if (err != MKT_OK)
        return mkt_host_log(csb->host, err);
    const bool derived = key.type != MKT_KEY_TEK && key.type != MKT_KEY_TEK_SALT;
    /* 12.1: with 128-bit algorithms session keys have 128 bits */
    const size_t wished = b->suite == MKT_SUITE_256 ? csb->settings.tek_length : 0;
    const size_t length = !derived ? key.key.n : wished > 0 ? wished : mkt_suite_algorithms(b->suite)->key;
    if (tek->p == NULL) {
        tek->n += length;
        return MKT_OK;
    }
    uint8_t *out = io_reserve(tek, length);
    if (out == NULL)
        return mkt_host_log(csb->host, MKT_E_SPACE);
    if (!derived) {
        memcpy(out, key.key.p, length);
        return MKT_OK;
    }
    /* 5.1.3: "RANDRi SHALL be included if the Ticket Policy determines that it shall be used (H flag)." */
    const struct mkt_span none = {NULL, 0};
    const struct mkt_label label = {
        .cs_id = cs_id,
        .randi = mkt_bundle_has(b, MKT_FLAG_H) ? b->randi : none,
        .randr = mkt_bundle_has(b, MKT_FLAG_G) ? b->randr : none,
    };
    err = mkt_derive(b->suite, MKT_DERIVE_TEK, key.key, &label, out, length);
    if (err != MKT_OK)
        tek->n -= length;
    return mkt_host_log(csb->host, err);
}

enum mkt_err mkt_csb_salt(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *salt)
{
    struct mkt_cs cs;
    struct mkt_key_data key;
    enum mkt_err err = find_session(csb, cs_id, &cs, &key);
    struct io io = io_put(salt);
    if (err == MKT_OK)
        io_bytes(&io, &key.salt, key.salt.n);
    if (err == MKT_OK)
        err = io_done(&io, salt);
    return mkt_host_log(csb->host, err);
}

/* Hex digits of octets, lower-case. */
static void put_hex(struct io *io, struct mkt_span octets)
{
    static const uint8_t digits[] = "0123456789abcdef";
    for (size_t i = 0; i < octets.n; i++) {
        uint8_t high = digits[octets.p[i] >> 4], low = digits[octets.p[i] & 0xf];
        io_u8(io, &high);
        io_u8(io, &low);
    }
}

enum mkt_err mkt_csb_psk_identity(const struct mkt_csb *csb, uint8_t cs_id, struct mkt_buf *identity)
{
    struct mkt_cs cs;
    struct mkt_key_data key;
    enum mkt_err err = find_session(csb, cs_id, &cs, &key);
    if (err == MKT_OK && csb->host->psk_identity != NULL)
        err = csb->host->psk_identity(csb->host->user, csb->bundle.csb_id, &cs, identity);
    if (err != MKT_OK || csb->host->psk_identity != NULL)
        return mkt_host_log(csb->host, err);

    uint8_t csb_id[4];
    struct mkt_buf csb_id_buf = {csb_id, sizeof csb_id, 0};
    struct io octets = io_put(&csb_id_buf), io = io_put(identity);
    struct mkt_span prefix = mkt_span_text("mikey-ticket:"), colon = mkt_span_text(":");
    uint32_t id = csb->bundle.csb_id;
    io_u32(&octets, &id);
    io_bytes(&io, &prefix, prefix.n);
    put_hex(&io, (struct mkt_span){csb_id, sizeof csb_id});
    io_bytes(&io, &colon, 1);
    put_hex(&io, (struct mkt_span){&cs_id, 1});
    io_bytes(&io, &colon, 1);
    put_hex(&io, cs.spi);
    return mkt_host_log(csb->host, io_done(&io, identity));
}
