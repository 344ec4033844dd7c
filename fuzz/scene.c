/* SPDX-License-Identifier: BSD-3-Clause */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t alice_psk[32] = {1}, bob_psk[32] = {2}, tpk[32] = {3};

void require(bool holds)
{
    if (!holds)
        abort();
}

static void must(enum mkt_err err)
{
    require(err == MKT_OK);
}

static enum mkt_err now(void *user, mkt_ntp *ntp)
{
    (void)user;
    *ntp = (mkt_ntp)3960616022 << 32;
    return MKT_OK;
}

static enum mkt_err draw(void *user, uint8_t *out, size_t n)
{
    struct actor *actor = user;
    for (size_t i = 0; i < n; i++) {
        actor->drawn = actor->drawn * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(actor->drawn >> 56);
    }
    return MKT_OK;
}

static enum mkt_err give_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user;
    (void)id;
    (void)policy;
    memcpy(key->p, tpk, sizeof tpk);
    key->n = sizeof tpk;
    return MKT_OK;
}

static enum mkt_err give_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct mkt_id alice = mkt_id_uri("sip:alice@example.com"), bob = mkt_id_uri("sip:bob@example.com");
    (void)user;
    (void)name;
    const bool is_alice = id != NULL && mkt_id_equal(id, &alice);
    memcpy(psk->key.p, is_alice ? alice_psk : bob_psk, 32);
    psk->key.n = 32;
    psk->owner = is_alice ? alice : bob;
    return MKT_OK;
}

static void cast(struct actor *actor, const char *name, const uint8_t psk[32])
{
    actor->host = (struct mkt_host){.user = actor, .now = now, .random = draw};
    actor->drawn = psk[0];
    actor->kms = (struct mkt_credential){mkt_id_uri("http://kms.example.com"), {0}, {psk, 32}};
    actor->settings = mkt_settings_default(mkt_id_uri(name));
    actor->settings.kms = &actor->kms;
    actor->settings.max_sessions = 3;
}

static struct mkt_span right(const struct scene *s)
{
    return (struct mkt_span){s->octets, s->message.n};
}

static struct mkt_buf *fresh(struct scene *s)
{
    s->message = (struct mkt_buf){s->octets, sizeof s->octets, 0};
    return &s->message;
}

/* The message that was made last goes to an actor, who stops there if it is the one to be fuzzed. */
static bool give(struct scene *s, struct actor *to, bool stop)
{
    s->taker = to;
    if (!stop)
        must(mkt_csb_take(to->csb, right(s), mkt_span_text("mikey")));
    return stop;
}

static struct mkt_policy policy_of(const struct scene *s, bool forked)
{
    struct mkt_policy policy = mkt_policy_default(MKT_SUITE_256);
    must(mkt_flags_get(&policy.flags, forked ? "DEFGHIJLMNO" : "DFGHJLMNO"));
    policy.kms = s->kms.settings.self;
    policy.initiator = s->alice.settings.self;
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:help@example.com");
    policy.responder[policy.n_responders++] = s->bob.settings.self;
    return policy;
}

/* Alice has a ticket after this, or the scene stops. */
static bool play_request(struct scene *s, enum take take, bool forked)
{
    const struct mkt_policy policy = policy_of(s, forked);
    const struct mkt_key_wish keys[] = {{.type = MKT_KEY_TGK_SALT}, {.type = MKT_KEY_GTGK}};
    const struct mkt_request request = {&policy, keys, 2};
    const struct mkt_ticket_recipe recipe = {.tpk = {tpk, sizeof tpk}};
    struct mkt_ticket *ticket = NULL;
    must(mkt_csb_make_request_init(s->alice.csb, &request, fresh(s)));
    if (give(s, &s->kms, take == TAKE_REQUEST_INIT))
        return true;
    must(mkt_csb_grant(s->kms.csb, &recipe, &ticket));
    must(mkt_csb_make_request_resp(s->kms.csb, ticket, fresh(s)));
    mkt_ticket_free(ticket);
    if (give(s, &s->alice, take == TAKE_REQUEST_RESP))
        return true;
    must(mkt_csb_ticket(s->alice.csb, &s->ticket));
    return false;
}

/* Both have the keys after this, or the scene stops. */
static bool play_transfer(struct scene *s, enum take take)
{
    const struct mkt_key_wish tgk = {.type = MKT_KEY_TGK};
    const struct mkt_offer offer = {
        .ticket = s->ticket, .responder = s->bob.settings.self, .keys = &tgk, .n_keys = 1};
    const struct mkt_answer answer = {.keys = &tgk, .n_keys = 1};
    must(mkt_csb_make_transfer_init(s->alice.csb, &offer, fresh(s)));
    if (give(s, &s->bob, take == TAKE_TRANSFER_INIT || take == TAKE_TRANSFER_INIT_FOR_KMS))
        return true;
    if (mkt_csb_owes(s->bob.csb, MKT_RESOLVE_INIT_PSK)) {
        must(mkt_csb_make_resolve_init(s->bob.csb, fresh(s)));
        if (give(s, &s->kms, take == TAKE_RESOLVE_INIT))
            return true;
        must(mkt_csb_make_resolve_resp(s->kms.csb, fresh(s)));
        if (give(s, &s->bob, take == TAKE_RESOLVE_RESP))
            return true;
    }
    if (take == TAKE_ERROR) {
        const struct mkt_span last = {NULL, 0};
        must(mkt_csb_make_error(s->bob.csb, last, MKT_E_SP, NULL, 0, fresh(s)));
        return give(s, &s->alice, true);
    }
    must(mkt_csb_make_transfer_resp(s->bob.csb, &answer, fresh(s)));
    return give(s, &s->alice, take == TAKE_TRANSFER_RESP);
}

