/* SPDX-License-Identifier: BSD-3-Clause */
/* THE WIRE FORMAT. One function per payload for both directions, with its section. A payload of RFC 6043 that adds to
 * one of RFC 3830 shares its function. mkt_io_payload() does Next Payload, the first octet of each except SIGN. */
#include "payload.h"

/* A MAC algorithm, and the MAC whose length it implies: the end of KEMAC (Mac alg) and of V (Auth alg). */
static void io_mac(struct io *io, uint8_t *alg, struct mkt_span *mac)
{
    io_u8(io, alg);
    if (*alg != MKT_MAC_NULL && mkt_mac_length(*alg) == 0)
        io_fail(io, MKT_E_MAC_ALG);
    io_bytes(io, mac, mkt_mac_length(*alg));
}

/* RFC 3830 6.2 KEMAC: Encr alg, Encr data len (16), Encr data, Mac alg, MAC */
static void io_kemac(struct io *io, struct mkt_payload *p)
{
    io_u8(io, &p->kemac.encr_alg);
    io_vec(io, &p->kemac.encr_data, 2);
    io_mac(io, &p->kemac.mac_alg, &p->kemac.mac);
}

/* RFC 3830 6.3 PKE: C (2 bits), Data len (14 bits), Data */
static void io_pke(struct io *io, struct mkt_payload *p)
{
    uint16_t data_len = (uint16_t)p->pke.data.n; /* io_bytes() refuses what this cuts short */
    io_split(io, 2, &p->pke.c, 14, &data_len);
    io_bytes(io, &p->pke.data, data_len);
}

/* RFC 3830 6.14 Key validity data: SPI as 8-bit length and octets; Interval as Valid From and Valid To, likewise */
static void io_kv(struct io *io, struct mkt_kv *kv)
{
    if (kv->type > MKT_KV_INTERVAL)
        io_fail(io, MKT_E_BAD_VALUE);
    if (kv->type == MKT_KV_SPI)
        io_vec(io, &kv->spi, 1);
    if (kv->type != MKT_KV_INTERVAL)
        return;
    io_vec(io, &kv->from, 1);
    io_vec(io, &kv->to, 1);
}

/* Takes an octet, and as many octets as the table has for its value. */
static void io_by_length(struct io *io, uint8_t *value, const size_t table[3], enum mkt_err unknown,
                         struct mkt_span *octets)
{
    io_u8(io, value);
    if (*value > 2)
        io_fail(io, unknown);
    io_bytes(io, octets, *value > 2 ? 0 : table[*value]);
}

/* RFC 3830 6.4 DH: DH-Group (table 6.4: OAKLEY 5, 1, 2), DH-value, Reserved (4 bits), KV (4 bits), KV data */
static void io_dh(struct io *io, struct mkt_payload *p)
{
    static const size_t octets[3] = {1536 / 8, 768 / 8, 1024 / 8};
    io_by_length(io, &p->dh.group, octets, MKT_E_DH_GROUP, &p->dh.value);
    io_split(io, 1, &p->dh.reserved, 4, &p->dh.kv.type);
    io_kv(io, &p->dh.kv);
}

/* RFC 3830 6.5 SIGN: S type (4 bits), Signature len (12 bits), Signature */
static void io_sign(struct io *io, struct mkt_payload *p)
{
    uint16_t signature_len = (uint16_t)p->sign.signature.n; /* io_bytes() refuses what this cuts short */
    io_split(io, 2, &p->sign.s_type, 12, &signature_len);
    io_bytes(io, &p->sign.signature, signature_len);
}

/* RFC 3830 6.6 T: TS type, TS value of 64 bits (NTP-UTC, NTP) or 32 (COUNTER; NTP-UTC-32 of RFC 6043 6.3).
 * RFC 6043 6.4 TR: TS Role, then as T. */
static void io_t(struct io *io, struct mkt_payload *p)
{
    static const size_t octets[] = {
        [MKT_TS_NTP_UTC] = 8, [MKT_TS_NTP] = 8, [MKT_TS_COUNTER] = 4, [MKT_TS_NTP_UTC_32] = 4};
    if (p->type == MKT_TR)
        io_u8(io, &p->t.role);
    io_u8(io, &p->t.ts_type);
    if (p->t.ts_type < sizeof octets / sizeof *octets)
        io_uint(io, &p->t.value, octets[p->t.ts_type]);
    else
        io_fail(io, MKT_E_BAD_VALUE);
}

