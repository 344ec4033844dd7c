/* SPDX-License-Identifier: BSD-3-Clause */
#include "scene.h"

#include <mikeyticket/replay.h>

#include <stdlib.h>
#include <string.h>

const uint8_t scene_tpk[32] = {3};
static const uint8_t alice_psk[32] = {1}, bob_psk[32] = {2}, kms_psk[32] = {4};

/* What SRTP has in its sessions and policies. */
static const uint8_t ssrcs[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}}, policy_numbers[] = {0, 1}, params[] = {0, 1, 1};
static const struct mkt_sp srtp_sps[] = {{0, MKT_PROT_SRTP, {params, 3}}, {1, MKT_PROT_SRTP, {NULL, 0}}};
static const struct mkt_cs srtp_sessions[] = {
    {1, MKT_PROT_SRTP, 0, {policy_numbers, 1}, {ssrcs[0], 4}, {NULL, 0}},
    {2, MKT_PROT_SRTP, 0, {policy_numbers + 1, 1}, {ssrcs[1], 4}, {NULL, 0}},
};
static const struct mkt_cs srtp_answers[] = {
    {1, MKT_PROT_SRTP, 0, {NULL, 0}, {ssrcs[1], 4}, {NULL, 0}},
    {2, MKT_PROT_SRTP, 0, {NULL, 0}, {ssrcs[0], 4}, {NULL, 0}},
};
static const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK},
                                 srtp_keys[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK_SALT},
                                                {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT}};

void require(bool holds)
{
    if (!holds)
        abort();
}

enum mkt_err taken(enum mkt_err err)
{
    return mkt_err_class(err) == MKT_CLASS_REPORTED ? MKT_OK : err;
}

static void must(enum mkt_err err)
{
    require(err == MKT_OK);
}

/* ---- the host ---- */

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

static enum mkt_err counter(void *user, uint32_t *value)
{
    struct actor *actor = user;
    *value = ++actor->counter;
    return MKT_OK;
}

static enum mkt_err count(void *user, const struct mkt_id *peer, uint32_t value)
{
    struct actor *actor = user;
    size_t sum = 0;
    for (size_t i = 0; i < peer->data.n; i++)
        sum += peer->data.p[i];
    uint32_t *counted = &actor->counted[sum % PEERS];
    if (value <= *counted)
        return MKT_E_STALE;
    *counted = value;
    return MKT_OK;
}

static enum mkt_err give_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct actor *actor = user;
    const size_t n = actor->settings.tek_length; /* that of the suite */
    (void)id;
    (void)policy;
    memcpy(key->p, scene_tpk, n);
    key->n = n;
    return MKT_OK;
}

/* Names of keys are the first letter of their owner; only Bob's KMS speaks for others. */
static enum mkt_err give_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct actor *actor = user;
    const struct mkt_id alice = mkt_id_uri("sip:alice@example.com"), bob = mkt_id_uri("sip:bob@example.com");
    char who = id != NULL && mkt_id_equal(id, &alice) ? 'a' : 'b';
    if (name != NULL && name->data.n == 1)
        who = (char)name->data.p[0];
    if (strchr("abk", who) == NULL)
        return MKT_E_NO_KEY;
    psk->key.n = actor->settings.tek_length;
    memcpy(psk->key.p, who == 'a' ? alice_psk : who == 'b' ? bob_psk : kms_psk, psk->key.n);
    psk->owner = who == 'a' ? alice : who == 'b' ? bob : mkt_id_uri("http://kms.example.com");
    psk->vouches = who == 'k';
    return MKT_OK;
}

/* Tickets of the host's own type are the keys of their holder in clear. */
static enum mkt_err seal(void *user, const struct mkt_policy *policy, struct mkt_span keys, struct mkt_buf *ticket_data)
{
    (void)user;
    (void)policy;
    if (keys.n > ticket_data->cap - ticket_data->n)
        return MKT_E_BUFFER;
    memcpy(ticket_data->p + ticket_data->n, keys.p, keys.n);
    ticket_data->n += keys.n;
    return MKT_OK;
}

static enum mkt_err open_own(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                             struct mkt_buf *keys)
{
    return seal(user, policy, ticket->ticket.ticket_data, keys);
}

/* Bob leaves that to his KMS. */
static enum mkt_err open_none(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                              struct mkt_buf *keys)
{
    (void)user;
    (void)ticket;
    (void)policy;
    (void)keys;
    return MKT_E_NO_KEY;
}

static enum mkt_err replay(void *user, struct mkt_span tag, mkt_ntp until)
{
    (void)user;
    (void)until;
    require(tag.n >= 20);
    return MKT_OK;
}

/* Every other CSB ID is in use already. */
static bool has_csb_id(void *user, const struct mkt_id *initiator, const struct mkt_id *responder, uint32_t csb_id)
{
    (void)user;
    require(initiator->data.n > 0 && responder->data.n > 0);
    return csb_id % 2 != 0;
}

