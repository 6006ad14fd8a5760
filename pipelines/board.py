"""News from workers to the driver while a blocking Ray call runs: a tiny actor and a thread that reads it.

Owns the way that progress and log lines travel. Results never do: they come back by Ray's own returns or the
store.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.progress import log

__all__ = ["Board", "LogLine", "logging_to", "new_board", "watching"]

POLL_EVERY_S = 0.5
LAST_WORDS_S = 5.0


@ray.remote(num_cpus=0)
class Board:
    """Holds what workers posted until the driver takes it."""

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._fatal: Exception | None = None
        self._stop = False
        self._notes: dict[str, Any] = {}
        self._begun: Counter[str] = Counter()

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

    def ask_to_stop(self) -> None:
        """The driver's wish: workers end in order, and soon."""
        self._stop = True

    def stop_asked(self) -> bool:
        """Whether that was said."""
        return self._stop

    def note(self, name: str, value: Any) -> None:
        """Remember a fact for workers that come later and for the driver, replacing the one before."""
        self._notes[name] = value

    def noted(self, name: str) -> Any:
        """The fact of this name; None where there is none."""
        return self._notes.get(name)

    def begin(self, name: str) -> tuple[int, bool]:
        """How often `name` was begun in vain, this time included; and whether the driver wants to end."""
        self._begun[name] += 1
        return self._begun[name], self._stop

    def done(self, name: str) -> None:
        """It was not in vain: should it be needed again, it is begun for the first time."""
        self._begun[name] = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a worker logged."""

    level: int
    text: str


class _ToBoard(logging.Handler):
    def __init__(self, board: Any) -> None:
        super().__init__(logging.INFO)
        self._board = board

    def emit(self, record: logging.LogRecord) -> None:
        self._board.post.remote(LogLine(record.levelno, record.getMessage()))


@contextmanager
def logging_to(board: Any) -> Iterator[None]:
    """In a worker: what is logged while the body runs reaches the driver's log, by way of the board."""
    handler, level = _ToBoard(board), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


def new_board() -> Any:
    """A board of its own for one Ray call, where the driver is: another node may be lost. It goes with its last handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Board.options(scheduling_strategy=here).remote()


@contextmanager
def watching(board: Any, on_event: Callable[[Any], None]) -> Iterator[None]:
    """Call `on_event` for everything posted while the body runs, and for what is left at its end.

    Lines that workers logged go to the log instead.
    """
    stop = threading.Event()

    def take_events(within_s: float | None = None) -> None:
        for event in ray.get(board.take.remote(), timeout=within_s):
            if isinstance(event, LogLine):
                log.log(event.level, "%s", event.text)
            else:
                on_event(event)

    def poll() -> None:
        while not stop.wait(POLL_EVERY_S):
            take_events()

    thread = threading.Thread(target=poll, name="augment-progress", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        stop.set()
        thread.join(LAST_WORDS_S)
        with suppress(
            RayError
        ):  # the last lines often say why; where they can't be had, the error itself must do
            take_events(LAST_WORDS_S)
        raise
    stop.set()
    thread.join()
    take_events()
