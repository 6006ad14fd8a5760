"""Axes: where a value lies between two ends, and which round values get a label.

Owns linear and logarithmic scales. Pure numbers, no markup.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Scale", "linear_scale", "scale_for"]

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LOG_FROM = 100.0  # largest ÷ smallest from which on a positive quantity is shown on a logarithmic axis


@dataclass(frozen=True)
class Scale:
    """Maps `low` … `high` to 0 … 1; `ticks` are the values that are labelled, ascending."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Where `value` lies, held within 0 and 1."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(max(value, self.low))
        return min(1.0, max(0.0, (at - low) / (high - low)))


def linear_scale(values: Sequence[float], *, ticks: int = 4, zero: bool = False) -> Scale:
    """About `ticks` + 1 round values around all of `values`; `zero` is among them where asked."""
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    step = _round_step((high - low) / ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Rounded to the step's own digits: 3 · 0.1 is no 0.30000000000000004.
    digits = max(0, 2 - math.floor(math.log10(step)))
    marks = tuple(round(position * step, digits) for position in range(first, last + 1))
    return Scale(marks[0], marks[-1], marks)


def scale_for(values: Sequence[float]) -> Scale:
    """A logarithmic scale where positive values span two orders of magnitude or more, else a linear one."""
    low, high = min(values), max(values)
    if low <= 0 or high < _LOG_FROM * low:
        return linear_scale(values)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, -(-(last - first) // 5))
    ticks = tuple(10.0**power for power in range(first, last + 1, stride))
    return Scale(10.0**first, 10.0**last, ticks, logarithmic=True)


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(step * magnitude for step in _STEPS if step * magnitude >= rough * (1 - 1e-9))
