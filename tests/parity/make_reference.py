#!/usr/bin/env python3
"""Writes the reference files of test_parity.c: training steps by PyTorch in f64 (lvt_torch.py, levit_torch.py).

Inputs, parameters and other states come from a hash of their name and an index (`element`), rounded to f32, so that
both sides compute them and only results are recorded: of every loss term, gradient and updated state the norm, a weighted
sum and up to 64 elements. See README.md for the line format. usage: make_reference.py [FOLDER [CASE...]]
"""
import dataclasses
import os
import sys

import numpy as np
import torch

import backbones_torch
import levit_torch
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


def sample_indices(n, most):
    if n <= most:
        return np.arange(n)
    begin = np.arange(most) * n // most
    end = (np.arange(most) + 1) * n // most
    with np.errstate(over="ignore"):
        return begin + (mix(np.arange(most, dtype=np.uint64)) % (end - begin).astype(np.uint64)).astype(np.int64)


def summary(tensor, digits, samples):
    a = tensor.detach().double().numpy().reshape(-1)
    values = [np.sqrt(np.sum(a * a)), np.sum(a * (2 * uniform("weights", a.size) - 1)), *a[sample_indices(a.size, samples)]]
    return " ".join(f"{v:.{digits}g}" for v in values)


def state_range(name, shape):
    """Where values of a state are drawn from: sizes as in a trained network, nothing zero, nothing at its start."""
    last = name.rsplit(".", 1)[-1]
    if last == "weight" and len(shape) > 1:
        bound = (3 / np.prod(shape[1:])) ** 0.5
        return -bound, bound
    ranges = {"weight": (0.5, 1.5), "running_var": (0.5, 1.5), "bias": (-0.5, 0.5), "running_mean": (-0.5, 0.5),
              "g": (0.5, 1.5), "b": (-0.5, 0.5), "previous": (-1, 1), "importance": (0, 0.01),
              "velocity": (-0.1, 0.1)}
    return ranges.get(last, (-1, 1))  # keys, positions, class tokens, tables


COEFFICIENTS = dict(alpha=0.9, beta=0.6, r=0.7, gamma=0.3)


class Record:
    """The lines of one reference file."""

    def __init__(self, name, digits=17, samples=SAMPLES):
        self.name, self.digits, self.samples, self.lines, self.checks = name, digits, samples, [], []

    def state(self, name, tensor):
        lo, hi = state_range(name, tensor.shape)
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(element(name, tuple(tensor.shape), lo, hi)))
        self.lines.append(f"state {name} {lo:.17g} {hi:.17g}")

    def input(self, name, kind, numbers, array=None):
        self.lines.append(f"input {name} {kind} " + " ".join(f"{v:.17g}" for v in numbers))
        return None if array is None else torch.from_numpy(np.ascontiguousarray(array))

    def check(self, what, name, tensor):
        self.checks.append(f"{what} {name} {summary(tensor, self.digits, self.samples)}")

    def save(self, folder):
        self.lines += self.checks + [f"end {len(self.checks)}"]
        with open(os.path.join(folder, self.name + ".txt"), "w") as f:
            f.write("\n".join(self.lines) + "\n")


