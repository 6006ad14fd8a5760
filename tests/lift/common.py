"""A tiny data set for the lift: classes that are bright in different places, and predictions made to order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from augment.lift.arms import Source
from augment.lift.config import LiftConfig
from augment.lift.images import LabelledImages, LiftData

NAMES = ("a", "b", "c")
COUNTS = (40, 20, 8)
CONFIG = LiftConfig(steps=6, batch_size=8, precision="fp32", horizontal_flip=False)


def images(counts: tuple[int, ...], seed: int, size: int = 8, *, soft: bool = False) -> LabelledImages:
    """Noise with one bright column a class, class after class."""
    draws = np.random.default_rng(seed)
    class_index_N = np.repeat(np.arange(len(counts)), counts)
    pixels_NHWC = draws.integers(0, 100, (len(class_index_N), size, size, 1), np.uint8)
    pixels_NHWC[np.arange(len(class_index_N)), :, 2 * class_index_N + 1] += 120
    soft_NK = np.full((len(class_index_N), len(counts)), 1 / len(counts), np.float32) if soft else None
    return LabelledImages(pixels_NHWC, class_index_N, soft_NK)


def data(pools: Mapping[Source, LabelledImages] | None = None, *, soft: bool = False) -> LiftData:
    """Three classes of 40, 20 and 8 training images, and pools that fill them up."""
    full = images((0, 20, 32), 3, soft=soft)
    return LiftData(
        class_names=NAMES,
        training=images(COUNTS, 0, soft=soft),
        validation=images((10, 10, 10), 1),
        test=images((12, 12, 12), 2),
        pools={"gan": full, "gan-gated": full, "duplicate": full} if pools is None else pools,
    )


def predictions(
    labels_N: npt.NDArray[np.int64], accuracy_K: tuple[float, ...], seed: int, seeds: int = 5
) -> npt.NDArray[np.int64]:
    """Classes [S, N] that are right with the given probability a class, else the next class."""
    hit_SN = np.random.default_rng(seed).random((seeds, len(labels_N))) < np.array(accuracy_K)[labels_N]
    return np.where(hit_SN, labels_N, (labels_N + 1) % len(accuracy_K))