/* A group was called, and Bob may answer. */
static enum mkt_err authorise(void *user, const struct mkt_peer *peer)
{
    const struct mkt_id bob = mkt_id_uri("sip:bob@example.com");
    (void)user;
    return peer->role != MKT_RESPONDER || mkt_id_equal(&peer->id, &bob) ? MKT_OK : MKT_E_DENIED;
}

/* Tickets that name their TPK, or are of the host's own type, are of another KMS. */
static enum mkt_err forward(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                            const struct mkt_id *name, const struct mkt_credential **other)
{
    const struct actor *actor = user;
    const struct mkt_id tpk = mkt_id_bytes("tpk");
    require(ticket->type == MKT_TICKET && *other == NULL && (name == NULL || name->data.n > 0));
    if (name != NULL && !mkt_id_equal(name, &tpk))
        return MKT_E_KMS;
    *other = name != NULL || policy->type != MKT_TICKET_BASE ? &actor->kms : NULL;
    return MKT_OK;
}

/* Bob remembers tickets, and this one is new to him. */
static enum mkt_err not_resolved(void *user, struct mkt_span ticket, struct mkt_buf *octets)
{
    (void)user;
    (void)octets;
    require(ticket.n > 0);
    return MKT_E_NO_KEY;
}

static bool member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    const struct mkt_id help = mkt_id_uri("sip:help@example.com");
    (void)user;
    return mkt_id_equal(group, &help) && id->data.n > 4 && memcmp(id->data.p, "sip:", 4) == 0;
}

static bool acceptable(void *user, const struct mkt_sp *sp)
{
    (void)user;
    return sp->params.n <= 3;
}

static void report(void *user, const struct mkt_error_message *report)
{
    struct actor *actor = user;
    actor->reported = report->authenticated;
}

static void log_error(void *user, const struct mkt_log_event *event)
{
    (void)user;
    require(event->err != MKT_OK && strncmp(mkt_err_name(event->err), "MKT_E_", 6) == 0);
    require(event->message >= -1 && event->message <= UINT8_MAX && strlen(event->detail) < 128);
    for (const char *c = event->detail; *c != '\0'; c++)
        require(*c >= ' ' && *c <= '~');
}

/* ---- public keys: a certificate is the identity, a signature a sum, an envelope the key behind other octets ---- */

enum { SIGNATURE = 64, ENVELOPE = 64 };

/* What is put together from parts, and from who signs, in 64 bits (FNV-1a), as often as it goes in. */
static void sum_of(const struct mkt_span parts[], size_t n, uint8_t out[SIGNATURE])
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < parts[i].n; k++)
            sum = (sum ^ parts[i].p[k]) * 0x100000001b3u;
    for (size_t i = 0; i < SIGNATURE; i++)
        out[i] = (uint8_t)(sum >> i % 8 * 8);
}

static void append(struct mkt_buf *buf, const uint8_t *octets, size_t n)
{
    if (buf->p != NULL) {
        require(n <= buf->cap - buf->n);
        memcpy(buf->p + buf->n, octets, n);
    }
    buf->n += n;
}

static enum mkt_err sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    const struct actor *actor = user;
    struct mkt_span parts[5] = {actor->settings.self.data};
    uint8_t octets[SIGNATURE] = {0};
    require(n < 5);
    for (size_t i = 0; i < n; i++)
        parts[i + 1] = part[i];
    sum_of(parts, n + 1, octets);
    append(signature, octets, sizeof octets);
    return MKT_OK;
}

/* Whether an identity has signed. */
static bool is_by(const struct mkt_signed *m, const struct mkt_id *id)
{
    const struct mkt_span none = {NULL, 0}, who = m->signer != NULL ? m->signer->data : id->data;
    const struct mkt_span parts[] = {id->data, m->octets, m->by_kms ? none : who, m->by_kms ? none : m->kms->data};
    uint8_t octets[SIGNATURE];
    sum_of(parts, 4, octets);
    return m->signature.n == sizeof octets && memcmp(m->signature.p, octets, sizeof octets) == 0;
}

#ifdef ACCEPT_EVERY_SIGNATURE
enum { WRONG_SIGNATURE = MKT_OK };
#else
enum { WRONG_SIGNATURE = MKT_E_SIGNATURE };
#endif

/* Only Bob's KMS speaks for others. A message that names nobody is of Alice or of Bob. */
static enum mkt_err verify(void *user, const struct mkt_signed *m, struct mkt_signer *signer)
{
    const struct mkt_id alice = mkt_id_uri("sip:alice@example.com"), bob = mkt_id_uri("sip:bob@example.com");
    const struct mkt_id relay = mkt_id_uri("http://kms.example.com");
    (void)user;
    require(m->kms->data.n > 0 && m->n_certificates <= MKT_MAX_CERTIFICATES && m->s_type <= MKT_SIGN_PSS);
    if (!m->by_kms && m->envelope.n != ENVELOPE)
        return MKT_E_BAD_VALUE;
    if (m->chash != NULL && m->chash->func == MKT_CHASH_MD5)
        return MKT_E_HASH;
    signer->id = m->signer != NULL ? *m->signer : is_by(m, &bob) ? bob : alice;
    if (m->n_certificates > 0)
        signer->id = (struct mkt_id){.type = MKT_ID_URI, .data = m->certificate[0]};
    if (signer->id.data.n == 0)
        return MKT_E_CHAIN;
    signer->vouches = m->signer != NULL && !mkt_id_equal(m->signer, &signer->id);
    if (signer->vouches && !mkt_id_equal(&signer->id, &relay))
        return MKT_E_CHAIN;
    return is_by(m, &signer->id) ? MKT_OK : (enum mkt_err)WRONG_SIGNATURE;
}

