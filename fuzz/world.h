/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small world for the target fuzz/model.c: five parties with their devices, the bundles ("ends") that run on these,
 * and every message that was ever sent ("letters"). What must hold in it stands in fuzz/oracle.h.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <mikeyticket.h>

/* Mallory is a user of the KMS like the others. TEAM is a group, to which Alice, Bob and Carol belong. */
enum name { ALICE, BOB, CAROL, MALLORY, KMS, USERS, TEAM = USERS, NAMES };

enum { NONE = -1, DEVICES = 7, ENDS = 24, LETTERS = 96, TICKETS = 12, RING = 24, KEPT = 3, SESSIONS = 3, SEALED = 24 };
enum { CACHE = 160 /* 64-bit words of a replay cache */, ROOM = 8192 /* octets of the largest message or bundle */ };

/*
 * A host: clock, counter, replay cache, and what it remembers of tickets that the KMS resolved. Several may share a
 * cache. A scope is what counts as one party for caches and for the counters of peers: a device, or a user.
 */
struct device {
    enum name user;
    struct device *scope;
    struct mkt_replay *cache; /* NULL: it has none */
    mkt_ntp clock, tick;      /* the clock goes on by `tick` whenever it is read */
    uint32_t counter, counted[NAMES];
    struct {
        struct mkt_span ticket; /* the octets that name it, in `octets` */
        uint8_t octets[1024];
        size_t n;
    } kept[KEPT];
    size_t n_kept;
};

/* One bundle. Indices are of letters, or NONE. */
struct end {
    struct device *device;
    enum mkt_role role;
    struct mkt_host host;
    struct mkt_settings settings;
    struct mkt_credential credential;
    struct mkt_csb *csb;
    enum name self;            /* who it claims to be: Mallory may lie */
    bool denies;               /* its host authorises nobody */
    bool knows_none;           /* its host confirms no member of a group */
    bool meddles;              /* its host uses the bundle in a callback */
    bool proven;               /* the last mkt_peer.proven */
    bool told, told_authentic; /* its host was told of an Error message */
    int call;                  /* the TRANSFER_INIT of its call */
    struct mkt_id asked;       /* whom an Initiator called */
    int waiting;               /* a TRANSFER_INIT that the KMS is to resolve first; NONE if nobody made it */
    int open;                  /* what it made and waits to be answered */
    int question;              /* what it took and may answer */
    int last;                  /* the answer that it took last */
    int newest;                /* what it took of its peer last */
    bool heard;                /* it has taken a message of its peer, */
    enum name from;            /* which is this user, */
    bool excused;              /* unless nobody could tell Mallory from them */
};

/* A message that was sent. Letters that the network changed have no maker. */
enum maker { BY_END, BY_HAND /* sealed by Mallory without the library */, BY_NETWORK };
struct letter {
    uint8_t *octets; /* one block of `n` octets */
    size_t n;
    enum maker maker;
    struct end *end; /* of BY_END */
    unsigned type;
    bool update, has_mac, by_counter;
    int about;      /* what it answers, or of an Error message, what that is about */
    int call;       /* the TRANSFER_INIT of the call */
    unsigned taken; /* the scopes that have accepted it, a bit each */
    bool settled;   /* with it the exchange was over for its maker, who then had these keys: */
    size_t n_keys;
    struct {
        uint8_t cs_id;
        uint64_t hash; /* of TEK, salt and PSK identity */
    } keys[SESSIONS];
};

struct world {
    struct device device[DEVICES];
    struct mkt_replay cache[DEVICES];
    _Alignas(max_align_t) uint64_t memory[DEVICES][CACHE];
    struct end end[ENDS];
    struct letter letter[LETTERS];
    struct {
        struct mkt_ticket *ticket;
        enum name owner;
    } ticket[TICKETS];
    size_t n_ends, n_letters, n_tickets;
    struct {
        uint8_t octets[64];
        size_t n;
    } ring[RING]; /* keys that Mallory has */
    size_t n_ring;
    uint64_t stolen[TICKETS * 2]; /* tickets whose keys Mallory has, as hashes */
    size_t n_stolen;
    struct {
        uint64_t policy; /* a hash */
        uint8_t keys[1024];
        size_t n;
    } sealed[SEALED]; /* tickets of Ticket Type 2: their Ticket Data is an index here */
    size_t n_sealed;
    bool clocks_differ, type_2;
    size_t n_lost; /* slots of replay caches that were taken by messages which the cache then refused */
};

