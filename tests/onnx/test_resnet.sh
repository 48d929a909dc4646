#!/usr/bin/env bash
# A ResNet-18 of PyTorch imported into a model file: its results, one training step, fine-tuning by the driver; weights
# of PyTorch's names through a map; and what is said about mistakes.
# usage: test_resnet.sh SOURCE_FOLDER BUILD_FOLDER; LVT_TORCH_PYTHON: another Python that has PyTorch
set -euo pipefail
SOURCE=$1 BUILD=$2
here=$SOURCE/tests/onnx
. "$SOURCE/tests/expect.bash"
PYTHON=${LVT_TORCH_PYTHON:-/usr/bin/python3}
"$PYTHON" -c 'import torch' 2>/dev/null || { echo "PyTorch is not installed"; exit 77; }
py() { "$PYTHON" -W ignore "$@"; }
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
export XDG_CACHE_HOME=$WORK/cache OMP_NUM_THREADS=2
cp "$here"/resnet*.lvt .

record() { # PROGRAM ENTRY NAME: one step on made-up inputs, as NAME.in, NAME.out, NAME.states
    "$BUILD/lvt-run" step "$1" --entry "$2" --save-inputs "$3.in" --save-outputs "$3.out" --save-states "$3.states" >/dev/null
}

# ---- the same numbers as PyTorch: an eighth of the width, images of 8x8 (small front) and of 36x36 (with pooling)
for size in 8 36; do
    front=$([ $size = 8 ] && echo small || true)
    py "$here/resnet.py" export resnet18.onnx 8 1 $size 10 $front
    "$BUILD/lvtc" resnet-step.lvt --set size=$size -o step.lvtx
    record step.lvtx predict predict
    py "$here/resnet.py" predict resnet18.pt predict 1e-5 # f32 sums in another order
    record step.lvtx train step
    py "$here/resnet.py" step resnet18.pt step predict.states 0.1 1e-5 # norms of small batches amplify it
done

# ---- fine-tuning by the continual-learning driver
py "$here/resnet.py" export resnet18.onnx 8 1 8 10 small
"$BUILD/lvtc" resnet.lvt -o resnet.lvtx --explain >explain.txt 2>&1
if grep " on interp" explain.txt; then echo "steps without a kernel"; exit 1; fi # its last images are of one pixel
"$BUILD/lvt-run" train resnet.lvtx --data digits --tasks 5 --memory 100 --epochs 3 --lr 0.05 --out run -q >run.txt
accuracy=$(awk '/^average accuracy/ { print int($3) }' run.txt)
[ "$accuracy" -ge 60 ] || { cat run.txt; echo "Class-IL $accuracy%: too low for a network that learns"; exit 1; }
"$BUILD/lvt-run" eval resnet.lvtx --checkpoint run/task-05.safetensors --data digits >/dev/null
"$BUILD/lvt-run" train resnet.lvtx --data digits --tasks 5 --memory 20 --steps 3 --lr 0.05 --out part -q >/dev/null

# ---- values belong to the program
values=$(ls resnet.lvtx.*.safetensors)
mv "$values" away
expect 1 "should be in $values, which is not there" "$BUILD/lvt-run" train resnet.lvtx --data digits --memory 20 --out no
"$BUILD/lvt-run" eval resnet.lvtx --checkpoint run/task-05.safetensors --data digits >/dev/null # needs none
"$BUILD/lvt-run" info resnet.lvtx >/dev/null
cp step.lvtx.*.safetensors "$values" # of another network
expect 1 "does not hold the values that resnet.lvtx was compiled with" "$BUILD/lvt-run" check resnet.lvtx
mv away "$values"

