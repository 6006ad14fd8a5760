"""The result of `augment lift`: every arm's scores, its difference from the best control, and what to do.

Owns the records that lift.json holds, and how they follow from the trials' predictions. Knows neither images nor
where trials ran.

S = seeds, N = images, K = classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from augment.lift.arms import Arm
from augment.lift.comparison import Comparison, HeldOut, Predictions, against, best_of
from augment.lift.config import LiftConfig
from augment.lift.following import Basis
from augment.lift.recommendation import Recommendation, recommend
from augment.lift.scores import Scores, mean_scores, rarest_classes, score
from augment.lift.supply import Untried
from augment.quality.label_metrics import mean_recall
from augment.types import Record

__all__ = ["ArmResult", "ArmTrials", "Asked", "LiftResult", "Verdict", "verdict"]


class ArmResult(Record):
    """One arm: means over seeds, and its difference on test from the control that is best on validation images."""

    arm: Arm
    validation: Scores
    test: Scores
    difference: Comparison | None  # in balanced accuracy; None: it is that control
    tail_difference: Comparison | None  # in mean recall of the three rarest classes
    seconds: float  # of a trial, mean
    narrowed: str = ""  # why it does not fill all the classes that its name stands for


class Verdict(Record):
    """All arms, and the recommendation. Counts are real images by class, in the order of `class_names`."""

    class_names: tuple[str, ...]
    training_counts: tuple[int, ...]
    validation_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    seeds: tuple[int, ...]
    config: LiftConfig
    control: str  # best on validation: the one that others are compared with
    best_control_on_test: str
    arms: tuple[ArmResult, ...]
    untried: tuple[Untried, ...]
    recommendation: Recommendation


class LiftResult(Record):
    """What lift.json holds: the question, what its answer rests on, and the answer."""

    question: str  # a digest: the same arms, seeds, images and samples are the same question
    basis: Basis
    verdict: Verdict
    test_sha256: str  # of the held-out images as they were found, before any were set aside to choose by
    test_uses: int  # different questions that they have answered
    left_out: int  # held-out images that are training images too, or are there on two sides
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArmTrials:
    """One arm's trials, a row a seed: probabilities [S, N, K] of validation and test images, and mean seconds."""

    arm: Arm
    validation_SNK: npt.NDArray[np.float32]
    test_SNK: npt.NDArray[np.float32]
    seconds: float


@dataclass(frozen=True)
class Asked:
    """What all arms have in common; labels are class indices [N] of the held-out images."""

    class_names: tuple[str, ...]
    counts_K: npt.NDArray[np.int64]
    validation_N: npt.NDArray[np.int64]
    test_N: npt.NDArray[np.int64]
    seeds: tuple[int, ...]
    config: LiftConfig
    narrowed: Mapping[str, str] = field(default_factory=dict)
    untried: tuple[Untried, ...] = ()


def verdict(asked: Asked, trials: Sequence[ArmTrials]) -> Verdict:
    """Scores, differences and the recommendation. Raises what `recommend` does."""
    classes = len(asked.class_names)
    tail = rarest_classes(asked.counts_K)
    validation: Predictions = {one.arm.name: one.validation_SNK.argmax(2) for one in trials}
    test: Predictions = {one.arm.name: one.test_SNK.argmax(2) for one in trials}
    arms = [one.arm for one in trials]
    recommendation = recommend(
        arms,
        HeldOut(validation, asked.validation_N),
        HeldOut(test, asked.test_N),
        asked.class_names,
        asked.counts_K,
        untried=[one for one in asked.untried if one.generated],
    )
    control = recommendation.control
    overall = {one.arm: one for one in against(control, test, asked.test_N)}
    in_tail = {one.arm: one for one in against(control, test, asked.test_N, metric=mean_recall(tail))}
    results = tuple(
        ArmResult(
            arm=one.arm,
            validation=_mean(one.validation_SNK, asked.validation_N, tail),
            test=_mean(one.test_SNK, asked.test_N, tail),
            difference=overall.get(one.arm.name),
            tail_difference=in_tail.get(one.arm.name),
            seconds=one.seconds,
            narrowed=asked.narrowed.get(one.arm.name, ""),
        )
        for one in trials
    )
    controls = {arm.name: test[arm.name] for arm in arms if arm.is_control}
    return Verdict(
        class_names=asked.class_names,
        training_counts=tuple(asked.counts_K.tolist()),
        validation_counts=tuple(np.bincount(asked.validation_N, minlength=classes).tolist()),
        test_counts=tuple(np.bincount(asked.test_N, minlength=classes).tolist()),
        seeds=asked.seeds,
        config=asked.config,
        control=control,
        best_control_on_test=best_of(controls, asked.test_N),
        arms=results,
        untried=asked.untried,
        recommendation=recommendation,
    )


def _mean(
    probability_SNK: npt.NDArray[np.float32], labels_N: npt.NDArray[np.int64], tail: Sequence[int]
) -> Scores:
    return mean_scores([score(probability_NK, labels_N, tail) for probability_NK in probability_SNK])
