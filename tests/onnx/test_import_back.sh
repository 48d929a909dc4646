#!/usr/bin/env bash
# Import: what was exported comes back with the same results; hostile files.
# usage: test_import_back.sh SOURCE_FOLDER BUILD_FOLDER
source "$1/tests/onnx/lib.bash"

back() { # NAME lvtc's options: compiles lvt-tiny.onnx and compares it with onnxruntime
    local name=$1
    shift
    "$BUILD/lvtc" lvt-tiny.onnx --set batch=64 -o "$name.lvtx" "$@"
    "$BUILD/lvt-run" step "$name.lvtx" --entry predict --save-inputs "$name.in" --save-outputs "$name.out" >/dev/null
    "$PYTHON" "$here/lvtonnx.py" lvt-tiny.onnx --inputs "$name.in" --outputs "$name.out" --tolerance 1e-4
}
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o lvt-tiny.onnx --external-data 1000
back frozen --freeze
"$BUILD/lvt-run" info frozen.lvtx >frozen.txt
grep -q "^parameters *0 in 0 tensors" frozen.txt || { cat frozen.txt; echo "--freeze left parameters"; exit 1; }
back weights
[ -s weights.lvtx.????????????????.safetensors ] || { echo "no weights were written"; exit 1; }
expect 1 '--set batch=SIZE' "$BUILD/lvtc" lvt-tiny.onnx -o no.lvtx
expect 1 "warning: lvt-tiny.onnx: no input has a dimension 'bach'; did you mean 'batch'?" "$BUILD/lvtc" lvt-tiny.onnx --set bach=3 -o no.lvtx
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
grep -qF "operator NonMaxSuppression is not supported (1 node(s), the first is 'second')" expected.txt
head -c 1000 lvt-tiny.onnx >cut.onnx
expect 1 "not an ONNX model" "$BUILD/lvtc" cut.onnx -o no.lvtx
# Hostile files: each is refused with a reason, at once, and nothing outside the folder is opened.
mkfifo pipe.data
mkdir folder.data
ln -s /dev/zero zero.data
head -c 64 /dev/zero >short.data
ln -s short.data inner.data
"$PYTHON" - <<'P'
import onnx
from onnx import helper, TensorProto
def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)
def save(name, nodes, inputs, outputs, initializer=(), functions=(), opset=17):
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, initializer), functions=functions,
                              opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("own", 1)])
    open(name + ".onnx", "wb").write(model.SerializeToString())
def outside(name, dims=(4, 4), kind=TensorProto.FLOAT, **keys):
    t = TensorProto(name="w", data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL)
    for k, v in keys.items():
        t.external_data.add(key=k, value=str(v))
    save(name, [helper.make_node("MatMul", ["x", "w"], ["y"])], [info("x", [2, 4])], [info("y", [2, 4])], [t])
outside("fine", location="short.data", offset=0, length=64)
outside("fine_link", location="inner.data")
outside("gone", location="gone.data")
outside("pipe", location="pipe.data")
outside("folder", location="folder.data")
outside("zero", location="zero.data")
outside("nowhere", location="")
outside("inside_out", location="folder.data/../../short.data")
outside("past", location="short.data", offset=65)
outside("past_too", location="short.data", offset=60, length=64)
outside("wrap", location="short.data", offset=2**64 - 32, length=64)
outside("beyond", location="short.data", offset=2**70)
outside("minus", location="short.data", offset=-4)
outside("minus_too", location="short.data", offset=" -4")
outside("other", location="short.data", length=2**64 - 1)
outside("claim", dims=(2**29,), location="short.data")
outside("huge", dims=(2**62, 4), location="short.data")
outside("negative", dims=(-4, -4), location="short.data")
outside("text", kind=TensorProto.STRING, location="short.data")
def add(a, b, c, **more):
    return helper.make_node("Add", [a, b], [c], **more)
x, y = info("x", [2, 3]), info("y", [2, 3])
save("claim_raw", [add("x", "w", "y")], [x], [y], [TensorProto(name="w", data_type=1, dims=[2**29], raw_data=b"1234")])
save("claim_fill", [helper.make_node("ConstantOfShape", ["n"], ["w"]), add("w", "w", "y")], [x], [y],
     [TensorProto(name="n", data_type=7, dims=[2], int64_data=[2**31 - 1, 2**31 - 1])])
save("claim_input", [add("x", "x", "y")], [info("x", [2**40, 2**40])], [y])
save("cycle", [add("y", "x", "a"), add("a", "x", "y")], [x], [y])
save("self", [add("y", "x", "y")], [x], [y])
save("twice", [add("x", "x", "y"), add("x", "x", "y")], [x], [y])
save("same", [add("x", "x", "y")], [x, x], [y])
save("same_output", [add("x", "x", "y")], [x], [y, y])
save("unknown_type", [add("x", "x", "y")], [info("x", [2, 3], 99)], [y])
call = helper.make_node("f", ["x"], ["y"], domain="own")
save("function", [call], [x], [y], functions=[helper.make_function("own", "f", ["x"], ["y"], [call],
     [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])])
deep = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "deep", [], [y])
for _ in range(12):
    deep = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=deep, else_branch=deep)], "deep", [], [y])
