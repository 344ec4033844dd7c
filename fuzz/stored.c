/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a stored bundle: what is read can be used without harm, and takes or refuses the right message of the
 * scene that the first octet names.
 */
#include "scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene scenes[2 * TAKES];
    struct mkt_csb *csb;
    if (size == 0)
        return 0;
    const unsigned i = data[0] % (2 * TAKES);
    struct scene *scene = &scenes[i];
    if (scene->taker == NULL)
        scene_open(scene, (enum take)(i / 2), i % 2 == 0);
    const struct mkt_span right = {scene->octets, scene->message.n};
    const enum mkt_err err =
        mkt_csb_get(&csb, &scene->taker->host, &scene->taker->settings, (struct mkt_span){data + 1, size - 1});
    require((err == MKT_OK) == (csb != NULL));
    if (csb != NULL && mkt_csb_take(csb, right, mkt_span_text("mikey")) == MKT_OK)
        use_all(csb, scene->taker);
    else if (csb != NULL)
        mkt_csb_abandon(csb);
    mkt_csb_free(csb);
    return 0;
}
