# Shared by the tests with onnxruntime: makes a virtual environment in the build folder, once, and sets PYTHON.
# Ends with 77 (skipped) when the package index is out of reach.
venv=$BUILD/onnx-venv
exec 9>"$BUILD/onnx-venv.lock"
flock 9
if [ ! -e "$venv/ready" ]; then
    rm -rf "$venv"
    { python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 onnx onnxruntime numpy &&
        touch "$venv/ready"; } >"$BUILD/onnx-venv.log" 2>&1 ||
        { tail -3 "$BUILD/onnx-venv.log"; echo "onnx and onnxruntime cannot be installed"; exit 77; }
fi
flock -u 9
PYTHON=$venv/bin/python
