/* SPDX-License-Identifier: BSD-3-Clause */
/* The linker puts two functions of this file in the place of the library's, to see each key, IV and plaintext. */
#include "oracle.h"

#include "../lib/crypto.h"
#include "../lib/protect.h"

#include <mikeyticket/replay.h>

#include <stdlib.h>
#include <string.h>

void require(bool holds)
{
    if (!holds)
        abort();
}

uint64_t hash_of(uint64_t before, struct mkt_span octets)
{
    uint64_t hash = before ^ 14695981039346656037u;
    for (size_t i = 0; i < octets.n; i++)
        hash = (hash ^ octets.p[i]) * 1099511628211u;
    return hash;
}

/* ---- no key and IV encrypt two plaintexts ---- */

enum { MOST = 1024 };

static struct {
    struct {
        uint64_t key;
        uint8_t iv[16];
        uint64_t plaintext;
    } made[MOST];
    size_t n, n_sent; /* the first `n_sent` have left their maker */
    bool sealing, paused;
} encrypted;

enum mkt_err __real_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out);
enum mkt_err __wrap_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out);
enum mkt_err __real_mkt_protect_seal(const struct mkt_protection *p, const struct mkt_encryption *e,
                                     const struct mkt_span parts[], size_t n, uint8_t *mac);
enum mkt_err __wrap_mkt_protect_seal(const struct mkt_protection *p, const struct mkt_encryption *e,
                                     const struct mkt_span parts[], size_t n, uint8_t *mac);

enum mkt_err __wrap_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out)
{
    if (encrypted.sealing && !encrypted.paused) {
        require(encrypted.n < MOST);
        encrypted.made[encrypted.n].key = hash_of(0, key);
        encrypted.made[encrypted.n].plaintext = hash_of(0, in);
        memcpy(encrypted.made[encrypted.n].iv, iv, 16);
        encrypted.n++;
    }
    return __real_mkt_aes_cm(key, iv, in, out);
}

enum mkt_err __wrap_mkt_protect_seal(const struct mkt_protection *p, const struct mkt_encryption *e,
                                     const struct mkt_span parts[], size_t n, uint8_t *mac)
{
    encrypted.sealing = true;
    const enum mkt_err err = __real_mkt_protect_seal(p, e, parts, n, mac);
    encrypted.sealing = false;
    return err;
}

void oracle_pause(bool paused)
{
    encrypted.paused = paused;
}

void oracle_begin(void)
{
    encrypted.n = encrypted.n_sent = 0;
    encrypted.paused = false;
}

void oracle_call(void)
{
    encrypted.n = encrypted.n_sent;
}

void oracle_sent(void)
{
    for (; encrypted.n_sent < encrypted.n; encrypted.n_sent++)
        for (size_t i = 0; i < encrypted.n_sent; i++)
            require(encrypted.made[i].key != encrypted.made[encrypted.n_sent].key ||
                    memcmp(encrypted.made[i].iv, encrypted.made[encrypted.n_sent].iv, 16) != 0 ||
                    encrypted.made[i].plaintext == encrypted.made[encrypted.n_sent].plaintext);
}

/* ---- who is who ---- */

enum name maker_of(const struct letter *letter)
{
    return letter->maker == BY_END ? letter->end->device->user : MALLORY;
}

int made_letter(const struct world *w, struct mkt_span octets)
{
    for (size_t i = 0; i < w->n_letters; i++)
        if (w->letter[i].maker != BY_NETWORK &&
            mkt_span_equal((struct mkt_span){w->letter[i].octets, w->letter[i].n}, octets))
            return (int)i;
    return NONE;
}

static bool decode(struct mkt_message *message, struct mkt_span octets)
{
    return mkt_message_decode(message, octets) == MKT_OK;
}

/* A message to the end of Ticket Data, and behind Initiator Data. */
static bool split(struct mkt_span octets, struct mkt_span part[2])
{
    struct mkt_message m;
    const struct mkt_payload *p = decode(&m, octets) ? mkt_message_find(&m, MKT_TICKET, 0) : NULL;
    if (p == NULL || m.hdr.data_type != MKT_TRANSFER_INIT)
        return false;
    const uint8_t *end = p->ticket.ticket_data.p + p->ticket.ticket_data.n, *rest = p->octets.p + p->octets.n;
    part[0] = (struct mkt_span){octets.p, (size_t)(end - octets.p)};
    part[1] = (struct mkt_span){rest, octets.n - (size_t)(rest - octets.p)};
    return true;
}

