"""Snapshots that are stored in the background: in order, few at a time, and no error is lost. No Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from augment.errors import RetryLaterError
from augment.gan.checkpoint import dump, read_summary
from augment.gan.state import TrainState, new_state
from augment.gan.supervision import Watch
from augment.objects import MemoryStore
from augment.store.models import ModelFolder
from pipelines.snapshots import StoredSnapshots
from tests.gan.common import tiny_spec


class GatedStore(MemoryStore):
    """A store whose writes wait until the gate is opened, and fail once they are told to."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.gate = threading.Event()
        self.fails = False

    def put_if_absent(self, key: str, data: bytes) -> bool:
        assert self.gate.wait(30)
        if self.fails:
            raise RetryLaterError("the store did not answer")
        return super().put_if_absent(key, data)


@pytest.fixture
def store(request) -> Iterator[GatedStore]:
    store = GatedStore(f"memory://{request.node.name}")
    yield store
    store.gate.set()
    for stored in list(store.list()):
        store.delete(stored.key)


@pytest.fixture
def folder(store: GatedStore) -> ModelFolder:
    return ModelFolder(store, "m")


@pytest.fixture
def state() -> TrainState:
    return new_state(tiny_spec(), torch.device("cpu"))


def save(snapshots: StoredSnapshots, state: TrainState, step: int, *, best: bool = False) -> None:
    state.step = step
    snapshots.save(state, best=best)


def test_a_snapshot_is_the_state_at_the_moment_it_was_saved(store, folder, state):
    snapshots = StoredSnapshots(folder)
    save(snapshots, state, 1)
    then = dump(state)
    with torch.no_grad():
        for weight in state.generator.parameters():
            weight.zero_()
    state.watch = Watch(attempt=3)
    assert folder.latest_snapshot() is None, "saving waited for the upload"

    store.gate.set()
    assert snapshots.latest() == then
    snapshots.close()


def test_the_latest_and_the_best_are_read_after_what_was_saved_before(store, folder, state):
    snapshots = StoredSnapshots(folder)
    store.gate.set()
    for step in range(1, 6):
        save(snapshots, state, step, best=step == 2)

    best, latest = snapshots.best(), snapshots.latest()
    assert best is not None
    assert latest is not None
    assert (read_summary(best).step, read_summary(latest).step) == (2, 5)
    snapshots.close()


def test_a_third_unfinished_snapshot_waits_so_that_memory_stays_flat(store, folder, state):
    copies = []
    snapshots = StoredSnapshots(folder, beside=lambda state: copies.append(state.step) or (lambda: None))
    save(snapshots, state, 1)
    save(snapshots, state, 2)
    third = threading.Thread(target=save, args=(snapshots, state, 3))
    third.start()
    third.join(0.2)

    assert third.is_alive()
    assert copies == [1, 2], "the third was copied before there was room"
    store.gate.set()
    third.join(30)
    snapshots.close()
    assert copies == [1, 2, 3]
    assert folder.latest_step() == 3


def test_uploads_and_what_is_done_beside_them_keep_their_order(store, folder, state):
    done: list[int | None] = []
    snapshots = StoredSnapshots(folder, beside=lambda state: lambda: done.append(folder.latest_step()))
    store.gate.set()
    for step in (1, 2, 3, 4):
        save(snapshots, state, step)
    snapshots.close()

    assert done == [1, 2, 3, 4]


@pytest.mark.parametrize("call", ["save", "latest", "best", "close"])
def test_a_failed_upload_is_told_at_the_next_call_and_nothing_is_stored_after_it(store, folder, state, call):
    snapshots = StoredSnapshots(folder)
    store.fails = True
    save(snapshots, state, 1, best=True)
    save(snapshots, state, 2)
    store.gate.set()
    next_call = {
        "save": lambda: save(snapshots, state, 3),
        "latest": snapshots.latest,
        "best": snapshots.best,
        "close": snapshots.close,
    }[call]

    with pytest.raises(RetryLaterError, match="did not answer"):
        next_call()
    store.fails = False
    snapshots.close()
    assert folder.latest_step() is None


def test_every_rank_is_told_of_every_save_and_one_writes(store, folder, state):
    told: list[tuple[str, int]] = []
    store.gate.set()
    for rank, writes in (("first", True), ("second", False)):
        snapshots = StoredSnapshots(
            folder, writes=writes, after_save=lambda step, rank=rank: told.append((rank, step))
        )
        save(snapshots, state, 7 if writes else 8)
        snapshots.close()

    assert told == [("first", 7), ("second", 8)]
    assert folder.latest_step() == 7
