#!/usr/bin/env bash
# Import: what was exported comes back with the same results; hostile files.
# usage: test_import_back.sh SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail
SOURCE=$1 BUILD=$2
here=$SOURCE/tests/onnx
. "$here/venv.bash"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
export XDG_CACHE_HOME=$WORK/cache

expect() { # CODE WORDS COMMAND...
    local code=$1 words=$2 got=0
    shift 2
    "$@" >out.txt 2>&1 || got=$?
    [ "$got" = "$code" ] && grep -qF -- "$words" out.txt || { cat out.txt; echo "exit code $got: $*"; exit 1; }
}
back() { # NAME lvtc's options: compiles lvt-tiny.onnx and compares it with onnxruntime
    local name=$1
    shift
    "$BUILD/lvtc" lvt-tiny.onnx --set batch=64 -o "$name.lvtx" "$@"
    "$BUILD/lvt-run" step "$name.lvtx" --entry predict --save-inputs "$name.in" --save-outputs "$name.out" >/dev/null
    "$PYTHON" "$here/lvtonnx.py" lvt-tiny.onnx --inputs "$name.in" --outputs "$name.out" --tolerance 1e-4
}
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o lvt-tiny.onnx --external-data 1000
back frozen --freeze
[ ! -e frozen.safetensors ] || { echo "--freeze wrote weights"; exit 1; }
back weights
[ -s weights.safetensors ] || { echo "no weights were written"; exit 1; }
expect 1 '--set batch=SIZE' "$BUILD/lvtc" lvt-tiny.onnx -o no.lvtx
# External data stays in the model's folder, whatever its name says; operators are reported all at once.
mkdir inner
cp lvt-tiny.onnx.data secret.data
"$PYTHON" - <<'P'
import onnx, os
from onnx import helper, TensorProto
for k, where in enumerate(["../secret.data", os.path.abspath("secret.data"), "link.data", "lvt-tiny.onnx.data"]):
    m = onnx.load("lvt-tiny.onnx", load_external_data=False)
    for t in m.graph.initializer:
        for e in t.external_data:
            if e.key == "location":
                e.value = where
    open(f"inner/{k}.onnx", "wb").write(m.SerializeToString())
x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in "xy")
nodes = [helper.make_node("Unique", ["x"], ["a"], name="first"), helper.make_node("NonMaxSuppression", ["a"], ["b"], name="second"),
         helper.make_node("Unique", ["b"], ["y"], name="third")]
onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 13)]),
          "unknown.onnx")
P
ln -s ../secret.data inner/link.data
for k in 0 1 2; do expect 1 "not in the model's folder" "$BUILD/lvtc" inner/$k.onnx --set batch=1 -o no.lvtx; done
cp secret.data inner/lvt-tiny.onnx.data
"$BUILD/lvtc" inner/3.onnx --set batch=1 -o inner/yes.lvtx
expect 1 "operator Unique is not supported (2 node(s), the first is 'first')" "$BUILD/lvtc" unknown.onnx -o no.lvtx
grep -qF "operator NonMaxSuppression is not supported (1 node(s), the first is 'second')" out.txt
head -c 1000 lvt-tiny.onnx >cut.onnx
expect 1 "not an ONNX model" "$BUILD/lvtc" cut.onnx -o no.lvtx
[ ! -e no.lvtx ] || { echo "something was compiled"; exit 1; }
