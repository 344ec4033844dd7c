#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Lets the example programs talk to each other, for MSRP and for BFCP, and shows what they say, in the order of time:
# the Initiator asks the KMS for a ticket and offers a call in SDP, the Responder has the KMS resolve the ticket and
# answers; then TLS over TCP with the key they agreed on. In two calls the users share keys with the KMS, in the third
# they have certificates. Installs what is missing from Debian's packages.
#
# Builds in build/examples. Exit status 1 if they do not come to the same key, or if any of them fails.
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build/examples
# shellcheck source=tests/debian.sh
. "$top/tests/debian.sh"

need gcc libc6-dev meson ninja-build pkgconf libmbedtls-dev libmicrohttpd-dev libcurl4-gnutls-dev libssl-dev openssl
mkdir -p "$top/build"
rm -rf "$build"
if ! { CC=gcc meson setup -Dtests=disabled "$build" "$top" && meson compile -C "$build"; } >"$build.log" 2>&1; then
    cat "$build.log"
    die "the examples do not build: see above"
fi

export no_proxy=127.0.0.1
umask 077
dir=$(mktemp -d) || die "no temporary directory"
kms=
trap '[ -z "$kms" ] || kill "$kms" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir" || exit 1
mkfifo said offer answer offered answered
cr=$(printf '\r')

key() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# pass NAME: SDP on its way from one to the other, and each line with its name to what is shown
pass() {
    while IFS= read -r line; do
        printf '%s | %s\n' "$1" "${line%"$cr"}" >&3
        printf '%s\n' "$line"
    done
}

# talk MEDIA keys|certificates: a KMS and one call; all that they say comes through one FIFO, and so in order
talk() {
    say "$1, $2"
    tee transcript <said &
    exec 3>said
    case $2 in
    keys)
        alice=$(key)
        bob=$(key)
        cat >users <<END
# user PSK-ID IDENTITY HEX-KEY, and tpk ID HEX-KEY, the key that protects tickets
user alice-1 sip:alice@example.com $alice
user bob-1 sip:bob@example.com $bob
tpk tpk-1 $(key)
END
        at_kms=
        alice="--psk-id alice-1 --psk $alice"
        bob="--psk-id bob-1 --psk $bob"
        ;;
    certificates)
        echo "tpk tpk-1 $(key)" >users
        "$top/examples/certificates.sh" . kms=http://kms.example.com alice=sip:alice@example.com \
            bob=sip:bob@example.com || exit 1
        at_kms="--cert kms.pem --key kms.key --ca ca.pem"
        alice="--cert alice.pem --key alice.key --ca ca.pem --kms-cert kms.pem"
        bob="--cert bob.pem --key bob.key --ca ca.pem --kms-cert kms.pem"
        ;;
    esac
    # shellcheck disable=SC2086 # options are words
    "$build/examples/kms" --listen 127.0.0.1:0 --users users $at_kms >&3 2>&3 &
    kms=$!
    url=
    while [ -z "$url" ] && kill -0 "$kms" 2>/dev/null; do
        sleep 0.1
        url=$(sed -n 's/^kms: listening on \([^ ]*\) .*/\1/p' transcript)
    done
    pass Initiator <offered >offer &
    pass Responder <answered >answer &
    # shellcheck disable=SC2086
    "$build/examples/initiator" --kms "$url" $alice --media "$1" --show-keys >offered 2>&3 <answer &
    initiator=$!
    # shellcheck disable=SC2086
    "$build/examples/responder" --kms "$url" $bob --media "$1" --show-keys >answered 2>&3 <offer &
    responder=$!
    for one in $initiator $responder; do
        wait "$one" || { say "$1: one of them failed, status $?" >&3; failed=1; }
    done
    kill "$kms"
    wait "$kms" || { say "$1: the KMS failed, status $?" >&3; failed=1; }
    kms=
    exec 3>&-
    wait
    if [ "$(grep -c '^tek: ' transcript)" = 2 ] && [ "$(grep '^tek: ' transcript | sort -u | wc -l)" = 1 ]; then
        say "$1, $2: both have the same key"
    else
        say "$1, $2: they do not have the same key"
        failed=1
    fi
}

failed=0
talk msrp keys
talk bfcp keys
talk msrp certificates
exit $failed
