#!/bin/bash
# Two processes under mpirun train as one does with the whole batch: the same losses but for the order of sums; killed and
# resumed, the same bits as undisturbed; both stop together at a signal; wrong numbers of processes are refused.
source "$1/tests/e2e/lib.bash"
command -v mpirun >/dev/null && [ -e "$BUILD/liblvt-mpi.so" ] || { echo "no MPI here: skipped"; exit 77; }
# What Open MPI leaves behind at its end is no leak of ours; the same code without it is checked for leaks in other tests.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
mpi=(mpirun -n 2 --oversubscribe --mca btl self,vader --mca btl_vader_single_copy_mechanism none)
[ "$(id -u)" != 0 ] || mpi+=(--allow-run-as-root)
train=(--data digits --tasks 3 --memory 60 --seed 3 --threads 1 --log-every 1 --checkpoint-every 5 --epochs 1)

for ranks in 1 2; do
  "$BUILD/lvtc" "$1/models/lvt-tiny.lvt" --ranks $ranks -o $ranks.lvtx || fail "lvtc --ranks=$ranks"
done
"$BUILD/lvt-run" train 1.lvtx "${train[@]}" --out one >/dev/null || fail "one process"
"${mpi[@]}" "$BUILD/lvt-run" train 2.lvtx "${train[@]}" --out two >/dev/null 2> two.err || fail "two: $(cat two.err)"

# Losses of single steps. Rounding grows with every step; in the first task it stays far below a thousandth.
losses() { sed -n 's/.*"task":1,.*"global_step":\([0-9]*\),.*"loss":\([-0-9.e]*\),.*/\1 \2/p' "$1/metrics.jsonl"; }
compare() { # RUN RUN
  losses "$1" > one.txt
  losses "$2" > two.txt
  [ "$(wc -l < one.txt)" -gt 10 ] || fail "no losses were recorded"
  paste one.txt two.txt | awk '$1 != $3 || ($2 - $4) ^ 2 > (1e-3 * (1 + $2)) ^ 2 {print; bad = 1} END {exit bad}' ||
    fail "losses of $1 and of $2 differ"
}
compare one two

# Soft labels belong to images: they are divided with them.
for ranks in 1 2; do
  "$BUILD/lvtc" "$1/models/lvt-tiny.lvt" --set soft=true --ranks $ranks -o soft$ranks.lvtx || fail "lvtc --ranks=$ranks, soft"
done
soft=(--mixup 0.4 --label-smoothing 0.1 --steps 12)
"$BUILD/lvt-run" train soft1.lvtx "${train[@]}" "${soft[@]}" --out softone >/dev/null || fail "one process, soft labels"
"${mpi[@]}" "$BUILD/lvt-run" train soft2.lvtx "${train[@]}" "${soft[@]}" --out softtwo >/dev/null 2> two.err || fail "soft: $(cat two.err)"
compare softone softtwo

# Killed in the middle, resumed: the same final state, bit for bit.
"${mpi[@]}" "$BUILD/lvt-run" train 2.lvtx "${train[@]}" --out killed >/dev/null 2>&1 &
mpirun_id=$!
for _ in $(seq 400); do [ -e killed/last.safetensors ] && break; sleep 0.05; done
kill -9 $mpirun_id 2>/dev/null || true
wait $mpirun_id 2>/dev/null || true
for _ in $(seq 200); do # its processes notice and end; the folder is locked until then
  "${mpi[@]}" "$BUILD/lvt-run" train 2.lvtx --out killed --resume > resumed.out 2>&1 && break
  grep -q "another lvt-run" resumed.out || fail "resume: $(cat resumed.out)"
  sleep 0.1
done
same two/task-03.safetensors killed/task-03.safetensors

# A signal to one of them stops both, with a checkpoint.
"${mpi[@]}" "$BUILD/lvt-run" train 2.lvtx "${train[@]}" --epochs 40 --out stopped > stopped.out 2>&1 &
mpirun_id=$!
for _ in $(seq 400); do [ -e stopped/last.safetensors ] && break; sleep 0.05; done
kill -TERM "$(pgrep -P $mpirun_id -f 'lvt-run train' | head -1)" || fail "no process to stop"
wait $mpirun_id || true
grep -q "what was done is saved" stopped.out || fail "not stopped: $(cat stopped.out)"

expect 1 "made for 2 processes" run train 2.lvtx "${train[@]}" --out alone
expect 1 "made for 1 process," "${mpi[@]}" "$BUILD/lvt-run" train 1.lvtx "${train[@]}" --out many
echo "two processes train as one"
