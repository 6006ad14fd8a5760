"""Every kind of damage is found and its key is named; a sound dataset has no problems."""

from __future__ import annotations

import dataclasses
import uuid

import numpy as np
import pytest

from augment.errors import InputError, IntegrityError
from augment.objects import ObjectStore, open_store
from augment.store.commit import begin_run, publish, put_shard, seal_run
from augment.store.reading import open_dataset
from augment.store.records import manifest_key, plan_key, snapshot_key
from augment.store.shards import build_shard, shard_key
from augment.store.verification import verify
from augment.types import ClassTarget, Manifest, RunPlan, Snapshot, SnapshotRun, sha256_hex
from tests.store.helpers import ROWS, SHARDS, commit, encode, make_shard, shard_bytes, tiny_run


@pytest.fixture
def store() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def problem(store: ObjectStore, deep: bool = False, version: int | None = None) -> str:
    """The one problem of a damaged dataset."""
    report = verify(store.uri, version, deep=deep)
    assert not report.ok
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def test_a_chain_of_versions_is_sound(store: ObjectStore) -> None:
    for seed in range(3):
        commit(store, tiny_run(seed=seed), "append")
    report = verify(store.uri, deep=True)
    assert (report.ok, report.version, report.rows, report.files) == (True, 3, 3 * ROWS, 3 * SHARDS)
    assert verify(f"{store.uri}@2").version == 2


def test_stragglers_and_unsealed_runs_are_no_problem(store: ObjectStore) -> None:
    run = tiny_run()
    commit(store, run)
    put_shard(store, run.run_id, 0, 4, b"other bytes")
    begin_run(store, tiny_run(seed=9))
    make_shard(store, tiny_run(seed=9), 0)
    assert verify(store.uri, deep=True).ok


@pytest.mark.parametrize("deep", [False, True])
def test_a_missing_shard_is_found(store: ObjectStore, deep: bool) -> None:
    commit(store, tiny_run())
    key = open_dataset(store.uri).shards[1].key
    store.delete(key)
    problems = verify(store.uri, deep=deep).problems
    assert problems
    assert all(key in text and "missing" in text for text in problems)


def test_a_truncated_shard_is_found_by_its_size(store: ObjectStore) -> None:
    commit(store, tiny_run())
    key = open_dataset(store.uri).shards[1].key
    store.put(key, store.get(key)[:-10])
    assert key in problem(store)


def test_a_flipped_bit_is_found_deep(store: ObjectStore) -> None:
    commit(store, tiny_run())
    key = open_dataset(store.uri).shards[1].key
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    assert verify(store.uri).ok
    assert key in problem(store, deep=True)


def test_a_foreign_file_beside_the_shards_is_found(store: ObjectStore) -> None:
    commit(store, tiny_run())
    for key in (
        f"data/{tiny_run().run_id}/notes.txt",
        "data/stray.parquet",
        shard_key("f" * 16, 0, "0" * 64),
    ):
        store.put(key, b"")
        assert f"{key} is not a shard of this dataset" in problem(store)
        store.delete(key)
    assert verify(store.uri).ok


@pytest.mark.parametrize("key", [plan_key, manifest_key])
@pytest.mark.parametrize("content", [None, b"{}"])
def test_a_missing_or_changed_record_is_found(store: ObjectStore, key: object, content: bytes | None) -> None:
    commit(store, tiny_run())
    name = key(tiny_run().run_id)  # type: ignore[operator]
    store.delete(name)
    if content is not None:
        store.put(name, content)
    assert name in problem(store)


def test_a_changed_ancestor_is_found(store: ObjectStore) -> None:
    for seed in range(3):
        commit(store, tiny_run(seed=seed), "append")
    store.put(snapshot_key(1), store.get(snapshot_key(1)) + b" ")
    assert snapshot_key(1) in problem(store)
    assert "version 2 pins" in problem(store)


def test_a_missing_ancestor_is_found(store: ObjectStore) -> None:
    for seed in range(3):
        commit(store, tiny_run(seed=seed), "append")
    store.delete(snapshot_key(2))
    assert f"{snapshot_key(2)} is missing" in problem(store)


def test_a_first_version_with_a_parent_is_found(store: ObjectStore) -> None:
    snapshot = commit(store, tiny_run())
    store.put(snapshot_key(1), snapshot.model_copy(update={"parent_sha256": "a" * 64}).to_json())
    assert "names a parent" in problem(store)


def test_a_corrupt_newest_version_is_an_error(store: ObjectStore) -> None:
    commit(store, tiny_run())
    store.put(snapshot_key(1), b"{}")
    with pytest.raises(IntegrityError, match=snapshot_key(1)):
        verify(store.uri)


