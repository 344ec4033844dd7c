/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* explicit_bzero, clock_gettime */

#include "tickets.h"

#include "sealed.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is asked for, by the name that HTTP has for it and by the messages that do it. */
struct exchange {
    const char *name;
    uint8_t psk, pk; /* data types; without certificates the library answers the second with an Error message */
};

static const struct exchange exchanges[] = {
    {"ticketrequest", MKT_REQUEST_INIT_PSK, MKT_REQUEST_INIT_PK},
    {"ticketresolve", MKT_RESOLVE_INIT_PSK, MKT_RESOLVE_INIT_PK},
};

/* ---- what the library asks ---- */

/* One message; the callbacks get it. */
struct asked {
    const struct kms *kms;
    struct mkt_public_keys keys; /* those of the KMS, with this message as their user */
    char owner[256]; /* of the key that the message must be made with, or of the certificate that signed it; or "" */
    size_t number;   /* of that user */
    bool verified;   /* the owner has made the message, and it is no replay */
    bool taken;
    unsigned wait;                /* seconds, if the owner has sent too many */
    struct redis_refusal refusal; /* its text is NULL unless Redis can't tell if the message is new */
    char at_fault[128];           /* what is, or nothing */
};

static void note_owner(struct asked *asked, const struct mkt_id *id)
{
    text_put_id(asked->owner, id);
    asked->number = users_number(&asked->kms->users, id);
}

static void note_fault(void *user, const struct mkt_log_event *event)
{
    struct asked *asked = user;
    snprintf(asked->at_fault, sizeof asked->at_fault, "%s", event->detail);
}

static enum mkt_err find_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    struct asked *asked = user;
    const struct users *users = &asked->kms->users;
    const struct entry *entry = NULL;
    if (name != NULL)
        entry = users_psk(users, name);
    else if (id != NULL)
        entry = users_user(users, id);
    if (entry == NULL)
        return MKT_E_NO_KEY;
    psk->owner = mkt_id_uri(entry->identity);
    note_owner(asked, &psk->owner);
    return users_key(entry, &psk->key);
}

static enum mkt_err verify(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    struct asked *asked = user;
    const struct mkt_public_keys *keys = asked->kms->keys;
    const enum mkt_err err = keys->verify(keys->user, message, signer);
    if (err == MKT_OK)
        note_owner(asked, &signer->id);
    return err;
}

static enum mkt_err sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    const struct mkt_public_keys *keys = ((const struct asked *)user)->kms->keys;
    return keys->sign(keys->user, part, n, signature);
}

static enum mkt_err open_envelope(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                                  size_t key_length)
{
    const struct mkt_public_keys *keys = ((const struct asked *)user)->kms->keys;
    return keys->open(keys->user, chash, envelope, key, key_length);
}

/* The callbacks of the certificates, with this message as their user: so the log can name who signed it. */
static const struct mkt_public_keys *keys_of(struct asked *asked)
{
    const struct mkt_public_keys *keys = asked->kms->keys;
    if (keys == NULL)
        return NULL;
    asked->keys = (struct mkt_public_keys){.size = sizeof asked->keys,
                                           .user = asked,
                                           .sign = keys->sign != NULL ? sign : NULL,
                                           .verify = verify,
                                           .open = open_envelope};
    return &asked->keys;
}

/* Tickets of our own name the first TPK, those of users who share one with us that one. The key tells that they are of
   somebody who has it; where it is one Initiator's, another is refused. */
static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct users *users = &((const struct asked *)user)->kms->users;
    const struct entry *entry = id != NULL ? users_tpk(users, id) : users->first_tpk;
    if (entry == NULL)
        return MKT_E_NO_KEY;
    if (entry->identity != NULL && !users_is(entry, &policy->initiator))
        return MKT_E_INITIATOR;
    return users_key(entry, key);
}

/* Tickets of other types than ours are made if an Initiator asks for one, and protected with the first TPK. */
static enum mkt_err seal(void *user, const struct mkt_policy *policy, struct mkt_span keys, struct mkt_buf *ticket_data)
{
    return sealed_put(((const struct asked *)user)->kms->users.first_tpk, policy, keys, ticket_data);
}

