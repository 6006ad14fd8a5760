"""The answer of `augment lift` as a report shows it: the arms, the recommendation, and what to be wary of.

Owns the words. The figures are those of lift.json; here alone, on the floor above both, lift and report meet.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from augment.lift.arms import Arm
from augment.lift.following import stored_advice
from augment.lift.scores import rarest_classes
from augment.lift.verdict import ArmResult, LiftResult
from augment.report.html import document, evidence
from augment.store.reading import Dataset
from pipelines.lift_store import LiftStore

__all__ = ["LiftEvidence", "lift_evidence"]


class LiftEvidence(NamedTuple):
    """The two sections of a report that rest on lift."""

    lift: evidence.Lift
    recommendation: document.Recommendation


def lift_evidence(dataset: Dataset) -> LiftEvidence | None:
    """What the newest recommendation of a dataset rests on; None where its figures were deleted.

    Raises ConfigError where there is no recommendation, IntegrityError where records are damaged.
    """
    result = LiftStore(dataset.store).result(stored_advice(dataset.store).question)
    if result is None:  # a recommendation without its figures is not shown
        return None
    return LiftEvidence(_lift(result), _recommendation(result, dataset))


def _lift(result: LiftResult) -> evidence.Lift:
    verdict = result.verdict
    level = next((one.difference.difference.level for one in verdict.arms if one.difference), 0.95)
    return evidence.Lift(
        metric="balanced accuracy",
        control=verdict.control,
        recommended=verdict.recommendation.train if verdict.recommendation.augment else None,
        confidence=level,
        seeds=len(verdict.seeds),
        steps=verdict.config.steps,
        test_images=sum(verdict.test_counts),
        tail_classes=len(rarest_classes(np.array(verdict.training_counts))),
        uses_of_test_data=result.test_uses,
        arms=tuple(_arm(one) for one in verdict.arms),
    )


def _arm(result: ArmResult) -> evidence.Arm:
    found, difference = result.test, result.difference
    interval = None
    if difference is not None:
        of = difference.difference
        interval = evidence.Interval(estimate=of.estimate, low=of.low, high=of.high)
    return evidence.Arm(
        name=result.arm.name,
        description="; ".join(_description(result.arm))
        + (f" ({result.narrowed})" if result.narrowed else ""),
        kind="control" if result.arm.is_control else "synthetic",
        balanced_accuracy=found.balanced_accuracy,
        macro_f1=found.macro_f1,
        worst_recall=found.worst_class_recall,
        tail_recall=found.tail_recall,
        calibration_error=found.calibration_error,
        lift=interval,
        p_value=None if difference is None else difference.adjusted_p,
    )


_SOURCES = {
    "duplicate": "real images again",
    "classic": "classic augmentation",
    "smote": "interpolated images",
    "gan": "ungated samples",
    "gan-gated": "gated samples",
}


def _description(arm: Arm) -> Iterator[str]:
    """What sets an arm apart, in a few words; nothing for real rows as they are."""
    if arm.source is not None:
        where = f" in the {arm.rarest} rarest classes" if arm.rarest else ""
        yield _SOURCES[arm.source] + where
    if arm.weight != 1:
        yield f"weight {arm.weight:g}"
    if arm.sampling == "classes":
        yield "every class drawn alike"
    if arm.loss == "balanced_softmax":
        yield "balanced softmax"
    if arm.blend != "none":
        yield arm.blend


def _recommendation(result: LiftResult, dataset: Dataset) -> document.Recommendation:
    found = result.verdict.recommendation
    labels = {info.name: info.label for info in result.basis.classes}
    real = dict(zip(result.verdict.class_names, result.verdict.training_counts, strict=True))
    known = dataset.class_names
    advice = tuple(
        document.ClassAdvice(
            label=labels[one.name],
            recipe=one.recipe,
            ratio=one.samples / real[one.name] if one.samples and real[one.name] else None,
            reason=one.reason if one.reason != found.reason else "",  # which is told above
        )
        for one in found.classes
        if known.get(labels[one.name]) == one.name
    )
    filled = [one for one in found.classes if one.recipe != "none"]
    verdict: Literal["augment", "some-classes", "do-not-augment"] = "do-not-augment"
    if found.augment:
        verdict = "augment" if len(filled) == len(found.classes) else "some-classes"
    headline = f"Train with the samples, by {found.train}."
    if not found.augment:
        made = " `recipe: auto` makes what it needs of real images." if found.makes_samples else ""
        headline = f"Don’t add generated samples: train by {found.train}.{made}"
    return document.Recommendation(
        verdict=verdict,
        headline=headline,
        reason=found.reason[:1].upper() + found.reason[1:] + ".",
        warnings=(*result.warnings, *_of_another_model(result, dataset)),
        classes=advice,
    )


def _of_another_model(result: LiftResult, dataset: Dataset) -> Iterator[str]:
    newest = dataset.runs[-1].plan.generator_sha256 if dataset.runs else None
    if newest is not None and newest != result.basis.model_sha256:
        yield (
            f"this was measured with samples of model {result.basis.name} ({result.basis.model_sha256[:12]}…), and "
            f"the newest run's are of another ({newest[:12]}…); run `augment lift` again"
        )
