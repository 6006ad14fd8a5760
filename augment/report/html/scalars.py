"""The kinds of number in a report, and how each is written.

Owns the types and their text: what a page, a table and a card show for one value is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from augment.report.tables import human_bytes, human_duration

__all__ = ["FORMATS", "Count", "Finite", "Seconds", "Share", "shown"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]

_MINUS = "\N{MINUS SIGN}"  # as wide as a digit, and read out as minus


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)


def _number(value: float) -> str:
    """Three significant digits, in full below a million."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return _signed(f"{value:.2e}")
    if abs(value) >= 100:
        return _signed(f"{value:,.0f}")
    return _signed(f"{value:.3g}")


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


FORMATS: dict[str, Callable[[float], str]] = {
    "plain": lambda value: f"{value:.0f}",  # a label, which no thousands are marked in
    "count": lambda value: _signed(f"{value:,.0f}"),
    "number": _number,
    "percent": lambda share: _signed(f"{100 * share:.1f}%"),
    "level": lambda share: f"{100 * share:g}%",
    "points": lambda share: _signed(f"{100 * share:+.2f}"),  # a difference of shares, in percentage points
    "ratio": lambda value: f"{value:,.1f}",
    "p": _p_value,
    "bytes": human_bytes,
    "duration": human_duration,
}
"""Text of a number, by the name of its kind."""


def shown(value: float, kind: str) -> str:
    """`value` as the report writes it; `kind` is one of FORMATS."""
    return FORMATS[kind](value)
