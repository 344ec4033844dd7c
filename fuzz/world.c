/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include "mallory.h"
#include "oracle.h"

#include <mikeyticket/replay.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;

/* ---- keys that parties share with the KMS, and with each other ---- */

static const uint8_t psks[USERS][32] = {{1}, {2}, {3}, {4}, {5}};
/* The KMS has all TPKs, Bob's first device all but Mallory's, Alice her own. */
const uint8_t tpk_of_kms[32] = {6}, tpk_of_alice[32] = {7}, tpk_of_mallory[32] = {8};
static const char key_names[] = "abcmk";

struct mkt_span psk_of(enum name name)
{
    return (struct mkt_span){psks[name], 32};
}

struct mkt_id id_of(enum name name)
{
    static const char *const names[NAMES] = {"sip:alice@example.com",  "sip:bob@example.com",
                                             "sip:carol@example.com",  "sip:mallory@example.com",
                                             "http://kms.example.com", "sip:team@example.com"};
    return mkt_id_uri(names[name]);
}

/* ---- hosts ---- */

static enum mkt_err now(void *user, mkt_ntp *ntp)
{
    const struct end *e = user;
    *ntp = e->device->clock;
    e->device->clock += e->device->tick;
    return MKT_OK;
}

/*
 * Octets that are never drawn twice. A few octets have too few values to be left to chance: those go through all values
 * before one comes again, also in their lower bits.
 */
static uint64_t drawn;

static enum mkt_err draw(void *user, uint8_t *out, size_t n)
{
    (void)user;
    for (size_t i = 0; i < n; i++) {
        if (i % 8 == 0)
            drawn++;
        uint64_t x = drawn * 0x9e3779b97f4a7c15u;
        if (n <= 8) {
            out[i] = (uint8_t)(x >> 8 * (n - 1 - i));
            continue;
        }
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
        x = (x ^ x >> 27) * 0x94d049bb133111ebu;
        out[i] = (uint8_t)(x >> 8 * (i % 8));
    }
    return MKT_OK;
}

static enum mkt_err counter(void *user, uint32_t *value)
{
    const struct end *e = user;
    *value = ++e->device->counter;
    return MKT_OK;
}

static enum mkt_err count(void *user, const struct mkt_id *peer, uint32_t value)
{
    const struct end *e = user;
    for (unsigned name = 0; name < NAMES; name++) {
        const struct mkt_id id = id_of((enum name)name);
        if (!mkt_id_equal(peer, &id))
            continue;
        if (value <= e->device->scope->counted[name])
            return MKT_E_REPLAY;
        e->device->scope->counted[name] = value;
        return MKT_OK;
    }
    return MKT_E_STALE;
}

static enum mkt_err give(struct mkt_buf *key, const uint8_t octets[32])
{
    memcpy(key->p, octets, 32);
    key->n = 32;
    return MKT_OK;
}

static enum mkt_err give_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct end *e = user;
    const struct mkt_id alice = id_of(ALICE), mallory = id_of(MALLORY);
    const char name = id != NULL && id->data.n == 1 ? (char)id->data.p[0] : 'k';
    if (name == 'k')
        return give(key, tpk_of_kms);
    /* who shares a key can make tickets with it in anybody's name */
    if (name == 'a' && mkt_id_equal(&policy->initiator, &alice))
        return give(key, tpk_of_alice);
    if (name == 'm' && mkt_id_equal(&policy->initiator, &mallory) && e->role == MKT_KMS)
        return give(key, tpk_of_mallory);
    return MKT_E_NO_KEY;
}

static enum mkt_err give_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct end *e = user;
    (void)e;
    for (unsigned u = 0; u < USERS; u++) {
        const struct mkt_id of_user = id_of((enum name)u);
        const bool named = name != NULL && name->data.n == 1 && name->data.p[0] == (uint8_t)key_names[u];
        if (name != NULL ? !named : id == NULL || !mkt_id_equal(id, &of_user))
            continue;
        psk->owner = of_user;
        return give(&psk->key, e->device->user == MALLORY ? psks[MALLORY] : psks[u]);
    }
    return MKT_E_NO_KEY;
}

