#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# libmikeyticket-tls against OpenSSL and GnuTLS: each suite of the profiles in both TLS roles, what must be refused and
# the alert that the other end sees then, renegotiation, and ends; what clients do. Prints the tables of README.md, which must be those.
#
#   tests/interop.sh TLSPEER
set -u
export LC_ALL=C

[ -x "${1:-}" ] || { echo "usage: interop.sh TLSPEER, the program made of tests/tlspeer.c" >&2; exit 2; }
ours=$(cd "$(dirname "$1")" && pwd)/${1##*/}
readme=$(cd "$(dirname "$0")/.." && pwd)/README.md
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

# await PATTERN FILE: until the file has it, 30 seconds at most
await() {
    for _ in $(seq 600); do
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
    printf 'level\n' | timeout 60 openssl s_client -connect "127.0.0.1:$port" -psk "$psk" -psk_identity "$identity" \
        $(openssl_version "$version") -ign_eof "$@" >peer.log 2>&1
}

# gnutls_client VERSION OPTION...
gnutls_client() {
    version=$1
    shift
    printf 'level\n' | LD_PRELOAD=$dir/hint.so timeout 60 gnutls-cli -p "$port" 127.0.0.1 \
        --pskusername "$identity" --pskkey "$psk" --priority "$priority:+VERS-TLS$version" "$@" >peer.log 2>&1
}

# openssl_server VERSION OPTION...: takes one connection, and answers a line backwards
# shellcheck disable=SC2046
openssl_server() {
    version=$1
    shift
    : >peer.log
    timeout 60 openssl s_server -accept 127.0.0.1:0 -naccept 1 -rev -nocert -psk "$psk" -psk_identity "$identity" \
        $(openssl_version "$version") "$@" >peer.log 2>&1 </dev/null &
    server=$!
    await '^ACCEPT ' peer.log
    port=$(sed -n 's/^ACCEPT .*://p' peer.log)
}

# gnutls_server VERSION OPTION...: answers lines until it is ended; its file of keys has names with colons in hex
gnutls_server() {
    version=$1
    shift
    printf '#%s:%s\n' "$(printf %s "$identity" | od -An -v -tx1 | tr -d ' \n')" "$psk" >keys
    # somebody else may take the port before the server does
    for _ in 1 2 3; do
        port=$("$ours" port)
        : >peer.log
        timeout 60 gnutls-serv --echo -d 5 -p "$port" --pskpasswd keys --priority "$priority:+VERS-TLS$version" "$@" \
            >peer.log 2>&1 &
        server=$!
        await 'listening on IPv4 .*\(done\|fail\)' peer.log
        says 'listening on IPv4 .*done' peer && return
        end_gnutls_server
    done
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

# complain NAME COMMAND...: expects it, and keeps the complaint until the table is whole
complain() { expect "$@" >>complaints; }

# cell NAME COMMAND...: yes or no
cell() {
    before=$failed
    complain "$@"
    [ "$failed" = "$before" ] && cells="$cells yes |" || cells="$cells NO |"
}

# table FILE HEADING: begins one
table() {
    echo "$2" >"$1"
    echo "$2" | sed 's/[^|]\{1,\}/---/g' >>"$1"
}

# tell FILE: prints the table, and what is wrong with it
tell() {
    echo
    cat "$1"
    cat complaints
    : >complaints
}

: >complaints
version_of() { sed -n '1s/^[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p'; }
mbedtls=$("$ours" version | version_of)
openssl=$(openssl version | version_of)
gnutls=$(gnutls-cli --version | version_of)
echo "mbedTLS $("$ours" version) with $(openssl version | cut -d' ' -f1,2) and GnuTLS $gnutls"

openssl ciphers -stdname ALL:COMPLEMENTOFALL@SECLEVEL=0 >openssl.names
gnutls-cli --list >gnutls.names

# iana_name SUITE: the name in the registry of a suite that has a name of mbedTLS
iana_name() { echo "$1" | sed -e 's/^TLS1-3/TLS/' -e 's/-/_/g'; }

# openssl_name SUITE, gnutls_name SUITE: what they call it themselves
openssl_name() { awk -v name="$(iana_name "$1")" '$1 == name { print $3 }' openssl.names; }
gnutls_name() {
    iana_name "$1" | sed -e 's/_WITH_/_/' -e 's/_SHA$/_SHA1/' -e 's/\(PSK.*POLY1305\)_SHA256$/\1/' >name
    awk 'NR == FNR { wanted = $1; next } $1 == wanted { print $1 }' name gnutls.names
}

# Our end has the suite in its list by the name that the peer gives it.
for suite in $("$ours" suites modern:legacy); do
    case $suite in TLS1-3-*) v=1.3 ;; *) v=1.2 ;; esac
    cells=
    for peer in openssl gnutls; do
        named=$(${peer}_name "$suite")
        serve --suites "$named"
        ${peer}_client "$v"
        served
        cell "$peer client, $suite" agreed "$suite" $v
        ${peer}_server "$v"
        dial --suites "$named"
        end_${peer}_server
        cell "$peer server, $suite" agreed "$suite" $v
    done
    echo "$suite|$cells"