static enum mkt_err open_sealed(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                struct mkt_buf *keys)
{
    (void)policy;
    return sealed_get(((const struct asked *)user)->kms->users.first_tpk, ticket, keys);
}

static bool is_member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    const struct asked *asked = user;
    const struct entry *entry = users_user(&asked->kms->users, id);
    for (size_t i = 0; entry != NULL && i < entry->n_groups; i++) {
        const struct mkt_id one = mkt_id_uri(entry->group[i]);
        if (mkt_id_equal(&one, group))
            return true;
    }
    return false;
}

static mkt_ntp now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return mkt_ntp_from_unix(t.tv_sec) | ((uint64_t)t.tv_nsec << 32) / 1000000000;
}

/* Looks into the replay cache, and remembers the message there if it may be served. */
static enum mkt_err look(struct asked *asked, struct mkt_span tag, mkt_ntp until, bool served)
{
    const struct kms *kms = asked->kms;
    if (kms->redis != NULL)
        return redis_look(kms->redis, tag, until, served, &asked->refusal);
    return (served ? mkt_replay_check : mkt_replay_peek)(kms->cache, tag, now(), until);
}

/*
 * The library asks this last. So a forgery, or an old message, does not get here, and a replay does not get past the
 * look into the cache: only messages that are served count.
 */
static enum mkt_err remember(void *user, struct mkt_span tag, mkt_ntp until)
{
    struct asked *asked = user;
    const struct kms *kms = asked->kms;
    const unsigned wait = rate_wait(&kms->rate, asked->number);
    enum mkt_err err = look(asked, tag, until, wait == 0);
    asked->verified = mkt_err_class(err) != MKT_CLASS_FRESHNESS;
    if (err == MKT_OK && wait > 0) {
        asked->wait = wait;
        return MKT_E_DENIED;
    }
    if (err == MKT_OK)
        rate_count(&kms->rate, asked->number);
    return err;
}

/* ---- messages ---- */

/* The keys of a ticket stand in what mkt_ticket_save() writes: 1, a length and the TICKET payload, a length and
 * keys. */
static void show_keys(const struct mkt_ticket *ticket)
{
    static const char *const names[] = {"tgk", "tgk", "tek", "tek", "gtgk", "gtgk", "mpk"};
    struct mkt_buf stored = {NULL, 0, 0};
    struct mkt_payload p;
    uint16_t type = MKT_KEY_DATA;

    if (mkt_ticket_save(ticket, &stored) != MKT_OK)
        return;
    stored = (struct mkt_buf){malloc(stored.n), stored.n, 0};
    if (stored.p == NULL || mkt_ticket_save(ticket, &stored) != MKT_OK) {
        free(stored.p);
        return;
    }
    const uint8_t *at = stored.p + 1;
    at += 4 + ((size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3]) + 4;
    struct mkt_span rest = {at, stored.n - (size_t)(at - stored.p)};
    while (type != MKT_LAST && mkt_payload_decode(&p, &type, &rest) == MKT_OK) {
        char hex[257] = "too long to be shown";
        text_put_hex(hex, sizeof hex, p.key_data.key);
        fprintf(stderr, "%s: %s\n", p.key_data.type < sizeof names / sizeof *names ? names[p.key_data.type] : "key",
                hex);
        explicit_bzero(hex, sizeof hex);
    }
    explicit_bzero(stored.p, stored.cap);
    free(stored.p);
}

/* Whom a ticket is for. */
static void tell_responders(char text[512], const struct mkt_policy *policy)
{
    char first[256] = "nobody";
    if (policy->n_responders > 0)
        text_put_id(first, &policy->responder[0]);
    if (policy->n_responders > 1)
        snprintf(text, 512, "ticket for %s and %zu more", first, policy->n_responders - 1);
    else
        snprintf(text, 512, "ticket for %s", first);
}

/* Cuts off what is asked for beyond the most seconds that a ticket is valid for. */
static void shorten(const struct kms *kms, struct mkt_policy *policy)
{
    const mkt_ntp latest = mkt_ntp_from_unix((int64_t)time(NULL) + kms->validity);
    if (policy->has_end && !mkt_ntp_before(latest, policy->end))
        return;
    policy->has_end = true;
    policy->end = latest;
}