static enum mkt_err resolved(void *user, struct mkt_span ticket, struct mkt_buf *octets)
{
    const struct end *e = user;
    for (size_t i = 0; i < e->device->n_kept; i++) {
        if (!mkt_span_equal(e->device->kept[i].ticket, ticket))
            continue;
        if (e->device->kept[i].n > octets->cap - octets->n)
            return MKT_E_BUFFER;
        memcpy(octets->p + octets->n, e->device->kept[i].octets, e->device->kept[i].n);
        octets->n += e->device->kept[i].n;
        return MKT_OK;
    }
    return MKT_E_NO_KEY;
}

static bool member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    const struct mkt_id team = id_of(TEAM);
    const struct end *e = user;
    if (e->knows_none)
        return false;
    if (e->device->user == MALLORY)
        return true; /* she need not ask herself */
    for (unsigned u = ALICE; u <= CAROL; u++) {
        const struct mkt_id of_user = id_of((enum name)u);
        if (mkt_id_equal(group, &team) && mkt_id_equal(id, &of_user))
            return true;
    }
    return false;
}

static uint64_t hash_of_policy(const struct mkt_policy *policy)
{
    uint8_t octets[1024];
    struct mkt_buf out = {octets, sizeof octets, 0};
    require(mkt_policy_encode(policy, &out) == MKT_OK);
    return hash_of(0, (struct mkt_span){octets, out.n});
}

/* Tickets of Ticket Type 2: policy and keys stay with those who can open them. */
static enum mkt_err seal(void *user, const struct mkt_policy *policy, struct mkt_span keys, struct mkt_buf *ticket_data)
{
    (void)user;
    if (world.n_sealed == SEALED || keys.n > sizeof world.sealed->keys || ticket_data->n == ticket_data->cap)
        return MKT_E_BUFFER;
    world.sealed[world.n_sealed].policy = hash_of_policy(policy);
    world.sealed[world.n_sealed].n = keys.n;
    memcpy(world.sealed[world.n_sealed].keys, keys.p, keys.n);
    ticket_data->p[ticket_data->n++] = (uint8_t)world.n_sealed++;
    return MKT_OK;
}

static enum mkt_err open_sealed(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                struct mkt_buf *keys)
{
    const struct mkt_span data = ticket->ticket.ticket_data;
    (void)user;
    if (policy->type != 2)
        return MKT_E_TICKET_TYPE;
    if (data.n != 1 || data.p[0] >= world.n_sealed || world.sealed[data.p[0]].policy != hash_of_policy(policy))
        return MKT_E_TICKET_MAC;
    const size_t n = world.sealed[data.p[0]].n;
    if (n > keys->cap - keys->n)
        return MKT_E_BUFFER;
    memcpy(keys->p + keys->n, world.sealed[data.p[0]].keys, n);
    keys->n += n;
    return MKT_OK;
}

/* Every other CSB ID is in use already. */
static bool has_csb_id(void *user, const struct mkt_id *initiator, const struct mkt_id *responder, uint32_t csb_id)
{
    (void)user;
    require(initiator->data.n > 0 && responder->data.n > 0);
    return csb_id % 2 != 0;
}

/* A callback can only read the bundle that it is called for. */
static void meddle(struct end *e)
{
    uint8_t octets[64];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct mkt_span message = {octets, sizeof octets};
    struct mkt_id initiator;
    struct mkt_policy policy;
    if (!e->meddles)
        return;
    memset(octets, 1, sizeof octets);
    require(mkt_csb_take(e->csb, message) == MKT_E_STATE);
    require(mkt_csb_make_error(e->csb, message, MKT_E_MAC, NULL, 0, &out) == MKT_E_STATE && out.n == 0);
    require(mkt_csb_make_transfer_resp(e->csb, NULL, &out) == MKT_E_STATE && out.n == 0);
    mkt_csb_abandon(e->csb);
    (void)mkt_csb_peer(e->csb);
    (void)!mkt_csb_unverified(e->csb, &initiator, &policy);
}

