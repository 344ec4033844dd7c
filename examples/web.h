/* SPDX-License-Identifier: BSD-3-Clause */
/* The HTTP side of the KMS, with libmicrohttpd: POST /?requesttype=... of application/mikey. */
#ifndef EXAMPLES_WEB_H
#define EXAMPLES_WEB_H

#include <mikeyticket/span.h>

#include <netdb.h>

enum {
    HTTP_OK = 200,
    HTTP_BAD_REQUEST = 400,
    HTTP_FORBIDDEN = 403,
    HTTP_TOO_MANY_REQUESTS = 429,
    HTTP_INTERNAL_SERVER_ERROR = 500,
    HTTP_SERVICE_UNAVAILABLE = 503
};

/* What to answer: an HTTP status and a message, or a line of text if the message is empty. */
struct outcome {
    unsigned status;
    struct mkt_buf message;
    const char *text;
    unsigned retry_after; /* seconds; 0: that is not said */
};

struct web;

struct web_settings {
    const struct addrinfo *address; /* to listen on */

    /* Serves a message; threads call it at the same time. The outcome is HTTP_OK, with an empty message that has
       room, until it says otherwise. */
    void (*serve)(void *user, const char *requesttype, struct mkt_span in, struct outcome *outcome);
    void *user;
    unsigned long connections; /* that one address may have at a time, an IPv6 network of 64 bits counting as one */
};

/* Begins to serve; NULL if it can't listen there. */
struct web *web_start(const struct web_settings *settings);

unsigned web_port(const struct web *web);

/*
 * Ends connections that have had 10 seconds and did not complete a request, or did not read its answer. Call it once a
 * second. The time begins with the connection, or with the answer before, so that no octet of a request comes later
 * than 10 seconds after its first.
 */
void web_cut(struct web *web);

/* Ends all connections. */
void web_stop(struct web *web);

#endif