/* Grants a ticket as it is asked for, but for its validity, to the user that asks. */
static enum mkt_err grant(const struct kms *kms, struct mkt_csb *csb, struct mkt_buf *out, char text[512])
{
    const struct entry *tpk = kms->users.first_tpk;
    const struct mkt_id peer = mkt_csb_peer(csb);
    struct mkt_policy policy;
    const struct mkt_ticket_recipe recipe = {
        .size = sizeof recipe, .policy = &policy, .tpk_id = mkt_id_bytes(tpk->id), .tpk = {tpk->key, tpk->key_n}};
    struct mkt_ticket *ticket = NULL;

    enum mkt_err err = mkt_csb_requested(csb, &policy);
    if (err == MKT_OK && !mkt_id_equal(&policy.initiator, &peer))
        err = MKT_E_INITIATOR;
    if (err == MKT_OK) {
        shorten(kms, &policy);
        err = mkt_csb_grant(csb, &recipe, &ticket);
    }
    if (err == MKT_OK) {
        tell_responders(text, &policy);
        err = mkt_csb_make_request_resp(csb, ticket, out);
    }
    if (err == MKT_OK && kms->show_keys)
        show_keys(ticket);
    mkt_ticket_free(ticket);
    return err;
}

/* Whose ticket was resolved. The library has verified it. */
static void tell_initiator(char text[512], const struct mkt_message *message)
{
    const struct mkt_payload *ticket = mkt_message_find(message, MKT_TICKET, 0);
    struct mkt_policy policy;
    char id[256] = "somebody";
    if (ticket != NULL && mkt_policy_decode(&policy, &ticket->ticket) == MKT_OK)
        text_put_id(id, &policy.initiator);
    snprintf(text, 512, "ticket of %s resolved", id);
}

/* Who sent a message, as the message says. Nobody is believed. */
static void tell_sender(char who[256], const struct mkt_message *message)
{
    static const uint8_t roles[] = {MKT_IDR_I, MKT_IDR_R, MKT_IDR_PSK};
    snprintf(who, 256, "somebody");
    for (size_t i = 0; i < sizeof roles; i++) {
        const struct mkt_payload *id = mkt_message_find(message, MKT_IDR, roles[i]);
        if (id != NULL) {
            text_put_id(who, &id->id);
            return;
        }
    }
}

/* True if the message that the Error message is about was verified, and is no replay: then the Error message has a MAC,
   or a signature if the KMS can sign. */
static bool is_proven(struct mkt_span error)
{
    struct mkt_message message;
    return mkt_message_decode(&message, error) == MKT_OK &&
           (mkt_message_find(&message, MKT_V, 0) != NULL || mkt_message_find(&message, MKT_SIGN, 0) != NULL);
}

/* Answers with an Error message; with a line of text where none can be made, or where it is this KMS that fails. */
static void refuse(struct outcome *outcome, struct mkt_csb *csb, struct mkt_span about, enum mkt_err err)
{
    outcome->status = HTTP_FORBIDDEN;
    outcome->message.n = 0;
    if (csb != NULL && mkt_err_class(err) != MKT_CLASS_HOST) {
        enum mkt_err failed = mkt_csb_make_error(csb, about, err, NULL, 0, &outcome->message);
        if (failed == MKT_OK)
            return;
        outcome->status = HTTP_BAD_REQUEST;
        if (mkt_err_class(failed) == MKT_CLASS_HOST)
            err = failed;
    }
    outcome->text = mkt_err_text(err);
    if (err == MKT_E_CACHE_FULL)
        outcome->status = HTTP_SERVICE_UNAVAILABLE;
    else if (csb == NULL || mkt_err_class(err) == MKT_CLASS_HOST)
        outcome->status = HTTP_INTERNAL_SERVER_ERROR;
}

/* The user alone is told to wait, by a line of text: an Error message would not say it. */
static void put_off(struct outcome *outcome, unsigned seconds)
{
    outcome->status = HTTP_TOO_MANY_REQUESTS;
    outcome->text = "too many messages of this user: wait";
    outcome->retry_after = seconds;
}

