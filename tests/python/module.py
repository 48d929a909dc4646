"""The module against lvt-run, which has the same library without Python around it; lifetimes; mistakes."""
import gc
import os
import subprocess
import threading
import warnings

import numpy as np

import lvt

RUN = os.environ["LVT_RUN"]
rng = np.random.default_rng(3)
p = lvt.Program("tiny.lvtx")


def fails(kind, words, call):
    try:
        call()
    except kind as e:
        assert words in str(e), (words, str(e))
        return
    raise AssertionError(f"{kind} with {words!r} was expected")


# ---- what a program holds
assert p.name == "lvt_tiny" and p.settings["classes"] == "10" and list(p.entries)[:3] == ["train_new", "train", "predict"]
e = p.entries["train_new"]
assert e.training and not p.entries["predict"].training and e.flops > 0 and e.working_bytes > 0
assert e.inputs["x"].shape == (32, 8, 8, 1) and e.inputs["x"].dtype == "f32" and e.inputs["y"].dtype == "i32"
assert e.inputs["x"].default is None and abs(e.inputs["lr"].default - 0.1) < 1e-6 and e.inputs["lr"].shape == ()
assert "lvt-tiny.lvt:" in e.inputs["x"].place or "continual.lvt:" in e.inputs["x"].place
assert {t.role for t in p.states.values()} == {"parameter", "state"}
assert sum(s.flops for s in p.steps("train_new")) > 0 and len(p.steps("train_new")) == e.n_steps
assert "train_new(x: f32[32,8,8,1]" in repr(e)

# ---- three steps give the bits of lvt-run step
x = rng.random((3, 32, 8, 8, 1), np.float32)
y = rng.integers(0, 10, (3, 32)).astype(np.int32)
mask = np.ones((3, 10), np.float32)
lvt.write_safetensors("in.safetensors", {"x": x, "y": y, "mask": mask})
subprocess.run([RUN, "step", "tiny.lvtx", "--entry", "train_new", "--inputs", "in.safetensors", "--seed", "5", "--threads", "1",
                "--save-outputs", "out.safetensors", "--save-states", "states.safetensors"], check=True,
               stdout=subprocess.DEVNULL)
s = p.session(threads=1, seed=5)
assert s.threads == 1
first = s.state_dict()
outs = [s.run("train_new", x=x[i], y=y[i], mask=mask[i]) for i in range(3)]
wanted, _ = lvt.read_safetensors("out.safetensors")
assert set(wanted) == set(e.outputs)
for name in wanted:
    assert (np.stack([o[name] for o in outs]).reshape(wanted[name].shape) == wanted[name]).all(), name
wanted, _ = lvt.read_safetensors("states.safetensors")
assert set(wanted) == set(p.states) == set(s.states)
for name in wanted:
    assert s.states[name].tobytes() == wanted[name].tobytes(), name
assert any((first[n] != wanted[n]).any() for n in wanted)
# Weights go in: a program that starts from the file, and a session that takes them over.
q = lvt.Program("tiny.lvtx", weights="states.safetensors")
other = q.session(threads=1, entries=["predict"])
s2 = p.session(threads=1, seed=9)
s2.load_state_dict(wanted)
xp = rng.random((64, 8, 8, 1))
assert (other.run("predict", x=xp)["logits"] == s.run("predict", x=xp)["logits"]).all()
assert (s2.run("predict", x=xp)["logits"] == s.run("predict", x=xp)["logits"]).all()
other.run("train_new", x=x[0], y=y[0], mask=mask[0])  # kernels that were not asked for are made now
s2.reset(5)
assert all((s2.states[n] == first[n]).all() for n in first)

# ---- states without copies
name = "accumulation.weight"
w = s.states[name]
assert w.base is not None and w.flags.writeable and np.shares_memory(w, s.states[name])
before = s.run("predict", x=xp)["logits"]
w *= 2  # an array that was handed out before the run
doubled = s.run("predict", x=xp)["logits"]
assert (doubled == 2 * before).all()  # linear, without bias: exact
s.states[name] = w / 2
assert (s.run("predict", x=xp)["logits"] == before).all()
held = w.copy()
s.run("train_new", x=x[0], y=y[0], mask=mask[0])
assert (w != held).any()  # the run has changed it
view = s.run("predict", x=xp, copy=False)["logits"]
kept = view.copy()
s.close()
program_gone = p
del s, p
gc.collect()
assert (view == kept).all() and w.sum() == w.copy().sum()  # the memory is there as long as an array is
del view
p = program_gone
s = p.session(threads=1, seed=5)
loop = [s, p.session(threads=1)]
loop.append(loop)  # a circle of sessions and their program is ended in any order
del loop
gc.collect()

