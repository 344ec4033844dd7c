/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole call, message by message: alice has a ticket granted by her KMS, bob has it resolved, by the same one or
 * through that of his home (RFC 6043 section 10); then each of them updates the bundle. All of it in the header: for
 * one file of a program.
 */
#ifndef TESTS_PLAY_H
#define TESTS_PLAY_H

#include "call.h"
#include "signer.h"

#include <stdlib.h>
#include <string.h>

enum party { ALICE, BOB, KMS, HOME, PARTIES };

/* The messages, in their order. */
enum leg {
    ASK,
    GRANT,
    OFFER,
    RESOLVE,
    PASS_ON,
    PASS_BACK,
    RESOLVED,
    ANSWER,
    ALICE_UPDATES,
    BOB_ANSWERS,
    BOB_UPDATES,
    ALICE_ANSWERS,
    LEGS
};

struct play {
    struct player player[PARTIES];
    struct mkt_settings settings[PARTIES];
    struct mkt_credential credential[PARTIES]; /* with the KMS that the party asks */
    struct signer signer[PARTIES];             /* once play_sign() was called */
    struct mkt_csb *csb[PARTIES];
    bool two_kms;
    struct mkt_policy policy;
    struct mkt_span message[LEGS]; /* as it was made */
};

static const enum mkt_role play_role[PARTIES] = {MKT_INITIATOR, MKT_RESPONDER, MKT_KMS, MKT_KMS};

static const enum mkt_data_type play_type[LEGS] = {
    [ASK] = MKT_REQUEST_INIT_PSK,      [GRANT] = MKT_REQUEST_RESP,        [OFFER] = MKT_TRANSFER_INIT,
    [RESOLVE] = MKT_RESOLVE_INIT_PSK,  [PASS_ON] = MKT_RESOLVE_INIT_PSK,  [PASS_BACK] = MKT_RESOLVE_RESP,
    [RESOLVED] = MKT_RESOLVE_RESP,     [ANSWER] = MKT_TRANSFER_RESP,      [ALICE_UPDATES] = MKT_TRANSFER_INIT,
    [BOB_ANSWERS] = MKT_TRANSFER_RESP, [BOB_UPDATES] = MKT_TRANSFER_INIT, [ALICE_ANSWERS] = MKT_TRANSFER_RESP,
};

static inline struct play *play_new(enum mkt_suite suite, const char *flags, bool two_kms)
{
    static const char *const names[PARTIES] = {"sip:alice@example.com", "sip:bob@example.com", "sip:kms@example.com",
                                               "sip:kms@home.example.com"};
    static const char *const psks[PARTIES] = {"alice and her KMS share this key", "bob and his KMS share this key..",
                                              "", "two KMSs share this key, as well."};
    static const char *const keys[PARTIES] = {"alice-key", "bob-key", "", "home-key"};
    const size_t n = suite == MKT_SUITE_256 ? 32 : 16;
    const enum party bobs = two_kms ? HOME : KMS;
    struct play *p = calloc(1, sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < PARTIES; i++) {
        player_init(&p->player[i], ntp(NOW), i == KMS ? tpk : text(""));
        p->player[i].next_random = 1000 * i; /* not the octets that another draws */
        mkt_settings_init(&p->settings[i], mkt_id_uri(names[i]));
        if (i == KMS)
            continue;
        const enum party asked = i == BOB ? bobs : KMS;
        p->settings[i].kms = &p->credential[i];
        p->credential[i] =
            (struct mkt_credential){mkt_id_uri(names[asked]), mkt_id_bytes(keys[i]), {text(psks[i]).p, n}};
    }
    for (size_t i = 0; i < PARTIES; i++) {
        struct player *kms = &p->player[i == BOB ? bobs : KMS];
        if (i != KMS)
            kms->friend[kms->n_friends++] =
                (struct friend){p->credential[i].name, p->settings[i].self, p->credential[i].psk, i == HOME};
    }
    p->two_kms = two_kms;
    p->policy = granted(suite);
    p->policy.kms = p->settings[KMS].self;
    expect_err("flags", mkt_flags_parse(&p->policy.flags, flags), MKT_OK);
    return p;
}

/* All have certificates in place of keys with their KMS. */
static inline struct play *play_sign(struct play *p)
{
    for (size_t i = 0; i < PARTIES; i++) {
        signer_init(&p->signer[i], p->settings[i].self);
        p->signer[i].chash = i == BOB;
        p->settings[i].public_keys = &p->signer[i].keys;
        p->settings[i].bundle_size = MKT_CSB_SIZE_PK;
        p->credential[i].psk = text("");
        p->credential[i].name.data = text("");
    }
    p->signer[KMS].relay = p->settings[HOME].self;
    return p;
}

