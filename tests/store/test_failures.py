"""The record of shards that could not be made."""

from __future__ import annotations

import pytest

from augment.errors import IntegrityError
from augment.objects import open_store
from augment.store.failures import ShardFailure, put_failures, read_failures

RUN = "0123456789abcdef"


def failure(index: int) -> ShardFailure:
    return ShardFailure(index=index, tries=3, stage="writing", error="ValueError: a pixel too far")


def test_a_run_without_failures_leaves_no_record(store_uri: str) -> None:
    store = open_store(store_uri)
    put_failures(store, RUN, [])
    assert list(store.list()) == []
    assert read_failures(store, RUN) == ()


def test_failures_are_told_by_index_and_replaced_by_the_next_commands(store_uri: str) -> None:
    store = open_store(store_uri)
    put_failures(store, RUN, [failure(7), failure(2)])
    assert read_failures(store, RUN) == (failure(2), failure(7))
    put_failures(store, RUN, [failure(7)])
    assert read_failures(store, RUN) == (failure(7),)
    put_failures(store, RUN, [])
    assert read_failures(store, RUN) == ()


def test_a_failure_reads_as_a_sentence() -> None:
    assert str(failure(2)) == "shard 2 failed in writing, 3 tries: ValueError: a pixel too far"


def test_a_record_that_is_none_of_ours_is_refused(store_uri: str) -> None:
    store = open_store(store_uri)
    store.put(f"_runs/{RUN}/failures.json", b"{")
    with pytest.raises(IntegrityError, match=r"failures\.json is not a valid record of failures"):
        read_failures(store, RUN)