def test_a_place_with_no_dataset_is_an_input_error(store: ObjectStore) -> None:
    with pytest.raises(InputError, match=r"augment run"):
        verify(store.uri)


# ---- what only a wrong writer could commit --------------------------------------------------------------


def publish_shards(store: ObjectStore, run: RunPlan, shards: list[bytes]) -> None:
    begin_run(store, run)
    for index, data in enumerate(shards):
        put_shard(store, run.run_id, index, run.plan.shard(index).rows, data)
    publish(store, seal_run(store, run), "refuse")


def good_shards(run: RunPlan) -> list[bytes]:
    return [shard_bytes(run, index) for index in range(SHARDS)]


def test_images_of_another_size_are_found(store: ObjectStore) -> None:
    run = tiny_run()
    wrong = build_shard(run, run.plan.shard(0), [encode(np.zeros((8, 8, 3), np.uint8), "png")] * 4)
    publish_shards(store, run, [wrong, *good_shards(run)[1:]])
    assert "8×8 pixels, not 16×16" in problem(store, deep=True)


@pytest.mark.parametrize("image", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_images_that_do_not_decode_are_found(store: ObjectStore, image: bytes) -> None:
    run = tiny_run()
    shards = good_shards(run)
    good = encode(np.zeros((16, 16, 3), np.uint8), "png")
    shards[2] = build_shard(run, run.plan.shard(2), [good, image or good[:-30], good])
    publish_shards(store, run, shards)
    assert "is not a readable PNG or WebP" in problem(store, deep=True)


def test_samples_of_another_run_are_found(store: ObjectStore) -> None:
    run, other = tiny_run(seed=1), tiny_run(seed=2)
    publish_shards(store, run, [shard_bytes(other, 0), *good_shards(run)[1:]])
    problems = verify(store.uri, deep=True).problems
    named = [
        name
        for name in ("sample_id", "seed", "image.path")
        if any(f"column {name} " in text for text in problems)
    ]
    assert named == ["sample_id", "seed", "image.path"]
    assert len(problems) == 3


def test_a_shard_in_anothers_place_is_found(store: ObjectStore) -> None:
    run = tiny_run()
    shards = good_shards(run)
    publish_shards(store, run, [shards[0], shards[0], shards[2]])
    assert any("column sample_id" in text for text in verify(store.uri, deep=True).problems)


def test_a_short_shard_is_found(store: ObjectStore) -> None:
    run = tiny_run()
    shards = good_shards(run)
    publish_shards(store, run, [shards[2], *shards[1:]])
    assert "has 3 rows, not the plan's 4" in problem(store, deep=True)


def test_what_is_no_parquet_is_found(store: ObjectStore) -> None:
    run = tiny_run()
    publish_shards(store, run, [b"PAR1 but not really", *good_shards(run)[1:]])
    assert "is not readable Parquet" in problem(store, deep=True)


def test_other_columns_or_features_are_found(store: ObjectStore) -> None:
    run = tiny_run()
    renamed = tuple(target.model_copy(update={"name": f"{target.name}!"}) for target in run.plan.classes)
    other = tiny_run(classes=renamed)
    publish_shards(store, run, [shard_bytes(other, 0), *good_shards(run)[1:]])
    assert "other columns, types or features" in problem(store, deep=True)


def test_classes_that_share_a_label_are_found(store: ObjectStore) -> None:
    twins = (
        ClassTarget(label=1, name="a", real=1, target=3),
        ClassTarget(label=1, name="a", real=1, target=3),
    )
    run = tiny_run(classes=twins)
    publish_shards(store, run, [shard_bytes(run, 0)])
    assert "sample ids repeat" in problem(store)


def test_a_manifest_that_is_not_its_plans_is_found(store: ObjectStore) -> None:
    run = tiny_run()
    begin_run(store, run)
    for index in range(SHARDS):
        make_shard(store, run, index)
    whole = seal_run(store, run)
    halved = dataclasses.replace(whole.shards[0], rows=2)
    for shards, rows, text in [
        (whole.shards[:2], 8, "does not list shards 0 to 2"),
        ((halved, *whole.shards[1:]), 9, "listed with 2 rows"),
        (whole.shards, 99, "has other rows in its manifest"),
    ]:
        manifest = Manifest(
            run_id=run.run_id, status="committed", plan_sha256=sha256_hex(run.to_json()), shards=shards
        )
        listed = SnapshotRun(run_id=run.run_id, manifest_sha256=sha256_hex(manifest.to_json()), rows=rows)
        store.put(manifest_key(run.run_id), manifest.to_json())
        store.put(snapshot_key(1), Snapshot(version=1, parent_sha256=None, runs=(listed,)).to_json())
        assert text in problem(store)
