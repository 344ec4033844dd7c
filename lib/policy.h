/* SPDX-License-Identifier: BSD-3-Clause */
/* policy: the ticket policy (RFC 6043 6.10). */
#ifndef MKT_POLICY_H
#define MKT_POLICY_H

#include "derive.h"
#include "host.h"
#include "message.h"

#include <mikeyticket/policy.h>

/* The policy alone, whatever the time and the type of the ticket: mkt_policy_check() without them. */
MKT_MUST enum mkt_err mkt_policy_sound(const struct mkt_policy *policy, struct mkt_detail *detail);

/* What TP and TICKET payloads have in common, with TP Data in the arena; an error of mkt_policy_encode(). */
MKT_MUST enum mkt_err mkt_policy_payload(const struct mkt_policy *policy, struct mkt_buf *arena,
                                         struct mkt_ticket_payload *out);

/* Whether it is the MIKEY base ticket that the policy speaks of. */
static inline bool mkt_policy_is_base(const struct mkt_policy *policy)
{
    return policy->type == MKT_TICKET_BASE && policy->subtype == MKT_TICKET_BASE_SUBTYPE &&
           policy->version == MKT_TICKET_BASE_VERSION;
}

/* The implications of 6.10 (design decision D19): MKT_E_FLAGS, and the flag that is missing. */
MKT_MUST enum mkt_err mkt_policy_flags_check(uint16_t flags, struct mkt_detail *detail);

/* Whether an IDRapp of the policy has that value. */
bool mkt_policy_has_application(const struct mkt_policy *policy, struct mkt_span application);

/* Whether two policies say the same, in whatever order; D, K and KEMAC are not looked at. */
bool mkt_policy_same(const struct mkt_policy *a, const struct mkt_policy *b);

/* The validity alone, by the clock of the host: MKT_E_EXPIRED, MKT_E_NOT_YET, or an error of the clock. */
MKT_MUST enum mkt_err mkt_policy_valid(const struct mkt_policy *policy, const struct mkt_host *host);

#endif
