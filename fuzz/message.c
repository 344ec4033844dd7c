/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a message: what decodes encodes again to the same octets, measures the same, and does not fit into one
 * octet less. All that is nested in it is walked, and each octet of each view is read.
 */
#include <mikeyticket.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* A view lies within the input, and each of its octets can be read. */
static void read_all(struct mkt_span s, struct mkt_span input)
{
    static volatile uint8_t sum;
    require(s.n == 0 || (s.p >= input.p && s.p + s.n <= input.p + input.n));
    for (size_t i = 0; i < s.n; i++)
        sum = (uint8_t)(sum + s.p[i]);
}

static void walk(uint16_t type, struct mkt_span chain, struct mkt_span input);

static void walk_typed(struct mkt_span chain, struct mkt_span input)
{
    uint16_t type;
    if (mkt_chain_decode(&type, &chain) == MKT_OK)
        walk(type, chain, input);
}

static void read_policy(const struct mkt_ticket_payload *p, struct mkt_span input)
{
    struct mkt_policy policy;
    walk_typed(p->tp_data, input);
    if (mkt_policy_decode(&policy, p) == MKT_OK && mkt_policy_check(&policy, 0) == MKT_OK)
        require(policy.n_responders > 0); /* it may name no Initiator (D21) */
}

static void read_payload(const struct mkt_payload *p, struct mkt_span input)
{
    struct mkt_sp_param param;
    struct mkt_span rest;
    read_all(p->octets, input);
    switch (p->type) {
    case MKT_TICKET:
        walk(MKT_THDR, p->ticket.ticket_data, input);
        walk_typed(p->ticket.initiator_data, input);
        read_policy(&p->ticket, input);
        return;
    case MKT_TP:
        read_policy(&p->ticket, input);
        return;
    case MKT_KEMAC:
        walk(MKT_KEY_DATA, p->kemac.encr_data, input);
        return;
    case MKT_SP:
        for (rest = p->sp.params; rest.n > 0;) {
            require(mkt_sp_param_next(&param, &rest) == MKT_OK);
            read_all(param.value, input);
        }
        return;
    }
}

static void walk(uint16_t type, struct mkt_span chain, struct mkt_span input)
{
    struct mkt_payload p;
    while (type != MKT_LAST && mkt_payload_decode(&p, &type, &chain) == MKT_OK)
        read_payload(&p, input);
}

static void read_map(const struct mkt_hdr *hdr, struct mkt_span input)
{
    struct mkt_span rest = hdr->map;
    struct mkt_cs cs;
    for (unsigned i = 0; hdr->map_type != MKT_MAP_EMPTY && i < hdr->n_cs; i++) {
        require(mkt_cs_next(&cs, hdr->map_type, (uint8_t)(i + 1), &rest) == MKT_OK);
        read_all(cs.policies, input);
        read_all(cs.session_data, input);
        read_all(cs.spi, input);
    }
    require(rest.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mkt_span input = {data, size};
    struct mkt_message message;
    if (mkt_message_decode(&message, input) != MKT_OK) {
        require(mkt_message_error_offset(input) <= size);
        return 0;
    }
    read_map(&message.hdr, input);
    for (size_t i = 0; i < message.n; i++)
        read_payload(&message.payload[i], input);

    uint8_t *out = malloc(size);
    struct mkt_buf buf = {out, size, 0}, measured = {NULL, 0, 0}, small = {out, size - 1, 0};
    require(out != NULL);
    require(mkt_message_encode(&message, &small) == MKT_E_BUFFER && small.n == 0);
    require(mkt_message_encode(&message, &measured) == MKT_OK && measured.n == size);
    require(mkt_message_encode(&message, &buf) == MKT_OK && buf.n == size && memcmp(out, data, size) == 0);
    free(out);
    return 0;
}
