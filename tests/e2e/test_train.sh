#!/bin/bash
# A model file is compiled, learns the embedded digits task after task, is evaluated and names a picture.
source "$1/tests/e2e/lib.bash"

run train $PROGRAM --data digits --tasks 5 --memory 100 --epochs 3 --seed 1 --threads 1 --out run >out.txt
grep -q "average accuracy" out.txt && grep -q "forgetting" out.txt || fail "no result in the output"
for file in settings.json metrics.jsonl accuracy.csv confusion.csv accuracy.svg memory.png report.html task-01.safetensors task-05.safetensors; do
    [ -s run/$file ] || fail "run/$file is missing"
done
[ "$(head -1 run/accuracy.csv)" = scenario,after_task,task,classes,accuracy,names ] || fail "head of accuracy.csv"
[ "$(grep -c ^class_il run/accuracy.csv)" = 15 ] && [ "$(grep -c ^task_il run/accuracy.csv)" = 15 ] || fail "rows of accuracy.csv"
grep -q '^class_il,5,3,4 5,' run/accuracy.csv || fail "original labels in accuracy.csv"
[ "$(grep -c '"type":"metrics"' run/metrics.jsonl)" = 5 ] || fail "records of metrics.jsonl"

# The page: nothing is fetched, no script runs; every remembered image up to 16 a class is on it; a drawing a loss term.
! grep -qE "<script|<link rel='stylesheet'|url\(|@import|src=|href='[^d#]|href='data:[^i,]" run/report.html || fail "report.html is not self-contained"
[ "$(grep -o "<use href='#m" run/report.html | wc -l)" = 100 ] || fail "images of the memory on the page"
# Attention: four images, three blocks of 2, 4 and 4 heads and their means. Drift: after every task but the first.
[ "$(grep -o "class='map'" run/report.html | wc -l)" = 52 ] || fail "attention maps on the page"
[ "$(grep -c '"type":"drift"' run/metrics.jsonl)" = 4 ] || fail "drift in metrics.jsonl"
grep '"type":"drift"' run/metrics.jsonl | head -1 | grep -qE '"state":"stage1.0.attention.key","since_previous_task":0\.0[0-9]+,"since_first_task":0\.0' || fail "drift of a key"
[ "$(wc -c <run/report.html)" -lt 200000 ] || fail "the page has $(wc -c <run/report.html) bytes"
for words in "Class-IL" "over j of a\[T\]\[j\]" "Confusion" "Calibration" ">distill<" ">drift<" "Forgetting as tasks" "Keys, since the first task" ">shrink<" "policy confidence" "seed" "Machine"; do
    grep -q "$words" run/report.html || fail "no $words in report.html"
done
[ "$(grep -o '<svg' run/report.html | wc -l)" = "$(grep -o '</svg>' run/report.html | wc -l)" ] || fail "drawings are not closed"

# Far above chance (10% and 50%) after 3 epochs; what the classifier learned last is not all it knows.
awk -F, '$1 == "class_il" && $2 == 5 { c += $5 / 5 } $1 == "task_il" && $2 == 5 { t += $5 / 5 }
         END { print "Class-IL", c, "Task-IL", t; exit !(c > 0.4 && t > 0.8) }' run/accuracy.csv || fail "accuracy is too low"

# eval gives the last row of the matrix again, from the checkpoint.
run eval $PROGRAM --checkpoint run/task-05.safetensors --data digits --threads 1 --json >eval.json
for task in 1 2 3 4 5; do
    value=$(awk -F, -v t=$task '$1 == "class_il" && $2 == 5 && $3 == t { print $5 }' run/accuracy.csv)
    grep '"class_il"' eval.json | sed -n "${task}p" | grep -o '[0-9.]*' | awk -v v="$value" '{ exit !($1 - v < 1e-6 && v - $1 < 1e-6) }' ||
        fail "eval differs from the run in task $task"
done
expect 0 "Task-IL" run eval $PROGRAM --checkpoint run/task-02.safetensors --data digits --threads 1
grep -q "after 2 of 5 tasks" expected.txt || fail "tasks of an earlier checkpoint"

# The first digit of the set, a zero, as a picture.
echo iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAQElEQVR42mNgYAg43y/AAALn389/HwCkDd4rMKxvADIc9jMwNIAYAUCiHyyynkFgfwGQoXA/YP5+sK6E8/OBJACpbBJQq85vHwAAAABJRU5ErkJggg== |
    base64 -d >zero.png
expect 0 "%  0" run predict $PROGRAM --checkpoint run/task-01.safetensors --threads 1 zero.png
[ "$(grep -c % expected.txt)" = 2 ] || fail "only the two classes learned so far may be answered"
sed -n 2p expected.txt | grep -q "%  0" || fail "the zero is not recognised after task 1"
expect 0 '"probability"' run predict $PROGRAM --checkpoint run/task-05.safetensors --threads 1 --json zero.png zero.png
[ "$(grep -c '"picture"' expected.txt)" = 2 ] || fail "two pictures"
expect 1 "the model takes 8x8" run predict $PROGRAM --checkpoint run/task-05.safetensors run/memory.png
expect 0 "%" run predict $PROGRAM --checkpoint run/task-05.safetensors --resize run/memory.png

# Every policy fills the memory, and each in its own way.
for policy in confidence random herding reservoir; do
    run train $PROGRAM --data digits --tasks 2 --memory 20 --steps 3 --memory-policy $policy --threads 1 --quiet --out $policy >/dev/null
    grep -q '"after_task":2,"remembered":20' $policy/metrics.jsonl || fail "$policy does not fill the memory"
    [ $policy = confidence ] || differ confidence/task-02.safetensors $policy/task-02.safetensors
done

# Trials measure less and say so everywhere. What they train is the same, and so is what they measure of it.
trial() { run train $PROGRAM --data digits --tasks 5 --memory 20 --epochs 1 --seed 1 --threads 1 --quiet "$@"; }
trial --out full >/dev/null
trial --out trial --eval-every 2 --test-images 57 >out.txt
grep -q "This was a trial: 57 test images, measured every 2 tasks" out.txt || fail "a trial that does not say so"
grep -q "trial: 57 test images" trial/report.html && ! grep -q "trial:" full/report.html full/metrics.jsonl || fail "the page of a trial"
[ "$(grep '"type":"metrics"' trial/metrics.jsonl | grep -c '"trial":"57 test images, measured every 2 tasks"')" = 5 ] ||
    fail "records of a trial"
[ "$(grep '"type":"accuracy"' trial/metrics.jsonl | grep -o '"after_task":[0-9]*' | sort -u | tr -d '\n')" = \
    '"after_task":2"after_task":4"after_task":5' ] || fail "after which tasks a trial measures"
grep -q '^class_il,2,1,0 1,[0-9.]*,"0; 1","57 test images, measured every 2 tasks"$' trial/accuracy.csv || fail "accuracy.csv of a trial"
[ "$(awk -F, 'NR > 1 { n = 0; for (i = 3; i <= NF; i++) n += $i; printf "%d ", n }' trial/confusion.csv)" = "6 6 6 6 6 6 6 5 5 5 " ] ||
    fail "images of each class in a trial"
python3 - full/task-05.safetensors trial/task-05.safetensors <<'P' || fail "a trial trains something else"
import json, struct, sys
def states(path):
    data = open(path, "rb").read()
    n, = struct.unpack("<Q", data[:8])
    return {k: data[8 + n + v["data_offsets"][0] : 8 + n + v["data_offsets"][1]]
            for k, v in json.loads(data[8 : 8 + n]).items() if k != "__metadata__"}
a, b = map(states, sys.argv[1:])
differ = [k for k in a if a[k] != b[k] and (not k.startswith("lvt:") or k.startswith("lvt:memory"))]
assert a.keys() == b.keys() and not differ, differ
P
trial --out every --eval-every 2 >/dev/null
diff <(grep -E "^[a-z_]+,[245]," full/accuracy.csv) <(cut -d, -f1-6 every/accuracy.csv | tail -n +2) || fail "a trial measures something else"
expect 0 "lvt (trial: 57 test images, measured every 2 tasks)" run compare full trial
run compare full trial --format markdown --output table.md
grep -qF "| lvt (trial: 57 test images, measured every 2 tasks) | 1 |" table.md || fail "a table in Markdown"
expect 2 "there are 10 classes" trial --out no --test-images 9
expect 2 "there are 355 test images" trial --out no --test-images 355
expect 2 "fewer tasks" trial --out no --eval-every 6
expect 2 "leaves out" trial --out no --eval-every 2 --fwt
