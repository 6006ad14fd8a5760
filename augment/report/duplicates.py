"""Images that are there twice, for the terminal.

Owns how findings look in text. Pure: returns a rich renderable and prints nothing.
"""

from rich.console import Group, RenderableType
from rich.text import Text

from augment.data.duplicates import DuplicatePair, DuplicateReport, finding_text
from augment.report.tables import safe_text

__all__ = ["duplicates_table"]

_MAX_LINES = 10  # of findings of one kind

_LEADS = {"across_splits": "Leakage: ", "near": "A hint: "}


def duplicates_table(report: DuplicateReport) -> RenderableType:
    """How many findings there are of each kind, and the first of them by file name and class."""
    compared = f"{report.compared:,} images of {', '.join(report.splits)} compared"
    if not any(report.found.values()):
        return Text(f"No duplicates: {compared}.")
    parts: list[RenderableType] = []
    for kind, count in report.found.items():
        if count:
            parts.append(Text(f"{_LEADS.get(kind, '')}{finding_text(kind, count)}", style="yellow"))
            named = [pair for pair in report.pairs if pair.kind == kind][:_MAX_LINES]
            parts += [safe_text(f"  {_line(pair)}") for pair in named]
            if count > len(named):
                parts.append(Text(f"  … and {count - len(named):,} more"))
    faint = f"; {report.faint:,} too faint to be near another" if "near" in report.found else ""
    dropped = f"; {report.dropped:,} dropped by source.duplicates" if report.dropped else ""
    return Group(*parts, Text(f"{compared}{faint}{dropped}.", style="dim"))


def _line(pair: DuplicatePair) -> str:
    how = {"file": "the same file", "pixels": "the same pixels", None: f"{pair.distance} of 64 bits differ"}
    return f"{pair.name} ({pair.class_name}) = {pair.other} ({pair.other_split}, {pair.other_class}): {how[pair.same]}"
