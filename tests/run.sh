#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds the library in several ways, all with -Werror, and runs the tests of each; installs what is missing from
# Debian's packages.
#
#   tests/run.sh [WAY...]     of: release valgrind notls debug clang fuzz; all of them by default
#   FUZZ_SECONDS=60           how long each fuzz target runs; 5 by default
#
# Builds in build/. The last line is "N passed, N failed", counted in test programs; exit status 1 if any failed.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$tests")
build=$top/build
seconds=${FUZZ_SECONDS:-5}
passed=0
failed=0
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"

# compile NAME OPTION...: a fresh build in build/NAME, which becomes $dir
compile() {
    dir=$build/$1
    shift
    rm -rf "$dir"
    mkdir -p "$build"
    meson setup -Dwerror=true "$@" "$dir" "$top" >"$dir.log" 2>&1 && meson compile -C "$dir" >>"$dir.log" 2>&1 && return
    cat "$dir.log"
    say "$dir does not build"
    failed=$((failed + 1))
    return 1
}

results() { cat "$dir"/meson-logs/testlog*.json 2>/dev/null | grep -Ec "\"result\": \"($1)\""; }

# check OPTION...: runs the tests in $dir
check() {
    rm -f "$dir"/meson-logs/testlog*.json
    meson test -C "$dir" --no-rebuild --print-errorlogs "$@"
    status=$?
    good=$(results 'OK|EXPECTEDFAIL')
    bad=$(results 'FAIL|TIMEOUT|ERROR|INTERRUPT|UNEXPECTEDPASS')
    if [ "$bad" = 0 ] && { [ "$status" != 0 ] || [ "$good" = 0 ]; }; then
        say "meson test ended with status $status after $good tests"
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
}

# smoke: runs the fuzz targets in $dir, from their seeds if they have any
smoke() {
    targets=0
    for target in "$dir"/fuzz/*; do
        { [ -f "$target" ] && [ -x "$target" ]; } || continue
        name=${target##*/}
        targets=$((targets + 1))
        say "$name, $seconds seconds"
        mkdir -p "$dir/corpus/$name"
        set -- "$dir/corpus/$name"
        [ ! -d "$top/fuzz/corpus/${name#fuzz-}" ] || set -- "$@" "$top/fuzz/corpus/${name#fuzz-}"
        if "$target" -max_total_time="$seconds" -artifact_prefix="$dir/$name-" "$@" >"$dir/$name.log" 2>&1; then
            tail -n 1 "$dir/$name.log"
            passed=$((passed + 1))
        else
            tail -n 60 "$dir/$name.log"
            failed=$((failed + 1))
        fi
    done
    [ "$targets" -gt 0 ] || { say "no fuzz targets in $dir/fuzz"; failed=$((failed + 1)); }
}

[ $# -gt 0 ] || set -- release valgrind notls debug clang fuzz
packages="gcc g++ libc6-dev meson ninja-build pkgconf check libmbedtls-dev libmicrohttpd-dev libcurl4-gnutls-dev curl openssl gnutls-bin"
case " $* " in *" valgrind "*) packages="$packages valgrind" ;; esac
case " $* " in *" clang "* | *" fuzz "*) packages="$packages clang libclang-rt-dev" ;; esac
# shellcheck disable=SC2086
need $packages

release='-Doptimization=3 -Ddebug=true'
sanitize='-Dbuildtype=debug -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fno-sanitize-recover=all'
memcheck='valgrind --quiet --leak-check=full --error-exitcode=99'

# The options below are lists of words.
# shellcheck disable=SC2086
for way; do
    case $way in
    release)
        say "gcc, release"
        export CC=gcc
        compile release -Dtests=enabled $release && check
        ;;
    valgrind)
        say "gcc, release, under valgrind"
        export CC=gcc CK_FORK=no
        compile valgrind -Dtests=enabled $release && check --no-suite scripts --timeout-multiplier 20 --wrapper "$memcheck"
        unset CK_FORK
        ;;
    notls)
        say "gcc, release, without TLS"
        export CC=gcc
        compile notls -Dtests=enabled -Dtls=false $release && check
        ;;
    debug)
        say "gcc, debug with ASan and UBSan"
        export CC=gcc CK_FORK=no
        compile debug -Dtests=enabled $sanitize && check
        unset CK_FORK
        ;;
    clang)
        say "clang, debug with ASan and UBSan"
        export CC=clang CK_FORK=no
        compile clang -Dtests=enabled $sanitize && check
        unset CK_FORK
        ;;
    fuzz)
        say "clang, libFuzzer"
        export CC=clang
        compile fuzz -Dtests=disabled -Dexamples=false -Dfuzzing=libfuzzer $sanitize && smoke
        ;;
    *)
        die "no way $way: one of release valgrind notls debug clang fuzz"
        ;;
    esac
done

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
