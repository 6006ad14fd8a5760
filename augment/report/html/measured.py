"""What was measured of a run as a report shows it: fidelity, near copies and the gates' ledger.

Owns the choice and the words. The figures are the records' own: nothing is measured here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from augment.quality.intervals import Bounds
from augment.quality.real_floor import Figure
from augment.quality.report_card import (
    ClassCard,
    CopyFigures,
    DistanceHistogram,
    OverallCard,
    ShareFigure,
)
from augment.report.fidelity_file import FidelityRecord
from augment.report.html.evidence import (
    Cell,
    Copies,
    CopiesOfClass,
    Gates,
    GatesOfClass,
    Histogram,
    Interval,
    Memorization,
    Metric,
    MetricRow,
    MetricTable,
)
from augment.store.reading import CommittedRun
from augment.types import ClassLedger

__all__ = ["ALL_CLASSES", "gates_of", "memorization_of", "metrics_of"]

ALL_CLASSES = -1
"""The label of the row that sums all classes up."""

_KERNEL_UNIT = 1_000  # KID is small: it is shown × 1,000, as its authors do
_EYES = {
    "gates": "features of a classifier of the real images, the first of those that the gates judge by",
    "judge": "features of the classifier of the real images that training was measured with",
}
_NOTES = {
    "gates": (
        "Of the samples that the generator made and the gates let pass: chosen by this classifier among others, they "
        "agree with it more than unchosen ones would. "
    ),
    "judge": "Of the samples that the generator made; the classifier has seen all real images. ",
}
_BIAS = (
    "Distances rise as images become fewer; a value and its floor are of sets of one size and may be compared, two "
    "classes may not."
)
_HELD_OUT = (
    "Held-out real images are those that the classifier has not seen; the generator was trained on them, and copies of "
    "them are not looked for."
)
_METRICS: tuple[tuple[Metric, Callable[[ClassCard], Figure], Callable[[OverallCard], Figure]], ...] = (
    (
        Metric(
            name="FID",
            better="lower",
            meaning="Fréchet distance between the features of samples and of real images, as two normal "
            "distributions; over all classes, that of mixtures in which each class weighs the same.",
        ),
        lambda card: card.fidelity.frechet,
        lambda card: card.frechet,
    ),
    (
        Metric(
            name="KID × 1,000",
            better="lower",
            meaning="Kernel distance (squared MMD) between the same features; unbiased, so that it may be "
            "below zero.",
        ),
        lambda card: _times(card.fidelity.kernel, _KERNEL_UNIT),
        lambda card: _times(card.mean_kernel, _KERNEL_UNIT),
    ),
    (
        Metric(
            name="Precision",
            better="higher",
            kind="percent",
            meaning="Share of the samples that lie among real images.",
        ),
        lambda card: card.fidelity.precision,
        lambda card: card.mean_precision,
    ),
    (
        Metric(
            name="Recall",
            better="higher",
            kind="percent",
            meaning="Share of the real images that lie among samples: how much of the variety is reached.",
        ),
        lambda card: card.fidelity.recall,
        lambda card: card.mean_recall,
    ),
    (
        Metric(
            name="Density",
            better="higher",
            meaning="How many real neighbourhoods a sample lies in, less fooled by outliers than precision; "
            "about one where both sets are alike.",
        ),
        lambda card: card.fidelity.density,
        lambda card: card.mean_density,
    ),
    (
        Metric(
            name="Coverage",
            better="higher",
            kind="percent",
            meaning="Share of the real images that have a sample in their neighbourhood.",
        ),
        lambda card: card.fidelity.coverage,
        lambda card: card.mean_coverage,
    ),
    (
        Metric(
            name="Label accuracy",
            better="higher",
            kind="percent",
            meaning="Share of the samples that the classifier takes for their class.",
        ),
        lambda card: _estimates(card.label_accuracy),
        lambda card: _estimates(card.label_accuracy),
    ),
)
"""A column, and where its figure stands on a class's card and on the overall one."""


# ---- fidelity -----------------------------------------------------------------------------------------


def metrics_of(record: FidelityRecord, run: CommittedRun) -> MetricTable:
    """The table of the classes of `run` that have rows still; the run is the one that was measured."""
    overall = tuple(_cell(figure(record.card.overall)) for _, _, figure in _METRICS)
    return MetricTable(
        features=_EYES[record.examiner],
        note=_NOTES[record.examiner] + _BIAS + _since(run),
        metrics=tuple(metric for metric, _, _ in _METRICS),
        overall=overall,
        rows=tuple(
            MetricRow(label=label, cells=tuple(_cell(figure(card)) for _, figure, _ in _METRICS))
            for label, card in _present(record, run)
        ),
    )


