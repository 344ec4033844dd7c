/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* getentropy, explicit_bzero */

#include "agent.h"

#include "../text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BRANCHES = 8, MAX_LINE_SDP = 4096, MAX_SDP = MAX_LINE_SDP + 1024, MAX_MIKEY = 8192 };

/* What this end says of its stream. It is kept when an exchange of offer and answer has succeeded. */
struct said {
    char session[17];        /* of its a=path */
    char line[MAX_LINE_SDP]; /* its a=key-mgmt, to be repeated until there is a new key */
};

/* An early dialog of a call that was forked, or the dialog: its bundle and its stream. */
struct branch {
    char tag[128]; /* To tag */
    struct mkt_csb *csb;
    struct stream *stream;
};

struct call {
    struct call *next;
    struct agent *agent;
    const struct contact *self;
    nua_handle_t *nh;
    unsigned number;
    bool caller;
    char remote[256];
    struct question question; /* to the KMS */
    char fault[128];          /* what is at fault, of the refusal that came last */

    struct mkt_csb *offered;             /* made the offer that is under way, or took it; its branches have the keys */
    struct branch early[MAX_BRANCHES];   /* of the caller */
    struct branch dialog;                /* once there is one */
    struct mkt_sdp_kept kept, kept_next; /* of the last exchange, and of the one that is under way */
    struct said said, saying;            /* likewise */
    struct mkt_connection connection;    /* what the exchange that is under way comes to */
    bool offering, rekeying, plain;      /* our offer is under way, with an update, without a=key-mgmt */
    bool taken, answered;                /* the peer's offer is under way, and has its answer */
    uint64_t id;                         /* of the o= line */
    unsigned version;
    char own[MAX_SDP];    /* the description that was sent last */
    char peer[MAX_SDP];   /* the one that came last */
    struct mkt_sdp offer; /* the peer's, if it is under way */
};

void call_say(const struct call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%u: ", call->number);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* ---- what the library asks ---- */

static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct call *call = user;
    const struct users *users = &call->agent->users;
    const struct entry *entry = id == NULL ? users->first_tpk : users_tpk(users, id);
    /* a user who knows the key can make tickets: only in the own name */
    if (entry == NULL || (entry->identity != NULL && !users_is(entry, &policy->initiator)))
        return MKT_E_NO_KEY;
    return users_key(entry, key);
}

/* Whether a user of this agent, or one that the option --member names, answers for a group. */
static bool is_member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    const struct call *call = user;
    const struct entry *self = call->self->user;
    for (size_t i = 0; !call->caller && i < self->n_groups; i++) {
        const struct mkt_id own = mkt_id_uri(self->group[i]);
        if (users_is(self, id) && mkt_id_equal(group, &own))
            return true;
    }
    for (size_t i = 0; call->caller && i < call->agent->n_members; i++) {
        const struct mkt_id member = mkt_id_uri(call->agent->member[i]);
        if (mkt_id_equal(id, &member))
            return true;
    }
    return false;
}

/* Another one than was called may answer with forked keys, as the KMS let it. Only members of the group may. An Initiator
   that no ticket names has chosen its name itself (D21): it is refused. */
static enum mkt_err authorise(void *user, const struct mkt_peer *peer)
{
    const bool called = mkt_id_equal(&peer->id, &peer->called) || is_member(user, &peer->id, &peer->called);
    return (peer->role == MKT_RESPONDER ? called : peer->proven) ? MKT_OK : MKT_E_DENIED;
}

static void error_came(void *user, const struct mkt_error_message *report)
{
    struct call *call = user;
    call_say(call, "error message: %u %s, %s", report->number, mkt_err_text(mkt_error_of_number(report->number)),
             report->authenticated ? "authenticated" : "not authenticated");
}

/* What is at fault, for the line that failed() prints. */
static void note_fault(void *user, const struct mkt_log_event *event)
{
    struct call *call = user;
    snprintf(call->fault, sizeof call->fault, "%s", event->detail);
}

/* Prints the one line about a failure. */
static void failed(struct call *call, enum mkt_err err)
{
    call_say(call, "failed: %s %s%s%s", mkt_err_name(err), mkt_err_text(err), call->fault[0] == '\0' ? "" : ": ",
             call->fault);
    call->fault[0] = '\0';
}

void call_host(struct mkt_host *host, struct agent *agent)
{
    mkt_host_init(host);
    host->user = agent;
    host->tpk = find_tpk;
    host->member = is_member;
    host->authorise = authorise;
    host->error = error_came;
    host->log = note_fault;
    host->cache = &agent->cache;
}

