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
