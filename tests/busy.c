/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callbacks that use the bundle that they are called for. Each callback of struct mkt_host tries each function of
 * mikeyticket/csb.h on its own bundle in each exchange: those that read answer what held before the call, all others
 * are refused, and the call goes on octet for octet as one whose callbacks keep off. All parties have one host: each
 * callback gets the user of the bundle that it is called for.
 */
#include "play.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum callback {
    NOW_,
    RANDOM,
    ALLOC,
    RELEASE,
    TPK,
    PSK,
    RESOLVED_,
    OPEN,
    SEAL,
    MEMBER,
    ACCEPTABLE,
    AUTHORISE,
    REPLAY,
    REPLAY_PEEK,
    COUNTER,
    COUNT,
    PSK_IDENTITY,
    REPORT,
    LOG,
    HAS_CSB_ID,
    FORWARD,
    HOST_CALLBACKS,
    SIGN = HOST_CALLBACKS, /* mkt_public_keys */
    VERIFY,
    SEAL_KEY,
    OPEN_KEY,
    CALLBACKS
};

static const char *const names[CALLBACKS] = {
    "now",    "random",     "alloc",     "release", "tpk",         "psk",        "resolved",   "open",         "seal",
    "member", "acceptable", "authorise", "replay",  "replay_peek", "counter",    "count",      "psk_identity", "report",
    "log",    "has_csb_id", "forward",   "sign",    "verify",      "seal a key", "open a key",
};

_Static_assert(sizeof(struct mkt_host) == (HOST_CALLBACKS + 3) * sizeof(void *),
               "beside size, user and cache each is tried here");

/* ---- what a bundle says ---- */

static uint8_t octets[65536];

static void note(struct mkt_buf *all, const void *p, size_t n)
{
    ck_assert_uint_le(n, all->cap - all->n);
    if (n > 0)
        memcpy(all->p + all->n, p, n);
    all->n += n;
}

static void note_err(struct mkt_buf *all, enum mkt_err err)
{
    note(all, &err, sizeof err);
}

static void note_id(struct mkt_buf *all, struct mkt_id id)
{
    note(all, &id.type, sizeof id.type);
    note(all, id.data.p, id.data.n);
}

/* Calls every function that only reads. */
static struct mkt_span read_all(const struct mkt_csb *csb, const struct mkt_host *host,
                                const struct mkt_settings *settings, struct mkt_buf all)
{
    const bool ready = mkt_csb_ready(csb), repeated = mkt_csb_repeated(csb);
    const uint32_t numbers[] = {mkt_csb_id(csb), mkt_csb_rekey_interval(csb), (uint32_t)mkt_csb_role(csb),
                                (uint32_t)mkt_csb_session_count(csb)};
    struct mkt_policy policy = {.type = 0};
    struct mkt_id initiator = {.type = 0};
    struct mkt_key_wish wish = {.size = sizeof wish};
    struct mkt_ticket *ticket = NULL;
    struct mkt_csb *copy = NULL;
    struct mkt_key_data key = {.type = 0};
    struct mkt_cs cs = {.cs_id = 0};
    struct mkt_sp sp = {.policy_no = 0};
    note(&all, &ready, sizeof ready);
    note(&all, &repeated, sizeof repeated);
    note(&all, numbers, sizeof numbers);
    for (unsigned type = 0; type < 256; type++) {
        const bool owes = mkt_csb_must_make(csb, (enum mkt_data_type)type);
        note(&all, &owes, sizeof owes);
    }
    note_id(&all, mkt_csb_peer(csb));
    note_err(&all, mkt_csb_session_at(csb, 0, &cs));
    note(&all, &cs.cs_id, sizeof cs.cs_id);
    note_err(&all, mkt_csb_sp(csb, 1, &sp));
    note(&all, &sp.policy_no, sizeof sp.policy_no);
    note_err(&all, mkt_csb_key(csb, 0, &key));
    note(&all, key.key.p, key.key.n);
    note_err(&all, mkt_csb_tek(csb, 1, &all));
    note_err(&all, mkt_csb_salt(csb, 1, &all));
    note_err(&all, mkt_csb_psk_identity(csb, 1, &all));
    note_err(&all, mkt_csb_save_resolved(csb, &all));
    note_err(&all, mkt_csb_requested(csb, &policy));
    note_id(&all, policy.initiator);
    note_err(&all, mkt_csb_unverified(csb, &initiator, &policy));
    note_id(&all, initiator);
    note_id(&all, policy.initiator);
    note_err(&all, mkt_csb_requested_key(csb, 0, &wish));
    note(&all, wish.kv.spi.p, wish.kv.spi.n);
    note_err(&all, mkt_csb_take_ticket(csb, &ticket));
    if (ticket != NULL)
        note_err(&all, mkt_ticket_save(ticket, &all));
    mkt_ticket_free(ticket);
    note_err(&all, mkt_csb_branch(csb, &copy));
    if (copy != NULL)
        note_err(&all, mkt_csb_save(copy, &all));
    mkt_csb_free(copy);
    const size_t from = all.n;
    note_err(&all, mkt_csb_save(csb, &all));
    /* a copy is not busy: it may be freed */
    const struct mkt_span put = {all.p + from, all.n - from - sizeof(enum mkt_err)};
    note_err(&all, mkt_csb_load(&copy, host, settings, put));
    mkt_csb_free(copy);
    return (struct mkt_span){all.p, all.n};
}

