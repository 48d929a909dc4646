#!/usr/bin/env python3
"""Writes special.txt, the values of every op of ir/ops.def at special points, by numpy and PyTorch.

usage: make_special.py > special.txt       (numpy, torch; no code of lvt takes part)

Values of pointwise rows come from the C library in long double, through numpy; derivatives, and the ops that have a file of
their own, from PyTorch in f64. Points are numbers of f32. Where lvt means something else, the line says what and why.
README.md describes the format."""
import itertools
import math

import numpy as np
import torch

torch.manual_seed(0)
np.seterr(all="ignore")
INF, NAN = math.inf, math.nan


def f32(x):
    return float(np.float32(x))


def number(x):
    x = float(x)
    if math.isnan(x):
        return "nan"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x == int(x) and abs(x) < 1e9:
        return ("-" if math.copysign(1, x) < 0 else "") + str(abs(int(x)))
    return repr(x)


def numbers(xs):
    return " ".join(number(x) for x in xs)


REASONS = dict(
    ties="at ties max and min send their gradient to b; PyTorch halves it",
    nan_slope="where an operand is NaN the result is; its gradient goes to b alone, PyTorch sends it to both",
    sign_nan="sign carries NaN; PyTorch's sign of NaN is 0",
    abs_nan="the slope of abs at NaN is NaN, as its value is; PyTorch's is 0",
    relu_nan="the slope of relu at NaN is 1: NaN flows back as it flows on",
    mod_zero="of integers a mod 0 is a, as a - (a div 0) b with a div 0 = 0; numpy gives 0",
    floor_slope="PyTorch floors (a - a mod b) / b: NaN where a is infinite, -1 where a finite a is divided by an infinity of the other sign; "
                "lvt floors a / b",
    saturates="a cast to a smaller integer type saturates; numpy keeps the low bits",
    undefined="C and PyTorch leave a float that does not fit open; lvt saturates, and makes 0 of NaN",
    no_class="one_hot of an index outside is a row of zeros; PyTorch refuses it",
    first_nan="among several NaN the first has the place; PyTorch's max_pool2d takes the last",
)

# ---- pointwise rows ------------------------------------------------------------------------------------------------------

LINE = [-INF, f32(-3e38), f32(-1e20), f32(-1e10), -20, -2, -1, -0.5, f32(-1e-42), -0.0, 0.0, f32(1e-42), 0.5, 1, 2, 20,
        f32(1e10), f32(1e20), f32(3e38), INF, NAN]
PLANE = [-INF, f32(-3e38), -2, -0.0, 0.0, f32(1e-42), 1, 3, f32(1e20), INF, NAN]
WHOLE = [-2147483648, -7, -1, 0, 2, 2147483647]
L = np.longdouble


def erf(x):
    return math.erf(x)


def gelu(a):
    a = float(a)
    return a * 0.5 * math.erfc(-a / math.sqrt(2)) if not math.isnan(a) else a


def modulo(a, b):
    r = np.fmod(a, b)
    return r + b if r != 0 and (r < 0) != (b < 0) else r


def sign(a):
    return (a > 0) * 1.0 - (a < 0) * 1.0 if not math.isnan(a) else NAN


