/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file policy.h
 * Ticket policies (RFC 6043 6.10): who may use a ticket, when, for what, and how keys are derived.
 */
#ifndef MIKEYTICKET_POLICY_H
#define MIKEYTICKET_POLICY_H

#include <mikeyticket/derive.h>
#include <mikeyticket/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How many identities a policy may name. */
enum { MKT_MAX_RESPONDERS = 16, MKT_MAX_APPLICATIONS = 8 };

/** A ticket policy. Spans point to octets of the caller's, or into the ticket that it was read from. */
struct mkt_policy {
    uint16_t type;          /**< ticket type; 1, MIKEY base ticket */
    uint8_t subtype;        /**< 1 */
    uint8_t version;        /**< 1 */
    uint8_t prf;            /**< MKT_PRF_HMAC_SHA_256 or MKT_PRF_MIKEY_1, and with it the suite */
    uint16_t flags;         /**< of enum mkt_flag */
    struct mkt_id kms;      /**< IDRkms, who can resolve the ticket; no data: left out */
    struct mkt_id initiator; /**< IDRi, who requested or made the ticket */
    bool has_start, has_end, has_rekeying;
    mkt_ntp start;          /**< TRs; left out: no defined beginning */
    mkt_ntp end;            /**< TRe; left out: no defined end */
    mkt_ntp rekeying;       /**< TRr: the most time between two rekeyings, whole seconds in the upper 32 bits */
    size_t n_applications;  /**< none: all are authorised */
    struct mkt_span application[MKT_MAX_APPLICATIONS]; /**< IDRapp: byte strings */
    size_t n_responders;
    struct mkt_id responder[MKT_MAX_RESPONDERS]; /**< IDRr: responders and groups of them */
    bool has_kemac;         /**< a KEMAC, which only a desired policy may have */
    struct mkt_span kemac;  /**< what it asks for, as a chain for mkt_payload_decode() that begins with MKT_KEY_DATA */
};

/**
 * Returns a policy for a ticket without a KMS, which its Initiator makes: a MIKEY base ticket of a suite, with the
 * flags F, G, H, J, L, N and O. Add identities and times.
 *
 * M is clear: the Responder can't supply keys, so it can't re-key the call (RFC 6043 6.10). Set MKT_FLAG_M too if
 * either end is to send new keys in an update.
 *
 * If a KMS is to resolve the ticket (mode 3), set E, and `kms` to the identity of the KMS. If the call may be forked,
 * set I, too.
 */
MKT_API struct mkt_policy mkt_policy_default(enum mkt_suite suite);

/**
 * Returns a policy for a ticket that a KMS makes and resolves: as mkt_policy_default(), with the flags D, E, F, G, H,
 * I, J, N and O. Keys are forked (I), as RFC 6043 12.4 recommends. L is clear, as keys that the Initiator supplies are
 * not forked: everybody who may resolve the ticket can read them (12.2). L and M are clear, so neither end can re-key:
 * new keys need a new call, or set the flag of the end that is to send them.
 */
MKT_API struct mkt_policy mkt_policy_forked(enum mkt_suite suite);

/**
 * Reads flags from letters, such as "FGHJLNO"; case matters.
 * @return MKT_OK; MKT_E_ARGUMENT for a letter that is no flag
 */
MKT_API MKT_MUST enum mkt_err mkt_flags_parse(uint16_t *flags, const char *letters);

/**
 * Reads a policy from a TP or TICKET payload. Says nothing of who wrote it: the ticket's MAC does.
 * @param policy   out: its spans point to where those of `payload` do
 * @return MKT_OK; MKT_E_TOO_MANY for what may be there once and is there twice; MKT_E_POLICY for more identities than
 *         the struct holds, for times of the wrong TS type, and for a KEMAC that is encrypted or has a MAC; an error of
 *         mkt_payload_decode()
 */
MKT_API MKT_MUST enum mkt_err mkt_policy_decode(struct mkt_policy *policy, const struct mkt_ticket_payload *payload);

/**
 * Appends the TP Data of a policy, in the order of 6.10, times as NTP-UTC-32.
 * @return MKT_OK; MKT_E_ARGUMENT for more identities than there may be, or empty ones; MKT_E_LENGTH; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_policy_encode(const struct mkt_policy *policy, struct mkt_buf *tp_data);

/**
 * Whether a granted policy is one that this library can use and that holds now (6.10, design decisions D1, D19, D24).
 * If a ticket is no MIKEY base ticket, the Initiator can use it with the N flag, and the Responder with the O flag.
 * @param now   the moment to compare the validity with
 * @return MKT_OK; MKT_E_TICKET_TYPE; MKT_E_PRF; MKT_E_FLAGS; MKT_E_POLICY; MKT_E_VALIDITY; MKT_E_EXPIRED; MKT_E_NOT_YET
 */
MKT_API MKT_MUST enum mkt_err mkt_policy_check(const struct mkt_policy *policy, mkt_ntp now);

#ifdef __cplusplus
}
#endif
#endif