/* RFC 3830 6.7 ID: ID Type, ID len (16), ID Data. RFC 6043 6.6 IDR: ID Role, then as ID. */
static void io_id(struct io *io, struct mkt_payload *p)
{
    if (p->type == MKT_IDR)
        io_u8(io, &p->id.role);
    io_u8(io, &p->id.type);
    io_vec(io, &p->id.data, 2);
}

/* RFC 3830 6.7 CERT: Cert Type, Cert len (16), Certificate Data */
static void io_cert(struct io *io, struct mkt_payload *p)
{
    io_u8(io, &p->cert.type);
    io_vec(io, &p->cert.data, 2);
}

/* RFC 3830 6.8 CHASH: Hash func (table 6.8: SHA-1, MD5; RFC 6043 table 6.12: SHA-256), Hash */
static void io_chash(struct io *io, struct mkt_payload *p)
{
    static const size_t octets[3] = {20, 16, 32};
    io_by_length(io, &p->chash.func, octets, MKT_E_HASH, &p->chash.hash);
}

/* RFC 3830 6.9 V: Auth alg, Ver data (length by alg) */
static void io_v(struct io *io, struct mkt_payload *p)
{
    io_mac(io, &p->v.mac_alg, &p->v.mac);
}

/* RFC 3830 6.10 Policy param: Type, Length (8), Value */
static void io_sp_param(struct io *io, struct mkt_sp_param *param)
{
    io_u8(io, &param->type);
    io_vec(io, &param->value, 1);
}

/* RFC 3830 6.10 SP: Policy no, Prot type, Policy param length (16), a list of Policy params */
static void io_sp(struct io *io, struct mkt_payload *p)
{
    io_u8(io, &p->sp.policy_no);
    io_u8(io, &p->sp.prot_type);
    io_vec(io, &p->sp.params, 2);
    struct io list = io_get(p->sp.params);
    while (io->err == MKT_OK && io_left(&list))
        io_sp_param(&list, &(struct mkt_sp_param){0});
    io_fail_within(io, io->pos - p->sp.params.n, &list);
}

/* RFC 3830 6.11 RAND: RAND len (8), RAND. RFC 6043 6.8 RANDR: RAND Role, then as RAND. */
static void io_rand(struct io *io, struct mkt_payload *p)
{
    if (p->type == MKT_RANDR)
        io_u8(io, &p->rand.role);
    io_vec(io, &p->rand.rand, 1);
}

/* RFC 3830 6.12 ERR: Error no, Reserved (16) */
static void io_err(struct io *io, struct mkt_payload *p)
{
    io_u8(io, &p->error.number);
    io_u16(io, &p->error.reserved);
}

/* RFC 6043 6.10 TP: Ticket Type (16), Subtype, Version, PRF Func (7 bits), D, E to O, Res (5 bits), TP Data with its
 * length (16). TICKET: as TP, then Ticket Data length (16), Ticket Data, Initiator Data length (16), Initiator Data. */
static void io_tp(struct io *io, struct mkt_payload *p)
{
    struct mkt_ticket_payload *t = &p->ticket;
    uint16_t d = t->flags >> 11, e_to_o = t->flags & 0x7ff;
    io_u16(io, &t->type);
    io_u8(io, &t->subtype);
    io_u8(io, &t->version);
    io_split(io, 1, &t->prf, 1, &d);
    io_split(io, 2, &e_to_o, 5, &t->reserved);
    t->flags = (uint16_t)(d << 11 | e_to_o);
    io_vec(io, &t->tp_data, 2);
    if (p->type == MKT_TP)
        return;
    io_vec(io, &t->ticket_data, 2);
    io_vec(io, &t->initiator_data, 2);
}

/* RFC 6043 A.3 THDR: THDR Data length (16), THDR Data */
static void io_thdr(struct io *io, struct mkt_payload *p)
{
    io_vec(io, &p->thdr.data, 2);
}

/* RFC 3830 6.13 Key data: Type (4 bits), KV (4 bits), Key data len (16), Key data, Salt len (16), Salt data, KV data */
static void io_key_data(struct io *io, struct mkt_payload *p)
{
    struct mkt_key_data *k = &p->key_data;
    io_split(io, 1, &k->type, 4, &k->kv.type);
    io_vec(io, &k->key, 2);
    if (k->type > MKT_KEY_MPK || (!mkt_key_has_salt(k->type) && k->salt.n > 0))
        io_fail(io, MKT_E_BAD_VALUE);
    if (mkt_key_has_salt(k->type))
        io_vec(io, &k->salt, 2);
    io_kv(io, &k->kv);
}

