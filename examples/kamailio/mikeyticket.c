/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A Kamailio module that makes an MRFC (3GPP TS 23.333 5.20.2) of Kamailio: mrfc.cfg shows how. Kamailio does SIP, this
 * module MIKEY-TICKET and SDP; the MRFP, which has the media, gets each key and PSK identity over a Unix socket.
 *
 * Functions return 1 if it is done, 2 if the KMS must be asked first, and -1 if they refuse. Then $mikey(code) is the
 * status for the response, and the log has one line that says why.
 *
 *     mikey_inspect()   $mikey(initiator), $mikey(responder) and $mikey(type) of the offer, which nothing has verified;
 *                       -1 if they are not the ones of From and To, -2 if there is nothing to compare
 *     mikey_answer(SETUP)   takes the offer and puts the answer into the response; SETUP is active, passive or actpass
 *     mikey_offer(URI, msrp|bfcp, SETUP, TPK)   $mikey(sdp) is an offer for URI, $mikey(id) the Call-ID to send it with.
 *                       TPK names the key for a ticket of our own; empty: the KMS makes the ticket
 *     mikey_kms(BODY [, CALL-ID])   goes on with the answer of the KMS, in the same call or in the one we make
 *     mikey_answered()  takes the answer in the 2xx to our INVITE; sends a BYE if it refuses
 *     mikey_ack()       the ACK is here
 *     mikey_end([CALL-ID])   the call has ended: BYE, CANCEL, a final response that is no 2xx
 *
 * $mikey(request) is the MIKEY message to POST to the KMS. Any process can go on with a call that another one began.
 */
#include "calls.h"
#include "mrfp.h"

#include "../../core/data_lump_rpl.h"
#include "../../core/mod_fix.h"
#include "../../core/parser/parse_body.h"
#include "../../core/parser/parse_content.h"
#include "../../core/parser/parse_cseq.h"
#include "../../core/parser/parse_from.h"
#include "../../core/parser/parse_to.h"
#include "../../core/sr_module.h"
#include "../../core/timer_proc.h"
#include "../../modules/tm/tm_load.h"

#include <string.h>

MODULE_VERSION

static tm_api_t tm;

/* ---- SIP ---- */

static bool read_message(struct sip_msg *msg, struct said *said)
{
    int n = 0;
    *said = (struct said){.id = STR_NULL};
    if (parse_headers(msg, HDR_EOH_F, 0) < 0 || msg->callid == NULL || parse_from_header(msg) < 0 ||
        parse_to_header(msg) < 0 || get_from(msg)->tag_value.len == 0) {
        LM_WARN("a SIP message without Call-ID, To, or From with a tag\n");
        return false;
    }
    said->id = msg->callid->body;
    said->from = get_from(msg)->uri;
    said->from_tag = get_from(msg)->tag_value;
    said->to = get_to(msg)->uri;
    said->to_tag = get_to(msg)->tag_value;
    said->cancels = msg->first_line.type == SIP_REQUEST && msg->REQ_METHOD == METHOD_CANCEL;
    const char *body = get_body_part(msg, TYPE_APPLICATION, SUBTYPE_SDP, &n);
    if (body != NULL && n > 0)
        said->sdp = (struct mkt_span){(const uint8_t *)body, (size_t)n};
    return true;
}

/* Puts the description into the response that the script sends. */
static int respond(struct sip_msg *msg, int done)
{
    static const char type[] = "Content-Type: application/sdp\r\n";
    if (outcome.sdp_n == 0)
        return done;
    if (add_lump_rpl(msg, (char *)type, sizeof type - 1, LUMP_RPL_HDR) != NULL &&
        add_lump_rpl(msg, outcome.sdp, (int)outcome.sdp_n, LUMP_RPL_BODY) != NULL)
        return done;
    LM_ERR("no memory for the response\n");
    outcome.code = 500;
    return CALL_REFUSED;
}

/* ---- functions of the script ---- */

static int inspect(struct sip_msg *msg, char *p1, char *p2)
{
    struct said said;
    (void)p1;
    (void)p2;
    return read_message(msg, &said) ? calls_inspect(&said) : CALL_REFUSED;
}

static bool setup_of(const str *name, enum mkt_setup *setup)
{
    for (*setup = MKT_SETUP_ACTIVE; *setup <= MKT_SETUP_ACTPASS; ++*setup) {
        const char *known = mkt_setup_name(*setup);
        if ((size_t)name->len == strlen(known) && memcmp(name->s, known, (size_t)name->len) == 0)
            return true;
    }
    LM_ERR("%.*s: write active, passive or actpass\n", name->len, name->s);
    return false;
}