static enum mkt_err authorise(void *user, const struct mkt_peer *peer)
{
    struct end *e = user;
    e->proven = peer->proven;
    meddle(e);
    return e->denies ? MKT_E_DENIED : MKT_OK;
}

static void report(void *user, const struct mkt_error_message *report)
{
    struct end *e = user;
    e->told = true;
    e->told_authentic = report->authenticated;
    meddle(e);
}

/* ---- what happens, for a human ---- */

static bool tracing;

static void trace(const struct end *e, const char *verb, size_t letter, unsigned type, enum mkt_err err)
{
    static const char *const users[USERS] = {"alice", "bob", "carol", "mallory", "kms"};
    if (tracing)
        fprintf(stderr, "%s (device %zu, end %zu) %s letter %zu, %s: %s\n", users[e->device->user],
                (size_t)(e->device - world.device), (size_t)(e - world.end), verb, letter, mkt_data_type_name(type),
                mkt_err_name(err));
}

/* ---- letters ---- */

struct letter *add_letter(struct mkt_span octets, enum maker maker)
{
    struct letter *l = &world.letter[world.n_letters++];
    if (tracing && maker != BY_END)
        fprintf(stderr, "%s makes letter %zu\n", maker == BY_HAND ? "mallory" : "the network", world.n_letters - 1);
    *l = (struct letter){.octets = malloc(octets.n), .n = octets.n, .maker = maker, .about = NONE, .call = NONE};
    require(l->octets != NULL);
    memcpy(l->octets, octets.p, octets.n);
    return l;
}

struct mkt_span octets_of(const struct letter *l)
{
    return (struct mkt_span){l->octets, l->n};
}

struct letter *pick_letter(unsigned back)
{
    return world.n_letters == 0 || world.n_letters == LETTERS
               ? NULL
               : &world.letter[world.n_letters - 1 - back % world.n_letters];
}

/* The newest but `back` of a type. */
struct letter *pick_letter_of(unsigned type, unsigned back)
{
    for (size_t i = world.n_letters; i-- > 0;)
        if (world.letter[i].type == type && world.letter[i].maker != BY_NETWORK && !world.letter[i].update &&
            back-- == 0)
            return &world.letter[i];
    return NULL;
}

/* ---- a call of the library: what is refused leaves everything as it was ---- */

void take_image(struct image *image, const struct mkt_csb *csb)
{
    struct mkt_buf out = {image->octets, sizeof image->octets, 0};
    require(mkt_csb_save(csb, &out) == MKT_OK);
    image->n = out.n;
}

void expect_unchanged(const struct image *before, const struct mkt_csb *csb)
{
    static struct image after;
    take_image(&after, csb);
    require(after.n == before->n && memcmp(after.octets, before->octets, after.n) == 0);
}

static enum mkt_err make_once(struct end *e, const struct wish *wish, struct mkt_buf *out)
{
    switch (wish->type) {
    case MKT_REQUEST_INIT_PSK:
        return mkt_csb_make_request_init(e->csb, &wish->request, out);
    case MKT_REQUEST_RESP:
        return mkt_csb_make_request_resp(e->csb, wish->ticket, out);
    case MKT_RESOLVE_INIT_PSK:
        return mkt_csb_make_resolve_init(e->csb, out);
    case MKT_RESOLVE_RESP:
        return mkt_csb_make_resolve_resp(e->csb, out);
    case MKT_TRANSFER_INIT:
        return wish->update ? mkt_csb_make_update(e->csb, &wish->of_update, out)
                            : mkt_csb_make_transfer_init(e->csb, &wish->offer, out);
    case MKT_TRANSFER_RESP:
        return mkt_csb_make_transfer_resp(e->csb, &wish->answer, out);
    case MKT_ERROR:
        return mkt_csb_make_error(e->csb, wish->about, wish->why, NULL, 0, out);
    }
    return MKT_E_ARGUMENT;
}

