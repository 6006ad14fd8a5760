"""What a person sees while a job runs: bars on a terminal, lines elsewhere, in text or JSON; and what is told of it.

Owns the terminal (standard error only: standard output belongs to results), and which stage a command is in. Knows
nothing of the jobs.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from pipelines.eta import Eta, Trail, remaining
from pipelines.log_lines import JsonLines, TextLines, format_of_environment

__all__ = ["PROGRESS_MODES", "Progress", "ProgressMode", "Stage", "log", "time_left"]

ProgressMode = Literal["auto", "tty", "log", "json", "none"]
PROGRESS_MODES: tuple[ProgressMode, ...] = ("auto", "tty", "log", "json", "none")

LOG_EVERY_S = 5.0
STILL_EVERY_S = 30.0  # of silence: on lines, nothing else shows that a job lives

log = logging.getLogger("augment")


class Stage:
    """One step of a job, from 0 to `total` units; `advance_to` moves it and shows `detail`."""

    def __init__(self, name: str, total: int, unit: str, bar: RichProgress | None, lines: bool) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self.trail = Trail()
        self.failed = False
        self._bar, self._lines = bar, lines
        self._started = self._last_line = self._news_s = self._told_silence_s = time.monotonic()
        self._awaited = ""
        self._limit_at: float | None = None  # on the monotonic clock
        self._task = bar.add_task(name, total=total, detail="") if bar else None

    def advance_to(
        self, done: int, detail: str = "", *, limit_left_s: float | None = None, **fields: object
    ) -> None:
        """Show that `done` of `total` units are finished.

        `limit_left_s` is what a limit on the stage's time leaves now; `fields` are for whoever reads the log as JSON.
        """
        self.trail.add(self.seconds, done)
        self.done = done  # after the trail: whoever sees it from another thread finds its point there
        self._news_s, self._awaited = time.monotonic(), ""
        if limit_left_s is not None:
            self._limit_at = time.monotonic() + limit_left_s
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, detail=detail)
        elif self._lines and time.monotonic() - self._last_line >= LOG_EVERY_S:
            self._last_line = time.monotonic()
            self._log_line(detail, fields)

    def waits_for(self, what: str) -> None:
        """Until the stage advances, it waits for `what`, as a terminal and the lines of a log then say."""
        self._news_s, self._awaited = time.monotonic(), what
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, detail=f"waiting for {what}")

    def tell_silence(self) -> float:
        """A line that the stage is still at work, where STILL_EVERY_S brought no news of it.

        Returns the seconds until the next may be due.
        """
        now_s = time.monotonic()
        quiet_s = now_s - max(self._news_s, self._told_silence_s)
        if quiet_s < STILL_EVERY_S:
            return STILL_EVERY_S - quiet_s
        self._told_silence_s, silent_s = now_s, now_s - self._news_s
        if self._awaited:
            text = f"still waiting for {self._awaited}, {silent_s:.0f} s so far"
        elif self.unit:
            text = f"{self.done} of {self.total} {self.unit}, still at work: no news for {silent_s:.0f} s"
        else:
            text = f"still at work, {silent_s:.0f} s so far"
        log.info("%s: %s", self.name, text, extra={"fields": {"silent_s": round(silent_s, 1)}})
        return STILL_EVERY_S

    @property
    def seconds(self) -> float:
        """Wall time since the stage began."""
        return time.monotonic() - self._started

    @property
    def limit_left_s(self) -> float | None:
        """What the limit on the stage's time leaves now, where it has one."""
        return None if self._limit_at is None else max(0.0, self._limit_at - time.monotonic())

    def eta(self) -> Eta | None:
        """When it will be done, once it has done enough to tell."""
        return remaining(self.trail.points, self.total, now_s=self.seconds, limit_left_s=self.limit_left_s)

    def _log_line(self, detail: str, fields: dict[str, object]) -> None:
        eta = self.eta()
        told = [part for part in (detail, time_left(eta.left_s) if eta else "") if part]
        known = {"done": self.done, "total": self.total, "unit": self.unit}
        known |= {"eta_s": round(eta.left_s, 1)} if eta else {}
        known |= {"per_s": round(eta.per_s, 3)} if eta and eta.per_s else {}
        text = "".join(f", {part}" for part in told)
        log.info(
            "%s: %s of %s %s%s", self.name, self.done, self.total, self.unit, text,
            extra={"fields": known | fields},
        )  # fmt: skip


class Progress:
    """The stages of a job, with the seconds that each took. Of another thread, only to be read."""

    def __init__(self, mode: ProgressMode = "auto", *, quiet: bool = False) -> None:
        self.console = Console(stderr=True)
        if mode == "auto":
            mode = "tty" if sys.stderr.isatty() else "log"
        self._mode: ProgressMode = "none" if quiet else mode
        self._as_json = mode == "json" or format_of_environment() == "json"
        self.seconds: dict[str, float] = {}
        self.run_id: str | None = None  # of the run's plan, for the log and the heartbeat, once it is made
        self.turned = threading.Event()  # set when a stage begins or ends; whoever waits for it clears it
        self._stages: list[Stage] = []  # a stage may begin within another
        self._set_up_logging(logging.WARNING if self._mode == "none" else logging.INFO)

    @property
    def current(self) -> Stage | None:
        """The innermost stage that runs now."""
        stages = self._stages
        return stages[-1] if stages else None

    @contextmanager
    def stage(self, name: str, total: int = 1, unit: str = "") -> Iterator[Stage]:
        """Show one step while its body runs."""
        if self._mode == "tty":
            with self._bar() as bar:
                stage = Stage(name, total, unit, bar, lines=False)
                with self._running(stage):
                    yield stage
                stage.advance_to(total)
        else:
            lines = self._mode in ("log", "json")
            stage = Stage(name, total, unit, None, lines=lines)
            with self._running(stage), self._telling_silences(stage) if lines else nullcontext():
                yield stage
        self.seconds[name] = round(self.seconds.get(name, 0.0) + stage.seconds, 2)
        self.turned.set()
        took = {"stage": name, "seconds": round(stage.seconds, 2)}
        log.info("%s: done in %.1f s", name, stage.seconds, extra={"fields": took})

    @contextmanager
    def _running(self, stage: Stage) -> Iterator[None]:
        """The stage is the current one; one that fails stays so until the next begins: it tells where a job failed."""
        self._stages = [*(each for each in self._stages if not each.failed), stage]
        self.turned.set()
        try:
            yield
        except BaseException:
            stage.failed = True
            raise
        self._stages = self._stages[:-1]

    @contextmanager
    def _telling_silences(self, stage: Stage) -> Iterator[None]:
        """While the body runs, a long silence is told, unless a stage within this one speaks for it."""
        ended = threading.Event()

        def listen() -> None:
            due_s = STILL_EVERY_S
            while not ended.wait(due_s):
                due_s = stage.tell_silence() if self.current is stage else STILL_EVERY_S

        thread = threading.Thread(target=listen, name="augment-silence", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

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
            handler.setFormatter(JsonLines(self._known) if self._as_json else TextLines())
        log.handlers[:] = [handler]
        log.setLevel(level)
        log.propagate = False

    def _known(self) -> dict[str, object]:
        """What every line of a JSON log says."""
        known: dict[str, object] = {}
        if self.run_id is not None:
            known["run_id"] = self.run_id
        if (stage := self.current) is not None:
            known["stage"] = stage.name
        return known


def time_left(seconds: float) -> str:
    """In words, no more precise than an estimate is: `40 s left`, `12 min left`, `3.5 h left`."""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min left"
    return f"{seconds / 3600:.1f} h left"