class Case(Record):
    """A training step of the LVT network."""

    def __init__(self, name, model, config, images, settings=(), steps=1, lr=2.0 ** 20, clip=1e30, momentum=0.0,
                 decay=0.0, nesterov=False, digits=17, samples=SAMPLES):
        super().__init__(name, digits, samples)
        self.model, self.config, self.images, self.settings = model, config, images, list(settings)
        self.steps, self.lr, self.clip, self.momentum, self.decay = steps, lr, clip, momentum, decay
        self.nesterov = nesterov

    def inputs(self):
        c, n = self.config, self.images
        seen, stored = int(c.classes * 0.8), [c.classes * k // 10 for k in (2, 4, 6)]
        image = (n, c.image, c.image, c.channels)
        out = {}

        def put(name, kind, numbers, array):
            out[name] = self.input(name, kind, numbers, array)

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
            self.input(name, "value", [np.float64(np.float32(value))])
        return out

    def write(self, folder):
        c, n = self.config, self.images
        self.lines += [f"# {self.name}: made by make_reference.py, PyTorch in f64",
                       f"model models/{self.model}.lvt", f"set batch={n}", f"set memory_batch={n}"]
        self.lines += [f"set {s}" for s in self.settings]
        if self.samples != SAMPLES:
            self.lines.append(f"samples {self.samples}")
        self.lines += ["entry train", f"lr {self.lr:.17g}"]
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
        for k, v in terms.items():
            self.check("output", k, v)
        if self.steps == 1 and not self.momentum:
            for name, g in gradients.items():
                if g.norm() < 1e-12 * norm:  # by symmetry: softmax does not see a shift of its row
                    self.lines.append(f"# zero: {name}")
                else:
                    self.check("gradient", name, g)
        else:
            assert scale < 1, "the clip is meant to be active"
            for k, v in parameters.items():
                self.check("after", k, v)
            for k, v in velocity.items():
                self.check("after", k + ".velocity", v)
        for k, v in buffers.items():
            self.check("after", k, v)
        self.save(folder)
        print(f"{self.name}: loss {terms['loss'].item():.6f}, gradient norm {norm.item():.6f}, {len(self.checks)} values")


class LevitCase(Record):
    """Two steps of the network of the benchmark, by PyTorch's own optimiser. Momentum starts at zero: the velocities are
    sums of both gradients and of the decay, the second one taken at the parameters that the first step left."""

    def __init__(self, images, steps=2):
        super().__init__("levit-step", digits=12)
        self.images, self.steps = images, steps

    def write(self, folder):
        n, classes = self.images, levit_torch.CLASSES
        self.lines += [f"# {self.name}: made by make_reference.py, PyTorch in f64",
                       "model tests/bench/levit_step.lvt", f"set batch={n}", f"set predict_batch={n}", "entry train"]
        network = levit_torch.Network().double().train()
        buffers = {k: v for k, v in network.named_buffers() if k.endswith(("running_mean", "running_var"))}
        for name, tensor in (*network.named_parameters(), *buffers.items()):
            self.state(levit_torch.path(name), tensor)
        x = self.input("x", "uniform", (-2, 2), element("x", (n, 32, 32, 3), -2, 2).transpose(0, 3, 1, 2))
        y = self.input("y", "integer", (0, classes), np.floor(classes * uniform("y", n)).astype(np.int64))
        stored = self.input("stored", "uniform", (-3, 3), element("stored", (n // 2, classes), -3, 3))
        lr = np.float64(np.float32(levit_torch.LEARNING_RATE))
        self.input("lr", "value", [lr])
        self.lines.append(f"run {self.steps}")

        optimiser = levit_torch.optimiser(network, lr=lr)
        for _ in range(self.steps):
            loss = levit_torch.loss(network(x), y, stored)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        self.check("output", "loss", loss)
        norm = torch.sqrt(sum((p.grad ** 2).sum() for p in network.parameters()))
        for name, p in network.named_parameters():
            path = levit_torch.path(name)
            self.check("after", path, p)
            if p.grad.norm() < 1e-12 * norm:  # by symmetry: what shifts all tokens alike goes into a batch norm
                self.lines.append(f"# zero: {path}")
            else:
                self.check("after", path + ".velocity", optimiser.state[p]["momentum_buffer"])
        for name, b in buffers.items():
            self.check("after", levit_torch.path(name), b)
        self.save(folder)
        print(f"{self.name}: loss {loss.item():.6f}, gradient norm {norm.item():.6f}, {len(self.checks)} values")


class BackboneCase(Record):
    """A network of the comparison: the step of finetune with one classifier, by PyTorch's own SGD, or the logits in
    evaluation mode. lvt has the names of the implementation, all but the head's."""

    def __init__(self, backbone, entry):
        super().__init__(f"{backbone.name}-{'step' if entry == 'train_new' else entry}", digits=12, samples=12)
        self.backbone, self.entry, self.images, self.lr = backbone, entry, backbone.images, 2.0 ** 20

    def write(self, folder):
        n, classes, training = self.images, backbones_torch.CLASSES, self.entry == "train_new"
        self.lines += [f"# {self.name}: made by make_reference.py, {self.backbone.source} in f64",
                       f"model models/{self.backbone.model}.lvt", "set method=finetune", "set classifiers=1",
                       "set classifier_bias=true", f"set classes={classes}", f"set batch={n}", f"set predict_batch={n}"]
        self.lines += [f"set {s}" for s in self.backbone.settings]
        self.lines += [f"samples {self.samples}", f"entry {self.entry}", f"lr {self.lr:.17g}"]
        network = self.backbone.make().double().train(training)
        parameters = {self.backbone.path(k): v for k, v in network.named_parameters()}
        buffers = {self.backbone.path(k): v for k, v in network.named_buffers()
                   if k.endswith(("running_mean", "running_var"))}
        for name, tensor in (*parameters.items(), *buffers.items()):
            self.state(name, tensor)
        x = self.input("x", "uniform", (-2, 2), element("x", (n, 32, 32, 3), -2, 2).transpose(0, 3, 1, 2))
        if not training:
            self.lines.append("run 1")
            with torch.no_grad():
                self.check("output", "logits", network(x))
            self.save(folder)
            print(f"{self.name}: {len(parameters)} tensors of {sum(p.numel() for p in parameters.values())} numbers")
            return

        seen = classes - 2
        y = self.input("y", "integer", (0, seen), np.floor(seen * uniform("y", n)).astype(np.int64))
        mask = self.input("mask", "prefix", (seen,), (np.arange(classes) < seen).astype(np.float64))
        self.input("lr", "value", [self.lr])
        self.input("clip", "value", [np.float64(np.float32(1e30))])
        self.lines.append("run 1")
        loss = torch.nn.functional.cross_entropy(network(x) + (mask - 1) * 1e9, y)
        before = {k: v.detach().clone() for k, v in parameters.items()}
        optimiser = torch.optim.SGD(network.parameters(), lr=self.lr)
        loss.backward()
        optimiser.step()
        self.check("output", "loss", loss)
        norm = torch.sqrt(sum((p.grad ** 2).sum() for p in parameters.values()))
        for name, p in parameters.items():
            if p.grad.norm() < 1e-12 * norm:  # by symmetry: what shifts all that a softmax or a norm sees alike
                self.lines.append(f"# zero: {name}")
            else:
                self.check("gradient", name, (before[name] - p) / self.lr)
        for name, b in buffers.items():
            self.check("after", name, b)
        self.save(folder)
        print(f"{self.name}: loss {loss.item():.6f}, gradient norm {norm.item():.6f}, {len(self.checks)} values")


def main():
    folder, wanted = sys.argv[1] if len(sys.argv) > 1 else HERE, sys.argv[2:]
    torch.set_default_dtype(torch.float64)
    tiny, small = lvt_torch.TINY, lvt_torch.SMALL
    variant = lvt_torch.Config(**{**tiny.__dict__, "norm": "batch_norm", "joint_norm": False, "distill": "kl"})
    cases = [Case("lvt-tiny-gradients", "lvt-tiny", tiny, 8),
             Case("lvt-tiny-variant", "lvt-tiny", variant, 8, ["norm=batch_norm", "joint_norm=false", "distill=kl"]),
             Case("lvt-tiny-updates", "lvt-tiny", tiny, 8, ["momentum=0.9", "nesterov=true"], steps=3, lr=0.05, clip=0.5,
                  momentum=0.9, decay=0.01, nesterov=True),
             Case("lvt-s-gradients", "lvt-s", small, 4), Case("lvt-gradients", "lvt", lvt_torch.FULL, 2, digits=12),
             *(Case(f"lvt-tiny-{a}", "lvt-tiny", dataclasses.replace(tiny, attention=a), 8, [f"attention={a}"],
                    digits=12, samples=12) for a in ("self", "external")), LevitCase(8)]
    if backbones_torch.missing:
        print(f"no references of backbones: {backbones_torch.missing}", file=sys.stderr)
    for backbone in backbones_torch.BACKBONES:
        cases += [BackboneCase(backbone, "train_new"), BackboneCase(backbone, "predict")]
    for case in cases:
        if not wanted or case.name in wanted:
            case.write(folder)


if __name__ == "__main__":
    main()
