"""augment.planning.slices: rates and their uncertainty, beside scipy's."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from augment.planning.slices import FEWEST, Slices, repeated
from augment.seeds import normals, stream_id

positive = st.floats(0.01, 100)


def clock_of(times: list[float]) -> Callable[[], float]:
    ticks = iter(times)
    return lambda: next(ticks)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=20))
def test_the_middle_is_all_seconds_by_all_units(slices: list[tuple[float, float]]) -> None:
    units, totals = zip(*slices, strict=True)
    found = Slices(units=units, totals=totals).a_unit

    assert found.middle == pytest.approx(sum(totals) / sum(units))
    assert 0 < found.low <= found.middle <= found.high


def test_the_bounds_are_students_prediction_interval_of_the_logarithms() -> None:
    totals = (1.0, 1.1, 0.9, 1.3, 1.05)
    logs = np.log(totals)
    half = stats.t.ppf(0.975, df=4) * stats.sem(logs) * math.sqrt(5 + 1)  # s √(1 + 1/n) = sem √(n + 1)

    found = Slices(units=(1.0,) * 5, totals=totals).a_unit

    assert found.high / found.middle == pytest.approx(math.exp(half))
    assert found.middle / found.low == pytest.approx(math.exp(half))


def test_of_log_normal_slices_95_percent_hold_the_next_one() -> None:
    """The middle is the mean and not the median, which costs a little where slices differ little."""
    values = np.exp(0.1 * normals(0, stream_id("test.slices"), 0, 4_000, 9))
    hits = 0
    for row in values:
        interval = Slices(units=(1.0,) * 8, totals=tuple(float(x) for x in row[:8])).a_unit
        hits += interval.low <= row[8] <= interval.high

    assert hits / len(values) == pytest.approx(0.95, abs=0.015)


def test_equal_slices_leave_no_doubt_and_one_slice_a_factor_of_two() -> None:
    assert Slices(units=(2.0, 4.0), totals=(1.0, 2.0)).a_unit.spread == pytest.approx(0)
    assert Slices(units=(1.0,), totals=(3.0,)).a_unit.high == 6


def test_two_slices_that_differ_greatly_are_good_to_a_factor_of_ten_and_no_worse() -> None:
    found = Slices(units=(1.0, 1.0), totals=(1.0, 50.0)).a_unit

    assert found.high / found.middle == pytest.approx(10)


@pytest.mark.parametrize(
    ("units", "totals"), [((), ()), ((1.0,), (1.0, 2.0)), ((0.0,), (1.0,)), ((1.0,), (0.0,))]
)
def test_slices_of_nothing_are_refused(units: tuple[float, ...], totals: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="slice"):
        Slices(units=units, totals=totals)


def test_work_is_repeated_until_the_time_is_over_without_the_first_call() -> None:
    calls: list[int] = []

    def work() -> float:
        calls.append(len(calls))
        return 10

    # Begins at 0; the call that is not counted ends at 4, the others at 5, 6, 7 and 12.
    found = repeated(work, 10, clock=clock_of([0, 4, 5, 6, 7, 12]))

    assert len(calls) == 5
    assert found == Slices(units=(10,) * 4, totals=(1, 1, 1, 5))


def test_slow_work_is_done_a_few_times_all_the_same() -> None:
    found = repeated(lambda: 1, 1, clock=clock_of([100.0 * tick for tick in range(9)]))

    assert len(found.units) == FEWEST


def test_a_clock_that_stands_still_is_no_reason_to_fail() -> None:
    assert repeated(lambda: 1, 0, clock=lambda: 5.0).a_unit.middle > 0