done >each

# A row for each key exchange, and for each result of it: what encrypts, without the length of the key.
table suites "| suites | OpenSSL client | OpenSSL server | GnuTLS client | GnuTLS server |"
sed -e 's/^TLS1-3-/TLS1-3-WITH-/' -e 's/-WITH-/|/' -e 's/AES-[0-9]*/AES/' -e 's/\(GCM\|POLY1305\)-SHA[0-9]*/\1/' each |
    awk -F '|' '
        {
            row = $1 "|" $3 "|" $4 "|" $5 "|" $6
            if (!(row in names)) {
                order[++rows] = row
                names[row] = $1 ":"
            }
            if (!((row, $2) in seen))
                names[row] = names[row] (names[row] ~ /:$/ ? " " : ", ") $2
            seen[row, $2] = 1
            cells[row] = $3 "|" $4 "|" $5 "|" $6 "|"
        }
        END {
            for (i = 1; i <= rows; i++)
                print "| " names[order[i]] " |" cells[order[i]]
        }' >>suites
tell suites

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

# What is refused: each with each profile that has the version

# no_connection END: ours had none, and says how it ended
no_connection() { [ -z "$(line tls)" ] && [ "$(line end)" = "$1" ]; }
alert_is() { [ "$(alert)" = "$1" ]; }
profiles() { [ "$1" = 1.3 ] && echo modern || echo modern legacy; }

# result TEXT: into the cell, if no other profile had the same
result() {
    case "$cell," in *" $1,"*) ;; *) cell="$cell${cell:+,} $1" ;; esac
}

# What our server refuses, and the alert that the peer's client sees; a peer with options "no" can't do that
# refusal WHAT VERSION ALERT "OPTIONS OF OURS" "OPTIONS OF OPENSSL" "OPTIONS OF GNUTLS"
# shellcheck disable=SC2086
refusal() {
    cells=
    for peer in openssl gnutls; do
        cell=
        [ $peer = openssl ] && options=$5 || options=$6
        for profile in $(profiles $2); do
            [ "$options" != no ] || { result -; continue; }
            serve --suites $profile $4
            ${peer}_client $2 $options
            served
            complain "$peer client, $profile: $1, TLS $2" no_connection failed
            complain "$peer client, $profile: $1, TLS $2" alert_is "$3"
            result "$(alert)"
        done
        cells="$cells$cell |"
    done
    echo "| $1 | $2 |$cells" >>our_server
}

