"""How sure a figure is: intervals of shares, of differences between arms, and corrections for many arms.

Owns the statistics, on arrays and counts. Knows neither classifiers nor images.

Two arms are trained with S seeds each and judged on the same N test images, so their difference is noisy in
two ways. Other seeds would give other classifiers: the variance between the seeds' differences shows this,
and in it also how far each seed stumbles over images of its own. Another test set would give other images:
the part of that noise which all seeds share does not show between them, and is added. Resampling seeds
alone, or images alone, leaves one out; resampling both (Owen 2007, "The pigeonhole bootstrap") counts the
interaction of the two twice, and with 5 seeds its percentiles are too narrow.

S = seeds, N = test images, G = strata, K = classes, M = arms.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError, InputError
from augment.quality.label_metrics import Metric, confusion_matrices, metric_named
from augment.seeds import stream_id, uniforms
from augment.types import Record

__all__ = [
    "Bounds",
    "Interval",
    "bootstrap",
    "clopper_pearson",
    "compare",
    "compare_means",
    "holm",
    "paired_t",
    "simultaneous",
    "wilson",
]

_FEWEST_SEEDS = 2
_DRAWS = 2_000  # of a bootstrap
_BLOCK = 1 << 20  # random numbers drawn in one go: 8 MB
_SEED_VARIANCE_LIMIT = 0.7  # see `_two_way`


def _special() -> Any:
    """scipy.special, loaded when it is used: `augment plan` reads these records and computes none."""
    from scipy import special

    return special


class Bounds(Record):
    """An estimate between its limits."""

    estimate: float
    low: float
    high: float
    level: float  # of confidence, e.g. 0.95


class Interval(Bounds):
    """A difference between two arms with its t interval; positive where the arm is better."""

    standard_error: float
    degrees_of_freedom: float
    p_value: float  # two-sided, for 'no difference'

    @classmethod
    def student(
        cls, estimate: float, standard_error: float, degrees_of_freedom: float, level: float
    ) -> "Interval":
        """estimate ± t·standard error; without any noise, the estimate alone."""
        _check_level(level)
        if standard_error > 0:
            half = float(_special().stdtrit(degrees_of_freedom, (1 + level) / 2)) * standard_error
            p_value = float(2 * _special().stdtr(degrees_of_freedom, -abs(estimate) / standard_error))
        else:
            half, p_value = 0.0, float(estimate == 0)
        return cls(
            estimate=estimate,
            low=estimate - half,
            high=estimate + half,
            level=level,
            standard_error=standard_error,
            degrees_of_freedom=degrees_of_freedom,
            p_value=p_value,
        )

    @property
    def excludes_zero(self) -> bool:
        """Whether the arms differ, at this level."""
        return self.low > 0 or self.high < 0

    def at(self, level: float) -> "Interval":
        """The same difference at another level of confidence."""
        return Interval.student(self.estimate, self.standard_error, self.degrees_of_freedom, level)


def compare(
    predicted_arm_SN: npt.NDArray[np.int64],
    predicted_control_SN: npt.NDArray[np.int64],
    labels_N: npt.NDArray[np.int64],
    metric: str | Metric = "balanced_accuracy",
    *,
    level: float = 0.95,
) -> Interval:
    """The mean over seeds of metric(arm) − metric(control) on the same test images, with its interval.

    Predictions and labels are class indices; row s of both arms is seed s, and arms may share what the seed
    decides. `metric` is a name of `label_metrics.METRICS` or such a function. What is estimated is the
    difference expected for new seeds and for other test images, as many of each class. The lowest of several
    noisy recalls lies below the lowest true recall: an interval for `worst_class_recall` is about the former.

    The standard error is two-way: the variance between seeds, plus the images' noise that seeds share
    (`_shared_image_variances`). Degrees of freedom run from S − 1, where seeds make the noise, upwards, where
    images do (`_two_way`). Nothing is random here: no draws, no seed.

    Raises InputError for arrays that don't fit, fewer than 2 seeds, or a class with a single test image;
    ConfigError for an unknown metric or level.
    """
    _check_predictions(predicted_arm_SN, predicted_control_SN, labels_N)
    measure = metric_named(metric)
    classes = 1 + max(int(labels_N.max()), int(predicted_arm_SN.max()), int(predicted_control_SN.max()))
    value_S, influence_SN = _measured(predicted_arm_SN, labels_N, classes, measure)
    control_S, control_influence_SN = _measured(predicted_control_SN, labels_N, classes, measure)
    return _two_way(value_S - control_S, influence_SN - control_influence_SN, labels_N, level)


def compare_means(
    value_arm_SN: npt.NDArray[np.float64],
    value_control_SN: npt.NDArray[np.float64],
    labels_N: npt.NDArray[np.int64],
    *,
    level: float = 0.95,
) -> Interval:
    """Like `compare`, for the mean over images of any value, e.g. each image's negative log-likelihood."""
    _check_arms(value_arm_SN, value_control_SN, labels_N)
    difference_SN = np.asarray(value_arm_SN, np.float64) - np.asarray(value_control_SN, np.float64)
    if not np.isfinite(difference_SN).all():
        raise InputError("compared arms: some values are not finite")
    return _two_way(difference_SN.mean(1), difference_SN / len(labels_N), labels_N, level)


