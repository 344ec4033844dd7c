/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a stored bundle: what is read is written again to the same octets (but that one that is ready leaves a
 * TICKET behind), can be used without harm, and takes or refuses the right message of the scene that the first two
 * octets name. By the second it has less room than before.
 */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(struct mkt_span a, struct mkt_span b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static void require_lossless(const struct mkt_csb *csb, const struct mkt_host *host,
                             const struct mkt_settings *settings, struct mkt_span input)
{
    struct mkt_buf again = scene_stored(csb);
    const struct mkt_span octets = {again.p, again.n};
    struct mkt_csb *copy;
    if (mkt_csb_ready(csb) && again.n < input.n) {
        require(mkt_csb_load(&copy, host, settings, octets) == MKT_OK);
        struct mkt_buf third = scene_stored(copy);
        require(same((struct mkt_span){third.p, third.n}, octets));
        free(third.p);
        mkt_csb_free(copy);
    } else {
        require(same(octets, input));
    }
    free(again.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mkt_csb *csb;
    if (size < 2)
        return 0;
    struct scene *scene = scene_of((enum take)(data[1] % 128 % TAKES), data[0]);
    const struct mkt_span input = {data + 2, size - 2};
    struct mkt_settings settings = scene->taker->settings;
    settings.bundle_size = data[1] < 128 ? settings.bundle_size : settings.bundle_size / 2;
    settings.self.data.n = settings.peer.data.n = 0; /* those of the input */
    const enum mkt_err err = mkt_csb_load(&csb, &scene->taker->host, &settings, input);
    require((err == MKT_OK) == (csb != NULL));
    if (csb == NULL)
        return 0;
    require_lossless(csb, &scene->taker->host, &settings, input);
    const enum mkt_err took = mkt_csb_take_offer(csb, scene_right(scene), mkt_span_text("mikey"));
    if (taken(took) == MKT_OK && data[1] < 128)
        use_all(csb, scene->taker);
    else
        mkt_csb_abandon(csb);
    mkt_csb_free(csb);
    return 0;
}
