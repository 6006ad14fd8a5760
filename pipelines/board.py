"""News from workers to the driver while a blocking Ray call runs: a tiny actor and a thread that reads it.

Owns the way that progress travels. Results never do: they come back by Ray's own returns or the store.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

__all__ = ["Board", "new_board", "watching"]

POLL_EVERY_S = 0.5


@ray.remote(num_cpus=0)
class Board:
    """Holds what workers posted until the driver takes it."""

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._fatal: Exception | None = None

    def post(self, event: Any) -> None:
        """Leave one event for the driver."""
        self._events.append(event)

    def take(self) -> list[Any]:
        """All events since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def set_fatal(self, error: Exception) -> None:
        """Remember an error that trying again cannot mend."""
        self._fatal = error

    def fatal(self) -> Exception | None:
        """That error, if there was one."""
        return self._fatal


def new_board() -> Any:
    """A board of its own for one Ray call; it goes when its last handle does."""
    return Board.remote()


@contextmanager
def watching(board: Any, on_event: Callable[[Any], None]) -> Iterator[None]:
    """Call `on_event` for everything posted while the body runs, and for what is left at its end."""
    stop = threading.Event()

    def take_events() -> None:
        for event in ray.get(board.take.remote()):
            on_event(event)

    def poll() -> None:
        while not stop.wait(POLL_EVERY_S):
            take_events()

    thread = threading.Thread(target=poll, name="augment-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    take_events()
