#!/usr/bin/env python3
"""Writes the reference files of test_parity.c: one LVT training step by PyTorch in f64 (lvt_torch.py).

Inputs, parameters and other states come from a hash of their name and an index (`element`), rounded to f32, so that
both sides compute them and only results are recorded: of every loss term, gradient and updated state the norm, a weighted
sum and up to 64 elements. See README.md for the line format. usage: make_reference.py [FOLDER]
"""
import os
import sys

import numpy as np
import torch

import lvt_torch

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = 64
U64 = np.uint64


def mix(x):  # the finaliser of splitmix64
    x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))


def hash_name(name):  # FNV-1a, 64 bits
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & (2 ** 64 - 1)
    return h


def uniform(name, n):  # in [0, 1), multiples of 2^-24
    with np.errstate(over="ignore"):
        x = U64(hash_name(name)) + np.arange(1, n + 1, dtype=np.uint64) * U64(0x9E3779B97F4A7C15)
        return (mix(x) >> U64(40)).astype(np.float64) * 2.0 ** -24


def element(name, shape, lo, hi):
    n = int(np.prod(shape, dtype=np.int64))
    return (lo + (hi - lo) * uniform(name, n)).astype(np.float32).astype(np.float64).reshape(shape)


def sample_indices(n):
    if n <= SAMPLES:
        return np.arange(n)
    begin = np.arange(SAMPLES) * n // SAMPLES
    end = (np.arange(SAMPLES) + 1) * n // SAMPLES
    with np.errstate(over="ignore"):
        return begin + (mix(np.arange(SAMPLES, dtype=np.uint64)) % (end - begin).astype(np.uint64)).astype(np.int64)


def summary(tensor):
    a = tensor.detach().double().numpy().reshape(-1)
    values = [np.sqrt(np.sum(a * a)), np.sum(a * (2 * uniform("weights", a.size) - 1)), *a[sample_indices(a.size)]]
    return " ".join(f"{v:.17g}" for v in values)


def state_range(name, shape):
    """Where values of a state are drawn from: sizes as in a trained network, nothing zero, nothing at its start."""
    last = name.rsplit(".", 1)[1]
    if last == "weight" and len(shape) > 1:
        bound = (3 / np.prod(shape[1:])) ** 0.5
        return -bound, bound
    ranges = {"weight": (0.5, 1.5), "running_var": (0.5, 1.5), "bias": (-0.5, 0.5), "running_mean": (-0.5, 0.5),
              "key": (-1, 1), "bias_table": (-1, 1), "previous": (-1, 1), "importance": (0, 0.01),
              "velocity": (-0.1, 0.1)}
    return ranges[last]


COEFFICIENTS = dict(alpha=0.9, beta=0.6, r=0.7, gamma=0.3)


