/* SPDX-License-Identifier: BSD-3-Clause */
#include "error.h"

/* Error no of the ERR payload, as the comments of RFC 3830 table 6.12 and RFC 6043 table 6.14 define each number. An
 * error that no comment describes is UNSPECIFIED: a wrong number would send the peer after the wrong fault. */
enum {
    AUTH_FAILURE = 0,    /* "Authentication failure": nothing tells the peer if a name, a key or a MAC is wrong */
    INVALID_TS = 1,      /* "Invalid timestamp": T is outside the skew, repeated, or of a type that is not taken */
    INVALID_PRF = 2,     /* "PRF function not supported" */
    INVALID_MAC = 3,     /* "MAC algorithm not supported": of V, or of a KEMAC, which has NULL */
    INVALID_EA = 4,      /* "Encryption algorithm not supported" */
    INVALID_HA = 5,      /* "Hash function not supported" */
    INVALID_DH = 6,      /* "DH group not supported" */
    INVALID_ID = 7,      /* "ID not supported": an identity that must not be there */
    INVALID_CERT = 8,    /* "Certificate not supported" */
    INVALID_SP = 9,      /* "SP type not supported": the Prot type alone */
    INVALID_SPPAR = 10,  /* "SP parameters not supported": what is in the SPs of a Prot type that is */
    INVALID_DT = 11,     /* "not supported Data type": never, or not now */
    UNSPECIFIED = 12,    /* "an unspecified error occurred" */
    INVALID_TICKET = 14, /* "Ticket Type not supported": type, subtype, version; not what is wrong with one ticket */
    INVALID_TPPAR = 15   /* "TP parameters not supported": what the policy itself says; not a message that breaks it */
};

