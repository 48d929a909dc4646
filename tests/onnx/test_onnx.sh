#!/usr/bin/env bash
# Exported models against lvt, in onnxruntime: predict of every model, training steps with their states.
# usage: test_onnx.sh SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail
SOURCE=$1 BUILD=$2
here=$SOURCE/tests/onnx
. "$here/venv.bash"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
export XDG_CACHE_HOME=$WORK/cache

# compare MODEL ENTRY STEPS OUTPUT_TOLERANCE STATE_TOLERANCE [lvtc's options]
compare() {
    local model=$1 entry=$2 steps=$3 tolerance=$4 states=$5
    shift 5
    [ -e "$model.lvtx" ] || "$BUILD/lvtc" "$SOURCE/models/$model.lvt" -o "$model.lvtx"
    [ -e "$model.$entry.ref" ] || "$BUILD/onnx_reference" "$model.lvtx" "$entry" "$steps" "$model.$entry.ref"
    "$BUILD/lvtc" "$SOURCE/models/$model.lvt" --emit=onnx --entry "$entry" -o "$model.onnx" "$@"
    "$PYTHON" "$here/test_onnx.py" "$model.onnx" "$model.$entry.ref" "$tolerance" "$states"
}

# f32 sums in another order: some 1e-6 a layer.
for opset in 13 17 18 21; do compare lvt-tiny predict 1 1e-4 0 --opset $opset; done
compare lvt-tiny predict 1 1e-4 0 --external-data 1000
[ -s lvt-tiny.onnx.data ] || { echo "no external data was written"; exit 1; }
compare lvt-s predict 1 1e-4 0
compare lvt predict 1 1e-4 0
# A step at rate 0.1 hands rounding of gradients (clipped at norm 5) on to the next, which amplifies it a few times.
compare lvt-tiny train_new 4 1e-4 1e-3
for opset in 13 17; do compare lvt-tiny train 4 1e-4 1e-3 --opset $opset; done
compare lvt-tiny importance 2 1e-4 1e-3
compare lvt-s train 3 1e-3 1e-3
# A checkpoint's values, names of classes and normalisation.
"$BUILD/lvt-run" train lvt-tiny.lvtx --data digits --steps 5 --out run -q
"$BUILD/onnx_reference" lvt-tiny.lvtx predict 1 trained.ref run/task-05.safetensors
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --weights run/task-05.safetensors -o trained.onnx
"$PYTHON" "$here/test_onnx.py" trained.onnx trained.ref 1e-4
"$PYTHON" - <<'P'
import json, onnx
meta = {p.key: p.value for p in onnx.load("trained.onnx").metadata_props}
assert len(json.loads(meta["class_names"])) == 10 and meta["lvt.entry"] == "predict" and "mean" in meta, meta
P
# Wrong use is said, not exported.
expect() { # CODE WORDS COMMAND...
    local code=$1 words=$2 got=0
    shift 2
    "$@" >out.txt 2>&1 || got=$?
    [ "$got" = "$code" ] && grep -qF -- "$words" out.txt || { cat out.txt; echo "exit code $got: $*"; exit 1; }
}
expect 1 "did you mean predict?" "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --entry predct -o no.onnx
expect 2 "13 to 21" "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --opset 12 -o no.onnx
expect 1 "stem.conv_bn.0.conv.weight is" "$BUILD/lvtc" "$SOURCE/models/lvt-s.lvt" --emit=onnx \
    --weights run/task-05.safetensors -o no.onnx
[ ! -e no.onnx ] || { echo "something was written"; exit 1; }

# ---- import: what was exported comes back with the same results ----
back() { # NAME lvtc's options: compiles lvt-tiny.onnx and compares it with onnxruntime
    local name=$1
    shift
    "$BUILD/lvtc" lvt-tiny.onnx --set batch=64 -o "$name.lvtx" "$@"
    local weights=()
    [ ! -e "$name.safetensors" ] || weights=("$name.safetensors")
    "$BUILD/onnx_reference" "$name.lvtx" predict 1 "$name.ref" "${weights[@]}"
    "$PYTHON" "$here/test_onnx.py" lvt-tiny.onnx "$name.ref" 1e-4
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
nodes = [helper.make_node("Det", ["x"], ["a"], name="first"), helper.make_node("NonZero", ["a"], ["b"], name="second"),
         helper.make_node("Det", ["b"], ["y"], name="third")]
onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 13)]),
          "unknown.onnx")
P
ln -s ../secret.data inner/link.data
for k in 0 1 2; do expect 1 "not in the model's folder" "$BUILD/lvtc" inner/$k.onnx --set batch=1 -o no.lvtx; done
cp secret.data inner/lvt-tiny.onnx.data
"$BUILD/lvtc" inner/3.onnx --set batch=1 -o inner/yes.lvtx
expect 1 "operator Det is not supported (2 node(s), the first is 'first')" "$BUILD/lvtc" unknown.onnx -o no.lvtx
grep -qF "operator NonZero is not supported (1 node(s), the first is 'second')" out.txt
head -c 1000 lvt-tiny.onnx >cut.onnx
expect 1 "not an ONNX model" "$BUILD/lvtc" cut.onnx -o no.lvtx
[ ! -e no.lvtx ] || { echo "something was compiled"; exit 1; }
