/* SPDX-License-Identifier: BSD-3-Clause */
/* vectors/refuse.txt: `bytes` is refused for the reason that its class names, and the same object then takes
 * `valid`. */
#include "cases.h"

static void refuse_resolve_resp(struct actor *a, const struct section *s)
{
    actor_begin(a, s, MKT_RESPONDER);
    actor_takes(a, s, "transfer_init");
    actor_resolves(a, s);
    actor_refuses(a, s);
    expect_octets("id_i", mkt_csb_peer(a->csb).data, text(text_of(s, "id_i")));
}

int main(void)
{
    static const struct kind kinds[] = {
        {"refuse-offer", refuse_offer},
        {"refuse-answer", refuse_answer},
        {"refuse-request-resp", refuse_request_resp},
        {"refuse-resolve-resp", refuse_resolve_resp},
        {"refuse-offer-forked", refuse_offer_forked},
    };
    return run_cases("refuse.txt", kinds, sizeof kinds / sizeof *kinds);
}
