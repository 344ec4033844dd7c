/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as what Bob remembers of a ticket that his KMS resolved, when it is used again: with what he wrote himself
 * he needs no KMS and has the keys of Alice; with anything else he refuses, or asks his KMS.
 */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mkt_span remembered;

static enum mkt_err resolved(void *user, struct mkt_span ticket, struct mkt_buf *octets)
{
    (void)user;
    (void)ticket;
    if (remembered.n > octets->cap - octets->n)
        return MKT_E_BUFFER;
    if (remembered.n > 0)
        memcpy(octets->p + octets->n, remembered.p, remembered.n);
    octets->n += remembered.n;
    return MKT_OK;
}

/* What Bob wrote in the same call, once he had the answer of his KMS; nothing where he need not ask. */
static bool is_right(uint8_t variant, struct mkt_span input)
{
    static uint8_t octets[16384];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const struct scene *scene = scene_of(TAKE_TRANSFER_RESP, variant);
    return mkt_csb_save_resolved(scene->bob.csb, &out) == MKT_OK &&
           mkt_span_equal(input, (struct mkt_span){octets, out.n});
}

/* Without a KMS Bob has the keys, or refuses. */
static void take_alone(struct scene *scene)
{
    struct mkt_settings settings = scene->bob.settings;
    struct mkt_csb *csb;
    settings.kms = NULL;
    scene_rewind(scene);
    require(mkt_csb_new(&csb, MKT_RESPONDER, &scene->bob.host, &settings) == MKT_OK);
    const enum mkt_err err = mkt_csb_take_offer(csb, scene_right(scene), mkt_span_text("mikey"));
    require(err != MKT_OK || !mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK));
    mkt_csb_free(csb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct mkt_span input = {data + 1, size - 1};
    const bool right = (data[0] & NO_ANSWER) == 0 && is_right(data[0], input);
    struct scene *scene = scene_of(TAKE_TRANSFER_INIT_FOR_KMS, data[0]);
    const struct mkt_span message = scene_right(scene);
    scene->bob.host.resolved = resolved;
    remembered = input;
    struct mkt_csb *csb = scene_copy(&scene->bob);
    bool same = false;
    const enum mkt_err err = mkt_csb_take_offer(csb, message, mkt_span_text("mikey"));
    require(!right || err == MKT_OK);
    if (err == MKT_OK && right)
        require(scene_go_on(scene, csb, &same) && same);
    use_all(csb, &scene->bob);
    mkt_csb_free(csb);
    take_alone(scene);
    return 0;
}
