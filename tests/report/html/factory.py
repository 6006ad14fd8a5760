"""Report documents for tests: full ones, of any number of classes, with figures that are made up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from augment.report.html.document import (
    Balance,
    ClassAdvice,
    ClassCount,
    Cost,
    ModelFacts,
    Provenance,
    Recommendation,
    ReportDocument,
    RunFacts,
    Sheets,
)
from augment.report.html.evidence import (
    Arm,
    Cell,
    Copies,
    CopiesOfClass,
    Curve,
    Gates,
    GatesOfClass,
    Histogram,
    Interval,
    Lift,
    Memorization,
    Metric,
    MetricRow,
    MetricTable,
    Panel,
    TrainingCurves,
)
from augment.report.html.pictures import RejectedPixels, SheetPixels, embed_sheets

HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "</style></svg><img src=x onerror=alert(1)>",
    "\"' onmouseover=alert(1) x='",
    "{{ 7 * 7 }} {% raw %}",
    "https://example.com/a.png",
    "&lt;b&gt; &amp; &#0;",
    "\u202eright-to-left override",
    "قطة صغيرة",
    "👩🏽‍🔬 cell 🦊",
    "x" * 300,
    "many words " * 30,
    "two\nlines\tand\ra tab",
    "control \x00 \x07 \x1b[31m \x9b \ufffe \U0010ffff",
    "]]> --> <!--",
    "Zoé",
    "",
    " ",
    "javascript:alert(1)",
    "../../etc/passwd",
    "| pipe `tick` *star*",
)


def document(
    names: Sequence[str] = ("Sandal", "Bag", "Ankle boot", "Shirt"), **sections: Any
) -> ReportDocument:
    """Everything that a report can hold; `sections` replaces some of it."""
    rng = np.random.default_rng(0)
    counts = [round(5000 * 100 ** (-index / max(len(names) - 1, 1))) for index in range(len(names))]
    classes = [
        ClassCount.of(
            label, name, real, max(counts) // 2 - real if real < max(counts) // 2 else 0,
            recipe="gan" if real < max(counts) // 2 else None,
        )
        for label, (name, real) in enumerate(zip(names, counts, strict=True))
    ]  # fmt: skip
    balance = Balance.of(classes)
    labels = [one.label for one in balance.classes]
    whole: dict[str, Any] = {
        "title": "Fashion-MNIST-LT, imbalance 100",
        "balance": balance,
        "recommendation": recommendation(labels),
        "lift": lift(),
        "gates": gates(balance),
        "metrics": metrics(labels, rng),
        "memorization": memorization(labels),
        "training": training(),
        "cost": Cost(
            train_s=754.0,
            generate_s=61.5,
            gates_s=14.2,
            lift_s=1830.0,
            stored_bytes=31_400_000,
            machine="2 CPU cores",
        ),
        "provenance": provenance(),
    }
    return ReportDocument(**(whole | sections))


def recommendation(labels: Sequence[int]) -> Recommendation:
    return Recommendation(
        verdict="some-classes",
        headline="Fill up the three rarest classes with gated samples at half weight; leave the others as they are.",
        reason="On validation data, balanced softmax with gated samples in the tail had the highest balanced accuracy, "
        "and on the test images its interval lies above zero. In the head the samples neither help nor hurt.",
        warnings=("Two classes have fewer than 30 held-out images; their recall is uncertain.",),
        classes=tuple(
            ClassAdvice(
                label=label,
                recipe="gan" if index < 3 else "none",
                ratio=0.5 if index < 3 else None,
                reason="raises recall" if index < 3 else "",
            )
            for index, label in enumerate(labels)
        ),
    )


def lift() -> Lift:
    def arm(
        name: str, kind: Any, accuracy: float, low: float | None = None, high: float = 0.0, about: str = ""
    ) -> Arm:
        difference = accuracy - 0.89
        interval = None if low is None else Interval(estimate=difference, low=low, high=high)
        return Arm(
            name=name, description=about, kind=kind, balanced_accuracy=accuracy, macro_f1=accuracy - 0.004,
            worst_recall=accuracy - 0.2, tail_recall=accuracy - 0.1, calibration_error=0.031, lift=interval,
            p_value=None if low is None else 0.0004 if low > 0 else 0.41,
        )  # fmt: skip

    return Lift(
        metric="balanced accuracy",
        control="balanced softmax",
        recommended="GAN, tail, weight 0.5",
        seeds=5,
        steps=1500,
        test_images=10_000,
        tail_classes=3,
        uses_of_test_data=2,
        arms=(
            arm("real", "control", 0.852, -0.047, -0.029, "as it is"),
            arm("oversampling", "control", 0.878, -0.019, -0.005),
            arm("balanced softmax", "control", 0.89),
            arm("duplicates", "control", 0.871, -0.027, -0.011, "the same counts as the GAN's"),
            arm("SMOTE", "control", 0.868, -0.031, -0.013),
            arm("GAN, plain loss", "synthetic", 0.842, -0.061, -0.035, "filled up to the majority"),
            arm("GAN + balanced softmax", "synthetic", 0.8915, -0.006, 0.009, "filled up to the majority"),
            arm("GAN, tail, weight 0.5", "synthetic", 0.9031, 0.0052, 0.021, "gated, balanced softmax"),
        ),
    )


def gates(balance: Balance) -> Gates:
    def of(label: int, samples: int, missing: int = 0) -> GatesOfClass:
        refused = (samples // 3, samples // 9, 2)
        drawn = samples - missing + sum(refused)
        return GatesOfClass(
            label=label, planned=samples, drawn=drawn, accepted=samples - missing,
            passed=(samples - missing) / drawn, refused=refused, fallback=0, missing=missing,
        )  # fmt: skip

    rows = [
        of(one.label, one.synthetic + 3 * (index == 0), 3 * (index == 0))
        for index, one in enumerate(balance.classes)
        if one.synthetic
    ]
    columns = zip(*(one.refused for one in rows), strict=True)
    overall = rows[0].model_copy(
        update={name: sum(getattr(one, name) for one in rows) for name in ("planned", "drawn", "accepted")}
        | {"label": -1, "refused": tuple(sum(column) for column in columns)}
    )
    return Gates(
        gates=("label", "near-copy-pixels", "repeat"),
        on_shortfall="partial",
        overall=overall.model_copy(update={"passed": overall.accepted / overall.drawn}),
        classes=tuple(rows),
    )


def metrics(labels: Sequence[int], rng: np.random.Generator) -> MetricTable:
    columns = (
        Metric(name="FID", better="lower", meaning="Fréchet distance between features."),
        Metric(name="KID × 1,000", better="lower", meaning="Kernel distance between features."),
        Metric(
            name="Precision",
            better="higher",
            kind="percent",
            meaning="Samples within the real images' range.",
        ),
        Metric(
            name="Recall", better="higher", kind="percent", meaning="Real images within the samples' range."
        ),
        Metric(name="Density", better="higher", meaning="How densely real images surround the samples."),
        Metric(
            name="Coverage", better="higher", kind="percent", meaning="Real images that have a sample near."
        ),
        Metric(
            name="Label accuracy", better="higher", kind="percent", meaning="Samples taken for their class."
        ),
        Metric(
            name="CAS",
            better="higher",
            kind="percent",
            meaning="Accuracy on real of a synthetic-only classifier.",
        ),
    )

    def cells(few: bool = False) -> tuple[Cell, ...]:
        return tuple(
            Cell(
                value=None if few and index == 3 else float(rng.uniform(0.3, 1.0)),
                floor=float(rng.uniform(0, 0.3)),
            )
            for index in range(len(columns))
        )

    return MetricTable(
        features="features of a classifier of the real images",
        note="With few images the Fréchet distance is too high; so is its floor.",
        metrics=columns,
        overall=cells(),
        rows=tuple(MetricRow(label=label, cells=cells(few=label % 2 == 1)) for label in labels),
    )


def memorization(labels: Sequence[int]) -> Memorization:
    bins = 24
    edges = tuple(round(0.5 * index, 3) for index in range(bins + 1))

    def bell(middle: float) -> tuple[float, ...]:
        heights = [math.exp(-((index - middle) ** 2) / 18) for index in range(bins)]
        return tuple(round(height / sum(heights), 6) for height in heights)

    few = Copies(count=7, total=900, share=Interval(estimate=7 / 900, low=0.0038, high=0.0160))
    held = Copies(count=9, total=880, share=Interval(estimate=9 / 880, low=0.0054, high=0.0193))
    return Memorization(
        space="features of a classifier of the real images",
        note="Held-out images are those that the classifier has not seen.",
        unit="in units of the class’s median",
        generated=few,
        heldout=held,
        suspicious=False,
        histogram=Histogram(edges=edges, synthetic=bell(9), heldout=bell(11), threshold=2.2),
        membership_auc=Interval(estimate=0.512, low=0.487, high=0.537),
        classes=tuple(
            CopiesOfClass(label=label, generated=few, heldout=held if index else None, suspicious=index == 2)
            for index, label in enumerate(labels)
        ),
    )


def training() -> TrainingCurves:
    steps = tuple(range(50, 5001, 50))

    def curve(name: str, start: float, end: float, wave: float = 0.02) -> Curve:
        values = [
            end + (start - end) * math.exp(-step / 900) * (1 + wave * math.sin(step / 130)) for step in steps
        ]
        return Curve(name=name, steps=steps, values=tuple(values))

    return TrainingCurves(
        panels=(
            Panel(
                title="Losses",
                y_axis="mean loss",
                curves=(curve("discriminator loss", 0.7, 0.52, 0.4), curve("generator loss", 0.7, 0.95, 0.4)),
            ),
            Panel(
                title="Quality",
                y_axis="intra-class Fréchet distance",
                curves=(curve("fréchet mean", 240, 1.14), curve("fréchet worst", 700, 3.6)),
            ),
            Panel(title="Speed", y_axis="images a second", curves=(curve("images per second", 410, 452),)),
        ),
        thinned=True,
    )


def provenance() -> Provenance:
    return Provenance(
        dataset_version=3,
        runs=tuple(
            RunFacts(
                run_id=run_id, plan_id="5b2f9c31a07e44d8", rows=16_340, seed=7, generator_sha256="ab" * 32,
                source_fingerprint="cd" * 32, image="grayscale, 28 px, png",
                versions={"torch": "2.6.0", "pillow": "11.3.0", "odd/name~1": "1"},
            )
            for run_id in ("af4609f18e41cbc8", "0c77d1a2b93e5f60")
        ),
        model=ModelFacts(steps=5000, ended="all steps trained", best_step=4800),
    )  # fmt: skip


def sheets(labels: Sequence[int], *, size: int = 64, channels: int = 3, each: int = 10) -> Sheets:
    """Smooth coloured blobs under noise, which compress about as well as small photographs."""
    return embed_sheets(
        [_sheet(label, size, channels, each) for label in labels],
        space="the distance between classifier features, over all training images of the class",
    )


def _sheet(label: int, size: int, channels: int, each: int) -> SheetPixels:
    rng = np.random.default_rng([label, size])
    return SheetPixels(
        label=label,
        real_BHWC=_blobs(rng, each, size, channels),
        synthetic_BHWC=_blobs(rng, each, size, channels),
        nearest_BHWC=_blobs(rng, each, size, channels),
        distance_B=[float(distance) for distance in rng.uniform(1, 9, each)],
        rejected=RejectedPixels(
            pixels_BHWC=_blobs(rng, 4, size, channels),
            gates=("label", "near copy", "in distribution", "label"),
            reasons=(
                "taken for Bag, 0.93",
                "1.2 from a training image, below 2.2",
                "farther than 99% of real",
                "",
            ),
        ),
    )


def _blobs(rng: np.random.Generator, count: int, size: int, channels: int) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] / size
    centre, width = rng.uniform(0.3, 0.7, (2, count, 1, 1)), rng.uniform(0.1, 0.3, (count, 1, 1))
    blob_BHW = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))
    colour = rng.uniform(80, 255, (count, 1, 1, channels))
    noisy = blob_BHW[..., None] * colour + rng.normal(0, 6, (count, size, size, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)