def memorization_of(record: FidelityRecord, run: CommittedRun) -> Memorization | None:
    """Near copies; None where no real image was held out to compare with."""
    known = [(label, card, card.copies) for label, card in _present(record, run) if card.copies is not None]
    overall = record.card.overall
    if overall.copies is None or not known:
        return None
    judged = [card for card in record.card.classes if card.copies is not None]
    generated, heldout = sum(card.generated for card in judged), sum(card.heldout for card in judged)
    found = overall.nearest
    return Memorization(
        space=_EYES[record.examiner],
        note=_HELD_OUT + _since(run),
        unit="in units of the class’s median over held-out images",
        generated=_copies(overall.copies.share.value, generated),
        heldout=_copies(overall.copies.share.floor, heldout),
        suspicious=overall.copies.copies,
        histogram=None if found is None else _histogram(found),
        classes=tuple(_class_copies(label, card, copies) for label, card, copies in known),
    )


def _present(record: FidelityRecord, run: CommittedRun) -> list[tuple[int, ClassCard]]:
    """Labels and cards of the classes that have rows still, in the order of the card."""
    rows, classes = run.rows_by_label, run.plan.plan.classes
    cards = [(classes[card.class_index].label, card) for card in record.card.classes]
    return [(label, card) for label, card in cards if rows[label]]


def _since(run: CommittedRun) -> str:
    if not run.manifest.without:
        return ""
    return " Figures over all classes are of the run as it was made, with classes that were revoked since."


def _cell(figure: Figure) -> Cell:
    return Cell(value=figure.value, floor=figure.floor)


def _times(figure: Figure, factor: float) -> Figure:
    value, floor = (None if one is None else factor * one for one in (figure.value, figure.floor))
    return Figure(value=value, floor=floor)


def _estimates(share: ShareFigure) -> Figure:
    value, floor = (None if one is None else one.estimate for one in (share.value, share.floor))
    return Figure(value=value, floor=floor)


def _class_copies(label: int, card: ClassCard, found: CopyFigures) -> CopiesOfClass:
    return CopiesOfClass(
        label=label,
        generated=_copies(found.share.value, card.generated),
        heldout=_copies(found.share.floor, card.heldout),
        suspicious=found.copies,
    )


def _copies(share: Bounds | None, total: int) -> Copies:
    assert share is not None  # noqa: S101  # `CopyFigures` are made of both shares
    return Copies(
        count=round(share.estimate * total),
        total=total,
        share=Interval(estimate=share.estimate, low=share.low, high=share.high),
    )


def _histogram(found: DistanceHistogram) -> Histogram:
    return Histogram(edges=found.edges, synthetic=_shares(found.generated), heldout=_shares(found.heldout))


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    return tuple(count / (sum(counts) or 1) for count in counts)


# ---- gates --------------------------------------------------------------------------------------------


def gates_of(runs: Sequence[CommittedRun]) -> Gates | None:
    """The ledger of all runs that had gates, summed up by class; None where none had."""
    gated = [run for run in runs if run.plan.gates is not None and run.manifest.ledger]
    if not gated or gated[-1].plan.gates is None:
        return None
    ledgers: dict[int, list[ClassLedger]] = {}
    for run in gated:
        for one in run.manifest.ledger:
            ledgers.setdefault(one.label, []).append(one)
    every = [one for ledger in ledgers.values() for one in ledger]
    refused = _refusals(every)
    gates = tuple(sorted(refused, key=lambda gate: (-refused[gate], gate)))
    return Gates(
        gates=gates,
        on_shortfall=gated[-1].plan.gates.on_shortfall,
        overall=_sum(ALL_CLASSES, every, gates),
        classes=tuple(_sum(label, ledger, gates) for label, ledger in sorted(ledgers.items())),
    )


def _refusals(ledger: Sequence[ClassLedger]) -> Counter[str]:
    return sum((Counter(one.refused) for one in ledger), Counter())


def _sum(label: int, ledger: Sequence[ClassLedger], gates: Sequence[str]) -> GatesOfClass:
    accepted, drawn = sum(one.accepted for one in ledger), sum(one.drawn for one in ledger)
    fallback, missing = sum(one.fallback for one in ledger), sum(one.missing for one in ledger)
    ungated = sum(one.ungated for one in ledger)
    refused = _refusals(ledger)
    return GatesOfClass(
        label=label,
        planned=accepted + ungated + fallback + missing,
        drawn=drawn,
        accepted=accepted,
        ungated=ungated,
        passed=accepted / drawn if drawn else None,
        refused=tuple(refused[gate] for gate in gates),
        fallback=fallback,
        missing=missing,
    )
