"""Training curves: lines over steps, told apart by colour and by dashes.

Owns one panel's picture. Its legend and its table of last values are the page's.
"""

from __future__ import annotations

from markupsafe import Markup

from augment.report.html.charts.frame import framed, path, stretched
from augment.report.html.charts.scales import Scale, linear_scale, scale_for
from augment.report.html.charts.svg import element, figure
from augment.report.html.evidence import Panel
from augment.report.html.scalars import shown

__all__ = ["curve_key", "panel_chart"]


def panel_chart(panel: Panel, pointer: str, identity: str) -> Markup:
    """One panel; `pointer` is where it lies in the document, `identity` is unique in the page."""
    y = scale_for([value for curve in panel.curves for value in curve.values])
    x = _steps([step for curve in panel.curves for step in curve.steps])
    lines = [
        path(
            [(x(step), y(value)) for step, value in zip(curve.steps, curve.values, strict=True)],
            class_=f"line line-{index}",
            data_figure=f"{pointer}/curves/{index}/values",
            data_kind="list",
        )
        for index, curve in enumerate(panel.curves)
    ]
    return framed(
        stretched(*lines),
        identity=identity,
        title=f"{panel.title}: {panel.y_axis}{', logarithmic' if y.logarithmic else ''}, by training step",
        description=_in_words(panel, pointer),
        x=x,
        y=y,
        x_axis="training step",
        x_text=lambda step: shown(step, "count"),
        y_text=lambda value: shown(value, "number"),
    )


def curve_key(index: int) -> Markup:
    """A short piece of line `index`, for the legend."""
    line = element("line", x1=0, x2=28, y1=6, y2=6, class_=f"line line-{index}")
    return element("svg", line, class_="key", width=28, height=12, aria_hidden="true")


def _steps(steps: list[int]) -> Scale:
    """Round ticks, but no empty room at the ends."""
    wide = linear_scale([float(step) for step in steps])
    low, high = float(min(steps)), float(max(steps))
    if low == high:
        return wide
    return Scale(low, high, tuple(tick for tick in wide.ticks if low <= tick <= high))


def _in_words(panel: Panel, pointer: str) -> Markup:
    """Where each line begins and ends."""
    return Markup("; ").join(
        Markup("{}: {} → {}").format(
            curve.name,
            figure(curve.values[0], f"{pointer}/curves/{index}/values/0", "number", "tspan"),
            figure(
                curve.values[-1],
                f"{pointer}/curves/{index}/values/{len(curve.values) - 1}",
                "number",
                "tspan",
            ),
        )
        for index, curve in enumerate(panel.curves)
    )
