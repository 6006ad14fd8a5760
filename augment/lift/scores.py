"""What one trained classifier is worth on held-out real images: recalls and calibration.

Owns which figures are reported of a trial, and calibration's formulas; the metrics of predicted classes are
`augment.quality.label_metrics`'. Knows neither arms nor networks.

S = seeds, N = images, K = classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.quality.label_metrics import confusion_matrices, mean_recall, metric_named
from augment.types import Record

__all__ = ["ECE_BINS", "Scores", "expected_calibration_error", "mean_scores", "rarest_classes", "score"]

ECE_BINS = 15  # as in Guo et al. 2017
_LEAST = float(np.finfo(np.float32).tiny)  # a probability of 0 is rounding


class Scores(Record):
    """Shares lie in 0 … 1, more is better, but for the last two: less is better."""

    balanced_accuracy: float
    macro_f1: float
    worst_class_recall: float
    tail_recall: float  # mean recall of the classes with fewest real training images
    recall_K: tuple[float, ...]
    calibration_error: float  # ECE: how far confidence is from accuracy
    log_loss: float  # mean −log p of the true class (NLL), in nats


def rarest_classes(counts_K: npt.NDArray[np.int64], most: int = 3) -> tuple[int, ...]:
    """Indices of the `most` classes with fewest real training images, fewest first; of equal ones the first."""
    return tuple(np.argsort(counts_K, kind="stable")[:most].tolist())


def score(
    probability_NK: npt.NDArray[np.float32], labels_N: npt.NDArray[np.int64], tail: Sequence[int]
) -> Scores:
    """The scores of one trial; `tail` are the classes of tail recall. InputError where a class has no image."""
    classes = probability_NK.shape[1]
    counts_SKK = confusion_matrices(probability_NK.argmax(1)[None], labels_N, classes)
    if not counts_SKK[0].sum(1).all():
        raise InputError(f"no image of class {int(counts_SKK[0].sum(1).argmin())}: its recall cannot be told")
    named = ("balanced_accuracy", "macro_f1", "worst_class_recall")
    values = {name: float(metric_named(name)(counts_SKK).value_S[0]) for name in named}
    true_N = probability_NK[np.arange(len(labels_N)), labels_N].astype(np.float64)
    return Scores(
        **values,
        tail_recall=float(mean_recall(tail)(counts_SKK).value_S[0]),
        recall_K=tuple((np.diagonal(counts_SKK[0]) / counts_SKK[0].sum(1)).tolist()),
        calibration_error=expected_calibration_error(probability_NK, labels_N),
        log_loss=float(-np.log(np.maximum(true_N, _LEAST)).mean()),
    )


def expected_calibration_error(
    probability_NK: npt.NDArray[np.float32], labels_N: npt.NDArray[np.int64], bins: int = ECE_BINS
) -> float:
    """ECE = Σ_m |B_m|/N · |accuracy(B_m) − confidence(B_m)| (Guo et al. 2017, eq. 3).

    `bins` of equal width, each with its upper limit: ((m − 1)/M, m/M].
    """
    confidence_N = probability_NK.max(1).astype(np.float64)
    hit_N = probability_NK.argmax(1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(np.int64) - 1, 0, bins - 1)
    gap_M = np.bincount(bin_N, hit_N - confidence_N, minlength=bins)
    return float(np.abs(gap_M).sum() / len(labels_N))


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean of each figure over trials, seeds as a rule."""
    columns = {
        name: [getattr(one, name) for one in scores] for name in Scores.model_fields if name != "recall_K"
    }
    means = {name: float(np.mean(column)) for name, column in columns.items()}
    recall_K = np.mean([one.recall_K for one in scores], axis=0)
    return Scores(**means, recall_K=tuple(recall_K.tolist()))
