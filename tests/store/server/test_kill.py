"""kill -9 of a driver's process before and after each operation, on a real server and on a real disk.

What a resumed run leaves is compared with what an undisturbed one leaves: every key and every byte.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from augment.objects import ObjectStore, open_store
from augment.store.collect import collect
from augment.store.commit import ExistingPolicy
from augment.store.verification import verify
from tests.store.helpers import ROWS, WatchedStore, commit, tiny_run
from tests.store.server.acts import begun_with, commit_and_die, commit_and_die_in_the_kernel
from tests.store.server.processes import kill_everywhere


@pytest.fixture(params=["refuse", pytest.param("append", marks=pytest.mark.slow)])
def policy(request: pytest.FixtureRequest) -> ExistingPolicy:
    """Onto an empty place; onto another run's version (the same writes, one more plan to read)."""
    found: ExistingPolicy = request.param
    return found


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {found.key: store.get(found.key) for found in store.list()}


def resume_twice(store: ObjectStore, policy: ExistingPolicy, expected: dict[str, bytes]) -> None:
    """The same command, and once more, makes what an undisturbed run makes; and there is nothing to collect."""
    first = commit(store, tiny_run(), policy)
    assert commit(store, tiny_run(), policy) == first
    assert collect(store, grace_s=0.0).garbage == ()
    assert contents(store) == expected


@pytest.mark.parametrize("acknowledged", [False, True], ids=["before", "after"])
def test_a_driver_killed_at_any_operation_is_resumed_to_the_same_dataset(
    place: str, policy: ExistingPolicy, acknowledged: bool
) -> None:
    undisturbed = WatchedStore(begun_with(f"{place}/undisturbed", policy))
    commit(undisturbed, tiny_run(), policy)
    operations, expected = undisturbed.operations, contents(undisturbed)

    assert kill_everywhere(partial(commit_and_die, place, policy, acknowledged)) == operations

    for operation in range(operations):
        store = open_store(f"{place}/{operation}")
        resume_twice(store, policy, expected)
        report = verify(store.uri, deep=True)
        assert report.ok, report.problems
        assert report.rows == (2 * ROWS if policy == "append" else ROWS)


def test_a_driver_killed_between_any_two_changes_of_a_file_is_resumed(tmp_path: Path) -> None:
    """A local write is a folder, a file, a sync, a link and an unlink: death between any of them."""
    commit(open_store(f"{tmp_path}/undisturbed"), tiny_run())
    assert verify(f"{tmp_path}/undisturbed", deep=True).ok
    expected = contents(open_store(f"{tmp_path}/undisturbed"))

    calls = kill_everywhere(partial(commit_and_die_in_the_kernel, str(tmp_path)))

    assert calls > 30  # six objects, each of several system calls
    for call in range(calls):
        resume_twice(open_store(f"{tmp_path}/{call}"), "refuse", expected)
