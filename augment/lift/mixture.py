"""Which rows an arm draws, how often, and how much each weighs, phase by phase of its training.

Owns the arithmetic from an arm and the class counts to a probability and a weight a row. Pure. Knows neither
pixels nor torch.

R = rows an arm may draw: real ones first, then samples; K = classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.lift.arms import Arm
from augment.lift.images import LiftData

__all__ = ["Mixture", "Phase", "filled_counts", "mixture_of"]


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps `begin` … `end - 1`: draws are by `cumulative_R`; the rate's cosine begins and ends with `cycle`.

    `prior_K` is the share of each class in what is drawn, by weight, or in the real rows, as the arm says.
    """

    begin: int
    end: int
    cycle: tuple[int, int]
    head_only: bool
    cumulative_R: npt.NDArray[np.float64]
    prior_K: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mixture:
    """The rows of one arm. `pool_index` are the samples' positions in their pool, row `real` onwards."""

    real: int
    pool_index: npt.NDArray[np.int64]
    class_index_R: npt.NDArray[np.int64]
    weight_R: npt.NDArray[np.float32]
    phases: tuple[Phase, ...]


def filled_counts(arm: Arm, counts_K: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Samples a class that the arm adds to `counts_K` real rows: `fill` of the gap to the largest class, rounded.

    Of classes equally rare the first are filled first.
    """
    if arm.source is None:
        return np.zeros_like(counts_K)
    chosen_K = np.ones(len(counts_K), bool)
    if arm.rarest is not None:
        chosen_K[np.argsort(counts_K, kind="stable")[arm.rarest :]] = False
    if arm.classes is not None:
        chosen_K &= np.isin(np.arange(len(counts_K)), arm.classes)
    gap_K = counts_K.max() - counts_K
    return np.where(chosen_K, np.rint(arm.fill * gap_K), 0).astype(np.int64)


def mixture_of(arm: Arm, data: LiftData, steps: int) -> Mixture:
    """The rows and phases of `arm` in a training of `steps` steps.

    Raises InputError where the arm's pool is missing or holds too few samples of a class: an arm of fewer would
    be another arm.
    """
    real_N = data.training.class_index_N
    pool_index = _samples(arm, data)
    samples_M = data.pools[arm.source].class_index_N[pool_index] if arm.source else np.empty(0, np.int64)
    class_index_R = np.concatenate([real_N, samples_M])
    synthetic_R = np.arange(len(class_index_R)) >= len(real_N)
    weight_R = np.where(synthetic_R, arm.weight, 1.0).astype(np.float32)
    cuts = _cuts(arm, steps)
    phases = []
    for begin, end, head_only, only_real in cuts:
        probability_R = _probability(arm, class_index_R, synthetic_R, only_real=only_real, by_class=head_only)
        drawn_R = probability_R * weight_R
        if arm.prior == "real":
            drawn_R = np.where(synthetic_R, 0.0, 1.0)
        prior_K = np.bincount(class_index_R, drawn_R, minlength=len(data.class_names))
        cycle = (begin, end) if head_only else (0, max(cut[1] for cut in cuts if not cut[2]))
        phases.append(Phase(begin, end, cycle, head_only, np.cumsum(probability_R), prior_K / prior_K.sum()))
    return Mixture(len(real_N), pool_index, class_index_R, weight_R, tuple(phases))


def _samples(arm: Arm, data: LiftData) -> npt.NDArray[np.int64]:
    """Positions in the arm's pool, class after class, the first of each."""
    if arm.source is None:
        return np.empty(0, np.int64)
    if arm.source not in data.pools:
        raise InputError(f"arm {arm.name} needs samples of source {arm.source!r}, and none are given")
    wanted_K = filled_counts(arm, data.counts_K)
    if not wanted_K.any():
        raise InputError(f"arm {arm.name} adds no sample: every class it fills is as large as the largest")
    own_K = [np.flatnonzero(data.pools[arm.source].class_index_N == c) for c in range(len(wanted_K))]
    for name, own, wanted in zip(data.class_names, own_K, wanted_K, strict=True):
        if len(own) < wanted:
            raise InputError(
                f"arm {arm.name} needs {wanted} samples of class {name!r} from source {arm.source!r}, "
                f"and there are {len(own)}"
            )
    return np.concatenate([own[:wanted] for own, wanted in zip(own_K, wanted_K, strict=True)])


def _cuts(arm: Arm, steps: int) -> list[tuple[int, int, bool, bool]]:
    """(begin, end, head_only, only_real) of each phase that has steps."""
    refit = max(1, round(arm.refit_from * steps))  # something must be learned before it is refitted
    turn = min(round(arm.real_from * steps), refit) if arm.source else refit
    cuts = [(0, turn, False, False), (turn, refit, False, True), (refit, steps, True, True)]
    return [cut for cut in cuts if cut[0] < cut[1]]


def _probability(
    arm: Arm,
    class_index_R: npt.NDArray[np.int64],
    synthetic_R: npt.NDArray[np.bool_],
    *,
    only_real: bool,
    by_class: bool,
) -> npt.NDArray[np.float64]:
    """Of drawing each row; sums to 1."""
    open_R = ~synthetic_R if only_real else np.ones_like(synthetic_R)
    even = by_class or arm.sampling == "classes"
    real_R = _spread(~synthetic_R, class_index_R, even=even)
    if arm.replaced is not None and not only_real:
        return _replaced(arm.replaced, real_R, class_index_R, synthetic_R)
    if arm.share is None or only_real:
        return _spread(open_R, class_index_R, even=even)
    return (1 - arm.share) * real_R + arm.share * _spread(synthetic_R, class_index_R, even=even)


def _replaced(
    share: float,
    real_R: npt.NDArray[np.float64],
    class_index_R: npt.NDArray[np.int64],
    synthetic_R: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """`share` of what each class is drawn goes to its samples, where it has any: a class is drawn no more often."""
    samples_K = np.bincount(class_index_R[synthetic_R], minlength=int(class_index_R.max()) + 1)
    share_K = np.where(samples_K > 0, share, 0.0)
    sample_K = share_K * np.bincount(class_index_R, real_R) / np.maximum(samples_K, 1)
    return np.where(synthetic_R, sample_K[class_index_R], (1 - share_K[class_index_R]) * real_R)


def _spread(
    open_R: npt.NDArray[np.bool_], class_index_R: npt.NDArray[np.int64], *, even: bool
) -> npt.NDArray[np.float64]:
    """Over the open rows: every row alike, or (`even`) every class alike and its rows alike."""
    counts_K = np.bincount(class_index_R[open_R], minlength=int(class_index_R.max()) + 1)
    each_K = 1.0 / np.maximum(counts_K, 1) if even else np.ones(len(counts_K))
    mass_R = np.where(open_R, each_K[class_index_R], 0.0)
    spread_R: npt.NDArray[np.float64] = mass_R / mass_R.sum()
    return spread_R
