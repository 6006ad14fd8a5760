"""Where a training loop keeps its snapshots: what it asks of the place, and a place in memory.

Owns the contract. A store-backed place is the pipelines' (its files lie where augment.store.models says).
"""

from collections.abc import Mapping
from typing import Protocol

from augment.gan.checkpoint import dump
from augment.gan.state import TrainState

__all__ = ["MemorySnapshots", "SnapshotFiles", "Snapshots"]

SnapshotFiles = Mapping[str, bytes]


class Snapshots(Protocol):
    """`save` is called on every rank, `latest` and `best` on rank 0, which tells the others."""

    def save(self, state: TrainState, *, best: bool) -> None:
        """Keep `state`, the live one: copy what you need before returning. `best`: none was better so far."""

    def latest(self) -> SnapshotFiles | None:
        """What was saved last, by any process that trained this model before."""

    def best(self) -> SnapshotFiles | None:
        """What was saved as best last."""


class MemorySnapshots:
    """For tests, notebooks and single processes: nothing survives it."""

    def __init__(self, latest: SnapshotFiles | None = None) -> None:
        self._latest = latest
        self._best: SnapshotFiles | None = None

    def save(self, state: TrainState, *, best: bool) -> None:
        """Keep the bytes."""
        self._latest = dump(state)
        if best:
            self._best = self._latest

    def latest(self) -> SnapshotFiles | None:
        """The last one's."""
        return self._latest

    def best(self) -> SnapshotFiles | None:
        """The best one's."""
        return self._best
