#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds the module, and http_async_client, which is in no Debian package, for the kamailio of Debian that is installed
# here, from its source package. A module loads only in the version of Kamailio whose source it was built with.
#
#   examples/kamailio/build.sh DIR [BUILD]
#
# DIR gets mikeyticket.so and http_async_client.so, and keeps Kamailio's source for the next time. BUILD is a build
# directory of this project, with its libraries; by default they are built in DIR/build. SANITIZE=address,undefined
# builds the module with these sanitizers. Exit status 77 if packages or the source can't be had, 2 if it does not build.
set -u

[ $# -ge 1 ] || { echo "usage: build.sh DIR [BUILD]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/debian.sh
. "$top/tests/debian.sh"

(need kamailio gcc libc6-dev make patch xz-utils pkgconf libevent-dev libcurl4-gnutls-dev libmbedtls-dev) || exit 77
mkdir -p "$1" || exit 2
dir=$(cd "$1" && pwd)
build=${2:-$dir/build}
if ! version=$(dpkg-query -W -f '${Version}' kamailio 2>/dev/null); then
    echo "no Debian here: put this directory into src/modules of Kamailio's source, with users.[ch] and text.[ch] of examples" >&2
    exit 77
fi
source=$dir/kamailio-$version

# fetch: the source package into the directory that we are in. The lists of packages that the machine has are asked for
# sources, too, in a state directory of our own.
fetch() {
    mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        case $list in
        *.sources) sed 's/^Types:.*/Types: deb-src/' "$list" >"apt/parts/${list##*/}" ;;
        *.list) sed -n 's/^deb /deb-src /p' "$list" >"apt/parts/${list##*/}" ;;
        esac
    done
    set -- -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$PWD/apt/parts" -o Dir::State::lists="$PWD/apt/lists" \
        -o Dir::Cache="$PWD/apt/cache"
    # The two commands may fail: another list has no sources, or a signature file is missing. If the archives are there,
    # that does not matter.
    apt-get -q "$@" update
    apt-get -q "$@" source --download-only "kamailio=$version"
    ls kamailio_*.orig.tar.* kamailio_*.debian.tar.*
}

# unpack: into the directory `tree`, with Debian's patches
unpack() {
    mkdir tree && tar xf kamailio_*.orig.tar.?z --strip-components=1 -C tree && tar xf kamailio_*.debian.tar.* -C tree || return 1
    cd tree || return 1
    sed -n 's/^\([^#].*\)/\1/p' debian/patches/series | while read -r name; do
        patch -s -p1 <"debian/patches/$name" || exit 1
    done && make cfg prefix=/usr cfg_target=/etc/kamailio/ CC_EXTRA_OPTS=-DVERSION_NODATE # not the day of the build
}

if [ ! -d "$source" ]; then
    say "fetching Kamailio $version"
    rm -rf "$dir/new"
    mkdir "$dir/new" || exit 2
    if ! (cd "$dir/new" && fetch && unpack) >"$dir/source.log" 2>&1; then
        cat "$dir/source.log"
        echo "no source of kamailio $version: see above" >&2
        exit 77
    fi
    mv "$dir/new/tree" "$source" && rm -rf "$dir/new" || exit 2
fi

if [ $# = 1 ] && ! { CC=gcc meson setup --reconfigure -Dtests=disabled "$build" "$top" && ninja -C "$build"; } >"$dir/build.log" 2>&1; then
    cat "$dir/build.log"
    die "the library does not build: see above"
fi

# http_async_client copies what comes by strncpy(), which ends at the first octet that is 0. A MIKEY message has many.
multi=$source/src/modules/http_async_client/http_multi.c
sed -i 's/strncpy(cell->reply->result->s + old_len/memcpy(cell->reply->result->s + old_len/' "$multi" || exit 2
grep -q 'memcpy(cell->reply->result->s' "$multi" ||
    die "http_async_client has changed: see how it copies a body"

module=$source/src/modules/mikeyticket
rm -rf "$module"
mkdir "$module" || exit 2
cp "$here"/Makefile "$here"/*.[ch] "$top"/examples/users.[ch] "$top"/examples/text.[ch] "$module"
for one in http_async_client mikeyticket; do
    if ! PKG_CONFIG_PATH=$build/meson-uninstalled make -C "$source/src/modules/$one" SANITIZE="${SANITIZE:-}" >"$dir/$one.log" 2>&1; then
        cat "$dir/$one.log"
        die "$one does not build: see above"
    fi
    cp "$source/src/modules/$one/$one.so" "$dir/" || exit 2
done
say "$dir/mikeyticket.so, for Kamailio $version"
