/* SPDX-License-Identifier: BSD-3-Clause */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t alice_psk[32] = {1}, bob_psk[32] = {2}, tpk[TPK_OCTETS] = {3};

void must(enum mkt_err err)
{
    if (err == MKT_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", mkt_err_name(err), mkt_err_text(err));
    exit(1);
}

size_t stage_key(const struct stage *s)
{
    return s->suite == MKT_SUITE_256 ? 32 : 16;
}

/* ---- hosts ---- */

static enum mkt_err now(void *user, mkt_ntp *ntp)
{
    (void)user;
    *ntp = (mkt_ntp)3960616022 << 32;
    return MKT_OK;
}

static enum mkt_err draw(void *user, uint8_t *out, size_t n)
{
    struct party *party = user;
    for (size_t at = 0; at < n; at += sizeof party->drawn) {
        party->drawn = party->drawn * 6364136223846793005u + 1442695040888963407u;
        memcpy(out + at, &party->drawn, n - at < sizeof party->drawn ? n - at : sizeof party->drawn);
    }
    return MKT_OK;
}

static enum mkt_err give_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user;
    (void)id;
    key->n = policy->prf == MKT_PRF_MIKEY_1 ? 16 : 32;
    memcpy(key->p, tpk, key->n);
    return MKT_OK;
}

/* The key of Alice or Bob, as long as the one that the KMS itself was cast with. */
static enum mkt_err give_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct party *kms = user;
    const struct mkt_id alice = mkt_id_uri("sip:alice@example.com"), bob = mkt_id_uri("sip:bob@example.com");
    (void)name;
    const bool is_alice = id != NULL && mkt_id_equal(id, &alice);
    psk->key.n = kms->kms.psk.n;
    memcpy(psk->key.p, is_alice ? alice_psk : bob_psk, psk->key.n);
    psk->owner = is_alice ? alice : bob;
    return MKT_OK;
}

/* ---- parties ---- */

static void cast(struct stage *s, struct party *party, enum mkt_role role, const char *name, const uint8_t psk[32])
{
    party->host = (struct mkt_host){.size = sizeof(struct mkt_host), .user = party, .now = now, .random = draw};
    party->role = role;
    party->drawn = psk[0] + 17u * (role == MKT_KMS);
    party->kms = (struct mkt_credential){mkt_id_uri("http://kms.example.com"), {0}, {psk, stage_key(s)}};
    mkt_settings_init(&party->settings, mkt_id_uri(name));
    party->settings.kms = &party->kms;
}

void stage_close(struct stage *s)
{
    stage_leave(s);
    mkt_ticket_free(s->granted);
    mkt_ticket_free(s->ticket);
}

static struct party *parties(struct stage *s, size_t i)
{
    struct party *const all[] = {&s->alice, &s->bob, &s->carl, &s->kms};
    return i < sizeof all / sizeof *all ? all[i] : NULL;
}

static enum mkt_err remember_nothing(void *user, struct mkt_span tag, mkt_ntp until)
{
    (void)user, (void)tag, (void)until;
    return MKT_OK;
}

/* There is no KMS without a replay cache, but the hash of each message for it is no part of what is measured. */
static void enter(struct party *p)
{
    p->host.replay = remember_nothing;
    must(mkt_csb_new(&p->csb, p->role, &p->host, &p->settings));
    p->host.replay = NULL;
}

void stage_enter(struct stage *s)
{
    enter(&s->alice);
    enter(s->responder);
    if (s->responder == &s->bob)
        enter(&s->kms);
}

void stage_leave(struct stage *s)
{
    struct party *p;
    for (size_t i = 0; (p = parties(s, i)) != NULL; i++) {
        mkt_csb_free(p->csb);
        p->csb = NULL;
    }
}