/* ---- callbacks that meddle ---- */

static struct {
    struct play *play;
    enum party who; /* whose bundle a call is made on */
    bool calling;   /* it is made now */
    bool meddling;  /* and a callback meddles */
    size_t logged;
    struct mkt_host real[PARTIES];
    struct mkt_span before; /* what the bundle said before the call */
    struct mkt_span in;     /* a message that the bundle may be taking */
    unsigned met[CALLBACKS];
} scene;

static void must_refuse(const char *callback, const char *function, enum mkt_err err)
{
    if (err != MKT_E_STATE)
        ck_abort_msg("%s: %s answers %s", callback, function, mkt_err_name(err));
}

/* Tries what would change the bundle. */
static void try_all(const char *callback, struct mkt_csb *csb)
{
    static uint8_t made[4096];
    struct mkt_buf out = {made, sizeof made, 0};
    const struct mkt_request request = {.size = sizeof request, .policy = &scene.play->policy};
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk};
    const struct mkt_offer offer = {.size = sizeof offer, .responder = scene.play->settings[BOB].self};
    const struct mkt_update update = {.size = sizeof update, .no_answer = true};
    const struct mkt_span none = {NULL, 0};
    struct mkt_ticket *ticket = NULL;
    must_refuse(callback, "take", mkt_csb_take_offer(csb, scene.in, mikey));
    must_refuse(callback, "take", mkt_csb_take(csb, mikey));
    struct mkt_sdp sdp;
    expect_err("SDP", mkt_sdp_parse(&sdp, text("a=key-mgmt:mikey AQEB")), MKT_OK);
    must_refuse(callback, "take_offer", mkt_sdp_take_offer(csb, &sdp, MKT_SDP_SESSION));
    must_refuse(callback, "take_answer", mkt_sdp_take_answer(csb, &sdp, MKT_SDP_SESSION));
    must_refuse(callback, "make_error", mkt_sdp_make_error(csb, &sdp, 0, MKT_E_DENIED, NULL, 0, &out));
    must_refuse(callback, "make_offer", mkt_sdp_make_offer(csb, &offer, &out));
    must_refuse(callback, "make_answer", mkt_sdp_make_answer(csb, NULL, &out));
    must_refuse(callback, "make_update", mkt_sdp_make_update(csb, &update, &out));
    must_refuse(callback, "make_request_init", mkt_csb_make_request_init(csb, &request, &out));
    must_refuse(callback, "make_request_resp", mkt_csb_make_request_resp(csb, ticket, &out));
    must_refuse(callback, "make_resolve_init", mkt_csb_make_resolve_init(csb, &out));
    must_refuse(callback, "make_resolve_resp", mkt_csb_make_resolve_resp(csb, &out));
    must_refuse(callback, "make_transfer_init", mkt_csb_make_transfer_init(csb, &offer, &out));
    must_refuse(callback, "make_transfer_resp", mkt_csb_make_transfer_resp(csb, NULL, &out));
    must_refuse(callback, "make_update", mkt_csb_make_update(csb, &update, &out));
    must_refuse(callback, "make_error", mkt_csb_make_error(csb, none, MKT_E_DENIED, NULL, 0, &out));
    must_refuse(callback, "make_error", mkt_csb_make_error(csb, scene.in, MKT_E_DENIED, NULL, 0, &out));
    must_refuse(callback, "grant", mkt_csb_grant(csb, &recipe, &ticket));
    ck_assert_ptr_null(ticket);
    ck_assert_uint_eq(out.n, 0);
    mkt_csb_abandon(csb);
}

