"""A limit for each class from the scores of its real images, and from all classes' where it has few.

Owns the rule. Knows neither what a score measures nor where it comes from.

A class's scores are taken to be drawn from a distribution that is known from them and, before them, from all
classes: a Dirichlet process with the pooled distribution F_0 as its base and `prior_images` as its strength
m_0. Its posterior mean (Ferguson 1973, section 3.1 (a)) after m scores with the empirical distribution F_c is

    F = (m F_c + m_0 F_0) / (m + m_0),    F_0 = the mean of F_j over the classes j that have scores,

and the limit is its q-quantile, inf {t : F(t) ≥ q}. So less than q (m + m_0) / m of the class's own scores
lie beyond its limit: with m_0 = 10 and q = 5%, 15% for 5 images, 6% for 50, 5.05% for 1,000. Classes weigh
equally in F_0, so that the head does not set the tail's limits; a class without scores has those of F_0.

S = scores, K = classes.
"""

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError, InputError

__all__ = ["class_means", "lower_limits", "upper_limits"]

_ROUNDING = 1e-12  # of cumulative weights


def lower_limits(
    score_S: npt.NDArray[np.floating],
    class_index_S: npt.NDArray[np.int64],
    class_count: int,
    *,
    quantile: float,
    prior_images: float,
) -> npt.NDArray[np.float64]:
    """Of each class the limit below which a score is refused, [K]; -inf where `quantile` is 0.

    `quantile` in [0, 0.5) and `prior_images` > 0 are q and m_0 of this file's formula. Raises InputError where
    there is no score or one is not finite, ConfigError where q or m_0 is out of range.
    """
    if not 0 <= quantile < 0.5 or not prior_images > 0:
        raise ConfigError(f"quantile={quantile} must be in [0, 0.5), and prior_images={prior_images} above 0")
    _check_scores(score_S, class_index_S, class_count)
    if quantile == 0:
        return np.full(class_count, -np.inf)
    order = np.argsort(score_S, kind="stable")
    score_S, class_index_S = np.asarray(score_S, np.float64)[order], class_index_S[order]
    counts_K = np.bincount(class_index_S, minlength=class_count)
    pooled_S = 1 / (np.count_nonzero(counts_K) * counts_K[class_index_S])
    pooled_cumulative_S = np.cumsum(pooled_S)
    limit_K = np.empty(class_count)
    for class_index, count in enumerate(counts_K.tolist()):
        below_S = np.cumsum(class_index_S == class_index) + prior_images * pooled_cumulative_S
        wanted = quantile * (count + prior_images) * (1 - _ROUNDING)
        limit_K[class_index] = score_S[np.searchsorted(below_S, wanted)]
    return limit_K


def upper_limits(
    score_S: npt.NDArray[np.floating],
    class_index_S: npt.NDArray[np.int64],
    class_count: int,
    *,
    quantile: float,
    prior_images: float,
) -> npt.NDArray[np.float64]:
    """Of each class the limit above which a score is refused, [K]; inf where `quantile` is 0.

    `lower_limits` from the other end.
    """
    return -lower_limits(-score_S, class_index_S, class_count, quantile=quantile, prior_images=prior_images)


def class_means(
    score_S: npt.NDArray[np.floating], class_index_S: npt.NDArray[np.int64], class_count: int
) -> npt.NDArray[np.float64]:
    """Mean score of each class, [K], so that one class's scores serve as another's prior.

    Divided by it where their size differs from class to class, as that of distances does; less it where their
    origin does, as that of a discriminator's scores does. A class without scores has the mean of the others'
    means. Raises InputError where there is no score or one is not finite.
    """
    _check_scores(score_S, class_index_S, class_count)
    counts_K = np.bincount(class_index_S, minlength=class_count)
    sums_K = np.bincount(class_index_S, weights=score_S, minlength=class_count)
    mean_K = sums_K / np.maximum(counts_K, 1)
    return np.where(counts_K > 0, mean_K, mean_K[counts_K > 0].mean())


def _check_scores(
    score_S: npt.NDArray[np.floating], class_index_S: npt.NDArray[np.int64], class_count: int
) -> None:
    if not len(score_S) or class_index_S.shape != score_S.shape or not np.isfinite(score_S).all():
        raise InputError(
            f"limits need finite scores with a class each, not {list(score_S.shape)} scores and "
            f"{list(class_index_S.shape)} class indices"
        )
    if class_index_S.min() < 0 or class_index_S.max() >= class_count:
        raise InputError(f"class indices of scores must be 0 to {class_count - 1}")
