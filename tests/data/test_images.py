"""What becomes of a file's pixels, however hostile or odd the file."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from augment.data.config import ImageConfig, SourceConfig
from augment.data.images import (
    BadImageError,
    ImageLimits,
    decode_image,
    decoder_version,
    encode_image,
    encode_images,
)
from tests.data.factory import encoded, picture

GRAY, RGB = ImageConfig(size=16, channels=1), ImageConfig(size=16, channels=3)


def png_with_header(width: int, height: int) -> bytes:
    """A well-formed PNG whose header claims a size that its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


def tiff(values: np.ndarray, byte_order: str) -> bytes:
    """A minimal uncompressed 16-bit grayscale TIFF, by the TIFF 6.0 specification."""
    endian, magic = ("<", b"II*\0") if byte_order == "little" else (">", b"MM\0*")
    height, width = values.shape
    data = values.astype(f"{endian}u2").tobytes()
    tags = [
        (256, width),
        (257, height),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(data)),
    ]
    entries = b"".join(struct.pack(f"{endian}HHII", tag, 4, 1, value) for tag, value in tags)
    ifd = struct.pack(f"{endian}H", len(tags)) + entries + struct.pack(f"{endian}I", 0)
    return magic + struct.pack(f"{endian}I", 8 + len(data)) + data + ifd


# ---- what is refused ----------------------------------------------------------------------------------

TRUNCATIONS: dict[str, Callable[[], bytes]] = {
    "png": lambda: encoded(picture(size=(64, 64)))[:-900],
    "jpeg": lambda: encoded(picture(size=(64, 64)), "JPEG")[:-900],
    "webp": lambda: encoded(picture(size=(64, 64)), "WEBP")[:-900],
    "bmp": lambda: encoded(picture(size=(64, 64)), "BMP")[:-900],
    "tiff": lambda: encoded(picture(size=(64, 64)), "TIFF")[:-900],
    "gif": lambda: encoded(picture(size=(64, 64), mode="P"), "GIF")[:-900],
}


@pytest.mark.parametrize("kind", TRUNCATIONS)
def test_a_truncated_file_is_bad_and_says_so(kind: str) -> None:
    with pytest.raises(BadImageError, match="is truncated"):
        decode_image(TRUNCATIONS[kind](), RGB)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        (b"a text file renamed to .png", "is not a PNG, JPEG, WebP, BMP, TIFF or GIF image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a PNG, JPEG, WebP, BMP, TIFF or GIF image"),
        (b"RIFF\x04\0\0\0WAVE", "is not a PNG, JPEG, WebP, BMP, TIFF or GIF image"),
        (b"\x89PNG\r\n\x1a\n", "is truncated or damaged in its header"),
        (png_with_header(20_000, 20_000), "has 400 megapixels, above source.max_image_megapixels=50"),
        (png_with_header(0, 5), "is truncated or damaged in its header"),
        (png_with_header(400_000, 10), "is 400000×10 pixels, and no side may exceed 65535"),
        (b"\xff\xd8\xff" + b"\xff\xda" * 501, "has 501 JPEG scans, above 500: too slow to decode"),
    ],
)
def test_a_hostile_file_is_bad_for_a_reason_that_a_user_understands(data: bytes, reason: str) -> None:
    with pytest.raises(BadImageError) as caught:
        decode_image(data, RGB)
    assert str(caught.value) == reason


def test_a_file_above_the_byte_limit_is_not_even_opened() -> None:
    limits = ImageLimits.of(SourceConfig(uri="x", max_image_mb=0.001))
    with pytest.raises(BadImageError, match=r"has 0\.002 MB, above source\.max_image_mb=0\.001"):
        decode_image(bytes(2_000), RGB, limits)


def test_our_pixel_limit_may_be_above_pillows_own_without_a_warning() -> None:
    wide = encoded(Image.new("1", (10_000, 9_000)))  # 90 megapixels; Pillow warns above 89.5
    limits = ImageLimits(max_megapixels=91)
    assert decode_image(wide, RGB, limits).max() == 0
    with pytest.raises(BadImageError, match="has 90 megapixels"):
        decode_image(wide, RGB)


def test_a_gif_whose_frame_outgrows_its_screen_cannot_pass_the_limit() -> None:
    data = bytearray(encoded(picture(mode="P"), "GIF"))
    frame = data.index(b"\x2c\0\0\0\0")
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(BadImageError, match="megapixels"):
        decode_image(bytes(data), RGB)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "GIF"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    keep=st.integers(1, 2_000),
)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it mends; that is the point here
def test_a_damaged_file_gives_pixels_or_a_bad_image_and_nothing_else(
    kind: str, changes: list[tuple[int, int]], keep: int
) -> None:
    data = bytearray(encoded(picture(), kind))
    for position, value in changes:
        data[position % len(data)] = value
    try:
        pixels = decode_image(bytes(data[:keep]), RGB, ImageLimits(max_megapixels=1))
    except BadImageError:
        return
    assert pixels.shape == (16, 16, 3)


