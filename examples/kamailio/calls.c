/* SPDX-License-Identifier: BSD-3-Clause */
#include "calls.h"

#include "mrfp.h"
#include "text.h"
#include "users.h"

#include "../../core/dprint.h"
#include "../../core/hashes.h"
#include "../../core/locking.h"
#include "../../core/mem/shm_mem.h"
#include "../../core/strutils.h"
#include "../../core/ut.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Seconds until a call ends with which nobody went on: 64*T1 for the KMS and for an ACK, three minutes for an answer. */
enum { N_SLOTS = 1024, WAIT = 32, RING = 180, MAX_MESSAGE = 8192 };

enum state {
    ASKS_KMS, /* the answer of the KMS is missing */
    OFFERED,  /* the answer to our offer is missing */
    ANSWERED, /* the ACK to our answer is missing */
    READY
};

/* A call, in shared memory. */
struct call {
    struct call *next;
    struct mkt_csb *csb;
    enum state state;
    time_t deadline; /* when it ends unless it is READY */
    enum mkt_stream medium;
    enum mkt_setup able;                 /* what we can do on TCP */
    size_t media;                        /* number of the media section that has our stream */
    uint32_t version;                    /* of our description */
    unsigned port;                       /* in our description: of the MRFP, or 9 */
    char stream[17];                     /* its name at the MRFP, and the MSRP session; empty: none there */
    struct mkt_sdp_kept kept, next_kept; /* next: until the ACK comes */
    str line, next_line;                 /* our a=key-mgmt line, which is repeated until an offer re-keys */
    str offer;                           /* our description, until its answer comes */
    str to;                              /* the URI that we call */
    str tag;                             /* the From tag of an INVITE that came */
    str id;                              /* Call-ID */
};

struct mrfc mrfc = {NULL, "http://kms.example.com", NULL, "127.0.0.1", NULL, 10000};
struct outcome outcome;

/* Filled before fork(), and so the same in all processes. */
static struct users users;
static struct mkt_credential credential;
static struct mkt_host host;
static struct mkt_replay cache;
static struct call **table;
static gen_lock_set_t *locks;

/* About the call that this process is working on. */
static char detail[128];
static int reported; /* number of the Error message that came; -1: none */

/* ---- the host ---- */

static void *allocate(void *user, size_t n)
{
    (void)user;
    return shm_malloc(n);
}

static void release(void *user, void *p)
{
    (void)user;
    shm_free(p);
}

/* A key with an identity in the file is for tickets that this Initiator has made. */
static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct entry *entry = id == NULL ? NULL : users_tpk(&users, id);
    (void)user;
    if (entry == NULL || (entry->identity != NULL && !users_is(entry, &policy->initiator)))
        return MKT_E_NO_KEY;
    return users_key(entry, key);
}

static void take_error(void *user, const struct mkt_error_message *report)
{
    (void)user;
    reported = report->number;
    snprintf(detail, sizeof detail, "%s%s", text_error(report->number),
             report->authenticated ? "" : ", which anybody may have sent");
}

static void take_detail(void *user, const struct mkt_log_event *event)
{
    (void)user;
    snprintf(detail, sizeof detail, "%s", event->detail);
}

static struct mkt_settings settings_of(enum mkt_stream medium)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri(mrfc.identity));
    settings.kms = credential.psk.n > 0 ? &credential : NULL;
    settings.application = mkt_span_text(medium == MKT_STREAM_MSRP ? "msrp" : "bfcp");
    return settings;
}

/* ---- the table ---- */

static struct mkt_span span_of(str s)
{
    return (struct mkt_span){(const uint8_t *)s.s, (size_t)s.len};
}

static void drop(str *s)
{
    if (s->s != NULL)
        shm_free(s->s);
    *s = (str)STR_NULL;
}

static bool keep(str *s, struct mkt_span octets)
{
    const str from = {(char *)octets.p, (int)octets.n};
    drop(s);
    return octets.n == 0 || shm_str_dup(s, &from) == 0;
}

static bool same(str a, str b)
{
    return mkt_span_equal(span_of(a), span_of(b));
}

static struct call **slot_of(const str *id)
{
    return &table[core_hash(id, NULL, N_SLOTS)];
}

/* Locks the calls that have a slot with this one. */
static int lock(const str *id)
{
    const int slot = (int)(slot_of(id) - table);
    lock_set_get(locks, slot);
    detail[0] = mrfp_fault[0] = '\0';
    reported = -1;
    outcome.sdp_n = outcome.request_n = 0;
    outcome.code = 200;
    return slot;
}

static struct call *find(const str *id)
{
    struct call *call = *slot_of(id);
    while (call != NULL && !same(call->id, *id))
        call = call->next;
    return call;
}

