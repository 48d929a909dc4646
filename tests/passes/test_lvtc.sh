#!/bin/bash
# lvtc as a program: exit codes, where its output goes, what it says about mistakes.
set -u
source=$1 build=$2
lvtc=$build/lvtc
[ -x "$lvtc" ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# expect CODE WORDS-ON-STDERR COMMAND...
expect() {
    local code=$1 words=$2
    shift 2
    "$@" >out 2>err
    local got=$?
    if [ $got -ne "$code" ]; then
        echo "exit code $got, not $code: $*"
        cat err
        failed=1
    fi
    if [ -n "$words" ] && ! grep -qF -- "$words" err; then
        echo "no '$words' on standard error: $*"
        cat err
        failed=1
    fi
    if [ "$code" -eq 0 ] && [ -s err ]; then
        echo "words on standard error though all is well: $*"
        cat err
        failed=1
    fi
}
has() {
    if ! grep -qF -- "$1" "$2"; then
        echo "no '$1' in $2"
        failed=1
    fi
}

model=$source/models/lvt-tiny.lvt
small="--set batch=2 --set memory_batch=2 --set predict_batch=2"

expect 0 "" "$lvtc" --help
has "Usage: lvtc" out
expect 0 "" "$lvtc" --version
has "lvtc " out
expect 0 "" "$lvtc" --passes
has "fuse-pointwise" out

expect 2 "no model file" "$lvtc"
expect 2 "did you mean '--explain'" "$lvtc" --explian "$model"
expect 2 "did you mean 'simplify'" "$lvtc" --stop-after=simplfy "$model"
expect 2 "NAME=VALUE" "$lvtc" --set batch "$model"
expect 2 "too many" "$lvtc" "$model" "$model"
expect 2 "--pass-limit" "$lvtc" --pass-limit=none "$model"
for size in 0 -5M M 12Q nan 1e9 300MB5; do
    expect 2 "--memory-budget wants a size" "$lvtc" --memory-budget=$size "$model"
done
expect 2 "--emit" "$lvtc" --emit=code "$model"
expect 1 "nowhere.lvt" "$lvtc" nowhere.lvt
expect 1 "/nowhere/x.lvtx" "$lvtc" $small "$model" -o /nowhere/x.lvtx
echo "model m() { entry f(x: f32[2]) { return y = x @ 3 } }" >wrong.lvt
expect 1 "wrong.lvt:1:" "$lvtc" wrong.lvt
[ -e wrong.lvtx ] && { echo "a wrong model left a program"; failed=1; }

# The default name is the model's, in the folder at hand; equal input gives equal bytes.
expect 0 "" "$lvtc" $small "$model"
[ -s lvt-tiny.lvtx ] || { echo "no lvt-tiny.lvtx"; failed=1; }
expect 0 "" "$lvtc" $small "$model" -o again.lvtx
cmp -s lvt-tiny.lvtx again.lvtx || { echo "two compilations differ"; failed=1; }

# IR goes to standard output; what stops after a pass can be taken up again there, with the same result.
expect 0 "" "$lvtc" $small "$model" --emit=ir
has "entry @train" out
expect 0 "" "$lvtc" $small "$model" --dump-after=plan -o x.lvtx
mv out whole
for pass in autodiff decompose dce-3 fuse-pointwise; do
    expect 0 "" "$lvtc" $small "$model" --stop-after=$pass -o half.lvtir
    next=$("$lvtc" --passes | awk -v p=$pass 'found { print $1; exit } $1 == p { found = 1 }')
    expect 0 "" "$lvtc" half.lvtir --start-at="$next" --dump-after=plan -o x.lvtx
    cmp -s whole out || { echo "stopping after $pass and going on gives another program"; failed=1; }
done
expect 2 "its settings are fixed" "$lvtc" half.lvtir --set batch=2

expect 0 "" "$lvtc" $small "$model" --explain --memory-report --time-passes --verify-each -o x.lvtx
has "fused" out
has "on onednn" out
has "arena" out
has "plan" out
has "# after plan" whole
has "# plan @train" whole

# The memory report as data and as a drawing.
expect 0 "" "$lvtc" $small "$model" --memory-report=memory.json -o x.lvtx
python3 - <<'END' || failed=1
import json
for entry in json.load(open("memory.json")):
    alive = [step["alive_bytes"] for step in entry["steps"]]
    at = entry["peak_step"]
    assert max(alive) == alive[at] == entry["peak_bytes"] <= entry["arena_bytes"], entry["entry"]
    assert sum(b["bytes"] for b in entry["buffers"] if b["at_peak"]) == entry["peak_bytes"]
    for b in entry["buffers"]:
        assert b["offset"] + b["bytes"] <= entry["arena_bytes"] and b["model_file"].endswith("lvt-tiny.lvt") and b["model_line"] > 0, b
END
expect 0 "" "$lvtc" $small "$model" --memory-report=memory.svg -o x.lvtx
python3 -c 'import xml.dom.minidom; d = xml.dom.minidom.parse("memory.svg"); assert len(d.getElementsByTagName("title")) > 100' || failed=1
[ -s out ] && { echo "a report to a file also went to standard output"; failed=1; }
expect 1 "/nowhere/m.svg" "$lvtc" $small "$model" --memory-report=/nowhere/m.svg -o x.lvtx

# A budget of memory is met, or there is no program and the least is said.
expect 0 "" "$lvtc" --set batch=16 --set memory_batch=16 --set predict_batch=2 "$model" --memory-budget=1.2M --explain -o budget.lvtx
has "is computed again" out
expect 1 "the least that was reached is" "$lvtc" $small "$model" --memory-budget=100k -o none.lvtx
[ -e none.lvtx ] && { echo "a program over its budget was written"; failed=1; }
expect 0 "" "$lvtc" $small "$model" --pass-limit=3 -o x.lvtx

# measured choices: in the program, explained, and only with threads that make sense
expect 0 "" "$lvtc" $small "$model" --tune --threads 1 --explain --time-passes -o tuned.lvtx
has ": measured, standard " out
expect 0 "" "$build/lvt-run" info tuned.lvtx
has "variants measured with 1 thread" out
expect 0 "" "$build/lvt-run" check tuned.lvtx --threads 1
expect 0 "" "$lvtc" $source/models/lvt.lvt -o winograd.lvtx
expect 0 "" "$build/lvt-run" info winograd.lvtx
has " own-winograd)" out
expect 0 "" env ONEDNN_MAX_CPU_ISA=AVX2 "$build/lvt-run" info winograd.lvtx
grep -q "has no kernel" out && { echo "our own code needs no library's kernel"; failed=1; }
expect 0 "" "$lvtc" $source/models/lvt.lvt --exact -o exact.lvtx
expect 0 "" "$build/lvt-run" info exact.lvtx
grep -q winograd out && { echo "--exact left Winograd in"; failed=1; }
expect 2 "--tune" "$lvtc" --threads 2 "$model"
expect 2 "--threads" "$lvtc" --tune --threads 0 "$model"

# An option without effect is refused, never ignored.
for option in --tune --exact --ranks=2 --explain --memory-report --memory-budget=1K --time-passes --dump-after=dce --verify-each --pass-limit=3; do
    for kind in onnx ir; do
        expect 2 "goes with a program" "$lvtc" $small "$model" --emit=$kind $option -o none.out
    done
done
for option in --stop-after=dce --start-at=dce; do
    expect 2 "goes with a program or --emit=ir" "$lvtc" $small "$model" --emit=onnx $option -o none.out
done
for option in --tune --exact --ranks=2 --memory-report --memory-budget=1K; do
    expect 2 "which --start-at or --stop-after leaves out" "$lvtc" $small "$model" --stop-after=autodiff $option -o none.out
done
for option in --entry=train --opset=17 --seed=3 --training-info --mean=0.5 --fixed-batch --external-data=9; do
    expect 2 "goes with --emit=onnx" "$lvtc" $small "$model" $option -o none.out
done
expect 2 "--split goes with --ranks" "$lvtc" $small "$model" --split=x -o none.out
expect 2 "--map goes with --weights" "$lvtc" $small "$model" --map=x.map -o none.out
expect 2 "--freeze goes with an ONNX file" "$lvtc" $small "$model" --freeze -o none.out
expect 2 "--models goes with a model file" "$lvtc" half.lvtir --models . -o none.out
[ -e none.out ] && { echo "a refused command wrote something"; failed=1; }
expect 0 "" "$lvtc" $small "$model" --emit=ir --stop-after=plan --exact --ranks=2 --explain --memory-budget=1G --time-passes
has "is the part of one of 2 processes" out
has "all_reduce" out

# One message for a setting that cannot be; of methods with the name of each that lvt-run knows.
expect 1 "no such method, \"foo\": there are" "$lvtc" $small "$model" --set method=foo -o none.out
[ "$(grep -c error err)" = 1 ] || { echo "more errors than one for an unknown method"; failed=1; }
for name in $(sed -n 's/^LVT_METHOD("\([^"]*\)".*/\1/p' "$source/runtime/continual/method.def" | grep -vx own); do
    has " $name" err
done
for wrong in classifiers=3 nesterov=true norm=foo distill=foo optimizer=foo "method=icarl --set memory_batch=3"; do
    expect 1 "error E230" "$lvtc" $small "$model" --set $wrong -o none.out
    [ "$(grep -c error err)" = 1 ] || { echo "more errors than one for --set $wrong"; failed=1; }
done

# Every method takes any network that returns features, whatever its parts are called, with one classifier or two;
# lvt, which holds keys, has nothing to hold in one without.
cat >any.lvt <<'END'
import "nn.lvt"
import "continual.lvt"

model any {
    block network(x) {
        return relu(linear(reshape(x, [dim(x, 0), 64]), 16))
    }
    use continual(network, image = [8, 8, 1], classes = 10, batch = 2, memory_batch = 2)
}
END
for name in lvt finetune joint er der++ er-ace a-gem lwf ewc icarl; do
    for classifiers in 1 2; do
        expect 0 "" "$lvtc" any.lvt --models "$source/models" --set method=$name --set classifiers=$classifiers -o any.lvtx
    done
done
expect 0 "" "$lvtc" any.lvt --models "$source/models" --emit=ir
grep -q "loss_drift" out && { echo "drift of a network without keys"; failed=1; }

# All settings, those of the contract too, with what they mean; a value that is given stands beside the default.
expect 0 "" "$lvtc" "$model" --settings --set method=er
for words in "lvt_tiny, .*lvt-tiny.lvt" "continual, .*continual.lvt" " key_init  *1.0  *deviation of the initial keys" \
    " method  *er (lvt)  *how tasks are learned" " classes  *10  *classes of the whole benchmark"; do
    grep -q "$words" out || { echo "no '$words' among the settings"; failed=1; }
done
# They are those of the program, which a new setting joins without a word here.
grep -o "^  [a-z][a-z0-9_]*" out | tr -d " " | sort >listed
"$lvtc" "$model" --emit=ir | sed -n 's/^setting "\([a-z0-9_]*\)".*/\1/p' | sort >compiled
[ -s compiled ] && cmp -s listed compiled || { echo "not all settings"; diff listed compiled; failed=1; }
expect 2 "--settings goes with a model file" "$lvtc" net.onnx --settings

# A program says what it was compiled with, as the model does with the same --set; another --set counts over it.
expect 0 "" "$lvtc" $small "$model" --set method=er -o held.lvtx
expect 0 "" "$lvtc" $small "$model" --set method=er --settings
mv out listed
expect 0 "" "$lvtc" held.lvtx --settings
cmp -s listed out || { echo "a program lists other settings than its model"; failed=1; }
expect 0 "" "$lvtc" held.lvtx --settings --set method=joint
grep -q " method  *joint (lvt)" out || { echo "--set is lost on a program"; failed=1; }
expect 1 "no setting" "$lvtc" held.lvtx --settings --set nonsense=1
expect 2 "does not go with --settings" "$lvtc" held.lvtx --settings --emit=ir

# What is divided among processes has names that the model has.
expect 1 "--split: no training entry has an input foo" "$lvtc" $small "$model" --ranks=2 --split=foo -o none.out
expect 1 "no training entry has an input ymm; did you mean ym?" "$lvtc" $small "$model" --ranks=2 --split=x,y,xm,ymm -o none.out
expect 1 "nothing of entry train_new is divided among 2 processes" "$lvtc" $small "$model" --ranks=2 --split=xm,ym,zm,zm_mask -o none.out
expect 2 "--split wants names of inputs" "$lvtc" $small "$model" --ranks=2 --split= -o none.out
[ -e none.out ] && { echo "a program that shares nothing was written"; failed=1; }
expect 0 "" "$lvtc" $small "$model" --ranks=2 --split=x,y,xm,ym,zm,zm_mask -o shared.lvtx
exit $failed
