/* SPDX-License-Identifier: BSD-3-Clause */
#include "initiator_data.h"

enum mkt_err mkt_initiator_data_encode(enum mkt_suite suite, struct mkt_buf *arena, struct mkt_span *data)
{
    const uint8_t mac_alg = mkt_suite_algorithms(suite)->mac_alg;
    const struct mkt_v v = {mac_alg, {NULL, mkt_mac_length(mac_alg)}};
    const struct mkt_payload vs[] = {{.type = MKT_V, .v = v}, {.type = MKT_V, .v = v}};
    const size_t from = arena->n;
    enum mkt_err err = mkt_chain_encode(vs, 2, arena);
    *data = io_tail(arena, from);
    return err == MKT_E_BUFFER ? MKT_E_BUNDLE_FULL : err;
}

enum mkt_err mkt_initiator_data_decode(struct mkt_span data, struct mkt_v *vi, struct mkt_v *vr)
{
    struct io io = io_get(data);
    struct mkt_payload p = {.type = MKT_LAST};
    uint8_t type = MKT_LAST;
    size_t n = 0;
    *vi = *vr = (struct mkt_v){0};
    if (data.n > 0)
        io_u8(&io, &type);
    while (io.err == MKT_OK && type != MKT_LAST) {
        p = (struct mkt_payload){.type = type};
        type = mkt_io_payload(&io, &p, MKT_LAST);
        /* Vi "SHALL be identical to the V payload", which is the last of its message; Vr follows all the same (D14) */
        if (p.type == MKT_V && n == 0 && type == MKT_LAST && io_left(&io))
            type = MKT_V;
        if (p.type == MKT_V)
            *(n++ == 0 ? vi : vr) = p.v;
    }
    io_expect_end(&io);
    if (io.err != MKT_OK)
        return io.err;
    /* "The last payload (Vr) SHALL be a Verification payload" */
    if (n != 2)
        return n < 2 ? MKT_E_MISSING : MKT_E_TOO_MANY;
    return p.type == MKT_V ? MKT_OK : MKT_E_ORDER;
}

/* "The Vi payload SHALL be identical to the V payload in the TRANSFER_INIT message", except its Next Payload (D14).
 * "The authentication key (auth_key) SHALL be derived from MPKr (not forked)". */
enum mkt_err mkt_initiator_data_seal(enum mkt_suite suite, struct mkt_span mpkr, const struct mkt_message *message,
                                     struct mkt_buf *out)
{
    const struct mkt_protection by_mpkr = {.suite = suite, .key = mpkr, .label = {.purpose = MKT_PURPOSE_VR}};
    const struct mkt_span v_mac = mkt_message_find(message, MKT_V, 0)->v.mac;
    const struct mkt_span data = mkt_message_find(message, MKT_TICKET, 0)->ticket.initiator_data;
    struct mkt_v vi, vr;
    enum mkt_err err = mkt_initiator_data_decode(data, &vi, &vr);
    if (err == MKT_OK && vi.mac.n != v_mac.n)
        err = MKT_E_LENGTH;
    if (err != MKT_OK)
        return err;
    memcpy(io_within(out, vi.mac), v_mac.p, v_mac.n);
    /* "the MAC SHALL cover the entire Initiator Data field except the MAC field itself" */
    const struct mkt_span part = {data.p, data.n - vr.mac.n};
    return mkt_protect_seal(&by_mpkr, NULL, &part, 1, io_within(out, vr.mac));
}

enum mkt_err mkt_initiator_data_check(struct mkt_span data, bool forked, const struct mkt_v *v)
{
    struct mkt_v vi, vr;
    if (forked != (data.n > 0))
        return MKT_E_INITIATOR_DATA;
    enum mkt_err err = forked ? mkt_initiator_data_decode(data, &vi, &vr) : MKT_OK;
    if (err != MKT_OK || !forked || v == NULL)
        return err;
    /* neither is a secret: both stand in the message */
    return vi.mac_alg == v->mac_alg && mkt_span_equal(vi.mac, v->mac) ? MKT_OK : MKT_E_INITIATOR_MAC;
}

enum mkt_err mkt_initiator_data_verify(enum mkt_suite suite, struct mkt_span mpkr, struct mkt_span data)
{
    const struct mkt_protection by_mpkr = {.suite = suite, .key = mpkr, .label = {.purpose = MKT_PURPOSE_VR}};
    struct mkt_v vi, vr;
    enum mkt_err err = mkt_initiator_data_decode(data, &vi, &vr);
    if (err != MKT_OK)
        return err;
    /* "The authentication algorithm SHALL be the same as used for the Vi payload." */
    if (vr.mac_alg != vi.mac_alg || vr.mac_alg != mkt_suite_algorithms(suite)->mac_alg)
        return MKT_E_MAC_ALG;
    const struct mkt_span part = {data.p, data.n - vr.mac.n};
    err = mkt_protect_open(&by_mpkr, NULL, &part, 1, vr.mac);
    return err == MKT_E_MAC ? MKT_E_INITIATOR_MAC : err;
}