/* RFC 3830 6.15 General Ext.: Type, Length (16), Data */
static void io_general_ext(struct io *io, struct mkt_payload *p)
{
    io_u8(io, &p->general_ext.type);
    io_vec(io, &p->general_ext.data, 2);
}

/* RFC 6043 6.1.1 GENERIC-ID: CS ID, Prot type, S (1 bit), #P (7), Ps, Session Data Length (16), Session Data, SPI
 * Length (8), SPI. RFC 3830 6.1.1 SRTP-ID: Policy_no, SSRC, ROC; the stream has the Crypto Session ID of its place. */
static void io_cs(struct io *io, uint8_t map_type, struct mkt_cs *cs)
{
    uint16_t p = (uint16_t)cs->policies.n; /* io_bytes() refuses what this cuts short */
    if (map_type == MKT_MAP_GENERIC_ID) {
        io_u8(io, &cs->cs_id);
        io_u8(io, &cs->prot_type);
        io_split(io, 1, &cs->s, 7, &p);
        io_bytes(io, &cs->policies, p);
        io_vec(io, &cs->session_data, 2);
        io_vec(io, &cs->spi, 1);
    } else if (map_type == MKT_MAP_SRTP_ID) {
        io_bytes(io, &cs->policies, 1);
        io_bytes(io, &cs->session_data, 8);
    } else {
        io_fail(io, MKT_E_BAD_VALUE);
    }
}

void mkt_io_map(struct io *io, uint8_t map_type, uint8_t n, struct mkt_span *map)
{
    struct io list = io_get(io->mode == IO_GET ? io_rest(io) : *map);
    if (map_type > MKT_MAP_GENERIC_ID)
        io_fail(io, MKT_E_BAD_VALUE);
    /* RFC 4563 section 5: the map is conveyed outside of MIKEY, whatever #CS says */
    for (unsigned i = 0; map_type != MKT_MAP_EMPTY && i < n && list.err == MKT_OK; i++)
        io_cs(&list, map_type, &(struct mkt_cs){0});
    io_fail_within(io, io->pos, &list);
    io_bytes(io, map, list.pos);
}

struct kind {
    const char *name;
    void (*io)(struct io *, struct mkt_payload *);
};

static const struct kind *kind_of(unsigned type)
{
    static const struct kind thdr = {"THDR", io_thdr}, kinds[] = {
        [MKT_T] = {"T", io_t},
        [MKT_TR] = {"TR", io_t},
        [MKT_ID] = {"ID", io_id},
        [MKT_IDR] = {"IDR", io_id},
        [MKT_RAND] = {"RAND", io_rand},
        [MKT_RANDR] = {"RANDR", io_rand},
        [MKT_SP] = {"SP", io_sp},
        [MKT_TP] = {"TP", io_tp},
        [MKT_TICKET] = {"TICKET", io_tp},
        [MKT_KEMAC] = {"KEMAC", io_kemac},
        [MKT_KEY_DATA] = {"Key data", io_key_data},
        [MKT_V] = {"V", io_v},
        [MKT_GENERAL_EXT] = {"General Ext.", io_general_ext},
        [MKT_ERR] = {"ERR", io_err},
        [MKT_CERT] = {"CERT", io_cert},
        [MKT_CHASH] = {"CHASH", io_chash},
        [MKT_PKE] = {"PKE", io_pke},
        [MKT_SIGN] = {"SIGN", io_sign},
        [MKT_DH] = {"DH", io_dh},
    };
    if (type == MKT_THDR)
        return &thdr;
    return type < sizeof kinds / sizeof *kinds && kinds[type].io != NULL ? &kinds[type] : NULL;
}

const char *mkt_payload_name(unsigned type)
{
    const struct kind *kind = kind_of(type);
    return type == MKT_LAST ? "Last payload" : kind == NULL ? "unknown" : kind->name;
}

uint8_t mkt_io_first(struct io *io, const struct mkt_payload payload[], size_t n)
{
    if (n == 0)
        return MKT_LAST;
    if (payload[0].type > UINT8_MAX)
        io_fail(io, MKT_E_PAYLOAD); /* THDR has no number */
    return (uint8_t)payload[0].type;
}

