#!/bin/bash
# Answers: folders, lists, standard input; text, JSON, CSV, arrays; broken pictures; what is none of the classes; eval of
# plain folders.
source "$1/tests/e2e/lib.bash"
command -v python3 >/dev/null || { echo "python3 is missing"; exit 77; }
python3 "$SOURCE/tests/e2e/digits.py" "$SOURCE" digits
run train $PROGRAM --data digits --tasks 5 --memory 200 --epochs 4 --threads 1 --quiet --out run >/dev/null
last=run/task-03.safetensors
ask() { run predict $PROGRAM --checkpoint $last --threads 1 "$@"; }

# Where pictures come from: the same ones in the same order, the same answers.
ask --json digits/test/1 digits/test/3 >folder.json
find digits/test/1 digits/test/3 -name '*.png' | LC_ALL=C sort >list
ask --json --list list >list.json
ask --json - <list >stdin.json
(head -5 list; sleep 0.2; tail -n +6 list) | ask --json - >slow.json
xargs "$BUILD/lvt-run" predict $PROGRAM --checkpoint $last --threads 1 --json <list >files.json
for other in list stdin slow files; do cmp folder.json $other.json || fail "answers of $other"; done
[ "$(wc -l <folder.json)" = "$(wc -l <list)" ] || fail "a line a picture"

# Answers are there while more pictures are still to come.
mkfifo questions answers
ask --json - <questions >answers &
asking=$!
exec 7>questions 8<answers
head -1 list >&7
read -r -t 60 first <&8 || fail "no answer while standard input is open"
[ "$first" = "$(head -1 folder.json)" ] || fail "the first answer"
exec 7>&- 8<&-
wait $asking

