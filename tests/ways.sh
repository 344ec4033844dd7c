#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A part of .ci/run, tests/run.sh, tests/cross.sh or tests/analyze.sh that fails does not end the others, and the last
# line counts all. Runs copies of them, with programs of its own in the place of compilers, Meson and Debian's packages.
#
#   tests/ways.sh
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
failed=0

# program NAME: made of standard input
program() {
    { echo '#!/bin/sh'; cat; } >"$1"
    chmod +x "$1"
}

mkdir "$work/tree" "$work/tree/tests" "$work/tree/.ci" "$work/bin" || exit 2
for name in run cross analyze debian count dist; do
    cp "$top/tests/$name.sh" "$work/tree/tests" || exit 2
done
cp "$top/.ci/run" "$work/tree/.ci" || exit 2
cd "$work/bin" || exit 2
# builds unless $BROKEN is in the name of the compiler; of three tests one passes, one is skipped, one has $THIRD
program meson <<'END'
case $1 in
setup)
    case $CC in *"${BROKEN:-none}"*) echo "$CC is broken"; exit 1 ;; esac
    for dir; do
        [ $# = 2 ] || shift
    done
    mkdir -p "$1/meson-logs"
    ;;
test)
    {
        echo '{"name": "all / first", "stdout": "", "result": "OK"}'
        echo '{"name": "all / second", "stdout": "", "result": "SKIP"}'
        echo '{"name": "all / third", "stdout": "", "result": "'"${THIRD:-SKIP}"'"}'
    } >"$3/meson-logs/testlog.json"
    ;;
esac
END
program clang <<'END'
[ "${BROKEN:-}" != clang ]
END
program dpkg-query <<'END'
for package; do :; done
[ "$package" = "${MISSING:-}" ] || printf installed
END
program cppcheck <<'END'
echo cppcheck 9
END
for name in apt-get sudo; do
    program $name <<'END'
exit 1
END
done
PATH=$work/bin:$PATH
export PATH

# ends STATUS LINE COMMAND...: with which status and which last line a command ends
ends() {
    status=$1
    line=$2
    shift 2
    (cd "$work/tree" && env "$@") >"$work/said" 2>&1
    got=$?
    last=$(tail -n 1 "$work/said")
    [ "$got" != "$status" ] || [ "$last" != "$line" ] || return 0
    failed=1
    echo "$*: status $got, not $status, or not the last line '$line', but:"
    sed 's/^/    /' "$work/said"
}

# said PATTERN: by the command before
said() {
    grep -q "$1" "$work/said" && return
    failed=1
    echo "nothing of '$1':"
    sed 's/^/    /' "$work/said"
}

ends 0 '2 passed, 0 failed, 4 skipped' tests/run.sh release debug
ends 1 '1 passed, 1 failed, 1 skipped' THIRD=TIMEOUT tests/run.sh release
said '^== failed: release: all / third (TIMEOUT)$'
ends 1 '1 passed, 1 failed, 2 skipped' BROKEN=clang tests/run.sh clang release
said 'is broken'
said '^== failed: clang ended early$'
ends 1 '1 passed, 1 failed, 2 skipped' BROKEN=clang tests/run.sh msan release
said 'msan.c does not compile'
said '^== msan: [0-9]* seconds$'
said '^== release: [0-9]* seconds$'
ends 1 '1 passed, 1 failed, 2 skipped' MISSING=valgrind tests/run.sh valgrind debug
said 'valgrind'
ends 1 '1 passed, 1 failed, 2 skipped' tests/run.sh fuzz release
ends 0 '1 passed, 0 failed, 3 skipped' tests/run.sh dist release
said 'skipped: .* no git repository'
ends 2 'run.sh: no way slow: one of release dist notls nettle debug clang msan thread valgrind fuzz network' tests/run.sh release slow

ends 1 '0 passed, 2 failed' tests/cross.sh m32 s390x
said 'no packages for i386'
said 'no packages for s390x'
ends 1 '== cppcheck 9' MISSING=clang-tidy tests/analyze.sh tidy cppcheck
said 'apt-get'

# part FILE LAST_LINE STATUS: what stands for a part of .ci/run
part() {
    program "$1" <<END
echo "$2"
exit $3
END
}

part "$work/tree/tests/run.sh" '5 passed, 0 failed' 0
part "$work/tree/tests/debian13.sh" '7 passed, 0 failed' 0
ends 0 '12 passed, 0 failed' .ci/run
part "$work/tree/tests/run.sh" '== failed: debug: all / third (FAIL)
5 passed, 2 failed, 1 skipped' 1
part "$work/tree/tests/debian13.sh" '7 passed, 0 failed, 3 skipped' 0
ends 1 '12 passed, 2 failed, 4 skipped' .ci/run
[ "$(tail -n 6 "$work/said" | grep -c '^== failed: debug: all / third (FAIL)$')" = 1 ] || {
    failed=1
    echo "the failure is not among the last lines of .ci/run"
}
part "$work/tree/tests/run.sh" 'killed' 137
part "$work/tree/tests/debian13.sh" '7 passed, 1 failed, 3 skipped' 1
ends 1 '7 passed, 2 failed, 3 skipped' .ci/run
exit $failed
