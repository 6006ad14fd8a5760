"""What is submitted, what a backend promises, and what an ended job's exit code means. Knows no backend.

A submission is a spec: a config, and what it is to be run on and by. It is run in attempts, one after another, each
a job of its own with a name of its own, since a backend's names (a Ray submission id, a RayJob) are used only once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from augment.errors import ConfigError, PartialError, RetryLaterError
from augment.types import Record, canonical_json
from pipelines.log_lines import FORMAT_VARIABLE

__all__ = [
    "MAX_NAME",
    "MAX_RUN_ID",
    "NONCE_KEY",
    "SUBMISSION_VARIABLE",
    "Backend",
    "Job",
    "JobState",
    "JobStatus",
    "Submission",
    "called",
    "cancelled",
    "checked_run_id",
    "ended_with",
    "job_environment",
    "job_name",
    "never_started",
    "run_command",
]

MAX_NAME = 47  # characters of a RayJob's name, the shortest of what backends allow
MAX_RUN_ID = 42  # leaves room for the attempt: -9999
SUBMISSION_VARIABLE = "AUGMENT_SUBMISSION"  # tells a job its name, for its heartbeat
NONCE_KEY = "augment_nonce"  # in what a backend lets a job carry of its own

JobState = Literal["absent", "waiting", "running", "succeeded", "failed", "cancelled"]

_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_OURS = frozenset({0, 1, 2, 3, 4, 5, 75})
_NOT_THERE = (126, 127)  # how a shell says that it can't run a command


class Submission(Record):
    """All that decides a run. Equal submissions have equal ids; no secret, host or time is in it."""

    run_id: str
    config: dict[str, Any]  # of augment.config, as JSON
    code_version: str
    source_fingerprint: str | None = (
        None  # of the source's listing; None where the id was given and nothing was read
    )
    tick: str | None = None  # of a schedule
    schema_version: int = 1

    @property
    def config_json(self) -> str:
        """The config in a line; JSON is YAML, so `augment run -c` reads it."""
        return canonical_json(self.config).decode()


class Job(Record):
    """One attempt at a submission, as a backend is given it."""

    name: str  # DNS-1035, ≤ MAX_NAME characters
    submission: Submission
    nonce: str = ""  # of this attempt and no other: of another dataset, a job may have the same name


class JobStatus(Record):
    """What a backend says of a job."""

    state: JobState  # "absent": the backend knows no job of this name
    exit_code: int | None = None  # by the contract of augment.errors, of an ended job
    reason: str = ""  # in a user's words
    where: str = ""  # what the backend calls it

    @property
    def alive(self) -> bool:
        """Whether it runs, or will."""
        return self.state in ("waiting", "running")

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("succeeded", "failed", "cancelled")


class Backend(Protocol):
    """A place where jobs run. Built from its settings; it keeps nothing in memory between calls.

    A job is asked for by its name and its nonce: what the backend has under the name with another nonce is another job,
    and never passes for this one. Without a nonce, as attempts of older versions are, the name is all that counts.

    Every method raises ConfigError (no access, a wrong setting) or RetryLaterError (the service did not answer, with
    the reason) where it applies.
    """

    def submit(self, job: Job) -> None:
        """Start the job, or do nothing where it is there already. Safe to repeat."""

    def status(self, name: str, nonce: str = "") -> JobStatus:
        """How the job stands; state "absent" where there is none."""

    def logs(self, name: str, nonce: str = "", *, follow: bool) -> Iterator[str]:
        """What the job has printed, in pieces; with `follow`, on until it ends. Nothing of an absent job."""

    def cancel(self, name: str, nonce: str = "") -> None:
        """Stop the job, giving it time to finish what it holds; nothing where it has ended or is absent."""

    def render(self, job: Job) -> str:
        """What `submit` would send, to be read, kept or applied by hand; contacts nothing."""


def run_command(augment: tuple[str, ...], config_path: str) -> tuple[str, ...]:
    """The job's command: `augment` as the backend calls it, with the config where the backend has put it."""
    return (*augment, "run", "-c", config_path, "--progress", "log")


def job_environment(job: Job, env: Mapping[str, str]) -> dict[str, str]:
    """A cluster's job's environment: its name, logs for machines to collect, and the user's `env`, which wins."""
    return {FORMAT_VARIABLE: "json", SUBMISSION_VARIABLE: job.name, **env}


def checked_run_id(run_id: str) -> str:
    """The id itself; ConfigError where it can't name a job on every backend."""
    if len(run_id) > MAX_RUN_ID or not _DNS_1035.fullmatch(run_id):
        raise ConfigError(
            f"--run-id={run_id} can't name a job: give up to {MAX_RUN_ID} of a-z, 0-9 and '-', beginning with a "
            "letter and not ending with '-'"
        )
    return run_id


def called(name: str, nonce: str) -> str:
    """What a job is called where any name will do: another one for each nonce, so that nothing old is found by it."""
    return f"{name}.{nonce}" if nonce else name


def job_name(run_id: str, attempt: int) -> str:
    """The name of attempt 1, 2, …; the first has the run's own."""
    return run_id if attempt == 1 else f"{run_id}-{attempt}"


def ended_with(code: int, *, where: str, reason: str = "") -> JobStatus:
    """The status of a job whose process ended with `code`, by our contract.

    Our own codes stay what they are. A process that was killed is 5: what it stored is kept, and a new attempt goes
    on from it. A command that could not be run is 2. `code` is as a shell or as Python gives it: 128 + n or -n for
    signal n.
    """
    if code == 0:
        return JobStatus(state="succeeded", exit_code=0, reason=reason, where=where)
    if code in _OURS:
        said = reason or f"it ended with exit code {code}"
        return JobStatus(state="failed", exit_code=code, reason=said, where=where)
    if code < 0 or code >= 128:
        said = reason or f"it was killed by signal {-code if code < 0 else code - 128}"
        return JobStatus(state="failed", exit_code=PartialError.exit_code, reason=said, where=where)
    if code in _NOT_THERE:
        said = (
            reason
            or f"its command can't be run there (exit code {code}); correct `command` in the cluster file"
        )
        return JobStatus(state="failed", exit_code=ConfigError.exit_code, reason=said, where=where)
    said = reason or f"it ended with exit code {code}, which is none of ours"
    return JobStatus(state="failed", exit_code=1, reason=said, where=where)


def never_started(reason: str, *, where: str) -> JobStatus:
    """The status of a job whose command never ran, for no fault of its own."""
    return JobStatus(state="failed", exit_code=RetryLaterError.exit_code, reason=reason, where=where)


def cancelled(*, where: str) -> JobStatus:
    """The status of a job that its user has stopped: what it stored is kept, and a new attempt goes on from it."""
    return JobStatus(
        state="cancelled", exit_code=PartialError.exit_code, reason="cancelled by its user", where=where
    )
