"""What was measured, as a report holds it: gates, lift, fidelity, memorisation and training curves.

Owns the records of these five sections. The rooms that measure have records of their own; here is what a
reader is shown of them, and each figure beside its floor or interval.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.report.html.scalars import Count, Finite, Share
from augment.types import Record

__all__ = [
    "Arm",
    "Cell",
    "Copies",
    "CopiesOfClass",
    "Curve",
    "Gates",
    "GatesOfClass",
    "Histogram",
    "Interval",
    "Lift",
    "Memorization",
    "Metric",
    "MetricRow",
    "MetricTable",
    "Panel",
    "TrainingCurves",
]


class Interval(Record):
    """An estimate and its confidence interval; low ≤ estimate ≤ high."""

    estimate: Finite
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"{self.estimate} is not within {self.low} … {self.high}")
        return self


# ---- gates --------------------------------------------------------------------------------------------


class GatesOfClass(Record):
    """What the gates let pass of one class; accepted and refused together are drawn, `passed` is their share."""

    label: int
    planned: Count
    drawn: Count
    accepted: Count
    ungated: Count = 0  # samples of a recipe that no gate judges
    passed: Share | None  # None where nothing was drawn
    refused: tuple[Count, ...]  # in the order of `Gates.gates`
    fallback: Count  # samples made by the recipe of `Gates.on_shortfall` instead
    missing: Count

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.accepted + sum(self.refused) != self.drawn:
            raise ValueError(f"class {self.label}: {self.drawn} drawn are not those accepted and refused")
        if self.accepted + self.ungated + self.fallback + self.missing != self.planned:
            raise ValueError(f"class {self.label}: {self.planned} planned are not those made and missing")
        return self


class Gates(Record):
    """The quality gates' ledger over all runs that had gates; `overall` has the label -1."""

    gates: tuple[str, ...]  # that refused anything, the one that refused most first
    on_shortfall: str  # of the newest run: `partial`, or the recipe that fills up
    overall: GatesOfClass
    classes: tuple[GatesOfClass, ...]

    @model_validator(mode="after")
    def _a_count_a_gate(self) -> Self:
        if any(len(one.refused) != len(self.gates) for one in (self.overall, *self.classes)):
            raise ValueError(f"every class needs {len(self.gates)} counts of refusals, one a gate")
        return self


# ---- lift ---------------------------------------------------------------------------------------------


class Arm(Record):
    """One way to train the downstream classifier, its mean scores, and its lift over the best control.

    `lift` is a difference of the section's metric, with the section's confidence; None for the control
    itself. `p_value` is corrected for the number of arms.
    """

    name: str
    description: str = ""
    kind: Literal["control", "synthetic"]
    balanced_accuracy: Share
    macro_f1: Share | None = None
    worst_recall: Share | None = None
    tail_recall: Share | None = None
    calibration_error: Share | None = None
    lift: Interval | None = None
    p_value: Share | None = None


class Lift(Record):
    """Arms that were trained alike and judged on held-out real images."""

    metric: str  # what `Arm.lift` is a difference of, in words
    control: str  # the best control: an arm's name
    recommended: str | None = None  # an arm's name; None where none is
    confidence: Share = 0.95
    seeds: Count
    steps: Count | None = None  # gradient steps, the same in every arm
    test_images: Count
    tail_classes: Count | None = None  # how many of the rarest `tail_recall` is of
    uses_of_test_data: Count | None = None  # comparisons on the same images so far, this one included
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"two arms share a name: {names}")
        for name in (self.control, self.recommended):
            if name is not None and name not in names:
                raise ValueError(f"{name!r} is none of the arms {names}")
        return self


# ---- fidelity -----------------------------------------------------------------------------------------


class Metric(Record):
    """One column: what it is called, which way is better, and how it is written."""

    name: str
    better: Literal["higher", "lower"]
    kind: Literal["number", "percent"] = "number"
    meaning: str  # one line for a reader who does not know it


class Cell(Record):
    """A figure, and what two sets of real images have between them; None is 'too few images to tell'."""

    value: Finite | None
    floor: Finite | None = None


class MetricRow(Record):
    """One class's figures, a cell a column."""

    label: int
    cells: tuple[Cell, ...]


class MetricTable(Record):
    """Fidelity, class by class; `overall` has a cell a column too."""

    features: str  # the space that the distances are in, in words
    note: str = ""  # what biases the figures, and by how much
    metrics: tuple[Metric, ...]
    overall: tuple[Cell, ...] | None = None
    rows: tuple[MetricRow, ...]

    @model_validator(mode="after")
    def _a_cell_a_column(self) -> Self:
        rows = [row.cells for row in self.rows] + ([self.overall] if self.overall is not None else [])
        if any(len(cells) != len(self.metrics) for cells in rows):
            raise ValueError(f"every row needs {len(self.metrics)} cells")
        return self


# ---- memorisation -------------------------------------------------------------------------------------


class Histogram(Record):
    """Shares of two sets by distance to the nearest training image; bin i lies in edges[i] … edges[i + 1]."""

    edges: Annotated[tuple[Finite, ...], Field(min_length=2)]
    synthetic: tuple[Share, ...]
    heldout: tuple[Share, ...]
    threshold: Finite | None = None  # at or below it, an image is a near copy

    @model_validator(mode="after")
    def _bins_fit(self) -> Self:
        bins = len(self.edges) - 1
        if len(self.synthetic) != bins or len(self.heldout) != bins:
            raise ValueError(f"{bins} bins need as many shares of each set")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must ascend")
        return self


class Copies(Record):
    """A share of near copies: how many of how many, with its 95% interval."""

    count: Count
    total: Annotated[int, Field(ge=1)]
    share: Interval


class CopiesOfClass(Record):
    """Near copies in one class, beside what held-out real images have."""

    label: int
    generated: Copies
    heldout: Copies | None = None
    suspicious: bool  # more frequent among generated images than chance explains


class Memorization(Record):
    """Whether the generator gives back its training images."""

    space: str  # what the distances are in, in words
    note: str = ""  # what a reader must know of the held-out images
    unit: str = ""  # of the histogram's edges, in words
    generated: Copies
    heldout: Copies
    suspicious: bool
    histogram: Histogram | None = None
    membership_auc: Interval | None = None  # of an attack by distance; 0.5 is a guess
    classes: tuple[CopiesOfClass, ...] = ()


# ---- training -----------------------------------------------------------------------------------------


class Curve(Record):
    """One line: values at ascending steps."""

    name: str
    steps: Annotated[tuple[Count, ...], Field(min_length=1)]
    values: tuple[Finite, ...]

    @model_validator(mode="after")
    def _in_step(self) -> Self:
        if len(self.steps) != len(self.values):
            raise ValueError(f"{self.name}: {len(self.steps)} steps, {len(self.values)} values")
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"{self.name}: steps must ascend")
        return self


class Panel(Record):
    """Lines that share an axis."""

    title: str
    y_axis: str
    curves: Annotated[tuple[Curve, ...], Field(min_length=1, max_length=4)]


class TrainingCurves(Record):
    """The generator's training. `thinned` says that curves show fewer points than were recorded."""

    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]
    thinned: bool = False
