/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file message.h
 * A MIKEY message: its common header and its payloads (RFC 3830 6.1, RFC 6043 6.1).
 *
 * Decoding says nothing about who sent a message: what it holds is unverified until a bundle has taken it.
 */
#ifndef MIKEYTICKET_MESSAGE_H
#define MIKEYTICKET_MESSAGE_H

#include <mikeyticket/payload.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Data types (RFC 3830 table 6.1.a, RFC 6043 table 6.1) */
enum mkt_data_type {
    MKT_PSK = 0,
    MKT_PSK_VER = 1,
    MKT_PK = 2,
    MKT_PK_VER = 3,
    MKT_DH_INIT = 4,
    MKT_DH_RESP = 5,
    MKT_ERROR = 6,
    MKT_REQUEST_INIT_PSK = 11,
    MKT_REQUEST_INIT_PK = 12,
    MKT_REQUEST_RESP = 13,
    MKT_TRANSFER_INIT = 14,
    MKT_TRANSFER_RESP = 15,
    MKT_RESOLVE_INIT_PSK = 16,
    MKT_RESOLVE_INIT_PK = 17,
    MKT_RESOLVE_RESP = 18
};

/** Common Header payload (RFC 3830 6.1) */
struct mkt_hdr {
    uint8_t version; /**< 1 */
    uint8_t data_type;
    uint16_t v;   /**< V flag, 1 bit */
    uint16_t prf; /**< PRF func, 7 bits */
    uint32_t csb_id;
    uint8_t n_cs;    /**< #CS: crypto sessions in the map, up to 255 */
    uint8_t map_type;
    struct mkt_span map; /**< CS ID map info, for mkt_cs_next() */
};

/** How many payloads a message may have. */
enum { MKT_MAX_PAYLOADS = 24 };

/** A message. Some 2.5 KiB, and nothing to free. */
struct mkt_message {
    struct mkt_hdr hdr;
    size_t n; /**< payloads, in the order of the wire */
    struct mkt_payload payload[MKT_MAX_PAYLOADS];
};

/** The name of a data type as the RFCs spell it, such as "TRANSFER_INIT"; "unknown" for others. Static. */
MKT_API const char *mkt_data_type_name(unsigned data_type);

/**
 * Decodes a message. No copy, no allocation; time is linear in the octets. Any data type is decoded.
 * @param message  out: its spans point into `in`; without meaning after an error
 * @param in       the message, to the last octet
 * @return MKT_OK; MKT_E_VERSION; MKT_E_TOO_MANY for more than MKT_MAX_PAYLOADS; or an error of mkt_payload_decode()
 */
MKT_API MKT_MUST enum mkt_err mkt_message_decode(struct mkt_message *message, struct mkt_span in);

/**
 * Appends a message as octets. A message that mkt_message_decode() has decoded is encoded to the same octets.
 * @return MKT_OK; an error of mkt_payloads_encode(), MKT_E_VERSION, or for the CS ID map MKT_E_TRUNCATED or
 *         MKT_E_BAD_VALUE, for what has no encoding; MKT_E_ARGUMENT for more than MKT_MAX_PAYLOADS; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_message_encode(const struct mkt_message *message, struct mkt_buf *out);

/** The first payload of a type and role (mkt_payload_role()), or NULL; it lives as long as the message. */
MKT_API const struct mkt_payload *mkt_message_find(const struct mkt_message *message, unsigned type, uint8_t role);

/**
 * Finds where decoding stopped, to tell a human.
 * @param in  what mkt_message_decode() refused
 * @return the offset in octets of the field that could not be understood; with MKT_E_TOO_MANY of the last one before
 */
MKT_API size_t mkt_message_error_offset(struct mkt_span in);

#ifdef __cplusplus
}
#endif
#endif
