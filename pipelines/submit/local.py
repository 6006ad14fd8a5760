"""Backend `local`: a detached `augment run` on this machine, with its log and exit code in a folder.

The folder is an attempt's own, by name and nonce: how a job of the same name ended, of a dataset that was
deleted or of another one, is not found in it. Whether it lives is told by a lock that its process holds, not
by a process id, which another may have by now.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydantic import Field

from augment.errors import ConfigError
from augment.types import ConfigModel
from pipelines.submit.contract import (
    SUBMISSION_VARIABLE,
    Job,
    JobStatus,
    called,
    cancelled,
    ended_with,
    run_command,
)
from pipelines.submit.log_file import text_of

__all__ = ["LocalBackend", "LocalSettings"]

POLL_S = 0.5
KILLED_AFTER_S = 60.0
LOCK_TRIES, LOCK_TRY_S = 10, 0.05

# In the background, so that it is nobody's child; it outlives a SIGTERM to its group long enough to write
# the exit code down, in a file that appears all at once. The driver is told by its own number: Ray's
# processes are of the same group, and have to live for as long as it takes a snapshot.
_SUPERVISOR = (
    'folder=$1; shift; echo $$ > "$folder/group"; '
    '{ trap : TERM; "$@" & echo $! > "$folder/driver.part" && mv "$folder/driver.part" "$folder/driver"; wait $!; '
    'echo $? > "$folder/code" && mv "$folder/code" "$folder/exit_code"; } &'
)


def _state_dir() -> str:
    return str(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "augment")


class LocalSettings(ConfigModel):
    """Where jobs on this machine keep their logs."""

    state_dir: str = Field(default_factory=_state_dir)
    """Each job has a folder in it, with its config, log and exit code."""

    command: tuple[str, ...] = Field(
        default_factory=lambda: (sys.executable, "-m", "pipelines.cli"), min_length=1
    )
    """How `augment` is called."""

    host: str = Field(default_factory=socket.gethostname)
    """The machine; recorded, so that another one doesn't look for the job on itself."""


class LocalBackend:
    """See Backend."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings

    def submit(self, job: Job) -> None:
        """See Backend."""
        folder = self._folder(job.name, job.nonce)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as lock:
            if not _taken(lock.fileno(), tries=LOCK_TRIES) or (folder / "exit_code").exists():
                return  # it runs, or has run
            config = folder / "config.json"
            config.write_text(job.submission.config_json, encoding="utf-8")
            command = run_command(self._settings.command, str(config))
            with (folder / "log").open("ab") as output:
                starter = subprocess.Popen(  # noqa: S603 - our own command
                    ["/bin/sh", "-c", _SUPERVISOR, "sh", str(folder), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),  # the job holds the lock for as long as it lives
                    env={**os.environ, SUBMISSION_VARIABLE: job.name},
                )
            starter.wait()

    def status(self, name: str, nonce: str = "") -> JobStatus:
        """See Backend."""
        folder = self._folder(name, nonce)
        where = str(folder)
        if not (folder / "lock").exists():
            return JobStatus(state="absent", where=where)
        if _running(folder):
            return JobStatus(state="running", where=where)
        code = _exit_code(folder)
        if code != 0 and (folder / "cancelled").exists():
            return cancelled(where=where)
        if code is None and not (folder / "group").exists():
            return JobStatus(state="absent", where=where)  # its submitter was killed before it started
        if code is None:
            return ended_with(
                -signal.SIGKILL, where=where, reason=f"its process was killed; see {folder / 'log'}"
            )
        return ended_with(code, where=where)

    def logs(self, name: str, nonce: str = "", *, follow: bool) -> Iterator[str]:
        """See Backend."""
        folder = self._folder(name, nonce)
        path = folder / "log"
        if not path.exists():
            return
        yield from text_of(path, lambda: follow and _running(folder), every_s=POLL_S)

    def cancel(self, name: str, nonce: str = "") -> None:
        """See Backend."""
        folder = self._folder(name, nonce)
        if not _running(folder):
            return
        (folder / "cancelled").touch()
        group = int((folder / "group").read_text(encoding="utf-8"))
        while not (folder / "driver").exists() and _running(folder):
            time.sleep(POLL_S / 10)  # it was submitted this instant
        driver = int((folder / "driver").read_text(encoding="utf-8"))
        for end, patience_s in (
            (partial(os.kill, driver, signal.SIGTERM), KILLED_AFTER_S),
            (partial(os.killpg, group, signal.SIGKILL), POLL_S),
        ):
            with suppress(ProcessLookupError):
                end()
            until_s = time.monotonic() + patience_s
            while _running(folder) and time.monotonic() < until_s:
                time.sleep(POLL_S / 5)

    def render(self, job: Job) -> str:
        """See Backend."""
        config = self._folder(job.name, job.nonce) / "config.json"
        command = shlex.join(run_command(self._settings.command, str(config)))
        return f"# {config}:\n# {job.submission.config_json}\n{command}\n"

    def _folder(self, name: str, nonce: str) -> Path:
        here = socket.gethostname()
        if self._settings.host != here:
            raise ConfigError(
                f"{name} was submitted to --backend local on {self._settings.host}, and this is {here}: ask there, or "
                "add --new-attempt to run it here"
            )
        return Path(self._settings.state_dir) / called(name, nonce)


def _exit_code(folder: Path) -> int | None:
    try:
        return int((folder / "exit_code").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _running(folder: Path) -> bool:
    try:
        with (folder / "lock").open("a") as lock:
            return not _taken(lock.fileno())
    except FileNotFoundError:
        return False


def _taken(descriptor: int, tries: int = 1) -> bool:
    """Take the lock if nobody holds it; the holder lets go by closing the file, or by dying.

    Whoever asks how a job stands holds it for an instant, so that a submitter tries more than once.
    """
    for attempt in range(tries):
        if attempt:
            time.sleep(LOCK_TRY_S)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False
