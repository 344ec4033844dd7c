/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of single cases (refuse.txt, allow.txt): the one party of a case, brought into the state that the case begins
 * in, and the runner that both suites have.
 */
#ifndef TESTS_CASES_H
#define TESTS_CASES_H

#include "player.h"

/* The party of a case, which the runner has for it and ends. */
struct actor {
    struct player player; /* first: the callbacks of its host get it */
    struct mkt_settings settings;
    struct mkt_credential kms; /* the key that it shares with its KMS */
    struct mkt_csb *csb;
    struct mkt_id authorised; /* the peer that its host was asked about last; no data: nobody */
};

/*
 * A new bundle of that role, at the moment `now` of the section. The party has the keys `tpk` and `psk` or `psk_r`; a
 * KMS shares `psk` with `id`. The host has the callbacks that `member` and `authorise` name.
 */
void actor_begin(struct actor *actor, const struct section *s, enum mkt_role role);

/* Takes the message of a field, at the moment `now` of the section. */
void actor_takes(struct actor *actor, const struct section *s, const char *field);

/* The Initiator makes `init`, a REQUEST_INIT, octet for octet. */
void actor_requests(struct actor *actor, const struct section *s);

/* The Initiator makes `transfer_init` with the keys of the section, octet for octet. */
void actor_offers(struct actor *actor, const struct section *s);

/* The Responder makes `init`, a RESOLVE_INIT, octet for octet. */
void actor_resolves(struct actor *actor, const struct section *s);

/* `bytes` is refused for the reason `class` and leaves nothing behind; then `valid` is taken. */
void actor_refuses(struct actor *actor, const struct section *s);

/* Whether an error is of the class, or of one of the classes, of the section. */
bool fits_class(const struct section *s, enum mkt_err err);

/* The cases of one kind of section. */
struct kind {
    const char *section;
    void (*run)(struct actor *actor, const struct section *s);
};

void refuse_offer(struct actor *actor, const struct section *s);
void refuse_answer(struct actor *actor, const struct section *s);
void refuse_request_resp(struct actor *actor, const struct section *s);
void refuse_offer_forked(struct actor *actor, const struct section *s);

/*
 * Runs each section of a file of vectors as one case. It must read all fields of the section and give back all memory;
 * the file must have sections of each kind. Answers the exit code of the test program.
 */
int run_cases(const char *file, const struct kind kinds[], size_t n_kinds);

#endif
