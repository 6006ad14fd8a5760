"""The plot that curves and the histogram share: grid lines, axis labels, and room for the marks.

Owns the layout. Values on the vertical axis stand on their grid lines, inside the plot: so it needs no
margin whose width would have to be known, and takes whatever width it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from augment.report.html.charts.scales import Scale
from augment.report.html.charts.svg import element, percent

__all__ = ["PLOT_HEIGHT", "framed", "path", "stretched"]

PLOT_HEIGHT = 200  # pixels
_TOP, _BOTTOM = 18, 40  # pixels: the highest tick's label, and the labels below


def framed(
    marks: Markup,
    *,
    identity: str,
    title: str,
    description: Markup | str,
    x: Scale,
    y: Scale,
    x_axis: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
) -> Markup:
    """An SVG of the full width. `marks` use percentages across and 0 … PLOT_HEIGHT pixels down."""
    height = _TOP + PLOT_HEIGHT + _BOTTOM
    return element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        element("desc", description, id=f"{identity}-desc"),
        element(
            "svg",
            _grid(y),
            marks,
            _y_labels(y, y_text),
            y=_TOP,
            width="100%",
            height=PLOT_HEIGHT,
            overflow="visible",
        ),
        _x_axis(x, x_text, x_axis),
        class_="plot",
        role="img",
        width="100%",
        height=height,
        aria_labelledby=f"{identity}-title {identity}-desc",
    )


def stretched(*shapes: Markup) -> Markup:
    """Shapes in units of 0 … 1000 each way, stretched over the plot; strokes keep their width."""
    return element(
        "svg",
        *shapes,
        width="100%",
        height=PLOT_HEIGHT,
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
        overflow="visible",
    )


def path(points: Sequence[tuple[float, float]], **attributes: object) -> Markup:
    """A line through points of 0 … 1, upward, for `stretched`."""
    steps = " ".join(f"{1000 * x:.4g},{1000 * (1 - y):.4g}" for x, y in points)
    return element("polyline", points=steps, vector_effect="non-scaling-stroke", **attributes)


def _grid(y: Scale) -> Markup:
    heights = [round((1 - y(tick)) * PLOT_HEIGHT, 1) for tick in y.ticks]
    return Markup("").join(
        element("line", x1=0, x2="100%", y1=height, y2=height, class_="grid") for height in heights
    )


def _y_labels(y: Scale, text: Callable[[float], str]) -> Markup:
    """Drawn after the marks: a line that passes must not strike them through."""
    return Markup("").join(
        element("text", text(tick), x=0, y=round((1 - y(tick)) * PLOT_HEIGHT - 4, 1), class_="tick")
        for tick in y.ticks
    )


def _x_axis(x: Scale, text: Callable[[float], str], name: str) -> Markup:
    """Ticks below the plot, the outermost ones flush with its ends, and the axis's name."""
    parts = []
    for tick in x.ticks:
        at = x(tick)
        anchor = "start" if at < 0.04 else "end" if at > 0.96 else "middle"
        label = element(
            "text",
            text(tick),
            x=percent(at),
            y=_TOP + PLOT_HEIGHT + 16,
            class_="tick",
            text_anchor=anchor,
        )
        parts.append(label)
    parts.append(element("text", name, x="100%", y=_TOP + PLOT_HEIGHT + 34, class_="axis", text_anchor="end"))
    return Markup("").join(parts)