/* The call of a message: one of the tags is that of the INVITE. The script has no tags, and Call-IDs of its own. */
static struct call *call_of(const struct said *said)
{
    struct call *call = find(&said->id);
    const bool is = call != NULL && (call->tag.len == 0 || said->from_tag.len == 0 || same(call->tag, said->from_tag) ||
                                     same(call->tag, said->to_tag));
    return is ? call : NULL;
}

/* Nobody awaits what the MRFP says to it: the stream may have ended before. */
static void remove_stream(struct call *call)
{
    char command[64];
    if (call->stream[0] == '\0')
        return;
    snprintf(command, sizeof command, "remove %s\n", call->stream);
    if (!mrfp_do(command, NULL))
        LM_DBG("%s\n", mrfp_fault);
    call->stream[0] = mrfp_fault[0] = '\0';
}

static void free_call(struct call *call)
{
    mkt_csb_free(call->csb);
    drop(&call->line);
    drop(&call->next_line);
    drop(&call->offer);
    drop(&call->to);
    drop(&call->tag);
    drop(&call->id);
    shm_free(call);
}

static void end(struct call *call)
{
    struct call **at = slot_of(&call->id);
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    remove_stream(call);
    free_call(call);
}

static struct call *begin(const str *id, const str *tag, enum mkt_role role, enum mkt_stream medium)
{
    const struct mkt_settings settings = settings_of(medium);
    struct call *call = shm_malloc(sizeof *call);
    if (call == NULL)
        return NULL;
    memset(call, 0, sizeof *call);
    call->medium = medium;
    if (!keep(&call->id, span_of(*id)) || !keep(&call->tag, span_of(*tag)) ||
        mkt_csb_new(&call->csb, role, &host, &settings) != MKT_OK) {
        free_call(call);
        return NULL;
    }
    call->next = *slot_of(id);
    *slot_of(id) = call;
    return call;
}

/* ---- descriptions ---- */

static bool put(const char *format, ...)
{
    va_list list;
    const size_t room = sizeof outcome.sdp - outcome.sdp_n;
    va_start(list, format);
    const int n = vsnprintf(outcome.sdp + outcome.sdp_n, room, format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= room)
        return false;
    outcome.sdp_n += (size_t)n;
    return true;
}

static bool put_stream(const struct call *call, enum mkt_setup setup)
{
    const bool msrp = call->medium == MKT_STREAM_MSRP;
    if (!put("m=%s %u %s *\r\na=setup:%s\r\n", msrp ? "message" : "application", call->port,
             msrp ? "TCP/TLS/MSRP" : "TCP/TLS/BFCP", mkt_setup_name(setup)))
        return false;
    if (msrp)
        return put("a=accept-types:text/plain\r\na=path:msrps://%s:%u/%s;tcp\r\n", mrfc.address, call->port,
                   call->stream);
    /* RFC 8856 section 10: the MRFP is the floor control server, here with one floor of no stream */
    return put("a=connection:new\r\na=bfcpver:1\r\na=floorctrl:s-only\r\na=confid:1\r\na=userid:1\r\na=floorid:1\r\n");
}

/* Writes our description: an offer, or the answer to `offer` (RFC 3264 section 6), which has our one stream. With
   `setup` ABSENT there is none: all sections are refused. */
static enum mkt_err describe(const struct call *call, struct mkt_sdp *offer, enum mkt_setup setup, str line)
{
    struct mkt_sdp_media other;
    outcome.sdp_n = 0;
    bool good = put("v=0\r\no=mrfc %u %u IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n",
                    core_hash(&call->id, NULL, 0) & INT32_MAX, (unsigned)call->version, mrfc.address, mrfc.address);
    good = good && put("%.*s%s", line.len, line.s, line.len > 0 ? "\r\n" : "");
    if (offer == NULL)
        return good && put_stream(call, setup) ? MKT_OK : MKT_E_BUFFER;
    for (size_t i = 0; good && i < offer->sections; i++) {
        if (i == call->media && setup != MKT_SETUP_ABSENT) {
            good = put_stream(call, setup);
            continue;
        }
        const enum mkt_err err = mkt_sdp_media_parse(offer, i, &other);
        if (err != MKT_OK)
            return err;
        good = put("m=%.*s 0 %.*s *\r\n", (int)other.media.n, (const char *)other.media.p, (int)other.proto.n,
                   (const char *)other.proto.p);
    }
    return good ? MKT_OK : MKT_E_BUFFER;
}

static struct mkt_span described(void)
{
    return (struct mkt_span){(const uint8_t *)outcome.sdp, outcome.sdp_n};
}

