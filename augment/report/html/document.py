"""What a report says: every figure, text and picture of it, as one frozen document.

Owns the records and that they fit together. The page, the JSON beside it and the card's section are made
from nothing else, so what is in none of these records is in no report. Knows neither HTML nor where figures
come from. Every section may be missing; classes are named by their labels.

Shares and scores are 0 to 1 unless said otherwise, intervals are closed, seconds are `_s`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.report.html.evidence import Gates, Lift, Memorization, MetricTable, TrainingCurves
from augment.report.html.scalars import Count, Finite, Seconds
from augment.types import Record

__all__ = [
    "Balance",
    "ClassAdvice",
    "ClassCount",
    "ClassSheet",
    "Cost",
    "ModelFacts",
    "Pair",
    "Picture",
    "Provenance",
    "Recommendation",
    "Rejected",
    "ReportDocument",
    "RunFacts",
    "Sheets",
    "resolve_pointer",
]


# ---- the recommendation -------------------------------------------------------------------------------


class ClassAdvice(Record):
    """What to do for one class, and why."""

    label: int
    recipe: str  # gan, classic, duplicate, smote, none
    ratio: Annotated[Finite, Field(ge=0)] | None = None  # synthetic samples for one real image
    reason: str = ""


class Recommendation(Record):
    """The answer to 'does it help?': a verdict, one sentence, and the reason in a few more."""

    verdict: Literal["augment", "some-classes", "do-not-augment"]
    headline: str
    reason: str
    warnings: tuple[str, ...] = ()
    classes: tuple[ClassAdvice, ...] = ()


# ---- classes ------------------------------------------------------------------------------------------


class ClassCount(Record):
    """One class: images in the source, and synthetic rows that are committed."""

    label: int
    name: str
    real: Count
    synthetic: Count
    together: Count
    recipe: str | None = None  # of its samples; where there are several, all of them

    @classmethod
    def of(cls, label: int, name: str, real: int, synthetic: int, recipe: str | None = None) -> ClassCount:
        """A class by its two counts."""
        together = real + synthetic
        return cls(label=label, name=name, real=real, synthetic=synthetic, together=together, recipe=recipe)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.together != self.real + self.synthetic:
            raise ValueError(f"class {self.label}: {self.together} is not {self.real} + {self.synthetic}")
        return self


class Balance(Record):
    """All classes, and their sums: the imbalance ratio is the largest class ÷ the smallest that has images."""

    classes: tuple[ClassCount, ...]
    real: Count
    synthetic: Count
    largest: Count
    imbalance_before: Finite
    imbalance_after: Finite

    @classmethod
    def of(cls, classes: Iterable[ClassCount]) -> Balance:
        """The rarest class first; of equally rare ones, by label."""
        ordered = sorted(classes, key=lambda one: (one.real, one.label))
        return cls(
            classes=tuple(ordered),
            real=sum(one.real for one in ordered),
            synthetic=sum(one.synthetic for one in ordered),
            largest=max((one.together for one in ordered), default=0),
            imbalance_before=_imbalance(one.real for one in ordered),
            imbalance_after=_imbalance(one.together for one in ordered),
        )

    @model_validator(mode="after")
    def _one_class_a_label(self) -> Self:
        twice = [label for label, times in Counter(one.label for one in self.classes).items() if times > 1]
        if twice:
            raise ValueError(f"the label {twice[0]} is listed twice")
        return self


def _imbalance(counts: Iterable[int]) -> float:
    present = [count for count in counts if count]
    return max(present) / min(present) if present else 1.0


# ---- pictures -----------------------------------------------------------------------------------------


class Picture(Record):
    """One encoded image, as a `data:` URI, so that page and JSON stand on their own."""

    uri: Annotated[str, Field(pattern=r"^data:image/(png|webp);base64,[A-Za-z0-9+/=]+$")]


class Pair(Record):
    """A committed sample, and the real training image of its class that lies nearest to it."""

    synthetic: Picture
    nearest: Picture | None = None
    distance: Annotated[Finite, Field(ge=0)] | None = None  # in the space that `Sheets.space` names


class Rejected(Record):
    """A candidate that a gate refused, kept for looking."""

    picture: Picture
    gate: str
    reason: str = ""


class ClassSheet(Record):
    """What one class looks like."""

    label: int
    real: tuple[Picture, ...] = ()
    pairs: tuple[Pair, ...] = ()
    rejected: tuple[Rejected, ...] = ()


class Sheets(Record):
    """Contact sheets. `side` is the pictures' side in pixels as embedded; `original_side` that of the data."""

    side: Annotated[int, Field(ge=1)]
    original_side: Annotated[int, Field(ge=1)]
    encoding: str  # in words: "PNG", "WebP, quality 80"
    space: str | None = None  # where nearest was looked for, and among which images
    classes: tuple[ClassSheet, ...]


# ---- cost and provenance ------------------------------------------------------------------------------


class Cost(Record):
    """Time that the steps took on the clock, and what lies in the store."""

    train_s: Seconds | None = None
    generate_s: Seconds | None = None
    gates_s: Seconds | None = None
    lift_s: Seconds | None = None
    stored_bytes: Count | None = None
    machine: str | None = None  # in words, no host name


class ModelFacts(Record):
    """How the generator's training ended."""

    steps: Count
    ended: str | None = None
    best_step: Count | None = None


class RunFacts(Record):
    """A committed run: enough to make it again."""

    run_id: str
    plan_id: str
    rows: Count
    seed: int
    generator_sha256: str | None  # None where no class was made by one
    gates_sha256: str | None = None
    source_fingerprint: str | None = None
    image: str  # in words: "RGB, 64 px, png"
    versions: dict[str, str] = Field(default_factory=dict)  # of the libraries that decide pixels or bytes


class Provenance(Record):
    """Where everything came from."""

    dataset_version: Count
    runs: tuple[RunFacts, ...] = ()
    model: ModelFacts | None = None


# ---- the whole ----------------------------------------------------------------------------------------


class ReportDocument(Record):
    """A report; its canonical JSON (`to_json`) holds everything that the page shows."""

    format_version: Literal[1] = 1
    title: str
    balance: Balance
    recommendation: Recommendation | None = None
    lift: Lift | None = None
    gates: Gates | None = None
    sheets: Sheets | None = None
    metrics: MetricTable | None = None
    memorization: Memorization | None = None
    training: TrainingCurves | None = None
    cost: Cost | None = None
    provenance: Provenance | None = None

    @property
    def names(self) -> dict[int, str]:
        """Class names by label."""
        return {one.label: one.name for one in self.balance.classes}

    @model_validator(mode="after")
    def _labels_are_known(self) -> Self:
        known = self.names
        for where, label in self._labels():
            if label not in known:
                raise ValueError(f"{where} names the label {label}, which no class has")
        return self

    def _labels(self) -> Iterator[tuple[str, int]]:
        if self.recommendation is not None:
            yield from (("recommendation", one.label) for one in self.recommendation.classes)
        if self.gates is not None:
            yield from (("gates", one.label) for one in self.gates.classes)
        if self.sheets is not None:
            yield from (("sheets", one.label) for one in self.sheets.classes)
        if self.metrics is not None:
            yield from (("metrics", one.label) for one in self.metrics.rows)
        if self.memorization is not None:
            yield from (("memorization", one.label) for one in self.memorization.classes)


def resolve_pointer(value: object, pointer: str) -> object:
    """The value at `pointer` within parsed JSON. Raises KeyError where it leads nowhere."""
    found = value
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            raise KeyError(f"{pointer} leads nowhere: no {key!r}")
    return found
