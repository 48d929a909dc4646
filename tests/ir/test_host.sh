#!/usr/bin/env bash
# Big-endian and 32-bit hosts are refused at compile time, with a sentence.
set -euo pipefail
cd "$1"
check() { # words, compiler options
    local words=$1 out
    shift
    if out=$("${CC:-cc}" -I. -DLVT_VERSION='""' -E "$@" ir/base/version.c 2>&1 >/dev/null); then
        echo "not refused: $*"
        exit 1
    fi
    grep -q "$words" <<<"$out" || { echo "no '$words' in: $out"; exit 1; }
}
check "little-endian" -U__BYTE_ORDER__ -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__
check "64-bit" -U__SIZEOF_POINTER__ -D__SIZEOF_POINTER__=4
