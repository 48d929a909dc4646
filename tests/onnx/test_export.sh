#!/usr/bin/env bash
# Exported models against lvt-run, in onnxruntime: predict of every model, training steps with their states, both
# as a graph of states in and out and as training_info. `check_models` in this folder is the long form.
# usage: test_export.sh SOURCE_FOLDER BUILD_FOLDER
source "$1/tests/onnx/lib.bash"
export PYTHONPATH=$here

# compare MODEL ENTRY STEPS OUTPUT_TOLERANCE STATE_TOLERANCE [options of lvtc]
compare() {
    local model=$1 entry=$2 steps=$3 tolerance=$4 states=$5 free=()
    shift 5
    [ -e "$model.lvtx" ] || "$BUILD/lvtc" "$SOURCE/models/$model.lvt" -o "$model.lvtx"
    [ -e "$model.$entry.out" ] ||
        "$BUILD/lvt-run" step "$model.lvtx" --entry "$entry" -n "$steps" --save-inputs "$model.$entry.in" \
            --save-outputs "$model.$entry.out" --save-states "$model.$entry.states" >/dev/null
    "$BUILD/lvtc" "$SOURCE/models/$model.lvt" --emit=onnx --entry "$entry" -o "$model.onnx" "$@"
    [ "$states" = 0 ] || free+=(--states "$model.$entry.states" --state-tolerance "$states")
    [ "$entry" != predict ] || free+=(--batch-free)
    "$PYTHON" "$here/lvtonnx.py" "$model.onnx" --inputs "$model.$entry.in" --outputs "$model.$entry.out" \
        --tolerance "$tolerance" "${free[@]}"
}

# f32 sums in another order: some 1e-6 a layer.
for opset in 13 14 15 16 17 18 19 20 21 22 23 24; do compare lvt-tiny predict 1 1e-4 0 --opset $opset; done
compare lvt-tiny predict 1 1e-4 0 --external-data 1000
[ -s lvt-tiny.onnx.data ] || { echo "no external data was written"; exit 1; }
compare lvt-s predict 1 1e-4 0
compare lvt predict 1 1e-4 0
# A step at rate 0.1 hands rounding of gradients (clipped at norm 5) on to the next, which amplifies it a few times.
compare lvt-tiny train_new 4 1e-4 1e-3
for opset in 13 17 21 24; do
    compare lvt-tiny train 4 1e-4 1e-3 --opset $opset
    compare lvt-tiny train 4 1e-4 1e-3 --opset $opset --training-info
done
compare lvt-tiny importance 2 1e-4 1e-3
compare lvt-s train 3 1e-3 1e-3
compare lvt-s train 3 1e-3 1e-3 --training-info
# Every entry of every method of the table: nothing dangles, and what an entry does not use is not in its graph. An
# entry that does nothing (a method that measures no importance) is no model.
nothing=0 made=()
for method in $("$PYTHON" -c 'import lvtonnx, sys; print(*lvtonnx.methods(sys.argv[1]))' "$SOURCE"); do
    for entry in train_new train importance consolidate inspect predict info; do
        kind=(--entry "$entry")
        [ "$entry" != info ] || kind=(--training-info)
        file=$method-$entry.onnx
        if "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set method="$method" --emit=onnx "${kind[@]}" -o "$file" 2>said.txt; then
            made+=("$file")
        else
            grep -q "nothing to export: entry \(importance\|consolidate\)" said.txt || { cat said.txt; exit 1; }
            nothing=$((nothing + 1))
        fi
    done
