"""Makes the pictures beside this file and expected.txt, what Pillow reads from them.

    python3 tests/data/pictures/make.py

A line: name, height, width, the pixels of convert("RGB") and of convert("L") after ImageOps.exif_transpose, in hex.
16-bit grey is the exception: Pillow keeps 16 bits, of which the high byte is recorded.
"""
import io, os, struct, zlib
import numpy as np
from PIL import Image, ImageOps

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
H, W = 5, 6
smooth = np.clip(np.add.outer(np.arange(H) * 30, np.arange(W) * 20)[..., None] + [0, 60, 110] + rng.integers(0, 9, (H, W, 3)), 0, 255)
colour = smooth.astype(np.uint8)
vivid = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [128, 64, 32], [30, 200, 90]], np.uint8)
vivid = np.tile(vivid, (H, 1, 1))
grey = colour[..., 0]
made = {}

def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
def png(depth, kind, rows, before=b"", interlace=0):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, depth, kind, 0, 0, interlace)) + before +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b""))
def saved(image, kind, **options):
    out = io.BytesIO(); image.save(out, kind, **options); return out.getvalue()

gamma = chunk(b"gAMA", struct.pack(">I", 100000))
made["colour.png"] = png(8, 2, [r.tobytes() for r in vivid])
made["colour-gamma.png"] = png(8, 2, [r.tobytes() for r in colour], gamma)
made["grey-gamma.png"] = png(8, 0, [r.tobytes() for r in grey], gamma)
made["srgb-chunk.png"] = png(8, 2, [r.tobytes() for r in colour], chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 45455)))
made["two-bits.png"] = png(2, 0, [np.packbits(np.unpackbits((r >> 6)[:, None], axis=1)[:, 6:].reshape(-1)).tobytes() for r in grey])
made["palette.png"] = png(8, 3, [bytes(range(W)) for _ in range(H)], chunk(b"PLTE", vivid[0].tobytes()) + chunk(b"tRNS", b"\x80\x00"))
made["alpha.png"] = png(8, 6, [np.concatenate([r, grey[i][:, None]], 1).tobytes() for i, r in enumerate(vivid)], gamma)
made["grey-alpha.png"] = png(8, 4, [np.stack([r, r[::-1]], 1).tobytes() for r in grey])
made["key.png"] = png(8, 2, [r.tobytes() for r in vivid], chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0)))
made["sixteen-colour.png"] = png(16, 2, [(r.astype(">u2") * 251 + 97).astype(">u2").tobytes() for r in colour], gamma)
made["sixteen-grey.png"] = png(16, 0, [(r.astype(">u2") * 251 + 97).astype(">u2").tobytes() for r in grey])
adam7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
made["interlaced.png"] = png(8, 2, [r.tobytes() for x, y, dx, dy in adam7 if x < W for r in colour[y::dy, x::dx]], interlace=1)
made["one-bit.png"] = saved(Image.fromarray(grey > 90), "PNG")
exif = Image.Exif(); exif[0x0112] = 6
made["turned.png"] = saved(Image.fromarray(colour), "PNG", exif=exif)
for orientation in range(1, 9):
    exif = Image.Exif(); exif[0x010F] = "maker"; exif[0x0112] = orientation
    made["turned-%d.jpg" % orientation] = saved(Image.fromarray(colour), "JPEG", quality=95, exif=exif)
little = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 8, 0, 0)
made["turned-little.jpg"] = saved(Image.fromarray(grey), "JPEG", quality=90, exif=little)
made["colour.jpg"] = saved(Image.fromarray(vivid), "JPEG", quality=95, subsampling=0)
made["halved.jpg"] = saved(Image.fromarray(vivid), "JPEG", quality=90, subsampling=2)
made["progressive.jpg"] = saved(Image.fromarray(colour), "JPEG", quality=90, progressive=True)
made["grey.jpg"] = saved(Image.fromarray(grey), "JPEG", quality=90)
inks = np.concatenate([vivid, grey[..., None]], 2)
made["inks.jpg"] = saved(Image.frombytes("CMYK", (W, H), inks.tobytes()), "JPEG", quality=95)
j = made["colour.jpg"]
at = j.index(b"\xff\xda")
made["bytes-between.jpg"] = j[:at] + b"\0\0\0" + j[at:]
made["no-end.jpg"] = j[:-2]
made["bytes-behind.jpg"] = j + b"more"