# name: points beyond LINE or PLANE, value in long double, PyTorch's function (None: no derivative)
UNARY = dict(
    neg=([], lambda a: -a, lambda a: -a), abs=([], abs, torch.abs), sign=([], sign, None),
    floor=([2.5, -2.5, 8388607.5, -8388607.5], np.floor, None),
    exp=([88.5, 89, -87.5, -103.5, -104.5, 709], np.exp, torch.exp), log=([f32(0.9999999), f32(1.0000001)], np.log, torch.log),
    log1p=([f32(1e-10), f32(-0.9999999)], np.log1p, torch.log1p), expm1=([f32(1e-10), f32(-1e-10), 88.5, 89], np.expm1, torch.expm1),
    sqrt=([], np.sqrt, torch.sqrt), rsqrt=([], lambda a: 1 / np.sqrt(a), torch.rsqrt),
    tanh=([9, -9, 10, -10, f32(1e-10)], np.tanh, torch.tanh), erf=([3, -3, f32(3.9), f32(-4.0), 5, -5], erf, torch.erf),
    sin=([f32(math.pi), 16777216, 16777218, f32(1e7), f32(1e25), -f32(1e30)], np.sin, torch.sin),
    cos=([f32(math.pi / 2), 16777216, 16777218, f32(1e7), f32(1e25), -f32(1e30)], np.cos, torch.cos),
    relu=([], lambda a: a if not a <= 0 else L(0), torch.relu), sigmoid=([88, -88, 100, -100], lambda a: 1 / (1 + np.exp(-a)), torch.sigmoid),
    silu=([-88, -100], lambda a: a / (1 + np.exp(-a)), torch.nn.functional.silu),
    gelu=([-3, -5, -9, -100, 5, 100], gelu, torch.nn.functional.gelu), square=([], lambda a: a * a, torch.square),
    stop_gradient=([], lambda a: a, None),
)
BINARY = dict(
    add=(np.add, torch.add), sub=(np.subtract, torch.sub), mul=(np.multiply, torch.mul), div=(np.divide, torch.div),
    max=(np.maximum, torch.maximum), min=(np.minimum, torch.minimum), pow=(np.power, torch.pow), mod=(modulo, torch.remainder),
    lt=(np.less, None), le=(np.less_equal, None), gt=(np.greater, None), ge=(np.greater_equal, None), eq=(np.equal, None),
    ne=(np.not_equal, None),
)
MORE = dict(
    pow=[(-2, 0.5), (-2, 2), (-2, 3), (-2, -1), (-2, -3), (-1.5, 4), (0, 2), (0, 0.5), (-0.0, 3), (-0.0, -1), (0, -2), (2, 0.5),
         (f32(-1e10), 3), (f32(-1e20), 2), (-1, 16777215), (-1, INF), (2, 1e10), (0.5, f32(1e20)), (-3, f32(1e20))],
    mod=[(5, 3), (-5, 3), (5, -3), (f32(1e10), 3), (f32(1e20), 7), (f32(-1e20), 7), (f32(3e38), f32(1e-42)), (6, 3), (-6, 3),
         (f32(0.3), f32(0.1)), (1, INF), (-1, INF), (f32(-1e-10), 3)],
    div=[(1, 3), (f32(1e-42), f32(1e20)), (f32(3e38), 0.5)],
    mul=[(f32(1e20), f32(-1e20)), (f32(1e-20), f32(1e-25))],
)


def derivatives(f, args):
    xs = [torch.tensor(float(a), dtype=torch.float64, requires_grad=True) for a in args]
    y = f(*xs)
    return [float(g) for g in torch.autograd.grad(y, xs)]


def ours(name, args, y, d):
    """(reason, value, derivatives) where lvt differs, else None"""
    nan = [math.isnan(a) for a in args]
    if name in ("max", "min"):
        a, b = args
        to_a = a > b if name == "max" else a < b
        mine = [1.0, 0.0] if to_a else [0.0, 1.0]
        if mine != d:
            return ("nan_slope" if any(nan) else "ties", y, mine)
    if name == "abs" and nan[0]:
        return "abs_nan", y, [NAN]
    if name == "relu" and nan[0] and d != [1.0]:
        return "relu_nan", y, [1.0]
    if name == "mod" and math.isinf(args[0]) and math.isnan(d[1]):
        mine = float(-np.floor(np.float64(args[0]) / args[1]))
        if not math.isnan(mine):
            return "floor_slope", y, [d[0], mine]
    if name == "mod" and math.isinf(args[1]) and d[1] != 0 and math.isfinite(args[0]):
        return "floor_slope", y, [d[0], 0.0]
    return None