/* Finds the stream that we take: the first one of MSRP or BFCP over TLS. */
static enum mkt_err choose(struct mkt_sdp *offer, size_t *media, enum mkt_stream *medium)
{
    struct mkt_sdp_media m;
    for (size_t i = 0; i < offer->sections; i++) {
        const enum mkt_err err = mkt_sdp_media_parse(offer, i, &m);
        if (err != MKT_OK)
            return err;
        *media = i;
        *medium = mkt_span_equal(m.proto, mkt_span_text("TCP/TLS/BFCP")) ? MKT_STREAM_BFCP : MKT_STREAM_MSRP;
        if (m.port != 0 && (*medium == MKT_STREAM_BFCP || mkt_span_equal(m.proto, mkt_span_text("TCP/TLS/MSRP"))))
            return MKT_OK;
    }
    snprintf(detail, sizeof detail, "m=: neither MSRP nor BFCP over TLS");
    return MKT_E_MISSING;
}

/* ---- refusals ---- */

/* Says why in one line of the log, with the status of the response. */
static int refuse(const str *id, int code, const char *why)
{
    outcome.code = code;
    LM_WARN("call %.*s: %d: %s%s%s\n", id->len, id->s, code, why, detail[0] != '\0' ? ": " : "", detail);
    return CALL_REFUSED;
}

/* Writes a description with a MIKEY Error message, for the 488 (RFC 6043 5.4); none if none can be made. */
static void put_error(struct call *call, enum mkt_err err, struct mkt_sdp *offer)
{
    uint8_t octets[MAX_MESSAGE], error_octets[MAX_MESSAGE], line_octets[2 * MAX_MESSAGE];
    struct mkt_buf about = {octets, sizeof octets, 0}, error = {error_octets, sizeof error_octets, 0},
                   line = {line_octets, sizeof line_octets, 0};
    /* an offer that was taken is in the bundle, and is declined with a MAC */
    const bool taken =
        mkt_csb_must_make(call->csb, MKT_TRANSFER_RESP) || mkt_csb_must_make(call->csb, MKT_RESOLVE_INIT_PSK);
    if ((taken || mkt_sdp_key_mgmt_decode(offer, call->media, &about) == MKT_OK) &&
        mkt_csb_make_error(call->csb, mkt_buf_span(&about), err, NULL, 0, &error) == MKT_OK &&
        mkt_sdp_key_mgmt_encode(mkt_buf_span(&error), &line) == MKT_OK &&
        describe(call, offer, MKT_SETUP_ABSENT, (str){(char *)line.p, (int)line.n}) == MKT_OK)
        return;
    outcome.sdp_n = 0;
}

/* Refuses what came. That ends the call, unless it was a re-INVITE. `offer`: what is refused; may be NULL. */
static int give_up(struct call *call, enum mkt_err err, struct mkt_sdp *offer)
{
    const enum mkt_class class = mkt_err_class(err);
    const bool ours = class == MKT_CLASS_USE || class == MKT_CLASS_HOST;
    outcome.sdp_n = 0;
    refuse(&call->id, ours ? 500 : 488, mrfp_fault[0] != '\0' ? mrfp_fault : mkt_err_text(err));
    if (!ours && offer != NULL)
        put_error(call, err, offer);
    if (call->state == READY)
        mkt_csb_abandon(call->csb);
    else
        end(call);
    return CALL_REFUSED;
}

/* ---- the stream ---- */

static bool draw(char hex[17])
{
    uint8_t octets[8];
    return getentropy(octets, sizeof octets) == 0 && text_put_hex(hex, 17, (struct mkt_span){octets, sizeof octets});
}

/* A command to the MRFP about the stream: `verb NAME words`, and key and identity of the crypto session if there is
   one, then the address to connect to. */
static enum mkt_err command(struct call *call, const char *verb, const char *words, const struct mkt_cs *cs,
                            const char *address)
{
    uint8_t tek_octets[64], identity_octets[256];
    char text[2048], hex[2 * sizeof tek_octets + 1] = "";
    struct mkt_buf tek = {tek_octets, sizeof tek_octets, 0}, identity = {identity_octets, sizeof identity_octets, 0};
    enum mkt_err err = MKT_OK;

    if (cs != NULL) {
        err = mkt_csb_psk_identity(call->csb, cs->cs_id, &identity);
        err = err == MKT_OK ? mkt_csb_tek(call->csb, cs->cs_id, &tek) : err;
        if (err == MKT_OK && !text_put_hex(hex, sizeof hex, mkt_buf_span(&tek)))
            err = MKT_E_BUFFER;
    }
    const int n = snprintf(text, sizeof text, "%s %s%s%s%.*s%s%s%s\n", verb, call->stream, words, cs != NULL ? " " : "",
                           (int)identity.n, (const char *)identity_octets, cs != NULL ? " " : "", hex, address);
    if (n < 0 || (size_t)n >= sizeof text)
        err = MKT_E_BUFFER;
    if (err == MKT_OK && !mrfp_do(text, strcmp(verb, "key") == 0 ? NULL : &call->port))
        err = MKT_E_TLS;
    explicit_bzero(text, sizeof text);
    explicit_bzero(hex, sizeof hex);
    explicit_bzero(tek_octets, sizeof tek_octets);
    return err;
}

