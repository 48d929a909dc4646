#!/bin/bash
# Experiment files: what runs follow, messages, the search, the table; kill -9 and Slurm come to the same results.
source "$1/tests/e2e/lib.bash"
cp "$SOURCE"/models/*.lvt .
cat >small.sweep <<'END'
model = lvt-tiny.lvt
data = digits
tasks = 2
steps = 12
threads = 1
checkpoint-every = 3
validation = 10%
seeds = 1..2
search steps = 6

[replay]   # two rows, four combinations each
for method = lvt er
memory = 40
try lr = 0.05 0.1
try coef alpha = 0.5 1

[one classifier]
method = lvt
memory = 40
set classifiers = 1
no-drift = yes
END

# ---- the file: place and words of each mistake -------------------------------------------------------------------
bad() { # "words" PLACE LINE...: appended to a whole file
    local words=$1 line=$2
    shift 2
    { cat small.sweep; printf '%s\n' "$@"; } >bad.sweep
    expect 1 "$words" run sweep bad.sweep --dry-run
    grep -q "^bad.sweep:$line:" expected.txt || { cat expected.txt; fail "the place of: $words"; }
}
bad "memry" 23:1 "[x]" "memry = 4"
bad "is not a whole number" 23:10 "[x]" "memory = many"
bad "several values" 23:6 "[x]" "lr = 0.1 0.2"
bad "none of for, try, search" 23:1 "[x]" "every lr = 0.1"
bad "no value" 23:4 "[x]" "lr ="
bad "neither [NAME] nor KEY = VALUE" 23:1 "[x]" "lr 0.1"
bad "is set twice; first in line 23" 24:1 "[x]" "lr = 0.1" "lr = 0.2"
bad "section of this name in line 11" 22:1 "[replay]"
bad "alone on its line" 22:1 "[x"
bad "is not closed" 23:8 "[x]" 'data = "digits'
bad "is not a number" 23:13 "[x]" "coef beta = x"
bad "the key is seeds" 23:1 "[x]" "seed = 4"
bad "the name of their section" 23:1 "[x]" "name = foo"
bad "is neither a seed nor a range" 23:1 "[x]" "seeds = 5..1"
bad "yes or no" 23:12 "[x]" "no-drift = maybe"
bad "a metric" 23:1 "[x]" "select = accuracy"
# What the search looks at has to be measured, which is said before anything runs.
bad "fwt is only measured with fwt = yes" 24:1 "[x]" "try lr = 0.1 0.2" "select = fwt"
bad "bwt needs two tasks or more" 24:1 "[x]" "try lr = 0.1 0.2" "select = bwt" "tasks = 1"
bad "forgetting needs two tasks or more" 24:1 "[x]" "try tasks = 2 1" "select = forgetting"
bad "forgetting_mean needs two tasks or more" 24:1 "[x]" "try split = 5,5 10" "select = forgetting_mean" "search tasks = 1"
good() { # LINE...: appended to a whole file
    { cat small.sweep; printf '%s\n' "$@"; } >good.sweep
    expect 0 "search" run sweep good.sweep --dry-run
}
good "[x]" "try lr = 0.1 0.2" "select = task_il fwt" "search fwt = yes"
good "[x]" "try lr = 0.1 0.2" "select = aia" "tasks = 1"
good "[x]" "try lr = 0.1 0.2" "select = bwt"
# Runs are counted before they are listed; a seed may be any number.
bad "more than 100000 runs" 23:1 "[x]" "seeds =$(for ((k = 1; k <= 101; k++)); do printf ' %d000..%d999' $k $k; done)"
bad "more than 100000 runs" 24:1 "[x]" "seeds = 0..999" "search-seeds = 0..999" "try lr =$(printf ' 0.%s' {1..101})"
good "[x]" "seeds = 18446744073709551614..18446744073709551615"
grep -q "seed=18446744073709551615" expected.txt && [ "$(grep -c "seed 1844" expected.txt)" = 2 ] || fail "the greatest seeds"
sed -i '/^validation/d' bad.sweep
expect 1 "a search needs images to choose by" run sweep bad.sweep --dry-run
grep -v '^data' small.sweep >bad.sweep
expect 1 "data = KIND:DIR is missing" run sweep bad.sweep --dry-run
expect 1 "nowhere.sweep" run sweep nowhere.sweep
sed 's/lvt-tiny/lvt-none/' small.sweep >bad.sweep
expect 1 "lvt-none.lvt could not be compiled" run sweep bad.sweep --out bad

# ---- what runs follow ---------------------------------------------------------------------------------------------
run sweep small.sweep --dry-run >list.txt
[ "$(tail -1 list.txt)" = "14 runs: 8 to search, 6 final" ] || { cat list.txt; fail "number of runs"; }
[ ! -e small ] || fail "--dry-run wrote something"
[ "$(grep -c -- "--steps=6 .*--validation=10%\|--validation=10% .*--steps=6" list.txt)" = 8 ] || fail "settings of the search"
[ "$(grep -c -- "--validation" list.txt)" = 8 ] || fail "final runs learn from all images"
[ "$(grep -c -- "classifiers=1.*--no-drift" list.txt)" = 2 ] || fail "switches of an ablation"
sed 's/^search steps.*/&\nsearch set width = 16/' small.sweep >narrow.sweep
run sweep narrow.sweep --dry-run >list.txt
[ "$(grep -c 'width=16.*--out=narrow/search/' list.txt)" = 8 ] && [ "$(grep -c width=16 list.txt)" = 8 ] ||
    { cat list.txt; fail "a smaller network in the search alone"; }
