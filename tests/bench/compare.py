#!/usr/bin/env python3
"""One training step of lvt-s (32 new and 32 remembered images) side by side: lvt's compiled program and PyTorch eager.

The two run in turns, each in a process of its own with the same number of threads, so that a machine that changes its
speed does so for both. PyTorch gets what makes it fast: channels-last images, an allocator that keeps its blocks
mapped, one OpenMP team. `lvt-run bench` measures the processor's peak around each of its runs; a round whose peak is
more than 5% below the best one seen is shown, but left out of the medians.

Needs a release build (make programs) and PyTorch: Debian's python3-torch with libopenblas0-openmp, or
`--venv FOLDER`, where the package index's torch is installed into a virtual environment at first use.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Blocks stay mapped: without this PyTorch spends a third of its step in page faults.
PYTORCH_ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592",
                       "MALLOC_TOP_PAD_": "268435456"}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    p.add_argument("--steps", type=int, default=20, help="timed steps a turn (default 20)")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--build", default=os.path.join(ROOT, "build", "release"), help="folder with lvtc and lvt-run")
    p.add_argument("--model", default=os.path.join(ROOT, "models", "lvt-s.lvt"))
    p.add_argument("--python", default="/usr/bin/python3", help="interpreter that has torch")
    p.add_argument("--venv", metavar="FOLDER", help="use the package index's torch, installed here")
    return p.parse_args()


def venv_python(folder):
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
    return python


def run_json(command, environment):
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}")
    return json.loads(done.stdout)


def main():
    a = arguments()
    python = venv_python(a.venv) if a.venv else a.python
    lvtx = os.path.join(a.build, "compare.lvtx")
    subprocess.run([os.path.join(a.build, "lvtc"), a.model, "-o", lvtx], check=True)
    lvt = [os.path.join(a.build, "lvt-run"), "bench", lvtx, "--entry", "train", "--json", "--warm-up", "5",
           "--steps", str(a.steps), "--threads", str(a.threads)]
    torch = [python, os.path.join(HERE, "torch_step.py"), "--steps", str(a.steps), "--threads", str(a.threads)]
    threads = {"OMP_NUM_THREADS": str(a.threads)}

    rounds = []
    print(f"{'round':>5} {'lvt ms':>9} {'PyTorch ms':>11} {'ratio':>6} {'peak GFLOP/s':>13}", flush=True)
    for i in range(a.rounds):
        ours = run_json(lvt, {})
        theirs = run_json(torch, {**PYTORCH_ENVIRONMENT, **threads})
        peaks = ours["peak_before_gflops"], ours["peak_after_gflops"]
        rounds.append((ours, theirs, max(peaks), min(peaks)))
        print(f"{i + 1:5} {ours['median_ms']:9.2f} {theirs['median_ms']:11.2f} "
              f"{theirs['median_ms'] / ours['median_ms']:6.2f} {max(peaks):13.1f}", flush=True)

    best = max(r[2] for r in rounds)
    kept = [r for r in rounds if r[3] >= 0.95 * best]
    if not kept:
        print("the peak was never steady within 5%: all rounds are used, read the result with care")
        kept = rounds
    ours = statistics.median(r[0]["median_ms"] for r in kept)
    theirs = statistics.median(r[1]["median_ms"] for r in kept)
    ratio = statistics.median(r[1]["median_ms"] / r[0]["median_ms"] for r in kept)
    flops = kept[0][0]["flops"]

    def share(ms):
        return 100 * flops / (ms * 1e6) / best

    print(f"\n{len(kept)} of {len(rounds)} rounds used; peak {best:.0f} GFLOP/s; {flops / 1e9:.2f} GFLOP a step as lvt "
          f"counts them; {a.threads} threads")
    print(f"lvt      {ours:8.2f} ms  {share(ours):5.1f}% of the peak")
    print(f"PyTorch  {theirs:8.2f} ms  {share(theirs):5.1f}% of the peak  (torch {kept[0][1]['torch']}, eager, "
          "channels-last)")
    print(f"PyTorch takes {ratio:.2f} times as long (median of the rounds' ratios)")


if __name__ == "__main__":
    main()
