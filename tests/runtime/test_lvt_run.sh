# lvt-run as a program: help, version, exit codes, and info, bench and check on a small model.
# Arguments: source folder, build folder.
set -u
source=$1 run=$2/lvt-run compiler=$2/lvtc
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failed=0

# expect CODE PATTERN ARGUMENTS...: exit code and a pattern in what it prints (both streams)
expect() {
    code=$1 pattern=$2
    shift 2
    text=$("$run" "$@" 2>&1)
    got=$?
    if [ "$got" != "$code" ] || ! printf '%s\n' "$text" | grep -q -e "$pattern"; then
        echo "lvt-run $*: exit code $got, wanted $code with \"$pattern\" in:"
        printf '%s\n' "$text"
        failed=1
    fi
}

"$compiler" "$source/models/lvt-tiny.lvt" -o "$folder/tiny.lvtx" || exit 1

expect 0 'bench' --help
expect 0 '^lvt-run [0-9]' --version
expect 2 'no command given'
expect 2 'did you mean bench' bnech
for command in info bench check step; do
    expect 0 'Example:' "$command" --help
    expect 2 'usage: lvt-run' "$command"
    expect 1 'nowhere.lvtx' "$command" "$folder/nowhere.lvtx"
done
expect 2 'did you mean --states' info "$folder/tiny.lvtx" --state5
expect 2 'is not a whole number' bench "$folder/tiny.lvtx" --steps many
expect 2 'needs a value' bench "$folder/tiny.lvtx" --steps
expect 2 'takes no value' bench "$folder/tiny.lvtx" --json=1
expect 2 'no such choice' bench "$folder/tiny.lvtx" --by colour
expect 1 'did you mean train' bench "$folder/tiny.lvtx" --entry trian
expect 0 '^parameters   75152 in 59 tensors' info "$folder/tiny.lvtx"
expect 0 'parameter .*f32' info "$folder/tiny.lvtx" --states
expect 0 'median .* ms a run' bench "$folder/tiny.lvtx" --steps 3 --threads 1 --cache "$folder/cache"
expect 0 'first run done .* after the process started' bench "$folder/tiny.lvtx" --steps 2 --threads 1 --cache "$folder/cache"
expect 0 'limits .* GFLOP/s, L2 .* memory' bench "$folder/tiny.lvtx" --steps 2 --threads 1 --cache "$folder/cache" --roofline
expect 1 'nowhere' bench "$folder/tiny.lvtx" --steps 2 --threads 1 --cache "$folder/cache" --svg "$folder/nowhere/r.svg"
# Three steps are one and, from the states saved after it, two more: on the same inputs, the same bits.
step=(step "$folder/tiny.lvtx" --threads 1 --cache "$folder/cache")
expect 0 '^step 3: loss [0-9.]* loss_injection' "${step[@]}" -n 3 --save-inputs "$folder/i" --save-outputs "$folder/o" \
    --save-states "$folder/s"
expect 0 '^step 1:' "${step[@]}" -n 1 --inputs "$folder/i" --save-states "$folder/s1"
expect 0 '^step 3:' "${step[@]}" --inputs "$folder/i" --save-outputs "$folder/o3" --save-states "$folder/s3"
cmp "$folder/o" "$folder/o3" && cmp "$folder/s" "$folder/s3" || failed=1
expect 1 '3 steps, 4 are wanted' "${step[@]}" -n 4 --inputs "$folder/i"
expect 1 'has no input "loss"' "${step[@]}" --inputs "$folder/o"
expect 1 'there is no tensor for input "y"' "${step[@]}" --inputs "$folder/o"
expect 1 'no tensor is called like a state' "${step[@]}" --weights "$folder/i"
if command -v python3 > /dev/null; then
    python3 -c '
import json, sys
d = open(sys.argv[1], "rb").read()
n = int.from_bytes(d[:8], "little")
h, out, at = json.loads(d[8:8 + n]), b"", 0
for k, v in h.items(): # without the first step
    a, b = v["data_offsets"]
    part = d[8 + n + a:8 + n + b][(b - a) // 3:]
    v["shape"][0], v["data_offsets"] = 2, [at, at + len(part)]
    out, at = out + part, at + len(part)
t = json.dumps(h).encode()
open(sys.argv[2], "wb").write(len(t).to_bytes(8, "little") + t + out)' "$folder/i" "$folder/i2"
    expect 0 '^step 2:' "${step[@]}" --inputs "$folder/i2" --weights "$folder/s1" --save-states "$folder/s12"
    cmp "$folder/s" "$folder/s12" || failed=1
fi
expect 0 'all [0-9]* steps agree' check "$folder/tiny.lvtx" --threads 1 --cache "$folder/cache"
if command -v python3 > /dev/null; then
    for by in op line step; do
        "$run" bench "$folder/tiny.lvtx" --steps 2 --threads 1 --cache "$folder/cache" --by $by --json > "$folder/out.json" &&
            python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert r["median_ms"] > 0 and r["flops"] > 1e8 and r["profile"], r
assert sum(p["steps"] for p in r["profile"]) > 5, r' "$folder/out.json" || failed=1
    done
    "$run" bench "$folder/tiny.lvtx" --steps 2 --threads 1 --cache "$folder/cache" --svg "$folder/r.svg" --top 0 --json \
        > "$folder/out.json" && python3 -c '
import json, sys, xml.dom.minidom
r = json.load(open(sys.argv[1]))
assert r["first_done_s"] > 0 and r["peak_memory_mib"] > 1, r
o = r["opening"]
assert o["compiled"] == 0 and 0 < o["cached"] <= o["code_kernels"] and o["onednn_kernels"] > 0, o  # runs before filled the cache
assert 0 < o["read_ms"] and 0 < o["onednn_ms"] and o["compile_ms"] == 0 < o["code_ms"] and 0 < o["states_ms"], o
assert o["read_ms"] + o["onednn_ms"] + o["code_ms"] + o["states_ms"] <= r["open_ms"], r
limits = r["limits"]
assert all(limits[k] > 0 for k in ("fma_gflops", "L2_gbs", "L3_gbs", "memory_gbs")), limits
for key in "steps", "flops", "bytes", "limit_ms", "ms":  # the same work, cut in three ways
    sums = [sum(row[key] for row in r[rows]) for rows in ("ops", "lines", "every_step")]
    assert max(sums) - min(sums) <= 1e-3 * max(sums), (key, sums)
assert sum(row["flops"] for row in r["ops"]) == r["flops"], r["flops"]
for row in r["every_step"]:
    slowest = max(row["flops"] / limits["fma_gflops"], row["bytes"] / limits["L2_gbs"]) * 1e-6
    assert row["limit_ms"] >= slowest * 0.999 - 1e-6 or row["bound"] in ("L3", "memory"), row
assert any("lvt-blocks.lvt:" in row["name"] for row in r["lines"]), r["lines"]
svg = xml.dom.minidom.parse(sys.argv[2])
assert len(svg.getElementsByTagName("circle")) > 10, sys.argv[2]' "$folder/out.json" "$folder/r.svg" || failed=1
    "$run" info "$folder/tiny.lvtx" --json | python3 -c '
import json, sys
r = json.load(sys.stdin)
assert r["parameters"] == 75152 and any(e["name"] == "train" for e in r["entries"]), r' || failed=1
fi
exit $failed
