#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Frama-C on io, payload, message and sdp. WP proves with Z3 that io_take() keeps the contract that tests/eva/before.h
# makes of the invariants at the head of lib/io.h. Eva then looks for undefined behaviour in each decoder and encoder,
# for all octets at once that the drivers in tests/eva/ give them.
#
#   tests/eva.sh [DRIVER...]    of those at the end of this script; all of them by default
#   EVA_LIB=DIR                 what is analysed in the place of lib/
#
# Takes some seven minutes, on one core. Prints for each driver how many seconds it took, its alarms, and how many
# of the statements of the functions that it came to were reached (to decode reaches nothing of writing).
# Exit status 1 if an alarm is not in tests/eva/alarms.txt, which has for each the reason why it can't come true; if an
# analysis does not reach its end; and if the contract is not proved. Debian 13 has no Frama-C: status 77.
set -u
export LC_ALL=C

tests=$(cd "$(dirname "$0")" && pwd)
cd "$tests/.." || exit 2
lib=${EVA_LIB:-lib}
kept=tests/eva/alarms.txt
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export WHY3CONFIG="$work/why3.conf"
failed=0
ran=0
only=" $* "
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"
if ! command -v frama-c >/dev/null && command -v apt-get >/dev/null && ! offered frama-c-base; then
    say "skipped: this Debian has no package frama-c-base"
    exit 77
fi
need frama-c-base why3 z3 gcc libc6-dev libmbedtls-dev

# analyse CPP-OPTION... -- FILE... OPTION...: with tests/eva/before.h before each file
analyse() {
    cpp="-Iinclude -I$lib -Itests/eva -include tests/eva/before.h -idirafter /usr/include"
    while [ "$1" != -- ]; do
        cpp="$cpp $1"
        shift
    done
    shift
    timeout 300 frama-c -c11 -machdep gcc_x86_64 "-cpp-extra-args=$cpp" "$@" 2>&1
}

# alarms NAME CSV: what is neither proved nor taken for granted, one a line: driver, file, function, kind, expression
alarms() {
    awk -F '\t' -v name="$1" 'NR > 1 && $6 !~ /^(Valid|Considered valid|Dead|Never tried|Untried)/ {
        # the static functions of a header, one for each file, have a number behind their name
        sub(/_[0-9]+$/, "", $4)
        sub(/_[0-9]+$/, "", $5)
        # at the head of a function: each call has its own
        if ($5 == "precondition")
            next
        # the contract of io_take() is proved below; where Eva can tell that it does not hold it says so
        if ($4 == "io_take" && $5 == "postcondition" && $6 == "Unknown")
            next
        print name "\t" $2 "\t" $4 "\t" $5 "\t" $7
    }' "$2" | sort -u
}

# eva NAME CPP-OPTION... -- FILE... OPTION...
eva() {
    name=$1
    shift
    case $only in "  " | *" $name "*) ;; *) return ;; esac
    ran=$((ran + 1))
    begin=$(date +%s)
    analyse "$@" -eva -main eva -eva-domains cvalue -eva-split-limit 1000 -eva-no-print \
        -then -report-csv "$work/csv" >"$work/log"
    status=$?
    took=$(($(date +%s) - begin))
    if [ $status != 0 ] || [ ! -s "$work/csv" ] || grep -q 'NON TERMINATING' "$work/log"; then
        tail -n 20 "$work/log"
        say "$name: the analysis did not reach its end"
        failed=1
        return
    fi
    alarms "$name" "$work/csv" >"$work/now"
    rm "$work/csv"
    reached=$(sed -n 's/.* \([0-9]*\) statements reached (out of \([0-9]*\)).*/\1 of \2/p' "$work/log")
    say "$name: $took seconds, $(wc -l <"$work/now") alarms, $reached statements"
    grep -v -e '^#' -e '^$' "$kept" | awk -F '\t' -v name="$name" '$1 == name' | sort -u >"$work/listed"
    comm -23 "$work/now" "$work/listed" >"$work/new"
    if [ -s "$work/new" ]; then
        say "$name: not in $kept: mend it, or list it with the reason why it can't be"
        cat "$work/new"
        failed=1
    fi
    comm -13 "$work/now" "$work/listed" >"$work/gone"
    [ ! -s "$work/gone" ] || { say "$name: no longer there, take it out of $kept"; cat "$work/gone"; }
}

# codec NAME CPP-OPTION...: a driver in payload.c
codec() {
    name=$1
    shift
    eva "$name" "$@" -- tests/eva/payload.c "$lib/payload.c" "$lib/message.c" "$lib/span.c" \
        -eva-precision 1 -eva-slevel 400 -eva-split-return-function io_take:0
}

# chain NAME CPP-OPTION...: a driver in payload.c, for chains of payloads of any type: what a payload leaves is joined
chain() {
    name=$1
    shift
    eva "$name" "$@" -- tests/eva/payload.c "$lib/payload.c" "$lib/message.c" "$lib/span.c" \
        -eva-precision 0 -eva-auto-loop-unroll 30 -eva-split-return-function io_take:0 -eva-slevel-function \
        get:400,eva:300,kind_of:60,io_uint:30,io_bytes:30,io_take:30,io_payload:30,io_cs:30,hash_length:10,dh_length:10
}

