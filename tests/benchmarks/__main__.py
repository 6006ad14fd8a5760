"""`python -m tests.benchmarks SUITE`: one table on standard output, and bench-SUITE.json beside it.

Owns how a result is shown and stored. Knows nothing of what a suite measures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from augment.errors import ConfigError
from tests.benchmarks.machine import machine_facts
from tests.benchmarks.measure import Row, measure_all
from tests.benchmarks.suites import find_suite


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one suite; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        suite = find_suite(options.suite)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    repeats = options.repeats or suite.repeats
    machine, started = machine_facts(), time.monotonic()
    rows: list[Row] = []
    with ExitStack() as stack:
        for comparison in suite.comparisons(options.small, stack):
            rows += measure_all(comparison, repeats, announce=lambda line: print(line, file=sys.stderr))
    _print_table(f"{options.suite}: medians of {repeats}", rows)
    result = {
        "suite": options.suite,
        "small": options.small,
        "repeats": repeats,
        "took_s": round(time.monotonic() - started, 1),
        "machine": machine,
        "rows": [row.to_dict() for row in rows],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"bench-{options.suite}.json"
    target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{target}, {result['took_s']} s", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("suite", metavar="SUITE")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="where bench-SUITE.json is written")
    parser.add_argument("--repeats", type=_positive, help="measurements a row (default: the suite's own)")
    parser.add_argument("--small", action="store_true", help="little work: does it run? Not for figures")
    return parser


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


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


if __name__ == "__main__":
    sys.exit(main())
