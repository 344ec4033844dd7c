/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file version.h
 * The version of these headers, and that of the library that runs.
 */
#ifndef MIKEYTICKET_VERSION_H
#define MIKEYTICKET_VERSION_H

#include <mikeyticket/span.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MKT_VERSION_MAJOR 0
#define MKT_VERSION_MINOR 1
#define MKT_VERSION_PATCH 0

/** One number: the major version times 65,536, plus the minor one times 256, plus the patch. Newer ones are greater. */
#define MKT_VERSION_NUMBER (MKT_VERSION_MAJOR * 65536 + MKT_VERSION_MINOR * 256 + MKT_VERSION_PATCH)

/** Returns MKT_VERSION_NUMBER of the library that runs. It can differ from that of the headers. */
MKT_API unsigned mkt_version(void);

#ifdef __cplusplus
}
#endif
#endif
