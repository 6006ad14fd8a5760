"""Verbs of batch submission: a job handed to a scheduler, followed and stopped. How it stands, cli/status.py tells.

What they do is pipelines.submit's; here are their options, what they print, and the exit code of a job that is waited
for: the job's own, by the contract.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augment.errors import ConfigError
from pipelines.cli.shared import (
    AsJson,
    ConfigPath,
    DatasetUri,
    Mode,
    Overrides,
    Quiet,
    load,
    print_json,
    progress_of,
)

if TYPE_CHECKING:
    from augment.config import Config
    from pipelines.submit.desk import Desk, Seen

__all__ = ["cancel", "logs", "render", "submit"]

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

BackendName = Annotated[str, typer.Option("--backend", "-b", help="local, ray, kuberay or slurm.")]
ClusterFile = Annotated[
    Path | None,
    typer.Option("--cluster", help="The backend's own settings, a YAML file; not part of the job."),
]
RunId = Annotated[
    str | None, typer.Option("--run-id", help="A name for the run; by default a hash of all that decides it.")
]
Asked = Annotated[str | None, typer.Option("--run-id", help="Which run; the newest submission by default.")]
Tick = Annotated[
    str | None, typer.Option("--tick", help="Of a schedule, such as 2026-11-23: another tick is another run.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job has ended; its exit code is ours.")]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", help="Give up waiting (exit 75), such as 90m or 12h; the job goes on."),
]
Retries = Annotated[
    int, typer.Option("--retries", min=0, help="With --wait: new attempts after exit codes 5 and 75.")
]
NewAttempt = Annotated[
    bool, typer.Option("--new-attempt", help="Don't ask how the last attempt stands: its cluster is gone.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")]


def submit(
    config: ConfigPath,
    backend: BackendName = "local",
    cluster: ClusterFile = None,
    set_: Overrides = None,
    run_id: RunId = None,
    tick: Tick = None,
    wait: Wait = False,
    timeout: Timeout = None,
    retries: Retries = 0,
    new_attempt: NewAttempt = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Hand the whole job to a scheduler. The same job again is attached to, not run twice."""
    from augment.objects import open_store
    from pipelines.submit.backends import read_settings
    from pipelines.submit.desk import RESUMABLE, Desk
    from pipelines.submit.run_id import submission_of

    timeout_s = _seconds(timeout)
    progress_of(progress, quiet)
    loaded, settings = _checked(config, set_, backend), read_settings(backend, cluster)
    desk = Desk(open_store(loaded.output.uri))
    submission = submission_of(loaded, run_id, tick)
    seen = desk.submit(submission, backend, settings, new_attempt=new_attempt)
    _say(seen, "attached to" if seen.attached else "submitted")
    if wait:
        ended = desk.wait(seen.attempt, timeout_s=timeout_s)
        for _ in range(retries):
            if ended.status.exit_code not in RESUMABLE or ended.status.state == "cancelled":
                break
            _say(ended, "trying again after")
            ended = desk.wait(desk.submit(submission, backend, settings).attempt, timeout_s=timeout_s)
        _finish(desk, ended, as_json)
    elif as_json:
        print_json({"dataset": desk.store.uri, **seen.document()})
    else:
        typer.echo(seen.attempt.run_id)


def logs(uri: DatasetUri, run_id: Asked = None, cluster: ClusterFile = None, follow: Follow = False) -> None:
    """Print what a submitted run has printed."""
    desk, chosen = _desk(uri, run_id, cluster)
    for text in desk.logs(chosen, follow=follow):
        typer.echo(text, nl=False)


def cancel(
    uri: DatasetUri,
    run_id: Asked = None,
    cluster: ClusterFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Stop a submitted run. What it has stored is kept; submitting it again goes on from there."""
    progress_of(progress, quiet)
    desk, chosen = _desk(uri, run_id, cluster)
    seen = desk.cancel(chosen)
    if as_json:
        print_json({"dataset": desk.store.uri, **seen.document()})
    else:
        typer.echo(f"{chosen} is {seen.status.state}{_coded(seen)}")


def render(
    config: ConfigPath,
    backend: BackendName = "local",
    cluster: ClusterFile = None,
    set_: Overrides = None,
    run_id: RunId = None,
    tick: Tick = None,
) -> None:
    """Print what `submit` would send, and send nothing; with --run-id, contact nothing either."""
    from pipelines.submit.backends import open_backend, read_settings
    from pipelines.submit.contract import Job
    from pipelines.submit.run_id import submission_of

    loaded = _checked(config, set_, backend)
    settings = read_settings(backend, cluster)
    submission = submission_of(loaded, run_id, tick)
    typer.echo(
        open_backend(backend, settings).render(Job(name=submission.run_id, submission=submission)), nl=False
    )


def _checked(path: Path, overrides: list[str] | None, backend: str) -> Config:
    """The config, if it means the same where the job runs."""
    from pipelines.submit.fitness import refuse_immobile, refuse_memory

    loaded = load(path, overrides)
    refuse_memory(loaded)
    if backend != "local":
        refuse_immobile(loaded, backend)
    return loaded


def _desk(uri: str, run_id: str | None, cluster: Path | None) -> tuple[Desk, str]:
    """The dataset's submissions, and which of them is meant."""
    from augment.objects import open_store
    from pipelines.submit.backends import read_settings
    from pipelines.submit.desk import Desk
    from pipelines.submit.record import newest_run_id

    desk = Desk(open_store(uri))
    chosen = run_id or newest_run_id(desk.store)
    if cluster is not None:
        desk = Desk(desk.store, settings=read_settings(desk.last(chosen).backend, cluster))
    return desk, chosen


def _finish(desk: Desk, ended: Seen, as_json: bool) -> None:
    """Print how the job ended, and leave with its exit code."""
    code = ended.status.exit_code
    assert code is not None  # noqa: S101  # of an ended job
    if as_json:
        print_json({"ok": code == 0, "dataset": desk.store.uri, **ended.document()})
    elif code == 0:
        typer.echo(ended.attempt.run_id)
    if code:
        typer.echo(
            f"error: {ended.attempt.name} {ended.status.state}: {ended.status.reason} (augment logs {desk.store.uri} "
            f"--run-id {ended.attempt.run_id})",
            err=True,
        )
        raise typer.Exit(code)


def _say(seen: Seen, did: str) -> None:
    from pipelines.progress import log

    log.info("%s %s on %s: %s", did, seen.attempt.name, seen.attempt.backend, seen.status.where)


def _coded(seen: Seen) -> str:
    return f", exit code {seen.status.exit_code}" if seen.status.exit_code else ""


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None:
        raise ConfigError(f"--timeout={text} is not a duration; write a number and s, m, h or d, such as 12h")
    return float(match[1]) * _UNITS_S[match[2]]