static enum mkt_err seal_key(void *user, const struct mkt_id *kms, uint64_t time, struct mkt_span key,
                             struct mkt_buf *envelope, struct mkt_buf *chash)
{
    static const uint8_t hash[32] = {1};
    uint8_t octets[ENVELOPE] = {0, 2};
    const struct actor *actor = user;
    require(kms->data.n > 0 && time > 0 && key.n <= ENVELOPE - 2);
    memcpy(octets + sizeof octets - key.n, key.p, key.n);
    append(envelope, octets, sizeof octets);
    if (actor->settings.counter)
        append(chash, hash, sizeof hash);
    return MKT_OK;
}

static enum mkt_err open_key(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                             size_t n)
{
    (void)user;
    require(chash == NULL || chash->hash.n >= 16);
    if (envelope.n == ENVELOPE && envelope.p[0] == 0 && envelope.p[1] == 2)
        memcpy(key, envelope.p + ENVELOPE - n, n);
    return MKT_OK;
}

/* Certificates in place of keys. With SPARSE users leave them out. */
static void cast_signer(const struct scene *s, struct actor *actor)
{
    mkt_public_keys_init(&actor->keys);
    actor->certificate = actor->settings.self.data;
    actor->keys.user = actor;
    actor->keys.certificate = &actor->certificate;
    actor->keys.n_certificates = (s->variant & SPARSE) != 0 && actor != &s->kms ? 0 : 1;
    actor->keys.sign = sign;
    actor->keys.verify = verify;
    actor->keys.seal = seal_key;
    actor->keys.open = open_key;
    actor->settings.public_keys = &actor->keys;
    actor->settings.bundle_size = MKT_CSB_SIZE_PK;
    actor->kms.psk.n = 0;
}

/* ---- the play ---- */

static void cast(const struct scene *s, struct actor *actor, const char *name, const uint8_t psk[32], char key_name)
{
    const bool srtp = (s->variant & SRTP) != 0;
    const size_t key = (s->variant & SUITE_128) != 0 ? 16 : 32;
    must(mkt_replay_new(&actor->cache, actor->octets_of_cache, sizeof actor->octets_of_cache));
    actor->host = (struct mkt_host){.size = sizeof(struct mkt_host),
                                    .user = actor,
                                    .now = now,
                                    .random = draw,
                                    .error = report,
                                    .cache = &actor->cache,
                                    .log = log_error};
    actor->host.acceptable = srtp ? acceptable : NULL;
    actor->drawn = psk[0];
    actor->kms = (struct mkt_credential){mkt_id_uri("http://kms.example.com"), {0}, {psk, key}};
    mkt_settings_init(&actor->settings, mkt_id_uri(name));
    actor->settings.kms = &actor->kms;
    actor->settings.max_sessions = 3;
    actor->settings.tek_length = key;
    actor->settings.prot_type = srtp ? MKT_PROT_SRTP : MKT_PROT_TLS;
    if ((s->variant & OWN_TYPE) != 0) {
        actor->host.open = open_own;
        actor->host.seal = seal;
    }
    if ((s->variant & COUNTERS) != 0) {
        actor->host.counter_next = counter;
        actor->host.counter_check = count;
        actor->settings.counter = true;
    }
    if ((s->variant & SPARSE) != 0) {
        static const char names[] = "abk";
        actor->settings.leave_out_identities = true;
        actor->kms.name = (struct mkt_id){.type = MKT_ID_BYTES, .data = {(const uint8_t *)strchr(names, key_name), 1}};
    }
}

static void cast_kms(struct actor *actor)
{
    actor->host.psk = give_psk;
    actor->host.tpk = give_tpk;
    actor->settings.application = mkt_span_text("");
    actor->settings.kms = NULL;
}

struct mkt_span scene_right(const struct scene *s)
{
    return (struct mkt_span){s->octets, s->message.n};
}

static struct mkt_buf *fresh(struct scene *s)
{
    s->message = (struct mkt_buf){s->octets, sizeof s->octets, 0};
    return &s->message;
}

/* The message that was made last goes to an actor, who stops there if it is the one to be fuzzed. */
static bool give(struct scene *s, struct actor *to, enum take take)
{
    s->taker = to;
    if (take != s->take)
        must(taken(mkt_csb_take_offer(to->csb, scene_right(s), mkt_span_text("mikey"))));
    return take == s->take;
}

/* Whether Alice calls a group of which she knows no member. Then keys are forked, and nothing else names Bob. */
static bool calls_group(const struct scene *s)
{
    return (s->variant & (SRTP | PLAIN | SPARSE)) == SRTP;
}

