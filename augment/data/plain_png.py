"""The commonest PNG files, for Pillow's decoder without its parser: that takes longer than small pixels do.

Owns which files these are: one image of 8 bits a channel, gray or RGB, not interlaced, at most a megapixel,
whole to its end, and nothing in it that could change a pixel (a palette, transparency, EXIF, text, frames).
Whatever is not that, or does not decode at once, is nobody's fault here: images.py goes the long way, and
says what is wrong.

Chunks and fields are those of the PNG specification (W3C, third edition), sections 5 and 11.
"""

import struct
import zlib

from PIL import Image

__all__ = ["plain_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# IHDR: width, height, depth, colour type, compression, filter, interlace
_HEADER_CHUNK = struct.Struct(">II5B")
_CHUNK_HEAD = struct.Struct(">I4s")  # bytes of data, type
_CHECKSUM = struct.Struct(">I")
_BEGIN = _SIGNATURE + _CHUNK_HEAD.pack(_HEADER_CHUNK.size, b"IHDR")
_AFTER_HEADER = len(_BEGIN) + _HEADER_CHUNK.size + _CHECKSUM.size
_MODES = {(8, 0, 0, 0, 0): "L", (8, 2, 0, 0, 0): "RGB"}
# Bytes of data; none changes a pixel.
_HARMLESS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"tIME": 7}
_MOST_PIXELS = 1 << 20


def plain_png(data: bytes) -> Image.Image | None:
    """The decoded image, mode L or RGB; None for any other file, which may be a good one all the same."""
    if not data.startswith(_BEGIN) or len(data) < _AFTER_HEADER:
        return None
    width, height, *form = _HEADER_CHUNK.unpack_from(data, len(_BEGIN))
    mode = _MODES.get(tuple(form))
    if (
        mode is None
        or not 0 < width * height <= _MOST_PIXELS
        or not _sums_up(data, len(_SIGNATURE), _AFTER_HEADER)
    ):
        return None
    compressed = _image_data(data)
    if not compressed:
        return None
    try:
        return Image.frombytes(mode, (width, height), compressed, "zip", mode)
    except ValueError:  # too little of it, or damaged
        return None


def _image_data(data: bytes) -> bytes:
    """The content of all IDAT chunks; nothing where another chunk may matter, or the end is missing."""
    parts: list[bytes] = []
    at = _AFTER_HEADER
    while at + _CHUNK_HEAD.size <= len(data):
        length, kind = _CHUNK_HEAD.unpack_from(data, at)
        stop = at + _CHUNK_HEAD.size + length + _CHECKSUM.size
        if stop > len(data):
            return b""
        if kind == b"IDAT":
            parts.append(data[at + _CHUNK_HEAD.size : stop - _CHECKSUM.size])
        elif kind == b"IEND":
            return b"".join(parts)
        elif parts or _HARMLESS.get(kind) != length or not _sums_up(data, at, stop):
            return b""
        at = stop
    return b""


def _sums_up(data: bytes, start: int, stop: int) -> bool:
    """Whether a chunk's checksum is that of its type and content."""
    end = stop - _CHECKSUM.size
    (told,) = _CHECKSUM.unpack_from(data, end)
    return zlib.crc32(data[start + 4 : end]) == int(told)