table our_server "| our server refuses | TLS | alert at the OpenSSL client | at the GnuTLS client |"
nobody="-psk_identity nobody"
nobody_gnutls="--pskusername nobody"
# suites of the version that are in no profile
strange="NORMAL:-KX-ALL:+ECDHE-PSK:+PSK:-CIPHER-ALL:+AES-128-CCM:-VERS-ALL:+VERS-TLS"
strange_openssl() { [ "$1" = 1.3 ] && echo -ciphersuites TLS_AES_128_CCM_SHA256 || echo -cipher PSK-AES128-CCM; }
plain="NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS"
unsafe="$priority:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION"
for v in $versions; do
    [ "$v" = 1.2 ] && key=20 unknown=115 || key=51 unknown=109
    refusal "a wrong key" "$v" "$key" "" "-psk $other" "--pskkey $other"
    refusal "an unknown identity" "$v" "$unknown" "" "$nobody" "$nobody_gnutls"
    refusal "the same, where identities are hidden" "$v" "$key" --hide "$nobody" "$nobody_gnutls"
    refusal "the identity of another stream than the connection's" "$v" "$unknown" --other "" ""
    refusal "the same, where identities are hidden" "$v" "$key" "--other --hide" "" ""
    refusal "a suite outside the list" "$v" 40 "" "$(strange_openssl "$v")" "--priority $strange$v"
done
case $versions in
*1.3) refusal "psk_ke, without Diffie-Hellman" 1.3 109 "" no "--priority ${plain}1.3" ;;
esac
refusal "TLS 1.1" 1.1 70 "" "" ""
refusal "no RFC 5746" 1.2 40 "" no "--priority $unsafe"
refusal "no RFC 5746, renegotiation is allowed" 1.2 40 --renegotiation no "--priority $unsafe"
tell our_server

# With our client: who refuses is theirs or ours, and the alert is what the other one sees. What a peer is to do in
# place of an alert: "no", it can't do that; "warns", OpenSSL's server takes any identity in TLS 1.2 and says that it is wrong.
# client_refusal theirs|ours WHAT VERSION "OPTIONS OF OURS" ALERT "OPTIONS OF OPENSSL" ALERT "OPTIONS OF GNUTLS"
# shellcheck disable=SC2086
client_refusal() {
    cells=
    for peer in openssl gnutls; do
        cell=
        [ $peer = openssl ] && number=$5 options=$6 || number=$7 options=$8
        for profile in $(profiles $3); do
            name="$peer server, $profile: $2, TLS $3"
            [ "$number" != no ] || { result -; continue; }
            ${peer}_server $3 $options
            dial --suites $profile $4
            [ $1.$peer != ours.gnutls ] || await 'Alert\[.* was received' peer.log
            end_${peer}_server
            if [ "$number" = warns ]; then
                complain "$name" agreed_on "$3"
                complain "$name" says "identity not what we expected (got 'nobody'" peer
                result warns
            elif [ "$1" = theirs ]; then
                complain "$name" no_connection alert
                complain "$name" [ "$(line alert)" = "$number" ]
                result "$(line alert)"
            else
                complain "$name" no_connection failed
                complain "$name" alert_is "$number"
                result "$(alert)"
            fi
        done
        cells="$cells$cell |"
    done
    echo "| $2 | $3 |$cells" >>$1
}

table theirs "| our client is refused for | TLS | alert from the OpenSSL server | from the GnuTLS server |"
for v in $versions; do
    case $v in 1.2) set -- 20 warns 20 ;; *) set -- 51 40 47 ;; esac
    client_refusal theirs "a wrong key" "$v" "--psk $other" "$1" "" "$3" ""
    client_refusal theirs "an unknown identity" "$v" "--identity nobody" "$2" "" "$3" ""
    client_refusal theirs "a suite outside the list" "$v" "" 40 "$(strange_openssl "$v")" 40 "--priority $strange$v"
done
case $versions in
*1.3) client_refusal theirs "psk_dhe_ke, where the server has psk_ke" 1.3 "" no "" 40 "--priority ${plain}1.3" ;;
esac
client_refusal theirs "TLS 1.1, which has no suite of the list" 1.1 "--suites $aead" 40 "" 40 ""
tell theirs

table ours "| our client refuses | TLS | alert at the OpenSSL server | at the GnuTLS server |"
client_refusal ours "TLS 1.1, with legacy" 1.1 "--suites legacy" 70 "" 70 ""
client_refusal ours "no RFC 5746" 1.2 "" no "" 40 "--priority $unsafe"
client_refusal ours "no RFC 5746, renegotiation is allowed" 1.2 --renegotiation no "" 40 "--priority $unsafe"
tell ours

