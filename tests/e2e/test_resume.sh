#!/bin/bash
# A run that is killed, interrupted or out of room goes on to the same bits as one that was not.
source "$1/tests/e2e/lib.bash"
settings="--data digits --tasks 2 --memory 20 --epochs 3 --seed 5 --threads 1 --checkpoint-every 10 --quiet"
train() { run train $PROGRAM "$@"; } # not for the background: a signal would only reach the shell around it
last=task-02.safetensors

train $settings --out whole >/dev/null
train $settings --out again >/dev/null
identical whole/$last again/$last
for n in 1 2; do train $settings --threads 2 --steps 5 --out two$n >/dev/null; done
identical two1/$last two2/$last
train $settings --seed 6 --out other >/dev/null
differ whole/$last other/$last

# Options of a run that is resumed are those it has, also where they are given as they usually are.
expect 2 "--epochs differs" train --out again --resume --epochs 1
expect 2 "--seed differs" train --out again --resume --seed 1
train --out again --resume --epochs 3 --seed 5 --memory 20 --quiet >/dev/null

# 20 steps are 10 steps, kill -9, 10 steps: killed as soon as the first checkpoint, of step 10, is there.
train $settings --tasks 1 --memory 0 --steps 20 --out twenty >/dev/null
"$BUILD/lvt-run" train $PROGRAM $settings --tasks 1 --memory 0 --steps 20 --out ten >/dev/null &
child=$!
while kill -0 $child 2>/dev/null && [ ! -e ten/last.safetensors ]; do :; done
kill -9 $child 2>/dev/null || true
wait $child 2>/dev/null && echo "note: the run was faster than the signal" || true
train --out ten --resume --quiet >/dev/null
identical twenty/task-01.safetensors ten/task-01.safetensors

# Records that the checkpoint counts and that are gone (a power cut): said; what is left stays whole lines.
train $settings --log-every 2 --out whole2 >/dev/null
"$BUILD/lvt-run" train $PROGRAM $settings --log-every 2 --out cut >/dev/null &
child=$!
while kill -0 $child 2>/dev/null && [ ! -e cut/last.safetensors ]; do :; done
kill -9 $child 2>/dev/null || true
wait $child 2>/dev/null || true
head -c 700 cut/metrics.jsonl >short && mv short cut/metrics.jsonl
expect 0 "has lost records that the checkpoint counts" train --out cut --resume --quiet
identical whole2/$last cut/$last
! grep -qva '^{.*}$' cut/metrics.jsonl || fail "metrics.jsonl has a line that is none"
[ "$(tail -2 cut/metrics.jsonl | grep -c '"after_task":2')" = 1 ] || fail "metrics.jsonl does not go on"

# Nobody reads what it prints any more: it trains on, and says so at the end.
if "$BUILD/lvt-run" train $PROGRAM ${settings% --quiet} --plain --out piped 2>piped.txt | head -1 >/dev/null; then fail "a closed pipe is not told"; fi
grep -q "standard output cannot be written" piped.txt || fail "a closed pipe is not told"
identical whole/$last piped/$last

# Killed again and again, at any moment.
"$BUILD/lvt-run" train $PROGRAM $settings --out killed >/dev/null &
child=$!
for pause in 0.4 0.7 0.5; do
    sleep $pause
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
    [ -e killed/settings.json ] || break
    "$BUILD/lvt-run" train $PROGRAM --out killed --resume --quiet >/dev/null &
    child=$!
done
wait $child || true
if [ -e killed/settings.json ]; then train --out killed --resume --quiet >/dev/null; else train $settings --out killed >/dev/null; fi
identical whole/$last killed/$last
# Records of steps that were done twice are there once; rows of accuracy are the same.
cmp whole/accuracy.csv killed/accuracy.csv || fail "accuracy.csv differs"
[ "$(wc -l <whole/metrics.jsonl)" = "$(wc -l <killed/metrics.jsonl)" ] || fail "metrics.jsonl has other records"

# Ctrl-C: the step is finished, a checkpoint written, the way to go on said.
for signal in INT TERM; do
    # set -m: a background job of a script would ignore SIGINT otherwise.
    set -m
    "$BUILD/lvt-run" train $PROGRAM $settings --out $signal >stopped.txt 2>&1 &
    child=$!
    set +m
    while kill -0 $child 2>/dev/null && [ ! -e $signal/last.safetensors ]; do sleep 0.01; done
    kill -$signal $child 2>/dev/null || true
    code=0
    wait $child || code=$?
    [ $code = 130 ] || [ $code = 0 ] || { cat stopped.txt; fail "exit code $code after SIG$signal"; }
    [ $code = 0 ] || grep -q -- "--resume" stopped.txt || fail "no word on how to go on after SIG$signal"
    train --out $signal --resume --quiet >/dev/null
    identical whole/$last $signal/$last
done

# No room: the reason is said, what is there stays whole, the run goes on when there is room.
limited() { (ulimit -f "$1"; shift; exec "$BUILD/lvt-run" train "$@"); }
expect 1 "File too large" limited 64 $PROGRAM $settings --out full
[ -z "$(find full -name '*.tmp')" ] || fail "a temporary file is left"
train --out full --resume --quiet >/dev/null
identical whole/$last full/$last
if mkdir tmpfs && mount -t tmpfs -o size=500k tmpfs tmpfs 2>/dev/null; then
    expect 1 "No space left on device" run train $PROGRAM $settings --out tmpfs/run
    umount tmpfs
fi

# A finished run is resumed to the same result; another program, or settings that differ, are refused.
expect 0 "average accuracy" run train $PROGRAM --out whole --resume
identical again/$last whole/$last
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set width=16 -o narrow.lvtx
expect 1 "another program" run train narrow.lvtx --out whole --resume
expect 2 "--epochs differs" run train $PROGRAM --out whole --resume --epochs 9

# What may be changed when resuming is kept.
train --out whole --resume --name renamed --quiet >/dev/null
train --out whole --resume --quiet >/dev/null
grep -q '"name":.*"renamed"' whole/settings.json || fail "a new name is lost"
expect 0 "renamed" run compare whole
sed -i 's/"data":.*,$/"data": null,/; s/"class_order":.*,$/"class_order": null,/' again/settings.json
expect 1 "does not say where the images come from" train --out again --resume
train --out again --resume --data digits --quiet >/dev/null

# Two processes may not write one run.
"$BUILD/lvt-run" train $PROGRAM $settings --epochs 200 --out shared >/dev/null &
child=$!
while kill -0 $child 2>/dev/null && [ ! -e shared/settings.json ]; do sleep 0.02; done
expect 1 "another lvt-run is training" run train $PROGRAM --out shared --resume
kill -9 $child
wait $child 2>/dev/null || true
# Resumed, it waits as it did: a run of one thread is bound to no processor, which it would share with others.
"$BUILD/lvt-run" train $PROGRAM --out shared --resume >/dev/null &
child=$!
for ((i = 0; i < 500; i++)); do
    ! tr '\0' '\n' </proc/$child/environ 2>/dev/null | grep -q "^OMP_WAIT_POLICY=passive" || break
    sleep 0.02
done
tr '\0' '\n' </proc/$child/environ | grep -q "^OMP_PROC_BIND" && fail "a resumed run of one thread is bound to a processor"
[ $i -lt 500 ] || fail "a resumed run does not wait as it did"
kill -9 $child
wait $child 2>/dev/null || true
