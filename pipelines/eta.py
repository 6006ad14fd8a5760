"""When a stage will be done, from what it has done so far. Pure: points in, seconds out; it has no clock.

What is left is taken to go at the pace of the newest part of the stage that has one pace:

- Until the first progress the stage was starting up (workers, kernels, a resumed training that jumps to its last
  snapshot). How long that took says nothing of what is to come, so pace is measured from the first progress on.
- n actors finish n shards at about the same time: such a burst counts with the wait before it.
- Where the pace has changed, what lies before the change is left out. The cut is looked for at every point, as in
  ADWIN (Bifet & Gavaldà 2007, "Learning from time-changing data with adaptive windowing"), by a two-sample t test.

The interval is that of a sum of independent steps: with pace m over N units in k spans and a variance of σ² a unit, the
time for M more units has the variance σ² (M²/N + M), and Student's t with k - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import NormalDist
from typing import NamedTuple

__all__ = ["Eta", "Point", "Trail", "remaining", "student_t"]

MOST_POINTS = 64
_NEWEST_POINTS = 8
CONFIDENCE = 0.9  # that the interval holds the truth, on a steady stage

_BURST_SHARE = 0.2  # of the mean pace: what is faster may be a burst
_LEAST_SPANS = 3  # on either side of a cut
_CHANGED_T = 5.0  # of all cuts of a noisy but steady stage, seldom one is beyond it
_CHANGED_SHARE = 0.15  # a smaller change of pace than this one is not worth the spans it would cost
_ONE_SPAN_FACTOR = 2.0  # a single span tells no spread: half and twice


class Point(NamedTuple):
    """A report of a stage."""

    at_s: float  # since the stage began
    done: float  # units


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds that a stage still takes, and its pace; low ≤ left ≤ high, all ≥ 0."""

    left_s: float
    low_s: float
    high_s: float
    per_s: float | None  # units a second; None where only a limit is known


class _Span(NamedTuple):
    """What was done between two points."""

    took_s: float
    units: float  # > 0

    @property
    def pace(self) -> float:
        """Seconds a unit."""
        return self.took_s / self.units


class Trail:
    """The points of a stage, at most MOST_POINTS: the newest ones as they are, those before thinned evenly."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._thinned: list[Point] = []  # every _every-th of all
        self._newest: list[Point] = []
        self._every, self._seen = 1, 0

    def add(self, at_s: float, done: float) -> None:
        """One more report. A stage that falls back (training returns to an earlier snapshot) begins anew."""
        last = self._newest[-1] if self._newest else None
        if last is not None and done == last.done:
            return  # no news
        if last is not None and done < last.done:
            self._begin()
        point = Point(at_s, done)
        if self._seen % self._every == 0 and len(self._thinned) == MOST_POINTS - _NEWEST_POINTS:
            self._thinned, self._every = self._thinned[::2], 2 * self._every
        # New lists, never changed ones: another thread may be reading the old.
        if self._seen % self._every == 0:
            self._thinned = [*self._thinned, point]
        self._newest = [*self._newest[1 - _NEWEST_POINTS :], point]
        self._seen += 1

    @property
    def points(self) -> tuple[Point, ...]:
        """In order; empty before the first report. The first report is always there."""
        newest = self._newest
        if not newest:
            return ()
        return (*(point for point in self._thinned if point.done < newest[0].done), *newest)


def remaining(
    points: Sequence[Point], total: float, *, now_s: float, limit_left_s: float | None = None
) -> Eta | None:
    """What is left at `now_s` of a stage of `total` units; None while there is nothing to tell it by.

    `points` are the stage's reports in order, `now_s` is counted as their `at_s` is, and not before the last one.
    `limit_left_s` is what a limit on the stage's time leaves at `now_s`: the stage ends by then, done or not.
    """
    spans = _steady(_spans(points))
    if not spans:
        return (
            None if limit_left_s is None else Eta(max(0.0, limit_left_s), 0.0, max(0.0, limit_left_s), None)
        )
    last = points[-1]
    to_do, waited_s = max(0.0, total - last.done), max(0.0, now_s - last.at_s)
    took_s, units = math.fsum(span.took_s for span in spans), math.fsum(span.units for span in spans)
    pace, gap_s = took_s / units, took_s / len(spans)
    left_s = max(0.0, to_do * pace - min(waited_s, gap_s))
    low_s, high_s = _interval(spans, pace, left_s, to_do)
    if waited_s > gap_s:  # overdue: as if the next unit came now
        high_s = max(high_s, to_do * (took_s + waited_s) / units)
    if limit_left_s is not None:
        left_s, low_s, high_s = (min(each, max(0.0, limit_left_s)) for each in (left_s, low_s, high_s))
    return Eta(left_s, low_s, high_s, 1 / pace if pace else None)


def student_t(confidence: float, freedom: int) -> float:
    """The two-sided quantile of Student's t, for 1 or more degrees of freedom.

    By the expansion about the normal's (Abramowitz & Stegun 1964, eq. 26.7.5), within 2% from 3 degrees on at 90%; for
    1 and 2 the closed forms.
    """
    p = (1 + confidence) / 2
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    if freedom == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    x = NormalDist().inv_cdf(p)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
    )
    return x + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))


def _interval(spans: Sequence[_Span], pace: float, left_s: float, to_do: float) -> tuple[float, float]:
    """CONFIDENCE's, about `left_s`."""
    if len(spans) == 1:
        return left_s / _ONE_SPAN_FACTOR, left_s * _ONE_SPAN_FACTOR
    units = math.fsum(span.units for span in spans)
    spread_s = math.sqrt(_variance(spans, pace, len(spans) - 1) * to_do * (1 + to_do / units))
    margin_s = student_t(CONFIDENCE, len(spans) - 1) * spread_s
    return max(0.0, left_s - margin_s), left_s + margin_s