/* The host of a callback, after it has meddled with the bundle that it is called for. */
static const struct mkt_host *meddle(void *user, enum callback callback)
{
    const size_t player = (size_t)((struct player *)user - scene.play->player);
    struct mkt_csb *csb = scene.play->csb[scene.who];
    ck_assert_uint_lt(player, PARTIES);
    const struct mkt_host *real = &scene.real[player];
    if (!scene.calling || scene.meddling)
        return real;
    ck_assert_ptr_eq(user, &scene.play->player[scene.who]);
    scene.meddling = true;
    const size_t logged = scene.logged;
    try_all(names[callback], csb);
    const struct mkt_span now = read_all(csb, &scene.play->player[scene.who].host, &scene.play->settings[scene.who],
                                         (struct mkt_buf){octets, sizeof octets, 0});
    if (!mkt_span_equal(now, scene.before))
        expect_octets(names[callback], now, scene.before);
    ck_assert_msg(scene.logged == logged, "%s: the log is told", names[callback]);
    scene.met[callback]++;
    scene.meddling = false;
    return real;
}

static enum mkt_err now(void *user, mkt_ntp *time)
{
    return meddle(user, NOW_)->now(user, time);
}

static enum mkt_err draw(void *user, uint8_t *out, size_t n)
{
    return meddle(user, RANDOM)->random(user, out, n);
}

static void *alloc(void *user, size_t n)
{
    return meddle(user, ALLOC)->alloc(user, n);
}

static void release(void *user, void *p)
{
    meddle(user, RELEASE)->release(user, p);
}

static enum mkt_err ask_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    return meddle(user, TPK)->tpk(user, id, policy, key);
}

static enum mkt_err ask_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    return meddle(user, PSK)->psk(user, name, id, psk);
}

static enum mkt_err resolved(void *user, struct mkt_span ticket, struct mkt_buf *out)
{
    return meddle(user, RESOLVED_)->resolved(user, ticket, out);
}

static enum mkt_err open_ticket(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                struct mkt_buf *keys)
{
    return meddle(user, OPEN)->open(user, ticket, policy, keys);
}

static enum mkt_err seal(void *user, const struct mkt_policy *policy, struct mkt_span keys, struct mkt_buf *data)
{
    return meddle(user, SEAL)->seal(user, policy, keys, data);
}

static bool member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    return meddle(user, MEMBER)->member(user, id, group);
}

static bool acceptable(void *user, const struct mkt_sp *sp)
{
    return meddle(user, ACCEPTABLE)->acceptable(user, sp);
}

static bool has_csb_id(void *user, const struct mkt_id *initiator, const struct mkt_id *responder, uint32_t csb_id)
{
    return meddle(user, HAS_CSB_ID)->has_csb_id(user, initiator, responder, csb_id);
}

static enum mkt_err forward(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                            const struct mkt_id *name, const struct mkt_credential **other)
{
    return meddle(user, FORWARD)->forward(user, ticket, policy, name, other);
}

