#!/bin/bash
# The experiments that come with the models: each can be listed, handed to Slurm, and run; their cost comes from a measured step.
source "$1/tests/e2e/lib.bash"
declare -A runs=([ablation]=21 [cifar100]=15 [cifar100-search]=18 [digits]=38 [epochs]=15 [equal]=15 [review]=822)
for file in "$SOURCE"/models/experiments/*.sweep; do
    name=$(basename "$file" .sweep)
    expect 0 "${runs[$name]:-no number of} runs: " run sweep "$file" --data cifar100:DIR --dry-run
    run sweep "$file" --data cifar100:DIR --emit=slurm >job.sh
    bash -n job.sh && grep -q -- "--array=[0-9]*-${runs[$name]}%" job.sh || fail "the script of $name"
done
[ "$(ls "$SOURCE"/models/experiments | wc -l)" = "${#runs[@]}" ] || fail "an experiment that is not tested"
! ls -d review equal epochs ablation 2>/dev/null || fail "--dry-run wrote something"
run sweep "$SOURCE/models/experiments/review.sweep" --data cifar100:DIR --dry-run >list.txt
grep -q "  backbone, resnet18, er, tasks 5, memory 200, seed 1$" list.txt || fail "what rows are called"

# Every row of a table really learns: lvt-tiny in place of the networks, the digits, few steps.
mkdir tables
cp "$SOURCE"/models/*.lvt .
for name in ablation epochs equal; do
    sed -E 's#\.\./[a-z0-9-]+\.lvt#../lvt-tiny.lvt#g; /^set (width|key_dim|value_dim|shrink_value_dim) /d; s/^(for )?epochs = .*/epochs = 1/
            s/^tasks = 10/tasks = 2/; s/^memory = 500/memory = 20/; s/^for model = .*/model = ..\/lvt-tiny.lvt/; s/^seeds = .*/seeds = 1/' \
        "$SOURCE/models/experiments/$name.sweep" >tables/$name.sweep
    sed -i '0,/^tasks = 2/s//tasks = 2\nsteps = 2\nthreads = 1/' tables/$name.sweep
    expect 0 "average accuracy" run sweep tables/$name.sweep --data digits --quiet --out out-$name
    [ "$(ls -d out-$name/final/*/ | wc -l)" = "$(grep -c . out-$name/final/list)" ] && [ -s out-$name/compare.tex ] || fail "$name"
done

# Cost: a row each, nothing is left behind. joint sees all tasks so far: 2.8 times the steps of finetune in five tasks.
cat >cost.sweep <<'END'
model = lvt-tiny.lvt
data = digits
tasks = 5
epochs = 2
seeds = 1..3
[many]
for method = finetune joint
[replay]
method = er
memory = 20
END
mkdir temporary
TMPDIR=$WORK/temporary expect 0 "total" run sweep cost.sweep --cost --threads 1
[ -z "$(ls temporary)" ] && [ ! -e cost ] || fail "--cost left something"
python3 - <<'P' || { cat expected.txt; fail "the table of costs"; }
rows = {}
for line in open("expected.txt"):
    words = line.replace(", ", ",").split()
    if words and words[0].startswith(("many", "replay", "total")): rows[words[0]] = words[1:]
runs = {k: int(v[0]) for k, v in rows.items()}
assert runs == {"many,finetune": 3, "many,joint": 3, "replay": 3, "total": 9}, runs
steps = {k: int(v[3]) for k, v in rows.items() if k != "total"}
# 1442 training images: 289 a task are 10 batches of 32, twice; of k tasks, 10, 19, 28, 37, 46.
assert steps == {"many,finetune": 100, "many,joint": 2 * (10 + 19 + 28 + 37 + 46), "replay": 100}, steps
assert all(float(v[1]) > 0 and float(v[4]) > 5 for k, v in rows.items() if k != "total")
P

# What is wrong with a row is told, as a run of it would.
{ sed 's/^epochs = 2/&\nvalidation = 95%/' cost.sweep && echo 'try lr = 0.05 0.1'; } >wrong.sweep
expect 1 "is not a part such as 10%" run sweep wrong.sweep --cost --threads 1
cp $PROGRAM torn.lvtx && truncate -s -100 torn.lvtx
printf 'model = torn.lvtx\ndata = digits\n' >torn.sweep
expect 1 "torn.lvtx: no step of it could be run" run sweep torn.sweep --cost --threads 1
grep -q "torn.lvtx: .*damaged\|torn.lvtx: .*shorter\|torn.lvtx: .*cut" expected.txt || { cat expected.txt; fail "why"; }
