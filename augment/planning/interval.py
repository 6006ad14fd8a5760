"""A figure that is not known exactly: a middle value and the bounds that it is expected to lie between.

Owns the arithmetic of such figures, for amounts that are never below 0. Bounds are carried through as if all
errors had the same sign: what is added up here was measured on one machine in one minute, and a slow machine is slow
at everything, so that errors don't cancel.
"""

from pydantic import model_validator
from typing_extensions import Self

from augment.types import Record

__all__ = ["Interval"]


class Interval(Record):
    """0 ≤ low ≤ middle ≤ high."""

    low: float
    middle: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 <= self.low <= self.middle <= self.high:
            raise ValueError(f"{self.low}, {self.middle}, {self.high} are not in order above 0")
        return self

    @classmethod
    def exactly(cls, value: float) -> "Interval":
        """A figure that is known."""
        return cls(low=value, middle=value, high=value)

    @classmethod
    def within_factor(cls, value: float, factor: float) -> "Interval":
        """A figure that is good to a factor ≥ 1: value ÷ factor to value · factor."""
        return cls(low=value / factor, middle=value, high=value * factor)

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(
            low=self.low + other.low, middle=self.middle + other.middle, high=self.high + other.high
        )

    def __mul__(self, other: "Interval | float") -> "Interval":
        """Times another figure, or a number ≥ 0."""
        by = other if isinstance(other, Interval) else Interval.exactly(other)
        return Interval(low=self.low * by.low, middle=self.middle * by.middle, high=self.high * by.high)

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> "Interval":
        """Through a number > 0."""
        return Interval(low=self.low / number, middle=self.middle / number, high=self.high / number)

    def at_least(self, other: "Interval") -> "Interval":
        """The larger of the two, bound by bound."""
        return Interval(
            low=max(self.low, other.low),
            middle=max(self.middle, other.middle),
            high=max(self.high, other.high),
        )

    def at_most(self, limit: float) -> "Interval":
        """Cut off at `limit` ≥ 0."""
        return Interval(low=min(self.low, limit), middle=min(self.middle, limit), high=min(self.high, limit))

    @property
    def spread(self) -> float:
        """How far the bounds lie from the middle, as a share of it: the larger of the two; 0 of nothing."""
        if not self.middle:
            return 0.0
        return max(self.high - self.middle, self.middle - self.low) / self.middle
