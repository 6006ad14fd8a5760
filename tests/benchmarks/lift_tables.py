"""What suite `lift` shows: a line an arm with its interval, a line a class, and the recommendation in words.

Owns the columns. What figures mean, and the verdict, is `augment.lift`'s.

S = seeds, N = images, K = classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from augment.lift.arms import Arm
from augment.lift.comparison import Comparison
from augment.lift.verdict import ArmTrials, Asked, Verdict, verdict
from augment.quality.intervals import Interval
from tests.benchmarks.lift_data import LiftSets
from tests.benchmarks.lift_trials import FoundTrial

__all__ = ["arm_table", "class_table", "recommendation_text", "verdict_of"]


def verdict_of(
    sets: LiftSets, arms: Sequence[Arm], seeds: Sequence[int], found: Sequence[FoundTrial]
) -> Verdict:
    """What `augment lift` says of one data set's trials."""
    asked = Asked(
        class_names=sets.class_names,
        counts_K=sets.training.counts(len(sets.class_names)),
        validation_N=sets.validation.class_index_N,
        test_N=sets.test.class_index_N,
        seeds=tuple(seeds),
        config=sets.config,
    )
    return verdict(asked, [_of_arm(arm, found) for arm in arms])


def _of_arm(arm: Arm, found: Sequence[FoundTrial]) -> ArmTrials:
    trials = sorted((trial for trial in found if trial.arm == arm), key=lambda trial: trial.seed)
    return ArmTrials(
        arm=arm,
        validation_SNK=np.stack([trial.validation_NK for trial in trials]),
        test_SNK=np.stack([trial.test_NK for trial in trials]),
        seconds=float(np.mean([trial.record.seconds for trial in trials])),
    )


def arm_table(name: str, result: Verdict) -> Table:
    """A line an arm, on test images; `less control` with the 95% interval of the difference in points."""
    title = f"{name}: {len(result.seeds)} seeds, control {result.control} (best on validation)"
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


def class_table(name: str, result: Verdict) -> Table:
    """A line a class: test recall of the control and of the chosen arm, and the advice."""
    advice = result.recommendation
    by_name = {one.arm.name: one.test.recall_K for one in result.arms}
    table = Table(title=f"{name}: recall a class, on test images", title_justify="left")
    for header in ("class", "training images", result.control, advice.chosen or "", "advice"):
        table.add_column(header, justify="left" if header in ("class", "advice") else "right")
    for index, one in enumerate(advice.classes):
        chosen = f"{100 * by_name[advice.chosen][index]:.1f}" if advice.chosen else ""
        given = f"{one.samples:,} samples by {one.recipe}" if one.samples else "none"
        table.add_row(
            one.name,
            f"{result.training_counts[index]:,}",
            f"{100 * by_name[result.control][index]:.1f}",
            chosen,
            given,
        )
    return table


def recommendation_text(name: str, result: Verdict) -> str:
    """The recommendation in two lines."""
    advice = result.recommendation
    return f"{name}: {'augment' if advice.augment else 'do not augment'}, train by {advice.train}\n{advice.reason}"


def _difference(comparison: Comparison | None) -> str:
    return _interval(comparison.difference) if comparison else "control"


def _interval(interval: Interval) -> str:
    points = [f"{100 * value:+.2f}" for value in (interval.estimate, interval.low, interval.high)]
    return f"{points[0]} ({points[1]} … {points[2]})"