static const struct row {
    enum mkt_err err;
    const char *name, *text;
    uint8_t number;
} rows[] = {
#define ROW(err, number, text)                                                                                         \
    {                                                                                                                  \
        err, #err, text, number                                                                                        \
    }
    ROW(MKT_OK, UNSPECIFIED, "no error"),

    ROW(MKT_E_ARGUMENT, UNSPECIFIED, "an argument or a setting is missing, too long or out of range"),
    ROW(MKT_E_STATE, UNSPECIFIED, "the bundle is in a state in which it can't do this, or a callback for it runs"),
    ROW(MKT_E_BUFFER, UNSPECIFIED, "the output does not fit into its buffer"),
    ROW(MKT_E_BUNDLE_FULL, UNSPECIFIED, "more than the bundle, the ticket or the set of streams has room for"),
    ROW(MKT_E_NO_SESSION, UNSPECIFIED, "no such crypto session, or no such stream"),
    ROW(MKT_E_LENGTH, UNSPECIFIED, "a value or a field is too long for its place on the wire"),
    ROW(MKT_E_PROFILE, UNSPECIFIED, "not a TLS profile or cipher suite that can be used here"),
    ROW(MKT_E_IN_USE, UNSPECIFIED, "another stream has that number or identity, or another connection has the stream"),
    ROW(MKT_E_AGAIN, UNSPECIFIED, "nothing is wrong: wait for TCP, then call again"),

    ROW(MKT_E_TRUNCATED, UNSPECIFIED, "the octets end within a field"),
    ROW(MKT_E_TRAILING, UNSPECIFIED, "octets are left over after the last field"),
    ROW(MKT_E_BAD_VALUE, UNSPECIFIED, "a field has a value that is not defined"),
    ROW(MKT_E_VERSION, UNSPECIFIED, "not MIKEY version 1"),
    ROW(MKT_E_PAYLOAD, UNSPECIFIED, "an unknown payload type"),
    ROW(MKT_E_TOO_MANY, UNSPECIFIED, "too many payloads, keys or attributes, or too many of a kind"),
    ROW(MKT_E_MISSING, UNSPECIFIED, "a payload, attribute or media section that must be there is not"),
    ROW(MKT_E_ORDER, UNSPECIFIED, "V or SIGN is not the last payload"),
    ROW(MKT_E_DATA_TYPE, INVALID_DT, "not the type of message that is expected now"),
    ROW(MKT_E_BAD_MAP, UNSPECIFIED, "a CS ID map type that this type of message can't have"),
    ROW(MKT_E_KEMAC_MAC, INVALID_MAC, "the KEMAC has a MAC of its own: it must use the NULL authentication algorithm"),
    ROW(MKT_E_BASE64, UNSPECIFIED, "not base64 by the letter of RFC 4648"),
    ROW(MKT_E_SDP, UNSPECIFIED, "an SDP description or RTSP header is not of the form of its RFC"),
    ROW(MKT_E_STORED, UNSPECIFIED, "not octets that this library stored, or they were changed since"),

    ROW(MKT_E_MAC, AUTH_FAILURE, "the MAC of the message does not verify"),
    ROW(MKT_E_TICKET_MAC, AUTH_FAILURE, "the MAC of the ticket does not verify"),
    ROW(MKT_E_CSB_ID, AUTH_FAILURE, "the CSB ID is not that of the exchange"),
    ROW(MKT_E_NO_KEY, AUTH_FAILURE, "the host has no key for this message or ticket"),
    ROW(MKT_E_INITIATOR_MAC, AUTH_FAILURE, "the Initiator Data of the ticket is not of this message or its Initiator"),
    ROW(MKT_E_SIGNATURE, AUTH_FAILURE, "the signature of the message does not verify"),
    ROW(MKT_E_CHAIN, AUTH_FAILURE, "the certificates are not to be trusted for the identity"),

    ROW(MKT_E_PRF, INVALID_PRF, "the PRF is unknown, not that of the exchange, or of another suite"),
    ROW(MKT_E_MAC_ALG, INVALID_MAC, "the MAC algorithm is unknown, NULL, or of another suite"),
    ROW(MKT_E_ENCR_ALG, INVALID_EA, "the encryption algorithm is unknown, NULL, or of another suite"),
    ROW(MKT_E_HASH, INVALID_HA, "the hash function is unknown"),
    ROW(MKT_E_DH_GROUP, INVALID_DH, "the Diffie-Hellman group is unknown"),
    ROW(MKT_E_TICKET_TYPE, INVALID_TICKET, "the type of the ticket is not supported, or needs additional processing"),
    ROW(MKT_E_COUNTER, INVALID_TS,
        "COUNTER timestamps are used, and no counters are kept, or the next numbers were used"),
    ROW(MKT_E_CERTIFICATE, INVALID_CERT, "the type of certificate is unknown, or a URL"),
    ROW(MKT_E_PUBLIC_KEY, UNSPECIFIED, "the S type of SIGN, or the cache indicator of PKE, is not supported"),

    ROW(MKT_E_FLAGS, INVALID_TPPAR, "the flags of the ticket policy contradict each other, its keys or its maker"),
    ROW(MKT_E_POLICY, INVALID_TPPAR, "the ticket policy lacks what it must have, or has what it must not"),
    ROW(MKT_E_VALIDITY, INVALID_TPPAR, "the ticket's validity does not end after its start"),
    ROW(MKT_E_MPK, UNSPECIFIED, "not the number of MPKs that there must be"),
    ROW(MKT_E_KEY_LENGTH, UNSPECIFIED, "a key is too short, or too long for its use"),
    ROW(MKT_E_SPI, UNSPECIFIED, "a key without SPI, an SPI used twice, or one that names no session key"),
    ROW(MKT_E_RAND, UNSPECIFIED, "a RAND is too short, absent, or not allowed by the ticket policy"),
    ROW(MKT_E_KEMAC, UNSPECIFIED, "the ticket policy forbids the sender to supply keys"),
    ROW(MKT_E_INITIATOR_DATA, UNSPECIFIED, "Initiator Data is there and must not be, or is absent and must be there"),
    ROW(MKT_E_CS, UNSPECIFIED, "not the crypto sessions that there must be"),
    ROW(MKT_E_PROT, INVALID_SP, "a crypto session or its SP has a Prot type that is not supported"),
    ROW(MKT_E_SP, UNSPECIFIED, "the policies of a crypto session and the SP payloads do not agree"),
    ROW(MKT_E_INITIATOR, INVALID_ID, "the Initiator is not the one of the ticket policy, of the call or of the key"),
    ROW(MKT_E_OWN_IDENTITY, INVALID_ID,
        "the Initiator has this party's identity, and no replay cache knows its own messages"),
    ROW(MKT_E_RESPONDER, INVALID_ID, "the Responder is absent, or not one of the ticket policy, the call or the key"),
    ROW(MKT_E_APPLICATION, INVALID_TPPAR, "the ticket is not for this application"),
    ROW(MKT_E_PROTOCOLS, UNSPECIFIED, "the list of key management protocols is absent or not that of the SDP"),
    ROW(MKT_E_RESOLVE, INVALID_TPPAR, "a KMS must resolve the ticket, and none is known"),
    ROW(MKT_E_REUSE, UNSPECIFIED, "the ticket was used before, and its policy forbids to use it again"),
    ROW(MKT_E_DENIED, UNSPECIFIED, "the peer is not authorised, or another connection has its stream"),
    ROW(MKT_E_ROLE, UNSPECIFIED, "the a=setup roles of offer and answer do not fit"),
    ROW(MKT_E_KMS, INVALID_ID, "the message or the ticket is for another KMS"),
    ROW(MKT_E_NOT_AS_ASKED, INVALID_TPPAR,
        "the ticket is not the one that was asked for, and its K flag does not say so"),
    ROW(MKT_E_UPDATE, UNSPECIFIED,
        "a CSB update with another ticket or RAND, or one that comes back to its own sender"),
    ROW(MKT_E_SP_PARAMETERS, INVALID_SPPAR, "no security policy of a crypto session has parameters that are supported"),
    ROW(MKT_E_WRONG_CERTIFICATE, INVALID_CERT, "CHASH names no certificate of this KMS, or CERT is for encryption"),

    ROW(MKT_E_STALE, INVALID_TS, "the timestamp is too old, or not later than those before"),
    ROW(MKT_E_FUTURE, INVALID_TS, "the timestamp is too far in the future"),
    ROW(MKT_E_EXPIRED, UNSPECIFIED, "the ticket is no longer valid"),
    ROW(MKT_E_NOT_YET, UNSPECIFIED, "the ticket is not valid yet"),
    ROW(MKT_E_REPLAY, INVALID_TS, "the message was taken or made before"),

    ROW(MKT_E_MEMORY, UNSPECIFIED, "no memory"),
    ROW(MKT_E_RANDOM, UNSPECIFIED, "the random source failed, or gave the same octets again"),
    ROW(MKT_E_CLOCK, UNSPECIFIED, "the clock failed"),
    ROW(MKT_E_CRYPTO, UNSPECIFIED, "the crypto library failed"),
    ROW(MKT_E_TLS, UNSPECIFIED, "TLS failed: the error code of mbedTLS says how"),
    ROW(MKT_E_CACHE_FULL, UNSPECIFIED, "the replay cache is full"),

    ROW(MKT_E_REPORTED, UNSPECIFIED, "an Error message has a number that is not known"),
#undef ROW
};