def paired_t(difference_S: npt.NDArray[np.float64], *, level: float = 0.95) -> Interval:
    """Student's interval of a mean of independent differences, e.g. of seeds on test data taken as fixed.

    It says nothing of other test images: for those, see `compare`. Raises InputError for fewer than two.
    """
    if difference_S.ndim != 1 or len(difference_S) < _FEWEST_SEEDS:
        raise InputError(f"a paired t interval needs at least 2 differences, not {list(difference_S.shape)}")
    count = len(difference_S)
    error = float(difference_S.std(ddof=1)) / math.sqrt(count)
    return Interval.student(float(difference_S.mean()), error, count - 1, level)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values of M comparisons (Holm 1979): below α, the chance of any false alarm is below α."""
    if any(not 0 <= p <= 1 for p in p_values):
        raise InputError(f"p-values lie between 0 and 1: {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def simultaneous(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """The same M differences, each wide enough that all hold at once at the level asked for (Bonferroni).

    Holm's p-values are a little sharper, but have no interval of their own as simple as this.
    """
    return tuple(each.at(1 - (1 - each.level) / len(intervals)) for each in intervals)


def wilson(count: int, total: int, level: float = 0.95) -> Bounds:
    """A share with its score interval (Wilson 1927): right on average, and kept by shares near 0 or 1."""
    _check_share(count, total, level)
    share, z2 = count / total, float(_special().ndtri((1 + level) / 2)) ** 2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * share * (1 - share) / total + z2 * z2 / (4 * total * total)) / (1 + z2 / total)
    low, high = max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
    return Bounds(estimate=share, low=low, high=high, level=level)


def clopper_pearson(count: int, total: int, level: float = 0.95) -> Bounds:
    """A share with its exact interval (Clopper & Pearson 1934): never less sure than it says, but wider."""
    _check_share(count, total, level)
    tail = (1 - level) / 2
    low = float(_special().betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(_special().betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return Bounds(estimate=count / total, low=low, high=high, level=level)


def bootstrap(
    statistic: Callable[..., float],
    *samples: npt.NDArray[np.float64],
    seed: int,
    name: str,
    level: float = 0.95,
    draws: int = _DRAWS,
) -> Bounds:
    """`statistic(*samples)` with its percentile interval (Efron & Tibshirani 1993, section 13.3).

    Each sample's rows are drawn with replacement, independently of the other samples' rows: pass pairs as the
    columns of one sample. `name` and `seed` key the draws. For statistics of many rows that have no formula
    of their own; with a handful of rows its intervals are too narrow. Raises InputError for an empty sample.
    """
    _check_level(level)
    if any(len(sample) == 0 for sample in samples):
        raise InputError(f"bootstrap of {name}: a sample is empty")
    streams = [stream_id("quality.bootstrap", name, position) for position in range(len(samples))]
    block = max(1, _BLOCK // sum(len(sample) for sample in samples))
    values = []
    for first in range(0, draws, block):
        rows = [
            (uniforms(seed, stream, first, min(block, draws - first), len(sample)) * len(sample)).astype(
                np.int64
            )
            for stream, sample in zip(streams, samples, strict=True)
        ]
        for drawn in zip(*rows, strict=True):
            values.append(statistic(*(sample[row_N] for sample, row_N in zip(samples, drawn, strict=True))))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Bounds(estimate=float(statistic(*samples)), low=float(low), high=float(high), level=level)


def _measured(
    predicted_SN: npt.NDArray[np.int64], labels_N: npt.NDArray[np.int64], classes: int, measure: Metric
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The metric of each seed [S], and by how much each image moves it [S, N]."""
    measured = measure(confusion_matrices(predicted_SN, labels_N, classes))
    seeds = np.arange(len(predicted_SN))[:, None]
    return measured.value_S, measured.gradient_SKK[seeds, labels_N[None, :], predicted_SN]


