#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs KMSs that share their replay cache in Redis: what is a replay to one is a replay to all, and a Redis that has
# forgotten lets no replay through.
#
#   tests/redis.sh KMS LOAD
#
# Needs redis-server(1) and curl(1). It starts a Redis of its own, on a Unix socket and on a port.
set -u
export LC_ALL=C no_proxy=127.0.0.1
umask 077

[ $# = 2 ] || { echo "usage: redis.sh KMS LOAD" >&2; exit 2; }
for needed in redis-server redis-cli curl; do
    command -v "$needed" >/dev/null || { echo "redis.sh: no $needed: install it" >&2; exit 77; }
done
program() { echo "$(cd "$(dirname "$1")" && pwd)/${1##*/}"; }
kms=$(program "$1")
load=$(program "$2")
failed=0
running=
redis=

dir=$(mktemp -d) || exit 1
trap 'for one in $running $redis; do kill -9 "$one" 2>/dev/null; done; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cd "$dir" || exit 1

key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
cat >users <<END
user alice-1 sip:alice@example.com a0$key
user bob-1 sip:bob@example.com b0$key
tpk tpk-1 $key
END
if "$kms" --listen 127.0.0.1:0 --users users --replay unix:/none 2>&1 | grep -q 'without hiredis'; then
    echo "redis.sh: the KMS was built without hiredis: install libhiredis-dev" >&2
    exit 77
fi
echo secret >password
cp /dev/null redis.log

# expect COMMAND...: complains if the command fails
expect() {
    "$@" && return
    failed=$((failed + 1))
    echo "$name: not so: $*"
    for file in load.err kms.err kms.log; do
        [ ! -s "$file" ] || tail -n 3 "$file" | sed "s/^/    $file: /" | cut -c 1-200
    done
}
says() { grep -q -e "$1" "$2"; }

# until_true COMMAND...: waits until it succeeds, for a minute at most
until_true() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { echo "$name: never so: $*"; exit 1; }
        sleep 0.05
    done
}

cli() { redis-cli -s "$dir/redis.sock" -a secret --no-auth-warning "$@"; }
calls_fail() { [ "$(grep -c 'does not answer' one.log)" -gt 1 ]; }
answers() { [ "$(cli ping)" = PONG ]; }

# start_redis OPTIONS...: with what Debian's configuration has beside them
start_redis() {
    redis-server --port "$redis_port" --bind 127.0.0.1 --unixsocket "$dir/redis.sock" --unixsocketperm 700 \
        --requirepass secret --dir "$dir" --maxmemory-policy noeviction "$@" >>redis.log 2>&1 &
    redis=$!
    until_true answers
}

kill_redis() {
    kill -9 "$redis"
    wait "$redis" 2>/dev/null
    redis=
    rm -f redis.sock
}

# start NAME OPTIONS...: a KMS; $url is then its address
start() {
    log=$1
    shift
    : >"$log.log"
    "$kms" --listen 127.0.0.1:0 --users users --rate 999999999 "$@" >"$log.log" 2>"$log.err" &
    started=$!
    running="$running $started"
    until_true says 'listening on' "$log.log"
    url=$(sed -n 's/^kms: listening on \(http:[^ ]*\) as .*/\1/p' "$log.log")
}

stop() {
    kill "$@"
    wait "$@" 2>/dev/null
    running=
}

# post FILE URL TYPE: the status of the answer
post() {
    curl -sS -o body -w '%{http_code}' -H "Content-Type: application/mikey" --data-binary "@$1" "$2/?requesttype=$3"
}

# refused STATUS PATTERN OPTIONS...: a KMS that does not start
refused() {
    want=$1
    pattern=$2
    shift 2
    name="refused: $*"
    timeout 60 "$kms" --listen 127.0.0.1:0 --users users "$@" >out 2>err </dev/null
    expect [ $? = "$want" ]
    expect says "$pattern" err
    expect [ "$(wc -l <err)" = 1 ]
}

