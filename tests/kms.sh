#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs the KMS against Initiators and Responders in all modes of RFC 6043, against what it must refuse, and under load.
#
#   tests/kms.sh KMS INITIATOR RESPONDER LOAD [CALLS [CERTIFICATES]]
#
# With 10000 CALLS or more (the default) the memory of the KMS is looked at, too; give fewer to a build with sanitizers.
# CERTIFICATES is examples/certificates.sh. Needs curl(1), and for calls by public key openssl(1) and perl(1).
set -u
export LC_ALL=C no_proxy=127.0.0.1
umask 077

case $# in
4 | 5 | 6) ;;
*) echo "usage: kms.sh KMS INITIATOR RESPONDER LOAD [CALLS [CERTIFICATES]]" >&2; exit 2 ;;
esac
command -v curl >/dev/null || { echo "kms.sh: no curl: install it" >&2; exit 77; }
program() { echo "$(cd "$(dirname "$1")" && pwd)/${1##*/}"; }
kms=$(program "$1")
initiator=$(program "$2")
responder=$(program "$3")
load=$(program "$4")
calls=${5:-10000}
make_certificates=$(program "${6:-$(dirname "$0")/../examples/certificates.sh}")
failed=0
told=
running=

dir=$(mktemp -d) || exit 1
trap '[ -z "$running" ] || kill -9 "$running"; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cd "$dir" || exit 1
mkfifo back

tpk=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
shared=f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
alice=a00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
bob=b00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
carol=c00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
eve=e00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
cat >users <<END
# the KMS of the tests
user alice-1 sip:alice@example.com $alice

user bob-1 sip:bob@example.com $bob sip:helpdesk@example.com sip:staff@example.com # two groups
user carol-1 sip:carol@example.com $carol sip:staff@example.com
  user eve-1	sip:eve@example.com $eve
tpk tpk-1 $tpk
tpk alice-and-kms $shared sip:alice@example.com
END

# expect COMMAND...: complains where the command fails, with what the programs said
expect() {
    "$@" && return
    failed=$((failed + 1))
    echo "$name: not so: $*"
    [ "$name" != "$told" ] || return
    told=$name
    for file in i.err r.err load.err curl.err body; do
        [ ! -s "$file" ] || tr -cd '\n[:print:]' <"$file" | sed "s/^/    $file: /" | cut -c 1-200
    done
    tail -n 3 kms.log | sed "s/^/    /"
}

says() { grep -q -e "$1" "$2"; }
silent() { ! grep -q -e "$1" "$2"; }
status() { [ "$(cat "$1.status")" = "$2" ]; }
line() { sed -n "s/^$1: //p" "$2"; }
both() { [ -n "$(line "$1" i.err)" ] && [ "$(line "$1" i.err)" = "$(line "$1" r.err)" ]; }

