#!/bin/bash
# kill -9 at random moments of short runs, at any point between the first file and the last report: resumed, each
# comes to the final checkpoint, tables and records of the run that was left alone. The data may be away meanwhile.
# LVT_KILLS moments (default 5: ctest's short form; 20 for the long one), LVT_KILL_SEED to repeat a run of this test.
source "$1/tests/e2e/lib.bash"
kills=${LVT_KILLS:-5} RANDOM=${LVT_KILL_SEED:-$$}
echo "LVT_KILL_SEED=${LVT_KILL_SEED:-$$} LVT_KILLS=$kills"
settings="--data digits --tasks 3 --epochs 2 --seed 7 --threads 1 --checkpoint-every 4 --log-every 3 --quiet --validation 10%"
methods=(lvt er icarl lwf all) took=() # all: er with every option of training
declare -A options=([lvt]="--memory 50" [er]="--memory 50" [icarl]="--memory 50" [lwf]=""
    [all]="--memory 50 --epochs 4 --early-stopping 1 --mixup 0.4 --cutmix 1 --mix-part 0.8 --label-smoothing 0.1 --cutout 2 --colour 0.3 --lr-warmup 5 --lr-schedule cosine")
declare -A compile=([lvt]="" [er]="--set method=er" [icarl]="--set method=icarl" [lwf]="--set method=lwf"
    [all]="--set method=er --set soft=true --set optimizer=adamw")

records() { # what was measured, without times
    sed -E 's/"(seconds|seconds_left|images_per_second|task_seconds|peak_memory_bytes|energy_joules)":[^,}]*//g; s/"seconds_of_tasks":\[[^]]*\]//' "$1/metrics.jsonl"
}
for method in "${methods[@]}"; do
    "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" ${compile[$method]} -o $method.lvtx
    run train $method.lvtx $settings --steps 1 ${options[$method]} --out warm-$method >/dev/null # kernels are compiled
    start=$(date +%s%N)
    run train $method.lvtx $settings ${options[$method]} --out whole-$method >/dev/null
    took[${#took[@]}]=$((($(date +%s%N) - start) / 1000000))
done
alive=0
for ((n = 0; n < kills; n++)); do
    method=${methods[n % 5]} out=killed-$n
    moment=$((RANDOM * 32768 + RANDOM)) moment=$((moment % took[n % 5]))
    "$BUILD/lvt-run" train $method.lvtx $settings ${options[$method]} --out $out >/dev/null 2>&1 &
    child=$!
    sleep "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))"
    kill -9 $child 2>/dev/null || true
    if wait $child 2>/dev/null; then alive=$((alive + 1)); fi
    at="nothing"
    [ ! -e $out/settings.json ] || at="$(ls $out | grep -c safetensors) checkpoints, $(wc -l 2>/dev/null <$out/metrics.jsonl || echo 0) records"
    echo "$method killed after $moment of ${took[n % 5]} ms: $at"
    if [ -e $out/settings.json ]; then
        run train $method.lvtx --out $out --resume --quiet >/dev/null
    else
        run train $method.lvtx $settings ${options[$method]} --out $out >/dev/null
    fi
    same whole-$method/task-03.safetensors $out/task-03.safetensors
    for file in accuracy.csv confusion.csv memory.png; do [ ! -e whole-$method/$file ] || cmp whole-$method/$file $out/$file || fail "$out: $file differs"; done
    diff <(records whole-$method) <(records $out) >/dev/null || fail "$out: metrics.jsonl has other records"
    [ -z "$(find $out -name '*.tmp')" ] || fail "$out: a temporary file is left"
done
[ $alive -lt $kills ] || fail "no run was killed in time"

# Data that vanish: a run that has read them goes on; one that is resumed says what is missing, loses nothing, and goes
# on when they are back; other data in their place are refused.
python3 - <<'END'
import gzip, random, struct, os
random.seed(1)
os.mkdir("data")
for part, n in (("train", 300), ("t10k", 60)):
    labels = bytes(i % 4 for i in range(n))
    pixels = bytes(min(255, max(0, 60 * l + random.randrange(40))) for l in labels for _ in range(64))
    open(f"data/{part}-images-idx3-ubyte", "wb").write(struct.pack(">4I", 0x803, n, 8, 8) + pixels)
    open(f"data/{part}-labels-idx1-ubyte", "wb").write(struct.pack(">2I", 0x801, n) + labels)
END
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set classes=4 -o four.lvtx
idx="--data idx:data --tasks 2 --epochs 30 --memory 20 --threads 1 --checkpoint-every 5 --quiet"
run train four.lvtx $idx --out there >/dev/null
"$BUILD/lvt-run" train four.lvtx $idx --out away >/dev/null &
child=$!
while kill -0 $child 2>/dev/null && [ ! -e away/last.safetensors ]; do sleep 0.005; done
mv data elsewhere
kill -9 $child 2>/dev/null || true
wait $child 2>/dev/null || true
expect 1 "data" run train four.lvtx --out away --resume --quiet
cp -r elsewhere data
printf '\377' | dd of=data/train-images-idx3-ubyte bs=1 seek=100 conv=notrunc 2>/dev/null
expect 1 "the data is not what" run train four.lvtx --out away --resume --quiet
rm -r data
mv elsewhere moved # the place may be another
run train four.lvtx --out away --resume --quiet --data idx:moved >/dev/null
same there/task-02.safetensors away/task-02.safetensors
