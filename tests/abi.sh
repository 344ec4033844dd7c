#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Programs that were linked to the shared libraries of the last tag run with these: what those have is there and as it
# was, or the library has another soname.
#
#   tests/abi.sh LIBRARY...     shared ones, with debug information; compared with those of the last tag vN before HEAD
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || { echo "usage: abi.sh LIBRARY..." >&2; exit 2; }
for tool in git meson abidiff readelf; do
    command -v $tool >/dev/null || { echo "skipped: no $tool here"; exit 77; }
done
[ -e "$top/.git" ] || { echo "skipped: no git repository, so no tag"; exit 77; }
git() { command git -c safe.directory="$top" -C "$top" "$@"; }
tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null) || { echo "skipped: there is no tag yet"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

mkdir "$dir/then" && git archive "$tag" | tar -C "$dir/then" -xf - || exit 1
{
    meson setup -Dbuildtype=debugoptimized -Dtests=disabled -Dexamples=false "$dir/build" "$dir/then" &&
        meson compile -C "$dir/build"
} >"$dir/log" 2>&1 || { cat "$dir/log"; echo "$tag does not build"; exit 1; }

soname() { readelf -d "$1" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p'; }

status=0
for library; do
    name=$(basename "$library")
    then=$(find "$dir/build" -name "${name%.so*}.so" | head -n 1)
    [ -n "$then" ] || { echo "$name: $tag has none"; continue; }
    if [ "$(soname "$then")" != "$(soname "$library")" ]; then
        echo "$name: another soname than in $tag"
        continue
    fi
    if abidiff --no-added-syms --headers-dir1 "$dir/then/include" --headers-dir2 "$top/include" "$then" "$library"; then
        echo "$name: all that $tag has"
    else
        echo "$name: not what programs of $tag know: undo that, or give it another soversion in meson.build"
        status=1
    fi
done
exit $status
