"""Verbs that look after a store: whether it can be trusted with commits, and what in it may go."""

import dataclasses
import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from augment.errors import ConfigError
from pipelines.cli.shared import AsJson, DatasetUri, Mode, Quiet, print_json, progress_of, standard_output

if TYPE_CHECKING:
    from augment.objects.doctor import StoreReport
    from augment.store.collect import CollectionReport

__all__ = ["doctor", "gc"]

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MOST_NAMED = 5  # foreign objects, in a line
_STATE_STYLES = {"kept": "green", "broken": "red", "warning": "yellow", "not applicable": "dim"}

Grace = Annotated[str, typer.Option("--grace", help="Spare what is younger: 90s, 30m, 72h or 7d.")]
Delete = Annotated[bool, typer.Option("--delete", help="Delete it; without this it is only listed.")]


def doctor(uri: DatasetUri, as_json: AsJson = False, quiet: Quiet = False, progress: Mode = "auto") -> None:
    """Check that a store keeps the promises that safe commits rest on; exit 2 names the one it breaks."""
    from augment.objects.doctor import examine

    with progress_of(progress, quiet).stage("doctor"):
        report = examine(uri)
    if as_json:
        print_json({"ok": not report.broken} | dataclasses.asdict(report))
        raise typer.Exit(ConfigError.exit_code if report.broken else 0)
    standard_output().print(_trials_table(report))
    report.refuse_broken()
    typer.echo(f"ok: {report.uri} can be committed to")


def gc(
    uri: DatasetUri,
    grace: Grace = "72h",
    delete: Delete = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """List what nobody can need any more: abandoned runs, stray shards, revoked rows, unused pixels. --delete removes it."""
    from augment.objects import open_store
    from augment.store.collect import collect

    grace_s = _seconds(grace)
    with progress_of(progress, quiet).stage("gc"):
        report = collect(open_store(uri), grace_s=grace_s, delete=delete)
    if as_json:
        print_json(dataclasses.asdict(report) | {"objects": report.objects, "size_bytes": report.size_bytes})
        return
    if report.garbage or report.foreign:
        standard_output().print(_garbage_table(report))
    typer.echo(_summary(report))
    for found in report.foreign:
        _tell_foreign(report.uri, found.keys)


def _tell_foreign(uri: str, keys: tuple[str, ...]) -> None:
    named = ", ".join(keys[:_MOST_NAMED]) + (", …" if len(keys) > _MOST_NAMED else "")
    typer.echo(
        f"{len(keys):,} object(s) under {uri}/data are of no run of this dataset, and stay: {named}; readers of the "
        "whole folder take them in, so move them away if they are yours"
    )


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None:
        raise ConfigError(f"--grace={text} is not a duration; write a number and s, m, h or d, such as 72h")
    return float(match[1]) * _UNITS_S[match[2]]


def _trials_table(report: "StoreReport") -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for header in ("Promise", "", "Seen"):
        table.add_column(header, overflow="fold")
    for trial in report.trials:
        table.add_row(trial.promise, Text(trial.state, style=_STATE_STYLES[trial.state]), Text(trial.seen))
    return table


def _garbage_table(report: "CollectionReport") -> Table:
    from augment.report.tables import human_bytes

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("Run")
    table.add_column("Why")
    table.add_column("Objects", justify="right")
    table.add_column("Size", justify="right")
    for found in (*report.garbage, *report.foreign):
        table.add_row(found.run_id or "", found.reason, f"{len(found.keys):,}", human_bytes(found.size_bytes))
    return table


def _summary(report: "CollectionReport") -> str:
    from augment.report.tables import human_bytes

    if not report.garbage:
        return f"{report.uri}: nothing to collect"
    what = f"{report.objects:,} object(s), {human_bytes(report.size_bytes)}"
    if report.deleted:
        return f"deleted {what}"
    return f"would delete {what}; add --delete to do it"
