"""The LVT network and its training step in PyTorch, written from the method's description for comparisons with lvt.

Structured as a PyTorch user who cares for speed would: token maps are rows of channels through nn.Linear and
nn.BatchNorm1d, images are channels-last, the backbone runs once over new and remembered images. Names of parameters and
buffers are lvt's paths, so that gradients and checkpoints compare by name.
"""
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    image: int = 32         # height and width
    channels: int = 3
    classes: int = 100
    stem: tuple = ((64, 1), (128, 2), (256, 2))  # width and stride of each convolution, or of each pair of blocks:
    resnet: bool = False    # the front of ResNet-18 instead of plain convolutions
    depth1: int = 2
    depth2: int = 2
    heads: int = 4
    key_dim: int = 32
    value_dim: int = 64
    shrink_value_dim: int = 96
    ratio: int = 2
    locality: float = 0.0          # attention starts as if the bias table began at -locality * distance^2
    shrink_locality: float = 1.0
    attention: str = "inter_task"  # or "self": keys of the input; "external": keys and values of the network
    slots: int = 64                # of these, rows that all heads share
    norm: str = "scale"     # of the scores: 1 / sqrt(key_dim), or "batch_norm"
    joint_norm: bool = True  # batch norm sees new and remembered images together
    distill: str = "mse"    # or "kl"
    temperature: float = 2.0


SMALL = Config()
FULL = Config(resnet=True)
TINY = Config(image=8, channels=1, classes=10, stem=((32, 1), (32, 2)), depth1=1, depth2=1, heads=2, key_dim=16,
              value_dim=16, shrink_value_dim=16)


def batch_norm(norm, x, groups):
    """groups: rows of each group that is normalised by itself, or None for all together."""
    if groups is None or not norm.training:
        return norm(x)
    unit = x.shape[0] // sum(groups)
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    pieces, means, variances = [], [], []
    for piece in torch.split(x, [g * unit for g in groups]):
        m, v = mean.clone(), var.clone()
        pieces.append(F.batch_norm(piece, m, v, norm.weight, norm.bias, True, norm.momentum, norm.eps))
        means.append(m)
        variances.append(v)
    with torch.no_grad():
        norm.running_mean.copy_(sum(means) / len(means))
        norm.running_var.copy_(sum(variances) / len(variances))
    return torch.cat(pieces)


class ConvBN(nn.Module):
    def __init__(self, inputs, outputs, stride=1, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x, groups):
        return batch_norm(self.bn, self.conv(x), groups)


class LinearBN(nn.Module):
    def __init__(self, inputs, outputs, gamma=1.0):
        super().__init__()
        self.linear, self.bn = nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs)
        nn.init.constant_(self.bn.weight, gamma)

    def forward(self, x, groups):
        y = batch_norm(self.bn, self.linear(x.reshape(-1, x.shape[-1])), groups)
        return y.view(*x.shape[:-1], -1)


def offset_index(side, stride):
    """[queries, keys]: |row offset| * side + |column offset|; queries are every stride-th row and column."""
    d = (torch.arange(0, side, stride)[:, None] - torch.arange(side)[None, :]).abs()
    return (d[:, None, :, None] * side + d[None, :, None, :]).reshape(d.shape[0] ** 2, side * side)


def offset_distance(side, stride):
    """[queries, keys]: squared distance in cells."""
    d = (torch.arange(0, side, stride)[:, None] - torch.arange(side)[None, :]) ** 2
    return (d[:, None, :, None] + d[None, :, None, :]).reshape(d.shape[0] ** 2, side * side)


