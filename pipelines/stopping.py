"""SIGTERM: whoever runs the machine wants it back, and will soon kill what has not ended.

Owns the signal in the driver's process and its two meanings. Most of a job is left at once, as by Ctrl-C: what is stored
is whole, and the same command goes on from it. A stage that would lose much says so (`in_order`): it is told, has
`WITHIN_S` to end by itself, and is left like the others after that. Knows no stage and no Ray.

Kubernetes sends SIGTERM 30 s before it kills, unless told otherwise (our pods have 90 s); Ray's jobs have 3 s, which
`augment submit` makes 30 s; Slurm has its KillWait, 30 s, or whatever `--signal` says.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines.progress import log

__all__ = [
    "WITHIN_S",
    "heeding_sigterm",
    "in_order",
    "insist",
    "keeping_handler",
    "leave_if_asked",
    "was_asked",
]

WITHIN_S = 22.0
"""Seconds that a stage has to end in order: with Ray's own shutdown after it, less than the usual 30."""


class _Asked:
    """What is known of SIGTERM in this process; signals are a process's, and so is this."""

    def __init__(self) -> None:
        self.once = threading.Event()  # it came
        self.patient = False  # a stage that ends by itself is running
        self.left = False  # the main thread was interrupted: a second time would spoil its cleaning up


_asked = _Asked()


@contextmanager
def heeding_sigterm() -> Iterator[threading.Event]:
    """While the body runs, SIGTERM ends it in order, at the latest by KeyboardInterrupt. For the main thread.

    Yields an event that tells, also afterwards, whether it came. Whatever runs next is not asked to end.
    """
    global _asked
    handler, asked_before = signal.signal(signal.SIGTERM, _on_sigterm), _asked
    ours = _asked = _Asked()
    try:
        yield ours.once
    finally:
        signal.signal(signal.SIGTERM, handler)
        _asked = asked_before


def was_asked() -> bool:
    """Whether SIGTERM came, in a body that heeds it."""
    return _asked.once.is_set()


def leave_if_asked() -> None:
    """KeyboardInterrupt where SIGTERM came, at a place where leaving is clean."""
    if was_asked() and not _asked.left:
        _asked.left = True
        raise KeyboardInterrupt


def insist() -> None:
    """KeyboardInterrupt where SIGTERM came and the job goes on all the same.

    Python drops an exception that a signal's handler raises while a callback runs that may not raise (a finaliser, an
    import's lock): the interrupt was lost, and nobody else would raise it again.
    """
    if was_asked():
        _asked.left = True
        raise KeyboardInterrupt


@contextmanager
def in_order(what: str, tell: Callable[[], None]) -> Iterator[None]:
    """Let the body end by itself where SIGTERM comes: `tell` is called, in a thread of its own, to hasten it.

    `what` names in the log what is being finished. KeyboardInterrupt at the end, or after WITHIN_S; and at once, where
    SIGTERM came before and the job still runs.
    """
    insist()
    asked, ended = _asked, threading.Event()

    def watch() -> None:
        while not asked.once.wait(0.2) and not ended.is_set():
            pass
        if ended.is_set():  # before the signal, or as it came: there is nothing left to be told
            return
        log.warning("SIGTERM: %s, for at most %.0f s", what, WITHIN_S)
        tell()
        if not ended.wait(WITHIN_S):
            log.warning("SIGTERM: that took too long; leaving what is unfinished")
            ident = threading.main_thread().ident
            assert ident is not None  # noqa: S101  # it runs
            signal.pthread_kill(ident, signal.SIGTERM)  # which wakes it, too

    watcher = threading.Thread(target=watch, name="augment-sigterm", daemon=True)
    asked.patient = True
    watcher.start()
    try:
        yield
    except BaseException:
        leave_if_asked()  # what the stage ran on was told to end, too: that is why it failed
        raise
    finally:
        asked.patient = False
        ended.set()
    leave_if_asked()


@contextmanager
def keeping_handler() -> Iterator[None]:
    """Around what takes SIGTERM for itself, as Ray does when it starts: give it back, if it was ours."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is _on_sigterm
    )
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    """Python runs it in the main thread, between two instructions of whatever runs there."""
    again = _asked.once.is_set()
    _asked.once.set()
    if _asked.left or (_asked.patient and not again):
        return
    _asked.left = True
    raise KeyboardInterrupt
