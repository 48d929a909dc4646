#!/bin/bash
# Every method learns, is told apart from the others, and goes on after kill -9 to the same bits; validation images.
source "$1/tests/e2e/lib.bash"
settings="--data digits --tasks 3 --steps 12 --seed 3 --threads 1 --checkpoint-every 5 --quiet --validation 10%"
train() { run train "$@"; }

declare -A remembers=([lvt]=60 [er]=60 [der++]=60 [er-ace]=60 [a-gem]=60 [finetune]=0 [joint]=0 [lwf]=0 [ewc]=0 [icarl]=60)
for method in "${!remembers[@]}"; do
    "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set method=$method -o $method.lvtx
    memory="--memory ${remembers[$method]}"
    train $method.lvtx $settings $memory --out whole-$method >/dev/null
    "$BUILD/lvt-run" train $method.lvtx $settings $memory --out killed-$method >/dev/null &
    child=$!
    # In the middle of the second task, when there is something to remember.
    while kill -0 $child 2>/dev/null && [ ! -e killed-$method/task-01.safetensors ]; do sleep 0.005; done
    sleep 0.0$((RANDOM % 10))
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
    train $method.lvtx --out killed-$method --resume --quiet >/dev/null
    same whole-$method/task-03.safetensors killed-$method/task-03.safetensors
    for file in accuracy.csv confusion.csv; do cmp whole-$method/$file killed-$method/$file || fail "$method: $file differs"; done
done
for a in "${!remembers[@]}"; do
    for b in "${!remembers[@]}"; do
        [ "$a" = "$b" ] || differ whole-$a/task-03.safetensors whole-$b/task-03.safetensors
    done
done

# A method's usual coefficients hold where the model has no default of its own.
mkdir plain
cp "$SOURCE"/models/*.lvt plain
sed -i 's/gamma: f32\[\] = 1e-5/gamma: f32[]/' plain/continual.lvt
"$BUILD/lvtc" plain/lvt-tiny.lvt --set method=ewc -o plain.lvtx
run train plain.lvtx $settings --out plain-ewc >/dev/null
same whole-ewc/task-03.safetensors plain-ewc/task-03.safetensors

# A class that icarl remembers no image of is never its answer.
train icarl.lvtx --data digits --tasks 2 --epochs 12 --seed 3 --threads 1 --quiet --memory 10 --memory-policy reservoir --out few >/dev/null
python3 - <<'END'
import csv, json, struct
data = open("few/task-02.safetensors", "rb").read()
n, = struct.unpack("<Q", data[:8])
begin, end = json.loads(data[8:8 + n])["lvt:memory.labels"]["data_offsets"]
labels = set(struct.unpack(f"<{(end - begin) // 4}i", data[8 + n + begin:8 + n + end]))
rows = list(csv.reader(open("few/confusion.csv")))
absent = [c for c in range(10) if c not in labels]
assert absent, "all classes are remembered"
for c in absent:
    column = rows[0].index(str(c))
    assert all(row[column] == "0" for row in rows[1:]), f"class {c} is answered without exemplars"
END

# A method of one's own is a block in a file of one's own, and its name is own; with coefficients it is a record.
mkdir models
cp "$SOURCE"/models/*.lvt models
cat >own.lvt <<'END'
import "nn.lvt"
import "methods.lvt"
import "continual.lvt"

block twice(s) {
    let new = masked_cross_entropy(new_of(s, s.out.accumulation), s.y, s.mask)
    let replay = masked_cross_entropy(memory_of(s, s.out.accumulation), s.ym, s.mask)
    return loss = new + s.weight_of_old * replay, loss_new = new, loss_replay = replay
}

model own {
    block network(x) { return relu(linear(reshape(x, [dim(x, 0), 64]), 32)) }
    use continual(network, image = [8, 8, 1], classes = 10,
                  own = record(usual, loss = twice, coefficients = record(weight_of_old = 2.0)))
}
END
"$BUILD/lvtc" own.lvt --models models -o own.lvtx
expect 0 "method own" train own.lvtx --data digits --tasks 2 --steps 2 --memory 20 --threads 1 --out own
expect 0 "method own" train own.lvtx --data digits --tasks 2 --steps 2 --memory 20 --threads 1 --coef weight_of_old=0 --out own-0
differ own/task-02.safetensors own-0/task-02.safetensors
sed -i 's/own = record(usual, loss = twice.*/own = er_loss)/' own.lvt # a loss alone
"$BUILD/lvtc" own.lvt --models models -o loss.lvtx
expect 0 "method own" train loss.lvtx --data digits --tasks 2 --steps 2 --memory 20 --threads 1 --out own-loss
"$BUILD/lvtc" own.lvt --models models --set method=er -o own-er.lvtx # the library's are there as well
expect 0 "method er" train own-er.lvtx --data digits --tasks 2 --steps 2 --memory 20 --threads 1 --out own-er

