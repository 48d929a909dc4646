"""The long form of test_export.sh: exported models in onnxruntime on CIFAR-100, and every operator set.
usage: check_models.py BUILD_FOLDER SOURCE_FOLDER CIFAR100_FOLDER WORK_FOLDER [PART|MODEL]...

Parts: predict (all 10,000 test images, three models), train (10 steps of lvt-s on real batches, plain and as
training_info, and imported again), methods (a few steps of each method and optimiser on lvt-tiny), opsets (13 to 24, three models, three
kinds of files). Models named, such as lvt-s: only these."""
import os
import subprocess
import sys
import time

import numpy as np

import lvtonnx

BUILD, SOURCE, CIFAR, WORK = sys.argv[1:5]
OPSETS = range(13, 25)
ALL = ("lvt-tiny", "lvt-s", "lvt")
MODELS = [m for m in ALL if m in sys.argv[5:]] or ALL
PARTS = [p for p in sys.argv[5:] if p not in ALL] or ["predict", "train", "methods", "opsets"]


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def lvtc(model, *options):
    return run(f"{BUILD}/lvtc", model if model.endswith(".onnx") else f"{SOURCE}/models/{model}.lvt", *options)


def cifar(name):
    """Pixels [n, 32, 32, 3] and fine labels of the binary files."""
    raw = np.fromfile(f"{CIFAR}/{name}.bin", np.uint8).reshape(-1, 3074)
    return raw[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), raw[:, 1].astype(np.int32)


def images(pixels, model):
    """As the driver feeds them; for lvt-tiny 8x8 in grey."""
    x = pixels.astype(np.float32) / np.float32(255)
    if model == "lvt-tiny":
        x = x.reshape(-1, 8, 4, 8, 4, 3).mean((2, 4, 5), dtype=np.float32)[..., None]
    return (x - STATISTICS[model][0]) / STATISTICS[model][1]


def settings(model, batch=100):
    return ["--set", f"predict_batch={batch}", "--set", "classes=100"]


def batches(x, y, steps, size, seed):
    """steps x size images drawn without replacement."""
    chosen = np.random.default_rng(seed).permutation(len(x))[:steps * size].reshape(steps, size)
    return x[chosen], y[chosen]


def trained(model, train, steps=30):
    """Weights after some steps on real images: those a network starts with give logits near 0."""
    x, y = batches(*train, steps, 32, 1)
    lvtonnx.write("first.in", {"x": images(x.reshape(-1, 32, 32, 3), model).reshape(steps, 32, *SHAPES[model]), "y": y,
                               "mask": np.ones(100, np.float32)})
    run(f"{BUILD}/lvt-run", "step", f"{model}.lvtx", "--entry", "train_new", "--inputs", "first.in", "--save-states",
        f"{model}.weights")
    return f"{model}.weights"


SHAPES = {"lvt-tiny": (8, 8, 1), "lvt-s": (32, 32, 3), "lvt": (32, 32, 3)}
STATISTICS = {}


