/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a stranger can make the library do: the steps that it takes before a MAC is verified, or a text refused, grow no
 * faster than the message. Nor do those of the holder of a bundle who reads what is in it. A step is a basic block of
 * the library, which the compiler counts here (-fsanitize-coverage=trace-pc), or an octet in memcmp(), memcpy() and the
 * like.
 */
#include "play.h"

#include <mikeyticket/connection.h>
#include <mikeyticket/sdp.h>

/* ---- steps ---- */

static unsigned long steps;
static bool counting;

void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
    steps += counting;
}

static size_t count(size_t n)
{
    steps += counting ? n : 0;
    return n;
}

#define CONCAT(a, b) a##b
#define REAL(name) CONCAT(__real_, name)
#define HERE(name) CONCAT(__wrap_, name)

int REAL(memcmp)(const void *a, const void *b, size_t n);
int HERE(memcmp)(const void *a, const void *b, size_t n);
void *REAL(memcpy)(void *to, const void *from, size_t n);
void *HERE(memcpy)(void *to, const void *from, size_t n);
void *REAL(memset)(void *to, int octet, size_t n);
void *HERE(memset)(void *to, int octet, size_t n);
void *REAL(memchr)(const void *p, int octet, size_t n);
void *HERE(memchr)(const void *p, int octet, size_t n);
size_t REAL(strlen)(const char *text);
size_t HERE(strlen)(const char *text);
char *REAL(strchr)(const char *text, int octet);
char *HERE(strchr)(const char *text, int octet);

int HERE(memcmp)(const void *a, const void *b, size_t n)
{
    return REAL(memcmp)(a, b, count(n));
}

void *HERE(memcpy)(void *to, const void *from, size_t n)
{
    return REAL(memcpy)(to, from, count(n));
}

void *HERE(memset)(void *to, int octet, size_t n)
{
    return REAL(memset)(to, octet, count(n));
}

/* A text, and how often the library began to look for the end of a line at each octet of it. */
static struct {
    struct mkt_span text;
    unsigned times[1 << 16];
} looked;

void *HERE(memchr)(const void *p, int octet, size_t n)
{
    const uintptr_t at = (uintptr_t)p - (uintptr_t)looked.text.p;
    if (counting && octet == '\n' && at < looked.text.n)
        looked.times[at]++;
    const uint8_t *found = REAL(memchr)(p, octet, n);
    count(found == NULL ? n : (size_t)(found - (const uint8_t *)p));
    return (void *)(uintptr_t)found;
}

size_t HERE(strlen)(const char *words)
{
    return count(REAL(strlen)(words));
}

char *HERE(strchr)(const char *words, int octet)
{
    char *found = REAL(strchr)(words, octet);
    count(found == NULL ? REAL(strlen)(words) : (size_t)(found - words));
    return found;
}

static void begin(void)
{
    steps = 0;
    counting = true;
}

static unsigned long end(void)
{
    counting = false;
    return steps;
}

/* ---- messages that fail at their MAC ---- */

/* The same but for the last octet of T. */
static struct mkt_span forged(struct mkt_span message)
{
    enum { T_BEHIND_NEXT_AND_TYPE = 2, T_OCTETS = 8 };
    static uint8_t octets[1 << 17];
    struct mkt_message m;
    expect_err("get", mkt_message_decode(&m, message), MKT_OK);
    const struct mkt_payload *t = mkt_message_find(&m, MKT_T, 0);
    ck_assert_uint_eq(t->octets.n, T_BEHIND_NEXT_AND_TYPE + T_OCTETS);
    ck_assert_uint_le(message.n, sizeof octets);
    memcpy(octets, message.p, message.n);
    octets[t->octets.p + t->octets.n - 1 - message.p] ^= 1;
    return exact((struct mkt_span){octets, message.n});
}

static unsigned long refused(struct mkt_csb *csb, struct mkt_span message, enum mkt_err want)
{
    begin();
    const enum mkt_err err = mkt_csb_take_offer(csb, message, mikey);
    const unsigned long n = end();
    expect_err("refused", err, want);
    return n;
}

static uint8_t room[2][1 << 17];
static struct mkt_cs sessions[255];
static struct mkt_sp sp[15];
static uint8_t policies[127];

/* A call of that many crypto sessions, each with `p` policies of all the SPs there can be. */
static struct call *call_of(size_t n, size_t p)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLMNO");
    c->settings_i.max_sessions = c->settings_r.max_sessions = 255;
    c->settings_i.bundle_size = c->settings_r.bundle_size = 1 << 17;
    for (size_t i = 0; i < 15; i++)
        sp[i] = (struct mkt_sp){(uint8_t)i, MKT_PROT_TLS, {NULL, 0}};
    for (size_t i = 0; i < sizeof policies; i++)
        policies[i] = (uint8_t)(14 - i % 15);
    for (size_t i = 0; i < n; i++)
        sessions[i] = (struct mkt_cs){.cs_id = (uint8_t)(i + 1), .prot_type = MKT_PROT_TLS, .policies = {policies, p}};
    c->offer.cs = sessions;
    c->offer.n_cs = n;
    c->offer.sp = sp;
    c->offer.n_sp = 15;
    c->init_buf = (struct mkt_buf){room[0], sizeof room[0], 0};
    c->resp_buf = (struct mkt_buf){room[1], sizeof room[1], 0};
    return c;
}

static struct mkt_span made(const struct mkt_buf *buf)
{
    return exact((struct mkt_span){buf->p, buf->n});
}

