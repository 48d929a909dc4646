#!/usr/bin/env bash
# Every so many'th allocation of lvtc and lvt-run fails, once each: the same bytes come out, or a message and
# an exit code that is not 0. LVT_DENY_RUNS: how many allocations of each command are tried (60).
set -uo pipefail
source_dir=$1 build=$(realpath "$2")
runs=${LVT_DENY_RUNS:-60}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if grep -q 'LVT_SANITIZE:BOOL=ON' "$build/CMakeCache.txt"; then
    echo "sanitizers have an allocator of their own"
    exit 77
fi
${CC:-cc} -O1 -shared -fPIC -o "$work/deny.so" "$source_dir/tests/campaign/deny.c" -ldl || exit 77
export XDG_CACHE_HOME=$work/cache OMP_NUM_THREADS=1
failed=0

# sweep NAME OUTPUT COMMAND...: the command writes OUTPUT; stdout counts as output too.
sweep() {
    local name=$1 output=$2 total same=0 refused=0 bad=0
    shift 2
    "$@" >/dev/null 2>&1 # the cache is filled
    LVT_DENY_COUNT=$work/count LD_PRELOAD=$work/deny.so "$@" >"$work/right.out" 2>"$work/right.err" ||
        { echo "$name fails without any allocation denied"; cat "$work/right.err"; failed=1; return; }
    cp "$output" "$work/right" 2>/dev/null || : >"$work/right"
    total=$(cat "$work/count")
    local step=$(((total + runs - 1) / runs))
    for ((at = 0; at < total; at += step)); do
        rm -f "$output"
        LVT_DENY_AT=$at LD_PRELOAD=$work/deny.so timeout 60 "$@" >"$work/out" 2>"$work/err"
        local status=$?
        if [ $status = 0 ]; then
            [ -e "$output" ] || : >"$output"
            if cmp -s "$output" "$work/right" && cmp -s "$work/out" "$work/right.out"; then
                same=$((same + 1))
            else
                bad=$((bad + 1))
                echo "$name: allocation $at of $total denied: exit 0, but other output"
            fi
        elif [ $status = 1 ] && [ -s "$work/err" ]; then
            refused=$((refused + 1))
        else
            bad=$((bad + 1))
            echo "$name: allocation $at of $total denied: exit $status, words: $(head -c 200 "$work/err")"
        fi
    done
    echo "$name: $total allocations, $((same + refused + bad)) denied: $same same bytes, $refused refused with a message, $bad wrong"
    [ $bad = 0 ] || failed=1
}

cd "$source_dir"
sweep compile "$work/m.lvtx" "$build/lvtc" models/lvt-tiny.lvt -o "$work/m.lvtx"
"$build/lvtc" models/lvt-tiny.lvt -o "$work/p.lvtx" || exit 1
sweep step "$work/o.safetensors" "$build/lvt-run" step "$work/p.lvtx" --entry train_new --threads 1 --seed 3 --save-outputs "$work/o.safetensors"
exit $failed
