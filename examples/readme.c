/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The example of README.md, and a Responder to talk to: what stands between the two lines of dashes is the same text.
 */

#include <mikeyticket.h>

/* -------- */
/* Alice calls Bob, with whom she shares a ticket protection key: the a=key-mgmt line of her SDP offer. */
static enum mkt_err offer(struct mkt_csb **csb, const struct mkt_host *host, struct mkt_span tpk, struct mkt_buf *line)
{
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy policy = mkt_policy_default(MKT_SUITE_256);
    struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .policy = &policy, .tpk = tpk, .keys = &tgk, .n_keys = 1};
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri("sip:alice@example.com"));
    policy.initiator = settings.self;
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:bob@example.com");
    enum mkt_err err = mkt_ticket_make(&ticket, host, &recipe);
    struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = policy.responder[0]};
    err = err != MKT_OK ? err : mkt_csb_new(csb, MKT_INITIATOR, host, &settings);
    err = err != MKT_OK ? err : mkt_sdp_make_offer(*csb, &offer, line);
    mkt_ticket_free(ticket);
    return err;
}

/* Bob's SDP answer has come: the key of the call, which is the pre-shared key of TLS. */
static enum mkt_err answered(struct mkt_csb *csb, struct mkt_span text, struct mkt_buf *tek)
{
    struct mkt_sdp sdp;
    enum mkt_err err = mkt_sdp_parse(&sdp, text);
    err = err != MKT_OK ? err : mkt_sdp_take_answer(csb, &sdp, 0);
    return err != MKT_OK ? err : mkt_csb_tek(csb, 1, tek);
}
/* -------- */

#include <stdio.h>
#include <string.h>

static const uint8_t tpk[32] = "shared by those two and no other";

static enum mkt_err bobs_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user;
    (void)id;
    (void)policy;
    if (key->cap < sizeof tpk)
        return MKT_E_KEY;
    memcpy(key->p, tpk, sizeof tpk);
    key->n = sizeof tpk;
    return MKT_OK;
}

/* A description with a media section and the line of a MIKEY message. */
static struct mkt_span describe(char *sdp, size_t n, struct mkt_span line)
{
    snprintf(sdp, n, "v=0\r\nm=message 9 TCP/TLS/MSRP *\r\n%.*s\r\n", (int)line.n, (const char *)line.p);
    return mkt_span_text(sdp);
}

/* Bob's end: takes the offer, writes the line of his answer. */
static enum mkt_err answer(struct mkt_csb *csb, struct mkt_span text, struct mkt_buf *line)
{
    struct mkt_sdp sdp;
    enum mkt_err err = mkt_sdp_parse(&sdp, text);
    err = err != MKT_OK ? err : mkt_sdp_take_offer(csb, &sdp, 0);
    return err != MKT_OK ? err : mkt_sdp_make_answer(csb, NULL, line);
}

int main(void)
{
    const struct mkt_host alices_host = {.size = sizeof alices_host},
                          bobs_host = {.size = sizeof bobs_host, .tpk = bobs_tpk};
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri("sip:bob@example.com"));
    uint8_t there[4096], back[4096], alices_tek[64], bobs_tek[64];
    struct mkt_buf line = {there, sizeof there, 0}, line_back = {back, sizeof back, 0};
    struct mkt_buf tek_i = {alices_tek, sizeof alices_tek, 0}, tek_r = {bobs_tek, sizeof bobs_tek, 0};
    struct mkt_csb *alice = NULL, *bob = NULL;
    char sdp[8192];
    enum mkt_err err = offer(&alice, &alices_host, (struct mkt_span){tpk, sizeof tpk}, &line);
    err = err != MKT_OK ? err : mkt_csb_new(&bob, MKT_RESPONDER, &bobs_host, &settings);
    err = err != MKT_OK ? err : answer(bob, describe(sdp, sizeof sdp, mkt_buf_span(&line)), &line_back);
    err = err != MKT_OK ? err : answered(alice, describe(sdp, sizeof sdp, mkt_buf_span(&line_back)), &tek_i);
    err = err != MKT_OK ? err : mkt_csb_tek(bob, 1, &tek_r);
    mkt_csb_free(alice);
    mkt_csb_free(bob);
    if (err != MKT_OK)
        fprintf(stderr, "%s: %s\n", mkt_err_name(err), mkt_err_text(err));
    return err != MKT_OK || tek_i.n != tek_r.n || memcmp(alices_tek, bobs_tek, tek_i.n) != 0;
}