class Case:
    def __init__(self, name, model, config, images, settings=(), steps=1, lr=2.0 ** 20, clip=1e30, momentum=0.0,
                 decay=0.0, nesterov=False):
        self.name, self.model, self.config, self.images, self.settings = name, model, config, images, list(settings)
        self.steps, self.lr, self.clip, self.momentum, self.decay = steps, lr, clip, momentum, decay
        self.nesterov, self.lines = nesterov, []

    def state(self, name, tensor):
        lo, hi = state_range(name, tensor.shape)
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(element(name, tuple(tensor.shape), lo, hi)))
        self.lines.append(f"state {name} {lo:.17g} {hi:.17g}")

    def inputs(self):
        c, n = self.config, self.images
        seen, stored = int(c.classes * 0.8), [c.classes * k // 10 for k in (2, 4, 6)]
        image = (n, c.image, c.image, c.channels)
        out = {}

        def put(name, kind, numbers, array):
            self.lines.append(f"input {name} {kind} " + " ".join(f"{v:.17g}" for v in numbers))
            out[name] = torch.from_numpy(np.ascontiguousarray(array))

        for name in "x", "xm":
            put(name, "uniform", (-2, 2), element(name, image, -2, 2).transpose(0, 3, 1, 2))
        put("y", "integer", (seen // 2, seen), np.floor(seen // 2 + (seen - seen // 2) * uniform("y", n)).astype(np.int64))
        put("ym", "integer", (0, seen // 2), np.floor(seen // 2 * uniform("ym", n)).astype(np.int64))
        put("zm", "uniform", (-3, 3), element("zm", (n, c.classes), -3, 3))
        known = [stored[i % 3] for i in range(n)]
        columns = np.arange(c.classes)
        put("zm_mask", "prefix", known, (columns[None, :] < np.array(known)[:, None]).astype(np.float64))
        put("mask", "prefix", (seen,), (columns < seen).astype(np.float64))
        for name, value in (*COEFFICIENTS.items(), ("lr", self.lr), ("clip", self.clip), ("decay", self.decay)):
            self.lines.append(f"input {name} value {np.float64(np.float32(value)):.17g}")
        return out

    def write(self, folder):
        c, n = self.config, self.images
        self.lines += [f"# {self.name}: made by make_reference.py, PyTorch in f64",
                       f"model models/{self.model}.lvt", f"set batch={n}", f"set memory_batch={n}"]
        self.lines += [f"set {s}" for s in self.settings] + ["entry train", f"lr {self.lr:.17g}"]
        network = lvt_torch.LVT(c).double().train()
        parameters = dict(network.named_parameters())
        buffers = {k: v for k, v in network.named_buffers() if k.endswith(("running_mean", "running_var"))}
        velocity = {k: torch.zeros_like(v) for k, v in parameters.items()} if self.momentum else {}
        for name, tensor in (*parameters.items(), *buffers.items()):
            self.state(name, tensor)
        for name in network.attention_parameters:
            network.previous[name] = network.previous[name].double()
            network.importance[name] = network.importance[name].double()
            self.state(name + ".previous", network.previous[name])
            self.state(name + ".importance", network.importance[name])
        for name, tensor in velocity.items():
            self.state(name + ".velocity", tensor)
        inputs = self.inputs()
        self.lines.append(f"run {self.steps}")

        f32 = {k: float(np.float32(v)) for k, v in COEFFICIENTS.items()}
        lr, clip, decay = (float(np.float32(v)) for v in (self.lr, self.clip, self.decay))
        for _ in range(self.steps):
            terms = lvt_torch.losses(network, **inputs, **f32)
            gradients = dict(zip(parameters, torch.autograd.grad(terms["loss"], list(parameters.values()))))
            norm = torch.sqrt(sum((g * g).sum() for g in gradients.values()))
            scale = min(1.0, clip / norm.item())
            with torch.no_grad():
                for name, p in parameters.items():
                    d = gradients[name] * scale + decay * p
                    if self.momentum:
                        velocity[name].mul_(self.momentum).add_(d)
                        d = d + self.momentum * velocity[name] if self.nesterov else velocity[name]
                    p.sub_(lr * d)
        checks = [f"output {k} {summary(v)}" for k, v in terms.items()]
        if self.steps == 1 and not self.momentum:
            for name, g in gradients.items():
                if g.norm() < 1e-12 * norm:  # by symmetry: softmax does not see a shift of its row
                    self.lines.append(f"# zero: {name}")
                else:
                    checks.append(f"gradient {name} {summary(g)}")
        else:
            assert scale < 1, "the clip is meant to be active"
            checks += [f"after {k} {summary(v)}" for k, v in parameters.items()]
            checks += [f"after {k}.velocity {summary(v)}" for k, v in velocity.items()]
        checks += [f"after {k} {summary(v)}" for k, v in buffers.items()]
        self.lines += checks + [f"end {len(checks)}"]
        with open(os.path.join(folder, self.name + ".txt"), "w") as f:
            f.write("\n".join(self.lines) + "\n")
        print(f"{self.name}: loss {terms['loss'].item():.6f}, gradient norm {norm.item():.6f}, {len(checks)} values")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    torch.set_default_dtype(torch.float64)
    tiny, small = lvt_torch.TINY, lvt_torch.SMALL
    variant = lvt_torch.Config(**{**tiny.__dict__, "norm": "batch_norm", "joint_norm": False, "distill": "kl"})
    Case("lvt-tiny-gradients", "lvt-tiny", tiny, 8).write(folder)
    Case("lvt-tiny-variant", "lvt-tiny", variant, 8, ["norm=batch_norm", "joint_norm=false", "distill=kl"]).write(folder)
    Case("lvt-tiny-updates", "lvt-tiny", tiny, 8, ["momentum=0.9", "nesterov=true"], steps=3, lr=0.05, clip=0.5,
         momentum=0.9, decay=0.01, nesterov=True).write(folder)
    Case("lvt-s-gradients", "lvt-s", small, 4).write(folder)


if __name__ == "__main__":
    main()
