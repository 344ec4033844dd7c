#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Static analysis of lib/: gcc -fanalyzer, clang-tidy (with .clang-tidy) and cppcheck (with tests/cppcheck.supp).
#
#   tests/analyze.sh [TOOL...]    of: gcc tidy cppcheck; all of them by default
#
# Takes some three minutes. Exit status 1 if a tool finds anything or can't run, which does not end the others; what is
# suppressed, there or in lib/, has its reason beside it.
set -u
export LC_ALL=C

tests=$(cd "$(dirname "$0")" && pwd)
cd "$tests/.." || exit 2
failed=0
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"

# clean COMMAND...: prints what it says if it fails
clean() {
    said=$("$@" 2>&1) && return
    printf '%s\n' "$said"
    failed=1
}

# analyze TOOL
analyze() {
    failed=0
    case $1 in
    gcc)
        need libc6-dev libmbedtls-dev gcc
        say "$(gcc --version | head -n 1)"
        for file in lib/*.c; do
            clean gcc -std=c11 -O2 -Wall -Wextra -Werror -fanalyzer -Iinclude -c "$file" -o /dev/null
        done
        ;;
    tidy)
        need libc6-dev libmbedtls-dev clang-tidy
        say "clang-tidy,$(clang-tidy --version | grep -i version)"
        for file in lib/*.c; do
            clean clang-tidy --quiet "$file" -- -std=c11 -Iinclude
        done
        ;;
    cppcheck)
        need libc6-dev libmbedtls-dev cppcheck
        say "$(cppcheck --version)"
        clean cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,style,performance,portability \
            --inline-suppr --suppressions-list=tests/cppcheck.supp --suppress=missingIncludeSystem -Iinclude lib
        ;;
    esac
    return $failed
}

[ $# -gt 0 ] || set -- gcc tidy cppcheck
for tool; do
    case $tool in
    gcc | tidy | cppcheck) ;;
    *) die "no tool $tool: one of gcc tidy cppcheck" ;;
    esac
done
for tool; do
    # In a shell of its own, which is all that die ends.
    (analyze "$tool") || failed=1
done
[ $failed = 0 ] && say "nothing found"
exit $failed
