#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds the library in several ways, all with -Werror, and runs the tests of each; installs what is missing from
# Debian's packages.
#
#   tests/run.sh [WAY...]     of: release dist notls nettle debug clang msan thread valgrind fuzz network; all by default.
#                             network is media servers, user agents with Kamailio, and Redis, which all others leave out
#   FUZZ_SECONDS=60           how long each fuzz target runs; 5 by default
#   HANDSHAKES=2000           how many handshakes are made at once with ThreadSanitizer; 600 by default
#   REPLAYS=200000            how many messages a flood has; 2,000 by default
#
# Builds in build/. Says of each way how long it took. A way that fails does not end the others. At the end each
# failure has a line "== failed: WAY: TEST". The last line is "N passed, N failed", and ", N skipped" if there are any,
# counted in test programs and in ways that could not begin; exit status 1 if any failed, 2 if there is no such way.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$tests")
build=$top/build
ways="release dist notls nettle debug clang msan thread valgrind fuzz network"
seconds=${FUZZ_SECONDS:-5}
cores=$(nproc)
counts=$build/counts.$$
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"
# shellcheck source=tests/count.sh
. "$tests/count.sh"

# compile NAME OPTION...: a fresh build in build/NAME, which becomes $dir; of the targets in $only, if there are any
compile() {
    dir=$build/$1
    shift
    rm -rf "$dir"
    # shellcheck disable=SC2086
    meson setup -Dwerror=true "$@" "$dir" "$top" >"$dir.log" 2>&1 &&
        meson compile -C "$dir" ${only:-} >>"$dir.log" 2>&1 && return
    cat "$dir.log"
    die "$dir does not build"
}

# check OPTION...: runs the tests in $dir; one more at a time than there are cores, as some wait for their peers
check() {
    rm -f "$dir"/meson-logs/testlog*.json
    [ "$way" = network ] || set -- --no-suite network "$@"
    meson test -C "$dir" --no-rebuild --num-processes $((cores + 1)) --print-errorlogs "$@"
    tally $?
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
            count 1 0 0
        else
            say "${name%.log} failed"
            tail -n 60 "$log"
            count 0 1 0 "fuzz: ${name%.log}"
        fi
    done
    say "$targets fuzz targets: $executions executions"
    [ "$targets" -gt 0 ] || die "no fuzz targets in $dir/fuzz"
}

# Sanitizers without any optimisation would take twice as long.
release='-Doptimization=3 -Ddebug=true'
sanitize='-Dbuildtype=debug -Db_lundef=false -Db_sanitize='
memory="$sanitize"address,undefined' -Dc_args=-fno-sanitize-recover=all'
# what tests/msan.c puts in place, by the names of mbedTLS 2.28 beside those of 3.6
unseen='holds fwrite mbedtls_platform_zeroize
mbedtls_aes_setkey_enc mbedtls_aes_crypt_ctr
mbedtls_sha1_update mbedtls_sha1_finish mbedtls_sha256_update mbedtls_sha256_finish
mbedtls_sha1_update_ret mbedtls_sha1_finish_ret mbedtls_sha256_update_ret mbedtls_sha256_finish_ret'
# one thread at a time: fairly, or those that wait for another wait long
memcheck='valgrind --quiet --fair-sched=try --leak-check=full --error-exitcode=99'

packages="gcc g++ libc6-dev meson ninja-build pkgconf check libmbedtls-dev libmicrohttpd-dev libcurl4-gnutls-dev curl
libssl-dev openssl gnutls-bin"
[ ! -e "$top/.git" ] || packages="$packages git abigail-tools"