def line(name, args, y, d):
    text = "%s = %s" % (numbers(args), " ".join(number(x) + ("~" if wide(name, args, k) else "") for k, x in enumerate([y] + d)))
    other = ours(name, args, y, d) if d else None
    if other:
        text += " ! %s %s" % (other[0], numbers([other[1]] + other[2]))
    print(text)


TINY = f32(1e-42)


def wide(name, args, k):
    """What is computed in between leaves the range of f32, so that infinity or 0 comes out there."""
    return (name == "mod" and args == (TINY, f32(-3e38)) and k == 2 or name == "pow" and args == (TINY, TINY) and k == 1 or name in ("sigmoid", "silu") and args[0] in (-100,))


def rows():
    for name, (more, value, f) in UNARY.items():
        print("\nrow %s f32" % name)
        for a in LINE + more:
            y = value(L(a))
            line(name, (a,), y, derivatives(f, (a,)) if f else [])
    for name, (value, f) in BINARY.items():
        print("\nrow %s f32" % name)
        plane = PLANE if f else [-INF, -2, -0.0, 0.0, 1, INF, NAN]
        for a, b in list(itertools.product(plane, plane)) + MORE.get(name, []):
            y = value(L(a), L(b))
            line(name, (a, b), y, derivatives(f, (a, b)) if f else [])
    print("\nrow select f32")
    for c, a, b in itertools.product((0, 1), (1, -INF, NAN, 0), (2, INF, NAN)):
        print("%d %s = %s %d %d" % (c, numbers((a, b)), number(a if c else b), c, 1 - c))
    integers()


def wrap(x):
    return (int(x) + 2 ** 31) % 2 ** 32 - 2 ** 31


def integers():
    unary = dict(neg=lambda a: -a, abs=abs, sign=np.sign, floor=lambda a: a, relu=lambda a: max(a, 0), square=lambda a: a * a,
                 stop_gradient=lambda a: a)
    for name, f in unary.items():
        print("\nrow %s i32" % name)
        for a in WHOLE:
            print("%d = %d" % (a, wrap(f(a))))
    binary = dict(add=lambda a, b: a + b, sub=lambda a, b: a - b, mul=lambda a, b: a * b, div=lambda a, b: a // b if b else 0,
                  max=max, min=min, mod=lambda a, b: a % b if b else 0, lt=lambda a, b: a < b, le=lambda a, b: a <= b,
                  gt=lambda a, b: a > b, ge=lambda a, b: a >= b, eq=lambda a, b: a == b, ne=lambda a, b: a != b)
    for name, f in binary.items():
        print("\nrow %s i32" % name)
        for a, b in itertools.product(WHOLE, WHOLE):
            text = "%d %d = %d" % (a, b, wrap(f(a, b)))
            print(text + (" ! mod_zero %d" % a if name == "mod" and b == 0 and a else ""))
    logic = {"and": lambda a, b: a & b, "or": lambda a, b: a | b, "eq": lambda a, b: a == b, "ne": lambda a, b: a != b}
    for name, f in logic.items():
        print("\nrow %s bool" % name)
        for a, b in itertools.product((0, 1), (0, 1)):
            print("%d %d = %d" % (a, b, f(a, b)))
    print("\nrow not bool\n0 = 1\n1 = 0")


# ---- ops with files ------------------------------------------------------------------------------------------------------

def T(values, shape=None):
    t = torch.tensor(np.array(values, np.float32).astype(np.float64))
    return t.reshape(shape) if shape else t


def flat(t):
    return numbers(t.detach().reshape(-1).tolist())


