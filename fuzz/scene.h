/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A scene is a call between Alice, Bob and their KMS that stops where a message is about to be taken: the same clock and
 * random octets each time, so the right message is always the same octets.
 */
#ifndef FUZZ_SCENE_H
#define FUZZ_SCENE_H

#include <mikeyticket.h>

enum take {
    TAKE_REQUEST_INIT,
    TAKE_REQUEST_RESP,
    TAKE_TRANSFER_INIT, /* by a Responder that has the key of the ticket, */
    TAKE_TRANSFER_INIT_FOR_KMS, /* and by one that asks its KMS */
    TAKE_TRANSFER_RESP,
    TAKE_RESOLVE_INIT,
    TAKE_RESOLVE_RESP,
    TAKE_UPDATE_INIT,
    TAKE_UPDATE_RESP,
    TAKE_ERROR,
    TAKES
};

struct actor {
    struct mkt_host host;
    struct mkt_credential kms;
    struct mkt_settings settings;
    uint64_t drawn;
    struct mkt_csb *csb;
};

struct scene {
    struct actor alice, bob, kms;
    struct mkt_ticket *ticket;
    struct actor *taker;
    uint8_t octets[4096];
    struct mkt_buf message; /* the right one to take now; then the next that is made */
};

/* What must hold, or the fuzzer has found something. */
void require(bool holds);

/* Plays up to a take; every second scene is without key forking. */
void scene_open(struct scene *scene, enum take take, bool forked);
void scene_close(struct scene *scene);

/* The name of a take, as in the names of targets and corpora. */
const char *take_name(enum take take);

/* Uses all that a bundle offers to its holder, and makes whatever message it owes. */
void use_all(struct mkt_csb *csb, struct actor *actor);

#endif
