/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes in and out of the codec and SDP costs no allocation, over all messages of the vectors. */
#include "described.h"
#include "allocations.h"
#include "player.h"

#include <mikeyticket/sdp.h>

#include <string.h>

static uint8_t octets[65536];

static enum mkt_err walk(uint16_t type, struct mkt_span chain)
{
    struct mkt_payload p;
    enum mkt_err err = MKT_OK;
    while (err == MKT_OK && type != MKT_LAST)
        err = mkt_payload_decode(&p, &type, &chain);
    return err;
}

static enum mkt_err get_and_put(struct mkt_span in)
{
    static struct mkt_message m;
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_policy policy;
    struct mkt_cs cs;
    enum mkt_err err = mkt_message_decode(&m, in);
    const struct mkt_payload *ticket = mkt_message_find(&m, MKT_TICKET, 0);
    if (ticket != NULL && err == MKT_OK)
        err = mkt_policy_decode(&policy, &ticket->ticket);
    if (ticket != NULL && err == MKT_OK)
        err = walk(MKT_THDR, ticket->ticket.ticket_data);
    if (ticket != NULL && err == MKT_OK)
        err = mkt_policy_encode(&policy, &out);
    for (struct mkt_span map = m.hdr.map; map.n > 0 && err == MKT_OK;)
        err = mkt_cs_next(&cs, m.hdr.map_type, 0, &map);
    out.n = 0;
    if (err == MKT_OK)
        err = mkt_message_encode(&m, &out);
    return err;
}

static enum mkt_err write_and_find(struct mkt_span in)
{
    static const char head[] = "v=0\r\nm=message 9 TCP/TLS/MSRP *\r\n";
    struct mkt_buf line = {octets, sizeof octets, sizeof head - 1}, message = {octets + 40000, 20000, 0};
    memcpy(octets, head, sizeof head - 1);
    enum mkt_err err = mkt_sdp_key_mgmt_encode(in, &line);
    if (err == MKT_OK)
        err = text_get((struct mkt_span){octets, line.n}, 0, &message);
    return err;
}

START_TEST(get_put_and_sdp_do_not_allocate)
{
    struct vectors all = vectors_read("rfc6043.txt");
    unsigned long used = 0, messages = 0;
    if (allocations == 0)
        fprintf(stderr,
                "codec: allocations are not counted here (sanitizers and valgrind have a malloc of their own)\n");
    for (size_t i = 0; i < all.n; i++) {
        for (size_t f = 0; f < all.section[i].n; f++) {
            const char *name = all.section[i].field[f].name, *end = strrchr(name, '_');
            if (end == NULL || (strcmp(end, "_init") != 0 && strcmp(end, "_resp") != 0))
                continue;
            struct mkt_span in = octets_of(&all.section[i], name);
            unsigned long before = allocations;
            enum mkt_err codec = get_and_put(in), sdp = write_and_find(in);
            used += allocations - before; /* before Check allocates for its own purposes */
            expect_err(name, codec, MKT_OK);
            expect_err(name, sdp, MKT_OK);
            messages++;
        }
    }
    ck_assert_uint_gt(messages, 0);
    ck_assert_uint_eq(used, 0);
    vectors_free(&all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec");
    TCase *tcase = tcase_create("allocations");
    tcase_add_test(tcase, get_put_and_sdp_do_not_allocate);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
