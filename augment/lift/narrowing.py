"""One more arm where an arm that is ahead costs some classes: the same without them, measured like every other.

Owns which arms are narrowed, and by which classes. What is advised of a class has then been measured: nobody trains by
an arm that was put together from parts of one. Decided by validation images alone, and for the best control as for the
best generated arm, so that neither kind has a chance more. Pure; knows neither images nor networks.

K = classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.lift.arms import Arm, only_classes
from augment.lift.comparison import HeldOut, best_of
from augment.lift.mixture import filled_counts
from augment.quality.intervals import compare
from augment.quality.label_metrics import mean_recall

__all__ = ["Narrowed", "losing_classes", "narrower_arms", "without_classes"]


@dataclass(frozen=True, slots=True)
class Narrowed:
    """An arm to measure as well, and why."""

    arm: Arm
    reason: str


def narrower_arms(
    arms: Sequence[Arm], validation: HeldOut, class_names: Sequence[str], counts_K: npt.NDArray[np.int64]
) -> tuple[Narrowed, ...]:
    """The arms to try beside `arms`: at most one generated and one control.

    The generated arm that is best on validation images is compared with the best control, the best control that has
    samples with the best that has none. Where an arm loses in every class that it fills, or in none, nothing is added.
    """
    controls = [arm for arm in arms if arm.is_control]
    pairs = (
        ([arm for arm in arms if not arm.is_control], controls),
        ([arm for arm in controls if arm.source], [arm for arm in controls if arm.source is None]),
    )
    found = []
    for kind, references in pairs:
        if not kind or not references:
            continue
        arm, reference = _best(kind, validation), _best(references, validation)
        losing = losing_classes(arm, reference.name, validation, counts_K)
        narrower = without_classes(arm, losing, counts_K)
        if narrower is not None and narrower.digest not in {each.digest for each in arms}:
            names = ", ".join(repr(class_names[index]) for index in losing)
            reason = f"{arm.name} without {names}: worse there than {reference.name} on validation images"
            found.append(Narrowed(narrower, reason))
    return tuple(found)


def losing_classes(
    arm: Arm,
    reference: str,
    validation: HeldOut,
    counts_K: npt.NDArray[np.int64],
    *,
    level: float = 0.95,
) -> tuple[int, ...]:
    """Indices of the classes that `arm` fills and whose recall falls: the interval of arm less `reference` lies below 0."""
    predictions, labels_N = validation.predictions, validation.labels_N
    return tuple(
        index
        for index in np.flatnonzero(filled_counts(arm, counts_K)).tolist()
        if compare(
            predictions[arm.name], predictions[reference], labels_N, mean_recall([index]), level=level
        ).high
        < 0
    )


def without_classes(arm: Arm, losing: Sequence[int], counts_K: npt.NDArray[np.int64]) -> Arm | None:
    """`arm` filled in its other classes alone; None where that is the arm itself, or none of it is left."""
    filled = np.flatnonzero(filled_counts(arm, counts_K)).tolist()
    left = [index for index in filled if index not in losing]
    return only_classes(arm, left) if left and len(left) < len(filled) else None


def _best(arms: Sequence[Arm], validation: HeldOut) -> Arm:
    name = best_of({arm.name: validation.predictions[arm.name] for arm in arms}, validation.labels_N)
    return next(arm for arm in arms if arm.name == name)
