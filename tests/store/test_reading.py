"""A committed dataset through its consumers' eyes: each reader sees exactly the committed rows."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import uuid
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as pads
import pytest

import augment
from augment.errors import ConfigError, InputError, IntegrityError
from augment.objects import ObjectStore, open_store
from augment.report.card import dataset_card
from augment.store import reading
from augment.store.reading import Dataset, open_dataset
from augment.store.records import manifest_key, plan_key, snapshot_key
from augment.types import RunPlan
from tests.store.helpers import ROWS, SHARDS, commit, pixels_of, tiny_run

LABELS = [1] * 7 + [2] * 4


def all_pixels(run: RunPlan) -> npt.NDArray[np.uint8]:
    return np.concatenate([pixels_of(run, spec) for spec in run.plan.shards()])


@pytest.fixture
def store() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def local(tmp_path: Path) -> Dataset:
    """A local dataset with its card, beside files of an uncommitted run and a straggler."""
    store = open_store(str(tmp_path / "set"))
    commit(store, tiny_run())
    dataset = open_dataset(store.uri)
    store.put("README.md", dataset_card(dataset).encode())
    data = store.get(dataset.shards[0].key)
    store.put(f"data/{tiny_run().run_id}/000000-{'f' * 64}.parquet", data)  # no manifest lists it
    store.put(f"data/unsealed/000000-{'0' * 64}.parquet", data)
    return dataset


# ---- opening --------------------------------------------------------------------------------------------


def test_a_dataset_says_what_it_holds(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    snapshot = commit(store, run)
    dataset = open_dataset(store.uri)
    assert (dataset.version, dataset.rows, dataset.uri) == (1, ROWS, store.uri)
    assert dataset.snapshot == snapshot
    assert dataset.manifest.run_id == run.run_id
    assert dataset.class_names == {0: "cat", 1: "dog | wild", 2: "test"}
    assert dataset.counts() == {"cat": 0, "dog | wild": 7, "test": 4}
    assert [(row.name, row.real, row.synthetic) for row in dataset.balance()] == [
        ("cat", 9, 0),
        ("dog | wild", 2, 7),
        ("test", 5, 4),
    ]
    assert dataset.files == [f"{store.uri}/{shard.key}" for shard in dataset.shards]
    assert len(dataset.files) == SHARDS


def test_the_package_opens_a_dataset(store: ObjectStore) -> None:
    commit(store, tiny_run())
    assert augment.open_dataset(store.uri).rows == ROWS


def test_a_version_pins(store: ObjectStore) -> None:
    commit(store, tiny_run(seed=1))
    commit(store, tiny_run(seed=2), "append")
    assert open_dataset(store.uri).rows == 2 * ROWS
    for pinned in (open_dataset(store.uri, version=1), open_dataset(f"{store.uri}@1")):
        assert (pinned.version, pinned.rows) == (1, ROWS)
    for version in (0, 3):
        with pytest.raises(ConfigError, match=f"no version {version}; it has versions 1 to 2"):
            open_dataset(store.uri, version=version)
    with pytest.raises(ConfigError, match="names version 1, but version=2"):
        open_dataset(f"{store.uri}@1", version=2)


def test_of_several_runs_each_has_a_manifest(store: ObjectStore) -> None:
    runs = [tiny_run(seed=1), tiny_run(seed=2)]
    for run in runs:
        commit(store, run, "append")
    dataset = open_dataset(store.uri)
    assert [manifest.run_id for manifest in dataset.manifests] == [run.run_id for run in runs]
    assert dataset.counts() == {"cat": 0, "dog | wild": 14, "test": 8}
    with pytest.raises(InputError, match=r"2 runs.*\.manifests"):
        _ = dataset.manifest


def test_a_place_with_no_dataset_is_named_with_what_to_run(store: ObjectStore) -> None:
    with pytest.raises(InputError, match=r"no dataset is committed at .*augment run"):
        open_dataset(store.uri)


def test_what_is_no_version_is_told_where_a_dataset_lies_and_stays_a_place_where_none_does(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"no dataset is committed at .*@abc"):
        open_dataset(f"{store.uri}@abc")
    commit(store, tiny_run())
    for wrong in ("abc", "0", "-1", ""):
        with pytest.raises(ConfigError, match=f"@{wrong}: a version is a whole number.* version 1 alone"):
            open_dataset(f"{store.uri}@{wrong}")
    place = open_store(f"{store.uri}@abc")
    commit(place, tiny_run())
    assert open_dataset(place.uri).uri == place.uri
    with pytest.raises(InputError, match="no dataset is committed"):
        open_dataset(f"{store.uri}-elsewhere", version=3)


def test_a_version_that_is_lost_between_others_is_not_taken_for_a_wrong_name(store: ObjectStore) -> None:
    for seed in (1, 2, 3):
        commit(store, tiny_run(seed=seed), "append")
    store.delete(snapshot_key(2))
    with pytest.raises(InputError, match="no version 2"):
        open_dataset(store.uri, version=2)


def test_an_unfinished_run_is_no_dataset(store: ObjectStore) -> None:
    commit(store, tiny_run())
    store.delete(snapshot_key(1))
    with pytest.raises(InputError, match="no dataset is committed"):
        open_dataset(store.uri)


@pytest.mark.parametrize("key", [plan_key, manifest_key])
def test_a_record_that_is_not_the_pinned_one_is_named(store: ObjectStore, key: object) -> None:
    run = tiny_run()
    commit(store, run)
    name = key(run.run_id)  # type: ignore[operator]
    store.put(name, store.get(name) + b"\n")  # still valid JSON
    with pytest.raises(IntegrityError, match=f"{name} is not what the"):
        open_dataset(store.uri)
    store.delete(name)
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        open_dataset(store.uri)


def test_a_missing_shard_is_an_error_never_a_skip(store_uri: str) -> None:
    store = open_store(store_uri)
    commit(store, tiny_run())
    dataset = open_dataset(store.uri)
    store.delete(dataset.shards[1].key)
    with pytest.raises(IntegrityError, match=f"{dataset.shards[1].key} is missing"):
        dataset.to_pandas()
    with pytest.raises(IntegrityError, match=f"{dataset.shards[1].key} is missing"):
        dataset.to_torch()[4]


def test_a_shard_with_other_bytes_is_an_error(store: ObjectStore) -> None:
    commit(store, tiny_run())
    dataset = open_dataset(store.uri)
    key = dataset.shards[2].key
    store.put(key, store.get(key)[:-1] + b"X")
    with pytest.raises(IntegrityError, match=key):
        dataset.to_pandas()


def test_a_dataset_travels_without_credentials(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(open_store(s3_uri), tiny_run())
    dataset = open_dataset(s3_uri)
    assert len(dataset.to_pandas()) == ROWS  # its client is built
    pickled = pickle.dumps(dataset) + pickle.dumps(dataset.to_torch())
    assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in pickled
    assert pickle.loads(pickle.dumps(dataset)).to_pandas().equals(dataset.to_pandas())


def test_no_secret_is_in_any_object(s3_uri: str) -> None:
    store = open_store(s3_uri)
    commit(store, tiny_run())
    store.put("README.md", dataset_card(open_dataset(s3_uri)).encode())
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    access = os.environ["AWS_ACCESS_KEY_ID"].encode()
    for found in store.list():
        data = store.get(found.key)
        assert secret not in data
        assert access not in data


def test_opening_imports_neither_torch_nor_ray_nor_pandas(local: Dataset) -> None:
    code = (
        "import sys, augment; before = 'pyarrow' in sys.modules\n"
        f"assert augment.open_dataset({local.uri!r}).counts() and augment.__version__ and not before\n"
        "print({'torch', 'ray', 'pandas', 'boto3', 'albumentations', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---- readers --------------------------------------------------------------------------------------------


def test_pandas_sees_the_committed_rows(store: ObjectStore) -> None:
    commit(store, tiny_run())
    frame = open_dataset(store.uri).to_pandas()
    assert frame["label"].tolist() == LABELS
    assert frame["label_name"].tolist() == ["dog | wild"] * 7 + ["test"] * 4
    assert frame["sample_id"].is_unique
    assert frame["image"][0]["bytes"][:4] == b"\x89PNG"
    assert list(open_dataset(store.uri).to_pandas(columns=["label"])) == ["label"]


@pytest.mark.parametrize("image_format", ["png", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_torch_sees_the_pixels_that_were_generated(tmp_path: Path, channels: int, image_format: str) -> None:
    import torch

    run = tiny_run(channels=channels, image_format=image_format)
    commit(open_store(str(tmp_path)), run)
    samples = open_dataset(str(tmp_path)).to_torch(cached_shards=1)
    assert len(samples) == ROWS
    expected = all_pixels(run)
    for row in [*range(ROWS), 0, -1]:  # the last two after their shard left the cache
        image, label = samples[row]
        assert image.dtype == torch.uint8
        assert image.shape == (channels, 16, 16)
        assert np.array_equal(image.numpy(), expected[row].transpose(2, 0, 1))
        assert label == LABELS[row]
    with pytest.raises(IndexError):
        samples[ROWS]


def test_torch_loaders_batch_it(local: Dataset) -> None:
    import torch

    loader = torch.utils.data.DataLoader(local.to_torch(), batch_size=4)
    batches = list(loader)
    assert torch.cat([labels for _, labels in batches]).tolist() == LABELS
    assert batches[0][0].shape == (4, 3, 16, 16)


def test_hugging_face_loads_images_and_class_names(
    local: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    loaded = datasets.load_dataset(local.uri, cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    train = loaded["train"]
    assert train["label"][:] == LABELS
    assert train.features["label"].names == ["cat", "dog | wild", "test"]
    assert isinstance(train.features["image"], datasets.Image)
    assert np.array_equal(np.asarray(train[8]["image"]), all_pixels(tiny_run())[8])
    assert train.column_names[:2] == ["image", "label"]


def test_duckdb_reads_the_files(local: Dataset) -> None:
    import duckdb

    query = (
        "select label, count(*), count(distinct sample_id) from read_parquet($files) group by 1 order by 1"
    )
    assert duckdb.execute(query, {"files": local.files}).fetchall() == [(1, 7, 7), (2, 4, 4)]


def test_polars_reads_the_files(local: Dataset) -> None:
    import polars

    frame = polars.scan_parquet(local.files).collect()
    assert frame["label"].to_list() == LABELS
    assert frame["image"].struct.field("bytes").null_count() == 0


def test_plain_pandas_and_pyarrow_read_the_files(local: Dataset) -> None:
    import pandas as pd

    assert pads.dataset(local.files).to_table()["label"].to_pylist() == LABELS
    assert pd.read_parquet(local.files[0])["label"].tolist() == LABELS[:4]


def test_whole_folder_readers_accept_a_clean_data_folder(tmp_path: Path) -> None:
    import duckdb
    import pandas as pd
    import polars

    store = open_store(str(tmp_path))
    commit(store, tiny_run())
    store.put("README.md", dataset_card(open_dataset(store.uri)).encode())
    folder = str(tmp_path / "data")
    assert len(pd.read_parquet(folder)) == ROWS
    assert len(polars.read_parquet(folder)) == ROWS
    assert pads.dataset(folder).count_rows() == ROWS
    assert duckdb.sql(f"select count(*) from read_parquet('{folder}/**/*.parquet')").fetchall() == [(ROWS,)]


def test_ray_is_found_by_its_entry_point(local: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(group: str, name: str) -> list[EntryPoint]:
        return [EntryPoint(name, "tests.store.test_reading:rows_of", group)]

    monkeypatch.setattr(reading, "entry_points", installed)
    assert local.to_ray() == ROWS


def rows_of(dataset: Dataset) -> int:
    """Stands for an installed reader."""
    return dataset.rows


def test_a_reader_that_is_not_installed_is_named(local: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "entry_points", lambda group, name: [])
    with pytest.raises(ConfigError, match=r"'ray'.*augment\.readers"):
        local.to_ray()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pandas is not installed"):
        local.to_pandas()


def test_an_empty_dataset_has_no_frame() -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    balanced = tuple(target.model_copy(update={"target": target.real}) for target in tiny_run().plan.classes)
    commit(store, tiny_run(classes=balanced))
    dataset = open_dataset(store.uri)
    assert (dataset.rows, dataset.files, len(dataset.to_torch())) == (0, [], 0)
    with pytest.raises(InputError, match="no rows"):
        dataset.to_pandas()
