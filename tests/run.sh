#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds the library in several ways, all with -Werror, and runs the tests of each; installs what is missing from
# Debian's packages.
#
#   tests/run.sh [WAY...]     of: release dist notls debug clang msan thread valgrind fuzz; all of them by default
#   FUZZ_SECONDS=60           how long each fuzz target runs; 5 by default
#   HANDSHAKES=2000           how many handshakes are made at once with ThreadSanitizer; 600 by default
#
# Builds in build/. Says of each way how long it took. The last line is "N passed, N failed", counted in test programs;
# exit status 1 if any failed.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$tests")
build=$top/build
ways="release dist notls debug clang msan thread valgrind fuzz"
seconds=${FUZZ_SECONDS:-5}
cores=$(nproc)
passed=0
failed=0
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"

# compile NAME OPTION...: a fresh build in build/NAME, which becomes $dir; of the targets in $only, if there are any
compile() {
    dir=$build/$1
    shift
    rm -rf "$dir"
    mkdir -p "$build"
    # shellcheck disable=SC2086
    meson setup -Dwerror=true "$@" "$dir" "$top" >"$dir.log" 2>&1 &&
        meson compile -C "$dir" ${only:-} >>"$dir.log" 2>&1 && return
    cat "$dir.log"
    say "$dir does not build"
    failed=$((failed + 1))
    return 1
}

results() { cat "$dir"/meson-logs/testlog*.json 2>/dev/null | grep -Ec "\"result\": \"($1)\""; }

# check OPTION...: runs the tests in $dir; one more at a time than there are cores, as some wait for their peers
check() {
    rm -f "$dir"/meson-logs/testlog*.json
    meson test -C "$dir" --no-rebuild --num-processes $((cores + 1)) --print-errorlogs "$@"
    tally $?
}

# tally STATUS: counts what a `meson test` in $dir that ended with a status has written down
tally() {
    status=$1
    good=$(results 'OK|EXPECTEDFAIL')
    bad=$(results 'FAIL|TIMEOUT|ERROR|INTERRUPT|UNEXPECTEDPASS')
    if [ "$bad" = 0 ] && { [ "$status" != 0 ] || [ "$good" = 0 ]; }; then
        say "meson test ended with status $status after $good tests"
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
}

