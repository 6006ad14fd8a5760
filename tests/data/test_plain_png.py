"""The quick way for plain PNG files: it takes those it should, and never says anything else than the long way."""

from __future__ import annotations

import io
import struct
import zlib
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, PngImagePlugin

from augment.data.images import BadImageError, ImageLimits, whole_image
from augment.data.plain_png import plain_png
from tests.data.factory import encoded, picture

SHAPES = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=40).map(lambda shape: (*shape, 3)),
)


def png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks_of(data: bytes) -> list[bytes]:
    """The chunks behind the signature."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(data[at : at + 12 + length])
        at += 12 + length
    return found


def with_chunk(data: bytes, extra: bytes, before: int) -> bytes:
    chunks = chunks_of(data)
    return data[:8] + b"".join([*chunks[:before], extra, *chunks[before:]])


def verdict(data: bytes) -> tuple[str, bytes] | str:
    """What becomes of a file: its mode and pixels, or the reason why there are none."""
    try:
        image = whole_image(data, 0, ImageLimits())
    except BadImageError as error:
        return str(error)
    return image.mode, image.tobytes()


def verdict_of_the_long_way(data: bytes) -> tuple[str, bytes] | str:
    with patch("augment.data.images.plain_png", lambda data: None):
        return verdict(data)


PLAIN = png(np.arange(60, dtype=np.uint8).reshape(6, 10))


@given(pixels=hnp.arrays(np.uint8, SHAPES), level=st.integers(0, 9))
def test_plain_files_are_taken_and_have_their_pixels(pixels: np.ndarray, level: int) -> None:
    image = plain_png(png(pixels, compress_level=level))
    assert image is not None
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_image_data_in_many_chunks_is_put_together() -> None:
    header, data, end = chunks_of(PLAIN)
    content = data[8:-4]
    parts = [chunk(b"IDAT", content[at : at + 1]) for at in range(len(content))]
    split = PLAIN[:8] + b"".join([header, *parts, chunk(b"IDAT", b""), end])
    image = plain_png(split)
    assert image is not None
    assert ("L", image.tobytes()) == verdict_of_the_long_way(PLAIN) == verdict_of_the_long_way(split)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"gAMA", struct.pack(">I", 45_455)),
        chunk(b"sRGB", b"\0"),
        chunk(b"pHYs", struct.pack(">IIB", 2_835, 2_835, 1)),
        chunk(b"tIME", struct.pack(">HBBBBB", 2_024, 6, 7, 8, 9, 10)),
        chunk(b"cHRM", struct.pack(">8I", *range(8))),
    ],
    ids=lambda extra: extra[4:8].decode(),
)
def test_chunks_that_change_no_pixel_are_passed_over(extra: bytes) -> None:
    data = with_chunk(PLAIN, extra, before=1)
    assert plain_png(data) is not None
    assert verdict(data) == verdict_of_the_long_way(data) == verdict(PLAIN)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    return encoded(picture(), exif=exif)


def animated() -> bytes:
    buffer = io.BytesIO()
    picture(1).save(buffer, "PNG", save_all=True, append_images=[picture(2)])
    return buffer.getvalue()


def with_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n 4\n00000000\n")
    return encoded(picture(), pnginfo=info)


NOT_PLAIN = {
    "palette": encoded(picture(mode="P")),
    "gray with alpha": encoded(picture(mode="LA")),
    "alpha": encoded(picture(mode="RGBA")),
    "one bit": encoded(picture(mode="1")),
    "sixteen bits": encoded(Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)),
    "a transparent gray": encoded(picture(mode="L"), transparency=7),
    "a transparent colour": encoded(picture(), transparency=(1, 2, 3)),
    "upside down by EXIF": turned(),
    "frames": animated(),
    "text": with_text(),
    "an unknown chunk": with_chunk(PLAIN, chunk(b"zzZz", b"?"), before=1),
    "a chunk behind the pixels": with_chunk(PLAIN, chunk(b"gAMA", struct.pack(">I", 1)), before=2),
    "a palette that nobody needs": with_chunk(PLAIN, chunk(b"PLTE", bytes(6)), before=1),
    "no pixels": with_chunk(PLAIN, b"", before=1).replace(chunks_of(PLAIN)[1], b""),
    "no end": PLAIN[:-12],
    "a header twice": with_chunk(PLAIN, chunks_of(PLAIN)[0], before=1),
    "another format": encoded(picture(), "JPEG"),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_whatever_else_goes_the_long_way(kind: str) -> None:
    data = NOT_PLAIN[kind]
    assert plain_png(data) is None
    assert verdict(data) == verdict_of_the_long_way(data)


def test_an_interlaced_file_goes_the_long_way() -> None:
    header = bytearray(chunks_of(PLAIN)[0][8:-4])
    header[12] = 1
    data = PLAIN[:8] + chunk(b"IHDR", bytes(header)) + b"".join(chunks_of(PLAIN)[1:])
    assert plain_png(data) is None


def test_a_large_file_goes_the_long_way_and_the_limits_hold_for_small_ones() -> None:
    assert plain_png(encoded(Image.new("L", (1_025, 1_024)))) is None
    assert plain_png(encoded(Image.new("L", (1_024, 1_024)))) is not None
    with pytest.raises(
        BadImageError, match=r"has 6e-05 megapixels, above source\.max_image_megapixels=5e-05"
    ):
        whole_image(PLAIN, 0, ImageLimits(max_megapixels=0.00005))


@settings(max_examples=300)
@given(
    pixels=hnp.arrays(np.uint8, SHAPES),
    at=st.floats(0, 1, exclude_max=True),
    change=st.one_of(st.integers(1, 255), st.just("cut"), st.binary(min_size=1, max_size=6)),
)
@example(pixels=np.zeros((3, 3), np.uint8), at=0.99, change="cut")
def test_damage_is_judged_as_the_long_way_judges_it(
    pixels: np.ndarray, at: float, change: int | str | bytes
) -> None:
    data = png(pixels)
    position = int(at * len(data))
    if isinstance(change, int):
        data = data[:position] + bytes([data[position] ^ change]) + data[position + 1 :]
    else:
        data = data[:position] + (data[position:] if isinstance(change, bytes) else b"")
        data = data if isinstance(change, str) else data[:position] + change + data[position:]
    assert verdict(data) == verdict_of_the_long_way(data)


@settings(max_examples=100)
@given(rows=st.integers(1, 4), columns=st.integers(1, 4), raw=st.binary(max_size=40), wrapped=st.booleans())
def test_image_data_of_any_content_is_judged_as_the_long_way_judges_it(
    rows: int, columns: int, raw: bytes, wrapped: bool
) -> None:
    header = chunk(b"IHDR", struct.pack(">II5B", columns, rows, 8, 0, 0, 0, 0))
    content = zlib.compress(raw) if wrapped else raw
    data = PLAIN[:8] + header + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    assert verdict(data) == verdict_of_the_long_way(data)
