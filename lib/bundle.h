/* SPDX-License-Identifier: BSD-3-Clause */
/* bundle: what the parties of a call have agreed on so far, how it is kept, packed, and written to octets. */
#ifndef MKT_BUNDLE_H
#define MKT_BUNDLE_H

#include "key.h"

/* Which keys protect the message that this party sent last; an Error message about it has them (RFC 6043 5.4). */
enum mkt_sent_with { MKT_SENT_WITH_NONE, MKT_SENT_WITH_PSK, MKT_SENT_WITH_MPK_INITIAL, MKT_SENT_WITH_MPK_RESPONSE };

/* Where session keys came from: chains of Key data payloads. */
enum {
    MKT_FROM_TICKET,    /* or from all exchanges but the one that is under way */
    MKT_FROM_INITIATOR, /* the KEMAC of the TRANSFER_INIT */
    MKT_FROM_UPDATE,    /* the KEMAC of an update that is not answered yet */
    MKT_FROM_RESPONDER  /* the KEMAC of the TRANSFER_RESP, or of the answer to an update */
};

/* T of the messages of Ticket Transfer that one end has sent. Clock and counter have no order between them. */
struct mkt_times {
    bool by_clock;
    uint64_t clock;    /* the last by a clock, if there is one */
    uint64_t counter;  /* one more than the highest COUNTER; 0: there is none */
    uint64_t from, to; /* COUNTERs of KEMACs with the keys of updates: from `from`, less than `to` */
};

/* Spans view the arena of the bundle, and during a step the message that is taken. */
struct mkt_bundle {
    enum mkt_suite suite;
    enum mkt_sent_with sent_with;
    uint32_t csb_id;
    uint16_t flags;               /* of the ticket policy */
    uint32_t rekeying;            /* TRr, in seconds; 0: no limit */
    bool named_by_kms;            /* the KMS has said who answers, in IDRr of the RESOLVE_RESP */
    struct mkt_times peer_last_t; /* of the peer, as far as it was taken */
    struct mkt_times reported;    /* of the peer, as far as an Error message with MAC was made about it */
    struct mkt_times sent;        /* of this party */
    struct mkt_span init;      /* the initial message of the exchange under way, which the MAC of the answer covers */
    struct mkt_span asked_kms; /* the RESOLVE_INIT that this party sent */
    struct mkt_span envelope_key; /* that this party sealed in its message to a KMS; empty: they share a key */
    struct mkt_span psk;          /* of a KMS, with the one who asks, or from the envelope of that one */
    struct mkt_span randi, randr, randkms;
    struct mkt_span mpki, mpkr;       /* MPKr is forked once it is known who answers */
    struct mkt_span keys[MKT_CHAINS]; /* by where they came from */
    uint8_t n_cs;
    struct mkt_span map;               /* GENERIC-ID, once it is final */
    struct mkt_span sps;               /* SP payloads, one after the other, that the map names */
    struct mkt_span ticket;            /* granted: the TICKET payload; resolved: the octets that name it */
    uint8_t ticket_hash[MKT_MAX_HASH]; /* of the TICKET of the TRANSFER_INIT (mkt_ticket_hash()) */
    uint8_t answer_hash[MKT_MAX_HASH]; /* of the answer that was taken last (D28); zero: there was another message */
    struct mkt_id initiator;           /* IDRi */
    struct mkt_id called;              /* IDRr of the TRANSFER_INIT */
    struct mkt_id responder;           /* who answers: IDRr of the TRANSFER_RESP, of the RESOLVE_INIT */
};

/* Whether T is later than all those of its kind; whether it is the last of them. */
static inline bool mkt_t_later(const struct mkt_t *t, const struct mkt_times *times)
{
    if (t->ts_type == MKT_TS_COUNTER)
        return t->value >= times->counter;
    return !times->by_clock || mkt_ntp_before(times->clock, mkt_t_64(t));
}

static inline bool mkt_t_last(const struct mkt_t *t, const struct mkt_times *times)
{
    if (t->ts_type == MKT_TS_COUNTER)
        return t->value + 1 == times->counter;
    return times->by_clock && mkt_t_64(t) == times->clock;
}

/* Whether a KEMAC may have had that T. */
static inline bool mkt_t_used(const struct mkt_t *t, const struct mkt_times *times)
{
    if (t->ts_type == MKT_TS_COUNTER)
        return t->value >= times->from && t->value < times->to;
    return mkt_t_last(t, times);
}

/* `kemac`: with the keys that updates have, too. */
void mkt_times_add(struct mkt_times *times, const struct mkt_t *t, bool kemac);

static inline bool mkt_bundle_has(const struct mkt_bundle *bundle, uint16_t flag)
{
    return (bundle->flags & flag) != 0;
}

/* Who answers, as it was agreed on (design decision D17); without TRANSFER_RESP that is who was asked. */
static inline const struct mkt_id *mkt_bundle_responder(const struct mkt_bundle *bundle)
{
    return bundle->responder.data.n > 0 ? &bundle->responder : &bundle->called;
}

/* The session key that an SPI names, whoever supplied it. */
bool mkt_bundle_key(const struct mkt_bundle *bundle, struct mkt_span spi, struct mkt_key_data *key);

/* The octets of the longest MPK, TGK or GTGK. */
size_t mkt_bundle_longest(const struct mkt_bundle *bundle);

/* Moves what the bundle views to the front of its arena, so that what it views no more has its arena back, wiped. */
void mkt_bundle_pack(struct mkt_bundle *bundle, struct mkt_buf *arena);

/* Writes or reads it whole; what is read views the input. MKT_E_STORED for values that no bundle has. */
void mkt_io_bundle(struct io *io, struct mkt_bundle *bundle);

/* Moves what the bundle views at `source` to the front of an arena, which may be the same: MKT_E_BUNDLE_FULL. */
MKT_MUST enum mkt_err mkt_bundle_move(struct mkt_bundle *bundle, const uint8_t *source, struct mkt_buf *arena);

#endif
