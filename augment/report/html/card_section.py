"""The report's section of the dataset card, in Markdown: the verdict, the arms, fidelity, near copies.

Owns its text. Names come from the data: they are written as literal text.
"""

from __future__ import annotations

from collections.abc import Iterator

from augment.report.html.document import ReportDocument
from augment.report.html.evidence import Arm, Interval, Lift, Memorization, MetricTable
from augment.report.html.scalars import shown
from augment.report.markdown import literal

__all__ = ["card_section"]


def card_section(document: ReportDocument) -> str:
    """`## Does it help?` and what is known of it; ends with a line break."""
    parts = ["## Does it help?", *_verdict(document)]
    if document.lift is not None:
        parts += _lift(document.lift)
    if document.metrics is not None and document.metrics.overall is not None:
        parts += _fidelity(document.metrics)
    if document.memorization is not None:
        parts.append(_copies(document.memorization))
    return "\n\n".join(parts) + "\n"


def _verdict(document: ReportDocument) -> Iterator[str]:
    found = document.recommendation
    if found is None:
        yield "Whether these samples help a classifier was not measured."
        return
    yield f"**{literal(found.headline)}** {literal(found.reason)}".rstrip()
    for warning in found.warnings:
        yield f"Warning: {literal(warning)}"


def _lift(lift: Lift) -> Iterator[str]:
    yield (
        f"Classifiers trained alike in every arm, {lift.seeds} seeds each, judged on {lift.test_images:,} "
        f"held-out real images. Lift is {literal(lift.metric)} less that of the best control, in percentage "
        f"points, with its {shown(lift.confidence, 'level')} confidence interval."
    )
    arms = sorted(lift.arms, key=lambda arm: -arm.balanced_accuracy)
    rows = [_arm_row(arm, lift) for arm in arms]
    yield "\n".join(("| arm | balanced accuracy | lift | interval |", "|:--|--:|--:|--:|", *rows))


def _arm_row(arm: Arm, lift: Lift) -> str:
    mark = " (recommended)" if arm.name == lift.recommended else ""
    mark = " (best control)" if arm.name == lift.control else mark
    points, interval = ("–", "–") if arm.lift is None else _points(arm.lift)
    accuracy = shown(arm.balanced_accuracy, "percent")
    return f"| {literal(arm.name)}{mark} | {accuracy} | {points} | {interval} |"


def _points(lift: Interval) -> tuple[str, str]:
    low, high = shown(lift.low, "points"), shown(lift.high, "points")
    return shown(lift.estimate, "points"), f"{low} to {high}"


def _fidelity(table: MetricTable) -> Iterator[str]:
    assert table.overall is not None  # noqa: S101  # the caller looked
    yield (
        f"Fidelity over all classes, in {literal(table.features)}; the floor is what two sets of real images have "
        f"between them. {literal(table.note)}".rstrip()
    )
    rows = [
        f"| {literal(metric.name)} | {metric.better} | {_value(cell.value, metric.kind)} | "
        f"{_value(cell.floor, metric.kind)} |"
        for metric, cell in zip(table.metrics, table.overall, strict=True)
    ]
    yield "\n".join(("| metric | better | these samples | floor |", "|:--|:--|--:|--:|", *rows))


def _copies(found: Memorization) -> str:
    generated, heldout = (
        f"{shown(copies.share.estimate, 'percent')} ({shown(copies.share.low, 'percent')} to "
        f"{shown(copies.share.high, 'percent')})"
        for copies in (found.generated, found.heldout)
    )
    verdict = "more than chance explains" if found.suspicious else "no more than chance explains"
    return f"Near copies of training images: {generated} of the samples, {heldout} of held-out real images: {verdict}."


def _value(value: float | None, kind: str) -> str:
    return "–" if value is None else shown(value, kind)
