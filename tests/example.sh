#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The example in README.md, between <!-- example --> and <!-- /example -->, is the text between the two lines of dashes in
# examples/readme.c, has 40 lines at most, and works.
#
#   tests/example.sh PROGRAM SOURCE README
set -u

[ $# -eq 3 ] || { echo "usage: example.sh PROGRAM SOURCE README" >&2; exit 2; }
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
sed -n '/^<!-- example -->$/,/^<!-- \/example -->$/p' "$3" | grep -v -e '^<!--' -e '^```' >"$work/written"
sed -n '/^\/\* -------- \*\/$/,/^\/\* -------- \*\/$/p' "$2" | grep -v '^/\* -------- \*/$' >"$work/compiled"
[ -s "$work/compiled" ] || { echo "$2 has no example between lines of dashes" >&2; exit 1; }
diff -u "$work/written" "$work/compiled" || { echo "$3 does not have the example of $2" >&2; exit 1; }
[ "$(wc -l <"$work/compiled")" -le 40 ] || { echo "the example has more than 40 lines" >&2; exit 1; }
exec "$1"
