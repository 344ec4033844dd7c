/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A scene is a call between Alice, Bob and their KMSs that stops where a message is about to be taken: the same clock
 * and random octets each time, so the right message is always the same octets.
 */
#ifndef FUZZ_SCENE_H
#define FUZZ_SCENE_H

#include <mikeyticket.h>

enum take {
    TAKE_REQUEST_INIT,
    TAKE_REQUEST_RESP,
    TAKE_TRANSFER_INIT,         /* by a Responder that has the key of the ticket, */
    TAKE_TRANSFER_INIT_FOR_KMS, /* and by one that asks its KMS */
    TAKE_TRANSFER_RESP,
    TAKE_RESOLVE_INIT,
    TAKE_RESOLVE_RESP,
    TAKE_RESOLVE_INIT_OF_KMS,  /* of one that passes it on (section 10), */
    TAKE_RESOLVE_RESP_FOR_KMS, /* and what that one is answered */
    TAKE_UPDATE_INIT,
    TAKE_UPDATE_RESP,
    TAKE_ERROR,             /* by an Initiator whose TRANSFER_INIT the Responder refuses, */
    TAKE_ERROR_FOR_REQUEST, /* by one whose KMS grants no ticket, */
    TAKE_ERROR_FOR_RESOLVE, /* by a Responder whose KMS does not resolve the ticket, */
    TAKE_ERROR_FOR_KMS,     /* by that KMS, which asked another, */
    TAKE_ERROR_FOR_ANSWER,  /* and by a KMS about its answer: the ticket, or with PLAIN its keys */
    TAKE_REQUEST_INIT_PK,   /* the same, in calls of those who have certificates in place of keys with their KMS */
    TAKE_REQUEST_RESP_PK,
    TAKE_RESOLVE_INIT_PK,
    TAKE_RESOLVE_RESP_PK,
    TAKE_RESOLVE_INIT_OF_KMS_PK,
    TAKE_ERROR_FOR_REQUEST_PK,
    TAKES
};

/* The take that one by public key is like; others are like themselves. */
enum take take_like(enum take take);

/* What is different in a scene, in any combination: the first octet of an input. What can't be is left out. */
enum variant {
    PLAIN = 1,      /* no key forking */
    SUITE_128 = 2,  /* the other suite */
    COUNTERS = 4,   /* COUNTER timestamps */
    SPARSE = 8,     /* messages without what may be left out: identities, keys beside those of the ticket, GTGKs */
    OWN_TYPE = 16,  /* a ticket of a type of the host's own; with SPARSE only the KMS opens it (N, O) */
    NO_ANSWER = 32, /* F not set: keys are there with the TRANSFER_INIT; the ticket is used once (J not set) */
    OTHER_KMS = 64, /* the ticket is of another KMS than Bob's; with SPARSE only his host says so */
    SRTP = 128, /* several sessions, with policies that have parameters, Session Data, and TEKs; a group is called */
    VARIANTS = 256
};

enum { CACHE = 256 /* 64-bit words of a replay cache */, PEERS = 64 };

struct actor {
    struct mkt_host host;
    struct mkt_credential kms;
    struct mkt_settings settings;
    struct mkt_public_keys keys;
    struct mkt_span certificate; /* the identity */
    uint64_t drawn;
    uint32_t counter, counted[PEERS]; /* sent last; taken last, by the sum of an identity */
    bool reported;                    /* the last Error message had a MAC that is right */
    _Alignas(max_align_t) uint64_t octets_of_cache[CACHE];
    struct mkt_replay cache;
    struct mkt_csb *csb;
};

struct scene {
    enum take take; /* what it is like: take_like() */
    bool signs;
    unsigned variant;
    struct actor alice, bob, kms, home; /* home: the KMS that made the ticket, where that is not Bob's */
    struct mkt_ticket *ticket;
    struct actor *taker;
    uint8_t octets[8192];
    struct mkt_buf message; /* the right one to take now */
};

/* The key that all tickets are protected with. */
extern const uint8_t scene_tpk[32];

/* What must hold, or the fuzzer has found something. */
void require(bool holds);

/* MKT_OK for an error of the class REPORTED, with which a bundle takes an Error message; all others as they are. */
enum mkt_err taken(enum mkt_err err);

/* Plays up to a take. */
void scene_open(struct scene *scene, enum take take, unsigned variant);
void scene_close(struct scene *scene);

/* The scene of an input, played once and kept. */
struct scene *scene_of(enum take take, uint8_t first);

/* Begins an input: replay caches and random octets as they were when the scene stopped. */
void scene_rewind(struct scene *scene);

/* The right message. */
struct mkt_span scene_right(const struct scene *scene);

/* A bundle as octets, of the caller's; another one that is the same. */
struct mkt_buf scene_stored(const struct mkt_csb *csb);
struct mkt_csb *scene_copy(const struct actor *actor);

/* The same in so many octets; NULL where it has no room in them. */
struct mkt_csb *scene_copy_in(const struct actor *actor, size_t size);

/*
 * Goes on from where the taker has taken a message, with copies of all others, until nobody owes anything. Whether the
 * last answer was taken, and whether both ends have the same keys then.
 */
bool scene_go_on(struct scene *scene, struct mkt_csb *taker, bool *same);

/* Whether two bundles have the same sessions and keys. */
bool scene_same_keys(const struct mkt_csb *a, const struct mkt_csb *b);

/* The name of a take, as in the names of targets and corpora. */
const char *take_name(enum take take);

/* Makes whatever message a bundle owes, or an update; it may say that it has no room for that. */
void make_all(struct mkt_csb *csb, const struct actor *actor, struct mkt_buf *out);

/* Uses all that a bundle offers to its holder, and makes whatever message it owes. */
void use_all(struct mkt_csb *csb, struct actor *actor);

#endif
