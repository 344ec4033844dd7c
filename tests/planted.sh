#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Do the fuzz targets find bugs? Plants them one by one in a copy of the tree, and looks whether the corpus replayed, or
# else a short run from it, finds each with the target that should. An edit that no longer applies is not found, nor is
# what only takes too long. Each target must do well without a bug, and so must the input that a run found.
#
#   tests/planted.sh [WORD]   WORD: only plants whose description has it
#   PLANTED_SECONDS=60        how long a target may look for a bug that its corpus does not show; 60 by default
#
# Works in build/planted; takes 5 minutes on two slow cores. The last line is "N found, N not found"; the exit status is
# 1 if any was not found.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$tests")
work=$top/build/planted
tree=$work/tree
dir=$work/build
seconds=${PLANTED_SECONDS:-60}
word=${1:-}
found=0
missed=0
slow=70 # how libFuzzer ends if an input takes too long
# shellcheck source=tests/debian.sh
. "$tests/debian.sh"

need clang libclang-rt-dev meson ninja-build pkgconf libmbedtls-dev

now() { date +%s; }

# runs TARGET SECONDS: ends well after its corpus and so many seconds
runs() {
    set -- "$1" "$2" "$top/fuzz/corpus/${1%-unverified}"
    if [ "$2" = 0 ]; then
        "$dir/fuzz/fuzz-$1" -runs=0 -timeout=20 -timeout_exitcode=$slow -artifact_prefix="$work/input-" "$3" >"$work/log" 2>&1
    else
        mkdir -p "$work/corpus"
        "$dir/fuzz/fuzz-$1" -max_total_time="$2" -max_len=4000 -timeout=20 -timeout_exitcode=$slow \
            -artifact_prefix="$work/input-" "$work/corpus" "$3" >"$work/log" 2>&1
    fi
}

builds() {
    ninja -C "$dir" "fuzz/fuzz-$1" >"$work/log" 2>&1 && return
    cat "$work/log"
    return 1
}

# miss WHAT WHY
miss() {
    missed=$((missed + 1))
    printf '%s: NOT FOUND: %s\n' "$1" "$2"
}

# look WHAT TARGET FILE: for what is planted in lib/FILE
look() {
    rm -rf "$work/corpus" "$work"/input-*
    builds "$2" || { miss "$1" "it does not build"; return; }
    begun=$(now)
    how=replaying
    runs "$2" 0
    status=$?
    if [ $status = 0 ]; then
        how=fuzzing
        runs "$2" "$seconds"
        status=$?
    fi
    seen="by $2 in $(($(now) - begun)) s, $how"
    cp "$top/lib/$3" "$tree/lib/$3"
    case $status in
    0) miss "$1" "$seen" ;;
    "$slow") miss "$1" "too slow an input $seen" ;;
    *)
        if [ $how = fuzzing ] && { ! builds "$2" || ! "$dir/fuzz/fuzz-$2" "$work"/input-* >"$work/log" 2>&1; }; then
            miss "$1" "its input fails without it too, $seen"
            return
        fi
        found=$((found + 1))
        printf '%s: found %s\n' "$1" "$seen"
        ;;
    esac
}

# plant WHAT TARGET FILE SCRIPT: SCRIPT, of sed, changes one line of lib/FILE, adds one, or takes one away
plant() {
    case $1 in *"$word"*) ;; *) return ;; esac
    if $control; then
        case " $targets " in *" $2 "*) ;; *) targets="$targets $2" ;; esac
        return
    fi
    sed "$4" "$top/lib/$3" >"$tree/lib/$3"
    changed=$(diff "$top/lib/$3" "$tree/lib/$3" | grep -c '^[<>]')
    case $changed in
    1 | 2) look "$1" "$2" "$3" ;;
    *) miss "$1" "the edit of lib/$3 applies to $changed lines: mend it" ;;
    esac
    cp "$top/lib/$3" "$tree/lib/$3"
}

