/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file error.h
 * What can go wrong: one enum, in bands of a hundred, one band for each class of refusal.
 */
#ifndef MIKEYTICKET_ERROR_H
#define MIKEYTICKET_ERROR_H

#include <mikeyticket/span.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every function that can fail returns one of these. The hundreds tell the class (enum mkt_class) up to 799. */
enum mkt_err {
    MKT_OK = 0,

    MKT_E_ARGUMENT = 100, /**< an argument or a setting is missing, too long or out of range */
    MKT_E_STATE,          /**< not in this state of the bundle, or while a callback for it runs */
    MKT_E_BUFFER,         /**< the output buffer is too small */
    MKT_E_BUNDLE_FULL,    /**< more than a bundle (mkt_settings.bundle_size), a ticket or a set of streams has room
                               for */
    MKT_E_NO_SESSION,     /**< no such crypto session, or no such stream */
    MKT_E_LENGTH,         /**< a value or a field is too long for its place on the wire */
    MKT_E_PROFILE,        /**< not a TLS profile or cipher suite that this library and this build of mbedTLS allow */
    MKT_E_IN_USE,         /**< another stream has that number or identity, or another connection has the stream */
    MKT_E_AGAIN,          /**< nothing is wrong: wait for TCP, then call again */

    MKT_E_TRUNCATED = 200, /**< the octets end within a field */
    MKT_E_TRAILING,       /**< octets are left over after the last field */
    MKT_E_BAD_VALUE,      /**< a field has a value that the RFC does not define, or that changes the layout */
    MKT_E_VERSION,        /**< not MIKEY version 1 */
    MKT_E_PAYLOAD,        /**< an unknown payload type, whose length can't be known */
    MKT_E_TOO_MANY,       /**< more payloads than MKT_MAX_PAYLOADS, more keys than MKT_MAX_KEYS, or more of a kind than
                               the RFC allows */
    MKT_E_MISSING,        /**< a payload, attribute or media section that must be there is not */
    MKT_E_ORDER,          /**< V or SIGN is not the last payload */
    MKT_E_DATA_TYPE,      /**< not the type of message that is expected now */
    MKT_E_BAD_MAP,        /**< a CS ID map type that this type of message can't have */
    MKT_E_KEMAC_MAC,      /**< a KEMAC with a MAC of its own, where V has it */
    MKT_E_BASE64,         /**< not base64 by the letter */
    MKT_E_SDP,            /**< an SDP description or RTSP header that is not of the form of its RFC */
    MKT_E_STORED,         /**< not what a save function of this library wrote */

    MKT_E_MAC = 300,      /**< the MAC of the message does not verify */
    MKT_E_TICKET_MAC,     /**< the MAC of the ticket does not verify */
    MKT_E_CSB_ID,         /**< the CSB ID is not that of the exchange */
    MKT_E_NO_KEY,         /**< the host has no key for this message or ticket */
    MKT_E_INITIATOR_MAC,  /**< Initiator Data does not verify, or is not of this TRANSFER_INIT */
    MKT_E_SIGNATURE,      /**< the signature of the message does not verify */
    MKT_E_CHAIN,          /**< the certificates of the message, or of the KMS, are not to be trusted for the identity */

    MKT_E_PRF = 400,      /**< the PRF is unknown, not that of the exchange, or of another suite */
    MKT_E_MAC_ALG,        /**< the MAC algorithm is unknown, NULL, or of another suite */
    MKT_E_ENCR_ALG,       /**< the encryption algorithm is unknown, NULL, or of another suite */
    MKT_E_HASH,           /**< the hash function is unknown */
    MKT_E_DH_GROUP,       /**< the Diffie-Hellman group is unknown */
    MKT_E_TICKET_TYPE,    /**< the ticket wants processing of its own (N or O is clear), or this party must open or
                               make a ticket that is no MIKEY base ticket: there is no callback for it */
    MKT_E_COUNTER,        /**< COUNTER timestamps, and the host keeps no counters, or G is clear and keys are to be
                               sent; or the next counters have had keys: call again to skip more of them */
    MKT_E_CERTIFICATE,    /**< the type of certificate is unknown, or a URL */
    MKT_E_PUBLIC_KEY,     /**< an S type of SIGN or a cache indicator of PKE that is not supported */

