"""What a newcomer types: compile, train on made-up pictures, ask, keep the weights."""
import sys

import numpy as np

import lvt

p = lvt.compile(sys.argv[1], classes=4)
s = p.session(threads=2, seed=1)
rng = np.random.default_rng(0)


def pictures(n):
    y = rng.integers(0, 4, n)
    x = rng.random((n, 8, 8, 1), np.float32)
    x[np.arange(n), y * 2] += 2  # a bright row
    return x, y


for step in range(100):
    x, y = pictures(32)
    out = s.run("train_new", x=x, y=y, mask=np.ones(4), lr=0.1)
x, y = pictures(64)
right = (s.run("predict", x=x)["logits"].argmax(1) == y).mean()
lvt.write_safetensors("weights.safetensors", s.state_dict())
print(f"loss {out['loss']:.3f}, {right:.0%} right")

assert out["loss"] < 1 and right > 0.9
again = p.session(seed=7)
again.load_state_dict(lvt.read_safetensors("weights.safetensors")[0])
assert (again.run("predict", x=x)["logits"] == s.run("predict", x=x)["logits"]).all()
