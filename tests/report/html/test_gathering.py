"""A report of a dataset as it is committed: its counts, its own samples, its training, its provenance."""

from __future__ import annotations

import base64
import io
import uuid
from typing import Any

import numpy as np
from PIL import Image

from augment.objects import ObjectStore, open_store
from augment.report.html.document import Picture
from augment.report.html.gathering import report_document_from
from augment.report.html.page import render_page
from augment.store.commit import make_run_plan
from augment.store.models import ClassQuality, ModelFolder
from augment.store.reading import open_dataset
from augment.store.revoke import revoke_classes
from augment.types import RunPlan
from tests.report.html.test_page import parse
from tests.store.helpers import commit, pixels_of, tiny_run


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