done
[ "$nothing" -lt 20 ] && [ ${#made[@]} -ge 50 ] || { echo "$nothing entries do nothing, ${#made[@]} were exported"; exit 1; }
"$PYTHON" "$here/lvtonnx.py" "${made[@]}" >tidy.txt || { cat tidy.txt; exit 1; }
"$PYTHON" - <<'P'
import json, onnx
for name, unused in (("er-train", ["zm", "zm_mask", "beta", "r", "gamma"]), ("lwf-train", ["xm", "ym", "alpha", "r", "gamma"])):
    m = onnx.load(name + ".onnx")
    meta = {p.key: p.value for p in m.metadata_props}
    assert json.loads(meta["lvt.unused_inputs"]) == unused, meta
    assert not {i.name for i in m.graph.input} & set(unused)
meta = {p.key: p.value for p in onnx.load("er-info.onnx").metadata_props}
assert "zm" in json.loads(meta["lvt.training_unused_inputs"]) and "lvt.unused_inputs" not in meta, meta
P
# An entry that updates what it does not read.
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --entry consolidate --training-info -o consolidate.onnx
"$PYTHON" "$here/lvtonnx.py" consolidate.onnx
# The graph of initial values draws what the model file says: same formulas, other numbers.
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --training-info -o anew.onnx --external-data 1000
"$PYTHON" - <<'P'
import numpy as np, onnx
import lvtonnx
model = onnx.load("anew.onnx")
info = model.training_info[0]
first = lvtonnx.session(onnx.helper.make_model(info.initialization, opset_imports=model.opset_import,
                                               ir_version=model.ir_version))
got = dict(zip([o.name for o in first.get_outputs()], first.run(None, {})))
bound = {b.key: got[b.value] for b in info.initialization_binding}
have = {t.name: onnx.numpy_helper.to_array(t, ".") for t in [*model.graph.initializer, *info.algorithm.initializer]}
assert {b.key for b in info.update_binding} <= set(bound) <= set(have)
for k, v in bound.items():
    assert v.shape == have[k].shape and v.dtype == have[k].dtype
    if have[k].std() == 0:
        assert np.array_equal(v, have[k]), k
    elif v.size >= 100:  # each deviation of n draws is known to within 1/sqrt(2 n): five times that
        assert abs(v.std() / have[k].std() - 1) < 5 * np.sqrt(2 / v.size), (k, v.std(), have[k].std())
        assert not np.array_equal(v, have[k]), k
print(f"{len(bound)} states drawn anew")
P
# A checkpoint's values, names of classes and normalisation.
"$BUILD/lvt-run" train lvt-tiny.lvtx --data digits --steps 5 --out run -q >/dev/null
"$BUILD/lvt-run" step lvt-tiny.lvtx --entry predict --inputs lvt-tiny.predict.in --weights run/task-05.safetensors \
    --save-outputs trained.out >/dev/null
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --weights run/task-05.safetensors -o trained.onnx
"$PYTHON" "$here/lvtonnx.py" trained.onnx --inputs lvt-tiny.predict.in --outputs trained.out --tolerance 1e-4
"$PYTHON" - <<'P'
import json, onnx
meta = {p.key: p.value for p in onnx.load("trained.onnx").metadata_props}
assert len(json.loads(meta["class_names"])) == 10 and meta["lvt.entry"] == "predict" and "mean" in meta, meta
P
# Pictures in, probabilities out: as `lvt-run predict` answers, which counts the classes learned so far.
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --weights run/task-03.safetensors --with-preprocessing \
    -o pictures.onnx
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx --training-info --weights run/task-03.safetensors \
    --with-preprocessing -o both.onnx
"$PYTHON" "$here/lvtonnx.py" both.onnx
"$PYTHON" - "$BUILD/lvt-run" <<'P'
import json, subprocess, struct, sys, zlib
import numpy as np
import lvtonnx
def png(path, grey):
    part = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(r) for r in grey)
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", *grey.shape, 8, 0, 0, 0, 0)) +
                           part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))
x = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), np.uint8)
names = [f"{i}.png" for i in range(4)]
for n, image in zip(names, x):
    png(n, image[:, :, 0])
said = subprocess.run([sys.argv[1], "predict", "lvt-tiny.lvtx", "--json", "--checkpoint", "run/task-03.safetensors", *names],
                      check=True, capture_output=True).stdout
said = [json.loads(line) for line in said.splitlines()]
assert len(said) == len(names)
print(lvtonnx.check("pictures.onnx"))
got = lvtonnx.Model("pictures.onnx").run({"x": x})
assert got["probabilities"].shape == (4, 10) and np.all(got["probabilities"][:, 6:] == 0)
for i, s in enumerate(said):
    assert s["classes"][0]["class"] == got["label"][i], (i, s, got)
    for c in s["classes"]:
        assert abs(c["probability"] - got["probabilities"][i, c["class"]]) < 1e-5  # f32
