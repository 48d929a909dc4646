#!/usr/bin/env python3
"""Writes onnx.txt: ONNX operators at special points, by PyTorch in f64 (numpy where it has no such function).

usage: make_onnx.py > onnx.txt       (torch, numpy; no code of lvt takes part)

README.md describes the format."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from make_special import INF, LINE, NAN, T, f32, number, numbers

np.seterr(all="ignore")
MORE = dict(
    Elu=[f32(1e-6), f32(-1e-6)], Selu=[f32(-1e-6)], Celu=[f32(-1e-6)], Softplus=[-100, -50, 39, 40, 41], Mish=[-100, -50, 41],
    Asinh=[f32(1e-6), f32(1e5), f32(-1e5), f32(1e9)], Acosh=[f32(1.0000001), f32(1e5), f32(1e9)], Atanh=[f32(1e-6), f32(0.9999999)],
    Sinh=[f32(1e-6), 88.5, 89, 89.5, -89], Cosh=[88.5, 89, 89.5, -89], Asin=[f32(1e-6), f32(0.9999999)], Acos=[f32(0.9999999)],
    Round=[1.5, 2.5, -0.5, -1.5, f32(0.49999997), 8388609, -8388609, 4194304.5], Tan=[f32(1e7), f32(1e25), f32(math.pi / 2)],
    HardSigmoid=[3, -3], HardSwish=[3, -3], Clip=[3], Shrink=[0.5, -0.5], ThresholdedRelu=[1],
    Gelu=[-3, -5, -9, 5, 9], Atan=[f32(1e-6)],
)


def emit(name, attributes, operands, outs, grads, wide=(), wide_grads=()):
    print("\nmodel %s%s" % (name, "".join(" %s=%s" % kv for kv in attributes.items())))
    for shape, values, constant in operands:
        print("%s f32[%s] %s" % ("given" if constant else "in", ",".join(map(str, shape)), numbers(values)))
    for kind, shape, values in outs:
        print("out %s[%s] %s" % (kind, ",".join(map(str, shape)), " ".join(number(x) + ("~" if i in wide else "") for i, x in enumerate(values))))
    for shape, values in grads:
        print("grad " + " ".join(number(x) + ("~" if i in wide_grads else "") for i, x in enumerate(values)))


def case(name, f, x, attributes=None, given=(), gradient=True, fix=None, wide=()):
    """f: of one tensor, to one tensor. given: more operands, known when importing. fix(x, y, g): where lvt differs, with the reason in
    a comment of REASONS."""
    x = x.clone().requires_grad_(gradient)
    y = f(x)
    outs = [("f32", y.shape, y.detach().reshape(-1).tolist())]
    grads = []
    if gradient:
        g, = torch.autograd.grad(y.sum(), x)
        g = g.reshape(-1).tolist()
        if fix:
            g = fix(x.detach().reshape(-1).tolist(), g)
        grads = [(x.shape, g)]
    operands = [(x.shape, x.detach().reshape(-1).tolist(), False)] + [(np.shape(v), np.reshape(v, -1).tolist(), True) for v in given]
    values = x.detach().reshape(-1).tolist()
    far = [i for i, a in enumerate(values) if name in ("Sinh", "Cosh") and abs(a) == 89]  # twice the slope is infinite in f32
    emit(name, attributes or {}, operands, outs, grads, wide, far)


def at(slopes):
    """The slopes of lvt where PyTorch has other ones: limits that PyTorch computes as infinity times 0, and (-inf)^0.5, which is
    infinite, not the root."""
    return lambda x, g: [slopes.get(a, b) for a, b in zip(x, g)]


def outside(low, high):
    """Outside of its domain a function has no slope; PyTorch's is that of a formula."""
    return lambda x, g: [b if math.isnan(a) or low <= a <= high else NAN for a, b in zip(x, g)]


def at_nan(slope):
    """At NaN: as the value is computed."""
    return lambda x, g: [slope if math.isnan(a) else b for a, b in zip(x, g)]