def predict(model, train, test):
    lvtc(model, *settings(model), "-o", f"{model}.lvtx")
    weights = trained(model, train)
    x = images(test[0], model)
    lvtonnx.write("all.in", {"x": x.reshape(100, 100, *x.shape[1:])})
    run(f"{BUILD}/lvt-run", "step", f"{model}.lvtx", "--entry", "predict", "--inputs", "all.in", "--weights", weights,
        "--save-outputs", "all.out")
    lvtc(model, *settings(model), "--emit=onnx", "--weights", weights, "-o", f"{model}.onnx")
    text = lvtonnx.check(f"{model}.onnx")
    exported, expected = lvtonnx.Model(f"{model}.onnx"), lvtonnx.read("all.out")
    got = {k: [] for k in expected}
    for part in np.split(x, 40):  # another batch than the program's
        for k, v in exported.run({"x": part}).items():
            got[k].append(v)
    for k, v in expected.items():
        ours, theirs = v.reshape(10000, 100), np.concatenate(got[k])
        worst, same = np.abs(ours - theirs).max(), np.sum(ours.argmax(1) == theirs.argmax(1))
        print(f"{model} predict, {k}: {text}; largest difference {worst:.2e} of logits up to {np.abs(ours).max():.1f}, "
              f"top-1 equal for {same} of 10000 (right: {np.sum(ours.argmax(1) == test[1])})", flush=True)
        assert worst < 1e-4 and same == 10000
    # The same with pixels in and probabilities out.
    if model == "lvt-tiny":  # whose pictures have no pixels of 0 to 255 here
        return
    mean, deviation = (",".join(f"{v:.9g}" for v in np.atleast_1d(s)) for s in STATISTICS[model])
    lvtc(model, *settings(model), "--emit=onnx", "--weights", weights, "--with-preprocessing", "--mean", mean, "--deviation",
         deviation, "-o", "pixels.onnx")
    lvtonnx.check("pixels.onnx")
    pixels = lvtonnx.Model("pixels.onnx")
    parts = [pixels.run({"x": part}) for part in np.split(test[0][:1000], 4)]
    logits = expected["logits"].reshape(10000, 100)[:1000].astype(np.float64)
    wanted = np.exp(logits - logits.max(1, keepdims=True))
    wanted /= wanted.sum(1, keepdims=True)
    worst = np.abs(np.concatenate([p["probabilities"] for p in parts]) - wanted).max()
    same = np.sum(np.concatenate([p["label"] for p in parts]) == logits.argmax(1))
    print(f"{model} predict from pixels: largest difference of a probability {worst:.2e}, label equal for {same} of 1000",
          flush=True)
    assert worst < 1e-4 and same == 1000


def step_inputs(model, train, steps, weights, program):
    """Real batches for entry train: new images, others as remembered ones, with the network's own logits for them."""
    x, y = batches(*train, 2 * steps, 32, 2)
    x = images(x.reshape(-1, 32, 32, 3), model).reshape(2 * steps, 32, *SHAPES[model])
    lvtonnx.write("memory.in", {"x": x[steps:]})
    run(f"{BUILD}/lvt-run", "step", program, "--entry", "predict", "--inputs", "memory.in", "--weights", weights,
        "--save-outputs", "memory.out")
    return {"x": x[:steps], "y": y[:steps], "xm": x[steps:], "ym": y[steps:], "zm": lvtonnx.read("memory.out")["logits"],
            "zm_mask": np.ones((32, 100), np.float32), "mask": np.ones(100, np.float32), "gamma": np.array(1e-5, np.float32)}


def compare_steps(name, path, feeds, steps, tolerance):
    text, model = lvtonnx.check(path), lvtonnx.Model(path)
    expected, states = lvtonnx.read("step.out"), lvtonnx.read("step.states")
    worst = {}
    for step in range(steps):
        feed = {k: np.asarray(v[step, ...] if v.ndim and len(v) == steps and k in PER_STEP else v) for k, v in feeds.items()}
        got = model.run(feed)
        for k, v in expected.items():
            worst[k] = max(worst.get(k, 0), abs(float(got[k]) - float(v[step])) / max(1, abs(float(v[step]))))
    drift = {k: lvtonnx.difference(v, states[k]) for k, v in model.states.items() if k in states}
    key = max(drift, key=drift.get)
    print(f"{name}: {text}; losses {expected['loss'][0]:.6f} to {expected['loss'][-1]:.6f} in {steps} steps, "
          f"largest difference {max(worst.values()):.2e} ({max(worst, key=worst.get)}), of {len(drift)} states "
          f"{drift[key]:.2e} ({key}), median {np.median(list(drift.values())):.1e}", flush=True)
    assert len(drift) == len(model.states) and max(worst.values()) < tolerance and drift[key] < tolerance


PER_STEP = ("x", "y", "xm", "ym", "zm")


def record(program, feeds, weights):
    lvtonnx.write("step.in", {k: np.asarray(v, dtype=v.dtype) for k, v in feeds.items()})
    run(f"{BUILD}/lvt-run", "step", program, "--inputs", "step.in", "--weights", weights, "--save-outputs", "step.out",
        "--save-states", "step.states")


