"""A driver's heartbeat: a thread that tells the dataset's store how the command goes, and at its end how it ended.

Owns when it speaks: every EVERY_S, at each change of stage, and at the end. It only ever looks on: a store that does not
answer costs a debug line, and neither the command nor its end waits for it. Commands that only read have none. What is
said is augment.store.heartbeat's.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

from augment.config import Config
from augment.errors import AugmentError, PartialError
from augment.objects import ObjectStore, open_store
from augment.redaction import redact
from augment.store.heartbeat import Heartbeat, StageState, put_heartbeat
from pipelines.progress import Progress, Stage, log
from pipelines.stopping import was_asked
from pipelines.submit.contract import SUBMISSION_VARIABLE

__all__ = ["Heart", "beating"]

EVERY_S = 15.0
LAST_WORD_WITHIN_S = 10.0  # how long the end of a command waits for its last heartbeat
INTERRUPTED = 130
STOPPED = "stopped by SIGTERM"

_LONGEST_TEXT = 2_000


@contextmanager
def beating(config: Config, progress: Progress, command: str) -> Iterator[None]:
    """While the body runs, the store of `config.output` is told how it goes; then its exit code, and its error."""
    heart = Heart(open_store(config.output.uri), config.name, command, progress)
    code, error = 1, None
    with heart:
        try:
            yield
            code = 0
        except KeyboardInterrupt:
            code, error = _interrupted()
            raise
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if code == signal.SIGTERM:  # as Ray's handler leaves; pipelines.cli ends by the contract
                code, error = PartialError.exit_code, STOPPED
            raise
        except Exception as raised:
            code = int(getattr(raised, "exit_code", 1))  # our errors have one, and so has typer's way to end
            if isinstance(raised, AugmentError) or not hasattr(raised, "exit_code"):
                error = _told(raised)
            raise
        finally:
            heart.ends_with(code, error)


class Heart:
    """Beats while it is entered; `ends_with` is what its last beat says."""

    def __init__(
        self, store: ObjectStore, name: str, command: str, progress: Progress, *, every_s: float = EVERY_S
    ) -> None:
        self._store, self._progress, self._every_s = store, progress, every_s
        self._said = _LastWords()
        self._exit_code: int | None = None
        self._ending = False
        self._thread = threading.Thread(target=self._beat, name="augment-heartbeat", daemon=True)
        self._first = Heartbeat(
            name=name,
            command=command,
            version=importlib.metadata.version("ray-augment"),
            submission=os.environ.get(SUBMISSION_VARIABLE) or None,
            started=_now(),
            updated=_now(),
        )

    def __enter__(self) -> Heart:
        log.addHandler(self._said)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ending = True
        self._progress.turned.set()
        self._thread.join(LAST_WORD_WITHIN_S)
        log.removeHandler(self._said)

    def ends_with(self, exit_code: int, error: str | None = None) -> None:
        """What the last beat says; without it, that the command lives."""
        self._exit_code = exit_code
        if error is not None:
            self._said.error = _short(error)

    def beat(self) -> Heartbeat:
        """How the command goes now."""
        progress, code = self._progress, self._exit_code
        stage = progress.current if code != 0 else None
        return self._first.model_copy(
            update={
                "run_id": progress.run_id,
                "updated": _now(),
                "stage": _state(stage) if stage is not None else None,
                "seconds": dict(progress.seconds),
                "last_warning": self._said.warning,
                "last_error": self._said.error,
                "exit_code": code,
            }
        )

    def _beat(self) -> None:
        ended = False
        while not ended:
            ended = self._ending  # looked at before the beat, so that the last one says the end
            self._progress.turned.clear()
            try:
                put_heartbeat(self._store, self.beat())
            except AugmentError as error:
                log.debug("heartbeat: %s", error)
            if not ended and not self._ending:
                self._progress.turned.wait(self._every_s)


class _LastWords(logging.Handler):
    """Remembers the last warning and the last error that were logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warning: str | None = None
        self.error: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        text = _short(record.getMessage())
        if record.levelno >= logging.ERROR:
            self.error = text
        else:
            self.warning = text


def _state(stage: Stage) -> StageState:
    eta = stage.eta()
    return StageState(
        name=stage.name,
        done=stage.done,
        total=stage.total,
        unit=stage.unit,
        elapsed_s=round(stage.seconds, 2),
        points=tuple((round(point.at_s, 2), point.done) for point in stage.trail.points),
        per_s=eta.per_s if eta is not None else None,
        limit_left_s=stage.limit_left_s,
    )


def _interrupted() -> tuple[int, str]:
    """By its user's Ctrl-C, or by a machine that is wanted back: then it is partly done, and can be retried."""
    return (PartialError.exit_code, STOPPED) if was_asked() else (INTERRUPTED, "stopped by Ctrl-C")


def _told(error: Exception) -> str:
    """As its user sees it; of an error that is none of ours, which one it was, too."""
    return str(error) if isinstance(error, AugmentError) else f"{type(error).__name__}: {error}"


def _short(text: str) -> str:
    clean = redact(text)
    return clean if len(clean) <= _LONGEST_TEXT else f"{clean[: _LONGEST_TEXT - 1]}…"


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