# A Diffie-Hellman group of 1024 bits, which legacy takes and modern does not
openssl dhparam -dsaparam -out group 1024 2>/dev/null
small="-dhparam group -cipher DHE-PSK-AES128-GCM-SHA256:@SECLEVEL=0"
for profile in modern legacy; do
    # shellcheck disable=SC2086
    openssl_server 1.2 $small
    dial --suites $profile
    end_openssl_server
    if [ $profile = legacy ]; then
        expect "openssl server, group of 1024 bits" agreed TLS-DHE-PSK-WITH-AES-128-GCM-SHA256 1.2
    else
        expect "openssl server, group of 1024 bits" no_connection failed
        expect "openssl server, group of 1024 bits" alert_is 47
    fi
done

# Renegotiation by the peer

# typed_openssl VERSION: runs OpenSSL's client with the FIFO at descriptor 3 as its input, where "R" in a line alone means
# to renegotiate, and "k" to send KeyUpdate
# shellcheck disable=SC2046
typed_openssl() {
    openssl s_client -connect "127.0.0.1:$port" -psk "$psk" -psk_identity "$identity" $(openssl_version "$1") \
        <typed >peer.log 2>&1 &
    client=$!
    exec 3>typed
}

# typed_gnutls VERSION: the same with GnuTLS's, where "^rekey1^" means to send KeyUpdate
typed_gnutls() {
    gnutls-cli --inline-commands -p "$port" 127.0.0.1 --pskusername "$identity" --pskkey "$psk" \
        --priority "$priority:+VERS-TLS$1" <typed >peer.log 2>&1 &
    client=$!
    exec 3>typed
}

# types LINE: into that FIFO, if the client is still there
types() { (trap '' PIPE; echo "$1" >&3) 2>/dev/null; }

for allowed in "" --renegotiation; do
    # shellcheck disable=SC2086
    serve $allowed
    typed_openssl 1.2
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
typed_openssl 1.2
types level
await '^level' peer.log
kill -9 $client
wait $client 2>/dev/null
exec 3>&-
served
expect "openssl client is killed" [ "$(line end)" = cut ]

# What clients do or find

# client_row WHAT VERSION ROW: tries each client by the function row_ROW, which is given it, the version and a name. The
# function leaves a cell.
client_row() {
    cells=
    for peer in openssl gnutls; do
        cell=
        "row_$3" "$peer" "$2" "$peer client, TLS $2: $1"
        cells="$cells${cell:+$cell |}"
    done
    echo "| $1 | $2 |$cells" >>clients
}

# a stream that was announced gets its key when the client has sent its first flight
row_early() {
    serve --early
    "$1_client" "$2"
    served
    cell "$3" agreed_on "$2"
}

row_empty() {
    serve --empty
    "$1_client" "$2"
    served
    complain "$3" agreed_on "$2"
    cell "$3" says '^level' peer
}

# The client's output is read when our server has closed, and waits for TCP to send the rest.
row_late() {
    mkfifo out
    serve --flood
    { await '^pending: ' ours.log; cat; } <out >got &
    reader=$!
    "late_$1" "$2"
    wait $reader
    served
    rm out
    complain "$3" [ "$(line end)" = closed ]
    complain "$3" [ "$(tr -c -d x <got | wc -c)" = "$(line pending)" ]
    cell "$3" "whole_$1"
}

# whether the client found close_notify
whole_openssl() { ! says 'unexpected eof' peer; }
whole_gnutls() { says 'Peer has closed' peer; }

# shellcheck disable=SC2046
late_openssl() {
    printf 'level\n' | timeout 60 openssl s_client -quiet -connect "127.0.0.1:$port" -psk "$psk" \
        -psk_identity "$identity" $(openssl_version "$1") >out 2>peer.log
}

