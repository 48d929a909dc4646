"""What the checks of exported models share: safetensors, tidiness, and running a model with what lvt-run computed.

usage: lvtonnx.py MODEL.onnx... [--inputs FILE --outputs FILE] [--states FILE] [--tolerance T] [--state-tolerance T]
                  [--batch-free]

Checks the model with onnx.checker (full) and for tidiness (see tidy); with --inputs and --outputs, as `lvt-run step`
saves them (steps first), runs every step in onnxruntime and compares: the largest difference divided by max(1, largest
number). Three kinds of models: without states; a step, whose outputs NAME.next are the inputs NAME of the next one; and
training_info, whose algorithm runs beside the main graph as the bindings say. Inputs that the entry does not use are
not in the graph, but in the metadata."""
import argparse
import json
import re

import numpy as np
import onnx
import onnxruntime

TYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_}


def read(path):
    """Tensors of a safetensors file by name."""
    data = open(path, "rb").read()
    n = int.from_bytes(data[:8], "little")
    body = memoryview(data)[8 + n:]
    return {k: np.frombuffer(body[v["data_offsets"][0]:v["data_offsets"][1]], TYPES[v["dtype"]]).reshape(v["shape"])
            for k, v in json.loads(data[8:8 + n]).items() if k != "__metadata__"}


def write(path, tensors):
    names = {np.dtype(t): n for n, t in TYPES.items()}
    header, at = {}, 0
    order = sorted(tensors, key=lambda k: -tensors[k].dtype.itemsize)
    for k in order:
        t = tensors[k]
        header[k] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for k in order:
            f.write(np.ascontiguousarray(tensors[k]).tobytes())


def methods(source):
    """Names of all methods, by the table; but own, whose loss the user brings."""
    table = open(f"{source}/runtime/continual/method.def", encoding="utf-8").read()
    names = re.findall(r'^LVT_METHOD\("(?!own")([^"]+)"', table, re.M)
    assert names
    return names


def difference(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, b.shape, a.dtype, b.dtype)
    assert np.isfinite(a).all()
    return float(np.max(np.abs(a.astype(np.float64) - b), initial=0) / max(1.0, np.max(np.abs(b), initial=0)))


# ---- tidiness: what a reader of the graph in Netron would stumble over ----

def tidy(graph, beside=None, bound=()):
    """Counts by kind of flaw. beside: the graph that this one runs beside; bound: tensors that bindings name."""
    made = [o for n in graph.node for o in n.output]
    outside = set() if beside is None else {t.name for t in [*beside.initializer, *beside.input]}
    outside |= set() if beside is None else {o for n in beside.node for o in n.output}
    given = {t.name for t in [*graph.initializer, *graph.input]} | outside
    outputs = {o.name for o in graph.output}
    used = {i for n in graph.node for i in n.input if i} | outputs | set(bound)
    flaws = dict.fromkeys(("dangling nodes", "unused initialisers", "unused inputs", "names that are not unique",
                           "nodes without name", "inputs of nodes that nothing makes", "operators not standard",
                           "outputs that nothing makes", "stale shapes"), 0)
    flaws["dangling nodes"] = sum(not set(n.output) & used for n in graph.node)
    flaws["unused initialisers"] = sum(t.name not in used for t in graph.initializer)
    flaws["unused inputs"] = sum(t.name not in used for t in graph.input)
    everything = made + [t.name for t in graph.initializer] + [
        t.name for t in graph.input if t.name not in {i.name for i in graph.initializer}]
    flaws["names that are not unique"] = len(everything) - len(set(everything)) + len(set(everything) & outside)
    flaws["names that are not unique"] += len(graph.node) - len({n.name for n in graph.node})
    flaws["nodes without name"] = sum(not n.name for n in graph.node)
    flaws["operators not standard"] = sum(n.domain != "" for n in graph.node)
    flaws["outputs that nothing makes"] = len(outputs - set(made) - given)
    known = set(given)
    for n in graph.node:
        flaws["inputs of nodes that nothing makes"] += sum(bool(i) and i not in known for i in n.input)
        known |= set(n.output)
    flaws["stale shapes"] = sum(v.name not in made or v.name in outputs for v in graph.value_info)
    return {k: v for k, v in flaws.items() if v}


def shaped(graph):
    """The share of tensors between inputs and outputs whose shape the file says."""
    made = {o for n in graph.node for o in n.output} - {o.name for o in graph.output}
    return len({v.name for v in graph.value_info} & made) / len(made) if made else 1.0


# ---- training_info, by the text of the ONNX specification ----

