/* SPDX-License-Identifier: BSD-3-Clause */
/* exchange: what a bundle holds, one step on it, and what the messages of every exchange have in common. */
#ifndef MKT_EXCHANGE_H
#define MKT_EXCHANGE_H

#include "ticket.h"

#include <mikeyticket/exchange.h>

/*
 * What the parties of a call have agreed on so far. Spans view the room of the bundle, and during a step the message
 * that is taken.
 */
struct mkt_bundle {
    enum mkt_suite suite;
    uint32_t csb_id;
    uint16_t flags;              /* of the ticket policy */
    struct mkt_span init;        /* the TRANSFER_INIT as it was sent, where F wants an answer, whose MAC covers it */
    struct mkt_span randi, randr;
    struct mkt_span mpki;
    struct mkt_span keys;        /* those of the ticket, MPKs included */
    struct mkt_span supplied[2]; /* those of the KEMAC of the TRANSFER_INIT, of the TRANSFER_RESP */
    uint8_t n_cs;
    struct mkt_span map;         /* GENERIC-ID, once it is final */
    struct mkt_id initiator;     /* IDRi */
    struct mkt_id asked;         /* IDRr of the TRANSFER_INIT */
    struct mkt_id responder;     /* IDRr of the TRANSFER_RESP: who answers */
};

/*
 * One step: a message is made or taken. It works on a copy of the bundle, which becomes the bundle where it succeeds.
 */
struct mkt_act {
    const struct mkt_host *host;
    const struct mkt_settings *settings;
    struct mkt_bundle bundle;
    struct mkt_buf room; /* of the bundle; what a failed step appended is wiped */
    const struct mkt_message *message; /* that is taken, or that is answered */
    /* taken */
    struct mkt_span in;        /* its octets */
    struct mkt_span protocols; /* the list that the SDP has */
    /* made */
    const struct mkt_offer *offer;
    const struct mkt_answer *answer;
    struct mkt_buf *out; /* with `p` NULL the message is only measured */
};

bool mkt_bundle_has(const struct mkt_bundle *bundle, uint16_t flag);

/* The session key that an SPI names, whoever supplied it. */
bool mkt_bundle_key(const struct mkt_bundle *bundle, struct mkt_span spi, struct mkt_key_data *key);

/* Copies into the room of the bundle: MKT_E_ROOM. */
MKT_MUST enum mkt_err mkt_keep(struct mkt_act *act, struct mkt_span from, struct mkt_span *to);
/* The same of a message that mkt_seal() made: where it was only measured, as many octets as it would have. */
MKT_MUST enum mkt_err mkt_keep_message(struct mkt_act *act, struct mkt_span octets, size_t n, struct mkt_span *to);
MKT_MUST enum mkt_err mkt_keep_id(struct mkt_act *act, const struct mkt_id *from, struct mkt_id *to);

/* `n` random octets in the room of the bundle. */
MKT_MUST enum mkt_err mkt_draw(struct mkt_act *act, size_t n, struct mkt_span *to);

/* Whether the timestamp of the message is one that can be judged at all: MKT_E_COUNTER. Needs no key. */
MKT_MUST enum mkt_err mkt_t_check(const struct mkt_act *act);

/* Whether the timestamp of the message is in the window; a COUNTER is looked at by mkt_counted(). */
MKT_MUST enum mkt_err mkt_t_fresh(const struct mkt_act *act);

/*
 * The last checks of all, which the host remembers: that the COUNTER is fresh; that the message was not taken before.
 */
MKT_MUST enum mkt_err mkt_counted(const struct mkt_act *act, const struct mkt_id *peer);
MKT_MUST enum mkt_err mkt_seen(const struct mkt_act *act);

/* MKT_E_MAC_ALG where V of the message is not of the suite (design decision D1). */
MKT_MUST enum mkt_err mkt_v_check(const struct mkt_message *message, enum mkt_suite suite);

/* What a MAC covers beside its message: identities, or the initial message (RFC 6043 table 5.2). */
struct mkt_also {
    struct mkt_span span[2];
};

/* Verifies the MAC of the message that is taken: MKT_E_MAC. */
MKT_MUST enum mkt_err mkt_verify(const struct mkt_act *act, const struct mkt_protection *protection,
                                 const struct mkt_also *also);

/* Appends a message to `out` and puts the MAC into its V. `octets` views it; where it is only measured, nothing. */
MKT_MUST enum mkt_err mkt_seal(struct mkt_act *act, const struct mkt_protection *protection,
                               const struct mkt_message *message, const struct mkt_also *also, struct mkt_span *octets);

/* Adds a V of the suite, whose MAC mkt_seal() puts in. */
void mkt_v_add(struct mkt_message *message, enum mkt_suite suite);

/* What a KEMAC in a message must be like before it is opened: MKT_E_ENCR_ALG, MKT_E_KEMAC_MAC. */
MKT_MUST enum mkt_err mkt_kemac_check(const struct mkt_kemac *kemac, enum mkt_suite suite);

/* Keys as the KEMAC of a message with timestamp `t`: the chain is kept in clear in the room, as is its encryption. */
MKT_MUST enum mkt_err mkt_kemac_make(struct mkt_act *act, const struct mkt_protection *protection,
                                     const struct mkt_t *t, const struct mkt_key_wish wishes[], size_t n,
                                     struct mkt_span *keys, struct mkt_kemac *kemac);

/* The keys of the KEMAC of the message that is taken, checked, in the room. */
MKT_MUST enum mkt_err mkt_kemac_open(struct mkt_act *act, const struct mkt_protection *protection,
                                     const struct mkt_kemac *kemac, struct mkt_span *keys);

#endif