/* Measures, or finds too little room: the bundle stays as it was, and `n` too if the call fails. */
static void try_to_make(struct end *e, const struct wish *wish, unsigned how, const struct image *before)
{
    static uint8_t octets[ROOM];
    struct mkt_buf measured = {NULL, 0, 3}, less = {octets, UNIT * (how / UNIT), 0};
    if ((how & MEASURED) != 0) {
        const enum mkt_err err = make_once(e, wish, &measured);
        require(err == MKT_OK || measured.n == 3);
        expect_unchanged(before, e->csb);
    }
    if ((how & SHORT) == 0)
        return;
    measured.n = 0;
    const enum mkt_err err = make_once(e, wish, &measured);
    less.cap = err == MKT_OK && less.cap >= measured.n ? measured.n - 1 : less.cap;
    if (err != MKT_OK)
        return;
    require(make_once(e, wish, &less) != MKT_OK && less.n == 0);
    expect_unchanged(before, e->csb);
}

/* The letter that an Error message is about: by default what the end has taken and not answered. */
static int about_what(const struct end *e, struct mkt_span about)
{
    if (about.n > 0)
        return verified_letter(&world, about);
    return e->question != NONE ? e->question : e->waiting;
}

/* The letter that came of it, or NULL. */
struct letter *make(struct end *e, const struct wish *wish, unsigned how)
{
    static struct image before;
    static uint8_t octets[ROOM];
    const size_t from = (how & BEHIND) != 0 ? 5 : 0;
    struct mkt_buf out = {octets, sizeof octets, from};
    if (world.n_letters == LETTERS)
        return NULL;
    take_image(&before, e->csb);
    memset(octets, 'x', from);
    try_to_make(e, wish, how, &before);
    oracle_call();
    const enum mkt_err err = make_once(e, wish, &out);
    require(memcmp(octets, "xxxxx", from) == 0);
    trace(e, wish->update ? "updates by" : "makes", world.n_letters, wish->type, err);
    if (err != MKT_OK) {
        expect_unchanged(&before, e->csb);
        require(out.n == from);
        oracle_look(&world, e);
        return NULL;
    }
    oracle_sent();
    struct letter *l = add_letter((struct mkt_span){octets + from, out.n - from}, BY_END);
    l->end = e;
    if (wish->type == MKT_ERROR)
        l->about = about_what(e, wish->about);
    if (wish->type == MKT_TRANSFER_INIT && !wish->update)
        e->asked = wish->offer.responder;
    oracle_made(&world, (int)(l - world.letter));
    oracle_look(&world, e);
    return l;
}

static struct {
    bool begun;
    size_t programs, taken[32];
} statistics;

static void print_statistics(void)
{
    printf("%zu programs", statistics.programs);
    for (unsigned type = 0; type < 32; type++)
        if (statistics.taken[type] > 0)
            printf(", %zu %s taken", statistics.taken[type], mkt_data_type_name(type));
    printf("\n");
}

/* A cache takes a slot first, and then finds that its clock was set back: that message never gets a second one. */
static void expect_same_caches(uint64_t before[DEVICES][CACHE], enum mkt_err err)
{
    if (memcmp(before, world.memory, sizeof world.memory) == 0)
        return;
    require(err == MKT_E_STALE);
    world.n_lost++;
}

