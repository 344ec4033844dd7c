/* SPDX-License-Identifier: BSD-3-Clause */
#include <mikeyticket/version.h>

unsigned mkt_version(void)
{
    return MKT_VERSION_NUMBER;
}
