/* SPDX-License-Identifier: BSD-3-Clause */
/* A host that a test plays: its clock, random octets, counter and TPK are what the test says, its memory is counted. */
#ifndef TESTS_PLAYER_H
#define TESTS_PLAYER_H

#include "vector.h"

#include <mikeyticket/csb.h>

struct player {
    struct mkt_host host; /* user is the player */
    mkt_ntp now;
    uint8_t random[1024]; /* what random() gives, in this order; after that it counts up */
    size_t n_random, next_random;
    uint32_t counter;
    struct mkt_span counted[4]; /* whose counters are kept, */
    uint32_t count[4];          /* and where they stand */
    struct mkt_span tpk;
    struct friend {
        struct mkt_id name, id;
        struct mkt_span psk;
        bool vouches;
    } friend[4]; /* with whom a KMS shares keys */
    size_t n_friends;
    const struct mkt_credential *other; /* the KMS that a KMS asks, by the word of its host */
    struct mkt_span resolved; /* a ticket that was resolved before */
    size_t reports;           /* calls of report() */
    uint8_t reported;         /* the number of the last */
    bool authenticated;       /* whether it was */
    struct mkt_span seen[2048]; /* the replay cache */
    size_t n_seen;
    size_t allocations, live; /* calls of alloc, blocks not yet given back */
    size_t largest;           /* octets of the largest block */
    bool no_memory, no_random; /* alloc and random fail */
    enum mkt_err fail;        /* what authorise() answers */
    enum mkt_err logged;      /* the last that was, */
    struct mkt_log_event event; /* all of it, */
    char detail[128];           /* and its detail */
};

/* A player of a moment and a TPK; it must not move. */
void player_init(struct player *player, mkt_ntp now, struct mkt_span tpk);

/* More octets for random() to give. */
void player_random(struct player *player, struct mkt_span octets);

/* More octets for random(): the CSB ID and the RAND of the message that is to be made. */
void player_draw_like(struct player *player, struct mkt_span message, uint8_t role);

/* D29: what an update with keys adds to a clock to get the T of `message`: the role, without G drawn before all
 * else. */
void player_low_bits(struct player *player, struct mkt_span message, bool g);

/* Seconds as NTP-UTC. */
mkt_ntp ntp(unsigned long seconds);

struct mkt_span text(const char *text);

/* An identity by its text: a URI, or an NAI if it has no scheme. */
struct mkt_id id_of(const char *words);

/* A policy that can be granted: of alice, for bob. */
struct mkt_policy granted(enum mkt_suite suite);

/* The first payload of a type and role of a message that must decode and have it. */
struct mkt_payload payload_of(struct mkt_span message, unsigned type, uint8_t role);

/* Puts `to` in place of a message that a bundle has made and keeps: as if this library had made it. */
void go_on_with(struct mkt_csb **csb, const struct mkt_host *host, const struct mkt_settings *settings,
                struct mkt_span made, struct mkt_span to);

/* What a KEMAC makes of octets, both ways; `out` has room for as many. */
struct mkt_protection;
void crypt_kemac(const struct mkt_protection *by, uint32_t csb_id, uint64_t t, struct mkt_span in, uint8_t *out);

/* A stored ticket, as mkt_ticket_load() reads it, of a TICKET payload without its first octet and Initiator Data. */
struct mkt_span stored_ticket(struct mkt_span ticket, struct mkt_span keys);

#endif
