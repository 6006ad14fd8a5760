"""Real images of a few classes for the tests of recipes: random pixels, classes in no order, labels no indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from augment.recipes.contract import Made, RealImages, Recipe
from augment.types import ClassInfo

CLASSES = (ClassInfo(label=3, name="bag"), ClassInfo(label=7, name="boot"), ClassInfo(label=40, name="coat"))


def real_images(
    counts: Sequence[int] = (9, 4, 12),
    size: int = 16,
    channels: int = 1,
    classes: Sequence[ClassInfo] = CLASSES,
) -> RealImages:
    rng = np.random.default_rng(5)
    class_index_N = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    pixels_NHWC = rng.integers(0, 256, (sum(counts), size, size, channels), np.uint8)
    return RealImages(pixels_NHWC, class_index_N, tuple(classes))


def made(recipe: Recipe, class_index: int, indices: Sequence[int], attempts: int | Sequence[int] = 0) -> Made:
    index_B = np.array(indices, np.int64)
    return recipe.make(class_index, index_B, np.broadcast_to(np.array(attempts, np.int64), index_B.shape))
