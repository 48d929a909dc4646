#!/usr/bin/env bash
# The long form of test_export.sh, by hand: some ten minutes, with the binary files of CIFAR-100.
# usage: check_models.sh SOURCE_FOLDER BUILD_FOLDER CIFAR100_FOLDER [predict|train|methods|opsets|MODEL]...
set -euo pipefail
SOURCE=$(realpath "$1") BUILD=$(realpath "$2") DATA=$(realpath "$3")
. "$SOURCE/tests/onnx/venv.bash"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
PYTHONPATH=$SOURCE/tests/onnx "$PYTHON" "$SOURCE/tests/onnx/check_models.py" "$BUILD" "$SOURCE" "$DATA" "$WORK" "${@:4}"
