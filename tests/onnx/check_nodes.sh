#!/usr/bin/env bash
# The newest node tests that the onnx package of the package index generates, all of them, by hand: some minutes.
# Prints what passed, was refused (by operator) and is wrong. Skipped (77) where the package cannot be installed.
# usage: check_nodes.sh SOURCE_FOLDER BUILD_FOLDER [--list] [--markdown] [--only TEXT]
set -euo pipefail
SOURCE=$(realpath "$1") BUILD=$(realpath "$2")
. "$SOURCE/tests/onnx/venv.bash"
PYTHONPATH=$SOURCE/tests/onnx exec "$PYTHON" -W ignore "$SOURCE/tests/onnx/check_nodes.py" "$BUILD" "${@:3}"
