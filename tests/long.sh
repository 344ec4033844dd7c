#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What does not fit into the hour of .ci/run. In build/, as tests/run.sh has it; takes about, on two cores,
#
#    3 minutes   tests/analyze.sh: gcc -fanalyzer, clang-tidy, cppcheck
#    5 minutes   tests/planted.sh: planted bugs that the fuzz targets must find
#   25 minutes   tests/mutants.sh: 150 single faults that the tests must find, others each time
#    7 minutes   tests/eva.sh: Frama-C's Eva and WP on io, payload, message and sdp
#    5 minutes   tests/coverage.sh: lines of lib/ that the corpora do not reach
#   15 minutes   tests/cross.sh: 32 bits, big-endian
#   10 minutes   tests/run.sh release: floods of 200,000 messages, instead of 2,000
#    3 minutes   2,000 handshakes at once with ThreadSanitizer, instead of 600
#   20 minutes   tests/debian13.sh dist nettle valgrind, the ways that .ci/run leaves out there
#    3 hours     10 minutes of each fuzz target, instead of 15 seconds
#
# Says at the end which of them failed and which this machine can't run; exit status 1 if any failed.
set -u
tests=$(cd "$(dirname "$0")" && pwd)
export HANDSHAKES="${HANDSHAKES:-2000}" FUZZ_SECONDS="${FUZZ_SECONDS:-600}" REPLAYS="${REPLAYS:-200000}"
failed=
skipped=
for script in analyze.sh eva.sh planted.sh "mutants.sh -s $(date +%s)" coverage.sh cross.sh 'run.sh release' \
    'run.sh thread' 'debian13.sh dist nettle valgrind' 'run.sh fuzz'; do
    # shellcheck disable=SC2086
    "$tests"/$script
    case $? in
    0) ;;
    77) skipped="$skipped, $script" ;;
    *) failed="$failed, $script" ;;
    esac
done
[ -z "$skipped" ] || echo "skipped: ${skipped#, }"
[ -z "$failed" ] || echo "failed: ${failed#, }"
[ -z "$failed" ]
