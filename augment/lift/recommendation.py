"""What to do, class by class: a recipe and how far to fill, or 'don't augment' and why.

Owns the decision. The arm is chosen on validation images, and so is the control that it must beat; the test
images decide only whether the gain is real, by one comparison made once. Advice is the arm that was measured, class by
class and never a part of it. Where generated samples don't help, it is the control's own recipe, if it has one. Pure.
Knows neither images nor networks.

S = seeds, N = images, K = classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.lift.arms import Arm
from augment.lift.comparison import HeldOut, best_of
from augment.lift.mixture import filled_counts
from augment.lift.narrowing import losing_classes, without_classes
from augment.lift.scores import rarest_classes
from augment.lift.supply import Untried
from augment.quality.intervals import Interval, compare
from augment.quality.label_metrics import Metric, mean_recall
from augment.types import RecipeName, Record

__all__ = ["ClassAdvice", "Recommendation", "recommend"]


class ClassAdvice(Record):
    """One class: `samples` beside its real rows, made by `recipe`, or none."""

    name: str
    recipe: RecipeName
    samples: int
    fill: float  # share of the gap to the largest class; 0 where none
    recall_change: (
        Interval | None
    )  # on test images, against the control; None where nothing generated is added
    reason: str


class Recommendation(Record):
    """`train` names the arm to train by: the chosen one, or the control where the gain is not proved.

    Without `augment`, `classes` have the control's samples: repeats, changed or interpolated real images, or none.
    """

    augment: bool  # with generated samples
    train: str
    chosen: str | None  # the generated arm that is best on validation; None where there is none
    control: str  # the control that is best on validation
    on_validation: Interval | None  # chosen less control, balanced accuracy
    on_test: Interval | None
    tail_on_test: Interval | None  # the same, in mean recall of the rarest classes
    reason: str
    classes: tuple[ClassAdvice, ...]

    @property
    def makes_samples(self) -> bool:
        """Whether whoever follows it makes any sample, by whatever recipe."""
        return any(one.samples for one in self.classes)


def recommend(
    arms: Sequence[Arm],
    validation: HeldOut,
    test: HeldOut,
    class_names: Sequence[str],
    counts_K: npt.NDArray[np.int64],
    *,
    level: float = 0.95,
    untried: Sequence[Untried] = (),
) -> Recommendation:
    """The recommendation; `counts_K` are the real training images a class, `untried` the generated arms that could
    not be had.

    The generated arm of highest balanced accuracy on validation is compared with such a control. It is
    recommended where it is better on validation, and its interval on test lies above zero. Raises InputError
    where there is no control, or predictions of an arm are missing.
    """
    controls = {
        arm.name: validation.predictions[arm.name] for arm in _known(arms, validation, test) if arm.is_control
    }
    generated = {arm.name: validation.predictions[arm.name] for arm in arms if not arm.is_control}
    if not controls:
        raise InputError("no control among the arms: nothing can be said of what samples add; add `real`")
    control = next(arm for arm in arms if arm.name == best_of(controls, validation.labels_N))
    if not generated:
        instead = _advice_of_control(control, _nothing_tried(untried), class_names, counts_K)
        return _without(control.name, None, None, _nothing_tried(untried), instead)
    chosen = next(arm for arm in arms if arm.name == best_of(generated, validation.labels_N))
    differences = _Differences(chosen.name, control.name, validation, test, level)
    tail = mean_recall(rarest_classes(counts_K))
    on_test = differences.on_test()
    reason = _reason(chosen.name, control.name, differences)
    if differences.on_validation().estimate <= 0 or on_test.low <= 0:
        instead = _advice_of_control(control, reason, class_names, counts_K)
        return _without(control.name, chosen.name, differences, reason, instead, tail=tail)
    return Recommendation(
        augment=True,
        train=chosen.name,
        chosen=chosen.name,
        control=control.name,
        on_validation=differences.on_validation(),
        on_test=on_test,
        tail_on_test=differences.on_test(tail),
        reason=reason,
        classes=_advice(chosen, arms, differences, class_names, counts_K),
    )


@dataclass(frozen=True, slots=True)
class _Differences:
    """The chosen arm less the control."""

    chosen: str
    control: str
    validation: HeldOut
    test: HeldOut
    level: float

    def on_validation(self, metric: str | Metric = "balanced_accuracy") -> Interval:
        return self._on(self.validation, metric)

    def on_test(self, metric: str | Metric = "balanced_accuracy") -> Interval:
        return self._on(self.test, metric)

    def _on(self, held_out: HeldOut, metric: str | Metric) -> Interval:
        arm, control = held_out.predictions[self.chosen], held_out.predictions[self.control]
        return compare(arm, control, held_out.labels_N, metric, level=self.level)


def _known(arms: Sequence[Arm], *held_out: HeldOut) -> Sequence[Arm]:
    for arm in arms:
        if any(arm.name not in part.predictions for part in held_out):
            raise InputError(f"arm {arm.name} has no predictions of validation or test images")
    return arms


def _nothing_tried(untried: Sequence[Untried]) -> str:
    """Why there is no generated arm to compare: none was asked for, or none could be had."""
    because = "; ".join(f"{one.arm}: {one.reason}" for one in untried)
    return "no arm with generated samples was tried" + (f": {because}" if because else "")


def _reason(chosen: str, control: str, differences: _Differences) -> str:
    """Why, in a sentence a user can pass on."""
    seen, tested = differences.on_validation(), differences.on_test()
    figures = f"{_points(tested.estimate)} points of balanced accuracy, {differences.level:.0%} interval "
    figures += f"{_points(tested.low)} to {_points(tested.high)}"
    if seen.estimate <= 0:
        return (
            f"no arm with generated samples beats {control} on validation images; "
            f"the best of them, {chosen}, has {_points(seen.estimate)} points there"
        )
    if tested.low > 0:
        return f"{chosen} beats the best control, {control}, on test images: {figures}"
    if tested.high < 0:
        return f"{chosen} looked better on validation images and is worse than {control} on test images: {figures}"
    return f"{chosen} is not shown to beat the best control, {control}, on test images: {figures}"


def _without(
    control: str,
    chosen: str | None,
    differences: _Differences | None,
    reason: str,
    instead: tuple[ClassAdvice, ...],
    *,
    tail: Metric | None = None,
) -> Recommendation:
    """Don't augment: train as the control does, with its own samples where it has any."""
    return Recommendation(
        augment=False,
        train=control,
        chosen=chosen,
        control=control,
        on_validation=differences.on_validation() if differences else None,
        on_test=differences.on_test() if differences else None,
        tail_on_test=differences.on_test(tail) if differences and tail else None,
        reason=reason,
        classes=instead,
    )