/* Has the MRFP await the peer: with its key, or without (`cs` NULL) until the answer to our offer is here. */
static enum mkt_err await(struct call *call, enum mkt_end tls, const struct mkt_cs *cs)
{
    char words[32];
    snprintf(words, sizeof words, " passive %s %s", call->medium == MKT_STREAM_MSRP ? "msrp" : "bfcp",
             tls == MKT_END_CLIENT ? "client" : "server");
    return command(call, cs != NULL ? "add" : "announce", words, cs, "");
}

/* Has the MRFP connect. It decides which addresses it connects to. */
static enum mkt_err connect_to(struct call *call, const struct mkt_connection *to, const struct mkt_cs *cs,
                               struct mkt_sdp *ours, struct mkt_sdp *theirs)
{
    struct mkt_span own = {NULL, 0}, peer = {NULL, 0};
    char words[32], address[1024];
    const unsigned port = call->port; /* in our description; the MRFP answers another one */
    const bool msrp = call->medium == MKT_STREAM_MSRP;
    enum mkt_err err = MKT_OK;

    snprintf(words, sizeof words, " active %s %s", msrp ? "msrp" : "bfcp",
             to->tls == MKT_END_CLIENT ? "client" : "server");
    if (msrp) {
        err = mkt_sdp_attribute(ours, to->media, "path", &own);
        err = err == MKT_OK ? mkt_sdp_attribute(theirs, to->media, "path", &peer) : err;
    }
    const int n = snprintf(address, sizeof address, " %.*s %u%s%.*s%s%.*s", (int)to->address.n,
                           (const char *)to->address.p, to->port, msrp ? " " : "", (int)own.n, (const char *)own.p,
                           msrp ? " " : "", (int)peer.n, (const char *)peer.p);
    if (err == MKT_OK && (n < 0 || (size_t)n >= sizeof address))
        err = MKT_E_LENGTH;
    err = err == MKT_OK ? command(call, "add", words, cs, address) : err;
    call->port = port;
    return err;
}

/* Our answer as it would be now, and what comes of it. */
static enum mkt_err decide(struct call *call, struct mkt_sdp *offer, struct mkt_sdp *answer, enum mkt_setup setup,
                           struct mkt_connection *connection)
{
    struct mkt_sdp_exchange now;
    enum mkt_err err = describe(call, offer, setup, call->next_line);
    err = err == MKT_OK ? mkt_sdp_parse(answer, described()) : err;
    mkt_sdp_exchange_init(&now, offer, answer);
    return err == MKT_OK ? mkt_connection_decide(&now, &call->kept, call->media, connection, &call->next_kept) : err;
}

/* Our answer, and the stream that it makes. A port that the peer connects to must be there before the answer is. */
static enum mkt_err answer_stream(struct call *call, struct mkt_sdp *offer)
{
    enum mkt_setup offered, setup;
    struct mkt_roles roles;
    struct mkt_connection connection;
    struct mkt_sdp answer;
    struct mkt_cs cs;
    enum mkt_err err = mkt_setup_parse(offer, call->media, &offered);
    err = err == MKT_OK ? mkt_setup_answer(call->medium, offered, call->able, &setup) : err;
    err = err == MKT_OK ? mkt_setup_roles(call->medium, offered, setup, false, &roles) : err;
    err = err == MKT_OK ? mkt_csb_session_at(call->csb, 0, &cs) : err;
    if (err == MKT_OK && call->stream[0] != '\0') {
        err = decide(call, offer, &answer, setup, &connection);
        if (err == MKT_OK && connection.action == MKT_ACTION_KEEP)
            return connection.keying == MKT_KEYING_NEW ? command(call, "key", "", &cs, "") : MKT_OK;
    }
    if (err != MKT_OK)
        return err;
    remove_stream(call);
    call->port = 9;
    if (!draw(call->stream))
        return MKT_E_RANDOM;
    if (roles.tcp == MKT_END_SERVER)
        err = await(call, roles.tls, &cs);
    err = err == MKT_OK ? decide(call, offer, &answer, setup, &connection) : err;
    if (err == MKT_OK && connection.action == MKT_ACTION_CONNECT)
        err = connect_to(call, &connection, &cs, &answer, offer);
    return err;
}

/* ---- the KMS ---- */

/* Goes on with a call. Returns what the script is to do. */
static int wait_for(struct call *call, enum state state, int seconds)
{
    static const char *const names[] = {"asks the KMS", "offers", "answers", "is ready"};
    LM_INFO("call %.*s %s\n", call->id.len, call->id.s, names[state]);
    call->state = state;
    call->deadline = time(NULL) + seconds;
    return state == ASKS_KMS ? CALL_ASK_KMS : CALL_DONE;
}