def _two_way(
    difference_S: npt.NDArray[np.float64],
    influence_SN: npt.NDArray[np.float64],
    stratum_N: npt.NDArray[np.int64],
    level: float,
) -> Interval:
    """The interval of the mean difference, of seeds and images both drawn from many.

    Degrees of freedom are Satterthwaite's (1946), but with the upper 70% limit of the variance between seeds
    for its estimate: of few seeds it comes out too low by chance, which would narrow the error and the t
    quantile both. So 5% stay 3.5 to 6% from three seeds on, and up to 7% of two, whatever share is theirs.
    """
    seeds = len(difference_S)
    between_seeds = float(difference_S.var(ddof=1)) / seeds
    shared_G, images_G = _shared_image_variances(influence_SN, stratum_N)
    shared = float(shared_G.sum())
    variance, freedom = between_seeds, float(seeds - 1)
    if shared > 0:  # it estimates a variance ≥ 0, and may fall below by chance
        variance += shared
        likely = between_seeds * (seeds - 1) / float(_special().chdtri(seeds - 1, _SEED_VARIANCE_LIMIT))
        parts = likely**2 / (seeds - 1) + float((shared_G**2 / (images_G - 1)).sum())
        freedom = max(freedom, (likely + shared) ** 2 / parts)
    return Interval.student(float(difference_S.mean()), math.sqrt(variance), freedom, level)


def _shared_image_variances(
    influence_SN: npt.NDArray[np.float64], stratum_N: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """How far other images of each stratum would move all seeds alike: variances [G], and images [G].

    The mean covariance of two different seeds over resampled images, in its limit of endless resampling: the
    infinitesimal jackknife (Efron & Tibshirani 1993, section 21.3), with n/(n − 1) for its small-sample bias.
    """
    seeds = len(influence_SN)
    _, group_N, images_G = np.unique(stratum_N, return_inverse=True, return_counts=True)
    mean_SG = np.stack([np.bincount(group_N, row_N) for row_N in influence_SN]) / images_G
    centred_SN = influence_SN - mean_SG[:, group_N]
    pairs_N = centred_SN.sum(0) ** 2 - (centred_SN**2).sum(0)  # Σ over s ≠ t of c_s·c_t
    covariance_G = np.bincount(group_N, pairs_N) / (seeds * (seeds - 1))
    return covariance_G * images_G / (images_G - 1), images_G


def _check_predictions(
    arm_SN: npt.NDArray[np.int64], control_SN: npt.NDArray[np.int64], labels_N: npt.NDArray[np.int64]
) -> None:
    _check_arms(arm_SN, control_SN, labels_N)
    for whose, values in (("arm", arm_SN), ("control", control_SN), ("labels", labels_N)):
        if not np.issubdtype(values.dtype, np.integer) or values.min() < 0:
            raise InputError(f"compared arms: the {whose} must be class indices ≥ 0, not {values.dtype}")


def _check_arms(
    arm_SN: npt.NDArray[np.generic], control_SN: npt.NDArray[np.generic], labels_N: npt.NDArray[np.int64]
) -> None:
    shapes = f"{list(arm_SN.shape)}, {list(control_SN.shape)} and labels {list(labels_N.shape)}"
    if arm_SN.ndim != 2 or arm_SN.shape != control_SN.shape or labels_N.shape != arm_SN.shape[1:]:
        raise InputError(f"compared arms need [seeds, images] twice and labels [images], not {shapes}")
    if len(arm_SN) < _FEWEST_SEEDS:
        raise InputError(f"compared arms need at least {_FEWEST_SEEDS} seeds, not {len(arm_SN)}; 5 is usual")
    label_K, images_K = np.unique(labels_N, return_counts=True)
    if not len(label_K) or images_K.min() < 2:
        alone = label_K[images_K < 2].tolist()
        raise InputError(f"compared arms need at least 2 test images a class; classes {alone} have one")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"level={level} must lie between 0 and 1, e.g. 0.95")


def _check_share(count: int, total: int, level: float) -> None:
    _check_level(level)
    if not 0 <= count <= total or total < 1:
        raise InputError(f"a share of {count} in {total}: needs 0 ≤ count ≤ total and total ≥ 1")
