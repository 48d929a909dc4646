#!/usr/bin/env bash
# By hand: what weights from elsewhere are worth. A ResNet-18 of a quarter of the width is trained by PyTorch on the 70
# classes of CIFAR-100 from number 30 on, exported, imported, and fine-tuned by the driver on three tasks of the other 30,
# with few steps; beside it the same network from the values it began with. Some ten minutes on two cores.
# usage: finetune.sh SOURCE_FOLDER BUILD_FOLDER CIFAR100_FOLDER [STEPS_BEFORE [STEPS_A_TASK]]
#        LVT_TORCH_PYTHON: a Python that has PyTorch (/usr/bin/python3)
set -euo pipefail
SOURCE=$(realpath "$1") BUILD=$(realpath "$2") DATA=$(realpath "$3") BEFORE=${4:-1000} STEPS=${5:-150}
PYTHON=${LVT_TORCH_PYTHON:-/usr/bin/python3}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
export XDG_CACHE_HOME=$WORK/cache
"$PYTHON" -W ignore "$SOURCE/tests/onnx/resnet.py" pretrain ./net.onnx 16 "$DATA" 30 "$BEFORE"
cp "$SOURCE/tests/onnx/resnet.lvt" .
for from in net fresh-net; do
    cp $from.onnx resnet18.onnx
    "$BUILD/lvtc" resnet.lvt --set classes=100 --set size=32 --set channels=3 -o resnet.lvtx
    # The fourth task is the other 70 classes: only the rows before it count.
    "$BUILD/lvt-run" train resnet.lvtx --data "cifar100:$DATA" --tasks 4 --split 10,10,10,70 --memory 200 --lr 0.05 --steps "$STEPS" \
        --lr-schedule cosine --seed 1 --out $from -q >$from.txt
    echo "$from: Class-IL and Task-IL after the third task, mean over tasks"
    awk -F, '$2 == 3 { sum[$1] += $5 } END { for (s in sum) printf "  %s %.2f%%\n", s, 100 * sum[s] / 3 }' $from/accuracy.csv
done
