"""What is revoked leaves the next version and its files for good; who asks for what is not there is told so."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import ConfigError, InputError
from augment.objects import ObjectStore, open_store
from augment.store.commit import (
    begin_run,
    check_existing,
    list_shards,
    make_run_plan,
    missing_shards,
    publish,
    seal_run,
)
from augment.store.reading import open_dataset
from augment.store.records import latest_snapshot, read_manifest
from augment.store.revoke import Revoked, revoke_classes, revoke_model, revoke_run
from augment.store.shards import parse_shard_key
from augment.store.verification import verify
from augment.types import AugmentPlan, ClassTarget, ImageShape
from tests.store.helpers import ROWS, WatchedStore, commit, pixels_of, tiny_run
from tests.store.revoking import DOGS, OTHER_MODEL, REVOCATIONS, TESTS, assert_sound, listed, with_model


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


# ---- on every store -----------------------------------------------------------------------------------


def test_a_class_vanishes_from_the_files_that_any_reader_is_given(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    commit(store, run)
    before = list(store.list())

    done = revoke_classes(store, ["dog | wild"], "cats among them")

    assert (done.made, done.rows, done.snapshot.version, done.snapshot.rows) == (True, DOGS, 2, TESTS)
    dataset = open_dataset(store_uri)
    assert dataset.counts() == {"cat": 0, "dog | wild": 0, "test": TESTS}
    assert dataset.to_pandas()["label_name"].tolist() == ["test"] * TESTS
    assert [sample[1] for sample in dataset.to_torch()] == [2] * TESTS
    assert [shard.index for shard in dataset.shards] == [1, 2]
    assert dataset.shards[1] == open_dataset(store_uri, 1).shards[2]  # as it was
    assert set(before) <= set(store.list())  # nothing is deleted
    assert_sound(store, TESTS)


def test_a_run_and_a_model_leave_whole(store_uri: str) -> None:
    store = open_store(store_uri)
    runs = [tiny_run(seed=1), with_model(tiny_run(seed=2), OTHER_MODEL), tiny_run(seed=3)]
    for run in runs:
        commit(store, run, "append")

    by_run = revoke_run(store, runs[0].run_id[:9], "seed 1 was a test")
    by_model = revoke_model(store, OTHER_MODEL[:8], "trained on a leak")

    assert (by_run.rows, by_run.snapshot.version) == (ROWS, 4)
    assert by_model.snapshot.revoked == (*by_run.revocations, *by_model.revocations)
    assert listed(store) == [runs[2].run_id]
    assert_sound(store, ROWS)


def test_the_same_revocation_again_finds_itself_done(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    commit(store, run)
    revocations: list[Callable[[], Revoked]] = [
        lambda: revoke_classes(store, ["test"], "first"),
        lambda: revoke_run(store, run.run_id, "second"),
    ]
    for revocation in revocations:
        first = revocation()
        there = list(store.list())
        again = revocation()
        assert (again.made, again.rows, again.snapshot) == (False, 0, first.snapshot)
        assert again.revocations == first.revocations
        assert list(store.list()) == there


def test_two_revokers_and_a_publisher_that_race_all_succeed(store_uri: str) -> None:
    first, other = tiny_run(seed=1), tiny_run(seed=2)
    commit(open_store(store_uri), first)
    works: list[Callable[[ObjectStore], object]] = [
        lambda store: revoke_classes(store, ["test"], "one"),
        lambda store: revoke_classes(store, ["test"], "two"),
        lambda store: commit(store, other, "append"),
    ]
    with ThreadPoolExecutor(len(works)) as pool:
        list(pool.map(lambda work: work(open_store(store_uri)), works))
    store = open_store(store_uri)
    dataset = open_dataset(store_uri)
    assert {run.plan.run_id for run in dataset.runs} == {first.run_id, other.run_id}
    assert dataset.runs[0].manifest.without == (2,)
    assert dataset.counts()["test"] in (0, TESTS)  # the other run's, where it came later
    assert_sound(store, dataset.rows)


# ---- what leaves, and what stays ----------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
    st.integers(1, 7),
    st.data(),
)
def test_revoking_any_classes_in_any_order_leaves_exactly_the_other_rows(
    synthetic: list[int], shard_rows: int, data: st.DataObject
) -> None:
    classes = tuple(
        ClassTarget(label=label, name=f"c{label}", real=1, target=1 + count)
        for label, count in enumerate(synthetic)
    )
    run = tiny_run(classes=classes, shard_rows=shard_rows)
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, run)
    filled = [label for label, count in enumerate(synthetic) if count]
    revoked = data.draw(st.lists(st.sampled_from(filled), unique=True))
    for label in revoked:
        revoke_classes(store, [f"c{label}"], f"{label} is wrong")
    left = [(label, index) for label, count in enumerate(synthetic) for index in range(count)]
    expected = [pair for pair in left if pair[0] not in revoked]
    tables = list(open_dataset(store.uri).tables(["label", "sample_index"]))
    found = [(row["label"], row["sample_index"]) for table in tables for row in table.to_pylist()]
    assert found == expected
    assert_sound(store, len(expected))


def test_the_order_of_revocations_leaves_the_same_files() -> None:
    orders = [["dog | wild", "red"], ["red", "dog | wild"]]
    extra = ClassTarget(label=3, name="red", real=1, target=6)
    run = tiny_run(classes=(*tiny_run().plan.classes, extra))
    files = []
    for order in orders:
        store = open_store(f"memory://{uuid.uuid4().hex}")
        commit(store, run)
        for name in order:
            revoke_classes(store, [name], "why")
        files.append([shard.key for shard in open_dataset(store.uri).shards])
        assert open_dataset(store.uri).runs[0].manifest.without == (1, 3)
        assert_sound(store, TESTS)
    assert files[0] == files[1]


def test_a_rewritten_shard_has_the_columns_schema_and_pixels_of_the_original(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), tiny_run()
    commit(store, run)
    revoke_classes(store, ["dog | wild"], "why")
    first, rewritten = open_dataset(store.uri, 1).files[1], open_dataset(store.uri).files[0]
    assert pq.read_schema(rewritten).equals(pq.read_schema(first), check_metadata=True)
    assert pq.read_table(rewritten).equals(pq.read_table(first).slice(3))
    image, _ = open_dataset(store.uri).to_torch()[0]
    assert (image.numpy() == pixels_of(run, run.plan.shard(1))[3].transpose(2, 0, 1)).all()


def test_a_run_of_which_nothing_is_left_is_listed_no_more(memory: ObjectStore) -> None:
    commit(memory, tiny_run())
    done = revoke_classes(memory, ["dog | wild", "test"], "all wrong")
    assert (done.snapshot.runs, done.snapshot.rows) == ((), 0)
    assert not revoke_classes(memory, ["test"], "all wrong").made
    assert_sound(memory, 0)


def test_a_class_that_a_later_run_brings_again_can_be_revoked_again(memory: ObjectStore) -> None:
    commit(memory, tiny_run(seed=1))
    revoke_classes(memory, ["test"], "blurred")
    commit(memory, tiny_run(seed=2), "append")
    assert open_dataset(memory.uri).counts()["test"] == TESTS
    assert revoke_classes(memory, ["test"], "still blurred").rows == TESTS
    assert_sound(memory, 2 * DOGS)


def test_sealing_again_adopts_the_first_manifest_though_rewritten_shards_lie_beside_the_originals(
    memory: ObjectStore,
) -> None:
    run = tiny_run()
    commit(memory, run)
    whole = read_manifest(memory, run.run_id)
    revoke_classes(memory, ["test"], "why")
    of_shard_1 = [
        key for found in memory.list("data/") if (key := parse_shard_key(found.key)) and key.index == 1
    ]
    assert len(of_shard_1) == 2
    chosen = list_shards(memory, run)[1].sha256
    assert chosen == min(key.sha256 for key in of_shard_1)  # what a seal would take, were it the first
    assert begin_run(memory, run).manifest == whole.record
    assert missing_shards(memory, run) == []
    assert seal_run(memory, run) == whole.record
    assert read_manifest(memory, run.run_id).sha256 == whole.sha256


# ---- nothing comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", REVOCATIONS)
@pytest.mark.parametrize("replaced", [False, True])
def test_what_was_revoked_is_never_published_again(memory: ObjectStore, kind: str, replaced: bool) -> None:
    run = tiny_run(seed=1)
    commit(memory, run)
    revoke = REVOCATIONS[kind]
    revoke(memory)
    if replaced:
        commit(memory, with_model(tiny_run(seed=2), OTHER_MODEL), "replace")
    message = r"revoked by version 2 \(why\), and does not come back; set .*a new `name` for another model"
    for attempt in (
        lambda: check_existing(memory, run.run_id, "append", run.plan, run.generator_sha256),
        lambda: publish(memory, read_manifest(memory, run.run_id).record, "append"),
        lambda: commit(memory, run, "replace"),
    ):
        with pytest.raises(ConfigError, match=message):
            attempt()
    assert verify(memory.uri, deep=True).ok


def test_another_run_of_a_revoked_model_is_refused(memory: ObjectStore) -> None:
    commit(memory, tiny_run(seed=1))
    revoke_model(memory, "ab" * 32, "a leak")
    with pytest.raises(ConfigError, match=r"the model abababababab was revoked by version 2 \(a leak\)"):
        commit(memory, tiny_run(seed=2), "append")


def test_a_publisher_that_began_before_the_revocation_is_refused(memory: ObjectStore) -> None:
    commit(memory, tiny_run(seed=1))
    late = tiny_run(seed=2)
    count = WatchedStore(open_store(f"memory://{uuid.uuid4().hex}"))
    commit(count, late, "append")
    refused = 0
    for operation in range(count.operations + 2):
        store = open_store(f"memory://{uuid.uuid4().hex}")
        commit(store, tiny_run(seed=1))

        def act(n: int, store: ObjectStore = store, operation: int = operation) -> None:
            if n == operation:
                revoke_model(store, "ab" * 32, "a leak")

        try:
            commit(WatchedStore(store, before=act), late, "append")
        except ConfigError:
            refused += 1
        newest = latest_snapshot(store)
        assert newest is not None
        assert not (newest.record.revoked and newest.record.runs), f"at operation {operation}"
        assert verify(store.uri, deep=True).ok
    assert refused


# ---- wrong calls --------------------------------------------------------------------------------------


def test_a_wrong_name_is_told_what_there_is(memory: ObjectStore) -> None:
    with pytest.raises(InputError, match="nothing to revoke"):
        revoke_run(memory, "0123456789abcdef", "why")
    run = tiny_run()
    commit(memory, run)
    for wrong, named in [
        (lambda: revoke_run(memory, "0000000000000000", "why"), f"names no run at memory:.*{run.run_id}"),
        (lambda: revoke_run(memory, run.run_id[:7], "why"), f"at least 8 digits of one of {run.run_id}"),
        (lambda: revoke_model(memory, "ffffffffff", "why"), "ab" * 32),
        (lambda: revoke_model(memory, ("ab" * 32).upper(), "why"), "ab" * 32),
        (
            lambda: revoke_classes(memory, ["test", "bird"], "why"),
            r"no rows of 'bird' to revoke.*'dog \| wild', 'test'",
        ),
        (lambda: revoke_classes(memory, ["cat"], "why"), "no rows of 'cat'"),  # it needed none
        (lambda: revoke_run(memory, run.run_id, "  "), "--why"),
    ]:
        with pytest.raises(ConfigError, match=named):
            wrong()
    assert open_dataset(memory.uri).version == 1


def test_where_nothing_was_made_by_a_model_no_digits_are_asked_for(memory: ObjectStore) -> None:
    classes = (ClassTarget(label=0, name="cat", real=2, target=4, recipe="smote"),)
    plan = AugmentPlan(
        seed=7, image=ImageShape(size=16, channels=3), classes=classes, shard_rows=4, batch_size=4
    )
    commit(
        memory,
        make_run_plan(plan, generator_sha256=None, image_format="png", augmentation=None, versions={}),
    )
    with pytest.raises(ConfigError, match=r"'none' names no model.*: nothing here was made by one$"):
        revoke_model(memory, "none", "why")


def test_a_prefix_of_two_runs_is_ambiguous(memory: ObjectStore) -> None:
    runs = [tiny_run(seed=seed).model_copy(update={"run_id": f"0123456789{seed}"}) for seed in (1, 2)]
    for run in runs:
        commit(memory, run, "append")
    with pytest.raises(ConfigError, match=r"more than one run.*01234567891, 01234567892; give more"):
        revoke_run(memory, "0123456789", "why")
    assert revoke_run(memory, "01234567891", "why").rows == ROWS