run sweep narrow.sweep --prepare --out narrow >/dev/null
ls narrow/programs >programs.txt
[ "$(ls narrow/programs | wc -l)" = 5 ] || { cat programs.txt; fail "programs of search and final runs"; }

# Models of one name in two folders, and settings that only look alike, are programs of their own.
mkdir a b
cp ./*.lvt a
cp ./*.lvt b
sed -i 's/ratio = 2/ratio = 3/' b/lvt-tiny.lvt
printf '%s\n' "for model = a/lvt-tiny.lvt b/lvt-tiny.lvt" "data = digits" "tasks = 2" "steps = 2" "threads = 1" >two.sweep
run sweep two.sweep --quiet >/dev/null
[ "$(grep -h '"program_hash"' two/final/*/settings.json | sort -u | wc -l)" = 2 ] || { ls two/programs; fail "two models, one program"; }

# ---- an experiment that changes after its runs: they are those of the file, or it is told what is not ---------------
mkdir model
cp ./*.lvt model
cat >changing.sweep <<'END'
model = model/lvt-tiny.lvt
data = digits
tasks = 2
steps = 2
threads = 1
set ratio = 2
[first]
memory = 20
END
run sweep changing.sweep --quiet >/dev/null
[ -z "$(ls changing/programs | grep -v 'lvtx$')" ] || { ls changing/programs; fail "what was compiled lies about"; }
programs=$(cat changing/programs/* | cksum)
refused() { # "words" PLACE "note": by sweep changed.sweep
    expect 1 "$1" run sweep changed.sweep --out changing
    grep -q "^changed.sweep:$2:" expected.txt && grep -qF -- "$3" expected.txt || { cat expected.txt; fail "the place of: $1, or $3"; }
    [ "$(cat changing/programs/* | cksum)" = "$programs" ] || fail "a sweep that was refused left programs"
}
sed 's/ratio = 2/ratio = 4/' changing.sweep >changed.sweep
refused "was started with another program" 6:1 "begun with ratio=2, and now there is ratio=4"
sed '/ratio = 2/s/.*/set heads = 2/' changing.sweep >changed.sweep # heads are 2 as it is, and so is ratio
expect 0 "first" run sweep changed.sweep --out changing
sed 's,model/,,; s/^set ratio.*/set ratio = 3/' changing.sweep >changed.sweep
programs=$(cat changing/programs/* | cksum)
refused "was started with another program" 1:1 "model=lvt-tiny.lvt"
sed 's/ratio = 2/ratio = 2\nmethod = er/' changing.sweep >changed.sweep
refused "was started with other settings" 7:1 "begun without --method=er"
sed 's/data = digits/data = permuted:2:digits/' changing.sweep >changed.sweep
refused "was started with other data than permuted:2:digits" 2:1 "begun with digits"
expect 1 "was started with other data than permuted:2:digits" run sweep changing.sweep --data permuted:2:digits
# A model file that changed, then one that it imports, refuses its runs and new ones; a comment changes nothing.
cp changing.sweep changed.sweep
sed -i 's/depth1 = 1/depth1 = 2/' model/lvt-tiny.lvt
refused "was started with another program" 1:1 "the model file, a file that it imports or lvtc has changed"
cp lvt-tiny.lvt model
printf '%s\n' "[second]" "memory = 20" >>changed.sweep
sed -i 's/gelu(/relu(/' model/lvt-blocks.lvt
refused "was started with another program" 1:1 "the model file, a file that it imports or lvtc has changed"
[ ! -e "changing/final/second,seed=1" ] || fail "a new row of a sweep that was refused"
cp lvt-blocks.lvt model
echo "# a comment" >>model/lvt-blocks.lvt
expect 0 "second" run sweep changed.sweep --out changing
# Begun runs removed: the new rows and the old ones have the new program.
rm -r changing/final/*,seed=*
sed -i 's/gelu(/relu(/' model/lvt-blocks.lvt
run sweep changed.sweep --out changing --quiet >/dev/null
[ "$(grep -h '"program_hash"' changing/final/*/settings.json | sort -u | wc -l)" = 1 ] || fail "programs of two versions"
grep -q "$(sed -n 's/.*"program_hash":[^"]*"\(.*\)".*/\1/p' "changing/final/first,seed=1/settings.json")" <(run info changing/programs/*ratio=2~*.lvtx) || fail "a stale program"
# State files from before programs were in them: what settings.json says is enough.
sed -i '/"program"/d' changing/state/final/*.json
expect 0 "second" run sweep changed.sweep --out changing
sed -i 's/ratio = 2/ratio = 4/' changed.sweep
programs=$(cat changing/programs/* | cksum)
refused "was started with another program" 1:1 "a setting of the model"
# Where data lie does not matter, what they are does; who is done needs none.
python3 - <<'END'
import os, random, struct
random.seed(1)
for folder, least in (("here", 0), ("other", 1)):
    os.mkdir(folder)
    for part, n in (("train", 80), ("t10k", 40)):
        labels = bytes(i % 10 for i in range(n))
        pixels = bytes(random.randrange(least, 256) for _ in range(64 * n))
        open(f"{folder}/{part}-images-idx3-ubyte", "wb").write(struct.pack(">4I", 0x803, n, 8, 8) + pixels)
        open(f"{folder}/{part}-labels-idx1-ubyte", "wb").write(struct.pack(">2I", 0x801, n) + labels)
END
printf '%s\n' "model = lvt-tiny.lvt" "data = idx:here" "tasks = 2" "steps = 2" "threads = 1" "[first]" "method = er" "memory = 10" >placed.sweep
run sweep placed.sweep --quiet >/dev/null
expect 1 "was started with other data than idx:other" run sweep placed.sweep --data idx:other
mv here there
expect 0 "first" run sweep placed.sweep
expect 0 "first" run sweep placed.sweep --data idx:there
mv other here
expect 0 "first" run sweep placed.sweep
printf '%s\n' "[second]" "method = finetune" >>placed.sweep
expect 1 "was started with other data than idx:here" run sweep placed.sweep
grep -q "^placed.sweep:2:1:" expected.txt || { cat expected.txt; fail "the place of data"; }
[ ! -e "placed/final/second,seed=1" ] || fail "a row on other data"
run sweep placed.sweep --data idx:there --quiet >/dev/null
[ -e "placed/final/second,seed=1/task-02.safetensors" ] || fail "a row on data that were moved"

# A search without what it is to look at says so, each time, and keeps no other row from going on.
cat >blind.sweep <<'END'
model = lvt-tiny.lvt
data = digits
tasks = 2
steps = 1
threads = 1
validation = 10%
method = finetune
[blind]
select = task_il aia
try lr = 0.1 0.2
[plain]
seeds = 1
END
for n in 1 2; do
    "$BUILD/lvt-run" sweep blind.sweep --out blind --run $n --quiet
    sed -i 's/"aia":[^,}]*/"aia":null/g' blind/search/*/metrics.jsonl
