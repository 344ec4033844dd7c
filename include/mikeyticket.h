/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file mikeyticket.h
 * MIKEY-TICKET (RFC 6043) without I/O: octets in, octets out. Begin with csb.h. Not included here are the
 * headers of the other packages: mikeyticket/tls.h and mikeyticket/streams.h, mikeyticket/x509.h.
 *
 * For every function: pointers are not NULL, spans view as many octets as they say, and enums have one of their values,
 * unless its documentation says what else they may be.
 *
 * Structs that begin with `size` may grow in later versions. Set `size` to the sizeof of the struct. Each has a
 * function that does so and clears the rest:
 *
 * @code
 * #include <mikeyticket.h>
 *
 * static enum mkt_err offer(struct mkt_csb *csb, struct mkt_ticket *ticket, struct mkt_buf *message)
 * {
 *     struct mkt_offer offer;
 *     mkt_offer_init(&offer);
 *     offer.ticket = ticket;
 *     offer.responder = mkt_id_uri("sip:bob@example.com");
 *     return mkt_csb_make_transfer_init(csb, &offer, message);
 * }
 * @endcode
 *
 * C can do the same with designated initialisers: `{.size = sizeof offer, .ticket = ticket, .responder = bob}`.
 *
 * So a program works with a library that is older or newer than its headers. Members that the library knows and the
 * program does not are zero. The error is MKT_E_ARGUMENT in two cases:
 * - `size` is smaller than the first version of the struct, as is 0, or more than 65,535 octets larger;
 * - a member that the program knows and the library does not is not zero.
 *
 * Structs that callbacks get may grow at their end. All other structs stay as they are.
 */
#ifndef MIKEYTICKET_H
#define MIKEYTICKET_H

#include <mikeyticket/cipher_suites.h>
#include <mikeyticket/connection.h>
#include <mikeyticket/csb.h>
#include <mikeyticket/derive.h>
#include <mikeyticket/error.h>
#include <mikeyticket/exchange.h>
#include <mikeyticket/host.h>
#include <mikeyticket/key.h>
#include <mikeyticket/message.h>
#include <mikeyticket/payload.h>
#include <mikeyticket/policy.h>
#include <mikeyticket/public_key.h>
#include <mikeyticket/replay.h>
#include <mikeyticket/sdp.h>
#include <mikeyticket/span.h>
#include <mikeyticket/ticket.h>
#include <mikeyticket/version.h>

#endif
