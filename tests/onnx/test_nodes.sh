#!/usr/bin/env bash
# Of the newest node tests (check_nodes.sh has all): operators since operator set 22, those whose numbers wrap, and those
# of windows; none may be wrong, and few are left out.
# usage: test_nodes.sh SOURCE_FOLDER BUILD_FOLDER
source "$1/tests/onnx/lib.bash"
nodes() { # PASSED REFUSED PATTERN: at least, at most
    local line
    "$PYTHON" -W ignore "$here/check_nodes.py" "$BUILD" --only "$3" "${@:4}" >nodes.txt || { cat nodes.txt; exit 1; }
    line=$(grep '^onnx' nodes.txt)
    echo "$3: $line"
    [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ refused ]]
    ((BASH_REMATCH[1] >= $1 && BASH_REMATCH[2] <= $2)) || { cat nodes.txt; exit 1; }
}
nodes 48 5 '^test_attention_4d((?!expanded).)*$'
nodes 30 0 '^test_(rms_normalization|rotary_embedding)((?!expanded).)*$|^test_swi'
nodes 20 0 '^test_bitshift|^test_(add|sub|mul|div)_u?int(8|16)$|^test_bitwise_.*_[iu]'
nodes 4 8 '^test_(loop11|scan9|scan_sum|if|range_(float|int)).*(?<!seq)(?<!opt)$'
# An attribute that says its default is no attribute that is not known.
nodes 95 8 '^test_((max|average|lp)pool_[12]d|conv|gemm|resize_(up|down)sample_sizes|quantizelinear|dequantizelinear|pad_|lrn|dropout|reduce_max|batchnorm|depthtospace)((?!expanded|float8|int4|blocked|e4m3|e5m2|int2|int16|float4).)*$' --defaults
nodes 12 0 '^test_(center_crop_pad|col2im|affine_grid)((?!expanded).)*$'