def combined(model):
    """The graph that a training step executes: main graph and algorithm, list by list one after the other."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.training_info[:]
    for part in ("node", "initializer", "input", "output", "value_info"):
        getattr(whole.graph, part).extend(getattr(model.training_info[0].algorithm, part))
    return whole


def training_step(model):
    """What of it the algorithm's outputs need, with the initialisers that bindings change as inputs. Returns that model
    and the initial values of these inputs."""
    info, whole = model.training_info[0], combined(model)
    mutable = {b.key for b in info.update_binding}
    need, nodes = {o.name for o in info.algorithm.output}, []
    for n in reversed(whole.graph.node):
        if set(n.output) & need:
            nodes.insert(0, n)
            need |= set(n.input)
    states = {t.name: onnx.numpy_helper.to_array(t) for t in whole.graph.initializer if t.name in mutable}
    inputs = [v for v in whole.graph.input if v.name in need]
    inputs += [onnx.helper.make_tensor_value_info(k, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
               for k, v in states.items()]
    graph = onnx.helper.make_graph(nodes, "step", inputs, list(info.algorithm.output),
                                   [t for t in whole.graph.initializer if t.name in need - mutable],
                                   value_info=[v for v in whole.graph.value_info if v.name in need])
    return onnx.helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version), states


def check_bindings(model):
    info = model.training_info[0]
    initializers = {t.name: t for t in [*model.graph.initializer, *info.algorithm.initializer]}
    for bindings, outputs in ((info.update_binding, [*info.algorithm.output, *model.graph.output]),
                              (info.initialization_binding, info.initialization.output)):
        types = {o.name: o.type.tensor_type for o in outputs}
        keys = [b.key for b in bindings]
        assert len(keys) == len(set(keys)), "a tensor with two bindings"
        for b in bindings:
            t, o = initializers[b.key], types[b.value]
            assert t.data_type == o.elem_type and list(t.dims) == [d.dim_value for d in o.shape.dim], b
    assert not info.initialization.input


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    data = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class Model:
    """A model of any of the three kinds, run step by step: run(feed) gives outputs by name, states keeps the state."""

    def __init__(self, path):
        self.proto = onnx.load(path)
        self.training = len(self.proto.training_info) > 0
        if self.training:
            step, states = training_step(self.proto)
            self.states = dict(states)
            self.next = {b.value: b.key for b in self.proto.training_info[0].update_binding}
            self.session = session(step)
        else:
            self.session = session(path)
            inputs = {i.name for i in self.proto.graph.input}
            self.states = {}
            self.next = {o.name: o.name[:-5] for o in self.proto.graph.output
                         if o.name.endswith(".next") and o.name[:-5] in inputs}
        self.outputs = [o.name for o in self.session.get_outputs()]
        meta = {p.key: p.value for p in self.proto.metadata_props}
        self.unused = json.loads(meta.get("lvt.training_unused_inputs" if self.training else "lvt.unused_inputs", "[]"))

    def run(self, feed):
        """feed: all inputs that the entry declares; those it does not use are left out."""
        feed = {k: v for k, v in feed.items() if k not in self.unused}
        got = dict(zip(self.outputs, self.session.run(None, {**feed, **self.states})))
        self.states.update({k: got.pop(n) for n, k in self.next.items()})
        return got


def check(path):
    """onnx.checker, and no flaws. Returns a line about the model."""
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    parts = [("", model.graph, None, {b.key for i in model.training_info for b in i.update_binding})]
    for info in model.training_info:
        parts.append(("training: ", info.algorithm, model.graph, {b.key for b in info.update_binding}))
        parts.append(("initialisation: ", info.initialization, None, ()))
        check_bindings(model)
        # The combination must be a model itself; so must be the graph of initial values.
        onnx.checker.check_model(combined(onnx.load(path)), full_check=True)
        onnx.checker.check_model(onnx.helper.make_model(info.initialization, opset_imports=model.opset_import,
                                                        ir_version=model.ir_version), full_check=True)
    text = f"opset {model.opset_import[0].version}"
    for name, graph, beside, bound in parts:
        flaws = tidy(graph, beside, bound)
        assert not flaws, f"{path}: {name}{flaws}"
        text += f", {name}{len(graph.node)} nodes ({100 * shaped(graph):.0f}% with shapes)"
    return text


def compare(path, inputs, outputs, states=None, tolerance=0.0, state_tolerance=0.0, state_median=float("inf"),
            batch_free=False):
    """The model on every step of what lvt-run saved. Returns a line about it."""
    text, model, feeds, expected = check(path), Model(path), read(inputs), read(outputs)
    steps, worst = len(next(iter(feeds.values()))), 0.0
    if batch_free:
        assert model.session.get_inputs()[0].shape[0] == "batch", model.session.get_inputs()[0].shape
    for step in range(steps):
        feed = {k: v[step, ...] for k, v in feeds.items()}
        got = model.run(feed)
        assert set(got) == set(expected), (set(got), set(expected))
        worst = max([worst] + [difference(got[k], v[step, ...]) for k, v in expected.items()])
        if batch_free:  # a part of the batch alone gives the same rows
            part = model.run({k: v[:5] for k, v in feed.items()})
            worst = max([worst] + [difference(v, got[k][:5]) for k, v in part.items()])
    text += f"; {steps} step(s): {len(expected)} outputs differ by {worst:.2e}"
    if states:
        wanted = read(states)
        assert model.states and set(model.states) <= set(wanted), set(model.states) - set(wanted)
        drift = [difference(v, wanted[k]) for k, v in model.states.items()]
        text += f", {len(drift)} states by {max(drift):.2e}, median {np.median(drift):.1e}"
        assert max(drift) <= state_tolerance and np.median(drift) <= state_median, f"{path}: {text}"
    assert worst <= tolerance, f"{path}: {text}"
    return text


def main():
    p = argparse.ArgumentParser()
    p.add_argument("models", nargs="+")
    for name in ("inputs", "outputs", "states"):
        p.add_argument("--" + name)
    p.add_argument("--tolerance", type=float, default=0.0)
    p.add_argument("--state-tolerance", type=float, default=0.0)
    p.add_argument("--batch-free", action="store_true")
    a = p.parse_args()
    for path in a.models:
        print(f"{path}: " + (compare(path, a.inputs, a.outputs, a.states, a.tolerance, a.state_tolerance,
                                     batch_free=a.batch_free) if a.outputs else check(path)), flush=True)


if __name__ == "__main__":
    main()
