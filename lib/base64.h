/* SPDX-License-Identifier: BSD-3-Clause */
/* base64: RFC 4648 section 4, padded, without line breaks. */
#ifndef MKT_BASE64_H
#define MKT_BASE64_H

#include <mikeyticket/error.h>

/* What `in` is may stand at the end of the room of `out`. */
MKT_MUST enum mkt_err mkt_base64_encode(struct mkt_span in, struct mkt_buf *out);

/* The octets of base64: MKT_E_BASE64 for all that mkt_base64_encode() would not have written. */
MKT_MUST enum mkt_err mkt_base64_decode(struct mkt_span in, struct mkt_buf *out);

#endif
