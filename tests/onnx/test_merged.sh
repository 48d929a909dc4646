#!/usr/bin/env bash
# Exporters write equal tensors once: what is one tensor in a file may be many parameters of a network.
# usage: test_merged.sh SOURCE_FOLDER BUILD_FOLDER
source "$1/tests/onnx/lib.bash"
compile() { # FILE NAME [ARGUMENTS of the call]: what is said is in NAME.txt
    cat >"$2.lvt" <<M
import "nn.lvt"
import "$1.onnx" as net
model $2(batch = 8) {
    training entry train(x: f32[batch, 6], y: i32[batch]) {
        let loss = mean(cross_entropy(net(x${3:-}), y))
        minimize loss with sgd(lr = 0.1)
        return loss = loss
    }
    entry predict(x: f32[batch, 6]) { return logits = net(x${3:-}) }
}
M
    "$BUILD/lvtc" "$2.lvt" -o "$2.lvtx" >"$2.txt" 2>&1
}
step() { # as compile; the states after a step in NAME.states
    compile "$@" || { cat "$2.txt"; exit 1; }
    "$BUILD/lvt-run" step "$2.lvtx" --entry train --save-states "$2.states" >/dev/null
}
check() { "$PYTHON" "$here/merged.py" "$@"; }
says() { grep -qF -- "$2" "$1.txt" || { cat "$1.txt"; echo "not said of $1: $2"; exit 1; }; }

check make .
tensors=(w1 b1 scale shift mean variance w2 b2 gain bias)
# Under a name each, with a layer that is used twice: only an Identity, or who imports it, can tell that it is one.
step own own_tied ", tied = true"
[ ! -s own_tied.txt ] || { cat own_tied.txt; exit 1; }
check names own_tied.states "${tensors[@]}"
for file in older statistic; do
    step $file $file
    [ ! -s $file.txt ] || { cat $file.txt; exit 1; }
    check compare own_tied.states $file.states
done
# Nothing tells: each use of a vector of equal numbers is one of its own, and that is said, once a file. Matrices are one.
step own own
says own "used more than once, the first is 'b1'"
says own "(1 more)"
check names own.states "${tensors[@]}" b1.2
step newer newer
says newer "newer.lvt:5:39: warning: newer.onnx has initialisers with all elements equal that are used more than once, the first is 'b1'"
says newer "(7 more)"
says newer 'say `tied = true` in the call if they are meant to be one'
[ "$(grep -c warning newer.txt)" = 1 ] || { cat newer.txt; exit 1; }
check compare own.states newer.states
# Statistics are one a use even then, since each norm moves its own; also those whose elements differ, and in either form.
step newer all_tied ", tied = true"
says all_tied "used more than once, the first is 'b1'"
check names all_tied.states w1 b1 b1.3 scale scale.2 w2
step apart apart
[ ! -s apart.txt ] || { cat apart.txt; exit 1; }
step shared shared
says shared "with all elements equal, or running statistics, that are used more than once, the first is 'mean'"
says shared "(2 more)"
check compare apart.states shared.states
check names shared.states gain bias scale shift mean mean.2 variance variance.2
compile taken taken && { echo "two tensors of one name"; exit 1; }
says taken "its input 'b1' needs a name of its own, and there is a tensor 'b1.3' already"
# Alone it is the same network.
"$BUILD/lvtc" older.onnx --set batch=8 -o alone.lvtx
"$BUILD/lvt-run" step alone.lvtx --save-inputs alone.in --save-outputs alone.out >/dev/null
check run older.onnx alone.in alone.out
