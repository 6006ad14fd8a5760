"""Garbage collection: what goes, what stays, by whose clock, and what is said of it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from augment.errors import ConfigError, InputError, IntegrityError, RetryLaterError
from augment.objects import MemoryStore, ObjectStore, StoredObject, open_store
from augment.store.collect import DEFAULT_GRACE_S, CollectionReport, collect
from augment.store.commit import begin_run, put_shard, seal_run
from augment.store.foreign import foreign_among
from augment.store.reading import open_dataset, read_shard
from augment.store.records import manifest_key, plan_key, run_manifests, snapshot_key
from augment.store.revoke import revoke_classes, revoke_run
from augment.store.shards import shard_key
from augment.store.verification import verify
from tests.store.helpers import SHARDS, commit, make_shard, shard_bytes, tiny_run

DAY_S = 86_400.0


class Aged(MemoryStore):
    """A memory store in which everything but the collector's own probe was put `age_s` ago."""

    age_s = 4 * DAY_S

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for found in super().list(prefix):
            age_s = 0.0 if found.key.startswith("_gc/") else self.age_s
            yield StoredObject(found.key, found.size, found.modified_s - age_s)


@pytest.fixture
def aged() -> Aged:
    return Aged(f"memory://{uuid.uuid4().hex}")


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(prefix)]


def reasons(report: CollectionReport) -> list[tuple[str | None, str, int]]:
    return [(found.run_id, found.reason, len(found.keys)) for found in report.garbage]


# ---- on every store -------------------------------------------------------------------------------------


def test_everything_that_nobody_needs_is_named_and_then_gone(store_uri: str) -> None:
    store, run, dropped, abandoned = open_store(store_uri), *(tiny_run(seed=seed) for seed in (1, 2, 3))
    commit(store, run)
    commit(store, dropped, "append")
    stray = put_shard(store, run.run_id, 1, 4, b"a straggler's")
    revoke_run(store, dropped.run_id, "wrong labels")
    begin_run(store, abandoned)
    make_shard(store, abandoned, 2)
    before = list(store.list())

    expected = {(run.run_id, "unlisted", 1), (dropped.run_id, "revoked", SHARDS)}
    expected.add((abandoned.run_id, "abandoned", 1))
    dry = collect(store, grace_s=0)
    assert set(reasons(dry)) == expected
    assert not dry.deleted
    assert list(store.list()) == before

    report = collect(store, grace_s=0, delete=True)
    assert (set(reasons(report)), report.deleted) == (expected, True)
    assert report.size_bytes == sum(
        found.size for found in before if found.key in {key for each in report.garbage for key in each.keys}
    )
    gone = {found.key for found in before} - set(keys(store))
    assert gone == {key for found in report.garbage for key in found.keys}
    assert stray.key in gone
    assert verify(store_uri, deep=True).ok
    assert collect(store, grace_s=0, delete=True).garbage == ()
    for kept in (plan_key, manifest_key):
        assert {kept(each.run_id) for each in (run, dropped, abandoned)} <= set(keys(store, "_runs/"))
    assert keys(store, "_snapshots/") == [snapshot_key(version) for version in (1, 2, 3)]
    assert keys(store, "_gc/") == []


def test_nothing_young_goes(store_uri: str) -> None:
    store, run = open_store(store_uri), tiny_run()
    begin_run(store, run)
    make_shard(store, run, 0)
    assert collect(store, delete=True).garbage == ()
    assert commit(store, run).version == 1


# ---- runs -----------------------------------------------------------------------------------------------


def test_an_abandoned_run_is_aborted_before_it_is_deleted_and_says_so(aged: Aged) -> None:
    run = tiny_run()
    begin_run(aged, run)
    make_shard(aged, run, 0)
    assert reasons(collect(aged)) == [(run.run_id, "abandoned", 1)]
    assert run_manifests(aged, run.run_id) == ()  # only looked at
    collect(aged, delete=True)
    assert [manifest.status for manifest in run_manifests(aged, run.run_id)] == ["aborted"]
    assert keys(aged, "data/") == []
    with pytest.raises(RetryLaterError, match=r"aborted by `augment gc`.*run the same command again"):
        commit(aged, run)