static struct mkt_policy policy_for(const struct call *call, bool by_kms)
{
    struct mkt_policy policy = by_kms ? mkt_policy_forked(MKT_SUITE_256) : mkt_policy_default(MKT_SUITE_256);
    policy.flags |= MKT_FLAG_E | MKT_FLAG_I; /* in a ticket of ours, too: the KMS resolves it, with forked keys */
    policy.initiator = mkt_id_uri(mrfc.identity);
    policy.kms = credential.kms;
    policy.responder[policy.n_responders++] = (struct mkt_id){.type = MKT_ID_URI, .data = span_of(call->to)};
    policy.has_start = policy.has_end = true;
    policy.start = mkt_ntp_from_unix(time(NULL) - 60);
    policy.end = mkt_ntp_from_unix(time(NULL) + 3600);
    return policy;
}

static enum mkt_err request_ticket(const struct call *call, struct mkt_buf *message)
{
    const struct mkt_policy policy = policy_for(call, true);
    struct mkt_request request;
    mkt_request_init(&request);
    request.policy = &policy;
    return mkt_csb_make_request_init(call->csb, &request, message);
}

/* Has the script ask the KMS: about the ticket of an offer, or for the one of ours. */
static int ask_kms(struct call *call)
{
    struct mkt_buf message = {outcome.request, sizeof outcome.request, 0};
    const enum mkt_err err = mkt_csb_role(call->csb) == MKT_RESPONDER ? mkt_csb_make_resolve_init(call->csb, &message)
                                                                      : request_ticket(call, &message);
    if (err != MKT_OK)
        return give_up(call, err, NULL);
    outcome.request_n = message.n;
    return wait_for(call, ASKS_KMS, WAIT);
}

/* ---- the other end calls ---- */

/* The offer is taken: the answer. */
static int answer_offer(struct call *call, struct mkt_sdp *offer)
{
    uint8_t octets[2 * MAX_MESSAGE];
    struct mkt_buf line = {octets, sizeof octets, 0};
    enum mkt_err err = MKT_OK;
    if (mkt_csb_must_make(call->csb, MKT_TRANSFER_RESP))
        err = mkt_sdp_make_answer(call->csb, NULL, &line);
    if (err == MKT_OK && !keep(&call->next_line, mkt_buf_span(&line)))
        err = MKT_E_MEMORY;
    call->version++;
    err = err == MKT_OK ? answer_stream(call, offer) : err;
    return err == MKT_OK ? wait_for(call, ANSWERED, WAIT) : give_up(call, err, offer);
}

/* A re-INVITE (RFC 4567 4.1.2). */
static int answer_again(struct call *call, struct mkt_sdp *offer)
{
    enum mkt_keying keying;
    enum mkt_err err = mkt_connection_keying(offer, call->media, false, &call->kept, &keying);
    if (err == MKT_OK && keying == MKT_KEYING_NEW) {
        err = mkt_sdp_take_offer(call->csb, offer, call->media);
        return err == MKT_OK ? answer_offer(call, offer) : give_up(call, err, offer);
    }
    if (err == MKT_OK && !keep(&call->next_line, span_of(call->line)))
        err = MKT_E_MEMORY;
    err = err == MKT_OK ? answer_stream(call, offer) : err;
    return err == MKT_OK ? wait_for(call, ANSWERED, WAIT) : give_up(call, err, offer);
}

static int answer_first(const struct said *said, struct mkt_sdp *offer, enum mkt_setup able)
{
    size_t media;
    enum mkt_stream medium;
    enum mkt_err err = choose(offer, &media, &medium);
    if (err != MKT_OK)
        return refuse(&said->id, 488, mkt_err_text(err));
    struct call *call = begin(&said->id, &said->from_tag, MKT_RESPONDER, medium);
    if (call == NULL)
        return refuse(&said->id, 500, mkt_err_text(MKT_E_MEMORY));
    call->able = able;
    call->media = media;
    err = mkt_sdp_take_offer(call->csb, offer, media);
    if (err != MKT_OK)
        return give_up(call, err, offer);
    if (mkt_csb_must_make(call->csb, MKT_RESOLVE_INIT_PSK))
        return ask_kms(call);
    return answer_offer(call, offer);
}

static int answer(const struct said *said, enum mkt_setup able)
{
    struct call *call = call_of(said);
    struct mkt_sdp offer;
    if (call == NULL && said->to_tag.len > 0)
        return refuse(&said->id, 481, "there is no such call");
    if (said->to_tag.len == 0 && find(&said->id) != NULL)
        return refuse(&said->id, 482, "this INVITE came another way, too"); /* RFC 3261 8.2.2.2 */
    if (call != NULL && call->state == OFFERED)
        return refuse(&said->id, 491, "our own INVITE has no answer yet"); /* RFC 3261 14.2 */
    if (call != NULL && call->state != READY)
        return refuse(&said->id, 500, "the INVITE before it is not done yet");
    if (said->sdp.n == 0)
        return refuse(&said->id, 488, "the INVITE has no description");
    const enum mkt_err err = mkt_sdp_parse(&offer, said->sdp);
    if (err != MKT_OK)
        return refuse(&said->id, 488, mkt_err_text(err));
    return call == NULL ? answer_first(said, &offer, able) : answer_again(call, &offer);
}