static enum mkt_err authorise(void *user, const struct mkt_peer *peer)
{
    return meddle(user, AUTHORISE)->authorise(user, peer);
}

static enum mkt_err replay(void *user, struct mkt_span tag, mkt_ntp until)
{
    return meddle(user, REPLAY)->replay(user, tag, until);
}

static enum mkt_err replay_peek(void *user, struct mkt_span tag, mkt_ntp until)
{
    return meddle(user, REPLAY_PEEK)->replay_peek(user, tag, until);
}

static enum mkt_err counter(void *user, uint32_t *value)
{
    return meddle(user, COUNTER)->counter_next(user, value);
}

static enum mkt_err count(void *user, const struct mkt_id *peer, uint32_t value)
{
    return meddle(user, COUNT)->counter_check(user, peer, value);
}

static enum mkt_err psk_identity(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity)
{
    return meddle(user, PSK_IDENTITY)->psk_identity(user, session, identity);
}

static void report(void *user, const struct mkt_error_message *error)
{
    meddle(user, REPORT)->error(user, error);
}

static void log_error(void *user, const struct mkt_log_event *event)
{
    scene.logged++;
    meddle(user, LOG)->log(user, event);
}

/* The callbacks of mkt_public_keys get the player, too. */
static const struct mkt_public_keys *meddle_by_key(void *user, enum callback callback)
{
    meddle(user, callback);
    return &scene.play->signer[(struct player *)user - scene.play->player].keys;
}

static enum mkt_err sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    const struct mkt_public_keys *real = meddle_by_key(user, SIGN);
    return real->sign(real->user, part, n, signature);
}

static enum mkt_err verify(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    const struct mkt_public_keys *real = meddle_by_key(user, VERIFY);
    return real->verify(real->user, message, signer);
}

static enum mkt_err seal_key(void *user, const struct mkt_id *kms, uint64_t time, struct mkt_span key,
                             struct mkt_buf *envelope, struct mkt_buf *chash)
{
    const struct mkt_public_keys *real = meddle_by_key(user, SEAL_KEY);
    return real->seal(real->user, kms, time, key, envelope, chash);
}

static enum mkt_err open_key(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                             size_t length)
{
    const struct mkt_public_keys *real = meddle_by_key(user, OPEN_KEY);
    return real->open(real->user, chash, envelope, key, length);
}

/* ---- a host that has all callbacks ---- */

static uint8_t kept[1024];
static size_t n_kept;

static enum mkt_err keep_keys(void *user, const struct mkt_policy *policy, struct mkt_span keys, struct mkt_buf *data)
{
    (void)user, (void)policy;
    memcpy(kept, keys.p, keys.n);
    n_kept = keys.n;
    memcpy(data->p + data->n, "reference", 9);
    data->n += 9;
    return MKT_OK;
}

/* The KMS has the keys of its own ticket type, which nobody else can open. */
static enum mkt_err find_keys(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                              struct mkt_buf *keys)
{
    (void)ticket, (void)policy;
    if (((struct player *)user)->tpk.n == 0)
        return MKT_E_NO_KEY;
    memcpy(keys->p + keys->n, kept, n_kept);
    keys->n += n_kept;
    return MKT_OK;
}

static bool nobody(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user, (void)id, (void)group;
    return false;
}

static bool has_no_csb_id(void *user, const struct mkt_id *initiator, const struct mkt_id *responder, uint32_t csb_id)
{
    (void)user, (void)initiator, (void)responder, (void)csb_id;
    return false;
}

static enum mkt_err by_the_party(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                 const struct mkt_id *name, const struct mkt_credential **other)
{
    (void)ticket, (void)policy, (void)name;
    *other = ((struct player *)user)->other;
    return MKT_OK;
}

static bool without_parameters(void *user, const struct mkt_sp *sp)
{
    (void)user;
    return sp->params.n == 0;
}

static enum mkt_err looks_new(void *user, struct mkt_span tag, mkt_ntp until)
{
    (void)user, (void)tag, (void)until;
    return MKT_OK;
}

