"""Scores as tables for the terminal: one line a contender, or one line a class.

Owns the columns. What the figures mean is `fidelity`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from tests.benchmarks.fidelity import Fidelity, References

__all__ = ["Line", "class_table", "contender_table", "show"]

WIDTH = 200  # of a file or a pipe, which has none of its own


@dataclass(frozen=True, slots=True)
class Line:
    """One contender's line; `cost` holds further columns, in words. Without fidelity it failed, and `why`."""

    name: str
    fidelity: Fidelity | None
    cost: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


def contender_table(title: str, references: References, lines: Sequence[Line]) -> Table:
    """The references, then `lines`. `×` is times the duplicates' figure; recall is a share of the floor's."""
    costs = list(dict.fromkeys(name for line in lines for name in line.cost))
    table = Table(title=title, title_justify="left")
    for header in ("", "FID mean", "FID worst class", "labels", "recall", "near copies: features, pixels"):
        table.add_column(header)
    for header in costs:
        table.add_column(header, justify="right")
    table.add_column("misses")
    for name, fidelity in (("floor: real images", references.floor), ("duplicates", references.duplicates)):
        table.add_row(name, *_figures(fidelity, references))
    table.add_section()
    for line in lines:
        cost = [line.cost.get(name, "") for name in costs]
        if line.fidelity is None:
            table.add_row(line.name, *[""] * 5, *cost, line.why)
            continue
        missed = ", ".join(references.misses(line.fidelity)) or "nothing"
        table.add_row(line.name, *_figures(line.fidelity, references), *cost, missed)
    return table


def class_table(title: str, references: References, found: Fidelity) -> Table:
    """One contender class by class, its distances beside those of real images and of duplicates."""
    table = Table(title=title, title_justify="left")
    headers = ("", "FID", "floor's", "duplicates'", "labels lost", "precision", "recall", "floor's", "spread")
    for header in (*headers, "near copies: features, pixels"):
        table.add_column(header, justify="left" if header == "" else "right")
    rows = zip(found.classes, references.floor.classes, references.duplicates.classes, strict=True)
    for one, floor, copied in rows:
        table.add_row(
            one.name,
            *(f"{score.frechet:.3g}" for score in (one, floor, copied)),
            *(f"{value:.2f}" for value in (one.accuracy_lost, one.precision, one.recall, floor.recall)),
            f"{one.spread:.2f}",
            f"{one.near_by_features.generated.value:.1%}, {one.near_by_pixels.generated.value:.1%}",
        )
    return table


def show(table: Table) -> None:
    """On standard output."""
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def _figures(found: Fidelity, references: References) -> list[str]:
    copied, worst, lost = references.duplicates, found.worst_frechet, found.worst_accuracy
    least, share = found.worst_recall(references.floor)
    near = [f"{one.generated.value:.1%}" for one in (found.near_by_features, found.near_by_pixels)]
    return [
        f"{found.mean_frechet:.3g} ({found.mean_frechet / copied.mean_frechet:.1f}×)",
        f"{worst.frechet:.3g} ({worst.frechet / copied.worst_frechet.frechet:.1f}×) {worst.name}",
        f"{-lost.accuracy_lost:+.2f} {lost.name}",
        f"{share:.2f} {least.name}",
        ", ".join(near),
    ]
