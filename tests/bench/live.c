/* SPDX-License-Identifier: BSD-3-Clause */
#include "live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { ANSWER = 512 };

struct live {
    struct stage *stage;
    size_t n, oldest;
    struct waiting {
        struct mkt_csb *csb;
        uint8_t octets[ANSWER], tek[TEK_OCTETS];
        size_t answer;
    } waiting[];
};

static void tek_of(const struct mkt_csb *csb, uint8_t octets[TEK_OCTETS])
{
    struct mkt_buf out = {octets, TEK_OCTETS, 0};
    must(mkt_csb_tek(csb, 1, &out));
}

static void begin(struct stage *s, struct waiting *w)
{
    uint8_t octets[STAGE_OCTETS];
    const struct mkt_offer offer = {.size = sizeof offer, .ticket = s->ticket, .responder = s->bob.settings.self};
    struct mkt_buf init = {octets, sizeof octets, 0}, answer = {w->octets, sizeof w->octets, 0};
    struct mkt_csb *responder;
    must(mkt_csb_new(&w->csb, MKT_INITIATOR, &s->alice.host, &s->alice.settings));
    must(mkt_csb_make_transfer_init(w->csb, &offer, &init));
    must(mkt_csb_new(&responder, MKT_RESPONDER, &s->carl.host, &s->carl.settings));
    must(mkt_csb_take_offer(responder, (struct mkt_span){octets, init.n}, mkt_span_text("mikey")));
    must(mkt_csb_make_transfer_resp(responder, NULL, &answer));
    tek_of(responder, w->tek);
    mkt_csb_free(responder);
    w->answer = answer.n;
}

static void take_answer(const struct stage *s, struct waiting *w)
{
    uint8_t tek[TEK_OCTETS] = {0};
    must(mkt_csb_take(w->csb, (struct mkt_span){w->octets, w->answer}));
    tek_of(w->csb, tek);
    must(memcmp(tek, w->tek, stage_key(s)) == 0 ? MKT_OK : MKT_E_MAC);
}

struct live *live_open(struct stage *s, size_t n)
{
    struct live *live = calloc(1, sizeof *live + n * sizeof *live->waiting);
    must(live == NULL ? MKT_E_MEMORY : MKT_OK);
    live->stage = s;
    live->n = n;
    for (size_t i = 0; i < n; i++)
        begin(s, &live->waiting[i]);
    return live;
}

size_t live_overhead(void)
{
    return sizeof(struct waiting);
}

void live_close(struct live *live)
{
    for (size_t i = 0; i < live->n; i++)
        mkt_csb_free(live->waiting[i].csb);
    free(live);
}

void live_call(struct live *live)
{
    struct waiting *w = &live->waiting[live->oldest];
    live->oldest = (live->oldest + 1) % live->n;
    take_answer(live->stage, w);
    mkt_csb_free(w->csb);
    begin(live->stage, w);
}

/* A copy of a bundle in an allocation of another size. */
static enum mkt_err copy(const struct party *party, const struct mkt_csb *csb, size_t size, struct mkt_csb **out)
{
    uint8_t octets[MKT_CSB_SIZE];
    struct mkt_buf stored = {octets, sizeof octets, 0};
    struct mkt_settings settings = party->settings;
    settings.bundle_size = size;
    must(mkt_csb_save(csb, &stored));
    return mkt_csb_load(out, &party->host, &settings, (struct mkt_span){octets, stored.n});
}

void live_settle(struct live *live, size_t size)
{
    const struct party *alice = &live->stage->alice;
    for (size_t i = 0; i < live->n; i++) {
        struct waiting *w = &live->waiting[i];
        struct mkt_csb *small;
        uint8_t tek[TEK_OCTETS] = {0};
        take_answer(live->stage, w);
        must(copy(alice, w->csb, size, &small));
        mkt_csb_free(w->csb);
        w->csb = small;
        tek_of(small, tek);
        must(memcmp(tek, w->tek, stage_key(live->stage)) == 0 ? MKT_OK : MKT_E_MAC);
    }
}

size_t heap_used(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

enum mkt_err use_answer(struct stage *s, struct mkt_csb *csb)
{
    const struct mkt_span answer = {s->octets[TRANSFER_RESP], s->length[TRANSFER_RESP]};
    return mkt_csb_take(csb, answer);
}

enum mkt_err use_tek(struct stage *s, struct mkt_csb *csb)
{
    uint8_t octets[TEK_OCTETS];
    struct mkt_buf out = {octets, sizeof octets, 0};
    (void)s;
    return mkt_csb_tek(csb, 1, &out);
}

/* New keys for a call, where the policy lets the Initiator supply them. */
enum mkt_err use_update(struct stage *s, struct mkt_csb *csb)
{
    const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    const struct mkt_update update = {.size = sizeof update, .keys = &tgk, .n_keys = 1};
    uint8_t octets[STAGE_OCTETS];
    struct mkt_buf out = {octets, sizeof octets, 0};
    (void)s;
    return mkt_csb_make_update(csb, &update, &out);
}

size_t least_size(struct stage *s, const struct party *party, use *also)
{
    size_t low = 0, high = MKT_CSB_SIZE;
    while (high - low > 1) {
        const size_t size = (low + high) / 2;
        struct mkt_csb *csb = NULL;
        enum mkt_err err = copy(party, party->csb, size, &csb);
        if (err == MKT_OK && also != NULL)
            err = also(s, csb);
        mkt_csb_free(csb);
        *(err == MKT_OK ? &high : &low) = size;
    }
    return high < MKT_CSB_SIZE ? high : 0;
}