for bits, palette in ((1, 2), (4, 16), (8, 256)):
    image = Image.fromarray(np.minimum(grey // 8, palette - 1).astype(np.uint8) if bits > 1 else (grey > 90).astype(np.uint8))
    colours = rng.integers(0, 256, (palette, 3), np.uint8) if bits > 1 else np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    made["palette-%d.bmp" % bits] = None, bits, np.asarray(image), colours
def bmp(bits, pixels, palette=b"", head=40, masks=b"", flip=False):
    rows = []
    for row in pixels:
        b = row if isinstance(row, bytes) else row.tobytes()
        rows.append(b + b"\0" * (-len(b) % 4))
    body = b"".join(rows if flip else rows[::-1])
    if head == 12:
        info = struct.pack("<IHHHH", 12, W, H, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", head, W, -H if flip else H, 1, bits, 3 if masks else 0, 0, 0, 0, len(palette) // 4, 0)
        info += (masks + b"\0" * head)[:head - 40] if head > 40 else masks
    at = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(body), 0, 0, at) + info + palette + body
for name in [n for n in made if made[n][0] is None]:
    _, bits, pixels, colours = made[name]
    packed = [np.packbits(np.unpackbits(r[:, None], axis=1)[:, 8 - bits:].reshape(-1)) for r in pixels]
    made[name] = bmp(bits, packed, b"".join(bytes(c[::-1]) + b"\0" for c in colours))
made["colour.bmp"] = bmp(24, vivid[..., ::-1])
made["down.bmp"] = bmp(24, colour[..., ::-1], flip=True)
made["os2.bmp"] = bmp(24, colour[..., ::-1], head=12)
made["grey.bmp"] = saved(Image.fromarray(grey), "BMP")
made["fifteen.bmp"] = bmp(16, ((colour[..., 0].astype(int) >> 3 << 10) | (colour[..., 1] >> 3).astype(int) << 5 | colour[..., 2] >> 3).astype("<u2"))
five_six_five = ((colour[..., 0].astype(int) >> 3 << 11) | (colour[..., 1] >> 2).astype(int) << 5 | colour[..., 2] >> 3).astype("<u2")
made["fields.bmp"] = bmp(16, five_six_five, head=56, masks=struct.pack("<III", 0xf800, 0x7e0, 0x1f))
made["thirty-two.bmp"] = bmp(32, np.concatenate([vivid[..., ::-1], grey[..., None]], 2))
made["cut.bmp"] = made["colour.bmp"][:-3]
made["lossy.webp"] = saved(Image.fromarray(colour), "WEBP", quality=80)
made["lossless.webp"] = saved(Image.fromarray(vivid), "WEBP", lossless=True)
exif = Image.Exif(); exif[0x0112] = 8
made["turned.webp"] = saved(Image.fromarray(vivid), "WEBP", lossless=True, exif=exif)
made["alpha.webp"] = saved(Image.fromarray(np.concatenate([vivid, grey[..., None] | 1], 2)), "WEBP", lossless=True)
made["cut.webp"] = made["lossy.webp"][:-20]

with open(os.path.join(here, "expected.txt"), "w") as out:
    for name in sorted(made):
        open(os.path.join(here, name), "wb").write(made[name])
        try:
            with Image.open(io.BytesIO(made[name])) as im:
                im = ImageOps.exif_transpose(im)
                if im.mode.startswith("I"):
                    im = Image.fromarray((np.asarray(im).astype(np.uint32) >> 8).astype(np.uint8))
                rgb, l = im.convert("RGB"), im.convert("L")
            print(name, im.height, im.width, rgb.tobytes().hex(), l.tobytes().hex(), file=out)
        except OSError as e:
            print(name, "refused:", e); print(name, "-", file=out)