static enum mkt_err next_count(void *user, uint32_t *value)
{
    *value = ++((struct player *)user)->counter;
    return MKT_OK;
}

static enum mkt_err any_count(void *user, const struct mkt_id *peer, uint32_t value)
{
    (void)user, (void)peer, (void)value;
    return MKT_OK;
}

static enum mkt_err own_identity(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity)
{
    (void)user, (void)session;
    if (identity->n + 4 > identity->cap)
        return MKT_E_BUFFER;
    memcpy(identity->p + identity->n, "mine", 4);
    identity->n += 4;
    return MKT_OK;
}

static const struct {
    const char *flags;
    bool two_kms, counter;
    uint16_t type; /* of the ticket */
    bool signs;
} calls[] = {
    {"DEFGHIJLMNO", true, false, MKT_TICKET_BASE, false}, {"DFGHJLMNO", false, true, MKT_TICKET_BASE, false},
    {"DEFGHIJLMNO", false, false, 61440, false},          {"DHJLNO", false, false, MKT_TICKET_BASE, false},
    {"DEFGHIJLMNO", true, false, MKT_TICKET_BASE, true},
};
enum { CALLS = sizeof calls / sizeof *calls };

static struct play *new_play(int which)
{
    struct play *p = play_new(MKT_SUITE_256, calls[which].flags, calls[which].two_kms);
    if (calls[which].signs)
        play_sign(p);
    p->player[HOME].other = p->settings[HOME].kms;
    p->policy.type = calls[which].type;
    p->policy.responder[1] = p->policy.responder[0];
    p->policy.responder[0] = mkt_id_uri("sip:helpdesk@example.com");
    p->policy.n_responders = 2;
    for (size_t i = 0; i < PARTIES; i++) {
        struct mkt_host *host = &p->player[i].host;
        host->member = nobody;
        host->acceptable = without_parameters;
        host->has_csb_id = has_no_csb_id;
        host->forward = by_the_party;
        host->replay_peek = looks_new;
        host->counter_next = next_count;
        host->counter_check = any_count;
        host->psk_identity = own_identity;
        if (calls[which].type != MKT_TICKET_BASE)
            host->open = find_keys;
        host->seal = keep_keys;
        p->settings[i].counter = calls[which].counter;
        p->player[i].counter = (uint32_t)(100 * i);
    }
    return p;
}

/* One host for all parties of a call: the settings of a bundle say for whom it is called. */
static const struct mkt_host server = {
    .size = sizeof server,
    .now = now,
    .random = draw,
    .alloc = alloc,
    .release = release,
    .tpk = ask_tpk,
    .psk = ask_psk,
    .resolved = resolved,
    .open = open_ticket,
    .seal = seal,
    .member = member,
    .acceptable = acceptable,
    .authorise = authorise,
    .replay = replay,
    .replay_peek = replay_peek,
    .counter_next = counter,
    .counter_check = count,
    .psk_identity = psk_identity,
    .error = report,
    .log = log_error,
    .has_csb_id = has_csb_id,
    .forward = forward,
};

/* Its callbacks meddle from now on. */
static void let_meddle(struct play *p)
{
    static struct mkt_host closed; /* opens no tickets of other types */
    static struct mkt_public_keys keys[PARTIES];
    scene.play = p;
    closed = server;
    closed.open = NULL;
    for (size_t i = 0; i < PARTIES; i++) {
        struct mkt_host *host = &p->player[i].host;
        scene.real[i] = *host;
        const bool opens = host->open != NULL;
        *host = opens ? server : closed;
        p->settings[i].user = &p->player[i];
        if (p->settings[i].public_keys != NULL) {
            keys[i] = p->signer[i].keys;
            keys[i].user = &p->player[i];
            keys[i].sign = sign;
            keys[i].verify = verify;
            keys[i].seal = seal_key;
            keys[i].open = open_key;
            p->settings[i].public_keys = &keys[i];
        }
        expect_err("new", mkt_csb_new(&p->csb[i], play_role[i], opens ? &server : &closed, &p->settings[i]), MKT_OK);
    }
}