    MKT_E_FLAGS = 500,    /**< the flags of the ticket policy contradict each other, its keys or its maker (D) */
    MKT_E_POLICY,         /**< the ticket policy lacks what it must have, or has what it must not */
    MKT_E_VALIDITY,       /**< the end of the ticket's validity is not after its start */
    MKT_E_MPK,            /**< not the number of MPKs that there must be */
    MKT_E_KEY_LENGTH,     /**< a key is too short, or too long for the suite or for mbedTLS */
    MKT_E_SPI,            /**< a key without SPI, an SPI used twice, or one that names no session key */
    MKT_E_RAND,           /**< a RAND that is too short, absent where G or I wants it, or there where not */
    MKT_E_KEMAC,          /**< a KEMAC that L or M forbids */
    MKT_E_INITIATOR_DATA, /**< Initiator Data that must not be there, or none if I is set */
    MKT_E_CS,             /**< crypto sessions that the profile or the offer does not have, two of one CS ID, or more
                               than mkt_settings.max_sessions */
    MKT_E_PROT,           /**< a Prot type that is not ours, or an SP of another Prot type than its session */
    MKT_E_SP,             /**< a policy without its SP, two SPs of one number, or not exactly one policy in an answer */
    MKT_E_INITIATOR,      /**< the Initiator is not the one of the ticket policy, of the call or of the key */
    MKT_E_OWN_IDENTITY,   /**< the Initiator has the identity of this party, and no replay cache tells if the message
                               is its own (mkt_settings.allow_own_identity) */
    MKT_E_RESPONDER,      /**< the Responder is absent, or not one of the ticket policy, the call or the key */
    MKT_E_APPLICATION,    /**< the ticket is not for this application (IDRapp) */
    MKT_E_PROTOCOLS,      /**< the list of key management protocols is absent or not that of the SDP */
    MKT_E_RESOLVE,        /**< a KMS must resolve the ticket, and none is at hand */
    MKT_E_REUSE,          /**< the ticket was used, and J forbids to use it again */
    MKT_E_DENIED,         /**< the host's authorisation callback said no, or the stream is another connection's */
    MKT_E_ROLE,           /**< a=setup that can't be answered or does not answer the offer */
    MKT_E_KMS,            /**< the message is for another KMS, or another KMS must resolve the ticket */
    MKT_E_NOT_AS_ASKED,   /**< not the policy or keys that were asked for, and the K flag does not say so */
    MKT_E_UPDATE,         /**< a CSB update with another TICKET or RAND than the first exchange, or one that its own
                               sender gets back */
    MKT_E_SP_PARAMETERS,  /**< no policy of a crypto session is acceptable (mkt_host.acceptable) */
    MKT_E_WRONG_CERTIFICATE, /**< CHASH names no certificate of this KMS, or CERT is for encryption only */

    MKT_E_STALE = 600,    /**< the timestamp is older than the allowed skew, or not later than those before */
    MKT_E_FUTURE,         /**< the timestamp is further ahead than the allowed skew */
    MKT_E_EXPIRED,        /**< the ticket is no longer valid */
    MKT_E_NOT_YET,        /**< the ticket is not valid yet */
    MKT_E_REPLAY,         /**< the message was taken or made before */

    MKT_E_MEMORY = 700,   /**< no memory */
    MKT_E_RANDOM,         /**< the random source failed, or gave the same octets again */
    MKT_E_CLOCK,          /**< the clock failed */
    MKT_E_CRYPTO,         /**< the crypto library failed */
    MKT_E_TLS,            /**< TLS failed; mbedTLS's own code stands beside it */
    MKT_E_CACHE_FULL,     /**< the replay cache is full: no message can be taken until one of its expires */

    MKT_E_REPORTED = 800, /**< an Error message was taken whose number is 0: mkt_error_of_number() */
    MKT_E_REPORTED_LAST = 1055 /**< it has number 255; those between likewise */
};

/** The classes of refusal: whose fault it is. */
enum mkt_class {
    MKT_CLASS_OK = 0,
    MKT_CLASS_USE = 1,         /**< the caller's: a wrong use of the API. If a function that takes a message returns
                                    MKT_E_BUNDLE_FULL, the message is too long for the bundle */
    MKT_CLASS_MALFORMED = 2,   /**< the octets, or the shape of the message */
    MKT_CLASS_AUTH = 3,        /**< the sender can't be verified */
    MKT_CLASS_UNSUPPORTED = 4, /**< an algorithm or a ticket type that is not supported */
    MKT_CLASS_POLICY = 5,      /**< a rule of the protocol, the ticket or the host */
    MKT_CLASS_FRESHNESS = 6,   /**< time, or a replay */
    MKT_CLASS_HOST = 7,        /**< the host or the crypto library failed */
    MKT_CLASS_REPORTED = 8     /**< another party says so in an Error message */
};

/** Returns the class of an error. */
MKT_API enum mkt_class mkt_err_class(enum mkt_err err);

/** Returns the name of an error as it stands in this header, such as "MKT_E_MAC"; static, never NULL. MKT_E_REPORTED to
 *  MKT_E_REPORTED_LAST all have the name "MKT_E_REPORTED". */
MKT_API const char *mkt_err_name(enum mkt_err err);

/**
 * Returns what the error means, for a log; static, never NULL. It is a sentence in English. If an Error message reports
 * the error, it is the name of its number instead, such as "Invalid TS" (RFC 3830 6.12, RFC 6043 6.9).
 */
MKT_API const char *mkt_err_text(enum mkt_err err);

/**
 * Returns the number that tells a peer of this error in a MIKEY Error payload (RFC 3830 6.12, RFC 6043 6.9). It is 12,
 * "Unspecified error", for errors that have no number there, such as MKT_E_DENIED, and for those that concern this host
 * only.
 */
MKT_API uint8_t mkt_err_number(enum mkt_err err);

/**
 * Returns the error that stands for the number of an Error message that came (mkt_error_message.number), so that
 * mkt_csb_make_error() can pass it on: mkt_err_number() of it is that number, whatever the number is.
 */
MKT_API enum mkt_err mkt_error_of_number(uint8_t number);

#ifdef __cplusplus
}
#endif
#endif
