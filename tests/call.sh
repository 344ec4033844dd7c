#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs the two example programs against each other in all their ways, and each against what it must refuse.
#
#   tests/call.sh INITIATOR RESPONDER
set -u
export LC_ALL=C

[ $# = 2 ] || { echo "usage: call.sh INITIATOR RESPONDER" >&2; exit 2; }
initiator=$(cd "$(dirname "$1")" && pwd)/${1##*/}
responder=$(cd "$(dirname "$2")" && pwd)/${2##*/}
tpk=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
other=100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
failed=0

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
mkfifo back

# expect COMMAND...: complains where the command fails, with what the programs said
expect() {
    "$@" && return
    failed=$((failed + 1))
    echo "$name: not so: $*"
    for file in i.err r.err offer answer; do
        [ ! -s "$file" ] || sed "s/^/    $file: /" "$file"
    done
}

# in_sdp FILE LINE: whether a description has that line; line NAME FILE: the value of a line `NAME: value`
in_sdp() { tr -d '\r' <"$1" | grep -q -x -e "$2"; }
not_in_sdp() { ! in_sdp "$@"; }
line() { sed -n "s/^$1: //p" "$2"; }
both() { [ -n "$(line "$1" i.err)" ] && [ "$(line "$1" i.err)" = "$(line "$1" r.err)" ]; }
says() { grep -q -e "$1" "$2"; }
status() { [ "$(cat "$1.status")" = "$2" ]; }

# run NAME "OPTIONS OF THE INITIATOR" "OPTIONS OF THE RESPONDER"
# shellcheck disable=SC2094 # back is a FIFO
run() {
    name=$1
    # shellcheck disable=SC2086
    { "$initiator" --tpk $tpk --show-keys --message "from Alice" $2 2>i.err <back; echo $? >i.status; } | tee offer |
        { "$responder" --tpk $tpk --show-keys --message "from Bob" $3 2>r.err; echo $? >r.status; } | tee answer >back
}

# call ...: the same, and it must succeed
call() {
    run "$@"
    expect status i 0
    expect status r 0
    expect both tek
    expect both psk-identity
    expect both tls
}

# a side that is to be active has port 9, any other a real one
port() {
    case $2 in
    active) expect in_sdp "$1" "m=$3 9 $4 \*" ;;
    *) expect in_sdp "$1" "m=$3 [1-9][0-9]\{3,4\} $4 \*" ;;
    esac
    expect in_sdp "$1" "a=setup:$2"
}

# roles NAME OFFER ANSWER OPTIONS...: a=setup in the two descriptions, and what comes of it with both media
roles() {
    call "msrp $1" "--setup $2 $4" "$5"
    port offer "$2" message TCP/TLS/MSRP
    port answer "$3" message TCP/TLS/MSRP
    expect in_sdp offer 'a=path:msrps://127.0.0.1:[0-9]*/[0-9a-f]*;tcp'
    expect in_sdp answer 'a=accept-types:text/plain'
    expect in_sdp answer 'a=key-mgmt:mikey [A-Za-z0-9+/]*=*'
    expect not_in_sdp offer 'a=connection:.*'
    case $3 in
    active) expect says '^media: MSRP SEND from Bob$' i.err && expect says '^media: MSRP 200 OK$' r.err ;;
    passive) expect says '^media: MSRP SEND from Alice$' r.err && expect says '^media: MSRP 200 OK$' i.err ;;
    esac

    call "bfcp $1" "--media bfcp --setup $2 $4" "--media bfcp $5"
    port offer "$2" application TCP/TLS/BFCP
    port answer "$3" application TCP/TLS/BFCP
    expect in_sdp offer 'a=floorctrl:c-only'
    expect in_sdp offer 'a=connection:new'
    expect in_sdp offer 'a=bfcpver:1'
    expect in_sdp answer 'a=floorctrl:s-only'
    expect in_sdp answer 'a=confid:[0-9]*'
    expect in_sdp answer 'a=userid:[0-9]*'
    expect in_sdp answer 'a=floorid:[0-9]*'
    expect says '^media: BFCP HelloAck$' i.err
    expect says '^media: BFCP Hello$' r.err
}

length() { [ "$(line tek i.err | wc -c)" = $((2 * $1 + 1)) ]; }

for suite in 256 128; do
    roles "actpass, suite $suite" actpass passive "--suite $suite" ""
    expect length $((suite / 8))
    roles "actpass, active, suite $suite" actpass active "--suite $suite" "--setup active"
    roles "actpass, passive, suite $suite" actpass passive "--suite $suite" "--setup passive"
    roles "active, suite $suite" active passive "--suite $suite" ""
    roles "passive, suite $suite" passive active "--suite $suite" ""
done
roles "legacy" actpass passive --legacy --legacy
expect says '^tls: TLSv1.2 TLS-' i.err
roles "legacy and modern" actpass active --legacy "--setup active"
roles "other names" actpass passive "--id sip:carol@example.com --to sip:dave@example.com" "--id sip:dave@example.com"

call "no TRANSFER_RESP" "--flags HLNO" ""
expect in_sdp offer 'a=key-mgmt:mikey .*'
expect not_in_sdp answer 'a=key-mgmt:.*'
call "no TRANSFER_RESP, bfcp" "--flags HLNO --media bfcp --suite 128" "--media bfcp"

rm -f ticket
call "a ticket that is kept" "--ticket ticket" ""
call "and used again" "--ticket ticket" ""
rm -f ticket

# Descriptions end with an empty line, and all lines with CRLF.
sdp_lines() {
    [ "$(grep -c -v "$(printf '\r$')" "$1")" = 0 ] && [ "$(tail -c 4 "$1" | od -An -tx1)" = " 0d 0a 0d 0a" ]
}
expect sdp_lines offer
expect sdp_lines answer

