"""Euclidean distances between two sets of feature vectors, a block of rows at a time.

Owns the blocking, so that memory stays flat however large the sets are, and how exact the numbers are.
Everything is float64, about the reference's mean: ‖x‖² + ‖y‖² − 2·x·y cancels in its leading digits where
two vectors are close and far from the origin.

N = queries, M = references, F = features, R = queries of one block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError

__all__ = ["Features", "Nearest", "check_features", "nearest", "squared_distance_blocks", "squared_radii"]

_BLOCK_ELEMENTS = 1 << 22  # of one block of distances: 32 MB

Features = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each of N queries its nearest reference: how far, and which."""

    distance_N: npt.NDArray[np.float32]
    index_N: npt.NDArray[np.int64]


def check_features(name: str, features_NF: Features, *, at_least: int = 1) -> None:
    """Raise InputError unless these are at least `at_least` rows of finite numbers."""
    if features_NF.ndim != 2 or len(features_NF) < at_least:
        raise InputError(f"{name}: needs [N ≥ {at_least}, F] features, not {list(features_NF.shape)}")
    if not np.isfinite(features_NF).all():
        raise InputError(f"{name}: some features are not finite")


def squared_distance_blocks(
    x_NF: Features, y_MF: Features
) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """Squared distances ≥ 0 of every x to every y: (rows of x, [R, M]), block after block."""
    center_F = y_MF.mean(0, dtype=np.float64)
    y = y_MF.astype(np.float64) - center_F
    y_squared_M = np.einsum("mf,mf->m", y, y)
    rows = max(1, _BLOCK_ELEMENTS // len(y))
    for first in range(0, len(x_NF), rows):
        x = x_NF[first : first + rows].astype(np.float64) - center_F
        squared_RM = x @ y.T
        squared_RM *= -2
        squared_RM += np.einsum("rf,rf->r", x, x)[:, None]
        squared_RM += y_squared_M
        yield slice(first, first + len(x)), np.maximum(squared_RM, 0, out=squared_RM)


def nearest(query_NF: Features, reference_MF: Features) -> Nearest:
    """Each query's nearest reference, over all of them: never a subsample.

    The distance is computed once more from the difference of the two, so that a copy's is exactly 0.
    """
    check_features("nearest neighbours, queries", query_NF)
    check_features("nearest neighbours, references", reference_MF)
    index_N = np.empty(len(query_NF), np.int64)
    for rows, squared_RM in squared_distance_blocks(query_NF, reference_MF):
        index_N[rows] = squared_RM.argmin(1)
    difference_NF = query_NF.astype(np.float64) - reference_MF[index_N]
    distance_N = np.sqrt(np.einsum("nf,nf->n", difference_NF, difference_NF))
    return Nearest(distance_N=distance_N.astype(np.float32), index_N=index_N)


def squared_radii(features_NF: Features, k: int) -> npt.NDArray[np.float64]:
    """Squared distance of each vector to its k-th nearest other one, [N]; needs N > k."""
    check_features(f"{k}-th nearest neighbours", features_NF, at_least=k + 1)
    squared_N = np.empty(len(features_NF))
    for rows, squared_RN in squared_distance_blocks(features_NF, features_NF):
        within = np.arange(len(squared_RN))
        squared_RN[within, within + rows.start] = -1  # itself comes first, whatever rounding says
        squared_N[rows] = np.partition(squared_RN, k, axis=1)[:, k]
    return squared_N