/* ---- we call ---- */

/* A ticket of our own, which the KMS resolves for the one we call (mode 3 of RFC 6043 4.1.1). */
static enum mkt_err make_ticket(const struct call *call, const struct entry *tpk, struct mkt_ticket **ticket)
{
    const struct mkt_policy policy = policy_for(call, false);
    struct mkt_key_wish tgk;
    struct mkt_ticket_recipe recipe;
    mkt_key_wish_init(&tgk, MKT_KEY_TGK);
    mkt_ticket_recipe_init(&recipe);
    recipe.policy = &policy;
    recipe.tpk_id = mkt_id_bytes(tpk->id);
    recipe.tpk = (struct mkt_span){tpk->key, tpk->key_n};
    recipe.keys = &tgk;
    recipe.n_keys = 1;
    return mkt_ticket_make(ticket, &host, &recipe);
}

/* Our offer. If it lets the peer connect, the MRFP must be ready for it before the answer is here. */
static int offer_stream(struct call *call, struct mkt_ticket *ticket)
{
    uint8_t octets[2 * MAX_MESSAGE];
    struct mkt_buf line = {octets, sizeof octets, 0};
    struct mkt_roles roles;
    struct mkt_offer offer;
    mkt_offer_init(&offer);
    offer.ticket = ticket;
    offer.responder = (struct mkt_id){.type = MKT_ID_URI, .data = span_of(call->to)};
    enum mkt_err err = mkt_sdp_make_offer(call->csb, &offer, &line);
    mkt_ticket_free(ticket);
    if (err == MKT_OK && (!keep(&call->line, mkt_buf_span(&line)) || !draw(call->stream)))
        err = MKT_E_MEMORY;
    call->port = 9;
    if (err == MKT_OK && call->able != MKT_SETUP_ACTIVE) {
        err = mkt_setup_roles(call->medium, MKT_SETUP_PASSIVE, MKT_SETUP_ACTIVE, true, &roles);
        err = err == MKT_OK ? await(call, roles.tls, NULL) : err;
    }
    err = err == MKT_OK ? describe(call, NULL, call->able, call->line) : err;
    if (err == MKT_OK && !keep(&call->offer, described()))
        err = MKT_E_MEMORY;
    return err == MKT_OK ? wait_for(call, OFFERED, RING) : give_up(call, err, NULL);
}

static int offer(const str *id, const str *to, enum mkt_stream medium, enum mkt_setup setup, const str *tpk)
{
    const struct mkt_id tpk_id = {.type = MKT_ID_BYTES, .data = span_of(*tpk)};
    const struct entry *entry = users_tpk(&users, &tpk_id);
    const str no_tag = STR_NULL;
    struct mkt_ticket *ticket = NULL;
    if (tpk->len > 0 && entry == NULL)
        return refuse(id, 500, "the file of keys has no such tpk");
    struct call *call = begin(id, &no_tag, MKT_INITIATOR, medium);
    if (call == NULL)
        return refuse(id, 500, mkt_err_text(MKT_E_MEMORY));
    call->able = setup;
    if (!keep(&call->to, span_of(*to)))
        return give_up(call, MKT_E_MEMORY, NULL);
    if (tpk->len == 0)
        return ask_kms(call);
    const enum mkt_err err = make_ticket(call, entry, &ticket);
    return err == MKT_OK ? offer_stream(call, ticket) : give_up(call, err, NULL);
}

static int answered(const struct said *said)
{
    struct call *call = call_of(said);
    struct mkt_sdp ours, theirs;
    struct mkt_sdp_exchange now;
    struct mkt_connection connection;
    struct mkt_cs cs;
    if (call == NULL || call->state != OFFERED)
        return refuse(&said->id, 481, "nobody waits for this answer");
    enum mkt_err err = mkt_sdp_parse(&theirs, said->sdp);
    err = err == MKT_OK ? mkt_sdp_parse(&ours, span_of(call->offer)) : err;
    err = err == MKT_OK ? mkt_sdp_take_answer(call->csb, &theirs, 0) : err;
    if (err == MKT_OK && reported >= 0)
        err = mkt_error_of_number((uint8_t)reported);
    mkt_sdp_exchange_init(&now, &ours, &theirs);
    now.offerer = true;
    err = err == MKT_OK ? mkt_connection_decide(&now, &call->kept, 0, &connection, &call->kept) : err;
    err = err == MKT_OK ? mkt_csb_session_at(call->csb, 0, &cs) : err;
    if (err == MKT_OK && connection.action == MKT_ACTION_LISTEN) {
        err = command(call, "key", "", &cs, "");
    } else if (err == MKT_OK && connection.action == MKT_ACTION_CONNECT) {
        char name[sizeof call->stream];
        memcpy(name, call->stream, sizeof name);
        remove_stream(call);
        memcpy(call->stream, name, sizeof name);
        err = connect_to(call, &connection, &cs, &ours, &theirs);
    } else if (err == MKT_OK) {
        err = MKT_E_ROLE; /* no stream, no call */
    }
    if (err != MKT_OK)
        return give_up(call, err, NULL);
    drop(&call->offer);
    return wait_for(call, READY, 0);
}

