#!/usr/bin/env python3
"""er and der++ with ResNet-18, in lvt and in a plain PyTorch loop, on the same data under the same settings.

  replay.py --build build/release --data DIR                    the table: both tools train on CIFAR-100 (DIR: binary form)
  replay.py --build build/release --exact                       the first steps' losses, from the same weights on the same
                                                                images: a step's batch is a whole task, so order is no part

Needs PyTorch and numpy. Small: --tasks 2 --steps 3 --width 8 --test-images 100.
"""
import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", required=True, help="folder of lvtc and lvt-run")
parser.add_argument("--data", help="folder of train.bin and test.bin")
parser.add_argument("--exact", action="store_true")
parser.add_argument("--method", choices=["er", "der++"], action="append", help="default: both")
parser.add_argument("--tasks", type=int, default=10)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--steps", type=int, default=0, help="at most so many a task; 0: all")
parser.add_argument("--memory", type=int, default=500)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--test-images", type=int, default=0, help="of lvt and of PyTorch; 0: all")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--threads", type=int, default=2)
ALPHA, BETA, CLIP, CLASSES = {"er": 1.0, "der++": 0.5}, 0.1, 5.0, 100


class Basic(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        inputs = width
        for i in range(4):
            out = width << i
            setattr(self, f"layer{i + 1}", nn.Sequential(Basic(inputs, out, 1 + (i > 0)), Basic(out, out, 1)))
            inputs = out
        self.accumulation = nn.Linear(inputs, CLASSES, bias=False)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.accumulation(x.mean((2, 3)))


def read(path):
    raw = np.fromfile(path, np.uint8).reshape(-1, 3074)
    return raw[:, 2:].reshape(-1, 3, 32, 32), raw[:, 1].astype(np.int64)


def loss_of(method, z, y, ym, zm, known_then, seen):
    """What models/methods.lvt has, in PyTorch's words: cross entropy among the classes seen, and for der++ the squared
    distance to stored logits over the classes that were known when they were stored."""
    masked = z.masked_fill(~seen, float("-inf"))
    loss = F.cross_entropy(masked[: len(y)], y)
    if ym is None:
        return loss
    loss = loss + ALPHA[method] * F.cross_entropy(masked[len(y) :], ym)
    if method == "der++":
        loss = loss + BETA * (known_then * (z[len(y) :] - zm) ** 2).sum() / known_then.sum()
    return loss


def torch_run(o, method, data, model, augment, log):
    (train, labels), (test, test_labels) = data
    counts = train.astype(np.float64) / 255
    mean, deviation = (torch.tensor(f(counts, axis=(0, 2, 3)), dtype=torch.float32).view(1, 3, 1, 1) for f in (np.mean, np.std))
    prepare = lambda images: (torch.from_numpy(images).float() / 255 - mean) / deviation
    random, optimiser = np.random.default_rng(o.seed), torch.optim.SGD(model.parameters(), o.lr)

    def changed(images):
        x = prepare(images)
        if not augment:
            return x
        padded = F.pad(x, (4, 4, 4, 4))
        cut = [padded[i, :, r : r + 32, c : c + 32] for i, (r, c) in enumerate(random.integers(0, 9, (len(x), 2)))]
        return torch.stack([v.flip(2) if f else v for v, f in zip(cut, random.integers(0, 2, len(x)))])

    def answers(images):
        model.eval()
        with torch.no_grad():
            z = torch.cat([model(prepare(images[i : i + 256])) for i in range(0, len(images), 256)])
        model.train()
        return z

    size, remembered, rows = CLASSES // o.tasks, [], []
    stored = np.zeros((len(train), CLASSES), np.float32)
    task_of = labels // size
    met = 0
    model.train()
    for task in range(o.tasks):
        own = np.flatnonzero(task_of == task)
        seen = torch.arange(CLASSES) < (task + 1) * size
        per_epoch = -(-len(own) // o.batch)
        steps = min(per_epoch * o.epochs, o.steps or 10**9)
        order = np.concatenate([random.permutation(own) for _ in range(o.epochs)])
        for step in range(steps):
            k = order[step * o.batch % len(order) :][: o.batch]
            m = np.array([], np.int64)
            if remembered:
                m = random.choice(remembered, min(o.batch, len(remembered)), replace=False)
            z = model(changed(train[np.concatenate([k, m])]))
            then = None
            if len(m):
                then = (torch.arange(CLASSES) < torch.from_numpy((task_of[m] + 1) * size)[:, None]).float()
            loss = loss_of(method, z, torch.from_numpy(labels[k]), torch.from_numpy(labels[m]) if len(m) else None,
                           torch.from_numpy(stored[m]), then, seen)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            log.append(loss.item())
        for image in random.permutation(own): # a reservoir of all images met
            met += 1
            if len(remembered) < o.memory:
                remembered.append(image)
            elif (place := random.integers(met)) < o.memory:
                remembered[place] = image
        fresh = np.array([i for i in remembered if task_of[i] == task])
        if len(fresh):
            stored[fresh] = answers(train[fresh]).numpy()
        z = answers(test)
        in_class = z.masked_fill(~seen, float("-inf")).argmax(1).numpy() == test_labels
        own_task = torch.from_numpy(test_labels // size)[:, None] == torch.arange(CLASSES)[None] // size
        in_task = z.masked_fill(~own_task, float("-inf")).argmax(1).numpy() == test_labels
        rows.append([[right[test_labels // size == j].mean() for j in range(task + 1)] for right in (in_class, in_task)])
    last = rows[-1]
    lost = [max(rows[l][0][j] for l in range(j, o.tasks - 1)) - last[0][j] for j in range(o.tasks - 1)]
    return 100 * np.mean(last[0]), 100 * np.mean(lost) if lost else float("nan"), 100 * np.mean(last[1])


def write_weights(model, path):
    states = {k: v.detach().numpy() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    head, offset = {}, 0
    for k, v in states.items():
        head[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [offset, offset + v.nbytes]}
        offset += v.nbytes
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(v).tobytes() for v in states.values()))


def lvt_run(o, method, folder, data, more):
    program = os.path.join(folder, f"{method}.lvtx")
    subprocess.run([os.path.join(o.build, "lvtc"), os.path.join(HERE, "..", "..", "models", "resnet18.lvt"), "-o", program]
                   + [f"--set={s}" for s in (f"method={method}", f"width={o.width}", "classifiers=1", f"batch={o.batch}",
                                             f"memory_batch={o.batch}")], check=True)
    out = os.path.join(folder, method)
    command = [os.path.join(o.build, "lvt-run"), "train", program, f"--data=cifar100:{data}", f"--tasks={o.tasks}",
               f"--epochs={o.epochs}", f"--steps={o.steps}", f"--memory={o.memory}", "--memory-policy=reservoir",
               f"--lr={o.lr}", f"--seed={o.seed}", f"--threads={o.threads}", "--log-every=1", "--quiet", f"--out={out}"] + more
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    records = [json.loads(line) for line in open(os.path.join(out, "metrics.jsonl"))]
    metrics = [r for r in records if r["type"] == "metrics"][-1]
    number = lambda scenario, name: 100 * (metrics[scenario][name] if metrics[scenario][name] is not None else float("nan"))
    return ([r["loss"] for r in records if r["type"] == "train"],
            (number("class_il", "acc"), number("class_il", "forgetting"), number("task_il", "acc")))


def exact(o, methods):
    """One image a class and two tasks: a batch is all 50 images of a task, and the memory gives all 50 of the first."""
    o.tasks, o.batch, o.memory, o.epochs, o.steps = 2, 50, 100, o.steps or 2, 0
    worst = 0
    for method in methods:
        folder = tempfile.mkdtemp()
        random = np.random.default_rng(3)
        images = random.integers(0, 256, (CLASSES, 3, 32, 32), np.uint8)
        for name in ("train.bin", "test.bin"):
            with open(os.path.join(folder, name), "wb") as f:
                for c in range(CLASSES):
                    f.write(bytes([0, c]) + images[c].tobytes())
        torch.manual_seed(o.seed)
        model = ResNet18(o.width)
        weights = os.path.join(folder, "weights.safetensors")
        write_weights(model, weights)
        ours, _ = lvt_run(o, method, folder, folder, ["--crop=0", "--flip=off", f"--weights={weights}"])
        theirs = []
        data = (images, np.arange(CLASSES))
        torch_run(o, method, (data, data), model, False, theirs)
        shutil.rmtree(folder)
        assert len(ours) == len(theirs) == 2 * o.epochs, (len(ours), len(theirs))
        for k, (a, b) in enumerate(zip(ours, theirs)):
            print(f"{method:6} task {1 + k // o.epochs} step {1 + k % o.epochs}  lvt {a:.6f}  PyTorch {b:.6f}  {abs(a - b) / abs(b):.1e}")
            worst = max(worst, abs(a - b) / abs(b))
    return worst


o = parser.parse_args()
methods = o.method or ["er", "der++"]
torch.set_num_threads(o.threads)
if o.exact:
    # Rounding of f32 grows with each step of a network with norms, the faster the greater the rate: at 0.05 to 1e-4 in
    # four steps and 1e-2 in eight. A wrong term is 1e-1 at once.
    o.width, o.lr = min(o.width, 8), min(o.lr, 0.002)
    worst = exact(o, methods)
    print(f"largest difference {worst:.1e}")
    sys.exit(not worst < 1e-4)
if not o.data:
    parser.error("--data DIR is needed")
train, test = read(os.path.join(o.data, "train.bin")), read(os.path.join(o.data, "test.bin"))
if o.test_images: # as lvt chooses them: evenly over each class
    chosen = np.zeros(len(test[1]), bool)
    for c in range(CLASSES):
        of_class = np.flatnonzero(test[1] == c)
        n = min(o.test_images // CLASSES + (c < o.test_images % CLASSES), len(of_class))
        chosen[of_class[(np.arange(1, len(of_class) + 1) * n // len(of_class)) > (np.arange(len(of_class)) * n // len(of_class))]] = True
    test = test[0][chosen], test[1][chosen]
print("| | Class-IL | forgetting | Task-IL | seconds |\n|---|---:|---:|---:|---:|")
for method in methods:
    folder = tempfile.mkdtemp()
    began = time.time()
    _, ours = lvt_run(o, method, folder, o.data, [f"--test-images={o.test_images}"])
    between = time.time()
    torch.manual_seed(o.seed)
    theirs = torch_run(o, method, (train, test), ResNet18(o.width), True, [])
    for name, row, seconds in (("lvt", ours, between - began), ("PyTorch", theirs, time.time() - between)):
        print(f"| {method}, {name} | " + " | ".join(f"{v:.2f}" for v in row) + f" | {seconds:.0f} |", flush=True)
    shutil.rmtree(folder)
