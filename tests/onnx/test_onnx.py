"""Compares an exported model in onnxruntime with what lvt computed (reference.c).
usage: test_onnx.py MODEL.onnx REFERENCE.safetensors OUTPUT_TOLERANCE [STATE_TOLERANCE]

Checks the model with onnx.checker (full), runs every recorded step with the states of the step before, and compares
outputs and, at the end, states: the largest difference divided by max(1, largest number)."""
import json
import sys

import numpy as np
import onnx
import onnxruntime

TYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_}


def safetensors(path):
    data = open(path, "rb").read()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    body = data[8 + n:]
    return {k: np.frombuffer(body[v["data_offsets"][0]:v["data_offsets"][1]], TYPES[v["dtype"]]).reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


def differ(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, b.shape, a.dtype, b.dtype)
    assert np.isfinite(a).all()
    return float(np.max(np.abs(a.astype(np.float64) - b), initial=0) / max(1.0, np.max(np.abs(b), initial=0)))


def main(model, reference, tolerance, state_tolerance=0.0):
    onnx.checker.check_model(model, full_check=True)
    proto = onnx.load(model, load_external_data=False)
    assert all(n.domain == "" for n in proto.graph.node), "operators that are not standard"
    used = {i for n in proto.graph.node for i in n.input} | {o.name for o in proto.graph.output}
    assert all(set(n.output) & used for n in proto.graph.node), "a node that nothing uses"
    assert all(i.name in used for i in proto.graph.initializer), "a constant that nothing uses"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    ref = safetensors(reference)
    steps = 1 + max(int(k.split(".")[1]) for k in ref if k.startswith("in."))
    states, worst, checked = {}, 0.0, 0
    for step in range(steps):
        feed = {k.split(".", 2)[2]: v for k, v in ref.items() if k.startswith(f"in.{step}.")}
        got = dict(zip(outputs, session.run(None, {**feed, **states})))
        for k, v in ref.items():
            if k.startswith(f"out.{step}."):
                worst, checked = max(worst, differ(got[k.split(".", 2)[2]], v)), checked + 1
        states.update({k[:-5]: v for k, v in got.items() if k.endswith(".next")})
        batch = proto.graph.input[0].type.tensor_type.shape.dim[0]
        if batch.dim_param:  # any batch: a part of it alone gives the same rows
            part = dict(zip(outputs, session.run(None, {k: v[:5] for k, v in feed.items()})))
            for k, v in part.items():
                worst = max(worst, differ(v, got[k][:5]))
    drift = max([differ(v, ref["state.0." + k]) for k, v in states.items()], default=0.0)
    print(f"{model}: opset {proto.opset_import[0].version}, {len(proto.graph.node)} nodes, {steps} step(s), "
          f"{checked} outputs differ by {worst:.2e}, {len(states)} states by {drift:.2e}")
    assert checked + len(states) and worst <= tolerance and drift <= state_tolerance, (worst, drift)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