static struct mkt_policy policy_of(const struct scene *s)
{
    struct mkt_policy policy = mkt_policy_default((s->variant & SUITE_128) != 0 ? MKT_SUITE_128 : MKT_SUITE_256);
    const char *plain = (s->variant & PLAIN) != 0 ? "DFGHJLNO" : "DEFGHIJLNO";
    must(mkt_flags_parse(&policy.flags, (s->variant & NO_ANSWER) != 0 ? "DHLNO" : plain));
    if ((s->variant & (NO_ANSWER | SPARSE)) == 0)
        policy.flags |= MKT_FLAG_M;
    policy.type = (s->variant & OWN_TYPE) != 0 ? 2 : MKT_TICKET_BASE;
    if ((s->variant & (OWN_TYPE | SPARSE)) == OWN_TYPE)
        policy.flags &= (uint16_t) ~(MKT_FLAG_N | MKT_FLAG_O);
    if ((s->variant & SPARSE) == 0)
        policy.kms = (s->variant & OTHER_KMS) != 0 ? s->home.settings.self : s->kms.settings.self;
    policy.initiator = s->alice.settings.self;
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:help@example.com");
    if (!calls_group(s))
        policy.responder[policy.n_responders++] = s->bob.settings.self;
    policy.application[policy.n_applications++] = mkt_span_text("msrp");
    policy.has_end = policy.has_rekeying = true;
    policy.end = (mkt_ntp)(3960616022 + 3600) << 32;
    policy.rekeying = (mkt_ntp)3600 << 32;
    return policy;
}

static struct mkt_ticket_recipe recipe_of(const struct scene *s)
{
    const bool named = (s->variant & SPARSE) != 0;
    return (struct mkt_ticket_recipe){
        .size = sizeof(struct mkt_ticket_recipe),
        .tpk = {scene_tpk, s->kms.settings.tek_length},
        .tpk_id = named ? mkt_id_bytes("tpk") : (struct mkt_id){0},
        .counter = (s->variant & COUNTERS) != 0,
    };
}

/* The message that was made last is refused: the scene stops where its maker gets an Error message about it. */
static bool refuse(struct scene *s, struct actor *by, struct actor *to)
{
    static uint8_t octets[sizeof s->octets];
    const struct mkt_span about = {octets, s->message.n};
    memcpy(octets, s->octets, about.n);
    must(mkt_csb_make_error(by->csb, about, MKT_E_DENIED, NULL, 0, fresh(s)));
    return give(s, to, s->take);
}

/* Alice has a ticket after this, or the scene stops. */
static bool play_request(struct scene *s)
{
    struct actor *kms = (s->variant & OTHER_KMS) != 0 ? &s->home : &s->kms;
    const struct mkt_policy policy = policy_of(s);
    const struct mkt_span one = mkt_span_text("one"), two = mkt_span_text("two");
    const struct mkt_key_wish keys[] = {
        {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT, .kv = {.type = MKT_KV_SPI, .spi = one}},
        {.size = sizeof(struct mkt_key_wish),
         .type = MKT_KEY_GTGK,
         .kv = {.type = MKT_KV_INTERVAL, .from = one, .to = two}},
    };
    const struct mkt_key_wish few = {.size = sizeof few, .type = MKT_KEY_TGK_SALT, .any_spi = true};
    const bool sparse = (s->variant & SPARSE) != 0;
    struct mkt_request request = {
        .size = sizeof request, .policy = &policy, .keys = sparse ? &few : keys, .n_keys = sparse ? 1 : 2};
    if (!sparse && (s->variant & SRTP) != 0)
        request = (struct mkt_request){.size = sizeof(struct mkt_request), .policy = &policy, .no_keys = true};
    const struct mkt_ticket_recipe recipe = recipe_of(s);
    struct mkt_ticket *ticket = NULL;
    must(mkt_csb_make_request_init(s->alice.csb, &request, fresh(s)));
    if (s->take == TAKE_ERROR_FOR_REQUEST)
        return refuse(s, kms, &s->alice);
    if (give(s, kms, TAKE_REQUEST_INIT))
        return true;
    must(mkt_csb_grant(kms->csb, &recipe, &ticket));
    must(mkt_csb_make_request_resp(kms->csb, ticket, fresh(s)));
    mkt_ticket_free(ticket);
    if (s->take == TAKE_ERROR_FOR_ANSWER && (s->variant & PLAIN) == 0)
        return refuse(s, &s->alice, kms);
    if (give(s, &s->alice, TAKE_REQUEST_RESP))
        return true;
    must(mkt_csb_take_ticket(s->alice.csb, &s->ticket));
    return false;
}

