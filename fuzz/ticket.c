/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a stored ticket, and as a TICKET payload that is to be opened: what is read is written again to the
 * same octets, and what is refused leaves nothing behind.
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

static void stored(struct mkt_span input)
{
    static const struct mkt_host host;
    struct mkt_ticket *ticket;
    struct mkt_policy policy;
    if (mkt_ticket_get(&ticket, &host, input) != MKT_OK) {
        require(ticket == NULL);
        return;
    }
    struct mkt_buf out = {malloc(input.n), input.n, 0};
    require(out.p != NULL && mkt_ticket_put(ticket, &out) == MKT_OK);
    require(out.n == input.n && memcmp(out.p, input.p, input.n) == 0);
    require(mkt_ticket_policy(ticket, &policy) == MKT_OK && policy.n_responders > 0);
    free(out.p);
    mkt_ticket_free(ticket);
}

static void opened(struct mkt_span input)
{
    static const uint8_t tpk[32];
    uint16_t type = MKT_TICKET;
    struct mkt_payload payload;
    struct mkt_span rest = input;
    if (mkt_payload_get(&payload, &type, &rest) != MKT_OK)
        return;
    struct mkt_buf keys = {malloc(input.n), input.n, 0};
    require(keys.p != NULL);
    if (mkt_ticket_open(&payload, (struct mkt_span){tpk, sizeof tpk}, &keys) != MKT_OK)
        require(keys.n == 0);
    free(keys.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    stored((struct mkt_span){data, size});
    opened((struct mkt_span){data, size});
    return 0;
}