def _advice(
    chosen: Arm,
    arms: Sequence[Arm],
    differences: _Differences,
    class_names: Sequence[str],
    counts_K: npt.NDArray[np.int64],
) -> tuple[ClassAdvice, ...]:
    """Class by class, of an arm that is recommended as it was measured; of a class that loses it is said."""
    wanted_K = filled_counts(chosen, counts_K)
    losing = losing_classes(
        chosen, differences.control, differences.validation, counts_K, level=differences.level
    )
    narrower = without_classes(chosen, losing, counts_K)
    without = (
        "the arm without such classes was measured too, and is no better"
        if narrower is not None and narrower.digest in {arm.digest for arm in arms}
        else "the arm without it was not measured, so nothing narrower is advised"
    )
    advice = []
    for index, (name, wanted) in enumerate(zip(class_names, wanted_K.tolist(), strict=True)):
        reason = f"part of {chosen.name}" if wanted else "the arm adds nothing to this class"
        if index in losing:
            fall = -differences.on_validation(mean_recall([index])).estimate
            reason += f", though its recall falls by {100 * fall:.2f} points on validation images: {without}"
        advice.append(
            ClassAdvice(
                name=name,
                recipe="gan" if wanted else "none",
                samples=wanted,
                fill=chosen.fill if wanted else 0.0,
                recall_change=differences.on_test(mean_recall([index])) if wanted else None,
                reason=reason,
            )
        )
    return tuple(advice)


def _advice_of_control(
    control: Arm, why: str, class_names: Sequence[str], counts_K: npt.NDArray[np.int64]
) -> tuple[ClassAdvice, ...]:
    """Class by class, what a recommended control is made of; `why` no generated samples are, where it has none."""
    recipe, samples_K, of = _recipe_of_control(control, counts_K)
    return tuple(
        ClassAdvice(
            name=name,
            recipe=recipe if samples else "none",
            samples=samples,
            fill=control.fill if samples else 0.0,
            recall_change=None,
            reason=of if samples else why,
        )
        for name, samples in zip(class_names, samples_K.tolist(), strict=True)
    )


def _recipe_of_control(
    control: Arm, counts_K: npt.NDArray[np.int64]
) -> tuple[RecipeName, npt.NDArray[np.int64], str]:
    """A control's recipe, its samples a class, and what they are part of.

    Oversampling draws every class as often as the largest: as rows, that is repeats up to its count.
    """
    if control.source in ("duplicate", "classic", "smote"):
        return control.source, filled_counts(control, counts_K), f"part of {control.name}"
    if control.sampling == "classes":
        return "duplicate", counts_K.max() - counts_K, f"repeats, as often as {control.name} draws them"
    return "none", np.zeros_like(counts_K), ""


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"
