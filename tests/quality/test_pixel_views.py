import numpy as np
import pytest

from augment.quality.pixel_views import coarse_basis, middle_views, shifted_views
from tests.quality.common import striped_images


def shifted(pixels, dy, dx):
    """Moved by (dy, dx) pixels, its edge continued."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    size = pixels.shape[1]
    return padded[:, 1 - dy : 1 - dy + size, 1 - dx : 1 - dx + size]


def nearest_to_itself(pixels, changed, **flips):
    views = shifted_views(changed, **flips)
    return np.abs(views - middle_views(pixels)[:, None]).max(2).min(1)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3), (33, 3)])
@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (1, 0), (0, -1), (-1, 1)])
def test_a_copy_shifted_by_one_pixel_is_the_same_in_one_view(size, channels, dy, dx):
    pixels, _ = striped_images((3, 3), size=size, channels=channels)
    assert (nearest_to_itself(pixels, shifted(pixels, dy, dx)) == 0).all()


@pytest.mark.parametrize(
    ("flips", "mirror"),
    [
        ({"horizontal_flip": True}, lambda x: x[:, :, ::-1]),
        ({"vertical_flip": True}, lambda x: x[:, ::-1]),
        ({"horizontal_flip": True, "vertical_flip": True}, lambda x: x[:, ::-1, ::-1]),
    ],
)
def test_a_mirrored_copy_is_the_same_where_mirroring_is_allowed_and_only_there(flips, mirror):
    pixels, _ = striped_images((3, 3), size=28)
    changed = shifted(mirror(pixels), 0, 1)
    assert (nearest_to_itself(pixels, changed, **flips) == 0).all()
    assert (nearest_to_itself(pixels, changed) > 0).all()
    assert shifted_views(pixels, **flips).shape[1] == 9 * 2 ** len(flips)


def test_large_images_are_means_over_squares():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 34, 34, 3)).astype(np.uint8)
    small = middle_views(pixels).reshape(2, 16, 16, 3)
    np.testing.assert_allclose(small[1, 3, 5], pixels[1, 7:9, 11:13].mean((0, 1)), rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_tiny_images_are_compared_whole(size):
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 1)).astype(np.uint8)
    np.testing.assert_array_equal(middle_views(pixels), pixels.reshape(2, -1))
    assert shifted_views(pixels).shape == (2, 1, size * size)


@pytest.mark.parametrize(("size", "channels"), [(1, 1), (4, 3), (9, 1), (28, 1), (32, 3), (65, 1), (300, 1)])
@pytest.mark.parametrize(
    "flips", [{}, {"horizontal_flip": True}, {"horizontal_flip": True, "vertical_flip": True}]
)
def test_every_view_is_the_mean_over_squares_of_its_own_window(size, channels, flips):
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, channels)).astype(np.uint8)
    pixels[0] = 255  # the largest sums
    rim = 1 if size >= 8 else 0
    side = size - 2 * rim
    factor = -(-side // 16)
    squares = side // factor
    mirrors = [pixels]
    mirrors += [image[:, :, ::-1] for image in mirrors] if "horizontal_flip" in flips else []
    mirrors += [image[:, ::-1] for image in mirrors] if "vertical_flip" in flips else []
    expected = []
    for image in mirrors:
        for y in range(2 * rim + 1):
            for x in range(2 * rim + 1):
                window = image[:, y : y + squares * factor, x : x + squares * factor].astype(float)
                means = window.reshape(2, squares, factor, squares, factor, channels).mean((2, 4))
                expected.append(means.reshape(2, -1))
    np.testing.assert_allclose(shifted_views(pixels, **flips), np.stack(expected, 1), rtol=1e-6)
    middle = 4 if rim else 0
    np.testing.assert_array_equal(middle_views(pixels), shifted_views(pixels, **flips)[:, middle])


@pytest.mark.parametrize(("size", "channels"), [(1, 1), (4, 3), (28, 1), (32, 1), (64, 3)])
def test_coarse_pictures_are_means_of_parts_and_never_farther_apart(size, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (40, size, size, channels)).astype(np.uint8)
    pictures, basis = middle_views(pixels), coarse_basis(size, channels)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    assert basis.shape[1] <= 25 * channels
    whole = np.linalg.norm(pictures[:20] - pictures[20:], axis=1)
    coarse = np.linalg.norm((pictures[:20] - pictures[20:]) @ basis, axis=1)
    assert (coarse <= whole * (1 + 1e-6)).all()
    if size == 32:
        parts = pictures.reshape(-1, 5, 3, 5, 3).mean((2, 4)).reshape(-1, 25)
        np.testing.assert_allclose(pictures @ basis, 3 * parts, rtol=1e-5)
