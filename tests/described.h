/* SPDX-License-Identifier: BSD-3-Clause */
/* Each function of mikeyticket/sdp.h on a text that is parsed for this call alone. */
#ifndef TESTS_DESCRIBED_H
#define TESTS_DESCRIBED_H

#include <mikeyticket/sdp.h>

static inline enum mkt_err text_sections(struct mkt_span text, size_t *n)
{
    struct mkt_sdp sdp;
    const enum mkt_err err = mkt_sdp_parse(&sdp, text);
    *n = err == MKT_OK ? sdp.sections : *n;
    return err;
}

static inline enum mkt_err text_get(struct mkt_span text, size_t media, struct mkt_buf *message)
{
    struct mkt_sdp sdp;
    const enum mkt_err err = mkt_sdp_parse(&sdp, text);
    return err == MKT_OK ? mkt_sdp_key_mgmt_decode(&sdp, media, message) : err;
}

static inline enum mkt_err text_protocols(struct mkt_span text, size_t media, struct mkt_buf *list)
{
    struct mkt_sdp sdp;
    const enum mkt_err err = mkt_sdp_parse(&sdp, text);
    return err == MKT_OK ? mkt_sdp_protocols(&sdp, media, list) : err;
}

static inline enum mkt_err text_media(struct mkt_span text, size_t nth, struct mkt_sdp_media *media)
{
    struct mkt_sdp sdp;
    const enum mkt_err err = mkt_sdp_parse(&sdp, text);
    return err == MKT_OK ? mkt_sdp_media_parse(&sdp, nth, media) : err;
}

/* The n-th of that name, from 0. */
static inline enum mkt_err text_attribute(struct mkt_span text, size_t media, const char *name, size_t nth,
                                          struct mkt_span *value)
{
    struct mkt_sdp sdp;
    struct mkt_span found = {NULL, 0};
    enum mkt_err err = mkt_sdp_parse(&sdp, text);
    err = err == MKT_OK ? mkt_sdp_attribute(&sdp, media, name, &found) : err;
    while (err == MKT_OK && found.p != NULL && nth-- > 0)
        err = mkt_sdp_attribute(&sdp, media, name, &found);
    *value = err == MKT_OK ? found : *value;
    return err;
}

static inline enum mkt_err text_setup(struct mkt_span text, size_t media, enum mkt_setup *setup)
{
    struct mkt_sdp sdp;
    const enum mkt_err err = mkt_sdp_parse(&sdp, text);
    return err == MKT_OK ? mkt_setup_parse(&sdp, media, setup) : err;
}

#endif
