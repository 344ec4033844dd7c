#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Lets SIP user agents call each other through Kamailio, with the tickets of a KMS, and shows the SIP and MIKEY messages
# of both ends as they come and go: a call that is re-keyed, one that is forked to two users of one server, and one that
# is declined. Installs what is missing from Debian's packages.
#
# Builds in build/sip. Exit status 1 if something does not come within 30 s.
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build/sip
# shellcheck source=tests/debian.sh
. "$top/tests/debian.sh"

need gcc libc6-dev meson ninja-build pkgconf libmbedtls-dev libmicrohttpd-dev libsofia-sip-ua-dev kamailio
mkdir -p "$top/build"
rm -rf "$build"
if ! { CC=gcc meson setup -Dtests=disabled "$build" "$top" && meson compile -C "$build"; } >"$build.log" 2>&1; then
    cat "$build.log"
    die "the examples do not build: see above"
fi

PATH=$PATH:/usr/sbin
umask 077
dir=$(mktemp -d) || die "no temporary directory"
pids=
agents=
failed=0
# shellcheck disable=SC2086 # words
trap '[ -z "$pids" ] || kill $pids 2>/dev/null; exec 3>&- 4>&- 5>&-; wait; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir" || exit 1
mkfifo said alice.in server.in kms.out alice.out server.out

key() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# named NAME: puts a name before each line
named() {
    while IFS= read -r line; do
        printf '%-8s| %s\n' "$1" "$line" >&3
    done
}

# run NAME INPUT COMMAND...: in the background; what it says is shown with its name
run() {
    who=$1
    in=$2
    shift 2
    named "$who" <"$who.out" &
    "$@" <"$in" >"$who.out" 2>&1 3>&- 4>&- 5>&- &
    pids="$pids $!"
}

# see NAME REGEX: waits for a line of an agent that comes after its last one that was seen; $line is what it said
see() {
    at=0
    eval "at=\${at_$1:-0}"
    tries=300
    until found=$(tail -n +$((at + 1)) transcript | grep -n -m 1 -e "^$1 *| .*$2"); do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "$1 does not say: $2"
        sleep 0.1
    done
    eval "at_$1=$((at + ${found%%:*}))"
    line=${found#*| }
}

# number NAME: of the server's newest call for a device
number() { sed -n "s/^server  | \([0-9]*\): call for $1\$/\1/p" transcript | tail -n 1; }

tee transcript <said &
exec 3>said

alice=$(key)
bob=$(key)
carol=$(key)
cat >kms.users <<END
user alice-1 sip:alice@example.com $alice
user bob-1 sip:bob@example.com $bob sip:team@example.com
user carol-1 sip:carol@example.com $carol sip:team@example.com
tpk tpk-1 $(key)
END
# an agent knows keys of its own users; the KMS alone knows tpk-1
tpk="tpk none $(key)"
{ grep alice kms.users; echo "$tpk"; } >alice.users
{ grep -e bob -e carol kms.users; echo "$tpk"; } >server.users

run kms /dev/null "$build/examples/kms" --listen 127.0.0.1:0 --users kms.users
see kms 'listening on'
url=${line#*listening on }
url=${url%% *}

# Kamailio takes no port 0: draws one that is free
mkdir run
kamailio=
while [ -z "$kamailio" ] || ! kill -0 "$kamailio" 2>/dev/null; do
    port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 40000))
    rm -f run/pid
    kamailio -f "$top/examples/sip/kamailio.cfg" -A "PORT=$port" -DD -E -m 64 -M 8 -Y "$dir/run" -P "$dir/run/pid" \
        >kamailio.log 2>&1 3>&- &
    kamailio=$!
    tries=100
    while kill -0 $kamailio 2>/dev/null && [ ! -s run/pid ] && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
    attempts=$((${attempts:-0} + 1))
    [ $attempts -le 20 ] || { cat kamailio.log; die "Kamailio does not start"; }
done
pids="$pids $kamailio"

say "the agents register at Kamailio, port $port" >&3
with="--kms $url --proxy sip:127.0.0.1:$port --register --show-keys"
# shellcheck disable=SC2086 # options are words
run server server.in "$build/examples/agent" --users server.users $with
agents=$!
exec 5>server.in
# shellcheck disable=SC2086
run alice alice.in "$build/examples/agent" --users alice.users $with --member sip:bob@example.com \
    --member sip:carol@example.com
agents="$agents $!"
exec 4>alice.in
for device in server server server server alice; do # Bob, Carol, and the team at both
    see "$device" 'registered: 200'
done

say "Alice calls Bob" >&3
echo "call sip:bob@example.com" >&4
see server '-> 180'
echo "accept" >&5
see alice 'connected'
echo "send Hello Bob" >&4
see alice 'delivered'

say "Alice re-keys the call, then moves it to a new connection, which has the new key" >&3
echo "reinvite rekey" >&4
see alice 'exchange: keep, key new'
echo "reinvite move" >&4
see alice 'connected'
echo "send Hello again" >&4
see alice 'delivered'
echo "bye" >&4
see alice 'ended'

say "Alice calls the team: the INVITE is forked to Bob and Carol, both ring, and Carol accepts" >&3
echo "call sip:team@example.com" >&4
see server '-> 180'
see server '-> 180'
echo "@$(number bob-phone) early" >&5
see alice 'branch'
echo "@$(number carol-phone) early" >&5
see alice 'branch'
echo "@$(number carol-phone) accept" >&5
see alice 'connected'
echo "send Hello Carol" >&4
see alice 'delivered'
echo "bye" >&4
see alice 'ended'

say "Alice calls Bob, who declines: the Error message is authenticated" >&3
echo "call sip:bob@example.com" >&4
see server '-> 180'
echo "reject" >&5
see alice 'error message: .*, authenticated'
see alice 'ended: 603'

say "the end" >&3
echo quit >&4
echo quit >&5
for agent in $agents; do
    wait "$agent" || { say "an agent ends with status $?" >&3; failed=1; }
done
exit $failed