/* Bob has the keys of the ticket after this, or the scene stops. */
static bool play_resolve(struct scene *s)
{
    must(mkt_csb_make_resolve_init(s->bob.csb, fresh(s)));
    if (s->take == TAKE_ERROR_FOR_RESOLVE)
        return refuse(s, &s->kms, &s->bob);
    if (give(s, &s->kms, TAKE_RESOLVE_INIT))
        return true;
    if (mkt_csb_must_make(s->kms.csb, MKT_RESOLVE_INIT_PSK)) {
        must(mkt_csb_make_resolve_init(s->kms.csb, fresh(s)));
        if (s->take == TAKE_ERROR_FOR_KMS)
            return refuse(s, &s->home, &s->kms);
        if (give(s, &s->home, TAKE_RESOLVE_INIT_OF_KMS))
            return true;
        must(mkt_csb_make_resolve_resp(s->home.csb, fresh(s)));
        if (give(s, &s->kms, TAKE_RESOLVE_RESP_FOR_KMS))
            return true;
    }
    must(mkt_csb_make_resolve_resp(s->kms.csb, fresh(s)));
    if (s->take == TAKE_ERROR_FOR_ANSWER)
        return refuse(s, &s->bob, &s->kms);
    return give(s, &s->bob, TAKE_RESOLVE_RESP);
}

/* Both have the keys after this, or the scene stops. */
static bool play_transfer(struct scene *s)
{
    const bool srtp = (s->variant & SRTP) != 0;
    const struct mkt_offer offer = {
        .size = sizeof offer,
        .ticket = s->ticket,
        .responder = calls_group(s) ? mkt_id_uri("sip:help@example.com") : s->bob.settings.self,
        .keys = srtp ? srtp_keys : &tgk,
        .n_keys = (s->variant & SPARSE) != 0 ? 0
                  : srtp                     ? 2
                                             : 1,
        .cs = srtp ? srtp_sessions : NULL,
        .n_cs = srtp ? 2 : 0,
        .sp = srtp ? srtp_sps : NULL,
        .n_sp = srtp ? 2 : 0,
    };
    const struct mkt_answer answer = {
        .size = sizeof answer,
        .keys = &tgk,
        .n_keys = (s->variant & SPARSE) != 0 ? 0 : 1,
        .cs = srtp ? srtp_answers : NULL,
        .n_cs = srtp ? 2 : 0,
    };
    must(mkt_csb_make_transfer_init(s->alice.csb, &offer, fresh(s)));
    if (give(s, &s->bob, s->take == TAKE_TRANSFER_INIT ? s->take : TAKE_TRANSFER_INIT_FOR_KMS))
        return true;
    if (mkt_csb_must_make(s->bob.csb, MKT_RESOLVE_INIT_PSK) && play_resolve(s))
        return true;
    if (s->take == TAKE_ERROR) {
        const struct mkt_span last = {NULL, 0};
        must(mkt_csb_make_error(s->bob.csb, last, MKT_E_SP, NULL, 0, fresh(s)));
        return give(s, &s->alice, TAKE_ERROR);
    }
    if ((s->variant & NO_ANSWER) != 0)
        return false;
    must(mkt_csb_make_transfer_resp(s->bob.csb, &answer, fresh(s)));
    return give(s, &s->alice, TAKE_TRANSFER_RESP);
}

static bool play_update(struct scene *s)
{
    const bool by_bob = (s->variant & (PLAIN | NO_ANSWER)) == PLAIN;
    struct actor *by = by_bob ? &s->bob : &s->alice, *to = by_bob ? &s->alice : &s->bob;
    const bool by_initiator = by == &s->alice;
    /* D29: without G no keys are sent with COUNTER; without answers there is no G */
    const bool no_keys = (s->variant & NO_ANSWER) != 0 && (s->variant & COUNTERS) != 0;
    const struct mkt_update update = {
        .size = sizeof update,
        .keys = &tgk,
        .n_keys = !no_keys && (by_initiator || (s->variant & SPARSE) == 0) ? 1 : 0,
        .no_answer = (s->variant & NO_ANSWER) != 0,
    };
    const struct mkt_answer answer = {
        .size = sizeof answer, .keys = &tgk, .n_keys = (s->variant & SRTP) != 0 && !by_initiator ? 1 : 0};
    must(mkt_csb_make_update(by->csb, &update, fresh(s)));
    if (give(s, to, TAKE_UPDATE_INIT))
        return true;
    must(mkt_csb_make_transfer_resp(to->csb, &answer, fresh(s)));
    return give(s, by, TAKE_UPDATE_RESP);
}

/* What can be: without forking a Responder may have the TPK, with it only a KMS can resolve the ticket. */
static unsigned possible(enum take take, unsigned variant)
{
    if (take == TAKE_TRANSFER_RESP || take == TAKE_UPDATE_RESP || take == TAKE_ERROR)
        variant &= ~(unsigned)NO_ANSWER;
    if (take == TAKE_RESOLVE_INIT_OF_KMS || take == TAKE_RESOLVE_RESP_FOR_KMS || take == TAKE_ERROR_FOR_KMS)
        variant |= OTHER_KMS;
    if (take == TAKE_TRANSFER_INIT || (variant & NO_ANSWER) != 0)
        variant |= PLAIN;
    return variant;
}