static struct mkt_settings settings_of(struct call *call)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri(call->self->user->identity));
    settings.user = call;
    settings.kms = call->agent->kms != NULL ? &call->self->credential : NULL;
    settings.replay_scope = mkt_span_text(call->self->device); /* of the own location table */
    return settings;
}

/* ---- calls ---- */

struct call *call_find(const struct agent *agent, unsigned number)
{
    struct call *call = agent->calls;
    while (call != NULL && call->number != number && number != 0)
        call = call->next;
    return call;
}

static struct call *call_new(struct agent *agent, const struct contact *self, bool caller, const char *remote)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL || !text_draw_id(call->said.session) || getentropy(&call->id, sizeof call->id) != 0) {
        free(call);
        return NULL;
    }
    call->id &= INT64_MAX;
    call->agent = agent;
    call->self = self;
    call->caller = caller;
    call->number = ++agent->last;
    call->question.user = call;
    snprintf(call->remote, sizeof call->remote, "%s", remote);
    call->next = agent->calls;
    agent->calls = call;
    return call;
}

static void branch_free(struct branch *branch)
{
    stream_free(branch->stream);
    mkt_csb_free(branch->csb);
    *branch = (struct branch){.csb = NULL};
}

/* The early dialogs, and what made the offer. If another branch sends a 2xx too, Sofia-SIP sends it ACK and BYE. */
static void early_free(struct call *call)
{
    for (size_t i = 0; i < MAX_BRANCHES; i++)
        branch_free(&call->early[i]);
    mkt_csb_free(call->offered);
    call->offered = NULL;
}

void call_free(struct call *call)
{
    struct call **at = &call->agent->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    kms_forget(&call->question);
    early_free(call);
    branch_free(&call->dialog);
    if (call->nh != NULL)
        nua_handle_destroy(call->nh);
    free(call);
}

/* ---- descriptions ---- */

static void path_of(const struct call *call, const char *session, char path[MAX_PATH])
{
    snprintf(path, MAX_PATH, "msrps://127.0.0.1:%u/%s;tcp", media_port(call->agent->media), session);
}

/* Writes the description of this end. Its version changes if anything else does (RFC 3264 section 8). */
static bool write_sdp(struct call *call, enum mkt_setup setup, uint16_t port, const char *line)
{
    char path[MAX_PATH], next[MAX_SDP];
    path_of(call, call->saying.session, path);
    for (unsigned again = 0; again < 2; again++) {
        const int n = snprintf(next, sizeof next,
                               "v=0\r\no=- %llu %u IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                               "m=message %u TCP/TLS/MSRP *\r\na=accept-types:text/plain\r\na=setup:%s\r\na=path:%s\r\n"
                               "%s%s",
                               (unsigned long long)call->id, call->version, port, mkt_setup_name(setup), path, line,
                               line[0] == '\0' ? "" : "\r\n");
        if (n < 0 || (size_t)n >= sizeof next)
            return false;
        if (strcmp(next, call->own) == 0)
            break;
        call->version += again == 0;
    }
    memcpy(call->own, next, sizeof next);
    return true;
}

/* Copies the description of a SIP message; false if it has none, or one that is too long. */
static bool read_sdp(struct call *call, const sip_t *sip)
{
    const sip_payload_t *payload = sip->sip_payload;
    if (payload == NULL || sip->sip_content_type == NULL || payload->pl_len >= sizeof call->peer ||
        strcasecmp(sip->sip_content_type->c_type, "application/sdp") != 0)
        return false;
    memcpy(call->peer, payload->pl_data, payload->pl_len);
    call->peer[payload->pl_len] = '\0';
    return true;
}

/* Room for a=key-mgmt, which is to end with NUL. */
static struct mkt_buf room(char line[MAX_LINE_SDP])
{
    memset(line, 0, MAX_LINE_SDP);
    return (struct mkt_buf){(uint8_t *)line, MAX_LINE_SDP - 1, 0};
}

/* Prints a step of the ladder: the SIP message, and the MIKEY message in its description. */
static void ladder(const struct call *call, const char *step, const char *text)
{
    uint8_t octets[MAX_MIKEY];
    struct mkt_buf message = {octets, sizeof octets, 0};
    struct mkt_sdp sdp;
    enum mkt_err err = mkt_sdp_parse(&sdp, mkt_span_text(text));
    err = err == MKT_OK ? mkt_sdp_key_mgmt_decode(&sdp, 0, &message) : err;
    const char *name = err == MKT_OK && message.n > 1 ? mkt_data_type_name(octets[1]) : NULL;
    if (name == NULL)
        call_say(call, "%s", step);
    else
        call_say(call, "%s %s, %zu octets", step, name, message.n);
}

/* ---- the KMS ---- */