# ---- the rule for each mode ---------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "BMP", "TIFF"])
def test_an_rgb_image_of_the_right_size_comes_through_bit_for_bit(image_format: str) -> None:
    image = picture()
    data = encoded(image, image_format, **({"lossless": True} if image_format == "WEBP" else {}))
    np.testing.assert_array_equal(decode_image(data, RGB), np.asarray(image))


def test_a_28_pixel_gray_image_comes_through_bit_for_bit() -> None:
    image = picture(size=(28, 28), mode="L")
    pixels = decode_image(encoded(image), ImageConfig(size=28, channels=1))
    assert pixels.shape == (28, 28, 1)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[:, :, 0], np.asarray(image))


def test_a_one_bit_image_is_black_and_white() -> None:
    image = picture(mode="1")
    expected = np.where(np.asarray(image), 255, 0)
    np.testing.assert_array_equal(decode_image(encoded(image), GRAY)[:, :, 0], expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("config", [GRAY, RGB], ids=["gray", "rgb"])
def test_every_png_mode_decodes_to_both_channel_counts(mode: str, config: ImageConfig) -> None:
    assert decode_image(encoded(picture(mode=mode)), config).shape == (16, 16, config.channels)


def test_a_palette_is_resolved_and_its_transparent_colour_shows_the_background() -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 8, 16))
    pixels = decode_image(encoded(image, transparency=0), ImageConfig(size=16, background=7))
    assert (pixels[:, :8] == 7).all()
    assert (pixels[:, 8:] == (0, 0, 255)).all()


def test_a_transparent_colour_of_a_gray_or_rgb_png_shows_the_background() -> None:
    white = ImageConfig(size=16, background=255)
    gray = encoded(Image.new("L", (16, 16), 9), transparency=9)
    colour = encoded(Image.new("RGB", (16, 16), (1, 2, 3)), transparency=(1, 2, 3))
    deep = encoded(Image.fromarray(np.full((16, 16), 300, np.uint16)), transparency=300)
    for data in (gray, colour, deep):
        assert (decode_image(data, white) == 255).all()


@pytest.mark.parametrize("alpha", [0, 64, 128, 255])
def test_alpha_is_composited_over_the_background(alpha: int) -> None:
    expected = round((200 * alpha + 50 * (255 - alpha)) / 255)
    for image in (
        Image.new("LA", (16, 16), (200, alpha)),
        Image.new("RGBA", (16, 16), (200, 200, 200, alpha)),
    ):
        pixels = decode_image(encoded(image), ImageConfig(size=16, background=50))
        assert abs(int(pixels[0, 0, 0]) - expected) <= 1
        assert len(np.unique(pixels)) == 1


def test_a_cmyk_jpeg_has_the_colours_it_was_made_from() -> None:
    image = Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK")
    pixels = decode_image(encoded(image, "JPEG", quality=95), RGB).astype(int)
    assert np.abs(pixels - (200, 30, 60)).max() <= 4


def test_a_gray_image_from_rgb_is_the_itu_601_luma() -> None:
    image = picture()
    luma = np.asarray(image).astype(float) @ (0.299, 0.587, 0.114)
    assert np.abs(decode_image(encoded(image), GRAY)[:, :, 0] - luma).max() <= 0.51


SIXTEEN_BIT = np.linspace(0, 65_535, 256).round().astype(np.uint16).reshape(16, 16)


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_sixteen_bits_become_eight_exactly(byte_order: str) -> None:
    expected = np.rint(SIXTEEN_BIT / 257).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(tiff(SIXTEEN_BIT, byte_order), GRAY)[:, :, 0], expected)


def test_a_sixteen_bit_png_rounds_instead_of_dropping_the_low_byte() -> None:
    values = np.array([0, 128, 129, 255, 256, 257, 385, 386, 65_406, 65_407, 65_535] + [0] * 245, np.uint16)
    pixels = decode_image(encoded(Image.fromarray(values.reshape(16, 16))), GRAY)
    assert pixels.reshape(-1)[:11].tolist() == [0, 0, 1, 1, 1, 1, 1, 2, 254, 255, 255]


def test_integers_outside_sixteen_bits_are_bad_by_name_of_their_range() -> None:
    values = SIXTEEN_BIT.astype(np.int32)
    good = encoded(Image.fromarray(values), "TIFF")
    np.testing.assert_array_equal(decode_image(good, GRAY), decode_image(tiff(SIXTEEN_BIT, "big"), GRAY))
    with pytest.raises(BadImageError, match="pixel values 0…131070, outside 0…65535"):
        decode_image(encoded(Image.fromarray(values * 2), "TIFF"), GRAY)


def test_floats_from_0_to_1_are_scaled_and_others_are_bad() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    pixels = decode_image(encoded(Image.fromarray(ramp), "TIFF"), GRAY)
    np.testing.assert_array_equal(pixels.reshape(-1), np.arange(256))
    with pytest.raises(BadImageError, match="outside 0…1"):
        decode_image(encoded(Image.fromarray(ramp * 255), "TIFF"), GRAY)
    with pytest.raises(BadImageError, match="outside 0…1"):
        decode_image(encoded(Image.fromarray(ramp * np.nan), "TIFF"), GRAY)


