#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs Kamailio with the module of examples/kamailio as an MRFC, with an MRFP and a KMS, against users who call it or are
# called by it, and against what it must refuse. Builds the module, and installs what that needs from Debian's packages.
#
#   tests/mrfc.sh BUILD MRFP KMS INITIATOR RESPONDER SIPTALK HOLDS [CALLS]
#
# BUILD is the build directory of the library. CALLS bad calls, 1000 by default, must leave no memory behind.
set -u
export LC_ALL=C no_proxy=127.0.0.1

case $# in
7 | 8) ;;
*) echo "usage: mrfc.sh BUILD MRFP KMS INITIATOR RESPONDER SIPTALK HOLDS [CALLS]" >&2; exit 2 ;;
esac
tests=$(cd "$(dirname "$0")" && pwd)
program() { echo "$(cd "$(dirname "$1")" && pwd)/${1##*/}"; }
build=$(cd "$1" && pwd)
mrfp=$(program "$2")
kms=$(program "$3")
initiator=$(program "$4")
responder=$(program "$5")
sip=$(program "$6")
holds=$(program "$7")
calls=${8:-1000}
failed=0
mrfp_pid=
kms_pid=
kamailio_pid=
ports=

# A library with gcc's sanitizers: the module has them, too. Kamailio has not, and has memory of its own for most.
preload=$(ldd "$build/libmikeyticket.so" | sed -n 's/^.*libasan.* => \([^ ]*\) .*/\1/p')
if [ -n "$preload" ]; then
    export SANITIZE=address,undefined ASAN_OPTIONS=detect_leaks=0
fi
modules=$build/kamailio
"$tests/../examples/kamailio/build.sh" "$modules" "$build"
case $? in
0) ;;
77)
    echo "skipped: Kamailio or its source can't be had: see above"
    exit 77
    ;;
*) exit 1 ;;
esac

dir=$(mktemp -d) || exit 1
end() {
    for pid in $kamailio_pid $mrfp_pid $kms_pid $ports; do
        kill -CONT "$pid"
        kill "$pid"
        wait "$pid"
    done 2>/dev/null
    rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' HUP INT PIPE TERM
cd "$dir" || exit 1
umask 077
mkfifo there back

key() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
tpk=$(key)
own=$(key)
alice=$(key)
bob=$(key)
mrfc=$(key)
hers=$(key)
cat >users <<END
user alice-1 sip:alice@example.com $alice
user bob-1 sip:bob@example.com $bob
user mrfc-1 sip:mrfc@example.com $mrfc
tpk tpk-1 $tpk
tpk own $own sip:mrfc@example.com
END
cat >keys <<END
user mrfc-1 sip:mrfc@example.com $mrfc
tpk tpk-1 $tpk
tpk own $own sip:mrfc@example.com
tpk alice $hers sip:alice@example.com
END

# expect COMMAND...: complains if the command fails, with what the programs said
expect() {
    "$@" && return
    failed=$((failed + 1))
    echo "$name: not so: $*"
    for file in user.err sip.err; do
        [ ! -s "$file" ] || sed "s/^/    $file: /" "$file"
    done
    tail -n 5 kamailio.log | sed 's/^/    kamailio.log: /'
}
says() { grep -q -e "$1" "$2"; }
# waits_for COMMAND...: until it succeeds, for 30 s at most
waits_for() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || return 1
        sleep 0.05
    done
}
control() { kamcmd -s "unix:$dir/control" "$@" 2>/dev/null; }
# counts CALLS STREAMS: how many there are
counts() { [ "$(control mikeyticket.calls | tr '\n' ' ')" = "$1 $2 " ]; }
logged() { [ "$(grep -c -e "$1" kamailio.log)" = "$2" ]; }
# another_process CALL STEP STEP: two processes made the two steps
process() { sed -n "s/^ *[0-9]*(\([0-9]*\)) .* call $1 $2\$/\1/p" kamailio.log; }
another_process() { [ -n "$(process "$1" "$2")" ] && [ -n "$(process "$1" "$3")" ] && [ "$(process "$1" "$2")" != "$(process "$1" "$3")" ]; }
last_call() { sed -n "s/^.* call \([0-9a-f]*\) is ready\$/\1/p" kamailio.log | tail -n 1; }

