"""Networks whose files differ only in how tensors that are equal before training are written, for test_merged.sh.

usage: merged.py make FOLDER
       merged.py compare OWN.states OTHER.states
       merged.py names STATES NAME...
       merged.py run FILE.onnx INPUTS OUTPUTS

make: own.onnx has each tensor under its name, and uses its first layer twice; older.onnx has each value once and an
Identity with the name of each other tensor, as PyTorch's older exporter writes them, statistic.onnx the same with the name
of a running mean for all zeros; newer.onnx each value once and nothing else, as its newer exporter does; taken.onnx as
newer.onnx, with a tensor that has the name of a copy; shared.onnx has two norms with the same statistics, whose elements
differ, apart.onnx the same with a name for each. names: the states under "net." are these and no other.
run: onnxruntime's results are those of `lvt-run step`."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import lvtonnx

# Where newer.onnx's copies come from: uses in the order of nodes, of a tensor of zeros and one of ones.
COPIES = {"b1": "b1", "b1.2": "b1.6", "scale": "scale", "shift": "b1.2", "mean": "b1.3", "variance": "scale.2", "b2": "b1.4",
          "gain": "scale.3", "bias": "b1.5"}


def make(folder):
    random = np.random.default_rng(1)
    zeros, ones = np.zeros(6, np.float32), np.ones(6, np.float32)
    values = {"w1": random.normal(size=(6, 6)).astype(np.float32), "b1": zeros, "scale": ones, "shift": zeros,
              "mean": zeros, "variance": ones, "w2": random.normal(size=(6, 6)).astype(np.float32), "b2": zeros,
              "gain": ones, "bias": zeros}

    def save(name, to, renamed=(), extra=()):
        t = {k: to.get(k, k) for k in values}
        nodes = [helper.make_node("Identity", [a], [b]) for a, b in renamed] + [
            helper.make_node("Gemm", ["x", t["w1"], t["b1"]], ["h1"]),
            helper.make_node("Relu", ["h1"], ["h2"]),
            helper.make_node("BatchNormalization", ["h2", t["scale"], t["shift"], t["mean"], t["variance"]], ["h3"]),
            helper.make_node("Gemm", ["h3", t["w2"], t["b2"]], ["h4"]),
            helper.make_node("LayerNormalization", ["h4", t["gain"], t["bias"]], ["features"]),
            helper.make_node("Gemm", ["features", t["w1"], t["b1"]], ["y"])]  # the first layer again
        made = {b for _, b in renamed}
        used = {i for n in nodes for i in n.input if i in values and i not in made} | set(extra)
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 6]) for n in ("x", "y"))
        graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(values.get(k, ones), k) for k in sorted(used)])
        model = helper.make_model(graph, producer_name="pytorch", opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, f"{folder}/{name}.onnx")

    first = {"b1": "b1", "shift": "b1", "mean": "b1", "b2": "b1", "bias": "b1", "scale": "scale", "variance": "scale",
             "gain": "scale"}
    save("own", {})
    save("older", {}, [(a, k) for k, a in first.items() if k != a])
    save("statistic", {}, [("mean", k) for k in ("b1", "shift", "b2", "bias")])
    save("newer", first)
    save("taken", first, extra=["b1.3"])
    for name in ("apart", "shared"):
        second = [k + ".2" if name == "apart" else k for k in ("mean", "variance")]
        nodes = [helper.make_node("BatchNormalization", ["x", "scale", "shift", "mean", "variance"], ["h"]),
                 helper.make_node("BatchNormalization", ["h", "gain", "bias", *second], ["y"])]
        drawn = {k: np.random.default_rng(2).uniform(0.5, 2, 6).astype(np.float32) for k in ("scale", "shift", "gain", "bias")}
        drawn |= {k: (np.arange(6) + len(k)).astype(np.float32) for k in ("mean", "variance")}
        tensors = [numpy_helper.from_array(drawn[k.removesuffix(".2")], k) for k in {*drawn, *second}]
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 6]) for n in ("x", "y"))
        onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y], tensors), ir_version=8,
                                    opset_imports=[helper.make_opsetid("", 17)]), f"{folder}/{name}.onnx")


def compare(own, other):
    a, b = lvtonnx.read(own), lvtonnx.read(other)
    newer = "net.b1.6" in b
    worst, changed = 0, 0
    for k, x in a.items():
        name = k.removeprefix("net.")
        y = b["net." + (COPIES.get(name, name) if newer else name)]
        worst = max(worst, lvtonnx.difference(y, x))
        changed += not (x == x[0]).all()
    assert len(a) == len(b), (sorted(a), sorted(b))
    assert changed == len(a), changed  # the step moved each of them its own way
    print(f"{own} and {other} differ by {worst:.1g}")
    assert worst <= 1e-6  # sums in another order


def names(states, *wanted):
    there = {k.removeprefix("net.") for k in lvtonnx.read(states)}
    assert there == set(wanted), there


def run(path, inputs, outputs):
    got = lvtonnx.Model(path).run({k: np.asarray(v[0]) for k, v in lvtonnx.read(inputs).items()})
    for k, v in lvtonnx.read(outputs).items():
        assert lvtonnx.difference(got[k], v[0]) <= 1e-6, k  # sums in another order


globals()[sys.argv[1]](*sys.argv[2:])