int verified_letter(const struct world *w, struct mkt_span octets)
{
    struct mkt_span parts[2], of_letter[2];
    const int same = made_letter(w, octets);
    if (same != NONE || !split(octets, parts))
        return same;
    for (size_t i = 0; i < w->n_letters; i++)
        if (w->letter[i].maker != BY_NETWORK && split(octets_of(&w->letter[i]), of_letter) &&
            mkt_span_equal(parts[0], of_letter[0]) && mkt_span_equal(parts[1], of_letter[1]))
            return (int)i;
    return NONE;
}

static uint16_t policy_flags(struct mkt_span init)
{
    struct mkt_message m;
    const struct mkt_payload *ticket = decode(&m, init) ? mkt_message_find(&m, MKT_TICKET, 0) : NULL;
    return ticket != NULL ? ticket->ticket.flags : 0;
}

uint64_t ticket_of(struct mkt_span octets)
{
    struct mkt_message m;
    const struct mkt_payload *p = decode(&m, octets) ? mkt_message_find(&m, MKT_TICKET, 0) : NULL;
    if (p == NULL)
        return 0;
    const uint8_t *from = p->octets.p + 1; /* behind Next Payload */
    return hash_of(0, (struct mkt_span){from, (size_t)(p->ticket.ticket_data.p + p->ticket.ticket_data.n - from)});
}

static void steal(struct world *w, uint64_t ticket)
{
    if (ticket != 0 && w->n_stolen < sizeof w->stolen / sizeof *w->stolen)
        w->stolen[w->n_stolen++] = ticket;
}

static bool is_stolen(const struct world *w, uint64_t ticket)
{
    for (size_t i = 0; i < w->n_stolen; i++)
        if (w->stolen[i] == ticket)
            return true;
    return w->n_stolen == sizeof w->stolen / sizeof *w->stolen; /* nobody knows any more */
}

/*
 * Whether Mallory may pass for somebody else: she has the keys of the ticket, and whatever has these can make this
 * message. Key forking keeps MPKr from her, and so the Responder's messages. It keeps the Initiator's from her too if
 * the KMS has verified Vr.
 */
static bool is_excused(const struct world *w, const struct end *e, const struct letter *l)
{
    const int call = l->call != NONE ? l->call : e->call;
    if (maker_of(l) != MALLORY || call == NONE)
        return false;
    const struct letter *init = &w->letter[call];
    const uint16_t flags = policy_flags(octets_of(init));
    if (!is_stolen(w, ticket_of(octets_of(init))))
        return false;
    if ((flags & MKT_FLAG_I) == 0)
        return true;
    if (l->type == MKT_TRANSFER_INIT && !l->update)
        return !e->proven;
    if (l->type == MKT_TRANSFER_RESP && !l->update)
        return false;
    return (flags & MKT_FLAG_F) == 0 || l->type == MKT_ERROR;
}

/* ---- keys of both ends ---- */

static uint64_t keys_of(const struct mkt_csb *csb, uint8_t cs_id)
{
    static uint8_t octets[3][ROOM];
    struct mkt_buf tek = {octets[0], ROOM, 0}, salt = {octets[1], ROOM, 0}, identity = {octets[2], ROOM, 0};
    require(mkt_csb_tek(csb, cs_id, &tek) == MKT_OK && tek.n >= 16);
    require(mkt_csb_salt(csb, cs_id, &salt) == MKT_OK);
    require(mkt_csb_psk_identity(csb, cs_id, &identity) == MKT_OK && identity.n > 0);
    uint64_t hash = hash_of(1, (struct mkt_span){octets[0], tek.n});
    hash = hash_of(hash, (struct mkt_span){octets[1], salt.n});
    return hash_of(hash, (struct mkt_span){octets[2], identity.n});
}

/* The keys of the sessions that a message names, as its maker has them. */
static void keep_keys(struct letter *l, const struct mkt_message *m)
{
    struct mkt_span map = m->hdr.map;
    struct mkt_cs cs;
    while (map.n > 0 && l->n_keys < SESSIONS) {
        require(mkt_cs_next(&cs, m->hdr.map_type, 0, &map) == MKT_OK);
        l->keys[l->n_keys].cs_id = cs.cs_id;
        l->keys[l->n_keys++].hash = keys_of(l->end->csb, cs.cs_id);
    }
}

