"""Image files that are damaged, mislabelled, oversized or odd, each in a folder beside good ones.

Built in code: a reader sees what is wrong with each. Formats are written by Pillow and then damaged, or by
hand after their specifications.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.data.factory import encoded, picture
from tests.data.hostile.case import Case, LeftOut, Outcome, Used, beside_good_images

__all__ = ["CASES"]

NO_IMAGE = LeftOut("is not a PNG, JPEG, WebP, BMP, TIFF or GIF image")
TRUNCATED = LeftOut("is truncated")
BAD_HEADER = LeftOut("is truncated or damaged in its header")
RED, BLUE = (255, 0, 0), (0, 0, 255)


def case(title: str, file_name: str, data: Callable[[], bytes], outcome: Outcome, group: str) -> Case:
    path = f"odd/{file_name}"
    return Case(group, title, beside_good_images(path.encode(), data), path, outcome)


def shown(image: Image.Image) -> Callable[[], np.ndarray]:
    return lambda: np.asarray(image.convert("RGB"))


def plain(colour: tuple[int, int, int]) -> Callable[[], np.ndarray]:
    return shown(Image.new("RGB", (16, 16), colour))


def png(header: bytes, *chunks: tuple[bytes, bytes], pixels: bytes = b"") -> bytes:
    """A PNG by its specification: IHDR, the chunks given, IDAT, IEND."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in body)


def ihdr(width: int, height: int, depth: int, colour: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def rows(width_bytes: int, value: bytes) -> bytes:
    """16 unfiltered rows."""
    return (b"\0" + (value * width_bytes)[:width_bytes]) * 16


def adam7() -> bytes:
    """An interlaced red PNG: the seven passes of the PNG specification, 8.2."""
    starts = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    passes = b"".join(
        (b"\0" + bytes(RED) * len(range(x, 16, step_x))) * len(range(y, 16, step_y))
        for x, y, step_x, step_y in starts
    )
    return png(struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 1), pixels=passes)


def cut(image_format: str, **options: object) -> Callable[[], bytes]:
    mode = "P" if image_format == "GIF" else "RGB"
    return lambda: encoded(picture(size=(64, 64), mode=mode), image_format, **options)[:-900]


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data, old
    return data.replace(old, new, 1)


def sized_gif() -> bytes:
    data = bytearray(encoded(picture(mode="P"), "GIF"))
    data[6:10] = b"\xff\xff\xff\xff"
    return bytes(data)


def sized_jpeg() -> bytes:
    data = bytearray(encoded(picture(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    return bytes(data)


def sized_bmp() -> bytes:
    data = bytearray(encoded(picture(), "BMP"))
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    return bytes(data)


def sized_webp() -> bytes:
    """A VP8L header that claims the 16,384 × 16,384 pixels it can."""
    data = bytearray(encoded(picture(), "WEBP", lossless=True))
    start = data.index(b"VP8L") + 9
    data[start : start + 4] = struct.pack("<I", 0x0FFFFFFF)
    return bytes(data)


def tiff(tags: list[tuple[int, int, int, int]], data: bytes = b"", next_ifd: int = 0) -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value), after `data` at byte 8."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(data))
        + data
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", next_ifd)
    )


def sized_tiff() -> bytes:
    side = 60_000
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 16)]
    return tiff(tags, bytes(16))


def circular_tiff() -> bytes:
    """The directory says that the next one is itself."""
    tags = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 16), (279, 4, 1, 256)]
    return tiff(tags, bytes([255]) * 256, next_ifd=8 + 256)


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(corner(orientation if orientation <= 8 else 1), exif=exif)


def corner(orientation: int) -> Image.Image:
    """What a camera stores so that, shown by `orientation`, the upper left quarter is white."""
    upright = np.zeros((16, 16), np.uint8)
    upright[:8, :8] = 255
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    return Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")


def animated(image_format: str, **options: object) -> Callable[[], bytes]:
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    return lambda: encoded(first, image_format, save_all=True, append_images=[second], **options)


def ycck_jpeg() -> bytes:
    """Pillow writes CMYK (Adobe transform 0); the same planes read as YCCK are transform 2."""
    data = encoded(Image.new("CMYK", (16, 16), (255, 128, 128, 0)), "JPEG")
    marker = data.index(b"Adobe")
    return data[: marker + 11] + b"\2" + data[marker + 12 :]