# In the library it is a record of methods.lvt with its place in the list, and a row of method.def, without which the
# driver refuses it.
sed -i 's/^let methods = \[/let mine = record(usual, name = "mine", loss = er_loss)\nlet methods = [mine, /' models/methods.lvt
"$BUILD/lvtc" models/lvt-tiny.lvt --set method=mine -o mine.lvtx
expect 1 "no such method" train mine.lvtx $settings --memory 20 --out mine
grep -q "has no setting .method., or method = \"own\"" expected.txt || fail "no word on losses of one's own"
expect 1 "no such method" "$BUILD/lvtc" models/lvt-tiny.lvt --set method=another -o another.lvtx

# Stopped in the middle of a task by a step limit is not a kill, but what a teacher said must come back from the file.
"$BUILD/lvt-run" train lwf.lvtx $settings --out stopped >/dev/null &
child=$!
while kill -0 $child 2>/dev/null && [ ! -e stopped/task-02.safetensors ]; do sleep 0.005; done
kill -TERM $child 2>/dev/null || true
wait $child 2>/dev/null || true
train lwf.lvtx --out stopped --resume --quiet >/dev/null
same whole-lwf/task-03.safetensors stopped/task-03.safetensors

# What each promises, at digits' scale: fine-tuning forgets, joint training does not, replay lies between.
accuracy() { awk -F, '$1 == "class_il" && $2 == 5 { c += $5 / 5 } END { print c }' "$1/accuracy.csv"; }
for method in finetune joint er; do
    train $method.lvtx --data digits --tasks 5 --memory ${remembers[$method]} --epochs 2 --threads 1 --quiet --out long-$method >/dev/null
done
awk -v f="$(accuracy long-finetune)" -v e="$(accuracy long-er)" -v j="$(accuracy long-joint)" \
    'BEGIN { print "finetune", f, "er", e, "joint", j; exit !(f < 0.35 && e > f + 0.1 && j > 0.85 && j > e) }' ||
    fail "the order of finetune, er, joint"

# Validation: measured beside the test set, never trained on (another part gives another network).
grep -q '"validation_class_il":' whole-er/metrics.jsonl || fail "no validation in metrics.jsonl"
[ "$(grep -c ^validation_class_il, whole-er/accuracy.csv)" = 6 ] || fail "validation in accuracy.csv"
expect 0 "145 validation" run train er.lvtx --data digits --tasks 2 --steps 1 --threads 1 --memory 20 --validation 0.1 --out tenth
train er.lvtx $(echo $settings | sed 's/10%/20%/') --memory 60 --out fifth >/dev/null
differ fifth/task-03.safetensors whole-er/task-03.safetensors
[ "$(awk -F, 'NR > 1 { for (i = 3; i <= NF; i++) n += $i } END { print n }' whole-er/confusion.csv)" = 355 ] ||
    fail "confusion.csv does not hold every test image once"
grep -q '"calibration_error":0\.' whole-er/metrics.jsonl || fail "calibration in metrics.jsonl"
grep -q '"peak_memory_bytes":[1-9]' whole-er/metrics.jsonl || fail "memory in metrics.jsonl"
grep -q '"forgetting_relative":' whole-er/metrics.jsonl || fail "definitions of forgetting in metrics.jsonl"
grep -q '"task_seconds":' whole-er/metrics.jsonl || fail "time of a task in metrics.jsonl"