def _variance(spans: Sequence[_Span], pace: float, freedom: int) -> float:
    """σ² a unit: a span of n units has the variance n σ²."""
    return math.fsum((span.took_s - pace * span.units) ** 2 / span.units for span in spans) / freedom


def _spans(points: Sequence[Point]) -> list[_Span]:
    """Between reports that tell of progress, from the first one on; what falls back begins anew."""
    forward: list[Point] = []
    for point in points:
        if forward and point.done < forward[-1].done:
            forward = []
        if point.done > (forward[-1].done if forward else 0):
            forward.append(point)
    return _without_bursts(
        [_Span(there.at_s - here.at_s, there.done - here.done) for here, there in pairwise(forward)]
    )


def _without_bursts(spans: Sequence[_Span]) -> list[_Span]:
    """A burst is a run of short spans with a long one behind it: it counts with the long one before it.

    What comes before the first long span belongs to the start. A run that lasts until now is a burst too as long as it
    is shorter than the wait before it; then the stage has become faster.
    """
    short = _BURST_SHARE * sum(span.took_s for span in spans) / (sum(span.units for span in spans) or 1.0)
    merged: list[_Span] = []
    run: list[_Span] = []  # of short spans, since the last long one
    for span in spans:
        if span.pace < short:
            run.append(span)
            continue
        if merged:
            merged[-1] = _joined([merged[-1], *run])
        merged.append(span)
        run = []
    if merged and sum(each.took_s for each in run) < merged[-1].took_s:
        return [*merged[:-1], _joined([merged[-1], *run])]
    return [*merged, *run]


def _joined(spans: Sequence[_Span]) -> _Span:
    return _Span(sum(span.took_s for span in spans), sum(span.units for span in spans))


def _steady(spans: list[_Span]) -> list[_Span]:
    """The newest spans of one pace: while there is a cut where it changed, what lies before the clearest is dropped."""
    while len(spans) >= 2 * _LEAST_SPANS:
        clearest, cut = max(_changes(spans))
        if clearest < _CHANGED_T:
            break
        spans = spans[
            cut if len(spans) - cut == _LEAST_SPANS else cut + 1 :
        ]  # the one at the cut may hold both
    return spans


def _changes(spans: Sequence[_Span]) -> Iterator[tuple[float, int]]:
    """For each cut the t statistic of a change of pace there, the variance of both sides pooled; 0 for a small change."""
    took_s = list(accumulate((span.took_s for span in spans), initial=0.0))
    units = list(accumulate((span.units for span in spans), initial=0.0))
    squares = math.fsum(span.took_s**2 / span.units for span in spans)
    for cut in range(_LEAST_SPANS, len(spans) - _LEAST_SPANS + 1):
        sides = (took_s[cut], units[cut]), (took_s[-1] - took_s[cut], units[-1] - units[cut])
        paces = [side_s / side_units for side_s, side_units in sides]
        difference = abs(paces[0] - paces[1])
        if difference <= _CHANGED_SHARE * max(paces):
            yield 0.0, cut
            continue
        explained = math.fsum(side_s**2 / side_units for side_s, side_units in sides)
        variance = max(0.0, squares - explained) / (len(spans) - 2)
        error = math.sqrt(variance * (1 / sides[0][1] + 1 / sides[1][1]))
        yield difference / error if error else math.inf, cut
