#!/bin/bash
# Event files for TensorBoard, read by a reader of their own: what metrics.jsonl says, once, also after kill -9.
source "$1/tests/e2e/lib.bash"
command -v python3 >/dev/null || { echo "python3 is not there"; exit 77; }
settings="--data digits --tasks 3 --memory 30 --epochs 4 --threads 1 --log-every 7 --checkpoint-every 10 --quiet"
scalars() { PYTHONDONTWRITEBYTECODE=1 python3 "$SOURCE/tests/e2e/event_file.py" "$1"/tensorboard/*tfevents* || fail "$1: the event file cannot be read"; }
# Everything but times, memory and energy, which differ from run to run.
values() { scalars "$1" | grep -vE "images_per_second|task_seconds|peak_memory_bytes|energy_joules"; }

run train $PROGRAM $settings --out whole >/dev/null
scalars whole >whole.txt
python3 - <<'END' || fail "the event file is not what metrics.jsonl says"
import json, struct
rounded = lambda v: struct.unpack("f", struct.pack("f", v))[0]
have = [line.split() for line in open("whole.txt")]
have = {(tag, int(step)): float(value) for tag, step, value in have}
assert len(have) == sum(1 for _ in open("whole.txt")), "a tag has two values in one step"
want = {}
for record in map(json.loads, open("whole/metrics.jsonl")):
    if record["type"] == "train":
        for name, v in record.items():
            if name.startswith("loss"):
                want["loss/" + (name[5:] or "total"), record["global_step"]] = v
        for name in "lr", "images_per_second":
            want["train/" + name, record["global_step"]] = record[name]
    elif record["type"] == "accuracy":
        for name in "class_il", "task_il":
            want[f"{name}/task_{record['task']:02}", record["after_task"]] = record[name]
    elif record["type"] == "drift":
        for s in record["states"]:
            for name in "since_previous_task", "since_first_task":
                want[f"drift_{name}/{s['state']}", record["after_task"]] = s[name]
    elif record["type"] != "checkpoint": # which has nothing to draw
        assert record["type"] == "metrics", record
        for scenario in "class_il", "task_il":
            for name, v in record[scenario].items():
                if v is not None:
                    want[f"{scenario}/{name}", record["after_task"]] = v
        for name in "remembered", "calibration_error", "task_seconds", "peak_memory_bytes", "energy_joules":
            if record[name] is not None: # energy: where the kernel tells
                want["metrics/" + name, record["after_task"]] = record[name]
assert have.keys() == want.keys(), have.keys() ^ want.keys()
assert all(have[k] == rounded(want[k]) for k in want), [(k, have[k], want[k]) for k in want if have[k] != rounded(want[k])]
assert ("class_il/forgetting", 3) in have and any(v == 0 for v in have.values()) # a zero is there too
END

# Killed at any moment, with a torn record at the end, and resumed: the same values, every one once.
"$BUILD/lvt-run" train $PROGRAM $settings --out killed >/dev/null &
child=$!
for pause in 0.5 0.4 0.3; do
    sleep $pause
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
    [ -e killed/settings.json ] || break
    head -c 20 /dev/urandom | cat - >>"$(ls killed/tensorboard/*tfevents* 2>/dev/null || echo /dev/null)"
    "$BUILD/lvt-run" train $PROGRAM --out killed --resume --quiet >/dev/null &
    child=$!
done
wait $child || true
if [ -e killed/settings.json ]; then run train $PROGRAM --out killed --resume --quiet >/dev/null; else run train $PROGRAM $settings --out killed >/dev/null; fi
cmp <(values whole) <(values killed) || fail "a resumed run has other events"
[ "$(ls killed/tensorboard | wc -l)" = 1 ] || fail "several event files"

# A file that was lost is written anew; a folder that cannot be is an error that says so.
rm -r killed/tensorboard
run train $PROGRAM --out killed --resume --quiet >/dev/null
cmp <(values whole) <(values killed) || fail "a lost event file was not written again"
rm -r killed/tensorboard
touch killed/tensorboard
expect 1 "tensorboard" run train $PROGRAM --out killed --resume --quiet