static bool ask(struct call *call, const char *type, struct mkt_span message,
                void (*answered)(void *user, struct mkt_span answer))
{
    call_say(call, "-> kms %s, %zu octets", mkt_data_type_name(message.p[1]), message.n);
    call->question.answered = answered;
    return kms_ask(&call->question, call->agent->http, call->agent->kms, type, message);
}

/* Takes the answer. MKT_E_MISSING: there is none; an Error message of the KMS is an error as well. */
static enum mkt_err take_from_kms(struct call *call, struct mkt_csb *csb, struct mkt_span answer)
{
    if (answer.n < 2) {
        call_say(call, "failed: the KMS does not answer");
        return MKT_E_MISSING;
    }
    call_say(call, "<- kms %s, %zu octets", mkt_data_type_name(answer.p[1]), answer.n);
    return mkt_csb_take(csb, answer);
}

/* ---- what an exchange comes to ---- */

/* Brings the stream of a dialog in line with what offer and answer say. A connection is made later. */
static enum mkt_err apply(struct call *call, struct branch *branch, struct mkt_sdp *peer, bool rekeyed)
{
    const struct mkt_connection *connection = &call->connection;
    const bool anew = connection->action == MKT_ACTION_CONNECT || connection->action == MKT_ACTION_LISTEN;
    char path[MAX_PATH];
    struct mkt_span peer_path = {NULL, 0};
    enum mkt_err err = MKT_OK;
    if (connection->action == MKT_ACTION_CLOSE || connection->replaces ||
        (branch->stream != NULL && stream_ended(branch->stream))) {
        stream_free(branch->stream);
        branch->stream = NULL;
    }
    if (anew && branch->stream == NULL)
        err = stream_new(&branch->stream, call->agent->media, call, branch->csb);
    else if (rekeyed && branch->stream != NULL)
        err = stream_rekey(branch->stream, branch->csb);
    err = err == MKT_OK ? mkt_sdp_attribute(peer, 0, "path", &peer_path) : err;
    path_of(call, call->saying.session, path);
    if (err == MKT_OK && branch->stream != NULL && !stream_paths(branch->stream, path, peer_path))
        err = MKT_E_SDP;
    return err;
}

/* Prints the key that the next handshake has. */
static void show_key(const struct call *call, const char *what, const struct mkt_csb *csb)
{
    uint8_t tek_octets[64], identity_octets[256];
    char hex[2 * sizeof tek_octets + 1] = "(secret)";
    struct mkt_buf tek = {tek_octets, sizeof tek_octets, 0}, identity = {identity_octets, sizeof identity_octets, 0};
    enum mkt_err err = mkt_csb_psk_identity(csb, MKT_FIRST_CS, &identity);
    err = err == MKT_OK && call->agent->show_keys ? mkt_csb_tek(csb, MKT_FIRST_CS, &tek) : err;
    if (tek.n > 0)
        text_put_hex(hex, sizeof hex, mkt_buf_span(&tek));
    if (err == MKT_OK)
        call_say(call, "%s, psk-identity %.*s, tek %s", what, (int)identity.n, (const char *)identity_octets, hex);
    explicit_bzero(tek_octets, sizeof tek_octets);
    explicit_bzero(hex, sizeof hex);
}

/* The exchange has succeeded at this end: keeps what it came to, and connects if this end is to. */
static void commit(struct call *call)
{
    static const char *const keying[] = {"none", "same", "new"};
    const struct mkt_connection *connection = &call->connection;
    char what[64], id[256];
    const struct mkt_id peer = mkt_csb_peer(call->dialog.csb);
    call->kept = call->kept_next;
    call->said = call->saying;
    call->offering = call->rekeying = call->taken = call->answered = false;
    snprintf(what, sizeof what, "exchange: %s, key %s", mkt_action_name(connection->action),
             keying[connection->keying]);
    text_put_id(id, &peer);
    const bool same = strcmp(id, call->remote) == 0; /* From and To are not authenticated: show the user `id` */
    call_say(call, "peer %s%s%s", id, same ? "" : ", in SIP ", same ? "" : call->remote);
    show_key(call, what, call->dialog.csb);
    if (connection->action == MKT_ACTION_CONNECT && call->dialog.stream != NULL)
        stream_connect(call->dialog.stream, connection->address, connection->port);
}

/* ---- the end that offers ---- */

/* Gives up an offer that was not answered: the exchange before it holds. */
static void give_up(struct call *call)
{
    if (call->rekeying)
        mkt_csb_abandon(call->dialog.csb);
    early_free(call);
    call->offering = call->rekeying = false;
}

/* The offer can't be made. */
static void fail(struct call *call, enum mkt_err err)
{
    failed(call, err);
    give_up(call);
    if (call->dialog.csb == NULL)
        call_free(call);
}

