#!/bin/bash
# Dropout deep inside a network needs no word in the entries: the driver counts the step, and a run that is
# killed and resumed drops the same elements as one that was not.
source "$1/tests/e2e/lib.bash"
sed 's/^\( *\)x = light_stem(.*/&\n\1x = deeper(x) as _/
     s/^model /block deeper(x) { return dropout(x, 0.2) }\n&/' "$SOURCE/models/lvt-tiny.lvt" >drop.lvt
grep -q 'x = deeper(x) as _' drop.lvt || fail "the model has another form now"
"$BUILD/lvtc" drop.lvt -o drop.lvtx
"$BUILD/lvtc" drop.lvt --emit=ir | grep -c '^  input "step"' | grep -qx 2 || fail "no input step"
# Random numbers have no form in ONNX: the step is refused with what to do, what answers has none.
"$BUILD/lvtc" drop.lvt --emit=onnx --entry train -o step.onnx 2>refused.txt && fail "a step with dropout was exported"
grep -q "random_uniform cannot be exported" refused.txt && grep -q "a rate of 0 leaves dropout out" refused.txt || fail "words"
"$BUILD/lvtc" drop.lvt --emit=onnx -o predict.onnx
sed 's/dropout(x, 0.2)/dropout(x, 0.0)/' drop.lvt >none.lvt
"$BUILD/lvtc" none.lvt --emit=onnx --entry train -o step.onnx || fail "a rate of 0"
settings="--data digits --tasks 1 --memory 0 --steps 20 --seed 5 --threads 1 --checkpoint-every 10 --quiet"
run train drop.lvtx $settings --out whole >/dev/null
run train drop.lvtx $settings --out again >/dev/null
run train $PROGRAM $settings --out without >/dev/null
same whole/task-01.safetensors again/task-01.safetensors
differ whole/task-01.safetensors without/task-01.safetensors
"$BUILD/lvt-run" train drop.lvtx $settings --out cut >/dev/null &
child=$!
while kill -0 $child 2>/dev/null && [ ! -e cut/last.safetensors ]; do :; done
kill -9 $child 2>/dev/null || true
wait $child 2>/dev/null && echo "note: the run was faster than the signal" || true
run train drop.lvtx --out cut --resume --quiet >/dev/null
same whole/task-01.safetensors cut/task-01.safetensors
