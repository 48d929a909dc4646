"""The network of tests/bench/levit_step.lvt and its loss in PyTorch: what the two are compared and timed by.

A LeViT-like network with external keys, written as a PyTorch user who cares for speed would: token maps are rows of
channels through nn.Linear and nn.BatchNorm1d. Names of parameters and buffers are lvt's paths, so that they compare by
name (`path` says where the two differ).
"""
import re

import torch
from torch import nn
from torch.nn import functional as F

WIDTHS, HEADS, DEPTHS, TOKENS, RATIOS, CLASSES = [256, 384, 512], [4, 6, 8], [2, 2, 2], [64, 16, 4], [2, 2, 1], 100
LEARNING_RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-4


def path(name):
    """lvt's path of a parameter or buffer: blocks are counted through, ten a stage."""
    return re.sub(r"^stages\.(\d)\.(\d)", lambda m: f"stages.{10 * int(m[1]) + int(m[2])}", name)


class ConvBN(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.bn(self.conv(x))


class LinearBN(nn.Module):
    def __init__(self, inputs, outputs, gamma=1.0):
        super().__init__()
        self.linear, self.bn = nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs)
        nn.init.constant_(self.bn.weight, gamma)

    def forward(self, x):
        y = self.linear(x)
        return self.bn(y.flatten(0, 1)).view_as(y)


class Attention(nn.Module):
    """softmax(q K^T / sqrt(d) + b) v with keys K [heads, tokens, d] that all images share."""

    def __init__(self, width, heads, tokens):
        super().__init__()
        self.heads, self.dim = heads, width // heads
        self.key = nn.Parameter(torch.randn(heads, tokens, self.dim) * 0.02)
        self.bias = nn.Parameter(torch.zeros(heads, tokens, tokens))
        self.q, self.v, self.out = LinearBN(width, width), LinearBN(width, width), LinearBN(width, width, 0.0)

    def split(self, x):  # [B, N, h * d] to [B, h, N, d]
        return x.view(x.shape[0], x.shape[1], self.heads, self.dim).transpose(1, 2)

    def forward(self, x):
        scores = self.split(self.q(x)) @ self.key.transpose(-1, -2) * self.dim ** -0.5 + self.bias
        mixed = torch.softmax(scores, -1) @ self.split(self.v(x))
        return self.out(mixed.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    def __init__(self, width, heads, tokens, ratio):
        super().__init__()
        self.attention = Attention(width, heads, tokens)
        self.up, self.down = LinearBN(width, width * ratio), LinearBN(width * ratio, width, 0.0)

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.down(F.gelu(self.up(x)))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.ModuleList([ConvBN(3, 64, 1), ConvBN(64, 128, 2), ConvBN(128, WIDTHS[0], 2)])
        self.stages = nn.ModuleList(nn.ModuleList(Block(WIDTHS[i], HEADS[i], TOKENS[i], RATIOS[i])
                                                  for _ in range(DEPTHS[i])) for i in range(3))
        self.shrinks = nn.ModuleList([ConvBN(WIDTHS[0], WIDTHS[1], 2), ConvBN(WIDTHS[1], WIDTHS[2], 2)])
        self.injection, self.accumulation = nn.Linear(WIDTHS[2], CLASSES), nn.Linear(WIDTHS[2], CLASSES)

    def forward(self, x):
        x = self.stem[2](F.gelu(self.stem[1](F.gelu(self.stem[0](x)))))
        for i, stage in enumerate(self.stages):
            batch, channels, height, width = x.shape
            tokens = x.flatten(2).transpose(1, 2)  # of a channels-last image: no copy
            for block in stage:
                tokens = block(tokens)
            if i < 2:
                x = F.gelu(self.shrinks[i](tokens.transpose(1, 2).reshape(batch, channels, height, width)))
        pooled = tokens.mean(1)
        return self.injection(pooled), self.accumulation(pooled)


def loss(outputs, y, stored):
    """The first half of the batch is new, the second remembered, with its logits of then."""
    injection, accumulation = outputs
    half = len(y) // 2
    return (F.cross_entropy(injection[:half], y[:half]) + F.cross_entropy(accumulation[half:], y[half:])
            + F.mse_loss(accumulation[half:], stored))


def optimiser(network, lr=LEARNING_RATE):
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=MOMENTUM, weight_decay=DECAY)
