#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Calls between the user agents of examples/sip, with the example KMS, directly and through Kamailio: basic calls, the
# second offers of a dialog, forked calls, refused calls, bad messages, and many calls.
#
#   tests/sip.sh AGENT KMS KAMAILIO.CFG
#   CALLS=500 BAD=1000    how many calls of the last two are made
# shellcheck disable=SC2086 # options are words
set -u
export LC_ALL=C

[ $# = 3 ] || { echo "usage: sip.sh AGENT KMS KAMAILIO.CFG" >&2; exit 2; }
for tool in kamailio python3; do
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null || { echo "skipped: there is no $tool"; exit 77; }
done
PATH=$PATH:/usr/sbin
here=$(cd "$(dirname "$0")" && pwd)
agent=$(cd "$(dirname "$1")" && pwd)/${1##*/}
kms=$(cd "$(dirname "$2")" && pwd)/${2##*/}
cfg=$(cd "$(dirname "$3")" && pwd)/${3##*/}
failed=0
name=begin
pids=

# Sofia-SIP does not free the last event of a program
export LSAN_OPTIONS=suppressions=$here/sip.supp:print_suppressions=0
umask 077
dir=$(mktemp -d) || exit 1
trap '[ -z "$pids" ] || kill $pids 2>/dev/null; wait; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1

# ---- agents: each has a FIFO for its commands and a file of events ----

# fault TEXT...: counts, and shows what the agents said
fault() {
    failed=$((failed + 1))
    echo "$name: not so: $*"
    for log in alice bob server kms kamailio; do
        [ ! -s $log.log ] || tail -n 15 $log.log | sed "s/^/    $log: /"
    done
}

# begin NAME OPTION...: starts an agent, and waits until it listens and all its registrations are there
begin() {
    who=$1
    shift
    rm -f "$who.in" "$who.log"
    mkfifo "$who.in"
    "$agent" --show-keys --t1x64 2000 --users "$who.users" "$@" <"$who.in" >"$who.log" 2>&1 &
    eval "pid_$who=$!"
    pids="$pids $!"
    eval "at_$who=0"
    case $who in
    alice) exec 3>alice.in ;;
    bob) exec 4>bob.in ;;
    server) exec 5>server.in ;;
    esac
    tell "$who" status
    see "$who" 'listens on'
    case $* in *--register*) see "$who" 'registered: 200' ;; esac
    tell "$who" status
    see "$who" '^status'
}

# end NAME...: quits agents; each must end with status 0
end() {
    for who; do
        tell "$who" quit
        case $who in
        alice) exec 3>&- ;;
        bob) exec 4>&- ;;
        server) exec 5>&- ;;
        esac
        eval "wait \$pid_$who" || fault "$who ends with status 0"
    done
}

# tell NAME COMMAND...
tell() {
    to=$1
    shift
    case $to in
    alice) echo "$*" >&3 ;;
    bob) echo "$*" >&4 ;;
    server) echo "$*" >&5 ;;
    esac
}

