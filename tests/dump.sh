#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# dump shows a message in each form that it can come in, opens it with the TPK, and refuses the rest with one line.
#
#   tests/dump.sh PROGRAM VECTORS [x509]
#
# With x509 the program was built with libmikeyticket-x509, and shows whom certificates are of.
set -u

[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: dump.sh PROGRAM VECTORS [x509]" >&2; exit 2; }
dump=$1
vectors=$2/rfc6043.txt
x509=${3:-}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# field NAME: of the first exchange that has one
field() { sed -n '/^\[exchange/,$s/^'"$1"' = //p' "$vectors" | head -n 1; }
# a file says that something failed: the end of a pipe is a shell of its own, whose variables nobody sees
wrong() { echo "dump.sh: $*" >&2; : >"$work/failed"; }
# expect STATUS TEXT ARG...: standard input gives that status, and the text stands in what comes out
expect() {
    status=$1
    text=$2
    shift 2
    "$dump" "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ "$got" = "$status" ] || wrong "status $got, not $status, for $text"
    cat "$work/out" "$work/err" | grep -qF -- "$text" || wrong "no '$text' in: $(cat "$work/out" "$work/err" | head -n 3)"
    [ "$status" = 0 ] || [ "$(wc -l <"$work/err")" = 1 ] || wrong "not one line for $text"
}

init=$(field transfer_init)
tpk=$(field tpk)
key=$(field ticket_keys)
printf '%s\n' "$init" | expect 0 'TRANSFER_INIT'
cp "$work/out" "$work/hex"
field sdp | expect 0 'TRANSFER_INIT'
cmp -s "$work/out" "$work/hex" || wrong 'an attribute is shown otherwise than hex'
field sdp | sed 's/.* //' | expect 0 'TRANSFER_INIT'
cmp -s "$work/out" "$work/hex" || wrong 'base64 is shown otherwise than hex'
printf 'v=0\r\nm=message 9 TCP/TLS/MSRP *\r\n%s\r\n' "$(field sdp)" | expect 0 'TRANSFER_INIT'
cmp -s "$work/out" "$work/hex" || wrong 'SDP is shown otherwise than hex'
if command -v perl >/dev/null; then
    printf '%s' "$init" | perl -ne 'print pack("H*", $_)' | expect 0 'TRANSFER_INIT'
    cmp -s "$work/out" "$work/hex" || wrong 'octets are shown otherwise than hex'
fi
grep -q 'nothing is verified' "$work/hex" || wrong 'an unverified message is not marked so'
for name in request_init request_resp transfer_resp resolve_init resolve_resp error; do
    field "$name" | expect 0 'HDR'
done

printf '%s' "$init" | expect 0 'TICKET: its MAC verifies' --tpk "$tpk"
grep -q "$(printf '%s' "$key" | cut -c9-40)" "$work/out" || wrong 'the keys of the ticket are not shown'
printf '%s' "$init" | expect 0 'TRANSFER_INIT: its MAC verifies' --tpk "$tpk"
case $init in *0) other=1 ;; *) other=0 ;; esac
printf '%s' "${init%?}$other" | expect 0 'MKT_E_MAC' --tpk "$tpk"
printf '%s' "$init" | expect 0 'MKT_E_TICKET_MAC' --tpk "$(printf '%s' "$tpk" | sed 's/^../00/')"

field transfer_resp | expect 0 'not verified' --tpk "$tpk"
# the keys that a REQUEST_INIT asks for, with the SPI of the second one
asks=$(sed -n '/^\[allow-request-init/,/^$/p' "$2/allow.txt" | grep -A 20 '^name = 256-two-spis$')
spi=$(printf '%s\n' "$asks" | sed -n 's/^granted = .* .*:\([0-9a-f]*\)$/\1/p')
[ -n "$spi" ] || wrong 'allow.txt has no such case'
printf '%s\n' "$asks" | sed -n 's/^bytes = //p' | expect 0 "SPI ($((${#spi} / 2))): $spi"
# messages by public key, and whom their certificates are of
vectors=$2/rfc6043pk.txt
field request_init | expect 0 'REQUEST_INIT_PK, 1653 octets; nothing is verified'
grep -q '^            S type: 0 (RSA/PKCS#1/1.5)$' "$work/out" || wrong 'a signature is not shown'
grep -q '^            C: 0$' "$work/out" || wrong 'an envelope is not shown'
if [ -n "$x509" ]; then
    grep -q '^            Serial number (1): 03$' "$work/out" || wrong 'no serial number'
    grep -q '^            subjectAltName URI (23): sip:alice@home1.example$' "$work/out" || wrong 'no subjectAltName'
    # an octet that can't be printed, and one certificate that is none: 30 is the tag of its outermost value
    field request_init | sed 's/7369703a616c69636540686f6d65312e6578616d706c65/7369703a1b6c69636540686f6d65312e6578616d706c65/g' |
        expect 0 'subjectAltName URI (23): 7369703a1b6c69636540686f6d65312e6578616d706c65'
    field request_init | sed 's/0e00037530820371/0e00037531820371/' | expect 0 'no certificate that can be read here'
else
    grep -q '^            no certificate that can be read here$' "$work/out" || wrong 'it can read a certificate'
fi
field resolve_init | expect 0 'RESOLVE_INIT_PK'
field error_by_kms | expect 0 'SIGN'

printf '%s' "$init" | cut -c1-100 | expect 1 'octet'
printf '' | expect 1 'octet 0 of 0'
printf '02' | expect 1 'octet 0 of 1: not MIKEY version 1'
printf '02' | tr '02' '\000\002' | expect 1 'octet 0 of 2: not MIKEY version 1'
printf '010' | expect 1 'octet 3 of 3: the octets end within a field'
printf 'no message at all!' | expect 1 'octet 17 of 18'
printf 'v=0\r\n' | expect 1 'octet'
printf '' | expect 2 'usage' --wrong
printf '' | expect 2 '--tpk' --tpk 00
[ ! -e "$work/failed" ]