/* A call on the bundle of a party begins: it may be taking that message. */
static void begin(enum party who, struct mkt_span in)
{
    static uint8_t before[sizeof octets];
    scene.who = who;
    scene.in = in;
    scene.before = read_all(play_bundle(scene.play, who), &scene.play->player[who].host, &scene.play->settings[who],
                            (struct mkt_buf){before, sizeof before, 0});
    scene.calling = true;
}

static enum mkt_err end(enum mkt_err err)
{
    scene.calling = false;
    return err;
}

/* ---- a call ---- */

/* Makes a message, with tickets that are freed when no call is under way. */
static void make(struct play *p, enum leg leg)
{
    static uint8_t made[4096];
    const enum party who = play_from(p, leg);
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk};
    struct mkt_buf out = {made, sizeof made, 0};
    struct mkt_offer offer = {.size = sizeof offer, .responder = p->settings[BOB].self};
    const char *name = mkt_data_type_name((unsigned)play_type[leg]);
    if (leg == GRANT || leg == OFFER)
        begin(who, mikey);
    if (leg == GRANT)
        expect_err("grant", end(mkt_csb_grant(p->csb[who], &recipe, &offer.ticket)), MKT_OK);
    if (leg == OFFER)
        expect_err("ticket", end(mkt_csb_take_ticket(p->csb[who], &offer.ticket)), MKT_OK);
    begin(who, mikey);
    if (leg == GRANT)
        expect_err(name, end(mkt_csb_make_request_resp(p->csb[who], offer.ticket, &out)), MKT_OK);
    else if (leg == OFFER)
        expect_err(name, end(mkt_csb_make_transfer_init(p->csb[who], &offer, &out)), MKT_OK);
    else
        expect_err(name, end(play_put(p, leg, p->csb[who], &out)), MKT_OK);
    mkt_ticket_free(offer.ticket);
    p->message[leg] = exact((struct mkt_span){made, out.n});
}

/* Makes and takes an Error about a message, where its maker takes one. */
static void complain(struct play *p, enum leg leg)
{
    static uint8_t made[4096];
    const enum party from = play_to(p, leg), to = play_from(p, leg);
    struct mkt_buf out = {made, sizeof made, 0};
    begin(from, p->message[leg]);
    expect_err("Error", end(mkt_csb_make_error(p->csb[from], p->message[leg], MKT_E_SP, NULL, 0, &out)), MKT_OK);
    if (play_role[to] == MKT_KMS && !mkt_csb_must_make(p->csb[to], MKT_RESOLVE_INIT_PSK))
        return;
    const struct mkt_span error = exact((struct mkt_span){made, out.n});
    begin(to, error);
    expect_err("Error", taken(end(mkt_csb_take(p->csb[to], error))), MKT_OK);
}

START_TEST(every_callback_tries_everything)
{
    struct play *calm = new_play(_i), *p = new_play(_i);
    let_meddle(p);
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg))
            continue;
        for (size_t i = 0; i < PARTIES; i++)
            calm->player[i].now = p->player[i].now += ntp(1);
        const enum party to = play_to(p, leg);
        play_bundle(p, to);
        play_make(calm, leg);
        make(p, leg);
        expect_octets(mkt_data_type_name((unsigned)play_type[leg]), p->message[leg], calm->message[leg]);
        begin(to, p->message[leg]);
        ck_assert_int_ne(end(mkt_csb_take(p->csb[to], mikey)), MKT_OK);
        begin(to, p->message[leg]);
        expect_err("take", end(mkt_csb_take_offer(p->csb[to], p->message[leg], mikey)), MKT_OK);
        play_take(calm, leg);
    }
    for (enum party who = ALICE; who <= BOB; who++) {
        uint8_t identity[8];
        struct mkt_buf out = {identity, sizeof identity, 0};
        begin(who, mikey);
        expect_err("identity", end(mkt_csb_psk_identity(p->csb[who], 1, &out)), MKT_OK);
        expect_octets("TEK", tek_of(p->csb[who], 1), tek_of(calm->csb[who], 1));
    }
    play_free(p);
    play_free(calm);
}
END_TEST