void stage_open(struct stage *s, enum mkt_suite suite, bool forked)
{
    memset(s, 0, sizeof *s);
    s->suite = suite;
    s->forked = forked;
    s->responder = &s->bob;
    cast(s, &s->alice, MKT_INITIATOR, "sip:alice@example.com", alice_psk);
    cast(s, &s->bob, MKT_RESPONDER, "sip:bob@example.com", bob_psk);
    cast(s, &s->carl, MKT_RESPONDER, "sip:bob@example.com", bob_psk);
    cast(s, &s->kms, MKT_KMS, "http://kms.example.com", tpk);
    s->kms.host.psk = give_psk;
    s->kms.host.tpk = s->carl.host.tpk = give_tpk;
    s->kms.settings.kms = NULL;
    s->kms.settings.application = mkt_span_text("");
    s->policy = mkt_policy_default(suite);
    must(mkt_flags_parse(&s->policy.flags, forked ? "DEFGHIJLNO" : "DFGHJLNO"));
    s->policy.kms = s->kms.settings.self;
    s->policy.initiator = s->alice.settings.self;
    s->policy.application[s->policy.n_applications++] = mkt_span_text("msrp");
    s->policy.application[s->policy.n_applications++] = mkt_span_text("bfcp");
    s->policy.responder[s->policy.n_responders++] = s->bob.settings.self;
    s->policy.responder[s->policy.n_responders++] = mkt_id_uri("sip:helpdesk@example.com");
    s->policy.responder[s->policy.n_responders++] = mkt_id_uri("sip:conference-factory@example.com");
    s->policy.has_start = s->policy.has_end = true;
    s->policy.start = (mkt_ntp)3960600000 << 32;
    s->policy.end = (mkt_ntp)3960700000 << 32;
    stage_enter(s);
    enter(&s->carl);
}

/* A bundle is one allocation, which nothing but its own pointers points into: its octets are all of it. */
void stage_keep(struct stage *s)
{
    struct party *p;
    for (size_t i = 0; (p = parties(s, i)) != NULL; i++) {
        if (p->csb != NULL)
            memcpy(p->kept, p->csb, sizeof p->kept);
        p->kept_drawn = p->drawn;
        p->acts = true;
    }
}

void stage_watch(struct stage *s)
{
    struct party *p;
    for (size_t i = 0; (p = parties(s, i)) != NULL; i++)
        p->acts = p->csb != NULL && memcmp(p->kept, p->csb, sizeof p->kept) != 0;
}

void stage_restore(struct stage *s)
{
    struct party *p;
    for (size_t i = 0; (p = parties(s, i)) != NULL; i++) {
        if (p->csb != NULL && p->acts)
            memcpy(p->csb, p->kept, sizeof p->kept);
        p->drawn = p->kept_drawn;
    }
    mkt_ticket_free(s->spare);
    s->spare = NULL;
}

/* ---- steps ---- */

static struct mkt_buf fresh(struct stage *s, enum message m)
{
    return (struct mkt_buf){s->octets[m], STAGE_OCTETS, 0};
}

static struct mkt_span made(const struct stage *s, enum message m)
{
    return (struct mkt_span){s->octets[m], s->length[m]};
}

static void take(struct stage *s, struct party *party, enum message m)
{
    must(mkt_csb_take_offer(party->csb, made(s, m), mkt_span_text("mikey")));
}

static const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};

void make_request_init(struct stage *s)
{
    const struct mkt_request request = {.size = sizeof request, .policy = &s->policy, .keys = &tgk, .n_keys = 1};
    struct mkt_buf out = fresh(s, REQUEST_INIT);
    must(mkt_csb_make_request_init(s->alice.csb, &request, &out));
    s->length[REQUEST_INIT] = out.n;
}

void take_request_init(struct stage *s)
{
    take(s, &s->kms, REQUEST_INIT);
}

void make_ticket(struct stage *s)
{
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = {tpk, stage_key(s)}};
    s->spare = s->granted;
    must(mkt_csb_grant(s->kms.csb, &recipe, &s->granted));
}

void make_request_resp(struct stage *s)
{
    struct mkt_buf out = fresh(s, REQUEST_RESP);
    must(mkt_csb_make_request_resp(s->kms.csb, s->granted, &out));
    s->length[REQUEST_RESP] = out.n;
}

void take_request_resp(struct stage *s)
{
    take(s, &s->alice, REQUEST_RESP);
}

void keep_ticket(struct stage *s)
{
    mkt_ticket_free(s->ticket);
    must(mkt_csb_take_ticket(s->alice.csb, &s->ticket));
}

/* A.1: all of TICKET but Next Payload, Initiator Data with its length of two octets, and its own MAC. */
static void look_at_ticket(struct stage *s)
{
    struct mkt_message m;
    must(mkt_message_decode(&m, made(s, TRANSFER_INIT)));
    const struct mkt_payload *ticket = mkt_message_find(&m, MKT_TICKET, 0);
    const size_t mac = s->suite == MKT_SUITE_256 ? 32 : 20;
    s->ticket_covered = ticket->octets.n - 1 - 2 - ticket->ticket.initiator_data.n - mac;
}