# ---- several threads of Python wait for each other
alone = s.run("predict", x=xp)["logits"]
found = []
threads = [threading.Thread(target=lambda: found.append((s.run("predict", x=xp)["logits"] == alone).all())) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
assert found == [True] * 4

# ---- inputs: converted where nothing but digits is lost
a = s.run("predict", x=xp.astype(np.float32)[::1, ::-1][:, ::-1])["logits"]  # not contiguous
assert (a == alone).all()
s.run("train_new", x=x[0], y=y[0].astype(np.int64), mask=np.ones(10, bool), lr=1)
fails(ValueError, "(64, 8, 8, 1) is wanted", lambda: s.run("predict", x=xp[:5]))
fails(TypeError, "float64 is no i32", lambda: s.run("train_new", x=x[0], y=y[0] * 1.5, mask=mask[0]))
fails(ValueError, "does not fit", lambda: s.run("train_new", x=x[0], y=y[0].astype(np.int64) + 2**40, mask=mask[0]))
fails(KeyError, "did you mean 'predict'", lambda: s.run("predct", x=xp))
fails(KeyError, "there is no input of predict 'xx'", lambda: s.run("predict", xx=xp))
fails(KeyError, "did you mean 'accumulation.weight'", lambda: s.states["acumulation.weight"])
fails(lvt.Error, "E701", lambda: s.run("predict"))
fails(lvt.FileError, "none.lvtx", lambda: lvt.Program("none.lvtx"))
fails(OSError, "none.lvtx", lambda: lvt.Program("none.lvtx"))
fails(lvt.Error, "not", lambda: lvt.Program("in.safetensors"))
fails(KeyError, "no such state: nothing", lambda: s.load_state_dict({"nothing": 1}))
fails(ValueError, "is wanted", lambda: s.load_state_dict({name: np.zeros(3)}, strict=False))
fails(ValueError, "not a safetensors", lambda: lvt.read_safetensors("tiny.lvtx"))

# ---- checks, times, soundness
s.check("predict", x=xp)
fails(lvt.UsageError, "profile", lambda: s.times("predict"))
s.profile()
s.run("predict", x=xp)
times = s.times("predict")
assert sum(t.runs > 0 for t in times) > 0 and sum(t.seconds for t in times) > 0
assert s.unsound() is None
s.states[name][0, 0] = np.nan
assert s.unsound() == (name, 0)
s.close()
fails(lvt.UsageError, "closed", lambda: s.run("predict", x=xp))

# ---- the compiler: its words, settings
with open("wrong.lvt", "w") as f:
    f.write("model wrong {\n  entry go(x: f32[2, 3], y: f32[4, 5]) { return z = x @ y }\n}\n")
fails(lvt.Error, "wrong.lvt:2:", lambda: lvt.compile("wrong.lvt"))
fails(lvt.Error, "E", lambda: lvt.compile("none.lvt"))
small = lvt.compile(os.environ["SOURCE"] + "/models/lvt-tiny.lvt", "small.lvtx", classes=3, soft=True, predict_batch=2)
assert small.entries["predict"].outputs["logits"].shape == (2, 3) and "mix" in small.entries["train"].inputs
assert os.path.exists("small.lvtx")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    p.session(threads=os.cpu_count() + 5, entries=[])
assert any(issubclass(w.category, lvt.Warning) for w in caught), "a warning of the library"

# ---- safetensors: all kinds of elements, both ways
kinds = {k: np.arange(6).reshape(2, 3).astype(k) for k in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")}
kinds["scalar"], kinds["empty"] = np.float32(2.5), np.zeros((0, 4), np.float32)
lvt.write_safetensors("kinds.safetensors", kinds, {"who": "caf\u00e9"})
back, about = lvt.read_safetensors("kinds.safetensors")
assert about == {"who": "caf\u00e9"} and set(back) == set(kinds)
for k, v in kinds.items():
    assert back[k].dtype == np.asarray(v).dtype and back[k].shape == np.shape(v) and (back[k] == v).all(), k
fails(ValueError, "cannot be stored", lambda: lvt.write_safetensors("c.safetensors", {"c": np.zeros(2, complex)}))
assert not os.path.exists("c.safetensors") and not [f for f in os.listdir(".") if f.endswith(".tmp")]

# Everything public has a docstring of its own.
for name, one in vars(lvt).items():
    if name.startswith("_") or not isinstance(one, type):
        continue
    assert one.__dict__.get("__doc__"), name
    for part, value in vars(one).items():
        value = getattr(value, "__func__", value)
        if not part.startswith("_") and (callable(value) or isinstance(value, property)):
            assert value.__doc__, f"{name}.{part}"
print("module: all as wanted")