static void play_update(struct scene *s, enum take take, struct actor *by, struct actor *to)
{
    const struct mkt_key_wish tgk = {.type = MKT_KEY_TGK};
    const struct mkt_update update = {.keys = &tgk, .n_keys = 1};
    must(mkt_csb_make_update(by->csb, &update, fresh(s)));
    if (give(s, to, take == TAKE_UPDATE_INIT))
        return;
    must(mkt_csb_make_transfer_resp(to->csb, NULL, fresh(s)));
    give(s, by, true);
}

void scene_open(struct scene *s, enum take take, bool forked)
{
    memset(s, 0, sizeof *s);
    cast(&s->alice, "sip:alice@example.com", alice_psk);
    cast(&s->bob, "sip:bob@example.com", bob_psk);
    cast(&s->kms, "http://kms.example.com", tpk);
    s->kms.host.psk = give_psk;
    s->kms.host.tpk = give_tpk;
    s->kms.settings.kms = NULL;
    s->kms.settings.application = mkt_span_text("");
    if (take == TAKE_TRANSFER_INIT) {
        s->bob.host.tpk = give_tpk;
        forked = false; /* with it only a KMS resolves the ticket */
    }
    must(mkt_csb_new(&s->alice.csb, MKT_INITIATOR, &s->alice.host, &s->alice.settings));
    must(mkt_csb_new(&s->bob.csb, MKT_RESPONDER, &s->bob.host, &s->bob.settings));
    must(mkt_csb_new(&s->kms.csb, MKT_KMS, &s->kms.host, &s->kms.settings));
    if (play_request(s, take, forked) || play_transfer(s, take))
        return;
    play_update(s, take, forked ? &s->alice : &s->bob, forked ? &s->bob : &s->alice);
}

void scene_close(struct scene *s)
{
    mkt_ticket_free(s->ticket);
    mkt_csb_free(s->alice.csb);
    mkt_csb_free(s->bob.csb);
    mkt_csb_free(s->kms.csb);
}

const char *take_name(enum take take)
{
    static const char *const names[TAKES] = {
        "request-init", "request-resp", "transfer-init", "transfer-init-for-kms", "transfer-resp",
        "resolve-init", "resolve-resp", "update-init",   "update-resp",           "error",
    };
    return names[take];
}

/* ---- what can be done with a bundle ---- */

static void grant(struct mkt_csb *csb, struct mkt_buf *out)
{
    const struct mkt_ticket_recipe recipe = {.tpk = {tpk, sizeof tpk}};
    struct mkt_ticket *ticket = NULL;
    if (mkt_csb_grant(csb, &recipe, &ticket) == MKT_OK)
        require(mkt_csb_make_request_resp(csb, ticket, out) != MKT_E_CHANGED);
    mkt_ticket_free(ticket);
}

/* A bundle of any state either makes a message or says why not. */
static void make_all(struct mkt_csb *csb, struct mkt_buf *out)
{
    const struct mkt_key_wish tgk = {.type = MKT_KEY_TGK};
    const struct mkt_update update = {.keys = &tgk, .n_keys = 1};
    enum mkt_err err = MKT_OK;
    if (mkt_csb_owes(csb, MKT_REQUEST_RESP))
        grant(csb, out);
    if (mkt_csb_owes(csb, MKT_RESOLVE_INIT_PSK))
        err = mkt_csb_make_resolve_init(csb, out);
    else if (mkt_csb_owes(csb, MKT_RESOLVE_RESP))
        err = mkt_csb_make_resolve_resp(csb, out);
    else if (mkt_csb_owes(csb, MKT_TRANSFER_RESP))
        err = mkt_csb_make_transfer_resp(csb, NULL, out);
    else if (mkt_csb_ready(csb))
        err = mkt_csb_make_update(csb, &update, out);
    require(err != MKT_E_STATE || mkt_csb_ready(csb));
}

void use_all(struct mkt_csb *csb, struct actor *actor)
{
    static uint8_t octets[65536];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_csb *copy = NULL;
    struct mkt_ticket *ticket = NULL;
    struct mkt_cs cs;
    struct mkt_sp sp;
    struct mkt_key_data key;
    enum mkt_err err = MKT_OK;
    for (size_t i = 0; mkt_csb_session(csb, i, &cs) == MKT_OK; i++) {
        require(mkt_csb_tek(csb, cs.cs_id, &out) == MKT_OK && mkt_csb_salt(csb, cs.cs_id, &out) == MKT_OK);
        require(mkt_csb_psk_identity(csb, cs.cs_id, &out) == MKT_OK && mkt_csb_sp(csb, cs.cs_id, &sp) == MKT_OK);
        out.n = 0;
    }
    for (size_t i = 0; mkt_csb_key(csb, i, &key) == MKT_OK; i++)
        require(key.key.n >= 16);
    if (mkt_csb_ticket(csb, &ticket) == MKT_OK)
        mkt_ticket_free(ticket);
    err = mkt_csb_resolved_put(csb, &out);
    out.n = 0;
    require(err == MKT_OK || mkt_csb_put(csb, &out) == MKT_OK);
    out.n = 0;
    must(mkt_csb_put(csb, &out));
    must(mkt_csb_get(&copy, &actor->host, &actor->settings, (struct mkt_span){octets, out.n}));
    mkt_csb_free(copy);
    out.n = 0;
    make_all(csb, &out);
    mkt_csb_abandon(csb);
}
