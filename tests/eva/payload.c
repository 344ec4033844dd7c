/* SPDX-License-Identifier: BSD-3-Clause */
/* Drivers of lib/payload.c and lib/message.c. */
#include <mikeyticket/message.h>

#include "octets.h"

#ifdef TYPE
static void payload_get(struct mkt_span in)
{
    struct mkt_payload payload;
    uint16_t type = TYPE;
#ifdef LENGTH_AT
    /* The length of the list by itself, as that of the whole is: Eva then knows where the list ends. */
    const uint8_t *octet = in.p + LENGTH_AT;
    if (in.n >= LENGTH_AT + 2 && octet[0] == 0 && octet[1] <= MOST) {
        //@ split octet[1];
        (void)mkt_payload_decode(&payload, &type, &in);
        return;
    }
#endif
    (void)mkt_payload_decode(&payload, &type, &in);
}
#endif

static void any_payload_get(struct mkt_span in)
{
    struct mkt_payload payload;
    uint16_t type = (uint16_t)Frama_C_interval(0, UINT16_MAX);
    (void)mkt_payload_decode(&payload, &type, &in);
}

static void first_get(struct mkt_span in)
{
    uint16_t type;
    (void)mkt_chain_decode(&type, &in);
}

static void cs_get(struct mkt_span in)
{
    struct mkt_cs cs;
    (void)mkt_cs_next(&cs, (uint8_t)Frama_C_interval(0, UINT8_MAX), (uint8_t)Frama_C_interval(0, UINT8_MAX), &in);
}

static void sp_param_get(struct mkt_span in)
{
    struct mkt_sp_param param;
    (void)mkt_sp_param_next(&param, &in);
}

static void message_get(struct mkt_span in)
{
    struct mkt_message message;
    (void)mkt_message_decode(&message, in);
}

#ifdef TYPE
/* Fields of any value, spans of the octets that there are. */
static struct mkt_payload any_payload(struct mkt_span in)
{
    struct mkt_payload p = {.type = TYPE};
    const uint8_t a = (uint8_t)Frama_C_interval(0, UINT8_MAX), b = (uint8_t)Frama_C_interval(0, UINT8_MAX);
    const uint16_t c = (uint16_t)Frama_C_interval(0, UINT16_MAX), d = (uint16_t)Frama_C_interval(0, UINT16_MAX);
    const struct mkt_kv kv = {.type = d, .from = in, .to = in};
    switch (TYPE) {
    case MKT_KEMAC:
        p.kemac = (struct mkt_kemac){.encr_alg = a, .encr_data = in, .mac_alg = b, .mac = in};
        break;
    case MKT_PKE:
        p.pke = (struct mkt_pke){.c = c, .data = in};
        break;
    case MKT_DH:
        p.dh = (struct mkt_dh){.group = a, .value = in, .reserved = c, .kv = kv};
        break;
    case MKT_SIGN:
        p.sign = (struct mkt_sign){.s_type = c, .signature = in};
        break;
    case MKT_T:
    case MKT_TR:
        p.t = (struct mkt_t){.role = a, .ts_type = b, .value = (uint64_t)c << 32 | d};
        break;
    case MKT_ID:
    case MKT_IDR:
        p.id = (struct mkt_id){.role = a, .type = b, .data = in};
        break;
    case MKT_CERT:
        p.cert = (struct mkt_cert){.type = a, .data = in};
        break;
    case MKT_CHASH:
        p.chash = (struct mkt_chash){.func = a, .hash = in};
        break;
    case MKT_V:
        p.v = (struct mkt_v){.mac_alg = a, .mac = in};
        break;
    case MKT_SP:
        p.sp = (struct mkt_sp){.policy_no = a, .prot_type = b, .params = in};
        break;
    case MKT_RAND:
    case MKT_RANDR:
        p.rand = (struct mkt_rand){.role = a, .rand = in};
        break;
    case MKT_ERR:
        p.error = (struct mkt_error){.number = a, .reserved = c};
        break;
    case MKT_TP:
    case MKT_TICKET:
        p.ticket = (struct mkt_ticket_payload){.type = c,
                                               .subtype = a,
                                               .version = b,
                                               .prf = d,
                                               .flags = c,
                                               .reserved = d,
                                               .tp_data = in,
                                               .ticket_data = in,
                                               .initiator_data = in};
        break;
    case MKT_THDR:
        p.thdr = (struct mkt_thdr){.data = in};
        break;
    case MKT_KEY_DATA:
        p.key_data = (struct mkt_key_data){.type = c, .key = in, .salt = in, .kv = kv};
        break;
    case MKT_GENERAL_EXT:
        p.general_ext = (struct mkt_general_ext){.type = a, .data = in};
        break;
    }
    return p;
}

static void payloads_put(struct mkt_span in)
{
    ANY_ROOM(out);
    const struct mkt_payload payload[] = {any_payload(in)};
    (void)mkt_payloads_encode(payload, 1, &out);
}
#endif

static void message_put(struct mkt_span in)
{
    ANY_ROOM(out);
    struct mkt_message message;
    memset(&message, 0, sizeof message);
    message.hdr.version = 1;
    message.hdr.data_type = (uint8_t)Frama_C_interval(0, UINT8_MAX);
    message.hdr.prf = (uint16_t)Frama_C_interval(0, UINT16_MAX);
    message.hdr.n_cs = (uint8_t)Frama_C_interval(0, UINT8_MAX);
    message.hdr.map_type = (uint8_t)Frama_C_interval_split(0, 3);
    message.hdr.map = in;
    message.n = 2;
    message.payload[0].type = MKT_ID;
    message.payload[0].id.data = in;
    message.payload[1].type = MKT_SIGN;
    message.payload[1].sign.signature = in;
    (void)mkt_message_encode(&message, &out);
}
