#!/bin/bash
# What schedulers, containers, users and daemons put around a run may cost speed, never the answer: train, resume,
# eval and predict give the bits of a quiet environment.
source "$1/tests/e2e/lib.bash"
settings="--data digits --tasks 2 --memory 20 --steps 14 --seed 5 --threads 2 --checkpoint-every 4 --log-every 3"
last=task-02.safetensors

# everything FOLDER: trains in two pieces (the second from the last checkpoint before the end), measures, asks.
everything() {
    timeout 300 "$BUILD/lvt-run" train $PROGRAM $settings --quiet --out "$1"
    rm "$1/$last" "$1/task-01.safetensors" # as if it had been killed at step 12 of the second task
    timeout 300 "$BUILD/lvt-run" train $PROGRAM --out "$1" --resume
    timeout 300 "$BUILD/lvt-run" eval $PROGRAM --checkpoint "$1/$last" --data digits --threads 2 --json >"$1.eval"
    timeout 300 "$BUILD/lvt-run" predict $PROGRAM --checkpoint "$1/$last" --resize --json --threads 2 sheet.png >"$1.predict"
}
run data digits --sheet sheet.png >/dev/null
everything quiet >/dev/null
grep -q class_il quiet.eval && grep -q probability quiet.predict || fail "nothing was measured"

compare() { # FOLDER
    same quiet/$last "$1/$last"
    cmp quiet/accuracy.csv "$1/accuracy.csv" || fail "accuracy.csv of $1"
    cmp quiet/confusion.csv "$1/confusion.csv" || fail "confusion.csv of $1"
    cmp quiet.eval "$1.eval" || fail "eval in $1"
    cmp quiet.predict "$1.predict" || fail "predict in $1"
}
hostile=(OMP_DYNAMIC=true OMP_MAX_ACTIVE_LEVELS=0 OMP_NUM_THREADS=1 OMP_NESTED=true OMP_STACKSIZE=64K
    OMP_SCHEDULE=dynamic,1 OMP_CANCELLATION=true ONEDNN_DEFAULT_FPMATH_MODE=BF16 DNNL_DEFAULT_FPMATH_MODE=ANY
    LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8 TZ=Asia/Kathmandu MALLOC_PERTURB_=165 COLUMNS=3)
(
    export "${hostile[@]}" XDG_CACHE_HOME=$WORK/cache-hostile 2>/dev/null # so all code is made in it too
    umask 077
    everything hostile >/dev/null
)
compare hostile
[ -z "$(find hostile cache-hostile -perm /077)" ] || fail "others may read what umask 077 made"

# Machine code is executed later: nobody else may write it, whatever umask says.
(
    export XDG_CACHE_HOME=$WORK/cache-open
    umask 000
    everything open >/dev/null
)
compare open
[ -n "$(find cache-open -type f)" ] && [ -z "$(find cache-open/lvt -perm /022)" ] || fail "the cache can be written by others"

# Closed standard streams: no file gets their numbers, and what is printed goes nowhere.
timeout 300 "$BUILD/lvt-run" train $PROGRAM $settings --out closed <&- >&- 2>&- || fail "closed streams: exit code $?"
timeout 300 "$BUILD/lvt-run" train $PROGRAM --out closed --resume <&- >&- 2>&- || fail "closed streams: exit code $? resuming"
timeout 300 "$BUILD/lvt-run" eval $PROGRAM --checkpoint closed/$last --data digits <&- >&- 2>&- || fail "closed streams: exit code $? of eval"
same quiet/$last closed/$last
cmp quiet/accuracy.csv closed/accuracy.csv || fail "accuracy.csv with closed streams"
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" -o closed.lvtx --explain <&- >&- 2>&- || fail "lvtc with closed streams"
cmp $PROGRAM closed.lvtx || fail "lvtc writes another program with closed streams"
for file in closed/settings.json closed/metrics.jsonl; do
    ! grep -q "images/s\|Class-IL:" $file || fail "$file has got what was meant for a terminal"
