"""Figures of generated vectors, and beside each what real ones of the same number reach: its floor.

Owns the fair comparison. FID, recall and coverage depend on how many vectors are compared, so generated and
held-out real vectors are measured against one reference in sets of one size; what both have in common then
is the small sample, and only what differs is the generator. Knows neither classes nor images.

N = generated, H = held-out real, M = reference vectors, F = features.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from augment.errors import InputError
from augment.quality.distances import Features, check_features
from augment.quality.fidelity import Moments, RealManifold, frechet_distance, kernel_distance
from augment.types import Record

__all__ = [
    "Figure",
    "FloorSource",
    "MatchedFigures",
    "MatchedSets",
    "balanced_mixture",
    "frechet_bias",
    "matched_figures",
    "matched_sets",
]

_NEIGHBOURS = 5  # k of precision, recall, density and coverage, as their authors advise
_MOST_SETS = 4  # more change the mean little, and each costs a singular value decomposition
_MOST_KEPT = 1_000  # reference vectors for KID and PRDC, whose cost grows with the square

FloorSource = Literal["heldout", "halves", "none"]


class Figure(Record):
    """A generator's figure and the floor; None is 'too few images to tell'."""

    value: float | None
    floor: float | None


class MatchedFigures(Record):
    """Generated against real vectors, with floors; each a mean over sets of `set_size` vectors.

    `floor_from`: real vectors that were not trained on ("heldout"), or, where these are too few, every second
    reference vector against the others ("halves"). `frechet_bias` is how much of `frechet`, in value and
    floor alike, the small sample alone would make: see `frechet_bias`.
    """

    floor_from: FloorSource
    set_size: int
    reference_size: int
    frechet: Figure
    frechet_bias: float | None
    kernel: Figure
    precision: Figure
    recall: Figure
    density: Figure
    coverage: Figure


@dataclass(frozen=True, slots=True)
class MatchedSets:
    """A reference, and sets of one size of generated and of real vectors to be measured against it."""

    floor_from: FloorSource
    size: int
    reference_MF: Features
    generated: tuple[Features, ...]
    real: tuple[Features, ...]  # empty where there is no floor


def matched_sets(
    generated_NF: Features, training_MF: Features, heldout_HF: Features | None, *, k: int = _NEIGHBOURS
) -> MatchedSets:
    """Up to 4 disjoint sets of each kind, all of the smaller kind's size.

    Held-out vectors make the floor where they are more than `k`; else the training vectors are halved, if
    both halves are more than `k`; else there is none. Raises InputError for features that are none.
    """
    check_features("generated features", generated_NF)
    check_features("training features", training_MF)
    source: FloorSource = "none"
    reference_MF, real_HF = training_MF, training_MF[:0]
    if heldout_HF is not None and len(heldout_HF) > k:
        check_features("held-out features", heldout_HF)
        source, real_HF = "heldout", heldout_HF
    elif len(training_MF) >= 2 * (k + 1):
        source, reference_MF, real_HF = "halves", training_MF[::2], training_MF[1::2]
    size = min(len(generated_NF), len(real_HF) or len(generated_NF))
    return MatchedSets(
        floor_from=source,
        size=size,
        reference_MF=reference_MF,
        generated=tuple(_sets(generated_NF, size)),
        real=tuple(_sets(real_HF, size)),
    )


def matched_figures(sets: MatchedSets, *, k: int = _NEIGHBOURS) -> MatchedFigures:
    """FID, KID, precision, recall, density and coverage of the generated sets and of the real ones.

    KID and the last four are computed against at most 1,000 reference vectors, evenly spaced.
    """
    reference = _Reference(sets.reference_MF, k)
    generated = [reference.figures(each) for each in sets.generated]
    real = [reference.figures(each) for each in sets.real]
    figures = {
        name: Figure(value=_mean(each[name] for each in generated), floor=_mean(each[name] for each in real))
        for name in generated[0]
    }
    bias = None if reference.moments is None else frechet_bias(reference.moments, sets.size)
    return MatchedFigures(
        floor_from=sets.floor_from,
        set_size=sets.size,
        reference_size=len(sets.reference_MF),
        frechet_bias=bias,
        **figures,
    )


