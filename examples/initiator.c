/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end that calls: asks the KMS for a ticket (modes 1 and 2 of RFC 6043), or makes one for whoever shares the ticket
 * protection key (modes 3 and 4); writes an SDP offer with it to standard output, reads the answer from standard input,
 * and opens the stream with the key that came of it.
 */
#include "call.h"

#include <time.h>

/* What the ticket is to be good for: one Responder or group, for an hour from a minute ago. */
static struct mkt_policy make_policy(const struct options *options)
{
    struct mkt_policy policy = mkt_policy_default(options->suite);
    int64_t now = (int64_t)time(NULL);

    policy.type = options->ticket_type;
    policy.flags = options->flags;
    policy.initiator = mkt_id_uri(options->id);
    policy.responder[0] = mkt_id_uri(options->to);
    policy.n_responders = 1;
    policy.has_start = policy.has_end = true;
    policy.start = mkt_ntp_from_unix(now - 60);
    policy.end = mkt_ntp_from_unix(now - 60 + 3600);
    if (options->kms != NULL || (options->flags & MKT_FLAG_E) != 0)
        policy.kms = options->credential.kms; /* who can, or must, resolve it */
    return policy;
}

/* A ticket made here, with one TGK beside its MPK. */
static bool make_ticket(const struct options *options, const struct mkt_host *host, struct mkt_ticket **ticket)
{
    const struct mkt_policy policy = make_policy(options);
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe,
                                             .policy = &policy,
                                             .tpk_id = mkt_id_bytes(options->tpk_id != NULL ? options->tpk_id : "tpk"),
                                             .tpk = {options->tpk, options->tpk_n},
                                             .keys = &tgk,
                                             .n_keys = 1};
    return ok(mkt_ticket_make(ticket, host, &recipe));
}

/* A ticket from the KMS. What it granted is what was asked for, or it says so by the K flag. */
static bool request_ticket(struct call *call, struct mkt_csb *csb, struct mkt_ticket **ticket)
{
    const struct mkt_policy policy = make_policy(call->options);
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    const struct mkt_request request = {.size = sizeof request, .policy = &policy, .keys = &tgk, .n_keys = 1};
    struct mkt_buf message = {call->message, sizeof call->message, 0};
    struct mkt_policy granted;

    if (!ok(mkt_csb_make_request_init(csb, &request, &message)) ||
        !call_ask_kms(call, csb, "ticketrequest", mkt_buf_span(&message)) || !ok(mkt_csb_take_ticket(csb, ticket)) ||
        !ok(mkt_ticket_policy(*ticket, &granted)))
        return false;
    return (granted.flags & MKT_FLAG_K) == 0 || fail(MKT_E_NOT_AS_ASKED, "the KMS granted another ticket");
}

/* The ticket: the one of --ticket that an earlier call has left, or a new one. */
static bool get_ticket(struct call *call, const struct mkt_host *host, struct mkt_csb *csb, struct mkt_ticket **ticket)
{
    const struct options *options = call->options;
    struct mkt_buf kept = {call->kept, sizeof call->kept, 0};

    if (options->file != NULL && !call_read_file(options->file, &kept))
        return false;
    if (kept.n > 0)
        return ok(mkt_ticket_load(ticket, host, mkt_buf_span(&kept)));
    return options->kms != NULL ? request_ticket(call, csb, ticket) : make_ticket(options, host, ticket);
}

/* Keeps the ticket for the next call. One that must not be used again (J flag) can't be kept: there is no call then. */
static bool keep_ticket(struct call *call, const struct mkt_ticket *ticket)
{
    struct mkt_buf kept = {call->kept, sizeof call->kept, 0};
    return call->options->file == NULL ||
           (ok(mkt_ticket_save(ticket, &kept)) && call_write_file(call->options->file, mkt_buf_span(&kept)));
}

/* The TRANSFER_INIT in an SDP offer. */
static bool offer(struct call *call, struct mkt_ticket *ticket, struct mkt_csb *csb)
{
    const struct options *options = call->options;
    struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = mkt_id_uri(options->to)};
    struct mkt_sdp sdp;

    if (!ok(mkt_sdp_make_offer(csb, &offer, &call->line)) || !keep_ticket(call, ticket) ||
        !ok(mkt_sdp_parse(&sdp, mkt_buf_span(&call->line))))
        return false;
    call->offered = options->setup;
    call_ladder_sdp(call, "->", "responder", &sdp, MKT_SDP_SESSION);
    return call_listen(call, call->offered) && call_write_sdp(call, call->offered);
}

/* The answer: a TRANSFER_RESP unless the ticket needs none (F flag), and what the other end does on TCP. */
static bool take_answer(struct call *call, struct mkt_csb *csb)
{
    if (!call_read_sdp(call))
        return false;
    call_ladder_sdp(call, "<-", "responder", &call->sdp, 0);
    const enum mkt_err err = mkt_sdp_take_answer(csb, &call->sdp, 0);
    if (err == MKT_E_MISSING)
        return fail(err, "a=key-mgmt:mikey in the answer");
    if (!ok(err))
        return false;
    return ok(mkt_setup_parse(&call->sdp, 0, &call->answered)) && call_roles(call) && call_read_media(call) &&
           call_show_keys(call, csb);
}

/* Who may answer for the group that is called. */
static bool is_member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    const struct options *options = ((const struct call *)user)->options;
    const struct mkt_id called = mkt_id_uri(options->to);
    if (options->group == NULL)
        return false;
    const struct mkt_id member = mkt_id_uri(options->group);
    return mkt_id_equal(group, &called) && mkt_id_equal(id, &member);
}

/* The KMS let a Responder resolve the ticket if it answers with forked keys. Returns MKT_OK for the Responder that is
   called, for the member of its group, and for the identity of --authorise. */
static enum mkt_err authorise(void *user, const struct mkt_peer *peer)
{
    const struct options *options = ((const struct call *)user)->options;
    const struct mkt_id other = mkt_id_uri(options->authorised);
    const bool called = mkt_id_equal(&peer->id, &peer->called) || is_member(user, &peer->id, &peer->called);
    return peer->role == MKT_KMS || called || mkt_id_equal(&peer->id, &other) ? MKT_OK : MKT_E_DENIED;
}

int main(int argc, char **argv)
{
    struct options options;
    if (!options_get(&options, argc, argv, true))
        return 2;

    struct call *call = call_new(&options, true);
    const struct mkt_host host = {.size = sizeof host,
                                  .user = call,
                                  .member = is_member,
                                  .authorise = options.authorised != NULL ? authorise : NULL,
                                  .error = call_report,
                                  .log = call_log};
    const struct mkt_settings settings = options_settings(&options);
    struct mkt_ticket *ticket = NULL;
    struct mkt_csb *csb = NULL;
    bool done = call != NULL && options_certificates(&options) &&
                ok(mkt_csb_new(&csb, MKT_INITIATOR, &host, &settings)) && get_ticket(call, &host, csb, &ticket) &&
                offer(call, ticket, csb) && take_answer(call, csb) && call_connect(call, csb) && call_talk(call);

    call_free(call);
    mkt_csb_free(csb);
    mkt_ticket_free(ticket);
    options_wipe(&options);
    return done ? 0 : 1;
}