# ---- PyTorch's own names, through a map
py - <<'P'
import json, torch
state = torch.load("resnet18.pt")["state"]
def write(path, tensors): # name: tensor
    header, data = {}, b""
    kinds = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}
    for k, t in tensors.items():
        raw = t.contiguous().numpy().tobytes()
        header[k] = {"dtype": kinds[t.dtype], "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    h = json.dumps(header).encode()
    open(path, "wb").write(len(h).to_bytes(8, "little") + h + data)
write("torch.safetensors", state)
# As others write them: kernels [height, width, in, out], halves.
write("other.safetensors", {("net/" + k): (v.permute(2, 3, 1, 0) if v.dim() == 4 else v).half() if v.dtype == torch.float32
                            else v for k, v in state.items() if not k.startswith("fc.")})
write("head.safetensors", {"body." + k: v for k, v in state.items() if "fc" not in k} |
      {"both": torch.cat([torch.zeros(10, 64), torch.ones(10, 64)]), "extra": torch.zeros(2), "b": torch.arange(10.)})
P
cat >torch.map <<'M'
# the classifier of the file is not wanted, that of the model starts as it is
fc.* = -
* = backbone.*
- = accumulation.*
M
"$BUILD/lvt-run" train resnet.lvtx --data digits --tasks 5 --memory 20 --steps 3 --lr 0.05 --out mapped -q --weights torch.safetensors --map torch.map >/dev/null
cmp -s part/task-05.safetensors mapped/task-05.safetensors && { echo "settings are not in the checkpoint"; exit 1; }
py - <<'P'
import json
def data(path):
    b = open(path, "rb").read()
    n = int.from_bytes(b[:8], "little")
    h = json.loads(b[8:8 + n])
    return {k: b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in h.items() if k[0] not in "_l"}
a, b = data("part/task-05.safetensors"), data("mapped/task-05.safetensors")
assert a == b and len(a) == 102, len(a) # the same values by the program's file and by the map: the same run, bit for bit
P
cat >other.map <<'M'
net/*conv*.weight = backbone.*conv*.weight permute 3 2 0 1
net/*downsample.0.weight = backbone.*downsample.0.weight permute 3 2 0 1
net/* = backbone.*
- = accumulation.*
M
"$BUILD/lvt-run" train resnet.lvtx --data digits --tasks 5 --memory 20 --steps 3 --lr 0.05 --out other -q --weights other.safetensors --map other.map >/dev/null
cat >head.map <<'M'
body.* = backbone.*
both = accumulation.weight part 1 of 2
b = accumulation.bias
extra = -
M
"$BUILD/lvtc" resnet.lvt --weights head.safetensors --map head.map -o headed.lvtx
"$BUILD/lvtc" resnet.lvt --weights head.safetensors --map head.map --emit=onnx -o head.onnx
record headed.lvtx predict headed
py - "$here" <<'P'
import json, struct
b = open("headed.states", "rb").read()
n = int.from_bytes(b[:8], "little")
h = json.loads(b[8:8 + n])
def floats(k):
    x, y = h[k]["data_offsets"]
    return struct.unpack(f"<{(y - x) // 4}f", b[8 + n + x:8 + n + y])
assert set(floats("accumulation.weight")) == {1.0} and floats("accumulation.bias") == tuple(range(10))
P
# Everything that does not fit is said at once, and nothing is begun.
printf 'body.* = backbone.*\nboth = accumulation.weight\n' >part.map
expect 1 "2 tensors have no place in the model" "$BUILD/lvt-run" train resnet.lvtx --data digits --memory 20 --out no --weights head.safetensors \
    --map part.map
for words in "both: state accumulation.weight is f32[10,64], the file has f32[20,64]" "note: extra" "accumulation.bias"; do
    grep -qF -- "$words" expected.txt || { cat expected.txt; echo "not said: $words"; exit 1; }
done
expect 1 "tensors have no place in the model" "$BUILD/lvtc" resnet.lvt --weights torch.safetensors -o no.lvtx
printf '* = backbone.*\na = b twist\n' >bad.map
expect 1 "bad.map:2: error: a conversion is" "$BUILD/lvtc" resnet.lvt --weights torch.safetensors --map bad.map -o no.lvtx
expect 2 "--map says how" "$BUILD/lvt-run" train resnet.lvtx --data digits --memory 20 --out no --map torch.map
[ ! -e no ] && [ ! -e no.lvtx ] || { echo "something was begun"; exit 1; }

# ---- mistakes point at the model file
model() { # IMPORT CALL
    printf 'import "nn.lvt"\n%s\nmodel m(batch = 2) {\n    training entry train(x: f32[batch, 4, 4, 3], step: i32[2]) {\n        return y = %s\n    }\n}\n' "$1" "$2" >m.lvt
}
py - <<'P'
import inspect, torch
from torch import nn
old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {} # as resnet.py
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.4)
    def forward(self, x):
        return self.drop(torch.relu(self.bn(self.conv(x))))
torch.onnx.export(Net().train(), torch.zeros(2, 3, 4, 4), "drop.onnx", input_names=["x"], output_names=["y"],
                  training=torch.onnx.TrainingMode.TRAINING, opset_version=14, **old)
class Odd(nn.Module):
    def forward(self, x):
        return torch.unique(x).sum() + torch.randn_like(x)
torch.onnx.export(Odd(), torch.zeros(2, 3, 4, 4), "odd.onnx", opset_version=14, **old)
P
model 'import "odd.onnx" as odd' 'odd(x)'
expect 1 "m.lvt:2:8: error: operator Unique is not supported (1 node(s), the first is" "$BUILD/lvtc" m.lvt
grep -qF "operator RandomNormalLike is not supported" expected.txt
model 'import "drop.onnx" output "/relu" as net' 'net(x)'
expect 1 "m.lvt:2:8: error: no node of drop.onnx makes a tensor '/relu'" "$BUILD/lvtc" m.lvt
model 'import "drop.onnx" as net' 'net(x)'
"$BUILD/lvtc" m.lvt --emit=ir | sed "s/ loc(.*//" > implicit.ir # dropout finds the input `step` of the entry
model 'import "drop.onnx" as net' 'net(x, training = false)'
"$BUILD/lvtc" m.lvt
model 'import "drop.onnx" as net' 'net(x, step = step)'
"$BUILD/lvtc" m.lvt --emit=ir | sed "s/ loc(.*//" > threaded.ir
cmp implicit.ir threaded.ir
"$BUILD/lvtc" m.lvt -o drop.lvtx
record drop.lvtx train one
record drop.lvtx train two
cmp one.out two.out
model 'import "drop.onnx" as net' 'net(transpose(x, [0, 3, 1, 2]), images = false, training = false)'
"$BUILD/lvtc" m.lvt -o same.lvtx
model 'import "drop.onnx" as net' 'net(x[0:1])'
expect 1 "dimension 0 of input 'x' is 2 in drop.onnx, but it is given f32[1,3,4,4], channels second" "$BUILD/lvtc" m.lvt
model 'import "drop.onnx" as net' 'net(x[0:1], any_size = true, training = false)'
"$BUILD/lvtc" m.lvt
model 'import "drop.onnx" as net' 'net(pad(x, 3, 1, 0), training = false)'
expect 1 "dimension 1 of input 'x' is 3" "$BUILD/lvtc" m.lvt
model 'import "drop.onnx" as net' 'net(pad(x, 3, 1, 0), training = false, any_size = true)'
expect 1 "m.lvt:5:20: error: node '/conv/Conv' (Conv): conv2d" "$BUILD/lvtc" m.lvt
model 'import "drop.onnx" as net' 'net(x, setp = step)'
expect 1 "net has no parameter 'setp'; did you mean 'step'?" "$BUILD/lvtc" m.lvt
model 'import "gone.onnx" as net' 'net(x)'
expect 1 'm.lvt:2:8: error E501: cannot import "gone.onnx": No such file' "$BUILD/lvtc" m.lvt
model 'import "m.lvt" as net' 'net(x)'
expect 1 "E509" "$BUILD/lvtc" m.lvt
head -c 300 drop.onnx >cut.onnx
model 'import "cut.onnx" as net' 'net(x)'
expect 1 'm.lvt:2:8: error E509: cannot import "cut.onnx": cut.onnx: not an ONNX model' "$BUILD/lvtc" m.lvt
echo "ResNet-18: parity, fine-tuning ($accuracy%), maps and messages are right"