save("deep", list(deep.node), [x], [y])
# A tensor without elements, as rolling by nothing makes it, is no part of a concatenation; nothing else takes it.
three = TensorProto(name="three", data_type=7, dims=[1], int64_data=[3])
one = TensorProto(name="one", data_type=7, dims=[1], int64_data=[1])
cut = helper.make_node("Slice", ["x", "three", "three", "one"], ["nothing"])
save("fine_roll", [cut, helper.make_node("Concat", ["nothing", "x"], ["y"], axis=1)], [x], [y], [three, one])
save("nothing", [cut, helper.make_node("Relu", ["nothing"], ["y"])], [x], [y], [three, one])
# A branch that is known while importing; its operators are checked like others.
def choose(name, op, **more):
    then = helper.make_graph([helper.make_node(op, ["x"], ["inner"])], "then", [], [y])
    then.output[0].name = "inner"
    other = helper.make_graph([helper.make_node("Unique", ["x"], ["other"])], "else", [], [info("other", [2, 3])])
    save(name, [helper.make_node("If", ["true"], ["y"], then_branch=then, else_branch=other)], [x], [y],
         [TensorProto(name="true", data_type=9, dims=[], int32_data=[1])])
choose("fine_branch", "Relu")
choose("bad_branch", "NonMaxSuppression")
# One that is not: the results must be of one type. What functions make of it all is compared with onnxruntime.
def open_branch(name, op):
    other = helper.make_graph([helper.make_node(op, ["x"], ["other"])], "b", [], [info("other", None)])
    negative = helper.make_graph([helper.make_node("Neg", ["x"], ["n"])], "a", [], [info("n", None)])
    save(name, [helper.make_node("If", ["c"], ["y"], then_branch=other, else_branch=negative)],
         [x, info("c", [], TensorProto.BOOL)], [y])
open_branch("open_branch", "Transpose")
open_branch("fine_open", "Exp")
given = helper.make_node("Softmax", ["x"], ["h"])
given.attribute.append(onnx.AttributeProto(name="axis", ref_attr_name="over", type=onnx.AttributeProto.INT))
inner = helper.make_function("own", "inner", ["x", "s"], ["y"], [helper.make_node("Softmax", ["x"], ["h"]),
     helper.make_node("Mul", ["h", "s"], ["y"])], [helper.make_opsetid("", 17)])
outer = helper.make_function("own", "outer", ["x", "s"], ["z"], [given, helper.make_node("inner", ["h", "s"], ["k"], domain="own"),
     helper.make_node("Add", ["k", "h"], ["z"])], [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)], attributes=["over"])
save("fine_functions", [helper.make_node("outer", ["x", "x"], ["a"], domain="own", over=0),
     helper.make_node("outer", ["a", "x"], ["y"], domain="own", over=1)], [x], [y], functions=[inner, outer])
# Three mistakes of three kinds: said at once; what hangs on them is silent.
save("three", [helper.make_node("Cast", ["x"], ["a"], name="one", to=8), add("a", "x", "b", name="behind"),
               helper.make_node("MatMul", ["x", "x"], ["c"], name="two"), add("b", "c", "d", name="behind_too"),
               helper.make_node("Softmax", ["x"], ["e"], name="three", axis=7), add("d", "e", "y", name="end")], [x], [y])
P
for name in fine fine_link fine_roll fine_branch; do "$BUILD/lvtc" $name.onnx -o yes.lvtx; done
for name in fine_open fine_functions; do
    "$BUILD/lvtc" $name.onnx -o yes.lvtx
    "$BUILD/lvt-run" step yes.lvtx --save-inputs yes.in --save-outputs yes.out >/dev/null
    "$PYTHON" "$here/merged.py" run $name.onnx yes.in yes.out
done
refused() { # WORDS NAME...
    local words=$1 name
    shift
    for name in "$@"; do expect 1 "$words" timeout 60 "$BUILD/lvtc" "$name.onnx" -o no.lvtx; done
}
refused "No such file" gone
refused "not a regular file" pipe folder
refused "not in the model's folder" zero nowhere inside_out
refused "it has 64 bytes, but 64 are wanted from" past past_too
refused "is no number" beyond minus minus_too
refused "64 are wanted from 18446744073709551584 on" wrap
refused "shorter or longer than its shape says" other
refused "it has 64 bytes, but 2147483648 are wanted from 0 on" claim
refused "it is empty or too large" huge negative
refused "element type string is not supported" text
refused "not as much data as its shape says" claim_raw
refused "node '' (ConstantOfShape)" claim_fill
refused "that is larger than a dimension may be" claim_input
refused "nothing before it makes its input 'y'" cycle self
refused "there is a tensor 'y' already" twice
refused "two tensors are called 'x'" same
refused "two outputs are called 'y'" same_output
refused "element type (unknown) is not supported" unknown_type
refused "functions call themselves, or too many others: f" function
refused "nests too deep" deep
refused "its input 'nothing' is empty" nothing
refused "operator NonMaxSuppression is not supported (node '', inside another)" bad_branch
refused "node '' (If): its condition is known when the program runs only, and output 0 is f32[3,2] or f32[2,3]" open_branch
refused "node 'one' (Cast)" three
grep -qF "node 'two' (MatMul)" expected.txt && grep -qF "node 'three' (Softmax)" expected.txt && ! grep -q "behind\|end'" expected.txt ||
    { cat expected.txt; exit 1; }
[ ! -e no.lvtx ] || { echo "something was compiled"; exit 1; }
