"""The log and the diff say what happened, from stored records alone; an opened dataset never changes."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import ConfigError, InputError
from augment.objects import ObjectStore, open_store
from augment.store.history import compare_versions, version_log
from augment.store.reading import Dataset, open_dataset
from augment.store.records import version_times
from augment.store.revoke import revoke_classes, revoke_model, revoke_run
from augment.types import ClassInfo, ClassTarget
from tests.store.helpers import ROWS, SHARDS, commit, tiny_run

DOGS, TESTS = 7, 4


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def eventful(store: ObjectStore) -> None:
    """Versions: added; appended; a class revoked; replaced; appended; a run revoked."""
    runs = [tiny_run(seed=seed, source_fingerprint=f"{seed}" * 64) for seed in range(4)]
    commit(store, runs[0])
    commit(store, runs[1], "append")
    revoke_classes(store, ["test"], "blurred")
    commit(store, runs[2], "replace")
    commit(store, runs[3], "append")
    revoke_run(store, runs[2].run_id, "wrong seed")


def test_the_log_says_what_each_version_did_newest_first(store_uri: str) -> None:
    store = open_store(store_uri)
    eventful(store)
    ids = [tiny_run(seed=seed, source_fingerprint=f"{seed}" * 64).run_id for seed in range(4)]

    entries = list(version_log(store))

    assert [entry.version for entry in entries] == [6, 5, 4, 3, 2, 1]
    said = [
        [
            (change.what, change.run.run_id, change.rows, change.why, change.classes)
            for change in entry.changes
        ]
        for entry in entries
    ]
    assert said == [
        [("revoked", ids[2], ROWS, "wrong seed", ())],
        [("added", ids[3], ROWS, "", ())],
        [
            ("replaced", ids[0], DOGS, "", ()),
            ("replaced", ids[1], DOGS, "", ()),
            ("added", ids[2], ROWS, "", ()),
        ],
        [("revoked", ids[0], TESTS, "blurred", ("test",)), ("revoked", ids[1], TESTS, "blurred", ("test",))],
        [("added", ids[1], ROWS, "", ())],
        [("added", ids[0], ROWS, "", ())],
    ]
    assert [(entry.rows, entry.files) for entry in entries] == [
        (ROWS, SHARDS), (2 * ROWS, 2 * SHARDS), (ROWS, SHARDS), (2 * DOGS, 4), (2 * ROWS, 6), (ROWS, SHARDS),
    ]  # fmt: skip
    assert [entry.version for entry in version_log(store, 2)] == [2, 1]


def test_the_log_names_plan_model_source_and_the_stores_own_time(memory: ObjectStore) -> None:
    before_s = time.time()
    run = tiny_run(source_fingerprint="5" * 64)
    commit(memory, run)
    (entry,) = version_log(memory)
    (listed,) = entry.runs
    assert (listed.plan_id, listed.generator_sha256) == (run.plan.plan_id, "ab" * 32)
    assert listed.source_fingerprint == "5" * 64
    assert listed.classes == (ClassInfo(label=1, name="dog | wild"), ClassInfo(label=2, name="test"))
    assert entry.modified_s == version_times(memory)[1] >= before_s


def test_a_model_that_is_revoked_is_a_reason_for_each_of_its_runs(memory: ObjectStore) -> None:
    for seed in (1, 2):
        commit(memory, tiny_run(seed=seed), "append")
    revoke_model(memory, "ab" * 32, "a leak")
    newest = next(version_log(memory))
    assert [(change.what, change.why) for change in newest.changes] == [("revoked", "a leak")] * 2
    assert (newest.rows, newest.files, newest.runs) == (0, 0, ())


def test_a_place_without_versions_has_no_log(memory: ObjectStore) -> None:
    with pytest.raises(InputError, match="no dataset is committed"):
        list(version_log(memory))
    commit(memory, tiny_run())
    with pytest.raises(ConfigError, match="no version 7; it has version 1 alone"):
        compare_versions(memory, 1, 7)
    with pytest.raises(ConfigError, match="start at 1"):
        compare_versions(memory, 0, 1)


def test_a_diff_counts_rows_that_came_and_left_by_class(memory: ObjectStore) -> None:
    eventful(memory)
    changed = compare_versions(memory, 2, 4)
    assert [(each.name, each.before, each.added, each.removed, each.after) for each in changed.classes] == [
        ("cat", 0, 0, 0, 0),
        ("dog | wild", 2 * DOGS, DOGS, 2 * DOGS, DOGS),
        ("test", 2 * TESTS, TESTS, 2 * TESTS, TESTS),
    ]
    assert ([run.rows for run in changed.added], [run.rows for run in changed.removed]) == (
        [ROWS],
        [ROWS] * 2,
    )
    narrowed = compare_versions(memory, 2, 3)
    assert (narrowed.added, narrowed.removed, len(narrowed.narrowed)) == ((), (), 2)
    assert [(each.added, each.removed) for each in narrowed.classes] == [(0, 0), (0, 0), (0, 2 * TESTS)]


def test_a_label_that_a_replacement_gave_to_another_class_is_two_classes(memory: ObjectStore) -> None:
    commit(memory, tiny_run())
    other = ClassTarget(label=1, name="airplane", real=4, target=9)
    commit(memory, tiny_run(classes=(other,)), "replace")
    changes = compare_versions(memory, 1, 2).classes
    assert [(each.label, each.name, each.before, each.added, each.removed) for each in changes] == [
        (0, "cat", 0, 0, 0),
        (1, "airplane", 0, 5, 0),
        (1, "dog | wild", DOGS, 0, DOGS),
        (2, "test", TESTS, 0, TESTS),
    ]


@settings(max_examples=15)
@given(st.integers(1, 6), st.integers(1, 6))
def test_a_diff_is_what_reading_both_versions_shows(first: int, second: int) -> None:
    rows = [ids(open_dataset(EVENTFUL, version)) for version in (first, second)]
    changed = compare_versions(open_store(EVENTFUL), first, second)
    added = {label: len(rows[1].get(label, set()) - rows[0].get(label, set())) for label in (0, 1, 2)}
    removed = {label: len(rows[0].get(label, set()) - rows[1].get(label, set())) for label in (0, 1, 2)}
    assert {each.label: each.added for each in changed.classes} == added
    assert {each.label: each.removed for each in changed.classes} == removed
    back = compare_versions(open_store(EVENTFUL), second, first)
    assert [(each.added, each.removed) for each in back.classes] == [
        (each.removed, each.added) for each in changed.classes
    ]


def ids(dataset: Dataset) -> dict[int, set[str]]:
    """Sample ids by label, as stored."""
    found: dict[int, set[str]] = {}
    for table in dataset.tables(["label", "sample_id"]):
        for row in table.to_pylist():
            found.setdefault(row["label"], set()).add(row["sample_id"])
    return found


EVENTFUL = f"memory://{uuid.uuid4().hex}"
eventful(open_store(EVENTFUL))


# ---- time-stable reads ----------------------------------------------------------------------------------


def test_an_opened_dataset_reads_the_same_rows_while_writers_append_replace_and_revoke(
    store_uri: str,
) -> None:
    store = open_store(store_uri)
    commit(store, tiny_run(seed=0))
    opened = open_dataset(store_uri)
    samples, files, frame = opened.to_torch(cached_shards=1), opened.files, opened.to_pandas()
    half_read = opened.tables()
    first = next(half_read)

    commit(store, tiny_run(seed=1), "append")
    revoke_classes(store, ["dog | wild"], "why")
    commit(store, tiny_run(seed=2), "replace")
    revoke_run(store, tiny_run(seed=2).run_id, "why")

    assert open_dataset(store_uri).rows == 0
    assert (opened.version, opened.rows, opened.files) == (1, ROWS, files)
    assert opened.to_pandas().equals(frame)
    assert [first.num_rows, *(table.num_rows for table in half_read)] == [4, 4, 3]
    assert [label for _, label in (samples[row] for row in range(ROWS))] == frame["label"].tolist()
    assert open_dataset(f"{store_uri}@1").to_pandas().equals(frame)