extern struct world world;

/* How a world is. */
enum {
    ONE_CACHE = 1, /* Alice, Bob and Carol have one server, with one replay cache */
    NO_SCOPES = 2, /* the cache does not tell the devices of a user apart */
    NO_CACHE = 4,  /* only the KMS and Mallory have a cache */
    TYPE_2 = 8     /* hosts of the KMS, and of the first device of Alice and of Bob, open tickets of Ticket Type 2 */
};

/* A world with the KMS in it, and nothing that was said. */
void world_begin(uint8_t how);
void world_end(void);

struct mkt_id id_of(enum name name);

/* Keys that parties share with the KMS; TPKs, which only those have whom give_tpk() gives them. */
struct mkt_span psk_of(enum name name);
extern const uint8_t tpk_of_kms[32], tpk_of_alice[32], tpk_of_mallory[32];

/* ---- ends ---- */

/* How an end is. */
enum {
    LEAVE_OUT = 1, /* identities are left out */
    COUNTER = 2,   /* COUNTER timestamps */
    SMALL = 4,     /* a bundle of little room */
    ALONE = 8,     /* no KMS to ask */
    NAMED = 16,    /* IDRpsk */
    LIE = 32       /* Mallory goes by another name */
};

/* The devices; numbers beyond are taken modulo. */
enum { ALICE_0, ALICE_1, BOB_0, BOB_1, CAROL_0, MALLORY_0, KMS_0 };
struct device *device_of(unsigned n);

/* A new end, or NULL; `size` says how little room a small one has, and by which name Mallory goes. */
struct end *open_end(struct device *device, enum mkt_role role, unsigned how, unsigned size);

/* The newest end but `back`; the newest but `back` at the other side of a call, or NULL; the first end of the KMS. */
struct end *pick_end(unsigned back);
struct end *partner_of(const struct end *end, unsigned back);
struct end *kms_end(void);

/* A bundle as octets. */
struct image {
    uint8_t octets[ROOM];
    size_t n;
};
void take_image(struct image *image, const struct mkt_csb *csb);
void expect_unchanged(const struct image *before, const struct mkt_csb *csb);

/* Takes a vector with a 32-bit length off octets that the library has written. */
struct mkt_span take_vector(struct mkt_span *rest);

/* ---- letters ---- */

struct mkt_span octets_of(const struct letter *letter);

/* Adds a copy to the pool, which must have room. */
struct letter *add_letter(struct mkt_span octets, enum maker maker);

/* The newest letter but `back`, also of a type; NULL if there is none, or no room for more. */
struct letter *pick_letter(unsigned back);
struct letter *pick_letter_of(unsigned type, unsigned back);

/* What an end is asked to make. */
struct wish {
    unsigned type; /* MKT_ERROR, too */
    bool update;
    struct mkt_request request;
    struct mkt_ticket *ticket;
    struct mkt_offer offer;
    struct mkt_answer answer;
    struct mkt_update of_update;
    struct mkt_span about;
    enum mkt_err why;
};

/*
 * An end makes a message: the letter, or NULL. `how` says what else is tried: it is measured first, into less room
 * first (8 octets for each unit above), behind other octets.
 */
enum { MEASURED = 1, SHORT = 2, BEHIND = 4, UNIT = 8 };
struct letter *make(struct end *end, const struct wish *wish, unsigned how);

/*
 * An end gets octets. `how`: with another list of protocols; a host that denies, one that uses the bundle meanwhile,
 * one that knows no members of groups, one without `authorise`.
 */
enum { PROTOCOLS = 1, DENIES = 2, MEDDLES = 4, KNOWS_NONE = 8, UNASKED = 16 };
enum mkt_err deliver(struct end *end, struct mkt_span octets, unsigned how);

#endif
