"""What suite `lift` shows: a line an arm with its interval, a line a class, and the recommendation in words.

Owns the columns and the result's JSON. What figures mean is `augment.lift`'s.

S = seeds, N = images, K = classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from augment.lift.arms import Arm
from augment.lift.comparison import Comparison, Predictions, against, best_of
from augment.lift.recommendation import HeldOut, Recommendation, recommend
from augment.lift.scores import Scores, mean_scores, rarest_classes, score
from augment.quality.intervals import Interval
from augment.quality.label_metrics import mean_recall
from augment.types import Record
from tests.benchmarks.lift_data import LiftSets
from tests.benchmarks.lift_trials import FoundTrial

__all__ = ["ArmResult", "Verdict", "arm_table", "class_table", "recommendation_text", "verdict"]


class ArmResult(Record):
    """One arm: means over seeds, and its difference from the control that is best on validation images."""

    arm: Arm
    validation: Scores
    test: Scores
    difference: Comparison | None  # None: it is that control
    tail_difference: Comparison | None
    seconds: float  # of a trial, mean


class Verdict(Record):
    """One data set's result."""

    name: str
    class_names: tuple[str, ...]
    training_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    seeds: tuple[int, ...]
    control: str
    best_control_on_test: str
    arms: tuple[ArmResult, ...]
    recommendation: Recommendation


def verdict(
    sets: LiftSets, arms: Sequence[Arm], seeds: Sequence[int], found: Sequence[FoundTrial]
) -> Verdict:
    """Scores, differences and the recommendation of one data set's trials."""
    classes = len(sets.class_names)
    counts_K = sets.training.counts(classes)
    tail = rarest_classes(counts_K)
    of_arm = {arm.name: [trial for trial in found if trial.arm == arm] for arm in arms}
    validation, test = _predictions(of_arm, on_test=False), _predictions(of_arm, on_test=True)
    controls = [arm.name for arm in arms if arm.is_control]
    control = best_of({name: validation[name] for name in controls}, sets.validation.class_index_N)
    labels_N = sets.test.class_index_N
    overall = {one.arm: one for one in against(control, test, labels_N)}
    in_tail = {one.arm: one for one in against(control, test, labels_N, metric=mean_recall(tail))}
    results = tuple(
        ArmResult(
            arm=arm,
            validation=mean_scores(
                [
                    score(trial.validation_NK, sets.validation.class_index_N, tail)
                    for trial in of_arm[arm.name]
                ]
            ),
            test=mean_scores([score(trial.test_NK, labels_N, tail) for trial in of_arm[arm.name]]),
            difference=overall.get(arm.name),
            tail_difference=in_tail.get(arm.name),
            seconds=float(np.mean([trial.record.seconds for trial in of_arm[arm.name]])),
        )
        for arm in arms
    )
    held_out = HeldOut(validation, sets.validation.class_index_N), HeldOut(test, labels_N)
    return Verdict(
        name=sets.name,
        class_names=sets.class_names,
        training_counts=tuple(counts_K.tolist()),
        test_counts=tuple(sets.test.counts(classes).tolist()),
        seeds=tuple(seeds),
        control=control,
        best_control_on_test=best_of({name: test[name] for name in controls}, labels_N),
        arms=results,
        recommendation=recommend(arms, *held_out, sets.class_names, counts_K),
    )


def arm_table(result: Verdict) -> Table:
    """A line an arm, on test images; `less control` with the 95% interval of the difference in points."""
    title = f"{result.name}: {len(result.seeds)} seeds, control {result.control} (best on validation)"
    table = Table(title=title, title_justify="left")
    for header in ("arm", "validation", "balanced acc.", "less control", "p (Holm)", "tail", "less control"):
        table.add_column(header, justify="left" if header == "arm" else "right")
    for header in ("macro F1", "worst class", "ECE", "NLL", "s"):
        table.add_column(header, justify="right")
    for one in result.arms:
        table.add_row(
            one.arm.name,
            f"{100 * one.validation.balanced_accuracy:.2f}",
            f"{100 * one.test.balanced_accuracy:.2f}",
            _difference(one.difference),
            f"{one.difference.adjusted_p:.3f}" if one.difference else "",
            f"{100 * one.test.tail_recall:.2f}",
            _difference(one.tail_difference),
            *(f"{100 * value:.2f}" for value in (one.test.macro_f1, one.test.worst_class_recall)),
            f"{one.test.calibration_error:.3f}",
            f"{one.test.log_loss:.3f}",
            f"{one.seconds:.0f}",
        )
    return table


def class_table(result: Verdict) -> Table:
    """A line a class: test recall of the control and of the chosen arm, and the advice."""
    advice = result.recommendation
    by_name = {one.arm.name: one.test.recall_K for one in result.arms}
    table = Table(title=f"{result.name}: recall a class, on test images", title_justify="left")
    for header in ("class", "training images", result.control, advice.chosen or "", "advice"):
        table.add_column(header, justify="left" if header in ("class", "advice") else "right")
    for index, one in enumerate(advice.classes):
        chosen = f"{100 * by_name[advice.chosen][index]:.1f}" if advice.chosen else ""
        given = f"{one.samples:,} samples" if one.recipe == "gan" else "don't augment"
        table.add_row(
            one.name,
            f"{result.training_counts[index]:,}",
            f"{100 * by_name[result.control][index]:.1f}",
            chosen,
            given,
        )
    return table


def recommendation_text(result: Verdict) -> str:
    """The recommendation in two lines."""
    advice = result.recommendation
    return f"{result.name}: {'augment' if advice.augment else 'do not augment'}, train by {advice.train}\n{advice.reason}"


def _predictions(of_arm: dict[str, list[FoundTrial]], *, on_test: bool) -> Predictions:
    """Predicted classes [S, N] by arm, seeds in the order of the trials."""
    return {
        name: np.stack([(trial.test_NK if on_test else trial.validation_NK).argmax(1) for trial in trials])
        for name, trials in of_arm.items()
    }


def _difference(comparison: Comparison | None) -> str:
    return _interval(comparison.difference) if comparison else "control"


def _interval(interval: Interval) -> str:
    points = [f"{100 * value:+.2f}" for value in (interval.estimate, interval.low, interval.high)]
    return f"{points[0]} ({points[1]} … {points[2]})"