static inline struct mkt_csb *play_bundle(struct play *p, enum party who)
{
    if (p->csb[who] == NULL)
        expect_err("new", mkt_csb_new(&p->csb[who], play_role[who], &p->player[who].host, &p->settings[who]), MKT_OK);
    return p->csb[who];
}

static inline void play_free(struct play *p)
{
    for (size_t i = 0; i < PARTIES; i++) {
        mkt_csb_free(p->csb[i]);
        ck_assert_uint_eq(p->player[i].live, 0);
    }
    free(p);
    free_all();
}

/* Whether a call has a message. */
static inline bool play_has(const struct play *p, enum leg leg)
{
    if (leg == PASS_ON || leg == PASS_BACK)
        return p->two_kms;
    return leg != ANSWER || (p->policy.flags & MKT_FLAG_F) != 0;
}

static inline enum party play_from(const struct play *p, enum leg leg)
{
    const enum party bobs = p->two_kms ? HOME : KMS;
    const enum party from[LEGS] = {ALICE, KMS, ALICE, BOB, HOME, KMS, bobs, BOB, ALICE, BOB, BOB, ALICE};
    return from[leg];
}

static inline enum party play_to(const struct play *p, enum leg leg)
{
    const enum party bobs = p->two_kms ? HOME : KMS;
    const enum party to[LEGS] = {KMS, ALICE, BOB, bobs, KMS, HOME, BOB, ALICE, BOB, ALICE, ALICE, BOB};
    return to[leg];
}

/* Makes a message with a bundle, or measures it. */
static inline enum mkt_err play_put(struct play *p, enum leg leg, struct mkt_csb *csb, struct mkt_buf *out)
{
    const struct mkt_request request = {.size = sizeof request, .policy = &p->policy, .keys = &one_tgk, .n_keys = 1};
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk};
    const struct mkt_update update = {
        .size = sizeof update, .keys = &one_tgk, .n_keys = leg == ALICE_UPDATES || (p->policy.flags & MKT_FLAG_M) != 0};
    struct mkt_offer offer = {.size = sizeof offer, .responder = p->settings[BOB].self};
    enum mkt_err err;
    switch (leg) {
    case ASK:
        return mkt_csb_make_request_init(csb, &request, out);
    case GRANT:
        err = mkt_csb_grant(csb, &recipe, &offer.ticket);
        if (err == MKT_OK)
            err = mkt_csb_make_request_resp(csb, offer.ticket, out);
        mkt_ticket_free(offer.ticket);
        return err;
    case OFFER:
        err = mkt_csb_take_ticket(csb, &offer.ticket);
        if (err == MKT_OK)
            err = mkt_csb_make_transfer_init(csb, &offer, out);
        mkt_ticket_free(offer.ticket);
        return err;
    case RESOLVE:
    case PASS_ON:
        return mkt_csb_make_resolve_init(csb, out);
    case PASS_BACK:
    case RESOLVED:
        return mkt_csb_make_resolve_resp(csb, out);
    case ALICE_UPDATES:
    case BOB_UPDATES:
        return mkt_csb_make_update(csb, &update, out);
    case ANSWER:
    case BOB_ANSWERS:
    case ALICE_ANSWERS:
        return mkt_csb_make_transfer_resp(csb, NULL, out);
    case LEGS:
        break;
    }
    return MKT_E_ARGUMENT;
}

static inline struct mkt_span play_make(struct play *p, enum leg leg)
{
    uint8_t octets[4096];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err(mkt_data_type_name((unsigned)play_type[leg]), play_put(p, leg, play_bundle(p, play_from(p, leg)), &buf),
               MKT_OK);
    return p->message[leg] = exact((struct mkt_span){octets, buf.n});
}

static inline void play_take(struct play *p, enum leg leg)
{
    expect_err(mkt_data_type_name((unsigned)play_type[leg]),
               mkt_csb_take_offer(play_bundle(p, play_to(p, leg)), p->message[leg], mikey), MKT_OK);
}

/* All messages before one. */
static inline void play_until(struct play *p, enum leg leg)
{
    for (unsigned l = ASK; l < (unsigned)leg; l++) {
        if (!play_has(p, (enum leg)l))
            continue;
        play_make(p, (enum leg)l);
        play_take(p, (enum leg)l);
    }
}

/* A bundle as octets. */
static inline struct mkt_span stored(const struct mkt_csb *csb)
{
    uint8_t octets[8192];
    struct mkt_buf buf = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    expect_err("put", mkt_csb_save(csb, &buf), MKT_OK);
    expect_err("measure", mkt_csb_save(csb, &measured), MKT_OK);
    ck_assert_uint_eq(measured.n, buf.n);
    return exact((struct mkt_span){octets, buf.n});
}

#endif