def test_a_run_with_one_young_shard_is_at_work(aged: Aged) -> None:
    run = tiny_run()
    begin_run(aged, run)
    make_shard(aged, run, 0)
    assert collect(aged, grace_s=5 * DAY_S, delete=True).garbage == ()
    assert run_manifests(aged, run.run_id) == ()


def test_a_run_without_any_shard_is_sealed_all_the_same(aged: Aged) -> None:
    run = tiny_run()
    begin_run(aged, run)
    assert collect(aged, delete=True).garbage == ()
    with pytest.raises(RetryLaterError, match="aborted"):
        begin_run(aged, run)


def test_a_run_that_was_sealed_and_never_published_keeps_its_shards(aged: Aged) -> None:
    run = tiny_run()
    begin_run(aged, run)
    for index in range(SHARDS):
        make_shard(aged, run, index)
    seal_run(aged, run)
    assert collect(aged, grace_s=0, delete=True).garbage == ()
    assert commit(aged, run).version == 1
    assert len(keys(aged, "data/")) == SHARDS


def test_what_a_straggler_adds_to_an_aborted_run_goes_the_next_time(aged: Aged) -> None:
    run = tiny_run()
    begin_run(aged, run)
    collect(aged, delete=True)
    make_shard(aged, run, 1)
    assert reasons(collect(aged, delete=True)) == [(run.run_id, "abandoned", 1)]
    assert keys(aged, "data/") == []


def test_runs_that_a_replacement_dropped_stay_readable(aged: Aged) -> None:
    first, second = tiny_run(seed=1), tiny_run(seed=2)
    commit(aged, first)
    commit(aged, second, "replace")
    assert collect(aged, grace_s=0, delete=True).garbage == ()
    assert verify(f"{aged.uri}@1", deep=True).ok


def test_what_is_no_shard_of_ours_is_left_alone(aged: Aged) -> None:
    run = tiny_run()
    commit(aged, run)
    aged.put(f"data/{run.run_id}/notes.txt", b"mine")
    aged.put("data/elsewhere/000000.parquet", b"mine")
    aged.put(shard_key("f" * 16, 0, "0" * 64), b"another dataset's")
    report = collect(aged, grace_s=0, delete=True)
    assert report.garbage == ()
    (foreign,) = report.foreign
    assert (foreign.run_id, foreign.reason, len(foreign.keys), report.objects) == (None, "foreign", 3, 0)
    assert set(foreign.keys) <= set(keys(aged))


def test_shards_of_a_run_that_begins_meanwhile_or_whose_plan_is_lost_are_not_foreign(aged: Aged) -> None:
    commit(aged, tiny_run())

    def listing() -> Iterator[StoredObject]:
        yield from aged.list("data/")
        begin_run(aged, tiny_run(seed=8))
        make_shard(aged, tiny_run(seed=8), 0)
        yield from aged.list(f"data/{tiny_run(seed=8).run_id}/")

    assert foreign_among(aged, listing()) == []
    aged.delete(plan_key(tiny_run().run_id))
    assert foreign_among(aged, aged.list("data/")) == []


# ---- revoked rows ---------------------------------------------------------------------------------------


def test_revoked_rows_stay_for_the_grace_and_then_their_old_version_says_why(aged: Aged) -> None:
    first, second = tiny_run(seed=1), tiny_run(seed=2)
    commit(aged, first)
    commit(aged, second, "append")
    revoke_run(aged, second.run_id, "the photographer asked")
    assert collect(aged, grace_s=5 * DAY_S, delete=True).garbage == ()
    old = open_dataset(aged.uri, 2)
    assert len([read_shard(aged, shard) for shard in old.shards]) == 2 * SHARDS
    assert reasons(collect(aged, delete=True)) == [(second.run_id, "revoked", SHARDS)]
    with pytest.raises(IntegrityError, match=r"revoked in version 3 \(the photographer asked\).*collected"):
        list(open_dataset(aged.uri, 2).tables())
    for version in (1, 3):
        assert verify(f"{aged.uri}@{version}", deep=True).ok


