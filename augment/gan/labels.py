"""Which class, and which real image of it, stands at each global sample index.

Owns the one label distribution, p_c ∝ n_c^τ, that real and generated images share: were they drawn from
different ones, the discriminator would learn the class prior instead of the images. Knows no tensor.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.seeds import stream_id, uniforms

__all__ = ["Draws", "LabelSampler", "tempered"]

_STREAM = stream_id("train.labels")


def tempered(counts_K: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """p_c ∝ n_c^τ, float64 [K]: τ = 1 is the natural distribution, τ = 0 uniform.

    A class without images gets 0 for every τ. Raises InputError where no class has one.
    """
    counts_K = np.asarray(counts_K, dtype=np.float64)
    present_K = counts_K > 0
    if not present_K.any():
        raise InputError("no class has an image: there is nothing to train on")
    weights_K = np.where(present_K, np.maximum(counts_K, 1.0) ** temperature, 0.0)
    return np.asarray(weights_K / weights_K.sum(), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Draws:
    """For each sample of a block: its class, and the position of its real image in the data."""

    class_B: npt.NDArray[np.int64]
    image_B: npt.NDArray[np.int64]


class LabelSampler:
    """Draws (class, real image) by global sample index, with replacement, from tempered labels."""

    def __init__(self, class_index_N: npt.NDArray[np.int64], classes: int, temperature: float) -> None:
        self._counts_K = np.bincount(class_index_N, minlength=classes)
        self._images_N = np.argsort(class_index_N, kind="stable")  # class after class, as the data has them
        self._begins_K = np.cumsum(self._counts_K) - self._counts_K
        self._cumulative_K = np.cumsum(tempered(self._counts_K, temperature))

    def draw(self, seed: int, first: int, rows: int) -> Draws:
        """The draws of global sample indices first … first + rows - 1."""
        label_B, image_B = uniforms(seed, _STREAM, first, rows, 2).T
        class_B = self._classes_of(label_B)
        within_B = np.floor(image_B * self._counts_K[class_B]).astype(np.int64)
        return Draws(class_B=class_B, image_B=self._images_N[self._begins_K[class_B] + within_B])

    def _classes_of(self, uniform_B: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Inverse of the cumulative distribution. Its last value may miss 1 by rounding: scale by it."""
        target_B = uniform_B * self._cumulative_K[-1]
        return np.asarray(np.searchsorted(self._cumulative_K, target_B, side="right"), dtype=np.int64)
