/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a stored ticket. A ticket that is read is written again to the same octets, and can be offered. The
 * exception is a ticket without J: it is written as used, and one that counts as used is neither written nor offered.
 * What is refused leaves nothing behind. By the first octet the host has a ticket type of its own.
 */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An offer uses the ticket up where it may be used but once. */
static void offer(const struct scene *scene, struct mkt_ticket *ticket, bool reusable)
{
    static uint8_t octets[16384];
    const struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = scene->bob.settings.self};
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_csb *csb;
    require(mkt_csb_new(&csb, MKT_INITIATOR, &scene->alice.host, &scene->alice.settings) == MKT_OK);
    const enum mkt_err err = mkt_csb_make_transfer_init(csb, &offer, &out);
    require(err == MKT_OK || out.n == 0);
    mkt_csb_free(csb);
    if (err != MKT_OK)
        return;
    struct mkt_message message;
    require(mkt_message_decode(&message, (struct mkt_span){octets, out.n}) == MKT_OK);
    out.n = 0;
    require(mkt_csb_new(&csb, MKT_INITIATOR, &scene->alice.host, &scene->alice.settings) == MKT_OK);
    require(mkt_csb_make_transfer_init(csb, &offer, &out) == (reusable ? MKT_OK : MKT_E_REUSE));
    mkt_csb_free(csb);
    out.n = 0;
    require(mkt_ticket_save(ticket, &out) == (reusable ? MKT_OK : MKT_E_REUSE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mkt_ticket *ticket;
    struct mkt_policy policy;
    if (size == 0)
        return 0;
    const struct mkt_span input = {data + 1, size - 1};
    const struct scene *scene = scene_of(TAKE_TRANSFER_RESP, data[0] & OWN_TYPE);
    if (mkt_ticket_load(&ticket, &scene->alice.host, input) != MKT_OK) {
        require(ticket == NULL);
        return 0;
    }
    struct mkt_buf out = {malloc(input.n), input.n, 0};
    require(mkt_ticket_policy(ticket, &policy) == MKT_OK && policy.n_responders > 0);
    const bool reusable = (policy.flags & MKT_FLAG_J) != 0, used = input.p[0] == 2;
    const enum mkt_err err = mkt_ticket_save(ticket, &out);
    require(out.p != NULL && err == (used ? MKT_E_REUSE : MKT_OK) && !(used && reusable));
    if (err == MKT_OK)
        require(out.n == input.n && out.p[0] == (reusable ? 1 : 2) && memcmp(out.p + 1, input.p + 1, input.n - 1) == 0);
    free(out.p);
    offer(scene, ticket, reusable);
    mkt_ticket_free(ticket);
    return 0;
}
