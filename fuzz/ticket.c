/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a TICKET payload that is opened with its key: what is refused leaves nothing behind, what is opened is
 * a chain of keys, and refused with another MAC. A ticket has its MAC last.
 */
#include "mutate.h"
#include "scene.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum mkt_err open_ticket(uint8_t first, struct mkt_span input, struct mkt_buf *keys)
{
    struct mkt_span rest = input;
    struct mkt_payload payload;
    uint16_t type = MKT_TICKET;
    const enum mkt_err err = mkt_payload_decode(&payload, &type, &rest);
    return err == MKT_OK ? mkt_ticket_open(&payload, (struct mkt_span){scene_tpk, first % 2 == 0 ? 32 : 16}, keys)
                         : err;
}

static void walk(struct mkt_span chain)
{
    struct mkt_payload payload;
    uint16_t type = MKT_KEY_DATA;
    while (type != MKT_LAST)
        require(mkt_payload_decode(&payload, &type, &chain) == MKT_OK);
    require(chain.n == 0);
}

#ifdef VERIFIED

static void check_mac(uint8_t first, struct mkt_span input, struct mkt_buf *keys)
{
    uint8_t *octets = malloc(input.n);
    struct mkt_span rest = input;
    struct mkt_payload payload;
    uint16_t type = MKT_TICKET;
    require(octets != NULL && mkt_payload_decode(&payload, &type, &rest) == MKT_OK);
    memcpy(octets, input.p, input.n);
    octets[payload.ticket.ticket_data.p + payload.ticket.ticket_data.n - 1 - input.p] ^= 1;
    keys->n = 0;
    require(open_ticket(first, (struct mkt_span){octets, input.n}, keys) == MKT_E_TICKET_MAC && keys->n == 0);
    free(octets);
}

#else

static void check_mac(uint8_t first, struct mkt_span input, struct mkt_buf *keys)
{
    (void)first;
    (void)input;
    (void)keys;
}

#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct mkt_span input = {data + 1, size - 1};
    struct mkt_buf measured = {NULL, 0, 0}, keys = {malloc(size), size, 0};
    require(keys.p != NULL);
    const enum mkt_err err = open_ticket(data[0], input, &keys), shape = open_ticket(data[0], input, &measured);
    require(err != MKT_OK || (shape == MKT_OK && measured.n == keys.n));
    require(err == MKT_OK || keys.n == 0);
    if (err == MKT_OK) {
        walk((struct mkt_span){keys.p, keys.n});
        check_mac(data[0], input, &keys);
    }
    free(keys.p);
    return 0;
}

/* ---- for the mutator that seals ---- */

const bool mutate_message = false;

/* The TICKET payload that Alice was granted. */
struct mkt_span mutate_example(uint8_t first)
{
    static uint8_t octets[2][4096];
    static struct mkt_buf example[2];
    struct mkt_buf *out = &example[first % 2];
    struct mkt_message message;
    struct mkt_payload ticket;
    if (out->n == 0) {
        const struct scene *scene = scene_of(TAKE_TRANSFER_INIT, first % 2 == 0 ? PLAIN : PLAIN | SUITE_128 | SPARSE);
        require(mkt_message_decode(&message, scene_right(scene)) == MKT_OK);
        for (size_t i = 0; i < message.n; i++)
            if (message.payload[i].type == MKT_TICKET)
                ticket = message.payload[i];
        *out = (struct mkt_buf){octets[first % 2], sizeof *octets, 0};
        require(mkt_payloads_encode(&ticket, 1, out) == MKT_OK);
    }
    return (struct mkt_span){out->p, out->n};
}

void mutate_offer(uint8_t first, struct mkt_span input)
{
    static uint8_t octets[65536];
    struct mkt_buf keys = {octets, sizeof octets, 0};
    if (open_ticket(first, input, &keys) != MKT_OK)
        require(keys.n == 0);
}
