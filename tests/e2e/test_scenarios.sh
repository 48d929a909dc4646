#!/bin/bash
# Sequences of tasks: unequal splits, class orders with original labels, domains (permuted, rotated, folders), and the
# layouts of pictures: train/test folders, Tiny ImageNet.
source "$1/tests/e2e/lib.bash"
short="--threads 1 --steps 3 --quiet"
classes_of() { awk -F, -v t="$2" '$1 == "class_il" && $2 == t && $3 == t { print $4 }' "$1/accuracy.csv"; } # RUN TASK

# ---- classes --------------------------------------------------------------------------------------------------------
order=9,8,7,6,5,4,3,2,1,0
run train $PROGRAM --data digits --tasks 3 --split 5,3,2 --class-order $order $short --memory 40 --out split >/dev/null
[ "$(classes_of split 1)|$(classes_of split 2)|$(classes_of split 3)" = "9 8 7 6 5|4 3 2|1 0" ] || fail "--split, labels"
head -1 split/confusion.csv | grep -q "^label,name,$order$" || fail "labels of confusion.csv"
run eval $PROGRAM --checkpoint split/task-03.safetensors --data digits >eval.txt
grep -q "4 3 2" eval.txt || fail "labels in eval"
run train $PROGRAM --data digits --tasks 3 --first-task 6 $short --out first >/dev/null
[ "$(classes_of first 1)|$(classes_of first 3)" = "0 1 2 3 4 5|8 9" ] || fail "--first-task"
for seed in 1 2; do run train $PROGRAM --data digits --tasks 2 --class-order seed --seed $seed $short --out seed$seed >/dev/null; done
run train $PROGRAM --data digits --tasks 2 --class-order seed:2 --seed 1 $short --out seed3 >/dev/null
[ "$(classes_of seed1 1)" != "$(classes_of seed2 1)" ] && [ "$(classes_of seed2 1)" = "$(classes_of seed3 1)" ] || fail "order by seed"
run train $PROGRAM --data digits --split 7,2,1 $short --out sizes >/dev/null # as many tasks as sizes
[ "$(classes_of sizes 3)" = "9" ] || fail "--split without --tasks"
expect 1 "3 sizes with 10 classes for 5 tasks" run train $PROGRAM --data digits --tasks 5 --split 5,3,2 $short --out no
expect 1 "3 sizes with 9 classes for 3 tasks" run train $PROGRAM --data digits --tasks 3 --split 5,3,1 $short --out no
expect 2 "sizes of tasks such as" run train $PROGRAM --data digits --tasks 3 --split 5,x,2 $short --out no
expect 2 "contradict" run train $PROGRAM --data digits --tasks 3 --split 5,3,2 --first-task 5 $short --out no

# ---- the untrained network, for forward transfer: the same in both files -----------------------------------------------
run train $PROGRAM --data digits --tasks 5 --fwt $short --out fwt >/dev/null
[ "$(awk -F, '$1 == "class_il" && $2 == 0 { printf "%d:%.6f ", $3, $5 }' fwt/accuracy.csv)" = \
    "$(awk -F'[:,}]' '/"type":"accuracy","after_task":0,/ { printf "%d:%.6f ", $6, $8 }' fwt/metrics.jsonl)" ] &&
    [ "$(grep -c '"after_task":0,' fwt/metrics.jsonl)" = 5 ] || fail "the untrained network's accuracies"

