#!/usr/bin/env python3
"""Times a training step or inference of one of compare's models in PyTorch; prints one JSON object.

compare runs it, with a tuned allocator. --export writes the network for onnxruntime instead (onnx_step.py times it).
"""
import argparse
import inspect
import json
import os
import sys

import process

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "parity"))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", choices=["levit_step", "lvt-s", "lvt"], default="lvt-s")
parser.add_argument("--mode", choices=["train", "infer"], default="train")
parser.add_argument("--batch", type=int, default=64, help="images a step; half of them are remembered ones")
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--warm-up", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--channels-last", action="store_true")
parser.add_argument("--compile", action="store_true",
                    help="torch.compile; before PyTorch 2 a frozen trace, inference only")
parser.add_argument("--export", metavar="FILE.onnx")
parser.add_argument("--profile", action="store_true", help="a table of operators on standard error")
arguments = parser.parse_args()
os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))

import torch

torch.set_num_threads(arguments.threads)
torch.manual_seed(0)
LAYOUT = torch.channels_last if arguments.channels_last else torch.contiguous_format
half = arguments.batch // 2


def images(n):
    return torch.randn(n, 3, 32, 32).contiguous(memory_format=LAYOUT)


if arguments.model == "levit_step":
    import levit_torch
    network = levit_torch.Network()
    make_optimiser, clip = levit_torch.optimiser, None
    labels, stored = torch.randint(0, levit_torch.CLASSES, (2 * half,)), torch.randn(half, levit_torch.CLASSES)

    def loss(x):
        return levit_torch.loss(network(x), labels, stored)
    inputs = (images(2 * half),)
else:
    import lvt_torch
    network = lvt_torch.LVT(lvt_torch.FULL if arguments.model == "lvt" else lvt_torch.SMALL)
    clip, classes = 5.0, network.config.classes

    def make_optimiser(network):
        return torch.optim.SGD(network.parameters(), lr=0.1)
    given = dict(y=torch.randint(0, classes, (half,)), ym=torch.randint(0, classes, (half,)),
                 zm=torch.randn(half, classes), zm_mask=torch.ones(half, classes), mask=torch.ones(classes))

    def loss(x, xm):
        return lvt_torch.losses(network, x=x, xm=xm, **given)["loss"]
    inputs = images(half), images(half)

network = network.to(memory_format=LAYOUT)
if arguments.export:
    names = dict(input_names=["x"], output_names=["injection", "accumulation"])
    # The exporter that needs nothing else installed; newer versions ask for it by name.
    plain = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(network.eval(), (images(2),), arguments.export, opset_version=14, **plain,
                      dynamic_axes={n: {0: "batch"} for n in ("x", "injection", "accumulation")}, **names)
    raise SystemExit

if arguments.mode == "infer":
    network.eval()
    x, model = images(arguments.batch), network
    if arguments.compile and hasattr(torch, "compile"):
        model = torch.compile(network)
    elif arguments.compile:
        with torch.no_grad():
            model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, x)))

    def run():
        with torch.no_grad():
            model(x)
else:
    network.train()
    optimiser = make_optimiser(network)
    loss = torch.compile(loss) if arguments.compile else loss

    def run():
        optimiser.zero_grad(set_to_none=True)
        loss(*inputs).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()

result = process.measure(run, arguments.warm_up, arguments.steps)
if arguments.profile:
    with torch.autograd.profiler.profile() as profile:
        run()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25), file=sys.stderr)
print(json.dumps(dict(torch=torch.__version__, parameters=sum(p.numel() for p in network.parameters()), **result)))
