#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Grows the corpora and makes them small again: inputs that reach nothing new are left out.
#
#   fuzz/grow.sh BUILD SECONDS [CORPUS...]    BUILD is of -Dfuzzing=libfuzzer; all corpora by default
#
# Takes SECONDS for each target and about as long again for small ones; 0 SECONDS only makes them small. What crashes is
# left in BUILD, named after its target. To be run when messages or scenes change: those that were right before are
# wrong then.
set -eu

fuzz=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
seconds=$2
shift 2
[ $# -gt 0 ] || for folder in "$fuzz"/corpus/*; do set -- "$@" "${folder##*/}"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

ninja -C "$build" all fuzz/fuzz-seed fuzz/fuzz-seed-model >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
mkdir "$work/seeds"
"$build/fuzz/fuzz-seed" "$work/seeds"
"$build/fuzz/fuzz-seed-model" "$work/seeds"
if ninja -C "$build" fuzz/fuzz-seed-tls >/dev/null 2>&1; then
    "$build/fuzz/fuzz-seed-tls" "$work/seeds"
fi

for name; do
    mkdir -p "$fuzz/corpus/$name" "$work/seeds/$name" "$work/grown" "$work/small"
    for target in "$build/fuzz/fuzz-$name" "$build/fuzz/fuzz-$name-unverified"; do
        { [ -x "$target" ] && [ "$seconds" -gt 0 ]; } || continue
        "$target" -max_total_time="$seconds" -max_len=4000 -mutate_depth=2 -timeout=20 -artifact_prefix="$build/${target##*/}-" \
            "$work/grown" "$fuzz/corpus/$name" "$work/seeds/$name" >"$work/log" 2>&1 ||
            { tail -n 40 "$work/log"; echo "$target found something"; }
    done
    for target in "$build/fuzz/fuzz-$name" "$build/fuzz/fuzz-$name-unverified"; do
        [ -x "$target" ] || continue
        "$target" -merge=1 -use_counters=0 -max_len=4000 "$work/small" \
            "$fuzz/corpus/$name" "$work/grown" "$work/seeds/$name" >"$work/log" 2>&1 || { tail "$work/log"; exit 1; }
    done
    # which stream a right peer gets shows in no coverage
    [ "$name" != tls ] || cp "$work/seeds/tls/one-"? "$work/seeds/tls/one-"?? "$work/seeds/tls/two-"? \
        "$work/seeds/tls/two-"?? "$work/small"
    # nor does what a story would show of a fault
    [ "$name" != model ] || cp "$work/seeds/model"/* "$work/small"
    rm -rf "${fuzz:?}/corpus/$name"
    mv "$work/small" "$fuzz/corpus/$name"
    rm -rf "$work/grown"
    printf '%s: %s inputs, %s octets\n' "$name" "$(find "$fuzz/corpus/$name" -type f | wc -l)" \
        "$(find "$fuzz/corpus/$name" -type f -exec cat {} + | wc -c)"
done