# ---- domains ----------------------------------------------------------------------------------------------------------
for kind in permuted rotated; do
    settings="--data $kind:3:digits --memory 120 --epochs 4 --threads 1 --validation 10% --checkpoint-every 7"
    run train $PROGRAM $settings --out $kind >$kind.txt
    [ "$(classes_of $kind 3)" = "0 1 2 3 4 5 6 7 8 9" ] || fail "$kind: classes of a domain"
    grep -q '"tasks":	3' $kind/settings.json || fail "$kind: number of tasks"
    run eval $PROGRAM --checkpoint $kind/task-03.safetensors --data $kind:3:digits >eval.txt
    [ "$(awk -F, '$1 == "class_il" && $2 == 3 { printf "%.2f ", 100 * $5 }' $kind/accuracy.csv)" = \
        "$(awk '$1 ~ /^[123]$/ { sub("%", "", $2); printf "%s ", $2 }' eval.txt)" ] || { cat eval.txt; fail "$kind: eval"; }
    "$BUILD/lvt-run" train $PROGRAM $settings --quiet --out killed-$kind >/dev/null &
    child=$!
    while kill -0 $child 2>/dev/null && [ ! -e killed-$kind/task-01.safetensors ]; do sleep 0.005; done
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
    run train $PROGRAM --out killed-$kind --resume --quiet >/dev/null
    same $kind/task-03.safetensors killed-$kind/task-03.safetensors
done
# All domains have the same classes: one scenario, said and drawn once.
for kind in permuted rotated; do
    grep -q "^Domain-IL: among all classes" $kind.txt && grep -q "Domain-IL, mean" $kind/report.html &&
        grep -q "Domain-IL: accuracy" $kind/accuracy.svg || fail "$kind: Domain-IL"
    ! grep -E "Class-IL|Task-IL" $kind.txt $kind/report.html $kind/accuracy.svg || fail "$kind: two scenarios that are one"
done
run compare permuted rotated --svg domains.svg >domains.txt
grep -q "runs  Domain-IL" domains.txt && grep -q "Domain-IL, accuracy" domains.svg && ! grep -E "Class-IL|Task-IL" domains.txt domains.svg ||
    fail "compare: two scenarios that are one"
grep -q "domain 60 degrees" rotated.txt && grep -q " 60 degrees$" eval.txt || fail "eval does not name domains"
grep -q "learned (domain permutation 1)" permuted.txt && grep -q "learned (domain 60 degrees)" rotated.txt || fail "names of domains"
# Each domain is another problem of the same classes: replay keeps the first, fine-tuning on the last loses it.
run train $PROGRAM --data permuted:3:digits --epochs 4 --threads 1 --quiet --no-drift --out forgets >/dev/null
first() { awk -F, '$1 == "class_il" && $2 == 3 && $3 == 1 { print $5 }' "$1/accuracy.csv"; }
awk -v a="$(first permuted)" -v b="$(first forgets)" 'BEGIN { print "first domain: replay", a, "without", b; exit !(a > b + 0.1 && a > 0.5) }' ||
    fail "replay over domains"
run train $PROGRAM --data permuted:3,2:digits $short --out other >/dev/null
differ other/task-03.safetensors permuted/task-03.safetensors
expect 0 "429     105" run data permuted:3:digits # three times 143 and 35
expect 2 "permuted:5:digits" run train $PROGRAM --data permuted:1:digits $short --out no
expect 1 "has domains already" run train $PROGRAM --data rotated:2:permuted:2:digits $short --out no
expect 1 "has 3 domains, each a task: --tasks is 2" run train $PROGRAM --data permuted:3:digits --tasks 2 $short --out no
expect 1 "has 3 domains, each a task: --tasks is 5" run train $PROGRAM --data permuted:3:digits --tasks 5 $short --out no
for data in digits permuted:2:digits rotated:4:digits; do # domains are found in the data
    expect 1 "the checkpoint's tasks are 3 domains" run eval $PROGRAM --checkpoint rotated/task-03.safetensors --data $data
done
expect 1 "do not apply" run train $PROGRAM --data permuted:3:digits --first-task 4 $short --out no
expect 1 "smaller than the 30 classes of all domains" run train $PROGRAM --data permuted:3:digits --memory 20 $short --out no

