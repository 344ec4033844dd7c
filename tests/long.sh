#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What .ci/run has less of, as it has half an hour. In build/, as tests/run.sh has it; takes about, on two cores,
#
#    3 minutes   2,000 handshakes at once with ThreadSanitizer, instead of 600
#    2 hours     10 minutes of each fuzz target, instead of 30 seconds
#
# Exit status 1 if anything failed.
export HANDSHAKES="${HANDSHAKES:-2000}" FUZZ_SECONDS="${FUZZ_SECONDS:-600}"
exec "$(dirname "$0")/run.sh" thread fuzz
