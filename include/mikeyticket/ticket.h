/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file ticket.h
 * MIKEY base tickets (RFC 6043 Appendix A).
 *
 * A struct mkt_ticket is what its holder, the Initiator, has: the TICKET payload and the keys that it encodes. An
 * Initiator gets one by:
 * - mkt_csb_take_ticket(), from the answer of its KMS;
 * - mkt_ticket_make(), if it makes the ticket itself (modes 3 and 4);
 * - mkt_ticket_load(), if it stored the ticket earlier.
 */
#ifndef MIKEYTICKET_TICKET_H
#define MIKEYTICKET_TICKET_H

#include <mikeyticket/key.h>
#include <mikeyticket/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A ticket and its keys; opaque, one allocation. mkt_ticket_make() has another one while it works. */
struct mkt_ticket;

/** What a ticket is made of. */
struct mkt_ticket_recipe {
    size_t size;                      /**< needed: sizeof(struct mkt_ticket_recipe), as mkt_ticket_recipe_init() does */
    const struct mkt_policy *policy;  /**< needed; checked as by mkt_policy_check(), but its validity may begin later */
    struct mkt_id tpk_id;             /**< IDRpsk, which names the TPK to those who share it; no data: left out */
    struct mkt_span tpk;              /**< needed: the ticket protection key, 16 to MKT_MAX_TPK octets */
    bool counter;                     /**< T is a COUNTER, of mkt_host.counter_next */
    const struct mkt_key_wish *keys;  /**< keys beside the MPK, in the order of the ticket; usually one TGK */
    size_t n_keys;                    /**< fewer than MKT_MAX_KEYS */
};

/** Clears a recipe and sets its size. */
static inline void mkt_ticket_recipe_init(struct mkt_ticket_recipe *recipe)
{
    memset(recipe, 0, sizeof *recipe);
    recipe->size = sizeof *recipe;
}

/**
 * Makes a ticket (modes 3 and 4 of RFC 6043 4.1.1; what a KMS grants). Random are, in this order: the MPK and its SPI,
 * then for each key wished for the key, the salt and the SPI, if it does not give them, then RAND, then with the I flag
 * the SPI of MPKr.
 * @param ticket  out: the caller frees it with mkt_ticket_free(); NULL after an error
 * @param host    outlives the ticket
 * @param recipe  not needed afterwards, nor what it points to
 * @return MKT_OK; an error of mkt_policy_check(); MKT_E_KEY_LENGTH; MKT_E_MPK for an MPK among the keys; MKT_E_SPI for
 *         an empty SPI, or one that two keys have; MKT_E_ARGUMENT; MKT_E_TOO_MANY; MKT_E_LENGTH; MKT_E_COUNTER;
 *         MKT_E_MEMORY, MKT_E_RANDOM, MKT_E_CLOCK, MKT_E_CRYPTO; of a ticket type of the host's own an error of
 *         mkt_host.seal, MKT_E_BUFFER or MKT_E_BUNDLE_FULL for too much Ticket Data
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_make(struct mkt_ticket **ticket, const struct mkt_host *host,
                                              const struct mkt_ticket_recipe *recipe);

/**
 * Reads a ticket that was kept, or handed out some other way (RFC 6043 4.1.1): the octet 1, or 2 if the ticket counts
 * as used and has no J flag; a 32-bit length and the TICKET payload with Next Payload 0 and without Initiator Data; a
 * 32-bit length and the keys as the chain MPKi, [MPKr], {TEK|TGK|GTGK} of Key data payloads.
 * @param ticket  out: the caller frees it with mkt_ticket_free(); NULL after an error
 * @param host    outlives the ticket
 * @param in      what mkt_ticket_save() wrote; not needed afterwards
 * @return MKT_OK; MKT_E_STORED, or what is wrong with payload, policy or keys: the validity is not looked at;
 * MKT_E_MEMORY
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_load(struct mkt_ticket **ticket, const struct mkt_host *host,
                                             struct mkt_span in);

/**
 * Appends a ticket as octets, keys in clear included: keep them as you keep keys.
 *
 * A ticket without the J flag begins one call (RFC 6043 5.3), and octets can be read more than once. So its octets
 * count as used, whether it was used or not: a ticket that is read from them answers MKT_E_REUSE to a TRANSFER_INIT.
 * The ticket itself can still be used. To hand out such a ticket to its Initiator, set the first octet to 1 and forget
 * the ticket.
 * @return MKT_OK; MKT_E_REUSE if it was used and has no J flag; MKT_E_BUFFER
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_save(const struct mkt_ticket *ticket, struct mkt_buf *out);

/**
 * Reads the policy of a ticket (RFC 6043 6.10); its spans live as long as the ticket.
 * @return MKT_OK; an error of mkt_policy_decode()
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_policy(const struct mkt_ticket *ticket, struct mkt_policy *policy);

/** Wipes and frees a ticket; it may be NULL. */
MKT_API void mkt_ticket_free(struct mkt_ticket *ticket);

/**
 * Verifies and opens a ticket with its TPK (RFC 6043 A.1), for tools that show what it holds; a bundle does it by
 * itself.
 * @param payload  a decoded TICKET payload, its `octets` included
 * @param tpk      the ticket protection key
 * @param keys     appended: the chain of Key data payloads of the KEMAC, MPK first by custom; the caller wipes it. With
 *                 `p` NULL it is measured, and nothing is verified
 * @return MKT_OK; an error of mkt_policy_check(), except those about the time; MKT_E_MAC_ALG, MKT_E_ENCR_ALG,
 *         MKT_E_KEMAC_MAC; MKT_E_TICKET_MAC; MKT_E_RAND, MKT_E_MPK, MKT_E_KEY_LENGTH, MKT_E_SPI, MKT_E_FLAGS;
 *         MKT_E_MISSING, MKT_E_TOO_MANY, MKT_E_ORDER, or an error of mkt_payload_decode(); MKT_E_BUFFER; MKT_E_CRYPTO
 */
MKT_API MKT_MUST enum mkt_err mkt_ticket_open(const struct mkt_payload *payload, struct mkt_span tpk,
                                              struct mkt_buf *keys);

#ifdef __cplusplus
}
#endif
#endif
