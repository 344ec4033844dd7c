#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The names of cipher suites that the tools at hand print: each finds its suite, and those of other kinds none.
#
#   tests/cipher_suites.sh TEST     TEST is the program made of tests/cipher_suites.c
set -u
export LC_ALL=C

[ -x "${1:-}" ] || { echo "usage: cipher_suites.sh TEST" >&2; exit 2; }
names=$(mktemp) || exit 1
trap 'rm -f "$names"' EXIT

# 0x00,0xAD - TLS_RSA_PSK_WITH_AES_256_GCM_SHA384 - RSA-PSK-AES256-GCM-SHA384 ...
openssl ciphers -V -stdname ALL:COMPLEMENTOFALL@SECLEVEL=0 2>/dev/null |
    sed -n 's/^ *0x\(..\),0x\(..\) - \([^ ]*\) *- \([^ ]*\) .*/\1\2 \3\n\1\2 \4/p' >"$names"
# TLS_ECDHE_PSK_3DES_EDE_CBC_SHA1 0xc0, 0x34 TLS1.0
gnutls-cli --list 2>/dev/null |
    sed -n 's/^\(TLS_[^[:space:]]*\)[[:space:]]*0x\(..\), 0x\(..\).*/\2\3 \1/p' >>"$names"
[ -s "$names" ] || { echo "neither openssl nor gnutls-cli is here"; exit 77; }
"$1" "$names"