meta = {p.key: p.value for p in lvtonnx.Model("pictures.onnx").proto.metadata_props}
assert json.loads(meta["classes_learned"]) == list(range(6)) and len(json.loads(meta["mean"])) == 1, meta
P
# The step exported, imported and trained on takes the same steps: as a graph of states in and out, and from
# training_info, whose file becomes a program of two entries. f32 sums in another order, as above.
there_and_back() { # STEPS BATCH options of lvtc
    local steps=$1 batch=$2 kind
    shift 2
    "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" "$@" -o there.lvtx
    "$BUILD/lvt-run" step there.lvtx -n "$steps" --save-inputs there.in --save-outputs there.out --save-states there.states \
        >/dev/null
    "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" "$@" --emit=onnx --entry train -o plain.onnx
    "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" "$@" --emit=onnx --training-info -o info.onnx
    for kind in plain info; do
        "$BUILD/lvtc" $kind.onnx --set batch="$batch" -o back.lvtx
        "$BUILD/lvt-run" step back.lvtx --entry train --inputs there.in --save-outputs back.out --save-states back.states \
            >/dev/null
        "$PYTHON" - $kind <<'P'
import sys
import lvtonnx
for part, least, tolerance in (("out", 6, 1e-5), ("states", 100, 1e-4)):
    there, back = lvtonnx.read("there." + part), lvtonnx.read("back." + part)
    assert set(back) <= set(there) and len(back) >= least, set(back) - set(there)
    worst = max(lvtonnx.difference(back[k], there[k]) for k in back)
    print(f"{sys.argv[1]}, back again: {len(back)} {part} differ by {worst:.1e}")
    assert worst <= tolerance
P
    done
}
there_and_back 10 32
there_and_back 4 32 --set momentum=0.9 --set nesterov=true
"$BUILD/lvtc" info.onnx --set batch=32 -o back.lvtx
"$BUILD/lvt-run" info back.lvtx | grep -qF "entry predict"
"$BUILD/lvt-run" info back.lvtx | grep -q "input *lr *f32\[\] = 0.1"
"$PYTHON" - <<'P'
import onnx
m = onnx.load("info.onnx")
m.training_info[0].update_binding[0].value = "nobody"
onnx.save(m, "nobody.onnx")
m.training_info[0].update_binding[0].value = "loss"
onnx.save(m, "loss.onnx")
m.training_info.extend([m.training_info[0]])
onnx.save(m, "two.onnx")
P
# Wrong use is said, not exported.
tiny=("$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o no.onnx)
expect 1 "did you mean predict?" "${tiny[@]}" --entry predct
expect 1 "predict does not fit" "${tiny[@]}" --entry predict --training-info
expect 2 "13 to 24" "${tiny[@]}" --opset 12
expect 1 "1 channels are not known" "${tiny[@]}" --with-preprocessing
expect 1 "mean and deviation are given for 2" "${tiny[@]}" --with-preprocessing --mean 0.5,0.5 --deviation 0.3,0.3
expect 2 "go together" "${tiny[@]}" --with-preprocessing --mean 0.5
expect 2 "above 0" "${tiny[@]}" --with-preprocessing --mean 0.5 --deviation=-1
expect 1 "stem.conv_bn.0.conv.weight is" "$BUILD/lvtc" "$SOURCE/models/lvt-s.lvt" --emit=onnx \
    --weights run/task-05.safetensors -o no.onnx
# What --emit=onnx and its options mean; a device is written to, not replaced.
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" -o named.onnx
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o - | cmp named.onnx -
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o /dev/stdout | cmp named.onnx -
expect 1 "No space left on device" "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o /dev/full
[ -c /dev/full ] || { echo "/dev/full was replaced"; exit 1; }
expect 2 "tensors go beside it" "${tiny[@]}" -o - --external-data 1000
expect 2 "a program goes into a file" "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" -o -
expect 2 "--opset goes with --emit=onnx" "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --opset 17 -o no.lvtx
expect 2 "--freeze goes with an ONNX file" "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --freeze -o no.lvtx
back=(-o no.lvtx --set batch=32)
expect 1 "is 'nobody', which is no output" "$BUILD/lvtc" nobody.onnx "${back[@]}"
expect 1 "its update 'loss' is f32[]" "$BUILD/lvtc" loss.onnx "${back[@]}"
expect 1 "it has 2 training steps" "$BUILD/lvtc" two.onnx "${back[@]}"
[ ! -e no.onnx ] || { echo "something was written"; exit 1; }
