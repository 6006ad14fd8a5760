"""The corpus as a page for users. Owns its wording; what becomes of an input is the corpus' subject."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from tests.data.hostile import CORPUS
from tests.data.hostile.case import Case, LeftOut, Refused, Used

__all__ = ["PAGE", "markdown"]

PAGE = Path(__file__).parents[3] / "augment" / "data" / "HOSTILE_INPUTS.md"

_HEAD = """# What becomes of hostile inputs

Every line is tried in CI: the input is built, and `augment inspect --deep` counts it. *Used* inputs are images
like any other. Those *left out* are counted and named with the reason, and the rest of the source is used
(`source.on_bad=fail` makes them an error, exit code 3). Where a source is *refused*, the exit code is 3 and
the message names the file, folder or column at fault. `…` stands for what varies. No key of a dataset is ever
made from a class name; a static copy (`augment export`) has class names in paths quoted, or as plain ASCII.

Made by `python -m tests.data.hostile`.
"""


def markdown() -> str:
    """The page's text."""
    parts = [_HEAD]
    for group, cases in groupby(CORPUS, key=lambda case: case.group):
        lines = [f"| {_cell(case.title)} | {_outcome(case)} |" for case in cases]
        parts.append("\n".join([f"## {group}\n", "| input | outcome |", "|---|---|", *lines]) + "\n")
    return "\n".join(parts)


def _outcome(case: Case) -> str:
    match case.outcome:
        case Used(how=how):
            return f"used: {_cell(how)}"
        case LeftOut(reason="…"):
            return "left out"
        case LeftOut(reason=reason):
            return f"left out: {_cell(reason)}"
        case Refused(message=message):
            return f"refused: {_cell(message)}"


def _cell(text: str) -> str:
    for character in "\\|<>*_`":
        text = text.replace(character, f"\\{character}")
    return text
