/* SPDX-License-Identifier: BSD-3-Clause */
#include "mallory.h"

#include "oracle.h"

#include "../lib/initiator_data.h"
#include "../lib/key.h"
#include "../lib/message.h"
#include "../lib/protect.h"

#include <string.h>

/* ---- keys ---- */

static void learn(struct mkt_span key)
{
    if (world.n_ring == RING || key.n > sizeof world.ring->octets)
        return;
    memcpy(world.ring[world.n_ring].octets, key.p, key.n);
    world.ring[world.n_ring++].n = key.n;
}

static void learn_chain(struct mkt_span chain)
{
    struct mkt_key_data key;
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, &key);)
        learn(key.key);
}

void mallory_learns(struct mkt_span stored)
{
    struct mkt_span rest = {stored.p + 1, stored.n - 1}; /* behind the version */
    take_vector(&rest);
    learn_chain(take_vector(&rest));
}

void mallory_begin(void)
{
    learn(psk_of(MALLORY));
    learn((struct mkt_span){tpk_of_mallory, 32});
}

/* ---- tickets ---- */

static void put_vector(struct mkt_buf *out, uint8_t before, struct mkt_span octets, unsigned after)
{
    const size_t n = octets.n + 1 + after;
    const uint8_t head[] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, before};
    require(out->n + sizeof head + octets.n + after <= out->cap);
    memcpy(out->p + out->n, head, sizeof head);
    memcpy(out->p + out->n + sizeof head, octets.p, octets.n);
    memset(out->p + out->n + sizeof head + octets.n, 0, after);
    out->n += sizeof head + octets.n + after;
}

struct mkt_ticket *mallory_steals(const struct end *e, struct mkt_span resolved)
{
    uint8_t octets[2048];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_span rest = {resolved.p + 1, resolved.n - 1};
    struct mkt_ticket *ticket;
    const struct mkt_span payload = take_vector(&rest), keys = take_vector(&rest);
    octets[out.n++] = 1;
    put_vector(&out, 0, payload, 2); /* Next Payload, no Initiator Data */
    put_vector(&out, keys.p[0], (struct mkt_span){keys.p + 1, keys.n - 1}, 0);
    return mkt_ticket_load(&ticket, &e->host, (struct mkt_span){octets, out.n}) == MKT_OK ? ticket : NULL;
}

/* ---- messages ---- */

static uint8_t made_up[ROOM];

static struct mkt_payload *find(struct mkt_message *m, unsigned type, uint8_t role)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->payload[i].type == type && mkt_payload_role(&m->payload[i]) == role)
            return &m->payload[i];
    return NULL;
}

static void put_name(struct mkt_message *m, uint8_t role, enum name name)
{
    struct mkt_payload *p = find(m, MKT_IDR, role);
    if (p != NULL)
        p->id = id_of(name);
    if (p != NULL)
        p->id.role = role;
}

/* One change that makes sense. */
static void tamper(struct mkt_message *m, const struct mkt_message *other, unsigned how, struct mkt_span chain)
{
    struct mkt_payload *t = find(m, MKT_T, 0), *p = NULL;
    switch (how % 8) {
    case 0:
        return;
    case 1:
        put_name(m, MKT_IDR_I, (enum name)(how / 8 % NAMES));
        return;
    case 2:
        put_name(m, MKT_IDR_R, (enum name)(how / 8 % NAMES));
        return;
    case 3:
        if (t != NULL)
            t->t.value += (uint64_t)(how / 8 - 16) << 32;
        return;
    case 4:
        m->hdr.csb_id = other->hdr.csb_id;
        return;
    case 5:
        if ((p = find(m, MKT_KEMAC, 0)) != NULL)
            p->kemac.encr_data = chain;
        return;
    case 6:
        if ((p = find(m, MKT_TICKET, 0)) != NULL && mkt_message_find(other, MKT_TICKET, 0) != NULL)
            *p = *mkt_message_find(other, MKT_TICKET, 0);
        return;
    case 7:
        m->hdr.v ^= 1;
        if ((p = find(m, MKT_ERR, 0)) != NULL)
            p->error.number = (uint8_t)(how / 8);
        return;
    }
}

