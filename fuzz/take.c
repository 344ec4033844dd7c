/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as the message that a party is about to take: TAKE says which. What is refused leaves the party as it was,
 * and it takes the right message afterwards; what is taken leaves a party that works. Built twice, with the library as
 * it is and with one that accepts every MAC, so that what lies behind it is reached. With MACs, what was taken is
 * refused a second time and with another MAC, and whoever takes the answer to it has the same keys.
 */
#include "mutate.h"
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mkt_span protocols = {(const uint8_t *)"mikey", 5};

#ifdef VERIFIED

/* Bob waits for his KMS, and nothing is verified yet. */
static bool waits(const struct mkt_csb *csb)
{
    return mkt_csb_role(csb) == MKT_RESPONDER && mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK);
}

static enum mkt_err take_again(struct scene *scene, struct mkt_span input)
{
    struct mkt_csb *csb = scene_copy(scene->taker);
    enum mkt_err err = taken(mkt_csb_take_offer(csb, input, protocols));
    bool same;
    if (err == MKT_OK && waits(csb)) {
        scene_go_on(scene, csb, &same);
        err = mkt_csb_ready(csb) || mkt_csb_must_make(csb, MKT_TRANSFER_RESP) ? MKT_OK : MKT_E_MAC;
    }
    mkt_csb_free(csb);
    return err;
}

/* An initial message is taken once; a MAC, which is last, is compared to its last bit. */
static void check_taken(struct scene *scene, const struct mkt_csb *csb, struct mkt_span input)
{
    const enum take take = take_like(TAKE);
    const bool initial = take == TAKE_REQUEST_INIT || take == TAKE_TRANSFER_INIT || take == TAKE_RESOLVE_INIT ||
                         take == TAKE_RESOLVE_INIT_OF_KMS;
    enum mkt_err err = initial && !waits(csb) ? take_again(scene, input) : MKT_E_REPLAY;
    require(err == MKT_E_REPLAY || err == MKT_E_STALE);
    scene_rewind(scene);
    if (take >= TAKE_ERROR && !scene->taker->reported)
        return;
    uint8_t *octets = malloc(input.n);
    require(octets != NULL);
    memcpy(octets, input.p, input.n);
    octets[input.n - 1] ^= 1;
    err = take_again(scene, (struct mkt_span){octets, input.n});
    /* with forking the MAC stands in the Initiator Data too */
    require(err == MKT_E_MAC || err == MKT_E_SIGNATURE || (waits(csb) && err == MKT_E_INITIATOR_MAC));
    free(octets);
    scene_rewind(scene);
}

/* With the right message the other end takes the answer, if there is one. */
static void check_peer(struct scene *scene, struct mkt_span input)
{
    const bool right = mkt_span_equal(input, scene_right(scene));
    struct mkt_csb *csb = scene_copy(scene->taker);
    require(taken(mkt_csb_take_offer(csb, input, protocols)) == MKT_OK);
    bool same;
    const bool answered = scene_go_on(scene, csb, &same);
    const enum take take = take_like(TAKE);
    const bool ends_in_answer = take == TAKE_TRANSFER_INIT || take == TAKE_TRANSFER_INIT_FOR_KMS ||
                                take == TAKE_RESOLVE_INIT || take == TAKE_RESOLVE_RESP ||
                                take == TAKE_RESOLVE_INIT_OF_KMS || take == TAKE_RESOLVE_RESP_FOR_KMS;
    /* a KMS can give Bob other keys than Alice has, and neither can tell */
    const bool of_kms = take == TAKE_RESOLVE_RESP || take == TAKE_RESOLVE_RESP_FOR_KMS;
    require(same || !answered || (of_kms && !right));
    require(!right || !ends_in_answer || answered || (scene->variant & NO_ANSWER) != 0);
    mkt_csb_free(csb);
    scene_rewind(scene);
}