# start PORT OPTIONS...: a KMS, which lets a user ask as often as he likes; $url is then where it is
start() {
    port=$1
    shift
    : >kms.log
    # One arena: how many more the C library makes for threads depends on how busy the machine is.
    MALLOC_ARENA_MAX=1 "$kms" --listen "127.0.0.1:$port" --users users --rate 999999999 "$@" >kms.log 2>kms.err &
    running=$!
    url=
    while [ -z "$url" ]; do
        kill -0 "$running" 2>/dev/null || { echo "the KMS does not start:"; cat kms.log kms.err; exit 1; }
        sleep 0.05
        url=$(sed -n 's/^kms: listening on \(http:[^ ]*\) as .*/\1/p' kms.log)
    done
    port=${url##*:}
}

# stop SIGNAL: and the exit status of the KMS
stop() {
    kill -s "$1" "$running"
    wait "$running" 2>/dev/null
    code=$?
    running=
}

# options WORDS: --as-alice and --as-bob mean a KMS and a key, --by NAME a KMS and a certificate
options() {
    echo " $1" | sed -e "s|--as-alice|--kms $url --psk-id alice-1 --psk $alice|" \
        -e "s|--as-bob|--kms $url --psk-id bob-1 --psk $bob|" \
        -e "s|--by \([^ ]*\)|--kms $url --ca c/ca.pem --kms-cert c/kms.pem --cert \1.pem --key \1.key|"
}

# run NAME "OPTIONS OF THE INITIATOR" "OPTIONS OF THE RESPONDER"
# shellcheck disable=SC2086,SC2094 # options are words; back is a FIFO
run() {
    name=$1
    i=$(options "$2")
    r=$(options "$3")
    : >kms.log
    { "$initiator" --show-keys $i 2>i.err <back; echo $? >i.status; } | tee offer |
        { "$responder" --show-keys $r 2>r.err; echo $? >r.status; } | tee answer >back
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

# asked REQUESTS RESOLVES: how often the KMS was, and each time it granted that
granted='^kms: ticketrequest from sip:alice@example.com: ticket for sip:'
resolved='^kms: ticketresolve from sip:bob@example.com: ticket of sip:alice@example.com resolved$'
asked() {
    expect [ "$(grep -c "$granted" kms.log)" = "$1" ]
    expect [ "$(grep -c "$resolved" kms.log)" = "$2" ]
    expect [ "$(wc -l <kms.log)" = $(($1 + $2)) ]
}

start 0
name="start"
expect says '^kms: listening on http://127.0.0.1:[1-9][0-9]* as http://kms.example.com$' kms.log

# ---- the modes of RFC 6043 4.1.1 ----

for media in msrp bfcp; do
    for suite in 256 128; do
        with="--media $media --suite $suite"
        tell="$media, suite $suite"
        call "mode 1, forked, $tell" "--as-alice $with" "--as-bob --media $media"
        asked 1 1
        expect says '^initiator -> kms: REQUEST_INIT_PSK, [0-9]* octets$' i.err
        expect says '^initiator <- kms: REQUEST_RESP, [0-9]* octets$' i.err
        expect says '^initiator -> responder: TRANSFER_INIT, [0-9]* octets$' i.err
        expect says '^responder <- initiator: TRANSFER_INIT, [0-9]* octets$' r.err
        expect says '^responder -> kms: RESOLVE_INIT_PSK, [0-9]* octets$' r.err
        expect says '^responder <- kms: RESOLVE_RESP, [0-9]* octets$' r.err
        expect says '^responder -> initiator: TRANSFER_RESP, [0-9]* octets$' r.err
        expect says '^initiator <- responder: TRANSFER_RESP, [0-9]* octets$' i.err
        call "mode 1, not forked, $tell" "--as-alice --no-fork $with" "--as-bob --media $media"
        asked 1 1
        # I implies E: a Responder that can open the ticket must not, when keys are forked
        call "mode 1, forked, the Responder has the TPK, $tell" "--as-alice $with" "--as-bob --tpk $tpk --media $media"
        asked 1 1
        call "mode 2, $tell" "--as-alice --no-fork $with" "--tpk $tpk --media $media"
        asked 1 0
        call "mode 2, both at hand, $tell" "--as-alice --no-fork $with" \
            "--as-bob --tpk $tpk --tpk-id tpk-1 --media $media"
        asked 1 0
        call "mode 3, forked, $tell" "--tpk $shared --tpk-id alice-and-kms --fork $with" "--as-bob --media $media"
        asked 0 1
        call "mode 3, not forked, $tell" "--tpk $shared --tpk-id alice-and-kms $with" "--as-bob --media $media"
        asked 0 1
        call "mode 4, $tell" "--tpk $shared $with" "--tpk $shared --media $media"
        asked 0 0
    done
done
call "no --psk-id" "--kms $url --psk $alice" "--kms $url --psk $bob"
asked 1 1
call "no TRANSFER_RESP" "--as-alice --flags DHJNO" "--as-bob"
asked 1 1
expect silent TRANSFER_RESP i.err

# ---- a ticket is used again: RFC 6043 5.3 ----

for fork in --fork --no-fork; do
    rm -f ticket resolved
    call "the first use, $fork" "--as-alice $fork --ticket ticket" "--as-bob --resolved resolved"
    asked 1 1
    first=$(line tek i.err)
    call "the second use, $fork" "--as-alice $fork --ticket ticket" "--as-bob --resolved resolved"
    asked 0 0
    expect [ "$first" != "$(line tek i.err)" ]
    call "the third use, by a Responder that keeps nothing, $fork" "--as-alice $fork --ticket ticket" "--as-bob"
    asked 0 1
    call "another ticket, $fork" "--as-alice $fork" "--as-bob --resolved resolved"
    asked 1 1
done
rm -f ticket resolved
run "a ticket that is for one use" "--as-alice --flags DEFGHINO --ticket ticket" "--as-bob"
expect status i 1
expect says '^refused: MKT_E_REUSE' i.err
expect [ ! -s ticket ]
call "nothing is kept of a ticket for one use" "--as-alice --flags DEFGHINO" "--as-bob --resolved resolved"
expect [ ! -s resolved ]

# ---- groups ----

helpdesk=sip:helpdesk@example.com
call "one of a group" "--as-alice --to $helpdesk --member sip:bob@example.com" "--as-bob --group $helpdesk"
expect says "^kms: ticketrequest from sip:alice@example.com: ticket for $helpdesk\$" kms.log
call "one of a group, not forked" "--as-alice --no-fork --to $helpdesk --member sip:bob@example.com" \
    "--as-bob --group $helpdesk"
run "one who only says so" "--as-alice --to $helpdesk --member sip:carol@example.com" \
    "--id sip:carol@example.com --kms $url --psk-id carol-1 --psk $carol --group $helpdesk"
expect status r 1
expect says '^refused: RESOLVE_INIT_PSK, by http://kms.example.com: error 7, Invalid ID, authenticated$' r.err
expect says '^kms: ticketresolve from sip:carol@example.com: refused, MKT_E_RESPONDER: .*: IDRr sip:carol@example.com$' kms.log
run "one whom the Initiator does not know" "--as-alice --to $helpdesk --setup passive" "--as-bob --group $helpdesk"
expect status i 1
expect says '^refused: MKT_E_RESPONDER' i.err

# With key forking the Initiator decides about one whom it does not know to be of the group.
for suite in 256 128; do
    to="--to $helpdesk --suite $suite --setup passive"
    call "a group, and one who is authorised, suite $suite" "--as-alice $to --authorise sip:bob@example.com" \
        "--as-bob --group $helpdesk"
    asked 1 1
    run "a group, and one who is not authorised, suite $suite" "--as-alice $to --authorise sip:carol@example.com" \
        "--as-bob --group $helpdesk"
    expect status i 1
    expect says '^refused: MKT_E_DENIED' i.err
    expect silent '^tek: ' i.err
    run "a group, not forked, suite $suite" "--as-alice $to --no-fork --authorise sip:bob@example.com" \
        "--as-bob --group $helpdesk"
    expect status i 1
    expect says '^refused: MKT_E_RESPONDER' i.err
done

# ---- tickets of another type, which only the KMS opens: N and O of RFC 6043 6.10 ----

# offered TYPE: whether the offer has a ticket of that type, subtype 1 and version 1
offered() {
    tr -d '\r' <offer | sed -n 's/^a=key-mgmt:mikey //p' | base64 -d | od -An -v -tx1 | tr -d ' \n' |
        grep -q "$(printf '%04x0101' "$1")"
}
for suite in 256 128; do
    for type in 2 61440; do
        with="--ticket-type $type --suite $suite"
        tell="ticket type $type, suite $suite"
        call "forked, $tell" "--as-alice $with" "--as-bob"
        asked 1 1
        expect offered $type
        call "not forked, E, $tell" "--as-alice --flags DEFGHJNO $with" "--as-bob"
        asked 1 1
        call "not forked, $tell" "--as-alice --no-fork $with" "--as-bob"
        asked 1 1
        call "the Responder has the TPK, $tell" "--as-alice --no-fork $with" "--as-bob --tpk $tpk"
        asked 1 1
        expect offered $type
        rm -f ticket resolved
        call "the first use, $tell" "--as-alice $with --ticket ticket" "--as-bob --resolved resolved"
        asked 1 1
        call "the second use, $tell" "--as-alice $with --ticket ticket" "--as-bob --resolved resolved"
        asked 0 0
        call "a group, $tell" "--as-alice --to $helpdesk --authorise sip:bob@example.com $with" \
            "--as-bob --group $helpdesk"
        asked 1 1
    done
done
run "ticket type 2, no N" "--as-alice --ticket-type 2 --flags DEFGHIJO" "--as-bob"
expect status i 1
expect says '^refused: MKT_E_TICKET_TYPE' i.err
expect [ ! -s offer ]
run "ticket type 2, no O" "--as-alice --ticket-type 2 --flags DEFGHIJN --setup passive" "--as-bob"
expect status r 1
expect says '^refused: MKT_E_TICKET_TYPE' r.err
run "ticket type 2, no KMS" "--as-alice --ticket-type 2 --no-fork --setup passive" "--tpk $tpk"
expect status r 1
expect says '^refused: MKT_E_TICKET_TYPE' r.err
run "ticket type 2, by one who cannot make it" "--tpk $shared --ticket-type 2" "--as-bob"
expect status i 1
expect says '^refused: MKT_E_TICKET_TYPE' i.err

# ---- what the KMS refuses ----

# request NAME "OPTIONS OF THE INITIATOR" ERROR MKT_E: of a ticket
request() {
    run "$1" "$2" ""
    expect status i 1
    expect says "^refused: REQUEST_INIT_PSK, by http://[a-z.]*: error $3\$" i.err
    expect says "^kms: ticketrequest from sip:[a-z]*@example.com$5: refused, $4: " kms.log
    expect [ ! -s offer ]
}
not="not authenticated: anybody may have sent it"
unverified=" (not verified)"
request "wrong PSK" "--kms $url --psk-id alice-1 --psk $eve" "0, Auth failure, $not" MKT_E_MAC "$unverified"
request "unknown PSK" "--kms $url --psk-id nobody --psk $alice" "0, Auth failure, $not" MKT_E_NO_KEY "$unverified"
request "unknown user" "--kms $url --psk $alice --id sip:mallory@example.com" "0, Auth failure, $not" MKT_E_NO_KEY \
    "$unverified"
request "somebody else's identity" "--kms $url --psk-id eve-1 --psk $eve" "[07], [A-Z].*" "MKT_E_[A-Z]*" ".*"
request "another KMS" "--as-alice --kms-id http://other.example.com" "7, Invalid ID, .*" MKT_E_KMS ".*"

run "wrong PSK of the Responder" "--as-alice" "--kms $url --psk-id bob-1 --psk $eve"
expect status r 1
expect says "^refused: RESOLVE_INIT_PSK, by http://kms.example.com: error 0, Auth failure, $not\$" r.err
expect [ ! -s answer ]
run "a Responder that is not named" "--as-alice" "--id sip:eve@example.com --kms $url --psk-id eve-1 --psk $eve"
expect status r 1
expect says '^refused: MKT_E_RESPONDER' r.err
expect silent ticketresolve kms.log # it knows that by itself
run "a Responder that is not named, and asks" "--as-alice" \
    "--id sip:eve@example.com --kms $url --psk-id eve-1 --psk $eve --group sip:bob@example.com"
expect status r 1
expect says '^refused: RESOLVE_INIT_PSK, by http://kms.example.com: error 7, Invalid ID, authenticated$' r.err
expect says '^kms: ticketresolve from sip:eve@example.com: refused, MKT_E_RESPONDER: ' kms.log
run "a ticket of another KMS's" "--tpk $eve --tpk-id tpk-1" "--as-bob"
expect status r 1
expect says '^refused: RESOLVE_INIT_PSK, by http://kms.example.com: error 0, Auth failure, authenticated$' r.err
run "a TPK that the KMS does not have" "--tpk $eve --tpk-id eves" "--as-bob"
expect status r 1
expect says '^refused: RESOLVE_INIT_PSK, by http://kms.example.com: error ' r.err
run "a ticket in another one's name" "--id sip:eve@example.com --tpk $shared --tpk-id alice-and-kms" "--as-bob"
expect status r 1
expect says '^refused: RESOLVE_INIT_PSK, by http://kms.example.com: error 7, Invalid ID, authenticated$' r.err
expect says '^kms: ticketresolve from sip:bob@example.com: refused, MKT_E_INITIATOR: ' kms.log
run "a Responder without KMS" "--as-alice" "--tpk $tpk"
expect status r 1
expect says '^refused: MKT_E_RESOLVE' r.err

name="no KMS there"
"$initiator" --kms http://127.0.0.1:9 --psk $alice >offer 2>i.err </dev/null
echo $? >i.status
expect status i 1
expect says '^refused: MKT_E_MISSING .*no answer from the KMS' i.err
expect [ ! -s offer ]

# ---- HTTP ----

# post STATUS TYPE NAME CURL-OPTIONS...: and the type of the answer
post() {
    name=$3
    want="$1 $2"
    shift 3
    got=$(curl -sS -o body -w '%{http_code} %{content_type}' "$@" 2>curl.err)
    expect [ "$got" = "$want" ]
}
# mikey FILE: curl's options for a message
mikey="Content-Type: application/mikey"
: >kms.log
name="messages to be posted"
"$load" --kms "$url" --users users --calls 1 --clients 1 --keep kept >load.out 2>load.err
expect [ $? = 0 ]
printf '\001\006\005\001\000\000\000\007\000\002\014\000\351\000\000\000\000\000\000\000\000\014\000\000' >error
head -c 70000 /dev/zero >long
head -c 2000000 /dev/zero >longer
head -c 65536 /dev/zero >longest
head -c 100 kept.ticketrequest >short
: >empty
"$initiator" --tpk $tpk </dev/null 2>i.err | tr -d '\r' | sed -n 's/^a=key-mgmt:mikey //p' | base64 -d >transfer_init

request="$url/?requesttype=ticketrequest"
resolve="$url/?requesttype=ticketresolve"
post 403 application/mikey "a replayed REQUEST_INIT" -H "$mikey" --data-binary @kept.ticketrequest "$request"
expect says '^kms: ticketrequest from sip:alice@example.com (not verified): refused, MKT_E_REPLAY: ' kms.log
cp body refusal
post 403 application/mikey "a replayed RESOLVE_INIT" -H "$mikey" --data-binary @kept.ticketresolve "$resolve"
expect says '^kms: ticketresolve from sip:bob@example.com (not verified): refused, MKT_E_REPLAY: ' kms.log
post 403 application/mikey "a message that ends early" -H "$mikey" --data-binary @short "$request"
post 403 application/mikey "a type with a parameter" -H "Content-Type: APPLICATION/mikey; x=y" \
    --data-binary @kept.ticketrequest "$request"
post 403 application/mikey "no type" -H "Content-Type:" --data-binary @kept.ticketrequest "$request"
chunked="Transfer-Encoding: chunked"
post 403 application/mikey "in chunks" -H "$mikey" -H "$chunked" --data-binary @kept.ticketrequest "$request"
post 415 text/plain "the type of a form" --data-binary @kept.ticketrequest "$request"
post 415 text/plain "a type that begins alike" -H "$mikey-2" --data-binary @kept.ticketrequest "$request"
post 400 text/plain "nothing" -H "$mikey" --data-binary @empty "$request"
post 400 text/plain "no MIKEY" -H "$mikey" --data-binary "hello there, this is no MIKEY" "$request"
post 400 text/plain "as long as it may be, and no MIKEY" -H "$mikey" --data-binary @longest "$request"
post 400 text/plain "a RESOLVE_INIT as ticketrequest" -H "$mikey" --data-binary @kept.ticketresolve "$request"
post 400 text/plain "a REQUEST_INIT as ticketresolve" -H "$mikey" --data-binary @kept.ticketrequest "$resolve"
post 400 text/plain "a TRANSFER_INIT" -H "$mikey" --data-binary @transfer_init "$resolve"
post 400 text/plain "an Error message" -H "$mikey" --data-binary @error "$request"
post 400 text/plain "the KMS's own Error message" -H "$mikey" --data-binary @refusal "$request"
post 400 text/plain "no requesttype" -H "$mikey" --data-binary @kept.ticketrequest "$url/"
post 400 text/plain "an unknown requesttype" -H "$mikey" --data-binary @kept.ticketrequest "$url/?requesttype=ticket"
post 413 text/plain "more than 64 KiB" -H "$mikey" --data-binary @long "$request"
post 413 text/plain "much more than 64 KiB" -H "$mikey" --data-binary @longer "$request"
post 413 text/plain "more than 64 KiB in chunks" -H "$mikey" -H "$chunked" --data-binary @long "$request"
post 404 text/plain "another path" -H "$mikey" --data-binary @kept.ticketrequest "$url/kms?requesttype=ticketrequest"
post 405 text/plain "GET" "$request"
post 405 text/plain "HEAD" -I "$request"
post 405 text/plain "PUT" -X PUT -H "$mikey" --data-binary @kept.ticketrequest "$request"
curl -sS -D head -o body "$request"
expect says '^Allow: POST' head
head -c 100000000 /dev/zero | curl -sS -o body -H "$mikey" -H "$chunked" -T - -X POST "$request" 2>/dev/null
code=$?
name="a body without end"
expect [ $code != 0 ]
call "a call after all that" "--as-alice" "--as-bob"
name="nothing secret is printed"
for secret in $tpk $shared $alice $bob $(line tek i.err); do
    expect silent "$secret" kms.log
    expect silent "$secret" kms.err
done
expect [ ! -s kms.err ]

# ---- SIGTERM, SIGINT, and --show-keys ----

name="SIGTERM"
stop TERM
expect [ $code = 0 ]
start 0 --show-keys --id http://other.example.com
name="SIGINT"
call "keys are shown" "--as-alice --kms-id http://other.example.com" "--as-bob --kms-id http://other.example.com"
expect [ "$(grep -c '^mpk: [0-9a-f]\{64\}$' kms.err)" = 2 ]
expect [ "$(grep -c '^tgk: [0-9a-f]\{64\}$' kms.err)" = 1 ]
stop INT
expect [ $code = 0 ]

# ---- replays are known after a restart, where the cache is kept ----

name="replays after a restart"
start 0 --cache cache
"$load" --kms "$url" --users users --calls 1 --clients 1 --keep kept >load.out 2>load.err
rm -f ticket
"$initiator" --kms "$url" --psk-id alice-1 --psk $alice --ticket ticket >offer 2>i.err </dev/null
stop KILL
start "$port" --cache cache
call "a ticket from before the restart" "--as-alice --ticket ticket" "--as-bob"
asked 0 1
request="$url/?requesttype=ticketrequest"
resolve="$url/?requesttype=ticketresolve"
post 403 application/mikey "a REQUEST_INIT from before" -H "$mikey" --data-binary @kept.ticketrequest "$request"
expect says MKT_E_REPLAY kms.log
post 403 application/mikey "a RESOLVE_INIT from before" -H "$mikey" --data-binary @kept.ticketresolve "$resolve"
stop TERM
start "$port"
# without the cache the same messages are good, so it was the cache that refused them
post 200 application/mikey "the same without the cache" -H "$mikey" --data-binary @kept.ticketrequest "$request"
post 200 application/mikey "the same without the cache" -H "$mikey" --data-binary @kept.ticketresolve "$resolve"
post 403 application/mikey "and once more" -H "$mikey" --data-binary @kept.ticketresolve "$resolve"
stop TERM

# ---- a cache that is full ----

start 0 --remember 1
name="a full cache"
"$load" --kms "$url" --users users --calls 20 --clients 1 --patience 1 >load.out 2>load.err
expect [ $? = 1 ]
expect says 'the KMS has failed' load.err
expect says ': refused, MKT_E_CACHE_FULL: ' kms.log
run "a call then" "--as-alice" "--as-bob"
expect status i 1
expect says '^refused: MKT_E_MISSING .*: the KMS answered HTTP status 503' i.err
stop TERM
expect [ $code = 0 ]

# ---- load ----

# memory: of the KMS, in KiB
memory() { awk '/^VmRSS:/ { print $2 }' "/proc/$running/status"; }

# load CALLS OPTIONS...: and all of them must succeed
loaded() {
    name="load $*"
    n=$1
    shift
    "$load" --kms "$url" --users users --calls "$n" --clients 4 "$@" >load.out 2>load.err
    expect [ $? = 0 ]
    expect says "^load: $n of $n calls completed" load.out
    tail -n 1 load.out
}

start 0
loaded 20 --replay
expect says '40 replays refused$' load.out
tenth=$((calls / 10))
loaded $tenth
expect says ' 0 retried,' load.out
before=$(memory)
loaded $((calls - tenth))
expect says ' 0 retried,' load.out
after=$(memory)
echo "memory of the KMS after $tenth calls: $before KiB, after $calls: $after KiB"
if [ "$calls" -ge 10000 ]; then
    name="memory does not grow"
    expect [ "$after" -le $((before + 512)) ]
fi

# Killed and started again in the middle: the calls go on, and tickets from before are resolved.
name="killed in the middle"
half=$((calls / 4))
: >load.out
mkfifo go
"$load" --kms "$url" --users users --calls $((2 * half)) --clients 4 --patience 30 --halt $half \
    <go >load.out 2>load.err &
clients=$!
exec 9>go
while kill -0 $clients 2>/dev/null && [ "$(grep -c '^load: [0-9]* calls$' load.out)" -lt $((half / 100 - 1)) ]; do
    sleep 0.02
done
stop KILL
at=$(grep -c '^load: [0-9]* calls$' load.out)
expect [ "$at" -ge $((half / 100 - 1)) ]
exec 9>&-
sleep 0.3
start "$port"
wait $clients
expect [ $? = 0 ]
expect says "^load: $((2 * half)) of $((2 * half)) calls completed" load.out
expect says ' [1-9][0-9]* retried,' load.out
echo "killed after ${at}00 calls; $(tail -n 1 load.out)"
stop TERM
expect [ $code = 0 ]

# ---- users with certificates ----

# capture FILE COMMAND...: keeps the message that a command would send to the KMS; the command gets --kms URL
capture() {
    file=$1
    shift
    rm -f port "$file"
    perl -MIO::Socket::INET -e '
        my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die "no socket";
        open my $port, ">", "port.new"; print $port $listener->sockport; close $port; rename "port.new", "port";
        my ($client, $in, $end) = ($listener->accept, "");
        while (($end = index($in, "\r\n\r\n")) < 0 || length($in) < $end + 4 + ($in =~ /^Content-Length: (\d+)/mi ? $1 : 0)) {
            sysread($client, $in, 65536, length $in) or last;
        }
        binmode STDOUT; print substr($in, $end + 4);' >"$file" &
    listener=$!
    while [ ! -s port ] && kill -0 $listener 2>/dev/null; do sleep 0.02; done
    "$@" --kms "http://127.0.0.1:$(cat port)" >/dev/null 2>i.err
    wait $listener
}

# expired DIR NAME=URI...: OpenSSL 3.4 has other options than those before
expired() {
    VALID="-days -1" "$make_certificates" "$@" 2>/dev/null ||
        VALID="-not_before 20200101000000Z -not_after 20200201000000Z" "$make_certificates" "$@"
}

# alone NAME BITS URI USAGE: a certificate that certifies itself
alone() {
    openssl req -x509 -newkey "rsa:$2" -nodes -sha256 -days 30 -subj "/CN=$1" -addext "subjectAltName=URI:$3" \
        -addext "keyUsage=critical,$4" -keyout "c/$1.key" -out "c/$1.pem" 2>openssl.err || { cat openssl.err; exit 1; }
}

# The certificates of a CA in c, and those that are not taken; Dave has his from a CA that this CA certifies.
certificates() {
    "$make_certificates" c kms=http://kms.example.com kms2=http://kms.example.com alice=sip:alice@example.com \
        bob=sip:bob@example.com && expired c old=sip:alice@example.com old-kms=http://kms.example.com &&
        "$make_certificates" other alice=sip:alice@example.com || exit 1
    alone alone 2048 sip:alice@example.com digitalSignature
    alone weak 1024 sip:alice@example.com digitalSignature
    alone enc 2048 sip:alice@example.com keyEncipherment
    alone sign 2048 http://kms.example.com digitalSignature
    mkdir sub
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n' >sub/ext
    if ! { openssl req -new -newkey rsa:2048 -nodes -subj "/CN=a CA of the CA" -keyout sub/ca.key -out sub/req &&
        openssl x509 -req -sha256 -days 30 -CA c/ca.pem -CAkey c/ca.key -set_serial 2 -extfile sub/ext -in sub/req \
            -out sub/ca.pem && "$make_certificates" sub dave=sip:dave@example.com; } 2>openssl.err; then
        cat openssl.err
        exit 1
    fi
    cat sub/dave.pem sub/ca.pem >c/dave.pem
    cp sub/dave.key c/dave.key
}

by_certificate() {
    not_taken="error 0, Auth failure, $not"
    start 0 --cert c/kms.pem --key c/kms.key --ca c/ca.pem
    for suite in 256 128; do
        with="--suite $suite"
        call "certificates, forked, suite $suite" "--by c/alice $with" "--by c/bob"
        asked 1 1
        expect says '^initiator -> kms: REQUEST_INIT_PK, [0-9]* octets$' i.err
        expect says '^initiator <- kms: REQUEST_RESP, [0-9]* octets$' i.err
        expect says '^responder -> kms: RESOLVE_INIT_PK, [0-9]* octets$' r.err
        expect says '^responder <- kms: RESOLVE_RESP, [0-9]* octets$' r.err
        call "certificates, not forked, suite $suite" "--by c/alice --no-fork $with" "--by c/bob"
        asked 1 1
        call "certificates, mode 2, suite $suite" "--by c/alice --no-fork $with" "--tpk $tpk"
        asked 1 0
        call "certificates, mode 3, suite $suite" "--tpk $shared --tpk-id alice-and-kms --fork $with" "--by c/bob"
        asked 0 1
        call "a certificate and a key, suite $suite" "--by c/alice $with" "--as-bob"
        asked 1 1
        call "a key and a certificate, suite $suite" "--as-alice $with" "--by c/bob"
        asked 1 1
    done
    call "BFCP" "--by c/alice --media bfcp" "--by c/bob --media bfcp"
    call "a chain, and no line in the file of users" "--id sip:dave@example.com --by c/dave" "--by c/bob"
    expect says '^kms: ticketrequest from sip:dave@example.com: ticket for sip:bob@example.com$' kms.log
    expect says '^kms: ticketresolve from sip:bob@example.com: ticket of sip:dave@example.com resolved$' kms.log
    call "one of a group, by its line" "--by c/alice --to $helpdesk --member sip:bob@example.com" \
        "--by c/bob --group $helpdesk"
    asked 1 1
    run "a Responder that is not named, and asks" "--by c/alice" \
        "--id sip:dave@example.com --by c/dave --group sip:bob@example.com"
    expect status r 1
    expect says '^refused: RESOLVE_INIT_PK, by http://kms.example.com: error 7, Invalid ID, authenticated$' r.err
    expect says '^kms: ticketresolve from sip:dave@example.com: refused, MKT_E_RESPONDER: ' kms.log

    # refused_certificate NAME CERTIFICATE LINE: of the Initiator, then of the Responder. LINE is what they see at once
    refused_certificate() {
        run "$1" "--by $2" ""
        expect status i 1
        expect says "^refused: REQUEST_INIT_PK, by http://kms.example.com: $not_taken\$" i.err
        expect says '^kms: ticketrequest from sip:alice@example.com (not verified): refused, MKT_E_CHAIN: ' kms.log
        expect [ ! -s offer ]
        expect [ "$(head -n 1 i.err | grep -c -e "$3")" = 1 ]
        run "$1, of the Responder" "--by c/dave --id sip:dave@example.com --to sip:alice@example.com" \
            "--by $2 --id sip:alice@example.com"
        expect status r 1
        expect says "^refused: RESOLVE_INIT_PK, by http://kms.example.com: $not_taken\$" r.err
        expect says '^kms: ticketresolve from sip:alice@example.com (not verified): refused, MKT_E_CHAIN: ' kms.log
        expect [ ! -s answer ]
        expect [ "$(head -n 2 r.err | grep -c -e "$3")" = 1 ]
    }
    refused_certificate "a certificate of another CA" other/alice '^[a-z]* -> kms: RE[A-Z]*_INIT_PK'
    refused_certificate "a certificate that nobody certifies" c/alone '^[a-z]* -> kms: RE[A-Z]*_INIT_PK'
    refused_certificate "another one's certificate" c/bob \
        "^c/bob.pem: its subjectAltName has sip:bob@example.com, and not sip:alice@example.com: give --id its identity"
    refused_certificate "a certificate that has expired" c/old '^c/old.pem: the certificate expired on 20[-0-9]* [:0-9]* UTC: get'

    # local NAME PATTERN OPTIONS: the Initiator says what is wrong with its files, in one line, and asks nobody
    local_mistake() {
        run "$1" "$3" ""
        expect status i 1
        expect [ "$(wc -l <i.err)" = 1 ]
        expect says "$2" i.err
        expect [ ! -s kms.log ]
    }
    local_mistake "another one's key" '^c/bob.key: not the private key of c/alice.pem: name its RSA key' \
        "--by c/alice --key c/bob.key"
    local_mistake "a key for a certificate" '^c/alice.key: no X.509 certificate: name a file' "--by c/alice --cert c/alice.key"
    local_mistake "a certificate for a key" '^c/alice.pem: not the private key of c/alice.pem' "--by c/alice --key c/alice.pem"
    local_mistake "no file" '^none: No such file or directory: name a file that can be read$' "--by c/alice --cert none"
    local_mistake "a directory" '^c: Is a directory: name a file that can be read$' "--by c/alice --ca c"
    local_mistake "a file that is too long" '^long: longer than 65,535 octets: ' "--by c/alice --key long"
    local_mistake "a weak key" '^c/weak.pem: a certificate that is not taken: use X.509v3 and RSA of 2,048' "--by c/weak"
    local_mistake "a key that is not to sign" '^c/enc.pem: its keyUsage has no digitalSignature' "--by c/enc"
    local_mistake "another KMS's certificate" \
        '^c/bob.pem: its subjectAltName has sip:bob@example.com, and not http://kms.example.com: give --kms-id its' \
        "--by c/alice --kms-cert c/bob.pem"
    local_mistake "no certificate of that KMS" \
        '^c/kms.pem: its subjectAltName has http://kms.example.com, and not http://other.example.com: give --kms-id' \
        "--by c/alice --kms-id http://other.example.com"
    local_mistake "a KMS of another CA" '^c/kms.pem: no valid CA in other/ca.pem certifies it: name the CA of the KMS' \
        "--by c/alice --ca other/ca.pem"
    local_mistake "a KMS whose certificate has expired" '^c/old-kms.pem: the certificate expired on ' \
        "--by c/alice --kms-cert c/old-kms.pem"
    local_mistake "a KMS whose certificate is not for envelopes" '^c/sign.pem: its keyUsage has no keyEncipherment' \
        "--by c/alice --kms-cert c/sign.pem"

    # An envelope for another key is answered, too: only the sender sees that.
    run "an envelope for another key" "--by c/alice --kms-cert c/kms2.pem" ""
    expect status i 1
    expect says '^refused: MKT_E_MAC' i.err
    expect says "$granted" kms.log

    request="$url/?requesttype=ticketrequest"
    resolve="$url/?requesttype=ticketresolve"
    offering="--ca c/ca.pem --kms-cert c/kms.pem --cert c/alice.pem --key c/alice.key"
    answering="--ca c/ca.pem --kms-cert c/kms.pem --cert c/bob.pem --key c/bob.key"
    # shellcheck disable=SC2086
    "$initiator" --kms "$url" $offering </dev/null >offer 2>i.err
    # shellcheck disable=SC2086
    capture request_init_pk "$initiator" $offering </dev/null
    # shellcheck disable=SC2086
    capture resolve_init_pk "$responder" $answering <offer
    for one in request resolve; do
        sent=${one}_init_pk
        eval "to=\$$one"
        : >kms.log
        head -c $(($(wc -c <$sent) - 1)) $sent >changed
        tail -c 1 $sent | tr '\000-\377' '\001-\377\000' >>changed
        post 403 application/mikey "another signature, $one" -H "$mikey" --data-binary @changed "$to"
        expect says " (not verified): refused, MKT_E_SIGNATURE: " kms.log
        post 200 application/mikey "a captured message, $one" -H "$mikey" --data-binary @$sent "$to"
        expect says "^kms: ticket$one from sip:[a-z]*@example.com: ticket \\(for\\|of\\) " kms.log
        : >kms.log
        post 403 application/mikey "a replay, $one" -H "$mikey" --data-binary @$sent "$to"
        expect says "^kms: ticket$one from sip:[a-z]*@example.com (not verified): refused, MKT_E_REPLAY: " kms.log
    done
    name="nothing else is printed"
    expect [ ! -s kms.err ]
    stop TERM
    expect [ $code = 0 ]

    # the rate counts for users without a line, too, for each of them
    start 0 --cert c/kms.pem --key c/kms.key --ca c/ca.pem --rate 2
    call "the first within the rate" "--id sip:dave@example.com --by c/dave" "--by c/bob"
    call "the second within the rate" "--id sip:dave@example.com --by c/dave" "--by c/bob"
    run "beyond the rate" "--id sip:dave@example.com --by c/dave" ""
    expect status i 1
    expect says '^refused: MKT_E_MISSING .*: the KMS answered HTTP status 429' i.err
    expect says '^kms: ticketrequest from sip:dave@example.com: refused, the user must wait [0-9]* s$' kms.log
    call "another user then" "--by c/alice --no-fork" "--tpk $tpk"
    stop TERM

    start 0
    run "a KMS without certificates" "--by c/alice" ""
    expect status i 1
    expect says "^refused: REQUEST_INIT_PK, by http://kms.example.com: error 11, Invalid DT, $not\$" i.err
    expect says '^kms: ticketrequest from sip:alice@example.com (not verified): refused, MKT_E_DATA_TYPE: ' kms.log
    stop TERM

    for option in --cert --key --ca; do
        usage 2 '^usage: --cert, --key and --ca go together$' "$kms" --listen 127.0.0.1:0 --users users $option c/kms.pem
    done
    by_kms="$kms --listen 127.0.0.1:0 --users users --ca c/ca.pem"
    # shellcheck disable=SC2086
    {
        usage 1 '^c/bob.key: not the private key of c/kms.pem' $by_kms --cert c/kms.pem --key c/bob.key
        usage 1 '^c/bob.pem: its subjectAltName has sip:bob@example.com, and not http://kms.example.com: give --id' \
            $by_kms --cert c/bob.pem --key c/bob.key
        usage 1 '^c/old-kms.pem: the certificate expired on ' $by_kms --cert c/old-kms.pem --key c/old-kms.key
        usage 1 '^c/sign.pem: its keyUsage has no keyEncipherment' $by_kms --cert c/sign.pem --key c/sign.key
        usage 1 '^none: No such file or directory: name a file' $by_kms --cert c/kms.pem --key none
    }
    for program in "$initiator" "$responder"; do
        usage 2 '^usage: --cert, --key, --ca and --kms-cert go together$' "$program" --kms http://127.0.0.1 --cert c/bob.pem \
            --key c/bob.key --ca c/ca.pem
        usage 2 '^usage: --psk is a key that is shared with the KMS' "$program" --kms http://127.0.0.1 --psk $bob \
            --cert c/bob.pem --key c/bob.key --ca c/ca.pem --kms-cert c/kms.pem
        usage 2 '^usage: --kms and --psk go together, or --kms, --cert' "$program" --tpk $tpk \
            --cert c/bob.pem --key c/bob.key --ca c/ca.pem --kms-cert c/kms.pem
    done
}

# usage STATUS PATTERN OPTIONS...: one line, and exit status 2, or 1 for what is not the command line's fault
usage() {
    want=$1
    pattern=$2
    shift 2
    name="usage: $*"
    timeout 60 "$@" >body 2>r.err </dev/null
    echo $? >r.status
    expect status r "$want"
    expect [ "$(wc -l <r.err)" = 1 ]
    expect says "$pattern" r.err
    expect [ ! -s body ]
}
usage 2 usage "$kms"
usage 2 usage "$kms" --listen 127.0.0.1:0
usage 2 usage "$kms" --users users
usage 2 usage "$kms" --listen 127.0.0.1:0 --users users more
usage 2 usage "$kms" --listen 127.0.0.1:0 --users users --what
usage 2 usage "$kms" --listen 127.0.0.1:0 --users users --id ""
usage 2 usage "$kms" --listen
for option in --remember --rate --connections --validity; do
    for number in 0 -1 "" 1x x 1000000000; do
        usage 2 "usage: $option takes a number" "$kms" --listen 127.0.0.1:0 --users users $option "$number"
    done
done
usage 1 'cache: not a cache of that many' "$kms" --listen 127.0.0.1:0 --users users --cache cache --remember 1
for where in 127.0.0.1 localhost:0 127.0.0.1:http 127.0.0.1: :0:0 ""; do
    usage 2 'usage: --listen takes IP:PORT' "$kms" --listen "$where" --users users
done
usage 1 "can't listen on 192.0.2.1:0: " "$kms" --listen 192.0.2.1:0 --users users
usage 1 'none: No such file' "$kms" --listen 127.0.0.1:0 --users none
usage 1 "none/cache: No such file or directory: name a file that can be made" "$kms" --listen 127.0.0.1:0 --users users --cache none/cache
for program in "$initiator" "$responder"; do
    usage 2 --psk "$program" --kms http://127.0.0.1
    usage 2 --kms "$program" --tpk $tpk --psk $alice
    usage 2 --psk-id "$program" --tpk $tpk --psk-id alice-1
    usage 2 --tpk-id "$program" --kms http://127.0.0.1 --psk $alice --tpk-id tpk-1
    usage 2 --kms "$program" --kms ftp://127.0.0.1 --psk $alice
    usage 2 --psk "$program" --kms http://127.0.0.1 --psk 00
    usage 2 identity "$program" --kms http://127.0.0.1 --psk $alice --kms-id ""
done
usage 2 --tpk "$initiator" --kms http://127.0.0.1 --psk $alice --tpk $tpk
usage 2 usage "$responder" --kms http://127.0.0.1 --psk $alice --fork

without='^--cert: this program was built without libmikeyticket-x509: build it with the Meson option x509, or '
if "$kms" --listen 127.0.0.1:0 --users users --cert none --key none --ca none 2>&1 | grep -q -e "$without"; then
    usage 1 "${without}leave --cert out\$" "$kms" --listen 127.0.0.1:0 --users users --cert none --key none --ca none
    for program in "$initiator" "$responder"; do
        usage 1 "${without}give --psk in place of --cert\$" "$program" --kms http://127.0.0.1 --cert none --key none \
            --ca none --kms-cert none
    done
elif command -v openssl >/dev/null && command -v perl >/dev/null; then
    certificates
    by_certificate
else
    echo "no openssl or no perl here: calls by public key are not tested"
fi

# mistake LINE TEXT: a line in the file of users that is wrong
mistake() {
    { echo "# first"; printf '%s\n' "$1"; echo "tpk tpk-1 $tpk"; } >wrong
    usage 1 "^wrong:$2" "$kms" --listen 127.0.0.1:0 --users wrong
}
mistake "usr alice-1 sip:alice@example.com $alice" '2: a line begins with user or tpk'
mistake "user alice-1 sip:alice@example.com" '2: write: user PSK-ID'
mistake "tpk tpk-2" '2: write: tpk ID'
mistake "tpk tpk-2 $tpk sip:alice@example.com more" '2: write: tpk ID'
mistake "tpk tpk-2 $tpk sip:alice@example.com" '2: the first tpk is the one of the KMS'
mistake "user alice-1 sip:alice@example.com ${alice}0" '2: the key is not 16 to 64 octets'
mistake "user alice-1 sip:alice@example.com ${alice}zz" '2: the key is not 16 to 64 octets'
mistake "user alice-1 sip:alice@example.com 0011" '2: the key is not 16 to 64 octets'
mistake "tpk tpk-1 $shared" '3: line 2 has that ID, too: '
mistake "user a sip:a@example.com $alice
user a sip:b@example.com $bob" '3: line 2 has that ID, too: '
mistake "user a sip:a@example.com $alice
user b sip:a@example.com $bob" '3: line 2 has that identity, too: '
mistake "user a sip:a@example.com $alice 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17" '2: a user has 16 groups at most'
mistake "# $(head -c 5000 /dev/zero | tr '\000' x)" '2: the line is too long'
echo "user a sip:a@example.com $alice" >wrong
usage 1 '^wrong:1: no ticket protection key' "$kms" --listen 127.0.0.1:0 --users wrong

[ $failed = 0 ]