def case(name, text, operands, f, mine_out=None, mine_grad=None, wide=()):
    """operands: tensors of f64 (differentiable) or of integers. mine_*: {index: (reason, values)} where lvt differs. wide: elements of
    the first result whose making leaves the range of f32."""
    print("\nop %s %s" % (name, text))
    xs = [x.clone().requires_grad_(x.is_floating_point()) for x in operands]
    for x in xs:
        print("in " + flat(x))
    ys = f(*xs)
    ys = ys if isinstance(ys, (list, tuple)) else [ys]
    for k, y in enumerate(ys):
        print("out " + " ".join(n + ("~" if k == 0 and i in wide else "") for i, n in enumerate(flat(y.double()).split())))
        if mine_out and k in mine_out:
            print("lvt %s %s" % (mine_out[k][0], numbers(mine_out[k][1])))
    floats = [x for x in xs if x.is_floating_point()]
    results = [y for y in ys if y.requires_grad]
    if not floats or not results:
        return
    gs = torch.autograd.grad(sum(y.sum() for y in results), floats, allow_unused=True, materialize_grads=True)
    for k, g in enumerate(gs):
        print("grad " + flat(g))
        if mine_grad and k in mine_grad:
            print("lvt %s %s" % (mine_grad[k][0], numbers(mine_grad[k][1])))


def fixed(name, text, operands, out, reason=None, reference=None):
    """Values that are plain: those of integers, and of casts that C leaves open."""
    print("\nop %s %s" % (name, text))
    for x in operands:
        print("in " + numbers(x))
    print("out " + numbers(reference if reference is not None else out))
    if reason:
        print("lvt %s %s" % (reason, numbers(out)))


S = [-INF, -0.0, f32(1e-42), 2, f32(3e38), INF, NAN, -1, 0, 1, f32(1e20), -f32(1e10)]
CL = lambda x: x.permute(0, 3, 1, 2)  # [B,H,W,C] to PyTorch's order
LC = lambda x: x.permute(0, 2, 3, 1)


def conv(x, w, **k):
    return LC(torch.nn.functional.conv2d(CL(x), w, **k))


def attention(q, k, v, bias=None, scale=1.0):
    s = q @ k.transpose(-1, -2).unsqueeze(1 if k.dim() == 3 else 0) * scale if k.dim() == 3 else q @ k.transpose(-1, -2) * scale
    if bias is not None:
        s = s + bias.unsqueeze(1)
    top = s.amax(-1, keepdim=True).detach()  # torch.logsumexp has the slopes exp(s - y), with y as it was rounded
    return torch.softmax(s, -1) @ v, (top + torch.log(torch.exp(s - top).sum(-1, keepdim=True))).squeeze(-1)


def moves():
    x = T(S, (3, 4))
    case("cast", "f32[12] {dtype = f64}", [T(S)], lambda x: x)
    case("cast", "f32[12] {dtype = bf16}", [T(S)], lambda x: x.to(torch.bfloat16).double())
    wide = [NAN, INF, -INF, 3e9, -3e9, 2.9, -2.9, -0.0, f32(1e-42), 2147483520, -2147483648, 300, -1, 255.5, 256]
    wide = [f32(v) for v in wide]
    clip = lambda v, lo, hi: 0 if math.isnan(v) else lo if v <= lo else hi if v >= hi else int(v)
    fixed("cast", "f32[15] {dtype = i32}", [wide], [clip(v, -2 ** 31, 2 ** 31 - 1) for v in wide], "undefined", [NAN] * 3 + [INF, -INF] + [int(v) for v in wide[5:]])
    fixed("cast", "f32[15] {dtype = u8}", [wide], [clip(v, 0, 255) for v in wide], "undefined",
          [NAN] * 5 + [2, NAN, 0, 0, NAN, NAN, NAN, NAN, 255, NAN])
    fixed("cast", "f32[15] {dtype = bool}", [wide], [float(bool(np.float32(v))) for v in wide])
    fixed("cast", "i32[6] {dtype = f32}", [WHOLE[:5] + [2147483520]], WHOLE[:5] + [2147483520])
    fixed("cast", "i32[6] {dtype = u8}", [WHOLE], [min(max(v, 0), 255) for v in WHOLE], "saturates", [v & 255 for v in WHOLE])
    fixed("iota", "{dtype = f32, shape = [2, 3], axis = 1}", [], [0, 1, 2, 0, 1, 2])
    fixed("constant", "{dtype = f32, shape = [2], values = [1e10, -0.5]}", [], [1e10, -0.5])
    case("reshape", "f32[12] {shape = [4, 3]}", [T(S)], lambda x: x.reshape(4, 3))
    case("transpose", "f32[3,4] {order = [1, 0]}", [x], lambda x: x.t())
    case("broadcast", "f32[12] {shape = [2, 12]}", [T(S)], lambda x: x.expand(2, 12))
    case("slice", "f32[12] {axis = 0, begin = 1, end = 12, step = 2}", [T(S)], lambda x: x[1:12:2])
    case("pad", "f32[12] {axis = 0, before = 1, after = 2, value = 1e10}", [T(S)], lambda x: torch.nn.functional.pad(x, (1, 2), value=1e10))
    case("concat", "f32[3,4], f32[3,4] {axis = 1}", [x, x], lambda a, b: torch.cat([a, b], 1))
    case("copy", "f32[3,4]", [x], lambda x: x)
    case("gather", "f32[3,4], i32[3] {axis = 0}", [x, torch.tensor([2, 0, 2])], lambda x, i: x[i])
    far = torch.tensor([-2147483648, -1, 1, 3, 2147483647])
    case("gather", "f32[3,4], i32[5] {axis = 0}", [x, far], lambda x, i: x[i.clamp(0, 2)])
    case("gather_grad", "f32[5,2], i32[5] {axis = 0, size = 3}", [T([1, NAN, INF, 2, -INF, 3, 4, 5, INF, 6], (5, 2)), far],
                 lambda d, i: torch.zeros(3, 2, dtype=torch.float64).index_add(0, i.clamp(0, 2), d))
    fixed("one_hot", "i32[5] {size = 3}", [[-2147483648, -1, 1, 3, 2147483647]], [0] * 6 + [0, 1, 0] + [0] * 6, "no_class", [NAN] * 6 + [0, 1, 0] + [NAN] * 6)


