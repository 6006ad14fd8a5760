"""The memorisation histogram: distances to the nearest training image, synthetic beside held-out.

Owns the picture. Synthetic are hatched bars, held-out real images a line in steps: two shapes, so that they
are told apart without colour.
"""

from __future__ import annotations

from markupsafe import Markup

from augment.report.html.charts.frame import PLOT_HEIGHT, framed, path, stretched
from augment.report.html.charts.scales import Scale, linear_scale
from augment.report.html.charts.svg import element, percent
from augment.report.html.evidence import Histogram
from augment.report.html.scalars import shown

__all__ = ["histogram_chart"]


def histogram_chart(histogram: Histogram, pointer: str, identity: str) -> Markup:
    """`pointer` is where the histogram lies in the document, `identity` is unique in the page."""
    x = _within(histogram.edges)
    y = linear_scale([0.0, *histogram.synthetic, *histogram.heldout])
    return framed(
        Markup("").join(
            (
                element("g", *_bars(histogram, x, y), data_figure=f"{pointer}/synthetic", data_kind="list"),
                stretched(_outline(histogram, x, y, pointer)),
                _threshold(histogram, x),
            )
        ),
        identity=identity,
        title="Share of images by distance to the nearest training image",
        description=_in_words(histogram),
        x=x,
        y=y,
        x_axis="distance to the nearest training image",
        x_text=lambda distance: shown(distance, "number"),
        y_text=lambda share: f"{100 * share:.3g}%",
    )


def _within(edges: tuple[float, ...]) -> Scale:
    ticks = linear_scale(list(edges), ticks=5).ticks
    return Scale(edges[0], edges[-1], tuple(tick for tick in ticks if edges[0] <= tick <= edges[-1]))


def _bars(histogram: Histogram, x: Scale, y: Scale) -> list[Markup]:
    bars = []
    for index, share in enumerate(histogram.synthetic):
        left, right = x(histogram.edges[index]), x(histogram.edges[index + 1])
        height = y(share) * PLOT_HEIGHT
        bars.append(
            element(
                "rect",
                x=percent(left),
                width=percent(right - left),
                y=round(PLOT_HEIGHT - height, 2),
                height=round(height, 2),
                class_="bar synthetic",
            )
        )
    return bars


def _outline(histogram: Histogram, x: Scale, y: Scale, pointer: str) -> Markup:
    points = [(x(histogram.edges[0]), 0.0)]
    for index, share in enumerate(histogram.heldout):
        points += [(x(histogram.edges[index]), y(share)), (x(histogram.edges[index + 1]), y(share))]
    points.append((x(histogram.edges[-1]), 0.0))
    return path(points, class_="line outline", data_figure=f"{pointer}/heldout", data_kind="list")


def _threshold(histogram: Histogram, x: Scale) -> Markup:
    if histogram.threshold is None:
        return Markup("")
    at = x(histogram.threshold)
    left = at > 0.6
    return element(
        "line", x1=percent(at), x2=percent(at), y1=0, y2=PLOT_HEIGHT, class_="threshold"
    ) + element(
        "text",
        "← near copies",
        x=percent(at),
        dx=-6 if left else 6,
        y=12,
        class_="axis",
        text_anchor="end" if left else "start",
    )


def _in_words(histogram: Histogram) -> str:
    synthetic = max(range(len(histogram.synthetic)), key=lambda index: histogram.synthetic[index])
    heldout = max(range(len(histogram.heldout)), key=lambda index: histogram.heldout[index])
    if synthetic == heldout:
        return "Synthetic samples and held-out real images are most frequent in the same bin."
    nearer = "nearer to" if synthetic < heldout else "farther from"
    return f"Synthetic samples are most frequent in a bin {nearer} the training images than held-out real ones are."