static void expect_same_keys(const struct letter *l, const struct end *e)
{
    require(mkt_csb_ready(e->csb));
    for (size_t i = 0; i < l->n_keys; i++)
        require(keys_of(e->csb, l->keys[i].cs_id) == l->keys[i].hash);
}

/* ---- the replay cache ---- */

static unsigned scope_bit(const struct world *w, const struct end *e)
{
    return 1u << (e->device->scope - w->device);
}

static bool is_own(const struct letter *l, const struct end *e)
{
    return l->maker == BY_END && l->end->device->scope == e->device->scope;
}

/* Whether a letter is an Error message about the same one as an earlier one of the same scope. */
static bool is_second_error(const struct world *w, const struct letter *l)
{
    for (const struct letter *before = w->letter; before < l && l->type == MKT_ERROR; before++)
        if (before->type == MKT_ERROR && before->has_mac && before->about == l->about && is_own(before, l->end))
            return true;
    return false;
}

/*
 * What a cache may remember, for each scope: its own letters, but of Error messages one about each letter, and those
 * that it has accepted. Nobody without a key can have more of it taken.
 */
static size_t most_remembered(const struct world *w, const struct mkt_replay *cache)
{
    size_t n = w->n_lost;
    for (size_t i = 0; i < w->n_letters; i++) {
        const struct letter *l = &w->letter[i];
        n += l->maker == BY_END && l->end->device->cache == cache && l->end->role != MKT_KMS && l->has_mac &&
             !is_second_error(w, l);
        for (size_t d = 0; d < DEVICES; d++)
            n += w->device[d].cache == cache && w->device[d].scope == &w->device[d] && (l->taken & 1u << d) != 0;
    }
    return n;
}

static void expect_room(const struct world *w, const struct device *d)
{
    if (d->user == MALLORY)
        return; /* she goes by many names, and fills what is hers */
    require(d->cache == NULL || mkt_replay_count(d->cache, d->clock) <= most_remembered(w, d->cache));
}

/* ---- letters that are made ---- */

/* It is about a letter that came from somebody else. About one of Ticket Transfer it is the first: it could come
 * back. */
static void expect_real_error(const struct world *w, const struct letter *error)
{
    require(error->about != NONE && !is_own(&w->letter[error->about], error->end));
    const unsigned type = w->letter[error->about].type;
    const bool comes_back = type == MKT_TRANSFER_INIT || type == MKT_TRANSFER_RESP;
    require(!comes_back || error->end->device->cache == NULL || !is_second_error(w, error));
}

void oracle_made(struct world *w, int i)
{
    struct letter *l = &w->letter[i];
    struct end *e = l->end;
    struct mkt_message m;
    require(decode(&m, octets_of(l)));
    l->type = m.hdr.data_type;
    l->has_mac = mkt_message_find(&m, MKT_V, 0) != NULL;
    l->by_counter = mkt_message_find(&m, MKT_T, 0)->t.ts_type == MKT_TS_COUNTER;
    if (l->type == MKT_ERROR) {
        l->call = e->call;
        if (l->has_mac && e->device->user != MALLORY)
            expect_real_error(w, l);
        expect_room(w, e->device);
        return;
    }
    l->update = l->type == MKT_TRANSFER_INIT && mkt_message_find(&m, MKT_TICKET, 0) == NULL;
    if (l->type == MKT_TRANSFER_RESP || l->type == MKT_REQUEST_RESP || l->type == MKT_RESOLVE_RESP) {
        l->about = e->question;
        require(l->about != NONE);
        l->update = w->letter[l->about].update;
        l->settled = l->type == MKT_TRANSFER_RESP;
        if (l->type == MKT_RESOLVE_RESP && maker_of(&w->letter[l->about]) == MALLORY)
            steal(w, ticket_of(octets_of(&w->letter[l->about])));
        e->question = NONE;
    }
    if (l->type == MKT_TRANSFER_INIT) {
        if (!l->update) {
            e->call = i;
            require(m.hdr.csb_id % 2 == 0); /* the host has the others */
            require((policy_flags(octets_of(l)) & MKT_FLAG_N) != 0 || e->host.open != NULL);
        }
        if (!l->update && e->device->user == MALLORY)
            steal(w, ticket_of(octets_of(l)));
        l->settled = l->update ? m.hdr.v == 0 : mkt_csb_ready(e->csb);
    }
    if (l->type == MKT_TRANSFER_INIT || l->type == MKT_TRANSFER_RESP)
        l->call = e->call;
    if (l->type == MKT_TRANSFER_INIT || l->type == MKT_REQUEST_INIT_PSK || l->type == MKT_RESOLVE_INIT_PSK)
        e->open = l->settled ? NONE : i;
    if (l->settled)
        keep_keys(l, &m);
}