# An answer without a=setup is passive: RFC 4145 section 4.
without_setup() {
    name="an answer without a=setup"
    { "$initiator" --tpk $tpk --message "from Alice" 2>i.err <back; echo $? >i.status; } |
        { "$responder" --tpk $tpk 2>r.err; echo $? >r.status; } | sed -u '/^a=setup/d' >back
    expect status i 0
    expect status r 0
    expect says '^media: MSRP SEND from Alice$' r.err
}
without_setup

# refused NAME SED OPTIONS...: the responder refuses an offer that sed has changed, and answers nothing
refused() {
    name=$1
    script=$2
    shift 2
    "$initiator" --tpk $tpk "$@" </dev/null 2>/dev/null | sed "$script" >offer
    "$responder" --tpk $tpk "$@" <offer >answer 2>r.err
    echo $? >r.status
    expect status r 1
    expect test ! -s answer
    expect says '^refused: MKT_E_[A-Z_0-9]* .' r.err
}
refused "an offer that holds the connection" 's/^a=setup:.*/a=setup:holdconn/' --media bfcp
refused "an offer of two streams" '/^a=key-mgmt/a m=audio 9 RTP/AVP 0' --media msrp
refused "an offer without MIKEY" '/^a=key-mgmt/d' --media msrp
refused "an offer of another medium" 's/^m=message/m=audio/' --media msrp

# What the initiator writes, other programs read: dump, where it is beside it.
if [ -x "$(dirname "$initiator")/dump" ]; then
    name="dump of an offer"
    "$initiator" --tpk $tpk </dev/null 2>/dev/null | "$(dirname "$initiator")/dump" --tpk $tpk >dumped 2>&1
    expect says '^TRANSFER_INIT: its MAC verifies$' dumped
fi

# refuse NAME ERROR "OPTIONS OF THE RESPONDER": the responder refuses the offer and answers nothing
refuse() {
    name=$1
    : >answer
    # shellcheck disable=SC2086
    "$responder" $3 <offer >answer 2>r.err
    echo $? >r.status
    expect status r 1
    expect says "^refused: $2" r.err
    expect [ ! -s answer ]
}

# offer OPTIONS...: an initiator that gets no answer
offer() {
    "$initiator" --tpk $tpk "$@" >offer 2>i.err </dev/null
    echo $? >i.status
    expect status i 1
    expect says '^refused: ' i.err
}

name=offer
offer
refuse "wrong key" 'MKT_E_TICKET_MAC [a-zA-Z]' "--tpk $other"
refuse "wrong responder" 'MKT_E_RESPONDER [a-zA-Z]' "--tpk $tpk --id sip:eve@example.com"
refuse "wrong medium" . "--tpk $tpk --media bfcp"
offer --fork
refuse "a ticket that a KMS must resolve" MKT_E_RESOLVE "--tpk $tpk"
offer
sed 's/^a=key-mgmt:mikey ...../&A/' offer >changed && mv changed offer
refuse "changed message" MKT_E_ "--tpk $tpk"
grep -v '^a=key-mgmt' offer >changed && mv changed offer
refuse "no message" MKT_E_MISSING "--tpk $tpk"
offer --setup active
refuse "both active" MKT_E_ROLE "--tpk $tpk --setup active"
run "flags that contradict each other" "--flags GLNO" ""
expect status i 1
expect status r 1
expect says '^at fault: F, as G is set$' i.err
expect says '^refused: MKT_E_FLAGS' i.err
expect [ ! -s offer ]
expect [ ! -s answer ]

# An answer that was changed on its way: the initiator starts no TLS, and the responder gets no connection.
name="changed answer"
# shellcheck disable=SC2094
{ "$initiator" --tpk $tpk --setup active 2>i.err <back; echo $? >i.status; } | tee offer |
    { "$responder" --tpk $tpk 2>r.err; echo $? >r.status; } | sed -u 's/^\(a=key-mgmt:mikey .\{40\}\)\(.\)/\1A\2/' |
    tee answer >back &
changed=$!

# What does not come within 10 s.
{ sleep 15 | { "$initiator" --tpk $tpk 2>late.err >/dev/null; echo $? >late.status; }; } &
late=$!
wait $changed
expect status i 1
expect status r 1
expect says '^refused: ' i.err
expect says '^refused: ' r.err
wait $late
name="no answer"
expect status late 1
expect says '^refused: ' late.err

# usage PROGRAM OPTIONS...: one line, and exit status 2
usage() {
    name="usage: $*"
    "$@" >answer 2>r.err </dev/null
    echo $? >r.status
    expect status r 2
    expect [ "$(wc -l <r.err)" = 1 ]
    expect [ ! -s answer ]
}

usage "$initiator"
usage "$responder"
for program in "$initiator" "$responder"; do
    usage "$program" --tpk
    usage "$program" --tpk 00
    usage "$program" --tpk "${tpk}0"
    usage "$program" --tpk "${tpk%?}g"
    usage "$program" --tpk "$tpk$tpk$tpk"
    usage "$program" --tpk $tpk --media rtp
    usage "$program" --tpk $tpk --setup holdconn
    usage "$program" --tpk $tpk --what
    usage "$program" --tpk $tpk more
    usage "$program" --tpk $tpk --id ""
done
usage "$initiator" --tpk $tpk --suite 192
usage "$initiator" --tpk $tpk --flags FX
usage "$responder" --tpk $tpk --setup actpass
usage "$responder" --tpk $tpk --suite 128
usage "$responder" --tpk $tpk --to sip:alice@example.com

[ $failed = 0 ]