# see NAME REGEX [SECONDS]: waits for a line that comes after the last one that was seen
see() {
    at=0
    eval "at=\$at_$1"
    waits=$((10 * ${3:-30}))
    while :; do
        found=$(tail -n +$((at + 1)) "$1.log" 2>/dev/null | grep -n -m 1 -e "$2") && break
        waits=$((waits - 1))
        [ $waits -gt 0 ] || { fault "$1 says $2"; exit 1; }
        sleep 0.1
    done
    eval "at_$1=$((at + ${found%%:*}))"
    seen=${found#*:}
}

# all NAME REGEX: how many lines of an agent are so
all() { grep -c -e "$2" "$1.log"; }

# check COMMAND...
check() { "$@" || fault "$*"; }

# is WHAT GOT WANTED
is() { [ "$2" = "$3" ] || fault "$1 is $3, but it is $2"; }

# idle NAME...: no call, stream or connection is left
idle() {
    for who; do
        tell "$who" status
        see "$who" '^status'
        is "what $who has" "${seen%,*}" "status: 0 calls, 0 streams, 0 connections"
    done
}

# talk FROM TO TEXT: a message arrives
talk() {
    tell "$1" send "$3"
    see "$2" "received: $3\$"
    see "$1" delivered
}

# exchange OFFERER ANSWERER ACTION KEY: both ends keep what an exchange came to, with the same key. One end connects if
# the other listens. The key is $tek afterwards
exchange() {
    case $3 in
    connect) other=listen ;;
    listen) other=connect ;;
    *) other=$3 ;;
    esac
    see "$1" "exchange: $3, key $4," && one=$seen
    see "$2" "exchange: $other, key $4," && two=$seen
    is "the key of both" "${two##*psk-identity}" "${one##*psk-identity}"
    tek=${one##*tek }
    is "the length of the key" ${#tek} 64
}

# connected A B
connected() {
    see "$1" 'connected: TLSv1'
    see "$2" 'connected: TLSv1'
}

# call URI FROM TO [ACTION]: a call that is accepted; FROM connects, if not told otherwise
call() {
    tell "$2" call "$1"
    see "$3" '<- INVITE'
    invite=$seen
    see "$3" '-> 180'
    see "$2" '<- 180'
    tell "$3" accept
    see "$2" '<- 200'
    exchange "$2" "$3" "${4:-connect}" new
    connected "$2" "$3"
    talk "$2" "$3" "hello from $2"
    talk "$3" "$2" "hello from $3"
}

# hang FROM TO
hang() {
    tell "$1" bye
    see "$2" '<- BYE'
    see "$1" 'ended: '
    see "$2" 'ended: '
    idle "$1" "$2"
}

# ---- the network ----

key() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

a=$(key)
b=$(key)
c=$(key)
t=$(key)
# the users share the key "ours", and the KMS has one of its own
{ echo "user alice-1 sip:alice@example.com $a"; echo "tpk ours $t"; } >alice.users
{ echo "user bob-1 sip:bob@example.com $b sip:team@example.com"; echo "tpk ours $t"; } >bob.users
{ echo "user carol-1 sip:carol@example.com $c sip:team@example.com"; cat bob.users; } >server.users
{ echo "tpk tpk-1 $(key)"; grep -h user alice.users server.users; } >kms.users

"$kms" --listen 127.0.0.1:0 --users kms.users --rate 1000000 --remember 2000000 >kms.log 2>&1 &
pids="$pids $!"
tries=100
until url=$(sed -n 's/^kms: listening on \([^ ]*\) .*/\1/p' kms.log) && [ -n "$url" ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { fault "the KMS listens"; exit 1; }
    sleep 0.1
done

# Kamailio takes no port 0: draws ports until one is free
mkdir run
tries=20
while :; do
    port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 40000))
    rm -f run/pid
    kamailio -f "$cfg" -A "PORT=$port" -DD -E -m 64 -M 8 -Y "$dir/run" -P "$dir/run/pid" >kamailio.log 2>&1 &
    kamailio=$!
    wait=100
    while kill -0 $kamailio 2>/dev/null && [ ! -s run/pid ] && [ $wait -gt 0 ]; do
        wait=$((wait - 1))
        sleep 0.1
    done
    kill -0 $kamailio 2>/dev/null && break
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { fault "Kamailio starts"; exit 1; }
done
pids="$pids $kamailio"
via="--kms $url --proxy sip:127.0.0.1:$port --register"

# The port of an agent's first device.
port_of() { sed -n 's/.* listens on sip:127.0.0.1:\([0-9]*\)$/\1/p' "$1.log" | sed -n 1p; }

# ---- the tests ----

name="basic call, directly, by UDP"
begin bob
begin alice --proxy "sip:127.0.0.1:$(port_of bob)"
call sip:bob@example.com alice bob
case $invite in *"by SIP/2.0/UDP"*"TRANSFER_INIT"*) ;; *) fault "the INVITE comes by UDP" ;; esac
hang alice bob
end alice bob

name="basic call, directly, the answerer connects"
begin bob --setup active
begin alice --proxy "sip:127.0.0.1:$(port_of bob)"
call sip:bob@example.com alice bob listen
hang bob alice
end alice bob

name="the ticket has an unknown key"
cp alice.users alice.kept
sed 's/ours/other/' alice.kept >alice.users
begin bob
begin alice --proxy "sip:127.0.0.1:$(port_of bob)"
tell alice call sip:bob@example.com
see bob 'failed: MKT_E_NO_KEY '
see bob '-> 488 .* Error, '
see alice '<- 488 .* Error, '
see alice 'error message: 0 Auth failure, not authenticated'
see alice 'ended: 488'
idle alice bob
end alice