# draw_port FILE: a port that stays ours
draw_port() {
    "$sip" port >"$1" &
    ports="$ports $!"
    waits_for [ -s "$1" ]
}

start() {
    name="begin"
    "$mrfp" --socket "$dir/mrfp" >mrfp.log 2>&1 &
    mrfp_pid=$!
    "$kms" --listen 127.0.0.1:0 --users users --rate 100000 >kms.log 2>&1 &
    kms_pid=$!
    expect waits_for says '^mrfp: ready' mrfp.log
    expect waits_for says '^kms: listening on' kms.log
    url=$(sed -n 's/^kms: listening on \([^ ]*\) .*/\1/p' kms.log)
    draw_port port
    draw_port peer
    port=$(cat port)
    peer=$(cat peer)
    MRFC_MODULES=$modules MRFC_SIP=127.0.0.1:$port MRFC_PROXY="sip:127.0.0.1:$peer;transport=tcp" MRFC_KMS=$url \
        MRFC_ID=sip:mrfc@example.com MRFC_KEYS=$dir/keys MRFC_MRFP=$dir/mrfp MRFC_CONTROL=$dir/control \
        LD_PRELOAD=$preload LD_LIBRARY_PATH=$build kamailio -m 64 -DD -E -Y "$dir" \
        -f "$tests/../examples/kamailio/mrfc.cfg" >kamailio.log 2>&1 &
    kamailio_pid=$!
    expect waits_for counts 0 0
}

A="sip:mrfc@example.com sip:alice@example.com sip:mrfc@example.com"
from_kms="--kms URL --psk-id alice-1 --psk $alice"

# talked: waits until the medium of a call has worked, or the call was refused; ends it
talked() {
    waits_for says '^media: \|^refused: ' user.err
    kill "$talk" 2>/dev/null
    wait "$user"
    user=$?
    wait "$talk"
    talk=$?
    waits_for counts 0 0
}

# dial_in NAME udp|tcp "OPTIONS OF THE INITIATOR" PARAMETER "WORDS": a call to the MRFC, until its medium has worked
# shellcheck disable=SC2046,SC2086
dial_in() {
    name=$1
    : >user.err
    : >sip.err
    "$initiator" --to sip:mrfc@example.com --show-keys $(echo "$3" | sed "s|URL|$url|") >there 2>user.err <back &
    user=$!
    "$sip" call "$2" "$port" "sip:mrfc@example.com;$4" sip:alice@example.com sip:mrfc@example.com $5 <there >back 2>sip.err &
    talk=$!
    talked
}

# dial_out NAME "OPTIONS OF THE RESPONDER" PARAMETERS "WORDS": the MRFC calls
# shellcheck disable=SC2086
dial_out() {
    name=$1
    : >user.err
    : >sip.err
    "$responder" --kms "$url" --psk-id bob-1 --psk "$bob" --show-keys $2 <there >back 2>user.err &
    user=$!
    "$sip" wait tcp "$peer" $4 >there <back 2>sip.err &
    talk=$!
    waits_for says '^sip: ready' sip.err
    "$sip" refer udp "$port" "sip:mrfc@example.com;$3" sip:bob@example.com 2>refer.err
    talked
}

good() {
    expect [ "$user" = 0 ]
    expect [ "$talk" = 0 ]
    expect says '^media: ' user.err
    expect says '^sip: BYE' sip.err
    expect counts 0 0
    sed -n 's/^tek: //p' user.err >>teks
}

# offer FILE "OPTIONS OF THE INITIATOR": an offer that nobody has sent yet
# shellcheck disable=SC2046,SC2086
offer() { "$initiator" --to sip:mrfc@example.com $(echo "$2" | sed "s|URL|$url|") >"$1" 2>/dev/null </dev/null; }