/* ---- both ---- */

static int take_kms(const str *id, struct mkt_span message, const struct said *invite)
{
    struct call *call = find(id);
    struct mkt_sdp sdp;
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy granted;
    if (call == NULL || call->state != ASKS_KMS)
        return refuse(id, 481, "nobody waits for this answer of the KMS");
    const bool called = mkt_csb_role(call->csb) == MKT_RESPONDER;
    enum mkt_err err = called ? mkt_sdp_parse(&sdp, invite->sdp) : MKT_OK;
    if (err != MKT_OK)
        return give_up(call, err, NULL);
    err = mkt_csb_take(call->csb, message);
    if (err == MKT_OK && reported >= 0)
        err = mkt_error_of_number((uint8_t)reported);
    if (called)
        return err == MKT_OK ? answer_offer(call, &sdp) : give_up(call, err, &sdp);
    err = err == MKT_OK ? mkt_csb_take_ticket(call->csb, &ticket) : err;
    err = err == MKT_OK ? mkt_ticket_policy(ticket, &granted) : err;
    if (err == MKT_OK && (granted.flags & MKT_FLAG_K) != 0)
        err = MKT_E_NOT_AS_ASKED;
    if (err == MKT_OK)
        return offer_stream(call, ticket);
    mkt_ticket_free(ticket);
    return give_up(call, err, NULL);
}

static int take_ack(const struct said *said)
{
    struct call *call = call_of(said);
    if (call == NULL || call->state != ANSWERED)
        return CALL_NONE;
    drop(&call->line);
    call->line = call->next_line;
    call->next_line = (str)STR_NULL;
    call->kept = call->next_kept;
    return wait_for(call, READY, 0);
}

/* A final response to our INVITE can have a MIKEY Error message about it. */
static int take_end(const struct said *said)
{
    struct call *call = call_of(said);
    struct mkt_sdp sdp;
    if (call == NULL || (said->cancels && call->state != ASKS_KMS)) /* RFC 3261 9.2: our final response is out */
        return CALL_NONE;
    if (call->state == OFFERED && mkt_sdp_parse(&sdp, said->sdp) == MKT_OK && sdp.sections > 0 &&
        mkt_sdp_take_answer(call->csb, &sdp, 0) == MKT_OK && reported >= 0)
        LM_WARN("call %.*s: the other end refuses our offer: %s\n", call->id.len, call->id.s, detail);
    end(call);
    return CALL_DONE;
}

static bool inspect(const struct said *said, struct mkt_message *message, struct mkt_buf *octets)
{
    struct mkt_sdp sdp;
    size_t media;
    enum mkt_stream medium;
    return mkt_sdp_parse(&sdp, said->sdp) == MKT_OK && choose(&sdp, &media, &medium) == MKT_OK &&
           mkt_sdp_key_mgmt_decode(&sdp, media, octets) == MKT_OK &&
           mkt_message_decode(message, mkt_buf_span(octets)) == MKT_OK && message->hdr.data_type == MKT_TRANSFER_INIT;
}

/* None of it is verified until the offer is taken. The library refuses the offer if the ticket says something else. */
static int compare(const struct said *said)
{
    uint8_t octets[MAX_MESSAGE];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_message message;
    struct mkt_policy policy;
    outcome.initiator[0] = outcome.responder[0] = '\0';
    outcome.ticket_type = 0;
    if (!inspect(said, &message, &buf))
        return CALL_NONE; /* calls_answer() says why */
    const struct mkt_payload *ticket = mkt_message_find(&message, MKT_TICKET, 0);
    const struct mkt_payload *initiator = mkt_message_find(&message, MKT_IDR, MKT_IDR_I);
    const struct mkt_payload *responder = mkt_message_find(&message, MKT_IDR, MKT_IDR_R);
    if (ticket == NULL || mkt_policy_decode(&policy, &ticket->ticket) != MKT_OK)
        return CALL_NONE;
    text_put_id(outcome.initiator, initiator != NULL ? &initiator->id : &policy.initiator);
    if (responder != NULL || policy.n_responders > 0)
        text_put_id(outcome.responder, responder != NULL ? &responder->id : &policy.responder[0]);
    outcome.ticket_type = ticket->ticket.type;
    str i = {outcome.initiator, (int)strlen(outcome.initiator)},
        r = {outcome.responder, (int)strlen(outcome.responder)};
    str from = said->from, to = said->to;
    if (cmp_uri_str(&i, &from) != 0) {
        snprintf(detail, sizeof detail, "%.100s", outcome.initiator);
        return refuse(&said->id, 403, "the Initiator is not the one of From");
    }
    if (cmp_uri_str(&r, &to) != 0) {
        snprintf(detail, sizeof detail, "%.100s", outcome.responder);
        return refuse(&said->id, 403, "the Responder is not the one of To");
    }
    return CALL_DONE;
}