static unsigned long offered(size_t n, size_t p)
{
    struct call *c = call_of(n, p);
    make_init(c);
    const unsigned long took = refused(c->r, forged(made(&c->init_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

static unsigned long sessions_offered(size_t n)
{
    return offered(n, 1);
}

static unsigned long policies_offered(size_t n)
{
    return offered(n, 127);
}

/* Up to an answer that is as long as the offer. */
static struct call *answered(size_t n)
{
    struct call *c = call_of(n, 1);
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, made(&c->init_buf), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    return c;
}

static unsigned long sessions_answered(size_t n)
{
    struct call *c = answered(n);
    const unsigned long took = refused(c->i, forged(made(&c->resp_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

/* Up to an update of all sessions. */
static struct call *updated(size_t n)
{
    static const struct mkt_update all = {.size = sizeof all};
    struct call *c = answered(n);
    expect_err("answer", mkt_csb_take(c->i, made(&c->resp_buf)), MKT_OK);
    c->init_buf.n = 0;
    expect_err("update", mkt_csb_make_update(c->i, &all, &c->init_buf), MKT_OK);
    return c;
}

static unsigned long sessions_updated(size_t n)
{
    struct call *c = updated(n);
    const unsigned long took = refused(c->r, forged(made(&c->init_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

static unsigned long updates_answered(size_t n)
{
    struct call *c = updated(n);
    expect_err("update", mkt_csb_take(c->r, made(&c->init_buf)), MKT_OK);
    c->resp_buf.n = 0;
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    const unsigned long took = refused(c->i, forged(made(&c->resp_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

/*
 * An update of n sessions, each with a policy of its own that the bundle has since before: SPs come in updates of 15 at
 * a time.
 */
static unsigned long policies_updated(size_t n)
{
    static uint8_t number[255];
    struct call *c = answered(1);
    struct mkt_message m;
    expect_err("answer", mkt_csb_take(c->i, made(&c->resp_buf)), MKT_OK);
    for (size_t i = 0; i < n; i++)
        number[i] = (uint8_t)i;
    for (size_t from = 0; from < n; from += 15) {
        const struct mkt_update update = {
            .size = sizeof update, .cs = sessions, .n_cs = 15, .sp = sp, .n_sp = 15, .no_answer = true};
        for (size_t i = 0; i < 15; i++) {
            sp[i].policy_no = number[from + i];
            sessions[i] = (struct mkt_cs){.cs_id = (uint8_t)(from + i), .prot_type = MKT_PROT_TLS};
            sessions[i].policies = (struct mkt_span){number + from + i, 1};
        }
        c->init_buf.n = 0;
        expect_err("update", mkt_csb_make_update(c->i, &update, &c->init_buf), MKT_OK);
        c->alice.n_seen = c->bob.n_seen = 0;
        expect_err("update", mkt_csb_take(c->r, made(&c->init_buf)), MKT_OK);
    }
    const struct mkt_update last = {.size = sizeof last, .cs = sessions, .n_cs = 1, .no_answer = true};
    c->init_buf.n = 0;
    expect_err("update", mkt_csb_make_update(c->i, &last, &c->init_buf), MKT_OK);
    expect_err("get", mkt_message_decode(&m, made(&c->init_buf)), MKT_OK);
    struct mkt_buf map = {room[1], sizeof room[1], 0};
    struct mkt_cs one;
    expect_err("session", mkt_cs_next(&one, MKT_MAP_GENERIC_ID, 0, &m.hdr.map), MKT_OK);
    for (size_t i = 0; i < n; i++) {
        one.cs_id = (uint8_t)i;
        one.policies = (struct mkt_span){number + i, 1};
        expect_err("session", mkt_cs_encode(&one, MKT_MAP_GENERIC_ID, &map), MKT_OK);
    }
    m.hdr.map = made(&map);
    m.hdr.n_cs = (uint8_t)n;
    c->init_buf.n = 0;
    expect_err("put", mkt_message_encode(&m, &c->init_buf), MKT_OK);
    const unsigned long took = refused(c->r, forged(made(&c->init_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

static unsigned long sessions_complained_about(size_t n)
{
    struct call *c = call_of(n, 1);
    make_init(c);
    const struct mkt_span about = forged(made(&c->init_buf));
    begin();
    const enum mkt_err err = mkt_csb_make_error(c->r, about, MKT_E_MAC, NULL, 0, &c->resp_buf);
    const unsigned long took = end();
    expect_err("Error", err, MKT_OK);
    call_free(c);
    return took;
}

/* ---- chains in a message ---- */

/* A chain that begins with some payloads, then has one n times, then ends with others. */
static struct mkt_span chain(bool first, const struct mkt_payload head[], size_t n_head, struct mkt_payload again,
                             size_t n, const struct mkt_payload tail[], size_t n_tail)
{
    static struct mkt_payload all[4100];
    static uint8_t octets[1 << 16];
    struct mkt_buf out = {octets, sizeof octets, 0};
    size_t k = 0;
    for (size_t i = 0; i < n_head; i++)
        all[k++] = head[i];
    for (size_t i = 0; i < n; i++)
        all[k++] = again;
    for (size_t i = 0; i < n_tail; i++)
        all[k++] = tail[i];
    expect_err("chain", first ? mkt_chain_encode(all, k, &out) : mkt_payloads_encode(all, k, &out), MKT_OK);
    return exact((struct mkt_span){octets, out.n});
}

/* The payloads of a chain. */
static size_t payloads_of(uint16_t type, struct mkt_span rest, struct mkt_payload out[], size_t most)
{
    size_t n = 0;
    for (; type != MKT_LAST && n < most; n++)
        expect_err("payload", mkt_payload_decode(&out[n], &type, &rest), MKT_OK);
    return n;
}

/* TP Data with a payload once more, n times. */
static struct mkt_span longer_tp(struct mkt_span tp_data, struct mkt_payload again, size_t n)
{
    struct mkt_payload head[32];
    uint16_t type;
    expect_err("first", mkt_chain_decode(&type, &tp_data), MKT_OK);
    const size_t n_head = payloads_of(type, tp_data, head, 32);
    return chain(true, head, n_head, again, n, NULL, 0);
}

/* Which part of which message of a play is longer by n payloads. */
enum part { TP_DATA, TICKET_DATA, INITIATOR_DATA };

static unsigned long longer(enum leg leg, enum part part, struct mkt_payload again, size_t n, enum mkt_err want)
{
    static uint8_t octets[1 << 17];
    struct play *p = play_new(MKT_SUITE_256, "DEFGHIJLMNO", false);
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_message m;
    for (size_t i = 0; i < PARTIES; i++)
        p->settings[i].bundle_size = 1 << 18;
    play_until(p, leg);
    play_make(p, leg);
    expect_err("get", mkt_message_decode(&m, p->message[leg]), MKT_OK);
    struct mkt_payload head[8];
    struct mkt_ticket_payload *t = &find(&m, leg == ASK ? MKT_TP : MKT_TICKET, 0)->ticket;
    if (part == TP_DATA)
        t->tp_data = longer_tp(t->tp_data, again, n);
    if (part == TICKET_DATA) {
        const size_t k = payloads_of(MKT_THDR, t->ticket_data, head, 8);
        t->ticket_data = chain(false, head, k - 1, again, n, head + k - 1, 1);
    }
    if (part == INITIATOR_DATA) {
        struct mkt_span rest = t->initiator_data;
        uint16_t type;
        expect_err("first", mkt_chain_decode(&type, &rest), MKT_OK);
        const size_t k = payloads_of(type, rest, head, 8);
        t->initiator_data = chain(true, NULL, 0, again, n, head, k);
    }
    expect_err("put", mkt_message_encode(&m, &out), MKT_OK);
    const unsigned long took = refused(play_bundle(p, play_to(p, leg)), forged(made(&out)), want);
    play_free(p);
    return took;
}

static const struct mkt_payload odd_time = {.type = MKT_TR, .t = {9, MKT_TS_NTP_UTC_32, 0}};
static const struct mkt_payload odd_id = {.type = MKT_ID};

static unsigned long times_requested(size_t n)
{
    return longer(ASK, TP_DATA, odd_time, n, MKT_E_MAC);
}

static unsigned long times_granted(size_t n)
{
    return longer(GRANT, TP_DATA, odd_time, n, MKT_E_MAC);
}

static unsigned long times_resolved(size_t n)
{
    return longer(RESOLVE, TP_DATA, odd_time, n, MKT_E_MAC);
}

static unsigned long initiator_data_resolved(size_t n)
{
    return longer(RESOLVE, INITIATOR_DATA, odd_id, n, MKT_E_MAC);
}

/* Of a ticket that Bob opens himself. */
static unsigned long ticket_data_offered(size_t n)
{
    struct call *c = call_of(1, 1);
    struct mkt_payload head[8];
    struct mkt_message m;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, made(&c->init_buf)), MKT_OK);
    struct mkt_ticket_payload *t = &find(&m, MKT_TICKET, 0)->ticket;
    const size_t k = payloads_of(MKT_THDR, t->ticket_data, head, 8);
    t->ticket_data = chain(false, head, k - 1, odd_id, n, head + k - 1, 1);
    t->tp_data = longer_tp(t->tp_data, odd_time, n);
    c->init_buf.n = 0;
    expect_err("put", mkt_message_encode(&m, &c->init_buf), MKT_OK);
    const unsigned long took = refused(c->r, forged(made(&c->init_buf)), MKT_E_TICKET_MAC);
    call_free(c);
    return took;
}

/* ---- lists that have a limit ---- */

static unsigned long requested(size_t responders, size_t applications, size_t wishes)
{
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct play *p = play_new(MKT_SUITE_256, "DEFGHIJLMNO", false);
    struct mkt_buf out = {room[0], sizeof room[0], 0};
    p->settings[ALICE].bundle_size = p->settings[KMS].bundle_size = 1 << 16;
    for (size_t i = 0; i < responders; i++)
        p->policy.responder[i] = mkt_id_uri("sip:carol@example.com");
    for (size_t i = 0; i < applications; i++)
        p->policy.application[i] = text("application");
    for (size_t i = 0; i < wishes; i++)
        keys[i] = one_tgk;
    p->policy.n_responders = responders;
    p->policy.n_applications = applications;
    const struct mkt_request request = {.size = sizeof request, .policy = &p->policy, .keys = keys, .n_keys = wishes};
    expect_err("request", mkt_csb_make_request_init(play_bundle(p, ALICE), &request, &out), MKT_OK);
    const unsigned long took = refused(play_bundle(p, KMS), forged(made(&out)), MKT_E_MAC);
    play_free(p);
    return took;
}

static unsigned long responders_requested(size_t n)
{
    return requested(n, 1, 1);
}

static unsigned long applications_requested(size_t n)
{
    return requested(1, n, 1);
}

static unsigned long keys_requested(size_t n)
{
    return requested(1, 1, n);
}

/* MPKs among the keys that are asked for, which nobody counts. */
static unsigned long mpks_requested(size_t n)
{
    const struct mkt_payload mpk = {.type = MKT_KEY_DATA, .key_data = {.type = MKT_KEY_MPK}};
    struct mkt_payload kemac = {.type = MKT_KEMAC, .kemac.encr_data = chain(false, NULL, 0, mpk, n, NULL, 0)};
    struct play *p = play_new(MKT_SUITE_256, "DEFGHIJLMNO", false);
    struct mkt_buf out = {room[0], sizeof room[0], 0};
    const struct mkt_request request = {.size = sizeof request, .policy = &p->policy};
    struct mkt_message m;
    expect_err("request", mkt_csb_make_request_init(play_bundle(p, ALICE), &request, &out), MKT_OK);
    expect_err("get", mkt_message_decode(&m, made(&out)), MKT_OK);
    struct mkt_ticket_payload *t = &find(&m, MKT_TP, 0)->ticket;
    t->tp_data = longer_tp(t->tp_data, kemac, 1);
    out.n = 0;
    expect_err("put", mkt_message_encode(&m, &out), MKT_OK);
    const unsigned long took = refused(play_bundle(p, KMS), forged(made(&out)), MKT_E_MAC);
    play_free(p);
    return took;
}

/* The keys of a ticket: it is opened before the MAC of the message is looked at, or remembered. */
static unsigned long keys_offered(size_t n)
{
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct call *c = call_of(1, 1);
    for (size_t i = 0; i < n; i++)
        keys[i] = one_tgk;
    c->recipe.keys = keys;
    c->recipe.n_keys = n;
    make_init(c);
    const unsigned long took = refused(c->r, forged(made(&c->init_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

/* What a holder of the bundle reads: the last session, its TEK, and the last key. */
static unsigned long last_of_all_read(size_t n)
{
    static struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct call *c = call_of(n, 1);
    struct mkt_key_data key;
    struct mkt_cs cs;
    for (size_t i = 0; i < n; i++)
        keys[i] = one_tgk;
    c->recipe.keys = keys;
    c->recipe.n_keys = n;
    make_init(c);
    expect_err("offer", mkt_csb_take_offer(c->r, made(&c->init_buf), mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    c->resp_buf.n = 0;
    begin();
    const enum mkt_err errs[] = {mkt_csb_session_at(c->r, n - 1, &cs), mkt_csb_tek(c->r, (uint8_t)n, &c->resp_buf),
                                 mkt_csb_key(c->r, n - 1, &key)};
    const unsigned long took = end();
    for (size_t i = 0; i < 3; i++)
        expect_err("read", errs[i], MKT_OK);
    call_free(c);
    return took;
}

/* A play up to an offer, with a ticket of n keys that Bob remembers. */
static struct play *remembered(size_t n)
{
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk};
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct play *p = play_new(MKT_SUITE_256, "DEFGHIJLMNO", false);
    struct mkt_buf out = {room[0], sizeof room[0], 0};
    struct mkt_offer offer = {.size = sizeof offer, .responder = p->settings[BOB].self};
    const struct mkt_request request = {.size = sizeof request, .policy = &p->policy, .keys = keys, .n_keys = n};
    for (size_t i = 0; i < n; i++)
        keys[i] = one_tgk;
    for (size_t i = 0; i < PARTIES; i++)
        p->settings[i].bundle_size = 1 << 16;
    expect_err("request", mkt_csb_make_request_init(play_bundle(p, ALICE), &request, &out), MKT_OK);
    p->message[ASK] = made(&out);
    play_take(p, ASK);
    expect_err("grant", mkt_csb_grant(p->csb[KMS], &recipe, &offer.ticket), MKT_OK);
    out.n = 0;
    expect_err("grant", mkt_csb_make_request_resp(p->csb[KMS], offer.ticket, &out), MKT_OK);
    mkt_ticket_free(offer.ticket);
    p->message[GRANT] = made(&out);
    for (unsigned l = GRANT; l <= RESOLVED; l++) {
        if (!play_has(p, (enum leg)l))
            continue;
        if (l != GRANT)
            play_make(p, (enum leg)l);
        play_take(p, (enum leg)l);
    }
    out.n = 0;
    expect_err("resolved", mkt_csb_save_resolved(p->csb[BOB], &out), MKT_OK);
    p->player[BOB].resolved = made(&out);
    return p;
}

static unsigned long keys_remembered(size_t n)
{
    struct play *p = remembered(n);
    mkt_csb_free(p->csb[BOB]);
    p->csb[BOB] = NULL;
    const unsigned long took = refused(play_bundle(p, BOB), forged(p->message[OFFER]), MKT_E_MAC);
    play_free(p);
    return took;
}

static unsigned long keys_answered(size_t n)
{
    struct play *p = remembered(n);
    play_make(p, ANSWER);
    const unsigned long took = refused(p->csb[ALICE], forged(p->message[ANSWER]), MKT_E_MAC);
    play_free(p);
    return took;
}

static unsigned long extensions_offered(size_t n)
{
    struct call *c = call_of(1, 1);
    struct mkt_message m;
    c->offer.n_sp = 1;
    policies[0] = 0;
    make_init(c);
    expect_err("get", mkt_message_decode(&m, made(&c->init_buf)), MKT_OK);
    for (size_t i = 0; i < n; i++) {
        m.payload[m.n] = m.payload[m.n - 1];
        m.payload[m.n - 1] = (struct mkt_payload){.type = MKT_GENERAL_EXT, .general_ext = {9, text("extension")}};
        m.n++;
    }
    c->init_buf.n = 0;
    expect_err("put", mkt_message_encode(&m, &c->init_buf), MKT_OK);
    const unsigned long took = refused(c->r, forged(made(&c->init_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

static bool any_sp(void *user, const struct mkt_sp *offered_sp)
{
    (void)user, (void)offered_sp;
    return true;
}

static unsigned long parameters_offered(size_t n)
{
    static uint8_t params[1 << 16];
    struct call *c = call_of(1, 1);
    c->alice.host.acceptable = c->bob.host.acceptable = any_sp;
    memset(params, 0, sizeof params);
    for (size_t i = 0; i < 15; i++)
        sp[i].params = (struct mkt_span){params, 2 * n};
    make_init(c);
    const unsigned long took = refused(c->r, forged(made(&c->init_buf)), MKT_E_MAC);
    call_free(c);
    return took;
}

/* ---- texts ---- */

/* A text, a piece of it n times. */
static struct mkt_span words(const char *head, const char *again, size_t n, const char *tail)
{
    static uint8_t octets[1 << 20];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const char *parts[] = {head, again, tail};
    for (size_t part = 0; part < 3; part++)
        for (size_t i = 0; i < (part == 1 ? n : 1); i++) {
            const size_t length = strlen(parts[part]);
            ck_assert_uint_le(length, out.cap - out.n);
            memcpy(out.p + out.n, parts[part], length);
            out.n += length;
        }
    return exact((struct mkt_span){octets, out.n});
}

static const struct {
    const char *head, *again, *tail;
} sdps[] = {
    {"v=0\r\n", "a=x\r\n", ""},
    {"", "m=\n", ""},
    {"", "c=\n", ""},
    {"", "\n", ""},
    {"", "\r", ""},
    {"", "KeyMgmt: ", ""},
    {"", "a=key-mgmt:k k\n", ""},
    {"", "a=key-mgmt:k\r\n", ""},
    {"v=0\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:msrps://", "a@", ""},
    {"v=0\r\nm=message 1 TCP/TLS/MSRP *\r\n", "a=path\r\n", ""},
    {"v=0\r\n", "a=key-mgmt:mikey AQ==\r\n", ""},
    {"v=0\r\n", "a=key-mgmt:keyp1 x\r\n", "a=key-mgmt:mikey AQ==\r\n"},
    {"v=0\r\na=key-mgmt:", "keyp", " x\r\n"},
    {"v=0\r\na=key-mgmt:mikey ", "AQEB", "\r\n"},
    {"v=0\r\n", "m=message 1 TCP/TLS/MSRP *\r\na=path:msrps://a.example:1/s;tcp\r\n", ""},
    {"v=0\r\nc=IN IP4 192.0.2.1\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:", "msrps://a.example:1/s;tcp ",
     "msrps://a.example:1/s;tcp\r\n"},
    {"v=0\r\nc=IN IP4 192.0.2.1\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:msrps://", "a.", "example:1/s;tcp\r\n"},
    {"v=0\r\nc=IN IP4 192.0.2.1\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:msrps://[", "1:", "1]:1/s;tcp\r\n"},
    {"v=0\r\nc=IN IP4 192.0.2.1\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:msrps://a.example:1/s;tcp", ";x=y", "\r\n"},
    {"v=0\r\nc=IN IP4 ", "a-", "a.example\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:msrps://a.example:1/s;tcp\r\n"},
    {"v=0\r\nc=IN IP4 ", "1", "\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:msrps://a.example:1/s;tcp\r\n"},
    {"v=0\r\nm=message 1 TCP/TLS/MSRP", " *", "\r\na=path:msrps://a.example:1/s;tcp\r\n"},
    {"v=0\r\nm=message 1 TCP", "/TLS", " *\r\na=path:msrps://a.example:1/s;tcp\r\n"},
    {"v=0\r\nm=message ", "0", "1 TCP/TLS/MSRP *\r\na=path:msrps://a.example:1/s;tcp\r\n"},
    {"v=0\r\nm=message 1 TCP/TLS/MSRP *\r\n", "a=setup:active\r\n", ""},
    {"v=0\r\nm=message 1 TCP/TLS/MSRP *\r\n", "c=IN IP4 192.0.2.1\r\n", ""},
};

/* A piece n times at session level, before n times a media section. */
static const struct {
    const char *session, *section;
} levels[] = {
    {"a=x\r\n", "m=a 1 b c\r\n"},
    {"c=\n", "m=\n"},
    {"a=setup:active\r\n", "m=message 1 TCP/TLS/MSRP *\r\n"},
    {"a=key-mgmt:k k\r\n", "m=message 1 TCP/TLS/MSRP *\r\na=path:msrps://a.example:1/s;tcp\r\n"},
    {"a=key-mgmt:mikey AQ==\r\n", "m=application 1 TCP/TLS/BFCP *\r\na=key-mgmt:k k\r\n"},
    {"a=path:msrps://a.example:1/s;tcp\r\n", "m=message 1 TCP/TLS/MSRP *\r\n"},
    {"a=connection:new\r\n", "m=application 1 TCP/TLS/BFCP *\r\nc=IN IP4 192.0.2.1\r\n"},
    {"", "m=message 1 TCP/TLS/MSRP *\r\na=x\r\na=path:msrps://a.example:1/s;tcp\r\na=x\r\n"},
};
enum { LEVELS = sizeof levels / sizeof *levels };
enum { SDPS = sizeof sdps / sizeof *sdps };

static size_t which; /* of the texts */

static struct mkt_span sdp_of(size_t n)
{
    static uint8_t octets[1 << 20];
    if (which >= SDPS) {
        const struct mkt_span session = words("v=0\r\n", levels[which - SDPS].session, n, "");
        const struct mkt_span sections = words("", levels[which - SDPS].section, n, "");
        memcpy(octets, session.p, session.n);
        memcpy(octets + session.n, sections.p, sections.n);
        return exact((struct mkt_span){octets, session.n + sections.n});
    }
    return words(sdps[which].head, sdps[which].again, n, sdps[which].tail);
}

/* All that is read of one description, section by section, whatever it answers. */
static unsigned long read_sections(size_t n, bool backwards)
{
    const struct mkt_span text_of = sdp_of(n);
    struct mkt_buf out = {room[0], sizeof room[0], 0};
    struct mkt_sdp_media m;
    struct mkt_sdp sdp;
    enum mkt_setup setup;
    begin();
    const enum mkt_err err = mkt_sdp_parse(&sdp, text_of);
    for (size_t i = 0; err == MKT_OK && i <= sdp.sections; i++) {
        const size_t media = i == 0 ? MKT_SDP_SESSION : backwards ? sdp.sections - i : i - 1;
        struct mkt_span value = {NULL, 0};
        out.n = 0;
        (void)!mkt_sdp_key_mgmt_decode(&sdp, media, &out);
        out.n = 0;
        (void)!mkt_sdp_protocols(&sdp, media, &out);
        (void)!mkt_sdp_media_parse(&sdp, media, &m);
        (void)!mkt_sdp_attribute(&sdp, media, "path", &value);
        value = (struct mkt_span){NULL, 0};
        while (mkt_sdp_attribute(&sdp, media, "x", &value) == MKT_OK && value.p != NULL)
            ;
        (void)!mkt_setup_parse(&sdp, media, &setup);
    }
    const unsigned long took = end();
    free_all();
    return took;
}

static unsigned long sdp_read(size_t n)
{
    return read_sections(n, false);
}

static unsigned long sdp_read_backwards(size_t n)
{
    return read_sections(n, true);
}

/* What both ends say of each connection, now and before, and what the offer alone says of the keys. */
static unsigned long connection_read(size_t n)
{
    const struct mkt_span text_of = sdp_of(n);
    struct mkt_sdp offer, answer;
    const struct mkt_sdp_exchange now = {.size = sizeof now, .offer = &offer, .answer = &answer, .offerer = true};
    struct mkt_connection connection;
    enum mkt_keying keying;
    begin();
    enum mkt_err err = mkt_sdp_parse(&offer, text_of);
    err = err == MKT_OK ? mkt_sdp_parse(&answer, text_of) : err;
    for (size_t media = 0; err == MKT_OK && media < offer.sections; media++) {
        struct mkt_sdp_kept kept = {{0}};
        (void)!mkt_connection_decide(&now, &kept, media, &connection, &kept);
        (void)!mkt_connection_keying(&offer, media, false, &kept, &keying);
        (void)!mkt_connection_decide(&now, &kept, media, &connection, &kept);
    }
    const unsigned long took = end();
    free_all();
    return took;
}

/* A long name in c= and a path of many hops: each is compared with the other. */
static unsigned long path_and_address(size_t n)
{
    const struct mkt_span long_name = words("", "a-", 8 * n, "");
    const struct mkt_span path = words("", "msrps://a.example:1/s;tcp ", n, "msrps://a.example:1/s;tcp\r\n");
    struct mkt_buf out = {room[0], sizeof room[0], 0};
    const struct mkt_span parts[] = {text("v=0\r\nc=IN IP4 "), long_name,
                                     text(".example\r\nm=message 1 TCP/TLS/MSRP *\r\na=path:"), path};
    for (size_t i = 0; i < 4; i++) {
        memcpy(out.p + out.n, parts[i].p, parts[i].n);
        out.n += parts[i].n;
    }
    const struct mkt_span sdp = made(&out);
    struct mkt_sdp offer, answer;
    const struct mkt_sdp_exchange now = {.size = sizeof now, .offer = &offer, .answer = &answer, .offerer = true};
    struct mkt_sdp_kept kept = {{0}};
    struct mkt_connection connection;
    begin();
    if (mkt_sdp_parse(&offer, sdp) == MKT_OK && mkt_sdp_parse(&answer, sdp) == MKT_OK)
        (void)!mkt_connection_decide(&now, &kept, 0, &connection, &kept);
    const unsigned long took = end();
    free_all();
    return took;
}

static const struct {
    const char *head, *again, *tail;
} headers[] = {
    {"KeyMgmt: prot=mikey; data=\"AQ==\"", ", prot=keyp1; data=\"AQ==\"", ""},
    {"KeyMgmt: prot=mikey; data=\"AQ==\"", ", prot=mikey; uri=\"rtsp://a\"; data=\"AQ==\"", ""},
    {"KeyMgmt: prot=mikey; data=\"", "AQEB", "\""},
    {"", "KeyMgmt: ", ""},
    {"", "a=x\n", ""},
    {"", "\r", ""},
    {"", "\n", ""},
    {"KeyMgmt: prot=mikey;", " \t", " data=\"AQ==\""},
    {"KeyMgmt: prot=mikey;", "\r\n ", " data=\"AQ==\""},
    {"KeyMgmt: prot=mikey; uri=\"", "rtsp", "\"; data=\"AQ==\""},
};
enum { HEADERS = sizeof headers / sizeof *headers };

static unsigned long header_read(size_t n)
{
    struct mkt_buf out = {room[0], sizeof room[0], 0};
    const struct mkt_span header = words(headers[which].head, headers[which].again, n, headers[which].tail);
    begin();
    (void)!mkt_keymgmt_decode(header, text(""), &out);
    const unsigned long took = end();
    free_all();
    return took;
}

/* ---- */

/* Twice and four times as many: what comes with more is twice as much again, but for a fifth. */
static void expect_linear(const char *name, unsigned long (*of)(size_t n), size_t n)
{
    enum { NOISE = 500 };
    const unsigned long one = of(n), two = of(2 * n), four = of(4 * n);
    ck_assert_msg(four - two <= 2 * (two - one) + (two - one) / 5 + NOISE, "%s: %lu, %lu, %lu steps", name, one, two,
                  four);
}

/* The number of the i-th section that is asked for, out of n. */
static size_t in_order(size_t i, size_t n)
{
    return i < n ? i : MKT_SDP_SESSION;
}

static size_t backwards(size_t i, size_t n)
{
    return n - 1 - i; /* and then the session */
}

static size_t every_third(size_t i, size_t n)
{
    return 3 * i < n ? 3 * i : MKT_SDP_SESSION;
}

static size_t every_third_backwards(size_t i, size_t n)
{
    return 3 * i < n ? n - 1 - 3 * i : MKT_SDP_SESSION;
}

static void ask(struct mkt_sdp *sdp, size_t media)
{
    struct mkt_buf out = {room[0], sizeof room[0], 0};
    struct mkt_sdp_media m;
    enum mkt_setup setup;
    (void)!mkt_sdp_key_mgmt_decode(sdp, media, &out);
    (void)!mkt_sdp_protocols(sdp, media, &out);
    (void)!mkt_sdp_media_parse(sdp, media, &m);
    (void)!mkt_setup_parse(sdp, media, &setup);
}

/* Once to check it, and once when its section is asked for, with all questions. */
START_TEST(each_line_of_a_text_is_looked_at_twice_at_most)
{
    static size_t (*const orders[])(size_t i, size_t n) = {in_order, backwards, every_third, every_third_backwards};
    for (which = 0; which < SDPS + LEVELS; which++) {
        struct mkt_sdp sdp;
        size_t lines = 0, looks = 0;
        memset(looked.times, 0, sizeof looked.times);
        looked.text = sdp_of(300);
        ck_assert_uint_le(looked.text.n, sizeof looked.times / sizeof *looked.times);
        begin();
        const enum mkt_err err = mkt_sdp_parse(&sdp, looked.text);
        for (size_t i = 0; err == MKT_OK && i <= sdp.sections; i++)
            for (int again = 0; again < 2; again++)
                ask(&sdp, orders[_i](i, sdp.sections));
        end();
        for (size_t at = 0; err == MKT_OK && at < looked.text.n; at++) {
            const bool begins = at == 0 || looked.text.p[at - 1] == '\n';
            ck_assert_msg(!begins || looked.times[at] <= 2, "text %zu, octet %zu: %u looks", which, at,
                          looked.times[at]);
            lines += begins;
            looks += looked.times[at];
        }
        ck_assert_uint_ge(looks, lines);
        looked.text.n = 0;
        free_all();
    }
}
END_TEST

/* In any order a twelfth of the text is searched for a section: with that, a question takes a step an octet at most. */
START_TEST(a_section_is_found_without_a_search_of_the_whole_text)
{
    static const char *const sections[] = {"m=a 9 b c\n", "m=a 9 b c\na=path:msrps://a.example:1/s;tcp\na=x\na=m\n"};
    enum { SECTIONS = 997, PRIME = 367 };
    struct mkt_sdp sdp;
    struct mkt_sdp_media m;
    const struct mkt_span text_of = words("v=0\n", sections[_i], SECTIONS, "");
    expect_err("parse", mkt_sdp_parse(&sdp, text_of), MKT_OK);
    ck_assert_uint_eq(sdp.sections, SECTIONS);
    for (size_t i = 0; i < SECTIONS; i++) {
        begin();
        expect_err("media", mkt_sdp_media_parse(&sdp, i * PRIME % SECTIONS, &m), MKT_OK);
        const unsigned long one = end();
        ck_assert_msg(one <= text_of.n, "section %zu: %lu steps in %zu octets", i * PRIME % SECTIONS, one, text_of.n);
    }
    free_all();
}
END_TEST

static const struct {
    const char *name;
    unsigned long (*of)(size_t n);
    size_t n;
} growing[] = {
    {"sessions offered", sessions_offered, 60},
    {"policies offered", policies_offered, 60},
    {"sessions answered", sessions_answered, 60},
    {"sessions updated", sessions_updated, 60},
    {"sessions of an answer to an update", updates_answered, 60},
    {"policies updated", policies_updated, 60},
    {"sessions complained about", sessions_complained_about, 60},
    {"times requested", times_requested, 500},
    {"times granted", times_granted, 500},
    {"times resolved", times_resolved, 500},
    {"Initiator Data resolved", initiator_data_resolved, 500},
    {"Ticket Data offered", ticket_data_offered, 500},
    {"responders requested", responders_requested, 4},
    {"applications requested", applications_requested, 2},
    {"keys requested", keys_requested, 7},
    {"MPKs requested", mpks_requested, 500},
    {"extensions offered", extensions_offered, 4},
    {"parameters offered", parameters_offered, 500},
    {"the last session and key read", last_of_all_read, 7},
    {"a path and an address", path_and_address, 100},
};
enum { GROWING = sizeof growing / sizeof *growing };

START_TEST(linear)
{
    expect_linear(growing[_i].name, growing[_i].of, growing[_i].n);
}
END_TEST

/* A ticket has 32 keys at most, whose SPIs are compared with each other: no key costs more than it does among few. */
START_TEST(keys_of_a_ticket)
{
    static unsigned long (*const of[])(size_t n) = {keys_offered, keys_remembered, keys_answered};
    const unsigned long few = of[_i](7), twice = of[_i](14), most = of[_i](28);
    ck_assert_msg(twice <= 2 * few && most <= 2 * twice, "%lu, %lu, %lu steps", few, twice, most);
}
END_TEST

START_TEST(linear_texts)
{
    for (which = 0; which < SDPS + LEVELS; which++) {
        const char *name = which < SDPS ? sdps[which].again : levels[which - SDPS].session;
        expect_linear(name, sdp_read, 500);
        expect_linear(name, sdp_read_backwards, 500);
        expect_linear(name, connection_read, 500);
    }
    for (which = 0; which < HEADERS; which++)
        expect_linear(headers[which].again, header_read, 500);
}
END_TEST

/* ---- envelopes: nobody can tell by the steps if one opens ---- */

/* The host's own steps do not count. */
static enum mkt_err verify_uncounted(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    const bool before = counting;
    counting = false;
    const enum mkt_err err =
        ((struct play *)user)->signer[KMS].keys.verify(&((struct play *)user)->signer[KMS], message, signer);
    counting = before;
    return err;
}

static enum mkt_err open_uncounted(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                                   size_t length)
{
    struct signer *signer = &((struct play *)user)->signer[KMS];
    const bool before = counting;
    counting = false;
    const enum mkt_err err = signer->keys.open(signer, chash, envelope, key, length);
    counting = before;
    return err;
}

/* Of a KMS that takes a REQUEST_INIT_PK with an envelope of its own, and answers it. */
static unsigned long steps_to_answer(struct mkt_span envelope, enum mkt_err taken)
{
    struct play *p = play_sign(play_new(MKT_SUITE_256, "DEFGHIJLMNO", false));
    struct mkt_public_keys keys = p->signer[KMS].keys;
    struct mkt_message m;
    uint8_t octets[8192], answer[4096];
    struct mkt_buf out = {octets, sizeof octets, 0}, resp = {answer, sizeof answer, 0};
    keys.user = p;
    keys.verify = verify_uncounted;
    keys.open = open_uncounted;
    p->settings[KMS].public_keys = &keys;
    play_make(p, ASK);
    expect_err("get", mkt_message_decode(&m, p->message[ASK]), MKT_OK);
    if (envelope.n > 0)
        find(&m, MKT_PKE, 0)->pke.data = envelope;
    expect_err("put", mkt_message_encode(&m, &out), MKT_OK);
    const struct mkt_span parts[] = {
        {octets, out.n - SIGNATURE}, p->settings[ALICE].self.data, p->settings[KMS].self.data};
    const struct mkt_span signature = signature_of(&p->settings[ALICE].self, parts, 3);
    memcpy(octets + out.n - SIGNATURE, signature.p, signature.n);
    play_bundle(p, KMS);
    begin();
    expect_err("take", mkt_csb_take(p->csb[KMS], (struct mkt_span){octets, out.n}), MKT_OK);
    expect_err("answer", play_put(p, GRANT, p->csb[KMS], &resp), MKT_OK);
    const unsigned long n = end();
    expect_err("answer", mkt_csb_take(play_bundle(p, ALICE), mkt_buf_span(&resp)), taken);
    play_free(p);
    return n;
}

START_TEST(an_envelope_that_does_not_open_takes_the_same_steps)
{
    static const size_t lengths[] = {0, 1, 16, 31, 33, 200, 253};
    static const uint8_t octets[ENVELOPE] = {0xff, 1};
    const struct mkt_id kms = mkt_id_uri("sip:kms@example.com"), alice = mkt_id_uri("sip:alice@example.com");
    const struct mkt_span none = {NULL, 0}, whole = {octets, sizeof octets}, key = {octets, 32};
    const unsigned long n = steps_to_answer(none, MKT_OK);
    ck_assert_uint_gt(n, 1000);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        ck_assert_uint_eq(steps_to_answer(envelope_of(&kms, (struct mkt_span){octets, lengths[i]}), MKT_E_MAC), n);
    ck_assert_uint_eq(steps_to_answer(envelope_of(&alice, key), MKT_E_MAC), n);
    ck_assert_uint_eq(steps_to_answer(whole, MKT_E_MAC), n);
    ck_assert_uint_eq(steps_to_answer(envelope_of(&kms, key), MKT_E_MAC), n); /* it opens, and is not Alice's */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("steps");
    TCase *tcase = tcase_create("steps");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, linear, 0, GROWING);
    tcase_add_loop_test(tcase, keys_of_a_ticket, 0, 3);
    tcase_add_test(tcase, linear_texts);
    tcase_add_loop_test(tcase, each_line_of_a_text_is_looked_at_twice_at_most, 0, 4);
    tcase_add_loop_test(tcase, a_section_is_found_without_a_search_of_the_whole_text, 0, 2);
    tcase_add_test(tcase, an_envelope_that_does_not_open_takes_the_same_steps);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
