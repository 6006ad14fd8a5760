"""The verb that tells how a job stands, from the dataset's store: the cluster may be gone, or never have been.

What is known is pipelines.run_status's; here is what is printed of it, a line a fact. The exit code is this command's
own: 0 where it could tell, whatever it had to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augment.errors import ConfigError
from pipelines.cli.shared import AsJson, Mode, Overrides, Quiet, load, print_json, progress_of

if TYPE_CHECKING:
    from augment.objects import ObjectStore
    from augment.store.heartbeat import Heartbeat, StageState, StoredHeartbeat
    from pipelines.eta import Eta
    from pipelines.run_status import RunStatus, ShardCount, Submitted
    from pipelines.submit.desk import Desk

__all__ = ["status"]

Dataset = Annotated[str | None, typer.Argument(help="The dataset: a folder or s3://bucket/prefix.")]
Config_ = Annotated[
    Path | None, typer.Option("--config", "-c", help="Instead of a dataset: the config of the job.")
]
Asked = Annotated[
    str | None, typer.Option("--run-id", help="Which submission; by default what is newest there.")
]
ClusterFile = Annotated[
    Path | None,
    typer.Option("--cluster", help="The backend's own settings, a YAML file, instead of those recorded."),
]


def status(
    dataset: Dataset = None,
    config: Config_ = None,
    set_: Overrides = None,
    run_id: Asked = None,
    cluster: ClusterFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Say how a job stands: stage, progress, time left, shards, last error; submitted or not, cluster or none."""
    from augment.objects import open_store
    from pipelines.run_status import run_status

    progress_of(progress, quiet)
    if (dataset is None) == (config is None):
        raise ConfigError("give the dataset, or the config of the job with -c: one of the two")
    name = None
    if config is not None:
        loaded = load(config, set_)
        dataset, name = loaded.output.uri, loaded.name
    store = open_store(dataset or "")
    found = run_status(_desk(store, run_id, cluster), name=name, run_id=run_id)
    if as_json:
        print_json(found.document())
        return
    for label, text in _lines(found):
        typer.echo(f"{label:<10}{text}")


def _desk(store: ObjectStore, run_id: str | None, cluster: Path | None) -> Desk:
    """The dataset's submissions, asked with other settings than were recorded where a cluster file is given."""
    from pipelines.submit.backends import read_settings
    from pipelines.submit.desk import Desk
    from pipelines.submit.record import newest_attempt

    begun = newest_attempt(store, run_id=run_id) if cluster is not None else None
    if cluster is None:
        return Desk(store)
    if begun is None:
        raise ConfigError(f"--cluster={cluster} is of no use: nothing was ever submitted for {store.uri}")
    return Desk(store, settings=read_settings(begun.attempt.backend, cluster))


def _lines(found: RunStatus) -> Iterator[tuple[str, str]]:
    version = "no version yet" if found.version is None else f"version {found.version}"
    yield "dataset", f"{found.dataset}, {version}"
    if found.submitted is not None:
        yield from _submitted_lines(found.submitted)
    yield "state", _state(found)
    if found.reason:
        yield "reason", found.reason
    if found.heartbeat is not None:
        yield from _heartbeat_lines(found.heartbeat, found.eta, found.now_s)
    if found.shards is not None:
        yield "shards", _shards(found.shards)


def _submitted_lines(submitted: Submitted) -> Iterator[tuple[str, str]]:
    attempt, known = submitted.attempt, submitted.status
    yield "submitted", f"{attempt.run_id}, attempt {attempt.number}"
    if known is not None:
        yield "backend", f"{attempt.backend}: {known.state}, {known.where}"
    else:
        yield "backend", f"{attempt.backend} does not say: {submitted.unasked}"


def _state(found: RunStatus) -> str:
    if found.state == "silent" and found.heartbeat is not None:
        when = datetime.fromtimestamp(found.heartbeat.modified_s, timezone.utc)
        age = _duration(found.heartbeat.age_s(found.now_s))
        return f"no sign of life since {when:%Y-%m-%d %H:%M:%S} UTC, {age} ago (dead?)"
    if found.state == "unknown":
        return "unknown: its backend does not say, and the store has heard nothing of it"
    return f"{found.state}, exit code {found.exit_code}" if found.exit_code else found.state


def _heartbeat_lines(heartbeat: StoredHeartbeat, eta: Eta | None, now_s: float) -> Iterator[tuple[str, str]]:
    said = heartbeat.record
    run = f", run {said.run_id}" if said.run_id else ""
    yield (
        "command",
        f"augment {said.command} of {said.name!r}{run}, began {said.started:%Y-%m-%d %H:%M:%S} UTC",
    )
    if said.stage is not None:
        yield "stage", f"{said.stage.name}{_progress(said, said.stage, eta)}"
    if said.seconds:
        yield "done", ", ".join(f"{name} {_duration(seconds)}" for name, seconds in said.seconds.items())
    if said.last_warning is not None:
        yield "warning", said.last_warning
    if said.last_error is not None:
        yield "error", said.last_error
    yield "heard", f"{_duration(heartbeat.age_s(now_s))} ago, by augment {said.version}"


def _progress(said: Heartbeat, stage: StageState, eta: Eta | None) -> str:
    """`: 1,200 of 5,000 steps (24%), 31 steps/s, about 2 min left (1.8 min to 2.3 min)`."""
    if not stage.unit:
        return "" if said.exit_code is not None else f" for {_duration(stage.elapsed_s)}"
    share = f" ({stage.done / stage.total:.0%})" if stage.total else ""
    parts = [f"{stage.done:,.0f} of {stage.total:,.0f} {stage.unit}{share}"]
    if stage.per_s:
        parts.append(f"{stage.per_s:,.3g} {stage.unit}/s")
    if eta is not None:
        parts.append(
            f"about {_duration(eta.left_s)} left ({_duration(eta.low_s)} to {_duration(eta.high_s)})"
        )
    return ": " + ", ".join(parts)


def _shards(shards: ShardCount) -> str:
    done = "committed" if shards.committed else f"{shards.stored:,} of {shards.planned:,} are stored"
    rows = f"{shards.rows_stored:,} of {shards.rows_planned:,} samples"
    return f"{done}, {rows} (run {shards.run_id})"


def _duration(seconds: float) -> str:
    """`4.2 s`, `48 s`, `12 min`, `3.5 h`, `2.1 days`: no more precise than it is read."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for below, unit_s, text in ((90, 1, "{:.0f} s"), (5400, 60, "{:.0f} min"), (172_800, 3600, "{:.1f} h")):
        if seconds < below:
            return text.format(seconds / unit_s)
    return f"{seconds / 86_400:.1f} days"