# refused NAME STATUS TIMES "LINE OF THE LOG" <DESCRIPTION: so many calls with it are refused, with one line for each
refused() {
    name=$1
    lines=$(grep -c -e "$4" kamailio.log)
    # shellcheck disable=SC2086
    "$sip" call udp "$port" $A "times=$3" >error.sdp 2>sip.err
    expect says "^sip: INVITE $2\$" sip.err
    expect logged "$4" $((lines + $3))
    expect counts 0 0
}

start
[ "$failed" = 0 ] || exit 1

transport=udp
for medium in msrp bfcp; do
    for setup in active passive; do
        dial_in "dial-in, mode 1, $medium, $setup" $transport "$from_kms --media $medium --setup $setup" x=y ""
        good
        expect another_process "$(last_call)" "asks the KMS" answers
        dial_in "dial-in, mode 2, $medium, $setup" $transport "$from_kms --no-fork --media $medium --setup $setup" x=y ""
        good
        dial_out "dial-out, mode 1, $medium, the MRFC is $setup" "--media $medium" "media=$medium;setup=$setup" ""
        good
        expect another_process "$(last_call)" offers "is ready"
        dial_out "dial-out, mode 3, $medium, the MRFC is $setup" "--media $medium" "media=$medium;setup=$setup;ticket=own" ""
        good
        expect another_process "$(last_call)" offers "is ready"
        transport=tcp
    done
    dial_in "dial-in, the MRFC wants to be active, $medium" tcp "$from_kms --media $medium" setup=active ""
    good
    dial_out "dial-out, either end may connect, $medium" "--media $medium --setup active" "media=$medium" ""
    good
done

answers=$(grep -c ' answers$' kamailio.log)
dial_in "the INVITE, the 200 and the ACK come twice" udp "$from_kms" x=y "twice late again replay"
good
expect logged ' answers$' $((answers + 2)) # to the INVITE and the re-INVITE
expect [ "$(grep -c '^sip: INVITE 200$' sip.err)" = 3 ]
expect says '^sip: INVITE 488$' sip.err
expect says 'call [0-9a-f]*: 488: the message was taken or made before$' kamailio.log

dial_in "a re-INVITE overtakes the ACK" udp "$from_kms" x=y "again overtake"
good
expect [ "$(grep -c '^sip: INVITE 200$' sip.err)" = 2 ]

dial_in "an INVITE that a proxy has forked" udp "$from_kms --no-fork" x=y branch
good
expect says '^sip: INVITE 482$' sip.err
dial_out "our own INVITE has no answer yet" "--media msrp" "media=msrp" cross
good
expect says '^sip: INVITE 491$' sip.err
dial_out "the one who is called refuses" "--media bfcp" "media=msrp" refuse
expect counts 0 0

# An answer without a MIKEY message: the MRFC ends the dialog.
name="an answer that is refused"
: >sip.err
printf 'v=0\r\no=b 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 9 TCP/TLS/MSRP *\r\na=setup:active\r\n\r\n' >bare.sdp
# shellcheck disable=SC2094 # the one waits for what the other says
{ cat bare.sdp; waits_for says '^sip: BYE$' sip.err; } | "$sip" wait tcp "$peer" >offer.sdp 2>sip.err &
talk=$!
waits_for says '^sip: ready' sip.err
"$sip" refer udp "$port" "sip:mrfc@example.com;media=msrp" sip:bob@example.com 2>refer.err
wait "$talk"
expect says '^sip: BYE$' sip.err
expect says ': 488: a payload, attribute or media section that must be there is not$' kamailio.log
expect waits_for counts 0 0