# text NAME CPP-OPTION...: a driver in sdp.c; every path by itself, which is exact and wants short texts
text() {
    name=$1
    shift
    split=any_memchr:full
    for function in io_get io_take io_bytes io_left io_rest io_since io_word io_accept io_literal io_port word_length \
        io_line split add_key_mgmt add_line io_level without_last_empty_line find io_m io_c io_lws io_accept_token io_token io_quoted \
        mkt_sdp_key_mgmt; do
        split=$split,$function:full
    done
    eva "$name" -DPATHS "$@" -- tests/eva/sdp.c "$lib/sdp.c" "$lib/span.c" \
        -eva-slevel 1000000 -eva-split-return-function "$split"
}

# What Eva is told of io_take() must be true, or nothing below means anything.
why3 config detect >"$work/log" 2>&1
analyse -- "$lib/payload.c" -wp -wp-rte -wp-fct io_take,io_fail -wp-prover z3 -wp-timeout 60 >"$work/log"
goals=$(sed -n 's/.*Proved goals: *//p' "$work/log")
say "io_take() and io_fail(): $goals goals proved"
if [ -z "$goals" ] || [ "${goals% / *}" -ne "${goals#* / }" ]; then
    grep -v Valid "$work/log"
    say "io_take() does not keep its contract in tests/eva/before.h"
    failed=1
fi

for type in KEMAC PKE SIGN T ID CERT CHASH V RAND ERR TR IDR RANDR TP TICKET KEY_DATA GENERAL_EXT THDR; do
    codec "get-$type" -DDRIVER=payload_get -DTYPE=MKT_$type -DLEAST=0 -DMOST=48
done
codec get-DH-768 -DDRIVER=payload_get -DTYPE=MKT_DH -DLEAST=96 -DMOST=104
codec get-DH-1536 -DDRIVER=payload_get -DTYPE=MKT_DH -DLEAST=192 -DMOST=200
codec get-SP -DDRIVER=payload_get -DTYPE=MKT_SP -DLENGTH_AT=3 -DLEAST=0 -DMOST=16
codec first-get -DDRIVER=first_get -DLEAST=0 -DMOST=16
codec cs-get -DDRIVER=cs_get -DLEAST=0 -DMOST=48
codec sp-param-get -DDRIVER=sp_param_get -DLEAST=0 -DMOST=48
chain any-payload-get -DDRIVER=any_payload_get -DLEAST=64 -DMOST=64
chain message-get -DDRIVER=message_get -DLEAST=64 -DMOST=64
for type in PKE SIGN T ID CERT RAND ERR TR IDR RANDR TP TICKET KEY_DATA GENERAL_EXT THDR SP; do
    codec "put-$type" -DDRIVER=payloads_put -DTYPE=MKT_$type -DLEAST=2 -DMOST=2
done
codec put-V -DDRIVER=payloads_put -DTYPE=MKT_V -DLEAST=20 -DMOST=20
codec put-CHASH -DDRIVER=payloads_put -DTYPE=MKT_CHASH -DLEAST=16 -DMOST=16
codec put-KEMAC -DDRIVER=payloads_put -DTYPE=MKT_KEMAC -DLEAST=20 -DMOST=20 -DROOM=48
codec put-DH -DDRIVER=payloads_put -DTYPE=MKT_DH -DLEAST=96 -DMOST=96 -DROOM=110
codec message-put -DDRIVER=message_put -DLEAST=2 -DMOST=2

text sdp-sections -DDRIVER=sections -DLEAST=0 -DMOST=8
text sdp-attribute -DDRIVER=attribute -DLEAST=0 -DMOST=6
text sdp-attribute-value -DDRIVER=attribute -DPREFIX=A -DLEAST=0 -DMOST=5
text sdp-media -DDRIVER=media -DPREFIX=M -DLEAST=0 -DMOST=5
text sdp-media-proto -DDRIVER=media -DPREFIX=M_PROTO -DLEAST=0 -DMOST=5
text sdp-media-fmt -DDRIVER=media -DPREFIX=M_FMT -DLEAST=0 -DMOST=5
text sdp-media-c -DDRIVER=media -DPREFIX=M_C -DLEAST=0 -DMOST=5
text sdp-get -DDRIVER=get -DPREFIX=KEY_MGMT -DLEAST=0 -DMOST=5
text sdp-get-mikey -DDRIVER=get -DPREFIX=KEY_MGMT_MIKEY -DLEAST=0 -DMOST=5
text sdp-protocols -DDRIVER=protocols -DPREFIX=KEY_MGMT -DLEAST=0 -DMOST=4 -DROOM=4
text sdp-put -DDRIVER=put -DLEAST=0 -DMOST=4 -DROOM=28
text keymgmt-put -DDRIVER=keymgmt_put -DLEAST=0 -DMOST=3 -DROOM=72
text keymgmt -DDRIVER=keymgmt -DPREFIX=HEADER -DLEAST=0 -DMOST=4
text keymgmt-uri -DDRIVER=keymgmt -DPREFIX=HEADER_URI -DLEAST=0 -DMOST=4
text keymgmt-uri-data -DDRIVER=keymgmt -DPREFIX=HEADER_URI_DATA -DLEAST=0 -DMOST=4
text keymgmt-data -DDRIVER=keymgmt -DPREFIX=HEADER_DATA -DLEAST=0 -DMOST=4
text keymgmt-next -DDRIVER=keymgmt -DPREFIX=HEADER_NEXT -DLEAST=0 -DMOST=4

[ $ran -gt 0 ] || die "no driver $*: their names are at the end of tests/eva.sh"
[ $failed = 0 ] && say "no alarm that is not explained"
exit $failed
