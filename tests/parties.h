/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A call that a test makes step by step with a KMS in it. Each party has a host of its own, and no two share anything
 * but messages and the keys that RFC 6043 4.1.1 gives them: with its KMS a pre-shared key each, and the ticket
 * protection key where the test says so.
 */
#ifndef TESTS_PARTIES_H
#define TESTS_PARTIES_H

#include "call.h"
#include "signer.h"

/* One party; its bundle is there once it began. */
struct party {
    struct player player; /* first: the callbacks of its host get it */
    struct mkt_settings settings;
    struct mkt_credential key; /* that it has with its KMS */
    struct signer signer;      /* its certificate, where the test says so */
    struct mkt_csb *csb;
    bool moves;               /* its bundle is put to octets and read back after each step */
    struct mkt_span resolved; /* what it remembers of a ticket, put before that as a ready bundle leaves it behind */
    size_t n_asked;           /* how often its host was asked to authorise somebody, and about whom last */
    enum mkt_role asked_role;
    struct mkt_id asked_id;
    uint16_t asked_flags;
    bool asked_proven;
    size_t n_counted; /* how often its host was asked about a counter, and of whom last */
    struct mkt_id counted_id;
};

enum { ALL_PARTIES = 6 };

struct parties {
    enum mkt_suite suite;
    union {
        struct party all[ALL_PARTIES];
        struct {
            struct party alice, bob, carol, mallory; /* users of one KMS */
            struct party kms, kms_r;                 /* kms_r: of nobody, until bob_has_a_kms_of_his_own() */
        };
    };
    struct mkt_span tpk;
    struct mkt_policy policy;        /* of a ticket of Alice's for Bob: asked for, and granted */
    struct mkt_request request;      /* of that policy */
    struct mkt_ticket_recipe recipe; /* of a KMS: for what was asked for */
    struct mkt_ticket *ticket;       /* that Alice has */
    struct mkt_offer offer;          /* of Alice's, with that ticket, for Bob */
};

struct parties *parties_new(enum mkt_suite suite, const char *flags);

/* Expects that all memory was given back. */
void parties_free(struct parties *p);

/* Section 10: Bob has a KMS of his own, which Alice's KMS knows and believes. */
void bob_has_a_kms_of_his_own(struct parties *p);

/* A party has a certificate in place of a key with its KMS, and the KMSs take both; all parties have certificates. */
void signs(struct parties *p, struct party *one);
void all_sign(struct parties *p);

/* All parties use COUNTER timestamps. */
void all_count(struct parties *p);

/* A new bundle, in place of the one that the party had. */
void begin(struct party *party, enum mkt_role role);

/* ---- one message: made, taken, refused; what is made is a copy of just its size ---- */

struct mkt_span request_init(struct party *by, const struct mkt_request *request);
struct mkt_span request_resp(struct party *by, const struct mkt_ticket_recipe *recipe);
struct mkt_span transfer_init(struct party *by, const struct mkt_offer *offer);
struct mkt_span transfer_resp(struct party *by, const struct mkt_answer *answer);
struct mkt_span resolve_init(struct party *by);
struct mkt_span resolve_resp(struct party *by);

void take(struct party *party, const char *what, struct mkt_span in);

/* Expects the error, and that the bundle is as it was and nothing is remembered of the message. */
void refused(struct party *party, const char *what, struct mkt_span in, enum mkt_err err);

/* Likewise of the message with each bit turned over, and of each part of it from its beginning. */
void every_bit_counts(struct party *party, const char *what, struct mkt_span in);

/* ---- exchanges ---- */

/* Ticket Request: Alice asks the KMS, and gets the ticket that she asked for. */
void be_granted(struct parties *p);

/* Modes 3 and 4: Alice makes the ticket by herself. */
void make_own(struct parties *p);

/* The TRANSFER_INIT of a new bundle of Alice's. */
struct mkt_span offered(struct parties *p);

/* A new bundle of a Responder's takes it. */
void answered_by(struct party *responder, struct mkt_span init);

/* Ticket Resolve. */
void resolved_by(struct party *kms, struct party *responder);

/* Ticket Transfer, whole, with Bob; answers the TRANSFER_RESP. */
struct mkt_span called(struct parties *p, bool by_kms);

/* ---- what is known ---- */

struct mkt_span stored(const struct party *party);
struct mkt_span resolved_octets(const struct party *responder);
struct mkt_span party_tek(const struct party *party);

/* The n-th session key of a bundle. */
struct mkt_key_data session_key(const struct party *party, size_t n);

/* Both have the same TEK, of that length. */
void same_tek(const struct party *a, const struct party *b, size_t length);

/* Whether a secret is anywhere in the one block of memory that its bundle is. */
bool holds(const struct party *party, struct mkt_span secret);

/* ---- messages of those who have a key but not the rules ---- */

struct forger {
    enum mkt_suite suite;
    struct mkt_span key;     /* pre-shared key, or MPK */
    struct mkt_span init;    /* of a response: what it answers */
    struct mkt_span who, to; /* of an initial message: the identities of who sends it and who is to get it */
    struct mkt_span mpkr;    /* of a TRANSFER_INIT with key forking: for Vr */
};

/* The message put anew, with the MAC that belongs to it. */
struct mkt_span forged(const struct mkt_message *m, const struct forger *by);

/* What is in its KEMAC, or what will stand there for such content: encryption is decryption. */
struct mkt_span crypted(const struct mkt_message *m, const struct forger *by, struct mkt_span octets);

/* Session keys and MPKs as a KEMAC has them, up to NO_KEY, with SPIs of one octet each ("-": none). */
enum { NO_KEY = 99 };
struct mkt_span key_chain(const uint8_t types[], const uint8_t lengths[], const char *spis);

/* A message that decodes, without its octets in common with `in`. */
struct mkt_message decoded(struct mkt_span in);

/* Its payloads are of just these types, in this order. */
void expect_payloads(const struct mkt_message *m, const unsigned types[], size_t n);

/* A message without a payload, or with one more before V. */
void left_out(struct mkt_message *m, unsigned type, uint8_t role);
void put_in(struct mkt_message *m, struct mkt_payload payload);

#endif