enum take take_like(enum take take)
{
    static const enum take like[TAKES] = {
        [TAKE_REQUEST_INIT_PK] = TAKE_REQUEST_INIT,
        [TAKE_REQUEST_RESP_PK] = TAKE_REQUEST_RESP,
        [TAKE_RESOLVE_INIT_PK] = TAKE_RESOLVE_INIT,
        [TAKE_RESOLVE_RESP_PK] = TAKE_RESOLVE_RESP,
        [TAKE_RESOLVE_INIT_OF_KMS_PK] = TAKE_RESOLVE_INIT_OF_KMS,
        [TAKE_ERROR_FOR_REQUEST_PK] = TAKE_ERROR_FOR_REQUEST,
    };
    return take < TAKE_REQUEST_INIT_PK ? take : like[take];
}

void scene_open(struct scene *s, enum take of, unsigned variant)
{
    const enum take take = take_like(of);
    memset(s, 0, sizeof *s);
    s->take = take;
    s->signs = of >= TAKE_REQUEST_INIT_PK;
    s->variant = possible(take, variant);
    cast(s, &s->alice, "sip:alice@example.com", alice_psk, 'a');
    cast(s, &s->bob, "sip:bob@example.com", bob_psk, 'b');
    cast(s, &s->kms, "http://kms.example.com", kms_psk, 'k');
    cast(s, &s->home, "http://kms.example.net", scene_tpk, 'k');
    cast_kms(&s->kms);
    cast_kms(&s->home);
    s->alice.settings.peer = s->bob.settings.self;
    s->bob.settings.peer = s->alice.settings.self;
    s->bob.host.member = s->kms.host.member = s->home.host.member = member;
    s->alice.host.member = calls_group(s) ? NULL : member;
    s->alice.host.authorise = calls_group(s) ? authorise : NULL;
    s->alice.host.has_csb_id = has_csb_id;
    if ((s->variant & OTHER_KMS) != 0) {
        s->alice.kms.kms = s->kms.kms.kms = s->home.settings.self;
        s->kms.kms.name = (struct mkt_id){.type = MKT_ID_BYTES, .data = mkt_span_text("k")};
        if ((s->variant & SPARSE) != 0)
            s->kms.host.forward = forward;
        else
            s->kms.settings.kms = &s->kms.kms;
    }
    s->home.settings.kms = &s->home.kms;
    struct actor *const all[] = {&s->alice, &s->bob, &s->kms, &s->home};
    for (size_t i = 0; s->signs && i < 4; i++)
        cast_signer(s, all[i]);
    if ((s->variant & SPARSE) != 0)
        s->kms.settings.application = s->bob.settings.application;
    else
        s->bob.host.resolved = not_resolved;
    if ((s->variant & SPARSE) != 0)
        s->alice.host.cache = NULL;
    if ((s->variant & SRTP) != 0)
        s->alice.host.replay = replay;
    if (take == TAKE_TRANSFER_INIT && (s->variant & OTHER_KMS) != 0)
        s->bob.settings.kms = NULL; /* he has the key, and nobody to ask */
    if (take == TAKE_TRANSFER_INIT)
        s->bob.host.tpk = give_tpk;
    else if ((s->variant & OWN_TYPE) != 0)
        s->bob.host.open = (s->variant & SPARSE) != 0 ? NULL : open_none;
    if ((s->variant & SPARSE) != 0)
        s->alice.host.open = NULL;
    must(mkt_csb_new(&s->alice.csb, MKT_INITIATOR, &s->alice.host, &s->alice.settings));
    must(mkt_csb_new(&s->bob.csb, MKT_RESPONDER, &s->bob.host, &s->bob.settings));
    must(mkt_csb_new(&s->kms.csb, MKT_KMS, &s->kms.host, &s->kms.settings));
    must(mkt_csb_new(&s->home.csb, MKT_KMS, &s->home.host, &s->home.settings));
    require(play_request(s) || play_transfer(s) || play_update(s));
}

void scene_close(struct scene *s)
{
    mkt_ticket_free(s->ticket);
    mkt_csb_free(s->alice.csb);
    mkt_csb_free(s->bob.csb);
    mkt_csb_free(s->kms.csb);
    mkt_csb_free(s->home.csb);
}

const char *take_name(enum take take)
{
    static const char *const names[TAKES] = {
        "request-init",           "request-resp",         "transfer-init",   "transfer-init-for-kms",
        "transfer-resp",          "resolve-init",         "resolve-resp",    "resolve-init-of-kms",
        "resolve-resp-for-kms",   "update-init",          "update-resp",     "error",
        "error-for-request",      "error-for-resolve",    "error-for-kms",   "error-for-answer",
        "request-init-pk",        "request-resp-pk",      "resolve-init-pk", "resolve-resp-pk",
        "resolve-init-of-kms-pk", "error-for-request-pk",
    };
    return names[take];
}

/* ---- what inputs meet ---- */

struct scene *scene_of(enum take take, uint8_t first)
{
    static struct scene *scenes[TAKES][VARIANTS];
    struct scene **scene = &scenes[take][first];
    if (*scene == NULL) {
        *scene = malloc(sizeof **scene);
        require(*scene != NULL);
        scene_open(*scene, take, first);
    }
    scene_rewind(*scene);
    return *scene;
}

static void rewind_actor(struct actor *actor, uint64_t drawn)
{
    must(mkt_replay_new(&actor->cache, actor->octets_of_cache, sizeof actor->octets_of_cache));
    actor->drawn = drawn;
    actor->counter = 1000;
    memset(actor->counted, 0, sizeof actor->counted);
}