enum mkt_err deliver(struct end *e, struct mkt_span octets, unsigned how)
{
    static struct image before;
    static uint64_t memory[DEVICES][CACHE];
    const size_t n_counted = sizeof e->device->scope->counted;
    uint32_t counted[NAMES];
    take_image(&before, e->csb);
    memcpy(memory, world.memory, sizeof memory);
    memcpy(counted, e->device->scope->counted, n_counted);
    e->told = e->told_authentic = false;
    e->denies = (how & DENIES) != 0;
    e->meddles = (how & MEDDLES) != 0;
    e->knows_none = (how & KNOWS_NONE) != 0;
    e->host.authorise = (how & UNASKED) != 0 ? NULL : authorise;
    const int last = e->last;
    enum mkt_err err = mkt_csb_take_offer(e->csb, octets, mkt_span_text((how & PROTOCOLS) != 0 ? "none" : "mikey"));
    require(e->told == (mkt_err_class(err) == MKT_CLASS_REPORTED));
    err = e->told ? MKT_OK : err;
    size_t which = 0;
    while (which < world.n_letters && world.letter[which].octets != octets.p)
        which++;
    trace(e, e->told_authentic ? "takes an authentic" : "takes", which, octets.n > 1 ? octets.p[1] : 0, err);
    if (err != MKT_OK || e->told)
        expect_unchanged(&before, e->csb);
    if (err != MKT_OK) {
        require(!e->told && memcmp(counted, e->device->scope->counted, n_counted) == 0);
        expect_same_caches(memory, err);
    }
    if (err == MKT_OK) {
        oracle_took(&world, e, octets);
        const bool again = last != NONE && mkt_span_equal(octets, octets_of(&world.letter[last]));
        require(!mkt_csb_repeated(e->csb) || again || e->device->user == MALLORY);
        if (again || mkt_csb_repeated(e->csb))
            expect_unchanged(&before, e->csb);
        statistics.taken[octets.p[1] % 32]++;
    }
    oracle_look(&world, e);
    return err;
}

/* ---- ends ---- */

struct device *device_of(unsigned n)
{
    return &world.device[n % DEVICES];
}

static const uint8_t scopes[DEVICES][1] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}};

struct end *open_end(struct device *device, enum mkt_role role, unsigned how, unsigned size)
{
    const bool lies = device->user == MALLORY && (how & LIE) != 0;
    struct mkt_csb *csb;
    if (world.n_ends == ENDS)
        return NULL;
    if (device->user == KMS)
        role = MKT_KMS;
    else if (role == MKT_KMS && !lies)
        role = MKT_RESPONDER;
    struct end *e = &world.end[world.n_ends];
    *e = (struct end){
        .device = device,
        .role = role,
        .self = !lies             ? device->user
                : role == MKT_KMS ? KMS
                                  : (enum name)(size % CAROL + ALICE),
        .call = NONE,
        .waiting = NONE,
        .open = NONE,
        .question = NONE,
        .last = NONE,
        .newest = NONE,
    };
    e->host = (struct mkt_host){.size = sizeof(struct mkt_host),
                                .user = e,
                                .now = now,
                                .random = draw,
                                .counter_next = counter,
                                .counter_check = count,
                                .resolved = resolved,
                                .member = member,
                                .authorise = authorise,
                                .has_csb_id = has_csb_id,
                                .error = report,
                                .cache = device->cache};

