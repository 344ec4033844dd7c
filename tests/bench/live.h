/* SPDX-License-Identifier: BSD-3-Clause */
/* Many bundles at once: what they cost, and what a call costs beside them. */
#ifndef BENCH_LIVE_H
#define BENCH_LIVE_H

#include "stage.h"

/*
 * Initiators that wait for their answers, which are there already: Bob has the key of the ticket. The one that waits
 * longest is answered next: of all bundles it is the one that caches hold least.
 */
struct live;

struct live *live_open(struct stage *stage, size_t n);
void live_close(struct live *live);

/* The octets of each that are not its bundle: the answer, and what is to come of it. */
size_t live_overhead(void);

/* One call more: the oldest takes its answer, derives the TEK and is freed; another begins, and Bob answers it. */
void live_call(struct live *live);

/*
 * All take their answers, and are kept on in mkt_settings.bundle_size octets: mkt_csb_save(), mkt_csb_load(). They give
 * the same TEK afterwards.
 */
void live_settle(struct live *live, size_t size);

/* The octets of the heap that are in use; 0 where this C library does not tell. */
size_t heap_used(void);

/*
 * The least mkt_settings.bundle_size in which a copy of a bundle can be held; or 0 where none is. `also` is what it
 * must be able to do there, or NULL.
 */
typedef enum mkt_err use(struct stage *stage, struct mkt_csb *csb);
use use_answer, use_tek, use_update;
size_t least_size(struct stage *stage, const struct party *party, use *also);

#endif
