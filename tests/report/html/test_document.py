"""A document holds together: what names a class, an arm or a bin names one that is there."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from augment.report.html.document import Balance, ClassAdvice, ClassCount, Picture, resolve_pointer
from augment.report.html.evidence import Curve, Histogram, Interval
from augment.report.html.scalars import FORMATS, shown
from tests.report.html import factory


def test_the_rarest_class_comes_first_and_the_sums_are_of_all() -> None:
    balance = Balance.of(
        [ClassCount.of(0, "a", 100, 0), ClassCount.of(1, "b", 4, 46), ClassCount.of(2, "c", 0, 0)]
    )
    assert [one.label for one in balance.classes] == [2, 1, 0]
    assert (balance.real, balance.synthetic, balance.largest) == (104, 46, 100)
    assert (balance.imbalance_before, balance.imbalance_after) == (25.0, 2.0)


def test_a_label_that_no_class_has_is_refused() -> None:
    advice = factory.recommendation([0]).model_copy(
        update={"classes": (ClassAdvice(label=99, recipe="gan"),)}
    )
    with pytest.raises(ValidationError, match="recommendation names the label 99"):
        factory.document(recommendation=advice.model_dump())


def test_a_label_listed_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="label 1 is listed twice"):
        Balance.of([ClassCount.of(1, "a", 1, 0), ClassCount.of(1, "b", 1, 0)])


def test_a_recommended_arm_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValidationError, match="none of the arms"):
        factory.document(lift=factory.lift().model_dump() | {"recommended": "magic"})


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValidationError, match="not within"):
        Interval(estimate=2, low=0, high=1)
    with pytest.raises(ValidationError, match="as many shares"):
        Histogram(edges=(0, 1, 2), synthetic=(1.0,), heldout=(0.5, 0.5))
    with pytest.raises(ValidationError, match="ascend"):
        Curve(name="loss", steps=(2, 1), values=(0.1, 0.2))
    with pytest.raises(ValidationError, match="finite"):
        Curve(name="loss", steps=(1,), values=(math.nan,))
    with pytest.raises(ValidationError, match="pattern"):
        Picture(uri="https://example.com/a.png")


def test_a_pointer_leads_to_its_value_or_says_that_it_leads_nowhere() -> None:
    value = {"a/b": [{"~": 7}], "": 1}
    assert resolve_pointer(value, "") is value
    assert resolve_pointer(value, "/a~1b/0/~0") == 7
    assert resolve_pointer(value, "/") == 1
    for nowhere in ("/a~1b/1", "/a~1b/-1", "/c", "/a~1b/0/~0/x"):
        with pytest.raises(KeyError):
            resolve_pointer(value, nowhere)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1234567, "count", "1,234,567"),
        (0.8534, "percent", "85.3%"),
        (0.95, "level", "95%"),
        (0.0131, "points", "+1.31"),
        (-0.0131, "points", "−1.31"),
        (0.0, "number", "0"),
        (3.14159, "number", "3.14"),
        (1234.5, "number", "1,234"),
        (-0.5, "number", "−0.5"),
        (2.5e7, "number", "2.50e+07"),
        (1e-5, "number", "1.00e−05"),
        (0.0004, "p", "< 0.001"),
        (0.041, "p", "0.041"),
        (1200, "plain", "1200"),
    ],
)  # fmt: skip
def test_a_number_is_written_by_its_kind(value: float, kind: str, text: str) -> None:
    assert kind in FORMATS
    assert shown(value, kind) == text