/* ---- letters that are accepted ---- */

/* The TP or TICKET payload of a letter. */
static struct mkt_policy policy_in(const struct letter *l, unsigned type)
{
    struct mkt_message m;
    struct mkt_policy policy;
    require(decode(&m, octets_of(l)));
    require(mkt_policy_decode(&policy, &mkt_message_find(&m, type, 0)->ticket) == MKT_OK);
    return policy;
}

/* Whether a policy names somebody as a responder, or a group that they belong to by the word of this host. */
static bool is_named(const struct end *e, const struct mkt_policy *policy, struct mkt_id id)
{
    for (size_t i = 0; i < policy->n_responders; i++)
        if (mkt_id_equal(&policy->responder[i], &id) || e->host.member(e->host.user, &id, &policy->responder[i]))
            return true;
    return false;
}

/* The KMS resolves a ticket for those whom its policy names, and grants one to the Initiator that asks. */
static void expect_allowed(const struct end *kms, const struct letter *l)
{
    const struct mkt_id by = id_of(maker_of(l));
    const bool request = l->type == MKT_REQUEST_INIT_PSK;
    const struct mkt_policy policy = policy_in(l, request ? MKT_TP : MKT_TICKET);
    if (request)
        require(policy.initiator.data.n == 0 || mkt_id_equal(&policy.initiator, &by));
    else
        require(is_named(kms, &policy, by));
}

/* D21, D24: of an Initiator that the policy does not name, and of a ticket that only a KMS opens. */
static void expect_usable(const struct end *e, const struct letter *init)
{
    const struct mkt_policy policy = policy_in(init, MKT_TICKET);
    require(policy.initiator.data.n > 0 || (e->host.authorise != NULL && !init->by_counter));
    require((policy.flags & MKT_FLAG_O) != 0 || e->host.open != NULL);
    require(is_named(e, &policy, e->settings.self));
}

/* D26: the one that was called answers, or one of the policy. With key forking another one may, by the host's word. */
static void expect_responder(const struct world *w, const struct end *e, const struct letter *resp)
{
    const struct mkt_policy policy = policy_in(&w->letter[e->call], MKT_TICKET);
    struct mkt_message m;
    require(decode(&m, octets_of(resp)));
    const struct mkt_payload *idrr = mkt_message_find(&m, MKT_IDR, MKT_IDR_R);
    const struct mkt_id by = idrr != NULL ? idrr->id : e->asked;
    require(mkt_id_equal(&by, &e->asked) || is_named(e, &policy, by) ||
            ((policy.flags & MKT_FLAG_I) != 0 && e->host.authorise != NULL));
}

/* What the host of an end says counts, whoever that is. */
static void expect_agreed(const struct world *w, const struct end *e, const struct letter *l)
{
    if (l->type == MKT_TRANSFER_RESP ? w->letter[e->open].update : l->update)
        return;
    require(!e->denies || e->host.authorise == NULL);
    if (l->type == MKT_TRANSFER_INIT)
        expect_usable(e, l);
    if (l->type == MKT_TRANSFER_RESP)
        expect_responder(w, e, l);
}

/* Of the other end of the call, or of a party to the exchange. */
static void expect_peers(const struct world *w, const struct end *e, const struct letter *l)
{
    require(!is_own(l, e));
    switch (l->type) {
    case MKT_REQUEST_INIT_PSK:
    case MKT_RESOLVE_INIT_PSK:
        require(e->role == MKT_KMS);
        expect_allowed(e, l);
        return;
    case MKT_REQUEST_RESP:
    case MKT_RESOLVE_RESP:
        require(maker_of(l) == KMS && l->about == e->open);
        return;
    case MKT_TRANSFER_INIT:
        if (!l->update)
            return;
        break;
    case MKT_TRANSFER_RESP:
        require(l->about == e->open);
        break;
    }
    if (is_excused(w, e, l))
        return;
    require(l->call == e->call && l->maker == BY_END && l->end->role != e->role);
    /* in the order in which the peer made them; with COUNTER the host looks at initial messages alone, not at
     * answers */
    require(l->by_counter || e->newest == NONE || w->letter[e->newest].end != l->end || w->letter + e->newest < l);
}

