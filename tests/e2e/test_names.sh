#!/bin/bash
# Names are untrusted text: classes, runs, paths, models and settings that carry escape sequences, formulas, markup, and
# bytes that are no UTF-8, through every command.
source "$1/tests/e2e/lib.bash"
command -v python3 >/dev/null || { echo "python3 is not there"; exit 77; }
esc=$'\e[31m' title=$'\e]0;x\a' c1=$'\xc2\x9b31m' over=$'\xe2\x80\xae'
classes=("${esc}red${title}" "=1+1" '<script src="x">' "caf"$'\xc3\xa9'"${c1}${over}")
for part in train test; do
    for i in 0 1 2 3; do
        mkdir -p "data$esc/$part/${classes[i]}"
        for n in 1 2 3 4 5 6; do cp "$SOURCE/tests/data/pictures/$([ $i -lt 2 ] && echo turned.png || echo alpha.png)" "data$esc/$part/${classes[i]}/$n.png"; done
    done
done
touch "data$esc/train/${classes[0]}/x.${esc}"
cp "$SOURCE/tests/data/pictures/colour.png" "=${esc}picture.png"
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set classes=4 -o "four${esc}.lvtx"

# clean FILE...: nothing in it that a terminal acts on, and UTF-8.
clean() {
    python3 - "$@" <<'P' || fail "what $1 says is not clean"
import sys, unicodedata
for path in sys.argv[1:]:
    text = open(path, "rb").read().decode("utf-8")
    for c in text:
        bad = unicodedata.category(c) == "Cc" and c not in "\n\t" or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        assert not bad, (path, repr(text[max(0, text.index(c) - 60):text.index(c) + 20]))
P
}
n=0
says() { # CODE command...: what it prints is clean
    local code=$1 got=0
    shift
    n=$((n + 1))
    "$@" >said.$n 2>&1 || got=$?
    [ $got = "$code" ] || { cat said.$n; fail "exit code $got, not $code: $*"; }
    clean said.$n
}
json() { python3 -c 'import json,sys; [json.loads(l) for l in open(sys.argv[1])] if sys.argv[1].endswith("l") else json.load(open(sys.argv[1]))' "$1" || fail "$1 is no JSON"; }

spec="folder:data$esc" run="run${esc}" program="four${esc}.lvtx"
says 0 run data "$spec" --resize 8x8
says 0 run train "$program" --data "$spec" --resize 8x8 --tasks 2 --memory 8 --epochs 1 --threads 1 --plain --name "=${esc}name" --out "$run"
says 0 run train "$program" --data "$spec" --resize 8x8 --tasks 2 --memory 8 --epochs 1 --threads 1 --seed 2 --quiet --out "@two"
says 0 run train "$program" --out "$run" --resume --quiet
last="$run/task-02.safetensors"
says 0 run eval "$program" --checkpoint "$last" --data "$spec" --resize 8x8
says 0 run predict "$program" --checkpoint "$last" --resize "=${esc}picture.png"
says 0 run info "$program"
says 0 run compare "$run" "@two" --csv compare.csv --svg compare.svg
says 1 run train "$program" --data "$spec" --resize 8x8 --out "$run"
says 1 run eval "none$title.lvtx" --checkpoint "$last" --data "$spec"
says 2 run "command$esc"
says 2 run train "$program" "--option$esc=1"
says 1 run predict "$program" --checkpoint "$last" "none$esc.png"
says 2 run train "$program" --data "kind$esc:x" --out other
# Weights of other classes are told, and the classes are named.
mv "data$esc/train/=1+1" "data$esc/train/${esc}other"
says 1 run data "$spec" --resize 8x8
grep -qF 'class "=1+1" is only in' said.$n && grep -qF 'class "\x1b[31mother" is only in' said.$n || fail "classes of one part are not named"
mv "data$esc/test/=1+1" "data$esc/test/${esc}other"
says 0 run train "$program" --data "$spec" --resize 8x8 --tasks 2 --memory 8 --steps 2 --threads 1 --quiet --weights "$last" --out weighted
grep -q "of 4 classes have other names" said.$n || { cat said.$n; fail "other names of classes are not told"; }
grep -q "1 file ignored: 1 " said.$n || { cat said.$n; fail "a file that is left out is not told"; }
mv "data$esc/train/${esc}other" "data$esc/train/=1+1"
mv "data$esc/test/${esc}other" "data$esc/test/=1+1"

