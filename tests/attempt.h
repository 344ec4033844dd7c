/* SPDX-License-Identifier: BSD-3-Clause */
/* One call of the library in a call of play.h, as once_on_own_stack() wants it: a function of a pointer. */
#ifndef TESTS_ATTEMPT_H
#define TESTS_ATTEMPT_H

#include "play.h"

struct attempt {
    struct play *play;
    enum leg leg;
    struct mkt_csb *csb, *other;
    const struct mkt_settings *settings;
    struct mkt_span in;
    struct mkt_buf out;
    struct mkt_sdp *sdp;
    enum mkt_err err;
};

static void make(void *arg)
{
    struct attempt *a = arg;
    a->err = play_put(a->play, a->leg, a->csb, &a->out);
}

static void take(void *arg)
{
    struct attempt *a = arg;
    a->err = taken(mkt_csb_take_offer(a->csb, a->in, mikey));
}

static void make_error(void *arg)
{
    struct attempt *a = arg;
    a->err = mkt_csb_make_error(a->csb, a->in, MKT_E_SP, NULL, 0, &a->out);
}

static void put(void *arg)
{
    struct attempt *a = arg;
    a->err = mkt_csb_save(a->csb, &a->out);
}

#endif