static int answer(struct sip_msg *msg, char *p1, char *p2)
{
    struct said said;
    str name;
    enum mkt_setup able;
    (void)p2;
    if (fixup_get_svalue(msg, (gparam_t *)p1, &name) != 0 || !setup_of(&name, &able) || !read_message(msg, &said))
        return CALL_REFUSED;
    return respond(msg, calls_answer(&said, able));
}

static int offer(struct sip_msg *msg, char *p1, char *p2, char *p3, char *p4)
{
    str to, medium, name, tpk;
    enum mkt_setup setup;
    if (fixup_get_svalue(msg, (gparam_t *)p1, &to) != 0 || fixup_get_svalue(msg, (gparam_t *)p2, &medium) != 0 ||
        fixup_get_svalue(msg, (gparam_t *)p3, &name) != 0 || fixup_get_svalue(msg, (gparam_t *)p4, &tpk) != 0 ||
        !setup_of(&name, &setup))
        return CALL_REFUSED;
    const bool bfcp = medium.len == 4 && memcmp(medium.s, "bfcp", 4) == 0;
    return calls_offer(&to, bfcp ? MKT_STREAM_BFCP : MKT_STREAM_MSRP, setup, &tpk);
}

static int kms(struct sip_msg *msg, char *p1, char *p2)
{
    struct said said;
    str body, id;
    if (fixup_get_svalue(msg, (gparam_t *)p1, &body) != 0 || !read_message(msg, &said))
        return CALL_REFUSED;
    const struct mkt_span message = {(const uint8_t *)body.s, (size_t)body.len};
    if (p2 == NULL)
        return respond(msg, calls_kms(&said.id, message, &said));
    return fixup_get_svalue(msg, (gparam_t *)p2, &id) == 0 ? calls_kms(&id, message, &said) : CALL_REFUSED;
}

/* Ends the dialog of a 2xx to our INVITE. tm has sent the ACK. */
static void send_bye(struct sip_msg *reply, struct said *said)
{
    static str method = STR_STATIC_INIT("BYE");
    dlg_t *dialog = NULL;
    uac_req_t bye;
    unsigned cseq = 0;
    set_uac_req(&bye, &method, NULL, NULL, NULL, 0, NULL, NULL);
    if (parse_headers(reply, HDR_CSEQ_F, 0) < 0 || str2int(&get_cseq(reply)->number, &cseq) < 0 ||
        tm.new_dlg_uac(&said->id, &said->from_tag, cseq, &said->from, &said->to, &dialog) < 0) {
        LM_ERR("call %.*s: no BYE can be sent\n", said->id.len, said->id.s);
        return;
    }
    bye.dialog = dialog;
    if (tm.dlg_response_uac(dialog, reply, IS_TARGET_REFRESH) < 0 || tm.t_request_within(&bye) < 0)
        LM_ERR("call %.*s: no BYE can be sent\n", said->id.len, said->id.s);
    tm.free_dlg(dialog);
}

static int answered(struct sip_msg *msg, char *p1, char *p2)
{
    struct said said;
    (void)p1;
    (void)p2;
    if (!read_message(msg, &said))
        return CALL_REFUSED;
    const int done = calls_answered(&said);
    if (done == CALL_REFUSED)
        send_bye(msg, &said);
    return done;
}

static int ack(struct sip_msg *msg, char *p1, char *p2)
{
    struct said said;
    (void)p1;
    (void)p2;
    return read_message(msg, &said) ? calls_ack(&said) : CALL_REFUSED;
}

static int end(struct sip_msg *msg, char *p1, char *p2)
{
    struct said said;
    (void)p2;
    if (p1 == NULL)
        return read_message(msg, &said) ? calls_end(&said) : CALL_REFUSED;
    said = (struct said){.id = STR_NULL};
    return fixup_get_svalue(msg, (gparam_t *)p1, &said.id) == 0 ? calls_end(&said) : CALL_REFUSED;
}

/* ---- pseudo-variables ---- */

enum name { CODE, INITIATOR, RESPONDER, TYPE, ID, REQUEST, SDP, N_NAMES };
static const char *const names[N_NAMES] = {"code", "initiator", "responder", "type", "id", "request", "sdp"};

