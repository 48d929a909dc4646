#!/usr/bin/env bash
# `lvtc --ops` and the guide's reference, frontend/OPS.md, say the same; LVT_BLESS=1 rewrites the reference.
# usage: test_ops.sh SOURCE_FOLDER BUILD_FOLDER
set -uo pipefail
source=$1 build=$2
lvtc=$build/lvtc
guide=$source/frontend/OPS.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAIL: $*"
    exit 1
}
"$lvtc" --ops > "$work/all" || fail "lvtc --ops"
if [ -n "${LVT_BLESS:-}" ]; then
    { sed '/^```$/,$d' "$guide"; echo '```'; cat "$work/all"; echo '```'; } > "$work/guide" && cp "$work/guide" "$guide"
fi
sed -n '/^```$/,/^```$/{/^```$/d;p}' "$guide" > "$work/told"
diff -u "$work/told" "$work/all" || fail "frontend/OPS.md and lvtc --ops differ (LVT_BLESS=1 bash $0 rewrites it)"

# one op, one function, one name of both, none
[ "$("$lvtc" --ops conv2d | head -1 | cut -d'(' -f1)" = conv2d ] || fail "--ops conv2d"
"$lvtc" --ops=slice | grep -qF '{axis: integer, begin: integer, end: integer, step: integer = 1}' || fail "--ops=slice"
[ "$("$lvtc" --ops zip | wc -l)" = 2 ] || fail "--ops zip"
[ "$("$lvtc" --ops max | grep -c '^max(')" = 2 ] || fail "--ops max"
"$lvtc" --ops conv2 > "$work/out" 2> "$work/err"
[ $? = 2 ] || fail "an unknown name is a wrong command line"
grep -q "did you mean 'conv2d'" "$work/err" || fail "no suggestion: $(cat "$work/err")"

# every row of the tables of ops is there
while read -r name; do
    grep -q "^$name(" "$work/all" || fail "no $name"
done < <(grep -ohE '^LVT_(PW|OP)\(\w+' "$source"/ir/ops.def "$source"/ir/op/ops.def 2>/dev/null | sed 's/.*(//')
grep -n '^    $' "$work/all" && fail "an op without meaning"
echo "$(grep -c 'runs on: ' "$work/all") ops"