static void send_offer(struct call *call)
{
    const enum mkt_setup setup = call->agent->setup;
    const uint16_t port = setup == MKT_SETUP_ACTIVE ? 9 : media_port(call->agent->media);
    if (!write_sdp(call, setup, port, call->plain ? "" : call->saying.line)) {
        fail(call, MKT_E_BUFFER);
        return;
    }
    ladder(call, "-> INVITE", call->own);
    call->offering = true;
    nua_invite(call->nh, SIPTAG_CONTENT_TYPE_STR("application/sdp"), SIPTAG_PAYLOAD_STR(call->own), TAG_END());
}

/* A ticket for one hour; either end can re-key (L, M). */
static struct mkt_policy policy_of(const struct call *call)
{
    const bool kms = call->agent->kms != NULL;
    struct mkt_policy policy = kms ? mkt_policy_forked(MKT_SUITE_256) : mkt_policy_default(MKT_SUITE_256);
    policy.flags |= MKT_FLAG_L | MKT_FLAG_M;
    policy.initiator = mkt_id_uri(call->self->user->identity);
    policy.responder[policy.n_responders++] = mkt_id_uri(call->remote);
    if (kms)
        policy.kms = call->self->credential.kms;
    policy.has_start = policy.has_end = true;
    policy.start = mkt_ntp_from_unix(time(NULL) - 60);
    policy.end = mkt_ntp_from_unix(time(NULL) + 3600);
    return policy;
}

static void offer_ticket(struct call *call, enum mkt_err err, struct mkt_ticket *ticket)
{
    struct mkt_buf line = room(call->saying.line);
    struct mkt_offer offer;
    mkt_offer_init(&offer);
    offer.ticket = ticket;
    offer.responder = mkt_id_uri(call->remote);
    err = err == MKT_OK ? mkt_sdp_make_offer(call->offered, &offer, &line) : err;
    mkt_ticket_free(ticket);
    if (err == MKT_OK)
        send_offer(call);
    else
        fail(call, err);
}

static void ticket_came(void *user, struct mkt_span answer)
{
    struct call *call = user;
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy granted;
    enum mkt_err err = take_from_kms(call, call->offered, answer);
    err = err == MKT_OK ? mkt_csb_take_ticket(call->offered, &ticket) : err;
    err = err == MKT_OK ? mkt_ticket_policy(ticket, &granted) : err;
    if (err == MKT_OK && (granted.flags & MKT_FLAG_K) != 0)
        err = MKT_E_NOT_AS_ASKED; /* the KMS may shorten the validity; this agent asks for little */
    offer_ticket(call, err, ticket);
}

/* Begins a bundle: asks the KMS for a ticket, or makes one if there is no KMS. */
static void begin_offer(struct call *call)
{
    const struct agent *agent = call->agent;
    const struct mkt_settings settings = settings_of(call);
    const struct mkt_policy policy = policy_of(call);
    struct mkt_key_wish tgk;
    mkt_key_wish_init(&tgk, MKT_KEY_TGK);
    enum mkt_err err = mkt_csb_new(&call->offered, MKT_INITIATOR, &agent->host, &settings);
    if (agent->kms == NULL) {
        struct mkt_ticket *ticket = NULL;
        struct mkt_ticket_recipe recipe;
        uint8_t octets[MKT_MAX_TPK];
        struct mkt_buf tpk = {octets, sizeof octets, 0};
        const struct entry *entry = agent->users.first_tpk;
        mkt_ticket_recipe_init(&recipe);
        recipe.policy = &policy;
        recipe.keys = &tgk;
        recipe.n_keys = 1;
        err = err == MKT_OK && entry == NULL ? MKT_E_NO_KEY : err;
        err = err == MKT_OK ? users_key(entry, &tpk) : err;
        recipe.tpk = mkt_buf_span(&tpk);
        recipe.tpk_id = mkt_id_bytes(entry == NULL ? "" : entry->id);
        err = err == MKT_OK ? mkt_ticket_make(&ticket, &agent->host, &recipe) : err;
        explicit_bzero(octets, sizeof octets);
        offer_ticket(call, err, ticket);
        return;
    }
    uint8_t octets[MAX_MIKEY];
    struct mkt_buf message = {octets, sizeof octets, 0};
    struct mkt_request request;
    mkt_request_init(&request);
    request.policy = &policy;
    request.keys = &tgk;
    request.n_keys = 1;
    err = err == MKT_OK ? mkt_csb_make_request_init(call->offered, &request, &message) : err;
    if (err == MKT_OK && !ask(call, "ticketrequest", mkt_buf_span(&message), ticket_came))
        err = MKT_E_MEMORY;
    if (err != MKT_OK)
        fail(call, err);
}

