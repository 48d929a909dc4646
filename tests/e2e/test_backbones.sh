#!/bin/bash
# Any network that returns features learns by every method, with one classifier and with two: one of plain layers, one of
# convolutions and batch norms, and lvt-tiny, which has keys and maps. Inspect has a map a block, or none.
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
declare -A remembers=([lvt]=20 [er]=20 [der++]=20 [er-ace]=20 [a-gem]=20 [finetune]=0 [joint]=0 [lwf]=0 [ewc]=0 [icarl]=20)
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
