"""ONNX's own node tests, as the onnx package generates them, through lvtc and lvt-run.

usage: check_nodes.py BUILD_FOLDER [--only TEXT] [--sets N] [--list] [--markdown] [--defaults]

Each test's model is compiled and run by `lvt-run step` on the test's inputs. Where that is refused, inputs that a program must
know when it is made (shapes, axes, and the like: all but the first) are put into the file as initialisers, and it is tried again.
Results must have the shape and the element type (64-bit and small integers are i32) that the test has, and its numbers within
ONNX's own tolerances; of absolute size 1e-5 instead of 1e-7, for sums of numbers near 1 that cancel. Prints what passed, what was refused by
operator with the reason of the first, and what is wrong; ends with 1 when something is."""
import argparse
import collections
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

import lvtonnx

# Tests whose data are at odds with what the files mean elsewhere, with the reason.
AT_ODDS = {}

NATIVE = {np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32), np.dtype(np.uint8), np.dtype(np.bool_)}


def as_here(x):
    """The array as lvt has it; None: there is no such type."""
    if not isinstance(x, np.ndarray):
        x = np.asarray(x) if isinstance(x, (int, float, bool, np.generic)) else None
    if x is None:
        return None
    if x.dtype in NATIVE:
        return x
    if x.dtype.kind in "iu" and x.dtype.name in ("int8", "int16", "int64", "uint16", "uint32", "uint64"):
        return x.astype(np.int32) if x.size == 0 or (x.max() <= 2**31 - 1 and x.min() >= -2**31) else None
    return x.astype(np.float32) if x.dtype == np.float16 else None


def tensor(x):
    x = numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x
    return np.asarray(x) if isinstance(x, (np.generic, int, float, bool)) else x


