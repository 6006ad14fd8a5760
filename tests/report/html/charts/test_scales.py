"""Axes hold all their values, with few and round ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.report.html.charts.scales import linear_scale, scale_for

VALUES = st.lists(
    st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6), min_size=1, max_size=8
)


@given(VALUES, st.booleans())
def test_a_linear_axis_holds_all_values_between_its_outermost_ticks(values: list[float], zero: bool) -> None:
    scale = linear_scale(values, zero=zero)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low - slack <= min(values)
    assert max(values) <= scale.high + slack
    assert scale.ticks[0] == scale.low
    assert scale.ticks[-1] == scale.high
    assert 2 <= len(scale.ticks) <= 8
    assert list(scale.ticks) == sorted(set(scale.ticks))
    assert not zero or 0.0 in scale.ticks


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=8))
def test_any_positive_values_lie_on_the_axis_in_their_order(values: list[float]) -> None:
    scale = scale_for(values)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 1
    assert len(scale.ticks) <= 8


def test_ticks_are_round_numbers_without_rounding_errors() -> None:
    assert linear_scale([0.0, 0.37]).ticks == (0.0, 0.1, 0.2, 0.3, 0.4)
    assert linear_scale([-0.061, 0.021], zero=True).ticks == (-0.075, -0.05, -0.025, 0.0, 0.025)
    assert scale_for([0.02, 900.0]).ticks == (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


def test_only_positive_values_of_two_orders_of_magnitude_are_shown_logarithmically() -> None:
    assert scale_for([1.0, 100.0]).logarithmic
    assert not scale_for([1.0, 99.0]).logarithmic
    assert not scale_for([0.0, 1000.0]).logarithmic


def test_a_single_value_lies_in_the_middle_of_its_axis() -> None:
    assert linear_scale([5.0])(5.0) == pytest.approx(0.5)
    assert linear_scale([0.0])(0.0) == pytest.approx(0.5)
