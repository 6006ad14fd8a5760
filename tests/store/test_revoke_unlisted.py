"""Revoking what the newest version does not list: rows that were replaced, runs never published, classes gone."""

from __future__ import annotations

import uuid

import pytest

from augment.errors import ConfigError
from augment.objects import ObjectStore, open_store
from augment.store.collect import collect
from augment.store.commit import begin_run, missing_shards, seal_run
from augment.store.history import version_log
from augment.store.revoke import revoke_classes, revoke_model, revoke_run
from tests.store.helpers import ROWS, SHARDS, commit, make_shard, tiny_run
from tests.store.revoking import OTHER_MODEL, TESTS, assert_sound, listed, with_model


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def test_rows_that_a_replace_dropped_can_be_revoked_and_do_not_come_back(memory: ObjectStore) -> None:
    dropped, newest = tiny_run(seed=1), tiny_run(seed=2)
    for revoke, rows in (
        (lambda store: revoke_classes(store, ["test"], "why"), TESTS),
        (lambda store: revoke_run(store, dropped.run_id, "why"), 0),
    ):
        store = open_store(f"memory://{uuid.uuid4().hex}")
        commit(store, dropped)
        commit(store, newest, "replace")
        done = revoke(store)
        assert (done.made, done.rows, done.snapshot.version) == (True, rows, 3)
        assert revoke(store).made is False
        with pytest.raises(ConfigError, match="revoked by version 3"):
            commit(store, dropped, "append")
        assert listed(store) == [newest.run_id]
        said = {change.run.run_id: (change.rows, change.why) for change in next(version_log(store)).changes}
        assert said[dropped.run_id] == (0, "why")
        assert_sound(store, ROWS - rows)


def test_a_model_without_a_row_in_the_newest_version_can_be_revoked(memory: ObjectStore) -> None:
    commit(memory, with_model(tiny_run(seed=1), OTHER_MODEL))
    commit(memory, tiny_run(seed=2), "replace")
    assert revoke_model(memory, OTHER_MODEL, "a leak").rows == 0
    with pytest.raises(ConfigError, match="a leak"):
        commit(memory, with_model(tiny_run(seed=3), OTHER_MODEL), "append")


def test_a_run_that_was_sealed_and_never_published_becomes_garbage_by_a_revocation(
    memory: ObjectStore,
) -> None:
    commit(memory, tiny_run(seed=1))
    lost = tiny_run(seed=2)
    begin_run(memory, lost)
    for index in missing_shards(memory, lost):
        make_shard(memory, lost, index)
    seal_run(memory, lost)
    assert collect(memory, grace_s=0, delete=True).objects == 0
    assert revoke_run(memory, lost.run_id, "lost a race").made
    assert collect(memory, grace_s=0, delete=True).objects == SHARDS
    assert_sound(memory, ROWS)


def test_classes_that_were_revoked_one_by_one_are_revoked_together_already(memory: ObjectStore) -> None:
    commit(memory, tiny_run())
    first = revoke_classes(memory, ["dog | wild"], "why")
    both = revoke_classes(memory, ["dog | wild", "test"], "why")
    assert (both.made, both.rows) == (True, TESTS)
    again = revoke_classes(memory, ["dog | wild", "test"], "why")
    assert (again.made, again.snapshot) == (False, both.snapshot)
    assert set(again.revocations) == {*first.revocations, *both.revocations}
