#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds library and tests for other machines and runs the suites modules and fuzz there, with UBSan:
#
#   tests/cross.sh [MACHINE...]     of: m32 (x86 of 32 bits) s390x (big-endian); all of them by default
#
# Takes 3 minutes for m32 and 10 to 15 for s390x on two cores. Tests have 20 times their time. A machine that fails does
# not end the others. The last line is "N passed, N failed", as that of tests/run.sh.
#
# Debian's cross compilers are installed; the libraries of the other machine come from the package source that this
# machine uses, into build/cross, and nothing of them is installed. s390x runs under qemu-user, as does m32 where the
# kernel has no 32-bit programs.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$tests")
cross=$top/build/cross
counts=$cross/counts.$$
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"
# shellcheck source=tests/count.sh
. "$tests/count.sh"

command -v apt-get >/dev/null || { say "skipped: the libraries of another machine come from Debian's packages"; exit 77; }

# fetch ARCHITECTURE: unpacks Debian's packages for it in $root
fetch() {
    state=$root.apt
    rm -rf "$root" "$state"
    mkdir -p "$root/usr/lib" "$state/lists/partial" "$state/archives/partial" || die "can't write to $cross"
    ln -s usr/lib "$root/lib"
    : >"$state/status"
    architecture=$1
    set -- -qq -o APT::Architecture="$1" -o APT::Architectures="$1" -o Dir::State="$state" \
        -o Dir::State::status="$state/status" -o Dir::Cache="$state" -o APT::Sandbox::User=
    apt-get "$@" update # an index that is missing matters only where a package is missing
    apt-get "$@" --no-install-recommends --download-only -y install libc6-dev check libmbedtls-dev >/dev/null ||
        die "no packages for $architecture: look at the network and at /etc/apt"
    for package in "$state"/archives/*.deb; do
        dpkg-deb -x "$package" "$root" || die "can't unpack $package"
    done
    rm -rf "$state"
}

# describe TRIPLE FAMILY ENDIAN RUN...: what Meson must know of the other machine, in $root.txt
describe() {
    triple=$1
    family=$2
    endian=$3
    shift 3
    run=
    for word; do
        run="$run${run:+, }'$word'"
    done
    cat >"$root.txt" <<END
[binaries]
c = ['$triple-gcc', '--sysroot=$root']
ar = '$triple-ar'
pkgconfig = 'pkg-config'
exe_wrapper = [$run]
[built-in options]
c_link_args = ['-static-libubsan']
[properties]
sys_root = '$root'
pkg_config_libdir = ['$root/usr/lib/$multiarch/pkgconfig', '$root/usr/share/pkgconfig']
needs_exe_wrapper = true
[host_machine]
system = 'linux'
cpu_family = '$family'
cpu = '$family'
endian = '$endian'
END
}

# try NAME: builds and runs what $root.txt describes
try() {
    dir=$cross/$1
    rm -rf "$dir"
    if ! { meson setup --cross-file "$root.txt" -Dwerror=true -Dtests=enabled -Doptimization=2 -Ddebug=true \
        -Db_sanitize=undefined -Dc_args=-fno-sanitize-recover=all "$dir" "$top" && meson compile -C "$dir"; } \
        >"$dir.log" 2>&1; then
        cat "$dir.log"
        die "$dir does not build"
    fi
    meson test -C "$dir" --no-rebuild --print-errorlogs --no-suite scripts --timeout-multiplier 20
    tally $?
}

packages="meson ninja-build pkgconf libc6-dev qemu-user"

# run MACHINE
# shellcheck disable=SC2086
run() {
    machine=$1
    root=$cross/$machine-root
    case $machine in
    m32)
        say "32-bit x86"
        need $packages gcc-i686-linux-gnu
        multiarch=i386-linux-gnu
        fetch i386
        set -- "$root/lib/ld-linux.so.2" --library-path "$root/usr/lib/$multiarch:$root/lib/$multiarch"
        "$1" --version >/dev/null 2>&1 || set -- qemu-i386 -L "$root"
        describe i686-linux-gnu x86 little "$@"
        ;;
    s390x)
        say "s390x, big-endian, under qemu"
        need $packages gcc-s390x-linux-gnu
        multiarch=s390x-linux-gnu
        fetch s390x
        describe s390x-linux-gnu s390x big qemu-s390x -L "$root"
        ;;
    esac
    try "$machine"
}

[ $# -gt 0 ] || set -- m32 s390x
for machine; do
    case $machine in
    m32 | s390x) ;;
    *) die "no machine $machine: one of m32 s390x" ;;
    esac
done
mkdir -p "$cross" || die "can't write to $cross"
: >"$counts"
export CK_FORK=no
for machine; do
    part "$machine" run "$machine"
done
conclude
