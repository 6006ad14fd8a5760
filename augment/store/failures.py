"""Shards of a run that could not be made: which, in how many tries, and why.

    _runs/<run>/failures.json       what the last command could not make; empty once it could

Owns this record. It is for people: no commit rests on it, and the next command tries such shards again.
"""

from collections.abc import Sequence

from augment.objects import ObjectStore
from augment.stored_record import stored_record
from augment.types import Record

__all__ = ["FailedShards", "ShardFailure", "put_failures", "read_failures"]


class ShardFailure(Record):
    """One shard, the part of its making that failed, and the error of the last try."""

    index: int
    tries: int
    stage: str  # "sampling" or "writing"
    error: str

    def __str__(self) -> str:
        return f"shard {self.index} failed in {self.stage}, {self.tries} tries: {self.error}"


class FailedShards(Record):
    """All of a run, by index."""

    failures: tuple[ShardFailure, ...] = ()


def put_failures(store: ObjectStore, run_id: str, failures: Sequence[ShardFailure]) -> None:
    """Name what could not be made, in place of what was named before; nothing is written where neither is anything."""
    record = FailedShards(failures=tuple(sorted(failures, key=lambda failure: failure.index)))
    if record.failures or read_failures(store, run_id):
        store.put(_key(run_id), record.to_json())


def read_failures(store: ObjectStore, run_id: str) -> tuple[ShardFailure, ...]:
    """What the last command could not make; IntegrityError where the record is none of ours."""
    failed = stored_record(FailedShards, store, _key(run_id), called="record of failures")
    return failed.failures if failed else ()


def _key(run_id: str) -> str:
    return f"_runs/{run_id}/failures.json"