sdp() {
    printf 'v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n'
    printf 'm=message 9 TCP/TLS/MSRP *\r\na=setup:active\r\na=path:msrps://127.0.0.1:9/x;tcp\r\na=key-mgmt:mikey %s\r\n' "$1"
}
strangers="--tpk $(key) --setup active"
bad_calls() {
    printf 'v=0\r\nnonsense\r\n' | refused "broken SDP" 488 "$1" ': 488: an SDP description or RTSP header is not of the form'
    refused "no SDP" 488 "$1" ': 488: the INVITE has no description' </dev/null
    sdp 'AQ!' | refused "key-mgmt that does not decode" 488 "$1" ': 488: not base64 by the letter'
    sdp "$(printf '\001\000\000\001\000\000\000\001\001\000\007\001\005\000\001\002\003\004\005\006\007\010' | base64 -w0)" |
        refused "a message of another mode" 488 "$1" ': 488: not the type of message that is expected now: Pre-shared'
    refused "unknown ticket key" 488 "$1" ': 488: Auth failure: an authenticated Error message, Error no 0' <unknown.sdp
    expect says '^a=key-mgmt:mikey ' error.sdp
    refused "wrong ticket key" 488 "$1" ': 488: the MAC of the ticket does not verify' <wrong.sdp
    expect says '^a=key-mgmt:mikey ' error.sdp
    refused "another Initiator than From" 403 "$1" ': 403: the Initiator is not the one of From: sip:eve@example.com' <eve.sdp
}
offer unknown.sdp "$strangers --tpk-id nobody"
offer wrong.sdp "$strangers --tpk-id alice"
offer eve.sdp "--id sip:eve@example.com --tpk $hers --tpk-id alice"

# quiet: no transaction is left, and so what is in use is what was forgotten
quiet() { [ "$(control tm.stats | sed -n 's/^\tcurrent: //p')" = 0 ]; }
used() { control core.shmmem | sed -n 's/^\tused: //p'; }
bad_calls 10
name="memory"
expect waits_for quiet
before=$(used)
bad_calls $((calls / 7))
for i in 1 2 3 4 5 6 7 8; do
    dial_in "dial-in $i" udp "$from_kms" x=y again
    good
    dial_out "dial-out $i" "--media bfcp" "media=bfcp;ticket=own" ""
    good
done
name="memory"
expect waits_for quiet
after=$(used)
# The allocator may give a block that is some octets too large. What is forgotten in each call of a kind is more.
expect [ $((after - before)) -lt "$calls" ]

name="a KMS that does not answer"
offer slow.sdp "$from_kms --setup active"
offer cancelled.sdp "$from_kms --setup active"
kill -STOP "$kms_pid"
refused "$name" 500 1 ': 500: the KMS does not answer: ' <slow.sdp
name="CANCEL while the KMS is asked"
# shellcheck disable=SC2086
"$sip" call udp "$port" $A cancel <cancelled.sdp >error.sdp 2>sip.err
expect says '^sip: INVITE 487$' sip.err
expect waits_for counts 0 0
kill -CONT "$kms_pid"

dial_in "the next call" udp "$from_kms" x=y ""
good

# The keys of the calls are gone from the memory of all processes. That of a ticket is there: so one would be found.
name="keys in memory"
control core.psx | sed -n 's/^\tPID: //p' >pids
echo "$hers" >one
# shellcheck disable=SC2046
[ -n "$preload" ] || "$holds" $(cat pids) <one >held # ASan's own memory is too large to be read
status=$?
if [ -n "$preload" ]; then
    :
elif [ "$status" = 2 ]; then
    echo "keys are not looked for: the memory of Kamailio can't be read"
else
    expect [ -s held ]
    # shellcheck disable=SC2046
    expect [ "$("$holds" $(cat pids) <teks | tee held | wc -l)" = 0 ]
    [ ! -s held ] || cut -c1-300 held
fi

name="end"
kill "$kamailio_pid"
wait "$kamailio_pid"
expect [ $? = 0 ]
kamailio_pid=
expect sh -c '! grep -e AddressSanitizer -e "runtime error" -e ": mikeyticket .*BUG" -e "ERROR: mikeyticket" -e "CRITICAL: mikeyticket" -e "ERROR: <script>" kamailio.log'
echo "mrfc.sh: $failed failed"
[ "$failed" = 0 ]