late_gnutls() {
    printf 'level\n' | LD_PRELOAD=$dir/hint.so timeout 60 gnutls-cli --logfile peer.log -p "$port" 127.0.0.1 \
        --pskusername "$identity" --pskkey "$psk" --priority "$priority:+VERS-TLS$1" >out 2>/dev/null
}

row_key_update() {
    serve --wait
    "typed_$1" "$2"
    await '^stream: ' ours.log
    case $1 in openssl) types k ;; gnutls) types '^rekey1^' ;; esac
    wait $client
    exec 3>&-
    served
    complain "$3" [ "$(line end)" = failed ]
    complain "$3" alert_is 10
    result "$(alert)"
}

# GnuTLS refuses TLS 1.2 from a server that has TLS 1.3, as RFC 8446 4.1.3 has it; mbedTLS takes what the client prefers.
# GnuTLS closes before it has read our whole flight, so TCP may be reset before our server reads the alert.
row_tls12_first() {
    [ "$1" = gnutls ] || { result -; return; }
    serve
    gnutls_client 1.2:+VERS-TLS1.3
    served
    complain "$3" [ -z "$(line tls)" ]
    complain "$3" grep -q -x -e 'end: alert' -e 'end: cut' ours.log
    complain "$3" says 'An illegal parameter has been received' peer
    says 'An illegal parameter' peer && result "refuses: illegal parameter" || result NO
}

# A list with names as OpenSSL and IANA have them, in any case
row_names() {
    case $2 in
    1.2) set -- "$@" dhe-psk-aes128-gcm-sha256 TLS-DHE-PSK-WITH-AES-128-GCM-SHA256 \
        TLS_DHE_PSK_WITH_AES_256_GCM_SHA384 TLS-DHE-PSK-WITH-AES-256-GCM-SHA384 ;;
    1.3) set -- "$@" tls_aes_128_gcm_sha256 TLS1-3-AES-128-GCM-SHA256 \
        TLS_CHACHA20_POLY1305_SHA256 TLS1-3-CHACHA20-POLY1305-SHA256 ;;
    esac
    serve --suites "$4"
    "$1_client" "$2"
    served
    complain "$3" agreed "$5" "$2"
    serve --suites "$6"
    "$1_client" "$2"
    served
    cell "$3" agreed "$7" "$2"
}

table clients "| a client of our server | TLS | OpenSSL | GnuTLS |"
for v in $versions; do
    client_row "connects before our key is here" "$v" early
    client_row "finds two empty records, then data" "$v" empty
    client_row "reads late all that was sent before we closed" "$v" late
    client_row "agrees on a suite that our list names as OpenSSL or IANA do" "$v" names
done
case $versions in
*1.3)
    client_row "sends KeyUpdate, and gets the alert" 1.3 key_update
    client_row "prefers TLS 1.2 to TLS 1.3" 1.3 tls12_first
    ;;
esac
tell clients

# README.md has these tables; without TLS 1.3 all of them but its rows.
# same FILE...: compares tables
same() {
    for file; do
        awk -v head="$(head -n 1 "$file")" '$0 == head { inside = 1 } inside && NF == 0 { exit } inside' "$readme" |
            case $versions in *1.3) cat ;; *) grep -v -e '^| TLS1-3:' -e '| 1\.3 |' ;; esac >written
        diff -u --label README.md --label "this test" written "$file" && continue
        failed=$((failed + 1))
        echo "README.md does not have the table that this test prints: see the lines above"
    done
}

# With other versions than README.md names peers may do otherwise; what ours sends is the same.
echo
if grep -q "^| .* | $mbedtls | $openssl | $gnutls |\$" "$readme"; then
    same suites our_server theirs ours clients
elif grep -q "^| .* | $mbedtls | .* | .* |\$" "$readme"; then
    echo "README.md does not name mbedTLS $mbedtls with OpenSSL $openssl and GnuTLS $gnutls: only alerts of ours compared"
    same our_server ours
else
    echo "README.md does not name mbedTLS $mbedtls: its tables were not compared"
fi

[ "$failed" = 0 ] || { echo "$failed failed"; exit 1; }
