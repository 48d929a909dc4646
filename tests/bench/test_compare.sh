# The comparison with other programs, where there are none: our own figures, as text and as JSON.
# Arguments: source folder, build folder.
set -eu
command -v python3 > /dev/null || exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 "$1/tests/bench/compare" --quick --only 'infer levit_step, 1' --threads 1 --build "$2" --python "$folder/none" \
    --json "$folder/out.json" > "$folder/out.txt"
grep -q 'no PyTorch found' "$folder/out.txt"
grep -q '^infer levit_step, 1, 0.34 GFLOP' "$folder/out.txt"
python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
row, = r["figures"][0]["rows"]
assert row["who"] == "lvt" and 0 < row["best_ms"] <= row["ms"] and 0 < row["share"] < 1.05, row
assert row["peak_memory_mib"] > 1 and row["first_done_s"] > 0, row
assert len(r["samples"]) == 1 and len(r["samples"][0]["checks"]) == 2, r' "$folder/out.json"
if python3 "$1/tests/bench/compare" --venv "$1/venv" --build "$2" > "$folder/out.txt" 2>&1; then
    echo "a virtual environment was allowed in the source tree"
    exit 1
fi
grep -q 'does not belong into the source tree' "$folder/out.txt" && ! [ -e "$1/venv" ]
