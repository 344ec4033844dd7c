/* SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "host.h"
#include "sized.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

bool mkt_host_copy(struct mkt_host *own, const struct mkt_host *host, void *user)
{
    const bool sized = mkt_sized_copy(own, sizeof *own, host, MKT_UP_TO(mkt_host, forward));
    own->user = user != NULL ? user : own->user;
    return sized;
}

enum mkt_err mkt_host_now(const struct mkt_host *host, mkt_ntp *now)
{
    struct timespec t;
    if (host->now != NULL)
        return host->now(host->user, now);
    if (clock_gettime(CLOCK_REALTIME, &t) != 0)
        return MKT_E_CLOCK;
    *now = mkt_ntp_from_unix(t.tv_sec) | ((uint64_t)t.tv_nsec << 32) / 1000000000;
    return MKT_OK;
}

void *mkt_host_alloc(const struct mkt_host *host, size_t n)
{
    void *p = host->alloc != NULL ? host->alloc(host->user, n) : malloc(n);
    if (p != NULL)
        memset(p, 0, n);
    return p;
}

void mkt_host_release(const struct mkt_host *host, void *p, size_t n)
{
    if (p == NULL)
        return;
    mkt_wipe(p, n);
    if (host->release != NULL)
        host->release(host->user, p);
    else
        free(p);
}

struct mkt_id mkt_id_uri(const char *uri)
{
    return (struct mkt_id){.type = MKT_ID_URI, .data = mkt_span_text(uri)};
}

struct mkt_id mkt_id_bytes(const char *bytes)
{
    return (struct mkt_id){.type = MKT_ID_BYTES, .data = mkt_span_text(bytes)};
}

bool mkt_id_equal(const struct mkt_id *a, const struct mkt_id *b)
{
    return a->type == b->type && mkt_span_equal(a->data, b->data);
}

mkt_ntp mkt_ntp_from_unix(int64_t seconds)
{
    const uint64_t from_1900_to_1970 = 2208988800;
    return ((uint64_t)seconds + from_1900_to_1970) << 32;
}

/* RFC 4330 section 3: "If bit 0 is set, the UTC time is in the range 1968-2036 [...] If bit 0 is not set, the time is
 * in the range 2036-2104". So the order of moments is that of the numbers with bit 0 turned over. */
static uint64_t order(mkt_ntp ntp)
{
    return ntp ^ (uint64_t)1 << 63;
}

bool mkt_ntp_before(mkt_ntp a, mkt_ntp b)
{
    return order(a) < order(b);
}

enum mkt_err mkt_ntp_fresh(mkt_ntp t, mkt_ntp now, uint32_t skew)
{
    bool past = mkt_ntp_before(t, now);
    uint64_t distance = past ? order(now) - order(t) : order(t) - order(now);
    if (distance <= (uint64_t)skew << 32)
        return MKT_OK;
    return past ? MKT_E_STALE : MKT_E_FUTURE;
}

enum mkt_err mkt_t_make(const struct mkt_host *host, bool counter, struct mkt_t *t)
{
    uint32_t value = 0;
    *t = (struct mkt_t){.ts_type = MKT_TS_NTP_UTC};
    if (!counter)
        return mkt_host_now(host, &t->value);
    if (host->counter_next == NULL)
        return MKT_E_COUNTER;
    enum mkt_err err = host->counter_next(host->user, &value);
    *t = (struct mkt_t){.ts_type = MKT_TS_COUNTER, .value = value};
    return err;
}
