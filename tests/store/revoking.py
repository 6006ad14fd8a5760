"""Revocations that tests of them share: what is revoked of which runs, and when a store is sound after it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from augment.objects import ObjectStore, open_store
from augment.store.reading import open_dataset
from augment.store.revoke import Revoked, revoke_classes, revoke_model, revoke_run
from augment.store.verification import verify
from augment.types import RunPlan
from tests.store.helpers import WatchedStore, commit, tiny_run

__all__ = [
    "DOGS",
    "OTHER_MODEL",
    "REVOCATIONS",
    "TESTS",
    "assert_sound",
    "count_operations",
    "listed",
    "prepared",
    "with_model",
]

DOGS, TESTS = 7, 4  # of tiny_run: dogs fill shard 0 and three rows of shard 1
OTHER_MODEL = "cd" * 32


def with_model(run: RunPlan, sha256: str) -> RunPlan:
    return run.model_copy(update={"run_id": f"by-{sha256[:8]}-{run.run_id}", "generator_sha256": sha256})


def listed(store: ObjectStore) -> list[str]:
    return [run.plan.run_id for run in open_dataset(store.uri).runs]


def assert_sound(store: ObjectStore, rows: int) -> None:
    for version in range(1, open_dataset(store.uri).version + 1):
        report = verify(store.uri, version, deep=True)
        assert report.ok, report.problems
    assert verify(store.uri).rows == rows == open_dataset(store.uri).rows


def prepared() -> ObjectStore:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run(seed=1))
    commit(store, tiny_run(seed=2), "append")
    return store


def count_operations(revoke: Callable[[ObjectStore], Revoked]) -> int:
    watched = WatchedStore(prepared())
    revoke(watched)
    return watched.operations


REVOCATIONS: dict[str, Callable[[ObjectStore], Revoked]] = {
    "classes": lambda store: revoke_classes(store, ["dog | wild"], "why"),
    "run": lambda store: revoke_run(store, tiny_run(seed=1).run_id, "why"),
    "model": lambda store: revoke_model(store, "ab" * 32, "why"),
}