int calls_inspect(const struct said *said)
{
    const int slot = lock(&said->id);
    const int done = compare(said);
    lock_set_release(locks, slot);
    return done;
}

int calls_answer(const struct said *said, enum mkt_setup able)
{
    const int slot = lock(&said->id);
    const int done = answer(said, able);
    lock_set_release(locks, slot);
    return done;
}

int calls_offer(const str *to, enum mkt_stream medium, enum mkt_setup setup, const str *tpk)
{
    if (!draw(outcome.id))
        return CALL_REFUSED;
    const str id = {outcome.id, (int)strlen(outcome.id)};
    const int slot = lock(&id);
    const int done = offer(&id, to, medium, setup, tpk);
    lock_set_release(locks, slot);
    return done;
}

int calls_kms(const str *id, struct mkt_span message, const struct said *invite)
{
    const int slot = lock(id);
    const int done = take_kms(id, message, invite);
    lock_set_release(locks, slot);
    return done;
}

int calls_answered(const struct said *said)
{
    const int slot = lock(&said->id);
    const int done = answered(said);
    lock_set_release(locks, slot);
    return done;
}

int calls_ack(const struct said *said)
{
    const int slot = lock(&said->id);
    const int done = take_ack(said);
    lock_set_release(locks, slot);
    return done;
}

int calls_end(const struct said *said)
{
    const int slot = lock(&said->id);
    const int done = take_end(said);
    lock_set_release(locks, slot);
    return done;
}

size_t calls_count(void)
{
    size_t n = 0;
    for (int slot = 0; slot < N_SLOTS; slot++) {
        lock_set_get(locks, slot);
        for (const struct call *call = table[slot]; call != NULL; call = call->next)
            n++;
        lock_set_release(locks, slot);
    }
    return n;
}

void calls_expire(unsigned ticks, void *unused)
{
    const time_t now = time(NULL);
    (void)ticks;
    (void)unused;
    for (int slot = 0; slot < N_SLOTS; slot++) {
        lock_set_get(locks, slot);
        for (struct call *call = table[slot], *next; call != NULL; call = next) {
            next = call->next;
            if (call->state == READY || call->deadline > now)
                continue;
            LM_WARN("call %.*s: nobody went on with it\n", call->id.len, call->id.s);
            end(call);
        }
        lock_set_release(locks, slot);
    }
}

/* ---- begin and end ---- */

static bool mistake(const char *text)
{
    LM_ERR("%s\n", text);
    return false;
}

bool calls_init(void)
{
    if (mrfc.identity == NULL || mrfc.users == NULL || mrfc.mrfp == NULL)
        return mistake("set the parameters identity, users and mrfp");
    if (!users_read(&users, mrfc.users))
        return mistake("the file of the parameter users can't be used: the line before says why");
    const struct mkt_id self = mkt_id_uri(mrfc.identity);
    const struct entry *own = users_user(&users, &self);
    credential.kms = mkt_id_uri(mrfc.kms);
    if (own != NULL) {
        credential.name = mkt_id_bytes(own->id);
        credential.psk = (struct mkt_span){own->key, own->key_n};
    }

    const size_t n = mkt_replay_size((size_t)mrfc.remember);
    void *memory = shm_malloc(n);
    if (mkt_replay_new(&cache, memory, n) != MKT_OK)
        return mistake("no shared memory for the replay cache: give Kamailio more by -m");
    mkt_host_init(&host);
    host.alloc = allocate;
    host.release = release;
    host.tpk = find_tpk;
    host.error = take_error;
    host.log = take_detail;
    host.cache = &cache;

    table = shm_malloc(N_SLOTS * sizeof *table);
    locks = lock_set_alloc(N_SLOTS);
    if (table == NULL || locks == NULL || lock_set_init(locks) == NULL)
        return mistake("no shared memory for the calls: give Kamailio more by -m");
    memset(table, 0, N_SLOTS * sizeof *table);
    return true;
}

void calls_destroy(void)
{
    for (int slot = 0; table != NULL && slot < N_SLOTS; slot++) {
        while (table[slot] != NULL)
            end(table[slot]);
    }
    users_free(&users);
}