class Attention(nn.Module):
    """softmax(norm(q K^T) + B) v with a key K that belongs to the network, not to the input."""

    def __init__(self, c, inputs, heads, value_dim, side, stride=1):
        super().__init__()
        self.heads, self.side, self.stride, self.key_dim = heads, side, stride, c.key_dim
        self.q, self.v = LinearBN(inputs, heads * c.key_dim), LinearBN(inputs, heads * value_dim)
        if c.attention == "self":
            self.k = LinearBN(inputs, heads * c.key_dim)
        else:
            self.key = nn.Parameter(torch.randn(heads, side * side, c.key_dim))
        self.bias_table = nn.Parameter(torch.zeros(heads, side * side))
        self.register_buffer("index", offset_index(side, stride), persistent=False)
        locality = c.locality if stride == 1 else c.shrink_locality
        self.register_buffer("nearness", -locality * offset_distance(side, stride).to(torch.get_default_dtype()),
                             persistent=False)
        if c.norm == "batch_norm":
            self.score_norm = nn.BatchNorm1d(heads)

    def split(self, x):  # [B, N, h * d] to [B, h, N, d]
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x, groups):
        batch, tokens, width = x.shape
        queries = x
        if self.stride > 1:
            grid = x.view(batch, self.side, self.side, width)
            queries = grid[:, ::self.stride, ::self.stride].reshape(batch, -1, width)
        key = self.split(self.k(x, groups)) if hasattr(self, "k") else self.key
        scores = self.split(self.q(queries, groups)) @ key.transpose(-1, -2)
        if hasattr(self, "score_norm"):
            scores = self.score_norm(scores.flatten(2)).view_as(scores)
        else:
            scores = scores * self.key_dim ** -0.5
        weights = torch.softmax(scores + self.bias_table[:, self.index] + self.nearness, -1)
        mixed = weights @ self.split(self.v(x, groups))
        return mixed.transpose(1, 2).reshape(batch, queries.shape[1], -1)


class ExternalAttention(nn.Module):
    """Two linear layers with norms of both sides: softmax over the queries of an image, then sums of 1 over the slots."""

    def __init__(self, c, inputs, heads, value_dim, side, stride=1):
        super().__init__()
        self.heads, self.side, self.stride = heads, side, stride
        self.q = LinearBN(inputs, heads * c.key_dim)
        self.key = nn.Parameter(torch.rand(c.slots, c.key_dim))
        self.value = nn.Parameter(torch.rand(c.slots, value_dim))

    def forward(self, x, groups):
        batch, _, width = x.shape
        queries = x.view(batch, self.side, self.side, width)[:, ::self.stride, ::self.stride].reshape(batch, -1, width)
        q = self.q(queries, groups)
        weights = torch.softmax(F.linear(q.view(batch, q.shape[1], self.heads, -1), self.key), 1)
        weights = weights / (1e-9 + weights.sum(-1, keepdim=True))
        return F.linear(weights, self.value.T).flatten(2)


def attention(c, *sizes):
    return (ExternalAttention if c.attention == "external" else Attention)(c, *sizes)


class FeedForward(nn.Module):
    def __init__(self, width, ratio):
        super().__init__()
        self.up, self.down = LinearBN(width, width * ratio), LinearBN(width * ratio, width, 0.0)

    def forward(self, x, groups):
        return x + self.down(F.gelu(self.up(x, groups)), groups)


class Block(nn.Module):
    def __init__(self, c, width, heads, side):
        super().__init__()
        self.attention = attention(c, width, heads, c.value_dim, side)
        self.out, self.ffn = LinearBN(heads * c.value_dim, width, 0.0), FeedForward(width, c.ratio)

    def forward(self, x, groups):
        x = x + self.out(F.gelu(self.attention(x, groups)), groups)
        return self.ffn(x, groups)


