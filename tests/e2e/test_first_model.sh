#!/bin/bash
# models/README.md begins with a first model and the commands that train it: taken from there as they stand, they work, and
# the network learns. So does the method of one's own further down.
source "$1/tests/e2e/lib.bash"
export PATH=$BUILD:$PATH
# The indented block that holds these words; N: that many lines of it, from the one with the words on.
block() {
    awk -v words="$1" '
        /^    / { block = block substr($0, 5) "\n"; next }
        /^$/ { block = block "\n"; next }
        { if (index(block, words)) { printf "%s", block; found = 1; exit } block = "" }
        END { if (!found && index(block, words)) printf "%s", block }' "$SOURCE/models/README.md" | sed -e '/./,$!d'
}
block "model first(" >first.lvt
[ "$(sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' first.lvt | wc -l)" = 10 ] || fail "not ten lines: $(cat first.lvt)"
block "lvt-run train first.lvtx" >commands
[ "$(grep -c . commands)" = 2 ] || fail "the commands: $(cat commands)"
bash -e commands >out.txt 2>&1 || fail "$(cat commands out.txt)"
[ -s first/report.html ] || fail "no report"
accuracy=$(awk -F, '$1 == "class_il" && $2 == 5 { c += $5 / 5 } END { print int(100 * c) }' first/accuracy.csv)
[ "$accuracy" -ge 40 ] || fail "Class-IL $accuracy%: chance is 10"
block "first.lvt --settings" >more
bash -e more >out.txt 2>&1 || fail "$(cat more out.txt)"
grep -q " width  *32  *channels of both layers" out.txt || fail "the settings: $(cat out.txt)"

block "block mine(s)" >parts
{ # the loss at the top of the file, `use` at the end of the model
    sed '2a import "methods.lvt"' first.lvt | sed '/^model/,$d'
    sed '/^use /,$d' parts
    sed -n '/^model/,$p' first.lvt | sed '/^ *use /,$d'
    sed -n '/^use /,$p' parts
    echo "}"
} >mine.lvt
lvtc mine.lvt || fail "$(cat mine.lvt)"
expect 0 "method own" run train mine.lvtx --data digits --tasks 2 --steps 2 --memory 20 --coef weight_of_old=1 --out mine
