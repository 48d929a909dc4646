"""Writes the built-in digits as pictures: FOLDER/train/3/0012.png and FOLDER/test/3/0031.png, split as the reader of digits
does.   python3 digits.py SOURCE_FOLDER FOLDER [MOST a class and part]"""
import os
import re
import struct
import sys
import zlib


def png(path, rows):
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">2I5B", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", body) + part(b"IEND", b""))


def main(source, folder, most=10**6):
    with open(source + "/runtime/data/digits_data.c") as f:
        digits = re.findall(r'"([a-q]{64})(\d)"', f.read())
    seen = {}
    for i, (letters, label) in enumerate(digits):
        turn = seen[label] = seen.get(label, -1) + 1
        name = "test" if turn % 5 == 4 else "train"
        if turn // 5 >= most:
            continue
        os.makedirs(f"{folder}/{name}/{label}", exist_ok=True)
        pixels = [((ord(c) - ord("a")) * 255 + 8) // 16 for c in letters]
        png(f"{folder}/{name}/{label}/{i:04d}.png", [pixels[r:r + 8] for r in range(0, 64, 8)])


main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
