#!/usr/bin/env python3
"""Times inference of an exported network in onnxruntime; prints one JSON object. compare runs it."""
import argparse
import json

import process

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", metavar="FILE.onnx")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--warm-up", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = arguments.threads, 1
session = onnxruntime.InferenceSession(arguments.model, options, providers=["CPUExecutionProvider"])
x = numpy.random.default_rng(0).standard_normal((arguments.batch, 3, 32, 32), dtype=numpy.float32)
result = process.measure(lambda: session.run(None, {"x": x}), arguments.warm_up, arguments.steps)
print(json.dumps(dict(onnxruntime=onnxruntime.__version__, **result)))
