#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Do the tests see faults? Plants single faults in copies of lib/, builds, and prints what finds each: a suite, the
# replay of a corpus, a script, the sanitizers, or nothing. Classes of faults: a condition is negated; an operand of &&
# or || is dropped; < for <= and the like; off by one; a statement or a wipe is skipped; two arguments are swapped;
# another constant of the same enum; an early return; another variable or member of the same type (an identity, a RAND,
# a key). tests/mutate.py makes them.
#
#   tests/mutants.sh [OPTION...] [FILE...]    FILE: mutants of these files of lib/ only
#   -s SEED    the mutants are those of this seed: a number; that of today's date by default
#   -n NUMBER  how many; 150 by default. Those that do not compile, or give the same object code, do not count.
#   -j JOBS    how many are built at a time; one for each core by default
#   --quick    only suites that take less than 1.5 seconds: what they do not find, others may
#   --listed   all mutants in tests/survivors.txt instead: none of them may be found
#
# What no suite and no corpus finds goes to the scripts and, at the same time, to the sanitizers.
#
# tests/survivors.txt has the survivors that change nothing, each with its reason. An entry whose line or change is no
# longer there fails the run. Works in build/mutants. The last line is
# "found X of Y that change something: Z %"; exit status 1 if that is less than 97 %.
set -u
tests=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"
need gcc libc6-dev meson ninja-build pkgconf python3 check libmbedtls-dev libmicrohttpd-dev libcurl4-gnutls-dev curl \
    openssl gnutls-bin valgrind
exec python3 -B "$tests/mutants.py" "$@"