name="the ticket has a wrong key"
sed "s/$t/$(key)/" alice.kept >alice.users
begin alice --proxy "sip:127.0.0.1:$(port_of bob)"
tell alice call sip:bob@example.com
see bob 'failed: MKT_E_TICKET_MAC '
see alice '<- 488 .* Error, '
see alice 'error message: 0 Auth failure, not authenticated'
see alice 'ended: 488'
idle alice bob
end alice bob
cp alice.kept alice.users

name="basic call through Kamailio, by TCP"
begin bob $via
begin alice $via --member sip:bob@example.com --member sip:carol@example.com
call sip:bob@example.com alice bob
case $invite in *"by SIP/2.0/TCP"*"TRANSFER_INIT"*) ;; *) fault "an INVITE of over 1,300 octets comes by TCP" ;; esac

# ---- second offers; the key before is $old ----

# again NAME OFFERER ANSWERER WORDS ACTION KEY: a re-INVITE, and a message each way
again() {
    name="second offer: $1"
    old=$tek
    tell "$2" reinvite "$4"
    see "$2" '-> INVITE'
    offered=$seen
    exchange "$2" "$3" "$5" "$6"
    case $6 in
    new) [ "$tek" != "$old" ] || fault "the key is a new one" ;;
    *) is "the key" "$tek" "$old" ;;
    esac
    [ "$5" != connect ] || connected "$2" "$3"
    talk "$2" "$3" "after $1, from $2"
    talk "$3" "$2" "after $1, from $3"
}

again refresh alice bob "" keep same
again update alice bob rekey keep new
again "update with new path" alice bob "rekey move" connect new
again "update by the answerer" bob alice rekey keep new
again "refresh by the answerer" bob alice "" keep same
again "without key-mgmt" alice bob plain keep none
check [ "${offered##*-> INVITE}" = "" ]
again "refresh after it" alice bob "" keep same

name="second offer: update refused by 491 and given up"
tell bob refuse 491
tell bob status
see bob '^status'
tell alice reinvite rekey
see bob '-> 491'
see alice '<- 491'
talk alice bob "after 491"
again "refresh after 491" alice bob "" keep same
again "update again" alice bob rekey keep new
again replace alice bob "renew move" connect new
again "new path with the old key" alice bob move connect same
again "update by the answerer after that" bob alice "rekey move" connect new
name="the call ends"
hang bob alice

name="decline"
tell alice call sip:bob@example.com
see bob '-> 180'
tell bob reject
see bob '-> 603 Decline Error'
see alice '<- 603 Decline Error'
see alice 'error message: 12 Unspecified error, authenticated'
see alice 'ended: 603'
see bob 'ended: 603'
idle alice bob

name="cancel"
tell alice call sip:bob@example.com
see bob '-> 180'
see alice '<- 180'
tell alice cancel
see bob '<- CANCEL'
see alice 'ended: 487'
see bob 'ended: 487'
idle alice bob
call sip:bob@example.com alice bob
hang alice bob
end bob alice

# ---- forked calls ----

# forked NAME URI FIRST SECOND: two devices of one process ring, and the one that was called with that name answers
forked() {
    name=$1
    tell alice call "$2"
    see alice '<- 183'
    see alice 'branch, psk-identity' && one=$seen
    see alice '<- 183'
    see alice 'branch, psk-identity' && two=$seen
    [ "${one##*psk-identity}" != "${two##*psk-identity}" ] || fault "each branch has a key of its own"
    number=$(sed -n "s/^\([0-9]*\): call for $3\$/\1/p" server.log | tail -n 1)
    loser=$(sed -n "s/^\([0-9]*\): call for $4\$/\1/p" server.log | tail -n 1)
    eval at_server="$(wc -l <server.log)"
    tell server "@$number accept"
    exchange alice server connect new
    case "$one $two" in *"$tek"*) ;; *) fault "the key is that of a branch" ;; esac
    check grep -q "^$loser: ended: 487" server.log
    connected alice server
    tell alice send "to $3"
    see server "^$number: received: to $3"
    hang alice server
}

begin server $via --early
begin alice $via --member sip:bob@example.com --member sip:carol@example.com
forked "forked to two users, the first answers" sip:team@example.com bob-phone carol-phone
forked "forked to two users, the second answers" sip:team@example.com carol-phone bob-phone
end server
name="two devices of one user"
cp bob.users server.users
begin server $via --early --device desk --device cell
forked "forked to two devices of one user, the first answers" sip:bob@example.com bob-desk bob-cell
forked "forked to two devices of one user, the second answers" sip:bob@example.com bob-cell bob-desk
end server alice

