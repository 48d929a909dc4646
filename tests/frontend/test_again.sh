#!/usr/bin/env bash
# A compiled program as the input of lvtc: it says what it is, and compiles again from what it holds, wherever its
# sources have gone.
# usage: test_again.sh SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail
source=$1
lvtc=$2/lvtc
. "$source/tests/expect.bash"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ir() { sed 's/ loc(.*//; /^source /d' "$1"; } # places name files, which are elsewhere

mkdir model lib
cp "$source"/models/*.lvt lib/
cat > model/m.lvt <<'M'
import "nn.lvt"
import "part.lvt"
model m(width = 4, hidden = 2 * width, sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], words = ["a b", "c\"d"], name = "x y",
        dtype = f32, act = gelu, start = normal(0.5), free = none, scale = 0.1) {
    training entry train(x: f32[2, width], y: i32[2]) {
        param w: f32[width, hidden] = start
        let loss = mean(cross_entropy(part(act(x @ w), sum(sizes), 3), y)) * scale
        minimize loss with sgd(lr = 0.1)
        return loss = loss
    }
    entry predict(x: f32[2, width]) {
        param w: f32[width, hidden] = start
        return logits = part(act(x @ w), sum(sizes), 3)
    }
}
M
echo 'import "nn.lvt"
block part(x, by, n) { return linear(x * by, n) as head }' > model/part.lvt
"$lvtc" model/m.lvt --models lib --set width=6 --set act=relu --set free=q -o m.lvtx
"$lvtc" model/m.lvt --models lib --set width=6 --set act=relu --set free=q --emit=ir > want
rm -r model lib

# what it is
expect 2 "m.lvtx is a compiled program" "$lvtc" m.lvtx
expect 2 "wants -o" "$lvtc" m.lvtx --emit=program
expect 2 "goes with" "$lvtc" m.lvtx --emit=ir --models lib
expect 2 "start-at" "$lvtc" m.lvtx --emit=ir --start-at=plan
cp m.lvtx renamed.lvt
expect 1 "renamed.lvt is a compiled program" "$lvtc" renamed.lvt
echo "not one" > broken.lvtx
expect 1 "broken.lvtx" "$lvtc" broken.lvtx --emit=ir

# the same again, and with other settings; what hangs on a setting follows it
"$lvtc" m.lvtx --emit=ir > got
cmp <(ir want) <(ir got)
"$lvtc" m.lvtx --emit=program -o again.lvtx
cmp <("$lvtc" m.lvtx --emit=ir --stop-after=plan | sed 's/ loc(.*//') <("$lvtc" again.lvtx --emit=ir --stop-after=plan | sed 's/ loc(.*//')
"$lvtc" m.lvtx --emit=ir --set width=8 > got
grep -q 'f32\[8,16\]' got || fail "hidden does not follow width"
grep -q ' relu(' got || fail "a setting that was given is forgotten"
"$lvtc" m.lvtx --emit=ir --set hidden=5 > got
grep -q 'f32\[6,5\]' got || fail "--set hidden"
"$lvtc" m.lvtx --emit=ir --set act=gelu --set dtype=f64 > got
grep -q ' gelu(' got || fail "--set act"
expect 1 "E504" "$lvtc" m.lvtx --emit=ir --set wdth=8
expect 1 "E506" "$lvtc" m.lvtx --emit=ir --set width=wide
"$lvtc" m.lvtx -o m.onnx
"$lvtc" m.lvtx --emit=onnx --entry train -o step.onnx
[ -s m.onnx ] && [ -s step.onnx ]

# a library's model, with a contract: moved to another folder, with another method
cp -r "$source/models" here
"$lvtc" here/lvt-tiny.lvt --models here --set method=er -o tiny.lvtx
"$lvtc" here/lvt-tiny.lvt --models here --set method=ewc --emit=ir > want
rm -r here
"$lvtc" tiny.lvtx --emit=ir --set method=ewc > got
cmp <(ir want) <(ir got)

# values from a file come with it
mkdir model && cat > model/v.lvt <<'M'
model v(n = 3) { entry predict(x: f32[2, n]) { param w: f32[n] = 1
    return y = x * w } }
M
"$lvtc" model/v.lvt --emit=onnx -o v.onnx
"$lvtc" v.onnx -o w.lvtx
expect 1 "does not hold what it was compiled from" "$lvtc" w.lvtx --emit=ir
cp w.lvtx.*.safetensors weights.safetensors
"$lvtc" model/v.lvt --weights weights.safetensors -o v.lvtx
[ -e v.lvtx.*.safetensors ] || fail "no values"
mkdir there && "$lvtc" v.lvtx --emit=program -o there/v.lvtx
cmp v.lvtx.*.safetensors there/v.lvtx.*.safetensors
"$lvtc" v.lvtx --emit=ir > got
grep -q 'file(' got || fail "the values of the file are gone"
expect 1 "has values for 'w' from a file" "$lvtc" v.lvtx --emit=ir --set n=4
rm v.lvtx.*.safetensors
expect 1 ".safetensors, which is not there" "$lvtc" v.lvtx --emit=ir

# processes
"$lvtc" "$source/models/lvt-tiny.lvt" --ranks 2 -o two.lvtx
"$lvtc" two.lvtx --emit=program -o three.lvtx
cmp <("$lvtc" two.lvtx --emit=ir --stop-after=shard | sed 's/ loc(.*//') <("$lvtc" three.lvtx --emit=ir --stop-after=shard | sed 's/ loc(.*//')
"$lvtc" two.lvtx --emit=ir --stop-after=shard > got
grep -q all_reduce got || fail "the number of processes is forgotten"
echo "programs compile again from what they hold"
