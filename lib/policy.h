/* SPDX-License-Identifier: BSD-3-Clause */
/* policy: the ticket policy (RFC 6043 6.10). */
#ifndef MKT_POLICY_H
#define MKT_POLICY_H

#include "derive.h"
#include "host.h"
#include "payload.h"

#include <mikeyticket/policy.h>

/* The policy alone, whatever the time: mkt_policy_check() without validity. */
MKT_MUST enum mkt_err mkt_policy_sound(const struct mkt_policy *policy);

/* The validity alone: MKT_E_EXPIRED or MKT_E_NOT_YET. */
MKT_MUST enum mkt_err mkt_policy_valid(const struct mkt_policy *policy, mkt_ntp now);

#endif