/* Takes a message and makes the answer; `text` says what was done. */
static enum mkt_err serve(struct asked *asked, struct mkt_csb **csb, const struct mkt_host *host,
                          const struct mkt_message *message, struct mkt_span in, struct mkt_buf *out, char text[512])
{
    const struct mkt_span none = {NULL, 0};
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri(asked->kms->id));
    settings.application = none; /* any */
    settings.skew = asked->kms->skew;
    settings.bundle_size = MKT_CSB_SIZE + 2 * in.n;
    settings.public_keys = keys_of(asked);
    enum mkt_err err = mkt_csb_new(csb, MKT_KMS, host, &settings);
    if (err == MKT_OK)
        err = mkt_csb_take(*csb, in);
    if (err != MKT_OK)
        return err;
    asked->taken = true;
    if (mkt_csb_must_make(*csb, MKT_REQUEST_RESP))
        return grant(asked->kms, *csb, out, text);
    tell_initiator(text, message);
    return mkt_csb_make_resolve_resp(*csb, out);
}

static const struct exchange *exchange_of(const char *name)
{
    for (size_t i = 0; i < sizeof exchanges / sizeof *exchanges; i++)
        if (strcmp(name, exchanges[i].name) == 0)
            return &exchanges[i];
    return NULL;
}

void tickets_serve(void *user, const char *requesttype, struct mkt_span in, struct outcome *outcome)
{
    struct asked asked = {.kms = user};
    const struct mkt_host host = {.size = sizeof host,
                                  .user = &asked,
                                  .psk = find_psk,
                                  .tpk = find_tpk,
                                  .seal = seal,
                                  .open = open_sealed,
                                  .member = is_member,
                                  .replay = remember,
                                  .log = note_fault};
    const struct exchange *exchange = exchange_of(requesttype);
    struct mkt_message message;
    struct mkt_csb *csb = NULL;
    char who[256] = "somebody", text[512];

    if (exchange == NULL) {
        outcome->status = HTTP_BAD_REQUEST;
        outcome->text = "say ?requesttype=ticketrequest or ticketresolve";
        return;
    }
    enum mkt_err err = mkt_message_decode(&message, in);
    if (err == MKT_OK) {
        tell_sender(who, &message);
        if (message.hdr.data_type != exchange->psk && message.hdr.data_type != exchange->pk) {
            outcome->status = HTTP_BAD_REQUEST;
            outcome->text = "not the message that this requesttype is for";
            printf("kms: %s from %s (not verified): refused, a message of type %s\n", exchange->name, who,
                   mkt_data_type_name(message.hdr.data_type));
            return;
        }
    }
    const bool without_cert = err == MKT_OK && message.hdr.data_type == exchange->pk && asked.kms->keys == NULL;
    err = serve(&asked, &csb, &host, &message, in, &outcome->message, text);
    if (asked.wait > 0) {
        put_off(outcome, asked.wait);
        snprintf(text, sizeof text, "refused, the user must wait %u s", asked.wait);
    } else if (asked.refusal.text != NULL) {
        outcome->status = HTTP_SERVICE_UNAVAILABLE;
        outcome->text = "nobody can tell now if the message is a replay: make a new one later";
        outcome->retry_after = asked.refusal.wait;
        outcome->message.n = 0;
        snprintf(text, sizeof text, "refused, %s", asked.refusal.text);
    } else if (err != MKT_OK) {
        snprintf(text, sizeof text, "refused, %s: %s%s%s%s", mkt_err_name(err), mkt_err_text(err),
                 asked.at_fault[0] != '\0' ? ": " : "", asked.at_fault,
                 without_cert ? ": to take it, start the KMS with --cert, --key and --ca" : "");
        refuse(outcome, csb, asked.taken ? (struct mkt_span){NULL, 0} : in, err);
        asked.verified = asked.verified || is_proven(mkt_buf_span(&outcome->message));
    }
    printf("kms: %s from %s%s: %s\n", exchange->name, asked.verified ? asked.owner : who,
           asked.verified ? "" : " (not verified)", text);
    mkt_csb_free(csb);
}
