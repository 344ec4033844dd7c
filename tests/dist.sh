#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The tarball of a release, made of HEAD by `meson dist`, has all that it takes: it is unpacked, built, tested, and
# installed, and a program outside compiles with it (tests/install.sh, which is one of the tests).
#
#   tests/dist.sh BUILD     a folder for the tarball and its build, made anew
set -eu

[ $# = 1 ] || { echo "usage: dist.sh BUILD" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
[ -e "$top/.git" ] || { echo "skipped: $top is no git repository, so there is nothing to make a tarball of"; exit 77; }
command -v git >/dev/null || { echo "skipped: no git here"; exit 77; }
rm -rf "$1"
mkdir -p "$1"
cd "$1"
[ -z "$(git -C "$top" status --porcelain 2>/dev/null)" ] || echo "what is not committed is not in the tarball"
{
    meson setup -Dtests=disabled -Dexamples=false dist "$top" &&
        meson dist -C dist --no-tests --allow-dirty --formats gztar &&
        tar -xzf dist/meson-dist/*.tar.gz &&
        meson setup -Dwerror=true -Dtests=enabled -Doptimization=3 -Ddebug=true build libmikeyticket-*/ &&
        meson compile -C build
} >log 2>&1 || { cat log; exit 1; }
meson test -C build --no-rebuild --num-processes $(($(nproc) + 1)) --print-errorlogs --no-suite network