def sums():
    rows = [[1, 2, 3], [INF, 1, 2], [INF, -INF, 0], [NAN, 1, 2], [1, 2, NAN], [f32(3e38), f32(3e38), 0], [-INF, -INF, -INF], [-0.0, -0.0, -0.0],
            [f32(1e-42), f32(1e-42), 0], [0, 1, 0]]
    x, n = T(rows), len(rows)
    case("reduce_sum", "f32[%d,3] {axes = [1]}" % n, [x], lambda x: x.sum(1))
    case("reduce_mean", "f32[%d,3] {axes = [1]}" % n, [x], lambda x: x.mean(1), wide=(5,))
    case("reduce_max", "f32[%d,3] {axes = [1]}" % n, [x], lambda x: x.amax(1))
    case("reduce_max", "f32[3,%d] {axes = [0]}" % n, [x.t().contiguous()], lambda x: x.amax(0))
    fixed("argmax", "f32[%d,3] {axis = 1}" % n, [np.array(rows).reshape(-1)], [int(torch.argmax(r)) for r in x])
    fixed("argmax", "i32[2,3] {axis = 1}", [[-2147483648, 2147483647, 2147483647, -1, -2147483648, -1]], [1, 0])
    for name, f in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
        case(name, "f32[%d,3]" % n, [x], lambda x: f(x, -1))
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    case("cross_entropy", "f32[%d,3], i32[%d]" % (n, n), [x, labels], lambda x, l: torch.nn.functional.cross_entropy(x, l, reduction="none"))
    masked = T([[1, -INF, 2], [-1e9, -1e9, 0], [f32(3e38), 0, 0], [-200, -201, -202]])
    case("cross_entropy", "f32[4,3], i32[4]", [masked, torch.tensor([1, 0, 1, 2])], lambda x, l: torch.nn.functional.cross_entropy(x, l, reduction="none"))
    case("cross_entropy", "f32[2,3], i32[2]", [masked[2:], torch.tensor([-1, 2147483647])], lambda x, l: torch.logsumexp(x, 1))
    ones, zeros = T([1, 1, 1]), T([0, 0, 0])
    norm = T([[1, 2, 3], [5, 5, 5], [NAN, 1, 2], [INF, 1, 2], [f32(1e-20), 0, f32(-1e-20)], [f32(1e15), 0, f32(-1e15)], [0, 0, 0]])
    case("layer_norm", "f32[7,3], f32[3], f32[3]", [norm, ones, zeros], lambda x, g, b: torch.nn.functional.layer_norm(x, (3,), g, b, 1e-5))
    def bn(x, g, b):
        m, v = x.mean(0), x.var(0, unbiased=False)
        return (x - m) / torch.sqrt(v + 1e-5) * g + b, m, v
    batch = T([[1, 5, NAN, INF, f32(1e15), 0], [2, 5, 1, 1, 0, 0], [3, 5, 2, 2, f32(-1e15), 0]])
    case("batch_norm", "f32[3,6], f32[6], f32[6]", [batch, T([1] * 6), T([0] * 6)], bn)
    case("all_reduce", "f32[12] {ranks = 2}", [T(S)], lambda x: x * 2)
    case("all_reduce", "f32[12] {reduce = \"max\", ranks = 2}", [T(S)], lambda x: x * 1)