    e->host.psk = role == MKT_KMS ? give_psk : NULL;
    e->host.tpk = role == MKT_KMS || device == device_of(BOB_0) ? give_tpk : NULL;
    if (world.type_2 && (role == MKT_KMS || device == device_of(ALICE_0) || device == device_of(BOB_0))) {
        e->host.open = open_sealed;
        e->host.seal = seal;
    }
    e->credential = (struct mkt_credential){.kms = id_of(KMS), .psk = psk_of(device->user)};
    if ((how & NAMED) != 0)
        e->credential.name = (struct mkt_id){0, MKT_ID_BYTES, {(const uint8_t *)key_names + device->user, 1}};
    mkt_settings_init(&e->settings, id_of(e->self));
    e->settings.kms = role == MKT_KMS || (how & ALONE) != 0 ? NULL : &e->credential;
    e->settings.max_sessions = SESSIONS;
    e->settings.replay_scope = (struct mkt_span){scopes[device->scope - world.device], 1};
    e->settings.leave_out_identities = (how & LEAVE_OUT) != 0;
    e->settings.counter = (how & COUNTER) != 0;
    if ((how & LEAVE_OUT) != 0 && role == MKT_RESPONDER)
        e->settings.peer = id_of(ALICE);
    if ((how & SMALL) != 0)
        e->settings.bundle_size = 1024 + 8 * size;
    if (role == MKT_KMS)
        e->settings.application = mkt_span_text("");
    if (mkt_csb_new(&csb, role, &e->host, &e->settings) != MKT_OK)
        return NULL;
    e->csb = csb;
    world.n_ends++;
    return e;
}

struct end *pick_end(unsigned back)
{
    return &world.end[world.n_ends - 1 - back % world.n_ends];
}

/* The other end of a call, newest first. */
struct end *partner_of(const struct end *e, unsigned back)
{
    for (size_t i = world.n_ends; i-- > 0;)
        if (world.end[i].call == e->call && e->call != NONE && world.end[i].role != e->role && back-- == 0)
            return &world.end[i];
    return NULL;
}

struct end *kms_end(void)
{
    return &world.end[0];
}

struct mkt_span take_vector(struct mkt_span *rest)
{
    require(rest->n >= 4);
    const size_t n = (size_t)rest->p[0] << 24 | (size_t)rest->p[1] << 16 | (size_t)rest->p[2] << 8 | rest->p[3];
    require(n <= rest->n - 4);
    const struct mkt_span vector = {rest->p + 4, n};
    *rest = (struct mkt_span){rest->p + 4 + n, rest->n - 4 - n};
    return vector;
}

/* ---- a world ---- */

void world_begin(uint8_t how)
{
    if (!statistics.begun && getenv("FUZZ_COUNT") != NULL)
        atexit(print_statistics);
    tracing = getenv("FUZZ_TRACE") != NULL;
    statistics.begun = true;
    statistics.programs++;
    static const enum name users[DEVICES] = {ALICE, ALICE, BOB, BOB, CAROL, MALLORY, KMS};
    world.n_ends = world.n_letters = world.n_tickets = world.n_ring = world.n_stolen = world.n_lost = 0;
    world.n_sealed = 0;
    world.type_2 = (how & TYPE_2) != 0;
    for (size_t i = 0; i < DEVICES; i++) {
        const bool served = users[i] <= CAROL;
        struct device *d = &world.device[i];
        require(mkt_replay_new(&world.cache[i], world.memory[i], sizeof world.memory[i]) == MKT_OK);
        *d =
            (struct device){.user = users[i], .clock = (mkt_ntp)3960616022 << 32, .scope = d, .cache = &world.cache[i]};
        if (served && (how & ONE_CACHE) != 0)
            d->cache = &world.cache[0];
        if (served && (how & NO_SCOPES) != 0 && i > 0 && users[i - 1] == users[i]) {
            d->scope = d - 1;
            d->cache = d->scope->cache;
        }
        if (served && (how & NO_CACHE) != 0)
            d->cache = NULL;
    }
    world.clocks_differ = false;
    drawn = 0;
    oracle_begin();
    mallory_begin();
    require(open_end(device_of(KMS_0), MKT_KMS, 0, 0) != NULL);
}

void world_end(void)
{
    for (size_t i = 0; i < world.n_tickets; i++)
        mkt_ticket_free(world.ticket[i].ticket);
    for (size_t i = 0; i < world.n_ends; i++)
        mkt_csb_free(world.end[i].csb);
    for (size_t i = 0; i < world.n_letters; i++)
        free(world.letter[i].octets);
}