# fuzz TARGET: from its seeds, if it has any; the log ends with its exit status
fuzz() {
    name=${1##*/}
    mkdir -p "$dir/corpus/$name"
    set -- "$1" -max_total_time="$seconds" -artifact_prefix="$dir/$name-" "$dir/corpus/$name"
    seeds=${name#fuzz-}
    seeds=$top/fuzz/corpus/${seeds%-unverified}
    [ ! -d "$seeds" ] || set -- "$@" "$seeds"
    "$@" >"$dir/$name.log" 2>&1
    echo $? >>"$dir/$name.log"
}

# smoke: runs the fuzz targets in $dir, on all cores
smoke() {
    targets=0
    for target in "$dir"/fuzz/fuzz-*; do
        { [ -f "$target" ] && [ -x "$target" ]; } || continue
        targets=$((targets + 1))
        fuzz "$target" &
        [ $((targets % cores)) != 0 ] || wait
    done
    wait
    executions=0
    for log in "$dir"/fuzz-*.log; do
        [ -f "$log" ] || continue
        name=${log##*/}
        if [ "$(tail -n 1 "$log")" = 0 ]; then
            runs=$(sed -n 's/^Done \([0-9]*\) runs .*/\1/p' "$log")
            say "${name%.log}, $seconds seconds: $runs executions"
            executions=$((executions + ${runs:-0}))
            passed=$((passed + 1))
        else
            say "${name%.log} failed"
            tail -n 60 "$log"
            failed=$((failed + 1))
        fi
    done
    say "$targets fuzz targets: $executions executions"
    [ "$targets" -gt 0 ] || { say "no fuzz targets in $dir/fuzz"; failed=$((failed + 1)); }
}

# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $ways
packages="gcc g++ libc6-dev meson ninja-build pkgconf check libmbedtls-dev libmicrohttpd-dev libcurl4-gnutls-dev curl openssl gnutls-bin"
case " $* " in *" release "* | *" dist "* | *" valgrind "*) packages="$packages valgrind" ;; esac
[ ! -e "$top/.git" ] || packages="$packages git abigail-tools"
case " $* " in *" notls "* | *" clang "* | *" msan "* | *" fuzz "*) packages="$packages clang libclang-rt-dev" ;; esac
# shellcheck disable=SC2086
need $packages

# Sanitizers without any optimisation would take twice as long.
release='-Doptimization=3 -Ddebug=true'
sanitize='-Dbuildtype=debug -Db_lundef=false -Db_sanitize='
memory="$sanitize"address,undefined' -Dc_args=-fno-sanitize-recover=all'
# what tests/msan.c puts in place, by the names of mbedTLS 2.28 beside those of 3.6
unseen='holds fwrite mbedtls_platform_zeroize
mbedtls_aes_setkey_enc mbedtls_aes_crypt_ctr mbedtls_base64_encode mbedtls_base64_decode
mbedtls_sha1_update mbedtls_sha1_finish mbedtls_sha256_update mbedtls_sha256_finish
mbedtls_sha1_update_ret mbedtls_sha1_finish_ret mbedtls_sha256_update_ret mbedtls_sha256_finish_ret'
# one thread at a time: fairly, or those that wait for another wait long
memcheck='valgrind --quiet --fair-sched=try --leak-check=full --error-exitcode=99'

# The options below are lists of words.
# shellcheck disable=SC2046,SC2086
for way; do
    begin=$(date +%s)
    case $way in
    release)
        say "gcc, release"
        export CC=gcc
        compile release -Dtests=enabled $release && check
        ;;
    dist)
        say "gcc, release, from the tarball of HEAD"
        export CC=gcc
        dir=$build/dist/build
        "$tests/dist.sh" "$build/dist"
        status=$?
        [ "$status" = 77 ] || tally "$status"
        ;;
    notls)
        say "clang, release, without TLS"
        export CC=clang
        compile notls -Dtests=enabled -Dtls=false $release && check
        ;;
    debug)
        say "gcc, debug with ASan and UBSan"
        export CC=gcc
        compile debug -Dtests=enabled $memory -Doptimization=g && check --wrapper "env TAMPER=1"
        ;;
    clang)
        say "clang, debug with ASan and UBSan"
        # beyond undefined: what changes a value unsaid; unsigned numbers may wrap around, as NTP and hashes do
        export CC="clang -fsanitize=implicit-conversion,local-bounds,nullability"
        compile clang -Dtests=enabled $memory -Doptimization=1 && check
        ;;
    msan)
        say "clang, with MSan, without TLS"
        export CC="clang -fsanitize=memory -fsanitize-memory-track-origins -I$tests -DMBEDTLS_USER_CONFIG_FILE=<msan.h>"
        mkdir -p "$build"
        $CC -std=c11 -fPIC -g -O1 -I"$top/include" -I"$top/lib" -c "$tests/msan.c" -o "$build/msan.o" ||
            die "tests/msan.c does not compile"
        LDFLAGS=$build/msan.o
        for function in $unseen; do
            LDFLAGS="$LDFLAGS -Wl,--wrap=$function"
        done
        export LDFLAGS
        # the two that are left out put functions of mbedTLS in place themselves
        compile msan -Dtests=enabled -Dtls=false -Dexamples=false ${sanitize}memory -Doptimization=1 &&
            names=$(meson test -C "$dir" --list --no-suite scripts 2>/dev/null | sed -n 's|.* / ||p') &&
            check $(printf '%s\n' "$names" | grep -vx -e faults -e secrets)
        unset LDFLAGS
        ;;
    thread)
        say "gcc, debug with ThreadSanitizer, what has threads"
        export CC=gcc
        only='test-threads test-streams test-tls test-replay handshakes'
        within="env HANDSHAKES=${HANDSHAKES:-600}"
        # Its shadow memory has fixed places: an address space laid out at random may be in them.
        fixed="setarch $(uname -m) -R"
        $fixed true 2>/dev/null && within="$within $fixed"
        compile thread -Dtests=enabled -Dexamples=false ${sanitize}thread -Doptimization=g &&
            check --wrapper "$within" threads streams tls replay handshakes
        only=
        ;;
    valgrind)
        say "gcc, release, under valgrind"
        export CC=gcc
        compile valgrind -Dtests=enabled -Dexamples=false $release &&
            check --no-suite scripts --timeout-multiplier 20 --wrapper "$memcheck"
        ;;
    fuzz)
        say "clang, libFuzzer"
        export CC=clang
        compile fuzz -Dtests=disabled -Dexamples=false -Dfuzzing=libfuzzer $memory -Doptimization=1 && smoke
        ;;
    *)
        die "no way $way: one of $ways"
        ;;
    esac
    say "$way: $(($(date +%s) - begin)) seconds"
done

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
