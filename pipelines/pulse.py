"""A training worker's pulse: it beats before each step, is missed where it stops, and carries the wish to end.

Owns the two threads that stand beside a worker's training: one of every rank that misses the beat, tells where each
thread of the process was and ends it; one of rank 0 that asks the driver's board whether to stop. What a step is, and
what follows from either, is not its business.
"""

import faulthandler
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError

from pipelines.board import LogLine
from pipelines.progress import log

__all__ = ["STALLED", "Pulse", "beating"]

STALLED = "stalled"
"""The board's note of a worker that ended itself."""

LISTEN_EVERY_S = 0.5
TELL_WITHIN_S = 10.0


class Pulse:
    """Called before each step with its number; True once the driver asked to stop. `beating` makes it."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.beat_s = time.monotonic()
        self.stop = False

    def __call__(self, step: int) -> bool:
        """A sign of life; whether to stop."""
        self.step = step
        self.beat()
        return self.stop

    def beat(self) -> None:
        """A sign of life between steps: after what takes long."""
        self.beat_s = time.monotonic()


@contextmanager
def beating(board: Any, *, rank: int, stall_timeout_s: float) -> Iterator[Pulse]:
    """A pulse while the body runs; the process ends where it does not beat for `stall_timeout_s`."""
    pulse, ended = Pulse(), threading.Event()
    threads = [threading.Thread(target=_miss, args=(pulse, ended, board, rank, stall_timeout_s), daemon=True)]
    if rank == 0:
        threads.append(threading.Thread(target=_listen, args=(pulse, ended, board), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield pulse
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _listen(pulse: Pulse, ended: threading.Event, board: Any) -> None:
    while not pulse.stop and not ended.wait(LISTEN_EVERY_S):
        try:
            pulse.stop = ray.get(board.stop_asked.remote())
        except RayError:
            return  # the board went with its driver, and Ray is about to end this process


def _miss(
    pulse: Pulse, ended: threading.Event, board: Any, rank: int, limit_s: float,
    end: Callable[[int], object] = os._exit,
) -> None:  # fmt: skip
    try:
        while not ended.wait(min(1.0, limit_s / 10)):
            # Should this thread never run again, since another one holds the interpreter, Python's own watchdog ends it.
            faulthandler.dump_traceback_later(2 * limit_s + 10, exit=True, file=sys.__stderr__)
            silent_s = time.monotonic() - pulse.beat_s
            if silent_s > limit_s:
                _tell(pulse, board, rank, silent_s)
                # A thread that hangs hears no exception; Ray Train starts another worker from the snapshot.
                end(1)
                return
    finally:
        faulthandler.cancel_dump_traceback_later()


def _tell(pulse: Pulse, board: Any, rank: int, silent_s: float) -> None:
    since = "before the first step" if pulse.step is None else f"in step {pulse.step}"
    what = f"worker {rank} has been {since} for {silent_s:.0f} s (ray.stall_timeout_s)"
    text = f"train: {what}; it is ended. Where each of its threads is:\n{_stacks()}"
    log.error("%s", text)
    with suppress(RayError):  # if Ray hangs too, its own log of this process has it
        line = LogLine(level=logging.ERROR, text=text)
        told = [board.post.remote(line)] if rank else []  # rank 0's log goes to the board anyway
        ray.get([*told, board.note.remote(STALLED, what)], timeout=TELL_WITHIN_S)


def _stacks() -> str:
    """Every thread's stack, as faulthandler writes it: it needs a file."""
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file=file, all_threads=True)
        file.seek(0)
        return file.read()