static const struct row *row_of(enum mkt_err err)
{
    static const struct row unknown = {MKT_OK, "unknown", "not an error of this library", UNSPECIFIED};
    const bool reported = err >= MKT_E_REPORTED && err <= MKT_E_REPORTED_LAST;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].err == (reported ? MKT_E_REPORTED : err))
            return &rows[i];
    return &unknown;
}

enum mkt_class mkt_err_class(enum mkt_err err)
{
    return err >= MKT_E_REPORTED ? MKT_CLASS_REPORTED : (enum mkt_class)((unsigned)err / 100);
}

const char *mkt_err_name(enum mkt_err err)
{
    return row_of(err)->name;
}

const char *mkt_err_text(enum mkt_err err)
{
    static const char *const reported[] = {"Auth failure",      "Invalid TS",
                                           "Invalid PRF",       "Invalid MAC",
                                           "Invalid EA",        "Invalid HA",
                                           "Invalid DH",        "Invalid ID",
                                           "Invalid Cert",      "Invalid SP",
                                           "Invalid SPpar",     "Invalid DT",
                                           "Unspecified error", "Unsupported message type",
                                           "Invalid TICKET",    "Invalid TPpar"};
    const size_t number = (size_t)err - MKT_E_REPORTED;
    return number < sizeof reported / sizeof *reported ? reported[number] : row_of(err)->text;
}

uint8_t mkt_err_number(enum mkt_err err)
{
    const struct row *row = row_of(err);
    return row->err == MKT_E_REPORTED ? (uint8_t)(err - MKT_E_REPORTED) : row->number;
}

enum mkt_err mkt_error_of_number(uint8_t number)
{
    return (enum mkt_err)(MKT_E_REPORTED + number);
}

/* ---- what is at fault ---- */

void mkt_detail_note(struct mkt_detail *detail, enum mkt_err err, const char *thing, const struct mkt_span *octets)
{
    if (detail == NULL || err == detail->err || err == MKT_OK)
        return;
    const struct mkt_span parts[] = {mkt_span_text(thing), mkt_span_text(octets != NULL && octets->n > 0 ? " " : ""),
                                     octets != NULL ? *octets : mkt_span_text("")};
    size_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t j = 0; j < parts[i].n && n < sizeof detail->text - 1; j++)
            detail->text[n++] = parts[i].p[j] < ' ' || parts[i].p[j] > '~' ? '?' : (char)parts[i].p[j];
    detail->text[n] = '\0';
    detail->err = err;
}

void mkt_blame_number(struct mkt_detail *detail, enum mkt_err err, const char *thing, uint64_t number)
{
    uint8_t digits[20];
    size_t from = sizeof digits;
    do {
        digits[--from] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    mkt_detail_note(detail, err, thing, &(struct mkt_span){digits + from, sizeof digits - from});
}

const char *mkt_detail_of(const struct mkt_detail *detail, enum mkt_err err)
{
    if (detail != NULL && detail->err == err)
        return detail->text;
    return err == MKT_E_FLAGS ? "F, as I is set and a TGK is in the ticket" : ""; /* what mkt_keys_check() says by it */
}
