"""A sample that was really generated is made again, bit for bit, without Ray."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.config import load_config
from augment.errors import InputError, IntegrityError
from augment.objects import open_store
from augment.store.commit import make_run_plan
from augment.store.models import ModelFolder
from augment.store.reading import open_dataset
from augment.store.revoke import revoke_classes
from pipelines.explain import explain, png_of
from pipelines.progress import Progress
from pipelines.run import run
from tests.pipelines.conftest import Finished
from tests.store.helpers import commit


def sample_ids(uri: str) -> list[str]:
    return [
        name for table in open_dataset(uri).tables(["sample_id"]) for name in table["sample_id"].to_pylist()
    ]


def test_every_sample_made_again_equals_the_stored_one(finished: Finished) -> None:
    uri = finished.result.uri
    model = ModelFolder(open_store(uri), "small").finished()
    assert model is not None
    for identity in sample_ids(uri):
        explained = explain(uri, identity)
        assert explained.remake.outcome == "equal", identity
        assert explained.provenance.generator_sha256 == model.sha256
        assert explained.provenance.model == model.key
        assert explained.provenance.source_fingerprint is not None


def test_the_picture_is_the_stored_sample(finished: Finished) -> None:
    explained = explain(finished.result.uri, sample_ids(finished.result.uri)[4])
    assert explained.stored_HWC is not None
    with Image.open(io.BytesIO(png_of(explained.stored_HWC))) as picture:
        assert np.array_equal(np.asarray(picture), explained.stored_HWC[..., 0])


def test_an_augmented_sample_is_made_again_with_its_augmentation(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    import albumentations

    copy = shutil.copytree(finished.result.uri, tmp_path / "copy")
    pipeline = albumentations.Compose(
        [albumentations.RandomBrightnessContrast(p=0.9), albumentations.HorizontalFlip()]
    )
    albumentations.save(pipeline, tmp_path / "pipeline.yaml", data_format="yaml")
    changes = [
        f"output.uri={copy}",
        f"output.augmentation={tmp_path / 'pipeline.yaml'}",
        "output.on_existing=replace",
    ]
    run(load_config(finished.config_file, changes), quiet)
    for identity in sample_ids(str(copy))[::7]:
        explained = explain(str(copy), identity)
        assert explained.remake.outcome == "equal"
        assert "RandomBrightnessContrast" in str(explained.provenance.augmentation)


def test_a_revoked_sample_is_still_explained(finished: Finished, tmp_path: Path) -> None:
    copy = str(shutil.copytree(finished.result.uri, tmp_path / "copy"))
    identity = sample_ids(copy)[0]
    revoke_classes(open_store(copy), ["dots"], "wrong scanner")
    explained = explain(copy, identity)
    assert explained.provenance.versions == (1,)
    assert [made.why for made in explained.provenance.revoked] == ["wrong scanner"]
    assert explained.remake.outcome == "equal"
    with pytest.raises(InputError, match="no more: its class was revoked"):
        explain(f"{copy}@2", identity)
    Path(copy, explained.provenance.shard).unlink()  # as a collector does, after the grace period
    assert explain(copy, identity).remake.why == "its shard was deleted after it had been revoked"


def test_what_differs_is_counted(finished: Finished, tmp_path: Path) -> None:
    copy = str(shutil.copytree(finished.result.uri, tmp_path / "copy"))
    whole = open_dataset(copy).runs[0].plan
    other = make_run_plan(
        whole.plan.model_copy(update={"seed": 99}),
        generator_sha256=whole.generator_sha256,
        image_format="png",
        augmentation=None,
        versions={},
    )
    commit(open_store(copy), other, "append")  # of noise, whatever it says
    remake = explain(copy, sample_ids(copy)[-1]).remake
    assert remake.outcome == "different"
    assert 200 < remake.differing_values <= 16 * 16
    assert remake.largest_difference > 100


def test_a_damaged_model_is_named_and_a_missing_one_is_told(finished: Finished, tmp_path: Path) -> None:
    copy = str(shutil.copytree(finished.result.uri, tmp_path / "copy"))
    identity = sample_ids(copy)[0]
    model = Path(copy, explain(copy, identity).provenance.model or "")
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError, match="SHA-256"):
        explain(copy, identity)
    model.unlink()
    assert explain(copy, identity).remake.why == "its model lies in this dataset no more"
