"""The lift chart: a dot and its interval in each arm's row, over one axis with a line at zero.

Owns the pictures in one column of the table of arms. The row has the figures, so these are hidden from a
reader that can't see them.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from augment.report.html.charts.scales import Scale, linear_scale
from augment.report.html.charts.svg import element, percent
from augment.report.html.evidence import Arm, Interval

__all__ = ["interval_mark", "lift_axis", "lift_scale"]

_HEIGHT = 22  # pixels
_MARGIN = 0.06  # of the width on each side, for the outermost labels


def lift_scale(arms: Sequence[Arm]) -> Scale | None:
    """One axis for all intervals and zero; None where no arm has an interval."""
    ends = [end for arm in arms if arm.lift is not None for end in (arm.lift.low, arm.lift.high)]
    return linear_scale(ends, ticks=4, zero=True) if ends else None


def lift_axis(scale: Scale) -> Markup:
    """The axis's labels, in percentage points, for the column's head."""
    digits = 0 if all(round(100 * tick, 6).is_integer() for tick in scale.ticks) else 1
    labels = [
        element(
            "text",
            f"{100 * tick:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if tick else "0",
            x=percent(_across(scale, tick)),
            y=_HEIGHT - 4,
            class_="tick",
            text_anchor="middle",
        )
        for tick in scale.ticks
    ]
    return _cell(*labels)


def interval_mark(scale: Scale, lift: Interval | None) -> Markup:
    """A whisker from low to high with its dot, and the zero line; a diamond on it where `lift` is None."""
    middle = _HEIGHT / 2
    zero = percent(_across(scale, 0.0))
    parts = [element("line", x1=zero, x2=zero, y1=0, y2=_HEIGHT, class_="zero")]
    if lift is None:
        diamond = element("path", d="M0 -5 L5 0 L0 5 L-5 0 Z", class_="control")
        parts.append(element("svg", diamond, x=zero, y=middle, overflow="visible"))
        return _cell(*parts)
    low, high, dot = (percent(_across(scale, value)) for value in (lift.low, lift.high, lift.estimate))
    kind = "above" if lift.low > 0 else "below" if lift.high < 0 else "unclear"
    parts.append(element("line", x1=low, x2=high, y1=middle, y2=middle, class_=f"whisker {kind}"))
    parts += [
        element("line", x1=end, x2=end, y1=middle - 4, y2=middle + 4, class_=f"whisker {kind}")
        for end in (low, high)
    ]
    parts.append(element("circle", cx=dot, cy=middle, r=4.5, class_=f"dot {kind}"))
    return _cell(*parts)


def _across(scale: Scale, value: float) -> float:
    return _MARGIN + (1 - 2 * _MARGIN) * scale(value)


def _cell(*parts: Markup) -> Markup:
    return element("svg", *parts, class_="cell-chart", width="100%", height=_HEIGHT, aria_hidden="true")
