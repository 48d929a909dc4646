#!/bin/bash
# Any network that returns features learns by every method, with one classifier and with two: one of plain layers, one of
# convolutions and batch norms, and lvt-tiny, which has keys and maps. Inspect has a map a block, or none.
# Every network of the library compiles with every method, and no step of it waits for the interpreter.
source "$1/tests/e2e/lib.bash"
cp "$SOURCE"/models/*.lvt .
cat >plain.lvt <<'END'
import "nn.lvt"
import "continual.lvt"

model plain {
    block network(x) { return relu(linear(reshape(x, [dim(x, 0), 64]), 24)) }
    use continual(network, image = [8, 8, 1], classes = 10, joint_norm = false)
}
END
cat >normed.lvt <<'END'
import "nn.lvt"
import "continual.lvt"

model normed {
    block network(x) {
        repeat 2 as i { x = relu(conv_bn(x, 8 * (i + 1), stride = 2) as layer[i]) }
        return features = mean(x, axes = [1, 2])
    }
    use continual(network, image = [8, 8, 1], classes = 10, joint_norm = false)
}
END
declare -A remembers=([lvt]=20 [er]=20 [der++]=20 [er-ace]=20 [x-der]=20 [a-gem]=20 [finetune]=0 [joint]=0 [lwf]=0 [ewc]=0 [icarl]=20)
for model in plain normed lvt-tiny; do
    for method in "${!remembers[@]}"; do
        for classifiers in 1 2; do
            [ "$model,$classifiers" = lvt-tiny,2 ] && continue # test_methods.sh
            "$BUILD/lvtc" $model.lvt --set method=$method --set classifiers=$classifiers -o p.lvtx
            folder=$model-$method-$classifiers
            run train p.lvtx --data digits --tasks 2 --steps 2 --memory ${remembers[$method]} --seed 3 --threads 1 --quiet \
                --out "$folder" >/dev/null || fail "$folder"
            [ -s "$folder/report.html" ] || fail "$folder: no report"
            python3 - "$folder" $classifiers <<'END' || fail "$folder"
import json, math, sys
records = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
losses = [r["loss"] for r in records if "loss" in r]
assert losses and all(math.isfinite(l) for l in losses), losses
data = open(sys.argv[1] + "/task-02.safetensors", "rb").read()
names = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
assert "accumulation.weight" in names and ("injection.weight" in names) == (sys.argv[2] == "2"), sorted(names)
END
        done
    done
done

# The library's networks, shallow and narrow: a step of each by three methods, whose states stay finite.
declare -A sizes=(
    [resnet18]="width=8 depths=[1,1,1,1]" [vit]="width=24 depth=1 heads=2" [cct]="width=24 depth=2 heads=2 filters=8"
    [cvt]="widths=[8,16,24] heads=[1,1,2] depths=[1,1,1] head_dim=8"
    [coat]="widths=[16,24,24,24] depths=[1,1,1,1] parallel_depth=1"
    [levit-t]="widths=[16,32,48] heads=[1,2,3] depths=[1,1,1] key_dim=8" [levit]="widths=[16,32,48] depths=[1,1,1] heads=[1,2,3]"
    [lvt]="width=8 depth1=1 depth2=1" [lvt-s]="width=8 depth1=1 depth2=1")
check() { # MODEL NAME=VALUE...: compiled to p.lvtx with a kernel for every step
    local model=$1
    shift
    "$BUILD/lvtc" "$model.lvt" -o p.lvtx --set batch=4 --set memory_batch=4 --set predict_batch=4 --set classes=10 \
        "${@/#/--set=}" --explain >explain.txt || fail "$model $*"
    ! grep ' on interp' explain.txt || fail "$model $*: steps without a kernel"
}
step() { # ENTRY: of p.lvtx, on made-up inputs
    run step p.lvtx --entry "$1" --steps 2 --save-outputs out --save-states states >/dev/null || fail "$1"
    python3 - out states <<'END' || fail "$1"
import json, math, struct, sys
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    n = 8 + int.from_bytes(data[:8], "little")
    for name, t in json.loads(data[8:n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            begin, end = t["data_offsets"]
            values = struct.unpack(f"<{(end - begin) // 4}f", data[n + begin:n + end])
            assert all(math.isfinite(v) for v in values), (path, name)
END
}
for model in "${!sizes[@]}"; do
    read -ra small <<<"${sizes[$model]}"
    for method in "${!remembers[@]}"; do
        for classifiers in 1 2; do check "$model" "${small[@]}" method="$method" classifiers=$classifiers; done
        case $method in lvt | der++ | icarl) step train ;; esac
    done
done
# What is off by default.
for model in cct cvt; do
    read -ra small <<<"${sizes[$model]}"
    check "$model" "${small[@]}" dropout_rate=0.2 && step train
done
for model in cct coat levit-t; do
    read -ra small <<<"${sizes[$model]}"
    check "$model" "${small[@]}" drop_path_rate=0.2 && step train
done
check coat "widths=[8,16,24,32]" "depths=[1,1,1,1]" "ratios=[8,8,4,4]" parallel_depth=0 && step train
for attention in self external; do
    check lvt-s width=8 attention=$attention && step train
    check lvt-s width=8 attention=$attention norm=batch_norm method=ewc joint_norm=false && step train
done
expect 1 "attention is \"inter_task\", \"self\" or \"external\"" "$BUILD/lvtc" lvt-s.lvt --set attention=other
