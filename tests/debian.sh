# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# Sourced by tests/run.sh and examples/run.sh: installs Debian packages that are not there yet.

say() { printf '%s\n' "== $*"; }
die() {
    printf '%s\n' "${0##*/}: $*" >&2
    exit 2
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
    if [ "$(id -u)" = 0 ]; then
        root=
    elif command -v sudo >/dev/null; then
        root=sudo
    else
        die "not root and no sudo: have root run apt-get install$missing"
    fi
    say "installing$missing"
    $root apt-get -qq update || die "apt-get update failed: look at the network and at /etc/apt"
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing >/dev/null ||
        die "apt-get install failed: install by hand$missing"
}
