#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A module is lib/NAME.c, lib/NAME.h and include/mikeyticket/NAME.h. It includes modules of its own layer or lower ones,
# without circles; only crypto, tls, streams and x509 name mbedTLS, and only crypto names nettle; the codec knows no
# crypto, and crypto knows no wire. The two providers of crypto count as crypto.
#
#   tests/layers.sh         checks this tree, and that the check finds what it is there to find
#   tests/layers.sh TOP     checks TOP/lib and TOP/include
set -u
export LC_ALL=C

modules='
span 0      error 0     version 0   cipher_suites 1         io 1        sized 1     payload 2   message 2   base64 2    crypto 2    host 2      derive 3    protect 3   policy 3    key 3       ticket 3
bundle 3    initiator_data 3        replay 3    connection 3
public_key 3            sdp 3       exchange 4  session 4   transfer 4  request 4   resolve 4   update 4    error_message 4    flow 5      csb 5'

# look TOP: prints what is wrong; status 1 if anything is
look() (
    cd "$1" || exit 1
    # shellcheck disable=SC2016
    awk -v modules="$modules" '
    BEGIN {
        n = split(modules, word)
        for (i = 1; i < n; i += 2)
            layer[word[i]] = word[i + 1]
    }
    function wrong(why) { print FILENAME ":" FNR ": " module " -> " target ": " why }
    /^[ \t]*#[ \t]*include/ {
        module = FILENAME; sub(/.*\//, "", module); sub(/(-mbedtls|-nettle)?\.[ch]$/, "", module)
        target = $0; sub(/^[^<"]*/, "", target); sub(/[>"][^>"]*$/, "", target)
        outside = module == "tls" || module == "streams" || module == "x509"
        public = target ~ /^<mikeyticket/
        private = target ~ /^"/
        provider = target ~ /^<(mbedtls|nettle)\//
        target = substr(target, 2)
        if (provider) {
            if (target ~ /^nettle/ ? FILENAME == "lib/crypto-nettle.c" : outside || FILENAME == "lib/crypto-mbedtls.c")
                next
            if (FILENAME == "lib/crypto.h" && target ~ /\/sha(1|2|256)\.h$/)
                next
            wrong("mbedTLS belongs to crypto, tls, streams and x509 alone, and nettle to crypto")
        }
        if (!public && !private)
            next
        sub(/^mikeyticket\//, "", target); sub(/\.h$/, "", target)
        if (module == target)
            next
        if (outside) {
            if (!public && target != "sized" && (module == "tls" || target != "io"))
                wrong(module " stands outside: public headers only, and sized")
            else if (target == "streams")
                wrong("streams knows tls, not the other way round")
            else if (target == "x509" || (module == "x509" && target == "tls"))
                wrong("x509 and tls do not know each other")
            next
        }
        if (!(module in layer) || !(target in layer))
            wrong("no layer is given for one of them in tests/layers.sh")
        else if (layer[target] > layer[module])
            wrong("an arrow up, from layer " layer[module] " to " layer[target])
        else if (module == "payload" && target == "crypto")
            wrong("the codec knows no crypto")
        else if (module == "crypto" && (target == "payload" || target == "message"))
            wrong("crypto knows no wire")
        else if (module == "connection" && target !~ /^(span|error|io|sized|sdp)$/)
            wrong("connection stands beside sdp: span, error, io, sized and sdp only")
        else if (module == "sdp" && target !~ /^(span|error|io|base64|crypto)$/)
            wrong("sdp stands beside: span, error, io, base64 and crypto only")
        else
            print module, target
    }' lib/*.[ch] include/mikeyticket/*.h | {
        arrows=$(cat)
        found=$(printf '%s\n' "$arrows" | grep ':')
        circle=$(printf '%s\n' "$arrows" | grep -v ':' | sort -u | tsort 2>&1 >/dev/null | sed -n '2,$s/.* //p' | tr '\n' ' ')
        [ -z "$found" ] || printf '%s\n' "$found"
        [ -z "$circle" ] || printf 'a circle: %s\n' "$circle"
        [ -n "$arrows" ] || echo 'no includes at all?'
        [ -n "$arrows" ] && [ -z "$found$circle" ]
    }
)

[ $# = 0 ] || { look "$1" && exit; exit 1; }

top=$(cd "$(dirname "$0")/.." && pwd)
look "$top" || exit 1
copy=$(mktemp -d) || exit 1
trap 'rm -rf "$copy"' EXIT

# finds WHAT FILE LINE...: with the LINE added to the FILE, and so on, the check must say WHAT
finds() {
    what=$1
    shift
    rm -rf "${copy:?}"/*
    cp -R "$top/lib" "$top/include" "$copy" || exit 1
    while [ $# -gt 0 ]; do
        printf '%s\n' "$2" >>"$copy/$1"
        shift 2
    done
    said=$(look "$copy") && { echo "did not see: $what"; exit 1; }
    printf '%s\n' "$said" | grep -q "$what" || { printf 'not "%s" but: %s\n' "$what" "$said"; exit 1; }
}
finds 'lib/span.c:[0-9]*: span -> csb: an arrow up' lib/span.c '#include <mikeyticket/csb.h>'
finds 'io -> crypto: an arrow up' lib/io.h '#  include "crypto.h"'
finds 'a circle: .*payload' lib/payload.c '#include "message.h"' lib/message.c '#include "payload.h"'
finds 'a circle: .*protect' lib/derive.c '#include "protect.h"' lib/protect.c '#include "ticket.h"' lib/ticket.c '#include "derive.h"'
finds 'payload -> crypto: the codec knows no crypto' lib/payload.c '#include "crypto.h"'
finds 'crypto -> payload: crypto knows no wire' lib/crypto.c '#include <mikeyticket/payload.h>'
finds 'derive -> mbedtls/sha1.h: mbedTLS belongs' lib/derive.c '#include <mbedtls/sha1.h>'
finds 'derive -> nettle/sha1.h: mbedTLS belongs' lib/derive.c '#include <nettle/sha1.h>'
finds 'crypto -> nettle/aes.h: mbedTLS belongs' lib/crypto-mbedtls.c '#include <nettle/aes.h>'
finds 'crypto -> mbedtls/aes.h: mbedTLS belongs' lib/crypto.c '#include <mbedtls/aes.h>'
finds 'sdp -> host: sdp stands beside' lib/sdp.c '#include <mikeyticket/host.h>'
finds 'csb -> tls: no layer' lib/csb.c '#include <mikeyticket/tls.h>'
finds 'tls -> csb: tls stands outside' lib/tls.c '#include "csb.h"'
finds 'connection -> crypto: connection stands beside' lib/connection.c '#include "crypto.h"'
finds 'streams -> csb: streams stands outside' lib/streams.c '#include "csb.h"'
finds 'tls -> streams: streams knows tls' lib/tls.c '#include <mikeyticket/streams.h>'
finds 'x509 -> crypto: x509 stands outside' lib/x509.c '#include "crypto.h"'
finds 'x509 -> tls: x509 and tls do not' lib/x509.c '#include <mikeyticket/tls.h>'
finds 'streams -> x509: x509 and tls do not' lib/streams.c '#include <mikeyticket/x509.h>'
