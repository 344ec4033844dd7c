#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# libmikeyticket-tls against OpenSSL and GnuTLS: each suite of the profiles in both TLS roles, what must be refused and
# the alert that the other end sees then, renegotiation, and ends. Prints the two tables of README.md.
#
#   tests/interop.sh TLSPEER
set -u
export LC_ALL=C

[ $# = 1 ] || { echo "usage: interop.sh TLSPEER" >&2; exit 2; }
ours=$(cd "$(dirname "$1")" && pwd)/${1##*/}
for tool in openssl gnutls-cli gnutls-serv; do
    command -v $tool >/dev/null || { echo "no $tool here: install openssl and gnutls-bin"; exit 77; }
done

psk=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
other=100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
identity=mikey-ticket:0123abcd:01:00c0ffee
aead=TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256
failed=0
server=

dir=$(mktemp -d) || exit 1
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
mkfifo typed

# gnutls-cli 3.7 asks its library for what only a server knows, which reads through NULL where there was an identity
# hint, an empty one as that of mbedTLS too.
${CC:-cc} -shared -fPIC -x c -o hint.so - <<END || { echo "no C compiler here"; exit 77; }
const char *gnutls_psk_server_get_username(void *session);
const char *gnutls_psk_server_get_username(void *session)
{
    (void)session;
    return 0;
}
END

case $("$ours" suites modern) in *TLS1-3-*) versions="1.2 1.3" ;; *) versions=1.2 ;; esac

# expect NAME COMMAND...: complains where the command fails, with what both ends said
expect() {
    name=$1
    shift
    "$@" && return
    failed=$((failed + 1))
    echo "$name: not so: $*"
    sed 's/^/    ours: /' ours.log
    grep -i -e alert -e error -e fatal peer.log | tail -n 8 | sed 's/^/    peer: /'
}

says() { grep -q -e "$1" "$2.log"; }
line() { sed -n "s/^$1: //p" ours.log; }

# await PATTERN FILE: until the file has it, 5 seconds at most
await() {
    for _ in $(seq 100); do
        grep -q -e "$1" "$2" 2>/dev/null && return
        sleep 0.05
    done
    return 1
}

# serve OPTION...: starts our server
serve() {
    : >ours.log
    "$ours" server --psk "$psk" --identity "$identity" "$@" >ours.log 2>&1 &
    server=$!
    await '^port: ' ours.log
    port=$(line port)
}

# dial OPTION...: runs our client against the peer's server
dial() {
    "$ours" client --psk "$psk" --identity "$identity" --port "$port" "$@" >ours.log 2>&1
}

served() { wait "$server"; server=; }

# What GnuTLS calls the key exchanges, and the MACs of CBC, that it does not have by default.
priority=NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK:+SHA256:+SHA384:-VERS-ALL

# What makes OpenSSL speak one version with PSK; TLS 1.1 takes leave of its security level.
openssl_version() {
    case $1 in
    1.1) echo "-tls1_1 -cipher PSK:@SECLEVEL=0" ;;
    1.2) echo "-tls1_2 -cipher PSK" ;;
    1.3) echo "-tls1_3" ;;
    esac
}

# openssl_client VERSION OPTION...: sends a line and shows what it gets; it stays until the server closes
# shellcheck disable=SC2046
openssl_client() {
    version=$1
    shift
    printf 'level\n' | timeout 10 openssl s_client -connect "127.0.0.1:$port" -psk "$psk" -psk_identity "$identity" \
        $(openssl_version "$version") -ign_eof "$@" >peer.log 2>&1
}

# gnutls_client VERSION OPTION...
gnutls_client() {
    version=$1
    shift
    printf 'level\n' | LD_PRELOAD=$dir/hint.so timeout 10 gnutls-cli -p "$port" 127.0.0.1 \
        --pskusername "$identity" --pskkey "$psk" --priority "$priority:+VERS-TLS$version" "$@" >peer.log 2>&1
}

# openssl_server VERSION OPTION...: takes one connection, and answers a line backwards
# shellcheck disable=SC2046
openssl_server() {
    version=$1
    shift
    : >peer.log
    timeout 10 openssl s_server -accept 127.0.0.1:0 -naccept 1 -rev -nocert -psk "$psk" -psk_identity "$identity" \
        $(openssl_version "$version") "$@" >peer.log 2>&1 </dev/null &
    server=$!
    await '^ACCEPT ' peer.log
    port=$(sed -n 's/^ACCEPT .*://p' peer.log)
}

# gnutls_server VERSION OPTION...: answers lines until it is ended; its file of keys has names with colons in hex
gnutls_server() {
    version=$1
    shift
    port=$("$ours" port)
    printf '#%s:%s\n' "$(printf %s "$identity" | od -An -v -tx1 | tr -d ' \n')" "$psk" >keys
    timeout 10 gnutls-serv --echo -d 5 -p "$port" --pskpasswd keys --priority "$priority:+VERS-TLS$version" "$@" \
        >peer.log 2>&1 &
    server=$!
}

