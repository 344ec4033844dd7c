#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# No branch and no index depends on a key: tests/secrets.c and x509.c under valgrind, with keys marked as undefined.
#
#   tests/marked.sh TEST COMPILER
set -u

[ $# = 2 ] || { echo "usage: marked.sh TEST COMPILER" >&2; exit 2; }
command -v valgrind >/dev/null || { echo "skipped: no valgrind here"; exit 77; }
# It reads DWARF 5 of gcc, but not that of clang, which would have to be told -gdwarf-4.
[ "$2" = gcc ] || { echo "skipped: built by $2, not by gcc"; exit 77; }
exec valgrind --quiet --suppressions="$(dirname "$0")/secrets.supp" --error-exitcode=1 "$1" marked
