"""croissant.json, judged by the format's own library, on classes that are hostile to it."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from augment.objects import open_store
from augment.report.describing import describe, export
from augment.store.layouts import LAYOUTS
from augment.store.reading import Dataset, open_dataset
from augment.types import ClassTarget
from tests.store.helpers import ROWS, commit, tiny_run
from tests.store.readers.hostile import HOSTILE_NAMES

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # mlcroissant leaves tars open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings(
        "ignore:ConjunctiveGraph is deprecated:DeprecationWarning"
    ),  # mlcroissant's rdflib
    pytest.mark.filterwarnings("ignore:The inplace keyword in"),  # mlcroissant's use of pandas
]


def committed(uri: str, classes: tuple[ClassTarget, ...] | None = None) -> Dataset:
    store = open_store(uri)
    commit(store, tiny_run() if classes is None else tiny_run(classes=classes))
    dataset = open_dataset(store.uri)
    describe(dataset)
    return dataset


def document(dataset: Dataset) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(dataset.store.get("croissant.json"))
    return loaded


def test_the_formats_own_library_finds_no_fault(tmp_path: Path) -> None:
    import mlcroissant

    classes = tuple(
        ClassTarget(label=label, name=name, real=1, target=2) for label, name in enumerate(HOSTILE_NAMES)
    )
    dataset = committed(str(tmp_path), classes)
    checked = mlcroissant.Dataset(f"{dataset.uri}/croissant.json")
    issues = checked.metadata.ctx.issues
    assert not issues.errors
    # what only the owner of the images knows is left to them
    wanting = {text.rpartition("/")[2].partition('"')[0] for text in issues.warnings}
    assert wanting == {"license", "datePublished", "citeAs"}
    assert checked.metadata.ctx.is_v1_1() if hasattr(checked.metadata.ctx, "is_v1_1") else True
    names = [one["classes/name"] for one in checked.records("classes")]
    assert names == list(HOSTILE_NAMES)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_formats_own_library_reads_every_copy(tmp_path: Path, layout: str) -> None:
    import mlcroissant

    dataset = committed(str(tmp_path / "set"))
    export(dataset, str(tmp_path / "copy"), layout)
    checked = mlcroissant.Dataset(str(tmp_path / "copy" / "croissant.json"))
    assert not checked.metadata.ctx.issues.errors
    records = list(checked.records("images"))
    frame = dataset.to_pandas(["sample_id", "label"])
    assert {one["images/sample_id"].decode() for one in records} == set(frame["sample_id"])
    assert len(records) == ROWS
    assert {one["images/image"].size for one in records} == {(16, 16)}
    if layout != "webdataset":
        assert Counter(one["images/label"] for one in records) == Counter(frame["label"].tolist())


def test_every_committed_file_has_its_digest() -> None:
    dataset = committed(f"memory://{uuid.uuid4().hex}")
    described = document(dataset)["distribution"]
    digests = {one["contentUrl"]: one["sha256"] for one in described if one["@type"] == "cr:FileObject"}
    assert digests == {shard.key: shard.sha256 for shard in dataset.shards}
    assert described[-1]["includes"] == [shard.key for shard in dataset.shards]


def test_the_origin_is_told_in_provs_terms() -> None:
    dataset = committed(f"memory://{uuid.uuid4().hex}")
    told = document(dataset)
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert told["digitalSourceType"] == [
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    ]
    assert told["version"] == "1.0.0"
    (activity,) = told["prov:wasGeneratedBy"]
    run = tiny_run()
    assert activity["@id"] == f"urn:augment:run:{run.run_id}"
    assert [each["@id"] for each in activity["prov:used"]] == [f"urn:sha256:{run.generator_sha256}"]
    assert told["prov:wasDerivedFrom"] == [
        {"@type": "prov:Entity", "prov:label": "16 labelled images of 3 classes"}
    ]


def test_the_same_version_gives_the_same_file_without_a_trace_of_the_machine(tmp_path: Path) -> None:
    written = [committed(str(tmp_path / folder)).store.get("croissant.json") for folder in ("one", "two")]
    assert written[0] == written[1]
    assert str(tmp_path).encode() not in written[0]