def products():
    a = T([[1, 2], [INF, 1], [NAN, 1], [f32(3e38), 2], [0, 0]])
    b = T([[1, 0, 2], [3, 1, -1]])
    case("matmul", "f32[5,2], f32[2,3]", [a, b], lambda a, b: a @ b)
    case("matmul", "f32[2,3], f32[3,5] ", [b, torch.cat([a.t(), T([[1, 1, 1, 1, 0]])])], lambda a, b: a @ b)
    def image(h, w, c, at):
        x = torch.zeros(1, h, w, c, dtype=torch.float64)
        x[0] = torch.arange(h * w * c, dtype=torch.float64).reshape(h, w, c) % 7 - 3
        for (i, j, k), v in at.items():
            x[0, i, j, k] = v
        return x
    w = (torch.arange(2 * 2 * 9, dtype=torch.float64).reshape(2, 2, 3, 3) % 5) - 1.5
    for at in ({(0, 0, 0): INF}, {(3, 3, 1): NAN}, {(1, 2, 0): f32(3e38)}):
        case("conv2d", "f32[1,6,6,2], f32[2,2,3,3] {padding = [1]}", [image(6, 6, 2, at), w], lambda x, w: conv(x, w, padding=1))
    dy = image(3, 3, 2, {(1, 1, 0): NAN, (2, 2, 1): INF})
    case("conv2d_grad_input", "f32[1,3,3,2], f32[2,2,3,3] {stride = [2], padding = [1], height = 6, width = 6}", [dy, w],
         lambda d, w: LC(torch.nn.grad.conv2d_input((1, 2, 6, 6), w, CL(d), stride=2, padding=1)))
    case("conv2d_grad_weight", "f32[1,3,3,2], f32[1,6,6,2] {stride = [2], padding = [1], kernel = [3, 3]}", [image(3, 3, 2, {}), image(6, 6, 2, {(0, 0, 0): NAN, (5, 5, 1): INF})],
         lambda d, x: torch.nn.grad.conv2d_weight(CL(x), (2, 2, 3, 3), CL(d), stride=2, padding=1))
    p = image(4, 4, 1, {(0, 0, 0): NAN, (0, 3, 0): INF, (3, 0, 0): -INF, (2, 0, 0): -INF, (3, 1, 0): -INF, (2, 1, 0): -INF})
    case("max_pool2d", "f32[1,4,4,1] {kernel = [2, 2]}", [p], lambda x: LC(torch.nn.functional.max_pool2d(CL(x), 2)))
    q = image(4, 4, 1, {(1, 1, 0): NAN, (2, 2, 0): NAN})
    case("max_pool2d", "f32[1,4,4,1] {kernel = [3, 3], stride = [1, 1]}", [q], lambda x: LC(torch.nn.functional.max_pool2d(CL(x), 3, 1)),
         mine_grad={0: ("first_nan", [0, 0, 0, 0, 0, 4, 0, 0] + [0] * 8)})
    case("avg_pool2d", "f32[1,4,4,1] {kernel = [2, 2]}", [p], lambda x: LC(torch.nn.functional.avg_pool2d(CL(x), 2)))
    d = T([1, INF, NAN, 2], (1, 2, 2, 1))
    def pool_grad(d, x):
        x = x.detach().requires_grad_()
        y = LC(torch.nn.functional.max_pool2d(CL(x), 2))
        return torch.autograd.grad(y, x, d, create_graph=True)[0]
    case("max_pool2d_grad", "f32[1,2,2,1], f32[1,4,4,1] {kernel = [2, 2]}", [d, image(4, 4, 1, {(1, 1, 0): INF, (3, 3, 0): INF})], pool_grad)
    def avg_grad(d):
        x = torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
        return LC(torch.autograd.grad(torch.nn.functional.avg_pool2d(x, 2), x, CL(d), create_graph=True)[0])
    case("avg_pool2d_grad", "f32[1,2,2,1] {kernel = [2, 2], height = 4, width = 4}", [d], avg_grad)


