/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file mikeyticket.h
 * MIKEY-TICKET (RFC 6043) without I/O: octets in, octets out. Begin with csb.h; the TLS glue is mikeyticket/tls.h.
 *
 * For every function: pointers are not NULL, spans view as many octets as they say, and enums have one of their values,
 * unless its documentation says what else they may be.
 */
#ifndef MIKEYTICKET_H
#define MIKEYTICKET_H

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
#include <mikeyticket/replay.h>
#include <mikeyticket/sdp.h>
#include <mikeyticket/span.h>
#include <mikeyticket/ticket.h>

#endif