# The options below are lists of words.
# shellcheck disable=SC2046,SC2086
run() {
    case $way in
    release)
        say "gcc, release"
        need $packages valgrind
        export CC=gcc
        compile release -Dtests=enabled -Dbench=true $release && check
        ;;
    dist)
        say "gcc, release, from the tarball of HEAD"
        need $packages valgrind
        export CC=gcc
        dir=$build/dist/build
        "$tests/dist.sh" "$build/dist"
        status=$?
        [ "$status" != 77 ] || skip "there is no tarball to make: see the line above"
        tally "$status"
        ;;
    notls)
        say "clang, release, without TLS and certificates"
        need $packages clang libclang-rt-dev
        export CC=clang
        compile notls -Dtests=enabled -Dtls=false -Dx509=false -Dbench=true $release && check
        ;;
    nettle)
        say "gcc, release, hashes and AES by nettle; and what has keys, with ASan and UBSan"
        need $packages valgrind nettle-dev
        export CC=gcc
        compile nettle -Dtests=enabled -Dcrypto=nettle $release && check
        only='test-crypto test-derive test-protect test-vectors test-secrets test-faults test-modes'
        compile nettle-memory -Dtests=enabled -Dcrypto=nettle $memory -Doptimization=g &&
            check crypto derive protect vectors secrets faults modes
        ;;
    debug)
        say "gcc, debug with ASan and UBSan"
        need $packages
        export CC=gcc
        compile debug -Dtests=enabled $memory -Doptimization=g && check --wrapper "env TAMPER=1"
        ;;
    clang)
        say "clang, debug with ASan and UBSan"
        need $packages clang libclang-rt-dev
        # beyond undefined: what changes a value unsaid; unsigned numbers may wrap around, as NTP and hashes do
        export CC="clang -fsanitize=implicit-conversion,local-bounds,nullability"
        compile clang -Dtests=enabled $memory -Doptimization=1 && check
        ;;
    msan)
        say "clang, with MSan, without TLS and certificates"
        need $packages clang libclang-rt-dev
        export CC="clang -fsanitize=memory -fsanitize-memory-track-origins -I$tests -DMBEDTLS_USER_CONFIG_FILE=<msan.h>"
        $CC -std=c11 -fPIC -g -O1 -I"$top/include" -I"$top/lib" -c "$tests/msan.c" -o "$build/msan.o" ||
            die "tests/msan.c does not compile"
        LDFLAGS=$build/msan.o
        for function in $unseen; do
            LDFLAGS="$LDFLAGS -Wl,--wrap=$function"
        done
        export LDFLAGS
        # the two that are left out put functions of mbedTLS in place themselves
        compile msan -Dtests=enabled -Dtls=false -Dx509=false -Dexamples=false ${sanitize}memory -Doptimization=1 &&
            names=$(meson test -C "$dir" --list --no-suite scripts 2>/dev/null | sed -n 's|.* / ||p') &&
            check $(printf '%s\n' "$names" | grep -vx -e faults -e secrets)
        ;;
    thread)
        say "gcc, debug with ThreadSanitizer, what has threads"
        need $packages
        export CC=gcc
        only='test-threads test-streams test-announced test-tls test-x509 test-replay handshakes'
        within="env HANDSHAKES=${HANDSHAKES:-600}"
        # Its shadow memory has fixed places: an address space laid out at random may be in them.
        fixed="setarch $(uname -m) -R"
        $fixed true 2>/dev/null && within="$within $fixed"
        compile thread -Dtests=enabled -Dexamples=false ${sanitize}thread -Doptimization=g &&
            check --wrapper "$within" threads streams announced tls x509 replay handshakes
        ;;
    valgrind)
        say "gcc, release, under valgrind"
        need $packages valgrind
        export CC=gcc
        compile valgrind -Dtests=enabled -Dexamples=false $release &&
            check --no-suite scripts --timeout-multiplier 20 --wrapper "$memcheck"
        ;;
    network)
        say "gcc, debug with ASan and UBSan, media servers, user agents in a SIP network, Redis"
        need $packages libsofia-sip-ua-dev kamailio python3 libhiredis-dev redis-server
        export CC=gcc
        compile network -Dtests=enabled $memory -Doptimization=g && check --suite network
        ;;
    fuzz)
        say "clang, libFuzzer"
        need $packages clang libclang-rt-dev
        export CC=clang
        compile fuzz -Dtests=disabled -Dexamples=false -Dfuzzing=libfuzzer $memory -Doptimization=1 && smoke
        ;;
    esac
}

# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $ways
for way; do
    case " $ways " in *" $way "*) ;; *) die "no way $way: one of $ways" ;; esac
done
mkdir -p "$build" || die "can't write to $build"
: >"$counts"
for way; do
    part "$way" run
done
conclude
