/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end that calls: makes a ticket for whoever shares the ticket protection key (mode 4 of RFC 6043), writes an SDP
 * offer with it to standard output, reads the answer from standard input, and opens the stream with the key that came
 * of it.
 */
#include "call.h"

#include <mbedtls/platform_util.h>

#include <time.h>

/* A ticket for one Responder, valid for an hour from a minute ago, with one TGK beside its MPK. */
static bool make_ticket(const struct options *options, const struct mkt_host *host, struct mkt_ticket **ticket)
{
    struct mkt_policy policy = mkt_policy_default(options->suite);
    const struct mkt_key_wish tgk = {.type = MKT_KEY_TGK};
    int64_t now = (int64_t)time(NULL);

    policy.initiator = mkt_id_uri(options->id);
    policy.responder[0] = mkt_id_uri(options->to);
    policy.n_responders = 1;
    policy.has_start = policy.has_end = true;
    policy.start = mkt_ntp_from_unix(now - 60);
    policy.end = mkt_ntp_from_unix(now - 60 + 3600);
    if (options->has_flags)
        policy.flags = options->flags;
    const struct mkt_ticket_recipe recipe = {.policy = &policy,
                                             .tpk_id = mkt_id_bytes("tpk"),
                                             .tpk = {options->tpk, options->tpk_n},
                                             .keys = &tgk,
                                             .n_keys = 1};
    return ok(mkt_ticket_make(ticket, host, &recipe));
}

/* The bundle of the call and its TRANSFER_INIT, in an SDP offer. */
static bool offer(struct call *call, const struct mkt_host *host, struct mkt_ticket *ticket, struct mkt_csb **csb)
{
    const struct options *options = call->options;
    struct mkt_settings settings = mkt_settings_default(mkt_id_uri(options->id));
    struct mkt_offer offer = {.ticket = ticket, .responder = mkt_id_uri(options->to)};
    struct mkt_buf message = {call->message, sizeof call->message, 0};

    if (options->stream == MKT_STREAM_BFCP)
        settings.application = mkt_span_text("bfcp");
    if (!ok(mkt_csb_new(csb, MKT_INITIATOR, host, &settings)))
        return false;
    if (!ok(mkt_csb_make_transfer_init(*csb, &offer, &message)))
        return false;
    call->offered = options->setup;
    return call_listen(call, call->offered) &&
           call_write_sdp(call, call->offered, (struct mkt_span){message.p, message.n});
}

/* The answer: a TRANSFER_RESP unless the ticket needs none (F flag), and what the other end does on TCP. */
static bool take_answer(struct call *call, struct mkt_csb *csb)
{
    if (!call_read_sdp(call))
        return false;
    struct mkt_span sdp = {(const uint8_t *)call->sdp, call->sdp_n}, no_protocols = {NULL, 0};
    struct mkt_buf message = {call->message, sizeof call->message, 0};

    if (!mkt_csb_ready(csb)) {
        enum mkt_err err = mkt_sdp_get(sdp, 0, &message);
        if (err != MKT_OK)
            return fail(err, "a=key-mgmt:mikey in the answer");
        if (!ok(mkt_csb_take(csb, (struct mkt_span){message.p, message.n}, no_protocols)))
            return false;
    }
    return ok(mkt_setup_get(sdp, 0, &call->answered)) && call_roles(call) && call_read_media(call) &&
           call_show_keys(call, csb);
}

int main(int argc, char **argv)
{
    struct options options;
    if (!options_get(&options, argc, argv, true))
        return 2;

    struct mkt_host host = {.user = NULL}; /* the defaults are those of this system */
    struct mkt_ticket *ticket = NULL;
    struct mkt_csb *csb = NULL;
    struct call *call = call_new(&options, true);
    bool done = call != NULL && make_ticket(&options, &host, &ticket) && offer(call, &host, ticket, &csb) &&
                take_answer(call, csb) && call_connect(call, csb) && call_talk(call);

    call_free(call);
    mkt_csb_free(csb);
    mkt_ticket_free(ticket);
    mbedtls_platform_zeroize(&options, sizeof options);
    return done ? 0 : 1;
}
