"""augment.planning.interval: what is computed with intervals holds what is computed with any of their values."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.planning.interval import Interval

numbers = st.floats(0, 1e6)
shares = st.floats(0, 1)


@st.composite
def intervals(draw: Callable[..., float]) -> Interval:
    low, middle, high = sorted(draw(numbers) for _ in range(3))
    return Interval(low=low, middle=middle, high=high)


def value_in(interval: Interval, share: float) -> float:
    return min(interval.high, interval.low + share * (interval.high - interval.low))


def holds(interval: Interval, value: float) -> bool:
    slack = 1e-9 * (1 + interval.high)
    return interval.low - slack <= value <= interval.high + slack


@given(intervals(), intervals(), shares, shares)
def test_a_sum_and_a_product_hold_those_of_any_two_values(
    a: Interval, b: Interval, of_a: float, of_b: float
) -> None:
    x, y = value_in(a, of_a), value_in(b, of_b)

    assert holds(a + b, x + y)
    assert holds(a * b, x * y)
    assert holds(a.at_least(b), max(x, y))


@given(intervals(), st.floats(1e-3, 1e3), shares)
def test_scaling_and_cutting_off_hold_what_becomes_of_any_value(
    a: Interval, number: float, share: float
) -> None:
    x = value_in(a, share)

    assert holds(a * number, x * number)
    assert number * a == a * number
    assert holds(a / number, x / number)
    assert holds(a.at_most(number), min(x, number))


@given(numbers)
def test_an_exact_figure_stays_exact(value: float) -> None:
    exact = Interval.exactly(value)

    assert (exact.low, exact.high, exact.spread) == (value, value, 0)
    assert exact + exact == Interval.exactly(2 * value)


@given(st.floats(1e-3, 1e6), st.floats(1, 100))
def test_a_figure_within_a_factor_lies_between_its_quotient_and_its_product(
    value: float, factor: float
) -> None:
    interval = Interval.within_factor(value, factor)

    assert interval.low == pytest.approx(value / factor)
    assert interval.high == pytest.approx(value * factor)
    assert interval.spread == pytest.approx(factor - 1)


@pytest.mark.parametrize(("low", "middle", "high"), [(2, 1, 3), (1, 3, 2), (-1, 0, 1)])
def test_bounds_out_of_order_or_below_zero_are_refused(low: float, middle: float, high: float) -> None:
    with pytest.raises(ValidationError, match="not in order"):
        Interval(low=low, middle=middle, high=high)
