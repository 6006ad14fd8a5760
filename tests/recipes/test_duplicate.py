"""Duplicates: the real images themselves, all equally often."""

from __future__ import annotations

import numpy as np
import pytest

from augment.recipes.contract import NO_SOURCE
from augment.recipes.duplicate import Duplicate
from tests.recipes.common import made, real_images


@pytest.mark.parametrize(("first", "count"), [(0, 40), (1234, 40), (5, 3)])
def test_samples_are_real_images_each_as_often_as_the_next(first: int, count: int) -> None:
    images = real_images(channels=3)
    samples = made(Duplicate(images, seed=8), 0, range(first, first + count))
    source_B, none_B = samples.source_index_B2.T
    np.testing.assert_array_equal(samples.pixels_BHWC, images.of_class(0)[source_B])
    assert (none_B == NO_SOURCE).all()
    uses_M = np.bincount(source_B, minlength=9)
    assert uses_M.max() - uses_M.min() <= 1


def test_a_single_image_is_repeated() -> None:
    images = real_images((1, 3, 3))
    samples = made(Duplicate(images, seed=0), 0, range(5), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(samples.pixels_BHWC, np.repeat(images.of_class(0), 5, axis=0))