void scene_rewind(struct scene *s)
{
    rewind_actor(&s->alice, 11);
    rewind_actor(&s->bob, 12);
    rewind_actor(&s->kms, 13);
    rewind_actor(&s->home, 14);
}

struct mkt_buf scene_stored(const struct mkt_csb *csb)
{
    struct mkt_buf out = {NULL, 0, 0};
    must(mkt_csb_save(csb, &out));
    out = (struct mkt_buf){malloc(out.n), out.n, 0};
    require(out.p != NULL);
    must(mkt_csb_save(csb, &out));
    return out;
}

struct mkt_csb *scene_copy_in(const struct actor *actor, size_t size)
{
    struct mkt_buf stored = scene_stored(actor->csb);
    struct mkt_settings settings = actor->settings;
    struct mkt_csb *csb;
    settings.bundle_size = size;
    const enum mkt_err err = mkt_csb_load(&csb, &actor->host, &settings, (struct mkt_span){stored.p, stored.n});
    require(err == MKT_OK || (csb == NULL && (err == MKT_E_BUNDLE_FULL || err == MKT_E_ARGUMENT)));
    free(stored.p);
    return csb;
}

struct mkt_csb *scene_copy(const struct actor *actor)
{
    struct mkt_csb *csb = scene_copy_in(actor, actor->settings.bundle_size);
    require(csb != NULL);
    return csb;
}

bool scene_same_keys(const struct mkt_csb *a, const struct mkt_csb *b)
{
    if (mkt_csb_session_count(a) != mkt_csb_session_count(b) || mkt_csb_id(a) != mkt_csb_id(b))
        return false;
    for (size_t i = 0; i < mkt_csb_session_count(a); i++) {
        uint8_t octets[2][64 + 65536];
        struct mkt_buf of_a = {octets[0], sizeof octets[0], 0}, of_b = {octets[1], sizeof octets[1], 0};
        struct mkt_cs cs;
        must(mkt_csb_session_at(a, i, &cs));
        if (mkt_csb_tek(a, cs.cs_id, &of_a) != MKT_OK || mkt_csb_tek(b, cs.cs_id, &of_b) != MKT_OK ||
            mkt_csb_salt(a, cs.cs_id, &of_a) != MKT_OK || mkt_csb_salt(b, cs.cs_id, &of_b) != MKT_OK)
            return false;
        if (of_a.n != of_b.n || memcmp(octets[0], octets[1], of_a.n) != 0)
            return false;
    }
    return true;
}

/* Makes an answer that is owed and gives it on; false where none is owed or it is refused. */
static bool pass(const struct scene *s, struct mkt_csb *from, enum mkt_data_type type, struct mkt_csb *to)
{
    const struct mkt_answer answer = {
        .size = sizeof answer, .cs = srtp_answers, .n_cs = (s->variant & SRTP) != 0 ? 2 : 0};
    static uint8_t octets[16384];
    struct mkt_buf out = {octets, sizeof octets, 0};
    enum mkt_err err = MKT_E_STATE;
    if (!mkt_csb_must_make(from, type))
        return false;
    if (type == MKT_RESOLVE_INIT_PSK)
        err = mkt_csb_make_resolve_init(from, &out);
    if (type == MKT_RESOLVE_RESP)
        err = mkt_csb_make_resolve_resp(from, &out);
    if (type == MKT_TRANSFER_RESP)
        err = mkt_csb_make_transfer_resp(from, &answer, &out);
    return err == MKT_OK && taken(mkt_csb_take(to, (struct mkt_span){octets, out.n})) == MKT_OK;
}

bool scene_go_on(struct scene *s, struct mkt_csb *taker, bool *same)
{
    struct actor *actors[] = {&s->alice, &s->bob, &s->kms, &s->home};
    struct mkt_csb *csb[4];
    for (size_t i = 0; i < 4; i++)
        csb[i] = s->taker == actors[i] ? taker : scene_copy(actors[i]);
    /* one who asked already would ask anew, and not take the answer to what he asked first */
    if (s->taker == &s->bob)
        pass(s, csb[1], MKT_RESOLVE_INIT_PSK, csb[2]);
    if (s->taker == &s->bob || s->take == TAKE_RESOLVE_INIT)
        pass(s, csb[2], MKT_RESOLVE_INIT_PSK, csb[3]);
    pass(s, csb[3], MKT_RESOLVE_RESP, csb[2]);
    pass(s, csb[2], MKT_RESOLVE_RESP, csb[1]);
    const bool taken = pass(s, csb[1], MKT_TRANSFER_RESP, csb[0]) || pass(s, csb[0], MKT_TRANSFER_RESP, csb[1]);
    *same = taken && scene_same_keys(csb[0], csb[1]);
    for (size_t i = 0; i < 4; i++)
        if (csb[i] != taker)
            mkt_csb_free(csb[i]);
    return taken;
}

/* ---- what can be done with a bundle ---- */