def curves():
    line = lambda name: T(LINE + MORE.get(name, []))
    each = [
        ("Relu", torch.relu, {}, at_nan(1)), ("Elu", F.elu, {}, at_nan(NAN)), ("Selu", F.selu, {}, at_nan(NAN)),
        ("Celu", lambda x: F.celu(x, 2.0), dict(alpha=2.0), at_nan(NAN)), ("LeakyRelu", lambda x: F.leaky_relu(x, 0.1), dict(alpha=0.1), None),
        ("Softplus", F.softplus, {}, at_nan(NAN)), ("Softsign", F.softsign, {}, None), ("Mish", F.mish, {}, None),
        ("HardSigmoid", F.hardsigmoid, dict(alpha=f32(1 / 6), beta=0.5), at_nan(0)), ("HardSwish", hard_swish, {}, None),
        ("Gelu", F.gelu, {}, None), ("Gelu", lambda x: F.gelu(x, approximate="tanh"), dict(approximate="tanh"), at({-INF: 0, INF: 1})),
        ("ThresholdedRelu", lambda x: F.threshold(x, 1, 0), dict(alpha=1.0), at_nan(1)),
        ("Shrink", lambda x: F.hardshrink(x, 0.5), dict(lambd=0.5, bias=0.0), at_nan(1)),
        ("Tan", torch.tan, {}, None), ("Atan", torch.atan, {}, None), ("Asin", torch.asin, {}, None), ("Acos", torch.acos, {}, None),
        ("Sinh", torch.sinh, {}, None), ("Cosh", torch.cosh, {}, None), ("Asinh", torch.asinh, {}, None), ("Acosh", torch.acosh, {}, outside(1, INF)),
        ("Atanh", torch.atanh, {}, None), ("Round", torch.round, {}, None), ("Ceil", torch.ceil, {}, None), ("Sign", sign, {}, None),
        ("Reciprocal", torch.reciprocal, {}, None),
    ]
    for name, f, attributes, fix in each:
        case(name, f, line(name), attributes, fix=fix, gradient=name not in ("Round", "Ceil", "Sign"))
    case("Clip", lambda x: torch.clamp(x, -2, 3), line("Clip"), given=(np.float32(-2), np.float32(3)), fix=at_nan(0))
    case("PRelu", lambda x: F.prelu(x, T([0.25])), line("PRelu"), given=(np.float32([0.25]),), fix=at_nan(0.25))
    for p in (2, 3, -1, 0.5, 0, 1, 1.5, -2):
        case("Pow", lambda x: torch.pow(x, p), line("Pow"), given=(np.float32(p),), fix=at({-INF: INF}) if p == 1.5 else None)
    fmod()


def hard_swish(x):
    return x * F.hardsigmoid(x)


def sign(x):
    return torch.where(torch.isnan(x), x, torch.sign(x))


def fmod():
    xs = np.array(LINE + [0.9, f32(1e25), -7, 7], np.float32).astype(np.float64)
    for b in (3.0, f32(0.3), -3.0, INF, 0.0):
        emit("Mod", dict(fmod=1), [(xs.shape, xs.tolist(), False), ((), [b], True)], [("f32", xs.shape, np.fmod(xs, b).tolist())], [])


ROWS = [[1, 2, -3], [0, 0, 0], [-INF, -INF, -INF], [-INF, 0, 1], [INF, 1, 2], [NAN, 1, 2], [1, 2, NAN], [100, 101, 102], [-200, -201, -202],
        [f32(3e38), 1, 0], [f32(1e-20), 0, 0], [INF, INF, 0], [5, 5, 5]]


def log_sum_exp(x):
    return torch.logsumexp(x, 1)


def normalised(p):
    def f(x):
        size = torch.linalg.vector_norm(x, p, 1, keepdim=True)
        return x / torch.where(size == 0, 1.0, size)
    return f