static struct mkt_span rand_of(const struct mkt_message *m, uint8_t role)
{
    const struct mkt_payload *p = mkt_message_find(m, MKT_RANDR, role);
    return p != NULL ? p->rand.rand : (struct mkt_span){NULL, 0};
}

/* The RANDs of a call or of an exchange with the KMS: those of a message, and of others with its CSB ID. */
static void find_rands(const struct mkt_message *m, struct mkt_label *label, int *init)
{
    static struct mkt_message before; /* its spans are those of a letter */
    label->csb_id = m->hdr.csb_id;
    label->randi = rand_of(m, MKT_RANDR_I);
    label->randr = rand_of(m, MKT_RANDR_R);
    *init = NONE;
    for (size_t i = world.n_letters; i-- > 0;) {
        const struct letter *l = &world.letter[i];
        if (l->maker == BY_NETWORK || mkt_message_decode(&before, octets_of(l)) != MKT_OK ||
            before.hdr.csb_id != m->hdr.csb_id)
            continue;
        label->randi = label->randi.n > 0 ? label->randi : rand_of(&before, MKT_RANDR_I);
        label->randr = label->randr.n > 0 ? label->randr : rand_of(&before, MKT_RANDR_R);
        if (*init == NONE &&
            (l->type == MKT_TRANSFER_INIT || l->type == MKT_REQUEST_INIT_PSK || l->type == MKT_RESOLVE_INIT_PSK))
            *init = (int)i;
    }
}

static struct mkt_span name_in(const struct mkt_message *m, uint8_t role, enum name otherwise)
{
    const struct mkt_payload *p = mkt_message_find(m, MKT_IDR, role);
    return p != NULL ? p->id.data : id_of(otherwise).data;
}

/* What the MAC covers beside the message: table 5.2 of RFC 6043. */
static void cover(const struct mkt_message *m, int init, struct mkt_span also[2])
{
    switch (m->hdr.data_type) {
    case MKT_REQUEST_INIT_PSK:
        also[0] = name_in(m, MKT_IDR_I, MALLORY);
        also[1] = name_in(m, MKT_IDR_KMS, KMS);
        return;
    case MKT_RESOLVE_INIT_PSK:
        also[0] = name_in(m, MKT_IDR_R, MALLORY);
        also[1] = name_in(m, MKT_IDR_KMS, KMS);
        return;
    case MKT_TRANSFER_INIT:
        also[0] = name_in(m, MKT_IDR_I, ALICE);
        also[1] = name_in(m, MKT_IDR_R, BOB);
        return;
    case MKT_ERROR:
        return;
    }
    if (init != NONE)
        also[0] = octets_of(&world.letter[init]);
}

/* Puts the right MACs into a message that has been written, with the keys that Mallory chose. */
static bool seal_by_hand(struct mkt_buf *out, const struct mkt_protection *by, bool anew, int init,
                         struct mkt_span plain)
{
    struct mkt_message m;
    struct mkt_span parts[4] = {{NULL, 0}};
    if (mkt_message_decode(&m, (struct mkt_span){out->p, out->n}) != MKT_OK || m.n == 0 ||
        m.payload[m.n - 1].type != MKT_V)
        return false;
    const struct mkt_payload *kemac = mkt_message_find(&m, MKT_KEMAC, 0), *t = mkt_message_find(&m, MKT_T, 0);
    struct mkt_encryption encryption = {m.hdr.csb_id, t != NULL ? t->t.value : 0, plain, NULL};
    uint8_t *mac = out->p + (m.payload[m.n - 1].v.mac.p - out->p);
    if (m.payload[m.n - 1].v.mac.n != mkt_hash_length(mkt_suite_algorithms(by->suite)->hash))
        return false;
    if (kemac != NULL && plain.n > 0)
        encryption.out = out->p + (kemac->kemac.encr_data.p - out->p);
    cover(&m, init, parts + 2);
    mkt_message_covered(&m, (struct mkt_span){out->p, out->n}, parts);
    if (mkt_protect_seal(by, encryption.out != NULL ? &encryption : NULL, parts, 4, mac) != MKT_OK)
        return false;
    const struct mkt_payload *ticket = mkt_message_find(&m, MKT_TICKET, 0);
    if (anew && m.hdr.data_type == MKT_TRANSFER_INIT && ticket != NULL && ticket->ticket.initiator_data.n > 0)
        return mkt_initiator_data_seal(by->suite, by->key, &m, out) == MKT_OK;
    return true;
}