# A port that is free for now: that of a KMS that is stopped.
name="start"
start kms
redis_port=${url##*:}
stop "$started"

# ---- what must hold for Redis ----

socket="unix:$dir/redis.sock"
refused 1 'does not answer' --replay "$socket" --replay-password password
start_redis --maxmemory-policy allkeys-lru
refused 1 'set maxmemory-policy noeviction' --replay "$socket" --replay-password password
kill_redis
start_redis
echo wrong >wrong
refused 1 'refuses the password' --replay "$socket" --replay-password wrong
refused 1 'give the password' --replay "$socket"
refused 1 'needs a password' --replay "redis://127.0.0.1:$redis_port"
refused 1 'write redis://IP:PORT or unix:/PATH' --replay redis://localhost:1 --replay-password password
refused 1 'No such file' --replay "$socket" --replay-password none
refused 2 'usage: --cache and --replay' --replay "$socket" --cache cache
refused 2 'usage: --replay-password goes with --replay' --replay-password password
cli replicaof 127.0.0.1 1 >/dev/null
refused 1 'name its master' --replay "$socket" --replay-password password
cli replicaof no one >/dev/null

# ---- two KMSs, on a socket and on a port ----

skew="--skew 4"
# shellcheck disable=SC2086
{
    start one $skew --replay "$socket" --replay-password password
    one=$url
    name="the first start"
    "$load" --kms "$one" --users users --calls 1 --clients 1 --patience 1 >load.log 2>load.err
    expect [ $? = 1 ]
    expect says 'refused, the replay cache in Redis began too short a time ago' one.log
    name="calls begin after the skew"
    "$load" --kms "$one" --users users --calls 20 --patience 60 --replay --keep kept --clients 1 >load.log 2>load.err
    expect [ $? = 0 ]
    expect says ' 40 replays refused$' load.log
    start two $skew --replay "redis://127.0.0.1:$redis_port" --replay-password password
    two=$url
    name="a second KMS has no time to wait for"
    "$load" --kms "$two" --users users --calls 1 --clients 1 --patience 1 --keep second >load.log 2>load.err
    expect [ $? = 0 ]
    expect says ' 0 retried' load.log
    for type in ticketrequest ticketresolve; do
        name="a replay to the other KMS, $type"
        expect [ "$(post second.$type "$one" $type)" = 403 ]
        expect says "$type from sip:[a-z]*@example.com (not verified): refused, MKT_E_REPLAY" one.log
    done
}

# ---- Redis is emptied: the same Redis has forgotten ----

name="Redis is emptied"
"$load" --kms "$two" --users users --calls 1 --clients 1 --keep second >load.log 2>load.err
cli flushall >/dev/null
for _ in 1 2 3; do
    for to in "$one" "$two"; do
        expect [ "$(post second.ticketrequest "$to" ticketrequest)" != 200 ]
    done
done

# ---- Redis is killed in the middle of 1,000 calls ----

name="1,000 calls"
mkfifo go
"$load" --kms "$one" --users users --calls 1000 --patience 60 --replay --halt 500 --keep kept <go >load.log 2>load.err &
loading=$!
running="$running $loading"
exec 3>go
until_true says '^load: 500 calls' load.log
kill_redis
cp kept.ticketrequest old.ticketrequest
cp kept.ticketresolve old.ticketresolve
name="Redis is away"
expect [ "$(post old.ticketrequest "$one" ticketrequest)" = 503 ]
expect says 'refused, the replay cache in Redis does not answer' one.log
exec 3>&-
until_true calls_fail
start_redis
name="no replay to the Redis that is new"
replays=0
while ! grep -q '^load: 600 calls' load.log && kill -0 "$loading" 2>/dev/null; do
    for type in ticketrequest ticketresolve; do
        for to in "$one" "$two"; do
            expect [ "$(post old.$type "$to" $type)" != 200 ]
            replays=$((replays + 1))
        done
    done
    sleep 0.2
done
expect [ $replays -gt 0 ]
name="all calls end"
wait "$loading"
expect [ $? = 0 ]
expect says '^load: 1000 of 1000 calls completed .* 2000 replays refused$' load.log
expect [ ! -s one.err ]
expect [ ! -s two.err ]

# ---- Redis stops, is full ----

name="Redis is stopped"
kill -STOP "$redis"
expect [ "$(post kept.ticketrequest "$one" ticketrequest)" = 503 ]
kill -CONT "$redis"
name="Redis is full"
until_true answers
cli config set maxmemory 1 >/dev/null
: >one.log
"$load" --kms "$one" --users users --calls 1 --clients 1 --patience 1 >load.log 2>load.err
expect [ $? = 1 ]
expect says 'refused, the replay cache in Redis is full' one.log
cli config set maxmemory 0 >/dev/null
"$load" --kms "$one" --users users --calls 10 >load.log 2>load.err
expect [ $? = 0 ]

[ $failed = 0 ]