# ---- formats
run predict "$program" --checkpoint "$last" --resize "=${esc}picture.png" --json >predict.json
run eval "$program" --checkpoint "$last" --data "$spec" --resize 8x8 --json >eval.json
run info "$program" --json >info.json
for file in predict.json eval.json info.json "$run/settings.json" "$run/metrics.jsonl"; do
    json "$file"
    clean "$file"
done
python3 - predict.json "$last" <<'P' || fail "names do not survive"
import json, struct, sys
want = {"\x1b[31mred\x1b]0;x\x07", "=1+1", '<script src="x">', "caf\u00e9\u009b31m\u202e"}
assert {c["name"] for c in json.load(open(sys.argv[1]))["classes"]} == want
data = open(sys.argv[2], "rb").read()
header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]].decode("utf-8"))
assert set(json.loads(header["__metadata__"]["lvt"])["class_names"]) == want
P
for file in "$run/report.html" "$run/accuracy.svg" compare.svg; do
    clean "$file"
    ! grep -q "<script" "$file" || fail "$file has somebody's markup"
done
python3 - "$run/accuracy.svg" compare.svg <<'P' || fail "a drawing is no XML"
import sys, xml.dom.minidom
for path in sys.argv[1:]: xml.dom.minidom.parse(path)
P
python3 - compare.csv "$run/accuracy.csv" "$run/confusion.csv" <<'P' || fail "a table holds a formula"
import csv, sys
for path in sys.argv[1:]:
    for row in csv.reader(open(path, newline="", encoding="utf-8")):
        for field in row:
            assert not field[:1] or field[0] not in "=+@\t\r" and (field[0] != "-" or float(field) < 0), (path, field)
P

# ---- bytes that are no UTF-8 are refused where they would have to be kept
bad=$'caf\xe9'
mkdir -p "latin/$bad" latin/plain
for class in "$bad" plain; do for i in 1 2 3 4 5; do cp "$SOURCE/tests/data/pictures/grey-alpha.png" "latin/$class/$i.png"; done; done
says 1 run train $PROGRAM --data folder:latin --resize 8x8 --out latin-run
grep -qF 'caf\xe9: the folder'"'"'s name would be a class'"'"'s, but it is not UTF-8' said.$n || fail "a name that is no UTF-8"
[ ! -e latin-run ] || fail "a run that was refused left a folder"
mkdir "$bad"
says 2 run train $PROGRAM --data "folder:$bad" --out latin-run
says 2 run train $PROGRAM --data digits --name "$bad" --out latin-run
says 0 run train $PROGRAM --data digits --tasks 2 --steps 1 --memory 10 --quiet --out "out-$bad"
says 0 run compare "out-$bad" --csv bad.csv --svg bad.svg
clean bad.csv bad.svg "out-$bad/report.html"

# ---- experiments
cat >names.sweep <<S
model = $SOURCE/models/lvt-tiny.lvt
data = digits
tasks = 2
steps = 1
threads = 1
memory = 10
[=1+1 <b> ${over}x]
seeds = 1..2
S
says 0 run sweep names.sweep --plain
clean names/compare.csv names/compare.svg names/compare.txt
says 0 run sweep names.sweep --dry-run --out "dry${esc}"

# ---- the compiler
printf 'model m%sx() {\n}\n' "$esc" >"bad$esc.lvt"
says 1 "$BUILD/lvtc" "bad$esc.lvt" -o x.lvtx
says 1 "$BUILD/lvtc" "none$title.lvt"
says 1 "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set "width$esc=3" -o x.lvtx
says 1 "$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set "norm=$c1" -o x.lvtx
says 2 "$BUILD/lvtc" "--option$esc"
cp "$SOURCE"/models/*.lvt .
cp lvt-tiny.lvt "tiny$esc$bad.lvt"
says 0 "$BUILD/lvtc" "tiny$esc$bad.lvt" -o "tiny$esc.lvtx" --explain --memory-report
says 0 "$BUILD/lvtc" "tiny$esc$bad.lvt" -o "tiny$esc.lvtx" --memory-report=memory.json
says 0 "$BUILD/lvtc" "tiny$esc$bad.lvt" -o "tiny$esc.lvtx" --memory-report=memory.svg
json memory.json
clean memory.json memory.svg
says 0 run bench "tiny$esc.lvtx" --entry predict --by line
says 0 run check "tiny$esc.lvtx" --entry predict
echo "$n commands are clean"