uint8_t mkt_io_payload(struct io *io, struct mkt_payload *p, uint8_t next)
{
    const struct kind *kind = kind_of(p->type);
    if (kind == NULL) {
        io->from = io->pos;
        io_fail(io, MKT_E_PAYLOAD);
        return MKT_LAST;
    }
    /* RFC 3830 6.5: "The signature payload is always the last payload", and has no Next Payload to say so */
    if (p->type != MKT_SIGN)
        io_u8(io, &next);
    else if (next != MKT_LAST)
        io_fail(io, MKT_E_ORDER);
    kind->io(io, p);
    return next;
}

void mkt_io_get_payload(struct io *io, uint16_t *type, struct mkt_payload *payload)
{
    const size_t from = io->pos;
    memset(payload, 0, sizeof *payload);
    payload->type = *type;
    *type = mkt_io_payload(io, payload, MKT_LAST);
    payload->octets = io_since(io, from);
    if (*type == MKT_LAST)
        io_expect_end(io);
}

void mkt_io_put_payloads(struct io *io, const struct mkt_payload payload[], size_t n, struct mkt_payload placed[])
{
    for (size_t i = 0; i < n && io->err == MKT_OK; i++) {
        struct mkt_payload copy = payload[i];
        mkt_io_payload(io, &copy, mkt_io_first(io, payload + i + 1, n - i - 1));
        if (placed != NULL)
            placed[i] = copy;
    }
}

enum mkt_err mkt_payload_decode(struct mkt_payload *payload, uint16_t *type, struct mkt_span *rest)
{
    struct io io = io_get(*rest);
    mkt_io_get_payload(&io, type, payload);
    *rest = io_rest(&io);
    return io.err;
}

enum mkt_err mkt_chain_decode(uint16_t *type, struct mkt_span *rest)
{
    struct io io = io_get(*rest);
    uint8_t first = MKT_LAST;
    if (rest->n > 0)
        io_u8(&io, &first);
    if (first == MKT_LAST)
        io_expect_end(&io);
    *type = first;
    *rest = io_rest(&io);
    return io.err;
}

enum mkt_err mkt_payloads_encode(const struct mkt_payload payload[], size_t n, struct mkt_buf *out)
{
    struct io io = io_put(out);
    mkt_io_put_payloads(&io, payload, n, NULL);
    return io_done(&io, out);
}

enum mkt_err mkt_chain_encode(const struct mkt_payload payload[], size_t n, struct mkt_buf *out)
{
    struct io io = io_put(out);
    uint8_t first = mkt_io_first(&io, payload, n);
    io_u8(&io, &first);
    mkt_io_put_payloads(&io, payload, n, NULL);
    return io_done(&io, out);
}

uint8_t mkt_payload_role(const struct mkt_payload *p)
{
    if (p->type == MKT_TR)
        return p->t.role;
    if (p->type == MKT_IDR)
        return p->id.role;
    if (p->type == MKT_RANDR)
        return p->rand.role;
    return p->type == MKT_GENERAL_EXT ? p->general_ext.type : 0;
}

enum mkt_err mkt_cs_next(struct mkt_cs *cs, uint8_t map_type, uint8_t number, struct mkt_span *rest)
{
    struct io io = io_get(*rest);
    *cs = (struct mkt_cs){.cs_id = number, .prot_type = MKT_PROT_SRTP};
    io_cs(&io, map_type, cs);
    *rest = io_rest(&io);
    return io.err;
}

enum mkt_err mkt_cs_encode(const struct mkt_cs *cs, uint8_t map_type, struct mkt_buf *map)
{
    struct io io = io_put(map);
    struct mkt_cs copy = *cs;
    io_cs(&io, map_type, &copy);
    return io_done(&io, map);
}

enum mkt_err mkt_sp_param_next(struct mkt_sp_param *param, struct mkt_span *rest)
{
    struct io io = io_get(*rest);
    *param = (struct mkt_sp_param){0};
    io_sp_param(&io, param);
    *rest = io_rest(&io);
    return io.err;
}

enum mkt_err mkt_sp_param_encode(const struct mkt_sp_param *param, struct mkt_buf *params)
{
    struct io io = io_put(params);
    struct mkt_sp_param copy = *param;
    io_sp_param(&io, &copy);
    return io_done(&io, params);
}
