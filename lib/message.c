/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

const char *mkt_data_type_name(unsigned data_type)
{
    static const char *const names[] = {
        [MKT_PSK] = "Pre-shared",
        [MKT_PSK_VER] = "PSK ver msg",
        [MKT_PK] = "Public key",
        [MKT_PK_VER] = "PK ver msg",
        [MKT_DH_INIT] = "D-H init",
        [MKT_DH_RESP] = "D-H resp",
        [MKT_ERROR] = "Error",
        [MKT_REQUEST_INIT_PSK] = "REQUEST_INIT_PSK",
        [MKT_REQUEST_INIT_PK] = "REQUEST_INIT_PK",
        [MKT_REQUEST_RESP] = "REQUEST_RESP",
        [MKT_TRANSFER_INIT] = "TRANSFER_INIT",
        [MKT_TRANSFER_RESP] = "TRANSFER_RESP",
        [MKT_RESOLVE_INIT_PSK] = "RESOLVE_INIT_PSK",
        [MKT_RESOLVE_INIT_PK] = "RESOLVE_INIT_PK",
        [MKT_RESOLVE_RESP] = "RESOLVE_RESP",
    };
    return data_type < sizeof names / sizeof *names && names[data_type] != NULL ? names[data_type] : "unknown";
}

/* RFC 3830 6.1 HDR: version, data type, next payload, V (1 bit), PRF func (7 bits), CSB ID (32), #CS, map type, map */
static void io_hdr(struct io *io, struct mkt_hdr *h, uint8_t *next)
{
    io_u8(io, &h->version);
    if (h->version != 1)
        io_fail(io, MKT_E_VERSION);
    io_u8(io, &h->data_type);
    io_u8(io, next);
    io_split(io, 1, &h->v, 7, &h->prf);
    io_u32(io, &h->csb_id);
    io_u8(io, &h->n_cs);
    io_u8(io, &h->map_type);
    mkt_io_map(io, h->map_type, h->n_cs, &h->map);
}

static struct io get(struct mkt_message *message, struct mkt_span in)
{
    struct io io = io_get(in);
    uint8_t first = MKT_LAST;
    message->hdr = (struct mkt_hdr){0};
    io_hdr(&io, &message->hdr, &first);
    uint16_t type = first;
    for (message->n = 0; type != MKT_LAST && io.err == MKT_OK; message->n++) {
        if (message->n == MKT_MAX_PAYLOADS) {
            io_fail(&io, MKT_E_TOO_MANY);
            return io;
        }
        mkt_io_get_payload(&io, &type, &message->payload[message->n]);
    }
    io_expect_end(&io);
    return io;
}

enum mkt_err mkt_message_decode(struct mkt_message *message, struct mkt_span in)
{
    return get(message, in).err;
}

void mkt_io_put_message(struct io *io, const struct mkt_message *message, struct mkt_payload placed[])
{
    struct mkt_hdr hdr = message->hdr;
    uint8_t next = mkt_io_first(io, message->payload, message->n);
    io_hdr(io, &hdr, &next);
    mkt_io_put_payloads(io, message->payload, message->n, placed);
}

enum mkt_err mkt_message_encode(const struct mkt_message *message, struct mkt_buf *out)
{
    struct io io = io_put(out);
    if (message->n > MKT_MAX_PAYLOADS)
        return MKT_E_ARGUMENT;
    mkt_io_put_message(&io, message, NULL);
    return io_done(&io, out);
}

size_t mkt_message_error_offset(struct mkt_span in)
{
    struct mkt_message message;
    return get(&message, in).from;
}

const struct mkt_payload *mkt_message_find(const struct mkt_message *message, unsigned type, uint8_t role)
{
    for (size_t i = 0; i < message->n; i++)
        if (message->payload[i].type == type && mkt_payload_role(&message->payload[i]) == role)
            return &message->payload[i];
    return NULL;
}

/* How often each rule was met, and whether V or SIGN was: nothing may come after. */
struct tally {
    const struct mkt_rule *rules;
    size_t n;
    struct mkt_payload *found; /* for each rule the first payload that it names; NULL: they are not wanted */
    bool ended;
    uint8_t met[MKT_MAX_RULES];
};

static enum mkt_err tally_payload(struct tally *tally, const struct mkt_payload *payload)
{
    const uint8_t role = mkt_payload_role(payload);
    size_t r = 0;
    while (r < tally->n && (tally->rules[r].type != payload->type || tally->rules[r].role != role))
        r++;
    if (tally->ended)
        return MKT_E_ORDER;
    tally->ended = payload->type == MKT_V || payload->type == MKT_SIGN;
    if (r == tally->n)
        return MKT_OK;
    if (tally->found != NULL && tally->met[r] == 0)
        tally->found[r] = *payload;
    if (tally->met[r] < MKT_ANY)
        tally->met[r]++;
    return tally->met[r] <= tally->rules[r].max ? MKT_OK : MKT_E_TOO_MANY;
}

static enum mkt_err tally_end(const struct tally *tally, struct mkt_detail *detail)
{
    for (size_t r = 0; r < tally->n; r++)
        if (tally->met[r] < tally->rules[r].min)
            return mkt_blame(detail, MKT_E_MISSING, mkt_payload_name(tally->rules[r].type), NULL);
    return MKT_OK;
}

enum mkt_err mkt_message_check(const struct mkt_message *message, const struct mkt_rule rules[], size_t n,
                               struct mkt_detail *detail)
{
    struct tally tally = {.rules = rules, .n = n};
    for (size_t i = 0; i < message->n; i++) {
        const enum mkt_err err = tally_payload(&tally, &message->payload[i]);
        if (err != MKT_OK)
            return mkt_blame(detail, err, mkt_payload_name(message->payload[i].type), NULL);
    }
    return tally_end(&tally, detail);
}

enum mkt_err mkt_chain_collect(unsigned first, struct mkt_span octets, const struct mkt_rule rules[], size_t n,
                               struct mkt_payload found[])
{
    struct tally tally = {.rules = rules, .n = n, .found = found};
    struct mkt_payload payload;
    uint16_t type = (uint16_t)first;
    enum mkt_err err = MKT_OK;
    memset(found, 0, n * sizeof *found);
    while (err == MKT_OK && type != MKT_LAST) {
        err = mkt_payload_decode(&payload, &type, &octets);
        err = err == MKT_OK ? tally_payload(&tally, &payload) : err;
    }
    return err == MKT_OK ? tally_end(&tally, NULL) : err;
}

void mkt_message_covered(const struct mkt_message *message, struct mkt_span octets, struct mkt_span part[2])
{
    const struct mkt_payload *ticket = mkt_message_find(message, MKT_TICKET, 0);
    struct io io = io_get(octets);
    struct mkt_span left_out = {NULL, 0};
    part[0] = left_out;
    if (message->hdr.data_type == MKT_TRANSFER_INIT && ticket != NULL) {
        const struct mkt_ticket_payload *t = &ticket->ticket;
        io_bytes(&io, &part[0], (size_t)(t->ticket_data.p + t->ticket_data.n - octets.p));
        io_vec(&io, &left_out, 2);
    }
    io_bytes(&io, &part[1], (size_t)(mkt_message_proof(message).p - (octets.p + io.pos)));
}
