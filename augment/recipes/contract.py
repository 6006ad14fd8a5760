"""What a recipe is: samples of a class made from its real images, each the same whoever asks for it.

Owns the protocol, what a recipe gives back, and the real images as a recipe sees them. Knows no recipe, plan or
shard. A GAN is no recipe of this room: its samples come from noise and have no source image.

Axes: N = real images of all classes, M = those of one class, K = classes, B = samples, H = height, W = width,
C = channels (1 or 3), 2 = the source images that a sample may have.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.types import ClassInfo

__all__ = ["NO_SOURCE", "Made", "RealImages", "Recipe", "one_source"]

NO_SOURCE = -1
"""In place of a source image that a sample does not have."""


@dataclass(frozen=True, slots=True)
class Made:
    """Samples of one class, and the real images that they come from.

    `source_index_B2` counts within the class: `m` is image `RealImages.rows_of(class_index)[m]`. A sample with
    one source has NO_SOURCE in the second column.
    """

    pixels_BHWC: npt.NDArray[np.uint8]
    source_index_B2: npt.NDArray[np.int64]


class Recipe(Protocol):
    """Makes samples of a class.

    A sample depends on the seed, the class's label, its index, its attempt and the class's real images alone:
    never on its company, the batch or the order. Not safe to share between threads.
    """

    def make(
        self, class_index: int, sample_index_B: npt.NDArray[np.int64], attempt_B: npt.NDArray[np.int64]
    ) -> Made:
        """Samples `sample_index_B` (≥ 0) of a class, each as its attempt (≥ 0) has it; B may be 0.

        A refused sample is asked for again, with the next attempt. Raises InputError where the class has too
        few real images, ConfigError where the recipe's settings don't fit them.
        """
        ...


@dataclass(frozen=True)
class RealImages:
    """The real images of all classes, in the source's order; nothing is copied but what a recipe takes out."""

    pixels_NHWC: npt.NDArray[np.uint8]
    class_index_N: npt.NDArray[np.int64]  # into `classes`
    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        pixels, class_index = self.pixels_NHWC, self.class_index_N
        if pixels.dtype != np.uint8 or pixels.ndim != 4:
            raise ValueError(f"images are uint8 [N, H, W, C], not {pixels.dtype} {list(pixels.shape)}")
        if class_index.shape != (len(pixels),):
            raise ValueError(f"{len(pixels)} images have {list(class_index.shape)} class indices")
        if len(pixels) and not 0 <= class_index.min() <= class_index.max() < len(self.classes):
            raise ValueError(f"class indices must lie in 0 … {len(self.classes) - 1}")

    def count(self, class_index: int) -> int:
        """M, the real images of a class."""
        return int(self._begins[class_index + 1] - self._begins[class_index])

    def rows_of(self, class_index: int) -> npt.NDArray[np.int64]:
        """Where the images of a class lie among all, int64 [M], ascending.

        Raises InputError, naming the class, where there is none.
        """
        rows_M = self._rows_by_class[self._begins[class_index] : self._begins[class_index + 1]]
        if not len(rows_M):
            name = self.classes[class_index].name
            raise InputError(
                f"class {name!r} has no real images to make samples from; give it some, or set its recipe to none"
            )
        return rows_M

    def of_class(
        self, class_index: int, source_index_B: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Images of a class by their index in it, uint8 [B, H, W, C], copied; all of them by default.

        Raises InputError where the class has none.
        """
        rows_M = self.rows_of(class_index)
        return self.pixels_NHWC[rows_M if source_index_B is None else rows_M[source_index_B]]

    @cached_property
    def _rows_by_class(self) -> npt.NDArray[np.int64]:
        return np.argsort(self.class_index_N, kind="stable").astype(np.int64)

    @cached_property
    def _begins(self) -> npt.NDArray[np.int64]:
        """Where each class begins in `_rows_by_class`, [K + 1]."""
        counts_K = np.bincount(self.class_index_N, minlength=len(self.classes))
        return np.concatenate([[0], np.cumsum(counts_K)]).astype(np.int64)


def one_source(source_index_B: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`source_index_B2` of samples with a single source each."""
    return np.stack([source_index_B, np.full_like(source_index_B, NO_SOURCE)], axis=1)