# ---- pictures -----------------------------------------------------------------------------------------------------------
python3 - <<'END'
import os, struct, zlib
def png(path, value, channels=1): # 8x8
    os.makedirs(os.path.dirname(path), exist_ok=True)
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((value + x * y) % 256 for x in range(8) for c in range(channels)) for y in range(8))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 8, 8, 8, channels - 1, 0, 0, 0)) +
                           chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
for c in range(2):
    for i in range(10):
        png(f"split_data/train/c{c}/{i}.png", 100 * c + i)
        png(f"tiny/train/n{c}/images/n{c}_{i}.png", 100 * c + i)
        png(f"mixed/train/c{c}/{i}.png", 100 * c + i, 3 if c and i > 3 else 1) # grey before colour, val instead of test
        for d in ("grey", "colour"):
            png(f"shades/{d}/c{c}/{i}.png", 100 * c + i, 3 if d == "colour" else 1)
        for d in ("photo", "sketch"): # one layout each
            png(f"rooms/{d}/" + ("train/" if d == "sketch" else "") + f"c{c}/{i}.png", 100 * c + i + 30 * (d == "photo"))
    for i in range(3):
        png(f"mixed/val/c{c}/{i}.png", 100 * c + i)
        png(f"split_data/test/c{c}/{i}.png", 100 * c + i)
        png(f"rooms/sketch/test/c{c}/{i}.png", 100 * c + i)
open("tiny/train/n0/n0_boxes.txt", "w").write("n0_0.png\t0\t0\t7\t7\n")
os.makedirs("tiny/test/images"); png("tiny/test/images/test_0.png", 3) # without labels, as published
with open("tiny/val_annotations", "w") as f:
    for i in range(6):
        png(f"tiny/val/images/val_{i}.png", 100 * (i % 2) + i)
        f.write(f"val_{i}.png\tn{i % 2}\t0\t0\t7\t7\n")
os.rename("tiny/val_annotations", "tiny/val/val_annotations.txt")
END
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set classes=2 -o two.lvtx
for data in folder:split_data folder:tiny; do
    run data $data >data.txt
    grep -q "20 training" data.txt && grep -q "6 test" data.txt || { cat data.txt; fail "$data"; }
    run train two.lvtx --data $data --tasks 2 $short --memory 4 --out run-${data#folder:} >/dev/null
done
run train two.lvtx --data domains:rooms $short --memory 8 --out rooms-run >rooms.txt
[ "$(classes_of rooms-run 2)" = "0 1" ] && grep -q "sketch" rooms-run/report.html || fail "folders as domains"
# Colour where any picture is, or as the model takes them; val for test; any data can be scaled.
expect 0 "20 training and 6 test images, 8x8x3" run data folder:mixed
expect 0 "8x8x3" run data domains:shades
expect 0 "16x12x1" run data rotated:2:digits --resize 16x12
run train two.lvtx --data folder:mixed --tasks 2 $short --out run-mixed >/dev/null
run train two.lvtx --data domains:shades $short --out run-shades >/dev/null
"$BUILD/lvtc" "$SOURCE/models/lvt-s.lvt" --set classes=10 --set width=4 --set batch=8 --set predict_batch=8 -o colour.lvtx
run train colour.lvtx --data digits --resize 32x32 --tasks 2 --steps 1 --threads 1 --quiet --out run-colour >/dev/null
run eval colour.lvtx --data digits --resize 32x32 --checkpoint run-colour/task-02.safetensors >/dev/null
mkdir -p alone/train/c0 alone/train/c1
expect 1 "neither test/ nor val/ beside it" run data folder:alone
printf 'val_9.png\tn7\t0\t0\n' >>tiny/val/val_annotations.txt
expect 1 "val_annotations.txt:7: error: there is no class n7" run data folder:tiny
mv rooms/photo/c0 rooms/photo/c9
expect 1 "the classes are not those of domain" run data domains:rooms
rm -r rooms/photo
expect 1 "two folders at least" run data domains:rooms
