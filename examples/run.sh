#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Lets the two example programs talk to each other, for MSRP and for BFCP, and shows what they say: SDP with MIKEY-TICKET
# through two pipes, then TLS over TCP with the key they agreed on. Installs what is missing from Debian's packages.
#
# Builds in build/examples. Exit status 1 if they do not come to the same key, or if either fails.
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build/examples
# shellcheck source=tests/debian.sh
. "$top/tests/debian.sh"

need gcc libc6-dev meson ninja-build pkgconf libmbedtls-dev
mkdir -p "$top/build"
rm -rf "$build"
if ! { CC=gcc meson setup -Dtests=disabled "$build" "$top" && meson compile -C "$build"; } >"$build.log" 2>&1; then
    cat "$build.log"
    die "the examples do not build: see above"
fi

dir=$(mktemp -d) || die "no temporary directory"
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir" || exit 1
mkfifo offer answer Initiator Responder Initiator.err Responder.err

# show NAME SDP: what comes out of the program NAME, each line with its name; its SDP goes on to the other
show() {
    tee "$2" <"$1" | sed -u "s/^/$1 | /; s/\r$//" &
    tee "$1.said" <"$1.err" | sed -u "s/^/$1 | /; s/\r$//" &
}

# talk MEDIA: one session
talk() {
    say "$1"
    tpk=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    show Initiator offer
    show Responder answer
    "$build/examples/initiator" --tpk "$tpk" --media "$1" --show-keys >Initiator 2>Initiator.err <answer &
    initiator=$!
    "$build/examples/responder" --tpk "$tpk" --media "$1" --show-keys >Responder 2>Responder.err <offer &
    responder=$!
    for one in $initiator $responder; do
        wait "$one" || { say "$1: one of them failed, status $?"; failed=1; }
    done
    wait
    keys=$(grep -h '^tek:' Initiator.said | sort)
    if [ -n "$keys" ] && [ "$keys" = "$(grep -h '^tek:' Responder.said | sort)" ]; then
        say "$1: both have the same key"
    else
        say "$1: they do not have the same key"
        failed=1
    fi
}

failed=0
talk msrp
talk bfcp
exit $failed
