#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Makes certificates for the example programs with openssl(1), of a CA of its own.
#
#   examples/certificates.sh DIR NAME=URI...
#
# DIR gets ca.pem and ca.key, unless they are there, and for each URI NAME.pem and NAME.key: RSA of 2,048 bits, the URI in
# subjectAltName, for signatures and for envelopes. $VALID has the options of openssl-x509(1) that say when (-days 30).
set -eu
umask 077

[ $# -ge 2 ] || { echo "usage: certificates.sh DIR NAME=URI..." >&2; exit 2; }
dir=$1
shift
valid=${VALID:--days 30}
mkdir -p "$dir"
log=$dir/openssl.log

# quietly COMMAND...: shows what it said only if it fails
quietly() {
    "$@" >"$log" 2>&1 && return
    cat "$log" >&2
    echo "certificates.sh: openssl failed, see above" >&2
    exit 1
}

if [ ! -e "$dir/ca.pem" ]; then
    quietly openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 365 -subj "/CN=CA of the examples" \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$dir/ca.key" -out "$dir/ca.pem"
fi
for one; do
    name=$dir/${one%%=*}
    uri=${one#*=}
    quietly openssl req -new -newkey rsa:2048 -nodes -subj "/CN=${one%%=*}" -keyout "$name.key" -out "$name.req"
    cat >"$name.ext" <<END_OF_FILE
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment
subjectAltName=URI:$uri
END_OF_FILE
    # shellcheck disable=SC2086 # options are words
    quietly openssl x509 -req -sha256 $valid -CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
        -set_serial "0x1$(openssl rand -hex 8)" -extfile "$name.ext" -in "$name.req" -out "$name.pem"
    rm -f "$name.req" "$name.ext"
done
rm -f "$log"
