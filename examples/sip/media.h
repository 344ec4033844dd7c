/* SPDX-License-Identifier: BSD-3-Clause */
/* The media of the user agent: TLS by mikeyticket/streams.h and MSRP (RFC 4975), in the event loop of Sofia-SIP. All
   streams have one TCP port. The PSK identity tells which stream a connection is for, so a stream is there before its
   peer connects: the peer is this program, which connects when it has the answer or the ACK. If your peers may connect
   earlier, give each stream a port and announce it: see mikeyticket/streams.h. */
#ifndef EXAMPLES_SIP_MEDIA_H
#define EXAMPLES_SIP_MEDIA_H

#include <mikeyticket.h>

#include <sofia-sip/su_wait.h>

enum { MAX_PATH = 256, MAX_TEXT = 2048 };

struct media;

/* The stream of a dialog: its key, its paths, and its connection if there is one. */
struct stream;

enum media_event {
    MEDIA_CONNECTED, /* the text has version and cipher suite */
    MEDIA_FAILED,    /* no connection: the text says why. The stream waits on */
    MEDIA_RECEIVED,  /* a message: the text is its body */
    MEDIA_DELIVERED, /* the peer has answered 200 to a message */
    MEDIA_ENDED      /* the connection ended, and the key is wiped: the text says how */
};

/* Called for a stream. It may free the stream. */
typedef void media_event_f(void *owner, enum media_event event, const char *text);

/* Makes the media of a program, which listens on 127.0.0.1; NULL after a line on standard error. */
struct media *media_new(su_root_t *root, media_event_f *event);
/* Ends all connections. Free the streams before. */
void media_free(struct media *media);
/* Returns the port of all streams. */
uint16_t media_port(const struct media *media);
/* Return how many streams wait or are connected, and how many connections there are. */
size_t media_streams(const struct media *media);
size_t media_connections(const struct media *media);

/* Adds a stream with the key of a bundle's crypto session. From now on its peer may connect. */
enum mkt_err stream_new(struct stream **stream, struct media *media, void *owner, const struct mkt_csb *csb);
/* Sets the a=path of both ends; false if one is too long. */
bool stream_paths(struct stream *stream, const char *own, struct mkt_span peer);
/* Gives the stream another key, for its next handshake. */
enum mkt_err stream_rekey(struct stream *stream, const struct mkt_csb *csb);
/* Connects to the peer, as TLS client; MEDIA_CONNECTED or MEDIA_FAILED follows. */
void stream_connect(struct stream *stream, struct mkt_span address, uint16_t port);
/* Sends a message; MEDIA_DELIVERED follows. False if there is no connection or no room. */
bool stream_send(struct stream *stream, const char *text);
/* True if the connection ended: this stream has no key any more. */
bool stream_ended(const struct stream *stream);
/* Ends the connection, wipes the key and frees the stream; it may be NULL. */
void stream_free(struct stream *stream);

#endif
