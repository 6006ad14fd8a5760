"""The random numbers and the source images of samples, by (seed, label, sample index, attempt).

Owns how those four become a key of `augment.seeds`, so that recipes need not. Knows no pixels.

Axes: B = samples, M = real images of a class, U = uniforms a sample.
"""

import numpy as np
import numpy.typing as npt

from augment.seeds import digest64, stream_id, uniforms

__all__ = ["in_turn", "seeds_for", "uniforms_for"]

Indices = npt.NDArray[np.int64]


def in_turn(
    recipe: str, seed: int, label: int, images: int, sample_index_B: Indices, attempt_B: Indices
) -> Indices:
    """The source image of each sample, int64 [B] in 0 … images - 1: round robin in a seeded order of the M images.

    Of any run of consecutive samples, at one attempt, no image is the source of more than one sample more than
    another. The next attempt takes the next image: one that a gate refuses whatever is made of it must not use
    up a sample's attempts.
    """
    _check(sample_index_B, attempt_B)
    keys_M = uniforms(seed, stream_id("recipe.order", recipe, label), 0, images, 1)[:, 0]
    order_M = np.argsort(keys_M, kind="stable")
    source_index_B: Indices = order_M[(sample_index_B + attempt_B) % images].astype(np.int64)
    return source_index_B


def seeds_for(recipe: str, seed: int, label: int, sample_index_B: Indices, attempt_B: Indices) -> list[int]:
    """A 64-bit seed for each sample."""
    _check(sample_index_B, attempt_B)
    return [
        digest64("recipe", recipe, seed, label, sample_index, attempt)
        for sample_index, attempt in zip(sample_index_B.tolist(), attempt_B.tolist(), strict=True)
    ]


def uniforms_for(
    recipe: str, seed: int, label: int, sample_index_B: Indices, attempt_B: Indices, width: int
) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each sample, float64 [B, U] with U = `width`."""
    _check(sample_index_B, attempt_B)
    uniforms_BU = np.empty((len(sample_index_B), width))
    # A generator for each run of consecutive samples: all of them at once where a shard asks.
    new_run = (np.diff(sample_index_B) != 1) | (np.diff(attempt_B) != 0)
    for rows in np.split(np.arange(len(sample_index_B)), np.flatnonzero(new_run) + 1):
        if len(rows):
            stream = stream_id("recipe.uniforms", recipe, label, int(attempt_B[rows[0]]))
            first = int(sample_index_B[rows[0]])
            uniforms_BU[rows] = uniforms(seed, stream, first, len(rows), width)
    return uniforms_BU


def _check(sample_index_B: Indices, attempt_B: Indices) -> None:
    if sample_index_B.shape != attempt_B.shape or sample_index_B.ndim != 1:
        raise ValueError(
            f"one attempt a sample: {list(sample_index_B.shape)} indices have {list(attempt_B.shape)} attempts"
        )
    if len(sample_index_B) and (sample_index_B.min() < 0 or attempt_B.min() < 0):
        raise ValueError("sample indices and attempts begin at 0")
