/* SPDX-License-Identifier: BSD-3-Clause */
/* Both ends of a call, as C11 and as C++17. README.md shows the text between the two lines of dashes. */
#include <mikeyticket.h>
#include <stdio.h>
#include <string.h>

/* -------- */
/* Alice, who shares the key `tpk` with Bob, makes a ticket and the a=key-mgmt line of her SDP offer. */
static enum mkt_err offer(struct mkt_csb *alice, const struct mkt_host *host, struct mkt_span tpk, struct mkt_buf *line)
{
    struct mkt_policy policy = mkt_policy_default(MKT_SUITE_256);
    struct mkt_key_wish tgk;
    struct mkt_ticket_recipe recipe;
    struct mkt_offer offer;
    policy.initiator = mkt_id_uri("sip:alice@example.com");
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:bob@example.com");
    mkt_key_wish_init(&tgk, MKT_KEY_TGK);
    mkt_ticket_recipe_init(&recipe);
    recipe.policy = &policy;
    recipe.tpk = tpk;
    recipe.keys = &tgk;
    recipe.n_keys = 1;
    mkt_offer_init(&offer);
    offer.responder = policy.responder[0];
    enum mkt_err err = mkt_ticket_make(&offer.ticket, host, &recipe);
    err = err == MKT_OK ? mkt_sdp_make_offer(alice, &offer, line) : err;
    mkt_ticket_free(offer.ticket);
    return err;
}

/* Bob takes the SDP offer, and makes the a=key-mgmt line of his answer. His keys are there then. */
static enum mkt_err answer(struct mkt_csb *bob, struct mkt_span sdp_offer, struct mkt_buf *line)
{
    struct mkt_sdp sdp;
    enum mkt_err err = mkt_sdp_parse(&sdp, sdp_offer);
    err = err == MKT_OK ? mkt_sdp_take_offer(bob, &sdp, 0) : err;
    return err == MKT_OK ? mkt_sdp_make_answer(bob, NULL, line) : err;
}

/* Alice takes the SDP answer. Her keys are there then. */
static enum mkt_err answered(struct mkt_csb *alice, struct mkt_span sdp_answer)
{
    struct mkt_sdp sdp;
    enum mkt_err err = mkt_sdp_parse(&sdp, sdp_answer);
    return err == MKT_OK ? mkt_sdp_take_answer(alice, &sdp, 0) : err;
}
/* -------- */

static const char shared[] = "of 16 to 64 octets, by configuration";

/* Bob's host has one key. A server looks at `policy->initiator` before it gives a key. */
static enum mkt_err find_tpk(void *user, const struct mkt_id *name, const struct mkt_policy *policy,
                             struct mkt_buf *key)
{
    (void)user;
    (void)name;
    (void)policy;
    key->n = strlen(shared);
    memcpy(key->p, shared, key->n);
    return MKT_OK;
}

/* An SDP description with the line of a MIKEY message. */
static struct mkt_span describe(char *sdp, size_t n, const struct mkt_buf *line)
{
    snprintf(sdp, n, "v=0\r\nm=message 9 TCP/TLS/MSRP *\r\n%.*s\r\n", (int)line->n, (const char *)line->p);
    return mkt_span_text(sdp);
}

int main(void)
{
    uint8_t there[4096], back[4096], tek[2][64];
    struct mkt_buf line_there = {there, sizeof there, 0}, line_back = {back, sizeof back, 0};
    struct mkt_buf alices_tek = {tek[0], 64, 0}, bobs_tek = {tek[1], 64, 0};
    struct mkt_csb *alice = NULL, *bob = NULL;
    struct mkt_settings settings;
    struct mkt_host host;
    char sdp[8192];
    mkt_host_init(&host);
    host.tpk = find_tpk;
    mkt_settings_init(&settings, mkt_id_uri("sip:alice@example.com"));
    enum mkt_err err = mkt_csb_new(&alice, MKT_INITIATOR, &host, &settings);
    settings.self = mkt_id_uri("sip:bob@example.com");
    err = err == MKT_OK ? mkt_csb_new(&bob, MKT_RESPONDER, &host, &settings) : err;
    err = err == MKT_OK ? offer(alice, &host, mkt_span_text(shared), &line_there) : err;
    err = err == MKT_OK ? answer(bob, describe(sdp, sizeof sdp, &line_there), &line_back) : err;
    err = err == MKT_OK ? answered(alice, describe(sdp, sizeof sdp, &line_back)) : err;
    /* the key of crypto session 1, which is the pre-shared key of TLS */
    err = err == MKT_OK ? mkt_csb_tek(alice, 1, &alices_tek) : err;
    err = err == MKT_OK ? mkt_csb_tek(bob, 1, &bobs_tek) : err;
    mkt_csb_free(alice);
    mkt_csb_free(bob);
    if (err != MKT_OK)
        fprintf(stderr, "%s: %s\n", mkt_err_name(err), mkt_err_text(err));
    return err != MKT_OK || alices_tek.n != bobs_tek.n || memcmp(tek[0], tek[1], alices_tek.n) != 0;
}
