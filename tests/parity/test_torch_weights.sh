#!/usr/bin/env bash
# Weights of torchvision's, timm's and vit-pytorch's networks load into the models of the same names: only the head needs
# a map, and what timm lists twice. The logits are theirs. usage: test_torch_weights.sh SOURCE_FOLDER BUILD_FOLDER;
# LVT_TORCH_PYTHON: a Python that has them (make_environment.sh)
set -euo pipefail
SOURCE=$1 BUILD=$2
PYTHON=${LVT_TORCH_PYTHON:-/usr/bin/python3}
"$PYTHON" -c 'import safetensors, timm, torchvision, vit_pytorch' 2>/dev/null ||
    { echo "torchvision, timm, vit-pytorch or safetensors is not installed"; exit 77; }
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export XDG_CACHE_HOME=$WORK/cache OMP_NUM_THREADS=2
"$PYTHON" -W ignore "$SOURCE/tests/parity/torch_weights.py" "$SOURCE" "$BUILD" "$WORK"