void make_transfer_init(struct stage *s)
{
    const struct mkt_offer offer = {.size = sizeof offer, .ticket = s->ticket, .responder = s->bob.settings.self};
    struct mkt_buf out = fresh(s, TRANSFER_INIT);
    must(mkt_csb_make_transfer_init(s->alice.csb, &offer, &out));
    s->length[TRANSFER_INIT] = out.n;
    if (s->ticket_covered == 0)
        look_at_ticket(s);
}

void take_transfer_init_with_tpk(struct stage *s)
{
    take(s, &s->carl, TRANSFER_INIT);
}

void take_transfer_init(struct stage *s)
{
    take(s, &s->bob, TRANSFER_INIT);
}

void make_resolve_init(struct stage *s)
{
    struct mkt_buf out = fresh(s, RESOLVE_INIT);
    must(mkt_csb_make_resolve_init(s->bob.csb, &out));
    s->length[RESOLVE_INIT] = out.n;
}

void take_resolve_init(struct stage *s)
{
    take(s, &s->kms, RESOLVE_INIT);
}

void make_resolve_resp(struct stage *s)
{
    struct mkt_buf out = fresh(s, RESOLVE_RESP);
    must(mkt_csb_make_resolve_resp(s->kms.csb, &out));
    s->length[RESOLVE_RESP] = out.n;
}

void take_resolve_resp(struct stage *s)
{
    take(s, &s->bob, RESOLVE_RESP);
}

void make_transfer_resp(struct stage *s)
{
    struct mkt_buf out = fresh(s, TRANSFER_RESP);
    must(mkt_csb_make_transfer_resp(s->responder->csb, NULL, &out));
    s->length[TRANSFER_RESP] = out.n;
}

void take_transfer_resp(struct stage *s)
{
    take(s, &s->alice, TRANSFER_RESP);
}

static void tek(const struct party *party, uint8_t octets[TEK_OCTETS])
{
    struct mkt_buf out = {octets, TEK_OCTETS, 0};
    must(mkt_csb_tek(party->csb, 1, &out));
}

void derive_tek(struct stage *s)
{
    tek(&s->alice, s->tek);
}

void derive_tek_too(struct stage *s)
{
    uint8_t other[TEK_OCTETS] = {0};
    tek(s->responder, other);
    must(memcmp(s->tek, other, stage_key(s)) == 0 ? MKT_OK : MKT_E_MAC);
}

/* ---- the codec and SDP ---- */

void decode_transfer_init(struct stage *s)
{
    struct mkt_message m;
    must(mkt_message_decode(&m, made(s, TRANSFER_INIT)));
}

/* The message to be written is read once. */
void encode_transfer_init(struct stage *s)
{
    uint8_t octets[STAGE_OCTETS];
    struct mkt_buf out = {octets, sizeof octets, 0};
    if (s->to_encode.n == 0)
        must(mkt_message_decode(&s->to_encode, made(s, TRANSFER_INIT)));
    must(mkt_message_encode(&s->to_encode, &out));
}

static const char before[] = "v=0\r\n"
                             "o=alice 2890844526 2890844526 IN IP4 192.0.2.1\r\n"
                             "s=-\r\n"
                             "c=IN IP4 192.0.2.1\r\n"
                             "t=0 0\r\n"
                             "m=message 2855 TCP/TLS/MSRP *\r\n"
                             "a=setup:actpass\r\n"
                             "a=accept-types:text/plain message/cpim\r\n"
                             "a=path:msrps://192.0.2.1:2855/iau39soe2843z;tcp\r\n";

/* An offer that holds the TRANSFER_INIT, written once. */
void find_in_sdp(struct stage *s)
{
    uint8_t octets[STAGE_OCTETS];
    struct mkt_buf out = {octets, sizeof octets, 0};
    if (s->sdp_n == 0) {
        struct mkt_buf sdp = {s->sdp, sizeof s->sdp - 2, sizeof before - 1};
        memcpy(s->sdp, before, sizeof before);
        must(mkt_sdp_key_mgmt_encode(made(s, TRANSFER_INIT), &sdp));
        memcpy(s->sdp + sdp.n, "\r\n", 2);
        s->sdp_n = sdp.n + 2;
    }
    struct mkt_sdp parsed;
    must(mkt_sdp_parse(&parsed, (struct mkt_span){s->sdp, s->sdp_n}));
    must(mkt_sdp_key_mgmt_decode(&parsed, 0, &out));
}
