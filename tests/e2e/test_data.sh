#!/bin/bash
# lvt-run data counts what is there and draws it.
source "$1/tests/e2e/lib.bash"
expect 0 "1442 training and 355 test images, 8x8x1" run data digits --sheet sheet.png --columns 3
grep -qE "^ +0 +[0-9]+ +[0-9]+  0$" expected.txt || fail "no row of class 0"
[ "$(awk '/label/ { on = 1; next } on { n += $2 + $3 } END { print n }' expected.txt)" = 1797 ] || fail "counts of classes"
# 10 rows and 3 columns of 8x8 pixels, enlarged four times, with gaps of 2: bytes 16 to 23 of a PNG are width and height.
[ "$(od -An -t u1 -j 16 -N 8 sheet.png | xargs)" = "0 0 0 100 0 0 1 82" ] || fail "size of the sheet"
# Domains are side by side; the first of these is the images as they are.
for kind in permuted rotated; do
    run data $kind:2:digits --sheet $kind.png --columns 4 >/dev/null
    run data digits --sheet plain.png --columns 4 >/dev/null
    ! cmp -s $kind.png plain.png || fail "the sheet of $kind shows one domain"
done
mkdir nothing
expect 1 "there is no train-images-idx3-ubyte" run data idx:nothing
expect 2 "no such kind of data" run data digit
