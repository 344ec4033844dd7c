/* SPDX-License-Identifier: BSD-3-Clause */
/* error: what is at fault, in a few words for the log; the place that refuses leaves them beside its error. */
#ifndef MKT_ERROR_H
#define MKT_ERROR_H

#include <mikeyticket/error.h>

/* The text goes with one error: if that is passed over, and there is another one later, it says nothing. */
struct mkt_detail {
    enum mkt_err err;
    char text[128]; /* printable ASCII */
    int message;    /* the data type; -1: none */
    bool taken;
    uint32_t csb_id;
};

/* The text for an error, or none. */
const char *mkt_detail_of(const struct mkt_detail *detail, enum mkt_err err);

/* Notes a thing by its name, with octets if any, unless `detail` is NULL or has a note for this error. No secrets. */
void mkt_detail_note(struct mkt_detail *detail, enum mkt_err err, const char *thing, const struct mkt_span *octets);

/* The same; answers `err`, and is inline so that compilers and analyzers see that it does. */
static inline enum mkt_err mkt_blame(struct mkt_detail *detail, enum mkt_err err, const char *thing,
                                     const struct mkt_span *octets)
{
    if (err != MKT_OK)
        mkt_detail_note(detail, err, thing, octets);
    return err;
}

/* The same with a number. */
void mkt_blame_number(struct mkt_detail *detail, enum mkt_err err, const char *thing, uint64_t number);

#endif
