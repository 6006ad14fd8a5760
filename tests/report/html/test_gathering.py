"""A report of a dataset as it is committed: its counts, its own samples, its training, its provenance."""

from __future__ import annotations

import base64
import io
import uuid
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augment.objects import ObjectStore, open_store
from augment.report.fidelity_file import put_fidelity
from augment.report.first_samples import Samples, first_samples
from augment.report.html.document import Picture
from augment.report.html.gathering import report_document_from
from augment.report.html.page import render_page
from augment.report.neighbours import nearest_real, put_neighbours
from augment.report.real_samples import save_real_samples
from augment.store.commit import make_run_plan
from augment.store.models import ClassQuality, ModelFolder
from augment.store.reading import Dataset, open_dataset
from augment.store.rejected import RejectedRow
from augment.store.revoke import revoke_classes
from augment.types import ClassLedger, RunPlan
from tests.report.html.test_measured import record_of
from tests.report.html.test_page import parse
from tests.report.runs import committed, drawn, newest, real_images
from tests.store.helpers import commit, encode, pixels_of, tiny_run


def new_store() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def decoded(picture: Picture) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))).convert("RGB"))


def with_model(store: ObjectStore) -> tuple[RunPlan, Any]:
    """A committed run of a model that lies in the same dataset, with two real images of class 1."""
    folder = ModelFolder(store, "gan")
    quality = (ClassQuality(name="cat", frechet=2.5, recall=0.4), ClassQuality(name="gone", frechet=9.0))
    model = folder.publish(b"weights", steps=500, training_sha256="0" * 64, best_step=450, evaluation=quality)
    real = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **{"1": real})
    folder.put_artefact("real-samples.npz", buffer.getvalue())
    run = tiny_run()
    made = make_run_plan(
        run.plan, generator_sha256=model.sha256, image_format="png", augmentation=None, versions=run.versions
    )
    commit(store, made)
    return made, real


def test_a_dataset_without_its_model_has_counts_samples_and_provenance() -> None:
    store = new_store()
    commit(store, tiny_run(source_fingerprint="f" * 64))
    document = report_document_from(open_dataset(store.uri))
    assert [(one.name, one.real, one.synthetic) for one in document.balance.classes] == [
        ("dog | wild", 2, 7),
        ("test", 5, 4),
        ("cat", 9, 0),
    ]
    assert document.metrics is document.training is document.lift is document.recommendation is None
    assert document.sheets is not None
    assert document.provenance is not None
    assert document.provenance.runs[0].source_fingerprint == "f" * 64
    assert document.cost is not None
    assert document.cost.stored_bytes == sum(shard.size_bytes for shard in open_dataset(store.uri).shards)
    parse(render_page(document))


def test_the_pictures_are_the_committed_samples_and_the_kept_real_images() -> None:
    store = new_store()
    run, real = with_model(store)
    document = report_document_from(open_dataset(store.uri))
    assert document.sheets is not None
    made = np.concatenate([pixels_of(run, spec) for spec in run.plan.shards()])
    wild, test = document.sheets.classes  # the rarest first; cats have neither samples nor kept images
    assert (wild.label, test.label) == (1, 2)
    np.testing.assert_array_equal([decoded(picture) for picture in wild.real], real)
    np.testing.assert_array_equal([decoded(pair.synthetic) for pair in wild.pairs], made[:7])
    np.testing.assert_array_equal([decoded(pair.synthetic) for pair in test.pairs], made[7:])


def test_quality_while_training_is_told_of_the_classes_that_are_there() -> None:
    store = new_store()
    with_model(store)
    document = report_document_from(open_dataset(store.uri))
    assert document.metrics is not None
    (row,) = document.metrics.rows
    assert row.label == 0
    assert [cell.value for cell in row.cells] == [2.5, 0.4, None]
    assert document.provenance is not None
    assert document.provenance.model is not None
    assert (document.provenance.model.steps, document.provenance.model.best_step) == (500, 450)


def test_revoked_samples_are_not_shown() -> None:
    store = new_store()
    run, _ = with_model(store)
    revoke_classes(store, ["dog | wild"], why="a test")
    document = report_document_from(open_dataset(store.uri))
    assert document.sheets is not None
    wild, test = document.sheets.classes
    assert (len(wild.pairs), len(test.pairs)) == (0, 4)
    made = np.concatenate([pixels_of(run, spec) for spec in run.plan.shards()])
    np.testing.assert_array_equal([decoded(pair.synthetic) for pair in test.pairs], made[7:])


