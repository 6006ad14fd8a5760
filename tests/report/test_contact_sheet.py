"""The contact sheet shows what it is given, where it should, large enough to see."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from augment.report.contact_sheet import ContactRow, contact_sheet, contact_sheet_png

RED, BLUE = (255, 0, 0), (0, 0, 255)


def row(
    name: str = "cat", real: int = 3, synthetic: int = 4, size: int = 16, channels: int = 3
) -> ContactRow:
    def block(count: int, color: tuple[int, int, int]) -> np.ndarray:
        return np.broadcast_to(np.array(color[:channels], np.uint8), (count, size, size, channels)).copy()

    return ContactRow(name, real, synthetic, block(real, RED), block(synthetic, BLUE))


def pixels_of(sheet: Image.Image, color: tuple[int, int, int]) -> np.ndarray:
    """Where the sheet has exactly this colour: [n, (y, x)]."""
    return np.argwhere((np.asarray(sheet) == color).all(axis=2))


@pytest.mark.parametrize(("size", "shown"), [(16, 64), (28, 56), (32, 64), (56, 56), (64, 64), (128, 128)])
def test_images_are_enlarged_by_a_whole_factor_to_at_least_56_pixels(size: int, shown: int) -> None:
    sheet = contact_sheet([row(size=size)], "title")
    assert len(pixels_of(sheet, RED)) == 3 * shown**2
    assert len(pixels_of(sheet, BLUE)) == 4 * shown**2


def test_real_images_stand_left_of_synthetic_ones() -> None:
    sheet = contact_sheet([row(), row("dog", real=5, synthetic=1)], "title")
    assert pixels_of(sheet, RED)[:, 1].max() < pixels_of(sheet, BLUE)[:, 1].min()


def test_every_pixel_of_an_image_shows_as_an_even_square() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 3), np.uint8)
    none = np.zeros((0, 28, 28, 3), np.uint8)
    sheet = np.asarray(contact_sheet([ContactRow("a", 1, 0, image, none)], "title"))
    expected = np.kron(image[0], np.ones((2, 2, 1), np.uint8))
    windows = np.lib.stride_tricks.sliding_window_view(sheet, expected.shape)[:, :, 0]
    corners = np.argwhere((windows[:, :, 0, 0] == expected[0, 0]).all(axis=2))
    assert any((windows[y, x] == expected).all() for y, x in corners)


def test_grayscale_images_are_shown_as_gray() -> None:
    sheet = contact_sheet([row(channels=1)], "title")
    assert len(pixels_of(sheet, (255, 255, 255))) > 0
    assert len(pixels_of(sheet, (0, 0, 0))) == 4 * 64**2


def test_a_row_may_have_no_images_of_a_kind() -> None:
    sheet = contact_sheet([row(synthetic=0), row("dog", real=0)], "title")
    assert len(pixels_of(sheet, RED)) == 3 * 64**2
    assert len(pixels_of(sheet, BLUE)) == 4 * 64**2


@pytest.mark.parametrize("name", ["a very long class name indeed " * 9, "two\nlines", "", "日本語", "🐈"])
def test_any_class_name_leaves_the_layout_as_it_is(name: str) -> None:
    plain, odd = contact_sheet([row()], "title"), contact_sheet([row(name)], name)
    assert odd.size == plain.size
    np.testing.assert_array_equal(pixels_of(odd, RED), pixels_of(plain, RED))


def test_the_png_is_the_sheet_and_equal_rows_give_equal_bytes() -> None:
    data = contact_sheet_png([row()], "title")
    assert data == contact_sheet_png([row()], "title")
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(data))), np.asarray(contact_sheet([row()], "title"))
    )


def test_a_sheet_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        contact_sheet([], "title")
