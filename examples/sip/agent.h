/* SPDX-License-Identifier: BSD-3-Clause */
/* The user agent: the users that it plays, and their calls. */
#ifndef EXAMPLES_SIP_AGENT_H
#define EXAMPLES_SIP_AGENT_H

#define NUA_MAGIC_T struct contact
#define NUA_HMAGIC_T struct call

#include "../users.h"
#include "kms.h"
#include "media.h"

#include <mikeyticket/replay.h>

#include <sofia-sip/nth.h>
#include <sofia-sip/nua.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/tport_tag.h>

enum { MAX_MEMBERS = 8, MAX_CONTACTS = 16, MAX_COMMAND = 4096 };

struct agent;

/* A device of a user, in the agent's own location table. It has a nua of its own: one nua takes two branches of a
   forked INVITE for one call, and refuses the second. */
struct contact {
    struct agent *agent;
    nua_t *nua;
    const struct entry *user;
    const char *device;
    char name[128]; /* the user part of its Contact */
    struct mkt_credential credential;
    uint8_t psk[64];
};

struct call;

struct agent {
    su_root_t *root;
    int wait;                /* for standard input, in the event loop */
    char input[MAX_COMMAND]; /* what came of a line that is not whole */
    size_t input_n;
    nth_engine_t *http;
    struct media *media;
    struct users users;
    struct contact contact[MAX_CONTACTS];
    size_t n_contacts, n_running;
    struct mkt_host host;    /* one for all calls; the user of a bundle is its call */
    struct mkt_replay cache; /* one for all users */
    void *cache_memory;
    const char *kms, *kms_id;        /* the URL and the identity of the KMS, if there is one */
    const char *proxy;               /* where requests go */
    const char *member[MAX_MEMBERS]; /* who may answer for a group that is called */
    size_t n_members;
    const char *talk; /* a text to send as soon as a call is connected, which then ends; or NULL */
    enum mkt_setup setup;
    bool accept, early, show_keys;
    unsigned refuse; /* the status that the next re-INVITE gets; 0: it is taken */
    struct call *calls;
    unsigned last; /* the number of the newest call */
};

/* Sets the callbacks of the library. */
void call_host(struct mkt_host *host, struct agent *agent);

/* Prints a line of what happens, with the number of the call. */
void call_say(const struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The call of that number, 0: the newest; NULL if there is none. */
struct call *call_find(const struct agent *agent, unsigned number);
/* Calls somebody, as the first user. */
void call_invite(struct agent *agent, const char *uri);
/* Does a command of the user: early (a 183 with the answer), accept, reject, cancel, bye, send TEXT, or
   reinvite [rekey|plain|renew] [move]. False: there is no such command, or the call is in no state for it. */
bool call_command(struct call *call, const char *command, char *words);
/* Begins to end the program: call_event() ends the event loop. */
void call_quit(struct agent *agent);
/* Ends a call without a word to the peer. */
void call_free(struct call *call);
/* What happens to the stream of a call. */
media_event_f call_media;
/* The events of nua. */
void call_event(nua_event_t event, int status, const char *phrase, nua_t *nua, struct contact *contact,
                nua_handle_t *nh, struct call *call, const sip_t *sip, tagi_t tags[]);

#endif
