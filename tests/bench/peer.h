/* SPDX-License-Identifier: BSD-3-Clause */
/* GStreamer's gstmikey at work on messages of RFC 3830, where it was there when this was built. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * PLAIN: HDR, T, RANDs and a KEMAC with one key. POLICY: HDR, T, RANDs, an SP with the twelve parameters of SRTP that
 * gst_mikey_message_new_from_caps() gives it or RFC 3830 6.10.1 has, and the KEMAC. The key fills what is left.
 */
enum peer_message { PEER_PLAIN, PEER_POLICY, PEER_MESSAGES };

/* Makes both, of so many octets and payloads: whether GStreamer could. */
bool peer_open(size_t octets, size_t payloads);
void peer_close(void);

void peer_parse(enum peer_message which);
void peer_serialise(enum peer_message which);

/* Such as "1.22.0". */
const char *peer_version(void);

#endif
