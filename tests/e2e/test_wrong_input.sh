#!/bin/bash
# Wrong input of every kind: the message, the exit code (1: model, data, files; 2: command line), nothing written.
source "$1/tests/e2e/lib.bash"
ok="--data digits --tasks 2 --steps 1 --threads 1 --quiet"
train() { run train "$@"; }

expect 0 "Usage: lvt-run train" train --help
expect 0 "--checkpoint" run eval --help
expect 0 "PICTURE" run predict --help
expect 2 "did you mean --memory" train $PROGRAM --data digits --memry 5 --out run
expect 2 "--out is missing" train $PROGRAM --data digits
expect 2 "--data is missing" train $PROGRAM --out run
expect 2 "no such kind of data" train $PROGRAM --data digit --out run
expect 2 "did you mean confidence" train $PROGRAM $ok --memory-policy confidense --out run
expect 2 "is not a whole number" train $PROGRAM --data digits --tasks two --out run
expect 2 "neither natural" train $PROGRAM $ok --class-order backwards --out run
expect 1 "no coefficient \"gama\"; did you mean gamma" train $PROGRAM $ok --coef gama=1 --out run
grep -q "its coefficients are .*gamma" expected.txt || fail "coefficients are not listed"
expect 1 "it is a setting: compile the model with \`--set momentum=0.9\`" train $PROGRAM $ok --coef momentum=0.9 --out run
expect 2 "is not NAME=NUMBER" train $PROGRAM $ok --coef gamma=x --out run

# What would change nothing.
expect 2 "--memory N" train $PROGRAM $ok --memory-policy herding --out run
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set method=er -o er.lvtx
expect 1 "--no-drift: the program holds no parameters back" train er.lvtx $ok --memory 20 --no-drift --out run
expect 1 "--coef beta: the program does not compute with it (method er)" train er.lvtx $ok --memory 20 --coef beta=1 --out run
expect 1 "--coef alpha: the program does not compute with it (method lvt, without a memory)" train $PROGRAM $ok --coef alpha=2 --out run

expect 1 "none.lvtx" train none.lvtx $ok --out run
head -c 5000 $PROGRAM >short.lvtx
expect 1 "short.lvtx" train short.lvtx $ok --out run
cp $PROGRAM newer.lvtx
printf '\377' | dd of=newer.lvtx bs=1 seek=8 conv=notrunc 2>/dev/null
expect 1 "newer lvt" train newer.lvtx $ok --out run
expect 1 "11 tasks are more than the 10 classes" train $PROGRAM --data digits --tasks 11 --out run
expect 1 "a memory of 9 images is smaller than the 10 classes" train $PROGRAM $ok --memory 9 --out run
expect 1 "leaves 1 of 10" train $PROGRAM --data digits --tasks 3 --first-task 9 --out run
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set classes=7 -o seven.lvtx
expect 1 "the data has 10 classes, the model 7" train seven.lvtx $ok --out run
grep -q -- "--set classes=10" expected.txt || fail "no word on how to mend it"

sed 's/8, 8, 1\]/8, 8, 5]/' "$SOURCE/models/lvt-tiny.lvt" >five.lvt
cp "$SOURCE"/models/{nn,lvt-blocks,methods,continual}.lvt .
"$BUILD/lvtc" five.lvt -o five.lvtx
expect 1 "images of 5 channels; the driver has no more than 4" train five.lvtx $ok --out run
grep -q "^five.lvt:[0-9]*:[0-9]*: error" expected.txt || fail "no place in the model file"

# Data that is missing, packed, cut off, or of another size.
mkdir data
expect 1 "there is no train.bin" train $PROGRAM --data cifar100:data --out run
touch data/train.bin.xz
expect 1 "xz -dk" train $PROGRAM --data cifar100:data --out run
for i in $(seq 0 99); do printf "\\0\\$(printf %03o $i)"; head -c 3072 /dev/zero; done >data/test.bin
head -c 300000 data/test.bin >data/train.bin
expect 1 "truncated" train $PROGRAM --data cifar100:data --out run
cp data/test.bin data/train.bin
expect 1 "the images are 32x32x3, the model takes 8x8x1" train $PROGRAM --data cifar100:data --out run
mkdir -p pictures/a pictures/b
expect 1 "the class is empty" train $PROGRAM --data folder:pictures --out run
for i in 1 2 3 4 5; do echo x >pictures/a/$i.png; done
expect 1 "a/1.png: cannot be decoded" train $PROGRAM --data folder:pictures --out run
expect 1 "cannot be read" train $PROGRAM --data folder:nowhere --out run
[ ! -e run ] || fail "a run that did not begin left its folder"

expect 1 "cannot be made" train $PROGRAM $ok --out /proc/run
touch file
expect 1 "file" train $PROGRAM $ok --out file
expect 1 "there is no run to resume" train $PROGRAM --out nowhere --resume

train $PROGRAM $ok --out run >/dev/null
expect 1 "there is a run in this folder already" train $PROGRAM $ok --out run
last=run/task-02.safetensors
expect 1 "another model" run eval seven.lvtx --checkpoint $last --data digits
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set width=16 -o narrow.lvtx
expect 1 "is a checkpoint of \"lvt_tiny\" compiled with other settings" run eval narrow.lvtx --checkpoint $last --data digits
expect 1 "the images are 32x32x3" run eval $PROGRAM --checkpoint $last --data cifar100:data
expect 2 "--checkpoint is missing" run eval $PROGRAM --data digits
expect 2 "--data is missing" run eval $PROGRAM --checkpoint $last
expect 1 "none.safetensors" run eval $PROGRAM --checkpoint none.safetensors --data digits
head -c 1000 $last >cut.safetensors
expect 1 "not a whole safetensors file" run eval $PROGRAM --checkpoint cut.safetensors --data digits
expect 1 "not a whole safetensors file" run eval $PROGRAM --checkpoint $PROGRAM --data digits
expect 2 "something is missing" run predict $PROGRAM --checkpoint $last
expect 1 "none.png" run predict $PROGRAM --checkpoint $last none.png
expect 1 "neither PNG nor JPEG" run predict $PROGRAM --checkpoint $last $PROGRAM
