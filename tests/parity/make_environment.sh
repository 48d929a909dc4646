#!/bin/sh
# Makes a virtual environment with the networks that backbones are compared with: torchvision, timm, vit-pytorch.
# usage: make_environment.sh FOLDER; then FOLDER/bin/python tests/parity/make_reference.py, or
# LVT_TORCH_PYTHON=FOLDER/bin/python for test_torch_weights.sh.
set -eu
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
python3 -m venv "$1"
"$1/bin/pip" install torch torchvision numpy safetensors timm vit-pytorch