static void grant(struct mkt_csb *csb, const struct actor *actor, struct mkt_buf *out)
{
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = {scene_tpk, actor->settings.tek_length}};
    struct mkt_ticket *ticket = NULL;
    if (mkt_csb_grant(csb, &recipe, &ticket) == MKT_OK)
        require(mkt_csb_make_request_resp(csb, ticket, out) != MKT_E_NOT_AS_ASKED);
    mkt_ticket_free(ticket);
}

/* A bundle of any state either makes a message or says why not. */
void make_all(struct mkt_csb *csb, const struct actor *actor, struct mkt_buf *out)
{
    const struct mkt_update update = {.size = sizeof update, .keys = &tgk, .n_keys = 1};
    const struct mkt_answer answer = {.size = sizeof answer, .keys = &tgk, .n_keys = 1};
    enum mkt_err err = MKT_OK;
    if (mkt_csb_must_make(csb, MKT_REQUEST_RESP))
        grant(csb, actor, out);
    if (mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK))
        err = mkt_csb_make_resolve_init(csb, out);
    else if (mkt_csb_must_make(csb, MKT_RESOLVE_RESP))
        err = mkt_csb_make_resolve_resp(csb, out);
    else if (mkt_csb_must_make(csb, MKT_TRANSFER_RESP))
        err = mkt_csb_make_transfer_resp(csb, &answer, out);
    else if (mkt_csb_ready(csb))
        err = mkt_csb_make_update(csb, &update, out);
    if (err == MKT_E_KEMAC && !mkt_csb_ready(csb))
        err = mkt_csb_make_transfer_resp(csb, NULL, out);
    require(err != MKT_E_STATE || mkt_csb_ready(csb));
}

/* A ticket that was granted is kept, and is the same afterwards. */
static void keep_ticket(const struct mkt_csb *csb, const struct actor *actor)
{
    static uint8_t octets[2][65536];
    struct mkt_buf out = {octets[0], sizeof octets[0], 0}, again = {octets[1], sizeof octets[1], 0};
    struct mkt_ticket *ticket = NULL, *copy = NULL;
    struct mkt_policy policy;
    if (mkt_csb_take_ticket(csb, &ticket) != MKT_OK)
        return;
    must(mkt_ticket_policy(ticket, &policy));
    must(mkt_ticket_save(ticket, &out));
    must(mkt_ticket_load(&copy, &actor->host, (struct mkt_span){octets[0], out.n}));
    if ((policy.flags & MKT_FLAG_J) == 0)
        require(mkt_ticket_save(copy, &again) == MKT_E_REUSE);
    else
        must(mkt_ticket_save(copy, &again));
    require(again.n == 0 || (out.n == again.n && memcmp(octets[0], octets[1], out.n) == 0));
    mkt_ticket_free(ticket);
    mkt_ticket_free(copy);
}

static void use_sessions(const struct mkt_csb *csb, struct mkt_buf *out)
{
    struct mkt_cs cs;
    struct mkt_sp sp;
    struct mkt_key_data key;
    require((mkt_csb_session_count(csb) > 0) == mkt_csb_ready(csb));
    for (size_t i = 0; i < mkt_csb_session_count(csb); i++) {
        must(mkt_csb_session_at(csb, i, &cs));
        require(mkt_csb_tek(csb, cs.cs_id, out) == MKT_OK && mkt_csb_salt(csb, cs.cs_id, out) == MKT_OK);
        require(mkt_csb_psk_identity(csb, cs.cs_id, out) == MKT_OK && mkt_csb_sp(csb, cs.cs_id, &sp) == MKT_OK);
        out->n = 0;
    }
    for (size_t i = 0; mkt_csb_key(csb, i, &key) == MKT_OK; i++)
        require(key.key.n >= 16);
    const bool knows_peer = mkt_csb_peer(csb).data.n > 0;
    require(mkt_csb_role(csb) != MKT_RESPONDER || !mkt_csb_ready(csb) || knows_peer);
    require(mkt_csb_session_at(csb, mkt_csb_session_count(csb), &cs) == MKT_E_NO_SESSION);
    require(mkt_csb_ready(csb) || mkt_csb_rekey_interval(csb) == 0);
}

void use_all(struct mkt_csb *csb, struct actor *actor)
{
    static uint8_t octets[65536];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_csb *copy = NULL;
    struct mkt_settings settings = actor->settings;
    settings.self.data.n = settings.peer.data.n = 0; /* those of the bundle, which an input may have */
    use_sessions(csb, &out);
    keep_ticket(csb, actor);
    const enum mkt_err err = mkt_csb_save_resolved(csb, &out);
    out.n = 0;
    require(err == MKT_OK || mkt_csb_save(csb, &out) == MKT_OK);
    out.n = 0;
    must(mkt_csb_save(csb, &out));
    must(mkt_csb_load(&copy, &actor->host, &settings, (struct mkt_span){octets, out.n}));
    struct mkt_buf again = scene_stored(copy);
    require(again.n == out.n && memcmp(again.p, octets, again.n) == 0);
    free(again.p);
    mkt_csb_free(copy);
    out.n = 0;
    make_all(csb, actor, &out);
    mkt_csb_abandon(csb);
}