done

# Fewer threads than asked for: kernels for those there are, and a word about it.
limited() { OMP_THREAD_LIMIT=1 timeout 300 "$BUILD/lvt-run" "$@"; }
run train $PROGRAM $settings --threads 1 --quiet --out one >/dev/null
expect 0 "1 thread instead of 2: OMP_THREAD_LIMIT" limited train $PROGRAM $settings --quiet --out limited
same one/$last limited/$last
expect 0 "1 thread instead of 2" limited eval $PROGRAM --checkpoint quiet/$last --data digits --threads 2
expect 0 "7 threads for" run eval $PROGRAM --checkpoint quiet/$last --data digits --threads 7

# The number that --threads came to is kept, and another one is told when a run goes on.
grep -q '"team":[[:space:]]*1,' limited/settings.json || fail "the team is not in settings.json"
settings="--data digits --tasks 1 --steps 9 --checkpoint-every 4 --quiet"
cut() { rm -f "$1/task-01.safetensors"; } # back to step 8
timeout 300 taskset -c 0 "$BUILD/lvt-run" train $PROGRAM $settings --out alone >/dev/null
cut alone
cp -r alone other
if [ "$(nproc)" -gt 1 ]; then
    expect 0 "goes on with the 1 thread that it was begun with" run train $PROGRAM --out alone --resume
    run train $PROGRAM $settings --threads 1 --out single >/dev/null
    same single/task-01.safetensors alone/task-01.safetensors
fi
expect 0 "was written with 1 thread, the run goes on with 2" run train $PROGRAM --out other --resume --threads 2

# A run that learns nothing says so (a rate of next to nothing); one that learns does not.
expect 0 "no better than chance in every task" run train $PROGRAM --data digits --tasks 2 --steps 2 --lr 1e-12 --quiet --out nothing
expect 0 "no better than chance in every task" run eval $PROGRAM --checkpoint nothing/$last --data digits
run train $PROGRAM --data digits --tasks 2 --epochs 3 --quiet --out learned >learned.txt 2>&1
run eval $PROGRAM --checkpoint learned/$last --data digits >>learned.txt 2>&1
! grep -q chance learned.txt || { cat learned.txt; fail "a run that learned is called chance"; }

# A gradient that is no number ends the run; the last checkpoint is good.
expect 1 "training diverged" run train $PROGRAM --data digits --tasks 1 --epochs 2 --lr 1e9 --coef clip=0 --checkpoint-every 1 --quiet --out diverged
[ ! -e diverged/task-01.safetensors ] || fail "a task that diverged has an end"
if [ -e diverged/last.safetensors ]; then
    run eval $PROGRAM --checkpoint diverged/last.safetensors --data digits >diverged.txt 2>&1 ||
        grep -q "is no number" diverged.txt || fail "the last checkpoint cannot be read" # huge weights may give NaN
    ! grep -q "last.safetensors: element" diverged.txt || { cat diverged.txt; fail "a checkpoint holds NaN"; }
fi

# Weights that are read are numbers: one element of the last tensor is made NaN, then infinite.
run step $PROGRAM --entry predict --save-states weights.safetensors >/dev/null
expect 0 "Class-IL" run train $PROGRAM --data digits --tasks 2 --steps 2 --weights weights.safetensors --quiet --out weighed
for bits in '\0\0\300\177 nan' '\0\0\200\377 -inf'; do
    printf "${bits% *}" | dd of=weights.safetensors bs=1 seek=$(($(stat -c %s weights.safetensors) - 4)) conv=notrunc 2>/dev/null
    expect 1 "is ${bits#* }" run train $PROGRAM --data digits --tasks 2 --steps 2 --weights weights.safetensors --quiet --out unweighed
    grep -q "weights.safetensors: element .* of .* is " expected.txt || fail "the state is not named"
done