void mallory_forges(const struct letter *l, const struct letter *other, unsigned which, unsigned how, unsigned phase)
{
    static const uint8_t own_key[32] = {9}, spi[4] = {'m', 'i', 'n', 'e'};
    struct mkt_payload key = {.type = MKT_KEY_DATA,
                              .key_data = {.type = MKT_KEY_TGK, .key = {own_key, 32}, .kv = {.type = MKT_KV_SPI}}};
    uint8_t octets[128];
    struct mkt_buf out = {made_up, sizeof made_up, 0}, chain = {octets, sizeof octets, 0};
    struct mkt_message m, of_other;
    struct mkt_protection by = {.key = {world.ring[which % world.n_ring].octets, world.ring[which % world.n_ring].n}};
    int init;
    if (mkt_message_decode(&m, octets_of(l)) != MKT_OK || mkt_message_decode(&of_other, octets_of(other)) != MKT_OK ||
        mkt_suite_of_prf(m.hdr.prf, &by.suite) != MKT_OK)
        return;
    key.key_data.key.n = mkt_suite_algorithms(by.suite)->key;
    key.key_data.kv.spi = (struct mkt_span){spi, 4};
    require(mkt_payloads_encode(&key, 1, &chain) == MKT_OK);
    tamper(&m, &of_other, how, (struct mkt_span){octets, chain.n});
    by.label.purpose = phase % 2 == 0 ? MKT_PURPOSE_INITIAL : MKT_PURPOSE_RESPONSE;
    find_rands(&m, &by.label, &init);
    if (by.label.purpose == MKT_PURPOSE_INITIAL)
        by.label.randr =
            m.hdr.data_type == MKT_RESOLVE_INIT_PSK ? rand_of(&m, MKT_RANDR_R) : (struct mkt_span){NULL, 0};
    if (mkt_message_encode(&m, &out) != MKT_OK)
        return;
    oracle_pause(true);
    const bool sealed = seal_by_hand(&out, &by, phase % 4 < 2, init,
                                     how % 8 == 5 ? (struct mkt_span){octets, chain.n} : (struct mkt_span){NULL, 0});
    oracle_pause(false);
    if (!sealed || made_letter(&world, (struct mkt_span){made_up, out.n}) != NONE)
        return;
    struct letter *forged = add_letter((struct mkt_span){made_up, out.n}, BY_HAND);
    forged->type = m.hdr.data_type;
    forged->update = forged->type == MKT_TRANSFER_INIT && mkt_message_find(&m, MKT_TICKET, 0) == NULL;
    forged->about = init;
    forged->has_mac = true;
    const struct letter *call = NULL;
    for (size_t i = 0; i + 1 < world.n_letters && call == NULL; i++)
        if (world.letter[i].type == MKT_TRANSFER_INIT && !world.letter[i].update &&
            world.letter[i].maker != BY_NETWORK && memcmp(world.letter[i].octets + 4, forged->octets + 4, 4) == 0)
            call = &world.letter[i];
    forged->call = call != NULL ? (int)(call - world.letter) : NONE;
    if (forged->type == MKT_TRANSFER_INIT && !forged->update)
        forged->call = (int)(forged - world.letter);
}
