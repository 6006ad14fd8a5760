"""A report's document from what a committed dataset and its model's folder already hold.

Owns which of it is shown. Nothing is measured here: lift, gates and memorisation are for those who measured
them to add (`document.model_copy(update=…)`). Samples are read back from the committed shards, so that the
pictures show what a reader will get.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from augment.objects import ObjectNotFoundError
from augment.report.html.document import (
    Balance,
    ClassCount,
    Cost,
    ModelFacts,
    Provenance,
    ReportDocument,
    RunFacts,
    Sheets,
)
from augment.report.html.evidence import Cell, Metric, MetricRow, MetricTable
from augment.report.html.pictures import SheetPixels, embed_sheets
from augment.report.html.recorded_curves import training_curves
from augment.store.decoding import decode_sample
from augment.store.models import ClassQuality, ModelFolder, ModelRecord, find_generator
from augment.store.reading import CommittedRun, Dataset, read_shard
from augment.store.shards import remaining_spec

__all__ = ["report_document_from"]

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]

_REAL_SAMPLES = "real-samples.npz"
_SHOWN = 10  # samples a class
_METRICS = (
    Metric(
        name="Fréchet distance",
        better="lower",
        meaning="Distance between real and synthetic features, as two normal distributions. It falls with the "
        "number of images, so that classes of different sizes can't be compared.",
    ),
    Metric(
        name="Recall",
        better="higher",
        kind="percent",
        meaning="Share of the real images' variety that the samples reach.",
    ),
    Metric(
        name="Label accuracy",
        better="higher",
        kind="percent",
        meaning="Share of the samples that a classifier of the real images takes for their class.",
    ),
)


def report_document_from(
    dataset: Dataset, *, title: str = "Synthetic images for rare classes"
) -> ReportDocument:
    """Classes, contact sheets, quality while training, curves and provenance of one dataset version.

    The newest run's generator is the one that is told of; a section is None where its model's folder, or what
    the section needs of it, is not in the dataset. Raises IntegrityError where stored data is damaged.
    """
    newest = dataset.runs[-1] if dataset.runs else None
    found = find_generator(dataset.store, newest.plan.generator_sha256) if newest else None
    folder = found.folder if found else None
    model = folder.finished() if folder else None
    return ReportDocument(
        title=title,
        balance=Balance.of(ClassCount.of(*row) for row in dataset.balance()),
        sheets=_sheets(dataset, newest, folder) if newest else None,
        metrics=_metrics(dataset, model) if model else None,
        training=training_curves(folder) if folder else None,
        cost=Cost(stored_bytes=sum(shard.size_bytes for shard in dataset.shards)),
        provenance=_provenance(dataset, model),
    )


# ---- pictures -----------------------------------------------------------------------------------------


def _sheets(dataset: Dataset, run: CommittedRun, folder: ModelFolder | None) -> Sheets | None:
    """Every class of the newest run, the rarest first; None where there is nothing to show."""
    real = _real_samples(folder) if folder else {}
    synthetic = _committed_samples(dataset, run)
    image = run.plan.plan.image
    none = np.zeros((0, image.size, image.size, image.channels), np.uint8)
    targets = list(enumerate(run.plan.plan.classes))
    sheets = [
        SheetPixels(
            label=target.label,
            real_BHWC=real.get(index, none)[:_SHOWN],
            synthetic_BHWC=synthetic.get(index, none),
        )
        for index, target in sorted(targets, key=lambda entry: (entry[1].real, entry[1].label))
    ]
    shown = [sheet for sheet in sheets if len(sheet.real_BHWC) or len(sheet.synthetic_BHWC)]
    return embed_sheets(shown) if shown else None


def _real_samples(folder: ModelFolder) -> Mapping[int, Pixels]:
    """The few real images that were kept beside the model, by class index."""
    try:
        data = folder.artefact(_REAL_SAMPLES)
    except ObjectNotFoundError:
        return {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {int(name): arrays[name] for name in arrays.files}


def _committed_samples(dataset: Dataset, run: CommittedRun) -> dict[int, Pixels]:
    """The first few committed samples of each class, by class index; each shard is read at most once."""
    plan, image = run.plan.plan, run.plan.plan.image
    samples: dict[int, list[Pixels]] = {}
    for shard in run.manifest.shards:
        spec = remaining_spec(plan, shard.index, run.manifest.without)
        wanted: list[tuple[int, int]] = []  # (class index, row)
        row = 0
        for piece in spec.pieces:
            have = len(samples.setdefault(piece.class_index, []))
            wanted += [(piece.class_index, row + offset) for offset in range(min(_SHOWN - have, piece.count))]
            row += piece.count
        if wanted:
            table = pq.read_table(
                pa.BufferReader(read_shard(dataset.store, shard)), columns=["image", "sample_id"]
            )
            for class_index, row in wanted:
                data, name = table["image"][row].as_py()["bytes"], table["sample_id"][row].as_py()
                samples[class_index].append(decode_sample(data, image, name))
    return {class_index: np.stack(found) for class_index, found in samples.items() if found}


# ---- figures ------------------------------------------------------------------------------------------


def _metrics(dataset: Dataset, model: ModelRecord) -> MetricTable | None:
    """Quality as it was measured while training, of the classes that the dataset knows by name."""
    labels: dict[str, list[int]] = {}
    for label, name in dataset.class_names.items():
        labels.setdefault(name, []).append(label)
    # A quality record has a name and no label: where two labels share a name, neither can be told.
    measured = {labels[one.name][0]: one for one in model.evaluation if len(labels.get(one.name, ())) == 1}
    real = {row.label: row.real for row in dataset.balance()}
    rows = [
        MetricRow(label=label, cells=_cells(measured[label]))
        for label in sorted(measured, key=lambda label: (real[label], label))
    ]
    if not rows:
        return None
    return MetricTable(
        features="features of a classifier of the real images",
        note="These figures are from training, by few samples a class, and without a floor: see them as a trend.",
        metrics=_METRICS,
        rows=tuple(rows),
    )


def _cells(quality: ClassQuality) -> tuple[Cell, ...]:
    return tuple(Cell(value=value) for value in (quality.frechet, quality.recall, quality.label_accuracy))


def _provenance(dataset: Dataset, model: ModelRecord | None) -> Provenance:
    facts = None
    if model is not None:
        facts = ModelFacts(steps=model.steps, ended=model.ended, best_step=model.best_step)
    return Provenance(
        dataset_version=dataset.version, runs=tuple(_run_facts(run) for run in dataset.runs), model=facts
    )


def _run_facts(run: CommittedRun) -> RunFacts:
    plan = run.plan.plan
    colour = "grayscale" if plan.image.channels == 1 else "RGB"
    return RunFacts(
        run_id=run.plan.run_id,
        plan_id=plan.plan_id,
        rows=sum(shard.rows for shard in run.manifest.shards),
        seed=plan.seed,
        generator_sha256=run.plan.generator_sha256,
        source_fingerprint=run.plan.source_fingerprint,
        image=f"{colour}, {plan.image.size} px, {run.plan.image_format}",
        versions=run.plan.versions,
    )
