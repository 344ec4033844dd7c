/* SPDX-License-Identifier: BSD-3-Clause */
/* host: the callbacks with their defaults, and time. */
#ifndef MKT_HOST_H
#define MKT_HOST_H

#include "crypto.h"
#include "error.h"

#include <mikeyticket/host.h>

/* Copies a host for a user, or for its own if that is NULL. False if its size is wrong: the copy has the defaults. */
bool mkt_host_copy(struct mkt_host *own, const struct mkt_host *host, void *user);

MKT_MUST enum mkt_err mkt_host_now(const struct mkt_host *host, mkt_ntp *now);

MKT_MUST static inline enum mkt_err mkt_host_random(const struct mkt_host *host, uint8_t *out, size_t n)
{
    return host->random != NULL ? host->random(host->user, out, n) : mkt_random(out, n);
}

/* Memory, zeroed; NULL where there is none. */
void *mkt_host_alloc(const struct mkt_host *host, size_t n);
/* Wipes and gives back `n` octets; NULL is fine. */
void mkt_host_release(const struct mkt_host *host, void *p, size_t n);

/* Logs a refusal that is of no message. Returns `err`, inline so that compilers and analyzers see it. */
static inline enum mkt_err mkt_host_log(const struct mkt_host *host, enum mkt_err err, const char *detail)
{
    const struct mkt_log_event event = {.err = err, .message = -1, .detail = detail};
    if (err != MKT_OK && host->log != NULL)
        host->log(host->user, &event);
    return err;
}

/* The 64 bits of a timestamp: "NTP-UTC-32 SHALL be padded to a 64-bit NTP-UTC timestamp (with zeroes in the fractional
 * second part)" (RFC 6043 6.3), "COUNTER SHALL be padded (with leading zeros)" (RFC 3830 6.6). */
static inline uint64_t mkt_t_64(const struct mkt_t *t)
{
    return t->ts_type == MKT_TS_NTP_UTC_32 ? t->value << 32 : t->value;
}

/* The timestamp of a message or ticket to be made: by the clock, or the host's counter; MKT_E_COUNTER without one. */
MKT_MUST enum mkt_err mkt_t_make(const struct mkt_host *host, bool counter, struct mkt_t *t);

/* A moment some seconds later. */
static inline mkt_ntp mkt_ntp_after(mkt_ntp ntp, uint32_t seconds)
{
    return ntp + ((uint64_t)seconds << 32);
}

/* MKT_E_STALE or MKT_E_FUTURE where `t` differs from `now` by more than `skew` seconds. */
MKT_MUST enum mkt_err mkt_ntp_fresh(mkt_ntp t, mkt_ntp now, uint32_t skew);

#endif