void call_invite(struct agent *agent, const char *uri)
{
    const struct contact *self = &agent->contact[0];
    struct call *call = call_new(agent, self, true, uri);
    if (call == NULL)
        return;
    call->nh = nua_handle(self->nua, call, SIPTAG_TO_STR(uri), SIPTAG_FROM_STR(self->user->identity), TAG_END());
    if (call->nh == NULL) {
        fail(call, MKT_E_ARGUMENT);
        return;
    }
    call_say(call, "calling %s", uri);
    call->saying = call->said;
    begin_offer(call);
}

/* Another offer in the dialog. rekey: an update. renew: a bundle of its own, as if another end had the call now. plain:
   without a=key-mgmt. move: another connection. Otherwise it only refreshes the session. */
static bool reinvite(struct call *call, const char *words)
{
    if (call->offering || call->taken || call->question.request != NULL || call->dialog.csb == NULL)
        return false;
    enum mkt_err err = MKT_OK;
    call->saying = call->said;
    call->plain = strstr(words, "plain") != NULL;
    if (strstr(words, "move") != NULL && !text_draw_id(call->saying.session))
        return false;
    if (strstr(words, "renew") != NULL) {
        begin_offer(call);
        return true;
    }
    if (strstr(words, "rekey") != NULL) {
        struct mkt_buf line = room(call->saying.line);
        struct mkt_key_wish tgk;
        struct mkt_update update;
        mkt_key_wish_init(&tgk, MKT_KEY_TGK);
        mkt_update_init(&update);
        update.keys = &tgk;
        update.n_keys = 1;
        err = mkt_sdp_make_update(call->dialog.csb, &update, &line);
        call->rekeying = err == MKT_OK;
    }
    if (err == MKT_OK)
        send_offer(call);
    else
        fail(call, err);
    return true;
}

/* Takes the answer of a branch or of the dialog, and makes its stream ready. */
static enum mkt_err take_answer(struct call *call, struct branch *branch)
{
    struct mkt_sdp offer, answer;
    struct mkt_sdp_exchange now;
    enum mkt_err err = mkt_sdp_parse(&offer, mkt_span_text(call->own));
    err = err == MKT_OK ? mkt_sdp_parse(&answer, mkt_span_text(call->peer)) : err;
    mkt_sdp_exchange_init(&now, &offer, &answer);
    now.offerer = true;
    now.ended = branch->stream != NULL && stream_ended(branch->stream);
    err = err == MKT_OK ? mkt_connection_decide(&now, &call->kept, 0, &call->connection, &call->kept_next) : err;
    if (err != MKT_OK)
        return err;
    bool rekeyed = false;
    if (call->connection.keying == MKT_KEYING_NEW) {
        err = mkt_sdp_take_answer(branch->csb, &answer, 0);
        rekeyed = err == MKT_OK && !mkt_csb_repeated(branch->csb);
    }
    if (rekeyed && call->dialog.csb == NULL)
        show_key(call, "branch", branch->csb);
    return err == MKT_OK ? apply(call, branch, &answer, rekeyed) : err;
}

/* Finds the early dialog of a response, or begins it. */
static enum mkt_err find_branch(struct call *call, const char *tag, struct branch **branch)
{
    for (size_t i = 0; i < MAX_BRANCHES; i++) {
        *branch = &call->early[i];
        if ((*branch)->csb != NULL && strcmp((*branch)->tag, tag) == 0)
            return MKT_OK;
        if ((*branch)->csb != NULL)
            continue;
        snprintf((*branch)->tag, sizeof(*branch)->tag, "%s", tag);
        return mkt_csb_branch(call->offered, &(*branch)->csb);
    }
    return MKT_E_TOO_MANY;
}

/* An Error message that declines the offer, in the description of a final response. */
static void take_decline(struct call *call)
{
    struct mkt_csb *csb = call->offered != NULL ? call->offered : call->dialog.csb;
    struct mkt_sdp sdp;
    if (mkt_sdp_parse(&sdp, mkt_span_text(call->peer)) == MKT_OK && csb != NULL) {
        const enum mkt_err err = mkt_sdp_take_answer(csb, &sdp, 0);
        if (err != MKT_OK && mkt_err_class(err) != MKT_CLASS_REPORTED)
            failed(call, err);
    }
}

