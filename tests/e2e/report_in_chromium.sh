#!/bin/bash
# Everything that is made to be looked at, opened in a headless Chromium: report.html of runs that are whole, that have begun, and
# without memory; the drawings of train, compare, bench and lvtc. chromium.py says what is asked of them.
# usage: report_in_chromium.sh SOURCE BUILD [FOLDER [REPORT.html...]]; FOLDER gets the screenshots. Not in ctest: a browser is a
# large thing to need (apt-get install chromium). Other reports, of CIFAR for example, may be named.
folder=$(realpath -m "${3:-/nonexistent}")
reports=
[ $# -lt 4 ] || reports=$(realpath -- "${@:4}")
source "$1/tests/e2e/lib.bash"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "skipped: there is no chromium"; exit 77; }
command -v python3 >/dev/null || { echo "skipped: there is no python3"; exit 77; }
if [ -n "${3:-}" ]; then mkdir -p "$folder"; else folder=$WORK/shots && mkdir "$folder"; fi

settings="--data digits --steps 40 --log-every 5 --threads 1 --quiet"
run train $PROGRAM $settings --tasks 5 --memory 100 --validation 10% --out whole >/dev/null
run train $PROGRAM $settings --tasks 5 --memory 100 --seed 2 --validation 10% --out second >/dev/null
run train $PROGRAM $settings --tasks 1 --no-drift --out alone >/dev/null
# Every class a task: of the run that has only begun, many are to come. Stopped after its second task.
"$BUILD/lvt-run" train $PROGRAM --data digits --tasks 10 --memory 10 --epochs 1000 --log-every 5 --steps 300 --threads 1 --quiet --out begun >/dev/null &
child=$!
for _ in {1..600}; do [ -e begun/task-02.safetensors ] && break; sleep 0.1; done
kill $child
wait $child || true
[ -s begun/report.html ] || fail "the run that was stopped has no report"
run compare whole second alone --svg compare.svg >/dev/null
run bench $PROGRAM --roofline --svg roofline.svg --threads 1 >/dev/null
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --memory-report=memory.svg -o again.lvtx

PYTHONDONTWRITEBYTECODE=1 python3 "$SOURCE/tests/e2e/chromium.py" "$browser" "$folder" whole/report.html whole/accuracy.svg alone/report.html \
    begun/report.html begun/accuracy.svg compare.svg roofline.svg memory.svg $reports
