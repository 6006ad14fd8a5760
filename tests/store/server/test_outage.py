"""The store goes away in the middle of a run (kill -9 of the server) and comes back with what it had."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from augment.errors import RetryLaterError
from augment.objects import open_store
from augment.store.verification import verify
from tests.conftest import set_aws
from tests.servers import SeaweedServer
from tests.store.helpers import ROWS, WatchedStore, commit, tiny_run

MIDDLE = 5  # an operation of a tiny run: two shards are still to be put


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SeaweedServer]:
    """A server of this test's own, which it may kill."""
    server = SeaweedServer(tmp_path)
    server.create_bucket("bucket-x")
    set_aws(monkeypatch, server.env)
    yield server
    server.close()


def test_a_run_that_loses_its_store_asks_to_try_later_and_the_same_command_finishes_it(
    server: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_in_the_middle(operation: int) -> None:
        if operation == MIDDLE:
            server.kill()

    uri = "s3://bucket-x/long"
    with monkeypatch.context() as patched:
        patched.setattr("augment.objects.s3._FIRST_BACKOFF_S", 0.0)  # less patience than the server needs
        with pytest.raises(RetryLaterError, match=r"s3://bucket-x/long.*try again later"):
            commit(WatchedStore(open_store(uri), before=kill_in_the_middle), tiny_run())

    server.start()
    before = {found.key for found in open_store(uri).list()}
    snapshot = commit(open_store(uri), tiny_run())

    assert len(before) == 2, "the plan and one shard outlive the server"
    assert (snapshot.version, snapshot.rows) == (1, ROWS)
    report = verify(uri, deep=True)
    assert (report.ok, report.rows) == (True, ROWS), report.problems


def test_a_run_waits_for_a_store_that_is_soon_back(server: SeaweedServer) -> None:
    back = threading.Timer(2.0, server.start)

    def kill_in_the_middle(operation: int) -> None:
        if operation == MIDDLE:
            server.kill()
            back.start()

    uri = "s3://bucket-x/short"
    snapshot = commit(WatchedStore(open_store(uri), before=kill_in_the_middle), tiny_run())
    back.join()

    assert snapshot.rows == ROWS
    report = verify(uri, deep=True)
    assert (report.ok, report.rows) == (True, ROWS), report.problems