static void take_success(struct call *call, const char *tag, bool has_sdp)
{
    struct branch *branch = &call->dialog;
    enum mkt_err err = has_sdp ? MKT_OK : MKT_E_MISSING;
    const bool first = call->dialog.csb == NULL;
    struct mkt_csb *before = call->dialog.csb;
    if (!first && call->offered != NULL)
        call->dialog.csb = call->offered; /* the bundle of a call that is renewed */
    else if (err == MKT_OK && first)
        err = find_branch(call, tag, &branch);
    err = err == MKT_OK ? take_answer(call, branch) : err;
    nua_ack(call->nh, TAG_END());
    if (err != MKT_OK) {
        call->dialog.csb = before;
        failed(call, err);
        nua_bye(call->nh, TAG_END());
        return;
    }
    if (first) {
        call->dialog = *branch;
        *branch = (struct branch){.csb = NULL};
    } else if (call->offered != NULL) {
        mkt_csb_free(before);
        call->offered = NULL;
    }
    early_free(call);
    commit(call);
}

static void response(struct call *call, int status, const char *phrase, const sip_t *sip)
{
    char step[96];
    struct branch *branch;
    if (status == 100)
        return;
    const bool has_sdp = sip != NULL && read_sdp(call, sip);
    const char *tag = sip != NULL && sip->sip_to->a_tag != NULL ? sip->sip_to->a_tag : "";
    snprintf(step, sizeof step, "<- %d %s", status, phrase);
    ladder(call, step, has_sdp ? call->peer : "");
    call->fault[0] = '\0';
    if (status >= 300) {
        if (has_sdp)
            take_decline(call);
        give_up(call); /* if there is no dialog, nua_i_state ends the call */
    } else if (status >= 200) {
        take_success(call, tag, has_sdp);
    } else if (has_sdp && call->dialog.csb == NULL) {
        enum mkt_err err = find_branch(call, tag, &branch);
        err = err == MKT_OK ? take_answer(call, branch) : err;
        if (err != MKT_OK)
            failed(call, err);
    }
}

/* ---- the end that answers ---- */

/* Refuses the peer's offer, with an Error message about it if one can be made. `csb` took it or refused it, or NULL. */
static void refuse(struct call *call, int status, const char *phrase, enum mkt_err why, struct mkt_csb *csb)
{
    char line[MAX_LINE_SDP], step[96];
    struct mkt_buf text = room(line);
    const enum mkt_err err = csb == NULL ? MKT_E_STATE : mkt_sdp_make_error(csb, &call->offer, 0, why, NULL, 0, &text);
    snprintf(step, sizeof step, "-> %d %s", status, phrase);
    call->saying = call->said;
    const bool body = err == MKT_OK && write_sdp(call, MKT_SETUP_PASSIVE, 0, line);
    ladder(call, step, body ? call->own : "");
    nua_respond(call->nh, status, phrase, TAG_IF(body, SIPTAG_CONTENT_TYPE_STR("application/sdp")),
                TAG_IF(body, SIPTAG_PAYLOAD_STR(call->own)), TAG_END());
    if (call->dialog.csb != NULL)
        mkt_csb_abandon(call->dialog.csb);
    mkt_csb_free(call->offered);
    call->offered = NULL;
    call->taken = call->answered = false;
}

/* The same by the status that is right for the error. */
static void refuse_offer(struct call *call, enum mkt_err why, struct mkt_csb *csb)
{
    failed(call, why);
    if (mkt_err_class(why) == MKT_CLASS_HOST)
        refuse(call, SIP_500_INTERNAL_SERVER_ERROR, why, NULL);
    else
        refuse(call, SIP_488_NOT_ACCEPTABLE, why, csb);
}

/* Makes the answer, once: it is sent in a 183 and in the 200. */
static enum mkt_err make_answer(struct call *call)
{
    struct branch *dialog = &call->dialog;
    struct mkt_sdp answer;
    struct mkt_sdp_exchange now;
    enum mkt_setup offered, setup = MKT_SETUP_ABSENT;
    enum mkt_err err = mkt_setup_parse(&call->offer, 0, &offered);
    err = err == MKT_OK ? mkt_setup_answer(MKT_STREAM_MSRP, offered, call->agent->setup, &setup) : err;
    if (err != MKT_OK)
        return err;
    struct mkt_csb *csb = call->offered != NULL ? call->offered : dialog->csb;
    const bool rekeyed = mkt_csb_must_make(csb, MKT_TRANSFER_RESP);
    if (rekeyed) {
        struct mkt_buf line = room(call->saying.line);
        err = mkt_sdp_make_answer(csb, NULL, &line);
    }
    const uint16_t port = setup == MKT_SETUP_ACTIVE ? 9 : media_port(call->agent->media);
    if (err == MKT_OK && !write_sdp(call, setup, port, call->saying.line))
        err = MKT_E_BUFFER;
    err = err == MKT_OK ? mkt_sdp_parse(&answer, mkt_span_text(call->own)) : err;
    mkt_sdp_exchange_init(&now, &call->offer, &answer);
    now.ended = dialog->stream != NULL && stream_ended(dialog->stream);
    err = err == MKT_OK ? mkt_connection_decide(&now, &call->kept, 0, &call->connection, &call->kept_next) : err;
    if (err != MKT_OK)
        return err;
    if (csb != dialog->csb) { /* a bundle of its own: the first, or one that is renewed */
        mkt_csb_free(dialog->csb);
        dialog->csb = csb;
        call->offered = NULL;
    }
    call->answered = true;
    return apply(call, dialog, &call->offer, rekeyed);
}

