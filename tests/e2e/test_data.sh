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
for option in "--columns 4" "--augmented" "--sheet none.png --cutout 3" "--cutout 3"; do
    expect 2 "says how a sheet is drawn" run data digits $option
done
expect 2 "does not end in .png" run data digits --sheet sheet.jpg
expect 2 "is not rotated:N:DATA with 2 to 1000 domains" run data rotated:3,7:digits # a seed would change nothing
[ ! -e none.png ] || fail "a sheet that was refused"
# Grey of 16 bits without a gamma is what its high bytes say, as in 8 bits.
python3 - <<'END'
import os, struct, zlib
def png(path, depth, value):
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    row = b"\0" + (struct.pack(">H", value * 256) if depth == 16 else bytes([value])) * 8
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">2I5B", 8, 8, depth, 0, 0, 0, 0)) +
                           part(b"IDAT", zlib.compress(row * 8)) + part(b"IEND", b""))
for depth in 8, 16:
    for label in "ab":
        os.makedirs(f"grey{depth}/{label}")
        for i in range(6):
            png(f"grey{depth}/{label}/{i}.png", depth, 64 + 8 * i)
END
run data folder:grey8 | grep "^channels" >grey8.txt
run data folder:grey16 | grep "^channels" | cmp grey8.txt - || fail "pictures of 16 bits"
# Pictures that cannot be read: all of them at once, or left out and counted.
cp -r grey8 torn
: >torn/a/1.png
head -c 40 grey8/a/2.png >torn/a/2.png
cp "$SOURCE/README.md" torn/b/3.jpg
printf '\x89PNG' >"torn/b/caf"$'\xe9'.png
expect 1 "4 of 14 pictures cannot be read" run data folder:torn --check
for file in a/1.png a/2.png b/3.jpg 'b/caf\xe9.png'; do
    grep -qF "torn/$file: " expected.txt || fail "$file is not named"
done
expect 0 "10 training" run data folder:grey8 --check
expect 1 "a/1.png" run data folder:torn
expect 0 "4 pictures that cannot be read are left out" run data folder:torn --skip-broken
[ "$(run data folder:torn --skip-broken 2>/dev/null | awk '/label/ { on = 1; next } on { n += $2 + $3 } END { print n }')" = 10 ] || fail "counts without broken pictures"
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" --set classes=2 -o two.lvtx
expect 0 "left out" run train two.lvtx --data folder:torn --skip-broken --tasks 2 --memory 4 --steps 2 --threads 1 --quiet --out torn-run
expect 0 "left out" run eval two.lvtx --data folder:torn --skip-broken --checkpoint torn-run/task-02.safetensors --threads 1
expect 1 "a/1.png" run train two.lvtx --data folder:torn --tasks 2 --memory 4 --steps 2 --threads 1 --quiet --out torn-run2
mkdir nothing
expect 1 "there is no train-images-idx3-ubyte" run data idx:nothing
expect 2 "no such kind of data" run data digit