def test_equal_datasets_give_equal_reports_wherever_they_lie() -> None:
    documents = []
    for _ in range(2):
        store = new_store()
        commit(store, tiny_run())
        documents.append(report_document_from(open_dataset(store.uri)).to_json())
    assert documents[0] == documents[1]


# ---- what gates and fidelity left beside the run -----------------------------------------------------------


def with_evidence() -> Dataset:
    """A gated run of which everything was kept: refused candidates, neighbours and fidelity."""
    ledger = (
        ClassLedger(label=11, accepted=3, fallback=1, drawn=9, refused={"label": 4, "repeat": 2}),
        ClassLedger(label=12, accepted=4, drawn=6, refused={"repeat": 2}),
    )
    samples = drawn(4)
    rejected = [
        RejectedRow(encode(samples[1][row], "png"), 11, "down", row, 0, gate, score)
        for row, (gate, score) in enumerate([("label", -4.25), ("label", -5.0), ("repeat", None)])
    ]
    made_by = {1: ("gan", "gan", "duplicate", "gan"), 2: ("gan",) * 4}
    dataset = committed(samples, ledger=ledger, rejected=rejected, made_by=made_by)  # type: ignore[arg-type]
    put_fidelity(dataset.store, record_of(dataset))
    run = newest(dataset)
    put_neighbours(
        dataset.store, run.plan.run_id, nearest_real(first_samples(dataset, run, 10), *real_images())
    )
    return dataset


def test_recipes_ledger_fidelity_and_near_copies_are_told_of_a_gated_run() -> None:
    document = report_document_from(with_evidence())
    assert {one.name: one.recipe for one in document.balance.classes} == {
        "across": None, "down": "gan, duplicate", "both": "gan",
    }  # fmt: skip
    assert document.gates is not None
    assert document.gates.overall.drawn == 15
    assert document.metrics is not None
    assert document.metrics.overall is not None
    assert document.memorization is not None
    assert document.provenance is not None
    assert document.provenance.runs[0].gates_sha256 == "cd" * 32
    page = render_page(document)
    assert "refused by" in page
    parse(page)


def test_each_sample_stands_above_the_real_image_nearest_to_it() -> None:
    document = report_document_from(with_evidence())
    assert document.sheets is not None
    assert document.sheets.space is not None
    expected = nearest_real({1: Samples(drawn(4)[1], ("",) * 4)}, *real_images())[1]
    (down,) = [sheet for sheet in document.sheets.classes if sheet.label == 11]
    nearest = [pair.nearest for pair in down.pairs if pair.nearest is not None]
    np.testing.assert_array_equal([decoded(one)[..., :1] for one in nearest], expected.real_BHWC)
    assert [pair.distance for pair in down.pairs] == pytest.approx(expected.distance_B.tolist())


def test_refused_candidates_are_shown_with_their_gates_by_turns_and_what_was_measured() -> None:
    document = report_document_from(with_evidence())
    assert document.sheets is not None
    (down,) = [sheet for sheet in document.sheets.classes if sheet.label == 11]
    assert [(one.gate, one.reason) for one in down.rejected] == [
        ("label", "log p of its class -4.25"), ("repeat", ""), ("label", "log p of its class -5"),
    ]  # fmt: skip


def test_a_class_whose_neighbours_are_those_of_other_samples_is_shown_without() -> None:
    dataset = with_evidence()
    other = {1: Samples(drawn(4)[1], ("another",) * 4)}
    put_neighbours(dataset.store, newest(dataset).plan.run_id, nearest_real(other, *real_images()))
    document = report_document_from(dataset)
    assert document.sheets is not None
    assert all(pair.nearest is None for sheet in document.sheets.classes for pair in sheet.pairs)


def test_a_run_without_a_generator_is_shown_beside_the_real_images_that_its_job_kept() -> None:
    dataset = committed(drawn(4), {1: "duplicate", 2: "smote"})
    real = real_images()[0][:3]
    save_real_samples(ModelFolder(dataset.store, "job"), {1: real})
    document = report_document_from(dataset)
    assert document.sheets is not None
    (down,) = [sheet for sheet in document.sheets.classes if sheet.label == 11]
    np.testing.assert_array_equal([decoded(one)[..., :1] for one in down.real], real)


def test_figures_alone_are_had_without_a_shard() -> None:
    dataset = with_evidence()
    for shard in dataset.shards:
        dataset.store.delete(shard.key)
    document = report_document_from(dataset, whole=False)
    assert document.sheets is None
    assert document.metrics is not None
