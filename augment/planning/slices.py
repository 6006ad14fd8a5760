"""Work that is measured slice by slice, and what the slices say of the next one.

Owns the method: the rate is total by total, and its uncertainty is how much slices differ. Pure: the clock is
handed in. Knows nothing of what is measured.
"""

import math
import statistics
import time
from collections.abc import Callable

from pydantic import model_validator
from typing_extensions import Self

from augment.planning.interval import Interval
from augment.types import Record

__all__ = ["Slices", "repeated"]

CONFIDENCE = 0.95
FEWEST = 3  # of two slices, the spread says nothing
UNKNOWN_FACTOR = 2.0  # of a single slice
MOST_FACTOR = 10.0  # beyond it the figure says nothing, however far beyond


class Slices(Record):
    """What slices of some work came to (seconds, or bytes), and how many units of it each held."""

    units: tuple[float, ...]
    totals: tuple[float, ...]

    @model_validator(mode="after")
    def _in_step(self) -> Self:
        if not self.units or len(self.units) != len(self.totals):
            raise ValueError(f"{len(self.units)} slices have {len(self.totals)} totals")
        if min(self.units) <= 0 or min(self.totals) <= 0:
            raise ValueError("a slice holds nothing, or came to nothing")
        return self

    @property
    def a_unit(self) -> Interval:
        """Total by unit, with Student's prediction interval for one slice more, on a logarithmic scale.

        x̄ ± t · s · √(1 + 1/n) (Hahn & Meeker 1991, section 4.7) of the logarithms: rates are positive, and a
        disturbed slice is slow by a factor. It is the interval for a single slice and not that of the mean, because
        what disturbs a shared machine lasts longer than a probe: a run of hours may lie in such a stretch.
        """
        middle = sum(self.totals) / sum(self.units)
        return Interval.within_factor(middle, self._factor())

    def _factor(self) -> float:
        n = len(self.units)
        if n == 1:
            return UNKNOWN_FACTOR
        from scipy.special import stdtrit  # not for a plan that measures nothing

        logs = [math.log(total / units) for units, total in zip(self.units, self.totals, strict=True)]
        t = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
        exponent = t * statistics.stdev(logs) * math.sqrt(1 + 1 / n)
        return math.exp(min(exponent, math.log(MOST_FACTOR)))


def repeated(
    work: Callable[[], float],
    seconds: float,
    *,
    fewest: int = FEWEST,
    clock: Callable[[], float] = time.perf_counter,
) -> Slices:
    """Call `work`, which returns how many units it did, until `seconds` are over, and `fewest` times at least.

    One call before them is not counted, but its time is: it finds memory and chooses kernels.
    """
    begin_s = clock()
    work()
    units, totals = list[float](), list[float]()
    before_s = clock()
    while len(units) < fewest or before_s - begin_s < seconds:
        units.append(work())
        now_s = clock()
        totals.append(max(now_s - before_s, 1e-9))  # a clock may stand still between two looks
        before_s = now_s
    return Slices(units=tuple(units), totals=tuple(totals))
