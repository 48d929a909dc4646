#!/usr/bin/env bash
# The first example of the guide compiles as it stands there, without a warning, and trains what it predicts with.
# usage: test_guide.sh SOURCE_FOLDER BUILD_FOLDER
set -uo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAIL: $*"
    exit 1
}
awk '/^    import "nn.lvt"/ { on = 1 } on && /^[^ ]/ { exit } on { print substr($0, 5) }' "$source/frontend/README.md" > "$work/first.lvt"
grep -q '^model first' "$work/first.lvt" || fail "the example is not where it was"
"$build/lvtc" "$work/first.lvt" --models "$source/models" -o "$work/first.lvtx" 2> "$work/words" || fail "$(cat "$work/words")"
[ -s "$work/words" ] && fail "it says: $(cat "$work/words")"
"$build/lvtc" "$work/first.lvtx" --emit=ir > "$work/ir" || fail "lvtc first.lvtx"
[ "$(grep -c '^state\|^param' "$work/ir")" = 4 ] || fail "it has not four parameters: $(grep '^state\|^param' "$work/ir")"
# without `as _` it has two networks, and that is said
sed 's/ as _//' "$work/first.lvt" > "$work/two.lvt"
"$build/lvtc" "$work/two.lvt" --models "$source/models" -o "$work/two.lvtx" 2> "$work/words" || fail "$(cat "$work/words")"
grep -q "warning W701: predict reads the parameter 'network.hidden.weight' and 3 more" "$work/words" || fail "no warning: $(cat "$work/words")"
grep -q "train trains 'f.hidden.weight' in its place" "$work/words" || fail "no other path: $(cat "$work/words")"
# an export compiles twice, for two batches, and says it once
"$build/lvtc" "$work/two.lvt" --models "$source/models" -o "$work/two.onnx" 2> "$work/words" || fail "$(cat "$work/words")"
[ "$(grep -c 'warning W701' "$work/words")" = 1 ] || fail "not one warning: $(cat "$work/words")"
echo "the guide's example is right"
