import numpy as np
import pytest
import torch

from augment.errors import ConfigError
from augment.gan.low_resolution import shrink


def images(height, width, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, height, width, generator=generator, dtype=dtype) * 2 - 1


@pytest.mark.parametrize(("size", "side"), [(32, 8), (32, 4), (28, 4), (24, 8), (16, 16)])
def test_each_pixel_is_the_mean_of_the_block_it_covers(size, side):
    image = images(size, size)
    block = size // side
    expected = image.numpy().reshape(2, 3, side, block, side, block).mean((3, 5))
    np.testing.assert_allclose(shrink(image, side), expected, atol=1e-6)


def test_a_rectangle_becomes_a_square():
    image = images(16, 32)
    expected = image.numpy().reshape(2, 3, 8, 2, 8, 4).mean((3, 5))
    np.testing.assert_allclose(shrink(image, 8), expected, atol=1e-6)


def test_a_side_that_does_not_divide_the_images_still_keeps_brightness_and_drops_detail():
    flat = torch.full((1, 1, 28, 28), 0.4)
    np.testing.assert_allclose(shrink(flat, 8), 0.4, atol=1e-6)
    checkerboard = (torch.arange(28)[:, None] + torch.arange(28)) % 2 * 2.0 - 1
    assert shrink(checkerboard[None, None], 8).abs().max() < 0.2  # subsampling would give ±1


@pytest.mark.parametrize("side", [8, 10])
def test_small_images_are_float32_within_the_range_of_their_originals(side):
    for dtype in (torch.bfloat16, torch.float64):
        small = shrink(images(32, 32, dtype=dtype), side)
        assert small.dtype == torch.float32
        assert small.shape == (2, 3, side, side)
        assert small.abs().max() <= 1


def test_a_gradient_reaches_every_pixel():
    image = images(32, 32).requires_grad_()
    shrink(image, 8).sum().backward()
    np.testing.assert_allclose(image.grad, 1 / 16)


def test_an_image_is_never_enlarged():
    with pytest.raises(ConfigError, match=r"model\.low_resolution=16 is larger than the images, 8×32"):
        shrink(images(8, 32), 16)
