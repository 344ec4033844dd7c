#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Does the mutator that seals (fuzz/mutate.c) get past the MAC? Runs the take targets of the library that verifies MACs,
# as often with it as without it, each time from nothing but two right messages, and prints how many inputs were taken
# beside the right ones, and the coverage.
#
#   tests/sealed.sh BUILD [RUNS]   BUILD is of -Dfuzzing=libfuzzer; 3000 runs by default
#
# Takes 3 minutes on two slow cores. Exit status 1 where sealing makes no difference.
set -u

build=$(cd "$1" && pwd)
runs=${2:-3000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
ninja -C "$build" all fuzz/fuzz-seed >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
mkdir "$work/seeds"
"$build/fuzz/fuzz-seed" "$work/seeds" || exit 1
export FUZZ_COUNT=1
failed=0

# fuzz NAME: sets $taken and $cov
fuzz() {
    rm -rf "$work/corpus"
    mkdir "$work/corpus"
    cp "$work/seeds/$1/right-0" "$work/seeds/$1/right-1" "$work/corpus"
    "$build/fuzz/fuzz-$1" -runs="$runs" -seed=1 -max_len=4000 -artifact_prefix="$work/" "$work/corpus" >"$work/log" 2>&1 ||
        { cat "$work/log"; exit 1; }
    taken=$(sed -n 's/ of .* inputs taken beside the right ones$//p' "$work/log")
    cov=$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$work/log")
}

for target in "$build"/fuzz/fuzz-take-*; do
    name=${target##*/fuzz-}
    case $name in *-unverified | *.p) continue ;; esac
    fuzz "$name"
    sealed=$taken sealed_cov=$cov
    export FUZZ_UNSEALED=1
    fuzz "$name"
    unset FUZZ_UNSEALED
    printf '%-26s %5d taken, coverage %d; unsealed %5d taken, coverage %d\n' "$name" "$sealed" "$sealed_cov" "$taken" "$cov"
    [ "$sealed_cov" -gt "$cov" ] || failed=1
done
exit "$failed"
