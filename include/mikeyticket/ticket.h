/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file ticket.h
 * Ticket policies (RFC 6043 6.10) and MIKEY base tickets (Appendix A).
 *
 * A struct mkt_ticket is what its holder, the Initiator, has: the TICKET payload and the keys that it encodes. Who made
 * the ticket itself (modes 3 and 4) has it from mkt_ticket_make(); who got it earlier, from mkt_ticket_get().
 */
#ifndef MIKEYTICKET_TICKET_H
#define MIKEYTICKET_TICKET_H

#include <mikeyticket/derive.h>
#include <mikeyticket/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How many identities a policy may name. */
enum { MKT_MAX_RESPONDERS = 16, MKT_MAX_APPLICATIONS = 8 };

/** How many keys a KEMAC may have. */
enum { MKT_MAX_KEYS = 32 };

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
};

/**
 * A policy to begin with: a MIKEY base ticket of a suite, with the flags F, G, H, J, L, N and O. The caller adds identities
 * and times.
 */
MKT_API struct mkt_policy mkt_policy_default(enum mkt_suite suite);

/**
 * Reads flags from letters, such as "FGHJLNO"; case matters.
 * @return MKT_OK; MKT_E_ARGUMENT for a letter that is no flag
 */
MKT_API MKT_MUST enum mkt_err mkt_flags_get(uint16_t *flags, const char *letters);

/**
 * Reads a policy from a TP or TICKET payload. Says nothing of who wrote it: the ticket's MAC does.
 * @param policy   out: its spans point to where those of `payload` do
 * @return MKT_OK; MKT_E_MANY for more identities than the struct holds; MKT_E_POLICY for times of the wrong TS type; an error of mkt_payload_get()
 */
MKT_API MKT_MUST enum mkt_err mkt_policy_get(struct mkt_policy *policy, const struct mkt_ticket_payload *payload);

/**
 * Appends the TP Data of a policy, in the order of 6.10, times as NTP-UTC-32.
 * @return MKT_OK; MKT_E_ARGUMENT for more identities than there may be, or empty ones; MKT_E_LENGTH; MKT_E_SPACE
 */
MKT_API MKT_MUST enum mkt_err mkt_policy_put(const struct mkt_policy *policy, struct mkt_buf *tp_data);

/**
 * Whether a granted policy is one that this library can use and that holds now (6.10, design decisions D1, D19, D24).
 * @param now   the moment to compare the validity with
 * @return MKT_OK; MKT_E_TICKET_TYPE; MKT_E_PRF; MKT_E_FLAGS; MKT_E_POLICY; MKT_E_VALIDITY; MKT_E_EXPIRED; MKT_E_NOT_YET
 */
MKT_API MKT_MUST enum mkt_err mkt_policy_check(const struct mkt_policy *policy, mkt_ntp now);

/** A key for a ticket or a KEMAC: random, or given. */
struct mkt_key_wish {
    uint8_t type;         /**< MKT_KEY_TGK to MKT_KEY_GTGK_SALT */
    size_t length;        /**< of a random key, in octets; 0: that of the suite */
    size_t salt_length;   /**< of a random salt, in octets; 0: 14 */
    struct mkt_span key;  /**< the key itself; empty: random */
    struct mkt_span salt; /**< the salt itself, where the type has one; empty: random */
};

/** A ticket and its keys; opaque, one allocation. mkt_ticket_make() has another one while it works. */
struct mkt_ticket;

/** What a ticket is made of. */
struct mkt_ticket_recipe {
    const struct mkt_policy *policy;  /**< needed; checked as by mkt_policy_check(), but its validity may begin later */
    struct mkt_id tpk_id;             /**< IDRpsk, which names the TPK to those who share it; no data: left out */
    struct mkt_span tpk;              /**< needed: the ticket protection key, 16 to MKT_MAX_TPK octets */
    const struct mkt_key_wish *keys;  /**< keys beside the MPK, in the order of the ticket; usually one TGK */
    size_t n_keys;                    /**< fewer than MKT_MAX_KEYS */
    bool counter;                     /**< T is a COUNTER, of mkt_host.counter */
};

/**
 * Makes a ticket (modes 3 and 4 of RFC 6043 4.1.1; what a KMS grants). Random are, in this order: the MPK and its SPI,
 * then for each key wished for the key, the salt and the SPI, then RAND, then with the I flag the SPI of MPKr.
 * @param ticket  out: the caller frees it with mkt_ticket_free(); NULL after an error
 * @param host    outlives the ticket
 * @param recipe  not needed afterwards, nor what it points to
 * @return MKT_OK; an error of mkt_policy_check(); MKT_E_KEY_LENGTH; MKT_E_MPK for an MPK among the keys; MKT_E_ARGUMENT;
 *         MKT_E_MANY; MKT_E_LENGTH; MKT_E_COUNTER; MKT_E_MEMORY, MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_make(struct mkt_ticket **ticket, const struct mkt_host *host,
                                              const struct mkt_ticket_recipe *recipe);

/**
 * Reads a ticket that was kept: the octet 1, a 32-bit length and the TICKET payload with Next Payload 0 and without
 * Initiator Data, a 32-bit length and the keys as the chain MPKi, [MPKr], {TEK|TGK|GTGK} of Key data payloads.
 * @param ticket  out: the caller frees it with mkt_ticket_free(); NULL after an error
 * @param host    outlives the ticket
 * @param in      what mkt_ticket_put() wrote; not needed afterwards
 * @return MKT_OK; MKT_E_STORED, or what is wrong with payload, policy or keys: the validity is not looked at; MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_get(struct mkt_ticket **ticket, const struct mkt_host *host,
                                             struct mkt_span in);

/**
 * Appends a ticket as octets, keys in clear included: keep them as you keep keys.
 * @return MKT_OK; MKT_E_REUSE where it was used and must not be used again (J flag); MKT_E_SPACE
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_put(const struct mkt_ticket *ticket, struct mkt_buf *out);

/**
 * Reads the policy of a ticket; its spans live as long as the ticket.
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_policy(const struct mkt_ticket *ticket, struct mkt_policy *policy);

/** Wipes and frees a ticket; NULL is fine. */
MKT_API void mkt_ticket_free(struct mkt_ticket *ticket);

/**
 * Verifies and opens a ticket with its TPK, for tools that show what it holds; a bundle does it by itself.
 * @param payload  a decoded TICKET payload, its `octets` included
 * @param tpk      the ticket protection key
 * @param keys     appended: the chain of Key data payloads of the KEMAC, MPK first by custom; the caller wipes it. With `p`
 *                 NULL it is measured, and nothing is verified
 * @return MKT_OK; an error of mkt_policy_check() but for the time; MKT_E_MAC_ALG, MKT_E_ENCR_ALG, MKT_E_KEMAC_MAC;
 *         MKT_E_TICKET_MAC; MKT_E_RAND, MKT_E_MPK, MKT_E_KEY_LENGTH, MKT_E_SPI, MKT_E_FLAGS; MKT_E_MISSING, MKT_E_MANY,
 *         MKT_E_ORDER, or an error of mkt_payload_get(); MKT_E_SPACE; MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_open(const struct mkt_payload *payload, struct mkt_span tpk,
                                              struct mkt_buf *keys);

#ifdef __cplusplus
}
#endif
#endif
