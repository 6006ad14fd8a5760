"""The commit protocol, straight, resumed, raced and crashed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError, IntegrityError, PartialError, RetryLaterError
from augment.objects import ObjectStore, open_store
from augment.store.commit import (
    ExistingPolicy,
    begin_run,
    check_existing,
    list_shards,
    make_run_plan,
    missing_shards,
    publish,
    put_shard,
    seal_run,
)
from augment.store.reading import open_dataset
from augment.store.records import latest_snapshot, manifest_key, plan_key, snapshot_key
from augment.store.shards import shard_key
from augment.store.verification import verify
from augment.types import Manifest, sha256_hex
from tests.store.helpers import (
    ROWS,
    SHARDS,
    CrashError,
    WatchedStore,
    commit,
    crash_at,
    make_shard,
    shard_bytes,
    tiny_run,
)


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(prefix)]


# ---- the straight path, on every store ------------------------------------------------------------------


def test_a_whole_run_is_committed_and_found_sound(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    snapshot = commit(store, run)
    assert (snapshot.version, snapshot.parent_sha256, snapshot.rows) == (1, None, ROWS)
    assert len(keys(store, "data/")) == SHARDS
    assert set(keys(store)) - set(keys(store, "data/")) == {
        plan_key(run.run_id),
        manifest_key(run.run_id),
        snapshot_key(1),
    }
    report = verify(store_uri, deep=True)
    assert (report.ok, report.version, report.rows, report.files) == (True, 1, ROWS, SHARDS), report.problems


def test_running_again_changes_nothing(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    first = commit(store, run)
    before = list(store.list())
    assert commit(store, run) == first
    assert commit(store, run, "append") == first
    assert list(store.list()) == before


def test_a_killed_run_makes_only_what_is_missing(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    assert begin_run(store, run).manifest is None
    make_shard(store, run, 1)
    assert missing_shards(store, run) == [0, 2]
    with pytest.raises(PartialError, match=r"2 of 3 shards are missing \(0, 2\).*again"):
        seal_run(store, run)
    assert commit(store, run).rows == ROWS
    assert verify(store_uri, deep=True).ok


def test_two_drivers_of_one_run_commit_it_once(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    with ThreadPoolExecutor(2) as pool:
        snapshots = list(pool.map(lambda _: commit(open_store(store_uri), run), range(2)))
    assert snapshots[0] == snapshots[1]
    assert keys(store, "_snapshots/") == [snapshot_key(1)]
    assert verify(store_uri, deep=True).rows == ROWS


def test_publishers_that_race_each_find_the_others(store_uri: str) -> None:
    runs = [tiny_run(seed=seed) for seed in range(4)]
    store = open_store(store_uri)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: commit(open_store(store_uri), run, "append"), runs))
    latest = latest_snapshot(store)
    assert latest is not None
    assert latest.record.version == 4
    assert {listed.run_id for listed in latest.record.runs} == {run.run_id for run in runs}
    report = verify(store_uri, deep=True)
    assert (report.ok, report.rows) == (True, 4 * ROWS), report.problems


# ---- crashes and races at every operation ---------------------------------------------------------------


def count_operations() -> int:
    watched = WatchedStore(open_store(f"memory://{uuid.uuid4().hex}"))
    commit(watched, tiny_run())
    return watched.operations


@pytest.mark.parametrize("acknowledged", [False, True], ids=["before", "after"])
def test_a_crash_at_any_operation_is_resumed_to_the_same_dataset(acknowledged: bool) -> None:
    run = tiny_run()
    reference = open_store(f"memory://{uuid.uuid4().hex}")
    commit(reference, run)
    operations = count_operations()
    assert operations >= 8
    for operation in range(operations):
        store = open_store(f"memory://{uuid.uuid4().hex}")
        watch = crash_at(operation)
        crashing = WatchedStore(store, after=watch) if acknowledged else WatchedStore(store, before=watch)
        with pytest.raises(CrashError):
            commit(crashing, run)
        commit(store, run)
        assert list(store.list()) == list(reference.list()), f"crashed at operation {operation}"
        assert verify(store.uri, deep=True).ok


@pytest.mark.parametrize("policy", ["append", "replace"])
def test_a_second_driver_at_any_operation_does_no_harm(policy: ExistingPolicy) -> None:
    """Another driver of the same run, and one of another run, act at every operation of the first."""
    run, other = tiny_run(seed=1), tiny_run(seed=2)
    for operation in range(count_operations()):
        store = open_store(f"memory://{uuid.uuid4().hex}")

        def act(n: int, store: ObjectStore = store, operation: int = operation) -> None:
            if n == operation:
                commit(store, other, policy)
                commit(store, run, policy)

        commit(WatchedStore(store, before=act), run, policy)
        expected = {other.run_id, run.run_id} if policy == "append" else {run.run_id}
        listed = [committed.plan.run_id for committed in open_dataset(store.uri).runs]
        assert set(listed) == expected, f"at operation {operation}"
        assert len(listed) == len(expected)
        assert verify(store.uri, deep=True).ok


def test_a_lost_acknowledgement_of_every_write_is_adopted(memory: ObjectStore) -> None:
    class Deaf(WatchedStore):
        """Every write succeeds and is answered 'it exists', as after a retry by the client library."""

        def put_if_absent(self, key: str, data: bytes) -> bool:
            super().put_if_absent(key, data)
            return False

    snapshot = commit(Deaf(memory), tiny_run())
    assert snapshot.version == 1
    assert verify(memory.uri, deep=True).ok


# ---- plans ----------------------------------------------------------------------------------------------


def test_another_plan_under_the_same_id_is_refused_by_the_differing_field(store_uri: str) -> None:
    store = open_store(store_uri)
    begin_run(store, tiny_run(versions={"torch": "2.6.0", "pillow": "11.0"}))
    with pytest.raises(ConfigError, match=r"versions\.torch is '2\.6\.0' there and '2\.7\.0' here") as caught:
        begin_run(store, tiny_run(versions={"torch": "2.7.0", "pillow": "11.0"}))
    assert "pillow" not in str(caught.value)


def test_a_run_id_covers_what_decides_pixels_and_not_the_versions() -> None:
    run = tiny_run()
    assert tiny_run(versions={"torch": "9"}).run_id == run.run_id
    others = [tiny_run(seed=8), tiny_run(channels=1), tiny_run(image_format="webp")]
    for generator, augmentation in [("cd" * 32, None), ("ab" * 32, {"transform": {"p": 1}})]:
        others.append(
            make_run_plan(
                run.plan,
                generator_sha256=generator,
                image_format="png",
                augmentation=augmentation,
                versions={},
            )
        )
    others.append(tiny_run(source_fingerprint="5" * 64))
    assert len({run.run_id, *(other.run_id for other in others)}) == 7


def test_a_newer_augmentation_library_is_a_named_difference_not_a_second_run(memory: ObjectStore) -> None:
    def with_version(version: str) -> dict[str, object]:
        return {"__version__": version, "transform": {"p": 0.5}}

    runs = [
        make_run_plan(
            tiny_run().plan,
            generator_sha256="ab" * 32,
            image_format="png",
            augmentation=with_version(version),
            versions={},
        )
        for version in ("2.0.8", "2.1.0")
    ]
    assert runs[0].run_id == runs[1].run_id
    begin_run(memory, runs[0])
    with pytest.raises(ConfigError, match=r"augmentation\.__version__ is '2\.0\.8'"):
        begin_run(memory, runs[1])


@pytest.mark.parametrize("run_id", ["", "UPPER", "a/b", "..", "a" * 65, "naïve", "run\n"])
def test_a_run_id_that_could_leave_its_folder_is_refused(memory: ObjectStore, run_id: str) -> None:
    with pytest.raises(ConfigError, match="run id"):
        begin_run(memory, tiny_run().model_copy(update={"run_id": run_id}))


def test_a_seed_that_no_column_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="64 bits"):
        tiny_run(seed=2**63)


# ---- shards and the manifest ----------------------------------------------------------------------------


@given(st.sets(st.integers(0, SHARDS - 1)))
def test_missing_shards_are_exactly_those_not_there(present: set[int]) -> None:
    store, run = open_store(f"memory://{uuid.uuid4().hex}"), tiny_run()
    for index in present:
        put_shard(store, run.run_id, index, 4, b"%d" % index)
    assert set(missing_shards(store, run)) == set(range(SHARDS)) - present


def test_a_straggler_with_other_bytes_changes_no_committed_shard(memory: ObjectStore) -> None:
    run = tiny_run()
    begin_run(memory, run)
    for index in range(SHARDS):
        make_shard(memory, run, index)
    manifest = seal_run(memory, run)
    for attempt in range(20):  # some of these digests are smaller, some larger
        put_shard(memory, run.run_id, 1, 4, b"straggler %d" % attempt)
    assert seal_run(memory, run) == manifest
    publish(memory, manifest, "refuse")
    assert verify(memory.uri, deep=True).ok
    assert open_dataset(memory.uri).rows == ROWS


def test_of_two_shards_with_one_index_the_smaller_digest_stands(memory: ObjectStore) -> None:
    run = tiny_run()
    for data in (b"one", b"two", b"three"):
        put_shard(memory, run.run_id, 0, 4, data)
    assert list_shards(memory, run)[0].sha256 == min(map(sha256_hex, (b"one", b"two", b"three")))


def test_putting_the_same_shard_twice_is_success(memory: ObjectStore) -> None:
    run = tiny_run()
    data = shard_bytes(run, 0)
    receipts = [put_shard(memory, run.run_id, 0, 4, data) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert receipts[0].key == shard_key(run.run_id, 0, sha256_hex(data))
    assert list_shards(memory, run)[0] == receipts[0]


def test_a_shard_beyond_the_plan_is_named(memory: ObjectStore) -> None:
    run = tiny_run()
    key = put_shard(memory, run.run_id, SHARDS, 4, b"").key
    with pytest.raises(IntegrityError, match=key):
        missing_shards(memory, run)


def test_what_is_no_shard_does_not_stand_for_one(memory: ObjectStore) -> None:
    run = tiny_run()
    memory.put(f"data/{run.run_id}/000000.parquet", b"")
    memory.put(f"data/{run.run_id}/.DS_Store", b"")
    assert missing_shards(memory, run) == [0, 1, 2]


def test_an_aborted_run_is_refused(memory: ObjectStore) -> None:
    run = tiny_run()
    aborted = Manifest(run_id=run.run_id, status="aborted", plan_sha256=sha256_hex(run.to_json()))
    memory.put_if_absent(manifest_key(run.run_id), aborted.to_json())
    with pytest.raises(RetryLaterError, match=f"{run.run_id}.*aborted.*same command"):
        begin_run(memory, run)
    for index in range(SHARDS):
        make_shard(memory, run, index)
    with pytest.raises(RetryLaterError, match="aborted"):
        seal_run(memory, run)
    with pytest.raises(RetryLaterError, match="aborted"):
        publish(memory, aborted, "refuse")


# ---- what is there already ------------------------------------------------------------------------------


def test_refuse_names_the_runs_and_what_to_set(memory: ObjectStore) -> None:
    first, second = tiny_run(seed=1), tiny_run(seed=2)
    commit(memory, first)
    for run_id in (second.run_id, None):
        with pytest.raises(ConfigError, match=f"{first.run_id}.*output.on_existing.*top-up.*append.*replace"):
            check_existing(memory, run_id, "refuse")
    with pytest.raises(ConfigError, match=first.run_id):
        commit(memory, second)
    assert keys(memory, "_snapshots/") == [snapshot_key(1)]
    check_existing(memory, first.run_id, "refuse")
    check_existing(memory, second.run_id, "append")


def test_append_keeps_and_replace_drops_the_runs_before(memory: ObjectStore) -> None:
    runs = [tiny_run(seed=seed) for seed in range(3)]
    commit(memory, runs[0])
    both = commit(memory, runs[1], "append")
    only = commit(memory, runs[2], "replace")
    assert [listed.run_id for listed in both.runs] == [runs[0].run_id, runs[1].run_id]
    assert [listed.run_id for listed in only.runs] == [runs[2].run_id]
    assert (both.version, only.version) == (2, 3)
    assert both.parent_sha256 == sha256_hex(memory.get(snapshot_key(1)))
    assert only.parent_sha256 == sha256_hex(memory.get(snapshot_key(2)))
    assert open_dataset(memory.uri, version=2).rows == 2 * ROWS  # older versions stay readable
    assert verify(memory.uri, deep=True).ok


def test_append_refuses_a_run_that_means_something_else_by_a_label_or_an_image(memory: ObjectStore) -> None:
    first, gray = tiny_run(), tiny_run(seed=8, channels=1)
    renamed = tiny_run(
        classes=tuple(target.model_copy(update={"name": f"{target.name}!"}) for target in first.plan.classes)
    )
    commit(memory, first)

    for other, named in ((renamed, "label 0 is 'cat', and here it is 'cat!'"), (gray, r"3 channel\(s\)")):
        with pytest.raises(ConfigError, match=named):
            check_existing(memory, other.run_id, "append", other.plan)
        with pytest.raises(ConfigError, match=named):
            commit(memory, other, "append")
    assert open_dataset(memory.uri).version == 1


def test_a_committed_run_is_found_again_after_a_library_upgrade(memory: ObjectStore) -> None:
    first = commit(memory, tiny_run(versions={"torch": "2.6.0"}))

    assert commit(memory, tiny_run(versions={"torch": "2.7.0"})) == first


def test_refuse_holds_against_a_run_that_was_published_meanwhile(memory: ObjectStore) -> None:
    run, other = tiny_run(seed=1), tiny_run(seed=2)
    begin_run(memory, run)
    for index in range(SHARDS):
        make_shard(memory, run, index)
    manifest = seal_run(memory, run)
    commit(memory, other)
    with pytest.raises(ConfigError, match=other.run_id):
        publish(memory, manifest, "refuse")


# ---- corrupt records ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run_id": 1}', b"\xff\xfe", b"null"])
@pytest.mark.parametrize("key", [plan_key, manifest_key])
def test_a_corrupt_record_is_named(memory: ObjectStore, content: bytes, key: Callable[[str], str]) -> None:
    run = tiny_run()
    memory.put(key(run.run_id), content)
    with pytest.raises(IntegrityError, match=key(run.run_id)):
        begin_run(memory, run)


def test_a_record_too_large_to_be_one_is_not_parsed(
    memory: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run()
    begin_run(memory, run)
    monkeypatch.setattr("augment.store.records.MAX_JSON_BYTES", 100)
    with pytest.raises(IntegrityError, match="no RunPlan is that large"):
        begin_run(memory, run)


def test_a_record_of_another_run_is_named(memory: ObjectStore) -> None:
    run, other = tiny_run(seed=1), tiny_run(seed=2)
    memory.put(plan_key(run.run_id), other.to_json())
    with pytest.raises(IntegrityError, match=f"{plan_key(run.run_id)} calls itself run '{other.run_id}'"):
        begin_run(memory, run)


def test_an_empty_plan_commits_an_empty_run(tmp_path: Path) -> None:
    balanced = tuple(target.model_copy(update={"target": target.real}) for target in tiny_run().plan.classes)
    store = open_store(str(tmp_path))
    assert commit(store, tiny_run(classes=balanced)).rows == 0
    assert verify(store.uri, deep=True).ok
