"""ResNet-18 (He et al., "Deep residual learning for image recognition", CVPR 2016) in PyTorch: exported as ONNX, and
compared with what lvt computed from it.

usage: resnet.py export OUT.onnx WIDTH CHANNELS SIZE CLASSES [small]
       resnet.py pretrain OUT.onnx WIDTH CIFAR100_FOLDER FIRST STEPS
       resnet.py predict NET.pt RECORD TOLERANCE
       resnet.py step NET.pt RECORD START LR TOLERANCE
small: the front for small images, a 3x3 convolution and no pooling. RECORD.in, .out, .states: what `lvt-run step` saved;
START: the states before. pretrain: the small front, trained STEPS steps on the classes of CIFAR-100 from FIRST on;
OUT.onnx and, with the values it began with, fresh-OUT.onnx."""
import inspect
import json
import os
import sys

import torch
from torch import nn


def conv(a, b, k, stride):
    return nn.Conv2d(a, b, k, stride, k // 2, bias=False)


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(a, b, 3, stride), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = conv(b, b, 3, 1), nn.BatchNorm2d(b)
        self.downsample = None
        if stride != 1 or a != b:
            self.downsample = nn.Sequential(conv(a, b, 1, stride), nn.BatchNorm2d(b))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, width, channels, classes, small):
        super().__init__()
        self.conv1 = conv(channels, width, 3, 1) if small else conv(channels, width, 7, 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        before = width
        for i in range(4):
            now = width << i
            layer = nn.Sequential(Block(before, now, 1 if i == 0 else 2), Block(now, now, 1))
            setattr(self, f"layer{i + 1}", layer)
            before = now
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    n = int.from_bytes(data[:8], "little")
    kinds = {"F32": torch.float32, "I32": torch.int32, "F64": torch.float64}
    out = {}
    for name, e in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            raw = bytearray(data[8 + n + a:8 + n + b])
            out[name] = torch.frombuffer(raw, dtype=kinds[e["dtype"]]).reshape(e["shape"])
    return out


def differ(what, a, b, tolerance):
    error = ((a - b).abs() / (1 + b.abs())).max().item()
    if not error <= tolerance:
        sys.exit(f"{what} differs by {error:.3g}, more than {tolerance:.3g}")
    return error


def write(net, path, channels, size):
    # PRESERVE keeps the norms as nodes of their own; EVAL, and the newer exporter, would fold them into the convolutions.
    old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(net.eval(), torch.zeros(2, channels, size, size), path, input_names=["image"],
                      output_names=["logits"], dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
                      training=torch.onnx.TrainingMode.PRESERVE, opset_version=14, do_constant_folding=False, **old)


def pretrain(path, width, folder, first, steps):
    raw = torch.frombuffer(bytearray(open(f"{folder}/train.bin", "rb").read()), dtype=torch.uint8).reshape(-1, 3074)
    raw = raw[raw[:, 1] >= first]
    x, y = raw[:, 2:].reshape(-1, 3, 32, 32), raw[:, 1].long() - first
    mean, deviation = (t.reshape(1, 3, 1, 1) for t in ((x / 255).mean((0, 2, 3)), (x / 255).std((0, 2, 3))))
    net = ResNet18(width, 3, 100 - first, True)
    write(net, os.path.join(os.path.dirname(path), "fresh-" + os.path.basename(path)), 3, 32)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order, right = torch.randperm(len(x)), 0
    for step in range(steps):
        chosen = order[torch.arange(step * 64, step * 64 + 64) % len(x)]
        images = (x[chosen] / 255 - mean) / deviation
        logits = net(images.flip(3) if step % 2 else images)
        loss = nn.functional.cross_entropy(logits, y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        right += (logits.argmax(1) == y[chosen]).sum().item() if step >= steps - 50 else 0
    print(f"{steps} steps on {100 - first} classes: {100 * right / 3200:.1f}% of the last 3200 images right")
    write(net, path, 3, 32)


def main():
    torch.manual_seed(1)
    if sys.argv[1] == "pretrain":
        return pretrain(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
    if sys.argv[1] == "export":
        path = sys.argv[2]
        width, channels, size, classes = map(int, sys.argv[3:7])
        shape = (width, channels, classes, "small" in sys.argv)
        net = ResNet18(*shape)
        # Statistics and scales as after some training, so that their parts in the result can be seen.
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                nn.init.uniform_(m.weight, 0.5, 1.5)
                nn.init.normal_(m.bias, 0, 0.1)
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
        torch.save({"shape": shape, "state": net.state_dict()}, path[:-5] + ".pt")
        write(net, path, channels, size)
        return
    saved, tolerance = torch.load(sys.argv[2]), float(sys.argv[-1])
    inputs, outputs, states = (read(f"{sys.argv[3]}.{kind}") for kind in ("in", "out", "states"))
    net = ResNet18(*saved["shape"])
    net.load_state_dict(saved["state"])
    x = inputs["x"][0].permute(0, 3, 1, 2)
    if sys.argv[1] == "predict":
        net.eval()
        with torch.no_grad():
            print("predict", differ("logits", outputs["logits"][0], net(x), tolerance))
        return
    # The head of the model in resnet.lvt is its own; PyTorch's gets the same initial values.
    start = read(sys.argv[4])
    head = nn.Linear(net.fc.in_features, start["head.bias"].shape[0])
    with torch.no_grad():
        head.weight.copy_(start["head.weight"])
        head.bias.copy_(start["head.bias"])
    net.fc = head
    net.train()
    loss = nn.functional.cross_entropy(net(x), inputs["y"][0].long())
    loss.backward()
    rate = float(sys.argv[5])
    with torch.no_grad():
        for p in net.parameters():
            p -= rate * p.grad
    worst = differ("loss", outputs["loss"][0], loss, tolerance)
    seen = 0
    for name, value in net.state_dict().items():
        if "num_batches" in name:
            continue
        mine = name.replace("fc.", "head.") if name.startswith("fc.") else "backbone." + name
        worst = max(worst, differ(name, states[mine], value, tolerance))
        seen += 1
    count = sum("backbone.fc." not in k for k in states) # which predict alone uses
    if seen != count:
        sys.exit(f"{count} states, but PyTorch has {seen} values")
    print("step", worst)


main()
