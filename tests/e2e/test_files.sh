#!/bin/bash
# Files that belong together, and files that somebody else has his hands on: two compilers at once, links in the way, a
# run's folder that is exchanged under it, sweeps of models whose values come from a file, tensors without elements.
source "$1/tests/e2e/lib.bash"
values() { ls "$1".????????????????.safetensors; }

# ---- a program and its values: two compilers at once, and a reader ------------------------------------------------
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o one.onnx --seed 1
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --emit=onnx -o two.onnx --seed 2
mkdir race
one() { run step "$1" --entry predict --threads 1 --cache= --save-outputs "$2" >/dev/null; }
for n in one two; do
    "$BUILD/lvtc" $n.onnx --set batch=4 -o $n.lvtx
    one $n.lvtx $n.out
done
! cmp -s one.out two.out || fail "two seeds have one output"
for ((i = 0; i < 12; i++)); do
    "$BUILD/lvtc" one.onnx --set batch=4 -o race/p.lvtx &
    first=$!
    "$BUILD/lvtc" two.onnx --set batch=4 -o race/p.lvtx &
    second=$!
    [ $i = 0 ] || one race/p.lvtx while.out || fail "round $i: a reader finds a pair that does not match"
    wait $first || fail "round $i: a compiler fails"
    wait $second || fail "round $i: a compiler fails"
    one race/p.lvtx race.out || fail "round $i: the pair that is left does not match"
    cmp -s race.out one.out || cmp -s race.out two.out || fail "round $i: a third program"
    [ "$(ls -A race | wc -l)" = 2 ] || fail "round $i: more than the pair is left: $(ls -A race)"
done
# Of a link what it leads to is written; values lie there too.
mkdir there
ln -s ../there/p.lvtx race/link.lvtx
cp one.lvtx there/p.lvtx
"$BUILD/lvtc" two.onnx --set batch=4 -o race/link.lvtx
[ -L race/link.lvtx ] && values there/p.lvtx >/dev/null || fail "a link is not followed"
one race/link.lvtx link.out && cmp two.out link.out

# ---- links in the way ---------------------------------------------------------------------------------------------
echo untouched >victim
for name in tiny.lvtx.tmp tiny.lvtx.tmp.$$.0 report.tmp; do ln -s "$PWD/victim" $name; done
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" -o tiny.lvtx --memory-report=report
settings="--data digits --tasks 2 --memory 20 --epochs 1 --threads 1 --quiet"
mkdir planted
for name in report.html accuracy.csv memory.png settings.json.tmp last.safetensors last.safetensors.tmp; do
    ln -s "$PWD/victim" planted/$name
done
run train $PROGRAM $settings --out planted >/dev/null
[ "$(cat victim)" = untouched ] || fail "a planted link was followed"
[ ! -L planted/report.html ] && grep -q "</html>" planted/report.html || fail "a link took the place of the report"
mkdir logged && ln -s "$PWD/victim" logged/metrics.jsonl
expect 1 "metrics.jsonl: cannot be written" run train $PROGRAM $settings --out logged
[ "$(cat victim)" = untouched ] || fail "records were written through a link"

# ---- a run whose folder is exchanged ------------------------------------------------------------------------------
"$BUILD/lvt-run" train $PROGRAM $settings --epochs 20 --checkpoint-every 5 --out moving >/dev/null &
child=$!
while kill -0 $child 2>/dev/null && [ ! -e moving/last.safetensors ]; do sleep 0.01; done
mv moving moved
mkdir moving
echo "somebody's" >moving/metrics.jsonl
wait $child || fail "a run whose folder was moved fails"
[ "$(ls -A moving)" = metrics.jsonl ] && [ "$(cat moving/metrics.jsonl)" = "somebody's" ] || fail "a run wrote into another's folder"
for file in task-02.safetensors report.html accuracy.csv; do [ -s moved/$file ] || fail "$file is not in the folder that was moved"; done
# What a writer that was killed left behind goes when the run is resumed; nothing else does.
touch moved/.lvt-0123456789abcdef.tmp moved/mine.tmp
run train $PROGRAM --out moved --resume --quiet >/dev/null
[ ! -e moved/.lvt-0123456789abcdef.tmp ] && [ -e moved/mine.tmp ] || fail "temporary files are not cleaned up"

# ---- sweeps of models whose values come from a file ---------------------------------------------------------------
sed -e 's/^import "resnet18.onnx".*/import "one.onnx" output "logits" as backbone/' \
    -e 's/backbone(x,/backbone(reshape(x, [dim(x, 0), 8, 1, 8]),/' "$SOURCE/tests/onnx/resnet.lvt" >wrapped.lvt
cat >wrapped.sweep <<'S'
model = wrapped.lvt
data = digits
tasks = 2
steps = 2
threads = 1
memory = 10
validation = 10%
seeds = 1..2
[a]
set size = 8
try lr = 0.01 0.02
S
run sweep wrapped.sweep --plain >sweep.txt || { cat sweep.txt; fail "a sweep of a model with values from a file"; }
[ "$(grep -c ": done in" sweep.txt)" = 4 ] || fail "not all runs of the sweep were done"
[ "$(ls wrapped/programs | wc -l)" = 2 ] || fail "more than a program and its values are left: $(ls wrapped/programs)"
run sweep wrapped.sweep --plain >/dev/null

# ---- no elements is not "nothing given" ---------------------------------------------------------------------------
empty() { # FILE SHAPE
    local header="{\"x\":{\"dtype\":\"F32\",\"shape\":$2,\"data_offsets\":[0,0]}}"
    { printf "\\x$(printf %x ${#header})\0\0\0\0\0\0\0"; printf %s "$header"; } >"$1"
}
empty none.safetensors "[0,4,8,8,1]"
expect 1 "x holds no step, its first dimension is 0" run step one.lvtx --inputs none.safetensors --save-inputs heap.safetensors
empty none.safetensors "[4,0,8,1]"
expect 1 "x is f32[4,0,8,1]" run step one.lvtx --inputs none.safetensors --save-inputs heap.safetensors
[ ! -e heap.safetensors ] || fail "inputs that were not there are saved"
echo "pairs, links, folders, sweeps and empty tensors are right"
