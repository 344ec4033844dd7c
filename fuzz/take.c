/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as the message that a party is about to take: TAKE says which. What is refused leaves the party as it was,
 * and it takes the right message afterwards; what is taken leaves a party that works. Built twice, with the library as
 * it is and with one that accepts every MAC, so that what lies behind it is reached.
 */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a bundle is, as octets. */
static struct mkt_buf snapshot(const struct mkt_csb *csb)
{
    struct mkt_buf out = {NULL, 0, 0};
    require(mkt_csb_put(csb, &out) == MKT_OK);
    out = (struct mkt_buf){malloc(out.n), out.n, 0};
    require(out.p != NULL && mkt_csb_put(csb, &out) == MKT_OK);
    return out;
}

/* Scenes are played once: each input gets a copy of the party that stands there. */
static struct mkt_csb *copy_of(const struct scene *scene)
{
    struct mkt_buf stored = snapshot(scene->taker->csb);
    struct mkt_csb *csb;
    const struct mkt_span octets = {stored.p, stored.n};
    require(mkt_csb_get(&csb, &scene->taker->host, &scene->taker->settings, octets) == MKT_OK);
    free(stored.p);
    return csb;
}

static void play(const struct scene *scene, struct mkt_span input)
{
    uint8_t octets[4096];
    const struct mkt_span right = {scene->octets, scene->message.n};
    struct mkt_buf error = {octets, sizeof octets, 0};
    struct mkt_csb *csb = copy_of(scene);
    struct mkt_buf before = snapshot(csb);
    const enum mkt_err err = mkt_csb_take(csb, input, mkt_span_text("mikey"));
    if (err != MKT_OK) {
        struct mkt_buf after = snapshot(csb);
        require(after.n == before.n && memcmp(after.p, before.p, after.n) == 0);
        free(after.p);
        require(mkt_csb_make_error(csb, input, err, NULL, 0, &error) == MKT_OK || error.n == 0);
        require(mkt_csb_take(csb, right, mkt_span_text("mikey")) == MKT_OK);
    }
    use_all(csb, scene->taker);
    mkt_csb_free(csb);
    free(before.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene scenes[2];
    if (size == 0)
        return 0;
    struct scene *scene = &scenes[data[0] % 2];
    if (scene->taker == NULL)
        scene_open(scene, TAKE, data[0] % 2 == 0);
    const uint64_t drawn = scene->taker->drawn;
    play(scene, (struct mkt_span){data + 1, size - 1});
    scene->taker->drawn = drawn;
    return 0;
}