static void answer(struct call *call, int status, const char *phrase)
{
    char step[96];
    const enum mkt_err err = call->answered ? MKT_OK : make_answer(call);
    if (err != MKT_OK) {
        refuse_offer(call, err, call->offered != NULL ? call->offered : call->dialog.csb);
        return;
    }
    snprintf(step, sizeof step, "-> %d %s", status, phrase);
    ladder(call, step, call->own);
    nua_respond(call->nh, status, phrase, SIPTAG_CONTENT_TYPE_STR("application/sdp"), SIPTAG_PAYLOAD_STR(call->own),
                TAG_END());
}

/* The offer is good: the phone rings, or the answer to a re-INVITE follows at once. */
static void offer_taken(struct call *call)
{
    call->taken = true;
    if (call->dialog.csb != NULL) {
        answer(call, SIP_200_OK);
        return;
    }
    if (call->agent->early)
        answer(call, SIP_183_SESSION_PROGRESS);
    else if (!call->agent->accept) {
        call_say(call, "-> 180 Ringing");
        nua_respond(call->nh, SIP_180_RINGING, TAG_END());
    }
    if (call->agent->accept)
        answer(call, SIP_200_OK);
}

static void resolved(void *user, struct mkt_span reply)
{
    struct call *call = user;
    const enum mkt_err err = take_from_kms(call, call->offered, reply);
    if (err == MKT_E_MISSING && reply.n < 2)
        refuse(call, SIP_500_INTERNAL_SERVER_ERROR, err, NULL);
    else if (err != MKT_OK)
        refuse_offer(call, err, call->offered);
    else
        offer_taken(call);
}

/* Takes an offer with a bundle of its own, and has the KMS resolve the ticket if it must. */
static void take_anew(struct call *call)
{
    const struct mkt_settings settings = settings_of(call);
    uint8_t octets[MAX_MIKEY];
    struct mkt_buf message = {octets, sizeof octets, 0};
    enum mkt_err err = mkt_csb_new(&call->offered, MKT_RESPONDER, &call->agent->host, &settings);
    err = err == MKT_OK ? mkt_sdp_take_offer(call->offered, &call->offer, 0) : err;
    if (err == MKT_OK && !mkt_csb_must_make(call->offered, MKT_RESOLVE_INIT_PSK)) {
        offer_taken(call);
        return;
    }
    err = err == MKT_OK ? mkt_csb_make_resolve_init(call->offered, &message) : err;
    if (err == MKT_OK && !ask(call, "ticketresolve", mkt_buf_span(&message), resolved))
        err = MKT_E_MEMORY;
    if (err != MKT_OK)
        refuse_offer(call, err, call->offered);
}

static void take_invite(struct call *call, const sip_t *sip)
{
    enum mkt_keying keying = MKT_KEYING_NONE;
    char step[320];
    const bool has_sdp = read_sdp(call, sip);
    snprintf(step, sizeof step, "<- INVITE by %s from %s", sip->sip_via->v_protocol, call->remote);
    ladder(call, step, has_sdp ? call->peer : "");
    call->saying = call->said;
    call->fault[0] = '\0';
    enum mkt_err err = has_sdp ? mkt_sdp_parse(&call->offer, mkt_span_text(call->peer)) : MKT_E_MISSING;
    if (err != MKT_OK) {
        refuse_offer(call, err, NULL);
        return;
    }
    err = mkt_connection_keying(&call->offer, 0, false, &call->kept, &keying);
    if (err != MKT_OK) {
        refuse_offer(call, err, NULL);
        return;
    }
    if (call->dialog.csb == NULL) {
        take_anew(call); /* refused without a=key-mgmt */
        return;
    }
    err = keying == MKT_KEYING_NEW ? mkt_sdp_take_offer(call->dialog.csb, &call->offer, 0) : MKT_OK;
    if (err == MKT_E_CSB_ID) /* another call, as if another end had this dialog now */
        take_anew(call);
    else if (err != MKT_OK)
        refuse_offer(call, err, call->dialog.csb);
    else
        offer_taken(call);
}

