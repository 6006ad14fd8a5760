"""Arms against one control on the same images: differences with intervals, corrected for the number of arms.

Owns which arm is paired with which; the statistics are `augment.quality.intervals`'. Knows no network.

S = seeds, N = images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError
from augment.quality.intervals import Interval, compare, holm
from augment.quality.label_metrics import Metric, confusion_matrices, metric_named
from augment.types import Record

__all__ = ["Comparison", "HeldOut", "Predictions", "against", "best_of", "mean_metric"]

Predictions = Mapping[str, npt.NDArray[np.int64]]
"""Predicted class indices [S, N] by arm; row s of every arm is the same seed."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What every arm predicts of one set of held-out real images, and their classes [N]."""

    predictions: Predictions
    labels_N: npt.NDArray[np.int64]


class Comparison(Record):
    """`arm` less `control`: positive where the arm is better. `adjusted_p` is Holm's over the arms compared."""

    arm: str
    control: str
    difference: Interval
    adjusted_p: float


def against(
    control: str,
    predictions: Predictions,
    labels_N: npt.NDArray[np.int64],
    *,
    metric: str | Metric = "balanced_accuracy",
    level: float = 0.95,
) -> tuple[Comparison, ...]:
    """Every other arm of `predictions` with `control`, in their order. Intervals are each arm's own, at `level`;
    what holds for all arms at once is told by the adjusted p-values.

    Raises ConfigError where there is no such arm, InputError for arrays that don't fit.
    """
    if control not in predictions:
        raise ConfigError(f"control {control!r} is not among the arms {', '.join(predictions)}")
    others = [name for name in predictions if name != control]
    differences = [
        compare(predictions[name], predictions[control], labels_N, metric, level=level) for name in others
    ]
    adjusted = holm([difference.p_value for difference in differences])
    return tuple(
        Comparison(arm=name, control=control, difference=difference, adjusted_p=p)
        for name, difference, p in zip(others, differences, adjusted, strict=True)
    )


def mean_metric(
    predicted_SN: npt.NDArray[np.int64], labels_N: npt.NDArray[np.int64], metric: str | Metric
) -> float:
    """The mean over seeds of a metric of one arm."""
    classes = 1 + max(int(labels_N.max()), int(predicted_SN.max()))
    return float(metric_named(metric)(confusion_matrices(predicted_SN, labels_N, classes)).value_S.mean())


def best_of(
    predictions: Predictions, labels_N: npt.NDArray[np.int64], metric: str | Metric = "balanced_accuracy"
) -> str:
    """The arm of highest mean; of equal ones the first."""
    return max(predictions, key=lambda name: mean_metric(predictions[name], labels_N, metric))
