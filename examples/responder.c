/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end that is called: reads an SDP offer from standard input, opens the ticket in it with the ticket protection
 * key, writes the answer to standard output, and opens the stream with the key that came of it.
 */
#include "call.h"

#include <mbedtls/platform_util.h>

#include <string.h>

/* The library asks for the key that protects a ticket, by its name; this program has one key, whatever it is called. */
static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct options *options = user;
    (void)id;
    (void)policy;
    if (key->cap - key->n < options->tpk_n)
        return MKT_E_SPACE;
    memcpy(key->p + key->n, options->tpk, options->tpk_n);
    key->n += options->tpk_n;
    return MKT_OK;
}

/* The offer: the TRANSFER_INIT in it, with the list of protocols that it must confirm, and what each end does on TCP.
 */
static bool take_offer(struct call *call, const struct mkt_host *host, struct mkt_csb **csb)
{
    const struct options *options = call->options;
    struct mkt_settings settings = mkt_settings_default(mkt_id_uri(options->id));
    struct mkt_buf message = {call->message, sizeof call->message, 0};
    uint8_t list[256];
    struct mkt_buf protocols = {list, sizeof list, 0};

    if (!call_read_sdp(call))
        return false;
    struct mkt_span sdp = {(const uint8_t *)call->sdp, call->sdp_n};
    enum mkt_err err = mkt_sdp_get(sdp, 0, &message);
    if (err != MKT_OK)
        return fail(err, "a=key-mgmt:mikey in the offer");
    if (!ok(mkt_sdp_protocols(sdp, 0, &protocols)))
        return false;

    if (options->stream == MKT_STREAM_BFCP)
        settings.application = mkt_span_text("bfcp");
    if (!ok(mkt_csb_new(csb, MKT_RESPONDER, host, &settings)))
        return false;
    if (!ok(mkt_csb_take(*csb, (struct mkt_span){message.p, message.n}, (struct mkt_span){protocols.p, protocols.n})))
        return false;

    if (!ok(mkt_setup_get(sdp, 0, &call->offered)))
        return false;
    if (!ok(mkt_setup_answer(options->stream, call->offered, options->setup, &call->answered)))
        return false;
    return call_roles(call) && call_read_media(call);
}

/* The SDP answer, with a TRANSFER_RESP if one is due (F flag). */
static bool answer(struct call *call, struct mkt_csb *csb)
{
    struct mkt_buf message = {call->message, sizeof call->message, 0};
    if (mkt_csb_owes_response(csb) && !ok(mkt_csb_make_transfer_resp(csb, NULL, &message)))
        return false;
    return call_listen(call, call->answered) &&
           call_write_sdp(call, call->answered, (struct mkt_span){message.p, message.n}) && call_show_keys(call, csb);
}

int main(int argc, char **argv)
{
    struct options options;
    if (!options_get(&options, argc, argv, false))
        return 2;

    struct mkt_host host = {.user = &options, .tpk = find_tpk};
    struct mkt_csb *csb = NULL;
    struct call *call = call_new(&options, false);
    bool done = call != NULL && take_offer(call, &host, &csb) && answer(call, csb) && call_connect(call, csb) &&
                call_talk(call);

    call_free(call);
    mkt_csb_free(csb);
    mbedtls_platform_zeroize(&options, sizeof options);
    return done ? 0 : 1;
}