expect 1 "was compiled with the method er, not lvt" run train er.lvtx $settings --method lvt --out no
grep -q -- "--set method=lvt" expected.txt || fail "no word on how to mend it"
expect 2 "did you mean er-ace" run train er.lvtx $settings --method er-acce --out no
for method in er der++ er-ace a-gem; do
    expect 1 "the method $method is nothing but fine-tuning without --memory" run train $method.lvtx --data digits --out no
done
# A method that measures at the end of a task needs the entries for it; consolidate runs whatever the method.
sed -i '/^    entry importance/,/^    }/d; /^    entry consolidate/,/^    }/d' models/continual.lvt
cp models/lvt-tiny.lvt models/bare.lvt
for method in ewc lvt; do
    "$BUILD/lvtc" models/bare.lvt --set method=$method -o bare.lvtx
    expect 1 "has no entry importance" run train bare.lvtx --data digits --out no
done
run train bare.lvtx --data digits --tasks 2 --steps 1 --no-drift --quiet --threads 1 --out bare-lvt >/dev/null
expect 1 "remembers no images" run train ewc.lvtx $settings --memory 50 --out no
expect 2 "is not a part such as 10%" run train er.lvtx --data digits --memory 20 --validation 95% --out no
[ ! -e no ] || fail "a run that did not begin left its folder"

# Weight aligning: after task 2 the rows of its classes are those without it, times the mean norm of older rows over
# the mean norm of their own; nothing else differs, and nothing at all after task 1.
for method in er lvt; do
    for align in false true; do
        "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set method=$method --set align=$align -o align.lvtx
        train align.lvtx --data digits --tasks 2 --split 4,6 --epochs 1 --memory 40 --seed 3 --threads 1 --quiet --out align-$method-$align >/dev/null
    done
    python3 - align-$method-false align-$method-true <<'END' || fail "weight aligning of $method"
import array, json, math, struct, sys
def states(path):
    data = open(path, "rb").read()
    n, = struct.unpack("<Q", data[:8])
    return {k: data[8 + n + v["data_offsets"][0] : 8 + n + v["data_offsets"][1]]
            for k, v in json.loads(data[8 : 8 + n]).items() if k != "__metadata__"}
plain, aligned = ([states(f"{folder}/task-0{k}.safetensors") for k in (1, 2)] for folder in sys.argv[1:])
assert all(plain[0][k] == aligned[0][k] for k in plain[0]), "the first task has no older rows"
differ = [k for k in plain[1] if not k.startswith("lvt:") and plain[1][k] != aligned[1][k]]
assert differ == ["accumulation.weight"], differ
w, got = (array.array("f", s[1]["accumulation.weight"]) for s in (plain, aligned))
n = len(w) // 10
norms = [math.sqrt(sum(v * v for v in w[c * n : c * n + n])) for c in range(10)]
factor = sum(norms[:4]) / 4 / (sum(norms[4:]) / 6)
assert abs(factor - 1) > 1e-3, factor # or the test could not fail
for i, v in enumerate(w):
    wanted = v * (factor if i // n >= 4 else 1)
    assert abs(got[i] - wanted) <= 2e-6 * abs(wanted), (i, got[i], wanted) # sums of 64 squares in f32
END
done
expect 1 "icarl cannot have its classifier scaled" "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set method=icarl --set align=true -o no.lvtx

# Side by side: two seeds are one experiment, methods are told apart by name.
train er.lvtx $(echo $settings | sed 's/--seed 3/--seed 4/') --memory 60 --out whole-er-4 >/dev/null
expect 0 "er, memory 60" run compare whole-er whole-er-4 whole-finetune --csv compare.csv --svg compare.svg
grep -q "^er, memory 60 (trial: at most 12 steps a task)  *2 " expected.txt || fail "two seeds are not one experiment"
grep -q '^"er, memory 60 (trial: at most 12 steps a task)",2,class_il,acc,' compare.csv && grep -q "</svg>" compare.svg || fail "files of compare"
expect 1 "not the folder of a run" run compare whole-er .
