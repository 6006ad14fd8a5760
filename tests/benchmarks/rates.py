"""How a suite of comparisons is run and shown: a table of median rates, and the same as JSON values.

Owns that table. How a rate is measured is `measure`'s, of what a suite's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import Comparison, Row, measure_all
from tests.benchmarks.options import Options

__all__ = ["compare"]


def compare(
    comparisons: Callable[[bool, ExitStack], list[Comparison]], default_repeats: int, options: Options
) -> dict[str, Any]:
    """Measure and print; `comparisons(small, stack)` sets up what all share, closing `stack` takes it away."""
    repeats = options.repeats or default_repeats
    rows: list[Row] = []
    with ExitStack() as stack:
        for comparison in comparisons(options.small, stack):
            rows += measure_all(comparison, repeats, announce=lambda line: print(line, file=sys.stderr))
    _print_table(f"medians of {repeats}", rows)
    return {"repeats": repeats, "rows": [row.to_dict() for row in rows]}


def _print_table(title: str, rows: Sequence[Row]) -> None:
    table = Table(title=title, title_justify="left")
    for header in ("", "median", "min … max", "ratio", "peak MB", "not timed"):
        table.add_column(header, justify="left" if header in ("", "ratio", "not timed") else "right")
    for index, row in enumerate(rows):
        if index == 0 or rows[index - 1].comparison != row.comparison:
            table.add_section()
            table.add_row(f"[bold]{row.comparison}[/bold]")
        table.add_row(
            f"  {row.name}",
            f"{_rounded(row.median)} {row.unit}/s",
            f"{_rounded(min(row.rates))} … {_rounded(max(row.rates))}",
            "\n".join(f"{ratio:.2f} × {name}" for name, ratio in row.ratios.items()),
            f"{row.peak_mb:,.0f}",
            ", ".join(f"{name} {seconds:.1f} s" for name, seconds in row.apart.items()),
        )
    # In a file or a pipe there is no width to keep to.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _rounded(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
