/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The calls of the MRFC, in memory that all processes of Kamailio share. So each step of a call can be made by another
 * process. A function locks its call from beginning to end.
 */
#ifndef KAMAILIO_CALLS_H
#define KAMAILIO_CALLS_H

#include "../../core/str.h"

#include <mikeyticket.h>

/* The parameters of the module. */
struct mrfc {
    char *identity; /* of the MRFC: a URI */
    char *kms;      /* of the KMS: a URI (IDRkms) */
    char *users;    /* file with the keys that the MRFC has */
    char *address;  /* of the MRFP, for SDP: IPv4 */
    char *mrfp;     /* Unix socket of the MRFP */
    int remember;   /* messages in the replay cache */
};
extern struct mrfc mrfc;

/* The parts of a SIP message that this module uses. */
struct said {
    str id, from_tag, to_tag; /* id: Call-ID */
    str from, to;             /* URIs */
    bool cancels;             /* it is a CANCEL */
    struct mkt_span sdp;      /* empty: there is none */
};

/* What the function that this process called last came to; the pseudo-variables show it. */
struct outcome {
    int code; /* for the SIP response */
    char initiator[256], responder[256];
    int ticket_type;
    char id[64];           /* Call-ID for our INVITE */
    uint8_t request[8192]; /* a MIKEY message for the KMS */
    size_t request_n;
    char sdp[16384]; /* a description to be sent */
    size_t sdp_n;
};
extern struct outcome outcome;

/* What a script function returns. */
enum { CALL_REFUSED = -1, CALL_NONE = -2, CALL_DONE = 1, CALL_ASK_KMS = 2 };

/* Before fork(): reads the file of keys, and makes the table. After a mistake it logs one line. */
bool calls_init(void);
void calls_destroy(void);

int calls_inspect(const struct said *offer);
int calls_answer(const struct said *offer, enum mkt_setup able);
int calls_offer(const str *to, enum mkt_stream medium, enum mkt_setup setup, const str *tpk);
/* `id`: Call-ID of the call that the KMS was asked about. `offer`: the INVITE, if it came from the other end. */
int calls_kms(const str *id, struct mkt_span answer, const struct said *offer);
int calls_answered(const struct said *answer);
int calls_ack(const struct said *ack);
int calls_end(const struct said *bye);

size_t calls_count(void);
/* Ends the calls that nobody went on with. A timer function. */
void calls_expire(unsigned ticks, void *unused);

#endif