/* In less and less room the right message is taken and answered, or refused for that alone. */
static void squeeze(struct scene *scene, struct mkt_span right)
{
    enum { STEP = 64 };
    static uint8_t octets[16384];
    struct mkt_csb *csb;
    scene_rewind(scene);
    for (size_t size = STEP; size < scene->taker->settings.bundle_size; size += STEP) {
        if ((csb = scene_copy_in(scene->taker, size)) == NULL)
            continue;
        struct mkt_buf before = scene_stored(csb), out = {octets, sizeof octets, 0};
        const enum mkt_err err = taken(mkt_csb_take_offer(csb, right, protocols));
        struct mkt_buf after = scene_stored(csb);
        require(err == MKT_OK || err == MKT_E_BUNDLE_FULL || (err == MKT_E_BUFFER && (scene->variant & OWN_TYPE) != 0));
        require(err == MKT_OK || (after.n == before.n && memcmp(after.p, before.p, after.n) == 0));
        make_all(csb, scene->taker, &out);
        free(before.p);
        free(after.p);
        mkt_csb_free(csb);
        scene_rewind(scene);
    }
}

#else

static void squeeze(struct scene *scene, struct mkt_span right)
{
    (void)scene;
    (void)right;
}

static void check_taken(struct scene *scene, const struct mkt_csb *csb, struct mkt_span input)
{
    (void)scene;
    (void)csb;
    (void)input;
}

static void check_peer(struct scene *scene, struct mkt_span input)
{
    (void)scene;
    (void)input;
}

#endif

/* FUZZ_COUNT=1 in the environment tells how many inputs got past the MAC: tests/sealed.sh. */
static struct {
    bool begun;
    size_t all, taken;
} count;

static void print_count(void)
{
    printf("%zu of %zu inputs taken beside the right ones\n", count.taken, count.all);
}

static void count_input(const struct scene *scene, struct mkt_span input, enum mkt_err err)
{
    if (!count.begun && getenv("FUZZ_COUNT") != NULL)
        atexit(print_count);
    count.begun = true;
    count.all++;
    count.taken += err == MKT_OK && !mkt_span_equal(input, scene_right(scene));
}

/* Who sends a message of Ticket Transfer again gets no Error message that seems to be of the one who takes it. */
static void repeat(struct mkt_csb *csb, struct mkt_span input)
{
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_message message, error;
    const enum mkt_err again = taken(mkt_csb_take_offer(csb, input, protocols));
    require(mkt_message_decode(&message, input) == MKT_OK);
    const unsigned type = message.hdr.data_type;
    if (again == MKT_OK || (type != MKT_TRANSFER_INIT && type != MKT_TRANSFER_RESP))
        return;
    require(mkt_csb_make_error(csb, input, again, NULL, 0, &buf) == MKT_OK);
    require(mkt_message_decode(&error, (struct mkt_span){octets, buf.n}) == MKT_OK);
    require(mkt_message_find(&error, MKT_V, 0) == NULL);
}

static void play(struct scene *scene, struct mkt_span input)
{
    uint8_t octets[8192];
    struct mkt_buf error = {octets, sizeof octets, 0};
    struct mkt_csb *csb = scene_copy(scene->taker);
    struct mkt_buf before = scene_stored(csb);
    const enum mkt_err err = taken(mkt_csb_take_offer(csb, input, protocols));
    count_input(scene, input, err);
    if (err == MKT_OK) {
        check_taken(scene, csb, input);
        check_peer(scene, input);
        repeat(csb, input);
        if (mkt_span_equal(input, scene_right(scene)))
            squeeze(scene, input);
    } else {
        struct mkt_buf after = scene_stored(csb);
        require(after.n == before.n && memcmp(after.p, before.p, after.n) == 0);
        free(after.p);
        require(mkt_csb_make_error(csb, input, err, NULL, 0, &error) == MKT_OK || error.n == 0);
        require(taken(mkt_csb_take_offer(csb, scene_right(scene), protocols)) == MKT_OK);
    }
    use_all(csb, scene->taker);
    mkt_csb_free(csb);
    free(before.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    play(scene_of(TAKE, data[0]), (struct mkt_span){data + 1, size - 1});
    return 0;
}

/* ---- for the mutator that seals ---- */

const bool mutate_message = true;

struct mkt_span mutate_example(uint8_t first)
{
    return scene_right(scene_of(TAKE, first));
}

void mutate_offer(uint8_t first, struct mkt_span input)
{
    struct scene *scene = scene_of(TAKE, first);
    struct mkt_csb *csb = scene_copy(scene->taker);
    bool same;
    if (taken(mkt_csb_take_offer(csb, input, protocols)) == MKT_OK && mkt_csb_must_make(csb, MKT_RESOLVE_INIT_PSK))
        scene_go_on(scene, csb, &same);
    mkt_csb_free(csb);
}