/* ---- events and commands ---- */

static void invited(const struct contact *self, nua_handle_t *nh, const sip_t *sip)
{
    char from[256];
    snprintf(from, sizeof from, URL_PRINT_FORMAT, URL_PRINT_ARGS(sip->sip_from->a_url));
    struct call *call = call_new(self->agent, self, false, from);
    if (call == NULL) {
        nua_respond(nh, SIP_503_SERVICE_UNAVAILABLE, TAG_END());
        nua_handle_destroy(nh);
        return;
    }
    call->nh = nh;
    nua_handle_bind(nh, call);
    call_say(call, "call for %s", self->name);
    take_invite(call, sip);
}

static void reinvited(struct call *call, const sip_t *sip)
{
    struct agent *agent = call->agent;
    if (agent->refuse != 0) {
        call_say(call, "-> %u", agent->refuse);
        nua_respond(call->nh, (int)agent->refuse, sip_status_phrase((int)agent->refuse), TAG_END());
        agent->refuse = 0;
        return;
    }
    take_invite(call, sip);
}

void call_event(nua_event_t event, int status, const char *phrase, nua_t *nua, struct contact *contact,
                nua_handle_t *nh, struct call *call, const sip_t *sip, tagi_t tags[])
{
    const sip_contact_t *address = NULL;
    int state = 0;
    (void)nua;
    if (call == NULL && (event == nua_i_ack || event == nua_i_cancel || event == nua_i_bye))
        return; /* about an INVITE that got 503 */
    switch ((int)event) {
    case nua_i_invite:
        if (call == NULL)
            invited(contact, nh, sip);
        else
            reinvited(call, sip);
        break;
    case nua_r_invite:
        if (call != NULL)
            response(call, status, phrase, sip);
        break;
    case nua_i_ack:
        call_say(call, "<- ACK");
        if (call->answered)
            commit(call);
        break;
    case nua_i_cancel:
        call_say(call, "<- CANCEL");
        break;
    case nua_i_bye:
        call_say(call, "<- BYE");
        break;
    case nua_i_state:
        tl_gets(tags, NUTAG_CALLSTATE_REF(state), TAG_END());
        if (call != NULL && state == nua_callstate_terminated) {
            call_say(call, "ended: %d %s", status, phrase);
            call_free(call);
        }
        break;
    case nua_r_register:
        if (status >= 200)
            printf("%s registered: %d %s\n", contact->name, status, phrase);
        break;
    case nua_r_get_params:
        tl_gets(tags, NTATAG_CONTACT_REF(address), TAG_END());
        if (address != NULL)
            printf("%s listens on sip:%s:%s\n", contact->name, address->m_url->url_host, address->m_url->url_port);
        break;
    case nua_r_shutdown:
        if (status >= 200 && --contact->agent->n_running == 0)
            su_root_break(contact->agent->root);
        break;
    }
}

void call_media(void *owner, enum media_event event, const char *text)
{
    static const char *const names[] = {"connected", "no connection", "received", "delivered", "stream ended"};
    struct call *call = owner;
    if (call == NULL) {
        printf("refused a connection: %s\n", text);
        return;
    }
    call_say(call, "%s%s%s", names[event], text[0] == '\0' ? "" : ": ", text);
    if (event == MEDIA_CONNECTED && call->agent->talk != NULL && call->caller)
        stream_send(call->dialog.stream, call->agent->talk);
    if (event == MEDIA_DELIVERED && call->agent->talk != NULL && call->caller)
        nua_bye(call->nh, TAG_END());
}

void call_quit(struct agent *agent)
{
    for (size_t i = 0; i < agent->n_contacts; i++)
        nua_shutdown(agent->contact[i].nua);
}

bool call_command(struct call *call, const char *command, char *words)
{
    bool done = true;
    if (strcmp(command, "accept") == 0 && call->taken)
        answer(call, SIP_200_OK);
    else if (strcmp(command, "early") == 0 && call->taken)
        answer(call, SIP_183_SESSION_PROGRESS);
    else if (strcmp(command, "reject") == 0 && call->taken)
        refuse(call, SIP_603_DECLINE, MKT_E_DENIED, call->offered);
    else if (strcmp(command, "cancel") == 0)
        nua_cancel(call->nh, TAG_END());
    else if (strcmp(command, "bye") == 0)
        nua_bye(call->nh, TAG_END());
    else if (strcmp(command, "send") == 0 && call->dialog.stream != NULL)
        done = stream_send(call->dialog.stream, words);
    else if (strcmp(command, "reinvite") == 0)
        done = reinvite(call, words);
    else
        done = false;
    return done;
}
