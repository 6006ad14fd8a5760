"""Marks stand where their figures say, escaped, and are told apart by more than colour."""

from __future__ import annotations

import re
from xml.etree.ElementTree import fromstring

import pytest
from markupsafe import Markup

from augment.report.html.charts.bars import balance_bar
from augment.report.html.charts.curves import panel_chart
from augment.report.html.charts.histogram import histogram_chart
from augment.report.html.charts.intervals import interval_mark, lift_axis, lift_scale
from augment.report.html.charts.svg import element, percent
from augment.report.html.evidence import Curve, Histogram, Interval, Panel
from tests.report.html import factory


def numbers(svg: str, tag: str, attribute: str) -> list[float]:
    found = [mark.attrib[attribute] for mark in fromstring(svg).iter(tag) if attribute in mark.attrib]
    return [float(value.rstrip("%")) for value in found]


def test_an_element_escapes_everything_but_markup() -> None:
    made = element("g", "<b>", Markup("<line/>"), class_="\"'>", data_figure="/a", hidden=None)
    assert made == '<g class="&#34;&#39;&gt;" data-figure="/a">&lt;b&gt;<line/></g>'


@pytest.mark.parametrize(("share", "text"), [(0, "0%"), (1, "100%"), (0.5, "50%"), (1 / 3, "33.333%")])
def test_a_share_is_a_percentage_without_idle_zeros(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_bar_is_as_long_as_its_class_is_large() -> None:
    assert numbers(balance_bar(30, 20, 100), "rect", "width") == [30, 20]
    assert numbers(balance_bar(30, 20, 100), "rect", "x") == [0, 30]
    assert numbers(balance_bar(0, 20, 100), "rect", "x") == [0]
    assert numbers(balance_bar(0, 0, 0), "rect", "x") == []
    assert numbers(balance_bar(1, 0, 1_000_000), "rect", "width")[0] > 0.3  # still seen


def test_a_whisker_spans_its_interval_and_zero_is_where_the_axis_says() -> None:
    arms = factory.lift().arms
    scale = lift_scale(arms)
    assert scale is not None
    mark = interval_mark(scale, Interval(estimate=0.01, low=-0.02, high=0.02))
    zero, low, low_end, high_end = numbers(mark, "line", "x1")
    (dot,) = numbers(mark, "circle", "cx")
    assert low == low_end < zero < dot < high_end == numbers(mark, "line", "x2")[1]
    labels = {
        text.text: float(text.attrib["x"].rstrip("%")) for text in fromstring(lift_axis(scale)).iter("text")
    }
    assert labels["0"] == zero
    assert labels["+2.5"] > zero > labels["−2.5"]


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(0.001, 0.02, "above"), (-0.02, -0.001, "below"), (-0.01, 0.01, "unclear")]
)
def test_an_interval_that_holds_zero_looks_unlike_one_that_does_not(
    low: float, high: float, kind: str
) -> None:
    scale = lift_scale(factory.lift().arms)
    assert scale is not None
    assert f'class="dot {kind}"' in interval_mark(
        scale, Interval(estimate=(low + high) / 2, low=low, high=high)
    )


def test_without_any_interval_there_is_no_axis() -> None:
    assert lift_scale([arm for arm in factory.lift().arms if arm.lift is None]) is None


def test_a_curve_goes_through_its_points() -> None:
    curve = Curve(name="loss", steps=(0, 50, 100), values=(0.0, 2.0, 4.0))
    svg = panel_chart(Panel(title="Losses", y_axis="loss", curves=(curve,)), "/p", "p")
    (points,) = re.findall(r'points="([^"]+)"', svg)
    assert points == "0,1000 500,500 1000,0"


def test_the_histograms_bars_are_as_high_as_their_shares() -> None:
    histogram = Histogram(edges=(0, 1, 3), synthetic=(0.25, 0.75), heldout=(0.5, 0.5), threshold=0.5)
    svg = histogram_chart(histogram, "/h", "h")
    low, high = numbers(svg, "rect", "height")
    assert high == pytest.approx(3 * low)
    assert numbers(svg, "rect", "width") == pytest.approx([100 / 3, 200 / 3], abs=0.01)
    assert "near copies" in svg
