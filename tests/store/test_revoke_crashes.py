"""A revocation that is killed, raced or collected beside at any operation is made good by running it again."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from augment.objects import ObjectStore, open_store
from augment.store.collect import collect
from augment.store.reading import open_dataset
from augment.store.revoke import revoke_classes
from augment.store.verification import verify
from augment.types import ClassTarget
from tests.store.helpers import CrashError, WatchedStore, commit, crash_at, tiny_run
from tests.store.revoking import DOGS, REVOCATIONS, TESTS, assert_sound, count_operations, prepared


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


# ---- crashes and races at every operation -------------------------------------------------------------


@pytest.mark.parametrize("kind", REVOCATIONS)
@pytest.mark.parametrize("acknowledged", [False, True], ids=["before", "after"])
def test_a_crash_at_any_operation_is_made_good_by_running_again(kind: str, acknowledged: bool) -> None:
    revoke = REVOCATIONS[kind]
    reference = prepared()
    rows = revoke(reference).snapshot.rows
    for operation in range(count_operations(revoke)):
        store, watch = prepared(), crash_at(operation)
        with pytest.raises(CrashError):
            revoke(WatchedStore(store, after=watch) if acknowledged else WatchedStore(store, before=watch))
        assert verify(store.uri).ok, f"crashed at operation {operation}"
        assert revoke(store).snapshot.rows == rows
        assert list(store.list()) == list(reference.list()), f"crashed at operation {operation}"
    assert_sound(reference, rows)


@pytest.mark.parametrize("kind", REVOCATIONS)
def test_a_publisher_or_another_revoker_at_any_operation_does_no_harm(kind: str) -> None:
    revoke, third = REVOCATIONS[kind], tiny_run(seed=3)
    acts: list[Callable[[ObjectStore], object]] = [
        lambda store: commit(store, third, "append"),
        lambda store: revoke_classes(store, ["test"], "another"),
        revoke,
    ]
    for act in acts:
        for operation in range(count_operations(revoke)):
            store = prepared()

            def interfere(n: int, store: ObjectStore = store, operation: int = operation) -> None:
                if n == operation:
                    act(store)  # noqa: B023  # used before the next one

            revoke(WatchedStore(store, before=interfere))
            dataset = open_dataset(store.uri)
            report = verify(store.uri)
            assert report.ok, (operation, report.problems)
            assert dataset.snapshot.revoked
            assert not revoke(store).made or kind == "classes"  # a later run may bring a class again


def test_a_lost_acknowledgement_of_every_write_is_adopted(memory: ObjectStore) -> None:
    class Deaf(WatchedStore):
        def put_if_absent(self, key: str, data: bytes) -> bool:
            super().put_if_absent(key, data)
            return False

    commit(memory, tiny_run())
    assert revoke_classes(Deaf(memory), ["test"], "why").snapshot.version == 2
    assert_sound(memory, DOGS)


# ---- beside a collector -------------------------------------------------------------------------------


def test_another_class_can_be_revoked_after_the_first_ones_rows_were_collected(memory: ObjectStore) -> None:
    red = ClassTarget(label=3, name="red", real=1, target=6)
    commit(memory, tiny_run(classes=(*tiny_run().plan.classes, red)))
    for name, rows in (("dog | wild", TESTS + 5), ("red", TESTS)):
        revoke_classes(memory, [name], "why")
        assert collect(memory, grace_s=0, delete=True).garbage
        assert open_dataset(memory.uri).rows == rows
        assert verify(memory.uri, deep=True).ok


def test_a_collector_after_a_crash_at_any_operation_takes_nothing_that_is_needed() -> None:
    revoke = REVOCATIONS["classes"]
    for operation in range(count_operations(revoke)):
        store = prepared()
        with pytest.raises(CrashError):
            revoke(WatchedStore(store, before=crash_at(operation)))
        collect(store, grace_s=0, delete=True)
        assert verify(store.uri, deep=True).ok, f"crashed at operation {operation}"
        assert revoke(store).snapshot.rows == 2 * TESTS
        collect(store, grace_s=0, delete=True)
        assert verify(store.uri, deep=True).ok, f"crashed at operation {operation}"


def test_a_collector_at_any_operation_takes_nothing_that_is_needed() -> None:
    revoke = REVOCATIONS["classes"]
    for operation in range(count_operations(revoke)):
        store = prepared()

        def act(n: int, store: ObjectStore = store, operation: int = operation) -> None:
            if n == operation:
                collect(store, grace_s=0, delete=True)

        revoke(WatchedStore(store, before=act))
        assert verify(store.uri, deep=True).ok, f"at operation {operation}"