class Shrink(nn.Module):
    def __init__(self, c, width, heads, side):
        super().__init__()
        self.attention = attention(c, width // 2, heads, c.shrink_value_dim, side, 2)
        self.out, self.ffn = LinearBN(heads * c.shrink_value_dim, width), FeedForward(width, c.ratio)

    def forward(self, x, groups):
        return self.ffn(self.out(F.gelu(self.attention(x, groups)), groups), groups)


class Stem(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths = [c.channels] + [w for w, _ in c.stem]
        self.conv_bn = nn.ModuleList(ConvBN(widths[i], w, s) for i, (w, s) in enumerate(c.stem))

    def forward(self, x, groups):
        for layer in self.conv_bn:
            x = F.gelu(layer(x, groups))
        return x


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1, self.conv2 = ConvBN(inputs, outputs, stride), ConvBN(outputs, outputs)
        self.downsample = ConvBN(inputs, outputs, stride, 1) if stride != 1 or inputs != outputs else None

    def forward(self, x, groups):
        y = self.conv2(F.relu(self.conv1(x, groups)), groups)
        return F.relu(y + (self.downsample(x, groups) if self.downsample else x))


class ResNetStem(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c.stem[0][0]
        self.conv, layers = ConvBN(c.channels, width), []
        for outputs, stride in c.stem:
            layers.append(nn.ModuleDict(dict(block1=BasicBlock(width, outputs, stride),
                                             block2=BasicBlock(outputs, outputs))))
            width = outputs
        self.layer = nn.ModuleList(layers)

    def forward(self, x, groups):
        x = F.relu(self.conv(x, groups))
        for layer in self.layer:
            x = layer["block2"](layer["block1"](x, groups), groups)
        return x


class LVT(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        side, width = c.image, c.stem[-1][0]
        for _, stride in c.stem:
            side //= stride
        self.stem = ResNetStem(c) if c.resnet else Stem(c)
        self.stage1 = nn.ModuleList(Block(c, width, c.heads, side) for _ in range(c.depth1))
        self.shrink = Shrink(c, 2 * width, 2 * c.heads, side)
        self.stage2 = nn.ModuleList(Block(c, 2 * width, 2 * c.heads, side // 2) for _ in range(c.depth2))
        self.injection = nn.Linear(2 * width, c.classes, bias=False)
        self.accumulation = nn.Linear(2 * width, c.classes, bias=False)
        # What keys and biases were at the end of the last task, and how much they mattered then.
        self.attention_parameters = [n for n, _ in self.named_parameters() if n.endswith(("key", "bias_table"))]
        self.previous = {n: p.detach().clone() for n, p in self.named_parameters() if n in self.attention_parameters}
        self.importance = {n: torch.zeros_like(p) for n, p in self.previous.items()}

    def forward(self, x, groups=None):
        x = self.stem(x, groups)
        x = x.flatten(2).transpose(1, 2)  # of a channels-last image: no copy
        for block in self.stage1:
            x = block(x, groups)
        x = self.shrink(x, groups)
        for block in self.stage2:
            x = block(x, groups)
        pooled = x.mean(1)
        return self.injection(pooled), self.accumulation(pooled)


def losses(network, x, y, xm, ym, zm, zm_mask, mask, alpha=1.0, beta=0.5, r=1.0, gamma=1e-5):
    """All terms of a step on new images x and remembered ones xm, which go through the network together."""
    c, new = network.config, len(x)
    injection, accumulation = network(torch.cat([x, xm]), None if c.joint_norm else [new, len(xm)])
    unseen = (mask - 1) * 1e9
    old = accumulation[new:]
    l_i = F.cross_entropy(injection[:new] + unseen, y)
    l_a = F.cross_entropy(accumulation[:new] + unseen, y)
    l_r = F.cross_entropy(old + unseen, ym)
    if c.distill == "mse":
        l_d = (zm_mask * (old - zm) ** 2).sum() / zm_mask.sum().clamp(min=1)
    else:
        unknown = (zm_mask - 1) * 1e9
        target = F.log_softmax(zm / c.temperature + unknown, -1)
        student = F.log_softmax(old / c.temperature + unknown, -1)
        l_d = (zm_mask * target.exp() * (target - student)).sum() * c.temperature ** 2 / len(xm)
    parameters = dict(network.named_parameters())
    drift = sum((network.importance[n] * (parameters[n] - network.previous[n]).abs()).sum()
                for n in network.attention_parameters)
    return dict(loss=l_i + alpha * l_r + beta * l_d + r * l_a + gamma * drift, loss_injection=l_i, loss_replay=l_r,
                loss_distill=l_d, loss_accumulation=l_a, loss_drift=drift)
