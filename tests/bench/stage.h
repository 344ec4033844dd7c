/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A call between Alice, Bob and their KMS, step by step. Before a step the stage is kept as it stands, so that the same
 * step can be done any number of times. Clock and random octets cost next to nothing here and are no part of what is
 * compared; what those of the system cost is printed apart.
 */
#ifndef BENCH_STAGE_H
#define BENCH_STAGE_H

#include <mikeyticket.h>

enum { STAGE_OCTETS = 2048, TPK_OCTETS = 32, TEK_OCTETS = 64 };

struct party {
    struct mkt_host host;
    struct mkt_credential kms;
    struct mkt_settings settings;
    enum mkt_role role;
    uint64_t drawn, kept_drawn;
    struct mkt_csb *csb;
    bool acts; /* in the step that is played again and again */
    uint8_t kept[MKT_CSB_SIZE];
};

enum message { REQUEST_INIT, REQUEST_RESP, TRANSFER_INIT, TRANSFER_RESP, RESOLVE_INIT, RESOLVE_RESP, MESSAGES };

struct stage {
    enum mkt_suite suite;
    bool forked;
    struct party alice, bob, kms;
    struct party carl;       /* Bob, where he has the key of the ticket himself */
    struct party *responder; /* Bob or Carl */
    struct mkt_policy policy;
    struct mkt_ticket *granted, *ticket; /* of the KMS, of Alice */
    struct mkt_ticket *spare;            /* to be freed by stage_restore(), when no clock runs */
    uint8_t octets[MESSAGES][STAGE_OCTETS];
    size_t length[MESSAGES]; /* of the messages as they were made last */
    uint8_t tek[TEK_OCTETS];
    size_t ticket_covered; /* octets of the TICKET that its MAC covers */
    struct mkt_message to_encode;      /* the TRANSFER_INIT; empty until it is wanted */
    uint8_t sdp[4 * STAGE_OCTETS];     /* an offer with it, likewise */
    size_t sdp_n;
};

/* Ends the program where something went wrong: no number is worth anything then. */
void must(enum mkt_err err);

/* Of the suite: octets of keys and RANDs. */
size_t stage_key(const struct stage *stage);

void stage_open(struct stage *stage, enum mkt_suite suite, bool forked);
void stage_close(struct stage *stage);

/*
 * Keeps the stage as it stands; says that what has changed since is all that will; makes it again as it was. What need
 * not be copied back stays in the caches as it would.
 */
void stage_keep(struct stage *stage);
void stage_watch(struct stage *stage);
void stage_restore(struct stage *stage);

/* New bundles for a call: Alice, the Responder, and where that is Bob the KMS; and their end. */
void stage_enter(struct stage *stage);
void stage_leave(struct stage *stage);

/* The steps, in their order. */
typedef void play(struct stage *stage);
play make_request_init, take_request_init, make_ticket, make_request_resp, take_request_resp, keep_ticket,
    make_transfer_init, take_transfer_init_with_tpk, take_transfer_init, make_resolve_init, take_resolve_init,
    make_resolve_resp, take_resolve_resp, make_transfer_resp, take_transfer_resp, derive_tek, derive_tek_too;

/* What is not part of a call. */
play decode_transfer_init, encode_transfer_init, find_in_sdp;

#endif