def test_of_a_revoked_class_only_shards_with_its_rows_go_and_a_second_class_can_follow(aged: Aged) -> None:
    run = tiny_run()  # 7 dogs and 4 of class test, 4 a shard: dogs, dogs and one test, tests
    commit(aged, run)
    originals = {index: shard_bytes(run, index) for index in range(SHARDS)}
    revoke_classes(aged, ["dog | wild"], "mixed up")
    report = collect(aged, grace_s=0, delete=True)
    assert reasons(report) == [(run.run_id, "revoked", 2)]
    there = [aged.get(key) for key in keys(aged, "data/")]
    assert originals[2] in there
    assert originals[0] not in there
    assert originals[1] not in there
    assert verify(aged.uri, deep=True).ok
    revoke_classes(aged, ["test"], "mixed up as well")  # its rows come from what the first one left
    collect(aged, grace_s=0, delete=True)
    assert keys(aged, "data/") == []
    assert open_dataset(aged.uri).rows == 0


def test_a_version_that_revoked_and_is_lost_is_named(aged: Aged) -> None:
    first, second = tiny_run(seed=1), tiny_run(seed=2)
    commit(aged, first)
    revoke_run(aged, first.run_id, "why")
    commit(aged, second, "append")
    aged.delete(snapshot_key(2))
    with pytest.raises(IntegrityError, match=f"{snapshot_key(2)} is missing, though version 3 names it"):
        collect(aged)


def test_damage_is_not_taken_for_a_collection(aged: Aged) -> None:
    first, second = tiny_run(seed=1), tiny_run(seed=2)
    commit(aged, first)
    commit(aged, second, "append")
    revoke_run(aged, second.run_id, "no reason")
    aged.delete(keys(aged, f"data/{first.run_id}/")[0])
    with pytest.raises(IntegrityError, match="is missing, though its manifest lists it"):
        list(open_dataset(aged.uri).tables())


# ---- the clock, leftovers, refusals ---------------------------------------------------------------------


def test_the_stores_clock_counts_and_not_ours(aged: Aged, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(aged, tiny_run())
    put_shard(aged, tiny_run().run_id, 0, 4, b"a straggler's")
    monkeypatch.setattr(aged, "age_s", 60.0)
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 30 * DAY_S)  # the store's own probe is 30 days later
    assert len(collect(aged, grace_s=29 * DAY_S).garbage) == 1
    assert collect(aged, grace_s=31 * DAY_S).garbage == ()


def test_old_unfinished_writes_of_a_folder_go(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    commit(store, tiny_run())
    old, young = tmp_path / ".augment-tmp" / "old", tmp_path / ".augment-tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"half a shard")
    os.utime(old, (time.time() - DEFAULT_GRACE_S - 60,) * 2)
    assert reasons(collect(store)) == [(None, "unfinished", 1)]
    assert old.exists()
    assert collect(store, delete=True).size_bytes == 12
    assert (old.exists(), young.exists()) == (False, True)


def test_a_corrupt_record_stops_the_collection(aged: Aged) -> None:
    run = tiny_run()
    commit(aged, run)
    stray = put_shard(aged, run.run_id, 0, 4, b"a straggler's")
    aged.put(manifest_key(run.run_id), b"{")
    with pytest.raises(IntegrityError, match=manifest_key(run.run_id)):
        collect(aged, grace_s=0, delete=True)
    assert stray.key in keys(aged, "data/")


def test_a_place_without_runs_and_a_negative_grace_are_refused(tmp_path: Path, aged: Aged) -> None:
    with pytest.raises(InputError, match="nothing was ever begun"):
        collect(open_store(str(tmp_path / "typo")))
    assert not (tmp_path / "typo").exists()
    with pytest.raises(ConfigError, match="negative"):
        collect(aged, grace_s=-1)