START_TEST(errors_in_every_exchange)
{
    struct play *p = new_play(_i);
    let_meddle(p);
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg))
            continue;
        for (size_t i = 0; i < PARTIES; i++)
            p->player[i].now += ntp(1);
        play_bundle(p, play_to(p, leg));
        play_make(p, leg);
        if (leg != OFFER)
            complain(p, leg);
        play_take(p, leg);
    }
    play_free(p);
}
END_TEST

START_TEST(every_callback_was_called)
{
    for (size_t i = 0; i < CALLBACKS; i++)
        ck_assert_msg(scene.met[i] > 0, "%s was never called", names[i]);
}
END_TEST

/* ---- mkt_csb_save() in a callback ---- */

static struct mkt_csb *storing;
static struct mkt_span in_a_callback;

static enum mkt_err store_it(void *user, const struct mkt_peer *peer)
{
    (void)user, (void)peer;
    in_a_callback = stored(storing);
    return MKT_OK;
}

/* What is stored there is not busy: it goes on as the bundle was before the call. */
START_TEST(what_a_callback_stores_goes_on)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_csb *copy = NULL;
    make_init(c);
    storing = c->r;
    c->bob.host.authorise = store_it;
    const struct mkt_span before = stored(c->r);
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_octets("stored", in_a_callback, before);
    c->bob.host.authorise = NULL;
    c->bob.n_seen = 0; /* as if the process had ended there */
    expect_err("get", mkt_csb_load(&copy, &c->bob.host, &c->settings_r, in_a_callback), MKT_OK);
    mkt_csb_free(c->r);
    c->r = copy;
    expect_err("offer", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    finish(c);
    expect_same_tek(c, 1, 32);
    call_free(c);
}
END_TEST

/* ---- mkt_csb_free() in a callback ---- */

#ifndef NDEBUG
static struct mkt_csb *victim;

static enum mkt_err free_it(void *user, const struct mkt_peer *peer)
{
    (void)user, (void)peer;
    mkt_csb_free(victim);
    return MKT_OK;
}

static void free_it_in_log(void *user, const struct mkt_log_event *event)
{
    (void)user, (void)event;
    mkt_csb_free(victim);
}

static enum mkt_err free_it_in_identity(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity)
{
    (void)user, (void)session, (void)identity;
    mkt_csb_free(victim);
    return MKT_OK;
}

/* In a process of its own: the assertion ends it. */
START_TEST(a_callback_that_frees_its_bundle)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    struct mkt_buf none = {NULL, 0, 0};
    int status = 0;
    make_resp(c);
    victim = c->i;
    if (_i == 0)
        c->alice.host.authorise = free_it;
    if (_i == 1)
        c->alice.host.log = free_it_in_log;
    if (_i == 2)
        c->alice.host.psk_identity = free_it_in_identity;
    if (_i != 0)
        finish(c);
    fflush(NULL);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        if (_i == 0)
            (void)!mkt_csb_take(c->i, resp_of(c));
        else if (_i == 1)
            (void)!mkt_csb_tek(c->i, 2, &none);
        else
            (void)!mkt_csb_psk_identity(c->i, 1, &none);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %d", status);
    call_free(c);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("busy");
    TCase *tcase = tcase_create("busy");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, every_callback_tries_everything, 0, CALLS);
    tcase_add_loop_test(tcase, errors_in_every_exchange, 0, CALLS);
    tcase_add_test(tcase, every_callback_was_called);
    tcase_add_test(tcase, what_a_callback_stores_goes_on);
#ifndef NDEBUG
    tcase_add_loop_test(tcase, a_callback_that_frees_its_bundle, 0, 3);
#endif
    suite_add_tcase(suite, tcase);
    return run(suite);
}
