"""What a top-up starts from: rows of the newest version, indices after every version's."""

from __future__ import annotations

import contextlib
import uuid

import pytest

from augment.errors import ConfigError, RetryLaterError
from augment.objects import ObjectStore, open_store
from augment.store.collect import collect
from augment.store.commit import begin_run, check_existing, publish, seal_run
from augment.store.existing import existing_rows
from augment.store.reading import open_dataset
from augment.store.revoke import revoke_classes, revoke_run
from augment.store.verification import verify
from augment.types import ClassTarget, ExistingRows, RunPlan
from tests.store.helpers import CLASSES, WatchedStore, commit, make_shard, tiny_run


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def held(label: int, name: str, rows: int, next_index: int) -> ExistingRows:
    return ExistingRows(label=label, name=name, rows=rows, next_index=next_index)


def top_up(store: ObjectStore, wanted: int, seed: int = 7) -> RunPlan:
    """A run that brings dogs to `wanted` synthetic rows, planned from what is there now."""
    there = {rows.label: rows for rows in existing_rows(store)}
    dogs = there.get(1, held(1, "dog | wild", 0, 0))
    target = ClassTarget(
        label=1, name="dog | wild", real=2, target=2 + wanted, existing=dogs.rows, first=dogs.next_index
    )
    return tiny_run(seed=seed, classes=(target,))


def test_an_empty_store_holds_nothing(store_uri: str) -> None:
    assert existing_rows(open_store(store_uri)) == ()


def test_rows_are_the_newest_versions_and_indices_go_on_after_all(memory: ObjectStore) -> None:
    commit(memory, tiny_run(seed=1))
    assert existing_rows(memory) == (
        held(0, "cat", 0, 0), held(1, "dog | wild", 7, 7), held(2, "test", 4, 4),
    )  # fmt: skip
    commit(memory, top_up(memory, 10), "top-up")
    commit(memory, tiny_run(seed=2), "append")  # begins at 0 again
    assert existing_rows(memory)[1:] == (held(1, "dog | wild", 17, 10), held(2, "test", 8, 4))
    revoke_classes(memory, ["dog | wild"], "why")
    assert existing_rows(memory)[1:] == (held(1, "dog | wild", 0, 10), held(2, "test", 8, 4))
    commit(memory, tiny_run(seed=3), "replace")
    revoke_run(memory, tiny_run(seed=3).run_id, "why")
    assert existing_rows(memory)[1:] == (held(1, "dog | wild", 0, 10), held(2, "test", 0, 4))


def test_top_ups_repeat_no_index_and_end_at_the_target(memory: ObjectStore) -> None:
    for wanted in (3, 8, 21):
        commit(memory, top_up(memory, wanted), "top-up")
    revoke_classes(memory, ["dog | wild"], "why")
    commit(memory, top_up(memory, 5), "top-up")
    seen = [
        index
        for version in (3, 5)
        for table in open_dataset(memory.uri, version).tables(["sample_index"])
        for index in table["sample_index"].to_pylist()
    ]
    assert sorted(seen) == list(range(26))
    assert open_dataset(memory.uri).counts() == {"dog | wild": 5}
    assert verify(memory.uri, deep=True).ok


def test_a_top_up_that_was_killed_is_planned_the_same_and_resumed(memory: ObjectStore) -> None:
    commit(memory, tiny_run())
    run = top_up(memory, 20)
    begin_run(memory, run)
    make_shard(memory, run, 1)
    assert top_up(memory, 20) == run  # only published rows count
    commit(memory, run, "top-up")
    assert open_dataset(memory.uri).counts()["dog | wild"] == 20
    assert top_up(memory, 20).plan.rows == 0


def test_a_top_up_of_an_empty_dataset_is_the_run_that_refuse_makes(memory: ObjectStore) -> None:
    first = commit(memory, tiny_run(), "top-up")
    assert commit(memory, tiny_run(), "refuse") == first


@pytest.mark.parametrize("revoked", [False, True])
def test_a_version_that_came_between_is_told_to_plan_again(memory: ObjectStore, revoked: bool) -> None:
    commit(memory, tiny_run(seed=1))
    run = top_up(memory, 20)
    begin_run(memory, run)
    for index in range(run.plan.num_shards):
        make_shard(memory, run, index)
    manifest = seal_run(memory, run)
    commit(memory, tiny_run(seed=2, classes=top_up(memory, 9).plan.classes), "append")
    if revoked:  # as many rows as before, but their noise is spent
        revoke_run(memory, open_dataset(memory.uri).runs[-1].plan.run_id, "why")
    with pytest.raises(RetryLaterError, match="run the same command again") as caught:
        publish(memory, manifest, "top-up")
    assert caught.value.exit_code == 75
    commit(memory, top_up(memory, 20), "top-up")
    assert open_dataset(memory.uri).counts()["dog | wild"] == 20


def test_a_top_up_that_lost_a_race_is_not_sealed_so_that_it_can_be_collected(memory: ObjectStore) -> None:
    commit(memory, tiny_run(seed=1))
    late = top_up(memory, 20)
    begin_run(memory, late)
    for index in range(late.plan.num_shards):
        make_shard(memory, late, index)
    commit(memory, top_up(memory, 12, seed=2), "top-up")
    with pytest.raises(RetryLaterError, match="run the same command again"):
        seal_run(memory, late, "top-up")
    assert collect(memory, grace_s=0, delete=True).objects == late.plan.num_shards
    assert verify(memory.uri, deep=True).ok


def test_of_two_drivers_that_top_up_at_once_one_wins_at_every_operation(memory: ObjectStore) -> None:
    reference = WatchedStore(open_store(f"memory://{uuid.uuid4().hex}"))
    commit(reference, tiny_run(seed=1), "top-up")
    for operation in range(reference.operations):
        store = open_store(f"memory://{uuid.uuid4().hex}")
        commit(store, tiny_run(seed=1))
        ours, theirs = top_up(store, 12, seed=2), top_up(store, 12, seed=3)

        def act(
            n: int, store: ObjectStore = store, operation: int = operation, run: RunPlan = theirs
        ) -> None:
            if n == operation:
                commit(store, run, "top-up")

        with contextlib.suppress(RetryLaterError):
            commit(WatchedStore(store, before=act), ours, "top-up")
        assert open_dataset(store.uri).counts()["dog | wild"] == 12, f"at operation {operation}"


def test_a_top_up_of_other_classes_is_refused_early(memory: ObjectStore) -> None:
    commit(memory, tiny_run())
    renamed = tuple(target.model_copy(update={"name": f"{target.name}!"}) for target in CLASSES)
    other = tiny_run(seed=9, classes=renamed)
    with pytest.raises(ConfigError, match="label 0 is 'cat', and here it is 'cat!'"):
        check_existing(memory, other.run_id, "top-up", other.plan)
