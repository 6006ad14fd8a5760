"""Static copies: whole or unreadable, finished by running again, and never over anything else."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import UnidentifiedImageError

from augment.errors import AugmentError, ConfigError, IntegrityError
from augment.objects import ObjectStore, open_store
from augment.report import describing
from augment.report.describing import export
from augment.store.collect import collect
from augment.store.commit import begin_run, publish, put_shard, seal_run
from augment.store.layouts import LAYOUTS, exporting
from augment.store.layouts.contract import ExportedFile, FileBytes
from augment.store.layouts.exporting import export_data
from augment.store.reading import Dataset, open_dataset
from augment.store.revoke import revoke_classes
from augment.store.shards import SOURCE_IMAGES, build_shard, planned_marks
from augment.types import ClassTarget, RecipeName, RowMarks, RunPlan, sha256_hex
from tests.store.helpers import (
    ROWS,
    SHARDS,
    CrashError,
    WatchedStore,
    commit,
    crash_at,
    encode,
    pixels_of,
    tiny_run,
)

FILES = {"hf": SHARDS, "hive": 4, "webdataset": SHARDS, "folder": ROWS}


@pytest.fixture
def dataset() -> Dataset:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run())
    return open_dataset(store.uri)


def contents(store: ObjectStore) -> dict[str, str]:
    return {item.key: sha256_hex(store.get(item.key)) for item in store.list()}


def metadata(files: Sequence[ExportedFile] | None) -> tuple[FileBytes, ...]:
    return (FileBytes("README.md", b"a card"),)


def test_a_copy_holds_the_data_and_what_describes_it(dataset: Dataset, store_uri: str) -> None:
    for layout in LAYOUTS:
        target = open_store(f"{store_uri}/{layout}")
        exported = export(dataset, target.uri, layout)
        assert (exported.files, exported.rows, exported.made) == (FILES[layout], ROWS, True)
        keys = list(contents(target))
        data = [key for key in keys if LAYOUTS[layout].owns.fullmatch(key)]
        beside = {"README.md", "croissant.json", "export.json"} | (
            {"classes.json", "00000-cat/no-images"} if layout == "folder" else set()
        )
        assert len(data) == FILES[layout]
        assert set(keys) - set(data) == beside


def test_flat_parquet_is_the_committed_bytes(dataset: Dataset) -> None:
    target = open_store(f"memory://{uuid.uuid4().hex}")
    export(dataset, target.uri, "hf")
    copied = [target.get(f"data/train-{number:05d}-of-{SHARDS:05d}.parquet") for number in range(SHARDS)]
    assert [sha256_hex(data) for data in copied] == [shard.sha256 for shard in dataset.shards]


def test_croissant_has_the_digest_of_every_file(dataset: Dataset) -> None:
    for layout in LAYOUTS:
        target = open_store(f"memory://{uuid.uuid4().hex}")
        export(dataset, target.uri, layout)
        found = contents(target)
        described = json.loads(target.get("croissant.json"))["distribution"]
        digests = {one["contentUrl"]: one["sha256"] for one in described if one["@type"] == "cr:FileObject"}
        assert digests == {
            key: digest for key, digest in found.items() if LAYOUTS[layout].owns.fullmatch(key)
        }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_copy_killed_at_any_operation_is_finished_by_running_again(dataset: Dataset, layout: str) -> None:
    straight = open_store(f"memory://{uuid.uuid4().hex}")
    watched = WatchedStore(straight)
    export_data(dataset, watched, LAYOUTS[layout], metadata)
    for operation in range(watched.operations):
        for when in ("before", "after"):
            target = open_store(f"memory://{uuid.uuid4().hex}")
            with pytest.raises(CrashError):
                export_data(
                    dataset, WatchedStore(target, **{when: crash_at(operation)}), LAYOUTS[layout], metadata
                )
            whole = any(item.key == "export.json" for item in target.list())
            assert whole or not contents(target) or LAYOUTS[layout].unfinished_key in contents(target)
            export_data(dataset, target, LAYOUTS[layout], metadata)
            assert contents(target) == contents(straight)


@pytest.mark.parametrize("layout", ["hf", "hive"])
def test_no_parquet_reader_takes_an_unfinished_copy(dataset: Dataset, tmp_path: Path, layout: str) -> None:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow.dataset as pads

    stop_before_the_card(dataset, tmp_path, layout)
    data = tmp_path / "data"
    with pytest.raises(pa.ArrowInvalid):
        pads.dataset(str(data), partitioning="hive").to_table()
    with pytest.raises(pa.ArrowInvalid):
        pd.read_parquet(data)
    with pytest.raises(pl.exceptions.ComputeError):
        pl.read_parquet(f"{data}/**/*.parquet")
    with pytest.raises(duckdb.Error):
        duckdb.read_parquet(f"{data}/**/*.parquet").fetchall()


def test_hugging_face_takes_no_unfinished_copy(dataset: Dataset, tmp_path: Path) -> None:
    import datasets

    stop_before_the_card(dataset, tmp_path / "copy", "hf")
    with pytest.raises(datasets.exceptions.DatasetGenerationError):
        datasets.load_dataset(str(tmp_path / "copy"), cache_dir=str(tmp_path / "cache"))


def test_no_reader_of_a_single_class_takes_an_unfinished_copy(dataset: Dataset, tmp_path: Path) -> None:
    import duckdb
    import polars as pl
    import pyarrow.dataset as pads

    stop_before_the_card(dataset, tmp_path, "hive")
    one = pads.field("class") == "test"
    with pytest.raises(pa.ArrowInvalid, match="unfinished-export"):
        pads.dataset(str(tmp_path / "data"), partitioning="hive").to_table(filter=one)
    with pytest.raises(pl.exceptions.ComputeError):
        pl.scan_parquet(f"{tmp_path}/data/**/*.parquet").filter(pl.col("class") == "test").collect()
    with pytest.raises(duckdb.Error):
        duckdb.sql(f"FROM read_parquet('{tmp_path}/data/**/*.parquet') WHERE class = 'test'").fetchall()


def test_a_copy_to_a_folder_that_was_killed_leaves_no_trace_when_finished(
    dataset: Dataset, tmp_path: Path
) -> None:
    from torchvision.datasets import ImageFolder

    root = tmp_path / "copy"
    stop_before_the_card(dataset, root, "folder")
    (root / ".augment-tmp").mkdir(exist_ok=True)
    (root / ".augment-tmp" / "0123").write_bytes(b"half of an image")
    export(dataset, str(root), "folder")
    assert len(ImageFolder(root, allow_empty=True)) == ROWS


def test_no_reader_of_images_takes_an_unfinished_copy(dataset: Dataset, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    stop_before_the_card(dataset, tmp_path, "folder")
    with pytest.raises((UnidentifiedImageError, FileNotFoundError)):
        [image for image, _ in ImageFolder(tmp_path)]


def test_no_reader_of_tars_takes_an_unfinished_copy(dataset: Dataset, tmp_path: Path) -> None:
    import tarfile

    stop_before_the_card(dataset, tmp_path, "webdataset")
    last = max((tmp_path / "data").glob("*.tar"))
    with pytest.raises(tarfile.ReadError), tarfile.open(last):
        pass


def stop_before_the_card(dataset: Dataset, root: Path, layout: str) -> None:
    def stop(files: object) -> tuple[FileBytes, ...]:
        raise CrashError

    with pytest.raises(CrashError):
        export_data(dataset, open_store(str(root)), LAYOUTS[layout], stop)


def test_running_again_finds_the_copy_whole_and_writes_nothing(dataset: Dataset) -> None:
    target = open_store(f"memory://{uuid.uuid4().hex}")
    export(dataset, target.uri, "folder")
    before = contents(target)
    again = export(dataset, target.uri, "folder")
    assert (again.made, again.files, again.rows) == (False, ROWS, ROWS)
    assert contents(target) == before


@pytest.mark.parametrize("foreign", ["notes.txt", "data/part.parquet", "00001-dog/x.png"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_target_with_anything_else_is_refused_and_left_alone(
    dataset: Dataset, layout: str, foreign: str
) -> None:
    target = open_store(f"memory://{uuid.uuid4().hex}")
    target.put(foreign, b"mine")
    with pytest.raises(ConfigError, match=f"holds {foreign}.*choose an empty target"):
        export(dataset, target.uri, layout)
    assert list(contents(target)) == [foreign]


@pytest.mark.parametrize("unfinished", [True, False])
def test_a_target_with_another_export_is_refused(
    dataset: Dataset, unfinished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = open_store(f"memory://{uuid.uuid4().hex}")
    export(dataset, target.uri, "hf")
    if unfinished:
        target.put(LAYOUTS["hf"].unfinished_key, target.get("export.json"))
        target.delete("export.json")
    commit(dataset.store, tiny_run(seed=8), "append")
    newer = open_dataset(dataset.uri)
    with pytest.raises(ConfigError, match=r"an export of version 1 as hf.*choose an empty target"):
        export(newer, target.uri, "hf")
    if not unfinished:
        with pytest.raises(ConfigError, match="an export of version 1 as hf"):
            export(dataset, target.uri, "hive")


def test_what_slips_in_beside_the_data_is_found_before_the_card(dataset: Dataset) -> None:
    target = open_store(f"memory://{uuid.uuid4().hex}")

    def slip_in(rows: int) -> None:
        target.put("data/train-00009-of-00010.parquet", b"mine")

    with pytest.raises(ConfigError, match=f"holds {SHARDS + 1} files"):
        export(dataset, target.uri, "hf", slip_in)
    assert "README.md" not in contents(target)


def test_a_file_with_other_bytes_is_an_error(dataset: Dataset) -> None:
    target = open_store(f"memory://{uuid.uuid4().hex}")
    straight = open_store(f"memory://{uuid.uuid4().hex}")
    export(dataset, straight.uri, "hf")
    target.put(LAYOUTS["hf"].unfinished_key, straight.get("export.json"))
    target.put(f"data/train-00001-of-{SHARDS:05d}.parquet", b"half")
    with pytest.raises(IntegrityError, match=r"train-00001.*other bytes"):
        export(dataset, target.uri, "hf")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_damaged_shard_stops_the_copy(dataset: Dataset, layout: str) -> None:
    key = dataset.shards[1].key
    dataset.store.put(key, dataset.store.get(key)[:-1] + b"X")
    target = open_store(f"memory://{uuid.uuid4().hex}")
    with pytest.raises(IntegrityError, match=key):
        export(dataset, target.uri, layout)
    assert "README.md" not in contents(target)


@pytest.mark.parametrize("place", ["", "/below", "/.."])
def test_a_target_in_the_dataset_or_around_it_is_refused(tmp_path: Path, place: str) -> None:
    store = open_store(str(tmp_path / "a" / "set"))
    commit(store, tiny_run())
    with pytest.raises(ConfigError, match="lie within each other"):
        export(open_dataset(store.uri), store.uri + place, "hf")


def test_an_unknown_layout_is_named_with_those_there_are(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--layout=zip is not one of hf, hive, webdataset, folder"):
        export(dataset, str(tmp_path / "copy"), "zip")


def test_a_target_that_leads_out_by_a_link_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "copy"
    outside.mkdir()
    store = open_store(str(target))
    whole = open_store(f"memory://{uuid.uuid4().hex}")
    export(dataset, whole.uri, "folder")
    store.put(LAYOUTS["folder"].unfinished_key, whole.get("export.json"))
    (target / "00001-dog-wild").symlink_to(outside)
    with pytest.raises(AugmentError, match="symbolic link"):
        export(dataset, store.uri, "folder")
    assert not list(outside.iterdir())


def test_revoked_rows_are_in_no_copy(dataset: Dataset) -> None:
    revoke_classes(dataset.store, ["test"], "mislabelled")
    without = open_dataset(dataset.uri)
    for layout in LAYOUTS:
        target = open_store(f"memory://{uuid.uuid4().hex}")
        exported = export(without, target.uri, layout)
        assert exported.rows == 7
        assert not any("test" in key.partition("/")[2].partition("/")[0] for key in contents(target))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_version_that_was_collected_is_refused_before_anything_is_written(
    dataset: Dataset, layout: str
) -> None:
    revoke_classes(dataset.store, ["test"], "mislabelled")
    target = open_store(f"memory://{uuid.uuid4().hex}")
    collect(dataset.store, grace_s=0, delete=True)
    with pytest.raises(IntegrityError, match=r"revoked in version 2 \(mislabelled\).*collected since"):
        export(open_dataset(dataset.uri, 1), target.uri, layout)
    assert not contents(target)
    assert export(open_dataset(dataset.uri), target.uri, layout).rows == 7


@pytest.mark.parametrize("labels", [(0, 1, 2), (3, 7, 100_000)])
def test_the_cards_own_code_gives_the_labels_of_the_dataset_though_classes_lack_rows(
    labels: tuple[int, int, int], tmp_path: Path
) -> None:
    classes = tuple(
        ClassTarget(label=label, name=name, real=real, target=5)
        for label, name, real in zip(labels, ("cat", "dog", "emu"), (5, 2, 5), strict=True)
    )
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run(classes=classes))
    export(open_dataset(store.uri), str(tmp_path), "folder")
    code = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    *lines, last = code.replace('root = "..."', f"root = {str(tmp_path)!r}").strip().splitlines()
    scope: dict[str, Any] = {}
    exec("\n".join([*lines, f"images = {last}"]), scope)  # the code that users copy
    images = scope["images"]
    assert [label for _, label in images] == [labels[1]] * 3
    assert list(images.class_to_idx.values()) == list(labels)


def test_hugging_face_gives_a_folder_copy_the_labels_of_the_dataset(dataset: Dataset, tmp_path: Path) -> None:
    import datasets

    export(dataset, str(tmp_path / "copy"), "folder")
    loaded = datasets.load_dataset(
        str(tmp_path / "copy"), split="train", cache_dir=str(tmp_path / "cache")
    ).cast_column("image", datasets.Image(decode=False))
    assert loaded.features["label"].names == ["00000-cat", "00001-dog-wild", "00002-test"]
    assert sorted(loaded["label"]) == [1] * 7 + [2] * 4
    for row in loaded:
        assert Path(row["image"]["path"]).parent.name == loaded.features["label"].names[row["label"]]


def test_a_reader_that_would_number_classes_anew_is_stopped(dataset: Dataset, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    export(dataset, str(tmp_path), "folder")
    with pytest.raises(FileNotFoundError, match="00000-cat"):
        ImageFolder(tmp_path)
    assert set(ImageFolder(tmp_path, allow_empty=True).targets) == {1, 2}


def test_hugging_face_reads_tars_whose_first_samples_have_no_generator(tmp_path: Path) -> None:
    import datasets

    recipes: tuple[RecipeName, ...] = ("duplicate", "gan", "smote")
    classes = tuple(
        ClassTarget(label=label, name=recipe, real=1, target=7, recipe=recipe)
        for label, recipe in enumerate(recipes)
    )
    for name, order in (("up", classes), ("down", classes[::-1])):
        store = open_store(f"memory://{uuid.uuid4().hex}")
        commit_with_recipes(store, tiny_run(classes=order, shard_rows=18))
        root = tmp_path / name
        export(open_dataset(store.uri), str(root), "webdataset")
        for where in ({"path": str(root)}, {"path": "webdataset", "data_files": f"{root}/data/*.tar"}):
            loaded = datasets.load_dataset(**where, split="train", cache_dir=str(tmp_path / "cache"))
            said = {row["json"]["recipe"]: row["json"] for row in loaded.remove_columns("png")}
            assert len(loaded) == 18
            assert said["duplicate"]["digital_source_type"] == said["duplicate"]["generator_id"] == ""
            assert said["gan"]["source_images"] == [""]
            assert said["gan"]["generator_id"] == "ab" * 32
            assert said["smote"]["source_images"] == ["a.png", "b.png"]
            assert said["smote"]["digital_source_type"] == "compositeCapture"


def commit_with_recipes(store: ObjectStore, run: RunPlan) -> None:
    """As `commit`, of rows that name real images."""
    begin_run(store, run)
    for spec in run.plan.shards():
        marks = [
            RowMarks(mark.recipe, 0, ("a.png", "b.png")[: SOURCE_IMAGES[mark.recipe]])
            for mark in planned_marks(run.plan, spec)
        ]
        images = [encode(pixels, run.image_format) for pixels in pixels_of(run, spec)]
        put_shard(store, run.run_id, spec.index, spec.rows, build_shard(run, spec, images, marks))
    publish(store, seal_run(store, run), "refuse")


def test_too_many_files_are_described_by_a_glob(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MOST_DESCRIBED", 2)
    monkeypatch.setattr(describing, "MOST_DESCRIBED", 2)
    for layout in LAYOUTS:
        target = open_store(f"memory://{uuid.uuid4().hex}")
        export(dataset, target.uri, layout)
        (described,) = json.loads(target.get("croissant.json"))["distribution"]
        assert described["includes"] == [LAYOUTS[layout].data_files]