# Forms: CSV and text have the numbers of JSON; arrays have a row a picture.
ask --csv --top 2 --list list --probabilities p.npy --logits l.safetensors --unknown >answers.csv
ask --json --top 2 --list list --unknown >answers.json
ask --top 2 --list list --unknown >answers.txt
python3 - <<'P' || fail "the forms differ"
import csv, json, math, struct
lines = [json.loads(l) for l in open("answers.json")]
rows = list(csv.DictReader(open("answers.csv")))
text = open("answers.txt").read().split("\n\n")
assert len(rows) == 2 * len(lines) and len(text) == len(lines)
data = open("p.npy", "rb").read()
assert data[:8] == b"\x93NUMPY\x01\x00"
n = struct.unpack("<H", data[8:10])[0]
head = eval(data[10:10 + n].decode())
assert (10 + n) % 64 == 0 and head == {"descr": "<f4", "fortran_order": False, "shape": (len(lines), 10)}
p = struct.unpack(f"<{len(lines) * 10}f", data[10 + n:])
data = open("l.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
head = json.loads(data[8:8 + n])["logits"]
assert head == {"dtype": "F32", "shape": [len(lines), 10], "data_offsets": [0, len(lines) * 40]} and n % 8 == 0
z = struct.unpack(f"<{len(lines) * 10}f", data[8 + n:])
for i, (line, words) in enumerate(zip(lines, text)):
    logits, probabilities = z[10 * i:10 * i + 6], p[10 * i:10 * i + 10]
    assert probabilities[6:] == (0, 0, 0, 0) and abs(sum(probabilities) - 1) < 1e-6 # six classes were learned
    total = sum(math.exp(v - max(logits)) for v in logits)
    for rank, c in enumerate(line["classes"]):
        row = rows[2 * i + rank]
        assert (row["picture"], int(row["rank"]), int(row["class"]), row["name"]) == (line["picture"], rank + 1, c["class"], c["name"])
        assert abs(float(row["probability"]) - c["probability"]) < 1e-6 and row["known"] == str(line["known"]).lower()
        assert abs(c["probability"] - math.exp(logits[c["class"]] - max(logits)) / total) < 1e-5
        assert abs(c["probability"] - probabilities[c["class"]]) < 1e-6 and math.isclose(c["logit"], logits[c["class"]], rel_tol=1e-12)
    assert line["classes"][0]["class"] == max(range(6), key=lambda c: logits[c])
    assert ("none of these" in words) == (not line["known"]) and line["picture"] in words
P

# One picture that cannot be read costs itself.
mkdir mixed && cp digits/test/1/*.png mixed/ && head -c 60 "$(head -1 list)" >mixed/broken.png && echo no >mixed/notes.txt
expect 1 '"error"' ask --json mixed none.png --probabilities q.npy
[ "$(grep -c '"classes"' expected.txt)" = "$(ls digits/test/1 | wc -l)" ] || fail "a broken picture costs others"
[ "$(grep -c '"error"' expected.txt)" = 2 ] || fail "an object for each picture that cannot be read"
grep -q "1 file ignored: 1 .txt" expected.txt && grep -q "2 of .* pictures could not be answered" expected.txt || fail "what was left out"
python3 - <<'P' || fail "rows of pictures that cannot be read"
import math, os, struct
data = open("q.npy", "rb").read()
names = sorted(os.listdir("mixed"))
names.remove("notes.txt")
rows = [data[256 + 40 * i:296 + 40 * i] for i in range(len(names) + 1)]
assert len(data) == 256 + 40 * len(rows)
for name, row in zip(names + ["none.png"], rows):
    assert all(map(math.isnan, struct.unpack("<10f", row))) == (name in ("broken.png", "none.png"))
P
expect 1 "could not be read" ask --json --list nowhere
expect 2 "pictures" ask --json
expect 2 "take one" ask --json --csv mixed
expect 2 "ends neither in" ask --logits l.txt mixed
expect 2 "file of its own" ask --logits l.npy --probabilities l.npy mixed
expect 1 "no output features" ask --features f.npy mixed
[ ! -e f.npy ] && ! ls -A | grep -q '^\.lvt' || fail "files of what was refused"

# None of these: 95 of 100 known pictures pass, and fewer of digits that were never shown.
passed() { grep -c '"known":true' || true; }
known=$(ask --json --unknown digits/test/[0-5] | passed) of=$(ls digits/test/[0-5]/*.png | wc -l)
foreign=$(ask --json --unknown digits/test/[6-9] | passed) others=$(ls digits/test/[6-9]/*.png | wc -l)
[ $((known * 100)) -ge $((of * 95)) ] || fail "of $of known pictures $known pass"
[ $((foreign * of)) -lt $((known * others)) ] || fail "of $others others $foreign pass, of $of known ones $known"
expect 0 "95% of $of test images" run info $PROGRAM --checkpoint $last
run info $PROGRAM --checkpoint $last --json | python3 -c '
import json, sys
c = json.load(sys.stdin)["checkpoint"]
assert [k["name"] for k in c["classes"] if k["learned"]] == list("012345") and 0 < c["known"]["threshold"] <= 1' || fail "info of a checkpoint"
# In the middle of a task nobody has measured: memory says, and a warning.
run train $PROGRAM --data digits --tasks 2 --memory 60 --steps 4 --checkpoint-every 3 --threads 1 --quiet --out part >/dev/null
expect 0 "remembered images" run predict $PROGRAM --checkpoint part/last.safetensors --threads 1 --unknown "$(head -1 list)"
expect 0 "no threshold" run info $PROGRAM --checkpoint part/last.safetensors

# A folder that nobody split: every picture, classes by their names; of the run's own data the test images.
mkdir plain && cp -r digits/test/5 digits/test/1 plain/
n=$(ls plain/*/*.png | wc -l)
expect 0 "on all $n pictures" run eval $PROGRAM --checkpoint $last --data folder:plain --threads 1
run eval $PROGRAM --checkpoint $last --data folder:plain --threads 1 --json >plain.json
right=$(ask --json --top 1 plain | python3 -c '
import json, sys
print(sum(a["picture"].split("/")[1] == a["classes"][0]["name"] for a in map(json.loads, sys.stdin)))')
python3 - "$right" "$n" "$(ls plain/1 | wc -l)" <<'P' || fail "eval of a plain folder"
import json, sys
right, n, ones = map(int, sys.argv[1:])
e = json.load(open("plain.json"))
assert e["images"] == n and [t["images"] for t in e["per_task"]] == [ones, 0, n - ones] and e["per_task"][1]["class_il"] is None
assert abs(sum(t["images"] * t["class_il"] for t in e["per_task"] if t["images"]) - right) < 1e-6
P
rm -r plain/5/*[13579].png plain/1
expect 0 "on all $(ls plain/5 | wc -l) pictures" run eval $PROGRAM --checkpoint $last --data folder:plain --threads 1
cp -r plain/5 plain/five
expect 1 'knows no class "five"' run eval $PROGRAM --checkpoint $last --data folder:plain --threads 1
rm -r plain/five && cp -r digits/test/7 plain/
expect 0 "not learned yet" run eval $PROGRAM --checkpoint $last --data folder:plain --threads 1
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set classes=4 -o four.lvtx
mkdir own && cp -r digits/train/[0-3] own/
run train four.lvtx --data folder:own --tasks 2 --memory 20 --steps 20 --threads 1 --quiet --out own-run >/dev/null
expect 0 " test images of folder" run eval four.lvtx --checkpoint own-run/task-02.safetensors --data folder:own --threads 1

# Names that are not UTF-8: two files stay two in JSON, which stays UTF-8, and have the names that CSV gives them.
mkdir latin
for letter in $'\xe9' $'\xe8'; do cp "$(head -1 list)" "latin/caf$letter.png"; : >"latin/torn$letter.png"; done
expect 1 "2 of 4 pictures" run predict $PROGRAM --checkpoint $last --threads 1 --json latin
ask --json latin >latin.json 2>/dev/null && fail "two pictures are broken"
ask --csv --top 1 latin >latin.csv 2>/dev/null && fail "two pictures are broken"
python3 - <<'P' || fail "names that are not UTF-8"
import csv, json
lines = [json.loads(l) for l in open("latin.json", encoding="utf-8")]
names = [l["picture"] for l in lines]
assert names == [f"latin/{n}\\xe{k}.png" for n in ("caf", "torn") for k in "89"], names
assert ["error" in l for l in lines] == [False, False, True, True]
assert names == [r["picture"] for r in csv.DictReader(open("latin.csv", encoding="utf-8"))]
P
