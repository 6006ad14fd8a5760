"""Versions, their differences and a sample's origin as tables for the terminal.

Owns how history looks in text. Pure: every function returns a rich renderable and prints nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from augment.report.tables import safe_text
from augment.store.history import Comparison, RunChange, RunSummary, VersionEntry

__all__ = ["DIGITS", "comparison_table", "fields_grid", "log_table", "utc"]

DIGITS = 12
"""Hex digits of a digest that are shown; more than enough to name it in another command."""


def log_table(entries: Iterable[VersionEntry]) -> RenderableType:
    """A row a version, as given, and below it a row for each run that it added, dropped or narrowed."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for header in ("Version", "Time (UTC)"):
        table.add_column(header, no_wrap=True)
    for header in ("Rows", "Files"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("What it did", overflow="fold")
    for entry in entries:
        first, *others = [_change(change) for change in entry.changes] or [Text("nothing")]
        table.add_row(str(entry.version), utc(entry.modified_s), f"{entry.rows:,}", f"{entry.files:,}", first)
        for other in others:
            table.add_row("", "", "", "", other)
    return table


def comparison_table(comparison: Comparison) -> RenderableType:
    """Rows a class in both versions, what came and what left, and the runs behind it."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("Class", overflow="ellipsis", no_wrap=True, max_width=32)
    for header in (
        "Label",
        f"Version {comparison.first}",
        "Added",
        "Removed",
        f"Version {comparison.second}",
    ):
        table.add_column(header, justify="right", no_wrap=True)
    for each in comparison.classes:
        table.add_row(
            safe_text(each.name),
            str(each.label),
            f"{each.before:,}",
            f"+{each.added:,}" if each.added else "0",
            f"-{each.removed:,}" if each.removed else "0",
            f"{each.after:,}",
        )
    lines = [
        *(safe_text(f"added    {_run(run)}") for run in comparison.added),
        *(safe_text(f"removed  {_run(run)}") for run in comparison.removed),
        *(
            safe_text(f"changed  run {run_id}: other classes of it are revoked")
            for run_id in comparison.narrowed
        ),
    ]
    return Group(table, *lines)


def fields_grid(fields: Sequence[tuple[str, str]]) -> RenderableType:
    """Names and values, a line each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields:
        grid.add_row(name, safe_text(value))
    return grid


def utc(time_s: float) -> str:
    """`2026-11-22 21:49:24`, of seconds since 1970."""
    return datetime.fromtimestamp(time_s, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _change(change: RunChange) -> Text:
    text = f"{change.what} {change.rows:,} rows of {_run(change.run)}"
    if change.classes:
        text += f", class {', '.join(repr(name) for name in change.classes)}"
    return safe_text(f"{text}: {change.why}" if change.why else text)


def _run(run: RunSummary) -> str:
    source = f", source {run.source_fingerprint[:DIGITS]}" if run.source_fingerprint else ""
    model = f"model {run.generator_sha256[:DIGITS]}" if run.generator_sha256 else "no model"
    return f"run {run.run_id} (plan {run.plan_id}, {model}{source})"
