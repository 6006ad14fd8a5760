"""Hashes of one image: equal for equal pixels, near for copies, and marked where they say nothing."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from augment.data.image_hashes import HASH_DTYPE, difference_hash, hashes_of, is_faint
from augment.data.images import ImageLimits, whole_image
from tests.data.factory import encoded, picture


def photo(seed: int = 0, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Noise smoothed into blobs, which scaling and recompression leave as they are."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def hashed(data: bytes) -> np.ndarray:
    return hashes_of(data, whole_image(data, 0, ImageLimits()))


def bits_apart(one: Image.Image, other: Image.Image) -> int:
    return bin(difference_hash(one) ^ difference_hash(other)).count("1")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [(96, 64), (9, 8), (7, 200)])
def test_the_perceptual_hash_is_that_of_the_imagehash_library(seed: int, size: tuple[int, int]) -> None:
    image = photo(seed, size)
    assert f"{difference_hash(image):016x}" == str(imagehash.dhash(image))


def test_the_hash_of_rising_and_of_falling_rows_is_known() -> None:
    rising = Image.fromarray(np.tile(np.arange(0, 90, 10, dtype=np.uint8), (8, 1)))
    assert difference_hash(rising) == 2**64 - 1
    assert difference_hash(rising.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


def test_copies_in_other_formats_sizes_and_brightness_are_near_and_other_images_are_not() -> None:
    image = photo()
    jpeg = Image.open(io.BytesIO(encoded(image, "JPEG", quality=60)))
    copies = [jpeg, image.resize((200, 150)), ImageEnhance.Brightness(image).enhance(0.8), image.convert("L")]
    assert max(bits_apart(image, copy) for copy in copies) <= 4
    assert min(bits_apart(image, photo(seed)) for seed in range(1, 30)) > 8


def test_the_pixel_digest_is_of_the_pixels_whatever_the_format_and_the_file_digest_of_the_bytes() -> None:
    image = picture(size=(20, 12))
    png, packed, webp = encoded(image), encoded(image, optimize=True), encoded(image, "WEBP", lossless=True)
    files, pixels = (
        {hashed(data)[field].tobytes() for data in (png, packed, webp)} for field in ("file", "pixels")
    )
    assert len(files) == 3
    assert len(pixels) == 1
    assert hashed(png) == hashed(bytes(png))


def test_gray_pixels_are_the_equal_rgb_pixels_and_a_turned_file_is_what_it_shows() -> None:
    gray = picture(mode="L", size=(20, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(gray.transpose(Image.Transpose.ROTATE_90), exif=exif)
    digests = {
        hashed(data)["pixels"].tobytes() for data in (encoded(gray), encoded(gray.convert("RGB")), turned)
    }
    assert len(digests) == 1


def test_equal_bytes_in_another_shape_are_another_image() -> None:
    wide, square = Image.new("RGB", (8, 2), (1, 2, 3)), Image.new("RGB", (4, 4), (1, 2, 3))
    assert (hashed(encoded(wide))["pixels"] != hashed(encoded(square))["pixels"]).any()


def test_blank_and_nearly_blank_images_are_faint_and_others_are_not() -> None:
    dot = Image.new("L", (64, 64), 255)
    dot.paste(0, (20, 20, 28, 28))
    noise = Image.fromarray(np.random.default_rng(0).integers(100, 102, (64, 64), np.uint8))
    assert [is_faint(image) for image in (Image.new("RGB", (5, 5)), dot, noise)] == [True] * 3
    assert not any(is_faint(photo(seed)) for seed in range(20))


def test_a_packed_image_takes_41_bytes() -> None:
    assert HASH_DTYPE.itemsize == 41
    assert hashed(encoded(picture())).shape == ()


def test_without_the_perceptual_hash_the_digests_are_the_same_and_the_rest_is_zero() -> None:
    data = encoded(photo())
    whole = whole_image(data, 0, ImageLimits())
    every, digests = hashes_of(data, whole), hashes_of(data, whole, perceptual=False)
    for field in ("file", "pixels"):
        np.testing.assert_array_equal(every[field], digests[field])
    assert every["perceptual"] != 0
    assert (digests["perceptual"], digests["faint"]) == (0, False)