def sums():
    x = T(ROWS)
    rows = dict(axes="1", keepdims=0)
    nothing = [r == [-INF] * 3 for r in ROWS for _ in r]  # has no slope
    case("ReduceLogSumExp", log_sum_exp, x, rows, fix=lambda x, g: [0.0 if n else b for n, b in zip(nothing, g)])
    case("ReduceL2", lambda x: torch.linalg.vector_norm(x, 2, 1), T([r for r in ROWS if f32(1e-20) not in r and f32(3e38) not in r]), rows)
    case("ReduceL1", lambda x: torch.linalg.vector_norm(x, 1, 1), x, rows, fix=at_nan(NAN))
    case("ReduceMax", lambda x: x.amax(1), x, rows)
    case("ReduceMin", lambda x: x.amin(1), x, rows)
    case("ReduceLogSum", lambda x: torch.log(x.sum(1)), x, rows)
    case("ReduceSumSquare", lambda x: (x * x).sum(1), T([r for r in ROWS if f32(1e-20) not in r]), rows)
    finite = T([[1, 2, -3], [0, 0, 0], [NAN, 1, 2], [5, 5, 5]])
    case("LpNormalization", normalised(2), finite, dict(axis=1, p=2))
    case("LpNormalization", normalised(1), finite, dict(axis=1, p=1), fix=at_nan(NAN))
    case("GlobalLpPool", lambda x: torch.linalg.vector_norm(x, 2, (2, 3), keepdim=True), T([[3, 4, 0, 0], [0, 0, 0, 0], [NAN, 1, 2, 3]], (1, 3, 2, 2)), dict(p=2))
    case("GlobalLpPool", lambda x: torch.linalg.vector_norm(x, 3, (2, 3), keepdim=True), T([[3, -4, 1, 2], [0, 0, 0, 0]], (1, 2, 2, 2)), dict(p=3))
    case("LpPool", lambda x: torch.linalg.vector_norm(x, 2, (2, 3), keepdim=True), T([[3, 4, 0, 0], [0, 0, 0, 0]], (1, 2, 2, 2)), dict(p=2, kernel_shape="2,2"))
    case("MeanVarianceNormalization", lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / (torch.where(
        (x - x.mean((0, 2, 3), keepdim=True)).square().mean((0, 2, 3), keepdim=True) == 0, 0.0, 1.0) *
        torch.sqrt(torch.clamp((x - x.mean((0, 2, 3), keepdim=True)).square().mean((0, 2, 3), keepdim=True), min=1e-300)) + 1e-9),
        T([[1, 2, 3, 4], [NAN, 1, 2, 3]], (1, 2, 2, 2)))
    for name, f in (("Softmax", torch.softmax), ("LogSoftmax", torch.log_softmax)):
        case(name, lambda x: f(x, 1), x, dict(axis=1))
    for name, f in (("ArgMax", torch.argmax), ("ArgMin", torch.argmin)):
        emit(name, dict(axis=1, keepdims=0), [(x.shape, x.reshape(-1).tolist(), False)], [("i64", (len(ROWS),), first(f, x))], [])
    case("MaxPool", lambda x: F.max_pool2d(x, 2), T([[NAN, 1, INF, 2, 3, 4, 5, 6, -INF, -INF, 0, 1, -INF, -INF, NAN, 2]], (1, 1, 4, 4)), dict(kernel_shape="2,2", strides="2,2"))
    t = T([[3, NAN, 1, INF, -INF, 2], [f32(-3.3e38), -INF, 0, f32(-3.4e38), 5, 4]])
    for largest in (1, 0):
        y, at = torch.topk(t, 6, 1, bool(largest))
        emit("TopK", dict(axis=1, largest=largest), [(t.shape, t.reshape(-1).tolist(), False), ((1,), [6], True)],
             [("f32", y.shape, y.reshape(-1).tolist()), ("i64", at.shape, at.reshape(-1).tolist())], [])
    two = T([[1, NAN, INF], [NAN, -INF, 2]])
    other = [2, 1, NAN, 1, -INF, NAN]
    for name, f in (("Max", torch.maximum), ("Min", torch.minimum)):
        case(name, lambda x: f(x, T(other, (2, 3))), two, given=(np.float32(other).reshape(2, 3),), gradient=False)


def first(f, x):
    best = []
    for row in x:
        nan = torch.isnan(row)
        best.append(int(torch.nonzero(nan)[0]) if nan.any() else [i for i, v in enumerate(row) if v == row[f(row)]][0])
    return best


if __name__ == "__main__":
    print("# ONNX operators at special points. Made by make_onnx.py with numpy %s and PyTorch %s; README.md says how to read it." %
          (np.__version__, torch.__version__.split("+")[0]))
    curves()
    sums()