def train_steps(train, steps=10):
    model = "lvt-s"
    lvtc(model, *settings(model, 32), "-o", f"{model}.lvtx")
    weights = trained(model, train)
    feeds = step_inputs(model, train, steps, weights, f"{model}.lvtx")
    record(f"{model}.lvtx", feeds, weights)
    for kind in ([], ["--training-info"]):
        lvtc(model, *settings(model, 32), "--emit=onnx", "--entry", "train", "--weights", weights, *kind, "-o", "step.onnx")
        # At rate 0.1 a step amplifies what rounding put into gradients of norm 5 a few times.
        compare_steps(" ".join([model, "train", *kind]), "step.onnx", feeds, steps, 2e-3)
        # And back: imported, it goes on as the original does.
        lvtc("step.onnx", "--set", "batch=32", "-o", "back.lvtx")
        run(f"{BUILD}/lvt-run", "step", "back.lvtx", "--entry", "train", "--inputs", "step.in", "--save-outputs", "back.out",
            "--save-states", "back.states")
        for part, least, tolerance in (("out", 6, 1e-4), ("states", 80, 2e-3)):
            there, back = lvtonnx.read("step." + part), lvtonnx.read("back." + part)
            differ = {k: lvtonnx.difference(back[k], there[k]) for k in back}
            worst = max(differ, key=differ.get)
            print(f"{' '.join([model, 'train', *kind])}, imported again: {len(back)} {part} differ by {differ[worst]:.2e} "
                  f"({worst})", flush=True)
            assert set(back) <= set(there) and len(back) >= least and differ[worst] < tolerance


def methods(steps=4):
    """Every method of the table, with every optimiser and soft labels, on lvt-tiny."""
    model = "lvt-tiny"
    for method in lvtonnx.methods(SOURCE):
        for more in ([], ["momentum=0.9", "nesterov=true"], ["optimizer=adamw"], ["soft=true"]):
            # AdamW's step has the length of the rate, 0.001, whatever a gradient's is: one that is 0 but for rounding (of a
            # bias before a norm) moves its parameter by up to that to either side, and the statistics behind it.
            tolerance = 2 * 0.001 * steps if more == ["optimizer=adamw"] else 1e-3, 1e-6  # largest, median
            chosen = [*settings(model, 32), "--set", f"method={method}"]
            for s in more:
                chosen += ["--set", s]
            lvtc(model, *chosen, "-o", "method.lvtx")
            for entry in ["train"] if more else ["train_new", "train"]:
                run(f"{BUILD}/lvt-run", "step", "method.lvtx", "--entry", entry, "-n", steps, "--save-inputs", "step.in",
                    "--save-outputs", "step.out", "--save-states", "step.states")
                for kind in [[]] if more else [[], ["--training-info"]]:
                    lvtc(model, *chosen, "--emit=onnx", "--entry", entry, *kind, "-o", "method.onnx")
                    said = lvtonnx.compare("method.onnx", "step.in", "step.out", "step.states", 1e-4, *tolerance)
                    print(" ".join([method, *more, *kind, entry]) + ": " + said, flush=True)


def opsets():
    for model in MODELS:
        for kind in (["--entry", "predict"], ["--entry", "train"], ["--training-info"]):
            good = []
            for opset in OPSETS:
                lvtc(model, "--emit=onnx", *kind, "--opset", opset, "-o", "opset.onnx")
                lvtonnx.check("opset.onnx")
                good.append(opset)
            print(f"{model} {' '.join(kind)}: operator sets {good[0]} to {good[-1]} pass", flush=True)


def main():
    os.makedirs(WORK, exist_ok=True)
    os.chdir(WORK)
    os.environ.setdefault("XDG_CACHE_HOME", os.path.join(WORK, "cache"))
    start = time.time()
    if {"predict", "train"} & set(PARTS):
        train, test = cifar("train"), cifar("test")
        pixels = train[0].reshape(-1, 3)
        color = (pixels.mean(0) / 255).astype(np.float32), (pixels.std(0) / 255).astype(np.float32)
        grey = (np.float32(color[0].mean()), np.float32(color[1].mean()))
        STATISTICS.update({"lvt-tiny": grey, "lvt-s": color, "lvt": color})
    if "predict" in PARTS:
        for model in MODELS:
            predict(model, train, test)
    if "train" in PARTS:
        train_steps(train)
    if "methods" in PARTS:
        methods()
    if "opsets" in PARTS:
        opsets()
    print(f"all agree, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
