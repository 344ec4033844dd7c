# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# Sourced by tests/run.sh and tests/cross.sh, after tests/debian.sh: runs parts, and counts their tests in the file
# $counts. A part that fails does not end the others.
# shellcheck disable=SC2154

# count PASSED FAILED SKIPPED [NAME]: the name of what failed
count() { printf '%s\n' "$*" >>"$counts"; }

# skip WHY: ends the part
skip() {
    say "skipped: $*"
    count 0 0 1
    exit 0
}

# part NAME COMMAND...: in a shell of its own, which is all that die ends
part() {
    part=$1
    shift
    begin=$(date +%s)
    ("$@"; exit 0) || { say "$part ended early"; count 0 1 0 "$part ended early"; }
    say "$part: $(($(date +%s) - begin)) seconds"
}

BAD='FAIL|TIMEOUT|ERROR|INTERRUPT|UNEXPECTEDPASS'
results() { cat "$dir"/meson-logs/testlog*.json 2>/dev/null | grep -Ec "\"result\": \"($1)\""; }

# tally STATUS: counts what a `meson test` in $dir that ended with a status has written down
tally() {
    good=$(results 'OK|EXPECTEDFAIL')
    bad=$(results "$BAD")
    count "$good" 0 "$(results SKIP)"
    if [ "$bad" = 0 ] && { [ "$1" != 0 ] || [ "$good" = 0 ]; }; then
        count 0 1 0 "$part: meson test ended with status $1 after $good tests"
    fi
    cat "$dir"/meson-logs/testlog*.json 2>/dev/null |
        sed -nE "s,^\\{\"name\": \"([^\"]*)\".*\"result\": \"($BAD)\".*,0 1 0 $part: \1 (\2),p" >>"$counts"
}

# conclude: prints what failed, a line each, and the last line; status 1 if anything failed
conclude() {
    sed -n 's/^0 1 0 /== failed: /p' "$counts"
    awk '{ passed += $1; failed += $2; skipped += $3 }
        END {
            printf "%d passed, %d failed%s\n", passed, failed, (skipped ? ", " skipped " skipped" : "")
            exit failed > 0
        }' "$counts"
    status=$?
    rm -f "$counts"
    return $status
}