def attempt(build, folder, case, inputs, outputs, inside):
    """(verdict, words) of one data set; inside: names of inputs that become initialisers."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    given = dict(zip([i.name for i in case.model.graph.input], inputs))
    for name in inside:
        model.graph.initializer.append(numpy_helper.from_array(given.pop(name), name))
        kept = [i for i in model.graph.input if i.name != name]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    path = os.path.join(folder, "t.onnx")
    onnx.save(model, path)
    sizes = []
    for i in model.graph.input:
        for axis, d in enumerate(i.type.tensor_type.shape.dim):
            if not d.HasField("dim_value"):
                sizes += ["--set", f"{d.dim_param or f'{i.name}.{axis}'}={given[i.name].shape[axis]}"]
    program = os.path.join(folder, "t.lvtx")
    said = subprocess.run([f"{build}/lvtc", path, "--freeze", "-o", program, *sizes], capture_output=True, text=True, errors="replace", timeout=120)
    if said.returncode not in (0, 1, 2):
        return "wrong", f"lvtc ends with {said.returncode}: {said.stderr[-300:]}"
    if said.returncode:
        return "refused", re.sub(r"^.*?error: ", "", said.stderr.split("\n")[0])
    here = {k: as_here(v) for k, v in given.items()}
    if any(v is None for v in here.values()):
        return "refused", "data of a type that is not here"
    lvtonnx.write(os.path.join(folder, "in"), {k: np.ascontiguousarray(v if v.ndim == 6 else v[None]) for k, v in here.items()})
    run = subprocess.run([f"{build}/lvt-run", "step", program, "--inputs", os.path.join(folder, "in"), "--save-outputs",
                          os.path.join(folder, "out"), "--cache="], capture_output=True, text=True, errors="replace", timeout=120)
    if run.returncode:
        return "wrong", f"lvt-run ends with {run.returncode}: {run.stderr[-300:]}"
    got = lvtonnx.read(os.path.join(folder, "out"))
    for info, want in zip(case.model.graph.output, outputs):
        right = as_here(want)
        if right is None:
            return "refused", "data of a type that is not here"
        y = got.get(info.name)
        y = y if y is None or right.ndim == 6 else y[0]  # of six dims the steps lie within the first
        if y is None or y.shape != right.shape:
            return "wrong", f"{info.name} is {None if y is None else y.shape}, not {right.shape}"
        if y.dtype != right.dtype:
            return "wrong", f"{info.name} is {y.dtype}, not {right.dtype}"
        with np.errstate(all="ignore"):
            good = np.isclose(y.astype(np.float64), right.astype(np.float64), rtol=case.rtol or 1e-3, atol=max(case.atol or 0, 1e-5), equal_nan=True)
        if not good.all():
            at = tuple(int(i) for i in np.argwhere(~good)[0])
            return "wrong", f"{(~good).sum()} of {good.size} elements of {info.name} differ, the first is {y[at]}, not {right[at]}"
    return "passed", said.stderr.split("\n")[0]


def run(build, case, sets):
    if case.name in AT_ODDS:
        return "refused", AT_ODDS[case.name]
    with tempfile.TemporaryDirectory() as folder:
        for inputs, outputs in case.data_sets[:sets]:
            inputs, outputs = [tensor(x) for x in inputs], [tensor(x) for x in outputs]
            names = [i.name for i in case.model.graph.input]
            if not all(isinstance(x, np.ndarray) for x in [*inputs, *outputs]) or len(inputs) != len(names):
                return "refused", "sequences, optional or absent values"
            try:
                verdict, words = attempt(build, folder, case, inputs, outputs, [])
                inside = [n for n, x in zip(names, inputs) if x.dtype.kind not in "fO"] if len(names) == 1 else names[1:]
                ways = [[n for n in inside if np.asarray(inputs[names.index(n)]).dtype.kind in "iub"], inside]
                for way in ways:
                    if verdict == "refused" and way:
                        verdict, again = attempt(build, folder, case, inputs, outputs, way)
                        words = again
            except (subprocess.TimeoutExpired, ValueError, TypeError, KeyError) as e:
                verdict, words = ("wrong" if isinstance(e, subprocess.TimeoutExpired) else "refused"), f"{type(e).__name__}: {e}"
            if verdict != "passed":
                return verdict, words
    return "passed", words


def add_defaults(model):
    """What exporters write out changes nothing: the default of each attribute that a node does not have."""
    sets = {o.domain: o.version for o in model.opset_import}
    for node in model.graph.node:
        if node.domain in sets and onnx.defs.has(node.op_type, sets[node.domain], node.domain):
            schema = onnx.defs.get_schema(node.op_type, sets[node.domain], node.domain)
            there = {a.name for a in node.attribute}
            node.attribute.extend(a.default_value for a in schema.attributes.values() if a.default_value.name and a.name not in there)


def operators(case):
    return "+".join(sorted({n.op_type for n in case.model.graph.node})) or "-"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("build")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--sets", type=int, default=1)
    arguments.add_argument("--list", action="store_true", help="a line a test that did not pass")
    arguments.add_argument("--markdown", action="store_true", help="a table of what was refused")
    arguments.add_argument("--defaults", action="store_true", help="nodes say the defaults of all their attributes")
    a = arguments.parse_args()
    cases = [c for c in collect_testcases(None) if re.search(a.only, c.name)]
    for case in cases if a.defaults else []:
        add_defaults(case.model)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda c: run(a.build, c, a.sets), cases))
    counts = collections.Counter(r[0] for r in results)
    by = collections.defaultdict(list)
    for case, (verdict, words) in zip(cases, results):
        if verdict == "refused":
            by[operators(case) if len(case.model.graph.node) == 1 else "composed of " + re.sub(r"^test_|_expanded.*$", "", case.name).split("_")[0]].append(words)
        if verdict == "wrong" or (a.list and verdict != "passed"):
            print(f"{verdict}: {case.name}: {words}")
    print(f"onnx {onnx.__version__}: {len(cases)} node tests, {counts['passed']} passed, {counts['refused']} refused, {counts['wrong']} wrong")
    rows = sorted(by.items(), key=lambda kv: (-len(kv[1]), kv[0]))
    for op, words in rows:
        reason = collections.Counter(words).most_common(1)[0][0]
        print(f"| {op} | {len(words)} | {reason[:110]} |" if a.markdown else f"  {len(words):4} {op}: {reason[:110]}")
    sys.exit(counts["wrong"] > 0)


main()