def attentions():
    q = T([[1, 2], [NAN, 1], [f32(1e20), 0], [0, 0]], (1, 1, 4, 2))
    k = T([[1, 0], [0, 1], [1, 1]], (1, 1, 3, 2))
    v = T([[1, 2], [3, 4], [5, 6]], (1, 1, 3, 2))
    mask = T([[0, -INF, 0], [0, 0, 0], [0, 0, 0], [-INF, 0, -INF]], (1, 4, 3))
    case("attention", "f32[1,1,4,2], f32[1,1,3,2], f32[1,1,3,2], f32[1,4,3]", [q, k, v, mask], attention)
    blocked = mask.clone()
    blocked[0, 1] = -INF
    case("attention", "f32[1,1,4,2], f32[1,1,3,2], f32[1,1,3,2], f32[1,4,3]", [T([[1, 2], [1, 1], [0, 1], [0, 0]], (1, 1, 4, 2)), k, v, blocked], attention)
    qf, bf = T([[1, 2], [1, 1], [0, 1], [0, 0]], (1, 1, 4, 2)), T([[0, -INF, 0]] + [[0, 0, 0]] * 2 + [[-INF, 0, -INF]], (1, 4, 3))
    y, l = attention(qf, k, v, bf)
    dy = T([[1, 0], [INF, 1], [NAN, 0], [1, 1]], (1, 1, 4, 2))
    y, l = torch.tensor(y.numpy().astype(np.float32).astype(np.float64)), torch.tensor(l.numpy().astype(np.float32).astype(np.float64))
    def back(dy, q, k, v, y, l, b):
        s = q @ k.transpose(-1, -2) + b.unsqueeze(1)
        p = torch.exp(s - l.unsqueeze(-1))
        ds = p * (dy @ v.transpose(-1, -2) - (dy * y).sum(-1, keepdim=True))
        return ds @ k, ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ dy, ds.sum(1)
    with torch.no_grad():
        case("attention_grad", "f32[1,1,4,2], f32[1,1,4,2], f32[1,1,3,2], f32[1,1,3,2], f32[1,1,4,2], f32[1,1,4], f32[1,4,3]",
             [dy, qf, k, v, y, l, bf], back)


def main():
    print("# Special points of every op of ir/ops.def. Made by make_special.py with numpy %s and PyTorch %s; README.md says how to read it." %
          (np.__version__, torch.__version__.split("+")[0]))
    for name, text in REASONS.items():
        print("reason %s: %s" % (name, text))
    for name, text in dict(input="a value from outside", state="a value from outside", gradient="replaced by pass autodiff; every grad line goes through it",
                           fused="its body's values; every kernel here runs one",
                           random_uniform="its bits are known numbers, tests/ir/test_sweep_math.c has them").items():
        print("none %s: %s" % (name, text))
    rows()
    moves()
    sums()
    products()
    attentions()


if __name__ == "__main__":
    main()
