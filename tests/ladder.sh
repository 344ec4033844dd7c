#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The ladder of messages in README.md, between <!-- ladder --> and <!-- /ladder -->, is what the table of steps prints.
#
#   tests/ladder.sh LADDER_PROGRAM README
set -u

[ $# -eq 2 ] || { echo "usage: ladder.sh LADDER_PROGRAM README" >&2; exit 2; }
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
"$1" >"$work/printed" || exit 2
[ -s "$work/printed" ] || { echo "$1 prints nothing"; exit 1; }

# Just one block, and in it just one fence.
awk '
    $0 == "<!-- ladder -->" { blocks++; inside = 1; next }
    $0 == "<!-- /ladder -->" { ends++; inside = 0; next }
    inside && /^```/ { fences++; next }
    inside && fences % 2 == 1 { print; next }
    inside && NF > 0 { stray++ }
    END { exit !(blocks == 1 && ends == 1 && !inside && fences == 2 && !stray) }
' "$2" >"$work/written" || { echo "$2 has not one ladder in a fence between its markers"; exit 1; }

diff -u "$work/written" "$work/printed" && exit 0
echo "$2 does not have the ladder that $1 prints" >&2
exit 1