# helper NAME ARGUMENT...: starts an end of sip.py, whose port is the first line of NAME.log
helper() {
    log=$1.log
    shift
    rm -f "$log"
    python3 "$here/sip.py" "$@" >"$log" &
    pids="$pids $!"
    tries=100
    until [ -s "$log" ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { fault "sip.py $1 starts"; exit 1; }
        sleep 0.1
    done
    helped=$(sed -n 1p "$log")
}

name="two branches send a 200 at once, with an answer that is none"
helper twice twice
begin alice --proxy "sip:127.0.0.1:$helped" --udp-mtu 60000
tell alice call sip:bob@example.com
see alice 'failed: MKT_E_ROLE'
see alice 'ended: '
eval at_twice=0
see twice 'BYE'
see twice 'BYE'
is "what both branches get" "$(sed 1d twice.log | sort | tr '\n' ' ')" "ACK a ACK b BYE a BYE b "
idle alice
end alice

# ---- messages that are lost, come twice, or cross each other: RFC 3261 13, 14, 17 ----

# through NAME RULE...: Alice calls Bob through a relay
through() {
    name=$1
    shift
    begin bob
    helper relay relay "$(port_of bob)" "$@"
    begin alice --proxy "sip:127.0.0.1:$helped" --udp-mtu 60000
}

# passed KIND: how many of a kind came to the relay
passed() { all relay "^$1\$"; }

# once WHAT: both ends have kept as many exchanges, with the same keys in the same order
once() {
    is "keys of Alice after $1" "$(sed -n 's/.*exchange: .*, tek //p' alice.log)" \
        "$(sed -n 's/.*exchange: .*, tek //p' bob.log)"
    is "exchanges of Alice after $1" "$(all alice 'exchange: ')" "$2"
}

through "all messages come twice" twice
call sip:bob@example.com alice bob
again "update, twice" alice bob rekey keep new
again "update by the answerer, twice" bob alice rekey keep new
again "new path, twice" alice bob "rekey move" connect new
once "messages that came twice" 4
hang alice bob
end alice bob

through "lost messages" drop:INVITE:1 drop:200:1 drop:ACK:1 drop:re-INVITE:1
tell alice call sip:bob@example.com
see bob '-> 180'
tell bob accept
see bob 'connected: TLSv1' # before the ACK is there
see bob 'exchange: listen, key new,'
see alice 'connected: TLSv1'
tek=$(sed -n 's/.*exchange: .*, tek //p' alice.log)
again "update, lost at first" alice bob rekey keep new
once "lost messages" 2
check [ "$(passed 200)" -ge 4 ]
check [ "$(passed ACK)" -ge 3 ]
hang alice bob
end alice bob

through "the ACK never comes" drop:ACK:1000
tell alice call sip:bob@example.com
see bob '-> 180'
tell bob accept
see alice 'exchange: connect, key new,'
see alice '<- BYE'
see bob 'ended: '
see alice 'ended: '
is "exchanges of Bob" "$(all bob 'exchange: ')" 0
idle alice bob
end alice bob

through "re-INVITEs cross each other" cross
call sip:bob@example.com alice bob
old=$tek
tell alice reinvite rekey
tell bob reinvite rekey
see alice '<- 491'
see bob '<- 491'
talk alice bob "after glare, from alice"
talk bob alice "after glare, from bob"
again "refresh after glare" alice bob "" keep same
again "update after glare" alice bob rekey keep new
again "update by the answerer after glare" bob alice rekey keep new
once "glare" 4
hang bob alice
end alice bob

through "re-INVITEs get no answer" drop:re-INVITE:1000
call sip:bob@example.com alice bob
tell alice reinvite rekey
see alice '<- 408'
see alice 'ended: 408' # RFC 5057: and the dialog with it
see bob 'stream ended: closed'
tell bob bye
see bob 'ended: 481'
idle alice bob
end alice bob

# ---- bad messages ----

name="bad messages"
begin bob $via --accept
helper capture capture once
begin alice --kms "$url" --proxy "sip:127.0.0.1:$helped" --udp-mtu 60000
tell alice call sip:bob@example.com
see alice 'ended: 486'
end alice
mv once good
sed 's/ours/other/' alice.kept >alice.users
begin alice --proxy "sip:127.0.0.1:$helped" --udp-mtu 60000
tell alice call sip:bob@example.com
see alice 'ended: 486'
end alice
mv once other
cp alice.kept alice.users
bad=${BAD:-1000}
kinds="none sdp nokey base64 short mode mac file=other path same"
# the first is refused for its second section after its message was taken, so that the others are replays
python3 "$here/sip.py" send "$(port_of bob)" good bob@example.com 1 sections >first.log || fault "the first bad call is answered"
is "the answer to the first" "$(cat first.log)" "488: 1, mikey: 1"
python3 "$here/sip.py" send "$(port_of bob)" good bob@example.com "$bad" $kinds >bad.log || fault "bad calls are answered"
# none, sdp and nokey have no message, base64 does not decode; a bad a=path is refused before the message is looked at
is "the answers to $bad bad calls" "$(cat bad.log)" "488: $bad, mikey: $((bad * 5 / 10))"
for why in MISSING SDP BASE64 TRUNCATED DATA_TYPE INITIATOR_MAC REPORTED REPLAY; do
    [ "$(all bob "failed: MKT_E_$why")" -ge $((bad / 10)) ] || fault "$((bad / 10)) calls fail with MKT_E_$why"
done
is "lines about failures" "$(all bob 'failed: ')" $((bad + 1))
begin alice $via
tell alice call sip:bob@example.com
exchange alice bob connect new
connected alice bob
talk alice bob "after all that"
hang alice bob
end bob

name="the KMS does not answer"
helper silent silent
begin bob --kms "http://127.0.0.1:$helped" --proxy "sip:127.0.0.1:$port" --register
tell alice call sip:bob@example.com
see bob '-> kms RESOLVE_INIT'
see bob 'failed: the KMS does not answer'
see bob '-> 500'
see alice 'ended: 500'
idle alice bob
end bob alice

# ---- many calls ----

name="many calls"
calls=${CALLS:-500}
begin bob $via --accept
begin alice $via --talk "hello"

# memory NAME: the octets of its heap, in $octets; 0 if this build does not count them
memory() {
    tell "$1" status
    see "$1" '^status'
    octets=${seen##*, }
    octets=${octets% octets}
}

# settled MOST: waits until Alice has no more memory than that, in $octets, and it does not change any more. Sofia-SIP
# keeps each INVITE for 32 s (RFC 3261 17.1.1.2, timer D)
settled() {
    polls=60
    last=
    memory alice
    while [ "$octets" -gt "$1" ] || [ "$octets" != "$last" ]; do
        polls=$((polls - 1))
        [ $polls -gt 0 ] || { fault "the memory of Alice does not grow: at most $1 octets, but $octets"; break; }
        sleep 1
        last=$octets
        memory alice
    done
}

# many N: so many calls, 20 a second, and all of them end
many() {
    i=0
    while [ $i -lt "$1" ]; do
        tell alice call sip:bob@example.com
        i=$((i + 1))
        sleep 0.05
    done
    made=$((made + $1))
    tries=600
    while [ "$(all alice 'ended: 200')" -lt $made ] || [ "$(all bob 'ended: 200')" -lt $made ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { fault "$made calls end"; break; }
        sleep 0.1
    done
}
made=0
tables=65536 # octets that Sofia-SIP's tables of transactions may grow by
memory alice
first=$octets
many 100
settled $((first + 100 * 4096))
before_alice=$octets
memory bob
before_bob=$octets
many $((calls - 100))
settled $((before_alice + tables))
echo "octets of Alice after 100 calls: $before_alice, after $calls: $octets"
memory bob
echo "octets of Bob after 100 calls: $before_bob, after $calls: $octets"
[ "$octets" -le $((before_bob + tables)) ] || fault "the memory of Bob does not grow"
is "calls with messages" "$(all bob 'received: hello')" "$calls"
is "keys of Alice" "$(sed -n 's/.*exchange: .*, tek //p' alice.log | sort -u | wc -l)" "$calls"
is "keys of Bob" "$(sed -n 's/.*exchange: .*, tek //p' bob.log | sort)" "$(sed -n 's/.*exchange: .*, tek //p' alice.log | sort)"
eval "at_alice=$(wc -l <alice.log) at_bob=$(wc -l <bob.log)"
idle alice bob
end alice bob

[ $failed = 0 ] || echo "$failed failed"
[ $failed = 0 ]