done
for n in 1 2; do
    rm -rf blind/*/plain*
    expect 1 "aia of validation_task_il was not measured in the runs of the search" run sweep blind.sweep --quiet
    grep -q "^blind.sweep:9:1:" expected.txt && grep -q "1 of 4 runs failed" expected.txt || { cat expected.txt; fail "the place of select"; }
    [ -e "blind/final/plain,seed=1/task-02.safetensors" ] || fail "a row was kept from going on"
done
run sweep blind.sweep --run 4 >job.txt 2>&1
[ ! -s job.txt ] || { cat job.txt; fail "a job tells of another row"; }
expect 1 "was not measured" run sweep blind.sweep --run 3

# ---- whole, then killed again and again -----------------------------------------------------------------------------
run sweep small.sweep --jobs 2 --out whole >whole.txt
[ "$(grep -c "<- chosen" whole.txt)" = 2 ] && grep -q "replay, er (trial: at most 12 steps a task)  *2 " whole.txt || { cat whole.txt; fail "tables"; }
best=$(awk -F, '$1 ~ /replay/ && $2 ~ / er"/ && $(NF - 1) > b { b = $(NF - 1); c = $NF } END { print c }' whole/search.csv)
[ "$best" = 1 ] || { cat whole/search.csv; fail "not the best was chosen"; }
grep -q "</svg>" whole/compare.svg && grep -q '^"one classifier (trial: at most 12 steps a task)",2,class_il,acc' whole/compare.csv || fail "files of the comparison"
expect 0 "one classifier" run compare whole --csv again.csv
for format in markdown:compare.md latex:compare.tex csv:compare-seeds.csv text:compare.txt; do
    run compare whole --format "${format%:*}" --output table
    cmp table "whole/${format#*:}" || fail "${format#*:} of the folder"
done
[ "$(grep -c '^| · seed [12] |' whole/compare.md)" = 6 ] && [ "$(grep -c ' & ' whole/compare.tex)" = 10 ] || fail "rows of each seed"
cmp again.csv whole/compare.csv || fail "compare over the folder of a sweep"
touch killed.txt
for ((n = 1; n <= 12; n++)); do # every third while it compiles, the others while runs are under way
    "$BUILD/lvt-run" sweep small.sweep --jobs 2 --out killed >killed.txt 2>&1 &
    child=$!
    while ((n % 3)) && kill -0 $child 2>/dev/null && ! grep -q started killed.txt; do sleep 0.02; done
    sleep 0.$((RANDOM % 8 + 1))
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null && break || true
done
run sweep small.sweep --jobs 2 --out killed --quiet >/dev/null
equal() { # FOLDER: the same table but for time, memory and energy, the same final networks
    diff <(grep -Ev ",(seconds|peak_memory_bytes|energy_joules)," whole/compare.csv) <(grep -Ev ",(seconds|peak_memory_bytes|energy_joules)," "$1/compare.csv") || fail "$1: another table"
    cmp whole/search.csv "$1/search.csv" || fail "$1: another search"
    for run in whole/final/*/; do run=${run%/}; same "$run/task-02.safetensors" "$1/final/${run##*/}/task-02.safetensors"; done
}
equal killed

