/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* explicit_bzero */

#include "sealed.h"

#include <stdio.h>
#include <string.h>

/* The name of the TPK in the Ticket Data, which its MAC covers: a ticket whose type somebody changed is not opened. */
struct name {
    char text[64];
};

static struct name name_of(uint16_t type, uint8_t subtype, uint8_t version)
{
    struct name name;
    snprintf(name.text, sizeof name.text, "MPKs among the session keys, %u.%u.%u", type, subtype, version);
    return name;
}

/* What a base ticket holds, or is stored as: up to the 4,000 octets that mkt_host.seal may append, and the policy. */
enum { MAX_STORED = 16384 };

/* The Ticket Data of a ticket stands in what mkt_ticket_save() writes: 1, a length and the TICKET payload. */
static enum mkt_err put_data(const struct mkt_ticket *ticket, struct mkt_buf *ticket_data)
{
    uint8_t octets[MAX_STORED];
    struct mkt_buf stored = {octets, sizeof octets, 0};
    struct mkt_payload payload;
    uint16_t type = MKT_TICKET;

    enum mkt_err err = mkt_ticket_save(ticket, &stored);
    if (err != MKT_OK)
        return err;
    const size_t n = (size_t)octets[1] << 24 | (size_t)octets[2] << 16 | (size_t)octets[3] << 8 | octets[4];
    struct mkt_span rest = {octets + 5, n};
    err = mkt_payload_decode(&payload, &type, &rest);
    const struct mkt_span data = payload.ticket.ticket_data;
    if (err == MKT_OK && ticket_data->cap - ticket_data->n < data.n)
        err = MKT_E_BUFFER;
    if (err == MKT_OK) {
        memcpy(ticket_data->p + ticket_data->n, data.p, data.n);
        ticket_data->n += data.n;
    }
    explicit_bzero(octets, sizeof octets);
    return err;
}

enum mkt_err sealed_put(const struct entry *tpk, const struct mkt_policy *policy, struct mkt_span keys,
                        struct mkt_buf *ticket_data)
{
    static const struct mkt_host host = {.size = sizeof host};
    const struct name name = name_of(policy->type, policy->subtype, policy->version);
    struct mkt_policy base = *policy;
    struct mkt_key_wish wishes[MKT_MAX_KEYS] = {{.size = sizeof(struct mkt_key_wish)}};
    struct mkt_ticket_recipe recipe = {.size = sizeof recipe,
                                       .policy = &base,
                                       .tpk_id = mkt_id_bytes(name.text),
                                       .tpk = {tpk->key, tpk->key_n},
                                       .keys = wishes};
    struct mkt_ticket *ticket = NULL;
    struct mkt_payload p;
    uint16_t type = MKT_KEY_DATA;
    enum mkt_err err = MKT_OK;

    base.type = MKT_TICKET_BASE;
    base.subtype = MKT_TICKET_BASE_SUBTYPE;
    base.version = MKT_TICKET_BASE_VERSION;
    while (type != MKT_LAST && err == MKT_OK) {
        if (recipe.n_keys == MKT_MAX_KEYS)
            return MKT_E_TOO_MANY;
        err = mkt_payload_decode(&p, &type, &keys);
        const struct mkt_key_data *key = &p.key_data;
        const uint8_t key_type = key->type == MKT_KEY_MPK ? MKT_KEY_TGK : (uint8_t)key->type;
        wishes[recipe.n_keys++] = (struct mkt_key_wish){
            .size = sizeof(struct mkt_key_wish), .type = key_type, .key = key->key, .salt = key->salt, .kv = key->kv};
    }
    if (err == MKT_OK)
        err = mkt_ticket_make(&ticket, &host, &recipe);
    if (err == MKT_OK)
        err = put_data(ticket, ticket_data);
    mkt_ticket_free(ticket);
    return err;
}

/* True if sealed_put() made the Ticket Data, for a ticket of that type; its MAC is still to be verified. */
static bool is_sealed(const struct mkt_ticket_payload *ticket)
{
    const struct name name = name_of(ticket->type, ticket->subtype, ticket->version);
    const struct mkt_id own = mkt_id_bytes(name.text);
    struct mkt_span rest = ticket->ticket_data;
    struct mkt_payload p;
    uint16_t type = MKT_THDR;
    while (type != MKT_LAST && mkt_payload_decode(&p, &type, &rest) == MKT_OK)
        if (p.type == MKT_IDR && mkt_id_equal(&p.id, &own))
            return true;
    return false;
}

/* Appends the keys of a base ticket, less its own MPK, the first ones of which are MPKs. */
static enum mkt_err put_keys(struct mkt_span chain, size_t n_mpks, struct mkt_buf *keys)
{
    struct mkt_payload list[MKT_MAX_KEYS];
    uint16_t type = MKT_KEY_DATA;
    size_t n = 0;
    enum mkt_err err = mkt_payload_decode(&list[0], &type, &chain);
    while (type != MKT_LAST && err == MKT_OK && n < MKT_MAX_KEYS)
        err = mkt_payload_decode(&list[n++], &type, &chain);
    for (size_t i = 0; i < n_mpks && i < n; i++)
        list[i].key_data.type = MKT_KEY_MPK;
    return err == MKT_OK ? mkt_payloads_encode(list, n, keys) : err;
}

enum mkt_err sealed_get(const struct entry *tpk, const struct mkt_payload *ticket, struct mkt_buf *keys)
{
    uint8_t octets[MAX_STORED], opened[MAX_STORED];
    struct mkt_buf base = {octets, sizeof octets, 0}, chain = {opened, sizeof opened, 0};
    struct mkt_payload payload = {.type = MKT_TICKET, .ticket = ticket->ticket};
    uint16_t type = MKT_TICKET;

    if (!is_sealed(&ticket->ticket))
        return MKT_E_TICKET_TYPE;
    payload.ticket.type = MKT_TICKET_BASE;
    payload.ticket.subtype = MKT_TICKET_BASE_SUBTYPE;
    payload.ticket.version = MKT_TICKET_BASE_VERSION;
    payload.ticket.initiator_data = (struct mkt_span){NULL, 0};
    enum mkt_err err = mkt_payloads_encode(&payload, 1, &base);
    if (err != MKT_OK)
        return err;
    struct mkt_span rest = {octets, base.n};
    err = mkt_payload_decode(&payload, &type, &rest);
    if (err == MKT_OK)
        err = mkt_ticket_open(&payload, (struct mkt_span){tpk->key, tpk->key_n}, &chain);
    if (err == MKT_OK)
        err = put_keys(mkt_buf_span(&chain), (ticket->ticket.flags & MKT_FLAG_I) != 0 ? 2 : 1, keys);
    explicit_bzero(opened, sizeof opened);
    return err;
}
