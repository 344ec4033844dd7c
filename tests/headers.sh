#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Every public header compiles alone, and twice, with the warnings that a program may have.
#
#   tests/headers.sh c | c++
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
c) compiler="${CC:-gcc} -x c -std=c11 -Wstrict-prototypes" ;;
c++) compiler="${CXX:-g++} -x c++ -std=c++17 -Wold-style-cast" ;;
*) echo "usage: headers.sh c | c++" >&2; exit 2 ;;
esac
command -v "${compiler%% *}" >/dev/null || { echo "no ${compiler%% *} here"; exit 77; }
status=0
cd "$top/include" || exit 1
for header in mikeyticket.h mikeyticket/*.h; do
    # shellcheck disable=SC2086
    printf '#include <%s>\n' "$header" "$header" |
        $compiler -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wcast-qual -Wundef -Werror -fsyntax-only -I. - ||
        { echo "$header does not stand alone"; status=1; }
done
exit $status