# Asked to stop: exit code 130; nothing is started twice; two sweeps in one folder.
touch stopped.txt
"$BUILD/lvt-run" sweep small.sweep --jobs 2 --out stopped >stopped.txt 2>&1 &
child=$!
while kill -0 $child 2>/dev/null && ! grep -q started stopped.txt; do sleep 0.02; done
expect 1 "another lvt-run sweep works in this folder" run sweep small.sweep --out stopped
kill -TERM $child
code=0
wait $child || code=$?
[ $code = 130 ] && grep -q "The same command goes on" stopped.txt || { cat stopped.txt; fail "exit code $code after SIGTERM"; }
run sweep small.sweep --jobs 2 --out stopped --quiet >/dev/null
equal stopped
expect 0 "replay, er" run sweep small.sweep --out stopped
grep -q started expected.txt && fail "a finished sweep ran again"
sed 's/^steps = 12/steps = 13/' small.sweep >other.sweep
expect 1 "was started with other settings" run sweep other.sweep --out stopped

# A run that was begun goes on with the threads it has, whatever --jobs is now.
printf '%s\n' "model = lvt-tiny.lvt" "data = digits" "tasks = 2" "epochs = 40" "checkpoint-every = 1" >jobs.sweep
"$BUILD/lvt-run" sweep jobs.sweep --threads 2 --quiet >/dev/null 2>&1 &
child=$!
while kill -0 $child 2>/dev/null && ! ls jobs/final/*/last.safetensors >/dev/null 2>&1; do sleep 0.01; done
kill -9 $child 2>/dev/null || true
wait $child 2>/dev/null || true
# It is told how many, since they bind to processors, or not, before it reads its settings.
"$BUILD/lvt-run" sweep jobs.sweep --threads 1 --jobs 2 --quiet >/dev/null 2>&1 &
child=$!
words=
while kill -0 $child 2>/dev/null && [[ $words != *" --resume"* ]]; do
    words=$(pgrep -a -P $child || true)
done
[[ $words == *" --threads=2 "* ]] || fail "how a run is gone on with: $words"
wait $child || { cat jobs/logs/final/*; fail "another number of threads"; }

# A run that fails does not stop the others, is told, and is tried again.
sed 's/try lr = 0.05 0.1/try lr = 1e9 0.1/; s/^memory = 40/coef clip = 1e30\nmemory = 40/' small.sweep >diverging.sweep
expect 1 "2 of 14 runs failed" run sweep diverging.sweep --out diverging
grep -q "training diverged" expected.txt && grep -q "one classifier (trial: at most 12 steps a task)  *2 " expected.txt || { cat expected.txt; fail "a failed run"; }
[ "$(grep -c ',,0$' diverging/search.csv)" = 2 ] || { cat diverging/search.csv; fail "scores of what failed"; }

# ---- options of training, tried and compared; who stops early keeps the images to measure with in final runs too -------
cat >options.sweep <<'END'
model = lvt-tiny.lvt
data = digits
tasks = 2
steps = 3
threads = 1
memory = 20
validation = 10%
set soft = true
[mixed]
try mixup = 0 0.4
try label-smoothing = 0 0.1
cutout = 2
colour = 0.2
[stopped]
early-stopping = 1
set optimizer = adamw
cutmix = 1
mix-part = 0.5
END
run sweep options.sweep --dry-run >list.txt
[ "$(tail -1 list.txt)" = "6 runs: 4 to search, 2 final" ] || { cat list.txt; fail "number of runs"; }
[ "$(grep -c -- "--early-stopping=1.*--validation=10%\|--validation=10%.*--early-stopping=1" list.txt)" = 1 ] || { cat list.txt; fail "a final run that stops early needs validation images"; }
[ "$(grep -c -- "--mixup=0.4 --label-smoothing=0.1 --cutout=2 --colour=0.2" list.txt)" = 1 ] || { cat list.txt; fail "a combination"; }
run sweep options.sweep --out options --quiet >/dev/null
[ "$(find options -name task-02.safetensors | wc -l)" = 6 ] || fail "runs of options.sweep"
grep -q '"stopped (trial: at most 3 steps a task)",1,class_il,acc' options/compare.csv || fail "the comparison of options.sweep"

# ---- Slurm: the script, with an sbatch that runs each job of an array in turn ---------------------------------------
mkdir bin
cat >bin/sbatch <<'END'
#!/bin/bash
for a in "$@"; do case $a in --array=*) range=${a#--array=}; range=${range%%%*} ;; esac; script=$a; done
for ((i = ${range%-*}; i <= ${range#*-}; i++)); do SLURM_ARRAY_TASK_ID=$i SLURM_CPUS_PER_TASK=1 bash "$script" >>jobs.txt 2>&1; done
echo 17
END
chmod +x bin/sbatch
run sweep small.sweep --out slurm --emit=slurm --jobs 4 >sweep.sh
expect 1 "waits for the search" run sweep small.sweep --out early --run 9
expect 2 "there are 14 runs" run sweep small.sweep --out early --run 15
PATH=$PWD/bin:$PATH bash sweep.sh >/dev/null || { cat jobs.txt; fail "the script for Slurm"; }
run sweep small.sweep --out slurm --quiet >/dev/null
equal slurm