rm -rf "$work"
mkdir -p "$tree" || exit 1
for part in lib include examples tests fuzz meson.build meson_options.txt; do
    case $part in
    fuzz) mkdir "$tree/fuzz" && cp "$top"/fuzz/*.* "$tree/fuzz" ;;
    tests) mkdir "$tree/tests" && cp "$top/tests/meson.build" "$tree/tests" ;;
    *) cp -R "$top/$part" "$tree" ;;
    esac || exit 1
done
if ! CC=clang meson setup "$dir" "$tree" -Dtests=disabled -Dexamples=false -Dfuzzing=libfuzzer -Dbuildtype=debug \
    -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fno-sanitize-recover=all >"$work/log" 2>&1; then
    cat "$work/log"
    die "meson does not set $dir up"
fi

plants() {
    plant 'a leak' stored-ticket ticket.c '/^        mkt_ticket_free(ticket);$/d'
    plant 'a read of one octet too many' message io.h 's/if (n > io->end - io->pos) {/if (n > io->end + (io->mode == IO_GET) - io->pos) {/'
    plant 'a read of one octet too many, of text' sdp sdp.h 's/^    for (size_t i = 0; i < text.n; i++) {/    for (size_t i = 0; i <= text.n; i++) {/'
    plant 'a flag that is lost' message message.c 's/^    io_split(io, 1, &h->v, 7, &h->prf);$/& h->v = 0;/'
    plant 'a MAC that is not compared' take-request-init exchange.c \
        's/^    const enum mkt_err err = \(mkt_protect_open(&txn->protection, .*\);$/    const enum mkt_err err = \1 == MKT_E_CRYPTO ? MKT_E_CRYPTO : MKT_OK;/'
    plant 'a MAC that is compared but for its last octet' take-transfer-resp protect.c \
        's/!mkt_same(expected, mac.p, length)/!mkt_same(expected, mac.p, length - 1)/'
    plant 'a MAC that a Responder does not verify once it has the keys' take-transfer-init-for-kms exchange.c \
        's/^    err = mkt_verify(txn, true);$/    err = acts->refuse == NULL \&\& (txn->keys.p = NULL) == NULL ? MKT_OK : mkt_verify(txn, true);/'
    plant 'a ticket whose MAC is not compared' ticket ticket.c \
        's/mkt_protect_open(&by_tpk, plain != NULL ? &encryption : NULL, &base->covered, 1, base->mac);/mkt_protect_seal(\&by_tpk, plain != NULL ? \&encryption : NULL, NULL, 0, (uint8_t[32]){0});/'
    plant 'a message that is taken twice' take-resolve-init exchange.c \
        's/^    if (measured || t->ts_type/    if (remember || measured || t->ts_type/'
    plant 'an Error message of a KMS whose MAC is not compared' take-error-for-resolve error_message.c \
        's/ authenticated ? mkt_verify(txn, false) : err;$/ txn->host == NULL ? MKT_E_MAC : err;/'
    plant 'a replay cache that does not look for what it has' replay-cache replay.c 's/^            !alive(slot, m->now))$/            alive(slot, m->now))/'
    plant 'a refused message that leaves traces' take-transfer-resp csb.c \
        's/^    if (err == MKT_OK && counts) {$/    if (err != MKT_OK) csb->bundle = txn->bundle;\n&/'
    plant 'a timestamp that a stored bundle loses' stored bundle.c 's/^    io_times(io, &b->peer_last_t);$/& if (io->mode == IO_GET) b->peer_last_t.clock = 0;/'
    plant 'a TEK that depends on who derives it' take-transfer-init csb.c 's/^        .cs_id = cs.cs_id,$/        .cs_id = (uint8_t)csb->role,/'
    plant 'base64 that is not by the letter' keymgmt base64.c 's/^\( *wrong = (a | b | c | d) >> 6\) | (bits & .*;$/\1;/'
    plant 'two TLS servers' sdp sdp.c 's/^    roles->tls = client ? MKT_END_CLIENT : MKT_END_SERVER;$/    roles->tls = MKT_END_SERVER;/'
    plant 'keys of two Responders under one key and IV' model exchange.c 's/^    const bool alone = .*$/    const bool alone = txn != NULL;/'
    plant 'an answer with keys whose T tells it from no other' model transfer.c \
        's/^    const bool shared = .*$/    const bool shared = txn == NULL;/'
    plant 'keys of both ends under one key and IV' model exchange.c \
        's/^    \*low = (\*low & ~(uint64_t)1) | (txn->role == MKT_RESPONDER);$/    *low \&= ~(uint64_t)1;/'
    plant 'a peer that nobody has heard of' model csb.c \
        's/^        return mkt_csb_ready(csb) ? b->responder : unknown;$/        return !mkt_csb_ready(csb) ? unknown : b->responder.data.n > 0 ? b->responder : b->called;/'
    plant 'a Responder that takes the name of the one who was asked' model transfer.c \
        's/^    b->responder = txn->settings->self;$/    b->responder = mkt_bundle_has(b, MKT_FLAG_F) ? txn->settings->self : b->called;/'
    plant 'an answer of somebody whom nobody asked, without key forking' model transfer.c \
        's/^    if (!named && (!mkt_bundle_has(b, MKT_FLAG_I) || txn->host->authorise == NULL))$/    if (!named \&\& txn->host->authorise == NULL)/'
    plant 'an answer of somebody whom nobody asked, and no word of the host' model transfer.c \
        's/^    if (!named && (!mkt_bundle_has(b, MKT_FLAG_I) || txn->host->authorise == NULL))$/    if (!named \&\& !mkt_bundle_has(b, MKT_FLAG_I))/'
    plant 'a ticket that only another host can open' model ticket.h \
        's/^    return (policy->flags & flag) != 0 || host->open != NULL ? MKT_OK : MKT_E_TICKET_TYPE;$/    return flag != 0 || host->open != NULL || policy->flags != 0 ? MKT_OK : MKT_E_TICKET_TYPE;/'
    plant 'an Initiator that nobody names, and no word of the host' model transfer.c \
        's/^        b->initiator.data.n > 0 && txn->host->authorise != NULL && /        b->initiator.data.n > 0 \&\& /'
    plant 'a measure that fails and counts' model csb.c 's/^        out->n = before;$/        out->n = out->p == NULL ? out->n : before;/'
    plant 'a connection that gets the key of another stream' tls streams.c 's/^    if (connection->serial != 0 && connection->serial != stream->serial)$/    if (false)/'
}

# Without a bug nothing is found.
targets=
control=true
plants
control=false
# shellcheck disable=SC2086
for target in $targets; do
    { builds "$target" && runs "$target" 0; } && continue
    tail -n 60 "$work/log"
    miss "no planted bug" "$target fails without one"
done
plants

printf '%s found, %s not found\n' "$found" "$missed"
[ "$missed" = 0 ]
