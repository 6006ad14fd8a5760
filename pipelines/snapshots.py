"""Snapshots of a training that never stops for them: copied at once, written in the background.

Owns the one thread that turns copies into files and uploads them, in order, and what is done beside each
(pictures, curves). Where a snapshot lies is augment.store.models', what is in it augment.gan's. Knows no Ray.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from augment.gan.checkpoint import Capture, capture
from augment.gan.snapshots import SnapshotFiles
from augment.gan.state import TrainState
from augment.store.models import ModelFolder

__all__ = ["Beside", "StoredSnapshots"]

MOST_UNFINISHED = 2  # one that is being uploaded and one that waits: what memory must hold

Beside = Callable[[TrainState], Callable[[], None]]
"""Looks at the live state, and returns what is to be uploaded after its snapshot."""


class StoredSnapshots:
    """augment.gan's `Snapshots` in a model's folder; only the rank that `writes` copies and uploads.

    An upload that failed raises its error at the next call, or at `close`, and nothing is uploaded after
    it: a later snapshot may tell of a best one that was never stored. `after_save` is called on every rank.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        writes: bool = True,
        beside: Beside | None = None,
        after_save: Callable[[int], None] = lambda step: None,
    ) -> None:
        self._folder, self._writes = folder, writes
        self._beside, self._after_save = beside, after_save
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="augment-snapshots")
        self._uploads: deque[Future[None]] = deque()
        self._failed = False

    def save(self, state: TrainState, *, best: bool) -> None:
        """Copy the state and go on; waits only where two snapshots before it are not stored yet."""
        if self._writes:
            self._settle(MOST_UNFINISHED - 1)  # before the copy: memory never holds a third
            beside = self._beside(state) if self._beside else None
            self._uploads.append(self._thread.submit(self._upload, capture(state), best, beside))
        self._after_save(state.step)

    def latest(self) -> SnapshotFiles | None:
        """The newest in the store, once all that were saved are there."""
        self._settle(0)
        return self._folder.latest_snapshot()

    def best(self) -> SnapshotFiles | None:
        """The last one that was saved as best, once all that were saved are there."""
        self._settle(0)
        return self._folder.best_snapshot()

    def close(self) -> None:
        """Wait until everything is stored; raises what an upload raised."""
        try:
            self._settle(0)
        finally:
            self._thread.shutdown()

    def _settle(self, unfinished: int) -> None:
        """Wait until at most so many uploads are unfinished; raises the error of one that failed."""
        while self._uploads and (len(self._uploads) > unfinished or self._uploads[0].done()):
            self._uploads.popleft().result()

    def _upload(self, captured: Capture, best: bool, beside: Callable[[], None] | None) -> None:
        if self._failed:
            return
        self._failed = True  # until the contrary is proved
        self._folder.put_snapshot(
            captured.files(), step=captured.step, attempt=captured.watch.attempt, best=best
        )
        if beside is not None:
            beside()
        self._failed = False
