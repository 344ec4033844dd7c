#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs the MRFPs of examples/ against each other and against openssl(1), in all their roles, and each against what it
# must refuse.
#
#   tests/mrfp.sh MRFC MRFP...        MRFC is tests/mrfc.c; each MRFP is one program
#   PATIENCE=60                       seconds that anything may take
set -u
export LC_ALL=C
command -v openssl >/dev/null || { echo "mrfp.sh: no openssl: install it" >&2; exit 77; }

[ $# -ge 2 ] || { echo "usage: mrfp.sh MRFC MRFP..." >&2; exit 2; }
program() { echo "$(cd "$(dirname "$1")" && pwd)/${1##*/}"; }
mrfc=$(program "$1")
shift
for one; do
    set -- "$@" "$(program "$one")"
    shift
done
key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
other=100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
failed=0
n=0
running=
a='' b='' a_watch='' # processes
name=start

dir=$(mktemp -d) || exit 1
# shellcheck disable=SC2086
trap '[ -z "$running" ] || kill -9 $running 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# expect COMMAND...: complains if the command fails, with what the programs said
expect() {
    "$@" && return
    failed=$((failed + 1))
    echo "$name: not so: $*"
    for file in *.events *.err peer; do
        [ ! -s "$file" ] || tr -cd '\n[:print:]' <"$file" | tail -n 4 | cut -c 1-200 | sed "s/^/    $file: /"
    done
}

# soon COMMAND...: waits until the command succeeds; false after PATIENCE seconds, 60 by default
soon() {
    late=$(($(date +%s) + ${PATIENCE:-60}))
    until "$@"; do
        [ "$(date +%s)" -lt $late ] || return 1
        sleep 0.02
    done
}

says() { grep -q -a -e "$1" "$2"; }
silent() { ! says "$@"; }
lines() { [ "$(grep -c -a -e "$1" "$2")" -ge "$3" ]; }
end() { kill "$1" && wait "$1" 2>/dev/null; }

# descriptors NAME: how many the MRFP has. It answers a command before that: so what ended before is closed by then.
descriptors() {
    : >counted
    { echo count; cat hold.2; } | "$mrfc" "$1.sock" >counted &
    asker=$!
    exec 4>hold.2
    soon says '^ok ' counted
    eval "find /proc/\$$1/fd -type l | wc -l"
    exec 4>&-
    wait $asker
}

# has NAME N: N descriptors more than when it began
has() { eval "[ \"$(descriptors "$1")\" = \"\$((${1}_idle + $2))\" ]"; }

resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$1/status"; }

# start NAME PROGRAM [OPTION...]: an MRFP in $dir/NAME.sock; its process is in the variable NAME
start() {
    who=$1
    : >"$who.out"
    : >"$who.err"
    shift
    "$1" --socket "$who.sock" ${2:+"$2" "$3"} >"$who.out" 2>"$who.err" &
    eval "$who=$!"
    running="$running $!"
    expect soon says "^mrfp: ready on $who.sock\$" "$who.out"
    watch "$who"
    eval "${who}_idle=$(descriptors "$who")"
}

# watch NAME: an MRFC that writes the events into NAME.events
watch() {
    : >"$1.events"
    "$mrfc" "$1.sock" watch >"$1.events" &
    eval "${1}_watch=$!"
    running="$running $!"
    expect soon says '^watching$' "$1.events"
}

# stop NAME: it must still be there, and end as it should, with nothing lost
stop() {
    eval "kill -s TERM \$$1; wait \$$1"
    code=$?
    expect [ $code = 0 ]
    expect [ ! -e "$1.sock" ]
}

# ask NAME COMMAND...: prints the answer
ask() {
    who=$1
    shift
    printf '%s\n' "$*" | "$mrfc" "$who.sock"
}

# answers NAME ANSWER COMMAND...: the answer matches
answers() {
    who=$1
    answer=$2
    shift 2
    got=$(ask "$who" "$@")
    printf '%s\n' "$got" | grep -q -x -e "$answer" && return
    echo "got: $got"
    return 1
}

# port NAME COMMAND...: adds a stream, whose port is then in $port
port() {
    got=$(ask "$@")
    port=${got##* }
    expect [ "${got%% *}" = ok ]
}

# event NAME LINE
event() { expect soon says "^$2\$" "$1.events"; }

# streams NAME N: that it has
streams() { expect answers "$1" "ok $2" count; }

# next: a new name for the next streams, in $x
next() {
    n=$((n + 1))
    x=s$n
}

# ---- two MRFPs ----

# connect WHAT TCP-SERVER-ROLE CLIENT-ROLE: a awaits b
connect() {
    name="$pair: $1, TLS $2 awaits TLS $3"
    next
    port a "add $x passive $1 $2 id-$x $key"
    paths=
    [ "$1" = bfcp ] || paths=" msrps://127.0.0.1:9/$x;tcp msrps://127.0.0.1:$port/own;tcp"
    expect answers b "ok $x [0-9]*" "add $x active $1 $3 id-$x $key 127.0.0.1 $port$paths"
    event a "connected $x"
    event b "connected $x"
    if [ "$1" = msrp ]; then
        expect soon says "^mrfp: $x: MSRP request, answered 200\$" a.err
        expect soon says "^mrfp: $x: MSRP 200\$" b.err
    fi
}

both() {
    connect msrp server client
    expect answers a "ok $x" remove $x
    event a "ended $x removed"
    event b "ended $x closed"
    connect msrp client server
    expect answers b "ok $x" remove $x
    event a "ended $x closed"
    event b "ended $x removed"
    connect bfcp server client
    expect answers a "ok $x" remove $x
    event b "ended $x closed"
    connect bfcp client server
    expect answers b "ok $x" remove $x
    event a "ended $x closed"

    # refuse IDENTITY KEY: what b has; both say so, b's stream is gone, that of a waits
    refuse() {
        expect answers b "ok y$x [0-9]*" "add y$x active msrp $2 $3 $4 127.0.0.1 $port"
        event a "failed $x .*"
        event b "failed y$x .*"
        expect answers b "error y$x .*" "remove y$x"
        expect answers a "error $x .*" "add $x passive msrp $1 other $key"
    }
    for roles in "server client" "client server"; do
        # shellcheck disable=SC2086
        set -- $roles
        name="$pair: wrong key, TLS $1 awaits TLS $2"
        next
        port a "add $x passive msrp $1 id-$x $key"
        refuse "$1" "$2" "id-$x" $other
        name="$pair: unknown identity, TLS $1 awaits TLS $2"
        next
        port a "add $x passive msrp $1 id-$x $key"
        refuse "$1" "$2" "id-none" $key
        name="$pair: and then the right one"
        expect answers b "ok $x [0-9]*" "add $x active msrp $2 id-$x $key 127.0.0.1 $port"
        event a "connected $x"
        event b "connected $x"
        name="$pair: another key, before the handshake"
        next
        port a "add $x passive msrp $1 id-$x $key"
        expect answers a "ok $x" "key $x new-$x $other"
        refuse "$1" "$2" "id-$x" $key
        expect answers b "ok $x [0-9]*" "add $x active msrp $2 new-$x $other 127.0.0.1 $port"
        event a "connected $x"
        event b "connected $x"
        name="$pair: another key, in the session"
        expect answers a "ok $x" "key $x newer-$x $key"
        expect answers b "ok $x" "key $x newer-$x $key"
        expect answers b "ok $x" "remove $x"
        event a "ended $x closed"
        name="$pair: announced, TLS $1 awaits TLS $2"
        next
        port a "announce $x passive msrp $1"
        expect answers b "ok $x [0-9]*" "add $x active msrp $2 id-$x $key 127.0.0.1 $port"
        expect answers a "ok $x" "key $x id-$x $key"
        event a "connected $x"
        event b "connected $x"
    done

    name="$pair: nobody listens"
    next
    port a "add $x passive msrp server id-$x $key"
    expect answers a "ok $x" "remove $x"
    expect answers b "ok $x [0-9]*" "add $x active msrp client id-$x $key 127.0.0.1 $port"
    event b "failed $x Connection refused"
    expect answers b "error $x .*" "remove $x"

    name="$pair: nothing is left"
    for i in $(seq 1 $n); do
        echo "remove s$i"
    done | "$mrfc" a.sock >answers
    streams a 0
    expect soon answers b "ok 0" count
    expect soon has a 0
    expect soon has b 0
}

# ---- 200 streams ----

# many N: streams m1..mN at once
many() {
    seq 1 "$1" | sed "s/.*/add m& passive msrp server id-m& $key/" | "$mrfc" a.sock >ports
    expect lines '^ok ' ports "$1"
    sed "s/^ok \(m[0-9]*\) \([0-9]*\)\$/add \1 active msrp client id-\1 $key 127.0.0.1 \2 msrps:\/\/b\/s;tcp msrps:\/\/a\/s;tcp/" ports |
        "$mrfc" b.sock >answers
    expect lines '^ok ' answers "$1"
}

# unmany N
unmany() {
    seq 1 "$1" | sed 's/.*/remove m&/' | "$mrfc" a.sock >answers
    expect lines '^ok ' answers "$1"
}

# round N: they connect, talk and end; nothing is left
round() {
    total=$((total + $1))
    many "$1"
    expect soon lines '^connected m' a.events $total
    expect soon lines '^mrfp: m[0-9]*: MSRP 200$' b.err $total
    streams a "$1"
    unmany "$1"
    expect soon lines '^ended m.* closed$' b.events $total
    streams a 0
    streams b 0
}

load() {
    name="$pair: 200 streams at once"
    total=0
    round 200
    round 200
    expect soon has a 0
    expect soon has b 0
    [ "${SANITIZER:-none}" = none ] || return # it keeps what was freed for a while, and finds what is lost in the end
    name="$pair: 1,000 streams more take no more memory" # than 1,000 before, which left the heap in pieces
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        round 100
        [ $i != 10 ] || { memory_a=$(resident "$a") && memory_b=$(resident "$b"); }
    done
    expect soon has a 0
    expect soon has b 0
    expect [ "$(resident "$a")" -le $((memory_a + 1024)) ]
    expect [ "$(resident "$b")" -le $((memory_b + 1024)) ]
}

# ---- one MRFP and openssl(1) ----

# client OPTION...: openssl connects to $port with $key and id-$x; its input is the file `in`, and what comes is in `peer`
client() {
    : >peer
    # shellcheck disable=SC2094
    { cat in; cat hold; } |
        openssl s_client -quiet -connect "127.0.0.1:$port" -psk $key -psk_identity "id-$x" "$@" >peer 2>peer.err &
    client=$!
    # a writer of `hold` keeps the client's input open until `hang_up`
    exec 3>hold
}
hang_up() {
    exec 3>&-
    wait $client
}

# server OPTION...: openssl awaits a connection at $port
server() {
    : >peer
    # shellcheck disable=SC2002
    cat hold | openssl s_server -accept 127.0.0.1:0 -naccept 1 -nocert -psk $key -psk_identity "id-$x" "$@" \
        >peer 2>peer.err &
    client=$!
    exec 3>hold
    expect soon says '^ACCEPT ' peer
    port=$(sed -n 's/^ACCEPT .*://p' peer)
}

tls12="-tls1_2 -cipher ECDHE-PSK-CHACHA20-POLY1305"
path="msrps://127.0.0.1:9/peer;tcp"

# send ID LINE...: an MSRP request with these headers and this content, in `in`
send() {
    id=$1
    method=$2
    shift 2
    printf 'MSRP %s %s\r\nTo-Path: msrps://127.0.0.1:7/own;tcp\r\nFrom-Path: %s\r\n' "$id" "$method" "$path"
    printf '%s\r\n' "$@"
    printf -- '-------%s$\r\n' "$id"
}

# with_openssl VERSION OPTION...
# shellcheck disable=SC2086
with_openssl() {
    version=$1
    shift
    name="$pair, $version: openssl connects, MSRP"
    next
    {
        send aaaa SEND 'Message-ID: 1' 'Byte-Range: 1-7/7' 'Content-Type: text/plain' '' 'echo hi'
        send bbbb SEND 'Message-ID: 2' 'Failure-Report: no' 'Byte-Range: 1-1/1' 'Content-Type: text/plain' '' 'x'
        send cccc SEND 'Message-ID: 3' 'Success-Report: yes' 'Byte-Range: 3-5/5' 'Content-Type: text/plain' '' 'xyz'
        send dddd NICKNAME 'Use-Nickname: "x"'
        printf 'MSRP eeee SEND\r\nTo-Path: msrps://127.0.0.1:7/own;tcp\r\nFrom-Path: %s\r\n' "$path"
        printf 'Message-ID: 4\r\nByte-Range: 1-*/100000\r\nContent-Type: text/plain\r\n\r\n'
        head -c 100000 /dev/zero | tr '\0' -
        printf '\r\n-------eeee$\r\n'
        send ffff SEND 'Message-ID: 5' 'Byte-Range: 1-0/0'
    } >in
    port a "add $x passive msrp server id-$x $key"
    client "$@"
    event a "connected $x"
    expect soon says '^MSRP ffff 200 OK' peer
    expect says '^MSRP aaaa 200 OK' peer
    expect says '^hi' peer
    expect says '^To-Path: msrps://127.0.0.1:9/peer;tcp' peer
    expect says '^From-Path: msrps://127.0.0.1:7/own;tcp' peer
    expect silent bbbb peer
    expect says '^MSRP cccc 200 OK' peer
    expect says '^Byte-Range: 3-5/5' peer
    expect says '^Status: 000 200 OK' peer
    expect says '^MSRP dddd 501' peer
    expect says '^MSRP eeee 200 OK' peer
    expect lines '^MSRP .* SEND' peer 1
    expect answers a "ok $x" "remove $x"
    event a "ended $x removed"
    hang_up

    name="$pair, $version: openssl connects, BFCP"
    next
    # Hello; UserQuery with 4 octets more; HelloAck, which gets no answer; Hello
    printf '\040\013\000\000\000\000\000\011\000\001\000\002\040\005\000\001\000\000\000\011\000\002\000\002abcd' >in
    printf '\040\014\000\000\000\000\000\011\000\003\000\002\040\013\000\000\000\000\000\011\000\004\000\002' >>in
    port a "add $x passive bfcp server id-$x $key"
    client "$@"
    octets() { [ "$(od -An -v -tx1 peer | tr -d ' \n')" = "$1" ]; }
    acknowledge() { echo "200c000400000009000${1}000216050b0c0d00000014050c1416000000"; }
    expect soon octets "$(acknowledge 1)200d00010000000900020002""0d030300""$(acknowledge 4)"
    expect answers a "ok $x" "remove $x"
    event a "ended $x removed"
    hang_up

    name="$pair, $version: remove while the peer talks"
    next
    send aaaa SEND 'Message-ID: 1' 'Byte-Range: 1-1/1' 'Content-Type: text/plain' '' x >in
    port a "add $x passive msrp server id-$x $key"
    while cat in 2>/dev/null; do :; done |
        openssl s_client -quiet -connect "127.0.0.1:$port" -psk $key -psk_identity "id-$x" "$@" >peer 2>peer.err &
    client=$!
    expect soon lines '^MSRP aaaa 200 OK' peer 200
    expect answers a "ok $x" "remove $x"
    event a "ended $x removed"
    wait $client

    name="$pair, $version: the peer closes, the peer is killed"
    next
    : >in
    port a "add $x passive msrp server id-$x $key"
    client "$@"
    event a "connected $x"
    kill -9 $client
    hang_up 2>/dev/null
    event a "ended $x cut"

    name="$pair, $version: openssl speaks no MSRP"
    next
    echo 'GET / HTTP/1.0' >in
    port a "add $x passive msrp server id-$x $key"
    client "$@"
    event a "ended $x failed"
    hang_up

    name="$pair, $version: announced, openssl waits for our key"
    next
    send aaaa SEND 'Message-ID: 1' 'Byte-Range: 1-0/0' >in
    port a "announce $x passive msrp server"
    client "$@"
    expect answers a "ok $x" "key $x id-$x $key"
    event a "connected $x"
    expect soon says '^MSRP aaaa 200 OK' peer
    expect answers a "ok $x" "remove $x"
    hang_up

    name="$pair, $version: announced, a client goes, and of two others one has the stream"
    next
    : >in
    port a "announce $x passive msrp server"
    client "$@"
    expect soon has a 2
    kill $client
    hang_up 2>/dev/null
    event a "failed $x TCP was closed"
    client "$@"
    openssl s_client -quiet -connect "127.0.0.1:$port" -psk $key -psk_identity "id-$x" "$@" <hold >peer.2 2>&1 &
    second=$!
    expect soon has a 3
    expect answers a "ok $x" "key $x id-$x $key"
    event a "connected $x"
    expect soon has a 1 # the other connection is gone, and the listener
    expect answers a "ok $x" "remove $x"
    event a "ended $x removed"
    expect [ "$(grep -c "^connected $x" a.events)" = 1 ]
    hang_up
    wait $second

    name="$pair, $version: openssl awaits us"
    for medium in msrp bfcp; do
        next
        server "$@"
        paths=
        [ $medium = bfcp ] || paths=" msrps://127.0.0.1:7/own;tcp $path"
        expect answers a "ok $x [0-9]*" "add $x active $medium client id-$x $key 127.0.0.1 $port$paths"
        event a "connected $x"
        [ $medium = bfcp ] || expect soon says '^To-Path: msrps://127.0.0.1:9/peer;tcp' peer
        expect answers a "ok $x" "remove $x"
        event a "ended $x removed"
        hang_up
    done

    name="$pair, $version: openssl awaits us with another key"
    next
    server "$@"
    expect answers a "ok $x [0-9]*" "add $x active msrp client id-$x $other 127.0.0.1 $port"
    event a "failed $x .*"
    expect answers a "error $x .*" "remove $x"
    hang_up
}
# ---- what proves no key ----

# failing WHY COMMAND...: the command connects to the passive stream $x, which waits on
failing() {
    were=$(grep -c "^failed $x $1" a.events)
    why=$1
    shift
    "$@" <hold >peer 2>peer.err &
    client=$!
    exec 3>hold
    expect soon lines "^failed $x $why" a.events $((were + 1))
    expect answers a "error y .*" "add y passive msrp server id-$x $key"
    hang_up
}

# gnutls PRIORITY
gnutls() {
    gnutls-cli -p "$port" 127.0.0.1 --pskusername "id-$x" --pskkey $key \
        --priority "NORMAL:-KX-ALL:+ECDHE-PSK:-VERS-ALL:+VERS-TLS1.2$1"
}

# shellcheck disable=SC2086
strangers() {
    name="$pair: clients without our key"
    next
    port a "add $x passive msrp server id-$x $key"
    failing . openssl s_client -connect "127.0.0.1:$port"
    failing . openssl s_client -connect "127.0.0.1:$port" -tls1_2
    failing . openssl s_client -connect "127.0.0.1:$port" -psk $key -psk_identity "id-$x" -tls1_2 \
        -cipher PSK-AES128-GCM-SHA256
    failing . openssl s_client -connect "127.0.0.1:$port" -psk $key -psk_identity "id-$x" -tls1_2 \
        -cipher RSA-PSK-AES128-GCM-SHA256
    # mbedTLS can't ask for the one, and has a test for the other in tests/interop.sh
    if says OpenSSL a.err && command -v gnutls-cli >/dev/null; then
        name="$pair: clients without RFC 5746, without extended master secret"
        failing "no RFC 5746" gnutls :%DISABLE_SAFE_RENEGOTIATION
        failing "no extended master secret" gnutls :%NO_SESSION_HASH
    fi
    name="$pair: and then the peer"
    : >in
    client $tls12
    event a "connected $x"
    expect answers a "ok $x" "remove $x"
    hang_up

    name="$pair: a server with a certificate in place of our key"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 -keyout own.key \
        -out own.pem 2>/dev/null
    for version in -tls1_2 -tls1_3; do
        next
        : >peer
        # shellcheck disable=SC2002
        cat hold | openssl s_server -accept 127.0.0.1:0 -naccept 1 -cert own.pem -key own.key $version >peer 2>peer.err &
        client=$!
        exec 3>hold
        expect soon says '^ACCEPT ' peer
        port=$(sed -n 's/^ACCEPT .*://p' peer)
        expect answers a "ok $x [0-9]*" "add $x active msrp client id-$x $key 127.0.0.1 $port"
        event a "failed $x .*"
        hang_up
    done
}

# ---- commands ----

# 1,000 lines that are wrong, one kind after the other
bad_lines() {
    i=0
    while [ $i -lt 50 ]; do
        i=$((i + 1))
        printf '%s\n' '' ' ' 'count ' ' count' 'count now' 'COUNT' "add" "add z passive" "remove" "remove a b" \
            "add z passive msrp server id" "add z both msrp server id $key" "add z passive rtp server id $key" \
            "add z passive msrp peer id $key" "add z passive msrp server id ${key}0" "add  z passive msrp server id $key" \
            "add z active msrp client id $key 127.0.0.1" "add z active msrp client id $key localhost 9" \
            "add z active msrp client id $key 127.0.0.1 port" "add z active bfcp client id $key 127.0.0.1 9 a b" \
            "add z active msrp client id $key 127.0.0.1 9 a b c" "add z active msrp client id $key 127.0.0.1 9 a" \
            "add z passive msrp server id $key 127.0.0.1 9" "add z passive msrp server id 0011" "key z" \
            "announce z active msrp client" "announce z passive msrp server id $key" "key z id not-hex-0123456789abcdef" \
            "$(printf 'remove \001')" "$(printf 'remove \377\376')" "add $long passive msrp server id $key" \
            "add z passive msrp server $long$long $key" "$long$long$long" "$(printf 'count\r')" \
            "add z passive msrp server id $key$key$key" "quiet please" "count count count count count count count count"
    done | head -n 998
    printf 'x%5000s\n' x
    printf 'x%4095s%s\n' x count
}

# with_lines: the MRFC a
with_lines() {
    name="$pair: 1,000 lines that are wrong, and then a good one"
    next
    long=$(printf '%0200d' 0)
    bad_lines >lines
    expect [ "$(wc -l <lines)" = 1000 ]
    { cat lines; echo "add $x passive msrp server id-$x $key"; } | "$mrfc" a.sock >answers
    expect [ "$(wc -l <answers)" = 1001 ]
    expect [ "$(grep -c '^error - ' answers)" = 1000 ]
    expect says "^ok $x [0-9]*\$" answers
    streams a 1
    expect answers a "ok $x" "remove $x"
    expect soon has a 0

    name="$pair: a line in parts, two in one, one without an end"
    next
    { printf 'cou'; sleep 0.1; printf 'nt\n'; } | "$mrfc" a.sock >answers
    expect says "^ok 0\$" answers
    : >part
    "$mrfc" a.sock watch coun >part &
    part=$!
    expect soon says '^watching$' part
    streams a 0
    end $part

    name="$pair: what can't be done"
    port a "add $x passive msrp server id-$x $key"
    expect answers a "error $x there is a stream of that name" "add $x passive msrp server id-other $key"
    expect answers a "error y another stream has this identity" "add y passive msrp server id-$x $key"
    expect answers a "error y there is no such stream" "key y id-y $key"
    expect answers a "error y there is no such stream" "remove y"
    expect answers a "error y .*" "add y active msrp client id-y $key ::1 9"
    streams a 1
    expect answers a "ok $x" "remove $x"
    streams a 0

    name="$pair: the MRFC goes, its stream stays, and it comes again"
    next
    port a "add $x passive msrp server id-$x $key"
    end "$a_watch"
    paths="msrps://127.0.0.1:9/$x;tcp msrps://127.0.0.1:$port/own;tcp"
    expect answers b "ok $x [0-9]*" "add $x active msrp client id-$x $key 127.0.0.1 $port $paths"
    expect soon says "^mrfp: $x: MSRP 200\$" b.err
    watch a
    expect answers a "ok $x" "remove $x"
    event a "ended $x removed"
    event b "ended $x closed"

    name="$pair: an MRFC that does not read holds up nobody"
    : >stalled
    # shellcheck disable=SC2094
    "$mrfc" a.sock stall <hold >stalled &
    stalled=$!
    exec 3>hold
    expect soon says '^stalled$' stalled
    streams a 0
    exec 3>&-
    wait $stalled
    expect says '^answered all$' stalled
    expect soon has a 0

    name="$pair: an MRFC that wants no events"
    next
    : >quiet
    "$mrfc" a.sock watch "quiet
" >quiet &
    quiet=$!
    expect soon says '^ok quiet$' quiet
    port a "announce $x passive msrp server"
    expect answers b "ok $x [0-9]*" "add $x active msrp client other $key 127.0.0.1 $port"
    expect answers a "ok $x" "key $x id-$x $key"
    event a "failed $x .*"
    expect answers a "ok $x" "remove $x"
    end $quiet
    expect [ "$(wc -l <quiet)" = 2 ]
}

cd "$dir" || exit 1
mkfifo hold hold.2
for one; do
    for two; do
        pair="${one##*/} and ${two##*/}"
        start a "$one"
        start b "$two"
        both
        if [ "$one" != "$two" ] || [ $# = 1 ]; then
            load
        fi
        [ "$one" != "$two" ] || with_lines
        stop a
        stop b
    done
    pair=${one##*/}
    start a "$one" --expire 1
    strangers
    # shellcheck disable=SC2086
    with_openssl "TLS 1.2" $tls12
    says 'mbedTLS 2' a.err || with_openssl "TLS 1.3" -tls1_3
    name="$pair: announced, and no key comes"
    next
    port a "announce $x passive bfcp server"
    event a "ended $x expired"
    expect answers a "ok 0" count
    stop a
done
[ $failed = 0 ]
