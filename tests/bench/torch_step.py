#!/usr/bin/env python3
"""Times lvt-s's training step in PyTorch eager; prints one JSON object. compare.py runs it with a tuned allocator."""
import argparse
import json
import os
import resource
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity"))
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--batch", type=int, default=32, help="new images, and as many remembered ones")
parser.add_argument("--profile", action="store_true", help="a table of operators on standard error")
arguments = parser.parse_args()
os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))

import torch

import lvt_torch

torch.set_num_threads(arguments.threads)
torch.manual_seed(0)
network = lvt_torch.LVT(lvt_torch.SMALL).train().to(memory_format=torch.channels_last)
optimiser = torch.optim.SGD(network.parameters(), lr=0.1)

batch, classes = arguments.batch, lvt_torch.SMALL.classes
inputs = dict(x=torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last),
              y=torch.randint(0, classes, (batch,)),
              xm=torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last),
              ym=torch.randint(0, classes, (batch,)), zm=torch.randn(batch, classes),
              zm_mask=torch.ones(batch, classes), mask=torch.ones(classes))


def run():
    optimiser.zero_grad(set_to_none=True)
    lvt_torch.losses(network, **inputs)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()


for _ in range(5):
    run()
times = []
for _ in range(arguments.steps):
    begin = time.perf_counter()
    run()
    times.append(time.perf_counter() - begin)
if arguments.profile:
    with torch.autograd.profiler.profile() as profile:
        run()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25), file=sys.stderr)
print(json.dumps(dict(torch=torch.__version__, median_ms=statistics.median(times) * 1e3, best_ms=min(times) * 1e3,
                      peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
