/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of calls, and the host of their bundles. */
#ifndef KAMAILIO_TABLE_H
#define KAMAILIO_TABLE_H

#include "calls.h"
#include "users.h"

#include <time.h>

enum state {
    ASKS_KMS, /* the answer of the KMS is missing */
    OFFERED,  /* the answer to our offer is missing */
    ANSWERED, /* the ACK to our answer is missing */
    READY
};

/* A call, in shared memory. */
struct call {
    struct call *next;
    struct mkt_csb *csb;
    enum state state;
    time_t deadline; /* when it ends unless it is READY */
    enum mkt_stream medium;
    enum mkt_setup able;                 /* what we can do on TCP */
    size_t media;                        /* number of the media section that has our stream */
    uint32_t version;                    /* of our description */
    unsigned port;                       /* in our description: of the MRFP, or 9 */
    char stream[17];                     /* its name at the MRFP, and the MSRP session; empty: none there */
    struct mkt_sdp_kept kept, next_kept; /* next: until the ACK comes */
    str line, next_line;                 /* our a=key-mgmt line, which is repeated until an offer re-keys */
    str offer;                           /* our description, until its answer comes */
    str to;                              /* the URI that we call */
    str tag;                             /* the From tag of an INVITE that came */
    str id;                              /* Call-ID */
};

/* Filled before fork(), and so the same in all processes: bundles in shared memory point to them. */
extern struct mkt_host call_host;
extern struct mkt_credential call_credential; /* of the MRFC at its KMS; without a key there is no KMS */
extern struct users call_users;

/* This process works on one call at a time. call_detail says what is at fault in it. */
extern char call_detail[128];

struct mkt_span call_span(str s);
/* Copy octets into shared memory, and free them. */
bool call_keep(str *s, struct mkt_span octets);
void call_drop(str *s);

/* Locks the calls that have a slot with this one. Returns the slot. */
int call_lock(const str *id);
void call_unlock(int slot);

/* Find a call that is locked, NULL if there is none: by its Call-ID, or by that and a tag. */
struct call *call_find(const str *id);
struct call *call_of(const struct said *said);

/* Adds a call with its bundle; NULL if there is no memory. */
struct call *call_begin(const str *id, const str *tag, enum mkt_role role, enum mkt_stream medium);
/* Removes its stream, and wipes and frees it. */
void call_end(struct call *call);
void call_remove_stream(struct call *call);

#endif