static int parse_name(pv_spec_t *sp, str *in)
{
    for (int i = 0; i < N_NAMES; i++) {
        if ((size_t)in->len != strlen(names[i]) || memcmp(in->s, names[i], (size_t)in->len) != 0)
            continue;
        sp->pvp.pvn.type = PV_NAME_INTSTR;
        sp->pvp.pvn.u.isname.name.n = i;
        return 0;
    }
    LM_ERR("$mikey(%.*s): there is none\n", in->len, in->s);
    return -1;
}

static int get_text(struct sip_msg *msg, pv_param_t *param, pv_value_t *res, const void *octets, size_t n)
{
    str value = {(char *)octets, (int)n};
    return n == 0 ? pv_get_null(msg, param, res) : pv_get_strval(msg, param, res, &value);
}

static int get_value(struct sip_msg *msg, pv_param_t *param, pv_value_t *res)
{
    switch (param->pvn.u.isname.name.n) {
    case CODE:
        return pv_get_sintval(msg, param, res, outcome.code);
    case INITIATOR:
        return get_text(msg, param, res, outcome.initiator, strlen(outcome.initiator));
    case RESPONDER:
        return get_text(msg, param, res, outcome.responder, strlen(outcome.responder));
    case TYPE:
        return pv_get_sintval(msg, param, res, outcome.ticket_type);
    case ID:
        return get_text(msg, param, res, outcome.id, strlen(outcome.id));
    case REQUEST:
        return get_text(msg, param, res, outcome.request, outcome.request_n);
    default:
        return get_text(msg, param, res, outcome.sdp, outcome.sdp_n);
    }
}

/* ---- the module ---- */

/* Streams without a call would be ones that were forgotten. */
static void rpc_calls(rpc_t *rpc, void *context)
{
    char command[] = "count\n";
    unsigned streams = 0;
    if (mrfp_do(command, &streams))
        rpc->add(context, "dd", (int)calls_count(), (int)streams);
    else
        rpc->fault(context, 500, "%s", mrfp_fault);
}

static int mod_init(void)
{
    return load_tm_api(&tm) == 0 && calls_init() && register_timer(calls_expire, NULL, 1) >= 0 ? 0 : -1;
}

static void mod_destroy(void)
{
    calls_destroy();
}

static cmd_export_t commands[] = {
    {"mikey_inspect", inspect, 0, NULL, NULL, ANY_ROUTE},
    {"mikey_answer", answer, 1, fixup_spve_all, NULL, ANY_ROUTE},
    {"mikey_offer", (cmd_function)offer, 4, fixup_spve_all, NULL, ANY_ROUTE},
    {"mikey_kms", kms, 1, fixup_spve_all, NULL, ANY_ROUTE},
    {"mikey_kms", kms, 2, fixup_spve_all, NULL, ANY_ROUTE},
    {"mikey_answered", answered, 0, NULL, NULL, ANY_ROUTE},
    {"mikey_ack", ack, 0, NULL, NULL, ANY_ROUTE},
    {"mikey_end", end, 0, NULL, NULL, ANY_ROUTE},
    {"mikey_end", end, 1, fixup_spve_all, NULL, ANY_ROUTE},
    {NULL, NULL, 0, NULL, NULL, 0},
};

static param_export_t params[] = {
    {"identity", PARAM_STRING, &mrfc.identity},
    {"kms_id", PARAM_STRING, &mrfc.kms},
    {"users", PARAM_STRING, &mrfc.users},
    {"address", PARAM_STRING, &mrfc.address},
    {"mrfp", PARAM_STRING, &mrfc.mrfp},
    {"remember", PARAM_INT, &mrfc.remember},
    {NULL, 0, NULL},
};

static pv_export_t variables[] = {
    {STR_STATIC_INIT("mikey"), PVT_OTHER, get_value, NULL, parse_name, NULL, NULL, 0},
    {{NULL, 0}, 0, NULL, NULL, NULL, NULL, NULL, 0},
};

static const char *calls_doc[] = {"How many calls there are, and how many streams at the MRFP", NULL};
static rpc_export_t rpcs[] = {
    {"mikeyticket.calls", rpc_calls, calls_doc, 0},
    {NULL, NULL, NULL, 0},
};

struct module_exports exports = {
    "mikeyticket", DEFAULT_DLFLAGS, commands, params, rpcs, variables, NULL, mod_init, NULL, mod_destroy,
};
