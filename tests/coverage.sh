#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Which lines of lib/ the fuzz corpora reach by themselves. Prints the lines reached of each file. A line that they do
# not reach must be in fuzz/uncovered.txt, with the reason why no peer can reach it; an entry there must name such a
# line. The test suites check part of each reason: they reach the lines of a section marked [suites], and none of those
# of a section marked [none].
#
#   tests/coverage.sh [-l]    -l: prints the lines that are not reached and not in the list as entries for it
#
# Builds in build/coverage, in 5 minutes on two slow cores. The exit status is 1 if a line or an entry is left over, or
# if a mark is wrong.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$tests")
dir=$top/build/coverage
format=${1:-}
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"

need clang libclang-rt-dev llvm meson ninja-build pkgconf check libmbedtls-dev

rm -rf "$dir"
mkdir -p "$top/build"
if ! CC=clang LLVM_PROFILE_FILE=/dev/null meson setup "$dir" "$top" -Dtests=enabled -Dexamples=false -Dbuildtype=debug \
    -Db_lundef=false -Dc_args='-fprofile-instr-generate -fcoverage-mapping' -Dc_link_args=-fprofile-instr-generate \
    >"$dir.log" 2>&1 ||
    ! meson compile -C "$dir" >>"$dir.log" 2>&1; then
    cat "$dir.log"
    die "$dir does not build"
fi

# run KIND NAME PROGRAM ARGUMENT...: its profile is KIND-NAME.profraw; what fails is added to $failed
failed=
run() {
    profile=$dir/$1-$2.profraw
    failing=$2
    shift 2
    CK_FORK=no VECTORS=$top/tests/vectors CIPHER_SUITES=$top/tests/cipher_suites.txt LLVM_PROFILE_FILE=$profile \
        "$@" >>"$dir.log" 2>&1 || failed="$failed $failing"
}

# lines KIND OBJECT...: lines of lib/ as FILE TAB NUMBER TAB FUNCTION TAB 0 or 1, in $dir/KIND, by all profiles of that
# kind; what several objects or translation units have counts once
lines() {
    kind=$1
    shift
    for object; do
        set -- "$@" -object "$object"
        shift
    done
    shift # the first -object
    llvm-profdata merge -o "$dir/profdata" "$dir/$kind"-*.profraw || exit 1
    llvm-cov export -format=lcov -instr-profile "$dir/profdata" "$@" >"$dir/lcov" || exit 1
    awk -v FS='[:,]' -v OFS='\t' '
        $1 == "SF" { file = $0; wanted = sub(/.*\/lib\//, "", file); next }
        !wanted { next }
        $1 == "FN" { function_at[file, $2] = $NF }
        $1 == "DA" { reached[file, $2] += $3; if (!(file in last) || last[file] < $2 + 0) last[file] = $2 + 0 }
        END {
            for (file in last) {
                name = "-"
                for (line = 1; line <= last[file]; line++) {
                    if ((file, line) in function_at)
                        name = function_at[file, line]
                    if ((file, line) in reached)
                        print file, line, name, (reached[file, line] > 0)
                }
            }
        }' "$dir/lcov" | sort -t "$(printf '\t')" -k1,1 -k2,2n >"$dir/$kind"
    [ -s "$dir/$kind" ] || die "no lines of lib/ in $dir/lcov"
}

set --
for target in "$dir"/fuzz/fuzz-*; do
    { [ -f "$target" ] && [ -x "$target" ]; } || continue
    name=${target##*/fuzz-}
    run lines "$name" "$target" "$top/fuzz/corpus/${name%-unverified}"
    set -- "$@" "$target"
done
[ $# -gt 0 ] || die "no fuzz targets in $dir/fuzz"
lines lines "$@"

set -- "$dir"/libmikeyticket*.so
for suite in "$dir"/tests/test-*; do
    { [ -f "$suite" ] && [ -x "$suite" ]; } || continue
    run suites "${suite##*/test-}" "$suite"
    set -- "$@" "$suite"
done
lines suites "$@"
[ -z "$failed" ] || die "these fail: see $dir.log:$failed"

awk -v FS='\t' '
    { lines[$1]++; reached[$1] += $4; all++; hit += $4 }
    END {
        for (file in lines)
            printf "%-18s %5d of %5d lines  %5.1f %%\n", file, reached[file], lines[file],
                100 * reached[file] / lines[file] | "sort"
        close("sort")
        printf "%-18s %5d of %5d lines  %5.1f %%\n", "lib/", hit, all, 100 * hit / all
    }' "$dir/lines"

# A run of lines that are not reached, in one function, is one place, named by the text of its first line.
awk -v FS='\t' -v lib="$top/lib/" -v list="$top/fuzz/uncovered.txt" -v suites="$dir/suites" -v format="$format" '
    function read(file,    i) {
        for (i = 1; (getline text[file, i] < (lib file)) > 0; i++)
            sub(/^[ \t]+/, "", text[file, i])
        has[file] = 1
    }
    BEGIN {
        while ((getline entry < list) > 0) {
            if (entry ~ /^\[/)
                mark = substr(entry, 1, index(entry, "]"))
            if (entry !~ /^    /)
                continue
            sub(/^    /, "", entry)
            n++
            entries[n] = entry
            split(entry, part, " ")
            of_file[n] = part[1]
            of_function[n] = part[2]
            sub(/:$/, "", of_function[n])
            snippet[n] = substr(entry, index(entry, ": ") + 2)
            mark_of[n] = mark
        }
        while ((getline entry < suites) > 0) {
            split(entry, part, "\t")
            if (part[4] == 1)
                reached[part[1], part[2]] = 1
        }
    }
    $4 == 1 { open = 0; next }
    {
        if (!($1 in has)) read($1)
        line = text[$1, $2]
        name = $3
        sub(/^.*:/, "", name)
        if (name != open_name) open = 0
        open_name = name
        if (line ~ /^[{}]*$/ || open)
            next
        open = 1
        places++
        listed = 0
        for (i = 1; i <= n; i++)
            if (of_file[i] == $1 && of_function[i] == name && (snippet[i] == "*" || index(line, snippet[i]) > 0)) {
                used[i]++
                listed = 1
                right = (($1, $2) in reached) ? "[suites]" : "[none]"
                if (mark_of[i] != right) {
                    wrong++
                    printf "fuzz/uncovered.txt: belongs to a section marked %s: %s\n", right, entries[i]
                }
            }
        if (!listed) {
            left++
            if (format == "-l") printf "    %s %s: %s\n", $1, name, line
            else printf "lib/%s:%d: %s is not reached: %s\n", $1, $2, name, line
        }
    }
    END {
        for (i = 1; i <= n; i++)
            if (!used[i]) {
                stale++
                printf "fuzz/uncovered.txt: is reached, or no longer there; take it out: %s\n", entries[i]
            }
        printf "%d places not reached, %d of them in fuzz/uncovered.txt\n", places, places - left
        exit left + stale + wrong > 0
    }' "$dir/lines"
