/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands to the MRFP, a line each: examples/mrfp.c describes them. Each process has a connection of its own. */
#ifndef KAMAILIO_MRFP_H
#define KAMAILIO_MRFP_H

#include <stdbool.h>

/* What the MRFP said in place of an answer, for the log; empty if it did not refuse. */
extern char mrfp_fault[160];

/* Sends a command and reads its answer: `ok`, and a number at its end if `number` is not NULL. The command, which may
   have a key in it, is wiped. */
bool mrfp_do(char *command, unsigned *number);

#endif
