#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What the libraries show to a linker: every external symbol begins with mkt_, and the shared libraries export what the
# headers declare MKT_API, no less and no more, and bind what they call themselves when they are loaded.
#
#   tests/symbols.sh LIBRARY...     static (.a) and shared ones
set -u
export LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || { echo "usage: symbols.sh LIBRARY..." >&2; exit 2; }
command -v nm >/dev/null || { echo "no nm here: install binutils"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# defined OPTION... LIBRARY: external symbols, without those of the sanitizers
defined() {
    nm -P -g --defined-only "$@" | awk 'NF > 2 { print $1 }' | grep -Ev '^_*(start_|stop_|odr_)?(asan|ubsan|sancov)' | sort -u
}

# declared WHICH...: what the headers declare MKT_API; WHICH of them, as for find
declared() {
    find "$top/include" -name '*.h' "$@" -exec cat {} + | sed -n '/^MKT_API/,/[(;]/p' | tr '\n' ' ' |
        sed 's/MKT_API/\n/g' | sed -n 's/^[^(;[]*\<\(mkt_[a-z0-9_]*\) *[(;[].*/\1/p' | sort -u
}

for library; do
    case $library in
    *.a) defined "$library" ;;
    *) defined -D "$library" ;;
    esac >"$dir/defined"
    case $library in
    *-tls.*) declared "(" -name tls.h -o -name streams.h ")" ;;
    *-x509.*) declared -name x509.h ;;
    *) declared ! -name tls.h ! -name streams.h ! -name x509.h ;;
    esac >"$dir/declared"

    [ -s "$dir/declared" ] || echo "$library: nothing is declared MKT_API"
    grep -v '^mkt_' "$dir/defined" | sed "s|^|$library: not mkt_: |"
    comm -13 "$dir/defined" "$dir/declared" | sed "s|^|$library: declared MKT_API, but not defined: |"
    case $library in
    *.a) ;;
    *)
        comm -23 "$dir/defined" "$dir/declared" | sed "s|^|$library: exported, but not declared MKT_API: |"
        readelf -d "$library" | grep -q BIND_NOW || echo "$library: not linked with -z now"
        ;;
    esac
done >"$dir/wrong"
cat "$dir/wrong"
[ ! -s "$dir/wrong" ]