def palette(**options: object) -> bytes:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([*RED, *BLUE])
    return encoded(image, **options)


def as_float(scale: float) -> Callable[[], bytes]:
    return lambda: encoded(Image.new("F", (16, 16), scale), "TIFF")


TRUNCATIONS = [
    case(f"truncated {kind}", f"cut.{kind.lower()}", cut(kind), TRUNCATED, "Damaged files")
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
]
DAMAGES: list[tuple[str, str, Callable[[], bytes], Outcome]] = [
    ("no bytes at all", "empty.png", lambda: b"", LeftOut("is empty (0 bytes)")),
    ("the PNG signature and nothing more", "magic.png", lambda: b"\x89PNG\r\n\x1a\n", BAD_HEADER),
    ("two bytes of JPEG", "magic.jpg", lambda: b"\xff\xd8", NO_IMAGE),
    ("a JPEG's first three bytes", "start.jpg", lambda: b"\xff\xd8\xff", BAD_HEADER),
    ("PNG with a wrong checksum in its pixels", "crc.png",
     lambda: encoded(picture(seed=6))[:-16] + bytes(4) + encoded(picture(seed=6))[-12:],
     Used("checksums are not compared", shown(picture(seed=6)))),
    ("PNG whose compressed pixels are noise", "noise.png",
     lambda: replaced(png(ihdr(16, 16, 8, 2), pixels=rows(48, b"a")), b"x\x9c", b"\0\0"), LeftOut("is …")),
    ("PNG without its last chunk", "noend.png", lambda: encoded(picture())[:-12], Used("its pixels are whole")),
    ("PNG with no pixels (0 × 5)", "zero.png", lambda: png(ihdr(0, 5, 8, 0)), BAD_HEADER),
    ("PNG followed by 10 kB of other bytes", "tail.png", lambda: encoded(picture(seed=5)) + bytes(10_000),
     Used("what follows is ignored", shown(picture(seed=5)))),
    ("JPEG after other bytes", "lead.jpg", lambda: b"\0\0" + encoded(picture(), "JPEG"), NO_IMAGE),
    ("JPEG with its last scan missing half", "half.jpg",
     lambda: encoded(picture(size=(64, 64)), "JPEG")[:1500], TRUNCATED),
    ("TIFF whose directory names itself as the next", "loop.tif", circular_tiff, Used("the first page")),
    ("TIFF whose directory lies outside the file", "far.tif", lambda: b"II*\0\xff\xff\xff\x7f", BAD_HEADER),
    ("BMP with a negative width", "negative.bmp",
     lambda: encoded(picture(), "BMP")[:18] + struct.pack("<i", -16) + encoded(picture(), "BMP")[22:],
     LeftOut("…")),
]  # fmt: skip
LABELS: list[tuple[str, str, Callable[[], bytes], Outcome]] = [
    ("JPEG named .png", "jpeg.png", lambda: encoded(Image.new("RGB", (16, 16), RED), "JPEG"),
     Used("the content decides", plain(RED), 2)),
    ("PNG named .JPG", "png.JPG", lambda: encoded(picture(seed=3)),
     Used("the content decides", shown(picture(seed=3)))),
    ("HTML named .jpg", "page.jpg", lambda: b"<!DOCTYPE html><html>404 Not Found</html>", NO_IMAGE),
    ("SVG named .png", "drawing.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", NO_IMAGE),
    ("gzipped PNG", "packed.png", lambda: gzip.compress(encoded(picture()), mtime=0), NO_IMAGE),
    ("JPEG 2000 named .jpg", "jp2.jpg", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64), NO_IMAGE),
    ("HEIC named .jpg", "phone.jpg", lambda: b"\0\0\0\x18ftypheic" + bytes(64), NO_IMAGE),
    ("a WAV file named .webp", "sound.webp", lambda: b"RIFF\x04\0\0\0WAVE", NO_IMAGE),
    ("PNG named .txt", "image.txt", lambda: encoded(picture()), LeftOut("is no image by its suffix '.txt'")),
    ("PNG without a suffix", "image", lambda: encoded(picture()), LeftOut("is no image by its name (no suffix)")),
]  # fmt: skip
BOMBS: list[tuple[str, str, Callable[[], bytes], Outcome]] = [
    ("PNG header of 50,000 × 50,000", "bomb.png", lambda: png(ihdr(50_000, 50_000, 8, 2)),
     LeftOut("has 2500 megapixels, above source.max_image_megapixels=50")),
    ("JPEG header of 65,535 × 65,535", "bomb.jpg", sized_jpeg, LeftOut("has … megapixels, above …")),
    ("GIF screen of 65,535 × 65,535", "bomb.gif", sized_gif, LeftOut("has … megapixels, above …")),
    ("BMP header of 60,000 × 60,000", "bomb.bmp", sized_bmp, LeftOut("has 3600 megapixels, above …")),
    ("WebP header of 16,384 × 16,384", "bomb.webp", sized_webp, LeftOut("…")),
    ("TIFF directory of 60,000 × 60,000", "bomb.tif", sized_tiff, LeftOut("has 3600 megapixels, above …")),
    ("PNG with 200 MB in a compressed text", "text.png",
     lambda: png(ihdr(16, 16, 8, 0), (b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 1)),
                 pixels=rows(16, b"a")), BAD_HEADER),
    ("PNG with 200 MB in a compressed colour profile", "profile.png",
     lambda: png(ihdr(16, 16, 8, 0), (b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000), 1)),
                 pixels=rows(16, b"a")), BAD_HEADER),
    ("PNG whose 16 × 16 pixels inflate to 50 MB", "fat.png",
     lambda: png(ihdr(16, 16, 8, 0), pixels=rows(16, b"a") + bytes(50_000_000)),
     Used("inflating stops after the last pixel")),
    ("JPEG with 501 scans", "scans.jpg", lambda: b"\xff\xd8\xff" + b"\xff\xda" * 501,
     LeftOut("has 501 JPEG scans, above 500: too slow to decode")),
    ("1 × 65,535 pixels", "tall.png", lambda: encoded(Image.new("RGB", (1, 65_535), RED)),
     Used("cropped to one pixel", plain(RED))),
    ("65,536 × 1 pixels", "wide.png", lambda: encoded(Image.new("L", (65_536, 1))),
     LeftOut("is 65536×1 pixels, and no side may exceed 65535")),
]  # fmt: skip
GRAY_RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
KINDS: list[tuple[str, str, Callable[[], bytes], Outcome]] = [
    ("1-bit PNG", "bit.png", lambda: encoded(Image.new("1", (16, 16), 1)), Used("white", plain((255,) * 3))),
    ("2-bit gray PNG", "two.png", lambda: png(ihdr(16, 16, 2, 0), pixels=rows(4, b"\xff")),
     Used("white", plain((255,) * 3))),
    ("gray with alpha (LA)", "la.png", lambda: encoded(Image.new("LA", (16, 16), (200, 0))),
     Used("over image.background", plain((0,) * 3))),
    ("RGBA, half transparent", "rgba.png", lambda: encoded(Image.new("RGBA", (16, 16), (*RED, 128))),
     Used("over image.background", plain((128, 0, 0)), 1)),
    ("palette", "p.png", palette, Used("the palette's colours", plain(BLUE))),
    ("palette with a transparent colour", "ptrns.png", lambda: palette(transparency=1),
     Used("over image.background", plain((0,) * 3))),
    ("palette with an alpha for every colour (PA)", "pa.png", lambda: palette(transparency=b"\xff\0"),
     Used("over image.background", plain((0,) * 3))),
    ("palette too short for its pixels", "short.png",
     lambda: png(ihdr(16, 16, 8, 3), (b"PLTE", bytes(RED)), pixels=rows(16, b"\x09")),
     Used("black where the palette ends", plain((0,) * 3))),
    ("palette image without a palette", "none.png", lambda: png(ihdr(16, 16, 8, 3), pixels=rows(16, b"\x09")),
     LeftOut("is damaged (…)")),
    ("16-bit gray PNG", "g16.png",
     lambda: encoded(Image.fromarray(np.asarray(GRAY_RAMP, np.uint16) * 257)),
     Used("65,535 is white", shown(Image.fromarray(GRAY_RAMP)))),
    ("16-bit RGB PNG", "rgb16.png", lambda: png(ihdr(16, 16, 16, 2), pixels=rows(96, b"\xff\xff\0\0\0\0")),
     Used("65,535 is 255", plain(RED))),
    ("16-bit big-endian gray TIFF", "be.tif",
     lambda: encoded(Image.fromarray((np.asarray(GRAY_RAMP, ">u2") * 257).astype(">u2")), "TIFF"),
     Used("65,535 is white", shown(Image.fromarray(GRAY_RAMP)))),
    ("float TIFF, 0 to 1", "f.tif", as_float(1.0), Used("1 is white", plain((255,) * 3))),
    ("float TIFF beyond 1", "f255.tif", as_float(255.0), LeftOut("has pixel values 255…255, outside 0…1")),
    ("float TIFF of NaN", "nan.tif", as_float(float("nan")), LeftOut("has pixel values nan…nan, outside 0…1")),
    ("32-bit TIFF beyond 65,535", "i32.tif", lambda: encoded(Image.new("I", (16, 16), 70_000), "TIFF"),
     LeftOut("has pixel values 70000…70000, outside 0…65535")),
    ("CMYK JPEG", "cmyk.jpg",
     lambda: encoded(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=95),
     Used("converted to RGB", plain(RED), 4)),
    ("YCCK JPEG", "ycck.jpg", ycck_jpeg, Used("converted to RGB")),
    ("CIE L*a*b* TIFF", "lab.tif", lambda: encoded(Image.new("LAB", (16, 16)), "TIFF"),
     LeftOut("has colour mode LAB, which is not supported")),
]  # fmt: skip
FRAMES: list[tuple[str, str, Callable[[], bytes], Outcome]] = [
    ("animated GIF", "a.gif", animated("GIF"), Used("the first frame", plain(RED))),
    ("animated WebP", "a.webp", animated("WEBP", lossless=True), Used("the first frame", plain(RED))),
    ("animated PNG", "a.png", animated("PNG"), Used("the first frame", plain(RED))),
    ("TIFF of two pages", "a.tif", animated("TIFF"), Used("the first page", plain(RED))),
    ("MPO (a camera's two JPEGs in one)", "a.jpg", animated("MPO"), Used("the first picture", plain((254, 0, 0)), 2)),
    ("progressive JPEG", "p.jpg",
     lambda: encoded(Image.new("RGB", (16, 16), RED), "JPEG", progressive=True), Used("as any", plain(RED), 2)),
    ("interlaced PNG", "adam7.png", adam7, Used("as any", plain(RED))),
]  # fmt: skip
TEXT_ORIENTATION = b"Exif\0\0" + tiff([(0x0112, 2, 4, int.from_bytes(b"six\0", "little"))])
METADATA: list[tuple[str, str, Callable[[], bytes], Outcome]] = [
    *(
        (f"EXIF orientation {number}", f"exif{number}.png", lambda number=number: oriented(number),
         Used("turned upright", shown(corner(1))))
        for number in range(1, 9)
    ),
    ("EXIF orientation 9", "exif9.png", lambda: oriented(9), Used("as it lies", shown(corner(1)))),
    ("EXIF orientation as text", "text.png", lambda: encoded(corner(1), exif=TEXT_ORIENTATION),
     Used("as it lies", shown(corner(1)))),
    ("EXIF that is no TIFF", "noexif.png", lambda: encoded(picture(seed=4), exif=b"Exif\0\0not a TIFF header"),
     Used("as it lies", shown(picture(seed=4)))),
    ("EXIF that is cut short", "cutexif.jpg",
     lambda: encoded(Image.new("RGB", (16, 16), RED), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
     Used("as it lies", plain(RED), 2)),
    ("PNG with a broken colour profile", "icc.png", lambda: encoded(picture(seed=4), icc_profile=b"no profile"),
     Used("profiles are not applied", shown(picture(seed=4)))),
    ("JPEG with a broken colour profile", "icc.jpg",
     lambda: encoded(Image.new("RGB", (16, 16), RED), "JPEG", icc_profile=b"no profile"),
     Used("profiles are not applied", plain(RED), 2)),
]  # fmt: skip

CASES: tuple[Case, ...] = (
    *TRUNCATIONS,
    *(case(*entry, "Damaged files") for entry in DAMAGES),
    *(case(*entry, "Mislabelled files") for entry in LABELS),
    *(case(*entry, "Bombs and extreme sizes") for entry in BOMBS),
    *(case(*entry, "Kinds of pixels") for entry in KINDS),
    *(case(*entry, "Frames and encodings") for entry in FRAMES),
    *(case(*entry, "Orientation and metadata") for entry in METADATA),
)
