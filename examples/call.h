/* SPDX-License-Identifier: BSD-3-Clause */
/* What the two ends of a call share, and what is not the library's business: options, SDP text, HTTP to the KMS,
   sockets, the loop around mbedTLS, MSRP (RFC 4975) and BFCP (RFC 8855). A function that answers false has said why on
   standard error. */
#ifndef EXAMPLES_CALL_H
#define EXAMPLES_CALL_H

#include "certificates.h"
#include "http.h"

#include <mikeyticket.h>
#include <mikeyticket/tls.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>

/* Whatever does not come within 10 s is a failure. */
enum { DEADLINE_MS = 10000, MAX_TEXT = 2048, MAX_PATH = 512, MAX_MESSAGE = 32768 };

struct options {
    const char *id, *to;    /* URIs of this party and, for the initiator, of the one it calls */
    const char *text;       /* to send as MSRP message */
    const char *group;      /* responder: its group. initiator: a member that may answer for the group */
    const char *authorised; /* initiator: another one that may answer, with key forking; or NULL */
    const char *file;       /* where the ticket is kept, of the responder the keys of one that was resolved; or NULL */
    const char *tpk_id;     /* the name of the TPK; NULL: none was given */
    uint8_t tpk[MKT_MAX_TPK];
    size_t tpk_n;                     /* 0: this party has none */
    const char *kms;                  /* the URL of the KMS; NULL: this party has none */
    struct mkt_credential credential; /* for that KMS */
    uint8_t psk[MKT_MAX_PSK];
    struct certificate_files files; /* in place of that key; or NULL */
    struct certificates certificates;
    enum mkt_suite suite;
    enum mkt_stream stream;
    enum mkt_setup setup;
    uint16_t flags;       /* of the ticket policy */
    uint16_t ticket_type; /* to ask the KMS for */
    bool legacy, show_keys;
};

/* One call, its media stream, and room for the texts of both. */
struct call {
    const struct options *options;
    bool offerer;
    bool floor_client; /* BFCP: this end asks for floors. The initiator does; the responder, if it must */
    enum mkt_setup offered, answered; /* a=setup */
    struct mkt_roles roles;           /* that come of it */
    uint16_t port, peer_port;
    char path[MAX_PATH], peer_path[MAX_PATH]; /* MSRP: a=path */
    uint32_t conference;                      /* BFCP: what the floor control server says */
    uint16_t user;

    char text[16384]; /* what was read: offer or answer */
    size_t text_n;
    struct mkt_sdp sdp;           /* the same, parsed */
    uint8_t message[MAX_MESSAGE]; /* a MIKEY message */
    uint8_t answer[8192];         /* what the KMS answers */
    uint8_t kept[8192];           /* what --ticket and --resolved keep: secret */
    size_t kept_n;                /* octets of it that are to be kept with what comes */
    char line_octets[12288];
    struct mkt_buf line; /* a=key-mgmt, of the description that is to be written */
    char msrp[MAX_TEXT + 3 * MAX_PATH];

    struct http http;
    uint8_t asked; /* the message that was sent to the KMS */
    int listener, tcp;
    int64_t deadline; /* of the step that is being done, in ms of the monotonic clock */
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    struct mkt_tls tls;
};

/* Reads the command line; after a mistake it prints one line about it. The options must stay where they are. */
bool options_get(struct options *options, int argc, char **argv, bool initiator);
/* What a bundle of this party is told. */
struct mkt_settings options_settings(const struct options *options);
/* Reads the certificates that the options name, if there are any. */
bool options_certificates(struct options *options);
/* Wipes the keys that the options hold. */
void options_wipe(struct options *options);

/* Whether a function of the library succeeded; if not, prints the line `refused: <name> <text>`. */
bool ok(enum mkt_err err);
/* Prints the same, and what it was about; answers false. */
bool fail(enum mkt_err err, const char *what);

struct call *call_new(const struct options *options, bool offerer);
void call_free(struct call *call);

/* A step of the ladder, as a line on standard error: a message that is sent (->) or has come (<-). */
void call_ladder(const struct call *call, const char *arrow, const char *other, struct mkt_span message);
/* The same of the message of a description. */
void call_ladder_sdp(struct call *call, const char *arrow, const char *other, struct mkt_sdp *sdp, size_t media);
/* Prints what is at fault: mkt_host.log. The line `refused: ...` follows. */
void call_log(void *user, const struct mkt_log_event *event);
/* Tells the user of an Error message: mkt_host.error, where the call is mkt_host.user. */
void call_report(void *user, const struct mkt_error_message *report);
/* Sends a message to the KMS and lets the bundle take the answer. `type` is what HTTP calls the exchange. */
bool call_ask_kms(struct call *call, struct mkt_csb *csb, const char *type, struct mkt_span message);

/* Appends a file that the last call left, if there is one, to a buffer; there is nothing in it that others may read. */
bool call_read_file(const char *file, struct mkt_buf *octets);
bool call_write_file(const char *file, struct mkt_span octets);

/* Reads a description from standard input up to an empty line or the end, and of its first stream the port. */
bool call_read_sdp(struct call *call);
/* From the a=setup of offer and answer to the roles of this end. */
bool call_roles(struct call *call);
/* Binds the socket that the other end may connect to; call->port is then its port, or 9 where this side is active. */
bool call_listen(struct call *call, enum mkt_setup setup);
/* Writes a description to standard output, with call->line if there is one. */
bool call_write_sdp(struct call *call, enum mkt_setup setup);
/* Reads from the other's description what the medium needs: a=path, or confid and userid. */
bool call_read_media(struct call *call);

/* Prints key and identity where --show-keys asks for it. */
bool call_show_keys(const struct call *call, const struct mkt_csb *csb);
/* Opens TCP and TLS in those roles, with the key of the one crypto session. */
bool call_connect(struct call *call, const struct mkt_csb *csb);
/* Sends and receives one MSRP message or one BFCP Hello, and closes. */
bool call_talk(struct call *call);

#endif
