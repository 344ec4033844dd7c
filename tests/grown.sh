#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Programs run with a library whose structs have grown since, and with one from before they grew.
#
#   tests/grown.sh            copies the tree, and adds members to the structs of its headers that have a size
#   tests/grown.sh planted    and the first check finds each place that copies a struct in the size of the library
set -u
export LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd)
cc=${CC:-gcc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
flags='-std=c11 -g -fsanitize=address -fno-omit-frame-pointer'

# shellcheck disable=SC2086
echo 'int main(void) { return 0; }' | $cc $flags -x c -o "$work/none" - 2>/dev/null && "$work/none" ||
    { echo "skipped: no AddressSanitizer here"; exit 77; }
# shellcheck disable=SC2086
echo '#include <mbedtls/ssl.h>' | $cc $flags -x c -fsyntax-only - 2>/dev/null && tls=-DTLS || tls=

# Every struct of the headers can grow, is frozen by a suite, or is handed to callbacks.
to_callbacks='mkt_peer mkt_psk mkt_error_message mkt_log_event mkt_psk_session mkt_tls_failure mkt_signed'
awk '
    /^struct mkt_[a-z_]+ \{/ { name = $2; next }
    name != "" { print name, $0 ~ /^    size_t size;/ ? "sized" : "other"; name = "" }
' "$top"/include/mikeyticket/*.h >"$work/structs"
while read -r name kind; do
    case $kind,\ $to_callbacks\  in
    sized,*) ;;
    other,*" $name "*) ;;
    *) grep -Eq "(FROZEN\(|sizeof\(struct )$name[,)]" "$top/tests/sized.c" "$top/tests/tls.c" "$top/tests/streams.c" ||
        { echo "$name: has no size, and no suite holds it as it is"; exit 1; } ;;
    esac
done <"$work/structs"
sized=$(sed -n 's/ sized$//p' "$work/structs")
[ -n "$sized" ] || { echo "no struct has a size?"; exit 1; }

# grow: one more member at the end of each struct that has a size, in the headers of this tree; a later version
mkdir "$work/now" "$work/grown" || exit 1
cp -R "$top/include" "$top/lib" "$work/now" && cp -R "$top/include" "$top/lib" "$work/grown" || exit 1
for header in "$work"/grown/include/mikeyticket/*.h; do
    awk '
        /^struct mkt_[a-z_]+ \{/ { inside = 1; sized = 0 }
        inside && /^    size_t size;/ { sized = 1 }
        /^};/ && inside { if (sized) print "    unsigned char grown[24];"; inside = 0 }
        { print }
    ' "$header" >"$work/header" && mv "$work/header" "$header" || exit 1
done
[ "$(cat "$work"/grown/include/mikeyticket/*.h | grep -c 'grown\[24\]')" = "$(echo "$sized" | wc -l)" ] || exit 1
sed 's|^\(#define MKT_VERSION_MINOR\) .*|\1 250|' "$work/now/include/mikeyticket/version.h" \
    >"$work/grown/include/mikeyticket/version.h" || exit 1

# library DIR FILE...: compiles those of its files, and links all
library() {
    dir=$1
    shift
    for file; do
        # shellcheck disable=SC2086
        $cc $flags -fPIC -fvisibility=hidden -I"$dir/include" -c -o "$dir/$(basename "$file" .c).o" "$file" || exit 1
    done
    # shellcheck disable=SC2086
    $cc $flags -shared -o "$dir/libgrown.so" "$dir"/*.o ${tls:+-lmbedtls -lmbedx509} -lmbedcrypto || exit 1
}
for tree in now grown; do
    rm "$work/$tree/lib/crypto-nettle.c"
    [ -n "$tls" ] || rm "$work/$tree/lib/tls.c" "$work/$tree/lib/streams.c" "$work/$tree/lib/x509.c"
    library "$work/$tree" "$work/$tree"/lib/*.c
    # shellcheck disable=SC2086
    $cc $flags -Wall -Wextra -Werror $tls -I"$work/$tree/include" -o "$work/$tree/program" "$top/tests/grown.c" \
        -L"$work/$tree" -lgrown ${tls:+-lmbedtls -lmbedcrypto} || exit 1
    for example in readme forked; do
        # shellcheck disable=SC2086
        $cc $flags -I"$work/$tree/include" -o "$work/$tree/$example" "$top/examples/$example.c" \
            -L"$work/$tree" -lgrown || exit 1
    done
done

# runs TREE LIBRARY PROGRAM...: a program of a tree with the library of a tree
runs() {
    LD_LIBRARY_PATH="$work/$2" "$work/$1/$3" ${4:+"$4"} >"$work/out" 2>"$work/err"
}
fail() {
    cat "$work/out" "$work/err"
    echo "$*"
    exit 1
}

if [ "${1:-}" = planted ]; then
    sed '/^#endif/d' "$work/now/lib/sized.h" - >"$work/grown/lib/sized.h" <<'END'
static inline bool mkt_sized_whole(void *to, size_t known, const void *from, size_t first)
{
    (void)first;
    memcpy(to, from, known);
    return true;
}
END
    echo '#endif' >>"$work/grown/lib/sized.h"
    found=0
    for place in $(cd "$work/grown/lib" && grep -n 'mkt_sized_copy(' -- *.c | cut -d: -f1,2); do
        file=$work/grown/lib/${place%:*}
        cp "$file" "$work/right.c"
        sed "${place#*:}s/mkt_sized_copy(/mkt_sized_whole(/; ${place#*:}s/whole(key, key->size/whole(key, sizeof asked/" \
            "$work/right.c" >"$file"
        library "$work/grown" "$file"
        ! runs now grown program || { echo "not seen: $(sed -n "${place#*:}p" "$file")"; exit 1; }
        grep -q AddressSanitizer "$work/err" || fail "not because of what is read: $place"
        cp "$work/right.c" "$file"
        library "$work/grown" "$file"
        found=$((found + 1))
    done
    echo "$found places found"
    [ $found -gt 0 ] || exit 1
fi

for program in program readme forked; do
    runs now grown $program || fail "$program: an older program, and a library whose structs have grown"
    runs grown now $program || fail "$program: a newer program, and a library whose structs have not grown"
done
runs now grown program
[ "$(sed 's/headers \(.*\), library \(.*\)/\1 < \2/p;d' "$work/out")" = "256 < $((250 * 256))" ] ||
    fail "not the version of the library that runs"
for name in $sized; do
    case $name,$tls in mkt_tls_settings, | mkt_streams_settings, | mkt_x509_settings, | mkt_public_keys,) continue ;; esac
    runs grown now program "$name" || fail "$name: a newer program, with octets that the library does not know"
done