def test_a_colour_mode_without_a_rule_is_bad() -> None:
    lab = encoded(Image.new("LAB", (16, 16)), "TIFF")
    with pytest.raises(BadImageError, match="has colour mode LAB, which is not supported"):
        decode_image(lab, RGB)


def test_an_animation_gives_its_first_frame() -> None:
    first, second = Image.new("RGB", (16, 16), (255, 0, 0)), Image.new("RGB", (16, 16), (0, 0, 255))
    for image_format, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = encoded(first, image_format, save_all=True, append_images=[second], **options)
        assert (decode_image(data, RGB) == (255, 0, 0)).all()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(image_format: str, orientation: int) -> None:
    upright = np.zeros((16, 16), np.uint8)
    upright[:8, :8] = 255  # the light quarter shows where the corner went
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)).convert("RGB"), image_format, exif=exif)
    np.testing.assert_array_equal(decode_image(data, GRAY)[:, :, 0] > 127, upright > 127)


def test_exif_that_cannot_be_read_takes_nothing_from_the_pixels() -> None:
    data = encoded(picture(), exif=b"Exif\0\0not a TIFF header")
    np.testing.assert_array_equal(decode_image(data, RGB), np.asarray(picture()))


# ---- size ---------------------------------------------------------------------------------------------


def stripes(width: int, height: int) -> bytes:
    """Black at the ends of the longer side, white in its centre square."""
    pixels = np.zeros((height, width), np.uint8)
    edge, (left, top) = (
        min(width, height),
        ((width - min(width, height)) // 2, (height - min(width, height)) // 2),
    )
    pixels[top : top + edge, left : left + edge] = 255
    return encoded(Image.fromarray(pixels))


@pytest.mark.parametrize("size", [(48, 16), (16, 48)])
def test_crop_takes_the_centre_square(size: tuple[int, int]) -> None:
    assert (decode_image(stripes(*size), GRAY) == 255).all()


@pytest.mark.parametrize("size", [(48, 16), (16, 48)])
def test_pad_keeps_everything_between_bars_of_the_background(size: tuple[int, int]) -> None:
    white = encoded(Image.new("L", size, 255))
    pixels = decode_image(white, ImageConfig(size=16, channels=3, fit="pad", background=90))
    if size[0] < size[1]:
        pixels = pixels.transpose(1, 0, 2)
    assert (pixels[:5] == 90).all()
    assert (pixels[5:10] == 255).all()
    assert (pixels[10:] == 90).all()


def test_stretch_shows_the_whole_image() -> None:
    pixels = decode_image(stripes(48, 16), ImageConfig(size=16, channels=1, fit="stretch"))[:, :, 0]
    assert pixels[:, 0].max() == 0
    assert pixels[:, 8].min() > 245


def test_resizing_is_antialiased() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    pixels = decode_image(encoded(Image.fromarray(board.astype(np.uint8))), GRAY)
    assert np.abs(pixels[4:-4, 4:-4].astype(int) - 127).max() <= 2  # nearest neighbour would give 0 or 255


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (17, 16), (3, 2)])
def test_any_shape_becomes_the_configured_one(fit: str, size: tuple[int, int]) -> None:
    config = ImageConfig.model_validate({"size": 20, "channels": 3, "fit": fit})
    assert decode_image(encoded(Image.new("RGB", size)), config).shape == (20, 20, 3)


# ---- encoding -----------------------------------------------------------------------------------------

blocks = hnp.arrays(np.uint8, st.tuples(st.integers(0, 3), st.just(16), st.just(16), st.sampled_from([1, 3])))


@settings(max_examples=60, deadline=None)
@given(pixels_BHWC=blocks, image_format=st.sampled_from(["png", "webp"]), threads=st.integers(1, 3))
def test_encoding_and_decoding_returns_the_same_pixels(
    pixels_BHWC: np.ndarray, image_format: str, threads: int
) -> None:
    config = ImageConfig.model_validate({"size": 16, "channels": pixels_BHWC.shape[3]})
    data = encode_images(pixels_BHWC, image_format, threads)
    assert len(data) == len(pixels_BHWC)
    for pixels, image in zip(pixels_BHWC, data, strict=True):
        np.testing.assert_array_equal(decode_image(image, config), pixels)


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_threads_change_neither_order_nor_bytes(image_format: str) -> None:
    pixels_BHWC = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), np.uint8)
    alone = [encode_image(pixels, image_format) for pixels in pixels_BHWC]
    assert encode_images(pixels_BHWC, image_format, threads=4) == alone


def test_a_gray_png_stays_gray_and_a_gray_webp_has_three_equal_channels() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert Image.open(io.BytesIO(encode_image(gray, "png"))).mode == "L"
    stored = Image.open(io.BytesIO(encode_image(gray, "webp")))
    assert stored.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(stored), np.repeat(gray, 3, axis=2))


def test_what_decodes_is_named_by_its_version() -> None:
    import PIL
    from PIL import features

    version = decoder_version()
    assert f"pillow {PIL.__version__}" in version
    assert f"jpg {features.version('jpg')}" in version