static void accept(struct world *w, struct end *e, int i)
{
    require(i != NONE);
    struct letter *l = &w->letter[i];
    const unsigned scope = scope_bit(w, e);
    const bool initial =
        l->type == MKT_REQUEST_INIT_PSK || l->type == MKT_RESOLVE_INIT_PSK || l->type == MKT_TRANSFER_INIT;
    if (!initial && e->last == i)
        return; /* the same answer again */
    expect_agreed(w, e, l);
    if (e->device->user != MALLORY) {
        expect_peers(w, e, l);
        require(!initial || (l->taken & scope) == 0 || e->device->cache == NULL);
    }
    l->taken |= scope;
    if (l->type == MKT_TRANSFER_INIT && !l->update)
        e->call = i;
    if (l->type == MKT_REQUEST_RESP && e->device->user == MALLORY)
        steal(w, ticket_of(octets_of(l)));
    if (l->type != MKT_REQUEST_RESP && l->type != MKT_RESOLVE_RESP) {
        e->heard = true;
        e->from = maker_of(l);
        e->excused = e->excused || is_excused(w, e, l);
        e->newest = i;
    }
    if (initial) {
        e->question = i;
    } else {
        e->last = i;
        e->open = NONE;
    }
    if (l->settled)
        expect_same_keys(l, e);
}

/*
 * An Error message does not say about whose message it is. If G is clear, all Responders of a call have one key, so one
 * of them may get what is about another. Without a replay cache, so may whoever made it.
 */
static bool is_about_own(const struct world *w, const struct end *e, const struct letter *about)
{
    if (about->maker == BY_END && about->end == e)
        return true;
    const bool one_key = e->role == MKT_RESPONDER && (policy_flags(octets_of(&w->letter[e->call])) & MKT_FLAG_G) == 0;
    return about->call == e->call && (one_key || e->device->cache == NULL);
}

static void accept_error(struct world *w, const struct end *e, int i)
{
    const unsigned scope = scope_bit(w, e);
    require(e->told && !(e->told_authentic && e->role == MKT_KMS));
    if (!e->told_authentic || e->device->user == MALLORY)
        return;
    require(i != NONE);
    struct letter *l = &w->letter[i];
    require(e->device->cache == NULL || (l->taken & scope) == 0);
    l->taken |= scope;
    if (is_excused(w, e, l))
        return;
    require(l->has_mac && l->maker == BY_END && l->about != NONE && is_about_own(w, e, &w->letter[l->about]));
    require(e->device->cache == NULL || !is_own(l, e));
}

void oracle_took(struct world *w, struct end *e, struct mkt_span octets)
{
    struct mkt_message m;
    const int i = made_letter(w, octets);
    require(decode(&m, octets));
    if (m.hdr.data_type == MKT_ERROR) {
        accept_error(w, e, i);
        expect_room(w, e->device);
        return;
    }
    if (m.hdr.data_type == MKT_TRANSFER_INIT && mkt_csb_must_make(e->csb, MKT_RESOLVE_INIT_PSK)) {
        /* the KMS is not asked about a message that the cache has; a cache has no COUNTERs, and forgets too early if
           another clock is ahead of this one */
        require(i == NONE || (w->letter[i].taken & scope_bit(w, e)) == 0 || e->device->cache == NULL ||
                e->device->user == MALLORY || /* who goes by many names */
                w->clocks_differ || mkt_message_find(&m, MKT_T, 0)->t.ts_type == MKT_TS_COUNTER);
        e->waiting = i; /* nothing is verified yet */
        e->heard = false;
        return;
    }
    accept(w, e, i);
    if (m.hdr.data_type == MKT_RESOLVE_RESP)
        accept(w, e, e->waiting);
    expect_room(w, e->device);
}

/* ---- at any time ---- */

void oracle_look(const struct world *w, const struct end *e)
{
    const struct mkt_id peer = mkt_csb_peer(e->csb);
    (void)w;
    require((mkt_csb_session_count(e->csb) > 0) == mkt_csb_ready(e->csb));
    if (peer.data.n == 0 || e->device->user == MALLORY)
        return;
    const struct mkt_id from = id_of(e->from);
    require(e->heard && (e->excused || mkt_id_equal(&peer, &from)));
}
