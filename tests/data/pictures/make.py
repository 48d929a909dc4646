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
