#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Besieges the KMS: floods of messages that are old, damaged, forged or replays, names that are not the sender's, users
# who ask too much, slow clients, 100,000 users, and a cache file that others touch. Needs curl(1).
#
#   tests/siege.sh KMS SIEGE LOAD
#   REPLAYS=200000                   messages of a flood; 2,000 by default
#
# SIEGE is tests/siege.c, LOAD is tests/load.c.
set -u
export LC_ALL=C no_proxy=127.0.0.1
command -v curl >/dev/null || { echo "siege.sh: no curl: install it" >&2; exit 77; }
umask 077

[ $# = 3 ] || { echo "usage: siege.sh KMS SIEGE LOAD" >&2; exit 2; }
program() { echo "$(cd "$(dirname "$1")" && pwd)/${1##*/}"; }
kms=$(program "$1")
siege=$(program "$2")
load=$(program "$3")
messages=${REPLAYS:-2000}
failed=0
running=

dir=$(mktemp -d) || exit 1
trap '[ -z "$running" ] || kill -9 $running; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cd "$dir" || exit 1

key() { echo "${1}00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" | cut -c 1-64; }
cat >users <<END
user alice-1 sip:alice@example.com $(key a)
user bob-1 sip:bob@example.com $(key b)
user carol-1 sip:carol@example.com $(key c)
user eve-1 sip:eve@example.com $(key e)
tpk tpk-1 $(key 1)
END

# expect COMMAND...: complains if the command fails, with what the programs said
expect() {
    "$@" && return
    failed=$((failed + 1))
    echo "$name: not so: $*"
    for file in out err kms.err; do
        [ ! -s "$file" ] || tr -cd '\n[:print:]' <"$file" | tail -n 5 | sed "s/^/    $file: /" | cut -c 1-200
    done
    tail -n 3 kms.log | sed "s/^/    /"
}

says() { grep -q -e "$1" "$2"; }
silent() { ! grep -q -e "$1" "$2"; }
at_least() { [ "$1" -ge "$2" ]; }

# count STATUS: how often that HTTP status came
count() { sed -n "s/^$1: //p" out | grep . || echo 0; }

# started LOG PID: waits until that KMS listens; $url is then where
started() {
    url=http://127.0.0.1:9
    until grep -q '^kms: listening on ' "$1"; do
        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.02
    done
    url=$(sed -n 's/^kms: listening on \(http:[^ ]*\) as .*/\1/p' "$1")
}

# tries OPTIONS...: whether a KMS starts
tries() {
    : >kms.log
    "$kms" --listen 127.0.0.1:0 --users users "$@" >kms.log 2>kms.err &
    running=$!
    started kms.log $running && return
    running=
    return 1
}

# start OPTIONS...: and it must
start() { expect tries "$@"; }

# stop: the KMS must still be there, and end as it should
stop() {
    [ -n "$running" ] || return
    kill -s TERM "$running" 2>/dev/null
    wait "$running" 2>/dev/null
    code=$?
    running=
    expect [ $code = 0 ]
}

# refused PATTERN OPTIONS...: the KMS says one line, and does not start
refused() {
    pattern=$1
    shift
    timeout -s KILL 10 "$kms" --listen 127.0.0.1:0 --users users "$@" >out 2>err </dev/null
    code=$?
    expect [ $code = 1 ]
    expect [ "$(wc -l <err)" = 1 ]
    expect says "$pattern" err
}

# request NAME OPTIONS...: REQUEST_INITs in the name of a user, which are answered
request() {
    user=$1
    shift
    "$siege" request --users users --as "sip:$user@example.com" "$@" "$url" >out 2>err
    code=$?
    expect [ $code = 0 ]
}

# honest NAME: a request that must be served, as often as asked
honest() {
    request "$1"
    expect [ "$(count 200)" = 1 ]
}

# post TYPE FILE N
post() {
    "$siege" post "$url" "$@" >out 2>err
    code=$?
    expect [ $code = 0 ]
}

# ---- floods ----

# The memory of the KMS has room for fewer than a hundred messages.
start --remember 10

# flood TYPE FILE: each is refused, and takes no room: honest users are served as before
flood() {
    post "$1" "$2" "$messages"
    expect [ "$(count 403)" = "$messages" ]
    for user in alice bob carol; do
        honest $user
    done
}

name="a message of yesterday, as often as anybody likes"
"$siege" request --users users --as sip:alice@example.com --ago 86400 --out yesterday 2>err
flood ticketrequest yesterday
name="a message of tomorrow"
"$siege" request --users users --as sip:alice@example.com --ago -86400 --out tomorrow 2>err
flood ticketrequest tomorrow
name="a message that is refused for what it asks for"
"$siege" request --users users --as sip:eve@example.com --from 100 --until 50 --out senseless 2>err
flood ticketrequest senseless
name="a message with a wrong key"
"$siege" request --users users --as sip:alice@example.com --key-of sip:eve@example.com --out forged 2>err
flood ticketrequest forged
name="a replay"
"$siege" request --users users --as sip:alice@example.com --out message 2>err
post ticketrequest message 1
expect [ "$(count 200)" = 1 ]
flood ticketrequest message
name="a damaged ticket"
"$load" --kms "$url" --users users --calls 1 --clients 1 --keep kept >out 2>err
expect [ $? = 0 ]
"$siege" damage --users users --as sip:bob@example.com kept.ticketresolve damaged >out 2>err
expect [ $? = 0 ]
flood ticketresolve damaged
stop

# ---- whom the log names ----

# Eve's message names Carol as the Responder, and nobody as the Initiator.
name="the log names the owner of the key, and not whom the message names"
start
request eve --claim sip:carol@example.com
expect [ "$(count 200)" = 1 ]
expect says '^kms: ticketrequest from sip:eve@example.com: ticket for sip:bob@example.com$' kms.log
expect silent carol kms.log
name="a refused message that is verified names the owner of the key, too"
request eve --from 1000 --until 500 --claim sip:carol@example.com
expect [ "$(count 403)" = 1 ]
expect says '^kms: ticketrequest from sip:eve@example.com: refused, MKT_E_VALIDITY' kms.log
expect silent carol kms.log
name="what is not verified is marked, whatever it names"
request alice --key-of sip:eve@example.com
expect says '^kms: ticketrequest from sip:alice@example.com (not verified): refused, MKT_E_MAC' kms.log
request alice --key-of sip:eve@example.com --claim sip:carol@example.com
expect says '^kms: ticketrequest from sip:carol@example.com (not verified): refused, MKT_E_MAC' kms.log
request bob --ago 86400
expect says '^kms: ticketrequest from sip:bob@example.com (not verified): refused, MKT_E_STALE' kms.log
request carol --out message
expect [ "$(count 200)" = 1 ]
post ticketrequest message 1
expect says '^kms: ticketrequest from sip:carol@example.com (not verified): refused, MKT_E_REPLAY' kms.log
expect [ "$(grep -c ': ticket for ' kms.log)" = 2 ]
stop

# ---- validity ----

# granted PATTERN OPTIONS...: the ticket that a request with these options gets
granted() {
    pattern=$1
    shift
    request alice "$@"
    expect [ "$(count 200)" = 1 ]
    expect says "^granted:$pattern\$" out
}

name="a ticket is valid for a day at most, and the K flag says that this was changed"
day='until 86\(400\|39[0-9]\)'
start
granted " until \(1000\|99[0-9]\)" --until 1000
granted " $day K"
granted " $day K" --until 1000000
granted " $day K" --until 86500
granted " from -\(10[0-9]\|9[0-9]\) $day K" --from -100 --until 1000000
name="a ticket that would begin later than that is refused"
request alice --from 90000 --until 100000
expect [ "$(count 403)" = 1 ]
stop
name="the most that a ticket is valid for is an option"
start --validity 60
granted " until \(60\|5[0-9]\) K" --until 100
granted " until \(60\|5[0-9]\) K"
granted " until [1-5][0-9]" --until 50
stop

# ---- the rate of a user ----

name="the KMS says how many users its memory is good for"
start
expect says '^kms: remembers 100000 messages, those of 151 users at the full rate of 60 a minute$' kms.log
stop
start --rate 5 --remember 100
expect says '^kms: remembers 100 messages, those of 1 users at the full rate of 5 a minute$' kms.log

name="users who ask too much are put off, and others are not"
for user in alice bob; do
    request $user --times 100
    expect at_least "$(count 200)" 5
    expect at_least "$(count 429)" 50
    expect [ $(($(count 200) + $(count 429))) = 100 ]
    expect says "^kms: ticketrequest from sip:$user@example.com: refused, the user must wait [0-9]* s\$" kms.log
done
honest carol
honest eve
expect silent CACHE_FULL kms.log
stop

name="a user is told when to ask again"
start --rate 1
request alice --times 2 --out message
expect [ "$(count 200)" = 1 ]
curl -sS -D head -o body -H 'Content-Type: application/mikey' --data-binary @message "$url/?requesttype=ticketrequest"
expect says '^HTTP/1.1 429 ' head
expect says '^Retry-After: [1-6][0-9]*.$' head
expect says '^too many messages of this user' body
stop

name="forgeries, replays and old messages use up nobody's rate"
start --rate 5
request alice --out message
expect [ "$(count 200)" = 1 ]
post ticketrequest message 100
expect [ "$(count 403)" = 100 ]
request alice --times 100 --key-of sip:eve@example.com
expect [ "$(count 403)" = 100 ]
request alice --times 100 --ago 1000
expect [ "$(count 403)" = 100 ]
request alice --times 4
expect [ "$(count 200)" = 4 ]
name="a replay is told as such, whatever the rate"
post ticketrequest message 1
expect [ "$(count 403)" = 1 ]
stop

# ---- slow clients ----

# slow SOURCE N: that many of them, of one address; waits until those that can be open are
slow() {
    : >slow.out
    "$siege" slow "$1" 127.0.0.1 "${url##*:}" "$2" >slow.out 2>err &
    clients=$!
    until grep -q '^open: ' slow.out || ! kill -0 $clients; do
        sleep 0.1
    done
}

name="slow clients of one address do not stop the KMS"
start
slow 127.0.0.2 1100
expect at_least 64 "$(sed -n 's/^open: //p' slow.out)"
expect silent '^open: 0' slow.out
honest alice
name="what is not complete after 10 s is cut, however many octets come"
pauses=0
until grep -q 'all closed' slow.out || [ $pauses = 120 ]; do
    sleep 1
    pauses=$((pauses + 1))
done
expect says 'all closed' slow.out
kill $clients 2>/dev/null
wait $clients 2>/dev/null
honest bob
stop
name="the connections of an address are an option"
start --connections 3
slow 127.0.0.2 100
expect at_least 3 "$(sed -n 's/^open: //p' slow.out)"
expect silent '^open: 0' slow.out
kill $clients
wait $clients 2>/dev/null
honest alice
slow 127.0.0.1 2
expect says '^open: 2$' slow.out
honest alice
kill $clients
wait $clients 2>/dev/null
stop

# ---- the file of users ----

# The bound on processor time is far above what is needed: 0.2 s, and 100 s if each line were compared with all others.
name="100,000 users"
{
    awk 'BEGIN { for (i = 0; i < 100000; i++) printf "user u-%d sip:u%d@example.com %064x sip:all@example.com\n", i, i, i }'
    cat users
} >many
mv users few
mv many users
# shellcheck disable=SC3045 # dash has these
limit=$(ulimit -t)
# shellcheck disable=SC3045
ulimit -S -t 20
start
# shellcheck disable=SC3045
ulimit -S -t "$limit"
honest alice
honest u99999
stop
mv users many
name="two lines with one ID, or one identity, far apart"
{ cat many; echo "user u-12345 sip:another@example.com $(key f)"; } >users
refused '^users:100006: line 12346 has that ID, too: '
{ cat many; echo "user another sip:u99999@example.com $(key f)"; } >users
refused '^users:100006: line 100000 has that identity, too: '
{ cat many; echo "tpk tpk-1 $(key f)"; } >users
refused '^users:100006: line 100005 has that ID, too: '
mv few users

# ---- the file of the replay cache ----

name="two processes that start at once on a new file share one memory"
for cache in cache1 cache2 cache3; do
    "$kms" --listen 127.0.0.1:0 --users users --cache $cache --remember 1000000 >one.log 2>one.err &
    one=$!
    running=$one
    # It is stopped while it makes the cache, if that can be seen.
    until { [ -s $cache ] && [ "$(du -k $cache | cut -f 1)" -gt 0 ]; } || ! kill -0 $one; do :; done
    kill -s STOP $one
    "$kms" --listen 127.0.0.1:0 --users users --cache $cache --remember 1000000 >two.log 2>two.err &
    two=$!
    running="$one $two"
    "$siege" request --users users --as sip:alice@example.com --out message 2>err
    expect started two.log $two
    post ticketrequest message 1
    expect [ "$(count 200)" = 1 ]
    kill -s CONT $one
    expect started one.log $one
    post ticketrequest message 1
    expect [ "$(count 403)" = 1 ]
    kill $one $two
    for pid in $one $two; do
        wait "$pid"
        code=$?
        expect [ $code = 0 ]
    done
    running=
done
expect [ "$(echo cache*)" = "cache1 cache2 cache3" ]
rm -f cache?

# replay STATUS: how the KMS answers the message that a KMS before it has served
replay() {
    post ticketrequest message 1
    expect [ "$(count "$1")" = 1 ]
}

# turn FILE OFFSET: all bits of an octet
turn() {
    octet=$(od -An -tu1 -j "$2" -N 1 "$1")
    # shellcheck disable=SC2059 # the format is the octet
    printf "\\$(printf %03o $((255 - octet)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>dd.err
}

name="a file that is damaged is refused aloud"
start --cache cache
replay 200
stop
expect [ "$(echo cache*)" = cache ]
cp cache good
turn cache 0
cp cache damaged
refused '^kms: cache: damaged' --cache cache
expect cmp -s cache damaged
name="with --begin-anew it begins anew, and says so"
start --cache cache --begin-anew
expect says '^kms: cache: damaged.* begins anew' kms.err
replay 200
stop
start --cache cache
replay 403
stop
expect [ "$(echo cache*)" = cache ]
name="with --begin-anew a good file stays as it is"
start --cache cache --begin-anew
expect [ ! -s kms.err ]
replay 403
stop

name="a file of another size is refused aloud, or begins anew"
refused '^kms: cache: not a cache of that many messages' --cache cache --remember 10
start --cache cache --remember 10 --begin-anew
honest alice
stop

name="an octet that was changed does not make every message stale"
offset=0
while [ $offset -lt 24 ]; do
    cp good cache
    turn cache $offset
    if tries --cache cache; then
        honest alice
        stop
    else
        expect says '^kms: cache: damaged' kms.err
    fi
    offset=$((offset + 1))
done

name="a file that others may write, or that is a link, is refused"
rm -f cache theirs
cp good theirs
chmod 666 theirs
ln -s theirs cache
refused '^kms: cache: a symbolic link' --cache cache
refused '^kms: theirs: others may read or write it' --cache theirs
for mode in 602 620 604 640; do
    chmod $mode theirs
    refused '^kms: theirs: others may read or write it' --cache theirs
done
ln -s nothing dangling
refused '^kms: dangling: a symbolic link' --cache dangling
expect [ ! -e nothing ]
mkfifo fifo
refused '^kms: fifo: not a regular file' --cache fifo
if [ "$(id -u)" = 0 ]; then
    chmod 600 theirs
    chown 1 theirs
    refused '^kms: theirs: another user owns it' --cache theirs
fi
expect cmp -s good theirs

name="a file in use is not begun anew"
rm -f cache
cp good cache
start --cache cache
dd if=/dev/urandom of=cache bs=4096 count=1 conv=notrunc 2>dd.err
refused '^kms: cache: another process uses it' --cache cache --begin-anew

name="a file that is changed under the KMS does not end it"
octets=$(wc -c <cache)
for from in /dev/urandom /dev/zero; do
    head -c "$octets" $from | dd of=cache bs=65536 conv=notrunc 2>dd.err
    request alice --times 20
    expect [ $(($(count 200) + $(count 400) + $(count 403) + $(count 503))) = 20 ]
done
stop

[ $failed = 0 ]
