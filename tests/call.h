/* SPDX-License-Identifier: BSD-3-Clause */
/* A call that a test makes step by step: an Initiator and a Responder that share a ticket protection key (mode 4). */
#ifndef TESTS_CALL_H
#define TESTS_CALL_H

#include "player.h"

extern const struct mkt_span tpk, mikey;
extern const struct mkt_key_wish one_tgk;
extern const unsigned long NOW; /* NTP seconds */

/* Both ends, and what went between them. */
struct call {
    struct player alice, bob;
    struct mkt_policy policy;
    struct mkt_settings settings_i, settings_r;
    struct mkt_ticket_recipe recipe;
    struct mkt_offer offer;
    struct mkt_answer answer;
    struct mkt_ticket *ticket;
    struct mkt_csb *i, *r;
    uint8_t init[8192], resp[8192];
    struct mkt_buf init_buf, resp_buf;
};

struct call *call_new(enum mkt_suite suite, const char *flags);

void call_free(struct call *c);

struct mkt_span init_of(const struct call *c);

struct mkt_span resp_of(const struct call *c);

/* Up to the steps of a call; the test goes on from there. */
void make_ticket(struct call *c);

void make_init(struct call *c);

void make_resp(struct call *c);

struct mkt_span tek_of(const struct mkt_csb *csb, uint8_t cs_id);

void expect_same_tek(const struct call *c, uint8_t cs_id, size_t length);

void finish(struct call *c);

/* A message of one who knows the MPK but not the rules: put anew, with the MAC that belongs to it. */
void reseal(struct call *c, struct mkt_message *m, struct mkt_buf *out, bool response);

struct mkt_payload *find(struct mkt_message *m, unsigned type, uint8_t role);

#endif
