#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs tests/run.sh in a fresh root of Debian 13, whose mbedTLS is 3.6, on a machine that has an older Debian:
#
#   tests/debian13.sh [WAY...]    of tests/run.sh; release and debug by default
#
# Made by debootstrap from the package source that this machine uses, in a temporary folder, and thrown away.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/debian.sh
. "$top/tests/debian.sh"

[ $# -gt 0 ] || set -- release debug
if grep -q '^VERSION_CODENAME=trixie' /etc/os-release 2>/dev/null; then
    say "this is Debian 13 already"
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "skipped: a root of Debian 13 needs root and a Debian"
    exit 0
fi
need debootstrap

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# shellcheck disable=SC2016
source=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    sed -n "s/^$codename //p" | head -n 1)
[ -n "$source" ] || die "no package source for $codename: look at /etc/apt"

root=$(mktemp -d)
clean() {
    umount "$root/proc" "$root/dev" 2>/dev/null
    grep -q " $root/" /proc/mounts || rm -rf --one-file-system "$root"
}
trap clean EXIT
trap 'exit 130' INT TERM
say "a root of Debian 13"
debootstrap --variant=minbase trixie "$root" "$source" >"$root.log" 2>&1 || {
    tail -n 5 "$root.log"
    die "debootstrap failed: see the lines above"
}
rm -f "$root.log"
cp /etc/resolv.conf "$root/etc/resolv.conf"
if ! { mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev"; }; then
    say "skipped: this machine lets nobody mount"
    exit 0
fi
mkdir "$root/src"
tar -C "$top" --exclude=./build --exclude=./.git -cf - . | tar -C "$root/src" --no-same-owner -xf -
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot "$root" /src/tests/run.sh "$@"
