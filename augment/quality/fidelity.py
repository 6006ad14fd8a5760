"""How alike two sets of feature vectors are distributed: FID, KID, and precision, recall, density, coverage.

Owns the formulas, on features from anywhere. Knows neither images nor classes, nor where features come
from. A small sample has a bias, chiefly FID's, which grows as F²/n: compare sets of one size only, and
put the value between two sets of real images beside each.

N, M = vectors of the two sets, F = features.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.quality.distances import Features, check_features, squared_distance_blocks, squared_radii

__all__ = ["Moments", "Prdc", "RealManifold", "frechet_distance", "kernel_distance", "prdc"]

_BLOCK_ELEMENTS = 1 << 22  # of one block of the kernel matrix: 32 MB
_RIM = 1 - 1e-9  # a vector on a ball's rim is outside, on whichever side rounding puts it


@dataclass(frozen=True)
class Moments:
    """Mean [F] and unbiased covariance [F, F] of n vectors, n ≥ 2 (n < F is fine)."""

    mean_F: npt.NDArray[np.float64]
    covariance_FF: npt.NDArray[np.float64]
    n: int

    @classmethod
    def of(cls, features_NF: Features) -> "Moments":
        """Those of the rows; raises InputError where there are fewer than two or one is not finite."""
        check_features("mean and covariance", features_NF, at_least=2)
        mean_F = features_NF.mean(0, dtype=np.float64)
        centred_NF = features_NF.astype(np.float64) - mean_F
        return cls(mean_F, centred_NF.T @ centred_NF / (len(features_NF) - 1), len(features_NF))

    @cached_property
    def root_FF(self) -> npt.NDArray[np.float64]:
        """The covariance's symmetric square root."""
        value_F, vector_FF = np.linalg.eigh(self.covariance_FF)
        # Of fewer vectors than features some eigenvalues are 0, and rounding puts them on either side.
        return np.asarray((vector_FF * np.sqrt(np.maximum(value_F, 0))) @ vector_FF.T)

    @property
    def spread(self) -> float:
        """Root mean square distance of two different vectors: √(2 tr Σ), the unbiased estimate."""
        return float(np.sqrt(2 * np.trace(self.covariance_FF)))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Fréchet distance of two Gaussians, ≥ 0 (Heusel et al. 2017, eq. 6): FID on Inception features.

    |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2(Σ_a Σ_b)^½). The last trace is the sum of the singular values of
    Σ_a^½ Σ_b^½, whose squares are the eigenvalues of Σ_a Σ_b: no root of an unsymmetric matrix, which may
    be complex by rounding, and no constant added to singular ones.
    """
    difference_F = a.mean_F - b.mean_F
    cross = np.linalg.svd(a.root_FF @ b.root_FF, compute_uv=False).sum()
    variances = np.trace(a.covariance_FF) + np.trace(b.covariance_FF)
    return max(0.0, float(difference_F @ difference_F + variances - 2 * cross))


def kernel_distance(x_NF: Features, y_MF: Features) -> float:
    """Squared MMD with the kernel (x·y / F + 1)³, unbiased: KID (Bińkowski et al. 2018, section 4).

    Over all pairs, not a mean over random blocks. Its expectation is 0 for two samples of one
    distribution, so that it may be negative. Needs N, M ≥ 2.
    """
    check_features("kernel distance, first set", x_NF, at_least=2)
    check_features("kernel distance, second set", y_MF, at_least=2)
    n, m = len(x_NF), len(y_MF)
    x, y = x_NF.astype(np.float64), y_MF.astype(np.float64)
    within_x = (_kernel_sum(x, x) - _self_kernel_sum(x)) / (n * (n - 1))
    within_y = (_kernel_sum(y, y) - _self_kernel_sum(y)) / (m * (m - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y) / (n * m)


@dataclass(frozen=True, slots=True)
class Prdc:
    """Precision, recall and coverage in [0, 1]; density ≥ 0, 1 expected for two samples of one distribution.

    Precision: share of generated vectors inside the real manifold; recall: share of real ones inside the
    generated manifold; density: real balls around a generated vector, over k; coverage: share of real
    balls with a generated vector inside.
    """

    precision: float
    recall: float
    density: float
    coverage: float


class RealManifold:
    """Balls around the real vectors, each reaching to its k-th nearest neighbour; built once, used often.

    Raises InputError where there are no more than k real vectors.
    """

    def __init__(self, real_NF: Features, k: int = 5) -> None:
        if k < 1:
            raise InputError(f"k={k}: at least the first neighbour")
        self.k = k
        self._real_NF = real_NF
        self._radius_N = _RIM * squared_radii(real_NF, k)

    def prdc(self, fake_MF: Features) -> Prdc:
        """How generated vectors lie to these; raises InputError where they are no more than k.

        Improved precision and recall (Kynkäänniemi et al. 2019, eq. 1-2); density and coverage (Naeem et
        al. 2020, section 3). A vector on a ball's rim is outside, as in the latter authors' code.
        """
        fake_radius_M = _RIM * squared_radii(fake_MF, self.k)
        balls_M = np.zeros(len(fake_MF), np.int64)
        reached_N = np.zeros(len(self._real_NF), np.bool_)
        covered_N = np.zeros(len(self._real_NF), np.bool_)
        for rows, squared_RM in squared_distance_blocks(self._real_NF, fake_MF):
            inside_RM = squared_RM < self._radius_N[rows, None]
            balls_M += inside_RM.sum(0)
            covered_N[rows] = inside_RM.any(1)
            reached_N[rows] = (squared_RM < fake_radius_M).any(1)
        return Prdc(
            precision=float((balls_M > 0).mean()),
            recall=float(reached_N.mean()),
            density=float(balls_M.mean() / self.k),
            coverage=float(covered_N.mean()),
        )


def prdc(real_NF: Features, fake_MF: Features, k: int = 5) -> Prdc:
    """Precision, recall, density and coverage of generated against real vectors; see `RealManifold`."""
    return RealManifold(real_NF, k).prdc(fake_MF)


def _kernel_sum(x_NF: npt.NDArray[np.float64], y_MF: npt.NDArray[np.float64]) -> float:
    """Σ k(x, y) over all pairs, a block of rows at a time."""
    total = 0.0
    rows = max(1, _BLOCK_ELEMENTS // len(y_MF))
    for first in range(0, len(x_NF), rows):
        total += float(_cubic(x_NF[first : first + rows] @ y_MF.T, x_NF.shape[1]).sum())
    return total


def _self_kernel_sum(x_NF: npt.NDArray[np.float64]) -> float:
    """Σ k(x, x)."""
    return float(_cubic(np.einsum("nf,nf->n", x_NF, x_NF), x_NF.shape[1]).sum())


def _cubic(products: npt.NDArray[np.float64], features: int) -> npt.NDArray[np.float64]:
    base = products / features + 1
    return base * base * base