def frechet_bias(reference: Moments, size: int) -> float | None:
    """Expected FID of `size` vectors and the reference's, both drawn from one Gaussian; None below 2·F.

    Chong & Forsyth 2020 show that the bias falls as 1/n. Its leading term, with λ the covariance's
    eigenvalues: means give (1/n + 1/m)·Σλ. Covariances that differ by E are ½ Σ_ij E_ij² / (λ_i + λ_j) apart
    (the Bures metric; Malagò et al. 2018), and Wishart's E[E_ij²] = (1 + δ_ij)·λ_i λ_j·(1/(n−1) + 1/(m−1)).
    With few vectors more terms matter, and with other distributions than Gaussians it is a guide only.
    """
    features = len(reference.mean_F)
    smaller, larger = sorted((size, reference.n))
    if smaller < 2 * features:
        return None
    value_F = np.maximum(np.linalg.eigvalsh(reference.covariance_FF), 0)
    sum_FF = value_F[:, None] + value_F[None, :]
    harmonic_FF = np.divide(np.outer(value_F, value_F), sum_FF, out=np.zeros_like(sum_FF), where=sum_FF > 0)
    means = (1 / smaller + 1 / larger) * value_F.sum()
    covariances = (1 / (smaller - 1) + 1 / (larger - 1)) * (harmonic_FF.sum() + np.trace(harmonic_FF)) / 2
    return float(means + covariances)


def balanced_mixture(classes: Sequence[Moments]) -> Moments:
    """Moments of the mixture of these in which each weighs the same, however many vectors it has.

    By the law of total variance, without drawing any: Σ = mean of Σ_k + variance of the μ_k. Raises
    InputError for no class.
    """
    if not classes:
        raise InputError("a mixture needs at least one class")
    mean_KF = np.stack([each.mean_F for each in classes])
    centred_KF = mean_KF - mean_KF.mean(0)
    within_FF = np.mean([each.covariance_FF for each in classes], axis=0)
    between_FF = centred_KF.T @ centred_KF / len(classes)
    return Moments(mean_KF.mean(0), within_FF + between_FF, sum(each.n for each in classes))


class _Reference:
    """The reference, measured once."""

    def __init__(self, features_MF: Features, k: int) -> None:
        self._k = k
        self.moments = Moments.of(features_MF) if len(features_MF) > 1 else None
        kept = min(len(features_MF), _MOST_KEPT)
        self._kept_MF = features_MF[np.arange(kept) * len(features_MF) // kept]
        self._manifold = RealManifold(self._kept_MF, k) if kept > k else None

    def figures(self, sample_NF: Features) -> dict[str, float | None]:
        """All figures of one set, by name."""
        frechet = kernel = prdc = None
        if self.moments is not None and len(sample_NF) > 1:
            frechet = frechet_distance(self.moments, Moments.of(sample_NF))
            kernel = kernel_distance(self._kept_MF, sample_NF)
        if self._manifold is not None and len(sample_NF) > self._k:
            prdc = self._manifold.prdc(sample_NF)
        return {
            "frechet": frechet,
            "kernel": kernel,
            "precision": prdc.precision if prdc else None,
            "recall": prdc.recall if prdc else None,
            "density": prdc.density if prdc else None,
            "coverage": prdc.coverage if prdc else None,
        }


def _sets(features_NF: Features, size: int) -> Iterator[Features]:
    """Disjoint sets of `size` rows, interleaved, so that an order in the rows falls on all alike."""
    sets = min(_MOST_SETS, len(features_NF) // size)
    for first in range(sets):
        yield features_NF[first::sets][:size]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
