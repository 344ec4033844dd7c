/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end that is called: reads an SDP offer from standard input, opens the ticket in it with the ticket protection key
 * (modes 2 and 4 of RFC 6043), or has it resolved by the KMS (modes 1 and 3); writes the answer to standard output, and
 * opens the stream with the key that came of it.
 */
#include "call.h"

#include <string.h>

static enum mkt_err append(struct mkt_buf *out, struct mkt_span octets)
{
    if (out->cap - out->n < octets.n)
        return MKT_E_BUFFER;
    memcpy(out->p + out->n, octets.p, octets.n);
    out->n += octets.n;
    return MKT_OK;
}

/* The library asks for the key that protects a ticket, by its name; without --tpk-id it is the one, however called. */
static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct options *options = ((const struct call *)user)->options;
    (void)policy;
    if (options->tpk_n == 0)
        return MKT_E_NO_KEY;
    if (options->tpk_id != NULL && (id == NULL || !mkt_span_equal(id->data, mkt_span_text(options->tpk_id))))
        return MKT_E_NO_KEY;
    return append(key, (struct mkt_span){options->tpk, options->tpk_n});
}

static bool is_member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    const struct options *options = ((const struct call *)user)->options;
    (void)id; /* it is this party that is asked about */
    if (options->group == NULL)
        return false;
    const struct mkt_id own = mkt_id_uri(options->group);
    return mkt_id_equal(group, &own);
}

/*
 * The library asks whether the KMS has resolved a ticket before (RFC 6043 5.3). The file of --resolved holds one: 4
 * octets for the length of what names it, that, and what the library wants to have again. Where it is another ticket
 * now, its name is kept, for what comes of it.
 */
static enum mkt_err find_resolved(void *user, struct mkt_span ticket, struct mkt_buf *octets)
{
    struct call *call = user;
    struct mkt_buf kept = {call->kept, sizeof call->kept, 0};
    const uint8_t length[4] = {(uint8_t)(ticket.n >> 24), (uint8_t)(ticket.n >> 16), (uint8_t)(ticket.n >> 8),
                               (uint8_t)ticket.n};
    size_t n = sizeof length + ticket.n;

    if (call->kept_n > n && memcmp(kept.p, length, sizeof length) == 0 &&
        memcmp(kept.p + sizeof length, ticket.p, ticket.n) == 0)
        return append(octets, (struct mkt_span){kept.p + n, call->kept_n - n});
    if (append(&kept, (struct mkt_span){length, sizeof length}) != MKT_OK || append(&kept, ticket) != MKT_OK)
        return MKT_E_BUFFER;
    call->kept_n = kept.n;
    return MKT_E_NO_KEY;
}

/* Reads the file before there is a call that it could disturb. */
static bool read_resolved(struct call *call)
{
    struct mkt_buf kept = {call->kept, sizeof call->kept, 0};
    if (call->options->file != NULL && !call_read_file(call->options->file, &kept))
        return false;
    call->kept_n = kept.n;
    return true;
}

static bool keep_resolved(struct call *call, const struct mkt_csb *csb)
{
    struct mkt_buf kept = {call->kept, sizeof call->kept, call->kept_n};
    if (call->options->file == NULL)
        return true;
    enum mkt_err err = mkt_csb_save_resolved(csb, &kept);
    if (err == MKT_E_REUSE)
        return true; /* it will not be seen again */
    return ok(err) && call_write_file(call->options->file, mkt_buf_span(&kept));
}

/* Has the KMS resolve the ticket: only then is it known whether the offer is good. */
static bool resolve(struct call *call, struct mkt_csb *csb)
{
    struct mkt_buf message = {call->message, sizeof call->message, 0};
    return ok(mkt_csb_make_resolve_init(csb, &message)) &&
           call_ask_kms(call, csb, "ticketresolve", mkt_buf_span(&message)) && keep_resolved(call, csb);
}

/* The offer: the TRANSFER_INIT in it, and what each end does on TCP. */
static bool take_offer(struct call *call, struct mkt_csb *csb)
{
    const struct options *options = call->options;

    if (!call_read_sdp(call))
        return false;
    call_ladder_sdp(call, "<-", "initiator", &call->sdp, 0);
    const enum mkt_err err = mkt_sdp_take_offer(csb, &call->sdp, 0);
    if (err == MKT_E_MISSING)
        return fail(err, "a=key-mgmt:mikey in the offer");
    if (!ok(err))
        return false;
    if (mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK) && !resolve(call, csb))
        return false;

    if (!ok(mkt_setup_parse(&call->sdp, 0, &call->offered)))
        return false;
    if (!ok(mkt_setup_answer(options->stream, call->offered, options->setup, &call->answered)))
        return false;
    return call_roles(call) && call_read_media(call);
}

/* The SDP answer, with a TRANSFER_RESP if one is due (F flag). */
static bool answer(struct call *call, struct mkt_csb *csb)
{
    struct mkt_sdp sdp;
    if (mkt_csb_must_make(csb, MKT_TRANSFER_RESP)) {
        if (!ok(mkt_sdp_make_answer(csb, NULL, &call->line)) || !ok(mkt_sdp_parse(&sdp, mkt_buf_span(&call->line))))
            return false;
        call_ladder_sdp(call, "->", "initiator", &sdp, MKT_SDP_SESSION);
    }
    return call_listen(call, call->answered) && call_write_sdp(call, call->answered) && call_show_keys(call, csb);
}

int main(int argc, char **argv)
{
    struct options options;
    if (!options_get(&options, argc, argv, false))
        return 2;

    struct call *call = call_new(&options, false);
    const struct mkt_host host = {.size = sizeof host,
                                  .user = call,
                                  .tpk = find_tpk,
                                  .resolved = find_resolved,
                                  .member = is_member,
                                  .error = call_report,
                                  .log = call_log};
    const struct mkt_settings settings = options_settings(&options);
    struct mkt_csb *csb = NULL;
    bool done = call != NULL && options_certificates(&options) && read_resolved(call) &&
                ok(mkt_csb_new(&csb, MKT_RESPONDER, &host, &settings)) && take_offer(call, csb) && answer(call, csb) &&
                call_connect(call, csb) && call_talk(call);

    call_free(call);
    mkt_csb_free(csb);
    options_wipe(&options);
    return done ? 0 : 1;
}
