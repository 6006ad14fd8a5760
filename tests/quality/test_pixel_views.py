import numpy as np
import pytest

from augment.quality.pixel_views import middle_views, shifted_views
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
