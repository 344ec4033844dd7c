#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs tests/run.sh in a fresh root of Debian 13, whose mbedTLS is 3.6, on a machine that has an older Debian:
#
#   tests/debian13.sh [WAY...]    of tests/run.sh; all of them by default
#
# Made by debootstrap from the package source that this machine uses, in a folder of TMPDIR that needs 5 GB, and thrown
# away. Mounts and processes are in namespaces of their own, and end with them, however that comes about. If this
# machine can't do that, the script says so and has status 77, or 1 with CI=true; else it has that of tests/run.sh.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/debian.sh
. "$top/tests/debian.sh"

# inside ROOT SOURCE WAY...: in the namespaces
inside() {
    root=$1
    source=$2
    shift 2
    debootstrap --variant=minbase --include=ca-certificates trixie "$root" "$source" >"$root.log" 2>&1 || {
        tail -n 5 "$root.log"
        die "debootstrap failed: see the lines above"
    }
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    apt-config dump --no-empty --format '%F "%v";%n' Acquire >"$root/etc/apt/apt.conf.d/00host"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    mkdir -p "$root/dev/shm" "$root/dev/pts" "$root/src"
    mount -t proc proc "$root/proc" || die "can't mount $root/proc"
    mount -t tmpfs tmpfs "$root/dev/shm" || die "can't mount $root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" || die "can't mount $root/dev/pts"
    # The .git of a worktree is a file, and of no use in the root.
    [ -d "$top/.git" ] && exclude=./build || exclude=./.git
    tar -C "$top" --exclude=./build --exclude="$exclude" -cf - . | tar -C "$root/src" --no-same-owner -xf - ||
        die "can't copy $top"
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        CI="${CI:-}" FUZZ_SECONDS="${FUZZ_SECONDS:-}" ${HANDSHAKES:+HANDSHAKES="$HANDSHAKES"} \
        ${REPLAYS:+REPLAYS="$REPLAYS"} http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
        chroot "$root" /src/tests/run.sh "$@"
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
fi

# not_here WHY
not_here() {
    [ "${CI:-}" != true ] || { echo "${0##*/}: failed: $*" >&2; exit 1; }
    say "skipped: $*"
    exit 77
}

# source_of_debian: the address of the archive that this Debian comes from
source_of_debian() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^Debian $VERSION_CODENAME //p" | head -n 1
}

ID=
VERSION_CODENAME=
# shellcheck source=/dev/null
[ ! -e /etc/os-release ] || . /etc/os-release
if [ "$VERSION_CODENAME" = trixie ]; then
    say "this is Debian 13 already: tests/run.sh is enough"
    exit 0
fi
{ [ "$ID" = debian ] && command -v apt-get >/dev/null; } || not_here "no Debian: there is no package source to use"
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || not_here "not root, and no sudo"
    exec sudo env CI="${CI:-}" FUZZ_SECONDS="${FUZZ_SECONDS:-}" ${HANDSHAKES:+HANDSHAKES="$HANDSHAKES"} \
        ${REPLAYS:+REPLAYS="$REPLAYS"} TMPDIR="${TMPDIR:-}" "$0" "$@"
fi
unshare --mount --pid --fork mount -t tmpfs tmpfs /mnt 2>/dev/null || not_here "this machine lets nobody mount"
need debootstrap
source=$(source_of_debian)
if [ -z "$source" ]; then
    apt-get -qq update || die "apt-get update failed: look at the network and at /etc/apt"
    source=$(source_of_debian)
fi
[ -n "$source" ] || die "no package source of Debian $VERSION_CODENAME: look at /etc/apt"

root=$(mktemp -d) || exit 1
child=
# shellcheck disable=SC2317
clean() {
    # Its first process dies with unshare, and all others in the namespace with that, in a moment.
    [ -z "$child" ] || { kill -KILL "$child" 2>/dev/null && sleep 1; }
    rm -rf --one-file-system "$root" "$root.log"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 755 "$root"
say "a root of Debian 13 from $source"
unshare --mount --propagation private --pid --fork --kill-child "$0" --inside "$root" "$source" "$@" &
child=$!
wait $child
status=$?
child=
exit $status
