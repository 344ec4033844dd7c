#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Installs a build elsewhere. Then a program outside is compiled, linked to the shared and to the static libraries, and
# run. It knows nothing but the pkg-config files. Each snippet in the headers (between @code and @endcode) is compiled
# and linked in the same ways, as C11 and as C++17; so is examples/readme.c, which must work.
#
#   tests/install.sh BUILD
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
[ -d "${1:-}" ] || { echo "usage: install.sh BUILD" >&2; exit 2; }
build=$(cd "$1" && pwd)
for tool in meson pkg-config gcc g++; do
    command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >outside.c <<'END'
#include <mikeyticket.h>
#include <stdio.h>
#ifdef TLS
#include <mikeyticket/tls.h>
#endif
#ifdef X509
#include <mikeyticket/x509.h>
#endif
int main(void)
{
    enum mkt_err err = MKT_OK;
#ifdef TLS
    mbedtls_ssl_config conf;
    mbedtls_ssl_config_init(&conf);
    struct mkt_tls tls;
    struct mkt_tls_settings settings;
    mkt_tls_settings_init(&settings, MKT_END_CLIENT);
    int cause;
    err = mkt_tls_choose(&tls, &settings);
    if (err == MKT_OK)
        err = mkt_tls_setup_psk(&conf, &tls, mkt_span_text("0123456789abcdef"), mkt_span_text("outside"), &cause);
    mbedtls_ssl_config_free(&conf);
#endif
#ifdef X509
    struct mkt_x509 *x509;
    struct mkt_x509_settings settings;
    mkt_x509_settings_init(&settings);
    err = mkt_x509_new(&x509, &settings);
    if (err == MKT_OK && mkt_x509_add_anchors(x509, mkt_span_text("outside")) != MKT_E_BAD_VALUE)
        err = MKT_E_STATE;
    mkt_x509_free(x509);
#endif
    struct mkt_message message;
    puts(mkt_err_name(err));
    return err != MKT_OK || mkt_message_decode(&message, mkt_span_text("")) == MKT_OK;
}
END

meson install -C "$build" --no-rebuild --quiet --destdir "$dir/root"
PKG_CONFIG_PATH=$(dirname "$(find root -name libmikeyticket.pc)")
export PKG_CONFIG_PATH
prefix=$dir/root$(pkg-config --variable=prefix libmikeyticket)
flags() { pkg-config --define-variable=prefix="$prefix" "$@"; }
LD_LIBRARY_PATH=$(flags --variable=libdir libmikeyticket)

try() {
    echo "$@"
    "$@" && LD_LIBRARY_PATH=$LD_LIBRARY_PATH ./outside
}
# What stands between @code and @endcode in a header is a whole source file: HEADER.1.c, HEADER.2.c, ...
for header in "$prefix"/include/mikeyticket.h "$prefix"/include/mikeyticket/*.h; do
    awk -v name="$(basename "$header" .h)" '
    / \* @endcode$/ { on = 0; print "int main(void)\n{\n    return 0;\n}" >file }
    on { sub(/^ \* ?/, ""); print >file }
    / \* @code$/ { on = 1; file = name "." ++n ".c" }' "$header"
done

cp "$top/examples/readme.c" readme.1.c

# links PACKAGE SNIPPET
links() {
    options="-Wall -Wextra -Wno-unused-function -Werror -fkeep-static-functions -o outside"
    # shellcheck disable=SC2046,SC2086
    {
        try gcc -std=c11 $options "$2" $(flags --cflags --libs $1)
        try gcc -std=c11 $options "$2" -static $(flags --cflags --libs --static $1)
        try g++ -std=c++17 $options -x c++ "$2" -x none $(flags --cflags --libs $1)
        try g++ -std=c++17 $options -x c++ "$2" -x none -static $(flags --cflags --libs --static $1)
    }
}

for package in libmikeyticket libmikeyticket-tls libmikeyticket-x509; do
    [ -e "$PKG_CONFIG_PATH/$package.pc" ] || continue
    case $package in
    *-tls) define=-DTLS ;;
    *-x509) define=-DX509 ;;
    *) define=-UTLS ;;
    esac
    # shellcheck disable=SC2046
    {
        try gcc -o outside $define outside.c $(flags --cflags --libs $package)
        try g++ -o outside $define -x c++ outside.c -x none $(flags --cflags --libs $package)
        try gcc -o outside $define outside.c -static $(flags --cflags --libs --static $package)
    }
    for snippet in *.[0-9].c; do
        case $snippet,$package in
        tls.*,*-tls | streams.*,*-tls | x509.*,*-x509) links $package "$snippet" ;;
        tls.* | streams.* | x509.* | *,*-tls | *,*-x509) ;;
        *) links $package "$snippet" ;;
        esac
    done
done
