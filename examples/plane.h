/* SPDX-License-Identifier: BSD-3-Clause */
/* The media plane of the MRFP: streams with their TCP, TLS and media, and the event loop of the one thread. */
#ifndef EXAMPLES_PLANE_H
#define EXAMPLES_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MAX_NAME = 128 }; /* octets of the name of a stream */

struct plane;

/* What epoll watches; the first member of that which has the descriptor. */
struct watched {
    void (*ready)(struct watched *watched, void *user, uint32_t events);
    void *user;
    int fd; /* -1: none */
    uint32_t events;
};

struct plane_settings {
    struct sockaddr_storage address; /* to listen at and to connect from, at ports that are free */
    socklen_t n_address;
    long expire_seconds;                         /* how long a stream waits for its key */
    void (*tell)(void *user, const char *event); /* an event, as mrfp.c describes it */
    void *user;
};

/* A stream that is wanted. */
struct wanted {
    const char *name;
    bool bfcp, passive, client, has_key; /* else MSRP, active, TLS server, announced */
    const char *identity;
    uint8_t key[64];
    size_t n_key;
    struct sockaddr_storage peer; /* of an active stream */
    socklen_t n_peer;
    const char *own_path, *peer_path; /* of MSRP; or NULL */
};

/* NULL if it can't begin. */
struct plane *plane_new(const struct plane_settings *settings);
void plane_free(struct plane *plane);

/* Watches a descriptor for events of epoll; for none if they are 0. */
void plane_watch(struct plane *plane, struct watched *watched, uint32_t events);
/* Closes it as well. */
void plane_close(struct plane *plane, struct watched *watched);

/* Waits for one event and does what it asks for. True about once a second. */
bool plane_step(struct plane *plane);

/* NULL, or else why not: nothing has changed then. `port` is the local one. */
const char *plane_add(struct plane *plane, const struct wanted *wanted, unsigned *port);
const char *plane_key(struct plane *plane, const struct wanted *wanted);
const char *plane_remove(struct plane *plane, const char *name);
size_t plane_count(const struct plane *plane);

#endif
