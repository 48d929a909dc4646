#!/bin/bash
# The live view of train and sweep, looked at on a terminal: it is redrawn in place, fits, and leaves the terminal in order.
source "$1/tests/e2e/lib.bash"
command -v python3 >/dev/null || { echo "python3 is not there"; exit 77; }
cat >digits.sweep <<END
model = $SOURCE/models/lvt-tiny.lvt
tasks = 2
steps = 300
epochs = 60
threads = 1
validation = 20%
seeds = 1..2
[replay]
memory = 50
try lr = 0.05 0.1
END
PYTHONPATH=$SOURCE/tests/e2e PYTHONDONTWRITEBYTECODE=1 python3 - "$BUILD/lvt-run" "$PROGRAM" <<'END'
import os, shutil, signal, subprocess, sys, time
from terminal import Program

def train(*more, columns=120, rows=40, **environment):
    shutil.rmtree("run", ignore_errors=True)
    return Program([sys.argv[1], "train", sys.argv[2], "--data", "digits", "--tasks", "5", "--memory", "100", "--epochs", "100",
                    "--threads", "1", "--log-every", "10", "--out", "run", *more], columns, rows, **environment)

def in_order(p):
    assert p.screen.visible, "the cursor is hidden"
    assert p.raw.count("\x1b[?25l") == p.raw.count("\x1b[?25h"), "a frame without an end"
    assert not p.screen.pending

def frame(p, *words):
    """What is drawn in place is on the screen once, whatever was drawn before."""
    text = "\n".join(p.screen.lines)
    for word in words:
        assert text.count(word) == 1, f"{text.count(word)} times {word!r}:\n{text}"

# Everything is there; Ctrl-C stops, takes it away and leaves what was printed.
# (--fwt: drawn before there is a task, too.)
p = train("--epochs", "20", "--fwt").until("task 2/5 learned").until("after 2").until("▁")
frame(p, "run   ", "task 3/5  ", "memory   ", "images/s", "Class-IL     1   2   3   4   5   mean  Task-IL ", "total  ", "distill  ")
assert p.screen.wraps == 0 and p.screen.colours > 0 and "█" in p.screen.text() and "▁" in p.screen.text(), p.screen.text()
in_order(p.kill(signal.SIGINT).end())
assert p.code == 130 and "stopped in task" in p.screen.text(), p.screen.text()
assert "images/s" not in p.screen.text() and "█" not in p.screen.text(), p.screen.text()
frame(p, "task 1/5 learned", "task 2/5 learned")

# Narrower and wider while it runs.
p = train("--epochs", "10000").until("total  ")
for columns, rows in (70, 30), (44, 24), (30, 40), (110, 30):
    p.resize(columns, rows)
    p.read(0.7)
    wraps = p.screen.wraps
    p.read(0.5)
    assert p.screen.wraps == wraps, f"a line is wider than {columns}"
frame(p, "run   ", "images/s", "total  ")
# Ended without a word: nothing is left to repair.
p.kill(signal.SIGKILL).end()
in_order(p)
assert p.code == -signal.SIGKILL

# More tasks than columns: those that are being learned are seen.
p = train("--data", "permuted:30:digits", "--tasks", "30", "--memory", "300", "--epochs", "1", "--steps", "1", columns=60).until("after 2 ")
assert "Domain-IL    1   2   3 " in p.screen.text(), p.screen.text()
in_order(p.kill(signal.SIGTERM).end())

# A small terminal, one of a few lines, no colours, no Unicode.
p = train(columns=20, rows=5).until("task 1/5").until("run")
p.read(1)
in_order(p.kill(signal.SIGTERM).end())
p = train(NO_COLOR="1").until("total  ")
assert p.screen.colours == 0 and "─" in p.screen.text()
p.kill(signal.SIGTERM).end()
p = train(LANG="C").until("total  ")
assert "---" in p.screen.text() and p.raw.isascii()
in_order(p.kill(signal.SIGTERM).end())

# An error is readable.
p = train("--lr", "1e9", "--coef", "clip=0").end()
in_order(p)
assert p.code == 1 and "training diverged" in p.screen.text() and "images/s" not in p.screen.text(), p.screen.text()

# Lines: on a dumb terminal, when asked for, in a pipe; nothing but the result with --quiet.
for more, environment in ((), {"TERM": "dumb"}), (("--plain",), {}):
    p = train("--steps", "20", *more, **environment).end()
    assert p.code == 0 and "\x1b" not in p.raw and "  step 20/20" in p.raw, p.raw
p = train("--steps", "20", "--quiet").end()
assert p.code == 0 and "\x1b" not in p.raw and "learned" not in p.raw and "average accuracy" in p.raw, p.raw
shutil.rmtree("run")
out = subprocess.run(p_args := [sys.argv[1], "train", sys.argv[2], "--data", "digits", "--tasks", "2", "--steps", "20", "--threads", "1",
                     "--out", "run"], capture_output=True, text=True, check=True).stdout
assert "\x1b" not in out and "\r" not in out and "task 2/2  epoch 1/1  step 20/20" in out, out

# The sweep: a line a child; what is done stays above.
p = Program([sys.argv[1], "sweep", "digits.sweep", "--data", "digits", "--jobs", "2"], 120, 40).end(seconds=400)  # six runs, on a busy machine under sanitizers too
assert p.code == 0 and "replay (trial: at most 300 steps a task)     2" in p.screen.text(), p.screen.text()
in_order(p)
assert "of 4 done" not in p.screen.text() and p.screen.text().count(": done in") == 4, p.screen.text()
assert "of 4 done" in p.raw and "running" in p.raw
END
