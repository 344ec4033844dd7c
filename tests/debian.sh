# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# Sourced by the scripts here and by examples/run.sh: installs Debian packages that are not there yet.

say() { printf '%s\n' "== $*"; }
die() {
    printf '%s\n' "${0##*/}: $*" >&2
    exit 2
}

# as_root COMMAND...: what installs $missing
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "not root and no sudo: have root run apt-get install$missing"
    fi
}

# offered PACKAGE: whether this Debian has it
offered() {
    missing=" $1"
    as_root apt-get -qq update || die "apt-get update failed: look at the network and at /etc/apt"
    [ -n "$(apt-cache show "$1" 2>/dev/null)" ]
}

# need PACKAGE...
need() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "no Debian here: taking for granted what Debian calls $*"
        return
    fi
    missing=
    for package; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    say "installing$missing"
    as_root apt-get -qq update || die "apt-get update failed: look at the network and at /etc/apt"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing >/dev/null ||
        die "apt-get install failed: install by hand$missing"
}