# Lets the peer's server say all that it has to say.
end_openssl_server() { served; }
end_gnutls_server() {
    kill "$server" 2>/dev/null
    served
}

# The alert that the peer says it got, by number; "none" where it got none.
alert() {
    sed -n -e 's/.*SSL alert number \([0-9]*\).*/\1/p' -e 's/.*Received alert \[\([0-9]*\)\].*/\1/p' \
        -e 's/.* Alert\[2|\([0-9]*\)\] .* was received.*/\1/p' peer.log |
        grep -v -x 0 | head -n 1 | grep . || echo none
}

# agreed SUITE VERSION: whether ours said that it has that, with the right stream, and a line went both ways
agreed() {
    [ "$(line tls)" = "TLSv$2 $1" ] && [ "$(line stream)" = 7 ] && [ "$(line line)" = level ] &&
        [ "$(line end)" = closed ]
}

# The same with the suite that the peer chose.
agreed_on() { agreed "$(line tls | cut -d' ' -f2)" "$1"; }

# Each suite of a profile with each peer

# cell NAME COMMAND...: yes or no
cell() {
    before=$failed
    expect "$@" >>complaints
    [ "$failed" = "$before" ] && cells="$cells yes |" || cells="$cells NO |"
}

tell() {
    [ ! -s complaints ] || cat complaints
    : >complaints
}

: >complaints
gnutls=$(gnutls-cli --version | sed -n '1s/gnutls-cli/GnuTLS/p')
echo "mbedTLS $("$ours" version) with $(openssl version | cut -d' ' -f1,2) and $gnutls:"
echo
echo "| suite | OpenSSL client | OpenSSL server | GnuTLS client | GnuTLS server |"
echo "|---|---|---|---|---|"
for suite in $("$ours" suites modern:legacy); do
    case $suite in TLS1-3-*) v=1.3 ;; *) v=1.2 ;; esac
    cells=
    for peer in openssl gnutls; do
        serve --suites "$suite"
        ${peer}_client "$v"
        served
        cell "$peer client, $suite" agreed "$suite" $v
        ${peer}_server "$v"
        dial --suites "$suite"
        end_${peer}_server
        cell "$peer server, $suite" agreed "$suite" $v
    done
    echo "| $suite |$cells"
done
tell

# The profiles as they are: the best that both have
for v in $versions; do
    for profile in modern legacy; do
        [ "$profile-$v" != legacy-1.3 ] || continue
        # in TLS 1.2 by the order of our server; in TLS 1.3 mbedTLS by that of the client: AES-256, CHACHA20, AES-128
        [ "$v" = 1.3 ] && best=TLS1-3-CHACHA20-POLY1305-SHA256 || best=$aead
        for peer in openssl gnutls; do
            serve --suites $profile --bind
            ${peer}_client "$v"
            served
            expect "$peer client, $profile" agreed "$best" "$v"
            ${peer}_server "$v"
            dial --suites $profile
            end_${peer}_server
            expect "$peer server, $profile" agreed_on "$v"
        done
    done
done

# What our server refuses, and the alert that the peer's client sees

# no_connection END: ours had none, and says how it ended
no_connection() { [ -z "$(line tls)" ] && [ "$(line end)" = "$1" ]; }
alert_is() { [ "$(alert)" = "$1" ]; }

# refusal WHAT VERSION ALERT "OPTIONS OF OURS" "OPTIONS OF OPENSSL" "OPTIONS OF GNUTLS"; "no" where it can't do that
# shellcheck disable=SC2086
refusal() {
    cells=
    for peer in openssl gnutls; do
        [ $peer = openssl ] && options=$5 || options=$6
        if [ "$options" = no ]; then
            cells="$cells - |"
            continue
        fi
        serve $4
        ${peer}_client $2 $options
        served
        expect "$peer client: $1, TLS $2" no_connection failed >>complaints
        expect "$peer client: $1, TLS $2" alert_is "$3" >>complaints
        cells="$cells $(alert) |"
    done
    echo "| $1 | $2 |$cells"
}

echo
echo "| our server refuses | TLS | alert at the OpenSSL client | at the GnuTLS client |"
echo "|---|---|---|---|"
nobody="-psk_identity nobody"
nobody_gnutls="--pskusername nobody"
plain="--priority NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS"
unsafe="--priority $priority:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION"
for v in $versions; do
    [ "$v" = 1.2 ] && key=20 unknown=115 || key=51 unknown=109
    refusal "a wrong key" "$v" "$key" "" "-psk $other" "--pskkey $other"
    refusal "an unknown identity" "$v" "$unknown" "" "$nobody" "$nobody_gnutls"
    refusal "an unknown identity, where they are hidden" "$v" "$key" --hide "$nobody" "$nobody_gnutls"
    refusal "the identity of another stream than the connection's" "$v" "$unknown" --other "" ""
    refusal "the same, where they are hidden" "$v" "$key" "--other --hide" "" ""
