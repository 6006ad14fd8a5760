"""What a person sees while a job runs: bars on a terminal, plain log lines elsewhere.

Owns the terminal (standard error only: standard output belongs to results). Knows nothing of the jobs.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

__all__ = ["PROGRESS_MODES", "Progress", "ProgressMode", "Stage", "log"]

ProgressMode = Literal["auto", "tty", "log", "none"]
PROGRESS_MODES: tuple[ProgressMode, ...] = ("auto", "tty", "log", "none")

LOG_EVERY_S = 5.0

log = logging.getLogger("augment")


class Stage:
    """One step of a job, from 0 to `total` units; `advance_to` moves it and shows `detail`."""

    def __init__(self, name: str, total: int, unit: str, bar: RichProgress | None, lines: bool) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self._bar, self._lines = bar, lines
        self._started = self._last_line = time.monotonic()
        self._task = bar.add_task(name, total=total, detail="") if bar else None

    def advance_to(self, done: int, detail: str = "") -> None:
        """Show that `done` of `total` units are finished."""
        self.done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, detail=detail)
        elif self._lines and time.monotonic() - self._last_line >= LOG_EVERY_S:
            self._last_line = time.monotonic()
            log.info(
                "%s: %s of %s %s%s", self.name, done, self.total, self.unit, f", {detail}" if detail else ""
            )

    @property
    def seconds(self) -> float:
        """Wall time since the stage began."""
        return time.monotonic() - self._started


class Progress:
    """The stages of a job, with the seconds that each took."""

    def __init__(self, mode: ProgressMode = "auto", *, quiet: bool = False) -> None:
        self.console = Console(stderr=True)
        if mode == "auto":
            mode = "tty" if sys.stderr.isatty() else "log"
        self._mode: ProgressMode = "none" if quiet else mode
        self.seconds: dict[str, float] = {}
        self._set_up_logging(logging.WARNING if self._mode == "none" else logging.INFO)

    @contextmanager
    def stage(self, name: str, total: int = 1, unit: str = "") -> Iterator[Stage]:
        """Show one step while its body runs."""
        if self._mode == "tty":
            with self._bar() as bar:
                stage = Stage(name, total, unit, bar, lines=False)
                yield stage
                stage.advance_to(total)
        else:
            stage = Stage(name, total, unit, None, lines=self._mode == "log")
            yield stage
        self.seconds[name] = round(self.seconds.get(name, 0.0) + stage.seconds, 2)
        log.info("%s: done in %.1f s", name, stage.seconds)

    def _bar(self) -> RichProgress:
        return RichProgress(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
            transient=True,
        )

    def _set_up_logging(self, level: int) -> None:
        handler: logging.Handler
        if self._mode == "tty":
            handler = RichHandler(console=self.console, show_path=False, show_level=False, markup=False)
            handler.setFormatter(logging.Formatter("%(message)s"))
        else:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.handlers[:] = [handler]
        log.setLevel(level)
        log.propagate = False
