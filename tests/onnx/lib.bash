# Shared by the tests with onnxruntime: sourced with the source and build folders as arguments.
# Sets SOURCE, BUILD, here (this folder), PYTHON (of venv.bash) and WORK (removed at the end); cd's into WORK.
set -euo pipefail
SOURCE=$1 BUILD=$2
here=$SOURCE/tests/onnx
. "$here/venv.bash"
. "$SOURCE/tests/expect.bash"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
export XDG_CACHE_HOME=$WORK/cache