done
refusal "TLS 1.1" 1.1 70 "--suites legacy" "" ""
refusal "a suite outside the list" 1.2 40 "" "-cipher PSK-AES128-CBC-SHA" "${plain}1.2"
refusal "no RFC 5746" 1.2 40 "" no "$unsafe"
refusal "no RFC 5746, where renegotiation is allowed" 1.2 40 --renegotiation no "$unsafe"
case $versions in
*1.3) refusal "psk_ke, without Diffie-Hellman" 1.3 109 "" no "${plain}1.3" ;;
esac
tell

# What our client refuses, or is refused

# The alert that a peer's server sees from our client; "any" where the server refuses by itself
# client_refusal WHAT VERSION PEER ALERT "OPTIONS OF OURS" OPTION...
# shellcheck disable=SC2086
client_refusal() {
    what=$1 tls=$2 peer=$3 number=$4 options=$5
    shift 5
    ${peer}_server "$tls" "$@"
    dial $options
    [ $peer = openssl ] || [ "$number" = any ] || await 'Alert\[.* was received' peer.log
    end_${peer}_server
    if [ "$number" = any ]; then
        expect "$peer server: $what, TLS $tls" no_connection alert
    else
        expect "$peer server: $what, TLS $tls" no_connection failed
        expect "$peer server: $what, TLS $tls" alert_is "$number"
    fi
}
for v in $versions; do
    client_refusal "a wrong key" "$v" openssl any "--psk $other"
    client_refusal "a wrong key" "$v" gnutls any "--psk $other"
    client_refusal "an unknown identity" "$v" gnutls any "--identity nobody"
done
client_refusal "TLS 1.1" 1.1 openssl 70 "--suites legacy"
client_refusal "TLS 1.1" 1.1 gnutls 70 "--suites legacy"
client_refusal "a suite outside the list" 1.2 openssl any "" -cipher PSK-AES128-CBC-SHA
client_refusal "a suite outside the list" 1.2 gnutls any "" --priority NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.2
# shellcheck disable=SC2086
client_refusal "no RFC 5746" 1.2 gnutls 40 "" $unsafe
# shellcheck disable=SC2086
client_refusal "no RFC 5746, renegotiation is allowed" 1.2 gnutls 40 --renegotiation $unsafe

# Renegotiation by the peer

# Runs OpenSSL's client with the FIFO at descriptor 3 as its input, where "R" in a line alone means to renegotiate.
typed_client() {
    openssl s_client -connect "127.0.0.1:$port" -psk "$psk" -psk_identity "$identity" -tls1_2 -cipher PSK \
        <typed >peer.log 2>&1 &
    client=$!
    exec 3>typed
}

# types LINE: into that FIFO, if the client is still there
types() { (trap '' PIPE; echo "$1" >&3) 2>/dev/null; }

for allowed in "" --renegotiation; do
    # shellcheck disable=SC2086
    serve $allowed
    typed_client
    await '^stream: ' ours.log
    types R
    await RENEGOTIATING peer.log
    sleep 0.3
    types level
    wait $client
    exec 3>&-
    served
    if [ -n "$allowed" ]; then
        expect "openssl client renegotiates" agreed $aead 1.2
    else
        expect "openssl client must not renegotiate" says 'no renegotiation' peer
        expect "openssl client must not renegotiate" [ "$(line line)" != level ]
    fi

    # shellcheck disable=SC2086
    serve $allowed
    gnutls_client 1.2 --rehandshake
    served
    if [ -n "$allowed" ]; then
        expect "gnutls client renegotiates" agreed $aead 1.2
        expect "gnutls client renegotiates" says 'ReHandshake was completed' peer
    else
        expect "gnutls client must not renegotiate" [ "$(line line)" != level ]
        expect "gnutls client must not renegotiate" alert_is 100
    fi
done

# Renegotiation by ours
openssl_server 1.2 -client_renegotiation
dial --renegotiation --renegotiate
end_openssl_server
expect "our client renegotiates, openssl server" agreed $aead 1.2
expect "our client renegotiates, openssl server" says '^renegotiated' ours
gnutls_server 1.2
dial --renegotiation --renegotiate
end_gnutls_server
expect "our client renegotiates, gnutls server" agreed $aead 1.2
expect "our client renegotiates, gnutls server" says '^renegotiated' ours

# Ends: the peer closes, or is gone
for v in $versions; do
    serve --wait
    gnutls_client "$v"
    served
    expect "gnutls client closes, TLS $v" [ "$(line end)" = closed ]
done
serve --wait
typed_client
types level
await '^level' peer.log
kill -9 $client
wait $client 2>/dev/null
exec 3>&-
served
expect "openssl client is killed" [ "$(line end)" = cut ]

[ "$failed" = 0 ] || { echo "$failed failed"; exit 1; }
