/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tickets of other types than the MIKEY base ticket (RFC 6043 section 11), such as 2, which is 3GPP's. Initiators and
 * Responders use them without opening them (flags N and O); only the KMS that made one opens it.
 *
 * A KMS chooses what such tickets contain. Here it is the Ticket Data of a base ticket that has the MPKs among its
 * session keys, with a name of the TPK that says so.
 */
#ifndef EXAMPLES_SEALED_H
#define EXAMPLES_SEALED_H

#include "users.h"

/* Appends the Ticket Data for keys MPKi, [MPKr], {TEK|TGK|GTGK}, as mkt_host.seal does. */
enum mkt_err sealed_put(const struct entry *tpk, const struct mkt_policy *policy, struct mkt_span keys,
                        struct mkt_buf *ticket_data);

/* Verifies a TICKET payload and appends those keys, as mkt_host.open does. MKT_E_TICKET_TYPE if the ticket is not of
 * sealed_put(), or has another type. */
enum mkt_err sealed_get(const struct entry *tpk, const struct mkt_payload *ticket, struct mkt_buf *keys);

#endif
