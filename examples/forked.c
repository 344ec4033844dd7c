/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One INVITE that SIP forks: Alice calls Bob, who has two telephones, and the call goes on to Carol. Bob and Carol are
 * users of one server. Each of the three answers in a 183 and again in the 200, in any order. Alice gives each early
 * dialog (To tag) a branch of the bundle that made the offer. How the messages travel in SDP is in readme.c.
 */
#include <mikeyticket.h>

#include <stdio.h>
#include <string.h>

enum { ROOM = 2048, BRANCHES = 3 };

static const uint8_t tpk[32] = "shared by all users of this page";

static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user;
    (void)id;
    (void)policy;
    if (key->cap < sizeof tpk)
        return MKT_E_NO_KEY;
    memcpy(key->p, tpk, sizeof tpk);
    key->n = sizeof tpk;
    return MKT_OK;
}

/* ---- Alice ---- */

/* An early dialog of Alice's. */
struct dialog {
    const char *to_tag;
    struct mkt_csb *branch;
};

static enum mkt_err make_offer(struct mkt_csb **offered, const struct mkt_host *host, struct mkt_buf *message)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri("sip:alice@example.com"));
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    struct mkt_policy policy = mkt_policy_default(MKT_SUITE_256); /* it has G: each branch has keys of its own */
    struct mkt_ticket *ticket = NULL;
    policy.initiator = settings.self;
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:bob@example.com");
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:carol@example.com");
    const struct mkt_ticket_recipe recipe = {
        .size = sizeof recipe, .policy = &policy, .tpk = {tpk, sizeof tpk}, .keys = &tgk, .n_keys = 1};
    enum mkt_err err = mkt_ticket_make(&ticket, host, &recipe);
    const struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = policy.responder[0]};
    err = err == MKT_OK ? mkt_csb_new(offered, MKT_INITIATOR, host, &settings) : err;
    err = err == MKT_OK ? mkt_csb_make_transfer_init(*offered, &offer, message) : err;
    mkt_ticket_free(ticket);
    return err;
}

/* Prints the PSK identity of a branch, for a media server. No other branch has it. */
static enum mkt_err show(const struct dialog *dialog)
{
    uint8_t name[128];
    struct mkt_buf identity = {name, sizeof name, 0};
    const struct mkt_id peer = mkt_csb_peer(dialog->branch);
    const enum mkt_err err = mkt_csb_psk_identity(dialog->branch, 1, &identity);
    if (err == MKT_OK)
        printf("To tag %s, %.*s: %.*s\n", dialog->to_tag, (int)peer.data.n, (const char *)peer.data.p, (int)identity.n,
               (const char *)name);
    return err;
}

/* A 183 or 200 has come: the first of its dialog, or one that repeats the answer. */
static enum mkt_err take_response(const struct mkt_csb *offered, struct dialog dialogs[BRANCHES], const char *to_tag,
                                  struct mkt_span answer)
{
    struct dialog *dialog = dialogs;
    while (dialog->branch != NULL && strcmp(dialog->to_tag, to_tag) != 0)
        dialog++;
    enum mkt_err err = MKT_OK;
    if (dialog->branch == NULL) {
        dialog->to_tag = to_tag;
        err = mkt_csb_branch(offered, &dialog->branch);
    }
    err = err == MKT_OK ? mkt_csb_take(dialog->branch, answer) : err;
    return err != MKT_OK || mkt_csb_repeated(dialog->branch) ? err : show(dialog);
}

/* ---- the server of Bob and Carol ---- */

/* A telephone, as the server's location table has it. */
struct contact {
    const char *user, *device;
};

/* Makes the answer of a telephone, which the server keeps: it sends the same octets in the 183 and in the 200. */
static enum mkt_err make_answer(struct mkt_csb **csb, const struct mkt_host *host, const struct contact *contact,
                                struct mkt_span init, struct mkt_buf *answer)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri(contact->user));
    settings.replay_scope = mkt_span_text(contact->device); /* never from the message */
    enum mkt_err err = mkt_csb_new(csb, MKT_RESPONDER, host, &settings);
    err = err == MKT_OK ? mkt_csb_take_offer(*csb, init, mkt_span_text("mikey")) : err;
    return err == MKT_OK ? mkt_csb_make_transfer_resp(*csb, NULL, answer) : err;
}

/* ---- the call ---- */

/* Whether a branch and its Responder have one key. */
static bool same_key(const struct mkt_csb *branch, const struct mkt_csb *responder)
{
    uint8_t octets[2][64];
    struct mkt_buf i = {octets[0], sizeof octets[0], 0}, r = {octets[1], sizeof octets[1], 0};
    return mkt_csb_tek(branch, 1, &i) == MKT_OK && mkt_csb_tek(responder, 1, &r) == MKT_OK && i.n == r.n &&
           memcmp(octets[0], octets[1], i.n) == 0;
}

int main(void)
{
    static const struct contact contacts[BRANCHES] = {
        {"sip:bob@example.com", "phone"}, {"sip:bob@example.com", "desk"}, {"sip:carol@example.com", "phone"}};
    static const char *const to_tags[BRANCHES] = {"a6c85cf", "314159", "8321234"};
    static const size_t responses[] = {1, 1, 0, 2, 0, 2, 1}; /* 183 and 200 of the dialogs, as they arrive */
    static uint64_t slots[512];
    struct mkt_replay cache;
    const struct mkt_host alices = {.size = sizeof alices},
                          servers = {.size = sizeof servers, .tpk = find_tpk, .cache = &cache};
    uint8_t octets[1 + BRANCHES][ROOM];
    struct mkt_buf init = {octets[BRANCHES], ROOM, 0}, answer[BRANCHES];
    struct mkt_csb *offered = NULL, *responder[BRANCHES] = {NULL};
    struct dialog dialogs[BRANCHES + 1] = {{NULL, NULL}};
    bool same = true;

    enum mkt_err err = mkt_replay_new(&cache, slots, sizeof slots);
    err = err == MKT_OK ? make_offer(&offered, &alices, &init) : err;
    for (size_t i = 0; i < BRANCHES && err == MKT_OK; i++) {
        answer[i] = (struct mkt_buf){octets[i], ROOM, 0};
        err = make_answer(&responder[i], &servers, &contacts[i], mkt_buf_span(&init), &answer[i]);
    }
    for (size_t i = 0; i < sizeof responses / sizeof *responses && err == MKT_OK; i++) {
        const size_t who = responses[i];
        err = take_response(offered, dialogs, to_tags[who], mkt_buf_span(&answer[who]));
    }
    mkt_csb_free(offered); /* no more responses can come: RFC 3261 13.2.2.4 */

    for (const struct dialog *d = dialogs; err == MKT_OK && d->branch != NULL; d++)
        for (size_t i = 0; i < BRANCHES; i++)
            same = same && same_key(d->branch, responder[i]) == (strcmp(d->to_tag, to_tags[i]) == 0);
    for (size_t i = 0; i < BRANCHES; i++) {
        mkt_csb_free(dialogs[i].branch);
        mkt_csb_free(responder[i]);
    }
    if (err != MKT_OK)
        fprintf(stderr, "%s: %s\n", mkt_err_name(err), mkt_err_text(err));
    return err != MKT_OK || !same;
}
