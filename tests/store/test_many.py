"""Runs of many classes and of many shards: what is planned of them, and what a commit costs."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest

from augment.errors import ConfigError
from augment.objects import MemoryStore, ObjectStore
from augment.planning.config import BalanceConfig
from augment.planning.plan import make_plan
from augment.store import commit
from augment.store.commit import begin_run, make_run_plan, missing_shards, publish, put_shard, seal_run
from augment.store.reading import open_dataset
from augment.store.records import MAX_JSON_BYTES, MOST_SHARDS, manifest_key, plan_key, stored_manifest
from augment.types import AugmentPlan, ClassCounts, ClassInfo, ImageShape, RunPlan

CLASSES = 10_000


class Counting(MemoryStore):
    """Counts what is asked of it, by method."""

    def __init__(self) -> None:
        super().__init__(f"memory://{uuid.uuid4().hex}")
        self.asked: Counter[str] = Counter()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.asked["put"] += 1
        return super().put_if_absent(key, data)

    def put(self, key: str, data: bytes) -> None:
        self.asked["put"] += 1
        super().put(key, data)


def plan_of(counts: list[int], shard_rows: int) -> AugmentPlan:
    classes = tuple(ClassInfo(label=label, name=f"class {label}") for label in range(len(counts)))
    return make_plan(
        ClassCounts(classes=classes, counts=tuple(counts)), BalanceConfig(min_real=1),
        image=ImageShape(size=16, channels=1), seed=0, shard_rows=shard_rows, batch_size=4,
    )  # fmt: skip


def made(store: ObjectStore, plan: AugmentPlan) -> RunPlan:
    """A run of this plan with all its shards, which are empty: the protocol looks at keys and sizes alone."""
    run = make_run_plan(
        plan, generator_sha256="ab" * 32, image_format="png", augmentation=None, versions={"torch": "2.6.0"}
    )
    begin_run(store, run)
    for index in missing_shards(store, run):
        put_shard(store, run.run_id, index, plan.rows_of(index), b"")
    return run


def committed(store: ObjectStore, run: RunPlan) -> Any:
    return publish(store, seal_run(store, run), "refuse")


def test_ten_thousand_classes_of_a_long_tail_are_planned_made_and_read() -> None:
    """The class of rank k has ⌈200 / k⌉ images (Zipf's law): all are filled up to 200."""
    counts = [-(-200 // rank) for rank in range(1, CLASSES + 1)]
    plan, store = plan_of(counts, shard_rows=5_000), Counting()

    run = made(store, plan)
    snapshot = committed(store, run)

    assert snapshot.rows == plan.rows == sum(200 - count for count in counts)
    assert plan.num_shards == -(-plan.rows // 5_000)
    dataset = open_dataset(store.uri)
    assert [row.synthetic for row in dataset.balance()] == [200 - count for count in counts]
    assert len(store.get(plan_key(run.run_id))) < 2 << 20
    # A shard knows its few classes at once, however many there are before them.
    last = plan.shard(plan.num_shards - 1)
    assert last.pieces[-1].class_index == CLASSES - 1
    assert len(last.pieces) <= 1 + 5_000 // 199 + 1


def test_a_snapshot_is_one_put_and_a_manifest_another_however_many_shards_there_are() -> None:
    store = Counting()
    run = made(store, plan_of([20_001, 1], shard_rows=10))
    assert run.plan.num_shards == 2_000
    store.asked.clear()

    manifest = seal_run(store, run)
    assert store.asked["put"] == 1
    publish(store, manifest, "refuse")
    assert store.asked["put"] == 2


def test_a_manifest_of_as_many_shards_as_may_be_planned_can_be_read() -> None:
    """Bytes a shard, of the longest keys and numbers that there are."""
    store = Counting()
    run = made(store, plan_of([20_001, 1], shard_rows=10))
    committed(store, run)

    each = len(store.get(manifest_key(run.run_id))) / run.plan.num_shards
    longest = each + len("999999999999") + len("999999") * 2  # size_bytes, rows, index and the key's index
    assert longest * MOST_SHARDS <= MAX_JSON_BYTES


def test_a_manifest_that_nobody_could_read_is_not_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Counting()
    run = made(store, plan_of([1, 40], shard_rows=1))
    monkeypatch.setattr(commit, "MAX_JSON_BYTES", 1_000)

    with pytest.raises(ConfigError, match=r"above 1,000; raise output\.shard_rows"):
        seal_run(store, run)

    assert stored_manifest(store, run.run_id) is None
