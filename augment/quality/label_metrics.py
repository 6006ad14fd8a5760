"""What a set of predicted classes is worth: metrics of a confusion matrix, each with its gradient.

Owns the formulas. The gradient says how much one more image in a cell would move the metric: it is what an
interval needs to know of a metric (see `intervals.compare`), so that adding one is a function and a dict
entry. Knows neither classifiers nor arms. Classes without a test image count in no mean.

S = seeds, N = test images, K = classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError, InputError

__all__ = ["METRICS", "Measured", "Metric", "confusion_matrices", "mean_recall", "metric_named"]

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of S confusion matrices, and its derivative with respect to every count."""

    value_S: npt.NDArray[np.float64]
    gradient_SKK: npt.NDArray[np.float64]


Metric = Callable[[Counts], Measured]  # takes counts [S, K, K]: seed, true class, predicted class


def confusion_matrices(
    predicted_SN: npt.NDArray[np.int64], labels_N: npt.NDArray[np.int64], classes: int
) -> Counts:
    """Images by seed, true class and predicted class, [S, K, K]; all indices lie in 0 … K-1."""
    seeds = len(predicted_SN)
    cell_SN = (np.arange(seeds)[:, None] * classes + labels_N) * classes + predicted_SN
    counts = np.bincount(cell_SN.ravel(), minlength=seeds * classes * classes)
    return counts.reshape(seeds, classes, classes).astype(np.float64)


def mean_recall(class_indices: Sequence[int]) -> Metric:
    """The metric 'mean recall of these classes': of one class its recall, of the rare ones tail recall.

    Raises ConfigError where no class is named, and, when it measures, InputError where one has no image.
    """
    chosen = np.array(sorted(set(class_indices)), np.int64)
    if not len(chosen):
        raise ConfigError("mean recall needs at least one class")

    def measure(counts_SKK: Counts) -> Measured:
        images_SK = counts_SKK.sum(2)
        absent = [int(k) for k in chosen if k >= images_SK.shape[1] or not images_SK[:, k].all()]
        if absent:
            raise InputError(f"mean recall of classes {chosen.tolist()}: no test image of {absent}")
        recall_SK, slope_SKK = _recalls(counts_SKK)
        weight_K = np.zeros(images_SK.shape[1])
        weight_K[chosen] = 1 / len(chosen)
        return Measured(recall_SK @ weight_K, slope_SKK * weight_K[:, None])

    return measure


def metric_named(metric: str | Metric) -> Metric:
    """The metric of that name, or the function itself; raises ConfigError for a name that is none."""
    if not isinstance(metric, str):
        return metric
    if metric not in METRICS:
        raise ConfigError(f"metric={metric!r} is none of {', '.join(METRICS)}")
    return METRICS[metric]


def _accuracy(counts_SKK: Counts) -> Measured:
    """Share of images whose class is right."""
    total_S = counts_SKK.sum((1, 2))
    value_S = np.trace(counts_SKK, axis1=1, axis2=2) / total_S
    right_KK = np.eye(counts_SKK.shape[1])
    return Measured(value_S, (right_KK - value_S[:, None, None]) / total_S[:, None, None])


def _balanced_accuracy(counts_SKK: Counts) -> Measured:
    """Mean recall of the classes that have images."""
    return mean_recall(np.flatnonzero(counts_SKK[0].sum(1)).tolist())(counts_SKK)


def _macro_f1(counts_SKK: Counts) -> Measured:
    """Mean over classes of F1 = 2·TP / (images of the class + images taken for it)."""
    present_K = counts_SKK[0].sum(1) > 0
    hits_SK = np.diagonal(counts_SKK, axis1=1, axis2=2)
    both_SK = counts_SKK.sum(2) + counts_SKK.sum(1)
    f1_SK = np.divide(2 * hits_SK, both_SK, out=np.zeros_like(hits_SK), where=both_SK > 0)
    # d F1_k = (2·dTP_k − F1_k·(d images_k + d taken_k)) / (images_k + taken_k)
    unit_SK = np.divide(present_K / present_K.sum(), both_SK, out=np.zeros_like(f1_SK), where=both_SK > 0)
    shrink_SK = unit_SK * f1_SK
    gradient_SKK = -shrink_SK[:, :, None] - shrink_SK[:, None, :]
    diagonal = np.arange(counts_SKK.shape[1])
    gradient_SKK[:, diagonal, diagonal] += 2 * unit_SK
    return Measured(f1_SK[:, present_K].mean(1), gradient_SKK)


def _worst_class_recall(counts_SKK: Counts) -> Measured:
    """The lowest recall; of equally low ones the first class is the one that moves it."""
    recall_SK, slope_SKK = _recalls(counts_SKK)
    recall_SK[counts_SKK.sum(2) == 0] = np.inf
    worst_S = recall_SK.argmin(1)
    gradient_SKK = np.zeros_like(counts_SKK)
    seeds = np.arange(len(counts_SKK))
    gradient_SKK[seeds, worst_S] = slope_SKK[seeds, worst_S]
    return Measured(recall_SK[seeds, worst_S], gradient_SKK)


def _recalls(counts_SKK: Counts) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Recalls [S, K], and of each class's recall the derivatives in its own row, [S, K, K]; 0 for no image."""
    images_SK = np.maximum(counts_SKK.sum(2), 1)
    recall_SK = np.diagonal(counts_SKK, axis1=1, axis2=2) / images_SK
    right_KK = np.eye(counts_SKK.shape[1])
    return recall_SK, (right_KK - recall_SK[:, :, None]) / images_SK[:, :, None]


METRICS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "worst_class_recall": _worst_class_recall,
}
