"""Heartbeats in every kind of store: the last one is read, the newest name comes first, a silent one is told."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import AugmentError, IntegrityError
from augment.objects import MemoryStore, ObjectStore, open_store
from augment.store.collect import collect
from augment.store.heartbeat import (
    Heartbeat,
    StageState,
    StoredHeartbeat,
    heartbeat_key,
    put_heartbeat,
    stored_heartbeats,
)
from augment.store.verification import verify
from tests.fuzzing import mutated_bytes
from tests.store.helpers import commit, tiny_run

BEGAN = datetime(2026, 11, 23, 4, 0, tzinfo=timezone.utc)


def heartbeat(name: str = "defects", **fields: object) -> Heartbeat:
    return Heartbeat.model_validate(
        {"name": name, "command": "run", "version": "0.1.0", "started": BEGAN, "updated": BEGAN, **fields}
    )


def training(done: int) -> StageState:
    points = tuple((10.0 + index, 10.0 * index) for index in range(1, 4))
    return StageState(name="train", done=done, total=100, unit="steps", elapsed_s=13.0, points=points)


@pytest.fixture
def store(store_uri: str) -> ObjectStore:
    return open_store(store_uri)


def test_the_last_word_of_each_name_is_read_and_the_newest_comes_first(store: ObjectStore) -> None:
    assert stored_heartbeats(store) == []

    put_heartbeat(store, heartbeat("first", stage=training(10)))
    put_heartbeat(store, heartbeat("first", stage=training(30)))
    time.sleep(1.1)  # a store's clock may tell whole seconds
    put_heartbeat(store, heartbeat("second", exit_code=0))

    found = stored_heartbeats(store)
    assert [each.record.name for each in found] == ["second", "first"]
    assert found[1].record == heartbeat("first", stage=training(30))
    assert [stored.key for stored in store.list()] == ["_status/first.json", "_status/second.json"]


def test_a_job_that_has_not_ended_is_silent_after_a_minute_by_the_store_s_clock() -> None:
    living = StoredHeartbeat(heartbeat(), modified_s=1_000.0)
    ended = StoredHeartbeat(heartbeat(exit_code=5), modified_s=1_000.0)

    assert [living.is_silent(now_s) for now_s in (900.0, 1_000.0, 1_060.0, 1_060.1)] == [False] * 3 + [True]
    assert not ended.is_silent(9e9)
    assert living.age_s(900.0) == 0.0, "this machine's clock may be behind the store's"


def test_a_heartbeat_is_no_part_of_the_dataset() -> None:
    store = MemoryStore(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run())
    put_heartbeat(store, heartbeat())

    assert verify(store.uri, deep=True).ok
    assert collect(store, grace_s=0.0, delete=True).objects == 0
    assert len(stored_heartbeats(store)) == 1


def test_it_names_no_host_no_process_and_no_place() -> None:
    fields = set(json.loads(heartbeat(stage=training(30)).to_json()))

    assert fields == {
        "name", "command", "version", "submission", "run_id", "started", "updated", "stage", "seconds",
        "last_warning", "last_error", "exit_code", "schema_version",
    }  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"{}", b'{"name": "a"}', b"[]", b"\xff", b" " * (2 << 20)])
def test_one_that_is_corrupt_is_named(data: bytes) -> None:
    store = MemoryStore(f"memory://{uuid.uuid4().hex}")
    store.put(heartbeat_key("a"), data)

    with pytest.raises(IntegrityError, match=r"_status/a\.json"):
        stored_heartbeats(store)


@given(data=st.data())
def test_damaged_bytes_are_a_heartbeat_or_an_error_of_ours(data: st.DataObject) -> None:
    store = MemoryStore(f"memory://{uuid.uuid4().hex}")
    store.put(heartbeat_key("a"), data.draw(mutated_bytes(heartbeat(stage=training(30)).to_json())))

    with suppress(AugmentError):
        stored_heartbeats(store)
