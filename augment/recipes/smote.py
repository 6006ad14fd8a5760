"""The recipe `smote`: an image between a real one and one of its neighbours (Chawla et al. 2002).

Owns neighbours and interpolation, with imbalanced-learn's formula and its way of choosing. A control: between
two images lies a double exposure, which a better recipe must beat. Neighbours may be looked for in a space of
features; what is interpolated is always pixels, since features have no image.

Axes: N = real images of all classes, M = those of one class, B = samples, k = neighbours of an image,
F = numbers a point (pixels or features), H = height, W = width, C = channels.
"""

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.recipes.contract import Made, RealImages
from augment.recipes.draws import uniforms_for

__all__ = ["Smote", "interpolated", "nearest_neighbours"]

_BLOCK_VALUES = 1 << 23  # float64 numbers held at once for distances: 64 MB a block
_LEAST_IMAGES = 2

Points = npt.NDArray[np.uint8] | npt.NDArray[np.floating]


class Smote:
    """SMOTE within each class: a pair of neighbours and a place between them, both drawn uniformly."""

    def __init__(
        self,
        images: RealImages,
        seed: int,
        k_neighbors: int = 5,
        features_NF: npt.NDArray[np.floating] | None = None,
    ) -> None:
        """`features_NF`: where to look for neighbours, a row for each of `images`; `None` looks among the pixels.

        `k_neighbors` ≥ 1. Raises ValueError where a row is missing or not finite.
        """
        if k_neighbors < 1:
            raise ValueError(f"k_neighbors={k_neighbors} must be at least 1")
        if features_NF is not None and (features_NF.ndim != 2 or len(features_NF) != len(images.pixels_NHWC)):
            raise ValueError(f"{len(images.pixels_NHWC)} images have features {list(features_NF.shape)}")
        if features_NF is not None and not np.isfinite(features_NF).all():
            raise ValueError("features must be finite")
        self._images = images
        self._seed = seed
        self._k = k_neighbors
        self._features_NF = features_NF
        self._neighbours_of: dict[int, npt.NDArray[np.int64]] = {}

    def make(
        self, class_index: int, sample_index_B: npt.NDArray[np.int64], attempt_B: npt.NDArray[np.int64]
    ) -> Made:
        """See `Recipe.make`. Raises InputError where the class has fewer than two images."""
        neighbours_Mk = self.neighbours(class_index)
        label = self._images.classes[class_index].label
        uniforms_B2 = uniforms_for("smote", self._seed, label, sample_index_B, attempt_B, 2)
        # One draw over all (image, neighbour) pairs, as imbalanced-learn's.
        pair_B = (uniforms_B2[:, 0] * neighbours_Mk.size).astype(np.int64)
        base_B, which_B = np.divmod(pair_B, neighbours_Mk.shape[1])
        neighbour_B = neighbours_Mk[base_B, which_B]
        pixels_BHWC = interpolated(
            self._images.of_class(class_index, base_B),
            self._images.of_class(class_index, neighbour_B),
            uniforms_B2[:, 1],
        )
        return Made(pixels_BHWC, np.stack([base_B, neighbour_B], axis=1))

    def neighbours(self, class_index: int) -> npt.NDArray[np.int64]:
        """The nearest images of every image of a class, int64 [M, k], nearest first; found once and kept.

        A class with fewer than k + 1 images has k = M - 1: each of its images is every other one's neighbour.
        Raises InputError, naming the class, where there are fewer than two.
        """
        if class_index not in self._neighbours_of:
            rows_M = self._images.rows_of(class_index)
            if len(rows_M) < _LEAST_IMAGES:
                raise InputError(
                    f"class {self._images.classes[class_index].name!r} has a single real image, and smote needs two "
                    "to go between; set its recipe to classic or duplicate"
                )
            self._neighbours_of[class_index] = nearest_neighbours(self._points(rows_M), self._k)
        return self._neighbours_of[class_index]

    def _points(self, rows_M: npt.NDArray[np.int64]) -> Points:
        if self._features_NF is not None:
            return self._features_NF[rows_M]
        return self._images.pixels_NHWC[rows_M].reshape(len(rows_M), -1)


def interpolated(
    base_BHWC: npt.NDArray[np.uint8], neighbour_BHWC: npt.NDArray[np.uint8], share_B: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """x + λ·(x' - x) for every pixel (Chawla et al. 2002, function Populate), rounded to uint8.

    λ = `share_B` in [0, 1), one a sample: the paper's text and imbalanced-learn go along the line between the two,
    where the paper's pseudocode draws one a feature.
    """
    mixed_BHWC = np.empty_like(base_BHWC)
    for row, share in enumerate(
        share_B
    ):  # row by row: a whole shard as float64 would be eight times its size
        base_HWC = base_BHWC[row].astype(np.float64)
        mixed_BHWC[row] = np.rint(base_HWC + share * (neighbour_BHWC[row] - base_HWC)).astype(np.uint8)
    return mixed_BHWC


def nearest_neighbours(points_MF: Points, k: int) -> npt.NDArray[np.int64]:
    """The `k` nearest other points of each point, Euclidean, int64 [M, min(k, M - 1)], nearest first.

    Exact; the lower index wins a tie. Between uint8 points every sum is a whole number below 2^53, so that no
    library's order of summation can change the result.
    """
    points, size = len(points_MF), points_MF.shape[1]
    k = min(k, points - 1)
    step = max(1, _BLOCK_VALUES // max(points, size))
    nearest_Mk = np.empty((points, k), np.int64)
    for start in range(0, points, step):
        block_DF = points_MF[start : start + step].astype(np.float64)
        squared_DM = np.concatenate(
            [
                _squared_distances(block_DF, points_MF[other : other + step].astype(np.float64))
                for other in range(0, points, step)
            ],
            axis=1,
        )
        rows_D = np.arange(len(block_DF))
        squared_DM[rows_D, start + rows_D] = np.inf  # a point is not its own neighbour; its copy is
        for row, squared_M in enumerate(squared_DM):
            nearest_Mk[start + row] = _smallest(squared_M, k)
    return nearest_Mk


def _squared_distances(
    left_DF: npt.NDArray[np.float64], right_EF: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """|a - b|² = |a|² - 2ab + |b|², [D, E]."""
    norms_D1 = np.einsum("df,df->d", left_DF, left_DF)[:, np.newaxis]
    norms_E = np.einsum("ef,ef->e", right_EF, right_EF)
    squared_DE: npt.NDArray[np.float64] = norms_D1 - 2 * (left_DF @ right_EF.T) + norms_E
    return squared_DE


def _smallest(values_M: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.int64]:
    """Indices of the `k` smallest values, in order; of equal ones the lower index first."""
    if not k:
        return np.empty(0, np.int64)
    candidates = np.flatnonzero(values_M <= np.partition(values_M, k - 1)[k - 1])
    return candidates[np.argsort(values_M[candidates], kind="stable")][:k].astype(np.int64)
