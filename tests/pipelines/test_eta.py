"""The time left, on stages whose end is known: simulated ones, and one that was recorded of a real training.

Legend: a stage's truth is a list of (seconds, units done), its reports; its last one is its end.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pipelines.eta import MOST_POINTS, Eta, Point, Trail, remaining, student_t

Stage = list[tuple[float, float]]


def stage(gaps_s: Iterable[float], units: float = 1.0) -> Stage:
    """Reports after each gap, of `units` more each."""
    return [(at_s, units * (index + 1)) for index, at_s in enumerate(itertools.accumulate(gaps_s))]


def estimates(truth: Stage, from_share: float = 0.2) -> Iterator[tuple[float, Eta]]:
    """At each report from `from_share` of the units on, and between it and the next: the time really left, and ours."""
    (end_s, total), trail = truth[-1], Trail()
    for index, (at_s, done) in enumerate(truth[:-1]):
        trail.add(at_s, done)
        if done >= from_share * total:
            for now_s in (at_s, (at_s + truth[index + 1][0]) / 2):
                eta = remaining(trail.points, total, now_s=now_s)
                assert eta is not None
                yield end_s - now_s, eta


def errors(truth: Stage, from_share: float = 0.2) -> list[float]:
    """Relative to the time really left."""
    return [abs(eta.left_s - left_s) / left_s for left_s, eta in estimates(truth, from_share)]


@given(
    gap_s=st.floats(0.01, 1_000),
    reports=st.integers(10, 200),
    units=st.floats(0.5, 10_000),
    start_s=st.floats(0, 10_000),
)
def test_on_a_steady_stage_it_is_right_from_the_first_fifth_on_however_long_the_start_took(
    gap_s: float, reports: int, units: float, start_s: float
) -> None:
    truth = stage([start_s + gap_s, *[gap_s] * (reports - 1)], units)

    assert max(errors(truth)) < 1e-3


@pytest.mark.parametrize(("spread", "reports"), [(0.1, 50), (0.2, 50), (0.3, 200)])
def test_on_a_noisy_steady_stage_the_error_is_below_a_fifth(spread: float, reports: int) -> None:
    rng = random.Random(f"eta {spread} {reports}")
    late, inside = [], []
    for _ in range(20):
        truth = stage(rng.lognormvariate(0, spread) for _ in range(reports))
        seen = list(estimates(truth))
        # What is left of the last few reports is itself as uncertain as they are: it is measured against the whole.
        late += [abs(eta.left_s - left_s) / max(left_s, 0.05 * truth[-1][0]) for left_s, eta in seen]
        inside += [eta.low_s <= left_s <= eta.high_s for left_s, eta in seen]

    assert sorted(late)[int(0.95 * len(late))] < 0.2
    assert sum(inside) / len(inside) > 0.85


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0, 4.0])
def test_after_a_change_of_speed_four_reports_are_enough(factor: float) -> None:
    rng = random.Random(f"speeds {factor}")
    gaps_s = [(1.0 if index < 60 else factor) * rng.uniform(0.95, 1.05) for index in range(120)]

    assert max(errors(stage(gaps_s), from_share=64.5 / 120)) < 0.2
    assert max(errors(stage(gaps_s), from_share=0.2)) > 0.2, "before the change nobody could know"


def test_a_warm_up_after_the_start_is_forgotten() -> None:
    gaps_s = [60.0, 9.0, 7.0, 6.0, *[1.0] * 96]

    assert max(errors(stage(gaps_s))) < 0.2


@pytest.mark.parametrize("actors", [2, 4, 16])
def test_shards_that_are_finished_together_count_once(actors: int) -> None:
    rng = random.Random(actors)
    finished = sorted(20.0 + 60.0 * turn + rng.uniform(0, 2) for turn in range(1, 21) for _ in range(actors))
    truth = [(at_s, 100.0 * (index + 1)) for index, at_s in enumerate(finished)]
    whole = [(at_s, done) for at_s, done in truth if done % (100 * actors) == 0]  # as seen between two turns
    trail, end_s = Trail(), truth[-1][0]

    for at_s, done in truth:
        trail.add(at_s, done)
        if (at_s, done) in whole[3:-1]:
            eta = remaining(trail.points, truth[-1][1], now_s=at_s)
            assert eta is not None
            assert eta.left_s == pytest.approx(end_s - at_s, rel=0.2)


def test_pauses_that_come_again_and_again_are_counted_on() -> None:
    gaps_s = [1.0 if index % 20 else 10.0 for index in range(400)]  # an evaluation each 20 reports

    for left_s, eta in estimates(stage(gaps_s)):
        assert abs(eta.left_s - left_s) <= 0.2 * left_s + 10  # a pause more or less


def test_a_resumed_training_does_not_count_what_was_there() -> None:
    truth = [(30.0 + index, 900.0 + index) for index in range(101)]

    assert max(errors(truth, from_share=0.902)) < 1e-6


def test_a_training_that_falls_back_begins_anew() -> None:
    trail = Trail()
    for at_s in range(10):
        trail.add(at_s, 10 * (at_s + 1))
    for at_s in range(10, 14):
        trail.add(at_s, 50 + 5 * (at_s - 10))  # from step 50 on, at half the speed

    eta = remaining(trail.points, 100, now_s=13)

    assert eta is not None
    assert (eta.left_s, eta.per_s) == (pytest.approx(7.0), pytest.approx(5.0))


def test_until_two_reports_nothing_is_said() -> None:
    assert remaining([], 10, now_s=5) is None
    assert remaining([Point(1, 1)], 10, now_s=5) is None
    assert remaining([Point(1, 1), Point(2, 1)], 10, now_s=5) is None


def test_a_limit_ends_a_stage_that_would_take_longer_and_is_known_from_the_first_moment() -> None:
    points = [Point(float(at_s), at_s) for at_s in range(1, 11)]

    assert remaining([], 100, now_s=0, limit_left_s=50) == Eta(50, 0, 50, None)
    assert remaining(points, 100, now_s=10, limit_left_s=50) == Eta(50, 50, 50, 1.0)
    loose = remaining(points, 100, now_s=10, limit_left_s=500)
    assert loose is not None
    assert loose.left_s == pytest.approx(90)


def test_a_report_that_is_overdue_makes_the_upper_end_grow_and_the_estimate_stay() -> None:
    points = [Point(float(at_s), at_s) for at_s in range(1, 11)]

    soon, late = (remaining(points, 20, now_s=now_s) for now_s in (11, 40))

    assert soon is not None
    assert late is not None
    assert soon.left_s == late.left_s == pytest.approx(9)
    assert soon.high_s == pytest.approx(9)
    assert late.high_s > 40


@given(
    gaps_s=st.lists(st.just(0.0) | st.floats(1e-3, 1e4), max_size=80),
    units=st.lists(st.integers(-50, 100_000), min_size=80, max_size=80),
    waited_s=st.floats(0, 1e6),
    more=st.floats(0, 1e7),
    limit_left_s=st.none() | st.floats(-10, 1e6),
)
def test_whatever_was_reported_the_estimate_lies_in_its_interval_and_is_finite(
    gaps_s: list[float], units: list[float], waited_s: float, more: float, limit_left_s: float | None
) -> None:
    at = list(itertools.accumulate(gaps_s))
    points = [Point(*each) for each in zip(at, itertools.accumulate(units), strict=False)]
    total = max((point.done for point in points), default=0) + more

    eta = remaining(points, total, now_s=(at[-1] if at else 0) + waited_s, limit_left_s=limit_left_s)

    assume(eta is not None)
    assert eta is not None
    assert 0 <= eta.low_s <= eta.left_s <= eta.high_s < math.inf
    if limit_left_s is not None:
        assert eta.high_s <= max(0, limit_left_s)


@given(reports=st.integers(0, 2_000))
def test_a_trail_keeps_its_ends_its_order_and_its_bound(reports: int) -> None:
    trail = Trail()
    for index in range(reports):
        trail.add(index, index + 1)

    points = trail.points
    assert len(points) == len(set(points)) <= MOST_POINTS
    assert list(points) == sorted(points)
    if reports:
        assert (points[0], points[-1]) == ((0, 1), (reports - 1, reports))
    gaps = [there.at_s - here.at_s for here, there in itertools.pairwise(points)]
    assert set(gaps[-7:]) <= {1}, "the newest are all there"
    assert len(set(gaps[:-8])) <= 1, "those before are thinned evenly"


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 20, 200])
def test_student_s_t_is_scipy_s(freedom: int) -> None:
    assert student_t(0.9, freedom) == pytest.approx(stats.t.ppf(0.95, freedom), rel=0.02)
