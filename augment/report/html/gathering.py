"""A report's document from what a committed dataset and its model's folder already hold.

Owns which of it is shown. Nothing is measured here, and lift, whose room is on the same floor, is for the floor
above to add (`document.model_copy(update=…)`). Samples are read back from the committed shards, so that the
pictures show what a reader will get.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from augment.report.fidelity_file import FidelityRecord, read_fidelity
from augment.report.first_samples import Samples, first_samples, shown_classes
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
from augment.report.html.measured import gates_of, memorization_of, metrics_of
from augment.report.html.pictures import RejectedPixels, SheetPixels, embed_sheets
from augment.report.html.recorded_curves import training_curves
from augment.report.neighbours import SPACE, Neighbours, read_neighbours
from augment.report.origins import recipes_by_label
from augment.report.real_samples import load_real_samples
from augment.store.decoding import decode_sample
from augment.store.models import ClassQuality, ModelFolder, ModelRecord, find_generator
from augment.store.reading import CommittedRun, Dataset
from augment.store.rejected import RejectedRow, rejected_of
from augment.types import RecipeName

__all__ = ["TITLE", "report_document_from"]

TITLE = "Synthetic images for rare classes"

_SHOWN = 10  # samples a class
_SHOWN_REJECTED = 6  # a class
_MOST_CLASSES = 100  # with pictures: of more, the rarest and the largest


class _Nearest(TypedDict, total=False):
    """What SheetPixels is told of the nearest real images."""

    nearest_BHWC: npt.NDArray[np.uint8]
    distance_B: list[float]


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


def report_document_from(dataset: Dataset, *, title: str = TITLE, whole: bool = True) -> ReportDocument:
    """Classes, gates, contact sheets, fidelity, near copies, curves and provenance of one dataset version.

    The newest run is the one whose samples, generator and figures are told of; the gates' ledger is that of all
    runs. A section is None where its figures are not in the dataset; not `whole` leaves out pictures and
    curves, so that no shard is read. Raises
    IntegrityError where stored data is damaged.
    """
    newest = dataset.runs[-1] if dataset.runs else None
    sha256 = newest.plan.generator_sha256 if newest else None
    found = find_generator(dataset.store, sha256) if sha256 else None
    folder = found.folder if found else None
    model = folder.finished() if folder else None
    fidelity = read_fidelity(dataset.store, newest.plan.run_id) if newest else None
    return ReportDocument(
        title=title,
        balance=Balance.of(_class_counts(dataset)),
        gates=gates_of(dataset.runs),
        sheets=_sheets(dataset, newest, folder) if newest and whole else None,
        metrics=_metrics(dataset, newest, fidelity, model) if newest else None,
        memorization=memorization_of(fidelity, newest) if newest and fidelity else None,
        training=training_curves(folder) if folder and whole else None,
        cost=Cost(stored_bytes=sum(shard.size_bytes for shard in dataset.shards)),
        provenance=_provenance(dataset, model),
    )


def _class_counts(dataset: Dataset) -> Iterator[ClassCount]:
    recipes: dict[int, list[RecipeName]] = {}
    for run in dataset.runs:
        for label, used in recipes_by_label(run).items():
            recipes.setdefault(label, []).extend(used)
    for row in dataset.balance():
        used_here = tuple(dict.fromkeys(recipes.get(row.label, ())))
        yield ClassCount.of(*row, recipe=", ".join(used_here) or None)


# ---- pictures -----------------------------------------------------------------------------------------


def _sheets(dataset: Dataset, run: CommittedRun, folder: ModelFolder | None) -> Sheets | None:
    """The classes of the newest run, the rarest first; None where there is nothing to show."""
    shown = shown_classes(run.plan.plan, _MOST_CLASSES)
    real = load_real_samples(folder or _only_folder(dataset))
    synthetic = first_samples(dataset, run, _SHOWN, shown)
    neighbours = read_neighbours(dataset.store, run.plan.run_id)
    rejected = _rejected(dataset, run, shown)
    image = run.plan.plan.image
    none = np.zeros((0, image.size, image.size, image.channels), np.uint8)
    targets = [(index, run.plan.plan.classes[index]) for index in shown]
    sheets = [
        SheetPixels(
            label=target.label,
            real_BHWC=real.get(index, none)[:_SHOWN],
            synthetic_BHWC=synthetic[index].pixels_BHWC if index in synthetic else none,
            rejected=rejected.get(index),
            **_nearest(synthetic.get(index), neighbours.get(index)),
        )
        for index, target in sorted(targets, key=lambda entry: (entry[1].real, entry[1].label))
    ]
    filled = [sheet for sheet in sheets if len(sheet.real_BHWC) or len(sheet.synthetic_BHWC)]
    return embed_sheets(filled, space=SPACE if neighbours else None) if filled else None


def _only_folder(dataset: Dataset) -> ModelFolder | None:
    """Of a run without a generator, where its job kept real images; None where several jobs did."""
    names = {found.key.split("/")[1] for found in dataset.store.list("_models/")}
    return ModelFolder(dataset.store, names.pop()) if len(names) == 1 else None


def _nearest(samples: Samples | None, known: Neighbours | None) -> _Nearest:
    """The nearest real images of these samples; none where they were not looked for."""
    if samples is None or known is None:
        return {}
    place = {name: position for position, name in enumerate(known.ids_B)}
    if not all(name in place for name in samples.ids_B):
        return {}
    rows = [place[name] for name in samples.ids_B]
    return {"nearest_BHWC": known.real_BHWC[rows], "distance_B": known.distance_B[rows].tolist()}


def _rejected(dataset: Dataset, run: CommittedRun, shown: Collection[int]) -> dict[int, RejectedPixels]:
    """A few refused candidates by class index, of as many different gates as there are."""
    index_of = {run.plan.plan.classes[index].label: index for index in shown}
    kept: dict[int, dict[str, list[RejectedRow]]] = {}
    for row in rejected_of(dataset.store, run.plan.run_id):
        if row.label in index_of and row.label not in run.manifest.without:
            of_gate = kept.setdefault(index_of[row.label], {}).setdefault(row.gate, [])
            if len(of_gate) < _SHOWN_REJECTED:
                of_gate.append(row)
    return {index: _rejected_pixels(by_gate, run) for index, by_gate in kept.items()}


def _rejected_pixels(by_gate: Mapping[str, Sequence[RejectedRow]], run: CommittedRun) -> RejectedPixels:
    turns = zip_longest(*(by_gate[gate] for gate in sorted(by_gate)))
    rows = [row for turn in turns for row in turn if row is not None][:_SHOWN_REJECTED]
    image = run.plan.plan.image
    pixels = [decode_sample(row.image, image, f"{row.label_name} {row.sample_index}") for row in rows]
    return RejectedPixels(
        pixels_BHWC=np.stack(pixels),
        gates=[row.gate for row in rows],
        reasons=["" if row.score is None else f"{_score_name(row.gate)} {row.score:.3g}" for row in rows],
    )


def _score_name(gate: str) -> str:
    """What a gate's score is, in words."""
    return {"label": "log p of its class", "discriminator": "score"}.get(gate, "distance")


# ---- figures ------------------------------------------------------------------------------------------


def _metrics(
    dataset: Dataset, run: CommittedRun, fidelity: FidelityRecord | None, model: ModelRecord | None
) -> MetricTable | None:
    if fidelity is not None:
        return metrics_of(fidelity, run)
    return _metrics_while_training(dataset, model) if model is not None else None


def _metrics_while_training(dataset: Dataset, model: ModelRecord) -> MetricTable | None:
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
        gates_sha256=run.plan.gates.sha256 if run.plan.gates else None,
        source_fingerprint=run.plan.source_fingerprint,
        image=f"{colour}, {plan.image.size} px, {run.plan.image_format}",
        versions=run.plan.versions,
    )
