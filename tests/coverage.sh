#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Which lines of lib/ the fuzz corpora reach by themselves. Prints the lines reached of each file. A line that they don't
# reach must be in fuzz/uncovered.txt, with the reason why no peer can reach it; an entry there must name such a line.
#
#   tests/coverage.sh [-l]    -l: prints the lines that are not reached and not in the list as entries for it
#
# Builds in build/coverage, in 2 minutes on two slow cores. The exit status is 1 where a line or an entry is left over.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$tests")
dir=$top/build/coverage
format=${1:-}
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"

need clang libclang-rt-dev llvm meson ninja-build pkgconf libmbedtls-dev

rm -rf "$dir"
mkdir -p "$top/build"
if ! CC=clang LLVM_PROFILE_FILE=/dev/null meson setup "$dir" "$top" -Dtests=disabled -Dexamples=false -Dbuildtype=debug -Db_lundef=false \
    -Dc_args='-fprofile-instr-generate -fcoverage-mapping' -Dc_link_args=-fprofile-instr-generate >"$dir.log" 2>&1 ||
    ! meson compile -C "$dir" >>"$dir.log" 2>&1; then
    cat "$dir.log"
    die "$dir does not build"
fi

set --
crashed=
for target in "$dir"/fuzz/fuzz-*; do
    { [ -f "$target" ] && [ -x "$target" ]; } || continue
    name=${target##*/fuzz-}
    LLVM_PROFILE_FILE=$dir/$name.profraw "$target" "$top/fuzz/corpus/${name%-unverified}" >>"$dir.log" 2>&1 ||
        crashed="$crashed $name"
    set -- "$@" -object "$target"
done
[ -z "$crashed" ] || die "these corpora fail: see $dir.log:$crashed"
[ $# -gt 0 ] || die "no fuzz targets in $dir/fuzz"
shift # the first -object
llvm-profdata merge -o "$dir/profdata" "$dir"/*.profraw || exit 1
llvm-cov export -format=lcov -instr-profile "$dir/profdata" "$@" >"$dir/lcov" || exit 1

# Lines as FILE TAB NUMBER TAB FUNCTION TAB 0 or 1; what several targets or translation units have counts once.
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
    }' "$dir/lcov" | sort -t "$(printf '\t')" -k1,1 -k2,2n >"$dir/lines"
[ -s "$dir/lines" ] || die "no lines of lib/ in $dir/lcov"

awk -v FS='\t' '
    { lines[$1]++; reached[$1] += $4; all++; hit += $4 }
    END {
        for (file in lines)
            printf "%-18s %5d of %5d lines  %5.1f %%\n", file, reached[file], lines[file], 100 * reached[file] / lines[file] | "sort"
        close("sort")
        printf "%-18s %5d of %5d lines  %5.1f %%\n", "lib/", hit, all, 100 * hit / all
    }' "$dir/lines"

# A run of lines that are not reached, in one function, is one place, named by the text of its first line.
awk -v FS='\t' -v lib="$top/lib/" -v list="$top/fuzz/uncovered.txt" -v format="$format" '
    function read(file,    i) {
        for (i = 1; (getline text[file, i] < (lib file)) > 0; i++)
            sub(/^[ \t]+/, "", text[file, i])
        has[file] = 1
    }
    BEGIN {
        while ((getline entry < list) > 0) {
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
        exit left + stale > 0
    }' "$dir/lines"
